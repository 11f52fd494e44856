"""What is asked of each kind of service, and how the answers are kept: one file for each thing asked.

A step that fails is recorded as what it is, and the others go on. Only a server that can't be reached at all, or that
wants no more requests, is not asked again for each of them.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol, cast

from auditor.capture.http.client import Answer, Client, Credentials, FailedError, Query, read_token
from auditor.capture.snapshot import Record
from auditor.capture.tree import SKIPPED
from auditor.model import Outcome
from auditor.phrases import timestamp
from auditor.redaction import MARK, redact
from auditor.text import printable

PART: Final = 5000
"""Things of one list that are kept in one file."""
PART_BYTES: Final = 4 * 1024 * 1024
"""Bytes after which another file begins: a file of an estate is read up to 16 MiB, and within some seconds."""
MAX_PAGES: Final = 2000
MAX_THINGS: Final = 500_000
"""Things of one list that are taken."""
MAX_STEPS: Final = 50_000
"""Things that are asked of one service."""

_SECRET_KEYS: Final = re.compile(
    r"(?:.*[_-])?(?:password|passwd|passphrase|secret|secret_?key|token|api_?key|access_?key|private_?key|credentials?"
    r"|authorization|bearer|integration_?key|routing_?key|service_?key|webhook_?secret|community|psk|pass|pwd"
    r"|auth_?pair)|.*Password|.*Token|.*Secret|.*ApiKey",
    re.I,
)
_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_KEPT_WORDS: Final = frozenset({"secretname", "tokenreviews"})
# A variable's name, as in `{"name": "DB_PASS", "value": "…"}`: but DB_PASS_FILE and TOKEN_URL say where something is.
_SECRET_NAME: Final = re.compile(
    r"(?:.*[_.-])?(?:pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|credentials?|psk|auth"
    r"|(?:api|access|private|secret|signing|encryption|auth|session|master)[_.-]?key)(?:[_.-](?!(?:file|path|dir|url|uri"
    r"|host|name|server|endpoint|issuer|ref|ttl|type)$).*)?",
    re.I,
)


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
    before: int = 0
    """How many were complete in the snapshot already."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of a snapshot. `partial` says what of it is missing."""

    content: bytes
    partial: str = ""
    number: int = 1


class Step(NamedTuple):
    """The file that an answer is kept in, below the service's directory, and what asks for it.

    What asks may yield further steps, as the webhooks of each repository of a list: then it `leads`. They are asked
    before it is recorded, so that a run which continues knows that it was not at the end. It may raise FailedError with
    outcome absent, where there is no such thing.
    """

    file: str
    ask: Callable[[Client], Iterator[Kept | Step]]
    leads: bool = False


def safe_name(name: str) -> str:
    """A source's name as a directory of a snapshot."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:100] or "service"


def path_part(text: str) -> str:
    """A name of a service's own, as that of a repository, as one part of a path: names that differ stay different."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:150]
    if clean != text or not clean.strip(".") or clean in SKIPPED:
        clean = f"{clean.strip('.') or '_'}~{blake2b(text.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"
    return clean


def stamp() -> str:
    """The time of now, as records have it."""
    return timestamp(datetime.now(UTC))


def kept_json(data: object) -> bytes:
    """JSON in lines, so that evidence has a line, and without secrets by their keys."""
    return (json.dumps(without_secrets(data), indent=1, ensure_ascii=True) + "\n").encode("ascii")


def without_secrets(data: Any, depth: int = 0) -> Any:
    """An answer with the values of secret keys replaced, and secrets taken out of its texts."""
    if depth > 60:
        return MARK
    if isinstance(data, dict):
        named = data.get("name") or data.get("key")
        secret = isinstance(named, str) and _SECRET_NAME.fullmatch(named) is not None
        return {
            key: MARK
            if isinstance(value, str) and value and (_is_secret(str(key)) or (secret and key == "value"))
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
    client: Callable[[Any, str], Client] | None = None,
    now: Callable[[], str] = stamp,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> ServiceResult:
    """Asks a service for each step, into `services/<name>/<file>`. Raises OSError if the snapshot can't be written.

    What was recorded as seen by an interrupted run is left out. Once `stop` says so, nothing more is asked. `told` gets
    how many steps are done, and how many there are so far.
    """
    directory = f"services/{safe_name(name)}"
    missed = any(outcome not in _SEEN for path, outcome in writer.outcomes.items() if path.startswith(f"{directory}/"))

    def seen(step: Step) -> bool:
        # What leads to others is asked anew where one of them may be what was missed.
        return writer.outcomes.get(f"{directory}/{step.file}") in _SEEN and not (step.leads and missed)

    left: deque[Step | Record] = deque(step for step in steps if not seen(step))
    before, asked, unseen, first = len(steps) - len(left), 0, 0, ""
    try:
        token = read_token(source)
        connected = client(source, token) if client is not None else plain_client(source, token)
    except FailedError as error:
        writer.record(
            Record(f"{directory}/{step.file}", error.outcome, now(), error.detail)
            for step in left
            if isinstance(step, Step)
        )
        return ServiceResult(name, len(left), len(left), error.detail, before)
    gone: FailedError | None = None
    waiting = len(left)
    taken = {step.file for step in steps}
    while left and not stop():
        step = left.popleft()
        if isinstance(step, Record):
            writer.record([step])
            continue
        waiting -= 1
        path = f"{directory}/{step.file}"
        outcome, detail = Outcome.OK, ""
        written = 0
        following: list[Step] = []
        try:
            if gone is not None:
                raise gone
            connected.begin()
            for kept in step.ask(connected):
                if isinstance(kept, Step):
                    following.append(kept)
                    continue
                part = path if kept.number == 1 else _numbered(path, kept.number)
                writer.store(part, connected.without_token(kept.content))
                written += 1
                if kept.partial:
                    outcome, detail = Outcome.PARTIAL, kept.partial
            if not written and not following:
                outcome = Outcome.ABSENT
        except FailedError as error:
            outcome, detail = (Outcome.PARTIAL if written else error.outcome), error.detail
            if error.gone:
                gone = error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            outcome, detail = Outcome.PARTIAL, f"the answer has another form than expected ({type(error).__name__})"
        if asked + waiting + len(following) > MAX_STEPS:
            del following[max(MAX_STEPS - asked - waiting, 0) :]
            outcome, detail = Outcome.PARTIAL, f"more than {MAX_STEPS:,} things to ask: the rest is left out"
        asked += 1
        if outcome not in _SEEN:
            unseen += 1
            first = first or f"{step.file}: {detail}"
        new = [one for one in following if one.file not in taken]
        taken.update(one.file for one in new)
        before += sum(map(seen, new))
        new = [one for one in new if not seen(one)]
        waiting += len(new)
        left.extendleft(reversed([*new, Record(path, outcome, now(), printable(detail))]))
        told(before + asked, before + asked + waiting)
    # Where it was interrupted: what has led to nothing more is complete.
    while left and isinstance(left[0], Record):
        writer.record([cast("Record", left.popleft())])
    return ServiceResult(name, asked, unseen, first, before)


def plain_client(source: Source, token: str) -> Client:
    """A client that sends the token as most services want it. Raises FailedError."""
    return Client(source.url, token=token, ca=source.ca)


def _numbered(path: str, number: int) -> str:
    stem, dot, ending = path.rpartition(".")
    return f"{stem}.{number}{dot}{ending}"


def picked(thing: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """What a thing has of some keys, in their order."""
    return {key: thing[key] for key in keys if key in thing}


def in_parts(
    things: Sequence[Any], before: str = "[", after: str = "]", partial: str = "", *, indent: int | None = None
) -> Iterator[Kept]:
    """A list in files of at most PART things and about PART_BYTES each; one file for an empty list.

    `before` and `after` are what of JSON stands around the list, with its brackets. Without an `indent` each thing has
    one line; with one, each of its values has, so that evidence shows it.
    """
    parts: list[list[str]] = [[]]
    size = 0
    for thing in things:
        text = json.dumps(without_secrets(thing), indent=indent)
        if parts[-1] and (len(parts[-1]) >= PART or size + len(text) > PART_BYTES):
            parts.append([])
            size = 0
        parts[-1].append(text)
        size += len(text)
    for number, part in enumerate(parts, 1):
        lines = ",\n".join(part)
        yield Kept(f"{before}\n{lines}\n{after}\n".encode("ascii"), partial, number)


def pages(client: Client, path: str, query: Query) -> Iterator[Answer]:
    """An answer and the pages after it, by the `Link` header (RFC 8288), as GitHub and GitLab give them.

    Raises FailedError, also in the middle: what came before is then all that there is.
    """
    answer = client.get(path, query)
    seen = {answer.path}
    for _ in range(MAX_PAGES):
        yield answer
        following = _NEXT.search(answer.headers.get("link", ""))
        if following is None:
            return
        answer = client.follow(following[1])
        if answer.path in seen:
            raise FailedError(Outcome.PARTIAL, "its pages go in a circle")
        seen.add(answer.path)
    raise FailedError(Outcome.PARTIAL, f"more than {MAX_PAGES} pages")


def gathered(things: Iterable[Any]) -> tuple[list[Any], str]:
    """All things of some pages, and why there are no more if they break off. Raises FailedError if none came."""
    found: list[Any] = []
    try:
        for thing in things:
            found.append(thing)
            if len(found) >= MAX_THINGS:
                return found, f"more than {MAX_THINGS:,} entries"
    except FailedError as error:
        if not found:
            raise
        return found, f"only the first {len(found):,}: {error.detail}"
    return found, ""


def listed(answers: Iterable[Answer], *keys: str) -> Iterator[Any]:
    """What the list of each answer holds, behind some keys. Raises FailedError for an answer of another form."""
    for answer in answers:
        body = answer.json()
        for key in keys:
            body = body.get(key) if isinstance(body, dict) else None
        if not isinstance(body, list):
            raise FailedError(Outcome.PARTIAL, "the answer has another form than expected")
        yield from body


_NEXT: Final = re.compile(r"<([^<>]{1,4096})>\s*;[^,<>]*?\brel=\"?next\"?")
