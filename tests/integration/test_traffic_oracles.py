"""nginx, HAProxy and Apache (Debian's packages) against the collectors: the same files, hosts, pools and bad lines.

`nginx -T` shows what nginx read and in which order; a running HAProxy tells the servers of its backends; Apache lists
its virtual hosts with their names, files and lines.
"""

from __future__ import annotations

import re
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed, Relation
from collectors.traffic.apache import ApacheCollector
from collectors.traffic.haproxy import HaproxyCollector
from collectors.traffic.nginx import NginxCollector
from tests.integration.programs import PATIENCE, need, running, settled
from tests.realfiles import CORPUS, MISSING

pytestmark = pytest.mark.integration

# What nginx says of the form of a file, and not of this machine (hosts that don't resolve, files that are not here).
OF_THE_FORM = re.compile(
    r"unexpected (?:\"[;{}]\"|end of file)|is not terminated by \";\"|has no opening \"\{\"|invalid number of arguments"
)


def facts_of(collector: Collector, documents: dict[str, bytes]) -> list[Parsed]:
    found: list[Parsed] = []
    for path, content in documents.items():
        found.extend(
            Fragment(one.kind, one.value, one.where, "host", path) if isinstance(one, Fragment) else one
            for one in collector.parse(Document(path, content))
        )
    fragments = [one for one in found if isinstance(one, Fragment)]
    return [*found, *collector.combine(fragments, documents.get)]


def edges(facts: list[Parsed]) -> set[tuple[str, str, str, str]]:
    return {
        (one.consumer.text, str(one.relation), one.provider.text, one.group)
        for one in facts
        if isinstance(one, Dependency)
    }


def nginx(prefix: Path, main: str) -> tuple[str, str]:
    """What `nginx -T` prints of a configuration, and what it complains of. It gets a private place for its files."""
    command = [need("nginx"), "-T", "-p", str(prefix), "-c", str(prefix / main), "-e", str(prefix / "error.log")]
    command += ["-g", f"pid {prefix}/nginx.pid;"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    errors = done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else "", errors


def certificate(directory: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example.net")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    (directory / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


TREE = {
    "nginx.conf": """
events {}
http {
    access_log off;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    include conf.d/*.conf;
    include sites-enabled/*;
    include "quoted dir/[ab].conf";
    include missing/*.conf;
}
""",
    "conf.d/10-upstreams.conf": """upstream pool {
    server 127.0.0.1:81;
    server 127.0.0.2:82 backup;
    server 127.0.0.3 down;
}
""",
    "conf.d/20-more.conf": "include snippets/deep.conf;\n",
    "conf.d/30-ignored.conf.bak": "server { listen 8099; location / { proxy_pass http://127.0.9.9; } }\n",
    "conf.d/.hidden.conf": "server { listen 8098; location / { proxy_pass http://127.0.9.8; } }\n",
    "sites-enabled/default": """server {
    listen 8443 ssl;
    server_name a.example.net;
    include snippets/locations.conf;
}
""",
    "sites-available/unused": "server { listen 8097; location / { proxy_pass http://127.0.9.7; } }\n",
    "quoted dir/a.conf": """server { listen 8083; server_name q.example.net;
    location / { fastcgi_pass 127.0.0.9:9000; } }
""",
    "quoted dir/c.conf": "server { listen 8096; location / { proxy_pass http://127.0.9.6; } }\n",
    "snippets/locations.conf": "location / { proxy_pass https://pool; }\nlocation /x { include snippets/pass.conf; }\n",
    "snippets/pass.conf": "proxy_pass http://127.0.0.7:8087;\n",
    "snippets/deep.conf": """server { listen 8084; server_name deep.example.net;
    return 301 https://a.example.net$uri; }
""",
}


def test_includes_are_nginxs(tmp_path: Path) -> None:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    certificate(tmp_path)
    dump, errors = nginx(tmp_path, "nginx.conf")
    assert dump, errors
    collector = NginxCollector()
    from_files = facts_of(collector, {str(tmp_path / name): text.encode() for name, text in TREE.items()})
    from_dump = facts_of(collector, {"/capture/nginx-T.txt": dump.encode()})
    assert collector.recognizes("/capture/nginx-T.txt", dump.encode()[:4096])
    assert edges(from_files) == edges(from_dump)
    assert not [one for one in (*from_files, *from_dump) if isinstance(one, Malformed)]
    # The files that nginx read are the files that facts come from.
    read = set(re.findall(r"^# configuration file (.*):$", dump, re.MULTILINE))
    used = {one.where.path for one in from_files if isinstance(one, Entity | Dependency)}
    assert used <= read
    assert ("nginx server a.example.net", "backed-by", "http://127.0.0.7:8087", "") in edges(from_files)
    assert ("nginx server a.example.net", "reads", f"{tmp_path}/cert.pem", "") in edges(from_files)
    assert not [edge for edge in edges(from_files) if "127.0.9." in edge[2]]


BAD = [
    "http { server { listen 8080; location / { proxy_pass http://127.0.0.1\n } } }",
    "http { server { listen; } }",
    "http { server {\n\n listen 8080; } } }",
    "http {\n server { listen 8080; }\n",
    "http { ; }",
    "http { server listen 8080; }",
    "http { server { server_name; } }",
    "http { upstream a b { server 127.0.0.1; } }",
    "http {\n server {\n  client_max_body_size;\n  listen 8080;\n }\n}\n",
    "http { server { listen 8080 }",
]


@pytest.mark.parametrize("text", BAD)
def test_what_nginx_refuses_is_named_on_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "nginx.conf").write_text(f"events {{}}\n{text}")
    dump, errors = nginx(tmp_path, "nginx.conf")
    assert not dump
    found = re.search(r"\[emerg\] .* in \S+:(\d+)", errors)
    assert found, errors
    assert OF_THE_FORM.search(errors), errors
    bad = [
        one.where.line
        for one in facts_of(NginxCollector(), {"/etc/nginx/nginx.conf": f"events {{}}\n{text}".encode()})
        if isinstance(one, Malformed)
    ]
    # nginx names the line where it noticed, we that of the directive's beginning.
    assert bad
    assert bad[0] <= int(found[1])


def test_the_corpus_is_taken_and_refused_as_nginx_does(tmp_path: Path) -> None:
    files = sorted((CORPUS / "nginx").glob("*"))
    if not files:
        pytest.skip(MISSING)
    certificate(tmp_path)
    collector = NginxCollector()
    taken = refused = 0
    for file in files:
        content = file.read_bytes()
        path = f"/etc/nginx/{file.name}"
        whole = re.search(rb"(?m)^\s*\"?(?:http|events|stream)\"?\s*\{", content) is not None
        (tmp_path / "one.conf").write_bytes(content)
        wrapped = f"events {{}}\nhttp {{ include {tmp_path}/one.conf; }}\n"
        extra = b"" if re.search(rb"(?m)^\s*\"?events\"?\s*\{", content) else b"\nevents {}\n"
        (tmp_path / "main.conf").write_bytes(content + extra if whole else wrapped.encode())
        dump, errors = nginx(tmp_path, "main.conf")
        facts = facts_of(collector, {path: content})
        bad = [one for one in facts if isinstance(one, Malformed)]
        if dump:
            taken += 1
            assert not bad, (file.name, bad)
            # Names of files apart, the dump says what the file says.
            mine = {(edge[1], edge[2], edge[3]) for edge in edges(facts) if edge[1] != "runs-on" and " " not in edge[2]}
            theirs = {
                (edge[1], edge[2].replace(str(tmp_path), "/etc/nginx"), edge[3])
                for edge in edges(facts_of(collector, {"/capture/dump": dump.encode(errors="surrogateescape")}))
                if edge[1] != "runs-on" and " " not in edge[2]
            }
            assert mine == theirs, file.name
        elif OF_THE_FORM.search(errors):
            refused += 1
            assert bad, (file.name, errors)
    assert taken >= 12
    assert refused >= 2


def haproxy_says(tmp_path: Path, text: str) -> list[int]:
    (tmp_path / "haproxy.cfg").write_text(text)
    command = [need("haproxy"), "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    return [int(line) for line in re.findall(r"\[\S*haproxy\.cfg:(\d+)\]", done.stderr.decode(errors="replace"))]


@pytest.mark.parametrize(
    "text",
    [
        "retries 3\nglobal\n",
        "global\n\nfrontend\n    bind 127.0.0.1:8080\n",
        "backend a\n    mode http\n    server x 127.0.0.1:80 # it's a comment\n    description \"open\n",
        "defaults\n    timeout connect 1s\nbackend\n",
    ],
)
def test_what_haproxy_refuses_is_named_on_its_line(tmp_path: Path, text: str) -> None:
    theirs = haproxy_says(tmp_path, text)
    facts = facts_of(HaproxyCollector(), {"/etc/haproxy/haproxy.cfg": text.encode()})
    bad = [one.where.line for one in facts if isinstance(one, Malformed)]
    assert bad
    assert set(bad) <= set(theirs)


RUNNING = r"""
global
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    default-server weight 10
backend plain
    server one 127.0.0.1:8001
    server two 127.0.0.2:8002 backup
    server "three" 127.0.0.3:8003 disabled   # server four 127.0.0.4:8004
    server 'fi'v"e" "ipv4@127.0.0.5":8005#no blank before this comment
    server six ::1:8006
    server seven [::1]:8007
listen both
    bind unix@{directory}/both.sock
    server eight 127.0.0.8:8008
backend none
    server-template t 2 127.0.0.9:8009
"""


def test_a_running_haproxy_has_the_same_servers(tmp_path: Path) -> None:
    place = tmp_path / "s"
    text = RUNNING.replace("{socket}", str(place)).replace("{directory}", str(tmp_path))
    (tmp_path / "haproxy.cfg").write_text(text)
    command = [need("haproxy"), "-db", "-f", tmp_path / "haproxy.cfg"]
    with running(command, tmp_path / "log", place.exists):
        answer = settled(lambda: _asked(place, "show servers state\n"), bool)
    rows = [line.split() for line in answer.splitlines() if line[:1].isdigit() and len(line.split()) > 10]
    theirs: dict[str, set[str]] = {}
    for row in rows:
        # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ... srv_port
        if not int(row[6]) & 0x01 and not int(row[6]) & 0x04:
            port = row[18]
            address = f"[{row[4]}]" if ":" in row[4] else row[4]
            theirs.setdefault(row[1], set()).add(f"{address}:{port}")
    ours: dict[str, set[str]] = {}
    for one in facts_of(HaproxyCollector(), {"/etc/haproxy/haproxy.cfg": text.encode()}):
        if isinstance(one, Dependency) and one.relation is Relation.BACKED_BY:
            ours.setdefault(one.consumer.text.split()[-1], set()).add(one.provider.text)
    assert theirs
    assert ours == theirs


def _asked(place: Path, command: str) -> str:
    """The answer on a socket of HAProxy; nothing before it listens there."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(place))
            client.sendall(command.encode())
            parts = []
            while part := client.recv(65536):
                parts.append(part)
            return b"".join(parts).decode()
    except OSError:
        return ""


def test_the_corpus_of_haproxy_is_taken(tmp_path: Path) -> None:
    files = sorted((CORPUS / "haproxy").glob("*"))
    if not files:
        pytest.skip(MISSING)
    taken = 0
    for file in files:
        text = file.read_text(errors="surrogateescape")
        bad = [
            one.where.line
            for one in facts_of(HaproxyCollector(), {"/etc/haproxy/haproxy.cfg": text.encode(errors="surrogateescape")})
            if isinstance(one, Malformed)
        ]
        if "{%" in text:
            continue
        theirs = haproxy_says(tmp_path, text)
        taken += not theirs
        assert set(bad) <= set(theirs), (file.name, bad, theirs)
    assert taken >= 2


MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm")
SITES = {
    "apache2.conf": """Include ports.conf
IncludeOptional sites-enabled/*.conf
IncludeOptional missing/*.conf
Include more
<IfModule mod_proxy.c>
    <VirtualHost *:8080>
        ServerName inside.example.net:8080
        ServerAlias in1.example.net \\
            in2.example.net
    </VirtualHost>
</IfModule>
""",
    "ports.conf": "Listen 8080\n",
    "sites-enabled/10-a.conf": """# <VirtualHost *:8080>
<virtualhost *:8080 127.0.0.1:8081>
    servername "A.example.net"
    SERVERALIAS *.a.example.net www.a.example.net
    ProxyPass "/x" "http://127.0.0.1:9000/x" retry=0
    <Location "/y">
        ProxyPass http://127.0.0.1:9001/
    </Location>
</virtualhost>
""",
    "sites-enabled/20-macro.conf": """<Macro Site $name $host>
<VirtualHost *:8080>
    ServerName $host
    ServerAlias $name.alias.example.net
    ProxyPass / http://$name.inner.example.net/
</VirtualHost>
</Macro>
Use Site one one.example.net
use site two two.example.net
""",
    "sites-enabled/not.conf.bak": "<VirtualHost *:8080>\nServerName never.example.net\n</VirtualHost>\n",
    "sites-available/unused.conf": "<VirtualHost *:8080>\nServerName unused.example.net\n</VirtualHost>\n",
    "more/b.conf": """Define HOST b.example.net
<VirtualHost *:8080>
    ServerName ${HOST}
</VirtualHost>
# a comment that goes on \\
<VirtualHost *:8080>
<VirtualHost *:8080>
    ServerName c.example.net
</VirtualHost>
""",
}


def apache(root: Path, *options: str) -> tuple[int, str]:
    """What apache2 says of a configuration in a directory, with the modules that the tests need."""
    found = need("apache2")
    loads = [*MODULES, "macro"]
    modules = Path("/usr/lib/apache2/modules")
    head = "".join(f"LoadModule {one}_module {modules}/mod_{one}.so\n" for one in loads)
    head += f"PidFile {root}/pid\nErrorLog {root}/error.log\nServerName localhost\nDefaultRuntimeDir {root}\n"
    (root / "start.conf").write_text(f"{head}Include {root}/apache2.conf\n")
    done = subprocess.run(
        [found, "-d", str(root), "-f", str(root / "start.conf"), *options],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def test_apache_has_the_same_virtual_hosts(tmp_path: Path) -> None:
    for name, text in SITES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    status, told = apache(tmp_path, "-t", "-D", "DUMP_VHOSTS")
    assert status == 0, told
    theirs: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for line in told.splitlines():
        if found := re.search(r"(?:namevhost|\d) +(\S+) \((.+):\d+\)", line):
            name = found[1].lower()
            theirs.setdefault(name, (found[2], set()))
        elif found := re.search(r"^ +(?:wild )?alias (\S+)", line):
            theirs[name][1].add(found[1].lower())
    collector = ApacheCollector()
    documents = {str(tmp_path / one): text.encode() for one, text in SITES.items()}
    ours = {
        one.ref.text.removeprefix("apache server "): (one.where.path, set(names[1:]))
        for one in facts_of(collector, documents)
        if isinstance(one, Entity) and isinstance(names := one.attributes.get("names"), tuple)
    }
    assert len(ours) == 6
    assert {one: names for one, (_, names) in ours.items()} == {one: names for one, (_, names) in theirs.items()}
    # Of a macro Apache tells no file.
    assert {one: path for one, (path, _) in ours.items() if one not in ("one.example.net", "two.example.net")} == {
        one: path for one, (path, _) in theirs.items() if one not in ("one.example.net", "two.example.net")
    }


def test_apache_does_not_miss_the_end_of_a_condition(tmp_path: Path) -> None:
    text = "<IfModule mod_proxy.c>\n<VirtualHost *:80>\nServerName a.example.net\n</VirtualHost>\n"
    (tmp_path / "apache2.conf").write_text(text)
    status, told = apache(tmp_path, "-t")
    assert status == 0, told
    facts = facts_of(ApacheCollector(), {str(tmp_path / "apache2.conf"): text.encode()})
    assert not [one for one in facts if isinstance(one, Malformed)]


@pytest.mark.parametrize(
    "text",
    [
        "</Location>\n",
        "\n<VirtualHost *:80\nServerName a.example.net\n</VirtualHost>\n",
        "<VirtualHost *:80>\n<Directory /srv>\nRequire all granted\n</VirtualHost>\n",
        "\n<VirtualHost *:80>\n<IfModule mod_proxy.c>\n</IfModule>\n",
    ],
)
def test_what_apache_refuses_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "apache2.conf").write_text(text)
    status, told = apache(tmp_path, "-t")
    assert status != 0
    assert "yntax error" in told or "not closed" in told or "without matching" in told, told
    facts = facts_of(ApacheCollector(), {str(tmp_path / "apache2.conf"): text.encode()})
    bad = [one.where.line for one in facts if isinstance(one, Malformed)]
    assert bad
    if found := re.search(r"error on line (\d+) of \S+apache2\.conf", told):
        # Apache may notice where the section ends that we name where it begins.
        assert min(bad) <= int(found[1])
