"""Names in base64: what is decoded, and that nothing of a value but the name is shown."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.graph.encoded import in_base64, may_hold
from auditor.graph.hosts import HostTable, identities
from auditor.graph.mentions import MentionScanner


def scanner() -> MentionScanner:
    table = HostTable(("example.net",))
    table.add("infra1.example.net", "asked")
    table.add("infra10.example.net", "declared")
    return MentionScanner(table, identities(table, ["infra1.example.net"]))


SCANNER = scanner()


def value(text: str, encoding: str = "utf-8") -> str:
    return b64encode(text.encode(encoding)).decode()


def lines(text: str) -> list[tuple[int, str]]:
    assert may_hold(text.encode())
    return [(one.line, one.text) for one in in_base64(text.encode(), SCANNER.scan)[0]]


SECRET = "kind: Secret\ndata:\n  url: {}\n"


@pytest.mark.parametrize(
    ("plain", "found"),
    [
        ("postgres://app:hunter22@infra1.example.net/shop", True),
        ('{"auths": {"infra1.example.net:5000": {"auth": "Y2k6cHc="}}}\n', True),
        ("host=infra1\nport=5432\n", True),
        ("postgres://app:hunter22@infra10.example.net/shop", False),
        ("x\x01 infra1.example.net in a program", False),
    ],
)
def test_values_of_a_secret(plain: str, found: bool) -> None:
    told = lines(SECRET.format(value(plain)))
    assert [line for line, _ in told] == [3] * found
    assert all("hunter22" not in text and value(plain) not in text for _, text in told)


def test_the_key_and_the_name_are_shown() -> None:
    assert lines(SECRET.format(value("https://infra1.example.net/"))) == [
        (3, "url: ‹base64 with infra1.example.net›"),
    ]


URL = value("postgres://app@infra1.example.net/shop")
OTHER = value("correct horse battery staple " * 4)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f'{{"data": {{"zeta": "{OTHER}", "url": "{URL}"}}}}', '"url": "'),
        (f"data: {{zeta: {OTHER[:20]}, url: {URL}}}", "url: "),
        (f"deploy --zeta {OTHER} -enc {URL}", "-enc "),
        (f"ZETA={OTHER[:20]} URL_B64={URL}", "URL_B64="),
        (f"data:text/plain;base64,{URL}", "base64,"),
        (f"{OTHER[:20]} {URL}", ""),
        (f"{OTHER[:19]}= {URL}", ""),
        (f"deploy -phunter22 {URL}", ""),
        (f"powershell -EncodedCommand '{URL}'", "-EncodedCommand '"),
        (f"url = {URL}", "url = "),
    ],
)
def test_other_values_of_the_line_are_not_shown(line: str, shown: str) -> None:
    assert lines(f"kind: Secret\n{line}\n") == [(2, f"{shown}‹base64 with infra1.example.net›")]


def test_an_address_is_found_however_short() -> None:
    table = HostTable()
    table.address(table.add("infra1.example.net", "asked"), "1.2.3.4")
    scan = MentionScanner(table, identities(table, ["infra1.example.net"])).scan
    found, _ = in_base64(SECRET.format(value("1.2.3.4")).encode(), scan)
    assert [one.text for one in found] == ["url: ‹base64 with 1.2.3.4›"]


def test_values_beyond_the_limit_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SECRET.format(URL) + SECRET.format(URL)
    found, whole = in_base64(text.encode(), SCANNER.scan)
    assert (len(found), whole) == (2, True)
    monkeypatch.setattr("auditor.graph.encoded._SIZE", len(URL))
    found, whole = in_base64(text.encode(), SCANNER.scan)
    assert (len(found), whole) == (1, False)


def test_a_comment_stays_one() -> None:
    found, _ = in_base64(f"kind: Secret\n# url: {URL}\n  url: {URL}\n".encode(), SCANNER.scan)
    assert [(one.line, one.comment) for one in found] == [(2, True), (3, False)]


def test_a_command_of_powershell_is_of_16_bit_characters() -> None:
    command = value("Invoke-Command -ComputerName infra1.example.net", "utf-16-le")
    assert [line for line, _ in lines(f"\npowershell -EncodedCommand {command}\n")] == [2]


def test_files_without_such_values_are_not_looked_through() -> None:
    assert not may_hold(f"url: {value('https://infra1.example.net/')}".encode())
    assert lines("Secret: " + value("https://infra1.example.net/") + "x/.y") == []


@given(st.binary(max_size=200), st.text(max_size=60))
def test_no_content_is_too_bad(content: bytes, text: str) -> None:
    in_base64(content, SCANNER.scan)
    in_base64(b"base64 " + b64encode(text.encode("utf-8", "surrogatepass")) + b"=" + content, SCANNER.scan)
