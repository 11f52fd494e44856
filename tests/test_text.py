"""Text as programs split it."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.text import is_loopback, split_words


@given(st.text(alphabet="ab# \t\n\r\x0b\x0c\xa0'\"\\", max_size=20), st.booleans())
def test_words_are_those_of_shlex(text: str, comments: bool) -> None:
    try:
        expected = shlex.split(text, comments=comments)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            split_words(text, comments=comments)
    else:
        assert split_words(text, comments=comments) == expected


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("localhost", True), ("LocalHost.localdomain:80", True), ("127.0.1.1", True), ("http://127.8.8.8:80/a", True),
        ("[::1]:9090", True), ("::1", True), ("http://[::1]/", True), ("0.0.0.0", True), ("::ffff:127.0.0.1", True),
        ("127.example.net", False), ("localhost.example.net", False), ("10.0.0.127", False), ("::2", False),
        ("", False), ("unix:/run/a.sock", False),
    ],
)  # fmt: skip
def test_loopback_is_the_machine_itself(text: str, own: bool) -> None:
    assert is_loopback(text) is own
