"""Icinga 2: the objects that `icinga2 object list` shows, and literal objects of its configuration (Icinga 2.13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
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
)

SIZE_LIMIT: Final = 64 * 1024 * 1024
TARGET_LIMIT: Final = 400_000

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_HEAD: Final = re.compile(rb"^(?:\x1b\[[0-9;]*m)*Object (?:\x1b\[[0-9;]*m)*'[^'\n]+'.{0,12} of type ", re.MULTILINE)
_OBJECT: Final = re.compile(r"Object '(.*)' of type '(\w+)':?\s*")
_DECLARED: Final = re.compile(r"\s*% declared in '([^']+)', lines (\d+):")
_ATTRIBUTE: Final = re.compile(r"( +)\* ([^=\n]+?)(?: = (.*))?")
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")
_LITERAL: Final = re.compile(r"^\s*object\s+(Host|Endpoint|Service|HostGroup)\s+\"([^\"\n]+)\"", re.MULTILINE)
_LITERAL_HEAD: Final = re.compile(rb"^\s*object\s+(?:Host|Endpoint|Service)\s+\"", re.MULTILINE)
_NOISE: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|//[^\n]*|#[^\n]*|/\*.*?\*/|\{\{\{.*?\}\}\}", re.DOTALL)
_SETTING: Final = re.compile(
    r"^\s*(address6?|host|host_name|groups|vars\.\w*address6?|check_command|command_endpoint|port)\s*\+?=\s*(.*?)\s*;?\s*$"
)
_ELSEWHERE: Final = re.compile(r"vars\.\w+_address6?")
_WANTED: Final = frozenset(
    {"Host", "Service", "HostGroup", "Endpoint", "Zone", "User", "Notification", "NotificationCommand"}
)
_SERVICE: Final = Ref(Kind.SERVICE, "icinga2")


@dataclass(slots=True)
class _Object:
    kind: str
    name: str
    line: int
    declared: str = ""
    values: dict[str, tuple[str, int]] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """A literal string; empty for anything else."""
        value = self.values.get(key, ("", 0))[0]
        found = _QUOTED.fullmatch(value)
        return found[1] if found else ""

    def texts(self, key: str) -> list[str]:
        """The strings of an array, or the one string."""
        return [found[1] for found in _QUOTED.finditer(self.values.get(key, ("", 0))[0])]

    def line_of(self, key: str) -> int:
        return self.values.get(key, ("", self.line))[1] or self.line


class Icinga2Collector(Collector):
    """Hosts, services, groups, endpoints and notifications of an Icinga 2.

    Reads
    -----
    What `icinga2 object list` prints (colours or none), captured as a file: every object as the daemon resolved it.
    Of its configuration language only `object Host "..." { address = "..." }` and the like with literal strings.

    Yields
    ------
    An alert "<host>/host" for each host, which watches its addresses, and its host groups with their members. An
    alert for the services that one object or apply rule makes, "<host>/<service>" if it is for one host, which
    watches their hosts, and another host where a variable such as `http_address` names one. Who is notified, by the
    users and user groups of notifications. The service "icinga2" connects to the endpoints of each zone, which are
    alternatives.

    Can't see
    ---------
    What templates, `apply` rules, functions and conditions make: take the object list for those. Members that a group
    takes by `assign where`, which the list does not show. Check commands' arguments beyond variables that end in
    `address`.
    """

    name: ClassVar[str] = "icinga2"
    title: ClassVar[str] = "Icinga 2: object list, and literal objects of its configuration"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.WATCHES,
            Relation.NOTIFIES,
            Relation.MEMBER,
            Relation.CONNECTS,
            Relation.RUNS_ON,
            Relation.CALLS,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """The list by its first line; configuration by its suffix and a literal object in the head."""
        if path.endswith(".conf"):
            return b"object " in head and _LITERAL_HEAD.search(head) is not None
        return head.startswith((b"Object ", b"\x1b[")) and _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The objects of one list, or the literal ones of one configuration file."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 64 MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content).replace("\r\n", "\n")
        if document.path.endswith(".conf"):
            objects = list(_literal(text))
            lines: Sequence[str] = text.split("\n")
        else:
            lines = _COLOURS.sub("", text).split("\n")
            objects = list(_listed(lines))
        yield from _Facts(objects, lines).all()


def _listed(lines: Sequence[str]) -> Iterator[_Object]:
    """Objects of the wanted types; variables are kept as `vars.name`."""
    made: _Object | None = None
    inside = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("Object '"):
            if made is not None:
                yield made
            found = _OBJECT.fullmatch(line)
            made = _Object(found[2], found[1], number) if found and found[2] in _WANTED else None
            inside = ""
        elif made is not None and line.startswith("  "):
            if not made.declared and (declared := _DECLARED.match(line)):
                made.declared = f"{declared[1]}:{declared[2]}"
                continue
            attribute = _ATTRIBUTE.fullmatch(line) if len(line) < 100_000 else None
            if attribute is None:
                continue
            if len(attribute[1]) == 2:
                inside = attribute[2]
                if attribute[3] is not None:
                    made.values[attribute[2]] = (attribute[3], number)
            elif len(attribute[1]) == 4 and inside == "vars" and attribute[3] is not None:
                made.values[f"vars.{attribute[2]}"] = (attribute[3], number)
    if made is not None:
        yield made


def _literal(text: str) -> Iterator[_Object]:
    """Objects with a literal name, and their literal settings."""
    clean = _NOISE.sub(lambda found: found[0] if found[0][0] == '"' else re.sub(r"[^\n]", " ", found[0]), text)
    number, at = 1, 0
    for found in _LITERAL.finditer(clean):
        start = clean.index("object", found.start())
        number += clean.count("\n", at, start)
        at = start
        made = _Object(found[1], found[2], number)
        depth = 0
        line = number
        for raw in clean[start : start + 200_000].split("\n"):
            # Quoted braces are no braces.
            bare = _QUOTED.sub("", raw)
            # What follows the first brace may be all of the object, settings parted by semicolons.
            parts = [raw] if depth else raw.partition("{")[2].rpartition("}")[0].split(";")
            for part in parts if depth <= 1 else ():
                if setting := _SETTING.match(part):
                    made.values.setdefault(setting[1], (setting[2], line))
            depth += bare.count("{") - bare.count("}")
            if depth <= 0 and "}" in bare:
                break
            line += 1
        yield made


class _Facts:
    """Facts of one list of objects."""

    def __init__(self, objects: Iterable[_Object], lines: Sequence[str]) -> None:
        self._lines = lines
        self._of: dict[str, list[_Object]] = {}
        for one in objects:
            self._of.setdefault(one.kind, []).append(one)
        self._hosts = {one.name: one for one in self._of.get("Host", ())}
        self._endpoints = {one.name: one for one in self._of.get("Endpoint", ())}
        self._alerts: dict[str, Ref] = {}
        self._used: dict[str, int] = {f"{name}/host": 1 for name in self._hosts}
        self._left = TARGET_LIMIT

    def _where(self, number: int) -> Where:
        return Where(number, excerpt(self._lines[number - 1]) if 0 < number <= len(self._lines) else "")

    def all(self) -> Iterator[Parsed]:
        for host in self._hosts.values():
            yield from self._host(host)
        checks: dict[tuple[str, str, str], list[_Object]] = {}
        for service in self._of.get("Service", ()):
            name = service.name.rpartition("!")[2]
            checks.setdefault((name, service.declared or str(service.line), service.text("check_command")), []).append(
                service
            )
        for (name, _, _), services in checks.items():
            yield from self._check(name, services)
        yield from self._zones()
        yield from self._notifications()

    def _addresses(self, host: _Object) -> list[tuple[Ref, int]]:
        found = []
        for key in ("address", "address6"):
            ref = host_ref(host.text(key))
            if ref is not None:
                found.append((ref, host.line_of(key)))
        # A host without an address is checked by its agent, which has the host's name.
        nowhere = host.values.get("address", ("", 0))[0] in ("", '""')
        if not found and nowhere and "." in host.name and (ref := host_ref(host.name)) is not None:
            found.append((ref, host.line))
        return found

    def _host(self, host: _Object) -> Iterator[Parsed]:
        alert = self._alerts[host.name] = Ref(Kind.ALERT, f"{host.name}/host")
        where = self._where(host.line)
        yield Entity(alert, where, _attributes(f"host {host.name}", host))
        yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        places = self._addresses(host)
        for ref, number in places:
            yield Dependency(alert, ref, Relation.WATCHES, self._where(number), group="targets")
        for group in host.texts("groups"):
            consumer = Ref(Kind.GROUP, f"icinga hostgroup {group}")
            for ref, _ in places[:1]:
                place = self._where(host.line_of("groups"))
                yield Dependency(consumer, ref, Relation.MEMBER, place, group="members")

    def _check(self, name: str, services: Sequence[_Object]) -> Iterator[Parsed]:
        hosts = {service.text("host_name") or service.name.partition("!")[0]: service for service in services}
        hosts.pop("", None)
        if not hosts:
            return
        first = min(hosts)
        text = f"{first}/{name}" if len(hosts) == 1 else f"{first} and more/{name}"
        # Two rules may make services of one name, and one may be called "host".
        self._used[text] = self._used.get(text, 0) + 1
        if self._used[text] > 1:
            text = f"{text} ({self._used[text]})"
        alert = Ref(Kind.ALERT, text)
        for host in hosts:
            self._alerts[f"{host}!{name}"] = alert
        where = self._where(services[0].line)
        yield Entity(alert, where, _attributes(name, services[0]))
        yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        for host, service in hosts.items():
            if self._left <= 0:
                return
            self._left -= 1
            elsewhere = [key for key in service.values if _ELSEWHERE.fullmatch(key)]
            asked = {
                ref: service.line_of(key)
                for key in elsewhere
                if (ref := host_ref(service.text(key))) is not None and "$" not in service.text(key)
            }
            if not asked and host in self._hosts:
                place = service.line_of("host_name")
                asked = {ref: place for ref, _ in self._addresses(self._hosts[host])}
            elif not asked and (ref := host_ref(host)) is not None:
                asked = {ref: service.line_of("host_name")}
            for asked_ref, number in asked.items():
                yield Dependency(alert, asked_ref, Relation.WATCHES, self._where(number), group="targets")
            endpoint = service.text("command_endpoint")
            through = self._endpoint(endpoint) if endpoint and endpoint != host else None
            if through is not None:
                setting = self._where(service.line_of("command_endpoint"))
                yield Dependency(alert, through, Relation.CONNECTS, setting, Need.RUN)

    def _endpoint(self, name: str) -> Ref | None:
        one = self._endpoints.get(name)
        return host_ref(one.text("host") or name) if one is not None else None

    def _zones(self) -> Iterator[Parsed]:
        zoned: dict[str, str] = {}
        for zone in self._of.get("Zone", ()):
            for endpoint in zone.texts("endpoints"):
                zoned[endpoint] = zone.name
        for name, one in self._endpoints.items():
            host = one.text("host")
            if not host or (ref := host_ref(host)) is None:
                continue
            port = one.text("port") or one.values.get("port", ("", 0))[0]
            shown = f"[{host}]" if ":" in host else host
            target = endpoint_ref(f"{shown}:{port}") if port.isdigit() else ref
            where = self._where(one.line_of("host"))
            yield Entity(_SERVICE, where, {"program": "icinga2"})
            yield Dependency(_SERVICE, THIS_HOST, Relation.RUNS_ON, where)
            group = f"zone {zoned[name]}" if name in zoned else ""
            yield Dependency(_SERVICE, target or ref, Relation.CONNECTS, where, None, group)

    def _notifications(self) -> Iterator[Parsed]:
        groups: dict[str, list[str]] = {}
        for person in self._of.get("User", ()):
            for group in person.texts("groups"):
                groups.setdefault(group, []).append(person.name)
        commands = {one.name: one for one in self._of.get("NotificationCommand", ())}
        told: set[tuple[Ref, str]] = set()
        receivers: set[tuple[str, str]] = set()
        for one in self._of.get("Notification", ()):
            target, service = one.text("host_name"), one.text("service_name")
            alert = self._alerts.get(f"{target}!{service}" if service else target)
            if alert is None:
                continue
            users = [
                *one.texts("users"),
                *(user for of in one.texts("user_groups") for user in groups.get(of, ())),
            ]
            for user in dict.fromkeys(users):
                receiver = Ref(Kind.RECEIVER, user)
                if (alert, user) not in told:
                    told.add((alert, user))
                    yield Dependency(alert, receiver, Relation.NOTIFIES, self._where(one.line))
                command = commands.get(one.text("command"))
                if command is None or (user, command.name) in receivers:
                    continue
                receivers.add((user, command.name))
                program = next(iter(command.texts("command")), "")
                if program.startswith("/"):
                    place = self._where(command.line_of("command"))
                    yield Dependency(receiver, Ref(Kind.PATH, program), Relation.CALLS, place, group="channels")


def _attributes(called: str, one: _Object) -> Mapping[str, Attribute]:
    found: dict[str, Attribute] = {"program": "icinga2", "called": excerpt(called), "watches_absence": True}
    if one.declared:
        found["declared_in"] = one.declared
    return found
