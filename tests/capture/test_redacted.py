"""What several lines together say is a secret, and what is none: documents keep their layout, and all else."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.capture.redacted import _Lines, _suspicious, redacted
from auditor.redaction import MARK


def clean(text: str) -> str:
    return redacted(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape").replace(MARK, "R")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A name and its value, in either order, in one entry of a list.
        ("- name: API_TOKEN\n  value: abc\n", "- name: API_TOKEN\n  value: R\n"),
        ("- value: 'abc'\n  name: API_TOKEN\n", "- value: 'R'\n  name: API_TOKEN\n"),
        (
            '{\n "Key": "X-Auth-Token",\n "Value": "abc",\n "Other": 1\n}',
            '{\n "Key": "X-Auth-Token",\n "Value": "R",\n "Other": 1\n}',
        ),
        ('{"value": "a b, c", "type": "x", "name": "DB_PASS"}', '{"value": "R", "type": "x", "name": "DB_PASS"}'),
        (
            "- name: TLS_KEY\n  value: |\n    ab\n    cd\n- name: HOST\n",
            "- name: TLS_KEY\n  value: |\n    R\n    R\n- name: HOST\n",
        ),
        # Lists of arguments.
        ("args:\n- --token\n- abc\n- web01\n", "args:\n- --token\n- R\n- web01\n"),
        ('[\n "-u",\n "a:b c",\n "https://h/"\n]', '[\n "-u",\n "a:R",\n "https://h/"\n]'),
        ("command: [curl, -u, 'a:b', https://h/]", "command: [curl, -u, 'a:R', https://h/]"),
        ('"args": ["--password", "a", "--host", "h"]', '"args": ["--password", "R", "--host", "h"]'),
        # Objects of kind Secret, wherever their kind stands.
        ("kind: Secret\ndata:\n  a: b\n  tls.crt: c\n", "kind: Secret\ndata:\n  a: R\n  tls.crt: c\n"),
        ("data:\n  a: b\nkind: Secret\n---\ndata:\n  a: b\n", "data:\n  a: R\nkind: Secret\n---\ndata:\n  a: b\n"),
        (
            "items:\n- data:\n    a: b\n  kind: ConfigMap\n- data:\n    a: b\n  kind: Secret\n- kind: Service\n",
            "items:\n- data:\n    a: b\n  kind: ConfigMap\n- data:\n    a: R\n  kind: Secret\n- kind: Service\n",
        ),
        (
            "kind: Secret\nstringData:\n  a: |\n    b\n    c: d\ntype: x\n",
            "kind: Secret\nstringData:\n  a: |\n    R\n    c: R\ntype: x\n",
        ),
        (
            '{"items": [{"kind": "ConfigMap", "data": {"a": "b"}}, {"data": {"a": "b"}, "kind": "Secret"}]}',
            '{"items": [{"kind": "ConfigMap", "data": {"a": "b"}}, {"data": {"a": "R"}, "kind": "Secret"}]}',
        ),
        # Parts that are secret as a whole, and what a script sends when it is asked.
        (
            "<auth-user-pass>\nbob\nabc\n</auth-user-pass>\nremote h\n",
            "<auth-user-pass>\nR\nR\n</auth-user-pass>\nremote h\n",
        ),
        (
            "PuTTY-User-Key-File-2: x\nPrivate-Lines: 1\nabc\nPrivate-MAC: d\n",
            "PuTTY-User-Key-File-2: x\nPrivate-Lines: 1\nR\nR\n",
        ),
        (
            'spawn ssh h\nexpect "*assword:"\nsend "abc\\r"\nexpect "#"\nsend "exit\\r"\n',
            'spawn ssh h\nexpect "*assword:"\nsend "R\\r"\nexpect "#"\nsend "exit\\r"\n',
        ),
        ("key k abcD1234\nserver h\n", "key k R\nserver h\n"),
        # Lines within a string, and secrets with signs and blanks.
        ('{"script": "x\\ncurl -u a:b https://h/\\n"}', '{"script": "x\\ncurl -u a:R https://h/\\n"}'),
        ("PASSWORD=a,b;c\n", "PASSWORD=R\n"),
        ('password: "a b, c; d"  # why\n', 'password: "R"  # why\n'),
        ('{"password": "a\\"b, c", "host": "h"}', '{"password": "R", "host": "h"}'),
    ],
)
def test_secrets_of_several_lines(before: str, after: str) -> None:
    assert clean(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "- name: HOST\n  value: web01\n- name: API_TOKEN\n  valueFrom: {secretKeyRef: x}\n",
        "- name: API_TOKEN\n  valueFrom: x\n- name: HOST\n  value: web01\n",
        "- name: HOST\n  value: web01\n  other: 1\n- name: API_TOKEN\n",
        "- name: API_TOKEN\n  value: '{{ vault_token }}'\n",
        "- --token-file\n- /etc/token\n",
        "- --verbose\n- web01.example.net\n",
        "- -u\n- https://web01.example.net/\n",
        "kind: ConfigMap\ndata:\n  host: web01\n",
        "kind: SecretStore\nspec:\n  data:\n    host: web01\n",
        '"api01" "db01"\n',
        "secret: https://vault.example.net/v1\n",
        '"ARN": "arn:aws:secretsmanager:eu-central-1:210987654321:secret:push-AbCdEf"\n',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert clean(text) == text


def test_a_long_line_is_cut_where_no_secret_stands() -> None:
    pairs = [{"name": f"DB_PASSWORD_{number}", "value": f"planted-{number:05}"} for number in range(4000)]
    text = json.dumps({"environment": pairs, "hosts": [f"web{number}.example.net" for number in range(4000)]})
    found = clean(text)
    assert "planted" not in found
    assert found.count(".example.net") == 4000
    assert len(json.loads(found)["environment"]) == 4000


PARTS = st.sampled_from(
    [
        *(
            "kind: Secret",
            "data:",
            "stringData:",
            "- ",
            "  ",
            "\n",
            "---\n",
            "name: A_TOKEN",
            "value: x",
            '"',
            "{",
            "}",
            "[",
        ),
        *("]", ",", ":", "\\", "--token", "-u", "a:b", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "|"),
        *('"kind": "Secret"', "password=", "curl -u ", "‹redacted›", "\udcff", "ä", "\x00"),
    ]
)


@given(st.lists(PARTS, max_size=60).map("".join))
def test_any_text_keeps_its_lines_and_is_done_at_once(text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    once = redacted(content, b"k" * 32)
    assert once.count(b"\n") == content.count(b"\n")
    assert re.sub(rb"~[0-9a-f]{8}", b"", redacted(once, b"l" * 32)) == re.sub(rb"~[0-9a-f]{8}", b"", once)


_LINES = """\
- name: API_TOKEN
  name: API_TOKEN
  value: abc
- value: 'abc'
  value: |
"Key": "X-Auth-Token",
"Value": "abc",
- --token
- -u
- a:b c
password: |
  ab

{
}
x: 1
PASSWORD=abcdef
curl -u a:b https://h/
-----BEGIN PRIVATE KEY-----
QUJD
-----END PRIVATE KEY-----""".split("\n")


@given(st.lists(st.sampled_from(_LINES), max_size=24))
def test_lines_that_are_passed_over_have_nothing_to_change(lines: list[str]) -> None:
    looked_at = _Lines(b"", near=True).all(lines, range(len(lines)))
    assert _Lines(b"", near=True).all(lines, _suspicious("\n".join(lines), near=True)) == looked_at
