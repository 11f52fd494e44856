"""Which resources of Terraform's providers name hosts, and in which attributes, by the providers' documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MACHINES: Final = frozenset(
    {
        "aws_instance", "aws_spot_instance_request", "google_compute_instance", "azurerm_linux_virtual_machine",
        "azurerm_windows_virtual_machine", "azurerm_virtual_machine", "digitalocean_droplet", "hcloud_server",
        "linode_instance", "vultr_instance", "openstack_compute_instance_v2", "vsphere_virtual_machine",
        "proxmox_vm_qemu", "scaleway_instance_server", "upcloud_server", "equinix_metal_device", "oci_core_instance",
        "libvirt_domain", "exoscale_compute_instance", "aws_lightsail_instance",
    }
)  # fmt: skip
ADDRESS_KEYS: Final = (
    "private_ip", "public_ip", "private_ip_address", "public_ip_address", "ipv4_address", "ipv6_address",
    "ipv4_address_private", "ip_address", "main_ip", "access_ip_v4", "access_ip_v6", "default_ip_address",
    "access_public_ipv4", "access_private_ipv4", "ipv6_addresses", "secondary_private_ips",
)  # fmt: skip
ADDRESS_BLOCKS: Final = ("network_interface", "network")

BALANCERS: Final = frozenset(
    {"aws_lb", "aws_alb", "aws_elb", "aws_lb_target_group", "aws_alb_target_group", "hcloud_load_balancer"}
)
ATTACHMENTS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "aws_lb_target_group_attachment": (("target_group_arn",), ("target_id",)),
    "aws_alb_target_group_attachment": (("target_group_arn",), ("target_id",)),
    "aws_elb_attachment": (("elb",), ("instance",)),
    "hcloud_load_balancer_target": (("load_balancer_id",), ("server_id", "ip")),
}
"""What puts a machine behind a load balancer: the attributes that name the one and the other."""
LISTENERS: Final = frozenset({"aws_lb_listener", "aws_alb_listener"})

CHECKS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "aws_route53_health_check": (("fqdn",), ("ip_address",)),
    "uptimerobot_monitor": (("url",),),
    "statuscake_uptime_check": (("http_check", "request_url"), ("monitored_resource", "address")),
    "statuscake_test": (("website_url",),),
    "pingdom_check": (("host",),),
    "google_monitoring_uptime_check_config": (("monitored_resource", "labels", "host"),),
    "datadog_synthetics_test": (("request_definition", "url"), ("request_definition", "host")),
    "betteruptime_monitor": (("url",),),
    "checkly_check": (("request", "url"),),
    "newrelic_synthetics_monitor": (("uri",),),
    "grafana_synthetic_monitoring_check": (("target",),),
}
"""Monitors, and where what they look at is written."""

HOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    "github_repository_webhook": ("configuration", "url"),
    "github_organization_webhook": ("configuration", "url"),
    "gitlab_project_hook": ("url",),
    "gitlab_group_hook": ("url",),
    "gitea_repository_webhook": ("url",),
    "aws_sns_topic_subscription": ("endpoint",),
    "aws_cloudwatch_event_api_destination": ("invocation_endpoint",),
    "aws_codebuild_webhook": ("payload_url",),
    "azurerm_container_registry_webhook": ("service_uri",),
    "datadog_webhook": ("url",),
    "grafana_contact_point": ("webhook", "url"),
    "pagerduty_webhook_subscription": ("delivery_method", "url"),
    "docker_registry_webhook": ("url",),
    "tfe_notification_configuration": ("url",),
}
CERTIFICATES: Final = frozenset({"aws_acm_certificate", "acme_certificate", "digitalocean_certificate"})


class Record(NamedTuple):
    """A set of DNS records: full owner name, the name as it was written, type, values.

    `within` is whether the full name is not known: its zone is named by an id only, or a part of it is computed.
    """

    name: str
    written: str
    kind: str
    values: list[str]
    weighted: bool = False
    within: bool = False


ZONES: Final[Mapping[str, tuple[str, ...]]] = {
    "aws_route53_zone": ("name",),
    "cloudflare_zone": ("name", "zone"),
    "google_dns_managed_zone": ("dns_name",),
    "digitalocean_domain": ("name",),
    "dnsimple_zone": ("name",),
    "gandi_livedns_domain": ("name",),
    "hetznerdns_zone": ("name",),
    "linode_domain": ("domain",),
    "ns1_zone": ("zone",),
    "openstack_dns_zone_v2": ("name",),
    "ovh_domain_zone": ("name",),
    "vultr_dns_domain": ("domain",),
    "azurerm_dns_zone": ("name",),
    "azurerm_private_dns_zone": ("name",),
}
"""DNS zones, as resources and as data sources, and the attributes that are their names."""
ZONE_IDS: Final = ("id", "zone_id", "hosted_zone_id", "arn")
"""Attributes of zones by which records name them, besides their names."""
_ZONE_OF: Final[Mapping[str, str]] = {
    "aws_route53_record": "zone_id",
    "cloudflare_record": "zone_id",
    "cloudflare_dns_record": "zone_id",
    "hetznerdns_record": "zone_id",
    "linode_domain_record": "domain_id",
}

# Resource: attributes of the owner (the first that is there), of the zone to complete it, of the type, of the values.
_RECORDS: Final[Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...], tuple[str, ...]]]] = {
    "aws_route53_record": (("fqdn", "name"), "", ("type",), ("records",)),
    "cloudflare_record": (("hostname", "name"), "", ("type",), ("content", "value")),
    "cloudflare_dns_record": (("name",), "", ("type",), ("content",)),
    "google_dns_record_set": (("name",), "", ("type",), ("rrdatas",)),
    "digitalocean_record": (("fqdn", "name"), "domain", ("type",), ("value",)),
    "dnsimple_zone_record": (("qualified_name", "name"), "zone_name", ("type",), ("value",)),
    "dnsimple_record": (("hostname", "name"), "domain", ("type",), ("value",)),
    "gandi_livedns_record": (("name",), "zone", ("type",), ("values",)),
    "ovh_domain_zone_record": (("subdomain",), "zone", ("fieldtype",), ("target",)),
    "powerdns_record": (("name",), "", ("type",), ("records",)),
    "vultr_dns_record": (("name",), "domain", ("type",), ("data",)),
    "hetznerdns_record": (("fqdn", "name"), "", ("type",), ("value",)),
    "linode_domain_record": (("name",), "", ("record_type",), ("target",)),
    "openstack_dns_recordset_v2": (("name",), "", ("type",), ("records",)),
    "akamai_dns_record": (("name",), "", ("recordtype",), ("target",)),
    "scaleway_domain_record": (("fqdn", "name"), "dns_zone", ("type",), ("data",)),
    "ns1_record": (("domain",), "", ("type",), ("answers",)),
}
_TYPED: Final[Mapping[str, tuple[str, str]]] = {
    "dns_a_record_set": ("A", "addresses"),
    "dns_aaaa_record_set": ("AAAA", "addresses"),
    "dns_cname_record": ("CNAME", "cname"),
    "dns_ptr_record": ("PTR", "ptr"),
    "azurerm_dns_a_record": ("A", "records"),
    "azurerm_dns_aaaa_record": ("AAAA", "records"),
    "azurerm_dns_cname_record": ("CNAME", "record"),
    "azurerm_private_dns_a_record": ("A", "records"),
    "azurerm_private_dns_aaaa_record": ("AAAA", "records"),
    "azurerm_private_dns_cname_record": ("CNAME", "record"),
}
VALUES: Final = frozenset({key for *_, keys in _RECORDS.values() for key in keys} | {key for _, key in _TYPED.values()})
"""Attributes that hold the values of records."""
_FULL: Final = frozenset({"fqdn", "hostname", "qualified_name"})
EXPRESSION: Final = "${"
"""What a configuration does not say literally stands behind this."""
_POLICIES: Final = (
    "weighted_routing_policy", "latency_routing_policy", "geolocation_routing_policy", "failover_routing_policy",
    "multivalue_answer_routing_policy", "set_identifier",
)  # fmt: skip


def zone_of(resource: str, values: Mapping[str, Any]) -> str:
    """What a record's resource names its zone by: an id, a name, or another resource's attribute; empty if nothing."""
    if resource in _TYPED:
        return _text(values, "zone_name") or _text(values, "zone")
    if resource in _ZONE_OF:
        return _text(values, _ZONE_OF[resource])
    return _text(values, _RECORDS[resource][1]) if resource in _RECORDS else ""


def read_record(resource: str, values: Mapping[str, Any], zone: str) -> Record | None:
    """The DNS records of a resource; None if it is none, or its name is not known or not complete.

    `zone` is the name of its zone, empty if it is not known.
    """
    if resource in _TYPED:
        kind, key = _TYPED[resource]
        name, written = _text(values, "name"), _texts(values.get(key))
        if not zone and zone_of(resource, values):
            return Record(name, name, kind, written, within=True)
        return _complete(name, zone, kind, written)
    if resource not in _RECORDS:
        return None
    owners, zone_key, kinds, keys = _RECORDS[resource]
    owner, key_used = "", ""
    for key in owners:
        if owner := _text(values, key):
            key_used = key
            break
    kind = next((_text(values, key) for key in kinds), "").upper()
    found = [text for key in keys for text in _texts(values.get(key))]
    if resource == "ns1_record":
        found = [str(one.get("answer", "")) for one in values.get("answers") or () if isinstance(one, dict)]
    aliases = values.get("alias") if resource == "aws_route53_record" else None
    if isinstance(aliases, list):
        targets = [_text(one, "name") for one in aliases if isinstance(one, dict)]
        if any(targets):
            kind, found = "ALIAS", [one.removeprefix("dualstack.") for one in targets if one]
    if len(keys) > 1 and len(found) > 1:
        found = found[:1]
    if key_used in _FULL:
        zone = ""
    if EXPRESSION in owner and kind:
        return Record(owner, owner, kind, found, within=True)
    if zone_key and not zone and key_used in ("name", "subdomain"):
        return Record(owner, owner, kind, found, within=True) if kind and is_label(owner) else None
    if "." not in owner and not zone and kind and is_label(owner):
        return Record(owner, owner, kind, found, within=True)
    made = _complete(owner, zone, kind, found)
    weighted = any(values.get(policy) for policy in _POLICIES)
    return made._replace(weighted=weighted) if made is not None else None


def is_label(owner: str) -> bool:
    """Whether a name can stand in a zone: also `@`, for the zone itself."""
    return owner == "@" or (bool(owner) and all(c.isalnum() or c in "-_.*" for c in owner))


def _complete(owner: str, zone: str, kind: str, values: list[str]) -> Record | None:
    zone = zone.rstrip(".")
    bare = owner.rstrip(".")
    full = bare
    if zone:
        full = zone if bare in ("", "@") else bare if bare == zone or bare.endswith(f".{zone}") else f"{bare}.{zone}"
    if "." not in full or not kind or any(character.isspace() for character in full):
        return None
    return Record(full, owner or zone, kind, values)


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value.strip() if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]
