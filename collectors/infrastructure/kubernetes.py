"""Kubernetes manifests: what objects need outside of their cluster, and when jobs of a cluster run.

Source: the Kubernetes API reference, v1.31 (and the groups that it dropped: extensions/v1beta1, batch/v1beta1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Filler,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    excerpt,
    host_ref,
    normal_name,
    read_cron_schedule,
)
from collectors.infrastructure.common import (
    YAML_SUFFIXES,
    bare_path,
    commands,
    is_outside,
    known,
    maps,
    mounted,
    outside,
    read_documents,
    registry_of,
    settings,
    step,
    texts,
)
from collectors.infrastructure.kubernetes_objects import ManifestObject, step_text
from collectors.infrastructure.kubernetes_routes import ROUTES

_CLUSTER: Final = re.compile(r"services/([^/]+)/")

OBJECTS_LIMIT: Final = 50_000
"""Objects of one file that are read."""

_FILLED_IN: Final = 1 << 14
"""Characters of variables that are filled in, in the command of one container."""
_VARIABLE: Final = re.compile(r"\$\((\w+)\)")
_SUFFIXES: Final = (*YAML_SUFFIXES, ".json")
_WORKLOADS: Final = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "DeploymentConfig", "Job"}
)
_CONTROL_PLANE: Final = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_ANY_TIME: Final = ("TZ=", "CRON_TZ=")
# Of other integrations a Secret holds the URL.
_CHANNELS: Final = (
    ("webhookConfigs", "url"),
    ("pagerdutyConfigs", "url"),
    ("opsgenieConfigs", "apiURL"),
    ("victoropsConfigs", "apiUrl"),
    ("wechatConfigs", "apiURL"),
    ("telegramConfigs", "apiURL"),
    ("snsConfigs", "apiURL"),
    ("emailConfigs", "smarthost"),
)


class KubernetesCollector(Collector):
    """Objects of Kubernetes that lead out of their cluster. Names within it are services, and never machines.

    Reads
    -----
    YAML and JSON manifests, `kubectl get -o yaml` answers and lists of the API, whose first 4 KiB hold `apiVersion` and
    `kind`; Helm and Jinja templates as far as they can be read line by line. Objects of lists that `auditor collect`
    keeps belong to a cluster of their own; those of all manifests together make up another.

    Yields
    ------
    Services of type ExternalName or with `externalIPs`; the addresses of Endpoints and EndpointSlices that are no
    pods, as alternatives; hosts of an Ingress and the services behind them; of Gateway API the addresses of a Gateway,
    and what routes pass requests to, Backends of Envoy Gateway among them; of Traefik its routes, its services, and
    the middlewares that ask another server; of Istio what a ServiceEntry or WorkloadEntry names; URLs of admission
    webhooks and of conversion; of the Prometheus operator the receivers of an AlertmanagerConfig and where a
    Prometheus writes to; scheduled jobs with time zone, what their command reaches and what their variables name;
    workloads' variables, host aliases, image registries, NFS, iSCSI and CephFS volumes, and nodes that they are bound
    to; the machines of a cluster, and apart from the others those of its control plane, as alternatives.

    Can't see
    ---------
    What values a chart is installed with, ConfigMaps and Secrets (the mention scan reads them), what an operator makes
    of its own objects, and which cluster a manifest is for.
    """

    name: ClassVar[str] = "kubernetes"
    title: ClassVar[str] = "Kubernetes manifests"
    area: ClassVar[Area] = Area.CONFIGURATION
    # Webhooks of a cluster say nothing of those of code hosts.
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.BACKED_BY, Relation.MOUNTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """YAML or JSON that says the version and the kind of an object."""
        if ".y" not in path and not path.endswith(".json") and ".json." not in path:
            return False
        return b"apiVersion" in head and b"kind" in head and bare_path(path).endswith(_SUFFIXES)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """What each object needs; objects of other kinds say nothing."""
        stream, problems = read_documents(document, "kubectl refuses the object")
        yield from problems
        found = _CLUSTER.match(document.path)
        cluster = f"cluster {found[1]}" if found is not None else ""
        # Items of an answer have neither kind nor version: those of their list hold for them.
        pending = [(root, "", "") for root in reversed(stream.documents) if root.is_map]
        count = 0
        while pending:
            root, of_list, list_version = pending.pop()
            kind, version = root.text("kind") or of_list, root.text("apiVersion") or list_version
            if kind.endswith("List") or (kind == "Template" and root.get("objects") is not None):
                listed = "" if kind in ("List", "Template") else kind.removesuffix("List")
                inner = (*maps(root, "items"), *maps(root, "objects"))
                pending.extend((one, listed, version) for one in reversed(inner))
                continue
            count += 1
            if count > OBJECTS_LIMIT:
                yield Malformed(stream.where(root), f"more than {OBJECTS_LIMIT:,} objects: the rest is not read")
                return
            reader = _READERS.get(kind)
            metadata = root.get("metadata")
            if reader is None or metadata is None or not metadata.is_map or not version:
                continue
            name = known(metadata.text("name")) or known(metadata.text("generateName"))
            if name:
                namespace = known(metadata.text("namespace"))
                yield from reader(ManifestObject(stream, root, kind, name, namespace, version, cluster))


def _service(one: ManifestObject) -> Iterator[Parsed]:
    """A name outside of the cluster, or addresses of machines that take requests for it (`externalIPs`)."""
    target = step(one.root, "spec", "externalName")
    found = host_ref(known(target.scalar)) if target is not None and known(target.scalar) else None
    if target is not None and found is not None and is_outside(found.text):
        yield Entity(one.ref, one.where, {"type": "ExternalName"})
        yield Dependency(one.ref, found, Relation.CONNECTS, one.at(target))
    nodes = texts(one.root.get("spec"), "externalIPs")
    machines = [(machine, node) for node in nodes if (machine := outside(node.scalar)) is not None]
    if machines:
        yield Entity(one.ref, one.where)
    for machine, node in machines:
        group = "addresses" if len(machines) > 1 else ""
        yield Dependency(one.ref, machine, Relation.RUNS_ON, one.at(node), group=group)


def _endpoints(one: ManifestObject) -> Iterator[Parsed]:
    """Addresses that someone wrote down: those of pods come and go with the cluster."""
    consumer = one.service(one.name)
    nodes: list[YamlNode] = []
    if one.kind == "EndpointSlice":
        name = known(step_text(one.root, "metadata", "labels", "kubernetes.io/service-name"))
        consumer = one.service(name or one.name)
        for endpoint in maps(one.root, "endpoints"):
            if step_text(endpoint, "targetRef", "kind") != "Pod":
                nodes.extend(texts(endpoint, "addresses"))
    else:
        for subset in maps(one.root, "subsets"):
            for key in ("addresses", "notReadyAddresses"):
                for address in maps(subset, key):
                    written = address.get("ip")
                    if written is not None and step_text(address, "targetRef", "kind") != "Pod":
                        nodes.append(written)
    found = [(ref, node) for node in nodes if (ref := outside(node.scalar)) is not None]
    if found:
        yield Entity(consumer, one.where, {"endpoints": len(found)})
    for ref, node in found:
        yield Dependency(consumer, ref, Relation.BACKED_BY, one.at(node), group="endpoints")


def _node(one: ManifestObject) -> Iterator[Parsed]:
    """A machine of the cluster: the others are alternatives, of those that run the API server apart."""
    labels = step(one.root, "metadata", "labels")
    roles = {key.scalar for key, _ in labels.items()} if labels is not None and labels.is_map else set()
    service = Ref(Kind.SERVICE, f"kubernetes {'control plane' if roles & _CONTROL_PLANE else 'nodes'}", one.cluster)
    addresses: dict[str, YamlNode] = {}
    for address in maps(step(one.root, "status"), "addresses"):
        written = address.get("address")
        if written is not None and known(written.scalar):
            addresses.setdefault(address.text("type"), written)
    named = addresses.get("Hostname") or addresses.get("InternalDNS")
    place = addresses.get("InternalIP") or addresses.get("ExternalIP") or named
    machine = host_ref(place.scalar if place is not None else one.name)
    if machine is None:
        return
    yield Entity(service, one.where, {"program": "kubernetes"})
    where = one.at(place) if place is not None else one.where
    yield Dependency(service, machine, Relation.RUNS_ON, where, Need.RUN, "machines")
    full = host_ref(named.scalar if named is not None else one.name)
    if full is not None and full.kind is Kind.NAME and "." in full.text and machine.kind is Kind.ADDRESS:
        known_as: dict[str, Attribute] = {"known_as": (full.text, machine.text)}
        yield Entity(Ref(Kind.HOST, full.text), one.at(named) if named is not None else one.where, known_as)


def _ingress(one: ManifestObject) -> Iterator[Parsed]:
    """One service for each host, as the loss of one host's back end is no loss to the others."""
    spec = one.root.get("spec")
    if spec is None or not spec.is_map:
        return
    backends: dict[str, tuple[YamlNode, dict[str, YamlNode]]] = {}
    for rule in maps(spec, "rules"):
        written = rule.get("host")
        host = known(written.scalar) if written is not None else ""
        if written is not None and not host and not written.scalar.startswith("*."):
            continue
        host = normal_name(host or (written.scalar if written is not None else ""))
        place, services = backends.setdefault(host, (written or rule, {}))
        http = rule.get("http")
        for path in maps(http, "paths"):
            _backend(path.get("backend"), services)
    default: dict[str, YamlNode] = {}
    _backend(spec.get("defaultBackend") or spec.get("backend"), default)
    if default:
        backends.setdefault("", (spec, default))
    for host, (place, services) in backends.items():
        ref = Ref(Kind.SERVICE, f"{one.ref.text}{' ' + host if host else ''}", one.cluster)
        attributes: dict[str, Attribute] = {"hosts": (host,)} if host else {}
        yield Entity(ref, one.at(place), attributes)
        for name, node in services.items():
            yield Dependency(ref, one.service(name), Relation.BACKED_BY, one.at(node))


def _backend(backend: YamlNode | None, services: dict[str, YamlNode]) -> None:
    for keys in (("service", "name"), ("serviceName",)):
        written = step(backend, *keys)
        if written is not None and written.is_scalar and known(written.scalar):
            services.setdefault(written.scalar, written)


def _admission(one: ManifestObject) -> Iterator[Parsed]:
    for entry in maps(one.root, "webhooks"):
        events: list[str] = []
        for rule in maps(entry, "rules"):
            what = ",".join(node.scalar for node in texts(rule, "resources"))
            events.extend(f"{node.scalar} {what}".strip() for node in texts(rule, "operations"))
        policy = known(entry.text("failurePolicy"))
        yield from _client(one, entry.get("clientConfig"), known(entry.text("name")), tuple(events[:100]), policy)


def _conversion(one: ManifestObject) -> Iterator[Parsed]:
    spec = one.root.get("spec")
    client = step(spec, "conversion", "webhook", "clientConfig") or step(spec, "conversion", "webhookClientConfig")
    yield from _client(one, client, "conversion", ("conversion",), "")


def _client(
    one: ManifestObject, client: YamlNode | None, name: str, events: tuple[str, ...], policy: str
) -> Iterator[Parsed]:
    """A webhook that the API server calls: with `failurePolicy: Fail`, its default, requests fail with it."""
    if client is None or not client.is_map:
        return
    of = f" of {one.cluster}" if one.cluster else ""
    webhook = Ref(Kind.WEBHOOK, f"kubernetes {one.kind} {one.name}{': ' + name if name else ''}{of}")
    url, service = client.get("url"), client.get("service")
    target: Ref | None = None
    place = client
    if url is not None and known(url.scalar):
        target, place = outside(url.scalar), url
    elif service is not None and service.is_map and known(service.text("name")):
        namespace = known(service.text("namespace"))
        inside = f"{namespace}/{service.text('name')}" if namespace else service.text("name")
        target, place = Ref(Kind.SERVICE, f"kubernetes Service {inside}", one.cluster), service
    if target is None:
        return
    attributes: dict[str, Attribute] = {"failure_policy": policy or "Fail"}
    if events:
        attributes["events"] = tuple(excerpt(event) for event in events)
    yield Entity(webhook, one.at(place), attributes)
    yield Dependency(webhook, target, Relation.DELIVERS, one.at(place), Need.WRITE)


def _receivers(one: ManifestObject) -> Iterator[Parsed]:
    """Receivers of an AlertmanagerConfig (Prometheus operator), as the operator calls them, with what is no Secret."""
    for entry in maps(one.root.get("spec"), "receivers"):
        name = entry.get("name")
        if name is None or not known(name.scalar):
            continue
        ref = Ref(Kind.RECEIVER, f"{one.full_name}/{name.scalar}", one.cluster)
        yield Entity(ref, one.at(name), {"program": "alertmanager"})
        # Also those whose place is in a Secret: what is known is then not all that is told.
        count = sum(len(list(maps(entry, key.scalar))) for key, _ in entry.items() if key.scalar.endswith("Configs"))
        group = "channels" if count > 1 else ""
        for integration, key in _CHANNELS:
            for channel in maps(entry, integration):
                place = channel.get(key)
                target = outside(place.scalar) if place is not None and place.is_scalar else None
                if target is not None:
                    yield Dependency(ref, target, Relation.NOTIFIES, one.at(place), group=group)


def _remote_write(one: ManifestObject) -> Iterator[Parsed]:
    """Where a Prometheus of the operator sends what it scrapes, and reads what it does not have."""
    for key, need in (("remoteWrite", Need.WRITE), ("remoteRead", Need.READ)):
        for entry in maps(one.root.get("spec"), key):
            url = entry.get("url")
            target = outside(url.scalar) if url is not None and url.is_scalar else None
            if target is not None:
                yield Entity(one.ref, one.where, {"program": "prometheus"})
                yield Dependency(one.ref, target, Relation.CONNECTS, one.at(url), need)


def _cron_job(one: ManifestObject) -> Iterator[Parsed]:
    spec = one.root.get("spec")
    if spec is None or not spec.is_map:
        return
    written = spec.get("schedule")
    schedule = known_schedule(written.scalar) if written is not None else ""
    zone = known(spec.text("timeZone"))
    attributes: dict[str, Attribute] = {"dialect": "kubernetes"}
    for prefix in _ANY_TIME:
        if schedule.startswith(prefix):
            zone, _, schedule = schedule.removeprefix(prefix).partition(" ")
    if schedule:
        attributes["schedule"] = excerpt(schedule)
    if zone:
        attributes["timezone"] = excerpt(zone)
    if spec.text("suspend") == "true":
        attributes["suspended"] = True
        attributes["ignored"] = "suspend: true"
    job = Ref(Kind.JOB, one.ref.text, one.cluster)
    for key, attribute in (("lastScheduleTime", "last_start"), ("lastSuccessfulTime", "last_success")):
        if when := step_text(one.root, "status", key):
            attributes[attribute] = excerpt(when)
    if schedule and not schedule.startswith("@every"):
        try:
            read_cron_schedule(schedule)
        except ValueError as error:
            yield Malformed(one.at(written), excerpt(str(error)), "the API server refuses the object")
    pod = step(spec, "jobTemplate", "spec", "template", "spec")
    for container in maps(pod, "containers")[:1]:
        command = _command(container)
        attributes["command"] = excerpt(" ".join((command or container.text("image")).split()).replace(TEMPLATE, "…"))
    yield Entity(job, one.at(written) if written is not None else one.where, attributes)
    yield from _pod(one, job, pod)


def known_schedule(text: str) -> str:
    """A schedule, unless a template fills it in."""
    return "" if TEMPLATE in text or "$" in text or "{" in text else " ".join(text.split())


def _workload(one: ManifestObject) -> Iterator[Parsed]:
    pod = one.root.get("spec") if one.kind == "Pod" else step(one.root, "spec", "template", "spec")
    found = list(_pod(one, one.ref, pod))
    if found:
        yield Entity(one.ref, one.where)
        yield from found


def _pod(one: ManifestObject, consumer: Ref, pod: YamlNode | None) -> Iterator[Parsed]:
    """What a pod needs that its cluster does not hold."""
    if pod is None or not pod.is_map:
        return
    for container in (*maps(pod, "initContainers"), *maps(pod, "containers")):
        image = container.get("image")
        registry = registry_of(known(image.scalar)) if image is not None else None
        if registry is not None:
            yield Dependency(consumer, registry, Relation.CONNECTS, one.at(image))
        variables = [
            (variable.text("name"), value.scalar, _shown(one, value))
            for variable in maps(container, "env")
            if (value := variable.get("value")) is not None and value.is_scalar
        ]
        yield from settings(consumer, variables)
        environment = {name: known(value) for name, value, _ in variables if name and known(value)}
        place = container.get("command") or container.get("args")
        if place is not None:
            yield from _run(one, consumer, container, place, environment)
    for alias in maps(pod, "hostAliases"):
        address = alias.get("ip")
        found = outside(address.scalar) if address is not None else None
        if found is not None:
            yield Dependency(consumer, found, Relation.CONNECTS, one.at(address), confidence=Confidence.MEDIUM)
    for volume in maps(pod, "volumes"):
        yield from _volume(one, consumer, volume)
    for keys in (("nodeName",), ("nodeSelector", "kubernetes.io/hostname")):
        node = step(pod, *keys)
        machine = host_ref(known(node.scalar)) if node is not None and known(node.scalar) else None
        if machine is not None:
            yield Dependency(consumer, machine, Relation.RUNS_ON, one.at(node))


def _shown(one: ManifestObject, node: YamlNode) -> Where:
    where = one.at(node)
    return where if len(where.excerpt) < 200 else Where(where.line, excerpt(node.scalar[:100]))


def _command(container: YamlNode) -> str:
    """Command and arguments as one line, as a shell would read it."""
    words = [node.scalar for key in ("command", "args") for node in container.children(key) if node.is_scalar]
    return shlex.join(words[:1000])[:100_000]


def _run(
    one: ManifestObject, consumer: Ref, container: YamlNode, place: YamlNode, environment: Mapping[str, str]
) -> Iterator[Parsed]:
    """What a container runs, with the variables that its manifest gives to it, `$(NAME)` among them."""

    def filled(text: str) -> str:
        return Filler(_VARIABLE, _FILLED_IN).fill(text, lambda found: environment.get(found[1]))

    words = [node for key in ("command", "args") for node in container.children(key) if node.is_scalar]
    script = next((node for node in words if "\n" in node.scalar.strip()), None)
    if script is not None:
        line = one.at(script)
        start = line.line + (1 if line.excerpt.rstrip("-+0123456789").endswith(("|", ">")) else 0)
        place_of = Where(start, line.excerpt)
        yield from commands(filled(script.scalar), consumer, place_of, script=True, environment=environment)
    elif command := _command(container):
        first = place.elements[-1] if place.elements else place
        yield from commands(filled(command), consumer, one.at(first), environment=environment)


def _volume(one: ManifestObject, consumer: Ref, volume: YamlNode) -> Iterator[Parsed]:
    """Network file systems and block devices of a volume or of a PersistentVolume's `spec`."""
    for keys in (("nfs", "server"), ("csi", "volumeAttributes", "server"), ("glusterfs", "endpoints")):
        server = step(volume, *keys)
        if server is not None and server.is_scalar:
            read_only = step_text(volume, keys[0], "readOnly") == "true"
            yield from mounted(consumer, server.scalar, read_only, one.at(server))
    portal = step(volume, "iscsi", "targetPortal")
    if portal is not None and (found := outside(portal.scalar)) is not None:
        yield Dependency(consumer, found, Relation.MOUNTS, one.at(portal), Need.WRITE)
    for monitor in texts(step(volume, "cephfs"), "monitors"):
        if (found := outside(monitor.scalar)) is not None:
            yield Dependency(consumer, found, Relation.MOUNTS, one.at(monitor), Need.WRITE, "monitors")


def _persistent(one: ManifestObject) -> Iterator[Parsed]:
    spec = one.root.get("spec")
    found = list(_volume(one, one.ref, spec)) if spec is not None and spec.is_map else []
    if found:
        yield Entity(one.ref, one.where)
        yield from found


def _storage_class(one: ManifestObject) -> Iterator[Parsed]:
    server = step(one.root, "parameters", "server")
    found = list(mounted(one.ref, server.scalar, False, one.at(server))) if server is not None else []
    if found:
        yield Entity(one.ref, one.where)
        yield from found


_READERS: Final[Mapping[str, Callable[[ManifestObject], Iterator[Parsed]]]] = {
    "Service": _service,
    "Endpoints": _endpoints,
    "EndpointSlice": _endpoints,
    "Ingress": _ingress,
    "MutatingWebhookConfiguration": _admission,
    "ValidatingWebhookConfiguration": _admission,
    "CustomResourceDefinition": _conversion,
    "AlertmanagerConfig": _receivers,
    "Prometheus": _remote_write,
    "PrometheusAgent": _remote_write,
    "CronJob": _cron_job,
    "ScheduledJob": _cron_job,
    "Pod": _workload,
    "Node": _node,
    "PersistentVolume": _persistent,
    "StorageClass": _storage_class,
    **dict.fromkeys(_WORKLOADS, _workload),
    **ROUTES,
}
