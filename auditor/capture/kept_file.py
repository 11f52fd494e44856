"""Files in a directory of what was kept for other runs: read only if they are what they should be, written whole.

Others may be able to write there. A file counts as none if it is too large, is no regular file, or has not the sum that
it states, which is keyed where there is a key.
"""

from __future__ import annotations

import hmac
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final

WRONG: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
"""What reading something of another shape than expected may raise."""
_HEAD: Final = 65536


@contextmanager
def regular(file: Path, limit: int) -> Iterator[IO[bytes]]:
    """A regular file of no more than `limit` bytes, for reading. Raises OSError for anything else, and links."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise OSError("no regular file, or too large")
        yield stream


def write_whole(file: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file, private to who runs this: all of it appears at once, or nothing does. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=f".{file.name[:6]}-", dir=file.parent, delete=False) as stream:
        temporary = Path(stream.name)
        try:
            stream.writelines(pieces)
            stream.flush()
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def key_of(secret: str) -> bytes:
    """The key for sums; empty without a secret."""
    return blake2b(secret.encode("utf-8", "surrogateescape")).digest() if secret else b""


def write_parts(file: Path, form: str, of: str, key: bytes, parts: Mapping[str, bytes]) -> None:
    """Writes named parts. `form` and `of` tell them from others. Raises OSError."""
    sizes = [[name, len(part)] for name, part in parts.items()]
    head = {"format": form, "of": of, "parts": sizes, "sum": _sum(form, of, sizes, parts.values(), key)}
    write_whole(file, [json.dumps(head).encode(), b"\n", *parts.values()])


def read_parts(file: Path, form: str, of: str, key: bytes, limit: int) -> dict[str, bytes] | None:
    """The parts of a file that `write_parts` has written so; None if it is not there, or not exactly so."""
    try:
        with regular(file, limit) as stream:
            head = json.loads(stream.readline(_HEAD))
            if head["format"] != form or head["of"] != of:
                return None
            parts: dict[str, bytes] = {}
            for name, size in head["parts"]:
                if type(name) is not str or type(size) is not int or not 0 <= size <= limit:
                    return None
                parts[name] = stream.read(size)
            good = not stream.read(1) and hmac.compare_digest(
                head["sum"], _sum(form, of, head["parts"], parts.values(), key)
            )
    except (OSError, *WRONG):
        return None
    return parts if good else None


def _sum(form: str, of: str, sizes: list[list[object]], parts: Iterable[bytes], key: bytes) -> str:
    found = blake2b(json.dumps([form, of, sizes]).encode(), digest_size=32, key=key)
    for part in parts:
        found.update(part)
    return found.hexdigest()
