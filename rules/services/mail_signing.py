"""Mail that nobody signs any more once a host has gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Going,
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
from rules.ways import distinct

_STRICT: Final = re.compile(r"[;\s]p\s*=\s*(reject|quarantine)\b", re.IGNORECASE)


class MailSignedByGoingHostRule(Rule):
    """Keys of DKIM that only a host signs with that is to be switched off.

    What it does
    ------------
    Takes the keys that OpenDKIM, Rspamd and Amavis on the host sign mail with, by the name of their record in DNS. One
    finding for each key that no host has that stays. If nothing else signs mail of its domain, that is a warning, with
    the domain's DMARC policy where it is known; if others do with keys of their own, a note: the record is left over.

    Why it matters
    --------------
    Mail takes another way out, and leaves without a signature. It is delivered at first, then found in folders for
    junk, and with a DMARC policy of `reject` it is refused. A record that stays lets whoever has the old disk sign on.

    Example
    -------
    `mail2024 example.net:mail2024:/etc/opendkim/keys/mail2024.private` in the host's KeyTable

    What to do
    ----------
    Sign on the successor with a key and a selector of its own, whose record is there a TTL before. Take the old record
    out a week after the last mail.

    What it can't see
    -----------------
    Signing by Exim and by mail services outside, and keys in databases. Whether a key is still used.
    """

    id: ClassVar[str] = "mail-signed-by-going-host"
    title: ClassVar[str] = "Only the host signs a domain's mail"
    area: ClassVar[Area] = Area.LOGS
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset()

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each key and host."""
        leaving = {one.host: one for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        keys = [one for one in estate.nodes(Kind.SERVICE) if one.attributes.get("dkim_record")] if leaving else []
        stay = [one for one in keys if one.scope not in leaving]
        kept = {str(one.attributes["dkim_record"]) for one in stay}
        alone = [one for one in keys if one.scope in leaving and one.attributes["dkim_record"] not in kept]
        if not alone:
            return
        records = _records(estate)
        every = {str(one.attributes["dkim_record"]) for one in keys}
        of = plural(len(every), "key of DKIM", "keys of DKIM")
        count = f"{len({str(one.attributes['dkim_record']) for one in alone})} of {of}"
        for key in alone:
            others = [one for one in stay if one.attributes["dkim_domain"] == key.attributes["dkim_domain"]]
            yield self._finding(leaving[key.scope], key, others, records, count)

    def _finding(
        self, going: Going, key: Node, others: list[Node], records: dict[str, list[Node]], count: str
    ) -> Finding:
        record, domain = str(key.attributes["dkim_record"]), str(key.attributes["dkim_domain"])
        published = _lines(records.get(record, ()))
        strict = next(
            (
                (found[1].lower(), one)
                for one in records.get(f"_dmarc.{domain}", ())
                if (found := _STRICT.search(one.text))
            ),
            None,
        )
        place = f" ({published[0].path}:{published[0].line})" if published else ""
        remove = f"take the record {record}{place} out a week after the last mail"
        if others:
            hosts = listed(sorted({one.scope for one in others}))
            message = f"{going.host} alone signs mail of {domain} with the key {record}"
            why = f"{hosts} sign{'s' if len({one.scope for one in others}) == 1 else ''} it with another key. "
            why += "The record stays good for whoever has the old disk."
            action = f"{remove[0].upper()}{remove[1:]}."
        else:
            message = f"Only {going.host} signs mail of {domain}, with the key {record}: nothing signs it afterwards"
            why = f"{count} would be gone. "
            why += (
                f"DMARC of {domain} says p={strict[0]}: mail that nobody signs is "
                f"{'refused' if strict[0] == 'reject' else 'put among junk'}."
                if strict is not None
                else "Mail without a signature is found among junk sooner or later."
            )
            action = (
                f"Let {going.successor or 'what sends it then'} sign with a key and a selector of its own, "
                f"published below _domainkey.{domain} a TTL before; {remove}."
            )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=Severity.INFO if others else self.severity,
            confidence=Confidence.HIGH,
            subject=key.label,
            identity=(going.host, record),
            message=message,
            why=why,
            action=action,
            impact=Impact.NONE if others else Impact.BROKEN,
            evidence=distinct([*key.provenance[:1], *published[:1], *(_lines([strict[1]])[:1] if strict else ())]),
            hosts=(going.host,),
        )


def _records(estate: EstateView) -> dict[str, list[Node]]:
    """Records about keys and policies of mail by their name; a key's may be an alias."""
    found: dict[str, list[Node]] = {}
    for record in estate.nodes(Kind.RECORD):
        name = record.text.partition(" ")[0].lower()
        if "._domainkey." in name or name.startswith("_dmarc."):
            found.setdefault(name, []).append(record)
    for name_node in estate.nodes(Kind.NAME):
        if "._domainkey." in name_node.text and estate.outgoing(name_node, Relation.RESOLVES):
            found.setdefault(name_node.text, []).append(name_node)
    return found


def _lines(nodes: list[Node] | tuple[Node, ...]) -> list[Provenance]:
    return [line for one in nodes for line in one.provenance if line.path != "."]
