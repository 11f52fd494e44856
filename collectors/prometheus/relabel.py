"""Relabelling as Prometheus 3 does it (model/relabel): RE2, fully anchored, Go's template expansion.

Read from prometheus/model/relabel/relabel.go and the configuration reference, section `<relabel_config>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5
from typing import Any, Final

from auditor.api import YamlNode

ACTIONS: Final = frozenset(
    {
        "replace",
        "keep",
        "drop",
        "keepequal",
        "dropequal",
        "hashmod",
        "labelmap",
        "labeldrop",
        "labelkeep",
        "lowercase",
        "uppercase",
    }
)
_VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)
_LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@lru_cache(maxsize=8192)
def anchored(pattern: str) -> Callable[[str], Any]:
    """A function that matches a whole text against an RE2 pattern (`.` matches newlines, as in Prometheus 3).

    Raises ValueError if RE2 refuses the pattern.
    """
    import re2

    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not an RE2 pattern: {_text(error)}") from None
    return compiled.fullmatch  # type: ignore[no-any-return]


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def expand(template: str, match: Any) -> str:
    """Go's Regexp.Expand: `$1`, `${1}`, `${name}`, `$$`; the longest name counts, unknown groups are empty."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        if name.isdecimal():
            number = int(name) if len(name) < 6 else 1_000_000
            return (match.group(number) or "") if number <= len(match.groups()) else ""
        return match.groupdict().get(name) or ""

    return _VARIABLE.sub(value, template)


@dataclass(frozen=True, slots=True)
class Relabel:
    """One relabelling step, with the defaults of Prometheus."""

    action: str = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: str = "(.*)"
    target_label: str = ""
    replacement: str = "$1"
    modulus: int = 0


def read_relabel(nodes: Iterable[YamlNode]) -> tuple[tuple[Relabel, ...], tuple[tuple[int, str], ...]]:
    """Relabelling steps, and for each that Prometheus refuses its line and why."""
    steps: list[Relabel] = []
    problems: list[tuple[int, str]] = []
    for node in nodes:
        if not node.is_map:
            problems.append((node.line, "a relabelling step that is not a mapping"))
            continue
        modulus = node.text("modulus", "0")
        step = Relabel(
            action=node.text("action", "replace").lower(),
            source_labels=tuple(label.scalar for label in node.children("source_labels")),
            separator=_given(node, "separator", ";"),
            # A key without a value is the empty pattern and not the default.
            regex=_given(node, "regex", "(.*)"),
            target_label=node.text("target_label"),
            replacement=_given(node, "replacement", "$1"),
            modulus=int(modulus) if modulus.isascii() and modulus.isdecimal() and len(modulus) < 20 else 0,
        )
        if reason := _refused(step):
            problems.append((node.line, reason))
        else:
            steps.append(step)
    return tuple(steps), tuple(problems)


def _given(node: YamlNode, key: str, default: str) -> str:
    value = node.get(key)
    return default if value is None else value.scalar


def _refused(step: Relabel) -> str:
    if step.action not in ACTIONS:
        return f"unknown relabelling action {step.action!r}"
    if step.action == "hashmod" and not step.modulus:
        return "a hashmod step needs a modulus"
    needs_target = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
    if step.action in needs_target and not step.target_label:
        return f"a {step.action} step needs a target_label"
    try:
        anchored(step.regex)
    except ValueError as error:
        return str(error)
    return ""


def relabel(labels: Mapping[str, str], steps: Iterable[Relabel]) -> dict[str, str] | None:
    """Labels after all steps; None if a step drops the target. An empty value is no label."""
    result = {name: value for name, value in labels.items() if value}
    for step in steps:
        if not _apply(result, step):
            return None
    return result


def _apply(labels: dict[str, str], step: Relabel) -> bool:
    value = step.separator.join(labels.get(name, "") for name in step.source_labels)
    matches = anchored(step.regex)
    match step.action:
        case "keep":
            return matches(value) is not None
        case "drop":
            return matches(value) is None
        case "keepequal":
            return labels.get(step.target_label, "") == value
        case "dropequal":
            return labels.get(step.target_label, "") != value
        case "replace":
            if found := matches(value):
                target = expand(step.target_label, found)
                if target and (target == step.target_label or _LABEL_NAME.fullmatch(target)):
                    _set(labels, target, expand(step.replacement, found))
        case "lowercase":
            _set(labels, step.target_label, value.lower())
        case "uppercase":
            _set(labels, step.target_label, value.upper())
        case "hashmod":
            digest = md5(value.encode("utf-8", "replace"), usedforsecurity=False).digest()
            _set(labels, step.target_label, str(int.from_bytes(digest[8:], "big") % step.modulus))
        case "labelmap":
            for name, kept in list(labels.items()):
                if found := matches(name):
                    _set(labels, expand(step.replacement, found), kept)
        case "labeldrop" | "labelkeep":
            for name in [name for name in labels if (matches(name) is not None) == (step.action == "labeldrop")]:
                del labels[name]
    return True


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value and name:
        labels[name] = value
    else:
        labels.pop(name, None)
