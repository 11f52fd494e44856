"""Grafana's dashboards as JSON: only the hosts that an expression names literally, and data sources given by a URL.

What a variable or a regular expression selects is not followed: a dashboard alerts nobody, and a fleet's dashboards
would flood the graph. Read from the dashboard JSON model of Grafana 12 (schemaVersion 42).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    endpoint_ref,
    excerpt,
)
from collectors.prometheus.promql import read_expression

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_EXPRESSIONS: Final = 5_000
_SUFFIXES: Final = (".json", ".json.j2", ".json.erb")
_TEXT: Final = re.compile(r'"(expr|definition|query|url)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LABEL: Final = re.compile(r"\b(?:instance|target|host|hostname|fqdn|nodename|server)\s*=~?\s*\\?[\"']")


class GrafanaDashboardsCollector(Collector):
    """Which hosts people look at on a dashboard.

    Reads
    -----
    Dashboards of Grafana as JSON, exported, provisioned or as the API answers them, by their first keys.

    Yields
    ------
    A service "grafana dashboard <title>" that watches each host which an expression names literally, each once.

    Can't see
    ---------
    Hosts that a variable or a regular expression selects, and queries in other languages than PromQL.
    """

    name: ClassVar[str] = "grafana_dashboards"
    title: ClassVar[str] = "Grafana dashboards: the hosts that their panels name"
    # People look at a dashboard when they know already: it is no monitoring that was looked at.
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if not path.endswith(_SUFFIXES):
            return False
        return b'"panels"' in head or b'"__inputs"' in head or (b'"annotations"' in head and b"Grafana" in head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        yield from read_dashboard(document.path, decode(document.content))


def read_dashboard(path: str, text: str) -> Iterator[Parsed]:
    """The facts of one dashboard; nothing of JSON that is none."""
    from collectors.prometheus.pool import named_hosts

    on_host = path.startswith("/")
    if len(text) > MAX_BYTES:
        yield Malformed(Where(0), "a dashboard larger than 16 MiB", "scanned for mentions only", whole=True)
        return
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        root = None
    if isinstance(root, dict) and isinstance(root.get("dashboard"), dict):
        root = root["dashboard"]
    if not isinstance(root, dict) or not isinstance(root.get("panels", root.get("rows")), list):
        return
    title = root.get("title")
    called = excerpt(title) if isinstance(title, str) and title else path.rpartition("/")[2]
    service = Ref(Kind.SERVICE, f"grafana dashboard {called}")
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    watched: dict[Ref, tuple[Where, Confidence, Relation]] = {}
    for count, found in enumerate(_TEXT.finditer(text)):
        if count >= MAX_EXPRESSIONS * 10:
            break
        written = found[2]
        if found[1] != "url" and not _LABEL.search(written):
            continue
        line = bisect_right(starts, found.start())
        where = Where(line, excerpt(text[starts[line - 1] : starts[line - 1] + 4096].split("\n", 1)[0]))
        try:
            value = json.loads(f'"{written}"')
        except ValueError:
            continue
        if found[1] == "url":
            # Links to pages are for people; a data source that is written out has its type beside it.
            around = text[max(found.start() - 400, 0) : found.end() + 400]
            if '"access"' in around and (ref := endpoint_ref(value)) and "$" not in value:
                watched.setdefault(ref, (where, Confidence.HIGH, Relation.CONNECTS))
            continue
        # Variables stand for what people choose.
        for selector in read_expression(value).selectors:
            for name, exact in named_hosts(selector):
                if "$" not in name and (ref := endpoint_ref(name)):
                    watched.setdefault(ref, (where, Confidence.MEDIUM if exact else Confidence.LOW, Relation.WATCHES))
    if not watched:
        return
    first = next(iter(watched.values()))[0]
    yield Entity(service, first, {"part_of": "grafana", "dashboard": called})
    if on_host:
        yield Dependency(service, THIS_HOST, Relation.RUNS_ON, first)
    for ref, (where, confidence, relation) in watched.items():
        need = Need.OBSERVE if relation is Relation.WATCHES else Need.READ
        group = "targets" if relation is Relation.WATCHES else ""
        yield Dependency(service, ref, relation, where, need, group=group, confidence=confidence)
