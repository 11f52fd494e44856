"""A renewal after which nothing reloads what serves the certificate."""

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
    Node,
    Relation,
    Rule,
    Severity,
    listed,
    plural,
)
from rules.renewal.lineages import Renewal, called, lines
from rules.renewal.stages import in_question

_PROGRAMS: Final = {
    "nginx": "nginx",
    "apache": "apache2|httpd|apachectl",
    "haproxy": "haproxy",
    "postfix": "postfix",
    "squid": "squid",
    "envoy": "envoy",
}
"""Programs that read a certificate once, and what their units and commands are called."""
_HOOKS: Final = ("deploy_hook", "post_hook", "reload_command", "reload_cmd", "renew_hook")
_RELOADS: Final = re.compile(r"reload|restart|graceful|-s\s+reload|\bHUP\b", re.IGNORECASE)


class RenewalWithoutReloadRule(Rule):
    """A renewal without any hook, for a server that reads its certificate only when it is loaded.

    What it does
    ------------
    Takes the renewals of hosts that are going and of their successors, and the servers on the same host (nginx, Apache,
    HAProxy, Postfix) that read the certificate's own files. If the renewal has neither a hook nor an installer, and
    nothing that was captured on that host reloads the server, it says so.

    Why it matters
    --------------
    The file on the disk is new, and what is served is old, until somebody restarts the server for another reason: for
    years by luck, and not any more on a successor that is never rebooted.

    Example
    -------
    certbot with `authenticator = webroot` and no `renew_hook`, nginx with `ssl_certificate
    /etc/letsencrypt/live/example.net/fullchain.pem`

    What to do
    ----------
    Add a deploy hook that reloads it (`certbot reconfigure --cert-name example.net --deploy-hook 'systemctl reload
    nginx'`), and run it once.

    What it can't see
    -----------------
    A package's own job that reloads the server (logrotate may), and clients that do so by themselves.
    """

    id: ClassVar[str] = "renewal-without-reload"
    title: ClassVar[str] = "Nothing reloads the server after a renewal"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    confidence: ClassVar[Confidence] = Confidence.MEDIUM
    since: ClassVar[str] = "0.2.0"
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each lineage."""
        for renewal, going in in_question(estate):
            lineage = renewal.lineage
            if renewal.client != "certbot" or _has_hook(estate, lineage):
                continue
            readers = [node for node in _readers(estate, lineage) if not _is_reloaded(estate, node)]
            if readers:
                yield self._finding(renewal, going, readers)

    def _finding(self, renewal: Renewal, going: Going, readers: list[Node]) -> Finding:
        lineage = renewal.lineage
        programs = sorted({_program(one) for one in readers})
        names = sorted(one.text for one in readers)
        units = " ".join(programs)
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self.severity,
            confidence=self.confidence,
            subject=lineage.label,
            identity=(lineage.scope, lineage.text),
            message=f"Nothing reloads {listed(programs)} on {lineage.scope} after a renewal of {called(lineage)}",
            why=f"{plural(len(names), 'server')} {'reads' if len(names) == 1 else 'read'} its files: {listed(names)}. "
            "They serve the old certificate until they are restarted for another reason.",
            action=f"Add a deploy hook on {going.successor or lineage.scope}: `certbot reconfigure --cert-name "
            f"{renewal.name} --deploy-hook 'systemctl reload {units}'`, and look at what is served after a renewal.",
            impact=Impact.NONE,
            evidence=lines(lineage.provenance[:1], (one.provenance[0] for one in readers if one.provenance)),
            hosts=(going.host,),
        )


def _has_hook(estate: EstateView, lineage: Node) -> bool:
    known = lineage.attributes
    if any(known.get(key) for key in _HOOKS) or known.get("installer") or known.get("authenticator") in _PROGRAMS:
        return True
    return bool(estate.outgoing(lineage, Relation.DEPLOYED_BY, Relation.CALLS))


def _readers(estate: EstateView, lineage: Node) -> list[Node]:
    """The servers on a lineage's own host that read its own files."""
    found: dict[int, Node] = {}
    for key in ("fullchain", "cert"):
        path = estate.find(Kind.PATH, str(lineage.attributes.get(key, "")), lineage.scope)
        for edge in estate.incoming(path, Relation.READS) if path is not None else ():
            node = edge.consumer
            if node.kind is Kind.SERVICE and node.scope == lineage.scope and _program(node):
                found[node.id] = node
    return [found[key] for key in sorted(found)]


def _program(service: Node) -> str:
    return next((name for name in _PROGRAMS if service.text.startswith(name)), "")


def _is_reloaded(estate: EstateView, service: Node) -> bool:
    """Whether anything on its host reloads or restarts a server: a unit that is called, or a command line."""
    words = re.compile(rf"\b(?:{_PROGRAMS[_program(service)]})\b")
    for unit in estate.nodes_at(service.scope, Kind.UNIT):
        if words.match(unit.text) and estate.incoming(unit, Relation.CALLS):
            return True
    return any(
        words.search(command) and _RELOADS.search(command)
        for job in estate.nodes_at(service.scope, Kind.JOB)
        if (command := str(job.attributes.get("command", "")))
    )
