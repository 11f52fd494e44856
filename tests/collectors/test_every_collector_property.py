"""Every collector of the registry, over its own cases with some of their bytes changed: facts or Malformed, and the
same each time; never an exception, neither from one document nor from several that are joined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.api import EXCERPT_LIMIT, Collector, Dependency, Document, Entity, Fragment, Malformed, Parsed
from auditor.registry import COLLECTORS, load_collectors

HERE = Path(__file__).parent
CERTIFICATES = HERE.parent.parent / "sample_inventories"
Documents = Mapping[str, bytes]

TOKENS: Final = (
    *(b"\x00", b"\xff\xfe", b"\xc3\x28", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\n", b"\t", b" " * 300, b"\\", b"\\\n"),
    *(b"#", b"'", b'"', b"[", b"]", b"{", b"}", b"(", b")", b"<", b">", b"</", b"/>", b"<!--", b";", b",", b":", b"="),
    *(b"{{ x }}", b"{% if x %}", b"<% end %>", b"${X}", b"$(x)", b"`x`", b"%(x)s", b"%", b"@", b"*", b"&a ", b"*a"),
    *(b"-1", b"0", b"9" * 40, b"1e999", b"1:2:3", b"null", b"true", b"[]", b"{}", b"~", b"- ", b"? ", b"!x ", b"|"),
    *(b"[01:99999999]", b"{1..9999999}", b"::", b"http://[", b"http://a:99999/", b"\xe2\x80\xae", b"xn--", b"."),
)


@cache
def collectors() -> dict[str, Collector]:
    """The built-in collectors by name."""
    found, failures = load_collectors()
    assert not failures
    return {one.name: one for one in found if one.name in COLLECTORS}


@cache
def seeds(name: str) -> tuple[Documents, ...]:
    """What the cases of a collector hold: for each case its documents by their paths."""
    module = COLLECTORS[name].partition(":")[0].removeprefix("collectors.")
    found = []
    for case in sorted((HERE / module).glob("*.json")):
        written = json.loads(case.read_text())
        documents = {path: (case.parent / file).read_bytes() for path, file in written.get("documents", {}).items()}
        if (raw := case.with_suffix(".raw")).exists():
            documents[written["path"]] = raw.read_bytes()
        found.append(documents)
    if name == "x509":
        found = [{f"/etc/ssl/{one.name}": one.read_bytes()} for one in sorted(CERTIFICATES.rglob("*.pem"))[:20]]
    return tuple(found)


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes with a few of them taken out, doubled, or something else put in."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        size = draw(st.integers(0, 40))
        what = draw(st.sampled_from(("out", "twice", "in", "in", "in", "end", "line")))
        if what == "out":
            content = content[:at] + content[at + size :]
        elif what == "twice":
            content = content[: at + size] + content[at:]
        elif what == "in":
            content = content[:at] + draw(st.sampled_from(TOKENS)) + content[at:]
        elif what == "end":
            content = content[:at]
        else:
            lines = content.split(b"\n")
            lines.insert(draw(st.integers(0, len(lines))), lines.pop(draw(st.integers(0, len(lines) - 1))))
            content = b"\n".join(lines)
    if draw(st.integers(0, 19)) == 0:
        content = content.decode("utf-8", "replace").encode("utf-16")
    return content


def everything(collector: Collector, documents: Documents) -> list[Parsed]:
    """What a collector makes of documents, one by one and joined."""
    items: list[Parsed] = []
    fragments: list[Fragment] = []
    for path, content in documents.items():
        collector.recognizes(path, content[:4096])
        for item in collector.parse(Document(path, content)):
            items.append(item)
            if isinstance(item, Fragment):
                fragments.append(Fragment(item.kind, item.value, item.where, "web01.example.org", path))
    if fragments:
        items.extend(collector.combine(fragments, documents.get))
    return items


@pytest.mark.parametrize("name", COLLECTORS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_facts_or_malformed(name: str, data: st.DataObject) -> None:
    collector = collectors()[name]
    documents = data.draw(st.sampled_from(seeds(name)))
    documents = {path: data.draw(changed(content)) for path, content in documents.items()}
    items = everything(collector, documents)
    for item in items:
        assert type(item) in (Entity, Dependency, Malformed, Fragment), item
        assert item.where.line >= 0
        assert len(item.where.excerpt) <= EXCERPT_LIMIT
        assert "\n" not in item.where.excerpt
        if isinstance(item, Fragment):
            hash(item.value)
    assert everything(collector, documents) == items
