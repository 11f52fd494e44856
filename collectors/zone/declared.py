"""Which zone a file is, by the `named.conf` beside it: the file itself need not say so.

A zone file of which named.conf gives the zone has that as its origin, and one file may be several zones. Relative names
of files are below `directory`. Source: the BIND 9.18 ARM, "zone", "view", "options", "include".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from auditor.api import Read, decode, is_hostname, normal_name

CONFIGURATIONS_LIMIT: Final = 300
"""Files that the includes of one configuration may read together."""
BYTES_LIMIT: Final = 8 << 20

_PLACES: Final = (
    "/etc/bind/named.conf",
    "/etc/named.conf",
    "/etc/named/named.conf",
    "/usr/local/etc/namedb/named.conf",
    "/var/named/chroot/etc/named.conf",
)
_BESIDE: Final = ("named.conf", "etc/named.conf", "etc/bind/named.conf", "bind/named.conf", "named/named.conf")
_TOKEN: Final = re.compile(
    r"\s++|#[^\n]*|//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)"
    r'|"((?:[^"\\\n]|\\.)*+)"?|([{};])|([^\s{};"#]+?(?=[\s{};"#]|/[/*]|\Z))'
)
_DEPTH: Final = 20


@dataclass(slots=True)
class Declared:
    """Zones by the path of their file, in the order of the configuration: the zone's name and its view."""

    zones: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    directory: str = ""


def declared(paths: Iterable[str], read: Read) -> Declared:
    """What the configurations of a source say of its zone files; empty if none was captured."""
    found = Declared()
    for place in _candidates(paths):
        content = read(place)
        if content is not None:
            _Reader(read, found).file(place, content)
            if found.zones:
                return found
    return found


def _candidates(paths: Iterable[str]) -> Iterator[str]:
    """Where a named.conf may be: at its usual places on a host, in a tree beside the zone files or above them."""
    tried: set[str] = set()
    on_host = False
    for path in paths:
        if path.startswith("/"):
            on_host = True
            continue
        for parent in list(PurePosixPath(path).parents)[:8]:
            for name in _BESIDE:
                place = str(parent / name)
                if place not in tried:
                    tried.add(place)
                    yield place
    if on_host:
        yield from _PLACES


class _Reader:
    """Follows one configuration and what it includes."""

    def __init__(self, read: Read, found: Declared) -> None:
        self.read = read
        self.found = found
        self.files: set[str] = set()
        self.root = ""

    def file(self, path: str, content: bytes) -> None:
        """Reads a configuration; `root` is where the server's own `/` is in the source."""
        if not path.startswith("/"):
            self.root = path.rpartition("etc/")[0] if "etc/" in path else ""
        elif path.startswith("/var/named/chroot/"):
            self.root = "/var/named/chroot"
        self._include(path, content)

    def _include(self, path: str, content: bytes) -> None:
        self.files.add(path)
        if len(content) > BYTES_LIMIT:
            return
        tokens = (found for found in _TOKEN.finditer(decode(content)) if found.lastindex is not None)
        words = ((found[2] or "", found[1] if found[1] is not None else (found[3] or "")) for found in tokens)
        self._level(iter(words), "", path, 0)

    def _level(self, tokens: Iterator[tuple[str, str]], view: str, path: str, depth: int) -> dict[str, str]:
        """Statements up to the closing brace; returns those of one value."""
        values: dict[str, str] = {}
        words: list[str] = []
        for mark, word in tokens:
            if not mark:
                words.append(word)
                continue
            if mark == "{":
                keyword = words[0].lower() if words else ""
                name = words[1] if len(words) > 1 else ""
                if depth >= _DEPTH:
                    return values
                inner = self._level(tokens, name if keyword == "view" else view, path, depth + 1)
                if keyword == "options":
                    self.found.directory = inner.get("directory", self.found.directory)
                elif keyword == "zone" and inner.get("file"):
                    self._zone(name, view, inner, path)
                words = []
                continue
            if len(words) > 1:
                values[words[0].lower()] = words[1]
                if words[0].lower() == "include":
                    self._follow(words[1], path)
            words = []
            if mark == "}":
                return values
        return values

    def _follow(self, name: str, path: str) -> None:
        for place in (self._place(name), posixpath.join(posixpath.dirname(path), posixpath.basename(name))):
            if place and place not in self.files and len(self.files) < CONFIGURATIONS_LIMIT:
                content = self.read(place)
                if content is not None:
                    self._include(place, content)
                    return

    def _place(self, name: str) -> str:
        """A path of the server's in the source."""
        if not name.startswith("/"):
            name = posixpath.join(self.found.directory, name)
        return posixpath.normpath(self.root + name) if self.root else posixpath.normpath(name)

    def _zone(self, name: str, view: str, inner: dict[str, str], path: str) -> None:
        zone = normal_name(name)
        if not (zone == "" or is_hostname(zone.replace("/", "-"))) or inner.get("type", "").lower() == "hint":
            return
        file = inner["file"]
        places = [self._place(file)]
        if not path.startswith("/"):
            # A repository keeps the files where its configuration is, whatever the server's directory.
            here = posixpath.dirname(path)
            places += [
                posixpath.normpath(posixpath.join(here, one))
                for one in (file.lstrip("/"), posixpath.basename(file), f"../{file.lstrip('/')}")
            ]
        for place in dict.fromkeys(places):
            zones = self.found.zones.setdefault(place, [])
            if (zone, view) not in zones:
                zones.append((zone, view))
