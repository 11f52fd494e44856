"""Healthchecks (healthchecks.io, or one's own): checks with their schedules, and where their last pings came from.

Management API v3, or v1 of an older server. A check's UUID is the key by which it is pinged: it is not kept, nor is the
URL beyond its host. What stands for it is the `unique_key` that a read-only key gets to see: the SHA-1 of half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha1
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from auditor.capture.http.client import Answer, Client, Credentials, FailedError
from auditor.capture.http.services import Kept, Step, in_parts, listed
from auditor.model import Outcome

_CHECK: Final = (
    *(
        "name",
        "slug",
        "tags",
        "desc",
        "status",
        "started",
        "grace",
        "timeout",
        "schedule",
        "tz",
        "n_pings",
        "last_ping",
    ),
    *("next_ping", "manual_resume", "methods", "unique_key"),
)
_PING: Final = ("type", "date", "n", "scheme", "remote_addr", "method", "ua", "duration", "exitstatus")
_PINGS: Final = 100
"""Pings of one check that are kept, the last ones."""
_READ_ONLY: Final = "with a read-only API key: where its pings come from is shown to a read-write key alone"


class Source(Credentials, Protocol):
    """A project of Healthchecks as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...


def healthchecks_client(source: Source, token: str) -> Client:
    """A client with a project's API key. Raises FailedError."""
    return Client(source.url, token=token, header="X-Api-Key", scheme="", ca=source.ca)


def _get(client: Client, path: str) -> Answer:
    try:
        return client.get(f"/api/v3{path}")
    except FailedError as error:
        if error.status != 404:
            raise
        return client.get(f"/api/v1{path}")


def _checks(client: Client) -> Iterator[Kept | Step]:
    found = list(listed([_get(client, "/checks/")], "checks"))
    codes = [_code(one) for one in found]
    kept = [_kept(one, code) for one, code in zip(found, codes, strict=True)]
    if found:
        hidden = _READ_ONLY if None in codes else ""
        yield from in_parts(kept, '{"checks": [', "]}", hidden, indent=1)
    for one, code in zip(kept, codes, strict=True):
        if code is not None and one.get("n_pings"):
            yield Step(f"pings/{one['unique_key']}.json", _pings(code))


def _code(check: Mapping[str, Any]) -> UUID | None:
    """The UUID of a check; None where a read-only key does not show it."""
    for key in ("uuid", "ping_url", "update_url"):
        if isinstance(text := check.get(key), str):
            try:
                return UUID(text.rstrip("/").rpartition("/")[2])
            except ValueError:
                continue
    return None


def _kept(check: Mapping[str, Any], code: UUID | None) -> dict[str, Any]:
    made = {key: check[key] for key in _CHECK if key in check}
    if code is not None:
        made["unique_key"] = sha1(code.hex[:16].encode(), usedforsecurity=False).hexdigest()
    if isinstance(url := check.get("ping_url"), str):
        parts = urlsplit(url)
        made["ping_url"] = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
    return made


def _pings(code: UUID) -> Callable[[Client], Iterator[Kept | Step]]:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found = list(listed([_get(client, f"/checks/{code}/pings/")], "pings"))
        if not found:
            raise FailedError(Outcome.ABSENT, "it was never pinged, or the pings are forgotten")
        last = [{key: one[key] for key in _PING if key in one} for one in found[:_PINGS]]
        yield from in_parts(last, '{"pings": [', "]}")

    return ask


HEALTHCHECKS: Final[tuple[Step, ...]] = (Step("checks.json", _checks, True),)
"""What is asked of a project."""
