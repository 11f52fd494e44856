"""Real programs as judges: systemd-analyze, run-parts of debianutils and busybox, and crontab of Debian's cron."""

from __future__ import annotations

import os
import random
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.api import Document, Entity, Fragment, Malformed
from auditor.schedule import last_elapse, next_run
from collectors.crontab import CrontabCollector
from collectors.run_parts import runs
from collectors.systemd import SystemdCollector
from tests.integration.programs import need

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _expressions() -> list[str]:
    chance = random.Random(20261123)
    fixed = [
        "minutely",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "semiannually",
        "yearly",
        "annually",
        "biannually",
        "semi-annually",
        "bi-annually",
        "anually",
        "*-*-* 00/12:00:00",
        "Mon..Fri 09:00",
        "Mon,Wed,Sun 12:30",
        "*-*~1 05:00",
        "*-02~01..03",
        "2019-01-01",
        "*-02-30",
        "Sat *-*-1..7 18:00",
        "*:0/15",
        "*-1,7-1 0:0",
        "2027..2029-*-29",
        "daily UTC",
        "Mon *-*-* 00:00 Europe/Berlin",
        "5min",
        "25:00",
        "Mon..",
        "@1700000000",
        "*-*-* 1:2:3:4",
        "Foo",
        "1:2/0",
        "*-*-* *:*:0/30",
        "Monday 3:00",
        "mon-fri 3:00",
        "*-*-31",
        "*:00:00.5",
    ]
    days = ["", "Mon ", "Tue..Thu ", "Fri,Sun ", "Sat..Sun "]
    for _ in range(60):
        month = chance.choice(["*", str(chance.randint(1, 12)), f"1/{chance.randint(1, 5)}", "2..5"])
        day = chance.choice(["*", str(chance.randint(1, 31)), f"1..{chance.randint(2, 28)}", "1/10", "5,25"])
        hour = chance.choice(["*", str(chance.randint(0, 23)), f"0/{chance.randint(1, 9)}", "8..17"])
        minute = chance.choice(["0", "*", "0/20", "15,45", str(chance.randint(0, 59))])
        fixed.append(f"{chance.choice(days)}*-{month}-{day} {hour}:{minute}:00")
    return fixed


@pytest.mark.parametrize("expression", _expressions())
def test_calendar_against_systemd(expression: str) -> None:
    analyze = need("systemd-analyze")
    told = run(analyze, "calendar", "--iterations=3", f"--base-time=@{int(NOW.timestamp())}", "--", expression)
    if told.returncode:
        with pytest.raises(ValueError, match=r"."):
            last_elapse(expression)
        return
    wanted = []
    for line in told.stdout.splitlines():
        label, _, value = line.strip().partition(": ")
        if label.startswith(("Next elapse", "Iter", "Iteration")) and value.strip() not in ("never", ""):
            stamp = value.strip().split()
            wanted.append(datetime.strptime(f"{stamp[1]} {stamp[2]}"[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    assert wanted or "never" in told.stdout
    found: list[datetime] = []
    now = NOW
    while len(found) < len(wanted) + 1 and (after := next_run(expression, "oncalendar", now)) is not None:
        found.append(after)
        now = after
    assert found[: len(wanted)] == wanted
    if "never" in told.stdout:
        assert len(found) == len(wanted)


NAMES = [
    "abc",
    "b_c",
    "UP",
    "_vnd",
    "a.sh",
    "e.dpkg-old",
    "lanana.example.org-job",
    "a-b",
    "a-",
    "0abc",
    "A1",
    "_x.y-z",
    "x.dpkg-new-a",
    "a.b",
    "x-dpkg-old",
    "abc~",
    "a,b",
    "rh-dpkg-dist",
    "#a",
    "a+b",
    "_a-b",
    "a.-b",
    "x.y-dpkg-old",
    "dpkg-old",
    "x_dpkg-tmp",
    "_a.dpkg-old",
    "x.rpmsave",
    "a.dpkg-foo",
    "ä",
    "-a",
]


@pytest.mark.parametrize("flavour", ["debian", "lsbsysinit", "busybox"])
def test_names_against_run_parts(flavour: str, tmp_path: Path) -> None:
    command = [need("busybox"), "run-parts"] if flavour == "busybox" else [need("run-parts")]
    if flavour == "lsbsysinit":
        command.append("--lsbsysinit")
    for name in NAMES:
        file = tmp_path / name
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    told = {Path(line).name for line in run(*command, "--test", str(tmp_path)).stdout.splitlines()}
    if flavour == "lsbsysinit":
        # Debian 13's takes more names with underscores than Debian 12's.
        told = {name for name in told if runs(name, flavour) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)}
    assert {name for name in NAMES if runs(name, flavour)} == told


CRONTABS = [
    "* * * * * ls\n",
    "* * * * * ls",
    "5/15 * * * * ls\n",
    "*5 * * * * ls\n",
    "0 0 * * sat-sun ls\n",
    "0 0 * * 6-7 ls\n",
    "0 0 * * monday ls\n",
    "60 0 * * * ls\n",
    "0-70/5 0 * * * ls\n",
    "22-4 * * * * ls\n",
    "0 0 30 2 * ls\n",
    "~ 3 * * * ls\n",
    "-* * * * * ls\n",
    "@daily ls\n",
    "@Daily ls\n",
    "@every_minute ls\n",
    "@300 ls\n",
    "1,,2 * * * * ls\n",
    "*/0 * * * * ls\n",
    "*/90 * * * * ls\n",
    "0 0 * jan,Feb mon,TUE ls\n",
    "0 0 * jan-mar/2 mon ls\n",
    "FOO = bar\n",
    'FOO=bar baz"\n',
    '"A B"=c\n',
    "garbage here\n",
    "* * * * *\n",
    "* * * * * *\n",
    "* * * * * * ls\n",
    "   * * * * * ls\n",
    "\t# x\n",
    "@reboot\n",
    "*/5x * * * * ls\n",
    "5x * * * * ls\n",
    "*/2,1-3 * * * * ls\n",
    "1-2-3 * * * * ls\n",
    "CRON_TZ=UTC\n* * * * * ls\r\n",
    "# c",
    "* * 0 * * ls\n",
    "* * * 0 * ls\n",
    "* * * * 8 ls\n",
    "* * * * 7/2 ls\n",
    "A=b",
    "* * * *\tls x y\n",
    "*/ * * * * ls\n",
    "* 1- * * * ls\n",
    "* ,1 * * * ls\n",
    "=x\n",
    "* 1, * * * ls\n",
    "X Y=1\n",
    "mon * * * * ls\n",
    "0 0 1-5/2,7 * * ls\n",
    "00 009 * * * ls\n",
    "MAILTO=\n",
    'MAILTO=""\n',
    "A='x y' z\n",
    "A='x y'  \n",
    '"A=b"=c\n',
    "A='x\n",
    'A = "b" # c\n',
    "0 0 31-32 * * x\n",
    "0-10/100 * * * * x\n",
    "5-64/30 * * * * x\n",
    "* * * * * \n",
    "0 0 * * 1-sun x\n",
    "0 0 L * * x\n",
    "0 0 * * 1#2 x\n",
    "0 0 ? * * x\n",
    "*-5 * * * * x\n",
    "*/5-9 * * * * x\n",
    "1-5,*x * * * * x\n",
    "@hourly\n",
    "* * * * *\\\n x\n",
    "0 0 * * mon,7-8 x\n",
]


@pytest.mark.parametrize("text", CRONTABS)
def test_crontabs_against_debian(text: str, tmp_path: Path) -> None:
    """Debian's crontab refuses exactly what we say that Debian's cron ignores."""
    crontab = need("crontab")
    if "-n" not in run(crontab, "-h").stderr:
        pytest.skip("this crontab can't check a file without installing it (-n)")
    file = tmp_path / "crontab"
    file.write_bytes(text.encode())
    told = run(crontab, "-n", str(file))
    accepted = "successfully checked" in told.stdout + told.stderr
    assert accepted or told.returncode
    facts = list(CrontabCollector().parse(Document("/var/spool/cron/crontabs/root", text.encode())))
    refused = [fact for fact in facts if isinstance(fact, Malformed) and fact.whole]
    assert (not refused) == accepted, told.stderr
    for fact in facts:
        if isinstance(fact, Entity):
            assert ("ignored" in fact.attributes) == (not accepted)


def test_drop_ins_against_systemd(tmp_path: Path) -> None:
    """`systemd-analyze verify` complains of the same lines, with the same numbers."""
    analyze = need("systemd-analyze")
    text = "Lost=1\n[Unit]\nDescription=a \\\n# c\n b\nnone\n=x\n[Serivce]\nUser=a\n[Service]\nExecStart=/bin/true\n"
    (tmp_path / "probe.service").write_text(text)
    told = run(analyze, "verify", "--man=no", str(tmp_path / "probe.service")).stderr
    if "probe.service:" not in told:
        pytest.skip(f"systemd-analyze verify does not work here: {told.strip()[:200]}")
    lines = {
        int(line.split("probe.service:")[1].split(":")[0]) for line in told.splitlines() if "probe.service:" in line
    }
    facts = list(SystemdCollector().parse(Document("/etc/systemd/system/probe.service", text.encode())))
    assert {fact.where.line for fact in facts if isinstance(fact, Malformed)} == lines
    assert any(isinstance(fact, Fragment) for fact in facts)
