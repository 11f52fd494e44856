"""Keys and certificates that clients pin: by the hash of a key (RFC 7469, curl, OkHttp, Android, TrustKit) or of a
certificate (fingerprints)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
)

SIZE_LIMIT: Final = 2 << 20
PIN_LIMIT: Final = 500
"""Pins of one file that are kept."""

_SUFFIXES: Final = (
    ".conf", ".cfg", ".ini", ".xml", ".json", ".yml", ".yaml", ".toml", ".properties", ".plist", ".env", ".sh", ".kt",
    ".java", ".swift", ".m", ".mm", ".js", ".ts", ".go", ".py", ".rb", ".cs", ".php", ".dart", ".j2", ".erb", ".tf",
)  # fmt: skip
_MARKERS: Final = (
    b"sha256/", b"pin-sha256", b"pinnedpubkey", b"pin digest", b"PublicKeyHashes", b"ingerprint", b"humbprint",
    b"INGERPRINT", b"HUMBPRINT", b"pinned_cert", b"cert_pin", b"ertificatePin",
)  # fmt: skip
_NAMED: Final = ("network_security_config", "certificate_pin", "certificatepin", "cert_pin", "certpin", "trustkit")
# curl writes two slashes before the hash, OkHttp one: they are characters of base64, too.
_BASE64: Final = re.compile(r"(?:(?<![A-Za-z0-9+/])|(?<=sha256/)|(?<=sha256//))([A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])")
_HEX: Final = re.compile(r"(?<![0-9A-Fa-f:])((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{64})(?![0-9A-Fa-f:])")
_HASH: Final = re.compile(
    rb"[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])|(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"
)


class KeyPinsCollector(Collector):
    """Hashes of keys and certificates in configurations, scripts and source code.

    Reads
    -----
    Text files that hold a hash of SHA-256 and speak of pins or fingerprints within their first 4 KiB, or are called so
    (`network_security_config.xml`): `pin-sha256="…"`, `sha256//…` of curl, `sha256/…` of OkHttp, `<pin digest=…>` of
    Android, key hashes of TrustKit, fingerprints in hexadecimal digits.

    Yields
    ------
    A service for each hash, with the attribute `pin`: 64 hexadecimal digits. Whether it is that of one of our
    certificates or keys is for who knows these.

    Can't see
    ---------
    Pins in programs that are built already, in files whose first 4 KiB say nothing of them, and hashes of SHA-1.
    """

    name: ClassVar[str] = "key_pins"
    title: ClassVar[str] = "Pinned keys and certificates"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        base = path.rpartition("/")[2]
        if "." in base and not base.endswith(_SUFFIXES):
            return False
        lower = base.lower()
        if any(word in lower for word in _NAMED):
            return b"\0" not in head
        return any(marker in head for marker in _MARKERS) and _HASH.search(head) is not None and b"\0" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One entity for each hash, at its first line."""
        if len(document.content) > SIZE_LIMIT:
            yield Malformed(Where(0), f"larger than {SIZE_LIMIT >> 20} MiB", "scanned for mentions only", whole=True)
            return
        seen: set[str] = set()
        for number, line in enumerate(decode(document.content).split("\n"), 1):
            if len(line) < 44:
                continue
            for pin in _pins(line):
                if pin in seen:
                    continue
                seen.add(pin)
                if len(seen) > PIN_LIMIT:
                    yield Malformed(Where(number), f"more than {PIN_LIMIT} hashes", "the rest is not read")
                    return
                shown = excerpt(line if len(line) < 400 else line[:400])
                ref = Ref(Kind.SERVICE, f"pin {pin[:16]} in {excerpt(document.path)}")
                yield Entity(ref, Where(number, shown), {"pin": pin})


def _pins(line: str) -> Iterator[str]:
    for found in _BASE64.finditer(line):
        try:
            yield binascii.a2b_base64(found[1], strict_mode=True).hex()
        except (binascii.Error, ValueError):
            continue
    for found in _HEX.finditer(line):
        yield found[1].replace(":", "").lower()
