"""What a page shows, as plain values: whoever has them can render it, whatever they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from auditor.model import Impact, Provenance, Report


class GraphNode(NamedTuple):
    """A node of the graph. `name` is how it is called beside its kind; `group` is an index into `PageGraph.groups`.

    `lifecycle` is empty for what has none, and `facts` are what its captures say of it, as pairs of name and value.
    """

    kind: str
    name: str
    scope: str
    impact: str
    lifecycle: str
    owner: str
    site: str
    group: int
    path: str
    line: int
    seen: str
    going: bool
    facts: tuple[tuple[str, str], ...] = ()


class GraphEdge(NamedTuple):
    """A dependency. `consumer` and `provider` are indices of nodes; `alternatives` names its group, if it has one."""

    consumer: int
    provider: int
    relation: str
    need: str
    alternatives: str
    confidence: str
    fails: bool
    path: str
    line: int
    excerpt: str


class GraphGroup(NamedTuple):
    """Equal nodes, drawn as one: how many there are in the whole graph, and how they are called together."""

    name: str
    scope: str
    count: int  # type: ignore[assignment]
    column: int
    """How many dependencies it is away from the right edge, for what has no place yet."""


class Frame(NamedTuple):
    """A rectangle around what has something in common, in pixels."""

    name: str
    left: int
    top: int
    width: int
    height: int


class Placed(NamedTuple):
    """The place of a group's middle in a drawing, in pixels."""

    group: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A part of the graph to look at. Without `placed` there are too many groups to draw: `groups` says how many.

    `edges` are pairs of groups, consumer first, and `bends` the places where an edge passes between other nodes.
    """

    name: str
    title: str
    groups: int
    placed: tuple[Placed, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    bends: tuple[tuple[tuple[int, int], ...], ...] = ()
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class PageGraph:
    """The graph, or of a large one the part that matters: `total_nodes` and `total_edges` count all that was asked for.

    `frame_by` is what frames are drawn around at first (host, site, owner, kind; empty for none), and `limit` how many
    groups are drawn at once.
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    groups: tuple[GraphGroup, ...]
    drawings: tuple[Drawing, ...]
    total_nodes: int
    total_edges: int
    paths: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The nodes that a finding is about and that its path goes over, by its fingerprint."""
    frame_by: str = ""
    limit: int = 250
    asked: str = ""
    """What was left out because nobody asked for it, in words; empty if this is the whole graph."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something with a date, for the timeline. `what` is a word such as `expires`; `impact` colours it."""

    at: datetime
    what: str
    subject: str
    detail: str = ""
    impact: Impact = Impact.NONE
    place: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """All that a page of a report shows."""

    report: Report
    graph: PageGraph | None = None
    events: tuple[Event, ...] = ()
    more_events: int = 0
    """Dates that were left out, being of what is unharmed, or further away than those that are shown."""
