"""`auditor why CONSUMER HOST`: the path between two things, with the evidence for each step."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from auditor.cli import common
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.graph.view import NodeView, View

_EPILOG = """\
CONSUMER is a node's text or a part of it, with its kind before it if need be:
  auditor why certbot legacy-cert-01 --estate estate/
  auditor why job:/etc/cron.d/certbot legacy-cert-01 --estate estate/
  auditor why https://acme-hook.example.org/renewed legacy-cert-01 --estate estate/
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "why",
        help="the path from something to a host, with evidence",
        description="The shortest path from something to a host, with the evidence for each step.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("consumer", metavar="CONSUMER", help="[KIND:]TEXT of what depends")
    parser.add_argument("host", metavar="HOST", help="the host it leads to")
    common.estate_options(parser)
    common.output_options(parser, ("text", "json"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the path; exit code 0 if there is one, 1 if there is none."""
    from auditor.audit.scenario import parse_hosts
    from auditor.report.why import render_why

    asked, *others = parse_hosts([arguments.host])
    if others:
        raise UsageError(
            f"{arguments.host}: a range of {len(others) + 1:,} hosts",
            hint="Name one of them: a path leads to one host.",
        )
    request = common.request_of(arguments, [asked])
    view = common.run_audit(request, quiet=arguments.quiet).view
    host = view.host(asked.name)
    if host is None:
        raise UsageError(f"{arguments.host}: no such host in the estate")
    found = [node for node in _matching(view, arguments.consumer) if node.id != host.id]
    if not found:
        raise UsageError(
            f"{arguments.consumer!r}: nothing in the estate is called so", hint="Give a part of its name, or KIND:TEXT."
        )
    paths = [(node, view.path_to(node, host)) for node in found]
    leading = sorted((pair for pair in paths if pair[1]), key=lambda pair: (len(pair[1]), pair[0].text))
    chosen = leading[0] if leading else paths[0]
    common.write(
        lambda color, width: render_why(
            chosen[0].label, host.text, chosen[1], arguments.format, color=color, width=width
        ),
        arguments,
    )
    return 0 if chosen[1] else 1


def _matching(view: View, words: str) -> list[NodeView]:
    from auditor.model import Kind

    kind, _, text = words.partition(":")
    kinds = [Kind(kind)] if text and kind in set(Kind) else [one for one in Kind if one is not Kind.DOCUMENT]
    wanted = (text if text and kind in set(Kind) else words).lower()
    exact, partial = [], []
    for one in kinds:
        for node in view.nodes(one):
            known = node.text.lower()
            if known == wanted:
                exact.append(node)
            elif wanted in known:
                partial.append(node)
    return exact or partial
