"""Whatever the bytes, collectors of renewals yield facts or Malformed, show no secret, and take their time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Kind, Malformed, Parsed
from collectors.acme.acme_sh import AcmeShCollector
from collectors.acme.caddy import CaddyCollector
from collectors.acme.cert_manager import CertManagerCollector
from collectors.acme.certmonger import CertmongerCollector
from collectors.acme.dehydrated import DehydratedCollector
from collectors.acme.getssl import GetsslCollector
from collectors.acme.lego import LegoCollector
from collectors.acme.lineages import read_settings
from collectors.acme.traefik import TraefikCollector
from collectors.acme.win_acme import WinAcmeCollector
from collectors.certbot import CertbotCollector
from tests.realfiles import CORPUS, MISSING

HERE = Path(__file__).parent

PATHS: dict[type[Collector], tuple[str, ...]] = {
    AcmeShCollector: ("/root/.acme.sh/a.example.org/a.example.org.conf", "/root/.acme.sh/account.conf"),
    CaddyCollector: ("/etc/caddy/Caddyfile", "/var/lib/caddy/certificates/ca/a.example.org/a.example.org.json"),
    CertManagerCollector: ("k8s/a.yaml", "charts/a.yaml.tpl"),
    CertbotCollector: (
        "/etc/letsencrypt/renewal/a.example.org.conf",
        "/etc/letsencrypt/cli.ini",
        "/etc/letsencrypt/accounts/ca/0123456789abcdef0123456789abcdef/regr.json",
    ),
    CertmongerCollector: ("/var/lib/certmonger/requests/1", "/var/lib/certmonger/cas/1"),
    DehydratedCollector: ("/etc/dehydrated/config", "/etc/dehydrated/domains.txt", "/etc/dehydrated/conf.d/a.sh"),
    GetsslCollector: ("/root/.getssl/a.example.org/getssl.cfg", "/root/.getssl/getssl.cfg"),
    LegoCollector: ("/etc/lego/.lego.yml", "/root/.lego/certificates/a.example.org.json"),
    TraefikCollector: ("/etc/traefik/traefik.yml", "/etc/traefik/traefik.toml", "/etc/traefik/acme.json"),
    WinAcmeCollector: ("/x/a.renewal.json", "/x/settings.json"),
}
PLACES = [(collector, path) for collector, paths in PATHS.items() for path in paths]
PIECES = st.sampled_from(
    [
        "Le_Domain=",
        "Le_Webroot='",
        "SAVED_X_HOST=",
        "BASEDIR=",
        "ACL=(",
        ")",
        "'",
        '"',
        "$",
        "${",
        "}",
        "`",
        "\\",
        "#",
        "A+=",
        "=",
        "\n",
        " ",
        "\t",
        "{",
        "[",
        "]",
        ":",
        ",",
        "- ",
        "certificatesResolvers",
        "certificates:",
        "acme:",
        "domains:",
        "a.example.org",
        "*.example.org",
        "10.0.0.1:53",
        "https://h.example.org/x",
        "ssh:web02:/x",
        ">",
        "reverse_proxy",
        "import",
        "(snippet)",
        "{args[0]}",
        "<<EOT\n",
        "tls",
        "[renewalparams]",
        "[[webroot_map]]",
        "apiVersion: cert-manager.io/v1\n",
        "kind: Issuer\n",
        "kind: Certificate\n",
        "metadata:",
        "spec:",
        "name: a",
        "ca_external_helper=",
        "cert_storage_location=",
        "id=",
        "\x00",
        "\u2028",
        "&a ",
        "*a",
        "<<: ",
        "[http.routers.x]",
        '"Certificates"',
        '"domain"',
        "History",
        "null",
        "true",
        "__ACME_BASE64__START_",
        "_ACME_BASE64__END_",
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def run(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    found = list(collector.parse(Document(path, content)))
    fragments = [Fragment(f.kind, f.value, f.where, "host", path) for f in found if isinstance(f, Fragment)]
    assert all(hash(one.value) is not None for one in fragments)
    if fragments:
        found += list(collector.combine(fragments, {path: content}.get))
    return found


@pytest.mark.parametrize(("collector", "path"), PLACES, ids=[f"{c.name}-{Path(p).name}" for c, p in PLACES])
@settings(max_examples=40)
@given(data=st.one_of(st.binary(max_size=300), TEXTS.map(lambda text: text.encode("utf-8", "replace"))))
@example(data=b"")
@example(data=b"\xff\xfe\x00")
@example(data=b"{" * 5000)
@example(data=b"A=$A$A\n" * 300)
def test_any_bytes(collector: type[Collector], path: str, data: bytes) -> None:
    one = collector()
    one.recognizes(path, data[:4096])
    for fact in run(one, path, data):
        assert isinstance(fact, Entity | Dependency | Malformed | Fragment)
        assert fact.where.line <= data.count(b"\n") + data.count(b"\r") + 2
        if isinstance(fact, Dependency):
            assert "\n" not in fact.consumer.text


def test_no_secret_is_shown() -> None:
    """The cases hold secrets of every kind; all of them are called so that they can be found again."""
    looked = 0
    for raw in HERE.glob("acme.*/*.raw"):
        content = raw.read_bytes()
        for collector, path in PLACES:
            if not collector.__module__.endswith(raw.parent.name):
                continue
            for fact in run(collector(), path, content):
                shown = repr(fact) if not isinstance(fact, Fragment) else fact.where.excerpt
                assert not any(word in shown for word in ("not-shown", "hunter22", "p4ssw0rd", "pfx-secret")), shown
                looked += 1
    assert looked > 100


@pytest.mark.parametrize("kind", ["acme.sh", "certmonger", "dehydrated", "lego", "certbot-renewal", "kubernetes"])
def test_corpus(kind: str) -> None:
    directory = CORPUS / kind
    if not directory.is_dir():
        pytest.skip(MISSING)
    for file in sorted(one for one in directory.rglob("*") if one.is_file()):
        content = file.read_bytes()
        for collector, path in PLACES:
            before = time.process_time()
            for fact in run(collector(), path, content):
                if isinstance(fact, Malformed):
                    assert fact.where.line or fact.whole or "required file" in fact.reason or "section" in fact.reason
            assert time.process_time() - before < 2, (file, collector)


def test_what_the_corpus_holds() -> None:
    """Files that the programs themselves wrote are read: none is malformed, each has its lineages."""
    if not (CORPUS / "acme.sh").is_dir():
        pytest.skip(MISSING)
    expected = {
        ("acme.sh/www.example.com.conf", AcmeShCollector, "/h/www.example.com/www.example.com.conf"): 1,
        ("acme.sh/wild.example.org_ecc.conf", AcmeShCollector, "/h/example.org_ecc/example.org.conf"): 1,
        ("certmonger/20261123071201", CertmongerCollector, "/var/lib/certmonger/requests/20261123071201"): 1,
        ("certmonger/20261123071202", CertmongerCollector, "/var/lib/certmonger/requests/20261123071202"): 1,
        ("lego/lego__cmd__internal__configuration__testdata__simple.yml", LegoCollector, "/l/.lego.yml"): 1,
        ("dehydrated/dehydrated__docs__examples__domains.txt", DehydratedCollector, "/etc/dehydrated/domains.txt"): 8,
    }
    for (name, collector, path), count in expected.items():
        content = (CORPUS / name).read_bytes()
        assert collector().recognizes(path, content[:4096]), name
        facts = run(collector(), path, content)
        assert not [fact for fact in facts if isinstance(fact, Malformed)], name
        found = {fact.ref for fact in facts if isinstance(fact, Entity) and fact.ref.kind is Kind.LINEAGE}
        assert len(found) == count, (name, found)


def test_settings_are_read_and_never_run() -> None:
    text = (
        "A=x\n"
        "B='it''s'\n"
        'C="$A/y" # comment\n'
        "export E=${Q:-default}\n"
        "F=(a \"b c\" # comment\n 'd')\n"
        "F+=(e)\n"
        "G=$(touch /tmp/never)\n"
        "I='two\nlines'\n"
        "J=$UNSET/x\n"
    )
    found = {one.name: one for one in read_settings(text)}
    assert found["B"].value == "its"
    assert found["C"].value == "x/y"
    assert found["E"].value == "default"
    assert found["F"].words == ("a", "b c", "d", "e")
    assert not found["G"].known
    assert found["G"].value == ""
    assert (found["I"].value, found["I"].line) == ("two\nlines", 9)
    assert not found["J"].known


def test_values_do_not_explode() -> None:
    bomb = "A=" + "x" * 60_000 + "\nB=(" + "$A " * 100_000 + ")\n" + "".join(f"C{n}=$A\n" for n in range(9000))
    before = time.process_time()
    found = read_settings(bomb)
    assert sum(len(one.value) for one in found) < 32 << 20
    assert time.process_time() - before < 2
