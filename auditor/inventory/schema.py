"""The inventory's schema (version 1): what may stand in `inventory.yaml`, and what each key means.

The descriptions here are what an editor shows through the JSON Schema. Imports pydantic: import this module only where
an inventory is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import translate
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from auditor.inventory.entries import Entry, Text, checked, parsed, schema_of
from auditor.inventory.expansion import (
    ExpandedHost,
    check_addresses,
    check_name_pattern,
    expand_names,
    is_pattern,
    spread_addresses,
    spread_names,
)
from auditor.inventory.values import (
    Hours,
    WrongValueError,
    check_time_zone,
    parse_day,
    parse_duration,
    parse_hours,
    parse_time,
)
from auditor.inventory.yaml_lines import Node, lines_of
from auditor.model import Lifecycle, Where
from auditor.redaction import redact
from auditor.text import endpoint_ref, excerpt, is_hostname, normal_name, range_size

SCHEMA_TITLE: Final = "Inventory of an estate"


def _no_secret(value: str) -> None:
    if redact(value) != value:
        raise WrongValueError(
            "this holds a secret", "secrets never stand in the inventory: use `token_env` or `token_command`"
        )


def _url(value: str) -> str:
    url = value.strip()
    if "://" not in url or any(c.isspace() for c in url):
        raise WrongValueError("expected a URL", "write it with its scheme, as https://host.example.net/path")
    _no_secret(url)
    if endpoint_ref(url) is None:
        raise WrongValueError("this URL names no host", "write it as https://host.example.net/path")
    if "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise WrongValueError("this URL holds a user name", "remove it: use `token_env` or `token_command`")
    return url


def _dns_name(value: str) -> str:
    name = normal_name(value)
    if not is_hostname(name):
        raise WrongValueError("expected a DNS name", "write it as api.example.net or *.example.net")
    return name


def _domain(value: str) -> str:
    name = normal_name(value)
    if name.startswith("*.") or not is_hostname(name):
        raise WrongValueError("expected a domain", "write it as example.net, without wildcard and scheme")
    return name


def _target(value: str) -> str:
    """A host, a range of hosts, an address, host:port, or a URL."""
    bare = value.strip()
    if "://" in bare:
        return _url(bare)
    if any(c in bare for c in "[{") and not bare.startswith("[") and range_size(bare) != 1:
        return check_name_pattern(bare)
    _no_secret(bare)
    if not bare or any(c.isspace() for c in bare) or endpoint_ref(bare) is None:
        raise WrongValueError("expected a host, host:port or a URL", "write it as db-01.example.net:5432 or https://…")
    return bare if ":" in bare or "/" in bare else normal_name(bare)


def _host_pattern(value: str) -> str:
    bare = value.strip().lower()
    if is_pattern(bare):
        if is_hostname(bare.replace("*", "x").replace("?", "x")):
            return bare
        raise WrongValueError("expected a host, a range or a pattern", "write it as cert-*.example.net")
    if range_size(bare) == 1 and endpoint_ref(bare) is not None and not is_hostname(bare):
        return bare
    return check_name_pattern(bare)


def _cidr(value: str) -> str:
    try:
        return str(ip_network(value.strip()))
    except ValueError:
        pass
    try:
        whole = ip_network(value.strip(), strict=False)
    except ValueError:
        raise WrongValueError("expected a network", "write it as 10.20.0.0/16 or 2001:db8::/48") from None
    raise WrongValueError("this is an address inside a network", f"the network is {whole}")


def _path(value: str) -> str:
    if not value.startswith("/") and not (value[1:3] in (":\\", ":/") and value[0].isalpha()):
        raise WrongValueError("expected an absolute path", "write it as /etc/letsencrypt")
    return value if value == "/" else value.rstrip("/")


def _variable(value: str) -> str:
    if not (value.isascii() and value.isidentifier()):
        raise WrongValueError(
            "expected the name of an environment variable", "write its name, as GRAFANA_TOKEN, never the token"
        )
    return value


def _command_word(value: str) -> str:
    _no_secret(value)
    return value


def _repository(value: str) -> str:
    bare = value.strip().strip("/")
    if not re.fullmatch(r"[\w.-]{1,100}/[\w.-]{1,100}", bare, re.ASCII):
        raise WrongValueError("expected a repository", "write it as owner/name")
    return bare


def _code_path(value: str) -> str:
    bare = value.strip().strip("/")
    if not re.fullmatch(r"[\w.-]{1,255}(?:/[\w.-]{1,255}){0,20}", bare, re.ASCII):
        raise WrongValueError(
            "expected a path of a code host", "write it as in its URL, such as group/subgroup/project"
        )
    return bare


def _account(value: str) -> str:
    if not (value.isascii() and value.isdigit() and len(value) == 12):
        raise WrongValueError("expected an AWS account", 'write its twelve digits in quotes: "123456789012"')
    return value


def _role_arn(value: str) -> str:
    if not value.startswith("arn:aws") or ":iam::" not in value or ":role/" not in value:
        raise WrongValueError("expected the ARN of a role", "write it as arn:aws:iam::123456789012:role/auditor")
    return value


def _resolver(value: str) -> str:
    bare = value.strip()
    if "://" in bare or "/" in bare or endpoint_ref(bare) is None:
        raise WrongValueError("expected a DNS server", "write its name or address, with a port if it is not 53")
    return bare


def _rehearsed(value: str) -> datetime | None:
    return None if value == "never" else parse_time(value)


_DATE_SCHEMA = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?( ?[Zz]| ?[+-]\d{2}:\d{2})?)?$",
    "examples": ["2026-06-20", "2026-06-20T14:30:00Z"],
}
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^((\d+ *(min|w|d|h|m|s) *)+|[Pp]([\dT].*))$",
    "examples": ["45m", "3h", "1h30m", "2d", "PT1H30M"],
}

HostName = Annotated[StrictStr, AfterValidator(checked(check_name_pattern))]
DnsName = Annotated[StrictStr, AfterValidator(checked(_dns_name))]
Domain = Annotated[StrictStr, AfterValidator(checked(_domain))]
Addresses = Annotated[StrictStr, AfterValidator(checked(check_addresses))]
Target = Annotated[StrictStr, AfterValidator(checked(_target))]
HostPattern = Annotated[StrictStr, AfterValidator(checked(_host_pattern))]
Url = Annotated[StrictStr, AfterValidator(checked(_url))]
Cidr = Annotated[StrictStr, AfterValidator(checked(_cidr))]
AbsolutePath = Annotated[StrictStr, AfterValidator(checked(_path))]
Variable = Annotated[
    StrictStr,
    AfterValidator(checked(_variable)),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
]
CommandWord = Annotated[StrictStr, AfterValidator(checked(_command_word))]
Account = Annotated[
    StrictStr, AfterValidator(checked(_account)), WithJsonSchema({"type": "string", "pattern": r"^\d{12}$"})
]
RoleArn = Annotated[StrictStr, AfterValidator(checked(_role_arn))]
Repository = Annotated[StrictStr, AfterValidator(checked(_repository))]
CodePath = Annotated[StrictStr, AfterValidator(checked(_code_path))]
Resolver = Annotated[StrictStr, AfterValidator(checked(_resolver))]
Time = Annotated[datetime, parsed(parse_time, "a date or a time, such as 2026-06-20"), WithJsonSchema(_DATE_SCHEMA)]
Day = Annotated[
    date,
    parsed(parse_day, "a date, such as 2026-12-25"),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-12-25"]}),
]
Rehearsed = Annotated[
    datetime | None,
    parsed(_rehearsed, "a date, or `never`"),
    WithJsonSchema({"anyOf": [_DATE_SCHEMA, {"const": "never"}]}),
]
Duration = Annotated[int, parsed(parse_duration, "a duration, such as 45m or 3h"), WithJsonSchema(_DURATION_SCHEMA)]
WorkingHours = Annotated[
    Hours,
    parsed(parse_hours, "working hours, such as `Mon-Fri 09:00-17:00`"),
    WithJsonSchema({"type": "string", "examples": ["Mon-Fri 09:00-17:00", "24/7"]}),
]
TimeZone = Annotated[StrictStr, AfterValidator(checked(check_time_zone))]
AbsentArea: TypeAlias = Literal[
    "webhooks",
    "names",
    "monitoring",
    "renewal",
    "schedules",
    "traffic",
    "identity",
    "storage",
    "configuration",
    "logs",
]


class Network(Entry):
    """A network with its own scope of private addresses: 10.0.0.1 in two of them is two machines.

    In the files of a host it is the one in that host's own network. In zones and repositories both are candidates.
    """

    name: Text = Field(description="What hosts refer to it by, in their `network`.")
    cidr: Cidr = Field(description="Its addresses, as 10.20.0.0/16.")


class Host(Entry):
    """A machine, or a range of machines that are alike."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"lifecycle": {"const": "retiring"}}, "required": ["lifecycle"]},
                    "then": {"required": ["on"]},
                }
            ]
        }
    )

    name: HostName = Field(
        description="Full or short name. A range, api[001:340].example.net or api{001..340}.example.net, "
        "stands for each."
    )
    names: tuple[HostName, ...] = Field(
        default=(), description="Other names of this machine. Of a range: ranges with as many names."
    )
    addresses: tuple[Addresses, ...] = Field(
        default=(),
        description="Addresses, v4 or v6. Of a range of hosts: each item a range 10.20.8.1-10.20.9.84 with an address "
        "for every host, or all items together as many addresses as hosts, given out in order.",
    )
    lifecycle: Lifecycle = Field(
        default=Lifecycle.ACTIVE,
        description="active; read-only (still runs and answers, can't write); retiring (active until `on`); retired.",
    )
    since: Time | None = Field(default=None, description="Since when it is read-only or retired.")
    on: Time | None = Field(default=None, description="When it will be retired. Needed for lifecycle retiring.")
    successor: HostName | None = Field(
        default=None,
        description="The host that takes over, by a name that it has in `hosts`. Of a range: one host, or a range of "
        "equal size.",
    )
    owner: Text | None = Field(default=None, description="The team or person who answers for it.")
    site: Text | None = Field(default=None, description="Where it stands: a data centre, a region.")
    network: Text | None = Field(default=None, description="The network of its addresses, by its name in `networks`.")
    role: Text | None = Field(default=None, description="What it does, in one word.")
    roles: tuple[Text, ...] = Field(default=(), description="What it does, if that is several things.")
    read_only_paths: tuple[AbsolutePath, ...] = Field(
        default=(), description="The mounts that are read-only, where the rest of the machine can still write."
    )
    tags: tuple[Text, ...] = Field(default=(), description="Words of your own.")
    instance_id: Text | None = Field(
        default=None, description="The cloud's id of the machine, which tells it from a later one with the same name."
    )
    notes: Text | None = Field(default=None, description="Anything a reader should know.")

    _expand: Callable[[Host], Iterator[ExpandedHost]] | None = PrivateAttr(default=None)

    @property
    def size(self) -> int:
        """How many hosts it stands for."""
        return range_size(self.name)

    def expanded(self) -> list[ExpandedHost]:
        """Each host that it stands for. Only for an entry of an `Inventory`, which knows the other hosts."""
        return list(self._expand(self)) if self._expand else []


class _Source(Entry):
    name: Text | None = Field(default=None, description="What reports call it; otherwise its kind and address.")
    owner: Text | None = Field(default=None, description="Who can grant access to it.")
    notes: Text | None = Field(default=None, description="Anything a reader should know.")


class _TokenSource(_Source):
    token_env: Variable | None = Field(
        default=None, description="The environment variable that holds the token. The token itself never stands here."
    )
    token_command: tuple[CommandWord, ...] | None = Field(
        default=None, min_length=1, description="The command, as a list of words, that prints the token."
    )


class SshSource(_Source):
    """Hosts to collect from over SSH."""

    kind: Literal["ssh"] = Field(description="Hosts over SSH.")
    hosts: tuple[HostPattern, ...] = Field(
        default=("*",), description="Names, ranges or patterns with * of hosts. Default: every host of the inventory."
    )
    user: Text | None = Field(default=None, description="The user to log in as; otherwise what ssh_config says.")
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = Field(
        default=None, description="The port; otherwise what ssh_config says."
    )
    jump: Target | None = Field(default=None, description="The host to jump through.")
    sudo: StrictBool = Field(default=False, description="Whether `sudo -n` may be used to read what the user can't.")
    system: Literal["posix", "windows"] = Field(
        default="posix", description="`windows` for hosts whose scheduled tasks are asked for with PowerShell."
    )


class AwsSource(_Source):
    """An AWS account to collect from, read-only."""

    kind: Literal["aws"] = Field(description="An AWS account.")
    account: Account | None = Field(default=None, description="The account's twelve digits, in quotes.")
    profile: Text | None = Field(default=None, description="The profile of the AWS configuration to use.")
    role_arn: RoleArn | None = Field(default=None, description="The role to assume.")
    regions: tuple[Text, ...] = Field(default=("all",), min_length=1, description="Regions; `all` for every one.")


class PrometheusSource(_TokenSource):
    """A Prometheus server: its targets, rules and configuration."""

    kind: Literal["prometheus"] = Field(description="A Prometheus server.")
    url: Url = Field(description="Its URL.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class AlertmanagerSource(_TokenSource):
    """An Alertmanager: its configuration and silences."""

    kind: Literal["alertmanager"] = Field(description="An Alertmanager.")
    url: Url = Field(description="Its URL.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class GrafanaSource(_TokenSource):
    """A Grafana server: its alert rules, contact points, notification policies, data sources and dashboards."""

    kind: Literal["grafana"] = Field(description="A Grafana server.")
    url: Url = Field(description="Its URL.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class Icinga2Source(_TokenSource):
    """An Icinga 2 server, by its API: hosts, services, groups, endpoints, zones and notifications."""

    kind: Literal["icinga2"] = Field(description="An Icinga 2 server.")
    url: Url = Field(description="Its API's URL, as https://icinga.example.net:5665.")
    user: Text = Field(description="The API user; its password comes from `token_env` or `token_command`.")
    ca: Text | None = Field(
        default=None, description="A file with the CA certificates to trust; often Icinga's own CA."
    )


class KubernetesSource(_TokenSource):
    """A Kubernetes cluster, by its API."""

    kind: Literal["kubernetes"] = Field(description="A Kubernetes cluster.")
    kubeconfig: Text | None = Field(
        default=None,
        description="The kubeconfig file; without it and without `url`, the one of $KUBECONFIG or ~/.kube/config.",
    )
    context: Text | None = Field(default=None, description="The context of the kubeconfig; otherwise its current one.")
    url: Url | None = Field(default=None, description="The API server's URL, instead of a kubeconfig.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class GithubSource(_TokenSource):
    """Webhooks of GitHub and their last deliveries. Without organizations and repositories, all that the token sees."""

    kind: Literal["github"] = Field(description="GitHub, or GitHub Enterprise Server.")
    url: Url = Field(
        default="https://api.github.com",
        description="Its API's URL; that of GitHub Enterprise Server is https://HOST/api/v3.",
    )
    organizations: tuple[CodePath, ...] = Field(
        default=(), description="Organizations: their own webhooks, and those of all their repositories."
    )
    repositories: tuple[Repository, ...] = Field(default=(), description="Single repositories, as owner/name.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class GitlabSource(_TokenSource):
    """Webhooks of GitLab and their last deliveries. Without groups and projects, all that the token is a member of."""

    kind: Literal["gitlab"] = Field(description="A GitLab.")
    url: Url = Field(default="https://gitlab.com", description="Its URL.")
    groups: tuple[CodePath, ...] = Field(
        default=(), description="Groups: their webhooks, and those of all subgroups and projects below."
    )
    projects: tuple[CodePath, ...] = Field(default=(), description="Single projects, as group/project.")
    group_webhooks: StrictBool = Field(
        default=True, description="Whether groups can have webhooks: they come with Premium and Ultimate."
    )
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class HealthchecksSource(_TokenSource):
    """A project of Healthchecks: its checks, and where their pings come from."""

    kind: Literal["healthchecks"] = Field(description="Healthchecks.io, or a Healthchecks of one's own.")
    url: Url = Field(default="https://healthchecks.io", description="Its URL.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class NetboxSource(_TokenSource):
    """A NetBox: the status, names and addresses of devices and virtual machines."""

    kind: Literal["netbox"] = Field(description="A NetBox.")
    url: Url = Field(description="Its URL.")
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust.")


class DnsSource(_TokenSource):
    """A DNS server: zones to transfer, and names to look up."""

    kind: Literal["dns"] = Field(description="A DNS server.")
    server: Resolver = Field(description="Its name or address, with a port if it is not 53.")
    zones: tuple[DnsName, ...] = Field(default=(), description="Zones to transfer from it.")
    tsig_name: Text | None = Field(
        default=None, description="The name of the TSIG key; the key comes from `token_env` or `token_command`."
    )
    ca: Text | None = Field(default=None, description="A file with the CA certificates to trust, for DNS over TLS.")


class TlsSource(_Source):
    """Endpoints that serve certificates: what each of them serves now."""

    kind: Literal["tls"] = Field(description="Endpoints that speak TLS.")
    endpoints: tuple[Target, ...] = Field(
        default=(),
        description="Hosts, host:port or URLs; smtp://, imap://, ldap:// and postgres:// begin with STARTTLS.",
    )
    discover: StrictBool = Field(
        default=False,
        description="Whether to probe, too, the names of services and the TLS URLs below our domains in the estate.",
    )


class TreeSource(_Source):
    """A directory of files."""

    kind: Literal["tree"] = Field(description="A directory of files.")
    path: Text = Field(description="The directory, relative to the inventory's or absolute.")


class GitSource(_Source):
    """A revision of a git repository."""

    kind: Literal["git"] = Field(description="A git repository.")
    path: Text = Field(description="The repository's directory, relative to the inventory's or absolute.")
    rev: Text = Field(default="HEAD", description="The revision: a branch, tag or commit.")


Source = Annotated[
    SshSource
    | AwsSource
    | PrometheusSource
    | AlertmanagerSource
    | GrafanaSource
    | Icinga2Source
    | KubernetesSource
    | GithubSource
    | GitlabSource
    | HealthchecksSource
    | NetboxSource
    | DnsSource
    | TlsSource
    | TreeSource
    | GitSource,
    Field(discriminator="kind"),
]


class LifecycleTag(Entry):
    """A tag of cloud instances that says what is to become of them. Case and `_` or blanks for `-` make no difference.

    Without words of its own, a key has these: `retired` and `decommissioned`; `retiring` and `decommissioning`;
    `read-only` and `readonly`; `active`. A value that none of the words is says nothing.
    """

    key: Text = Field(description="The tag's key, as `Lifecycle`.")
    accounts: tuple[Account, ...] = Field(
        default=(), description="The accounts in which it has this meaning; without this key, all."
    )
    active: tuple[Text, ...] = Field(default=(), description="Values that mean `active`.")
    read_only: tuple[Text, ...] = Field(default=(), description="Values that mean `read-only`.")
    retiring: tuple[Text, ...] = Field(default=(), description="Values that mean `retiring`.")
    retired: tuple[Text, ...] = Field(default=(), description="Values that mean `retired`.")

    @property
    def words(self) -> dict[Lifecycle, tuple[str, ...]]:
        """What its values mean; empty if no values are given."""
        given = {
            Lifecycle.ACTIVE: self.active,
            Lifecycle.READ_ONLY: self.read_only,
            Lifecycle.RETIRING: self.retiring,
            Lifecycle.RETIRED: self.retired,
        }
        return {lifecycle: words for lifecycle, words in given.items() if words}


class Absent(Entry):
    """A person's statement that there is nothing of an area, which counts as looked at, with the person's name."""

    area: AbsentArea = Field(description="The area of the checklist that there is nothing of.")
    host: HostName | None = Field(default=None, description="The host it holds for; without it, the whole estate.")
    reason: Text = Field(description="Why there is nothing, or how that was found out.")
    by: Text = Field(description="Who says so.")
    on: Time = Field(description="When that was stated.")
    until: Time | None = Field(default=None, description="When the statement ends, and becomes an error.")


class NotCollected(Entry):
    """Hosts that nobody looks into, or not into all of, and why that is all right: an appliance, a switch, a host of
    another team, hosts of which crontabs alone are exported.

    Without such a statement each host that stays must have been looked into, each part of it: what goes may be needed
    there. What was captured of a host counts all the same.
    """

    hosts: tuple[HostPattern, ...] = Field(
        min_length=1, description="Names, ranges or patterns with * of hosts of this inventory."
    )
    reason: Text = Field(description="Why nobody has to look there, or how it is known what they need.")
    by: Text = Field(description="Who says so.")
    on: Time = Field(description="When that was stated.")
    until: Time | None = Field(
        default=None, description="When the statement ends: from then on these hosts must have been looked at."
    )

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return self.until is None or now <= self.until


class Webhook(Entry):
    """A call that something makes when something happens."""

    name: Text = Field(description="What people call it.")
    url: Url = Field(description="Where it delivers to, without secrets.")
    sender: Target | None = Field(default=None, alias="from", description="The host or service that sends it.")
    event: Text | None = Field(default=None, description="What it is sent for.")
    owner: Text | None = Field(default=None, description="Who answers for it.")


class Service(Entry):
    """Something that people use, by name, and what it needs."""

    name: Text = Field(description="What people call it.")
    names: tuple[DnsName, ...] = Field(default=(), description="The DNS names it is used under.")
    needs: tuple[Target, ...] = Field(default=(), description="Hosts, ranges, host:port or URLs that it needs.")
    certificate: Text | None = Field(default=None, description="Its certificate: a name in `certificates`, or a SAN.")
    owner: Text | None = Field(default=None, description="Who answers for it.")
    critical: StrictBool = Field(default=False, description="Whether its loss stops the business.")


class Balancer(Entry):
    """A load balancer or proxy with the hosts behind it."""

    name: DnsName = Field(description="Its DNS name.")
    addresses: tuple[Addresses, ...] = Field(default=(), description="Its addresses.")
    members: tuple[Target, ...] = Field(min_length=1, description="Hosts or ranges behind it: one of them is enough.")
    certificate: Text | None = Field(default=None, description="Its certificate: a name in `certificates`, or a SAN.")
    owner: Text | None = Field(default=None, description="Who answers for it.")


class Certificate(Entry):
    """A certificate, for what can't be read from files."""

    name: Text = Field(description="What services and procedures refer to it by.")
    sans: tuple[DnsName, ...] = Field(default=(), description="The names it is valid for.")
    deployed_to: tuple[Target, ...] = Field(default=(), description="Hosts or ranges that serve it.")
    not_after: Time | None = Field(default=None, description="When it expires.")
    lineage: Text | None = Field(default=None, description="The ACME client's name for it, as `certbot:eventide.net`.")
    path: AbsolutePath | None = Field(default=None, description="Where its file is, on the hosts that serve it.")


class Watch(Entry):
    """An alert or a probe that can't be collected."""

    name: Text = Field(description="What people call it.")
    watches: tuple[Target, ...] = Field(min_length=1, description="Hosts or URLs that it looks at.")
    stage: Literal["attempted", "succeeded", "deployed", "expiry"] | None = Field(
        default=None, description="The stage of a renewal that it notices the failure of."
    )
    certificate: Text | None = Field(default=None, description="The certificate whose renewal it watches.")
    runs_on: Target | None = Field(default=None, description="The host it runs on.")
    notifies: Text | None = Field(default=None, description="Who or what is told: a receiver, a channel.")
    owner: Text | None = Field(default=None, description="Who answers for it.")


class Approver(Entry):
    """Someone who signs off a step of a procedure."""

    name: Text = Field(description="The person or team, as the steps' `approvals` name them.")
    role: Text | None = Field(default=None, description="In which role they approve.")
    hours: WorkingHours | None = Field(default=None, description="When they can be reached; without it, at any time.")
    time_zone: TimeZone | None = Field(default=None, description="The IANA time zone of `hours`; without it, UTC.")
    holidays: tuple[Day, ...] = Field(default=(), description="Days of `time_zone` on which there are no `hours`.")


class Step(Entry):
    """One step of a procedure. Steps follow one another."""

    name: Text = Field(description="What is done.")
    duration: Duration = Field(description="How long it takes: 45m, 3h, 1h30m or ISO 8601.")
    approvals: tuple[Text, ...] = Field(default=(), description="Who must approve it: names or roles of `approvers`.")
    mode: Literal["sequence", "parallel"] = Field(
        default="sequence", description="Whether its approvals are asked for one after the other, or all at once."
    )
    hours: WorkingHours | None = Field(default=None, description="When it can be done; without it, at any time.")
    time_zone: TimeZone | None = Field(default=None, description="The IANA time zone of `hours`; without it, UTC.")
    holidays: tuple[Day, ...] = Field(default=(), description="Days of `time_zone` on which there are no `hours`.")
    key_store: Text | None = Field(default=None, description="The key it needs, by its name in `keys`.")
    site: Text | None = Field(default=None, description="The site someone must be at.")
    runs_on: Target | None = Field(default=None, description="The host it runs on.")
    logs_in_through: Target | None = Field(default=None, description="The host or service one logs in through.")


class ProcedureDocument(Entry):
    """Where a procedure is written down."""

    url: Url = Field(description="Where it is.")
    last_reviewed: Time | None = Field(default=None, description="When someone last checked it against reality.")


class Procedure(Entry):
    """How people get a certificate or a key back, step by step."""

    name: Text = Field(description="What people call it.")
    kind: Literal["renewal", "emergency-reissue", "key-recovery", "revocation", "csr-signing"] = Field(
        description="What it is for."
    )
    certificate: Text | None = Field(default=None, description="The certificate it is for; without it, for all.")
    steps: tuple[Step, ...] = Field(min_length=1, description="What is done, in order.")
    approvers: tuple[Approver, ...] = Field(default=(), description="Who approves.")
    pre_authorized: StrictBool = Field(
        default=False, description="Whether an emergency may begin without the approvals, which then follow."
    )
    last_rehearsed: Rehearsed = Field(
        default=None, description="When it was last carried out as an exercise, or `never` (as without this key)."
    )
    document: ProcedureDocument | None = Field(default=None, description="Where it is written down.")
    owner: Text | None = Field(default=None, description="Who answers for it.")


class Escrow(Entry):
    """An agent who keeps a copy of a key."""

    agent: Text = Field(description="Who keeps it.")
    terms: Text | None = Field(default=None, description="Under which conditions it is handed out.")
    duration: Duration | None = Field(default=None, description="How long that takes.")


class Key(Entry):
    """A private key, or the store that holds it; never the key itself."""

    name: Text = Field(description="What steps refer to it by.")
    store: Literal["hsm", "file", "kms", "paper"] = Field(description="What holds it.")
    host: Target | None = Field(default=None, description="The host that holds it.")
    site: Text | None = Field(default=None, description="Where that is.")
    backup_host: Target | None = Field(default=None, description="The host that holds its backup.")
    backup_site: Text | None = Field(default=None, description="Where its backup is.")
    escrow: Escrow | None = Field(default=None, description="The agent who keeps a copy.")
    custodians: tuple[Text, ...] = Field(default=(), description="Who has access to it.")
    certificates: tuple[Text, ...] = Field(default=(), description="The certificates it belongs to.")


class Authority(Entry):
    """A certificate authority, and how to reach its people."""

    name: Text = Field(description="The CA.")
    contact: Text | None = Field(default=None, description="How to reach it: a URL, an e-mail address, a number.")
    hours: WorkingHours | None = Field(default=None, description="When it can be reached; without it, at any time.")
    time_zone: TimeZone | None = Field(default=None, description="The IANA time zone of `hours`; without it, UTC.")
    holidays: tuple[Day, ...] = Field(default=(), description="Days of `time_zone` on which there are no `hours`.")
    emergency: Text | None = Field(default=None, description="How to reach it outside those hours.")


class AreaOwner(Entry):
    """Who signs off an area of the checklist."""

    area: Text = Field(description="The area's id in the checklist's profile, as renewal.")
    owner: Text = Field(description="The team or role that answers for it.")
    people: tuple[Text, ...] = Field(
        default=(), description="Who may sign for them, as `--by` names them; without this key, anybody."
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """The file an inventory was read from."""

    path: str
    text: tuple[str, ...]
    root: Node


class Inventory(Entry):
    """What is known of an estate beforehand: its hosts, where to look, and what no machine can tell."""

    version: Literal[1] = Field(description="The version of this schema: 1.")
    name: Text | None = Field(default=None, description="What reports call the estate.")
    description: Text | None = Field(default=None, description="What the estate is.")
    owner: Text | None = Field(default=None, description="Who answers for it, where nothing nearer says so.")
    domains: tuple[Domain, ...] = Field(
        default=(), description="Our own domains: a name below them that resolves to nothing is dangling."
    )
    networks: tuple[Network, ...] = Field(default=(), description="Scopes of private addresses.")
    collected_at: Time | None = Field(default=None, description="When the files beside the inventory were collected.")
    area_owners: tuple[AreaOwner, ...] = Field(default=(), description="Who signs off the areas of a checklist.")
    hosts: tuple[Host, ...] = Field(default=(), description="The machines, with what is to become of them.")
    sources: tuple[Source, ...] = Field(default=(), description="What to collect from.")
    lifecycle_tags: tuple[LifecycleTag, ...] | None = Field(
        default=None,
        description="Tags of cloud instances that say what is to become of them, the first that speaks counts; without "
        "this key `lifecycle` and `auditor:lifecycle`, with `[]` none.",
    )
    absent: tuple[Absent, ...] = Field(default=(), description="Areas of which a person says that there is nothing.")
    not_collected: tuple[NotCollected, ...] = Field(
        default=(), description="Hosts that nobody looks into, or not into all of, and why that is all right."
    )
    webhooks: tuple[Webhook, ...] = Field(default=(), description="Webhooks that can't be collected.")
    services: tuple[Service, ...] = Field(default=(), description="What people use, and what it needs.")
    balancers: tuple[Balancer, ...] = Field(default=(), description="Load balancers that can't be collected.")
    certificates: tuple[Certificate, ...] = Field(default=(), description="Certificates that can't be collected.")
    watches: tuple[Watch, ...] = Field(default=(), description="Alerts and probes that can't be collected.")
    procedures: tuple[Procedure, ...] = Field(default=(), description="How people get a certificate or a key back.")
    keys: tuple[Key, ...] = Field(default=(), description="Where private keys are kept; never the keys themselves.")
    authorities: tuple[Authority, ...] = Field(default=(), description="Certificate authorities and their contacts.")

    _origin: Origin | None = PrivateAttr(default=None)
    _expanded: list[ExpandedHost] | None = PrivateAttr(default=None)
    _by_name: dict[str, list[int]] | None = PrivateAttr(default=None)
    _lines: Mapping[str, int] | None = PrivateAttr(default=None)
    _flat: list[str] | None = PrivateAttr(default=None)
    _ranges: list[tuple[str, IPv4Network | IPv6Network]] | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Gives each host the way to its siblings."""
        super().model_post_init(context)
        for host in self.hosts:
            host._expand = self._expand

    @property
    def path(self) -> str:
        """The file it was read from, as it was given; empty if from none."""
        return self._origin.path if self._origin else ""

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each value by its path, such as `hosts[3]` or `hosts[3].addresses[0]`."""
        if self._lines is None:
            self._lines = dict(lines_of(self._origin.root)) if self._origin else {}
        return self._lines

    def where(self, line: int) -> Where:
        """A line of the inventory as evidence."""
        text = self._origin.text if self._origin else ()
        return Where(line, excerpt(text[line - 1]) if 0 < line <= len(text) else "")

    def expanded(self) -> list[ExpandedHost]:
        """Every host, ranges written out, in the order of the file. Successors are full names of declared hosts."""
        if self._expanded is None:
            self._expanded = [host for entry in self.hosts for host in self._expand(entry)]
        return self._expanded

    def find(self, name: str) -> list[ExpandedHost]:
        """The hosts that a name may mean: by name or alias; else a short name completed with the domains; else the
        first label of a full name. More than one if it is ambiguous."""
        hosts = self.expanded()
        return [hosts[at] for at in self._find(name)]

    def matching(self, pattern: str) -> list[str]:
        """The names of the hosts that a name, a range or a pattern with * means; none if a name is ambiguous."""
        if is_pattern(pattern):
            wanted = re.compile(translate(pattern))
            return [host.name for host in self.expanded() if any(map(wanted.match, (host.name, *host.names)))]
        found = (self.find(name) for name in expand_names(pattern))
        return [several[0].name for several in found if len(several) == 1]

    def network_of(self, addresses: Sequence[str]) -> str:
        """The only declared network that holds all of these addresses; empty if none or several do."""
        if not addresses or not self.networks:
            return ""
        if self._ranges is None:
            self._ranges = [(network.name, ip_network(network.cidr)) for network in self.networks]
        parsed = [ip_address(address) for address in addresses]
        fitting = {name for name, whole in self._ranges if all(address in whole for address in parsed)}
        return fitting.pop() if len(fitting) == 1 else ""

    def _find(self, name: str) -> list[int]:
        if self._by_name is None:
            index: dict[str, list[int]] = {}
            shorts: dict[str, list[int]] = {}
            at = 0
            for entry in self.hosts:
                names = expand_names(entry.name)
                aliases = spread_names(entry.names, len(names)) or [()] * len(names)
                for own, others in zip(names, aliases, strict=True):
                    for text in dict.fromkeys((own, *others)):
                        index.setdefault(text, []).append(at)
                        if "." in text:
                            short = shorts.setdefault(f"{text.split('.', 1)[0]}\0", [])
                            if at not in short[-1:]:
                                short.append(at)
                    at += 1
            self._by_name = index | shorts
        text = normal_name(name)
        if text in self._by_name:
            return self._by_name[text]
        if "." not in text:
            for domain in self.domains:
                if found := self._by_name.get(f"{text}.{domain}"):
                    return found
            return self._by_name.get(f"{text}\0", [])
        for domain in self.domains:
            if text.endswith("." + domain) and (found := self._by_name.get(text[: -len(domain) - 1])):
                return found
        return []

    def _expand(self, entry: Host) -> Iterator[ExpandedHost]:
        names = expand_names(entry.name)
        count = len(names)
        aliases = spread_names(entry.names, count) or [()] * count
        addresses = spread_addresses(entry.addresses, count) or [()] * count
        successors = expand_names(entry.successor) if entry.successor else ()
        if self._flat is None:
            self._flat = [name for host in self.hosts for name in expand_names(host.name)]
        roles = tuple(dict.fromkeys(([entry.role] if entry.role else []) + list(entry.roles)))
        for at, name in enumerate(names):
            successor = ""
            if successors:
                written = successors[at] if len(successors) == count else successors[0]
                found = self._find(written)
                successor = self._flat[found[0]] if len(found) == 1 else written
            yield ExpandedHost(
                name=name,
                names=tuple(alias for alias in aliases[at] if alias != name),
                addresses=tuple(dict.fromkeys(addresses[at])),
                lifecycle=entry.lifecycle,
                since=entry.since,
                on=entry.on,
                successor=successor,
                owner=entry.owner or self.owner or "",
                site=entry.site or "",
                network=entry.network or self.network_of(addresses[at]),
                roles=roles,
                read_only_paths=entry.read_only_paths,
                tags=entry.tags,
                instance_id=entry.instance_id or "",
                notes=entry.notes or "",
                declared_as=entry.name,
                line=entry.line,
                lines=entry.key_lines,
            )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an inventory, with a title and a description on every property."""
    return schema_of(Inventory, SCHEMA_TITLE)
