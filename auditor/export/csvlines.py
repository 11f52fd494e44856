"""Lines of CSV, one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence


class _Echo:
    """`csv.writer` returns what its file's `write` returns."""

    def write(self, text: str) -> str:
        return text


def csv_lines(names: Sequence[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A heading and a line for each row, as RFC 4180 quotes them; lines end in LF."""
    write = csv.writer(_Echo(), lineterminator="\n").writerow
    yield str(write(names))
    for row in rows:
        yield str(write(row))
