"""The directories that run-parts runs: /etc/cron.{hourly,daily,weekly,monthly} and the like.

Only which files would run: what a script does is read where scripts are read. Sources: run-parts(8) of debianutils and
its run-parts.c, busybox's run-parts.c, crontabs' run-parts (RHEL), periodic(8) of Alpine; names were compared with
`run-parts --test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    family_of,
    is_lsb_name,
    lazy_pattern,
)

_DIRECTORY: Final = lazy_pattern(r"/etc/cron\.(hourly|daily|weekly|monthly|yearly)/([^/]+)")
_PERIODIC: Final = lazy_pattern(r"/etc/periodic/(15min|hourly|daily|weekly|monthly)/([^/]+)")
_SCHEDULES: Final = {
    "15min": "*/15 * * * *",
    "hourly": "@hourly",
    "daily": "@daily",
    "weekly": "@weekly",
    "monthly": "@monthly",
    "yearly": "@yearly",
}
_FAMILIES: Final = {"debian": "debian", "rhel": "rhel", "alpine": "busybox"}
"""Whose run-parts a family of systems has. SUSE and Arch have scripts of their own."""
_STATES: Final = "/.auditor/states.txt"
_STATE: Final = lazy_pattern(r"([0-7]{3,5}) \d+ \d+ \d+ \d+ (/\S+)")
_PLACEHOLDERS: Final = (".placeholder", ".keep", ".gitkeep")
MAX_STATES: Final = 20_000
_DEFAULT: Final = lazy_pattern(r"[A-Za-z0-9_-]+")
_LSB_LEFT_OVER: Final = lazy_pattern(r"[a-z0-9-].*\.dpkg-(?:old|dist|new|tmp)")
_BUSYBOX: Final = lazy_pattern(r"[A-Za-z0-9_.-]+")
_RHEL_SKIPS: Final = lazy_pattern(r".*(?:~|,|\.rpmsave|\.rpmorig|\.rpmnew|\.swp|,v|\.cfsaved)")


def runs(name: str, flavour: str) -> bool:
    """Whether run-parts would run a file of this name (if it is executable).

    Flavours: `debian` (the default of debianutils), `lsbsysinit` (its option of that name, as up to Debian 12: that of
    13 takes a name such as `b_c` too), `busybox`, and `rhel` (the script of the crontabs package, which skips leftovers
    and takes anything else).
    """
    if flavour == "debian":
        return _DEFAULT.fullmatch(name) is not None
    if flavour == "lsbsysinit":
        return is_lsb_name(name) and _LSB_LEFT_OVER.fullmatch(name) is None
    if flavour == "busybox":
        return _BUSYBOX.fullmatch(name) is not None and not name.startswith(".")
    return _RHEL_SKIPS.fullmatch(name) is None and not name.startswith(".")


class RunPartsCollector(Collector):
    """Reads which files of the periodic directories would run.

    Reads
    -----
    The names of files in `/etc/cron.hourly`, `cron.daily`, `cron.weekly`, `cron.monthly` and `/etc/periodic`; their
    modes as `auditor collect` lists them; `/etc/os-release` tells whose run-parts reads them.

    Yields
    ------
    A job for each file that run-parts would run; for one that it would skip because of its name, or because it is not
    executable, the same with the reason.

    Can't see
    ---------
    In a repository or a copy, whether a file is executable.
    """

    name: ClassVar[str] = "run_parts"
    title: ClassVar[str] = "Periodic directories: /etc/cron.hourly, daily, weekly, monthly, and /etc/periodic"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON, Relation.CALLS})

    def recognizes(self, path: str, head: bytes) -> bool:
        if path == _STATES:
            return True
        if not path.startswith(("/etc/cron.", "/etc/periodic/")):
            return False
        return (_DIRECTORY.fullmatch(path) or _PERIODIC.fullmatch(path)) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        if document.path == _STATES:
            yield from _modes(decode(document.content).split("\n")[:MAX_STATES])
            return
        periodic = _PERIODIC.fullmatch(document.path)
        found = periodic or _DIRECTORY.fullmatch(document.path)
        if found is None:
            yield Malformed(Where(), "not a file of a periodic directory", "nothing runs it", whole=True)
            return
        period, name = found[1], found[2]
        if name in _PLACEHOLDERS:
            return
        flavours = ("busybox",) if periodic else ("debian", "busybox", "rhel")
        refused = [flavour for flavour in flavours if not runs(name, flavour)]
        attributes: dict[str, Attribute] = {
            "schedule": _SCHEDULES[period],
            "user": "root",
            "command": excerpt(document.path),
        }
        if len(refused) == len(flavours):
            attributes["ignored"] = f"run-parts skips the file name {excerpt(name)!r}"
        else:
            attributes |= {
                f"ignored_by_{flavour}": f"run-parts skips the file name {excerpt(name)!r}" for flavour in refused
            }
        if "debian" in flavours and not runs(name, "lsbsysinit"):
            attributes["ignored_by_lsbsysinit"] = f"run-parts --lsbsysinit may skip the file name {excerpt(name)!r}"
        if not document.content.strip():
            attributes["empty"] = True
        elif not document.content.startswith((b"#!", b"\x7fELF")):
            # execve() fails with ENOEXEC; debianutils' run-parts reports it and goes on.
            attributes["no_interpreter"] = True
        line = document.content[:200].split(b"\n", 1)[0].decode("utf-8", "replace")
        where = Where(1 if line.strip() else 0, excerpt(line))
        job = Ref(Kind.JOB, document.path)
        yield Entity(job, where, attributes)
        yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
        yield Dependency(job, Ref(Kind.PATH, document.path), Relation.CALLS, where)
        if refused and len(refused) < len(flavours):
            yield Fragment("refused", (job, tuple(refused)), where)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Where the host says which system it is, the run-parts of that system decides about a name."""
        flavour = _FAMILIES.get(family_of(read))
        if flavour is None:
            return
        for one in fragments:
            if not isinstance(one.value, tuple):
                continue
            job, refused = one.value
            known: dict[str, Attribute] = {"read_by": flavour}
            if flavour in refused:
                known["ignored"] = f"run-parts skips the file name {excerpt(job.text.rpartition('/')[2])!r}"
            yield Entity(job, Where(one.where.line, one.where.excerpt, one.path), known)


def _modes(lines: Sequence[str]) -> Iterator[Entity]:
    """Jobs whose file is not executable: `644 0 0 189 1750398000 /etc/cron.daily/x`, as stat prints it."""
    for number, line in enumerate(lines, 1):
        found = _STATE.fullmatch(line)
        if found is None or int(found[1], 8) & 0o111 or found[2].rpartition("/")[2] in _PLACEHOLDERS:
            continue
        if _DIRECTORY.fullmatch(found[2]) or _PERIODIC.fullmatch(found[2]):
            why = "run-parts skips it: it is not executable"
            yield Entity(Ref(Kind.JOB, found[2]), Where(number, excerpt(line)), {"ignored": why})
