"""DNS records that bind a certificate to its CA, account or key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Kind, Node, Relation, Rule, Severity, listed
from rules.recovery.stakes import Stake, stakes
from rules.renewal.lineages import lines, names_of

_TLSA: Final = re.compile(
    r"^(?P<owner>\S+) TLSA (?P<usage>[0-3]) (?P<selector>[01]) (?P<match>[0-2]) (?P<data>[0-9a-fA-F]+)"
)
_ACCOUNT: Final = re.compile(r"accounturi\s*=\s*([^\s;\"]+)", re.IGNORECASE)


class DnsRefusesReissueRule(Rule):
    """CAA and TLSA records that a reissue from another place, or with another key, runs into.

    What it does
    ------------
    For each certificate that loses its renewal it reads the CAA records that hold for its names (the nearest ones above
    each name, RFC 8659) and the TLSA records with the hash of its key (RFC 6698). It shows: names for which no CA may
    issue (`issue ";"`), a binding to one account of the CA (`accounturi`, RFC 8657), which a new account on the
    successor is not, and keys that are pinned while the client makes a new one at each renewal.

    Why it matters
    --------------
    The emergency reissue from another host or CA is refused at the moment it is needed; or it is issued, and clients
    that check DANE refuse it.

    Example
    -------
    `issuewild "ca.example; accounturi=https://ca.example/acct/7"` and a client that is set up afresh.

    What to do
    ----------
    Take the account along, or add the new account and a second CA to CAA now; publish the hash of the next key beside
    the present one, or keep the key (`reuse_key = True`), before the renewal.

    What it can't see
    -----------------
    Zones that were not captured. The number of the account behind a client's directory is in files that hold its key,
    and those are not read.
    """

    id: ClassVar[str] = "dns-refuses-reissue"
    title: ClassVar[str] = "CAA or TLSA records that refuse a reissue"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.RECORDS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate and kind of record."""
        found = stakes(estate)
        if not found:
            return
        records = list(estate.nodes(Kind.RECORD))
        caa: dict[str, list[Node]] = {}
        for record in records:
            if record.attributes.get("type") == "CAA":
                caa.setdefault(str(record.attributes.get("owner", "")), []).append(record)
        tlsa = [record for record in records if record.attributes.get("type") == "TLSA"]
        seen: set[str] = set()
        for stake in found:
            if stake.name not in seen:
                seen.add(stake.name)
                yield from self._caa(stake, caa)
                yield from self._tlsa(stake, tlsa)

    def _caa(self, stake: Stake, caa: dict[str, list[Node]]) -> Iterator[Finding]:
        refused: dict[str, list[Node]] = {}
        bound: dict[str, list[Node]] = {}
        for name in names_of(stake.lineage):
            holding = _holding(name, caa)
            values = [(str(record.attributes[tag]), record) for tag, record in holding]
            if values and all(not value.partition(";")[0].strip() for value, _ in values):
                refused[name] = [record for _, record in values]
            elif values and all(_ACCOUNT.search(value) for value, _ in values):
                bound[name] = [record for _, record in values]
        if refused:
            yield self._finding(
                stake,
                "nobody",
                f"CAA lets no CA issue for {listed(sorted(refused))}, which the next {stake.name} is for",
                "A CA that keeps RFC 8659 refuses the whole order for one such name.",
                f"Add an `issue` record for the CA, or leave {listed(sorted(refused))} out of the lineage.",
                [record for records in refused.values() for record in records],
            )
        if bound:
            accounts = sorted(
                {
                    match[1]
                    for records in bound.values()
                    for record in records
                    for tag in ("issue", "issuewild")
                    if (match := _ACCOUNT.search(str(record.attributes.get(tag, ""))))
                }
            )
            yield self._finding(
                stake,
                "account",
                f"CAA lets only the account {listed(accounts)} issue {listed(sorted(bound))}",
                "A client that is set up afresh, or an emergency reissue from another CA, has another account and is "
                "refused.",
                f"Take the account to {stake.going.successor or 'the host that takes over'}, or add the new one to CAA "
                "before.",
                [record for records in bound.values() for record in records],
            )

    def _tlsa(self, stake: Stake, tlsa: list[Node]) -> Iterator[Finding]:
        if stake.blast is None or stake.lineage.attributes.get("reuse_key") is True:
            return
        key = str(stake.blast.certificate.attributes.get("key_id", ""))
        whole = stake.blast.certificate.text.removeprefix("sha256:")
        pinned = [
            record
            for record in tlsa
            if (match := _TLSA.match(record.text))
            and match["usage"] in "13"
            and match["data"].lower() in ({key} if match["selector"] == "1" else {whole})
        ]
        if pinned:
            owners = sorted({record.text.split(" ", 1)[0] for record in pinned})
            yield self._finding(
                stake,
                "pinned",
                f"{listed(owners)} pins the key of {stake.name}, and the next renewal makes another one",
                "Clients that check DANE refuse the new certificate until the record has its hash, and resolvers have "
                "forgotten the old one.",
                "Publish the hash of the next key beside this one a TTL before the renewal, or let the client keep the "
                "key.",
                pinned,
            )

    def _finding(self, stake: Stake, what: str, message: str, why: str, action: str, records: list[Node]) -> Finding:
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH if what != "pinned" else Confidence.MEDIUM,
            subject=stake.lineage.label,
            identity=(stake.name, what),
            message=message,
            why=why,
            action=action,
            impact=Impact.NONE,
            evidence=lines(record.provenance[0] for record in records if record.provenance)
            or stake.lineage.provenance[:1],
            hosts=(stake.going.host,),
        )


def _holding(name: str, caa: dict[str, list[Node]]) -> list[tuple[str, Node]]:
    """The records that hold for a name, with the tag that counts: the nearest set at or above it."""
    wildcard = name.startswith("*.")
    at = name.removeprefix("*.")
    while at:
        if at in caa:
            wild = [("issuewild", record) for record in caa[at] if "issuewild" in record.attributes]
            plain = [("issue", record) for record in caa[at] if "issue" in record.attributes]
            return (wild or plain) if wildcard else plain
        at = at.partition(".")[2]
    return []
