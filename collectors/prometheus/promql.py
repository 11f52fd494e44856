"""What an expression looks at: selectors, comparisons with the time of expiry, and absence.

promql-parser parses. Shims rewrite what it does not know and Prometheus does: backtick strings with backslashes,
`anchored` and `smoothed`, the old name `holt_winters`; and what tools put in place of a range: `$__interval`,
`$__rate_interval`. It recurses without a limit (0.12 crashes the process on 5,000 terms), so larger expressions are
not given to it. What it refuses is searched for matchers by a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from auditor.api import TEMPLATE, lazy_pattern

MAX_LENGTH: Final = 64 * 1024
MAX_LOOSE: Final = 4096
"""Characters that are searched by a pattern where the parser gives up."""
MAX_OPERATORS: Final = 1000
MAX_BRACKETS: Final = 500
MAX_PROPAGATED: Final = 60
"""Operations of an expression up to which conditions on one side are held against the other."""

Matcher: TypeAlias = tuple[str, str, str]
"""Label, operator (`=`, `!=`, `=~`, `!~`) and value."""

_OPERATORS: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_TOKEN: Final = lazy_pattern(
    r"""(?P<string>"(?:\\.|[^"\\])*(?:"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|`[^`]*(?:`|\Z))|(?P<comment>\#[^\n]*)|(?P<code>[^"'`#]+|.)""",
    re.S,
)
_INTERVAL: Final = lazy_pattern(r"\$\{?__(?:rate_)?(?:interval|range)(?:_m?s)?\}?|\$\{?interval\}?")
_MODIFIER: Final = lazy_pattern(r"\b(?:anchored|smoothed)\b")
_PLACEHOLDER: Final = lazy_pattern(rf"{re.escape(TEMPLATE)}\w*")
_OPERATOR: Final = lazy_pattern(r"[-+*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.I)
_LOOSE: Final = lazy_pattern(r"(?<![\w:])([A-Za-z_:][\w:]*)?[ \t]*\{([^{}]*)\}")
_LOOSE_MATCHER: Final = lazy_pattern(
    r"""([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
)
_LOOSE_METRIC: Final = lazy_pattern(r"(?<![\w:$\"'{,.])([A-Za-z_:][\w:]*)(?=\s*(?:\[|$|[-+*/%^<>=!)]))")
_ABSENT: Final = frozenset({"absent", "absent_over_time"})

_EXPIRES_AT: Final = lazy_pattern(
    r"(?:.*_)?(?:ssl_earliest_cert_expiry|ssl_last_chain_expiry_timestamp_seconds|cert_not_after|"
    r"cert(?:ificate)?_expir(?:y|ation|es)(?:_timestamp|_time)?(?:_seconds)?|certificate_expiration_timestamp_seconds|"
    r"x509_cert_not_after|not_after(?:_seconds|_timestamp)?|not_after_timestamp_seconds|cert_expiry_timestamp(?:_seconds)?)"
)
_EXPIRES_IN: Final = lazy_pattern(
    r".*(?:cert|ssl|tls|x509).*(?:expires?_in|expiry_in|valid_for|left|remaining|ttl)(?P<unit>.*)"
)
_DAYS: Final = lazy_pattern(r"(?:^|_)days?(?:_|$)")
_PASS_THROUGH: Final = frozenset(
    {
        "abs",
        "avg_over_time",
        "ceil",
        "floor",
        "last_over_time",
        "max_over_time",
        "min_over_time",
        "round",
        "scalar",
        "sort",
        "vector",
        "label_replace",
        "label_join",
    }
)
_SAME_VALUE: Final = frozenset({"min", "max", "avg", "group", "bottomk", "topk", "quantile"})


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric (empty if it is chosen by labels alone) and the conditions on its labels."""

    metric: str
    matchers: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression says, without its values.

    `absence`: it fires because something is missing or down. `lead`: seconds before a certificate's expiry at which it
    fires, None if it compares none. `problem`: why it could not be parsed; then `selectors` are found by a pattern.
    """

    selectors: tuple[Selector, ...]
    absence: bool = False
    lead: float | None = None
    problem: str = ""


def read_expression(text: str) -> Expression:
    """Parses an expression. Never raises."""
    source = _shimmed(text[: MAX_LENGTH + 1])
    problem = ""
    if len(text) > MAX_LENGTH:
        problem = f"an expression of more than {MAX_LENGTH} characters"
    elif len(_OPERATOR.findall(source)) > MAX_OPERATORS or sum(map(source.count, "([{")) > MAX_BRACKETS:
        problem = f"an expression of more than {MAX_OPERATORS} operators or {MAX_BRACKETS} brackets"
    elif not source.strip():
        problem = "an empty expression"
    if not problem:
        import promql_parser

        try:
            tree = promql_parser.parse(source)
        except ValueError as error:
            problem = f"not PromQL: {str(error)[:200]}"
        else:
            return Expression(tuple(dict.fromkeys(_selectors(tree))), _absence(tree), _lead(tree))
    return Expression(
        tuple(dict.fromkeys(_loosely(source[:MAX_LOOSE]))), bool(re.search(r"\babsent", source)), None, problem
    )


def _shimmed(text: str) -> str:
    parts = []
    for found in _TOKEN.finditer(text):
        part = found[0]
        if found["comment"] is not None:
            continue
        if found["string"] is not None:
            if part[0] == "`" and len(part) > 1 and part[-1] == "`":
                part = '"' + part[1:-1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        else:
            part = _INTERVAL.sub("5m", part)
            if "ed" in part:
                part = _MODIFIER.sub("", part)
            part = _PLACEHOLDER.sub("1", part.replace("holt_winters", "double_exponential_smoothing"))
        parts.append(part)
    return "".join(parts)


def _children(node: Any) -> list[Any]:
    match type(node).__name__:
        case "BinaryExpr":
            return [node.lhs, node.rhs]
        case "Call":
            return list(node.args)
        case "AggregateExpr":
            return [node.expr, node.param] if node.param is not None else [node.expr]
        case "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            return [node.expr]
        case "MatrixSelector":
            return [node.vector_selector]
        case _:
            return []


def _nodes(tree: Any) -> Iterator[Any]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(_children(node)))


def _selectors(tree: Any) -> Iterator[Selector]:
    """Selectors, each with the conditions that the other side of an operation puts on the series it is matched with.

    In `a{instance="x"} / b` only x's series of b count.
    """
    propagate = sum(1 for node in _nodes(tree) if type(node).__name__ == "BinaryExpr") <= MAX_PROPAGATED
    stack: list[tuple[Any, tuple[Matcher, ...]]] = [(tree, ())]
    while stack:
        node, given = stack.pop()
        match type(node).__name__:
            case "VectorSelector":
                yield from _selector(node, given)
            case "BinaryExpr" if propagate:
                operator = str(node.op)
                left: tuple[Matcher, ...] = ()
                right: tuple[Matcher, ...] = ()
                if operator != "or":
                    right = _matched(node, _common(node.lhs))
                    left = () if operator == "unless" else _matched(node, _common(node.rhs))
                stack += ((node.rhs, given + right), (node.lhs, given + left))
            case "AggregateExpr":
                kept = _grouped(node, given)
                stack.extend((child, kept) for child in reversed(_children(node)))
            case "Call":
                kept = _renamed(node, given)
                stack.extend((child, kept) for child in reversed(_children(node)))
            case _:
                stack.extend((child, given) for child in reversed(_children(node)))


def _selector(node: Any, given: tuple[Matcher, ...]) -> Iterator[Selector]:
    own = _own_matchers(node)
    for alternative in node.matchers.or_matchers or [[]]:
        matchers = (*own, *(_matcher(matcher) for matcher in alternative))
        metric = node.name or next((v for name, op, v in matchers if name == "__name__" and op == "="), "")
        kept = dict.fromkeys((*(m for m in matchers if m[0] != "__name__" or m[1] != "="), *given))
        yield Selector(metric, tuple(kept))


def _own_matchers(node: Any) -> tuple[Matcher, ...]:
    return tuple(_matcher(matcher) for matcher in node.matchers.matchers)


def _common(node: Any, depth: int = 0) -> tuple[Matcher, ...]:
    """Conditions that every series of a result meets."""
    if depth > MAX_PROPAGATED:
        return ()
    match type(node).__name__:
        case "VectorSelector":
            return tuple(matcher for matcher in _own_matchers(node) if matcher[0] != "__name__")
        case "BinaryExpr":
            left, right = _common(node.lhs, depth + 1), _common(node.rhs, depth + 1)
            match str(node.op):
                case "or":
                    return tuple(matcher for matcher in left if matcher in right)
                case "unless":
                    return left
                case _:
                    return _of_result(node, left, right)
        case "AggregateExpr":
            return _grouped(node, _common(node.expr, depth + 1))
        case "Call":
            found = tuple(matcher for argument in node.args for matcher in _common(argument, depth + 1))
            return _renamed(node, found)
        case "MatrixSelector":
            return _common(node.vector_selector, depth + 1)
        case "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            return _common(node.expr, depth + 1)
        case _:
            return ()


def _of_result(node: Any, left: tuple[Matcher, ...], right: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Conditions that the result of an operation meets: with the labels of the "many" side, or those matched on."""
    matching = node.modifier.matching if node.modifier is not None else None
    card = str(node.modifier.card) if node.modifier is not None else ""
    if matching is None:
        return tuple(dict.fromkeys((*left, *right)))
    if str(node.op) == "and" or card.endswith(".ManyToOne"):
        return tuple(dict.fromkeys((*left, *_matched(node, right))))
    if card.endswith(".OneToMany"):
        return tuple(dict.fromkeys((*_matched(node, left), *right)))
    return tuple(dict.fromkeys(_matched(node, (*left, *right))))


def _matched(node: Any, matchers: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Of conditions on one side those on labels that an operation matches on."""
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is None:
        return matchers
    include = str(matching.type).endswith(".Include")
    return tuple(matcher for matcher in matchers if (matcher[0] in matching.labels) == include)


def _grouped(node: Any, matchers: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Of conditions those on labels that an aggregation keeps."""
    if str(node.op) in ("topk", "bottomk", "limitk", "limit_ratio"):
        return matchers
    if node.modifier is None:
        return ()
    by = str(node.modifier.type).endswith(".By")
    return tuple(matcher for matcher in matchers if (matcher[0] in node.modifier.labels) == by)


def _renamed(node: Any, matchers: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Of conditions those on labels that a function leaves as they are."""
    if node.func.name in _ABSENT or node.func.name in ("scalar", "vector"):
        return ()
    if node.func.name in ("label_replace", "label_join"):
        target = getattr(node.args[1], "val", "") if len(node.args) > 1 else ""
        return tuple(matcher for matcher in matchers if matcher[0] != target)
    return matchers


def _matcher(matcher: Any) -> Matcher:
    return matcher.name, _OPERATORS[str(matcher.op).rpartition(".")[2]], matcher.value


def _loosely(text: str) -> Iterator[Selector]:
    for found in _LOOSE.finditer(text):
        matchers = tuple((m[1], m[2], m[3][1:-1].replace("\\\\", "\\")) for m in _LOOSE_MATCHER.finditer(found[2]))
        if found[1] or matchers:
            yield Selector(found[1] or "", matchers)
    for found in _LOOSE_METRIC.finditer(_LOOSE.sub("{}", text)):
        if not found[1].isupper() and found[1] not in ("and", "or", "unless", "bool"):
            yield Selector(found[1])


def _absence(tree: Any) -> bool:
    for node in _nodes(tree):
        kind = type(node).__name__
        if kind == "Call" and node.func.name in _ABSENT:
            return True
        if kind == "BinaryExpr" and str(node.op) in ("==", "<", "<=", "!="):
            names = {selector.metric for side in (node.lhs, node.rhs) for selector in _selectors(side)}
            if names & {"up", "probe_success"}:
                return True
    return False


_Linear: TypeAlias = tuple[float, float, float]
"""An expression as m * (expiry metric) + t * time() + c."""


def _lead(tree: Any) -> float | None:
    leads = []
    for node in _nodes(tree):
        if type(node).__name__ != "BinaryExpr" or str(node.op) not in ("<", "<=", ">", ">="):
            continue
        left, right = _linear(node.lhs), _linear(node.rhs)
        if left is None or right is None:
            continue
        metric, time, constant = (a - b for a, b in zip(left, right, strict=True))
        if str(node.op) in (">", ">="):
            metric, time, constant = -metric, -time, -constant
        # metric * X + time * now + constant < 0: a warning that begins before X.
        if metric > 0 and (time == 0 or abs(metric + time) < 1e-9 * metric):
            lead = -constant / metric
            if time == 0 and lead > 10 * 366 * 86400:
                continue
            if 0 < lead < float("inf"):
                leads.append(lead)
    return max(leads, default=None)


def _linear(node: Any, depth: int = 0) -> _Linear | None:
    if depth > 100:
        return None
    match type(node).__name__:
        case "NumberLiteral":
            return 0.0, 0.0, float(node.val)
        case "ParenExpr" | "SubqueryExpr":
            return _linear(node.expr, depth + 1)
        case "UnaryExpr":
            inner = _linear(node.expr, depth + 1)
            return (-inner[0], -inner[1], -inner[2]) if inner else None
        case "AggregateExpr":
            return _linear(node.expr, depth + 1) if str(node.op) in _SAME_VALUE else None
        case "Call":
            if node.func.name == "time":
                return 0.0, 1.0, 0.0
            return _linear(node.args[0], depth + 1) if node.func.name in _PASS_THROUGH and node.args else None
        case "MatrixSelector":
            return _linear(node.vector_selector, depth + 1)
        case "VectorSelector":
            return _metric_scale(node.name or "")
        case "BinaryExpr":
            return _combined(node, depth)
        case _:
            return None


def _combined(node: Any, depth: int) -> _Linear | None:
    left, right = _linear(node.lhs, depth + 1), _linear(node.rhs, depth + 1)
    if left is None or right is None:
        return None
    match str(node.op):
        case "+":
            return left[0] + right[0], left[1] + right[1], left[2] + right[2]
        case "-":
            return left[0] - right[0], left[1] - right[1], left[2] - right[2]
        case "*":
            scale, other = (left[2], right) if left[:2] == (0.0, 0.0) else (right[2], left)
            if left[:2] != (0.0, 0.0) and right[:2] != (0.0, 0.0):
                return None
            return scale * other[0], scale * other[1], scale * other[2]
        case "/":
            if right[:2] != (0.0, 0.0) or not right[2]:
                return None
            return left[0] / right[2], left[1] / right[2], left[2] / right[2]
        case _:
            return None


def _metric_scale(name: str) -> _Linear | None:
    """An expiry metric in its own unit per second; None if it is another metric."""
    if len(name) > 200:
        return None
    if _EXPIRES_AT.fullmatch(name):
        return 1.0, 0.0, 0.0
    if found := _EXPIRES_IN.fullmatch(name):
        return (1 / 86400 if _DAYS.search(name) or "days" in found["unit"] else 1.0), 0.0, 0.0
    return None


def is_expiry_metric(name: str) -> bool:
    """Whether a metric tells when a certificate expires, or how long it is still valid."""
    return _metric_scale(name) is not None
