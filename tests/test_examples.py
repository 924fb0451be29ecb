"""The example apps pass the check without a word, and do on a real server what their READMEs say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.definitions import check, render

from .acceptance.server import Result, Server, run, until
from .gateway.backend import unused_port

ROOT = Path(__file__).parents[1]
ORDERS = ROOT / "definitions"
PARCELS = ROOT / "examples" / "parcels"
REPAIRS = ROOT / "examples" / "repairs"
EXAMPLES = sorted(folder for folder in (ROOT / "examples").iterdir() if folder.is_dir())


@pytest.mark.parametrize("folder", [ORDERS, *EXAMPLES], ids=lambda folder: folder.name)
def test_an_app_passes_the_check_without_a_word(folder: Path) -> None:
    checked = check(folder, environ={})
    assert not checked.problems, render(checked, "text")
    assert checked.definitions.routes


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_an_example_has_a_readme_that_names_each_of_its_files(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for file in folder.glob("*.yaml"):
        assert f"`{file.name}`" in readme, file.name


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Server]:
    server = Server(ORDERS, tmp_path)
    yield server.ready()
    server.close()


def test_the_order_app_takes_an_order_and_works_it_off(orders: Server) -> None:
    order_id = orders.order("first")
    assert orders.get(f"/v1/orders/{order_id}").json()["parameters"] == {"name": "first"}
    until(lambda: orders.statuses() == ["done"])
    until(lambda: f"  orderId: {order_id}\n  parameters:\n    name: first\n  status: done\n" in orders.out)


def test_the_order_app_answers_404_for_an_order_that_is_not_there(orders: Server) -> None:
    answer = orders.get("/v1/orders/unknown")
    assert answer.code == 404
    assert answer.problem()["detail"] == "No such order"


def test_the_order_app_answers_405_for_other_methods(orders: Server) -> None:
    assert orders.request("DELETE", "/v1/orders/1").code == 405


# ---- parcels --------------------------------------------------------------------------------


def commands(folder: Path) -> list[list[str]]:
    """The calls of an example's README, as it shows them."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^\$ framework (call .+)$", readme, re.MULTILINE)]


@pytest.fixture
def parcels(tmp_path: Path) -> Iterator[Server]:
    server = Server(PARCELS, tmp_path, database="sqlite:///parcels.db")
    yield server.ready()
    server.close()


def call(server: Server, command: list[str]) -> Result:
    """One command of the README, at the server's own port."""
    return run(*command, "--url", server.url, cwd=server.folder, env={"FRAMEWORK_DATABASE": server.database})


def test_the_commands_of_the_parcels_readme_do_what_it_says(parcels: Server) -> None:
    posting, *asking = commands(PARCELS)
    posted = call(parcels, posting)
    assert (posted.code, posted.err) == (0, "202\n")
    parcel: dict[str, Any] = json.loads(posted.out)
    assert (parcel["to"], parcel["grams"], parcel["cents"], parcel["state"]) == ("Ada", 750, 590, "waiting")

    until(lambda: parcels.get("/parcels").json()[0]["label"] == "L00001")
    until(lambda: len(parcels.get("/printers").json()) == 1)
    answers = {}
    for command in asking:
        asked = call(parcels, command)
        assert (asked.code, asked.err) == (0, "200\n")
        answers[command[-1]] = json.loads(asked.out)
    assert answers["/parcels"] == [parcel | {"state": "labelled", "label": "L00001"}]
    assert {"up_to_grams": 2000, "cents": 590} in answers["/tariff"]
    assert set(answers["/printers"][0]) == {"node", "seen"}


def test_a_parcel_that_is_too_heavy_is_refused(parcels: Server) -> None:
    answer = parcels.post("/parcels", {"to": "Ada", "grams": 10_001})
    assert answer.code == 422
    assert answer.problem()["detail"] == "grams: we carry 1 to 10000 grams"
    assert parcels.get("/parcels").json() == []


def test_everybody_may_see_the_prices_and_nobody_else_the_parcels(parcels: Server) -> None:
    assert parcels.get("/tariff", token=None).code == 200
    assert parcels.get("/parcels", token=None).code == 401


def test_two_servers_give_each_parcel_its_number_one_by_one(parcels: Server, tmp_path: Path) -> None:
    second = Server(PARCELS, tmp_path, database="sqlite:///parcels.db").ready()
    try:
        for number in range(20):
            posted = (parcels, second)[number % 2].post("/parcels", {"to": f"{number:02}", "grams": 100})
            assert posted.code == 202
        until(lambda: {parcel["state"] for parcel in second.get("/parcels").json()} == {"labelled"})
        labels = [parcel["label"] for parcel in second.get("/parcels").json()]
        assert labels == [f"L{number:05}" for number in range(1, 21)]
        until(lambda: len(parcels.get("/printers").json()) == 2)
    finally:
        second.close()


# ---- teams ----------------------------------------------------------------------------------

TEAMS = ROOT / "examples" / "teams"
INSTANCE = re.compile(r'"instance": "[A-Za-z0-9+/=]+"')


@pytest.fixture
def teams(tmp_path: Path) -> Iterator[Server]:
    server = Server(TEAMS, tmp_path, database="sqlite:///teams.db")
    yield server.ready()
    server.close()


def test_the_commands_of_the_teams_readme_show_what_it_says(teams: Server) -> None:
    readme = (TEAMS / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ framework (call .+)\n((?:[^$`].*\n)+)", readme, re.MULTILINE)
    assert len(commands) == 6
    for command, output in commands:
        asked = run(
            *shlex.split(command),
            "--url",
            teams.url,
            cwd=teams.folder,
            env={"FRAMEWORK_DATABASE": "sqlite:///teams.db"},
        )
        assert INSTANCE.sub("instance", asked.err + asked.out) == INSTANCE.sub("instance", output), command


def test_a_team_is_stored_with_its_players_or_not_at_all(teams: Server) -> None:
    assert (
        teams.post("/teams", {"teamId": "a", "title": "A", "players": [{"playerId": "p", "name": "x"}]}).code
        == 201
    )
    refused = teams.post("/teams", {"title": "B", "players": [{"playerId": "q", "name": "y"}, {"name": 7}]})
    assert refused.code == 422
    assert refused.problem()["field"] == "players[1].name"
    assert teams.get("/players/q").code == 404
    assert teams.get("/teams/a").json()["players"][0]["name"] == "x"


# ---- stock ----------------------------------------------------------------------------------

STOCK = ROOT / "examples" / "stock"


def shown() -> list[tuple[list[str], str]]:
    """The calls of the README, each with what it shows."""
    readme = (STOCK / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\$ framework (call .+)\n((?:[^$`].*\n)+)", readme, re.MULTILINE)
    return [(shlex.split(command), output) for command, output in found]


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[tuple[Server, int]]:
    """The gateway, and its back end's port; the other host is not there."""
    port = unused_port()
    backend = subprocess.Popen([sys.executable, STOCK / "backend.py", str(port)])
    hosts = {"STOCK_1": f"127.0.0.1:{port}", "STOCK_2": f"127.0.0.1:{unused_port()}"}
    server = Server(STOCK, tmp_path, database="sqlite:///stock.db", env=hosts)
    try:
        server.ready()
        until(lambda: server.get("/stock/tea").code == 200)
        yield server, port
    finally:
        server.close()
        backend.kill()
        backend.wait()


def test_the_commands_of_the_stock_readme_show_what_it_says(stock: tuple[Server, int]) -> None:
    server, port = stock
    commands = shown()
    assert len(commands) == 5
    for command, output in commands:
        asked = run(
            *command,
            "--url",
            server.url,
            cwd=server.folder,
            env={"FRAMEWORK_DATABASE": "sqlite:///stock.db"},
        )
        assert asked.err + asked.out.replace(str(port), "8101") == output


def test_the_stock_is_behind_a_token_and_the_shelf_is_not(stock: tuple[Server, int]) -> None:
    server, _ = stock
    assert server.get("/stock/tea", token=None).code == 401
    assert server.get("/shelf/tea", token=None).json()["shelf"] == "full"
    assert server.get("/shelf/tea", token=None).headers["cache-control"] == "max-age=5"
    assert server.request("GET", "/stock/tea/orders").code == 405
    assert server.post("/stock/cups/orders", {"pieces": 1}).code == 409


# ---- repairs --------------------------------------------------------------------------------


@pytest.fixture
def repairs(tmp_path: Path) -> Iterator[Server]:
    server = Server(REPAIRS, tmp_path, database="sqlite:///repairs.db")
    yield server.ready()
    server.close()


def test_the_commands_of_the_repairs_readme_do_what_it_says(repairs: Server) -> None:
    told: dict[str, list[tuple[str, Any]]] = {}
    for command in commands(REPAIRS):
        done = call(repairs, command)
        told.setdefault(" ".join(command[1:3]), []).append((done.err.strip(), json.loads(done.out)))
    assert [code for code, _ in told["POST /Part"] + told["POST /Repair"]] == ["201"] * 4
    assert told["POST /Repair/1/steps/prepare"][0][1]["status"] == "prepared"
    [(code, problem)] = told["POST /Repair/2/steps/prepare"]
    assert (code, problem["detail"]) == ("409", "chain: out of stock")
    assert told["GET /Part"][0][1] == [{"name": "tyre", "stock": 1}, {"name": "chain", "stock": 0}]
    assert told["GET /Repair/2"][0][1]["status"] == "waiting"
    (first, refused), (second, handed_over) = told["POST /Repair/1/steps/hand_over"]
    assert (first, second, handed_over["status"]) == ("409", "200", "gone")
    assert told["PATCH /Repair/1"][0][0] == "409"
    readme = (REPAIRS / "README.md").read_text(encoding="utf-8")
    assert json.dumps(refused, indent=2) in readme
    assert told["POST /Repair/1/steps/mend?hours=9"][0][0] == "422"
    assert [one["number"] for one in told["GET /Repair?status=failed"][0][1]] == [1]
    assert told["POST /Repair/1/steps/mend?hours=2"][0][1]["status"] == "mended"
    assert told["GET /in-the-shop"][0][1] == ["racer, no. 2 of Bob"]
    until(lambda: "tandem, no. 1 of Ada: tandem, ready" in repairs.out)
