"""X.509, certbot and shell collectors: made certificates, and any bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Kind, Malformed, Parsed, Relation
from collectors.certbot import CertbotCollector
from collectors.key_pins import KeyPinsCollector
from collectors.key_stores import KeyStoresCollector
from collectors.shell import ShellCollector
from collectors.x509 import X509Collector
from tests.realfiles import CORPUS, MISSING

START = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def make(
    name: str, sans: list[x509.GeneralName], *, ca: bool = False, issuer: str = "Example CA", serial: int = 255
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return builder.sign(KEY, hashes.SHA256())


LEAF = make("x", [x509.DNSName("*.Eventide.net"), x509.IPAddress(ip_address("2001:db8::0:1"))])
CA = make("Example CA", [], ca=True)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def parse(content: bytes, path: str = "/etc/ssl/a.pem") -> list[Parsed]:
    assert X509Collector().recognizes(path, content[:4096])
    return list(X509Collector().parse(Document(path, content)))


def test_a_leaf_and_its_chain() -> None:
    leaf, stored, chain = parse(pem(LEAF) + pem(CA))
    assert isinstance(leaf, Entity)
    assert isinstance(stored, Dependency)
    assert isinstance(chain, Entity)
    assert leaf.ref.text == "sha256:" + sha256(der(LEAF)).hexdigest()
    assert dict(leaf.attributes) == {
        "subject": "CN=x",
        "issuer": "CN=Example CA",
        "serial": "ff",
        "not_before": "2026-06-01T00:00:00+00:00",
        "not_after": "2026-08-30T00:00:00+00:00",
        "sans": ("*.eventide.net", "2001:db8::1"),
        "key_id": sha256(SPKI).hexdigest(),
        "is_ca": False,
        "self_signed": False,
        "wildcard": True,
        "position": "leaf",
    }
    assert (stored.consumer, stored.relation, stored.provider.text) == (leaf.ref, Relation.STORED_AT, "/etc/ssl/a.pem")
    assert chain.attributes["is_ca"] is True
    assert chain.attributes["position"] == "chain"
    assert chain.where.line == pem(LEAF).count(b"\n") + 1


def test_der() -> None:
    leaf, stored = parse(der(LEAF), "/etc/ssl/a.der")
    assert leaf.where.line == 0
    assert isinstance(stored, Dependency)


def test_one_corrupt_block() -> None:
    other = pem(make("www.example.net", []))
    broken = pem(LEAF).replace(pem(LEAF).split(b"\n")[3], b"!!!! not base64")
    bad_der = b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
    facts = parse(broken + bad_der + other + b"-----BEGIN CERTIFICATE-----\nMIIB")
    lines = broken.count(b"\n")
    assert [f.where.line for f in facts if isinstance(f, Malformed)] == [1, lines + 1, lines + 4 + other.count(b"\n")]
    (entity,) = [f for f in facts if isinstance(f, Entity)]
    assert entity.attributes["sans"] == ("www.example.net",)


def test_private_keys_are_skipped() -> None:
    key = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    facts = parse(key + pem(LEAF))
    assert len([f for f in facts if isinstance(f, Entity)]) == 1
    assert not [f for f in facts if isinstance(f, Malformed)]
    body = key.split(b"\n")[1].decode()
    assert body not in repr(facts)


def test_a_trust_store_is_one_node() -> None:
    store = b"".join(pem(make(f"Root {number}", [], ca=True, issuer=f"Root {number}")) for number in range(1, 23))
    (only,) = parse(store, "/etc/ssl/certs/ca-certificates.crt")
    assert isinstance(only, Entity)
    assert only.ref.kind is Kind.PATH
    assert only.attributes["count"] == 22


@pytest.mark.parametrize("serial", [b"\x02\x01\x00", b"\x02\x01\x81"])
def test_zero_and_negative_serials(serial: bytes) -> None:
    """RFC 5280 forbids them, and old internal CAs have them."""
    content = der(make("x", [], serial=1)).replace(b"\x02\x01\x01", serial, 1)
    assert any(isinstance(f, Entity | Malformed) for f in parse(content, "/x.der"))


COLLECTORS: list[tuple[Collector, str]] = [
    (X509Collector(), "/x.pem"),
    (ShellCollector(), "/x.sh"),
    (CertbotCollector(), "/etc/letsencrypt/renewal/x.conf"),
    (CertbotCollector(), "/etc/letsencrypt/cli.ini"),
    (KeyPinsCollector(), "/etc/app/pins.conf"),
    (KeyStoresCollector(), "/etc/tomcat10/server.xml"),
]
_PIECES = st.sampled_from(
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
        b"[renewalparams]\n",
        b"[[webroot_map]]\n",
        b"cert = ",
        b"authenticator = webroot\n",
        b"renew_hook = ",
        b"'''",
        b'"',
        b"=",
        b"\n",
        b"a, b",
        b"[",
        b"]",
        b"%(x)s",
        pem(LEAF),
        der(LEAF)[:100],
        b"dns_rfc2136_server = ",
        b"#!/bin/sh\n",
        b"sha256//" + b"A" * 43 + b"=",
        b"ab:" * 31 + b"ab",
        b"keystore=/x/y.jks",
        b"trustStore {{ x }} '/x.p12'",
        b"\xff\xfe",
        b"\x00",
    ]
)


@pytest.mark.parametrize(("collector", "path"), COLLECTORS, ids=lambda value: str(value)[:40])
@given(content=st.binary(max_size=300) | st.lists(_PIECES, max_size=20).map(b"".join))
@settings(max_examples=150)
def test_any_bytes(collector: Collector, path: str, content: bytes) -> None:
    collector.recognizes(path, content)
    facts = list(collector.parse(Document(path, content)))
    fragments = [Fragment(f.kind, f.value, f.where, "h", path) for f in facts if isinstance(f, Fragment)]
    facts += list(collector.combine(fragments, lambda _: None))
    assert all(isinstance(f, Entity | Dependency | Malformed | Fragment) for f in facts)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=MISSING)
@pytest.mark.parametrize("kind", ["certbot-renewal", "renewal-hooks", "cron", "infra-trees"])
def test_real_files(kind: str) -> None:
    seen = 0
    for file in sorted((CORPUS / kind).rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        for collector in (ShellCollector(), CertbotCollector(), X509Collector()):
            path = str(file.relative_to(CORPUS)).replace("__", "/")
            if collector.recognizes(path, content[:4096]):
                seen += len(list(collector.parse(Document(path, content))))
    assert seen or kind == "cron"
