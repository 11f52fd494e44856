"""Reads /etc/batchd.conf of an in-house scheduler: a line for each batch, `NAME HH:MM HOST`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    host_ref,
)

_LINE = re.compile(r"(?P<name>[\w-]+)\s+(?P<hour>\d\d):(?P<minute>\d\d)\s+(?P<host>\S+)")


class BatchdCollector(Collector):
    """Batches of batchd.

    Reads
    -----
    `/etc/batchd.conf`.

    Yields
    ------
    A job for each batch, which runs on this host and starts something on the one that it names.

    Can't see
    ---------
    What a batch does there.
    """

    name: ClassVar[str] = "batchd"
    title: ClassVar[str] = "Batches of batchd"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By its path: this is asked of every file, and must be cheap."""
        return path == "/etc/batchd.conf"

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts with their lines; a line that batchd would refuse is said, and the rest goes on."""
        for number, line in enumerate(decode(document.content).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            where = Where(number, excerpt(line))
            found = _LINE.fullmatch(line.strip())
            host = host_ref(found["host"]) if found else None
            if found is None or host is None:
                yield Malformed(where, "not `NAME HH:MM HOST`", "batchd leaves the line out")
                continue
            job = Ref(Kind.JOB, f"batch {found['name']}")
            yield Entity(job, where, {"schedule": f"{int(found['minute'])} {int(found['hour'])} * * *", "batch": True})
            yield Dependency(job, THIS_HOST, Relation.RUNS_ON, where)
            yield Dependency(job, host, Relation.CONNECTS, where, Need.RUN)
