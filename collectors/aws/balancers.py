"""Load balancers of AWS: application, network, gateway (elbv2, version 2015-12-01) and classic (elb, 2012-06-01)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    YamlNode,
    excerpt,
    host_ref,
    normal_name,
)
from collectors.aws.common import (
    Answer,
    arn_ref,
    instance_ref,
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


class AwsBalancersCollector(Collector):
    """What stands behind a load balancer's name: listeners and rules to target groups, and those to their targets.

    Targets of one group are alternatives. So are the target groups of one action that share its traffic by weight, and
    the listeners and rules of one balancer, which goes on serving the others when one is lost.

    Reads
    -----
    `elbv2.DescribeLoadBalancers`, `DescribeListeners`, `DescribeListenerCertificates`, `DescribeRules`,
    `DescribeTargetGroups`, `DescribeTargetHealth`, `elb.DescribeLoadBalancers`,
    `autoscaling.DescribeAutoScalingGroups`, `DescribeScheduledActions` and `servicediscovery.ListInstances` under
    `aws/<account>/<region>/`.

    Yields
    ------
    The load balancer behind its DNS name, its target groups, their instances, addresses and functions, the
    certificates that it serves, and hosts that a rule redirects to. Auto Scaling groups with their instances as
    alternatives, their sizes, and their target groups, for which they stand where no targets were seen; a job for each
    scheduled change of their size. The instances of a service of Cloud Map.

    Can't see
    ---------
    Whether a target that is unhealthy now would take over: it counts as one of the alternatives, and the target group
    carries how many are. That an Auto Scaling group would replace a target is not taken into account. Instances of a
    warm pool.
    """

    name: ClassVar[str] = "aws_balancers"
    title: ClassVar[str] = "AWS load balancers, target groups, Auto Scaling groups and Cloud Map"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY, Relation.SERVES})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of these operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Load balancers, target groups and their targets."""
        return parsed(document, _PARSERS)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """An Auto Scaling group is behind its target groups: said where these did not tell their targets."""
        told = {one.value for one in fragments if one.kind == "targets told"}
        for one in fragments:
            if one.kind == "behind" and isinstance(one.value, tuple) and one.value[0] not in told:
                group, scaling = (Ref(Kind.SERVICE, text) for text in one.value)
                where = Where(one.where.line, one.where.excerpt, one.path, one.where.api)
                yield Dependency(group, scaling, Relation.BACKED_BY, where, group="targets")


def _balancers(answer: Answer) -> Iterator[Parsed]:
    for balancer in maps(answer.body, "LoadBalancers"):
        arn, name = value(balancer, "LoadBalancerArn"), value(balancer, "DNSName")
        service = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or service is None:
            continue
        attributes = known(
            balancer=True,
            type=balancer.text("Type"),
            scheme=balancer.text("Scheme"),
            state=text(balancer, "State", "Code"),
        )
        yield Entity(service, answer.where(arn), attributes)
        if name is not None:
            yield Dependency(Ref(Kind.NAME, normal_name(name.scalar)), service, Relation.BACKED_BY, answer.where(name))


def _listeners(answer: Answer) -> Iterator[Parsed]:
    for listener in maps(answer.body, "Listeners"):
        balancer = arn_ref(listener.text("LoadBalancerArn") or answer.parameter("LoadBalancerArn"))
        if balancer is None:
            continue
        for certificate in maps(listener, "Certificates"):
            found = value(certificate, "CertificateArn")
            if found is not None and (ref := arn_ref(found.scalar)) is not None:
                yield Dependency(balancer, ref, Relation.SERVES, answer.where(found))
        arn = value(listener, "ListenerArn")
        if arn is not None:
            yield from _part(answer, balancer, arn, maps(listener, "DefaultActions"))


def _listener_certificates(answer: Answer) -> Iterator[Parsed]:
    balancer = _balancer_of(answer.parameter("ListenerArn"), ":listener/")
    for certificate in maps(answer.body, "Certificates") if balancer is not None else ():
        found = value(certificate, "CertificateArn")
        if balancer is not None and found is not None and (ref := arn_ref(found.scalar)) is not None:
            yield Dependency(balancer, ref, Relation.SERVES, answer.where(found))


def _rules(answer: Answer) -> Iterator[Parsed]:
    for rule in maps(answer.body, "Rules"):
        arn = value(rule, "RuleArn")
        balancer = _balancer_of(arn.scalar, ":listener-rule/") if arn is not None else None
        if arn is not None and balancer is not None and rule.text("IsDefault") != "true":
            only = [
                one.scalar
                for condition in maps(rule, "Conditions")
                for keys in (("Values",), ("PathPatternConfig", "Values"), ("HostHeaderConfig", "Values"))
                for one in scalars(condition, *keys)
            ]
            yield from _part(answer, balancer, arn, maps(rule, "Actions"), tuple(dict.fromkeys(only)))


def _balancer_of(arn: str, kind: str) -> Ref | None:
    """The load balancer of a listener or rule: `…:listener-rule/app/web/<id>/<listener>/<rule>`."""
    head, separator, rest = arn.partition(kind)
    parts = rest.split("/")
    if not separator or len(parts) < 3:
        return None
    return arn_ref(f"{head}:loadbalancer/{'/'.join(parts[:3])}")


def _part(
    answer: Answer, balancer: Ref, arn: YamlNode, actions: tuple[YamlNode, ...], only: tuple[str, ...] = ()
) -> Iterator[Parsed]:
    """What becomes of a part of the traffic: of a listener, or of the requests of a rule.

    Parts are alternatives to the balancer, which goes on serving the others when one is lost.
    """
    part = arn_ref(arn.scalar)
    if part is None:
        return
    facts = list(_actions(answer, part, actions))
    if facts:
        yield Entity(part, answer.where(arn), known(requests=tuple(excerpt(one) for one in only[:20])))
        yield Dependency(balancer, part, Relation.BACKED_BY, answer.where(arn), group="parts")
        yield from facts


def _actions(answer: Answer, part: Ref, actions: tuple[YamlNode, ...]) -> Iterator[Parsed]:
    for action in actions:
        targets = [one for group in maps(action, "ForwardConfig", "TargetGroups") if (one := _group(group)) is not None]
        if not targets and (single := value(action, "TargetGroupArn")) is not None:
            targets = [single]
        for target in targets:
            ref = arn_ref(target.scalar)
            if ref is not None:
                shared = "weights" if len(targets) > 1 else ""
                yield Dependency(part, ref, Relation.BACKED_BY, answer.where(target), group=shared)
        redirect = value(action, "RedirectConfig", "Host")
        if redirect is not None and "#{" not in redirect.scalar and (found := host_ref(redirect.scalar)) is not None:
            yield Dependency(part, found, Relation.CONNECTS, answer.where(redirect))
        for key in ("Issuer", "TokenEndpoint", "UserInfoEndpoint"):
            url = value(action, "AuthenticateOidcConfig", key)
            if url is not None and (endpoint := outside(url.scalar)) is not None:
                yield Dependency(part, endpoint, Relation.CONNECTS, answer.where(url))


def _group(group: YamlNode) -> YamlNode | None:
    """A target group that gets traffic: one of weight 0 gets none."""
    return None if group.text("Weight") == "0" else value(group, "TargetGroupArn")


def _target_groups(answer: Answer) -> Iterator[Parsed]:
    for group in maps(answer.body, "TargetGroups"):
        arn = value(group, "TargetGroupArn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if arn is not None and ref is not None:
            attributes = known(
                target_group=group.text("TargetGroupName"),
                health_check=f"{group.text('HealthCheckProtocol')} {group.text('HealthCheckPath')}".strip(),
            )
            yield Entity(ref, answer.where(arn), attributes)


def _target_health(answer: Answer) -> Iterator[Parsed]:
    group = arn_ref(answer.parameter("TargetGroupArn"))
    if group is None:
        return
    unhealthy: list[str] = []
    first: YamlNode | None = None
    for described in maps(answer.body, "TargetHealthDescriptions"):
        target = value(described, "Target", "Id")
        if target is None:
            continue
        first = first or target
        if text(described, "TargetHealth", "State") in ("unhealthy", "unused", "draining"):
            unhealthy.append(target.scalar)
        found = instance_ref(target.scalar) or arn_ref(target.scalar) or host_ref(target.scalar)
        if found is not None:
            yield Dependency(group, found, Relation.BACKED_BY, answer.where(target), group="targets")
    if first is not None:
        yield Fragment("targets told", group.text, answer.where(first))
    if first is not None and unhealthy:
        yield Entity(group, answer.where(first), {"unhealthy": tuple(dict.fromkeys(unhealthy))})


def _classic(answer: Answer) -> Iterator[Parsed]:
    for balancer in maps(answer.body, "LoadBalancerDescriptions"):
        label, name = value(balancer, "LoadBalancerName"), value(balancer, "DNSName")
        if label is None:
            continue
        service = Ref(Kind.SERVICE, own_arn(answer, "elasticloadbalancing", f"loadbalancer/{label.scalar}"))
        yield Entity(service, answer.where(label), known(balancer=True, type="classic", scheme=balancer.text("Scheme")))
        if name is not None:
            yield Dependency(Ref(Kind.NAME, normal_name(name.scalar)), service, Relation.BACKED_BY, answer.where(name))
        for listener in maps(balancer, "ListenerDescriptions"):
            certificate = value(listener, "Listener", "SSLCertificateId")
            if certificate is not None and (ref := arn_ref(certificate.scalar)) is not None:
                yield Dependency(service, ref, Relation.SERVES, answer.where(certificate))
        for instance in maps(balancer, "Instances"):
            target = value(instance, "InstanceId")
            found = instance_ref(target.scalar) if target is not None else None
            if target is not None and found is not None:
                yield Dependency(service, found, Relation.BACKED_BY, answer.where(target), group="targets")


def _scaling_groups(answer: Answer) -> Iterator[Parsed]:
    for group in maps(answer.body, "AutoScalingGroups"):
        arn = value(group, "AutoScalingGroupARN")
        scaling = arn_ref(arn.scalar) if arn is not None else None
        if arn is None or scaling is None:
            continue
        targets = {one.scalar: one for one in scalars(group, "TargetGroupARNs")}
        for source in maps(group, "TrafficSources"):
            identifier = value(source, "Identifier")
            if identifier is not None and source.text("Type") == "elbv2":
                targets.setdefault(identifier.scalar, identifier)
        attributes = known(
            program="Auto Scaling",
            name=group.text("AutoScalingGroupName"),
            minimum=_number(group, "MinSize"),
            maximum=_number(group, "MaxSize"),
            desired=_number(group, "DesiredCapacity"),
            suspended=tuple(excerpt(one.text("ProcessName")) for one in maps(group, "SuspendedProcesses")),
            target_groups=tuple(targets),
        )
        yield Entity(scaling, answer.where(arn), attributes)
        for target, written in targets.items():
            if (behind := arn_ref(target)) is not None:
                yield Fragment("behind", (behind.text, scaling.text), answer.where(written))
        for instance in maps(group, "Instances"):
            identity = value(instance, "InstanceId")
            found = instance_ref(identity.scalar) if identity is not None else None
            if identity is not None and found is not None and instance.text("LifecycleState") in _SERVING:
                yield Dependency(scaling, found, Relation.BACKED_BY, answer.where(identity), group="instances")


def _number(node: YamlNode, key: str) -> int | None:
    written = node.text(key)
    return int(written) if written.isdecimal() and len(written) < 10 else None


def _scheduled(answer: Answer) -> Iterator[Parsed]:
    for action in maps(answer.body, "ScheduledUpdateGroupActions"):
        arn, name = value(action, "ScheduledActionARN"), value(action, "AutoScalingGroupName")
        if arn is None or name is None:
            continue
        job = Ref(Kind.JOB, arn.scalar)
        attributes = known(
            program="Auto Scaling",
            name=action.text("ScheduledActionName"),
            schedule=action.text("Recurrence") or action.text("StartTime"),
            time_zone=action.text("TimeZone"),
            minimum=_number(action, "MinSize"),
            maximum=_number(action, "MaxSize"),
            desired=_number(action, "DesiredCapacity"),
        )
        yield Entity(job, answer.where(arn), attributes)
        scaling = Ref(Kind.SERVICE, own_arn(answer, "autoscaling", f"autoScalingGroup:{name.scalar}"))
        yield Dependency(job, scaling, Relation.SELECTS, answer.where(name))


def _registered(answer: Answer) -> Iterator[Parsed]:
    identity = answer.parameter("ServiceId")
    service = Ref(Kind.SERVICE, own_arn(answer, "servicediscovery", f"service/{identity}"))
    for instance in maps(answer.body, "Instances") if identity else ():
        for key in ("AWS_EC2_INSTANCE_ID", "AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_CNAME"):
            target = value(instance, "Attributes", key)
            found = (instance_ref(target.scalar) or host_ref(target.scalar)) if target is not None else None
            if target is not None and found is not None:
                yield Dependency(service, found, Relation.BACKED_BY, answer.where(target), group="instances")
                break


_SERVING: Final = frozenset({"", "InService", "Pending", "Pending:Wait", "Pending:Proceed"})
"""States of an instance of a group in which it serves, or soon will. In standby it does not."""

_PARSERS: Final = {
    "autoscaling.DescribeAutoScalingGroups": _scaling_groups,
    "autoscaling.DescribeScheduledActions": _scheduled,
    "elb.DescribeLoadBalancers": _classic,
    "elbv2.DescribeListenerCertificates": _listener_certificates,
    "elbv2.DescribeListeners": _listeners,
    "elbv2.DescribeLoadBalancers": _balancers,
    "elbv2.DescribeRules": _rules,
    "elbv2.DescribeTargetGroups": _target_groups,
    "elbv2.DescribeTargetHealth": _target_health,
    "servicediscovery.ListInstances": _registered,
}
