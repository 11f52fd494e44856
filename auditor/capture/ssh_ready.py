"""What processes that collect hosts need, loaded: it takes half a second, once for all that are started later."""

from __future__ import annotations

from typing import Final

import auditor.capture.named
import auditor.capture.snapshot
import auditor.capture.ssh
import auditor.capture.ssh_transport  # noqa: F401 (that of those above it is loaded is what counts)
from auditor.registry import load_collectors

COLLECTORS: Final = load_collectors()[0]
