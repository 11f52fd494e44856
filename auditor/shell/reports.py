"""What tells others that a command ran: pings of a dead man's switch, metrics for a Pushgateway or textfile collector.

A ping is a watcher of what sends it: if it stays away, the service raises an alarm. Which stage it shows follows from
where it stands: after `&&`, in `then`, under `set -e` or with `$?` in its URL it tells of success, else only that
something was attempted. Services: healthchecks.io (also at a host of one's own), Cronitor, Dead Man's Snitch, Better
Stack, Uptime Kuma, Oh Dear, StatusCake, UptimeRobot, Opsgenie, Sentry, by their documented URLs. The key in a URL is a
secret: only the host is kept. Pushgateway's paths are those of its README (`/metrics/job/<job>`); a textfile collector
reads `*.prom` (node_exporter's README).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from auditor.model import Dependency, Entity, Fact, Kind, Need, Ref, Relation, Where
from auditor.patterns import lazy_pattern
from auditor.text import excerpt, split_endpoint

PING_LIMIT: Final = 100
"""Pings of one script that are followed."""

_KEY: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PING: Final = lazy_pattern(
    r"(?:hc-ping\.com|hchk\.io|cronitor\.link|nosnch\.in|ping\.ohdear\.app|push\.statuscake\.com|"
    r"heartbeat\.uptimerobot\.com)(?:/|$)|cronitor\.io/(?:p|ping)/|(?:betterstack|betteruptime)\.com/api/v1/heartbeat/|"
    rf"/ping/(?:{_KEY}|\$)|/api/push/[\w$]|opsgenie\.com/v2/heartbeats/|sentry\.io/api/[^/]+/cron/|cronhub\.io/",
    re.I,
)
_URL: Final = lazy_pattern(r"https?://[^\s'\"<>|;&)`]+(?:&[\w$][^\s'\"<>|;&)`]*)*", re.I)
_START: Final = lazy_pattern(r"/start\b|state=run\b|in_progress", re.I)
_FAIL: Final = lazy_pattern(r"/fail\b|state=fail\b|status=(?:down|error)\b|/[1-9]\d{0,2}(?:[?#].*)?$", re.I)
# The exit code of what ran, behind the key.
_CODE: Final = lazy_pattern(r"/[^/]+/(?:.*/)?\$\{?(?:\?|\w*(?:exit|code|status|rc|ret|result)\w*)\}?$", re.I)
_VALUE: Final = lazy_pattern(r"(?m)^\s*(?:(?:export|readonly|local)\s+)?([A-Za-z_]\w*)=[\"']?(https?://[^\s\"';]+)")
_RUN: Final = frozenset({Kind.JOB, Kind.PATH, Kind.UNIT})
_SEPARATOR: Final = lazy_pattern(r"(?:&&|\|\||\b(?:then|else|do)\b)\s*|[;\n{(]|\|(?!\|)|&(?![\w$&])")
_ERREXIT: Final = lazy_pattern(r"(?m)^\s*set\s+-\w*e|^\s*set\s+-o\s+errexit|^#!.*sh\s+-\w*e")
_PUSHED: Final = lazy_pattern(r"/metrics/job(?:@base64)?/([^/?#]+)")
_ATTEMPTED: Final = ("attempted",)
_SUCCEEDED: Final = ("succeeded",)


def told(
    facts: Iterable[Fact],
    text: str,
    consumer: Ref,
    where: Where,
    environment: Mapping[str, str],
    script: bool,
    after: bool,
) -> Iterator[Fact]:
    """The facts of a command, and what they say of pings and metrics.

    With `script` the text begins at `where.line`. `after`: the command runs only after others that succeeded.
    """
    if consumer.kind not in _RUN:
        yield from facts
        return
    reports: dict[str, Where] = {}
    for fact in facts:
        if not isinstance(fact, Dependency):
            yield fact
            continue
        if fact.relation is Relation.CONNECTS and (pushed := _PUSHED.search(fact.provider.text)):
            # It has to keep what it is given.
            fact = replace(fact, need=Need.WRITE)
            reports.setdefault(f"push {excerpt(pushed[1])}", fact.where)
        elif fact.relation is Relation.WRITES and fact.provider.text.endswith(".prom"):
            reports.setdefault(f"textfile {fact.provider.text}", fact.where)
        yield fact
    if reports:
        yield Entity(consumer, next(iter(reports.values())), {"reports": tuple(reports)})
    values = {name: value for name, value in environment.items() if "://" in value and _PING.search(value)}
    if values or ("://" in text and _PING.search(text)):
        yield from _pings(text, values, consumer, where, script, after)


def _pings(text: str, values: dict[str, str], consumer: Ref, where: Where, script: bool, after: bool) -> Iterator[Fact]:
    values |= dict(_VALUE.findall(text))
    stops_at_errors = after or _ERREXIT.search(text) is not None
    stages: dict[str, tuple[Where, dict[str, None]]] = {}
    uses = re.compile(rf"\$\{{?({'|'.join(map(re.escape, values))})\b\}}?[^\s'\"<>|;&)]*") if values else None
    found = [(one.start(), one[0], one[0]) for one in _URL.finditer(text) if not _assigned(text, one.start())]
    if uses is not None:
        found += [(one.start(), values[one[1]], values[one[1]] + one[0]) for one in uses.finditer(text)]
    for start, url, written in sorted(found)[:PING_LIMIT]:
        line_start = text.rfind("\n", 0, start) + 1
        if not _PING.search(url) or text[line_start:start].lstrip().startswith("#"):
            continue
        parts = split_endpoint(url)
        if parts is None:
            continue
        row = text.count("\n", 0, start)
        end = text.find("\n", start)
        place = where
        if script:
            place = replace(
                where, line=max(where.line, 1) + row, excerpt=excerpt(text[line_start : end if end > 0 else None])
            )
        known = stages.setdefault(parts.host, (place, {}))
        known[1].update(dict.fromkeys(_stage(text[:start], written, stops_at_errors, after)))
    for host, (place, shown) in stages.items():
        probe = Ref(Kind.PROBE, f"ping {host}/{consumer.text}", consumer.scope)
        stage = tuple(one for one in (*_ATTEMPTED, *_SUCCEEDED) if one in shown)
        yield Entity(probe, place, {"program": "ping", "called": f"the ping to {host}", "stage": stage})
        yield Dependency(probe, consumer, Relation.WATCHES, place, Need.OBSERVE)
        yield Dependency(probe, Ref(Kind.ENDPOINT, f"https://{host}"), Relation.CONNECTS, place, Need.RUN)


def _assigned(text: str, start: int) -> bool:
    """Whether a URL is the value of a variable, and no command's argument."""
    return re.search(r"\w=[\"']?$", text[max(start - 40, 0) : start]) is not None and not re.search(
        r"--?[\w-]+=[\"']?$", text[max(start - 40, 0) : start]
    )


def _stage(before: str, url: str, stops_at_errors: bool, after: bool) -> tuple[str, ...]:
    """The stages of a job that one ping shows."""
    if _START.search(url):
        return _ATTEMPTED
    if _FAIL.search(url):
        return _SUCCEEDED
    if _CODE.search(url.partition("://")[2]):
        return (*_ATTEMPTED, *_SUCCEEDED)
    separators = [one[0].strip() or ";" for one in _SEPARATOR.finditer(re.sub(r"(?m)(?:^|\s)#.*$", "", before)[-4096:])]
    commands = [one for one in separators if one not in ("{", "(")]
    last = commands[-1] if commands else ""
    if last in ("&&", "then"):
        return (*_ATTEMPTED, *_SUCCEEDED)
    if last in ("||", "else"):
        return _SUCCEEDED
    certain = stops_at_errors and last != "|" and (last or after)
    return (*_ATTEMPTED, *_SUCCEEDED) if certain else _ATTEMPTED
