"""Any other text that names a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
)

_SHOWN: Final = 1000


class MentionRule(Rule):
    """Lists every line of text that names a host that is going and that no other rule has shown.

    What it does
    ------------
    Looks through all text of the estate, whatever its format, for the host's names (full, short where the short name
    can't be mistaken, and without a known domain), its addresses, names that lead to it alone, ranges such as
    `web[01:20]`, and groups that it leaves empty. One finding for each file.

    Why it matters
    --------------
    Whatever the parsers do not know may still be a dependency: a template, a script in an unknown language, a comment
    that tells someone where to log in. The references that people forget are in such files.

    Example
    -------
    `docs/runbook.md:12: ssh legacy-cert-01 and run renew.sh`

    What to do
    ----------
    Read each line: point it at the successor, or delete it. A comment is worth less than a configuration, and is
    listed with low confidence.

    What it can't see
    -----------------
    Names that are put together at run time (`"web" + number`), names inside compressed or encrypted files, and short
    names that are ordinary words.
    """

    id: ClassVar[str] = "mention"
    title: ClassVar[str] = "Other text names the host"
    area: ClassVar[Area] = Area.MENTIONS
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and file; files of equal place and lines on many hosts become one."""
        for going in estate.going:
            host = estate.host(going.host)
            if host is None:
                continue
            alike: dict[tuple[str, tuple[tuple[int, str], ...]], list[tuple[Node, list[Provenance], bool]]] = {}
            documents: dict[int, tuple[Node, list[Provenance], bool]] = {}
            for edge in estate.incoming(host, Relation.MENTIONS):
                node, lines, sure = documents.get(edge.consumer.id, (edge.consumer, [], False))
                lines.append(edge.provenance)
                documents[node.id] = (node, lines, sure or edge.confidence is not Confidence.LOW)
            for node, lines, sure in documents.values():
                key = (_place(node.text), tuple(sorted((one.line, one.excerpt) for one in lines)))
                alike.setdefault(key, []).append((node, lines, sure))
            for (place, _), same in alike.items():
                node, lines, sure = same[0]
                evidence = tuple(
                    sorted((one for _, found, _ in same for one in found), key=lambda one: (one.path, one.line))
                )
                count = len(lines)
                where = place if len(same) == 1 else f"{place} on {len(same)} hosts"
                successor = f"Point it at {going.successor}" if going.successor else "Point it elsewhere"
                yield Finding(
                    rule=self.id,
                    area=self.area,
                    severity=self.severity if sure else Severity.INFO,
                    confidence=Confidence.MEDIUM if sure else Confidence.LOW,
                    subject=node.text,
                    identity=(going.host, place),
                    message=f"{where} names {going.host}" + (f" in {count} lines" if count > 1 else ""),
                    why="Nothing is known of what reads this text; it may fail or mislead once the host is gone.",
                    action=f"{successor}, or delete it.",
                    impact=Impact.MENTIONED,
                    evidence=evidence[:_SHOWN],
                    hosts=(going.host,),
                )


def _place(estate_path: str) -> str:
    """The path on the host for a file of a host: the same file on many hosts is one finding."""
    parts = estate_path.split("/", 2)
    return "/" + parts[2] if len(parts) == 3 and parts[0] == "hosts" else estate_path
