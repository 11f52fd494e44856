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
    return [(one.line, one.text) for one in in_base64(text.encode(), SCANNER.scan)]


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
        (3, "  url: ‹base64 with infra1.example.net›"),
    ]


def test_a_command_of_powershell_is_of_16_bit_characters() -> None:
    command = value("Invoke-Command -ComputerName infra1.example.net", "utf-16-le")
    assert [line for line, _ in lines(f"\npowershell -EncodedCommand {command}\n")] == [2]


def test_files_without_such_values_are_not_looked_through() -> None:
    assert not may_hold(f"url: {value('https://infra1.example.net/')}".encode())
    assert lines("Secret: " + value("https://infra1.example.net/") + "x/.y") == []


@given(st.binary(max_size=200), st.text(max_size=60))
def test_no_content_is_too_bad(content: bytes, text: str) -> None:
    list(in_base64(content, SCANNER.scan))
    list(in_base64(b"base64 " + b64encode(text.encode("utf-8", "surrogatepass")) + b"=" + content, SCANNER.scan))
