"""Monit's control files (monit(1), Monit 5.33)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    is_loopback,
    lazy_pattern,
    without_templates,
)

SIZE_LIMIT: Final = 2 * 1024 * 1024
TARGET_LIMIT: Final = 100
"""Hosts that one check asks."""

_NOT_CONFIGURATION: Final = (".yml", ".yaml", ".sh", ".py", ".md", ".te", ".service", ".json", ".rb", ".pp")
_PLACE: Final = lazy_pattern(
    r"(?:^|/)\.?monitrc[^/]*$|(?:^|/)monit(?:\.d|rc\.d)?/(?:[^/]+/)*[^/]+$|(?:^|/)[^/]*monit[^/]*\.conf"
)
_HEAD: Final = lazy_pattern(
    rb"^\s*(?:check\s+(?:host|process|program|file|filesystem|fifo|directory|device|system|network)\s"
    rb"|set\s+(?:daemon|mailserver|mmonit|alert|httpd|logfile|log)\b)",
    re.MULTILINE | re.IGNORECASE,
)
_COMMENT: Final = lazy_pattern(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*")
_STATEMENT: Final = lazy_pattern(r"^[ \t]*(check|set|include)[ \t]+(\w+)", re.MULTILINE | re.IGNORECASE)
_WORD: Final = lazy_pattern(r"\"([^\"\n]*)\"|'([^'\n]*)'|(\S+)")
_ADDRESS: Final = lazy_pattern(r"\baddress\s+(\"[^\"\n]*\"|'[^'\n]*'|\S+)", re.IGNORECASE)
_FAILED: Final = lazy_pattern(r"\bfailed\s+(?:host|url)\s+(\"[^\"\n]*\"|'[^'\n]*'|\S+)", re.IGNORECASE)
_PORT: Final = lazy_pattern(r"[\s(]+port\s+(\d{1,5})", re.IGNORECASE)
_PATH: Final = lazy_pattern(r"\bpath\s+(\"[^\"\n]*\"|'[^'\n]*'|\S+)", re.IGNORECASE)
_SERVICE: Final = Ref(Kind.SERVICE, "monit")
_MAIL: Final = Ref(Kind.RECEIVER, "monit mail")


class MonitCollector(Collector):
    """Monit's checks, its mail servers and its M/Monit.

    Reads
    -----
    `monitrc` and the files below `/etc/monit`, and such files of a repository.

    Yields
    ------
    An alert "monit/<name>" for each `check`: it watches the address of a `check host`, and the hosts of `failed host`
    and `failed url`; the program of a `check program` is called. The mail servers of `set mailserver` are the
    channels of the receiver "monit mail", alternatives of each other, which every alert notifies. The service "monit"
    connects to its M/Monit servers, one of which must take what it sends.

    Can't see
    ---------
    The order of `include`: each captured file counts. Programs of `exec` and of `start program`.
    """

    name: ClassVar[str] = "monit"
    title: ClassVar[str] = "Monit: checks, mail servers and M/Monit"
    area: ClassVar[Area] = Area.MONITORING
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.WATCHES, Relation.NOTIFIES, Relation.CONNECTS, Relation.CALLS, Relation.RUNS_ON}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By a path with "monit" in it that is Monit's, then by a statement in the head."""
        if "monit" not in path or path.endswith(_NOT_CONFIGURATION) or _PLACE.search(path) is None:
            return False
        return _HEAD.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The statements of one file; who is told is joined from all of them."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), "larger than 2 MiB", "scanned for mentions only", whole=True)
            return
        text = without_templates(decode(document.content).replace("\r\n", "\n"))
        lines = text.split("\n")
        clean = _COMMENT.sub(lambda found: found[0] if found[0][0] in "\"'" else " " * len(found[0]), text)
        found = list(_STATEMENT.finditer(clean))
        number, at = 1, 0
        for index, statement in enumerate(found):
            number += clean.count("\n", at, statement.start(1))
            at = statement.start(1)
            end = found[index + 1].start() if index + 1 < len(found) else len(clean)
            body = clean[at:end]
            kind = statement[2].lower()
            place = _Place(body, number, lines)
            if statement[1].lower() == "check":
                yield from _check(kind, body, place)
            elif statement[1].lower() == "set" and kind in ("mailserver", "mmonit"):
                yield from _servers(kind, body, place)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Each alert notifies by mail, where a mail server is set."""
        if not any(fragment.kind == "mail" for fragment in fragments):
            return
        for fragment in fragments:
            if fragment.kind == "alert" and isinstance(fragment.value, str):
                where = Where(fragment.where.line, fragment.where.excerpt, fragment.path)
                yield Dependency(Ref(Kind.ALERT, fragment.value), _MAIL, Relation.NOTIFIES, where)


class _Place:
    """Lines inside one statement."""

    def __init__(self, body: str, number: int, lines: list[str]) -> None:
        self._body = body
        self._number = number
        self._lines = lines

    def at(self, offset: int) -> Where:
        number = self._number + self._body.count("\n", 0, offset)
        return Where(number, excerpt(self._lines[number - 1]))


def _bare(text: str) -> str:
    return text[1:-1] if text[:1] in "\"'" else text.rstrip(",;")


def _check(kind: str, body: str, place: _Place) -> Iterator[Parsed]:
    words = [found[1] or found[2] or found[3] or "" for found in _WORD.finditer(body[:400])]
    if len(words) < 3 or TEMPLATE in words[2] or not words[2]:
        return
    name, where = words[2], place.at(0)
    alert = Ref(Kind.ALERT, f"monit/{name}")
    attributes: dict[str, Attribute] = {"program": "monit", "called": excerpt(name), "watches_absence": True}
    yield Entity(alert, where, attributes)
    yield Dependency(alert, THIS_HOST, Relation.RUNS_ON, where)
    yield Fragment("alert", alert.text, where)
    targets: list[tuple[str, int]] = []
    if kind == "host" and (address := _ADDRESS.search(body)):
        targets.append((_bare(address[1]), address.start(1)))
    for failed in islice(_FAILED.finditer(body), TARGET_LIMIT):
        target = _bare(failed[1])
        port = _PORT.match(body, failed.end())
        targets.append((f"{target}:{port[1]}" if port and "://" not in target else target, failed.start(1)))
    for target, offset in targets:
        ref = _reference(target)
        if ref is not None:
            yield Dependency(alert, ref, Relation.WATCHES, place.at(offset), group="targets")
    if kind == "program" and (path := _PATH.search(body)):
        command = _bare(path[1])
        for fact in analyse_command(command, alert, place.at(path.start(1))) if TEMPLATE not in command else ():
            if isinstance(fact, Dependency) and fact.relation in (Relation.CALLS, Relation.CONNECTS):
                yield fact


def _servers(kind: str, body: str, place: _Place) -> Iterator[Parsed]:
    """`set mailserver a [port n] [username ...], b ...` and `set mmonit URL [URL ...]`: tried in order."""
    found: list[tuple[Ref, int]] = []
    if kind == "mmonit":
        found = [
            (ref, m.start())
            for m in islice(re.finditer(r"https?://[^\s,]+", body), TARGET_LIMIT)
            if (ref := _reference(m[0]))
        ]
    else:
        start = body.lower().find("mailserver") + len("mailserver")
        for part in islice(re.finditer(r"[^,]+", body[start:]), TARGET_LIMIT):
            words = list(_WORD.finditer(part[0]))
            target = _bare(words[0][0]) if words else ""
            port = _PORT.search(part[0])
            ref = _reference(f"{target}:{port[1]}" if port and target else target)
            if ref is not None:
                found.append((ref, start + part.start() + words[0].start()))
    consumer = _SERVICE if kind == "mmonit" else _MAIL
    for ref, offset in found:
        where = place.at(offset)
        yield Entity(consumer, where, {"program": "monit"})
        yield Dependency(consumer, THIS_HOST, Relation.RUNS_ON, where)
        group = kind if len(found) > 1 else ""
        if kind == "mmonit":
            yield Dependency(consumer, ref, Relation.CONNECTS, where, Need.WRITE, group)
        else:
            yield Dependency(consumer, ref, Relation.NOTIFIES, where, None, group)
    if kind == "mailserver":
        yield Fragment("mail", "", place.at(0))


def _reference(text: str) -> Ref | None:
    if not text or TEMPLATE in text or is_loopback(text):
        return None
    return endpoint_ref(text) if ":" in text and host_ref(text) is None else host_ref(text)
