"""Patterns that are compiled at their first use: all of the project's are right, and behave as compiled ones."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from auditor import patterns, secret_patterns
from auditor.patterns import lazy_pattern

ROOT = Path(__file__).parent.parent
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for place in ("auditor", "collectors", "rules")
    for path in sorted((ROOT / place).rglob("*.py"))
    if "lazy_pattern(" in path.read_text() and path != Path(patterns.__file__)
]


@pytest.mark.parametrize("name", MODULES)
def test_all_can_be_compiled(name: str) -> None:
    lazy = type(lazy_pattern(""))
    found = [value for value in vars(import_module(name)).values() if isinstance(value, lazy)]
    if name == secret_patterns.__name__:
        found = [pattern for _, pattern in secret_patterns.RULES]
    assert found
    for one in found:
        # The class says that it is no pattern, the signature that it is one.
        re.compile(*one._source)  # type: ignore[attr-defined]


def test_it_is_as_a_compiled_one() -> None:
    word = lazy_pattern(r"(?P<first>[a-z])\w*", re.I)
    assert word.match("Alpha beta", 6, 8)[0] == "be"  # type: ignore[index]
    assert [found["first"] for found in word.finditer("Alpha beta")] == ["A", "b"]
    assert word.sub("x", "Alpha beta") == "x x"
    assert (word.pattern, dict(word.groupindex)) == (r"(?P<first>[a-z])\w*", {"first": 1})
    assert lazy_pattern(rb"\d+").fullmatch(b"12")


def test_a_wrong_one_says_so_when_it_is_used() -> None:
    wrong = lazy_pattern("(")
    for _ in range(2):
        with pytest.raises(re.error):
            wrong.search("")
