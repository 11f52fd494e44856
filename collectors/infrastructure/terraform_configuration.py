"""Terraform's configuration (HCL) as resources of the form that its plans have, for what is literal in it.

What a resource has of another one is left as `${aws_instance.old.id}`: as every resource gets an id of that form here,
those that name each other are found. Variables and locals are filled in where one directory (a module) gives them
literally: a default, `terraform.tfvars` or `*.auto.tfvars`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from auditor.api import Filler, Fragment, Where, excerpt
from collectors.infrastructure.hcl import HclBlock, HclValue
from collectors.infrastructure.terraform_resources import ZONES

KNOWN_AFTER: Final = ("id", "arn", "self_link")
"""Attributes of which no configuration knows the value, and by which resources name each other."""

_GIVEN: Final = re.compile(r"\$\{\s*((?:var|local)\.[\w-]+|(?:data\.)?[a-z]\w*\.[\w-]+(?:\[[^\]]{0,80}\])?\.\w+)\s*\}")
_INDEX: Final = re.compile(r"\[[^\]]*\]")
_ROUNDS: Final = 5
_LONG: Final = 4096
_FILLED_IN: Final = 1 << 14
"""Characters of values that are filled in, in one resource."""
_DEPTH: Final = 10
_NOT_VALUES: Final = frozenset({"lifecycle", "provisioner", "connection", "depends_on", "provider"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One block or variable of a file, with the lines of its values."""

    block: HclBlock
    lines: tuple[tuple[int, str], ...]
    """Numbers and excerpts."""


@dataclass(slots=True)
class Lines:
    """Where the values of one resource stand; it answers as the places of a plan do."""

    first: Where
    of_value: dict[str, Where] = field(default_factory=dict)

    def of(self, shown: str, sought: str, start: int = 0, end: int | None = None) -> Where:
        """The place of a value in its JSON form; the resource's own if it is not written in it."""
        return self.of_value.get(sought, self.first)


@dataclass(frozen=True, slots=True)
class Configured:
    """A resource: `values` as a plan would have them, without what is computed."""

    address: str
    type: str
    values: Mapping[str, Any]
    lines: Lines


@dataclass(frozen=True, slots=True)
class _Given:
    """What a variable or local is known to be, and where that stands."""

    value: HclValue
    where: Where


def pieces(root: HclBlock, path: str, lines: Sequence[str]) -> Iterator[Fragment]:
    """The parts of one file that matter: resources, and what fills in variables and locals."""
    if path.endswith(".tfvars"):
        for name, value in root.attributes:
            given = HclBlock("given", (f"var.{name}",), value.line, (("value", value),), ())
            yield _fragment(given, path, lines)
        return
    for block in root.blocks:
        if len(block.labels) == 2 and (block.type == "resource" or (block.type == "data" and block.labels[0] in ZONES)):
            yield _fragment(block, path, lines)
        elif block.type == "variable" and len(block.labels) == 1 and (default := block.get("default")) is not None:
            name = f"var.{block.labels[0]}"
            yield _fragment(HclBlock("default", (name,), default.line, (("value", default),), ()), path, lines)
        elif block.type == "locals":
            for name, value in block.attributes:
                local = HclBlock("given", (f"local.{name}",), value.line, (("value", value),), ())
                yield _fragment(local, path, lines)


def _fragment(block: HclBlock, path: str, lines: Sequence[str]) -> Fragment:
    found = {value.line for value in _values(block)} | {block.line}
    shown = tuple((number, excerpt(lines[number - 1])) for number in sorted(found) if number <= len(lines))
    return Fragment("hcl", Piece(block, shown), Where(block.line))


def _values(block: HclBlock) -> Iterator[HclValue]:
    pending = [value for _, value in block.attributes]
    blocks = list(block.blocks)
    while blocks:
        inner = blocks.pop()
        pending += [value for _, value in inner.attributes]
        blocks += inner.blocks
    while pending:
        value = pending.pop()
        yield value
        pending += [one for _, one in value.pairs] if value.is_object else [e for e in value.elements if e is not value]


def configured(fragments: Sequence[Fragment]) -> Iterator[list[Configured]]:
    """The resources of each directory."""
    directories: dict[str, list[tuple[str, Piece]]] = {}
    for fragment in fragments:
        if isinstance(fragment.value, Piece):
            directories.setdefault(fragment.path.rpartition("/")[0], []).append((fragment.path, fragment.value))
    for parts in directories.values():
        given: dict[str, _Given] = {}
        for wanted in ("given", "default"):
            for path, piece in parts:
                if piece.block.type == wanted:
                    value = piece.block.attributes[0][1]
                    given.setdefault(piece.block.labels[0], _Given(value, _where(path, piece, value.line)))
        for path, piece in parts:
            for key, value in _names(piece.block):
                given.setdefault(f"{address_of(piece.block)}.{key}", _Given(value, _where(path, piece, value.line)))
        found = [_resource(path, piece, given) for path, piece in parts if piece.block.type in ("resource", "data")]
        yield [one for one in found if one is not None]


def address_of(block: HclBlock) -> str:
    """How others name a resource or data source: `aws_route53_zone.main`, `data.aws_route53_zone.main`."""
    return ".".join((*(("data",) if block.type == "data" else ()), *block.labels))


def _names(block: HclBlock) -> Iterator[tuple[str, HclValue]]:
    """The attributes of a zone that are its name: other resources make their names of it."""
    if block.type in ("resource", "data") and block.labels[0] in ZONES:
        for key in ZONES[block.labels[0]]:
            if (value := block.get(key)) is not None:
                yield key, value


def _where(path: str, piece: Piece, line: int) -> Where:
    text = next((shown for number, shown in piece.lines if number == line), "")
    return Where(line, text, path=path)


def _resource(path: str, piece: Piece, given: Mapping[str, _Given]) -> Configured | None:
    block = piece.block
    count = block.get("count")
    if count is not None and count.value == 0:
        return None
    address = address_of(block)
    lines = Lines(_where(path, piece, block.line))
    reader = _Filler(path, piece, given, lines)
    values = reader.body(block, 0)
    for key in KNOWN_AFTER:
        values.setdefault(key, "${" + f"{address}.{key}" + "}")
    return Configured(excerpt(address), block.labels[0], values, lines)


class _Filler:
    """Turns one block's values into those of a plan, and notes where they stand."""

    def __init__(self, path: str, piece: Piece, given: Mapping[str, _Given], lines: Lines) -> None:
        self.path = path
        self.piece = piece
        self.given = given
        self.lines = lines
        self.filler = Filler(_GIVEN, _FILLED_IN)

    def body(self, block: HclBlock, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in block.attributes:
            if name not in _NOT_VALUES:
                values[name] = self.value(value, depth)
        for inner in block.blocks[:1000]:
            if inner.type not in _NOT_VALUES and inner.type != "dynamic" and depth < _DEPTH:
                made = values.setdefault(inner.type, [])
                if isinstance(made, list):
                    made.append(self.body(inner, depth + 1))
        return values

    def value(self, value: HclValue, depth: int, where: Where | None = None) -> Any:
        if value.is_object:
            return {key: self.value(one, depth + 1, where) for key, one in value.pairs}
        if isinstance(value.value, tuple):
            return [self.value(one, depth + 1, where) for one in value.elements]
        if not isinstance(value.value, str):
            return value.value
        where = where or _where(self.path, self.piece, value.line)
        whole = _GIVEN.fullmatch(value.value)
        known = self.given.get(_INDEX.sub("", whole[1])) if whole is not None else None
        if known is not None and depth < _DEPTH:
            return self.value(known.value, depth + 1, known.where)
        text = value.value
        for _ in range(_ROUNDS):
            before, text = text, self.filler.fill(text, self._filled)
            if text == before or len(text) > _LONG:
                break
        self.lines.of_value.setdefault(json.dumps(text, ensure_ascii=False), where)
        return text

    def _filled(self, found: re.Match[str]) -> str | None:
        known = self.given.get(_INDEX.sub("", found[1]))
        if known is None or not isinstance(known.value.value, str) or len(known.value.value) > _LONG:
            return None
        return known.value.value
