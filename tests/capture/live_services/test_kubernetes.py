"""A cluster by recorded answers over HTTPS: kubeconfigs, what is asked and kept, and the checklist from it."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditor.capture.http.client import FailedError
from auditor.capture.http.kubeconfig import default_kubeconfig, read_kubeconfig
from auditor.model import Outcome

TOKEN = "planted-bearer-0123456789"

INVENTORY = """
version: 1
domains: [parcel.example]
hosts:
  - {name: old-cert-01.parcel.example, addresses: [10.20.4.1], successor: cert-02.parcel.example}
  - {name: cert-02.parcel.example, addresses: [10.20.4.2]}
  - {name: db-01.parcel.example, addresses: [10.20.5.1]}
sources:
  - {kind: kubernetes, name: prod, kubeconfig: "@kubeconfig@", context: prod@more@}
"""


def kubeconfig(url: str, authority: Any, **user: Any) -> dict[str, Any]:
    data = b64encode(authority.ca.read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "other",
        "clusters": [{"name": "prod", "cluster": {"server": url, "certificate-authority-data": data}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "auditor"}}],
        "users": [{"name": "auditor", "user": user}],
    }


def written(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def refusal(path: Path, context: str = "prod") -> FailedError:
    with pytest.raises(FailedError) as caught:
        read_kubeconfig(path, context)
    return caught.value


def test_a_cluster_to_the_checklist(
    secure: Any, authority: Any, collect: Any, outcomes: Any, ask: Any, tmp_path: Path
) -> None:
    secure.load("kubernetes")
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, code = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert code == 4
    assert outcomes(root) == {
        "version.json": "ok",
        "cronjobs.json": "ok",
        "jobs.json": "absent",
        "ingresses.json": "ok",
        "services.json": "ok",
        "nodes.json": "ok",
        "endpoints.json": "ok",
        "deployments.json": "denied HTTP 403 Forbidden",
        "statefulsets.json": "absent",
        "daemonsets.json": "absent",
        "persistentvolumes.json": "ok",
        "validatingwebhooks.json": "ok",
        "mutatingwebhooks.json": "absent",
        "issuers.json": "absent",
        "clusterissuers.json": "ok",
        "certificates.json": "ok",
        "gateways.json": "ok",
        "httproutes.json": "ok",
        "grpcroutes.json": "absent",
        "tlsroutes.json": "ok",
        "tcproutes.json": "absent the cluster has no TCPRoute objects of gateway.networking.k8s.io",
        "udproutes.json": "absent the cluster has no UDPRoute objects of gateway.networking.k8s.io",
        "backends.json": "absent the cluster has no such API",
        "ingressroutes.json": "absent",
        "ingressroutetcps.json": "absent",
        "ingressrouteudps.json": "absent",
        "traefikservices.json": "absent",
        "middlewares.json": "ok",
        **{
            f"traefik2/{kind}.json": "absent the cluster has no such API"
            for kind in ("ingressroutes", "ingressroutetcps", "ingressrouteudps", "traefikservices", "middlewares")
        },
        "serviceentries.json": "ok",
        "workloadentries.json": "absent the cluster has no such API",
        "probes.json": "ok",
        "scrapeconfigs.json": "ok",
        "servicemonitors.json": "ok",
        "podmonitors.json": "absent",
        "prometheusrules.json": "ok",
        "alertmanagerconfigs.json": "absent",
        "prometheuses.json": "ok",
        "prometheusagents.json": "denied HTTP 403 Forbidden",
    }
    assert {one.headers["authorization"] for one in secure.asked} == {f"Bearer {TOKEN}"}
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept
    assert b"managedFields" not in kept
    middlewares = json.loads((root / "services/prod/middlewares.json").read_text())
    assert [one["metadata"]["name"] for one in middlewares["items"]] == ["moved", "login"]
    jobs = json.loads((root / "services/prod/cronjobs.json").read_text())
    assert [one["metadata"]["name"] for one in jobs["items"]] == ["push-certificates", "report"]
    report = ask(root, "old-cert-01.parcel.example")
    found: dict[str, list[str]] = {}
    for one in report.findings:
        found.setdefault(one.rule, []).append(f"{one.subject}: {one.message}")
    told = "\n".join(line for lines in found.values() for line in lines)
    assert "kubernetes CronJob edge/push-certificates" in told
    assert "kubernetes ValidatingWebhookConfiguration policy" in told
    assert "kubernetes Service web/ldap" in told
    assert "kubernetes control plane on cluster prod loses its only target once old-cert-01" in told
    assert not [line for line in found.get("mention", ()) if "nodes.json" in line]
    assert "kubernetes PersistentVolume archive" in told
    assert "cert-manager:web/track-tls" in told
    assert "kubernetes Gateway infra/edge" in told
    assert "kubernetes Middleware web/login" in told
    assert "kubernetes Prometheus monitoring/k8s" in told
    assert "kubernetes ServiceEntry web/tracking" in told
    assert "Alert SiteDown watches only old-cert-01.parcel.example" in told
    assert "scrapeConfig/monitoring/nodes of cluster prod" in told
    lines = {place.path for one in report.findings for place in one.evidence}
    assert {f"services/prod/{name}.json" for name in ("cronjobs", "endpoints", "clusterissuers")} <= lines


def test_kinds_in_versions_that_are_not_read(
    secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path
) -> None:
    """They are a gap, and so is what a cluster refuses without telling whether it has it."""
    secure.load("kubernetes")
    gateways = "/apis/gateway.networking.k8s.io"
    del secure.answers[f"{gateways}/v1/gateways"]
    del secure.answers[f"{gateways}/v1alpha2/tlsroutes"]
    resources = secure.answers[f"{gateways}/v1"]["json"]["resources"]
    resources[:] = [one for one in resources if one["kind"] != "Gateway"]
    versions = secure.answers[gateways]["json"]["versions"]
    versions.append({"version": "v9"})
    secure.answers[f"{gateways}/v9"] = {"json": {"kind": "APIResourceList", "resources": [{"kind": "Gateway"}]}}
    secure.answers["/apis/gateway.envoyproxy.io"] = {"status": 403, "json": {"kind": "Status", "code": 403}}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    found = outcomes(root)
    assert found["gateways.json"] == (
        "unsupported the cluster has Gateway objects of gateway.networking.k8s.io in other versions only (v9)"
    )
    assert found["backends.json"] == "denied HTTP 403 Forbidden"
    assert found["tlsroutes.json"] == "unsupported HTTP 404 Not Found"


def test_a_client_certificate(mutual: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path) -> None:
    mutual.load("kubernetes")
    data = {
        "client-certificate-data": b64encode(authority.client.read_bytes()).decode(),
        "client-key-data": b64encode(authority.client_key.read_bytes()).decode(),
    }
    file = written(tmp_path / "config", kubeconfig(mutual.url, authority, **data))
    text = INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", "")
    root, _ = collect(text)
    assert outcomes(root)["cronjobs.json"] == "ok"
    assert "authorization" not in mutual.asked[0].headers
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert authority.client_key.read_bytes().splitlines()[1] not in kept


def test_no_client_certificate_is_denied_and_asked_once(
    mutual: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path
) -> None:
    mutual.load("kubernetes")
    file = written(tmp_path / "config", kubeconfig(mutual.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert set(outcomes(root).values()) == {"denied the server accepts no client without a certificate that it knows"}
    assert not mutual.asked


def test_another_certificate_than_the_kubeconfigs(
    secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path
) -> None:
    secure.load("kubernetes")
    config = kubeconfig(secure.url, authority, token=TOKEN)
    config["clusters"][0]["cluster"]["tls-server-name"] = "kubernetes.default"
    file = written(tmp_path / "config", config)
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert outcomes(root)["cronjobs.json"].startswith("unreachable its TLS certificate is not accepted")
    config["clusters"][0]["cluster"]["tls-server-name"] = "localhost"
    written(file, config)
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""), "--resume")
    assert outcomes(root)["cronjobs.json"] == "ok"


def test_a_program_is_never_run(secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path) -> None:
    secure.load("kubernetes")
    program = tmp_path / "login"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\necho {TOKEN}\n")
    program.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "args": ["--token"]}}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, **user))
    text = INVENTORY.replace("@kubeconfig@", str(file))
    root, code = collect(text.replace("@more@", ""))
    assert code == 4
    detail = outcomes(root)["cronjobs.json"]
    assert detail.startswith("denied the kubeconfig config: its user logs in through a program (`exec`: ")
    assert detail.endswith("and none is ever run: name what prints a token in `token_command`")
    assert not secure.asked
    root, _ = collect(text.replace("@more@", f", token_command: [printf, {TOKEN}]"), "--resume")
    assert outcomes(root)["cronjobs.json"] == "ok"
    assert not (tmp_path / "was-run").exists()


def test_a_url_and_a_token_instead_of_a_kubeconfig(
    secure: Any, authority: Any, collect: Any, outcomes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure.load("kubernetes")
    monkeypatch.setenv("PLANTED", TOKEN)
    source = f'{{kind: kubernetes, name: prod, url: "{secure.url}", ca: "{authority.ca}", token_env: PLANTED}}'
    root, _ = collect(f"version: 1\nsources:\n  - {source}\n")
    assert outcomes(root)["cronjobs.json"] == "ok"


def test_a_cluster_of_before(secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path) -> None:
    """No EndpointSlices, no cert-manager; and a page that is gone once it is asked for."""
    secure.load("kubernetes")
    for path in list(secure.answers):
        if "discovery" in path or "cert-manager" in path:
            del secure.answers[path]
    address = {"ip": "10.20.4.1"}
    pod = {"ip": "10.244.0.1", "targetRef": {"kind": "Pod", "name": "p"}}
    secure.answers["/api/v1/endpoints"] = {
        "json": {
            "kind": "EndpointsList",
            "metadata": {},
            "items": [
                {"metadata": {"name": "db", "namespace": "web"}, "subsets": [{"addresses": [address]}]},
                {"metadata": {"name": "web", "namespace": "web"}, "subsets": [{"addresses": [pod]}]},
                {"metadata": {"name": "none", "namespace": "web"}},
            ],
        }
    }
    secure.answers["/apis/batch/v1/cronjobs?limit=500&continue=page-2"] = {"status": 410, "json": {"code": 410}}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    found = outcomes(root)
    assert found["certificates.json"] == "absent the cluster has no such API"
    assert found["cronjobs.json"] == (
        "partial only the first 1: the list took so long that the cluster forgot it, 3 times (HTTP 410 Gone)"
    )
    assert secure.paths.count("/apis/batch/v1/cronjobs?limit=500") == 3
    kept = json.loads((root / "services/prod/endpoints.json").read_text())
    assert (kept["kind"], [one["metadata"]["name"] for one in kept["items"]]) == ("EndpointsList", ["db"])


def expired(token: str) -> dict[str, Any]:
    """As the API server refuses a token that is too old (apiserver, storage/continue.go)."""
    status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "metadata": {"continue": token}}
    return {"status": 410, "json": status}


def page(following: str, *names: str) -> dict[str, Any]:
    items = [{"metadata": {"namespace": "edge", "name": name}, "spec": {"suspend": name < "c"}} for name in names]
    return {"json": {"kind": "CronJobList", "metadata": {"continue": following}, "items": items}}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "absent the cluster has no such API"),
        (
            {"json": {"kind": "APIGroup", "name": "cert-manager.io", "versions": [{"version": "v1alpha2"}]}},
            "unsupported the cluster has Certificate objects of cert-manager.io in other versions only (v1alpha2)",
        ),
        ({"status": 403, "json": {"code": 403}}, "denied HTTP 403 Forbidden"),
    ],
)
def test_an_api_in_other_versions_is_not_taken_for_none(
    secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path, answer: dict[str, Any] | None, said: str
) -> None:
    secure.load("kubernetes")
    for path in list(secure.answers):
        if "cert-manager" in path:
            del secure.answers[path]
    if answer is not None:
        secure.answers["/apis/cert-manager.io"] = answer
        secure.answers["/apis/cert-manager.io/v1alpha2"] = {"json": {"resources": [{"kind": "Certificate"}]}}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert outcomes(root)["certificates.json"] == said


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        # From the start again: what has come since is there, what was there twice is there once.
        (
            [page("2", "a", "b"), page("3", "a", "b", "c")],
            {"2": [expired("x")], "3": [page("", "d")]},
            ["", "2", "", "3"],
        ),
        # Again and again: then from the same place, with the token of the refusal.
        (
            [page("2", "a", "b", "c")],
            {"2": [expired("x")], "x": [expired("y")], "y": [page("", "d")]},
            ["", "2", "", "2", "", "2", "x", "y"],
        ),
    ],
)
def test_a_list_that_takes_too_long_is_begun_again(
    secure: Any,
    authority: Any,
    collect: Any,
    outcomes: Any,
    tmp_path: Path,
    first: list[dict[str, Any]],
    second: dict[str, list[dict[str, Any]]],
    asked: list[str],
) -> None:
    secure.load("kubernetes")
    path = "/apis/batch/v1/cronjobs?limit=500"
    secure.answers |= {path: first} | {f"{path}&continue={token}": pages for token, pages in second.items()}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert outcomes(root)["cronjobs.json"] == "ok"
    kept = json.loads((root / "services/prod/cronjobs.json").read_text())
    assert [one["metadata"]["name"] for one in kept["items"]] == ["a", "b", "c", "d"]
    tokens = [one.partition("continue=")[2] for one in secure.paths if "cronjobs" in one]
    assert tokens == asked


@pytest.mark.parametrize(
    "onward",
    [
        {"status": 410, "text": "no JSON"},
        {"status": 410, "json": {"metadata": {"continue": ["2"]}}},
        {"status": 410, "json": []},
        expired("2"),
    ],
)
def test_a_list_that_can_not_be_ended_is_partial(
    secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path, onward: dict[str, Any]
) -> None:
    secure.load("kubernetes")
    path = "/apis/batch/v1/cronjobs?limit=500"
    secure.answers |= {path: page("2", "a"), f"{path}&continue=2": onward}
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert outcomes(root)["cronjobs.json"].startswith("partial only the first 1: the list took so long")
    assert secure.paths.count(path) == 3


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"text": '{"kind": "CronJobList", "items": [', "length": 900}, "partial the answer breaks off"),
        ({"text": "<html>log in</html>"}, "partial the answer is not JSON: a web page"),
        ({"json": ["no", "list"]}, "partial the answer is no list of Kubernetes"),
        ({"json": {"kind": "CronJobList", "metadata": {}, "items": ["x"]}}, "partial the answer has another form"),
        ({"status": 401, "json": {"code": 401}}, "denied HTTP 401"),
        (
            {"status": 307, "headers": {"Location": "https://sso.example.org/"}, "json": {}},
            "denied redirected to another",
        ),
    ],
)
def test_faults(
    secure: Any, authority: Any, collect: Any, outcomes: Any, tmp_path: Path, answer: dict[str, Any], detail: str
) -> None:
    secure.load("kubernetes")
    secure.answers["/apis/batch/v1/cronjobs?limit=500"] = answer
    file = written(tmp_path / "config", kubeconfig(secure.url, authority, token=TOKEN))
    root, _ = collect(INVENTORY.replace("@kubeconfig@", str(file)).replace("@more@", ""))
    assert outcomes(root)["cronjobs.json"].startswith(detail)
    assert outcomes(root)["ingresses.json"] == "ok"


URL = "https://k8s.parcel.example:6443"


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ({"user": {"auth-provider": {"name": "gcp"}}}, Outcome.DENIED, "(`auth-provider`: gcp)"),
        ({"user": {"exec": "planted"}}, Outcome.DENIED, "none is ever run"),
        ({"user": {"as": "root", "token": TOKEN}}, Outcome.DENIED, "acts as another one"),
        ({"user": {"username": "a", "password": "planted"}}, Outcome.DENIED, "takes no more since 1.19"),
        ({"user": {"token": "two words"}}, Outcome.DENIED, "more than one printable word"),
        ({"user": {"tokenFile": "not/there"}}, Outcome.UNSUPPORTED, "not/there can't be read"),
        ({"user": {"client-key-data": "eA=="}}, Outcome.DENIED, "without the other"),
        ({"user": {"client-key-data": "%"}}, Outcome.UNSUPPORTED, "`client-key-data` is not base64"),
        ({"cluster": {"insecure-skip-tls-verify": True}}, Outcome.UNSUPPORTED, "give the cluster's CA"),
        ({"cluster": {"proxy-url": "socks5://localhost:1"}}, Outcome.UNSUPPORTED, "`proxy-url` is not used"),
        ({"cluster": {"server": ""}}, Outcome.UNSUPPORTED, "no `server`"),
        ({"context": {"cluster": "other"}}, Outcome.UNSUPPORTED, "no cluster called other"),
        ({"users": "x"}, Outcome.UNSUPPORTED, "no user called auditor"),
    ],
)
def test_what_a_kubeconfig_may_not_ask_for(
    authority: Any, tmp_path: Path, change: dict[str, Any], outcome: Outcome, words: str
) -> None:
    config = kubeconfig(URL, authority, token=TOKEN)
    for key, value in change.items():
        if key == "users":
            config["users"] = value
        elif key == "user":
            config["users"][0]["user"] = value
        else:
            config[f"{key}s"][0][key] |= value
    error = refusal(written(tmp_path / "config", config))
    assert error.outcome is outcome
    assert words in error.detail
    assert "planted" not in error.detail.replace("`exec`: planted", "")


def test_kubeconfigs_that_are_none(tmp_path: Path, authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "can't be read: No such file" in refusal(tmp_path / "none").detail
    for text, words in (
        ("[", "no YAML"),
        ("- a\n", "no mapping"),
        ("a: 1\n---\nb: 2\n", "no single"),
        ("a: 1\n", "no context"),
    ):
        (tmp_path / "config").write_text(text)
        assert words in refusal(tmp_path / "config").detail
    assert "no current context" in refusal(tmp_path / "config", "").detail
    (tmp_path / "config").write_bytes(b"#" * (2 << 20))
    assert "larger than" in refusal(tmp_path / "config").detail
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(FailedError, match="several files"):
        default_kubeconfig()
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a")
    assert default_kubeconfig() == tmp_path / "a"


def test_files_beside_a_kubeconfig(tmp_path: Path, authority: Any) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "ca.crt").write_bytes(authority.ca.read_bytes())
    config = kubeconfig(URL, authority, tokenFile="token")
    config["clusters"][0]["cluster"] = {"server": URL, "certificate-authority": "ca.crt"}
    found = read_kubeconfig(written(tmp_path / "config", config), "prod")
    assert found.token == TOKEN
    assert found.ca_data == authority.ca.read_text()
    assert TOKEN not in repr(found)
