"""YAML as it was written: lines, no conversions, limits instead of hangs and crashes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.yamlnodes import MAX_BYTES, MAX_DEPTH, TEMPLATE, read_yaml, without_templates


def test_values_stay_as_written() -> None:
    stream = read_yaml(
        b"on: off\ntime: 22:30\noctal: 0644\nequal: =\nvault: !vault |\n  abc\nnothing: ~\nquoted: 'null'\n"
    )
    (root,) = stream.documents
    assert root.plain() == {
        "on": "off",
        "time": "22:30",
        "octal": "0644",
        "equal": "=",
        "vault": "abc\n",
        "nothing": None,
        "quoted": "null",
    }
    vault = root.get("vault")
    assert vault is not None
    assert (vault.tag, vault.line) == ("!vault", 5)
    assert root.text("nothing", "default") == "default"
    assert stream.where(vault).excerpt == "vault: !vault |"


@pytest.mark.parametrize(("text", "expected"), [("yes", True), ("Off", False), ("'yes'", None), ("2", None)])
def test_booleans_in_every_spelling(text: str, expected: bool | None) -> None:
    value = read_yaml(f"a: {text}").documents[0].get("a")
    assert value is not None
    assert value.boolean is expected


def test_merge_keys_and_duplicates() -> None:
    root = read_yaml("base: &b {x: 1, y: 2}\nmade:\n  y: 3\n  <<: *b\ntwice: 1\ntwice: 2\n").documents[0]
    made = root.get("made")
    assert made is not None
    assert made.plain() == {"y": "3", "x": "1"}
    assert root.text("twice") == "2"


def test_documents_before_an_error_are_kept() -> None:
    stream = read_yaml("a: 1\n---\nb: 2\n---\nc: [\n")
    assert [root.plain() for root in stream.documents] == [{"a": "1"}, {"b": "2"}]
    assert stream.problem is not None
    assert stream.problem.line == 6


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("[" * 60_000, "nested deeper", 1),
        ("a: b\nc: " + "{a: " * 60_000, "nested deeper", 2),
        ("- " * 60_000, "nested deeper", 1),
        ("? " * 60_000, "nested deeper", 1),
        ("\n".join(" " * depth + "a:" for depth in range(3000)), "nested deeper", MAX_DEPTH + 1),
        ("x: 1\na: &a [*a]", "contains itself", 2),
        ("x: 1\na: &a\n  b: *a", "contains itself", 2),
        ("a: *nobody", "undefined alias", 1),
        ("a: 1\nb: \x01", "control characters", 2),
        ("\u00e9: 1\n" * 100 + "b: \x01", "control characters", 101),
    ],
    ids=str,
)
def test_hostile_text_is_an_error_with_its_line(text: str, reason: str, line: int) -> None:
    started = time.process_time()
    problem = read_yaml(text).problem
    assert problem is not None
    assert reason in problem.reason
    assert problem.line == line
    assert time.process_time() - started < 2


def test_bomb() -> None:
    levels = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    levels += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    problem = read_yaml("\n".join(levels)).problem
    assert problem is not None
    assert "nodes with aliases expanded" in problem.reason
    assert problem.line == 7


def test_deep_brackets_inside_text_are_no_depth() -> None:
    stream = read_yaml("a: '" + "[" * 500 + "'\nb: " + " ".join(["[[x]]"] * 1))
    assert stream.problem is None
    assert stream.documents[0].text("a") == "[" * 500


def test_too_large() -> None:
    problem = read_yaml(b"a" * (MAX_BYTES + 1)).problem
    assert problem is not None
    assert "larger than 16 MiB" in problem.reason


def test_templates_become_values_on_the_same_lines() -> None:
    text = (
        "{% for host in hosts %}\n- name: {{ host }}\n  port: '{{ port }}1'\n"
        "{{- if .Values.x }}\n# {# note #}\n{{- end }}\n{% endfor %}\n"
    )
    assert without_templates(text).split("\n") == [
        "",
        f"- name: {TEMPLATE}",
        f"  port: '{TEMPLATE}1'",
        "",
        "# ",
        "",
        "",
        "",
    ]
    assert read_yaml(without_templates(text)).documents[0].elements[0].line == 2


@given(st.text(alphabet=" \n-:?[]{}&*!ab<\"'|>%@,#\t\x85\u2028", max_size=80) | st.binary(max_size=80))
@settings(max_examples=400)
def test_anything_gives_nodes_or_a_problem(content: str | bytes) -> None:
    stream = read_yaml(content)
    for root in stream.documents:
        root.plain()
        for node in root.walk():
            assert node.line >= 1
            list(node.items())
