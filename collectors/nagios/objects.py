"""Nagios object files: lines to definitions, and definitions to objects with templates and lists resolved.

The syntax is that of Nagios Core 4.4 (`xdata/xodtemplate.c`, "Object Inheritance" and "Object Tricks" of its manual),
compared with what `nagios4 -vp` writes. Icinga 1, Naemon and Shinken read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from auditor.api import TEMPLATE, Malformed, Where, excerpt

DEPTH_LIMIT: Final = 50
"""Templates that use templates, and host groups inside host groups."""
DIRECTIVE_LIMIT: Final = 500
"""Directives of one definition."""

TYPES: Final = frozenset(
    {
        "command",
        "contact",
        "contactgroup",
        "host",
        "hostdependency",
        "hostescalation",
        "hostextinfo",
        "hostgroup",
        "hostgroupescalation",
        "module",
        "service",
        "servicedependency",
        "serviceescalation",
        "serviceextinfo",
        "servicegroup",
        "timeperiod",
    }
)
_SELECTING: Final = {
    "host": "host_name",
    "hosts": "host_name",
    "hostgroup": "hostgroup_name",
    "hostgroups": "hostgroup_name",
    "host_groups": "hostgroup_name",
    "description": "service_description",
    "service_groups": "servicegroups",
    "master_host": "host_name",
    "master_host_name": "host_name",
    "dependent_host": "dependent_host_name",
    "dependent_description": "dependent_service_description",
}
_ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "service": _SELECTING,
    "serviceescalation": _SELECTING,
    "servicedependency": _SELECTING,
    "hostescalation": _SELECTING,
    "hostdependency": _SELECTING,
    "host": {"host_groups": "hostgroups"},
    "contact": {"contact_groups": "contactgroups"},
}
_OWN: Final = frozenset({"use", "name", "register"})
_DIRECTIVE: Final = re.compile(r"(\w+)(?:\s+(.*))?", re.DOTALL)
_NOT_STARTED: Final = "Nagios refuses the configuration"
# What a regular expression of a host name may hold: no groups and few repetitions, so that matching stays fast.
_SAFE_PATTERN: Final = re.compile(r"[\w.\-^$\[\]?*+|\\]{1,200}")


class Token(NamedTuple):
    """One member of a list, or one value, and the line it stands on."""

    text: str
    where: Where


class Written(NamedTuple):
    """The value of a directive: its text, and (offset in it, line) for each line it takes."""

    text: str
    lines: tuple[tuple[int, int], ...]


class Definition(NamedTuple):
    """One `define` block as written. `excerpts` holds the lines of its directives."""

    kind: str
    line: int
    directives: tuple[tuple[str, Written], ...]
    excerpts: tuple[tuple[int, str], ...]


def read_definitions(text: str, *, templated: bool) -> Iterator[Definition | Malformed]:
    """The definitions of an object file; what is wrong with it, unless it is a template that is yet to be filled in."""
    kind, start = "", 0
    directives: list[tuple[str, Written]] = []
    excerpts: dict[int, str] = {}
    number = 0
    for number, parts in _logical_lines(text):
        line = "".join(part for _, part in parts)
        if not line or line[0] == "#":
            continue
        if line.startswith("define") and line[6:7] in (" ", "\t"):
            if kind and not templated:
                yield Malformed(Where(number, excerpt(line)), "a definition inside another one", _NOT_STARTED)
            if kind in TYPES:
                yield Definition(kind, start, tuple(directives), tuple(excerpts.items()))
            kind = re.split(r"[\s{]", line[6:].strip(), maxsplit=1)[0]
            start, directives, excerpts = number, [], {number: excerpt(line)}
            if kind not in TYPES and not templated:
                yield Malformed(Where(number, excerpt(line)), "a definition of an unknown type", _NOT_STARTED)
            if line.endswith("}") and not templated:
                yield Malformed(Where(number, excerpt(line)), "a definition on one line", _NOT_STARTED)
        elif line[0] == "}":
            if kind in TYPES:
                yield Definition(kind, start, tuple(directives), tuple(excerpts.items()))
            kind = ""
        elif kind:
            found = _DIRECTIVE.fullmatch(line)
            if found is None or len(directives) >= DIRECTIVE_LIMIT:
                continue
            key = _ALIASES.get(kind, {}).get(found[1], found[1])
            value = (found[2] or "").strip()
            offset = -found.start(2) if found[2] else 0
            lines = []
            for at, part in parts:
                lines.append((max(offset, 0), at))
                offset += len(part)
                excerpts[at] = excerpt(part)
            directives.append((key, Written(value.replace("\\;", ";"), tuple(lines))))
        elif not templated and not line.startswith(("include_file=", "include_dir=")):
            yield Malformed(Where(number, excerpt(line)), "text outside of a definition", _NOT_STARTED)
    if kind:
        if kind in TYPES:
            yield Definition(kind, start, tuple(directives), tuple(excerpts.items()))
        if not templated:
            yield Malformed(Where(start, excerpts.get(start, "")), "a definition without its end", _NOT_STARTED)


def _logical_lines(text: str) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Lines without comments, those that a backslash continues joined: (first line, [(line, part)])."""
    parts: list[tuple[int, str]] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not parts and (not line or line[0] == "#"):
            continue
        goes_on = line.endswith("\\") and not line.endswith("\\\\")
        parts.append((number, line[:-1] if goes_on else line))
        if goes_on and len(parts) < 2000:
            continue
        yield parts[0][0], _without_comment(parts)
        parts = []
    if parts:
        yield parts[0][0], _without_comment(parts)


def _without_comment(parts: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Cuts at the first `;` that no backslash escapes."""
    for index, (number, part) in enumerate(parts):
        at = part.find(";")
        while at > 0 and part[at - 1] == "\\":
            at = part.find(";", at + 1)
        if at >= 0:
            return [*parts[:index], (number, part[:at].rstrip())]
    return parts


@dataclass(slots=True)
class Value:
    """A directive after inheritance. `additive` if it began with `+` and no template gave it a base yet."""

    written: list[tuple[str, Written, dict[int, str]]]
    additive: bool = False
    _members: tuple[Token, ...] | None = None

    @property
    def text(self) -> str:
        """All that was written, a list's parts joined by commas."""
        return self.written[0][1].text if len(self.written) == 1 else ",".join(one.text for _, one, _ in self.written)

    def token(self) -> Token | None:
        """The value as one."""
        if not self.written:
            return None
        path, one, excerpts = self.written[-1]
        number = one.lines[0][1] if one.lines else 0
        return Token(one.text, Where(number, excerpts.get(number, ""), path))

    def tokens(self) -> tuple[Token, ...]:
        """Members of a list, with the line each stands on; those that a template fills in are left out."""
        if self._members is None:
            self._members = tuple(self._read())
        return self._members

    def _read(self) -> Iterator[Token]:
        for path, one, excerpts in self.written:
            places = [(offset, Where(number, excerpts.get(number, ""), path)) for offset, number in one.lines]
            line, following = places[0][1] if places else Where(0, "", path), places[1:]
            at = 0
            for piece in one.text.split(","):
                name = piece.strip()
                if name and TEMPLATE not in name:
                    start = at + len(piece) - len(piece.lstrip())
                    while following and following[0][0] <= start:
                        line = following.pop(0)[1]
                    yield Token(name, line)
                at += len(piece) + 1


@dataclass(slots=True, eq=False)
class Object:
    """A definition with all that it inherits. `values` of a directive that is `null` is there, and empty."""

    kind: str
    path: str
    line: int
    excerpt: str
    values: dict[str, Value]
    registered: bool = True
    addresses: list[Token] = field(default_factory=list)
    """A host's addresses: several where a template offers them as alternatives."""

    @property
    def where(self) -> Where:
        return Where(self.line, self.excerpt, self.path)

    def text(self, key: str) -> str:
        """The value of a directive; empty if it is not there or a template fills it in."""
        found = self.values.get(key)
        text = found.text if found else ""
        return "" if TEMPLATE in text else text

    def token(self, key: str) -> Token | None:
        """The value of a directive with its place."""
        found = self.values.get(key)
        token = found.token() if found else None
        return token if token is not None and token.text and TEMPLATE not in token.text else None

    def tokens(self, key: str) -> tuple[Token, ...]:
        """Members of a list."""
        found = self.values.get(key)
        return found.tokens() if found else ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The hosts that an object speaks of, each with the line that brings it in; its groups, and what it leaves out."""

    hosts: Mapping[str, Token]
    groups: tuple[Token, ...]
    excludes: tuple[str, ...]


class Installation:
    """All objects of one Nagios."""

    def __init__(self, definitions: Iterable[tuple[str, Definition]], *, regexp: bool = False) -> None:
        self._regexp = regexp
        self._own: list[tuple[str, Definition]] = list(definitions)
        self._templates: dict[tuple[str, str], tuple[str, Definition]] = {}
        self._resolved: dict[int, dict[str, Value]] = {}
        self.unknown_templates: list[Token] = []
        for path, definition in self._own:
            for key, written in definition.directives:
                if key == "name":
                    self._templates.setdefault((definition.kind, written.text), (path, definition))
        self.objects: dict[str, list[Object]] = {}
        for path, definition in self._own:
            self.objects.setdefault(definition.kind, []).append(self._object(path, definition))
        self.hosts: dict[str, Object] = {}
        for one in self.of("host"):
            if (name := one.text("host_name")) and name not in self.hosts:
                self.hosts[name] = one
        self.groups: dict[str, Object] = {}
        for one in self.of("hostgroup"):
            if name := one.text("hostgroup_name"):
                self.groups.setdefault(name, one)
        self._joined: dict[str, list[tuple[str, Token]]] = {}
        for name, host in self.hosts.items():
            for token in host.tokens("hostgroups"):
                self._joined.setdefault(token.text, []).append((name, token))
        self._members: dict[str, dict[str, Token]] = {}
        self._contact_members: dict[str, tuple[str, ...]] = {}
        self._told: dict[Object, dict[str, Token]] = {}

    def of(self, kind: str) -> list[Object]:
        """The registered objects of a type."""
        return [one for one in self.objects.get(kind, ()) if one.registered]

    # -- inheritance ----------------------------------------------------------------------------------------------

    def _object(self, path: str, definition: Definition) -> Object:
        values = self._inherit(path, definition, ())
        register = next((written.text for key, written in definition.directives if key == "register"), "1")
        excerpts = dict(definition.excerpts)
        line = excerpts.get(definition.line, "")
        made = Object(definition.kind, path, definition.line, line, values, register.strip() != "0")
        own = [written for key, written in definition.directives if key == "address"]
        if own:
            tokens = [Value([(path, one, excerpts)]).token() for one in own]
            made.addresses = [one for one in tokens if one is not None and one.text and TEMPLATE not in one.text]
        elif (token := made.token("address")) is not None:
            made.addresses = [token]
        return made

    def _inherit(self, path: str, definition: Definition, chain: tuple[int, ...]) -> dict[str, Value]:
        known = self._resolved.get(id(definition))
        if known is not None:
            return known
        if id(definition) in chain or len(chain) > DEPTH_LIMIT:
            return {}
        values: dict[str, Value] = {}
        excerpts = dict(definition.excerpts)
        use: Value | None = None
        for key, written in definition.directives:
            if key == "use":
                use = Value([(path, written, excerpts)])
            if key in _OWN:
                continue
            if written.text == "null" and key not in ("contact_name", "contactgroup_name", "hostgroup_name", "members"):
                values[key] = Value([])
            elif written.text.startswith("+"):
                lines = tuple((max(offset - 1, 0), number) for offset, number in written.lines)
                values[key] = Value([(path, Written(written.text[1:], lines), excerpts)], additive=True)
            else:
                values[key] = Value([(path, written, excerpts)])
        for token in use.tokens() if use else ():
            found = self._templates.get((definition.kind, token.text))
            if found is None:
                self.unknown_templates.append(token)
                continue
            for key, value in self._inherit(found[0], found[1], (*chain, id(definition))).items():
                mine = values.get(key)
                if mine is None:
                    values[key] = value
                elif mine.additive and value.written:
                    # What is reached over several templates counts once, or it would double with every rung.
                    once = {id(part[1]): part for part in (*value.written, *mine.written)}
                    values[key] = Value(list(once.values()), value.additive)
        self._resolved[id(definition)] = values
        return values

    # -- hosts ----------------------------------------------------------------------------------------------------

    def members(self, group: str, depth: int = 0) -> Mapping[str, Token]:
        """The hosts of a host group, each with the line that makes it a member."""
        known = self._members.get(group)
        if known is not None:
            return known
        found: dict[str, Token] = {}
        excluded: tuple[str, ...] = ()
        one = self.groups.get(group)
        if one is not None and depth < DEPTH_LIMIT:
            self._members[group] = found
            hosts, excluded = self._listed(one.tokens("members"))
            found.update(hosts)
            for nested in one.tokens("hostgroup_members"):
                for host, token in self.members(nested.text, depth + 1).items():
                    found.setdefault(host, token)
        for host, token in self._joined.get(group, ()):
            found.setdefault(host, token)
        for name in excluded:
            for host in self._matching(name, list(found)):
                found.pop(host, None)
        self._members[group] = found
        return found

    def joined_groups(self) -> Iterable[str]:
        """The host groups that hosts say they are in."""
        return self._joined

    def _listed(self, tokens: Sequence[Token]) -> tuple[dict[str, Token], tuple[str, ...]]:
        """The hosts that a list names, and the names after `!`. A host that is not defined is kept as it is written."""
        found: dict[str, Token] = {}
        excluded = []
        for token in tokens:
            if token.text.startswith("!"):
                excluded.append(token.text[1:].strip())
                continue
            for name in self._matching(token.text, self.hosts):
                found.setdefault(name, token)
        for name in excluded:
            for host in self._matching(name, found):
                found.pop(host, None)
        return found, tuple(dict.fromkeys(excluded))

    def _matching(self, text: str, names: Iterable[str]) -> list[str]:
        if text == "*":
            return list(names)
        if self._regexp and any(character in text for character in "*?+^$|["):
            if not _SAFE_PATTERN.fullmatch(text) or sum(text.count(character) for character in "*+?") > 4:
                return []
            try:
                pattern = re.compile(text)
            except re.error:
                return []
            return [name for name in names if pattern.search(name)]
        return [text]

    def selection(self, one: Object, prefix: str = "") -> Selection:
        """The hosts of `host_name` and `hostgroup_name`, without those after `!`."""
        hosts, excluded = self._listed(one.tokens(f"{prefix}host_name"))
        left_out = [f"{name}" for name in excluded]
        groups: list[Token] = []
        for token in one.tokens(f"{prefix}hostgroup_name"):
            if token.text.startswith("!"):
                left_out.append(token.text[1:].strip())
                for name in self._matching(token.text[1:].strip(), self.groups):
                    excluded = (*excluded, *self.members(name))
                continue
            for name in self._matching(token.text, self.groups):
                groups.append(Token(name, token.where))
                for host, member in self.members(name).items():
                    hosts.setdefault(host, member)
        for name in excluded:
            for host in self._matching(name, list(hosts)):
                hosts.pop(host, None)
        return Selection(hosts, tuple(groups), tuple(dict.fromkeys(left_out)))

    # -- contacts -------------------------------------------------------------------------------------------------

    def contacts(self, one: Object) -> Mapping[str, Token]:
        """The contacts that an object names, itself and through groups, with the line that does."""
        known = self._told.get(one)
        if known is not None:
            return known
        found = self._told[one] = {}
        for token in one.tokens("contacts"):
            if not token.text.startswith("!"):
                found.setdefault(token.text, token)
        for token in one.tokens("contact_groups"):
            if not token.text.startswith("!"):
                for name in self.contact_members(token.text):
                    found.setdefault(name, token)
        for key in ("contacts", "contact_groups"):
            for token in one.tokens(key):
                if token.text.startswith("!"):
                    gone = token.text[1:].strip()
                    for name in (gone,) if key == "contacts" else self.contact_members(gone):
                        found.pop(name, None)
        return found

    def contact_members(self, group: str, depth: int = 0) -> tuple[str, ...]:
        """The contacts of a contact group."""
        known = self._contact_members.get(group)
        if known is not None:
            return known
        found: list[str] = []
        self._contact_members[group] = ()
        for one in self.of("contactgroup"):
            if one.text("contactgroup_name") != group or depth > DEPTH_LIMIT:
                continue
            names = [token.text for token in one.tokens("members")]
            if "*" in names:
                names += [contact.text("contact_name") for contact in self.of("contact")]
            gone = {name[1:].strip() for name in names if name.startswith("!")}
            found += [name for name in names if name not in gone and name != "*" and not name.startswith("!")]
            for nested in one.tokens("contactgroup_members"):
                found += self.contact_members(nested.text, depth + 1)
        for contact in self.of("contact"):
            if group in [token.text for token in contact.tokens("contactgroups")]:
                found.append(contact.text("contact_name"))
        self._contact_members[group] = tuple(dict.fromkeys(name for name in found if name))
        return self._contact_members[group]
