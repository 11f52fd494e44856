"""Policies and baselines from files: what is good, and what is said of what is not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import PolicyError
from auditor.inventory.yaml_lines import read_yaml
from auditor.policy.loading import baseline_of, load_policy, policy_of
from auditor.policy.schema import policy_json_schema
from auditor.registry import load_rules

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULES, _ = load_rules()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())["problems"]
    with pytest.raises(PolicyError) as caught:
        load_policy(path, RULES, NOW)
    problems = list(caught.value.problems)
    for item in expected:
        start = f"{path}:{item['line']}: " if item["line"] else f"{path}: "
        hits = [problem for problem in problems if problem.startswith(start) and item["text"] in problem]
        assert len(hits) == 1, f"{item} in\n" + "\n".join(caught.value.problems)
        problems.remove(hits[0])
    assert not problems
    assert caught.value.hint


def test_complete() -> None:
    policy = load_policy(HERE / "complete.yaml", RULES, NOW)
    document = policy.document
    assert document.max_age == 7 * 86400
    assert (document.confirm_percent, document.confirm_hosts) == (5, 3)
    assert policy.settings == {
        "expiry-alert-too-late": {"lead": timedelta(days=60)},
        "certificate-for-everything": {"names": 20, "servers": 100},
    }
    rules = {rule.id: rule for rule in policy.configured(RULES)}
    before = {rule.id: rule for rule in RULES}
    assert rules["expiry-alert-too-late"].lead == timedelta(days=60)  # type: ignore[attr-defined]
    assert before["expiry-alert-too-late"].lead == timedelta(days=90)  # type: ignore[attr-defined]
    assert rules["mention"] is before["mention"]
    assert [waiver.expires for waiver in document.waivers] == [date(2027, 6, 1), date(2026, 5, 31)]
    assert policy.place(document.waivers[0].line).excerpt == "- fingerprint: 89abcdef01234567"
    assert policy.baseline is not None
    assert len(policy.baseline.document.findings) == 1
    assert len(policy.digest) == 64


def test_the_schema_takes_the_complete_policy_and_refuses_the_others() -> None:
    schema = policy_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in (HERE / "complete.yaml", *(HERE / "cases" / f"{name}.yaml" for name in ("range", "kubernetes"))):
        root, problems = read_yaml(path.read_bytes())
        assert root is not None
        assert not problems
        assert bool(list(validator.iter_errors(root.plain()))) == (path.name != "complete.yaml"), path.name


def test_a_baseline_that_is_damaged() -> None:
    with pytest.raises(PolicyError) as caught:
        baseline_of(b'{"version": 1, "made": "x", "estate": "y", "findings": [{"fingerprint": "?"}]}', "known.json")
    assert any(
        "known.json:1: `findings[0].fingerprint`: expected a fingerprint" in one for one in caught.value.problems
    )
    assert "auditor baseline write" in caught.value.hint


def _nothing(_path: str) -> bytes | None:
    return None


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_problems(content: bytes) -> None:
    try:
        policy_of(content, "policy.yaml", RULES, NOW, _nothing)
    except PolicyError as error:
        assert error.problems  # noqa: PT017
