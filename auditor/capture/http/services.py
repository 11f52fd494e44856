"""What is asked of each kind of service, and how the answers are kept: one file for each thing asked.

A step that fails is recorded as what it is, and the others go on. Only a server that can't be reached at all is not
asked again for each of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeAlias

from auditor.capture.http.client import Client, Credentials, FailedError, read_token
from auditor.capture.snapshot import Record
from auditor.model import Outcome
from auditor.redaction import MARK, redact
from auditor.text import printable

PART: Final = 5000
"""Things of one list that are kept in one file."""
MAX_PAGES: Final = 2000

_SECRET_KEYS: Final = re.compile(
    r"(?:.*[_-])?(?:password|passwd|passphrase|secret|secret_?key|token|api_?key|access_?key|private_?key|credentials?"
    r"|authorization|bearer|integration_?key|routing_?key|service_?key|webhook_?secret)|.*Password|.*Token|.*Secret"
    r"|.*ApiKey",
    re.I,
)
_KEPT_WORDS: Final = frozenset({"secretname", "tokenreviews"})


class Source(Credentials, Protocol):
    """A service as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...


class Writer(Protocol):
    """Where answers go: a snapshot."""

    @property
    def outcomes(self) -> Mapping[str, Outcome]: ...
    def store(self, path: str, content: bytes) -> None: ...
    def record(self, records: Iterable[Record]) -> None: ...


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """What became of a service: how many things were asked of it, and how many were not, or not all, seen."""

    name: str
    asked: int
    unseen: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of a snapshot. `partial` says what of it is missing."""

    content: bytes
    partial: str = ""
    number: int = 1


Step: TypeAlias = tuple[str, Callable[[Client], Iterator[Kept]]]
"""The file that an answer is kept in, below the service's directory, and what asks for it."""


def safe_name(name: str) -> str:
    """A source's name as a directory of a snapshot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:100] or "service"


def stamp() -> str:
    """The time of now, as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kept_json(data: object) -> bytes:
    """JSON in lines, so that evidence has a line, and without secrets by their keys."""
    return (json.dumps(without_secrets(data), indent=1, ensure_ascii=True) + "\n").encode("ascii")


def without_secrets(data: Any, depth: int = 0) -> Any:
    """An answer with the values of secret keys replaced, and secrets taken out of its texts."""
    if depth > 60:
        return MARK
    if isinstance(data, dict):
        return {
            key: MARK
            if isinstance(value, str) and value and _is_secret(str(key))
            else without_secrets(value, depth + 1)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [without_secrets(value, depth + 1) for value in data]
    return redact(data) if isinstance(data, str) else data


def _is_secret(key: str) -> bool:
    return key.lower() not in _KEPT_WORDS and _SECRET_KEYS.fullmatch(key) is not None


def collect_service(
    name: str,
    source: Source,
    writer: Writer,
    steps: Sequence[Step],
    *,
    client: Callable[[Source, str], Client] | None = None,
    now: Callable[[], str] = stamp,
    stop: Callable[[], bool] = lambda: False,
) -> ServiceResult:
    """Asks a service for each step, into `services/<name>/<file>`. Raises OSError if the snapshot can't be written.

    What was recorded as seen by an interrupted run is left out. Once `stop` says so, nothing more is asked.
    """
    directory = f"services/{safe_name(name)}"
    left = [step for step in steps if writer.outcomes.get(f"{directory}/{step[0]}") is not Outcome.OK]
    try:
        token = read_token(source)
        connected = client(source, token) if client is not None else Client(source.url, token=token, ca=source.ca)
    except FailedError as error:
        writer.record(Record(f"{directory}/{file}", error.outcome, now(), error.detail) for file, _ in left)
        return ServiceResult(name, len(left), len(left), error.detail)
    unseen, first = 0, ""
    gone: FailedError | None = None
    for file, ask in left:
        if stop():
            break
        path = f"{directory}/{file}"
        outcome, detail = Outcome.OK, ""
        written = 0
        try:
            if gone is not None:
                raise gone
            for kept in ask(connected):
                part = path if kept.number == 1 else _numbered(path, kept.number)
                writer.store(part, connected.without_token(kept.content))
                written += 1
                if kept.partial:
                    outcome, detail = Outcome.PARTIAL, kept.partial
            if not written:
                outcome = Outcome.ABSENT
        except FailedError as error:
            outcome, detail = (Outcome.PARTIAL if written else error.outcome), error.detail
            if error.outcome is Outcome.UNREACHABLE and not written and not error.detail.startswith("HTTP "):
                gone = error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            outcome, detail = Outcome.PARTIAL, f"the answer has another form than expected ({type(error).__name__})"
        if outcome not in (Outcome.OK, Outcome.ABSENT):
            unseen += 1
            first = first or f"{file}: {detail}"
        writer.record([Record(path, outcome, now(), printable(detail))])
    return ServiceResult(name, len(left), unseen, first)


def _numbered(path: str, number: int) -> str:
    stem, dot, ending = path.rpartition(".")
    return f"{stem}.{number}{dot}{ending}"


def in_parts(things: Sequence[Any], before: str = "[", after: str = "]", partial: str = "") -> Iterator[Kept]:
    """A list in files of at most PART things each, one thing a line; one file for an empty list.

    `before` and `after` are what of JSON stands around the list, with its brackets.
    """
    for number, at in enumerate(range(0, max(len(things), 1), PART), 1):
        lines = ",\n".join(json.dumps(without_secrets(thing)) for thing in things[at : at + PART])
        yield Kept(f"{before}\n{lines}\n{after}\n".encode("ascii"), partial, number)
