"""Files in a directory of what was kept for other runs: read only if they are what they should be, written whole.

Others may be able to write there. A file counts as none if it is too large, is no regular file, or has not the sum that
it states, which is keyed where there is a key. Where there is none it must be the user's own, and for nobody else to
write.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final

WRONG: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
"""What reading something of another shape than expected may raise."""
_HEAD: Final = 65536
_ABANDONED: Final = 86400.0
"""Seconds after which a file that was not written to its end is one of a run that was killed."""


class NotOursError(OSError):
    """A file that is not signed, and that somebody else may have written."""


@contextmanager
def regular(file: Path, limit: int, *, signed: bool) -> Iterator[IO[bytes]]:
    """A regular file of no more than `limit` bytes, for reading. Raises OSError for anything else, and links.

    Unless what it says is `signed`, NotOursError if it is another user's (but for root), or others may write to it.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise OSError("no regular file, or too large")
        ours = status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not ours and not signed:
            raise NotOursError(f"{file}: not signed, and others may have written it")
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


def tidy(directory: Path, stem: str, most: int, total: int) -> None:
    """Removes the files called `stem-<digits>` that were used longest ago, beyond `most` of them and `total` bytes.

    And those that a run which was killed has begun to write. Raises OSError.
    """
    whole, unfinished = re.compile(rf"{stem}-[0-9a-f]{{16,32}}\.\w+"), re.compile(rf"\.{stem}-\w+")
    found: list[tuple[float, int, Path]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if whole.fullmatch(entry.name):
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
                elif unfinished.fullmatch(entry.name) and status.st_mtime < time.time() - _ABANDONED:
                    Path(entry.path).unlink()
    size = 0
    for number, (_, more, file) in enumerate(sorted(found, reverse=True)):
        size += more
        if number >= most or (number and size > total):
            with suppress(OSError):
                file.unlink()


def key_of(secret: str) -> bytes:
    """The key for sums; empty without a secret."""
    return blake2b(secret.encode("utf-8", "surrogateescape")).digest() if secret else b""


def write_parts(file: Path, form: str, of: str, key: bytes, parts: Mapping[str, bytes]) -> None:
    """Writes named parts. `form` and `of` tell them from others. Raises OSError."""
    sizes = [[name, len(part)] for name, part in parts.items()]
    head = {"format": form, "of": of, "parts": sizes, "sum": _sum(form, of, sizes, parts.values(), key)}
    write_whole(file, [json.dumps(head).encode(), b"\n", *parts.values()])


def read_parts(file: Path, form: str, of: str, key: bytes, limit: int) -> dict[str, bytes] | None:
    """The parts of a file that `write_parts` has written so; None if it is not there, or not exactly so.

    Raises NotOursError.
    """
    try:
        with regular(file, limit, signed=bool(key)) as stream:
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
    except NotOursError:
        raise
    except (OSError, *WRONG):
        return None
    return parts if good else None


def _sum(form: str, of: str, sizes: list[list[object]], parts: Iterable[bytes], key: bytes) -> str:
    found = blake2b(json.dumps([form, of, sizes]).encode(), digest_size=32, key=key)
    for part in parts:
        found.update(part)
    return found.hexdigest()
