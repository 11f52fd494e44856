"""Names in base64: the values of a Secret of Kubernetes, files of cloud-init, encoded commands of PowerShell."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from auditor.graph.mentions import Mention
from auditor.text import decode, is_comment

_SIGNS: Final = (b"Secret", b"base64", b"b64", b"ncodedCommand", b"-enc ", b"n\x00c\x00o\x00d\x00e\x00d\x00C\x00")
"""What a file has that holds such values; those of PowerShell are in tasks of Windows, in UTF-16."""
_VALUE: Final = re.compile(r"(?<![\w+/.-])[A-Za-z0-9+/]{10,}={0,2}(?![\w+/=])")
_VALUES: Final = 50_000
"""Values of one file that are decoded."""
_SIZE: Final = 16 << 20
"""Characters of one file's values that are decoded: those of a whole cluster are in one answer of kubectl."""
_KEY: Final = re.compile(
    # A `=` that ends another value has no blank before it and one behind.
    r"[\"']?(?:(?:=|\s{1,9}=\s{1,9}|\s{0,9}:\s{0,9})[\"']?[\w./-]{1,80}[\"']?"
    r"|\s{0,9}(?i:\w{0,12}cne|c?e)-(?=\s)|,46esab\b)"
)
"""What a value is called, backwards. All else before it may be part of a secret, which nothing would tell any more."""
_BEFORE: Final = 120
"""Characters before a value that are looked at for it."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def may_hold(content: bytes) -> bool:
    """Whether a file may hold values in base64 that something reads."""
    return any(sign in content for sign in _SIGNS)


def in_base64(content: bytes, scan: Callable[[bytes], Iterable[Mention]]) -> tuple[list[Mention], bool]:
    """The mentions in the values of a file, each at its line, and whether all values were looked through.

    What is shown of a value is the name in it alone, after what the value is called.
    """
    found: list[tuple[int, str, int]] = []
    values: list[bytes] = []
    left = _SIZE
    for number, line in enumerate(decode(content).split("\n"), 1):
        for value in _VALUE.finditer(line):
            if len(value[0]) % 4:
                continue
            left -= len(value[0])
            if left < 0 or len(values) >= _VALUES:
                return list(_shown(found, scan(b"\n".join(values)))), False
            if plain := _decoded(value[0]):
                values.append(plain)
                found.append((number, line, value.start()))
    return list(_shown(found, scan(b"\n".join(values)))) if values else [], True


def _shown(places: Sequence[tuple[int, str, int]], mentions: Iterable[Mention]) -> Iterator[Mention]:
    """Mentions in values, one a line, as they are told of the lines and columns where those stand."""
    for one in mentions:
        number, line, start = places[one.line - 1]
        key = _KEY.match(line[max(start - _BEFORE, 0) : start][::-1])
        text = f"{key[0][::-1] if key is not None else ''}‹base64 with {one.identity.text}›"
        yield replace(one, line=number, text=text, comment=is_comment(line))


def _decoded(value: str) -> bytes:
    """The text of a value, in one line; empty if it is none."""
    try:
        plain = b64decode(value, validate=True)
        if len(plain) > 1 and not plain[1] and len(plain) % 2 == 0:
            text = plain.decode("utf-16-le", "replace")
        else:
            text = plain.decode("utf-8")
    except (Error, ValueError):
        return b""
    return b"" if _CONTROL.search(text) else " ".join(text.split()).encode("utf-8", "replace")
