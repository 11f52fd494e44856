"""Any bytes: the collectors of proxies, balancers and caches give facts or Malformed, no error, in time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed
from collectors.traffic.apache import ApacheCollector
from collectors.traffic.envoy import EnvoyCollector
from collectors.traffic.haproxy import HaproxyCollector
from collectors.traffic.keepalived import KeepalivedCollector
from collectors.traffic.nginx import NginxCollector
from collectors.traffic.squid import SquidCollector
from collectors.traffic.varnish import VarnishCollector
from tests.realfiles import CORPUS, MISSING

# Each collector with a path that it takes, and words of its format to build hostile text from.
FORMATS: list[tuple[Collector, str, str]] = [
    (
        NginxCollector(),
        "/etc/nginx/nginx.conf",
        """http { } ; server upstream location proxy_pass http://a.b:80 $x %} ssl %d set include nginx.conf *.conf [
        server_name _ listen 443 ssl ssl_certificate /x " ' \\ # content_by_lua_block unix:/x backup down resolver [::1]
        {{ }} {% %} access_log syslog:server=a:1, stream mail auth_http 10.0.0.1:99999999 ~^(""",
    ),
    (
        ApacheCollector(),
        "/etc/apache2/apache2.conf",
        """<VirtualHost *:443> </VirtualHost> <Macro M $a> </Macro> Use M $a Include apache2.conf sites/* ServerName a.b
        ProxyPass / http://a/ balancer://c/ <Proxy "balancer://c"> </Proxy> BalancerMember http://b status=+D " ' \\
        RewriteRule ^ http://c$1 [P] Define A b ${A} SSLCertificateFile /x < > </ #""",
    ),
    (
        HaproxyCollector(),
        "/etc/haproxy/haproxy.cfg",
        """global defaults from frontend backend listen peers resolvers ring a b server s 10.0.0.1:80 [::1]:x unix@/x
        ipv4@a:+1 check backup disabled server-template 1-9 bind :80 ssl crt x crt-base /y use_backend default_backend
        log " ' \\ # ${X} %[x] nameserver peer .if""",
    ),
    (
        EnvoyCollector(),
        "etc/envoy/envoy.yaml",
        """static_resources: clusters: listeners: - name: a load_assignment: endpoints: lb_endpoints: endpoint: address:
        socket_address: {address: a, port_value: 1} [ ] { } &x *x << : cluster: a weighted_clusters: target_uri:""",
    ),
    (
        KeepalivedCollector(),
        "/etc/keepalived/keepalived.conf",
        """vrrp_instance a { } unicast_peer virtual_ipaddress 10.0.0.1/24 virtual_server 10.0.0.1 80 fwmark real_server
        weight 0 notify "/x y" misc_path script ! # " ' \\ global_defs smtp_server {{""",
    ),
    (
        SquidCollector(),
        "/etc/squid/squid.conf",
        """cache_peer a.b parent sibling 3128 0 originserver name=x cache_peer_access allow all never_direct http_port
        cert=/x auth_param basic program /y -h z icap_service a b icap://c/d bypass=1 access_log udp:// tcp:x:1""",
    ),
    (
        VarnishCollector(),
        "/etc/varnish/default.vcl",
        """backend a { .host = "b"; .port = "80"; } director d new p = directors.x() p.add_backend(a) ; { } . = ( ) "
        {" "} /* */ // # C{ }C none""",
    ),
]
WORDS = st.integers(0, len(FORMATS) - 1).flatmap(
    lambda index: st.tuples(
        st.just(index),
        st.lists(st.sampled_from([*FORMATS[index][2].split(), "\n", "\n", "\n  ", "é", "\x00", "\u202e"]), max_size=60),
        st.sampled_from([" ", "", "\n"]),
    )
)
QUICK = settings(max_examples=300)


def read(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    """All that a collector yields of one document, with what it makes of its own fragments."""
    collector.recognizes(path, content[:4096])
    facts = list(collector.parse(Document(path, content)))
    fragments = [Fragment(one.kind, one.value, one.where, "h", path) for one in facts if isinstance(one, Fragment)]
    for one in fragments:
        hash(one.value)
    facts.extend(collector.combine(fragments, {path: content}.get))
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for one in facts:
        assert isinstance(one, Entity | Dependency | Malformed | Fragment)
        assert 0 <= one.where.line <= lines
    return facts


@QUICK
@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    for collector, path, _ in FORMATS:
        read(collector, path, content)


@QUICK
@given(WORDS)
def test_words_of_the_format_in_any_order(drawn: tuple[int, list[str], str]) -> None:
    index, words, between = drawn
    collector, path, _ = FORMATS[index]
    read(collector, path, between.join(words).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(("collector", "path", "_words"), FORMATS, ids=lambda one: getattr(one, "name", ""))
@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "}",
        "a {",
        "a{b;",
        '"',
        "'a ",
        "\\",
        "<VirtualHost x>\n",
        "<",
        "< ",
        "[",
        "/*",
        '{"',
        "C{",
        "backend a {",
        "backend a ",
        "director a x ",
        '"\\',
        "include nginx.conf;",
        "server { include nginx.conf; }\n",
        "Include apache2.conf\n",
        "<Macro a $b>\nUse a $b$b\n</Macro>\nUse a x\n",
        "set $a $a;",
        " " * 50 + "x",
        "(",
        "- ",
        "&a *a ",
    ],
)
def test_much_of_one_thing_takes_no_time(collector: Collector, path: str, _words: str, piece: str) -> None:
    content = (piece * (50_000 // len(piece))).encode()
    started = time.process_time()
    read(collector, path, content)
    assert time.process_time() - started < 5


def test_a_pattern_of_includes_does_not_multiply() -> None:
    collector = NginxCollector()
    count = 30
    names = [f"/etc/nginx/conf.d/{number}.conf" for number in range(count)]
    body = b"include conf.d/*.conf;\nserver { server_name a.example.net; include conf.d/*.conf; }\n"
    fragments = []
    for name in ["/etc/nginx/nginx.conf", *names]:
        for one in collector.parse(Document(name, b"http { include conf.d/*.conf; }" if "nginx.c" in name else body)):
            assert isinstance(one, Fragment)
            fragments.append(Fragment(one.kind, one.value, one.where, "h", name))
    started = time.process_time()
    list(collector.combine(fragments, lambda _: None))
    assert time.process_time() - started < 10


@pytest.mark.parametrize(("kind", "index"), [("nginx", 0), ("apache", 1), ("haproxy", 2)])
def test_every_file_of_the_corpus(kind: str, index: int) -> None:
    files = sorted((CORPUS / kind).glob("*"))
    if not files:
        pytest.skip(MISSING)
    collector = FORMATS[index][0]
    known = 0
    for file in files:
        path = f"{kind}/{file.name.replace('__', '/')}"
        content = file.read_bytes()
        started = time.process_time()
        known += collector.recognizes(path, content[:4096])
        read(collector, path, content)
        assert time.process_time() - started < 2
    assert known >= len(files) * 0.8
