"""cert-manager: Issuer, ClusterIssuer and Certificate objects, and annotations of Ingress and Gateway.

Sources: cert-manager 1.18, its API reference (v1), its documentation of annotated Ingress and Gateway resources and of
selecting solvers; `certmanager.k8s.io/v1alpha1` of 0.10 and before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from posixpath import dirname
from typing import ClassVar, Final, NamedTuple

from auditor.api import (
    NO_ATTRIBUTES,
    TEMPLATE,
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    read_yaml,
    without_templates,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    attributes,
    built_in,
    challenge_names,
    client,
    lineage_ref,
    names,
    target,
)

_SUFFIXES: Final = (".yaml", ".yml", ".json", ".yaml.j2", ".yml.j2", ".yaml.tpl", ".yml.erb", ".yaml.tmpl")
_MARKS: Final = re.compile(rb"cert-manager\.io|certmanager\.k8s\.io|kubernetes\.io/tls-acme")
_HEAD: Final = 4096
_ANNOTATED: Final = re.compile(
    r"(?:cert-manager\.io|certmanager\.k8s\.io)/(cluster-issuer|issuer|common-name|alt-names)"
)
_CONFIG_LIMIT: Final = 200
_NAMESERVER: Final = re.compile(r".*(?:server|host|hostname|nameserver|url|endpoint|address|api)$", re.IGNORECASE)
_CLIENT: Final = client("cert-manager")


class _Solver(NamedTuple):
    """One way of validation: for which names, and what it talks to."""

    dns_names: tuple[str, ...]
    dns_zones: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    through_dns: bool
    targets: tuple[tuple[Ref, Where, Confidence], ...]
    where: Where


class _Issuer(NamedTuple):
    kind: str
    namespace: str
    name: str
    server: str
    targets: tuple[tuple[Ref, Where], ...]
    solvers: tuple[_Solver, ...]


class _Use(NamedTuple):
    """A certificate that somebody asks for."""

    text: str
    namespace: str
    issuer_kind: str
    issuer: str
    domains: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


class CertManagerCollector(Collector):
    """Certificates that cert-manager keeps in a cluster. It renews by itself, for as long as it runs.

    A lineage is `cert-manager:<namespace>/<name>` of the Certificate, or of the Secret that an annotated Ingress or
    Gateway asks for. There is no host: all belongs to the tree that holds the manifests.

    Reads
    -----
    YAML and JSON manifests and lists of the API, also Helm and Jinja templates as far as they can be read line by line.
    Of a file whose first 4 KiB name neither cert-manager nor a kind of object, nothing.

    Yields
    ------
    Lineages with names and issuer; of a running cluster also whether they are ready, and the certificate with its end;
    for each issuer a service with its CA: ACME server, Vault, Venafi; for each name the solver that is chosen for it:
    the challenge's name, the server of rfc2136 and acme-dns, the hosts in a webhook's configuration (confidence
    medium).

    Can't see
    ---------
    What values a chart is installed with, controllers that use cert-manager's Go interface, and Secrets.
    """

    name: ClassVar[str] = "cert_manager"
    title: ClassVar[str] = "cert-manager issuers, certificates and annotations"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RENEWED_BY, Relation.VALIDATED_THROUGH, Relation.ISSUED_BY, Relation.CONNECTS, Relation.RUNS_ON}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By cert-manager's names; of longer manifests only the beginning is seen here."""
        if not path.endswith(_SUFFIXES) or b"apiVersion" not in head:
            return False
        return _MARKS.search(head) is not None or (len(head) >= _HEAD and b"kind:" in head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Issuers with what they talk to, and certificates that are asked for."""
        if _MARKS.search(document.content) is None:
            return
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        text = decode(document.content)
        template = "{{" in text or "{%" in text or "<%" in text
        stream = read_yaml(without_templates(text) if template else text)
        if stream.problem is not None and not template:
            where = stream.where(stream.problem.line)
            yield Malformed(where, stream.problem.reason, "the cluster refuses the object", whole=not stream.documents)
        for root in stream.documents:
            kind = root.text("kind") if root.is_map else ""
            if not kind.endswith("List"):
                yield from _object(stream, root, "", "")
                continue
            # Items of an answer of the API have neither kind nor version: those of their list hold for them.
            for one in root.children("items"):
                yield from _object(stream, one, root.text("apiVersion"), kind.removesuffix("List"))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Which issuer a certificate means, and which solver each of its names."""
        issuers = [one for one in fragments if isinstance(one.value, _Issuer)]
        uses = [one for one in fragments if isinstance(one.value, _Use)]
        if uses:
            yield from built_in("cert-manager", replace(uses[0].where, path=uses[0].path))
        for one in uses:
            use = one.value
            assert isinstance(use, _Use)
            lineage = lineage_ref("cert-manager", use.text)
            where = replace(one.where, path=one.path)
            issuer = _chosen(one, use, issuers)
            known = issuer.value if issuer is not None else None
            if not isinstance(known, _Issuer) or issuer is None:
                continue
            yield Entity(lineage, where, attributes(server=known.server))
            for provider, place in known.targets:
                place = replace(place, path=issuer.path)
                yield Dependency(lineage, provider, Relation.ISSUED_BY, place, Need.WRITE)
            seen: set[tuple[Ref, int]] = set()
            for domain in use.domains:
                solver = _solver(domain, use.labels, known.solvers)
                if solver is None:
                    continue
                place = replace(solver.where, path=issuer.path)
                if solver.through_dns:
                    yield from challenge_names(lineage, (domain,), place)
                for provider, at, sure in solver.targets:
                    if (provider, at.line) not in seen:
                        seen.add((provider, at.line))
                        yield Dependency(
                            lineage,
                            provider,
                            Relation.VALIDATED_THROUGH,
                            replace(at, path=issuer.path),
                            Need.WRITE,
                            confidence=sure,
                        )


def _object(stream: YamlStream, root: YamlNode, list_version: str, of_list: str) -> Iterator[Parsed]:
    if not root.is_map:
        return
    version, kind = root.text("apiVersion", list_version), root.text("kind", of_list)
    metadata = root.get("metadata")
    if metadata is None or not metadata.is_map:
        return
    ours = version.startswith(("cert-manager.io/", "certmanager.k8s.io/"))
    if ours and kind in ("Issuer", "ClusterIssuer"):
        yield from _issuer(stream, root, kind, metadata)
    elif ours and kind == "Certificate":
        yield from _certificate(stream, root, metadata)
    elif kind in ("Ingress", "Gateway"):
        yield from _annotated(stream, root, kind, metadata)


def _clear(text: str) -> str:
    """A text, unless a template fills it in."""
    return "" if TEMPLATE in text else text


def _issuer(stream: YamlStream, root: YamlNode, kind: str, metadata: YamlNode) -> Iterator[Parsed]:
    name = _clear(metadata.text("name"))
    spec = root.get("spec")
    if not name or spec is None or not spec.is_map:
        return
    namespace = "" if kind == "ClusterIssuer" else _clear(metadata.text("namespace"))
    here = stream.where(metadata.get("name") or metadata)
    service = Ref(Kind.SERVICE, f"cert-manager {kind} {namespace + '/' if namespace else ''}{name}")
    found: list[tuple[Ref, Where]] = []
    server = ""
    for keys in (("acme", "server"), ("vault", "server"), ("venafi", "tpp", "url"), ("venafi", "cloud", "url")):
        node = spec.at(*keys) if _maps(spec, keys) else None
        provider = target(node.scalar) if node is not None and _clear(node.scalar) else None
        if provider is not None and node is not None:
            server = server or node.scalar
            found.append((provider, stream.where(node)))
    acme = spec.get("acme")
    solvers = tuple(_solvers(stream, acme)) if acme is not None and acme.is_map else ()
    yield Entity(service, here, attributes(server=server, kind=kind))
    yield Dependency(service, THIS_HOST, Relation.RUNS_ON, here)
    for provider, where in found:
        yield Dependency(service, provider, Relation.CONNECTS, where, Need.WRITE)
    for solver in solvers:
        for provider, where, sure in solver.targets:
            # One of several solvers: what it fails for, the certificates say.
            if len(solvers) == 1:
                yield Dependency(service, provider, Relation.CONNECTS, where, Need.WRITE, confidence=sure)
    yield Fragment("issuer", _Issuer(kind, namespace, name, server, tuple(found), solvers), here)


def _maps(node: YamlNode, keys: Sequence[str]) -> bool:
    """Whether every step but the last is a map, so that `at` can go there."""
    current: YamlNode | None = node
    for key in keys[:-1]:
        current = current.get(key) if current is not None and current.is_map else None
    return current is not None and current.is_map


def _solvers(stream: YamlStream, acme: YamlNode) -> Iterator[_Solver]:
    for solver in acme.children("solvers"):
        if not solver.is_map:
            continue
        selector = solver.get("selector")
        labels = selector.get("matchLabels") if selector is not None and selector.is_map else None
        dns = solver.get("dns01")
        yield _Solver(
            _texts(selector, "dnsNames"),
            _texts(selector, "dnsZones"),
            tuple((k.scalar, v.scalar) for k, v in labels.items()) if labels is not None and labels.is_map else (),
            dns is not None,
            tuple(_solver_targets(stream, dns)) if dns is not None and dns.is_map else (),
            stream.where(solver),
        )


def _texts(node: YamlNode | None, key: str) -> tuple[str, ...]:
    if node is None or not node.is_map:
        return ()
    return names(one.scalar for one in node.children(key))


def _solver_targets(stream: YamlStream, dns: YamlNode) -> Iterator[tuple[Ref, Where, Confidence]]:
    for section, key in (("rfc2136", "nameserver"), ("acmeDNS", "host"), ("acmedns", "host")):
        node = dns.at(section, key) if _maps(dns, (section, key)) else None
        provider = target(node.scalar) if node is not None and _clear(node.scalar) else None
        if provider is not None and node is not None:
            yield provider, stream.where(node), Confidence.HIGH
    webhook = dns.get("webhook")
    config = webhook.get("config") if webhook is not None and webhook.is_map else None
    if config is None or not config.is_map:
        return
    # Its form is the webhook's own: what is a URL, or named like a server, is taken for one.
    for below in islice(config.walk(), _CONFIG_LIMIT):
        for name, value in below.pairs:
            text = _clear(value.scalar) if value.is_scalar else ""
            if "://" in text or (text and "." in text and _NAMESERVER.fullmatch(name.written)):
                provider = target(text)
                if provider is not None:
                    yield provider, stream.where(value), Confidence.MEDIUM


def _certificate(stream: YamlStream, root: YamlNode, metadata: YamlNode) -> Iterator[Parsed]:
    name, namespace = _clear(metadata.text("name")), _clear(metadata.text("namespace"))
    spec = root.get("spec")
    if not name or spec is None or not spec.is_map:
        return
    issuer = spec.get("issuerRef")
    named = issuer is not None and issuer.is_map
    written = [spec.text("commonName"), *(node.scalar for node in spec.children("dnsNames"))]
    domains = names(filter(None, map(_clear, written)))
    where = stream.where(metadata.get("name") or metadata)
    status = root.get("status")
    yield from _use(
        where,
        _Use(
            f"{namespace}/{name}" if namespace else name,
            namespace,
            (issuer.text("kind") if named and issuer is not None else "") or "Issuer",
            _clear(issuer.text("name")) if named and issuer is not None else "",
            domains,
            _labels(metadata),
        ),
        spec.text("secretName"),
        _state(status),
    )
    if status is not None and status.is_map and (end := status.get("notAfter")) is not None and end.scalar:
        # The certificate itself is in a Secret, which nobody asks for: its names and its end are told here.
        text = f"cert-manager:{namespace}/{name}" if namespace else f"cert-manager:{name}"
        certificate, place = Ref(Kind.CERTIFICATE, text), stream.where(end)
        period = attributes(not_before=status.text("notBefore"), not_after=end.scalar)
        yield Entity(certificate, place, {"subject": name, "sans": domains, **period})
        lineage = lineage_ref("cert-manager", text.removeprefix("cert-manager:"))
        yield Dependency(certificate, lineage, Relation.CERTIFIED_BY, place, Need.RUN, "lineages")


def _state(status: YamlNode | None) -> dict[str, Attribute]:
    """What the controller says of a certificate (cert-manager's API reference, CertificateStatus)."""
    if status is None or not status.is_map:
        return {}
    ready = next((one for one in status.children("conditions") if one.is_map and one.text("type") == "Ready"), None)
    return attributes(
        ready=None if ready is None else ready.text("status") == "True",
        not_ready_because=ready.text("message") if ready is not None and ready.text("status") != "True" else "",
        renewal_time=status.text("renewalTime"),
        last_failure=status.text("lastFailureTime"),
    )


def _annotated(stream: YamlStream, root: YamlNode, kind: str, metadata: YamlNode) -> Iterator[Parsed]:
    """Ingress and Gateway objects whose annotations ask for certificates: one for each Secret."""
    annotations = metadata.get("annotations")
    spec = root.get("spec")
    if annotations is None or not annotations.is_map or spec is None or not spec.is_map:
        return
    issuer_kind = issuer = ""
    for key, value in annotations.items():
        found = _ANNOTATED.fullmatch(key.written)
        if found is not None and found[1] in ("cluster-issuer", "issuer"):
            issuer_kind = "ClusterIssuer" if found[1] == "cluster-issuer" else "Issuer"
            issuer = _clear(value.scalar)
    automatic = annotations.text("kubernetes.io/tls-acme").lower() == "true"
    if not issuer and not automatic:
        return
    namespace = _clear(metadata.text("namespace"))
    entries: list[tuple[str, tuple[str, ...], YamlNode]] = []
    if kind == "Ingress":
        entries.extend(
            (entry.text("secretName"), _texts(entry, "hosts"), entry)
            for entry in spec.children("tls")
            if entry.is_map and _clear(entry.text("secretName"))
        )
    else:
        for listener in spec.children("listeners"):
            tls = listener.get("tls") if listener.is_map else None
            if tls is None or not tls.is_map:
                continue
            entries.extend(
                (reference.text("name"), names([listener.text("hostname")]), listener)
                for reference in tls.children("certificateRefs")
                if reference.is_map and _clear(reference.text("name"))
            )
    for secret, domains, node in entries:
        use = _Use(
            f"{namespace}/{secret}" if namespace else secret,
            namespace,
            issuer_kind,
            issuer,
            tuple(one for one in domains if TEMPLATE not in one),
            _labels(metadata),
        )
        yield from _use(stream.where(node), use, secret)


def _labels(metadata: YamlNode) -> tuple[tuple[str, str], ...]:
    labels = metadata.get("labels")
    return tuple((k.scalar, v.scalar) for k, v in labels.items()) if labels is not None and labels.is_map else ()


def _use(where: Where, use: _Use, secret: str, state: Mapping[str, Attribute] = NO_ATTRIBUTES) -> Iterator[Parsed]:
    lineage = lineage_ref("cert-manager", use.text)
    declared = attributes(
        client="cert-manager",
        domains=use.domains,
        namespace=use.namespace,
        issuer=f"{use.issuer_kind} {use.issuer}".strip(),
        secret_name=_clear(secret),
    )
    yield Entity(lineage, where, {**declared, **state})
    yield Dependency(lineage, _CLIENT, Relation.RENEWED_BY, where)
    yield Fragment("use", use, where)


def _chosen(one: Fragment, use: _Use, issuers: Sequence[Fragment]) -> Fragment | None:
    """The issuer that a reference means: by kind, name and namespace; of several in a tree, the nearest file's."""
    fitting = [
        issuer
        for issuer in issuers
        if isinstance(issuer.value, _Issuer)
        and issuer.value.name == use.issuer
        and issuer.value.kind == use.issuer_kind
        and (not issuer.value.namespace or not use.namespace or issuer.value.namespace == use.namespace)
    ]
    return max(fitting, key=lambda issuer: (_shared(issuer.path, one.path), issuer.path), default=None)


def _shared(first: str, second: str) -> int:
    parts = zip(dirname(first).split("/"), dirname(second).split("/"), strict=False)
    count = 0
    for one, other in parts:
        if one != other:
            break
        count += 1
    return count


def _solver(domain: str, labels: Sequence[tuple[str, str]], solvers: Sequence[_Solver]) -> _Solver | None:
    """The most specific solver for a name: by name, by the longest zone, by labels, then one without a selector."""
    bare = domain.removeprefix("*.")
    own: Mapping[str, str] = dict(labels)
    best: tuple[int, int, int, int] | None = None
    chosen: _Solver | None = None
    for number, solver in enumerate(solvers):
        if domain.startswith("*.") and not solver.through_dns:
            continue
        if any(own.get(key) != value for key, value in solver.labels):
            continue
        named = domain in solver.dns_names or bare in solver.dns_names
        zone = max((len(z) for z in solver.dns_zones if bare == z or bare.endswith(f".{z}")), default=0)
        if (solver.dns_names or solver.dns_zones) and not named and not zone:
            continue
        rank = (int(named), zone, len(solver.labels), -number)
        if best is None or rank > best:
            best, chosen = rank, solver
    return chosen
