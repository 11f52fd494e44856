"""A fleet in one directory: makes an estate of N hosts with 30 files each, and times a checklist of it.

Most files are alike on all hosts, some carry the host's own name, as on a real fleet. Everything is made from a seed.
Each run is a process of its own: seconds by the clock and of the CPU, and the peak of its memory.

    python benchmarks/fleet.py --hosts 10000
    python benchmarks/fleet.py --hosts 10000 --packed
    python benchmarks/fleet.py --hosts 22000 --servers 100 --packed

With `--packed` the estate is packed and asked about one host after another: without a cache, with one that is filled
thereby, and from it; then it is only loaded from the cache, and searched. `--servers` gives each host a proxy with so
many back ends, for more dependencies.
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


def files_of(number: int, name: str, rng: random.Random, servers: int) -> dict[str, str]:
    """The 30 files of a host: 22 alike everywhere, 8 with something of its own; and a proxy, if it has servers."""
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
    if servers:
        lines = [f"    server s{one} pool{one:03}.fleet.example:8080 check\n" for one in range(servers)]
        files["etc/haproxy/haproxy.cfg"] = "listen cluster\n    bind *:80\n" + "".join(lines)
    return files


def make(root: Path, hosts: int, servers: int = 0) -> list[str]:
    """Writes the estate; returns the names of ten hosts that are going."""
    rng = random.Random(20260101)
    names = [f"node{number:05d}.fleet.example" for number in range(hosts)]
    for number, name in enumerate(names):
        base = root / "hosts" / name
        for path, text in files_of(number, name, rng, servers).items():
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


def audit(auditor: str, estate: Path, hosts: list[str], cache: Path | None) -> str:
    """Runs an audit, or a checklist of hosts; returns its figures."""
    words = ["checklist", *hosts] if hosts else ["audit"]
    words += ["--estate", str(estate), "--now", "2026-01-01T00:00:00Z", "--format", "json", "--quiet"]
    words += ["--cache-dir", str(cache)] if cache is not None else []
    done, seconds, cpu, peak = timed([*auditor.split(), *words])
    report = json.loads(done)
    counts = report["counts"]
    print(f"  {report['verdict']}, {len(report['findings'])} findings; {counts}")
    return f"{seconds:.1f} s, {cpu:.1f} CPU s, {peak:,.0f} MB at the peak, {counts['files'] / seconds:,.0f} files/s"


def timed(command: list[str]) -> tuple[bytes, float, float, float]:
    """What a process writes, its seconds by the clock and of the CPU, and the peak of its memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        written = process.stdout.read()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return written, time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def load(estate: Path, cache: Path) -> None:
    """Loads a packed estate that was linked before, and searches its graph: prints the figures of this process."""
    import numpy as np

    from auditor.audit.kept import KeptEstates
    from auditor.capture.reading import Templates
    from auditor.cli.common import fewer_collections
    from auditor.graph.impact import EVERYTHING, impact, reach
    from auditor.registry import load_collectors

    fewer_collections()
    collectors, _ = load_collectors()
    before = time.process_time()
    ready = KeptEstates(cache, collectors, Templates()).find(estate, ())
    if ready is None:
        raise SystemExit("the cache does not have this estate")
    linked = ready.linked.build()
    loaded = time.process_time()
    graph = linked.graph
    hosts = sorted(linked.host_nodes.values())[:100]
    result = impact(graph, dict.fromkeys(hosts, EVERYTHING))
    judged = time.process_time()
    found = reach(graph, np.array(hosts, np.int32))
    reached = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {graph.node_count:,} nodes, {graph.edge_count:,} dependencies, {len(ready.reading.bound):,} files")
    print(f"loaded: {loaded - before:.1f} CPU s, {peak:,.0f} MB at the peak of the process")
    print(f"impact of 100 hosts: {judged - loaded:.3f} CPU s, {int((result.lost != 0).sum()):,} nodes lose something")
    print(f"reach of 100 hosts: {reached - judged:.3f} CPU s, {len(found):,} nodes")


def ask_packed(auditor: str, root: Path) -> None:
    """Packs an estate, and asks about one host after another."""
    estate, cache = root.with_name(f"{root.name}.auditor"), root.with_name(f"{root.name}.cache")
    try:
        if not estate.exists():
            subprocess.run([*auditor.split(), "snapshot", "pack", str(root), "-o", str(estate)], check=True)
        print(f"packed: {estate.stat().st_size / 1e6:,.0f} MB")
        print("without a cache:", audit(auditor, estate, ["node00017.fleet.example"], None))
        print("that fills one:", audit(auditor, estate, ["node00017.fleet.example"], cache))
        for host in ("node00018.fleet.example", "node00019"):
            print("the next:", audit(auditor, estate, [host], cache))
        print("the cache:", ", ".join(f"{one.name[:6]} {one.stat().st_size / 1e6:,.0f} MB" for one in cache.iterdir()))
        sys.stdout.flush()
        written, *_ = timed([sys.executable, __file__, "--load", str(estate), str(cache)])
        print(written.decode(), end="")
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def main() -> int:
    """Prints the figures; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=0)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--keep", type=Path, help="make the estate here and leave it")
    parser.add_argument("--auditor", default=f"{sys.executable} -m auditor.cli.main")
    parser.add_argument("--load", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        load(*arguments.load)
        return 0
    with tempfile.TemporaryDirectory(prefix="fleet-") as place:
        root = arguments.keep or Path(place) / "fleet"
        if not (root / "inventory.yaml").exists():
            root.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            make(root, arguments.hosts, arguments.servers)
            print(f"made {arguments.hosts} hosts in {time.monotonic() - started:.1f} s")
        if arguments.packed:
            ask_packed(arguments.auditor, root)
        else:
            print(audit(arguments.auditor, root, [], None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
