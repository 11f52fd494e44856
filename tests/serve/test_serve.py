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

from auditor.audit import engine
from auditor.capture.pack import pack
from auditor.cli.common import all_rules, caching
from auditor.cli.main import main
from auditor.errors import UsageError
from auditor.serve.app import App, server_of
from auditor.serve.store import Cache, open_store, state

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
    port: int,
    path: str,
    method: str = "GET",
    called: str = "",
    headers: dict[str, str] | None = None,
    **query: str | list[str],
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asked = f"{path}?{urlencode(query, doseq=True)}" if query else path
        connection.request(method, asked, headers={"Host": called or f"127.0.0.1:{port}", **(headers or {})})
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
    assert "128 captures, 1 not seen" in words(page)
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


def test_waves_are_judged_one_after_the_other(tmp_path: Path) -> None:
    """What goes with the first wave blocks the second no more, as in `auditor wave`."""
    estate = tmp_path / "estate"
    (estate / "hosts/b.example.org/etc/cron.d").mkdir(parents=True)
    (estate / "hosts/b.example.org/etc/cron.d/x").write_text("1 1 * * * root ssh a.example.org run\n")
    (estate / "inventory.yaml").write_text("version: 1\nhosts: [{name: a.example.org}, {name: b.example.org}]\n")
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("b.example.org\n")
    second.write_text("a.example.org\n")
    alone = words(App(estate, [second], lambda: all_rules([])).page("/wave", {"wave": ["second"]}))
    assert "1 blocked" in alone
    app = App(estate, [first, second], lambda: all_rules([]))
    later = words(app.page("/wave", {"wave": ["second"]}))
    assert "1 not fully seen" in later
    assert "Judged with first gone" in later
    every = words(app.page("/waves", {}))
    assert "0 of 2 waves can go" in every
    assert "first ? not fully seen" in every


def test_what_has_changed_is_judged_anew(tmp_path: Path) -> None:
    estate = tmp_path / "estate"
    job = estate / "hosts/b.example.org/etc/cron.d/x"
    job.parent.mkdir(parents=True)
    job.write_text("1 1 * * * root ssh a.example.org run\n")
    (estate / "inventory.yaml").write_text("version: 1\nhosts: [{name: a.example.org}, {name: b.example.org}]\n")
    app = App(estate, [], lambda: all_rules([]))
    assert "BLOCKED" in words(app.page("/review", {"host": ["a.example.org"]}))
    job.write_text("1 1 * * * root true\n")
    assert "BLOCKED" not in words(app.page("/review", {"host": ["a.example.org"]}))


def test_a_packed_snapshot_is_linked_once_if_there_is_a_cache(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[None] = []
    link = engine.link

    def noted(*given: object) -> object:
        links.append(None)
        return link(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "link", noted)
    query = {"snapshot": [f"{AFTER}.sqlar"], "host": [LEGACY]}
    plain = App(store, [], lambda: all_rules([])).page("/review", query)
    assert len(links) == 1
    for linked in (2, 2):
        app = App(store, [], lambda: all_rules([]), cache=tmp_path / "cache", caching=caching)
        assert app.page("/review", query) == plain
        assert len(links) == linked


def test_a_cache_in_the_store_is_refused(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(store), "--cache-dir", str(store / "cache")]) == 2
    assert "inside" in capsys.readouterr().err


def test_a_snapshot_has_changed_if_anything_in_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "hosts/b.example.org/etc/cron.d/x"
    job.parent.mkdir(parents=True)
    job.write_text("1 1 * * * root true\n")
    states = [state(tmp_path)]
    assert state(tmp_path) == states[0]
    (tmp_path / "hosts/b.example.org").rename(tmp_path / "hosts/c.example.org")
    states.append(state(tmp_path))
    (tmp_path / "hosts/c.example.org/etc/cron.d/x").unlink()
    states.append(state(tmp_path))
    assert len(set(states)) == 3
    monkeypatch.setattr("auditor.serve.store.FILES_LIMIT", 1)
    assert state(tmp_path) != state(tmp_path)


def test_a_store_reads_a_snapshot_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache()
    first = open_store(store, [], cache)
    monkeypatch.setattr("auditor.serve.store._stored", lambda path: pytest.fail(f"{path} is read again"))
    assert open_store(store, [], cache) == first
    monkeypatch.setattr("auditor.serve.store.SNAPSHOTS_LIMIT", 1)
    shown = open_store(store, [], cache)
    assert (len(shown.snapshots), shown.left_out) == (1, 1)


def test_waves_of_one_name_are_told_apart(store: Path, tmp_path: Path) -> None:
    waves = [tmp_path / "x/week.txt", tmp_path / "y/week.txt", tmp_path / "z.txt"]
    assert [name for name, _ in open_store(store, waves).waves] == [str(waves[0]), str(waves[1]), "z"]


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


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("none", "navigate", "document", 200),
        ("same-origin", "navigate", "document", 200),
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "cors", "empty", 403),
    ],
)
def test_a_page_of_another_site_can_link_here_and_no_more(
    port: int, site: str, mode: str, dest: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert ask(port, "/", headers=headers)[0] == status


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
