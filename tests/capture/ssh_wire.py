"""Keys and certificates of hosts, made by hand in the form of the wire (PROTOCOL.certkeys, PROTOCOL.u2f of OpenSSH)."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def strings(*parts: bytes) -> bytes:
    return b"".join(map(string, parts))


def number(value: int) -> bytes:
    """A multiple precision integer that is not negative."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


KEY = strings(b"ssh-ed25519", bytes(range(32)))
_AUTHORITY = ed25519.Ed25519PrivateKey.from_private_bytes(b"a" * 32)
CA = strings(b"ssh-ed25519", _AUTHORITY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _by_authority(signed: bytes) -> bytes:
    return strings(b"ssh-ed25519", _AUTHORITY.sign(signed))


def certificate(
    *,
    key: bytes = KEY,
    serial: int = 7,
    identity: bytes = b"web-01",
    names: bytes = b"web-01",
    authority: bytes = CA,
    sign: Callable[[bytes], bytes] = _by_authority,
) -> bytes:
    """A host's certificate for a key of Ed25519, of this hour."""
    now = int(time.time())
    signed = b"".join(
        (
            strings(b"ssh-ed25519-cert-v01@openssh.com", b"nonce"),
            key[4 + len(b"ssh-ed25519") :],
            struct.pack(">QI", serial, 2),
            strings(identity, string(names)),
            struct.pack(">QQ", now - 3600, now + 3600),
            strings(b"", b"", b"", authority),
        )
    )
    return signed + string(sign(signed))


def hardware_key(
    signer: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
    application: bytes = b"ssh:",
    *,
    flags: int = 1,
    counter: int = 5,
) -> tuple[bytes, Callable[[bytes], bytes]]:
    """A key as a FIDO token has it, without the token: its public half, and what signs with it."""
    tail = struct.pack(">BI", flags, counter)

    def whole(signed: bytes) -> bytes:
        return hashlib.sha256(application).digest() + tail + hashlib.sha256(signed).digest()

    if isinstance(signer, ed25519.Ed25519PrivateKey):
        kind = b"sk-ssh-ed25519@openssh.com"
        point = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return strings(kind, point, application), lambda signed: strings(kind, signer.sign(whole(signed))) + tail

    kind = b"sk-ecdsa-sha2-nistp256@openssh.com"
    point = signer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(signed: bytes) -> bytes:
        r, s = utils.decode_dss_signature(signer.sign(whole(signed), ec.ECDSA(SHA256())))
        return strings(kind, number(r) + number(s)) + tail

    return strings(kind, b"nistp256", point, application), sign
