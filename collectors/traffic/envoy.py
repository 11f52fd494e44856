"""Envoy's static configuration: listeners, clusters and their endpoints, certificates.

Source: Envoy's v3 API (bootstrap, cluster, endpoint, listener, transport sockets); `hosts` of a cluster is of v2.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    YamlNode,
    YamlStream,
    decode,
    endpoint_ref,
    read_yaml,
    without_templates,
)
from collectors.traffic.common import (
    LOCAL,
    UNKNOWN,
    Member,
    bare_name,
    is_templated,
    pool,
    qualified,
    service,
    target_of,
)

_MARKS: Final = (
    b"static_resources",
    b"load_assignment",
    b"dynamic_resources",
    b"envoy.filters.",
    b"type.googleapis.com/envoy",
)
_OUT: Final = frozenset({"UNHEALTHY", "DRAINING", "TIMEOUT"})


class EnvoyCollector(Collector):
    """Envoy: listeners, clusters, endpoints, certificates.

    Reads
    -----
    YAML and JSON files, and templates of them, whose path names envoy and that hold a bootstrap configuration or lists
    of listeners and clusters.

    Yields
    ------
    A service for each listener and each cluster; the clusters that a listener's routes lead to; the endpoints of a
    cluster as alternatives; certificate, key and trusted CA files; gRPC services that a filter asks.

    Can't see
    ---------
    What a management server (xDS) sends, what a DNS name of a cluster resolves to at run time, secrets by SDS.
    """

    name: ClassVar[str] = "envoy"
    title: ClassVar[str] = "Envoy: listeners, clusters, certificates"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.READS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if "envoy" not in path or not bare_name(path).endswith((".yaml", ".yml", ".json")):
            return False
        return any(mark in head for mark in _MARKS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        text = decode(document.content)
        templated = is_templated(document.path, text)
        stream = read_yaml(without_templates(text) if templated else document.content)
        if stream.problem is not None and not templated:
            yield Malformed(
                stream.where(stream.problem.line), stream.problem.reason, "Envoy refuses to start with it", whole=True
            )
        for root in stream.documents:
            if root.is_map:
                yield from _Bootstrap(document.path, stream, root).facts()


class _Bootstrap:
    def __init__(self, path: str, stream: YamlStream, root: YamlNode) -> None:
        self._path = path
        self._stream = stream
        resources = root.get("static_resources") or root
        self._clusters = [one for one in resources.children("clusters") if one.is_map]
        self._listeners = [one for one in resources.children("listeners") if one.is_map]
        self._names = {one.text("name") for one in self._clusters}

    def facts(self) -> Iterator[Parsed]:
        for cluster in self._clusters:
            name = cluster.text("name")
            if not name or TEMPLATE in name:
                continue
            label = self._label("cluster", name)
            yield from pool(label, "envoy", self._stream.where(cluster), self._members(cluster))
            yield from self._inside(Ref(Kind.SERVICE, label), cluster, routes=False)
        for listener in self._listeners:
            name = listener.text("name")
            address = _socket(listener.get("address"))
            shown = f"{address[0]}:{address[1]}" if address else ""
            if TEMPLATE in name or not (name or shown) or TEMPLATE in shown:
                continue
            label = self._label("listener", name or shown)
            attributes: dict[str, Attribute] = {"software": "envoy"}
            if shown:
                attributes["listen"] = (shown,)
            yield from service(label, self._stream.where(listener), attributes)
            yield from self._inside(Ref(Kind.SERVICE, label), listener, routes=True)

    def _label(self, kind: str, name: str) -> str:
        return qualified(f"envoy {kind} {name}", self._path)

    def _members(self, cluster: YamlNode) -> Iterator[Member]:
        assignment = cluster.get("load_assignment")
        places = assignment.children("endpoints") if assignment is not None else ()
        for place in (one for one in places if one.is_map):
            backup = place.text("priority", "0") not in ("0", "")
            for one in place.children("lb_endpoints"):
                endpoint = one.get("endpoint") if one.is_map else None
                if endpoint is not None and endpoint.is_map:
                    yield self._member(endpoint.get("address"), endpoint, backup, one.text("health_status") in _OUT)
        for one in cluster.children("hosts"):
            yield self._member(one, one, backup=False, down=False)

    def _member(self, address: YamlNode | None, at: YamlNode, backup: bool, down: bool) -> Member:
        where = self._stream.where(at)
        found = _socket(address)
        if found is None:
            pipe = address.at("pipe", "path") if address is not None and address.is_map else None
            if pipe is None:
                return Member("not known", UNKNOWN, where, backup, down)
            return Member(pipe.scalar, LOCAL, self._stream.where(pipe), backup, down)
        host, port, node = found
        shown = f"[{host}]" if ":" in host else host
        target = None if TEMPLATE in host + port or "$" in host else endpoint_ref(f"{shown}:{port}" if port else shown)
        return Member(f"{shown}:{port}", target or UNKNOWN, self._stream.where(node), backup, down)

    def _inside(self, ref: Ref, top: YamlNode, *, routes: bool) -> Iterator[Parsed]:
        """Files and, in a listener, clusters that anything below a node names."""
        seen: set[tuple[Ref, Relation]] = set()
        for node in top.walk():
            if not node.is_map:
                continue
            for target, relation, at in self._named(node, routes):
                if target != ref and (target, relation) not in seen:
                    seen.add((target, relation))
                    yield Dependency(ref, target, relation, self._stream.where(at))

    def _named(self, node: YamlNode, routes: bool) -> Iterator[tuple[Ref, Relation, YamlNode]]:
        for key in ("certificate_chain", "private_key", "trusted_ca", "crl"):
            source = node.get(key)
            file = source.get("filename") if source is not None and source.is_map else None
            if file is not None and file.scalar.startswith("/") and TEMPLATE not in file.scalar:
                yield Ref(Kind.PATH, posixpath.normpath(file.scalar)), Relation.READS, file
        if not routes:
            return
        for key, relation in (("cluster", Relation.BACKED_BY), ("cluster_name", Relation.CONNECTS)):
            named = node.get(key)
            if named is not None and named.scalar in self._names and named.scalar:
                yield Ref(Kind.SERVICE, self._label("cluster", named.scalar)), relation, named
        weighted = node.get("weighted_clusters")
        for one in weighted.children("clusters") if weighted is not None and weighted.is_map else ():
            named = one.get("name") if one.is_map else None
            if named is not None and named.scalar in self._names and named.scalar and one.text("weight") != "0":
                yield Ref(Kind.SERVICE, self._label("cluster", named.scalar)), Relation.BACKED_BY, named
        uri = node.get("target_uri")
        if uri is not None and (target := target_of(uri.scalar)) is not None:
            yield target, Relation.CONNECTS, uri


def _socket(address: YamlNode | None) -> tuple[str, str, YamlNode] | None:
    """The host, port and place of a socket address."""
    socket = address.get("socket_address") if address is not None and address.is_map else None
    if socket is None or not socket.is_map:
        return None
    host = socket.get("address")
    if host is None or not host.scalar:
        return None
    return host.scalar, socket.text("port_value"), host
