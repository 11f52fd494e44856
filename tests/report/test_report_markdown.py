from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from auditor.model import Area, Coverage, Going, Lifecycle, Outcome, Provenance, Step, Verdict
from auditor.report import render
from auditor.report.markdown import code, prose
from auditor.report.summary import open_items
from tests.report.constructed import BLOCKED, EVERY, HOOK_FINDING, INCOMPLETE, report

HOSTILE = (
    "@root see #12 and !7, GH-9 ABC-1's [a](https://evil.example/x) ![i](j) <script>alert(1)</script> "
    "<https://evil.example> https://evil.example www.evil.example me@evil.example `a``b` ``` |x| *a* __b__ ~~c~~ "
    ":smile: $`x`$ &lt; deadbeef0 \\`@me` "
    "a`@me`b`@you\n# heading\n- [x] done\n\n<details>\n\r\n***\n1. one"
)
OURS = {"<details>\n", "<summary>"}


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        yield token
        yield from token.children or ()


def hostile() -> str:
    finding = replace(
        HOOK_FINDING,
        subject=HOSTILE,
        message=HOSTILE,
        why=HOSTILE,
        action=HOSTILE,
        rule=HOSTILE,
        evidence=tuple(Provenance(f"{HOSTILE}{n}", n, HOSTILE, None, HOSTILE) for n in range(6)),
        path=(Step(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
    )
    shown = report(
        Verdict.BLOCKED,
        (finding,),
        coverage=(
            Coverage(HOSTILE, Area.NAMES, HOSTILE, Outcome.DENIED, 1, HOSTILE, HOSTILE, 3),
            Coverage(HOSTILE, Area.NAMES, HOSTILE, Outcome.OK, 1),
            Coverage(HOSTILE, Area.NAMES, HOSTILE + "x", Outcome.ABSENT),
        ),
        failures=tuple(replace(failure, what=HOSTILE, error=HOSTILE, hint=HOSTILE) for failure in INCOMPLETE.failures),
        going=(Going(HOSTILE, Lifecycle.RETIRED, (HOSTILE,), (HOSTILE,), HOSTILE, HOSTILE, HOSTILE),),
    )
    return render(replace(shown, estate=HOSTILE, counts={HOSTILE: 1}), "markdown")


def test_hostile_text_makes_no_link_html_or_mention() -> None:
    seen = list(tokens(hostile()))
    kinds = {token.type for token in seen}
    assert not kinds & {"link_open", "image", "em_open", "s_open", "hr", "fence", "code_block", "ordered_list_open"}
    html = [token.content for token in seen if token.type in ("html_block", "html_inline")]
    assert all(part.lstrip().startswith(("<details>", "</details>")) and "script" not in part for part in html)
    assert len(html) == 2
    texts = [token.content for token in seen if token.type == "text"]
    assert not [text for text in texts if any(mark in text for mark in "@#<>[`*~|\\") and not text.startswith("[ ] ")]
    assert not [text for text in texts if "evil.example" in text or "GH-9" in text or "ABC-1" in text]
    assert [token.content for token in seen if token.type == "heading_open"] == [""] * sum(
        line.startswith("#") for line in hostile().splitlines()
    )


def test_hostile_text_moves_no_table_cell() -> None:
    rows = [line for line in hostile().splitlines() if line.startswith("|")]
    html = MarkdownIt("commonmark").enable("table").render(hostile())
    assert html.count("<tr>") == len(rows) - 2
    assert html.count("<td>") + html.count("<td ") == 7 * len(Area) + 3


@given(st.text(st.sampled_from("ab1 @#`[]()<>!*_~|\\:/.-&$\n\t'\"’é"), max_size=60))
def test_prose_is_text_and_code_alone(text: str) -> None:
    _only_text_and_code(text)


@given(st.text(max_size=60))
def test_prose_of_anything_is_text_and_code_alone(text: str) -> None:
    _only_text_and_code(text)


def _only_text_and_code(text: str) -> None:
    seen = list(tokens(f"- why: {prose(text)}"))
    inline = [child for token in seen for child in token.children or ()]
    assert {token.type for token in inline} <= {"text", "code_inline"}
    for token in inline:
        assert token.type == "code_inline" or not set(token.content) & set("@#<>[]`*_~|\\$")


@given(st.text(max_size=60))
def test_code_is_one_span(text: str) -> None:
    inline = [child for token in tokens(f"- at {code(text)}") for child in token.children or ()]
    assert [token.type for token in inline] == ["text", "code_inline"]


def test_prose_keeps_what_is_plain() -> None:
    plain = "Nothing else renews it: 9 names, 1,340 servers (and 2 sites) can't serve TLS after 08:00 UTC!"
    assert prose(plain) == plain
    assert prose("run `certbot renew` on new.example.net.") == "run `certbot renew` on `new.example.net`."


@pytest.mark.parametrize("name", EVERY)
def test_a_task_for_every_finding_gap_and_failure(name: str) -> None:
    text = render(EVERY[name], "markdown")
    tasks = [line for line in text.splitlines() if line.startswith("- [ ] ")]
    findings = [line for line in tasks if line[6] in "✗!"]
    assert len(findings) == len(EVERY[name].findings)
    assert len(tasks) - len(findings) == {"incomplete": 7 + 1, "decided": open_items(EVERY[name]) + 1}.get(name, 0)
    assert text.startswith(f"# {EVERY[name].verdict}: ")
    for finding in EVERY[name].findings:
        assert prose(finding.message) in text
        assert finding.fingerprint in text
        for item in finding.evidence:
            assert code(f"{item.path}:{item.line}" if item.line else item.path) in text


def test_details_hold_a_list() -> None:
    html = MarkdownIt("commonmark").enable("table").render(render(BLOCKED, "markdown"))
    assert "<summary>and 39 more</summary>" in html
    assert "<li><code>docs/runbooks/certificates.md:43</code>" in html
