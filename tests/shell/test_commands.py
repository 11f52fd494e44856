"""What command lines and scripts depend on, program by program."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.model import Dependency, Fact, Kind, Malformed, Need, Ref, Relation, Where
from auditor.shell import commands
from auditor.shell.commands import analyse_command, analyse_script

JOB = Ref(Kind.JOB, "job")
PLACE = Where(7, "the line")


def told(facts: list[Fact]) -> set[str]:
    return {
        f"{f.relation} {f.provider.kind}:{f.provider.text} {f.required}" for f in facts if isinstance(f, Dependency)
    }


def command(text: str, **options: object) -> set[str]:
    facts = list(analyse_command(text, JOB, PLACE, **options))  # type: ignore[arg-type]
    assert all(f.where == PLACE for f in facts)
    return told(facts)


CASES: list[tuple[str, set[str]]] = [
    # Values
    (
        'HOOK=https://acme-hook.example.net; curl -fsS "$HOOK/x"',
        {"connects endpoint:https://acme-hook.example.net/x read"},
    ),
    ("for h in web1 web2; do ssh $h uptime; done", {"connects name:web1 run", "connects name:web2 run"}),
    ("ping -c 1 ${DB:-pg1.example.net}", {"connects name:pg1.example.net read"}),
    ("ssh $UNKNOWN uptime; curl https://$UNKNOWN/x; /opt/$UNKNOWN/run", set()),
    # Programs that we know nothing about: full names and addresses, no units, files and short names
    (
        "/opt/pull-shares fs-01.example.net invoices",
        {"calls path:/opt/pull-shares run", "connects name:fs-01.example.net read"},
    ),
    (
        "report --host=db-01.example.net --to 10.1.2.3",
        {"connects name:db-01.example.net read", "connects address:10.1.2.3 read"},
    ),
    ("replicate --to=backup@nas1:tank/x", {"connects name:nas1 read"}),
    ("pull fs-01.example.net:/srv", {"connects name:fs-01.example.net read"}),
    ("pull app@sha256:0123 a:b x@y", set()),
    ("syncoid -r --sshport 2222 tank/pg zrecv@nas1:tank/pg", {"connects endpoint:ssh://nas1:2222 write"}),
    ("syncoid root@db1:tank/pg tank/pg", {"connects name:db1 read"}),
    (
        "zfs send tank/a@b | ssh nas1 zfs recv -F tank/a",
        {"connects name:nas1 run", "connects name:nas1 write"},
    ),
    ("ssh nas1 zfs list", {"connects name:nas1 run"}),
    ("zfs snapshot tank/a@b", set()),
    ("report db-01 a.b.service etc.example.conf 1.2.3 x/y.example.net", set()),
    ("echo fs-01.example.net; uniq a.b.net", set()),
    ("curl https://api.example.net/v1/$id/x", {"connects endpoint:https://api.example.net/v1/ read"}),
    ("A=a; B=b; /srv/$A/$B/run.sh", {"calls path:/srv/a/b/run.sh run"}),
    ("if x; then H=web1; else H=web2; fi; ssh $H ls", {"connects name:web1 run", "connects name:web2 run"}),
    ("H=web1; [ -z $x ] && H=web2; ssh $H ls", {"connects name:web1 run", "connects name:web2 run"}),
    ('HOSTS=(db1 db2); for h in "${HOSTS[@]}"; do ping $h; done', {"connects name:db1 read", "connects name:db2 read"}),
    ('f() { ssh "$1" ls; }; f web9', {"connects name:web9 run"}),
    ("f() { ssh db7 ls; }", {"connects name:db7 run"}),
    ("URL=https://a.example.net/x.tar; curl ${URL%/*}/y", {"connects endpoint:https://a.example.net/y read"}),
    ("while read h; do ping $h; done <<E\nw1\nw2\nE", {"connects name:w1 read", "connects name:w2 read"}),
    ("read H; ssh $H ls", set()),
    ("scp /a w{1..2}:/b", {"reads path:/a read", "connects name:w1 read", "connects name:w2 write"}),
    ("H=x; (H=y); ssh $H ls", {"connects name:x run"}),
    # Wrappers
    ("sudo -u deploy nice -n 5 timeout -k 5 10m /opt/a.sh", {"calls path:/opt/a.sh run"}),
    ("flock -n /run/x.lock /opt/a.sh", {"writes path:/run/x.lock write", "calls path:/opt/a.sh run"}),
    ("su - backup -c '/opt/a.sh --all'", {"calls path:/opt/a.sh run"}),
    ("bash -c 'bash -c \"ssh deep.example.net ls\"'", {"connects name:deep.example.net run"}),
    ("env A=1 chronic ionice -c3 /opt/a.sh", {"calls path:/opt/a.sh run"}),
    ("find /x -name y -exec /opt/a.sh {} \\;", {"calls path:/opt/a.sh run"}),
    ("test -x /usr/bin/certbot -a -d /run && perl -e 'sleep 1' && certbot -q renew", {"calls client:certbot run"}),
    ("[ -x /opt/a.sh ] || exit 0", set()),
    ("systemd-cat -t x /opt/a.sh", {"calls path:/opt/a.sh run"}),
    ("command -v /opt/a.sh", set()),
    # Scripts and units
    ("cd /opt/app && ./run.sh", {"calls path:/opt/app/run.sh run"}),
    ("cd $X && ./run.sh", set()),
    (". /etc/default/x; source /opt/lib.sh", {"calls path:/etc/default/x run", "calls path:/opt/lib.sh run"}),
    ("/bin/sh /opt/a.sh; /usr/bin/python3 -u /opt/b.py", {"calls path:/opt/a.sh run", "calls path:/opt/b.py run"}),
    ("run-parts --report /etc/cron.daily", {"calls path:/etc/cron.daily run"}),
    (
        "systemctl --no-block reload nginx x.timer; systemctl is-active y",
        {"calls unit:nginx.service run", "calls unit:x.timer run"},
    ),
    ("service nginx reload", {"calls unit:nginx.service run"}),
    ("/usr/bin/grep x /etc/y; /bin/rm -f /tmp/z", {"writes path:/tmp/z write"}),
    # SSH
    ("ssh -i /root/k -p 2222 root@h1 ls", {"connects endpoint:ssh://h1:2222 run", "reads path:/root/k read"}),
    (
        "ssh -o ProxyJump=u@bastion -o Port=2200 h1",
        {"connects name:bastion read", "connects endpoint:ssh://h1:2200 run"},
    ),
    (
        "ssh -J b1,b2:22022 h1",
        {"connects name:b1 read", "connects endpoint:ssh://b2:22022 read", "connects name:h1 run"},
    ),
    ("ssh h1 '/opt/a.sh; curl http://h2/'", {"connects name:h1 run", "connects endpoint:http://h2/ read"}),
    ("ssh -o 'ProxyCommand=ssh -W %h:%p gw' h1", {"connects name:gw run", "connects name:h1 run"}),
    ("scp -P 2222 h1:/a /b", {"connects endpoint:ssh://h1:2222 read", "writes path:/b write"}),
    ("rsync -a /src/ backup@bk:/dst/", {"reads path:/src read", "connects name:bk write"}),
    (
        "rsync -a -e 'ssh -p 2200 -i /k' bk:/a /b",
        {"reads path:/k read", "connects endpoint:ssh://bk:2200 read", "writes path:/b write"},
    ),
    ("rsync -a bk::mod/x /b", {"connects endpoint:rsync://bk/mod/x read", "writes path:/b write"}),
    ("sftp u@h1 <<E\nput x\nE", {"connects name:h1 write"}),
    ("ssh 2001:db8::1 ls", {"connects address:2001:db8::1 run"}),
    # HTTP
    (
        "curl -X POST -d @/etc/payload https://a.example.net/h",
        {"connects endpoint:https://a.example.net/h run", "reads path:/etc/payload read"},
    ),
    ("curl -T /f https://a.example.net/", {"connects endpoint:https://a.example.net/ write", "reads path:/f read"}),
    (
        "curl -sSo /tmp/x -H 'Host: b.example.net' a.example.net/x",
        {"connects endpoint:http://a.example.net/x read", "writes path:/tmp/x write"},
    ),
    ("curl -u admin:s3cret https://u:pw@a.example.net/?token=abc", {"connects endpoint:https://a.example.net/ read"}),
    (
        "curl --proxy proxy1:3128 https://a.example.net",
        {"connects endpoint:proxy1:3128 read", "connects endpoint:https://a.example.net read"},
    ),
    ("curl http://localhost:9093/-/reload http://127.0.0.1/ http://[::1]:80/", set()),
    ("wget -q -O - --post-data=x https://a.example.net/h", {"connects endpoint:https://a.example.net/h run"}),
    ("http PUT a.example.net/x y=1", {"connects endpoint:http://a.example.net/x write"}),
    (
        "/opt/tool --url=https://a.example.net/x",
        {"calls path:/opt/tool run", "connects endpoint:https://a.example.net/x read"},
    ),
    ("echo see https://wiki.example.net/x", set()),
    # Other clients
    ("psql -h pg1 -p 5433 -c 'select 1'", {"connects endpoint:pg1:5433 read"}),
    (
        "psql postgresql://u:p@pg1/db -f /x.sql",
        {"connects endpoint:postgresql://pg1/db write", "reads path:/x.sql read"},
    ),
    ("psql 'host=pg1 dbname=x' -c 'DELETE FROM t'", {"connects name:pg1 write"}),
    ("pg_dump -h pg1 db > /backup/db.sql", {"connects name:pg1 read", "writes path:/backup/db.sql write"}),
    (
        "mysqldump -hdb1 -uroot -psecret x | gzip > /b/$(date +%F).gz",
        {"connects name:db1 read", "writes path:/b write"},
    ),
    ("zcat /d.gz | mysql --host=db1 x", {"reads path:/d.gz read", "connects name:db1 write"}),
    ("redis-cli -h r1 -p 6380 ping", {"connects endpoint:r1:6380 read"}),
    ("echo x | nc -w 1 graphite.example.net 2003", {"connects endpoint:graphite.example.net:2003 read"}),
    ("nc -l 8080", set()),
    (
        "systemd-socket-proxyd --exit-idle-time=10min db1.example.net:5432",
        {"connects endpoint:db1.example.net:5432 read"},
    ),
    ("systemd-socket-proxyd /run/app.sock", set()),
    (
        "dig @ns1.example.net example.net SOA +short",
        {"connects name:ns1.example.net read", "connects name:example.net read"},
    ),
    ("ldapsearch -x -H ldaps://ldap1 -b dc=x", {"connects endpoint:ldaps://ldap1 read"}),
    ("smbclient //files1/share -U x", {"connects name:files1 read"}),
    ("smbclient //files1/share -N -c 'cd x; put dump'", {"connects name:files1 write"}),
    ("smbclient //files1/share -N -c 'get output'", {"connects name:files1 read"}),
    ("lftp -e 'mirror -R /a /b; bye' -u x,y files1", {"connects name:files1 write"}),
    ("lftp -c 'open sftp://files1.example.net; get x'", {"connects endpoint:sftp://files1.example.net read"}),
    ("lftp -c 'open -u x,y files1; put z'", {"connects name:files1 write"}),
    ("unison -batch /srv ssh://nas1//srv", {"writes path:/srv write", "connects endpoint:ssh://nas1//srv write"}),
    ("rclone sync /srv :sftp,host=nas1.example.net:/x", {"connects name:nas1.example.net write"}),
    ("rclone copy :sftp,user=a,host=nas1: /srv", {"connects name:nas1 read"}),
    ("rclone copy /srv nas:/x --sftp-host nas1.example.net", {"connects name:nas1.example.net write"}),
    ("rclone ls nas:/x", set()),
    ("mount -t nfs nas1:/export /mnt", {"connects name:nas1 read", "reads path:/mnt read"}),
    (
        "git clone git@git.example.net:a/b.git /srv/b",
        {"connects name:git.example.net read", "writes path:/srv/b write"},
    ),
    ("git push https://git.example.net/a.git", {"connects endpoint:https://git.example.net/a.git write"}),
    (
        "aws --endpoint-url https://s3.example.net s3 cp /a s3://bucket/",
        {"connects endpoint:https://s3.example.net read"},
    ),
    (
        "BORG_REPO=ssh://b@bk:2222/./r borg create ::n /home",
        {"connects endpoint:ssh://bk:2222/./r write", "reads path:/home read"},
    ),
    ("restic -r sftp:u@bk:/r backup /home", {"connects name:bk write", "reads path:/home read"}),
    ("borg list bk@h1:/r", {"connects name:h1 read"}),
    (
        "openssl s_client -connect a.example.net:443 -servername b.example.net",
        {"connects endpoint:a.example.net:443 read", "connects name:b.example.net read"},
    ),
    (
        "nsupdate -k /k <<E\nserver ns1.example.net\nupdate add x\nE",
        {"reads path:/k read", "connects name:ns1.example.net write"},
    ),
    ("cat <<E | nsupdate\nserver ns1.example.net\nE", {"connects name:ns1.example.net write"}),
    (
        "ansible-playbook -i /etc/ansible/hosts --limit web1.example.net /srv/site.yml",
        {"reads path:/etc/ansible/hosts read", "connects name:web1.example.net run", "calls path:/srv/site.yml run"},
    ),
    ("kubectl --server https://k8s.example.net:6443 get po", {"connects endpoint:https://k8s.example.net:6443 read"}),
    ("logger -n log1 -P 514 x", {"connects endpoint:log1:514 read"}),
    ("docker -H tcp://d1:2375 ps", {"connects endpoint:tcp://d1:2375 run"}),
    ("docker exec web /opt/a.sh", set()),
    (
        "docker run --rm -v /etc/le:/etc/letsencrypt certbot/certbot:latest renew",
        {"reads path:/etc/le read", "calls client:certbot run"},
    ),
    (
        "/usr/lib/nagios/plugins/check_http -H w1.example.net -p 8080",
        {"calls path:/usr/lib/nagios/plugins/check_http run", "connects name:w1.example.net read"},
    ),
    ("snmpwalk -v2c -c public sw1 ifTable", {"connects name:sw1 read"}),
    ("echo x > /dev/tcp/h1/80", {"connects endpoint:h1:80 read"}),
    # ACME clients
    (
        "/snap/bin/certbot renew --deploy-hook 'systemctl reload nginx'",
        {"calls client:certbot run", "calls unit:nginx.service run"},
    ),
    ("certbot certificates; certbot renew --dry-run", set()),
    ('"/root/.acme.sh"/acme.sh --cron --home "/root/.acme.sh" > /dev/null', {"calls client:acme.sh run"}),
    ("acme.sh --install-cronjob", set()),
    ("lego --email x --domains y run", {"calls client:lego run"}),
    ("/usr/bin/lego --path /etc/lego --dns rfc2136 -d x renew --days 30", {"calls client:lego run"}),
    (
        "lego run --dns foo -d x --deploy-hook 'scp a b.example.org:/c'",
        {"calls client:lego run", "connects name:b.example.org write"},
    ),
    (
        "lego --config /etc/lego/lego.yml --log.level debug",
        {"calls client:lego run", "reads path:/etc/lego/lego.yml read"},
    ),
    ("lego list", set()),
    ("lego --version", set()),
    ("wacs.exe --renew --baseuri https://acme.example.org/", {"calls client:win-acme run"}),
    ("wacs.exe --list", set()),
    ("dehydrated -c -k /etc/hook.sh", {"calls path:/etc/hook.sh run", "calls client:dehydrated run"}),
    ("ipa-getcert resubmit -i 1", {"calls client:certmonger run"}),
    # Files
    (
        "/opt/a.sh >> /var/log/a.log 2>&1 < /etc/in",
        {"calls path:/opt/a.sh run", "writes path:/var/log/a.log write", "reads path:/etc/in read"},
    ),
    ("x | tee -a /var/log/y", {"writes path:/var/log/y write"}),
    (
        "cp /a /b; mv /c /d; install -m 600 /e /f",
        {
            "reads path:/a read",
            "writes path:/b write",
            "writes path:/c write",
            "writes path:/d write",
            "reads path:/e read",
            "writes path:/f write",
        },
    ),
    ("cat rel /a/../b /etc/x/*.conf", {"reads path:/b read", "reads path:/etc/x read"}),
    ("tar czf /b/x.tgz -C /srv .", {"writes path:/b/x.tgz write", "reads path:/srv read"}),
    ("# ssh nowhere\n: ssh nowhere", set()),
    (
        "x=$(curl http://a1/) y=`ssh b1 ls`; diff <(ssh c1 ls) /z",
        {"connects endpoint:http://a1/ read", "connects name:b1 run", "connects name:c1 run"},
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[c[0][:60] for c in CASES])
def test_command(text: str, expected: set[str]) -> None:
    assert command(text) == expected


def test_environment_and_exec_syntax() -> None:
    text = "@/usr/lib/a argv0 'b c' ${X} $$HOME ; -/opt/b --to=https://h.example.net/$X | /opt/c"
    assert command(text, syntax="exec", environment={"X": "v"}) == {
        "calls path:/usr/lib/a run",
        "calls path:/opt/b run",
        "connects endpoint:https://h.example.net/v read",
    }


def test_environment_of_a_crontab() -> None:
    assert command("ssh $TARGET ls", environment={"TARGET": "web3"}) == {"connects name:web3 run"}


def test_lines_of_a_script() -> None:
    text = "#!/bin/sh\nH=web1\n\nrsync -a \\\n  --delete \\\n  /src/ \\\n  $H:/dst/\n"
    facts = [f for f in analyse_script(text, JOB) if isinstance(f, Dependency)]
    assert [(f.where.line, f.provider.text, f.where.excerpt) for f in facts] == [
        (6, "/src", "/src/ \\"),
        (7, "web1", "$H:/dst/"),
    ]
    first = next(iter(analyse_command("ssh a ls", JOB, Where(40), script=True)))
    assert first.where == Where(40, "ssh a ls")


def test_secrets_stay_out() -> None:
    for fact in analyse_script("PASS=hunter2secret\ncurl -u x:hunter2secret https://x:hunter2secret@h1/$PASS\n", JOB):
        assert "hunter2secret" not in fact.where.excerpt
        assert isinstance(fact, Dependency)


def test_a_broken_script_is_used_around_the_error() -> None:
    facts = list(analyse_script("ssh web1 ls\nif then fi )\nssh web2 ls\n", JOB))
    assert any(isinstance(f, Malformed) and f.where.line == 2 for f in facts)
    assert {f.provider.text for f in facts if isinstance(f, Dependency)} >= {"web1"}


def test_characters_beyond_ascii() -> None:
    text = (
        "# größe\nÄ=1; ssh web1 'echo ü' # \U0008e4d5{\U000cdc46\ncurl https://a.example.net/\u00fc/x > /srv/\u00fc\n"
    )
    facts = [(f.where.line, f.provider.text) for f in analyse_script(text, JOB) if isinstance(f, Dependency)]
    assert facts == [(2, "web1"), (3, "/srv/ü"), (3, "https://a.example.net/ü/x")]
    # Each of these crashed the parser's own scanner.
    generator = random.Random(1)
    for _ in range(500):
        list(analyse_script("".join(chr(generator.randrange(0xE000, 0x10FFFF)) for _ in range(100)), JOB))


def test_without_tree_sitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_parser", lambda: None)
    facts = list(analyse_script("ssh web1 ls", JOB))
    assert [f.reason for f in facts if isinstance(f, Malformed)] == [
        "tree-sitter is not installed, so shell text is not analysed"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "$(" * 50_000,
        "<<EOF\n" * 50_000,
        "a|" * 200_000,
        "A=aaaaaaaaaaaaaaaa\n" + "A=$A$A\n" * 60,
        "".join(f"for v{i} in {{1..1000}}; do\n" for i in range(20)) + "ssh $v0$v1$v2$v3\n" + "done\n" * 20,
        "ssh " + "{a,b}" * 40,
        "for i in {1..99999999}; do ssh web$i; done",
        "f(){ g; g; }; g(){ f; f; }; f",
    ],
    ids=range(9),
)
def test_hostile_scripts_end(text: str) -> None:
    start = time.process_time()
    list(analyse_script(text, JOB))
    assert time.process_time() - start < 10


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_any_text(text: str) -> None:
    for fact in analyse_script(text, JOB):
        assert isinstance(fact, Dependency | Malformed)
    list(analyse_command(text, JOB, PLACE, syntax="exec"))


_WORDS = st.sampled_from(
    "ssh scp rsync curl psql certbot sudo -o -p -X { } ( ) ; && | $( ` ' \" $x ${ ${a:- \\ << EOF\n > < h1: //x "
    "http://a for in do done if then fi case esac a=b [ ]] :: @ % -- -e docker run find -exec git borg tar su -c".split(
        " "
    )
)


@given(st.lists(_WORDS, max_size=25).map(" ".join))
@settings(max_examples=300)
def test_any_words(text: str) -> None:
    for fact in analyse_command(text, JOB, PLACE):
        assert isinstance(fact, Dependency)
        assert "\ue000" not in fact.provider.text
        assert fact.relation is not Relation.WRITES or fact.required is Need.WRITE
