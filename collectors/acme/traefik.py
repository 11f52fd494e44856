"""Traefik: certificate resolvers, routers that use them, pools of servers, and the names in acme.json.

Sources: Traefik 3.5, its references of the install configuration and of the file provider's routing configuration, and
`pkg/provider/acme`'s stored data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    excerpt,
    is_loopback,
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
    issued_by,
    lineage_ref,
    names,
    target,
    validated_here,
    written,
)

_PUBLIC: Final = "https://acme-v02.api.letsencrypt.org/directory"
_STATIC: Final = re.compile(rb"(?i)certificates?resolvers")
_ROUTING: Final = re.compile(rb"(?i)(?:loadBalancer|certResolver|\brule)['\"]?\s*[:=.\]]")
_STORED: Final = re.compile(rb'"(?:Account|Certificates)"\s*:')
_HOST: Final = re.compile(r"\b(?:Host|HostSNI)\(([^)]{0,2000})\)")
_QUOTED: Final = re.compile(r"[`\"']([^`\"']+)[`\"']")
_HEADER: Final = re.compile(r"\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(?:#.*)?")
_KEY: Final = re.compile(r"\s*([\w\"'.-]+)\s*=")
_LINEAGE_LIMIT: Final = 20_000


class TraefikCollector(Collector):
    """Certificates of Traefik's resolvers. Traefik renews by itself, for as long as its host runs.

    A lineage is `traefik:<resolver>/<first domain>`.

    Reads
    -----
    YAML and TOML with `certificatesResolvers` (the static configuration), or with routers and services (the file
    provider's); `acme*.json` for the names of its certificates.

    Yields
    ------
    Lineages with CA, storage and challenge, for each router with a resolver and each stored certificate; for each
    service with servers the pool behind it. A resolver that nothing uses here is a service with the same dependencies.

    Can't see
    ---------
    Labels of containers, Kubernetes objects and other providers; options on the command line and in the environment.
    Keys and certificates in acme.json are not read.
    """

    name: ClassVar[str] = "traefik"
    title: ClassVar[str] = "Traefik configurations and acme.json"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RENEWED_BY,
            Relation.VALIDATED_THROUGH,
            Relation.ISSUED_BY,
            Relation.WRITES,
            Relation.RUNS_ON,
            Relation.BACKED_BY,
            Relation.CONNECTS,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By settings that only Traefik has; routing files also by a path that names it."""
        if path.endswith((".yml", ".yaml", ".toml", ".yml.j2", ".yaml.j2", ".toml.j2")):
            if b"esolvers" in head and _STATIC.search(head) is not None:
                return b"image:" not in head and b"apiVersion:" not in head
            return "traefik" in path.lower() and b"apiVersion:" not in head and _ROUTING.search(head) is not None
        return path.endswith(".json") and "/acme" in path and _STORED.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Resolvers, routers and pools of one file. Who uses which resolver needs all of them."""
        if len(document.content) > SIZE_LIMIT * 4:
            yield TOO_LARGE
            return
        text = decode(document.content)
        template = "{{" in text or "{%" in text
        if ".toml" in document.path:
            stream, problem = _toml(text)
        else:
            stream = read_yaml(without_templates(text) if template else text)
            problem = stream.problem.reason if stream.problem else ""
        if problem and not template:
            line = stream.problem.line if stream.problem else 0
            # A line of acme.json may hold keys.
            where = Where(line) if document.path.endswith(".json") else stream.where(line)
            yield Malformed(where, problem, "Traefik refuses the file", whole=not stream.documents)
        for root in stream.documents:
            if document.path.endswith(".json"):
                yield from _acme_json(stream, root)
            elif root.is_map:
                yield from _resolvers(stream, root)
                for section in ("http", "tcp"):
                    part = _get(root, section)
                    if part is not None and part.is_map:
                        yield from _routers(stream, part)
                        yield from _services(stream, part, section)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """A lineage for each use of a resolver, with what the resolver says."""
        resolvers: dict[str, Fragment] = {}
        for one in fragments:
            if one.kind == "resolver" and isinstance(one.value, tuple):
                resolvers.setdefault(one.value[0], one)
        if resolvers or any(one.kind == "use" for one in fragments):
            yield from built_in("traefik", replace(fragments[0].where, path=fragments[0].path))
        made: set[Ref] = set()
        used: set[str] = set()
        for one in fragments:
            if one.kind != "use" or not isinstance(one.value, tuple) or len(made) >= _LINEAGE_LIMIT:
                continue
            name, domains = one.value
            lineage = lineage_ref("traefik", f"{name}/{domains[0]}")
            if lineage in made:
                continue
            made.add(lineage)
            used.add(name)
            where = replace(one.where, path=one.path)
            resolver = resolvers.get(name)
            facts = dict(resolver.value[1]) if resolver is not None and isinstance(resolver.value, tuple) else {}
            yield Entity(
                lineage,
                where,
                attributes(
                    client="traefik",
                    domains=domains,
                    server=_first(facts, "server") or (_PUBLIC if resolver is not None else ""),
                    authenticator=_first(facts, "challenge"),
                ),
            )
            yield Dependency(lineage, client("traefik"), Relation.RENEWED_BY, where)
            if resolver is not None:
                yield from _needs(lineage, domains, facts, resolver)
        for name, resolver in resolvers.items():
            if name not in used and isinstance(resolver.value, tuple):
                service = Ref(Kind.SERVICE, f"traefik resolver {name}")
                where = replace(resolver.where, path=resolver.path)
                yield Entity(service, where)
                yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
                for fact in _needs(service, (), dict(resolver.value[1]), resolver):
                    if isinstance(fact, Dependency) and fact.relation is Relation.ISSUED_BY:
                        fact = replace(fact, relation=Relation.CONNECTS)
                    yield fact


def _get(node: YamlNode | None, key: str) -> YamlNode | None:
    """The value of a key, whatever its case: Traefik ignores case."""
    if node is None or not node.is_map:
        return None
    exact = node.get(key)
    if exact is not None:
        return exact
    wanted = key.lower()
    return next((value for name, value in node.items() if name.written.lower() == wanted), None)


_Facts = Mapping[str, tuple[str, Where]]


def _first(facts: _Facts, key: str) -> str:
    return facts[key][0] if key in facts else ""


def _needs(consumer: Ref, domains: Sequence[str], facts: _Facts, resolver: Fragment) -> Iterator[Parsed]:
    """What a renewal through a resolver needs: its CA, its storage, its challenge."""

    def place(key: str) -> Where:
        return replace(facts[key][1] if key in facts else resolver.where, path=resolver.path)

    yield from issued_by(consumer, _first(facts, "server") or _PUBLIC, place("server"))
    yield from written(consumer, _first(facts, "storage"), place("storage"))
    challenge = _first(facts, "challenge")
    if challenge.startswith("dns-01"):
        yield from challenge_names(consumer, domains, place("challenge"))
    elif challenge:
        yield from validated_here(consumer, place("challenge"))


def _resolvers(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    resolvers = _get(root, "certificatesResolvers")
    if resolvers is None or not resolvers.is_map:
        return
    for key, resolver in resolvers.items():
        acme = _get(resolver, "acme")
        if acme is None or not acme.is_map:
            continue
        facts: list[tuple[str, tuple[str, Where]]] = []
        for name, wanted in (("server", "caServer"), ("storage", "storage")):
            node = _get(acme, wanted)
            if node is not None and node.scalar:
                facts.append((name, (node.scalar, stream.where(node))))
        for wanted, method in (
            ("dnsChallenge", "dns-01"),
            ("httpChallenge", "http-01"),
            ("tlsChallenge", "tls-alpn-01"),
        ):
            node = _get(acme, wanted)
            if node is not None and node.boolean is not False:
                provider = _get(node, "provider")
                shown = f"{method} ({excerpt(provider.scalar)})" if provider is not None and provider.scalar else method
                facts.append(("challenge", (shown, stream.where(node))))
                break
        yield Fragment("resolver", (key.scalar, tuple(facts)), stream.where(key))


def _routers(stream: YamlStream, part: YamlNode) -> Iterator[Parsed]:
    routers = _get(part, "routers")
    for _, router in routers.items() if routers is not None and routers.is_map else ():
        tls = _get(router, "tls")
        resolver = _get(tls, "certResolver")
        if resolver is None or not resolver.scalar:
            continue
        listed = _get(tls, "domains")
        if listed is not None and listed.is_list:
            for entry in listed.elements:
                main, sans = _get(entry, "main"), _get(entry, "sans")
                written_names = [main.scalar] if main is not None else []
                written_names += [one.scalar for one in (sans.elements if sans is not None else ())]
                if domains := names(written_names):
                    yield Fragment("use", (resolver.scalar, domains), stream.where(entry))
            continue
        rule = _get(router, "rule")
        hosts = [name for found in _HOST.findall(rule.scalar if rule else "") for name in _QUOTED.findall(found)]
        if (domains := names(hosts)) and rule is not None:
            yield Fragment("use", (resolver.scalar, domains), stream.where(rule))


def _services(stream: YamlStream, part: YamlNode, section: str) -> Iterator[Parsed]:
    services = _get(part, "services")
    for key, service in services.items() if services is not None and services.is_map else ():
        servers = _get(_get(service, "loadBalancer"), "servers")
        if servers is None or not servers.is_list:
            continue
        kind = "service" if section == "http" else f"{section} service"
        consumer = Ref(Kind.SERVICE, f"traefik {kind} {excerpt(key.scalar)}")
        yield Entity(consumer, stream.where(key))
        yield Dependency(consumer, THIS_HOST, Relation.RUNS_ON, stream.where(key))
        group = "servers" if len(servers.elements) > 1 else ""
        for server in servers.elements:
            node = _get(server, "url") or _get(server, "address")
            provider = target(node.scalar) if node is not None else None
            if provider is None and group and node is not None and is_loopback(node.scalar):
                provider = THIS_HOST
            if provider is not None and node is not None:
                yield Dependency(consumer, provider, Relation.BACKED_BY, stream.where(node), None, group)


def _acme_json(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    """Names of stored certificates, by resolver; before Traefik 2 there was one list."""
    if not root.is_map:
        return
    entries = [("acme", root)] if root.get("Certificates") is not None else [(k.scalar, v) for k, v in root.items()]
    for name, resolver in entries:
        for certificate in resolver.children("Certificates") if resolver.is_map else ():
            domain = _get(certificate, "domain")
            if domain is None or not domain.is_map:
                continue
            main, sans = _get(domain, "main"), _get(domain, "sans")
            written_names = [main.scalar] if main is not None else []
            written_names += [one.scalar for one in (sans.elements if sans is not None else ())]
            if domains := names(written_names):
                # The line may be the whole file, keys included: no excerpt.
                yield Fragment(
                    "use", (name, domains), Where(domain.line, f"certificate for {', '.join(domains)}"[:200])
                )


def _toml(text: str) -> tuple[YamlStream, str]:
    """TOML as nodes. The library keeps no positions: a value's line is that of its key, else that of its table."""
    import tomllib

    lines = text.split("\n")
    try:
        loaded = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return YamlStream((), None, lines), excerpt(str(error)) or "nested too deeply"
    places: dict[tuple[str, ...], int] = {}
    members: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(lines, start=1):
        header = _HEADER.fullmatch(line)
        key = _KEY.match(line) if header is None else None
        if header is not None:
            table = ()
            parts = [part.strip().strip("\"'") for part in header[1].split(".")][:50]
            for at, part in enumerate(parts):
                table = (*table, part)
                places.setdefault(table, number)
                if line.lstrip().startswith("[[") and at == len(parts) - 1:
                    members[table] = members.get(table, -1) + 1
                # What is below an array of tables is in its last member.
                if table in members:
                    table = (*table, f"#{members[table]}")
                    places.setdefault(table, number)
        elif key is not None:
            places.setdefault((*table, *(part.strip("\"'") for part in key[1].split("."))), number)
    return YamlStream((_node(loaded, (), 1, places, 0),), None, lines), ""


def _node(value: Any, path: tuple[str, ...], line: int, places: Mapping[tuple[str, ...], int], depth: int) -> YamlNode:
    line = places.get(path, line)
    if isinstance(value, dict) and depth < 100:
        made = YamlNode("map", line)
        made.pairs = tuple(
            (
                YamlNode("scalar", places.get((*path, str(k)), line), "", True, str(k)),
                _node(v, (*path, str(k)), line, places, depth + 1),
            )
            for k, v in value.items()
        )
        return made
    if isinstance(value, list) and depth < 100:
        made = YamlNode("list", line)
        made.elements = tuple(_node(one, (*path, f"#{n}"), line, places, depth + 1) for n, one in enumerate(value))
        return made
    if isinstance(value, bool):
        return YamlNode("scalar", line, text=str(value).lower())
    return YamlNode("scalar", line, quoted=isinstance(value, str), text=str(value))
