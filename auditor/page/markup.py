"""HTML in which a text can only be a text: whatever is no `Markup` is made visible and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias

from auditor.report.layout import clean

TEXT_LIMIT: Final = 4000
"""Characters of one text that a page shows; of a longer one it says how many more there are."""

_QUOTED: Final = re.compile(r"`([^`]+)`")
_EMPTY: Final = frozenset(("br", "input", "meta"))


class Markup(str):
    """HTML that was made here. Nothing else may be called so."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
Value: TypeAlias = "str | int | float | bool | None"


def text(said: str) -> str:
    """A text of an estate as one line without anything invisible, cut if it is very long."""
    if len(said) > TEXT_LIMIT:
        said = f"{said[:TEXT_LIMIT]}… ({len(said) - TEXT_LIMIT:,} more characters)"
    return clean(said)


def tag(name: str, *children: Child, **attributes: Value) -> Markup:
    """An element. `class_` is `class` and `aria_label` is `aria-label`; None and False leave an attribute out."""
    opened = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        opened.append(word if value is True else f'{word}="{escape(text(str(value)))}"')
    if name in _EMPTY:
        return Markup(f"<{' '.join(opened)}>")
    return Markup(f"<{' '.join(opened)}>{joined(children)}</{name}>")


def joined(children: Child) -> Markup:
    """Children as they are, one after the other: texts are escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(text(children), quote=False))
    return Markup("".join(map(joined, children)))


def prose(said: str) -> Markup:
    """A sentence; what it has in backticks is code."""
    parts = _QUOTED.split(text(said))
    return Markup(
        "".join(
            f"<code>{escape(part, quote=False)}</code>" if odd % 2 else escape(part, quote=False)
            for odd, part in enumerate(parts)
        )
    )


def hidden(said: str) -> Markup:
    """Words for those who hear the page."""
    return tag("span", said, class_="sr")
