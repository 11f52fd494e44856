"""What the reports look like, kept as files to read. `AUDITOR_WRITE_GOLDEN=1 pytest tests/report` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditor.report import render
from tests.report.constructed import EVERY

GOLDEN = Path(__file__).parent / "golden"
CASES = [
    *((f"{name}-{width}.txt", name, "text", width) for name in EVERY for width in (80, 48)),
    *((f"{name}.md", name, "markdown", 80) for name in EVERY),
]


@pytest.mark.parametrize(("file", "name", "format", "width"), CASES, ids=[case[0] for case in CASES])
def test_looks_as_kept(file: str, name: str, format: str, width: int) -> None:
    written = render(EVERY[name], format, color=False, width=width)
    path = GOLDEN / file
    if os.environ.get("AUDITOR_WRITE_GOLDEN"):
        path.write_text(written, encoding="utf-8")
    assert written == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {case[0] for case in CASES}
