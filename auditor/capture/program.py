"""The program that a host runs, and the frames that it answers with: both pure, without any I/O on the network.

One frame is `\\n<nonce>.<count> BEGIN <kind> <name>\\n`, raw bytes, `\\n<nonce>.<count+1> END <status>\\n`; a word
about something that is not captured is `\\n<nonce>.<count> NOTE <what> <path>\\n`. The nonce is 128 random bits of this
run, which reach the host on standard input only, and the count has no gaps: content can't forge a frame, whatever it
holds.

A frame of kind FILES holds several files, each as a line `+<path>`, its lines, and how it ended: `+.` whole, `+-` whole
with no newline at its end, `+b` machine code, `+?` not as long as it should be (it comes again in a frame of its own).
A line of a file that begins with `+` has another before it, so that what it holds can't begin or end one either.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

MAX_CONTENT: Final = 1024 * 1024
"""Bytes of one file or output; of a longer one the beginning is kept."""
MAX_FILES: Final = 4000
MAX_TOTAL: Final = 256 * 1024 * 1024
"""Bytes that one round of a host may send."""
MAX_NOISE: Final = 32 * 1024 * 1024
"""Bytes outside frames: banners, and what a login shell prints."""
MAX_PATH: Final = 1024
MAX_WANTED: Final = 200
"""Paths that one later round asks for."""

NOTES: Final = frozenset("ABSENT DENIED REMOTE SEEN FULL DEEP ODD BINARY".split())
_KINDS: Final = frozenset({"FILE", "LINK", "OUT", "FILES"})
_SLACK: Final = 65536
_ONLY_FIRST: Final = re.compile(r"(?ms)^# --- .*^# ---\n")
_NEEDLESS: Final = re.compile(r"(?m)^[ ]*(?:#.*\n|\n)?")
_MARKS: Final = frozenset({b"+.", b"+-", b"+b"})
_SEVERAL: Final = 4
"""How often the cap a frame of several files may be long: the program takes twice that at once, of which `+` at the
beginnings of lines may make three times, and there are names."""
_NAMES: Final = {"OUT": re.compile(r"[a-z][a-z0-9.-]{0,60}"), "FILES": re.compile(r"\d{1,5}")}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class FrameError(Exception):
    """The stream can't be read on: flooded, forged or broken. What came before is good."""


@dataclass(frozen=True, slots=True)
class Item:
    """One answer. `kind`: FILE, LINK (content: the target), OUT (name: of the command) or a word of NOTES."""

    kind: str
    name: str
    content: bytes = b""
    status: int = 0
    """Exit status; -1 if the stream ended inside."""


def program(
    nonce: str,
    wanted: Sequence[str] = (),
    *,
    deadline: int = 60,
    cap: int = MAX_CONTENT,
    files: int = MAX_FILES,
    comments: bool = False,
) -> str:
    """The whole text for `sh -s`: the first round, or one that asks for these paths.

    `deadline` is in seconds, `cap` in bytes. `comments` is for who reads it: bash and others take it in a byte at a
    time, so that each costs a host something. Raises ValueError for a path that can't be asked for (see `usable`).
    """
    if re.fullmatch(r"[0-9a-f]{32}", nonce) is None:
        raise ValueError("a nonce is 32 hexadecimal digits")
    for path in wanted:
        if not usable(path):
            raise ValueError(f"not a path that can be asked for: {path!r}")
    words = "\n".join(wanted).replace("'", "'\\''")
    return f"N={nonce} CAP={cap} FILES={files} DEADLINE={deadline} WANT='{words}'\n{_body(bool(wanted), comments)}"


@cache
def _body(later: bool, comments: bool) -> str:
    text = Path(__file__).with_name("program.sh").read_text(encoding="utf-8")
    if later:
        text = _ONLY_FIRST.sub("", text)
    return text if comments else _NEEDLESS.sub("", text)


def usable(path: str) -> bool:
    """Whether a name is an absolute path in its shortest form, without control characters, and not too long."""
    return (
        path.startswith("/")
        and path != "/"
        and len(path) <= MAX_PATH
        and _CONTROL.search(path) is None
        and posixpath.normpath(path) == path
        and not path.startswith("//")
        # Four bytes a character are the most.
        and (len(path) < 64 or all(len(part.encode("utf-8", "surrogateescape")) <= 255 for part in path.split("/")))
    )


class FrameReader:
    """Takes what a host sends, in any pieces, and yields items. Holds at most one frame and a little more."""

    def __init__(self, nonce: str, *, cap: int = MAX_CONTENT, total: int = MAX_TOTAL, noise: int = MAX_NOISE) -> None:
        self._prefix = f"\n{nonce}.".encode("ascii")
        self._cap = cap
        self._total = total
        self._noise = noise
        self._buffer = bytearray()
        self._count = 0
        self._open: tuple[str, str] | None = None
        self._scanned = 0
        self.started = False
        """Whether the program answered at all."""
        self.done = False
        """Whether it came to its end."""

    def feed(self, piece: bytes) -> Iterator[Item]:
        """The items that this piece completes. Raises FrameError after the last good one."""
        if self.done:
            return
        self._total -= len(piece)
        if self._total < 0:
            raise FrameError("it sent more than one round may")
        self._buffer += piece
        while not self.done:
            marker = self._prefix + b"%d " % (self._count + 1)
            at = self._buffer.find(marker, self._scanned)
            end = self._buffer.find(b"\n", at + len(marker)) if at >= 0 else -1
            if at < 0 or end < 0:
                if at >= 0 and len(self._buffer) - at > 4 * MAX_PATH + 256:
                    raise FrameError("the head of a frame does not end")
                self._scanned = at if at >= 0 else max(0, len(self._buffer) - len(marker))
                self._limit()
                return
            head = self._buffer[at + len(marker) : end].decode("utf-8", "surrogateescape")
            before = bytes(self._buffer[:at])
            del self._buffer[: end + 1]
            self._scanned = 0
            self._count += 1
            yield from self._frame(head, before)

    def finish(self) -> Iterator[Item]:
        """What is left of a frame that was cut, if the stream ended inside one."""
        if self._open is not None and not self.done:
            kind, name = self._open
            self._open = None
            if kind == "FILES":
                with suppress(FrameError):
                    yield from _several(bytes(self._buffer), self._cap)
            elif kind != "LINK":
                yield Item(kind, name, bytes(self._buffer[: self._cap]), -1)

    def _limit(self) -> None:
        if self._open is not None:
            cap = self._cap * _SEVERAL if self._open[0] == "FILES" else self._cap
            if len(self._buffer) > cap + _SLACK:
                raise FrameError("a frame is longer than the program may send")
            return
        # Outside a frame nothing is kept but what may be the beginning of a marker.
        self._noise -= self._scanned
        del self._buffer[: self._scanned]
        self._scanned = 0
        if self._noise < 0:
            raise FrameError("it sent too much outside frames")

    def _frame(self, head: str, before: bytes) -> Iterator[Item]:
        word, _, rest = head.partition(" ")
        if self._open is not None:
            kind, name = self._open
            if word != "END" or not re.fullmatch(r"\d{1,5}", rest):
                raise FrameError("a frame has no end")
            self._open = None
            if kind == "FILES":
                yield from _several(before, self._cap)
            else:
                yield Item(kind, name, before[: self._cap], int(rest))
            return
        if not self.started:
            if word != "START":
                raise FrameError("it does not begin at the beginning")
            self.started = True
        elif word == "DONE":
            self.done = True
        elif word == "BEGIN":
            kind, _, name = rest.partition(" ")
            names = _NAMES.get(kind)
            fits = names.fullmatch(name) if names is not None else usable(name)
            if kind not in _KINDS or not fits:
                raise FrameError("a frame without a usable name")
            self._open = (kind, name)
        elif word == "NOTE":
            what, _, name = rest.partition(" ")
            if what not in NOTES or not usable(name):
                raise FrameError("a note without a usable name")
            yield Item(what, name)
        else:
            raise FrameError("a frame of no known kind")


def _several(content: bytes, cap: int) -> Iterator[Item]:
    """The files of one frame. What has no end, or is not as long as it should be, the program sends again."""
    if content and not content.startswith(b"+/"):
        raise FrameError("files, and the first has no name")
    for part in content[2:].removesuffix(b"\n").split(b"\n+/"):
        name, _, rest = part.partition(b"\n")
        body, newline, mark = rest.rpartition(b"\n")
        if mark not in _MARKS:
            continue
        path = "/" + name.decode("utf-8", "surrogateescape")
        if not usable(path):
            raise FrameError("a file without a usable name")
        if mark == b"+b":
            yield Item("BINARY", path)
            continue
        if body.startswith(b"+") or b"\n+" in body:
            held = b"\n" + body
            plain = held.replace(b"\n++", b"\n+")
            if len(held) - len(plain) != held.count(b"\n+"):
                raise FrameError("a line that begins with + where no file begins or ends")
            body = plain[1:]
        yield Item("FILE", path, (body + newline if mark == b"+." else body)[:cap])
