"""Mentions: which text names a host, and which only looks like it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditor.graph.hosts import HostTable, identities
from auditor.graph.mentions import BATCH, Mention, MentionScanner
from auditor.text import excerpt

WEB = "web01.example.org"
STAGING = "qa-stg01.example.org"
SEOUL = "seoul.mirror.example.org"
ARM = "arm.example.org"
SIX = "2001:db8:0:1::17"
GOING = (WEB, STAGING, SEOUL, ARM, "mail.example.org", "proxy07.stg.example.org")


def estate() -> HostTable:
    table = HostTable(("example.org",))
    for name in (
        *GOING,
        "build03.arm.example.org",
        "proxy07.example.org",
        "old-web01.example.org",
        "qa-stg01-2.example.org",
    ):
        table.add(name, "test")
    table.address(table.records[WEB], "10.0.0.17")
    table.address(table.records[WEB], SIX)
    table.address(table.records[STAGING], "0:0:1::2")
    table.records[SEOUL].words["kr-mirror"] = None
    return table


TABLE = estate()
SCANNER = MentionScanner(TABLE, identities(TABLE, GOING))


def hosts_in(text: str | bytes) -> set[str]:
    return {one.identity.host for one in SCANNER.scan(text.encode() if isinstance(text, str) else text)}


@pytest.mark.parametrize(
    "text",
    [
        "web01.example.org",
        "WEB01.Example.ORG",
        "web01",
        "web01.example.org.",
        "ssh root@web01.example.org:22",
        "https://web01.example.org:8443/x",
        "(web01)",
        "[web01.example.org]:22",
        "“web01”",
        "web01,web02",
        "a=web01;b",
        "$web01/x",
        r"web01\.example\.org",
        r"^web01\.example\.org$",
        r'"\thost web01\n"',
        r'"\tweb01"',
        r'"\nweb01.example.org"',
        "?host=%2Fweb01.example.org%2F",
        "${DB:-web01}",
        "image: ${REGISTRY:-web01.example.org:5000}/shop",
        "psql -h ${DB-web01.example.org}",
        "mysqldump -hweb01 shop",
        "web01.conf",
        "web01.conf.j2",
        "host_vars/web01.yml",
        "web01.example.org.conf",
        "web01.example.org-access.log",
        "web01.example.org_access.log",
        "web01.example.org-0001",
        "docs.web01.example.org",
        "web01.mgmt.example.org",
        r"web01\.mgmt\.example\.org",
        "web01.vpn",
        "web01.mgmt.example.org-https",
        "web[01:20]",
        "web[01:20].example.org",
        "web{01..20}.example.org",
        "web{01..20..1}",
        "web{01...20}",
        "web0[1-3]",
        "web0[123]",
        "web{01,02}.example.org",
        "web[01-04,09].example.org",
        "web[02,01]",
        r"web0[1-3]\.example\.org",
        r"web\d+\.example\.org",
        r"web\d{2}\.example\.org",
        "web[0-9]+.example.org",
        "web[0-9]{1,3}",
        "web[01:40:4]",
        "web[00:99999999999]",
        "(web01|web02).example.org",
        r"^(www|web01)\.example\.org$",
        "{web01,web02}.example.org",
        r"(www|static)\.web01.example.org",
        "*.web01.example.org",
        "web01.example.org.access.log",
        "allow_web01",
        "web01_address = 1",
        "deploy-web01",
        "backup-web01.service",
        "web01-fd",
        "states/web01.sls",
        "keys/web01.example.org.pub",
        "10.0.0.17",
        "[10.0.0.17]",
        "10.0.0.17:443",
        "10.0.0.17/32",
        "10.0.0.17/24",
        "10.0.0.17.",
        "::ffff:10.0.0.17",
        "tcp://10.0.0.17",
        "17.0.0.10.in-addr.arpa.",
        "allow 2001:db8:0:1::17;",
        "2001:DB8:0:1::17",
        "2001:0db8:0000:0001:0000:0000:0000:0017",
        "[2001:db8:0:1:0:0:0:17]:443",
        "2001:db8::1:0:0:0:17/128",
        "2001:db8:0:1::0.0.0.23",
        "fe80::1 2001:db8:0:1::17%eth0",
        "addr 2001:db8:0:1::17: unreachable",
        "at 2001:db8:0:1::17.",
        "7.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    ],
)
def test_names_the_host(text: str) -> None:
    assert hosts_in(text) == {WEB}, text
    for around in (f"{text}\n", f"\n{text}", f"x {text} y\r\n", f"{text}\r\nother\r\n", f'"{text}"'):
        assert hosts_in(around) == {WEB}, around


@pytest.mark.parametrize(
    "text",
    [
        "web10",
        "web011",
        "${DB:-old-web01}",
        "mysql --hweb01",
        "old-web01",
        "old-web01.example.org",
        "myweb01.example.org",
        "(web02|web03).example.org",
        "(mail|www).example.org.uk",
        "old(mail|www).example.org",
        "(mail|www).other.org",
        r"node[0-9]+\.web01\.example\.org",
        r"build[0-9]+\.arm\.example\.org",
        "old_web01",
        "web01_stg",
        "web01_1",
        "old-deploy-web01",
        "deploy-web01.other.org",
        "web01.other.org",
        "web01.mgmt.other.org",
        "web01.stg.example.org",
        "web01.mgmt.stg.example.org",
        "old-web01.mgmt.example.org",
        "web01.mgmtx",
        "web01.example.org.uk",
        "web01.example.organic",
        r"web01\.example\.org\.uk",
        r"old-web01\.example\.org",
        "web01a",
        "web01-old",
        "web01-1a",
        "web01-1.other.org",
        "node1.web01.example.org",
        r"node1\.web01\.example\.org",
        "web[02:20]",
        "web[1:20]",
        "web{02..20}.example.org",
        "web[01:20].other.org",
        "old-web[01:20]",
        "web[02:40:2].example.org",
        "web0[2-9]",
        "web{02,03}",
        r"web\d.example.org",
        r"web\d{3}",
        "web[01:20",
        "web[20:01]",
        "10.0.0.170",
        "110.0.0.17",
        "1.10.0.0.17",
        "10.0.0.17.5",
        "v10.0.0.17",
        "10.0.0.17a",
        "10.0.0.1",
        "117.0.0.10.in-addr.arpa",
        "2001:db8:0:1::170",
        "2001:db8:0:1::1",
        "12001:db8:0:1::17",
        "2001:db8:0:1::17:443",
        "::2001:db8:0:1:17",
        "2001:db8::17",
        "mail",
        "send mail to arm",
        "seoul",
        "kr-mirror2",
        "proxy07",
        "proxy07.example.org",
        "www.arm.example.org",
        "build03.arm.example.org",
        "qa-stg01-2",
        "qa-stg01x",
        "qa-stg01-build",
        "qa-stg01-mgmt2",
        "old-qa-stg01-mgmt",
        "%2web01",
        "web01@lists.example.org",
        "seoul.mirror@example.org",
        "10.0.0.16/30",
        "proxy07-stg.other.org",
        "old-proxy07-stg",
    ],
)
def test_names_something_else(text: str) -> None:
    assert not hosts_in(text), text


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("qa-stg01-1", STAGING),
        ("qa-stg01-1.example.org", STAGING),
        ("qa-stg01-1.conf", STAGING),
        ("qa-stg01-mgmt", STAGING),
        ("qa-stg01-ipmi.example.org", STAGING),
        ("seoul.mirror", SEOUL),
        ("kr-mirror", SEOUL),
        ("arm.example.org", ARM),
        ("proxy07.stg", "proxy07.stg.example.org"),
        ("proxy07-stg", "proxy07.stg.example.org"),
        ("proxy07-stg.mgmt.example.org", "proxy07.stg.example.org"),
        ("proxy07-stg.cfg", "proxy07.stg.example.org"),
        ("proxy07.stg.example.org", "proxy07.stg.example.org"),
        ("mail.example.org", "mail.example.org"),
        (r"^(?:www|mail)\.example\.org$", "mail.example.org"),
        ("{mail,www}.example.org:443", "mail.example.org"),
        ("0:0:1::2", STAGING),
        ("0:0:1:0:0:0:0:2", STAGING),
        ("0000:0:0001:0000::2", STAGING),
    ],
)
def test_other_hosts(text: str, host: str) -> None:
    assert hosts_in(text) == {host}


def test_an_address_that_begins_with_zeros() -> None:
    assert hosts_in("x ::1:0:0:0:0:2 y") == {STAGING}
    assert not hosts_in("std::1:0")


def test_exact_and_inexact() -> None:
    def only(text: str) -> Mention:
        (found,) = SCANNER.scan(text.encode())
        return found

    assert only("web01").exact
    assert only("web[01:03]").exact
    assert not only("docs.web01.example.org").exact
    assert not only("qa-stg01-1").exact
    assert not only("deploy-web01").exact
    assert not only("allow_web01").exact
    assert not only("web01.example.org-access.log").exact


def test_names_outside_of_a_site_and_in_other_networks() -> None:
    table = HostTable()
    for name in ("web01.iad.example.org", "web02.iad.example.org", "web02.example.org", "web01.ipmi.example.org"):
        table.add(name, "test")
    scanner = MentionScanner(table, identities(table, ["web01.iad.example.org", "web02.iad.example.org"]))

    def found(text: str) -> set[str]:
        return {one.identity.host for one in scanner.scan(text.encode())}

    for text in ("web01", "web01.example.org", "web01.ipmi.example.org", "web01.vpn.iad.example.org"):
        assert found(text) == {"web01.iad.example.org"}, text
    for text in ("web02.example.org", "web02", "web01.lhr.example.org", "web01.org", "web01.example.org.uk"):
        assert not found(text), text


def test_the_twin_of_a_machine_in_staging_is_another_machine() -> None:
    table = HostTable()
    table.add("web01.stg.iad.example.org", "test")
    table.address(table.records["web01.stg.iad.example.org"], "10.0.8.0")
    table.address(table.records["web01.stg.iad.example.org"], "10.0.9.16")
    scanner = MentionScanner(table, identities(table, ["web01.stg.iad.example.org"]))
    for text in (
        "web01.stg",
        "web01-stg",
        "web01.stg.iad.example.org.conf",
        "web01-stg.mgmt.iad.example.org",
        "10.0.8.0",
    ):
        assert scanner.scan(text.encode()), text
    for text in ("web01.iad.example.org", "web01.example.org-hosts", "web01.mgmt.iad.example.org", "10.0.9.16/28"):
        assert not scanner.scan(text.encode()), text


@pytest.mark.parametrize("last", [24, 17, 20])
def test_a_network_that_is_written_out_is_no_use_of_one_host(last: int) -> None:
    lines = [f"allow 10.0.0.{number};" for number in range(last - 7, last + 1)]
    assert not hosts_in("deny all;\n" + "\n".join(lines) + "\n")
    assert not hosts_in("\n".join(lines))
    at = lines.index("allow 10.0.0.17;")
    assert hosts_in("\n".join([*lines[:at], lines[at] + " # web", *lines[at + 1 :]])) == {WEB}


def test_few_addresses_one_after_another_are_hosts() -> None:
    assert hosts_in("\n".join(f"allow 10.0.0.{number};" for number in range(14, 21))) == {WEB}
    assert hosts_in("\n".join(f"10.0.0.{number} host{number}" for number in range(10, 30))) == {WEB}


def test_one_mention_a_line_and_host_by_the_longest_name() -> None:
    found = SCANNER.scan(b"web01 web01.example.org 10.0.0.17\nnothing\nweb01\n")
    assert [(one.line, one.identity.text) for one in found] == [(1, WEB), (3, "web01")]


def test_two_hosts_on_a_line() -> None:
    assert hosts_in("web01 qa-stg01") == {WEB, STAGING}


def test_a_range_names_all_its_hosts() -> None:
    table = HostTable()
    for number in range(1, 31):
        table.add(f"api{number:03}.example.org", "test")
    going = [f"api{number:03}.example.org" for number in range(1, 31)]
    scanner = MentionScanner(table, identities(table, going))
    assert {one.identity.host for one in scanner.scan(b"api[010:020].example.org")} == set(going[9:20])
    assert {one.identity.host for one in scanner.scan(b"api0[0-1][0-9]")} == set(going[:19])
    assert {one.identity.host for one in scanner.scan(b"api0[1-2][05].example.org")} == {
        going[9],
        going[14],
        going[19],
        going[24],
    }
    assert {one.identity.host for one in scanner.scan(b"api0[1-2][05].example.com")} == set()
    assert {one.identity.host for one in scanner.scan(rb"~^api0(?:01|03)\.example\.org$")} == {going[0], going[2]}
    assert {one.identity.host for one in scanner.scan(b"api0(01)")} == set()
    assert {one.identity.host for one in scanner.scan(rb"api0\d\d\.example\.org")} == set(going)
    assert {one.identity.host for one in scanner.scan(b"api00{1,3}")} == {going[0], going[2]}


def test_comments() -> None:
    texts = {
        "# web01": True,
        "  // web01": True,
        "-- web01": True,
        " * web01": True,
        "! ntp server web01": True,
        "dnl define(`SMART_HOST', `web01')": True,
        "{{/* web01 */}}": True,
        "x # web01": False,
        "#define DBHOST web01": False,
        '#!define DBURL "mysql://web01/kamailio"': False,
        "#SBATCH -w web01": False,
        "# include web01": True,
        "web01": False,
        "* * * * * root ssh web01": False,
        "    --host=web01 \\": False,
        "//web01/share /mnt cifs ro 0 0": False,
        "%operators web01=(ALL) ALL": False,
    }
    for text, comment in texts.items():
        (found,) = SCANNER.scan(text.encode())
        assert found.comment is comment, text


def test_mail_of_a_domain_that_is_also_a_host() -> None:
    (mail,) = SCANNER.scan(b"To: someone@arm.example.org")
    (url,) = SCANNER.scan(b"https://arm.example.org/")
    (login,) = SCANNER.scan(b"ssh root@web01.example.org")
    assert (mail.exact, url.exact, login.exact) == (False, True, True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"])
def test_encodings(encoding: str) -> None:
    text = "first\r\nsch\u00f6n: web01.example.org\r\nlast web01"
    found = SCANNER.scan(text.encode(encoding))
    assert [(one.line, one.text) for one in found if "latin" not in encoding] == (
        [] if encoding == "latin-1" else [(2, "sch\u00f6n: web01.example.org"), (3, "last web01")]
    )
    assert [one.line for one in found] == [2, 3]


def test_files_together_are_as_files_alone() -> None:
    texts = [
        b"web01",
        b"",
        b"\n",
        b"x\nweb",
        b"01\n",
        b"a\n\nb web01.example.org",
        "web01".encode("utf-16"),
        b"-",
        b"web01",
    ]
    texts += [b"y" * BATCH, b"web01\n" * 3]
    assert list(SCANNER.scan_all(texts)) == [SCANNER.scan(text) for text in texts]
    assert [len(found) for found in SCANNER.scan_all(texts)] == [1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 3]


def test_long_lines_are_linear_and_cut() -> None:
    for text in (
        b"x" * 1_000_000 + b" web01 " + b"y" * 1_000_000,
        b"web01 " * 200_000,
        b"docs.web01.example.org " * 50_000,
        b"a." * 500_000 + b"web01.example.org",
        b"web[01:20]" * 100_000,
        b"web[" * 300_000,
        b"web01.conf." * 100_000,
        b"web01.example.org-" * 100_000,
        b"2001:db8:" * 100_000,
        b"10.0.0.17." * 100_000,
        b"web01\n" * 200_000,
    ):
        started = time.process_time()
        found = SCANNER.scan(text)
        assert time.process_time() - started < 5, text[:40]
        assert all(len(one.text) < 10_000 for one in found)
    (one,) = SCANNER.scan(b"x" * 1_000_000 + b" web01 " + b"y" * 1_000_000)
    assert "web01" in one.text[:200]


def test_a_cut_line_does_not_begin_inside_a_secret() -> None:
    for pad in range(0, 400, 7):
        text = (
            '{"a":"'
            + "x" * pad
            + '","password":"Tr0ub4dor-and-more-of-it-so-that-it-is-long-0123456789","host":"web01"}'
        )
        (one,) = SCANNER.scan(text.encode())
        shown = excerpt(one.text)
        assert "and-more" not in shown
        assert "0123456789" not in shown


# -- a slow and obvious scanner beside the fast one -------------------------------------------------------------------

ENDINGS = {"conf", "yml", "j2", "service", "log", "txt"}


def _file(token: str, name: str) -> bool:
    return token.startswith(name + ".") and set(token[len(name) + 1 :].split(".")) <= ENDINGS


def _below(token: str, name: str) -> bool:
    return token.endswith("." + name) and not TABLE.is_domain(name) and not token.split(".")[0][-1].isdigit()


TWINS = {"dev", "devel", "development", "new", "old", "preprod", "stage", "staging", "stg", "test", "testing", "uat"}


def _in_identifier(line: str, name: str, domain: str) -> bool:
    for match in re.finditer(
        rf"(?<![a-z0-9_-])(\w*_)?{name}(_\w*)?(?![a-z0-9_-])(?=(?:\.(\w[\w.-]*))?)", line, re.ASCII
    ):
        beside = [match[1].split("_")[-2]] if match[1] else []
        beside += [match[2].split("_")[1]] if match[2] else []
        rest = (match[3] or "").rstrip(".-")
        if (
            beside
            and all(re.search("[a-z]", one) and one not in TWINS for one in beside)
            and (not rest or rest == domain or set(rest.split(".")) <= ENDINGS)
        ):
            return True
    return False


def reference(line: str) -> set[str]:
    """The hosts that a line names: one token after another, by the rules as they are documented."""
    found = set()
    for name, host in (("web01", WEB), ("qa-stg01", STAGING), ("proxy07-stg", "proxy07.stg.example.org")):
        if _in_identifier(line.lower(), name, host.split(".", 1)[1]):
            found.add(host)
    for match in re.finditer(r"[a-z0-9_.-]+", line.lower()):
        # Behind what is in brackets, such as (1|2), it is the end of longer names.
        chosen = match[0].startswith(".") and line[: match.start()].endswith(")")
        token = ("x" + match[0] if chosen else match[0]).strip(".")
        mailbox = re.match(r"@[a-z0-9]", line.lower()[match.end() :]) and not match[0].endswith(".")
        for host in GOING:
            domain = host.split(".", 1)[1]
            owned = {"web01": "short", "qa-stg01": "short", "proxy07-stg": "short", host: "full"}
            for name, kind in owned.items():
                if not host.startswith(name.replace("proxy07-stg", "proxy07.stg")):
                    continue
                if kind == "short" and mailbox and token.endswith(name):
                    continue
                if token == name or (
                    token.startswith(name + ".") and set(token[len(name) + 1 :].split(".")) <= ENDINGS
                ):
                    found.add(host)
                elif kind == "full" and re.match(re.escape(name) + "[-_]", token) and name.count(".") >= 2:
                    tail = token[len(name) :]
                    if not (re.fullmatch(r"-\d+", tail) and TABLE.find(token)):
                        found.add(host)
                elif kind == "short" and (instance := re.match(re.escape(name) + r"-\d+(?![\w-])", token)):
                    rest = token[instance.end() + 1 :]
                    if TABLE.find(instance[0]) is None and (
                        not rest or rest == domain or set(rest.split(".")) <= ENDINGS
                    ):
                        found.add(host)
                elif _below(token, name) and TABLE.find(token) is None:
                    found.add(host)
        for prefix, host in (("seoul.mirror", SEOUL), ("proxy07.stg", "proxy07.stg.example.org")):
            if mailbox and token.endswith(prefix):
                continue
            if token == prefix or (
                token.startswith(prefix + ".") and set(token[len(prefix) + 1 :].split(".")) <= ENDINGS
            ):
                found.add(host)
            if token.endswith("." + prefix) and not TABLE.is_domain(prefix) and not token.split(".")[0][-1].isdigit():
                found.add(host)
        if token == "kr-mirror" or re.search(r"(?<![\w-])kr-mirror(?![\w-])", token):
            found.add(SEOUL)
        if re.search(r"(?<![a-z0-9_])(?<!\d\.)10\.0\.0\.17(?![a-z0-9_])(?!\.\d)", token) and not re.search(
            r"-10\.0\.0\.17-\d", token
        ):
            found.add(WEB)
        reverse = re.search(r"(?<![\w.-])17\.0\.0\.10\.in-addr\.arpa((?:\.\w+)*)(?![\w-])(?!\.\w)", token)
        if reverse and set(reverse[1].split(".")[1:]) <= ENDINGS:
            found.add(WEB)
    return found


PIECES = st.sampled_from(
    [
        *GOING,
        *"web01 qa-stg01 seoul.mirror seoul kr-mirror proxy07.stg proxy07 mail arm 10.0.0.17".split(),
        *"example.org other.org".split(),
        *"17.0.0.10.in-addr.arpa web 01 x old docs node1 1 conf j2 - - . . _ : / @ , = ( )".split(),
        *' " '.split(" "),
        " ",
    ]
)
LINES = st.lists(PIECES, min_size=1, max_size=8).map("".join).filter(lambda line: not re.search(r"[.-]\.|\.-", line))


@settings(max_examples=1500)
@given(st.lists(LINES, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))
@example(["x.web01.conf"], "\n")
@example([").17.0.0.10.in-addr.arpa"], "\n")
@example(["(x).arm.example.org"], "\n")
@example(["qa-stg01-1.example.org.conf"], "\n")
def test_like_the_reference(lines: list[str], end: str) -> None:
    found: dict[int, set[str]] = {}
    for one in SCANNER.scan(end.join(lines).encode()):
        found.setdefault(one.line, set()).add(one.identity.host)
    for number, line in enumerate(lines, 1):
        assert found.get(number, set()) == reference(line), line


@settings(max_examples=300)
@given(
    st.text(max_size=200),
    st.sampled_from(["web01", WEB, "10.0.0.17", STAGING, SEOUL]),
    st.sampled_from(["", " ", "\t", "(", "[", '"', "'", "@", "//", "=", ",", ":", ";", "|", "<"]),
    st.sampled_from(["", " ", "\t", ")", "]", '"', "'", ":", "/", ",", ";", "|", ">", ".", "\r"]),
    st.text(max_size=200),
)
def test_planted_identities_are_found(before: str, name: str, left: str, right: str, after: str) -> None:
    text = f"{before}\n{left}{name}{right}\n{after}".encode("utf-8", "replace")
    assert any(one.line == before.count("\n") + 2 for one in SCANNER.scan(text) if one.identity.text == name)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_do_no_harm(content: bytes) -> None:
    for one in SCANNER.scan(content + b"\nweb01"):
        assert one.line >= 1


def test_a_cut_name_of_a_staging_host_does_not_make_it_own_the_short_name() -> None:
    table = HostTable()
    table.add("db01.example.org", "test")
    table.alias(table.add("db01.stg.example.org", "test"), "db01.stg")
    assert "db01" not in {one.text for one in identities(table, ["db01.stg.example.org"])}
    assert "db01" in {one.text for one in identities(table, ["db01.example.org"])}


def test_a_pattern_of_any_number_is_no_use_of_one_of_many() -> None:
    table = HostTable()
    for name in ("web01.example.org", "web02.example.org", "db01.example.org"):
        table.add(name, "test")
    scanner = MentionScanner(table, identities(table, ["web01.example.org", "db01.example.org"]))
    assert not scanner.scan(rb"Rewrite (web\d+)/x")
    assert not scanner.scan(b"web[0-9]{2}.example.org")
    assert [one.identity.host for one in scanner.scan(b"web[01:20].example.org")] == ["web01.example.org"]
    assert [one.identity.host for one in scanner.scan(rb"match (db\d+)")] == ["db01.example.org"]
