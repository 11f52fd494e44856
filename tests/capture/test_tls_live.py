"""Probes of real TLS servers on loopback: what they serve is kept as it is, and what does not answer is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
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
from auditor.cli.main import main
from auditor.model import Outcome
from collectors.x509.tls_probes import TlsProbesCollector

NAME = "served.example.net"
PATIENCE = 60.0
"""Seconds for what takes a moment, on a machine that is busy."""


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
                    plain.settimeout(PATIENCE)
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
        thread.join(PATIENCE)


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


def imap(connection: socket.socket) -> bool:
    connection.sendall(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
    assert connection.recv(100) == b"a1 STARTTLS\r\n"
    connection.sendall(b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n")
    return True


def imap_without(connection: socket.socket) -> bool:
    connection.sendall(b"* OK ready\r\n")
    connection.recv(100)
    connection.sendall(b"a1 BAD unknown command\r\n")
    return False


def imap_closed(connection: socket.socket) -> bool:
    connection.sendall(b"* BYE too many connections\r\n")
    return False


EXTENDED = b"1.3.6.1.4.1.1466.20037"


def ldap(connection: socket.socket) -> bool:
    """Lengths in one byte, as OpenLDAP has them."""
    assert EXTENDED in connection.recv(100)
    connection.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
    return True


def ldap_of_active_directory(connection: socket.socket) -> bool:
    """Lengths in the long form, and the name of the response behind the result."""
    assert EXTENDED in connection.recv(100)
    result = b"\x0a\x01\x00\x04\x00\x04\x00\x8a\x16" + EXTENDED
    operation = b"\x02\x01\x01\x78\x84" + len(result).to_bytes(4, "big") + result
    connection.sendall(b"\x30\x84" + len(operation).to_bytes(4, "big") + operation)
    return True


def ldap_without(connection: socket.socket) -> bool:
    connection.recv(100)
    connection.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00")
    return False


def ldap_broken(connection: socket.socket) -> bool:
    connection.recv(100)
    connection.sendall(b"\x30\x84\xff\xff\xff\xff" + b"\x00" * 20)
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


def dribbling(connection: socket.socket) -> bool:
    """Begins a handshake, a byte at a time, for longer than anybody waits."""
    connection.recv(10000)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    never = threading.Event()
    # It ends with the connection, which is closed by who waits no more.
    for _ in range(10_000):
        connection.sendall(b"\x02")
        never.wait(0.05)
    return False


def endless(connection: socket.socket) -> bool:
    """A greeting without an end."""
    while True:
        connection.sendall(b"220-more\r\n" * 100)


def another_protocol(connection: socket.socket) -> bool:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    return False


@pytest.mark.parametrize(
    ("talk", "protocol"),
    [
        (plainly, ""),
        (smtp, "smtp"),
        (imap, "imap"),
        (ldap, "ldap"),
        (ldap_of_active_directory, "ldap"),
        (postgres, "postgres"),
    ],
)
def test_what_is_served_is_seen_though_it_has_ended(serve: Callable[[Talk], int], talk: Talk, protocol: str) -> None:
    version, certificate = probe(Endpoint("127.0.0.1", serve(talk), protocol), "127.0.0.1", PATIENCE)
    assert version.startswith("TLSv1.")
    assert x509.load_pem_x509_certificate(certificate.encode()).serial_number == 7


@pytest.mark.parametrize(
    ("talk", "protocol", "outcome", "words"),
    [
        (smtp_without, "smtp", Outcome.UNSUPPORTED, "offers no STARTTLS"),
        (postgres_without, "postgres", Outcome.UNSUPPORTED, "speaks no TLS"),
        (imap_without, "imap", Outcome.UNSUPPORTED, "refuses STARTTLS"),
        (imap_closed, "imap", Outcome.UNSUPPORTED, "refuses STARTTLS"),
        (ldap_without, "ldap", Outcome.UNSUPPORTED, "refuses StartTLS"),
        (ldap_broken, "ldap", Outcome.PARTIAL, "ends the connection before TLS"),
        (endless, "smtp", Outcome.PARTIAL, "has no end"),
        (dribbling, "", Outcome.UNREACHABLE, "no answer within"),
        (another_protocol, "", Outcome.UNSUPPORTED, "TLS: "),
        (silent, "", Outcome.UNREACHABLE, "no answer within"),
    ],
)
def test_what_shows_no_certificate_is_told(
    serve: Callable[[Talk], int], talk: Talk, protocol: str, outcome: Outcome, words: str
) -> None:
    # Only who says nothing is waited for.
    patience = 0.5 if outcome is Outcome.UNREACHABLE else PATIENCE
    with pytest.raises(FailedError) as caught:
        probe(Endpoint("127.0.0.1", serve(talk), protocol), "127.0.0.1", patience)
    assert caught.value.outcome is outcome
    assert words in caught.value.detail


def test_probes_into_a_snapshot_and_out_of_it(tmp_path: Path, serve: Callable[[Talk], int]) -> None:
    there = serve(plainly)
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    # A port that is taken, and that nothing listens on: nobody else gets it.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = int(taken.getsockname()[1])
        asked = [Endpoint("127.0.0.1", there), Endpoint("127.0.0.1", gone)]
        result = collect_tls("edge", asked, into, patience=PATIENCE)
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


def test_each_address_of_a_name_is_asked(
    tmp_path: Path, serve: Callable[[Talk], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines behind one name: one shows a certificate, the other does not answer; a third has no route."""
    port = serve(plainly)

    names = {"api.example.net": ["127.0.0.1", "127.0.0.9", "2001:db8::1"], "v6.example.net": ["2001:db8::1"]}
    look_up = socket.getaddrinfo

    def addresses(host: str, at: int, *more: Any, **others: Any) -> list[Any]:
        found = names.get(host)
        return look_up(host, at, *more, **others) if found is None else [(0, 0, 0, "", (one, at)) for one in found]

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        if ":" in address[0]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return real(address, timeout=timeout)

    real = socket.create_connection
    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    monkeypatch.setattr(socket, "create_connection", connect)
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    collect_tls("edge", [Endpoint("api.example.net", port), Endpoint("v6.example.net", port)], into, patience=PATIENCE)
    into.close()
    lines = [json.loads(line) for line in (tmp_path / "s/tls/edge.jsonl").read_text().splitlines()]
    assert lines[0]["asked"] == 3
    assert [(one["endpoint"], one["address"], one["status"]) for one in lines[1:]] == [
        (f"api.example.net:{port}", "127.0.0.1", "ok"),
        (f"api.example.net:{port}", "127.0.0.9", "unreachable"),
        (f"v6.example.net:{port}", "2001:db8::1", "unreachable"),
    ]


def test_addresses_that_were_not_asked_are_told(
    tmp_path: Path, serve: Callable[[Talk], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(plainly)
    look_up = socket.getaddrinfo

    def addresses(host: str, at: int, *more: Any, **others: Any) -> list[Any]:
        if host != "api.example.net":
            return look_up(host, at, *more, **others)
        return [(0, 0, 0, "", (f"127.0.0.{last}", at)) for last in (1, 2, 3)]

    monkeypatch.setattr("auditor.capture.tls_live.MAX_ADDRESSES", 1)
    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    result = collect_tls("edge", [Endpoint("api.example.net", port)], into, patience=PATIENCE)
    into.close()
    assert result.unseen == 1
    assert result.detail.endswith(f"api.example.net:{port}: only the first 1 of 3 addresses were probed")
    assert into.outcomes == {"tls/edge.jsonl": Outcome.PARTIAL}


def test_what_was_not_looked_into_is_a_gap(tmp_path: Path, serve: Callable[[Talk], int]) -> None:
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    asked = [Endpoint("127.0.0.1", serve(plainly))]
    result = collect_tls("edge", asked, into, cut="not all files", patience=PATIENCE)
    into.close()
    assert (result.unseen, result.detail) == (1, "not all files")
    assert into.outcomes == {"tls/edge.jsonl": Outcome.PARTIAL}


def test_many_answers_are_several_files(
    tmp_path: Path, serve: Callable[[Talk], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.capture.tls_live._FILE", 100)
    into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=False)
    asked = [Endpoint("127.0.0.1", serve(plainly)), Endpoint("127.0.0.1", serve(plainly))]
    collect_tls("edge", asked, into, patience=PATIENCE)
    into.close()
    found = [
        list(TlsProbesCollector().parse(Document(path.name, path.read_bytes())))
        for path in (tmp_path / "s/tls").iterdir()
    ]
    assert [sum(isinstance(one, Entity) and one.ref.kind is Kind.ENDPOINT for one in some) for some in found] == [1, 1]
    assert not any(isinstance(one, Malformed) for some in found for one in some)


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


def certificate_file(key: ec.EllipticCurvePrivateKey, issued: dt.datetime, ends: dt.datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example CA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(issued).not_valid_after(ends)
    names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    return (
        builder.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )


RENEWAL = """\
version = 4.1.1
archive_dir = /etc/letsencrypt/archive/served
cert = /etc/letsencrypt/live/served/cert.pem
privkey = /etc/letsencrypt/live/served/privkey.pem
chain = /etc/letsencrypt/live/served/chain.pem
fullchain = /etc/letsencrypt/live/served/fullchain.pem
[renewalparams]
authenticator = nginx
server = https://acme.ca.example/directory
"""


def test_from_a_server_to_the_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Renewed on a host, and a server shows the old one; then it is deployed, and the finding is gone."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    key = ec.generate_private_key(ec.SECP256R1())
    old = certificate_file(key, now - dt.timedelta(days=80), now + dt.timedelta(days=10))
    new = certificate_file(key, now - dt.timedelta(days=10), now + dt.timedelta(days=80))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    host = tmp_path / "estate/hosts/certs.example.net/etc"
    (host / "letsencrypt/renewal").mkdir(parents=True)
    (host / "letsencrypt/renewal/served.conf").write_text(RENEWAL)
    (host / "letsencrypt/archive/served").mkdir(parents=True)
    (host / "letsencrypt/archive/served/cert1.pem").write_bytes(old)
    (host / "letsencrypt/archive/served/cert2.pem").write_bytes(new)
    (host / "cron.d").mkdir()
    (host / "cron.d/certbot").write_text("17 3 * * * root certbot -q renew\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def deploy(pem: bytes) -> None:
        (tmp_path / "deployed.pem").write_bytes(private + pem)
        context.load_cert_chain(tmp_path / "deployed.pem")

    def answer(server: socket.socket) -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "estate/inventory.yaml").write_text(
            f"version: 1\nhosts:\n  - name: certs.example.net\n    lifecycle: read-only\n"
            f"sources:\n  - {{kind: tls, name: edge, endpoints: ['127.0.0.1:{port}']}}\n"
        )
        deploy(old)
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        estate = str(tmp_path / "estate")
        reports = []
        for name, pem in (("before", old), ("after", new)):
            deploy(pem)
            snapshot = str(tmp_path / name)
            assert main(["collect", "--quiet", "--estate", estate, "-o", snapshot]) == 0
            capsys.readouterr()
            main(["audit", "--quiet", "--estate", estate, "--estate", snapshot, "--format", "json"])
            found = json.loads(capsys.readouterr().out)["findings"]
            reports.append([one for one in found if one["rule"] == "renewed-not-deployed"])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)
    (finding,), none = reports
    assert none == []
    assert finding["severity"] == "warn"
    assert f"not deployed: 127.0.0.1:{port} still serves the certificate that ends in" in finding["message"]
    assert finding["evidence"][0]["path"] == "tls/edge.jsonl"
    assert finding["deadline"] == (now + dt.timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert main(["diff", "--quiet", str(tmp_path / "before"), str(tmp_path / "after"), "--format", "json"]) == 1
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert [one["relation"] for one in facts["vanished"]] == [None, "serves"]
