"""ssh_config as we read it: the settings that ssh itself would use, and nothing that it would run."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.capture.sources import MAX_INCLUDES, SshConfig
from auditor.capture.ssh_host_keys import HostKey, KnownHosts, refusal
from auditor.errors import UsageError

CONFIG = """\
# Before any Host: for all.
ServerAliveInterval 5
Include conf.d/*.conf
Host legacy-*
    HostName %h.eventide.net
    User deploy
    Port 2222
    IdentityFile ~/.ssh/legacy_%r
    ProxyJump gate.eventide.net:2200,inner@10.20.0.1
Host legacy-cert-01
    User nobody-gets-this
    HostKeyAlias cert
    IdentityFile ~/.ssh/second
Host !web-03 web-*
    user = www
    IdentitiesOnly yes
Host quoted
    HostName "quoted.eventide.net"   # a comment
    UserKnownHostsFile ~/.ssh/one ~/.ssh/two
Host *
    Port 22022
    User all
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ssh = tmp_path / ".ssh"
    (ssh / "conf.d").mkdir(parents=True)
    (ssh / "config").write_text(CONFIG)
    (ssh / "conf.d/10.conf").write_text("Host db-*\n  User postgres\n  ProxyJump none\n")
    (ssh / "conf.d/20.conf").write_text("Host db-07\n  HostName 10.20.4.30\nInclude nested\n")
    (ssh / "nested").write_text("Host db-07\n  Port 2022\n")
    return tmp_path


def config(home: Path) -> SshConfig:
    return SshConfig.read(home / ".ssh/config", home / "none", home=str(home))


def test_the_first_value_wins_and_identities_add_up(home: Path) -> None:
    found = config(home).endpoint("legacy-cert-01")
    assert (found.host, found.user, found.port) == ("legacy-cert-01.eventide.net", "deploy", 2222)
    assert found.identities == (f"{home}/.ssh/legacy_deploy", f"{home}/.ssh/second")
    assert found.jumps == ("gate.eventide.net:2200", "inner@10.20.0.1")
    assert found.key_name == "cert"


def test_included_files_are_read_and_hold_within_their_block(home: Path) -> None:
    found = config(home).endpoint("db-07")
    assert (found.host, found.user, found.port, found.jumps) == ("10.20.4.30", "postgres", 2022, ())


def test_what_is_asked_for_wins_over_the_file(home: Path) -> None:
    found = config(home).endpoint("legacy-cert-01", user="root", port=22, jump="bastion")
    assert (found.user, found.port, found.jumps) == ("root", 22, ("bastion",))


def test_a_pattern_with_an_exclamation_mark_takes_away(home: Path) -> None:
    assert config(home).endpoint("web-01").user == "www"
    assert config(home).endpoint("web-01").only_identities
    assert config(home).endpoint("web-03").user == "all"


def test_quotes_comments_and_several_files(home: Path) -> None:
    found = config(home).endpoint("quoted")
    assert found.host == "quoted.eventide.net"
    assert found.known_hosts[:2] == (f"{home}/.ssh/one", f"{home}/.ssh/two")


def test_nothing_in_it_is_ever_run(home: Path) -> None:
    """`Match exec`, ProxyCommand, KnownHostsCommand, LocalCommand: each would leave a file behind."""
    traces = [home / f"ran{number}" for number in range(6)]
    (home / ".ssh/config").write_text(
        f'Match exec "touch {traces[0]}"\n  User matched\n'
        f'Match host web-01 exec "touch {traces[1]}"\n  User matched\n'
        f"Match tagged x\n  User matched\nMatch all\n  Port 1\n"
        f"Host web-01\n  User plain\n  ProxyCommand touch {traces[2]}\n  KnownHostsCommand /usr/bin/touch {traces[3]}\n"
        f"  LocalCommand touch {traces[4]}\n  PermitLocalCommand yes\n  HostName $(touch {traces[5]})\n"
    )
    read = config(home)
    assert read.skipped == 4
    found = read.endpoint("web-01") if not _refused(read) else None
    assert found is None or (found.user, found.port) == ("plain", 22)
    assert not any(trace.exists() for trace in traces)


def _refused(read: SshConfig) -> bool:
    try:
        read.endpoint("web-01")
    except UsageError:
        return True
    return False


def test_a_loop_of_includes_ends(home: Path) -> None:
    (home / ".ssh/config").write_text("Include config\n")
    with pytest.raises(UsageError, match=f"more than {MAX_INCLUDES} files deep"):
        config(home)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "config")
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            SshConfig.read(file, Path(place, "none"), home=place).settings("web-01")
        except UsageError:
            return


@pytest.mark.integration
@pytest.mark.parametrize("host", ["legacy-cert-01", "legacy-x", "db-07", "web-01", "web-03", "quoted", "other"])
def test_ssh_itself_says_the_same(host: str, home: Path) -> None:
    ssh = shutil.which("ssh")
    if ssh is None:
        pytest.skip("there is no ssh")
    # ssh takes the home of the password database: an absolute Include is the same everywhere.
    text = CONFIG.replace("Include conf.d/*.conf", f"Include {home}/.ssh/conf.d/*.conf").replace("~", str(home))
    (home / ".ssh/conf.d/20.conf").write_text(f"Host db-07\n  HostName 10.20.4.30\nInclude {home}/.ssh/nested\n")
    (home / ".ssh/config").write_text(text)
    said = subprocess.run([ssh, "-G", "-F", home / ".ssh/config", host], capture_output=True, text=True, check=True)
    settings: dict[str, list[str]] = {}
    for line in said.stdout.splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, []).append(value)
    found = config(home).endpoint(host)
    assert found.host == settings["hostname"][0]
    assert (found.user, str(found.port)) == (settings["user"][0], settings["port"][0])
    # Newer versions put addresses in brackets, as older ones only do for IPv6.
    jumps = settings.get("proxyjump", [""])[0].replace("[", "").replace("]", "")
    assert ",".join(found.jumps) == jumps
    if host.startswith("legacy"):
        expanded = [one.replace("%r", found.user) for one in settings["identityfile"]]
        assert list(found.identities) == expanded


KEY = base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519" + b"x" * 36).decode()


def hashed(name: str) -> str:
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("line", "name", "port", "known"),
    [
        ("web-01,10.20.4.1", "WEB-01", 22, True),
        ("web-01,10.20.4.1", "10.20.4.1", 22, True),
        ("web-01", "web-01", 2222, True),
        ("[web-01]:2222", "web-01", 2222, True),
        ("*.eventide.net,!old.eventide.net", "a.eventide.net", 22, True),
        ("*.eventide.net,!old.eventide.net", "old.eventide.net", 22, False),
        (hashed("web-01"), "web-01", 22, True),
        (hashed("[web-01]:2222"), "web-01", 2222, True),
        (hashed("web-02"), "web-01", 22, False),
    ],
)
def test_keys_are_found_as_sshd_8_says(line: str, name: str, port: int, known: bool, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"# a comment\n{line} ssh-ed25519 {KEY} a comment\n")
    assert bool(KnownHosts([str(tmp_path / "known")]).keys(name, port)) is known


CERTIFIED = b"\x00\x00\x00\x20ssh-ed25519-cert-v01@openssh.com"


@given(st.binary(max_size=200), st.booleans())
def test_whatever_a_host_shows_is_refused_if_nobody_vouches_for_it(shown: bytes, certificate: bool) -> None:
    keys = [HostKey(marker, "ssh-ed25519", b"none", "known:1") for marker in ("", "@cert-authority", "@revoked")]
    blob = CERTIFIED + shown if certificate else shown
    for known in ([], keys, keys[1:]):
        assert refusal(blob, known, "web-01", 22, now=0.0)
