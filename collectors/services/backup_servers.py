"""pgBackRest 2.5x, Barman 3, zrepl 0.6, Kopia 0.15 and duply 2.4: backups by programs with a server of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    excerpt,
    read_yaml,
    without_templates,
)
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    libpq_hosts,
    limited,
    read_source,
    sections,
    target,
    unquoted,
    url_target,
    without_password,
)

_REPOSITORY: Final = re.compile(r"repo(\d*)-(?:host|storage-host|s3-endpoint|sftp-host|azure-endpoint|gcs-endpoint)")
_CLUSTER: Final = re.compile(r"pg(\d*)-host")
_ADDRESS: Final = re.compile(r"(\[[^\]]+\]|[^:\s]+):(\d{1,5})")
_TARGET: Final = re.compile(r"\s*(?:export\s+)?TARGET=(.*)")
_BARMAN_COMMANDS: Final = ("ssh_command", "primary_ssh_command")
_BARMAN_STRINGS: Final = (
    "conninfo", "streaming_conninfo", "primary_conninfo", "wal_conninfo", "wal_streaming_conninfo",
)  # fmt: skip
_DUPLICITY: Final = re.compile(
    r"((?:(?:par2|paramiko|pexpect|lftp|ncftp)\+)?(?:fish|ftps?|rsync|scp|sftp|ssh|webdavs?|imaps?|s3(?=://[^/]*[.:]))"
    r"://)([^/]+).*",
    re.IGNORECASE,
)
"""Schemes that name a host: behind the others is a bucket, or a remote of rclone."""
_KOPIA_KEYS: Final = ("host", "endpoint", "url")


class BackupServersCollector(Collector):
    """Backups that a server fetches or takes, and file systems that are replicated.

    Reads
    -----
    `pgbackrest.conf` and its `conf.d`, `barman.conf` and `barman.d/*.conf`, `zrepl.yml`, Kopia's `repository.config`,
    `conf` of duply's profiles.

    Yields
    ------
    A service for each repository, which must be written: pgBackRest's on another host or behind an endpoint, Kopia's,
    duply's, the target of zrepl's push jobs. A service for each cluster that pgBackRest and Barman back up and each job
    of zrepl that pulls, which reads its host; the hosts of one stanza of pgBackRest are alternatives.

    Can't see
    ---------
    Options of the command line, pgBackRest's variables of the environment, how long backups are kept, and whether the
    last run worked. Passwords and keys are never read.
    """

    name: ClassVar[str] = "backup_servers"
    title: ClassVar[str] = "pgBackRest, Barman, zrepl, Kopia and duply"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        return _form(path, head) in _READ and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the backup tool")
        if isinstance(source, Malformed):
            yield source
            return
        read = _READ.get(_form(document.path, document.content[:4096]))
        if read is not None:
            yield from limited(source, read(source))


def _form(path: str, head: bytes) -> str:
    if not any(tool in path for tool in _READ):
        return ""
    base = base_name(path)
    if "zrepl" in path and base.endswith((".yml", ".yaml")):
        return "zrepl" if b"jobs:" in head and b"- hosts:" not in head else ""
    if base == "repository.config" and "kopia" in path:
        return "kopia"
    if is_foreign(path):
        return ""
    if "pgbackrest" in path and base.endswith(".conf"):
        return "pgbackrest"
    if base == "barman.conf" or ("/barman.d/" in path and base.endswith(".conf")):
        return "barman"
    return "duply" if base == "conf" and "duply/" in path else ""


def _pgbackrest(source: Source) -> Iterator[Parsed]:
    """Options of `[global]` hold for all stanzas; `[stanza:command]` is of that stanza (pgBackRest's user guide)."""
    stanzas: dict[str, list[tuple[Ref | None, Where]]] = {}
    for setting in sections(source):
        if isinstance(setting, Malformed) or is_templated(setting.value) or not setting.value:
            continue
        where = source.where(setting.line)
        if found := _REPOSITORY.fullmatch(setting.key):
            place = url_target(unquoted(setting.value))
            yield from source.uses(f"pgbackrest repository {found[1] or '1'}", [(place, where)], Need.WRITE)
        elif _CLUSTER.fullmatch(setting.key):
            stanzas.setdefault(setting.section.partition(":")[0], []).append((target(setting.value), where))
    for stanza, targets in stanzas.items():
        yield from source.uses(f"pgbackrest backup of {excerpt(stanza)}", targets, group="hosts")


def _barman(source: Source) -> Iterator[Parsed]:
    """barman(5): one section a server, which is needed for each of its connections."""
    servers: dict[str, list[tuple[Ref | None, Where]]] = {}
    for setting in sections(source):
        if isinstance(setting, Malformed) or is_templated(setting.value):
            continue
        targets = servers.setdefault(setting.section, [])
        if setting.key in _BARMAN_STRINGS:
            where = source.where(setting.line, f"{setting.key} = {without_password(setting.value)}")
            targets += [(one, where) for one in libpq_hosts(unquoted(setting.value))]
        elif setting.key in _BARMAN_COMMANDS:
            where = source.where(setting.line)
            facts = analyse_command(unquoted(setting.value), source.ref("barman"), where)
            targets += [
                (fact.provider, where)
                for fact in facts
                if isinstance(fact, Dependency) and fact.relation is Relation.CONNECTS
            ]
    for name, targets in servers.items():
        yield from source.uses(f"barman backup of {excerpt(name)}", targets)


def _zrepl(source: Source) -> Iterator[Parsed]:
    """Jobs of type push send to where they connect, those of type pull fetch from there (zrepl's configuration)."""
    stream = read_yaml(without_templates("\n".join(source.lines)))
    if stream.problem is not None:
        where = source.where(min(stream.problem.line, len(source.lines)))
        yield Malformed(where, excerpt(stream.problem.reason), "zrepl refuses the file", whole=not stream.documents)
    root = stream.documents[0] if stream.documents else None
    if root is None or not root.is_map:
        return
    for job in root.children("jobs"):
        connect = job.get("connect") if job.is_map else None
        kind = job.text("type") if job.is_map else ""
        if connect is None or not connect.is_map or kind not in ("push", "pull"):
            continue
        node = connect.get("address") or connect.get("host")
        if node is None or not node.is_scalar:
            continue
        found = _ADDRESS.fullmatch(node.scalar.strip())
        place = target(found[1], found[2]) if found else target(node.scalar)
        need = Need.WRITE if kind == "push" else Need.READ
        name = f"zrepl {kind} job {excerpt(job.text('name'))}"
        yield from source.uses(name, [(place, source.where(node.line))], need)


def _kopia(source: Source) -> Iterator[Parsed]:
    """`storage.config` of sftp, S3 and WebDAV, and `apiServer` of a repository server."""
    text = "\n".join(source.lines)
    try:
        known = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Malformed(Where(1), f"no JSON: {excerpt(str(error))}", "Kopia refuses the file", whole=True)
        return
    if not isinstance(known, dict):
        return
    storage, server = known.get("storage"), known.get("apiServer")
    settings = storage.get("config") if isinstance(storage, dict) else None
    for held in (settings, server):
        if not isinstance(held, dict):
            continue
        for key in _KOPIA_KEYS:
            value = held.get(key)
            if not isinstance(value, str) or not value:
                continue
            number = next((at for at, line in enumerate(source.lines, 1) if f'"{key}"' in line and value in line), 1)
            where = source.where(number, f'"{key}": "{value}"')
            yield from source.uses("kopia repository", [(url_target(value), where)], Need.WRITE)


def _duply(source: Source) -> Iterator[Parsed]:
    """A shell file; TARGET is a URL of duplicity, whose user and password are not shown."""
    profile = source.path.rpartition("/")[0].rpartition("/")[2]
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        if (found := _TARGET.fullmatch(line)) is not None:
            place = unquoted(found[1].partition(" #")[0])
            url = _DUPLICITY.fullmatch(place)
            # `rsync://user@host::/module`
            ref = url_target(url[1] + url[2].rpartition("@")[2].rstrip(":")) if url is not None else None
            yield from source.uses(f"duply repository of {excerpt(profile)}", [(ref, source.where(number))], Need.WRITE)


_READ: Final = MappingProxyType[str, Callable[[Source], Iterator[Parsed]]](
    {"pgbackrest": _pgbackrest, "barman": _barman, "zrepl": _zrepl, "kopia": _kopia, "duply": _duply}
)
