"""Apache httpd configurations: virtual hosts, certificates, what they proxy to.

Sources: Apache's documentation of 2.4 (core, mod_proxy, mod_proxy_balancer, mod_rewrite, mod_ssl, mod_macro) and its
server/config.c and util.c (ap_getword_conf, line continuation).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
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
    endpoint_ref,
    is_hostname,
    normal_name,
    without_templates,
)
from collectors.traffic.apache_syntax import FILES, MAX_DEPTH, MAX_LINE, STOPS, Directive, read_directives
from collectors.traffic.common import (
    LOCAL,
    MAX_BYTES,
    UNKNOWN,
    Files,
    Member,
    Places,
    ancestors,
    bare_name,
    is_disabled,
    is_templated,
    pool,
    qualified,
    service,
    side_path,
    target_of,
)

MAX_INCLUDES: Final = 20
MAX_DIRECTIVES: Final = 200_000
MAX_USES: Final = 10_000
"""Uses of macros in one configuration, those inside macros included."""

_HOST_PLACES: Final = ("/etc/apache2/", "/etc/httpd/", "/usr/local/etc/apache24/", "/usr/local/apache2/conf/")
_MAINS: Final = frozenset({"apache2.conf", "httpd.conf"})
_LIKELY: Final = re.compile(
    rb"^[ \t]*<(?:VirtualHost|Directory|DirectoryMatch|Location|LocationMatch|IfModule|IfDefine|Proxy|ProxyMatch|Macro|"
    rb"Files|FilesMatch|IfVersion)\b|"
    rb"^[ \t]*(?:ProxyPass(?:Match|Reverse)?|RewriteEngine|RewriteRule|RewriteCond|RedirectMatch|DocumentRoot|"
    rb"ServerName|ServerAlias|ServerRoot|LoadModule|CustomLog|WSGIScriptAlias|WSGIDaemonProcess|SSLCertificateFile|SSLEngine|"
    rb"BalancerMember|IncludeOptional|AliasMatch|RequestHeader)[ \t]+\S",
    re.MULTILINE | re.IGNORECASE,
)
_OTHERS: Final = re.compile(rb"^\[(?:Unit|Service|Install)\]|^(?:#!|<\?(?:xml|php))|^---\s*$", re.MULTILINE)
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_RESPONDERS: Final = frozenset({"sslstaplingforceurl", "sslocspdefaultresponder"})
_TARGET: Final = re.compile(
    r"((?:https?|h2c?|wss?|fcgi|scgi|uwsgi|ajp|ftp|balancer)://[^/?%$\s]+)(?=[/?]|$|%\{REQUEST_URI\}|\$\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Source:
    path: str
    directives: tuple[Directive, ...]


@dataclass(slots=True)
class _Host:
    label: str
    where: Where
    names: dict[str, None] = field(default_factory=dict)
    listens: dict[str, None] = field(default_factory=dict)
    files: dict[tuple[str, str], Where] = field(default_factory=dict)
    edges: dict[tuple[Ref, Relation, str], Where] = field(default_factory=dict)


class ApacheCollector(Collector):
    """Apache httpd: virtual hosts, the certificates they serve, and the servers behind them.

    Reads
    -----
    `/etc/apache2` and `/etc/httpd` on a host, and configurations or templates of them in a tree whose path names apache
    or httpd. Includes are followed from `apache2.conf` or `httpd.conf`; on a host that has it, a file that nothing
    includes (`sites-available`) is not in use and yields nothing.

    Yields
    ------
    A service for each virtual host (`apache server <ServerName>`) and each balancer (`apache balancer <name>`); the
    certificate and key files read; where ProxyPass, ProxyPassMatch, RewriteRule with [P] and SetHandler lead; the
    members of a balancer as alternatives; LDAP servers as alternatives; OCSP responders as services of their own.
    Redirects are no dependencies.

    Can't see
    ---------
    Targets built from rewrite variables, `.htaccess` files, which `<IfModule>`,
    `<IfDefine>` or arm of a template holds (all count), and variables of the environment.
    """

    name: ClassVar[str] = "apache"
    title: ClassVar[str] = "Apache httpd: virtual hosts, certificates, proxied servers"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.READS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if "httpd" not in path and "apache" not in path:
            return False
        name = bare_name(path)
        if not (name.endswith((".conf", ".vhost", ".site", ".include")) or "/sites-" in path or "apache2/" in path):
            return False
        if b"\0" in head or name.endswith((".service", ".load", ".pem", ".key", ".crt", ".md", ".html", ".sh", "~")):
            return False
        if path.startswith("/"):
            return path.startswith(_HOST_PLACES)
        return (name in _MAINS or _LIKELY.search(head) is not None) and _OTHERS.search(head) is None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One fragment a file; what could not be read."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content).removeprefix("\ufeff")
        if "\0" in text[:4096]:
            yield Malformed(Where(), "this is not text", STOPS, whole=True)
            return
        templated = is_templated(document.path, text)
        shown = Places(text.split("\n"))
        directives, problems = read_directives((without_templates(text) if templated else text).split("\n"), shown)
        if not templated:
            yield from problems
        if directives:
            yield Fragment("file", _Source(document.path, directives), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Facts of each configuration, its includes followed."""
        sources = {
            fragment.path: replace(fragment.value, path=fragment.path)
            for fragment in fragments
            if isinstance(fragment.value, _Source)
        }
        yield from _Configuration(sources).facts()


class _Configuration:
    """All files of one source."""

    def __init__(self, sources: Mapping[str, _Source]) -> None:
        self._sources = sources
        self._files = Files(sources)
        self._reached: set[str] = set()
        self._left = MAX_DIRECTIVES

    def facts(self) -> Iterator[Parsed]:
        mains = [path for path in self._sources if self._is_main(path)]
        roots = {path: tuple(self._expand(path, (path,), self._root_of(path))) for path in mains}
        places = {self._root_of(path) for path in mains}
        for path in self._sources:
            if path in self._reached or (path.startswith("/") and any(above in places for above in ancestors(path))):
                continue
            if path.startswith("/") and "/sites-available/" in path:
                enabled = path.replace("/sites-available/", "/sites-enabled/")
                if enabled in self._sources or is_disabled(path, self._sources):
                    continue
            roots[path] = tuple(self._expand(path, (path,), self._root_of(path)))
        for path, directives in roots.items():
            yield from _Root(path, self._root_of(path)).facts(directives)

    def _is_main(self, path: str) -> bool:
        """Whether this is the file that Apache starts with: conf.d may hold an httpd.conf as well."""
        return bare_name(path) in _MAINS and posixpath.basename(posixpath.dirname(path)) != "conf.d"

    def _root_of(self, path: str) -> str:
        """ServerRoot: where relative names start. On Red Hat's systems it is above the directory of httpd.conf."""
        for place in ("/etc/apache2", "/etc/httpd", "/usr/local/apache2", "/usr/local"):
            if path.startswith(f"{place}/"):
                return place
        for above in ancestors(path):
            if any(posixpath.join(above, name) in self._sources for name in _MAINS):
                return posixpath.dirname(above) if posixpath.basename(above) == "conf" else above
        return posixpath.dirname(path)

    def _expand(self, path: str, stack: tuple[str, ...], root: str, depth: int = 0) -> Iterator[Directive]:
        self._reached.add(path)

        def placed(directives: Iterable[Directive], depth: int) -> Iterator[Directive]:
            for one in directives:
                self._left -= 1
                if self._left < 0:
                    return
                if one.name in ("include", "includeoptional"):
                    if one.words and len(stack) <= MAX_INCLUDES and depth < MAX_DEPTH:
                        pattern = one.words[0] if "." in one.words[0] or "*" in one.words[0] else f"{one.words[0]}/*"
                        for target in self._files.matching(pattern, (root,)):
                            if target not in stack:
                                yield from self._expand(target, (*stack, target), root, depth + 1)
                    continue
                block = None if one.block is None else tuple(placed(one.block, depth + 1) if depth < MAX_DEPTH else ())
                yield replace(one, where=replace(one.where, path=path), block=block)

        return placed(self._sources[path].directives, depth)


class _Root:
    """One configuration with all that it includes."""

    def __init__(self, path: str, server_root: str) -> None:
        self._path = path
        self._server_root = server_root
        self._values: dict[str, str] = {}
        self._hosts: dict[str, _Host] = {}
        self._pools: dict[str, tuple[Where, list[Member]]] = {}
        self._macros: dict[str, Directive] = {}
        self._uses = MAX_USES
        self._stapling: dict[str, tuple[Ref, Where]] = {}

    def facts(self, directives: Sequence[Directive]) -> Iterator[Parsed]:
        self._define(directives)
        self._level(directives, None)
        for label, (where, members) in self._pools.items():
            yield from pool(label, "apache", where, members)
        for host in self._hosts.values():
            attributes: dict[str, Attribute] = {"software": "apache"}
            if host.names:
                attributes["names"] = tuple(host.names)
            if host.listens:
                attributes["listen"] = tuple(host.listens)
            certificates = tuple(path for name, path in host.files if name == "sslcertificatefile")
            if certificates:
                attributes["certificate"] = certificates
            yield from service(host.label, host.where, attributes)
            ref = Ref(Kind.SERVICE, host.label)
            for (_, path), where in host.files.items():
                yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, where)
            for (target, relation, group), where in host.edges.items():
                yield Dependency(ref, target, relation, where, group=group)
        for label, one in self._stapling.items():
            yield from side_path(label, "apache", (one,), Need.READ)

    def _define(self, directives: Iterable[Directive]) -> None:
        """`Define NAME value` anywhere; a second value makes the name unknown."""
        stack, seen = list(directives), set[str]()
        while stack:
            one = stack.pop()
            stack.extend(one.block or ())
            if one.name == "define" and len(one.words) == 2:
                name, value = one.words
                if name in seen and self._values.get(name) != value:
                    self._values.pop(name, None)
                else:
                    self._values[name] = value
                seen.add(name)
            elif one.name == "serverroot" and one.words and one.words[0].startswith("/"):
                self._server_root = one.words[0]

    def _resolve(self, text: str) -> str:
        return _VARIABLE.sub(lambda found: self._values.get(found[1], found[0]), text)

    def _level(self, directives: Iterable[Directive], host: _Host | None, balancer: str = "", depth: int = 0) -> None:
        for one in directives if depth < 2 * MAX_DEPTH else ():
            words = tuple(self._resolve(word) for word in one.words)
            if one.name == "macro":
                if one.words:
                    self._macros[one.words[0].lower()] = one
                continue
            if one.name == "use" and words:
                self._level(self._used(words, one.where), host, balancer, depth + 1)
            elif one.name == "virtualhost":
                self._level(one.block or (), self._virtual_host(one, words), depth=depth + 1)
            elif one.name == "proxy" and words and words[0].lower().startswith("balancer://"):
                name = words[0][11:].split("/", 1)[0]
                if self._known(name):
                    self._pools.setdefault(self._balancer(name), (one.where, []))
                self._level(one.block or (), host, name, depth + 1)
            elif one.block is not None:
                self._level(one.block, host, balancer, depth + 1)
            else:
                self._directive(one, words, host, balancer)

    def _used(self, words: tuple[str, ...], where: Where) -> tuple[Directive, ...]:
        """What a macro (mod_macro) becomes: its parameters replaced, the longest names first.

        A directive that has a parameter is where the macro is used: there it says what it says.
        """
        macro = self._macros.get(words[0].lower())
        self._uses -= 1
        if macro is None or self._uses < 0 or len(macro.words) != len(words):
            return ()
        pairs = sorted(zip(macro.words[1:], words[1:], strict=True), key=lambda pair: -len(pair[0]))

        def filled(one: Directive) -> Directive:
            found = []
            for word in one.words:
                for name, value in pairs:
                    if name and word.count(name) * len(value) < MAX_LINE:
                        word = word.replace(name, value)
                found.append(word)
            block = None if one.block is None else tuple(map(filled, one.block))
            place = one.where if tuple(found) == one.words else where
            return replace(one, words=tuple(found), block=block, where=place)

        return tuple(map(filled, macro.block or ()))

    def _directive(self, one: Directive, words: tuple[str, ...], host: _Host | None, balancer: str) -> None:
        if not words:
            return
        if one.name == "balancermember":
            self._member(one, words, balancer)
        elif one.name in ("proxypass", "proxypassmatch"):
            # Inside <Location> the path is left out. Options have the form key=value.
            urls = [word for word in words[:2] if "://" in word or word.startswith("unix:")]
            if urls and words[-1:] != ("!",):
                self._proxy(one, urls[-1], host)
        elif one.name == "rewriterule":
            flags = words[2].strip("[]").upper().split(",") if len(words) > 2 else []
            if ("P" in flags or "PROXY" in flags) and "://" in words[1]:
                self._proxy(one, words[1], host)
        elif one.name == "sethandler":
            if words[0].startswith("proxy:"):
                self._proxy(one, words[0][6:], host)
        elif one.name == "proxyremote":
            target = target_of(words[1]) if len(words) > 1 else None
            if target is not None:
                self._edge(one, target, Relation.CONNECTS, "", host)
        elif one.name == "authldapurl":
            for target in _ldap(words[0]):
                self._edge(one, target, Relation.CONNECTS, "ldap", host)
        elif one.name in FILES:
            self._file(one, words[0], host)
        elif one.name in _RESPONDERS and (target := target_of(words[0])) is not None:
            self._stapling.setdefault(f"apache OCSP at {target.text}", (target, one.where))

    def _virtual_host(self, directive: Directive, listens: tuple[str, ...]) -> _Host:
        first: list[str] = []
        others: list[str] = []
        stack = list(reversed(directive.block or ()))
        while stack:
            one = stack.pop()
            stack.extend(reversed(one.block or ()))
            if one.name in ("servername", "serveralias"):
                found = [_bare(self._resolve(word)) for word in one.words]
                (first if one.name == "servername" else others).extend(name for name in found if name)
        names = list(dict.fromkeys(first + others))
        listens = tuple(one for one in listens if TEMPLATE not in one and "$" not in one)
        what = names[0] if names else f"on {listens[0] if listens else '*'} in {self._path}"
        label = f"apache server {what}"
        host = self._hosts.setdefault(label, _Host(label, directive.where))
        host.names.update(dict.fromkeys(names))
        host.listens.update(dict.fromkeys(listens))
        return host

    def _main_host(self, where: Where) -> _Host:
        """The server outside of all virtual hosts."""
        label = "apache main server" if self._path.startswith("/") else f"apache in {self._path}"
        return self._hosts.setdefault(label, _Host(label, where))

    def _edge(self, one: Directive, target: Ref, relation: Relation, group: str, host: _Host | None) -> None:
        found = host or self._main_host(one.where)
        found.edges.setdefault((target, relation, group), one.where)

    def _file(self, one: Directive, path: str, host: _Host | None) -> None:
        if "$" in path or TEMPLATE in path or path == "none" or ":" in path:
            return
        if not path.startswith("/"):
            if not self._server_root.startswith("/"):
                return
            path = posixpath.normpath(posixpath.join(self._server_root, path))
        (host or self._main_host(one.where)).files.setdefault((one.name, path), one.where)

    def _known(self, name: str) -> bool:
        return bool(name) and TEMPLATE not in name and "$" not in name and "%" not in name

    def _balancer(self, name: str) -> str:
        return qualified(f"apache balancer {name}", self._path)

    def _proxy(self, one: Directive, url: str, host: _Host | None) -> None:
        if "|" in url or url.startswith("unix:"):
            # A Unix socket: the host after the bar is only a header.
            return
        # Back references and variables in the path leave the host as it is.
        cut = _TARGET.match(url)
        if cut is None:
            return
        if cut[1].lower().startswith("balancer://"):
            name = cut[1][11:]
            if self._known(name):
                self._edge(one, Ref(Kind.SERVICE, self._balancer(name)), Relation.BACKED_BY, "", host)
            return
        target = target_of(cut[1])
        # `http://app$1` may go on with the name, `http://app:80$1` can't.
        if target is not None and not (url.startswith("$", cut.end()) and ":" not in cut[1].partition("://")[2]):
            self._edge(one, target, Relation.BACKED_BY, "", host)

    def _member(self, one: Directive, words: tuple[str, ...], balancer: str) -> None:
        if words[0].lower().startswith("balancer://"):
            balancer, words = words[0][11:].split("/", 1)[0], words[1:]
        if not words or not self._known(balancer):
            return
        url, options = words[0], dict(word.partition("=")[::2] for word in words[1:])
        status = options.get("status", "").upper()
        target: Ref | str
        if url.startswith("unix:") or "|" in url:
            target = LOCAL
        else:
            target = target_of(url) or UNKNOWN
        _, members = self._pools.setdefault(self._balancer(balancer), (one.where, []))
        down = bool(re.search(r"(?:^|\+)[^-]*[DS]", status))
        backup = bool(re.search(r"(?:^|\+)[^-]*[HR]", status))
        members.append(Member(url if target == LOCAL else _shown(url), target, one.where, backup, down))


def _shown(url: str) -> str:
    target = endpoint_ref(url)
    return target.text if target is not None else "not known"


def _bare(name: str) -> str:
    """A ServerName without scheme and port."""
    name = re.sub(r"^[a-z]+://", "", name)
    name = re.sub(r":\d+$", "", name)
    return normal_name(name) if is_hostname(name) and TEMPLATE not in name else ""


def _ldap(url: str) -> Iterator[Ref]:
    """The servers of an LDAP URL: several may stand in it, with blanks between."""
    found = re.match(r"(ldaps?|ldapi)://([^/]*)", url, re.IGNORECASE)
    if found is None:
        return
    for host in found[2].split():
        if (target := target_of(f"{found[1].lower()}://{host}")) is not None:
            yield target
