"""Short names of hosts in Terraform's configuration: in what has the full one, and in records of the host's zone."""

from __future__ import annotations

from auditor.graph.entries import HclFile, short_names
from auditor.graph.hosts import HostTable, identities
from auditor.graph.mentions import MentionScanner

MAIL = "mail.example.org"


def lines_of(**texts: str) -> dict[str, list[int]]:
    """What is found besides, in files by their names, for a host of a common name."""
    table = HostTable()
    table.address(table.add(MAIL, "test"), "10.0.0.19")
    scanner = MentionScanner(table, identities(table, [MAIL]))
    files = [HclFile(f"tf/{name}.tf", text, scanner.scan(text.encode())) for name, text in texts.items()]
    found = short_names(files, [MAIL])
    assert all(one.identity.kind == "short" and one.text for several in found.values() for one in several)
    return {path[3:-3]: sorted(one.line for one in several) for path, several in found.items()}


def test_entries_that_name_the_host() -> None:
    text = """\
machines = {
  "mail.example.org" = {
    domain = "mail"
    kind   = "mail-small"
  }
  "web01.example.org" = {
    domain = "mail"
  }
}
records = {
  web = {
    ipv4_address = "10.0.0.18"
  }
  mail = {
    # moved
    ipv4_address = "10.0.0.19"

    ipv6_address = "2001:db8::19"
  }
  "mail" = {
    ipv4_address = "10.0.0.20"
  }
}
"""
    assert lines_of(main=text) == {"main": [3, 14]}


def test_blocks_that_have_the_full_name_and_what_refers_to_them() -> None:
    machine = """\
resource "hcloud_server" "mail" {
  server_type = "cx22"
  labels = {
    host = "mail.example.org"
  }
}
resource "hcloud_volume" "mail" {
  name      = "mail"
  server_id = hcloud_server.machine["mail.example.org"].id
}
resource "hcloud_volume" "spool" {
  name      = "mail"
  server_id = hcloud_server.web.id
}
"""
    others = """\
output "address" {
  value = hcloud_server.mail.ipv4_address
}
resource "hcloud_rdns" "x" {
  server_id = hcloud_server.mail-old.id
  volume    = [hcloud_volume.mail.id, module.hcloud_server.mail]
}
"""
    assert lines_of(machine=machine, others=others) == {"machine": [1, 7, 8], "others": [2, 6]}


def test_records_that_point_at_the_host_in_its_zone() -> None:
    text = """\
locals {
  # mailman = { value = "mail" }
  example_org_cname = {
    imap    = { value = "mail" }
    smtp    = { value = "mail.other.net." }
    archive = {
      value = "mail"
    }
    post    = { value = "mail2" }
  }
  example_net_cname = {
    imap = { value = "mail" }
  }
  other = {
    imap = { value = "mail" }
  }
}
resource "hetznerdns_record" "imap" {
  zone_id = hetznerdns_zone.example.id
  name    = "imap"
  value   = "mail"
}
resource "hetznerdns_record" "imap_net" {
  zone_id = hetznerdns_zone.net.id
  value   = "mail"
}
"""
    found = lines_of(dns=text)["dns"]
    assert [number for number in found if number < 10] == [4, 7]
    assert 15 not in found
    assert 21 in found
    assert 25 not in found
