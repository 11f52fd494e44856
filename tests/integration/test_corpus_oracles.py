"""All real files of a kind against the program that reads them: systemd, cron and run-parts, Prometheus, amtool.

The files are not part of the repository: `AUDITOR_SHARED` names the directory that holds `corpus/` and `replays/`.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from auditor.api import Document, Entity, Fragment, Malformed
from auditor.schedule import last_elapse, next_run
from collectors.crontab import CrontabCollector
from collectors.prometheus import PrometheusCollector
from collectors.prometheus.alertmanager import Route, Routing, holds, receivers_of
from collectors.prometheus.config import Config, final_targets
from collectors.prometheus.promql import Matcher, Selector, read_expression
from collectors.prometheus.rules import RuleFile
from collectors.run_parts import runs
from tests.integration.programs import PATIENCE, free_port, listens, need, running, settled
from tests.realfiles import CORPUS, MISSING, SHARED

pytestmark = pytest.mark.integration

Found = TypeVar("Found")

NOW = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)


def files_of(kind: str) -> list[Path]:
    """The real files of a kind; skips if there are none here."""
    found = sorted(path for path in (CORPUS / kind).rglob("*") if path.is_file())
    if not found:
        pytest.skip(MISSING)
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=environment, timeout=PATIENCE
    )


def calendars() -> set[str]:
    """What stands after `OnCalendar=` in all real timers, without what a template fills in."""
    found = set()
    timers = [path for tree in ("corpus", "replays") for path in (SHARED / tree).rglob("*.timer*")]
    for path in timers:
        for line in path.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "OnCalendar" and value.strip() and "{" not in value:
                found.add(value.strip())
    return found


def elapses(told: str) -> list[datetime]:
    """The times that `systemd-analyze calendar` tells."""
    found = []
    for line in told.splitlines():
        label, _, value = line.strip().partition(": ")
        if label.startswith(("Next elapse", "Iter")) and value.strip() not in ("never", ""):
            stamp = value.split()
            found.append(datetime.strptime(f"{stamp[1]} {stamp[2]}"[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    return found


def test_calendars_of_real_timers_elapse_as_systemd_says() -> None:
    analyze = need("systemd-analyze")
    expressions = calendars()
    if not expressions:
        pytest.skip(MISSING)
    for expression in sorted(expressions):
        told = run(analyze, "calendar", "--iterations=3", f"--base-time=@{int(NOW.timestamp())}", "--", expression)
        if told.returncode:
            with pytest.raises(ValueError, match=r"."):
                last_elapse(expression)
            continue
        now, found = NOW, []
        wanted = elapses(told.stdout)
        while len(found) < len(wanted) and (after := next_run(expression, "oncalendar", now)) is not None:
            found.append(after)
            now = after
        assert found == wanted, expression
    assert len(expressions) >= 10


def test_real_crontabs_are_taken_and_refused_as_by_debian(tmp_path: Path) -> None:
    """`crontab -n` tells whether cron would take a file as a user's: a user's name is then part of the command."""
    crontab = need("crontab")
    if "-n" not in run(crontab, "-h").stderr:
        pytest.skip("this crontab can't check a file without installing it (-n)")
    taken = refused = 0
    for path in files_of("cron"):
        content = path.read_bytes()
        (tmp_path / "crontab").write_bytes(content)
        told = run(crontab, "-n", str(tmp_path / "crontab"))
        accepted = "successfully checked" in told.stdout + told.stderr
        assert accepted or told.returncode, path.name
        facts = list(CrontabCollector().parse(Document("/var/spool/cron/crontabs/root", content)))
        ignored = any(isinstance(fact, Malformed) and fact.whole for fact in facts)
        assert ignored != accepted, (path.name, told.stderr)
        jobs = [fact for fact in facts if isinstance(fact, Entity) and "schedule" in fact.attributes]
        assert all(("ignored" in job.attributes) != accepted for job in jobs), path.name
        taken += accepted
        refused += not accepted
    assert taken >= 10
    assert refused >= 1


@pytest.mark.parametrize("flavour", ["debian", "lsbsysinit", "busybox"])
def test_names_of_real_files_are_run_as_by_run_parts(flavour: str, tmp_path: Path) -> None:
    command = [need("busybox"), "run-parts"] if flavour == "busybox" else [need("run-parts")]
    if flavour == "lsbsysinit":
        command.append("--lsbsysinit")
    files_of("cron")
    with (CORPUS / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        names = {
            Path(row["source_path"]).name for row in csv.DictReader(lines, delimiter="\t") if row["kind"] != "kind"
        }
    names = {name for name in names if name.isprintable() and "/" not in name}
    assert len(names) >= 300
    for name in names:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    told = {Path(line).name for line in run(*command, "--test", str(tmp_path)).stdout.splitlines()}
    if flavour == "lsbsysinit":
        # Debian 13's takes more names with underscores than Debian 12's.
        told = {name for name in told if runs(name, flavour) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)}
    assert {name for name in names if runs(name, flavour)} == told


STATIC = ("job_name", "static_configs", "relabel_configs", "metrics_path", "scheme", "params", "honor_labels")


def discovered(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Targets with the labels that a job's relabelling asks for, as a service discovery would give them."""
    steps = [step for step in job.get("relabel_configs") or () if isinstance(step, dict)]
    asked = sorted({name for step in steps for name in step.get("source_labels") or () if name.startswith("__meta_")})
    values = ["true", "made-01.eventide.net:8443", "https", "a-1;b", "Running", ""]
    return [
        {"targets": [f"made-{turn}.eventide.net:9100"], "labels": {name: values[(turn + at) % 6] for at, name in named}}
        for named in [list(enumerate(asked))]
        for turn in range(6)
    ] + [{"targets": ["10.20.4.17:80"], "labels": dict.fromkeys(asked, "true")}]


def static_jobs(promtool: str, directory: Path) -> Iterator[dict[str, Any]]:
    """The jobs of all real configurations that this Prometheus takes, with made targets where they are discovered."""
    probe = directory / "probe.yml"
    for number, path in enumerate(files_of("prometheus-config")):
        try:
            roots = list(yaml.safe_load_all(path.read_bytes()))
        except yaml.YAMLError:
            continue
        for root in roots:
            jobs = root.get("scrape_configs") if isinstance(root, dict) else None
            for job in jobs if isinstance(jobs, list) else ():
                if not isinstance(job, dict) or not (job.get("static_configs") or job.get("relabel_configs")):
                    continue
                kept = {"static_configs": discovered(job)} | {key: job[key] for key in STATIC if key in job}
                # Nothing is asked: what would be a server's name in the file is one somewhere.
                kept |= {"job_name": f"{number} {job.get('job_name')}", "proxy_url": "http://127.0.0.1:9"}
                probe.write_text(yaml.safe_dump({"scrape_configs": [kept]}))
                if run(promtool, "check", "config", "--syntax-only", str(probe)).returncode == 0:
                    yield kept


def served(prometheus: str, directory: Path, path: str, read: Callable[[Any], Found], wanted: Found) -> Found:
    """What is read of a running Prometheus with `prometheus.yml` of a directory, at a path of its API.

    It has its targets and rules some time after it takes connections: it is asked until it has what is wanted.
    """
    port = free_port()

    def ask() -> Found | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=PATIENCE) as answer:
                return read(json.load(answer)["data"])
        except OSError:
            return None

    command = [
        prometheus,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, directory / "log", lambda: listens(port)):
        found = settled(ask, lambda one: one == wanted)
    assert found is not None, "Prometheus did not answer"
    return found


def test_targets_are_those_of_a_running_server(tmp_path: Path) -> None:
    prometheus, promtool = need("prometheus"), need("promtool")
    jobs = list(static_jobs(promtool, tmp_path))
    text = yaml.safe_dump({"global": {"scrape_interval": "1d"}, "scrape_configs": jobs})
    (tmp_path / "prometheus.yml").write_text(text)
    ours = set()
    for fragment in PrometheusCollector().parse(Document("/etc/prometheus/prometheus.yml", text.encode())):
        assert not isinstance(fragment, Malformed), fragment
        if not isinstance(fragment, Fragment) or not isinstance(fragment.value, Config):
            continue
        for job in fragment.value.jobs:
            for target in final_targets(job, job.groups, ""):
                assert not isinstance(target, Malformed)
                address, labels = target.address, dict(target.labels)
                if target.portless:
                    # Prometheus 2 adds the default port to an address without one, and names the instance after it.
                    address += ":443" if job.scheme == "https" else ":80"
                    labels["instance"] = labels["instance"].replace(target.address, address)
                ours.add((address, target.metrics_path, target.probe, tuple(sorted(labels.items()))))

    # Two targets that are alike after relabelling are one.
    def targets(answer: Any) -> set[tuple[str, str, str, tuple[tuple[str, str], ...]]]:
        found = set()
        for item in answer["activeTargets"]:
            # `urlsplit` refuses a host such as `[]`, which a relabelling made of nothing.
            host, path, query = re.findall(r"^\w+://([^/?]*)([^?]*)\??(.*)", item["scrapeUrl"])[0]
            probe = urllib.parse.parse_qs(query).get("target", [""])[0]
            found.add((host, path, probe, tuple(sorted(item["labels"].items()))))
        return found

    theirs = served(prometheus, tmp_path, "targets?state=active", targets, ours)
    assert ours == theirs
    assert len(theirs) >= 30
    assert len(jobs) >= 15


def selectors(expression: str) -> frozenset[tuple[str, frozenset[Matcher]]]:
    return as_set(read_expression(expression).selectors)


def as_set(found: tuple[Selector, ...]) -> frozenset[tuple[str, frozenset[Matcher]]]:
    return frozenset((one.metric, frozenset(one.matchers)) for one in found)


def test_rules_are_those_of_a_running_server(tmp_path: Path) -> None:
    """Names, labels and the series that each rule asks for; Prometheus writes an expression in its own way."""
    prometheus, promtool = need("prometheus"), need("promtool")
    taken = {}
    for number, path in enumerate(files_of("prometheus-rules")):
        # Prometheus 2 takes the name of a YAML alias in a rule for its value.
        if b": *" not in path.read_bytes() and run(promtool, "check", "rules", str(path)).returncode == 0:
            taken[f"{number}.yml"] = path.read_bytes()
    for name, content in taken.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump({"global": {"evaluation_interval": "1d"}, "rule_files": [*taken]})
    )
    ours: Counter[tuple[object, ...]] = Counter(
        (
            name,
            "alerting" if rule.alert else "recording",
            rule.name or rule.record,
            frozenset(rule.labels),
            as_set(rule.selectors),
        )
        for name, content in taken.items()
        for fragment in PrometheusCollector().parse(Document(f"/etc/prometheus/{name}", content))
        if isinstance(fragment, Fragment) and isinstance(fragment.value, RuleFile)
        for rule in fragment.value.rules
    )

    def rules(answer: Any) -> Counter[tuple[object, ...]]:
        return Counter(
            (
                Path(group["file"]).name,
                rule["type"],
                rule["name"],
                frozenset((key, value) for key, value in rule.get("labels", {}).items() if "{{" not in value),
                selectors(rule["query"]),
            )
            for group in answer["groups"]
            for rule in group["rules"]
        )

    theirs = served(prometheus, tmp_path, "rules", rules, ours)
    assert ours == theirs
    assert sum(theirs.values()) >= 100


def label_sets(root: Route) -> Iterator[dict[str, str]]:
    """Labels that meet, and nearly meet, the conditions of each route with those above it."""
    yield {}
    above: list[tuple[Route, dict[str, str]]] = [(root, {})]
    while above:
        route, given = above.pop()
        words = {}
        for name, operator, value in route.matchers:
            plain = re.sub(r"^\^|\$$", "", value)
            # The first branch of a simple pattern.
            plain = re.sub(r"[()]|\.[*+]", "", plain).split("|")[0]
            words[name] = plain if operator in ("=", "=~") else f"not-{plain}"
        whole = given | words
        for name in words:
            yield {key: value for key, value in whole.items() if key != name}
            yield whole | {name: words[name] + "x"}
            yield {name: words[name]}
        yield whole
        above += [(below, whole) for below in route.routes]


def test_real_routes_lead_where_amtool_says(tmp_path: Path) -> None:
    amtool = need("amtool")
    files = compared = 0
    for path in files_of("alertmanager"):
        shutil.copy(path, tmp_path / "alertmanager.yml")
        config = f"--config.file={tmp_path / 'alertmanager.yml'}"
        if run(amtool, "config", "routes", "show", config).returncode:
            continue
        (routing,) = (
            item.value
            for item in PrometheusCollector().parse(Document("/etc/alertmanager/alertmanager.yml", path.read_bytes()))
            if isinstance(item, Fragment) and isinstance(item.value, Routing)
        )
        files += 1
        sets = {tuple(sorted(labels.items())) for labels in label_sets(routing.root)}
        for labels in map(dict, itertools.islice(sorted(sets), 60)):

            def decide(matcher: Matcher, labels: dict[str, str] = labels) -> bool:
                return holds(matcher[1], matcher[2], labels.get(matcher[0], ""))

            ours = [route.receiver for route in receivers_of(routing.root, decide)[0]]
            told = run(amtool, "config", "routes", "test", config, *(f"{key}={value}" for key, value in labels.items()))
            assert not told.returncode, told.stderr
            assert ours == told.stdout.strip().split(","), (path.name, labels)
            compared += 1
    assert files >= 4
    assert compared >= 20
