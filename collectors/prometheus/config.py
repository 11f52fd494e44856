"""prometheus.yml, scrape_config_files and file_sd lists: scrape jobs and the targets that are left after relabelling.

Source: the configuration reference of Prometheus 3 and scrape/target.go (PopulateLabels). Prometheus 2 added the
default port of the scheme to an address without one, Prometheus 3 does not; neither do we.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Attribute,
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
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
    host_ref,
)
from collectors.prometheus.promql import Selector, read_expression
from collectors.prometheus.relabel import Relabel, read_relabel, relabel

SERVICE: Final = Ref(Kind.SERVICE, "prometheus")
MAX_TARGETS: Final = 200_000
"""Targets of one file that are followed."""

Labels: TypeAlias = tuple[tuple[str, str], ...]

_DURATION: Final = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_UNITS: Final = (31_536_000, 604_800, 86_400, 3_600, 60, 1, 0.001)
_SERVER_KEYS: Final = ("server", "servers", "url", "api_url", "api_server", "host", "endpoint", "identity_endpoint")
_DEFAULT_SERVERS: Final = {"consul_sd_configs": "localhost:8500", "nomad_sd_configs": "localhost:4646"}


def seconds(text: str) -> float | None:
    """A duration of Prometheus (`1h30m`, `90s`, `0`) in seconds; None if it is none."""
    text = text.strip()
    if text == "0":
        return 0
    found = _DURATION.fullmatch(text)
    if not text or found is None or len(text) > 60:
        return None
    total = sum(int(count) * unit for count, unit in zip(found.groups(), _UNITS, strict=True) if count)
    return int(total) if total == int(total) else total


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Targets (each with its place) that share labels."""

    targets: tuple[tuple[str, Where], ...]
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One scrape job as it is needed to follow its targets.

    `base` are the labels that every target gets if it has none of that name. `hidden` says why some of its targets
    can't be seen here: the kinds of service discovery, or a template. `exporter` is where relabelling puts one exporter
    in the place of all targets. `federated` is what a job asks of other Prometheus servers, None if it scrapes
    exporters; `honors` is whether the labels that they give their series are kept.
    """

    name: str
    where: Where
    base: Labels
    parameters: Labels
    steps: tuple[Relabel, ...]
    groups: tuple[TargetGroup, ...]
    files: tuple[tuple[str, Where], ...] = ()
    hidden: tuple[str, ...] = ()
    names: bool = False
    exporter: Where | None = None
    federated: tuple[Selector, ...] | None = None
    honors: bool = False

    @property
    def ref(self) -> Ref:
        return Ref(Kind.SCRAPE, self.name)


@dataclass(frozen=True, slots=True)
class ManagerFiles:
    """The file_sd lists of an entry of `alertmanagers`, and what its relabelling needs."""

    job: Job
    files: tuple[tuple[str, Where], ...]


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration file: what joins it with lists, rules and Alertmanagers in other files."""

    jobs: tuple[Job, ...]
    rule_files: tuple[str, ...] = ()
    scrape_files: tuple[str, ...] = ()
    alertmanagers: tuple[str, ...] = ()
    external_labels: Labels = ()
    main: bool = True
    alert_steps: tuple[Relabel, ...] = ()
    manager_files: tuple[ManagerFiles, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One target after relabelling. `labels` are those of its series; `probe` is what an exporter asks for it."""

    job: Job
    address: str
    labels: Labels
    where: Where
    probe: str = ""
    module: str = ""
    metrics_path: str = "/metrics"
    socket: str = ""
    portless: bool = False

    @property
    def provider(self) -> Ref | None:
        """What is scraped: an endpoint, or a socket's path. None if a template hides it."""
        if self.socket:
            return Ref(Kind.PATH, self.socket)
        if TEMPLATE in self.address:
            instance = dict(self.labels).get("instance", "")
            return endpoint_ref(instance) if instance and TEMPLATE not in instance else None
        return endpoint_ref(self.address)

    @property
    def watched(self) -> Ref | None:
        """What an alert on this target watches: its probe if it has one."""
        return probe_ref(self) if self.probe else self.provider


def probe_ref(target: Target) -> Ref:
    """The identity of a probe: its job and what it asks, without credentials and query."""
    asked = endpoint_ref(target.probe)
    return Ref(Kind.PROBE, f"{target.job.name}/{asked.text if asked else excerpt(target.probe)}")


def final_targets(job: Job, groups: Iterable[TargetGroup], file: str = "") -> Iterator[Target | Malformed]:
    """The targets of a job after relabelling, those that are dropped left out."""
    for group in groups:
        for address, where in group.targets:
            labels = dict(group.labels)
            labels["__address__"] = address
            for name, value in job.base:
                labels[name] = labels.get(name) or value
            labels.update(job.parameters)
            if file:
                labels["__meta_filepath"] = file
            left = relabel(labels, job.steps)
            if left is None or not left.get("__address__"):
                continue
            final, socket = left["__address__"], left.get("__unix_socket__", "")
            if "/" in final and not socket:
                yield Malformed(
                    where,
                    f"{excerpt(final)!r} is not a host and port",
                    "Prometheus does not scrape the target",
                )
                continue
            public = {name: value for name, value in left.items() if not name.startswith("__")}
            portless = "instance" not in public and ":" not in final
            public.setdefault("instance", final)
            yield Target(
                job,
                final,
                tuple(sorted(public.items())),
                where,
                left.get("__param_target", ""),
                left.get("__param_module", ""),
                left.get("__metrics_path__", ""),
                socket,
                portless,
            )


def target_facts(
    target: Target, scope: str, home: Ref | None, where: Where, exporter_at: Where | None = None
) -> Iterator[Parsed]:
    """The dependencies of one target. Local references get `scope`; `home` is the host that Prometheus runs on.

    `exporter_at` is the line that names the exporter of a probe, if it is not the target's own.
    """
    scrape = Ref(Kind.SCRAPE, target.job.name, scope)
    exporter = target.provider
    if exporter is not None and exporter.kind.is_local:
        exporter = Ref(exporter.kind, exporter.text, scope)
    if not target.probe:
        if exporter is not None:
            guessed = TEMPLATE in target.address
            confidence = Confidence.MEDIUM if guessed else Confidence.HIGH
            yield Dependency(
                scrape, exporter, Relation.WATCHES, where, Need.OBSERVE, group="targets", confidence=confidence
            )
        return
    if TEMPLATE in target.probe:
        return
    probe = probe_ref(target)
    probe = Ref(probe.kind, probe.text, scope)
    attributes: dict[str, Attribute] = {
        "job": target.job.name,
        "target": probe.text.removeprefix(f"{target.job.name}/"),
    }
    if target.module and TEMPLATE not in target.module:
        attributes["module"] = excerpt(target.module)
    yield Entity(probe, where, attributes)
    yield Dependency(scrape, probe, Relation.WATCHES, where, Need.OBSERVE, group="targets")
    asked = endpoint_ref(target.probe)
    if asked is not None:
        yield Dependency(probe, asked, Relation.WATCHES, where, Need.OBSERVE)
    if exporter is not None and TEMPLATE not in target.address:
        yield Dependency(probe, exporter, Relation.CONNECTS, exporter_at or where, Need.RUN)
    if home is not None:
        yield Dependency(probe, home, Relation.RUNS_ON, where)


def read_target_groups(nodes: Iterable[YamlNode], stream: YamlStream) -> Iterator[TargetGroup | Malformed]:
    """Groups of `static_configs`, of a file_sd list or of an http_sd answer."""
    count = 0
    for node in nodes:
        if not node.is_map:
            yield Malformed(stream.where(node), "a target group that is not a mapping")
            continue
        targets = []
        for target in node.children("targets"):
            if not target.is_scalar:
                yield Malformed(stream.where(target), "a target that is not text")
            elif target.scalar:
                targets.append((target.scalar, stream.where(target)))
        count += len(targets)
        if count > MAX_TARGETS:
            yield Malformed(stream.where(node), f"more than {MAX_TARGETS} targets", "those that follow are not read")
            return
        yield TargetGroup(tuple(targets), _labels(node.get("labels")))


def _labels(node: YamlNode | None) -> Labels:
    if node is None or not node.is_map:
        return ()
    return tuple((key.scalar, value.scalar) for key, value in node.items() if value.is_scalar)


def read_config(root: YamlNode, stream: YamlStream, on_host: bool, templated: bool) -> Iterator[Parsed]:
    """Facts and fragments of a configuration, or of a file that holds `scrape_configs` alone."""
    main = any(root.get(key) for key in ("global", "rule_files", "alerting", "remote_write", "scrape_config_files"))
    where = stream.where(next((key.line for key, _ in root.items()), root.line))
    if main or on_host:
        yield Entity(SERVICE, where, {"program": "prometheus"})
        if on_host:
            yield Dependency(SERVICE, THIS_HOST, Relation.RUNS_ON, where)
    interval = seconds((root.at("global", "scrape_interval") or root).scalar or "1m")
    jobs: dict[str, Job] = {}
    for node in root.children("scrape_configs"):
        if not node.is_map or not node.text("job_name"):
            yield Malformed(
                stream.where(node), "a scrape job without job_name", "Prometheus refuses the whole configuration"
            )
            continue
        job = None
        for item in read_job(node, stream, interval, on_host=on_host, templated=templated):
            if isinstance(item, Job):
                job = item
            else:
                yield item
        if job is None:
            continue
        if job.name in jobs and not templated:
            yield Malformed(
                job.where, f"two scrape jobs named {job.name!r}", "Prometheus refuses the whole configuration"
            )
        jobs[job.name if job.name not in jobs else f"{job.name}\n{job.where.line}"] = job
    alertmanagers: list[str] = []
    manager_files: list[ManagerFiles] = []
    for told in _read_alertmanagers(root, stream):
        if isinstance(told, str):
            alertmanagers.append(told)
        elif isinstance(told, ManagerFiles):
            manager_files.append(told)
        else:
            yield told
    alerting = root.get("alerting") or _NOTHING
    steps, problems = read_relabel(alerting.children("alert_relabel_configs"))
    managers = alerting.children("alertmanagers")
    if len(managers) == 1 and managers[0].is_map:
        more, further = read_relabel(managers[0].children("alert_relabel_configs"))
        steps, problems = (*steps, *more), (*problems, *further)
    for line, reason in problems:
        yield Malformed(stream.where(line), reason, "Prometheus refuses the whole configuration")
    yield from _read_remotes(root, stream)
    config = Config(
        tuple(jobs.values()),
        tuple(_texts(root, "rule_files")),
        tuple(_texts(root, "scrape_config_files")),
        tuple(alertmanagers),
        _labels(root.at("global", "external_labels")),
        main,
        steps,
        tuple(manager_files),
    )
    yield Fragment("config", config, where)


def _texts(root: YamlNode, key: str) -> Iterator[str]:
    return (node.scalar for node in root.children(key) if node.is_scalar and node.scalar)


def read_job(
    node: YamlNode, stream: YamlStream, default_interval: float | None, *, on_host: bool, templated: bool
) -> Iterator[Parsed | Job]:
    """A scrape job with its facts. `default_interval` is in seconds."""
    name = excerpt(node.text("job_name").replace(TEMPLATE, "*"))
    where = stream.where(node.get("job_name") or node)
    steps, problems = read_relabel(node.children("relabel_configs"))
    for line, reason in problems:
        yield Malformed(stream.where(line), reason, "Prometheus refuses the whole configuration")
    parameters: dict[str, str] = {}
    for key, values in (node.get("params") or _NOTHING).items():
        first = next(iter(values.elements), values)
        if first.is_scalar:
            parameters[f"__param_{key.scalar}"] = first.scalar
    groups: list[TargetGroup] = []
    for group in read_target_groups(node.children("static_configs"), stream):
        if isinstance(group, TargetGroup):
            groups.append(group)
        else:
            yield group
    files = _files(node, stream)
    hidden = [
        key.scalar.removesuffix("_sd_configs")
        for key, value in node.items()
        if key.scalar.endswith("_sd_configs")
        and key.scalar not in ("file_sd_configs", "dns_sd_configs")
        and value.elements
    ]
    scheme, path = node.text("scheme", "http"), node.text("metrics_path", "/metrics")
    federated: tuple[Selector, ...] | None = None
    if path == "/federate":
        asked = node.at("params", "match[]") or _NOTHING
        federated = tuple(
            selector for wanted in asked.elements or (asked,) for selector in read_expression(wanted.scalar).selectors
        )
    interval = seconds(node.text("scrape_interval")) or default_interval
    base = {"job": name, "__scheme__": scheme, "__metrics_path__": path}
    if interval is not None:
        base["__scrape_interval__"] = node.text("scrape_interval", "1m")
    job = Job(
        name,
        where,
        tuple(base.items()),
        tuple(parameters.items()),
        steps,
        tuple(groups),
        files,
        tuple(hidden),
        bool(node.children("dns_sd_configs")),
        _exporter(node, stream),
        federated,
        (node.get("honor_labels") or _NOTHING).boolean is True,
    )
    targets: list[Target] = []
    for target in final_targets(job, groups):
        if isinstance(target, Malformed):
            yield target
        else:
            targets.append(target)
    if templated and any(TEMPLATE in target.address + target.probe for target in targets):
        hidden.append("template")
        job = replace(job, hidden=tuple(hidden))
    yield job
    yield Entity(job.ref, where, _job_attributes(job, scheme, path, interval, parameters, targets))
    if on_host:
        yield Dependency(job.ref, THIS_HOST, Relation.RUNS_ON, where)
    for target in targets:
        yield from target_facts(target, "", THIS_HOST if on_host else None, target.where, job.exporter)
    yield from _read_discovery(node, job, stream)
    yield from client_facts(node, job.ref, stream)


def client_facts(node: YamlNode, consumer: Ref, stream: YamlStream) -> Iterator[Parsed]:
    """What every HTTP client of Prometheus and Alertmanager may have: a proxy, a token server, files with secrets."""
    for keys in (("proxy_url",), ("oauth2", "token_url"), ("oauth2", "proxy_url")):
        url = node.at(*keys)
        if url is not None and url.is_scalar and TEMPLATE not in url.scalar and (ref := endpoint_ref(url.scalar)):
            yield Dependency(consumer, ref, Relation.CONNECTS, stream.where(url), Need.RUN)
    for holder in (
        node,
        *(node.at(*keys) for keys in (("tls_config",), ("authorization",), ("basic_auth",), ("oauth2",))),
        node.at("oauth2", "tls_config"),
    ):
        for key, value in holder.items() if holder is not None and holder.is_map else ():
            if key.scalar.endswith("_file") and value.scalar.startswith("/") and TEMPLATE not in value.scalar:
                yield Dependency(consumer, Ref(Kind.PATH, value.scalar), Relation.READS, stream.where(value))


def _files(node: YamlNode, stream: YamlStream) -> tuple[tuple[str, Where], ...]:
    return tuple(
        (pattern.scalar, stream.where(pattern))
        for entry in node.children("file_sd_configs")
        for pattern in entry.children("files")
        if pattern.is_scalar and pattern.scalar
    )


def _exporter(node: YamlNode, stream: YamlStream) -> Where | None:
    """The last step of a job's relabelling that sets `__address__` to a fixed value."""
    found = None
    for step in node.children("relabel_configs"):
        replacement = step.get("replacement") if step.is_map else None
        if replacement is not None and step.text("target_label") == "__address__" and "$" not in replacement.scalar:
            found = stream.where(replacement)
    return found


def _job_attributes(
    job: Job,
    scheme: str,
    path: str,
    interval: float | None,
    parameters: Mapping[str, str],
    targets: list[Target],
) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "scheme": excerpt(scheme.replace(TEMPLATE, "*")),
        "metrics_path": excerpt(path.replace(TEMPLATE, "*")),
    }
    if interval is not None:
        attributes["interval"] = interval
    attributes["targets"] = len(targets)
    if module := parameters.get("__param_module", ""):
        attributes["module"] = excerpt(module)
    if job.federated is not None:
        attributes["federation"] = True
    if job.hidden:
        attributes["dynamic"] = True
        attributes["discovery"] = job.hidden
    return attributes


def _read_discovery(node: YamlNode, job: Job, stream: YamlStream) -> Iterator[Parsed]:
    """dns_sd names, and the servers that any other service discovery asks."""
    for key, value in node.items():
        kind = key.scalar
        if not kind.endswith("_sd_configs") or kind == "file_sd_configs":
            continue
        for entry in value.elements:
            if not entry.is_map:
                yield Malformed(stream.where(entry), f"an entry of {kind} that is not a mapping")
                continue
            if kind == "dns_sd_configs":
                for name in entry.children("names"):
                    if name.is_scalar and TEMPLATE not in name.scalar and (ref := host_ref(name.scalar)):
                        yield Dependency(job.ref, ref, Relation.WATCHES, stream.where(name), group="targets")
                continue
            servers = [server for wanted in _SERVER_KEYS for server in entry.children(wanted)]
            for server in servers:
                if (
                    not server.is_scalar
                    or TEMPLATE in server.scalar
                    or not re.search(r"[.:]|^localhost$", server.scalar)
                ):
                    continue
                if ref := endpoint_ref(server.scalar):
                    yield Dependency(job.ref, ref, Relation.CONNECTS, stream.where(server), Need.RUN)
            yield from client_facts(entry, job.ref, stream)
            if not servers and kind in _DEFAULT_SERVERS:
                ref = endpoint_ref(_DEFAULT_SERVERS[kind])
                if ref is not None:
                    yield Dependency(job.ref, ref, Relation.CONNECTS, stream.where(key), Need.RUN)


def _read_alertmanagers(root: YamlNode, stream: YamlStream) -> Iterator[Parsed | str | ManagerFiles]:
    """`alerting.alertmanagers`: the endpoints that alerts are sent to, one of which is enough."""
    for entry in (root.get("alerting") or _NOTHING).children("alertmanagers"):
        if not entry.is_map:
            yield Malformed(stream.where(entry), "an alertmanager entry that is not a mapping")
            continue
        steps, problems = read_relabel(entry.children("relabel_configs"))
        for line, reason in problems:
            yield Malformed(stream.where(line), reason, "Prometheus refuses the whole configuration")
        scheme = entry.text("scheme", "http")
        groups = [
            item
            for item in read_target_groups(entry.children("static_configs"), stream)
            if isinstance(item, TargetGroup)
        ]
        base = (("__scheme__", scheme), ("__alerts_path__", "/api/v2/alerts"))
        job = Job("alertmanager", stream.where(entry), base, (), steps, ())
        for target in final_targets(job, groups):
            if isinstance(target, Malformed):
                yield target
            elif TEMPLATE not in target.address and (ref := endpoint_ref(target.address)):
                yield target.address
                yield Dependency(SERVICE, ref, Relation.CONNECTS, target.where, Need.RUN, group="alertmanagers")
        yield from client_facts(entry, SERVICE, stream)
        if files := _files(entry, stream):
            yield ManagerFiles(job, files)
        for discovery in entry.children("dns_sd_configs"):
            for name in discovery.children("names"):
                if name.is_scalar and TEMPLATE not in name.scalar and (ref := host_ref(name.scalar)):
                    yield name.scalar
                    yield Dependency(
                        SERVICE, ref, Relation.CONNECTS, stream.where(name), Need.RUN, group="alertmanagers"
                    )


def _read_remotes(root: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    for key, need in (("remote_write", Need.WRITE), ("remote_read", Need.READ)):
        for entry in root.children(key):
            url = entry.get("url")
            if url is not None and TEMPLATE not in url.scalar and (ref := endpoint_ref(url.scalar)):
                yield Dependency(SERVICE, ref, Relation.CONNECTS, stream.where(url), need)
            yield from client_facts(entry, SERVICE, stream)
    tracing = root.at("tracing", "endpoint")
    if tracing is not None and TEMPLATE not in tracing.scalar and (ref := endpoint_ref(tracing.scalar)):
        yield Dependency(SERVICE, ref, Relation.CONNECTS, stream.where(tracing), Need.WRITE, confidence=Confidence.LOW)


def read_promtail(root: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    """Promtail's file has `scrape_configs` too, of log files: only where it sends them matters here."""
    service = Ref(Kind.SERVICE, "promtail")
    where = stream.where(root)
    yield Entity(service, where, {"program": "promtail"})
    if on_host:
        yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
    for client in (*root.children("clients"), *root.children("client")):
        url = client.get("url")
        if url is not None and TEMPLATE not in url.scalar and (ref := endpoint_ref(url.scalar)):
            yield Dependency(service, ref, Relation.CONNECTS, stream.where(url), Need.WRITE)


_NOTHING: Final = YamlNode("map", 0)
