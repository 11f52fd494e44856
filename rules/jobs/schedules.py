"""What the rules about jobs share: what a job does and for whom, whether it runs at all, and what packages bring."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.api import (
    Area,
    CronDialect,
    Edge,
    EstateView,
    Going,
    Kind,
    Lifecycle,
    Need,
    Node,
    Provenance,
    Relation,
    in_zone,
    is_timer,
    next_run,
    parse_time,
    time_left,
)

HOUSEKEEPING: Final = frozenset(
    (
        "0anacron 0hourly 0yum-daily anacron apt apt-compat apt-daily apt-daily-upgrade apt-listbugs"
        " apt-show-versions aptitude archlinux-keyring-wkd-sync atop atop-rotate backup-rpmdb bsdmainutils"
        " btrfs-balance btrfs-defrag btrfs-scrub btrfs-trim btrfsmaintenance-refresh calendar check-battery"
        " chkrootkit chrony cracklib-runtime debsums debtags dnf-automatic dnf-automatic-install dnf-makecache"
        " dpkg dpkg-db-backup e2scrub_all e2scrub_reap etckeeper exim4-base fake-hwclock fstrim fwupd-refresh"
        " kpatch livepatch locate logcheck logrotate logwatch man-db man-db.cron mandb mcelogd mdadm"
        " mdcheck_continue mdcheck_start mdmonitor-oneshot mlocate mlocate-updatedb motd-news munin-node"
        " needrestart-dpkg-status ntp ntpsec pacman-filesdb-refresh passwd php php5 phpsessionclean plocate"
        " plocate-updatedb popularity-contest prelink purge-old-kernels raid-check readahead rkhunter rpm shadow"
        " snapd.refresh snapd.snap-repair sysstat sysstat-collect sysstat-rotate sysstat-summary"
        " systemd-tmpfiles-clean tmpwatch ua-messaging ua-timer ubuntu-advantage-tools unattended-upgrades"
        " unbound-anchor update-motd update-notifier-common update-notifier-download update-notifier-motd updatedb"
        " xfs_scrub_all yum-cron yum-updatesd zfs-auto-snapshot zfs-scrub zfsutils-linux"
    ).split()
)
"""What packages of the distribution schedule on every machine: timers, files and scripts by their names."""

TOOLS: Final = frozenset(
    (
        "anacron apt apt-get aptitude chkrootkit debian-sa1 debsecan dnf e2scrub_all fstrim locate logrotate"
        " makewhatis man-db mandb mdadm needrestart ntpdate popularity-contest raid-check rdate rkhunter sa1 sa2"
        " tmpreaper tmpwatch unattended-upgrade updatedb yum zypper"
    ).split()
)
"""Programs that look after the machine that they run on, whoever schedules them."""

LOCAL: Final = frozenset(
    (
        "chgrp chmod chown date echo false fdupes find kill killall logger mkdir pkill reboot rm rmdir sync touch true"
        " truncate"
    ).split()
)
"""Programs whose effects stay on the machine that they run on."""

_AROUND: Final = frozenset(
    "[ test cd if then fi command -v exec nice ionice chrt timeout flock env sudo chronic systemd-cat time root".split()
)
_PERIODIC: Final = re.compile(
    r"(?:run-parts|/usr/bin/run-parts)\b.*\s/etc/(?:cron\.(?:hourly|daily|weekly|monthly)|periodic/\w+)\b"
)
_PERIODIC_FILE: Final = re.compile(r"/etc/(?:cron\.(?:hourly|daily|weekly|monthly|yearly)|periodic/\w+)/")
_WORD: Final = re.compile(r"[^\s;&|()<>'\"]+")
_SYSTEM: Final = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/", "/lib/")
_GENERIC: Final = frozenset(
    (
        "[ bash dash env flock ionice java ksh nice node perl php python python2 python3 ruby sh su sudo test"
        " timeout zsh"
    ).split()
)
_AUDITOR: Final = re.compile(
    r"(?:^|[\s/=;&|(\"'])auditor(?:\.cli\.main|[:@][\w.:-]+)?[\"']?\s+(?P<command>guard|audit|checklist|collect)\b"
)
_DEPTH: Final = 200
_DIALECTS: Final[dict[str, CronDialect]] = {
    "vixie": "vixie",
    "debian": "debian",
    "cronie": "cronie",
    "busybox": "busybox",
    "freebsd": "freebsd",
}

_SYSTEMS: Final = {
    "debian": "on Debian",
    "cronie": "under cronie, as on RHEL",
    "rhel": "on RHEL",
    "busybox": "under busybox",
}
WORDS: Final = {Need.READ: "reads from", Need.WRITE: "writes to", Need.RUN: "calls", Need.OBSERVE: "watches"}


@dataclass(frozen=True, slots=True)
class Effects:
    """What a job does, as far as it was captured."""

    outward: tuple[Edge, ...] = ()
    """Dependencies that lead off the machine: connections, and files on what it mounts from elsewhere."""
    inward: tuple[Edge, ...] = ()
    """Files that it reads and writes on the machine itself."""
    unknown: tuple[str, ...] = ()
    """Programs and scripts that it calls and that nobody captured."""
    renewals: tuple[Node, ...] = ()
    """ACME clients that it starts and that renew something."""
    programs: frozenset[str] = frozenset()
    """Base names of the scripts and programs that it calls."""

    @property
    def stays(self) -> bool:
        """Whether all that it does is known, and stays on the machine."""
        return not self.outward and not self.unknown and not self.renewals


def idle(estate: EstateView, job: Node) -> str:
    """Why a job does not run anyway; empty if it does."""
    known = job.attributes
    for key in ("ignored", "never_runs"):
        if reason := known.get(key):
            return str(reason)
    ends = parse_time(known.get("ends"))
    if ends is not None and ends < estate.now:
        return f"its last time was {ends.date().isoformat()}"
    if known.get("template") and is_timer(job.text):
        return "it is a template, of which only instances run"
    if known.get("enabled") is False:
        return "the timer is not enabled" if is_timer(job.text) else "it is switched off"
    return ""


def name_of(job: Node) -> str:
    """What a package would call a job: the timer's name, or that of its file."""
    place = job.text.partition(": ")[0]
    if is_timer(place):
        place = place.partition(" (")[0].removesuffix(".timer")
    return place.rpartition("/")[2]


def program_of(command: str) -> str:
    """The base name of the program that a command line is about: the first that is no test, wrapper or assignment."""
    skip = False
    for found in _WORD.finditer(command):
        word = found[0]
        if skip:
            skip = False
        elif word in ("cd", "test", "[", "-x", "-e", "-d", "-f", "-n", "-c"):
            skip = word in ("cd", "-x", "-e", "-d", "-f", "-n", "-c")
        elif (
            word in _AROUND
            or word.startswith("-")
            or word in ("]", "!")
            or word.isdigit()
            or ("=" in word and word.split("=", 1)[0].isidentifier())
        ):
            continue
        else:
            return word.rpartition("/")[2]
    return ""


def is_housekeeping(job: Node, effects: Effects) -> bool:
    """Whether a job only looks after the machine that it runs on, as packages of the distribution have it."""
    if effects.outward or effects.renewals:
        return False
    command = str(job.attributes.get("command", ""))
    place = job.text.partition(": ")[0]
    own = any(path.startswith("/") and not path.startswith((*_SYSTEM, "/etc/")) for path in effects.unknown)
    if place.startswith("task \\Microsoft\\"):
        return True
    packaged = name_of(job) in HOUSEKEEPING and not place.startswith("/var/spool/") and not own
    return packaged or bool(_PERIODIC.search(command)) or program_of(command) in TOOLS


def effects_of(estate: EstateView, job: Node) -> Effects:
    """What a job does, over the scripts and units that it calls."""
    outward: list[Edge] = []
    inward: list[Edge] = []
    unknown: list[str] = []
    clients: list[Node] = []
    programs: set[str] = set()
    seen, pending = {job.id}, [job]
    home = job.scope
    while pending and len(seen) < _DEPTH:
        at = pending.pop()
        mine: list[Edge] = []
        called = estate.outgoing(at, Relation.CALLS)
        for edge in called:
            target = edge.provider
            if target.kind is Kind.CLIENT:
                if estate.incoming(target, Relation.RENEWED_BY):
                    clients.append(target)
                continue
            if target.kind is Kind.PATH:
                base = target.text.rpartition("/")[2]
                if base not in _GENERIC:
                    programs.add(base)
                if "interpreter" not in target.attributes and not _is_periodic(target.text):
                    if not (target.text.startswith(_SYSTEM) and base in LOCAL | TOOLS | _GENERIC):
                        unknown.append(target.text)
                    continue
            if target.kind is Kind.UNIT and not estate.outgoing(target):
                unknown.append(target.text)
            elif target.id not in seen:
                seen.add(target.id)
                pending.append(target)
        mine.extend(
            edge
            for edge in estate.outgoing(at, Relation.CONNECTS)
            if all(host.text != home for host in estate.reaches(edge.provider))
        )
        for edge in estate.outgoing(at, Relation.READS, Relation.WRITES):
            (mine if _is_remote(estate, edge.provider) else inward).append(edge)
        # What a line that starts an ACME client does beside it (its hooks) belongs to the renewal.
        if not any(edge.provider in clients for edge in called):
            outward.extend(mine)
    command = str(job.attributes.get("command", ""))
    program = program_of(command)
    if program and program not in _GENERIC:
        programs.add(program)
    nothing = not (outward or inward or unknown or clients) and len(seen) == 1
    if nothing and program not in LOCAL | TOOLS and not _PERIODIC.search(command):
        unknown.append(program or job.text)
    return Effects(tuple(outward), tuple(inward), tuple(dict.fromkeys(unknown)), tuple(clients), frozenset(programs))


def runs_auditor(estate: EstateView, job: Node) -> dict[str, Provenance]:
    """The commands of the auditor (`guard`, `collect`) that a job runs, over scripts and units, and where."""
    found: dict[str, Provenance] = {}
    command = str(job.attributes.get("command", ""))
    if (said := _AUDITOR.search(command)) is not None:
        for place in job.provenance[:1]:
            found[said["command"]] = place
    seen, pending = {job.id}, [job]
    while pending and len(seen) < _DEPTH:
        at = pending.pop()
        lines = list(at.provenance) if at.kind is Kind.UNIT else []
        for edge in estate.outgoing(at, Relation.CALLS):
            lines.append(edge.provenance)
            if edge.provider.id not in seen and edge.provider.kind in (Kind.UNIT, Kind.PATH):
                seen.add(edge.provider.id)
                pending.append(edge.provider)
        for line in lines:
            if (said := _AUDITOR.search(line.excerpt)) is not None:
                found.setdefault(said["command"], line)
    return found


def _is_periodic(path: str) -> bool:
    return re.fullmatch(r"/etc/(?:cron\.\w+|periodic/\w+)", path) is not None


def _is_remote(estate: EstateView, path: Node) -> bool:
    """Whether a file is on what its machine mounts from another."""
    return any(
        estate.outgoing(edge.provider, Relation.MOUNTS)
        for edge in estate.outgoing(path, Relation.STANDS_FOR)
        if edge.provider.kind is Kind.MOUNT
    )


def does(effects: Effects) -> str:
    """What a job does for others, in a few words: `writes to https://siem.example.net/`."""
    said: dict[str, None] = {}
    for edge in effects.outward:
        target = edge.provider.text
        if edge.relation is Relation.CONNECTS:
            said[f"{WORDS[edge.need]} {target}"] = None
        else:
            said[f"{WORDS[edge.need]} {target}, which is mounted from elsewhere"] = None
    if not said and effects.unknown:
        said[f"calls {effects.unknown[0]}, of which nothing is known"] = None
    if not said:
        for edge in effects.inward:
            if edge.relation is Relation.WRITES:
                said[f"writes {edge.provider.text}"] = None
    words = list(said)
    return " and ".join(words[:2]) + (f" and {len(words) - 2} more" if len(words) > 2 else "")


def next_of(estate: EstateView, job: Node, start: datetime | None = None) -> datetime | None:
    """The next run of a job; None where it can't be told."""
    schedule = job.attributes.get("schedule")
    dialect = job.attributes.get("dialect")
    # Windows and systemd tell it themselves, with the delay that they chose at random.
    told = parse_time(job.attributes.get("next_run"))
    if told is not None and told > (start or estate.now) and (start is None or dialect == "windows"):
        return told
    if dialect == "windows":
        return None
    if not isinstance(schedule, str) or not schedule or schedule.startswith("every ") or schedule == "@reboot":
        return None
    if dialect == "anacron" or _PERIODIC_FILE.match(job.text):
        # When those run, the crontab or anacron says that calls them, and how long the machine has been up.
        return None
    try:
        home = estate.home(job)
        after = in_zone(start or estate.now, home.attributes.get("zone") if home is not None else None)
        if is_timer(job.text):
            return next_run(schedule, "oncalendar", after)
        return next_run(schedule, "cron", after, dialect=_DIALECTS.get(str(dialect), "vixie"))
    except ValueError:
        return None


def runs(estate: EstateView, job: Node) -> str:
    """`It runs at `17 3 * * *`, next in 34 h`; if a day on which the host goes is given, the first run after that."""
    if isinstance(occasion := job.attributes.get("runs_when"), str):
        return f"It runs when {occasion}"
    schedule = job.attributes.get("schedule")
    said = f"It runs at `{schedule}`" if isinstance(schedule, str) and schedule else "It runs by a schedule"
    later = estate.on if estate.on and estate.on > estate.now else None
    if (moment := next_of(estate, job, later)) is not None:
        said += f", {'for the first time without it' if later else 'next'} {time_left(estate.now, moment)}"
    return said + _unless(job)


def _unless(job: Node) -> str:
    """Where a job would not run, if nothing tells whether its host is such a one."""
    if "read_by" in job.attributes:
        return ""
    for system, called in _SYSTEMS.items():
        if reason := job.attributes.get(f"ignored_by_{system}"):
            return f" (but not {called}: {reason}; the host's /etc/os-release would tell)"
    return ""


def is_generated(estate: EstateView, job: Node) -> bool:
    """Whether a timer was made from a line of a crontab that is a job by itself (systemd-cron)."""
    made = job.attributes.get("made_from")
    return isinstance(made, str) and any(
        other.text == made or other.text.startswith(f"{made}: ") for other in estate.nodes_at(job.scope, Kind.JOB)
    )


def where_of(job: Node) -> str:
    """The file of a job, or the timer itself."""
    return job.text.partition(": ")[0]


def ended(job: Node) -> str:
    """How a job is ended where it is: `take its line out of /etc/cron.d/push`, `disable push.timer`."""
    place, within, _ = job.text.partition(": ")
    if is_timer(place):
        unit, _, whose = place.partition(" (")
        manager = "--user " if whose.startswith(("user ", "uid ")) else "--global " if whose else ""
        now = "" if manager == "--global " else "--now "
        return f"disable {place} (`systemctl {manager}disable {now}{unit}`)"
    return f"take its line out of {place}" if within and place.startswith("/") else f"delete {place}"


def title(job: Node) -> str:
    """What a job is called in a sentence: the command in its file, or the timer."""
    place, _, rest = job.text.partition(": ")
    command = str(job.attributes.get("command", "")) or rest
    return f"{place} ({command})" if command and command != place else place


def jobs_on(estate: EstateView, host: Node) -> Iterator[Node]:
    """The jobs that run on a host."""
    seen = set()
    for edge in estate.incoming(host, Relation.RUNS_ON):
        job = edge.consumer
        if job.kind is Kind.JOB and job.id not in seen and not is_generated(estate, job):
            seen.add(job.id)
            yield job


def successor_of(estate: EstateView, going: Going) -> Node | None:
    """The successor's node, if one is declared and known."""
    host = estate.host(going.host)
    return estate.successor(host) if host is not None else None


def schedules_seen(estate: EstateView, host: str) -> bool:
    """Whether somebody looked for jobs on a host; a script that was captured there is no look for jobs."""
    return any(
        row.seen and row.source == host and row.area is Area.SCHEDULES for row in estate.coverage(Relation.RUNS_ON)
    )


def retires(going: Going) -> bool:
    """Whether nothing runs on the host any more afterwards."""
    return going.lifecycle in (Lifecycle.RETIRED, Lifecycle.RETIRING)


def lines_of(nodes: Iterable[Node]) -> tuple[Provenance, ...]:
    """Where nodes were written, each line once."""
    found: dict[tuple[str, int], Provenance] = {}
    for node in nodes:
        for one in node.provenance[:1]:
            if one.path != ".":
                found.setdefault((one.path, one.line), one)
    return tuple(found.values())


def normal_command(job: Node, *hosts: Going | Node) -> str:
    """A job's command (for a timer its name) with the names of these hosts left open, to be compared."""
    text = str(job.attributes.get("command", "")) or name_of(job)
    names: set[str] = set()
    for host in hosts:
        name = host.host if isinstance(host, Going) else host.text
        names.update((name, name.partition(".")[0]))
        if isinstance(host, Going):
            names.update(host.names)
            names.update(host.addresses)
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "HOST", text)
    return " ".join(text.split())


def matching(job: Node, effects: Effects, command: str, others: Iterable[tuple[Node, Effects, str]]) -> Node | None:
    """The job of another host that does the same: the same command, or one that calls the same script."""
    generic = (
        _GENERIC | LOCAL | TOOLS | {"curl", "wget", "rsync", "ssh", "scp", "tar", "mysqldump", "pg_dump", "run-parts"}
    )
    scripts = {program for program in effects.programs if program not in generic}
    known = list(others)
    for other, _, theirs in known:
        if theirs == command:
            return other
    for other, done, _ in known:
        if scripts & done.programs:
            return other
    return None
