"""What the objects of one Nagios mean: alerts with what they watch, host groups, and who is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Kind,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
    normal_address,
    split_words,
)
from collectors.nagios.objects import Installation, Object, Selection, Token

TARGET_LIMIT: Final = 400_000
"""Hosts of all services of one Nagios together."""
LISTED_LIMIT: Final = 20
"""Members of a list that an attribute shows."""

_MACRO: Final = re.compile(r"\$(ARG\d{1,2}|USER\d{1,3}|_?CONTACT\w{1,40})\$")
_URL: Final = re.compile(r"(?:https?|ftps?|ldaps?|wss?|smtps?|imaps?|amqps?|tcp)://[^\s\"'|;<>$]+", re.IGNORECASE)
_HOST_OPTION: Final = re.compile(r"(?:-H|--hostname|--host|-I|--IP-address|-s|--server)(?:=(.+))?")
_ADDRESS_OPTIONS: Final = ("-I", "--IP-address")
# Of these plugins -H is what is asked for, and -s the server that is asked; of the others -s is a string, or a size.
_ASK_SERVER: Final = frozenset({"check_dns"})
_ANYBODY: Final = Ref(Kind.RECEIVER, "")


@dataclass(slots=True)
class Check:
    """One service definition (or several equal services of a cache): one alert."""

    service: Object
    description: str
    selection: Selection
    ref: Ref = field(default_factory=lambda: Ref(Kind.ALERT, ""))


class Facts:
    """Facts of one installation. `caches` are objects as the daemon wrote them, `macros` its resource file's paths,
    `handlers` the event handlers of all hosts and services; None if it runs no event handlers.

    `heard` holds the receivers of each alert, by its name, that other installations of the source have told already.
    The objects of the sources come first, because they are what a person edits; a cache adds what no source has:
    hosts and services of files that were not captured or that a template makes.
    """

    def __init__(
        self,
        installation: Installation,
        caches: Sequence[Installation],
        macros: Mapping[str, str],
        heard: dict[str, set[str]],
        handlers: Sequence[Token] | None,
        *,
        on_host: bool,
    ) -> None:
        self._nagios = installation
        self._caches = caches
        self._macros = macros
        self._heard = heard
        self._handlers = handlers
        self._on_host = on_host
        self._commands: dict[str, Token] = {}
        for one in (installation, *caches):
            for command in one.of("command"):
                line = command.token("command_line")
                if line is not None:
                    self._commands.setdefault(command.text("command_name"), line)
        self._hosts: dict[str, Object] = {}
        for one in (installation, *caches):
            for name, host in one.hosts.items():
                mine = self._hosts.setdefault(name, host)
                if not mine.addresses and "address" in mine.values and host.addresses:
                    mine.addresses = host.addresses
        self._places: dict[str, list[Ref]] = {}
        self._told: dict[str, Ref] = {}
        self._left = TARGET_LIMIT

    def __iter__(self) -> Iterator[Parsed]:
        checks = list(self._checks(self._nagios))
        known: set[tuple[str, str]] = set()
        if self._caches:
            known.update((host, check.description) for check in checks for host in check.selection.hosts)
        for cache in self._caches:
            checks.extend(self._cached_checks(cache, known))
        self._name(checks)
        for name, host in self._hosts.items():
            yield from self._host(name, host)
        for check in checks:
            yield from self._check(check)
        yield from self._groups()
        yield from self._escalations(checks)
        yield from self._receivers()
        yield from self._events(checks)

    # -- hosts and host groups --------------------------------------------------------------------------------------

    def _targets(self, name: str) -> list[Ref]:
        """What Nagios connects to for a host: its address; its name if it has none, or if it is not defined here."""
        known = self._places.get(name)
        if known is not None:
            return known
        host = self._hosts.get(name)
        texts = [token.text for token in host.addresses] if host is not None else []
        found = [host_ref(text) for text in texts or [name]]
        self._places[name] = [ref for ref in found if ref is not None]
        return self._places[name]

    def _sure(self, name: str) -> Confidence:
        return Confidence.HIGH if name in self._hosts else Confidence.MEDIUM

    def _host(self, name: str, host: Object) -> Iterator[Parsed]:
        named = host.token("host_name")
        if named is None or "," in name:
            return
        alert = Ref(Kind.ALERT, f"{name}/host")
        attributes: dict[str, Attribute] = {"program": "nagios", "called": f"host {name}", "watches_absence": True}
        yield Entity(alert, named.where, attributes)
        if parents := host.tokens("parents"):
            known: dict[str, Attribute] = {"parents": tuple(token.text for token in parents[:1000])}
            yield Entity(alert, parents[0].where, known)
        if self._on_host:
            yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, named.where)
        own = [token for token in host.addresses if token.where.path == host.path and token.where.line >= host.line]
        for token in own or [named]:
            for ref in [host_ref(token.text)] if own else self._targets(name):
                if ref is not None:
                    yield Dependency(alert, ref, Relation.WATCHES, token.where, group="targets")
        full = _full_name(name, host.text("alias"))
        for token in own if full else ():
            address = normal_address(token.text)
            if address is not None and not is_loopback(address):
                yield Entity(Ref(Kind.HOST, full), token.where, {"known_as": (full, address)})
        yield from self._notifies(alert, self._nagios.contacts(host))

    def _groups(self) -> Iterator[Parsed]:
        seen: set[str] = set()
        for one in (self._nagios, *self._caches):
            # Hosts may join a group that is defined in a file that was not captured.
            names = dict.fromkeys((*one.groups, *one.joined_groups()))
            for name in names:
                if name in seen or TEMPLATE in name:
                    continue
                seen.add(name)
                group = group_ref(name)
                defined = one.groups.get(name)
                if defined is not None:
                    left_out = [t.text[1:].strip() for t in defined.tokens("members") if t.text.startswith("!")]
                    attributes: dict[str, Attribute] = {"program": "nagios"}
                    if left_out:
                        attributes["excludes"] = tuple(left_out[:1000])
                    where = (defined.token("hostgroup_name") or Token("", defined.where)).where
                    yield Entity(group, where, attributes)
                for host, token in one.members(name).items():
                    if self._left <= 0:
                        return
                    self._left -= 1
                    for ref in self._targets(host)[:1]:
                        yield Dependency(group, ref, Relation.MEMBER, token.where, None, "members", self._sure(host))

    # -- services ---------------------------------------------------------------------------------------------------

    def _checks(self, one: Installation) -> Iterator[Check]:
        for service in one.of("service"):
            if description := service.text("service_description"):
                yield Check(service, description, one.selection(service))

    def _cached_checks(self, cache: Installation, known: set[tuple[str, str]]) -> Iterator[Check]:
        """Services of a cache that are not known yet. It has one for each host: equal ones are one check again."""
        alike: dict[tuple[str, str], dict[str, Token]] = {}
        first: dict[tuple[str, str], Object] = {}
        for service in cache.of("service"):
            description, host = service.text("service_description"), service.token("host_name")
            if host is None or not description or (host.text, description) in known:
                continue
            known.add((host.text, description))
            key = (description, service.text("check_command"))
            first.setdefault(key, service)
            alike.setdefault(key, {})[host.text] = host
        for key, hosts in alike.items():
            yield Check(first[key], key[0], Selection(hosts, (), ()))

    def _name(self, checks: list[Check]) -> None:
        """Gives each check its alert: "<host>/<description>", or with its host groups in the host's place."""
        whole = {
            frozenset(one.members(name)): name for one in (*self._caches, self._nagios) for name in sorted(one.groups)
        }
        used: dict[str, int] = {}
        for check in checks:
            hosts, groups = list(check.selection.hosts), check.selection.groups
            own = check.service.tokens("host_name")
            if groups and not own:
                of = ",".join(token.text for token in groups[:3]) + (" and more" if len(groups) > 3 else "")
            elif len(hosts) == 1:
                of = hosts[0]
            elif len(own) == 1 and (same := whole.get(frozenset(hosts))):
                of = same
            else:
                of = f"{min(hosts)} and more" if hosts else "no host"
            text = f"{of}/{check.description}"
            used[text] = used.get(text, 0) + 1
            check.ref = Ref(Kind.ALERT, text if used[text] == 1 else f"{text} ({used[text]})")

    def _check(self, check: Check) -> Iterator[Parsed]:
        service, selection, alert = check.service, check.selection, check.ref
        if not selection.hosts and not selection.groups:
            return
        place = service.token("service_description")
        where = place.where if place is not None else service.where
        attributes: dict[str, Attribute] = {
            "program": "nagios",
            "called": excerpt(check.description),
            "watches_absence": True,
        }
        if command := service.text("check_command"):
            attributes["check_command"] = excerpt(command.partition("!")[0])
        if selection.excludes:
            attributes["excludes"] = selection.excludes[:1000]
        if servicegroups := service.tokens("servicegroups"):
            attributes["servicegroups"] = tuple(token.text for token in servicegroups[:LISTED_LIMIT])
        yield Entity(alert, where, attributes)
        if self._on_host:
            yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        for token in dict.fromkeys(selection.groups):
            yield Dependency(alert, group_ref(token.text), Relation.SELECTS, token.where, group="hostgroups")
        for host, token in selection.hosts.items():
            if self._left <= 0:
                break
            self._left -= 1
            for ref in self._targets(host):
                yield Dependency(alert, ref, Relation.WATCHES, token.where, None, "targets", self._sure(host))
        for ref, asked in self._asks(service):
            yield Dependency(alert, ref, Relation.WATCHES, asked, None, "targets")
        told = dict(self._nagios.contacts(service))
        if "contacts" not in service.values and "contact_groups" not in service.values:
            for host in selection.hosts:
                if host in self._hosts:
                    for name, token in self._nagios.contacts(self._hosts[host]).items():
                        told.setdefault(name, token)
        yield from self._notifies(alert, told)

    def _asks(self, service: Object) -> Iterator[tuple[Ref, Where]]:
        """What a check asks beyond its own host: a `-H`, an address or a URL in the command with its arguments."""
        check = service.token("check_command")
        if check is None:
            return
        name, *arguments = [part.replace("\x00", "!") for part in check.text.replace("\\!", "\x00").split("!")]
        line = self._commands.get(name.strip())
        if line is None:
            texts, place = arguments, check.where
            found = frozenset(url for text in texts for url in _URL.findall(text))
        else:
            text = self._filled(line.text, arguments)
            used = any(f"$ARG{n}$" in line.text for n in range(1, len(arguments) + 1))
            place = check.where if used else line.where
            found = asked_hosts(text)
        for one in sorted(found):
            ref = endpoint_ref(one) if "://" in one else host_ref(one)
            if ref is not None and not is_loopback(ref.text):
                yield ref, place

    def _filled(self, line: str, arguments: Sequence[str], contact: Object | None = None) -> str:
        """A command line with its arguments, its resource file's paths and a contact's addresses filled in."""

        def value(found: re.Match[str]) -> str:
            macro = found[1]
            if macro.startswith("ARG"):
                number = int(macro[3:])
                return arguments[number - 1].strip() if 0 < number <= len(arguments) else ""
            if macro.startswith("USER"):
                return self._macros.get(macro, found[0])
            if contact is not None:
                known = contact.text(macro.removeprefix("CONTACT").lower()) or contact.text(
                    "_" + macro.removeprefix("_CONTACT")
                )
                return known or found[0]
            return found[0]

        return _MACRO.sub(value, line)

    # -- what runs when a state changes ---------------------------------------------------------------------------

    def _events(self, checks: Sequence[Check]) -> Iterator[Parsed]:
        """Event handlers, each command with its arguments as one job."""
        if self._handlers is None:
            return
        tokens = list(self._handlers)
        for one in (*self._hosts.values(), *(check.service for check in checks)):
            token = one.token("event_handler")
            if token is not None and one.text("event_handler_enabled") != "0":
                tokens.append(token)
        for token in {token.text: token for token in reversed(tokens)}.values():
            name, *arguments = [part.replace("\x00", "!") for part in token.text.replace("\\!", "\x00").split("!")]
            line = self._commands.get(name.strip())
            if line is None or not name.strip() or TEMPLATE in token.text:
                continue
            used = any(f"$ARG{n}$" in line.text for n in range(1, len(arguments) + 1))
            place = token.where if used else line.where
            job = Ref(Kind.JOB, f"nagios event handler {excerpt(token.text)}")
            known: dict[str, Attribute] = {"program": "nagios", "called": excerpt(f"event handler {name.strip()}")}
            yield Entity(job, place, {**known, "runs_when": "a check has another result than before"})
            if self._on_host:
                yield Dependency(job, THIS_HOST, Relation.RUNS_ON, place)
            yield from analyse_command(self._filled(line.text, arguments), job, place)

    # -- who is told --------------------------------------------------------------------------------------------------

    def _notifies(self, alert: Ref, told: Mapping[str, Token]) -> Iterator[Parsed]:
        """Who hears of an alert, each by the first line that says so: escalations say most of it again."""
        heard = self._heard.setdefault(alert.text, set())
        for name, token in told.items():
            receiver = self._told.get(name)
            if receiver is None:
                receiver = self._told[name] = Ref(Kind.RECEIVER, name)
            if name not in heard:
                heard.add(name)
                yield Dependency(alert, receiver, Relation.NOTIFIES, token.where)

    def _escalations(self, checks: Sequence[Check]) -> Iterator[Parsed]:
        """Contacts that hear of a problem only after a while."""
        by_description: dict[str, list[Check]] = {}
        for check in checks:
            by_description.setdefault(check.description, []).append(check)
        for one in (self._nagios, *self._caches):
            for escalation in (*one.of("hostescalation"), *one.of("serviceescalation")):
                told = one.contacts(escalation)
                hosts = one.selection(escalation).hosts
                if not told or not hosts:
                    continue
                if escalation.kind == "hostescalation":
                    for host in hosts:
                        if host in self._hosts:
                            yield from self._notifies(Ref(Kind.ALERT, f"{host}/host"), told)
                    continue
                for token in escalation.tokens("service_description"):
                    of = checks if token.text == "*" else by_description.get(token.text, ())
                    for check in of:
                        if not hosts.keys().isdisjoint(check.selection.hosts):
                            yield from self._notifies(check.ref, told)

    def _receivers(self) -> Iterator[Parsed]:
        """Contacts, and where their notification commands lead."""
        seen: set[str] = set()
        for one in (self._nagios, *self._caches):
            for contact in one.of("contact"):
                name, named = contact.text("contact_name"), contact.token("contact_name")
                if named is None or name in seen or name not in self._told:
                    continue
                seen.add(name)
                receiver = self._told[name]
                yield Entity(receiver, named.where, {"program": "nagios"})
                channels = [
                    list(self._channel(receiver, contact, token))
                    for key in ("host_notification_commands", "service_notification_commands")
                    for token in contact.tokens(key)
                ]
                # Mail and scripts lead where this file does not say: beside them a host is one channel of several.
                hidden = any(not _connects(facts) for facts in channels)
                for fact in dict.fromkeys(fact for facts in channels for fact in facts):
                    among = hidden and (fact.relation is Relation.NOTIFIES or not _connects_with(channels, fact))
                    yield replace(fact, group="channels") if among else fact

    def _channel(self, receiver: Ref, contact: Object, token: Token) -> Iterator[Dependency]:
        name, *arguments = token.text.split("!")
        line = self._commands.get(name.strip())
        if line is None:
            return
        text = self._filled(line.text, arguments, contact)
        for fact in _led_to(text):
            yield replace(fact, consumer=receiver, where=line.where)


@lru_cache(maxsize=1024)
def _led_to(command: str) -> tuple[Dependency, ...]:
    """Where a notification command leads, whoever is told by it."""
    found = []
    for fact in analyse_command(command, _ANYBODY, Where(0)):
        if not isinstance(fact, Dependency):
            continue
        if fact.relation is Relation.CONNECTS:
            found.append(replace(fact, relation=Relation.NOTIFIES))
        elif fact.relation is Relation.CALLS and fact.provider.kind is Kind.PATH:
            found.append(fact)
    return tuple(found)


def _connects(facts: Sequence[Dependency]) -> bool:
    return any(fact.relation is Relation.NOTIFIES for fact in facts)


def _connects_with(channels: Sequence[Sequence[Dependency]], fact: Dependency) -> bool:
    """Whether a program is called by a command that also says where to."""
    return any(_connects(facts) for facts in channels if fact in facts)


def _full_name(name: str, alias: str) -> str:
    """The full name of a host: what Nagios calls it, or its alias if that only adds the domain."""
    for one in (name, alias):
        ref = host_ref(one) if "." in one else None
        if ref is not None and ref.kind is Kind.NAME and ref.text.split(".", 1)[0] == name.split(".", 1)[0].lower():
            return ref.text
    return ""


def group_ref(name: str) -> Ref:
    """A host group. Those of Ansible and others that have the same name are other groups."""
    return Ref(Kind.GROUP, f"nagios hostgroup {name}")


@lru_cache(maxsize=4096)
def asked_hosts(command: str) -> frozenset[str]:
    """Hosts and URLs that a check plugin's command line names. Macros that are known only at run time are left out.

    With an address (`-I`) a web check's `-H` is the name it asks for there, and not where it connects to.
    """
    urls = frozenset(_URL.findall(command))
    try:
        words = split_words(command)
    except ValueError:
        words = command.split()
    if not words or not words[0].rpartition("/")[2].startswith("check"):
        return urls
    plugin = words[0].rpartition("/")[2]
    options: dict[str, str] = {}
    for at, word in enumerate(words[1:], 1):
        matched = _HOST_OPTION.fullmatch(word)
        if matched is not None:
            value = matched[1] or (words[at + 1] if at + 1 < len(words) else "")
            options.setdefault(word.partition("=")[0], value)
        elif word[:2] in ("-H", "-I") and len(word) > 2:
            options.setdefault(word[:2], word[2:])
    address = next((options[option] for option in _ADDRESS_OPTIONS if option in options), None)
    if plugin in _ASK_SERVER:
        asked = options.get("-s") or options.get("--server") or ""
    elif address is not None:
        asked = address
    else:
        asked = options.get("-H") or options.get("--hostname") or options.get("--host") or ""
    if asked and "$" not in asked and not asked.startswith("-") and TEMPLATE not in asked:
        return urls | {asked}
    return urls
