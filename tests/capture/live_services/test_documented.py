"""`docs/collect.md` names every kind of source, and the rights that it asks for are those that are needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from auditor.capture.http.icinga2 import ICINGA2
from auditor.capture.http.kubernetes import KUBERNETES
from auditor.capture.http.table import SERVICES
from auditor.capture.kinds import KINDS
from auditor.inventory.loading import loads

PAGE = (Path(__file__).parents[3] / "docs" / "collect.md").read_text(encoding="utf-8")


def test_every_kind_has_its_place() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    assert rows == set(KINDS)
    headings = set(re.findall(r"`kind: (\w+)`", " ".join(re.findall(r"^### .*$", PAGE, re.M))))
    assert headings == set(SERVICES)


def test_the_example_is_an_inventory() -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    inventory = loads(example.encode())
    assert {source.kind for source in inventory.sources} == set(KINDS)


def test_the_cluster_role_allows_what_is_asked(secure: Any, authority: Any, collect: Any) -> None:
    """No more than that, and no less."""
    secure.load("kubernetes")
    source = f'{{kind: kubernetes, name: prod, url: "{secure.url}", ca: "{authority.ca}"}}'
    collect(f"version: 1\nsources:\n  - {source}\n")
    asked = set()
    for path in secure.paths:
        parts = path.partition("?")[0].strip("/").split("/")
        # Everybody who has logged in may ask which kinds there are (the role system:discovery).
        if parts[0] in ("api", "apis") and "?" in path:
            asked.add(("" if parts[0] == "api" else parts[1], parts[-1]))
    assert len(asked) == len(KUBERNETES) - 1
    role = yaml.safe_load(re.findall(r"```yaml\n(apiVersion.*?)```", PAGE, re.DOTALL)[0])
    allowed = {(group, name) for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]}
    assert allowed == asked
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list"}


def test_the_api_user_of_icinga_may_query_what_is_asked() -> None:
    block = re.findall(r"```\n(object ApiUser.*?)```", PAGE, re.DOTALL)[0]
    allowed = {name.lower() for name in re.findall(r'"objects/query/(\w+)"', block)}
    asked = {step.file.removeprefix("objects/").removesuffix("s.json") for step in ICINGA2 if "objects/" in step.file}
    assert allowed == asked
