"""Secrets of an estate stay in the estate: none of them is in any report, whatever the format."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from auditor.cli.main import main

GOING = "old.example.org"
HOST = "hosts/web01.example.org"
RANDOM = random.Random(20)


def secret(length: int = 24) -> str:
    """A made-up secret, which no other text holds."""
    return "".join(RANDOM.choice("ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789") for _ in range(length))


PEM_BODY = base64.b64encode(RANDOM.randbytes(48)).decode()
S = [secret() for _ in range(45)]
SLACK = f"T0{secret(8)}/B0{secret(8)}/{secret()}"

FILES = {
    f"{HOST}/etc/cron.d/push": f"""\
MAILTO=root
API_TOKEN={S[0]}
1 1 * * * root curl -fsS -u deploy:{S[1]} https://{GOING}/push
2 1 * * * root curl -fsS https://deploy:{S[2]}@{GOING}/push
3 1 * * * root curl -H 'Authorization: Bearer {S[3]}' https://{GOING}/push
4 1 * * * root curl -H "X-Api-Key: {S[4]}" https://{GOING}/push
5 1 * * * root mysqldump -h {GOING} -u backup -p{S[5]} --all-databases > /srv/{GOING}.sql
6 1 * * * root sshpass -p {S[6]} ssh root@{GOING} true
7 1 * * * root PGPASSWORD={S[7]} psql -h {GOING} -c 'select 1'
8 1 * * * root /usr/local/bin/report.sh --host {GOING} --token={S[8]}
9 1 * * * root /usr/local/bin/report.sh --host {GOING} --password '{S[9]}'
10 1 * * * root curl --user deploy:{S[10]} https://{GOING}/push
11 1 * * * root curl -X POST -d text={GOING} https://hooks.slack.com/services/{SLACK}
12 1 * * * root curl "https://{GOING}/push?access_token={S[11]}"
13 1 * * * root wget --user=deploy --password={S[12]} https://{GOING}/x
14 1 * * * root AWS_SECRET_ACCESS_KEY={S[13]} aws s3 cp /x s3://{GOING}/
15 1 * * * root lftp -u deploy,{S[14]} sftp://{GOING}
""",
    f"{HOST}/usr/local/bin/report.sh": f"""\
#!/bin/sh
DB_PASSWORD="{S[15]}" # for {GOING}
curl -u "deploy:$DB_PASSWORD" https://{GOING}/report
curl -u 'deploy:{S[16]}' https://{GOING}/report
export VAULT_TOKEN={S[17]}; ssh {GOING} true
redis-cli -h {GOING} -a {S[18]} ping
""",
    f"{HOST}/etc/systemd/system/push.service": f"""\
[Service]
Environment=TOKEN={S[19]} TARGET={GOING}
ExecStart=/usr/bin/curl -u deploy:{S[20]} https://{GOING}/push
""",
    f"{HOST}/etc/app/app.ini": f"""\
[db]
host = {GOING}
url = postgres://app:{S[21]}@{GOING}:5432/app
password = {S[22]} ; {GOING}
""",
    "config/app.yml": f"""\
db: {{host: {GOING}, password: {S[23]}}}
api_key: "{S[24]}" # {GOING}
amqp: amqp://app:{S[25]}@{GOING}/
hook: https://hooks.slack.com/services/{SLACK} # {GOING}
client_secret: '{S[26]}' # {GOING}
""",
    "config/app.json": f'{{"host": "{GOING}", "password": "{S[27]}", "auth_token": "{S[28]}"}}\n',
    "config/long.json": f'{{"pad": "{"x" * 900}", "secret_key": "{S[29]}", "host": "{GOING}", "token": "{S[30]}"}}\n',
    "config/key.txt": f"{GOING}: -----BEGIN PRIVATE KEY-----\\n{PEM_BODY}\\n-----END PRIVATE KEY-----\n",
    "config/tokens.txt": f"""\
{GOING} ghp_{S[31]}{S[31]}
{GOING} glpat-{S[32]}
{GOING} xoxb-{S[33]}
{GOING} AKIA{S[34][:16].upper()}
https://discord.com/api/webhooks/1234567890/{S[35]} {GOING}
https://api.telegram.org/bot123456:{S[36]}/sendMessage {GOING}
""",
    "alertmanager/alertmanager.yml": f"""\
global: {{smtp_smarthost: '{GOING}:25', smtp_auth_password: {S[37]}}}
route: {{receiver: ops}}
receivers:
- name: ops
  webhook_configs: [{{url: 'https://bot:{S[38]}@{GOING}/alerts'}}]
  slack_configs: [{{api_url: 'https://hooks.slack.com/services/{SLACK}', channel: '#ops'}}]
""",
    "prometheus/prometheus.yml": f"""\
scrape_configs:
- job_name: a
  basic_auth: {{username: p, password: {S[39]}}}
  static_configs: [{{targets: ['{GOING}:9100']}}]
remote_write:
- url: https://w:{S[40]}@{GOING}/write
""",
    "webhooks/org.json": f"""\
[{{"id": 1, "name": "web", "active": true, "events": ["push"],
  "config": {{"url": "https://ci:{S[41]}@{GOING}/hook?token={S[42]}", "secret": "{S[43]}"}}}},
 {{"id": 2, "name": "web", "active": true, "events": ["push"],
  "config": {{"url": "https://hooks.slack.com/services/{SLACK}", "content_type": "{GOING}"}}}}]
""",
    "inventory/hosts": f"[all]\n{GOING} ansible_password={S[44]}\n",
}


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("estate")
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_no_secret_is_reported(estate: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    options = ["--estate", str(estate), "--as", "retired", "--now", "2025-11-20T00:00:00Z", "--format", form]
    assert (
        main(["checklist", GOING, *options, "--width", "250"] if form == "text" else ["checklist", GOING, *options])
        == 1
    )
    shown = capsys.readouterr().out
    for path in FILES:
        name = path.removeprefix(HOST)
        assert name in shown, f"{path} is not in the report: the test would show nothing"
    leaked = [(number, one) for number, one in enumerate(S) if one in shown]
    leaked += [(-1, part) for part in SLACK.split("/") if part in shown]
    leaked += [(-2, PEM_BODY)] if PEM_BODY[:30] in shown else []
    assert not leaked, [(number, _around(shown, one)) for number, one in leaked]


def _around(text: str, word: str) -> str:
    at = text.find(word)
    return text[max(at - 120, 0) : at + len(word) + 5]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_a_path(estate: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    for consumer in ("push", "alertmanager", "ops", "report.sh", "hooks.slack.com", "webhook"):
        main(["why", consumer, GOING, "--estate", str(estate), "--format", form])
        shown = "".join(capsys.readouterr())
        assert not [one for one in (*S, *SLACK.split("/")) if one in shown], consumer
