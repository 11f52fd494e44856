"""Addresses that a list of addresses (IPAM) has as those of a host that is going, or that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    Phase,
    Provenance,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.texts import called
from rules.ways import distinct

_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class _Registered:
    """One address of a list; `lines` are those of all lists that have the address."""

    address: str
    program: str
    status: str
    name: str
    lines: tuple[Provenance, ...]


class AddressRegisteredForGoingHostRule(Rule):
    """Addresses that NetBox or another list of addresses has in use for a host.

    What it does
    ------------
    Takes the addresses that NetBox, phpIPAM or another list (as answers of NetBox, or as CSV) has as neither free nor
    deprecated, for the host by its DNS name or as its machine. One finding for each host and list: a note before the
    switch-off, for it is something to do after it, and a warning after it (`--after`). Nothing is said for a host that
    is made read-only, and of an address that the list has for another machine by now.

    Why it matters
    --------------
    The address looks taken for years, and what is made from the list (zones, DHCP, firewalls) goes on with it.
    Given away without a word, it gets all that was never told of the change.

    Example
    -------
    `10.20.4.17/24`, active, `old-01.example.net`, on interface eth0 of old-01

    What to do
    ----------
    Once the host is off, clear the DNS name, set the address to deprecated, and keep it from new use for a while.

    What it can't see
    -----------------
    Lists that are not in the estate, and whether anything is made from them.
    """

    id: ClassVar[str] = "address-registered-for-going-host"
    title: ClassVar[str] = "A list of addresses has the host's in use"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    phases: ClassVar[frozenset[Phase]] = frozenset(Phase)

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each host and list."""
        leaving = [one for one in estate.going if one.lifecycle is not Lifecycle.READ_ONLY]
        known = _registrations(estate) if leaving else {}
        for going in leaving:
            found: dict[str, list[_Registered]] = {}
            for name in sorted(called(going)):
                for one in known.get(name, ()):
                    # A short name is another machine's as well, unless the address is the host's.
                    same = "." in name or one.address in going.addresses
                    if same and one not in (mine := found.setdefault(one.program, [])):
                        mine.append(one)
            for program, registered in found.items():
                if registered:
                    yield self._finding(estate.phase, going, program, registered)

    def _finding(self, phase: Phase, going: Going, program: str, registered: list[_Registered]) -> Finding:
        after = phase is Phase.AFTER
        addresses = sorted({one.address for one in registered})
        count, every = len(addresses), len({*going.addresses, *addresses})
        it, its = ("it", "its") if count == 1 else ("them", "their")
        said = sorted({f"{one.address} ({one.status})" if one.status else one.address for one in registered})
        names = sorted({one.name for one in registered if one.name})
        clear = f"clear {its} DNS name {listed(names)}, " if names else ""
        action = f"{clear}set {it} to deprecated, and keep {it} from new use for a while."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if after else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=f"{going.host} in {program}",
            identity=(going.host, program),
            message=f"{program[0].upper()}{program[1:]} {'still ' if after else ''}has "
            f"{plural(count, 'address', 'addresses')} of {going.host} in use: {listed(said)}",
            why=f"{count} of its {plural(every, 'address', 'addresses')}. What is made from the list goes on with "
            f"{it}, and nobody else is given {it}.",
            action=f"{action[0].upper()}{action[1:]}" if after else f"Once {going.host} is off, {action}",
            impact=Impact.MENTIONED,
            evidence=distinct(line for one in registered for line in one.lines),
            hosts=(going.host,),
        )


def _registrations(estate: EstateView) -> dict[str, list[_Registered]]:
    """By the names that addresses are registered for, as DNS name and as machine."""
    found: dict[str, list[_Registered]] = {}
    for node in estate.nodes(Kind.ADDRESS):
        for key, value in node.attributes.items():
            if key.startswith("registered ") and isinstance(value, tuple) and len(value) == _PARTS:
                program, status, name, machine = value
                # Zones and hosts files name the address, too.
                lines = tuple(one for one in node.provenance if one.path.endswith((".json", ".csv")))
                one = _Registered(node.text, program, status, name, lines)
                for text in {name, machine} - {""}:
                    found.setdefault(text, []).append(one)
    return found
