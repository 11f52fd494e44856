"""Regular expressions that are compiled when they are first used.

For modules with many of which most runs need few: compiling those takes longer than loading the rest of the module.
"""

from __future__ import annotations

import re
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
