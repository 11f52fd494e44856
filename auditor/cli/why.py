"""`auditor why CONSUMER HOST`: the path between two things, with the evidence for each step."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from auditor.cli import common
from auditor.errors import UsageError
from auditor.model import TRANSPARENT, Kind, Relation
from auditor.phrases import listed

if TYPE_CHECKING:
    from auditor.graph.view import NodeView, View
    from auditor.model import Step

ON_HOSTS: Final = 500
"""Things on the machines that were found, of which paths are looked for."""
WORDS: Final = 20_000
"""Words of an estate that one which nothing is called is compared with."""

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
    from auditor.report.why import Other, render_why

    if not arguments.consumer.strip():
        raise UsageError("CONSUMER is empty", hint="Say what depends: a part of its name, or KIND:TEXT.")
    asked, *others = parse_hosts([arguments.host])
    if others:
        raise UsageError(
            f"{arguments.host}: a range of {len(others) + 1:,} hosts",
            hint="Name one of them: a path leads to one host.",
        )
    audited = common.run_audit(common.request_of(arguments, [asked]), quiet=arguments.quiet)
    common.known_hosts(audited)
    view = audited.view
    host = view.host(view.going[0].host)
    if host is None:
        raise UsageError(f"{arguments.host}: no such host in the estate")
    found = [node for node in _matching(view, arguments.consumer) if node.id != host.id]
    if not found:
        raise UsageError(
            f"{arguments.consumer!r}: nothing in the estate is called so", hint=_meant(view, arguments.consumer)
        )
    found += _on_hosts(view, found, host)
    (chosen, path), *rest = sorted(_ways(view, found, host), key=_plainest)
    if not _is_itself(path):
        rest = [(node, way) for node, way in rest if not way or not _is_itself(way)]
    answer = partial(
        render_why,
        chosen.label,
        host.text,
        path,
        arguments.format,
        estate=audited.report.estate,
        others=[Other(node.label, bool(way)) for node, way in rest if node.label != chosen.label],
    )
    common.write(lambda color, width: answer(color=color, width=width), arguments)
    return 0 if path else 1


def _ways(view: View, found: Sequence[NodeView], host: NodeView) -> Iterator[tuple[NodeView, tuple[Step, ...]]]:
    """Each with its path, of a document also the line that names the host; without what was only asked to be so."""
    path_to = view.paths_to(host)
    asked = view.going[0].origin == "asked"
    for node in found:
        path = path_to(node)
        if not path and node.kind is Kind.DOCUMENT:
            named = (edge for edge in view.outgoing(node, Relation.MENTIONS) if edge.provider.id == host.id)
            path = tuple(view.step(edge) for edge in islice(named, 1))
        if path and asked:
            path = (*path[:-1], replace(path[-1], note=""))
        yield node, path


def _plainest(way: tuple[NodeView, Sequence[Step]]) -> tuple[bool, bool, int, bool, str]:
    """What depends goes before what does not, a machine before its records, its own names after what is more."""
    node, path = way
    return not path, bool(path) and _is_itself(path), len(path), node.kind is not Kind.HOST, node.text


def _is_itself(path: Sequence[Step]) -> bool:
    return all(step.relation in TRANSPARENT for step in path)


def _on_hosts(view: View, found: Sequence[NodeView], host: NodeView) -> list[NodeView]:
    """What depends on a host, of all that is on the machines that were found: a machine itself depends on nothing."""
    called = [node for node in found if node.kind in (Kind.HOST, Kind.NAME, Kind.ADDRESS)]
    machines = {reached.text for node in called for reached in view.reaches(node) if reached.id != host.id}
    known = {node.id for node in found}
    needing = (node for node in view.dependents(host) if node.id not in known and node.scope in machines)
    return list(islice(needing, ON_HOSTS)) if machines else []


def _split(words: str) -> tuple[str, str]:
    """The kind, or nothing, and the text."""
    kind, colon, text = words.partition(":")
    return (kind, text) if colon and text and kind in set(Kind) else ("", words)


def _matching(view: View, words: str) -> list[NodeView]:
    kind, text = _split(words)
    if not kind:
        # Any file is a document, and what is in it says more.
        rest = [one for one in Kind if one is not Kind.DOCUMENT]
        return _of_kinds(view, rest, text) or _of_kinds(view, [Kind.DOCUMENT], text)
    return _of_kinds(view, [Kind(kind)], text)


def _of_kinds(view: View, kinds: Sequence[Kind], text: str) -> list[NodeView]:
    wanted = text.strip().lower()
    exact, parts = [], []
    for one in kinds:
        for node in view.nodes(one):
            known = node.text.lower()
            if known == wanted:
                exact.append(node)
            elif wanted in known:
                parts.append(node)
    return exact or parts


def _meant(view: View, words: str) -> str:
    """What to write instead: the same of another kind, words that are nearly the same, the kinds that there are."""
    kind, text = _split(words)
    if kind and (other := _matching(view, text)):
        return f"There is {listed(list(dict.fromkeys(node.label for node in other)))}, of another kind."
    before, colon, after = words.partition(":")
    if colon and not kind and before.isalpha() and not after.startswith("//"):
        return f"{before!r} is no kind: {', '.join(Kind)}."
    known: dict[str, None] = {}
    for one in Kind:
        for node in view.nodes(one):
            known.update(dict.fromkeys(re.findall(r"[\w.-]{3,}", node.text.lower())))
            if len(known) > WORDS:
                break
    close = get_close_matches(text.lower(), known, 3, 0.7)
    return (f"Did you mean {' or '.join(close)}? " if close else "") + "Give a part of its name, or KIND:TEXT."
