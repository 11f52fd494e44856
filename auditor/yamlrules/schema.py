"""The schema (version 1) of files with rules and of files with tests of them.

Imports pydantic: import this module only where such a file is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictStr

from auditor.inventory.entries import Entry, Text, checked, schema_of
from auditor.inventory.schema import Time
from auditor.inventory.values import WrongValueError
from auditor.model import Area, Confidence, Kind, Lifecycle, Phase, Relation, Severity


def _identity(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", value):
        raise WrongValueError("expected lower-case words with hyphens", "such as `acme-no-jobs-on-bastions`")
    return value


Identity = Annotated[StrictStr, AfterValidator(checked(_identity))]


class YamlRuleDocument(Entry):
    """One rule: which nodes it asks about, when it finds something, and what it says of it."""

    id: Identity = Field(description="Its name: words with hyphens, and none that another rule has.")
    title: Text = Field(description="What it finds, in a few words.")
    area: Area = Field(description="The area of the checklist that its findings stand in.")
    severity: Severity = Field(description="What a finding does to the verdict.")
    confidence: Confidence = Field(default=Confidence.HIGH, description="How sure its findings are.")
    nodes: Kind = Field(description="The kind of node that it asks about.")
    when: Text = Field(description="An expression of CEL: true for a node that is a finding.")
    phase: Literal["before", "after", "both"] = Field(
        default="before",
        description="When it is asked: before the switch-off, after it (`--after`), or both times.",
    )
    needs: tuple[Relation, ...] = Field(
        default=(), description="Relations without which its silence means nothing: a gap makes the verdict INCOMPLETE."
    )
    message: Text = Field(description="What is so. {{ expression }} is replaced by its value.")
    why: Text = Field(description="Why it matters, for this node. {{ expression }} as in `message`.")
    action: Text = Field(description="What to do. {{ expression }} as in `message`.")
    description: Text = Field(description="What it does, for `auditor explain`.")
    reason: Text = Field(description="Why it matters at all, for `auditor explain`.")
    example: Text = Field(description="An example, for `auditor explain`.")
    blind: Text = Field(description="What it can't see, for `auditor explain`.")


class YamlExpected(Entry):
    """A finding that must be there. What is not written is not compared."""

    rule: Text = Field(description="The rule that finds it.")
    subject: Text | None = Field(default=None, description="A part of what it is about.")
    severity: Severity | None = Field(default=None, description="Its severity.")
    says: tuple[Text, ...] = Field(default=(), description="Parts of its message, reason or action.")
    evidence: tuple[Text, ...] = Field(default=(), description="Places that it shows, as `path:line`.")


class YamlTest(Entry):
    """An estate, what is asked of it, and all that the rules of the directory must find in it."""

    name: Text = Field(description="What is tested.")
    ask: tuple[Text, ...] = Field(description="The hosts that are going, as on the command line.", min_length=1)
    lifecycle: Lifecycle | None = Field(default=None, alias="as", description="retired or read-only.")
    phase: Phase = Field(default=Phase.BEFORE, description="`after` asks as `--after` does.")
    now: Time = Field(description="The time at which it is judged.")
    on: Time | None = Field(default=None, description="The day on which the hosts go.")
    files: Mapping[str, StrictStr] = Field(default_factory=dict, description="Files of the estate: path and content.")
    estate: Text | None = Field(default=None, description="A directory to take the estate from, relative to this file.")
    expect: tuple[YamlExpected, ...] = Field(default=(), description="All that must be found. Anything else is wrong.")


class YamlRulesDocument(Entry):
    """A file with rules, with tests of rules, or with both."""

    version: Literal[1] = Field(description="The version of this schema: 1.")
    rules: tuple[YamlRuleDocument, ...] = Field(default=(), description="Rules.")
    tests: tuple[YamlTest, ...] = Field(default=(), description="Tests of the rules of this directory.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12), with a description on every property."""
    return schema_of(YamlRulesDocument, "auditor rules, version 1")
