"""Roles that are called as a host is, and who uses them."""

from __future__ import annotations

import pytest

from auditor.graph.roles import OwnRole, called_like, is_for, naming, uses_of

WIKI = OwnRole("roles/wiki", "wiki", "wiki.example.net")


def test_roles_by_their_last_name() -> None:
    paths = [
        "roles/wiki/tasks/main.yml",
        "roles/wiki/templates/deep/x.j2",
        "ansible/roles/web/spins/files/a/b.conf",
        "roles/old-wiki/tasks/main.yml",
        "roles/wiki.yml",
        "playbooks/wiki/tasks/main.yml",
    ]
    found = called_like(paths, {"wiki": "wiki.example.net", "spins": "spins.example.net"})
    assert found == [WIKI, OwnRole("ansible/roles/web/spins", "web/spins", "spins.example.net")]


@pytest.mark.parametrize(
    "text",
    [
        "  roles:\n  - wiki",
        "    - { role: wiki, x: 1 }",
        "    - role: 'wiki'  # x",
        "  - include_role: name=wiki",
        "  - ansible.builtin.import_role:\n      name: wiki",
        "dependencies:\n  - role: wiki",
    ],
)
def test_uses(text: str) -> None:
    assert [use.line for use in uses_of(WIKI, "a.yml", text)] == [text.count("\n") + 1]
    assert not list(uses_of(WIKI, "roles/wiki/meta/main.yml", text))


@pytest.mark.parametrize("text", ["- name: wiki", "- role: wiki2", "- oldwiki", "role: web/wiki", "wiki:", "- wiki: x"])
def test_no_uses(text: str) -> None:
    assert not list(uses_of(WIKI, "a.yml", text))


def test_an_entry_that_names_its_host() -> None:
    text = "- role: wiki\n  website: x\n\n  other: y\n- role: b\n  website: x"
    (use,) = uses_of(WIKI, "a.yml", text)
    assert is_for(use, text.split("\n"), {2})
    assert is_for(use, text.split("\n"), {4})
    assert not is_for(use, text.split("\n"), {6})


def test_the_word_alone_or_in_a_hyphenated_one() -> None:
    text = "wiki_dir\nmywiki\n/srv/wiki\r\nWiki-settings\nwikis"
    assert list(naming("wiki", text)) == [(3, "/srv/wiki"), (4, "Wiki-settings")]
