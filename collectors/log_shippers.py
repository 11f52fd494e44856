"""What ships logs and metrics elsewhere: Vector, Fluent Bit, the Beats, Grafana Agent and Alloy, Loki, journal-upload.

Read from the references of Vector 0.50, Fluent Bit 4, Elastic Beats 9, Grafana Agent 0.44, Alloy 1.11, Loki 3 and
systemd-journal-upload(8). promtail is read by the collector of Prometheus, whose keys it shares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import basename
from typing import Any, ClassVar, Final

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
    YamlNode,
    YamlStream,
    decode,
    endpoint_ref,
    excerpt,
    read_yaml,
    without_templates,
)

SIZE_LIMIT: Final = 4 * 1024 * 1024

_TEMPLATES: Final = (".j2", ".jinja2", ".erb", ".epp", ".tmpl", ".tpl", ".ctmpl")
_SUFFIXES: Final = (".conf", ".yaml", ".yml", ".toml", ".json", ".alloy", *_TEMPLATES)
_BEATS: Final = ("filebeat", "metricbeat", "heartbeat", "auditbeat", "packetbeat", "winlogbeat", "journalbeat")
_PROGRAMS: Final = {
    "vector": "vector",
    "fluent-bit": "fluent-bit",
    "fluentbit": "fluent-bit",
    "td-agent-bit": "fluent-bit",
    "journal-upload": "systemd-journal-upload",
    "agent": "grafana-agent",
    "grafana-agent": "grafana-agent",
    "loki": "loki",
    **{beat: beat for beat in _BEATS},
}
_ADDRESSES: Final = ("endpoint", "endpoints", "address", "uri", "url", "host", "hosts", "bootstrap_servers", "servers")
_READERS: Final = frozenset({"prometheus_scrape", "http_client", "nginx_metrics", "apache_metrics", "vector", "kafka"})
_SHARED: Final = {"es": 9200, "opensearch": 9200, "loki": 3100, "forward": 24224, "http": 80, "kafka": 9092}
# Outputs of Fluent Bit that send to a server of our own choice and have 127.0.0.1 as default.
_LOCAL_OUTPUTS: Final = frozenset({"stdout", "null", "file", "counter", "flowcounter", "exit"})


@dataclass(frozen=True, slots=True)
class _Output:
    """One address that something is sent to or fetched from. `group` joins alternatives of one output."""

    address: str
    where: Where
    group: str = ""
    need: Need = Need.WRITE
    port: int = 0


class LogShippersCollector(Collector):
    """Where a host's logs, metrics and events go.

    Reads
    -----
    `vector.yaml`, `.toml` and `.json`; `fluent-bit.conf` and `.yaml`, upstream files; `filebeat.yml` and the other
    Beats; `agent.yaml` of Grafana Agent and `*.alloy`; Loki's own configuration; `journal-upload.conf` with drop-ins.
    By name or directory, below any path.

    Yields
    ------
    One service for each program, which connects to its outputs and needs to write there. Several servers of one
    output are alternatives. Sources that fetch (`prometheus_scrape`, `http_client`) only read. Each monitor of
    Heartbeat is a probe that watches its hosts and URLs. Of Loki the Alertmanager, the object store and the members of
    its ring.

    Can't see
    ---------
    Addresses that variables of the environment fill in, Lua and VRL code, `@INCLUDE` and `config_dir` beyond the files
    themselves, outputs that a fleet manager (Fleet, Alloy's remotecfg) sends later.
    """

    name: ClassVar[str] = "log_shippers"
    title: ClassVar[str] = (
        "Vector, Fluent Bit, Beats, Grafana Agent and Alloy, Loki, journal-upload: where logs are sent"
    )
    # That logs are sent away says nothing of whether anybody is told of anything.
    area: ClassVar[Area] = Area.LOGS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        if not path.endswith(_SUFFIXES):
            return False
        # Parts of all names that count; written out, as this is asked of every file.
        if not (
            "beat" in path
            or "bit" in path
            or "loki" in path
            or "vector" in path
            or "agent" in path
            or "alloy" in path
            or "journal-upload" in path
        ):
            return False
        return _form(path, head) != ""

    def parse(self, document: Document) -> Iterator[Parsed]:
        form = _form(document.path, document.content[:4096])
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 4 MiB", "scanned for mentions only", whole=True)
            return
        program, _, syntax = form.partition(" ")
        found: list[_Output | Parsed] = list(_read(program, syntax, document))
        outputs = [one for one in found if isinstance(one, _Output)]
        yield from (one for one in found if not isinstance(one, _Output))
        if not outputs:
            return
        on_host = document.path.startswith("/")
        service = Ref(Kind.SERVICE, program if on_host else f"{program} in {document.path}")
        yield Entity(service, outputs[0].where, {"program": program, "sends": "logs"})
        if on_host:
            yield Dependency(service, THIS_HOST, Relation.RUNS_ON, outputs[0].where)
        for output in outputs:
            text = output.address.strip()
            if TEMPLATE in text or any(mark in text for mark in ("${", "{{", "<%", "$(", "%{")):
                continue
            ref = endpoint_ref(text)
            if ref is None:
                continue
            if output.port and "://" not in text and not re.search(r":\d+$", ref.text):
                ref = endpoint_ref(f"{ref.text}:{output.port}") or ref
            yield Dependency(service, ref, Relation.CONNECTS, output.where, output.need, group=output.group)


def _form(path: str, head: bytes) -> str:
    """The program and the syntax of a file, such as `vector toml`; empty if it is none of these."""
    name = basename(path)
    stem, _, suffix = name.rpartition(".")
    if f".{suffix}" in _TEMPLATES:
        stem, _, suffix = stem.rpartition(".")
    if suffix == "alloy":
        return "alloy alloy"
    if suffix == "conf":
        if stem == "journal-upload" or "/journal-upload.conf.d/" in path:
            return "systemd-journal-upload ini"
        near = "fluent-bit" in path or "fluentbit" in path or "td-agent-bit" in path
        return (
            "fluent-bit ini" if near and re.search(rb"(?mi)^\s*\[(?:OUTPUT|UPSTREAM)\]|^\s*\[SERVICE\]", head) else ""
        )
    if suffix not in ("yaml", "yml", "toml", "json"):
        return ""
    program = _PROGRAMS.get(stem.lower().removesuffix("-config").removesuffix("-local-config"), "")
    if not program and "/vector/" in f"/{path}" and re.search(rb"(?m)^\[sinks\.|^\"?sinks\"?:|\"sinks\"", head):
        program = "vector"
    if not program and ("/loki/" in path and stem.lower() in ("config", "local-config")):
        program = "loki"
    if not program and re.search(r"fluent-?bit", path, re.I) and re.search(rb"(?m)^pipeline:", head):
        program = "fluent-bit"
    if program == "grafana-agent" and not re.search(
        rb"(?m)^(?:metrics|logs|prometheus|loki|traces|integrations):", head
    ):
        return ""
    if program == "loki" and not re.search(
        rb"(?m)^(?:ruler|schema_config|common|storage_config|ingester|server):", head
    ):
        return ""
    return f"{program} {suffix}" if program else ""


def _read(program: str, syntax: str, document: Document) -> Iterator[_Output | Parsed]:
    text = decode(document.content)
    if syntax == "ini":
        yield from _journal_upload(text) if program == "systemd-journal-upload" else _fluent_bit(text)
        return
    if syntax == "alloy":
        yield from _alloy(text)
        return
    if syntax == "toml":
        yield from _vector_toml(text)
        return
    stream = read_yaml(text)
    if stream.problem is not None and ("{{" in text or "{%" in text or "<%" in text):
        stream = YamlStream(*_again(text, stream))
    if stream.problem is not None:
        what = f"not {'JSON' if syntax == 'json' else 'YAML'}: {stream.problem.reason}"
        yield Malformed(
            stream.where(stream.problem.line), what, f"{program} does not start with it", whole=not stream.documents
        )
    for root in stream.documents:
        if not root.is_map:
            continue
        if program == "vector":
            yield from _vector(root, stream)
        elif program == "fluent-bit":
            outputs = root.at("pipeline", "outputs") or _NOTHING
            for node in outputs.elements:
                if node.is_map:
                    pairs = {key.scalar.lower(): (value.scalar, stream.where(value)) for key, value in node.items()}
                    yield from _fluent_output(pairs, stream.where(node))
        elif program == "grafana-agent":
            yield from _agent(root, stream)
        elif program == "loki":
            yield from _loki(root, stream)
        else:
            yield from _beat(program, root, stream, document.path)


def _again(text: str, stream: YamlStream) -> tuple[Any, ...]:
    readable = read_yaml(without_templates(text))
    return readable.documents, readable.problem, stream.lines


def _texts(node: YamlNode | None, stream: YamlStream) -> Iterator[tuple[str, Where]]:
    """Addresses of a scalar (with commas) or of a list."""
    for one in (node.elements or (node,)) if node is not None else ():
        if one.is_scalar:
            for text in one.scalar.split(","):
                if text.strip():
                    yield text.strip(), stream.where(one)


def _several(addresses: list[tuple[str, Where]], group: str, need: Need = Need.WRITE, port: int = 0) -> list[_Output]:
    """Outputs of one list: more than one are alternatives."""
    name = group if len(addresses) > 1 else ""
    return [_Output(text, where, name, need, port) for text, where in addresses]


def _vector(root: YamlNode, stream: YamlStream) -> Iterator[_Output]:
    for part, need in (("sinks", Need.WRITE), ("sources", Need.READ)):
        for key, node in (root.get(part) or _NOTHING).items():
            if not node.is_map or (part == "sources" and node.text("type") not in _READERS):
                continue
            if node.text("type") == "vector" and part == "sources":
                continue  # it listens
            for wanted in _ADDRESSES:
                addresses = list(_texts(node.get(wanted), stream))
                yield from _several(addresses, f"{part[:-1]} {excerpt(key.scalar)}", need)


def _vector_toml(text: str) -> Iterator[_Output | Parsed]:
    import tomllib

    lines = text.split("\n")
    try:
        root = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = min(int(found[1]) if found else 1, len(lines))
        yield Malformed(
            Where(line, excerpt(lines[line - 1])), f"not TOML: {error}"[:200], "vector does not start", whole=True
        )
        return
    for part, need in (("sinks", Need.WRITE), ("sources", Need.READ)):
        items = root.get(part)
        for name, node in items.items() if isinstance(items, dict) else ():
            kind = node.get("type") if isinstance(node, dict) else None
            if not isinstance(node, dict) or (part == "sources" and (kind not in _READERS or kind == "vector")):
                continue
            for wanted in _ADDRESSES:
                value = node.get(wanted)
                texts = value if isinstance(value, list) else [value]
                addresses = [
                    (one.strip(), _toml_place(lines, part, str(name), one))
                    for whole in texts
                    if isinstance(whole, str)
                    for one in whole.split(",")
                    if one.strip()
                ]
                yield from _several(addresses, f"{part[:-1]} {excerpt(str(name))}", need)


def _toml_place(lines: list[str], part: str, name: str, value: str) -> Where:
    """The line of a value: the first below its table's head that holds it, else the first at all."""
    written = json.dumps(value)[1:-1]
    head = next((n for n, line in enumerate(lines) if line.strip().startswith(f"[{part}.{name}")), 0)
    for start in (head, 0):
        for number in range(start, len(lines)):
            if value in lines[number] or written in lines[number]:
                return Where(number + 1, excerpt(lines[number]))
    return Where(head + 1, excerpt(lines[head]) if lines else "")


_SECTION: Final = re.compile(r"\[\s*([A-Za-z_]+)\s*\]")


def _fluent_bit(text: str) -> Iterator[_Output]:
    """The classic form: sections, and keys with a value after blanks; keys in any case."""
    section, pairs, start = "", dict[str, tuple[str, Where]](), Where(0)
    nodes: list[_Output] = []
    for number, line in enumerate([*text.splitlines(), "[END]"], 1):
        bare = line.strip()
        if found := _SECTION.fullmatch(bare):
            if section == "output":
                yield from _fluent_output(pairs, start)
            elif section == "node" and "host" in pairs:
                port = pairs.get("port", ("", start))[0]
                nodes.append(
                    _Output(pairs["host"][0], pairs["host"][1], "upstream", port=int(port) if port.isdecimal() else 0)
                )
            section, pairs, start = found[1].lower(), {}, Where(number, excerpt(line))
        elif bare and not bare.startswith(("#", "@")):
            key, _, value = bare.partition(" ")
            pairs[key.lower()] = (value.strip(), Where(number, excerpt(line)))
    yield from nodes


def _fluent_output(pairs: dict[str, tuple[str, Where]], where: Where) -> Iterator[_Output]:
    name = pairs.get("name", ("", where))[0].lower()
    if name in _LOCAL_OUTPUTS:
        return
    for key in ("host", "brokers", "endpoint", "uri", "proxy"):
        if key not in pairs or (key == "uri" and "://" not in pairs[key][0]):
            continue
        text, place = pairs[key]
        port = pairs.get("port", ("", where))[0]
        number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else _SHARED.get(name, 0)
        addresses = [(one.strip(), place) for one in text.split(",") if one.strip()]
        need = Need.RUN if key == "proxy" else Need.WRITE
        yield from _several(addresses, f"output {excerpt(name)}", need, number if key == "host" else 0)


def _journal_upload(text: str) -> Iterator[_Output]:
    """`URL=` of [Upload]: the last one counts; port 19532 if it names none."""
    last = None
    for number, line in enumerate(text.splitlines(), 1):
        key, mark, value = line.strip().partition("=")
        if mark and key.strip() == "URL" and value.strip():
            last = _Output(value.strip(), Where(number, excerpt(line)), port=19532)
    if last is not None:
        bare = re.fullmatch(r"(https?://(?:\[[^\]]*\]|[^/:]+))/?", last.address)
        yield _Output(f"{bare[1]}:19532" if bare else last.address, last.where, port=last.port)


_BLOCK: Final = re.compile(r'([a-z_][\w.]*)(?:\s+"[^"]*")?\s*\{')
_SETTING: Final = re.compile(r'(url|endpoint|address|urls|__address__|server)"?\s*=\s*(?:\[\s*)?"([^"]+)"')


def _alloy(text: str) -> Iterator[_Output]:
    """Alloy's blocks: what stands in one of a writer or exporter is sent there, in all others asked for."""
    stack: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if len(line) > 10_000 or bare.startswith("//"):
            continue
        head = _BLOCK.match(bare)
        found = _SETTING.search(bare)
        inside = [*stack, head[1]] if head else stack
        if found and inside:
            outer = inside[0]
            writes = ".write" in outer or "remote_write" in outer or "exporter" in outer
            listens = ".receiver." in outer or outer.startswith(("server", "http", "logging", "loki.source.api"))
            if writes or (not listens and "discovery" not in outer):
                need = Need.WRITE if writes else Need.READ
                yield _Output(found[2], Where(number, excerpt(line)), need=need)
        opened, closed = _braces(bare)
        if head:
            stack.append(head[1])
            opened -= 1
        stack += [""] * max(opened, 0)
        for _ in range(closed):
            if stack:
                stack.pop()
        if len(stack) > 200:
            return


def _braces(line: str) -> tuple[int, int]:
    """Braces that open and close outside strings."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
    return bare.count("{"), bare.count("}")


def _agent(root: YamlNode, stream: YamlStream) -> Iterator[_Output]:
    """Grafana Agent's static mode: every `remote_write` and every client of its logs, wherever it stands."""
    for node in root.walk():
        if not node.is_map:
            continue
        for key in ("remote_write", "clients"):
            for entry in node.children(key):
                if entry.is_map:
                    for text, where in _texts(entry.get("url") or entry.get("endpoint"), stream):
                        yield _Output(text, where)


def _loki(root: YamlNode, stream: YamlStream) -> Iterator[_Output]:
    manager = root.at("ruler", "alertmanager_url")
    yield from _several(list(_texts(manager, stream)), "alertmanagers", Need.RUN)
    members = root.at("memberlist", "join_members")
    yield from _several(list(_texts(members, stream)), "members", Need.RUN)
    for keys in (
        ("frontend", "downstream_url"),
        ("frontend", "tail_proxy_url"),
        ("frontend_worker", "frontend_address"),
        ("compactor_address",),
        ("ruler", "remote_write", "client", "url"),
    ):
        yield from (_Output(text, where, need=Need.RUN) for text, where in _texts(root.at(*keys), stream))
    stores = [
        *(root.at(*keys) for keys in (("common", "storage", "s3", "endpoint"), ("storage_config", "aws", "endpoint"))),
        root.at("storage_config", "aws", "s3"),
        root.at("common", "storage", "swift", "auth_url"),
    ]
    for store in stores:
        for text, where in _texts(store, stream):
            if not text.startswith("s3://") or "@" in text:
                yield _Output(text, where)


def _beat(program: str, root: YamlNode, stream: YamlStream, path: str) -> Iterator[_Output | Parsed]:
    settings = dict(_flat(root, "", 0))
    for key, node in settings.items():
        parts = key.split(".")
        if parts[-1] not in ("hosts", "host", "proxy_url"):
            continue
        proxy = parts[-1] == "proxy_url"
        if parts[0] == "output" or parts[:2] == ["monitoring", "elasticsearch"] or parts[:2] == ["setup", "kibana"]:
            owner = ".".join(parts[:-1])
            enabled = settings.get(f"{owner}.enabled")
            if enabled is not None and enabled.boolean is False:
                continue
            port = {"elasticsearch": 9200, "kibana": 5601, "logstash": 5044, "kafka": 9092, "redis": 6379}.get(
                parts[1], 0
            )
            need = Need.RUN if proxy or parts[0] == "setup" else Need.WRITE
            yield from _several(list(_texts(node, stream)), owner, need, 0 if proxy else port)
    if program == "heartbeat":
        monitors = settings.get("heartbeat.monitors")
        for monitor in monitors.elements if monitors is not None else ():
            if monitor.is_map and (monitor.get("enabled") or _NOTHING).boolean is not False:
                yield from _monitor(monitor, stream, path.startswith("/"))


def _monitor(monitor: YamlNode, stream: YamlStream, on_host: bool) -> Iterator[Parsed]:
    name = excerpt(monitor.text("id") or monitor.text("name"))
    for key in ("urls", "hosts"):
        for text, where in _texts(monitor.get(key), stream):
            ref = endpoint_ref(text)
            if ref is None or TEMPLATE in text or "${" in text:
                continue
            probe = Ref(Kind.PROBE, f"heartbeat {name}/{ref.text}" if name else f"heartbeat/{ref.text}")
            yield Entity(probe, where, {"program": "heartbeat", "target": ref.text})
            yield Dependency(probe, ref, Relation.WATCHES, where, Need.OBSERVE)
            if on_host:
                yield Dependency(probe, THIS_HOST, Relation.RUNS_ON, where)


def _flat(node: YamlNode, prefix: str, depth: int) -> Iterator[tuple[str, YamlNode]]:
    """Settings by their full key: `output.elasticsearch.hosts` may be written as maps, with dots, or mixed."""
    for key, value in node.items():
        full = f"{prefix}{key.scalar}"
        if value.is_map and depth < 10:
            yield from _flat(value, f"{full}.", depth + 1)
        else:
            yield full, value


_NOTHING: Final = YamlNode("map", 0)
