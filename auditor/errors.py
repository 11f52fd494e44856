"""The exception tree. Each error says what happened, where, and what to do about it."""

from __future__ import annotations


class AuditorError(Exception):
    """Base of all errors that a user can do something about.

    `hint` is one sentence that says what to do next. `exit_code` is what the command ends with.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AuditorError):
    """The command line asks for something that can't be."""


class EstateError(AuditorError):
    """The estate can't be read at all."""


class InventoryError(EstateError):
    """`inventory.yaml` is wrong. `problems` holds one `file:line: what (hint)` text for each."""

    def __init__(self, problems: list[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems


class PolicyError(AuditorError):
    """A policy, a baseline or a profile is wrong. `problems` holds one `file:line: what (hint)` text for each."""

    def __init__(self, problems: list[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems


class PluginError(AuditorError):
    """A collector or rule that does not load. Reported as a failure: the run goes on and is not CLEAR."""
