"""Names in base64: the values of a Secret of Kubernetes, files of cloud-init, encoded commands of PowerShell."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from auditor.graph.mentions import Mention
from auditor.text import decode

_SIGNS: Final = (b"Secret", b"base64", b"b64", b"ncodedCommand", b"-enc ", b"n\x00c\x00o\x00d\x00e\x00d\x00C\x00")
"""What a file has that holds such values; those of PowerShell are in tasks of Windows, in UTF-16."""
_VALUE: Final = re.compile(r"(?<![\w+/=.-])[A-Za-z0-9+/]{16,}={0,2}(?![\w+/=])")
_VALUES: Final = 5_000
"""Values of one file that are decoded."""
_SIZE: Final = 1 << 20
"""Characters of one file's values that are decoded."""
_BEFORE: Final = 80
"""Characters before a value that are shown."""


def may_hold(content: bytes) -> bool:
    """Whether a file may hold values in base64 that something reads."""
    return any(sign in content for sign in _SIGNS)


def in_base64(content: bytes, scan: Callable[[bytes], Iterable[Mention]]) -> Iterator[Mention]:
    """The mentions in the values of a file, each at its line. What is shown of a value is the name in it alone."""
    found: list[tuple[int, str]] = []
    values: list[bytes] = []
    left = _SIZE
    for number, line in enumerate(decode(content).split("\n"), 1):
        for value in _VALUE.finditer(line):
            left -= len(value[0])
            if left < 0 or len(values) >= _VALUES:
                break
            plain = _decoded(value[0])
            if plain:
                values.append(plain)
                found.append((number, line[max(value.start() - _BEFORE, 0) : value.start()]))
    if not values:
        return
    for one in scan(b"\n".join(values)):
        number, before = found[one.line - 1]
        yield replace(one, line=number, text=f"{before}‹base64 with {one.identity.text}›", comment=False)


def _decoded(value: str) -> bytes:
    """The text of a value, in one line; empty if it is none."""
    try:
        plain = b64decode(value, validate=True)
    except (Error, ValueError):
        return b""
    if len(plain) > 1 and not plain[1] and len(plain) % 2 == 0:
        plain = plain.decode("utf-16-le", "replace").encode("utf-8", "replace")
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError:
        return b""
    if any(character < " " and character not in "\t\r\n" for character in text):
        return b""
    return " ".join(text.split()).encode()
