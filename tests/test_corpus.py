"""Every collector over real files of every kind: facts or malformed places, in time, and never an exception.

The files are not part of the repository: `AUDITOR_SHARED` names the directory that holds `corpus/`. With `-s` each kind
prints what became of its files.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed
from auditor.registry import load_collectors
from tests.realfiles import CORPUS, MISSING

ROOT = Path(__file__).resolve().parent.parent
KINDS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir()) if CORPUS.is_dir() else []
SECONDS: Final = 2.0
"""Of the processor, for a file at one place, all collectors together."""

# Where a file of a kind would be on a host, or in a snapshot: some collectors know their files by the place alone.
PLACES: Final = {
    "acme.sh": ("/root/.acme.sh/{stem}/{stem}.conf",),
    "alertmanager": ("/etc/alertmanager/alertmanager.yml",),
    "ansible-inventory": ("inventory/{name}", "hosts"),
    "apache": ("/etc/apache2/sites-enabled/{name}.conf",),
    "aws-api-json": ("aws/123456789012/us-east-1/{operation}.json",),
    "certbot-renewal": ("/etc/letsencrypt/renewal/{name}", "/etc/letsencrypt/cli.ini"),
    "certmonger": ("/var/lib/certmonger/requests/{name}",),
    "cron": (
        "/etc/cron.d/{stem}",
        "/var/spool/cron/crontabs/{name}",
        "/etc/crontab",
        "/etc/anacrontab",
        "/etc/cron.daily/{name}",
    ),
    "dehydrated": ("/etc/dehydrated/{name}",),
    "dns-zone": ("/etc/bind/{name}.zone", "dns/{name}.zone", "/etc/hosts"),
    "docker-compose": ("srv/{name}/docker-compose.yml",),
    "github-actions": (".github/workflows/{name}",),
    "github-webhook-json": ("webhooks/github/eventide/{name}",),
    "grafana-alerting": ("/etc/grafana/provisioning/alerting/{name}",),
    "haproxy": ("/etc/haproxy/haproxy.cfg",),
    "icinga2": ("/etc/icinga2/conf.d/{name}", "/var/tmp/icinga2-objects.txt"),
    "infra-trees": (),
    "kubernetes": ("k8s/{name}",),
    "lego": ("/var/lib/lego/certificates/{name}", ".lego.yml"),
    "nagios": ("/etc/nagios4/conf.d/{stem}.cfg",),
    "nginx": ("/etc/nginx/nginx.conf", "/etc/nginx/conf.d/{name}.conf"),
    "prometheus-config": ("/etc/prometheus/prometheus.yml",),
    "prometheus-rules": ("/etc/prometheus/rules/{name}",),
    "renewal-hooks": ("/etc/letsencrypt/renewal-hooks/deploy/{name}", "/usr/local/bin/{name}.sh"),
    "systemd": ("/etc/systemd/system/{name}",),
    "terraform-json": ("terraform/{name}",),
    "windows-task-xml": ("tasks/{stem}.xml",),
    "zabbix": ("zabbix/{name}",),
}
# Content where it does not belong, which a file's name may claim.
EVERYWHERE: Final = (
    "/etc/fstab",
    "/proc/self/mountinfo",
    "/etc/resolv.conf",
    "/root/.ssh/known_hosts",
    "/etc/ssl/certs/{name}.pem",
)
CLAIMED: Final = {"icinga2": 0.05, "github-webhook-json": 0.0, "aws-api-json": 0.4}
"""The part of a kind that a collector reads, where it is not nearly all.

Icinga 2's language is not interpreted; what GitHub delivers is no list of its webhooks; the answers of AWS include many
that name no host.
"""
NEARLY_ALL: Final = 0.8
FOR_ANY: Final = frozenset({"shell", "webhook_urls"})
"""Collectors that take files of any kind."""


@cache
def _sources() -> dict[str, str]:
    """Where each file lay in the repository that it is from."""
    manifest = CORPUS / "MANIFEST.tsv"
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as lines:
        return {row["path"]: row["source_path"] for row in csv.DictReader(lines, delimiter="\t")}


def _files(kind: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((CORPUS / kind).rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            yield path.relative_to(CORPUS).as_posix(), _answer(content) if kind == "aws-api-json" else content


def _answer(content: bytes) -> bytes:
    """The answer of the API in a recording of placebo."""
    try:
        recorded = json.loads(content)
    except ValueError:
        return content
    if isinstance(recorded, dict) and "status_code" in recorded:
        return json.dumps(recorded.get("data"), indent=1).encode()
    return content


def _operations(name: str) -> tuple[str, ...]:
    """`service.Operation` for the names that other tools give to answers of AWS; two for a load balancer."""
    bare = re.sub(r"(_\d+)?\.json$", "", name.rpartition("__")[2])
    if "." not in bare:
        service, _, words = bare.partition("-")
        bare = f"{service}.{''.join(word.capitalize() for word in words.split('-'))}".replace("Db", "DB")
    service, _, operation = bare.partition(".")
    services = {"monitoring": ("cloudwatch",), "elasticloadbalancing": ("elb", "elbv2")}.get(service, (service,))
    return tuple(f"{one}.{operation}" for one in services)


def _places(kind: str, relative: str) -> list[str]:
    """Paths that a file could have: where it was, the name that it has here, and those of its kind."""
    name = PurePosixPath(_sources().get(relative, relative)).name
    found = [relative]
    if kind == "infra-trees":
        found = [relative.split("/", 2)[-1]]
    elif "/" in (source := _sources().get(relative, "")):
        found.append(source)
    for place in PLACES.get(kind, ()):
        for operation in _operations(relative) if "{operation}" in place else ("",):
            found.append(place.format(name=name, stem=name.partition(".")[0], operation=operation))
    return list(dict.fromkeys(found))


def _wrong(collector: Collector, path: str, content: bytes) -> tuple[list[str], int] | None:
    """What is wrong with what a collector makes of a file, and how many of its places are malformed.

    None if the file is not its own.
    """
    if not collector.recognizes(path, content[:4096]):
        return None
    malformed = 0
    lines = content.count(b"\n") + content.count(b"\r") + 1
    wrong = []
    fragments = []
    for item in collector.parse(Document(path, content)):
        assert isinstance(item, Dependency | Entity | Malformed | Fragment)
        if isinstance(item, Fragment):
            fragments.append(item)
        if not 0 <= item.where.line <= lines:
            wrong.append(f"{collector.name}: line {item.where.line} of {lines}: {item}")
        if isinstance(item, Malformed):
            malformed += 1
            if not item.reason:
                wrong.append(f"{collector.name}: no reason: {item}")
            if not item.where.line and not item.whole:
                wrong.append(f"{collector.name}: neither a line nor the whole file: {item}")
    pieces = [Fragment(one.kind, one.value, one.where, "", path) for one in fragments]
    for item in collector.combine(pieces, lambda _: None):
        assert isinstance(item, Dependency | Entity | Malformed)
        malformed += isinstance(item, Malformed)
    return wrong, malformed


@pytest.mark.skipif(not KINDS, reason=MISSING)
@pytest.mark.parametrize("kind", KINDS or ["none"])
def test_all_collectors_over_all_files(kind: str) -> None:
    collectors, failures = load_collectors()
    assert not failures
    problems = []
    count: Counter[str] = Counter()
    slowest = (0.0, "")
    unclaimed = []
    for relative, content in _files(kind):
        count["files"] += 1
        name = PurePosixPath(relative).name
        own = _places(kind, relative)
        places: list[int] = []
        for path in (*own, *(place.format(name=name) for place in EVERYWHERE if kind != "infra-trees")):
            started = time.process_time()
            owners = malformed = 0
            for collector in collectors:
                try:
                    found = _wrong(collector, path, content)
                except Exception as error:  # noqa: BLE001
                    problems.append(f"{relative} as {path}: {collector.name} raised {error!r}")
                    continue
                if found is not None:
                    problems += [f"{relative} as {path}: {one}" for one in found[0]]
                    malformed += found[1]
                    owners += collector.name not in FOR_ANY
            if owners and path in own:
                places.append(malformed)
            slowest = max(slowest, (taken := time.process_time() - started, f"{relative} as {path}"))
            if taken > SECONDS:
                problems.append(f"{relative} as {path}: {taken:.1f} s")
        # What is a mistake in one place is none in another: a crontab of a user has no user.
        count["claimed"] += bool(places)
        count["malformed"] += min(places, default=0) > 0
        if not places:
            unclaimed.append(relative)
    told = [f"{kind}: {dict(count)}; slowest {slowest[0]:.3f} s, {slowest[1]}"]
    told += [f"  scanned for mentions only: {relative}" for relative in unclaimed]
    sys.stdout.write("\n" + "\n".join(told) + "\n")
    assert count["files"], "an empty kind"
    assert not problems, "\n".join(problems[:30])
    assert kind in PLACES, "nobody has said where files of this kind would be"
    assert count["claimed"] >= count["files"] * CLAIMED.get(kind, NEARLY_ALL), unclaimed
