r"""Windows Task Scheduler: tasks as XML, exported or from `C:\Windows\System32\Tasks`.

Sources: MS-TSCH section 2.5; Get-ScheduledTaskInfo; "Task Scheduler Error and Success Constants". The files'
declaration says UTF-16 whatever the bytes are, so it is not believed; one file may hold several tasks
(`schtasks /query /xml` puts a comment with its path before each).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
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
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    host_ref,
    lazy_pattern,
    parse_time,
    read_yaml,
)
from collectors.schedulers.windows_commands import machines_in, scripts_in
from collectors.schedulers.xmlnodes import XmlNode, XmlProblem, read_xml

TASKS_LIMIT: Final = 10_000
"""Tasks of one file that are read."""

_MARK: Final = b"schemas.microsoft.com/windows/2004/02/mit/task"
_WIDE: Final = "schemas.microsoft.com/windows/2004/02/mit/task".encode("utf-16-le")
_BEGIN: Final = lazy_pattern(r"<Task[\s>]")
_END: Final = "</Task>"
_NAMED: Final = lazy_pattern(r"<!--\s*(\\[^<>]{1,500}?)\s*-->\s*(?:<\?xml[^<>]{0,200}\?>\s*)?$")
_VISIBLE: Final = lazy_pattern(r"[^\n]")
_RENEWAL: Final = lazy_pattern(r"(?:^|[\\/\"\s])(?:wacs|letsencrypt)\.exe\b", re.IGNORECASE)
_CERTBOT: Final = lazy_pattern(r"(?:^|[\\/\"\s])(certbot|lego)(?:\.exe)?\b(?=.*\brenew\b)", re.IGNORECASE | re.DOTALL)
_POSH_ACME: Final = lazy_pattern(r"\bSubmit-Renewal\b|\bPosh-ACME\b", re.IGNORECASE)
_ENCODED: Final = lazy_pattern(r"(\s[-/](?:e|ec|enc\w*)\s+)[\"']?([A-Za-z0-9+/]{16,60000}={0,2})", re.IGNORECASE)
_RUNS: Final = "/.auditor/windows-tasks.json"
"""What `auditor collect` keeps of Get-ScheduledTaskInfo."""
_DIRECTORY: Final = "System32/Tasks/"
_NEVER_RAN: Final = 0x41303
_STOPPED: Final = 0x41306
_NO_RESULT: Final = frozenset(
    {0x41300, 0x41301, 0x41302, _NEVER_RAN, 0x41304, 0x41305, 0x41325, 0x8004131F, 0x800710E0}
)
"""Ready, running, disabled, never run, no more runs, not scheduled, queued, running already, refused by its settings:
no result of a run."""
_COPIED: Final = 8
"""Exit statuses of robocopy below it mean that it did its work."""
_SECONDS: Final = lazy_pattern(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?")
_DAY: Final = 86_400
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_EVENTS: Final = {
    "BootTrigger": "at system start",
    "LogonTrigger": "at log on",
    "IdleTrigger": "when idle",
    "RegistrationTrigger": "when registered",
    "EventTrigger": "on an event",
    "SessionStateChangeTrigger": "on a change of session",
    "WnfStateChangeTrigger": "on a change of state",
}


class WindowsTasksCollector(Collector):
    """Scheduled tasks of a Windows machine: when they run, as whom, what they start, and which machines that names.

    Reads
    -----
    XML of Task Scheduler, in UTF-16 or UTF-8 whatever it says of itself: single tasks, and the answer of
    `schtasks /query /xml`. `windows-tasks.json` in the directory `.auditor` of a captured host: when each ran last and
    runs next, and its result, as Get-ScheduledTaskInfo tells.

    Yields
    ------
    A job for each task, which runs on the captured host, with its triggers in words, its user, and whether it is
    disabled; when it ran last, and how that ended; machines of UNC paths, URLs, `-ComputerName` and SSH in its
    commands; a mail server; ACME clients (win-acme, Posh-ACME, certbot, lego) that it runs.

    Can't see
    ---------
    What COM handlers and programs do, variables such as `%LOGONSERVER%`, and whether a status other than 0 means to its
    program that it failed; robocopy's are known.
    """

    name: ClassVar[str] = "windows_tasks"
    title: ClassVar[str] = "Windows Task Scheduler"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the namespace of tasks, in files called `.xml` and in the scheduler's own directory; and last runs."""
        if path == _RUNS:
            return True
        if not path.endswith(".xml") and "System32/Tasks/" not in path and "/Tasks/" not in path:
            return False
        return _MARK in head or _WIDE in head or _WIDE[1:] in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a task; fragments of last runs."""
        if document.path == _RUNS:
            yield from _runs(document)
            return
        text = decode(document.content).replace("\r\n", "\n").replace("\r", "\n")
        base = document.path.rpartition("/")[2].removesuffix(".xml")
        blank = _without_comments(text)
        lines = text.split("\n")
        count = 0
        line, last = 1, 0
        for start, end in _tasks(blank):
            count += 1
            line += text.count("\n", last, start)
            before, last = text[max(last, start - 1000) : start], start
            if count > TASKS_LIMIT:
                yield Malformed(Where(line), f"more than {TASKS_LIMIT:,} tasks: the rest is not read")
                return
            try:
                root = read_xml(blank[start:end], line)
            except XmlProblem as problem:
                where = Where(problem.line, _line(lines, problem.line))
                yield Malformed(where, excerpt(problem.reason), "Task Scheduler refuses the task", False)
                continue
            named = _NAMED.search(before)
            name = root.value("RegistrationInfo", "URI") or (named[1] if named else base)
            job = Ref(Kind.JOB, f"task {excerpt(name)}")
            yield from _task(root, lines, job, name)
            if _DIRECTORY in document.path:
                place = "\\" + document.path.partition(_DIRECTORY)[2].replace("/", "\\")
                known = (place.casefold(), job.text, _program(root), _begins(root))
                yield Fragment("task", known, Where(root.line, excerpt(name)))
        if not count:
            yield Malformed(Where(1, _line(lines, 1)), "no complete <Task>", "Task Scheduler refuses the file", True)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """When tasks ran last: the answer names them by their path, and a task may call itself otherwise."""
        tasks: dict[str, tuple[str, str, str]] = {}
        for one in fragments:
            if one.kind == "task" and isinstance(one.value, tuple):
                place, job, program, begins = one.value
                tasks[place] = job, program, begins
        for one in fragments:
            if one.kind == "run" and isinstance(one.value, tuple):
                place, last, following, result = one.value
                if place in tasks:
                    job, program, begins = tasks[place]
                    where = Where(one.where.line, one.where.excerpt, one.path)
                    yield Entity(Ref(Kind.JOB, job), where, _last_run(last, following, result, program, begins))


def _runs(document: Document) -> Iterator[Parsed]:
    stream = read_yaml(document.content)
    if stream.problem is not None:
        line = min(stream.problem.line, len(stream.lines))
        yield Malformed(Where(line), excerpt(stream.problem.reason), "what stands after it is not seen")
    for root in stream.documents:
        for task in root.elements if root.is_list else ():
            place = task.get("path") if task.is_map else None
            if place is None or not place.is_scalar or not place.scalar.startswith("\\"):
                continue
            last, following, result = (task.text(key) for key in ("last", "next", "result"))
            said = excerpt(f"{place.scalar}: result {result or 'not known'}, last run {last or 'not known'}")
            value = (place.scalar.casefold(), last, following, int(result) if result.isdecimal() else -1)
            yield Fragment("run", value, Where(stream.where(place).line, said))


def _last_run(last: str, following: str, result: int, program: str, begins: str) -> dict[str, Attribute]:
    """What is known of a last run. A task that never ran has a time of 1999, or of 1899 in older versions."""
    known: dict[str, Attribute] = {"runs_known": True}
    ran = parse_time(last)
    if ran is not None and ran.year >= 2000 and result != _NEVER_RAN:
        known["last_run"] = known["last_started"] = ran.isoformat()
    elif begins:
        known["runs_since"] = begins
    if (coming := parse_time(following)) is not None and coming.year >= 2000:
        known["next_run"] = coming.isoformat()
    if result == _STOPPED:
        known["last_result"] = "stopped"
    elif result == 0 or (program == "robocopy" and 0 < result < _COPIED):
        known["last_result"] = "success"
    elif result > 0 and result not in _NO_RESULT:
        known["last_result"] = "exit-code"
        known["last_status"] = result if result < 0x10000 else f"0x{result:08X}"
    return known


def _program(root: XmlNode) -> str:
    """The program of a task that runs one alone, without its directory and `.exe`."""
    actions = root.find("Actions")
    runs = actions.all("Exec") if actions is not None else []
    if len(runs) != 1:
        return ""
    return runs[0].value("Command").strip("\"' ").replace("/", "\\").rpartition("\\")[2].lower().removesuffix(".exe")


def _begins(root: XmlNode) -> str:
    """Since when a task could have run: it was made, and the first of its triggers has begun. Empty if not known."""
    made = parse_time(root.value("RegistrationInfo", "Date"))
    triggers = root.find("Triggers")
    starts = [parse_time(one.value("StartBoundary")) for one in (triggers.children if triggers is not None else ())]
    begun = [one for one in starts if one is not None]
    times = [one for one in (made, min(begun, default=None)) if one is not None]
    return max(times).isoformat() if len(times) == 2 else ""


def _seconds(text: str) -> int:
    """A duration of XML Schema, without years and months; 0 if it is none."""
    found = _SECONDS.fullmatch(text)
    if found is None:
        return 0
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _interval(trigger: XmlNode) -> int:
    """The longest time between two runs by a trigger, in seconds; 0 if it does not come again by itself."""
    repeated = _seconds(trigger.value("Repetition", "Interval"))
    if repeated and not trigger.value("Repetition", "Duration"):
        return repeated
    for name, key, days in (("ScheduleByDay", "DaysInterval", 1), ("ScheduleByWeek", "WeeksInterval", 7)):
        schedule = trigger.find(name)
        if schedule is not None:
            count = schedule.value(key)
            return (int(count) if count.isdecimal() and len(count) < 4 else 1) * days * _DAY
    month = trigger.find("ScheduleByMonth") or trigger.find("ScheduleByMonthDayOfWeek")
    if month is None:
        return 0
    months = month.find("Months")
    return (31 if months is None or len(months.children) == 12 else 366) * _DAY


def _tasks(text: str) -> Iterator[tuple[int, int]]:
    """Where tasks begin and end."""
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        end = text.find(_END, begin.end())
        if end < 0:
            return
        at = end + len(_END)
        yield begin.start(), at


def _without_comments(text: str) -> str:
    """The text with its comments blanked, so that nothing moves."""
    parts: list[str] = []
    at = 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin + 4)) >= 0:
        parts += (text[at:begin], _VISIBLE.sub(" ", text[begin : end + 3]))
        at = end + 3
    return "".join((*parts, text[at:]))


def _line(lines: list[str], number: int) -> str:
    return excerpt(lines[number - 1]) if 0 < number <= len(lines) else ""


def _task(root: XmlNode, lines: list[str], job: Ref, name: str) -> Iterator[Parsed]:
    triggers = root.find("Triggers")
    said: list[str] = []
    ends: list[str] = []
    intervals: list[int] = []
    first = root.line
    for trigger in triggers.children if triggers is not None else ():
        if trigger.value("Enabled").lower() == "false":
            continue
        if not said:
            first = trigger.line
        said.append(_when(trigger))
        ends.append(trigger.value("EndBoundary"))
        intervals.append(_interval(trigger))
    attributes: dict[str, Attribute] = {"dialect": "windows"}
    if said:
        attributes["schedule"] = excerpt("; ".join(said[:20]))
    if any(intervals):
        attributes["interval"] = min(filter(None, intervals))
    if said and all(ends):
        attributes["ends"] = excerpt(max(ends))
    if root.value("Settings", "Enabled").lower() == "false":
        attributes["ignored"] = "disabled"
    user = root.value("Principals", "Principal", "UserId") or root.value("Principals", "Principal", "GroupId")
    if user:
        attributes["user"] = excerpt(user)
    actions = root.find("Actions")
    commands = [_command(one) for one in (actions.all("Exec") if actions is not None else ())]
    if commands:
        attributes["command"] = excerpt(commands[0])
    yield Entity(job, Where(first, _line(lines, first)), attributes)
    yield Dependency(job, THIS_HOST, Relation.RUNS_ON, Where(root.line, excerpt(name)))
    for action in actions.children[:1000] if actions is not None else ():
        if action.name == "Exec":
            yield from _exec(job, action, lines)
        elif action.name == "SendEmail":
            server = action.find("Server")
            found = host_ref(server.text.strip()) if server is not None else None
            if server is not None and found is not None:
                yield Dependency(
                    job, found, Relation.CONNECTS, Where(server.line, _line(lines, server.line)), Need.WRITE
                )


def _command(action: XmlNode) -> str:
    """Command and arguments, what PowerShell has encoded in clear."""
    return " ".join(_ENCODED.sub(_decoded, f"{action.value('Command')} {action.value('Arguments')}").split())[:8000]


def _decoded(found: re.Match[str]) -> str:
    """`-EncodedCommand` is UTF-16 in Base64: PowerShell's about_PowerShell_exe."""
    try:
        return found[1] + b64decode(found[2]).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError):
        return found[0]


def _exec(job: Ref, action: XmlNode, lines: list[str]) -> Iterator[Parsed]:
    """Machines that a command names. Its own file on a share must be there for it to run."""
    seen: set[tuple[Ref, Need]] = set()
    whole = _command(action)
    for key in ("Command", "Arguments", "WorkingDirectory"):
        node = action.find(key)
        if node is None:
            continue
        text = _ENCODED.sub(_decoded, f" {node.text.strip()[:100_000]}")
        where = Where(node.line, _line(lines, node.line))
        for target, need, sure in machines_in(text, whole, program=key == "Command"):
            if (target, need) not in seen:
                seen.add((target, need))
                yield Dependency(job, target, Relation.CONNECTS, where, need, confidence=sure)
        for script in scripts_in(text):
            yield Dependency(job, script, Relation.CALLS, where)
    line = (action.find("Command") or action).line
    place = Where(line, _line(lines, line))
    if _RENEWAL.search(whole):
        yield Dependency(job, Ref(Kind.CLIENT, "win-acme"), Relation.CALLS, place)
    elif found_client := _CERTBOT.search(whole):
        yield Dependency(job, Ref(Kind.CLIENT, found_client[1].lower()), Relation.CALLS, place)
    elif _POSH_ACME.search(whole):
        yield Dependency(job, Ref(Kind.CLIENT, "posh-acme"), Relation.CALLS, place)


def _when(trigger: XmlNode) -> str:
    """A trigger in words, such as `every 2 weeks on Monday at 08:00`."""
    if trigger.name in _EVENTS:
        return _EVENTS[trigger.name]
    start = trigger.value("StartBoundary")
    at = f" at {start[11:16]}" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", start) else ""
    repeat = trigger.value("Repetition", "Interval")
    again = f", again each {repeat.removeprefix('PT').removeprefix('P').lower()}" if repeat else ""
    if trigger.name == "TimeTrigger":
        return f"once on {start[:10]}{at}{again}" if start else f"once{again}"
    day = trigger.find("ScheduleByDay")
    if day is not None:
        count = day.value("DaysInterval") or "1"
        return f"{'daily' if count == '1' else f'each {count} days'}{at}{again}"
    week = trigger.find("ScheduleByWeek")
    if week is not None:
        count = week.value("WeeksInterval") or "1"
        days = week.find("DaysOfWeek")
        names = [one.name for one in (days.children if days is not None else ()) if one.name in _DAYS]
        return f"{'weekly' if count == '1' else f'each {count} weeks'} on {', '.join(names) or 'no day'}{at}{again}"
    month = trigger.find("ScheduleByMonth") or trigger.find("ScheduleByMonthDayOfWeek")
    if month is not None:
        inner = month.find("DaysOfMonth")
        days_of = [one.text.strip() for one in (inner.children if inner is not None else ())]
        return f"monthly{' on ' + ', '.join(days_of[:31]) if days_of else ''}{at}{again}"
    return f"{trigger.name}{at}{again}"
