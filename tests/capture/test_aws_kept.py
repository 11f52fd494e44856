"""What of an answer of AWS is written down: JSON as the standard library writes it, without secrets and paging."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.capture.aws_kept import FREE_KEYS, written
from auditor.redaction import _WORDS, MARK, redact

EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"NextToken": "t", "IsTruncated": False, "a": 1}, {"a": 1}),
        ({"At": datetime(2026, 1, 2, 3, tzinfo=EAST)}, {"At": "2026-01-02T01:00:00+00:00"}),
        ({"At": datetime(2026, 1, 2, 1, tzinfo=UTC).replace(tzinfo=None)}, {"At": "2026-01-02T01:00:00+00:00"}),
        ({"On": date(2026, 1, 2), "Body": b"x"}, {"On": "2026-01-02", "Body": MARK}),
        ({"UserData": "hello", "Password": ""}, {"UserData": MARK, "Password": ""}),
        (
            {"Protocol": "email", "Endpoint": "a@eventide.net"},
            {"Protocol": "email", "Endpoint": MARK},
        ),
        ({"Protocol": "https", "Endpoint": "https://h.x.net/"}, {"Protocol": "https", "Endpoint": "https://h.x.net/"}),
        (
            {"Variables": {"HOST": "db-01.eventide.net", "NOTE": "the cellar door"}},
            {"Variables": {"HOST": "db-01.eventide.net", "NOTE": MARK}},
        ),
        (
            {"Configuration": [{"name": "the cellar door", "value": "the cellar door"}]},
            {"Configuration": [{"name": "the cellar door", "value": MARK}]},
        ),
        (
            {"Command": ["curl -u a:correcthorse https://h.x.net/", "uptime"]},
            {"Command": [f"curl -u a:{MARK} https://h.x.net/", "uptime"]},
        ),
    ],
)
def test_what_is_kept(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert written(given) == json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


_SECRETS = """\
curl -u a:b https://h/
password: "x y z"
https://u:p@h.example.net/
value
x "md5abababababababababababababababab"
AKIAIOSFODNN7EXAMPLE
-----BEGIN PRIVATE KEY-----
sudo -S
--token x""".split("\n")
_TEXTS = st.text() | st.lists(st.sampled_from(_SECRETS), max_size=3).map("\n".join)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return redact(value) if isinstance(value, str) else value


@given(st.dictionaries(st.sampled_from("abcd"), _VALUES, max_size=4))
def test_each_text_is_without_what_is_taken_out_of_it_alone(answer: dict[str, Any]) -> None:
    assert written(answer, FREE_KEYS) == json.dumps(_clean(answer), indent=1, ensure_ascii=False) + "\n"


def test_what_json_escapes_hides_no_word_of_a_rule() -> None:
    assert all(word in json.dumps(f"a{word}b", ensure_ascii=False) for word in _WORDS)
