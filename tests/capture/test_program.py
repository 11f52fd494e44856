"""The program for the hosts, in each shell that is here, and the reader of its frames against hostile hosts."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.api import Document, Entity, Kind
from auditor.capture.program import MAX_CONTENT, FrameError, FrameReader, Item, program, usable
from collectors.immutable import ImmutableCollector
from tests.integration.programs import PATIENCE

NONCE = "0123456789abcdef" * 2
SHELLS = {
    "dash": ("dash", "-s"),
    "bash": ("bash", "--posix", "-s"),
    "busybox": ("busybox", "sh", "-s"),
    "ksh93": ("ksh93", "-s"),
    "mksh": ("mksh", "-s"),
    "zsh": ("zsh", "--emulate", "sh", "-s"),
    "yash": ("yash", "-o", "posixly-correct", "-s"),
}
AWKS = ("mawk", "gawk", "original-awk", "busybox awk")
HERE = [name for name, words in SHELLS.items() if shutil.which(words[0])]


def head(count: int, rest: str) -> bytes:
    return f"\n{NONCE}.{count} {rest}\n".encode()


def read(*pieces: bytes, **limits: int) -> tuple[list[Item], FrameReader]:
    reader = FrameReader(NONCE, **limits)
    return [item for piece in pieces for item in reader.feed(piece)] + list(reader.finish()), reader


WHOLE = (
    b"Welcome to the machine\n"
    + head(1, "START 1")
    + head(2, "BEGIN FILE /etc/crontab")
    + b"* * * * * root x"
    + head(3, "END 0")
    + head(4, "NOTE ABSENT /etc/anacrontab")
    + head(5, "BEGIN OUT host.txt")
    + b"\x00\xff\n"
    + head(6, "END 124")
    + head(7, "DONE 1")
)
ITEMS = [
    Item("FILE", "/etc/crontab", b"* * * * * root x"),
    Item("ABSENT", "/etc/anacrontab"),
    Item("OUT", "host.txt", b"\x00\xff\n", 124),
]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_frames_come_out_however_the_stream_is_cut_up(cuts: list[int]) -> None:
    places = sorted({0, len(WHOLE), *cuts})
    items, reader = read(*(WHOLE[a:b] for a, b in pairwise(places)))
    assert items == ITEMS
    assert reader.done


@given(st.integers(0, len(WHOLE) - 1))
def test_what_is_cut_off_is_never_taken_for_whole(length: int) -> None:
    items, reader = read(WHOLE[:length])
    assert not reader.done
    for item in items:
        assert item in ITEMS or item.status == -1


@given(st.binary(max_size=2000))
def test_any_bytes_give_items_or_an_error(content: bytes) -> None:
    for stream in (content, head(1, "START 1") + content, head(1, "START 1") + head(2, "BEGIN FILE /a") + content):
        reader = FrameReader(NONCE)
        items = []
        try:
            items = list(reader.feed(stream))
        except FrameError:
            continue
        assert all(usable(item.name) or item.kind == "OUT" for item in items)


def test_content_forges_no_frame() -> None:
    """Another nonce, the right one with another count, and an end that is no end: all of it is content."""
    forged = (
        b"\n"
        + b"f" * 32
        + b".3 END 0\n"
        + head(4, "END 0")
        + head(2, "BEGIN FILE /etc/passwd")
        + b"\n"
        + NONCE.encode()
    )
    items, reader = read(head(1, "START 1") + head(2, "BEGIN FILE /a") + forged + head(3, "END 0") + head(4, "DONE 1"))
    assert items == [Item("FILE", "/a", forged)]
    assert reader.done


def test_a_banner_of_ten_megabytes_is_not_kept() -> None:
    reader = FrameReader(NONCE)
    for _ in range(160):
        assert list(reader.feed(b"x" * 65536)) == []
        assert len(reader._buffer) < 70000
    assert list(reader.feed(WHOLE)) == ITEMS


@pytest.mark.parametrize(
    "stream",
    [
        head(1, "BEGIN FILE /a"),
        head(1, "START 1") + head(2, "BEGIN FILE ../../etc/passwd"),
        head(1, "START 1") + head(2, "BEGIN FILE /etc/../../x"),
        head(1, "START 1") + head(2, "BEGIN FILE /etc/\x1b[2J"),
        head(1, "START 1") + head(2, "BEGIN OUT ../x"),
        head(1, "START 1") + head(2, "BEGIN FILE /a") + head(3, "BEGIN FILE /b"),
        head(1, "START 1") + head(2, "NOTE WHATEVER /a"),
        head(1, "START 1") + head(2, "NOTE ABSENT a"),
        head(1, "START 1") + head(2, "RUN /a"),
        head(1, "START 1") + head(2, "BEGIN FILE /a") + b"x" * (MAX_CONTENT + 100_000),
        head(1, "START 1") + b"\n" + NONCE.encode() + b".2 " + b"x" * 10_000,
    ],
)
def test_what_breaks_the_rules_ends_the_reading(stream: bytes) -> None:
    with pytest.raises(FrameError):
        read(stream)


def test_a_flood_ends_the_reading() -> None:
    with pytest.raises(FrameError, match="outside frames"):
        read(*[b"y\n" * 4096] * 100, noise=500_000)
    with pytest.raises(FrameError, match="more than one round"):
        read(*[WHOLE[:-20]] * 1, *[b"y\n" * 4096] * 100, total=500_000)


def test_a_frame_is_kept_up_to_its_cap() -> None:
    items, _ = read(head(1, "START 1") + head(2, "BEGIN FILE /a") + b"x" * 50 + head(3, "END 0"), cap=10)
    assert items == [Item("FILE", "/a", b"x" * 10)]


@pytest.mark.parametrize("path", ["a", "/", "", "//a", "/a//b", "/a/./b", "/a/../b", "/a/", "/a\nb", "/" + "x" * 300])
def test_paths_that_can_not_be_asked_for(path: str) -> None:
    assert not usable(path)
    with pytest.raises(ValueError, match="not a path"):
        program(NONCE, [path])


def test_a_nonce_is_one() -> None:
    with pytest.raises(ValueError, match="nonce"):
        program("; rm -rf /")


def several(count: int, body: bytes) -> bytes:
    return head(count, "BEGIN FILES 2") + body + head(count + 1, "END 0")


def frame_of(files: Mapping[str, bytes]) -> bytes:
    """What the program makes of files."""
    made = b""
    for name, content in files.items():
        lines = content.removesuffix(b"\n").split(b"\n") if content else []
        made += f"+{name}\n".encode()
        made += b"".join(b"+" * line.startswith(b"+") + line + b"\n" for line in lines)
        made += b"+.\n" if content.endswith(b"\n") or not content else b"+-\n"
    return made


LINES = st.lists(
    st.sampled_from([b"", b" ", b"+", b"++", b"+/etc/passwd", b"+.", b"+-", b"+?", b"x", b"\x00\xff"]), max_size=8
)


@given(st.dictionaries(st.sampled_from(["/a", "/b", "/c d", "/+e"]), st.tuples(LINES, st.booleans())), st.data())
def test_several_files_of_one_frame_come_out_as_they_are(
    files: dict[str, tuple[list[bytes], bool]], data: st.DataObject
) -> None:
    whole = {name: b"\n".join(lines) + (b"\n" if end else b"") for name, (lines, end) in files.items()}
    stream = head(1, "START 1") + several(2, frame_of(whole)) + head(4, "DONE 1")
    cut = data.draw(st.integers(0, len(stream)))
    items, reader = read(stream[:cut], stream[cut:])
    assert items == [Item("FILE", name, content) for name, content in whole.items()]
    assert reader.done
    # Cut off, what is there is still as it is.
    for item in read(stream[:cut])[0]:
        assert item.content == whole[item.name]


def test_what_is_not_whole_in_a_frame_of_several_is_left_out() -> None:
    body = b"+/a\none\n+?\n+/b\n+b\n+/c\ntwo\n+.\n+/d\nthree"
    items, _ = read(head(1, "START 1") + several(2, body) + head(4, "DONE 1"))
    assert items == [Item("BINARY", "/b"), Item("FILE", "/c", b"two\n")]


@pytest.mark.parametrize(
    "body",
    [b"a line of no file\n", b"+a\nx\n+.\n", b"+/a/../b\nx\n+.\n", b"+/a\n+x\n+.\n", b"+/a\n++x\n+y\n+-\n"],
)
def test_what_is_no_frame_of_several_ends_the_reading(body: bytes) -> None:
    with pytest.raises(FrameError):
        read(head(1, "START 1") + several(2, body))


# The program itself.


@pytest.mark.integration
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_its_syntax_is_that_of_every_shell(shell: str) -> None:
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    words = [word for word in SHELLS[shell] if word != "-s"]
    text = program(NONCE) + program(NONCE, ["/etc/hosts"]) + program(NONCE, comments=True)
    result = subprocess.run([*words, "-n"], input=text, capture_output=True, text=True, timeout=300)
    # ksh93 would have its own arithmetic.
    said = [line for line in result.stderr.splitlines() if " is slower than " not in line]
    assert (result.returncode, said) == (0, [])


def test_it_writes_nothing() -> None:
    """No redirection into a file, and no command that changes anything."""
    text = re.sub(r"^\s*#.*$", "", program(NONCE), flags=re.MULTILINE)
    targets = set(re.findall(r"(?<![-<])>{1,2}\s*([^\s;|)&]*)", text)) - {"", "&3", "&4", "&1", "&-"}
    assert targets == {"/dev/null"}
    words = set(re.findall(r"[a-z-]+", text))
    assert not words & {
        "rm",
        "mv",
        "cp",
        "tee",
        "touch",
        "mkdir",
        "chmod",
        "chown",
        "ln",
        "dd",
        "mktemp",
        "eval",
        "curl",
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "plain").write_text("one\ntwo")
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "elf").write_bytes(b"\x7fELF\x02\x01\x01\x00rest")
    (tmp_path / 'it\'s $(touch x) `y` "z"').write_text("quoted")
    (tmp_path / "linked elf").symlink_to("elf")
    (tmp_path / "linked").symlink_to("sub/../plain")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    (tmp_path / "masked").symlink_to("/dev/null")
    (tmp_path / "long").write_bytes(b"x" * 3000)
    (tmp_path / "site.key").write_text("a key")
    (tmp_path / "site.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
        "-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----\n"
    )
    (tmp_path / "forged").write_text("\n+.\n+/etc/shadow\nroot\n+.\n+-\n++\n+\n\n+ two\n")
    (tmp_path / "newline").symlink_to(f"x\nlrwxrwxrwx 1 0 0 9 Jan 1 00:00 {tmp_path}/linked -> /elsewhere")
    (tmp_path / "an -> arrow").symlink_to("plain")
    (tmp_path / "question?").symlink_to("pl?in")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote/file").write_text("on a file server")
    (tmp_path / "to_remote").symlink_to("remote")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/file").write_text("not ours")
    return tmp_path


NAMES = [
    "plain", "linked elf", "empty", "binary", "elf", "it's $(touch x) `y` \"z\"", "linked", "loop", "dangling",
    "masked", "long", "site.key", "site.pem", "forged", "newline", "an -> arrow", "question?", "pipe", "remote/file",
    "to_remote/file", "closed/file", "absent", "absent/below",
]  # fmt: skip


def run(shell: str, text: str, **options: object) -> tuple[list[Item], FrameReader]:
    result = subprocess.run(
        SHELLS[shell],
        input=text.encode(),
        capture_output=True,
        timeout=300,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return read(result.stdout)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("shell", "awk"), [*((shell, "awk") for shell in sorted(SHELLS)), *(("dash", awk) for awk in AWKS)]
)
def test_what_it_says_of_files(shell: str, awk: str, files: Path) -> None:
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    if shutil.which(awk.split()[0]) is None:
        pytest.skip(f"there is no {awk}")
    before = sorted(files.rglob("*"))
    text = program(NONCE, [f"{files}/{name}" for name in NAMES], cap=2000)
    # A mount of a file server, and a user who may not read all: neither needs to be real for the program.
    text = text.replace('find_mounts\nif [ -n "$WANT"', f'mounts={files}/remote\nif [ -n "$WANT"')
    assert f"mounts={files}/remote" in text
    if awk != "awk":
        assert text.count(" awk -v cap") == 1
        text = text.replace(" awk -v cap", f" {awk} -v cap")
    (files / "closed").chmod(0)
    try:
        items, reader = run(shell, text)
    finally:
        (files / "closed").chmod(0o755)
    assert reader.done
    assert sorted(files.rglob("*")) == before
    found = {(item.kind, item.name.removeprefix(f"{files}/")): item for item in items}

    def content(name: str) -> bytes:
        return found["FILE", name].content

    assert content("plain") == b"one\ntwo"
    assert content("empty") == b""
    assert content("binary") == bytes(range(256))
    assert content('it\'s $(touch x) `y` "z"') == b"quoted"
    assert content("long") == b"x" * 2000
    assert content("forged") == (files / "forged").read_bytes()
    assert content("site.pem") == b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
    assert found["LINK", "linked"].content.decode() == f"{files}/plain"
    assert found["LINK", "an -> arrow"].content.decode() == f"{files}/plain"
    assert found["LINK", "question?"].content.decode() == f"{files}/pl?in"
    assert found["LINK", "masked"].content == b"/dev/null"
    assert ("LINK", "newline") not in found
    assert len(found) == len(items)
    assert {("BINARY", "elf"), ("BINARY", "linked elf")} <= set(found)
    assert ("LINK", "linked elf") not in found
    assert ("REMOTE", "remote/file") in found
    assert ("REMOTE", "to_remote/file") in found
    assert ("ABSENT", "absent") in found
    assert ("ABSENT", "absent/below") in found
    assert not any("site.key" in name or "pipe" in name for _, name in found)
    if os.geteuid() != 0:
        assert ("DENIED", "closed/file") in found


@pytest.mark.integration
@pytest.mark.parametrize("awk", AWKS)
def test_what_changes_while_it_is_read_is_never_taken_for_another(awk: str, files: Path) -> None:
    if shutil.which(awk.split()[0]) is None:
        pytest.skip(f"there is no {awk}")
    names = ["plain", "empty", "forged", "site.pem", "linked"]
    change = f'printf three >>"{files}/plain"; mv "{files}/forged" "{files}/was"; printf x >>"{files}/empty"'
    text = program(NONCE, [f"{files}/{name}" for name in names]).replace(" awk -v cap", f" {awk} -v cap")
    assert text.count('\nlisted=$(ls -lnd "$@")\n') == 1
    text = text.replace('\nlisted=$(ls -lnd "$@")\n', f'\nlisted=$(ls -lnd "$@"; {change})\n')
    items, reader = run("dash", text)
    assert reader.done
    assert {item.name.removeprefix(f"{files}/"): item.content for item in items if item.kind == "FILE"} == {
        "plain": b"one\ntwothree",
        "empty": b"x",
        "site.pem": b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
    }
    assert Item("ABSENT", f"{files}/forged") in items


@pytest.mark.integration
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_the_first_round_comes_to_its_end(shell: str) -> None:
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    items, reader = run(shell, program(NONCE))
    assert reader.done
    names = {item.name for item in items if item.kind in ("FILE", "LINK")}
    assert {"/etc/hosts", "/etc/resolv.conf"} <= names
    assert "/etc/shadow" not in names
    assert {"host.txt"} <= {item.name for item in items if item.kind == "OUT"}
    absent = [item.name for item in items if item.kind == "ABSENT"]
    assert len(absent) == len(set(absent))
    assert not {"/etc/pki/nginx", "/usr/local/etc/ssl"} & set(absent)


@pytest.mark.integration
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_names_with_control_characters_end_nothing(shell: str, tmp_path: Path) -> None:
    """Anybody may make one in a home of their own. It is told that something was left out."""
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    units = tmp_path / "home/.config/systemd/user"
    for place in (units, units / "line\nfeed", tmp_path / "certificates", tmp_path / "certificates/es\x1bcape"):
        place.mkdir(parents=True)
        (place / "a.pem").write_text("public\n")
        (place / "tab\t.pem").write_text("public\n")
    (units / "to").symlink_to("x/del\x7f/y")
    table = tmp_path / "passwd"
    table.write_text(f"u:x:1:1::{tmp_path}/home:/bin/sh\nv:x:1:1::{tmp_path}/bell\x07:/bin/sh\n")
    text = program(NONCE)
    for old, new in (
        ("</etc/passwd", f"<'{table}'"),
        ("for d in /etc/ssl ", f"for d in {tmp_path}/certificates "),
        ("set -- '/etc/cron.hourly/*'", f"set -- '{tmp_path}/certificates/*'"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    items, reader = run(shell, text)
    assert reader.done
    seen = {item.name for item in items if item.kind == "FILE" and item.name.startswith(f"{tmp_path}/")}
    assert seen == {f"{units}/a.pem", f"{tmp_path}/certificates/a.pem"}
    odd = {item.name for item in items if item.kind == "ODD" and (item.name == "/?" or f"{tmp_path}/" in item.name)}
    assert odd == {"/?", f"{units}/?", f"{tmp_path}/certificates/?", f"{tmp_path}/?"}
    states = next(item.content for item in items if item.name == "states.txt")
    assert f"{tmp_path}/certificates/a.pem\n".encode() in states


@pytest.mark.integration
@pytest.mark.parametrize("most", [100000, 60])
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_homes_are_looked_at_however_they_are_written(shell: str, most: int, tmp_path: Path) -> None:
    """No path that it names may be other than in its shortest form: that would end the reading."""
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    for name in ("a", "b", "c", "d"):
        (tmp_path / name / ".ssh").mkdir(parents=True)
        (tmp_path / name / ".ssh/authorized_keys").write_text(f"ssh-ed25519 AAAA {name}\n")
    homes = (
        f"{tmp_path}/a/",
        f"{tmp_path.parent}//{tmp_path.name}/b",
        f"{tmp_path}/x/../c",
        f"{tmp_path}/d/.",
        "/",
        "d",
    )
    table = tmp_path / "passwd"
    table.write_text("".join(f"u:x:1:1::{home}:/bin/sh\n" for home in homes))
    text = program(NONCE)
    assert text.count("</etc/passwd") == text.count('"${#homes}" -ge 100000') == 1
    text = text.replace("</etc/passwd", f"<'{table}'").replace('"${#homes}" -ge 100000', f'"${{#homes}}" -ge {most}')
    items, reader = run(shell, text)
    assert reader.done
    seen = {item.name for item in items if item.kind == "FILE" and item.name.startswith(f"{tmp_path}/")}
    left_out = any(item.kind == "FULL" and item.name.startswith(f"{tmp_path}/") for item in items)
    assert left_out is (most == 60)
    assert left_out or seen == {f"{tmp_path}/{name}/.ssh/authorized_keys" for name in ("a", "b", "c", "d")}


@pytest.mark.integration
@pytest.mark.parametrize("grep", [True, False])
@pytest.mark.parametrize(
    ("shell", "awk"), [*((shell, "awk") for shell in sorted(SHELLS)), *(("dash", awk) for awk in AWKS)]
)
def test_it_tells_the_newest_start_of_each_job(shell: str, awk: str, grep: bool, tmp_path: Path) -> None:
    """A log has the newest last; the journal is read from its end, with and without --grep."""
    if shell not in HERE or shutil.which(awk.split()[0]) is None:
        pytest.skip(f"there is no {shell} or no {awk}")
    (tmp_path / "cron.log").write_text(
        "Nov 20 01:00:00 h CRON[1]: (root) CMD (a)\nNov 20 02:00:00 h CRON[2]: (root) CMD (b)\n"
        "Nov 20 03:00:00 h CRON[3]: (root) CMD (a)\nNov 20 03:00:01 h CRON[3]: pam_unix(cron:session): closed\n"
    )
    journal = tmp_path / "journalctl"
    journal.write_text(
        "#!/bin/sh\n"
        + ("" if grep else 'case "$*" in *--grep*) exit 1 ;; esac\n')
        + 'case "$*" in *--reverse*) ;; *) exit 1 ;; esac\n'
        "echo '2025-11-21T05:00:00+0000 h CRON[9]: (root) CMD (b)'\n"
        "echo '2025-11-21T04:59:00+0000 h CRON[8]: (eve) CMD (c)'\n"
        "echo '2025-11-21T04:00:00+0000 h CRON[7]: (root) CMD (b)'\n"
    )
    journal.chmod(0o755)
    text = program(NONCE)
    part = text[text.index("cron_log() {") : text.index("devices() {")]
    part = part.replace("/var/log/cron.log", f"{tmp_path}/cron.log").replace("/run/log/journal", str(tmp_path))
    part = part.replace("awk -v", f"{awk} -v")
    start = 'limit() { shift; "$@"; }\nreachable() { [ "${1#*cron.log}" != "$1" ]; }\nCAP=10000\n'
    result = subprocess.run(
        SHELLS[shell],
        input=f"{start}{part}\ncron_log | last_of_each\n",
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert sorted(result.stdout.splitlines()) == [
        "2025-11-21T04:59:00+0000 h CRON[8]: (eve) CMD (c)",
        "2025-11-21T05:00:00+0000 h CRON[9]: (root) CMD (b)",
        "Nov 20 03:00:00 h CRON[3]: (root) CMD (a)",
    ]


@pytest.mark.integration
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_it_tells_what_is_immutable(shell: str, tmp_path: Path) -> None:
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    frozen, plain = tmp_path / "fro zen", tmp_path / "plain"
    frozen.mkdir()
    plain.mkdir()
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", frozen], capture_output=True).returncode:
        pytest.skip("nothing can be made immutable here: it needs chattr, root and a file system that can")
    try:
        text = program(NONCE)
        assert text.count("set -- /etc/letsencrypt ") == 1
        items, reader = run(shell, text.replace("set -- /etc/letsencrypt ", f"set -- {tmp_path}/* "))
    finally:
        subprocess.run(["chattr", "-i", frozen], check=True)
    assert reader.done
    told = next(item.content.decode() for item in items if item.name == "immutable.txt")
    assert f" {frozen}\n" in told
    assert str(plain) not in told
    entities = list(ImmutableCollector().parse(Document("/.auditor/immutable.txt", told.encode())))
    assert (Kind.PATH, str(frozen)) in [(one.ref.kind, one.ref.text) for one in entities if isinstance(one, Entity)]


@pytest.mark.integration
def test_it_ends_itself_at_the_deadline(tmp_path: Path) -> None:
    if "dash" not in HERE:
        pytest.skip("there is no dash")
    text = program(NONCE, ["/etc/hosts"], deadline=2).replace("find_mounts\nif", "sleep 3600 >/dev/null 4>&-\nif")
    items, reader = run("dash", text)
    assert not items
    assert not reader.done


@pytest.mark.integration
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_it_ends_without_the_program_timeout(shell: str) -> None:
    if shell not in HERE:
        pytest.skip(f"there is no {shell}")
    text = program(NONCE, ["/etc/hosts"]).replace("=$(timeout 1 id", "=$(no-timeout 1 id")
    text = text.replace("=$(timeout -t 1 id", "=$(no-timeout -t 1 id")
    assert text.count("no-timeout") == 2
    items, reader = run(shell, text)
    assert reader.done
    assert [item.name for item in items] == ["/etc/hosts"]


@pytest.mark.integration
def test_a_full_disk_is_no_matter_to_it() -> None:
    """No file may grow by a byte: whoever wrote one would be killed."""
    if "dash" not in HERE:
        pytest.skip("there is no dash")
    items, reader = run("dash", program(NONCE), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert reader.done
    assert {"host.txt", "states.txt"} <= {item.name for item in items if item.kind == "OUT"}


DEAD = {
    "etc/cron.d/sync": "/mnt/dead/sync",
    "etc/letsencrypt/archive/a": "/mnt/dead/a",
    "etc/letsencrypt/live/a": "/mnt/dead/a",
    "etc/letsencrypt/renewal-hooks/deploy": "../../../mnt/dead/hooks",
    "etc/letsencrypt/accounts/ca": "/mnt/dead/ca",
    "etc/nginx/sites-enabled/a": "/mnt/dead/a",
    "etc/nginx/conf.d": "/mnt/dead/conf.d",
    "etc/ssl/a": "/mnt/dead/a",
    "etc/systemd/system/a.service": "/mnt/dead/a.service",
    "home/alice": "/mnt/dead/alice",
    "home/bob/.config": "/mnt/dead/bob",
    "home/bob/.ssh": "/mnt/dead/bob",
    "root/.acme.sh/a": "/mnt/dead/a",
    "usr/lib/systemd/system/b.service": "/mnt/dead/b.service",
    "usr/lib/systemd/system/b.timer.d": "/mnt/dead/b",
    "var/spool/anacron": "/mnt/dead/anacron",
}
"""Links to a file server that does not answer."""


# Without the mark of integration tests: what may be mounted is up to the machine, and no package helps.
def test_no_file_server_that_does_not_answer_is_touched(tmp_path: Path) -> None:
    """Two mounts of FUSE that nobody serves: whoever looks at one waits for ever."""
    busybox, unshare = shutil.which("busybox"), shutil.which("unshare")
    if busybox is None or unshare is None or os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("it needs busybox, unshare, root and /dev/fuse")
    for place in ("bin", "proc", "dev", "mnt/dead", "etc/ssl/shared", "usr/lib/systemd/system"):
        (tmp_path / place).mkdir(parents=True)
    shutil.copy2(busybox, tmp_path / "bin/busybox")
    for name, target in DEAD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    (tmp_path / "usr/lib/systemd/system/b.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (tmp_path / "etc/ssl/b.pem").write_text("public\n")
    (tmp_path / "dev/null").write_text("")
    script = (
        'mount -t proc proc "$1/proc"; for place in $2; do mount -i -t fuse.dead '
        '-o "fd=${place%%:*},rootmode=40000,user_id=0,group_id=0" dead "$1/${place#*:}" || exit 9; done; '
        'cd "$1" && exec chroot . /bin/busybox sh -c "/bin/busybox --install -s /bin; exec sh -s"'
    )
    servers = [os.open("/dev/fuse", os.O_RDWR) for _ in range(2)]
    try:
        mounts = f"{servers[0]}:mnt/dead {servers[1]}:etc/ssl/shared"
        result = subprocess.run(
            [unshare, "-m", "sh", "-c", script, "sh", tmp_path, mounts],
            input=program(NONCE).encode(), pass_fds=servers, capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        for server in servers:
            os.close(server)
    if result.returncode == 9:
        pytest.skip(f"no file system can be mounted here: {result.stderr.decode()}")
    items, reader = read(result.stdout)
    assert reader.done, (result.stderr, [item.name for item in items[-3:]])
    told = {item.name for item in items if item.kind == "REMOTE"}
    assert {
        "/etc/cron.d/sync", "/etc/letsencrypt/accounts/ca/directory", "/etc/letsencrypt/live/a", "/etc/ssl/a",
        "/etc/ssl/shared",
        "/etc/letsencrypt/renewal-hooks/deploy", "/etc/nginx/conf.d", "/etc/nginx/sites-enabled/a", "/home/alice",
        "/etc/systemd/system/a.service", "/home/bob/.ssh/authorized_keys", "/home/bob/.config/systemd/user",
        "/usr/lib/systemd/system/b.service", "/usr/lib/systemd/system/b.timer.d", "/var/spool/anacron",
    } <= told  # fmt: skip
    assert {"/etc/ssl/b.pem", "/usr/lib/systemd/system/b.timer"} <= {item.name for item in items}
