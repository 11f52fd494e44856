"""Every parser's cases as data: `tests/collectors/<collector>/<case>.raw` and `<case>.json` beside it.

The directory names the module: `tests/collectors/crontab/` is read by the Collector in `collectors/crontab.py`, or in
`collectors/crontab/__init__.py`; `prometheus.rules` is read by that in `collectors/prometheus/rules.py`.
A case's JSON object has these keys:

- `path`: the path that the document has. `why`: what the case is about, and its source.
- `documents`: other documents of the same source, a mapping of path to file name in the directory. They are recognized
  and parsed too, in the order written, and can be read by `combine`. Optional. Without a `.raw` file of its own a case
  has only these.
- `readable`: documents like these that are not recognized and not parsed: `combine` can only read them. Optional.
- `expect`: items that must be yielded, by `parse` or, with fragments, by `combine`:
  `{"entity": [kind, text], "line": 3, "attributes": {subset}}`,
  `{"dependency": [[kind, text], relation, [kind, text]], "line": 3, "need": "run", "group": "g", "confidence": "low"}`,
  `{"malformed": "part of the reason", "line": 2, "effect": "part of it", "whole": true}`,
  `{"fragment": kind, "line": 1}`. All but the first key are optional; a reference may have a third item, its scope.
  An attribute of null must be absent. `"path"` compares `where.path`, `"excerpt"` is a part of the excerpt.
- `absent`: items in the same form that must not be yielded.
- `exact`: true if nothing else may be yielded (fragments apart).
- `recognized`: false if the collector must not claim the document; nothing is parsed then. Default true.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed, Ref

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.json"))
KEYS = frozenset({"path", "why", "expect", "absent", "exact", "documents", "readable", "recognized"})
ITEM_KEYS = {
    "entity": frozenset({"line", "attributes", "path", "excerpt"}),
    "dependency": frozenset({"line", "need", "group", "confidence", "path", "excerpt"}),
    "malformed": frozenset({"line", "effect", "whole", "path", "excerpt"}),
    "fragment": frozenset({"line", "path", "excerpt"}),
}


@cache
def collector_of(directory: str) -> Collector:
    """The one collector that a module `collectors.<directory>` defines."""
    module = importlib.import_module(f"collectors.{directory}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Collector)
        and not inspect.isabstract(value)
        and (value.__module__ == module.__name__ or value.__module__.startswith(f"{module.__name__}."))
    ]
    assert len(found) == 1, (
        f"collectors.{directory} defines {len(found)} collectors; a case directory needs exactly one"
    )
    return found[0]()


def _ref(item: list[str]) -> tuple[str, ...]:
    return tuple(item) if len(item) == 3 else (*item, "")


def _key(ref: Ref) -> tuple[str, str, str]:
    return (str(ref.kind), ref.text, ref.scope)


def _value(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def matches(item: Mapping[str, Any], fact: Parsed) -> bool:
    """Whether what a parser yielded is what an item of a case describes."""
    kind = next((name for name in ITEM_KEYS if name in item), "")
    assert kind, f"an item without one of {', '.join(ITEM_KEYS)}: {item}"
    unknown = set(item) - ITEM_KEYS[kind] - {kind}
    assert not unknown, f"unknown keys {sorted(unknown)} in {item}"
    if "line" in item and fact.where.line != item["line"]:
        return False
    if "path" in item and fact.where.path != item["path"]:
        return False
    if item.get("excerpt", "") not in fact.where.excerpt:
        return False
    if kind == "entity":
        return (
            isinstance(fact, Entity)
            and _key(fact.ref) == _ref(item["entity"])
            and all(
                fact.attributes.get(name) == _value(value) and (value is not None or name not in fact.attributes)
                for name, value in item.get("attributes", {}).items()
            )
        )
    if kind == "dependency":
        consumer, relation, provider = item["dependency"]
        return (
            isinstance(fact, Dependency)
            and _key(fact.consumer) == _ref(consumer)
            and str(fact.relation) == relation
            and _key(fact.provider) == _ref(provider)
            and item.get("need", fact.required) == str(fact.required)
            and item.get("group", fact.group) == fact.group
            and item.get("confidence", fact.confidence) == str(fact.confidence)
        )
    if kind == "malformed":
        return (
            isinstance(fact, Malformed)
            and item["malformed"] in fact.reason
            and item.get("effect", "") in fact.effect
            and item.get("whole", fact.whole) == fact.whole
        )
    return isinstance(fact, Fragment) and fact.kind == item["fragment"]


def describe(facts: Sequence[Parsed]) -> str:
    """What was yielded, one line each, to be read in a failure."""
    lines = []
    for fact in facts:
        if isinstance(fact, Entity):
            text = f"entity {_key(fact.ref)} {dict(fact.attributes)}"
        elif isinstance(fact, Dependency):
            text = f"dependency {_key(fact.consumer)} {fact.relation} {_key(fact.provider)}"
            text += f" need={fact.required} group={fact.group!r} {fact.confidence}"
        elif isinstance(fact, Malformed):
            text = f"malformed {fact.reason!r} effect={fact.effect!r} whole={fact.whole}"
        else:
            text = f"fragment {fact.kind}"
        lines.append(f"  line {fact.where.line} {fact.where.path}: {text}")
    return "\n".join(lines) or "  nothing"


def read_case(file: Path) -> tuple[dict[str, Any], list[Document]]:
    """A case and its documents, the `.raw` file's first."""
    case = json.loads(file.read_text("utf-8"))
    unknown = set(case) - KEYS
    assert not unknown, f"{file.name}: unknown keys {sorted(unknown)}"
    assert case.get("why"), f"{file.name} does not say why it exists"
    documents = []
    raw = file.with_suffix(".raw")
    if raw.exists():
        documents.append(Document(case["path"], raw.read_bytes()))
    documents += [Document(path, (file.parent / name).read_bytes()) for path, name in case.get("documents", {}).items()]
    assert documents, f"{file.name} has no document"
    return case, documents


def readable_beside(file: Path, case: Mapping[str, Any]) -> dict[str, bytes]:
    """The documents of a case that can only be read."""
    return {path: (file.parent / name).read_bytes() for path, name in case.get("readable", {}).items()}


def collect(
    collector: Collector, documents: list[Document], readable: Mapping[str, bytes] = MappingProxyType({})
) -> list[Parsed]:
    """What `parse` says of each document, then what `combine` says of all fragments, as the engine calls them."""
    facts: list[Parsed] = []
    fragments: list[Fragment] = []
    for document in documents:
        assert collector.recognizes(document.path, document.content[:4096]), f"{document.path} is not recognized"
        for fact in collector.parse(document):
            facts.append(fact)
            if isinstance(fact, Fragment):
                fragments.append(Fragment(fact.kind, fact.value, fact.where, "host", fact.path or document.path))
    if fragments:
        contents = {document.path: document.content for document in documents} | dict(readable)
        facts.extend(collector.combine(fragments, contents.get))
    return facts


@pytest.mark.parametrize("file", CASES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_case(file: Path) -> None:
    collector = collector_of(file.parent.name)
    case, documents = read_case(file)
    if not case.get("recognized", True):
        for document in documents:
            assert not collector.recognizes(document.path, document.content[:4096]), f"{document.path} is recognized"
        return
    facts = collect(collector, documents, readable_beside(file, case))
    told = f"\n{file.parent.name}/{file.stem} ({case['why']}) yielded:\n{describe(facts)}"
    left = list(facts)
    assert case.get("expect") or case.get("absent") or case.get("exact"), "a case that expects nothing can't fail"
    for item in case.get("expect", []):
        found = next((fact for fact in left if matches(item, fact)), None)
        assert found is not None, f"not yielded: {item}{told}"
        left.remove(found)
    for item in case.get("absent", []):
        assert not any(matches(item, fact) for fact in facts), f"must not be yielded: {item}{told}"
    if case.get("exact"):
        more = [fact for fact in left if not isinstance(fact, Fragment)]
        assert not more, f"yielded beyond what is expected:\n{describe(more)}{told}"


def test_every_raw_file_has_its_case() -> None:
    named = {
        (file.parent, name)
        for file in CASES
        for key in ("documents", "readable")
        for name in json.loads(file.read_text("utf-8")).get(key, {}).values()
    }
    stray = [
        f"{raw.parent.name}/{raw.name}"
        for raw in HERE.glob("*/*.raw")
        if not raw.with_suffix(".json").exists() and (raw.parent, raw.name) not in named
    ]
    assert not stray
