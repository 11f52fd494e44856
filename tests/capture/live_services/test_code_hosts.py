"""GitHub and GitLab by recorded answers: what is asked, what is kept, and what the checklist makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TOKEN = "planted-token-0123456789"

GITHUB = """
version: 1
domains: [parcel.example]
hosts:
  - name: old-cert-01.parcel.example
    names: [acme-hook.parcel.example]
    addresses: [10.20.4.1]
    successor: cert-02.parcel.example
  - {name: cert-02.parcel.example, names: [deploy.parcel.example], addresses: [10.20.4.2]}
sources:
  - {kind: github, name: code, url: "@url@", organizations: [parcel], token_env: PLANTED}
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", TOKEN)


def test_github_to_the_checklist(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("github")
    root, code = collect(GITHUB.replace("@url@", recorded.url))
    assert code == 4
    found = outcomes(root)
    assert found.pop("hooks/parcel/site.json").startswith(
        "denied HTTP 404 Not Found: its webhooks may be read by admin"
    )
    assert found == {
        "hooks/parcel.json": "absent",
        "repositories/parcel.json": "ok",
        "hooks/parcel/cert-config.json": "ok",
        "hooks/parcel/.github.json": "absent",
        "deliveries/parcel/cert-config/418230771.json": "ok",
        "deliveries/parcel/cert-config/418230772.json": "absent",
    }
    assert {one.headers["authorization"] for one in recorded.asked} == {f"Bearer {TOKEN}"}
    assert {one.headers["accept"] for one in recorded.asked} == {"application/vnd.github+json"}
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept.replace(b"PLANTED", b"")
    report = ask(root, "old-cert-01.parcel.example")
    hook = next(one for one in report.findings if one.rule == "webhook-to-going-host")
    assert (
        "Webhook 418230771 of parcel/cert-config is delivered to https://acme-hook.parcel.example/github"
        in hook.message
    )
    assert "its last 2 deliveries failed since 2026-11-21, the last one was answered 502" in hook.why
    assert hook.evidence[0].path == "services/code/hooks/parcel/cert-config.json"
    assert "acme-hook.parcel.example/github" in hook.evidence[0].excerpt
    gaps = [row for row in report.coverage if row.path == "services/code/hooks/parcel/site.json"]
    assert [(row.area.value, row.outcome.value, row.needed) for row in gaps] == [("webhooks", "denied", True)]


def test_a_webhook_that_fails_at_the_successor(recorded: Any, collect: Any, ask: Any) -> None:
    recorded.load("github")
    hooks = recorded.answers["/repos/parcel/cert-config/hooks"]["json"]
    hooks[0]["config"]["url"] = "https://cert-02.parcel.example/github"
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    found = [one for one in ask(root, "old-cert-01.parcel.example").findings if one.rule.startswith("webhook")]
    assert [one.rule for one in found] == ["webhook-deliveries-fail"]
    assert "on cert-02.parcel.example, which takes over from old-cert-01.parcel.example" in found[0].message
    assert {one.path for one in found[0].evidence} == {
        "services/code/hooks/parcel/cert-config.json",
        "services/code/deliveries/parcel/cert-config/418230771.json",
    }


def test_repositories_that_the_token_may_not_see_are_a_gap(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("github")
    recorded.answers["/orgs/parcel"]["json"]["total_private_repos"] = 40
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    assert (
        outcomes(root)["repositories/parcel.json"] == "partial 3 of 41 repositories: the others the token may not see"
    )


def test_a_list_that_breaks_off_is_partial_and_its_beginning_is_followed(
    recorded: Any, collect: Any, outcomes: Any
) -> None:
    recorded.load("github")
    path = "/organizations/9919/repos?type=all&per_page=100&page=2"
    recorded.answers[path] = {"status": 410, "json": {"message": "gone"}}
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    found = outcomes(root)
    assert found["repositories/parcel.json"] == "partial only the first 2: HTTP 410 Gone"
    assert "hooks/parcel/cert-config.json" in found
    assert "hooks/parcel/.github.json" not in found


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ('<https://elsewhere.example.org/repos?page=2>; rel="next"', "redirected to another server"),
        ('<@url@/orgs/parcel/repos?type=all&per_page=100>; rel="next"', "its pages go in a circle"),
    ],
)
def test_pages_that_lead_astray(recorded: Any, collect: Any, outcomes: Any, link: str, words: str) -> None:
    recorded.load("github")
    recorded.answers["/orgs/parcel/repos?type=all&per_page=100"]["headers"]["Link"] = link
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    assert words in outcomes(root)["repositories/parcel.json"]


def test_a_limit_that_is_used_up_ends_the_questions(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("github")
    recorded.answers["/repos/parcel/site/hooks"] = {
        "status": 403,
        "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"},
        "json": {"message": "API rate limit exceeded"},
    }
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    found = outcomes(root)
    assert "its limit of requests is used up" in found["hooks/parcel/site.json"]
    assert found["hooks/parcel/site.json"].startswith("unreachable HTTP 403")
    assert found["hooks/parcel/cert-config.json"].startswith("unreachable HTTP 403")
    assert sum("/repos/parcel/" in path for path in recorded.paths) == 1


def test_a_run_that_goes_on_asks_only_for_what_is_missing(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("github")
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    recorded.answers["/repos/parcel/site/hooks"] = {"json": []}
    recorded.asked.clear()
    root, code = collect(GITHUB.replace("@url@", recorded.url), "--resume")
    assert code == 0
    assert outcomes(root)["hooks/parcel/site.json"] == "absent"
    assert not [path for path in recorded.paths if "deliveries" in path]
    recorded.asked.clear()
    collect(GITHUB.replace("@url@", recorded.url), "--resume")
    assert recorded.paths == []


def test_all_that_the_token_sees(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("github")
    recorded.answers |= {
        "/user/orgs": {"json": [{"login": "parcel", "id": 9919}]},
        "/user/repos": {"json": [{"id": 1296270, "full_name": "parcel/cert-config"}]},
    }
    root, code = collect(GITHUB.replace("@url@", recorded.url).replace("organizations: [parcel], ", ""))
    assert code == 0
    assert outcomes(root)["hooks/parcel/cert-config.json"] == "ok"
    assert "/user/repos?affiliation=owner%2Ccollaborator%2Corganization_member&per_page=100" in recorded.paths


@pytest.mark.parametrize(
    ("member", "said"),
    [([{"id": 1, "full_name": "parcel/site"}], "denied the token does not show of which"), ([], "absent")],
)
def test_no_organizations_are_none_only_if_nothing_is_theirs(
    recorded: Any, collect: Any, outcomes: Any, member: list[Any], said: str
) -> None:
    recorded.load("github")
    recorded.answers |= {
        "/user/orgs": {"json": []},
        "/user/repos": {"json": [{"id": 1296270, "full_name": "parcel/cert-config"}]},
        "/user/repos?affiliation=organization_member&per_page=1": {"json": member},
    }
    root, _ = collect(GITHUB.replace("@url@", recorded.url).replace("organizations: [parcel], ", ""))
    assert outcomes(root)["organizations.json"].startswith(said)
    assert outcomes(root)["hooks/parcel/cert-config.json"] == "ok"


@pytest.mark.parametrize("name", ["../../etc/cron.d", "parcel/..", "a/b\n", "", 7])
def test_hostile_names_make_no_paths(recorded: Any, collect: Any, outcomes: Any, name: str) -> None:
    recorded.load("github")
    recorded.answers["/orgs/parcel/repos?type=all&per_page=100"] = {"json": [{"id": 1, "full_name": name}]}
    recorded.answers["/orgs/parcel"]["json"] = {"public_repos": 1, "total_private_repos": 0}
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert all(
        path.startswith(("services/code/", "inventory.yaml", "captures.jsonl", "snapshot.json")) for path in files
    )
    assert outcomes(root)["repositories/parcel.json"].startswith("partial the answer has another form")
    assert not [path for path in recorded.paths if path.startswith("/repos/")]


GITLAB = """
version: 1
domains: [parcel.example]
hosts:
  - {name: old-cert-01.parcel.example, names: [acme-hook.parcel.example]}
sources:
  - {kind: gitlab, name: git, url: "@url@", groups: [platform/certs], token_env: PLANTED}
"""


def test_gitlab_to_the_checklist(recorded: Any, collect: Any, outcomes: Any, ask: Any) -> None:
    recorded.load("gitlab")
    root, code = collect(GITLAB.replace("@url@", recorded.url))
    assert code == 4
    found = outcomes(root)
    denied = found.pop("hooks/platform/certs/keys.json")
    assert denied.startswith("denied HTTP 403 Forbidden: a group's webhooks are for its owners")
    assert found == {
        "hooks/platform/certs.json": "absent",
        "groups/platform.certs.json": "ok",
        "projects/platform.certs.json": "ok",
        "hooks/platform/certs/renewals.json": "ok",
        "hooks/platform/certs/keys/vault.json": "absent",
        "deliveries/platform/certs/renewals/3.json": "ok",
        "deliveries/platform/certs/renewals/4.json": "absent this version gives no list of deliveries",
    }
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"planted" not in kept.replace(b"PLANTED", b"")
    report = ask(root, "old-cert-01.parcel.example")
    hook = next(one for one in report.findings if one.rule == "webhook-to-going-host")
    assert (
        "Webhook 3 of platform/certs/renewals is delivered to https://acme-hook.parcel.example/gitlab" in hook.message
    )
    assert "all 2 deliveries that are known failed since 2026-11-19, the last one was not answered" in hook.why


def test_a_gitlab_without_group_webhooks(recorded: Any, collect: Any, outcomes: Any) -> None:
    recorded.load("gitlab")
    text = GITLAB.replace("@url@", recorded.url).replace("token_env", "group_webhooks: false, token_env")
    root, code = collect(text)
    assert code == 0
    assert not [path for path in recorded.paths if path.startswith("/api/v4/groups/") and "hooks" in path]
    assert outcomes(root)["hooks/platform/certs/renewals.json"] == "ok"


def test_what_is_kept_is_the_answer_in_its_own_form(recorded: Any, collect: Any) -> None:
    recorded.load("github")
    root: Path
    root, _ = collect(GITHUB.replace("@url@", recorded.url))
    kept = json.loads((root / "services/code/hooks/parcel/cert-config.json").read_text())
    assert [one["id"] for one in kept] == [418230771, 418230772, 418230773]
    assert kept[0]["config"] == {
        "url": "https://acme-hook.parcel.example/github",
        "content_type": "json",
        "insecure_ssl": "0",
    }
    assert kept[1]["config"]["url"] == "https://deploy.parcel.example/hooks"
