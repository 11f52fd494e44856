"""Which area of the checklist a place on a host belongs to, for what was asked and not found or not allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

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
"""Beginnings of paths, of which the first that fits counts; `/etc/cron` is also that of `/etc/crontab`."""
_PLACE: Final = re.compile(rf"(?:{'|'.join(re.escape(place) for place, _ in _PLACES)})(?=[/.]|\Z)|/etc/cron")
_AREA_AT: Final = dict(_PLACES)

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
    "prometheusrules": Area.MONITORING,
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
    "traefik2": Area.TRAFFIC,
    "serviceentries": Area.TRAFFIC,
    "workloadentries": Area.TRAFFIC,
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


class Part(NamedTuple):
    """One kind of what a machine may need another for, and where it keeps that."""

    what: str
    area: Area
    places: re.Pattern[str]
    """Matches the beginning of a path, or all of it."""
    relation: Relation | None = None
    """A collector that provides this has looked at the part, wherever its file was."""
    readers: bool = False
    """Whether any collector of the area has."""


def _part(what: str, area: Area, *places: str, relation: Relation | None = None, readers: bool = False) -> Part:
    return Part(what, area, re.compile("|".join(f"(?:{place})" for place in places)), relation, readers)


_TASKS: Final = "/Windows/System32/Tasks"
_SCHEDULERS: Final = (
    _part(
        "system crontabs",
        Area.SCHEDULES,
        r"/etc/crontab$",
        r"/etc/cron\.(?!(?:allow|deny)$)",
        r"/usr/local/etc/cron\.d(?:$|/)",
    ),
    _part("user crontabs", Area.SCHEDULES, "/var/spool/cron", "/var/cron", "/etc/crontabs", "/usr/lib/cron"),
    _part(
        "systemd units",
        Area.SCHEDULES,
        r"/etc/systemd(?:$|/(?:system|user)(?:$|/))",
        r"(?:/usr(?:/local)?)?/lib/systemd(?:$|/(?:system|user)(?:$|/))",
        r"/run/systemd(?:$|/(?:system|user|generator|transient)(?:$|[/.]))",
    ),
)
SCHEDULERS: Final = tuple(part.what for part in _SCHEDULERS)
"""What starts programs by time on a machine, each to be looked at by itself."""

PARTS: Final = (
    *_SCHEDULERS,
    _part(
        "certificate renewal",
        Area.RENEWAL,
        r"/etc/(?:letsencrypt|dehydrated|acme|lego|uacme|getssl)(?:$|/)",
        r"/root/\.(?:acme\.sh|lego|getssl)(?:$|/)",
        r"/var/lib/(?:dehydrated|lego|certmonger|caddy)(?:$|/)",
        r"/ProgramData/win-acme(?:$|/)",
        relation=Relation.RENEWED_BY,
    ),
    _part("mounts", Area.STORAGE, r"/proc/(?:self/)?mount", r"/etc/(?:fstab$|auto\.|mtab$)"),
    _part("hosts file", Area.NAMES, r"/etc/hosts$", r"/Windows/System32/drivers/etc/hosts$"),
    _part("resolver", Area.NAMES, r"/etc/resolv\.conf$"),
    _part(
        "web servers and proxies",
        Area.TRAFFIC,
        r"(?:/usr/local)?/etc/(?:nginx|apache|httpd|haproxy|caddy|traefik|keepalived|squid|varnish|envoy)",
        "/usr/local/nginx",
        readers=True,
    ),
    _part(
        "monitoring agents",
        Area.MONITORING,
        r"(?:/usr/local)?/etc/(?:prometheus|alertmanager|nagios|icinga|naemon|zabbix|monit|telegraf|collectd|grafana)",
        r"/etc/(?:default/prometheus|blackbox_exporter|alloy|otelcol|datadog-agent|munin|snmp|check_mk)",
        readers=True,
    ),
    _part(
        "keys and allow-lists",
        Area.IDENTITY,
        r"/etc/(?:ssh(?:$|/)|sudoers|hosts\.(?:allow|deny)$)",
        r"/root/\.ssh",
        r"/home/[^/]+/\.ssh",
        r"/usr/local/etc/sudoers",
        readers=True,
    ),
    _part(
        "logs and mail",
        Area.LOGS,
        r"/etc/(?:rsyslog|syslog|systemd/journal-upload|filebeat|fluent|td-agent|vector|promtail|postfix|exim)",
        readers=True,
    ),
)
"""What a machine is asked for, each part by itself: that one was seen says nothing of the others."""


def without_drive(path: str) -> str:
    """A path of Windows from the root of its system drive: `/C:/Windows` and `/C/Windows` are `/Windows`."""
    return path[path.index("/", 1) :] if path.startswith(("/C:/", "/C/")) else path


def is_windows(path: str) -> bool:
    """Whether a path is one of Windows."""
    return without_drive(path).startswith(("/Windows/", "/ProgramData/"))


def parts_at(path: str) -> frozenset[int]:
    """Which parts of a machine a place belongs to, as indexes of PARTS. The tasks of Windows are all its schedules."""
    path = without_drive(path)
    if path.startswith(_TASKS):
        return frozenset(range(len(_SCHEDULERS)))
    return frozenset(index for index, part in enumerate(PARTS) if part.places.match(path))


def schedulers_of(paths: Iterable[str]) -> frozenset[str]:
    """Which kinds of schedules were looked at, by the paths that were: one kind says nothing of another.

    Windows has one kind only, which stands for all.
    """
    return frozenset(PARTS[index].what for path in paths for index in parts_at(path) if index < len(_SCHEDULERS))


def area_of(path: str) -> Area:
    """The area of a place; COVERAGE if none is known for it."""
    if path.startswith("aws/"):
        from auditor.capture.aws_calls import AREAS

        return AREAS.get(path.rsplit("/", 1)[-1].partition(".")[0], Area.CONFIGURATION)
    if path.startswith("services/"):
        # services/<name>/<what>.json, or a directory <what> with a file for each of its parts.
        return _ANSWERS.get(path.split("/", 3)[2].partition(".")[0] if path.count("/") > 1 else "", Area.CONFIGURATION)
    path = without_drive(path)
    if path.endswith(("/.config/systemd/user", "/.local/share/systemd/user")) or path.startswith("/run/user/"):
        return Area.SCHEDULES
    if "/.ssh/authorized_keys" in path:
        return Area.IDENTITY
    if path.startswith("/home/"):
        return Area.COVERAGE
    found = _PLACE.match(path)
    return _AREA_AT[found[0]] if found is not None else Area.COVERAGE
