"""Public keys and certificates of SSH in the form of the wire, and the signatures of authorities.

RFC 4251, 5; RFC 4253, 6.6; PROTOCOL.certkeys and PROTOCOL.u2f of OpenSSH. A certificate is taken as ssh takes it. Of
the names in it OpenSSH 10.3's reading holds: they may be patterns, and a certificate without any is for no host (until
then it was for all).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from auditor.capture.sources import glob_fits
from auditor.text import printable

CERTIFICATE: Final = "-cert-v01@openssh.com"
"""What the name of a kind of key ends with if it is a certificate."""
IN_HARDWARE: Final = frozenset({"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"})
"""Kinds of keys that are in a FIDO token: an authority's may be, that of a host which is asked may not."""
FIELDS: Final = {
    "ssh-ed25519": 1, "ssh-rsa": 2, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}  # fmt: skip
"""How many strings the public key of a kind is."""
_HOST: Final = 2
_MAX_NUMBER: Final = 2048
_SIGNED_WITH: Final = frozenset({*FIELDS, "rsa-sha2-256", "rsa-sha2-512"} - {"ssh-rsa"})
"""ssh_config(5), CASignatureAlgorithms: all but SHA-1."""


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def kind_of(blob: bytes) -> str:
    """The name that a key, certificate or signature begins with; of what is none, what can be read of it."""
    return printable(blob[4 : 4 + min(int.from_bytes(blob[:4], "big"), 100)].decode("utf-8", "replace"))


def plain_key(blob: bytes) -> bytes:
    """A key without its certificate. Raises ValueError for a certificate that can't be read."""
    return Certificate.read(blob).key if kind_of(blob).endswith(CERTIFICATE) else blob


class Wire:
    """Fields in SSH's form (RFC 4251, 5), one after the other. Raises ValueError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> bytes:
        return self._take(self.number(4))

    def text(self) -> bytes:
        """A string that C can hold: OpenSSH allows a zero byte at its end alone, and leaves that out."""
        found = self.string().removesuffix(b"\0")
        if b"\0" in found:
            raise ValueError("a text has a zero byte in it")
        return found

    def natural(self) -> int:
        """A multiple precision integer, as large as OpenSSH takes one. Raises ValueError for a negative one, too."""
        found = self.string()
        if found[:1] > b"\x7f":
            raise ValueError("a number is negative")
        if len(found.lstrip(b"\0")) > _MAX_NUMBER or len(found) > _MAX_NUMBER + 1:
            raise ValueError(f"a number has more than {_MAX_NUMBER:,} bytes")
        return int.from_bytes(found, "big")

    @property
    def left(self) -> bool:
        return self.at < len(self.data)

    def strings(self) -> Iterator[bytes]:
        while self.left:
            yield self.string()

    def _take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise ValueError("it is cut off")
        self.at += size
        return piece


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of OpenSSH (PROTOCOL.certkeys), read and not yet verified. Times are in seconds since 1970."""

    key: bytes
    """The plain key that it certifies."""
    serial: int
    """0 if its authority gives no numbers."""
    type: int
    identity: bytes
    """The key ID (`ssh-keygen -I`)."""
    principals: tuple[str, ...]
    after: int
    before: int
    critical: bytes
    authority: bytes
    signed: bytes
    """All but the signature."""
    signature: bytes

    @classmethod
    def read(cls, blob: bytes) -> Certificate:
        """Raises ValueError for what is none, or of a kind of key that is not known."""
        wire = Wire(blob)
        kind = wire.string().decode("utf-8", "replace").removesuffix(CERTIFICATE)
        if kind.startswith("sk-"):
            kind += "@openssh.com"
        if kind not in FIELDS:
            raise ValueError(f"a key of kind {printable(kind)[:100]!r} is not supported")
        wire.string()
        start = wire.at
        for _ in range(FIELDS[kind]):
            wire.string()
        key = len(kind).to_bytes(4, "big") + kind.encode() + blob[start : wire.at]
        serial = wire.number(8)
        type_ = wire.number(4)
        identity = wire.text()
        principals = tuple(one.decode("utf-8", "replace") for one in Wire(wire.string()).strings())
        after, before = wire.number(8), wire.number(8)
        critical = wire.string()
        for _ in ("extensions", "reserved"):
            wire.string()
        authority = wire.string()
        signed = blob[: wire.at]
        signature = wire.string()
        if wire.left:
            raise ValueError("it goes on after its end")
        return cls(key, serial, type_, identity, principals, after, before, critical, authority, signed, signature)

    def problem(self, name: str, now: float) -> str:
        """Why it does not hold for a host of this name, whoever its authority is; empty if it does."""
        if why := self._unsigned():
            return why
        if self.type != _HOST:
            return "it is a certificate for users, not for hosts"
        if now < self.after:
            return f"it is not valid before {_time(self.after)}"
        if now >= self.before:
            return f"it expired at {_time(self.before)}: have its authority sign the host's key again"
        if not self.principals:
            return "it names no host (`ssh-keygen -n`)"
        if not any(glob_fits(one, name) for one in self.principals):
            return f"it is for {printable(', '.join(self.principals))[:200]}, not for {name}"
        if self.critical:
            return "it has critical options, and none is known for hosts"
        return ""

    def _unsigned(self) -> str:
        """Why the signature is not one of the authority; empty if it is."""
        import paramiko
        from cryptography.exceptions import InvalidSignature

        try:
            wire = Wire(self.signature)
            algorithm, value = wire.string(), wire.string()
            kind, name = kind_of(self.authority), printable(algorithm.decode("utf-8", "replace"))[:100]
            if name not in _SIGNED_WITH or kind not in FIELDS:
                return f"it is signed with {name}, which is not accepted"
            if kind.startswith("ecdsa"):
                # paramiko would read on behind the end of what is too short.
                _, _ = Wire(value).strings()
            if kind in IN_HARDWARE:
                if name == kind and _signed_in_hardware(self.authority, value, wire, self.signed):
                    return ""
            elif not wire.left:
                key = paramiko.PKey.from_type_string(kind, self.authority)
                if key.verify_ssh_sig(self.signed, paramiko.Message(self.signature)):
                    return ""
        except (ValueError, OverflowError, paramiko.SSHException, InvalidSignature):
            pass
        return "its signature is not that of its authority"


def _signed_in_hardware(authority: bytes, signature: bytes, rest: Wire, message: bytes) -> bool:
    """Whether a FIDO token that has the authority's key has signed (PROTOCOL.u2f, SSH U2F signatures).

    `rest` is what follows the signature: flags and a counter, which are signed, too. As for ssh, a certificate holds
    whether or not the flags say that somebody has touched the token. Raises ValueError and InvalidSignature.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    kind, *fields = Wire(authority).strings()
    flags_and_counter = rest.number(5).to_bytes(5, "big")
    if rest.left or len(fields) != FIELDS[kind.decode()]:
        return False
    application, hashed = hashlib.sha256(fields[-1]).digest(), hashlib.sha256(message).digest()
    signed = application + flags_and_counter + hashed
    if kind == b"sk-ssh-ed25519@openssh.com":
        ed25519.Ed25519PublicKey.from_public_bytes(fields[0]).verify(signature, signed)
        return True
    curve, point, _ = fields
    # For ssh points in their short form are none.
    if curve != b"nistp256" or point[:1] != b"\x04":
        return False
    numbers = Wire(signature)
    pair = utils.encode_dss_signature(numbers.natural(), numbers.natural())
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).verify(pair, signed, ec.ECDSA(SHA256()))
    return not numbers.left


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "the end of time"
