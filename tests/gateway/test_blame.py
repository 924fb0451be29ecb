"""The client is blamed only for what it provably sent; everything else is 500, and in the log."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from .backend import Backend, running
from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio

TEA = """
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: kind, field_type: string, field_nullable: false}
  - {field_name: grams, field_type: integer, field_default: 5, field_alias: weight}
  - {field_name: extras, field_type: MU}
  - field_name: state
    field_type: string
    field_default: waiting
    field_enum: [waiting, ready]
    field_fsm: {brew: {execution_method: brew, pre_statuses: [waiting], success_transition: ready}}
methods:
  instance_methods:
  - method_body: |
      async def brew(self):
          pass
  - method_body: |
      async def heap(self, grams):
          self.grams = grams
          self.grams = 'lots'
"""
HOUSE = """
name: House
attributes:
  identifier: {field_name: houseId, field_type: string, field_default: uuid.uuid4().hex}
  ref_fields: [{field_name: teas, field_type: array<AxisAtom.Tea>}]
"""
AGED = """
name: Aged
api_generation: true
attributes:
  identifier: {field_name: id, field_type: string}
  local_fields:
  - {field_name: at, field_type: DateTime, field_default: "datetime.datetime.utcnow() if not MU() else None"}
"""
BODY = "json.loads(request.body)"
HIDDEN = "Tea = getattr(atom, 'Tea')\n"  # from the check, which knows the fields of `atom.Tea`
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def backend() -> Iterator[Backend]:
    with running() as backend:
        yield backend


def to(backend: Backend, script: str) -> dict[str, Any]:
    """The keys of a route whose target answers what is scripted."""
    return {
        "response_forbidden_process": script,
        "target": {"path": "/scripted", "authorities": [backend.url]},
    }


async def blamed(
    serving: Serving,
    caplog: pytest.LogCaptureFixture,
    script: str,
    body: bytes = b"",
    *,
    at: str = "/a",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **keys: Any,
) -> int:
    """The status; and that the log has an error if, and only if, it is the script's fault."""
    entry = route("/a/{id}", script, **keys)
    async with serving(TEA, HOUSE, AGED, entry, route("/html", "return '<html>'")) as client:
        answer = await client.request(method, at, body=body, headers=headers)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    if answer.code == 500:
        [record] = errors
        assert answer.problem()["id"] in record.getMessage()
        assert ".yaml:" in record.getMessage()
    else:
        assert not errors
    return answer.code


@pytest.mark.parametrize(
    ("script", "body", "code"),
    [
        (f"return {BODY}", b"<html>", 400),
        (f"return {BODY}", b"", 400),
        ("return json.loads(request.body.decode())", b"", 400),
        ("return json.loads(request.body.strip().decode().strip())", b" {,} ", 400),
        ("return json.load(io.BytesIO(request.body))", b"{,}", 400),
        (f"return {BODY}", b"[" * 100_000, 400),
        (f"return {BODY}", b"[" + b"9" * 30_000 + b"]", 400),
        (f"return {BODY}", b"\xff\xfe\xfd", 400),
        ("return request.body.decode()", b"\xff", 400),
        ("return [json.loads(one) for one in request.body.splitlines()]", b'{"a": 1}\n{"b": \n', 400),
        # not the body
        ("return json.loads('')", b"", 500),
        ("return json.loads('<html>')", b"not json", 500),
        ("return json.loads((await callout(path='/html')).body)", b"not json", 500),
        ("return json.loads((await callout(path='/html')).body)", b"", 500),
        ("return json.loads(b'')", b"", 500),
        ("return b'\\xff'.decode()", b"\xfe", 500),
        ("return int('x')", b"not json", 500),
        ("return int(request.body)", b"seven", 500),
        ("raise ValueError('no')", b"", 500),
        ("a, b = request.body.split(b',')", b"1,2,3", 500),
        ("def f():\n    return f()\nf()", b"not json", 500),
        ("return uuid.UUID('x')", b"", 500),
    ],
)
async def test_a_text_that_cannot_be_read_is_the_clients_if_it_is_the_body(
    serving: Serving, caplog: pytest.LogCaptureFixture, script: str, body: bytes, code: int
) -> None:
    assert await blamed(serving, caplog, script, body) == code


LONE = b'{"kind": ["\\ud800"]}'
HUGE = b'{"kind": [1e999]}'


@pytest.mark.parametrize("body", [LONE, b'{"\\udfff": 1}', HUGE, b'[[-1e999], {"a": 1}]', b"[NaN]"])
@pytest.mark.parametrize(
    "script",
    [
        f"return 200, {BODY}",
        f"return MU(body={BODY})",
        f"return 200, MU(body={BODY}).json_format",
        f"raise Error(code=409, reason='no', body={BODY})",
        f"await FIFO('q').put({BODY})",
        f"return (await callout(path='/html', method='POST', body={BODY})).code",
        f"qprint({BODY})\n            return 200, {BODY}",
    ],
)
async def test_what_json_allows_and_nothing_can_carry_is_the_clients(
    serving: Serving, caplog: pytest.LogCaptureFixture, script: str, body: bytes
) -> None:
    assert await blamed(serving, caplog, script.replace("\n            ", "\n"), body) == 422


@pytest.mark.parametrize("body", [LONE, HUGE, b"{}"])
@pytest.mark.parametrize("value", ["float('nan')", "chr(0xd801)"])
async def test_what_nothing_can_carry_is_the_scripts_own_if_the_client_did_not_send_it(
    serving: Serving, caplog: pytest.LogCaptureFixture, value: str, body: bytes
) -> None:
    if (value, body) != ("float('nan')", HUGE):  # the encoder does not say which number it was
        assert await blamed(serving, caplog, f"return [{value}]", body) == 500


async def test_a_get_is_not_expected_to_bring_a_body(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    assert await blamed(serving, caplog, f"return {BODY}", method="GET") == 500


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("form = urllib.parse.parse_qs(request.body.decode())\nreturn json.loads(form['order'][0])", 400),
        ("form = urllib.parse.parse_qs(request.body.decode())\natom.Tea(kind=7, weight=form['n'][0])", 500),
        ("form = urllib.parse.parse_qs(request.body.decode())\natom.Tea(kind='a', weight=form['n'][0])", 422),
        ("return int(urllib.parse.parse_qs(request.body.decode())['n'][0])", 500),
    ],
)
async def test_a_form(serving: Serving, caplog: pytest.LogCaptureFixture, script: str, code: int) -> None:
    assert await blamed(serving, caplog, script, b"n=many&order=%7B", headers=FORM) == code


@pytest.mark.parametrize(
    ("script", "body", "code"),
    [
        # what came
        (f"atom.Tea(**{BODY})", {"kind": 7}, 422),
        (f"atom.Tea(**{BODY})", {"kind": None}, 422),
        (f"atom.Tea(**{BODY})", {}, 422),
        (f"atom.Tea(**{BODY})", {"kind": "a", "colour": "red"}, 422),
        (f"atom.Tea(**{BODY})", {"kind": "a", "weight": True}, 422),
        (f"atom.Tea(kind={BODY}['sort'])", {"sort": 7}, 422),
        (f"atom.Tea(kind={BODY}['sort'])", {"sort": {"deep": [1]}}, 422),
        (
            f"tea = atom.Tea(kind='a')\nfor k, v in {BODY}.items():\n    setattr(tea, k, v)",
            {"colour": 1},
            422,
        ),
        (f"tea = atom.Tea(kind='a')\ntea += {BODY}", {"grams": "x"}, 422),
        (f"tea = atom.Tea(kind='a')\nawait tea.save(**{BODY})", {"grams": 2**64}, 422),
        (f"tea = atom.Tea(kind='a')\nawait tea.save(**MU({BODY}))", {"state": "cold"}, 422),
        (f"atom.House(**{BODY})", {"teas": [{"kind": "a"}, {"kind": 3}]}, 422),
        (f"atom.House(teas={BODY}['teas'])", {"teas": [{"kind": "a"}, {"grams": 3}]}, 422),
        (f"await atom.Tea.retrieve(**{BODY})", {"knid": "a"}, 422),
        (f"await atom.Tea.retrieve(order_by={BODY}['by'])", {"by": ["-colour"]}, 422),
        ("await atom.Tea.retrieve(grams=parameters['n'][0])", {}, 422),
        ("await atom.Tea.retrieve(grams=int(parameters['big'][0]))", {}, 422),
        ("await atom.Tea.retrieve(grams=resources['id'])", {}, 422),
        ("await atom.Tea.retrieve(**{n: v[0] for n, v in parameters.items()})", {}, 422),
        ("await atom.Tea.retrieve(grams=request.headers['x-n'])", {}, 422),
        (
            f"raise ValidationError('Tea', 'kind', {BODY}['kind'], 'own', 'is sold out')",
            {"kind": "green"},
            422,
        ),
        # what the script says itself
        ("atom.Tea()", {}, 500),
        ("atom.Tea(kind=7)", {}, 500),
        ("atom.Tea(kind=7)", {"n": 7}, 500),
        ("atom.Tea(kind=None)", {"n": None}, 500),
        (f"{HIDDEN}Tea(kind='a', colour='red')", {"n": "red"}, 500),
        (f"atom.Tea(kind={BODY}.get('kind'))", {}, 500),
        ("atom.Tea(kind='a', grams=len('abc') / 2)", {"n": 1}, 500),
        (f"{HIDDEN}tea = Tea(kind='a')\ntea.colour = 'red'", {"n": "red"}, 500),
        (f"{HIDDEN}await Tea.retrieve(knid=parameters['n'][0])", {}, 500),
        ("await atom.Tea.retrieve(extras={'a': 1})", {"a": 1}, 500),
        ("await atom.Tea.retrieve(order_by=['colour'])", {}, 500),
        ("await atom.Tea(kind='a').heap(1)", {"grams": 1}, 500),
        (f"await atom.Tea(kind='a').heap({BODY}['grams'])", {"grams": "a"}, 422),
        ("atom.Aged(id='a')", {"at": 1}, 500),
        (f"atom.Aged(**{BODY})", {"id": "a"}, 500),
        ("raise ValidationError('Tea', 'kind', 'mine', 'own', 'is sold out')", {"kind": "green"}, 500),
        # states
        ("tea = atom.Tea(kind='a')\nawait tea.brew()\nawait tea.brew()", {}, 409),
        ("tea = atom.Tea(kind='a')\nawait tea.save()\ntea.state = 'ready'", {"kind": "a"}, 500),
        (f"tea = atom.Tea(kind='a')\nawait tea.save()\nawait tea.save(**{BODY})", {"state": "ready"}, 409),
    ],
)
async def test_a_value_that_a_field_refuses_is_the_clients_if_it_came(
    serving: Serving, caplog: pytest.LogCaptureFixture, script: str, body: Any, code: int
) -> None:
    at = f"/a/first?n=many&big={2**70}&id=1"
    headers = {"x-n": "lots"}
    assert await blamed(serving, caplog, script, json.dumps(body).encode(), at=at, headers=headers) == code


async def test_a_default_that_does_not_fit_is_the_definitions_own(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    json_ = {"content-type": "application/json"}
    async with serving(AGED.replace("true\n", "true\napi: {auth_mode: none}\n", 1)) as client:
        answer = await client.post("/Aged", b'{"id": "a"}', headers=json_)
        assert answer.code == 500
        assert (await client.post("/Aged", b'{"id": 7}', headers=json_)).code == 422
        good = b'{"id": "a", "at": "2026-01-01T00:00:00Z"}'
        assert (await client.post("/Aged", good, headers=json_)).code == 201
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert answer.problem()["id"] in record.getMessage()
    assert "Aged.at: its default at " in record.getMessage()
    assert "000.yaml:8:" in record.getMessage()


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b"<html>oops"])
async def test_what_a_target_sends_is_never_the_clients_fault(
    serving: Serving, caplog: pytest.LogCaptureFixture, backend: Backend, body: bytes
) -> None:
    backend.scripted = (200, b"<html>", {})
    assert (
        await blamed(
            serving, caplog, "pass", body, **to(backend, "response.body = json.loads(response.body)")
        )
        == 500
    )


async def test_a_value_of_a_target_is_never_the_clients_fault(
    serving: Serving, caplog: pytest.LogCaptureFixture, backend: Backend
) -> None:
    backend.scripted = (200, gzip.compress(b'{"kind": 4711}'), {"content-encoding": "gzip"})
    script = "atom.Tea(**json.loads(response.body))"
    assert await blamed(serving, caplog, "pass", b'{"kind": "green"}', **to(backend, script)) == 500
