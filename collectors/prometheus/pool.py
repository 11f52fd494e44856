"""The targets that a rule file can look at, and which of them a selector selects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from auditor.api import TEMPLATE, Kind, Ref, split_endpoint
from collectors.prometheus.alertmanager import holds
from collectors.prometheus.config import Job
from collectors.prometheus.promql import Matcher, Selector
from collectors.prometheus.servers import Server

MAX_PATTERN: Final = 4096
MAX_ALTERNATIVES: Final = 1000

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


class Pool:
    """The targets that a rule file can look at, with an index of their labels: bit n of a mask is target n."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = servers
        known = [(server.piece.source, *pair) for server in servers for pair in server.all_targets()]
        self.targets = [(source, target) for source, target, _ in known]
        self.asked = {number: asked for number, (_, _, asked) in enumerate(known) if asked is not None}
        self.hidden = [(server.piece.source, job) for server in servers for job in server.all_hidden()]
        self.everything = (1 << len(self.targets)) - 1
        collected: dict[str, dict[str, list[int]]] = {}
        probing, ports, federating = [], [], []
        jobs: dict[Ref, list[int]] = {}
        for number, (source, target) in enumerate(self.targets):
            jobs.setdefault(Ref(Kind.SCRAPE, target.job.name, source), []).append(number)
            for name, value in target.labels:
                collected.setdefault(name, {}).setdefault(value, []).append(number)
            if target.portless:
                # Prometheus 2 added the scheme's port, and rules were written for it.
                for port in (80, 443):
                    collected.setdefault("instance", {}).setdefault(f"{target.address}:{port}", []).append(number)
            if _probes(target.probe, target.metrics_path):
                probing.append(number)
            if target.job.federated is not None:
                federating.append(number)
            parts = split_endpoint(target.address)
            ports.append(parts.port if parts else None)
        self.labels = {
            name: {value: _mask(numbers) for value, numbers in values.items()} for name, values in collected.items()
        }
        self.of_jobs = {ref: _mask(numbers) for ref, numbers in jobs.items()}
        self.probing = _mask(probing)
        self.federating = _mask(federating)
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
            if not metric or is_of_scrape(metric):
                found = self.everything
            elif metric.startswith("probe_"):
                found = self.probing
            else:
                # What a federation gives are series of other targets.
                found = self.everything & ~self.probing & ~self.federating
                for prefix, ports, jobs in _EXPORTERS:
                    if metric.startswith(prefix):
                        fitting = _mask(
                            number
                            for number, (_, target) in enumerate(self.targets)
                            if self.ports[number] in ports or re.search(jobs, target.job.name, re.I)
                        )
                        found = found & fitting or found
            if self.asked and metric:
                series = Selector(metric)
                found &= ~_mask(
                    number for number, asked in self.asked.items() if not any(_may_give(one, series) for one in asked)
                )
            self.exposing[metric] = found
        return self.exposing[metric]


def _mask(numbers: Iterable[int]) -> int:
    result = 0
    for number in numbers:
        result |= 1 << number
    return result


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def is_of_scrape(metric: str) -> bool:
    """Whether Prometheus itself makes a metric of each scrape, with the target's labels alone."""
    return metric == "up" or metric.startswith("scrape_")


def _probes(probe: str, metrics_path: str) -> bool:
    return bool(probe) and metrics_path.rstrip("/").endswith("/probe")


def _may_expose(job: Job, selector: Selector) -> bool:
    """Whether a job whose targets are not known here may have series that a selector selects."""
    probes = _probes(dict(job.parameters).get("__param_target", ""), dict(job.base)["__metrics_path__"]) or dict(
        job.base
    )["__metrics_path__"].endswith("/probe")
    if not is_of_scrape(selector.metric) and selector.metric and selector.metric.startswith("probe_") != probes:
        return False
    if job.federated is not None:
        return is_of_scrape(selector.metric) or any(_may_give(asked, selector) for asked in job.federated)
    if any(step.target_label == "job" or step.action == "labelmap" for step in job.steps):
        return True
    return all(holds(operator, value, job.name) for label, operator, value in selector.matchers if label == "job")


def _may_give(asked: Selector, selector: Selector) -> bool:
    """Whether a federation that asks for some series may give those of a selector."""
    if asked.metric and selector.metric and asked.metric != selector.metric:
        return False
    exact = {label: value for label, operator, value in selector.matchers if operator == "="}
    exact["__name__"] = selector.metric
    return all(holds(operator, value, exact[label]) for label, operator, value in asked.matchers if exact.get(label))


def named_hosts(selector: Selector) -> Iterator[tuple[str, bool]]:
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
