"""anacron's table: jobs by the day, for machines that are not always on.

Sources: anacrontab(5) and anacron(8) of cronie and of Debian's anacron.
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
)

MAX_JOBS: Final = 1000
MAX_LINE: Final = 16_384
_SETTING: Final = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*?)[ \t]*")
_JOB: Final = re.compile(r"[ \t]*(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S.*?)[ \t]*")
_NAMED: Final = {"@daily": 1, "@weekly": 7, "@monthly": 31, "@yearly": 365, "@annually": 365}
_SCHEDULES: Final = {"1": "@daily", "7": "@weekly"}
_HOURS: Final = re.compile(r"\s*(\d{1,2})\s*-\s*(\d{1,2})\s*")
_DAY: Final = 86400


class AnacronCollector(Collector):
    """Reads anacrontab.

    Reads
    -----
    `/etc/anacrontab`, and files of that name in repositories.

    Yields
    ------
    A job for each line, called by its job id, with its period and delay in seconds, and what its command calls,
    connects to and writes.

    Can't see
    ---------
    Whether anything starts anacron at all.
    """

    name: ClassVar[str] = "anacron"
    title: ClassVar[str] = "anacron's table (/etc/anacrontab)"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS, Relation.READS, Relation.WRITES}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        if "anacrontab" not in path:
            return False
        if path.startswith("/"):
            return path in ("/etc/anacrontab", "/usr/local/etc/anacrontab")
        return (
            re.search(r"(?:^|[/._-])anacrontab(?:\.(?:j2|erb|epp|tmpl|in))?$", path) is not None and b"\0" not in head
        )

    def parse(self, document: Document) -> Iterator[Parsed]:
        if b"\0" in document.content[:65536] and "\0" in decode(document.content[:65536]):
            yield Malformed(Where(), "this is not text", "anacron can make nothing of it", whole=True)
            return
        settings: dict[str, str] = {}
        seen: dict[str, int] = {}
        jobs = 0
        number = 0
        lines = iter(decode(document.content).split("\n"))
        for line in lines:
            number += 1
            first = number
            while line.endswith("\\") and len(line) <= MAX_LINE:
                following = next(lines, None)
                if following is None:
                    break
                number += 1
                line = line[:-1] + following
            text = line.rstrip("\r")
            if not text.strip() or text.lstrip().startswith(("#", "{%", "{#")):
                continue
            where = Where(first, excerpt(text))
            if len(text) > MAX_LINE or jobs >= MAX_JOBS:
                yield Malformed(where, "too long a line, or too many jobs", "it was not read")
                continue
            setting = _SETTING.fullmatch(text)
            if setting is not None:
                settings[setting[1]] = setting[2]
                continue
            found = _JOB.fullmatch(text)
            if found is None:
                yield Malformed(where, "not of the form: period delay identifier command", "anacron skips this line")
                continue
            jobs += 1
            yield from self._job(document.path, where, found, settings, seen)

    def _job(
        self, path: str, where: Where, found: re.Match[str], settings: dict[str, str], seen: dict[str, int]
    ) -> Iterator[Parsed]:
        period, delay, identifier, command = found.groups()
        attributes: dict[str, Attribute] = {
            "schedule": _SCHEDULES.get(period)
            or (excerpt(period) if period[0] == "@" else f"every {excerpt(period)} days"),
            "user": "root",
            "command": excerpt(" ".join(command.split())),
            "identifier": excerpt(identifier),
            "dialect": "anacron",
        }
        problem = ""
        if period.isascii() and period.isdecimal() and 0 < int(period[:9]) < 1_000_000:
            attributes["interval"] = int(period[:9]) * _DAY
        elif period in _NAMED:
            attributes["interval"] = _NAMED[period] * _DAY
        else:
            problem = f"bad period: {excerpt(period)!r}"
        if delay.isascii() and delay.isdecimal():
            attributes["delay"] = int(delay[:9]) * 60
        else:
            problem = problem or f"bad delay: {excerpt(delay)!r}"
        if "/" in identifier:
            problem = problem or f"bad identifier: {excerpt(identifier)!r} has a slash"
        if problem and "{{" not in f"{period}{delay}":
            yield Malformed(where, problem, "anacron skips this line")
            attributes["ignored"] = problem
        if hours := settings.get("START_HOURS_RANGE", ""):
            bounds = _HOURS.fullmatch(hours)
            attributes["hours"] = excerpt(hours)
            if bounds and int(bounds[1]) >= int(bounds[2]):
                attributes["never_runs"] = f"START_HOURS_RANGE={excerpt(hours)} holds no hour"
        for variable in ("RANDOM_DELAY", "MAILTO", "PATH", "SHELL"):
            if variable in settings:
                attributes[variable.lower()] = excerpt(settings[variable])
        seen[identifier] = count = seen.get(identifier, 0) + 1
        text = f"{path}: {excerpt(identifier)}"
        job = Ref(Kind.JOB, text if count == 1 else f"{text} #{count}")
        yield Entity(job, where, attributes)
        yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
        yield from analyse_command(command, job, where, environment=settings)
