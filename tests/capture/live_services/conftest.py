"""A server on loopback that gives recorded answers, over HTTP or HTTPS, and remembers what it was asked.

Answers are data: `answers/<product>.yaml`, a mapping of path (with its query, or for any query without) to what is
answered: `{json: …}`, or `{status: 404, json: …, headers: {…}, text: …}`. `@url@` in a text stands for the server's own
URL. They were written by hand after each product's documentation.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auditor.audit.engine import Request, audit
from auditor.audit.scenario import parse_host
from auditor.cli.main import main
from auditor.model import Lifecycle, Report
from auditor.registry import load_collectors, load_rules

HERE = Path(__file__).parent
NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]


@dataclass
class Recorded:
    """The server: its answers by path, and what it was asked."""

    url: str
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def load(self, product: str) -> None:
        """Takes the answers of a file."""
        self.answers |= yaml.safe_load((HERE / "answers" / f"{product}.yaml").read_text())

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.asked]


class _Handler(BaseHTTPRequestHandler):
    recorded: Recorded

    def do_GET(self) -> None:
        recorded = self.recorded
        recorded.asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.close_connection = True
        bare = self.path.partition("?")[0]
        found = recorded.answers.get(self.path, recorded.answers.get(bare, {"status": 404, "json": {"message": "no"}}))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        text = found["text"] if "text" in found else json.dumps(found["json"])
        body = text.replace("@url@", recorded.url).encode()
        self.send_response(found.get("status", 200))
        for name, value in found.get("headers", {}).items():
            self.send_header(name, str(value).replace("@url@", recorded.url))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(found.get("length", len(body))))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that breaks off is no error of the server's."""


def _serve(context: ssl.SSLContext | None) -> Iterator[Recorded]:
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if context is None else "https"
    recorded = Recorded(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    handler.recorded = recorded
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield recorded
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """A server over HTTP."""
    yield from _serve(None)


@dataclass(frozen=True)
class Authority:
    """A certificate authority, with certificates for a server and for a client: files in PEM form."""

    ca: Path
    server: Path
    client: Path
    client_key: Path


def _signed(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certificates that exist for this run alone."""
    home = tmp_path_factory.mktemp("authority")
    root, server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])

    def key(of: ec.EllipticCurvePrivateKey) -> bytes:
        return of.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    (home / "ca.pem").write_bytes(_signed("ca", issuer, root, root, ca=True))
    (home / "server.pem").write_bytes(_signed("server", issuer, server, root, ca=False) + key(server))
    (home / "client.pem").write_bytes(_signed("auditor", issuer, client, root, ca=False))
    (home / "client.key").write_bytes(key(client))
    return Authority(home / "ca.pem", home / "server.pem", home / "client.pem", home / "client.key")


@pytest.fixture
def secure(authority: Authority) -> Iterator[Recorded]:
    """A server over HTTPS that asks for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    yield from _serve(context)


@pytest.fixture
def mutual(authority: Authority) -> Iterator[Recorded]:
    """A server over HTTPS that wants to see a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    yield from _serve(context)


Collect = Callable[..., tuple[Path, int]]


@pytest.fixture
def collect(tmp_path: Path) -> Collect:
    """Runs `auditor collect` on an inventory (as text) into a snapshot; gives its directory and the exit code."""

    def run(inventory: str, *more: str) -> tuple[Path, int]:
        estate = tmp_path / "estate"
        estate.mkdir(exist_ok=True)
        (estate / "inventory.yaml").write_text(inventory)
        root = tmp_path / "snapshot"
        return root, main(["collect", "--estate", str(estate), "-o", str(root), "--quiet", *more])

    return run


Outcomes = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    """What captures.jsonl says at last of each path below `services/`: outcome and detail."""

    def read(root: Path) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in (root / "captures.jsonl").read_text().splitlines():
            one = json.loads(line)
            if one["path"].startswith("services/"):
                name = one["path"].split("/", 2)[2]
                found[name] = f"{one['outcome']} {one.get('detail') or ''}".strip()
        return found

    return read


Ask = Callable[..., Report]


@pytest.fixture
def ask() -> Ask:
    """The checklist of a host in a snapshot."""

    def run(root: Path, host: str, lifecycle: Lifecycle = Lifecycle.RETIRED) -> Report:
        collectors, failures = load_collectors()
        rules, more = load_rules()
        assert not failures
        assert not more
        request = Request(estate=root, hosts=(parse_host(host),), lifecycle=lifecycle, now=NOW)
        return audit(request, collectors, rules).report

    return run
