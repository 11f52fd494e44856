"""at and batch: jobs that wait in the spool, each to run once.

Source: at(1) and atrun(8) of at 3.2: a file is called by its queue, five hexadecimal digits of its number and eight of
minutes since 1970; it begins with a header, the whole environment at the time, and a `cd`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
    analyse_script,
    decode,
    excerpt,
)

_PLACES: Final = ("/var/spool/cron/atjobs/", "/var/spool/at/", "/var/spool/atjobs/")
_NAME: Final = re.compile(r"([a-zA-Z=])([0-9a-f]{5})([0-9a-f]{8})")
_HEADER: Final = re.compile(r"^# atrun uid=(\d+) gid=(\d+)[ \t]*$", re.MULTILINE)
_MAIL: Final = re.compile(r"^# mail[ \t]+(\S+)[ \t]+([01-])", re.MULTILINE)
_CHANGE: Final = re.compile(r"^cd [^\n]*\|\| \{\n[^\n]*\n[^\n]*exit 1\n\}\n", re.MULTILINE)


class AtJobsCollector(Collector):
    """Jobs of at: one each file, with the time that it is to run.

    Reads
    -----
    `/var/spool/cron/atjobs/` (Debian), `/var/spool/at/` (Red Hat, SUSE), `/var/spool/atjobs/`.

    Yields
    ------
    A job that runs on the captured host with `runs_at` in UTC, its user's number, its queue, and what its commands
    call, reach, read and write.

    Can't see
    ---------
    The environment that at saved (it may hold secrets, and is not read), and jobs of macOS and BSD, whose names differ.
    """

    name: ClassVar[str] = "at_jobs"
    title: ClassVar[str] = "at jobs"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS, Relation.READS, Relation.WRITES}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the spool's directory and the name."""
        if not path.startswith("/var/spool/") or not path.startswith(_PLACES):
            return False
        return _NAME.fullmatch(path[path.rfind("/") + 1 :]) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One JOB."""
        found = _NAME.fullmatch(document.path.rpartition("/")[2])
        if found is None:
            return
        text = decode(document.content).replace("\r\n", "\n")
        lines = text.split("\n")
        header = _HEADER.search(text)
        if header is None:
            where = Where(1, excerpt(lines[0]))
            yield Malformed(where, "no `# atrun uid=… gid=…` line", "atd does not run the job", True)
            return
        job = Ref(Kind.JOB, f"at job {int(found[2], 16)}")
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=int(found[3], 16))
        attributes: dict[str, Attribute] = {
            "dialect": "at",
            "schedule": f"once at {when.isoformat(timespec='minutes')}",
            "runs_at": when.isoformat(),
            "queue": found[1],
            "uid": int(header[1][:9]),
        }
        if mail := _MAIL.search(text):
            attributes["user"] = excerpt(mail[1])
        # Commands follow the change of directory; before it stands the environment.
        change = _CHANGE.search(text, header.end())
        start = change.end() if change is not None else None
        if start is None:
            where = Where(text.count("\n", 0, header.start()) + 1, excerpt(header[0]))
            yield Entity(job, where, attributes)
            yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
            yield Malformed(where, "no `cd` before the commands", "its commands are scanned for mentions only")
            return
        body = text[start:]
        line = text.count("\n", 0, start) + 1
        number = next((n for n, one in enumerate(lines[line - 1 :], line) if one.strip()), line)
        place = Where(number, excerpt(lines[number - 1]) if number <= len(lines) else "")
        attributes["command"] = place.excerpt
        yield Entity(job, place, attributes)
        yield Dependency(job, THIS_HOST, Relation.RUNS_ON, place)
        yield from analyse_script(body, job, Where(line))
