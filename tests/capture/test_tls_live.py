"""Probes of real TLS servers on loopback: what they serve is kept as it is, and what does not answer is told."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auditor.api import Document, Entity, Kind, Malformed
from auditor.capture.http.client import FailedError
from auditor.capture.snapshot import Snapshot
from auditor.capture.tls_live import Endpoint, collect_tls, endpoint_of, probe
from auditor.model import Outcome
from collectors.x509.tls_probes import TlsProbesCollector

NAME = "served.example.net"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side, with a certificate that ended long ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2020, 4, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made


Talk = Callable[[socket.socket], bool]
"""What is said before TLS; whether TLS follows."""


@pytest.fixture
def serve(context: ssl.SSLContext) -> Iterator[Callable[[Talk], int]]:
    """Starts a server of one connection; returns its port."""
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(talk: Talk) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def run() -> None:
            try:
                plain, _ = server.accept()
                with plain:
                    plain.settimeout(5)
                    if talk(plain):
                        with context.wrap_socket(plain, server_side=True) as secure:
                            secure.recv(1)
            except OSError:
                return

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return int(server.getsockname()[1])

    yield start
    for one in opened:
        one.close()
    for thread in threads:
        thread.join(5)


def plainly(_: socket.socket) -> bool:
    return True


def smtp(connection: socket.socket) -> bool:
    connection.sendall(b"220-mail\r\n220 mail ESMTP\r\n")
    assert connection.recv(100).startswith(b"EHLO ")
    connection.sendall(b"250-mail\r\n250-STARTTLS\r\n250 SIZE\r\n")
    assert connection.recv(100) == b"STARTTLS\r\n"
    connection.sendall(b"220 go on\r\n")
    return True


def smtp_without(connection: socket.socket) -> bool:
    connection.sendall(b"220 mail ESMTP\r\n")
    connection.recv(100)
    connection.sendall(b"250-mail\r\n250 SIZE\r\n")
    return False


def postgres(connection: socket.socket) -> bool:
    assert connection.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    connection.sendall(b"S")
    return True


def postgres_without(connection: socket.socket) -> bool:
    connection.recv(8)
    connection.sendall(b"N")
    return False


def silent(connection: socket.socket) -> bool:
    connection.recv(10000)
    connection.recv(1)
    return False


def another_protocol(connection: socket.socket) -> bool:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    return False


@pytest.mark.parametrize(("talk", "protocol"), [(plainly, ""), (smtp, "smtp"), (postgres, "postgres")])
def test_what_is_served_is_seen_though_it_has_ended(serve: Callable[[Talk], int], talk: Talk, protocol: str) -> None:
    address, version, certificate = probe(Endpoint("127.0.0.1", serve(talk), protocol), 5)
    assert address == "127.0.0.1"
    assert version.startswith("TLSv1.")
    assert x509.load_pem_x509_certificate(certificate.encode()).serial_number == 7


@pytest.mark.parametrize(
    ("talk", "protocol", "outcome", "words"),
    [
        (smtp_without, "smtp", Outcome.UNSUPPORTED, "offers no STARTTLS"),
        (postgres_without, "postgres", Outcome.UNSUPPORTED, "speaks no TLS"),
        (another_protocol, "", Outcome.UNSUPPORTED, "TLS: "),
        (silent, "", Outcome.UNREACHABLE, "no answer within"),
    ],
)
def test_what_shows_no_certificate_is_told(
    serve: Callable[[Talk], int], talk: Talk, protocol: str, outcome: Outcome, words: str
) -> None:
    with pytest.raises(FailedError) as caught:
        probe(Endpoint("127.0.0.1", serve(talk), protocol), 0.5)
    assert caught.value.outcome is outcome
    assert words in caught.value.detail


def test_probes_into_a_snapshot_and_out_of_it(tmp_path: Path, serve: Callable[[Talk], int]) -> None:
    there = serve(plainly)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = int(closed.getsockname()[1])
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    asked = [Endpoint("127.0.0.1", there), Endpoint("127.0.0.1", gone)]
    result = collect_tls("edge", asked, into, patience=5)
    into.close()
    assert result.unseen == 1
    (record,) = [json.loads(line) for line in (tmp_path / "s/captures.jsonl").read_text().splitlines()]
    assert record["outcome"] == "partial"
    assert f"127.0.0.1:{gone}" in record["detail"]

    content = (tmp_path / "s/tls/edge.jsonl").read_bytes()
    found: list[Any] = list(TlsProbesCollector().parse(Document("tls/edge.jsonl", content)))
    certificates = [one for one in found if isinstance(one, Entity) and one.ref.kind is Kind.CERTIFICATE]
    assert [one.attributes["not_after"] for one in certificates] == ["2020-04-01T00:00:00+00:00"]
    (missed,) = [one for one in found if isinstance(one, Malformed)]
    assert missed.where.line == 3


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("api.example.net", Endpoint("api.example.net", 443)),
        ("api.example.net:8443", Endpoint("api.example.net", 8443)),
        ("https://api.example.net/x", Endpoint("api.example.net", 443)),
        ("smtp://mail.example.net", Endpoint("mail.example.net", 25, "smtp")),
        ("mail.example.net:587", Endpoint("mail.example.net", 587, "smtp")),
        ("postgresql://db.example.net", Endpoint("db.example.net", 5432, "postgres")),
        ("ldaps://dir.example.net", Endpoint("dir.example.net", 636)),
        ("http://api.example.net", None),
        ("ssh://api.example.net", None),
    ],
)
def test_endpoints_of_the_inventory(text: str, endpoint: Endpoint | None) -> None:
    assert endpoint_of(text) == endpoint
