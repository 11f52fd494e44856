"""Databases, replications, transfers and backups of AWS: what they hold, what they move, and from where to where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    host_ref,
)
from collectors.aws.common import (
    Answer,
    arn_ref,
    is_answer,
    known,
    maps,
    named,
    outside,
    own_arn,
    parsed,
    reach,
    scalars,
    text,
    value,
)

_LOCATIONS: Final = ("nfs://", "smb://", "hdfs://", "object-storage://")
_READ_ONLY: Final = frozenset(
    {"read_only", "super_read_only", "innodb_read_only", "default_transaction_read_only", "transaction_read_only"}
)
"""Parameters of MySQL, MariaDB and PostgreSQL that make a whole server read-only."""
_ON: Final = frozenset({"1", "on", "true", "yes"})


class AwsDataCollector(Collector):
    """Where data is kept, and what moves or copies it.

    A replication's target and a place that files are moved to must be able to store; a source need only be read.

    Reads
    -----
    `rds.DescribeDBInstances`, `DescribeDBClusters`, `DescribeDBParameters`, `DescribeDBProxies`,
    `DescribeDBProxyTargets`; `dms.DescribeEndpoints`, `DescribeReplicationTasks`; `datasync.ListAgents`,
    `ListLocations`, `DescribeLocationNfs`, `DescribeLocationSmb`, `DescribeLocationObjectStorage`,
    `DescribeLocationHdfs`, `DescribeLocationAzureBlob`, `DescribeTask`; `transfer.DescribeConnector`,
    `DescribeServer`, `DescribeWorkflow`; `backup.GetBackupPlan`, `GetBackupSelection`; `secretsmanager.ListSecrets`
    under `aws/<account>/<region>/`.

    Yields
    ------
    A service for each database, proxy, endpoint, location, agent, connector and server, with the hosts that it reaches
    and the names that lead to it; all agents of a location, as it needs each of them; whether a parameter
    makes a database read-only. A job for each replication, transfer, backup plan and rotation of a secret: what it
    reads, writes, backs up and calls, and when.

    Can't see
    ---------
    What a backup plan selects by tags, and parameters that a cluster's own group sets. On which machine an agent of
    DataSync runs, unless it is called by the machine's name.
    """

    name: ClassVar[str] = "aws_data"
    title: ClassVar[str] = "RDS, DMS, DataSync, Transfer, Backup and secrets of AWS"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Services and jobs, and fragments of what parameters say of databases."""
        return parsed(document, _PARSERS)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Databases whose parameter group makes them read-only."""
        groups: dict[str, str] = {}
        for one in fragments:
            if one.kind == "read-only group" and isinstance(one.value, tuple):
                group, parameter = one.value
                groups[group] = parameter
        for one in fragments:
            if one.kind == "group of database" and isinstance(one.value, tuple):
                arn, group = one.value
                if group in groups:
                    where = Where(one.where.line, one.where.excerpt, one.path, one.where.api)
                    by = f"parameter {groups[group]}"
                    yield Entity(Ref(Kind.SERVICE, arn), where, {"read_only": True, "read_only_by": by})


def _databases(answer: Answer) -> Iterator[Parsed]:
    for key, arn_key in (("DBInstances", "DBInstanceArn"), ("DBClusters", "DBClusterArn")):
        for database in maps(answer.body, key):
            arn = value(database, arn_key)
            service = arn_ref(arn.scalar) if arn is not None else None
            if arn is None or service is None:
                continue
            attributes = known(
                program="RDS",
                engine=database.text("Engine"),
                state=database.text("DBInstanceStatus") or database.text("Status"),
                replica_of=database.text("ReadReplicaSourceDBInstanceIdentifier"),
                ca=database.text("CACertificateIdentifier"),
            )
            yield Entity(service, answer.where(arn), attributes)
            yield from named(answer, value(database, "Endpoint", "Address") or value(database, "Endpoint"), service)
            yield from named(answer, value(database, "ReaderEndpoint"), service)
            for group in maps(database, "DBParameterGroups"):
                if name := group.text("DBParameterGroupName"):
                    yield Fragment("group of database", (service.text, _group(answer, name)), answer.where(arn))


def _group(answer: Answer, name: str) -> str:
    return own_arn(answer, "rds", f"pg:{name}")


def _parameters(answer: Answer) -> Iterator[Parsed]:
    name = answer.parameter("DBParameterGroupName")
    for parameter in maps(answer.body, "Parameters") if name else ():
        key, written = parameter.text("ParameterName"), value(parameter, "ParameterValue")
        if key in _READ_ONLY and written is not None and written.scalar.lower() in _ON:
            yield Fragment("read-only group", (_group(answer, name), key), answer.where(written))


def _proxies(answer: Answer) -> Iterator[Parsed]:
    for proxy in maps(answer.body, "DBProxies"):
        name = value(proxy, "DBProxyName")
        if name is not None:
            service = _proxy(answer, name.scalar)
            yield Entity(service, answer.where(name), known(program="RDS Proxy", balancer=True))
            yield from named(answer, value(proxy, "Endpoint"), service)


def _proxy(answer: Answer, name: str) -> Ref:
    # The ARN has an id of its own, which the answer for the targets does not name.
    return Ref(Kind.SERVICE, own_arn(answer, "rds", f"db-proxy:{name}"))


def _proxy_targets(answer: Answer) -> Iterator[Parsed]:
    name = answer.parameter("DBProxyName")
    for target in maps(answer.body, "Targets") if name else ():
        for key, kind in (("TrackedClusterId", "cluster"), ("RdsResourceId", "db")):
            identity = value(target, key)
            if identity is not None:
                database = Ref(Kind.SERVICE, own_arn(answer, "rds", f"{kind}:{identity.scalar}"))
                where = answer.where(identity)
                yield Dependency(_proxy(answer, name), database, Relation.BACKED_BY, where, group="targets")
                break


def _endpoints(answer: Answer) -> Iterator[Parsed]:
    for endpoint in maps(answer.body, "Endpoints"):
        arn, server = value(endpoint, "EndpointArn"), value(endpoint, "ServerName")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        direction = endpoint.text("EndpointType").lower()
        attributes = known(program="DMS", name=endpoint.text("EndpointIdentifier"), direction=direction)
        yield Entity(service, answer.where(arn), attributes)
        port = endpoint.text("Port")
        if server is not None and (found := outside(f"{server.scalar}:{port}" if port.isdecimal() else server.scalar)):
            need = Need.WRITE if direction == "target" else Need.READ
            yield Dependency(service, found, Relation.CONNECTS, answer.where(server), need)


def _replications(answer: Answer) -> Iterator[Parsed]:
    for task in maps(answer.body, "ReplicationTasks"):
        arn = value(task, "ReplicationTaskArn")
        if arn is None:
            continue
        job = Ref(Kind.JOB, arn.scalar)
        attributes = known(
            program="DMS",
            name=task.text("ReplicationTaskIdentifier"),
            type=task.text("MigrationType"),
            state=task.text("Status"),
        )
        yield Entity(job, answer.where(arn), attributes)
        yield from _moved(answer, job, value(task, "SourceEndpointArn"), value(task, "TargetEndpointArn"))


def _moved(answer: Answer, job: Ref, source: YamlNode | None, target: YamlNode | None) -> Iterator[Dependency]:
    """What a job reads from and writes to, each a service by its ARN."""
    for node, need in ((source, Need.READ), (target, Need.WRITE)):
        if node is not None and (service := arn_ref(node.scalar)) is not None:
            yield Dependency(job, service, Relation.CONNECTS, answer.where(node), need)


def _locations(answer: Answer) -> Iterator[Parsed]:
    for location in maps(answer.body, "Locations"):
        arn, uri = value(location, "LocationArn"), value(location, "LocationUri")
        service = arn_ref(arn.scalar) if arn is not None else None
        if uri is not None and service is not None and uri.scalar.startswith(_LOCATIONS):
            # Whether files are read there or stored is in the tasks; an agent must reach it for both.
            yield from reach(answer, service, uri)


def _described(answer: Answer) -> Iterator[Parsed]:
    """The agents of a location: a transfer begins only if all of them are online. Of Hadoop, the name nodes."""
    service = arn_ref(answer.body.text("LocationArn"))
    if service is None:
        return
    for agent in (*scalars(answer.body, "AgentArns"), *scalars(answer.body, "OnPremConfig", "AgentArns")):
        if (found := arn_ref(agent.scalar)) is not None:
            yield Dependency(service, found, Relation.CONNECTS, answer.where(agent), Need.RUN)
    nodes = [one for node in maps(answer.body, "NameNodes") if (one := value(node, "Hostname")) is not None]
    for node in nodes:
        yield from reach(answer, service, node, group="name nodes" if len(nodes) > 1 else "")


def _agents(answer: Answer) -> Iterator[Parsed]:
    for agent in maps(answer.body, "Agents"):
        arn, name = value(agent, "AgentArn"), value(agent, "Name")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        attributes = known(program="DataSync", name=agent.text("Name"), state=agent.text("Status"))
        yield Entity(service, answer.where(arn), attributes)
        # The API does not say where an agent runs; people often call it as its machine.
        if name is not None and (host := host_ref(name.scalar)) is not None:
            at, sure = answer.where(name), Confidence.MEDIUM
            yield Dependency(service, host, Relation.RUNS_ON, at, Need.RUN, confidence=sure)


def _task(answer: Answer) -> Iterator[Parsed]:
    arn = value(answer.body, "TaskArn")
    if arn is None:
        return
    job = Ref(Kind.JOB, arn.scalar)
    disabled = text(answer.body, "Schedule", "Status") == "DISABLED"
    attributes = known(
        program="DataSync",
        name=answer.body.text("Name"),
        state=answer.body.text("Status"),
        schedule=text(answer.body, "Schedule", "ScheduleExpression"),
        enabled=False if disabled else None,
    )
    yield Entity(job, answer.where(arn), attributes)
    source, target = value(answer.body, "SourceLocationArn"), value(answer.body, "DestinationLocationArn")
    yield from _moved(answer, job, source, target)


def _connector(answer: Answer) -> Iterator[Parsed]:
    connector = answer.body.get("Connector")
    service = arn_ref(text(connector, "Arn"))
    if service is not None:
        yield from reach(answer, service, value(connector, "Url"), Need.WRITE)


def _server(answer: Answer) -> Iterator[Parsed]:
    server = answer.body.get("Server")
    arn = value(server, "Arn")
    service = arn_ref(arn.scalar) if arn is not None else None
    if server is None or arn is None or service is None:
        return
    yield Entity(service, answer.where(arn), known(program="Transfer", state=server.text("State")))
    yield from reach(answer, service, value(server, "IdentityProviderDetails", "Url"))
    function = value(server, "IdentityProviderDetails", "Function")
    if function is not None and (found := arn_ref(function.scalar)) is not None:
        yield Dependency(service, found, Relation.CALLS, answer.where(function))
    for event in ("OnUpload", "OnPartialUpload"):
        for workflow in maps(server, "WorkflowDetails", event):
            identity = value(workflow, "WorkflowId")
            if identity is not None:
                where = answer.where(identity)
                yield Dependency(service, _workflow_ref(answer, identity.scalar), Relation.CALLS, where)


def _workflow_ref(answer: Answer, identity: str) -> Ref:
    return Ref(Kind.SERVICE, own_arn(answer, "transfer", f"workflow/{identity}"))


def _workflow(answer: Answer) -> Iterator[Parsed]:
    workflow = answer.body.get("Workflow")
    identity = value(workflow, "WorkflowId")
    if identity is None:
        return
    service = _workflow_ref(answer, identity.scalar)
    for key in ("Steps", "OnExceptionSteps"):
        for step in maps(workflow, key):
            target = value(step, "CustomStepDetails", "Target")
            if target is not None and (function := arn_ref(target.scalar)) is not None:
                yield Dependency(service, function, Relation.CALLS, answer.where(target))


def _plan_ref(answer: Answer, identity: str) -> Ref:
    return Ref(Kind.JOB, own_arn(answer, "backup", f"backup-plan:{identity}"))


def _plan(answer: Answer) -> Iterator[Parsed]:
    identity, plan = value(answer.body, "BackupPlanId"), answer.body.get("BackupPlan")
    if identity is None or plan is None or not plan.is_map:
        return
    schedules = [one.scalar for rule in maps(plan, "Rules") if (one := value(rule, "ScheduleExpression")) is not None]
    attributes = known(program="AWS Backup", name=plan.text("BackupPlanName"), schedule="; ".join(schedules))
    yield Entity(_plan_ref(answer, identity.scalar), answer.where(identity), attributes)


def _selection(answer: Answer) -> Iterator[Parsed]:
    identity = answer.body.text("BackupPlanId") or answer.parameter("BackupPlanId")
    for resource in scalars(answer.body, "BackupSelection", "Resources") if identity else ():
        if "*" not in resource.scalar and (found := arn_ref(resource.scalar)) is not None:
            job = _plan_ref(answer, identity)
            yield Dependency(job, found, Relation.CONNECTS, answer.where(resource), Need.READ)


def _secrets(answer: Answer) -> Iterator[Parsed]:
    for secret in maps(answer.body, "SecretList"):
        arn, function = value(secret, "ARN"), value(secret, "RotationLambdaARN")
        called = arn_ref(function.scalar) if function is not None else None
        if arn is None or function is None or called is None:
            continue
        job = Ref(Kind.JOB, arn.scalar)
        enabled = secret.get("RotationEnabled")
        attributes = known(
            program="Secrets Manager",
            name=secret.text("Name"),
            schedule=text(secret, "RotationRules", "ScheduleExpression"),
            enabled=False if enabled is not None and enabled.boolean is False else None,
        )
        yield Entity(job, answer.where(arn), attributes)
        yield Dependency(job, called, Relation.CALLS, answer.where(function))


_PARSERS: Final = {
    "backup.GetBackupPlan": _plan,
    "backup.GetBackupSelection": _selection,
    "datasync.DescribeLocationAzureBlob": _described,
    "datasync.DescribeLocationHdfs": _described,
    "datasync.DescribeLocationNfs": _described,
    "datasync.DescribeLocationObjectStorage": _described,
    "datasync.DescribeLocationSmb": _described,
    "datasync.DescribeTask": _task,
    "datasync.ListAgents": _agents,
    "datasync.ListLocations": _locations,
    "dms.DescribeEndpoints": _endpoints,
    "dms.DescribeReplicationTasks": _replications,
    "rds.DescribeDBClusters": _databases,
    "rds.DescribeDBInstances": _databases,
    "rds.DescribeDBParameters": _parameters,
    "rds.DescribeDBProxies": _proxies,
    "rds.DescribeDBProxyTargets": _proxy_targets,
    "secretsmanager.ListSecrets": _secrets,
    "transfer.DescribeConnector": _connector,
    "transfer.DescribeServer": _server,
    "transfer.DescribeWorkflow": _workflow,
}
