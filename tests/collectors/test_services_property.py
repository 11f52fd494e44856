"""Any bytes: the collectors of services on hosts give facts or Malformed, no error, in time, and keep secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed
from collectors.services.allow_lists import AllowListsCollector
from collectors.services.backup_servers import BackupServersCollector
from collectors.services.backups import BackupsCollector
from collectors.services.databases import DatabasesCollector
from collectors.services.dhcp import DhcpCollector
from collectors.services.directory_services import DirectoryServicesCollector
from collectors.services.mail_relay import MailRelayCollector
from collectors.services.mail_signing import MailSigningCollector
from collectors.services.name_servers import NameServersCollector
from collectors.services.named import NamedCollector
from collectors.services.nfs import NfsCollector
from collectors.services.proxmox import ProxmoxCollector
from collectors.services.rsyncd import RsyncdCollector
from collectors.services.ssh import SshCollector
from collectors.services.time_sync import TimeSyncCollector
from tests.realfiles import CORPUS, MISSING, REPLAYS, SHARED

SECRET = "hunter22-not-for-anyone"

# Each collector with paths that it takes, and words of its formats to build hostile text from.
FORMATS: list[tuple[Collector, tuple[str, ...], str]] = [
    (
        SshCollector(),
        ("/etc/ssh/ssh_config", "/etc/ssh/sshd_config", "/root/.ssh/authorized_keys", "x/.ssh/config"),
        """Host Match HostName %h.x ProxyJump a,b,[::1]:2 ProxyCommand ssh -W %h:%p LocalForward 8 a:80 * !b
        exec "x y"
        AllowUsers a@b Match Address 10.0.0.0/8 AuthorizedKeysCommand /x from="a,b" command="c \\"d\\"" ssh-rsa
        = # " '""",
    ),
    (
        NfsCollector(),
        ("/etc/exports", "/etc/auto.master", "/etc/auto.home"),
        """/srv a(rw) ( ) *.b(ro) @n -ro "x y" \\ & * -fstype=cifs ://a/b a:/b a,b(5):/c :/dev/x /- $X /home auto.home
        +auto.x -hosts # [::1]:/x""",
    ),
    (
        RsyncdCollector(),
        ("/etc/rsyncd.conf",),
        """[a] [global] path = /srv hosts allow = a,b *.c read only = no post-xfer exec = /x ; # &include % {{
        x }} ]""",
    ),
    (
        MailRelayCollector(),
        (
            *("/etc/postfix/main.cf", "/etc/postfix/transport", "/etc/postfix/ldap-x.cf", "/etc/nullmailer/remotes"),
            *("/etc/exim4/update-exim4.conf.conf", "/etc/ssmtp/ssmtp.conf", "/etc/msmtprc"),
        ),
        """relayhost = [a]:25 , $x ${x} $(x) x = $x mynetworks 10.0.0.0/8 inet:a:1 check_policy_service { } unix:/x
        smtp:[a] lmtp:inet:a:24 : /^x/ server_host hosts ldap://a dc_smarthost='a::25;b' mailhub= host remotes # %""",
    ),
    (
        TimeSyncCollector(),
        ("/etc/ntp.conf", "/etc/chrony/chrony.conf", "/etc/systemd/timesyncd.conf"),
        """server pool peer a.b 10.0.0.1 ::1 -4 noselect 127.127.1.0 127.127.20.0 refclock allow [Time] NTP= a
        FallbackNTP=
        restrict # ! % iburst""",
    ),
    (
        DirectoryServicesCollector(),
        (
            "/etc/ldap/ldap.conf",
            "/etc/sssd/sssd.conf",
            "/etc/krb5.conf",
            "/etc/ldap/slapd.conf",
            "/etc/ipa/default.conf",
        ),
        """URI ldap://a:1/ ldapi:/// ldap:/// HOST a:1 [domain/x] ldap_uri = krb5_server = a:88, _srv_
        ipa_server = [realms]
        X = { } kdc = a admin_server = tcp/a:1 https://a/b [ ] syncrepl provider=ldap://a server = xmlrpc_uri =
        # ;""",
    ),
    (
        DatabasesCollector(),
        (
            *("/etc/postgresql/15/main/postgresql.conf", "/etc/pgbouncer/pgbouncer.ini", "/etc/pg_service.conf"),
            *("/etc/mysql/my.cnf", "/var/lib/mysql/master.info", "/etc/redis/redis.conf", "/etc/redis/sentinel.conf"),
        ),
        """primary_conninfo = 'host=a,b port=1,2 ''x' \\' postgresql://u:p@a:1,b/x?y archive_command = 'rsync
        %p a:/x' [client]
        host = "a" wsrep_cluster_address = gcomm://a:1,[::1]:2 replicaof a 1 no one sentinel monitor m a 1 2
        known-replica
        [databases] * = host=a 1 4 # ;""",
    ),
    (
        NamedCollector(),
        ("/etc/bind/named.conf", "/etc/named.conf"),
        """zone "a.b" IN { type slave; } ; masters primaries { 10.0.0.1 port 53; x; } file "/x" "y"; directory
        "/v"; view v
        options forwarders allow-transfer also-notify include "z" /* */ // # " key acl""",
    ),
    (
        NameServersCollector(),
        (
            *("/etc/unbound/unbound.conf", "/etc/nsd/nsd.conf", "/etc/dnsmasq.conf", "/etc/powerdns/pdns.conf"),
            *("/etc/knot/knot.conf", "/etc/systemd/resolved.conf"),
        ),
        """server: forward-zone: name: "." forward-addr: 1.1.1.1@853#x local-data: "a A 10.0.0.1"
        local-data-ptr: include:
        address=/a/b/10.0.0.1 server=/x/1.1.1.1#5 cname=a,b host-record=a,1.1.1.1 dhcp-host=a,1.1.1.1 rev-server=1/2,3
        forward-zones=a=1.1.1.1;2.2.2.2 gmysql-host=a remote: - id: x address: [ a@1 ] zone: domain: master:
        DNS= [Resolve]
        # ' " &x *x""",
    ),
    (
        DhcpCollector(),
        ("/etc/dhcp/dhcpd.conf", "/etc/kea/kea-dhcp4.conf"),
        """subnet 10.0.0.0 netmask 255.255.255.0 { } ; host a { fixed-address 10.0.0.1, b; option host-name
        "x"; routers
        domain-name-servers failover peer "p" address next-server if class "Dhcp4" : "subnet4" [ ]
        "option-data" "name"
        "data" "reservations" "hostname" "ip-address" // /* */ # <?include "x"?> , " """,
    ),
    (
        AllowListsCollector(),
        (
            *("/etc/postgresql/15/main/pg_hba.conf", "/etc/sudoers", "/etc/hosts.allow", "/etc/iptables/rules.v4"),
            *("/etc/nftables.conf", "/etc/ufw/user.rules"),
        ),
        """host hostssl local all 10.0.0.0/8 255.0.0.0 md5 reject Host_Alias X = a,b : Y = c root ALL=(ALL) ALL
        sshd : a
        EXCEPT *nat -A PREROUTING -j DNAT --to-destination 10.0.0.1:80 -s ! ACCEPT ip saddr { a, b } accept
        dnat to [::1]:1
        tcp dport # \\ " ' COMMIT""",
    ),
    (
        BackupsCollector(),
        (
            *("/etc/borgmatic/config.yaml", "/etc/restic/x.env", "/etc/rsnapshot.conf", "/etc/bacula/bacula-dir.conf"),
            *("/etc/restic/profiles.yaml", "/etc/bareos/bareos-dir.d/client/a.conf"),
        ),
        """repositories: - path: ssh://a@b:1/x a:b location: hooks: healthchecks: https://a/b
        postgresql_databases: hostname:
        RESTIC_REPOSITORY=sftp:a:/b rest:http://c backup\ta@b:/c\td backup_script\tssh x y\tz snapshot_root\t/s
        Client { }
        Name = a Address = b Job { Client = a JobDefs = x } Storage ; # " {{ &x *x""",
    ),
    (
        MailSigningCollector(),
        (
            *(
                "/etc/opendkim.conf",
                "/etc/opendkim/KeyTable",
                "/etc/opendkim/TrustedHosts",
                "/etc/amavis/conf.d/50-user",
            ),
            *("/etc/rspamd/local.d/dkim_signing.conf", "/etc/rspamd/dkim_selectors.map"),
        ),
        """Domain Selector KeyFile KeyTable InternalHosts refile:/x example.net a:b:/c % domain { } [ ] selector = path
        : ; , # " ' dkim_key('example.net', 'a', '/x'); {{ x }} !10.0.0.1""",
    ),
    (
        ProxmoxCollector(),
        ("/etc/pve/storage.cfg",),
        """nfs: a cifs: pbs: iscsi: rbd: server b portal [::1]:3260 monhost a,b;c path /mnt share y disable #""",
    ),
    (
        BackupServersCollector(),
        (
            *("/etc/pgbackrest/pgbackrest.conf", "/etc/barman.d/x.conf", "/etc/zrepl/zrepl.yml"),
            *("/root/.config/kopia/repository.config", "/root/.duply/x/conf"),
        ),
        """[global] [main:backup] repo1-host=a repo2-s3-endpoint=b:9000 pg1-host=a pg2-host ; # conninfo = host=a,b
        port=1 password=x postgres://a:1/b ssh_command = ssh -p 2 a@b jobs: - {type: push, connect: {address: "a:1"}}
        "host": "a", {"storage": {"type": "sftp", "config": {"host": "a"}}} TARGET='rsync://a:b@c//d' file:///x {{""",
    ),
]
IDS = [collector.name for collector, _, _ in FORMATS]


def everything(collector: Collector, path: str, content: bytes) -> list[Parsed]:
    """What `recognizes`, `parse` and `combine` make of a document; all are called, whatever the first says."""
    assert isinstance(collector.recognizes(path, content[:4096]), bool)
    found = list(collector.parse(Document(path, content)))
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for fact in found:
        assert isinstance(fact, Entity | Dependency | Malformed | Fragment)
        if b"\x00" not in content:  # else it may be UTF-16, whose lines are counted after decoding
            assert 0 <= fact.where.line <= lines
        if isinstance(fact, Malformed):
            assert fact.reason
            assert "\n" not in fact.reason
        elif isinstance(fact, Fragment):
            hash(fact.value)
        else:
            for ref in (fact.ref,) if isinstance(fact, Entity) else (fact.consumer, fact.provider):
                assert "\n" not in ref.text
    fragments = [Fragment(one.kind, one.value, one.where, "host", path) for one in found if isinstance(one, Fragment)]
    return found + list(collector.combine(fragments, lambda _: content))


@pytest.mark.parametrize(("collector", "paths", "words"), FORMATS, ids=IDS)
@settings(max_examples=150)
@given(data=st.data())
def test_any_words_give_facts_or_malformed(
    collector: Collector, paths: tuple[str, ...], words: str, data: st.DataObject
) -> None:
    word = st.sampled_from([*words.split(" "), "\n", "\n", "\n", "\n  ", "\t", "é", "\u202e", "{{ x }}", "="])
    text = " ".join(data.draw(st.lists(word, max_size=50)))
    everything(collector, data.draw(st.sampled_from(paths)), text.encode())


@pytest.mark.parametrize(("collector", "paths", "words"), FORMATS, ids=IDS)
@settings(max_examples=60)
@given(content=st.binary(max_size=300), at=st.integers(0, 9))
def test_any_bytes_give_facts_or_malformed(
    collector: Collector, paths: tuple[str, ...], words: str, content: bytes, at: int
) -> None:
    everything(collector, paths[at % len(paths)], content)


def hostile() -> Iterator[tuple[Collector, str, bytes]]:
    for collector, paths, words in FORMATS:
        for path in paths:
            for piece in (
                b"a",
                b"{",
                b"a {\n",
                b'"',
                b"\\\n",
                b"=",
                b"a=",
                b"[",
                b"(",
                b"$a",
                b",",
                b":",
                b"/*",
                b"a:/b ",
            ):
                yield collector, path, piece * 60_000
            yield collector, path, " ".join(words.split()).encode() * 400
            yield collector, path, "\n".join(words.split()).encode() * 400


@pytest.mark.parametrize("index", range(len(FORMATS)), ids=IDS)
def test_hostile_sizes_end_soon(index: int) -> None:
    for collector, path, content in hostile():
        if collector is FORMATS[index][0]:
            started = time.process_time()
            everything(collector, path, content)
            taken = time.process_time() - started
            assert taken < 2, (path, content[:40], taken)


@pytest.mark.parametrize(
    ("index", "path", "text"),
    [
        (6, "/etc/pgbouncer/pgbouncer.ini", f"[databases]\na = host=b.example.net password={SECRET}\n"),
        (6, "/etc/pgbouncer/pgbouncer.ini", f"[databases]\na = host=b.example.net password = 'x {SECRET}'\n"),
        (6, "/var/lib/postgresql/recovery.conf", f"primary_conninfo = 'host=b.example.net password={SECRET}'\n"),
        (6, "/var/lib/postgresql/recovery.conf", f"primary_conninfo = 'postgresql://u:{SECRET}@b.example.net/x'\n"),
        (6, "/var/lib/mysql/master.info", f"25\nx\n1\nb.example.net\nu\n{SECRET}\n3306\n60\n"),
        (11, "/etc/restic/x.env", f"RESTIC_REPOSITORY=rest:https://u:{SECRET}@b.example.net:8000/x\n"),
        (11, "/etc/borgmatic/config.yaml", f"repositories:\n  - path: ssh://u:{SECRET}@b.example.net/x\n"),
        (11, "/etc/borgmatic/config.yaml", f"repositories: []\nhealthchecks: https://b.example.net/ping/{SECRET}\n"),
        (11, "/etc/restic/profiles.yaml", f"a:\n  repository: rest:https://u:{SECRET}@b.example.net/x\n"),
        (-1, "/etc/barman.d/x.conf", f"[a]\nconninfo = host=b.example.net password={SECRET}\n"),
        (-1, "/root/.duply/x/conf", f"TARGET='rsync://u:{SECRET}@b.example.net//x'\n"),
        (5, "/etc/ldap/slapd.conf", f"syncrepl rid=1 provider=ldap://b.example.net credentials={SECRET}\n"),
    ],
)
def test_secrets_are_never_kept(index: int, path: str, text: str) -> None:
    found = everything(FORMATS[index][0], path, text.encode())
    assert any(isinstance(one, Dependency) and "b.example.net" in one.provider.text for one in found)
    assert SECRET not in repr(found)


def test_foreign_files_are_refused() -> None:
    paths = [
        "/usr/share/doc/x/README",
        "roles/web/tasks/main.yml",
        "src/app/models.py",
        "/etc/cron.d/certbot",
        "a/b.conf",
    ]
    for collector, _, _ in FORMATS:
        for path in paths:
            assert not collector.recognizes(path, b"x")


def test_real_files_give_facts_or_malformed_and_are_claimed_by_one() -> None:
    trees = [CORPUS / "infra-trees", *sorted(REPLAYS.glob("*/tree"))[:4]]
    files = [file for tree in trees for file in sorted(tree.rglob("*")) if file.is_file()]
    if not files:
        pytest.skip(MISSING)
    claimed = 0
    for file in files:
        path = file.relative_to(SHARED).as_posix()
        with file.open("rb") as stream:
            head = stream.read(4096)
        takers = [collector for collector, _, _ in FORMATS if collector.recognizes(path, head)]
        assert len(takers) <= 1, (path, [one.name for one in takers])
        for collector in takers:
            claimed += 1
            everything(collector, path, file.read_bytes())
    assert claimed > 20
