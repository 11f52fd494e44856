"""Where the lines of a file stand after a change of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from auditor.capture.git import FileChange
from auditor.model import Finding, Provenance


class Lines:
    """What a change does to lines: where one of the old side stands now, and which of the new side it wrote."""

    def __init__(self, changes: Iterable[FileChange]) -> None:
        self._before = {one.before: one for one in changes if one.before}
        self._after = {one.after: one for one in changes if one.after}

    def path(self, path: str) -> str:
        """What a file of the old side is called now; as before, if it is gone."""
        change = self._before.get(path)
        return change.after or path if change is not None else path

    def changed(self, path: str) -> bool:
        """Whether a file of the old side is another one now, or called otherwise."""
        return path in self._before

    def is_left(self, path: str, line: int) -> bool:
        """Whether a line of the old side is still there as it was."""
        change = self._before.get(path)
        return change is None or bool(change.after and change.line_after(line))

    def now(self, one: Provenance) -> Provenance:
        """The place of the new side for one of the old: of a line that was taken away, where it was."""
        change = self._before.get(one.path)
        if change is None:
            return one
        return replace(one, path=change.after or one.path, line=change.place_of(one.line) if change.after else 1)

    def wrote(self, one: Provenance) -> bool:
        """Whether the change wrote a line of the new side. Line 0 is the file: whether that is new."""
        change = self._after.get(one.path)
        if change is None:
            return False
        return change.is_new(one.line) if one.line else not change.before

    def touched(self, finding: Finding) -> bool:
        return any(self.wrote(one) for one in finding.evidence)

    def first_new(self, path: str, start: int, stop: int) -> int:
        """The first line of the new side in `start` up to `stop` that the change wrote; 0 if there is none."""
        change = self._after.get(path)
        if change is None:
            return 0
        found = [max(new, start) for _, _, new, count in change.hunks if new < stop and new + count > start]
        return min((one for one in found if one < stop), default=0)
