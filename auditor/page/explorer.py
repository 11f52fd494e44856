"""The graph's part of a page: its controls, where it is drawn, and what can be read without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from auditor.page.drawing import svg, table
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.page.model import Drawing, PageGraph
from auditor.report.layout import number


def explorer(graph: PageGraph) -> Markup:
    """The graph to click through; for paper and without scripts, a drawing; and in any case a table."""
    drawing = next((one for one in graph.drawings if one.placed), None)
    kinds = sorted({one.kind for one in graph.nodes})
    owners = sorted({one.owner for one in graph.nodes if one.owner})
    frames = ["host", *(("site",) if any(one.site for one in graph.nodes) else ()), *(("owner",) if owners else ())]
    frames += [one for one in ("kind", graph.frame_by) if one and one not in frames]
    search = tag(
        "label",
        hidden("Search the graph"),
        tag(
            "input",
            type="search",
            placeholder="Search nodes",
            id="graph-search",
            role="combobox",
            aria_expanded="false",
            aria_controls="graph-results",
            autocomplete="off",
        ),
    )
    results = tag("ul", "", id="graph-results", role="listbox", aria_label="Nodes", hidden=True)
    shown = [(one.name, _drawing_name(one.title, one.groups, bool(one.placed))) for one in graph.drawings]
    body: list[Markup | None] = [
        tag(
            "div",
            tag(
                "div",
                _choice("Show", "drawing", shown),
                _choice("Frame by", "frames", [("", "nothing"), *((one, one) for one in frames)], graph.frame_by),
                search,
                results,
                class_="filters",
            ),
            tag(
                "div",
                _choice("Area", "area", _ALL) if graph.paths else None,
                _choice("Kind", "kind", [*_ALL, *((one, one) for one in kinds)]),
                _choice("Owner", "owner", [*_ALL, *((one, one) for one in owners)]) if owners else None,
                class_="filters",
            ),
            role="search",
            aria_label="Graph",
            class_="rows",
        ),
        tag("p", "", id="graph-note", class_="legend", role="status"),
        tag(
            "div",
            tag(
                "div",
                tag(
                    "div",
                    "",
                    id="graph-canvas",
                    tabindex=0,
                    role="application",
                    aria_label="Dependency graph",
                    aria_describedby="graph-keys",
                ),
                tag(
                    "div",
                    [
                        tag(
                            "button",
                            tag("span", sign, aria_hidden="true"),
                            hidden(name),
                            type="button",
                            title=name,
                            data_graph=action,
                        )
                        for sign, name, action in (
                            ("+", "Zoom in", "in"),
                            ("−", "Zoom out", "out"),
                            ("⤢", "Fit", "fit"),
                            *(_GROUPED if any(one.count > 1 for one in graph.groups) else ()),
                        )
                    ],
                    class_="zoom",
                ),
                class_="canvas",
            ),
            tag("aside", "", id="graph-details", aria_label="The chosen node", tabindex=-1),
            class_="stage",
        ),
        tag(
            "p", "Choose a node to read what it is and why it is here. ", _keys(), id="graph-keys", class_="legend keys"
        ),
    ]
    interactive = tag("div", body, class_="script interactive", id="graph-view")
    lead = tag("p", _graph_lead(graph), class_="lead")
    return joined([lead, interactive, _static(graph, drawing)])


_ALL: Final = (("", "all"),)
_GROUPED: Final = (("⊞", "Expand all groups", "expand"), ("⊟", "Collapse all groups", "collapse"))


def _choice(said: str, name: str, choices: Iterable[tuple[str, str]], chosen: str = "") -> Markup:
    options = [tag("option", shown, value=value, selected=bool(value) and value == chosen) for value, shown in choices]
    return tag("label", f"{said} ", tag("select", options, id=f"graph-{name}"))


def _static(graph: PageGraph, drawing: Drawing | None) -> list[Markup]:
    if drawing is None:
        said = f"More than {number(graph.limit, 'node')} would be a hairball: nothing is drawn here."
        return [tag("p", said, class_="static empty")]
    return [tag("figure", svg(graph, drawing), class_="static"), _legend(), table(graph, drawing)]


def _drawing_name(title: str, groups: int, placed: bool) -> str:
    return f"{title} ({groups:,})" if placed else f"{title} ({groups:,}, too many to draw at once)"


def _graph_lead(graph: PageGraph) -> Markup:
    said = ["An arrow leads from what needs to what is needed; what is going stands on the right."]
    whole = f"{number(graph.total_nodes, 'node')}, {number(graph.total_edges, 'dependency', 'dependencies')}"
    said.append(graph.asked or f"The whole graph has {whole}.")
    if len(graph.nodes) < graph.total_nodes or len(graph.edges) < graph.total_edges:
        held = f"{len(graph.nodes):,} nodes and {number(len(graph.edges), 'dependency', 'dependencies')}"
        said.append(
            f"This page holds the {held} that findings need first. "
            "For the rest, narrow it with `auditor graph --focus HOST`, or take a format for data."
        )
    if any(one.count > 1 for one in graph.groups):
        said.append("Equal nodes are drawn as one that says how many.")
    return prose(" ".join(said))


def _keys() -> Markup:
    pairs = (
        ("← → ↑ ↓", "go from node to node"),
        ("Enter", "read about it"),
        ("n", "show what is next to it"),
        ("e", "expand or collapse a group"),
        ("+ − 0", "zoom, fit"),
        ("Esc", "let go"),
    )
    return joined([[tag("kbd", key), f" {what}", ", " if key != "Esc" else ""] for key, what in pairs])


def _legend() -> Markup:
    entries = (
        ("going", "■", "going"),
        ("broken", "✗", "breaks"),
        ("blind", "◌", "goes blind"),
        ("degraded", "~", "loses an alternative, or passes the loss on"),
        ("none", "", "unharmed"),
    )
    shown = [
        tag("li", tag("span", sign, class_=f"box {kind}", aria_hidden="true"), name) for kind, sign, name in entries
    ]
    shown.append(tag("li", tag("span", "", class_="line fails", aria_hidden="true"), "dependency that fails"))
    return tag("ul", shown, class_="key", aria_label="What boxes and lines mean")
