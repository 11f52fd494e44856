"""Waves for machines, version 1. docs/wave.md describes each field."""

from __future__ import annotations

import json
from collections.abc import Sequence

from auditor.report.json_v1 import finding_json, step_json
from auditor.report.summary import all_beyond
from auditor.report.wave.wording import exit_code
from auditor.wave import Wave, WaveHost


def render_json(waves: Sequence[Wave]) -> str:
    """`{"version": 1, "exit_code": …, "waves": […]}`."""
    document = {"version": 1, "exit_code": exit_code(waves), "waves": [_wave(wave) for wave in waves]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _wave(wave: Wave) -> dict[str, object]:
    return {
        "name": wave.name,
        "now": wave.report.now.isoformat().replace("+00:00", "Z"),
        "estate": wave.report.estate,
        "does_not_cover": all_beyond(wave.report),
        "after": list(wave.after),
        "order": [[host.host for host in step] for step in wave.steps],
        "cycles": [list(cycle) for cycle in wave.cycles],
        "hosts": [_host(host) for host in wave.hosts],
    }


def _host(host: WaveHost) -> dict[str, object]:
    return {
        "host": host.host,
        "successor": host.successor,
        "fate": host.fate.value,
        "step": host.step,
        "gone": host.gone,
        "since": host.since,
        "warnings": host.warnings,
        "blockers": [finding_json(one) for one in host.blockers],
        "gaps": list(host.gaps),
        "waits": [
            {
                "host": wait.host,
                "consumers": list(wait.consumers),
                "path": [step_json(step) for step in wait.path],
            }
            for wait in host.waits
        ],
    }
