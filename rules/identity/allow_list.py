"""Lists that let a host that is going in, by its name or address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
    Provenance,
    Relation,
    Rule,
    Severity,
    is_comment,
    listed,
    plural,
    ranged,
)
from rules.texts import by_name, called, changed, lines_in, place_of, successor_called

_WHY: Final = {
    "sudoers": "A rule of sudo for a host's name holds for whatever machine is called so next.",
    "firewall": "Whoever is given the address next is let through.",
    "postfix": "Whoever is given the address next may send mail through it.",
    "nfs": "Whoever is given the name or address next may mount it.",
    "opendkim": "Mail of whoever is given the address next is signed as ours.",
    "named": "Whoever is given the address next may copy the zone.",
}
_ELSE: Final = "Whoever is given its name or address next is let in."


@dataclass(slots=True)
class _List:
    """Equal lists on many hosts, with the entries that are the host's."""

    going: Going
    name: str
    place: str
    entries: tuple[str, ...]
    also: bool
    size: int
    hosts: list[str] = field(default_factory=list)
    lines: list[Provenance] = field(default_factory=list)


class AllowListNamesGoingHostRule(Rule):
    """Firewalls, access lists and rules of sudo that let a host in by its name or address.

    What it does
    ------------
    Takes the lists of who may come in that are kept on other hosts and in repositories: saved firewall rules,
    `pg_hba.conf`, `hosts.allow`, sshd's AllowUsers and Match, Postfix's mynetworks, exports of NFS, rsync modules,
    transfers of zones, host lists of sudo. It reports the entries that are the host's own names or addresses, and says
    whether the successor is in the same list. For a host that only becomes read-only it speaks up if that is missing.

    Why it matters
    --------------
    An address is given to somebody else sooner or later, and the permission goes along. Until then the successor may be
    turned away, by a list that is on another team's host.

    Example
    -------
    `host all backup 192.0.2.10/32 scram-sha-256` in the `pg_hba.conf` of a database that the host backs up

    What to do
    ----------
    Put the successor's address into the list before the move, and take the old one out after it.

    What it can't see
    -----------------
    Networks that hold the address among others, lists in the cloud and in appliances, sets that are filled at run time,
    and keys of SSH, which `authorized-key-of-going-host` tells.
    """

    id: ClassVar[str] = "allow-list-names-going-host"
    title: ClassVar[str] = "A list lets the host in by name or address"
    area: ClassVar[Area] = Area.IDENTITY
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host that goes and each list, equal ones on many hosts as one."""
        known = lines_in(estate)
        leaving = {one.host for one in estate.going}
        holders = by_name(estate)
        successors = {one.host: successor_called(estate, one) for one in estate.going}
        found: dict[tuple[object, ...], _List] = {}
        for node in estate.nodes(Kind.SERVICE):
            allowed = node.attributes.get("allows")
            if not isinstance(allowed, tuple) or node.text.startswith("authorized_keys") or not node.provenance:
                continue
            if node.scope in leaving:
                continue
            for going in {one.host: one for word in allowed for one in holders.get(word, ())}.values():
                own = called(going)
                others = successors[going.host]
                entries = tuple(one for one in allowed if one in own)
                path, also = node.provenance[0].path, any(one in others for one in allowed)
                key = (going.host, node.text, place_of(path), entries, also)
                one = found.setdefault(key, _List(going, node.text, place_of(path), entries, also, len(allowed)))
                one.hosts += [node.scope] if node.scope else []
                written = [line for other, line in known.get(path, ()) if other.host == going.host]
                one.lines += [
                    line for line in written if _has(line.excerpt, entries) and not is_comment(line.excerpt)
                ] or node.provenance[:1]
        for one in found.values():
            # The successor need not let itself in.
            one.also = one.also or set(one.hosts) == {one.going.successor}
            if one.going.lifecycle is not Lifecycle.READ_ONLY or (one.going.successor and not one.also):
                yield self._finding(estate, one)

    def _finding(self, estate: EstateView, one: _List) -> Finding:
        going, hosts = one.going, sorted(set(one.hosts))
        who = f"{one.name} on {listed(ranged(hosts))}" if hosts else f"{one.name} of {one.place}"
        missing = bool(going.successor) and not one.also
        message = f"{who} lets in {listed(one.entries)}, which is {going.host}"
        if missing:
            message += f", and not {going.successor}"
        count = f"{len(one.entries)} of its {plural(one.size, 'entry', 'entries')}"
        why = f"{count if one.size > 1 else 'Its only entry'}. "
        why += "" if going.lifecycle is Lifecycle.READ_ONLY else f"{_why(one.name)} "
        if missing:
            why += f"What {going.successor} takes over is turned away there."
        elif going.successor:
            own = set(hosts) == {going.successor}
            why += f"The list is {going.successor}'s own." if own else f"{going.successor} is in the list already."
        lines = tuple(dict.fromkeys(one.lines))
        written = changed(estate, lines[0], [going]) if missing else ""
        place = f"{lines[0].path}:{lines[0].line}"
        more = f" and {plural(len(lines) - 1, 'more line')}" if len(lines) > 1 else ""
        add = f"Add `{written}` beside {place}{more}" if written else f"Add {going.successor} in {one.place}"
        remove = f"take {listed(one.entries)} out when {going.host} is gone"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=who,
            identity=(going.host, one.name, one.place, *one.entries),
            message=message,
            why=why.strip(),
            action=f"{add}, and {remove}." if missing else f"{remove[0].upper()}{remove[1:]} ({one.place}).",
            impact=Impact.MENTIONED,
            evidence=lines,
            hosts=(going.host,),
        )


def _why(name: str) -> str:
    return next((text for word, text in _WHY.items() if name.lower().startswith(word)), _ELSE)


def _has(text: str, entries: tuple[str, ...]) -> bool:
    return any(entry in text.lower() for entry in entries)
