"""Keys and certificates that are revoked: RevokedHostKeys of ssh_config(5), as lists of keys and as KRLs.

ssh-keygen(1), KEY REVOCATION LISTS; PROTOCOL.krl of OpenSSH 9.4 and later. As for ssh a file that can't be read whole
revokes every host: what is in it that nobody understands may be what revokes the one that is asked.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.capture.ssh_keys import FIELDS, Certificate, Wire, fingerprint, kind_of, plain_key
from auditor.text import printable

MAX_FILE: Final = 64 * 1024 * 1024
MAX_ENTRIES: Final = 1_000_000
"""Keys, fingerprints, serial numbers and key IDs of one list."""
MAX_PIECES: Final = 100_000
"""Sections, and ranges and bitmaps of serial numbers, of one list: each range and bitmap is looked at for each host."""

_MAGIC: Final = b"SSHKRL\n\0"
_CERTIFICATES, _KEYS, _SHA1, _SIGNATURE, _SHA256, _EXTENSION = 1, 2, 3, 4, 5, 255
_SERIALS, _RANGE, _BITMAP, _IDENTITIES, _CERTIFICATE_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39
_LAST_SERIAL: Final = (1 << 64) - 1


class Revoked:
    """What the files of RevokedHostKeys revoke. Raises ValueError for one that can't be read, or not whole."""

    def __init__(self, files: Sequence[str] = ()) -> None:
        self._keys: dict[bytes, str] = {}
        self._lists: list[_KeyRevocationList] = []
        for name in files:
            content = _read(name)
            if content.startswith(_MAGIC):
                try:
                    self._lists.append(_KeyRevocationList.read(name, content))
                except ValueError as error:
                    raise ValueError(
                        f"RevokedHostKeys {name} is a key revocation list (KRL) that can't be read: {error}. Until it "
                        "can, no host is trusted (`ssh-keygen -Q -l` shows what ssh reads in it)"
                    ) from None
            else:
                for number, key in _lines(name, content):
                    self._keys.setdefault(key, f"{name}:{number}")

    def why(self, key: bytes, certificate: Certificate | None) -> str:
        """Why a host with this plain key, in this certificate if it has one, is revoked; empty if it is not."""
        if where := self._has(key):
            return f"host key revoked: {kind_of(key)} {fingerprint(key)} is {where}"
        if certificate is not None:
            authority = fingerprint(certificate.authority)
            if where := self._has(certificate.authority):
                return f"host certificate of a revoked authority: {authority} is {where}"
            for one in self._lists:
                if what := one.revokes(certificate):
                    return f"host certificate revoked: {what} of authority {authority} is revoked by {one.name}"
        return ""

    def _has(self, key: bytes) -> str:
        if where := self._keys.get(key):
            return f"@revoked at {where}"
        return next((f"revoked by {one.name}" for one in self._lists if one.has(key)), "")


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"RevokedHostKeys {name} can't be read: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise ValueError(f"RevokedHostKeys {name} is larger than {MAX_FILE >> 20} MiB")
    return content


def _lines(name: str, content: bytes) -> Iterator[tuple[int, bytes]]:
    """The keys of a list of keys, one a line, with their lines. Raises ValueError for a line that is no key."""
    for number, line in enumerate(content.split(b"\n"), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        try:
            blob = base64.b64decode(words[1], validate=True)
            if Wire(blob).string() != words[0]:
                raise ValueError
            yield number, plain_key(blob)
        except (ValueError, IndexError):
            raise ValueError(
                f"RevokedHostKeys {name}:{number}: neither a public key nor a comment. Until it is one, no host is "
                "trusted"
            ) from None


@dataclass(slots=True)
class _Issued:
    """What is revoked of the certificates of one authority, or of all."""

    serials: set[int] = field(default_factory=set)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """First and last."""
    bitmaps: list[tuple[int, int]] = field(default_factory=list)
    """Serial number of the lowest bit, and the bits."""
    identities: set[bytes] = field(default_factory=set)

    def revokes(self, certificate: Certificate) -> str:
        if certificate.identity in self.identities:
            return f"key ID {printable(certificate.identity.decode('utf-8', 'replace'))[:100]!r}"
        serial = certificate.serial
        # 0 is that of certificates without a number.
        if serial and (
            serial in self.serials
            or any(first <= serial <= last for first, last in self.ranges)
            or any(first <= serial and bits >> (serial - first) & 1 for first, bits in self.bitmaps)
        ):
            return f"serial number {serial}"
        return ""


class _KeyRevocationList:
    """A KRL: a header, then sections, each of a number and a string."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._keys: set[bytes] = set()
        self._sha1: set[bytes] = set()
        self._sha256: set[bytes] = set()
        self._issued: dict[bytes, _Issued] = {}
        self._entries = self._pieces = 0

    @classmethod
    def read(cls, name: str, content: bytes) -> _KeyRevocationList:
        """Raises ValueError for what can't be read, is not known and may not be left out, or is too much."""
        found = cls(name)
        wire = Wire(content)
        wire.number(len(_MAGIC))
        if (version := wire.number(4)) != 1:
            raise ValueError(f"its format has version {version}, and 1 is known")
        for _ in ("version of the list", "time", "flags"):
            wire.number(8)
        wire.string()
        wire.text()
        signed = False
        while wire.left:
            section, data = wire.number(1), wire.string()
            found._piece()
            if section == _SIGNATURE:
                # `data` is the signer's key. Who could change the file could also take the signature away.
                wire.string()
                signed = True
            elif signed:
                raise ValueError("a section comes after its signature")
            else:
                found._section(section, Wire(data))
        return found

    def has(self, key: bytes) -> bool:
        return (
            key in self._keys
            or hashlib.sha256(key).digest() in self._sha256
            # SHA-1 is what the format has.
            or hashlib.sha1(key, usedforsecurity=False).digest() in self._sha1
        )

    def revokes(self, certificate: Certificate) -> str:
        """Which of its marks is revoked; empty if none is."""
        for authority in (certificate.authority, b""):
            if (issued := self._issued.get(authority)) and (what := issued.revokes(certificate)):
                return what
        return ""

    def _section(self, section: int, data: Wire) -> None:
        if section == _CERTIFICATES:
            self._certificates(data)
        elif section == _KEYS:
            self._blobs(data, self._keys)
        elif section == _SHA1:
            self._blobs(data, self._sha1, 20)
        elif section == _SHA256:
            self._blobs(data, self._sha256, 32)
        elif section == _EXTENSION:
            _extension(data)
        else:
            raise ValueError(f"it has a section of type {section}, which is not known")

    def _blobs(self, data: Wire, taken: set[bytes], size: int = 0) -> None:
        for blob in data.strings():
            if size and len(blob) != size:
                raise ValueError(f"a fingerprint has {len(blob)} bytes, not {size}")
            self._entry()
            taken.add(blob)

    def _certificates(self, data: Wire) -> None:
        authority = data.string()
        data.string()
        if authority:
            kind, *fields = Wire(authority).strings()
            if len(fields) != (4 if kind == b"ssh-dss" else FIELDS.get(kind.decode("utf-8", "replace"))):
                raise ValueError(f"an authority has a key of kind {kind_of(authority)!r}, which is not supported")
        issued = self._issued.setdefault(authority, _Issued())
        while data.left:
            section, inner = data.number(1), Wire(data.string())
            self._piece()
            if section == _SERIALS:
                while inner.left:
                    self._entry()
                    issued.serials.add(_serial(inner.number(8)))
            elif section == _RANGE:
                first, last = _serial(inner.number(8)), inner.number(8)
                if first > last:
                    raise ValueError(f"a range of serial numbers ends before it begins: {first}-{last}")
                issued.ranges.append((first, last))
            elif section == _BITMAP:
                first, bits = inner.number(8), inner.natural()
                if first + bits.bit_length() - 1 > _LAST_SERIAL or (first == 0 and bits & 1):
                    raise ValueError("a bitmap has serial numbers that are none")
                issued.bitmaps.append((first, bits))
            elif section == _IDENTITIES:
                while inner.left:
                    self._entry()
                    issued.identities.add(inner.text())
            elif section == _CERTIFICATE_EXTENSION:
                _extension(inner)
            else:
                raise ValueError(f"it has a section of certificates of type {section:#x}, which is not known")
            if inner.left:
                raise ValueError("a section of certificates goes on after its end")

    def _entry(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ValueError(f"it has more than {MAX_ENTRIES:,} entries")

    def _piece(self) -> None:
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            raise ValueError(f"it has more than {MAX_PIECES:,} sections")


def _serial(number: int) -> int:
    if number == 0:
        raise ValueError("it revokes serial number 0, which certificates without a number have")
    return number


def _extension(data: Wire) -> None:
    name, critical = data.text(), data.number(1)
    data.string()
    if data.left:
        raise ValueError("an extension goes on after its end")
    if critical:
        what = printable(name.decode("utf-8", "replace"))[:100]
        raise ValueError(f"it has a critical extension that is not known: {what!r}")
