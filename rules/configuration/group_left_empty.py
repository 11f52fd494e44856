"""Groups of configuration management that are left without a host, and the playbooks that then do nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
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
    plural,
)
from rules.configuration.groups import ANSIBLE, PATTERNS, TOOLS, Leaving, bare_name, tool_of
from rules.ways import references_to

_SELECTORS: Final = {".sls": ("salt", "target"), ".pp": ("puppet", "node definition")}
"""Files of other tools than Ansible that select hosts: the tool, and what it calls a selection."""
_WHY: Final = {
    "Ansible": "A play that selects nothing is skipped, and the run stays green.",
    "Salt": "What it holds for a minion that is gone is never applied; the next minion of that name gets it.",
    "Puppet": "A definition for a node that is gone is never compiled; the next node of that name gets it.",
}


class GroupLeftEmptyRule(Rule):
    """Finds groups all of whose hosts are retired, and playbooks, targets and nodes that select nothing else.

    What it does
    ------------
    Takes each group that has hosts, all of them going, directly or in child groups, with the group's header and member
    lines, and each playbook all of whose plays select only such groups and hosts, with its `hosts:` lines and the lines
    of other playbooks that import it. One finding for each group; a playbook that names the hosts themselves has one of
    its own. A playbook that selects other groups or hosts too goes on, and is only counted. Files of variables that
    belong to the group are named in the action. Nothing is said for read-only hosts.

    Host groups of Nagios, Icinga and Zabbix and node groups of Salt likewise, with their member lines. Of Salt's top
    files, Puppet's manifests and playbooks that go on, it tells the targets, node definitions and plays that name the
    host: how many are for it alone, and how many name it beside others. One finding for each file.

    A host group whose checks all watch only the host is told by alert-blind.

    Why it matters
    --------------
    A group without hosts is no error: the play is skipped, and the run is green. What it did (a front end's back ends,
    a firewall's rules for that group) stays as it was on other hosts. Nagios refuses to start with a check for a group
    that is empty. What Salt or Puppet holds for a name waits for the next machine that is called so.

    Example
    -------
    `[docs-backend]` with its only host, and `playbooks/groups/docs-backend.yml` with `hosts: docs-backend`

    What to do
    ----------
    Delete the group, its variables and its playbook with the import of it; or put the successor into the group.

    What it can't see
    -----------------
    Patterns that are templates, and groups that are made at run time (`group_by`, dynamic inventories).
    """

    id: ClassVar[str] = "group-left-empty"
    title: ClassVar[str] = "A group is left without a host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MEMBER, Relation.SELECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each group, and one for each playbook that selects the hosts by name alone."""
        going = [one for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY]
        leaving = Leaving(estate, (one.host for one in going))
        if not going:
            return
        playbooks = _Playbooks(estate, leaving)
        shown: set[int] = set()
        empty = _emptied(estate, leaving)
        for group in empty.values():
            hosts = sorted(leaving.of(group) or ())
            successor = next((one.successor for one in going if one.host in hosts and one.successor), "")
            if tool_of(group) is not ANSIBLE:
                yield from self._of_tool(estate, group, hosts, successor)
                continue
            selecting = {edge.consumer.id: edge.consumer for edge in estate.incoming(group, Relation.SELECTS)}
            books = [node for node in selecting.values() if node.kind is Kind.PLAYBOOK]
            dead = [book for book in books if playbooks.is_dead(book)]
            shown.update(book.id for book in dead)
            alone = {
                book.text: lines
                for book in books
                if not playbooks.is_dead(book) and (lines := playbooks.plays_for(book, group))
            }
            documents = {node.text for node in selecting.values() if node.kind is Kind.DOCUMENT}
            for name in hosts:
                host = estate.host(name)
                own = estate.incoming(host, Relation.SELECTS) if host is not None else ()
                documents.update(edge.consumer.text for edge in own if edge.consumer.kind is Kind.DOCUMENT)
            variables = sorted(documents)
            evidence = _lines(
                (one for one in group.provenance),
                (edge.provenance for edge in estate.outgoing(group, Relation.MEMBER)),
                *(playbooks.lines(book) for book in dead),
            )
            if evidence:
                yield self._group(group, hosts, books, dead, alone, variables, evidence, successor)
        for playbook in _selecting(estate, leaving):
            if playbook.id in shown:
                continue
            if _form(playbook) or not playbooks.is_dead(playbook):
                yield from self._selections(estate, playbook, leaving)
                continue
            evidence = _lines(playbooks.lines(playbook))
            hosts = sorted(
                {
                    edge.provider.text
                    for edge in estate.outgoing(playbook, Relation.SELECTS)
                    if edge.provider.kind is Kind.HOST
                }
                & leaving.hosts
            )
            if evidence:
                yield self._playbook(playbook, hosts, evidence)

    def _of_tool(self, estate: EstateView, group: Node, hosts: list[str], successor: str) -> Iterator[Finding]:
        """A group of monitoring or of Salt. Patterns (globs, regular expressions) are told with their file."""
        tool = tool_of(group)
        users = [edge.consumer for edge in estate.incoming(group, Relation.SELECTS, Relation.WATCHES)]
        blind = tool.watches and any(estate.impact_of(user) in (Impact.BLIND, Impact.BROKEN) for user in users)
        evidence = _lines(edge.provenance for edge in estate.outgoing(group, Relation.MEMBER))
        if blind or not evidence or group.text.startswith(PATTERNS):
            return
        used = sorted({user.text for user in users})
        ends = f", and {listed(used)} then {'selects' if len(used) == 1 else 'select'} nothing there" if used else ""
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"group {group.text}",
            identity=("group", group.text),
            message=f"The {tool.group} {bare_name(group)} is left without a host once {listed(hosts)} "
            f"{'is' if len(hosts) == 1 else 'are'} gone{ends}",
            why=tool.empty,
            action="Delete the group with what is assigned to it"
            + (f"; or put {successor} into it." if successor else "."),
            impact=Impact.BROKEN if used else Impact.NONE,
            evidence=evidence,
            hosts=tuple(hosts),
        )

    def _selections(self, estate: EstateView, playbook: Node, leaving: Leaving) -> Iterator[Finding]:
        """What a file that goes on, or one of Salt or Puppet, holds for the going hosts."""
        form = _form(playbook)
        tool, noun = (TOOLS[form[0]], form[1]) if form else (ANSIBLE, "play")
        alone: dict[str, list[Provenance]] = {}
        beside: dict[str, list[Provenance]] = {}
        named: set[str] = set()
        by_group: dict[str, list[Edge]] = {}
        for edge in estate.outgoing(playbook, Relation.SELECTS):
            by_group.setdefault(edge.group, []).append(edge)
        for group, edges in by_group.items():
            # A play for a group is told with the group.
            own = [edge for edge in edges if form or edge.provider.kind is Kind.HOST]
            gone = [(edge, lost) for edge in own if (lost := leaving.selected(edge.provider)) is not None]
            if gone:
                whole = len(gone) == len(edges)
                (alone if whole else beside).setdefault(group, []).extend(edge.provenance for edge, _ in gone)
                named.update(host for _, lost in gone for host in lost)
        evidence = _lines(*alone.values(), *beside.values())
        if not evidence:
            return
        hosts = sorted(named)
        said = [f"{plural(len(alone), noun)} for {listed(hosts)} alone"] if alone else []
        if beside:
            whom = "it" if alone and len(hosts) == 1 else "them" if alone else listed(hosts)
            that = "that names" if len(beside) == 1 else "that name"
            said.append(f"{len(beside) if alone else plural(len(beside), noun)} {that} {whom} beside others")
        successors = sorted({one.successor for one in estate.going if one.host in named and one.successor})
        yield Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if alone and not form else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=playbook.text,
            identity=("selections", playbook.text, *hosts),
            message=f"{playbook.text} has {' and '.join(said)}",
            why=_WHY[tool.name],
            action=f"Delete {'them' if len(evidence) > 1 else 'it'} there"
            + (f", or write {listed(successors)} in {listed(hosts)}'s place." if successors else "."),
            impact=Impact.BROKEN if alone and not form else Impact.NONE,
            evidence=evidence,
            hosts=tuple(hosts),
        )

    def _group(
        self,
        group: Node,
        hosts: list[str],
        books: list[Node],
        dead: list[Node],
        alone: Mapping[str, Sequence[Provenance]],
        variables: list[str],
        evidence: tuple[Provenance, ...],
        successor: str,
    ) -> Finding:
        ends = f", and {listed([book.text for book in dead])} then selects nothing" if len(dead) == 1 else ""
        if len(dead) > 1:
            ends = f", and {plural(len(dead), 'playbook')} then select nothing: {listed([book.text for book in dead])}"
        others = len(books) - len(dead) - len(alone)
        more = "".join(
            f" {plural(len(lines), 'play')} of {book} {'is' if len(lines) == 1 else 'are'} for it alone."
            for book, lines in list(alone.items())[:3]
        )
        if len(alone) > 3:
            more += f" So are plays of {len(alone) - 3} more."
        more += f" {plural(others, 'other playbook')} selects it beside others, and goes on." if others == 1 else ""
        if others > 1:
            more += f" {others} other playbooks select it beside others, and go on."
        action = f"Delete the group{' and the playbook' if len(dead) == 1 else ' and the playbooks' if dead else ''}"
        action += f", with {listed(variables)}" if variables else ""
        action += f"; or put {successor} into the group." if successor else "."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"group {group.text}",
            identity=("group", group.text),
            message=f"The group {group.text} is left without a host once {listed(hosts)} "
            f"{'is' if len(hosts) == 1 else 'are'} gone{ends}",
            why=f"A play for a group without hosts is skipped, and the run stays green.{more}"
            if books
            else "No playbook that was captured selects it.",
            action=action,
            impact=Impact.BROKEN if dead or alone else Impact.NONE,
            evidence=evidence,
            hosts=tuple(hosts),
        )

    def _playbook(self, playbook: Node, hosts: list[str], evidence: tuple[Provenance, ...]) -> Finding:
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"playbook {playbook.text}",
            identity=("playbook", playbook.text),
            message=f"{playbook.text} selects nothing once {listed(hosts)} {'is' if len(hosts) == 1 else 'are'} gone",
            why="Its plays are for these hosts alone: a run of it then fails, or does nothing.",
            action=f"Delete {playbook.text} and what imports it, or make it select the successor.",
            impact=Impact.BROKEN,
            evidence=evidence,
            hosts=tuple(hosts),
        )


def _emptied(estate: EstateView, leaving: Leaving) -> dict[int, Node]:
    """Groups that hold hosts, all of them going; found from the hosts upwards."""
    found: dict[int, Node] = {}
    pending = [host for name in sorted(leaving.hosts) if (host := estate.host(name)) is not None]
    pending += [node for host in tuple(pending) for node in references_to(estate, host)]
    seen = {node.id for node in pending}
    while pending:
        for edge in estate.incoming(pending.pop(0), Relation.MEMBER):
            group = edge.consumer
            if group.id in seen:
                continue
            seen.add(group.id)
            if leaving.of(group):
                found[group.id] = group
                pending.append(group)
    return found


def _selecting(estate: EstateView, leaving: Leaving) -> Iterator[Node]:
    """The playbooks that select a going host by its name, or by a pattern that fits no other."""
    seen = set()
    hosts = [host for name in sorted(leaving.hosts) if (host := estate.host(name)) is not None]
    patterns = [group for group in _emptied(estate, leaving).values() if tool_of(group) is not ANSIBLE]
    for node in (*hosts, *patterns):
        for edge in estate.incoming(node, Relation.SELECTS):
            if edge.consumer.kind is Kind.PLAYBOOK and edge.consumer.id not in seen:
                seen.add(edge.consumer.id)
                yield edge.consumer


class _Playbooks:
    """The playbooks of an estate, each looked through once."""

    def __init__(self, estate: EstateView, leaving: Leaving) -> None:
        self._estate, self._leaving = estate, leaving
        self._dead: dict[int, bool] = {}
        self._lines: dict[int, tuple[Provenance, ...]] = {}
        self._plays: dict[int, dict[int, list[Provenance]]] = {}
        self._out: dict[str, list[Node]] = {}
        for playbook in estate.nodes(Kind.PLAYBOOK):
            end = playbook.text if playbook.text.startswith("/") else ""
            while end := end.partition("/")[2]:
                self._out.setdefault(end, []).append(playbook)

    def is_dead(self, playbook: Node) -> bool:
        """Whether every play of it selects only what is going: each pattern is known, and all of it leaves."""
        if playbook.id not in self._dead:
            self._dead[playbook.id] = self._all_leave(playbook)
        return self._dead[playbook.id]

    def _all_leave(self, playbook: Node) -> bool:
        patterns = playbook.attributes.get("hosts_patterns")
        if not isinstance(patterns, tuple) or not patterns:
            return False
        left: dict[str, bool] = {}
        for edge in self._estate.outgoing(playbook, Relation.SELECTS):
            # A group of which no inventory was captured may hold anything.
            left[edge.group] = left.get(edge.group, True) and self._leaving.selected(edge.provider) is not None
        return all(left.get(f"hosts {pattern}", False) for pattern in patterns)

    def plays_for(self, playbook: Node, group: Node) -> list[Provenance]:
        """The plays of it that select this group, and nothing that stays."""
        if playbook.id not in self._plays:
            self._plays[playbook.id] = self._plays_that_leave(playbook)
        return self._plays[playbook.id].get(group.id, [])

    def _plays_that_leave(self, playbook: Node) -> dict[int, list[Provenance]]:
        plays: dict[str, list[Edge]] = {}
        for edge in self._estate.outgoing(playbook, Relation.SELECTS):
            plays.setdefault(edge.group, []).append(edge)
        found: dict[int, list[Provenance]] = {}
        for play, edges in plays.items():
            if play.startswith("hosts ") and all(self._leaving.selected(edge.provider) is not None for edge in edges):
                for target, edge in {edge.provider.id: edge for edge in reversed(edges)}.items():
                    found.setdefault(target, []).append(edge.provenance)
        return found

    def lines(self, playbook: Node) -> tuple[Provenance, ...]:
        """Its `hosts:` lines, and the lines that import it: by its path in the tree, or where it is checked out to."""
        if playbook.id not in self._lines:
            callers = [one for one in self._out.get(playbook.text, ()) if one.id != playbook.id]
            edges = list(self._estate.outgoing(playbook, Relation.SELECTS))
            for called in (playbook, *callers):
                edges += self._estate.incoming(called, Relation.CALLS)
            self._lines[playbook.id] = tuple(edge.provenance for edge in edges)
        return self._lines[playbook.id]


def _form(playbook: Node) -> tuple[str, str] | None:
    """Which other tool than Ansible a file belongs to, and what that calls a selection."""
    return next((form for suffix, form in _SELECTORS.items() if playbook.text.endswith(suffix)), None)


def _lines(*found: Iterable[Provenance]) -> tuple[Provenance, ...]:
    unique: dict[tuple[str, int], Provenance] = {}
    for several in found:
        for one in several:
            if one.path != "." and one.line:
                unique.setdefault((one.path, one.line), one)
    return tuple(unique[key] for key in sorted(unique))
