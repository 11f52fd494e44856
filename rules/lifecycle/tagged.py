"""A tag that says something else of a host than the inventory, or than what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Declared,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    ranged,
)
from rules.lifecycle.signs import Sign, answers
from rules.lifecycle.states import concerned, lines, role


@dataclass(frozen=True, slots=True)
class _Difference:
    """What a host is tagged, and what speaks against it: the inventory, a sign of life, or both."""

    host: Node
    tagged: str
    tag: str
    declared: Declared | None
    sign: Sign | None

    @property
    def declared_as(self) -> str:
        return self.declared.lifecycle.value if self.declared is not None else ""

    def place(self) -> Provenance | None:
        """Where the instance stands with its tags."""
        found = [one for one in self.host.provenance if one.path.startswith("aws/")]
        return next((one for one in found if "/ec2.DescribeInstances." in one.path), next(iter(found), None))


class LifecycleTagDiffersRule(Rule):
    """A tag of a cloud instance says what is to become of it, and the inventory or what was seen says something else.

    What it does
    ------------
    Reads the tags that say what is to become of an instance: `lifecycle` and `auditor:lifecycle`, or those that the
    inventory names in `lifecycle_tags`. Does the inventory declare another lifecycle? Does an instance run, or a host
    answer, that is tagged retired? A warning for hosts of the scenario and those that take over; of others it makes a
    note, one for all that are alike. A value that is none of the words says nothing, and neither does the tag of a
    terminated instance. A host that is to retire may be tagged active until its day.

    `auditor audit` asks about a host that is tagged retired, retiring or read-only as if it were declared so, unless
    the inventory states its lifecycle.

    Why it matters
    --------------
    Automation goes by tags, and people by the inventory: one stops the machine that the other counts on.

    Example
    -------
    `{"Key": "lifecycle", "Value": "retired"}` on an instance whose state is `running`

    What to do
    ----------
    Find out which of the two holds, and correct the other. Tags with another meaning: name yours in `lifecycle_tags`.

    What it can't see
    -----------------
    Who set the tag, and when; tags of other clouds; whether a host that is tagged read-only can be written.
    """

    id: ClassVar[str] = "lifecycle-tag-differs"
    title: ClassVar[str] = "A tag says another lifecycle than the inventory, or than what was seen"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host of the scenario; of others one for all that are alike."""
        tagged = [node for node in estate.nodes(Kind.HOST) if "tagged" in node.attributes]
        retired = {node.text for node in tagged if node.attributes["tagged"] == Lifecycle.RETIRED.value}
        signs: dict[str, Sign] = {}
        for host, sign in answers(estate, retired) if retired else ():
            signs.setdefault(host, sign)
        own = concerned(estate)
        others: dict[tuple[str, str, bool], list[_Difference]] = {}
        for node in tagged:
            found = _difference(estate, node, signs.get(node.text))
            if found is None:
                continue
            if node.text in own:
                yield self._host(estate, found)
            else:
                alike = found.tag, found.declared_as, found.sign is not None
                others.setdefault(alike, []).append(found)
        for _, alike_ones in sorted(others.items()):
            yield self._others(alike_ones)

    def _host(self, estate: EstateView, found: _Difference) -> Finding:
        host = found.host.text
        against = [f"declared {found.declared_as}"] if found.declared_as else []
        if found.sign is not None:
            against.append(found.sign.said)
        *before, last = against
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=host,
            identity=(host, found.tagged, found.declared_as),
            message=f"{host}{role(estate, host)} is tagged {found.tagged} ({found.tag}), "
            + "".join(f"{one}, " for one in before)
            + f"and {last}",
            why="Automation goes by tags, and people by the inventory: one may stop what the other counts on.",
            action="Find out which of them holds, and correct the other; `lifecycle_tags` of the inventory says what "
            "tags mean.",
            impact=Impact.NONE,
            evidence=_lines(found),
            hosts=(host,),
        )

    def _others(self, found: list[_Difference]) -> Finding:
        hosts = sorted(one.host.text for one in found)
        first = found[0]
        several = len(hosts) > 1
        differs = [f"declared {first.declared_as}"] if first.declared_as else []
        if first.sign is not None:
            differs.append("still there")
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            subject=listed(ranged(hosts)),
            identity=("others", first.tagged, first.declared_as, *hosts),
            message=f"{listed(ranged(hosts))} {'are' if several else 'is'} tagged {first.tagged} ({first.tag}), and "
            f"{listed(differs)}",
            why=f"{'They have' if several else 'It has'} nothing to do with the hosts asked about.",
            action="Find out which of them holds, and correct the other.",
            impact=Impact.NONE,
            evidence=tuple(dict.fromkeys(line for one in found[:20] for line in _lines(one))),
        )


def _difference(estate: EstateView, node: Node, sign: Sign | None) -> _Difference | None:
    tagged = Lifecycle(str(node.attributes["tagged"]))
    declared = estate.declared(node.text)
    if declared is not None and (declared.lifecycle is tagged or _agrees(estate, tagged, declared)):
        # Whether a host that is declared retired still runs, another rule asks.
        return None
    if declared is None and sign is None:
        return None
    return _Difference(node, tagged.value, str(node.attributes["lifecycle_tag"]), declared, sign)


def _agrees(estate: EstateView, tagged: Lifecycle, declared: Declared) -> bool:
    """Whether a tag means what the inventory says in other words."""
    over = declared.on is not None and declared.on <= estate.now
    if declared.lifecycle is Lifecycle.RETIRING:
        return tagged is (Lifecycle.RETIRED if over else Lifecycle.ACTIVE)
    if declared.lifecycle is Lifecycle.READ_ONLY:
        # Read-only until it is retired; or in some places alone.
        return (tagged is Lifecycle.RETIRING and declared.on is not None) or (
            tagged is Lifecycle.ACTIVE and bool(declared.read_only_paths)
        )
    return False


def _lines(found: _Difference) -> tuple[Provenance, ...]:
    sign, declared = found.sign, found.declared
    return lines(found.place(), sign.where if sign is not None else None, declared.where if declared else None)
