"""X.509 certificates in files: PEM, DER and bundles (RFC 5280, RFC 7468). Private keys are skipped unread."""

from __future__ import annotations

import binascii
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

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
    is_hostname,
    normal_address,
    normal_name,
)

if TYPE_CHECKING:
    from cryptography import x509

_SUFFIXES: Final = (".pem", ".crt", ".cer", ".der", ".cert")
_SIZE_LIMIT: Final = 4 << 20
_BLOCK_LIMIT: Final = 5_000
_MALFORMED_LIMIT: Final = 20
_TRUST_STORE: Final = 20
"""More CA certificates than this in one file are a trust store, which nothing of ours depends on."""
_LABELS: Final = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,64})-----\s*")
_NO_WHERE: Final = Where(0)


class _Block(NamedTuple):
    label: bytes
    line: int
    body: bytes
    closed: bool


class Certificate(NamedTuple):
    """One certificate: its identity, the line it begins on (0 in DER), and what it says."""

    ref: Ref
    line: int
    attributes: dict[str, Attribute]
    is_ca: bool
    is_leaf: bool


class X509Collector(Collector):
    """Certificates as CERTIFICATE `sha256:<hex of the DER>`, with names, validity, issuer and key.

    The first certificate of a bundle that is no CA's (or is self-signed for names) is its `leaf`, STORED_AT the file;
    the others are the `chain`. More than 20 CA certificates are a trust store: one PATH entity with their `count`. If a
    certificate has no subjectAltName, its common name counts as one, as old clients do.

    Reads
    -----
    Certificates in PEM and DER form and in bundles, by suffix and by content.

    Yields
    ------
    A certificate by its fingerprint, with names, validity, issuer and key, and the files that hold it.

    Can't see
    ---------
    PKCS#12 and Java key stores, and what a server really serves. Private keys are skipped unread.
    """

    name: ClassVar[str] = "x509"
    title: ClassVar[str] = "X.509 certificates"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.STORED_AT})

    def recognizes(self, path: str, head: bytes) -> bool:
        """A file that starts with a certificate, or has a certificate's suffix and PEM or DER in its head."""
        if head.lstrip()[:64].startswith(
            (b"-----BEGIN CERTIFICATE", b"-----BEGIN TRUSTED CERT", b"-----BEGIN X509 CERT")
        ):
            return True
        if not path.lower().endswith(_SUFFIXES):
            return False
        return b"-----BEGIN " in head or head[:1] == b"\x30"

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The certificates of a file; a corrupt one is Malformed, and the others are used."""
        content = document.content
        if len(content) > _SIZE_LIMIT:
            yield Malformed(_NO_WHERE, f"larger than {_SIZE_LIMIT >> 20} MiB", "not read", whole=True)
            return
        if content[:1] == b"\x30" and b"-----BEGIN " not in content[:4096]:
            found = read_certificate(content, 0)
            if isinstance(found, str):
                yield Malformed(_NO_WHERE, found, "not read", whole=True)
            else:
                yield from _facts([found], document.path)
            return
        certificates: list[Certificate] = []
        problems = 0
        for number, block in enumerate(_blocks(content)):
            if number >= _BLOCK_LIMIT:
                yield Malformed(Where(block.line), f"more than {_BLOCK_LIMIT} PEM blocks", "the rest is not read")
                break
            if block.label not in _LABELS:
                continue
            found = _pem(block)
            if isinstance(found, Certificate):
                certificates.append(found)
            elif problems < _MALFORMED_LIMIT:
                problems += 1
                where = Where(block.line, f"-----BEGIN {block.label.decode('ascii')}-----")
                yield Malformed(where, found, "programs that load the whole file reject it")
        yield from _facts(certificates, document.path)


def _blocks(content: bytes) -> Iterator[_Block]:
    """PEM blocks with the line of their BEGIN. A block ends at any END line, or where the next begins."""
    label, start, body = b"", 0, list[bytes]()
    for number, line in enumerate(content.split(b"\n"), 1):
        bare = line.strip()
        begin = _BEGIN.fullmatch(bare) if bare.startswith(b"-----BEGIN") else None
        if begin is not None:
            if label:
                yield _Block(label, start, b"".join(body), closed=False)
            label, start, body = begin[1], number, []
        elif bare.startswith(b"-----END"):
            if label:
                yield _Block(label, start, b"".join(body), closed=bare == b"-----END " + label + b"-----")
            label, body = b"", []
        elif label in _LABELS:
            body.append(bare)
    if label:
        yield _Block(label, start, b"".join(body), closed=False)


def _pem(block: _Block) -> Certificate | str:
    if not block.closed:
        return "a certificate without its END line"
    try:
        der = binascii.a2b_base64(block.body, strict_mode=True)
    except (binascii.Error, ValueError):
        return "a certificate that is not base64"
    if block.label == b"TRUSTED CERTIFICATE":
        # OpenSSL's own form: trust settings follow the certificate.
        der = der[: _length(der)]
    return read_certificate(der, block.line)


def _length(der: bytes) -> int:
    """The bytes of the first DER value (X.690, 8.1.3)."""
    if len(der) < 2 or der[1] < 0x80:
        return 2 + der[1] if len(der) > 1 else 0
    octets = der[1] & 0x7F
    return 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")


def read_certificate(der: bytes, line: int) -> Certificate | str:
    """A certificate in DER form; or why it can't be read."""
    known = _attributes(der)
    if isinstance(known, str):
        return known
    attributes = dict(known)
    is_ca = bool(attributes["is_ca"])
    leaf = not is_ca or (bool(attributes["self_signed"]) and bool(attributes["sans"]))
    ref = Ref(Kind.CERTIFICATE, f"sha256:{sha256(der).hexdigest()}")
    return Certificate(ref, line, attributes, is_ca, leaf)


def _facts(certificates: list[Certificate], path: str) -> Iterator[Parsed]:
    if sum(c.is_ca for c in certificates) > _TRUST_STORE:
        ref = Ref(Kind.PATH, path)
        yield Entity(ref, Where(certificates[0].line), {"trust_store": True, "count": len(certificates)})
        return
    first = next((c for c in certificates if c.is_leaf), certificates[0] if len(certificates) == 1 else None)
    for certificate in certificates:
        excerpted = "-----BEGIN CERTIFICATE-----" if certificate.line else ""
        where = Where(certificate.line, excerpt(excerpted))
        position = "leaf" if certificate is first and certificate.is_leaf else "chain"
        yield Entity(certificate.ref, where, {**certificate.attributes, "position": position})
        if certificate is first:
            yield Dependency(certificate.ref, Ref(Kind.PATH, path), Relation.STORED_AT, where, group="files")


@lru_cache(maxsize=4096)
def _attributes(der: bytes) -> dict[str, Attribute] | str:
    """What a certificate says; or why it can't be read. The same chain stands in many files: remembered."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    # The library raises many kinds for hostile DER, ValueError and its own Rust parser's errors among them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            certificate = x509.load_der_x509_certificate(der)
            before, after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            subject, issuer = _name(certificate.subject), _name(certificate.issuer)
            serial = certificate.serial_number
            same = certificate.subject == certificate.issuer
        except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError) as error:
            return f"a certificate that can't be read: {excerpt(str(error)) or type(error).__name__}"
        try:
            spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            key_id = sha256(spki).hexdigest()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key_id = ""
        try:
            extensions: x509.Extensions | None = certificate.extensions
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            extensions = None
        try:
            sans = _sans(extensions)
            is_ca = _is_ca(extensions)
            if not sans:
                sans = tuple(
                    normal_name(str(a.value))
                    for a in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
                    if is_hostname(str(a.value)) and "." in str(a.value)
                )
        except (ValueError, TypeError):
            sans, is_ca = (), False
    found: dict[str, Attribute] = {
        "subject": subject,
        "issuer": issuer,
        "serial": f"{serial:x}",
        "not_before": _time(before),
        "not_after": _time(after),
        "sans": sans,
        "is_ca": is_ca,
        "self_signed": same,
        "wildcard": any(s.startswith("*.") for s in sans),
    }
    if key_id:
        found["key_id"] = key_id
    return found


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _name(name: x509.Name) -> str:
    return excerpt(name.rfc4514_string())


def _sans(extensions: x509.Extensions | None) -> tuple[str, ...]:
    """DNS names and addresses of subjectAltName, normalised; other kinds of names name no host."""
    from cryptography import x509

    if extensions is None:
        return ()
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [normal_name(d) for d in names.get_values_for_type(x509.DNSName) if is_hostname(d)]
    found += [normal_address(str(a)) or str(a) for a in names.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys(found))


def _is_ca(extensions: x509.Extensions | None) -> bool:
    from cryptography import x509

    if extensions is None:
        return False
    try:
        return bool(extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False
