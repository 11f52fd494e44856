"""GitHub (REST API of 2022-11-28, Enterprise Server too) and GitLab (API v4): webhooks, and their last deliveries.

What in a webhook's URL may be a secret is cut off before it is kept, and of a delivery only when it was, what it was
for and how it was answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote

from auditor.capture.http.client import Client, Credentials, FailedError
from auditor.capture.http.services import Kept, Step, gathered, in_parts, listed, pages, path_part, picked
from auditor.model import Outcome
from auditor.redaction import public_part

_PAGE: Final = 100
_DELIVERIES: Final = 30
_EVENTS: Final = 20
"""Deliveries of one webhook that are looked at, the last ones; of GitLab as many as it gives unasked."""
_NAME: Final = re.compile(r"[\w.-]{1,255}(?:/[\w.-]{1,255})*", re.ASCII)

_Ask: TypeAlias = Callable[[Client], Iterator[Kept | Step]]


class GithubSource(Credentials, Protocol):
    """GitHub as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def organizations(self) -> tuple[str, ...]: ...
    @property
    def repositories(self) -> tuple[str, ...]: ...


class GitlabSource(Credentials, Protocol):
    """A GitLab as the inventory declares it."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def projects(self) -> tuple[str, ...]: ...
    @property
    def group_webhooks(self) -> bool: ...


_REPOSITORY_KEYS: Final = ("id", "full_name", "archived", "disabled", "fork", "pushed_at")
_GITHUB_HOOK: Final = (
    *("type", "id", "name", "active", "events", "config", "updated_at", "created_at", "url", "ping_url"),
    "last_response",
)
_GITHUB_DELIVERY: Final = (
    *("id", "guid", "delivered_at", "redelivery", "duration", "status", "status_code", "event", "action"),
    "throttled_at",
)


def github_client(source: GithubSource, token: str) -> Client:
    """A client for GitHub's API. Raises FailedError."""
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    return Client(source.url, token=token, ca=source.ca, headers=headers)


def github_steps(source: GithubSource) -> list[Step]:
    """Webhooks of organizations, of all their repositories, and of single repositories."""
    steps: list[Step] = []
    if not source.organizations and not source.repositories:
        mine = {"affiliation": "owner,collaborator,organization_member"}
        steps = [
            Step("organizations.json", _github_organizations, True),
            Step("repositories.json", _github_repositories("", "/user/repos", mine), True),
        ]
    for name in source.organizations:
        part = path_part(name)
        steps.append(_github_hooks(f"/orgs/{quote(name, safe='')}", part))
        whose = f"/orgs/{quote(name, safe='')}"
        steps.append(Step(f"repositories/{part}.json", _github_repositories(whose, "/repos", {"type": "all"}), True))
    steps.extend(_github_repository(name) for name in source.repositories)
    return steps


def _github_organizations(client: Client) -> Iterator[Kept | Step]:
    found, cut = gathered(listed(pages(client, "/user/orgs", {"per_page": _PAGE})))
    names = _named(found, "login")
    if not found and list(listed([client.get("/user/repos", {"affiliation": "organization_member", "per_page": 1})])):
        # A fine-grained token lists no organizations, whoever's member its user is.
        why = "the token does not show of which organizations its user is a member: name them in `organizations`"
        raise FailedError(Outcome.DENIED, why)
    if found:
        yield from in_parts([{"login": name} for name in names], partial=cut, indent=1)
    for name in names:
        yield _github_hooks(f"/orgs/{name}", path_part(name))


def _github_repositories(organization: str, path: str, query: Mapping[str, str]) -> _Ask:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found, cut = gathered(listed(pages(client, organization + path, {**query, "per_page": _PAGE})))
        names = _named(found, "full_name")
        if not found:
            raise FailedError(Outcome.DENIED, "there is no repository that the token may see")
        cut = cut or (_hidden(client, organization, len(found)) if organization else "")
        yield from in_parts([picked(one, _REPOSITORY_KEYS) for one in found], partial=cut)
        for name in names:
            yield _github_repository(name)

    return ask


def _hidden(client: Client, organization: str, count: int) -> str:
    """What of an organization's repositories its list leaves out, as it shows only what the token may see."""
    try:
        about = client.get(organization).json()
    except FailedError as error:
        if error.status not in (403, 404) or error.gone:
            raise
        about = {}
    private = about.get("total_private_repos")
    if not isinstance(private, int):
        why = "how many private ones there are is told to members, and to tokens with `Administration: read`"
        return f"only the {count} repositories that the token may see: {why}"
    total = int(about["public_repos"]) + private
    return f"{count} of {total} repositories: the others the token may not see" if count < total else ""


def _github_repository(name: str) -> Step:
    return _github_hooks(f"/repos/{name}", "/".join(map(path_part, name.split("/"))))


def _github_hooks(owner: str, place: str) -> Step:
    def ask(client: Client) -> Iterator[Kept | Step]:
        try:
            found, cut = gathered(listed(pages(client, f"{owner}/hooks", {"per_page": _PAGE})))
        except FailedError as error:
            raise _not_allowed(error, "its webhooks may be read by administrators alone") from None
        if found:
            yield from in_parts([_github_hook(one) for one in found], partial=cut, indent=1)
        for hook in found:
            if hook.get("active") is not False and isinstance(hook["id"], int):
                yield _github_deliveries(f"{owner}/hooks/{hook['id']}", f"{place}/{hook['id']}")

    return Step(f"hooks/{place}.json", ask, True)


def _github_hook(hook: Mapping[str, Any]) -> dict[str, Any]:
    made = picked(hook, _GITHUB_HOOK)
    config = hook.get("config")
    if isinstance(config, dict):
        made["config"] = _with_public_url(picked(config, ("url", "content_type", "insecure_ssl", "digest")))
    return made


def _github_deliveries(hook: str, place: str) -> Step:
    def ask(client: Client) -> Iterator[Kept | Step]:
        try:
            found = list(listed([client.get(f"{hook}/deliveries", {"per_page": _DELIVERIES})]))
        except FailedError as error:
            raise _no_list(error) from None
        if found:
            yield from in_parts([picked(one, _GITHUB_DELIVERY) for one in found])

    return Step(f"deliveries/{place}.json", ask)


_GROUP_KEYS: Final = ("id", "full_path", "web_url")
_PROJECT_KEYS: Final = ("id", "path_with_namespace", "web_url", "last_activity_at")
_GITLAB_HOOK: Final = (
    *("id", "url", "name", "description", "project_id", "group_id", "created_at", "alert_status", "disabled_until"),
    *("enable_ssl_verification", "push_events_branch_filter", "branch_filter_strategy"),
)


def gitlab_client(source: GitlabSource, token: str) -> Client:
    """A client for GitLab's API. Raises FailedError."""
    return Client(f"{source.url.rstrip('/')}/api/v4", token=token, ca=source.ca)


def gitlab_steps(source: GitlabSource) -> list[Step]:
    """Webhooks of groups, of all groups and projects below them, and of single projects."""
    steps: list[Step] = []
    if not source.groups and not source.projects:
        steps.append(Step("projects.json", _gitlab_projects("/projects", {"membership": "true"}), True))
        if source.group_webhooks:
            steps.append(Step("groups.json", _gitlab_groups("/groups", {"min_access_level": "10"}), True))
    for name in source.groups:
        part, whose = path_part(name.replace("/", ".")), f"/groups/{quote(name, safe='')}"
        if source.group_webhooks:
            steps.append(_gitlab_hooks(whose, _gitlab_place(name)))
            steps.append(Step(f"groups/{part}.json", _gitlab_groups(f"{whose}/descendant_groups", {}), True))
        below = {"include_subgroups": "true", "with_shared": "false"}
        steps.append(Step(f"projects/{part}.json", _gitlab_projects(f"{whose}/projects", below), True))
    steps.extend(_gitlab_hooks(f"/projects/{quote(name, safe='')}", _gitlab_place(name)) for name in source.projects)
    return steps


def _gitlab_groups(path: str, query: Mapping[str, str]) -> _Ask:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found, cut = gathered(listed(pages(client, path, {**query, "per_page": _PAGE})))
        names = _named(found, "full_path")
        if found:
            yield from in_parts([picked(one, _GROUP_KEYS) for one in found], partial=cut)
        for one, name in zip(found, names, strict=True):
            yield _gitlab_hooks(f"/groups/{int(one['id'])}", _gitlab_place(name))

    return ask


def _gitlab_projects(path: str, query: Mapping[str, str]) -> _Ask:
    def ask(client: Client) -> Iterator[Kept | Step]:
        found, cut = gathered(listed(pages(client, path, {**query, "simple": "true", "per_page": _PAGE})))
        names = _named(found, "path_with_namespace")
        if not found:
            raise FailedError(Outcome.DENIED, "there is no project that the token may see")
        yield from in_parts([picked(one, _PROJECT_KEYS) for one in found], partial=cut)
        for one, name in zip(found, names, strict=True):
            yield _gitlab_hooks(f"/projects/{int(one['id'])}", _gitlab_place(name))

    return ask


def _gitlab_place(name: str) -> str:
    return "/".join(map(path_part, name.split("/")))


def _gitlab_hooks(owner: str, place: str) -> Step:
    def ask(client: Client) -> Iterator[Kept | Step]:
        try:
            found, cut = gathered(listed(pages(client, f"{owner}/hooks", {"per_page": _PAGE})))
        except FailedError as error:
            why = "a project's webhooks are for maintainers"
            if owner.startswith("/groups/"):
                why = "a group's webhooks are for its owners, and come with Premium (else: `group_webhooks: false`)"
            raise _not_allowed(error, why) from None
        if found:
            yield from in_parts([_gitlab_hook(one) for one in found], partial=cut, indent=1)
        for hook in found:
            yield _gitlab_events(f"{owner}/hooks/{int(hook['id'])}", f"{place}/{int(hook['id'])}")

    return Step(f"hooks/{place}.json", ask, True)


def _gitlab_hook(hook: Mapping[str, Any]) -> dict[str, Any]:
    events = tuple(key for key in hook if key.endswith("_events"))
    return _with_public_url(picked(hook, (*_GITLAB_HOOK, *events)))


def _gitlab_events(hook: str, place: str) -> Step:
    def ask(client: Client) -> Iterator[Kept | Step]:
        try:
            found = list(listed([client.get(f"{hook}/events", {"per_page": _EVENTS})]))
        except FailedError as error:
            raise _no_list(error) from None
        if found:
            yield from in_parts([_gitlab_event(one) for one in found])

    return Step(f"deliveries/{place}.json", ask)


def _gitlab_event(event: Mapping[str, Any]) -> dict[str, Any]:
    made = picked(event, ("id", "trigger", "execution_duration", "response_status"))
    headers = event.get("response_headers")
    if isinstance(headers, dict):
        # Nothing else says when it was.
        made["response_headers"] = {key: value for key, value in headers.items() if key.lower() == "date"}
    return made


def _with_public_url(thing: dict[str, Any]) -> dict[str, Any]:
    if isinstance(thing.get("url"), str):
        thing["url"] = public_part(thing["url"])
    return thing


def _named(things: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The names of some things, which become parts of paths. Raises ValueError, TypeError for what is no name."""
    names: list[str] = [one[key] for one in things]
    if not all(_NAME.fullmatch(name) and not {".", ".."} & set(name.split("/")) for name in names):
        raise ValueError(key)
    return names


def _not_allowed(error: FailedError, why: str) -> FailedError:
    """Both answer "not found" to those who may not see it."""
    if error.status in (403, 404) and not error.gone:
        return FailedError(Outcome.DENIED, f"{error.detail}: {why}", status=error.status)
    return error


def _no_list(error: FailedError) -> FailedError:
    """A version that keeps no list of deliveries says so by not knowing the path: the webhook was there just now."""
    if error.status == 404:
        return FailedError(Outcome.ABSENT, "this version gives no list of deliveries", status=404)
    return error
