"""Grafana (10 and later): alert rules, contact points, notification policies, silences, data sources and dashboards.

All is of the organization that the token belongs to. Grafana itself redacts what it takes for secret (`[REDACTED]`);
what it shows in URLs all the same is cut off here. Of a dashboard only the queries are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from auditor.capture.http.client import Client, FailedError
from auditor.capture.http.prometheus import silences
from auditor.capture.http.services import (
    MAX_PAGES,
    Kept,
    Step,
    gathered,
    in_parts,
    kept_json,
    listed,
    path_part,
    picked,
)
from auditor.model import Outcome
from auditor.redaction import public_part

_PAGE: Final = 1000
_LIBRARY_PAGE: Final = 100
_PART: Final = 500
"""Panels of the library that are kept in one file."""
_MAX_DEPTH: Final = 10
_RULE: Final = (
    *("uid", "title", "ruleGroup", "folderUID", "condition", "for", "keep_firing_for", "noDataState", "execErrState"),
    *("isPaused", "labels", "annotations", "notification_settings", "record", "updated", "provenance", "data"),
)
_CONTACT: Final = ("uid", "name", "type", "disableResolveMessage", "settings", "provenance")
_SOURCE: Final = ("uid", "name", "type", "access", "url", "database", "isDefault", "readOnly", "jsonData")
_PANEL: Final = ("id", "title", "type", "datasource", "targets")


def _server(client: Client) -> Iterator[Kept | Step]:
    yield Kept(kept_json({"program": "grafana", "url": client.address, "build": client.get("/api/health").json()}))


def _list(path: str, made: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Client], Iterator[Kept | Step]]:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found = [made(one) for one in listed([client.get(path)])]
        if found:
            yield from in_parts(found, indent=1)

    return ask


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule with its queries at the end: what it is stands at the beginning of the file."""
    return picked(rule, _RULE)


def _contact(contact: Mapping[str, Any]) -> dict[str, Any]:
    made = picked(contact, _CONTACT)
    if isinstance(made.get("settings"), dict):
        made["settings"] = {key: _public(value) for key, value in made["settings"].items()}
    return made


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    made = picked(source, _SOURCE)
    made["url"] = _public(made.get("url"))
    return made


def _public(value: Any) -> Any:
    return public_part(value) if isinstance(value, str) and "://" in value else value


def _policies(client: Client) -> Iterator[Kept | Step]:
    """The tree of notification policies, with the mute timings that it names, as in a file of provisioning."""
    tree = client.get("/api/v1/provisioning/policies").json()
    if not isinstance(tree, dict):
        raise TypeError
    partial = ""
    timings: list[Any] = []
    try:
        timings = list(listed([client.get("/api/v1/provisioning/mute-timings")]))
    except FailedError as error:
        partial = f"without mute timings: {error.detail}"
    yield Kept(kept_json({"apiVersion": 1, "policies": [tree], "muteTimes": timings}), partial)


def _dashboards(client: Client) -> Iterator[Kept | Step]:
    found, cut = gathered(_search(client))
    if found:
        yield from in_parts([picked(one, ("uid", "title", "folderTitle")) for one in found], partial=cut)
    for one in found:
        uid = one["uid"]
        if not isinstance(uid, str):
            raise TypeError
        yield Step(f"dashboards/{path_part(uid)}.json", _dashboard(uid))


def _search(client: Client) -> Iterator[Mapping[str, Any]]:
    for page in range(1, MAX_PAGES):
        query: dict[str, str | int] = {"type": "dash-db", "limit": _PAGE, "page": page}
        found = list(listed([client.get("/api/search", query)]))
        yield from found
        if len(found) < _PAGE:
            return
    raise FailedError(Outcome.PARTIAL, f"more than {MAX_PAGES} pages")


def _library(client: Client) -> Iterator[Kept | Step]:
    """The library's panels, as if they were a dashboard: those that have one of them do not repeat its queries."""
    found, cut = gathered(_library_pages(client))
    panels = [_panel(one["model"], 0) for one in found]
    for number, first in enumerate(range(0, len(panels), _PART), 1):
        made = {"title": "(library panels)", "panels": panels[first : first + _PART]}
        yield Kept(kept_json({"dashboard": made}), cut, number)


def _library_pages(client: Client) -> Iterator[Mapping[str, Any]]:
    for page in range(1, MAX_PAGES):
        # 1 is what panels are.
        query: dict[str, str | int] = {"kind": 1, "perPage": _LIBRARY_PAGE, "page": page}
        found = list(listed([client.get("/api/library-elements", query)], "result", "elements"))
        yield from found
        if len(found) < _LIBRARY_PAGE:
            return
    raise FailedError(Outcome.PARTIAL, f"more than {MAX_PAGES} pages")


def _dashboard(uid: str) -> Callable[[Client], Iterator[Kept | Step]]:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found = client.get(f"/api/dashboards/uid/{quote(uid, safe='')}").json()["dashboard"]
        made = {
            "title": found.get("title"),
            "panels": [_panel(one, 0) for one in found.get("panels") or ()],
            "uid": uid,
            "templating": found.get("templating"),
            "annotations": found.get("annotations"),
        }
        yield Kept(kept_json({"dashboard": made}))

    return ask


def _panel(panel: Mapping[str, Any], depth: int) -> dict[str, Any]:
    made = picked(panel, _PANEL)
    if isinstance(panel.get("panels"), list) and depth < _MAX_DEPTH:
        made["panels"] = [_panel(one, depth + 1) for one in panel["panels"]]
    return made


GRAFANA: Final[tuple[Step, ...]] = (
    Step("server.json", _server),
    Step("alert-rules.json", _list("/api/v1/provisioning/alert-rules", _rule)),
    Step("contact-points.json", _list("/api/v1/provisioning/contact-points", _contact)),
    Step("policies.json", _policies),
    Step("silences.json", silences("/api/alertmanager/grafana/api/v2/silences")),
    Step("datasources.json", _list("/api/datasources", _source)),
    Step("library-panels.json", _library),
    Step("dashboards.json", _dashboards, True),
)
"""What is asked of a Grafana."""
