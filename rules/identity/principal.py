"""Service principals of a host that is going."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import Area, Confidence, EstateView, Finding, Impact, Relation, Rule, Severity, listed, plural
from rules.texts import Lines, called, naming, on_hosts

_CLASSES: Final = (
    "host|http|nfs|ldap|ldaps|cifs|smb|imap|imaps|pop|smtp|ftp|dns|postgres|mysql|mongodb|oracle|mssqlsvc|hdfs|hive|"
    "yarn|kafka|zookeeper|afpserver|xmpp|sieve|termsrv|wsman|restrictedkrbhost|exchangemdb|rpcss|gc|cockpit|libvirt|vnc"
)
_PRINCIPAL: Final = re.compile(
    rf"(?<![\w./:-])(?P<class>{_CLASSES})/(?P<host>[a-z0-9][a-z0-9.-]*[a-z0-9])(?::[\w-]+)?"
    r"(?P<realm>@[a-z0-9][a-z0-9.-]*)?(?![\w/.-])",
    re.IGNORECASE,
)
_ABOUT: Final = re.compile(
    r"principal|spn|keytab|kerberos|krb5|gssapi|kadm|sasl|realm|setspn|ktutil|kinit|delegat", re.IGNORECASE
)


class ServicePrincipalOfGoingHostRule(Rule):
    """Kerberos principals and keytabs of a host that is going, in the files of others.

    What it does
    ------------
    Looks in all text that names the host for principals of its services (`HTTP/old.example.net@EXAMPLE.NET`,
    `MSSQLSvc/old:1433`): with a realm, or in a line or file about Kerberos. One finding for each file, with the
    principals. Nothing is said for a read-only host, which keeps its keys.

    Why it matters
    --------------
    The account behind the principal outlives the host, with a key that lies in its keytab. And clients that ask for a
    ticket for the service under its new host's name get none until a principal of that name exists.

    Example
    -------
    `setspn -S HTTP/old.example.net svc-web` in a runbook, `krb5_principal: nfs/old.example.net@EXAMPLE.NET` of a role

    What to do
    ----------
    Make the principal and the keytab of the successor before the move; delete the old principal, and the account if it
    has no other, after it.

    What it can't see
    -----------------
    The directory itself, and keytabs, which are not read.
    """

    id: ClassVar[str] = "service-principal-of-going-host"
    title: ClassVar[str] = "Kerberos principals of the host"
    area: ClassVar[Area] = Area.IDENTITY
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.MENTIONS})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each file; equal ones on many hosts are one."""
        names = {name for one in estate.going for name in called(one)}
        for lines in naming(estate, lambda place, text: bool(_principals(place, text, names))):
            if lines.retires:
                yield self._finding(lines, names)

    def _finding(self, lines: Lines, names: set[str]) -> Finding:
        found = sorted({one for text in lines.texts for one in _principals(lines.place, text, names)})
        successors = sorted({one.successor for one in lines.going.values() if one.successor})
        new = sorted({_for(one, listed(successors)) for one in found}) if len(successors) == 1 else []
        count = plural(len(found), "principal")
        make = f"Make {listed(new)} with a keytab before the move" if new else "Make those of what takes over"
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=lines.place,
            identity=(*lines.hosts, lines.place, *found),
            message=f"{lines.place}{on_hosts(lines.on)} has {count} of {listed(lines.hosts)}: {listed(found)}",
            why="Whoever asks for a ticket under the new host's name gets none; and the old account stays, with a key "
            "in a keytab on the host's disks.",
            action=f"{make}; delete {listed(found)} after it, and correct {lines.place}.",
            impact=Impact.MENTIONED,
            evidence=tuple(lines.lines),
            hosts=lines.hosts,
        )


def _principals(place: str, text: str, names: set[str]) -> list[str]:
    """The principals of these hosts in a line; without a realm only where the line or the file is about Kerberos."""
    about = _ABOUT.search(text) is not None or _ABOUT.search(place) is not None
    return [
        found[0] for found in _PRINCIPAL.finditer(text) if found["host"].lower() in names and (found["realm"] or about)
    ]


def _for(principal: str, successor: str) -> str:
    kind, _, rest = principal.partition("/")
    _, at, realm = rest.partition("@")
    return f"{kind}/{successor}{at}{realm}"
