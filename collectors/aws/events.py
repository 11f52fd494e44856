"""What runs by time or by event in AWS, and whom it calls: EventBridge, Scheduler, Pipes, Systems Manager, Firehose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    YamlNode,
    endpoint_ref,
    excerpt,
)
from collectors.aws.common import (
    Answer,
    arn_ref,
    instance_ref,
    instances_in,
    is_answer,
    known,
    maps,
    outside,
    own_arn,
    parsed,
    scalars,
    selected,
    text,
    value,
)


class AwsEventsCollector(Collector):
    """Rules, schedules, pipes and maintenance windows as jobs, API destinations and delivery streams as webhooks.

    All targets of a rule are called, each for itself: they are no alternatives.

    Reads
    -----
    `events.ListRules`, `ListTargetsByRule`, `ListApiDestinations`, `DescribeConnection`, `ListConnections`,
    `scheduler.GetSchedule`, `pipes.DescribePipe`, `ssm.DescribeMaintenanceWindows` with targets and tasks,
    `ssm.ListAssociations`, `firehose.DescribeDeliveryStream`, `codebuild.BatchGetProjects` and
    `codepipeline.GetPipeline` under `aws/<account>/<region>/`.

    Yields
    ------
    A job for each rule, schedule, pipe and window with its times and whether it is on: the functions, topics, queues
    and API destinations that it calls, the instances that a command of it runs on, or that its input names, and the
    brokers that a pipe reads. A webhook for each API destination and HTTP delivery stream, with the endpoint that it
    delivers to and, for OAuth, the one that it takes its token from. The repositories that builds are made from, and
    the servers, functions and projects that the actions of a pipeline call.

    Can't see
    ---------
    Which events reach a rule, what a function does when it is called, and instances that a tag selects, the Name tag
    apart.
    """

    name: ClassVar[str] = "aws_events"
    title: ClassVar[str] = "EventBridge, schedules, pipes, pipelines, Systems Manager and delivery streams of AWS"
    area: ClassVar[Area] = Area.WEBHOOKS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.DELIVERS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Jobs and webhooks."""
        return parsed(document, _PARSERS)


def _rules(answer: Answer) -> Iterator[Parsed]:
    for rule in maps(answer.body, "Rules"):
        arn = value(rule, "Arn")
        job = arn_ref(arn.scalar) if arn is not None else None
        if arn is not None and job is not None:
            attributes = known(
                program="EventBridge",
                schedule=rule.text("ScheduleExpression"),
                event_pattern=rule.text("EventPattern"),
                enabled=False if rule.text("State") == "DISABLED" else None,
            )
            yield Entity(job, answer.where(arn), attributes)


def _targets(answer: Answer) -> Iterator[Parsed]:
    rule, bus = answer.parameter("Rule"), answer.parameter("EventBusName").rsplit("/", 1)[-1]
    if not rule:
        return
    path = f"rule/{rule}" if bus in ("", "default") else f"rule/{bus}/{rule}"
    job = Ref(Kind.JOB, own_arn(answer, "events", path))
    for target in maps(answer.body, "Targets"):
        yield from _target(answer, job, target)


def _target(answer: Answer, job: Ref, target: YamlNode) -> Iterator[Parsed]:
    """What a rule, a schedule or a pipe calls."""
    arn = value(target, "Arn")
    if arn is None:
        return
    command = target.get("RunCommandParameters")
    if command is not None and command.is_map:
        yield from selected(answer, job, maps(command, "RunCommandTargets"))
    for key in ("Input", "InputTemplate"):
        given = value(target, key) or value(target, "InputTransformer", key)
        # What a call of the API by a schedule, or an SSM automation, acts on stands in its input.
        if given is not None and (":aws-sdk:" in arn.scalar or ":automation-definition/" in arn.scalar):
            yield from instances_in(answer, job, given, "")
    if ":aws-sdk:" in arn.scalar:
        return
    if (found := arn_ref(arn.scalar)) is not None and not arn.scalar.startswith("arn:aws:ssm:"):
        relation = Relation.NOTIFIES if found.kind is Kind.RECEIVER else Relation.CALLS
        need = Need.WRITE if found.kind in (Kind.RECEIVER, Kind.WEBHOOK) else Need.RUN
        yield Dependency(job, found, relation, answer.where(arn), need)
    dead = value(target, "DeadLetterConfig", "Arn")
    if dead is not None and (queue := arn_ref(dead.scalar)) is not None:
        yield Dependency(job, queue, Relation.CONNECTS, answer.where(dead), Need.WRITE, "dead letters")


def _destinations(answer: Answer) -> Iterator[Parsed]:
    for destination in maps(answer.body, "ApiDestinations"):
        arn, url = value(destination, "ApiDestinationArn"), value(destination, "InvocationEndpoint")
        webhook = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or webhook is None:
            continue
        attributes = known(
            program="EventBridge",
            name=destination.text("Name"),
            active=destination.text("ApiDestinationState") != "INACTIVE",
        )
        yield Entity(webhook, answer.where(arn), attributes)
        if url is not None and (endpoint := endpoint_ref(url.scalar)) is not None:
            yield Dependency(webhook, endpoint, Relation.DELIVERS, answer.where(url), Need.WRITE)
        connection = value(destination, "ConnectionArn")
        if connection is not None and (found := arn_ref(connection.scalar)) is not None:
            yield Dependency(webhook, found, Relation.CONNECTS, answer.where(connection))


def _connections(answer: Answer) -> Iterator[Parsed]:
    # DescribeConnection answers with one, ListConnections with a list that has no endpoints.
    for connection in (*maps(answer.body, "Connections"), answer.body):
        arn = value(connection, "ConnectionArn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or ref is None:
            continue
        state = connection.text("ConnectionState")
        yield Entity(ref, answer.where(arn), known(program="EventBridge", state=state))
        url = value(connection, "AuthParameters", "OAuthParameters", "AuthorizationEndpoint")
        if url is not None and (endpoint := endpoint_ref(url.scalar)) is not None:
            # A token is made there, which a server that can't write may not do.
            yield Dependency(ref, endpoint, Relation.CONNECTS, answer.where(url), Need.WRITE)


def _schedule(answer: Answer) -> Iterator[Parsed]:
    arn, target = value(answer.body, "Arn"), answer.body.get("Target")
    job = arn_ref(arn.scalar) if arn is not None else None
    if arn is None or job is None:
        return
    attributes = known(
        program="EventBridge Scheduler",
        schedule=answer.body.text("ScheduleExpression"),
        time_zone=answer.body.text("ScheduleExpressionTimezone"),
        enabled=False if answer.body.text("State") == "DISABLED" else None,
    )
    yield Entity(job, answer.where(arn), attributes)
    if target is not None and target.is_map:
        yield from _target(answer, job, target)


def _pipe(answer: Answer) -> Iterator[Parsed]:
    arn = value(answer.body, "Arn")
    job = arn_ref(arn.scalar) if arn is not None else None
    if arn is None or job is None:
        return
    stopped = answer.body.text("DesiredState") == "STOPPED"
    yield Entity(job, answer.where(arn), known(program="EventBridge Pipes", enabled=False if stopped else None))
    for key in ("Target", "Enrichment"):
        target = value(answer.body, key)
        if target is not None and (found := arn_ref(target.scalar)) is not None:
            relation = Relation.NOTIFIES if found.kind is Kind.RECEIVER else Relation.CALLS
            yield Dependency(job, found, relation, answer.where(target), Need.WRITE)
    brokers = [
        one
        for kind in ("SelfManagedKafkaParameters", "RabbitMQBrokerParameters", "ActiveMQBrokerParameters")
        for one in scalars(answer.body, "SourceParameters", kind, "AdditionalBootstrapServers")
    ]
    source = value(answer.body, "Source")
    if source is not None and source.scalar.startswith("smk://"):
        brokers.append(source)
    for broker in brokers:
        for written in broker.scalar.removeprefix("smk://").split(","):
            if (endpoint := outside(written)) is not None:
                yield Dependency(job, endpoint, Relation.CONNECTS, answer.where(broker), group="brokers")


def _window(answer: Answer, identity: str) -> Ref:
    return Ref(Kind.JOB, own_arn(answer, "ssm", f"maintenancewindow/{identity}"))


def _windows(answer: Answer) -> Iterator[Parsed]:
    for window in maps(answer.body, "WindowIdentities"):
        identity = value(window, "WindowId")
        if identity is None:
            continue
        enabled = window.get("Enabled")
        attributes = known(
            program="Systems Manager",
            name=window.text("Name"),
            schedule=window.text("Schedule"),
            enabled=False if enabled is not None and enabled.boolean is False else None,
        )
        yield Entity(_window(answer, identity.scalar), answer.where(identity), attributes)


def _window_targets(answer: Answer) -> Iterator[Parsed]:
    for key in ("Targets", "Tasks"):
        for target in maps(answer.body, key):
            identity = target.text("WindowId") or answer.parameter("WindowId")
            if identity:
                yield from selected(answer, _window(answer, identity), maps(target, "Targets"))


def _delivery(answer: Answer) -> Iterator[Parsed]:
    stream = answer.body.get("DeliveryStreamDescription")
    arn = value(stream, "DeliveryStreamARN")
    webhook = arn_ref(arn.scalar) if arn is not None else None
    if stream is None or arn is None or webhook is None:
        return
    yield Entity(webhook, answer.where(arn), known(program="Firehose", state=stream.text("DeliveryStreamStatus")))
    for destination in maps(stream, "Destinations"):
        http = value(destination, "HttpEndpointDestinationDescription", "EndpointConfiguration", "Url")
        splunk = value(destination, "SplunkDestinationDescription", "HECEndpoint")
        for url in (http, splunk):
            if url is not None and (endpoint := outside(url.scalar)) is not None:
                yield Dependency(webhook, endpoint, Relation.DELIVERS, answer.where(url), Need.WRITE)


def _projects(answer: Answer) -> Iterator[Parsed]:
    for project in maps(answer.body, "projects"):
        arn = value(project, "arn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or ref is None:
            continue
        yield Entity(ref, answer.where(arn), known(program="CodeBuild", name=excerpt(project.text("name"))))
        sources = [one for one in (project.get("source"), *maps(project, "secondarySources")) if one is not None]
        for source in sources:
            location = value(source, "location")
            if location is not None and "://" in location.scalar and (found := outside(location.scalar)) is not None:
                yield Dependency(ref, found, Relation.CONNECTS, answer.where(location))
        webhook = value(project, "webhook", "url")
        if webhook is not None and (found := outside(webhook.scalar)) is not None:
            # The code host that calls: builds stop when it goes.
            yield Dependency(ref, found, Relation.CONNECTS, answer.where(webhook), Need.RUN)


def _associations(answer: Answer) -> Iterator[Parsed]:
    for association in maps(answer.body, "Associations"):
        identity = value(association, "AssociationId")
        if identity is None:
            continue
        job = Ref(Kind.JOB, own_arn(answer, "ssm", f"association/{identity.scalar}"))
        attributes = known(
            program="Systems Manager",
            name=association.text("AssociationName") or association.text("Name"),
            schedule=association.text("ScheduleExpression"),
        )
        yield Entity(job, answer.where(identity), attributes)
        yield from selected(answer, job, maps(association, "Targets"))
        alone = value(association, "InstanceId")
        if alone is not None and (found := instance_ref(alone.scalar)) is not None:
            yield Dependency(job, found, Relation.CONNECTS, answer.where(alone), Need.RUN)


def _pipeline(answer: Answer) -> Iterator[Parsed]:
    pipeline = answer.body.get("pipeline")
    name = value(pipeline, "name")
    if name is None:
        return
    job = Ref(Kind.JOB, own_arn(answer, "codepipeline", name.scalar))
    yield Entity(job, answer.where(name), known(program="CodePipeline", name=name.scalar))
    for stage in maps(pipeline, "stages"):
        for action in maps(stage, "actions"):
            settings = action.get("configuration")
            for key, written in settings.items() if settings is not None and settings.is_map else ():
                if not written.is_scalar:
                    continue
                if "://" in written.scalar and (found := outside(written.scalar)) is not None:
                    yield Dependency(job, found, Relation.CONNECTS, answer.where(written))
                elif key.written == "FunctionName":
                    function = Ref(Kind.SERVICE, own_arn(answer, "lambda", f"function:{written.scalar}"))
                    yield Dependency(job, function, Relation.CALLS, answer.where(written))
                elif key.written == "ProjectName" and text(action, "actionTypeId", "provider") == "CodeBuild":
                    project = Ref(Kind.SERVICE, own_arn(answer, "codebuild", f"project/{written.scalar}"))
                    yield Dependency(job, project, Relation.CALLS, answer.where(written))


_PARSERS: Final = {
    "codebuild.BatchGetProjects": _projects,
    "codepipeline.GetPipeline": _pipeline,
    "events.DescribeConnection": _connections,
    "events.ListApiDestinations": _destinations,
    "events.ListConnections": _connections,
    "events.ListRules": _rules,
    "events.ListTargetsByRule": _targets,
    "firehose.DescribeDeliveryStream": _delivery,
    "pipes.DescribePipe": _pipe,
    "scheduler.GetSchedule": _schedule,
    "ssm.DescribeMaintenanceWindowTargets": _window_targets,
    "ssm.DescribeMaintenanceWindowTasks": _window_targets,
    "ssm.DescribeMaintenanceWindows": _windows,
    "ssm.ListAssociations": _associations,
}
