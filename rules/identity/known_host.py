"""Host keys of a host that is going, which others remember."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed, plural
from rules.texts import Lines, naming, on_hosts

_FILE: Final = re.compile(r"(?:^|[/_.-])(?:ssh_)?known_hosts2?(?:[._-]|$)")
_NOT_KEYS: Final = re.compile(r"\.(?:py|ya?ml|sh|md|rst|adoc|html)$")


class KnownHostKeyLeftRule(Rule):
    """Files of known host keys that keep the key of a host that is to be switched off.

    What it does
    ------------
    Lists the lines of `known_hosts` and `ssh_known_hosts`, of hosts and in repositories, that hold the host's name or
    address. One finding for each file, equal ones on many hosts as one. Nothing is said for a read-only host.

    Why it matters
    --------------
    Whatever gets the name or the address next has another key: ssh then refuses to connect, and jobs that log in there
    fail with it. People who are used to that message delete the line without a look, also on the day on which it is
    true.

    Example
    -------
    `old.example.net,192.0.2.10 ssh-ed25519 AAAA…` in the `/etc/ssh/ssh_known_hosts` of all build machines

    What to do
    ----------
    Add the successor's key where it is needed (`ssh-keyscan`, compared with what the successor itself says), and remove
    the lines when the host is gone: `ssh-keygen -R old.example.net`.

    What it can't see
    -----------------
    Hashed lines (`|1|…`), which name nobody.
    """

    id: ClassVar[str] = "known-host-key-left"
    title: ClassVar[str] = "Others remember the host's key"
    area: ClassVar[Area] = Area.IDENTITY
    severity: ClassVar[Severity] = Severity.INFO
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file."""
        for lines in naming(estate, lambda place, text: _is_of_keys(place) and not text.lstrip().startswith("#")):
            if lines.retires:
                yield self._finding(lines)

    def _finding(self, lines: Lines) -> Finding:
        hosts = listed(lines.hosts)
        count = plural(len(lines.texts), "line")
        successors = sorted({one.successor for one in lines.going.values() if one.successor})
        commands = listed([f"`ssh-keygen -f {lines.place} -R {host}`" for host in lines.hosts])
        it = "it is" if len(lines.hosts) == 1 else "they are"
        add = f", and add the key of {listed(successors)} before the move" if successors else ""
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=Confidence.HIGH,
            subject=lines.place,
            identity=(*lines.hosts, lines.place),
            message=f"{lines.place}{on_hosts(lines.on)} keeps the key of {hosts} in {count}",
            why="Whatever has its name or address next is refused by ssh, and so are the jobs that log in there.",
            action=f"Remove the {'line' if len(lines.texts) == 1 else 'lines'} when {it} gone ({commands}){add}.",
            impact=Impact.MENTIONED,
            evidence=tuple(lines.lines),
            hosts=lines.hosts,
        )


def _is_of_keys(place: str) -> bool:
    return _FILE.search(place) is not None and _NOT_KEYS.search(place) is None
