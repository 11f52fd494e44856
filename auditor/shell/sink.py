"""Where the facts of one command line or script are gathered: each once a line, under limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath
from time import thread_time
from typing import Final, NamedTuple

from auditor.model import Confidence, Dependency, Fact, Kind, Need, Ref, Relation, Where
from auditor.text import endpoint_ref, excerpt, host_ref, is_loopback

HOLE: Final = "\ue000"
"""Stands in a word for what is known only at run time: a parameter, the output of a command."""
FACT_LIMIT: Final = 20_000
_GLOB: Final = re.compile(r"[*?\[]")
_URL: Final = re.compile(r"[a-z\ue000][a-z0-9+.\ue000-]*://[^\s'\"<>|]+", re.IGNORECASE)
_NO_HOST_SCHEMES: Final = frozenset({"file", "unix", "data", "s3", "s3a", "gs", "az", "docker-archive", "oci", "about"})
# Devices and kernel files are no files that a job depends on.
_NO_FILES: Final = ("/dev/", "/proc/", "/sys/")
# What a machine that can't store anything any more can still write: memory, for the most part.
_VOLATILE: Final = (*_NO_FILES, "/run/", "/tmp/", "/var/lock/", "/var/run/")  # noqa: S108 - nothing is written here


class ScriptLimitError(Exception):
    """A script is too long, too deep or too slow to go on with; the text says which."""


class Word(NamedTuple):
    """One argument of a command after expansion, and the row (from 0) it stands on."""

    text: str
    row: int = 0

    @property
    def known(self) -> bool:
        """Whether nothing of it is left to run time."""
        return HOLE not in self.text


def is_url(text: str) -> bool:
    """Whether a whole word is a URL that names a host."""
    if "://" not in text:
        return False
    return bool(_URL.fullmatch(text)) and text.split("://", 1)[0].lower() not in _NO_HOST_SCHEMES


class Sink:
    """Collects dependencies of one consumer. `lines` is the script's text; None if all facts share one place.

    `seconds` are of this thread's processor time.
    """

    def __init__(self, consumer: Ref, where: Where, lines: list[str] | None, seconds: float) -> None:
        self._consumer = consumer
        self._where = where
        self._lines = lines
        self._first = max(where.line, 1)
        self._places: dict[int, Where] = {}
        self._deadline = thread_time() + seconds
        self._seen: set[tuple[Relation, Ref, Need | None, int]] = set()
        self._facts: list[Fact] = []
        self._steps = 0
        self.remote = 0
        """How many ssh or container levels deep we are: nothing local is meant there, and hosts are less certain."""
        self.written_there = 0
        """How many files the commands on another machine write there, so far."""

    def tick(self) -> None:
        """Counts one step. Raises ScriptLimitError once the time is up."""
        self._steps += 1
        if self._steps % 64 == 0 and thread_time() > self._deadline:
            raise ScriptLimitError("the script takes too long to analyse")

    def remaining(self) -> float:
        """Seconds of this thread's processor time that are left."""
        return self._deadline - thread_time()

    def place(self, row: int) -> Where:
        """The place of a row of the text."""
        if self._lines is None:
            return self._where
        found = self._places.get(row)
        if found is None:
            line = self._lines[row] if row < len(self._lines) else ""
            found = self._places[row] = Where(self._first + row, excerpt(line), self._where.path, self._where.api)
        return found

    def take(self) -> Iterator[Fact]:
        """The facts so far, in order; the sink is empty afterwards."""
        facts, self._facts = self._facts, []
        yield from facts

    def emit(
        self,
        relation: Relation,
        provider: Ref,
        row: int,
        need: Need | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """One dependency, unless the same stands on this line already."""
        key = (relation, provider, need, row if self._lines is not None else 0)
        if key in self._seen:
            return
        if len(self._seen) >= FACT_LIMIT:
            raise ScriptLimitError(f"the script depends on more than {FACT_LIMIT} things")
        self._seen.add(key)
        self._facts.append(Dependency(self._consumer, provider, relation, self.place(row), need, "", confidence))

    def connect(
        self,
        host: str,
        row: int,
        need: Need = Need.READ,
        *,
        port: str = "",
        scheme: str = "",
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """A host by name or address, `user@` allowed; with a port it becomes an endpoint `scheme://host:port`."""
        bare = host.rsplit("@", 1)[-1].strip()
        if not bare or HOLE in bare or _GLOB.search(bare.strip("[]")):
            return
        target = host_ref(bare.strip("[]"))
        if target is None or is_loopback(target.text):
            return
        if port.isdecimal() and len(port) < 10 and 0 < int(port) < 65536:
            shown = f"[{target.text}]" if ":" in target.text else target.text
            endpoint = endpoint_ref(f"{scheme}://{shown}:{int(port)}" if scheme else f"{shown}:{int(port)}")
            target = endpoint or target
        self.emit(Relation.CONNECTS, target, row, need, self._sure(confidence))

    def url(self, text: str, row: int, need: Need = Need.READ, *, confidence: Confidence = Confidence.HIGH) -> None:
        """A URL. What is unknown of its path is cut off; an unknown host is no dependency."""
        scheme, mark, rest = text.partition("://")
        if not mark:
            scheme, rest = "", text
        if HOLE in scheme:
            scheme = ""
        if scheme.lower() in _NO_HOST_SCHEMES:
            return
        authority, slash, path = rest.partition("/")
        authority = re.split(r"[?#]", authority, maxsplit=1)[0].rsplit("@", 1)[-1]
        if HOLE in authority:
            host, colon, tail = authority.rpartition(":")
            if not colon or HOLE in host or tail.strip(HOLE):
                return
            authority = host
        unknown = re.search(rf"[*{HOLE}]", path)
        if unknown is not None:
            known, *query = re.split(r"[?#]", path[: unknown.start()], maxsplit=1)
            # Where the unknown stands in the query, the path before it is whole.
            path = known if query else known[: known.rfind("/") + 1]
        target = endpoint_ref((f"{scheme}://" if scheme else "") + authority + slash + path.lstrip("\n"))
        bare = endpoint_ref(authority)
        if target is None or bare is None:
            return
        host = bare.text.rsplit(":", 1)[0] if bare.text.count(":") == 1 else bare.text
        if is_loopback(host.strip("[]") if host.endswith("]") else host):
            return
        if bare.text.startswith("[") and is_loopback(bare.text[1:].split("]", 1)[0]):
            return
        self.emit(Relation.CONNECTS, target, row, need, self._sure(confidence))

    def path(
        self,
        relation: Relation,
        text: str,
        row: int,
        need: Need | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """A local file. Only absolute paths; what is unknown or a pattern leaves the directory above it."""
        if self.remote:
            unknown = text.startswith((HOLE, "~"))
            self.written_there += relation is Relation.WRITES and not unknown and not text.startswith(_VOLATILE)
            return
        if not text.startswith("/") or "\n" in text or len(text) > 4096:
            return
        if HOLE in text or _GLOB.search(text):
            if relation is not Relation.WRITES and HOLE in text:
                return
            known = text[: min(m.start() for m in re.finditer(rf"[*?\[{HOLE}]", text))]
            text = known.rpartition("/")[0]
            confidence = Confidence.MEDIUM
        text = normpath(text) if text else ""
        text = "/" + text.lstrip("/")
        if text == "/" or text.startswith(_NO_FILES) or text == "/dev":
            return
        self.emit(relation, Ref(Kind.PATH, text), row, need, confidence)

    def reads(self, text: str, row: int) -> None:
        self.path(Relation.READS, text, row)

    def writes(self, text: str, row: int) -> None:
        self.path(Relation.WRITES, text, row)

    def calls(self, text: str, row: int, confidence: Confidence = Confidence.HIGH) -> None:
        self.path(Relation.CALLS, text, row, None, confidence)

    def client(self, name: str, row: int) -> None:
        """An ACME client, also one in a container of this host."""
        sure = Confidence.MEDIUM if self.remote else Confidence.HIGH
        self.emit(Relation.CALLS, Ref(Kind.CLIENT, name), row, None, sure)

    def unit(self, name: str, row: int) -> None:
        """A systemd unit that is started or reloaded; `.service` where no type is given, as systemctl(1) does."""
        if self.remote or not name or HOLE in name or _GLOB.search(name) or "/" in name:
            return
        if name.rpartition(".")[2] not in _UNIT_TYPES:
            name += ".service"
        self.emit(Relation.CALLS, Ref(Kind.UNIT, name), row, None, Confidence.MEDIUM)

    def _sure(self, confidence: Confidence) -> Confidence:
        return Confidence.MEDIUM if self.remote and confidence is Confidence.HIGH else confidence


_UNIT_TYPES: Final = frozenset(
    {"service", "timer", "socket", "target", "mount", "automount", "path", "slice", "scope", "device", "swap"}
)
