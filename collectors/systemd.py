"""systemd units: timers, services, paths, mounts and sockets, with drop-ins, templates and instances.

A unit is what several files say together, so `parse` reads the syntax and `combine` puts the units of one host (or, in
a repository, of one directory) together. User units are called `x.service (user)` or `x.service (user alice)`.

Sources: systemd.syntax(7), systemd.unit(5), .service(5), .timer(5), .time(7), .path(5), .mount(5), .exec(5); messages
are those of `systemd-analyze verify` 252.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fact,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_hostname,
    last_elapse,
    lazy_pattern,
)

MAX_SETTINGS: Final = 5_000
MAX_VALUE: Final = 65_536
MAX_INSTANCES: Final = 2_000

_TYPES: Final = "service|timer|path|mount|automount|socket"
_UNIT: Final = lazy_pattern(rf"[A-Za-z0-9:_.\\@-]+\.(?:{_TYPES})")
_DROP_IN: Final = lazy_pattern(rf"((?:[A-Za-z0-9:_.\\@-]+\.)?(?:{_TYPES}))\.d/([^/]+\.conf)")
_LINK: Final = lazy_pattern(rf"([A-Za-z0-9:_.\\@-]+)\.(wants|requires|upholds)/([A-Za-z0-9:_.\\@-]+\.(?:{_TYPES}))")
_SYSTEM: Final = lazy_pattern(
    r"(/etc/systemd/system\.control|/run/systemd/system\.control|/run/systemd/transient|/run/systemd/generator\.early"
    r"|/etc/systemd/system|/etc/systemd/system\.attached|/run/systemd/system|/run/systemd/generator"
    r"|/run/systemd/system\.attached|/usr/local/lib/systemd/system|/usr/lib/systemd/system|/lib/systemd/system"
    r"|/run/systemd/generator\.late)/(.+)"
)
_USERS: Final = lazy_pattern(
    r"(/etc/systemd/user|/run/systemd/user|/usr/local/lib/systemd/user|/usr/lib/systemd/user|/lib/systemd/user)/(.+)"
)
# A service's user may have a home anywhere. The manager of a user who is logged in knows what was made by commands.
_HOME: Final = lazy_pattern(r"/(?:.+/)?([^/]+)/(?:\.config|\.local/share)/systemd/user/(.+)")
_OF_USER: Final = lazy_pattern(r"/run/user/(\d+)/systemd/(?:transient|user)/(.+)")
# systemd.unit(5), "Unit File Load Path": the first that has a file of a name wins.
_RANKS: Final = {
    directory: rank
    for rank, directory in enumerate(
        (
            "/etc/systemd/system.control",
            "/run/systemd/system.control",
            "/run/systemd/transient",
            "/run/systemd/generator.early",
            "/etc/systemd/system",
            "/etc/systemd/system.attached",
            "/run/systemd/system",
            "/run/systemd/system.attached",
            "/run/systemd/generator",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
            "/run/systemd/generator.late",
            "/etc/systemd/user",
            "/run/systemd/user",
            "/usr/local/lib/systemd/user",
            "/usr/lib/systemd/user",
            "/lib/systemd/user",
        )
    )
}
_TEMPLATE_SUFFIX: Final = lazy_pattern(r"\.(?:j2|jinja2?|erb|epp|tmpl|tpl|in)$")
_SECTION_IN_HEAD: Final = lazy_pattern(rb"^[ \t]*\[(?:Unit|Service|Timer|Install|Path|Mount|Automount|Socket)\]", re.M)
_TEMPLATE_LINE: Final = lazy_pattern(r"\{%|\{#|<%|%\}|#\}|%\s*(?:if|end|for|else)\b")
_MARKED: Final = lazy_pattern(r"\{\{|\{%|<%")
_EXPRESSION: Final = lazy_pattern(r"\{\{.{0,400}?\}\}|<%=.{0,400}?%>")
_STATEMENT: Final = lazy_pattern(r"\{%.{0,400}?%\}|<%-?(?!=).{0,400}?%>")
_SECTIONS: Final = {
    "service": "Service", "timer": "Timer", "path": "Path", "mount": "Mount", "automount": "Automount",
    "socket": "Socket",
}  # fmt: skip
# An empty assignment does not take back what was added before (systemd.unit(5)).
_NO_RESET: Final = frozenset(
    {
        "Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts", "Before", "After", "OnFailure",
        "OnSuccess", "PropagatesReloadTo", "ReloadPropagatedFrom", "JoinsNamespaceOf", "RequiresMountsFor",
        "WantsMountsFor", "Unit",
    }
)  # fmt: skip
_TRIGGERS: Final = (
    "OnCalendar", "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec",
)  # fmt: skip
_EXEC: Final = (
    "ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost",
    "ExecMount", "ExecUnmount",
)  # fmt: skip
_PREFIX: Final = lazy_pattern(r"[@\-:+!|]*")
_PLAIN: Final = lazy_pattern(r"/(?!.*(?:\{\{|<%))[^*?\[\]\s%]+")
_VARIABLE: Final = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_PATH_TRIGGERS: Final = ("PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty")
_STATE: Final = {"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log"}
_OUTPUT: Final = lazy_pattern(r"(?:file|append|truncate):(/\S+)")
_SPECIFIER: Final = lazy_pattern(r"%(.)")
_FIXED: Final = {
    "%": "%", "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc",
    "T": "/tmp", "V": "/var/tmp",  # noqa: S108 - what systemd.unit(5) says of %T and %V
}  # fmt: skip
_HEX: Final = lazy_pattern(r"\\x([0-9a-fA-F]{2})")
_SPAN: Final = lazy_pattern(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)")
_SECONDS: Final = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
    **dict.fromkeys(("M", "month", "months"), 2629800.0),
    **dict.fromkeys(("y", "year", "years"), 31557600.0),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec"), 1e-6),
    **dict.fromkeys(("ns", "nsec"), 1e-9),
}
_NOT_HOSTS: Final = lazy_pattern(r".*\.(?:conf|cfg|ini|ya?ml|json|sh|service|socket|mount|device|env|toml|sock)")
_REMOTE: Final = lazy_pattern(r"(?:[^@/\s]+@)?(\[[0-9a-fA-F:.%]+\]|[^:/\s]+):/")
_SHARE: Final = lazy_pattern(r"//(?:[^@/\s]+@)?([^/\s]+)/")
_WORD: Final = lazy_pattern(r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"']+))+""")


@dataclass(frozen=True, slots=True)
class _Setting:
    """One assignment; `line` is where it begins, `path` the file."""

    section: str
    key: str
    value: str
    line: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class _File:
    """One file as it was read. `unit` is the unit's name, or the name that a drop-in directory has before `.d`."""

    role: str  # unit, drop-in or link
    group: str
    label: str
    rank: int
    unit: str
    name: str
    path: str
    settings: tuple[_Setting, ...]
    empty: bool = False


class SystemdCollector(Collector):
    """Reads unit files of systemd.

    Reads
    -----
    Units and drop-ins in `/etc`, `/run`, `/usr/lib` and `/lib/systemd/system`, users' units, and such files in
    repositories.

    Yields
    ------
    A job for each timer with its calendar, and the unit it starts; what units call, connect to, read and write;
    whether they are enabled, masked or overridden.

    Can't see
    ---------
    Presets. When a timer last ran is told by `systemd_runs`.
    """

    name: ClassVar[str] = "systemd"
    title: ClassVar[str] = "systemd timers, services, paths, mounts and sockets, with drop-ins"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {
            Relation.RUNS_ON,
            Relation.CALLS,
            Relation.CONNECTS,
            Relation.READS,
            Relation.WRITES,
            Relation.MOUNTS,
            Relation.NOTIFIES,
        }
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        if path.startswith("/") and not _MARKED.search(path):
            return "/systemd/" in path and _placed(path) is not None
        end = path[-48:]
        if not any(f".{kind}" in end for kind in _SECTIONS) or _placed(path) is None:
            return False
        return _SECTION_IN_HEAD.search(head) is not None and b"\0" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        placed = _placed(document.path)
        if placed is None:
            yield Malformed(Where(), "not in a place for units", "systemd does not read it", whole=True)
            return
        if b"\0" in document.content[:65536] and "\0" in decode(document.content[:65536]):
            yield Malformed(Where(), "this is not text", "systemd refuses the unit", whole=True)
            return
        kind = placed.unit.rpartition(".")[2]
        settings: list[_Setting] = []
        for item in _read(decode(document.content), kind, in_tree=not document.path.startswith("/")):
            if isinstance(item, Malformed):
                yield item
                if item.whole:
                    return
            else:
                settings.append(item)
        for setting in settings:
            if setting.section == "Timer" and setting.key == "OnCalendar" and setting.value:
                problem = _calendar_problem(setting.value)
                if problem:
                    effect = "systemd ignores this line" if "no time" not in problem else "it never elapses"
                    yield Malformed(Where(setting.line, setting.excerpt), problem, effect)
        file = _File(
            placed.role,
            placed.group,
            placed.label,
            placed.rank,
            placed.unit,
            placed.name,
            document.path,
            tuple(settings),
            not document.content.strip(),
        )
        yield Fragment(placed.role, file, Where())

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        groups: dict[str, list[_File]] = {}
        for fragment in fragments:
            if isinstance(fragment.value, _File):
                groups.setdefault(fragment.value.group, []).append(fragment.value)
        for files in groups.values():
            yield from _group(files, read)


def _placed(path: str) -> _File | None:
    """What a path says: the role of a file, the unit, and where it ranks. None if systemd reads no such file."""
    group, label, rank, rest = "", "", 0, ""
    if path.startswith("/") and not _MARKED.search(path):
        if found := _SYSTEM.fullmatch(path):
            group, rank, rest = "system", _RANKS[found[1]], found[2]
        elif found := _USERS.fullmatch(path):
            group, label, rank, rest = "user", " (user)", _RANKS[found[1]], found[2]
        elif found := _HOME.fullmatch(path):
            group, label, rest = f"user {found[1]}", f" (user {found[1]})", found[2]
        elif found := _OF_USER.fullmatch(path):
            group, label, rest = f"uid {found[1]}", f" (uid {found[1]})", found[2]
    else:
        bare = _TEMPLATE_SUFFIX.sub("", path)
        head, _, last = bare.rpartition("/")
        directory, _, parent = head.rpartition("/")
        if parent.endswith((".d", ".wants", ".requires", ".upholds")):
            group, rest = f"tree {directory}", f"{parent}/{last}"
        else:
            group, rest = f"tree {head}", last
    if not rest:
        return None
    if _UNIT.fullmatch(rest):
        return _File("unit", group, label, rank, rest, rest, path, ())
    if found := _DROP_IN.fullmatch(rest):
        return _File("drop-in", group, label, rank, found[1], found[2], path, ())
    if found := _LINK.fullmatch(rest):
        return _File("link", group, label, rank, found[3], found[1], path, ())
    return None


def _read(text: str, kind: str, *, in_tree: bool) -> Iterator[_Setting | Malformed]:
    """Lines of systemd.syntax(7). Comments inside a continuation are left out; the first line gives the number."""
    known = {"Unit", "Install", _SECTIONS.get(kind, "Service")}
    section: str | None = None
    ignored = False
    pending, first, first_line = "", 0, ""
    count = 0
    lines = text.split("\n")
    for number, raw in enumerate([*lines, ""], 1):
        line = raw.rstrip("\r")
        stripped = line.lstrip(" \t")
        if stripped.startswith(("#", ";")):
            continue
        if not pending:
            first, first_line = number, line
        slashes = len(line) - len(line.rstrip("\\"))
        if slashes % 2 and number <= len(lines) and len(pending) < MAX_VALUE:
            pending += line[:-1] + " "
            continue
        statement, pending = (pending + line).strip(), ""
        if not statement or (in_tree and _TEMPLATE_LINE.match(statement)):
            continue
        where = Where(first, excerpt(first_line))
        if len(statement) > MAX_VALUE:
            yield Malformed(where, f"a setting of more than {MAX_VALUE} characters", "it was not read")
            continue
        if statement.startswith("["):
            if not statement.endswith("]"):
                yield Malformed(where, "invalid section header", "systemd refuses the whole file", whole=True)
                return
            section = statement[1:-1]
            ignored = section not in known
            if ignored and not section.startswith("X-"):
                yield Malformed(where, f"unknown section {excerpt(section)!r}", "systemd ignores the section")
            continue
        key, equals, value = statement.partition("=")
        key, value = key.strip(), value.strip()
        if in_tree and _MARKED.search(value):
            value = _EXPRESSION.sub(lambda found: re.sub(r"\s+", "", found[0]), _STATEMENT.sub("", value)).strip()
        if not equals or not key:
            if not (in_tree and _MARKED.search(statement)):
                yield Malformed(
                    where, "missing '='" if not equals else "missing key before '='", "systemd ignores this line"
                )
            continue
        if section is None:
            yield Malformed(where, "assignment outside of a section", "systemd ignores this line")
            continue
        if ignored:
            continue
        count += 1
        if count > MAX_SETTINGS:
            yield Malformed(where, f"more than {MAX_SETTINGS} settings", "the rest was not read")
            return
        yield _Setting(section, key, value, first, where.excerpt)


@lru_cache(maxsize=1024)
def _calendar_problem(value: str) -> str:
    """Why a calendar expression gives no time; empty if it does. Templates and specifiers are let pass."""
    if "{{" in value or "<%" in value or "%" in value:
        return ""
    try:
        last_elapse(value)
    except ValueError as error:
        return excerpt(str(error))
    return ""


def _group(files: Iterable[_File], read: Read) -> Iterator[Fact]:
    """All units that one manager (or one directory of a repository) knows."""
    units: dict[str, list[_File]] = {}
    drop_ins: dict[str, list[_File]] = {}
    links: dict[str, list[_File]] = {}
    targets: set[str] = set()
    for file in sorted(files, key=lambda file: (file.rank, file.path)):
        if file.role == "unit":
            units.setdefault(file.unit, []).append(file)
        elif file.role == "drop-in":
            drop_ins.setdefault(file.unit, []).append(file)
        else:
            links.setdefault(file.unit, []).append(file)
            targets.add(file.name)
    wanted = {*units, *links}
    wanted |= {name for name in drop_ins if "." in name and not name.rpartition(".")[0].endswith("-")}
    for name in _references(file for several in (*units.values(), *drop_ins.values()) for file in several):
        if len(wanted) < MAX_INSTANCES:
            wanted.add(name)
    # What an enabled instance starts is an instance, too, and nothing else names it.
    for name in sorted(wanted):
        template, instance = _instance(name)
        if instance and len(wanted) < MAX_INSTANCES:
            wanted.update(_started(name, instance, (*units.get(name, ()), *units.get(template, ()))))
    for name in sorted(wanted):
        template, instance = _instance(name)
        found = units.get(name) or (units.get(template) if instance else None)
        main = found[0] if found else None
        more = tuple(_drop_ins_of(name, drop_ins))
        given = tuple(_environment_files(main, more, read)) if name.endswith(".service") else ()
        yield from _unit_facts(name, main, more, tuple(links.get(name, ())), frozenset(targets), given)


def _environment_files(main: _File | None, more: Iterable[_File], read: Read) -> Iterator[tuple[str, str]]:
    """The files of variables that a service is given and that were captured: path and text."""
    for file in (main, *more):
        for setting in file.settings if file is not None else ():
            path = setting.value.lstrip("-")
            if setting.key == "EnvironmentFile" and _PLAIN.fullmatch(path) and (content := read(path)) is not None:
                yield path, decode(content[:MAX_VALUE])


def _instance(name: str) -> tuple[str, str]:
    """Template and instance of `x@i.service`; the name itself and nothing otherwise."""
    stem, _, kind = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    return (f"{prefix}@.{kind}", instance) if at and instance else (name, "")


def _references(files: Iterable[_File]) -> Iterator[str]:
    """Instances that other units name: they exist without a file of their own."""
    for file in files:
        for setting in file.settings:
            if setting.key in (
                "Unit",
                "Wants",
                "Requires",
                "BindsTo",
                "Upholds",
                "OnFailure",
                "OnSuccess",
                "Service",
                "Also",
            ):
                for word in setting.value.split():
                    if "@" in word and "%" not in word and _UNIT.fullmatch(word) and _instance(word)[1]:
                        yield word
        if file.unit.endswith((".timer", ".path", ".socket")) and _instance(file.unit)[1]:
            yield file.unit.rpartition(".")[0] + ".service"


def _started(name: str, instance: str, files: Iterable[_File]) -> Iterator[str]:
    """The instances that a timer, path or socket of this name starts."""
    if name.endswith((".timer", ".path", ".socket")):
        said = [one.value for file in files for one in file.settings if one.key in ("Unit", "Service")]
        for unit in said or [f"{name.rpartition('.')[0]}.service"]:
            unit = unit.replace("%i", instance)
            if "%" not in unit and _UNIT.fullmatch(unit) and _instance(unit)[1]:
                yield unit


def _drop_ins_of(name: str, drop_ins: Mapping[str, list[_File]]) -> list[_File]:
    """Drop-ins that apply to a unit, in the order in which they are read: by file name.

    Of files with the same name the more important directory's is taken, and within one directory that of the more
    special name; `service.d` for all services comes last (systemd.unit(5)).
    """
    template, instance = _instance(name)
    stem, _, kind = name.rpartition(".")
    names = [name]
    if instance:
        names.append(template)
    dashed = stem.partition("@")[0]
    while "-" in dashed.rstrip("-"):
        dashed = dashed.rstrip("-").rpartition("-")[0] + "-"
        names.append(f"{dashed}.{kind}")
    chosen: dict[str, _File] = {}
    special = [(file.rank, at, file) for at, each in enumerate(names) for file in drop_ins.get(each, ())]
    for _, _, file in sorted(special, key=lambda entry: (entry[0], entry[1], entry[2].path)):
        chosen.setdefault(file.name, file)
    for file in drop_ins.get(kind, ()):
        chosen.setdefault(file.name, file)
    return [chosen[key] for key in sorted(chosen)]


@lru_cache(maxsize=8192)
def _unit_facts(
    name: str,
    main: _File | None,
    drop_ins: tuple[_File, ...],
    links: tuple[_File, ...],
    targets: frozenset[str],
    given: tuple[tuple[str, str], ...],
) -> tuple[Fact, ...]:
    """Facts of one unit. The same files on many hosts are put together once."""
    return tuple(_Unit(name, main, drop_ins, links, targets, given).facts())


class _Unit:
    """One unit, merged from its files."""

    def __init__(
        self,
        name: str,
        main: _File | None,
        drop_ins: tuple[_File, ...],
        links: tuple[_File, ...],
        targets: frozenset[str],
        given: tuple[tuple[str, str], ...],
    ) -> None:
        self.name = name
        self.main, self.links, self.targets = main, links, targets
        self.given = dict(given)
        self.instance = _instance(name)[1]
        self.kind = name.rpartition(".")[2]
        files = [file for file in (main, *drop_ins) if file is not None]
        self.label = files[0].label if files else links[0].label if links else ""
        self.path = files[0].path if files else links[0].path if links else ""
        self.masked = main is not None and main.empty and main.path.startswith("/")
        self.values: dict[str, list[tuple[_Setting, str]]] = {}
        for file in files:
            for setting in file.settings:
                self._assign(setting, file.path)

    def _assign(self, setting: _Setting, path: str) -> None:
        values = self.values.setdefault(setting.key, [])
        if setting.value or setting.key in _NO_RESET:
            if setting.value:
                values.append((setting, path))
        elif setting.key in _TRIGGERS:
            for key in _TRIGGERS:
                self.values.pop(key, None)
        else:
            values.clear()

    def all(self, *keys: str) -> Iterator[tuple[str, Where]]:
        """Values of list settings with their places; specifiers are resolved."""
        for key in keys:
            for setting, path in self.values.get(key, ()):
                yield self.expand(setting.value), Where(setting.line, setting.excerpt, path)

    def last(self, key: str) -> str:
        """The value that counts of a setting that is no list."""
        values = self.values.get(key)
        return self.expand(values[-1][0].value) if values else ""

    def expand(self, value: str) -> str:
        """Specifiers of systemd.unit(5) that do not depend on the machine; the others stay as they are."""
        if "%" not in value:
            return value
        stem, _, _ = self.name.rpartition(".")
        prefix = stem.partition("@")[0]
        known = {**_FIXED, "n": self.name, "N": stem, "p": prefix, "P": _unescape(prefix)}
        known |= {"j": prefix.rpartition("-")[2], "J": _unescape(prefix.rpartition("-")[2])}
        if self.instance or "@" not in self.name:
            known |= {"i": self.instance, "I": _unescape(self.instance), "f": "/" + _unescape(self.instance or prefix)}
        return _SPECIFIER.sub(lambda found: known.get(found[1], found[0]), value)

    def reference(self, unit: str) -> Ref:
        """Another unit of the same manager."""
        return Ref(Kind.UNIT, f"{unit}{self.label}")

    def facts(self) -> Iterator[Fact]:
        kind = Kind.JOB if self.kind == "timer" else Kind.UNIT
        ref = Ref(kind, f"{self.name}{self.label}")
        where = next((where for _, where in self.all(*_TRIGGERS, "ExecStart", "What", *_PATH_TRIGGERS)), None)
        where = where or next((where for _, where in self.all(*self.values)), Where(0, "", self.path))
        attributes = self._common()
        if self.kind == "timer":
            attributes |= self._timer()
        elif self.kind == "service":
            for key, name in (("Type", "type"), ("Restart", "restart"), ("WorkingDirectory", "working_directory")):
                if value := self.last(key):
                    attributes[name] = excerpt(value)
        if self.masked:
            attributes |= {"masked": True, "ignored": f"masked by {excerpt(self.path)}"}
            yield Entity(ref, Where(0, "", self.path), attributes)
            return
        yield Entity(ref, where, attributes)
        yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, where)
        yield from self._activation(ref, where)
        yield from self._relations(ref)
        if self.kind == "service":
            yield from self._service(ref)
        elif self.kind == "mount":
            yield from self._mount()
        if self.instance and self.kind in ("service", "timer") and (host := self._instance_host()):
            yield Dependency(ref, host, Relation.CONNECTS, where, confidence=Confidence.MEDIUM)

    def _common(self) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {}
        if description := self.last("Description"):
            attributes["description"] = excerpt(description)
        if user := self.last("User"):
            attributes["user"] = excerpt(user)
        if "@" in self.name and not self.instance:
            attributes["template"] = True
        wanted = tuple(excerpt(word) for value, _ in self.all("WantedBy", "RequiredBy") for word in value.split())
        if wanted:
            attributes["wanted_by"] = wanted
        if self.links:
            attributes["enabled"] = True
        elif any(word in self.targets for word in wanted):
            # Other links of this target were captured, and none of this unit is among them.
            attributes["enabled"] = False
        conditions = tuple(
            excerpt(f"{key}={value}")
            for key in self.values
            if key.startswith(("Condition", "Assert"))
            for value, _ in self.all(key)
        )
        if conditions:
            attributes["conditions"] = conditions
        return attributes

    def _timer(self) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {"dialect": "systemd"}
        if source := self.last("SourcePath"):
            # By a generator, as systemd-crontab-generator(8) from each line of a crontab.
            attributes["made_from"] = excerpt(source)
        calendar = [value for value, _ in self.all("OnCalendar")]
        fine = [value for value in calendar if not _calendar_problem(value)]
        if calendar:
            attributes["schedule"] = excerpt("; ".join(calendar))
        monotonic = False
        for key, name in (
            ("OnActiveSec", "on_active"),
            ("OnBootSec", "on_boot"),
            ("OnStartupSec", "on_startup"),
            ("OnUnitActiveSec", "on_unit_active"),
            ("OnUnitInactiveSec", "on_unit_inactive"),
            ("RandomizedDelaySec", "randomized_delay"),
            ("AccuracySec", "accuracy"),
        ):
            for value, _ in self.all(key):
                attributes[name] = _span(value)
                monotonic |= key.startswith("On")
        if persistent := self.last("Persistent"):
            attributes["persistent"] = persistent.lower() in ("1", "yes", "y", "true", "t", "on")
        if not fine and not monotonic and self.main is not None:
            attributes["never_runs"] = (
                _calendar_problem(calendar[0]) if calendar else "the timer has no trigger, and systemd refuses it"
            )
        elif fine and not monotonic and not any(_MARKED.search(value) or "%" in value for value in fine):
            ends = last_elapse("; ".join(fine))
            if ends is not None:
                attributes["ends"] = ends.isoformat()
        return attributes

    def _activation(self, ref: Ref, where: Where) -> Iterator[Fact]:
        """The unit that a timer, path or socket starts: Unit= (Service=), or the service of the same name."""
        if self.kind not in ("timer", "path", "socket"):
            return
        if self.kind == "socket" and self.last("Accept").lower() in ("1", "yes", "y", "true", "t", "on"):
            return
        key = "Service" if self.kind == "socket" else "Unit"
        unit, at = self.name.rpartition(".")[0] + ".service", where
        for value, place in self.all(key):
            unit, at = value, place
        if _UNIT.fullmatch(unit) or re.fullmatch(r"[\w:.\\@-]+\.target", unit):
            yield Dependency(ref, self.reference(unit), Relation.CALLS, at)
        if self.kind == "path":
            for value, place in self.all(*_PATH_TRIGGERS):
                if value.startswith("/") and not _MARKED.search(value):
                    yield Dependency(ref, Ref(Kind.PATH, value), Relation.READS, place)

    def _relations(self, ref: Ref) -> Iterator[Fact]:
        for value, where in self.all("OnFailure", "OnSuccess"):
            for word in value.split():
                if _UNIT.fullmatch(word):
                    yield Dependency(ref, self.reference(word), Relation.NOTIFIES, where)
        for value, where in self.all("RequiresMountsFor", "WantsMountsFor"):
            for word in _words(value):
                if word.startswith("/") and not _MARKED.search(word):
                    yield Dependency(ref, Ref(Kind.PATH, word), Relation.READS, where)
        for value, where in self.all("Requires", "BindsTo", "Wants", "Requisite"):
            for word in value.split():
                if word.endswith(".mount") and _UNIT.fullmatch(word):
                    path = "/" + _unescape(word.removesuffix(".mount")).strip("/")
                    yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, where)
        for value, where in self.all("ConditionHost"):
            if is_hostname(value) and (host := host_ref(value)):
                yield Dependency(ref, host, Relation.RUNS_ON, where, confidence=Confidence.MEDIUM)

    def _service(self, ref: Ref) -> Iterator[Fact]:
        environment: dict[str, str] = {}
        for value, where in self.all("Environment"):
            for word in _words(value):
                variable, equals, text = word.partition("=")
                if not equals or _MARKED.search(text):
                    continue
                environment[variable] = text
                if "://" in text and (endpoint := endpoint_ref(text)):
                    yield Dependency(ref, endpoint, Relation.CONNECTS, where, confidence=Confidence.MEDIUM)
        for value, where in self.all("EnvironmentFile"):
            path = value.lstrip("-")
            for variable, text, line in _variables(self.given.get(path, "")):
                environment[variable] = text
                if "://" in text and (endpoint := endpoint_ref(text)):
                    place = Where(line, excerpt(f"{variable}={text}"), path)
                    yield Dependency(ref, endpoint, Relation.CONNECTS, place, confidence=Confidence.MEDIUM)
            if _PLAIN.fullmatch(path):
                confidence = Confidence.MEDIUM if value.startswith("-") else Confidence.HIGH
                yield Dependency(ref, Ref(Kind.PATH, path), Relation.READS, where, confidence=confidence)
        for value, where in self.all("ReadWritePaths", "ReadWriteDirectories"):
            for word in _words(value):
                path = word.lstrip("-+")
                if path.startswith("/") and not _MARKED.search(path):
                    yield Dependency(ref, Ref(Kind.PATH, path), Relation.WRITES, where)
        for key, root in _STATE.items():
            for value, where in self.all(key):
                for word in _words(value):
                    path = f"{root}/{word.partition(':')[0].strip('/')}"
                    if ".." not in path and not _MARKED.search(path):
                        yield Dependency(
                            ref, Ref(Kind.PATH, path), Relation.WRITES, where, confidence=Confidence.MEDIUM
                        )
        for value, where in self.all("StandardOutput", "StandardError"):
            if found := _OUTPUT.fullmatch(value):
                yield Dependency(ref, Ref(Kind.PATH, found[1]), Relation.WRITES, where)
        for key in _EXEC:
            for number, (value, where) in enumerate(self.all(key)):
                # systemd.service(5): each runs only if what stands before it did not fail.
                after = key == "ExecStartPost" or (key == "ExecStart" and number > 0)
                for command in _commands(value):
                    # A template's expression is a value that is not known, as a variable is to the shell.
                    plain = _EXPRESSION.sub("${TEMPLATE}", command)
                    yield from analyse_command(
                        plain, ref, where, syntax="exec", environment=environment, after_success=after
                    )

    def _mount(self) -> Iterator[Fact]:
        """A network file system, in the form that fstab(5) has it too."""
        place = self.last("Where") or "/" + _unescape(self.name.removesuffix(".mount"))
        for value, where in self.all("What"):
            found = _REMOTE.match(value) or _SHARE.match(value)
            if found is None or not place.startswith("/"):
                continue
            mount = Ref(Kind.MOUNT, place)
            yield Entity(mount, where, {"device": excerpt(value), "type": excerpt(self.last("Type"))})
            if host := host_ref(found[1]):
                yield Dependency(mount, host, Relation.MOUNTS, where)

    def _instance_host(self) -> Ref | None:
        """The host that an instance is named after: a full name or an address, not `15-main`, `7.4` or `a.conf`."""
        name = _HEX.sub(lambda found: chr(int(found[1], 16)), self.instance)
        name = name.rpartition("@")[2]
        if "." not in name or not re.search(r"[A-Za-z]{2}$|^\d+\.\d+\.\d+\.\d+$", name) or _NOT_HOSTS.fullmatch(name):
            return None
        return host_ref(name)


def _variables(text: str) -> Iterator[tuple[str, str, int]]:
    """Variables of an EnvironmentFile= with their lines (systemd.exec(5)); quotes are taken off."""
    for number, line in enumerate(text.split("\n")[:MAX_SETTINGS], 1):
        name, equals, value = line.strip().partition("=")
        if equals and _VARIABLE.fullmatch(name):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            yield name, value, number


def _unescape(text: str) -> str:
    """systemd-escape(1) undone: `-` is `/`, `\\x2d` is `-`."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text.replace("-", "/"))


def _words(value: str) -> Iterator[str]:
    """Words with quotes taken off (systemd.syntax(7), QUOTING)."""
    for found in _WORD.finditer(value):
        text = re.sub(r"""(?<!\\)["']""", "", found[0])
        yield re.sub(r"\\(.)", r"\1", text)


def _commands(value: str) -> Iterator[str]:
    """Commands of one Exec line without prefixes (systemd.service(5), COMMAND LINES); `$$` is a dollar sign."""
    parts = re.split(r"\s;\s", value) if '"' not in value and "'" not in value else [value]
    for part in parts:
        prefix = _PREFIX.match(part.lstrip())
        command = part.lstrip()[prefix.end() :].strip() if prefix else part.strip()
        if prefix and "@" in prefix[0]:
            # The word after the program is what the program is told as its own name.
            words = command.split(None, 2)
            command = " ".join([*words[:1], *words[2:]])
        if command:
            yield command.replace("$$", "$")


def _span(value: str) -> Attribute:
    """Seconds of a time span (systemd.time(7)); the text itself if it is none."""
    total, at = 0.0, 0
    for found in _SPAN.finditer(value):
        if found.start() != at or found[2] not in _SECONDS or found.end() == at:
            return excerpt(value)
        total += float(found[1]) * _SECONDS[found[2]]
        at = found.end()
    if at == 0 or value[at:].strip() or math.isinf(total):
        return excerpt(value)
    return int(total) if total == int(total) else total
