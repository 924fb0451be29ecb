"""Which route takes a path, and what its script sees of the path."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from framework.definitions import check

from .client import route
from .conftest import Serving

pytestmark = pytest.mark.anyio


def named(path: str) -> str:
    return route(path, "return {'route': route.path, 'resources': resources, 'path': request.path}")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_more_specific_template_wins_whatever_the_order_of_the_files(
    serving: Serving, order: tuple[int, ...]
) -> None:
    paths = ["/v1/orders/{orderId}", "/v1/orders", "/v1/orders/special"]
    async with serving(*(named(paths[number]) for number in order)) as client:
        for target, path, resources in [
            ("/v1/orders", "/v1/orders", {}),
            ("/v1/orders/", "/v1/orders", {}),
            ("/v1/orders/special", "/v1/orders/special", {}),
            ("/v1/orders/special/", "/v1/orders/special", {}),
            ("/v1/orders/7", "/v1/orders/{orderId}", {"orderId": "7"}),
            ("/v1/orders/Special", "/v1/orders/{orderId}", {"orderId": "Special"}),
        ]:
            found = (await client.get(target)).json()
            assert (found["route"], found["resources"]) == (path, resources), target


@pytest.mark.parametrize(
    ("target", "resources"),
    [
        ("/v1/orders", {}),
        ("/v1/orders/", {}),
        ("/v1/orders/7", {"orderId": "7"}),
        ("/v1/orders/7/", {"orderId": "7"}),
        ("/v1/orders/a%20b", {"orderId": "a b"}),
        ("/v1/orders/a+b", {"orderId": "a+b"}),
        ("/v1/orders/%C3%A9", {"orderId": "é"}),
        ("/v1/orders/%E6%B3%A8%E6%96%87", {"orderId": "注文"}),
        ("/v1/orders/%F0%9F%93%A6", {"orderId": "📦"}),
        ("/v1/orders/%252F", {"orderId": "%2F"}),
        ("/v1/orders/...", {"orderId": "..."}),
        ("/v1/orders/a..b", {"orderId": "a..b"}),
        ("/v1/orders/%7BorderId%7D", {"orderId": "{orderId}"}),
        ("/v1/orders/%", {"orderId": "%"}),
        ("/v1/orders/%zz", {"orderId": "%zz"}),
        ("/v1/orders/7;a=b,c", {"orderId": "7;a=b,c"}),
        ("/v1/orders/7?x=/../", {"orderId": "7"}),
        ("/%76%31/orders/7", {"orderId": "7"}),
    ],
)
async def test_a_variable_is_one_decoded_segment(serving: Serving, target: str, resources: object) -> None:
    async with serving(named("/v1/orders/{orderId}")) as client:
        answer = await client.get(target)
    assert answer.code == 200
    assert answer.json()["resources"] == resources


@pytest.mark.parametrize(
    "target",
    [
        "/v1/orders/..",
        "/v1/orders/../orders/7",
        "/v1/../v1/orders/7",
        "/v1/orders/%2e%2e",
        "/v1/orders/%2E.",
        "/v1/orders/.%2e/7",
        "/../v1/orders/7",
        "/v1/orders/a%2Fb",
        "/v1/orders/a%2fb",
        "/v1/orders%2F7",
        "/v1/orders/a%5Cb",
        "/v1/orders/a%5cb",
        "/v1/orders/a\\b",
        "/v1/orders/%FF",
        "/v1/orders/%C3",
        "/v1/orders/%ED%A0%80",
        "/v1/orders/%C0%AE%C0%AE",
        b"/v1/orders/\xff",
        "/v1/orders/%00",
        "/v1/orders/a%0D%0Ab",
        "/v1/orders/%7f",
        "/v1/orders/..;/7",
        "/v1/orders/.%2E;a=b/7",
        "/v1/orders/.;x",
        "/nowhere/..",
        "*",
        "v1/orders/7",
    ],
)
async def test_a_path_that_could_mean_two_things_never_reaches_a_script(
    serving: Serving, target: str | bytes
) -> None:
    async with serving(named("/v1/orders/{orderId}"), named("/{any}")) as client:
        answer = await client.get(target)
    assert answer.code == 400
    assert "path" in answer.problem()["detail"]


@pytest.mark.parametrize("target", ["/v1/orders/.", "/v1/./orders/7", "/v1/orders/%2e", "/./v1/orders/7"])
async def test_a_single_dot_never_reaches_a_script_as_a_variable(serving: Serving, target: str) -> None:
    async with serving(named("/v1/orders/{orderId}")) as client:
        assert (await client.get(target)).code == 400


@pytest.mark.parametrize(
    "target",
    [
        "//v1/orders/7",
        "/v1//orders/7",
        "/v1/orders//",
        "/v1/orders//7",
        "/v1/orders/7//",
        "/v1/orders/7/8",
        "/v1",
        "/v1/",
        "/",
        "/V1/orders/7",
        "/v1/ordersx",
    ],
)
async def test_no_route_takes_other_paths(serving: Serving, target: str) -> None:
    async with serving(named("/v1/orders/{orderId}")) as client:
        answer = await client.get(target)
    assert answer.code == 404
    answer.problem()


async def test_only_the_last_variable_may_be_empty(serving: Serving) -> None:
    async with serving(named("/a/{x}/b/{y}")) as client:
        assert (await client.get("/a/1/b/2")).json()["resources"] == {"x": "1", "y": "2"}
        assert (await client.get("/a/1/b/")).json()["resources"] == {"x": "1"}
        assert (await client.get("/a/1/b")).json()["resources"] == {"x": "1"}
        for target in ("/a//b/2", "/a/b/2", "/a/1", "/a/", "/a"):
            assert (await client.get(target)).code == 404, target


async def test_a_static_branch_that_leads_nowhere_gives_way_to_the_variable(serving: Serving) -> None:
    async with serving(named("/a/b/c"), named("/a/{x}/d"), named("/{x}/b/e")) as client:
        for target, path in [("/a/b/c", "/a/b/c"), ("/a/b/d", "/a/{x}/d"), ("/a/b/e", "/{x}/b/e")]:
            assert (await client.get(target)).json()["route"] == path
        assert (await client.get("/a/b/f")).code == 404


async def test_the_root_can_be_a_route(serving: Serving) -> None:
    async with serving(named("/")) as client:
        assert (await client.get("/")).json()["route"] == "/"
        assert (await client.get("/x")).code == 404


async def test_a_variable_at_the_root_takes_one_segment(serving: Serving) -> None:
    async with serving(named("/{any}")) as client:
        assert (await client.get("/x")).json()["resources"] == {"any": "x"}
        assert (await client.get("/")).json()["resources"] == {}
        assert (await client.get("/x/y")).code == 404


async def test_paths_of_any_length_are_answered(serving: Serving) -> None:
    async with serving(named("/v1/orders/{orderId}")) as client:
        long = "x" * 60_000
        assert (await client.get(f"/v1/orders/{long}")).json()["resources"] == {"orderId": long}
        assert (await client.get("/v1/orders/" + "x/" * 30_000)).code == 404
        assert (await client.get("/" * 60_000)).code == 404


async def test_the_frameworks_own_paths_are_reserved(serving: Serving) -> None:
    async with serving(named("/{a}/{b}"), named("/{a}")) as client:
        assert (await client.get("/-/live")).json() == {"status": "live"}
        assert (await client.get("/-/ready")).json() == {"status": "ready"}
        for target in ("/-", "/-/", "/-/other", "/%2d/other", "/-//live"):
            assert (await client.get(target)).code == 404, target
        assert (await client.get("/--/live")).json()["route"] == "/{a}/{b}"


async def test_ready_turns_503_when_the_server_stops_and_live_does_not(serving: Serving) -> None:
    async with serving() as client:
        client.runtime.ask_to_stop()
        assert (await client.get("/-/ready")).code == 503
        assert (await client.get("/-/live")).code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PURGE"])
async def test_one_entry_serves_all_methods(serving: Serving, method: str) -> None:
    script = "return 200, None, {'x-method': request.method, 'x-head': str(request.method == HEAD)}"
    async with serving(route("/a", script)) as client:
        answer = await client.request(method, "/a")
    assert answer.headers["x-method"] == method
    assert answer.headers["x-head"] == str(method == "HEAD")


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}/b", "/a/{y}/b", True),
        ("/{x}", "/{y}", True),
        ("/a", "/a/", True),
        ("/a/{x}", "/a/{x}/", True),
        ("/a/{x}", "/a/{x}", True),
        ("/a/{x}", "/a/b", False),
        ("/a/{x}", "/a", False),
        ("/a/{x}/b", "/a/{y}/c", False),
        ("/a/{x}/b", "/a/b/{x}", False),
        ("/{x}/{y}", "/{x}", False),
        ("/a", "/A", False),
        ("/", "/{x}", False),
    ],
)
def test_two_routes_that_take_the_same_paths_are_a_mistake(
    tmp_path: Path, one: str, other: str, clash: bool
) -> None:
    for number, path in enumerate((one, other)):
        (tmp_path / f"{number}.yaml").write_text(route(path, "return 1"), encoding="utf-8")
    codes = [problem.code for problem in check(tmp_path).errors]
    assert codes == (["duplicate-path"] if clash else [])
