"""certmonger: the requests that it tracks, and the CAs it knows.

Sources: certmonger 0.79, its `store-files.c`, getcert-request(1), getcert-add-ca(1), certmonger-ipa-submit(8),
certmonger-dogtag-submit(8), certmonger-scep-submit(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from posixpath import basename
from typing import ClassVar, Final, NamedTuple

from auditor.api import (
    Area,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Malformed,
    Need,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    endpoint_ref,
    excerpt,
    host_ref,
    split_words,
)
from collectors.acme.lineages import (
    SIZE_LIMIT,
    TOO_LARGE,
    attributes,
    built_in,
    client,
    hook,
    lineage_ref,
    names,
    written,
)

_REQUEST: Final = re.compile(rb"(?m)^(?:cert_storage_location|key_storage_location|template_subject|ca_name)=")
_CA: Final = re.compile(rb"(?m)^(?:ca_type|ca_external_helper|ca_aka|ca_is_default)=")
_IPA: Final = "/etc/ipa/default.conf"


class _Line(NamedTuple):
    value: str
    where: Where


class CertmongerCollector(Collector):
    """Certificates that certmonger tracks. It is a daemon: it renews by itself, for as long as its host runs.

    A lineage is `certmonger:<request id>`, as `getcert list` calls it.

    Reads
    -----
    `/var/lib/certmonger/requests/*` and `/var/lib/certmonger/cas/*`; `/etc/ipa/default.conf` for the server of the IPA
    CA; in a tree, files with certmonger's settings in directories of these names.

    Yields
    ------
    Lineages with names, times, state and files; the commands before and after a certificate is saved; the CA, if its
    helper names one: URLs and hosts among the helper's arguments, the IPA server.

    Can't see
    ---------
    What a helper of one's own talks to, and whether the daemon runs. Pins and challenge passwords are never read.
    """

    name: ClassVar[str] = "certmonger"
    title: ClassVar[str] = "certmonger requests and CAs"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset(
        {Relation.RENEWED_BY, Relation.DEPLOYED_BY, Relation.ISSUED_BY, Relation.WRITES, Relation.RUNS_ON}
    )

    def recognizes(self, path: str, head: bytes) -> bool:
        """By directory and by the settings that certmonger writes."""
        if "certmonger/" not in path:
            return False
        return _REQUEST.search(head) is not None or _CA.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One request or one CA."""
        if len(document.content) > SIZE_LIMIT:
            yield TOO_LARGE
            return
        lines, problems = _lines(decode(document.content))
        yield from problems
        if "ca_type" in lines or "ca_external_helper" in lines or "ca_aka" in lines:
            helper = lines.get("ca_external_helper")
            yield Fragment(
                "ca",
                (_text(lines, "id"), _text(lines, "ca_type"), helper.value if helper else ""),
                helper.where if helper else Where(1),
            )
        else:
            yield from self._request(document, lines)

    def _request(self, document: Document, lines: Mapping[str, _Line]) -> Iterator[Parsed]:
        name = _text(lines, "id") or basename(document.path)
        lineage = lineage_ref("certmonger", name)
        here = lines["id"].where if "id" in lines else Where(1)
        location = _text(lines, "cert_storage_location")
        if not location:
            yield Malformed(here, "a request without a place for its certificate", "certmonger drops it", whole=True)
            return
        in_files = _text(lines, "cert_storage_type") in ("", "FILE")
        autorenew = _text(lines, "autorenew") != "0"
        domains = names(
            _text(lines, "cert_hostname").split(",")
            + _text(lines, "template_hostname").split(",")
            + re.findall(r"(?i)\bCN=([^,+]+)", _text(lines, "cert_subject") or _text(lines, "template_subject"))
        )
        yield Entity(
            lineage,
            here,
            attributes(
                client="certmonger",
                domains=domains,
                autorenew=autorenew,
                state=_text(lines, "state"),
                server=_text(lines, "ca_name"),
                certificate_files=(location,) if in_files else (),
                certificate_dir="" if in_files else location,
                created=_moment(_text(lines, "cert_not_before")),
                not_after=_moment(_text(lines, "cert_not_after")),
                deploy_hook=_text(lines, "post_certsave_command"),
            ),
        )
        if autorenew:
            yield Dependency(lineage, client("certmonger"), Relation.RENEWED_BY, here)
        for key in ("cert_storage_location", "key_storage_location"):
            if key in lines:
                yield from written(lineage, lines[key].value, lines[key].where)
        for key, stage in (("pre_certsave_command", "pre"), ("post_certsave_command", "deploy")):
            if key in lines:
                yield from hook(lineage, stage, lines[key].value, lines[key].where)
        place = lines["ca_name"].where if "ca_name" in lines else here
        yield Fragment("request", (lineage.text, _text(lines, "ca_name")), place)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """The daemon, and for each request the CA that its `ca_name` is the id of."""
        cas = {one.value[0]: one for one in fragments if one.kind == "ca" and isinstance(one.value, tuple)}
        requests = [one for one in fragments if one.kind == "request" and isinstance(one.value, tuple)]
        if requests:
            yield from built_in("certmonger", replace(requests[0].where, path=requests[0].path))
        ipa: tuple[tuple[Ref, Where], ...] | None = None
        for one in requests:
            assert isinstance(one.value, tuple)
            text, name = one.value
            ca = cas.get(name)
            helper = ca.value[2] if ca is not None and isinstance(ca.value, tuple) else ""
            found: tuple[Ref, ...] = ()
            if ca is not None:
                found = tuple(_targets(helper))
                for provider in found:
                    where = replace(ca.where, path=ca.path)
                    yield Dependency(lineage_of(text), provider, Relation.ISSUED_BY, where, Need.WRITE)
            if not found and (name == "IPA" or "ipa-submit" in helper or "ipa-server-guard" in helper):
                if ipa is None:
                    ipa = tuple(_ipa_server(read))
                for provider, where in ipa:
                    yield Dependency(
                        lineage_of(text), provider, Relation.ISSUED_BY, where, Need.WRITE, confidence=Confidence.MEDIUM
                    )


def lineage_of(text: str) -> Ref:
    """The lineage of a text such as `certmonger:20261123071201`."""
    return lineage_ref(*text.split(":", 1)) if ":" in text else lineage_ref("certmonger", text)


def _lines(text: str) -> tuple[dict[str, _Line], list[Malformed]]:
    """`key=value`; a line that begins with a space continues the value before it."""
    found: dict[str, _Line] = {}
    problems: list[Malformed] = []
    key = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(" "):
            if not key and line.strip():
                problems.append(Malformed(Where(number), "a continuation of nothing", "certmonger ignores the line"))
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if equals and re.fullmatch(r"[a-z][\w-]*", key):
            found.setdefault(key, _Line(value.strip(), Where(number, excerpt(line))))
        elif line.strip() and not line.startswith("#") and len(problems) < 20:
            problems.append(Malformed(Where(number, excerpt(line)), "not a setting", "certmonger ignores the line"))
            key = ""
    return found, problems


def _text(lines: Mapping[str, _Line], key: str) -> str:
    line = lines.get(key)
    return line.value if line is not None else ""


def _moment(text: str) -> str:
    """`20271123071201` in UTC as ISO 8601; empty for none, and for the zero that certmonger writes instead."""
    if not re.fullmatch(r"\d{14}", text) or text.startswith("1970"):
        return ""
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return ""


def _targets(helper: str) -> Iterator[Ref]:
    """Hosts among the arguments of a CA's helper: URLs, and what follows `-h`, `-H` or `--server`."""
    try:
        words = split_words(helper)
    except ValueError:
        return
    seen: set[Ref] = set()
    for number, word in enumerate(words[1:], start=1):
        option, equals, value = word.partition("=")
        text = value if equals and option.startswith("--") else word
        found = None
        if "://" in text:
            found = endpoint_ref(text)
        elif words[number - 1] in ("-h", "-H", "--server", "--host") or option in ("--server", "--host"):
            found = host_ref(text)
        if found is not None and found not in seen:
            seen.add(found)
            yield found


def _ipa_server(read: Read) -> Iterator[tuple[Ref, Where]]:
    """The server that ipa-submit asks: by `xmlrpc_uri`, else by `server` (default.conf(5))."""
    content = read(_IPA)
    if content is None or len(content) > SIZE_LIMIT:
        return
    for wanted in ("xmlrpc_uri", "server"):
        for number, line in enumerate(decode(content).split("\n"), start=1):
            key, _, value = line.partition("=")
            if key.strip() == wanted:
                found = endpoint_ref(value.strip()) if "://" in value else host_ref(value.strip())
                if found is not None:
                    yield found, Where(number, excerpt(line), path=_IPA)
                    return
