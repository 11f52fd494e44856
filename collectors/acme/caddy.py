"""Caddy: the sites of a Caddyfile, and what Caddy stored of each certificate.

Sources: Caddy 2.10, its documentation of the Caddyfile (lexer, addresses, automatic HTTPS, `tls`, `reverse_proxy`,
global options), and certmagic's `CertificateResource`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename, dirname
from typing import ClassVar, Final

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
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    is_address,
    is_hostname,
    is_loopback,
    normal_name,
    parse_time,
    read_yaml,
    split_endpoint,
)
from collectors.acme.caddyfile import DEPTH_LIMIT, IMPORT_LIMIT, Directive, imported, is_snippet, plain, read_caddyfile
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

_STORED: Final = re.compile(rb'"(?:issuer_data|sans)"\s*:')
_PUBLIC: Final = "https://acme-v02.api.letsencrypt.org/directory"
_ZERO: Final = "https://acme.zerossl.com/v2/DV90"
_LOCAL: Final = (".localhost", ".local", ".internal", ".home.arpa")
_NAMESERVER_KEYS: Final = frozenset(
    {"server", "nameserver", "endpoint", "url", "api_url", "server_url", "api_endpoint", "host", "address"}
)
_STORAGE_KEYS: Final = frozenset({"host", "hosts", "address", "addresses", "endpoint", "endpoints", "server"})
_SITE_KEYS: Final = re.compile(rb"(?m)^[^\s#{}][^\n{}]*\{\s*$|^\s*(?:reverse_proxy|file_server|tls|respond)\b")


@dataclass(slots=True)
class _Automation:
    """How certificates are managed: by global options, and by the `tls` directive of a site."""

    servers: list[tuple[str, int]] = field(default_factory=list)
    provider: str = ""
    line: int = 0
    nameservers: list[tuple[str, int]] = field(default_factory=list)
    internal: bool = False
    email: bool = False


class CaddyCollector(Collector):
    """Sites of Caddy and their certificates. Caddy renews by itself, for as long as its host runs.

    A lineage is `caddy:<name>`: Caddy keeps one certificate for each name.

    Reads
    -----
    Files called `Caddyfile` or `*.caddy`, and `certificates/<issuer>/<name>/<name>.json` in Caddy's data directory.

    Yields
    ------
    Lineages with CA, storage and the way of validation; for each site a service with the pools that it sends requests
    to (`reverse_proxy`, `php_fastcgi`), with what it asks first (`forward_auth`), and with the key files it was given.

    Can't see
    ---------
    Caddy's JSON configuration, imported files (snippets of the same file are followed), variables of the environment
    without a default, and names that are only known on demand.
    """

    name: ClassVar[str] = "caddy"
    title: ClassVar[str] = "Caddy sites and stored certificates"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RENEWED_BY,
            Relation.VALIDATED_THROUGH,
            Relation.ISSUED_BY,
            Relation.WRITES,
            Relation.READS,
            Relation.RUNS_ON,
            Relation.BACKED_BY,
            Relation.CONNECTS,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By name; a stored certificate by its directory and by what certmagic writes."""
        if path.endswith(".json"):
            return "/certificates/" in path and _STORED.search(head) is not None and b"certUrl" not in head
        if not path.endswith(("Caddyfile", ".caddy", ".caddyfile", "Caddyfile.j2", "Caddyfile.erb")):
            return False
        return basename(path).startswith(("Caddyfile", "caddyfile")) or _SITE_KEYS.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The sites of a Caddyfile, or one stored certificate."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        text = decode(document.content)
        if document.path.endswith(".json"):
            yield from _stored(document.path, text)
        else:
            yield from _caddyfile(document.path, text)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Caddy itself, once for each source."""
        first = fragments[0]
        yield from built_in("caddy", Where(first.where.line, first.where.excerpt, path=first.path))


def _stored(path: str, text: str) -> Iterator[Parsed]:
    stream = read_yaml(text)
    root = stream.documents[0] if stream.documents else None
    if stream.problem is not None or root is None or not root.is_map:
        line = stream.problem.line if stream.problem else 0
        reason = stream.problem.reason if stream.problem else "not an object"
        yield Malformed(stream.where(line), reason, "Caddy gets a new certificate", whole=True)
        return
    domains = names(one.scalar for one in root.children("sans"))
    if not domains:
        domains = names([basename(dirname(path)).replace("wildcard_", "*")])
    if not domains:
        return
    lineage = lineage_ref("caddy", domains[0])
    issuer = root.at("issuer_data", "ca")
    here = stream.where(root.get("sans") or root)
    chosen = root.at("issuer_data", "renewal_info", "_selectedTime")
    due = parse_time(chosen.scalar) if chosen is not None else None
    yield Entity(
        lineage,
        here,
        attributes(
            client="caddy",
            domains=domains,
            server=issuer.scalar if issuer is not None else "",
            certificate_dir=dirname(path) if path.startswith("/") else "",
            next_renewal=due.isoformat() if due is not None else "",
        ),
    )
    yield Dependency(lineage, client("caddy"), Relation.RENEWED_BY, here)
    yield from written(lineage, dirname(path), here)
    if issuer is not None:
        yield from issued_by(lineage, issuer.scalar, stream.where(issuer))
    yield Fragment("caddy", path, here)


def _caddyfile(path: str, text: str) -> Iterator[Parsed]:
    template = path.endswith((".j2", ".erb")) or "{{" in text
    directives, problem = read_caddyfile(text)
    if problem is not None and not template:
        yield problem
    shown = text.split("\n")

    def where(line: int) -> Where:
        return Where(line, excerpt(shown[line - 1]) if 0 < line <= len(shown) else "")

    snippets = {
        one.words[0]: one.children for one in directives if one.block and len(one.words) == 1 and is_snippet(one)
    }
    general = _Automation()
    options: list[Directive] = []
    if directives and directives[0].block and not directives[0].words:
        options = directives[0].children
    for option in options:
        _automate(general, option)
    off = any(o.words[:1] == ["auto_https"] and o.words[1:2] in (["off"], ["disable_certs"]) for o in options)
    sites = [one for one in directives if one.block and one.words and not is_snippet(one)]
    if not any(one.block for one in directives) or (len(directives) > 1 and not sites and not snippets and not options):
        # A single site needs no braces: its addresses are the first line.
        rest = [one for one in directives if one.words]
        sites = [Directive(rest[0].words, rest[0].line, rest[1:], True)] if rest and _looks_like_site(rest[0]) else []
    if sites:
        yield Fragment("caddy", path, where(sites[0].line))
    for option in options:
        yield from _options(option, where)
    budget = [IMPORT_LIMIT]
    for site in sites:
        children = imported(site.children, snippets, budget, 0)
        yield from _site(site, children, general, options, where, off=off)


def _looks_like_site(directive: Directive) -> bool:
    return all(_address(word) is not None for word in directive.words)


def _automate(known: _Automation, directive: Directive) -> None:
    """What a global option, or a line of a `tls` block, says of the way certificates are got."""
    words = [plain(word) for word in directive.words]
    if not words:
        return
    key, rest = words[0], words[1:]
    if key in ("acme_ca", "ca", "dir") and rest and "://" in rest[0]:
        known.servers.append((rest[0], directive.line))
    elif key in ("dns", "acme_dns") and rest:
        known.provider, known.line = rest[0], directive.line
        known.nameservers = [
            (plain(child.words[1]), child.line)
            for child in directive.children
            if len(child.words) > 1 and child.words[0] in _NAMESERVER_KEYS
        ]
    elif key == "email":
        known.email = True
    elif key == "local_certs":
        known.internal = True
    elif key in ("issuer", "cert_issuer") and rest:
        if rest[0] == "internal":
            known.internal = True
        elif rest[0] == "zerossl":
            known.servers.append((_ZERO, directive.line))
        elif rest[0] == "acme":
            known.servers += [(one, directive.line) for one in rest[1:2] if "://" in one]
            before = len(known.servers)
            for child in directive.children:
                _automate(known, child)
            if len(known.servers) == before and not rest[1:]:
                known.servers.append((_PUBLIC, directive.line))


def _options(option: Directive, where: Callable[[int], Where]) -> Iterator[Parsed]:
    """Global options that name other hosts: who is asked before a certificate is got on demand."""
    if option.words[:1] != ["on_demand_tls"]:
        return
    service = Ref(Kind.SERVICE, "caddy on-demand certificates")
    for child in option.children:
        if child.words[:1] == ["ask"] and len(child.words) > 1:
            provider = target(plain(child.words[1]))
            if provider is not None:
                yield Entity(service, where(child.line))
                yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where(child.line))
                yield Dependency(service, provider, Relation.CONNECTS, where(child.line))


def _address(word: str) -> tuple[str, str, int | None] | None:
    """Scheme, host (empty for any) and port of a site's address; None if it is none."""
    text = plain(word.rstrip(","))
    if text.startswith(":"):
        return ("", "", int(text[1:])) if re.fullmatch(r":\d{1,5}", text) else None
    if text in ("http://", "https://"):
        return text[:-3], "", None
    found = split_endpoint(text)
    if found is None or found.scheme not in ("", "http", "https"):
        return None
    if not found.scheme and "." not in found.host and ":" not in found.host and found.host != "localhost":
        return None
    return found.scheme, found.host, found.port


def _site(
    site: Directive,
    children: Sequence[Directive],
    general: _Automation,
    options: Sequence[Directive],
    where: Callable[[int], Where],
    *,
    off: bool,
) -> Iterator[Parsed]:
    addresses = [found for word in site.words for part in word.split(",") if part and (found := _address(part))]
    if not addresses:
        return
    here = where(site.line)
    shown = next((host or f":{port}" for _, host, port in addresses), "")
    service = Ref(Kind.SERVICE, f"caddy site {shown}")
    yield Entity(service, here, attributes(addresses=tuple(host for _, host, _ in addresses if host)))
    yield Dependency(service, THIS_HOST, Relation.RUNS_ON, here)
    yield from _traffic(service, children, where, 0)
    own = replace(general, servers=list(general.servers))
    manual = False
    for directive in children:
        if directive.words[:1] != ["tls"]:
            continue
        given = [plain(word) for word in directive.words[1:]]
        if given == ["internal"]:
            own.internal = True
        elif len(given) == 2:
            manual = True
            for path in given:
                if path.startswith("/"):
                    yield Dependency(service, Ref(Kind.PATH, path), Relation.READS, where(directive.line))
        elif len(given) == 1 and "@" in given[0]:
            own.email = True
        of_site = _Automation()
        for child in directive.children:
            _automate(of_site, child)
        if of_site.servers or of_site.internal:
            own.servers, own.internal = of_site.servers, of_site.internal
        if of_site.provider:
            own.provider, own.line, own.nameservers = of_site.provider, of_site.line, of_site.nameservers
    if off or manual or own.internal:
        return
    for scheme, host, port in addresses:
        if host and scheme != "http" and port != 80:
            yield from _managed(host, own, options, here, where)


def _managed(
    host: str, own: _Automation, options: Sequence[Directive], here: Where, where: Callable[[int], Where]
) -> Iterator[Parsed]:
    """The lineage of a name that Caddy gets a certificate for from a CA elsewhere."""
    name = normal_name(host)
    if is_address(host) or not is_hostname(host) or name == "localhost" or "*" in name[1:]:
        return
    # Names that no public CA knows get one of Caddy's own, unless a CA is configured.
    if not own.servers and ("." not in name or name.endswith(_LOCAL)):
        return
    lineage = lineage_ref("caddy", name)
    servers = own.servers or [(_PUBLIC, 0), *([(_ZERO, 0)] if own.email else [])]
    yield Entity(
        lineage,
        here,
        attributes(
            client="caddy",
            domains=(name,),
            authenticator=f"dns ({own.provider})" if own.provider else "http-01, tls-alpn-01",
            server=servers[0][0],
        ),
    )
    yield Dependency(lineage, client("caddy"), Relation.RENEWED_BY, here)
    for server, line in servers:
        yield from issued_by(lineage, server, where(line) if line else here, "issuers" if len(servers) > 1 else "")
    if own.provider:
        yield from challenge_names(lineage, (name,), where(own.line))
        for text, line in own.nameservers:
            nameserver = target(text)
            if nameserver is not None:
                yield Dependency(lineage, nameserver, Relation.VALIDATED_THROUGH, where(line), Need.WRITE)
    else:
        yield from validated_here(lineage, here)
    for option in options:
        if option.words[:1] != ["storage"] or len(option.words) < 2:
            continue
        if option.words[1] == "file_system":
            roots = [(word, option.line) for word in option.words[2:3]]
            roots += [(c.words[1], c.line) for c in option.children if c.words[:1] == ["root"] and len(c.words) > 1]
            for root, line in roots:
                yield from written(lineage, plain(root), where(line))
            continue
        for child in option.children:
            if child.words and child.words[0] in _STORAGE_KEYS:
                for word in child.words[1:]:
                    provider = target(plain(word))
                    if provider is not None:
                        yield Dependency(
                            lineage,
                            provider,
                            Relation.CONNECTS,
                            where(child.line),
                            Need.WRITE,
                            f"storage {child.words[0]}",
                        )


def _traffic(
    service: Ref, children: Sequence[Directive], where: Callable[[int], Where], depth: int
) -> Iterator[Parsed]:
    """Where a site sends requests: each proxy's upstreams are alternatives."""
    if depth > DEPTH_LIMIT:
        return
    for directive in children:
        words = [plain(word) for word in directive.words]
        if not words:
            continue
        if words[0] in ("reverse_proxy", "php_fastcgi", "forward_auth"):
            matcher = words[1] if len(words) > 1 and (words[1].startswith(("/", "@")) or words[1] == "*") else ""
            upstreams = [(word, directive.line) for word in words[2 if matcher else 1 :]]
            upstreams += [
                (plain(word), child.line)
                for child in directive.children
                if child.words[:1] == ["to"]
                for word in child.words[1:]
            ]
            relation = Relation.CONNECTS if words[0] == "forward_auth" else Relation.BACKED_BY
            group = " ".join([words[0], *(word for word, _ in upstreams)])[:500] if len(upstreams) > 1 else ""
            for word, line in upstreams:
                if "{" in word or word.startswith(("unix/", "unix+", "fd/")):
                    continue
                provider = target(word)
                if provider is None and group and (word.startswith(":") or is_loopback(word)):
                    provider = THIS_HOST
                if provider is not None:
                    yield Dependency(service, provider, relation, where(line), None, group)
        else:
            yield from _traffic(service, directive.children, where, depth + 1)
