"""Healthchecks: dead man's switches, by the answers of its Management API (v1 to v3), and who pings them.

Sources: templates/docs/api.md of Healthchecks 3. Check and pings belong together by the check's `unique_key`, which is
the name of the file of its pings where `auditor collect` keeps them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
    normal_address,
    parse_time,
    read_yaml,
)

LAST_PINGS: Final = 20
"""Pings by which it is told where they come from: older ones are of a job that has moved since."""

_CHECKS: Final = re.compile(rb"\s*\{\s*\"checks\"\s*:\s*\[")
_PINGS: Final = re.compile(rb"\s*\{\s*\"pings\"\s*:\s*\[")
_SERVICE: Final = re.compile(r"services/([^/]+)/")
_PLACE: Final = re.compile(r"(.*?)(?:checks(?:\.\d+)?|pings/([0-9a-f]{40})(?:\.\d+)?)\.json")


@dataclass(frozen=True, slots=True)
class _Sent:
    """One ping: where it came from, and when (ISO 8601)."""

    address: str
    when: str
    where: Where


class HealthchecksCollector(Collector):
    """Checks of Healthchecks: each is a probe of the kind that is pinged, and raises an alarm when pings stay away.

    Reads
    -----
    The answers `{"checks": […]}` and `{"pings": […]}` of its Management API, as `auditor collect` keeps them.

    Yields
    ------
    A probe "healthchecks <source>/<check>" with its schedule or period, its state and its last ping; it watches the
    addresses that its last 20 pings came from (confidence medium: behind an address may be more than one host), and
    needs the server that takes the pings.

    Can't see
    ---------
    Which job sends a ping: its key is a secret, and is kept nowhere. Addresses behind a translation of addresses, pings
    by mail, and what a read-only API key does not show: all pings.
    """

    name: ClassVar[str] = "healthchecks"
    title: ClassVar[str] = "Healthchecks: checks and where they are pinged from"
    # A dead man's switch looks at one job each: that there are some is no monitoring that was looked at.
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if not path.endswith(".json"):
            return False
        if _CHECKS.match(head):
            return b'"n_pings"' in head or b'"grace"' in head
        return _PINGS.match(head) is not None and b'"remote_addr"' in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One PROBE a check; of pings a fragment."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "scanned for mentions only", not stream.documents)
        for root in stream.documents:
            if not root.is_map:
                continue
            checks = [one for one in root.children("checks") if one.is_map]
            calls = Counter(_called(one) for one in checks)
            for check in checks:
                yield from _check(document.path, stream, check, calls[_called(check)] > 1)
            if sent := tuple(_sent(stream, root)):
                yield Fragment("pings", sent, sent[0].where)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """What each check watches: where its pings came from."""
        checks: dict[tuple[str, str], Ref] = {}
        for one in fragments:
            place = _PLACE.fullmatch(one.path)
            if one.kind == "check" and place is not None and isinstance(one.value, tuple):
                identity, probe = one.value
                checks[place[1], identity] = probe
        for one in fragments:
            place = _PLACE.fullmatch(one.path)
            known = checks.get((place[1], place[2])) if one.kind == "pings" and place is not None else None
            if known is not None and isinstance(one.value, tuple):
                yield from _watched(known, one.path, one.value)


def _called(check: YamlNode) -> str:
    return check.text("name") or check.text("slug") or "unnamed"


def _check(path: str, stream: YamlStream, check: YamlNode, again: bool) -> Iterator[Parsed]:
    identity = check.text("unique_key")
    called = excerpt(_called(check)) + (f" ({excerpt(identity)[:6]})" if again and identity else "")
    source = _SERVICE.match(path)
    probe = Ref(Kind.PROBE, f"healthchecks{f' {source[1]}' if source else ''}/{called}")
    where = stream.where(check.get("name") or check)
    attributes: dict[str, Attribute] = {"program": "ping", "called": f"check {called}", "check": True}
    for key, attribute in (("status", "status"), ("schedule", "schedule"), ("tz", "timezone")):
        if text := check.text(key):
            attributes[attribute] = excerpt(text)
    for key, attribute in (("timeout", "period"), ("grace", "grace"), ("n_pings", "pings")):
        if (text := check.text(key)).isdecimal() and len(text) < 12:
            attributes[attribute] = int(text)
    if when := parse_time(check.text("last_ping")):
        attributes["last_ping"] = when.isoformat()
    yield Entity(probe, where, attributes)
    if (url := check.get("ping_url")) is not None and (server := endpoint_ref(url.scalar)) is not None:
        bare = endpoint_ref("/".join(server.text.split("/", 3)[:3]))
        if bare is not None:
            yield Dependency(probe, bare, Relation.CONNECTS, stream.where(url), Need.RUN)
    if identity:
        yield Fragment("check", (identity, probe), where)


def _sent(stream: YamlStream, root: YamlNode) -> Iterator[_Sent]:
    """The last pings of a list, the last one first."""
    pings = [one for one in root.children("pings") if one.is_map]
    if all(one.text("n").isdecimal() for one in pings):
        pings.sort(key=lambda one: one.text("n").rjust(30, "0"), reverse=True)
    for one in pings[:LAST_PINGS]:
        when = parse_time(one.text("date"))
        address = normal_address(one.text("remote_addr"))
        if address is not None:
            yield _Sent(address, when.isoformat() if when else "", stream.where(one.get("remote_addr") or one))


def _watched(probe: Ref, path: str, pings: Sequence[_Sent]) -> Iterator[Parsed]:
    first: dict[str, _Sent] = {}
    for one in pings:
        first.setdefault(one.address, one)
    where = replace(pings[0].where, path=path)
    known: dict[str, Attribute] = {"pinged_from": tuple(first), "pings_known": len(pings)}
    if pings[-1].when:
        known["pinged_since"] = pings[-1].when
    yield Entity(probe, where, known)
    for address, one in first.items():
        place = replace(one.where, path=path)
        target = Ref(Kind.ADDRESS, address)
        yield Dependency(
            probe, target, Relation.WATCHES, place, Need.OBSERVE, group="targets", confidence=Confidence.MEDIUM
        )
