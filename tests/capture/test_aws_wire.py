"""How calls of AWS go over the wire: what comes back is what was sent, and faults are those that botocore knows."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.capture.aws_wire import Wire, moment

pytest.importorskip("botocore")
from botocore import exceptions
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.session import get_session
from botocore.utils import parse_timestamp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amzn-RequestId: 1\r\n\r\n{}"
SECONDS = 20.0


class Server:
    """Gives each connection its answers, one for each request; None closes it without one."""

    def __init__(self, connections: Sequence[Sequence[bytes | None]], context: ssl.SSLContext | None = None) -> None:
        self.requests: list[list[bytes]] = []
        self._connections, self._context = connections, context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._connections:
            try:
                connection, _ = self._socket.accept()
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
            except OSError:
                continue
            self.requests.append([])
            with connection:
                for answer in answers:
                    if (request := self._request(connection)) and answer is not None:
                        self.requests[-1].append(request)
                        connection.sendall(answer)

    def _request(self, connection: socket.socket) -> bytes:
        read = b""
        while b"\r\n\r\n" not in read or len(read.partition(b"\r\n\r\n")[2]) < self._length(read):
            part = connection.recv(65536)
            if not part:
                return b""
            read += part
        return read

    def _length(self, read: bytes) -> int:
        found = [line for line in read.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return int(found[0].partition(b":")[2]) if found else 0

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def made(*connections: Sequence[bytes | None], context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(connections, context))
        return servers[-1]

    yield made
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(connect_timeout=SECONDS, read_timeout=SECONDS)
    made.attach(get_session())
    yield made
    made.close()


def request(server: Server, path: str = "/", body: Any = b"{}", method: str = "POST", scheme: str = "http") -> Any:
    headers = HeadersDict({"X-Amz-Target": b"AWSEvents.ListRules"})
    return AWSPreparedRequest(method, f"{scheme}://{server.host}{path}", headers, body, stream_output=False)


def test_calls_share_a_connection(serve: Callable[..., Server], wire: Wire) -> None:
    server = serve([OK, OK.replace(b"{}", b"[]"), OK])
    first = wire.send(request(server))
    assert (first.status_code, first.content, first.headers["x-amzn-requestid"]) == (200, b"{}", "1")
    assert wire.send(request(server, "/a%20b?c=d", b"", "GET")).content == b"[]"
    assert wire.send(request(server, body="é")).content == b"{}"
    [asked] = server.requests
    host = server.host.encode()
    assert asked[0].startswith(b"POST / HTTP/1.1\r\nX-Amz-Target: AWSEvents.ListRules\r\nHost: " + host + b"\r\n")
    assert asked[0].endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert asked[1].startswith(b"GET /a%20b?c=d HTTP/1.1\r\n")
    assert b"Content-Length" not in asked[1]
    assert asked[2].endswith("\r\n\r\né".encode())


def test_a_connection_that_was_closed_meanwhile_is_made_anew(serve: Callable[..., Server], wire: Wire) -> None:
    server = serve([OK, None], [OK.replace(b"{}", b"[]")])
    assert wire.send(request(server)).content == b"{}"
    assert wire.send(request(server)).content == b"[]"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nA: b\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_how_long_an_answer_is(answer: bytes, body: bytes, serve: Callable[..., Server], wire: Wire) -> None:
    assert wire.send(request(serve([answer]))).content == body


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
)
def test_what_is_no_answer_is_asked_for_again_by_botocore(
    answer: bytes | None, serve: Callable[..., Server], wire: Wire
) -> None:
    with pytest.raises(exceptions.ConnectionClosedError):
        wire.send(request(serve([answer])))


def test_a_server_that_says_nothing(serve: Callable[..., Server]) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    wire = Wire(connect_timeout=SECONDS, read_timeout=0.05)
    made = AWSPreparedRequest(
        "GET", f"http://127.0.0.1:{silent.getsockname()[1]}/", HeadersDict(), None, stream_output=False
    )
    with silent, pytest.raises(exceptions.ReadTimeoutError):
        wire.send(made)


def test_a_server_that_is_not_there(serve: Callable[..., Server], wire: Wire) -> None:
    server = serve()
    server.close()
    with pytest.raises(exceptions.EndpointConnectionError):
        wire.send(request(server))


def test_what_needs_more_than_a_connection_is_botocores(
    serve: Callable[..., Server], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    assert wire.send(request(server, body=iter([b"x"]))) is None
    split = request(server)
    split.headers["X-A"] = "b\r\nX-C: d"
    assert wire.send(split) is None
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    other = Wire(connect_timeout=SECONDS, read_timeout=SECONDS)
    assert other.send(request(server)) is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_are_checked_by_the_authorities_that_are_set(
    certificate: Path, serve: Callable[..., Server], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve([], [OK], context=context)
    with pytest.raises(exceptions.SSLError):
        wire.send(request(server, scheme="https"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    trusting = Wire(connect_timeout=SECONDS, read_timeout=SECONDS)
    trusting.attach(get_session())
    assert trusting.send(request(server, scheme="https")).content == b"{}"
    trusting.close()


def test_botocore_sends_so(serve: Callable[..., Server], wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore asks before it sends, and takes what it gets."""
    session = get_session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "x")
    wire.attach(session)
    server = serve([OK.replace(b"{}", b'{"Rules": []}').replace(b": 2", b": 13")])
    client = session.create_client("events", region_name="eu-central-1", endpoint_url=f"http://{server.host}")
    assert client.list_rules()["Rules"] == []
    assert b"Authorization: AWS4-HMAC-SHA256 " in server.requests[0][0]
    client.close()


@given(
    st.one_of(
        st.datetimes(timezones=st.just(dt.UTC)).map(lambda at: at.isoformat().replace("+00:00", "Z")),
        st.sampled_from(
            ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+01:00", "Fri, 02 Jan 2026 03:04:05 GMT", "1767323045"]
        ),
        st.integers(0, 2**33),
        st.floats(0, 2**33).map(lambda seconds: round(seconds, 3)),
    )
)
def test_times_are_what_botocore_takes_them_for(value: Any) -> None:
    assert moment(value) == parse_timestamp(value).astimezone(dt.UTC)


def test_a_time_that_is_none() -> None:
    for value in ("2026-13-01T00:00:00Z", "soon"):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is dateutil's
            moment(value)
