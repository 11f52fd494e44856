"""Secrets out of text before it is kept or shown. The words around them stay, so that evidence stays readable."""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "‹redacted›"

_RULES: Final = (
    # scheme://user:password@host
    (re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.I), r"\g<keep>" + MARK),
    # curl -u user:password, sshpass -p x, mysqldump -px, --password x, --token=x
    (re.compile(r"(?P<keep>\bcurl\b[^|;&]*?\s(?:-u|--user)[ =]?['\"]?[^\s:'\"]*:)[^\s'\"]+"), r"\g<keep>" + MARK),
    (re.compile(r"(?P<keep>\bsshpass\s+-p\s*)\S+"), r"\g<keep>" + MARK),
    (re.compile(r"(?P<keep>\bmysql\w*\b[^|;&]*?\s-p)[^\s'\"]+"), r"\g<keep>" + MARK),
    (
        re.compile(r"(?P<keep>--(?:password|passwd|pass|token|secret|api-?key|access-?key)[ =]['\"]?)[^\s'\"]+", re.I),
        r"\g<keep>" + MARK,
    ),
    # Authorization: Bearer x
    (
        re.compile(
            r"(?P<keep>\b(?:authorization|x-[\w-]*(?:token|key))['\"]?\s*[:=]\s*['\"]?(?:bearer\s+|basic\s+|token\s+)?)"
            r"[^\s'\"]+",
            re.I,
        ),
        r"\g<keep>" + MARK,
    ),
    (re.compile(r"(?P<keep>\bbearer\s+)[\w.~+/=-]{12,}", re.I), r"\g<keep>" + MARK),
    # PASSWORD=x, api_key: x, "secret": "x"
    (
        re.compile(
            r"(?P<keep>(?<![\w-])[\w.-]*(?:password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|credential)s?"
            r"(?:_?(?:id|value))?['\"]?\s*[:=]\s*['\"]?)(?!\s|['\"]|\{\{|\$|<|%|/|true\b|false\b|yes\b|no\b|null\b|none\b)[^\s'\",;]{3,}",
            re.I,
        ),
        r"\g<keep>" + MARK,
    ),
    # well-known token forms
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}"), MARK),
    (re.compile(r"(?P<keep>hooks\.slack\.com/services/)[\w/]+"), r"\g<keep>" + MARK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"), "-----BEGIN PRIVATE KEY-----" + MARK),
)
# Cheap test before the rules: most lines hold none of these.
_HINT: Final = re.compile(
    r"://[^\s/]*:[^\s/]*@|curl|sshpass|mysql|pass|token|secret|key|credential|authoriz|bearer|AKIA|ASIA|gh[pousr]_|glpat-|xox|slack",
    re.I,
)


def redact(text: str) -> str:
    """The text with passwords, tokens and keys replaced by MARK."""
    if not _HINT.search(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
