"""Sends the calls of boto3: the same bytes over connections that stay open, at a third of the computing.

botocore asks its handlers of `before-send` first, and sends itself what none of them has answered. So what needs more
than a plain connection goes its own way: a proxy, a body that is a stream. Errors are those that botocore would raise,
which its retries know. RFC 9112.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

_HEAD_BYTES: Final = 64 * 1024
_BODY_BYTES: Final = 256 * 1024 * 1024
_BLOCK: Final = 64 * 1024
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}|\.\d{6})?Z", re.A)
_LATE: Final = 2**31
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?")
_PORTS: Final = {"http": 80, "https": 443}


def moment(value: Any) -> datetime:
    """A time as the API has it, mostly in ISO 8601 or in seconds since the epoch: botocore takes ten times as long.

    Raises ValueError. Stands in for `botocore.utils.parse_timestamp`, as the AWS CLI has one of its own.
    """
    if isinstance(value, str) and _ISO.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, (int, float)) and 0 <= value < _LATE:
        return datetime.fromtimestamp(value, UTC)
    from botocore.utils import parse_timestamp

    return parse_timestamp(value)  # type: ignore[no-any-return]


class UnansweredError(Exception):
    """A connection ended, or what came is no answer of HTTP. `begun` is whether any of it had come."""

    def __init__(self, why: str, *, begun: bool) -> None:
        super().__init__(why)
        self.begun = begun


class Body:
    """What botocore takes for the connection that an answer is read from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._content


class Wire:
    """Connections to the hosts of an account's services, for several threads. Timeouts are in seconds."""

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._authorities = ""
        self._context: ssl.SSLContext | None = None
        # None for what goes through a proxy.
        self._idle: dict[tuple[str, str], deque[_Connection] | None] = {}

    def attach(self, session: Any) -> None:
        """Sends for the clients of a session of botocore."""
        from botocore.httpsession import get_cert_path

        said = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        self._authorities = str(said or get_cert_path(True))
        session.register("before-send", self.send)

    def send(self, request: Any, **_: Any) -> Any:
        """The answer to a request of botocore (`AWSPreparedRequest`), or None: then botocore sends it.

        Raises what botocore does: EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError, SSLError,
        ConnectionClosedError.
        """
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import BotoCoreError, ConnectionClosedError, ReadTimeoutError

        url = urlsplit(request.url)
        idle = self._connections(url, request.url)
        message = _message(request, url)
        if idle is None or message is None:
            return None
        try:
            status, headers, body = self._exchange(idle, url, message, head_only=request.method == "HEAD")
        except BotoCoreError:
            # Some of them are OSError as well.
            raise
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, UnansweredError) as error:
            raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        return AWSResponse(request.url, status, headers, Body(body))

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _connections(self, url: SplitResult, text: str) -> deque[_Connection] | None:
        key = url.scheme, url.netloc
        if key not in self._idle:
            from botocore.utils import get_environ_proxies

            plain = url.scheme in _PORTS and url.scheme not in get_environ_proxies(text)
            self._idle.setdefault(key, deque() if plain else None)
        return self._idle[key]

    def _exchange(self, idle: deque[_Connection], url: SplitResult, message: bytes, *, head_only: bool) -> _Answer:
        connection, answer = None, None
        while idle and answer is None:
            with suppress(IndexError):
                connection = idle.pop()
                answer = self._again(connection, message, head_only)
        if connection is None or answer is None:
            connection = self._connect(url)
            answer = connection.exchange(message, head_only)
        if connection.open:
            idle.append(connection)
        return answer

    def _again(self, connection: _Connection, message: bytes, head_only: bool) -> _Answer | None:
        """An answer over a connection that lay idle; None if the server has closed it meanwhile. Calls only read."""
        try:
            return connection.exchange(message, head_only)
        except ConnectionError:
            return None
        except UnansweredError as error:
            if error.begun:
                raise
            return None

    def _connect(self, url: SplitResult) -> _Connection:
        from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, SSLError

        text, host = url.geturl(), url.hostname or ""
        connected: socket.socket | None = None
        try:
            connected = socket.create_connection((host, url.port or _PORTS[url.scheme]), self._connect_timeout)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "https":
                connected = self._tls().wrap_socket(connected, server_hostname=host)
        except OSError as error:
            if connected is not None:
                connected.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(endpoint_url=text, error=error) from error
            if isinstance(error, ssl.SSLError):
                raise SSLError(endpoint_url=text, error=error) from error
            raise EndpointConnectionError(endpoint_url=text, error=error) from error
        connected.settimeout(self._read_timeout)
        return _Connection(connected)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._authorities)
        return self._context


def host_of(url: SplitResult) -> str:
    """What a header `Host` says, as it is signed: in lower case, without the port that goes without saying."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else str(url.hostname)
    return host if url.port in (None, _PORTS.get(url.scheme)) else f"{host}:{url.port}"


def _message(request: Any, url: SplitResult) -> bytes | None:
    """A request as it goes over the wire; None for what only botocore sends."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    if request.stream_output or not isinstance(body, (bytes, bytearray)) or "@" in url.netloc:
        return None
    lines = [f"{request.method} {url.path or '/'}{f'?{url.query}' if url.query else ''} HTTP/1.1"]
    names = set()
    for name, value in request.headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
        names.add(name.lower())
    if not {"expect", "transfer-encoding"}.isdisjoint(names):
        return None
    if "host" not in names:
        lines.append(f"Host: {host_of(url)}")
    if "accept-encoding" not in names:
        lines.append("Accept-Encoding: identity")
    if "content-length" not in names and (body or request.method not in ("GET", "HEAD")):
        lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        return None
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + bytes(body)


_Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]
"""Status, headers in lower case, and body."""


class _Connection:
    """A connection, with what was read and not yet used."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._read = b""
        self.open = True

    def close(self) -> None:
        self.open = False
        self._socket.close()

    def exchange(self, message: bytes, head_only: bool) -> _Answer:
        """Raises UnansweredError, OSError (TimeoutError); the connection is closed then."""
        try:
            self._socket.sendall(message)
            status, headers, last = self._head()
            body = b"" if head_only or status in (204, 304) else self._body(headers)
            if last or self._read:
                self.close()
        except BaseException:
            self.close()
            raise
        return status, headers, body

    def _head(self) -> tuple[int, dict[str, str], bool]:
        """Status, headers in lower case, and whether the connection ends with this answer."""
        while True:
            head = self._until(b"\r\n\r\n", _HEAD_BYTES)
            lines = head.split(b"\r\n")
            found = _STATUS.fullmatch(lines[0])
            if found is None:
                raise UnansweredError("no answer of HTTP/1.1", begun=True)
            status = int(found[2])
            if status >= 200:
                break
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():
                raise UnansweredError("a header that is none", begun=True)
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        said = headers.get("connection", "").lower()
        return status, headers, "close" in said or (found[1] == b"0" and "keep-alive" not in said)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
                raise UnansweredError("an answer in an unknown encoding", begun=True)
            return b"".join(self._chunks())
        if "content-length" in headers:
            length = headers["content-length"]
            if not (length.isascii() and length.isdigit() and len(length) < 20):
                raise UnansweredError("an answer of no length", begun=True)
            return self._exactly(int(length))
        parts: list[bytes] = []
        size = 0
        while part := self._some():
            parts.append(part)
            size += len(part)
            if size > _BODY_BYTES:
                raise UnansweredError("an answer without an end", begun=True)
        self.close()
        return b"".join(parts)

    def _chunks(self) -> Iterator[bytes]:
        size = 0
        while True:
            length = self._until(b"\r\n", _HEAD_BYTES).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", length):
                raise UnansweredError("a piece of no length", begun=True)
            count = int(length, 16)
            size += count
            if size > _BODY_BYTES:
                raise UnansweredError("an answer without an end", begun=True)
            if not count:
                while self._until(b"\r\n", _HEAD_BYTES):
                    pass
                return
            yield self._exactly(count)
            if self._exactly(2) != b"\r\n":
                raise UnansweredError("a piece that does not end", begun=True)

    def _some(self) -> bytes:
        """What was read, or else what comes next; empty at the end."""
        found, self._read = self._read, b""
        return found or self._socket.recv(_BLOCK)

    def _until(self, sign: bytes, limit: int) -> bytes:
        """What comes before a sign, which is left out."""
        begun = b""
        while True:
            part = self._some()
            if not part:
                raise UnansweredError("the connection was closed", begun=bool(begun))
            begun += part
            found, sign_there, rest = begun.partition(sign)
            if sign_there:
                self._read = rest
                return found
            if len(begun) > limit:
                raise UnansweredError("a line without an end", begun=True)

    def _exactly(self, count: int) -> bytes:
        if count > _BODY_BYTES:
            raise UnansweredError("an answer too long", begun=True)
        parts: list[bytes] = []
        while count:
            part = self._some()
            if not part:
                raise UnansweredError("the connection was closed within an answer", begun=True)
            if len(part) > count:
                self._read = part[count:]
                part = part[:count]
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
