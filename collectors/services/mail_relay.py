"""Where a host sends its mail: Postfix 3.7 (postconf(5), transport(5)), Exim on Debian, and the small relays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Collector,
    Document,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    excerpt,
)
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    names_host,
    read_source,
    sections,
    target,
    url_target,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\}|\((\w+)\))")
_NEXT_HOP: Final = re.compile(r"\[([^\]\s]+)\](?::([\w-]+))?|([A-Za-z0-9_][\w.-]*)(?::([\w-]+))?")
_INET: Final = re.compile(r"(?:^|[\s:,{=])inet6?:(\[[^\]]+\]|[A-Za-z0-9_][\w.-]*):([\w-]+)")
_MAIL: Final = MappingProxyType({"sends": "mail"})
_POLICY: Final = re.compile(r"check_policy_service\s+\{?\s*inet:(\[[^\]]+\]|[\w.-]+):([\w-]+)")
_NO_NEXT_HOP: Final = frozenset({"local", "error", "retry", "discard", "virtual", "pipe", "defer", "hold"})
_REMOTE: Final = frozenset({"", "smtp", "relay", "lmtp", "smtps", "uucp", "slow", "submission"})
# Parameters of main.cf that hold transport:nexthop.
_TRANSPORTS: Final = (
    "default_transport", "relay_transport", "virtual_transport", "local_transport", "mailbox_transport",
    "fallback_transport", "content_filter",
)  # fmt: skip
_MILTERS: Final = ("smtpd_milters", "non_smtpd_milters")
_CHECKS: Final = (
    "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_sasl_path",
)  # fmt: skip
_FORMS: Final = {
    "ssmtp.conf": "mailhub",
    "nullmailer/remotes": "remotes",
    "update-exim4.conf.conf": "dc_smarthost",
    "msmtprc": "host",
    ".msmtprc": "host",
}


class MailRelayCollector(Collector):
    """The relays, filters and lookup servers that mail of a host goes through.

    Reads
    -----
    Postfix's `main.cf`, `transport` tables (also regexp and pcre) and LDAP, MySQL and PostgreSQL table files;
    `update-exim4.conf.conf`, `ssmtp.conf`, `msmtprc`, `nullmailer/remotes`.

    Yields
    ------
    `postfix relay` connects to relayhost and smtp_fallback_relay, of which one is enough, and needs them to take mail
    into their queues (write). Transports, milters, policy services and table servers are services of their own, as
    each fails apart. `mynetworks` is the attribute `allows`.

    Can't see
    ---------
    Values that only the program knows (`$mydomain` where main.cf does not set it), MX records behind a next hop
    without brackets (the zone has them), tables in databases, Exim's own configuration language, sendmail.
    """

    name: ClassVar[str] = "mail_relay"
    title: ClassVar[str] = "Mail relays of Postfix, Exim and others"
    area: ClassVar[Area] = Area.LOGS
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name, for common names also by its directory."""
        if not ("postfix" in path or "main.cf" in path or "mail" in path or "smtp" in path or "exim4" in path):
            return False
        return bool(_form(path, head))

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the mail system")
        if isinstance(source, Malformed):
            yield source
            return
        form = _form(document.path, document.content[:4096])
        if form == "main":
            yield from limited(source, _main(source))
        elif form == "transport":
            yield from limited(source, _transport(source))
        elif form == "table":
            yield from limited(source, _table(source))
        else:
            yield from limited(source, _relay(source, form))


def _form(path: str, head: bytes) -> str:
    if is_foreign(path) or b"\x00" in head[:512]:
        return ""
    base = base_name(path)
    in_postfix = "postfix" in path
    if base == "main.cf" or (base.startswith("main.cf.") and in_postfix):
        return "main"
    if in_postfix and base.startswith("transport") and not base.endswith((".db", ".lmdb", ".cdb")):
        return "transport"
    if in_postfix and base.endswith(".cf") and base != "master.cf":
        return "table" if b"server_host" in head or b"hosts" in head else ""
    return next((form for name, form in _FORMS.items() if path.endswith(name) and path[: -len(name)][-1:] == "/"), "")


def _parameters(source: Source) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Parameters of main.cf with the lines of their values.

    postconf(5): lines that begin with white space continue, `#` in the first column of text is a comment, also
    between continuation lines.
    """
    name, value = "", list[tuple[int, str]]()
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or text.startswith(("{%", "<%", "{#")):
            continue
        if line[0] in " \t" and name:
            value.append((number, text))
            continue
        if name:
            yield name, value
        name, separator, rest = text.partition("=")
        name = name.strip() if separator else f"!{number}"
        value = [(number, rest.strip())]
    if name:
        yield name, value


def _main(source: Source) -> Iterator[Parsed]:
    values: dict[str, list[tuple[int, str]]] = {}
    for name, value in _parameters(source):
        if name.startswith("!"):
            number = value[0][0]
            if not is_templated(source.lines[number - 1]):
                yield Malformed(source.where(number), "no parameter = value", "Postfix refuses main.cf")
        else:
            values[name] = value
    plain = {name: " ".join(text for _, text in value) for name, value in values.items()}

    def pieces(*names: str) -> Iterator[tuple[str, Where]]:
        for name in names:
            for number, text in values.get(name, ()):
                expanded = _expanded(text, plain)
                if not is_templated(expanded):
                    yield expanded, source.where(number)

    relays: _Targets = []
    for text, where in pieces("relayhost", "smtp_fallback_relay", "fallback_relay"):
        relays += [(found, where) for word in re.split(r"[,\s]+", text) if (found := _next_hop(word)) is not None]
    yield from source.uses("postfix relay", relays, Need.WRITE, "relays", _MAIL)
    for name in _TRANSPORTS:
        for text, where in pieces(name):
            scheme, _, hop = text.partition(":")
            if scheme in _REMOTE or name == "content_filter":
                inet = _INET.search(f":{hop}")
                found = target(inet[1], inet[2]) if inet else _next_hop(hop.removeprefix("inet:"))
                yield from source.uses(f"postfix {name}", [(found, where)], Need.WRITE, attributes=_MAIL)
    for names, title in ((_MILTERS, "postfix milters"), (_CHECKS, "postfix policy services")):
        services: _Targets = []
        for text, where in pieces(*names):
            pattern = _INET if "milters" in title or text.startswith("inet:") else _POLICY
            services += [(target(one[1], one[2]), where) for one in pattern.finditer(text)]
        yield from source.uses(title, services, attributes=_MAIL)
    networks = [(word, where) for text, where in pieces("mynetworks") for word in re.split(r"[,\s]+", text)]
    yield from source.allows("postfix mynetworks", [one for one in networks if names_host(one[0])])


def _expanded(text: str, values: dict[str, str]) -> str:
    """Parameters of the file in place of `$name`; others stay, and then name no host."""
    for _ in range(5):
        found = _VARIABLE.sub(lambda one: values.get(one[1] or one[2] or one[3], one[0])[:1000], text)
        if found == text or len(found) > 10_000:
            break
        text = found
    return text


def _next_hop(text: str) -> Ref | None:
    """The host of `[host]:port`, `host:port` or a domain whose MX is looked up."""
    found = _NEXT_HOP.fullmatch(text.strip())
    if found is None:
        return None
    host = (found[1] or found[3] or "").removeprefix("ipv6:").removeprefix("IPv6:")
    return target(host, found[2] or found[4] or "")


def _transport(source: Source) -> Iterator[Parsed]:
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text) or text == "endif" or text.startswith(("if ", "if/")):
            continue
        words = text.rsplit(None, 1)
        if line[0] in " \t" or len(words) < 2 or ":" not in words[1]:
            if line[0] not in " \t":
                yield Malformed(source.where(number), "no transport:nexthop after the pattern", "postmap skips it")
            continue
        scheme, _, hop = words[1].partition(":")
        if scheme in _NO_NEXT_HOP or not hop:
            continue
        inet = _INET.search(f":{hop}")
        found = target(inet[1], inet[2]) if inet else _next_hop(hop)
        if found is not None:
            name = f"postfix transport of {excerpt(words[0])[:100]}"
            yield from source.uses(name, [(found, source.where(number))], Need.WRITE, attributes=_MAIL)


def _table(source: Source) -> Iterator[Parsed]:
    name = f"postfix table {base_name(source.path)}"
    targets: _Targets = []
    for setting in sections(source, comments="#"):
        if isinstance(setting, Malformed) or setting.key not in ("server_host", "hosts") or is_templated(setting.value):
            continue
        for word in re.split(r"[,\s]+", setting.value):
            if word and not word.startswith(("unix:", "/")):
                targets.append((url_target(word.removeprefix("inet:")), source.where(setting.line)))
    yield from source.uses(name, targets, group="servers", attributes=_MAIL)


def _relay(source: Source, form: str) -> Iterator[Parsed]:
    """The small programs' one relay; of nullmailer's several, each is tried."""
    targets: _Targets = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] == "#" or is_templated(text):
            continue
        where = source.where(number)
        if form == "remotes":
            targets.append((target(text.split()[0]), where))
            continue
        words = re.split(r"\s*=\s*|\s+", text, maxsplit=1)
        if words[0].lower() != form or len(words) < 2:
            continue
        for part in words[1].strip("'\"").split(";"):
            # Exim writes a port as host::port.
            host, _, port = part.strip().replace("::", ":").partition(":")
            targets.append((target(host, port), where))
    yield from source.uses("mail relay", targets, Need.WRITE, "relays", _MAIL)
