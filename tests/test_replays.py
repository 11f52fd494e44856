"""Real retirements: what people removed, what they forgot, and what only looks like it.

The trees are not part of the repository: `AUDITOR_SHARED` names the directory that holds `replays/`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.realfiles import MISSING, REPLAYS

ROOT = Path(__file__).resolve().parent.parent
SCORE = REPLAYS / "score.py"


@pytest.mark.skipif(not SCORE.is_file(), reason=MISSING)
def test_recall_decoys_and_false_alarms() -> None:
    """Recall of at least 0.95 and never below grep's, no decoy, and at most 3 % false alarms."""
    auditor = shlex.join([sys.executable, "-m", "auditor.cli.main"])
    limits = ["--min-recall", "0.95", "--max-false", "0.03"]
    done = subprocess.run(
        [sys.executable, str(SCORE), "--auditor", auditor, "--show", *limits],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "within the limits" in done.stdout
