"""Addresses that are reserved for a host that is going."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed, plural
from rules.texts import Lines, naming, on_hosts

_FILE: Final = re.compile(
    r"(?:^|/)(?:dhcpd6?\.conf[^/]*|dhcpd\.d/[^/]+|dhcp/[^/]*\.(?:conf|hosts)[^/]*|kea-dhcp[46][^/]*|ethers|"
    r"bootptab|dnsmasq\.conf[^/]*|dnsmasq\.d/[^/]+)$"
)
_LINE: Final = re.compile(
    r"\bfixed-address6?\b|\bhost\s+\S+\s*\{|\bhardware\b|host-name|^\s*dhcp-host\s*=|\"(?:ip-address|hostname)\"|"
    r"^\s*(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}\s|:ha=|ip-addresses",
    re.IGNORECASE,
)
_OPTION: Final = re.compile(
    r"domain-name-servers|routers|ntp-servers|time-servers|log-servers|smtp-server|next-server|tftp|boot-server",
    re.IGNORECASE,
)


class AddressReservedForGoingHostRule(Rule):
    """Reservations of DHCP and boot tables that keep an address for a host that is to be switched off.

    What it does
    ------------
    Takes the lines of DHCP servers (ISC, Kea, dnsmasq), `ethers` and `bootptab` that reserve an address or a name for
    the host. One finding for each file. That the host is what clients are told to use (a name server, a boot server) is
    told by `service-needs-going-host`. Nothing is said for a read-only host.

    Why it matters
    --------------
    The address is never given to anybody else, and looks taken for years. If the hardware is used again, it comes up
    under the old name and address, and gets what was meant for the old host.

    Example
    -------
    `host old { hardware ethernet 52:54:00:12:34:56; fixed-address 192.0.2.10; }`

    What to do
    ----------
    Delete the reservation once the host is off, free the address in the list of addresses, and reload the server.

    What it can't see
    -----------------
    Leases. What lists of addresses (IPAM) have, address-registered-for-going-host tells.
    """

    id: ClassVar[str] = "address-reserved-for-going-host"
    title: ClassVar[str] = "An address is reserved for the host"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file; equal ones on many hosts are one."""
        for lines in naming(estate, _reserves):
            if lines.retires:
                yield self._finding(lines)

    def _finding(self, lines: Lines) -> Finding:
        hosts = listed(lines.hosts)
        first, count = lines.lines[0], plural(len(lines.texts), "line")
        place = f"{first.path}:{first.line}"
        addresses = sorted({address for going in lines.going.values() for address in going.addresses})
        given = [one for one in addresses if any(one in text for text in lines.texts)]
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lines.place,
            identity=(*lines.hosts, lines.place),
            message=f"{lines.place}{on_hosts(lines.on)} reserves {listed(given) or 'an address'} for {hosts}",
            why=f"{count} of it. The address looks taken for ever; hardware that is used again comes up as {hosts}.",
            action=f"Delete its entry ({place}) once it is off, free {listed(given) or 'the address'} in the list of "
            "addresses, and reload the server.",
            impact=Impact.MENTIONED,
            evidence=tuple(lines.lines),
            hosts=lines.hosts,
        )


def _reserves(place: str, text: str) -> bool:
    return (
        _FILE.search(place) is not None
        and not text.lstrip().startswith(("#", "//"))
        and _LINE.search(text) is not None
        and _OPTION.search(text) is None
    )
