"""Parts of the traffic collectors that a pair of files can't show."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from auditor.api import Dependency, Document, Fragment, Ref
from collectors.traffic.common import Files, ancestors
from collectors.traffic.haproxy import HaproxyCollector
from collectors.traffic.nginx import NginxCollector
from collectors.traffic.nginx_syntax import split

CASES = Path(__file__).parent / "traffic.nginx"


def test_certificates_that_haproxy_has_in_a_list() -> None:
    config = b"global\n crt-base /etc/haproxy/certs\nfrontend a\n bind :443 ssl crt-list /etc/haproxy/list.txt\n"
    listed = b"# those of the shop\nshop.pem [alpn h2] shop.example.net\n\n/etc/ssl/other.pem !old.example.net\n"
    collector = HaproxyCollector()
    path = "/etc/haproxy/haproxy.cfg"
    facts = list(collector.parse(Document(path, config)))
    pieces = [Fragment(one.kind, one.value, one.where, "host", path) for one in facts if isinstance(one, Fragment)]
    found = list(collector.combine(pieces, {"/etc/haproxy/list.txt": listed}.get))
    assert [(one.consumer.text, one.provider.text) for one in found if isinstance(one, Dependency)] == [
        ("haproxy frontend a", "/etc/haproxy/certs/shop.pem"),
        ("haproxy frontend a", "/etc/ssl/other.pem"),
    ]
    assert [(one.where.path, one.where.line) for one in found] == [
        ("/etc/haproxy/list.txt", 2),
        ("/etc/haproxy/list.txt", 4),
    ]
    assert not list(collector.combine(pieces, lambda _: None))


def test_a_file_that_lies_elsewhere_is_read_where_it_is_included() -> None:
    main = b"http { include /srv/app/site.inc; include /srv/app/missing.inc; include $where; }"
    others = {"/srv/app/site.inc": b"\nserver { server_name a.example.net; proxy_pass http://b.example.net; }\n"}
    collector = NginxCollector()
    pieces = [
        Fragment(one.kind, one.value, one.where, "host", "/etc/nginx/nginx.conf")
        for one in collector.parse(Document("/etc/nginx/nginx.conf", main))
        if isinstance(one, Fragment)
    ]
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return others.get(path)

    found = {
        (one.provider.text, one.where.path, one.where.line)
        for one in collector.combine(pieces, read)
        if isinstance(one, Dependency) and one.provider != Ref(one.provider.kind, "")
    }
    assert found == {("http://b.example.net", "/srv/app/site.inc", 2)}
    assert asked == ["/srv/app/site.inc", "/srv/app/missing.inc"]


@pytest.mark.parametrize("name", ["site", "main", "main_api", "main_snippet", "main_upstreams"])
def test_words_are_those_of_crossplane(name: str) -> None:
    """Where nginx and crossplane agree: no braces in words, and no escapes."""
    from crossplane.lexer import _lex_file_object

    text = (CASES / f"{name}.raw").read_text()
    theirs = [one for one in _lex_file_object(StringIO(text)) if one[2] or not one[0].startswith("#")]
    assert "\\." in text or "\\" not in text
    assert list(split(text)) == theirs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # ngx_conf_read_token: a word ends at blanks, `;` and `{`, and a brace after `$` belongs to it.
        ("a b}c;", ["a", "b}c", ";"]),
        ("a ${b}c{", ["a", "${b}c", "{"]),
        ('a "b c\\"d" \'e"\';', ["a", 'b c"d', 'e"', ";"]),
        ("a b\\;c\\ d;", ["a", "b\\;c\\ d", ";"]),
        ("a#b #c;\nd;", ["a#b", "d", ";"]),
        ('a "open', ["a", "open"]),
        ("a \\", ["a", "\\"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [word for word, _, _ in split(text)] == words


def test_patterns_of_includes() -> None:
    files = Files(["/e/a.conf", "/e/.b.conf", "/e/sub/c.conf", "/e/sub/d", "/e/other/c.conf", "/f/a.conf"])
    assert files.matching("*.conf", ["/e"]) == ("/e/a.conf",)
    assert files.matching(".*.conf", ["/e"]) == ("/e/.b.conf",)
    assert files.matching("s*/c.conf", ["/e"]) == ("/e/sub/c.conf",)
    assert files.matching("*/c.conf", ["/e"]) == ("/e/other/c.conf", "/e/sub/c.conf")
    assert files.matching("sub/*", ["/e"]) == ("/e/sub/c.conf", "/e/sub/d")
    assert files.matching("../f/a.conf", ["/e"]) == ("/f/a.conf",)
    assert files.matching("/f/*", ["/e"]) == ("/f/a.conf",)
    assert files.matching("*.conf", ["/g", "/f", "/e"]) == ("/f/a.conf",)
    assert files.matching("[", ["/e"]) == ()


def test_ancestors_end() -> None:
    assert list(ancestors("/a/b/c")) == ["/a/b", "/a", "/"]
    assert list(ancestors("a/b")) == ["a", ""]
    assert list(ancestors("a")) == [""]
