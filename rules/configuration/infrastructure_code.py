"""Infrastructure as code that still makes a host that is going."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    Lifecycle,
    Node,
    Provenance,
    Relation,
    Rule,
    Severity,
    listed,
)

_ENDS: Final = (".tf", ".tf.json", ".tfstate", ".json", ".tfvars")


class InfrastructureCodeMakesHostRule(Rule):
    """Resources of Terraform that are the host itself, and that nobody has taken out.

    What it does
    ------------
    Takes the machines that Terraform's configurations, states and plans describe (`aws_instance`, `hcloud_server`,
    `vsphere_virtual_machine` and others), by the name or address of the host that is to be switched off. A plan that
    destroys the machine already is what it should be, and is left out. Nothing is said for a read-only host.

    Why it matters
    --------------
    A machine that is switched off by hand is made anew by the next `apply`, empty, with the old name and address. And a
    state that still knows it makes every plan fail, or wait for its console.

    Example
    -------
    `resource "hcloud_server" "old" { name = "old.example.net" }`

    What to do
    ----------
    Take the resource out of the configuration and let `terraform apply` destroy it as the last step of the retirement;
    look at what else the plan wants to destroy with it.

    What it can't see
    -----------------
    Machines that a module or an autoscaling group makes without a name, other tools' stacks, and other workspaces.
    """

    id: ClassVar[str] = "infrastructure-code-makes-host"
    title: ClassVar[str] = "Infrastructure as code still makes the host"
    area: ClassVar[Area] = Area.CONFIGURATION
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host."""
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or going.lifecycle is Lifecycle.READ_ONLY:
                continue
            known = host.attributes
            if known.get("origin") == "terraform" and "resource" in known and "action" not in known:
                lines = _lines(host)
                if lines:
                    yield self._finding(going, str(known["resource"]), lines)

    def _finding(self, going: Going, resource: str, lines: tuple[Provenance, ...]) -> Finding:
        files = list(dict.fromkeys(line.path for line in lines))
        kept = any(path.endswith(".tfstate") for path in files)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=resource,
            identity=(going.host, resource),
            message=f"{resource} of Terraform is {going.host}, and {listed(files)} still "
            f"{'has' if kept else 'makes'} it",
            why="Switched off by hand, it is made anew by the next apply, with the old name and address.",
            action=f"Take {resource} out of the configuration, and let `terraform apply` destroy it as the last step; "
            "read in the plan what it destroys besides.",
            impact=Impact.MENTIONED,
            evidence=lines,
            hosts=(going.host,),
        )


def _lines(host: Node) -> tuple[Provenance, ...]:
    """Where Terraform's files describe a machine."""
    found = (one for one in host.provenance if one.line and one.path.endswith(_ENDS))
    return tuple(one for one in dict.fromkeys(found) if not one.path.startswith("hosts/"))
