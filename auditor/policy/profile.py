"""Profiles: the areas of a checklist and what people are asked in each, from YAML.

Imports pydantic: import this module only where a profile is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictStr, WithJsonSchema

from auditor.errors import PolicyError
from auditor.inventory.entries import Entry, Text, checked, read, schema_of, told, without_value
from auditor.inventory.values import WrongValueError
from auditor.inventory.yaml_lines import SIZE_LIMIT, Problem
from auditor.model import ALWAYS_SEEN, PLAIN, Area, ChecklistArea, ManualItem, Phase, Profile
from auditor.phrases import listed

_ID: Final = r"[a-z][a-z0-9-]{0,39}"


def _identity(value: str) -> str:
    if not re.fullmatch(_ID, value):
        raise WrongValueError("expected an id", "lower-case letters, digits and hyphens, 40 at most: scream-test")
    return value


Id = Annotated[StrictStr, AfterValidator(checked(_identity)), WithJsonSchema({"type": "string", "pattern": f"^{_ID}$"})]


class ProfileItem(Entry):
    """A question that no machine can answer."""

    id: Id = Field(description="What answers refer to it by. Of all areas together, each once.")
    text: Text = Field(description="The question. Yes is the answer that lets the host go.")
    who: Text = Field(description="The role that answers it.")
    evidence: Text | None = Field(default=None, description="What must be shown for a yes.")
    when: Phase = Field(default=Phase.BEFORE, description="Whether it is asked before or after the switch-off.")


class ProfileArea(Entry):
    """A part of the checklist."""

    id: Id = Field(description="What sign-offs refer to it by, and its line in the table.")
    title: Text = Field(description="Its heading.")
    covers: tuple[Area, ...] = Field(default=(), description="The areas of rules and captures that it holds.")
    rules: tuple[Text, ...] = Field(default=(), description="Rules that belong here whatever their own area is.")
    owner: Text | None = Field(
        default=None, description="The role that signs it off, unless the inventory's `area_owners` names somebody."
    )
    must_see: StrictBool = Field(
        default=False,
        description="Whether the verdict is INCOMPLETE where nothing of it was captured. Of renewal, monitoring, "
        "schedules, webhooks, names and storage something must be seen in any case, and so must each part of each "
        "host that stays (`coverage`).",
    )
    items: tuple[ProfileItem, ...] = Field(default=(), description="What people are asked.")


class ProfileDocument(Entry):
    """The areas of a checklist, in their order, and what people are asked in each."""

    version: Literal[1] = Field(description="The version of this schema: 1.")
    name: Text = Field(description="What people call this profile.")
    areas: tuple[ProfileArea, ...] = Field(min_length=1, description="The areas. What none covers follows after them.")


def load_profile(path: Path) -> Profile:
    """The profile in a file. Raises PolicyError with all problems at once."""
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise PolicyError([f"{path}: can't be read: {error.strerror or error}"]) from error
    return profile_of(content, str(path))


def profile_of(content: bytes, path: str) -> Profile:
    """A profile from bytes. `path` is what problems call the file. Raises PolicyError."""
    root, document, problems = read(ProfileDocument, content, "version: 1")
    if root is not None:
        if document is not None:
            problems += _check(document)
        lines = {problem.line for problem in problems}
        problems += [problem for problem in without_value(root) if problem.line not in lines]
    if problems or document is None:
        raise PolicyError(
            told(path, problems),
            hint="Correct these lines; `auditor profile show` prints the built-in one, to start from.",
        )
    areas = [_area(one) for one in document.areas]
    covered = {area for one in areas for area in one.covers}
    taken = {one.id for one in areas}
    # Nothing that a rule finds may be without a place.
    areas += [
        ChecklistArea(one.id if one.id not in taken else f"other-{one.id}", one.title, one.covers)
        for one in PLAIN.areas
        if not covered.issuperset(one.covers)
    ]
    return Profile(document.name, tuple(areas), sha256(content).hexdigest())


def _area(one: ProfileArea) -> ChecklistArea:
    items = tuple(ManualItem(item.id, item.text, item.who, item.evidence or "", item.when) for item in one.items)
    return ChecklistArea(one.id, one.title, one.covers, one.rules, one.owner or "", items, one.must_see)


def _check(document: ProfileDocument) -> Iterator[Problem]:
    yield from _twice(((area.id, area.line_of("id")) for area in document.areas), "the area")
    yield from _twice(
        ((item.id, item.line_of("id")) for area in document.areas for item in area.items), "the manual item"
    )
    yield from _twice(
        ((covered.value, area.line_of("covers")) for area in document.areas for covered in area.covers),
        "the area of rules",
    )
    yield from _twice(((rule, area.line_of("rules")) for area in document.areas for rule in area.rules), "the rule")
    for one in document.areas:
        always = listed([area.value for area in one.covers if area in ALWAYS_SEEN])
        if one.must_see and not one.covers:
            yield Problem(
                one.line_of("must_see"), f"`{one.id}` covers no area of rules: there is nothing to see", "add `covers`"
            )
        elif not one.must_see and "must_see" in one.key_lines and always:
            yield Problem(
                one.line_of("must_see"),
                f"of {always} something must be seen in any case",
                "take `must_see` out; that there is none is a statement of the inventory, under `absent` "
                "(of hosts: `not_collected`)",
            )


def _twice(named: Iterable[tuple[str, int]], what: str) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for name, line in named:
        seen[name] += 1
        if seen[name] == 2:
            yield Problem(line, f"{what} `{name}` is given twice", "each has one place")


def profile_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a profile."""
    return schema_of(ProfileDocument, "Profile of a checklist")
