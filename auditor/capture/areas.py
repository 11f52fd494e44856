"""Which area of the checklist a place on a host belongs to, for what was asked and not found or not allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from auditor.capture.aws_calls import AREAS
from auditor.model import Area, Relation

_PLACES: Final = (
    ("/etc/systemd/journal-upload", Area.LOGS),
    ("/etc/cron", Area.SCHEDULES),
    ("/etc/anacrontab", Area.SCHEDULES),
    ("/var/spool/cron", Area.SCHEDULES),
    ("/var/spool/anacron", Area.SCHEDULES),
    ("/var/cron", Area.SCHEDULES),
    ("/etc/systemd", Area.SCHEDULES),
    ("/usr/lib/systemd", Area.SCHEDULES),
    ("/lib/systemd", Area.SCHEDULES),
    ("/run/systemd", Area.SCHEDULES),
    ("/etc/letsencrypt", Area.RENEWAL),
    ("/etc/dehydrated", Area.RENEWAL),
    ("/var/lib/certmonger", Area.RENEWAL),
    ("/root/.acme.sh", Area.RENEWAL),
    ("/etc/ssl", Area.RENEWAL),
    ("/etc/pki", Area.RENEWAL),
    ("/proc/self/mountinfo", Area.STORAGE),
    ("/etc/fstab", Area.STORAGE),
    ("/etc/prometheus", Area.MONITORING),
    ("/etc/alertmanager", Area.MONITORING),
    ("/etc/nagios", Area.MONITORING),
    ("/etc/icinga", Area.MONITORING),
    ("/etc/hosts.allow", Area.IDENTITY),
    ("/etc/ssh", Area.IDENTITY),
    ("/etc/sudoers", Area.IDENTITY),
    ("/usr/local/etc/sudoers", Area.IDENTITY),
    ("/root/.ssh", Area.IDENTITY),
    ("/home", Area.IDENTITY),
    ("/etc/rsyslog", Area.LOGS),
    ("/etc/syslog-ng", Area.LOGS),
    ("/etc/postfix", Area.LOGS),
    ("/etc/exim4", Area.LOGS),
    ("/etc/nginx", Area.TRAFFIC),
    ("/etc/apache2", Area.TRAFFIC),
    ("/etc/httpd", Area.TRAFFIC),
    ("/etc/haproxy", Area.TRAFFIC),
    ("/etc/keepalived", Area.TRAFFIC),
    ("/etc/hosts", Area.NAMES),
    ("/etc/resolv.conf", Area.NAMES),
    ("/Windows/System32/Tasks", Area.SCHEDULES),
    ("/ProgramData/win-acme", Area.RENEWAL),
    ("dns", Area.NAMES),
    ("webhooks", Area.WEBHOOKS),
    ("lookups", Area.NAMES),
    ("tls", Area.RENEWAL),
)

_ANSWERS: Final = {
    "hooks": Area.WEBHOOKS,
    "deliveries": Area.COVERAGE,
    "organizations": Area.WEBHOOKS,
    "repositories": Area.WEBHOOKS,
    "groups": Area.WEBHOOKS,
    "projects": Area.WEBHOOKS,
    "checks": Area.MONITORING,
    "pings": Area.MONITORING,
    "targets": Area.MONITORING,
    "rules": Area.MONITORING,
    "silences": Area.MONITORING,
    "prometheus": Area.MONITORING,
    "alertmanager": Area.MONITORING,
    "server": Area.MONITORING,
    "alert-rules": Area.MONITORING,
    "contact-points": Area.MONITORING,
    "policies": Area.MONITORING,
    "datasources": Area.MONITORING,
    "objects": Area.MONITORING,
    "probes": Area.MONITORING,
    "scrapeconfigs": Area.MONITORING,
    "servicemonitors": Area.MONITORING,
    "podmonitors": Area.MONITORING,
    "alertmanagerconfigs": Area.MONITORING,
    "prometheuses": Area.MONITORING,
    "prometheusagents": Area.MONITORING,
    "gateways": Area.TRAFFIC,
    "httproutes": Area.TRAFFIC,
    "grpcroutes": Area.TRAFFIC,
    "tlsroutes": Area.TRAFFIC,
    "tcproutes": Area.TRAFFIC,
    "udproutes": Area.TRAFFIC,
    "backends": Area.TRAFFIC,
    "ingressroutes": Area.TRAFFIC,
    "ingressroutetcps": Area.TRAFFIC,
    "ingressrouteudps": Area.TRAFFIC,
    "traefikservices": Area.TRAFFIC,
    "middlewares": Area.TRAFFIC,
    "cronjobs": Area.SCHEDULES,
    "jobs": Area.SCHEDULES,
    "issuers": Area.RENEWAL,
    "clusterissuers": Area.RENEWAL,
    "certificates": Area.RENEWAL,
}
"""What is asked of services, by the name of the file or directory that it is kept in."""

RELATIONS_OF: Final[dict[Area, tuple[Relation, ...]]] = {
    Area.SCHEDULES: (Relation.RUNS_ON, Relation.CALLS),
    Area.RENEWAL: (Relation.RENEWED_BY, Relation.DEPLOYED_BY, Relation.VALIDATED_THROUGH, Relation.STORED_AT),
    Area.STORAGE: (Relation.MOUNTS,),
    Area.MONITORING: (Relation.WATCHES, Relation.NOTIFIES, Relation.SILENCES),
    Area.NAMES: (Relation.RESOLVES, Relation.RECORDS),
    Area.WEBHOOKS: (Relation.DELIVERS,),
    Area.CONFIGURATION: (Relation.MEMBER, Relation.SELECTS),
    Area.MENTIONS: (Relation.MENTIONS,),
}
"""What a statement that there is nothing of an area speaks of."""

AREA_OF: Final[dict[Relation, Area]] = {
    relation: area for area, relations in RELATIONS_OF.items() for relation in relations
}
"""Where a relation must have been looked for: that a resolver runs on a host says nothing of the host's jobs."""

ON_THE_HOST: Final = frozenset({Relation.RUNS_ON, Relation.RENEWED_BY, Relation.MOUNTS})
"""Relations that must have been looked at on the going host itself; others anywhere in the estate."""

ESTATE_WIDE: Final = frozenset({Area.MONITORING, Area.NAMES, Area.WEBHOOKS})
"""Areas that are kept on a few machines for all: that one host has none of it says nothing of the estate."""

_SCHEDULERS: Final = (
    ("system crontabs", ("/etc/crontab", "/etc/cron.")),
    ("user crontabs", ("/var/spool/cron", "/var/cron", "/etc/crontabs", "/usr/lib/cron")),
    ("systemd units", ("/etc/systemd", "/usr/lib/systemd", "/lib/systemd", "/run/systemd")),
)


def without_drive(path: str) -> str:
    """A path of Windows from the root of its system drive: `/C:/Windows` and `/C/Windows` are `/Windows`."""
    return path[path.index("/", 1) :] if path.startswith(("/C:/", "/C/")) else path


def schedulers_of(paths: Iterable[str]) -> frozenset[str]:
    """Which kinds of schedules were looked at, by the paths that were: one kind says nothing of another.

    Windows has one kind only, which stands for all.
    """
    found: set[str] = set()
    for path in paths:
        if without_drive(path).startswith("/Windows/System32/Tasks"):
            return frozenset(SCHEDULERS)
        for name, places in _SCHEDULERS:
            if path.startswith(places):
                found.add(name)
    return frozenset(found)


SCHEDULERS: Final = tuple(name for name, _ in _SCHEDULERS)
"""What starts programs by time on a machine, each to be looked at by itself."""


def area_of(path: str) -> Area:
    """The area of a place; COVERAGE if none is known for it."""
    if path.startswith("aws/"):
        return AREAS.get(path.rsplit("/", 1)[-1].partition(".")[0], Area.CONFIGURATION)
    if path.startswith("services/"):
        # services/<name>/<what>.json, or a directory <what> with a file for each of its parts.
        return _ANSWERS.get(path.split("/", 3)[2].partition(".")[0] if path.count("/") > 1 else "", Area.CONFIGURATION)
    path = without_drive(path)
    if path.startswith("/home/") and "/.ssh" not in path:
        return Area.COVERAGE
    for prefix, area in _PLACES:
        if (
            path == prefix
            or path.startswith((prefix + "/", prefix + "."))
            or (prefix == "/etc/cron" and path.startswith(prefix))
        ):
            return area
    return Area.COVERAGE
