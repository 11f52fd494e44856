"""Real files that are no part of the repository, for the tests that read them where they are."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("AUDITOR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CORPUS = SHARED / "corpus"
"""Single files, by kind."""
REPLAYS = SHARED / "replays"
"""Whole trees, as they were before a host was retired."""
MISSING = "real files are not here (AUDITOR_SHARED names their directory)"
"""Why a test is skipped without them. Continuous integration lets it pass, by the variable's name."""
