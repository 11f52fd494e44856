"""Prometheus (2 and 3, and what speaks its API) and Alertmanager (API v2, from 0.16 on): what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from auditor.capture.http.client import Client, FailedError
from auditor.capture.http.services import Kept, Step, in_parts, kept_json, picked
from auditor.model import Outcome
from auditor.redaction import redact
from auditor.text import printable

_TARGET_KEYS: Final = ("scrapePool", "scrapeUrl", "labels", "health", "lastError", "lastScrape", "scrapeInterval")
_RULE_KEYS: Final = (
    *("name", "query", "type", "duration", "keepFiringFor", "labels", "annotations", "state"),
    *("health", "lastError", "lastEvaluation"),
)
_SHORT: Final = 300


def _data(client: Client, path: str, **query: str | int) -> Any:
    """The `data` of an answer of Prometheus' API."""
    return _answered(client, path, **query)[0]


def _answered(client: Client, path: str, **query: str | int) -> tuple[Any, str]:
    """The `data` of an answer, and what of it is missing: Thanos gives what it has, and warns of stores that did not
    answer (partial response)."""
    answer = client.get(path, query or None).json()
    if not isinstance(answer, dict) or answer.get("status") != "success" or "data" not in answer:
        raise FailedError(Outcome.PARTIAL, "the answer is none of Prometheus' API")
    warnings = answer.get("warnings")
    warned = warnings if isinstance(warnings, list) else []
    said = printable(redact("; ".join(str(one) for one in warned[:3])))[:_SHORT]
    return answer["data"], f"it warns that this is not all: {said}" if warned else ""


def _picked(thing: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    found = picked(thing, keys)
    if isinstance(found.get("lastError"), str):
        found["lastError"] = found["lastError"][:_SHORT]
    return found


def _configuration(client: Client) -> Iterator[Kept]:
    """The configuration that runs, as Prometheus writes it: defaults filled in, secrets as `<secret>`."""
    text = _data(client, "/api/v1/status/config")["yaml"]
    if not isinstance(text, str):
        raise TypeError
    yield Kept(text.encode())


def _targets(client: Client) -> Iterator[Kept]:
    """The targets that are scraped, discovered ones too, each with its health and last scrape."""
    data, partial = _answered(client, "/api/v1/targets", state="active")
    targets = [_picked(one, _TARGET_KEYS) for one in data["activeTargets"]]
    yield from in_parts(targets, '{"status": "success", "data": {"activeTargets": [', "]}}", partial)


def _rules(client: Client) -> Iterator[Kept]:
    """All rules that are evaluated, without the alerts that fire just now."""
    data, partial = _answered(client, "/api/v1/rules")
    groups = [
        {
            **_picked(group, ("name", "file", "interval", "lastEvaluation")),
            "rules": [_picked(rule, _RULE_KEYS) for rule in group["rules"]],
        }
        for group in data["groups"]
    ]
    parts: list[list[dict[str, Any]]] = [[]]
    count = 0
    for group in groups:
        count += len(group["rules"]) + 1
        if count > 2000 and parts[-1]:
            parts.append([])
            count = len(group["rules"]) + 1
        parts[-1].append(group)
    for number, part in enumerate(parts, 1):
        yield Kept(kept_json({"status": "success", "data": {"groups": part}}), partial, number)


def _server(client: Client) -> Iterator[Kept]:
    yield Kept(
        kept_json({"program": "prometheus", "url": client.address, "build": _data(client, "/api/v1/status/buildinfo")})
    )


PROMETHEUS: Final[tuple[Step, ...]] = (
    Step("server.json", _server),
    Step("prometheus.yml", _configuration),
    Step("targets.json", _targets),
    Step("rules.json", _rules),
)
"""What is asked of a Prometheus."""


def _manager(client: Client) -> Iterator[Kept]:
    """Version, peers and address of an Alertmanager."""
    status = client.get("/api/v2/status").json()
    peers = [
        str(urlsplit(f"//{peer['address']}").hostname or "") for peer in status.get("cluster", {}).get("peers") or ()
    ]
    told = {"program": "alertmanager", "url": client.address, "build": status.get("versionInfo", {}), "peers": peers}
    yield Kept(kept_json(told))


def _manager_configuration(client: Client) -> Iterator[Kept]:
    text = client.get("/api/v2/status").json()["config"]["original"]
    if not isinstance(text, str):
        raise TypeError
    yield Kept(text.encode())


def silences(path: str) -> Callable[[Client], Iterator[Kept]]:
    """Asks for silences; those that hold now or later are kept, and those that have ended are left out."""

    def ask(client: Client) -> Iterator[Kept]:
        found = [one for one in client.get(path).json() if one["status"]["state"] != "expired"]
        keys = ("id", "status", "matchers", "startsAt", "endsAt", "createdBy", "comment")
        yield from in_parts([_picked(one, keys) for one in found])

    return ask


ALERTMANAGER: Final[tuple[Step, ...]] = (
    Step("server.json", _manager),
    Step("alertmanager.yml", _manager_configuration),
    Step("silences.json", silences("/api/v2/silences")),
)
"""What is asked of an Alertmanager."""
