"""Whether a host is who it should be: the key or the certificate that it shows, against known_hosts.

sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; ssh_config(5), RevokedHostKeys; PROTOCOL.certkeys of OpenSSH. A certificate is
taken as ssh takes it: its authority must be an `@cert-authority` of that name, and one that does not hold is dropped,
so that the plain key in it counts. Of the names in it OpenSSH 10.3's reading holds: they may be patterns, and a
certificate without any is for no host (until then it was for all).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from auditor.capture.sources import any_applies, glob_fits
from auditor.text import printable

CERTIFICATE: Final = "-cert-v01@openssh.com"
"""What the name of a kind of key ends with if it is a certificate."""
AUTHORITY: Final = "@cert-authority"
REVOKED: Final = "@revoked"

_MAX_FILE: Final = 64 * 1024 * 1024
_KEY_LIST: Final = b"SSHKRL\n\0"
_HOST: Final = 2
_FIELDS: Final = {
    "ssh-ed25519": 1, "ssh-rsa": 2, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2,
}  # fmt: skip
"""How many strings the public key of a kind is."""
_SIGNED_WITH: Final = frozenset({*_FIELDS, "rsa-sha2-256", "rsa-sha2-512"} - {"ssh-rsa"})
"""ssh_config(5), CASignatureAlgorithms: all but SHA-1, and the keys in hardware, which are not verified here."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key of known_hosts. `blob` is in the wire's form (RFC 4253, 6.6), `where` is the file and line."""

    marker: str
    kind: str
    blob: bytes
    where: str


class KnownHosts:
    """The keys of known_hosts files: plain, with patterns, and hashed; and those of a file of RevokedHostKeys.

    A file of known hosts that is not there is empty. Raises ValueError if the revoked keys can't be read: then nobody
    can be trusted.
    """

    def __init__(self, files: Sequence[str], revoked: str = "") -> None:
        self._plain: dict[str, list[HostKey]] = {}
        self._patterns: list[tuple[tuple[str, ...], HostKey]] = []
        self._hashed: list[tuple[bytes, bytes, HostKey]] = []
        for name in files:
            try:
                with open(name, "rb") as stream:
                    text = stream.read(_MAX_FILE).decode("utf-8", "replace")
            except OSError:
                continue
            for number, line in enumerate(text.splitlines(), 1):
                self._line(line, f"{name}:{number}")
        self._revoked = list(_revoked(revoked)) if revoked else []

    def _line(self, line: str, where: str) -> None:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            return
        key = _key(marker, words[1], words[2], where)
        if key is None:
            return
        if words[0].startswith("|1|"):
            _, _, salt, digest = [*words[0].split("|"), "", "", "", ""][:4]
            try:
                self._hashed.append((base64.b64decode(salt), base64.b64decode(digest), key))
            except (binascii.Error, ValueError):
                return
            return
        names = tuple(words[0].lower().split(","))
        if any(mark in words[0] for mark in "*?!"):
            self._patterns.append((names, key))
        else:
            for name in names:
                self._plain.setdefault(name, []).append(key)

    def keys(self, name: str, port: int) -> list[HostKey]:
        """All keys of a host, by its name or address as it is called.

        At another port than 22 those of the bare name count where the port has none, as for ssh: its own plain keys
        replace those of the name, authorities and revoked keys add up.
        """
        found = self._called(name.lower())
        if port != 22:
            own = self._called(f"[{name.lower()}]:{port}")
            replaced = any(not key.marker for key in own)
            found = own + [key for key in found if key.marker or not replaced]
        return found + self._revoked

    def _called(self, called: str) -> list[HostKey]:
        found = list(self._plain.get(called, ()))
        found.extend(key for patterns, key in self._patterns if any_applies(patterns, called))
        for salt, digest, key in self._hashed:
            # SHA-1 is what the format has.
            if hmac.compare_digest(hmac.new(salt, called.encode(), hashlib.sha1).digest(), digest):
                found.append(key)
        return found


def _key(marker: str, kind: str, text: str, where: str) -> HostKey | None:
    try:
        blob = base64.b64decode(text, validate=True)
        # Keys are compared without their certificates.
        return HostKey(marker, kind, plain_key(blob), where)
    except ValueError:
        return None


def _revoked(name: str) -> Iterator[HostKey]:
    """The keys of a file of RevokedHostKeys, one a line. Raises ValueError, as ssh refuses every host then."""
    try:
        with open(name, "rb") as stream:
            content = stream.read(_MAX_FILE)
    except OSError as error:
        raise ValueError(f"RevokedHostKeys {name} can't be read: {error.strerror}") from error
    if content.startswith(_KEY_LIST):
        raise ValueError(f"RevokedHostKeys {name} is a key revocation list (KRL), which is not read here")
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if len(words) >= 2 and (key := _key(REVOKED, words[0], words[1], f"{name}:{number}")) is not None:
            yield key


def algorithms(keys: Sequence[HostKey], usual: Sequence[str]) -> tuple[str, ...]:
    """The algorithms of host keys to ask for, the best first: of the kinds that known_hosts can vouch for."""
    kinds = {key.kind for key in keys if not key.marker}
    first = [name for name in usual if name in kinds or (name.startswith("rsa-sha2") and "ssh-rsa" in kinds)]
    plain = tuple(dict.fromkeys([*first, *usual]))
    certified = tuple(f"{name}{CERTIFICATE}" for name in usual)
    return certified + plain if any(key.marker == AUTHORITY for key in keys) else plain + certified


def refusal(blob: bytes, keys: Sequence[HostKey], name: str, port: int, *, now: float) -> str:
    """Why a host that shows this key or certificate is not to be trusted; empty if it is. `keys` are those of its name.

    `now` is in seconds since 1970. That the host has the private half is for the key exchange to prove.
    """
    try:
        certificate = Certificate.read(blob) if _kind(blob).endswith(CERTIFICATE) else None
    except ValueError as error:
        return f"it shows a host certificate that can't be read: {error}"
    plain = blob if certificate is None else certificate.key
    print_of = f"{_kind(plain)} {fingerprint(plain)}"
    authorities = [key for key in keys if key.marker == AUTHORITY]
    for key in keys:
        if key.marker == REVOKED and key.blob == plain:
            return f"host key revoked: {print_of} is @revoked at {key.where}"
        if key.marker == REVOKED and certificate is not None and key.blob == certificate.authority:
            return f"host certificate of a revoked authority: {fingerprint(key.blob)} is @revoked at {key.where}"
    problem = ""
    if certificate is not None and authorities:
        problem = certificate.problem(authorities, name, now)
        if not problem:
            return ""
    if any(not key.marker and key.blob == plain for key in keys):
        return ""
    if others := [key for key in keys if not key.marker]:
        also = f" (its certificate does not help: {problem})" if problem else ""
        return (
            f"host key changed: it shows {print_of}, and {others[0].where} has another. Somebody may be in between, or "
            f"the host was set up anew: find out before you replace the line{also}"
        )
    if problem:
        return f"host certificate not valid: {problem}"
    if authorities:
        return (
            f"host key unknown: it shows {print_of} and no certificate, and for {name} port {port} known_hosts has an "
            f"authority alone ({authorities[0].where})"
        )
    return (
        f"host key unknown: it shows {print_of}, and {name} port {port} is not in known_hosts. Compare the "
        "fingerprint, then add the key (`ssh-keyscan`)"
    )


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class _Wire:
    """Fields in SSH's form (RFC 4251, 5), one after the other. Raises ValueError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> bytes:
        return self._take(self.number(4))

    def _take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise ValueError("it is cut off")
        self.at += size
        return piece

    def strings(self) -> Iterator[bytes]:
        while self.at < len(self.data):
            yield self.string()


def _kind(blob: bytes) -> str:
    """The name that a key, certificate or signature begins with; of what is none, what can be read of it."""
    return printable(blob[4 : 4 + min(int.from_bytes(blob[:4], "big"), 100)].decode("utf-8", "replace"))


def plain_key(blob: bytes) -> bytes:
    """A key without its certificate. Raises ValueError for a certificate that can't be read."""
    return Certificate.read(blob).key if _kind(blob).endswith(CERTIFICATE) else blob


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of OpenSSH (PROTOCOL.certkeys), read and not yet verified. Times are in seconds since 1970."""

    key: bytes
    """The plain key that it certifies."""
    type: int
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
        wire = _Wire(blob)
        kind = wire.string().decode("utf-8", "replace").removesuffix(CERTIFICATE)
        if kind not in _FIELDS:
            raise ValueError(f"a key of kind {printable(kind)[:100]!r} is not supported")
        wire.string()
        start = wire.at
        for _ in range(_FIELDS[kind]):
            wire.string()
        key = len(kind).to_bytes(4, "big") + kind.encode() + blob[start : wire.at]
        wire.number(8)
        type_ = wire.number(4)
        wire.string()
        principals = tuple(one.decode("utf-8", "replace") for one in _Wire(wire.string()).strings())
        after, before = wire.number(8), wire.number(8)
        critical = wire.string()
        for _ in ("extensions", "reserved"):
            wire.string()
        authority = wire.string()
        signed = blob[: wire.at]
        signature = wire.string()
        if wire.at != len(blob):
            raise ValueError("it goes on after its end")
        return cls(key, type_, principals, after, before, critical, authority, signed, signature)

    def problem(self, authorities: Sequence[HostKey], name: str, now: float) -> str:
        """Why it does not hold for a host of this name; empty if it does."""
        if not any(key.blob == self.authority for key in authorities):
            return (
                f"it is signed by {_kind(self.authority)} {fingerprint(self.authority)}, which is no authority for "
                f"{name}: {authorities[0].where} has another"
            )
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

        try:
            algorithm, value = _Wire(self.signature).strings()
            kind, name = _kind(self.authority), printable(algorithm.decode("utf-8", "replace"))[:100]
            if name not in _SIGNED_WITH or kind not in _FIELDS:
                return f"it is signed with {name}, which is not accepted"
            if kind.startswith("ecdsa"):
                # paramiko would read on behind the end of what is too short.
                _, _ = _Wire(value).strings()
            key = paramiko.PKey.from_type_string(kind, self.authority)
            if key.verify_ssh_sig(self.signed, paramiko.Message(self.signature)):
                return ""
        except (ValueError, OverflowError, paramiko.SSHException):
            pass
        return "its signature is not that of its authority"


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "the end of time"
