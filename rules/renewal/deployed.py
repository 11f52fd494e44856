"""A certificate that was renewed, while what is in use is still the old one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    Period,
    Relation,
    Rule,
    Severity,
    day,
    listed,
    parse_time,
    plural,
    ranged,
    time_left,
)
from rules.renewal.lineages import called, consumers, going_behind, lines, names_of, not_after
from rules.renewal.stages import in_question

_DIRECTORIES: Final = ("archive_dir", "live_dir", "certificate_dir")
_FILES: Final = ("fullchain", "cert")
_KEPT_ASIDE: Final = re.compile(
    r"~$|\.(?:bak|old|orig|save|prev|rpmsave|dpkg-old|dpkg-dist)\b|[._-](?:old|backup|expired|previous)\b|\b(?:19|20)\d\d-?[01]\d"
    r"|/(?:backups?|old|archive|expired|previous)/",
    re.I,
)
_ORGANIZATION: Final = re.compile(r"(?:^|,)O=((?:\\.|[^,\\])+)")
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class _Use:
    """Where an old certificate is in use: at an endpoint that served it, or in a file."""

    old: Node
    edge: Edge
    where: str
    """The endpoint, or the file's host."""
    hosts: tuple[str, ...]
    served: bool
    sure: bool


@dataclass(frozen=True, slots=True)
class _Newest:
    """What should be in use instead; by the files of one lineage, or else by its names alone."""

    certificate: Node
    lineage: Node | None
    sure: bool


class RenewedNotDeployedRule(Rule):
    """A certificate was renewed, and endpoints still serve, or hosts still have, the one before.

    What it does
    ------------
    Finds the newest certificate of each lineage by the files that its client keeps, and compares with it what endpoints
    served (TLS probes, listeners of load balancers) and what other files hold of the same lineage, or of exactly the
    same names. What is older, and was seen more than two days after the new one was issued, was not deployed. If
    nothing is known to renew the names, what is served is compared with the newest file of them.

    Left out: the client's own files; copies that look put aside, and those beside the new one; a certificate that is
    the newest of another lineage with the same names; and what is on hosts that are to be retired.

    It blocks if a host of the scenario has to do with it (it renews, deploys or uses the certificate), and what is in
    use ends within seven days; what has nothing to do with the scenario is a warning then, and a note before. Another
    CA than before makes it a note: two may be meant.

    Why it matters
    --------------
    The renewal is green, and its log as well. What is served ends all the same: the hook failed, went to a machine that
    is read-only or gone, or nothing reloaded the server.

    Example
    -------
    certbot renewed `*.example.net` ten days ago on certs-01; `api.example.net:443` serves the old one, which ends in 20
    days.

    What to do
    ----------
    Deploy it by hand, repair the hook or the push, and look at what each endpoint serves afterwards.

    What it can't see
    -----------------
    Endpoints that were not probed (`kind: tls` among the sources), other addresses of a name than those that answered,
    and certificates in PKCS#12 files and Java key stores.
    """

    id: ClassVar[str] = "renewed-not-deployed"
    title: ClassVar[str] = "Renewed, and not deployed"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.WARN
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.RENEWED_BY, Relation.STORED_AT})
    grace = Period(timedelta(days=2), "how long after its issue a certificate may be on its way")
    urgent = Period(timedelta(days=7), "how close the end of what is in use must be to block")
    forgotten = Period(timedelta(days=30), "how long after its end nobody misses a certificate any more")

    def check(self, estate: EstateView) -> Iterator[Finding]:
        """One finding for each certificate that was renewed."""
        for newest, uses in self._found(estate).values():
            yield self._finding(estate, newest, uses)

    def passed(self, estate: EstateView) -> Iterator[str]:
        """The certificates of the scenario's renewals that all who have or serve them have as the newest."""
        found = self._found(estate)
        for renewal, _ in in_question(estate):
            blast = estate.blast_radius(renewal.lineage)
            holders, serving = _with(estate, blast.certificate) if blast is not None else (set[str](), set[str]())
            if blast is None or blast.certificate.id in found or not (holders or serving):
                continue
            said = []
            if holders:
                verb = "has" if len(holders) == 1 else "have"
                said.append(f"{len(holders)} of {plural(len(holders), 'server')} {verb}")
            if serving:
                verb = "serves" if len(serving) == 1 else "serve"
                said.append(f"{len(serving)} of {plural(len(serving), 'endpoint')} {verb}")
            begun = parse_time(blast.certificate.attributes.get("not_before"))
            of = f", of {begun:%Y-%m-%d}" if begun else ""
            yield f"{' and '.join(said)} the newest certificate of {called(renewal.lineage)}{of}"

    def _found(self, estate: EstateView) -> dict[int, tuple[_Newest, list[_Use]]]:
        """By the newest certificate: where an older one is in use."""
        store = _Store(estate)
        found: dict[int, tuple[_Newest, list[_Use]]] = {}
        for old in store.certificates:
            ends = not_after(old)
            if ends is None or ends < estate.now - self.forgotten:
                continue
            newest = store.newest_for(old)
            if newest is None or not self._in_force(estate, newest.certificate):
                continue
            uses = [use for use in store.uses(old, newest) if self._seen_since(estate, use, newest.certificate)]
            if uses:
                found.setdefault(newest.certificate.id, (newest, []))[1].extend(uses)
        return found

    def _in_force(self, estate: EstateView, new: Node) -> bool:
        ends = not_after(new)
        return ends is not None and ends > estate.now

    def _seen_since(self, estate: EstateView, use: _Use, new: Node) -> bool:
        """Whether the old one was seen in use when the new one should have been long there."""
        issued = parse_time(new.attributes.get("not_before"))
        seen = parse_time(use.edge.provenance.collected_at) or estate.now
        return issued is not None and min(seen, estate.now) > issued + self.grace

    def _finding(self, estate: EstateView, newest: _Newest, uses: list[_Use]) -> Finding:
        new, lineage = newest.certificate, newest.lineage
        ends = min(end for use in uses if (end := not_after(use.old)) is not None)
        issued = parse_time(new.attributes.get("not_before")) or estate.now
        name = called(lineage) if lineage is not None else new.label.removeprefix("certificate ")
        hooks = estate.outgoing(lineage, Relation.DEPLOYED_BY) if lineage is not None else ()
        going = _concerned(estate, lineage, hooks, uses)
        alike = all(_issuer(use.old) == _issuer(new) for use in uses)
        served = [use for use in uses if use.served]
        sure = newest.sure and any(use.sure for use in uses)
        on = f" on {lineage.scope}" if lineage is not None and lineage.scope else ""
        verb = "serves" if len(uses) == 1 else "serve"
        if not served:
            verb = "has" if len({use.where for use in uses}) == 1 else "have"
        who = listed(
            [*dict.fromkeys(use.where for use in served), *ranged(use.where for use in uses if not use.served)]
        )
        reloads = [_file(estate, use, new) for use in served]
        ways = [hook.provider.text for hook in hooks]
        lost = next((hook for hook in hooks if hook.lost), None)
        because = f" Its deployment by {lost.provider.text} leads to what is going." if lost is not None else ""
        because += "".join(f" {text}." for text in dict.fromkeys(filter(None, reloads)))
        if not alike:
            because += f" They are of different CAs: {_issuer(uses[0].old)}, now {_issuer(new)}."
        return Finding(
            rule=self.id,
            area=self.area,
            severity=self._severity(estate, ends, going, alike),
            confidence=Confidence.LOW if not alike else Confidence.HIGH if sure else Confidence.MEDIUM,
            subject=lineage.label if lineage is not None else new.label,
            identity=(lineage.scope, lineage.text) if lineage is not None else ("", *sorted(_names(new))),
            message=f"{name} was renewed{on} {time_left(estate.now, issued)} and not deployed: {who} still {verb} the "
            f"certificate that {'ends' if ends >= estate.now else 'ended'} {time_left(estate.now, ends)}, {day(ends)}",
            why=f"{_counted(estate, new, uses)} The new one is of {day(issued)}.{because}".strip(),
            action="Deploy it there by hand; "
            + (f"find out why {listed(ways)} did not" if ways else "find out what should have done it, if anything")
            + ", and look at what is served then.",
            impact=Impact.NONE,
            evidence=lines(
                (use.edge.provenance for use in [*served, *(one for one in uses if not one.served)][:_SHOWN]),
                (edge.provenance for edge in estate.outgoing(new, Relation.STORED_AT)[:1]),
                (hook.provenance for hook in hooks[:1]),
            ),
            path=estate.path_over(lost) if lost is not None else (),
            hosts=tuple(one.host for one in going),
            deadline=ends,
        )

    def _severity(self, estate: EstateView, ends: datetime, going: list[Going], alike: bool) -> Severity:
        if not alike:
            return Severity.INFO
        if ends < estate.now + self.urgent:
            return Severity.BLOCK if going else Severity.WARN
        return self.severity if going else Severity.INFO


class _Store:
    """The certificates of an estate: which one each lineage has made last, and where others are."""

    def __init__(self, estate: EstateView) -> None:
        self._estate = estate
        self.certificates = [one for one in estate.nodes(Kind.CERTIFICATE) if _is_server(one)]
        self._directories: dict[tuple[str, str], Node] = {}
        self._installed: set[tuple[str, str]] = set()
        self._renewing: dict[frozenset[str], list[Node]] = {}
        for lineage in estate.nodes(Kind.LINEAGE):
            for directory in _directories(estate, lineage):
                self._directories[lineage.scope, directory] = lineage
            files = lineage.attributes.get("certificate_files")
            self._installed.update((lineage.scope, file) for file in (files if isinstance(files, tuple) else ()))
            if names := frozenset(names_of(lineage)):
                self._renewing.setdefault(names, []).append(lineage)
        self._made: dict[int, Node] = {}
        """Lineage -> the newest certificate of its own files."""
        self._filed: dict[frozenset[str], Node] = {}
        for certificate in self.certificates:
            stored = estate.outgoing(certificate, Relation.STORED_AT)
            for lineage in self._makers(certificate):
                self._made[lineage.id] = _newer(certificate, self._made.get(lineage.id))
            if any(edge.provider.scope for edge in stored) and (names := _names(certificate)):
                self._filed[names] = _newer(certificate, self._filed.get(names))

    def newest_for(self, old: Node) -> _Newest | None:
        """What should be in use instead of a certificate; None if it is the newest, or nothing is known."""
        makers = self._makers(old)
        sure = bool(makers)
        if any(self._made.get(one.id, old).id == old.id for one in makers):
            return None
        names = _names(old)
        renewing = makers or self._renewing.get(names, [])
        newer = [(made, one) for one in renewing if (made := self._made.get(one.id)) and _begins(made) > _begins(old)]
        if newer:
            made, lineage = max(newer, key=lambda pair: _begins(pair[0]))
            return _Newest(made, lineage, sure or _names(made) == names)
        filed = self._filed.get(names)
        if renewing or filed is None or _begins(filed) <= _begins(old):
            return None
        return _Newest(filed, None, sure=False)

    def uses(self, old: Node, newest: _Newest) -> Iterator[_Use]:
        """Where a certificate is in use that is not the newest any more."""
        estate = self._estate
        for edge in estate.incoming(old, Relation.SERVES):
            hosts = tuple(host.text for host in estate.reaches(edge.consumer))
            if not self._retired(hosts):
                yield _Use(old, edge, edge.consumer.text, hosts, served=True, sure=True)
        if newest.lineage is None:
            return
        for edge in estate.outgoing(old, Relation.STORED_AT):
            path = edge.provider
            directory = path.text.rpartition("/")[0]
            if not path.scope or (path.scope, directory) in self._directories or self._retired((path.scope,)):
                continue
            installed = (path.scope, path.text) in self._installed
            read = any(user.consumer.kind is not Kind.CERTIFICATE for user in estate.incoming(path))
            if not (installed or read) and (_KEPT_ASIDE.search(path.text) or self._is_on(newest, path.scope)):
                continue
            yield _Use(old, edge, path.scope, (path.scope,), served=False, sure=installed or read)

    def _is_on(self, newest: _Newest, host: str) -> bool:
        stored = self._estate.outgoing(newest.certificate, Relation.STORED_AT)
        return any(edge.provider.scope == host for edge in stored)

    def _makers(self, certificate: Node) -> list[Node]:
        """The lineages among whose own files a certificate is."""
        found: dict[int, Node] = {}
        for edge in self._estate.outgoing(certificate, Relation.STORED_AT):
            path = edge.provider
            maker = self._directories.get((path.scope, path.text.rpartition("/")[0]))
            if maker is not None and (path.scope, path.text) not in self._installed:
                found[maker.id] = maker
        return list(found.values())

    def _retired(self, hosts: Iterable[str]) -> bool:
        """Whether all of these hosts are to be retired: what they have goes with them."""
        gone = {one.host for one in self._estate.going if one.lifecycle is not Lifecycle.READ_ONLY}
        some = set(hosts)
        return bool(some) and some <= gone


def _with(estate: EstateView, certificate: Node) -> tuple[set[str], set[str]]:
    """The hosts that stay and have a certificate, and the endpoints that served it."""
    blast = estate.blast_radius(certificate)
    probed = {
        edge.consumer.text
        for edge in estate.incoming(certificate, Relation.SERVES)
        if edge.consumer.kind is Kind.ENDPOINT and edge.consumer.attributes.get("probed")
    }
    return set(consumers(estate, blast)), probed


def _counted(estate: EstateView, new: Node, uses: Iterable[_Use]) -> str:
    """`338 of 340 servers have the new one.`, `7 of 9 endpoints serve it.`: how far the deployment came."""
    holders, serving = _with(estate, new)
    late, lagging = {one.where for one in uses if not one.served}, {one.where for one in uses if one.served}
    holders, serving = holders - late, serving - lagging
    said = []
    if late:
        said.append(f"{len(holders)} of {plural(len(holders | late), 'server')} have the new one")
    if lagging:
        said.append(f"{len(serving)} of {plural(len(serving | lagging), 'endpoint')} serve it")
    return f"{', '.join(said)}." if said else ""


def _directories(estate: EstateView, lineage: Node) -> Iterator[str]:
    known = lineage.attributes
    for key in _DIRECTORIES:
        if isinstance(value := known.get(key), str) and value:
            yield value.rstrip("/")
    for key in _FILES:
        if isinstance(value := known.get(key), str) and "/" in value:
            yield value.rpartition("/")[0]
    for edge in estate.outgoing(lineage, Relation.WRITES):
        yield edge.provider.text.rstrip("/")


def _is_server(certificate: Node) -> bool:
    about = certificate.attributes
    return not about.get("is_ca") and about.get("position") != "chain" and bool(_names(certificate))


def _names(certificate: Node) -> frozenset[str]:
    sans = certificate.attributes.get("sans")
    return frozenset(sans) if isinstance(sans, tuple) else frozenset()


def _begins(certificate: Node) -> str:
    return str(certificate.attributes.get("not_before", ""))


def _newer(one: Node, other: Node | None) -> Node:
    return one if other is None or _begins(one) > _begins(other) else other


def _issuer(certificate: Node) -> str:
    """Who issued it: an organization has many intermediates."""
    issuer = str(certificate.attributes.get("issuer", ""))
    found = _ORGANIZATION.search(issuer)
    return found[1] if found else issuer


def _file(estate: EstateView, use: _Use, new: Node) -> str:
    """That a server has the new certificate on its disk already."""
    for edge in estate.outgoing(new, Relation.STORED_AT):
        if edge.provider.scope and edge.provider.scope in use.hosts:
            has = f"{edge.provider.scope} has it in {edge.provider.text}"
            return f"{has}: its server was not reloaded, or reads another file"
    return ""


def _concerned(estate: EstateView, lineage: Node | None, hooks: Iterable[Edge], uses: Iterable[_Use]) -> list[Going]:
    """The hosts of the scenario that renew, deploy or use it."""
    found = {host for use in uses for host in use.hosts}
    if lineage is not None:
        found.add(lineage.scope)
        found.update(one.host for hook in hooks if hook.lost for one in going_behind(estate, hook.provider))
    return [one for one in sorted(estate.going, key=lambda one: one.host) if one.host in found]
