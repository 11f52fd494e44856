"""Roles of configuration management that serve only a host that goes."""

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
    Relation,
    Rule,
    Severity,
    plural,
)


class RoleMadeForHostRule(Rule):
    """Finds Ansible roles that are called as a going host is, and that nothing else uses.

    What it does
    ------------
    Takes each role whose own name is the short name of a going host (`web/shop` for `shop.example.net`) and whose every
    use in the estate is for it: in a playbook that selects nothing that stays, or with the host's name among the
    parameters. Tells the lines that use it; what its files say of the host is told by mention. Nothing is said for
    read-only hosts.

    Why it matters
    --------------
    With the calls gone and the role left, its cron jobs and web-server files stay on the hosts that got them, and the
    next reader takes the role for one that is in use.

    Example
    -------
    `- {role: web/shop, website: shop.example.net}`, the only use of `roles/web/shop`

    What to do
    ----------
    Have the role's files removed from the hosts that got them, then delete its calls and its directory.

    What it can't see
    -----------------
    Uses in other repositories, those with a template as the role's name, and roles that are called otherwise than the
    host.
    """

    id: ClassVar[str] = "role-made-for-host"
    title: ClassVar[str] = "A role is used for the going host alone"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.INFO
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.SELECTS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each role."""
        leaving = {one.host for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        for role in estate.nodes(Kind.PLAYBOOK) if leaving else ():
            host, name = role.attributes.get("made_for"), role.attributes.get("role")
            if not isinstance(host, str) or host not in leaving:
                continue
            uses = sorted(set(role.provenance), key=lambda one: (one.path, one.line))
            them = "the line that uses it" if len(uses) == 1 else "the lines that use it"
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=self.severity,
                confidence=Confidence.MEDIUM,
                subject=f"role {name}",
                identity=("role", role.text),
                message=f"The role {name} is used for {host} alone: {plural(len(uses), 'use')} of it, and no other",
                why="What its tasks have set up stays on the hosts that got it.",
                action=f"Have that removed from the hosts, then delete {them} and {role.text}.",
                impact=Impact.NONE,
                evidence=tuple(uses),
                hosts=(host,),
            )
