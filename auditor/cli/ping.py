"""A dead-man's ping: one GET that tells a service elsewhere that a scheduled run has ended, and how.

The address is a secret, as whoever knows it can say that all is well: it comes from the environment or a file, never
from the command line, and is in no message.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from auditor.errors import UsageError

URL: Final = "AUDITOR_PING_URL"
FAIL_URL: Final = "AUDITOR_PING_FAIL_URL"
TIMEOUT: Final = 5.0
"""Seconds for one try, from the look-up of the name to the end of the answer."""
TRIES: Final = 3
_PAUSE: Final = 2.0
_ANSWER: Final = 256
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where to tell that a run has ended well, and where that it has not."""

    good: str
    bad: str

    def __repr__(self) -> str:
        return "Address(…)"


def address(file: Path | None) -> Address | None:
    """The address of a file (its first line; a second one is for failures), else of the environment; None if none is.

    Without an address of its own, a failure goes to `/fail` below the good one, as Healthchecks has it. Raises
    UsageError for what is no address.
    """
    if file is not None:
        try:
            with file.open("rb") as stream:
                lines = stream.read(3 * _LONGEST).decode("utf-8", "replace").split("\n")
        except OSError as error:
            raise UsageError(f"{file}: can't be read: {error.strerror}", hint="It holds the URL to ping.") from error
        where = str(file)
        good, bad = lines[0].strip(), lines[1].strip() if len(lines) > 1 else ""
        if not good:
            raise UsageError(f"{file}: its first line is empty", hint="It holds the URL to ping.")
    else:
        where = URL
        good, bad = os.environ.get(URL, "").strip(), os.environ.get(FAIL_URL, "").strip()
        if not good:
            return None
    _check(good, where)
    if bad:
        _check(bad, where if file is not None else FAIL_URL)
        return Address(good, bad)
    parts = urlsplit(good)
    return Address(good, urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail")))


def _check(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"{where}: holds no http or https URL that can be pinged")


def ping(to: Address, *, good: bool, timeout: float = TIMEOUT, pause: float = _PAUSE) -> str:
    """Tells how a run has ended. Returns why that could not be done, without the address; empty if it could."""
    stop = threading.Event()
    why = ""
    for number in range(TRIES):
        if number:
            stop.wait(pause)
        why, again = _within(to.good if good else to.bad, timeout)
        if not again:
            break
    return why


def _within(url: str, timeout: float) -> tuple[str, bool]:
    """One try in a thread of its own: neither a slow resolver nor a server that drips can hold up the run."""
    done: list[tuple[str, bool]] = []
    thread = threading.Thread(target=lambda: done.append(_once(url, timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    return done[0] if done else (_late(timeout), True)


def _late(timeout: float) -> str:
    return f"no answer within {timeout:g} s"


def _once(url: str, timeout: float) -> tuple[str, bool]:
    """Why a ping was not taken, and whether it is worth another try."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        # Another server must not learn the address.
        def redirect_request(self, *_arguments: object, **_named: object) -> None:
            return None

    try:
        request = Request(url, headers={"User-Agent": "auditor"})  # noqa: S310 - http or https, as checked before
        with build_opener(Stay).open(request, timeout=timeout) as answer:
            said = answer.read(_ANSWER)
    except HTTPError as error:
        error.close()
        return f"HTTP status {error.code}", error.code == 429 or error.code >= 500
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return _late(timeout), True
        kind = (reason.strerror if isinstance(reason, OSError) else "") or type(reason).__name__
        return f"no connection ({kind})", True
    except TimeoutError:
        return _late(timeout), True
    except (OSError, HTTPException, ValueError) as error:
        return f"no whole answer ({type(error).__name__})", True
    # Healthchecks answers 200 to what it does not know.
    if b"not found" in said.lower():
        return "the service answered that it does not know this address", False
    return "", False
