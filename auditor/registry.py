"""Finds collectors and rules by name: built-ins in explicit tables, third-party ones by entry point.

Both come through the same door. Nothing here imports `collectors` or `rules` as code: a name in a table is text until
it is loaded. What does not load is a `Failure` in the report, never a crash and never silent.

A wheel ships the two packages inside `auditor/_bundled`, because `rules` and `collectors` are other projects' names on
the package index. They go to the front of the module search path when something is loaded, and not before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.machinery import PathFinder
from inspect import isabstract
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from auditor.api import Collector, Rule
from auditor.errors import PluginError
from auditor.model import Failure

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COLLECTOR_GROUP: Final = "auditor.collectors"
"""Entry-point group of third-party collectors; the entry point's name is the collector's."""

RULE_GROUP: Final = "auditor.rules"
"""Entry-point group of third-party rules; the entry point's name is the rule's id."""

COLLECTORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acme_sh": "collectors.acme.acme_sh:AcmeShCollector",
        "allow_lists": "collectors.services.allow_lists:AllowListsCollector",
        "anacron": "collectors.anacron:AnacronCollector",
        "ansible_inventory": "collectors.ansible_inventory:AnsibleInventoryCollector",
        "ansible_tasks": "collectors.infrastructure.ansible_tasks:AnsibleTasksCollector",
        "apache": "collectors.traffic.apache:ApacheCollector",
        "at_jobs": "collectors.schedulers.at_jobs:AtJobsCollector",
        "aws_balancers": "collectors.aws.balancers:AwsBalancersCollector",
        "aws_certificates": "collectors.aws.certificates:AwsCertificatesCollector",
        "aws_data": "collectors.aws.data:AwsDataCollector",
        "aws_ec2": "collectors.aws.ec2:Ec2Collector",
        "aws_events": "collectors.aws.events:AwsEventsCollector",
        "aws_monitoring": "collectors.aws.monitoring:AwsMonitoringCollector",
        "aws_route53": "collectors.aws.route53:Route53Collector",
        "aws_services": "collectors.aws.services:AwsServicesCollector",
        "backup_servers": "collectors.services.backup_servers:BackupServersCollector",
        "backups": "collectors.services.backups:BackupsCollector",
        "caddy": "collectors.acme.caddy:CaddyCollector",
        "cert_manager": "collectors.acme.cert_manager:CertManagerCollector",
        "certbot": "collectors.certbot:CertbotCollector",
        "certmonger": "collectors.acme.certmonger:CertmongerCollector",
        "cloudformation": "collectors.infrastructure.cloudformation:CloudFormationCollector",
        "collectd": "collectors.collectd:CollectdCollector",
        "compose": "collectors.infrastructure.compose:ComposeCollector",
        "connections": "collectors.connections:ConnectionsCollector",
        "crontab": "collectors.crontab:CrontabCollector",
        "databases": "collectors.services.databases:DatabasesCollector",
        "dehydrated": "collectors.acme.dehydrated:DehydratedCollector",
        "dhcp": "collectors.services.dhcp:DhcpCollector",
        "directory_services": "collectors.services.directory_services:DirectoryServicesCollector",
        "dns_as_code": "collectors.dns_as_code:DnsAsCodeCollector",
        "dns_lookups": "collectors.dns_lookups:DnsLookupsCollector",
        "envoy": "collectors.traffic.envoy:EnvoyCollector",
        "fcron": "collectors.schedulers.fcron:FcronCollector",
        "getssl": "collectors.acme.getssl:GetsslCollector",
        "github_actions": "collectors.schedulers.github_actions:GithubActionsCollector",
        "github_webhooks": "collectors.github_webhooks:GithubWebhooksCollector",
        "gitlab_ci": "collectors.schedulers.gitlab_ci:GitlabCiCollector",
        "grafana_dashboards": "collectors.prometheus.dashboards:GrafanaDashboardsCollector",
        "haproxy": "collectors.traffic.haproxy:HaproxyCollector",
        "healthchecks": "collectors.healthchecks:HealthchecksCollector",
        "host_state": "collectors.host_state:HostStateCollector",
        "hosts_file": "collectors.hosts_file:HostsFileCollector",
        "icinga2": "collectors.icinga2:Icinga2Collector",
        "immutable": "collectors.immutable:ImmutableCollector",
        "jenkins": "collectors.schedulers.jenkins:JenkinsCollector",
        "keepalived": "collectors.traffic.keepalived:KeepalivedCollector",
        "key_pins": "collectors.key_pins:KeyPinsCollector",
        "key_stores": "collectors.key_stores:KeyStoresCollector",
        "known_hosts": "collectors.known_hosts:KnownHostsCollector",
        "kubernetes": "collectors.infrastructure.kubernetes:KubernetesCollector",
        "lego": "collectors.acme.lego:LegoCollector",
        "log_shippers": "collectors.log_shippers:LogShippersCollector",
        "logrotate": "collectors.logrotate:LogrotateCollector",
        "mail_relay": "collectors.services.mail_relay:MailRelayCollector",
        "mail_signing": "collectors.services.mail_signing:MailSigningCollector",
        "monit": "collectors.monit:MonitCollector",
        "mounts": "collectors.mounts:MountsCollector",
        "nagios": "collectors.nagios:NagiosCollector",
        "name_servers": "collectors.services.name_servers:NameServersCollector",
        "named": "collectors.services.named:NamedCollector",
        "netbox": "collectors.netbox:NetboxCollector",
        "nfs": "collectors.services.nfs:NfsCollector",
        "nginx": "collectors.traffic.nginx:NginxCollector",
        "nixos": "collectors.infrastructure.nixos:NixosCollector",
        "nomad": "collectors.infrastructure.nomad:NomadCollector",
        "prometheus": "collectors.prometheus:PrometheusCollector",
        "proxmox": "collectors.services.proxmox:ProxmoxCollector",
        "puppet": "collectors.infrastructure.puppet:PuppetCollector",
        "resolv_conf": "collectors.resolv_conf:ResolvConfCollector",
        "rsyncd": "collectors.services.rsyncd:RsyncdCollector",
        "run_parts": "collectors.run_parts:RunPartsCollector",
        "rundeck": "collectors.schedulers.rundeck:RundeckCollector",
        "salt": "collectors.infrastructure.salt:SaltCollector",
        "shell": "collectors.shell:ShellCollector",
        "squid": "collectors.traffic.squid:SquidCollector",
        "ssh": "collectors.services.ssh:SshCollector",
        "syslog": "collectors.syslog:SyslogCollector",
        "systemd": "collectors.systemd:SystemdCollector",
        "systemd_runs": "collectors.systemd_runs:SystemdRunsCollector",
        "telegraf": "collectors.telegraf:TelegrafCollector",
        "terraform": "collectors.infrastructure.terraform:TerraformCollector",
        "time_sync": "collectors.services.time_sync:TimeSyncCollector",
        "tls_probes": "collectors.x509.tls_probes:TlsProbesCollector",
        "traefik": "collectors.acme.traefik:TraefikCollector",
        "uptime_kuma": "collectors.uptime_kuma:UptimeKumaCollector",
        "varnish": "collectors.traffic.varnish:VarnishCollector",
        "webhook_urls": "collectors.webhook_urls:WebhookUrlsCollector",
        "win_acme": "collectors.acme.win_acme:WinAcmeCollector",
        "windows_scripts": "collectors.schedulers.windows_scripts:WindowsScriptsCollector",
        "windows_tasks": "collectors.schedulers.windows_tasks:WindowsTasksCollector",
        "x509": "collectors.x509:X509Collector",
        "zabbix": "collectors.zabbix:ZabbixCollector",
        "zone": "collectors.zone:ZoneCollector",
    }
)
"""Built-in collectors: name to "module:class"."""

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "after-job-not-run": "rules.after.successor:AfterJobNotRunRule",
        "after-still-answers": "rules.after.answers:AfterStillAnswersRule",
        "after-still-called": "rules.after.jobs:AfterStillCalledRule",
        "after-still-in-dns": "rules.after.names:AfterStillInDnsRule",
        "after-still-referred-to": "rules.after.others:AfterStillReferredToRule",
        "after-still-watched": "rules.after.monitoring:AfterStillWatchedRule",
        "after-webhook-left": "rules.after.webhooks:AfterWebhookLeftRule",
        "address-registered-for-going-host": "rules.dns.registered:AddressRegisteredForGoingHostRule",
        "address-reserved-for-going-host": "rules.dns.reservation:AddressReservedForGoingHostRule",
        "alert-blind": "rules.monitoring.alert_blind:AlertBlindRule",
        "alert-degraded": "rules.monitoring.alert_degraded:AlertDegradedRule",
        "alert-receiver-going": "rules.monitoring.alert_receiver_going:AlertReceiverGoingRule",
        "allow-list-names-going-host": "rules.identity.allow_list:AllowListNamesGoingHostRule",
        "auditor-on-going-host": "rules.jobs.auditor_on_going_host:AuditorOnGoingHostRule",
        "authorized-key-of-going-host": "rules.identity.authorized_key:AuthorizedKeyOfGoingHostRule",
        "backup-kept-on-going-host": "rules.storage.backup_on:BackupKeptOnGoingHostRule",
        "backup-of-going-host": "rules.storage.backup_of:BackupOfGoingHostRule",
        "certificate-expiry": "rules.renewal.expiry:CertificateExpiryRule",
        "certificate-for-everything": "rules.renewal.breadth:CertificateForEverythingRule",
        "certificate-format": "rules.renewal.formats:CertificateFormatRule",
        "certificate-overdue": "rules.renewal.overdue:CertificateOverdueRule",
        "certificate-pinned": "rules.renewal.pinned:CertificatePinnedRule",
        "certificate-without-renewal": "rules.renewal.without:CertificateWithoutRenewalRule",
        "connected-to-going-host": "rules.services.connected_to_going_host:ConnectedToGoingHostRule",
        "coverage-gap": "rules.coverage.coverage_gap:CoverageGapRule",
        "depends-on-going-host": "rules.configuration.depends_on_going_host:DependsOnGoingHostRule",
        "dns-dangling": "rules.dns.dns_dangling:DnsDanglingRule",
        "dns-leads-to-going-host": "rules.dns.dns_leads_to_going_host:DnsLeadsToGoingHostRule",
        "dns-refuses-reissue": "rules.renewal.dns_policy:DnsRefusesReissueRule",
        "dns-ttl-too-long": "rules.dns.ttl:DnsTtlTooLongRule",
        "exclusion-names-going-host": "rules.monitoring.exclusion:ExclusionNamesGoingHostRule",
        "expiry-alert-too-late": "rules.renewal.lead_time:ExpiryAlertTooLateRule",
        "group-left-empty": "rules.configuration.group_left_empty:GroupLeftEmptyRule",
        "host-in-inventory": "rules.configuration.host_in_inventory:HostInInventoryRule",
        "hosts-file-pins-name": "rules.dns.hosts_file:HostsFilePinsNameRule",
        "infrastructure-code-makes-host": "rules.configuration.infrastructure_code:InfrastructureCodeMakesHostRule",
        "issuance-single-account": "rules.renewal.one_account:IssuanceSingleAccountRule",
        "issuance-single-place": "rules.renewal.one_issuer:IssuanceSinglePlaceRule",
        "job-calls-going-host": "rules.jobs.job_calls_going_host:JobCallsGoingHostRule",
        "job-last-run-failed": "rules.jobs.job_last_run_failed:JobLastRunFailedRule",
        "job-missing-on-successor": "rules.jobs.job_missing_on_successor:JobMissingOnSuccessorRule",
        "job-on-both-sides": "rules.jobs.job_on_both_sides:JobOnBothSidesRule",
        "job-on-going-host": "rules.jobs.job_on_going_host:JobOnGoingHostRule",
        "job-pinned-to-going-host": "rules.jobs.job_pinned_to_going_host:JobPinnedToGoingHostRule",
        "known-host-key-left": "rules.identity.known_host:KnownHostKeyLeftRule",
        "lifecycle-gone-observed": "rules.lifecycle.gone:LifecycleGoneObservedRule",
        "lifecycle-read-only-observed": "rules.lifecycle.read_only:LifecycleReadOnlyObservedRule",
        "lifecycle-running-observed": "rules.lifecycle.running:LifecycleRunningObservedRule",
        "lifecycle-tag-differs": "rules.lifecycle.tagged:LifecycleTagDiffersRule",
        "lifecycle-writable-observed": "rules.lifecycle.writable:LifecycleWritableObservedRule",
        "logs-and-mail-through-going-host": "rules.services.logs_and_mail:LogsAndMailThroughGoingHostRule",
        "mail-signed-by-going-host": "rules.services.mail_signing:MailSignedByGoingHostRule",
        "mention": "rules.coverage.mention:MentionRule",
        "monitoring-server-going": "rules.monitoring.monitoring_server_going:MonitoringServerGoingRule",
        "mount-of-going-host": "rules.storage.mount:MountOfGoingHostRule",
        "name-not-covered": "rules.renewal.uncovered:NameNotCoveredRule",
        "netbox-status-differs": "rules.configuration.netbox_status_differs:NetboxStatusDiffersRule",
        "ping-from-going-host": "rules.monitoring.ping_from_going_host:PingFromGoingHostRule",
        "pool-loses-member": "rules.services.pool_loses_member:PoolLosesMemberRule",
        "recovery-approvals": "rules.recovery.approvals:RecoveryApprovalsRule",
        "recovery-document-stale": "rules.recovery.document:RecoveryDocumentStaleRule",
        "recovery-key-single-place": "rules.recovery.key:RecoveryKeySinglePlaceRule",
        "recovery-needs-going-host": "rules.recovery.needs_host:RecoveryNeedsGoingHostRule",
        "recovery-not-rehearsed": "rules.recovery.rehearsal:RecoveryNotRehearsedRule",
        "recovery-procedure-missing": "rules.recovery.kinds:RecoveryProcedureMissingRule",
        "recovery-too-slow": "rules.recovery.too_slow:RecoveryTooSlowRule",
        "renewal-alert-unheard": "rules.renewal.unheard:RenewalAlertUnheardRule",
        "renewal-chain-broken": "rules.renewal.chain:RenewalChainBrokenRule",
        "renewal-hook-on-going-host": "rules.renewal.hook:RenewalHookOnGoingHostRule",
        "renewal-never-ran": "rules.renewal.never_ran:RenewalNeverRanRule",
        "renewal-on-going-host": "rules.renewal.going_host:RenewalOnGoingHostRule",
        "renewal-run-failed": "rules.renewal.run_failed:RenewalRunFailedRule",
        "renewal-single-trigger": "rules.renewal.trigger:RenewalSingleTriggerRule",
        "renewal-stages-unwatched": "rules.renewal.stages:RenewalStagesUnwatchedRule",
        "renewal-two-writers": "rules.renewal.two_writers:RenewalTwoWritersRule",
        "renewal-validation-on-going-host": "rules.renewal.validation:RenewalValidationOnGoingHostRule",
        "renewal-without-reload": "rules.renewal.reload:RenewalWithoutReloadRule",
        "renewed-not-deployed": "rules.renewal.deployed:RenewedNotDeployedRule",
        "replica-on-going-host": "rules.storage.replica:ReplicaOnGoingHostRule",
        "replication-source-going": "rules.storage.replication_source:ReplicationSourceGoingRule",
        "role-made-for-host": "rules.configuration.role_made_for_host:RoleMadeForHostRule",
        "scrape-going-host": "rules.monitoring.scrape_going_host:ScrapeGoingHostRule",
        "service-needs-going-host": "rules.services.service_needs_going_host:ServiceNeedsGoingHostRule",
        "service-on-going-host": "rules.services.service_on_going_host:ServiceOnGoingHostRule",
        "service-principal-of-going-host": "rules.identity.principal:ServicePrincipalOfGoingHostRule",
        "silence-hides-going-host": "rules.monitoring.silence:SilenceHidesGoingHostRule",
        "successor-unwatched": "rules.monitoring.successor_unwatched:SuccessorUnwatchedRule",
        "watcher-on-watched": "rules.monitoring.watcher_on_watched:WatcherOnWatchedRule",
        "webhook-deliveries-fail": "rules.webhooks.webhook_deliveries_fail:WebhookDeliveriesFailRule",
        "webhook-from-going-host": "rules.webhooks.webhook_from_going_host:WebhookFromGoingHostRule",
        "webhook-to-going-host": "rules.webhooks.webhook_to_going_host:WebhookToGoingHostRule",
        "write-on-read-only": "rules.storage.write:WriteOnReadOnlyRule",
    }
)
"""Built-in rules: id to "module:class"."""

_Part = TypeVar("_Part", Collector, Rule)


def load_collectors() -> tuple[list[Collector], list[Failure]]:
    """One instance of each collector, built-in ones first and in the table's order, and what did not load."""
    return _load(Collector, lambda part: part.name, COLLECTORS, COLLECTOR_GROUP)  # type: ignore[type-abstract]


def load_rules() -> tuple[list[Rule], list[Failure]]:
    """One instance of each rule, built-in ones first and in the table's order, and what did not load."""
    return _load(Rule, lambda part: part.id, RULES, RULE_GROUP)  # type: ignore[type-abstract]


@cache
def built_in_root() -> Path:
    """The directory that holds `collectors` and `rules`: inside a wheel its own, in a checkout the repository."""
    here = Path(__file__).resolve().parent
    bundled = here / "_bundled"
    return bundled if bundled.is_dir() else here.parent


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    origin: str
    load: Callable[[], object]


def _load(
    base: type[_Part], own_name: Callable[[_Part], str], table: Mapping[str, str], group: str
) -> tuple[list[_Part], list[Failure]]:
    word = base.__name__.lower()
    parts: dict[str, _Part] = {}
    failures: list[Failure] = []
    for candidate in (*_built_ins(table), *_installed().get(group, ())):
        try:
            if candidate.name in parts:
                raise PluginError("the name is taken", hint=f"Rename this {word}: the one that came first is used.")
            parts[candidate.name] = _instance(base, own_name, candidate.name, candidate.load())
        # This is code of others: whatever it raises, even SystemExit, must end in the report.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            failures.append(_failure(f"{word} {candidate.name} ({candidate.origin})", error))
    return list(parts.values()), failures


def _failure(what: str, error: BaseException) -> Failure:
    hint = "Repair or uninstall what provides it, then run again."
    if isinstance(error, PluginError):
        return Failure(what, str(error), error.hint or hint)
    return Failure(what, f"{type(error).__name__}: {error}", hint)


def _instance(base: type[_Part], own_name: Callable[[_Part], str], name: str, loaded: object) -> _Part:
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise PluginError(f"{loaded!r} is not a subclass of auditor.api.{base.__name__}")
    if isabstract(loaded):
        raise PluginError(f"{loaded.__qualname__} does not define {', '.join(sorted(loaded.__abstractmethods__))}")
    missing = [attribute for attribute in _required_attributes(base) if not hasattr(loaded, attribute)]
    if missing:
        raise PluginError(f"{loaded.__qualname__} does not set {', '.join(missing)}")
    part = loaded()
    if own_name(part) != name:
        raise PluginError(f"it is registered as {name} and calls itself {own_name(part)}")
    return part


def _required_attributes(base: type) -> list[str]:
    return sorted(name for name, annotation in base.__annotations__.items() if "ClassVar" in str(annotation))


def _built_ins(table: Mapping[str, str]) -> Iterator[_Candidate]:
    for name, target in table.items():
        yield _Candidate(name, target, partial(_load_built_in, target))


def _load_built_in(target: str) -> object:
    root = built_in_root()
    if str(root) not in sys.path[:1]:
        sys.path.insert(0, str(root))
    module_name, _, class_name = target.partition(":")
    package = import_module(module_name.partition(".")[0])
    if not any(_is_inside(place, root) for place in package.__path__):
        raise PluginError(
            f"another package called {package.__name__} is already imported, from {', '.join(package.__path__)}",
            hint="Run the auditor in a process of its own.",
        )
    return getattr(import_module(module_name), class_name)


@cache
def _is_inside(place: str, root: Path) -> bool:
    return Path(place).resolve().parent == root


@cache
def _installed() -> Mapping[str, tuple[_Candidate, ...]]:
    """Third-party collectors and rules, by their group."""
    if not _may_be_installed():
        return {}
    from importlib.metadata import entry_points  # slow to import

    every = entry_points()
    return {group: _candidates(every.select(group=group)) for group in (COLLECTOR_GROUP, RULE_GROUP)}


def _candidates(points: Iterable[EntryPoint]) -> tuple[_Candidate, ...]:
    found = [
        _Candidate(point.name, f"{point.value} of {point.dist.name}" if point.dist else point.value, point.load)
        for point in points
    ]
    # Which of two plugins of one name is used must not depend on the order of directories.
    return tuple(sorted(found, key=lambda candidate: (candidate.name, candidate.origin)))


def _may_be_installed() -> bool:
    """Whether a distribution may have collectors or rules: false only where all of them could be looked at.

    importlib.metadata takes longer to import than all rules.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    for place in dict.fromkeys(sys.path):
        try:
            names = [one.name for one in Path(place or ".").iterdir()]
        except FileNotFoundError:
            continue
        except OSError:  # an archive, say
            return True
        for name in names:
            if name.lower().endswith(".egg"):
                return True
            if not name.lower().endswith((".dist-info", ".egg-info")):
                continue
            try:
                content = Path(place, name, "entry_points.txt").read_bytes()
                if any(group.encode() in content for group in (COLLECTOR_GROUP, RULE_GROUP)):
                    return True
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return True
    return False
