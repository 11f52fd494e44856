"""Whatever the bytes, the collectors of infrastructure, pipelines and webhooks yield facts or Malformed; real files."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed
from collectors.infrastructure.ansible_tasks import AnsibleTasksCollector
from collectors.infrastructure.cloudformation import CloudFormationCollector
from collectors.infrastructure.compose import ComposeCollector
from collectors.infrastructure.kubernetes import KubernetesCollector
from collectors.infrastructure.nixos import NixosCollector
from collectors.infrastructure.nomad import NomadCollector
from collectors.infrastructure.puppet import PuppetCollector
from collectors.infrastructure.salt import SaltCollector
from collectors.infrastructure.terraform import TerraformCollector
from collectors.netbox import NetboxCollector
from collectors.schedulers.at_jobs import AtJobsCollector
from collectors.schedulers.fcron import FcronCollector
from collectors.schedulers.github_actions import GithubActionsCollector
from collectors.schedulers.gitlab_ci import GitlabCiCollector
from collectors.schedulers.jenkins import JenkinsCollector
from collectors.schedulers.rundeck import RundeckCollector
from collectors.schedulers.windows_scripts import WindowsScriptsCollector
from collectors.schedulers.windows_tasks import WindowsTasksCollector
from collectors.webhook_urls import WebhookUrlsCollector
from tests.realfiles import CORPUS, MISSING

HERE = Path(__file__).parent

PATHS: dict[type[Collector], tuple[str, ...]] = {
    AnsibleTasksCollector: ("roles/x/tasks/main.yml",),
    AtJobsCollector: ("/var/spool/cron/atjobs/a0000c01c12345", "/var/spool/at/=0000c01c12345"),
    CloudFormationCollector: ("cfn/stack.yaml", "cfn/stack.json"),
    ComposeCollector: ("/srv/compose.yaml", "docker-compose.yml.j2"),
    FcronCollector: ("/var/spool/fcron/root.orig", "files/fcrontab"),
    GithubActionsCollector: (".github/workflows/x.yml",),
    GitlabCiCollector: (".gitlab-ci.yml",),
    JenkinsCollector: ("/var/lib/jenkins/jobs/x/config.xml", "Jenkinsfile"),
    KubernetesCollector: ("k8s/x.yaml", "k8s/x.json", "k8s/x.yml.j2"),
    NetboxCollector: ("netbox/devices.json", "netbox/devices.csv"),
    NixosCollector: ("machines/web.nix",),
    NomadCollector: ("x.nomad", "x.json"),
    PuppetCollector: ("manifests/site.pp", "/etc/puppet/puppet.conf", "hieradata/nodes/a.example.net.yaml"),
    RundeckCollector: ("x.yaml", "x.xml"),
    SaltCollector: ("salt/top.sls", "/etc/salt/roster", "/etc/salt/master", "/etc/salt/minion"),
    TerraformCollector: ("plan.json", "terraform.tfstate", "infra/x.tf", "infra/terraform.tfvars"),
    WebhookUrlsCollector: (".env", "webhooks.txt"),
    WindowsScriptsCollector: ("/C/x.ps1", "scripts/x.bat"),
    WindowsTasksCollector: ("tasks/x.xml", "/Windows/System32/Tasks/x"),
}
CASES = [(collector, path) for collector, paths in PATHS.items() for path in paths]
# Pieces of this project's own cases: random bytes alone would never get past a parser's first question.
PIECES = sorted(
    {
        line
        for folder in ("infrastructure.*", "netbox", "schedulers.*", "webhook_urls")
        for file in HERE.glob(f"{folder}/*.raw")
        for line in file.read_bytes().splitlines(keepends=True)
    }
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=30).map(b"".join)


def everything(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    facts: list[Parsed] = []
    fragments: list[Fragment] = []
    for fact in collector.parse(Document(path, content)):
        facts.append(fact)
        if isinstance(fact, Fragment):
            fragments.append(Fragment(fact.kind, fact.value, fact.where, "host", fact.path or path))
    facts.extend(collector.combine(fragments, lambda _: None))
    return facts


@pytest.mark.parametrize(("collector", "path"), CASES, ids=lambda one: one if isinstance(one, str) else one.name)
@given(content=TEXTS | st.binary(max_size=200))
@example(content=b"")
@example(content=b"[" * 5000)
@example(content=b'"url": "https://hook.example.net/hunter22"\n')
@example(content=b'{"format_version": "1.0", "resource_changes": [1, {"change": 1}, {"change": {"actions": {}}}]}')
@example(
    content=b'{"lineage": "", "version": 4, "resources": [{"mode": "managed", "type": "aws_instance", "instances": 3}]}'
)
@example(content=b"apiVersion: v1\nkind: List\nitems: [1, [], {kind: Pod, metadata: {name: [1]}, apiVersion: v1}]\n")
@example(content=b"on: {schedule: [1, {cron: []}]}\njobs: {a: {steps: [1, {run: [1]}], runs-on: {labels: {}}}}\n")
@example(
    content=b"Resources: {A: {Type: 'AWS::SNS::Topic', Properties: {Subscription: 1}}}\nAWSTemplateFormatVersion: 1\n"
)
@settings(max_examples=60)
def test_any_bytes(collector: type[Collector], path: str, content: bytes) -> None:
    one = collector()
    one.recognizes(path, content[:4096])
    for fact in everything(one, path, content):
        assert isinstance(fact, Entity | Dependency | Malformed | Fragment)
        assert "hunter22" not in str(fact.ref) if isinstance(fact, Entity) else True
        if isinstance(fact, Dependency):
            assert "hunter22" not in fact.provider.text


SLOW = {
    "tasks": (WindowsTasksCollector, "tasks/x.xml", b"<Task " * 100_000),
    "comments": (WindowsTasksCollector, "tasks/x.xml", b"<!-- <Task>" * 60_000),
    "shell": (JenkinsCollector, "Jenkinsfile", b"sh " + b" " * 500_000 + b"sh ''' sh \"\"\" " * 3_000),
    "hooks": (WebhookUrlsCollector, ".env", (b"hook=https://a.example.net/" + b"a-/" * 600 + b"\n") * 1_000),
    "extends": (
        GitlabCiCollector,
        ".gitlab-ci.yml",
        "".join(
            f"j{n}: {{extends: [{', '.join(f'j{m}' for m in range(12) if m != n)}]}}\n" for n in range(12)
        ).encode(),
    ),
    "references": (
        GitlabCiCollector,
        ".gitlab-ci.yml",
        "".join(
            f"j{n}: {{script: [{', '.join([f'!reference [j{(n + 1) % 9}, script]'] * 9)}]}}\n" for n in range(9)
        ).encode(),
    ),
    "insertions": (NixosCollector, "x.nix", b"services = " + b'"${' * 60_000),
    "indented": (NixosCollector, "x.nix", b"services = " + b"''a'${b}$" * 30_000),
    "sets": (NixosCollector, "x.nix", b"{ services = " + b"{ a.b.c = " * 30_000),
    "names": (NixosCollector, "x.nix", b"{ services" + b".a" * 30_000 + b" = { " + b"b = 'x'; " * 15_000),
    "nodes": (PuppetCollector, "site.pp", b"node 'a', " * 100_000),
    "expressions": (
        GithubActionsCollector,
        ".github/workflows/x.yml",
        b"jobs: {a: {steps: [{run: '" + b"${{" * 40_000 + b"'}]}}",
    ),
    "plan": (
        TerraformCollector,
        "plan.json",
        json.dumps(
            {
                "format_version": "1.2",
                "resource_changes": [
                    {
                        "address": f"aws_route53_record.r{n}",
                        "type": "aws_route53_record",
                        "change": {
                            "actions": ["no-op"],
                            "after": {
                                "name": f"r{n}.example.net",
                                "type": "A",
                                "records": [f"10.0.{n >> 8}.{n & 255}"],
                            },
                        },
                    }
                    for n in range(10_000)
                ],
            }
        ).encode(),
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_hostile_text_takes_no_long_time(name: str) -> None:
    collector, path, content = SLOW[name]
    start = time.process_time()
    everything(collector(), path, content)
    assert time.process_time() - start < 5


KINDS: dict[str, Collector] = {
    "docker-compose": ComposeCollector(),
    "github-actions": GithubActionsCollector(),
    "kubernetes": KubernetesCollector(),
    "terraform-json": TerraformCollector(),
    "windows-task-xml": WindowsTasksCollector(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_real_files(kind: str) -> None:
    folder = CORPUS / kind
    if not folder.is_dir():
        pytest.skip(MISSING)
    collector = KINDS[kind]
    read = 0
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        path = file.name.replace("__", "/")
        if not collector.recognizes(path, content[:4096]):
            continue
        read += 1
        start = time.process_time()
        facts = everything(collector, path, content)
        assert time.process_time() - start < 2, file.name
        lines = content.count(b"\n") + 1
        for fact in facts:
            assert 0 <= fact.where.line <= lines, (file.name, fact)
            if isinstance(fact, Malformed):
                assert fact.where.line, (file.name, fact)
                assert "invalid" in file.name, (file.name, fact)
    assert read >= 0.9 * len(list(folder.iterdir()))
