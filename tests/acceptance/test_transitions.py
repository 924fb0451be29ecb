"""Of many servers' requests for the same transition, one makes it; the others are told where it stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .conftest import Serve

APP = """\
- name: Order
  attributes:
    identifier: {field_name: orderId, field_type: string}
    local_fields:
    - {field_name: packed_by, field_type: array, field_default: list()}
    - field_name: status
      field_type: string
      field_enum: [waiting, packing, packed]
      field_default: waiting
      field_fsm:
        pack:
          execution_method: pack
          pre_statuses: [waiting]
          status_value: packing
          success_transition: packed
          failure_transition: waiting
  methods:
    instance_methods:
    - method_body: |
        async def pack(self, who):
            await asyncio.sleep(0.05)
            await self.save(packed_by=[*self.packed_by, who])
- proxy:
    path: /orders/{orderId}
    authorization: {auth_mode: none}
  request_forbidden_process: |
    if request.method == POST:
        return 201, await atom.Order(orderId=resources["orderId"]).save()
    order = await atom.Order.load(resources["orderId"])
    if request.method == PUT:
        await order.pack(parameters["who"][0])
    return 200, order.localfields()
"""


def test_a_transition_is_made_once_whichever_server_is_asked(serve: Serve, tmp_path: Path) -> None:
    definitions = tmp_path / "app"
    definitions.mkdir()
    (definitions / "app.yaml").write_text(APP, encoding="utf-8")
    servers = [serve(definitions), serve(definitions)]
    for number in range(5):
        path = f"/orders/{number}"
        assert servers[0].post(path, {}).code == 201

        def ask(who: int, path: str = path) -> tuple[int, dict[str, object]]:
            answer = servers[who % 2].request("PUT", f"{path}?who={who}")
            return answer.code, answer.json()

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(12)))
        won = [who for who, (code, _) in enumerate(answers) if code == 200]
        lost = [body for code, body in answers if code == 409]
        assert (len(won), len(lost)) == (1, 11)
        for body in lost:
            assert body["rule"] == "transition"
            assert body["state"] in ("packing", "packed")
            assert body["possible"] == []
        stored = servers[1].get(path).json()
        assert (stored["status"], stored["packed_by"]) == ("packed", [str(won[0])])
