"""Thresholds of rules: numbers that a policy may change, each with a default, a unit, its bounds and what it means."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Final, Generic, Literal, Self, TypedDict, TypeVar, overload

from auditor.phrases import plural

T = TypeVar("T", int, timedelta)

CHOSEN: Final = "_chosen_settings"
"""The attribute of a rule that holds what a policy has set."""


class SettingDocumentation(TypedDict):
    """A threshold of a rule. `default`, `least` and `most` are written as in a policy: `90d`, `5`."""

    setting: str
    kind: str
    unit: str
    default: str
    least: str
    most: str
    documentation: str


class Setting(Generic[T]):
    """A threshold that a rule declares as a class attribute, and reads as a plain value of its own.

    `documentation` is one sentence that completes "it is …". `least` and `most` are inclusive.
    """

    kind: ClassVar[Literal["count", "duration"]]
    unit: str
    name: str

    def __init__(self, default: T, documentation: str, *, least: T, most: T) -> None:
        self.default: T = default
        self.least: T = least
        self.most: T = most
        self.documentation = documentation
        if not least <= default <= most:
            raise ValueError(f"the default {default} is not between {least} and {most}")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, rule: None, owner: type) -> Self: ...
    @overload
    def __get__(self, rule: object, owner: type) -> T: ...
    def __get__(self, rule: object | None, owner: type) -> Self | T:
        if rule is None:
            return self
        chosen: dict[str, T] = vars(rule).get(CHOSEN, {})
        value: T = chosen.get(self.name, self.default)
        return value

    def described(self) -> SettingDocumentation:
        """All of it as text."""
        return {
            "setting": self.name,
            "kind": self.kind,
            "unit": self.unit,
            "default": self.written(self.default),
            "least": self.written(self.least),
            "most": self.written(self.most),
            "documentation": self.documentation,
        }

    def written(self, value: T) -> str:
        """A value as a policy has it: `90d`, `36h`, `5`."""
        raise NotImplementedError

    def said(self, value: T) -> str:
        """A value as people say it: `90 days`, `5 names`."""
        raise NotImplementedError


class Count(Setting[int]):
    """A number of things. `unit` is the thing: `name`."""

    kind = "count"

    def __init__(self, default: int, unit: str, documentation: str, *, least: int = 1, most: int = 1_000_000) -> None:
        super().__init__(default, documentation, least=least, most=most)
        self.unit = unit

    def written(self, value: int) -> str:
        return str(value)

    def said(self, value: int) -> str:
        return plural(value, self.unit)


class Period(Setting[timedelta]):
    """A length of time, in whole days, hours or minutes."""

    kind = "duration"
    unit = "duration"

    def __init__(
        self,
        default: timedelta,
        documentation: str,
        *,
        least: timedelta = timedelta(0),
        most: timedelta = timedelta(days=3650),
    ) -> None:
        super().__init__(default, documentation, least=least, most=most)

    def written(self, value: timedelta) -> str:
        count, unit = _largest(value)
        return f"{count}{unit[0]}"

    def said(self, value: timedelta) -> str:
        return plural(*_largest(value))


def _largest(value: timedelta) -> tuple[int, str]:
    minutes = int(value.total_seconds() // 60)
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes % size == 0 and minutes:
            return minutes // size, unit
    return minutes, "minute"
