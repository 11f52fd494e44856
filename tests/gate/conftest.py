"""What the tests of the gate share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gate.clones import BASE, Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone", BASE)
