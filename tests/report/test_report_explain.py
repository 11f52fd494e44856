from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from auditor.api import Area, EstateView, Finding, Relation, Rule, Severity
from auditor.errors import UsageError
from auditor.report.explain import SECTIONS, render_rule, render_rules, sections
from auditor.report.layout import columns


class HookRule(Rule):
    """A renewal hook leads to a host that is going.

    What it does
        Follows each deploy hook through names and addresses, as far as the zone files and /etc/hosts tell of them.

    Why it matters
        A renewed certificate that never reaches its servers looks like a success.

    Example
        ::

            curl https://acme-hook.example.net/renewed

    What to do
        - Point the name at the successor.
        - Or change the URL of the hook, in the renewal configuration and not only in the script that it calls.

    What it can't see
        Hooks that are started by hand.
    """

    id: ClassVar[str] = "renewal-hook-to-going-host"
    title: ClassVar[str] = "A renewal hook leads to a host that is going"
    area: ClassVar[Area] = Area.RENEWAL
    severity: ClassVar[Severity] = Severity.BLOCK
    needs: ClassVar[frozenset[Relation]] = frozenset({Relation.DEPLOYED_BY, Relation.RESOLVES})

    def check(self, estate: EstateView) -> Iterator[Finding]:
        return iter(())


class MentionRule(Rule):
    """## What it does
    Looks at words.

    ## Example

    ```
    see old-web
    ```

    What to do: read
    them.

    What it can't see
    -----------------
    Pictures.
    """

    id: ClassVar[str] = "mention"
    title: ClassVar[str] = "Text names a host that is going, in any file that no parser knows, with its line"
    area: ClassVar[Area] = Area.MENTIONS
    severity: ClassVar[Severity] = Severity.INFO

    def check(self, estate: EstateView) -> Iterator[Finding]:
        return iter(())


def test_sections_of_a_docstring() -> None:
    lead, found = sections(HookRule.__doc__)
    assert lead == "A renewal hook leads to a host that is going."
    assert tuple(found) == SECTIONS
    assert found["Why it matters"] == "A renewed certificate that never reaches its servers looks like a success."


def test_sections_in_other_forms() -> None:
    lead, found = sections(MentionRule.__doc__)
    assert lead == ""
    assert found == {
        "What it does": "Looks at words.",
        "Example": "```\nsee old-web\n```",
        "What to do": "read\nthem.",
        "What it can't see": "Pictures.",
    }
    assert sections(None) == ("", {})


@pytest.mark.parametrize("width", [40, 80])
def test_one_rule_as_text(width: int) -> None:
    text = render_rule(HookRule, width=width)
    assert all(columns(line) <= max(width, 48) for line in text.splitlines())
    words = " ".join(text.split())
    assert "renewal-hook-to-going-host: A renewal hook leads to a host that is going" in words
    assert "area renewal · severity block · confidence high · since 0.1.0" in words
    for heading in SECTIONS:
        assert heading in text.splitlines()
    assert "      curl https://acme-hook.example.net/renewed\n" in text
    assert "resolves: the zone files" in words
    assert "see old-web" in render_rule(MentionRule)


def test_one_rule_as_json() -> None:
    document = json.loads(render_rule(HookRule, "json"))
    assert document["needs"] == ["deployed-by", "resolves"]
    assert tuple(document["documentation"]) == ("Summary", *SECTIONS)


@pytest.mark.parametrize("width", [40, 80])
def test_all_rules(width: int) -> None:
    text = render_rules([MentionRule, HookRule], width=width)
    assert text.index("RENEWAL") < text.index("renewal-hook") < text.index("MENTIONS") < text.index("! info  mention")
    assert MentionRule.title in " ".join(text.split())
    assert all(columns(line) <= width for line in text.splitlines())
    document = json.loads(render_rules([MentionRule, HookRule], "json"))
    assert [rule["rule"] for rule in document["rules"]] == ["renewal-hook-to-going-host", "mention"]


def test_formats_that_there_are_not() -> None:
    with pytest.raises(UsageError):
        render_rules([], "markdown")
    with pytest.raises(UsageError):
        render_rule(HookRule, "yaml")
