"""The text of all files below a directory, in which names and URLs of an estate are looked for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

MAX_FILES: Final = 1_000_000
_SCANNED: Final = 16 * 1024 * 1024
"""Bytes of one file: an estate is not read beyond either."""


class Texts:
    """The contents of files, one after the other. Links are not followed; what can't be read is left out.

    `cut` says, at the end, what was not looked into; empty if nothing was. `left_out` are names of directories at the
    top.
    """

    def __init__(self, root: Path, left_out: Collection[str] = ()) -> None:
        self._root, self._left_out = root, left_out
        self.cut = ""

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for directory, below, files in os.walk(self._root):
            if Path(directory) == self._root:
                below[:] = [name for name in below if name not in self._left_out]
            for name in files:
                count += 1
                if count > MAX_FILES:
                    self.cut = f"names were looked for in the first {MAX_FILES:,} files of {self._root} alone"
                    return
                path = os.path.join(directory, name)
                try:
                    if os.path.islink(path) or not os.path.isfile(path):
                        continue
                    with open(path, "rb") as stream:
                        content = stream.read(_SCANNED)
                except OSError:
                    continue
                yield content
