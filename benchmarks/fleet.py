"""A fleet in one directory: makes an estate of N hosts with 30 files each, and times a checklist of it.

Most files are alike on all hosts, some carry the host's own name, as on a real fleet. Everything is made from a seed.
The run is a process of its own: wall-clock seconds and the peak of its memory.

    python benchmarks/fleet.py --hosts 10000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ("logrotate", "sysstat", "e2scrub_all", "mdadm", "popularity-contest")
UNITS = ("app", "metrics", "backup", "logship", "agent", "cleanup")


def files_of(number: int, name: str, rng: random.Random) -> dict[str, str]:
    """The 30 files of a host: 22 alike everywhere, 8 with something of its own."""
    server = f"cache{rng.randrange(1, 40):02d}.fleet.example"
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    files = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{address} {name} {name.split('.')[0]}\n",
        "etc/resolv.conf": "search fleet.example\nnameserver 10.255.0.2\nnameserver 10.255.0.3\n",
        "etc/crontab": "SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n",
        "etc/cron.d/report": f"*/15 * * * * root curl -fsS https://report.fleet.example/in/{name} -o /dev/null\n",
        "etc/cron.d/sync": f"{rng.randrange(60)} 3 * * * backup rsync -a /srv/ {server}::pool/{name}/\n",
        "etc/fstab": "UUID=1 / ext4 errors=remount-ro 0 1\nnas01.fleet.example:/home /home nfs4 defaults,_netdev 0 0\n",
        "proc/self/mountinfo": "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n",
        "etc/app/app.yaml": f"upstream: https://api.fleet.example\nnode: {name}\ncache: {server}:6379\n",
        "etc/rsyslog.d/forward.conf": "*.* @@logs01.fleet.example:6514\n",
        "etc/chrony/chrony.conf": "server ntp01.fleet.example iburst\nserver ntp02.fleet.example iburst\n",
        "etc/prometheus/node.env": f"ARGS=--web.listen-address={name}:9100\n",
    }
    for package in PACKAGES:
        files[f"etc/cron.d/{package}"] = f"25 6 * * * root test -x /usr/sbin/{package} && /usr/sbin/{package} --quiet\n"
    for unit in UNITS:
        files[f"etc/systemd/system/{unit}.service"] = (
            f"[Unit]\nDescription={unit}\n\n[Service]\nExecStart=/usr/local/bin/{unit} --config /etc/{unit}.conf\n"
        )
        files[f"etc/systemd/system/{unit}.timer"] = "[Timer]\nOnCalendar=hourly\nPersistent=true\n"
    files["usr/local/bin/backup"] = (
        "#!/bin/sh\nset -eu\nrsync -a /srv/data/ nas01.fleet.example::backup/\ncurl -fsS https://hooks.fleet.example/done\n"
    )
    return files


def make(root: Path, hosts: int) -> list[str]:
    """Writes the estate; returns the names of ten hosts that are going."""
    rng = random.Random(20260101)
    names = [f"node{number:05d}.fleet.example" for number in range(hosts)]
    for number, name in enumerate(names):
        base = root / "hosts" / name
        for path, text in files_of(number, name, rng).items():
            target = base / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    zone = [
        "$ORIGIN fleet.example.",
        "$TTL 300",
        "@ IN SOA ns1 root 1 3600 600 86400 300",
        "@ IN NS ns1",
        "ns1 IN A 10.255.0.2",
    ]
    zone += [f"nas01 IN A 10.254.0.1\ncache{number:02d} IN A 10.254.1.{number}" for number in range(1, 40)]
    zone += [
        f"{name.split('.')[0]} IN A 10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        for number, name in enumerate(names)
    ]
    (root / "dns").mkdir()
    (root / "dns/fleet.example.zone").write_text("\n".join(zone) + "\n")
    going = ["cache07.fleet.example", "nas01.fleet.example", *names[:8]]
    (root / "inventory.yaml").write_text(
        "version: 1\ndomains: [fleet.example]\nhosts:\n"
        + "".join(f"  - name: {name}\n    lifecycle: retired\n" for name in going)
    )
    return going


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the estate here and leave it")
    parser.add_argument("--auditor", default=f"{sys.executable} -m auditor.cli.main")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        if not (root / "inventory.yaml").exists():
            root.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            make(root, arguments.hosts)
            print(f"made {arguments.hosts} hosts in {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        done = subprocess.run(
            [
                *arguments.auditor.split(),
                "audit",
                "--estate",
                str(root),
                "--now",
                "2026-01-01T00:00:00Z",
                "--format",
                "json",
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
            check=False,
        )
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        report = json.loads(done.stdout)
        counts = report["counts"]
        print(f"exit {done.returncode}, {report['verdict']}, {len(report['findings'])} findings; {counts}")
        print(f"{seconds:.1f} s, {peak:,.0f} MB at the peak, {counts['files'] / seconds:,.0f} files/s")
    finally:
        if arguments.keep is None:
            shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
