"""A key without a second place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from auditor.api import (
    Confidence,
    EstateView,
    Finding,
    Going,
    Impact,
    KeyStore,
    Lifecycle,
    Relation,
    Severity,
    duration,
    listed,
)
from rules.recovery.stakes import RecoveryRule, concerned
from rules.renewal.lineages import lines

_STORES = {"hsm": "HSM", "file": "file", "kms": "key management service", "paper": "printout"}


class RecoveryKeySinglePlaceRule(RecoveryRule):
    """A key that a way back needs, in one place only, or only where the retirement takes it.

    What it does
    ------------
    Of the keys that procedures for this need, it shows those whose store and backup are all on hosts that are going
    (it blocks if they are retired: the key is gone then), and those that have no backup at all.

    Why it matters
    --------------
    Without the key there is no reissue, however fast all the rest is. One store at one site is one power cut, one
    broken device, one building that is closed at the weekend.

    Example
    -------
    The signing key is in the one HSM of the site; the escrow agent hands out a copy after an audit trail of 3 h.

    What to do
    ----------
    Make a second copy at another site and restore from it once; only then let go of the first one.

    What it can't see
    -----------------
    Whether a backup can be restored: that is what a rehearsal is for.
    """

    id: ClassVar[str] = "recovery-key-single-place"
    title: ClassVar[str] = "A key with one place only"
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each key."""
        for key in estate.recovery.keys:
            users = [
                (procedure, step, hosts)
                for procedure, hosts in concerned(estate)
                for step in procedure.steps
                if step.key == key.name
            ]
            taken = self._taken(estate, key)
            single = not key.backup_hosts and not key.backup_site
            if not taken and not (users and single):
                continue
            names = sorted({procedure.name for procedure, _, _ in users})
            at = f" at {key.site}" if key.site else ""
            where = f"one {_STORES[key.store]}{', ' + listed(list(key.hosts)) if key.hosts else ''}{at}"
            gone = [one for one in taken if one.lifecycle is not Lifecycle.READ_ONLY]
            says = (
                f"is kept on {listed([one.host for one in taken])} alone, and goes with it"
                if gone
                else f"is in {where}, and has no backup"
            )
            if not gone and not single:
                continue
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=Severity.BLOCK if gone else self.severity,
                confidence=Confidence.HIGH,
                subject=f"key {key.name}",
                identity=(key.name, "gone" if gone else "single"),
                message=f"The key {key.name} {says}",
                why=(f"{listed(names)} {'needs' if len(names) == 1 else 'need'} it. " if names else "")
                + self._escrow(key),
                action="Make a copy in a second store at another site, restore from it once, and declare it as "
                "`backup_host` and `backup_site`.",
                impact=Impact.BROKEN if gone else Impact.NONE,
                evidence=lines((key.provenance,), (step.provenance for _, step, _ in users)),
                hosts=tuple(sorted({one.host for one in taken} | {host for _, _, hosts in users for host in hosts})),
            )

    @staticmethod
    def _taken(estate: EstateView, key: KeyStore) -> list[Going]:
        places = [estate.host(name) for name in (*key.hosts, *key.backup_hosts)]
        going = [estate.going_for(one) for one in places if one is not None]
        found = [one for one in going if one is not None]
        return found if found and len(found) == len(places) and (key.backup_hosts or not key.backup_site) else []

    @staticmethod
    def _escrow(key: KeyStore) -> str:
        if not key.escrow:
            return "No escrow agent has a copy."
        how_long = f", after {duration(key.escrow_seconds)}" if key.escrow_seconds is not None else ""
        return f"{key.escrow} hands out a copy{how_long}."
