"""Secrets out, the words around them and what only looks like one left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from auditor.capture.redacted import redacted
from auditor.redaction import MARK, _rules_for, redact
from auditor.secret_patterns import RULES
from auditor.text import endpoint_ref

WORD = "s3cr3tW0rdXYZ0123456789"
HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "line",
    [
        f"https://user:{WORD}@host/x",
        f"curl -sS -u user:{WORD} https://host",
        f"curl --proxy-user user:{WORD} https://host",
        f"lftp -u user,{WORD} sftp://host",
        f"smbclient //host/share -U user%{WORD}",
        f"sshpass -p {WORD} ssh host",
        f"mysql -h host -p{WORD} db",
        f"redis-cli -h host -a {WORD} ping",
        f"ldapsearch -H ldap://host -w {WORD}",
        f"ipmitool -H host -U admin -P {WORD} power status",
        f"openssl rsa -passin pass:{WORD} -in key",
        f"keytool -importkeystore -deststorepass {WORD} -destkeystore x.jks",
        f'<Connector keystorePass="{WORD}" keystoreFile="/x.jks"/>',
        f"wget --http-password {WORD} https://host",
        f"tool --api-key={WORD} --host host",
        f"machine host login user password {WORD}",
        f'key k {{ secret "{WORD}"; }};',
        f"Authorization: Basic {WORD}",
        f"-H 'X-Auth-Token: {WORD}'",
        f"DB_PASSWORD={WORD}",
        f'"secret_key": "{WORD}"',
        f"signing-key: {WORD}",
        f"db_pass: {WORD}",
        f"pwd={WORD};",
        f"username=u,password={WORD}",
        f"github_pat_{WORD}{WORD}",
        f"glpat-{WORD}",
        f"hvs.{WORD}",
        f"eyJhbGciOiJIUzI1.{WORD}.{WORD}",
        f"root:$6$salt${WORD}:19000:",
        f"https://hooks.slack.com/services/T01/B01/{WORD}",
        f"https://discord.com/api/webhooks/123/{WORD}",
        f"https://api.telegram.org/bot12:{WORD}/send",
        f"https://x.webhook.office.com/webhookb2/{WORD}@y/IncomingWebhook/z",
        f"ACL=('/srv' 'ftp:user:{WORD}:host:/path')",
        f"davs:user:{WORD}:host:443:/path",
        f'"key": "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0t{WORD}"',
        f"-----BEGIN RSA PRIVATE KEY-----\\n{WORD}",
    ],
)
def test_secrets(line: str) -> None:
    shown = redact(f"at host.example.org {line} then")
    assert WORD not in shown
    assert MARK in shown
    assert shown.startswith("at host.example.org ")


@pytest.mark.parametrize(
    "line",
    [
        "curl -fsS https://host.example.org/push",
        "password: {{ vault_password }}",
        "password=$DB_PASSWORD",
        "token_file: /etc/token",
        "password_file = /etc/x",
        "--password-file /etc/x host",
        "tokens: true",
        "bypass: proxy.example.org",
        "passive = yes",
        "keyboard: us",
        "public_key: ssh-ed25519 AAAA",
        "compass: north",
        "http://secrets.example.org:8200/v1/secret/data",
        "https://slack.com/archives/C01",
        "proxy_pass http://old.example.org:8080;",
        "Pass through old.example.org",
    ],
)
def test_what_is_none(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize("line", (HERE / "secrets_told.txt").read_text().splitlines())
def test_ways_of_telling_a_secret(line: str) -> None:
    """As they are written on command lines, in configurations and in scripts; HUSHED stands for the secret."""
    assert "HUSHED" in line
    shown = redacted(line.replace("HUSHED", WORD).encode()).decode()
    assert WORD not in shown
    assert MARK in shown


@pytest.mark.parametrize("line", (HERE / "secrets_not_told.txt").read_text().splitlines())
def test_what_only_looks_like_a_secret(line: str) -> None:
    """A host or a path that is taken for a secret would hide a dependency."""
    assert redacted(line.encode()).decode() == line


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"https://hooks.slack.com/services/T01/B01/{WORD}", f"https://hooks.slack.com/services/{MARK}"),
        (f"https://u:{WORD}@host.example.org/x?token={WORD}#{WORD}", "https://host.example.org/x"),
        ("https://secret:8200/x", "https://secret:8200/x"),
    ],
)
def test_references_hold_no_secret(url: str, text: str) -> None:
    found = endpoint_ref(url)
    assert found is not None
    assert found.text == text


HOSTILE = [
    ("", "z-", "@"),
    ("", "curl ", ""),
    ("curl -", "u", ""),
    ("", "lftp ", ""),
    ("", "mysql ", ""),
    ("check_", "sql", " x"),
    ("", "snmp ", ""),
    ("", "oc login ", ""),
    ("", "mongo ", ""),
    ("", "7z ", ""),
    ("htpasswd -", "b", ""),
    ("", "read ", "<<<"),
    ("", "freerdp ", ""),
    ("", "redis-cli ", ""),
    ("", "ldap_ ", ""),
    ("", "isql ", ""),
    ("--", "a--", "password"),
    ("check_http ", "!-a", ""),
    ('"name": "', "token", ""),
    ("\n", "\n", "password"),
    ("", "login=", ""),
    ("name='", "token", "' value="),
    ("", "x-", ""),
    ("p", "a.", "password"),
    ("pass", ".", ""),
    ("", "eyJ-", ""),
    ("/hooks/", "hooks/", ""),
    ("", "useradd ", ""),
    ("", "ncftp ", ""),
    ("", "plink ", "-pw"),
    ("", "schtasks ", "/rp"),
    ("", "rman ", ""),
    ("", "0", "@tcp("),
    ("", "dig ", ""),
    ("", "http ", "-a"),
    ("", "sql", "connect("),
    ("", "cookie:", ""),
    ("x('", "secret", "'"),
    ("ENV ", "secret", ""),
    ("a_token a.b.c", " ", "x"),
    ("", "a-", " token"),
    ("<a ", " key='token'", ""),
    ("", "password", ""),
    ("", "secret_", ""),
    ("", "://", "@"),
    ("", "echo -", "chpasswd"),
    ("http x", " -a-a", ""),
    ("", "radius-server key-", ""),
]


@pytest.mark.parametrize(("before", "again", "after"), HOSTILE)
def test_long_lines_take_no_long_time(before: str, again: str, after: str) -> None:
    """Each is the worst for some rule: with one that looks on from everywhere 64 kB took a minute and more."""
    text = before + again * (64_000 // len(again)) + after
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("before", "again", "after"),
    [
        ("-----BEGIN PRIVATE KEY-----\n", "+", "!\n"),
        ("-----BEGIN PRIVATE KEY-----\n", " ", "!\n"),
        ('"kind":"Secret"', '"\\', ""),
        ("- name: a_token\n", f"- {' ' * 3900}xvalue\n", ""),
        ("password\n", f"{'expect ' * 580}-pass\n", ""),
        ("", "kind: Secret\n  data:\n", ""),
    ],
)
def test_long_documents_take_no_long_time(before: str, again: str, after: str) -> None:
    text = before + again * (250_000 // len(again)) + after
    started = time.process_time()
    redacted(text.encode())
    assert time.process_time() - started < 3


def test_each_word_of_a_rule_calls_for_it() -> None:
    for number, (words, pattern) in enumerate(RULES):
        assert words, pattern.pattern
        for word in words:
            assert number in _rules_for(f"{word} at the start, in{word}side and at the end: {word}"), pattern.pattern
    assert not _rules_for("0 3 * * * root /usr/local/bin/backup web01.example.org")
