"""Linking: from what was written to the machine it means, and nothing more than that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from auditor.api import (
    THIS_HOST,
    Dependency,
    Entity,
    Kind,
    Ref,
    Relation,
    Where,
    endpoint_ref,
)
from auditor.graph.columns import KINDS, NEEDS, RELATIONS
from auditor.graph.hosts import HostTable
from auditor.graph.link import Linker
from auditor.graph.resolved import Linked
from auditor.model import Attribute, Confidence, Need, Parsed, Provenance

A = "a.example.org"
B = "b.example.org"
Item = tuple[str, Parsed]


def name(text: str) -> Ref:
    return Ref(Kind.NAME, text)


def address(text: str) -> Ref:
    return Ref(Kind.ADDRESS, text)


def depends(consumer: Ref, relation: Relation, provider: Ref, *, line: int = 1, group: str = "") -> Dependency:
    return Dependency(consumer, provider, relation, Where(line, f"line {line}"), group=group)


def resolves(consumer: str, provider: str, line: int = 1) -> Dependency:
    target = address(provider) if provider.replace(".", "").isdigit() or ":" in provider else name(provider)
    return depends(name(consumer), Relation.RESOLVES, target, line=line)


def entity(ref: Ref, **attributes: Attribute) -> Entity:
    return Entity(ref, Where(1, "x"), attributes)


def zone(text: str) -> Entity:
    return entity(Ref(Kind.ZONE, text))


def table(*names: str, addresses: dict[str, str] | None = None, domains: Sequence[str] = ()) -> HostTable:
    hosts = HostTable(tuple(domains))
    for one in names or (A, B):
        hosts.add(one, "test")
    for text, host in (addresses or {}).items():
        hosts.address(hosts.records[host], text)
    return hosts


def linker(hosts: HostTable, *items: Item, domains: Sequence[str] = ()) -> Linker:
    made = Linker(hosts, domains)
    placed = [(host, f"hosts/{host}/file" if host else "file", None, item) for host, item in items]
    made.context(placed)
    for host, path, when, item in placed:
        made.add(host, path, when, item)
    for host in hosts.records:
        made.node(Ref(Kind.HOST, host))
    made.resolve()
    return made


def reached(linked: Linked, kind: Kind, text: str, scope: str = "") -> set[str]:
    """The hosts that a node leads to over what it stands for and resolves to."""
    graph = linked.graph
    start = [
        n
        for n in range(graph.node_count)
        if (KINDS[graph.kinds[n]], graph.texts[n], graph.scope(n)) == (kind, text, scope)
    ]
    assert start, f"no node {kind} {text} {scope}"
    seen, pending, found = set(start), list(start), set()
    while pending:
        node = pending.pop()
        if KINDS[graph.kinds[node]] is Kind.HOST:
            found.add(graph.texts[node])
            continue
        for edge in graph.outgoing(node):
            if RELATIONS[graph.relation[edge]] in (Relation.STANDS_FOR, Relation.RESOLVES):
                target = int(graph.provider[edge])
                if target not in seen:
                    seen.add(target)
                    pending.append(target)
    return found


def edges(linked: Linked, relation: Relation) -> list[tuple[str, str, str]]:
    """(consumer, provider, group) of all edges of a relation."""
    graph = linked.graph
    return [
        (graph.texts[graph.consumer[edge]], graph.texts[graph.provider[edge]], graph.group_name(edge))
        for edge in range(graph.edge_count)
        if RELATIONS[graph.relation[edge]] is relation
    ]


def job_connects(target: Ref | None) -> Dependency:
    assert target is not None
    return depends(Ref(Kind.JOB, "job"), Relation.CONNECTS, target)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["a.example.org", "A.Example.ORG.", " a.example.org ", "a.example.org."])
def test_one_name_in_any_spelling(written: str) -> None:
    linked = linker(table(), ("", job_connects(name(written)))).build()
    assert reached(linked, Kind.NAME, A) == {A}


def test_international_names_are_one_with_their_a_labels() -> None:
    linked = linker(table("xn--mnchen-3ya.example.org"), ("", job_connects(name("München.Example.org")))).build()
    assert reached(linked, Kind.NAME, "xn--mnchen-3ya.example.org") == {"xn--mnchen-3ya.example.org"}


@pytest.mark.parametrize(
    "url", ["https://a.example.org/x", "a.example.org:443", "HTTPS://A.example.org./", "http://u:p@a.example.org"]
)
def test_endpoints_lead_to_their_hosts(url: str) -> None:
    target = endpoint_ref(url)
    assert target is not None
    linked = linker(table(), ("", job_connects(target))).build()
    assert reached(linked, Kind.ENDPOINT, target.text) == {A}


def test_a_short_name_goes_through_the_hosts_search_domains() -> None:
    hosts = table("db.one.example.org", "db.two.example.org", A, B)
    linked = linker(
        hosts,
        (A, entity(THIS_HOST, search=("two.example.org", "one.example.org"))),
        (B, entity(THIS_HOST, search=("one.example.org",))),
        (A, job_connects(name("db"))),
        (B, job_connects(name("db"))),
        ("", job_connects(name("db"))),
    ).build()
    assert reached(linked, Kind.NAME, "db", A) == {"db.two.example.org"}
    assert reached(linked, Kind.NAME, "db", B) == {"db.one.example.org"}
    # In a tree, nobody knows whose it is.
    assert reached(linked, Kind.NAME, "db") == set()


def test_a_short_name_of_the_estates_domains() -> None:
    linked = linker(table("db.example.org", A), (A, job_connects(name("db"))), domains=["example.org"]).build()
    assert reached(linked, Kind.NAME, "db", A) == {"db.example.org"}


def test_the_hosts_file_of_a_host_comes_first_and_holds_only_there() -> None:
    hosts = table(A, B, "db.example.org", addresses={"10.0.0.2": B})
    linked = linker(
        hosts,
        (A, entity(THIS_HOST, hosts_entry="10.0.0.2 db.example.org db")),
        (A, job_connects(name("db.example.org"))),
        (A, job_connects(name("db"))),
        (B, job_connects(name("db.example.org"))),
    ).build()
    assert reached(linked, Kind.NAME, "db.example.org", A) == {B}
    assert reached(linked, Kind.NAME, "db", A) == {B}
    assert reached(linked, Kind.NAME, "db.example.org") == {"db.example.org"}


def test_localhost_is_the_host_itself() -> None:
    items = [
        (A, job_connects(ref))
        for ref in (name("localhost"), address("127.0.0.1"), address("::1"), address("127.0.1.1"))
    ]
    linked = linker(table(), *items, ("", job_connects(name("localhost")))).build()
    assert {provider for _, provider, _ in edges(linked, Relation.CONNECTS)} == {A}


def test_cname_chains_and_addresses() -> None:
    linked = linker(
        table(addresses={"10.0.0.1": A}),
        ("", zone("example.org")),
        ("", resolves("www.example.org", "web.example.org")),
        ("", resolves("web.example.org", "10.0.0.1")),
    ).build()
    assert reached(linked, Kind.NAME, "www.example.org") == {A}


def test_cname_loops_lead_nowhere() -> None:
    made = linker(
        table(),
        ("", resolves("x.example.org", "y.example.org")),
        ("", resolves("y.example.org", "x.example.org")),
        ("", resolves("self.example.org", "self.example.org")),
        ("", resolves("into.example.org", "x.example.org")),
    )
    assert made.resolved().aliases({A, B}) == {A: A, B: B} or made.resolved().aliases({A, B}) == {}
    assert reached(made.build(), Kind.NAME, "into.example.org") == set()


def test_a_chain_of_ten_thousand() -> None:
    items: list[Item] = [("", resolves(f"n{n}.example.org", f"n{n + 1}.example.org")) for n in range(10_000)]
    items.append(("", resolves("n10000.example.org", "10.0.0.1")))
    started = time.process_time()
    made = linker(table(addresses={"10.0.0.1": A}), *items)
    found = made.resolved().aliases({A})
    assert time.process_time() - started < 5
    assert found["n0.example.org"] == A
    assert len(found) == 10_001
    assert reached(made.build(), Kind.NAME, "n0.example.org") == {A}


def test_aliases_lead_to_going_hosts_and_to_no_other() -> None:
    made = linker(
        table(addresses={"10.0.0.1": A, "10.0.0.2": B}),
        ("", resolves("only.example.org", "10.0.0.1")),
        ("", resolves("both.example.org", "10.0.0.1")),
        ("", resolves("both.example.org", "10.0.0.2")),
        ("", resolves("unknown.example.org", "10.0.0.1")),
        ("", resolves("unknown.example.org", "192.0.2.1")),
        ("", resolves("deep.example.org", "only.example.org")),
        ("", resolves("*.wild.example.org", "10.0.0.1")),
        ("", resolves("loop.example.org", "only.example.org")),
        ("", resolves("loop.example.org", "loop2.example.org")),
        ("", resolves("loop2.example.org", "loop.example.org")),
    )
    names = ("only", "deep", "loop", "loop2")
    assert made.resolved().aliases({A}) == {f"{one}.example.org": A for one in names}
    assert made.resolved().aliases({A, B})["both.example.org"] == A
    assert made.resolved().aliases({B}) == {}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("x.example.org", True),
        ("deep.er.example.org", True),
        # RFC 4592 section 2.2.1: a name that exists, or one below it, is not made up.
        ("exists.example.org", False),
        ("below.exists.example.org", False),
        ("example.org", False),
        ("x.sub.example.org", False),
        ("*.example.org", True),
    ],
)
def test_wildcards(asked: str, answered: bool) -> None:
    linked = linker(
        table(addresses={"10.0.0.1": A, "10.0.0.9": B}),
        ("", zone("example.org")),
        ("", resolves("*.example.org", "10.0.0.1")),
        ("", resolves("exists.example.org", "192.0.2.7")),
        ("", resolves("host.sub.example.org", "192.0.2.8")),
        ("", job_connects(name(asked))),
    ).build()
    assert reached(linked, Kind.NAME, asked) == ({A} if answered else set())


def test_a_name_that_dns_gave_to_another_machine() -> None:
    """A recycled name: the inventory still says A, the zone says B."""
    hosts = table(addresses={"10.0.0.1": A, "10.0.0.2": B})
    hosts.alias(hosts.records[A], "cert.example.org", Provenance("inventory.yaml", 3))
    hosts.alias(hosts.records[A], "asked.example.org")
    items = [("", resolves(one, "10.0.0.2")) for one in ("cert.example.org", "asked.example.org", A)]
    made = linker(hosts, *items)
    assert reached(made.build(), Kind.NAME, "cert.example.org") == {B}
    # Text that names it speaks of B. What was asked for, and the machine's own name, are looked for nevertheless.
    assert set(hosts.records[A].names) == {A, "asked.example.org"}
    assert hosts.find("cert.example.org") is None
    assert hosts.at("10.0.0.2") == [B]


def test_a_name_whose_address_nobody_declared_stays_with_its_host() -> None:
    hosts = table(addresses={"10.0.0.2": B})
    hosts.alias(hosts.records[A], "cert.example.org")
    linked = linker(hosts, ("", resolves("cert.example.org", "192.0.2.44"))).build()
    assert reached(linked, Kind.NAME, "cert.example.org") == {A}


def test_the_address_record_of_a_hosts_own_name_is_its_address() -> None:
    made = linker(table(), ("", resolves(A, "10.0.0.1", 7)), ("", job_connects(address("10.0.0.1"))))
    assert made.hosts.at("10.0.0.1") == [A]
    provenance = made.hosts.records[A].addresses["10.0.0.1"]
    assert provenance is not None
    assert (provenance.path, provenance.line) == ("file", 7)
    assert reached(made.build(), Kind.ADDRESS, "10.0.0.1") == {A}


def test_an_address_that_two_names_share_is_of_both() -> None:
    pairs = ((A, "10.0.0.1"), (A, "10.0.0.9"), (B, "10.0.0.2"), (B, "10.0.0.9"))
    items = [("", resolves(host, address)) for host, address in pairs]
    made = linker(table(), *items)
    assert made.hosts.at("10.0.0.9") == [A, B]
    assert made.hosts.at("10.0.0.1") == [A]


def test_addresses_of_two_hosts_stay_candidates() -> None:
    hosts = table(addresses={"10.0.0.1": A})
    hosts.address(hosts.records[B], "10.0.0.1")
    linked = linker(hosts, ("", job_connects(address("10.0.0.1")))).build()
    assert reached(linked, Kind.ADDRESS, "10.0.0.1") == {A, B}
    assert {group for _, _, group in edges(linked, Relation.STANDS_FOR) if group} == {"candidates"}
    graph = linked.graph
    standing = [
        e
        for e in range(graph.edge_count)
        if RELATIONS[graph.relation[e]] is Relation.STANDS_FOR and graph.group_name(e)
    ]
    assert {int(graph.confidence[e]) for e in standing} == {list(Confidence).index(Confidence.MEDIUM)}


@pytest.mark.parametrize("written", ["2001:db8::1", "2001:DB8:0:0::1", "[2001:db8::1]", "2001:db8::1%eth0"])
def test_addresses_in_any_spelling(written: str) -> None:
    linked = linker(table(addresses={"2001:0db8::0001": A}), ("", job_connects(address(written)))).build()
    assert reached(linked, Kind.ADDRESS, "2001:db8::1") == {A}


# -- paths, mounts, triggers, certificates -----------------------------------------------------------------------------


def test_paths_are_on_the_longest_mount() -> None:
    mounts = [
        (A, entity(Ref(Kind.MOUNT, path), read_only=path == "/srv/www", read_only_by="mount"))
        for path in ("/", "/srv", "/srv/www")
    ]
    paths = [
        (A, depends(Ref(Kind.JOB, "job"), Relation.WRITES, Ref(Kind.PATH, path)))
        for path in ("/srv/www/x", "/srv/wwwx", "/srv", "/etc/x", "/srv/www")
    ]
    linked = linker(table(), *mounts, *paths).build()
    graph = linked.graph
    on = {
        graph.texts[graph.consumer[edge]]: graph.texts[graph.provider[edge]]
        for edge in range(graph.edge_count)
        if KINDS[graph.kinds[graph.consumer[edge]]] is Kind.PATH
    }
    assert on == {"/srv/www/x": "/srv/www", "/srv/wwwx": "/srv", "/srv": "/srv", "/etc/x": "/", "/srv/www": "/srv/www"}
    assert list(linked.read_only.values()) == ["mounted read-only: mount"]


def test_the_same_path_on_two_hosts_is_two() -> None:
    writes = depends(Ref(Kind.JOB, "job"), Relation.WRITES, Ref(Kind.PATH, "/x"))
    linked = linker(table(), (A, writes), (B, writes)).build()
    assert reached(linked, Kind.PATH, "/x", A) == {A}
    assert reached(linked, Kind.PATH, "/x", B) == {B}


def test_a_declared_read_only_path_is_a_mount() -> None:
    hosts = table()
    hosts.records[A].read_only_paths = ("/srv/pki",)
    linked = linker(hosts, (A, depends(Ref(Kind.JOB, "j"), Relation.WRITES, Ref(Kind.PATH, "/srv/pki/x")))).build()
    assert list(linked.read_only.values()) == ["mounted read-only: declared"]
    assert ("/srv/pki/x", "/srv/pki", "") in edges(linked, Relation.STANDS_FOR)


def test_who_calls_a_client_triggers_it() -> None:
    client = Ref(Kind.CLIENT, "certbot")
    linked = linker(
        table(),
        (A, depends(Ref(Kind.JOB, "cron"), Relation.CALLS, client)),
        (A, depends(Ref(Kind.JOB, "timer"), Relation.CALLS, client)),
        (B, depends(Ref(Kind.JOB, "cron"), Relation.CALLS, Ref(Kind.PATH, "/bin/true"))),
    ).build()
    assert sorted(edges(linked, Relation.TRIGGERED_BY)) == [
        ("certbot", "cron", "triggers"),
        ("certbot", "timer", "triggers"),
    ]
    graph = linked.graph
    needs = {
        NEEDS[graph.need[e]] for e in range(graph.edge_count) if RELATIONS[graph.relation[e]] is Relation.TRIGGERED_BY
    }
    assert needs == {Need.RUN}


def certificate(number: int, *sans: str, not_before: str = "2025-01-01", **more: Attribute) -> Entity:
    return entity(Ref(Kind.CERTIFICATE, f"sha256:{number}"), sans=sans, not_before=not_before, **more)


def stored(number: int, path: str) -> Dependency:
    return depends(Ref(Kind.CERTIFICATE, f"sha256:{number}"), Relation.STORED_AT, Ref(Kind.PATH, path))


def test_certificates_belong_to_the_lineage_that_holds_them() -> None:
    lineage = Ref(Kind.LINEAGE, "certbot:x")
    made = linker(
        table(),
        (A, entity(lineage, archive_dir="/etc/letsencrypt/archive/x")),
        (A, certificate(1, "www.example.org")),
        (A, certificate(2, "www.example.org", "*.example.org", not_before="2025-06-01")),
        (A, certificate(3, "ca", is_ca=True)),
        (B, certificate(4, "www.example.org", "*.example.org")),
        (B, certificate(5, "other.example.org")),
        (A, stored(1, "/etc/letsencrypt/archive/x/cert1.pem")),
        (A, stored(2, "/etc/letsencrypt/archive/x/cert2.pem")),
        (A, stored(3, "/etc/letsencrypt/archive/x/chain2.pem")),
        (B, stored(4, "/etc/nginx/x.pem")),
        (B, stored(5, "/etc/letsencrypt/archive/x/cert1.pem")),
    )
    linked = made.build()
    assert sorted(edges(linked, Relation.CERTIFIED_BY)) == [
        ("sha256:2", "certbot:x", "lineages"),
        ("sha256:4", "certbot:x", "lineages"),
    ]
    superseded = {linked.graph.texts[node] for node, known in linked.attributes.items() if known.get("superseded")}
    assert superseded == {"sha256:1"}


def test_installed_copies_belong_to_their_lineage_by_file() -> None:
    """Clients that keep the certificates of many lineages in one directory, and copies at their place of use."""
    first, second = Ref(Kind.LINEAGE, "certmonger:1"), Ref(Kind.LINEAGE, "certmonger:2")
    linked = linker(
        table(),
        (A, entity(first, certificate_files=("/etc/pki/tls/certs/one.pem", "/etc/nginx/one.pem"))),
        (A, entity(second, certificate_files=("/etc/pki/tls/certs/two.pem",))),
        *(
            (A, certificate(number, f"n{number}.example.org", not_before=f"2025-0{number}-01"))
            for number in (1, 2, 3, 4)
        ),
        (A, stored(1, "/etc/pki/tls/certs/one.pem")),
        (A, stored(2, "/etc/pki/tls/certs/two.pem")),
        (A, stored(3, "/etc/nginx/one.pem")),
        (A, stored(4, "/etc/pki/tls/certs/other.pem")),
    ).build()
    assert sorted(edges(linked, Relation.CERTIFIED_BY)) == [
        ("sha256:1", "certmonger:1", "lineages"),
        ("sha256:2", "certmonger:2", "lineages"),
        ("sha256:3", "certmonger:1", "lineages"),
    ]
    # A copy that lags behind is in use: nothing supersedes it there.
    assert not any(known.get("superseded") for known in linked.attributes.values())


def test_groups_that_are_emptied() -> None:
    def member(group: str, ref: Ref) -> Item:
        return "", depends(Ref(Kind.GROUP, group), Relation.MEMBER, ref, group="hosts")

    made = linker(
        table(),
        member("gone", Ref(Kind.HOST, A)),
        member("mixed", Ref(Kind.HOST, A)),
        member("mixed", Ref(Kind.HOST, B)),
        member("above", Ref(Kind.GROUP, "gone")),
        member("wide", Ref(Kind.GROUP, "gone")),
        member("wide", Ref(Kind.GROUP, "mixed")),
        member("loop", Ref(Kind.GROUP, "loop2")),
        member("loop2", Ref(Kind.GROUP, "loop")),
    )
    assert made.resolved().emptied_groups({A}) == {"gone": [A], "above": [A]}
    assert made.resolved().emptied_groups({A, B})["wide"] == [A, B]


def test_names_and_addresses_that_a_host_is_known_by() -> None:
    known = Entity(Ref(Kind.HOST, A), Where(3, "x"), {"known_as": (A, "alias.example.org", "10.0.0.5")})
    both = Entity(Ref(Kind.HOST, A), Where(4, "x"), {"known_as": (A, B)})
    made = linker(table(), ("", known), ("", both))
    assert made.hosts.find("alias.example.org") == A
    assert made.hosts.at("10.0.0.5") == [A]
    assert made.hosts.find(B) == B


def test_what_only_ssh_calls_a_machine() -> None:
    job = Ref(Kind.JOB, "job")
    aliases = [f"a{number}" for number in range(5_000)]
    made = linker(
        table(A, B, addresses={"10.0.0.2": B}),
        (A, entity(THIS_HOST, ssh_alias="stash 10.0.0.2")),
        (A, entity(THIS_HOST, ssh_alias="other b.example.org")),
        (A, entity(THIS_HOST, ssh_alias="b a.example.org")),
        *((A, entity(THIS_HOST, ssh_alias=f"{one} {following}")) for one, following in pairwise(aliases)),
        *((A, depends(job, Relation.CONNECTS, name(one))) for one in ("stash", "other", "b", *aliases)),
        (B, depends(job, Relation.CONNECTS, name("stash"))),
        domains=["example.org"],
    ).build()
    assert reached(made, Kind.NAME, "stash", A) == {B}
    assert reached(made, Kind.NAME, "other", A) == {B}
    # What DNS or the inventory know by a name is no alias.
    assert reached(made, Kind.NAME, "b", A) == {B}
    assert reached(made, Kind.NAME, "stash", B) == set()
