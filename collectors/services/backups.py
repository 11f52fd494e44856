"""Backup tools: borgmatic 1.7, restic 0.15 and resticprofile, rsnapshot 1.4, Bacula 9.6 and Bareos 21."""

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
    Entity,
    Filler,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    analyse_command,
    excerpt,
    read_yaml,
    without_templates,
)
from collectors.services.blocks import Statement, read_blocks
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    read_source,
    target,
    unquoted,
    url_target,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

_REMOTE: Final = re.compile(r"(?:[^@\s/]+@)?(\[[^\]]+\]|[A-Za-z0-9_][\w.-]*)::?(?!//)(\S*)")
_RSYNC_URL: Final = re.compile(r"rsync://(?:[^@/\s]+@)?([^/:\s]+)(?::(\d+))?/")
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(RESTIC_REPOSITORY\d?|BORG_REPO)=(.*)")
_FILLED_IN: Final = 1 << 16
"""Characters of constants that are filled in, in one file."""
_CONSTANT: Final = re.compile(r"\{(\w+)\}")
_PLACEHOLDER: Final = re.compile(r"\{(?:hostname|fqdn|reverse-fqdn|user)\}")
_HOOKS: Final = (
    "before_actions", "before_backup", "after_backup", "on_error", "after_actions", "before_everything",
    "after_everything", "before_prune", "after_prune", "before_check", "after_check",
)  # fmt: skip
_PINGS: Final = ("healthchecks", "cronitor", "cronhub", "uptime_kuma", "ntfy", "zabbix", "loki", "apprise")
_PING_KEYS: Final = ("ping_url", "push_url", "server", "url")
_DATABASES: Final = ("postgresql_databases", "mysql_databases", "mariadb_databases", "mongodb_databases")
_UNITS: Final = ("hourly", "daily", "weekly", "monthly", "yearly")
_FIELDS: Final = frozenset({"backup", "backup_script", "backup_exec", "snapshot_root"})
_COMMANDS: Final = ("cmd_preexec", "cmd_postexec")
_RESOURCES: Final = frozenset({"director", "storage", "client", "filedaemon", "job", "jobdefs", "device", "pool"})


class BackupsCollector(Collector):
    """What is backed up from where, and where it is kept.

    Reads
    -----
    borgmatic's YAML, files with RESTIC_REPOSITORY or BORG_REPO in directories of these tools, `profiles.yaml` of
    resticprofile, `rsnapshot.conf`, resources of Bacula and Bareos (`bacula-*.conf`, `bareos-*.d/**/*.conf`,
    `bconsole.conf`).

    Yields
    ------
    A service for each job and repository. A job that fetches from a host reads it; a repository on a host must be
    writable. Each repository of borgmatic is needed, as all get every archive. A Bacula job uses its client and its
    storage. How many backups borgmatic and rsnapshot keep (`retention`). Hooks as calls, databases as reads, and pings
    of watchdogs as connections of their own.

    Can't see
    ---------
    Repositories named only on a command line (the script's own facts have them), credentials, how long others keep
    backups, whether the last run worked, and Bacula's resources that `@` files or programs bring.
    """

    name: ClassVar[str] = "backups"
    title: ClassVar[str] = "Backup jobs and repositories"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.CONNECTS, Relation.WRITES, Relation.READS, Relation.CALLS}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        for word in ("borg", "restic", "rsnapshot", "bacula", "bareos", "bconsole"):
            if word in path:
                return bool(_form(path, head)) and b"\x00" not in head[:512]
        return False

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the backup tool")
        if isinstance(source, Malformed):
            yield source
            return
        form = _form(document.path, document.content[:4096])
        read = {"borgmatic": _borgmatic, "profiles": _profiles, "rsnapshot": _rsnapshot, "bacula": _bacula}
        yield from limited(source, read.get(form, _environment)(source))


def _form(path: str, head: bytes) -> str:
    base = base_name(path)
    if "borgmatic" in path and base.endswith((".yaml", ".yml")):
        # Roles and playbooks about borgmatic are not its configuration.
        named = base in ("config.yaml", "borgmatic.yaml", "config.yml") or "/borgmatic.d/" in path
        return "borgmatic" if named and b"repositories:" in head and b"- hosts:" not in head else ""
    if base in ("profiles.yaml", "profiles.yml") and "restic" in path:
        return "profiles"
    if is_foreign(path) or head.startswith(b"#!"):
        return ""
    if base.startswith("rsnapshot") and base.endswith(".conf"):
        return "rsnapshot"
    if base == "bconsole.conf" or (base.startswith(("bacula-", "bareos-")) and base.endswith(".conf")):
        return "bacula"
    if ("/bacula/" in path or "/bareos/" in path or "bareos-dir.d/" in path) and base.endswith(".conf"):
        return "bacula"
    if b"RESTIC_REPOSITORY" in head or b"BORG_REPO" in head:
        return "environment"
    return ""


def _repository(text: str) -> Ref | None:
    """The host of a repository of borg or restic; None for one on a local disk or behind a name of a bucket.

    restic: `sftp:user@host:/path`, `sftp://host/`, `rest:https://host/`, `s3:https://host/bucket`; borg:
    `ssh://user@host:port/path`, `user@host:path`.
    """
    bare = unquoted(text)
    if is_templated(bare) or "$" in bare:
        return None
    for prefix in ("sftp:", "rest:", "s3:", "swift:", "azure:", "gs:", "b2:", "rclone:"):
        if bare.startswith(prefix) and not bare.startswith(f"{prefix}//"):
            bare = bare[len(prefix) :]
            if prefix in ("swift:", "azure:", "gs:", "b2:", "rclone:"):
                return None
            if prefix == "s3:" and "://" not in bare:
                return target(bare.split("/", 1)[0])
            break
    if "://" in bare:
        return None if bare.startswith("file:") else url_target(bare)
    if bare.startswith(("/", "~", ".")):
        return None
    found = _REMOTE.fullmatch(bare)
    return target(found[1]) if found else None


def _environment(source: Source) -> Iterator[Parsed]:
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        found = _ASSIGNMENT.fullmatch(line)
        if found is None:
            continue
        tool = "restic" if found[1].startswith("RESTIC") else "borg"
        repository = (_repository(found[2]), source.where(number))
        yield from source.uses(f"{tool} repository of {base_name(source.path)}", [repository], Need.WRITE)


def _yaml(source: Source, facts: list[Malformed]) -> YamlNode | None:
    stream = read_yaml(without_templates("\n".join(source.lines)))
    if stream.problem is not None:
        where = source.where(min(stream.problem.line, len(source.lines)))
        reason = excerpt(stream.problem.reason)
        facts.append(Malformed(where, reason, "the tool refuses the file", whole=not stream.documents))
    root = stream.documents[0] if stream.documents else None
    return root if root is not None and root.is_map else None


def _borgmatic(source: Source) -> Iterator[Parsed]:
    """Sections `location`, `hooks` and so on of old files are one level above today's keys."""
    bad: list[Malformed] = []
    root = _yaml(source, bad)
    yield from bad
    if root is None:
        return
    job = f"borgmatic {base_name(source.path)}"
    constants = root.get("constants")
    pairs = constants.items() if constants is not None and constants.is_map else ()
    values = {name.scalar: value.scalar for name, value in pairs if value.is_scalar}
    filler = Filler(_CONSTANT, _FILLED_IN)
    old = ("location", "hooks", "retention")
    holders = [root, *(node for key in old if (node := root.get(key)) is not None and node.is_map)]
    kept = tuple(
        excerpt(f"{node.scalar} {unit}")
        for unit in _UNITS
        for holder in holders
        if (node := holder.get(f"keep_{unit}")) is not None and node.scalar.isdecimal()
    )
    known: dict[str, Attribute] = {"retention": kept} if kept else {}
    commands: list[tuple[str, Where]] = []
    for holder in holders:
        for one in holder.children("repositories"):
            node = one.get("path") if one.is_map else one
            if node is not None and node.is_scalar:
                text = filler.fill(node.scalar, lambda found: values.get(found[1]))
                repository = (_repository(_without_placeholders(text)), source.where(node.line))
                name = f"{job}: repository {_shown(text)}"
                yield from source.uses(name, [repository], Need.WRITE, attributes=known)
        for key in _PINGS:
            ping = holder.get(key)
            nodes = [ping.get(name) for name in _PING_KEYS] if ping is not None and ping.is_map else [ping]
            for node in nodes:
                if node is not None and node.is_scalar and "://" in node.scalar:
                    targets: _Targets = [(url_target(node.scalar), source.where(node.line, _shown(node.scalar)))]
                    yield from source.uses(f"{job}: {key}", targets, Need.WRITE)
        for key in _DATABASES:
            for one in holder.children(key):
                host = one.get("hostname") if one.is_map else None
                if host is not None:
                    targets = [(target(host.scalar, one.text("port")), source.where(host.line))]
                    yield from source.uses(f"{job}: {key} {excerpt(one.text('name'))}", targets)
        for key in _HOOKS:
            commands += [(one.scalar, source.where(one.line)) for one in holder.children(key) if one.is_scalar]
    calls: list[Parsed] = []
    for command, where in commands:
        calls += [one for one in analyse_command(command, source.ref(job), where) if isinstance(one, Dependency)]
    if calls:
        yield from source.service(job, commands[0][1])
        yield from calls


def _without_placeholders(repository: str) -> str:
    """A repository of borg without what borg-placeholders(1) fills in behind its host."""
    scheme, mark, rest = repository.rpartition("://")
    host, separator, path = rest.partition("/" if mark else ":")
    return f"{scheme}{mark}{host}{separator}{_PLACEHOLDER.sub('x', path)}"


def _shown(url: str) -> str:
    """A repository or a watchdog's URL without user, password and the token in its path."""
    text = re.sub(r"//[^@/]*@", "//", url)
    if text.startswith(("http://", "https://")):
        return excerpt("/".join(text.split("/")[:3]))
    return excerpt(re.sub(r"^[^@/:]+@", "", text))


def _profiles(source: Source) -> Iterator[Parsed]:
    bad: list[Malformed] = []
    root = _yaml(source, bad)
    yield from bad
    for key, value in root.items() if root is not None else ():
        repository = value.get("repository") if value.is_map else None
        if repository is not None and repository.is_scalar:
            found = (_repository(repository.scalar.removeprefix("local:")), source.where(repository.line))
            yield from source.uses(f"restic profile {excerpt(key.written)}", [found], Need.WRITE)


def _rsnapshot(source: Source) -> Iterator[Parsed]:
    """Fields are separated by tabs, and only by tabs; a line may go on after a backslash."""
    kept: list[str] = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        fields = [part for part in text.split("\t") if part]
        keyword, where = fields[0].strip(), source.where(number)
        if len(fields) < 2:
            if keyword.split()[0] in _FIELDS and not line.startswith((" ", "\t")):
                yield Malformed(where, "fields that are not separated by tabs", "rsnapshot refuses the file")
        elif keyword in ("retain", "interval") and len(fields) > 2 and fields[2].strip().isdecimal():
            kept.append(excerpt(f"{fields[2].strip()} {fields[1].strip()}"))
        elif keyword == "backup":
            yield from _fetched(source, fields, where)
        elif keyword in ("backup_script", "backup_exec"):
            title = f"rsnapshot script {excerpt(fields[1])[:100]}"
            calls = [one for one in analyse_command(fields[1], source.ref(title), where) if isinstance(one, Dependency)]
            if calls:
                yield from source.service(title, where)
                yield from calls
        elif keyword == "snapshot_root" and fields[1].startswith("/"):
            yield from source.service("rsnapshot", where, {"snapshot_root": excerpt(fields[1])})
            place = Ref(Kind.PATH, fields[1].strip().rstrip("/") or "/")
            yield Dependency(source.ref("rsnapshot"), place, Relation.WRITES, where)
        elif keyword in _COMMANDS:
            yield from analyse_command(fields[1], source.ref("rsnapshot"), where)
    if kept:
        yield Entity(source.ref("rsnapshot"), Where(0), {"retention": tuple(kept)})


def _fetched(source: Source, fields: list[str], where: Where) -> Iterator[Parsed]:
    url = _RSYNC_URL.match(fields[1])
    remote = _REMOTE.fullmatch(fields[1]) if url is None and not fields[1].startswith("/") else None
    ref = target(url[1], url[2] or "") if url else target(remote[1]) if remote else None
    yield from source.uses(f"rsnapshot backup of {_shown(fields[1])}", [(ref, where)])


def _bacula(source: Source) -> Iterator[Parsed]:
    """Resources: names and keys may be written with spaces and in any case; the address is `Address`.

    Bareos has one resource a file, Bacula many. Jobs take what they do not say from their JobDefs.
    """
    text = "\n".join(source.lines)
    statements, problem = read_blocks(text, line_ends=True)
    if problem is not None and not is_templated(text):
        yield Malformed(source.where(problem.line), problem.reason, "the daemon does not start with it")
    software = "bareos" if "bareos" in source.path or "bareos" in text[:2000].lower() else "bacula"
    defaults: dict[str, dict[str, tuple[str, int]]] = {}
    jobs: list[dict[str, tuple[str, int]]] = []
    for statement in statements:
        kind = "".join(word for word in statement.words if word != "=").lower()
        if statement.block is None or kind not in _RESOURCES:
            continue
        values = _values(statement)
        name, line = values.get("name", ("", statement.line))
        address = values.get("address") or values.get("diraddress") if kind != "device" else None
        if kind == "jobdefs":
            defaults[name] = values
        elif kind == "job":
            jobs.append(values)
        elif kind in ("client", "filedaemon", "storage", "director") and address and kind != "filedaemon":
            # The console and the daemons name their Director with an address; the Director itself has DirAddress.
            if "address" not in values or is_templated(address[0]):
                continue
            need = Need.WRITE if kind == "storage" else Need.READ
            port = next((values[key][0] for key in ("sdport", "fdport", "dirport", "port") if key in values), "")
            targets: _Targets = [(target(address[0], port), source.where(address[1]))]
            yield from source.uses(f"{software} {kind} {excerpt(name)}", targets, need)
    for values in jobs:
        whole = defaults.get(values.get("jobdefs", ("", 0))[0], {}) | values
        name, line = values.get("name", ("", 0))
        if not name or is_templated(name):
            continue
        title = f"{software} job {excerpt(name)}"
        yield from source.service(title, source.where(line))
        for kind in ("client", "storage"):
            if kind in whole and not is_templated(whole[kind][0]):
                need = Need.WRITE if kind == "storage" else Need.READ
                provider = source.ref(f"{software} {kind} {excerpt(whole[kind][0])}")
                yield Dependency(source.ref(title), provider, Relation.CONNECTS, source.where(whole[kind][1]), need)


def _values(resource: Statement) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for one in resource.block or ():
        if "=" in one.words:
            at = one.words.index("=")
            key = "".join(one.words[:at]).lower().replace("_", "")
            found.setdefault(key, (" ".join(one.words[at + 1 :]), one.line))
    return found
