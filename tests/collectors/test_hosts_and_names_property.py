"""Any bytes: zone, hosts and mount files, inventories, webhooks, known hosts give facts or Malformed, no error."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed
from collectors.ansible_inventory import AnsibleInventoryCollector
from collectors.github_webhooks import GithubWebhooksCollector
from collectors.hosts_file import HostsFileCollector
from collectors.known_hosts import KnownHostsCollector
from collectors.mounts import MountsCollector
from collectors.resolv_conf import ResolvConfCollector
from collectors.zone import GENERATE_LIMIT, ZoneCollector
from tests.realfiles import CORPUS, MISSING, REPLAYS, SHARED

# Each collector with paths that it takes, and words of its format to build hostile lines from.
FORMATS: list[tuple[Collector, tuple[str, ...], tuple[str, ...]]] = [
    (
        ZoneCollector(),
        ("dns/eventide.net.zone", "dns/x.inc", "db.10.20", "named/a"),
        (
            *(
                "$ORIGIN",
                "$TTL",
                "$INCLUDE",
                "$GENERATE",
                "1-9",
                "1-99999999",
                "${0,3,n}",
                "${-9,2,x}",
                "$",
                "@",
                ".",
                "*",
            ),
            *(
                "IN",
                "CH",
                "A",
                "AAAA",
                "CNAME",
                "MX",
                "SRV",
                "SOA",
                "TXT",
                "HTTPS",
                "CAA",
                "NAPTR",
                "URI",
                "TLSA",
                "LOC",
            ),
            *(
                "TYPE65280",
                "APL",
                "SVCB",
                "RRSIG",
                "(",
                ")",
                '"',
                "\\",
                "\\052",
                "\\999",
                ";",
                "10.0.0.1",
                "::1",
                "a.b.",
            ),
            *(
                "v=spf1",
                "a:%{i}",
                "ip4:10.0.0.0/99",
                "300",
                "1w",
                "../x",
                "dns/eventide.net.zone",
                "x.inc",
                "-1",
                "99999",
            ),
        ),
    ),
    (
        HostsFileCollector(),
        ("/etc/hosts", "/etc/hostname", "/etc/machine-id", "hosts"),
        ("127.0.1.1", "10.0.0.1", "::1", "fe80::1%eth0", "web01", "localhost", "#", "999.1.1.1", "a" * 300),
    ),
    (
        ResolvConfCollector(),
        ("/etc/resolv.conf",),
        ("nameserver", "search", "domain", "options", "10.0.0.1", "::1", "a.b", "#", ";", "-"),
    ),
    (
        MountsCollector(),
        ("/proc/self/mountinfo", "/etc/fstab", "/proc/mounts"),
        (
            *(
                "36",
                "35",
                "98:0",
                "/",
                "/mnt",
                "/a\\040b",
                "\\777",
                "rw,ro",
                "-",
                "nfs4",
                "ceph",
                "cifs",
                "//a/b",
                "a:/b",
            ),
            *(
                "[::1]:/x",
                "glusterfs",
                "backup-volfile-servers=a:b",
                "mon_addr=1.2.3.4:6789/x",
                "sshfs#a@b:",
                "none",
                ":",
                ",",
            ),
        ),
    ),
    (
        AnsibleInventoryCollector(),
        ("inventory/hosts", "inventory/x.yml", "site.yml", "x.json", "group_vars/a.yml", "inventory/host_vars/b"),
        (
            *(
                "[web]",
                "[web:children]",
                "[web:vars]",
                "[x:y]",
                "[",
                "]",
                "web[1:3]",
                "w[a:c]",
                "w[1:99999999]",
                "x[3:1]",
            ),
            *(
                "a=b",
                '"',
                "'",
                "#",
                "ansible_host=10.0.0.1",
                "[::1]:22",
                "h:99999",
                "a[1:999]b[1:999]c[1:999]",
                ":",
                "-",
            ),
            *(
                "- hosts:",
                "  hosts:",
                "hosts:",
                "children:",
                "all:",
                "a:!b:&c",
                "~(a+)+$",
                "*",
                "&x",
                "*x",
                "{{ x }}",
                "!vault",
            ),
            *('{"_meta":', '{"hostvars":', "}", "{", ",", '"hosts":', "- import_playbook: ../../x", "  a:", "    b:"),
        ),
    ),
    (
        GithubWebhooksCollector(),
        ("webhooks/github/a/b.json",),
        (
            *(
                "[",
                "]",
                "{",
                "}",
                ",",
                ":",
                '"config"',
                '"url"',
                '"events"',
                '"push_events"',
                "true",
                "null",
                '"active"',
            ),
            *(
                '"https://a.example.org/x"',
                '"http://[::1"',
                "1",
                '"last_response"',
                '"code"',
                '"id"',
                '"repos/a/b/hooks"',
            ),
        ),
    ),
    (
        KnownHostsCollector(),
        ("known_hosts",),
        ("a,b", "10.0.0.1", "[a]:22", "|1|x|y", "@cert-authority", "*.x", "!a", "ssh-rsa", "AAAA", "#", "1024", "35"),
    ),
]
IDS = [collector.name for collector, _, _ in FORMATS]


def everything(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    """What `recognizes`, `parse` and `combine` make of a document; all are called, whatever the first says."""
    assert isinstance(collector.recognizes(path, content[:4096]), bool)
    facts = list(collector.parse(Document(path, content)))
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for fact in facts:
        assert isinstance(fact, Entity | Dependency | Malformed | Fragment)
        if b"\x00" not in content:  # else it may be UTF-16, whose lines are counted after decoding
            assert 0 <= fact.where.line <= lines
        if isinstance(fact, Fragment):
            hash(fact.value)
        if isinstance(fact, Malformed):
            assert fact.reason
            assert "\n" not in fact.reason
    fragments = [Fragment(f.kind, f.value, f.where, "tree", path) for f in facts if isinstance(f, Fragment)]
    # Whatever a document includes, it finds itself: every include is a loop.
    return facts + list(collector.combine(fragments, lambda _: content))


@pytest.mark.parametrize(("collector", "paths", "words"), FORMATS, ids=IDS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_words_of_the_format_give_facts_or_malformed(
    collector: Collector, paths: tuple[str, ...], words: tuple[str, ...], data: st.DataObject
) -> None:
    word = st.one_of(st.sampled_from(words), st.text(max_size=6))
    lines = data.draw(st.lists(st.lists(word, max_size=8), max_size=8))
    indents = data.draw(st.lists(st.sampled_from(["", " ", "\t", "  - "]), min_size=len(lines), max_size=len(lines)))
    text = "\n".join(indent + " ".join(line) for indent, line in zip(indents, lines, strict=True))
    everything(collector, data.draw(st.sampled_from(paths)), text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(("collector", "paths", "words"), FORMATS, ids=IDS)
@settings(max_examples=40)
@given(content=st.binary(max_size=300), path=st.integers(0, 9))
def test_any_bytes_give_facts_or_malformed(
    collector: Collector, paths: tuple[str, ...], words: tuple[str, ...], content: bytes, path: int
) -> None:
    everything(collector, paths[path % len(paths)], content)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("dns/eventide.net.zone", b"$TTL 1\n" + b"a A (\n" * 50_000),
        ("dns/eventide.net.zone", b"$TTL 1\n$GENERATE 0-4000000000 a$ A 10.0.0.1\n" * 20),
        ("dns/eventide.net.zone", b"@ SOA a b 1 2 3 4 5\n" + b'a TXT "' + b"\\" * 100_000 + b"\n"),
        ("dns/eventide.net.zone", b"@ SOA a b 1 2 3 4 5\n" + b"a" * 500_000 + b" A 10.0.0.1\n"),
        ("dns/eventide.net.zone", b"@ SOA a b 1 2 3 4 5\n" + b"a TXT " + b'"a"' * 50_000 + b"\n"),
        ("inventory/hosts", b"[web]\n" + b"a[1:999][1:999][1:999][1:999]\n" * 20),
        ("inventory/hosts", b"[web]\n" + b"a" * 300_000 + b"!\n"),
        ("inventory/hosts", b"[web]\n" + b"a[1" * 20_000 + b"\n"),
        (
            "inventory/hosts.yml",
            b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*b%d, *b%d]\n" % (i, i, i, i) for i in range(9)),
        ),
        ("site.yml", b"- hosts: " + b"a*" * 100_000 + b"\n"),
        ("site.yml", b"- hosts: " + b"a[" * 2_000 + b"\n"),
        ("/etc/hosts", b"10.0.0.1 " + b"a " * 200_000),
        ("/etc/fstab", b"a," * 100_000 + b":/x /y ceph\n"),
        ("known_hosts", b"a," * 200_000 + b"b ssh-rsa A\n"),
        ("webhooks/github/a/b.json", b"[" * 100_000),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_hostile_sizes_end_soon(path: str, content: bytes) -> None:
    started = time.process_time()
    for collector, _, _ in FORMATS:
        if collector.recognizes(path, content[:4096]) or path in ("site.yml", "webhooks/github/a/b.json"):
            for _ in everything(collector, path, content):
                pass
    assert time.process_time() - started < 5


CONFIGURATION = st.lists(
    st.sampled_from(
        (
            *(
                "options",
                "directory",
                "zone",
                "view",
                "include",
                "file",
                "type",
                "master",
                "hint",
                "{",
                "}",
                ";",
                "{",
                "}",
            ),
            *(
                '"/var/cache/bind"',
                '"example.net"',
                '"."',
                '"data"',
                '"../../x"',
                '"/etc/bind/named.conf"',
                "/*",
                "*/",
                "#",
            ),
            *("\n", '"', "\\", "//", "\x00"),
        )
    )
    | st.text(max_size=5),
    max_size=40,
).map(" ".join)


@given(CONFIGURATION)
@settings(max_examples=150)
def test_whatever_named_conf_says(text: str) -> None:
    content = b"$TTL 1\n@ SOA a b 1 2 3 4 5\nwww A 10.0.0.1\n$INCLUDE more\n"
    for path in ("/var/cache/bind/data", "bind/data"):
        collector = ZoneCollector()
        fragments = [
            Fragment(item.kind, item.value, item.where, "host", path)
            for item in collector.parse(Document(path, content))
            if isinstance(item, Fragment)
        ]
        captured = {path: content, "/etc/bind/named.conf": text.encode(), "bind/named.conf": text.encode()}
        facts = list(collector.combine(fragments, captured.get))
        assert all(isinstance(fact, Entity | Dependency | Malformed) for fact in facts)
        assert facts


def test_generate_is_capped() -> None:
    content = b"$TTL 1\n@ SOA a b 1 2 3 4 5\n" + b"$GENERATE 1-60000 a$ A 10.0.0.1\n" * 3
    facts = list(ZoneCollector().parse(Document("dns/eventide.net.zone", content)))
    made = [fact for fact in facts if isinstance(fact, Dependency) and fact.consumer.text.startswith("a")]
    assert 60_000 < len(made) <= GENERATE_LIMIT + 5
    assert sum(isinstance(fact, Malformed) for fact in facts) == 2


def real_files() -> list[Path]:
    kinds = ("dns-zone", "ansible-inventory", "github-webhook-json", "infra-trees")
    trees = [CORPUS / kind for kind in kinds] + sorted(REPLAYS.glob("*/tree"))[:2]
    return [file for tree in trees for file in sorted(tree.rglob("*")) if file.is_file()]


def test_real_files_give_facts_or_malformed_and_are_claimed_by_few() -> None:
    files = real_files()
    if not files:
        pytest.skip(MISSING)
    for file in files:
        content, path = file.read_bytes(), file.relative_to(SHARED).as_posix()
        claimed = []
        for collector, _, _ in FORMATS:
            if collector.recognizes(path, content[:4096]):
                claimed.append(collector.name)
                everything(collector, path, content)
        assert len(claimed) <= 1, (path, claimed)
