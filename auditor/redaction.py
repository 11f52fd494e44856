"""Secrets out of text before it is kept or shown. The words around them stay, so that evidence stays readable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from auditor.secret_patterns import CAPABILITIES, RULES

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

MARK: Final = "‹redacted›"
"""What stands for a secret. With a key it is `‹redacted~<8 hexadecimal digits>›`, the same for the same secret."""

_MARKED: Final = re.compile(r"‹redacted(?:~[0-9a-f]{8})?›")

# acme.sh keeps its hooks so: https://github.com/acmesh-official/acme.sh, _savedomainconf.
_ACME_WORD: Final = "__acme_base64__"
_ACME: Final = re.compile(r"(__ACME_BASE64__START_)([^_\s'\"]*)(__ACME_BASE64__END_)")

_CAPABILITY_RULES: Final = frozenset(n for n, (_, pattern) in enumerate(RULES) if pattern in CAPABILITIES)
_WORDS: Final = tuple(sorted({word for words, _ in RULES for word in words}))
_RULES_OF: Final = tuple(frozenset(n for n, (words, _) in enumerate(RULES) if word in words) for word in _WORDS)
"""The rules, by position, that each word calls for."""


@cache
def _automaton(words: tuple[str, ...]) -> BytesAhoCorasick:
    from ahocorasick_rs import BytesAhoCorasick, MatchKind

    return BytesAhoCorasick([word.encode() for word in words], matchkind=MatchKind.Standard)


def _rules_for(lower: str) -> set[int]:
    """The rules of which a word stands in a text in lower case: for most lines none, which is told in one pass."""
    found = _automaton(_WORDS).find_matches_as_indexes(lower.encode("utf-8", "surrogatepass"), overlapping=True)
    return {number for word in {which for which, _, _ in found} for number in _RULES_OF[word]}


def may_hold_secrets(text: str) -> bool:
    """Whether `redact` could change any part of a text: whether a word stands in it that some rule looks for."""
    lower = text.lower()
    return _ACME_WORD in lower or bool(_rules_for(lower))


def lines_with(text: str, words: tuple[str, ...] = (_ACME_WORD, *_WORDS)) -> Iterator[int]:
    """The numbers, from 0 and in order, of lines in which a word stands; those that `redact` could change by default.

    One pass over the text takes a fraction of asking line by line. Words are in lower case and have no line break.
    """
    lower = text.lower().encode("utf-8", "surrogatepass")
    line, last, at = 0, -1, 0
    for _, start, _ in _automaton(words).find_matches_as_indexes(lower):
        line += lower.count(b"\n", at, start)
        at = start
        if line != last:
            yield line
            last = line


def mark(secret: str, key: bytes = b"") -> str:
    """What stands for a secret: with a key, equal secrets have equal marks, which tell nothing without the key."""
    if _MARKED.fullmatch(secret):
        return secret
    if not key:
        return MARK
    import hmac

    digest = hmac.digest(key, secret.encode("utf-8", "surrogateescape"), "sha256")
    return f"{MARK[:-1]}~{digest[:4].hex()}{MARK[-1]}"


@lru_cache(maxsize=1024)
def redact(text: str, key: bytes = b"") -> str:
    """The text with passwords, tokens and keys replaced by marks (see `mark`). What is marked already stays."""

    lower = text.lower()
    if _ACME_WORD in lower:
        text = _ACME.sub(lambda found: found[1] + _inside(found[2], key) + found[3], text)
    rules = sorted(_rules_for(lower))
    for number in rules:
        text = _replaced(RULES[number][1], text, key)
    if rules and "\\n" in text:
        # Lines within a string of JSON: in `\ncurl -u` no word begins with `curl`.
        parts = text.split("\\n")
        for number in rules:
            parts = [_replaced(RULES[number][1], part, key) for part in parts]
        text = "\\n".join(parts)
    return text


_OPENED: Final = re.compile(r"(['\"])[^'\"\s]*$")
_CLOSING: Final = {quote: re.compile(rf"(?:\\.|[^\\\n{quote}]){{0,4096}}{quote}") for quote in "'\""}


def _replaced(pattern: re.Pattern[str], text: str, key: bytes) -> str:
    """Text in which all after the group `keep` is marked; where it stands in quotes, up to their end."""
    pieces: list[str] = []
    done = 0
    for found in pattern.finditer(text):
        if found.start() < done:
            continue
        start, end = found.start() + len(found.groupdict().get("keep") or ""), found.end()
        opened = _OPENED.search(text, found.start(), start)
        closing = _CLOSING[opened[1]].match(text, end) if opened is not None else None
        if closing is not None:
            end = closing.end() - 1
        pieces += text[done:start], mark(text[start:end], key)
        done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _inside(encoded: str, key: bytes) -> str:
    """Base64 of text, with its secrets taken out; what can't be decoded is a secret as a whole."""
    import base64

    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return mark(encoded, key)
    clean = redact(text, key)
    return encoded if clean == text else base64.b64encode(clean.encode()).decode()


def redact_url(url: str) -> str:
    """A URL without what in its path is a password: the webhooks of chat and paging services."""
    for number in sorted(_rules_for(url.lower()) & _CAPABILITY_RULES):
        pattern = RULES[number][1]
        url = pattern.sub(lambda found: found["keep"] + mark(found[0][len(found["keep"]) :]), url)
    return url


# Chat services' URLs, and others whose path holds a token: from there on nothing is public.
_CHAT: Final = re.compile(
    r"//(?:hooks\.slack(?:-gov)?\.com|[\w.-]+\.webhook\.office\.com|discord(?:app)?\.com|chat\.googleapis\.com|"
    r"[\w.-]+\.logic\.azure\.com)(?=/)",
    re.I,
)
_PATH_TOKEN: Final = re.compile(r"/(?=[\w=-]*\d)(?=[\w=-]*[A-Za-z])[\w=-]{20,}(?:/|$|\?|#)|\?|#")
_USER: Final = re.compile(r"(?<=//)[^/@]*@")


def public_part(url: str) -> str:
    """A URL of a webhook up to what in it may be a secret: without user, chat services' path, a token, a query."""
    url = _USER.sub("", url, count=1)
    start = url.find("://") + 3 if "://" in url else 0
    if chat := _CHAT.search(url[:500]):
        return url[: chat.end()]
    token = _PATH_TOKEN.search(url, max(url.find("/", start), start))
    return url[: token.start()] if token is not None else url
