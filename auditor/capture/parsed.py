"""What files yield, kept from run to run: a file that is the same as before is not parsed again.

The place may be one that others write to (a cache of continuous integration). It holds JSON: nothing in it is run, no
module is loaded for it, and an entry that is not of the shape it should have counts as none. Whether an entry says what
its collector would say can't be told, unless the whole is signed with a key that those others don't have.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from auditor import __version__
from auditor.api import Collector
from auditor.capture.kept_file import WRONG, NotOursError, key_of, regular, tidy, write_whole
from auditor.capture.reading import Template
from auditor.model import (
    NO_ATTRIBUTES,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
)

FORMAT: Final = "auditor parsed files 1"
KEY: Final = "AUDITOR_CACHE_KEY"
"""The environment variable with the key that signs and checks the whole."""
MAX_SIZE: Final = 256 * 1024 * 1024
"""Bytes of a file that is read; of a larger one nothing is."""
MAX_KEPT: Final = 64 * 1024 * 1024
"""Bytes of entries that this run had no use for and that are kept for others."""
MAX_ENTRY: Final = 8 * 1024 * 1024
MAX_FILES: Final = 4
"""Files that a directory has, each of another auditor; beyond them the one that was written longest ago goes."""
_KEY_SIZE: Final = 32
_SOURCES: Final = (".py", ".so", ".pyd", ".json", ".yaml", ".yml", ".toml", ".csv", ".txt")
"""What parsing may depend on, in a package: code, and tables."""
_KINDS: Final = tuple(Kind)
_RELATIONS: Final = tuple(Relation)
_NEEDS: Final = (None, *Need)
_CONFIDENCES: Final = tuple(Confidence)


class _NotKeptError(Exception):
    """A value that can't be written down: its file is parsed each time."""


class ParsedFiles:
    """A directory with what was parsed before, for one auditor with one set of collectors."""

    def __init__(self, directory: Path, collectors: Sequence[Collector], *, secret: str = "") -> None:
        """What is missing, broken or not signed with `secret` counts as nothing. It is read when it is asked for."""
        self.directory = directory
        self._codec = _Codec(collectors)
        self._secret = key_of(secret)
        self._fingerprint = fingerprint(collectors)
        self._file = directory / f"parsed-{self._fingerprint[:16]}.jsonl"
        self._read_lines: dict[bytes, bytes] | None = None
        self._used: dict[bytes, bytes] = {}
        self.added = 0
        """Files that were parsed in this run."""
        self.refused: NotOursError | None = None
        """Why what is there was not read."""

    @property
    def _lines(self) -> dict[bytes, bytes]:
        if self._read_lines is None:
            self._read_lines = self._read()
        return self._read_lines

    @property
    def hits(self) -> int:
        """Files that need not be parsed in this run."""
        return len(self._used) - self.added

    def has(self, path: str, digest: bytes) -> bool:
        """Whether there is an entry, right or wrong."""
        return _key(path, digest) in self._lines

    def find(self, path: str, digest: bytes) -> Template | None:
        """What a file yielded; None if that is not known."""
        key = _key(path, digest)
        line = self._lines.get(key)
        if line is None:
            return None
        try:
            template = self._codec.read(line[_KEY_SIZE + 1 :])
            if template.path != path or template.digest != digest:
                raise ValueError
        except WRONG:
            del self._lines[key]
            return None
        self._used[key] = line
        return template

    def add(self, template: Template) -> None:
        """Keeps what a file has yielded, if it can be written down."""
        try:
            line = self._codec.written(template)
        except _NotKeptError:
            return
        key = _key(template.path, template.digest)
        if len(line) <= MAX_ENTRY:
            self._lines[key] = self._used[key] = key + b" " + line
            self.added += 1

    def save(self) -> None:
        """Writes all of it, if there is something new. Raises OSError."""
        if not self.added:
            return
        used = list(_fitting(self._used.values(), MAX_SIZE // 2))
        room = min(MAX_KEPT, MAX_SIZE // 2 - sum(map(len, used)) - len(used))
        others = _fitting((line for key, line in self._lines.items() if key not in self._used), room)
        body = b"\n".join((*used, *others))
        head = json.dumps({"format": FORMAT, "of": self._fingerprint, "sum": self._sum(body)}).encode()
        write_whole(self._file, [head, b"\n", body])
        tidy(self.directory, "parsed", MAX_FILES, MAX_FILES * MAX_SIZE)

    def _read(self) -> dict[bytes, bytes]:
        try:
            with regular(self._file, MAX_SIZE, signed=bool(self._secret)) as stream:
                head, _, body = stream.read(MAX_SIZE + 1).partition(b"\n")
        except NotOursError as error:
            self.refused = error
            return {}
        except OSError:
            return {}
        try:
            said = json.loads(head)
            good = said["format"] == FORMAT and said["of"] == self._fingerprint
            good = good and hmac.compare_digest(said["sum"], self._sum(body))
        except WRONG:
            return {}
        if not good:
            return {}
        return {line[:_KEY_SIZE]: line for line in body.split(b"\n") if line}

    def _sum(self, body: bytes) -> str:
        return blake2b(body, digest_size=32, key=self._secret).hexdigest()


def _fitting(lines: Iterable[bytes], room: int) -> Iterator[bytes]:
    """Lines of which so many bytes are no more than there is room for."""
    for line in lines:
        if (room := room - len(line) - 1) >= 0:
            yield line


def _key(path: str, digest: bytes) -> bytes:
    return blake2b(path.encode("utf-8", "surrogateescape") + b"\0" + digest, digest_size=16).hexdigest().encode()


def fingerprint(collectors: Sequence[Collector]) -> str:
    """What parsing depends on: our code, the collectors in their order, Python, and the packages beside us."""
    found = blake2b(f"{FORMAT}\0{__version__}\0{sys.version}\0".encode(), digest_size=32)
    for collector in collectors:
        kind = type(collector)
        found.update(f"{collector.name}\0{kind.__module__}\0{kind.__qualname__}\0".encode())
    for source in _sources(collectors):
        found.update(f"{source.name}\0".encode("utf-8", "surrogateescape"))
        found.update(source.read_bytes())
    for place in sys.path:
        try:
            names = sorted(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        found.update("\0".join(names).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _sources(collectors: Sequence[Collector]) -> list[Path]:
    """The source files of this package and of those that the collectors are in, in an order of their own."""
    found: set[Path] = set()
    for place in {Path(__file__).resolve().parent.parent, *map(_place, collectors)}:
        if place.is_file():
            found.add(place)
        for directory, below, names in os.walk(place):
            below[:] = [name for name in below if name != "__pycache__"]
            found.update(Path(directory, name) for name in names if name.endswith(_SOURCES))
    return sorted(found)


def _place(collector: Collector) -> Path:
    """The package that a collector is in, or its module; the archive, if it was imported from one."""
    parts = type(collector).__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:length]))
        file = getattr(module, "__file__", None)
        # A package that several distributions share has none.
        if module is not None and file is not None:
            archive = getattr(module.__loader__, "archive", None)
            return Path(archive or (Path(file).parent if hasattr(module, "__path__") else file)).resolve()
    return Path(__file__).resolve()


class _Codec:
    """Templates as JSON and back. References and places that occur often are written once an entry."""

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._count = len(collectors)
        self._packages = {_package(type(one).__module__) for one in collectors}
        self._classes: dict[str, type] = {}

    def written(self, template: Template) -> bytes:
        """One line. Raises _NotKeptError."""
        try:
            return json.dumps(self._entry(template), separators=(",", ":")).encode("ascii")
        except WRONG as error:
            raise _NotKeptError from error

    def _entry(self, template: Template) -> list[object]:
        refs: dict[Ref, int] = {}
        wheres: dict[Where, int] = {}

        def ref(one: Ref) -> int:
            return refs.setdefault(one, len(refs))

        def where(one: Where) -> int:
            return wheres.setdefault(one, len(wheres))

        rows: list[list[object]] = []
        for index, item in template.items:
            if isinstance(item, Dependency):
                ends = ref(item.consumer), ref(item.provider)
                how = _RELATIONS.index(item.relation), _NEEDS.index(item.need), _CONFIDENCES.index(item.confidence)
                rows.append([index, 0, where(item.where), *ends, *how, item.group])
            elif isinstance(item, Entity):
                rows.append([index, 1, where(item.where), ref(item.ref), dict(item.attributes)])
            elif isinstance(item, Malformed):
                rows.append([index, 2, where(item.where), item.reason, item.effect, item.whole])
            else:
                value = self._plain(item.value)
                rows.append([index, 3, where(item.where), item.kind, value, item.source, item.path])
        return [
            template.path,
            template.digest.hex(),
            template.size,
            template.text,
            template.sealed,
            template.claimed,
            [[_KINDS.index(one.kind), one.text, one.scope] for one in refs],
            [[one.line, one.excerpt, one.path, one.api] for one in wheres],
            rows,
        ]

    def read(self, line: bytes) -> Template:
        """The template of a line. Raises one of WRONG."""
        path, digest, size, text, sealed, claimed, refs, wheres, rows = json.loads(line)
        must_be(str, path, digest, sealed)
        must_be(bool, text, claimed)
        must_be(int, size)
        known = []
        for kind, named, scope in refs:
            must_be(str, named, scope)
            known.append(Ref(_KINDS[kind], named, scope))
        places = []
        for number, excerpt, inside, api in wheres:
            must_be(str, excerpt, inside, api)
            must_be(int, number)
            places.append(Where(number, excerpt, inside, api))
        items = [(self._collector(row[0]), self._item(row, known, places)) for row in rows]
        template = Template(path, bytes.fromhex(digest), size, text, sealed, items, claimed=claimed)
        template.sort()
        return template

    def _collector(self, index: object) -> int:
        if type(index) is not int or not 0 <= index < self._count:
            raise ValueError("no such collector")
        return index

    def _item(self, row: list[Any], refs: list[Ref], places: list[Where]) -> Parsed:
        kind, where = row[1], places[row[2]]
        if kind == 0:
            _, _, _, consumer, provider, relation, need, confidence, group = row
            must_be(str, group)
            return Dependency(
                refs[consumer],
                refs[provider],
                _RELATIONS[relation],
                where,
                _NEEDS[need],
                group,
                _CONFIDENCES[confidence],
            )
        if kind == 1:
            _, _, _, ref, attributes = row
            return Entity(refs[ref], where, attributes_of(attributes))
        if kind == 2:
            _, _, _, reason, effect, whole = row
            must_be(str, reason, effect)
            must_be(bool, whole)
            return Malformed(where, reason, effect, whole)
        _, _, _, name, value, source, path = row
        must_be(str, name, source, path)
        return Fragment(name, self._value(value), where, source, path)

    def _plain(self, value: object) -> object:
        """A fragment's value as JSON: a tuple is a list, all else that JSON has not is an object with one key."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if isinstance(value, tuple) and kind is tuple:
            return [self._plain(one) for one in value]
        if isinstance(value, frozenset):
            return {"set": sorted((self._plain(one) for one in value), key=json.dumps)}
        if isinstance(value, bytes):
            return {"bytes": value.hex()}
        name = f"{kind.__module__}:{kind.__qualname__}"
        if isinstance(value, Enum) and self._class(name) is kind:
            return {"member": [name, self._plain(value.value)]}
        if isinstance(value, tuple) and self._class(name) is kind:
            return {"made": [name, *(self._plain(one) for one in value)]}
        if is_dataclass(value) and not isinstance(value, type) and self._class(name) is kind:
            return {"made": [name, *(self._plain(getattr(value, one.name)) for one in fields(value) if one.init)]}
        raise TypeError(name)

    def _value(self, value: Any) -> object:
        kind = type(value)
        if kind is list:
            return tuple([one if type(one) is str or type(one) is int else self._value(one) for one in value])
        if kind is not dict:
            return value
        ((what, inner),) = value.items()
        if what == "made":
            return self._class(inner[0])(*[self._value(one) for one in inner[1:]])
        if what == "set":
            return frozenset(self._value(one) for one in inner)
        if what == "bytes":
            return bytes.fromhex(inner)
        if what == "member":
            name, member = inner
            return self._class(name)(self._value(member))
        raise ValueError("no such kind of value")

    def _class(self, name: str) -> type:
        """A frozen dataclass, a named tuple or an enumeration of a collector's package or the model, loaded already.

        Raises one of WRONG for anything else.
        """
        found = self._classes.get(name)
        if found is None:
            module, _, qualified = name.partition(":")
            if _package(module) not in self._packages and module != Ref.__module__:
                raise ValueError("not of a collector")
            found = getattr(sys.modules[module], qualified)
            frozen = is_dataclass(found) and found.__dataclass_params__.frozen  # type: ignore[attr-defined]
            named = isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")
            if not isinstance(found, type) or not (frozen or named or issubclass(found, Enum)):
                raise ValueError("nothing that a fragment holds")
            self._classes[name] = found
        return found


def _package(module: str) -> str:
    """`collectors.nagios` of `collectors.nagios.objects`."""
    return ".".join(module.split(".", 2)[:2])


def attributes_of(found: Mapping[str, Any]) -> Mapping[str, Attribute]:
    """Attributes as they were before they became JSON. Raises one of WRONG."""
    if not found:
        return NO_ATTRIBUTES
    made: dict[str, Attribute] = {}
    for name, value in found.items():
        if type(value) is list:
            must_be(str, *value)
            made[name] = tuple(value)
        elif type(value) in (str, int, float, bool):
            made[name] = value
        else:
            raise ValueError("no attribute")
    return made


def must_be(wanted: type, *values: object) -> None:
    """ValueError for a value of another type, a subclass included."""
    for value in values:
        if type(value) is not wanted:
            raise ValueError(f"no {wanted.__name__}")
