"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# What continuous integration says of a commit must not change from run to run: chance belongs to runs by hand.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

INTEGRATION = Path(__file__).parent / "integration"


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skip's representation is its place and its reason.
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    report.outcome = "failed"
    report.longrepr = f"an integration test was skipped, and CI is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration a skipped integration test is a failure: it would hide that nothing was tried."""
    report = yield
    expected = hasattr(report, "wasxfail")
    if report.skipped and not expected and os.environ.get("CI") and item.get_closest_marker("integration"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """As above, for a module of integration tests that is skipped as a whole."""
    report = yield
    if report.skipped and os.environ.get("CI") and collector.path.is_relative_to(INTEGRATION):
        _fail(report)
    return report
