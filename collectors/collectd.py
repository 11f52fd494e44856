"""collectd's configuration: where it sends values, and what it asks (collectd.conf(5), collectd 5.12)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
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
    is_loopback,
    split_words,
    without_templates,
)

SIZE_LIMIT: Final = 2 * 1024 * 1024
DEPTH_LIMIT: Final = 20

_SUFFIXES: Final = (".conf", ".conf.j2", ".conf.erb", ".conf.epp", ".conf.tmpl")
_HEAD: Final = re.compile(rb"^\s*(?:LoadPlugin\s|<Plugin\s|<LoadPlugin\s)", re.MULTILINE | re.IGNORECASE)
_OPEN: Final = re.compile(r"<(\w+)(?:\s+(.*?))?\s*>")
_CLOSE: Final = re.compile(r"</(\w+)\s*>")
_WRITERS: Final = frozenset(
    {
        "network",
        "write_graphite",
        "write_http",
        "write_riemann",
        "write_tsdb",
        "write_mongodb",
        "write_redis",
        "write_influxdb_udp",
        "write_sensu",
        "amqp",
        "amqp1",
        "write_kafka",
        "mqtt",
        "grpc",
    }
)
_ASKING: Final = frozenset(
    {
        "ping",
        "curl",
        "curl_json",
        "curl_xml",
        "apache",
        "nginx",
        "lighttpd",
        "bind",
        "memcached",
        "mysql",
        "postgresql",
        "redis",
        "mongodb",
        "openldap",
        "snmp",
        "ntpd",
        "chrony",
        "nut",
        "apcups",
        "ipmi",
        "routeros",
        "teamspeak2",
    }
)
_HOST_KEYS: Final = frozenset({"host", "server", "url", "address", "node", "hostname"})


class CollectdCollector(Collector):
    """collectd's network outputs and the plugins that ask other hosts.

    Reads
    -----
    `collectd.conf`, `collectd.d/*.conf` and such files of a repository: the `<Plugin>` blocks of `network`, the
    `write_*` family, AMQP, Kafka and MQTT, and of plugins that ask a host (`ping`, `curl`, databases, SNMP).

    Yields
    ------
    A service "collectd" which connects to each server it sends to, and needs it to store: `network` sends to all of
    its servers. A probe "collectd <plugin>/<target>" for each host that a plugin asks.

    Can't see
    ---------
    What `exec` and `python` plugins do; whether a plugin whose block is there is also loaded elsewhere.
    """

    name: ClassVar[str] = "collectd"
    title: ClassVar[str] = "collectd: network outputs and probes"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.WATCHES, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By a path with "collectd" in it, a suffix, and a plugin's statement in the head."""
        return "collectd" in path and path.endswith(_SUFFIXES) and _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Outputs and probes of one file."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 2 MiB", "scanned for mentions only", whole=True)
            return
        lines = without_templates(decode(document.content)).split("\n")
        service = Ref(Kind.SERVICE, "collectd")
        named = False
        for plugin, target, number in _targets(lines):
            ref = _reference(target)
            if ref is None:
                continue
            where = Where(number, excerpt(lines[number - 1]))
            if not named:
                named = True
                yield Entity(service, where, {"program": "collectd"})
                yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
            if plugin in _WRITERS:
                yield Dependency(service, ref, Relation.CONNECTS, where, Need.WRITE)
                continue
            probe = Ref(Kind.PROBE, f"collectd {plugin}/{ref.text}")
            yield Entity(probe, where, {"program": "collectd"})
            yield Dependency(probe, THIS_HOST, Relation.RUNS_ON, where)
            yield Dependency(probe, ref, Relation.WATCHES, where)


def _targets(lines: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """(plugin, host or URL with port, line) of each server that a block names."""
    blocks: list[tuple[str, list[str]]] = []
    host: tuple[str, int] | None = None
    port = ""
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line[0] == "#":
            continue
        plugin = _plugin(blocks)
        if _CLOSE.match(line):
            if host is not None and plugin:
                yield plugin, _with_port(host[0], port), host[1]
            host, port = None, ""
            if blocks:
                blocks.pop()
            continue
        if opened := _OPEN.match(line):
            name, words = opened[1].lower(), _words(opened[2] or "")
            if host is not None and plugin:
                yield plugin, _with_port(host[0], port), host[1]
                host, port = None, ""
            if len(blocks) >= DEPTH_LIMIT:
                return
            blocks.append((name, words))
            plugin = _plugin(blocks)
            if plugin == "network" and name == "server" and words:
                yield plugin, _with_port(words[0], words[1] if len(words) > 1 else ""), number
            elif plugin in ("curl_json", "curl_xml") and name == "url" and words:
                yield plugin, words[0], number
            continue
        if not plugin:
            continue
        key, *words = _words(line)
        key = key.lower()
        if key == "port" and words:
            port = words[0]
        elif key == "property" and len(words) == 2 and words[0] in ("metadata.broker.list", "bootstrap.servers"):
            for broker in words[1].split(","):
                yield plugin, broker.strip(), number
        elif key == "ups" and plugin == "nut" and words:
            yield plugin, words[0].partition("@")[2], number
        elif key in _HOST_KEYS and words:
            if plugin in ("network", "ping", "write_influxdb_udp"):
                yield plugin, _with_port(words[0], words[1] if len(words) > 1 else ""), number
            else:
                host = (words[0], number)


def _plugin(blocks: Sequence[tuple[str, list[str]]]) -> str:
    """The plugin whose block this is, if it is one that names hosts."""
    if not blocks or blocks[0][0] != "plugin" or not blocks[0][1]:
        return ""
    name = blocks[0][1][0].lower()
    if name in ("network", "amqp") and any(block in ("listen", "subscribe") for block, _ in blocks):
        return ""
    return name if name in _WRITERS or name in _ASKING else ""


def _words(text: str) -> list[str]:
    try:
        return split_words(text, comments=True) or [""]
    except ValueError:
        return text.split() or [""]


def _with_port(host: str, port: str) -> str:
    if not port.isdecimal() or "://" in host:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reference(text: str) -> Ref | None:
    if not text or TEMPLATE in text or is_loopback(text) or text.startswith(("/", "unix:")):
        return None
    return endpoint_ref(text) if ":" in text and host_ref(text) is None else host_ref(text)
