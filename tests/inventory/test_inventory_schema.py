from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from auditor.errors import InventoryError
from auditor.inventory import inventory_json_schema, starter
from auditor.inventory.loading import loads
from auditor.inventory.yaml_lines import read_yaml

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "inventory.md"


def plain(content: bytes) -> Any:
    """As an editor with YAML 1.2 sees a document."""
    root, problems = read_yaml(content)
    assert root is not None
    assert not problems
    return root.plain()


def properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = inventory_json_schema()
    for name, definition in [("Inventory", schema), *schema["$defs"].items()]:
        for key, value in definition.get("properties", {}).items():
            yield name, key, value


def test_is_a_2020_12_schema() -> None:
    schema = inventory_json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    json.dumps(schema)


def test_every_property_has_title_and_description() -> None:
    found = list(properties())
    assert len(found) > 120
    for name, key, value in found:
        assert value.get("title"), f"{name}.{key}"
        assert value.get("description"), f"{name}.{key}"


@pytest.mark.parametrize(
    "content", [(HERE / "complete.yaml").read_bytes(), starter().encode()], ids=["complete", "starter"]
)
def test_accepts(content: bytes) -> None:
    errors = list(Draft202012Validator(inventory_json_schema()).iter_errors(plain(content)))
    assert not errors


def test_complete_document_has_every_key() -> None:
    written = set(re.findall(r"([a-z_]+):(?: |$)", (HERE / "complete.yaml").read_text(), re.M))
    assert {key for _, key, _ in properties()} <= written


@pytest.mark.parametrize("case", ["unknown_keys", "wrong_types", "missing_keys", "version"])
def test_refuses_what_the_loader_refuses(case: str) -> None:
    content = (HERE / "cases" / f"{case}.yaml").read_bytes()
    assert not Draft202012Validator(inventory_json_schema()).is_valid(plain(content))


@pytest.mark.parametrize(
    "text",
    [
        "hosts: [{name: a, lifecycle: retiring}]",
        "owner:",
        "hosts: [{name: a, since: yesterday}]",
        "procedures: [{name: p, kind: renewal, steps: [{name: s, duration: soon}]}]",
        "sources: [{kind: grafana, url: 'https://x', token_env: 'not a name'}]",
    ],
)
def test_schema_and_loader_agree(text: str) -> None:
    content = f"version: 1\n{text}\n".encode()
    assert not Draft202012Validator(inventory_json_schema()).is_valid(plain(content))
    with pytest.raises(InventoryError):
        loads(content)


def test_documentation_names_every_key_and_its_examples_load() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, key, value in properties():
        assert f"| `{key}` | {value['description']}" in text, f"{name}.{key}"
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        loads(example.encode())
