"""A progress bar on stderr for long runs: only on a terminal, and never in the way of what is written to stdout."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

INTERVAL: Final = 0.1
"""Seconds between two drawings. A run that is shorter draws nothing."""

_BAR: Final = 24


class Progress:
    """How far a step of the run has come: `with Progress("reading", total) as progress: progress.advance()`.

    Silent if the stream (stderr) is no terminal or a dumb one, or with `quiet`. A total of 0 is unknown: the count
    alone is shown. The line is removed at the end.
    """

    def __init__(
        self,
        what: str,
        total: int = 0,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._done = 0
        self._drawn = False
        self._shown = not quiet and os.environ.get("TERM") != "dumb" and _is_terminal(self._stream)
        self._next = clock() + INTERVAL if self._shown else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._drawn:
            self._write("\r\x1b[K")

    @property
    def done(self) -> int:
        """How many were counted."""
        return self._done

    def advance(self, count: int = 1) -> None:
        """Counts, and draws if the last drawing is long enough ago."""
        self._done += count
        if self._shown and (now := self._clock()) >= self._next:
            self._next = now + INTERVAL
            self._draw()

    def stage(self, what: str, done: int, total: int = 0) -> None:
        """Goes over to another step, or says how far one has come."""
        self._what, self._total, self._done = what, total, done
        self.advance(0)

    def clear(self) -> None:
        """Removes the line, for something else to be written; the next drawing brings it back."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _draw(self) -> None:
        if self._total > 0:
            share = min(self._done / self._total, 1.0)
            filled = int(share * _BAR)
            bar = "█" * filled + "░" * (_BAR - filled)
            text = f"{self._what}  {bar}  {self._done:,} of {self._total:,}  {share:4.0%}"
        else:
            text = f"{self._what}  {self._done:,}"
        self._drawn = True
        self._write(f"\r{text[: max(shutil.get_terminal_size().columns - 1, 1)]}\x1b[K")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # A closed stderr or one that can't write these characters must not end the run.
            self._shown = self._drawn = False


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False
