"""Uptime Kuma's backup file (Settings, Backup, of Uptime Kuma 1.23)."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    Parsed,
    Ref,
    Relation,
    YamlNode,
    YamlStream,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
    read_yaml,
)

_HEAD: Final = re.compile(rb"\"(?:notificationList|monitorList)\"\s*:")
_BY_URL: Final = frozenset(
    {"http", "keyword", "json-query", "real-browser", "grpc-keyword", "rabbitmq", "websocket-upgrade"}
)
_BY_HOST: Final = frozenset(
    {"port", "ping", "dns", "mqtt", "radius", "gamedig", "steam", "tailscale-ping", "snmp", "smtp"}
)
_CHANNEL: Final = re.compile(r"(?:url|host|server|homeserver)$", re.IGNORECASE)
_DATABASE: Final = re.compile(r"^(?:postgres|postgresql|mysql|mongodb|redis|rediss)://", re.IGNORECASE)


class UptimeKumaCollector(Collector):
    """Monitors and notifications of an Uptime Kuma.

    Reads
    -----
    The JSON that Uptime Kuma 1 exports as a backup: `monitorList` and `notificationList`.

    Yields
    ------
    An alert "uptime-kuma/<name>" for each active monitor, which watches its URL or host, and notifies the receivers
    that are switched on for it. A receiver leads to the server of its webhook or mail: its scheme, host and port,
    since the rest of such a URL is often a secret.

    Can't see
    ---------
    Monitors that are paused, push monitors (they are called, and call nobody), Docker hosts and proxies. Uptime
    Kuma 2 has no such export.
    """

    name: ClassVar[str] = "uptime_kuma"
    title: ClassVar[str] = "Uptime Kuma: monitors and notifications"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.WATCHES, Relation.NOTIFIES, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """A JSON file with one of the backup's two lists in its head."""
        return path.endswith(".json") and b'List"' in head and _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The monitors and notifications of one backup."""
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(stream.problem.line)
            yield Malformed(where, excerpt(stream.problem.reason), "scanned for mentions only", not stream.documents)
        for root in stream.documents[:1]:
            if root.is_map:
                yield from _backup(stream, root)


def _elements(node: YamlNode | None) -> tuple[YamlNode, ...]:
    return tuple(one for one in node.elements if one.is_map) if node is not None and node.is_list else ()


def _backup(stream: YamlStream, root: YamlNode) -> Iterator[Parsed]:
    receivers: dict[str, Ref] = {}
    for notification in _elements(root.get("notificationList")):
        name = notification.text("name")
        if not name:
            continue
        receiver = receivers[notification.text("id")] = Ref(Kind.RECEIVER, excerpt(name))
        where = stream.where(notification.get("name") or notification)
        yield Entity(receiver, where, {"program": "uptime-kuma"})
        yield Dependency(receiver, THIS_HOST, Relation.RUNS_ON, where)
        config = notification.get("config")
        settings = notification
        if config is not None and config.is_map:
            settings = config
        elif config is not None and config.is_scalar:
            inner = read_yaml(config.scalar).documents
            settings = inner[0] if inner and inner[0].is_map else notification
        place = stream.where(config or notification)
        for ref in _channels(settings):
            yield Dependency(receiver, ref, Relation.NOTIFIES, place)
    for monitor in _elements(root.get("monitorList")):
        name, target = monitor.text("name"), _target(monitor)
        active = monitor.get("active")
        paused = active is not None and (active.boolean is False or active.scalar == "0")
        if not name or target is None or paused:
            continue
        node, ref = target
        alert = Ref(Kind.ALERT, f"uptime-kuma/{excerpt(name)}")
        attributes: dict[str, Attribute] = {
            "program": "uptime-kuma",
            "called": excerpt(name),
            "watches_absence": True,
        }
        where = stream.where(monitor.get("name") or monitor)
        yield Entity(alert, where, attributes)
        yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
        yield Dependency(alert, ref, Relation.WATCHES, stream.where(node), group="targets")
        chosen = monitor.get("notificationIDList")
        for key, value in chosen.items() if chosen is not None and chosen.is_map else ():
            if value.boolean is not False and key.written in receivers:
                yield Dependency(alert, receivers[key.written], Relation.NOTIFIES, stream.where(key))


def _target(monitor: YamlNode) -> tuple[YamlNode, Ref] | None:
    kind = monitor.text("type")
    key = "url" if kind in _BY_URL else "hostname" if kind in _BY_HOST else "databaseConnectionString"
    if kind == "grpc-keyword":
        key = "grpcUrl"
    if kind == "dns":
        key = "dns_resolve_server"
    node = monitor.get(key)
    if node is None or not node.scalar:
        return None
    text = node.scalar
    if key == "databaseConnectionString" and not _DATABASE.match(text):
        return None
    port = monitor.text("port")
    if key == "hostname" and kind in ("port", "mqtt", "radius") and port.isdecimal() and "://" not in text:
        text = f"[{text}]:{port}" if text.count(":") > 1 else f"{text}:{port}"
    if is_loopback(text):
        return None
    ref = endpoint_ref(text) if ":" in text and host_ref(text) is None else host_ref(text)
    return None if ref is None else (node, ref)


def _channels(settings: YamlNode) -> Iterator[Ref]:
    """The servers that a notification is sent to, without paths: those hold tokens."""
    seen = set()
    for key, value in settings.items():
        text = value.scalar if value.is_scalar else ""
        if not text or not _CHANNEL.search(key.written) or is_loopback(text):
            continue
        if "://" in text:
            head, _, rest = text.partition("://")
            text = f"{head}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}"
        elif key.written.lower().endswith("url"):
            continue
        elif key.written == "smtpHost" and settings.text("smtpPort").isdecimal():
            text = f"{text}:{settings.text('smtpPort')}"
        ref = endpoint_ref(text) if ":" in text and host_ref(text) is None else host_ref(text)
        if ref is not None and ref not in seen and ("." in ref.text or ":" in ref.text):
            seen.add(ref)
            yield ref
