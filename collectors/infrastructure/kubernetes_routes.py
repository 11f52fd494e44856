"""How requests come into a cluster and where they go: Gateway API, Envoy Gateway's backends, Traefik's routes, Istio's
entries of what is outside.

Sources: the Go types of Gateway API 1.4 (`apis/v1`), of Envoy Gateway 1.6 (`api/v1alpha1`), of Traefik 3.7
(`pkg/provider/kubernetes/crd/traefikio/v1alpha1`), and Istio 1.28's reference of ServiceEntry and WorkloadEntry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from auditor.api import Attribute, Dependency, Entity, Kind, Parsed, Ref, Relation, YamlNode, normal_name
from collectors.infrastructure.common import known, maps, outside, step, texts
from collectors.infrastructure.kubernetes_objects import ManifestObject

HOSTS_LIMIT: Final = 20
"""Hosts of one route of Traefik up to which each is a service of its own."""
GATEWAY_API: Final = "gateway.networking.k8s.io"
_ISTIO: Final = "networking.istio.io"
_ENVOY_GATEWAY: Final = "gateway.envoyproxy.io"
_TRAEFIK: Final = frozenset({"traefik.io", "traefik.containo.us", "hub.traefik.io"})
_PLACES: Final = frozenset({"", "IPAddress", "Hostname"})
_MATCHED: Final = re.compile(r"(?<!!)\b(?:Host|HostSNI)\(([^)]{0,2000})\)")
_QUOTED: Final = re.compile(r"[`\"']([^`\"'\s]+)[`\"']")

_Found = tuple[Ref, YamlNode]


def _hosts(nodes: Iterable[YamlNode]) -> tuple[str, ...]:
    """Names that requests are for, wildcards among them."""
    written = (node.scalar.strip() for node in nodes if node.is_scalar)
    found = (f"*.{normal_name(text[2:])}" if text.startswith("*.") else normal_name(known(text)) for text in written)
    return tuple(dict.fromkeys(name for name in found if name not in ("", "*.")))


def _needs(
    one: ManifestObject, consumer: Ref, found: Iterable[_Found], relation: Relation, group: str = ""
) -> Iterator[Parsed]:
    """Dependencies on each thing once: alternatives, if there are several and a group is named."""
    places = dict[Ref, YamlNode]()
    for provider, node in found:
        places.setdefault(provider, node)
    for provider, node in places.items():
        yield Dependency(consumer, provider, relation, one.at(node), group=group if len(places) > 1 else "")


def _gateway(one: ManifestObject) -> Iterator[Parsed]:
    """Addresses that a Gateway asks for, or has: what it stands on."""
    if one.group != GATEWAY_API:
        return
    places: list[_Found] = []
    for part in ("spec", "status"):
        for entry in maps(one.root.get(part), "addresses"):
            value = entry.get("value")
            if entry.text("type") in _PLACES and value is not None and (found := outside(value.scalar)) is not None:
                places.append((found, value))
    listeners = maps(one.root.get("spec"), "listeners")
    hosts = _hosts(node for entry in listeners if (node := entry.get("hostname")) is not None)
    attributes: dict[str, Attribute] = {"hosts": hosts} if hosts else {}
    yield Entity(one.ref, one.where, attributes)
    yield from _needs(one, one.ref, places, Relation.RUNS_ON, "addresses")


def _backend_ref(one: ManifestObject, entry: YamlNode) -> _Found | None:
    """What a route passes requests to. None for what gets none (weight 0), and for what leads nowhere else."""
    name = entry.get("name")
    if name is None or not known(name.scalar) or entry.text("weight") == "0":
        return None
    group, kind = entry.text("group"), entry.text("kind", "Service")
    if group == _ISTIO and kind == "Hostname":
        found = outside(name.scalar)
        return (found, name) if found is not None else None
    return one.other(kind, name.scalar, known(entry.text("namespace"))), name


def _backend_refs(one: ManifestObject, entries: Iterable[YamlNode]) -> list[_Found]:
    return [found for entry in entries if (found := _backend_ref(one, entry)) is not None]


def _route(one: ManifestObject) -> Iterator[Parsed]:
    """A route of Gateway API: each of its rules is needed, and of a rule's backends one is enough."""
    spec = one.root.get("spec")
    if one.group != GATEWAY_API or spec is None or not spec.is_map:
        return
    hosts = _hosts(texts(spec, "hostnames"))
    attributes: dict[str, Attribute] = {"hosts": hosts} if hosts else {}
    yield Entity(one.ref, one.where, attributes)
    gateways: list[_Found] = []
    for entry in maps(spec, "parentRefs"):
        name = entry.get("name")
        is_gateway = entry.text("group", GATEWAY_API) == GATEWAY_API and entry.text("kind", "Gateway") == "Gateway"
        if is_gateway and name is not None and known(name.scalar):
            gateways.append((one.other("Gateway", name.scalar, known(entry.text("namespace"))), name))
    yield from _needs(one, one.ref, gateways, Relation.RUNS_ON, "gateways")
    mirrors: list[_Found] = []
    for number, rule in enumerate(maps(spec, "rules"), start=1):
        entries = maps(rule, "backendRefs")
        group = f"backends of rule {number}"
        yield from _needs(one, one.ref, _backend_refs(one, entries), Relation.BACKED_BY, group)
        for part in (rule, *entries):
            for applied in maps(part, "filters"):
                mirror, asked = (
                    step(applied, "requestMirror", "backendRef"),
                    step(applied, "externalAuth", "backendRef"),
                )
                if mirror is not None and mirror.is_map:
                    mirrors += _backend_refs(one, [mirror])
                if asked is not None and asked.is_map:
                    yield from _needs(one, one.ref, _backend_refs(one, [asked]), Relation.CONNECTS)
    yield from _mirrored(one, mirrors)


def _mirrored(one: ManifestObject, mirrors: list[_Found]) -> Iterator[Parsed]:
    """Copies of requests, whose answers nobody waits for: apart from the route itself."""
    if mirrors:
        mirror = Ref(Kind.SERVICE, f"{one.ref.text}: mirror", one.cluster)
        yield Entity(mirror, one.at(mirrors[0][1]))
        yield from _needs(one, mirror, mirrors, Relation.BACKED_BY)


def _backend(one: ManifestObject) -> Iterator[Parsed]:
    """Envoy Gateway: what is outside of the cluster, in place of a Service."""
    if one.group != _ENVOY_GATEWAY:
        return
    places: list[_Found] = []
    for entry in maps(one.root.get("spec"), "endpoints"):
        for keys in (("fqdn", "hostname"), ("ip", "address")):
            node, port = step(entry, *keys), step(entry, keys[0], "port")
            if node is None or not known(node.scalar):
                continue
            host = f"[{node.scalar}]" if ":" in node.scalar else node.scalar
            found = outside(f"{host}:{port.scalar}" if port is not None and port.scalar.isdecimal() else node.scalar)
            if found is not None:
                places.append((found, node))
    if places:
        yield Entity(one.ref, one.where, {"endpoints": len(places)})
        yield from _needs(one, one.ref, places, Relation.BACKED_BY, "endpoints")


def _service_entry(one: ManifestObject) -> Iterator[Parsed]:
    """Istio: names outside of the mesh, or the endpoints that stand for them."""
    spec = one.root.get("spec")
    if one.group != _ISTIO or spec is None or not spec.is_map:
        return
    written = [node for entry in maps(spec, "endpoints") if (node := entry.get("address")) is not None]
    places = [(found, node) for node in written if (found := outside(node.scalar)) is not None]
    if places:
        yield Entity(one.ref, one.where, {"endpoints": len(places)})
        yield from _needs(one, one.ref, places, Relation.BACKED_BY, "endpoints")
        return
    # Without endpoints each name is asked for by itself; what a selector finds are workloads of the mesh.
    named = [(found, node) for node in texts(spec, "hosts") if (found := outside(node.scalar)) is not None]
    if named and not written and spec.get("workloadSelector") is None:
        yield Entity(one.ref, one.where)
        yield from _needs(one, one.ref, named, Relation.CONNECTS)


def _workload_entry(one: ManifestObject) -> Iterator[Parsed]:
    """Istio: a machine that is a workload of the mesh."""
    address = step(one.root, "spec", "address")
    found = outside(address.scalar) if one.group == _ISTIO and address is not None else None
    if found is not None and address is not None:
        yield Entity(one.ref, one.where)
        yield Dependency(one.ref, found, Relation.RUNS_ON, one.at(address))


def _traefik_service(one: ManifestObject, entry: YamlNode) -> _Found | None:
    """What an entry of `services` names. None for what another provider than Kubernetes gives."""
    name = entry.get("name")
    if name is None or not known(name.scalar) or "@" in name.scalar or entry.text("weight") == "0":
        return None
    return one.other(entry.text("kind", "Service"), name.scalar, known(entry.text("namespace"))), name


def _traefik_services(one: ManifestObject, entries: Iterable[YamlNode]) -> list[_Found]:
    return [found for entry in entries if (found := _traefik_service(one, entry)) is not None]


def _middlewares(one: ManifestObject, entries: Iterable[YamlNode]) -> Iterator[_Found]:
    for entry in entries:
        name = entry.get("name")
        if name is not None and known(name.scalar) and "@" not in name.scalar:
            yield one.other("Middleware", name.scalar, known(entry.text("namespace"))), name


def _ingress_route(one: ManifestObject) -> Iterator[Parsed]:
    """One service for each host, as for an Ingress. Of a route's services one is enough, each middleware is needed."""
    if one.group not in _TRAEFIK:
        return
    made: set[Ref] = set()
    for number, route in enumerate(maps(one.root.get("spec"), "routes"), start=1):
        match = route.get("match")
        written = match.scalar if match is not None else ""
        names = [name for found in _MATCHED.findall(written) for name in _QUOTED.findall(found)]
        hosts = [normal_name(known(name)) for name in names if known(name)]
        services = _traefik_services(one, maps(route, "services"))
        asked = list(_middlewares(one, maps(route, "middlewares")))
        named: dict[str, tuple[str, ...]] = {f" {host}": (host,) for host in hosts} or {"": ()}
        if len(named) > HOSTS_LIMIT:
            # Each host would need each service: the square.
            named = {f" route {number}": tuple(hosts)}
        for label, known_as in named.items():
            ref = Ref(Kind.SERVICE, f"{one.ref.text}{label}", one.cluster)
            attributes: dict[str, Attribute] = {"hosts": known_as} if known_as else {}
            if ref not in made:
                made.add(ref)
                yield Entity(ref, one.at(match) if label else one.where, attributes)
            yield from _needs(one, ref, services, Relation.BACKED_BY, f"services of route {number}")
            yield from _needs(one, ref, asked, Relation.CONNECTS)


def _weighted(one: ManifestObject) -> Iterator[Parsed]:
    """A TraefikService: several services as one, or one of which others get copies."""
    spec = one.root.get("spec")
    if one.group not in _TRAEFIK or spec is None or not spec.is_map:
        return
    yield Entity(one.ref, one.where)
    for key in ("weighted", "highestRandomWeight"):
        services = _traefik_services(one, maps(spec.get(key), "services"))
        yield from _needs(one, one.ref, services, Relation.BACKED_BY, "services")
    mirroring = spec.get("mirroring")
    if mirroring is not None and mirroring.is_map:
        yield from _needs(one, one.ref, _traefik_services(one, [mirroring]), Relation.BACKED_BY)
        yield from _mirrored(one, _traefik_services(one, maps(mirroring, "mirrors")))


def _middleware(one: ManifestObject) -> Iterator[Parsed]:
    """A Middleware that asks another server, or a chain of others."""
    spec = one.root.get("spec")
    if one.group not in _TRAEFIK or spec is None or not spec.is_map:
        return
    address = step(spec, "forwardAuth", "address")
    asked = outside(address.scalar) if address is not None else None
    found = [(asked, address)] if asked is not None and address is not None else []
    found += _middlewares(one, maps(spec.get("chain"), "middlewares"))
    if found:
        yield Entity(one.ref, one.where)
        yield from _needs(one, one.ref, found, Relation.CONNECTS)


ROUTES: Final[Mapping[str, Callable[[ManifestObject], Iterator[Parsed]]]] = {
    "Gateway": _gateway,
    **dict.fromkeys(("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"), _route),
    "Backend": _backend,
    "ServiceEntry": _service_entry,
    "WorkloadEntry": _workload_entry,
    **dict.fromkeys(("IngressRoute", "IngressRouteTCP", "IngressRouteUDP"), _ingress_route),
    "TraefikService": _weighted,
    "Middleware": _middleware,
}
"""Kind of object -> its reader, which looks at the group: others have kinds of these names, too."""
