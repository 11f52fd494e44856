"""Grafana's dashboards as JSON: only the hosts that an expression names literally, and data sources given by a URL.

What a variable or a regular expression selects is not followed: a dashboard alerts nobody, and a fleet's dashboards
would flood the graph. Read from the dashboard JSON model of Grafana 12 (schemaVersion 42).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from auditor.api import (
    THIS_HOST,
    Confidence,
    Dependency,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    excerpt,
)
from collectors.prometheus.promql import Selector, read_expression

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_EXPRESSIONS: Final = 5_000
_TEXT: Final = re.compile(r'"(expr|definition|query|url)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LABEL: Final = re.compile(r"\b(?:instance|target|host|hostname|fqdn|nodename|server)\s*=~?\s*\\?[\"']")


def read_dashboard(
    path: str, text: str, on_host: bool, named: Callable[[Selector], Iterator[tuple[str, bool]]]
) -> Iterator[Parsed]:
    """A service "grafana dashboard <title>" that watches each host its panels name. `named` finds them in selectors."""
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
            for name, exact in named(selector):
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
