"""nginx configurations: files, templates of them, and the output of `nginx -T`.

Sources: nginx's ngx_conf_file.c, ngx_http_upstream.c and ngx_cycle.c (1.22), and its documentation.
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
    host_ref,
    is_hostname,
    normal_name,
    without_templates,
)
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
from collectors.traffic.nginx_syntax import FILES, LOGS, MAX_DEPTH, PASSES, STOPS, Directive, read_directives

MAX_INCLUDES: Final = 20
MAX_TARGET: Final = 1024
MAX_DIRECTIVES: Final = 200_000
"""Directives of one configuration, each counted as often as a file with it is included."""

_SECTION: Final = re.compile(r"^# configuration file (/[^\n]{1,4000}):\r?$", re.MULTILINE)
_DUMP_HEADS: Final = (b"# configuration file /", b"nginx: the configuration file ", b"nginx: configuration file ")
_NOT_CONFIGURATION: Final = (
    ".pem", ".key", ".crt", ".htpasswd", ".html", ".md", ".rst", ".yml", ".yaml", ".json", ".py", ".rb", ".pp", ".sh",
    ".lua", ".js", ".service", ".timer", ".dpkg-dist", ".dpkg-old", ".rpmnew", ".rpmsave", "~", ".txt", ".log", ".te",
    "mime.types", "koi-utf", "koi-win", "win-utf", ".csv", ".xml", ".toml", ".php", ".svg", ".mmdb",
)  # fmt: skip
_LIKELY: Final = re.compile(
    rb"^[ \t]*[\"']?(?:server|upstream|http|stream|mail|events|location|map|geo|limit_except)\b[^;\n]{0,400}\{|"
    rb"^[ \t]*(?:server_name|proxy_pass|proxy_set_header|(?:fastcgi|uwsgi|grpc|scgi)_pass|fastcgi_param|uwsgi_param|"
    rb"ssl_certificate|ssl_protocols|ssl_ciphers|add_header|resolver|root|include|listen|limit_req_zone|log_format|"
    rb"gzip|return|rewrite|client_max_body_size|worker_processes)[ \t][^\n]*;",
    re.MULTILINE,
)
_INHERITED: Final = ("ssl_certificate", "ssl_certificate_key", "ssl_trusted_certificate", "ssl_client_certificate")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class _Source:
    """One configuration file, on its own or as a section of a dump."""

    path: str
    directives: tuple[Directive, ...]
    dump: str = ""


@dataclass(slots=True)
class _Server:
    """A virtual host: all server blocks that have the same first name."""

    label: str
    where: Where
    names: dict[str, None] = field(default_factory=dict)
    listens: dict[str, None] = field(default_factory=dict)
    files: dict[tuple[str, str], Where] = field(default_factory=dict)
    edges: dict[tuple[Ref, Relation, str], Where] = field(default_factory=dict)


class NginxCollector(Collector):
    """nginx: virtual hosts, the certificates they serve, and the servers behind them.

    Reads
    -----
    `/etc/nginx` and other places of nginx on a host, files and templates of nginx configurations in a tree, and the
    output of `nginx -T` as one file of any name. Includes are followed from `nginx.conf`; on a host whose `nginx.conf`
    is there, a file that nothing includes (`sites-available`) is not in use and yields nothing.

    Yields
    ------
    A service for each virtual host (`nginx server <first name>`) and each upstream (`nginx upstream <name>`);
    certificate and key files read; upstreams and hosts behind it, the servers of an upstream as alternatives;
    resolvers; and, as services of their own, logs sent to a syslog server and OCSP responders. Redirects are no
    dependencies.

    Can't see
    ---------
    What a variable or a Lua block holds at run time, certificates given by a variable, compiled-in defaults, and
    which block of a template is rendered: both arms count.
    """

    name: ClassVar[str] = "nginx"
    title: ClassVar[str] = "nginx: virtual hosts, certificates, upstreams"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.READS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if head.startswith(_DUMP_HEADS):
            return True
        if "nginx" not in path:
            return False
        if b"\0" in head or path.endswith(_NOT_CONFIGURATION):
            return False
        name = bare_name(path)
        if path.startswith(("/etc/nginx/", "/usr/local/etc/nginx/", "/usr/local/nginx/conf/", "/opt/nginx/conf/")):
            return "." not in name or not name.endswith(_NOT_CONFIGURATION)
        if "." in name and "sites-" not in path and not name.endswith((".conf", ".vhost", ".site")):
            return False
        return not head.startswith(b"#!") and _LIKELY.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One fragment a file or section; what could not be read."""
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text[:4096]:
            yield Malformed(Where(), "this is not text", STOPS, whole=True)
            return
        shown = Places(text.split("\n"))
        sections = list(_SECTION.finditer(text))
        if not sections:
            templated = is_templated(document.path, text)
            directives, problems = read_directives(without_templates(text) if templated else text, 0, shown)
            if not templated:
                yield from problems
            yield Fragment("file", _Source(document.path, directives), Where(1))
            return
        ends = [*(found.start() for found in sections[1:]), len(text)]
        for found, end in zip(sections, ends, strict=True):
            before = text.count("\n", 0, found.end())
            directives, problems = read_directives(text[found.end() : end], before, shown)
            yield from problems
            yield Fragment("file", _Source(found[1], directives, document.path), Where(before + 1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Facts of each configuration, its includes followed."""
        sets: dict[str, dict[str, _Source]] = {}
        for fragment in fragments:
            source = fragment.value
            if not isinstance(source, _Source):
                continue
            if not source.dump and source.path != fragment.path:
                source = replace(source, path=fragment.path)
            sets.setdefault(source.dump and fragment.path, {}).setdefault(source.path, source)
        for dump, sources in sets.items():
            yield from _Configuration(sources, dump, read).facts()


class _Configuration:
    """All files of one source, or all sections of one dump."""

    def __init__(self, sources: Mapping[str, _Source], dump: str, read: Read) -> None:
        self._sources = dict(sources)
        self._files = Files(self._sources)
        self._dump = dump
        self._reader = read
        self._reached: set[str] = set()
        self._left = MAX_DIRECTIVES
        self._prefix = ""

    def facts(self) -> Iterator[Parsed]:
        mains = [path for path, one in self._sources.items() if _is_main(one)]
        roots = {path: self._expanded(path) for path in mains}
        prefixes = {posixpath.dirname(path) for path in mains}
        included = self._included_by_others()
        for path in self._sources:
            if path in self._reached or path in included:
                continue
            unused = path.startswith("/") and any(above in prefixes for above in ancestors(path))
            if not unused and not is_disabled(path, self._sources):
                roots[path] = self._expanded(path)
        upstreams = [_upstreams(directives, path) for path, directives in roots.items()]
        everywhere: dict[str, set[str]] = {}
        for known in upstreams:
            for name, label in known.items():
                everywhere.setdefault(name, set()).add(label)
        shared = {name: min(labels) for name, labels in everywhere.items() if len(labels) == 1}
        for (path, directives), own in zip(roots.items(), upstreams, strict=True):
            prefix = self._prefix_of(path)
            yield from _Root(path, prefix, {**shared, **own}).facts(directives)

    def _included_by_others(self) -> set[str]:
        """Files that another one without a main configuration includes: they are read in their place."""
        found: set[str] = set()
        for path, source in self._sources.items():
            if path in self._reached:
                continue
            stack = list(source.directives)
            while stack:
                one = stack.pop()
                stack.extend(one.block or ())
                if one.name == "include" and one.words:
                    found.update(target for target in self._targets(one.words[0], path) if target != path)
        # Files that include each other would all be left out.
        return found if len(found) < len(self._sources) else set()

    def _prefix_of(self, path: str) -> str:
        """The directory that relative names start from: that of nginx.conf."""
        for above in ancestors(path):
            if posixpath.join(above, "nginx.conf") in self._sources:
                return above
        return "/etc/nginx" if path.startswith("/") else ""

    def _targets(self, pattern: str, path: str) -> tuple[str, ...]:
        return self._files.matching(pattern, (self._prefix_of(path), *ancestors(path)))

    def _expanded(self, path: str) -> tuple[Directive, ...]:
        return tuple(self._expand(self._sources[path], (path,)))

    def _expand(self, source: _Source, stack: tuple[str, ...], depth: int = 0) -> Iterator[Directive]:
        self._reached.add(source.path)
        in_file = self._dump or source.path

        def placed(directives: Iterable[Directive], depth: int) -> Iterator[Directive]:
            for one in directives:
                self._left -= 1
                if self._left < 0:
                    return
                if one.name == "include" and one.words:
                    if depth < MAX_DEPTH:
                        yield from self._include(one.words[0], stack, depth)
                    continue
                block = None if one.block is None else tuple(placed(one.block, depth + 1) if depth < MAX_DEPTH else ())
                where = Where(one.where.line, one.where.excerpt, in_file)
                yield Directive(one.name, one.words, where, block)

        return placed(source.directives, depth)

    def _include(self, pattern: str, stack: tuple[str, ...], depth: int) -> Iterator[Directive]:
        if len(stack) > MAX_INCLUDES or "$" in pattern:
            return
        for target in self._targets(pattern, stack[0]) or self._elsewhere(pattern, stack[0]):
            if target not in stack:
                yield from self._expand(self._sources[target], (*stack, target), depth + 1)

    def _elsewhere(self, pattern: str, main: str) -> tuple[str, ...]:
        """A file that is included by its full name and lies where nginx's files are not looked for."""
        if self._dump or not main.startswith("/") or any(mark in pattern for mark in "*?["):
            return ()
        path = posixpath.normpath(posixpath.join(self._prefix_of(main), pattern))
        content = self._reader(path)
        if content is None or len(content) > MAX_BYTES:
            return ()
        text = decode(content).replace("\r\n", "\n")
        self._sources[path] = _Source(path, read_directives(text, 0, Places(text.split("\n")))[0])
        return (path,)


def _is_main(source: _Source) -> bool:
    if bare_name(source.path) == "nginx.conf":
        return True
    return any(one.name in ("http", "stream", "mail") and one.block is not None for one in source.directives)


def _upstreams(directives: Iterable[Directive], path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    stack = list(directives)
    while stack:
        one = stack.pop()
        if one.name == "upstream" and one.words:
            found[one.words[0]] = qualified(f"nginx upstream {one.words[0]}", path)
        elif one.name in ("http", "stream"):
            stack.extend(one.block or ())
    return found


class _Root:
    """One configuration with all that it includes."""

    def __init__(self, path: str, prefix: str, upstreams: Mapping[str, str]) -> None:
        self._path = path
        self._prefix = prefix
        self._upstreams = upstreams
        self._servers: dict[str, _Server] = {}
        self._pools: dict[str, tuple[Where, list[Member]]] = {}
        self._logs: dict[str, list[tuple[Ref, Where]]] = {}
        self._stapling: dict[str, list[tuple[Ref, Where]]] = {}
        self._resolvers: list[tuple[Ref, Where]] = []
        self._auth: list[tuple[Ref, Where]] = []

    def facts(self, directives: Sequence[Directive]) -> Iterator[Parsed]:
        self._main(directives, "http", {})
        for label, (where, members) in self._pools.items():
            yield from pool(label, "nginx", where, members)
        for one in self._servers.values():
            yield from self._server_facts(one)
        yield from side_path("nginx", "nginx", self._resolvers, Need.READ, "resolvers")
        yield from side_path("nginx mail authentication", "nginx", self._auth, Need.READ)
        for label, targets in (*self._logs.items(), *self._stapling.items()):
            need = Need.WRITE if label in self._logs else Need.READ
            yield from side_path(label, "nginx", targets, need)

    def _server_facts(self, server: _Server) -> Iterator[Parsed]:
        attributes: dict[str, Attribute] = {"software": "nginx"}
        if server.names:
            attributes["names"] = tuple(server.names)
        if server.listens:
            attributes["listen"] = tuple(server.listens)
        certificates = tuple(path for name, path in server.files if name == "ssl_certificate")
        if certificates:
            attributes["certificate"] = certificates
        yield from service(server.label, server.where, attributes)
        ref = Ref(Kind.SERVICE, server.label)
        for (_, path), where in server.files.items():
            yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, where)
        for (target, relation, group), where in server.edges.items():
            yield Dependency(ref, target, relation, where, group=group)

    def _main(
        self, directives: Iterable[Directive], context: str, inherited: Mapping[str, Sequence[Directive]]
    ) -> None:
        level = list(directives)
        for one in level:
            self._log(one)
            if one.name == "resolver":
                self._resolvers.extend(_resolvers(one))
            elif one.name == "auth_http" and one.words and (target := target_of(one.words[0])):
                self._auth.append((target, one.where))
        passed = {
            **inherited,
            **{name: found for name in _INHERITED if (found := [d for d in level if d.name == name])},
        }
        for one in level:
            if one.block is None:
                continue
            if one.name in ("http", "stream", "mail"):
                self._main(one.block, one.name, passed)
            elif one.name == "upstream" and one.words:
                self._upstream(one)
            elif one.name == "server":
                self._server(one, context, passed)

    def _upstream(self, directive: Directive) -> None:
        label = self._upstreams.get(directive.words[0])
        if label is None or TEMPLATE in directive.words[0]:
            return
        _, members = self._pools.setdefault(label, (directive.where, []))
        for one in directive.block or ():
            if one.name != "server" or not one.words:
                continue
            address, flags = one.words[0], one.words[1:]
            target: Ref | str = target_of(address) or UNKNOWN
            if address.startswith("unix:"):
                target = LOCAL
            elif any(flag.startswith("service=") for flag in flags):
                # The servers are those of a SRV record.
                target = UNKNOWN
            members.append(Member(address, target, one.where, "backup" in flags, "down" in flags))

    def _server(self, directive: Directive, context: str, inherited: Mapping[str, Sequence[Directive]]) -> None:
        block = directive.block or ()
        names = [name for one in block if one.name == "server_name" for name in one.words]
        literal = [normal_name(name) for name in names if is_hostname(name.removeprefix(".")) and TEMPLATE not in name]
        literal = [name for name in literal if name not in ("_", "localhost")]
        listens = [one.words for one in block if one.name == "listen" and one.words and TEMPLATE not in one.words[0]]
        first = next((name for name in literal if not name.startswith(("*", "."))), literal[0] if literal else "")
        what = "nginx server" if context == "http" else f"nginx {context} server"
        label = f"{what} {first}" if first else f"{what} on {listens[0][0] if listens else '80'} in {self._path}"
        server = self._servers.setdefault(label, _Server(label, directive.where))
        server.names.update(dict.fromkeys(literal))
        server.listens.update((words[0], None) for words in listens)
        encrypted = any(flag in ("ssl", "quic") for words in listens for flag in words[1:])
        encrypted = encrypted or any(one.name == "ssl" and one.words[:1] == ("on",) for one in block)
        present = {one.name for one in block}
        for name, found in inherited.items():
            if encrypted and name not in present:
                for one in found:
                    self._file(server, one)
        values = _values(block)
        stack = list(reversed(block))
        while stack:
            one = stack.pop()
            if one.block is not None:
                stack.extend(reversed(one.block))
            elif one.name in PASSES:
                self._pass(server, one, values)
            elif one.name in FILES:
                self._file(server, one)
            elif one.name == "resolver":
                for resolver, where in _resolvers(one):
                    server.edges.setdefault((resolver, Relation.CONNECTS, "resolvers"), where)
            elif one.name == "ssl_stapling_responder" and one.words and (target := target_of(one.words[0])):
                self._stapling.setdefault(f"nginx OCSP stapling of {label[13:]}", []).append((target, one.where))
            elif one.name == "auth_http" and one.words and (target := target_of(one.words[0])):
                server.edges.setdefault((target, Relation.CONNECTS, ""), one.where)
            else:
                self._log(one)

    def _file(self, server: _Server, directive: Directive) -> None:
        path = directive.words[0] if directive.words else ""
        if not path or path in ("off", "none") or "$" in path or TEMPLATE in path:
            return
        if path.startswith(("data:", "engine:", "store:")):
            return
        if not path.startswith("/"):
            if not self._prefix.startswith("/"):
                return
            path = posixpath.normpath(posixpath.join(self._prefix, path))
        server.files.setdefault((directive.name, path), directive.where)

    def _pass(self, server: _Server, directive: Directive, values: Mapping[str, str]) -> None:
        """Where requests go. A variable that is set once to a literal counts as written."""
        text = directive.words[0] if directive.words else ""
        text = _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text[:MAX_TARGET])
        scheme, separator, rest = text.rpartition("://") if "://" in text else ("", "", text)
        if rest.startswith("unix:") or not rest:
            return
        # A path made of variables changes nothing about the host.
        authority = re.split(r"/|\$(?:request_)?uri\b|\$is_args", rest, maxsplit=1)[0]
        name = self._upstreams.get(authority)
        target = target_of(f"{scheme}{separator}{authority}")
        if name and TEMPLATE not in name:
            target = Ref(Kind.SERVICE, name)
        if target is not None:
            server.edges.setdefault((target, Relation.BACKED_BY, ""), directive.where)

    def _log(self, directive: Directive) -> None:
        if directive.name not in LOGS or not directive.words:
            return
        for setting in directive.words[0].removeprefix("syslog:").split(","):
            if directive.words[0].startswith("syslog:") and setting.startswith("server="):
                target = target_of(setting.removeprefix("server="))
                if target is not None and not setting.startswith("server=unix:"):
                    self._logs.setdefault(f"nginx log to {target.text}", []).append((target, directive.where))


def _values(block: Iterable[Directive]) -> dict[str, str]:
    """Variables that `set` gives one literal value in the whole server."""
    found: dict[str, set[str]] = {}
    stack = list(block)
    while stack:
        one = stack.pop()
        stack.extend(one.block or ())
        if one.name == "set" and len(one.words) == 2:
            found.setdefault(one.words[0].lstrip("$"), set()).add(one.words[1])
    return {
        name: value
        for name, values in found.items()
        if len(values) == 1
        for value in values
        if "$" not in value and len(value) < MAX_TARGET
    }


def _resolvers(directive: Directive) -> Iterator[tuple[Ref, Where]]:
    for word in directive.words:
        if "=" in word or TEMPLATE in word or "$" in word:
            continue
        if (found := re.fullmatch(r"(\[[^\]]*\]|[^:]+)(?::\d+)?", word)) and (target := host_ref(found[1])):
            yield target, directive.where
