"""callout over TLS: to a real server, with certificates of an authority that is made for the test."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from framework.errors import FrameworkError
from framework.script.callout import Callout, Response

from .backend import Backend, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    """The authority's certificate as a file."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def serving_tls(authority: trustme.CA, name: str, *, clients: bool = False) -> ssl.SSLContext:
    """A server's context; with ``clients`` it asks each client for a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if clients:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def backend(authority: trustme.CA) -> Iterator[Backend]:
    with running(serving_tls(authority, "127.0.0.1")) as backend:
        yield backend


@pytest.fixture
async def callout() -> AsyncIterator[Callout]:
    callout = Callout()
    yield callout
    await callout.close()


def text(response: Response) -> str:
    return str(response.body.decode())


async def test_a_server_of_an_unknown_authority_is_599_and_says_so(
    callout: Callout, backend: Backend
) -> None:
    answer = await callout(url=f"{backend.url}/echo")
    assert answer.code == 599
    assert text(answer).startswith("the server's certificate is not trusted: ")
    assert backend.requests == []


async def test_an_authority_of_ones_own_is_trusted_by_ca_certs(
    callout: Callout, backend: Backend, ca: str
) -> None:
    assert (await callout(url=f"{backend.url}/echo", ca_certs=ca)).code == 200


async def test_a_certificate_for_another_name_is_not_trusted(
    callout: Callout, authority: trustme.CA, ca: str
) -> None:
    with running(serving_tls(authority, "elsewhere.test")) as backend:
        answer = await callout(url=f"{backend.url}/echo", ca_certs=ca)
        assert answer.code == 599
        assert "127.0.0.1" in text(answer)
        unchecked = await callout(url=f"{backend.url}/echo", ca_certs=ca, validate_cert=False)
        assert unchecked.code == 200


async def test_validate_cert_false_asks_for_no_authority(callout: Callout, backend: Backend) -> None:
    assert (await callout(url=f"{backend.url}/echo", validate_cert=False)).code == 200
    # and that is of this call alone
    assert (await callout(url=f"{backend.url}/echo")).code == 599


async def test_a_client_proves_who_it_is_by_client_cert(
    callout: Callout, authority: trustme.CA, ca: str, tmp_path: Path
) -> None:
    ours = authority.issue_cert("client.test")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    cert, key, both = (str(tmp_path / f"{name}.pem") for name in ("cert", "key", "both"))
    with running(serving_tls(authority, "127.0.0.1", clients=True)) as backend:
        where: dict[str, Any] = {"url": f"{backend.url}/echo", "ca_certs": ca}
        assert (await callout(**where)).code == 599
        assert (await callout(**where, client_cert=cert, client_key=key)).code == 200
        assert (await callout(**where, client_cert=both)).code == 200


async def test_calls_of_the_same_choice_share_their_connection(
    callout: Callout, backend: Backend, ca: str, authority: trustme.CA
) -> None:
    for _ in range(3):
        assert (await callout(url=f"{backend.url}/echo", ca_certs=ca)).code == 200
    assert backend.connections == 1


async def test_a_file_that_was_replaced_is_read_again(
    callout: Callout, backend: Backend, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    assert (await callout(url=f"{backend.url}/echo", ca_certs=str(file))).code == 599
    file.unlink()
    authority.cert_pem.write_to_path(file)
    assert (await callout(url=f"{backend.url}/echo", ca_certs=str(file))).code == 200


async def test_a_server_without_tls_is_599(callout: Callout) -> None:
    with running() as plain:
        answer = await callout(url=f"{plain.url.replace('http:', 'https:')}/echo", validate_cert=False)
        assert answer.code == 599
        assert text(answer).startswith("TLS: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ca_certs": "nowhere.pem"}, "callout: ca_certs='nowhere.pem': No such file or directory"),
        ({"client_cert": "nowhere.pem"}, "callout: client_cert='nowhere.pem': No such file or directory"),
        ({"client_key": "key.pem"}, "callout: client_key needs client_cert"),
        ({"ca_certs": __file__}, "has no certificates in PEM format"),
        ({"client_cert": __file__}, "are not a certificate and its key in PEM format"),
    ],
)
async def test_a_file_that_cannot_be_used_is_a_mistake_of_the_script(
    callout: Callout, options: dict[str, str], message: str
) -> None:
    with pytest.raises(FrameworkError, match=message):
        await callout(url="https://127.0.0.1:1/", **options)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """In a process with a terminal of its own, which OpenSSL would ask."""
    from cryptography.hazmat.primitives import serialization as form

    ours = authority.issue_cert("client.test")
    key = form.load_pem_private_key(ours.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "both.pem").write_bytes(locked + ours.cert_chain_pems[0].bytes())
    program = (
        "import pty, sys, os\n"
        "pid, terminal = pty.fork()\n"
        "if pid == 0:\n"
        "    from framework.errors import FrameworkError\n"
        "    from framework.client.tls import Choice, Contexts\n"
        "    try:\n"
        "        Contexts().context(Choice(client_cert=sys.argv[1]))\n"
        "    except FrameworkError as error:\n"
        "        print(error)\n"
        "    os._exit(0)\n"
        "out = b''\n"
        "while True:\n"
        "    try:\n"
        "        more = os.read(terminal, 4096)\n"
        "    except OSError:\n"
        "        break\n"
        "    if not more:\n"
        "        break\n"
        "    out += more\n"
        "sys.stdout.write(out.decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "both.pem")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "without a password" in done.stdout
    assert "Enter" not in done.stdout
