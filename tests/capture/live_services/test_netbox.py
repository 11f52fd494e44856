"""NetBox by recorded answers: what is kept, which names and addresses a host gets, and what its status says."""

from __future__ import annotations

import json
from typing import Any

import pytest

TOKEN = "planted-token-0123456789"

INVENTORY = """
version: 1
domains: [parcel.example]
hosts:
  - {name: old-cert-01.parcel.example, successor: cert-02.parcel.example}
  - {name: cert-02.parcel.example}
webhooks:
  - {name: Renewed, url: "https://acme-hook.parcel.example/renewed", event: renewal}
  - {name: Outside, url: "https://198.51.100.7/deploy", event: deployment}
  - {name: Shared, url: "https://10.20.4.100/deploy", event: deployment}
sources:
  - {kind: netbox, name: register, url: "@url@", token_env: PLANTED}
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", TOKEN)


def test_names_and_addresses_lead_to_the_host(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("netbox")
    root, code = collect(INVENTORY.replace("@url@", recorded.url))
    assert code == 0
    assert outcomes(root) == dict.fromkeys(
        ("version.json", "devices.json", "virtual-machines.json", "ip-addresses.json"), "ok"
    )
    assert {one.headers["authorization"] for one in recorded.asked} == {f"Token {TOKEN}"}
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept
    devices = json.loads((root / "services/register/devices.json").read_text())["results"]
    assert [one["id"] for one in devices] == [7, 8, 9]
    assert devices[0]["primary_ip4"] == {"id": 70, "address": "10.20.4.1/24"}
    addresses = json.loads((root / "services/register/ip-addresses.json").read_text())["results"]
    assert [one["id"] for one in addresses] == [70, 72, 71, 73]
    report = ask(root, "old-cert-01.parcel.example")
    hooks = {one.subject for one in report.findings if one.rule == "webhook-to-going-host"}
    assert hooks == {"webhook Renewed", "webhook Outside"}
    status = [one for one in report.findings if one.rule == "netbox-status-differs"]
    assert [one.severity.value for one in status] == ["warn", "info"]
    assert status[0].message.startswith("cert-02.parcel.example takes over from old-cert-01.parcel.example, and is not")
    assert status[1].message == "NetBox still has old-cert-01.parcel.example as active"
    assert {one.evidence[0].path for one in status} == {
        "services/register/devices.json",
        "services/register/virtual-machines.json",
    }
    mentioned = [line for one in report.findings if one.rule == "mention" for line in one.evidence]
    assert [line.excerpt for line in mentioned if line.path.startswith("services/")] == [
        '"description": "replaced old-cert-01.parcel.example"'
    ]


def test_a_token_of_the_second_version(recorded: Any, collect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "nbt_4f9d.0123456789abcdef")
    recorded.load("netbox")
    collect(INVENTORY.replace("@url@", recorded.url))
    assert {one.headers["authorization"] for one in recorded.asked} == {"Bearer nbt_4f9d.0123456789abcdef"}


def test_faults(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("netbox")
    recorded.answers["/api/dcim/devices/?limit=500&offset=2&exclude=config_context"] = {"text": '{"count": 3, "res'}
    recorded.answers["/api/virtualization/virtual-machines/"] = {"status": 403, "json": {"detail": "no"}}
    recorded.answers["/api/ipam/ip-addresses/"] = {"json": {"detail": "x"}}
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    found = outcomes(root)
    assert found["devices.json"].startswith("partial only the first 2: the answer is not JSON")
    assert found["virtual-machines.json"] == "denied HTTP 403 Forbidden"
    assert found["ip-addresses.json"] == "partial the answer is no list of NetBox"


def test_pages_that_moved_meanwhile_are_partial(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("netbox")
    page = {"count": 3, "next": None, "results": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    recorded.answers["/api/virtualization/virtual-machines/"] = {"json": page}
    recorded.answers["/api/dcim/devices/?limit=500&offset=2&exclude=config_context"] = {
        "json": {"count": 3, "next": "@url@/api/dcim/devices/?limit=500&offset=500", "results": []}
    }
    root, _ = collect(INVENTORY.replace("@url@", recorded.url))
    found = outcomes(root)
    assert found["virtual-machines.json"] == "partial only the first 2: 3 are told of"
    assert found["devices.json"] == "partial only the first 2: an empty page that is not the last one"
