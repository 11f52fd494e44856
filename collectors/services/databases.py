"""Databases that follow others: PostgreSQL 15, MySQL 8 and MariaDB 10, Redis 7 and Sentinel, PgBouncer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Attribute,
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
    without_password,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

_SETTING: Final = re.compile(r"\s*([A-Za-z_.]+)\s*(?:=\s*|\s+)('(?:[^'\\]|\\.|'')*'|[^#\s]+)")
_COMMANDS: Final = ("archive_command", "restore_command", "archive_cleanup_command", "recovery_end_command")
_PLACEHOLDER: Final = re.compile(r"%[pfr]")
_MASTER_INFO_LINES: Final = 40
_SENTINEL_NODES: Final = ("known-replica", "known-slave")
_MYSQL_BASES: Final = ("my.cnf", "mysqld.cnf", "mysql.cnf", "mariadb.cnf", "galera.cnf", ".my.cnf", "server.cnf")


class DatabasesCollector(Collector):
    """Whom a database follows, where it sends its log, and which servers a pooler or client connects to.

    Reads
    -----
    `postgresql.conf`, `postgresql.auto.conf`, `recovery.conf`, `conf.d/*.conf` below a `postgresql` directory,
    `pg_service.conf`, `pgbouncer.ini` and `*.ini` beside it; `my.cnf` and files of `mysql`, `my.cnf.d`,
    `mariadb.conf.d`, `master.info`; `redis*.conf`, `valkey*.conf`, `sentinel*.conf`.

    Yields
    ------
    A standby reads its primary (several hosts of primary_conninfo are alternatives; with the name of its slot there);
    archive and restore commands are services of their own, with what their command lines use; each database of
    PgBouncer and each service of libpq connects to its hosts; a MySQL replica reads its source; a Galera node joins any
    of its cluster's addresses; a Redis replica reads its master, and Sentinel watches a master and its replicas.

    Can't see
    ---------
    What stands inside databases (subscriptions, CHANGE REPLICATION SOURCE without master.info, foreign servers), host
    names in applications' own settings, and passwords, which are never kept.
    """

    name: ClassVar[str] = "databases"
    title: ClassVar[str] = "Replication and pools of PostgreSQL, MySQL and Redis"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if not path.endswith((".conf", ".cnf", ".ini", ".info", ".j2", ".erb", ".tmpl", ".epp", ".in")):
            return False
        return bool(_form(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the database")
        if isinstance(source, Malformed):
            yield source
            return
        read = _READERS[_form(document.path)]
        yield from limited(source, read(source))


def _form(path: str) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    if base in ("postgresql.conf", "postgresql.auto.conf", "recovery.conf") or (
        base.endswith(".conf") and "/conf.d/" in path and "/postgresql/" in path
    ):
        return "postgresql"
    if base == "pgbouncer.ini" or ("/pgbouncer/" in path and base.endswith(".ini")):
        return "pgbouncer"
    if base in ("pg_service.conf", ".pg_service.conf"):
        return "pg_service"
    if base in _MYSQL_BASES or (
        base.endswith(".cnf") and ("/mysql" in path or "/my.cnf.d/" in path or "/mariadb" in path)
    ):
        return "mysql"
    if base == "master.info":
        return "master.info"
    if base.endswith(".conf") and base.startswith(("redis", "valkey", "sentinel")):
        return "redis"
    if base.endswith(".conf") and ("/etc/redis/" in path or "/etc/valkey/" in path):
        return "redis"
    return ""


def _postgresql(source: Source) -> Iterator[Parsed]:
    """The last line of a parameter counts (PostgreSQL 15, section 20.1.2)."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        parts = _SETTING.match(line)
        if parts is None:
            yield Malformed(source.where(number), "no parameter and value", "PostgreSQL does not start with it")
            continue
        value = parts[2]
        if value[:1] == "'":
            value = value[1:-1].replace("''", "'").replace("\\'", "'")
        found[parts[1].lower()] = (value, number)
    if "primary_conninfo" in found:
        value, number = found["primary_conninfo"]
        where = source.where(number, f"primary_conninfo = '{without_password(value)}'")
        slot = found.get("primary_slot_name", ("", 0))[0]
        known: dict[str, Attribute] = {"slot": excerpt(slot)} if slot else {}
        targets = [(one, where) for one in libpq_hosts(value)]
        yield from source.uses("postgresql standby", targets, group="primaries", attributes=known)
    for name in _COMMANDS:
        if name in found and found[name][0].strip():
            value, number = found[name]
            ref, where = source.ref(f"postgresql {name}"), source.where(number)
            command = _PLACEHOLDER.sub("segment", value).replace("%%", "%")
            facts = [fact for fact in analyse_command(command, ref, where) if isinstance(fact, Dependency)]
            if facts:
                yield from source.service(f"postgresql {name}", where)
                yield from facts


def _pgbouncer(source: Source) -> Iterator[Parsed]:
    """The section `databases`; a file that `%include` names may have its entries alone."""
    for setting in sections(source):
        if isinstance(setting, Malformed) or setting.section.lower() not in ("databases", "") or not setting.key:
            continue
        if not setting.section and "host" not in setting.value:
            continue
        if is_templated(setting.value) or is_templated(setting.key):
            continue
        where = source.where(setting.line, f"{setting.key} = {without_password(setting.value)}")
        name = f"pgbouncer database {excerpt(setting.key)}"
        yield from source.uses(name, [(one, where) for one in libpq_hosts(setting.value)], group="servers")


def _pg_service(source: Source) -> Iterator[Parsed]:
    services: dict[str, tuple[dict[str, str], int]] = {}
    for setting in sections(source, comments="#"):
        if isinstance(setting, Malformed) or is_templated(setting.value):
            continue
        values, _ = services.setdefault(setting.section, ({}, setting.line))
        if setting.key in ("host", "hostaddr", "port"):
            values[setting.key] = setting.value
            if setting.key != "port":
                services[setting.section] = (values, setting.line)
    for name, (values, number) in services.items():
        text = " ".join(f"{key}={value}" for key, value in values.items())
        where = source.where(number)
        yield from source.uses(
            f"libpq service {excerpt(name)}", [(one, where) for one in libpq_hosts(text)], group="hosts"
        )


def _mysql(source: Source) -> Iterator[Parsed]:
    ports: dict[str, str] = {}
    hosts: list[tuple[str, str, int]] = []
    for setting in sections(source):
        if isinstance(setting, Malformed) or is_templated(setting.value):
            continue
        key, value = setting.key.replace("-", "_").removeprefix("loose_"), unquoted(setting.value)
        section = setting.section.lower()
        where = source.where(setting.line)
        if key == "port" and value.isdecimal():
            ports[section] = value
        elif key == "host" and value and not section.startswith("mysqld"):
            hosts.append((section, value, setting.line))
        elif key == "master_host" and value:
            yield from source.uses("mysql replica", [(target(value), where)])
        elif key == "wsrep_cluster_address":
            nodes = value.partition("://")[2].split("?")[0].split(",")
            yield from source.uses("galera node", [(_host_port(one), where) for one in nodes if one], group="cluster")
        elif key == "group_replication_group_seeds":
            nodes = value.split(",")
            yield from source.uses("mysql group", [(_host_port(one), where) for one in nodes if one], group="cluster")
    for section, value, number in hosts:
        name = f"mysql client [{excerpt(section)}] of {base_name(source.path)}"
        yield from source.uses(name, [(target(value, ports.get(section, "")), source.where(number))])


def _host_port(text: str) -> Ref | None:
    bare = text.strip()
    host, _, port = bare.rpartition(":") if re.search(r"[^:]:\d+$|\]:\d+$", bare) else (bare, "", "")
    return target(host, port)


def _master_info(source: Source) -> Iterator[Parsed]:
    """Lines by their number: 1 how many there are, 4 the source's host, 7 its port. The password is line 6.

    MySQL's and MariaDB's `master.info` agree so far. A file that begins otherwise is none.
    """
    lines = [line.strip() for line in source.lines[:_MASTER_INFO_LINES]]
    if len(lines) < 7 or not lines[0].isdecimal() or not lines[2].isdecimal():
        yield Malformed(Where(1), "not laid out as master.info", "the replica does not start", whole=True)
        return
    yield from source.uses("mysql replica", [(target(lines[3], lines[6]), Where(4, excerpt(lines[3])))])


def _redis(source: Source) -> Iterator[Parsed]:
    watched: dict[str, _Targets] = {}
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        words = [unquoted(word) for word in line.split()]
        if not words or words[0].startswith("#") or is_templated(line):
            continue
        keyword = words[0].lower()
        if keyword in ("replicaof", "slaveof"):
            where = source.where(number)
            if len(words) != 3:
                yield Malformed(where, f"{keyword} takes a host and a port", "Redis does not start with it")
            elif words[1].lower() != "no":
                name = f"redis replica ({base_name(source.path)})"
                yield from source.uses(name, [(target(words[1], words[2]), where)])
        elif keyword == "sentinel" and len(words) > 4:
            what = words[1].lower()
            if what == "monitor" or what in _SENTINEL_NODES:
                watched.setdefault(words[2], []).append((target(words[3], words[4]), source.where(number)))
    for name, nodes in watched.items():
        title = f"redis sentinel of {excerpt(name)}"
        yield from source.uses(title, nodes, Need.OBSERVE, "nodes", relation=Relation.WATCHES)


_READERS: Final = {
    "postgresql": _postgresql,
    "pgbouncer": _pgbouncer,
    "pg_service": _pg_service,
    "mysql": _mysql,
    "master.info": _master_info,
    "redis": _redis,
}
