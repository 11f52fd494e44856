"""Keys of a host that is going, which other hosts let in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

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
    ranged,
)
from rules.texts import by_name, called, lines_in, place_of, successor_called


@dataclass(slots=True)
class _Let:
    """Equal lists of keys on many hosts: what of them is the host's."""

    going: Going
    place: str
    keys: tuple[str, ...]
    places: tuple[str, ...]
    also: bool
    hosts: list[str] = field(default_factory=list)
    lines: list[Provenance] = field(default_factory=list)


class AuthorizedKeyOfGoingHostRule(Rule):
    """Keys of SSH that belong to a host that is going, and with which other hosts let it in.

    What it does
    ------------
    Reads the `authorized_keys` of all other hosts for keys whose comment names the host (`root@old`), and for keys that
    may come from its name or address alone (`from="192.0.2.10"`). Equal files on many hosts are one finding. It says
    whether the same file lets the successor in. For a host that only becomes read-only it speaks up if that is not so.

    Why it matters
    --------------
    The key is on the disks and in the backups of a host that nobody looks after any more: whoever gets hold of it logs
    in. And the job that moves to the successor is refused, as it comes with another key or from another address.

    Example
    -------
    `from="192.0.2.10",restrict ssh-ed25519 … certs@old.example.net` on 340 servers

    What to do
    ----------
    Add the successor's own key, with its address in `from=`; take the old line out when the host is gone. Do not copy
    the private key along.

    What it can't see
    -----------------
    Keys whose comment says nothing and that may come from anywhere, keys that a directory server or a command provides,
    and certificates of SSH.
    """

    id: ClassVar[str] = "authorized-key-of-going-host"
    title: ClassVar[str] = "Other hosts let in the host's key"
    area: ClassVar[Area] = Area.IDENTITY
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host that goes and each list of keys, equal ones on many hosts as one."""
        known = lines_in(estate)
        leaving = {one.host for one in estate.going}
        found: dict[tuple[object, ...], _Let] = {}
        holders = by_name(estate)
        successors = {one.host: successor_called(estate, one) for one in estate.going}
        for node in estate.nodes(Kind.SERVICE):
            if not node.text.startswith("authorized_keys") or node.scope in leaving or not node.provenance:
                continue
            comments, allowed = _words(node, "key_comments"), _words(node, "allows")
            words = (*allowed, *(one.partition("@")[2].lower() for one in comments))
            for going in {one.host: one for word in words for one in holders.get(word, ())}.values():
                names = called(going)
                keys = tuple(one for one in comments if one.partition("@")[2].lower() in names)
                places = tuple(one for one in allowed if one in names)
                others = successors[going.host]
                also = any(one in others for one in allowed) or any(
                    one.partition("@")[2].lower() in others for one in comments
                )
                path = node.provenance[0].path
                let = found.setdefault(
                    (going.host, place_of(path), keys, places, also),
                    _Let(going, place_of(path), keys, places, also),
                )
                let.hosts += [node.scope] if node.scope else []
                written = [line for one, line in known.get(path, ()) if one.host == going.host]
                let.lines += written or node.provenance[:1]
        for let in found.values():
            if let.going.lifecycle is not Lifecycle.READ_ONLY or (let.going.successor and not let.also):
                yield self._finding(let)

    def _finding(self, let: _Let) -> Finding:
        going, hosts = let.going, sorted(set(let.hosts))
        who = listed(ranged(hosts)) or let.place
        key = f"the key {listed(let.keys)}" if let.keys else "a key"
        only = f", from {listed(let.places)} alone" if let.places else ""
        message = f"{who} {'let' if len(hosts) > 1 else 'lets'} in {key} of {going.host}{only}"
        refused = bool(going.successor) and not let.also
        if refused:
            message += f", and nothing of {going.successor}"
        why = []
        if going.lifecycle is not Lifecycle.READ_ONLY:
            why.append("The key stays on the disks and in the backups of the host: whoever finds it there is let in.")
        if refused:
            why.append(f"What {going.successor} takes over is refused there.")
        count = f"{plural(len(hosts), 'host')} with this list. " if len(hosts) > 1 else ""
        add = f"Add a key of {going.successor or 'the host that takes over'}'s own to {let.place}"
        add += ' with `from="…"` of its address' if let.places else ""
        then = f"take the line of {listed(let.keys) or going.host} out when that is gone"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=f"authorized_keys {let.place}",
            identity=(going.host, let.place, *let.keys, *let.places),
            message=message,
            why=count + " ".join(why),
            action=f"{add}, and {then}." if refused or not going.successor else f"{then[0].upper()}{then[1:]}.",
            impact=Impact.MENTIONED,
            evidence=tuple(dict.fromkeys(let.lines)),
            hosts=(going.host,),
        )


def _words(node: Node, key: str) -> tuple[str, ...]:
    value = node.attributes.get(key)
    return value if isinstance(value, tuple) else ()
