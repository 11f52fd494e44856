"""Every collector over real files of every kind: facts or malformed places, in time, and never an exception.

The files are not part of the repository: `AUDITOR_SHARED` names the directory that holds `corpus/`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed
from auditor.registry import load_collectors

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("AUDITOR_SHARED", ROOT.parent / "shared")) / "corpus"
KINDS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir()) if CORPUS.is_dir() else []
SECONDS = 2.0
"""A file, all collectors together."""

# Where a file of a kind would be on a host: some collectors know their files by the place alone.
PLACES = {
    "cron": (
        "/etc/cron.d/{name}",
        "/var/spool/cron/crontabs/{name}",
        "/etc/crontab",
        "/etc/anacrontab",
        "/etc/cron.daily/{name}",
    ),
    "systemd": ("/etc/systemd/system/{name}",),
    "certbot-renewal": ("/etc/letsencrypt/renewal/{name}",),
    "renewal-hooks": ("/etc/letsencrypt/renewal-hooks/deploy/{name}", "/usr/local/bin/{name}.sh"),
    "dns-zone": ("/etc/bind/{name}.zone", "dns/{name}.zone", "/etc/hosts"),
    "prometheus-config": ("/etc/prometheus/prometheus.yml",),
    "prometheus-rules": ("/etc/prometheus/rules/{name}",),
    "alertmanager": ("/etc/alertmanager/alertmanager.yml",),
    "ansible-inventory": ("inventory/{name}", "hosts"),
    "github-webhook-json": ("webhooks/{name}",),
}
# Content where it does not belong, which a file's name may claim.
EVERYWHERE = (
    "/etc/fstab",
    "/proc/self/mountinfo",
    "/etc/resolv.conf",
    "/root/.ssh/known_hosts",
    "/etc/ssl/certs/{name}.pem",
)


def _files(kind: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((CORPUS / kind).rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(CORPUS).as_posix(), path.read_bytes()


def _wrong(collector: Collector, path: str, content: bytes) -> list[str] | None:
    """What is wrong with what a collector makes of a file; None if the file is not its own."""
    if not collector.recognizes(path, content[:4096]):
        return None
    lines = content.count(b"\n") + content.count(b"\r") + 1
    wrong = []
    fragments = []
    for item in collector.parse(Document(path, content)):
        assert isinstance(item, Dependency | Entity | Malformed | Fragment)
        if isinstance(item, Fragment):
            fragments.append(item)
        if not 0 <= item.where.line <= lines:
            wrong.append(f"{collector.name}: line {item.where.line} of {lines}: {item}")
        if isinstance(item, Malformed) and not item.reason:
            wrong.append(f"{collector.name}: no reason: {item}")
    pieces = [Fragment(one.kind, one.value, one.where, "", path) for one in fragments]
    for item in collector.combine(pieces, lambda _: None):
        assert isinstance(item, Dependency | Entity | Malformed)
    return wrong


@pytest.mark.skipif(not KINDS, reason="there is no corpus (AUDITOR_SHARED)")
@pytest.mark.parametrize("kind", KINDS or ["none"])
def test_all_collectors_over_all_files(kind: str) -> None:
    collectors, failures = load_collectors()
    assert not failures
    problems = []
    count = claimed = 0
    for relative, content in _files(kind):
        name = PurePosixPath(relative).name
        for path in (relative, *(place.format(name=name) for place in (*PLACES.get(kind, ()), *EVERYWHERE))):
            started = time.perf_counter()
            for collector in collectors:
                try:
                    wrong = _wrong(collector, path, content)
                    problems += [f"{relative} as {path}: {one}" for one in wrong or ()]
                    claimed += wrong is not None and path not in EVERYWHERE
                except Exception as error:  # noqa: BLE001
                    problems.append(f"{relative} as {path}: {collector.name} raised {error!r}")
            if (taken := time.perf_counter() - started) > SECONDS:
                problems.append(f"{relative} as {path}: {taken:.1f} s")
        count += 1
    assert count, "an empty kind"
    assert claimed or kind not in PLACES, "no collector knows any of these files"
    assert not problems, "\n".join(problems[:30])
