"""Joins files: file_sd lists with their jobs, alerts with what they look at, alerts with the receivers they reach.

Rules, lists and routes may lie on other hosts than the configuration that uses them, or in a repository. A pattern of
file names is followed exactly where the files are beside each other; else, and in a repository, by the end of the
path, and of several candidates by the nearest directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from itertools import islice
from posixpath import dirname, normpath
from posixpath import join as join_path
from typing import Final

from auditor.api import (
    TEMPLATE,
    Confidence,
    Dependency,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    split_endpoint,
)
from collectors.prometheus.alertmanager import Routing, holds, receivers_of
from collectors.prometheus.config import Config, Job, Target, TargetGroup, final_targets, probe_ref, target_facts
from collectors.prometheus.promql import Matcher, Selector
from collectors.prometheus.rules import RuleFile, RuleItem

MAX_WATCHED: Final = 200
"""Targets that an alert may watch one by one; beyond, it watches their scrape jobs."""

MAX_PATTERN: Final = 4096
MAX_ALTERNATIVES: Final = 1000

MAX_FOLLOWED: Final = 1000
"""Selectors that one alert may stand for once its recording rules are followed."""

_INSTANCE_LABELS: Final = frozenset({"instance", "target", "host", "hostname", "fqdn", "nodename", "server"})
# Exporters by the beginning of their metrics: the port they have by convention, and what their jobs are called.
_EXPORTERS: Final = (
    ("node_", {9100}, "node"),
    ("windows_", {9182}, "windows|wmi"),
    ("mysql_", {9104}, "mysql|mariadb"),
    ("pg_", {9187}, "postgres|pg"),
    ("redis_", {9121}, "redis"),
    ("memcached_", {9150}, "memcache"),
    ("haproxy_", {8404, 9101}, "haproxy"),
    ("nginx_", {9113}, "nginx"),
    ("apache_", {9117}, "apache"),
    ("bind_", {9119}, "bind|dns"),
    ("prometheus_", {9090}, "prometheus"),
    ("alertmanager_", {9093}, "alertmanager"),
    ("pushgateway_", {9091}, "pushgateway"),
    ("x509_", {9793}, "x509|cert"),
    ("ssl_", {9219}, "ssl|tls|cert"),
    ("container_", {8080, 10250}, "cadvisor|kubelet|container"),
)
_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\\-)*(?:(?:\\?\.)[A-Za-z0-9_](?:[A-Za-z0-9_-]|\\-)*)*"
_LITERAL: Final = re.compile(rf"(?:(?:https?|tcp)(?::|\\:)//)?{_NAME}(?::\d+)?(?:/[\w./-]*)?")
_PORT_TAIL: Final = re.compile(
    r"(?::(?:\.[*+]|\\d[+*]|\[0-9\][+*]|\(\.[*+]\))|\(:(?:\.[*+]|\\d[+*]|\[0-9\][+*]|\d+)\)\?|\(:\.[*+]\)[?*])$"
)
_FULL_NAME_TAIL: Final = re.compile(r"(?<=\.[a-z][a-z])\.[*+]$|(?<=\.[a-z]{3})\.[*+]$")


@dataclass(frozen=True, slots=True)
class _Piece:
    """One fragment with the path that its document has on its own host or in its tree."""

    fragment: Fragment
    path: str

    @property
    def source(self) -> str:
        return self.fragment.source

    def where(self, where: Where) -> Where:
        return replace(where, path=self.fragment.path)


def combine(fragments: Sequence[Fragment]) -> Iterator[Parsed]:
    """All facts that need several files."""
    pieces: dict[str, list[_Piece]] = {}
    for fragment in fragments:
        prefix = f"hosts/{fragment.source}/"
        path = (
            fragment.path[len(prefix) - 1 :] if fragment.source and fragment.path.startswith(prefix) else fragment.path
        )
        pieces.setdefault(fragment.kind, []).append(_Piece(fragment, path))
    lists = pieces.get("file_sd", [])
    scrape_files: dict[tuple[str, str], list[_Server]] = {}
    servers: list[_Server] = []
    for piece in pieces.get("config", []):
        server = _Server(piece)
        yield from server.read_lists(lists)
        servers.append(server)
    mains = [server for server in servers if server.config.main]
    for server in servers:
        if server.config.main:
            others = [other for other in servers if not other.config.main]
            chosen = _chosen(server.piece, server.config.scrape_files, [other.piece for other in others])
            server.parts = [other for other in others if other.piece in chosen]
            for other in server.parts:
                scrape_files.setdefault((other.piece.source, other.piece.path), []).append(server)
    heads = mains + [
        server
        for server in servers
        if not server.config.main and (server.piece.source, server.piece.path) not in scrape_files
    ]
    yield from _alerts(pieces.get("rules", []), heads, pieces.get("alertmanager", []))


class _Server:
    """One configuration with all its targets."""

    def __init__(self, piece: _Piece) -> None:
        assert isinstance(piece.fragment.value, Config)
        self.piece = piece
        self.config = piece.fragment.value
        self.parts: list[_Server] = []
        self.targets: list[Target] = []
        self.hidden: list[Job] = [job for job in self.config.jobs if job.hidden or job.names]
        for job in self.config.jobs:
            self.targets += [target for target in final_targets(job, job.groups) if isinstance(target, Target)]

    def read_lists(self, lists: Sequence[_Piece]) -> Iterator[Parsed]:
        """Targets from file_sd lists. A pattern that finds no list leaves the job's targets partly unseen."""
        source = self.piece.source
        home = Ref(Kind.HOST, source) if source and self.piece.path.startswith("/") else None
        for job in self.config.jobs:
            for pattern, where in job.files:
                chosen = _chosen(self.piece, (pattern,), lists)
                if not chosen:
                    if job not in self.hidden:
                        self.hidden.append(job)
                    place = self.piece.where(where)
                    yield Malformed(
                        place, f"no file_sd list is at hand for {pattern!r}", "its targets are not known here"
                    )
                    yield Entity(Ref(Kind.SCRAPE, job.name, source), self.piece.where(job.where), {"dynamic": True})
                for found in chosen:
                    groups = found.fragment.value
                    assert isinstance(groups, tuple)
                    moved = (
                        TargetGroup(tuple((t, found.where(w)) for t, w in group.targets), group.labels)
                        for group in groups
                    )
                    for target in final_targets(job, moved, found.path):
                        if isinstance(target, Malformed):
                            yield target
                        else:
                            self.targets.append(target)
                            at = self.piece.where(job.exporter) if job.exporter else None
                            yield from target_facts(target, source, home, target.where, at)

    def all_targets(self) -> list[Target]:
        return [target for server in (self, *self.parts) for target in server.targets]

    def all_hidden(self) -> list[Job]:
        return [job for server in (self, *self.parts) for job in server.hidden]


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _chosen(piece: _Piece, patterns: Iterable[str], candidates: Sequence[_Piece]) -> list[_Piece]:
    """The documents that patterns in a configuration mean, see `_found`."""
    return [found for found, _ in _found(piece, patterns, candidates)]


def _found(piece: _Piece, patterns: Iterable[str], candidates: Sequence[_Piece]) -> list[tuple[_Piece, bool]]:
    """The documents that patterns in a configuration mean, and whether by their exact path.

    First the exact paths, relative to the configuration, of the same source. Else those of a repository that end in
    the pattern's last directory and name (in the name alone if it has no directory), and of these the ones with the
    longest common directory.
    """
    found: dict[int, tuple[_Piece, bool]] = {}
    for pattern in patterns:
        pattern = pattern.replace(TEMPLATE, "*")
        full = normpath(join_path(dirname(piece.path), pattern))
        matches = _glob(full)
        exact = [
            other
            for other in candidates
            if other.source == piece.source and other.path.count("/") == full.count("/") and matches.match(other.path)
        ]
        for other in exact or _by_suffix(piece, pattern, candidates):
            found.setdefault(id(other), (other, bool(exact)))
    return list(found.values())


def _by_suffix(piece: _Piece, pattern: str, candidates: Sequence[_Piece]) -> list[_Piece]:
    parts = [part for part in pattern.split("/") if part not in ("", ".", "..")][-2:]
    if not parts:
        return []
    # On a captured host the exact path counts: only a repository has its files elsewhere.
    found = [other for other in candidates if not other.source and _ends_in(other.path, parts)]
    nearest = max((_common(piece.path, other.path) for other in found), default=0)
    return [other for other in found if _common(piece.path, other.path) == nearest]


def _ends_in(path: str, parts: Sequence[str]) -> bool:
    ends = path.split("/")[-len(parts) :]
    name = ends[-1]
    for suffix in (".j2", ".tmpl", ".tpl", ".erb"):
        name = name.removesuffix(suffix)
    return len(ends) == len(parts) and all(
        _glob(part).match(end) is not None for part, end in zip(parts, (*ends[:-1], name), strict=True)
    )


def _common(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count


class _Pool:
    """The targets that a rule file can look at, with an index of their labels: bit n of a mask is target n."""

    def __init__(self, servers: Sequence[_Server]) -> None:
        self.servers = servers
        self.targets = [(server.piece.source, target) for server in servers for target in server.all_targets()]
        self.hidden = [(server.piece.source, job) for server in servers for job in server.all_hidden()]
        self.everything = (1 << len(self.targets)) - 1
        collected: dict[str, dict[str, list[int]]] = {}
        probing, ports = [], []
        jobs: dict[Ref, list[int]] = {}
        for number, (source, target) in enumerate(self.targets):
            jobs.setdefault(Ref(Kind.SCRAPE, target.job.name, source), []).append(number)
            for name, value in target.labels:
                collected.setdefault(name, {}).setdefault(value, []).append(number)
            if target.portless:
                # Prometheus 2 added the scheme's port, and rules were written for it.
                for port in (80, 443):
                    collected["instance"].setdefault(f"{target.address}:{port}", []).append(number)
            if _probes(target.probe, target.metrics_path):
                probing.append(number)
            parts = split_endpoint(target.address)
            ports.append(parts.port if parts else None)
        self.labels = {
            name: {value: _mask(numbers) for value, numbers in values.items()} for name, values in collected.items()
        }
        self.of_jobs = {ref: _mask(numbers) for ref, numbers in jobs.items()}
        self.probing = _mask(probing)
        self.ports = ports
        self.memo: dict[tuple[Matcher, bool], int] = {}
        self.exposing: dict[str, int] = {}

    def mask(self, matcher: Matcher, strict: bool) -> int:
        """Targets that meet a matcher. `strict`: the series has no labels of its own."""
        known = self.memo.get((matcher, strict))
        if known is not None:
            return known
        label, operator, value = matcher
        values = self.labels.get(label)
        if values is None and not strict:
            result = self.everything
        else:
            positive = {"!=": "=", "!~": "=~"}.get(operator, operator)
            met, present = 0, 0
            for actual, mask in (values or {}).items():
                present |= mask
                if holds(positive, value, actual):
                    met |= mask
            if holds(positive, value, ""):
                met |= self.everything & ~present
            result = met if positive == operator else self.everything & ~met
        self.memo[matcher, strict] = result
        return result

    def unseen(self, selector: Selector) -> list[tuple[str, Job]]:
        """Jobs with targets that are not known here and that may have series for a selector."""
        found = [(scope, job) for scope, job in self.hidden if _may_expose(job, selector)]
        for prefix, _, jobs in _EXPORTERS:
            if selector.metric.startswith(prefix):
                found = [(scope, job) for scope, job in found if re.search(jobs, job.name, re.I)] or found
        return found

    def exposes(self, metric: str) -> int:
        """Targets that may have a metric: probes have those of a probe, an exporter is known by port and job."""
        if metric not in self.exposing:
            if not metric or _of_scrape(metric):
                found = self.everything
            elif metric.startswith("probe_"):
                found = self.probing
            else:
                found = self.everything & ~self.probing
                for prefix, ports, jobs in _EXPORTERS:
                    if metric.startswith(prefix):
                        fitting = _mask(
                            number
                            for number, (_, target) in enumerate(self.targets)
                            if self.ports[number] in ports or re.search(jobs, target.job.name, re.I)
                        )
                        found = found & fitting or found
            self.exposing[metric] = found
        return self.exposing[metric]


def _mask(numbers: Iterable[int]) -> int:
    result = 0
    for number in numbers:
        result |= 1 << number
    return result


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _of_scrape(metric: str) -> bool:
    """Whether Prometheus itself makes a metric of each scrape, with the target's labels alone."""
    return metric == "up" or metric.startswith("scrape_")


def _probes(probe: str, metrics_path: str) -> bool:
    return bool(probe) and metrics_path.rstrip("/").endswith("/probe")


def _alerts(files: Sequence[_Piece], servers: Sequence[_Server], managers: Sequence[_Piece]) -> Iterator[Parsed]:
    pools: dict[tuple[int, ...], _Pool] = {}
    followers: dict[tuple[str, tuple[int, ...]], _Follower] = {}
    assigned: list[tuple[_Piece, RuleFile, tuple[int, ...]]] = []
    loaded: dict[int, list[tuple[bool, int, int]]] = {}
    for index, server in enumerate(servers):
        for piece, exact in _found(server.piece, server.config.rule_files, files):
            loaded.setdefault(id(piece), []).append((exact, _common(server.piece.path, piece.path), index))
    for piece in files:
        value = piece.fragment.value
        assert isinstance(value, RuleFile)
        own = [index for index, server in enumerate(servers) if server.piece.source == piece.source]
        claims = loaded.get(id(piece), [])
        best = max((claim[:2] for claim in claims), default=None)
        # Several configurations may well load one file: all that name it exactly, or all that are equally near.
        named = [index for exact, near, index in claims if exact or (not best or (exact, near) == best)]
        chosen = tuple(named or own or range(len(servers)))
        if chosen not in pools:
            pools[chosen] = _Pool([servers[index] for index in chosen])
        key = (piece.source, chosen)
        followers.setdefault(key, _Follower()).add(value)
        assigned.append((piece, value, chosen))
    for piece, value, chosen in assigned:
        pool = pools[chosen]
        routings = _managers_of(piece, pool, managers)
        for rule in value.rules:
            if rule.alert:
                yield from _alert(piece, rule, pool, followers[piece.source, chosen], routings)


class _Follower:
    """Follows recording rules, and alerts named in ALERTS, to the selectors behind them."""

    def __init__(self) -> None:
        self.recorded: dict[str, list[RuleItem]] = {}
        self.alerts: dict[str, list[RuleItem]] = {}

    def add(self, file: RuleFile) -> None:
        for rule in file.rules:
            if rule.record:
                self.recorded.setdefault(rule.record, []).append(rule)
            else:
                self.alerts.setdefault(rule.name, []).append(rule)

    def follow(self, rule: RuleItem) -> list[Selector]:
        found: dict[Selector, None] = {}
        stack: list[tuple[Selector, frozenset[str]]] = [
            (selector, frozenset()) for selector in reversed(rule.selectors)
        ]
        steps = 0
        while stack and len(found) < MAX_FOLLOWED and steps < 10 * MAX_FOLLOWED:
            steps += 1
            selector, passed = stack.pop()
            name = selector.metric
            behind = self.recorded.get(name, [])
            if name in ("ALERTS", "ALERTS_FOR_STATE"):
                wanted = [value for label, op, value in selector.matchers if label == "alertname" and op == "="]
                behind = [item for value in wanted for item in self.alerts.get(value, [])]
                name = f"ALERTS {wanted}"
            if not behind or name in passed:
                found[selector] = None
                continue
            for item in behind:
                replaced = {label for label, _ in item.labels} | {*item.open_labels, "alertname", "alertstate"}
                kept = tuple(matcher for matcher in selector.matchers if matcher[0] not in replaced)
                stack.extend(
                    (Selector(inner.metric, (*inner.matchers, *kept)), passed | {name})
                    for inner in reversed(item.selectors)
                )
        return list(found)


def _alert(
    piece: _Piece, rule: RuleItem, pool: _Pool, follower: _Follower, routings: Sequence[_Piece]
) -> Iterator[Parsed]:
    alert = Ref(Kind.ALERT, rule.alert, piece.source)
    where = piece.where(rule.where)
    watched: dict[Ref, Confidence] = {}
    matched, hidden = 0, False

    def watch(ref: Ref, confidence: Confidence) -> None:
        if watched.get(ref) is not Confidence.HIGH:
            watched[ref] = confidence

    for selector in follower.follow(rule):
        mask = pool.exposes(selector.metric)
        for matcher in selector.matchers:
            mask &= pool.mask(matcher, _of_scrape(selector.metric))
        matched |= mask
        # A metric that any target might have: nothing says which of them do.
        known = _of_scrape(selector.metric) or selector.metric.startswith("probe_")
        sure = Confidence.HIGH if known or mask != pool.everything & ~pool.probing else Confidence.LOW
        if mask.bit_count() > MAX_WATCHED:
            for job_ref, own in pool.of_jobs.items():
                if mask & own:
                    watch(job_ref, sure)
        else:
            for number in _bits(mask):
                scope, target = pool.targets[number]
                seen = _seen(target, selector.metric)
                if seen is not None:
                    watch(Ref(seen.kind, seen.text, scope if seen.kind.is_local else ""), sure)
        named = list(_named(selector))
        if not mask:
            for name, exact in named:
                if ref := endpoint_ref(name):
                    watch(ref, Confidence.HIGH if exact else Confidence.MEDIUM)
        if not named:
            for scope, job in pool.unseen(selector):
                hidden = True
                watch(Ref(Kind.SCRAPE, job.name, scope), Confidence.MEDIUM)
    for ref, confidence in watched.items():
        yield Dependency(alert, ref, Relation.WATCHES, where, Need.OBSERVE, group="targets", confidence=confidence)
    yield from _notified(alert, piece, rule, pool, matched, hidden, routings)


def _seen(target: Target, metric: str) -> Ref | None:
    """What a metric of a target tells of: `up` of a probe tells of the exporter, not of what it asks."""
    if target.probe and not _of_scrape(metric):
        return probe_ref(target)
    return target.provider


def _may_expose(job: Job, selector: Selector) -> bool:
    """Whether a job whose targets are not known here may have series that a selector selects."""
    probes = _probes(dict(job.parameters).get("__param_target", ""), dict(job.base)["__metrics_path__"]) or dict(
        job.base
    )["__metrics_path__"].endswith("/probe")
    if not _of_scrape(selector.metric) and selector.metric and selector.metric.startswith("probe_") != probes:
        return False
    if any(step.target_label == "job" or step.action == "labelmap" for step in job.steps):
        return True
    return all(holds(operator, value, job.name) for label, operator, value in selector.matchers if label == "job")


def _named(selector: Selector) -> Iterator[tuple[str, bool]]:
    """Hosts that a selector names itself, and whether exactly so."""
    for label, operator, value in selector.matchers:
        if label not in _INSTANCE_LABELS or operator not in ("=", "=~") or "{{" in value or TEMPLATE in value:
            continue
        if operator == "=":
            if value:
                yield value, True
        else:
            yield from ((name, False) for name in literal_names(value))


def literal_names(pattern: str) -> Iterator[str]:
    """Alternatives of a regular expression that are one name each: `a\\.b\\.org:9100`, `(web|db)-01(:.*)?`.

    A dot between two letters is taken for a dot, whether escaped or not. `web.*` names no host.
    """
    for alternative in _alternatives(pattern[:MAX_PATTERN], 0):
        bare = _PORT_TAIL.sub("", alternative)
        bare = _FULL_NAME_TAIL.sub("", bare)
        if _LITERAL.fullmatch(bare):
            yield re.sub(r"\\(.)", r"\1", bare)


def _alternatives(pattern: str, depth: int) -> list[str]:
    """An expression without its first level of `|`, and without groups of alternatives; at most MAX_ALTERNATIVES."""
    pattern = pattern.removeprefix("^").removesuffix("$")
    parts, level, start = [], 0, 0
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
        elif character in "([":
            level += 1
        elif character in ")]":
            level -= 1
        elif character == "|" and level == 0:
            parts.append(pattern[start:at])
            start = at + 1
        at += 1
    parts.append(pattern[start:])
    if len(parts) > 1:
        return list(islice((text for part in parts for text in _alternatives(part, depth)), MAX_ALTERNATIVES))
    found = re.search(r"\((?:\?:)?([^()]*)\)(?![?*+{])", pattern)
    if found is None or depth > 5 or not re.fullmatch(r"[\w\\.:|/-]+", found[1]):
        return [pattern]
    return list(
        islice(
            (
                text
                for part in found[1].split("|")
                for text in _alternatives(pattern[: found.start()] + part + pattern[found.end() :], depth + 1)
            ),
            MAX_ALTERNATIVES,
        )
    )


def _managers_of(piece: _Piece, pool: _Pool, managers: Sequence[_Piece]) -> list[_Piece]:
    """The Alertmanagers that get an alert: those that Prometheus names, else those beside the rules, else all."""
    named: list[_Piece] = []
    for server in pool.servers:
        for address in server.config.alertmanagers:
            parts = split_endpoint(address)
            if parts is None:
                continue
            own = parts.host == "localhost" or parts.host.startswith("127.") or parts.host == "::1"
            for manager in managers:
                host = manager.source
                if (
                    (own and host == server.piece.source)
                    or (host and parts.host in (host, host.partition(".")[0]))
                    or (host and parts.host.partition(".")[0] == host)
                ):
                    named.append(manager)
    candidates = named or [manager for manager in managers if manager.source == piece.source] or list(managers)
    if len({manager.source for manager in candidates}) == 1 and not candidates[0].source:
        # A repository may hold several environments: the nearest one counts.
        nearest = max(_common(piece.path, manager.path) for manager in candidates)
        candidates = [manager for manager in candidates if _common(piece.path, manager.path) == nearest]
    return list(dict.fromkeys(candidates))


def _notified(
    alert: Ref,
    piece: _Piece,
    rule: RuleItem,
    pool: _Pool,
    matched: int,
    hidden: bool,
    managers: Sequence[_Piece],
) -> Iterator[Parsed]:
    fixed = {**_external(pool), **dict(rule.labels), "alertname": rule.name}
    unsure = False

    def decide(matcher: Matcher) -> bool | None:
        nonlocal unsure
        label, operator, value = matcher
        if label in rule.open_labels:
            answer = None
        elif label in fixed:
            answer = holds(operator, value, fixed[label])
        elif label in pool.labels and matched:
            met = pool.mask(matcher, True) & matched
            answer = None if hidden or 0 < met.bit_count() < matched.bit_count() else met == matched
        elif label == "severity":
            # A convention of rules alone: series do not have it.
            answer = holds(operator, value, "")
        else:
            answer = None
        unsure = unsure or answer is None
        return answer

    for manager in managers:
        routing = manager.fragment.value
        assert isinstance(routing, Routing)
        unsure = False
        reached, _ = receivers_of(routing.root, decide)
        confidence = Confidence.MEDIUM if unsure and len({name for name, _ in reached}) > 1 else Confidence.HIGH
        done = set()
        for name, place in reached:
            if name in done or name not in routing.receivers:
                continue
            done.add(name)
            yield Dependency(
                alert,
                Ref(Kind.RECEIVER, name, manager.source),
                Relation.NOTIFIES,
                manager.where(place),
                group="receivers",
                confidence=confidence,
            )


def _external(pool: _Pool) -> dict[str, str]:
    """Labels that Prometheus adds to every alert, where all servers of the pool agree."""
    common: dict[str, str] | None = None
    for server in pool.servers:
        labels = {
            name: value for name, value in server.config.external_labels if "$" not in value and TEMPLATE not in value
        }
        common = labels if common is None else {name: v for name, v in common.items() if labels.get(name) == v}
    return common or {}
