"""Short names that are ordinary words: hosts among other machines, words anywhere else."""

from __future__ import annotations

import pytest

from auditor.graph.hosts import HostTable, identities
from auditor.graph.mentions import MentionScanner
from auditor.graph.peers import Names, among_machines, beside_full, labels_in

NAMES = Names({"kassia", "klecker", "merkel"}, {"bugs", "people", "state"})
WANTED = {"gluck": "gluck.example.org"}


def lines(text: str) -> list[int]:
    found = list(among_machines(text, WANTED, NAMES))
    assert all(one.identity.host == "gluck.example.org" and not one.exact for one in found)
    return [one.line for one in found]


@pytest.mark.parametrize(
    "text",
    [
        "if $::hostname in [kassia,gluck,klecker] {",
        "if $::hostname in [ 'gluck', 'kassia' ] {",
        "  members   kassia, Gluck, merkel",
        "hosts = kassia|gluck|bugs",
        "static:{bugs gluck kassia}",
        'SERVERS="kassia.example.org klecker gluck"',
        "(gluck|kassia)",
        "kassia,gluck,klecker and others",
    ],
)
def test_in_a_list(text: str) -> None:
    assert lines(text) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "the kassia klecker gluck listing",
        "gluck and merkel",
        "kassia, gluck",
        "name=kassia gluck=present",
        "kassia gluck=klecker",
        "[gluck, stravinsky, bach]",
        "/srv/gluck/kassia/klecker",
        "[old-gluck, kassia, klecker]",
        "[gluck.other.org, kassia, klecker]",
        "gluck",
    ],
)
def test_in_no_list(text: str) -> None:
    assert not lines(text)


def test_one_of_several_lines_for_machines() -> None:
    assert lines("servers:\n  kassia:\n    address: 1\n  gluck:\n    address: 2\n  merkel:\n") == [4]
    assert lines("- kassia\n- gluck\n- merkel\n- other") == [2]
    assert not lines("- kassia\n- gluck\n- merkel\n- other\n- more\n- words\n- here")
    assert not lines("- gluck\n- bugs\n- people\n- state")
    assert not lines("kassia: x\n" + "y\n" * 40 + "gluck: x\n" + "y\n" * 40 + "merkel: x\n")
    assert not lines("- kassia:\n- gluck\n- merkel:\n")


def test_labels_directly_below_a_domain() -> None:
    texts = [b"x bugs.example.org. y\nBUGS2.example.org:22", b"deep.er.example.org me@example.org a.example.organic"]
    assert labels_in(texts, {"example.org"}) == {"bugs", "bugs2"}
    assert labels_in(texts, set()) == set()


def test_settings_beside_the_full_name() -> None:
    text = """\
define host {
  host_name  build
  alias      build.example.org
  stage      build
}
define host {
  host_name  build
}
- hosts:
    hostname: "build"
    address: 10.0.0.9
    name: build
"""
    table = HostTable()
    table.address(table.add("build.example.org", "test"), "10.0.0.9")
    found = MentionScanner(table, identities(table, ["build.example.org"])).scan(text.encode())
    assert [one.line for one in found] == [3, 11]
    assert [one.line for one in beside_full(text, found, {"build": "build.example.org"})] == [2, 10]
    assert not list(beside_full(text, found, {"mail": "mail.example.org"}))


def test_the_entry_that_the_full_name_is_in() -> None:
    text = """\
'build' => { # compiles
    'dynamic'  => 'no',
    'backends' => ['build.example.org'],
},
build:
  address: 10.0.0.9
build: the tree
  - build.example.org
  build = {
  x = 1, host = build.example.org
"""
    table = HostTable()
    table.address(table.add("build.example.org", "test"), "10.0.0.9")
    found = MentionScanner(table, identities(table, ["build.example.org"])).scan(text.encode())
    assert [one.line for one in found] == [3, 6, 8, 10]
    assert [one.line for one in beside_full(text, found, {"build": "build.example.org"})] == [1, 5]
