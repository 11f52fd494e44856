"""Live lookups: what a name server answered when it was asked, one question or record set a line.

The form is that of `auditor collect`, JSON Lines. The first line says who was asked:
`{"lookups": "internal", "server": "10.20.0.53 port 53", "asked": 12}`. The others are record sets,
`{"name": "api.example.net", "type": "A", "status": "NOERROR", "ttl": 300, "answers": ["10.20.4.17"]}`, and questions
that gave none, with their status: NXDOMAIN, NODATA, SERVFAIL, REFUSED, TIMEOUT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    excerpt,
    host_ref,
    is_hostname,
    normal_address,
    normal_name,
    read_json_lines,
)

LINE_LIMIT: Final = 200_000
"""Lines of one file that are read."""

_HEAD: Final = re.compile(rb"\s*\{\s*\"lookups\"\s*:")
_NUMBERS: Final = {"MX": 1, "SRV": 3}
_UNKNOWN: Final = frozenset({"NXDOMAIN", "NODATA"})


class DnsLookupsCollector(Collector):
    """What names resolved to when a name server was asked.

    Reads
    -----
    `lookups/<resolver>.jsonl` of a snapshot, and any file whose first line begins with `{"lookups":`.

    Yields
    ------
    What each name resolved to, its aliases on the way, and record nodes for MX, SRV, NS and PTR. Answers of several
    resolvers, and of zone files, are alternatives. Of a name that does not exist, an attribute that says which resolver
    said so.

    Can't see
    ---------
    What other resolvers answer, and what the same one answers to others or at other times.
    """

    name: ClassVar[str] = "dns_lookups"
    title: ClassVar[str] = "Live DNS lookups"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES})

    def recognizes(self, path: str, head: bytes) -> bool:
        return _HEAD.match(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """NAME RESOLVES to ADDRESS and NAME; RECORD nodes of other types."""
        resolver = ""
        known: dict[str, dict[str, Attribute]] = {}
        first: dict[str, Where] = {}
        for found in read_json_lines(document.content, LINE_LIMIT):
            if isinstance(found, Malformed):
                yield found
                continue
            where, entry = found
            if "lookups" in entry:
                resolver = excerpt(str(entry["lookups"]))
                continue
            owner, kind = normal_name(str(entry.get("name", ""))), str(entry.get("type", "")).upper()
            if not is_hostname(owner) or not kind.isalnum():
                yield Malformed(where, "an answer without a name and a type", "the line is left out")
                continue
            told = known.setdefault(owner, {})
            first.setdefault(owner, where)
            answers = entry.get("answers")
            if not isinstance(answers, list) or not answers:
                status = excerpt(str(entry.get("status", "")))
                if status in _UNKNOWN and (status == "NXDOMAIN" or kind in ("A", "AAAA")):
                    told.setdefault("no_answer", f"{status} from {resolver or 'the resolver'}")
                continue
            told["answered"] = True
            if isinstance(entry.get("ttl"), int):
                told.setdefault("ttl", entry["ttl"])
            yield from _records(owner, kind, answers, where)
        for owner, told in known.items():
            attributes = dict(told)
            if attributes.pop("answered", False):
                attributes.pop("no_answer", None)
                attributes["live"] = resolver or True
            if attributes:
                yield Entity(Ref(Kind.NAME, owner), first[owner], attributes)


def _records(owner: str, kind: str, answers: list[Any], where: Where) -> Iterator[Parsed]:
    name = Ref(Kind.NAME, owner)
    for answer in answers:
        text = str(answer)
        if kind in ("A", "AAAA"):
            address = normal_address(text)
            if address is None:
                yield Malformed(where, f"{excerpt(text)} is no address", "the answer is left out")
            else:
                yield Dependency(name, Ref(Kind.ADDRESS, address), Relation.RESOLVES, where, group="addresses")
        elif kind in ("CNAME", "DNAME"):
            if is_hostname(text):
                yield Dependency(name, Ref(Kind.NAME, normal_name(text)), Relation.RESOLVES, where)
        elif kind in ("MX", "SRV", "NS", "PTR"):
            numbers = text.split()[: _NUMBERS.get(kind, 0)]
            target = text.split()[-1] if text.split() else ""
            provider = host_ref(target)
            if provider is None:
                continue
            shown = " ".join((*numbers, provider.text))
            record = Ref(Kind.RECORD, excerpt(f"{owner} {kind} {shown}"))
            yield Entity(record, where, {"type": kind, "owner": owner})
            yield Dependency(record, provider, Relation.RECORDS, where)
            if kind != "PTR":
                whole = Ref(Kind.RECORD, f"{owner} {kind}")
                yield Entity(whole, where, {"type": kind, "owner": owner, "record_set": True})
                yield Dependency(whole, record, Relation.RECORDS, where, group=kind)
