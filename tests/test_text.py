"""Text as programs split it."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.text import split_words


@given(st.text(alphabet="ab# \t\n\r\x0b\x0c\xa0'\"\\", max_size=20), st.booleans())
def test_words_are_those_of_shlex(text: str, comments: bool) -> None:
    try:
        expected = shlex.split(text, comments=comments)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            split_words(text, comments=comments)
    else:
        assert split_words(text, comments=comments) == expected
