"""The graph's part of a page: its controls, where it is drawn, and what can be read without it."""

from __future__ import annotations

from auditor.page.drawing import svg, table
from auditor.page.markup import Markup, hidden, joined, prose, tag
from auditor.page.model import PageGraph
from auditor.report.layout import number


def explorer(graph: PageGraph) -> Markup:
    """The graph to click through; for paper and without scripts, a drawing; and in any case a table."""
    drawing = next((one for one in graph.drawings if one.placed), None)
    kinds = sorted({one.kind for one in graph.nodes})
    owners = sorted({one.owner for one in graph.nodes if one.owner})
    body: list[Markup | None] = [
        tag("p", _graph_lead(graph), class_="lead"),
        tag(
            "div",
            tag(
                "label",
                "Show ",
                tag(
                    "select",
                    [
                        tag("option", _drawing_name(one.title, one.groups, bool(one.placed)), value=one.name)
                        for one in graph.drawings
                    ],
                    id="graph-drawing",
                ),
            ),
            tag("label", "Area ", tag("select", tag("option", "all", value=""), id="graph-area"))
            if graph.paths
            else None,
            tag(
                "label",
                "Kind ",
                tag(
                    "select",
                    tag("option", "all", value=""),
                    [tag("option", one, value=one) for one in kinds],
                    id="graph-kind",
                ),
            ),
            tag(
                "label",
                "Owner ",
                tag(
                    "select",
                    tag("option", "all", value=""),
                    [tag("option", one, value=one) for one in owners],
                    id="graph-owner",
                ),
            )
            if owners
            else None,
            tag(
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
            ),
            tag("ul", "", id="graph-results", role="listbox", aria_label="Nodes", hidden=True),
            class_="filters",
            role="search",
            aria_label="Graph",
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
                            ("⊞", "Expand all groups", "expand"),
                            ("⊟", "Collapse all groups", "collapse"),
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
    static = [tag("figure", svg(graph, drawing), class_="static"), _legend(), table(graph, drawing)] if drawing else []
    return joined([interactive, static])


def _drawing_name(title: str, groups: int, placed: bool) -> str:
    return f"{title} ({groups:,})" if placed else f"{title} ({groups:,}, too many to draw at once)"


def _graph_lead(graph: PageGraph) -> Markup:
    said = "An arrow leads from what needs to what is needed; what is going stands on the right. "
    whole = f"{number(graph.total_nodes, 'node')}, {number(graph.total_edges, 'dependency', 'dependencies')}"
    if len(graph.nodes) < graph.total_nodes:
        said += (
            f"The whole graph has {whole}: this page holds the {len(graph.nodes):,} nodes that findings need first. "
            "For the rest, narrow it with `auditor graph --focus HOST`, or take a format for data."
        )
    else:
        said += f"The whole graph has {whole}; equal nodes are drawn as one that says how many."
    return prose(said)


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
