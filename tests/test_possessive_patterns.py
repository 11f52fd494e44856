"""Regular expressions mean the same on every Python that the auditor runs on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from auditor.secret_patterns import RULES

ROOT = Path(__file__).resolve().parent.parent
CALLED = ("re", "lazy_pattern")
BRANCHES = "MAX_REPEAT MIN_REPEAT POSSESSIVE_REPEAT ASSERT ASSERT_NOT GROUPREF_EXISTS ATOMIC_GROUP".split()


def patterns() -> Iterator[tuple[str, str | bytes]]:
    """Every pattern that stands as a whole in a call of `re` or `lazy_pattern`, and those of secrets, with places."""
    for package in ("auditor", "collectors", "rules"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                called, first = node.func, node.args[0]
                if isinstance(called, ast.Attribute):
                    called = called.value
                if not (isinstance(called, ast.Name) and called.id in CALLED and isinstance(first, ast.Constant)):
                    continue
                if isinstance(first.value, (str, bytes)):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", first.value
    for number, (_, rule) in enumerate(RULES):
        yield f"secret_patterns.RULES[{number}]", rule.pattern


def parts(node: Any) -> Sequence[Any]:
    return node if isinstance(node, (tuple, list, re._parser.SubPattern)) else ()  # type: ignore[attr-defined]


def inner(node: Any) -> Iterator[str]:
    """The names of all operations of a parsed pattern."""
    if isinstance(node, tuple) and node and hasattr(node[0], "name"):
        yield node[0].name
    for one in parts(node):
        yield from inner(one)


def risky(node: Any) -> bool:
    """Whether a possessive group holds what is tried in more than one way."""
    if isinstance(node, tuple) and node and getattr(node[0], "name", "") in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"):
        body = node[1][2] if node[0].name == "POSSESSIVE_REPEAT" else node[1]
        if any(name in BRANCHES for name in inner(body)):
            return True
    return any(risky(one) for one in parts(node))


def parsed(pattern: str | bytes) -> Any:
    return re._parser.parse(pattern)  # type: ignore[attr-defined]


def test_no_possessive_group_is_tried_in_more_than_one_way() -> None:
    """Python before 3.11.5, Debian 12's among them, takes too little or too much there (cpython gh-106052)."""
    found = list(patterns())
    assert len(found) > 300
    assert [place for place, pattern in found if risky(parsed(pattern))] == []


@pytest.mark.parametrize(
    ("pattern", "risk"),
    [
        (r"/\*(?:[^*]|\*(?!/))*+", True),
        (r"(?:a?b)++", True),
        (r"(?>a*b)", True),
        (r'"(?:[^"\\]|\\.)*+"', False),
        (r"[^*]++a*", False),
        (r"(?:ab)++", False),
    ],
)
def test_what_is_such_a_group(pattern: str, risk: bool) -> None:
    assert risky(parsed(pattern)) is risk
