"""A real browser, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.programs import PATIENCE, need

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FLAGS: Final = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium with a new and empty directory of user data; skips where it can't be run, and fails where CI is set."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = need("chromium", "chromium")
    with pytest.MonkeyPatch.context() as patch:
        if not os.access(Path.home(), os.W_OK):
            # It keeps records of its crashes there.
            patch.setenv("HOME", os.environ.get("TMPDIR", "/tmp"))
        try:
            running = playwright.sync_playwright().start()
        # Whatever Playwright raises: its driver is a program of its own.
        except Exception as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"Playwright's driver does not run (Debian: libatomic1): {error}")
        try:
            browser = running.chromium.launch(
                executable_path=program, headless=True, args=_FLAGS, timeout=PATIENCE * 1000
            )
            yield browser
            browser.close()
        finally:
            running.stop()
