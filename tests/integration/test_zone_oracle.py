"""Zone files as `named-compilezone` (BIND 9, Debian's bind9-utils) reads them: the collector must see the same records.

The program writes each record whole on a line of its own, without directives. What the collector makes of that is
compared with what it makes of the file as it was written; for the common types, also with a reading of the program's
answer that shares no code with the collector.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.api import Dependency, Document, Entity, Fragment, Malformed, Parsed, Relation
from collectors.zone import ZoneCollector
from tests.integration.programs import PATIENCE, need
from tests.realfiles import CORPUS, MISSING

PROGRAM = "named-compilezone"
COMMON = {"A", "AAAA", "CNAME", "NS", "MX", "PTR", "SRV"}

WRITTEN = """\
$TTL 1h30m
@  IN SOA ns1 hostmaster ( 2026110101 ; serial
        3600 600 1w
        300 )
   NS ns1
   NS ns2.example.org.
   MX 10 mail
   MX 20 mail.example.org.
ns1 300 IN A 10.0.0.1
    IN 300 A 10.0.0.2
    AAAA 2001:DB8::1
mail A 10.0.0.3 ; a comment
*.apps CNAME lb
*.old CNAME LB
lb A 10.0.0.4
$GENERATE 1-20/3 node${0,3,d} A 10.1.0.$
$GENERATE 0-3 ${16,0,x}.hex CNAME node$.gen
$GENERATE 10-12 ${0,3,n}.nib TXT "n $"
$ORIGIN sub
@ NS ns.sub
ns A 10.0.0.9
$ORIGIN other.{zone}.
a.b A 10.0.0.10
_sip._tcp SRV 0 5 5060 sip
sip A 10.0.0.11
txt TXT ( "v=spf1 a:mail.{zone}"
          " ip4:10.0.0.3 -all" )
quoted TXT "a;b" "c(d" e\\;f
www HTTPS 1 . alpn="h2,h3" ipv4hint=10.0.0.4
caa CAA 0 issue "ca.example.net; accounturi=https://acme.example.net/acct/1"
_443._tcp.www TLSA 3 1 1 0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3
n NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@sip.example.org!" .
unknown TYPE65280 \\# 4 0a000001
$INCLUDE part.inc
after A 10.0.0.12
$INCLUDE part.inc inc.{zone}.
"""
PART = "host A 10.2.0.1\n     A 10.2.0.2\n$ORIGIN deep.{zone}.\nhost A 10.2.0.3\n"


def compiled(zone: str, directory: Path, name: str) -> str | None:
    """The program's reading of a file; None if it refuses the zone."""
    program = need(PROGRAM, "bind9-utils")
    arguments = [program, "-i", "none", "-k", "ignore", "-n", "ignore", "-m", "ignore", "-r", "ignore", "-o", "-"]
    done = subprocess.run([*arguments, zone, name], cwd=directory, capture_output=True, timeout=PATIENCE, check=False)
    return done.stdout.decode() if done.returncode == 0 else None


def facts(path: str, content: bytes, directory: Path) -> Iterator[Parsed]:
    collector = ZoneCollector()
    fragments = []
    for item in collector.parse(Document(path, content)):
        if isinstance(item, Fragment):
            fragments.append(Fragment(item.kind, item.value, item.where, "tree", path))
        yield item

    def read(wanted: str) -> bytes | None:
        file = directory / wanted.rsplit("/", 1)[-1]
        return file.read_bytes() if file.is_file() else None

    yield from collector.combine(fragments, read)


def edges(path: str, content: bytes, directory: Path) -> set[tuple[str, ...]]:
    """Every dependency, and every record's type and time to live, without places."""
    found: set[tuple[str, ...]] = set()
    for fact in facts(path, content, directory):
        if isinstance(fact, Dependency):
            ends = (str(fact.consumer.kind), fact.consumer.text, str(fact.provider.kind), fact.provider.text)
            found.add((*ends, str(fact.relation), fact.group))
        elif isinstance(fact, Entity) and fact.ref.kind == "record":
            found.add((fact.ref.text, str(fact.attributes["type"]), str(fact.attributes.get("ttl"))))
    return found


def common(answer: str) -> set[tuple[str, str, str]]:
    """Owner, type and target of the common types, read from the program's answer by splitting its lines."""
    records = set()
    for line in answer.splitlines():
        fields = line.split()
        if len(fields) > 4 and fields[2] == "IN" and fields[3] in COMMON and fields[-1] != ".":
            owner = (fields[0].lower().rstrip(".") or ".").replace("\\052", "*")
            target = fields[-1].lower().replace("\\@", "@")
            records.add((owner, fields[3], target if fields[3] in ("A", "AAAA") else target.rstrip(".")))
    return records


def seen(path: str, content: bytes, directory: Path) -> set[tuple[str, str, str]]:
    """The same from the collector's facts."""
    records = set()
    for fact in facts(path, content, directory):
        if not isinstance(fact, Dependency) or fact.provider.kind == "record":
            continue
        if fact.relation == Relation.RESOLVES:
            kind = "CNAME"
            if fact.provider.kind == "address":
                kind = "AAAA" if ":" in fact.provider.text else "A"
            records.add((fact.consumer.text, kind, fact.provider.text))
        elif fact.provider.kind == "name":
            owner, kind, _ = fact.consumer.text.split(" ", 2)
            if kind in COMMON:
                records.add((owner, kind, fact.provider.text))
    return records


@pytest.mark.integration
@pytest.mark.parametrize("zone", ["eventide.net", "corp", "17.20.10.in-addr.arpa"])
def test_a_zone_with_everything_is_read_as_named_reads_it(zone: str, tmp_path: Path) -> None:
    name = f"{zone}.zone"
    (tmp_path / name).write_text(WRITTEN.replace("{zone}", zone))
    (tmp_path / "part.inc").write_text(PART.replace("{zone}", zone))
    answer = compiled(zone, tmp_path, name)
    assert answer is not None, f"{PROGRAM} refuses the test's zone"
    content = (tmp_path / name).read_bytes()
    path = f"dns/{name}"
    bad = [fact for fact in facts(path, content, tmp_path) if isinstance(fact, Malformed)]
    assert not bad
    assert seen(path, content, tmp_path) == common(answer)
    assert edges(path, content, tmp_path) == edges(path, answer.encode(), tmp_path)


def corpus() -> list[Path]:
    return sorted((CORPUS / "dns-zone").glob("*"))


def test_real_zones_are_read_as_named_reads_them(tmp_path: Path) -> None:
    files = corpus()
    if not files:
        pytest.skip(MISSING)
    compared = 0
    for file in files:
        content = file.read_bytes()
        # The zone's own name is in named's configuration: give it in the file, unless the file knows better.
        zone, written = "sub.example.net", b"$ORIGIN sub.example.net.\n" + content
        if b"$ORIGIN example." in content:
            zone, written = "example", content
        (tmp_path / "zone").write_bytes(written)
        answer = compiled(zone, tmp_path, "zone")
        if answer is None:  # a file that is meant to be wrong, or one that includes another
            continue
        compared += 1
        expected = common(answer)
        found = seen("dns/zone.db", written, tmp_path)
        # A DNAME resolves as a CNAME does; the program's answer is read without it.
        assert {record for record in found if record in expected or record[1] != "CNAME"} == expected, file.name
    assert compared >= min(15, len(files) // 2)
