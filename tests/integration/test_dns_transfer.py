"""Zone transfers with TSIG, and lookups in two views, from a real BIND (Debian's bind9) on loopback."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor.api import Dependency, Document, Entity, Kind, Malformed, Ref, Relation
from auditor.capture.dns_live import Question, collect_dns, questions_for
from auditor.capture.snapshot import Snapshot
from auditor.capture.tls_live import Endpoint, endpoints_for
from auditor.inventory import load_inventory
from auditor.model import Outcome
from collectors.dns_lookups import DnsLookupsCollector
from collectors.zone import ZoneCollector
from tests.integration.programs import PATIENCE, free_port, need, running

pytestmark = pytest.mark.integration

KEY = base64.b64encode(b"planted-key-of-32-bytes-for-tsig").decode()
OTHER = base64.b64encode(b"another-key-of-32-bytes-for-tsig").decode()

ZONE = r"""
$TTL 300
@ IN SOA ns hostmaster 7 3600 600 86400 300
@ IN NS ns
@ IN MX 10 mail
ns IN A 127.0.0.1
api IN A 10.20.4.17
api IN A 10.20.4.18
www IN CNAME api
txt IN TXT "a \"quoted\" text; with a semicolon" "second"
*.wild IN A 10.20.4.20
child IN NS ns.child
ns.child IN A 127.0.0.9
"""


@dataclass(frozen=True)
class Declared:
    server: str
    zones: tuple[str, ...] = ()
    tsig_name: str | None = None
    token_env: str | None = None
    token_command: tuple[str, ...] | None = None
    ca: str | None = None


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = need("named")
    home = tmp_path_factory.mktemp("bind")
    number = free_port()
    (home / "zone").write_text(ZONE)
    (home / "inside").write_text(ZONE.replace("10.20.4.", "192.0.2."))
    (home / "named.conf").write_text(
        f"""
key "mover." {{ algorithm hmac-sha256; secret "{KEY}"; }};
key "inside." {{ algorithm hmac-sha512; secret "{OTHER}"; }};
options {{
  directory "{home}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
  listen-on port {number} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
}};
controls {{ }};
view inside {{
  match-clients {{ key "inside."; }};
  zone "example.net" {{ type primary; file "inside"; allow-transfer {{ key "inside."; }}; }};
}};
view outside {{
  match-clients {{ any; }};
  zone "example.net" {{ type primary; file "zone"; allow-transfer {{ key "mover."; }}; }};
}};
"""
    )
    log = home / "log"
    with running([program, "-g", "-c", home / "named.conf"], log, lambda: b" running\n" in log.read_bytes()):
        yield number


@pytest.fixture
def into(tmp_path: Path) -> Snapshot:
    inventory = b"version: 1\n"
    return Snapshot.open(tmp_path / "s", inventory=inventory, started_at="2026-01-01T00:00:00Z", resume=False)


def test_a_zone_with_its_key(port: int, into: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    source = Declared(f"127.0.0.1:{port}", ("example.net",), "mover", "PLANTED")
    assert collect_dns("main", source, into).unseen == 0
    content = (into.root / "dns/main/example.net.zone").read_bytes()
    assert content.count(b" SOA ") == 1
    items = list(ZoneCollector().parse(Document("dns/main/example.net.zone", content)))
    assert not [item for item in items if isinstance(item, Malformed)]
    edges = {(d.consumer.text, d.provider.text) for d in items if isinstance(d, Dependency)}
    assert {("api.example.net", "10.20.4.17"), ("www.example.net", "api.example.net")} <= edges
    assert ("*.wild.example.net", "10.20.4.20") in edges
    texts = {item.ref.text for item in items if isinstance(item, Entity) and item.ref.kind is Kind.RECORD}
    assert "example.net MX 10 mail.example.net" in texts
    assert any('a "quoted" text; with a semicolon' in text for text in texts)
    checker = need("named-checkzone")
    file = str(into.root / "dns/main/example.net.zone")
    done = subprocess.run(
        [checker, "-i", "none", "example.net", file], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("key", "name", "zone", "outcome", "words"),
    [
        ("", None, "example.net", Outcome.DENIED, "REFUSED"),
        (OTHER, "mover", "example.net", Outcome.DENIED, "TSIG"),
        (KEY, "unknown", "example.net", Outcome.DENIED, "TSIG"),
        ("not base64!", "mover", "example.net", Outcome.DENIED, "base64"),
        ("", "mover", "example.net", Outcome.DENIED, "not set"),
        (KEY, "mover", "example.org", Outcome.DENIED, "refused"),
    ],
)
def test_refusals(
    port: int,
    into: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    name: str | None,
    zone: str,
    outcome: Outcome,
    words: str,
) -> None:
    monkeypatch.setenv("PLANTED", key.replace(" ", ""))
    source = Declared(f"127.0.0.1:{port}", (zone,), name, "PLANTED" if name else None)
    result = collect_dns("main", source, into)
    assert into.outcomes == {f"dns/main/{zone}.zone": outcome}
    assert words in result.detail
    assert key == "" or key not in (into.root / "captures.jsonl").read_text()
    assert not list((into.root).rglob("*.zone"))


def test_nobody_listens(into: Snapshot) -> None:
    collect_dns("main", Declared("127.0.0.1:1", ("example.net",)), into, [Question("a.example.net", "A")], patience=0.2)
    assert set(into.outcomes.values()) == {Outcome.UNREACHABLE}


def test_views_answer_differently(port: int, into: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", f"hmac-sha512:{OTHER}")
    (into.root / "etc").mkdir()
    (into.root / "etc/x.conf").write_text("a http://www.EXAMPLE.net/x; nothing.example.net, x.example.net.org\n")
    (into.root / "i.yaml").write_text("version: 1\ndomains: [example.net]\nhosts: [{name: api.example.net}]\n")
    asked, cut = questions_for(load_inventory(into.root / "i.yaml"), [into.root])
    assert cut == ""
    assert {one.name for one in asked} == {"api.example.net", "example.net", "www.example.net", "nothing.example.net"}
    server = f"127.0.0.1:{port}"
    assert collect_dns("outside", Declared(server), into, asked, patience=PATIENCE).unseen == 0
    private = Declared(server, (), "inside", "PLANTED")
    assert collect_dns("inside", private, into, asked, patience=PATIENCE).unseen == 0
    seen = {}
    for name in ("outside", "inside"):
        content = (into.root / f"lookups/{name}.jsonl").read_bytes()
        path = f"lookups/{name}.jsonl"
        assert DnsLookupsCollector().recognizes(path, content)
        items = list(DnsLookupsCollector().parse(Document(path, content)))
        assert not [item for item in items if isinstance(item, Malformed)]
        seen[name] = {
            (d.consumer.text, d.provider.text)
            for d in items
            if isinstance(d, Dependency) and d.relation is Relation.RESOLVES
        }
        nothing = next(
            item for item in items if isinstance(item, Entity) and item.ref == Ref(Kind.NAME, "nothing.example.net")
        )
        assert nothing.attributes["no_answer"] == f"NXDOMAIN from {name}"
    assert ("www.example.net", "api.example.net") in seen["outside"] & seen["inside"]
    assert ("api.example.net", "10.20.4.17") in seen["outside"] - seen["inside"]
    assert ("api.example.net", "192.0.2.17") in seen["inside"] - seen["outside"]


def test_a_server_that_refers_to_another_has_not_said_that_there_is_nothing(port: int, into: Snapshot) -> None:
    asked = [
        Question("x.child.example.net", "A"),
        Question("api.example.net", "A"),
        Question("api.example.net", "AAAA"),
    ]
    result = collect_dns("outside", Declared(f"127.0.0.1:{port}"), into, asked, patience=PATIENCE)
    assert result.unseen == 1
    assert into.outcomes["lookups/outside.jsonl"] is Outcome.PARTIAL
    assert result.detail.endswith("1 of 3 questions were not answered: REFERRAL")
    content = (into.root / "lookups/outside.jsonl").read_bytes()
    items = list(DnsLookupsCollector().parse(Document("lookups/outside.jsonl", content)))
    assert {item.ref.text for item in items if isinstance(item, Entity)} == {"api.example.net"}


def test_names_are_looked_for_in_so_many_files(
    port: int, into: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.capture.texts.MAX_FILES", 3)
    (tmp_path / "i.yaml").write_text("version: 1\ndomains: [example.net]\n")
    for number in range(3):
        (tmp_path / f"f{number}").write_text(f"n{number}.example.net\n")
    inventory = load_inventory(tmp_path / "i.yaml")
    asked, cut = questions_for(inventory, [tmp_path])
    assert cut == f"names were looked for in the first 3 files of {tmp_path} alone"
    endpoints, cut_too = endpoints_for(inventory, ["api.example.net"], [tmp_path], discover=True)
    assert (endpoints, cut_too) == ([Endpoint("api.example.net", 443)], cut)
    asked = [Question("api.example.net", "A")]
    result = collect_dns("main", Declared(f"127.0.0.1:{port}"), into, asked, cut=cut, patience=PATIENCE)
    assert (into.outcomes["lookups/main.jsonl"], result.unseen) == (Outcome.PARTIAL, 1)
