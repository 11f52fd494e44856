"""DNS records that lead to a host that will be gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    Edge,
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
    Step,
    duration,
    listed,
    plural,
)
from rules.dns.records import REDIRECTS, is_in_zone, is_own, ttl_of, type_of, users_of
from rules.texts import written
from rules.ways import Ways

_SETS: Final = {
    "MX": "mail server",
    "NS": "name server",
    "SRV": "server",
    "SVCB": "server",
    "HTTPS": "server",
    "NAPTR": "server",
    "URI": "server",
    "AFSDB": "server",
    "KX": "server",
}
"""Record types whose records are alternatives, and what people call their targets."""
_SKIPPED: Final = frozenset({"CAA"})
_REPORTS: Final = {"_dmarc.": "DMARC", "_smtp._tls.": "TLS in mail"}
"""Names of records that say where reports are sent (RFC 7489 section 6.3, RFC 8460 section 3)."""
_LIMIT: Final = 100_000


@dataclass(slots=True)
class _Owner:
    """All records of one owner and type that lead to hosts that are going."""

    owner: str
    kind: str
    node: Node
    edges: list[Edge] = field(default_factory=list)
    records: dict[int, Node] = field(default_factory=dict)
    going: dict[str, Going] = field(default_factory=dict)


class DnsLeadsToGoingHostRule(Rule):
    """Lists the DNS records that lead to a host that is retired, of whatever type and over however many aliases.

    What it does
    ------------
    Starts at the host and its addresses, and goes back over A, AAAA, CNAME, ALIAS and DNAME records to each name that
    ends there, and to each MX, NS, SRV, SVCB, HTTPS, URI, SOA, PTR, TLSA and SPF record that names one of them, and
    those that say where reports of mail are sent. An SPF record is followed over `mx`, and names the domains whose
    records take it in (`include`, `redirect`). One finding for each owner and type.

    Another finding for each host has the records of its own name that lead elsewhere or nowhere (TXT, SSHFP, CAA, its
    MX, the challenge of its certificate): they are to be removed with it as well.

    Service names that end at the host alone block, and so do mail, name and service records with no other target
    left. Where others are left, and for SPF, it warns. The host's own addresses, its PTR and TLSA records are notes:
    they are to be removed with it. Nothing is said for a read-only host, since who only resolves and reads is not
    harmed.

    Why it matters
    --------------
    A record that is left behind points at nothing, or at whoever is given the address next: that machine then gets the
    traffic, can have certificates issued for the name, and may send mail for the domain.

    Example
    -------
    `certs IN CNAME legacy-cert-01`, and `acme-hook IN CNAME certs` above it

    What to do
    ----------
    Lower the TTL at least one old TTL before the move, point the record at the successor, and remove the host's own
    records once nothing is sent to them.

    What it can't see
    -----------------
    Zones that were not captured, split views of a captured zone, records that a program updates at run time, and in SPF
    records networks (`ip4:` with a prefix) that hold the address, and what macros (`%{i}`) stand for.
    """

    id: ClassVar[str] = "dns-leads-to-going-host"
    title: ClassVar[str] = "A DNS record leads to the host"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RECORDS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each owner and type."""
        owners: dict[tuple[str, str], _Owner] = {}
        ways = Ways(estate)
        for going in estate.going:
            if going.lifecycle is not Lifecycle.READ_ONLY:
                _collect(estate, ways, going, owners)
        shown: set[tuple[str, int]] = set()
        for one in owners.values():
            finding = self._finding(estate, ways, one)
            if finding is not None:
                shown.update((place.path, place.line) for place in finding.evidence)
                yield finding
        yield from self._own_records(estate, ways, shown)

    def _own_records(self, estate: EstateView, ways: Ways, shown: set[tuple[str, int]]) -> Iterator[Finding]:
        """The records of each host's own name that no other finding has shown."""
        names: dict[str, Going] = {}
        for going in estate.going:
            host = estate.host(going.host)
            if host is None or going.lifecycle is Lifecycle.READ_ONLY:
                continue
            names[going.host] = going
            for edge in estate.incoming(host, Relation.STANDS_FOR):
                name = edge.consumer
                if name.kind is Kind.NAME and is_own(name.text, going) and ways.hosts(name) == {going.host}:
                    names.setdefault(name.text, going)
        found: dict[str, list[tuple[str, Provenance]]] = {}
        records = [(str(node.attributes.get("owner", "")), node) for node in estate.nodes(Kind.RECORD)]
        challenges = ((name, estate.find(Kind.NAME, f"_acme-challenge.{name}")) for name in names)
        records += [(name, node) for name, node in challenges if node is not None]
        for owner, node in records:
            while owner.startswith("_"):
                owner = owner.partition(".")[2]
            # What stands at the head of a zone is the zone's, whatever machine has its name.
            if owner not in names or node.attributes.get("record_set") or estate.find(Kind.ZONE, owner) is not None:
                continue
            for place in node.provenance:
                if place.line and (place.path, place.line) not in shown and not place.path.startswith("hosts/"):
                    kind = str(node.attributes.get("type", ""))
                    found.setdefault(names[owner].host, []).append((kind, place))
        for text, going in names.items():
            # A site's name that leads to a machine which stays.
            own = estate.find(Kind.NAME, text)
            for edge in estate.outgoing(own, Relation.RESOLVES) if own is not None and is_in_zone(own) else ():
                place = edge.provenance
                if place.line and (place.path, place.line) not in shown and not place.path.startswith("hosts/"):
                    found.setdefault(going.host, []).append((type_of(edge), place))
        for asked, several in found.items():
            lines = {(place.path, place.line): place for _, place in several}
            kinds = listed(sorted({kind for kind, _ in several if kind}), 8)
            yield Finding(
                rule=self.id,
                area=self.area,
                severity=Severity.INFO,
                confidence=Confidence.HIGH,
                subject=asked,
                identity=(asked, "own records"),
                message=f"{plural(len(lines), 'more record')} of {asked} itself: {kinds}",
                why="Left behind, they tell of a host that is gone; who gets the name next gets them with it.",
                action="Remove them with the host.",
                impact=Impact.NONE,
                evidence=tuple(lines[key] for key in sorted(lines)),
                hosts=(asked,),
            )

    def _finding(self, estate: EstateView, ways: Ways, one: _Owner) -> Finding | None:
        evidence = _lines(one)
        if not evidence:
            return None
        going = next(iter(one.going.values()))
        hosts = listed(list(one.going))
        lost, left = _counted(estate, ways, one)
        severity, message, why, action = self._say(estate, ways, one, going, hosts, lost, left)
        if severity is not Severity.INFO:
            action += written(estate, evidence, one.going)
        ttl = max(ttl_of(one.node), *(ttl_of(record) for record in one.records.values()), 0)
        if ttl and (severity is Severity.BLOCK or left):
            action += f" Lower its TTL at least {duration(ttl)} before: so long do resolvers keep the old answer."
        elif ttl and severity is Severity.INFO:
            action += f" Resolvers keep the answer for {duration(ttl)}."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=severity,
            confidence=Confidence.HIGH
            if any(edge.confidence is Confidence.HIGH for edge in one.edges)
            else one.edges[0].confidence,
            subject=f"{one.owner} {one.kind}",
            identity=(one.owner, one.kind),
            message=message,
            why=why,
            action=action,
            impact=Impact.DEGRADED if left else Impact.BROKEN if severity is Severity.BLOCK else Impact.NONE,
            evidence=evidence,
            path=_path(estate, one),
            hosts=tuple(sorted(one.going)),
        )

    def _say(
        self, estate: EstateView, ways: Ways, one: _Owner, going: Going, hosts: str, lost: int, left: int
    ) -> tuple[Severity, str, str, str]:
        """Severity, message, why and action for one owner and type."""
        owner, kind = one.owner, one.kind
        leaving = {known.host for known in estate.going}
        successor = going.successor or "what takes over"
        target = listed(sorted({edge.provider.text for edge in one.edges}))
        if kind in ("A", "AAAA") or kind in REDIRECTS:
            if any(is_own(owner, known) for known in one.going.values()):
                return (
                    Severity.INFO,
                    f"{owner} ({kind}) is {hosts} itself: {target}",
                    "Left behind, it points at whoever is given the address next.",
                    f"Remove {'it' if lost == 1 else 'them'} with the host, after all that uses the name was moved.",
                )
            by = sorted(node.label for node in users_of(estate, one.node) if node.scope not in leaving)
            used = f" Used by {listed(by, 2)}." if by else ""
            view = _worst(estate, ways, one).removeprefix("addresses")
            if left:
                return (
                    Severity.WARN,
                    f"{lost} of {plural(lost + left, 'address', 'addresses')} of {owner} ({kind}){view} is {hosts}'s",
                    f"Clients that are given it wait for a timeout before they try another.{used}",
                    f"Remove it from {owner}, or put an address of {successor} in its place.",
                )
            over = f" by way of {target}" if kind in REDIRECTS and not is_own(target, going) else ""
            return (
                Severity.BLOCK,
                f"{owner} ({kind}){view} leads to {hosts} alone{over}",
                f"Whoever uses the name gets nothing, or whoever is given the address next.{used}",
                f"Point {owner} at {successor}, or remove it.",
            )
        if kind in _SETS:
            what = _SETS[kind]
            of = f"{owner} ({kind})"
            if left:
                return (
                    Severity.WARN,
                    f"{lost} of {plural(lost + left, what)} of {of} {'is' if lost == 1 else 'are'} {hosts}",
                    "The others take its part; until it is removed, each client may try it first and wait.",
                    f"Remove it from the {kind} records of {owner}, or name {successor} in its place.",
                )
            return (
                Severity.BLOCK,
                f"The only {what} of {of} is {hosts}" if lost == 1 else f"All {lost} {what}s of {of} are {hosts}",
                _loss(kind, owner),
                f"Name {successor} in the {kind} records of {owner}, or remove them.",
            )
        if kind in ("PTR", "TLSA", "SSHFP"):
            return (
                Severity.INFO,
                f"{owner} ({kind}) belongs to {hosts}",
                "Left behind, it says of the address's next owner that it is this host."
                if kind == "PTR"
                else "Left behind, it pins a certificate of a host that is gone.",
                "Remove the record with the host.",
            )
        if kind == "TXT" and (label := next((one for one in _REPORTS if owner.startswith(one)), "")):
            return (
                Severity.WARN,
                f"Reports of {_REPORTS[label]} on {owner.removeprefix(label)} are sent to {hosts}"
                + (f" ({target})" if target != hosts else ""),
                "They are lost from then on: who sends mail in the domain's name, or can't deliver it, shows nowhere.",
                f"Let `rua` and `ruf` of {owner} name {successor}, or a domain whose mail goes elsewhere.",
            )
        if kind in ("TXT", "SPF") and all(edge.group == "exists" for edge in one.edges):
            return (
                Severity.WARN,
                f"The SPF record of {owner} asks whether {target} has an address, which is {hosts}'s",
                "Once the name is gone, it no longer lets anybody send the domain's mail who was let by that.",
                f"Find out what it is there for, and name another in {owner}, or take it out.",
            )
        if kind in ("TXT", "SPF"):
            target = listed(sorted({_sender(edge) for edge in one.edges}))
            others = _included_by(estate, owner)
            records = "record takes" if len(others) == 1 else "records take"
            more = f", and of {listed(others, 5)}, whose SPF {records} it in" if others else ""
            return (
                Severity.WARN,
                f"The SPF record of {owner} lets {hosts} send its mail ({target})",
                f"Left behind, it lets whoever is given the address next send mail in the name of the domain{more}.",
                f"Find out whether {hosts} still sends mail; name {successor} if it takes over, and take {target} out.",
            )
        return (
            Severity.WARN,
            f"{owner} ({kind}) names {hosts}" + (f" as {target}" if target != hosts else ""),
            "Whoever follows the record finds nothing, or whoever is given the address next.",
            f"Name {successor} in it, or remove it.",
        )


def _loss(kind: str, owner: str) -> str:
    if kind == "MX":
        return f"No mail to {owner} can be delivered; senders give up after some days and return it."
    if kind == "NS":
        return f"Nothing below {owner} can be resolved: names, mail, and the checks of certificate authorities."
    return "Clients that look the service up find no server."


def _collect(estate: EstateView, ways: Ways, going: Going, owners: dict[tuple[str, str], _Owner]) -> None:
    """Goes back from a host over all that resolves to it, and takes each record on the way."""
    host = estate.host(going.host)
    if host is None:
        return
    seen, pending = {host.id}, [host]
    while pending and len(seen) < _LIMIT:
        at = pending.pop()
        for edge in estate.incoming(at, Relation.STANDS_FOR, Relation.RESOLVES):
            name = edge.consumer
            if name.kind not in (Kind.NAME, Kind.ADDRESS) or name.scope:
                continue
            if edge.relation is Relation.RESOLVES and is_in_zone(name):
                _take(owners, name.text, type_of(edge), name, edge, going)
            # What still has another address goes on answering: those above it are not harmed.
            if name.id not in seen and ways.hosts(name):
                seen.add(name.id)
                pending.append(name)
        if at.kind in (Kind.NAME, Kind.ADDRESS):
            for edge in estate.incoming(at, Relation.RECORDS):
                record = edge.consumer
                kind, owner = str(record.attributes.get("type", "")), str(record.attributes.get("owner", ""))
                if (
                    record.kind is not Kind.RECORD
                    or not owner
                    or kind in _SKIPPED
                    or record.attributes.get("record_set")
                ):
                    continue
                # `a` and `mx` in a domain's own SPF record: the finding about its addresses says it. A TLSA record
                # of a service goes with the name below it.
                if owner == at.text or (kind == "TLSA" and not is_own(at.text, going)):
                    continue
                _take(owners, owner, kind, record, edge, going).records[record.id] = record
                if kind == "MX":
                    _take_senders(estate, owner, going, owners)


def _take_senders(estate: EstateView, domain: str, going: Going, owners: dict[tuple[str, str], _Owner]) -> None:
    """The SPF records of other domains that let the mail servers of a domain send (`mx:domain`)."""
    whole = estate.find(Kind.RECORD, f"{domain} MX")
    for edge in estate.incoming(whole, Relation.RECORDS) if whole is not None else ():
        record = edge.consumer
        kind, owner = str(record.attributes.get("type", "")), str(record.attributes.get("owner", ""))
        if owner and owner != domain and not record.attributes.get("record_set"):
            _take(owners, owner, kind, record, edge, going).records[record.id] = record


def _included_by(estate: EstateView, domain: str) -> list[str]:
    """The domains whose SPF records take in that of a domain (`include`, `redirect`), over any number of others."""
    seen, pending = {domain}, [domain]
    while pending and len(seen) < _LIMIT:
        whole = estate.find(Kind.RECORD, f"{pending.pop()} SPF")
        for edge in estate.incoming(whole, Relation.RECORDS) if whole is not None else ():
            owner = str(edge.consumer.attributes.get("owner", ""))
            if owner and owner not in seen:
                seen.add(owner)
                pending.append(owner)
    return sorted(seen - {domain})


def _sender(edge: Edge) -> str:
    """What an SPF record names: `the mail servers of example.net` for `mx:example.net`."""
    domain, _, kind = edge.provider.text.partition(" ")
    return f"the mail servers of {domain}" if kind == "MX" else domain


def _take(owners: dict[tuple[str, str], _Owner], owner: str, kind: str, node: Node, edge: Edge, going: Going) -> _Owner:
    one = owners.setdefault((owner, kind), _Owner(owner, kind, node))
    if all(edge.id != known.id for known in one.edges):
        one.edges.append(edge)
    one.going[going.host] = going
    return one


def _counted(estate: EstateView, ways: Ways, one: _Owner) -> tuple[int, int]:
    """How many targets are lost, and how many are left, over all records that are alternatives of each other."""
    if one.kind in _SETS:
        whole = estate.find(Kind.RECORD, f"{one.owner} {one.kind}")
        members: Sequence[Edge] = estate.outgoing(whole, Relation.RECORDS) if whole is not None else ()
        lost = sum(1 for edge in members if edge.provider.id in one.records)
        gone = sum(1 for edge in members if edge.provider.id not in one.records and edge.lost)
        return max(lost, len(one.records)), max(len(members) - lost - gone, 0)
    if one.kind in ("A", "AAAA"):
        group = _worst(estate, ways, one)
        every = [edge for edge in estate.outgoing(one.node, Relation.RESOLVES) if edge.group == group]
        return sum(1 for edge in one.edges if edge.group == group), sum(
            1 for edge in every if not ways.hosts(edge.provider)
        )
    return max(len(one.edges), 1), 0


def _worst(estate: EstateView, ways: Ways, one: _Owner) -> str:
    """Of the groups of addresses that a name has, one for each view of a server, the one that keeps the fewest."""
    kept = dict.fromkeys((edge.group for edge in one.edges), 0)
    for edge in estate.outgoing(one.node, Relation.RESOLVES):
        if edge.group in kept and not ways.hosts(edge.provider):
            kept[edge.group] += 1
    return min(kept, key=kept.__getitem__, default="")


def _lines(one: _Owner) -> tuple[Provenance, ...]:
    found: dict[tuple[str, int], Provenance] = {}
    for edge in one.edges:
        place = edge.provenance
        # The host's own copy of a zone goes with it.
        if place.path != "." and not any(place.path.startswith(f"hosts/{host}/") for host in one.going):
            found.setdefault((place.path, place.line), place)
    return tuple(found.values())


def _path(estate: EstateView, one: _Owner) -> tuple[Step, ...]:
    return estate.path_over(one.edges[0])
