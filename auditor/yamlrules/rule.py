"""A rule of a YAML file: it shows each node of a kind to an expression of CEL, and words what the expression finds.

CEL (the Common Expression Language, cel.dev) has no loops without an end and no way out of what it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Protocol

from auditor.api import (
    Area,
    Confidence,
    Edge,
    EstateView,
    Finding,
    Going,
    Kind,
    Node,
    Phase,
    Provenance,
    Relation,
    Rule,
    Severity,
)

EDGES_LIMIT: Final = 1_000
"""Dependencies of a node, in each direction, that an expression sees."""

EVIDENCE_LIMIT: Final = 20

VARIABLES: Final[Mapping[str, str]] = {
    "node": "the node: `kind`, `text`, `scope` (its host, or empty), `label`, `attributes`, `impact`, `files`",
    "home": "the host that the node is on: `name`, `site`, `going`; all empty or false for what is in the tree",
    "needs": "what the node depends on: a list of `relation`, `need`, `group`, `confidence`, `lost`, `file`, `line`, "
    "`kind`, `text`, `scope`, `label`, `attributes`, `impact`, and `hosts`, the machines behind it",
    "needed_by": "what depends on the node: a list of the same",
    "going": "the going hosts that the node loses something with: `host`, `lifecycle`, `successor`, `since`",
    "estate": "the scenario: `phase` (before or after), `now` and `on` (times; `on` is null if no day is given), "
    "`going` (as above, all of them), `domains`",
}
"""What an expression may use."""


class Program(Protocol):
    """A compiled expression."""

    def execute(self, context: dict[str, object]) -> object: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text with expressions in it: plain parts and programs, in turn."""

    parts: tuple[str | Program, ...]

    def said(self, context: dict[str, object]) -> str:
        """The text for one node."""
        return "".join(one if isinstance(one, str) else _shown(one.execute(context)) for one in self.parts)


@dataclass(frozen=True, slots=True)
class Expressions:
    """The compiled expressions of one rule."""

    when: Program
    message: Text
    why: Text
    action: Text


class ExpressionError(Exception):
    """An expression fails for a node. The text says which, where, and what to do."""


class YamlRule(Rule):
    """A rule that a YAML file declares; `made` makes a class of its own for each."""

    where: ClassVar[str] = ""
    """The file and line that declare it."""
    nodes: ClassVar[Kind]
    expressions: ClassVar[Expressions]

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each node for which the expression is true. Raises ExpressionError."""
        scenario = _scenario(estate)
        for node in estate.nodes(self.nodes):
            context = _context(estate, node, scenario)
            found = self._asked(self.expressions.when, node, context)
            if not isinstance(found, bool):
                raise ExpressionError(f"{self.where}: `when` gives {type(found).__name__} for {node.label}, not a bool")
            if found:
                yield self._finding(estate, node, context)

    def _asked(self, program: Program, node: Node, context: dict[str, object]) -> object:
        try:
            return program.execute(context)
        except KeyError as error:
            what = f"{self.where}: {node.label} has no {error}; ask with has(…) before"
            raise ExpressionError(what) from None
        # The interpreter raises whatever fits, and a ZeroDivisionError is no crash of ours.
        except Exception as error:  # noqa: BLE001
            raise ExpressionError(f"{self.where}: for {node.label}: {error}") from None

    def _finding(self, estate: EstateView, node: Node, context: dict[str, object]) -> Finding:
        said = []
        for text in (self.expressions.message, self.expressions.why, self.expressions.action):
            try:
                said.append(text.said(context))
            except Exception as error:  # noqa: BLE001
                raise ExpressionError(f"{self.where}: the text for {node.label}: {error}") from None
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=node.label,
            identity=(node.kind.value, node.text, node.scope),
            message=said[0],
            why=said[1],
            action=said[2],
            impact=estate.impact_of(node),
            evidence=_evidence(estate, node),
            path=estate.path(node),
            hosts=estate.hosts_of(node),
        )


def made(
    identity: str,
    title: str,
    area: Area,
    severity: Severity,
    confidence: Confidence,
    nodes: Kind,
    phases: frozenset[Phase],
    needs: frozenset[Relation],
    documentation: str,
    expressions: Expressions,
    where: str,
) -> YamlRule:
    """One rule as an instance of a class of its own, as every other rule is."""
    name = "".join(part.capitalize() for part in identity.split("-")) + "Rule"
    members = {
        "__doc__": documentation,
        "__module__": __name__,
        "id": identity,
        "title": title,
        "area": area,
        "severity": severity,
        "confidence": confidence,
        "nodes": nodes,
        "phases": phases,
        "needs": needs,
        "expressions": expressions,
        "where": where,
    }
    kind: type[YamlRule] = type(name, (YamlRule,), members)
    return kind()


_PLACEHOLDER: Final = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)


def text_of(written: str, compiled: Callable[[str], Program]) -> Text:
    """A text with its `{{ expressions }}` compiled. Raises ValueError for one that is wrong."""
    parts: list[str | Program] = []
    at = 0
    for found in _PLACEHOLDER.finditer(written):
        parts += (written[at : found.start()], compiled(found[1].strip()))
        at = found.end()
    parts.append(written[at:])
    return Text(tuple(part for part in parts if part != ""))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M UTC")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)


def _evidence(estate: EstateView, node: Node) -> tuple[Provenance, ...]:
    """The lines of a node and of what it loses; where it was only referred to, the lines that do."""
    places = [one for one in node.provenance if one.path != "."]
    places += [edge.provenance for edge in estate.outgoing(node) if edge.lost]
    if not places:
        places = [edge.provenance for edge in (*estate.outgoing(node), *estate.incoming(node))]
    unique = {(one.path, one.line): one for one in places if one.path != "."}
    return tuple(unique.values())[:EVIDENCE_LIMIT] or (Provenance(".", 0, node.label),)


def _scenario(estate: EstateView) -> dict[str, object]:
    return {
        "phase": estate.phase.value,
        "now": estate.now,
        "on": estate.on,
        "going": [_going(one) for one in estate.going],
        "domains": sorted(estate.own_domains()),
    }


def _going(one: Going) -> dict[str, object]:
    return {"host": one.host, "lifecycle": one.lifecycle.value, "successor": one.successor, "since": one.since}


def _context(estate: EstateView, node: Node, scenario: dict[str, object]) -> dict[str, object]:
    lost = set(estate.hosts_of(node))
    home = estate.home(node)
    return {
        "node": {**_node(estate, node), "files": [one.path for one in node.provenance]},
        "home": {
            "name": home.text if home is not None else "",
            "site": estate.site(home.text) if home is not None else "",
            "going": home is not None and estate.going_for(home) is not None,
        },
        "needs": [_edge(estate, edge, edge.provider) for edge in estate.outgoing(node)[:EDGES_LIMIT]],
        "needed_by": [_edge(estate, edge, edge.consumer) for edge in estate.incoming(node)[:EDGES_LIMIT]],
        "going": [_going(one) for one in estate.going if one.host in lost],
        "estate": scenario,
    }


def _node(estate: EstateView, node: Node) -> dict[str, object]:
    return {
        "kind": node.kind.value,
        "text": node.text,
        "scope": node.scope,
        "label": node.label,
        "attributes": {
            name: list(value) if isinstance(value, tuple) else value for name, value in node.attributes.items()
        },
        "impact": estate.impact_of(node).value,
    }


def _edge(estate: EstateView, edge: Edge, other: Node) -> dict[str, object]:
    place = edge.provenance
    return {
        **_node(estate, other),
        "relation": edge.relation.value,
        "need": edge.need.value,
        "group": edge.group,
        "confidence": edge.confidence.value,
        "lost": edge.lost,
        "file": place.path,
        "line": place.line,
        "hosts": [host.text for host in estate.reaches(other)],
    }
