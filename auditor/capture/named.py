"""What the captures of a host name and do not hold: scripts that jobs call, files that configurations include."""

from __future__ import annotations

import posixpath
import re
import threading
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from auditor.api import Collector, Dependency, Fragment, Kind, Relation
from auditor.capture.program import MAX_WANTED, usable

MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of a capture that is looked into; a longer one is data."""
MAX_SECONDS: Final = 5.0
"""Processor time for the captures of one host."""
_REMEMBERED: Final = 100_000
_REMEMBERED_BYTES: Final = 32 * 1024 * 1024
"""Of the captures whose paths and fragments are remembered: those take up some times as much."""
_RUN: Final = frozenset(
    {Relation.CALLS, Relation.DEPLOYED_BY, Relation.RENEWED_BY, Relation.VALIDATED_THROUGH, Relation.NOTIFIES}
)
_RELATIONS: Final = _RUN | {Relation.READS}
UNIT_PLACES: Final = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system")
_UNIT: Final = re.compile(r"[\w@:.-]{1,200}\.[a-z]+")
_CONFIGURATION: Final = ("/etc/", "/usr/local/etc/", "/opt/", "/srv/")
_LEFT_OUT: Final = tuple("/proc/ /dev/ /sys/ /run/ /tmp/ /var/run/".split())
_PROGRAMS: Final = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")
"""Mostly machine code of the distribution: asked for last."""


class Named:
    """Reads captures with the collectors, which are pure; the same content under the same path once for all hosts."""

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._collectors = collectors
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bytes], tuple[tuple[str, ...], tuple[tuple[int, Fragment], ...]]] = {}
        self._bytes = 0

    def wanted(self, documents: Mapping[str, bytes], asked: frozenset[str]) -> list[str]:
        """Paths that these documents (by path) name, that are none of them, and that were not asked for yet."""
        found: dict[str, None] = {}
        # One host at a time: parsers hold the interpreter anyway, and not every library of theirs is made for threads.
        with self._lock:
            until = time.thread_time() + MAX_SECONDS
            fragments: dict[int, list[Fragment]] = {}
            for path, content in documents.items():
                if len(content) > MAX_DOCUMENT or b"\0" in content or time.thread_time() > until:
                    continue
                paths, pieces = self._of(path, content)
                found.update(dict.fromkeys(paths))
                for index, piece in pieces:
                    fragments.setdefault(index, []).append(Fragment(piece.kind, piece.value, piece.where, "", path))
            for index, pieces_of in fragments.items():
                if time.thread_time() < until:
                    found.update(dict.fromkeys(self._joined(index, pieces_of, documents)))
        there = set(documents) | asked
        asking = [path for path in found if path not in there and _worth_asking(path)]
        return sorted(asking, key=lambda path: path.startswith(_PROGRAMS))[:MAX_WANTED]

    def _of(self, path: str, content: bytes) -> tuple[tuple[str, ...], tuple[tuple[int, Fragment], ...]]:
        key = (path, blake2b(content, digest_size=16).digest())
        if (known := self._known.get(key)) is not None:
            return known
        from auditor.model import Document

        document, head = Document(path, content), content[:4096]
        paths: dict[str, None] = {}
        pieces: list[tuple[int, Fragment]] = []
        for index, collector in enumerate(self._collectors):
            # Whatever a plugin raises is reported by the audit; here it only means that it names nothing.
            try:
                if not collector.recognizes(path, head):
                    continue
                for item in collector.parse(document):
                    if isinstance(item, Fragment):
                        if not collector.across_sources:
                            pieces.append((index, item))
                    elif isinstance(item, Dependency):
                        paths.update(dict.fromkeys(_paths(item)))
            except Exception:  # noqa: BLE001, S112
                continue
        self._bytes += len(content)
        if len(self._known) >= _REMEMBERED or self._bytes > _REMEMBERED_BYTES:
            self._known.clear()
            self._bytes = len(content)
        self._known[key] = tuple(paths), tuple(pieces)
        return self._known[key]

    def _joined(self, index: int, pieces: Sequence[Fragment], documents: Mapping[str, bytes]) -> list[str]:
        paths: list[str] = []

        def read(path: str) -> bytes | None:
            normal = posixpath.normpath(path)
            if normal not in documents:
                paths.append(normal)
            return documents.get(normal)

        try:
            for item in self._collectors[index].combine(pieces, read):
                if isinstance(item, Dependency):
                    paths.extend(_paths(item))
        except Exception:  # noqa: BLE001
            return paths
        return paths


def _paths(item: Dependency) -> tuple[str, ...]:
    """The files behind the other end of a dependency, if it is a script, an included file or a unit of this host."""
    if item.relation not in _RELATIONS or item.provider.scope:
        return ()
    text = item.provider.text
    if item.provider.kind is Kind.PATH:
        # What is called is a script; what is read may be data, which says nothing.
        return (text,) if item.relation in _RUN or text.startswith(_CONFIGURATION) else ()
    if item.provider.kind is Kind.UNIT and _UNIT.fullmatch(text):
        return tuple(f"{place}/{text}" for place in UNIT_PLACES)
    return ()


def _worth_asking(path: str) -> bool:
    return usable(path) and not path.startswith(_LEFT_OUT) and not any(mark in path for mark in '*?[]{}$`%"\\')
