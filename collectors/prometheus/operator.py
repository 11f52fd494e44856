"""Objects of the Prometheus operator that name what is watched: Probe, ScrapeConfig, ServiceMonitor and PodMonitor.

Each is read as the scrape job that the operator makes of it. Source: the operator's `pkg/prometheus/promcfg.go` and the
Go types of its API, 0.8x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from auditor.api import (
    TEMPLATE,
    Dependency,
    Fragment,
    Need,
    Parsed,
    Relation,
    YamlNode,
    YamlStream,
    endpoint_ref,
    split_endpoint,
)
from collectors.prometheus.config import Config, Job, read_job

GROUP: Final = "monitoring.coreos.com"
KINDS: Final = frozenset({"Probe", "ScrapeConfig", "ServiceMonitor", "PodMonitor"})
OBJECTS_LIMIT: Final = 50_000
"""Objects of one file that are read."""

_CLUSTER: Final = re.compile(r"services/([^/]+)/")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FILTERS: Final = frozenset({"keep", "drop", "keepequal", "dropequal", "hashmod"})
_DISCOVERED: Final = "kubernetes_sd_configs"
_FIXED: Final = frozenset({"__address__", "__param_target"})


def objects(stream: YamlStream) -> Iterator[tuple[str, YamlNode]]:
    """The objects of a file with their kinds, of others than the operator's an empty one.

    Items of an answer of the API have no kind of their own.
    """
    pending = [(root, "", "") for root in reversed(stream.documents)]
    count = 0
    while pending and count < OBJECTS_LIMIT:
        root, of_list, list_version = pending.pop()
        if not root.is_map:
            continue
        kind, version = root.text("kind") or of_list, root.text("apiVersion") or list_version
        if kind.endswith("List"):
            pending.extend((one, kind.removesuffix("List"), version) for one in reversed(root.children("items")))
        else:
            count += 1
            yield kind if version.startswith(GROUP) else "", root


def read_operator(stream: YamlStream, path: str) -> Iterator[Parsed]:
    """Facts of the scrape jobs that the objects of a file stand for, and one fragment with all of them."""
    found = _CLUSTER.match(path)
    cluster = f" of cluster {found[1]}" if found is not None else ""
    jobs: list[Job] = []
    for kind, root in objects(stream):
        if kind not in KINDS or not (name := root.at("metadata", "name")) or not name.scalar:
            continue
        spec = root.get("spec")
        if spec is None or not spec.is_map or TEMPLATE in name.scalar:
            continue
        namespace = root.at("metadata", "namespace")
        known = namespace.scalar if namespace is not None and TEMPLATE not in namespace.scalar else ""
        for job_name, label, node in _jobs(kind, f"{known}/{name.scalar}", known, spec, name.line):
            made = _scrape(node, job_name + cluster, label, name.line)
            for item in read_job(made, stream, None, on_host=False, templated=False):
                if isinstance(item, Job):
                    jobs.append(item)
                else:
                    yield item
            if kind == "Probe" and not node.get("static_configs"):
                yield from _asked_by_all(made, jobs[-1:], stream)
    if jobs:
        yield Fragment("config", Config(tuple(jobs), main=False), jobs[0].where)


def _jobs(kind: str, full_name: str, namespace: str, spec: YamlNode, line: int) -> Iterator[tuple[str, str, YamlNode]]:
    """The jobs of an object: name, value of the label `job` (a template if it is that of a service), configuration."""
    if kind == "Probe":
        name = f"probe/{full_name}"
        yield name, spec.text("jobName", name), _probe(spec, namespace, line)
    elif kind == "ScrapeConfig":
        name = f"scrapeConfig/{full_name}"
        yield name, spec.text("jobName", name), _renamed(spec, ("relabelings", "staticConfigs", "oauth2"))
    else:
        prefix, key = (
            ("serviceMonitor", "endpoints") if kind == "ServiceMonitor" else ("podMonitor", "podMetricsEndpoints")
        )
        for number, entry in enumerate(spec.children(key)):
            if entry.is_map and _is_static(entry):
                yield f"{prefix}/{full_name}/{number}", TEMPLATE, _monitor(entry)


def _scalar(text: str, line: int) -> YamlNode:
    return YamlNode("scalar", line, quoted=True, text=text)


def _map(line: int, pairs: Mapping[str, YamlNode]) -> YamlNode:
    made = YamlNode("map", line)
    made.pairs = tuple((_scalar(key, value.line), value) for key, value in pairs.items())
    return made


def _list(line: int, elements: Iterable[YamlNode]) -> YamlNode:
    made = YamlNode("list", line)
    made.elements = tuple(elements)
    return made


def _snake(name: str) -> str:
    """`proxyUrl` as Prometheus writes it: `proxy_url`; `httpSDConfigs`: `http_sd_configs`."""
    return _WORDS.sub("_", name.replace("SDConfigs", "_sd_configs")).lower()


def _deeply(node: YamlNode) -> YamlNode:
    """A node with its keys as Prometheus writes them, and those of what it holds."""
    if node.is_map:
        return _map(node.line, {_snake(key.scalar): _deeply(value) for key, value in node.items()})
    return _list(node.line, map(_deeply, node.elements)) if node.is_list else node


def _renamed(node: YamlNode, deep: Sequence[str]) -> YamlNode:
    """A configuration with its keys as Prometheus writes them; labels and parameters have names of their own."""
    pairs: dict[str, YamlNode] = {}
    for key, value in node.items():
        name = "relabel_configs" if key.scalar == "relabelings" else _snake(key.scalar)
        whole = key.scalar in deep or key.scalar.endswith("SDConfigs")
        pairs[name] = _deeply(value) if whole and key.scalar != "staticConfigs" else value
    return _map(node.line, pairs)


def _scrape(node: YamlNode, name: str, label: str, line: int) -> YamlNode:
    """The job's whole configuration: its name, and the label `job` before its own relabelling."""
    pairs = {key.scalar: value for key, value in node.items()}
    own = pairs.get("relabel_configs", _list(line, ()))
    of_job = _map(line, {"target_label": _scalar("job", line), "replacement": _scalar(label.replace("$", "$$"), line)})
    pairs["relabel_configs"] = _list(own.line, (of_job, *own.elements))
    if (scheme := pairs.get("scheme")) is not None:
        pairs["scheme"] = _scalar(scheme.scalar.lower(), scheme.line)
    return _map(line, {"job_name": _scalar(name, line), **pairs})


def _probe(spec: YamlNode, namespace: str, line: int) -> YamlNode:
    """A job that asks an exporter about each target."""
    prober = spec.get("prober")
    pairs: dict[str, YamlNode] = {"metrics_path": _scalar("/probe", line)}
    if prober is not None and prober.is_map:
        for key, name in (("path", "metrics_path"), ("scheme", "scheme"), ("proxyUrl", "proxy_url")):
            if (value := prober.get(key)) is not None and value.scalar:
                pairs[name] = value
    for key, name in (("interval", "scrape_interval"), ("oauth2", "oauth2")):
        if (value := spec.get(key)) is not None:
            pairs[name] = _deeply(value)
    if (module := spec.get("module")) is not None and module.scalar:
        pairs["params"] = _map(module.line, {"module": module})
    targets = spec.get("targets") or _map(line, {})
    static, ingress = targets.get("staticConfig"), targets.get("ingress")
    source = static or ingress
    if static is not None and static.is_map:
        labels = static.get("labels")
        named = {key.scalar: value for key, value in labels.items()} if labels is not None and labels.is_map else {}
        named.setdefault("namespace", _scalar(namespace, line))
        addresses = _list(static.line, static.children("static"))
        group = _map(static.line, {"targets": addresses, "labels": _map(static.line, named)})
        pairs["static_configs"] = _list(static.line, (group,))
    elif ingress is not None:
        pairs[_DISCOVERED] = _list(ingress.line, (_map(ingress.line, {"role": _scalar("ingress", ingress.line)}),))
    steps = [
        _step(line, ("__address__",), "__param_target"),
        _step(line, ("__param_target",), "instance"),
        _map(line, {"target_label": _scalar("__address__", line), "replacement": _prober(prober, namespace, line)}),
    ]
    if source is not None and source.is_map:
        steps += [_deeply(step) for step in source.children("relabelingConfigs")]
    pairs["relabel_configs"] = _list(line, steps)
    return _map(line, pairs)


def _step(line: int, sources: Sequence[str], target: str) -> YamlNode:
    labels = _list(line, (_scalar(source, line) for source in sources))
    return _map(line, {"source_labels": labels, "target_label": _scalar(target, line)})


def _prober(prober: YamlNode | None, namespace: str, line: int) -> YamlNode:
    """The exporter's host and port. A name without a dot is that of a service of the namespace, and of no machine."""
    url = prober.get("url") if prober is not None and prober.is_map else None
    parts = split_endpoint(url.scalar) if url is not None and TEMPLATE not in url.scalar else None
    if url is None or parts is None:
        return _scalar(TEMPLATE, line)
    if "." in parts.host or ":" in parts.host:
        return url
    port = f":{parts.port}" if parts.port is not None else ""
    return _scalar(f"{parts.host}.{namespace or 'default'}.svc{port}", url.line)


def _asked_by_all(made: YamlNode, jobs: Iterable[Job], stream: YamlStream) -> Iterator[Parsed]:
    """The exporter of a probe whose targets are discovered."""
    for step in made.children("relabel_configs"):
        place = step.get("replacement")
        if step.text("target_label") == "__address__" and place is not None and TEMPLATE not in place.scalar:
            ref = endpoint_ref(place.scalar)
            for job in jobs if ref is not None else ():
                assert ref is not None
                yield Dependency(job.ref, ref, Relation.CONNECTS, stream.where(place), Need.RUN)


def _is_static(entry: YamlNode) -> bool:
    """Whether an entry of a monitor names anything itself: what it watches is otherwise discovered."""
    return bool(_asked(entry) or entry.text("proxyUrl") or entry.at("oauth2", "tokenUrl"))


def _asked(entry: YamlNode) -> YamlNode | None:
    """What an entry of a monitor asks for of every target that it finds: a parameter, or an address of its own."""
    fixed = (
        step.get("replacement")
        for step in entry.children("relabelings")
        if step.is_map and step.text("targetLabel") in _FIXED and "$" not in step.text("replacement", "$")
    )
    return entry.at("params", "target") or next(fixed, None)


def _monitor(entry: YamlNode) -> YamlNode:
    """A job of one target that stands for all that are discovered, each of which is asked the same."""
    node = _renamed(entry, ("relabelings", "oauth2"))
    pairs = {key.scalar: value for key, value in node.items()}
    for key, name in (("path", "metrics_path"), ("interval", "scrape_interval")):
        if (value := pairs.get(key)) is not None:
            pairs[name] = value
    steps = node.children("relabel_configs")
    kept = [step for step in steps if step.is_map and step.text("action").lower() not in _FILTERS]
    pairs["relabel_configs"] = _list(node.line, kept)
    if (asked := _asked(entry)) is not None:
        target = _map(asked.line, {"targets": _list(asked.line, (_scalar(TEMPLATE, asked.line),))})
        pairs["static_configs"] = _list(asked.line, (target,))
    pairs[_DISCOVERED] = _list(entry.line, (_map(entry.line, {"role": _scalar("endpoints", entry.line)}),))
    return _map(entry.line, pairs)
