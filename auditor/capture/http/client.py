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
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote, urlencode, urljoin, urlsplit

from auditor.model import Outcome
from auditor.redaction import MARK
from auditor.text import is_address, normal_address, printable, reason_of

MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of one answer."""
MAX_ALL: Final = 256 * 1024 * 1024
"""Bytes of all pages of one list."""
MAX_REDIRECTS: Final = 3
MAX_WAIT: Final = 75.0
"""Seconds that are waited in all, for one request, where a server asks to come back later: GitHub says a minute."""
MAX_PATIENCE: Final = 300.0
"""Seconds that are waited in all for one server, however many requests it is busy for."""
_TRIES: Final = 3
_LIMITED: Final = 10.0
"""Seconds before it is asked again where a limit is used up and nothing says for how long."""
_MINUTE: Final = 60.0
_CHUNK: Final = 65536
_SAID: Final = 4096
"""Bytes of a refusal that are looked at."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})

Query: TypeAlias = Mapping[str, str | int | Sequence[str]]
"""Parameters of a request; several values make a parameter that is there several times."""


class FailedError(Exception):
    """A request that gave no usable answer: what became of it, and why. The text never holds a token.

    `status` is that of HTTP, 0 without an answer; `said` is how the body of a refusal begins. `gone`: the server is not
    there, or wants to be left alone for longer than is waited, so that further requests make no sense.
    """

    def __init__(
        self, outcome: Outcome, detail: str, *, status: int = 0, said: bytes = b"", gone: bool = False
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.status = status
        self.said = said
        self.gone = gone


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
    return usable_token(token)


def usable_token(token: str) -> str:
    """A token that may stand in a header. Raises FailedError (denied) for any other; the error does not show it."""
    if not _TOKEN.fullmatch(token):
        raise FailedError(Outcome.DENIED, "the token is more than one printable word: it is not sent")
    return token


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """With what a client says over TLS who it is, both in PEM form."""

    certificate: bytes
    key: bytes = field(repr=False)


class Client:
    """Sends GET requests to one service. Safe to use from one thread at a time."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        scheme: str = "Bearer",
        header: str = "Authorization",
        user: str = "",
        ca: str | None = None,
        ca_data: str | None = None,
        certificate: ClientCertificate | None = None,
        server_name: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`scheme` stands before the token in `header`; with a `user`, the token is the password (RFC 7617).

        `ca` is a file, `ca_data` certificates in PEM form; `server_name` is the name that the server's certificate must
        have, if not that of the URL. `timeout` is in seconds, for a whole answer. Raises FailedError for a URL that is
        not used, for a CA file that can't be read, and for a client certificate without its key.
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
        self._patience = MAX_PATIENCE
        self._allowed = MAX_ALL
        self._server_name = server_name
        self._headers = {"Accept": "application/json", "User-Agent": "auditor", **(headers or {})}
        if token and not self.secure and not _is_loopback(self.host):
            raise FailedError(Outcome.DENIED, "a token is not sent over plain http: its URL must begin with https")
        if token and user:
            self._headers[header] = "Basic " + b64encode(f"{user}:{token}".encode()).decode("ascii")
        elif token:
            self._headers[header] = f"{scheme} {token}" if scheme else token
        self._context = _context(ca, ca_data, certificate) if self.secure else None

    @property
    def address(self) -> str:
        """The URL below which everything is asked, with its port."""
        return f"{'https' if self.secure else 'http'}://{_bracketed(self.host)}:{self.port}{self.base}"

    def begin(self) -> None:
        """Another list is asked for: what one may hold is counted anew."""
        self._allowed = MAX_ALL

    def get(self, path: str, query: Query | None = None) -> Answer:
        """One answer. `path` is below the URL's own, `query` is added to it.

        Raises FailedError: 401 and 403 are denied, 404 and other refusals unsupported, no answer at all unreachable,
        half an answer partial.
        """
        target = self.base + quote(path, safe="/%-._~:@!$&'()*+,;=")
        if query:
            target += "?" + urlencode(query, doseq=True)
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
            self._allowed -= len(body)
            if self._allowed < 0:
                raise FailedError(Outcome.PARTIAL, f"more than {MAX_ALL >> 20} MiB in all")
            if status in (301, 302, 303, 307, 308):
                target = self._same_server(headers.get("location", ""), target)
                continue
            if status == 200:
                return Answer(headers, body, target)
            raise _refused(status, headers, body)
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
                limited = _limited(status, headers, body)
                if last or not (status in _AGAIN or limited):
                    return status, headers, body
                pause = _pause(status, headers, attempt * (_LIMITED if limited else 1.0))
                if waited + pause > MAX_WAIT or pause > self._patience:
                    return status, headers, body
            waited += pause
            self._patience -= pause
            self._sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, target: str) -> tuple[int, dict[str, str], bytes]:
        deadline = time.monotonic() + self._timeout
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = _Secure(self.host, self.port, self._context, self._server_name, min(10.0, self._timeout))
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=min(10.0, self._timeout))
        # Each read has a time limit of its own: a server that sends a byte now and then is cut off by the watch.
        watch: threading.Timer | None = None
        try:
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as error:
                why = f"its TLS certificate is not accepted: {printable(error.verify_message)}"
                raise FailedError(Outcome.UNREACHABLE, why, gone=True) from None
            except ssl.SSLError as error:
                reason = printable(str(error.reason or "handshake failed"))
                raise FailedError(Outcome.UNREACHABLE, f"TLS: {reason}", gone=True) from None
            except (OSError, UnicodeError) as error:
                raise FailedError(Outcome.UNREACHABLE, _why(error), gone=True) from None
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
                    raise self._late() from None
                kind = type(error).__name__
                raise FailedError(Outcome.PARTIAL, f"the answer is no HTTP, or breaks off ({kind})") from None
            except OSError as error:
                if _wants_certificate(error, connection.sock):
                    why = "the server accepts no client without a certificate that it knows"
                    raise FailedError(Outcome.DENIED, why, gone=True) from None
                if time.monotonic() >= deadline or isinstance(error, TimeoutError):
                    raise self._late() from None
                raise FailedError(Outcome.PARTIAL, f"the answer breaks off: {_why(error)}") from None
            if time.monotonic() >= deadline:
                raise self._late()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
        finally:
            if watch is not None:
                watch.cancel()
            connection.close()

    def _late(self) -> FailedError:
        return FailedError(Outcome.UNREACHABLE, f"no whole answer within {self._timeout:g} seconds", gone=True)


class _Secure(http.client.HTTPSConnection):
    """A connection over TLS to a server whose certificate may have another name than the URL."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context
        self._name = name or host

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _wants_certificate(error: OSError, sock: socket.socket | None) -> bool:
    """Whether a server ends a connection for want of a client certificate. In TLS 1.3 it says so after the handshake,
    perhaps while the request is being sent: then its alert is still to be read."""
    if isinstance(error, (ssl.SSLEOFError, BrokenPipeError, ConnectionResetError)) and isinstance(sock, ssl.SSLSocket):
        try:
            sock.recv(1)
        except OSError as later:
            error = later
    return isinstance(error, ssl.SSLError) and "CERTIFICATE" in str(error.reason)


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


def _context(ca: str | None, ca_data: str | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca, cadata=ca_data)
    except (OSError, ssl.SSLError, ValueError):
        why = f"its CA file can't be read: {printable(str(ca))}" if ca else "its CA certificates can't be read"
        raise FailedError(Outcome.UNSUPPORTED, why) from None
    if certificate is not None:
        try:
            _identify(context, certificate)
        except (OSError, ssl.SSLError, ValueError):
            why = "the client certificate can't be used: it or its key is no PEM, or the key is another's or encrypted"
            raise FailedError(Outcome.DENIED, why) from None
    return context


def _identify(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """Loads a client certificate. OpenSSL's binding reads files alone: one in memory, or else one that nobody can read
    and that is gone at once. Raises OSError, ssl.SSLError, ValueError."""
    content = certificate.certificate.rstrip(b"\n") + b"\n" + certificate.key

    def load(path: str) -> None:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(path, password=lambda: b"")

    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with os.fdopen(os.memfd_create("client"), "wb") as memory:
            memory.write(content)
            memory.flush()
            load(f"/proc/self/fd/{memory.fileno()}")
        return
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(content)
        stream.flush()
        load(stream.name)


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
    return reason_of(error)


def _refused(status: int, headers: Mapping[str, str], body: bytes) -> FailedError:
    reason = http.client.responses.get(status, "")
    text = f"HTTP {status} {reason}".strip()
    said = body[:_SAID]
    if _limited(status, headers, body):
        pause = _pause(status, headers, 0.0)
        when = f", and wants to be asked again in {pause:.0f} seconds" if pause else ""
        text += f": its limit of requests is used up{when}"
        return FailedError(Outcome.UNREACHABLE, text, status=status, said=said, gone=True)
    if status in (401, 403, 407):
        return FailedError(Outcome.DENIED, text, status=status, said=said)
    if status in _AGAIN or status >= 500:
        return FailedError(Outcome.UNREACHABLE, text, status=status, said=said)
    return FailedError(Outcome.UNSUPPORTED, text, status=status, said=said)


def _limited(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a refusal is about too many requests. GitHub says so with 403, too: with `Retry-After`, with
    `X-RateLimit-Remaining: 0`, or (of its secondary limit) in the message alone."""
    if status == 403:
        return (
            "retry-after" in headers
            or headers.get("x-ratelimit-remaining", "").strip() == "0"
            or b"secondary rate limit" in body[:_SAID]
        )
    return status == 429


def _pause(status: int, headers: Mapping[str, str], default: float) -> float:
    """Seconds to wait. GitHub: if it is neither said nor the hour's limit that is used up, at least a minute."""
    used_up = headers.get("x-ratelimit-remaining", "").strip() in ("", "0")
    if status == 403 and "retry-after" not in headers and not used_up:
        return _MINUTE
    return _retry_after(headers, default)


def _retry_after(headers: Mapping[str, str], default: float) -> float:
    """Seconds to wait: of Retry-After (RFC 9110, 10.2.3), a number or a date; else until the limit of requests begins
    anew, in seconds since the epoch (GitHub, GitLab)."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    if text:
        try:
            return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
        except (ValueError, TypeError, OverflowError):
            return default
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    if reset.isascii() and reset.isdigit() and 9 < len(reset) < 12:
        return max(float(reset) - time.time(), 0.0)
    return default
