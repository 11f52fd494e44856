"""Makes the certificates of the sample estates, by a CA that exists only while this runs.

Names, serial numbers and times are fixed; the keys are new each time and are thrown away, so that no private key ever
lies in the repository. The zones' TLSA records are made to fit the new keys.

Run it from anywhere: `python sample_inventories/make_certificates.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE: Final = Path(__file__).resolve().parent
BEFORE: Final = HERE / "eventide"
AFTER: Final = HERE / "eventide-after"
WILDCARD: Final = ("*.eventide.net", "eventide.net")
_TLSA: Final = re.compile(r"(?m)^(_443\._tcp\.api\s+IN TLSA\s+3 1 1 )[0-9a-f]{64}$")


class Signed(NamedTuple):
    """A certificate with the key that signs for it, which is never written."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_digest(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, as in `TLSA 3 1 1` (RFC 6698)."""
        key = self.certificate.public_key()
        return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Eventide Logistics (sample)"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _authority(common_name: str, serial: int, start: str, end: str, issuer: Signed | None = None) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = issuer.key if issuer else key
    issuer_name = issuer.certificate.subject if issuer else _name(common_name)
    certificate = (
        _builder(_name(common_name), issuer_name, key, signer, serial, start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(signer, SHA256())
    )
    return Signed(certificate, key)


def _leaf(issuer: Signed, names: tuple[str, ...], serial: int, start: str, end: str) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(names[0]), issuer.certificate.subject, key, issuer.key, serial, start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(issuer.key, SHA256())
    )
    return Signed(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    serial: int,
    start: str,
    end: str,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_time(start))
        .not_valid_after(_time(end))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, *parts: Signed) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(part.pem for part in parts))


def _lineage(host: Path, number: int, leaf: Signed, chain: Signed) -> None:
    """The files of one renewal as certbot writes them, without the key: archive/, and the links in live/."""
    archive = host / "etc/letsencrypt/archive/eventide.net"
    live = host / "etc/letsencrypt/live/eventide.net"
    live.mkdir(parents=True, exist_ok=True)
    for name, parts in (("cert", (leaf,)), ("chain", (chain,)), ("fullchain", (leaf, chain))):
        _write(archive / f"{name}{number}.pem", *parts)
        link = live / f"{name}.pem"
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../archive/eventide.net/{name}{number}.pem")


def _pin(zone: Path, leaf: Signed) -> None:
    text, count = _TLSA.subn(rf"\g<1>{leaf.key_digest}", zone.read_text())
    if count != 1:
        raise SystemExit(f"{zone}: expected one TLSA record of api, found {count}")
    zone.write_text(text)


def main() -> None:
    """Writes all certificates of both estates."""
    root = _authority("Eventide test CA", 0x4E1, "2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z")
    issuing = _authority("Eventide test CA G1", 0x4E2, "2021-01-01T00:00:00Z", "2036-01-01T00:00:00Z", root)
    second = _leaf(issuing, WILDCARD, 0x5A02, "2023-12-20T03:17:00Z", "2024-12-20T22:00:00Z")
    third = _leaf(issuing, WILDCARD, 0x5A03, "2024-11-20T22:00:00Z", "2025-11-22T22:00:00Z")
    fourth = _leaf(issuing, WILDCARD, 0x5A04, "2025-11-22T19:31:00Z", "2026-11-22T22:00:00Z")
    own = _leaf(
        issuing,
        ("legacy-cert-01.eventide.net", "acme-hook.eventide.net"),
        0x6B01,
        "2025-03-02T00:00:00Z",
        "2027-03-02T00:00:00Z",
    )

    legacy = BEFORE / "hosts/legacy-cert-01.eventide.net"
    _lineage(legacy, 2, second, issuing)
    _lineage(legacy, 3, third, issuing)
    _write(legacy / "etc/ssl/acme-hook/fullchain.pem", own, issuing)
    _write(BEFORE / "hosts/api[001:340].eventide.net/etc/ssl/eventide/fullchain.pem", third, issuing)
    _pin(BEFORE / "dns/eventide.net.zone", third)

    core = AFTER / "hosts/cert-core-01.eventide.net"
    _lineage(core, 1, fourth, issuing)
    _write(AFTER / "hosts/api[001:340].eventide.net/etc/ssl/eventide/fullchain.pem", fourth, issuing)
    _pin(AFTER / "dns/eventide.net.zone", fourth)


if __name__ == "__main__":
    main()
