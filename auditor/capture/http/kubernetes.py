"""A Kubernetes cluster by its API: the objects that lead out of it, that run by time, or that renew certificates.

Each kind of object is one list over all namespaces, in pages (`limit` and `continue`; Kubernetes API concepts, 1.9 and
later). Bookkeeping is left out of what is kept, and so are CA bundles; values of variables whose names speak of secrets
are replaced. Secrets and ConfigMaps are never asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from auditor.capture.http.client import Client, Credentials, FailedError
from auditor.capture.http.kubeconfig import default_kubeconfig, read_kubeconfig
from auditor.capture.http.services import MAX_PAGES, Kept, Step, gathered, in_parts, kept_json, picked
from auditor.model import Outcome

_PAGE: Final = 500
_ROLE: Final = "node-role.kubernetes.io/"
_RESTARTS: Final = 2
"""How often a list is asked for from its start again."""
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_BOOKKEEPING: Final = frozenset({"managedFields", "resourceVersion", "selfLink", "caBundle"})
_NO_SUCH_API: Final = "the cluster has no such API"


class Source(Credentials, Protocol):
    """A cluster as the inventory declares it."""

    @property
    def url(self) -> str | None: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def kubeconfig(self) -> str | None: ...
    @property
    def context(self) -> str | None: ...


def kubernetes_client(source: Source, token: str) -> Client:
    """A client for a cluster; a token of the inventory's goes before the kubeconfig's user. Raises FailedError."""
    if source.url:
        return Client(source.url, token=token, ca=source.ca)
    path = Path(source.kubeconfig).expanduser() if source.kubeconfig else default_kubeconfig()
    cluster = read_kubeconfig(path, source.context or "", login=not token)
    return Client(
        cluster.url,
        token=token or cluster.token,
        ca=source.ca,
        ca_data=None if source.ca else cluster.ca_data,
        certificate=cluster.certificate,
        server_name=cluster.server_name,
    )


def _version(client: Client) -> Iterator[Kept | Step]:
    yield Kept(kept_json({"program": "kubernetes", "url": client.address, "build": client.get("/version").json()}))


def _objects(
    group: str, kind: str, *, wanted: Callable[[Mapping[str, Any]], bool] = lambda _one: True
) -> Callable[[Client], Iterator[Kept | Step]]:
    """Asks for all objects of a kind that every cluster has, such as `batch/v1` and `CronJob`."""

    def ask(client: Client) -> Iterator[Kept | Step]:
        found, cut = gathered(_pages(client, _path(group, kind)))
        yield from _kept(group, kind, [one for one in found if wanted(one)], cut)

    return ask


def _whole(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    return thing


def _installed(
    name: str,
    versions: Sequence[str],
    kind: str,
    made: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = _whole,
) -> Callable[[Client], Iterator[Kept | Step]]:
    """Asks for all objects of a kind that not every cluster has, in the first of the versions that it serves.

    `made` is what is kept of an object; None for one that says nothing.
    """

    def ask(client: Client) -> Iterator[Kept | Step]:
        group = f"{name}/{versions[0]}"
        try:
            found, cut = gathered(_pages(client, _path(group, kind)))
        except FailedError as error:
            # Whether there is such a kind is not asked before whether somebody may list it.
            if error.status not in (403, 404):
                raise
            served = _served(client, name, kind, error)
            version = next((one for one in versions if one in served), "")
            if not version:
                only = f"the cluster has {kind} objects of {name} in other versions only ({', '.join(served)})"
                raise FailedError(Outcome.UNSUPPORTED, only, status=404) from None
            group = f"{name}/{version}"
            if version == versions[0]:
                raise
            found, cut = gathered(_pages(client, _path(group, kind)))
        kept = [one for one in map(made, found) if one is not None]
        yield from _kept(group, kind, kept, cut)

    return ask


def _served(client: Client, name: str, kind: str, refusal: FailedError) -> list[str]:
    """The versions of a group in which a cluster has a kind (Kubernetes API concepts, API discovery).

    Raises FailedError: absent if there is none, the refusal itself if the cluster does not tell.
    """
    try:
        versions = _versions(client, name)
        served = [one for one in versions if kind in _kinds(client, f"/apis/{name}/{one}")]
    except FailedError as error:
        if error.outcome is Outcome.ABSENT or refusal.status != 403:
            raise
        raise refusal from None
    if not served:
        raise FailedError(Outcome.ABSENT, f"the cluster has no {kind} objects of {name}", status=404)
    return served


def _versions(client: Client, name: str) -> list[str]:
    """The versions of a group. Raises FailedError: absent if there is no such group."""
    try:
        return [one["version"] for one in client.get(f"/apis/{name}").json()["versions"]]
    except FailedError as error:
        if error.status == 404:
            raise FailedError(Outcome.ABSENT, _NO_SUCH_API, status=404) from None
        raise


def _kinds(client: Client, path: str) -> set[str]:
    return {one["kind"] for one in client.get(path).json().get("resources") or ()}


def _kept(
    group: str, kind: str, found: Sequence[Mapping[str, Any]], cut: str, *, indent: int | None = 1
) -> Iterator[Kept]:
    if found or cut:
        before = f'{{"kind": "{kind}List", "apiVersion": "{group}", "items": ['
        yield from in_parts([_clean(one) for one in found], before, "]}", cut, indent=indent)


def _path(group: str, kind: str) -> str:
    plural = f"{kind.lower()}es" if kind.endswith(("s", "x")) else f"{kind.lower()}s"
    if kind == "Endpoints":
        plural = "endpoints"
    elif kind.endswith("y") and kind[-2] not in "aeiou":
        plural = f"{kind.lower()[:-1]}ies"
    return f"/api/v1/{plural}" if group == "v1" else f"/apis/{group}/{plural}"


def _pages(client: Client, path: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, each once.

    The moment that a list is of is forgotten after some minutes: 410 (Kubernetes API concepts, Retrieving large results
    sets in chunks). Then it is asked for from its start, and where that does not help, gone on with from the same place
    at a later moment, as the token in the refusal says (ListOptions, `continue`).
    """
    following, restarts = "", 0
    seen: set[tuple[object, object]] = set()
    for _ in range(MAX_PAGES):
        try:
            body = client.get(path, {"limit": _PAGE, **({"continue": following} if following else {})}).json()
        except FailedError as error:
            if error.status != 410 or not following:
                raise
            expired, following = following, ""
            if restarts < _RESTARTS:
                restarts += 1
                client.begin()
            elif not (following := _onward(error.said)) or following == expired:
                why = f"the list took so long that the cluster forgot it, {_RESTARTS + 1} times ({error.detail})"
                raise FailedError(Outcome.PARTIAL, why, status=410) from None
            continue
        items = body.get("items") if isinstance(body, dict) else None
        # A list without anything has null there.
        if not isinstance(items, list) and not (items is None and isinstance(body, dict) and "metadata" in body):
            raise FailedError(Outcome.PARTIAL, "the answer is no list of Kubernetes")
        for one in items or ():
            if not isinstance(one, dict):
                raise TypeError
            about = one.get("metadata") or {}
            key = (about.get("namespace"), about.get("name"))
            if key[1] is None or key not in seen:
                seen.add(key)
                yield one
        following = (body.get("metadata") or {}).get("continue") or ""
        if not following:
            return
    raise FailedError(Outcome.PARTIAL, f"more than {MAX_PAGES} pages")


def _onward(said: bytes) -> str:
    """The token in the refusal of one that has expired; empty if there is none."""
    try:
        token = json.loads(said)["metadata"]["continue"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return token if isinstance(token, str) else ""


def _clean(value: Any) -> Any:
    """An object without what the API server and kubectl note for themselves."""
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if key not in _BOOKKEEPING and key != _APPLIED}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


def _endpoints(client: Client) -> Iterator[Kept | Step]:
    """Addresses behind services that are no pods: of EndpointSlices, which mirror Endpoints; before 1.21 of these."""
    try:
        found, cut = gathered(_pages(client, _path("discovery.k8s.io/v1", "EndpointSlice")))
    except FailedError as error:
        if error.status != 404:
            raise
        found, cut = gathered(_pages(client, _path("v1", "Endpoints")))
        subsets = [one for one in found if any(map(_leads_out, _addresses(one)))]
        yield from _kept("v1", "Endpoints", subsets, cut)
        return
    slices = [one for one in found if any(map(_leads_out, one.get("endpoints") or ()))]
    yield from _kept("discovery.k8s.io/v1", "EndpointSlice", slices, cut)


def _addresses(endpoints: Mapping[str, Any]) -> Iterator[Any]:
    for subset in endpoints.get("subsets") or ():
        for key in ("addresses", "notReadyAddresses"):
            yield from subset.get(key) or ()


def _leads_out(address: Mapping[str, Any]) -> bool:
    return (address.get("targetRef") or {}).get("kind") != "Pod"


def _nodes(client: Client) -> Iterator[Kept | Step]:
    """The machines of the cluster: who they are, and not what runs there. A line holds one, with name and address."""
    found, cut = gathered(_pages(client, _path("v1", "Node")))
    yield from _kept("v1", "Node", [_machine(one) for one in found], cut, indent=None)


def _machine(node: Mapping[str, Any]) -> dict[str, Any]:
    about, addresses = node["metadata"], (node.get("status") or {}).get("addresses") or []
    roles = {key: value for key, value in (about.get("labels") or {}).items() if key.startswith(_ROLE)}
    kept = [one for one in addresses if one["address"] != about["name"]]
    return {"metadata": {"name": about["name"], "labels": roles}, "status": {"addresses": kept}}


def _goes_on(job: Mapping[str, Any]) -> bool:
    """Whether a Job is one of its own, and not at its end: those of CronJobs come and go."""
    owners = (job.get("metadata") or {}).get("ownerReferences") or ()
    return not owners and not (job.get("status") or {}).get("completionTime")


def _of_itself(workload: Mapping[str, Any]) -> bool:
    return not (workload.get("metadata") or {}).get("ownerReferences")


_REMOTES: Final = ("remoteWrite", "remoteRead")


def _asking(middleware: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A Middleware of Traefik that asks another server or others of its kind, or leads elsewhere; not the headers that
    it sets."""
    spec = picked(middleware.get("spec") or {}, ("forwardAuth", "chain", "redirectRegex"))
    if "forwardAuth" in spec:
        spec["forwardAuth"] = picked(spec["forwardAuth"], ("address",))
    return {**picked(middleware, ("metadata",)), "spec": spec} if spec else None


_FIXED: Final = frozenset({"__address__", "__param_target"})
"""Labels by which a relabelling names what is asked, or who is."""
_PARAMETERS: Final = ("module", "target")
"""What of a scrape's parameters is kept: others may be secrets."""


def _scraped(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A ScrapeConfig of the Prometheus operator, or an entry of a monitor."""
    kept = {key: value for key, value in config.items() if key not in ("params", "metricRelabelings", "spec")}
    if config.get("params"):
        kept["params"] = picked(config["params"], _PARAMETERS)
    return {**kept, "spec": _scraped(config["spec"])} if config.get("spec") else kept


def _monitored(monitor: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A ServiceMonitor or PodMonitor that names a host itself, and not only which services are to be watched."""
    spec: dict[str, Any] = {}
    for key in ("endpoints", "podMetricsEndpoints"):
        # A monitor's jobs are counted: those that name none stay.
        if entries := [_scraped(entry) for entry in (monitor.get("spec") or {}).get(key) or ()]:
            spec[key] = entries
    named = any(
        entry.get("proxyUrl")
        or (entry.get("params") or {}).get("target")
        or (entry.get("oauth2") or {}).get("tokenUrl")
        or any(step.get("targetLabel") in _FIXED for step in entry.get("relabelings") or ())
        for entries in spec.values()
        for entry in entries
    )
    return {**picked(monitor, ("metadata",)), "spec": spec} if named else None


def _ruling(rules: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A PrometheusRule, without what people read in its alerts but for the summary."""
    groups = [
        {**group, "rules": [_ruled(rule) for rule in group.get("rules") or ()]}
        for group in (rules.get("spec") or {}).get("groups") or ()
    ]
    return {**picked(rules, ("metadata",)), "spec": {"groups": groups}} if groups else None


def _ruled(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = picked(rule.get("annotations") or {}, ("summary", "runbook_url"))
    return {**rule, "annotations": annotations} if "annotations" in rule else rule


def _sending(server: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A Prometheus of the operator that sends what it scrapes elsewhere, or reads it there."""
    spec = server.get("spec") or {}
    kept = {key: [picked(one, ("name", "url")) for one in spec[key]] for key in _REMOTES if spec.get(key)}
    return {**picked(server, ("metadata",)), "spec": kept} if kept else None


_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_CERTIFICATES: Final = "cert-manager.io"
_GATEWAY_API: Final = "gateway.networking.k8s.io"
_TRAEFIK: Final = "traefik.io"
_TRAEFIK_2: Final = "traefik.containo.us"
_OF_TRAEFIK: Final = (
    *((kind, _whole) for kind in ("IngressRoute", "IngressRouteTCP", "IngressRouteUDP", "TraefikService")),
    ("Middleware", _asking),
)
_ISTIO: Final = "networking.istio.io"
_OF_ISTIO: Final = ("v1", "v1beta1", "v1alpha3")
_OPERATOR: Final = "monitoring.coreos.com"

KUBERNETES: Final[tuple[Step, ...]] = (
    Step("version.json", _version),
    Step("cronjobs.json", _objects("batch/v1", "CronJob")),
    Step("jobs.json", _objects("batch/v1", "Job", wanted=_goes_on)),
    Step("ingresses.json", _objects("networking.k8s.io/v1", "Ingress")),
    Step("services.json", _objects("v1", "Service")),
    Step("nodes.json", _nodes),
    Step("endpoints.json", _endpoints),
    Step("deployments.json", _objects("apps/v1", "Deployment", wanted=_of_itself)),
    Step("statefulsets.json", _objects("apps/v1", "StatefulSet", wanted=_of_itself)),
    Step("daemonsets.json", _objects("apps/v1", "DaemonSet", wanted=_of_itself)),
    Step("persistentvolumes.json", _objects("v1", "PersistentVolume")),
    Step("validatingwebhooks.json", _objects(_ADMISSION, "ValidatingWebhookConfiguration")),
    Step("mutatingwebhooks.json", _objects(_ADMISSION, "MutatingWebhookConfiguration")),
    Step("issuers.json", _installed(_CERTIFICATES, ["v1"], "Issuer")),
    Step("clusterissuers.json", _installed(_CERTIFICATES, ["v1"], "ClusterIssuer")),
    Step("certificates.json", _installed(_CERTIFICATES, ["v1"], "Certificate")),
    Step("gateways.json", _installed(_GATEWAY_API, ["v1", "v1beta1"], "Gateway")),
    Step("httproutes.json", _installed(_GATEWAY_API, ["v1", "v1beta1"], "HTTPRoute")),
    Step("grpcroutes.json", _installed(_GATEWAY_API, ["v1", "v1alpha2"], "GRPCRoute")),
    Step("tlsroutes.json", _installed(_GATEWAY_API, ["v1", "v1alpha3", "v1alpha2"], "TLSRoute")),
    Step("tcproutes.json", _installed(_GATEWAY_API, ["v1", "v1alpha2"], "TCPRoute")),
    Step("udproutes.json", _installed(_GATEWAY_API, ["v1", "v1alpha2"], "UDPRoute")),
    Step("backends.json", _installed("gateway.envoyproxy.io", ["v1alpha1"], "Backend")),
    *(Step(f"{kind.lower()}s.json", _installed(_TRAEFIK, ["v1alpha1"], kind, made)) for kind, made in _OF_TRAEFIK),
    # Before Traefik 2.10 its group had another name.
    *(
        Step(f"traefik2/{kind.lower()}s.json", _installed(_TRAEFIK_2, ["v1alpha1"], kind, made))
        for kind, made in _OF_TRAEFIK
    ),
    Step("serviceentries.json", _installed(_ISTIO, _OF_ISTIO, "ServiceEntry")),
    Step("workloadentries.json", _installed(_ISTIO, _OF_ISTIO, "WorkloadEntry")),
    Step("probes.json", _installed(_OPERATOR, ["v1"], "Probe")),
    Step("scrapeconfigs.json", _installed(_OPERATOR, ["v1alpha1", "v1", "v1beta1"], "ScrapeConfig", _scraped)),
    Step("servicemonitors.json", _installed(_OPERATOR, ["v1"], "ServiceMonitor", _monitored)),
    Step("podmonitors.json", _installed(_OPERATOR, ["v1"], "PodMonitor", _monitored)),
    Step("prometheusrules.json", _installed(_OPERATOR, ["v1"], "PrometheusRule", _ruling)),
    Step("alertmanagerconfigs.json", _installed(_OPERATOR, ["v1alpha1", "v1beta1"], "AlertmanagerConfig")),
    Step("prometheuses.json", _installed(_OPERATOR, ["v1"], "Prometheus", _sending)),
    Step("prometheusagents.json", _installed(_OPERATOR, ["v1alpha1"], "PrometheusAgent", _sending)),
)
"""What is asked of a cluster."""
