"""Files whose text can't be read as it lies there: compressed, encrypted, kept elsewhere, or no text at all."""

from __future__ import annotations

import re
from typing import Final

from auditor.text import is_binary

COMPRESSED: Final = "compressed"
ENCRYPTED: Final = "encrypted"
DATABASE: Final = "a database"
ELSEWHERE: Final = "kept in Git LFS"
PICTURE: Final = "a picture or font"
BINARY: Final = "not text"

HOLDS_TEXT: Final = frozenset({COMPRESSED, ENCRYPTED, DATABASE, ELSEWHERE})
"""Kinds that hold what someone wrote, and that only has to be opened first."""

SEARCHED: Final = frozenset({DATABASE, BINARY})
"""Kinds in which names may stand as they are, between other bytes: they are searched for them all the same."""

_BEGINS: Final = (
    (b"\x1f\x8b", COMPRESSED),  # gzip, RFC 1952
    (b"\x1f\x9d", COMPRESSED),  # compress
    (b"PK\x03\x04", COMPRESSED),  # zip, and office documents
    (b"\xfd7zXZ\x00", COMPRESSED),
    (b"\x28\xb5\x2f\xfd", COMPRESSED),  # zstd, RFC 8878
    (b"7z\xbc\xaf\x27\x1c", COMPRESSED),
    (b"Rar!\x1a\x07", COMPRESSED),
    (b"%PDF-", COMPRESSED),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", COMPRESSED),  # office documents before 2007
    (b"SQLite format 3\x00", DATABASE),
    (b"\x03\xd9\xa2\x9a", ENCRYPTED),  # KeePass
    (b"Salted__", ENCRYPTED),  # openssl enc
    (b"\x00GITCRYPT\x00", ENCRYPTED),
    (b"$ANSIBLE_VAULT;", ENCRYPTED),
    (b"-----BEGIN PGP MESSAGE-----", ENCRYPTED),
    (b"age-encryption.org/", ENCRYPTED),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", ENCRYPTED),
    (b"version https://git-lfs.github.com/spec/", ELSEWHERE),
    (b"\x89PNG", PICTURE),
    (b"\xff\xd8\xff", PICTURE),
    (b"GIF8", PICTURE),
    (b"\x00\x00\x01\x00", PICTURE),
    (b"wOFF", PICTURE),
    (b"wOF2", PICTURE),
    (b"\x00\x01\x00\x00", PICTURE),
    (b"OTTO", PICTURE),
)
_ANY: Final = tuple(begin for begin, _ in _BEGINS)
_BZIP2: Final = re.compile(rb"BZh[1-9]1AY&SY")


def sealed(head: bytes) -> str:
    """Why the text of a file can't be read, by its first bytes (some hundred); empty if it can."""
    if head.startswith(_ANY):
        return next(kind for begin, kind in _BEGINS if head.startswith(begin))
    if _BZIP2.match(head):
        return COMPRESSED
    if head[257:262] == b"ustar" and is_binary(head):
        return COMPRESSED
    return BINARY if is_binary(head) else ""
