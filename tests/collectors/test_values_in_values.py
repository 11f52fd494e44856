"""Values that a file puts into others, and each of many with each of many: hostile ones end small and soon."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from auditor.api import Collector, Document, Fragment, Parsed
from collectors.infrastructure.kubernetes import KubernetesCollector
from collectors.infrastructure.nixos import NixosCollector
from collectors.schedulers.windows_scripts import WindowsScriptsCollector
from collectors.services.common import libpq_hosts
from collectors.shell import ShellCollector
from collectors.syslog import SyslogCollector
from collectors.traffic.haproxy import HaproxyCollector

_POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
_ROUTE = "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: a}\nspec:\n  routes:\n"
_HOSTS = " || ".join(f"Host(`a{number}.example.net`)" for number in range(500))
_SERVICES = ", ".join(f"{{name: s{number}}}" for number in range(500))

GROWING: dict[str, tuple[type[Collector], str, str]] = {
    "variables of cmd.exe": (WindowsScriptsCollector, "/Windows/a.bat", "set a=0123456789\n" + "set a=%a%%a%\n" * 24),
    "setenv of HAProxy": (
        HaproxyCollector,
        "/etc/haproxy/haproxy.cfg",
        "global\n setenv A 0123456789\n" + ' setenv A "$A$A"\n' * 24,
    ),
    "variables of a container": (
        KubernetesCollector,
        "a.yaml",
        f'{_POD}  - env: [{{name: A, value: "{"x/" * 25_000}"}}]\n    command: ["/bin/a", "{"$(A)" * 5_000}"]\n',
    ),
    "global variables of syslog-ng": (
        SyslogCollector,
        "/etc/syslog-ng/syslog-ng.conf",
        f'@version: 4.0\n@define a "{"x" * 500}"\n' + "`a`" * 200_000,
    ),
    "names of Nix": (
        NixosCollector,
        "a.nix",
        f'let a = "{"x" * 20_000}"; in {{ services.a.b.url = "{"${a}" * 10_000}"; }}',
    ),
    "paths of Nix": (NixosCollector, "a.nix", "services=" + ("{" + ".".join("a" * 50) + "=") * 100 + '{x="";' * 10_000),
    "hosts and services of Traefik": (
        KubernetesCollector,
        "a.yaml",
        f'{_ROUTE}  - {{match: "{_HOSTS}", services: [{_SERVICES}]}}\n',
    ),
}


def everything(collector: Collector, path: str, text: str) -> list[Parsed]:
    """What `parse` and `combine` make of a file."""
    found = list(collector.parse(Document(path, text.encode())))
    fragments = [Fragment(one.kind, one.value, one.where, "host", path) for one in found if isinstance(one, Fragment)]
    return found + list(collector.combine(fragments, lambda _: None))


@pytest.mark.parametrize("name", GROWING)
def test_what_is_filled_in_stays_small(name: str) -> None:
    collector, path, text = GROWING[name]
    tracemalloc.start()
    try:
        facts = everything(collector(), path, text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50_000_000
    assert len(facts) < 10_000


@pytest.mark.parametrize(
    "command",
    [
        f'lftp -c "open -a {"," * 100_000}" b.example.net',
        f"rclone copy {'--sftp-host ' * 40_000}",
    ],
    ids=["options", "hosts"],
)
def test_long_commands_take_linear_time(command: str) -> None:
    started = time.process_time()
    everything(ShellCollector(), "/usr/local/bin/a.sh", f"#!/bin/sh\n{command}\n")
    assert time.process_time() - started < 5


def test_a_connection_string_of_one_word_takes_linear_time() -> None:
    started = time.process_time()
    assert not list(libpq_hosts("9" * 100_000))
    assert time.process_time() - started < 5
