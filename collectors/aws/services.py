"""Services of AWS that reach hosts of ours, or stand behind names: functions, gateways, distributions, parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    YamlNode,
    excerpt,
    is_address,
    is_hostname,
    normal_name,
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
    vpc_link_ref,
)

_TOP: Final = re.compile(r"\.[a-z][a-z-]+$")
"""How a name ends that is no version (`v1.2`)."""
_PLACE: Final = re.compile(r"\s*(?:\[[0-9A-Fa-f:]+\]|[\w-]+(?:\.[\w-]+)+):\d{2,5}\s*")
"""`10.20.4.17:9000`, `queue.example.net:5672`: a place, whatever the variable is called."""
_HOST_KEYS: Final = ("host", "hostname", "server", "servers", "endpoint", "url", "uri", "addr", "address", "proxy")


class AwsServicesCollector(Collector):
    """What a managed service reaches outside of AWS, and which names lead to it.

    Reads
    -----
    `lambda.ListFunctions`, `GetFunctionConfiguration`, `ListFunctionUrlConfigs`, `ListEventSourceMappings`;
    `apigateway.GetResources`, `GetStages`, `GetVpcLinks`, `GetDomainNames`; `apigatewayv2.GetIntegrations`,
    `GetStages`, `GetVpcLinks`, `GetAuthorizers`, `GetDomainNames`; `cloudfront.ListDistributions`, `ListVpcOrigins`;
    `iam.ListServerCertificates`; `appsync.ListDataSources`; `ssm.GetParameters`; `glue.GetConnections` under
    `aws/<account>/<region>/`.

    Yields
    ------
    A service for each, with the hosts that its variables, integrations, issuers, origins, data sources and values
    name; origins of one group as alternatives; certificates that a distribution serves; VPC links with the load
    balancers that they lead to; and the names that stand for a function, an API or a distribution. The URL of an
    integration over a VPC link only says which host its requests are to name, and is no dependency.

    Can't see
    ---------
    What a function's code connects to, versions to which an alias leads a share of the calls, origins that a function
    at the edge picks, who reads a parameter, and parameters that are secrets.
    """

    name: ClassVar[str] = "aws_services"
    title: ClassVar[str] = "Lambda, API Gateway, CloudFront, AppSync, Glue and parameters of AWS"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Services, what they reach, and the names that lead to them."""
        return parsed(document, _PARSERS)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """CloudFront names a certificate of IAM by its id, and all others by its ARN."""
        pairs = [(one, *one.value) for one in fragments if isinstance(one.value, tuple)]
        certificates = {identity: ref for one, identity, ref in pairs if one.kind == _OF_IAM}
        for one, identity, service in pairs:
            if one.kind == _BY_ID and identity in certificates:
                yield Dependency(service, certificates[identity], Relation.SERVES, replace(one.where, path=one.path))


def _server_certificates(answer: Answer) -> Iterator[Parsed]:
    for metadata in maps(answer.body, "ServerCertificateMetadataList"):
        identity, arn = value(metadata, "ServerCertificateId"), value(metadata, "Arn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if identity is not None and arn is not None and ref is not None:
            yield Fragment(_OF_IAM, (identity.scalar, ref), answer.where(arn))


def _functions(answer: Answer) -> Iterator[Parsed]:
    # GetFunctionConfiguration answers with one, ListFunctions with a list.
    for function in (*maps(answer.body, "Functions"), answer.body):
        arn = value(function, "FunctionArn")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        yield Entity(service, answer.where(arn), known(program="Lambda", runtime=function.text("Runtime")))
        environment = function.get("Environment")
        variables = environment.get("Variables") if environment is not None and environment.is_map else None
        refused = environment.get("Error") if environment is not None and environment.is_map else None
        if refused is not None and refused.is_map:
            # As whoever may list functions, and not decrypt with the key of this one's variables.
            why = f"its variables are not shown: {refused.text('ErrorCode') or 'an error'}"
            yield Malformed(answer.where(refused), excerpt(why), "what it reaches by them is not known")
        for key, written in variables.items() if variables is not None and variables.is_map else ():
            if not written.is_scalar or not written.scalar:
                continue
            is_url = "://" in written.scalar
            is_place = is_url or _PLACE.fullmatch(written.scalar[:300].partition(",")[0]) is not None
            if not is_place and key.written.lower().rsplit("_", 1)[-1] not in _HOST_KEYS:
                continue
            for one in written.scalar.split(",")[:50]:
                found = outside(one)
                if found is not None:
                    sure = Confidence.HIGH if is_url else Confidence.MEDIUM
                    group = key.written if "," in written.scalar else ""
                    yield Dependency(
                        service, found, Relation.CONNECTS, answer.where(written), group=group, confidence=sure
                    )


def _function_urls(answer: Answer) -> Iterator[Parsed]:
    # GetFunctionUrlConfig answers with one, ListFunctionUrlConfigs with a list.
    for one in (*maps(answer.body, "FunctionUrlConfigs"), answer.body):
        url, arn = value(one, "FunctionUrl"), value(one, "FunctionArn")
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
            yield from reach(answer, service, broker, group=f"brokers of {mapping.text('UUID')}")


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
            if text(integration, "type") not in ("HTTP", "HTTP_PROXY"):
                continue
            if text(integration, "connectionType") == "VPC_LINK":
                gateway = _gateway(answer, identity)
                yield from _over_link(answer, gateway, value(integration, "connectionId"))
                # Of version 2 the link leads into a network, and the integration names the load balancer.
                yield from _leads_to(answer, gateway, value(integration, "integrationTarget"))
            else:
                yield from reach(answer, _gateway(answer, identity), value(integration, "uri"))


def _over_link(answer: Answer, gateway: Ref, link: YamlNode | None) -> Iterator[Dependency]:
    """A private integration; a stage's variable (`${stageVariables.link}`) may be any link."""
    if link is not None and link.scalar.isalnum():
        yield Dependency(gateway, vpc_link_ref(answer, link.scalar), Relation.CALLS, answer.where(link))


def _leads_to(answer: Answer, gateway: Ref, arn: YamlNode | None) -> Iterator[Dependency]:
    if arn is not None and (found := _target_of(arn.scalar)) is not None:
        yield Dependency(gateway, found, Relation.CALLS, answer.where(arn))


def _vpc_links(answer: Answer) -> Iterator[Parsed]:
    """Links of both versions: one has a network load balancer, the other only subnets."""
    for link in (*maps(answer.body, "items"), *maps(answer.body, "Items")):
        identity = value(link, "id") or value(link, "VpcLinkId")
        if identity is None:
            continue
        service = vpc_link_ref(answer, identity.scalar)
        attributes = known(
            program="API Gateway",
            name=link.text("name") or link.text("Name"),
            state=link.text("status") or link.text("VpcLinkStatus"),
        )
        yield Entity(service, answer.where(identity), attributes)
        targets = scalars(link, "targetArns")
        for target in targets:
            if (balancer := arn_ref(target.scalar)) is not None:
                group = "targets" if len(targets) > 1 else ""
                yield Dependency(service, balancer, Relation.BACKED_BY, answer.where(target), group=group)


def _stages(answer: Answer) -> Iterator[Parsed]:
    """Variables of stages, which are parts of the URLs of integrations (`https://${stageVariables.host}/`)."""
    identity = answer.parameter("restApiId") or answer.parameter("ApiId")
    for stage in (*maps(answer.body, "item"), *maps(answer.body, "Items")) if identity else ():
        variables = stage.get("variables") or stage.get("StageVariables")
        for _, written in variables.items() if variables is not None and variables.is_map else ():
            found = outside(written.scalar) if written.is_scalar else None
            if found is None or not (found.kind is Kind.ENDPOINT or is_address(found.text) or _TOP.search(found.text)):
                continue
            sure = Confidence.HIGH if "://" in written.scalar else Confidence.MEDIUM
            where = answer.where(written)
            yield Dependency(_gateway(answer, identity), found, Relation.CONNECTS, where, Need.READ, confidence=sure)


def _integrations(answer: Answer) -> Iterator[Parsed]:
    identity = answer.parameter("ApiId")
    if not identity:
        return
    for integration in maps(answer.body, "Items"):
        uri = value(integration, "IntegrationUri")
        private = integration.text("ConnectionType") == "VPC_LINK"
        if private:
            yield from _over_link(answer, _gateway(answer, identity), value(integration, "ConnectionId"))
        if uri is None:
            continue
        if uri.scalar.startswith("arn:"):
            # A private integration leads to a listener, which is its load balancer's.
            yield from _leads_to(answer, _gateway(answer, identity), uri)
        elif not private and integration.text("IntegrationType") in ("HTTP", "HTTP_PROXY"):
            yield from reach(answer, _gateway(answer, identity), uri)


def _authorizers(answer: Answer) -> Iterator[Parsed]:
    identity = answer.parameter("ApiId")
    for authorizer in maps(answer.body, "Items") if identity else ():
        # Its keys are fetched from there.
        yield from reach(answer, _gateway(answer, identity), value(authorizer, "JwtConfiguration", "Issuer"))
        uri = value(authorizer, "AuthorizerUri")
        if uri is not None and (found := _target_of(uri.scalar)) is not None:
            yield Dependency(_gateway(answer, identity), found, Relation.CALLS, answer.where(uri))


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
        yield from named(answer, value(distribution, "DomainName"), service)
        certificate = value(distribution, "ViewerCertificate", "ACMCertificateArn")
        if certificate is not None and (found := arn_ref(certificate.scalar)) is not None:
            yield Dependency(service, found, Relation.SERVES, answer.where(certificate))
        own = value(distribution, "ViewerCertificate", "IAMCertificateId")
        if own is not None and own.scalar:
            yield Fragment(_BY_ID, (own.scalar, service), answer.where(own))
        groups: dict[str, str] = {}
        for group in maps(distribution, "OriginGroups", "Items"):
            for member in maps(group, "Members", "Items"):
                groups[member.text("OriginId")] = f"origins {group.text('Id')}"
        for origin in maps(distribution, "Origins", "Items"):
            name, inner = value(origin, "DomainName"), value(origin, "VpcOriginConfig", "VpcOriginId")
            if inner is not None:
                provider, at = _vpc_origin(answer, inner.scalar), answer.where(inner)
                alternatives = groups.get(origin.text("Id"), "")
                yield Dependency(service, provider, Relation.BACKED_BY, at, group=alternatives)
            elif name is not None and is_hostname(name.scalar):
                yield Dependency(
                    service,
                    Ref(Kind.NAME, normal_name(name.scalar)),
                    Relation.BACKED_BY,
                    answer.where(name),
                    group=groups.get(origin.text("Id"), ""),
                )


def _vpc_origin(answer: Answer, identity: str) -> Ref:
    return Ref(Kind.SERVICE, f"CloudFront VPC origin {answer.account} {identity}")


def _vpc_origins(answer: Answer) -> Iterator[Parsed]:
    for origin in maps(answer.body.get("VpcOriginList"), "Items"):
        identity, arn = value(origin, "Id"), value(origin, "OriginEndpointArn")
        if identity is not None and arn is not None and (found := arn_ref(arn.scalar)) is not None:
            yield Dependency(_vpc_origin(answer, identity.scalar), found, Relation.BACKED_BY, answer.where(arn))


def _data_sources(answer: Answer) -> Iterator[Parsed]:
    for source in maps(answer.body, "dataSources"):
        arn = value(source, "dataSourceArn")
        service = arn_ref(arn.scalar) if arn is not None else None
        if service is None:
            continue
        for kind in ("httpConfig", "elasticsearchConfig", "openSearchServiceConfig"):
            yield from reach(answer, service, value(source, kind, "endpoint"))
        function = value(source, "lambdaConfig", "lambdaFunctionArn")
        if function is not None and (found := arn_ref(function.scalar)) is not None:
            yield Dependency(service, found, Relation.CALLS, answer.where(function))


def _parameter_values(answer: Answer) -> Iterator[Parsed]:
    for parameter in maps(answer.body, "Parameters"):
        name, written = value(parameter, "Name"), value(parameter, "Value")
        if name is None or written is None:
            continue
        is_url = "://" in written.scalar
        last = name.scalar.lower().rsplit("/", 1)[-1].replace("-", "_").rsplit("_", 1)[-1]
        is_place = is_url or _PLACE.fullmatch(written.scalar[:300].partition(",")[0]) is not None
        if not is_place and last not in _HOST_KEYS:
            continue
        service = Ref(Kind.SERVICE, own_arn(answer, "ssm", f"parameter/{name.scalar.lstrip('/')}"))
        sure = Confidence.HIGH if is_url else Confidence.MEDIUM
        places = written.scalar.split(",")[:50]
        for one in places:
            if (found := outside(one)) is not None:
                group = "values" if len(places) > 1 else ""
                where = answer.where(written)
                yield Dependency(service, found, Relation.CONNECTS, where, group=group, confidence=sure)


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


_OF_IAM: Final = "certificate of IAM"
_BY_ID: Final = "certificate by its id"
_PARSERS: Final = {
    "iam.ListServerCertificates": _server_certificates,
    "apigateway.GetDomainNames": _domains,
    "apigateway.GetResources": _resources,
    "apigateway.GetStages": _stages,
    "apigatewayv2.GetStages": _stages,
    "apigateway.GetVpcLinks": _vpc_links,
    "apigatewayv2.GetAuthorizers": _authorizers,
    "apigatewayv2.GetDomainNames": _domains,
    "apigatewayv2.GetIntegrations": _integrations,
    "apigatewayv2.GetVpcLinks": _vpc_links,
    "appsync.ListDataSources": _data_sources,
    "cloudfront.ListDistributions": _distributions,
    "cloudfront.ListVpcOrigins": _vpc_origins,
    "glue.GetConnections": _glue,
    "lambda.GetFunctionConfiguration": _functions,
    "lambda.GetFunctionUrlConfig": _function_urls,
    "lambda.ListEventSourceMappings": _mappings,
    "lambda.ListFunctionUrlConfigs": _function_urls,
    "lambda.ListFunctions": _functions,
    "ssm.GetParameters": _parameter_values,
}
