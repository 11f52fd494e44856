"""From `inventory.yaml` to an `Inventory`: YAML, schema and checks, and every problem with its line and a hint."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from auditor.errors import InventoryError
from auditor.inventory.checks import HOST_LIMIT, check
from auditor.inventory.schema import Entry, Inventory, Origin
from auditor.inventory.yaml_lines import SIZE_LIMIT, Node, Problem, read_yaml
from auditor.redaction import MARK
from auditor.text import RANGE_LIMIT, decode, excerpt, expand_range, normal_name, range_size

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_OTHER_WORDS: Final[Mapping[str, str]] = {
    "address": "addresses",
    "alias": "names",
    "aliases": "names",
    "date": "on",
    "fqdn": "name",
    "host": "hosts",
    "hostname": "name",
    "ip": "addresses",
    "ips": "addresses",
    "members": "deployed_to",
    "replaced_by": "successor",
    "replacement": "successor",
    "state": "lifecycle",
    "status": "lifecycle",
    "timezone": "time_zone",
}
_BOOLEANS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_SECRET_WORDS: Final = ("token", "password", "passwd", "secret", "api_key", "apikey", "bearer", "credential")


def load(path: Path, *, now: datetime | None = None) -> Inventory:
    """The inventory in a file.

    `now` is what dates are compared with, by default the inventory's `collected_at`. Raises InventoryError with all
    problems at once, sorted by line, each `file:line: what (hint)`.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InventoryError([f"{path}: can't be read: {error.strerror or error}"]) from error
    return loads(content, str(path), now=now)


def loads(content: bytes, path: str = "inventory.yaml", *, now: datetime | None = None) -> Inventory:
    """As `load`, from bytes. `path` is what problems call the file."""
    root, problems = read_yaml(content)
    inventory: Inventory | None = None
    if root is None and not problems:
        problems.append(Problem(0, "the file is empty", "begin with `version: 1`"))
    elif root is not None and not isinstance(root.value, dict):
        what = f"expected keys and values, and this is {_called(root)}"
        problems.append(Problem(root.line, what, "begin with `version: 1`"))
    elif root is not None:
        inventory, wrong = _validated(root)
        problems += wrong
        unread: set[str] = set()
        if inventory is None:
            unread = _written_names(root)
            inventory = _sound_part(root, wrong)
        if inventory is not None:
            problems += check(inventory, now, unread)
        lines = {problem.line for problem in problems}
        problems += [problem for problem in _without_value(root) if problem.line not in lines]
    if problems or inventory is None or root is None:
        texts = [_line(path, problem) for problem in sorted(set(problems), key=lambda problem: problem.line)]
        raise InventoryError(texts, hint="Correct these lines; `auditor inventory schema` prints what may stand where.")
    inventory._origin = Origin(path, tuple(decode(content).splitlines()), root)
    return inventory


def _line(path: str, problem: Problem) -> str:
    place = f"{path}:{problem.line}" if problem.line else path
    return f"{place}: {problem.what}" + (f" ({problem.hint})" if problem.hint else "")


def _validated(root: Node) -> tuple[Inventory | None, list[Problem]]:
    try:
        inventory = Inventory.model_validate(root.plain())
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        # A list whose only items are wrong is "too short" to pydantic, too.
        true = [one for one in details if one["type"] != "too_short" or not _place(root, one["loc"])[1].value]
        return None, [_problem(root, detail) for detail in true]
    _give_lines(inventory, root)
    return inventory, []


def _without_value(root: Node) -> Iterator[Problem]:
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


def _sound_part(root: Node, problems: Iterable[Problem]) -> Inventory | None:
    """The inventory without the entries that are wrong, so that what the others contradict is told in the same run."""
    if not isinstance(root.value, dict):
        return None
    sound = Node({}, root.line, root.key_lines)
    values: dict[str, Node] = {}
    for key, child in root.value.items():
        if isinstance(child.value, list):
            values[key] = Node([item for item in child.value if _is_sound(key, item)], child.line)
        elif _is_sound_key(key, child):
            values[key] = child
    values.setdefault("version", Node(1, root.line))
    values = {key: child for key, child in values.items() if _is_known(key)}
    sound.value = values
    return _validated(sound)[0]


def _is_known(key: str) -> bool:
    return key in Inventory.model_fields


def _is_sound(key: str, item: Node) -> bool:
    try:
        Inventory.model_validate({"version": 1, key: [item.plain()]})
    except ValidationError:
        return False
    return True


def _is_sound_key(key: str, child: Node) -> bool:
    try:
        Inventory.model_validate({"version": 1, key: child.plain()})
    except ValidationError:
        return False
    return True


def _written_names(root: Node) -> set[str]:
    """Names of all hosts, networks and keys, also of those whose entries are wrong."""
    found: set[str] = set()
    for section in ("hosts", "networks", "keys"):
        entries = root.value.get(section) if isinstance(root.value, dict) else None
        for entry in entries.value if entries is not None and isinstance(entries.value, list) else []:
            for key in ("name", "names"):
                child = entry.value.get(key) if isinstance(entry.value, dict) else None
                for text in child.value if child is not None and isinstance(child.value, list) else [child]:
                    if text is None or not isinstance(text.value, str):
                        continue
                    found.add(text.value)
                    if section == "hosts" and range_size(text.value) <= RANGE_LIMIT and len(found) < HOST_LIMIT:
                        found.update(expand_range(normal_name(text.value)))
    return found | {name.split(".", 1)[0] for name in found}


def _problem(root: Node, detail: ErrorDetails) -> Problem:
    """A problem in words from one of pydantic's."""
    path, node, line, model, key = _place(root, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(line, f"{_in(path[:-1])}unknown key `{excerpt(key)[:60]}`", _key_hint(key, model))
    if kind == "missing":
        return Problem(line, f"{_in(path)}the key `{key}` is missing", _missing_hint(key, model))
    what, hint = _expected(kind, context, detail["msg"])
    called = _called(node, key)
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
        return Problem(line, f"`{_dotted(path)}`: expected {what}, and this is {called}", hint)
    if kind in ("enum", "literal_error"):
        return Problem(line, f"`{_dotted(path)}`: expected {what}, and this is {called}", _word_hint(node, what))
    if kind == "union_tag_not_found":
        if isinstance(node.value, dict):
            return Problem(line, f"{_in(path)}the key `kind` is missing", "write `kind: ssh` or another")
        what = f"`{_dotted(path)}`: expected keys and values, and this is {called}"
        return Problem(line, what, "begin with `kind:`")
    if kind == "union_tag_invalid":
        inner = node.value.get("kind") if isinstance(node.value, dict) else None
        kinds = str(context.get("expected_tags", "")).replace("'", "")
        tag = inner if inner is not None else node
        place = inner.line if inner is not None else line
        what = f"`{_dotted(path)}.kind`: expected one of {kinds}, and this is {_called(tag)}"
        return Problem(place, what, _word_hint(tag, kinds))
    return Problem(line, f"`{_dotted(path)}`: {what}", hint)


def _place(root: Node, loc: Sequence[int | str]) -> tuple[list[int | str], Node, int, type[BaseModel] | None, str]:
    """Path, node, line, enclosing model and last key of one of pydantic's locations, which also name union members."""
    node, path = root, list[int | str]()
    annotation: Any = Inventory
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
        return "this number is out of range", "a port is between 1 and 65535"
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


def _called(node: Node, key: str = "") -> str:
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
