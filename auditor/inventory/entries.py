"""YAML that people write, as pydantic models: every value with its line, every problem with a line and a hint.

Imports pydantic: import this module only where such a file is read.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, PrivateAttr, StrictStr, ValidationError
from pydantic_core import PydanticCustomError

from auditor.inventory.values import WrongValueError
from auditor.inventory.yaml_lines import Node, Problem, read_yaml
from auditor.redaction import MARK
from auditor.text import excerpt

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
M = TypeVar("M", bound="Entry")

_OTHER_WORDS: Final[Mapping[str, str]] = {
    "address": "addresses",
    "alias": "names",
    "aliases": "names",
    "date": "on",
    "expiry": "expires",
    "fqdn": "name",
    "host": "hosts",
    "hostname": "name",
    "id": "rule",
    "ip": "addresses",
    "ips": "addresses",
    "members": "deployed_to",
    "off": "enabled",
    "on": "expires",
    "replaced_by": "successor",
    "replacement": "successor",
    "state": "lifecycle",
    "status": "lifecycle",
    "thresholds": "settings",
    "timezone": "time_zone",
    "until": "expires",
}
_BOOLEANS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_SECRET_WORDS: Final = ("token", "password", "passwd", "secret", "api_key", "apikey", "bearer", "credential")


class Entry(BaseModel):
    """An entry of such a file, which knows its lines."""

    # Built as a part of its document alone, and not once more for each class: a tenth of the time to load.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    _line: int = PrivateAttr(default=0)
    _key_lines: Mapping[str, int] = PrivateAttr(default_factory=dict)

    @property
    def line(self) -> int:
        """The line in the file, from 1; 0 if it was not read from one."""
        return self._line

    @property
    def key_lines(self) -> Mapping[str, int]:
        """The lines of the keys that were written, by the key's spelling in the file."""
        return self._key_lines

    def line_of(self, key: str) -> int:
        """The line of one key, or of the entry where the key was not written."""
        return self._key_lines.get(key, self._line)


def checked(check: Callable[[str], T]) -> Callable[[str], T]:
    """A check that raises WrongValueError as one that pydantic understands."""

    def run(value: str) -> T:
        try:
            return check(value)
        except WrongValueError as error:
            raise PydanticCustomError("inventory", "{what}", {"what": str(error), "hint": error.hint}) from None

    return run


def parsed(parse: Callable[[str], T], expected: str) -> PlainValidator:
    """A parser of text into another type; anything but text is wrong."""
    check = checked(parse)

    def run(value: object) -> T:
        if not isinstance(value, str):
            raise PydanticCustomError("inventory_type", "{what}", {"what": expected, "hint": ""})
        return check(value)

    return PlainValidator(run)


def _text(value: str) -> str:
    bare = value.strip()
    if not bare:
        raise WrongValueError("this text is empty", "write a value, or remove the line")
    return bare


Text = Annotated[StrictStr, AfterValidator(checked(_text))]


def read(model: type[M], content: bytes, first_line: str) -> tuple[Node | None, M | None, list[Problem]]:
    """A document as its root with lines and as a model, and all that is wrong with it by its schema.

    `first_line` is how such a file begins.
    """
    root, problems = read_yaml(content)
    if root is None:
        if not problems:
            problems.append(Problem(0, "the file is empty", f"begin with `{first_line}`"))
        return None, None, problems
    if not isinstance(root.value, dict):
        what = f"expected keys and values, and this is {called(root)}"
        return None, None, [*problems, Problem(root.line, what, f"begin with `{first_line}`")]
    found, wrong = validated(model, root)
    return root, found, problems + wrong


def told(path: str, problems: Iterable[Problem]) -> list[str]:
    """Problems as `file:line: what (hint)`, by line."""
    return [located(path, problem) for problem in sorted(set(problems), key=lambda problem: problem.line)]


def located(path: str, problem: Problem) -> str:
    place = f"{path}:{problem.line}" if problem.line else path
    return f"{place}: {problem.what}" + (f" ({problem.hint})" if problem.hint else "")


def validated(model: type[M], root: Node) -> tuple[M | None, list[Problem]]:
    """A model of a document, or what is wrong with it by its schema."""
    try:
        found = model.model_validate(root.plain())
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        # A list whose only items are wrong is "too short" to pydantic, too.
        true = [one for one in details if one["type"] != "too_short" or not _place(model, root, one["loc"])[1].value]
        return None, [_problem(model, root, detail) for detail in true]
    _give_lines(found, root)
    return found, []


def without_value(root: Node) -> Iterator[Problem]:
    """Keys and items that end after the colon or hyphen: an absent key is no null."""
    pending: list[tuple[list[int | str], Node]] = [([], root)]
    while pending:
        path, node = pending.pop()
        children: Iterable[tuple[int | str, Node]] = ()
        if isinstance(node.value, dict):
            children = node.value.items()
        elif isinstance(node.value, list):
            children = enumerate(node.value)
        for key, child in children:
            if child.value is None:
                line = node.key_lines.get(key, child.line) if isinstance(key, str) else child.line
                yield Problem(line, f"`{_dotted([*path, key])}` has no value", "write one, or remove the line")
            elif isinstance(child.value, (dict, list)):
                pending.append(([*path, key], child))


def _give_lines(entry: Entry, node: Node) -> None:
    if not isinstance(node.value, dict):
        return
    entry._line, entry._key_lines = node.line, node.key_lines
    for name, info in type(entry).model_fields.items():
        child = node.value.get(info.alias or name)
        value = getattr(entry, name)
        if child is None:
            continue
        if isinstance(value, Entry):
            _give_lines(value, child)
        elif isinstance(value, tuple) and isinstance(child.value, list):
            for item, item_node in zip(value, child.value, strict=True):
                if isinstance(item, Entry):
                    _give_lines(item, item_node)


def _problem(document: type[BaseModel], root: Node, detail: ErrorDetails) -> Problem:
    """A problem in words from one of pydantic's."""
    path, node, line, model, key = _place(document, root, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(line, f"{_in(path[:-1])}unknown key `{excerpt(key)[:60]}`", _key_hint(key, model))
    if kind == "missing":
        return Problem(line, f"{_in(path)}the key `{key}` is missing", _missing_hint(key, model))
    what, hint = _expected(kind, context, detail["msg"])
    this = called(node, key)
    is_shape = kind.endswith(("_type", "_parsing")) or kind == "inventory_type"
    if is_shape:
        if node.value is None:
            return Problem(line, f"`{_dotted(path)}` has no value", f"expected {what}: write one, or remove the line")
        if isinstance(node.value, (int, float)) and what == "text":
            hint = f'put it in quotes: "{str(node.value).lower() if isinstance(node.value, bool) else node.value}"'
        elif what == "a list" and not isinstance(node.value, dict):
            hint = f"write `{key}: [{_shown(node, key)}]`"
        elif what == "true or false" and (word := _BOOLEANS.get(str(node.value).lower())):
            hint = f"write `{word}`"
        return Problem(line, f"`{_dotted(path)}`: expected {what}, and this is {this}", hint)
    if kind in ("enum", "literal_error"):
        return Problem(line, f"`{_dotted(path)}`: expected {what}, and this is {this}", _word_hint(node, what))
    if kind == "union_tag_not_found":
        if isinstance(node.value, dict):
            return Problem(line, f"{_in(path)}the key `kind` is missing", "write `kind: ssh` or another")
        what = f"`{_dotted(path)}`: expected keys and values, and this is {this}"
        return Problem(line, what, "begin with `kind:`")
    if kind == "union_tag_invalid":
        inner = node.value.get("kind") if isinstance(node.value, dict) else None
        kinds = str(context.get("expected_tags", "")).replace("'", "")
        tag = inner if inner is not None else node
        place = inner.line if inner is not None else line
        what = f"`{_dotted(path)}.kind`: expected one of {kinds}, and this is {called(tag)}"
        return Problem(place, what, _word_hint(tag, kinds))
    return Problem(line, f"`{_dotted(path)}`: {what}", hint)


def _place(
    document: type[BaseModel], root: Node, loc: Sequence[int | str]
) -> tuple[list[int | str], Node, int, type[BaseModel] | None, str]:
    """Path, node, line, enclosing model and last key of one of pydantic's locations, which also name union members."""
    node, path = root, list[int | str]()
    annotation: Any = document
    model: type[BaseModel] | None = None
    line = root.line
    key = ""
    for part in loc:
        members = _models(annotation)
        if isinstance(part, int):
            if not isinstance(node.value, list) or part >= len(node.value):
                break
            node = node.value[part]
            line = node.line
            annotation = next(iter(get_args(_bare(annotation))), None)
        elif len(members) > 1:
            # The tag of a union is a part of the location and not of the document.
            annotation = next((one for one in members if part in get_args(one.model_fields["kind"].annotation)), None)
            continue
        else:
            model = members[0] if members else None
            key = part
            if not isinstance(node.value, dict) or part not in node.value:
                break
            line = node.key_lines.get(part, node.line)
            node = node.value[part]
            fields = {info.alias or name: info for name, info in model.model_fields.items()} if model else {}
            annotation = fields[part].annotation if part in fields else None
        path.append(part)
    return path, node, line, model, key


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        if len(options) == 1:
            return _bare(options[0])
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    bare = _bare(annotation)
    options = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _expected(kind: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    """What was expected, or what is wrong, in words, and a hint."""
    if kind in ("inventory", "inventory_type"):
        return str(context.get("what", "")), str(context.get("hint", ""))
    words = {
        "string_type": ("text", "write one value"),
        "int_type": ("a whole number", "write it without quotes"),
        "bool_type": ("true or false", "write `true` or `false`"),
        "tuple_type": ("a list", "write its items with a hyphen each, or between brackets"),
        "model_type": ("keys and values", "write `key: value` on lines of their own"),
        "model_attributes_type": ("keys and values", "write `key: value` on lines of their own"),
        "too_short": ("this list is empty", "write at least one item"),
    }
    if kind in words:
        return words[kind]
    if kind in ("enum", "literal_error"):
        return "one of " + str(context.get("expected", "")).replace("'", "").replace(" or ", ", "), ""
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        return "this number is out of range", f"at {'least' if 'ge' in context else 'most'} {bound}"
    return message[:1].lower() + message[1:], ""


def _key_hint(key: str, model: type[BaseModel] | None) -> str:
    known = [info.alias or name for name, info in model.model_fields.items()] if model else []
    plain = key.lower().replace("-", "_").replace(" ", "_")
    if plain in known:
        return f"did you mean `{plain}`?"
    if any(word in plain for word in _SECRET_WORDS) and "token_env" in known:
        return "secrets never stand in the inventory: use `token_env` or `token_command`"
    other = _OTHER_WORDS.get(plain)
    if other in known:
        return f"did you mean `{other}`?"
    found = get_close_matches(plain, known, n=1)
    return f"did you mean `{found[0]}`?" if found else "the keys here are " + ", ".join(known)


def _missing_hint(key: str, model: type[BaseModel] | None) -> str:
    if key == "version":
        return "add `version: 1` as the first line"
    fields = model.model_fields if model else {}
    info = next((info for name, info in fields.items() if (info.alias or name) == key), None)
    return f"add it: {info.description}" if info and info.description else "add it"


def _word_hint(node: Node, words: str) -> str:
    options = words.removeprefix("one of ").split(", ")
    found = get_close_matches(str(node.value).lower().replace("_", "-"), options, n=1)
    return f"did you mean `{found[0]}`?" if found else ""


def called(node: Node, key: str = "") -> str:
    """What a value is, in words, without any secret in it."""
    if isinstance(node.value, dict):
        return "keys and values"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"`{str(node.value).lower()}`"
    if isinstance(node.value, (int, float)):
        return f"the number {node.value}"
    shown = _shown(node, key)
    return f"the text `{shown}`" if shown else "text"


def _shown(node: Node, key: str) -> str:
    if isinstance(node.value, bool):
        return str(node.value).lower()
    text = excerpt(str(node.value))[:60]
    if key.startswith("token") or MARK in excerpt(f"{key}: {node.value}"):
        return ""
    return text


def _dotted(path: Sequence[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{excerpt(part)[:60]}" if text else excerpt(part)[:60]
    return text


def _in(path: Sequence[int | str]) -> str:
    return f"`{_dotted(path)}`: " if path else ""


def schema_of(model: type[Entry], title: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document, with a title and a description on every property."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    for definition in [schema, *schema.get("$defs", {}).values()]:
        for key, value in definition.get("properties", {}).items():
            value.setdefault("title", key.replace("_", " ").capitalize())
            # An absent key is not a null: the loader refuses `owner:` without a value.
            options = value.get("anyOf")
            if options and {"type": "null"} in options:
                rest = [option for option in options if option != {"type": "null"}]
                del value["anyOf"]
                value.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
            if value.get("default", ...) is None:
                del value["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}
