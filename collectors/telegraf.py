"""Telegraf's configuration: where it writes, and what it asks (Telegraf 1.30's plugins)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
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
    without_templates,
)

SIZE_LIMIT: Final = 2 * 1024 * 1024
TARGET_LIMIT: Final = 2_000
"""Hosts of one plugin's table."""

_SUFFIXES: Final = (".conf", ".toml", ".conf.j2", ".toml.j2", ".conf.erb", ".conf.tmpl", ".conf.epp")
_HEAD: Final = re.compile(rb"^\s*#?\s*\[\[?(?:inputs|outputs|agent|global_tags)\b", re.MULTILINE)
_HEADER: Final = re.compile(r"^\s*\[\[(inputs|outputs)\.([\w-]+)\]\]")
# Keys with hosts. Several values of an output are alternatives: one of them is written to.
_OUTPUT_KEYS: Final = ("urls", "url", "servers", "server", "brokers", "address", "host", "domain", "hostname")
_INPUT_KEYS: Final = ("urls", "url", "servers", "server", "sources", "address", "agents", "brokers", "host", "hosts")
# These listen on what their keys say, or name something else than a host.
_NO_HOSTS: Final = frozenset(
    {
        "prometheus_client",
        "health",
        "file",
        "discard",
        "exec",
        "execd",
        "cloudwatch",
        "socket_listener",
        "http_listener",
        "http_listener_v2",
        "influxdb_listener",
        "influxdb_v2_listener",
        "statsd",
        "syslog",
        "tail",
        "docker",
        "procstat",
        "sql",
        "opentelemetry_listener",
        "webhooks",
        "tcp_listener",
        "udp_listener",
        "snmp_trap",
        "netflow",
        "sflow",
    }
)
_DATABASE: Final = re.compile(r"(?:@|^)(?:tcp|udp)\(([\w.:\[\]-]+)\)")
_KEYWORDS: Final = re.compile(r"(?:^|\s)host=([\w.:-]+)(?:.*?\sport=(\d+))?")


class TelegrafCollector(Collector):
    """Telegraf's outputs and the inputs that ask other hosts.

    Reads
    -----
    `telegraf.conf`, `telegraf.d/*.conf` and such files of a repository, as TOML.

    Yields
    ------
    A service "telegraf" which connects to what its outputs write to, and needs it to store; several servers of one
    output are alternatives, as Telegraf writes to one of them. A probe "telegraf <input>/<target>" for each host
    that an input asks (`http_response`, `ping`, `net_response`, databases, SNMP agents, ...).

    Can't see
    ---------
    Values from the environment (`${...}`), and from secret stores.
    """

    name: ClassVar[str] = "telegraf"
    title: ClassVar[str] = "Telegraf: outputs and probes"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.WATCHES, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By a path with "telegraf" in it, a suffix, and a table of Telegraf's in the head."""
        return "telegraf" in path and path.endswith(_SUFFIXES) and _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Outputs and inputs of one file."""
        import tomllib

        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 2 MiB", "scanned for mentions only", whole=True)
            return
        original = decode(document.content).replace("\r\n", "\n")
        text = without_templates(original)
        lines = text.split("\n")
        try:
            config = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
            # A template may be no TOML before it is filled in.
            if text == original:
                found = re.search(r"line (\d+)", str(error))
                number = int(found[1]) if found else 0
                line = lines[number - 1] if 0 < number <= len(lines) else ""
                reason = "not readable as TOML"
                yield Malformed(Where(number, excerpt(line)), reason, "Telegraf does not start", whole=True)
            return
        yield from _facts(config, lines)


def _facts(config: Mapping[str, object], lines: list[str]) -> Iterator[Parsed]:
    service = Ref(Kind.SERVICE, "telegraf")
    places = _Places(lines)
    named = False
    for section, keys in (("outputs", _OUTPUT_KEYS), ("inputs", _INPUT_KEYS)):
        tables = config.get(section)
        for plugin, instances in tables.items() if isinstance(tables, dict) else ():
            if (plugin in _NO_HOSTS and (section, plugin) != ("outputs", "syslog")) or not isinstance(instances, list):
                continue
            for index, instance in enumerate(instances):
                if not isinstance(instance, dict):
                    continue
                targets = list(islice(_targets(instance, keys), TARGET_LIMIT))
                for value, ref in targets:
                    where = places.of(section, plugin, index, value)
                    if not named:
                        named = True
                        yield Entity(service, where, {"program": "telegraf"})
                        yield Dependency(service, THIS_HOST, Relation.RUNS_ON, where)
                    if section == "outputs":
                        group = f"{plugin} {targets[0][1].text}" if len(targets) > 1 else ""
                        yield Dependency(service, ref, Relation.CONNECTS, where, Need.WRITE, group)
                        continue
                    probe = Ref(Kind.PROBE, f"telegraf {plugin}/{ref.text}")
                    yield Entity(probe, where, {"program": "telegraf"})
                    yield Dependency(probe, THIS_HOST, Relation.RUNS_ON, where)
                    yield Dependency(probe, ref, Relation.WATCHES, where)


def _targets(instance: Mapping[str, object], keys: tuple[str, ...]) -> Iterator[tuple[str, Ref]]:
    """The values of a plugin's table that name a host, and the reference each makes."""
    port = instance.get("port")
    for key in keys:
        value = instance.get(key)
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str) or TEMPLATE in one or "$" in one or "@{" in one:
                continue
            ref = _reference(one, port if isinstance(port, int) and key in ("host", "hostname", "server") else None)
            if ref is not None:
                yield one, ref


def _reference(text: str, port: int | None) -> Ref | None:
    if found := _DATABASE.search(text):
        text = found[1]
    elif found := _KEYWORDS.search(text):
        text = f"{found[1]}:{found[2]}" if found[2] else found[1]
    if not text or is_loopback(text) or text.startswith((":", "unix:", "file:", "/", "cert:")):
        return None
    if port is not None and ":" not in text:
        text = f"{text}:{port}"
    return endpoint_ref(text) if ":" in text and host_ref(text) is None else host_ref(text)


class _Places:
    """Finds the lines of values, as TOML's own parser keeps none."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._tables: dict[tuple[str, str], list[int]] = {}
        self._known: dict[int, Where] = {}
        for number, line in enumerate(lines, 1):
            if header := _HEADER.match(line):
                self._tables.setdefault((header[1], header[2]), []).append(number)

    def of(self, section: str, plugin: str, index: int, value: str) -> Where:
        """The first line of a table that has the value, and is no comment."""
        starts = self._tables.get((section, plugin), [])
        start = starts[index] if index < len(starts) else 1
        for number in range(start, min(start + 2000, len(self._lines) + 1)):
            line = self._lines[number - 1]
            if number > start and _HEADER.match(line):
                break
            if value in line and not line.lstrip().startswith("#"):
                return self._where(number)
        return self._where(start)

    def _where(self, number: int) -> Where:
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = Where(number, excerpt(self._lines[number - 1]))
        return known
