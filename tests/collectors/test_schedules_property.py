"""Whatever the bytes, the schedule collectors yield facts or Malformed; and what they say of real files holds."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Kind, Malformed, Parsed
from collectors.anacron import AnacronCollector
from collectors.crontab import CrontabCollector
from collectors.logrotate import LogrotateCollector
from collectors.run_parts import RunPartsCollector
from collectors.systemd import SystemdCollector
from collectors.systemd_runs import SystemdRunsCollector
from tests.realfiles import CORPUS, MISSING

PATHS: dict[type[Collector], tuple[str, ...]] = {
    CrontabCollector: (
        "/etc/crontab",
        "/etc/cron.d/a.b",
        "/var/spool/cron/crontabs/u",
        "/var/spool/cron/u",
        "/etc/crontabs/u",
        "/var/cron/tabs/u",
        "/usr/local/etc/cron.d/x",
        "/var/spool/cron/.cron.hostname",
        "roles/x/files/a.cron",
        "crontabs/u",
        "cron.d/x.j2",
    ),
    AnacronCollector: ("/etc/anacrontab", "files/anacrontab.j2"),
    LogrotateCollector: ("/etc/logrotate.d/x", "roles/x/files/x.logrotate.j2"),
    RunPartsCollector: ("/etc/cron.daily/x", "/etc/periodic/15min/x.sh"),
    SystemdCollector: (
        "/etc/systemd/system/x.service",
        "/etc/systemd/system/x.timer",
        "/etc/systemd/system/x@i.example.org.service.d/a.conf",
        "/etc/systemd/system/timers.target.wants/x.timer",
        "roles/x/x@.service.j2",
        "roles/x/x.mount",
        "x.path",
        "x.socket",
    ),
    SystemdRunsCollector: (
        "/.auditor/systemctl-timers.txt",
        "/.auditor/systemctl-services.txt",
        "/var/spool/anacron/cron.daily",
    ),
}
CASES = [(collector, path) for collector, paths in PATHS.items() for path in paths]

WORDS = st.sampled_from(
    [
        "*",
        "*/5",
        "0",
        "59",
        "60",
        "22-4",
        "~",
        "0~9",
        "mon",
        "7",
        "@reboot",
        "@daily",
        "@300",
        "-",
        "root",
        "www-data",
        "u:g/c",
        "true",
        "%",
        "\\\\%",
        "\\\\",
        "#",
        ";",
        "=",
        "A=b",
        "'x",
        '"',
        "[Service]",
        "[Timer]",
        "[Unit]",
        "[X",
        "[]",
        "ExecStart=",
        "ExecStart=/a",
        "OnCalendar=",
        "OnCalendar=daily",
        "OnCalendar=x",
        "Unit=a@b.service",
        "%i",
        "%%",
        "$$",
        "|",
        "@",
        "!",
        "+",
        "{{",
        "}}",
        "{%",
        "<%",
        "https://u:p@h.example/x",
        "ssh",
        "h.example",
        "rsync",
        "-a",
        "h:/x",
        ".",
        "test",
        "-d",
        "/x",
        "||",
        "&&",
        "[",
        "!",
        "-f",
        "/y",
        "]",
        "1",
        "START_HOURS_RANGE=3",
        "{{x}}",
        "Id=x.timer",
        "Id=x.service",
        "Unit=x.service",
        "Result=exit-code",
        "LastTriggerUSec=Fri 2025-02-30 03:17:04 UTC",
        "20250230",
    ]
)
SEPARATORS = st.sampled_from([" ", " ", " ", "\t", "\n", "\n", "\r\n", ""])
LINES = st.lists(st.tuples(WORDS, SEPARATORS), max_size=40).map(lambda pairs: "".join(a + b for a, b in pairs).encode())


def everything(collector: Collector, *documents: Document) -> list[Parsed]:
    facts = [fact for document in documents for fact in collector.parse(document)]
    fragments = [fact for fact in facts if isinstance(fact, Fragment)]
    return facts + list(collector.combine(fragments, {d.path: d.content for d in documents}.get))


def check(facts: list[Parsed], lines: int) -> None:
    for fact in facts:
        assert 0 <= fact.where.line <= lines
        assert len(fact.where.excerpt) <= 200
        if isinstance(fact, Malformed):
            assert fact.reason
        elif isinstance(fact, Entity | Dependency):
            for ref in (fact.ref,) if isinstance(fact, Entity) else (fact.consumer, fact.provider):
                assert "\n" not in ref.text
                assert ref.text or ref.kind is Kind.HOST


@pytest.mark.parametrize(("kind", "path"), CASES, ids=[path for _, path in CASES])
@settings(max_examples=40)
@given(st.one_of(st.binary(max_size=400), LINES))
@example(b"\xef\xbb\xbf* * * * * root true\n")
@example(b"\xff\xfe*\x00 \x00*\x00\n\x00")
@example(b"[Service]\nExecStart=\\\n\\\n#x\n")
@example(b"%" * 300 + b"\n")
def test_any_bytes(kind: type[Collector], path: str, content: bytes) -> None:
    collector = kind()
    collector.recognizes(path, content[:4096])
    check(everything(collector, Document(path, content)), content.count(b"\n") + 1)


@pytest.mark.parametrize(
    "content",
    [
        b"* * * * * root " + b"test " * 400_000 + b"\n",
        b"* * * * * root true\n" * 30_000,
        b"[Service]\n" + b"ExecStart=/a\n" * 20_000,
        b"[Service]\n" + b"A=\\\n" * 200_000,
        b"A=" + b"\\" * 1_000_000 + b"\n",
        b"{{" * 500_000,
        b"(" * 15_000 + b"\n* * * * * root " + b"(" * 15_000 + b"\n",
        b"1 5 x " + b"$(" * 7_000 + b"\n",
    ],
    ids=range(8),
)
@pytest.mark.parametrize(
    ("kind", "path"), [(kind, paths[0]) for kind, paths in PATHS.items()], ids=lambda v: getattr(v, "name", v)
)
def test_hostile_sizes_take_bounded_time(kind: type[Collector], path: str, content: bytes) -> None:
    started = time.process_time()
    count = 0
    collector = kind()
    collector.recognizes(path, content[:4096])
    for _ in collector.parse(Document(path, content)):
        count += 1
    assert time.process_time() - started < 20
    assert count < 100_000


def test_a_job_keeps_its_identity_when_lines_move() -> None:
    before = everything(CrontabCollector(), Document("/etc/cron.d/x", b"0 1 * * * root true a\n"))
    after = everything(CrontabCollector(), Document("/etc/cron.d/x", b"# new\n\n5 2 * * *  root  true a\n"))
    assert [fact.ref for fact in before if isinstance(fact, Entity)] == [
        fact.ref for fact in after if isinstance(fact, Entity)
    ]


@pytest.mark.skipif(not CORPUS.is_dir(), reason=MISSING)
@pytest.mark.parametrize("directory", ["cron", "systemd"])
def test_real_files(directory: str) -> None:
    """Every real file: no exception, in time, and each line that is a job becomes one."""
    jobs = units = 0
    for file in sorted((CORPUS / directory).iterdir()):
        content = file.read_bytes()
        path = file.name.replace("__", "/")
        for kind in PATHS:
            collector = kind()
            started = time.process_time()
            recognized = collector.recognizes(path, content[:4096])
            facts = everything(collector, Document(path, content))
            assert time.process_time() - started < 2, file.name
            check(facts, content.count(b"\n") + 1)
            if recognized:
                jobs += sum(1 for fact in facts if isinstance(fact, Entity) and fact.ref.kind is Kind.JOB)
                units += sum(1 for fact in facts if isinstance(fact, Entity) and fact.ref.kind is Kind.UNIT)
    assert jobs > 15
    assert directory == "cron" or units > 15
