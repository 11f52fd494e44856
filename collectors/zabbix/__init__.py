"""Zabbix exports: hosts, what their items ask, triggers and media types (Zabbix 3.0 to 7.0)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
)
from collectors.zabbix.tree import BadExportError, Export, Item, read_export

_SUFFIXES: Final = (".xml", ".yaml", ".yml", ".json")
_URL: Final = re.compile(r"(?:https?|wss?|ftps?|smtps?|ldaps?)://[^\s\"'<>{}|\\]+", re.IGNORECASE)
_MACRO: Final = re.compile(r"\{[$#A-Z]")
_KEY: Final = re.compile(r"([\w.-]+)\[(.*)\]", re.DOTALL)
_PARAMETERS: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|$)')
# Of each item key: where its host is, and where its port.
_ASKING: Final[Mapping[str, tuple[int, int]]] = {
    "net.tcp.service": (1, 2),
    "net.tcp.service.perf": (1, 2),
    "net.udp.service": (1, 2),
    "net.udp.service.perf": (1, 2),
    "net.tcp.port": (0, 1),
    "net.dns": (0, -1),
    "net.dns.record": (0, -1),
    "net.dns.perf": (0, -1),
    "web.page.get": (0, 2),
    "web.page.perf": (0, 2),
    "web.page.regexp": (0, 2),
    "web.certificate.get": (0, 1),
    "icmpping": (0, -1),
    "icmppingloss": (0, -1),
    "icmppingsec": (0, -1),
    "ssh.run": (1, 2),
    "telnet.run": (1, 2),
    "zabbix.stats": (0, 1),
}
_OLD_HOSTS: Final = re.compile(r"\{([\w .-]{1,128}):[^{}]{1,2000}\.\w+\([^{}]{0,200}\)\}")
_NEW_HOSTS: Final = re.compile(r"\(/([^/()]{1,128})/")


class ZabbixCollector(Collector):
    """Zabbix configuration exports.

    Reads
    -----
    `zabbix_export` in XML, JSON or YAML: hosts with interfaces, groups, items, discovery rules and web scenarios;
    templates' items; triggers over several hosts; media types.

    Yields
    ------
    An alert "<host>/host" for each monitored host, which watches its interfaces, and stands for all its items that ask
    nothing else. A probe "<host or template>/<item>" for each item, and each web scenario, that names another host
    or a URL literally, and an alert for each trigger of such an item. An alert for each trigger over several hosts.
    Host groups with the interfaces of their members. Media types as receivers, with their server.

    Can't see
    ---------
    Macros (`{HOST.CONN}`, `{$URL}`): what they hold is on the host, or set elsewhere. Actions: which media a trigger
    uses is not part of an export. Disabled hosts and items are left out.
    """

    name: ClassVar[str] = "zabbix"
    title: ClassVar[str] = "Zabbix exports: hosts, items that ask others, triggers, media types"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES, Relation.NOTIFIES, Relation.MEMBER})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By a suffix and `zabbix_export` in the head."""
        return path.endswith(_SUFFIXES) and b"zabbix_export" in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """All of one export."""
        try:
            export = read_export(document.content)
        except BadExportError as error:
            where = Where(error.line)
            yield Malformed(where, excerpt(str(error)), "scanned for mentions only", whole=True)
            return
        reader = _Reader(export)
        yield from reader.read()


@dataclass(slots=True)
class _Reader:
    export: Export
    interfaces: dict[str, list[tuple[Ref, Where]]] = field(default_factory=dict)

    def read(self) -> Iterator[Parsed]:
        root = self.export.root
        hosts = [host for host in root.list("hosts") if _enabled(host)]
        for host in hosts:
            yield from self._host(host)
        for owner in (*hosts, *root.list("templates")):
            name = owner.value("host") or owner.value("template")
            for key in ("items", "discovery_rules"):
                for item in owner.list(key):
                    yield from self._item(name, item)
                    for prototype in item.list("item_prototypes"):
                        yield from self._item(name, prototype)
            for scenario in owner.list("httptests"):
                yield from self._scenario(name, scenario)
        for trigger in root.list("triggers"):
            yield from self._trigger(trigger)
        for media in root.list("media_types"):
            yield from self._media(media)

    def _host(self, host: Item) -> Iterator[Parsed]:
        name = host.value("host")
        named = host.get("host")
        if not name or named is None:
            return
        places: list[tuple[Ref, Where]] = []
        for interface in host.list("interfaces"):
            by_name = interface.value("useip").upper() in ("NO", "0")
            item = interface.get("dns" if by_name else "ip")
            ref = host_ref(item.text.strip()) if item is not None and not _MACRO.search(item.text) else None
            if ref is not None and item is not None:
                places.append((ref, self.export.where(item)))
        self.interfaces[name] = places
        if places:
            alert = Ref(Kind.ALERT, f"{name}/host")
            attributes: dict[str, Attribute] = {
                "program": "zabbix",
                "called": excerpt(f"host {host.value('name') or name}"),
                "watches_absence": True,
            }
            if proxy := host.value("proxy", "name"):
                attributes["proxy"] = excerpt(proxy)
            yield Entity(alert, self.export.where(named), attributes)
            for ref, where in places:
                yield Dependency(alert, ref, Relation.WATCHES, where, group="targets")
        for group in host.list("groups"):
            item = group.get("name")
            if item is None or not item.text.strip():
                continue
            for ref, _ in places[:1]:
                consumer = Ref(Kind.GROUP, f"zabbix hostgroup {item.text.strip()}")
                yield Dependency(consumer, ref, Relation.MEMBER, self.export.where(item), group="members")

    def _item(self, owner: str, item: Item) -> Iterator[Parsed]:
        if not _enabled(item):
            return
        found: dict[Ref, Where] = {}
        url = item.get("url")
        if url is not None and (ref := _literal(url.text)):
            found[ref] = self.export.where(url)
        key = item.get("key")
        if key is not None and (ref := _asked(key.text)):
            found[ref] = self.export.where(key)
        if not found:
            return
        named = item.get("name") or item
        probe = Ref(Kind.PROBE, f"{owner}/{named.text.strip() or item.value('key')}")
        yield Entity(probe, self.export.where(named), {"program": "zabbix"})
        for ref, where in found.items():
            yield Dependency(probe, ref, Relation.WATCHES, where, group="targets")
        yield from self._triggers(owner, item, probe)

    def _triggers(self, owner: str, item: Item, probe: Ref) -> Iterator[Parsed]:
        for trigger in (*item.list("triggers"), *item.list("trigger_prototypes")):
            title = trigger.get("name")
            if title is None or not _enabled(trigger):
                continue
            alert = Ref(Kind.ALERT, f"{owner}/{title.text.strip()}")
            where = self.export.where(title)
            yield Entity(alert, where, _of_trigger(title))
            yield Dependency(alert, probe, Relation.WATCHES, where)

    def _scenario(self, owner: str, scenario: Item) -> Iterator[Parsed]:
        if not _enabled(scenario):
            return
        named = scenario.get("name") or scenario
        probe = Ref(Kind.PROBE, f"{owner}/{named.text.strip()}")
        seen: set[Ref] = set()
        for step in scenario.list("steps"):
            url = step.get("url")
            ref = _literal(url.text) if url is not None else None
            if ref is None or url is None or ref in seen:
                continue
            if not seen:
                yield Entity(probe, self.export.where(named), {"program": "zabbix"})
            seen.add(ref)
            yield Dependency(probe, ref, Relation.WATCHES, self.export.where(url), group="targets")

    def _trigger(self, trigger: Item) -> Iterator[Parsed]:
        """A trigger of its own, over the items of several hosts."""
        title, expression = trigger.get("name"), trigger.value("expression")
        if title is None or not _enabled(trigger):
            return
        hosts = dict.fromkeys((*_OLD_HOSTS.findall(expression[:20_000]), *_NEW_HOSTS.findall(expression[:20_000])))
        places = [place for host in hosts for place in self.interfaces.get(host, ())]
        if len(hosts) < 2 or not places:
            return
        alert = Ref(Kind.ALERT, f"zabbix/{title.text.strip()}")
        item = trigger.get("expression") or title
        yield Entity(alert, self.export.where(title), _of_trigger(title))
        for ref in dict.fromkeys(ref for ref, _ in places):
            yield Dependency(alert, ref, Relation.WATCHES, self.export.where(item), group="targets")

    def _media(self, media: Item) -> Iterator[Parsed]:
        named = media.get("name") or media.get("description")
        if named is None or not named.text.strip() or not _enabled(media):
            return
        receiver = Ref(Kind.RECEIVER, named.text.strip())
        targets: list[tuple[Ref, Where]] = []
        server = media.get("smtp_server")
        if server is not None and (ref := host_ref(server.text.strip())) and not is_loopback(ref.text):
            port = media.value("smtp_port")
            made = endpoint_ref(f"{ref.text}:{port}") if port.isdecimal() and ":" not in ref.text else ref
            targets.append((made or ref, self.export.where(server)))
        for parameter in media.list("parameters"):
            value = parameter.get("value")
            # Of a webhook only where it is: the path may be a secret.
            if value is not None and (found := _URL.fullmatch(value.text.strip())):
                ref = endpoint_ref("/".join(found[0].split("/", 3)[:3]))
                if ref is not None and not is_loopback(ref.text):
                    targets.append((ref, self.export.where(value)))
        if targets:
            yield Entity(receiver, self.export.where(named), {"program": "zabbix"})
        for ref, where in dict.fromkeys(targets):
            yield Dependency(receiver, ref, Relation.NOTIFIES, where)


def _enabled(item: Item) -> bool:
    return item.value("status").upper() not in ("DISABLED", "1")


def _of_trigger(title: Item) -> dict[str, Attribute]:
    return {"program": "zabbix", "called": excerpt(title.text.strip()), "watches_absence": True}


def _literal(text: str) -> Ref | None:
    """The URL of an item, if its host is written literally."""
    text = text.strip()
    if "://" not in text or _MACRO.search(text.split("/", 3)[2] if text.count("/") >= 2 else text):
        return None
    if is_loopback(text):
        return None
    return endpoint_ref(text.split("{", 1)[0])


def _asked(key: str) -> Ref | None:
    """The host that a simple check's or an agent's item asks, if it is written literally."""
    found = _KEY.fullmatch(key.strip()[:4000])
    if found is None or found[1] not in _ASKING:
        return None
    at, port_at = _ASKING[found[1]]
    values = []
    for parameter in _PARAMETERS.finditer(found[2]):
        values.append((parameter[1] if parameter[1] is not None else parameter[2] or "").strip())
        if len(values) > 8:
            break
    host = values[at] if at < len(values) else ""
    port = values[port_at] if 0 <= port_at < len(values) else ""
    if not host or "{" in host or is_loopback(host):
        return None
    if "://" in host:
        return endpoint_ref(host)
    ref = host_ref(host)
    if ref is None or not port.isdecimal():
        return ref
    return endpoint_ref(f"[{ref.text}]:{port}" if ":" in ref.text else f"{ref.text}:{port}")
