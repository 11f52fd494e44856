"""A skipped integration test fails the run in continuous integration, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"
CASES = """
import pytest

@pytest.mark.integration
def test_in_body():
    pytest.skip("no such program")

@pytest.mark.integration
@pytest.mark.skipif(True, reason="no such server")
def test_by_mark():
    pass

@pytest.mark.integration
def test_of_real_files():
    pytest.skip("real files are not here (AUDITOR_SHARED names their directory)")

@pytest.mark.integration
@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    assert False

def test_unit():
    pytest.skip("not here")
"""
MODULE = """
import pytest

pytest.skip("no such library", allow_module_level=True)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nmarkers = integration: as in the project\n")
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(test_cases=CASES)
    directory = pytester.mkdir("integration")
    (directory / "test_module.py").write_text(MODULE)
    return pytester


def test_without_ci_they_are_skipped(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.runpytest("-p", "no:cacheprovider").assert_outcomes(skipped=5, xfailed=1)


def test_with_ci_they_fail_and_say_why(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("AUDITOR_SHARED", raising=False)
    result = project.runpytest("-p", "no:cacheprovider", "--continue-on-collection-errors")
    result.assert_outcomes(failed=1, errors=2, skipped=2, xfailed=1)
    for reason in ("no such program", "no such server", "no such library"):
        result.stdout.fnmatch_lines([f"*an integration test was skipped, and CI is set*{reason}*"])


def test_with_ci_real_files_that_are_promised_must_be_there(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("AUDITOR_SHARED", "/nowhere")
    result = project.runpytest("-p", "no:cacheprovider", "-k", "real_files", "--ignore=integration")
    result.assert_outcomes(failed=1)
