"""Pages over a store of snapshots: for this machine alone, read-only, and saying the same as the commands."""

from __future__ import annotations

import http.client
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from auditor.capture.pack import pack
from auditor.cli.common import all_rules
from auditor.errors import UsageError
from auditor.serve.app import App, server_of
from auditor.serve.store import open_store

SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_inventories"
BEFORE, AFTER = "2025-11-21", "2025-12-15"
LEGACY: Final = "legacy-cert-01.eventide.net"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The incident and three weeks later, a directory and a packed one; and what is no snapshot."""
    place = tmp_path_factory.mktemp("store")
    shutil.copytree(SAMPLES / "eventide", place / BEFORE)
    pack(SAMPLES / "eventide-after", place / f"{AFTER}.sqlar")
    (place / "notes").mkdir()
    (place / "readme.txt").write_text("no snapshot\n")
    return place


@pytest.fixture(scope="module")
def port(store: Path) -> Iterator[int]:
    wave = store / "week-47.txt"
    wave.write_text(f"{LEGACY}\nsftp-01.eventide.net\nbuild-01.eventide.net\n")
    with server_of(App(store, [wave], lambda: all_rules([])), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join(5)


def ask(
    port: int, path: str, method: str = "GET", called: str = "", **query: str | list[str]
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asked = f"{path}?{urlencode(query, doseq=True)}" if query else path
        connection.request(method, asked, headers={"Host": called or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def words(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_a_store_is_what_looks_like_snapshots_newest_first(store: Path) -> None:
    found = open_store(store, [])
    assert [one.name for one in found.snapshots] == [f"{AFTER}.sqlar", BEFORE]
    assert found.snapshots[1].failed == 1
    assert found.snapshots[1].hosts == (LEGACY,)
    assert found.before(found.snapshots[0]) is found.snapshots[1]


def test_one_estate_is_a_store_too() -> None:
    assert [one.name for one in open_store(SAMPLES / "eventide", []).snapshots] == ["eventide"]


def test_a_directory_without_snapshots_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no snapshot in it"):
        open_store(tmp_path, [])


def test_a_snapshot_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/inventory.yaml").write_text("version: 7\n")
    (one,) = open_store(tmp_path, []).snapshots
    assert "inventory.yaml:1" in one.wrong


def test_the_list(port: int) -> None:
    status, _, page = ask(port, "/")
    assert status == 200
    assert "84 captures, 1 not seen" in words(page)
    assert f'href="/diff?old={BEFORE}&amp;new={AFTER}.sqlar"' in page
    assert 'href="/wave?wave=week-47"' in page
    assert "form-action &#x27;self&#x27;" in page


def test_a_review_is_judged_as_of_its_snapshot(port: int) -> None:
    _, _, page = ask(port, "/review", snapshot=BEFORE)
    said = words(page)
    assert "BLOCKED" in said
    assert "the certificate *.eventide.net ends then" in said
    assert "38 h left" in said
    assert f"Snapshot {BEFORE}, of Fri 2025-11-21 07:09 UTC; judged as of then." in said
    _, _, page = ask(port, "/review", snapshot=f"{AFTER}.sqlar", host=LEGACY, **{"as": "retired"})
    assert "CLEAR" in words(page)


def test_changes(port: int) -> None:
    _, _, page = ask(port, "/diff", old=BEFORE, new=f"{AFTER}.sqlar")
    said = words(page)
    assert f"DIFFERS: {BEFORE} to {AFTER}.sqlar" in said
    assert "Findings that are gone" in said
    assert "Alert CertificateExpiresSoon watches only legacy-cert-01.eventide.net" in said


def test_a_wave(port: int) -> None:
    _, _, page = ask(port, "/wave", wave="week-47", snapshot=BEFORE)
    said = words(page)
    assert "Step 2" in said
    assert re.search(r"after build-01\.eventide\.net: job /etc/cron\.d/csr-sync", said)


@pytest.mark.parametrize(
    ("path", "query", "status", "said"),
    [
        ("/none", {}, 404, "There is no such page"),
        ("/review", {"snapshot": "../../etc"}, 400, "there is no snapshot"),
        ("/review", {"host": "no host"}, 400, "is not a host name"),
        ("/review", {"host": LEGACY, "as": "gone"}, 400, "say retired or read-only"),
        ("/review", {"host": LEGACY, "on": "soon"}, 400, "is no date"),
        ("/wave", {"wave": "/etc/passwd"}, 400, "there is no wave"),
        ("/review", {"snapshot": "<script>alert(1)</script>"}, 400, "&lt;script&gt;"),
        ("/", {"x": "y" * 9000}, 414, "too long"),
    ],
)
def test_what_makes_no_sense_is_said(port: int, path: str, query: dict[str, str], status: int, said: str) -> None:
    found, _, page = ask(port, path, **query)
    assert found == status
    assert said in page
    assert "<script>alert" not in page


def test_only_this_machine_is_answered_by_its_own_name(port: int) -> None:
    assert ask(port, "/", called=f"localhost:{port}")[0] == 200
    assert ask(port, "/", called=f"evil.example:{port}")[0] == 403
    assert ask(port, "/", called="127.0.0.1")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/", method)[0] == 501


def test_no_other_site_may_use_a_page(port: int) -> None:
    _, headers, _ = ask(port, "/", "HEAD")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_an_address_of_the_network_is_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="only 127"):
        server_of(App(store, [], lambda: all_rules([])), "0.0.0.0", 0)


def test_a_new_snapshot_is_seen_without_a_restart(port: int, store: Path) -> None:
    shutil.copytree(SAMPLES / "aws-migration", store / "later")
    try:
        assert "3 snapshots" in words(ask(port, "/")[2])
    finally:
        shutil.rmtree(store / "later")
