"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# What continuous integration says of a commit must not change from run to run: chance belongs to runs by hand. How long
# an example takes says how busy the machine is.
settings.register_profile(
    "steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("steady")


def _of_our_own() -> None:
    """Leaves out what the environment of whoever runs this would change: where a hook of git says that it is, how a
    user's git signs, whose cloud it is, how wide the terminal is, and what is asked instead of what runs here."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "AWS_", "AUDITOR_")) and name != "AUDITOR_SHARED":
            del os.environ[name]
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR"):
        os.environ.pop(name, None)
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


_of_our_own()

INTEGRATION = Path(__file__).parent / "integration"


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skip's representation is its place and its reason.
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    # Whoever clones the repository does not have the real files, and nothing can be installed for it.
    if "AUDITOR_SHARED" in reason and "AUDITOR_SHARED" not in os.environ:
        return
    report.outcome = "failed"
    report.longrepr = f"an integration test was skipped, and CI is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration a skipped integration test is a failure: it would hide that nothing was tried.

    Not where real files are missing that the environment does not promise."""
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
