"""`auditor collect` against moto's server process over HTTP: accounts, regions, roles, pages, and what IAM denies."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.capture.aws import AwsResult, collect_aws
from auditor.capture.aws_calls import OPERATIONS, Operation, iam_policy
from auditor.capture.snapshot import Snapshot
from auditor.cli.main import main
from auditor.model import Outcome
from tests.integration.programs import PATIENCE, free_port, listens, running

pytestmark = pytest.mark.integration

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")

ACCOUNT, OTHER = "123456789012", "210987654321"
REGION = "eu-central-1"
LACKING = frozenset(
    {
        "cloudfront.ListVpcOrigins", "cloudwatch.DescribeAlarmHistory", "cloudwatch.DescribeAnomalyDetectors",
        "cloudwatch.ListMetricStreams", "codepipeline.ListWebhooks", "datasync.ListAgents", "ec2.DescribeVolumeStatus",
        "events.ListEndpoints", "lambda.ListFunctionUrlConfigs", "route53.GetTrafficPolicy",
        "route53.ListTrafficPolicyInstances", "ssm.DescribeInstanceInformation", "ssm.ListAssociations",
        "synthetics.DescribeCanariesLastRun", "transfer.DescribeWorkflow", "transfer.ListWorkflows",
    }
)  # fmt: skip
"""Operations that moto 5.2 does not know: botocore's Stubber answers for them elsewhere."""
KNOWN = tuple(operation for operation in OPERATIONS if operation.key not in LACKING)
FULL = "arn:aws:sns:eu-central-1:123456789012:ops"


class Moto:
    """A server process of its own, with two accounts."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path: str, body: bytes) -> None:
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", body, {"Content-Type": "text/plain"})
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def client(self, service: str, *, account: str = ACCOUNT, region: str = REGION) -> Any:
        given: dict[str, str] = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x"}
        if account != ACCOUNT:
            role = f"arn:aws:iam::{account}:role/planter"
            assumed = self.client("sts").assume_role(RoleArn=role, RoleSessionName="plant")["Credentials"]
            given = {
                "aws_access_key_id": assumed["AccessKeyId"],
                "aws_secret_access_key": assumed["SecretAccessKey"],
                "aws_session_token": assumed["SessionToken"],
            }
        return boto3.client(service, region_name=region, endpoint_url=self.url, **given)


def plant(moto: Moto) -> str:
    """An estate: a certificate server as an instance, and all that leads to it. Returns the instance's id."""
    ec2 = moto.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    tags = [{"Key": "Name", "Value": "legacy-cert-01"}, {"Key": "Lifecycle", "Value": "read-only"}]
    [instance] = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )["Instances"]
    identity, address = instance["InstanceId"], instance["PrivateIpAddress"]

    route53 = moto.client("route53")
    zone = route53.create_hosted_zone(Name="eventide.net", CallerReference="1")["HostedZone"]["Id"]

    def record(name: str, kind: str, *values: str) -> dict[str, Any]:
        kept = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
        return {"Action": "CREATE", "ResourceRecordSet": kept}

    records = [record(f"n{number}.eventide.net", "A", f"192.0.2.{number % 250}") for number in range(340)]
    records.append(record("acme-hook.eventide.net", "A", address))
    records.append(record("*.wild.eventide.net", "CNAME", "acme-hook.eventide.net"))
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": records})
    check = {"Type": "HTTPS", "FullyQualifiedDomainName": "acme-hook.eventide.net", "Port": 443}
    route53.create_health_check(CallerReference="1", HealthCheckConfig=check)

    cloudwatch = moto.client("cloudwatch")
    for number in range(120):
        cloudwatch.put_metric_alarm(
            AlarmName=f"legacy-cpu-{number:03}", MetricName="CPUUtilization", Namespace="AWS/EC2", Period=60,
            EvaluationPeriods=1, Threshold=90, ComparisonOperator="GreaterThanThreshold", Statistic="Average",
            Dimensions=[{"Name": "InstanceId", "Value": identity}], AlarmActions=[FULL],
        )  # fmt: skip

    sns = moto.client("sns")
    topic = sns.create_topic(Name="ops")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://acme-hook.eventide.net/sns")
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="night.shift@eventide.net")

    events = moto.client("events")
    connection = events.create_connection(
        Name="hook",
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "correcthorse9"}},
    )["ConnectionArn"]
    destination = events.create_api_destination(
        Name="renewed", ConnectionArn=connection, HttpMethod="POST",
        InvocationEndpoint="https://acme-hook.eventide.net/renewed",
    )["ApiDestinationArn"]  # fmt: skip
    events.create_event_bus(Name="ops")
    for number in range(60):
        events.put_rule(Name=f"rule-{number}", EventPattern='{"source": ["x"]}', EventBusName="ops")
    target = {"Id": "1", "Arn": destination, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/x"}
    events.put_targets(Rule="rule-7", EventBusName="ops", Targets=[target])

    acm = moto.client("acm")
    for algorithm in ("RSA_2048", "RSA_4096", "EC_prime256v1", "EC_secp384r1"):
        acm.request_certificate(
            DomainName=f"{algorithm.lower().replace('_', '-')}.eventide.net", KeyAlgorithm=algorithm
        )

    moto.client("ssm").put_parameter(Name="/hook/url", Type="String", Value="https://acme-hook.eventide.net/x")
    moto.client("ssm").put_parameter(Name="/hook/note", Type="String", Value="the cellar door is 4711")
    moto.client("ssm").put_parameter(Name="/hook/key", Type="SecureString", Value="correcthorse8")
    west = moto.client("sns", region="us-west-2")
    west.subscribe(
        TopicArn=west.create_topic(Name="west")["TopicArn"], Protocol="http", Endpoint="http://west.eventide.net"
    )
    moto.client("sns", account=OTHER).create_topic(Name="elsewhere")
    return str(identity)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("moto") / "log"
    with running(command, log, lambda: listens(port), env={**os.environ, "PYTHONWARNINGS": "ignore"}):
        yield Moto(port)


@pytest.fixture(scope="module")
def planted(server: Moto) -> str:
    return plant(server)


@pytest.fixture(autouse=True)
def _environment(server: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs this: no credentials, no configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def some(*keys: str) -> tuple[Operation, ...]:
    return tuple(operation for operation in OPERATIONS if operation.key in keys)


def collected(
    place: Path,
    operations: tuple[Operation, ...],
    *,
    regions: tuple[str, ...] = (REGION,),
    profile: str | None = None,
    role: str | None = None,
    account: str | None = None,
) -> tuple[AwsResult, dict[str, dict[str, str]]]:
    snapshot = Snapshot.open(place, inventory=b"version: 1\n", started_at="2026-11-23T00:00:00Z", resume=place.exists())
    source = SimpleNamespace(account=account, profile=profile, role_arn=role, regions=regions)
    result = collect_aws(source, snapshot, workers=8, operations=operations)
    path = place / "captures.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return result, {entry["path"]: entry for entry in map(json.loads, lines)}


def answer(place: Path, key: str, account: str = ACCOUNT, region: str = REGION) -> Any:
    return json.loads((place / f"aws/{account}/{region}/{key}.json").read_text())


def test_from_an_account_to_a_checklist(
    planted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    estate, snapshot = tmp_path / "estate", tmp_path / "snapshot"
    estate.mkdir()
    (estate / "inventory.yaml").write_text(
        "version: 1\ndomains: [eventide.net]\nhosts:\n  - name: legacy-cert-01\n    lifecycle: read-only\n"
        f'sources:\n  - {{kind: aws, account: "{ACCOUNT}", regions: [{REGION}]}}\n'
    )
    code = main(["collect", "--estate", str(estate), "-o", str(snapshot), "--only", "aws"])
    out, err = capsys.readouterr()
    assert code == 4, err
    records = [json.loads(line) for line in (snapshot / "captures.jsonl").read_text().splitlines()]
    unseen = {one["path"].rsplit("/", 1)[-1].removesuffix(".json") for one in records} - {f"{one.key}" for one in KNOWN}
    assert (
        not {one["path"] for one in records if one["outcome"] not in ("ok", "absent")}
        - {f"aws/{ACCOUNT}/{place}/{key}.json" for key in LACKING for place in (REGION, "aws-global")}
        - {"sources/aws-1"}
    ), unseen
    assert f"{len(OPERATIONS)} requests collected" in out

    everything = b"".join(path.read_bytes() for path in snapshot.rglob("*") if path.is_file())
    for secret in (b"correcthorse", b"night.shift", b"cellar door"):
        assert secret not in everything

    main(["checklist", "legacy-cert-01", "--estate", str(snapshot), "--as", "retired", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    places = {one["path"].rsplit("/", 1)[-1] for found in report["findings"] for one in found["evidence"]}
    for key in (
        "route53.ListResourceRecordSets", "cloudwatch.DescribeAlarms", "events.ListApiDestinations",
        "sns.ListSubscriptions", "route53.ListHealthChecks", "ssm.GetParameters",
    ):  # fmt: skip
        assert f"{key}.json" in places, key


def test_everything_is_read_to_its_last_page(planted: str, tmp_path: Path) -> None:
    keys = (
        "route53.ListHostedZones", "route53.ListResourceRecordSets", "cloudwatch.DescribeAlarms",
        "events.ListEventBuses", "events.ListRules", "events.ListTargetsByRule",
    )  # fmt: skip
    result, _ = collected(tmp_path / "s", some(*keys))
    assert result.unseen == 0
    [records] = answer(tmp_path / "s", "route53.ListResourceRecordSets", region="aws-global")["calls"]
    assert len(records["answer"]["ResourceRecordSets"]) >= 342
    alarms = answer(tmp_path / "s", "cloudwatch.DescribeAlarms")
    assert len(alarms["MetricAlarms"]) == 120
    rules = answer(tmp_path / "s", "events.ListRules")["calls"]
    assert sorted(len(one["answer"]["Rules"]) for one in rules if one["answer"]["Rules"]) == [60]
    targets = answer(tmp_path / "s", "events.ListTargetsByRule")["calls"]
    assert {one["parameters"]["EventBusName"] for one in targets if one["answer"]["Targets"]} == {"ops"}


def test_certificates_of_every_kind_of_key_are_listed(planted: str, tmp_path: Path) -> None:
    collected(tmp_path / "s", some("acm.ListCertificates", "acm.DescribeCertificate"))
    names = {one["DomainName"] for one in answer(tmp_path / "s", "acm.ListCertificates")["CertificateSummaryList"]}
    assert len(names) == 4
    assert len(answer(tmp_path / "s", "acm.DescribeCertificate")["calls"]) == 4


def test_all_regions_that_the_account_has(planted: str, tmp_path: Path) -> None:
    result, records = collected(tmp_path / "s", some("sns.ListSubscriptions"), regions=("all",))
    asked = {path.split("/")[2]: entry["outcome"] for path, entry in records.items()}
    assert {REGION, "us-west-2", "ap-southeast-2", "sa-east-1"} <= set(asked)
    assert (result.asked, result.unseen) == (len(asked), 0)
    assert (asked["us-west-2"], asked[REGION], asked["sa-east-1"]) == ("ok", "ok", "absent")


def test_several_accounts_by_profile_and_by_role(planted: str, tmp_path: Path) -> None:
    role = f"arn:aws:iam::{OTHER}:role/auditor"
    (tmp_path / "config").write_text(f"[profile other]\nrole_arn = {role}\nsource_profile = base\n")
    (tmp_path / "credentials").write_text(
        "[base]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n"
    )
    # The environment's credentials would not be asked: a profile that is named wins.
    topics = some("sns.ListSubscriptions")
    first, _ = collected(tmp_path / "s", topics)
    second, _ = collected(tmp_path / "s", topics, profile="other")
    assert (first.account, second.account) == (ACCOUNT, OTHER)
    third, records = collected(tmp_path / "t", topics, role=role, account=OTHER)
    assert (third.account, third.outcome) == (OTHER, Outcome.OK)
    assert set(records) == {f"aws/{OTHER}/{REGION}/sns.ListSubscriptions.json"}


def test_a_profile_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    result, records = collected(tmp_path / "s", some("sns.ListSubscriptions"), profile="nobody")
    assert (result.outcome, records) == (Outcome.DENIED, {})
    assert "nobody" in result.detail


class Enforced:
    """A user whom IAM allows what a policy says, and no more."""

    def __init__(self, moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moto, self.monkeypatch = moto, monkeypatch

    def user(self, policy: dict[str, Any]) -> None:
        self.moto.post("reset-auth", b"inf")
        iam, name = self.moto.client("iam"), f"auditor-{time.monotonic_ns()}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="reads", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        self.moto.post("reset-auth", b"0")


@pytest.fixture
def iam(server: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enforced]:
    yield Enforced(server, monkeypatch)
    server.post("reset-auth", b"inf")


def outcomes(records: dict[str, dict[str, str]]) -> dict[str, str]:
    return {path.rsplit("/", 1)[-1].removesuffix(".json"): entry["outcome"] for path, entry in records.items()}


def test_the_printed_policy_is_enough(planted: str, iam: Enforced, tmp_path: Path) -> None:
    """moto can't check every service's signatures: what it refuses to a user who may do anything does not count."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.user(everything)
    before = outcomes(collected(tmp_path / "s", KNOWN)[1])
    policy = iam_policy()
    # moto calls actions by the name that requests are signed with, which is another in one case.
    actions = policy["Statement"][0]["Action"]
    actions += [one.replace("cloudwatch:", "monitoring:") for one in actions if one.startswith("cloudwatch:")]
    iam.user(policy)
    after = outcomes(collected(tmp_path / "t", KNOWN)[1])
    assert after == before
    allowed = {key.partition(".")[0] for key, outcome in after.items() if outcome in ("ok", "absent")}
    assert {"acm", "ec2", "events", "sns", "ssm", "rds", "elbv2", "secretsmanager"} <= allowed


def test_what_iam_denies_is_denied_alone(planted: str, iam: Enforced, tmp_path: Path) -> None:
    policy = iam_policy()
    without = ("sns:ListSubscriptions", "events:ListTargetsByRule", "acm:DescribeCertificate")
    policy["Statement"][0]["Action"] = [one for one in policy["Statement"][0]["Action"] if one not in without]
    iam.user(policy)
    expected = {
        "sns.ListSubscriptions": "denied",
        "events.ListEventBuses": "ok",
        "events.ListRules": "ok",
        "events.ListTargetsByRule": "denied",
        "acm.ListCertificates": "ok",
        "acm.DescribeCertificate": "denied",
        "ec2.DescribeInstances": "ok",
    }
    result, records = collected(tmp_path / "s", some(*expected))
    assert outcomes(records) == expected
    assert (result.outcome, result.unseen) == (Outcome.OK, 3)
    assert "ListSubscriptions" in records[f"aws/{ACCOUNT}/{REGION}/sns.ListSubscriptions.json"]["detail"]
