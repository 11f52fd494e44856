"""Crontabs: the system's, users', /etc/cron.d, and files in repositories that will become one.

What runs depends on which cron reads the file, and the file rarely says. The path decides where it can (`/etc/crontabs`
is busybox's), and what the host says of its system (`/etc/os-release`); else both verdicts are kept: `ignored` holds
for every cron that might read it, `ignored_by_debian` and `ignored_by_cronie` for one of them.

Sources: crontab(5) and cron(8) of Debian and cronie, cronie's entry.c, env.c, user.c and database.c, busybox's crond.c,
FreeBSD's crontab(5); Debian's verdicts were compared with `crontab -n` of cron 3.0pl1-162.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Confidence,
    CronDialect,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    analyse_command,
    decode,
    excerpt,
    family_of,
    host_ref,
    is_lsb_name,
    parse_time,
    read_cron_schedule,
)

MAX_ENTRIES: Final = 10_000
MAX_LINE: Final = 16_384

# Place, dialect, and whether lines have a user field.
_PLACES: Final[tuple[tuple[re.Pattern[str], CronDialect, bool], ...]] = (
    (re.compile(r"/etc/crontab"), "vixie", True),
    (re.compile(r"/etc/cron\.d/[^/]+"), "vixie", True),
    (re.compile(r"/usr/local/etc/cron\.d/[^/]+"), "freebsd", True),
    (re.compile(r"/var/spool/cron/crontabs/[^/]+"), "debian", False),
    (re.compile(r"/var/spool/cron/tabs/[^/]+"), "cronie", False),
    (re.compile(r"/var/spool/cron/[^/]+"), "cronie", False),
    (re.compile(r"/etc/crontabs/[^/]+"), "busybox", False),
    (re.compile(r"/var/cron/tabs/[^/]+"), "freebsd", False),
)
_FAMILIES: Final[Mapping[str, CronDialect]] = {
    "debian": "debian",
    "rhel": "cronie",
    "suse": "cronie",
    "arch": "cronie",
}
"""Which cron a family of systems has."""
_CRONIE_UNITS: Final = tuple(
    f"{place}/systemd/system/{unit}.service" for place in ("/lib", "/usr/lib", "/etc") for unit in ("cronie", "crond")
)
_LSB_NAMES: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?(?:EXTRA_OPTS|LSBNAMES)=.*-l", re.MULTILINE)
_LOG: Final = "/.auditor/cron-log.txt"
_HOST_STATE: Final = "/.auditor/host.txt"
_FILE_STATES: Final = "/.auditor/states.txt"
_SPOOLS: Final = ("/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron", "/var/cron/tabs")
_LOGGED: Final = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\dT\S{8,25}|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) .*?\]: "
    r"\((?P<user>[^)\s]+)\) (?P<what>CMD|CMDEND) \((?P<command>.*)\)\s*$"
)
_CLUSTER: Final = re.compile(r"/var/spool/cron/(?:tabs/)?\.cron\.hostname")
_TREE_NAME: Final = re.compile(r"(?:^|[._-])cron(?:tab|job|d)?s?(?:[._-]|$)|crontab", re.I)
_TREE_DIRECTORY: Final = re.compile(r"(?:^|/)(?:cron\.d|crontabs?|cron|cronjobs)/[^/]+$")
_SYSTEM_PATH: Final = re.compile(r"(?:^|/)(?:cron\.d/[^/]+|etc/crontab)$")
_USER_PATH: Final = re.compile(r"(?:^|/)(?:crontabs|spool/cron|cron/tabs)/(?:crontabs/)?([^/]+)$")
_TEMPLATE_SUFFIX: Final = re.compile(r"\.(?:j2|jinja2?|erb|epp|tmpl|tpl|in)$")
_TEMPLATE_ENDS: Final = (".j2", ".jinja", ".jinja2", ".erb", ".epp", ".tmpl", ".tpl", ".in")
_NOT_A_CRONTAB: Final = re.compile(
    r"\.(?:ya?ml|json|py|pyc|rb|pp|md|rst|html?|xml|js|css|sh|service|timer|sql|php|go|c|h)$", re.I
)

_BUSYBOX_SETTINGS: Final = ("MAILTO", "SHELL", "PATH")
_SPACE: Final = " \t"
_ENVIRONMENT: Final = re.compile(r"""[ \t]*(?:"([^"=]*)"|'([^'=]*)'|([^\s='"][^\s=]*|))[ \t]*=[ \t]*(.*)""")
# Any file without an extension may be copied to /etc/cron.d: a line with a user tells.
_SYSTEM_ENTRY: Final = re.compile(rb"(?:[0-9*][-0-9A-Za-z*,/]*[ \t]+){5}[a-z_][a-z0-9_-]*[ \t]+[\w/\[({.]")
# A search for a newline skips from line to line; `^` would be tried at each byte.
_LATER_ENTRY: Final = re.compile(rb"\n" + _SYSTEM_ENTRY.pattern)
_EMPTY_SETTING: Final = re.compile(r"[A-Za-z_]\w*\s*=\s*")
_TIME: Final = r"[-*0-9A-Za-z,/~]+"
_ENTRY: Final = re.compile(
    rf"[ \t]*-?(?:@\w+|(?:(?:{_TIME}|\S*\{{\{{\S*|<%\S*)[ \t]+){{4}}(?:{_TIME}|\S*\{{\{{\S*|<%\S*))[ \t]+\S.*"
)
_TIME_WORD: Final = re.compile(
    r"[0-9*~]\S*|(?:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b\S*", re.I
)
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.@\\-]*\$?(?::[\w-]+)?(?:/[\w-]+)?")
_SYSTEM_USERS: Final = frozenset(
    {
        "root", "nobody", "daemon", "bin", "sys", "www-data", "apache", "nginx", "httpd", "http", "wwwrun", "postgres",
        "mysql", "mariadb", "git", "backup", "mail", "news", "uucp", "list", "gnats", "systemd-network", "zabbix",
        "nagios", "icinga", "prometheus", "jenkins", "gitlab-runner", "munin", "ntp", "named", "bind", "squid",
        "puppet", "tomcat", "redis", "mongodb", "elasticsearch", "operator", "smmsp", "proxy", "man", "games",
    }
)  # fmt: skip
_COMMANDS: Final = frozenset(
    {
        "[", ".", ":", "acme.sh", "apt", "apt-get", "aws", "awk", "bash", "borg", "cat", "cd", "certbot", "chmod",
        "chown", "chronic", "cp", "csh", "curl", "date", "dd", "dehydrated", "df", "docker", "drush", "duplicity",
        "echo", "env", "eval", "exec", "exit", "export", "false", "find", "flock", "for", "gcloud", "git", "grep",
        "gunzip", "gzip", "if", "ionice", "java", "kill", "killall", "kubectl", "lego", "ln", "logger", "logrotate",
        "ls", "mail", "make", "mkdir", "mongodump", "mv", "mysql", "mysqldump", "nice", "node", "nohup", "npm",
        "ntpdate", "nslookup", "perl", "pg_dump", "pg_dumpall", "php", "pkill", "podman", "ps", "psql", "python",
        "python2", "python3", "rclone", "rdate", "reboot", "redis-cli", "restic", "rm", "rsnapshot", "rsync", "ruby",
        "run-parts", "scp", "sed", "service", "set", "setlock", "sh", "shutdown", "sleep", "source", "ssh", "su",
        "sudo", "svn", "sync", "systemctl", "tail", "tar", "test", "time", "timeout", "touch", "true", "umask", "unzip",
        "vacuumdb", "wget", "while", "xargs", "yum", "zip", "zsh",
    }
)  # fmt: skip
_NICKNAMES: Final = frozenset(
    {
        "reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
        "every_minute", "every_second",
    }
)  # fmt: skip
_TEMPLATE_LINE: Final = re.compile(r"[ \t]*(?:\{%|\{#|<%|%\s*(?:if|end|for|else)\b|#\}|%\})")
_TEMPLATE: Final = re.compile(r"\{\{.{0,400}?\}\}|<%=.{0,400}?%>")
_DEBIAN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
# What dpkg and ucf leave behind is on Debian alone, whose cron takes no name with a dot.
_CRONIE_SKIPS: Final = re.compile(
    r"[#.].*|.*~|.*\.(?:rpm(?:save|orig|new)|dpkg-(?:bak|dist|new|old)|ucf-(?:dist|new|old))"
)
_FREEBSD_TIME: Final = re.compile(r"@(?:\d{1,9}|every_second)")
_FREEBSD_FLAGS: Final = re.compile(r"-[nq]+")
_TEST: Final = re.compile(r"(?:\btest|\[{1,2})[ \t]+([^;&|\]]{1,300}?)[ \t]*\]{0,2}[ \t]*(&&|\|\|)")
_EXISTS: Final = re.compile(r"(\\?!)?[ \t]*-[defrsx][ \t]+['\"]?([^\s'\"]+)")


@dataclass(slots=True)
class _Entry:
    """One job as a line holds it."""

    line: int
    text: str
    schedule: str
    user: str
    command: str
    stdin: str
    environment: Mapping[str, str]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    bad: dict[CronDialect, str] = field(default_factory=dict)
    templated: bool = False


class CrontabCollector(Collector):
    """Reads crontabs of Debian's cron, cronie, busybox and FreeBSD.

    Reads
    -----
    `/etc/crontab`, `/etc/cron.d/*`, users' crontabs in `/var/spool/cron` (Debian and RHEL), `/etc/crontabs` (busybox)
    and `/var/cron/tabs` (FreeBSD), and files in repositories that will become one. What `auditor collect` takes from
    the log of a host's cron. `/etc/os-release` tells which cron a host has.

    Yields
    ------
    A job for each entry, with schedule, user, environment and guards, and what its command calls, connects to, reads
    and writes. What the cron in question would never run is kept and says why: a file it ignores, a date that never
    comes. When a job last started, and ended, by the log: that it started does not say that it did its work.

    Can't see
    ---------
    Whether cron runs, whether the user exists, with what result a job ended, runs that the log has forgotten, and which
    cron reads a file where the path does not say: then both verdicts are kept.
    """

    name: ClassVar[str] = "crontab"
    title: ClassVar[str] = "Crontabs: system, users', /etc/cron.d, and such files in repositories"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RUNS_ON, Relation.CALLS, Relation.CONNECTS, Relation.READS, Relation.WRITES}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        named = "cron" in path or "Cron" in path
        if path.startswith("/"):
            if path == _LOG:
                return True
            return named and any(place.fullmatch(path) for place, _, _ in _PLACES)
        name = path.rpartition("/")[2]
        if "fcron" in name:
            return False
        bare = _TEMPLATE_SUFFIX.sub("", name) if name.endswith(_TEMPLATE_ENDS) else name
        if named and (_TREE_NAME.search(bare) or _TREE_DIRECTORY.search(path)):
            if _NOT_A_CRONTAB.search(bare):
                return False
        elif "." in bare or (_SYSTEM_ENTRY.match(head) or _LATER_ENTRY.search(head)) is None:
            return False
        return b"\0" not in head and _looks_like_crontab(head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        if document.path == _LOG:
            yield from _log(document)
            return
        if _CLUSTER.fullmatch(document.path):
            yield from _cluster(document)
            return
        if b"\0" in document.content[:65536] and "\0" in decode(document.content[:65536]):
            yield Malformed(Where(), "this is not text", "cron can make nothing of it", whole=True)
            return
        yield from _File(document).facts()

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """What the host's own cron makes of a file that another would read otherwise, and when its jobs last ran.

        Runs in the log of a host are those of the jobs in its crontabs: of one user, with one command.
        """
        yield from _decided([one for one in fragments if one.kind == "verdicts"], read)
        runs: dict[tuple[str, str], dict[str, Fragment]] = {}
        for one in fragments:
            if one.kind == "run" and isinstance(one.value, tuple):
                user, command, what, _ = one.value
                runs.setdefault((user, command), {})[what] = one
        if not runs:
            return
        now, zone = _clock(read(_HOST_STATE))
        for path in _crontabs_of(read(_FILE_STATES), {user for user, _ in runs}):
            content = read(path)
            if content is None or b"\0" in content[:65536] or not any(place.fullmatch(path) for place, _, _ in _PLACES):
                continue
            for ref, entry in _File(Document(path, content)).jobs():
                # The log has what stands after a `%` too.
                whole = f"{entry.command}%{entry.stdin}".replace("\n", "%") if entry.stdin else entry.command
                found = runs.get((entry.user, _as_logged(whole)), {})
                known: dict[str, Attribute] = {}
                for what, key in (("CMD", "last_run"), ("CMDEND", "last_end")):
                    if what in found and (moment := _moment(str(found[what].value[3]), now, zone)):  # type: ignore[index]
                        known[key] = moment
                if "last_run" in known:
                    known["runs_known"] = True
                    first = next(iter(found.values()))
                    yield Entity(ref, Where(first.where.line, first.where.excerpt, first.path), known)


def _decided(fragments: Sequence[Fragment], read: Read) -> Iterator[Entity]:
    """Jobs that the crons of different systems do not take alike, by the cron that this host has, if it says so."""
    cron = _FAMILIES.get(family_of(read)) if fragments else None
    if cron is None or (cron == "debian" and any(read(unit) is not None for unit in _CRONIE_UNITS)):
        return
    for one in fragments:
        if not isinstance(one.value, tuple):
            continue
        ref, verdicts = one.value
        reason = dict(verdicts).get(cron, "")
        if reason and cron == "debian" and _may_have_lsb_name(one.path, read):
            continue
        known: dict[str, Attribute] = {"read_by": cron, **({"ignored": reason} if reason else {})}
        yield Entity(ref, Where(one.where.line, one.where.excerpt, one.path), known)


def _may_have_lsb_name(path: str, read: Read) -> bool:
    """Whether Debian's cron takes a file of such a name in /etc/cron.d with its option -l, and may have that."""
    name = path.rpartition("/")[2]
    if not path.startswith("/etc/cron.d/") or "." not in name or not is_lsb_name(name):
        return False
    defaults = read("/etc/default/cron")
    return defaults is None or _LSB_NAMES.search(decode(defaults)) is not None


def _log(document: Document) -> Iterator[Fragment]:
    """Lines of cron's log: `… CRON[123]: (root) CMD (/opt/renew.sh)`, after a time in one of three forms."""
    for number, line in enumerate(decode(document.content).split("\n")[:MAX_ENTRIES], 1):
        found = _LOGGED.search(line[:MAX_LINE])
        if found is not None:
            # Debian's cron pads what it logs with blanks.
            value = (found["user"], _as_logged(found["command"]), found["what"], found["time"])
            yield Fragment("run", value, Where(number, excerpt(line)))


def _as_logged(command: str) -> str:
    return " ".join(command.split())


def _clock(content: bytes | None) -> tuple[datetime | None, timezone]:
    """The host's time when it was captured, and its offset from UTC: a line of syslog has neither year nor zone."""
    text = decode(content or b"")
    time, zone = re.search(r"^time=(\S+)$", text, re.M), re.search(r"^zone=([+-])(\d\d)(\d\d)$", text, re.M)
    offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) if zone else timedelta()
    return parse_time(time[1]) if time else None, timezone(-offset if zone and zone[1] == "-" else offset)


def _crontabs_of(states: bytes | None, users: Iterable[str]) -> list[str]:
    """Where crontabs of a captured host may be: its system's, those that were listed, and those of these users."""
    listed = [line.rsplit(" ", 1)[-1] for line in decode(states or b"").split("\n")[:MAX_ENTRIES]]
    found = ["/etc/crontab", *(path for path in listed if path.startswith(("/etc/cron.d/", "/var/spool/cron/")))]
    for user in sorted(users):
        if _USER.fullmatch(user):
            found += [f"{place}/{user}" for place in _SPOOLS]
    return list(dict.fromkeys(found))


def _moment(written: str, now: datetime | None, zone: timezone) -> str:
    """A time of a log in UTC; empty if it can't be told. Without a year it is the last such day before `now`."""
    if written[:1].isdecimal():
        moment = parse_time(written)
        return moment.isoformat() if moment is not None else ""
    if now is None:
        return ""
    for year in (now.year, now.year - 1):
        try:
            moment = datetime.strptime(f"{year} {written}", "%Y %b %d %H:%M:%S").replace(tzinfo=zone)
        except ValueError:
            continue
        if moment <= now + timedelta(days=1):
            return moment.astimezone(UTC).isoformat()
    return ""


def _looks_like_crontab(head: bytes) -> bool:
    """Whether every line could stand in a crontab, and at least one is a job."""
    lines = decode(head).split("\n")
    if len(head) >= 4096:
        lines.pop()
    if lines and lines[0].startswith("#!"):
        return False
    jobs = 0
    for line in lines:
        text = _TEMPLATE.sub(lambda found: found[0].replace(" ", ""), line.rstrip("\r"))
        if not text.strip() or text.lstrip().startswith("#") or _TEMPLATE_LINE.match(text):
            continue
        if _is_entry(text):
            jobs += 1
        elif not _ENVIRONMENT.fullmatch(text):
            return False
    return jobs > 0


def _is_entry(text: str, wrong: int = 0) -> bool:
    """Whether a line has a schedule's form; words in its place (`a list of some words`) are no schedule.

    `wrong` fields may be words that are no time (`monday`).
    """
    if _ENTRY.fullmatch(text) is None:
        return False
    fields = text.strip().lstrip("-").split(None, 5)
    if fields[0].startswith("@"):
        return fields[0][1:].lower() in _NICKNAMES or _FREEBSD_TIME.fullmatch(fields[0]) is not None
    times = sum(1 for word in fields[:5] if _TIME_WORD.fullmatch(word) or "{{" in word or "<%" in word)
    return times >= 5 - wrong


def _cluster(document: Document) -> Iterator[Parsed]:
    """cronie's `crond -c`: the crontabs of a shared spool run only on the host that this file names."""
    line = decode(document.content[:4096]).split("\n", 1)[0]
    where = Where(1, excerpt(line))
    host = host_ref(line)
    if host is None:
        yield Malformed(where, "this is not a host name", "with `crond -c` no host runs these crontabs", whole=True)
        return
    ref = Ref(Kind.PATH, document.path)
    yield Entity(ref, where, {"cluster_host": host.text})
    yield Dependency(ref, host, Relation.RUNS_ON, where, confidence=Confidence.MEDIUM)


class _File:
    """One crontab, read once."""

    def __init__(self, document: Document) -> None:
        self.path = document.path
        self.in_tree = not document.path.startswith("/")
        self.entries: list[_Entry] = []
        self.problems: list[tuple[int, str, dict[CronDialect, str]]] = []
        self.harmless: list[Malformed] = []
        self.dialect: CronDialect = "vixie"
        self.system = True
        self.user = ""
        self.timezone = ""
        text = decode(document.content)
        self.lines = text.split("\n")
        self.unterminated = bool(self.lines[-1].strip(_SPACE)) and not self.lines[-1].lstrip().startswith("#")
        self._place()
        self._read()

    def _place(self) -> None:
        name = self.path.rpartition("/")[2]
        for place, dialect, system in _PLACES:
            if place.fullmatch(self.path):
                self.dialect, self.system = dialect, system
                self.user = "" if system else name
                return
        if _SYSTEM_PATH.search(self.path):
            return
        if found := _USER_PATH.search(self.path):
            self.system, self.user = False, _TEMPLATE_SUFFIX.sub("", found[1])
            return
        self.system = self._has_users()

    def _has_users(self) -> bool:
        """Whether the sixth field is a user: by its own looks, and by what stands after it."""
        yes = no = 0
        for line in self.lines[:500]:
            text = _TEMPLATE.sub(lambda found: found[0].replace(" ", ""), line)
            if text.lstrip().startswith("#") or not _is_entry(text):
                continue
            words = text.strip().lstrip("-").split()
            rest = words[1:] if words[0].startswith("@") else words[5:]
            if rest[0] == "*":
                rest = rest[1:]
            if (
                len(rest) < 2
                or rest[0] in _COMMANDS
                or not (_USER.fullmatch(rest[0]) or "{{" in rest[0] or "<%" in rest[0])
            ):
                no += 1
            elif (
                rest[0] in _SYSTEM_USERS
                or rest[1] in _COMMANDS
                or rest[1][0] in "/[{(<$~"
                or re.match(r"\w+=|\(", rest[1])
            ):
                yes += 1
            else:
                no += 1
        return yes > no

    def _read(self) -> None:
        environment: dict[str, str] = {}
        lines = self.lines
        at = 0
        while at < len(lines):
            number, line = at + 1, lines[at]
            at += 1
            if self.dialect == "busybox":
                while line.endswith("\\") and at < len(lines):
                    line, at = line[:-1] + lines[at], at + 1
                line = line.partition("#")[0]
            elif number == len(lines) and not line:
                break
            bare = line.strip(" \t\r\f\v")
            if not bare or bare.startswith("#") or (self.in_tree and _TEMPLATE_LINE.match(line)):
                continue
            if len(self.entries) >= MAX_ENTRIES:
                self.harmless.append(
                    Malformed(Where(number), f"more than {MAX_ENTRIES} entries", "the rest was not read")
                )
                break
            if len(line) > MAX_LINE:
                self.harmless.append(
                    Malformed(
                        Where(number, excerpt(line)), f"a line of more than {MAX_LINE} characters", "it was not read"
                    )
                )
                continue
            if self._setting(line, environment):
                continue
            self._entry(number, line, dict(environment))

    def _setting(self, line: str, environment: dict[str, str]) -> bool:
        """Takes `NAME = value` as load_env() of Vixie's cron does. An empty value without quotes is no setting."""
        found = _ENVIRONMENT.fullmatch(line.rstrip("\r"))
        if found is None:
            return False
        name = found[1] or found[2] or found[3] or ""
        value = found[4].strip()
        if value[:1] in ("'", '"') and value:
            if len(value) < 2 or value.find(value[0], 1) != len(value) - 1:
                return False
            value = value[1:-1]
        elif name not in _BUSYBOX_SETTINGS if self.dialect == "busybox" else not value:
            return False
        if name == "CRON_TZ":
            self.timezone = value
        environment[name] = value
        return True

    def _entry(self, number: int, line: str, environment: Mapping[str, str]) -> None:
        attributes: dict[str, Attribute] = {}
        carriage = line.endswith("\r")
        text = line.rstrip("\r").strip(_SPACE)
        if carriage:
            attributes["carriage_return"] = True
        if self.in_tree:
            text = _TEMPLATE.sub(lambda found: re.sub(r"\s+", "", found[0]), text)
        bad: dict[CronDialect, str] = {}
        quiet = text.startswith("-") and self.dialect != "busybox"
        if quiet:
            text = text[1:].lstrip(_SPACE)
            attributes["logged"] = False
            if self.dialect in ("debian", "vixie"):
                bad["debian"] = "bad minute: '-' before an entry is cronie's"
            if not self.system and self.user not in ("", "root") and self.dialect in ("cronie", "vixie"):
                bad["cronie"] = "bad option: only root may turn off logging"
        if text.startswith("@"):
            schedule, rest = _take(text)
        else:
            words, rest = [], text
            for _ in range(5):
                word, rest = _take(rest)
                words.append(word)
            schedule = " ".join(word for word in words if word)
        templated = self.in_tree and ("{{" in schedule or "<%" in schedule)
        if _EMPTY_SETTING.fullmatch(text):
            bad |= dict.fromkeys(self._crons(), "bad minute: an empty value needs quotes")
            rest = ""
        elif not templated:
            self._check(schedule, bad, attributes)
        if self.timezone and self.dialect in ("cronie", "vixie"):
            attributes["timezone"] = self.timezone
        user = self.user
        if rest.startswith("*"):
            # load_entry() takes it for a common mistake, a sixth time field.
            bad |= dict.fromkeys(self._crons(), "bad command: there is a sixth time field")
            rest = _take(rest)[1]
        if self.system:
            user, rest = self._take_user(rest, bad)
        if self.dialect == "freebsd":
            while rest.startswith("-") and _FREEBSD_FLAGS.fullmatch(_take(rest)[0]):
                flag, rest = _take(rest)
                attributes["logged"] = attributes.get("logged", True) and "q" not in flag
                if "n" in flag:
                    attributes["mail_on_failure_only"] = True
        if not rest and not bad:
            if self.dialect in ("debian", "vixie") and not self.system:
                self.harmless.append(Malformed(Where(number, excerpt(line)), "no command", "nothing runs"))
                return
            bad |= dict.fromkeys(self._crons(), "bad command: there is none")
        command, stdin = (rest, "") if self.dialect == "busybox" else _split_percent(rest)
        if stdin:
            # As a part of the whole line: in `-U user%password` the sign tells what the rest is.
            stdin = _split_percent(excerpt(rest))[1]
        if bad:
            self.problems.append((number, line, bad))
        if not rest or (bad and not _is_entry(text, wrong=1)):
            return
        self.entries.append(
            _Entry(number, line, schedule, user, command, stdin, environment, attributes, bad, templated)
        )

    def _crons(self) -> tuple[CronDialect, ...]:
        """Which crons might read this file."""
        return ("debian", "cronie") if self.dialect == "vixie" else (self.dialect,)

    def _check(self, schedule: str, bad: dict[CronDialect, str], attributes: dict[str, Attribute]) -> None:
        """What each cron that might read the file says of a schedule."""
        if schedule == "@reboot":
            attributes["at_boot"] = True
            return
        if self.dialect == "freebsd" and _FREEBSD_TIME.fullmatch(schedule):
            return
        for dialect in self._crons():
            try:
                read = read_cron_schedule(schedule, dialect)
            except ValueError as error:
                bad.setdefault(dialect, str(error))
                continue
            if read.random:
                attributes["random"] = True
            if read.never:
                attributes["never_runs"] = read.never

    def _take_user(self, rest: str, bad: dict[CronDialect, str]) -> tuple[str, str]:
        user, after = _take(rest)
        if self.in_tree and ("{{" in user or "<%" in user):
            return user, after
        if not _USER.fullmatch(user):
            if user:
                for dialect in self._crons():
                    bad.setdefault(
                        dialect, f"bad username: {excerpt(user)!r}; a system crontab has a user before the command"
                    )
            return "", rest
        return re.split(r"[:/]", user, maxsplit=1)[0] if self.dialect == "freebsd" else user, after

    def facts(self) -> Iterator[Parsed]:
        """Malformed places first, then each job with its dependencies."""
        crons = self._crons()
        debian_reason = cronie_reason = ""
        for number, text, bad in self.problems:
            if "debian" in bad:
                debian_reason = debian_reason or f"line {number}: {bad['debian']}"
            reason = "; ".join(dict.fromkeys(bad.values()))
            yield Malformed(Where(number, excerpt(text)), reason, _effect(crons, bad), whole=crons == ("debian",))
        yield from self.harmless
        if self.unterminated and self.dialect != "busybox":
            reason = "missing newline before EOF"
            if "debian" in crons:
                debian_reason = debian_reason or reason
            effect = _effect(crons, dict.fromkeys(crons, reason)).replace("this line", "the last line")
            where = Where(len(self.lines), excerpt(self.lines[-1]))
            yield Malformed(where, reason, effect, whole=crons == ("debian",))
        name = self.path.rpartition("/")[2]
        if not self.in_tree:
            if self.path.startswith("/etc/cron.d/"):
                if not _DEBIAN_NAME.fullmatch(name):
                    debian_reason = f"the file name {excerpt(name)!r} is not of letters, digits, _ and - alone"
                if _CRONIE_SKIPS.fullmatch(name):
                    cronie_reason = f"cronie skips files named {excerpt(name)!r}"
            elif not self.system and name.startswith((".", "tmp.")):
                debian_reason = cronie_reason = f"{excerpt(name)!r} is not a user"
        for ref, entry in self.jobs():
            yield from self._job(entry, ref, debian_reason, cronie_reason)

    def jobs(self) -> Iterator[tuple[Ref, _Entry]]:
        """Each entry with what its job is called."""
        seen: dict[str, int] = {}
        for entry in self.entries:
            yield self._ref(entry, seen), entry

    def _ref(self, entry: _Entry, seen: dict[str, int]) -> Ref:
        command = excerpt(" ".join(entry.command.split()))
        title = f"{self.path}: {entry.user} {command}" if entry.user else f"{self.path}: {command}"
        seen[title] = count = seen.get(title, 0) + 1
        return Ref(Kind.JOB, title if count == 1 else f"{title} #{count}")

    def _job(self, entry: _Entry, ref: Ref, debian_reason: str, cronie_reason: str) -> Iterator[Parsed]:
        command = excerpt(" ".join(entry.command.split()))
        where = Where(entry.line, excerpt(entry.text))
        last = "missing newline before EOF" if self.unterminated and entry.line == len(self.lines) else ""
        verdicts: dict[CronDialect, str] = {
            "debian": debian_reason or entry.bad.get("debian", ""),
            "cronie": cronie_reason or entry.bad.get("cronie", "") or last,
            "freebsd": entry.bad.get("freebsd", "") or last,
            "busybox": entry.bad.get("busybox", ""),
        }
        told = {cron: verdicts[cron] for cron in self._crons() if verdicts[cron]}
        attributes: dict[str, Attribute] = {
            "schedule": entry.schedule,
            "user": entry.user,
            "command": command,
            "dialect": self.dialect,
            **entry.attributes,
        }
        if len(told) == len(self._crons()):
            attributes["ignored"] = next(iter(told.values()))
        else:
            attributes |= {f"ignored_by_{cron}": reason for cron, reason in told.items()}
            if told and not self.in_tree:
                yield Fragment("verdicts", (ref, tuple(told.items())), where)
        if entry.templated:
            attributes["template"] = True
        if entry.stdin:
            attributes["stdin"] = excerpt(entry.stdin)
        for variable in ("MAILTO", "PATH", "SHELL", "RANDOM_DELAY"):
            if variable in entry.environment:
                attributes[variable.lower()] = excerpt(entry.environment[variable])
        if guards := _guards(entry.command):
            attributes["guards"] = guards
        yield Entity(ref, where, attributes)
        yield Dependency(ref, THIS_HOST, Relation.RUNS_ON, where)
        command = _TEMPLATE.sub("${TEMPLATE}", entry.command) if self.in_tree else entry.command
        yield from analyse_command(command, ref, where, environment=entry.environment)


def _effect(crons: tuple[CronDialect, ...], bad: Mapping[CronDialect, str]) -> str:
    """What the crons that might read a file do about a bad line of it."""
    if "debian" not in crons:
        return "cron ignores this line"
    if crons == ("debian",):
        return "Debian's cron ignores the whole file"
    if "debian" not in bad:
        return "cronie ignores this line; Debian's cron takes it"
    return "Debian's cron ignores the whole file" + (", cronie this line" if "cronie" in bad else "; cronie takes it")


def _take(text: str) -> tuple[str, str]:
    """The first word, and what follows it without the blanks between."""
    parts = re.split(r"[ \t]+", text, maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def _split_percent(text: str) -> tuple[str, str]:
    """The command and its standard input: the first `%` without a backslash starts it, later ones are line ends."""
    parts = re.split(r"(?<!\\)%", text)
    parts = [part.replace("\\%", "%") for part in parts]
    return parts[0].rstrip(), "\n".join(parts[1:])


def _guards(command: str) -> tuple[str, ...]:
    """Files whose existence decides whether the rest runs, such as `unless /run/systemd/system exists`."""
    found: dict[str, None] = {}
    for test in _TEST.finditer(command[:2000]):
        for negated, path in _EXISTS.findall(test[1]):
            wanted = bool(negated) == (test[2] == "||")
            found[f"{'if' if wanted else 'unless'} {excerpt(path)} exists"] = None
    return tuple(found)
