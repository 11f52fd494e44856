"""Joins files: alerts with what they look at, and with the receivers they reach.

Rules, lists and routes may lie on other hosts than the configuration that uses them, or in a repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import dirname
from typing import Final, cast

from auditor.api import (
    Confidence,
    Dependency,
    Fragment,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    is_loopback,
    split_endpoint,
)
from collectors.prometheus.config import Target, probe_ref
from collectors.prometheus.grafana import DataSource
from collectors.prometheus.live import silenced, with_live
from collectors.prometheus.notify import managers_of, notified
from collectors.prometheus.pool import Pool, bits, is_of_scrape, named_hosts
from collectors.prometheus.promql import Selector
from collectors.prometheus.rules import RuleFile, RuleItem
from collectors.prometheus.servers import (
    Piece,
    Server,
    common_directories,
    documents_of,
    modules_of_probes,
    ranked_documents,
    same_host,
)

MAX_WATCHED: Final = 200
"""Targets that an alert may watch one by one; beyond, it watches their scrape jobs."""

MAX_FOLLOWED: Final = 1000
"""Selectors that one alert may stand for once its recording rules are followed."""


def combine(fragments: Sequence[Fragment]) -> Iterator[Parsed]:
    """All facts that need several files."""
    pieces: dict[str, list[Piece]] = {}
    for fragment in fragments:
        prefix = f"hosts/{fragment.source}/"
        path = (
            fragment.path[len(prefix) - 1 :] if fragment.source and fragment.path.startswith(prefix) else fragment.path
        )
        pieces.setdefault(fragment.kind, []).append(Piece(fragment, path))
    lists = pieces.get("file_sd", [])
    scrape_files: dict[tuple[str, str], list[Server]] = {}
    live, servers = with_live([Server(piece) for piece in pieces.get("config", [])], pieces.get("live_targets", []))
    for server in servers:
        if server not in live:
            yield from server.read_lists(lists)
    for server in servers:
        server.follow_federation(servers)
    yield from modules_of_probes(servers, pieces.get("blackbox", []))
    mains = [server for server in servers if server.config.main]
    for server in servers:
        if server.config.main:
            others = [other for other in servers if not other.config.main]
            chosen = documents_of(server.piece, server.config.scrape_files, [other.piece for other in others])
            server.parts = [other for other in others if other.piece in chosen]
            for other in server.parts:
                scrape_files.setdefault((other.piece.source, other.piece.path), []).append(server)
    heads = mains + [
        server
        for server in servers
        if not server.config.main and (server.piece.source, server.piece.path) not in scrape_files
    ]
    yield from _alerts(pieces.get("rules", []), heads, pieces.get("alertmanager", []))
    yield from _grafana(pieces, heads)
    yield from silenced(pieces.get("silences", []), heads)


def _alerts(files: Sequence[Piece], servers: Sequence[Server], managers: Sequence[Piece]) -> Iterator[Parsed]:
    pools: dict[tuple[int, ...], Pool] = {}
    followers: dict[tuple[str, tuple[int, ...]], _Follower] = {}
    assigned: list[tuple[Piece, RuleFile, tuple[int, ...]]] = []
    loaded: dict[int, list[tuple[bool, int, int]]] = {}
    for index, server in enumerate(servers):
        for piece, exact in ranked_documents(server.piece, server.config.rule_files, files):
            loaded.setdefault(id(piece), []).append((exact, common_directories(server.piece.path, piece.path), index))
    for piece in files:
        value = piece.fragment.value
        assert isinstance(value, RuleFile)
        own = [index for index, server in enumerate(servers) if server.piece.source == piece.source]
        if piece.fragment.path.startswith("services/"):
            # What a running server answered is of that server alone.
            beside = [index for index in own if dirname(servers[index].piece.path) == dirname(piece.path)]
            own = beside or own
        claims = loaded.get(id(piece), [])
        best = max((claim[:2] for claim in claims), default=None)
        # Several configurations may well load one file: all that name it exactly, or all that are equally near.
        named = [index for exact, near, index in claims if exact or (not best or (exact, near) == best)]
        chosen = tuple(named or own or range(len(servers)))
        if chosen not in pools:
            pools[chosen] = Pool([servers[index] for index in chosen])
        key = (piece.source, chosen)
        followers.setdefault(key, _Follower()).add(value)
        assigned.append((piece, value, chosen))
    for piece, value, chosen in assigned:
        pool = pools[chosen]
        routings = managers_of(piece, pool, managers)
        for rule in value.rules:
            if rule.alert:
                yield from _alert(piece, rule, pool, followers[piece.source, chosen], routings)


def _grafana(pieces: Mapping[str, Sequence[Piece]], servers: Sequence[Server]) -> Iterator[Parsed]:
    """Grafana's alerts: what they look at through the Prometheus behind their data source, and whom they reach."""
    follower = _Follower()
    for piece in pieces.get("rules", []):
        assert isinstance(piece.fragment.value, RuleFile)
        follower.add(piece.fragment.value)
    pools: dict[tuple[int, ...], Pool] = {}
    for piece in pieces.get("grafana_rules", []):
        assert isinstance(piece.fragment.value, RuleFile)
        policies = _nearest(piece, pieces.get("grafana_policies", []))
        known = [
            (near, source)
            for near in _nearest(piece, pieces.get("grafana_datasources", []))
            for source in cast("tuple[DataSource, ...]", near.fragment.value)
        ]
        for rule in piece.fragment.value.rules:
            asked = [pair for pair in known if rule.connects in (pair[1].uid, pair[1].name) and rule.connects]
            asked = asked or [pair for pair in known if rule.connects == "" and pair[1].default]
            alert = Ref(Kind.ALERT, rule.alert, piece.source)
            for near, source in asked:
                if source.url and (ref := endpoint_ref(source.url)):
                    yield Dependency(alert, ref, Relation.CONNECTS, near.where(source.where), Need.READ)
            chosen = _asked_servers(piece, [source.url for _, source in asked], servers)
            if chosen not in pools:
                pools[chosen] = Pool([servers[index] for index in chosen])
            routings = [] if rule.receiver else policies
            yield from _alert(piece, rule, pools[chosen], follower, routings)
    for mail in pieces.get("grafana_mail", []):
        for smtp in _nearest(mail, pieces.get("grafana_smtp", [])):
            ref = endpoint_ref(str(smtp.fragment.value))
            for name, _ in cast("tuple[tuple[str, Where], ...]", mail.fragment.value):
                if ref is not None:
                    receiver = Ref(Kind.RECEIVER, name, mail.source)
                    yield Dependency(
                        receiver, ref, Relation.NOTIFIES, smtp.where(smtp.fragment.where), Need.RUN, group="channels"
                    )


def _nearest(piece: Piece, candidates: Sequence[Piece]) -> list[Piece]:
    """Those of the same host; in a repository those with the longest common directory."""
    found = [other for other in candidates if other.source == piece.source]
    if piece.source:
        return found
    nearest = max((common_directories(piece.path, other.path) for other in found), default=0)
    return [other for other in found if common_directories(piece.path, other.path) == nearest]


def _asked_servers(piece: Piece, urls: Iterable[str], servers: Sequence[Server]) -> tuple[int, ...]:
    """The Prometheus servers behind data sources: by host; else, as the URL may be a proxy's, those beside it."""
    hosts = [parts.host for url in urls if (parts := split_endpoint(url))]
    exact = [
        index
        for index, server in enumerate(servers)
        if any(
            same_host(host, server.piece.source) or (is_loopback(host) and server.piece.source == piece.source)
            for host in hosts
        )
    ]
    own = [index for index, server in enumerate(servers) if server.piece.source == piece.source]
    return tuple(exact or own or range(len(servers)))


class _Follower:
    """Follows recording rules, and alerts named in ALERTS, to the selectors behind them."""

    def __init__(self) -> None:
        self.recorded: dict[str, list[RuleItem]] = {}
        self.alerts: dict[str, list[RuleItem]] = {}
        self.constants: list[RuleItem] = []

    def add(self, file: RuleFile) -> None:
        for rule in file.rules:
            if rule.record:
                self.recorded.setdefault(rule.record, []).append(rule)
            else:
                self.alerts.setdefault(rule.name, []).append(rule)
                if rule.constant and not rule.open_labels:
                    self.constants.append(rule)

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
    piece: Piece, rule: RuleItem, pool: Pool, follower: _Follower, routings: Sequence[Piece]
) -> Iterator[Parsed]:
    alert = Ref(Kind.ALERT, rule.alert, piece.source)
    where = piece.where(rule.where)
    watched: dict[Ref, Confidence] = {}
    matched, hidden = 0, False

    def watch(ref: Ref, confidence: Confidence) -> None:
        if watched.get(ref) is not Confidence.HIGH:
            watched[ref] = confidence

    for selector in () if rule.logs else follower.follow(rule):
        mask = pool.exposes(selector.metric)
        for matcher in selector.matchers:
            mask &= pool.mask(matcher, is_of_scrape(selector.metric))
        matched |= mask
        # A metric that any target might have: nothing says which of them do.
        known = is_of_scrape(selector.metric) or selector.metric.startswith("probe_")
        others = pool.everything & ~pool.probing & ~pool.federating
        sure = Confidence.HIGH if known or mask != others else Confidence.LOW
        if mask.bit_count() > MAX_WATCHED:
            for job_ref, own in pool.of_jobs.items():
                if mask & own:
                    watch(job_ref, sure)
        else:
            for number in bits(mask):
                scope, target = pool.targets[number]
                seen = _seen(target, selector.metric)
                if seen is not None:
                    watch(Ref(seen.kind, seen.text, scope if seen.kind.is_local else ""), sure)
        named = list(named_hosts(selector))
        if not mask:
            for name, exact in named:
                if ref := endpoint_ref(name):
                    watch(ref, Confidence.HIGH if exact else Confidence.MEDIUM)
        if not named:
            for scope, job in pool.unseen(selector):
                hidden = True
                watch(Ref(Kind.SCRAPE, job.name, scope), Confidence.MEDIUM)
    if rule.logs:
        # Of log lines nothing is known but what the expression names.
        for selector in rule.selectors:
            for name, exact in named_hosts(selector):
                if ref := endpoint_ref(name):
                    watch(ref, Confidence.MEDIUM if exact else Confidence.LOW)
    for ref, confidence in watched.items():
        yield Dependency(alert, ref, Relation.WATCHES, where, Need.OBSERVE, group="targets", confidence=confidence)
    yield from notified(alert, piece, rule, pool, matched, hidden, routings, follower.constants)


def _seen(target: Target, metric: str) -> Ref | None:
    """What a metric of a target tells of: `up` of a probe tells of the exporter, not of what it asks."""
    if target.probe and not is_of_scrape(metric):
        return probe_ref(target)
    return target.provider
