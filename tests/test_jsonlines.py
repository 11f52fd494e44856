"""JSON Lines: what is a line, and what is told of one that is no object."""

from __future__ import annotations

from auditor.api import Malformed, read_json_lines


def test_a_line_ends_at_a_newline_alone() -> None:
    content = '{"a": "x\u2028y\u0085z"}\r\n\n{"b": 1}\n'.encode()
    assert [(where.line, entry) for where, entry in read_json_lines(content, 3)] == [  # type: ignore[misc]
        (1, {"a": "x\u2028y\u0085z"}),
        (3, {"b": 1}),
    ]


def test_what_is_no_object_is_told_and_the_rest_is_read() -> None:
    found = list(read_json_lines(b'[1]\n{"a": \n{"b": 1}\n{"c": 1}\n', 3))
    assert [one.reason for one in found if isinstance(one, Malformed)] == [
        "not a mapping",
        "not JSON",
        "more than 3 lines",
    ]
    assert [one[1] for one in found if not isinstance(one, Malformed)] == [{"b": 1}]
