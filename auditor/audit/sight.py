"""Whether a place that was read at an earlier time was looked at again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from auditor.capture.reading import Reading
from auditor.model import Outcome

_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})


def blind_to(reading: Reading) -> Callable[[str], bool]:
    """Says of an estate path whether this reading could not see what is there, or is not any more.

    What lies among a collection's captures and was not asked for this time is not seen; so is everything of a host of
    which there is nothing. Among files that somebody laid down, what is not there is gone.
    """
    tree = reading.tree
    files = {bound.file.estate_path for bound in reading.bound}
    partly = {row.path for row in reading.coverage if row.path and row.outcome not in _SEEN}
    collected = {path.partition("/")[0] for path in tree.captures}

    def blind(path: str) -> bool:
        if path in partly:
            return True
        record = tree.captures.get(path)
        if path in files:
            return record is not None and record.outcome not in _SEEN
        near = tree.nearest(path)
        if near is not None:
            return near.outcome not in _SEEN or tree.gone(path) is None
        top, _, rest = path.partition("/")
        if top == "hosts" and rest:
            return rest.partition("/")[0] not in tree.sources or (tree.recorded and top in collected)
        return top in collected

    return blind
