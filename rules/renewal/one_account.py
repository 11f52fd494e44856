"""All issuance through one account of one CA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Area,
    Confidence,
    Count,
    EstateView,
    Finding,
    Going,
    Impact,
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
    split_endpoint,
)
from rules.renewal.lineages import Lineages, Renewal, called, lines


class IssuanceSingleAccountRule(Rule):
    """All certificates of the estate come from one account of one CA, and a host that is going holds it.

    What it does
    ------------
    Counts the renewals of the estate by CA and account. If all those of which the account is known have the same one,
    and a host that is going is among those that use it, it says so, with how many certificates and hosts there are.

    Why it matters
    --------------
    An account that the CA blocks, a key of it that gets out, or a limit that one script uses up, ends all issuance at
    once. And the key of the account is in the files of the host that goes: without it the certificates can't be
    revoked.

    Example
    -------
    14 lineages on 3 hosts, all of them by `https://ca.example/acct/7`, made on the old server

    What to do
    ----------
    Make a second account, at another CA if possible, allow it in CAA, and issue something with it once. Take the
    account's key along, or deactivate the account when nothing uses it any more.

    What it can't see
    -----------------
    Accounts of clients that were not captured. One site for all is told by `issuance-single-place`.
    """

    id: ClassVar[str] = "issuance-single-account"
    title: ClassVar[str] = "All certificates come from one account"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})
    certificates = Count(2, "certificate", "from how many certificates on one account for all counts", least=2)

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding at the most."""
        known = Lineages(estate)
        using: dict[tuple[str, str], list[Renewal]] = {}
        for renewal in map(known.of, known.all):
            found = _account(renewal.lineage)
            if renewal.enabled and found[1]:
                using.setdefault(found, []).append(renewal)
        if len(using) != 1:
            return
        ((authority, account), renewals) = next(iter(using.items()))
        holders = {one.lineage.scope for one in renewals}
        going = [one for one in estate.going if one.host in holders]
        if going and len(renewals) >= self.certificates:
            yield self._finding(going, renewals, authority, account, sum(1 for _ in known.all))

    def _finding(
        self, going: list[Going], renewals: list[Renewal], authority: str, account: str, count: int
    ) -> Finding:
        hosts = sorted({one.lineage.scope for one in renewals if one.lineage.scope})
        names = sorted({called(one.lineage) for one in renewals})
        mine = [one for one in renewals if one.lineage.scope in {each.host for each in going}]
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=f"account {account}",
            identity=(authority, account),
            message=f"{len(renewals)} of {plural(count, 'renewal')}, on {plural(len(hosts), 'host')}, go through one "
            f"account at {authority}: {account}",
            why=f"They are for {listed(names)}. {listed([one.host for one in going])} "
            f"{'holds' if len(going) == 1 else 'hold'} its key, for {plural(len(mine), 'of them', 'of them')}.",
            action="Make a second account, at another CA if possible, allow it in CAA, and issue something with it "
            "once; take the key of this one along.",
            impact=Impact.NONE,
            evidence=lines(one.lineage.provenance[0] for one in renewals if one.lineage.provenance),
            hosts=tuple(one.host for one in going),
        )


def _account(lineage: Node) -> tuple[str, str]:
    """The CA and the account of a lineage: its URI where it is known, else the client's own id of it."""
    known = lineage.attributes
    server = str(known.get("server", ""))
    parts = split_endpoint(server)
    return (parts.host if parts is not None else server, str(known.get("account_uri") or known.get("account") or ""))
