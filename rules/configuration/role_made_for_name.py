"""Roles of configuration management that serve only a name that goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.ways import references_to


class RoleMadeForNameRule(Rule):
    """Finds Ansible roles that are called for a going name alone, and are called like it.

    What it does
    ------------
    Takes each role all of whose calls in a repository are given host names as parameters, all of them names of what is
    going, and whose own name is the first label of one (`web/shop` for `shop.example.net`). Tells the calls, and the
    role's tasks as a whole. Nothing is said for read-only hosts.

    Why it matters
    --------------
    Tasks of such a role carry the name in parts that no search for it finds: tags, names of files, templates. With the
    calls gone and the role left, its cron jobs and web-server files stay on the hosts that got them, and the next
    reader takes the role for one that is in use.

    Example
    -------
    `- {role: web/shop, website: shop.example.net}`, the only call of `roles/web/shop`

    What to do
    ----------
    Have the role's files removed from the hosts that got them, then delete its calls and its directory.

    What it can't see
    -----------------
    Calls from other repositories, those with a template as the role's name, and roles that are called otherwise than
    the name.
    """

    id: ClassVar[str] = "role-made-for-name"
    title: ClassVar[str] = "A role is used for the going name alone"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.INFO
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.SELECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each role."""
        hosts: dict[str, str] = {}
        for going in estate.going:
            if going.lifecycle is Lifecycle.READ_ONLY:
                continue
            hosts.update(dict.fromkeys((going.host, *going.names), going.host))
            if (host := estate.host(going.host)) is not None:
                hosts.update((node.text, going.host) for node in references_to(estate, host) if node.kind is Kind.NAME)
        for role in estate.nodes(Kind.PLAYBOOK) if hosts else ():
            made_for, name = role.attributes.get("made_for"), role.attributes.get("role")
            if not isinstance(made_for, tuple) or not isinstance(name, str) or not hosts.keys() >= set(made_for):
                continue
            if not any(name.rpartition("/")[2] == one.partition(".")[0] for one in made_for):
                continue
            calls = {edge.provenance: None for edge in estate.incoming(role, Relation.CALLS)}
            files = {Provenance(one.path, collected_at=one.collected_at, estate=one.estate) for one in role.provenance}
            ours = sorted({hosts[one] for one in made_for})
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.MEDIUM,
                subject=f"role {name}",
                identity=("role", role.text),
                message=f"The role {name} is used for {listed(sorted(made_for))} alone: "
                f"{plural(len(calls), 'call')} of it, and no other",
                why="What its tasks have set up stays on the hosts that got it, and names it in parts that no search "
                "for it finds.",
                action=f"Have what {role.text} sets up removed from its hosts, then delete "
                f"{'the call' if len(calls) == 1 else 'the calls'} and {role.text}.",
                impact=Impact.NONE,
                evidence=(
                    *sorted(calls, key=lambda one: (one.path, one.line)),
                    *sorted(files, key=lambda one: one.path),
                ),
                hosts=tuple(ours),
            )
