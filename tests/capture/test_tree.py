"""An estate on disk: which files are whose, and what is not read of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.capture import tree as trees
from auditor.capture.tree import CAPTURES, MAX_FILE, File, Tree
from auditor.errors import EstateError
from auditor.model import Coverage, Outcome

HOST = "hosts/web01.example.org"


def make(root: Path, *paths: str, content: str = "x\n") -> None:
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def opened(root: Path, *, has_inventory: bool = False) -> tuple[Tree, dict[str, File]]:
    tree = Tree.open(root, has_inventory=has_inventory)
    return tree, {file.estate_path: file for file in tree.files()}


def gap(tree: Tree, path: str) -> Coverage:
    (found,) = [one for one in tree.coverage if one.path == path]
    assert not found.seen
    assert found.needed
    return found


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(EstateError, match="no such directory"):
        Tree.open(tmp_path / "missing", has_inventory=False)
    make(tmp_path, "file")
    with pytest.raises(EstateError):
        Tree.open(tmp_path / "file", has_inventory=False)


def test_files_of_hosts_and_of_the_tree(tmp_path: Path) -> None:
    make(tmp_path, f"{HOST}/etc/crontab", "dns/example.org.zone", "hosts/readme.txt")
    tree, files = opened(tmp_path)
    assert tree.sources == {"web01.example.org": ("web01.example.org",)}
    assert (files[f"{HOST}/etc/crontab"].source, files[f"{HOST}/etc/crontab"].path) == (
        "web01.example.org",
        "/etc/crontab",
    )
    assert (files["dns/example.org.zone"].source, files["dns/example.org.zone"].path) == ("", "dns/example.org.zone")
    assert files["hosts/readme.txt"].source == ""
    assert not tree.coverage


def test_a_range_stands_for_its_hosts(tmp_path: Path) -> None:
    make(tmp_path, "hosts/api[001:340].example.org/etc/crontab", "hosts/db{a..c}/etc/crontab")
    tree, _ = opened(tmp_path)
    assert len(tree.sources["api[001:340].example.org"]) == 340
    assert tree.sources["api[001:340].example.org"][16] == "api017.example.org"
    assert tree.sources["db{a..c}"] == ("dba", "dbb", "dbc")


def test_a_range_of_too_many(tmp_path: Path) -> None:
    make(tmp_path, "hosts/api[1:999999999]/etc/crontab")
    tree, files = opened(tmp_path)
    assert not tree.sources
    assert "range of more than" in gap(tree, "hosts/api[1:999999999]").detail
    assert files["hosts/api[1:999999999]/etc/crontab"].source == ""


def test_hosts_of_a_repository_may_be_something_else(tmp_path: Path) -> None:
    make(tmp_path, "hosts/laptop/default.nix", "hosts/laptop/modules/etc.nix")
    tree, files = opened(tmp_path)
    assert not tree.sources
    assert files["hosts/laptop/default.nix"].path == "hosts/laptop/default.nix"


def test_an_empty_host_counts_with_an_inventory_only(tmp_path: Path) -> None:
    (tmp_path / HOST).mkdir(parents=True)
    assert not opened(tmp_path)[0].sources
    assert opened(tmp_path, has_inventory=True)[0].sources


def test_version_control_and_caches_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", "a/node_modules/x.js", "a/.terraform/y", "b/.github/workflows/z.yml")
    tree, files = opened(tmp_path)
    assert set(files) == {"b/.github/workflows/z.yml"}
    assert tree.skipped == {".git": 1, ".terraform": 1, "node_modules": 1}


def test_captures(tmp_path: Path) -> None:
    make(tmp_path, f"{HOST}/etc/crontab")
    lines = [
        json.dumps({"path": f"{HOST}/etc/crontab", "outcome": "ok", "collected_at": "2025-11-20T00:00:00Z"}),
        "",
        json.dumps({"path": f"/{HOST}/etc/anacrontab/", "outcome": "absent"}),
        json.dumps({"path": f"{HOST}/var/spool/cron", "outcome": "denied", "detail": "not root"}),
        "not json",
        json.dumps({"path": "x", "outcome": "perhaps"}),
        json.dumps({"outcome": "ok"}),
        json.dumps(["path", "outcome"]),
        "[" * 100_000,
        '{"path": 1, "outcome": "ok", "collected_at": 5}',
    ]
    (tmp_path / CAPTURES).write_bytes("\n".join(lines).encode() + b'\n\xff\xfe{"\n')
    tree, files = opened(tmp_path)
    assert CAPTURES not in files
    assert tree.captures[f"{HOST}/etc/crontab"].collected_at == "2025-11-20T00:00:00Z"
    absent = tree.captures[f"{HOST}/etc/anacrontab"]
    assert (absent.source, absent.path, absent.outcome) == ("web01.example.org", "/etc/anacrontab", Outcome.ABSENT)
    assert tree.captures[f"{HOST}/var/spool/cron"].detail == "not root"
    assert [one.line for one in tree.coverage] == [5, 6, 7, 8, 9, 11]
    assert all(one.path == CAPTURES and not one.seen for one in tree.coverage)


# -- links ------------------------------------------------------------------------------------------------------------


def link(root: Path, path: str, target: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


@pytest.mark.parametrize("relative", [False, True])
def test_links_inside_a_host(tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, f"{HOST}/etc/letsencrypt/archive/x/cert3.pem", content="the certificate")
    link(tmp_path, f"{HOST}/etc/letsencrypt/live/x/cert.pem", "../../archive/x/cert3.pem")
    link(tmp_path, f"{HOST}/etc/ssl/web.pem", "/etc/letsencrypt/live/x/cert.pem")
    link(tmp_path, f"{HOST}/etc/ssl/again.pem", "/etc/ssl/web.pem")
    tree, files = opened(Path() if relative else tmp_path)
    for path in ("letsencrypt/live/x/cert.pem", "ssl/web.pem", "ssl/again.pem"):
        assert tree.read(files[f"{HOST}/etc/{path}"]) == b"the certificate"
    assert not tree.coverage


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../../../../../../../../../../../../etc/passwd", "loop", "/etc/cron.d/loop", "missing", "a/../b"],
)
def test_links_that_are_not_followed(tmp_path: Path, target: str) -> None:
    estate = tmp_path / "estate"
    link(estate, f"{HOST}/etc/cron.d/loop", target)
    link(estate, "dns/x.zone", target)
    tree, files = opened(estate)
    assert not files
    assert "symbolic link" in gap(tree, f"{HOST}/etc/cron.d/loop").detail
    assert gap(tree, f"{HOST}/etc/cron.d/loop").source == "web01.example.org"
    assert "symbolic link" in gap(tree, "dns/x.zone").detail


def test_an_absolute_link_of_a_host_never_reads_the_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("outside")
    link(tmp_path / "estate", f"{HOST}/etc/x", str(secret))
    make(tmp_path / "estate", f"{HOST}{secret}", content="inside")
    tree, files = opened(tmp_path / "estate")
    assert tree.read(files[f"{HOST}/etc/x"]) == b"inside"


def test_a_neighbour_with_the_same_prefix_is_outside(tmp_path: Path) -> None:
    make(tmp_path, "estate-secret/x", "estate/a")
    link(tmp_path, "estate/b", "../estate-secret/x")
    tree, files = opened(tmp_path / "estate")
    assert set(files) == {"a"}
    assert "out of the estate" in gap(tree, "b").detail


def test_an_estate_that_is_a_link(tmp_path: Path) -> None:
    make(tmp_path, "real/a")
    link(tmp_path, "real/b", "a")
    link(tmp_path, "estate", "real")
    tree, files = opened(tmp_path / "estate")
    assert set(files) == {"a", "b"}
    assert tree.read(files["b"]) == b"x\n"


def test_masked_and_enabled_units(tmp_path: Path) -> None:
    link(tmp_path, f"{HOST}/etc/systemd/system/certbot.timer", "/dev/null")
    link(tmp_path, f"{HOST}/etc/systemd/system/timers.target.wants/x.timer", "/lib/systemd/system/x.timer")
    tree, files = opened(tmp_path)
    assert len(files) == 2
    assert all(tree.read(file) == b"" and file.size == 0 for file in files.values())
    assert not tree.coverage


def test_links_to_directories(tmp_path: Path) -> None:
    make(tmp_path, f"{HOST}/usr/lib/systemd/system/x.timer", f"{HOST}/opt/jobs/certbot", "roles/a/x")
    link(tmp_path, f"{HOST}/lib", "usr/lib")
    link(tmp_path, f"{HOST}/etc/cron.d", "/opt/jobs")
    link(tmp_path, "roles/b", "a")
    link(tmp_path, "roles/a/up", "..")
    tree, files = opened(tmp_path)
    assert set(files) == {f"{HOST}/usr/lib/systemd/system/x.timer", f"{HOST}/opt/jobs/certbot", "roles/a/x"}
    # Its files would be crontabs there, and are none where they were read.
    assert "/opt/jobs" in gap(tree, f"{HOST}/etc/cron.d").detail
    assert len(tree.coverage) == 1


# -- odd files --------------------------------------------------------------------------------------------------------


def test_pipes_sockets_and_devices_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    link(tmp_path, "to-pipe", "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        try:
            os.chdir(tmp_path)
            bound.bind("socket")
        finally:
            os.chdir(here)
    tree, files = opened(tmp_path)
    assert set(files) == {"a"}
    assert tree.read(files["a"]) == b"x\n"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\x7f", "\x01"])
def test_names_with_control_characters(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, f"{name}.d/below", "good")
    tree, files = opened(tmp_path)
    assert set(files) == {"good"}
    assert len(tree.coverage) == 2
    assert all("control characters" in one.detail and one.path.isprintable() for one in tree.coverage)


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/sch\xf6n")).write_text("web01")
    tree, files = opened(tmp_path)
    (file,) = files.values()
    assert tree.read(file) == b"web01"


def test_deep_directories(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    make(tmp_path, "y")
    tree, files = opened(tmp_path)
    assert set(files) == {"y"}
    (one,) = tree.coverage
    assert "directories deep" in one.detail


def test_a_huge_file_is_read_in_part(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as stream:
        stream.write(b"begin")
        stream.truncate(MAX_FILE + 1000)
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(MAX_FILE)
    tree, files = opened(tmp_path)
    assert len(tree.read(files["huge"])) == MAX_FILE
    assert str(MAX_FILE + 1000) in gap(tree, "huge").detail
    assert len(tree.read(files["large"])) == MAX_FILE
    assert len(tree.coverage) == 1


def test_a_file_that_shrank_or_grew(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", content="0123456789")
    tree, files = opened(tmp_path)
    (tmp_path / "a").write_text("01")
    assert tree.read(files["a"]) == b"01"
    (tmp_path / "b").unlink()
    with pytest.raises(OSError, match="No such file"):
        tree.read(files["b"])


def test_more_files_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"f{number}" for number in range(10)))
    monkeypatch.setattr(trees, "MAX_FILES", 4)
    tree, files = opened(tmp_path)
    assert len(files) == 4
    assert "the rest was not read" in gap(tree, ".").detail


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory that anyone may look into, and rights that do not open everything."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    yield place
    if root:
        os.seteuid(0)
    for path in place.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(place)


def test_what_may_not_be_read(unprivileged: Path) -> None:
    make(unprivileged, "file", "directory/x", f"{HOST}/etc/crontab", "hosts/shut/etc/crontab", "good")
    (unprivileged / "file").chmod(0)
    (unprivileged / "directory").chmod(0)
    (unprivileged / "hosts/shut").chmod(0)
    tree, files = opened(unprivileged)
    with pytest.raises(PermissionError):
        tree.read(files["file"])
    assert tree.read(files["good"]) == b"x\n"
    assert gap(tree, "directory").outcome is Outcome.DENIED
    assert {one.outcome for one in tree.coverage if one.path == "hosts/shut"} == {Outcome.DENIED}
