"""A client for services of the inventory: GET only, and nothing that an answer says is trusted.

TLS certificates are verified. A redirect is followed on the same scheme, host and port alone: a token goes nowhere
else. Proxies of the environment are not used. Size and time of an answer are limited, however slowly it drips.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

from auditor.model import Outcome
from auditor.redaction import MARK
from auditor.text import is_address, normal_address, printable

MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of one answer."""
MAX_REDIRECTS: Final = 3
MAX_WAIT: Final = 30.0
"""Seconds that are waited in all, for one request, where a server asks to come back later."""
_TRIES: Final = 3
_CHUNK: Final = 65536
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
_AGAIN: Final = frozenset({429, 502, 503, 504})


class FailedError(Exception):
    """A request that gave no usable answer: what became of it, and why. The text never holds a token."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Credentials(Protocol):
    """Where a source of the inventory says that its token comes from."""

    @property
    def token_env(self) -> str | None: ...
    @property
    def token_command(self) -> tuple[str, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with status 200: header names are in lower case. `path` is where a redirect led."""

    headers: Mapping[str, str]
    body: bytes
    path: str = ""

    def json(self) -> Any:
        """The body as JSON. Raises FailedError if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            start = self.body[:64].lstrip()[:1]
            what = "a web page" if start == b"<" else f"{len(self.body)} bytes"
            raise FailedError(Outcome.PARTIAL, f"the answer is not JSON: {what}") from None


def read_token(source: Credentials) -> str:
    """The token of a source, from the environment or a command; empty if the source names none.

    Raises FailedError (denied) if there is none where the source says. Neither the token nor what the command said
    is in the error.
    """
    if source.token_env:
        token = os.environ.get(source.token_env, "").strip()
        if not token:
            raise FailedError(Outcome.DENIED, f"the environment variable {source.token_env} is not set")
    elif source.token_command:
        program = source.token_command[0]
        try:
            done = subprocess.run(  # noqa: S603 - the inventory's own command, without a shell
                source.token_command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            why = "took more than 30 seconds" if isinstance(error, subprocess.TimeoutExpired) else "can't be run"
            raise FailedError(Outcome.DENIED, f"the command that prints the token, {program}, {why}") from None
        if done.returncode:
            raise FailedError(
                Outcome.DENIED, f"the command that prints the token, {program}, ended with {done.returncode}"
            )
        token = done.stdout.decode("utf-8", "replace").strip()
        if not token:
            raise FailedError(Outcome.DENIED, f"the command that prints the token, {program}, printed nothing")
    else:
        return ""
    if not _TOKEN.fullmatch(token):
        raise FailedError(Outcome.DENIED, "the token is more than one printable word: it is not sent")
    return token


class Client:
    """Sends GET requests to one service. Safe to use from one thread at a time."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        scheme: str = "Bearer",
        header: str = "Authorization",
        ca: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`scheme` stands before the token in `header`; `timeout` is in seconds, for a whole answer.

        Raises FailedError for a URL that is not used, and for a CA file that can't be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FailedError(Outcome.UNSUPPORTED, "its URL is neither http nor https")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        try:
            self.port = parts.port or (443 if self.secure else 80)
        except ValueError:
            raise FailedError(Outcome.UNSUPPORTED, "its URL has no usable port") from None
        self.base = parts.path.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._sleep = sleep
        self._headers = {"Accept": "application/json", "User-Agent": "auditor", **(headers or {})}
        if token and not self.secure and not _is_loopback(self.host):
            raise FailedError(Outcome.DENIED, "a token is not sent over plain http: its URL must begin with https")
        if token:
            self._headers[header] = f"{scheme} {token}" if scheme else token
        self._context = _context(ca) if self.secure else None

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Answer:
        """One answer. `path` is below the URL's own, `query` is added to it.

        Raises FailedError: 401 and 403 are denied, 404 and other refusals unsupported, no answer at all unreachable,
        half an answer partial.
        """
        target = self.base + quote(path, safe="/%-._~:@!$&'()*+,;=")
        if query:
            target += "?" + urlencode(query)
        return self._follow(target)

    def follow(self, link: str) -> Answer:
        """One answer from a URL that the service itself gave (a next page). It must be on the same server."""
        return self._follow(self._same_server(link, self.base + "/"))

    def without_token(self, content: bytes) -> bytes:
        """Content without the token, should a service give it back."""
        return content.replace(self._token.encode(), MARK.encode()) if len(self._token) >= 6 else content

    def _follow(self, target: str) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            status, headers, body = self._patiently(target)
            if status in (301, 302, 303, 307, 308):
                target = self._same_server(headers.get("location", ""), target)
                continue
            if status == 200:
                return Answer(headers, body, target)
            raise _refused(status)
        raise FailedError(Outcome.UNSUPPORTED, f"more than {MAX_REDIRECTS} redirects")

    def _same_server(self, location: str, target: str) -> str:
        own = f"{'https' if self.secure else 'http'}://{_bracketed(self.host)}:{self.port}"
        try:
            parts = urlsplit(urljoin(own + target, location))
            port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        except ValueError:
            raise FailedError(Outcome.UNSUPPORTED, "a redirect that is no URL") from None
        there = (parts.scheme, parts.hostname, port)
        if there != ("https" if self.secure else "http", self.host, self.port):
            where = printable(f"{parts.scheme}://{parts.hostname}")[:120]
            raise FailedError(Outcome.DENIED, f"redirected to another server, {where}, which is not followed")
        path, query = (quote(part, safe="/%-._~:@!$&'()*+,;=?") for part in (parts.path or "/", parts.query))
        return f"{path}?{query}" if query else path

    def _patiently(self, target: str) -> tuple[int, dict[str, str], bytes]:
        """One request, tried again where the server is busy or the connection breaks off."""
        waited = 0.0
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            try:
                status, headers, body = self._once(target)
            except FailedError as error:
                if last or error.outcome is not Outcome.PARTIAL:
                    raise
                pause = 0.5
            else:
                if status not in _AGAIN or last:
                    return status, headers, body
                pause = _retry_after(headers.get("retry-after", ""), float(attempt))
                if waited + pause > MAX_WAIT:
                    return status, headers, body
            waited += pause
            self._sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, target: str) -> tuple[int, dict[str, str], bytes]:
        deadline = time.monotonic() + self._timeout
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=min(10.0, self._timeout), context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=min(10.0, self._timeout))
        # Each read has a time limit of its own: a server that sends a byte now and then is cut off by the watch.
        watch: threading.Timer | None = None
        try:
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as error:
                raise FailedError(
                    Outcome.UNREACHABLE, f"its TLS certificate is not accepted: {printable(error.verify_message)}"
                ) from None
            except ssl.SSLError as error:
                reason = printable(str(error.reason or "handshake failed"))
                raise FailedError(Outcome.UNREACHABLE, f"TLS: {reason}") from None
            except (OSError, UnicodeError) as error:
                raise FailedError(Outcome.UNREACHABLE, _why(error)) from None
            left = max(deadline - time.monotonic(), 0.1)
            connection.sock.settimeout(left)
            watch = threading.Timer(left, _cut, [connection.sock])
            watch.daemon = True
            watch.start()
            try:
                connection.request("GET", target, headers=self._headers)
                # Of a connection that ends with the answer, the answer alone holds the socket.
                with connection.getresponse() as answer:
                    body = _body(answer, deadline)
            except http.client.IncompleteRead as error:
                got = len(error.partial)
                raise FailedError(Outcome.PARTIAL, f"the answer breaks off after {got} bytes") from None
            except (http.client.HTTPException, ValueError) as error:
                if time.monotonic() >= deadline:
                    raise FailedError(Outcome.UNREACHABLE, self._late()) from None
                kind = type(error).__name__
                raise FailedError(Outcome.PARTIAL, f"the answer is no HTTP, or breaks off ({kind})") from None
            except OSError as error:
                if time.monotonic() >= deadline or isinstance(error, TimeoutError):
                    raise FailedError(Outcome.UNREACHABLE, self._late()) from None
                raise FailedError(Outcome.PARTIAL, f"the answer breaks off: {_why(error)}") from None
            if time.monotonic() >= deadline:
                raise FailedError(Outcome.UNREACHABLE, self._late())
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
        finally:
            if watch is not None:
                watch.cancel()
            connection.close()

    def _late(self) -> str:
        return f"no whole answer within {self._timeout:g} seconds"


def _body(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := answer.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise FailedError(Outcome.PARTIAL, f"the answer is larger than {MAX_BODY >> 20} MiB")
        if time.monotonic() >= deadline:
            raise TimeoutError
    if answer.length:
        raise http.client.IncompleteRead(b"".join(chunks), answer.length)
    return b"".join(chunks)


def _cut(sock: socket.socket) -> None:
    try:
        # Of the connection itself, also below TLS: what is read there in another thread ends.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


def _context(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise FailedError(Outcome.UNSUPPORTED, f"its CA file can't be read: {printable(str(ca))}") from None


def _is_loopback(host: str) -> bool:
    address = normal_address(host)
    return host == "localhost" or address == "::1" or bool(address and address.startswith("127."))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and is_address(host) else host


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return "no connection within 10 seconds"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, UnicodeError):
        return "its name is no name"
    return printable(error.strerror or type(error).__name__)


def _refused(status: int) -> FailedError:
    reason = http.client.responses.get(status, "")
    text = f"HTTP {status} {reason}".strip()
    if status in (401, 403, 407):
        return FailedError(Outcome.DENIED, text)
    if status in _AGAIN or status >= 500:
        return FailedError(Outcome.UNREACHABLE, text)
    return FailedError(Outcome.UNSUPPORTED, text)


def _retry_after(text: str, default: float) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number, or a date."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return default
