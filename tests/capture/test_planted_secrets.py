"""Two hundred secrets planted in what hosts hold: none is in a snapshot, a report, an explanation or on stderr."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.capture.snapshot import Record, Snapshot, redacted
from auditor.cli.main import main
from auditor.model import Outcome
from auditor.redaction import mark, redact

HOST = "legacy-cert-01"
FORMATS = ("text", "markdown", "json")

# File, lines. {s} is a secret of letters and digits, {q} one with signs as well, {b} one in base64, {h} one in
# hexadecimal; each place is filled with a secret of its own.
FILES: dict[str, str] = {
    "etc/crontab": """\
MAILTO=ops
API_TOKEN={s}
PGPASSWORD={q}
0 1 * * * root curl -u deploy:{q} https://legacy-cert-01.eventide.net/renewed
0 2 * * * root curl --user 'deploy:{s}' https://legacy-cert-01.eventide.net/renewed
0 3 * * * root curl -sf -udeploy:{s} https://legacy-cert-01/x
0 4 * * * root curl -H 'Authorization: Bearer {s}' https://legacy-cert-01.eventide.net/y
0 5 * * * root curl -H "X-Api-Key: {s}" https://legacy-cert-01.eventide.net/z
0 6 * * * root curl --header='PRIVATE-TOKEN: {s}' https://legacy-cert-01.eventide.net/z
0 7 * * * root mysqldump -u root -p{s} -h legacy-cert-01 shop
0 8 * * * root mysqldump --user=root --password={q} -h legacy-cert-01 shop
0 9 * * * root mysql -h legacy-cert-01 -u root -p'{s}' -e 'select 1'
1 0 * * * root mariadb-dump -p{s} --all-databases
1 1 * * * root sshpass -p {q} ssh root@legacy-cert-01 true
1 2 * * * root sshpass -p'{s}' ssh root@legacy-cert-01 true
1 3 * * * root PGPASSWORD={s} pg_dump -h legacy-cert-01 shop
1 4 * * * root redis-cli -h legacy-cert-01 -a {s} bgsave
1 5 * * * root REDISCLI_AUTH={s} redis-cli -h legacy-cert-01 bgsave
1 6 * * * root ldapsearch -H ldap://legacy-cert-01 -D cn=admin -w {s} -b dc=x
1 7 * * * root ipmitool -H legacy-cert-01 -U admin -P {s} chassis status
1 8 * * * root snmpget -v2c -c {s} legacy-cert-01 sysUpTime.0
1 9 * * * root snmpwalk -v 3 -u ops -A {s} -X {s} legacy-cert-01
2 0 * * * root mosquitto_pub -h legacy-cert-01 -u a -P {s} -t t -m m
2 1 * * * root /opt/push --token {s} --host legacy-cert-01
2 2 * * * root /opt/push --token={s} --host legacy-cert-01
2 3 * * * root /opt/push --api-key={s} legacy-cert-01
2 4 * * * root /opt/push --password "{s}" legacy-cert-01
2 5 * * * root wget --http-password={s} --http-user=u https://legacy-cert-01/
2 6 * * * root smbclient //legacy-cert-01/share -U backup%{s} -c ls
2 7 * * * root lftp -u backup,{s} ftp://legacy-cert-01
2 8 * * * root openssl pkcs12 -in /x.p12 -passin pass:{s} -passout pass:{s}
2 9 * * * root git clone https://oauth2:{s}@legacy-cert-01.eventide.net/a.git
3 0 * * * root restic -r rest:https://u:{s}@legacy-cert-01:8000/ backup /
3 1 * * * root RESTIC_PASSWORD={s} restic backup /
3 2 * * * root vault login {v}
3 3 * * * root docker login -u ci -p {s} legacy-cert-01:5000
3 4 * * * root helm registry login -u ci --password={s} legacy-cert-01
3 5 * * * root mongodump --uri mongodb://admin:{s}@legacy-cert-01:27017/shop
3 6 * * * root mongodump -u admin -p {s} --host legacy-cert-01
3 7 * * * root sqlcmd -S legacy-cert-01 -U sa -P {s} -Q 'backup'
3 8 * * * root htpasswd -b /etc/htpasswd ops {s}
3 9 * * * root echo {s} | sudo -S true password legacy-cert-01
4 0 * * * root rsync --password-file=/etc/rsync.secret a@legacy-cert-01::m /x
4 1 * * * root xfreerdp /v:legacy-cert-01 /u:ops /p:{s}
4 2 * * * root curl 'https://legacy-cert-01/api?token={s}&x=1'
4 3 * * * root curl https://legacy-cert-01/api?access_token={s}
4 4 * * * root curl -d 'password={s}&user=x' https://legacy-cert-01/login
4 5 * * * root curl -d '{{"password": "{s}"}}' https://legacy-cert-01/login
4 6 * * * root curl https://hooks.slack.com/services/T0/B0/{s}
4 7 * * * root curl -fsS https://hc-ping.com/{u}
4 8 * * * root net ads join -U admin%{s} -S legacy-cert-01
""",
    "etc/app/env": """\
DATABASE_URL=postgres://shop:{q}@legacy-cert-01:5432/shop
AWS_ACCESS_KEY_ID={a}
AWS_SECRET_ACCESS_KEY={k}
SECRET_KEY_BASE={h}
SMTP_PASSWORD="{q}"
export GITHUB_TOKEN={g}
export GITLAB_TOKEN={l}
SLACK_BOT_TOKEN={x}
DJANGO_SECRET='{q}'
db.password={s}
spring.datasource.password: {s}
JWT={j}
ENCRYPTION_KEY={h}
MYSQL_PWD={s}
OPS_PASS={s}
CLIENT_SECRET={s}
TSIG_SECRET={b}
CF_Key={s}
CF_Token={s}
DO_AUTH_TOKEN={s}
HETZNER_API_KEY={s}
STRIPE={r}
""",
    "etc/app/config.yaml": """\
host: legacy-cert-01
password: {s}
db: {{user: shop, password: {s}, host: legacy-cert-01}}
"api_key": "{s}"
secret: |
  {s}
  {s}
clientSecret: {s}
auth:
  token: '{s}'
  basic_auth: {{username: a, password: "{q}"}}
webhook_secret: {s}
private_key: |
  -----BEGIN RSA PRIVATE KEY-----
  {b}
  {b}
  -----END RSA PRIVATE KEY-----
community: {s}
bearer_token: {s}
""",
    "etc/app/config.json": """\
{{
  "host": "legacy-cert-01",
  "password": "{s}",
  "db": {{"passwd": "{q}", "user": "x"}},
  "apiKey": "{s}",
  "access_token": "{s}",
  "private_key": "-----BEGIN PRIVATE KEY-----\\n{b}\\n-----END PRIVATE KEY-----\\n",
  "smtpPassword": "{s}", "secretKey": "{s}",
  "connection": "Server=legacy-cert-01;User Id=sa;Password={s};"
}}
""",
    "etc/app/app.ini": """\
[db]
host = legacy-cert-01
password = {s}
passwd={s}
pass = {s}
secret_key = {s}
auth_token: {s}
; old password = {s}
dsn = mysql://u:{s}@legacy-cert-01/shop
""",
    "etc/app/app.xml": """\
<config><host>legacy-cert-01</host><password>{s}</password>
<property name="password" value="{s}"/>
<add key="Secret" value="{s}"/>
<apiToken>{s}</apiToken></config>
""",
    "etc/alertmanager/alertmanager.yml": """\
global:
  smtp_smarthost: legacy-cert-01.eventide.net:25
  smtp_auth_password: {s}
  slack_api_url: https://hooks.slack.com/services/T1/B1/{s}
  opsgenie_api_key: {s}
  victorops_api_key: {s}
  smtp_auth_secret: {s}
route: {{receiver: ops}}
receivers:
- name: ops
  pagerduty_configs: [{{routing_key: {h}}}]
  pagerduty_configs2: [{{service_key: {h}}}]
  webhook_configs:
  - url: https://u:{s}@legacy-cert-01.eventide.net/hook
    http_config: {{authorization: {{credentials: {s}}}}}
  pushover_configs: [{{user_key: {s}, token: {s}}}]
  telegram_configs: [{{bot_token: "123:{s}", chat_id: 1}}]
  discord_configs: [{{webhook_url: "https://discord.com/api/webhooks/123/{s}"}}]
""",
    "etc/prometheus/prometheus.yml": """\
scrape_configs:
- job_name: x
  basic_auth: {{username: p, password: {s}}}
  oauth2: {{client_id: a, client_secret: {s}}}
  authorization:
    credentials: {s}
  static_configs: [{{targets: [legacy-cert-01:9100]}}]
- job_name: snmp
  bearer_token: {s}
  params: {{token: [{s}]}}
""",
    "etc/grafana/grafana.ini": """\
[security]
admin_password = {s}
secret_key = {s}
[database]
url = mysql://grafana:{s}@legacy-cert-01/grafana
[smtp]
password = \"\"\"{s}\"\"\"
""",
    "etc/grafana/provisioning/datasources/a.yaml": """\
datasources:
- url: http://legacy-cert-01:9090
  basicAuthPassword: {s}
  secureJsonData: {{password: {s}, httpHeaderValue1: "Bearer {s}", tlsClientKey: "{s}"}}
""",
    "root/.acme.sh/eventide.net/eventide.net.conf": """\
Le_Domain='eventide.net'
Le_PFXPassword='__ACME_BASE64__START_{b}__ACME_BASE64__END_'
Le_ReloadCmd='__ACME_BASE64__START_{c}__ACME_BASE64__END_'
Le_RenewHook='__ACME_BASE64__START_{c}__ACME_BASE64__END_'
SAVED_CF_Token='{s}'
SAVED_SYNO_PASSWORD='{s}'
SAVED_VAULT_TOKEN='{s}'
""",
    "root/.acme.sh/account.conf": """\
SAVED_AWS_ACCESS_KEY_ID='{a}'
SAVED_AWS_SECRET_ACCESS_KEY='{k}'
SAVED_CF_Key='{s}'
SAVED_NSUPDATE_KEY='{s}'
""",
    "etc/lego/.pgpass": "legacy-cert-01:5432:*:shop:{s}\n*:*:*:*:{s}\n",
    "etc/lego/.my.cnf": '[client]\nhost=legacy-cert-01\npassword={s}\n[mysqldump]\npassword = "{q}"\n',
    "etc/lego/.netrc": "machine legacy-cert-01 login x password {s}\nmachine a\n  login b\n  password {s}\n"
    "default password {s}\n",
    "etc/nginx/htpasswd": "ops:$apr1${h8}${c22}\ndev:$2y$05${c53}\nold:{{SHA}}{b}\n",
    "etc/app/shadow.copy": "root:$6${h8}${c86}:19000:0:99999:7:::\n",
    "etc/snmp/snmpd.conf": """\
rocommunity {s} legacy-cert-01
rwcommunity {s}
rocommunity6 {s} default
com2sec ro default {s}
createUser ops SHA {s} AES {s}
trapsink legacy-cert-01 {s}
trap2sink legacy-cert-01 {s}
trapcommunity {s}
""",
    "etc/app/ipsec.secrets": 'legacy-cert-01 : PSK "{s}"\n: XAUTH "{s}"\n',
    "etc/app/wpa.conf": 'network={{\n ssid="x"\n psk="{s}"\n}}\n',
    "etc/app/wg0.conf": "[Interface]\nPrivateKey = {b}\n[Peer]\nPresharedKey = {b}\nEndpoint = legacy-cert-01:51820\n",
    "etc/bind/named.conf": 'key "xfer" {{ algorithm hmac-sha256; secret "{b}"; }};\nkey "k" {{ secret {b}; }};\n',
    "etc/keepalived/keepalived.conf": "vrrp_instance a {{\n authentication {{\n"
    " auth_type PASS\n auth_pass {s8}\n }}\n}}\n",
    "etc/haproxy/haproxy.cfg": """\
userlist u
  user ops password $5${h8}${c43}
  user dev insecure-password {s}
listen s
  stats auth admin:{s}
  server a legacy-cert-01:80
""",
    "etc/app/sip.conf": "[phone]\nsecret={s}\nhost=legacy-cert-01\nremotesecret={s}\n",
    "etc/nagios/resource.cfg": "$USER3$=legacy-cert-01\n$USER4$={s}\n$USER5$=snmp-{s}\n",
    "etc/nagios/objects.cfg": "define command {{\n command_line check_snmp -H legacy-cert-01 -C {s} -o 1\n}}\n"
    "define service {{\n check_command check_mysql!legacy-cert-01!root!-p {s}\n}}\n",
    "etc/fstab": "//legacy-cert-01/a /mnt cifs username=x,password={s},vers=3 0 0\n",
    "etc/postfix/main.cf": "relayhost = legacy-cert-01\nsmtp_sasl_password_maps = static:user:{s}\n",
    "etc/rsyslog.d/a.conf": 'action(type="omelasticsearch" server="legacy-cert-01" uid="a" pwd="{s}")\n',
    "etc/app/key.txt": "-----BEGIN OPENSSH PRIVATE KEY-----\n{b}\n{b}\n-----END OPENSSH PRIVATE KEY-----\n"
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{b}\n-----END ENCRYPTED PRIVATE KEY-----\n"
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{b}\n-----END PGP PRIVATE KEY BLOCK-----\n",
    "opt/deploy.sh": """\
#!/bin/sh
PASSWORD='{q}'
TOKEN="{s}"
curl -su "deploy:{s}" https://legacy-cert-01.eventide.net/
curl --oauth2-bearer {s} https://legacy-cert-01/
curl -u deploy:{s} --cacert /x \\
  -H "X-Auth-Token: {s}" https://legacy-cert-01/
curl -b 'session={s}' https://legacy-cert-01/
export VAULT_TOKEN={v}
mysql --defaults-extra-file=/x -h legacy-cert-01 -p"{s}"
scp x https://user:{s}@legacy-cert-01/x
sshpass -p{s} scp x root@legacy-cert-01:/
read -r password <<< {s}
kubectl --token={j} get pods
az login --service-principal -u x -p {s}
gpg --batch --passphrase {s} -d x
zip -P {s} x.zip x
7z a -p{s} x.7z x
""",
}


def secrets() -> Iterator[tuple[str, str]]:
    """Name of a place, and a secret that fits there; never the same again."""
    for number in itertools.count():
        digest = hashlib.sha512(b"planted %d" % number).digest()
        word = base64.b32encode(digest).decode().lower().rstrip("=")
        mixed = re.sub(r"[^A-Za-z0-9]", "x", base64.b64encode(digest).decode())
        yield "s", f"Zq{word[:12]}7"
        yield "q", f"Zq{word[12:20]}!#x9"
        yield "s8", f"Zq{word[20:25]}7"
        yield "b", base64.b64encode(digest[:33]).decode()
        yield "c", base64.b64encode(f"curl -u a:{word[:16]} https://legacy-cert-01/".encode()).decode()
        yield "h", digest.hex()[:40]
        yield "h8", digest.hex()[40:48]
        yield "a", "AKIA" + word[:16].upper().replace("=", "7")
        yield "k", mixed[:40]
        yield "g", "ghp_" + mixed[:36]
        yield "l", "glpat-" + mixed[:20]
        yield "x", "xoxb-" + digest.hex()[:24]
        yield "j", f"eyJ{mixed[:20]}.eyJ{mixed[20:44]}.{mixed[44:70]}"
        yield "v", "hvs." + mixed[:24]
        yield "r", "sk_live_" + mixed[:24]
        text = digest.hex()
        yield "u", f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
        for length in (13, 22, 43, 53, 86):
            yield f"c{length}", mixed[:length]


def plant() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The files, and (place, secret) of all that was planted."""
    stock: dict[str, list[str]] = {}
    source = secrets()
    planted: list[tuple[str, str]] = []
    files: dict[str, str] = {}
    for path, template in FILES.items():

        def fill(found: re.Match[str], path: str = path) -> str:
            kind = found[1]
            while not stock.get(kind):
                name, value = next(source)
                stock.setdefault(name, []).append(value)
            value = stock[kind].pop(0)
            # A salt is no secret.
            if kind != "h8":
                planted.append((f"{path} {{{kind}}}", value))
            return value

        text = re.sub(r"\{([a-z]\d*)\}", fill, template)
        files[path] = text.replace("{{", "{").replace("}}", "}")
    return files, planted


def lines_with(text: str, planted: list[tuple[str, str]]) -> list[str]:
    """Where a secret is, or its second half: for the message of a failure."""
    return [
        f"{place}: {line.strip()[:160]}"
        for place, secret in planted
        for line in text.splitlines()
        if secret in line or secret[len(secret) // 2 :] in line
    ]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    root = tmp_path_factory.mktemp("planted") / "snapshot"
    files, planted = plant()
    inventory = f"version: 1\ndomains: [eventide.net]\nhosts:\n  - name: {HOST}\n    lifecycle: read-only\n".encode()
    into = Snapshot.open(root, inventory=inventory, started_at="2026-11-23T00:00:00Z", resume=False)
    for path, text in files.items():
        into.store(f"hosts/{HOST}/{path}", text.encode())
    _, secret = planted[1]
    into.record([Record(f"hosts/{HOST}", Outcome.PARTIAL, "2026-11-23T00:00:00Z", f"it said: password={secret}")])
    into.close()
    return root, planted


def test_there_are_enough_of_them(snapshot: tuple[Path, list[tuple[str, str]]]) -> None:
    _, planted = snapshot
    assert len({secret for _, secret in planted}) == len(planted) >= 200


def test_none_is_in_the_snapshot(snapshot: tuple[Path, list[tuple[str, str]]]) -> None:
    root, planted = snapshot
    text = "\n".join(path.read_text() for path in sorted(root.rglob("*")) if path.is_file())
    assert text.count("‹redacted~") >= 190
    assert lines_with(text, planted) == []
    files, _ = plant()
    for path, before in files.items():
        assert (root / f"hosts/{HOST}" / path).read_text().count("\n") == before.count("\n"), path


def test_none_is_said(
    snapshot: tuple[Path, list[tuple[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the snapshot, and of the same estate as it was before redaction."""
    root, planted = snapshot
    raw = tmp_path / "raw"
    for path, text in plant()[0].items():
        (raw / f"hosts/{HOST}" / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / f"hosts/{HOST}" / path).write_text(text)
    (raw / "inventory.yaml").write_bytes((root / "inventory.yaml").read_bytes())
    said = []
    for estate in (root, raw):
        for form in FORMATS:
            assert main(["checklist", HOST, "--estate", str(estate), "--format", form]) in (1, 4)
            out = capsys.readouterr()
            said += [out.out, out.err]
        main(["why", f"path:{HOST}:/opt/deploy.sh", HOST, "--estate", str(estate)])
        out = capsys.readouterr()
        said += [out.out, out.err]
    everything = "\n".join(said)
    assert "deploy.sh" in everything
    assert lines_with(everything, planted) == []


def test_equal_secrets_have_equal_marks_and_no_others(tmp_path: Path) -> None:
    text = b"password = same-Secret1\ndb_password: same-Secret1\ntoken=other-Secret2\n"

    def marks(place: str) -> list[str]:
        into = Snapshot.open(tmp_path / place, inventory=b"", started_at="", resume=False)
        into.store("hosts/a/x", text)
        into.close()
        assert not (tmp_path / place / ".incomplete").exists()
        return re.findall(r"‹redacted~[0-9a-f]{8}›", (tmp_path / place / "hosts/a/x").read_text())

    first, second, third = marks("one")
    assert first == second != third
    assert first not in marks("two")


def test_a_run_that_goes_on_has_the_same_marks(tmp_path: Path) -> None:
    def store(name: str, resume: bool) -> str:
        into = Snapshot.open(tmp_path / "s", inventory=b"", started_at="", resume=resume)
        into.store(name, b"password = same-Secret1\n")
        return (tmp_path / "s" / name).read_text()

    assert store("a", False) == store("b", True)
    assert (tmp_path / "s/.incomplete/key").stat().st_mode & 0o077 == 0


def test_what_is_marked_stays() -> None:
    files, _ = plant()
    key = b"k" * 32
    for path, text in files.items():
        once = redacted(text.encode(), key)
        assert redacted(once, b"x" * 32) == once, path
        assert redact(once.decode()) == once.decode() or path.endswith("key.txt"), path


def test_a_mark_has_no_secret_in_it() -> None:
    assert mark("hunter2") == "‹redacted›"
    assert mark("hunter2", b"k") != mark("hunter2", b"l") != mark("hunter3", b"l")
    assert mark(mark("hunter2", b"k"), b"l") == mark("hunter2", b"k")
