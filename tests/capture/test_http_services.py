"""Services over HTTP that answer badly: each becomes an outcome, and none stops the rest."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.capture.http.client import Client, ClientCertificate, FailedError, read_token
from auditor.capture.http.prometheus import ALERTMANAGER, PROMETHEUS
from auditor.capture.http.services import collect_service, in_parts, path_part, safe_name, without_secrets
from auditor.capture.snapshot import Snapshot
from auditor.model import Outcome

TOKEN = "planted-0123456789-token"

Handler = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Handler:
    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return send


def good(data: object) -> Handler:
    return answer(200, json.dumps({"status": "success", "data": data}).encode())


def half(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b'{"status": "succ')


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    never = threading.Event()
    # It ends with the connection, which is closed by who waits no more.
    try:
        for _ in range(900):
            request.wfile.write(b" ")
            request.wfile.flush()
            never.wait(0.05)
    except OSError:
        return


def no_http(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)


class Service:
    """A server on loopback: what it answers to each path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler | list[Handler]] = {}
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Asked(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization", "")))
                found = outer.answers.get(self.path.partition("?")[0], answer(404))
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                self.close_connection = True
                found(self)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@dataclass(frozen=True)
class Declared:
    url: str
    token_env: str | None = None
    token_command: tuple[str, ...] | None = None
    ca: str | None = None


def client(service: Service, **more: Any) -> Client:
    waits: list[float] = []
    more.setdefault("sleep", waits.append)
    return Client(service.url, **more)


def failure(service: Service, path: str = "/x", **more: Any) -> FailedError:
    with pytest.raises(FailedError) as caught:
        client(service, **more).get(path).json()
    return caught.value


@pytest.mark.parametrize(
    ("handler", "outcome", "words"),
    [
        (answer(401), Outcome.DENIED, "401"),
        (answer(403), Outcome.DENIED, "403"),
        (answer(404), Outcome.UNSUPPORTED, "404"),
        (answer(500), Outcome.UNREACHABLE, "500"),
        (answer(503), Outcome.UNREACHABLE, "503"),
        (half, Outcome.PARTIAL, "breaks off after"),
        (no_http, Outcome.PARTIAL, "no HTTP"),
        (answer(200, b"{"), Outcome.PARTIAL, "not JSON"),
        (answer(200, b"<html>sign in</html>"), Outcome.PARTIAL, "a web page"),
        (answer(200, b"[" * 100_000), Outcome.PARTIAL, "not JSON"),
        (answer(200, b"\xff\xfe"), Outcome.PARTIAL, "not JSON"),
        (answer(302, Location="https://login.example.net/?next=1"), Outcome.DENIED, "https://login.example.net"),
        (answer(302, Location="http://127.0.0.1:1/x"), Outcome.DENIED, "another server"),
        (answer(302, Location="http://[/"), Outcome.UNSUPPORTED, "no URL"),
        (answer(302, Location="/x"), Outcome.UNSUPPORTED, "redirects"),
    ],
)
def test_what_a_bad_answer_becomes(service: Service, handler: Handler, outcome: Outcome, words: str) -> None:
    service.answers["/x"] = handler
    error = failure(service)
    assert error.outcome is outcome
    assert words in error.detail


def test_an_answer_that_drips_is_cut_off(service: Service) -> None:
    service.answers["/x"] = drip
    error = failure(service, timeout=0.4)
    assert (error.outcome, error.detail) == (Outcome.UNREACHABLE, "no whole answer within 0.4 seconds")


def test_nobody_listens() -> None:
    with pytest.raises(FailedError) as caught:
        Client("http://127.0.0.1:1").get("/x")
    assert caught.value.outcome is Outcome.UNREACHABLE


def test_a_busy_server_is_asked_again_when_it_says(service: Service) -> None:
    service.answers["/x"] = [answer(429, Retry_After="7"), answer(200, b"{}")]
    waits: list[float] = []
    assert client(service, sleep=waits.append).get("/x").json() == {}
    assert waits == [7.0]


def test_a_server_that_wants_an_hour_is_not_waited_for(service: Service) -> None:
    service.answers["/x"] = answer(429, Retry_After="3600")
    waits: list[float] = []
    error = failure(service, sleep=waits.append)
    assert (error.outcome, waits, len(service.asked)) == (Outcome.UNREACHABLE, [], 1)


def test_a_limit_of_requests_that_soon_begins_anew_is_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub says 403, with nothing remaining and the second at which that changes; without it 403 is a refusal."""
    monkeypatch.setattr(
        "auditor.capture.http.client.time", SimpleNamespace(time=lambda: 991.0, monotonic=time.monotonic)
    )
    begins = "0000001000"
    limited = answer(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=begins)
    service.answers["/x"] = [limited, answer(200, b"{}")]
    waits: list[float] = []
    assert client(service, sleep=waits.append).get("/x").json() == {}
    assert waits == [9.0]
    service.answers["/x"] = answer(403, X_RateLimit_Remaining="17")
    assert failure(service).outcome is Outcome.DENIED


def test_a_secondary_limit_is_no_denial(service: Service) -> None:
    """GitHub tells of it in the message alone, while requests of the hour remain: it is to be left alone for a minute
    (Best practices for using the REST API)."""
    said = b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
    limited = answer(403, said, X_RateLimit_Remaining="17", X_RateLimit_Reset="4102444800")
    service.answers["/x"] = [limited, answer(200, b"{}")]
    waits: list[float] = []
    assert client(service, sleep=waits.append).get("/x").json() == {}
    assert waits == [60.0]
    service.answers["/x"] = limited
    error = failure(service)
    assert (error.outcome, error.gone) == (Outcome.UNREACHABLE, True)


def test_a_limit_without_a_time_is_waited_for_longer_than_an_error(service: Service) -> None:
    service.answers["/x"] = [answer(429), answer(429), answer(200, b"{}")]
    waits: list[float] = []
    assert client(service, sleep=waits.append).get("/x").json() == {}
    assert waits == [10.0, 20.0]


def test_patience_with_one_server_has_an_end(service: Service) -> None:
    service.answers["/x"] = answer(503, Retry_After="14")
    waits: list[float] = []
    one = client(service, sleep=waits.append)
    for _ in range(20):
        with pytest.raises(FailedError):
            one.get("/x")
    assert 280 <= sum(waits) <= 300


def test_a_list_without_an_end_is_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.capture.http.client.MAX_ALL", 2 << 20)
    service.answers["/x"] = answer(200, json.dumps(["x" * 700_000]).encode())
    one = client(service)
    one.begin()
    one.get("/x")
    one.get("/x")
    with pytest.raises(FailedError, match="more than 2 MiB in all"):
        one.get("/x")
    one.begin()
    assert one.get("/x").json()


def test_a_client_certificate_that_can_not_be_used() -> None:
    for certificate, key in ((b"no PEM", b""), (b"", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nplanted\n")):
        with pytest.raises(FailedError, match="can't be used") as caught:
            Client("https://k8s.example.net", certificate=ClientCertificate(certificate, key))
        assert caught.value.outcome is Outcome.DENIED
        assert "planted" not in str(caught.value)
    assert "planted" not in repr(ClientCertificate(b"", b"planted"))
    with pytest.raises(FailedError, match="CA certificates"):
        Client("https://k8s.example.net", ca_data="no PEM")


def test_a_password_goes_in_one_header(service: Service) -> None:
    service.answers["/x"] = answer(200, b"{}")
    client(service, token="pa:ss", user="ana").get("/x")
    assert service.asked == [("/x", "Basic YW5hOnBhOnNz")]


def test_a_redirect_on_the_same_server_keeps_the_token_there(service: Service) -> None:
    service.answers |= {"/x": answer(301, Location="/y?a=1"), "/y": answer(200, b"{}")}
    assert client(service, token=TOKEN).get("/x").json() == {}
    assert service.asked == [("/x", f"Bearer {TOKEN}"), ("/y?a=1", f"Bearer {TOKEN}")]


def test_a_next_page_elsewhere_is_not_followed(service: Service) -> None:
    one = client(service, token=TOKEN)
    with pytest.raises(FailedError, match="another server"):
        one.follow("https://elsewhere.example.org/api?page=2")
    assert not service.asked


@pytest.mark.parametrize("url", ["ftp://a.example.net/", "file:///etc/passwd", "https://"])
def test_other_urls_are_not_used(url: str) -> None:
    with pytest.raises(FailedError, match="neither http nor https"):
        Client(url)


def test_a_token_never_goes_over_plain_http() -> None:
    with pytest.raises(FailedError, match="plain http"):
        Client("http://prometheus.example.net", token=TOKEN)


def test_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", TOKEN)
    assert read_token(Declared("", token_env="PLANTED")) == TOKEN
    assert read_token(Declared("", token_command=("printf", f"{TOKEN}\n"))) == TOKEN
    assert read_token(Declared("")) == ""
    for source, words in (
        (Declared("", token_env="NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
        (Declared("", token_command=("sh", "-c", f"echo {TOKEN} >&2; exit 3")), "ended with 3"),
        (Declared("", token_command=("/nowhere/at/all",)), "can't be run"),
        (Declared("", token_command=("true",)), "printed nothing"),
        (Declared("", token_command=("printf", "two\nlines")), "more than one printable word"),
    ):
        with pytest.raises(FailedError, match=words) as caught:
            read_token(source)
        assert caught.value.outcome is Outcome.DENIED
        assert TOKEN not in caught.value.detail


TARGET = {
    "scrapePool": "node",
    "scrapeUrl": "http://web-01.example.net:9100/metrics",
    "labels": {"instance": "web-01.example.net:9100"},
    "discoveredLabels": {"__meta_secret": "dropped"},
}


def prometheus(service: Service) -> None:
    service.answers |= {
        "/api/v1/status/buildinfo": good({"version": "2.42.0"}),
        "/api/v1/status/config": good({"yaml": "global: {}\nscrape_configs: []\n"}),
        "/api/v1/targets": good({"activeTargets": [TARGET]}),
        "/api/v1/rules": good({"groups": []}),
    }


def snapshot(tmp_path: Path, *, resume: bool = False) -> Snapshot:
    return Snapshot.open(tmp_path / "s", inventory=b"version: 1\n", started_at="2026-01-01T00:00:00Z", resume=resume)


def outcomes(into: Snapshot) -> dict[str, str]:
    return {path.rpartition("/")[2]: str(outcome) for path, outcome in into.outcomes.items()}


ALL_OK = dict.fromkeys(("server.json", "prometheus.yml", "targets.json", "rules.json"), "ok")


def test_one_step_that_fails_leaves_the_others(service: Service, tmp_path: Path) -> None:
    prometheus(service)
    service.answers["/api/v1/targets"] = answer(403)
    service.answers["/api/v1/rules"] = good(["another", "form"])
    into = snapshot(tmp_path)
    result = collect_service("main", Declared(service.url), into, PROMETHEUS)
    assert outcomes(into) == {**ALL_OK, "targets.json": "denied", "rules.json": "partial"}
    assert (result.asked, result.unseen, result.detail) == (4, 2, "targets.json: HTTP 403 Forbidden")
    into.close()
    prometheus(service)
    service.asked.clear()
    again = snapshot(tmp_path, resume=True)
    assert collect_service("main", Declared(service.url), again, PROMETHEUS).unseen == 0
    assert outcomes(again) == ALL_OK
    assert [path for path, _ in service.asked] == ["/api/v1/targets?state=active", "/api/v1/rules"]


def test_a_warning_of_thanos_is_a_gap(service: Service, tmp_path: Path) -> None:
    """With partial response it gives what it has, and says in `warnings` which stores did not answer."""
    prometheus(service)
    warned = {
        "status": "success",
        "data": {"groups": []},
        "warnings": ["fetch from 10.20.0.9:10901: deadline exceeded"],
    }
    service.answers["/api/v1/rules"] = answer(200, json.dumps(warned).encode())
    into = snapshot(tmp_path)
    result = collect_service("main", Declared(service.url), into, PROMETHEUS)
    assert outcomes(into) == {**ALL_OK, "rules.json": "partial"}
    assert "warns that this is not all: fetch from 10.20.0.9:10901" in result.detail


def test_a_server_that_is_down_is_asked_once(tmp_path: Path) -> None:
    into = snapshot(tmp_path)
    assert collect_service("main", Declared("http://127.0.0.1:1"), into, PROMETHEUS).unseen == 4
    assert outcomes(into) == dict.fromkeys(ALL_OK, "unreachable")


def test_a_token_is_sent_and_nowhere_kept(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANTED", TOKEN)
    prometheus(service)
    service.answers["/api/v1/status/config"] = good({"yaml": f"# {TOKEN}\nglobal: {{}}\n"})
    into = snapshot(tmp_path)
    collect_service("main", Declared(service.url, token_env="PLANTED"), into, PROMETHEUS)
    assert {token for _, token in service.asked} == {f"Bearer {TOKEN}"}
    into.close()
    kept = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert len(kept) == 7
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes() or b"dropped" in path.read_bytes()]
    assert TOKEN not in "".join(capfd.readouterr())


def test_no_token_nothing_asked(service: Service, tmp_path: Path) -> None:
    into = snapshot(tmp_path)
    source = Declared(service.url, token_env="NOT_SET_ANYWHERE")
    assert collect_service("main", source, into, ALERTMANAGER).unseen == 3
    assert set(outcomes(into).values()) == {"denied"}
    assert not service.asked


def test_secrets_of_answers() -> None:
    told = without_secrets(
        {"a": [{"basicAuthPassword": "x1", "url": "https://u:p@h/", "secret": {"b": 1}, "token": ""}]}
    )
    assert told == {
        "a": [{"basicAuthPassword": "‹redacted›", "url": "https://u:‹redacted›@h/", "secret": {"b": 1}, "token": ""}]
    }


def test_secrets_of_variables() -> None:
    def value(name: str) -> object:
        return without_secrets({"name": name, "value": "x1"})["value"]

    for name in ("DB_PASSWORD", "TOKEN", "aws.secret-access-key", "SECRET_KEY_BASE", "GITHUB_TOKEN_2"):
        assert value(name) == "‹redacted›", name
    for name in ("DB_HOST", "TOKEN_URL", "SECRET_NAME", "PASSWORD_FILE", "KEYCLOAK_URL", "AUTHOR"):
        assert value(name) == "x1", name


def test_large_things_are_in_files_of_their_own() -> None:
    parts = list(in_parts(["x" * 3_000_000] * 3))
    assert [part.number for part in parts] == [1, 2, 3]
    lines = next(iter(in_parts([{"a": 1, "b": 2}], indent=1))).content.decode().splitlines()
    assert lines == ["[", "{", ' "a": 1,', ' "b": 2', "}", "]"]


def test_names_of_parts() -> None:
    assert path_part(".github") == ".github"
    assert path_part("a b") != path_part("a_b")
    for hostile in ("..", ".", "", "a/../b", ".git", "x" * 500):
        made = path_part(hostile)
        assert "/" not in made
        assert made.strip(".")
        assert len(made) < 170


def test_parts_and_names() -> None:
    parts = list(in_parts(list(range(5001))))
    assert [part.number for part in parts] == [1, 2]
    assert json.loads(parts[1].content) == [5000]
    assert json.loads(next(iter(in_parts([]))).content) == []
    assert safe_name("../../etc/passwd") == "etc_passwd"
    assert safe_name("..") == "service"
