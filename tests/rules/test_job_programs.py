"""Which program a command line is about, and which names a package gives to its jobs."""

from __future__ import annotations

import pytest

from rules.jobs.schedules import HOUSEKEEPING, LOCAL, TOOLS, program_of


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("/usr/local/sbin/report.sh --all", "report.sh"),
        ("cd / && run-parts --report /etc/cron.daily", "run-parts"),
        ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", "run-parts"),
        ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
        ("[ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean", "sessionclean"),
        ("LANG=C nice -n 19 ionice -c 3 /opt/backup/run", "run"),
        ("find /var/tmp -mtime +90 -delete", "find"),
        ("", ""),
        ("cd /srv", ""),
    ],
)
def test_the_program_of_a_command(command: str, program: str) -> None:
    assert program_of(command) == program


def test_a_program_is_either_local_or_a_tool_of_the_machine() -> None:
    assert not LOCAL & TOOLS


def test_programs_that_move_data_are_no_housekeeping() -> None:
    assert not {"rsync", "scp", "curl", "wget", "pg_dump", "mysqldump", "tar", "certbot", "borg"} & (
        HOUSEKEEPING | LOCAL | TOOLS
    )
