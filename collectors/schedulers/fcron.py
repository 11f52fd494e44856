"""fcron's tables, which are like crontabs and are none: `@ 30 …`, `&options …`, `%nightly …`, `!options`.

Source: fcrontab(5) of fcron 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    excerpt,
    read_cron_schedule,
)

MAX_JOBS: Final = 10_000
MAX_LINE: Final = 16_384

_SETTING: Final = re.compile(r"([A-Za-z_]\w*)[ \t]*=[ \t]*(.*?)[ \t]*")
_OPTIONS: Final = r"[a-z]+(?:\([^()\n]{0,200}\))?|\d+"
_PREFIX: Final = re.compile(rf"([@&%])(?:((?:{_OPTIONS})(?:,(?:{_OPTIONS}))*)(?=[ \t]))?[ \t]*")
_FREQUENCY: Final = re.compile(r"(?:(\d{1,9})m)?(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(\d{1,9})?(?:(\d{1,9})s)?")
_SECONDS: Final = (28 * 86400, 7 * 86400, 86400, 3600, 60, 1)
_FIELD: Final = re.compile(
    r"[*\d][-\d,*/~a-z]*|(?:(?:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[-,\w]*)",
    re.IGNORECASE,
)
_RUNAS: Final = re.compile(r"\brunas\(\s*([\w.-]+)\s*\)")
_TIMEZONE: Final = re.compile(r"\btimezone\(\s*([\w/+-]+)\s*\)")
_PERIODS: Final = frozenset(
    ("mins hours days mons dow hourly midhourly daily middaily nightly weekly midweekly monthly midmonthly").split()
)


class FcronCollector(Collector):
    """Reads fcron's tables in their source form.

    Reads
    -----
    `/var/spool/fcron/*.orig` (as they were written; what is beside them is compiled), and files of a repository whose
    name has `fcrontab` in it or ends in `.fcron`.

    Yields
    ------
    A job for each line, with its schedule (cron's five fields, or as it was written) or interval in seconds, its user,
    and what its command calls, connects to, reads and writes.

    Can't see
    ---------
    Options that change when a job runs (`bootrun`, `runfreq`, `lavg`), and whether fcron runs.
    """

    name: ClassVar[str] = "fcron"
    title: ClassVar[str] = "fcron's tables"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS, Relation.READS, Relation.WRITES}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name."""
        if "fcron" not in path or b"\x00" in head:
            return False
        if path.startswith("/"):
            return path.startswith("/var/spool/fcron/") and path.endswith(".orig")
        name = path.rpartition("/")[2]
        return ("fcrontab" in name or name.endswith(".fcron")) and not name.endswith((".md", ".sh", ".5", ".yml"))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB a line; a backslash before a line's end continues it."""
        name = document.path.rpartition("/")[2].removesuffix(".orig")
        user = "root" if name == "systab" or not document.path.startswith("/") else name
        timezone = ""
        settings: dict[str, str] = {}
        jobs = number = 0
        lines = iter(decode(document.content).removeprefix("\ufeff").split("\n"))
        for line in lines:
            number += 1
            first = number
            while line.endswith("\\") and len(line) <= MAX_LINE and (following := next(lines, None)) is not None:
                number += 1
                line = line[:-1] + following
            text = line.strip(" \t\r")
            if not text or text.startswith(("#", "{%", "{#")):
                continue
            where = Where(first, excerpt(text))
            if len(text) > MAX_LINE or jobs >= MAX_JOBS:
                yield Malformed(where, "too long a line, or too many jobs", "it was not read")
            elif setting := _SETTING.fullmatch(text):
                settings[setting[1]] = setting[2].strip("\"'")
            elif text.startswith("!"):
                user = found[1] if (found := _RUNAS.search(text)) else user
                timezone = found[1] if (found := _TIMEZONE.search(text)) else timezone
            else:
                attributes: dict[str, Attribute] = {"user": user, "dialect": "fcron"}
                if timezone:
                    attributes["timezone"] = timezone
                try:
                    command = _entry(text, attributes)
                except ValueError as problem:
                    if "{{" not in text and "<%" not in text:
                        yield Malformed(where, excerpt(str(problem)), "fcrontab refuses the file with this line")
                    continue
                jobs += 1
                yield from _job(document.path, where, command, attributes, settings)


def _entry(text: str, attributes: dict[str, Attribute]) -> str:
    """The command of a line; its schedule goes to the attributes. Raises ValueError with what is wrong."""
    prefix = _PREFIX.match(text)
    kind, options = (prefix[1], prefix[2] or "") if prefix else ("&", "")
    rest = text[prefix.end() :] if prefix else text
    if found := _RUNAS.search(options):
        attributes["user"] = found[1]
    if found := _TIMEZONE.search(options):
        attributes["timezone"] = found[1]
    if kind == "@":
        # `@ 30 …` or `@options 30 …`; a frequency may stand where options do: `@30 …` has none.
        frequency, _, command = rest.partition(" ") if not _only_time(options) else (options, "", rest)
        seconds = _interval(frequency.strip())
        if not seconds:
            raise ValueError(f"{frequency[:40]!r} is no frequency")
        attributes["schedule"] = f"every {frequency.strip()}"
        attributes["interval"] = seconds
    else:
        words = rest.split(None, 5)
        count = 5 if kind == "&" else 0
        while kind == "%" and count < min(5, len(words) - 1) and _FIELD.fullmatch(words[count]):
            count += 1
        if kind == "%" and options.partition(",")[0] not in _PERIODS:
            raise ValueError(f"{options.partition(',')[0][:40]!r} is no period")
        if len(words) <= count or not count or not all(_FIELD.fullmatch(word) for word in words[:count]):
            raise ValueError("not of the form: five fields of time, and a command")
        command = rest.split(None, count)[count]
        fields = " ".join(words[:count])
        if kind == "&":
            attributes["schedule"] = fields if _is_cron(fields) else excerpt(fields)
        else:
            attributes["schedule"] = excerpt(f"%{options} {fields}")
    if not command.strip():
        raise ValueError("a line without a command")
    return command.strip()


def _only_time(options: str) -> bool:
    return bool(options) and _interval(options) > 0


def _interval(text: str) -> int:
    """Seconds of `1w2d3h5`: months of four weeks, weeks, days, hours, minutes; 0 if it is no time."""
    found = _FREQUENCY.fullmatch(text)
    if found is None or not text:
        return 0
    return sum(int(value) * unit for value, unit in zip(found.groups(), _SECONDS, strict=True) if value)


def _is_cron(fields: str) -> bool:
    try:
        read_cron_schedule(fields)
    except ValueError:
        return False
    return True


def _job(
    path: str, where: Where, command: str, attributes: dict[str, Attribute], settings: dict[str, str]
) -> Iterator[Parsed]:
    shown = excerpt(" ".join(command.split()))
    job = Ref(Kind.JOB, f"{path}: {attributes['user']} {shown}")
    yield Entity(job, where, {**attributes, "command": shown})
    if path.startswith("/"):
        yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
    yield from analyse_command(command, job, where, environment=settings)
