"""Secrets planted in what hosts hold and what other sources answer, three hundred of them.

None is in a snapshot, a report, an export, the answer of a gate, a difference, an explanation or on stderr.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from auditor.capture.redacted import redacted
from auditor.capture.snapshot import Record, Snapshot
from auditor.cli import gate, graph
from auditor.cli.main import main
from auditor.model import Outcome
from auditor.redaction import mark, redact

HOST = "legacy-cert-01"
FORMATS = ("text", "markdown", "json")

# File, lines. {s} is a secret of letters and digits, {q} one with signs as well, {m} one with a comma and a semicolon,
# {w} one of several words, {b} one in base64, {h} one in hexadecimal; each place is filled with a secret of its own.
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


FILES |= {
    "etc/app/hard.env": """\
DB_PASSWORD={m}
export DEPLOY_TOKEN="{w}"
password = {m}
password: "{w}"
"secret": "{w}",
""",
    "opt/hard.sh": """\
curl -u "deploy:{w}" https://legacy-cert-01/
/opt/push --password "{w}" --host legacy-cert-01
/opt/push --token='{w}' --host legacy-cert-01
mysqldump -p"{w}" -h legacy-cert-01 shop
""",
    "etc/redis/redis.conf": "bind 10.20.4.17\nrequirepass {s}\nmasterauth {s}\n",
    "etc/nslcd.conf": "uri ldap://legacy-cert-01/\nbindpw {s}\nrootpwmodpw {s}\n",
    "etc/sssd/sssd.conf": "[domain/x]\nldap_uri = ldap://legacy-cert-01\nldap_default_authtok = {s}\n",
    "etc/monit/monitrc": """\
set mailserver legacy-cert-01 username "x" password "{s}"
set httpd port 2812
  allow admin:{s}
""",
    "etc/pgbouncer/userlist.txt": '"shop" "md5{h32}"\n"ops" "SCRAM-SHA-256$4096:{b}"\n',
    "etc/chrony/chrony.keys": "1 SHA1 HEX:{h}\n2 MD5 {s}\n",
    "etc/squid/squid.conf": "cache_peer legacy-cert-01 parent 3128 0 login=user:{s} default\n",
    "etc/nginx/conf.d/a.conf": """\
location / {{ proxy_set_header Authorization "Basic {b}"; proxy_pass http://legacy-cert-01; }}
""",
    "etc/apache2/conf.d/ldap.conf": """\
AuthLDAPUrl ldap://legacy-cert-01/
AuthLDAPBindPassword {s}
AuthLDAPBindPassword "{w}"
""",
}

# What other sources answer, and files of a repository, by their estate paths.
AWS = "aws/210987654321/eu-central-1"
ANSWERS: dict[str, str] = {
    f"{AWS}/lambda.ListFunctions.json": """\
{{"Functions": [{{"FunctionName": "push", "Environment": {{"Variables": {{"DB_PASSWORD": "{s}",
 "API_TOKEN": "{s}", "HOST": "legacy-cert-01.eventide.net", "AWS_SECRET_ACCESS_KEY": "{k}"}}}}}}]}}
""",
    f"{AWS}/codebuild.BatchGetProjects.json": """\
{{"projects": [{{"name": "site", "webhook": {{"url": "https://legacy-cert-01.eventide.net/cb", "secret": "{s}"}},
 "environment": {{"environmentVariables": [{{"name": "DEPLOY_TOKEN", "value": "{s}", "type": "PLAINTEXT"}},
 {{"value": "{s}", "name": "DB_PASSWORD"}}, {{"name": "OLD_TOKEN", "type": "PLAINTEXT", "value": "{w}"}}]}},
 "source": {{"location": "https://ci:{s}@legacy-cert-01.eventide.net/a.git"}}}}]}}
""",
    f"{AWS}/events.DescribeConnection.json": """\
{{"AuthParameters": {{"BasicAuthParameters": {{"Username": "a", "Password": "{s}"}},
 "ApiKeyAuthParameters": {{"ApiKeyName": "X-Api-Key", "ApiKeyValue": "{s}"}},
 "InvocationHttpParameters": {{"HeaderParameters": [
  {{"Key": "X-Auth-Token", "Value": "{s}", "IsValueSecret": false}}]}}}}}}
""",
    f"{AWS}/sns.ListSubscriptions.json": """\
{{"Subscriptions": [{{"Protocol": "https", "Endpoint": "https://sns:{s}@legacy-cert-01.eventide.net/in?token={s}"}}]}}
""",
    f"{AWS}/dms.DescribeEndpoints.json": """\
{{"Endpoints": [{{"ServerName": "legacy-cert-01.eventide.net", "Username": "u", "Password": "{s}",
 "ExtraConnectionAttributes": "user=u;password={s};host=legacy-cert-01"}}]}}
""",
    f"{AWS}/ec2.DescribeInstanceAttribute.json": """\
{{"InstanceId": "i-0a1b2c3d4e5f60718", "UserData": {{"Value": "#!/bin/sh\\ncurl -u deploy:{s} https://legacy-cert-01/\\n"}}}}
""",
    "services/code/hooks/parcel/site.json": """\
[{{"id": 1, "config": {{"url": "https://u:{s}@legacy-cert-01.eventide.net/hook?access_token={s}", "secret": "{s}"}}}},
 {{"id": 2, "config": {{"url": "https://hooks.slack.com/services/T2/B2/{s}"}}}}]
""",
    "services/gitlab/hooks/parcel.json": """\
[{{"id": 3, "url": "https://legacy-cert-01.eventide.net/gl", "token": "{s}", "enable_ssl_verification": true}}]
""",
    "services/k8s/objects.json": """\
{{"kind": "List", "items": [
{{"kind": "Secret", "apiVersion": "v1", "metadata": {{"name": "db"}}, "data": {{"password": "{b}", "url": "{b}"}}}},
{{"kind": "CronJob", "apiVersion": "batch/v1", "spec": {{"containers": [{{"command": ["curl", "-u", "deploy:{s}",
 "https://legacy-cert-01.eventide.net/"], "args": ["--token", "{s}", "--password={s}"],
 "env": [{{"name": "PGPASSWORD", "value": "{s}"}}, {{"name": "HOST", "value": "legacy-cert-01"}}]}}]}}}}]}}
""",
    "kubernetes/push.yaml": """\
apiVersion: v1
kind: Secret
metadata: {{name: push}}
stringData:
  password: {s}
  dsn: postgres://shop:{s}@legacy-cert-01/shop
data:
  anything: {b}
  tls.key: {b}
---
apiVersion: batch/v1
kind: CronJob
spec:
  containers:
  - env:
    - name: API_TOKEN
      value: "{s}"
    - name: HOST
      value: legacy-cert-01.eventide.net
    command: [curl, -u, "deploy:{s}", https://legacy-cert-01.eventide.net/]
    args:
    - --token
    - {s}
    - -u
    - deploy:{s}
""",
    "services/prom/prometheus/config.json": """\
{{"status": "success", "data": {{"yaml": "scrape_configs:\\n- basic_auth:\\n    username: a\\n    password: {s}\\n"}}}}
""",
    "services/grafana/contact-points.json": """\
[{{"type": "webhook", "settings": {{"url": "https://legacy-cert-01.eventide.net/g", "password": "{s}",
 "authorization_credentials": "{s}", "integrationKey": "{h}", "bottoken": "123:{s}", "apiKey": "{s}"}}}}]
""",
    "services/icinga/objects.json": """\
{{"results": [{{"name": "a", "attrs": {{"address": "legacy-cert-01", "vars": {{
 "snmp_community": "{s}", "mysql_password": "{s}",
 "check_command": ["check_http", "-a", "ops:{s}"], "http_auth_pair": "ops:{s}"}}}}}}]}}
""",
    "services/hc/checks.json": """\
{{"checks": [{{"name": "renew", "ping_url": "https://hc-ping.com/{u}", "unique_key": "x"}}]}}
""",
    "dns/eventide.net.zone": """\
$ORIGIN eventide.net.
@ IN SOA ns root 1 2 3 4 5
legacy-cert-01 IN A 10.20.4.17
note IN TXT "password={s}"
""",
    "terraform/terraform.tfstate": """\
{{"resources": [{{"type": "aws_db_instance", "instances": [{{"attributes": {{"address": "legacy-cert-01.eventide.net",
 "password": "{s}", "master_password": "{s}",
 "private_key_pem": "-----BEGIN RSA PRIVATE KEY-----\\n{b}\\n-----END RSA PRIVATE KEY-----\\n",
 "secret_string": "{s}", "value": "plain"}}}}]}}]}}
""",
    "docker-compose.yml": """\
services:
  db:
    image: postgres
    environment:
      - POSTGRES_PASSWORD={s}
      - "REDIS_URL=redis://:{s}@legacy-cert-01:6379/0"
    command: ["redis-server", "--requirepass", "{s}"]
""",
    "ansible/group_vars/all.yml": """\
ansible_become_pass: {s}
ansible_ssh_pass: '{q}'
vault_db_password: "{s}"
push_url: https://push:{s}@legacy-cert-01.eventide.net/
""",
    ".github/workflows/push.yml": """\
on: {{schedule: [{{cron: '1 1 * * *'}}]}}
jobs:
  push:
    env: {{DEPLOY_TOKEN: {s}}}
    steps:
    - run: curl -H "Authorization: token {s}" https://legacy-cert-01.eventide.net/
""",
    f"hosts/{HOST}/etc/systemd/system/push.service": """\
[Service]
Environment="API_TOKEN={s}" "HOST=legacy-cert-01"
Environment=DB_PASSWORD={s}
ExecStart=/usr/bin/curl -u deploy:{s} https://legacy-cert-01.eventide.net/
""",
    "windows/task.xml": """\
<Task><Actions><Exec><Command>C:\\push.exe</Command>
<Arguments>/server:legacy-cert-01 /user:ops /password:{s}</Arguments></Exec>
<Exec><Command>powershell</Command>
<Arguments>-File push.ps1 -Password {s} -ApiKey "{s}"</Arguments></Exec></Actions></Task>
""",
    "jenkins/config.xml": """\
<project><url>https://legacy-cert-01.eventide.net/</url><authToken>{s}</authToken>
<privateKey>{b}</privateKey><apiToken>{s}</apiToken></project>
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
        yield "m", f"Zq{word[26:31]},{word[31:36]};{word[36:41]}7"
        yield "w", f"Zq{word[41:46]} {word[46:51]}, {word[51:56]}; {word[56:60]}7"
        yield "s8", f"Zq{word[20:25]}7"
        yield "b", base64.b64encode(digest[:33]).decode()
        yield "c", base64.b64encode(f"curl -u a:{word[:16]} https://legacy-cert-01/".encode()).decode()
        yield "h", digest.hex()[:40]
        yield "h8", digest.hex()[40:48]
        yield "h32", digest.hex()[48:80]
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
    hosts = {f"hosts/{HOST}/{path}": text for path, text in FILES.items()}
    for path, template in {**hosts, **ANSWERS}.items():

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
        into.store(path, text.encode())
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
        assert (root / path).read_text().count("\n") == before.count("\n"), path


@pytest.fixture(scope="module")
def raw(
    snapshot: tuple[Path, list[tuple[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[str, str]]]:
    """The same estate as it was before redaction, as a repository that has it since its second commit."""
    root = tmp_path_factory.mktemp("raw")

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.net"]
        subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)

    git("init", "-q")
    (root / "README").write_text("x\n")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    for path, text in plant()[0].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "inventory.yaml").write_bytes((snapshot[0] / "inventory.yaml").read_bytes())
    git("add", "-A")
    git("commit", "-q", "-m", "two")
    return root, snapshot[1]


def said_by(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """All that a command says: on both streams, and in the files that it writes below a directory."""
    for path in out.parent.iterdir():
        path.unlink()
    assert main([*words, "--quiet", "-o", str(out)]) in (0, 1, 4), words
    streams = capsys.readouterr()
    files = [path.read_bytes().decode("utf-8", "replace") for path in out.parent.iterdir()]
    assert any(files), words
    # Some formats encode what they write.
    return "\n".join((streams.out, streams.err, *files, *(unquote(html.unescape(text)) for text in files)))


CHECKLISTS = [["checklist", HOST, "--format", form] for form in FORMATS]
WHY = ["why", "https://legacy-cert-01.eventide.net/renewed", HOST]


@pytest.mark.parametrize("words", [*CHECKLISTS, ["report", HOST]], ids=" ".join)
@pytest.mark.parametrize("before", [False, True], ids=["snapshot", "raw"])
def test_none_is_in_a_report(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], before: bool
) -> None:
    """Of the snapshot, and of the same estate as it was before redaction."""
    estate, planted = request.getfixturevalue("raw" if before else "snapshot")
    (tmp_path / "out").mkdir()
    said = said_by([*words, "--estate", str(estate)], tmp_path / "out/report", capsys)
    assert HOST in said
    assert lines_with(said, planted) == []


def test_none_is_in_an_explanation(raw: tuple[Path, list[tuple[str, str]]], capsys: pytest.CaptureFixture[str]) -> None:
    estate, planted = raw
    assert main([*WHY, "--estate", str(estate), "--quiet"]) == 0
    streams = capsys.readouterr()
    assert HOST in streams.out
    assert lines_with(streams.out + streams.err, planted) == []


@pytest.mark.parametrize("form", [form for form in graph.FORMATS if form not in ("svg", "png")])
def test_none_is_in_an_export(
    raw: tuple[Path, list[tuple[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    estate, planted = raw
    (tmp_path / "out").mkdir()
    words = ["graph", "--estate", str(estate), "--mentions", "--max-nodes", "0", "--format", form]
    said = said_by(words, tmp_path / "out/graph", capsys)
    assert HOST in said
    assert lines_with(said, planted) == []


@pytest.mark.parametrize("form", gate.FORMATS)
def test_none_is_in_the_answer_of_a_gate(
    raw: tuple[Path, list[tuple[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    estate, planted = raw
    (tmp_path / "out").mkdir()
    words = ["gate", "--repo", str(estate), "--base", "HEAD~1", "--head", "HEAD", "--fail-on", "warn", "--format", form]
    said = said_by(words, tmp_path / "out/gate", capsys)
    assert HOST in said
    assert lines_with(said, planted) == []


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("turned", [False, True])
def test_none_is_in_a_difference(
    raw: tuple[Path, list[tuple[str, str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    turned: bool,
) -> None:
    estate, planted = raw
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme").touch()
    (tmp_path / "out").mkdir()
    sides = [str(tmp_path / "empty"), str(estate)]
    words = ["diff", *(sides[::-1] if turned else sides), "--host", HOST, "--format", form]
    said = said_by(words, tmp_path / "out/diff", capsys)
    assert HOST in said
    assert lines_with(said, planted) == []


def test_none_is_in_the_metrics_and_reports_of_a_guard(
    snapshot: tuple[Path, list[tuple[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, planted = snapshot
    words = ["--textfile", str(tmp_path / "a.prom"), "--report", f"json={tmp_path / 'a.json'}"]
    assert main(["guard", "--snapshot", str(root), *words]) in (1, 3, 4)
    streams = capsys.readouterr()
    said = "\n".join((streams.out, streams.err, *(path.read_text() for path in tmp_path.iterdir())))
    assert HOST in said
    assert lines_with(said, planted) == []


def test_none_is_in_the_log_of_a_collection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A declaration that holds one is refused without saying it; a token is in no record of why a source failed."""
    (tmp_path / "estate").mkdir()

    def collect(sources: str) -> tuple[int, str]:
        (tmp_path / "estate/inventory.yaml").write_text(f"version: 1\nsources:\n{sources}")
        words = ["--estate", str(tmp_path / "estate"), "-o", str(tmp_path / "snapshot")]
        code = main(["collect", *words])
        streams = capsys.readouterr()
        return code, streams.out + streams.err

    code, said = collect(
        "  - {kind: tls, name: edge, endpoints: ['https://ops:Zqplanted7@127.0.0.1:9/?token=Zqplanted8']}\n"
    )
    assert (code, "this holds a secret" in said, "Zqplanted" in said) == (2, True, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_TOKEN", "Zqplanted9")
        code, said = collect(
            "  - {kind: prometheus, name: prom, url: 'http://127.0.0.1:9/x', token_env: PLANTED_TOKEN}\n"
        )
    assert code == 4
    files = [path.read_text() for path in (tmp_path / "snapshot").rglob("*") if path.is_file()]
    assert "Zqplanted" not in "\n".join((said, *files))


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
