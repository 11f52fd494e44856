"""What is asked of an AWS account: every call, with what pages it, what undoes its default filters, and what it needs.

The policy that `auditor collect --print-iam-policy` prints is made from this table, and so is nothing else asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from auditor.model import Area

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Each:
    """A call for each thing that another call listed.

    `items` is where these stand in the other's answer, such as `Reservations.Instances`. `parameters` says from which
    key of a thing each parameter comes; an empty key is the thing itself, one that begins with `@` a parameter of the
    call that listed it. `batch` is how many things one call takes in a list.
    """

    of: str
    items: str
    parameters: Mapping[str, str]
    batch: int = 0
    only: tuple[str, tuple[str, ...]] = ("", ())
    """A key of a thing and beginnings of its value; others are left out."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    `token` has pairs of a parameter and the key of the answer (`List.NextMarker`) that lead to the next page, for what
    botocore has no paginator for. `parameters` undo filters that the API has by default, and ask for the largest pages
    where it has smaller ones by default. `action` is the IAM action, if it is not called as the operation is. `absent`
    are error codes that mean that there is none. `enough` is how many pages are asked for of what comes newest first;
    0 for all. `free` are keys, in lower case, below which people write what they like: such values are kept only if
    they say where something is.
    """

    service: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    token: tuple[tuple[str, str], ...] = ()
    each: Each | None = None
    action: str = ""
    absent: tuple[str, ...] = ()
    enough: int = 0
    free: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`ec2.DescribeInstances`, as the file is called."""
        return f"{self.service}.{self.name}"

    @property
    def permission(self) -> str:
        """The IAM action that allows it."""
        return self.action or f"{_PREFIXES.get(self.service, self.service)}:{self.name}"


GLOBAL: Final = frozenset({"cloudfront", "iam", "route53"})
"""Services that are asked once for an account, in the region of its partition that answers for all."""

GLOBAL_REGION: Final = "aws-global"

AREAS: Final[Mapping[str, Area]] = MappingProxyType(
    {
        "acm": Area.RENEWAL,
        "iam": Area.RENEWAL,
        "cloudwatch": Area.MONITORING,
        "synthetics": Area.MONITORING,
        "sns": Area.MONITORING,
        "events": Area.WEBHOOKS,
        "firehose": Area.WEBHOOKS,
        "pipes": Area.WEBHOOKS,
        "scheduler": Area.WEBHOOKS,
        "codebuild": Area.WEBHOOKS,
        "codepipeline": Area.WEBHOOKS,
        "route53": Area.NAMES,
        "route53resolver": Area.NAMES,
        "servicediscovery": Area.NAMES,
    }
)
"""The area of the checklist that is not seen where a service was not; configuration for the others."""

_PREFIXES: Final = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}
_NEXT: Final = (("NextToken", "NextToken"),)
_GET: Final = "apigateway:GET"
_GONE: Final = ("ResourceNotFoundException", "ResourceNotFound", "NotFoundException")
_KEY_TYPES: Final = (
    "RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1",
)  # fmt: skip
_ALARM_TYPES: Final = ("CompositeAlarm", "MetricAlarm", "LogAlarm")


def _each(of: str, items: str, *, batch: int = 0, only: tuple[str, tuple[str, ...]] = ("", ()), **keys: str) -> Each:
    return Each(of, items, MappingProxyType(keys), batch, only)


OPERATIONS: Final = (
    Operation("acm", "ListCertificates", {"Includes": {"keyTypes": list(_KEY_TYPES)}, "MaxItems": 1000}),
    Operation(
        "acm",
        "DescribeCertificate",
        each=_each("acm.ListCertificates", "CertificateSummaryList", CertificateArn="CertificateArn"),
        absent=_GONE,
    ),
    Operation("apigateway", "GetDomainNames", {"limit": 500}, action=_GET),
    Operation("apigateway", "GetVpcLinks", {"limit": 500}, action=_GET),
    Operation("apigateway", "GetRestApis", {"limit": 500}, action=_GET),
    Operation(
        "apigateway",
        "GetResources",
        {"embed": ["methods"], "limit": 500},
        each=_each("apigateway.GetRestApis", "items", restApiId="id"),
        action=_GET,
        absent=_GONE,
    ),
    # An integration's URL may be one of a stage's variables.
    Operation(
        "apigateway",
        "GetStages",
        each=_each("apigateway.GetRestApis", "items", restApiId="id"),
        action=_GET,
        absent=_GONE,
    ),
    Operation("apigatewayv2", "GetDomainNames", action=_GET),
    Operation("apigatewayv2", "GetVpcLinks", token=_NEXT, action=_GET),
    Operation("apigatewayv2", "GetApis", action=_GET),
    Operation(
        "apigatewayv2",
        "GetIntegrations",
        each=_each("apigatewayv2.GetApis", "Items", ApiId="ApiId"),
        action=_GET,
        absent=_GONE,
    ),
    Operation(
        "apigatewayv2",
        "GetAuthorizers",
        each=_each("apigatewayv2.GetApis", "Items", ApiId="ApiId"),
        action=_GET,
        absent=_GONE,
    ),
    Operation(
        "apigatewayv2",
        "GetStages",
        each=_each("apigatewayv2.GetApis", "Items", ApiId="ApiId"),
        action=_GET,
        absent=_GONE,
        free=("stagevariables",),
    ),
    Operation("appsync", "ListGraphqlApis"),
    Operation(
        "appsync",
        "ListDataSources",
        each=_each("appsync.ListGraphqlApis", "graphqlApis", apiId="apiId"),
        absent=_GONE,
    ),
    Operation("autoscaling", "DescribeAutoScalingGroups", {"IncludeManagedResources": True, "MaxRecords": 100}),
    Operation("autoscaling", "DescribeScheduledActions", {"IncludeManagedResources": True, "MaxRecords": 100}),
    Operation("backup", "ListBackupPlans"),
    Operation(
        "backup",
        "GetBackupPlan",
        each=_each("backup.ListBackupPlans", "BackupPlansList", BackupPlanId="BackupPlanId"),
        absent=_GONE,
    ),
    Operation(
        "backup",
        "ListBackupSelections",
        each=_each("backup.ListBackupPlans", "BackupPlansList", BackupPlanId="BackupPlanId"),
        absent=_GONE,
    ),
    Operation(
        "backup",
        "GetBackupSelection",
        each=_each(
            "backup.ListBackupSelections",
            "BackupSelectionsList",
            BackupPlanId="BackupPlanId",
            SelectionId="SelectionId",
        ),
        absent=_GONE,
    ),
    Operation("cloudfront", "ListDistributions"),
    Operation("cloudfront", "ListVpcOrigins", token=(("Marker", "VpcOriginList.NextMarker"),)),
    Operation("cloudwatch", "DescribeAlarms", {"AlarmTypes": list(_ALARM_TYPES), "MaxRecords": 100}),
    # Whether the actions of alarms could be carried out.
    Operation(
        "cloudwatch",
        "DescribeAlarmHistory",
        {
            "AlarmTypes": list(_ALARM_TYPES),
            "HistoryItemType": "Action",
            "ScanBy": "TimestampDescending",
            "MaxRecords": 100,
        },
        enough=50,
    ),
    Operation("cloudwatch", "DescribeAnomalyDetectors", {"MaxResults": 100}),
    Operation("cloudwatch", "ListMetricStreams", {"MaxResults": 500}, token=_NEXT),
    Operation("cloudwatch", "ListDashboards"),
    Operation(
        "cloudwatch",
        "GetDashboard",
        each=_each("cloudwatch.ListDashboards", "DashboardEntries", DashboardName="DashboardName"),
        absent=(*_GONE, "DashboardNotFoundError"),
    ),
    Operation("codebuild", "ListProjects"),
    Operation("codebuild", "BatchGetProjects", each=_each("codebuild.ListProjects", "projects", batch=100, names="")),
    Operation("codepipeline", "ListWebhooks"),
    Operation("codepipeline", "ListPipelines"),
    Operation(
        "codepipeline",
        "GetPipeline",
        each=_each("codepipeline.ListPipelines", "pipelines", name="name"),
        absent=("PipelineNotFoundException",),
    ),
    Operation("datasync", "ListAgents"),
    Operation("datasync", "ListLocations"),
    Operation(
        "datasync",
        "DescribeLocationNfs",
        each=_each("datasync.ListLocations", "Locations", only=("LocationUri", ("nfs://",)), LocationArn="LocationArn"),
    ),
    Operation(
        "datasync",
        "DescribeLocationSmb",
        each=_each("datasync.ListLocations", "Locations", only=("LocationUri", ("smb://",)), LocationArn="LocationArn"),
    ),
    Operation(
        "datasync",
        "DescribeLocationObjectStorage",
        each=_each(
            "datasync.ListLocations",
            "Locations",
            only=("LocationUri", ("object-storage://",)),
            LocationArn="LocationArn",
        ),
    ),
    Operation(
        "datasync",
        "DescribeLocationHdfs",
        each=_each(
            "datasync.ListLocations", "Locations", only=("LocationUri", ("hdfs://",)), LocationArn="LocationArn"
        ),
    ),
    Operation(
        "datasync",
        "DescribeLocationAzureBlob",
        each=_each(
            "datasync.ListLocations", "Locations", only=("LocationUri", ("azure-blob://",)), LocationArn="LocationArn"
        ),
    ),
    Operation("datasync", "ListTasks"),
    Operation("datasync", "DescribeTask", each=_each("datasync.ListTasks", "Tasks", TaskArn="TaskArn")),
    Operation("dms", "DescribeEndpoints"),
    Operation("dms", "DescribeReplicationTasks"),
    # Without it, instances that a service of AWS manages are left out.
    Operation("ec2", "DescribeInstances", {"IncludeManagedResources": True, "MaxResults": 1000}),
    Operation("ec2", "DescribeAddresses"),
    Operation("ec2", "DescribeNetworkInterfaces", {"IncludeManagedResources": True, "MaxResults": 1000}),
    Operation("ec2", "DescribeVolumes", {"IncludeManagedResources": True, "MaxResults": 500}),
    Operation("ec2", "DescribeVolumeStatus", {"IncludeManagedResources": True, "MaxResults": 500}),
    Operation("elb", "DescribeLoadBalancers"),
    Operation("elbv2", "DescribeLoadBalancers"),
    Operation(
        "elbv2",
        "DescribeListeners",
        each=_each("elbv2.DescribeLoadBalancers", "LoadBalancers", LoadBalancerArn="LoadBalancerArn"),
        absent=("LoadBalancerNotFound",),
    ),
    Operation(
        "elbv2",
        "DescribeListenerCertificates",
        each=_each("elbv2.DescribeListeners", "Listeners", ListenerArn="ListenerArn"),
        absent=("ListenerNotFound",),
    ),
    Operation(
        "elbv2",
        "DescribeRules",
        each=_each("elbv2.DescribeListeners", "Listeners", ListenerArn="ListenerArn"),
        absent=("ListenerNotFound",),
    ),
    Operation("elbv2", "DescribeTargetGroups"),
    Operation(
        "elbv2",
        "DescribeTargetHealth",
        each=_each("elbv2.DescribeTargetGroups", "TargetGroups", TargetGroupArn="TargetGroupArn"),
        absent=("TargetGroupNotFound",),
    ),
    Operation("events", "ListApiDestinations", {"Limit": 100}, token=_NEXT),
    Operation("events", "ListEndpoints", {"MaxResults": 100}, token=_NEXT),
    Operation("events", "ListConnections", {"Limit": 100}, token=_NEXT),
    Operation(
        "events", "DescribeConnection", each=_each("events.ListConnections", "Connections", Name="Name"), absent=_GONE
    ),
    Operation("events", "ListEventBuses", {"Limit": 100}, token=_NEXT),
    Operation(
        "events",
        "ListRules",
        {"Limit": 100},
        each=_each("events.ListEventBuses", "EventBuses", EventBusName="Name"),
        absent=_GONE,
    ),
    Operation(
        "events",
        "ListTargetsByRule",
        each=_each("events.ListRules", "Rules", Rule="Name", EventBusName="@EventBusName"),
        absent=_GONE,
    ),
    Operation(
        "firehose",
        "ListDeliveryStreams",
        {"Limit": 1000},
        token=(("ExclusiveStartDeliveryStreamName", "DeliveryStreamNames"),),
    ),
    Operation(
        "firehose",
        "DescribeDeliveryStream",
        each=_each("firehose.ListDeliveryStreams", "DeliveryStreamNames", DeliveryStreamName=""),
        absent=_GONE,
    ),
    Operation("glue", "GetConnections", {"HidePassword": True}),
    Operation("iam", "ListServerCertificates", {"MaxItems": 1000}),
    # The list does not say for which names a certificate is; the private key is never given.
    Operation(
        "iam",
        "GetServerCertificate",
        each=_each(
            "iam.ListServerCertificates",
            "ServerCertificateMetadataList",
            ServerCertificateName="ServerCertificateName",
        ),
        absent=("NoSuchEntity", "NoSuchEntityException"),
    ),
    Operation("lambda", "ListFunctions"),
    Operation("lambda", "ListEventSourceMappings"),
    # ListFunctions shows the variables of what is not published yet: an alias leads to a version with its own.
    Operation(
        "lambda",
        "ListAliases",
        each=_each("lambda.ListFunctions", "Functions", FunctionName="FunctionArn"),
        absent=_GONE,
    ),
    Operation(
        "lambda",
        "GetFunctionConfiguration",
        each=_each(
            "lambda.ListAliases",
            "Aliases",
            only=("FunctionVersion", tuple("123456789")),
            FunctionName="@FunctionName",
            Qualifier="Name",
        ),
        absent=_GONE,
    ),
    # GetFunctionUrlConfig would answer for the newest version only, and not for aliases.
    Operation(
        "lambda",
        "ListFunctionUrlConfigs",
        each=_each("lambda.ListFunctions", "Functions", FunctionName="FunctionArn"),
        absent=_GONE,
    ),
    Operation("pipes", "ListPipes", {"Limit": 100}),
    Operation("pipes", "DescribePipe", each=_each("pipes.ListPipes", "Pipes", Name="Name"), absent=_GONE),
    Operation("rds", "DescribeDBInstances"),
    Operation("rds", "DescribeDBClusters"),
    Operation("rds", "DescribeEventSubscriptions"),
    Operation("rds", "DescribeDBParameterGroups"),
    Operation(
        "rds",
        "DescribeDBParameters",
        # What was set; the defaults of an engine are several hundred.
        {"Source": "user"},
        each=_each("rds.DescribeDBParameterGroups", "DBParameterGroups", DBParameterGroupName="DBParameterGroupName"),
        absent=("DBParameterGroupNotFound",),
    ),
    Operation("rds", "DescribeDBProxies"),
    Operation(
        "rds",
        "DescribeDBProxyTargets",
        each=_each("rds.DescribeDBProxies", "DBProxies", DBProxyName="DBProxyName"),
        absent=("DBProxyNotFoundFault",),
    ),
    Operation("route53", "ListHealthChecks", {"MaxItems": "1000"}),
    Operation("route53", "ListHostedZones"),
    Operation(
        "route53",
        "ListResourceRecordSets",
        each=_each("route53.ListHostedZones", "HostedZones", HostedZoneId="Id"),
        absent=("NoSuchHostedZone",),
    ),
    Operation(
        "route53",
        "ListTrafficPolicyInstances",
        token=(
            ("HostedZoneIdMarker", "HostedZoneIdMarker"),
            ("TrafficPolicyInstanceNameMarker", "TrafficPolicyInstanceNameMarker"),
            ("TrafficPolicyInstanceTypeMarker", "TrafficPolicyInstanceTypeMarker"),
        ),
    ),
    Operation(
        "route53",
        "GetTrafficPolicy",
        each=_each(
            "route53.ListTrafficPolicyInstances",
            "TrafficPolicyInstances",
            Id="TrafficPolicyId",
            Version="TrafficPolicyVersion",
        ),
        absent=("NoSuchTrafficPolicy",),
    ),
    Operation("route53resolver", "ListResolverRules"),
    Operation("scheduler", "ListSchedules", {"MaxResults": 100}),
    Operation(
        "scheduler",
        "GetSchedule",
        each=_each("scheduler.ListSchedules", "Schedules", Name="Name", GroupName="GroupName"),
        absent=_GONE,
    ),
    Operation("secretsmanager", "ListSecrets", {"MaxResults": 100}),
    Operation("servicediscovery", "ListNamespaces"),
    Operation("servicediscovery", "ListServices"),
    Operation(
        "servicediscovery",
        "ListInstances",
        each=_each("servicediscovery.ListServices", "Services", ServiceId="Id"),
        absent=("ServiceNotFound",),
    ),
    Operation("sns", "ListSubscriptions"),
    Operation("ssm", "ListAssociations", {"MaxResults": 50}),
    Operation("ssm", "DescribeInstanceInformation", {"MaxResults": 50}),
    Operation("ssm", "DescribeParameters", {"MaxResults": 50}),
    # What is no secret: String and StringList, and never SecureString.
    Operation(
        "ssm",
        "GetParameters",
        {"WithDecryption": False},
        each=_each("ssm.DescribeParameters", "Parameters", batch=10, only=("Type", ("String",)), Names="Name"),
        free=("value",),
    ),
    Operation("ssm", "DescribeMaintenanceWindows", {"MaxResults": 100}),
    Operation(
        "ssm",
        "DescribeMaintenanceWindowTargets",
        {"MaxResults": 100},
        each=_each("ssm.DescribeMaintenanceWindows", "WindowIdentities", WindowId="WindowId"),
        absent=("DoesNotExistException",),
    ),
    Operation(
        "ssm",
        "DescribeMaintenanceWindowTasks",
        {"MaxResults": 100},
        each=_each("ssm.DescribeMaintenanceWindows", "WindowIdentities", WindowId="WindowId"),
        absent=("DoesNotExistException",),
    ),
    Operation("synthetics", "DescribeCanaries", token=_NEXT),
    Operation("synthetics", "DescribeCanariesLastRun", token=_NEXT),
    Operation("transfer", "ListConnectors", {"MaxResults": 1000}),
    Operation(
        "transfer",
        "DescribeConnector",
        each=_each("transfer.ListConnectors", "Connectors", ConnectorId="ConnectorId"),
        absent=_GONE,
    ),
    Operation("transfer", "ListServers", {"MaxResults": 1000}),
    Operation(
        "transfer", "DescribeServer", each=_each("transfer.ListServers", "Servers", ServerId="ServerId"), absent=_GONE
    ),
    Operation("transfer", "ListWorkflows", {"MaxResults": 1000}),
    Operation(
        "transfer",
        "DescribeWorkflow",
        each=_each("transfer.ListWorkflows", "Workflows", WorkflowId="WorkflowId"),
        absent=_GONE,
    ),
)
"""Each call, after the one that lists what it is asked for."""

DISCOVERY: Final = ("ec2:DescribeRegions",)
"""What is needed to know where to ask. Who one is (`sts:GetCallerIdentity`) needs no permission."""


def iam_policy(operations: tuple[Operation, ...] = OPERATIONS) -> dict[str, Any]:
    """The least policy that allows every call of the table, as a document for IAM (version 2012-10-17)."""
    actions = {operation.permission for operation in operations if operation.action != _GET} | set(DISCOVERY)
    statements: list[dict[str, Any]] = [
        {"Sid": "AuditorReads", "Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
    ]
    if any(operation.action == _GET for operation in operations):
        # API Gateway's one action for reading would read API keys too.
        paths = ("apis", "apis/*/authorizers", "apis/*/integrations", "apis/*/stages", "domainnames", "restapis",
                 "restapis/*/resources", "restapis/*/stages", "vpclinks")  # fmt: skip
        statements.append(
            {
                "Sid": "AuditorReadsGateways",
                "Effect": "Allow",
                "Action": [_GET],
                "Resource": [f"arn:*:apigateway:*::/{path}" for path in paths],
            }
        )
    if any(operation.key == "ssm.GetParameters" for operation in operations):
        # The key policy of `aws/ssm` lets everybody decrypt who may read parameters.
        statements.append(
            {
                "Sid": "AuditorReadsNoSecureStrings",
                "Effect": "Deny",
                "Action": ["kms:Decrypt"],
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "ssm.*.amazonaws.com*"}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
