"""Regular expressions that are compiled when they are first used, and those whose matches are filled in.

The first are for modules with many of which most runs need few: compiling those takes longer than loading the rest of
the module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, AnyStr, Generic, cast


class _LazyPattern(Generic[AnyStr]):
    def __init__(self, pattern: AnyStr, flags: int) -> None:
        self._source: tuple[AnyStr, int] = pattern, flags

    def __getattr__(self, name: str) -> Any:
        """A method or attribute of the compiled pattern; from then on it is there, and found as fast as on that."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.__dict__[name] = getattr(re.compile(*self._source), name)
        return found


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Like `re.compile`, of which it has all methods and attributes. A pattern that is wrong fails at its first use."""
    return cast("re.Pattern[AnyStr]", _LazyPattern(pattern, flags))


class Filler:
    """Puts values in the place of a pattern's matches, in many texts of one source: of values that are put into values
    a short text makes one without end. Beyond `limit` characters in all, matches stay as they are written.
    """

    def __init__(self, pattern: re.Pattern[str], limit: int) -> None:
        self._pattern = pattern
        self._room = limit

    def fill(self, text: str, value: Callable[[re.Match[str]], str | None]) -> str:
        """The text with values; a match for which there is None stays."""

        def put(found: re.Match[str]) -> str:
            new = value(found)
            if new is None or len(new) > self._room:
                return found[0]
            self._room -= len(new)
            return new

        return self._pattern.sub(put, text)
