"""Every kind of file through its collector, beside the usual Python parser of the format: the same files, one process.

    AUDITOR_SHARED=DIRECTORY python -m benchmarks.parsing [KIND...] [--runs 7]

The real files are those of `AUDITOR_SHARED`/corpus; the large ones are made here. A collector's time is `parse` of all
files of a kind and one `combine` of what they gave: facts with file and line, commands and expressions taken apart.
A peer only loads: where we have a step that does no more than that, it is measured by itself. Both sides get the files
that both can read. Caches are emptied before each run, so that no line is known from the run before. Peers that are not
installed are left out: dnspython, python-crontab, PyYAML, crossplane, systemdunitparser, ansible-core.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import gc
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

from auditor.api import Collector, Document, Fragment
from auditor.cli.common import fewer_collections
from auditor.registry import load_collectors
from auditor.text import decode
from auditor.yamlnodes import read_yaml

SHARED = Path(os.environ.get("AUDITOR_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))

Load = Callable[[str, bytes], object]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another parser of the same files: the module it needs, and how it loads one.

    `ours` is our own step that does as much as the peer, where there is one.
    """

    title: str
    module: str
    load: Load
    ours: Load | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """Files of one format: where they are, whose they are, and where they would lie on a host."""

    title: str
    collector: str
    corpus: str = ""
    places: tuple[str, ...] = ()
    peers: tuple[Peer, ...] = ()
    make: Callable[[], list[tuple[str, bytes]]] | None = None


def _zone(path: str, content: bytes) -> object:
    import dns.zone

    text = decode(content)
    origin = None if "$ORIGIN" in text else PurePosixPath(path).name.removeprefix("db.").removesuffix(".zone")
    return dns.zone.from_file(io.StringIO(text), origin=origin, relativize=False, check_origin=False)


def _crontab(path: str, content: bytes) -> object:
    import crontab

    system = "cron.d" in path or path == "/etc/crontab"
    tab = crontab.CronTab(tab=decode(content), user=False if system else None)
    if not any(job.is_valid() for job in tab):
        raise ValueError("no job")
    return tab


def _yaml(_: str, content: bytes) -> object:
    import yaml

    return list(yaml.load_all(content, yaml.CSafeLoader))


def _unit(_: str, content: bytes) -> object:
    import SystemdUnitParser

    parser = SystemdUnitParser.SystemdUnitParser(strict=False)
    parser.read_string(decode(content))
    return parser


def _ini(_: str, content: bytes) -> object:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=True)
    parser.read_string(decode(content))
    return parser


def _nginx(_: str, content: bytes) -> object:
    import tempfile

    import crossplane

    # It reads files only.
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.write(content)
        file.flush()
        parsed = crossplane.parse(file.name, single=True, comments=False)
    if parsed["status"] != "ok":
        raise ValueError("crossplane can't read it")
    return parsed


def _inventory(path: str, content: bytes) -> object:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.inventory.ini import InventoryModule

    module = InventoryModule()
    module.loader, module.inventory, module._options = DataLoader(), InventoryData(), {}
    module._filename = path
    module._parse(path, decode(content).splitlines())
    return module.inventory


def _json(_: str, content: bytes) -> object:
    return json.loads(content)


def _xml(_: str, content: bytes) -> object:
    return ET.fromstring(content)


def _certificate(_: str, content: bytes) -> object:
    from cryptography import x509

    return [(one.not_valid_after_utc, one.subject) for one in x509.load_pem_x509_certificates(content)]


def _our_yaml(_: str, content: bytes) -> object:
    return read_yaml(content)


def _our_crontab(path: str, content: bytes) -> object:
    return import_module("collectors.crontab")._File(Document(path, content))


YAML = Peer("PyYAML CSafeLoader", "yaml", _yaml, _our_yaml)
JSON = Peer("json.loads", "json", _json)
DNSPYTHON = Peer("dnspython from_file", "dns.zone", _zone)
PYTHON_CRONTAB = Peer("python-crontab", "crontab", _crontab, _our_crontab)
UNITS = (Peer("systemdunitparser", "SystemdUnitParser", _unit), Peer("configparser", "configparser", _ini))


def _made_zone() -> list[tuple[str, bytes]]:
    lines = ["$ORIGIN made.example.", "$TTL 3600", "@ IN SOA ns1 hostmaster 1 7200 3600 1209600 300", "@ IN NS ns1"]
    for n in range(20_000):
        record = (f"A 192.0.2.{n % 250}", f"CNAME host{n - 1}.made.example.", f'TXT "v={n}"', f"AAAA 2001:db8::{n:x}")
        lines.append(f"host{n} IN {record[n % 4]}")
    return [("/etc/bind/made.example.zone", "\n".join([*lines, ""]).encode())]


def _made_crontab() -> list[tuple[str, bytes]]:
    lines = ["MAILTO=ops@example.net", "# m h dom mon dow user command"]
    for n in range(5_000):
        command = (
            f"/usr/local/bin/report{n} --daily >/dev/null 2>&1",
            f"rsync -a /srv/data{n}/ backup{n % 40}.example.net:/srv/backup{n}/",
            f"test -x /usr/sbin/task{n} && /usr/sbin/task{n} -q",
            f"curl -fsS https://host{n}.example.net/ping | logger -t ping{n}",
        )[n % 4]
        lines.append(f"{n % 60} {n % 24} * * {n % 7} root {command}")
    return [("/etc/cron.d/made", "\n".join([*lines, ""]).encode())]


def _made_rules() -> list[tuple[str, bytes]]:
    text = ["groups:"]
    for n in range(1_500):
        if n % 15 == 0:
            text.append(f"- name: group{n}\n  rules:")
        text.append(
            f"  - alert: Alert{n}\n"
            f'    expr: rate(errors_total{{job="job{n % 50}", instance=~"web{n}.*"}}[5m]) > {n}\n'
            f"    for: 5m\n    labels:\n      severity: page\n    annotations:\n      summary: Errors of {n}"
        )
    return [("/etc/prometheus/rules/made.yml", "\n".join([*text, ""]).encode())]


def _made_certificates() -> list[tuple[str, bytes]]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for n in range(300):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"host{n}.example.net")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), n + 1, start, start + timedelta(days=90))
        names = x509.SubjectAlternativeName([x509.DNSName(f"host{n}.example.net"), x509.DNSName(f"www{n}.example.net")])
        certificate = builder.add_extension(names, critical=False).sign(key, SHA256())
        found.append((f"/etc/ssl/certs/host{n}.pem", certificate.public_bytes(Encoding.PEM)))
    return found


KINDS = (
    Kind("zones", "zone", "dns-zone", ("/etc/bind/{name}.zone",), (DNSPYTHON,)),
    Kind("a zone of 20,000 records", "zone", peers=(DNSPYTHON,), make=_made_zone),
    Kind("crontabs", "crontab", "cron", ("/etc/cron.d/{bare}", "/var/spool/cron/crontabs/{bare}"), (PYTHON_CRONTAB,)),
    Kind("a crontab of 5,000 jobs", "crontab", peers=(PYTHON_CRONTAB,), make=_made_crontab),
    Kind("systemd units", "systemd", "systemd", ("/etc/systemd/system/{name}",), UNITS),
    Kind("Prometheus configurations", "prometheus", "prometheus-config", peers=(YAML,)),
    Kind("Prometheus rules", "prometheus", "prometheus-rules", peers=(YAML,)),
    Kind("1,500 alerts", "prometheus", peers=(YAML,), make=_made_rules),
    Kind("Alertmanager", "prometheus", "alertmanager", peers=(YAML,)),
    Kind("Grafana provisioning", "prometheus", "grafana-alerting", peers=(YAML,)),
    Kind("Nagios objects", "nagios", "nagios", ("/etc/nagios/conf.d/{name}",)),
    Kind("Icinga 2 objects", "icinga2", "icinga2", ("/etc/icinga2/conf.d/{name}",)),
    Kind("Zabbix exports", "zabbix", "zabbix", (), (YAML,)),
    Kind(
        "nginx",
        "nginx",
        "nginx",
        ("/etc/nginx/conf.d/{name}.conf", "/etc/nginx/nginx.conf"),
        (Peer("crossplane", "crossplane", _nginx),),
    ),
    Kind("Apache", "apache", "apache", ("/etc/apache2/sites-enabled/{name}",)),
    Kind("HAProxy", "haproxy", "haproxy", ("/etc/haproxy/haproxy.cfg",)),
    Kind(
        "Ansible inventories, INI",
        "ansible_inventory",
        "ansible-inventory",
        ("inventory/{name}",),
        (Peer("ansible-core's ini", "ansible", _inventory),),
    ),
    Kind("shell scripts", "shell", "renewal-hooks", ("/usr/local/bin/{name}.sh",)),
    Kind("certbot's renewal files", "certbot", "certbot-renewal", ("/etc/letsencrypt/renewal/{bare}.conf",), UNITS[1:]),
    Kind("docker-compose", "compose", "docker-compose", peers=(YAML,)),
    Kind("Kubernetes", "kubernetes", "kubernetes", peers=(YAML,)),
    Kind("GitHub Actions", "github_actions", "github-actions", (".github/workflows/{name}",), (YAML,)),
    Kind("Terraform plans and states, JSON", "terraform", "terraform-json", (), (JSON, YAML)),
    Kind("webhooks of GitHub, JSON", "github_webhooks", "github-webhook-json", ("webhooks/{name}",), (JSON, YAML)),
    Kind(
        "tasks of Windows, XML",
        "windows_tasks",
        "windows-task-xml",
        (),
        (Peer("ElementTree", "xml.etree.ElementTree", _xml),),
    ),
    Kind(
        "300 certificates",
        "x509",
        peers=(Peer("cryptography, loaded alone", "cryptography", _certificate),),
        make=_made_certificates,
    ),
)


def files_of(kind: Kind, collector: Collector) -> tuple[list[tuple[str, bytes]], int]:
    """The documents of a kind that its collector claims, at the place where it does; and how many there are at all."""
    if kind.make is not None:
        made = kind.make()
        return made, len(made)
    with (SHARED / "corpus" / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == kind.corpus]
    found = []
    for row in rows:
        content = (SHARED / "corpus" / row["path"]).read_bytes()
        base = PurePosixPath(row["source_path"]).name
        bare = base.partition(".")[0]
        for place in (row["source_path"], *(place.format(name=base, bare=bare) for place in kind.places)):
            if collector.recognizes(place, content[:4096]):
                found.append((place, content))
                break
    return found, len(rows)


def _caches() -> list[object]:
    """The caches of the auditor's functions that are keyed by text; parsers that are made once stay."""
    found = []
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("auditor", "collectors"):
            for value in vars(module).values():
                size = getattr(value, "cache_parameters", dict)().get("maxsize")
                if size is not None and size > 1:
                    found.append(value)
    return found


def read(collector: Collector, files: Sequence[tuple[str, bytes]]) -> int:
    """Parses and combines as the engine does; returns the number of facts."""
    count = 0
    fragments = []
    for path, content in files:
        for item in collector.parse(Document(path, content)):
            count += 1
            if type(item) is Fragment:
                fragments.append(Fragment(item.kind, item.value, item.where, "host", path))
    contents = dict(files)
    return count + sum(1 for _ in collector.combine(fragments, contents.get)) if fragments else count


def median(run: Callable[[], object], runs: int) -> float:
    """Median seconds of the processor, in user and system mode, of several runs after one that does not count."""
    seconds = []
    for turn in range(runs + 1):
        for cache in _caches():
            cache.cache_clear()  # type: ignore[attr-defined]
        gc.collect()
        started = time.process_time()
        run()
        if turn:
            seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def readable(peer: Peer, files: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The files that a peer loads without an error."""
    found = []
    for path, content in files:
        try:
            peer.load(path, content)
        except Exception:  # noqa: BLE001
            continue
        found.append((path, content))
    return found


def rows_of(kind: Kind, collector: Collector, runs: int) -> Iterator[str]:
    """Rows of the table: one for each peer, or one without."""
    files, there = files_of(kind, collector)
    if not files:
        return
    facts = read(collector, files)
    compared = 0
    for peer in kind.peers:
        try:
            import_module(peer.module)
        except ImportError:
            continue
        both = readable(peer, files)
        if not both:
            continue
        compared += 1
        ours = median(lambda both=both: read(collector, both), runs)  # type: ignore[misc]
        theirs = median(lambda peer=peer, both=both: [peer.load(*one) for one in both], runs)  # type: ignore[misc]
        size = sum(len(content) for _, content in both)
        alone = " | |"
        if (load := peer.ours) is not None:
            seconds = median(lambda load=load, both=both: [load(*one) for one in both], runs)  # type: ignore[misc]
            alone = f" {size / seconds / 1e6:.2f} | {theirs / seconds:.1f}× |"
        yield (
            f"| {kind.title} | {len(both)} of {there} | {size / 1e3:,.0f} | {read(collector, both):,} | "
            f"{size / ours / 1e6:.2f} | {peer.title} | {size / theirs / 1e6:.2f} | {theirs / ours:.1f}× |{alone}"
        )
    if not compared:
        ours = median(lambda: read(collector, files), runs)
        size = sum(len(content) for _, content in files)
        rate = size / ours / 1e6
        yield f"| {kind.title} | {len(files)} of {there} | {size / 1e3:,.0f} | {facts:,} | {rate:.2f} | | | | | |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("kinds", metavar="KIND", nargs="*", help="collectors to measure (default: all)")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    collectors = {one.name: one for one in load_collectors()[0]}
    fewer_collections()
    print("| | files | kB | facts | MB/s | peer | its MB/s | we are faster | loading alone, MB/s | faster |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        if kind.collector in collectors and (not arguments.kinds or kind.collector in arguments.kinds):
            if kind.make is None and not (SHARED / "corpus" / kind.corpus).is_dir():
                continue
            for row in rows_of(kind, collectors[kind.collector], arguments.runs):
                print(row, flush=True)


if __name__ == "__main__":
    main()
