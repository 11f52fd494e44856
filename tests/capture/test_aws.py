"""What is asked of AWS, against botocore's own models; and accounts that misbehave, played by a small server.

moto knows not every operation: for those that it lacks, botocore's Stubber answers, which checks both sides.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.api import Document
from auditor.capture.aws import ATTEMPTS, AwsResult, collect_aws, moment
from auditor.capture.aws_calls import AREAS, DISCOVERY, OPERATIONS, Operation, iam_policy
from auditor.capture.snapshot import Snapshot
from auditor.model import Outcome
from auditor.registry import load_collectors

botocore_session = pytest.importorskip("botocore.session")

ACCOUNT = "210987654321"
KEY = "AKIAIOSFODNN7EXAMPLE"
BY_KEY = {one.key: one for one in OPERATIONS}


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test finds the credentials of whoever runs it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


# The table.


@cache
def botocore() -> Any:
    return botocore_session.get_session()


@cache
def model_of(service: str) -> Any:
    return botocore().get_service_model(service)


@cache
def pages_of(service: str) -> Mapping[str, Any]:
    from botocore.exceptions import UnknownServiceError

    try:
        loaded = botocore().get_component("data_loader").load_service_model(service, "paginators-1")
    except UnknownServiceError:
        return {}
    return dict(loaded["pagination"])


def shape_at(shape: Any, path: str) -> Any:
    for key in path.split("."):
        if shape.type_name == "list":
            shape = shape.member
        shape = shape.members[key]
    return shape


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_the_api_has_every_operation_as_the_table_calls_it(key: str) -> None:
    operation = BY_KEY[key]
    model = model_of(operation.service).operation_model(operation.name)
    given = model.input_shape.members if model.input_shape else {}
    assert set(operation.parameters) <= set(given)
    paged = any("token" in name.lower() or name.lower() in ("marker", "position") for name in given)
    if paged:
        assert (operation.name in pages_of(operation.service)) != bool(operation.token), "must be paged in one way"
    for parameter, said in operation.token:
        assert parameter in given
        shape_at(model.output_shape, said)
    if operation.each is not None:
        parent = BY_KEY[operation.each.of]
        items = shape_at(model_of(parent.service).operation_model(parent.name).output_shape, operation.each.items)
        assert items.type_name == "list"
        asked = set(operation.each.parameters) | set(operation.parameters)
        assert set(model.input_shape.required_members) <= asked
        for parameter, origin in operation.each.parameters.items():
            assert parameter in given
            if origin.startswith("@"):
                assert origin[1:] in (parent.each.parameters if parent.each else {})
            elif origin:
                assert origin in items.member.members
        if operation.each.only[0]:
            assert operation.each.only[0] in items.member.members
        assert list(BY_KEY).index(operation.each.of) < list(BY_KEY).index(key)
    else:
        assert set(model.input_shape.required_members if model.input_shape else ()) <= set(operation.parameters)


def test_default_filters_are_undone() -> None:
    def values(service: str, name: str, path: str) -> set[str]:
        return set(shape_at(model_of(service).operation_model(name).input_shape, path).member.enum)

    keys = BY_KEY["acm.ListCertificates"].parameters["Includes"]["keyTypes"]
    assert set(keys) == values("acm", "ListCertificates", "Includes.keyTypes")
    for key in ("cloudwatch.DescribeAlarms", "cloudwatch.DescribeAlarmHistory"):
        kinds = BY_KEY[key].parameters["AlarmTypes"]
        assert set(kinds) == values("cloudwatch", BY_KEY[key].name, "AlarmTypes")
    for operation in OPERATIONS:
        model = model_of(operation.service).operation_model(operation.name)
        given = model.input_shape.members if model.input_shape else {}
        if "IncludeManagedResources" in given:
            assert operation.parameters.get("IncludeManagedResources") is True, operation.key


@cache
def allowed(policy: str) -> list[str]:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    statements = json.loads(aws_managed_policies_data)[policy]["Document"]["Statement"]
    lists = [one["Action"] for one in statements if one["Effect"] == "Allow"]
    return [action for one in lists for action in ([one] if isinstance(one, str) else one)]


def covers(patterns: list[str], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def test_the_policy_is_what_reading_takes_and_no_more() -> None:
    """AWS's own ReadOnlyAccess holds every action but one: so each is spelled as IAM spells it, and changes nothing."""
    statements = iam_policy()["Statement"]
    actions = [action for one in statements if one["Effect"] == "Allow" for action in one["Action"]]
    reading = allowed("ReadOnlyAccess")
    assert [action for action in actions if not covers(reading, action)] == ["glue:GetConnections"]
    assert {operation.permission for operation in OPERATIONS} | set(DISCOVERY) == set(actions)
    assert not any("*" in action for action in actions)
    [denied] = [one for one in statements if one["Effect"] == "Deny"]
    assert denied["Action"] == ["kms:Decrypt"]


def test_the_audit_policy_of_aws_lacks_what_is_documented() -> None:
    lacking = {one.permission for one in OPERATIONS if not covers(allowed("SecurityAudit"), one.permission)}
    assert {"scheduler:ListSchedules", "scheduler:GetSchedule", "pipes:ListPipes", "pipes:DescribePipe"} <= lacking
    assert {"codepipeline:ListWebhooks", "glue:GetConnections", "servicediscovery:ListInstances"} <= lacking


def test_every_answer_that_a_collector_reads_is_asked_for() -> None:
    collectors, failures = load_collectors()
    assert not failures
    readers = [one for one in collectors if one.name.startswith("aws_")]
    paths = {key: f"aws/{ACCOUNT}/eu-central-1/{key}.json" for key in BY_KEY}
    read = {key for key, path in paths.items() if any(one.recognizes(path, b"{}") for one in readers)}
    # Lists that only lead to others, and what says no more than a mention would.
    assert set(BY_KEY) - read == {
        "apigateway.GetRestApis", "apigatewayv2.GetApis", "appsync.ListGraphqlApis", "backup.ListBackupPlans",
        "backup.ListBackupSelections", "cloudwatch.ListDashboards", "codebuild.ListProjects",
        "codepipeline.ListPipelines", "codepipeline.ListWebhooks", "datasync.ListTasks", "events.ListEndpoints",
        "events.ListEventBuses", "firehose.ListDeliveryStreams", "lambda.ListAliases", "pipes.ListPipes",
        "rds.DescribeDBParameterGroups",
        "scheduler.ListSchedules", "servicediscovery.ListNamespaces", "servicediscovery.ListServices",
        "ssm.DescribeParameters", "transfer.ListConnectors", "transfer.ListServers", "transfer.ListWorkflows",
    }  # fmt: skip


# What moto lacks, with botocore's Stubber: it refuses parameters and answers that are not as the API has them.


PAGE_SIZES = frozenset({"limit", "maxitems", "maxrecords", "maxresults"})


class Stubbed:
    """A session whose clients give these answers, one after the other, and nothing else.

    The sizes of pages are asked for in every call.
    """

    def __init__(self, answers: Mapping[str, list[tuple[Mapping[str, Any], Mapping[str, Any]] | str]]) -> None:
        import boto3
        from botocore.stub import Stubber

        self._clients: dict[str, Any] = {}
        self.stubbers: list[Stubber] = []
        session = boto3.Session(region_name="eu-central-1")
        everything: dict[str, list[Any]] = {
            **answers,
            "sts.GetCallerIdentity": [({}, {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/a"})],
        }
        for key, answered in everything.items():
            from botocore import xform_name

            service, name = key.split(".")
            client = self._clients.setdefault(service, session.client(service))
            stubber = next((one for one in self.stubbers if one.client is client), None)
            if stubber is None:
                stubber = Stubber(client)
                stubber.activate()
                self.stubbers.append(stubber)
            always = BY_KEY[key].parameters if key in BY_KEY else {}
            sizes = {name: always[name] for name in always if name.lower() in PAGE_SIZES}
            for one in answered:
                if isinstance(one, str):
                    stubber.add_client_error(xform_name(name), one, "no", 400)
                else:
                    stubber.add_response(xform_name(name), dict(one[1]), {**sizes, **one[0]})

    def client(self, service_name: str, *, region_name: str, config: Any) -> Any:
        return self._clients[service_name]

    def get_available_regions(self, service_name: str, partition_name: str) -> list[str]:
        return ["eu-central-1"]


def collected(
    place: Path,
    operations: list[Operation],
    session: Any = None,
    *,
    attempts: int = 1,
    resume: bool = False,
    account: str | None = None,
) -> tuple[AwsResult, dict[str, dict[str, str]], Path]:
    snapshot = Snapshot.open(place, inventory=b"version: 1\n", started_at="2026-11-23T00:00:00Z", resume=resume)
    source = SimpleNamespace(account=account, profile=None, role_arn=None, regions=("eu-central-1",))
    # One worker: stubbed answers come in the order in which they are asked for.
    result = collect_aws(source, snapshot, attempts=attempts, workers=1, operations=operations, session=session)
    path = place / "captures.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return result, {entry["path"].split("/", 3)[-1]: entry for entry in map(json.loads, lines)}, place


NOW = datetime(2026, 11, 20, tzinfo=UTC)
TOKEN = {"NextToken": "n"}
FURTHER = {
    "HostedZoneIdMarker": "Z2",
    "TrafficPolicyInstanceNameMarker": "x.",
    "TrafficPolicyInstanceTypeMarker": "A",
}
ALL_ALARMS = BY_KEY["cloudwatch.DescribeAlarms"].parameters["AlarmTypes"]
LACKING: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]] | str]] = {
    "cloudwatch.DescribeAlarmHistory": [
        (
            {"AlarmTypes": ALL_ALARMS, "HistoryItemType": "Action", "ScanBy": "TimestampDescending"},
            {"AlarmHistoryItems": [{"AlarmName": "a", "HistoryItemType": "Action", "HistorySummary": "Failed"}]},
        )
    ],
    "cloudwatch.DescribeAnomalyDetectors": [
        ({}, {"AnomalyDetectors": [{"StateValue": "TRAINED"}], **TOKEN}),
        (TOKEN, {}),
    ],
    "cloudwatch.ListMetricStreams": [
        ({}, {"Entries": [{"Name": "a"}], **TOKEN}),
        (TOKEN, {"Entries": [{"Name": "b"}]}),
    ],
    "cloudfront.ListVpcOrigins": [
        (
            {},
            {
                "VpcOriginList": {
                    "Marker": "", "MaxItems": 1, "IsTruncated": True, "Quantity": 1, "NextMarker": "m",
                    "Items": [
                        {
                            "Id": "vo_1", "Name": "a", "Status": "Deployed",
                            "CreatedTime": NOW, "LastModifiedTime": NOW, "Arn": "arn:aws:cloudfront::1:vpcorigin/vo_1",
                            "OriginEndpointArn": "arn:aws:ec2:x:1:instance/i-1",
                        }
                    ],
                }
            },
        ),
        ({"Marker": "m"}, {"VpcOriginList": {"Marker": "m", "MaxItems": 1, "IsTruncated": False, "Quantity": 0}}),
    ],
    "codepipeline.ListWebhooks": [({}, {"webhooks": []})],
    "datasync.ListAgents": [({}, {"Agents": [{"Name": "a"}]})],
    "ec2.DescribeVolumeStatus": [({"IncludeManagedResources": True}, {"VolumeStatuses": [{"VolumeId": "vol-1"}]})],
    "events.ListEndpoints": [({}, {"Endpoints": [{"Name": "a"}], **TOKEN}), (TOKEN, {"Endpoints": [{"Name": "b"}]})],
    "route53.ListTrafficPolicyInstances": [
        (
            {},
            {
                "TrafficPolicyInstances": [
                    {
                        "Id": name, "HostedZoneId": "Z1", "Name": f"{name}.eventide.net.", "TTL": 60,
                        "State": "Applied", "Message": "",
                        "TrafficPolicyId": "p1", "TrafficPolicyVersion": 2, "TrafficPolicyType": "A",
                    }
                    for name in ("www", "api")
                ],
                **FURTHER, "IsTruncated": True, "MaxItems": "2",
            },
        ),
        (FURTHER, {"TrafficPolicyInstances": [], "IsTruncated": False, "MaxItems": "2"}),
    ],
    # Both instances have one policy, which is asked for once.
    "route53.GetTrafficPolicy": [
        (
            {"Id": "p1", "Version": 2},
            {
                "TrafficPolicy": {
                    "Id": "p1", "Version": 2, "Name": "www", "Type": "A",
                    "Document": '{"Endpoints": {"a": {"Type": "value", "Value": "10.20.4.17"}}}',
                }
            },
        )
    ],
    "ssm.DescribeInstanceInformation": [({}, {"InstanceInformationList": [{"InstanceId": "i-0a1b2c3d4e5f60718"}]})],
    "ssm.ListAssociations": [({}, {"Associations": [{"AssociationId": "a"}]})],
    "synthetics.DescribeCanariesLastRun": [({}, {"CanariesLastRun": [{"CanaryName": "a"}]})],
    "transfer.ListWorkflows": [({}, {"Workflows": [{"WorkflowId": "w-01234567890123456"}]})],
    "transfer.DescribeWorkflow": [
        (
            {"WorkflowId": "w-01234567890123456"},
            {"Workflow": {"Arn": "arn:aws:transfer:eu-central-1:210987654321:workflow/w-01234567890123456"}},
        )
    ],
}  # fmt: skip


def test_what_moto_lacks_is_asked_as_the_api_has_it(tmp_path: Path) -> None:
    session = Stubbed(LACKING)
    result, records, root = collected(tmp_path / "s", [BY_KEY[key] for key in LACKING], session)
    assert (result.asked, result.unseen) == (len(LACKING), 0), records
    for stubber in session.stubbers:
        stubber.assert_no_pending_responses()
    base = root / "aws" / ACCOUNT
    streams = json.loads((base / "eu-central-1/cloudwatch.ListMetricStreams.json").read_text())
    assert [one["Name"] for one in streams["Entries"]] == ["a", "b"]
    assert records["codepipeline.ListWebhooks.json"]["outcome"] == "absent"
    route53 = next(one for one in load_collectors()[0] if one.name == "aws_route53")
    fragments: list[Any] = []
    for name in ("ListTrafficPolicyInstances", "GetTrafficPolicy"):
        path = f"aws/{ACCOUNT}/aws-global/route53.{name}.json"
        fragments.extend(route53.parse(Document(path, (root / path).read_bytes())))
    names = {item.consumer.text for item in route53.combine(fragments, lambda _: None)}  # type: ignore[union-attr]
    assert names == {"www.eventide.net", "api.eventide.net"}


def test_an_error_that_means_none_is_absent_and_a_denial_is_its_own(tmp_path: Path) -> None:
    arn = "arn:aws:acm:eu-central-1:210987654321:certificate/"
    keys = BY_KEY["acm.ListCertificates"].parameters
    listed = {"CertificateSummaryList": [{"CertificateArn": f"{arn}{name}"} for name in ("gone", "closed", "there")]}
    session = Stubbed(
        {
            "acm.ListCertificates": [(keys, listed)],
            "acm.DescribeCertificate": [
                "ResourceNotFoundException",
                "AccessDeniedException",
                ({"CertificateArn": f"{arn}there"}, {"Certificate": {"CertificateArn": f"{arn}there"}}),
            ],
        }
    )
    result, records, _ = collected(
        tmp_path / "s", [BY_KEY["acm.ListCertificates"], BY_KEY["acm.DescribeCertificate"]], session
    )
    assert (result.outcome, result.unseen) == (Outcome.OK, 1)
    assert records["acm.ListCertificates.json"]["outcome"] == "ok"
    described = records["acm.DescribeCertificate.json"]
    assert described["outcome"] == "partial"
    assert described["detail"].startswith(f"1 of 3 calls: {arn}closed: DescribeCertificate: AccessDeniedException")


def test_what_could_not_be_listed_is_a_gap_one_level_down_as_well(tmp_path: Path) -> None:
    session = Stubbed({"pipes.ListPipes": ["AccessDeniedException"]})
    result, records, _ = collected(tmp_path / "s", [BY_KEY["pipes.ListPipes"], BY_KEY["pipes.DescribePipe"]], session)
    assert result.unseen == 2
    assert {entry["outcome"] for entry in records.values()} == {"denied"}
    assert "not all was asked for" in records["pipes.DescribePipe.json"]["detail"]


def test_parameters_are_read_without_secrets(tmp_path: Path) -> None:
    session = Stubbed(
        {
            "ssm.DescribeParameters": [
                (
                    {},
                    {
                        "Parameters": [
                            {"Name": "/db/host", "Type": "String"},
                            {"Name": "/db/password", "Type": "SecureString"},
                            {"Name": "/db/servers", "Type": "StringList"},
                        ]
                    },
                )
            ],
            "ssm.GetParameters": [
                (
                    {"Names": ["/db/host", "/db/servers"], "WithDecryption": False},
                    {
                        "Parameters": [
                            {"Name": "/db/host", "Type": "String", "Value": "legacy-db-01.eventide.net"},
                            {"Name": "/db/servers", "Type": "StringList", "Value": "correct horse battery"},
                        ]
                    },
                )
            ],
        }
    )
    _, _, root = collected(tmp_path / "s", [BY_KEY["ssm.DescribeParameters"], BY_KEY["ssm.GetParameters"]], session)
    text = (root / f"aws/{ACCOUNT}/eu-central-1/ssm.GetParameters.json").read_text()
    assert "legacy-db-01.eventide.net" in text
    assert "battery" not in text


def test_the_versions_of_a_function_that_aliases_lead_to(tmp_path: Path) -> None:
    arn = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:renew"
    aliases = [{"Name": "prod", "FunctionVersion": "7"}, {"Name": "next", "FunctionVersion": "$LATEST"}]
    configured = {"FunctionArn": f"{arn}:prod", "Environment": {"Variables": {"DB_HOST": "old.eventide.net"}}}
    session = Stubbed(
        {
            "lambda.ListFunctions": [({}, {"Functions": [{"FunctionArn": arn}]})],
            "lambda.ListAliases": [({"FunctionName": arn}, {"Aliases": aliases})],
            "lambda.GetFunctionConfiguration": [({"FunctionName": arn, "Qualifier": "prod"}, configured)],
        }
    )
    names = ("ListFunctions", "ListAliases", "GetFunctionConfiguration")
    result, records, root = collected(tmp_path / "s", [BY_KEY[f"lambda.{name}"] for name in names], session)
    assert (result.unseen, len(records)) == (0, 3)
    text = (root / f"aws/{ACCOUNT}/eu-central-1/lambda.GetFunctionConfiguration.json").read_text()
    assert "old.eventide.net" in text


STAGE = {"host": "old.eventide.net", "word": "battery"}
API = {"ApiId": "a1", "Name": "x", "ProtocolType": "HTTP", "RouteSelectionExpression": "x"}


@pytest.mark.parametrize(
    ("listed", "apis", "parameter", "stages"),
    [
        ("apigateway.GetRestApis", {"items": [{"id": "a1"}]}, "restApiId", {"item": [{"variables": STAGE}]}),
        (
            "apigatewayv2.GetApis",
            {"Items": [API]},
            "ApiId",
            {"Items": [{"StageName": "prod", "StageVariables": STAGE}]},
        ),
    ],
)
def test_variables_of_stages_are_kept_where_they_say_where(
    listed: str, apis: Mapping[str, Any], parameter: str, stages: Mapping[str, Any], tmp_path: Path
) -> None:
    key = f"{listed.partition('.')[0]}.GetStages"
    session = Stubbed({listed: [({}, apis)], key: [({parameter: "a1"}, stages)]})
    _, records, root = collected(tmp_path / "s", [BY_KEY[listed], BY_KEY[key]], session)
    assert records[f"{key}.json"]["outcome"] == "ok"
    text = (root / f"aws/{ACCOUNT}/eu-central-1/{key}.json").read_text()
    assert "old.eventide.net" in text
    assert "battery" not in text


def test_credentials_of_another_account_are_not_used(tmp_path: Path) -> None:
    result, records, _ = collected(tmp_path / "s", [BY_KEY["pipes.ListPipes"]], Stubbed({}), account="123456789012")
    assert (result.outcome, records) == (Outcome.DENIED, {})
    assert "of account 210987654321, the inventory declares 123456789012" in result.detail


# A server that misbehaves.

LIST = Operation("acm", "ListCertificates")
PAGE: Mapping[str, Any] = {
    "CertificateSummaryList": [{"CertificateArn": "arn:aws:acm:eu-central-1:210987654321:certificate/1"}]
}
Answer = Callable[[int], tuple[int, Mapping[str, str], bytes]]


def js(value: Any, status: int = 200) -> tuple[int, Mapping[str, str], bytes]:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(value).encode()


def throttled(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return js(PAGE) if count else js({"__type": "ThrottlingException", "message": "slow down"}, 400)


def too_many(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return js(PAGE) if count else (429, {}, b"")


def broken(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return 500, {"Content-Type": "text/html"}, b"<html><body>Internal Server Error password=hunter2000</body></html>"


def half(count: int) -> tuple[int, Mapping[str, str], bytes]:
    status, headers, body = js(PAGE)
    return status, {**headers, "Content-Length": str(len(body))}, body[: len(body) // 2]


def half_later(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return js({**PAGE, "NextToken": "n"}) if count == 0 else half(count)


def no_json(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, b"Please log in to the proxy"


def page_of_a_proxy(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>"


def no_object(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return js(["a list"])


def endless(count: int) -> tuple[int, Mapping[str, str], bytes]:
    return js({**PAGE, "NextToken": "again"})


class Account:
    """Answers GetCallerIdentity, and everything else as the test says."""

    def __init__(self) -> None:
        self.answer: Answer = throttled
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.bodies: list[bytes] = []
        account = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if b"GetCallerIdentity" in body:
                    text = (
                        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
                        f"<GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/a</Arn><UserId>x</UserId>"
                        f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                    )
                    self.send(200, {"Content-Type": "text/xml"}, text.encode())
                    return
                account.bodies.append(body)
                account.asked.append((self.path, dict(self.headers)))
                self.send(*account.answer(len(account.asked) - 1))

            do_GET = do_POST  # noqa: N815 - the name is http.server's

            def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
                self.send_response(status)
                # Said, and not only done: a client may send its next call on a connection that closes unannounced.
                for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | dict(headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    found = Account()
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("answer", "outcome", "detail", "kept"),
    [
        (throttled, "ok", "", 1),
        (too_many, "ok", "", 1),
        (broken, "unreachable", "ListCertificates: 500", 0),
        (half, "unreachable", "", 0),
        (half_later, "partial", "", 1),
        (no_json, "unreachable", "no JSON object", 0),
        (page_of_a_proxy, "unreachable", "a page of HTML", 0),
        (no_object, "unreachable", "no JSON object", 0),
        (endless, "partial", "", 1),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_what_becomes_of_a_call(
    answer: Answer, outcome: str, detail: str, kept: int, account: Account, tmp_path: Path
) -> None:
    account.answer = answer
    result, records, root = collected(tmp_path / "s", [LIST], attempts=3)
    entry = records["acm.ListCertificates.json"]
    assert entry["outcome"] == outcome, entry
    assert detail in entry.get("detail", "")
    assert (result.outcome, result.unseen) == (Outcome.OK, 0 if outcome == "ok" else 1)
    path = root / f"aws/{ACCOUNT}/eu-central-1/acm.ListCertificates.json"
    assert path.exists() is bool(kept)
    if kept:
        assert json.loads(path.read_text())["CertificateSummaryList"]
    assert "hunter2000" not in (root / "captures.jsonl").read_text()
    assert len(account.asked) <= 6


def test_credentials_do_not_follow_a_redirect_to_another_host(account: Account, tmp_path: Path) -> None:
    other = Account()
    other.answer = lambda _: js(PAGE)
    try:
        account.answer = lambda _: (301, {"Location": f"{other.url}/"}, b"")
        _, records, _ = collected(tmp_path / "s", [LIST])
    finally:
        other.close()
    assert not other.asked
    assert records["acm.ListCertificates.json"]["outcome"] == "unreachable"


def test_a_call_that_failed_is_asked_again_and_no_other(account: Account, tmp_path: Path) -> None:
    tags = Operation("pipes", "ListPipes")

    def answer(count: int) -> tuple[int, Mapping[str, str], bytes]:
        return js({"Pipes": [{"Name": "a"}]}) if account.asked[-1][0].startswith("/v1/pipes") else broken(count)

    account.answer = answer
    _, before, _ = collected(tmp_path / "s", [LIST, tags])
    assert {name: entry["outcome"] for name, entry in before.items()} == {
        "acm.ListCertificates.json": "unreachable",
        "pipes.ListPipes.json": "ok",
    }
    account.asked.clear()
    account.answer = lambda _: js(PAGE)
    result, after, _ = collected(tmp_path / "s", [LIST, tags], resume=True)
    assert (result.asked, result.unseen, len(account.asked)) == (1, 0, 1)
    assert after["acm.ListCertificates.json"]["outcome"] == "ok"


def test_a_long_answer_is_several_files_and_each_is_read(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.capture.aws.PART_BYTES", 400)
    account.answer = lambda count: js({**PAGE, **({"NextToken": f"n{count}"} if count < 4 else {})})
    _, records, root = collected(tmp_path / "s", [LIST])
    names = sorted(path.name for path in (root / f"aws/{ACCOUNT}/eu-central-1").iterdir())
    assert len(names) > 1, records
    assert set(names) == set(records)
    certificates = next(one for one in load_collectors()[0] if one.name == "aws_certificates")
    assert all(certificates.recognizes(f"aws/{ACCOUNT}/eu-central-1/{name}", b"{}") for name in names)


def test_attempts_are_those_of_the_environment_if_it_says(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ATTEMPTS > 2
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    account.answer = broken
    collected(tmp_path / "s", [LIST], attempts=0)
    assert len(account.asked) == 2


def test_areas_are_those_of_services_that_are_asked() -> None:
    assert set(AREAS) <= {operation.service for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"<!DOCTYPE html>\n<html><body>Please log in</body></html>", "a page of HTML"),
        (b'\n<?xml version="1.0"?>\n<!-- a proxy -->\n<!DOCTYPE html PUBLIC "x">\n<html/>', "a page of HTML"),
        (b'<?xml version="1.0"?><HTML xmlns="http://www.w3.org/1999/xhtml"></HTML>', "a page of HTML"),
        (b"", "an empty answer"),
        (b" \r\n", "an empty answer"),
    ],
)
@pytest.mark.parametrize("key", ["sns.ListSubscriptions", "route53.ListHostedZones", "apigateway.GetVpcLinks"])
def test_what_is_no_answer_is_not_taken_for_an_empty_one(
    key: str, body: bytes, detail: str, account: Account, tmp_path: Path
) -> None:
    account.answer = lambda _: (200, {}, body)
    _, records, _ = collected(tmp_path / "s", [BY_KEY[key]])
    assert records[next(iter(records))]["outcome"] == "unreachable"
    assert detail in records[next(iter(records))]["detail"]


@pytest.mark.parametrize(
    ("listed", "error", "proxy", "outcome"),
    [
        (False, socket.EAI_NONAME, "", "absent"),
        # botocore's list lags behind: what is there is asked, and what may be there is a gap.
        (False, 0, "", "ok"),
        (False, socket.EAI_AGAIN, "", "unreachable"),
        (False, socket.EAI_NONAME, "http://127.0.0.1:9", "unreachable"),
        (True, socket.EAI_NONAME, "", "unreachable"),
    ],
)
def test_a_service_that_botocore_does_not_know_in_a_region(
    listed: bool,
    error: int,
    proxy: str,
    outcome: str,
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account.answer = lambda _: js({"Pipes": [{"Name": "a"}]})
    port = account.server.server_port
    real = socket.getaddrinfo

    def resolved(host: str, *given: Any, **more: Any) -> Any:
        if host.startswith("pipes."):
            if error:
                raise socket.gaierror(error, "no")
            return real("127.0.0.1", *given, **more)
        return real(host, *given, **more)

    monkeypatch.setenv("AWS_ENDPOINT_URL_PIPES", f"http://pipes.eu-central-1.test:{port}")
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
    regions = {"ec2": ["eu-central-1"], "pipes": ["eu-central-1"] if listed else []}
    monkeypatch.setattr("boto3.Session.get_available_regions", lambda _self, name, *_: regions[name])
    _, records, _ = collected(tmp_path / "s", [BY_KEY["pipes.ListPipes"], BY_KEY["pipes.DescribePipe"]])
    assert records["pipes.ListPipes.json"]["outcome"] == outcome, records
    if outcome == "absent":
        said = "pipes is not in this region: there is no pipes.eu-central-1.test"
        assert {entry["detail"] for entry in records.values()} == {said}
        assert len(records) == 2
        assert not account.asked


@given(
    st.one_of(
        st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat().replace("+00:00", "Z")),
        st.sampled_from(
            ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+01:00", "Fri, 02 Jan 2026 03:04:05 GMT", "1767323045"]
        ),
        st.integers(0, 2**33),
        st.floats(0, 2**33).map(lambda seconds: round(seconds, 3)),
    )
)
def test_times_are_what_botocore_takes_them_for(value: Any) -> None:
    from botocore.utils import parse_timestamp

    assert moment(value) == parse_timestamp(value).astimezone(UTC)


def test_a_time_that_is_none() -> None:
    for value in ("2026-13-01T00:00:00Z", "soon"):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is dateutil's
            moment(value)
