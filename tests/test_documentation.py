"""Pages that are made from the code are what the code says now, and the README's commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from auditor.cli.main import main, parser
from auditor.registry import RULES, load_collectors, load_rules
from auditor.report.explain import SECTIONS, sections
from auditor.report.rule_pages import rule_pages
from auditor.report.sources import HEADINGS, render_sources

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_of_sources_is_made_from_the_collectors() -> None:
    collectors, failures = load_collectors()
    assert not failures
    page = (ROOT / "docs/sources.md").read_text(encoding="utf-8")
    assert page == render_sources(collectors, "markdown"), "run `make docs`"


def test_each_collector_documents_itself() -> None:
    collectors, _ = load_collectors()
    for collector in collectors:
        lead, found = sections(collector.__doc__, HEADINGS)
        assert lead, collector.name
        assert tuple(found) == HEADINGS, collector.name


def test_the_pages_of_rules_are_made_from_the_rules() -> None:
    rules, failures = load_rules()
    assert not failures
    pages = rule_pages(rule for rule in rules if rule.id in RULES)
    written = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs/rules").iterdir()}
    assert set(written) == set(pages), "run `make docs`"
    assert [name for name in pages if written[name] != pages[name]] == [], "run `make docs`"


@pytest.mark.parametrize("rule", sorted(RULES))
def test_each_rule_documents_itself(rule: str) -> None:
    lead, found = sections(next(one for one in load_rules()[0] if one.id == rule).__doc__)
    assert lead
    assert tuple(found) == SECTIONS
    assert all(found.values())


def _commands() -> list[str]:
    """The commands of README and docs: of blocks of code, behind a prompt or not, without redirections."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
        lines = re.findall(
            r"""^\s*(?:\$ |- run: |sh ')?(?:\S+=\S+ )*(auditor [a-z][^'\n]*)""", "\n".join(blocks), re.MULTILINE
        )
        for line in lines:
            parts = re.split(r"&&|;|\s#|\s[|>]\s", line)
            found += [part.strip() for part in parts if part.strip().startswith("auditor ")]
    return sorted(set(found))


@pytest.mark.parametrize("command", _commands())
def test_the_commands_of_the_documentation_are_commands(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "auditor"
    parser().parse_args(words[1:])


def test_the_demo_of_the_readme_is_what_the_demo_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    arguments = re.search(r"^DEMO := (.*)$", makefile, re.MULTILINE)
    assert arguments is not None
    assert main(shlex.split(arguments[1])) == 1
    printed = capsys.readouterr().out
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- demo: begin -->")[1].split("<!-- demo: end -->")[0]
    pieces = [piece.strip("\n") for piece in shown.strip().removeprefix("```text").removesuffix("```").split("\n…\n")]
    assert len(pieces) > 1
    at = 0
    for piece in pieces:
        found = printed.find(piece, at)
        assert found >= 0, f"the README shows what the demo does not print:\n{piece}"
        at = found + len(piece)


def test_the_policys_page_lists_every_setting() -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    listed = [line for line in page.splitlines() if line.startswith("| `") and "` (" in line]
    assert listed == [
        f"| `{rule.id}` | {', '.join(f'`{one.name}` ({one.written(one.default)})' for one in rule.settings())} |"
        for rule in sorted(load_rules()[0], key=lambda one: one.id)
        if rule.settings()
    ]
