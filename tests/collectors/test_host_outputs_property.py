"""What a host prints may be anything: facts or nothing, never an exception, and never without an end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Document, Fragment, Parsed
from collectors.connections import ConnectionsCollector
from collectors.crontab import CrontabCollector
from collectors.host_state import HostStateCollector
from collectors.immutable import ImmutableCollector
from collectors.mounts import MountsCollector
from collectors.run_parts import RunPartsCollector
from collectors.systemd_runs import SystemdRunsCollector

OUTPUTS: list[tuple[Collector, str, tuple[str, ...]]] = [
    (ConnectionsCollector(), "/.auditor/ss-established.txt", ("tcp", "ESTAB", "LISTEN", "0", "10.0.0.1:22", "[::1]:5")),
    (
        ConnectionsCollector(),
        "/.auditor/ss-listening.txt",
        ("tcp4", "*.443", "*.*", "10.0.0.1.5", "::1.7", "TIME_WAIT"),
    ),
    (HostStateCollector(), "/.auditor/host.txt", ("node=", "name=a.b", "time=", "zone=+9999", "uid=", "system=")),
    (HostStateCollector(), "/.auditor/ip-addr.txt", ("2:", "eth0", "inet", "10.0.0.1/24", "inet6", "fe80::1/64", "\\")),
    (
        CrontabCollector(),
        "/.auditor/cron-log.txt",
        ("2026-11-23T02:17:01+0000", "x", "CRON[1]:", "(root)", "CMD", "(a)"),
    ),
    (
        MountsCollector(),
        "/.auditor/devices.txt",
        ("block", "ext4", "sda", "8:1", "ro=1", "errors=3", "last=99999999999"),
    ),
    (
        ImmutableCollector(),
        "/.auditor/immutable.txt",
        ("looked=1", "----i---", "-a-", "/etc/x", "-rw-r--r--", "1 0 0 schg 5 Nov 1 12:00"),
    ),
    (MountsCollector(), "/.auditor/mount.txt", ("/dev/a", "on", "/", "type", "nfs", "(ro)", "(", "a:/b")),
    (RunPartsCollector(), "/.auditor/states.txt", ("644", "0", "/etc/cron.daily/x", "9999999")),
    (SystemdRunsCollector(), "/.auditor/systemctl-timers.txt", ("Id=a.timer\n", "Id=", "Unit=b.service\n", "\n\n")),
]
OTHERS = {
    "/proc/self/mountinfo": b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:1",
    "/etc/crontab": b"* * * * * root a\n",
    "/.auditor/host.txt": b"time=2026-11-23T03:20:00Z\nzone=+0100\n",
    "/.auditor/session.txt": b"::1 7 10.0.0.1 5\n",
}


def everything(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    assert collector.recognizes(path, content[:4096])
    found = list(collector.parse(Document(path, content)))
    pieces = [Fragment(one.kind, one.value, one.where, "", path) for one in found if isinstance(one, Fragment)]
    hash(tuple(pieces))
    return [*found, *collector.combine(pieces, OTHERS.get)]


@pytest.mark.parametrize(("collector", "path", "words"), OUTPUTS, ids=lambda one: one if isinstance(one, str) else "")
@settings(max_examples=50)
@given(data=st.data())
def test_any_words_give_facts_or_nothing(
    collector: Collector, path: str, words: tuple[str, ...], data: st.DataObject
) -> None:
    word = st.one_of(st.sampled_from(words), st.text(max_size=6))
    lines = data.draw(st.lists(st.lists(word, max_size=8), max_size=6))
    everything(collector, path, "\n".join(" ".join(line) for line in lines).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(("collector", "path", "words"), OUTPUTS, ids=lambda one: one if isinstance(one, str) else "")
@settings(max_examples=30)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_facts_or_nothing(
    collector: Collector, path: str, words: tuple[str, ...], content: bytes
) -> None:
    everything(collector, path, content)


@pytest.mark.parametrize(("collector", "path", "words"), OUTPUTS, ids=lambda one: one if isinstance(one, str) else "")
def test_many_lines_and_a_long_one_are_read(collector: Collector, path: str, words: tuple[str, ...]) -> None:
    line = " ".join(words)
    everything(collector, path, (line + "\n").encode() * (300_000 // (len(line) + 1)))
    everything(collector, path, (line + " ").encode() * (300_000 // (len(line) + 1)))
