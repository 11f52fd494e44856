"""SVG and PNG through the program `dot` of Graphviz, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

from auditor.errors import UsageError

TIME_LIMIT: Final = 60
"""Seconds for one drawing."""

NOT_INSTALLED: Final = (
    "Install Graphviz (Debian and Ubuntu: apt-get install graphviz), or take --format dot, mermaid or d2 elsewhere."
)


def draw(document: Iterable[str], kind: str) -> bytes:
    """The drawing of a DOT document; `kind` is svg or png.

    Raises UsageError if `dot` is missing, fails, or takes more than a minute.
    """
    program = shutil.which("dot")
    if program is None:
        raise UsageError(f"{kind} needs the program `dot`, which is not installed", hint=NOT_INSTALLED)
    text = "".join(document).encode("utf-8", "backslashreplace")
    try:
        # The document comes on stdin, and names no file: `dot` reads and writes nothing else.
        ended = subprocess.run(  # noqa: S603
            [program, f"-T{kind}"], input=text, capture_output=True, timeout=TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"`dot` took more than {TIME_LIMIT} s", hint="Narrow the graph: --collapse, --depth 2, --only broken."
        ) from error
    except OSError as error:
        raise UsageError(f"`dot` can't be run: {error.strerror}", hint=NOT_INSTALLED) from error
    if ended.returncode or not ended.stdout:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"`dot` failed: {said[0] if said else f'exit code {ended.returncode}'}", hint=NOT_INSTALLED)
    return ended.stdout
