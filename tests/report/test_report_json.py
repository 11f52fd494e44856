from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from auditor.model import Report
from auditor.report import render
from tests.report.constructed import BLOCKED, EVERY, HOOK_FINDING, INCOMPLETE, at

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "report-v1.schema.json").read_text(encoding="utf-8"))


def checked(report: Report) -> dict[str, object]:
    document = json.loads(render(report, "json"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", EVERY)
def test_output_keeps_to_its_schema(name: str) -> None:
    document = checked(EVERY[name])
    assert document["version"] == 1
    assert document["verdict"] == EVERY[name].verdict


def test_the_schema_refuses_what_it_does_not_name() -> None:
    document = checked(BLOCKED)
    for broken in ({**document, "extra": 1}, {key: document[key] for key in document if key != "rules"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


def test_all_is_there() -> None:
    document = json.loads(render(BLOCKED, "json"))
    assert len(document["findings"]) == len(BLOCKED.findings)
    assert sum(len(finding["evidence"]) for finding in document["findings"]) == sum(
        len(finding.evidence) for finding in BLOCKED.findings
    )
    first = document["findings"][0]
    assert first["rule"] == "renewal-on-going-host"
    assert first["deadline"] == "2025-11-22T08:00:00Z"
    assert first["evidence"][0] == {
        "path": "hosts/legacy-cert-01.eventide.net/etc/cron.d/certbot",
        "line": 7,
        "excerpt": "17 */12 * * * root certbot -q renew",
        "collected_at": "2025-11-20T21:40:00Z",
        "api": "",
    }
    hook = document["findings"][1]
    relations = [step["relation"] for step in hook["path"]]
    assert relations == ["connects", "stands-for", "resolves", "resolves", "stands-for"]
    assert hook["path"][-1]["evidence"] is None
    assert len(json.loads(render(INCOMPLETE, "json"))["coverage"]) == len(INCOMPLETE.coverage)


def test_order_does_not_depend_on_how_findings_were_made() -> None:
    turned = replace(BLOCKED, findings=BLOCKED.findings[::-1])
    assert render(turned, "json") == render(BLOCKED, "json")


def test_a_file_name_that_is_not_utf8_survives() -> None:
    odd = replace(HOOK_FINDING, evidence=(at("hosts/a/etc/\udcff\x1b.conf", 1, "é"),))
    text = render(replace(BLOCKED, findings=(odd,)), "json")
    assert text.isascii()
    assert json.loads(text)["findings"][0]["evidence"][0]["path"] == "hosts/a/etc/\udcff\x1b.conf"


def test_the_page_names_every_key() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    keys = [*SCHEMA["properties"], *(key for part in SCHEMA["$defs"].values() for key in part.get("properties", {}))]
    assert [key for key in keys if f"`{key}`" not in page and f"`{key}[]`" not in page] == []
