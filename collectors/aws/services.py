"""Services of AWS that reach hosts of ours, or stand behind names: functions, gateways, databases, transfers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Kind,
    Need,
    Parsed,
    Ref,
    Relation,
    YamlNode,
    is_hostname,
    normal_name,
)
from collectors.aws.common import (
    Answer,
    arn_ref,
    is_answer,
    known,
    maps,
    outside,
    own_arn,
    parsed,
    scalars,
    text,
    value,
)

_HOST_KEYS: Final = ("host", "hostname", "server", "servers", "endpoint", "url", "uri", "addr", "address", "proxy")
_LOCATIONS: Final = ("nfs://", "smb://", "hdfs://", "object-storage://")


class AwsServicesCollector(Collector):
    """What a managed service reaches outside of AWS, and which names lead to it.

    Reads
    -----
    `lambda.ListFunctions`, `GetFunctionUrlConfig`, `ListEventSourceMappings`; `apigateway.GetResources`,
    `GetDomainNames`; `apigatewayv2.GetIntegrations`, `GetDomainNames`; `cloudfront.ListDistributions`;
    `rds.DescribeDBInstances`, `DescribeDBClusters`; `dms.DescribeEndpoints`; `datasync.ListLocations`;
    `transfer.DescribeConnector`; `glue.GetConnections` under `aws/<account>/<region>/`.

    Yields
    ------
    A service for each, with the hosts that its variables, integrations, origins, endpoints, locations and connectors
    name; origins of one group as alternatives; and the names that stand for a function, an API, a distribution or a
    database. A replication's target and a place that files are moved to must be able to store.

    Can't see
    ---------
    What a function's code connects to, and origins that a function at the edge picks.
    """

    name: ClassVar[str] = "aws_services"
    title: ClassVar[str] = "Lambda, API Gateway, CloudFront, RDS, DMS, DataSync, Transfer and Glue"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Services, what they reach, and the names that lead to them."""
        return parsed(document, _PARSERS)


def _reach(
    answer: Answer, service: Ref, node: YamlNode | None, need: Need = Need.READ, group: str = ""
) -> Iterator[Dependency]:
    """The dependency on the host that a text names, if it names one."""
    if node is not None and (found := outside(node.scalar)) is not None:
        yield Dependency(service, found, Relation.CONNECTS, answer.where(node), need, group)


def _named(answer: Answer, name: YamlNode | None, service: Ref) -> Iterator[Dependency]:
    """A name that stands for a service."""
    if name is not None and is_hostname(name.scalar):
        yield Dependency(Ref(Kind.NAME, normal_name(name.scalar)), service, Relation.BACKED_BY, answer.where(name))


def _functions(answer: Answer) -> Iterator[Parsed]:
    for function in maps(answer.body, "Functions"):
        arn = value(function, "FunctionArn")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        yield Entity(service, answer.where(arn), known(program="Lambda", runtime=function.text("Runtime")))
        variables = function.get("Environment")
        variables = variables.get("Variables") if variables is not None and variables.is_map else None
        for key, written in variables.items() if variables is not None and variables.is_map else ():
            if not written.is_scalar or not written.scalar:
                continue
            is_url = "://" in written.scalar
            if not is_url and key.written.lower().rsplit("_", 1)[-1] not in _HOST_KEYS:
                continue
            for one in written.scalar.split(",")[:50]:
                found = outside(one)
                if found is not None:
                    sure = Confidence.HIGH if is_url else Confidence.MEDIUM
                    group = key.written if "," in written.scalar else ""
                    yield Dependency(
                        service, found, Relation.CONNECTS, answer.where(written), group=group, confidence=sure
                    )


def _function_url(answer: Answer) -> Iterator[Parsed]:
    url, arn = value(answer.body, "FunctionUrl"), value(answer.body, "FunctionArn")
    service = arn_ref(arn.scalar) if arn is not None else None
    endpoint = outside(url.scalar) if url is not None else None
    if url is not None and endpoint is not None and service is not None:
        host = Ref(Kind.NAME, normal_name(endpoint.text.split("://", 1)[-1].split(":", 1)[0]))
        yield Dependency(host, service, Relation.BACKED_BY, answer.where(url))


def _mappings(answer: Answer) -> Iterator[Parsed]:
    for mapping in maps(answer.body, "EventSourceMappings"):
        service = arn_ref(mapping.text("FunctionArn"))
        if service is None or mapping.text("State") in ("Disabled", "Disabling", "Deleting"):
            continue
        source = mapping.get("SelfManagedEventSource")
        for broker in scalars(source, "Endpoints", "KAFKA_BOOTSTRAP_SERVERS"):
            yield from _reach(answer, service, broker, group=f"brokers of {mapping.text('UUID')}")


def _gateway(answer: Answer, identity: str) -> Ref:
    return Ref(Kind.SERVICE, own_arn(answer, "execute-api", identity))


def _resources(answer: Answer) -> Iterator[Parsed]:
    identity = answer.parameter("restApiId")
    if not identity:
        return
    for resource in maps(answer.body, "items"):
        methods = resource.get("resourceMethods")
        for _, method in methods.items() if methods is not None and methods.is_map else ():
            integration = method.get("methodIntegration") if method.is_map else None
            if text(integration, "type") in ("HTTP", "HTTP_PROXY"):
                yield from _reach(answer, _gateway(answer, identity), value(integration, "uri"))


def _integrations(answer: Answer) -> Iterator[Parsed]:
    identity = answer.parameter("ApiId")
    if not identity:
        return
    for integration in maps(answer.body, "Items"):
        uri = value(integration, "IntegrationUri")
        if uri is None:
            continue
        if uri.scalar.startswith("arn:"):
            # A private integration leads to a listener, which is its load balancer's.
            if (found := _target_of(uri.scalar)) is not None:
                yield Dependency(_gateway(answer, identity), found, Relation.CALLS, answer.where(uri))
        elif integration.text("IntegrationType") in ("HTTP", "HTTP_PROXY"):
            yield from _reach(answer, _gateway(answer, identity), uri)


def _target_of(uri: str) -> Ref | None:
    head, separator, rest = uri.partition(":listener/")
    if separator:
        return arn_ref(f"{head}:loadbalancer/{'/'.join(rest.split('/')[:3])}")
    if ":lambda:" in uri and "/functions/" in uri:
        return arn_ref(uri.split("/functions/", 1)[1].removesuffix("/invocations"))
    return arn_ref(uri)


def _domains(answer: Answer) -> Iterator[Parsed]:
    for domain in (*maps(answer.body, "items"), *maps(answer.body, "Items")):
        name = value(domain, "domainName") or value(domain, "DomainName")
        if name is None or not is_hostname(name.scalar):
            continue
        configurations = (domain, *maps(domain, "DomainNameConfigurations"))
        for one in configurations:
            for key in ("certificateArn", "regionalCertificateArn", "CertificateArn"):
                arn = value(one, key)
                if arn is not None and (certificate := arn_ref(arn.scalar)) is not None:
                    consumer = Ref(Kind.NAME, normal_name(name.scalar))
                    yield Dependency(consumer, certificate, Relation.SERVES, answer.where(arn))


def _distributions(answer: Answer) -> Iterator[Parsed]:
    listed = answer.body.get("DistributionList")
    for distribution in maps(listed if listed is not None else answer.body, "Items"):
        arn = value(distribution, "ARN")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        enabled = distribution.get("Enabled")
        off = False if enabled is not None and enabled.boolean is False else None
        yield Entity(service, answer.where(arn), known(program="CloudFront", enabled=off, balancer=True))
        yield from _named(answer, value(distribution, "DomainName"), service)
        certificate = value(distribution, "ViewerCertificate", "ACMCertificateArn")
        if certificate is not None and (found := arn_ref(certificate.scalar)) is not None:
            yield Dependency(service, found, Relation.SERVES, answer.where(certificate))
        groups: dict[str, str] = {}
        for group in maps(distribution, "OriginGroups", "Items"):
            for member in maps(group, "Members", "Items"):
                groups[member.text("OriginId")] = f"origins {group.text('Id')}"
        for origin in maps(distribution, "Origins", "Items"):
            name = value(origin, "DomainName")
            if name is not None and is_hostname(name.scalar):
                yield Dependency(
                    service,
                    Ref(Kind.NAME, normal_name(name.scalar)),
                    Relation.BACKED_BY,
                    answer.where(name),
                    group=groups.get(origin.text("Id"), ""),
                )


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
            yield from _named(answer, value(database, "Endpoint", "Address") or value(database, "Endpoint"), service)
            yield from _named(answer, value(database, "ReaderEndpoint"), service)


def _replication_endpoints(answer: Answer) -> Iterator[Parsed]:
    for endpoint in maps(answer.body, "Endpoints"):
        arn, server = value(endpoint, "EndpointArn"), value(endpoint, "ServerName")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        direction = endpoint.text("EndpointType").lower()
        attributes = known(program="DMS", name=endpoint.text("EndpointIdentifier"), direction=direction)
        yield Entity(service, answer.where(arn), attributes)
        port = endpoint.text("Port")
        if server is not None and (found := outside(f"{server.scalar}:{port}" if port.isdigit() else server.scalar)):
            need = Need.WRITE if direction == "target" else Need.READ
            yield Dependency(service, found, Relation.CONNECTS, answer.where(server), need)


def _moves(answer: Answer) -> Iterator[Parsed]:
    for location in maps(answer.body, "Locations"):
        arn, uri = value(location, "LocationArn"), value(location, "LocationUri")
        service = arn_ref(arn.scalar) if arn is not None else None
        if uri is not None and service is not None and uri.scalar.startswith(_LOCATIONS):
            # Whether files are read there or stored is in the tasks; an agent must reach it for both.
            yield from _reach(answer, service, uri)


def _connector(answer: Answer) -> Iterator[Parsed]:
    connector = answer.body.get("Connector")
    service = arn_ref(text(connector, "Arn"))
    if service is not None:
        yield from _reach(answer, service, value(connector, "Url"), Need.WRITE)


def _glue(answer: Answer) -> Iterator[Parsed]:
    for connection in maps(answer.body, "ConnectionList"):
        name = value(connection, "Name")
        url = value(connection, "ConnectionProperties", "JDBC_CONNECTION_URL")
        if name is None:
            continue
        service = Ref(Kind.SERVICE, own_arn(answer, "glue", f"connection/{name.scalar}"))
        if url is not None:
            bare = url.scalar.removeprefix("jdbc:").replace("oracle:thin://@", "oracle://").split(";", 1)[0]
            if "://" in bare and (found := outside(bare)) is not None:
                yield Dependency(service, found, Relation.CONNECTS, answer.where(url))
        brokers = value(connection, "ConnectionProperties", "KAFKA_BOOTSTRAP_SERVERS")
        for one in brokers.scalar.split(",") if brokers is not None else ():
            if brokers is not None and (found := outside(one)) is not None:
                yield Dependency(service, found, Relation.CONNECTS, answer.where(brokers), group="brokers")


_PARSERS: Final = {
    "apigateway.GetDomainNames": _domains,
    "apigateway.GetResources": _resources,
    "apigatewayv2.GetDomainNames": _domains,
    "apigatewayv2.GetIntegrations": _integrations,
    "cloudfront.ListDistributions": _distributions,
    "datasync.ListLocations": _moves,
    "dms.DescribeEndpoints": _replication_endpoints,
    "glue.GetConnections": _glue,
    "lambda.GetFunctionUrlConfig": _function_url,
    "lambda.ListEventSourceMappings": _mappings,
    "lambda.ListFunctions": _functions,
    "rds.DescribeDBClusters": _databases,
    "rds.DescribeDBInstances": _databases,
    "transfer.DescribeConnector": _connector,
}
