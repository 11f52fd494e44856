"""Icinga 2: the objects that `icinga2 object list` shows or that its REST API gives, and literal objects of its
configuration (Icinga 2.13)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from posixpath import dirname
from typing import ClassVar, Final

from auditor.api import (
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
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_address,
    is_loopback,
    lazy_pattern,
    read_yaml,
    split_endpoint,
)

SIZE_LIMIT: Final = 64 * 1024 * 1024
TARGET_LIMIT: Final = 400_000

_COLOURS: Final = lazy_pattern(r"\x1b\[[0-9;]*m")
_HEAD: Final = lazy_pattern(rb"^(?:\x1b\[[0-9;]*m)*Object (?:\x1b\[[0-9;]*m)*'[^'\n]+'.{0,12} of type ", re.MULTILINE)
_OBJECT: Final = lazy_pattern(r"Object '(.*)' of type '(\w+)':?\s*")
_DECLARED: Final = lazy_pattern(r"\s*% declared in '([^']+)', lines (\d+):")
_ATTRIBUTE: Final = lazy_pattern(r"( +)\* ([^=\n]+?)(?: = (.*))?")
_QUOTED: Final = lazy_pattern(r"\"((?:[^\"\\]|\\.)*)\"")
_LITERAL: Final = lazy_pattern(r"^\s*object\s+(Host|Endpoint|Service|HostGroup)\s+\"([^\"\n]+)\"", re.MULTILINE)
_LITERAL_HEAD: Final = lazy_pattern(rb"^\s*object\s+(?:Host|Endpoint|Service)\s+\"", re.MULTILINE)
_NOISE: Final = lazy_pattern(r"\"(?:[^\"\\\n]|\\.)*\"|//[^\n]*|#[^\n]*|/\*.*?\*/|\{\{\{.*?\}\}\}", re.DOTALL)
_SETTING: Final = lazy_pattern(
    r"^\s*(address6?|host|host_name|groups|vars\.\w*address6?|vars\.\w+_(?:host|hostname|server)|check_command|command_endpoint|port)\s*\+?=\s*(.*?)\s*;?\s*$"
)
_ELSEWHERE: Final = lazy_pattern(r"vars\.\w+_address6?")
# What else the check commands of Icinga's library call it, with the command's own name before it.
_OF_COMMAND: Final = lazy_pattern(r"(?:vars\.)?(\w+)_(?:host|hostname|server)")
_TARGET: Final = lazy_pattern(
    r"-H|-I|--(?:host(?:name)?|address|ip(?:[-_]?address)?|server|target|remote|peer|url)|[a-z]*host", re.IGNORECASE
)
_ASKS_SERVER: Final = lazy_pattern(r"-s|--server")
_URL: Final = lazy_pattern(r"(?:https?|ftps?|ldaps?|wss?|smtps?|imaps?|amqps?|tcp)://[^\s\"'|;<>$]+", re.IGNORECASE)
_WANTED: Final = frozenset(
    {
        *("Host", "Service", "HostGroup", "Endpoint", "Zone", "User"),
        *("Notification", "NotificationCommand", "EventCommand", "CheckCommand", "Downtime"),
    }
)
_INNER: Final = frozenset({"vars", "arguments", "env"})
"""Dictionaries whose values are kept, as `vars.name`."""
_SKIPPED: Final = "skip_key "
"""Stands before an argument's name that is not put into the command line."""
_MACRO: Final = lazy_pattern(r"\$[\w.]+\$")
_ANSWER: Final = lazy_pattern(rb"\s*\{\s*\"results\"\s*:\s*\[")
_SERVER: Final = lazy_pattern(rb"\s*\{\s*\"program\"\s*:\s*\"icinga2\"")
_SERVICE: Final = Ref(Kind.SERVICE, "icinga2")


@dataclass(slots=True)
class _Object:
    kind: str
    name: str
    line: int
    declared: str = ""
    values: dict[str, tuple[str, int]] = field(default_factory=dict)
    shown: Callable[[int], Where] = Where
    """The place of a line."""

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
    """Hosts, services, groups, endpoints, notifications and event commands of an Icinga 2.

    Reads
    -----
    What `icinga2 object list` prints (colours or none), captured as a file: every object as the daemon resolved it.
    Answers of its REST API, `/v1/objects/…`, those in one directory together. Of its configuration language only
    `object Host "..." { address = "..." }` and the like with literal strings.

    Yields
    ------
    An alert "<host>/host" for each host, which watches its addresses, and its host groups with their members. An
    alert for the services that one object or apply rule makes, "<host>/<service>" if it is for one host, which
    watches their hosts, and another host where a variable such as `http_address` or `dns_server` names one, or the
    command line of the check command does; service groups with the hosts of their members. Who is notified, by the
    users and user groups of notifications, and where their commands connect to. Event commands that something has, as
    jobs with what their command lines call. The service "icinga2" connects to the endpoints of each zone, which are
    alternatives. Downtimes of hosts, as the API tells them, as silences.

    Can't see
    ---------
    What templates, `apply` rules, functions and conditions make: take the object list or the API for those. Members
    that a group takes by `assign where`, which the list does not show, and the API does. What macros and functions put
    into a command line.
    """

    name: ClassVar[str] = "icinga2"
    title: ClassVar[str] = "Icinga 2: object list, answers of its API, and literal objects of its configuration"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.WATCHES,
            Relation.NOTIFIES,
            Relation.MEMBER,
            Relation.CONNECTS,
            Relation.RUNS_ON,
            Relation.CALLS,
            Relation.SILENCES,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """The list by its first line, answers by their keys; configuration by a literal object in the head."""
        if path.endswith(".json"):
            return _SERVER.match(head) is not None or (_ANSWER.match(head) is not None and b'"attrs"' in head)
        if path.endswith(".conf"):
            return b"object " in head and _LITERAL_HEAD.search(head) is not None
        return head.startswith((b"Object ", b"\x1b[")) and _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The objects of one list, or the literal ones of one configuration file. Of an answer a fragment."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 64 MiB", "scanned for mentions only", whole=True)
            return
        if document.path.endswith(".json"):
            yield from _answer(read_yaml(document.content))
            return
        text = decode(document.content).replace("\r\n", "\n")
        if document.path.endswith(".conf"):
            objects = list(_literal(text))
            lines: Sequence[str] = text.split("\n")
        else:
            lines = _COLOURS.sub("", text).split("\n")
            objects = list(_listed(lines))

        def shown(number: int) -> Where:
            return Where(number, excerpt(lines[number - 1]) if 0 < number <= len(lines) else "")

        for one in objects:
            one.shown = shown
        yield from _Facts(objects).all()

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The objects of all answers in a directory: a service is in one, its host in another."""
        by_place: dict[str, list[_Object]] = {}
        for fragment in fragments:
            found = by_place.setdefault(dirname(fragment.path), [])
            for one in fragment.value if isinstance(fragment.value, tuple) else ():
                found.append(_restored(one, fragment.path))
        for objects in by_place.values():
            yield from _Facts(objects).all()


@dataclass(frozen=True, slots=True)
class _Answered:
    """An object of an answer: its values as the object list writes them, each with its place."""

    kind: str
    name: str
    declared: str
    where: Where
    values: tuple[tuple[str, str, Where], ...]


def _answer(stream: YamlStream) -> Iterator[Parsed]:
    if stream.problem is not None:
        where = stream.where(min(stream.problem.line, len(stream.lines)))
        yield Malformed(where, excerpt(stream.problem.reason), "scanned for mentions only", not stream.documents)
    for root in stream.documents:
        if not root.is_map:
            continue
        if root.text("program") == "icinga2":
            yield from _server(root, stream)
            continue
        found = tuple(_answered(one, stream) for one in root.children("results") if one.is_map and one.text("name"))
        if kept := tuple(one for one in found if one.kind in _WANTED):
            yield Fragment("objects", kept, kept[0].where)


def _server(root: YamlNode, stream: YamlStream) -> Iterator[Parsed]:
    """Which server was asked, as `auditor collect` notes it."""
    url = root.get("url") or root
    version = root.at("build", "version")
    known: dict[str, Attribute] = {"program": "icinga2"}
    yield Entity(_SERVICE, stream.where(url), known | ({"version": excerpt(version.scalar)} if version else {}))
    parts = split_endpoint(url.scalar)
    host = host_ref(parts.host) if parts is not None else None
    if host is not None and not (is_address(host.text) and host.text.startswith(("127.", "::1"))):
        yield Dependency(_SERVICE, host, Relation.RUNS_ON, stream.where(url), confidence=Confidence.MEDIUM)


def _answered(node: YamlNode, stream: YamlStream) -> _Answered:
    attributes = node.get("attrs")
    values: list[tuple[str, str, Where]] = []
    for key, value in attributes.items() if attributes is not None and attributes.is_map else ():
        inner = value.items() if key.scalar in _INNER and value.is_map else ()
        for name, one in (*((f"{key.scalar}.{name.scalar}", one) for name, one in inner), (key.scalar, value)):
            if one.is_map and name.startswith("arguments."):
                if one.text("skip_key") == "true":
                    values.append((f"{_SKIPPED}{name}", "true", stream.where(one)))
                one = one.get("value") or one
            if one.is_list:
                text = f"[ {', '.join(json.dumps(item.scalar) for item in one.elements if item.is_scalar)} ]"
            elif one.is_scalar and not one.is_null:
                text = json.dumps(one.scalar)
            else:
                continue
            values.append((name, text, stream.where(one)))
    place = attributes.get("source_location") if attributes is not None and attributes.is_map else None
    declared = f"{place.text('path')}:{place.text('first_line')}" if place is not None and place.is_map else ""
    where = stream.where(node.get("name") or node)
    return _Answered(node.text("type"), node.text("name"), excerpt(declared), where, tuple(values))


def _restored(one: _Answered, path: str) -> _Object:
    places = {where.line: replace(where, path=path) for where in (one.where, *(where for _, _, where in one.values))}
    made = _Object(one.kind, one.name, one.where.line, one.declared)
    made.values = {key: (text, where.line) for key, text, where in one.values}
    made.shown = lambda number: places.get(number, places[one.where.line])
    return made


def _listed(lines: Sequence[str]) -> Iterator[_Object]:
    """Objects of the wanted types; variables are kept as `vars.name`, arguments of a command by their values."""
    made: _Object | None = None
    inside = argument = ""
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
            elif len(attribute[1]) == 4 and inside in _INNER:
                argument = f"{inside}.{attribute[2]}"
                if attribute[3] is not None:
                    made.values[argument] = (attribute[3], number)
            elif len(attribute[1]) == 6 and inside == "arguments" and attribute[3]:
                if attribute[2] == "value":
                    made.values[argument] = (attribute[3], number)
                elif (attribute[2], attribute[3]) == ("skip_key", "true"):
                    made.values[f"{_SKIPPED}{argument}"] = (attribute[3], number)
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


def _is_own(ref: Ref) -> bool:
    """Whether a reference is an address that a machine has to itself."""
    return ref.kind is Kind.ADDRESS and not (ref.text.startswith("127.") or ref.text == "::1")


class _Facts:
    """Facts of one list of objects."""

    def __init__(self, objects: Iterable[_Object]) -> None:
        self._of: dict[str, list[_Object]] = {}
        for one in objects:
            self._of.setdefault(one.kind, []).append(one)
        self._hosts = {one.name: one for one in self._of.get("Host", ())}
        self._endpoints = {one.name: one for one in self._of.get("Endpoint", ())}
        self._alerts: dict[str, Ref] = {}
        self._commands = {one.name: one for one in self._of.get("EventCommand", ())}
        self._fixed_of: dict[str, list[tuple[Ref, Where]]] = {}
        self._checks = {one.name: one for one in self._of.get("CheckCommand", ())}
        self._told_commands: set[tuple[str, bool]] = set()
        self._used: dict[str, int] = {f"{name}/host": 1 for name in self._hosts}
        self._left = TARGET_LIMIT

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
        yield from self._downtimes()

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
        where = host.shown(host.line)
        yield Entity(alert, where, _attributes(f"host {host.name}", host))
        yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        places = self._addresses(host)
        full = host_ref(host.name) if "." in host.name else None
        for ref, number in places:
            yield Dependency(alert, ref, Relation.WATCHES, host.shown(number), group="targets")
            if full is not None and full.kind is Kind.NAME and _is_own(ref):
                known: dict[str, Attribute] = {"known_as": (full.text, ref.text)}
                yield Entity(Ref(Kind.HOST, full.text), host.shown(number), known)
        for group in host.texts("groups"):
            consumer = Ref(Kind.GROUP, f"icinga hostgroup {group}")
            for ref, _ in places[:1]:
                place = host.shown(host.line_of("groups"))
                yield Dependency(consumer, ref, Relation.MEMBER, place, group="members")
        yield from self._event(host)

    def _event(self, checked: _Object) -> Iterator[Parsed]:
        """What runs when a host or service changes its state: the daemon runs it, or the agent that checks."""
        command = self._commands.get(checked.text("event_command"))
        if command is None or checked.values.get("enable_event_handler", ("", 0))[0].strip('"') == "false":
            return
        by_agent = bool(checked.text("command_endpoint"))
        if (command.name, by_agent) in self._told_commands:
            return
        self._told_commands.add((command.name, by_agent))
        job = Ref(Kind.JOB, f"icinga event command {excerpt(command.name)}")
        place = command.shown(command.line_of("command"))
        known: dict[str, Attribute] = {"program": "icinga2", "called": excerpt(f"event command {command.name}")}
        yield Entity(job, place, known | {"runs_when": "a check has another result than before"})
        if not by_agent:
            yield Dependency(job, THIS_HOST, Relation.RUNS_ON, place)
        for fact in _called(command, job, place):
            # An agent's files are its own.
            if not by_agent or not fact.provider.kind.is_local:
                yield fact

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
        for service in hosts.values():
            yield from self._event(service)
        where = services[0].shown(services[0].line)
        yield Entity(alert, where, _attributes(name, services[0]))
        yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        for host, service in hosts.items():
            if self._left <= 0:
                return
            self._left -= 1
            by = service.text("check_command")
            elsewhere = [key for key in service.values if _names_target(key, by)]
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
                yield Dependency(alert, asked_ref, Relation.WATCHES, service.shown(number), group="targets")
            for fixed, written in self._fixed(by):
                if fixed not in asked:
                    yield Dependency(alert, fixed, Relation.WATCHES, written, group="targets")
            for group in service.texts("groups"):
                consumer = Ref(Kind.GROUP, f"icinga servicegroup {group}")
                for asked_ref in list(asked)[:1]:
                    shown = service.shown(service.line_of("groups"))
                    yield Dependency(consumer, asked_ref, Relation.MEMBER, shown, group="members")
            endpoint = service.text("command_endpoint")
            through = self._endpoint(endpoint) if endpoint and endpoint != host else None
            if through is not None:
                setting = service.shown(service.line_of("command_endpoint"))
                yield Dependency(alert, through, Relation.CONNECTS, setting, Need.RUN)

    def _fixed(self, name: str) -> list[tuple[Ref, Where]]:
        """Hosts that a check command asks for whatever it checks: they stand in its command line."""
        known = self._fixed_of.get(name)
        if known is None:
            command = self._checks.get(name)
            known = self._fixed_of[name] = list(_literal_hosts(command)) if command is not None else []
        return known

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
            target = endpoint_ref(f"{shown}:{port}") if port.isdecimal() else ref
            where = one.shown(one.line_of("host"))
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
                    yield Dependency(alert, receiver, Relation.NOTIFIES, one.shown(one.line))
                command = commands.get(one.text("command"))
                if command is None or (user, command.name) in receivers:
                    continue
                receivers.add((user, command.name))
                program = next(iter(command.texts("command")), "")
                place = command.shown(command.line_of("command"))
                ways = {
                    replace(fact, relation=Relation.NOTIFIES, need=None, group="channels")
                    for fact in _called(command, receiver, place)
                    if fact.relation is Relation.CONNECTS
                }
                yield from sorted(ways, key=lambda way: way.provider.text)
                if program.startswith("/") and not ways:
                    yield Dependency(receiver, Ref(Kind.PATH, program), Relation.CALLS, place, group="channels")

    def _downtimes(self) -> Iterator[Parsed]:
        """A downtime of a host, or of a service there: nobody is told what happens meanwhile."""
        for one in self._of.get("Downtime", ()):
            name, service = one.text("host_name"), one.text("service_name")
            host = self._hosts.get(name)
            places = self._addresses(host) if host is not None else []
            target = places[0][0] if places else host_ref(name)
            if target is None:
                continue
            what = f"{name}!{service}" if service else name
            silence = Ref(Kind.SILENCE, f"downtime of {excerpt(what)} ({excerpt(one.name.rpartition('!')[2])[:8]})")
            known: dict[str, Attribute] = {"program": "icinga2"}
            for key, attribute in (("author", "created_by"), ("comment", "comment")):
                if said := one.text(key):
                    known[attribute] = excerpt(said)
            for key, attribute in (("start_time", "starts_at"), ("end_time", "ends_at")):
                if when := _moment(one.text(key)):
                    known[attribute] = when
            where = one.shown(one.line_of("host_name"))
            yield Entity(silence, where, known)
            yield Dependency(silence, target, Relation.SILENCES, where, Need.OBSERVE, group="silenced")


def _names_target(key: str, command: str) -> bool:
    """Whether a variable of a service says which host its check asks."""
    found = _OF_COMMAND.fullmatch(key)
    return _ELSEWHERE.fullmatch(key) is not None or (found is not None and found[1] == command.replace("-", "_"))


def _literal_hosts(command: _Object) -> Iterator[tuple[Ref, Where]]:
    """Hosts and URLs that a check command's words and arguments name, without what the daemon puts in."""
    words = [_unescaped(word) for word in command.texts("command")]
    place = command.line_of("command")
    pairs = [(option, word, place) for option, word in zip(("", *words), words, strict=False)]
    pairs += [(*word.partition("=")[::2], place) for word in words if word.startswith("--") and "=" in word]
    for key in command.values:
        if key.startswith("arguments.") and (value := command.text(key)):
            pairs.append((key.removeprefix("arguments."), _unescaped(value), command.line_of(key)))
    # What such a plugin is to look up is no host that it asks.
    asked = _ASKS_SERVER if words and words[0].endswith(("check_dns", "check_dig")) else _TARGET
    seen: set[Ref] = set()
    for option, value, line in pairs:
        if _MACRO.search(value):
            continue
        whole = [value] if asked.fullmatch(option) and ("." in value or ":" in value) and "/" not in value else []
        for text in (*_URL.findall(value), *whole):
            ref = endpoint_ref(text) if "://" in text else host_ref(text)
            if ref is not None and not is_loopback(ref.text) and ref not in seen:
                seen.add(ref)
                yield ref, command.shown(line)


def _called(command: _Object, consumer: Ref, place: Where) -> Iterator[Dependency]:
    """What the command line of a command needs, as far as it stands in it."""
    settings = {key.removeprefix("env."): command.text(key) for key in command.values if key.startswith("env.")}
    known = {key: value for key, value in settings.items() if value and not _MACRO.search(value)}
    for fact in analyse_command(_line(command), consumer, place, environment=known):
        if not isinstance(fact, Dependency):
            continue
        text, macro, _ = fact.provider.text.partition(TEMPLATE)
        if not macro:
            yield fact
            continue
        # Of a URL whose path is made at run time the host stands there.
        parts, provider = split_endpoint(fact.provider.text), endpoint_ref(text)
        if parts is not None and TEMPLATE not in parts.host and provider is not None:
            yield replace(fact, provider=provider)


def _line(command: _Object) -> str:
    """The command line of a command, as sh(1) would read it. What the daemon puts in at run time is unknown."""
    words = [_unescaped(word) for word in command.texts("command")]
    if not command.values.get("command", ("", 0))[0].startswith("["):
        return _MACRO.sub(TEMPLATE, "".join(words))
    for key in command.values:
        if key.startswith("arguments.") and (value := command.text(key)):
            words += [] if f"{_SKIPPED}{key}" in command.values else [key.removeprefix("arguments.")]
            words.append(_unescaped(value))
    return shlex.join(_MACRO.sub(TEMPLATE, word) for word in words)


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _moment(text: str) -> str:
    """Seconds since the epoch as ISO 8601; empty for what is none."""
    try:
        return datetime.fromtimestamp(float(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _attributes(called: str, one: _Object) -> Mapping[str, Attribute]:
    found: dict[str, Attribute] = {"program": "icinga2", "called": excerpt(called), "watches_absence": True}
    if one.declared:
        found["declared_in"] = one.declared
    return found
