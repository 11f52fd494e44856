"""Which kinds of sources of the inventory are asked over HTTP, and what for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from auditor.capture.http.prometheus import ALERTMANAGER, PROMETHEUS
from auditor.capture.http.services import Step

STEPS: Final[Mapping[str, Sequence[Step]]] = MappingProxyType(
    {
        "alertmanager": ALERTMANAGER,
        "prometheus": PROMETHEUS,
    }
)
"""Kind of source -> what is asked of it."""


def steps_for(source: Any) -> Sequence[Step]:
    """What is asked of a source of the inventory."""
    return STEPS[source.kind]
