"""Docker Compose files: what containers reach outside of the host that runs them.

Sources: the Compose Specification (services, volumes), Docker's documentation of logging drivers; stack files of swarm.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
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
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    excerpt,
    host_ref,
)
from collectors.infrastructure.common import (
    YAML_SUFFIXES,
    bare_path,
    commands,
    known,
    maps,
    mounted,
    outside,
    read_documents,
    registry_of,
    settings,
    step,
    texts,
)

SERVICES_LIMIT: Final = 5_000
"""Services of one file that are read."""

_NAMES: Final = ("compose", "docker-stack", "stack.y", "swarm")
_LOG_ADDRESSES: Final = (
    "syslog-address", "gelf-address", "fluentd-address", "splunk-url", "loki-url", "awslogs-endpoint",
)  # fmt: skip
_ON_NODE: Final = re.compile(r"node\.(?:hostname|id)\s*==\s*([\w.-]+)")
_NFS_ADDRESS: Final = re.compile(r"(?:^|,)addr=([^,\s]+)")


class ComposeCollector(Collector):
    """Services of a Compose file. Services call each other by names that only their own network knows.

    Reads
    -----
    `compose.yaml`, `docker-compose*.yml`, `docker-stack.yml` and files of like names that hold `services`; Jinja
    templates as far as they can be read line by line.

    Yields
    ------
    A service for each entry, which runs on the captured host; registries of images, `extra_hosts`, URLs and hosts in
    `environment`, resolvers, NFS volumes, what commands reach; logging drivers' addresses as services of their own;
    swarm placement on a named node.

    Can't see
    ---------
    Values of `env_file` and `.env` (the mention scan reads them), and on which host a file of a repository is used.
    """

    name: ClassVar[str] = "compose"
    title: ClassVar[str] = "Docker Compose files"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.MOUNTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name, and `services` at the top."""
        if "compose" not in path and "stack" not in path and "swarm" not in path:
            return False
        base = path[path.rfind("/") + 1 :]
        if not any(name in base for name in _NAMES) or not bare_path(base).endswith(YAML_SUFFIXES):
            return False
        return b"services:" in head and b"apiVersion:" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One SERVICE an entry of `services`, and what it needs."""
        stream, problems = read_documents(document, "docker compose refuses the file")
        yield from problems
        for root in stream.documents:
            services = root.get("services") if root.is_map else None
            if services is None or not services.is_map:
                continue
            volumes = _network_volumes(root.get("volumes"))
            for count, (key, entry) in enumerate(services.items()):
                if count >= SERVICES_LIMIT:
                    yield Malformed(stream.where(key), f"more than {SERVICES_LIMIT:,} services: the rest is not read")
                    return
                if entry.is_map and known(key.scalar):
                    yield from _service(stream, document.path, key, entry, volumes)


def _service(
    stream: YamlStream, path: str, key: YamlNode, entry: YamlNode, volumes: Mapping[str, tuple[str, bool, YamlNode]]
) -> Iterator[Parsed]:
    ref = Ref(Kind.SERVICE, f"compose service {key.scalar} in {path}")
    attributes: dict[str, Attribute] = {"software": "compose"}
    image = entry.get("image")
    if image is not None and image.scalar:
        attributes["image"] = excerpt(image.scalar.replace(TEMPLATE, "…"))
    if links := tuple(excerpt(node.scalar) for node in texts(entry, "external_links")):
        attributes["external_links"] = links
    yield Entity(ref, stream.where(key), attributes)
    yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, stream.where(key))
    registry = registry_of(known(image.scalar)) if image is not None else None
    if image is not None and registry is not None:
        yield Dependency(ref, registry, Relation.CONNECTS, stream.where(image))
    yield from settings(ref, _environment(stream, entry.get("environment")))
    for target, node in _extra_hosts(entry.get("extra_hosts")):
        yield Dependency(ref, target, Relation.CONNECTS, stream.where(node), confidence=Confidence.MEDIUM)
    for node in texts(entry, "dns"):
        if (found := outside(node.scalar)) is not None:
            yield Dependency(ref, found, Relation.CONNECTS, stream.where(node), group="resolvers")
    for name in ("entrypoint", "command"):
        words = entry.get(name)
        if words is not None:
            text = words.scalar if words.is_scalar else shlex.join(one.scalar for one in words.elements[:1000])
            yield from commands(text, ref, stream.where(words))
    for name, node in _used_volumes(entry):
        if name in volumes:
            server, read_only, place = volumes[name]
            yield from mounted(ref, server, read_only or node.scalar.endswith(":ro"), stream.where(place))
    for node in texts(step(entry, "deploy", "placement"), "constraints"):
        found_node = _ON_NODE.search(node.scalar)
        machine = host_ref(found_node[1]) if found_node else None
        if machine is not None:
            yield Dependency(ref, machine, Relation.RUNS_ON, stream.where(node))
    yield from _logging(stream, ref, entry.get("logging"))


def _logging(stream: YamlStream, ref: Ref, logging: YamlNode | None) -> Iterator[Parsed]:
    """Where the logs go. A service apart: once it runs, a container does not stop with its log server."""
    options = step(logging, "options")
    if options is None or not options.is_map:
        return
    for key in _LOG_ADDRESSES:
        node = options.get(key)
        found = outside(node.scalar) if node is not None else None
        if node is not None and found is not None:
            log = Ref(Kind.SERVICE, f"{ref.text}: log")
            yield Entity(log, stream.where(node), {"software": "compose"})
            yield Dependency(log, THIS_HOST, Relation.RUNS_ON, stream.where(node))
            yield Dependency(log, found, Relation.CONNECTS, stream.where(node), Need.WRITE)


def _environment(stream: YamlStream, node: YamlNode | None) -> Iterator[tuple[str, str, Where]]:
    """Variables of a map, or of a list of `NAME=value`."""
    if node is None:
        return
    if node.is_map:
        for key, value in node.items():
            if value.is_scalar:
                yield key.scalar, value.scalar, stream.where(value)
    for element in node.elements:
        name, sign, text = element.scalar.partition("=")
        if sign:
            yield name, text, stream.where(element)


def _extra_hosts(node: YamlNode | None) -> Iterator[tuple[Ref, YamlNode]]:
    """Addresses that a container's /etc/hosts gets: `name:address`, `name=address`, or a map."""
    if node is None:
        return
    pairs: list[tuple[str, YamlNode]] = []
    if node.is_map:
        for key, value in node.items():
            if key.scalar:
                pairs.extend((one.scalar, one) for one in (value.elements or (value,)))
    for element in node.elements:
        text = element.scalar
        at = text.find("=") if "=" in text else text.find(":")
        if at > 0:
            pairs.append((text[at + 1 :], element))
    for text, place in pairs:
        found = outside(text.strip("[]"))
        if found is not None and found.kind is Kind.ADDRESS:
            yield found, place


def _network_volumes(volumes: YamlNode | None) -> dict[str, tuple[str, bool, YamlNode]]:
    """Volumes that are NFS or CIFS: their server, whether read-only, and where that is written."""
    found: dict[str, tuple[str, bool, YamlNode]] = {}
    if volumes is None or not volumes.is_map:
        return found
    for key, volume in volumes.items():
        options = step(volume, "driver_opts")
        if options is None or not options.is_map or not options.text("type").startswith(("nfs", "cifs", "smb")):
            continue
        node, device = options.get("o"), options.get("device")
        address = _NFS_ADDRESS.search(node.scalar) if node is not None else None
        if node is not None and address is not None:
            found[key.scalar] = (address[1], "ro" in node.scalar.split(","), node)
        elif device is not None:
            text = device.scalar
            server = text[2:].split("/", 1)[0] if text.startswith("//") else text.partition(":/")[0]
            if server:
                found[key.scalar] = (server, False, device)
    return found


def _used_volumes(entry: YamlNode) -> Iterator[tuple[str, YamlNode]]:
    for node in texts(entry, "volumes"):
        yield node.scalar.partition(":")[0], node
    for volume in maps(entry, "volumes"):
        source = volume.get("source")
        if source is not None:
            yield source.scalar, source
