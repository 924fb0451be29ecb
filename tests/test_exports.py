"""Classes as the platform exports them load unchanged, and every key of them does what it says."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from framework.definitions import check
from framework.errors import Error, TransitionError, ValidationError
from framework.serving.runtime import open_runtime

pytestmark = pytest.mark.anyio

EXPORTS = Path(__file__).parent / "fixtures" / "exports"
FILES = sorted(EXPORTS.rglob("*.yml"))

# What an export carries, and what the samples together must show.
BOOKKEEPING = {"category", "version", "created_at", "update", "workspace"}
EVERY_KEY = {
    *("name", "persistence", "abstract", "extends", "api_generation", "api_auto_response", "scope"),
    *("attributes", "methods", "id", *BOOKKEEPING),
}


@pytest.fixture
async def scope(url: str) -> AsyncIterator[dict[str, Any]]:
    """What scripts see on a server that was started with the exports."""
    checked = check(EXPORTS, environ={})
    assert checked.problems == ()
    async with open_runtime(checked.definitions, url, gateway=False) as (runtime, _):
        yield runtime.snapshot.scope


def test_the_samples_have_every_key_that_an_export_can_have() -> None:
    samples = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES]
    assert {key for sample in samples for key in sample} == EVERY_KEY
    for sample in samples:
        assert set(sample) >= BOOKKEEPING
    fields = [field for sample in samples for field in sample["attributes"].get("local_fields", ())]
    assert {key for field in fields for key in field} == {
        *(
            "field_name",
            "field_type",
            "field_persistence",
            "field_nullable",
            "field_immutable",
            "field_unique",
        ),
        *("field_default", "field_enum", "field_format", "field_metadata", "field_alias", "field_fsm"),
        *("field_dbtype", "field_length"),
    }
    assert any(
        "field_default" not in sample["attributes"].get("identifier", {"field_default": 1})
        for sample in samples
    )


async def test_the_smallest_class_has_an_identifier_without_default(scope: dict[str, Any]) -> None:
    customer = scope["atom"].Customer
    one = await customer(customerId="c1", name="Ada").save()
    assert (await customer.load("c1")).name == "Ada"
    with pytest.raises(ValidationError, match="mail"):
        one.mail = "nobody"
    with pytest.raises(ValidationError, match="customerId"):
        await customer(name="Ada").save()


async def test_a_class_without_identifier_is_found_by_its_instance(scope: dict[str, Any]) -> None:
    record = await scope["atom"].AuditRecord(message="made", at="2026-01-31T12:00:00+09:00").save()
    found = await scope["atom"].AuditRecord.load(record.instance)
    assert (found.message, found.detail) == ("made", {})
    assert found.at == dt.datetime(2026, 1, 31, 3, tzinfo=dt.UTC)


async def test_methods_come_from_the_parents_and_reach_them(scope: dict[str, Any]) -> None:
    atom = scope["atom"]
    device = await atom.Device(label="d", address="10.0.0.1").save()
    port = await atom.Port(label="p").save()
    assert isinstance(device, atom.Resource)
    assert (device.describe(), port.describe()) == ("Device d 10.0.0.1", "Port p")
    assert (atom.Device.plain(), port.portMode, port.speed) == ("resourceId", "access", 1000)
    assert (await atom.Device.find("d")).resourceId == device.resourceId
    assert await atom.Port.find("d") is None


async def test_references_states_and_propagation_work_together(scope: dict[str, Any]) -> None:
    atom = scope["atom"]
    device = atom.Device(
        label="d",
        owner=atom.Customer(customerId="c1", name="Ada"),
        ports=[atom.Port(label="p1"), atom.Port(label="p2", portMode="trunk")],
        secret="s",
    )
    await device.save()
    with pytest.raises(Error, match="refused"):
        await device.activate({"fail": True})
    assert device.status == "Failed"
    await device.activate()
    found = await atom.Device.load(device.resourceId)
    assert (found.status, found.owner.name, [port.mode for port in found.ports]) == (
        "Active",
        "Ada",
        ["access", "trunk"],
    )
    assert [event.by for event in found.history] == ["Ada"]
    assert (found.secret, found.enabled) == (None, True)
    with pytest.raises(TransitionError, match="`activate` is not possible"):
        await found.activate()
    await found.shut()
    assert [port.label for port in await atom.Port.retrieve()] == ["down"] * 2
    assert (await atom.Device.of(customer="c1"))[0].enabled is False
    await found.retire()
    assert (await atom.Device.load(device.resourceId, shallow=True)).status == "Retired"
    assert device.yaml_format.startswith("Device:\n")
