"""Which machine a name means, and how its identity may be written."""

from __future__ import annotations

import pytest

from auditor.graph.hosts import HostTable, distinctive, identities, stems_of
from auditor.model import Provenance


def table(*names: str, domains: tuple[str, ...] = ()) -> HostTable:
    hosts = HostTable(domains)
    for name in names:
        hosts.add(name, "test")
    return hosts


def written(hosts: HostTable, *going: str) -> set[tuple[str, str]]:
    return {(one.kind, one.text) for one in identities(hosts, going)}


@pytest.mark.parametrize("name", ["Web01.Example.Org", "web01.example.org.", " web01.example.org", "web01"])
def test_one_machine_in_any_spelling(name: str) -> None:
    assert table("web01.example.org").find(name) == "web01.example.org"


def test_a_short_name_of_several_machines_means_none() -> None:
    hosts = table("db.one.example.org", "db.two.example.org")
    assert hosts.find("db") is None
    assert sorted(hosts.with_short("db")) == ["db.one.example.org", "db.two.example.org"]


def test_a_full_name_of_a_machine_known_by_its_short_name() -> None:
    hosts = table("web01", domains=("example.org",))
    assert hosts.find("web01.example.org") == "web01"
    assert hosts.find("web01.other.org") is None


def test_a_short_name_joins_the_one_machine_that_it_can_mean() -> None:
    hosts = table("web01.example.org")
    assert hosts.add("web01", "configuration") is hosts.records["web01.example.org"]
    assert len(hosts.records) == 1


def test_a_name_that_is_taken_stays() -> None:
    hosts = table("a.example.org", "b.example.org")
    hosts.alias(hosts.records["a.example.org"], "www.example.org")
    hosts.alias(hosts.records["b.example.org"], "www.example.org")
    assert hosts.find("www.example.org") == "a.example.org"
    assert "www.example.org" not in hosts.records["b.example.org"].names


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1", "0.0.0.0", "::", "no address", ""])
def test_what_is_no_machines_own_address(address: str) -> None:
    hosts = table("a.example.org")
    hosts.address(hosts.records["a.example.org"], address)
    assert not hosts.records["a.example.org"].addresses


def test_addresses_in_any_spelling_and_of_several() -> None:
    hosts = table("a.example.org", "b.example.org")
    hosts.address(hosts.records["a.example.org"], "2001:DB8:0::1")
    hosts.address(hosts.records["b.example.org"], "2001:db8::1")
    hosts.address(hosts.records["a.example.org"], "::ffff:10.0.0.1")
    assert hosts.at("2001:db8::1") == ["a.example.org", "b.example.org"]
    assert hosts.at("10.0.0.1") == ["a.example.org"]


def test_domains_of_machines() -> None:
    hosts = table("arm.example.org", "build01.arm.example.org")
    assert hosts.is_domain("arm.example.org")
    assert hosts.is_domain("example.org")
    assert not hosts.is_domain("build01.arm.example.org")
    hosts.add("x.build01.arm.example.org", "later")
    assert hosts.is_domain("build01.arm.example.org")


@pytest.mark.parametrize("label", ["web01", "qa-stg", "legacy-cert-01", "db-main", "i386-builder"])
def test_labels_that_can_be_told_from_words(label: str) -> None:
    assert distinctive(label)


@pytest.mark.parametrize("label", ["mail", "seoul", "www", "db", "app", "a1", "web", "node", "01", "x9", "ns1"])
def test_labels_that_cannot(label: str) -> None:
    assert not distinctive(label)


def test_identities_of_a_machine() -> None:
    hosts = table("web01.dc1.example.org")
    record = hosts.records["web01.dc1.example.org"]
    hosts.address(record, "10.0.0.17")
    hosts.address(record, "2001:db8::17")
    record.words["Billing"] = None
    assert written(hosts, record.name) == {
        ("full", "web01.dc1.example.org"),
        ("prefix", "web01.dc1"),
        ("short", "web01"),
        ("address", "10.0.0.17"),
        ("reverse", "17.0.0.10.in-addr.arpa"),
        ("address", "2001:db8::17"),
        ("reverse", "7.1" + ".0" * 22 + ".8.b.d.0.1.0.0.2.ip6.arpa"),
        ("word", "billing"),
    }


def test_the_shorter_name_owns_the_short_name() -> None:
    hosts = table("proxy01.example.org", "proxy01.stg.example.org")
    assert ("short", "proxy01") in written(hosts, "proxy01.example.org")
    assert ("short", "proxy01") not in written(hosts, "proxy01.stg.example.org")
    assert ("prefix", "proxy01.stg") in written(hosts, "proxy01.stg.example.org")
    # Both go: then it means one that goes, in any case.
    assert ("short", "proxy01") in written(hosts, "proxy01.example.org", "proxy01.stg.example.org")


def test_two_of_the_same_length_own_nothing() -> None:
    hosts = table("proxy01.a.example.org", "proxy01.b.example.org")
    assert ("short", "proxy01") not in written(hosts, "proxy01.a.example.org")


def test_words_are_never_searched_as_short_names() -> None:
    assert written(table("mail.example.org"), "mail.example.org") == {("full", "mail.example.org")}


def test_stems_of_numbered_machines() -> None:
    hosts = table("docs-backend01.example.org", "web01.example.org", "qa-stg.example.org")
    assert stems_of(hosts.records.values()) == {"docs-backend": "docs-backend01.example.org"}


def test_a_word_that_a_file_has_for_a_machine_is_no_name_to_look_for_everywhere() -> None:
    table = HostTable()
    record = table.add("build.example.org", "test")
    table.alias(record, "build", Provenance("ssh/known_hosts", 3))
    table.alias(record, "build-17", Provenance("ssh/known_hosts", 3))
    table.alias(record, "bob", Provenance("inventory.yaml", 7))
    assert {one.text for one in identities(table, [record.name])} == {"build.example.org", "build-17", "bob"}
    bare = table.add("mail", "test")
    assert {one.text for one in identities(table, [bare.name])} == {"mail"}
