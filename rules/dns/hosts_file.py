"""Names that a host's own table leads to a host that is going, whatever DNS says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Confidence,
    EstateView,
    Finding,
    Impact,
    Relation,
    Rule,
    Severity,
    is_address,
    listed,
    normal_name,
    plural,
)
from rules.texts import Lines, address_instead, naming, on_hosts

_OPTION: Final = re.compile(r"\"([0-9a-fA-F.:]+)\"\s*=\s*\[((?:\s*\"[\w.-]+\")+)\s*\]\s*;")
_QUOTED: Final = re.compile(r"\"([\w.-]+)\"")
_NAMES: Final = 10
"""Names up to which a line is written out."""


class HostsFilePinsNameRule(Rule):
    """Entries of `/etc/hosts` on other hosts that lead names to a host that is going.

    What it does
    ------------
    Reads the tables of all other hosts, and such files in repositories (NixOS's `networking.extraHosts` and
    `networking.hosts` too), for lines with the host's address, and for its names at another one. It tells the names of
    services that are pinned from the host's own. Equal files on many hosts are one finding. Pinned services count for a
    read-only host as well.

    Why it matters
    --------------
    The table is asked before DNS. When the record is pointed at the successor, these hosts go on to the old address,
    and nothing in DNS shows why.

    Example
    -------
    `192.0.2.10 old.example.net old repo.example.net` on 40 build machines, and `repo` was moved in DNS last week

    What to do
    ----------
    Delete the entry where DNS has the name, or change its address in the same step as the record.

    What it can't see
    -----------------
    Tables inside containers and images, and `--add-host` of their options.
    """

    id: ClassVar[str] = "hosts-file-pins-name"
    title: ClassVar[str] = "A hosts file leads a name to the host"
    area: ClassVar[Area] = Area.NAMES
    severity: ClassVar[Severity] = Severity.WARN
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file; equal ones on many hosts are one."""
        for lines in naming(estate, lambda place, text: _is_table(place) and bool(_entry(text))):
            pinned = _services(lines)
            if pinned or lines.retires:
                yield self._finding(estate, lines, pinned)

    def _finding(self, estate: EstateView, lines: Lines, pinned: Sequence[str]) -> Finding:
        hosts = listed(lines.hosts)
        names = pinned or sorted({name for text in lines.texts for name in _entry(text)[1:]})
        where = f"{lines.place}{on_hosts(lines.on)}"
        count = f"{plural(len(lines.documents), 'host')} with this table. " if len(lines.documents) > 1 else ""
        if pinned:
            message = f"{where} leads {listed(pinned)} to {hosts}"
            why = "It is asked before DNS: a record that is pointed elsewhere changes nothing there."
        else:
            message = f"{where} has an entry for {hosts}: {listed(names)}"
            why = "Left behind, it leads to whoever is given the address next."
        first = lines.lines[0]
        address = (_entry(first.excerpt) or [""])[0]
        new = next((text for one in lines.going.values() if (text := address_instead(estate, one, address))), "")
        instead = (
            f", or write `{_written(first.excerpt, new, pinned)}` instead" if new and 0 < len(pinned) < _NAMES else ""
        )
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity if pinned else Severity.INFO,
            confidence=Confidence.HIGH,
            subject=lines.place,
            identity=(*lines.hosts, lines.place, *names),
            message=message,
            why=count + why,
            action=f"Delete {'the line' if len(lines.texts) == 1 else 'these lines'} of {lines.place} (first "
            f"{first.path}:{first.line}){instead}.",
            impact=Impact.BROKEN if pinned and lines.retires else Impact.MENTIONED,
            evidence=tuple(lines.lines),
            hosts=lines.hosts,
        )


def _written(text: str, address: str, names: Sequence[str]) -> str:
    """An entry in the form that the line has."""
    if _OPTION.search(text):
        quoted = " ".join(f'"{name}"' for name in names)
        return f'"{address}" = [ {quoted} ];'
    return " ".join((address, *names))


def _is_table(place: str) -> bool:
    base = place.rpartition("/")[2]
    return (
        base == "hosts"
        or base.endswith(".nix")
        or (base.startswith("hosts.") and base.endswith((".j2", ".erb", ".epp", ".tmpl")))
    )


def _entry(text: str) -> list[str]:
    """Address and names of a line of hosts(5), or of NixOS's `networking.hosts`; nothing for another line."""
    if found := _OPTION.search(text):
        return [found[1], *map(normal_name, _QUOTED.findall(found[2]))] if is_address(found[1]) else []
    words = text.split("#", 1)[0].split()
    return [words[0], *map(normal_name, words[1:])] if len(words) > 1 and is_address(words[0]) else []


def _services(lines: Lines) -> list[str]:
    """The names of these lines that are not the hosts' own."""
    own = {going.host.partition(".")[0] for going in lines.going.values()}
    addresses = {address for going in lines.going.values() for address in going.addresses}
    found = {
        name
        for text in lines.texts
        for entry in (_entry(text),)
        if entry[0] in addresses
        for name in entry[1:]
        if name.partition(".")[0] not in own
    }
    return sorted(found)
