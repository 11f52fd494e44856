"""HAProxy configurations: frontends, backends, the servers of each, certificates, peers, resolvers, logs.

Sources: HAProxy's configuration manual (2.6 and 3.2), its tools.c (parse_line, str2sa_range) and cfgparse.c; what
becomes of a bad line was compared with `haproxy -c` 2.6.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Final, NamedTuple

from auditor.api import (
    TEMPLATE,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Filler,
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
    excerpt,
    host_ref,
    without_templates,
)
from collectors.traffic.common import (
    LOCAL,
    MAX_BYTES,
    MAX_PROBLEMS,
    UNKNOWN,
    Member,
    bare_name,
    is_templated,
    pool,
    qualified,
    service,
    side_path,
)

MAX_LINES: Final = 200_000
MAX_WORDS: Final = 256

_SECTIONS: Final = frozenset(
    {
        "global", "defaults", "frontend", "backend", "listen", "peers", "mailers", "resolvers", "userlist", "program",
        "cache", "http-errors", "ring", "log-forward", "fcgi-app", "crt-store", "log-profile", "traces", "acme",
    }
)  # fmt: skip
_SECTION_LINE: Final = re.compile(
    rb"^(?:global|defaults|frontend|backend|listen|peers|resolvers|mailers|userlist|ring)\b[^{;=(]*$", re.MULTILINE
)
_UNNAMED: Final = frozenset({"global", "defaults", "traces"})
_FAMILY: Final = re.compile(r"(?:ipv[46]|udp[46]?|tcp[46]?|stream|dgram|quic[46]|mptcp[46]?)@")
_LOCAL_ADDRESS: Final = re.compile(
    r"(?:unix|abns|abnsz|fd|sockpair)@|/|(?:uxst|uxdg)@|(?:stream|dgram)\+(?:unix|abns)@"
)
_LISTENS_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "*", ""})
_STOPS: Final = "HAProxy refuses to start with it"
_KEPT: Final = frozenset(
    {
        "bind", "server", "server-template", "default-server", "default_backend", "use_backend", "log", "crt-base",
        "ca-base", "peer", "nameserver", "mailer",
    }
)  # fmt: skip
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_FILLED_IN: Final = 1 << 20
"""Characters of variables that are filled in, in one file."""
_FILE_OPTIONS: Final = frozenset({"crt", "crt-list", "ca-file", "ca-verify-file", "crl-file", "key", "ocsp"})


@dataclass(slots=True)
class _Line:
    words: list[str]
    where: Where


@dataclass(slots=True)
class _Section:
    kind: str
    name: str
    where: Where
    base: str = ""
    """The named defaults section that it takes over (`from`)."""
    lines: list[_Line] = field(default_factory=list)


class _List(NamedTuple):
    """A list of certificates that a `bind` reads."""

    label: str
    path: str
    base: str


class HaproxyCollector(Collector):
    """HAProxy: frontends, backends and their servers, certificates.

    Reads
    -----
    `*.cfg` below `/etc/haproxy` and `/usr/local/etc/haproxy`, and configurations or templates of them in a tree whose
    path names haproxy.

    Yields
    ------
    A service for each frontend, backend and listen section; the backends that a frontend uses; the servers of a backend
    as alternatives, with attributes for those that are `down`, `backup` or `unchecked`; certificates and lists of them
    that a `bind` reads; peers, resolvers, mailers and rings; and, as services of their own, the log targets.

    Can't see
    ---------
    Variables that `setenv` does not set, backends chosen by an expression or a map, servers set at run time, what a SRV
    record or a lookup of `server-template` answers, the files in a certificate directory, and which of two arms of
    `.if` or of a template is used: both count.
    """

    name: ClassVar[str] = "haproxy"
    title: ClassVar[str] = "HAProxy: frontends, backends, servers, certificates"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.READS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if "haproxy" not in path or b"\0" in head:
            return False
        name = bare_name(path)
        if not name.endswith((".cfg", ".conf")) and name not in ("haproxy", "cfg"):
            return False
        if path.startswith(("/etc/haproxy/", "/usr/local/etc/haproxy/", "/usr/local/etc/haproxy.")):
            return name.endswith(".cfg") or name == "haproxy.conf"
        return _SECTION_LINE.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content).removeprefix("\ufeff")
        if "\0" in text[:4096]:
            yield Malformed(Where(), "this is not text", _STOPS, whole=True)
            return
        shown = text.split("\n")
        templated = is_templated(document.path, text)
        sections, problems = _read((without_templates(text) if templated else text).split("\n"), shown)
        if not templated:
            yield from problems
        yield from _File(document.path, sections).facts()

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The certificates that lists (`crt-list`) name: `FILE [OPTION…] [FILTER…]`, one a line."""
        for fragment in fragments:
            if not isinstance(fragment.value, _List):
                continue
            label, path, base = fragment.value
            content = read(path)
            if content is None or len(content) > MAX_BYTES:
                continue
            for number, line in enumerate(decode(content).split("\n")[:MAX_LINES], start=1):
                words = line.split(None, 1)
                file = "" if not words or words[0].startswith("#") else _absolute("crt", words[0], {"crt-base": base})
                if file:
                    where = Where(number, excerpt(line), path)
                    yield Dependency(Ref(Kind.SERVICE, label), Ref(Kind.PATH, file), Relation.READS, where)


def _read(lines: Sequence[str], shown: Sequence[str]) -> tuple[list[_Section], list[Malformed]]:
    problems: list[Malformed] = []
    sections: list[_Section] = []
    environment: dict[str, str] = {}
    filler = Filler(_VARIABLE, _FILLED_IN)
    if len(lines) > MAX_LINES:
        problems.append(Malformed(Where(MAX_LINES), f"more than {MAX_LINES} lines: the rest is not read"))
    for number, line in enumerate(lines[:MAX_LINES], start=1):
        if not line or line.isspace():
            continue
        words, closed = _words(line)
        if not words or words[0].startswith("."):
            continue
        first = words[0]
        if environment and "$" in line:
            words = [filler.fill(one, lambda found: environment.get(found[1] or found[2])) for one in words]
        if first in ("setenv", "presetenv") and len(words) > 2:
            environment[words[1]] = words[2]
        if closed and sections and first not in _KEPT and first not in _SECTIONS:
            continue
        where = Where(number, excerpt(shown[number - 1]) if number <= len(shown) else "")
        if not closed:
            problems.append(Malformed(where, "a quote that is not closed", _STOPS))
            continue
        if first in _SECTIONS:
            name = words[1] if len(words) > 1 else ""
            if not name and first not in _UNNAMED:
                problems.append(Malformed(where, f"a {first} section without a name", _STOPS))
            at = words.index("from") if "from" in words[1:-1] else -1
            sections.append(_Section(first, "" if at == 1 else name, where, words[at + 1] if at > 0 else ""))
        elif sections:
            sections[-1].lines.append(_Line(words, where))
        else:
            problems.append(Malformed(where, f"unknown keyword {excerpt(first)} out of section", _STOPS))
    return sections, problems[:MAX_PROBLEMS]


def _words(line: str) -> tuple[list[str], bool]:
    """A line's words as HAProxy's parse_line makes them: quotes, backslashes, and `#` that ends the line anywhere."""
    if not ('"' in line or "'" in line or "\\" in line):
        return line.partition("#")[0].split(None, MAX_WORDS)[:MAX_WORDS], True
    words: list[str] = []
    word: list[str] = []
    started, quote, at = False, "", 0
    while at < len(line):
        char = line[at]
        at += 1
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and at < len(line) and line[at] in '"\\$':
                word.append(line[at])
                at += 1
            else:
                word.append(char)
        elif char in "'\"":
            quote, started = char, True
        elif char == "#":
            break
        elif char == "\\" and at < len(line):
            word.append(line[at])
            started = True
            at += 1
        elif char.isspace():
            if started:
                words.append("".join(word))
                word, started = [], False
                if len(words) >= MAX_WORDS:
                    break
        else:
            word.append(char)
            started = True
    if started:
        words.append("".join(word))
    return words, not quote


class _File:
    def __init__(self, path: str, sections: Sequence[_Section]) -> None:
        self._path = path
        self._sections = sections
        self._resolvers = {one.name for one in sections if one.kind == "resolvers"}
        self._bases: dict[str, str] = {}
        self._logs: dict[str, list[tuple[Ref, Where]]] = {}

    def facts(self) -> Iterator[Parsed]:
        defaults: dict[str, list[_Line]] = {}
        latest: list[_Line] = []
        for section in self._sections:
            for line in section.lines:
                if line.words[0] == "log":
                    self._log(line)
            if section.kind == "global":
                for line in section.lines:
                    if line.words[0] in ("crt-base", "ca-base") and len(line.words) > 1:
                        self._bases[line.words[0]] = line.words[1]
            elif section.kind == "defaults":
                latest = [*defaults.get(section.base, ()), *section.lines]
                defaults[section.name] = latest
            elif not section.name or TEMPLATE in section.name:
                continue
            elif section.kind in ("frontend", "backend", "listen"):
                yield from self._proxy(section, defaults.get(section.base, latest) if section.base else latest)
            elif section.kind in _SIDE:
                yield from self._side(section)
        for label, targets in self._logs.items():
            yield from side_path(label, "haproxy", targets, Need.WRITE)

    def _label(self, kind: str, name: str) -> str:
        return qualified(f"haproxy {kind} {name}", self._path)

    def _backend(self, name: str) -> Ref | None:
        """The backend of a name; in a repository only one of the same file: another may be another balancer's."""
        if TEMPLATE in name or "%[" in name or "$" in name or not name:
            return None
        kind = next((one.kind for one in self._sections if one.name == name and one.kind in ("backend", "listen")), "")
        if not kind and not self._path.startswith("/"):
            return None
        return Ref(Kind.SERVICE, self._label(kind or "backend", name))

    def _proxy(self, section: _Section, defaults: Sequence[_Line]) -> Iterator[Parsed]:
        label = self._label(section.kind, section.name)
        ref = Ref(Kind.SERVICE, label)
        inherited: list[str] = []
        members: list[Member] = []
        edges: list[Dependency] = []
        listens: list[str] = []
        certificates: list[str] = []
        own_default = any(one.words[0] == "default_backend" for one in section.lines)
        for line in defaults:
            if line.words[0] == "default-server":
                inherited += line.words[1:]
            elif line.words[0] == "default_backend" and section.kind != "backend" and len(line.words) > 1:
                edges += () if own_default else self._uses(ref, line)
        for line in section.lines:
            words = line.words
            if words[0] == "default-server":
                inherited += words[1:]
            elif words[0] in ("server", "server-template"):
                one = _member(words, line.where, inherited)
                if one is not None:
                    members.append(one)
                    edges += [
                        Dependency(ref, Ref(Kind.PATH, path), Relation.READS, line.where)
                        for _, path in self._files(words[3:])
                    ]
                    edges += self._resolved_by(ref, line)
            elif words[0] in ("default_backend", "use_backend") and len(words) > 1:
                edges += self._uses(ref, line)
            elif words[0] == "bind" and len(words) > 1:
                listens += [one for one in words[1].split(",") if TEMPLATE not in one]
                for option, path in self._files(words[2:]):
                    edges.append(Dependency(ref, Ref(Kind.PATH, path), Relation.READS, line.where))
                    if option in ("crt", "crt-list"):
                        certificates.append(path)
                    if option == "crt-list":
                        base = self._bases.get("crt-base", "")
                        yield Fragment("crt-list", _List(label, path, base), line.where)
        attributes: dict[str, Attribute] = {"software": "haproxy"}
        if listens:
            attributes["listen"] = tuple(dict.fromkeys(listens))
        if certificates:
            attributes["certificate"] = tuple(dict.fromkeys(certificates))
        if members:
            yield from pool(label, "haproxy", section.where, members, attributes)
        else:
            yield from service(label, section.where, attributes)
        yield from {(one.provider, one.relation): one for one in reversed(edges)}.values()

    def _uses(self, ref: Ref, line: _Line) -> Iterator[Dependency]:
        backend = self._backend(line.words[1])
        if backend is not None:
            yield Dependency(ref, backend, Relation.BACKED_BY, line.where)

    def _files(self, words: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Options that name files, with those files; relative ones are below crt-base or ca-base."""
        for option, value in pairwise(words):
            if option in _FILE_OPTIONS and (path := _absolute(option, value, self._bases)):
                yield option, path

    def _resolved_by(self, ref: Ref, line: _Line) -> Iterator[Dependency]:
        words = line.words
        for option, value in pairwise(words[3:]):
            if option == "resolvers" and (value in self._resolvers or self._path.startswith("/")):
                target = Ref(Kind.SERVICE, self._label("resolvers", value))
                yield Dependency(ref, target, Relation.CONNECTS, line.where)

    def _side(self, section: _Section) -> Iterator[Parsed]:
        keyword, group, need = _SIDE[section.kind]
        found: list[tuple[Ref, Where]] = []
        for line in section.lines:
            words = line.words
            if words[0] == keyword or (section.kind == "peers" and words[0] == "server"):
                target = _address(words[2]) if len(words) > 2 else None
                if isinstance(target, Ref):
                    if section.kind == "resolvers":
                        target = _without_port(target)
                    found.append((target, line.where))
        yield from side_path(self._label(section.kind, section.name), "haproxy", found, need, group)

    def _log(self, line: _Line) -> None:
        if (
            len(line.words) < 2
            or line.words[1] in ("global", "stdout", "stderr")
            or line.words[1].startswith(("ring@", "backend@"))
        ):
            return
        target = _address(line.words[1])
        if isinstance(target, Ref):
            label = qualified(f"haproxy log to {target.text}", self._path)
            self._logs.setdefault(label, []).append((target, line.where))


# Sections whose members are not traffic: the keyword of a member, the group, and what is needed of it.
_SIDE: Final[Mapping[str, tuple[str, str, Need]]] = {
    "peers": ("peer", "peers", Need.READ),
    "resolvers": ("nameserver", "nameservers", Need.READ),
    "mailers": ("mailer", "mailers", Need.WRITE),
    "ring": ("server", "", Need.WRITE),
}


def _without_port(target: Ref) -> Ref:
    host = re.sub(r":\d+$", "", target.text)
    return host_ref(host) or target


def _absolute(option: str, value: str, bases: Mapping[str, str]) -> str:
    if not value or TEMPLATE in value or "$" in value or value.startswith("@"):
        return ""
    if not value.startswith("/"):
        base = bases.get("ca-base" if option.startswith(("ca-", "crl-")) else "crt-base", "")
        if not base.startswith("/"):
            return ""
        value = posixpath.join(base, value)
    return posixpath.normpath(value)


def _member(words: Sequence[str], where: Where, inherited: Sequence[str]) -> Member | None:
    """A server line: `server NAME ADDRESS[:PORT] OPTION…`, `server-template PREFIX COUNT FQDN[:PORT] OPTION…`."""
    template = words[0] == "server-template"
    if len(words) < (4 if template else 3):
        return None
    name = f"{words[1]}{words[2]}" if template else words[1]
    address, options = (words[3], words[4:]) if template else (words[2], words[3:])
    checked = ("check" in options or "check" in inherited) and "no-check" not in options
    disabled = "disabled" in options or ("disabled" in inherited and "enabled" not in options)
    return Member(name, _address(address), where, "backup" in options, disabled, checked)


def _address(text: str) -> Ref | str:
    """An address as str2sa_range reads it: the last colon begins the port, and IPv6 needs no brackets."""
    if TEMPLATE in text or "$" in text or "%" in text or not text:
        return UNKNOWN
    if _LOCAL_ADDRESS.match(text):
        return LOCAL
    if "@" in text:
        family = _FAMILY.match(text)
        if family is None:
            return UNKNOWN
        text = text[family.end() :]
    host, colon, port = text.rpartition(":")
    if not colon or (not port.lstrip("+-").isdecimal() and port):
        host, port = text, ""
    host = host.strip("[]")
    if host in _LISTENS_EVERYWHERE:
        # The address of the request itself, or whatever a rule sets.
        return UNKNOWN
    if host.startswith("_"):
        return Ref(Kind.NAME, host.rstrip(".").lower())
    shown = f"[{host}]" if ":" in host else host
    return endpoint_ref(f"{shown}:{port}" if port.isdecimal() and port.strip("0") else shown) or UNKNOWN
