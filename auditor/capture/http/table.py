"""Which kinds of sources of the inventory are asked over HTTP, and what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from auditor.capture.http.client import Client
from auditor.capture.http.code_hosts import github_client, github_steps, gitlab_client, gitlab_steps
from auditor.capture.http.grafana import GRAFANA
from auditor.capture.http.healthchecks import HEALTHCHECKS, healthchecks_client
from auditor.capture.http.icinga2 import ICINGA2, icinga2_client
from auditor.capture.http.kubernetes import KUBERNETES, kubernetes_client
from auditor.capture.http.netbox import NETBOX, netbox_client
from auditor.capture.http.prometheus import ALERTMANAGER, PROMETHEUS
from auditor.capture.http.services import Step, plain_client


@dataclass(frozen=True, slots=True)
class Service:
    """What is asked of a source of the inventory, and how it is spoken to. Both take the source as it is declared."""

    steps: Callable[[Any], Sequence[Step]]
    client: Callable[[Any, str], Client] = plain_client
    """Takes the token, too. Raises FailedError."""


SERVICES: Final[Mapping[str, Service]] = MappingProxyType(
    {
        "alertmanager": Service(lambda _source: ALERTMANAGER),
        "github": Service(github_steps, github_client),
        "gitlab": Service(gitlab_steps, gitlab_client),
        "grafana": Service(lambda _source: GRAFANA),
        "healthchecks": Service(lambda _source: HEALTHCHECKS, healthchecks_client),
        "icinga2": Service(lambda _source: ICINGA2, icinga2_client),
        "kubernetes": Service(lambda _source: KUBERNETES, kubernetes_client),
        "netbox": Service(lambda _source: NETBOX, netbox_client),
        "prometheus": Service(lambda _source: PROMETHEUS),
    }
)
"""Kind of source -> what is asked of it."""
