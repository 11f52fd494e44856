"""The schemas (version 1) of `policy.yaml` and of a baseline: what may stand there, and what each key means.

Imports pydantic: import this module only where such a file is read.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, StrictBool, StrictInt, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from auditor.inventory.entries import Entry, Text, checked, parsed, schema_of
from auditor.inventory.schema import Duration
from auditor.inventory.values import WrongValueError
from auditor.model import Area, Severity
from auditor.policy import CONFIRM_HOSTS, CONFIRM_PERCENT

LONGEST_WAIVER: Final = 366
"""Days that a waiver may last from now on."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _day(value: str) -> date:
    try:
        if _DATE.fullmatch(value.strip()):
            return date.fromisoformat(value.strip())
    except ValueError:
        raise WrongValueError("there is no such date", "check the month and the day") from None
    raise WrongValueError("expected a date", "write it as 2026-06-20")


def _fingerprint(value: str) -> str:
    bare = value.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{16}", bare):
        raise WrongValueError("expected a fingerprint", "its 16 hex digits are in `--format json` and in Markdown")
    return bare


def _threshold(value: object) -> str | int:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise PydanticCustomError("inventory_type", "{what}", {"what": "a number or a duration, such as 5 or 90d"})


Day = Annotated[
    date,
    parsed(_day, "a date, such as 2026-06-20"),
    WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
]
Fingerprint = Annotated[
    StrictStr,
    AfterValidator(checked(_fingerprint)),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}),
]
Threshold = Annotated[
    str | int,
    PlainValidator(_threshold),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}], "examples": [5, "90d", "36h"]}),
]
Percent = Annotated[StrictInt, Field(ge=1, le=100)]
HostCount = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
GLOB: Final = "`*` stands for any characters, `?` for one."


class RuleChange(Entry):
    """What is otherwise for some rules. Where several entries speak of a finding, the last one that says it counts."""

    rule: Text | None = Field(default=None, description=f"A rule's id. {GLOB}")
    area: Area | None = Field(default=None, description="All rules of an area.")
    hosts: tuple[Text, ...] = Field(
        default=(), description=f"Only findings whose going hosts are all among these. {GLOB}"
    )
    enabled: StrictBool | None = Field(
        default=None, description="Whether these rules count. What one that is off finds is listed apart."
    )
    severity: Severity | None = Field(default=None, description="The severity of what they find.")
    settings: dict[str, Threshold] | None = Field(
        default=None, description="Thresholds of one rule by their names; `auditor explain RULE` lists them."
    )
    reason: Text | None = Field(default=None, description="Why. Needed where a rule is switched off.")


class Match(Entry):
    """What a waiver is about. A finding must meet all that is given."""

    rule: Text | None = Field(default=None, description=f"The rule's id. {GLOB}")
    subject: Text | None = Field(default=None, description=f"What the finding is about. {GLOB}")
    host: Text | None = Field(default=None, description=f"All the going hosts that it names must be so called. {GLOB}")
    path: Text | None = Field(default=None, description=f"All files that it was seen in must be at such a path. {GLOB}")


class Waiver(Entry):
    """A finding that somebody has decided to live with, until a day."""

    fingerprint: Fingerprint | None = Field(default=None, description="The finding's fingerprint.")
    match: Match | None = Field(default=None, description="What findings it is about, instead of a fingerprint.")
    reason: Text = Field(description="Why it may stay.")
    owner: Text = Field(description="Who answers for that.")
    expires: Day = Field(description="The last day on which it holds, at most a year ahead.")


class PolicyDocument(Entry):
    """What a company decides about its checklists: which rules count and how much, and what may stay for a time."""

    version: Literal[1] = Field(description="The version of this schema: 1.")
    name: Text | None = Field(default=None, description="What people call this policy.")
    owner: Text | None = Field(default=None, description="Who answers for it.")
    max_age: Duration | None = Field(
        default=None, description="How old a capture may be; an older one counts as not seen. As `--max-age`."
    )
    confirm_percent: Percent = Field(
        default=CONFIRM_PERCENT, description="A scenario of more than this share of all hosts must be confirmed."
    )
    confirm_hosts: HostCount = Field(
        default=CONFIRM_HOSTS,
        description="A scenario of at most so many hosts need not be confirmed, whatever their share.",
    )
    baseline: Text | None = Field(
        default=None, description="A file of known findings, relative to this one. As `--baseline`."
    )
    profile: Text | None = Field(
        default=None, description="A file of the checklist's areas and manual items, relative to this one."
    )
    rules: tuple[RuleChange, ...] = Field(default=(), description="What is otherwise for some rules.")
    waivers: tuple[Waiver, ...] = Field(default=(), description="Findings that may stay for a time.")


class BaselineFinding(Entry):
    """A finding that was there when the baseline was written."""

    fingerprint: Fingerprint = Field(description="Its fingerprint.")
    rule: Text = Field(description="The rule that found it.")
    area: Area = Field(description="Its area.")
    severity: Severity = Field(description="Its severity then. A more severe one is no longer known.")
    subject: Text = Field(description="What it is about.")
    message: Text = Field(description="What it says.")
    hosts: tuple[Text, ...] = Field(default=(), description="The going hosts that it names.")
    paths: tuple[Text, ...] = Field(default=(), description="The files that it was seen in.")


class BaselineDocument(Entry):
    """Findings that were there at one time, as `auditor baseline write` has written them."""

    version: Literal[1] = Field(description="The version of this schema: 1.")
    made: Text = Field(description="When it was written.")
    estate: Text = Field(description="Of which estate.")
    findings: tuple[BaselineFinding, ...] = Field(default=(), description="What was found.")


def policy_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy."""
    return schema_of(PolicyDocument, "Policy of the auditor")
