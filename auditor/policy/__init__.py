"""What a company decides: rules on and off, severities, thresholds, waivers, baselines, what a checklist asks.

Light to import: pydantic and YAML are loaded when a policy is read.
"""

from __future__ import annotations

from typing import Final

POLICY: Final = "policy.yaml"
"""What the file is called, beside `inventory.yaml`."""

CONFIRM_PERCENT: Final = 25
CONFIRM_HOSTS: Final = 10
"""A scenario of more than this share of all hosts, and of more than so many, must be confirmed."""
