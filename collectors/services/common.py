"""What the programs of this family have in common: lines with their places, services, alternatives, lists of hosts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from auditor.api import (
    NO_ATTRIBUTES,
    THIS_HOST,
    Attribute,
    Confidence,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
    normal_address,
    normal_name,
)

LINE_LIMIT: Final = 200_000
"""Lines of one file that are read."""
MALFORMED_LIMIT: Final = 100
"""Places of one document that are reported one by one."""
ALLOWED_LIMIT: Final = 2_000
"""Entries of one allow-list that are kept as an attribute."""

_TEMPLATE_SUFFIXES: Final = (".j2", ".jinja", ".jinja2", ".erb", ".epp", ".tmpl", ".tpl", ".ctmpl", ".in")
_CODE: Final = (
    *(".py", ".rb", ".pp", ".yml", ".yaml", ".json", ".md", ".rst", ".html", ".sh", ".pl", ".js", ".service"),
    *(
        "~",
        ".bak",
        ".orig",
        ".proto",
        ".swp",
        ".dpkg-dist",
        ".dpkg-old",
        ".dpkg-new",
        ".rpmnew",
        ".rpmsave",
        ".ucf-dist",
    ),
)
_ABOUT: Final = re.compile(
    r"/(?:tmpfiles|sysusers|logrotate|apparmor|init|insserv|monit|telegraf|fail2ban)\.d/|/needrestart/"
)
_ANYONE: Final = frozenset({"any", "all", "none", "localnets"})
_CONNINFO: Final = re.compile(r"(?<!\w)(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))")
_URI: Final = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?([^/?]*)(?:[/?].*)?", re.DOTALL)
_CIDR: Final = re.compile(r"\[?([0-9A-Fa-f:.]+)\]?/(\d{1,3}|\d+\.\d+\.\d+\.\d+)")


def base_name(path: str) -> str:
    """The last part of a path without the suffixes of templates."""
    base = path.rpartition("/")[2]
    stem, suffix = posixpath.splitext(base)
    return stem if suffix in _TEMPLATE_SUFFIXES else base


def is_foreign(path: str) -> bool:
    """Whether a path has a service's name in it, and is no configuration of it: a program, a document, another tool's.

    What packages put below `/usr` are defaults and examples (of systemd-tmpfiles, say), except in `/usr/local` and
    `/usr/etc`. Copies that editors and package managers keep are in nobody's use.
    """
    return (
        path.endswith(_CODE)
        or (path.startswith("/usr/") and not path.startswith(("/usr/local/", "/usr/etc/")))
        or _ABOUT.search(path) is not None
    )


def is_templated(text: str) -> bool:
    """Whether text holds expressions of Jinja, Go or ERB templates."""
    return "{{" in text or "{%" in text or "<%" in text or "{#" in text or "%}" in text


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of one document."""

    path: str
    lines: list[str]

    def where(self, number: int, shown: str | None = None) -> Where:
        """The place of a line (from 1), with the line or what of it may be shown."""
        if shown is None:
            shown = self.lines[number - 1] if 0 < number <= len(self.lines) else ""
        return Where(number, excerpt(shown))

    def ref(self, name: str) -> Ref:
        """A service. In a repository, where many files may be alike, the file tells them apart."""
        return Ref(Kind.SERVICE, name if self.path.startswith("/") else f"{name} in {self.path}")

    def service(self, name: str, where: Where, attributes: Mapping[str, Attribute] = NO_ATTRIBUTES) -> Iterator[Parsed]:
        """A part of a program that runs on the captured host."""
        ref = self.ref(name)
        yield Entity(ref, where, dict(attributes))
        yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, where)

    def uses(
        self,
        name: str,
        targets: Iterable[tuple[Ref | None, Where]],
        need: Need = Need.READ,
        group: str = "",
        attributes: Mapping[str, Attribute] = NO_ATTRIBUTES,
        confidence: Confidence = Confidence.HIGH,
        relation: Relation = Relation.CONNECTS,
    ) -> Iterator[Parsed]:
        """A service and what it connects to: alternatives if `group` says so.

        A target of None is one that is not known (a lookup in DNS, a template): an alternative of its own.
        """
        found = list(dict.fromkeys(targets))
        if not any(target for target, _ in found):
            return
        yield from self.service(name, found[0][1], attributes)
        ref = self.ref(name)
        for target, where in found:
            if target is not None:
                yield Dependency(ref, target, relation, where, need, group, confidence)
            elif group:
                other = self.ref(f"{name}: servers not known")
                yield Dependency(ref, other, relation, where, need, group, confidence)

    def allows(
        self, name: str, entries: Iterable[tuple[str, Where]], attributes: Mapping[str, Attribute] = NO_ATTRIBUTES
    ) -> Iterator[Parsed]:
        """A list of who may come in, as an attribute.

        Nothing here needs the hosts it lets in, so there is no edge: a line that names a host is a mention.
        """
        found = list(entries)
        if not found:
            return
        names = tuple(dict.fromkeys(normal_entry(text) for text, _ in found))
        yield from self.service(name, found[0][1], {**attributes, "allows": names[:ALLOWED_LIMIT]})


def reserved(name: str, address: str, where: Where) -> Entity:
    """A name and an address that one machine has by a DHCP server's reservation: evidence, as in known_hosts.

    The name may be a label of the administrator's own, so that no machine is made of it.
    """
    plain = normal_name(name)
    return Entity(Ref(Kind.HOST, plain), where, {"known_as": (plain, address)})


def read_source(document: Document, program: str) -> Source | Malformed:
    """The lines of a document, or why there are none."""
    text = decode(document.content).removeprefix("\ufeff")
    if "\x00" in text[:4096]:
        return Malformed(Where(0), "not text", f"{program} can't read it", whole=True)
    lines = text.replace("\r\n", "\n").split("\n")
    return Source(document.path, lines)


def limited(source: Source, facts: Iterable[Parsed]) -> Iterator[Parsed]:
    """Facts with at most MALFORMED_LIMIT malformed places, and a word on lines beyond LINE_LIMIT."""
    if len(source.lines) > LINE_LIMIT:
        yield Malformed(Where(LINE_LIMIT), f"more than {LINE_LIMIT} lines: the rest is not read")
        del source.lines[LINE_LIMIT:]
    bad = 0
    for fact in facts:
        if isinstance(fact, Malformed):
            bad += 1
            if bad > MALFORMED_LIMIT:
                continue
            if bad == MALFORMED_LIMIT:
                yield Malformed(fact.where, f"more than {MALFORMED_LIMIT} lines that can't be read", fact.effect)
                continue
        yield fact


def target(host: str, port: str | int = "", scheme: str = "") -> Ref | None:
    """A host, or host and port, as an edge's other end; None for what is no host, a variable or a template."""
    bare = host.strip().strip("\"'")
    if not bare or "$" in bare or "{" in bare or "%" in bare.split("%")[0] or "*" in bare:
        return None
    ref = host_ref(bare)
    if ref is None or not (port or scheme):
        return ref
    shown = f"[{ref.text}]" if ":" in ref.text else ref.text
    number = str(port)
    written = f":{number}" if number.isdecimal() and len(number) < 10 and 0 < int(number) < 65536 else ""
    return endpoint_ref(f"{scheme}://{shown}{written}" if scheme else f"{shown}{written}") if written or scheme else ref


def url_target(text: str) -> Ref | None:
    """A URL or host:port, without its path, as an edge's other end; None for variables and templates."""
    if "$" in text or "{" in text or "%" in text:
        return None
    scheme, separator, rest = text.strip().rpartition("://")
    authority = rest.split("/", 1)[0]
    ref = endpoint_ref(f"{scheme}{separator}{authority}") if authority else None
    if ref is not None and not scheme and (plain := host_ref(ref.text)) is not None:
        return plain
    return ref


def normal_entry(text: str) -> str:
    """An entry of an allow-list in one spelling: a name, an address, a network or a pattern."""
    bare = text.strip().strip("\"'")
    if (address := normal_address(bare)) is not None:
        return address
    if found := _CIDR.fullmatch(bare):
        mask = found[2]
        full = mask in ("32", "255.255.255.255") and ":" not in found[1]
        host = normal_address(found[1])
        return host if host and (full or mask == "128") else bare
    return normal_name(bare) if is_hostname(bare) else excerpt(bare)


def names_host(text: str) -> bool:
    """Whether an entry of an allow-list says who: a name, an address or a network."""
    bare = text.strip().strip("\"'")
    return bare.lower() not in _ANYONE and bool(is_hostname(bare) or normal_address(bare) or _CIDR.fullmatch(bare))


def unquoted(text: str) -> str:
    """A value without the quotes around it."""
    bare = text.strip()
    return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'" else bare


@dataclass(frozen=True, slots=True)
class Setting:
    """One `key = value` of a section. Keys are lower case."""

    section: str
    key: str
    value: str
    line: int


def sections(source: Source, *, comments: str = "#;", separators: str = "=") -> Iterator[Setting | Malformed]:
    """`[section]` and `key = value` lines, comments only at the start of a line, as most programs read them.

    A key without a value has an empty one. Template statements and expressions stay in the values.
    """
    section = ""
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] in comments or text.startswith(("{%", "{#", "<%")):
            continue
        if text[0] == "[" and "]" in text:
            section = text[1 : text.index("]")].strip()
            yield Setting(section, "", "", number)
            continue
        at = min((found for found in (text.find(one) for one in separators) if found > 0), default=-1)
        if at < 0:
            yield Setting(section, text.lower(), "", number)
        else:
            yield Setting(section, text[:at].strip().lower(), text[at + 1 :].strip(), number)


def libpq_hosts(text: str) -> Iterator[Ref]:
    """Hosts of a connection string, as libpq reads it: keywords or a URI; several hosts are tried in turn."""
    if found := _URI.fullmatch(text.strip()):
        for part in found[1].split(","):
            host, _, port = part.rpartition(":") if re.search(r":\d+$", part) else (part, "", "")
            ref = target(unquote(host), port)
            if ref is not None:
                yield ref
        return
    values = {one[1].lower(): one[2] if one[2] is not None else one[3] for one in _CONNINFO.finditer(text)}
    hosts = (values.get("hostaddr") or values.get("host", "")).split(",")
    # libpq connects to hostaddr; the name is what people know.
    hosts = values["host"].split(",") if values.get("host") else hosts
    ports = values.get("port", "").split(",")
    for at, host in enumerate(hosts):
        if host.strip() and not host.strip().startswith(("/", "@")):
            ref = target(host, ports[at] if len(ports) == len(hosts) else ports[0])
            if ref is not None:
                yield ref


def without_password(text: str) -> str:
    """A connection string without its password."""
    return re.sub(r"((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", r"\1‹redacted›", text)
