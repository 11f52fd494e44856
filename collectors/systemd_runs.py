"""What systemd says of its timers and services: when they ran last, and with what result.

Sources: systemctl(1) `show`, org.freedesktop.systemd1(5) for the properties, systemd.timer(5) for `Persistent=`; and
anacron(8) for the dates in its spool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Final

from auditor.api import (
    EXCERPT_LIMIT,
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
)

BLOCK_LIMIT: Final = 20_000
"""Units of one file that are read."""
PROPERTY_LIMIT: Final = 200
_FILES: Final = frozenset(
    {"/.auditor/systemctl-units.txt", "/.auditor/systemctl-timers.txt", "/.auditor/systemctl-services.txt"}
)
_ANACRON: Final = "/var/spool/anacron/"
_UNIT: Final = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}\.(?:timer|service)")
_TIME: Final = re.compile(r"[A-Z][a-z]{2} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\S+)")
_NEVER: Final = frozenset({"", "0", "n/a"})


@dataclass(frozen=True, slots=True)
class _Block:
    """The properties of one unit, and the line on which they begin."""

    properties: tuple[tuple[str, str], ...]
    line: int

    def get(self, key: str) -> str:
        return next((value for name, value in self.properties if name == key), "")

    def has(self, key: str) -> bool:
        return any(name == key for name, _ in self.properties)


class SystemdRunsCollector(Collector):
    """When timers and services of systemd, and jobs of anacron, ran last, and whether they failed.

    Reads
    -----
    What `auditor collect` keeps of `systemctl show` (`.auditor/systemctl-units.txt`; in older snapshots
    `systemctl-timers.txt` and `systemctl-services.txt`) and the dates in `/var/spool/anacron`.

    Yields
    ------
    For each timer the times of its last run and of the next, and whether it will run again; a timer that
    has no unit file, as a job. For each service that a timer starts, or that failed, its last
    result, exit status and times; for each job of anacron its last day. `auditor collect` asks for times in UTC; those
    of another zone are taken as UTC, as zones are written by ambiguous letters: they are right to half a day.

    Can't see
    ---------
    Runs before the last start of the machine, of timers that are not `Persistent=`; when jobs of cron ran.
    """

    name: ClassVar[str] = "systemd_runs"
    title: ClassVar[str] = "Last runs of timers, services and anacron's jobs"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return path in _FILES or (path.startswith(_ANACRON) and path.count("/") == 4)

    def parse(self, document: Document) -> Iterator[Parsed]:
        if document.path.startswith(_ANACRON):
            yield from _anacron(document)
            return
        blocks: list[_Block] = []
        properties: list[tuple[str, str]] = []
        first = 0
        for number, line in enumerate([*decode(document.content).split("\n"), ""], 1):
            key, equals, value = line.partition("=")
            if equals:
                first = first or number
                if len(properties) < PROPERTY_LIMIT:
                    properties.append((key.strip(), value.strip()[:EXCERPT_LIMIT]))
            elif properties:
                blocks.append(_Block(tuple(properties), first))
                properties, first = [], 0
                if len(blocks) >= BLOCK_LIMIT:
                    yield Malformed(Where(number), f"more than {BLOCK_LIMIT} units", "the rest is not read")
                    break
        if document.content.strip() and not any(one.get("Id") for one in blocks):
            yield Malformed(Where(1), "not what `systemctl show` prints", "no run is known from it", whole=True)
            return
        yield Fragment("units", tuple(blocks), Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The runs of one host. Facts that come after those of the unit files: those say what a unit is."""
        timers: dict[str, tuple[_Block, str]] = {}
        services: dict[str, tuple[_Block, str]] = {}
        for fragment in fragments:
            if fragment.kind == "day":
                yield from _of_anacron(fragment)
                continue
            for block in fragment.value if isinstance(fragment.value, tuple) else ():
                if isinstance(block, _Block) and _UNIT.fullmatch(name := block.get("Id")):
                    (timers if name.endswith(".timer") else services)[name] = (block, fragment.path)
        starts = [moment for block, _ in services.values() if (moment := _moment(block.get("ExecMainStartTimestamp")))]
        for name, (block, path) in timers.items():
            if block.get("LoadState") in ("", "loaded"):
                job, where = Ref(Kind.JOB, name), _where(block, path)
                yield Entity(job, where, _timer(block, min(starts, default=None)))
                if block.has("FragmentPath") and not block.get("FragmentPath") and name.endswith(".timer"):
                    # Made by `systemd-run --on-calendar`: no file says it.
                    yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
                    if _UNIT.fullmatch(block.get("Unit")):
                        yield Dependency(job, Ref(Kind.UNIT, block.get("Unit")), Relation.CALLS, where)
        started = {block.get("Unit") for block, _ in timers.values()}
        for name, (block, path) in services.items():
            if name in started or block.get("Result") not in ("", "success"):
                yield Entity(Ref(Kind.UNIT, name), _where(block, path), _service(block))


def _where(block: _Block, path: str) -> Where:
    shown = " ".join(f"{key}={value}" for key, value in block.properties if value not in _NEVER)
    return Where(block.line, excerpt(shown), path)


def _timer(block: _Block, up_since: str | None) -> dict[str, Attribute]:
    known: dict[str, Attribute] = {"runs_known": True}
    if last := _moment(block.get("LastTriggerUSec")):
        known["last_run"] = last
    if coming := _moment(block.get("NextElapseUSecRealtime")):
        known["next_run"] = coming
    if up_since:
        known["runs_since"] = up_since
    over = block.get("SubState") == "elapsed" and block.get("NextElapseUSecMonotonic") in ("infinity", "")
    if over and block.get("NextElapseUSecRealtime") in _NEVER and not _comes_once(block):
        known["elapsed"] = True
    # systemd's own word counts for more than the links that were captured; what was started runs, enabled or not.
    if block.get("UnitFileState").startswith("enabled") or block.get("ActiveState") == "active":
        known["enabled"] = True
    elif block.get("UnitFileState") == "disabled":
        known["enabled"] = False
    if state := block.get("ActiveState"):
        known["active_state"] = excerpt(state)
    return known


def _comes_once(block: _Block) -> bool:
    """Whether a timer is over until the next boot, as it should be: it has no calendar, and does not repeat."""
    monotonic = " ".join(value for key, value in block.properties if key == "TimersMonotonic")
    repeats = "OnUnitActiveUSec" in monotonic or "OnUnitInactiveUSec" in monotonic
    return bool(monotonic) and not repeats and not block.get("TimersCalendar")


def _service(block: _Block) -> dict[str, Attribute]:
    known: dict[str, Attribute] = {}
    for key, name in (("Result", "last_result"), ("ActiveState", "active_state")):
        if value := block.get(key):
            known[name] = excerpt(value)
    if (status := block.get("ExecMainStatus")).isdecimal():
        known["last_status"] = int(status[:9])
    for key, name in (("ExecMainStartTimestamp", "last_started"), ("ExecMainExitTimestamp", "last_ended")):
        if moment := _moment(block.get(key)):
            known[name] = moment
    return known


def _moment(text: str) -> str | None:
    """`Fri 2025-11-21 03:17:04 UTC` as ISO 8601."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).isoformat()
    except ValueError:
        return None


def _anacron(document: Document) -> Iterator[Parsed]:
    text = decode(document.content[:64]).strip()
    name = document.path.removeprefix(_ANACRON)
    if not text:
        # anacron makes the file as it first looks at the job, and writes the day once it has run.
        return
    if re.fullmatch(r"\d{8}", text) is None or _day(text) is None:
        yield Malformed(Where(1, excerpt(text)), "not a date", "anacron takes the job as never run", whole=True)
        return
    yield Fragment("day", (name, text), Where(1, text))


def _of_anacron(fragment: Fragment) -> Iterator[Parsed]:
    name, text = fragment.value if isinstance(fragment.value, tuple) else ("", "")
    if moment := _day(text):
        job = Ref(Kind.JOB, f"/etc/anacrontab: {excerpt(name)}")
        yield Entity(job, replace(fragment.where, path=fragment.path), {"runs_known": True, "last_run": moment})


def _day(text: str) -> str | None:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return None
