"""How identities are written: host names, addresses, URLs, ranges. And how text is decoded and shown safely."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from auditor.model import EXCERPT_LIMIT, Kind, Ref
from auditor.redaction import redact, redact_url

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# C0 and C1 controls, line and paragraph separators, and the bidirectional overrides and isolates (Trojan Source).
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
# Underscores are not in RFC 1123, and are in real service and Windows names.
_LABEL: Final = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)"
_LOOPBACK: Final = frozenset(
    {"localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "0.0.0.0", "::", "::1"}
)
_HOSTNAME: Final = re.compile(rf"(?=.{{1,253}}\.?$)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_WORD: Final = re.compile(r"[^ \t\r\n]+")
_COMMENT: Final = re.compile(
    # Not the option of a command (`--host x`), a share (`//x/share`), a schedule (`* * * * *`) or a group of sudoers.
    # Nor what a preprocessor (Kamailio, Asterisk, C) or a scheduler of batch jobs reads.
    r"\s*(?:#(?!!?(?:define|exec|include|redef(?:ine)?|substdefs?|trydef|tryinclude)\b|(?:BSUB|PBS|SBATCH)\b)"
    r"|//(?![\w.\[-]+/\w)|;|--(?![a-z])|<!--|<%#|\{#|\{\{-?\s*/\*|/\*|\s\*\s(?![\d*@/])|%(?!\w)|!\s|dnl\b|@?REM\b)",
    re.IGNORECASE,
)
_PATH: Final = re.compile(r"[/?#]")
_QUERY: Final = re.compile(r"[?#]")
_RANGE: Final = re.compile(r"\[(\d+|[a-z]):(\d+|[a-z])(?::(\d+))?\]|\{(\d+|[a-z])\.\.(\d+|[a-z])(?:\.\.(\d+))?\}", re.I)
RANGE_LIMIT: Final = 100_000
"""Names that one range may make; more is refused rather than expanded."""


def decode(content: bytes) -> str:
    """Text of a file, whatever its encoding: a BOM decides, then UTF-16 by its NULs, then UTF-8, then Latin-1.

    Never fails. Line ends are kept as they are.
    """
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return content.decode(encoding, "replace")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and "\x00" not in text[:512]:
        return text
    head = content[:512]
    if len(head) >= 4:
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if odd > len(head) // 4 and even < len(head) // 16:
            return content.decode("utf-16-le", "replace")
        if even > len(head) // 4 and odd < len(head) // 16:
            return content.decode("utf-16-be", "replace")
    return text or content.decode("latin-1")


def is_binary(head: bytes) -> bool:
    """Whether a file is not text: NULs in its head that are not UTF-16's, as git and grep judge."""
    if b"\x00" not in head:
        return False
    return "\x00" in decode(head[:512])


def printable(text: str) -> str:
    """Text without control characters and bidirectional overrides, which become visible escapes."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", text
    )


def reason_of(error: BaseException) -> str:
    """Why something failed, as one short line: the system's word for it, else its message, else the kind of error."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split()) or type(error).__name__)[:200]


def excerpt(line: str) -> str:
    """A line as evidence: trimmed, secrets out, control characters visible, at most EXCERPT_LIMIT characters."""
    text = printable(redact(line.strip()[: EXCERPT_LIMIT * 4]).replace("\t", " "))
    return text if len(text) <= EXCERPT_LIMIT else text[: EXCERPT_LIMIT - 1] + "…"


def is_comment(line: str) -> bool:
    """Whether a line begins as comments do in one of the many languages that have them."""
    return _COMMENT.match(line) is not None


@lru_cache(maxsize=65536)
def normal_name(text: str) -> str:
    """The one spelling of a DNS name: lower case, no trailing dot, `\\052` is `*`, IDNA A-labels (RFC 5891)."""
    name = text.strip().replace("\\052", "*").rstrip(".").lower()
    if name.isascii():
        return name
    labels = []
    for label in name.split("."):
        try:
            labels.append(label if label.isascii() else label.encode("idna").decode("ascii"))
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)


@lru_cache(maxsize=65536)
def normal_address(text: str) -> str | None:
    """The one spelling of an IPv4 or IPv6 address, without zone and brackets; None if it is no address.

    IPv4-mapped IPv6 addresses (`::ffff:10.0.0.1`) become IPv4.
    """
    bare = text.strip().strip("[]").split("%", 1)[0]
    if not bare or bare[0] not in "0123456789abcdefABCDEF:":
        return None
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def is_address(text: str) -> bool:
    """Whether text is an IPv4 or IPv6 address."""
    return normal_address(text) is not None


@lru_cache(maxsize=65536)
def is_hostname(text: str) -> bool:
    """Whether text could be a host name, short or full. Numbers alone and addresses are not."""
    name = normal_name(text)
    return bool(_HOSTNAME.fullmatch(name)) and not name.replace(".", "").isdecimal() and not is_address(name)


@lru_cache(maxsize=65536)
def is_loopback(text: str) -> bool:
    """Whether a host, `host:port` or URL is the machine that it is used on: so no dependency on another.

    `localhost` and what Linux distributions call it besides, 127.0.0.0/8, `::1` (RFC 5735, RFC 4291), and the
    unspecified address, which a connection takes for it.
    """
    parts = split_endpoint(text)
    if parts is None:
        return False
    return parts.host in _LOOPBACK or (parts.host.startswith("127.") and is_address(parts.host))


class Endpoint(NamedTuple):
    """A URL or `host:port` in its parts. `port` is None if not written."""

    scheme: str
    host: str
    port: int | None
    path: str


@lru_cache(maxsize=65536)
def split_endpoint(text: str) -> Endpoint | None:
    """The parts of a URL, `host:port`, `[v6]:port`, `user@host` or a bare host; None if no host is in it.

    User names and passwords are dropped. `unix:` and `file:` have no host.
    """
    rest, scheme = text.strip(), ""
    if found := _SCHEME.match(rest):
        scheme, rest = found[1].lower(), rest[found.end() :]
    elif rest.startswith("//"):
        rest = rest[2:]
    if scheme in ("unix", "file"):
        return None
    begin = _PATH.search(rest)
    cut = begin.start() if begin else len(rest)
    authority, path = rest[:cut], rest[cut:]
    authority = authority.rsplit("@", 1)[-1]
    port: int | None = None
    if authority.startswith("["):
        host, _, tail = authority[1:].partition("]")
        if tail.startswith(":") and tail[1:].isdecimal():
            port = int(tail[1:]) if len(tail) < 10 else 0
    elif authority.count(":") == 1:
        host, _, tail = authority.partition(":")
        if tail.isdecimal():
            port = int(tail) if len(tail) < 10 else 0
        elif tail and scheme:
            return None
    else:
        host = authority
    address = normal_address(host)
    if address is None and not is_hostname(host):
        return None
    if port is not None and not 0 < port < 65536:
        port = None
    return Endpoint(scheme, address or normal_name(host), port, path)


@lru_cache(maxsize=65536)
def host_ref(text: str) -> Ref | None:
    """A reference to a host as it was written: an ADDRESS or a NAME; None if text is neither."""
    address = normal_address(text)
    if address is not None:
        return Ref(Kind.ADDRESS, address)
    return Ref(Kind.NAME, normal_name(text)) if is_hostname(text) else None


@lru_cache(maxsize=65536)
def endpoint_ref(text: str) -> Ref | None:
    """A reference to a URL or `host:port`; None if no host is in it.

    Without credentials, query and fragment, and without what in a path is a password (Slack's webhooks).
    """
    parts = split_endpoint(text)
    if parts is None:
        return None
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    port = f":{parts.port}" if parts.port else ""
    path = _QUERY.split(parts.path, maxsplit=1)[0]
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return Ref(Kind.ENDPOINT, redact_url(f"{scheme}{host}{port}{path}"))


def read_spf(text: str, owner: str) -> tuple[tuple[tuple[Ref, str], ...], tuple[str, ...]]:
    """What an SPF record refers to (RFC 7208 section 5), each with its group; and the networks that it names.

    Who may send are alternatives of each other. `include` and `redirect` lead to the SPF record of a name, `mx` to its
    MX records, each as a set (`NAME SPF`, `NAME MX`). Terms with macros (`%{i}`) name no host.
    """
    providers: list[tuple[Ref, str]] = []
    networks: list[str] = []
    for term in text.split()[1:]:
        bare = term.lower().lstrip("+-?~")
        if "%" in bare:
            continue
        name, sep, value = bare.partition("=" if bare.startswith(("redirect=", "exp=")) else ":")
        if not sep:
            name = name.split("/", 1)[0]
        domain = normal_name(value.split("/", 1)[0]) if sep else owner
        if name in ("ip4", "ip6"):
            address, _, length = value.partition("/")
            found = normal_address(address)
            if found and length not in ("", "32" if name == "ip4" else "128"):
                networks.append(f"{found}/{length}")
            elif found:
                providers.append((Ref(Kind.ADDRESS, found), "senders"))
        elif sep and not is_hostname(domain):
            continue
        elif name in ("include", "redirect") and sep:
            providers.append((Ref(Kind.RECORD, f"{domain} SPF"), ""))
        elif name == "mx":
            providers.append((Ref(Kind.RECORD, f"{domain or '.'} MX"), "senders"))
        elif name in ("a", "ptr"):
            providers.append((Ref(Kind.NAME, domain or "."), "senders"))
        elif name in ("exists", "exp") and sep:
            providers.append((Ref(Kind.NAME, domain), name))
    return tuple(dict.fromkeys(providers)), tuple(networks)


def split_words(text: str, *, comments: bool = False) -> list[str]:
    """Words as `shlex.split` gives them; most lines have no quotes, and need not go through it by their characters.

    Raises ValueError for a quote that is not closed.
    """
    if "'" in text or '"' in text or "\\" in text or (comments and "#" in text):
        return shlex.split(text, comments=comments)
    return _WORD.findall(text)


def expand_range(pattern: str) -> Iterator[str]:
    """Names of `web[01:20]`, `web[a:c]`, `pg[1:10:4]` (Ansible), `web{01..20}` (shell); the text itself if no range.

    Leading zeros are kept, as Ansible does. Raises ValueError for a range of more than RANGE_LIMIT names, several
    ranges in one name taken together.
    """
    if range_size(pattern) > RANGE_LIMIT:
        raise ValueError(f"{pattern[:80]}: a range of more than {RANGE_LIMIT} names")
    yield from _expand_range(pattern)


def range_size(pattern: str) -> int:
    """How many names `expand_range` makes of a pattern, without making them; 0 if a range runs backwards."""
    size = 1
    for found in _RANGE.finditer(pattern):
        first, last, step = (found[1], found[2], found[3]) if found[1] else (found[4], found[5], found[6])
        if first.isdecimal() != last.isdecimal():
            break
        if max(len(first), len(last), len(step or "")) > 18:
            return RANGE_LIMIT + 1
        low, high = (int(first), int(last)) if first.isdecimal() else (ord(first), ord(last))
        size *= max((high - low) // max(int(step or 1), 1) + 1, 0)
    return size


def _expand_range(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, step = (found[1], found[2], found[3]) if found[1] else (found[4], found[5], found[6])
    by = max(int(step or 1), 1)
    if first.isdecimal() != last.isdecimal():
        yield pattern
        return
    low, high = (int(first), int(last)) if first.isdecimal() else (ord(first), ord(last))
    width = len(first) if first.isdecimal() and first.startswith("0") else 0
    for number in range(low, high + 1, by):
        text = str(number).zfill(width) if first.isdecimal() else chr(number)
        yield from _expand_range(pattern[: found.start()] + text + pattern[found.end() :])
