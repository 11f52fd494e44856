"""Files that nobody can change, whatever their mode says: lsattr(1) of e2fsprogs, `ls -lo` of FreeBSD and macOS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
)

MAX_LINES: Final = 20_000

_PATH: Final = "/.auditor/immutable.txt"
_LSATTR: Final = re.compile(r"([-A-Za-z]{4,40}) (/[^\x00-\x1f]{1,1024})")
# chflags(1): mode, links, owner, group, flags, size, month, day, time or year, name. Of a link its target as well.
_LS: Final = re.compile(
    r"[-dl][-rwxsStT]{9}\S? +\d+ +\d+ +\d+ +([a-z,-]{1,200}) +\d+ +\w{3} +\d+ +[\d:]{4,5} (/[^\x00-\x1f]{1,1024})"
)
_IMMUTABLE: Final = frozenset({"schg", "uchg", "simmutable", "uimmutable"})
_APPEND_ONLY: Final = frozenset({"sappnd", "uappnd", "sappend", "uappend"})


class ImmutableCollector(Collector):
    """Files and directories with the attribute `immutable` or `append-only`, which not even root can write.

    Reads
    -----
    `immutable.txt` in the directory `.auditor` of a captured host: what `auditor collect` asks of the places where ACME
    clients write and of certificates (`lsattr -d`, and `ls -lo` of FreeBSD and macOS).

    Yields
    ------
    The paths, each with which of both it is. In an immutable directory nothing can be made, replaced or deleted.

    Can't see
    ---------
    Other places than those, network file systems, and file systems without such attributes.
    """

    name: ClassVar[str] = "immutable"
    title: ClassVar[str] = "Immutable files"
    area: ClassVar[Area] = Area.STORAGE
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return path == _PATH

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One fact for each path. The first line tells how many were looked at."""
        lines = decode(document.content).split("\n")
        if len(lines) > MAX_LINES:
            yield Malformed(Where(MAX_LINES), f"more than {MAX_LINES} lines", "the rest is not read")
        for number, line in enumerate(lines[:MAX_LINES], 1):
            if not line or (number == 1 and line.startswith("looked=")):
                continue
            where = Where(number, excerpt(line))
            if found := _LSATTR.fullmatch(line):
                what = "immutable" if "i" in found[1] else "append-only" if "a" in found[1] else ""
            elif found := _LS.fullmatch(line):
                flags = set(found[1].split(","))
                what = "immutable" if flags & _IMMUTABLE else "append-only" if flags & _APPEND_ONLY else ""
            else:
                yield Malformed(where, "not a line of lsattr or ls", "whether it can be written is not known")
                continue
            if what:
                yield Entity(Ref(Kind.PATH, found[2].rstrip("/") or "/"), where, {"unwritable": what})
