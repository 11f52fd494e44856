"""Secrets out of text before it is kept or shown. The words around them stay, so that evidence stays readable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

MARK: Final = "‹redacted›"

_KEEP: Final = r"\g<keep>" + MARK

# URLs that are passwords themselves: whoever knows the path may post.
_CAPABILITIES: Final = (
    re.compile(r"(?P<keep>hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/)[\w/+-]+", re.I),
    re.compile(r"(?P<keep>discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/)[\w-]+", re.I),
    re.compile(r"(?P<keep>api\.telegram\.org/(?:file/)?bot)[\w:-]+", re.I),
    re.compile(r"(?P<keep>webhook\.office\.com/webhookb2/)[\w@/-]+", re.I),
    re.compile(r"(?P<keep>outlook\.office(?:365)?\.com/webhook/)[\w@/-]+", re.I),
    re.compile(r"(?P<keep>events\.pagerduty\.com/integration/)\w+", re.I),
    re.compile(r"(?P<keep>alert\.victorops\.com/integrations/generic/\d+/alert/)[\w/-]+", re.I),
    # The key of a dead man's switch: who knows it can keep it quiet.
    re.compile(
        r"(?P<keep>(?:hc-ping\.com|hchk\.io|cronitor\.link(?:/p|/ping)?|cronitor\.io/p(?:ing)?|nosnch\.in|"
        r"ping\.ohdear\.app|push\.statuscake\.com|heartbeat\.uptimerobot\.com|api/v1/heartbeat|/api/push|"
        r"/ping(?=/[0-9a-f]{8}-))/)(?!\$)[\w-]{6,}(?:/(?!(?:start|fail|log|\d+)\b)[\w-]+)?",
        re.I,
    ),
)
_CAPABILITY_WORDS: Final = (
    *("slack", "discord", "telegram", "office", "pagerduty", "victorops"),
    *("hc-ping", "hchk.io", "cronitor", "nosnch.in", "ohdear", "statuscake", "heartbeat", "/ping/", "/api/push/"),
)
_CAPABILITY_HINT: Final = re.compile("|".join(map(re.escape, _CAPABILITY_WORDS)), re.I)

_TOKEN_WORDS: Final = (
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-"),
    *("xox", "hvs.", "aiza", "k_live_", "sg.", "eyj"),
)

_RULES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = (
    # Words of which a line must hold one, what to look for, what to put there.
    # scheme://user:password@host
    (("@",), re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.I), _KEEP),
    # curl -u user:password, lftp -u user,password, smbclient -U user%password
    (
        ("curl",),
        re.compile(r"(?P<keep>\bcurl\b[^|;&]*?\s(?:-u|--user|--proxy-user)[ =]?['\"]?[^\s:'\"]*:)[^\s'\"]+"),
        _KEEP,
    ),
    (
        ("lftp", "smbclient"),
        re.compile(r"(?P<keep>\b(?:lftp|smbclient)\b[^|;&]*?\s-[uU]\s*['\"]?[^\s,%'\"]*[,%])[^\s'\"]+"),
        _KEEP,
    ),
    # sshpass -p x, mysqldump -px, redis-cli -a x, ldapsearch -w x, ipmitool -P x
    (("sshpass",), re.compile(r"(?P<keep>\bsshpass\s+-p\s*)\S+"), _KEEP),
    (("mysql", "mariadb"), re.compile(r"(?P<keep>\b(?:mysql|mariadb)\w*\b[^|;&]*?\s-p)[^\s'\"]+"), _KEEP),
    (("redis-cli",), re.compile(r"(?P<keep>\bredis-cli\b[^|;&]*?\s-a\s*['\"]?)[^\s'\"]+"), _KEEP),
    (("ldap",), re.compile(r"(?P<keep>\bldap\w+\b[^|;&]*?\s-w\s*['\"]?)[^\s'\"]+"), _KEEP),
    (
        ("ipmitool", "mosquitto_"),
        re.compile(r"(?P<keep>\b(?:ipmitool|mosquitto_\w+)\b[^|;&]*?\s-P\s*['\"]?)[^\s'\"]+"),
        _KEEP,
    ),
    (
        ("--",),
        re.compile(
            r"(?P<keep>--[\w-]*(?:password|passwd|pass|token|secret|api-?key|access-?key)[ =]['\"]?)[^\s'\"]+", re.I
        ),
        _KEEP,
    ),
    # openssl -passin pass:x
    (("-pass",), re.compile(r"(?P<keep>-pass(?:in|out)?\s+pass:)\S+"), _KEEP),
    # .netrc: machine h login u password x; BIND's: secret "x"
    (("passw",), re.compile(r"(?P<keep>\b(?:login|user|account|machine)\s+\S+\s+passw(?:or)?d\s+)\S+", re.I), _KEEP),
    (("secret", "password"), re.compile(r"(?P<keep>\b(?:secret|password)\s+\")[^\"]+", re.I), _KEEP),
    # Authorization: Bearer x
    (
        ("authorization", "token", "key"),
        re.compile(
            r"(?P<keep>\b(?:authorization|x-[\w-]*(?:token|key))['\"]?\s*[:=]\s*['\"]?(?:bearer\s+|basic\s+|token\s+)?)"
            r"[^\s'\"]+",
            re.I,
        ),
        _KEEP,
    ),
    (("bearer",), re.compile(r"(?P<keep>\bbearer\s+)[\w.~+/=-]{12,}", re.I), _KEEP),
    # PASSWORD=x, api_key: x, "secret": "x"
    (
        ("pass", "secret", "token", "key", "credential", "pwd"),
        re.compile(
            r"(?P<keep>(?<![\w-])(?:[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|"
            r"(?:private|secret|signing|encryption|auth|session)[_-]?key|credential)s?(?:_?(?:id|value))?|"
            r"(?:[\w.-]*[_.-])?(?:pass|pwd))['\"]?\s*[:=]\s*['\"]?)"
            r"(?!\s|['\"]|\{\{|\$|<|%|/|true\b|false\b|yes\b|no\b|null\b|none\b)[^\s'\",;]{3,}",
            re.I,
        ),
        _KEEP,
    ),
    # well-known token forms
    (
        _TOKEN_WORDS,
        re.compile(
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|"
            r"\bxox[abeprs]-[\w-]{10,}|\bhvs\.[\w-]{20,}|\bAIza[\w-]{30,}|\b[sr]k_live_\w{16,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|"
            r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
        ),
        MARK,
    ),
    # crypt(5): $6$salt$hash
    (("$",), re.compile(r"(?P<keep>\$(?:1|2[abxy]|5|6|7|y|gy|apr1)\$)[./\w$=,]{16,}"), _KEEP),
    *((_CAPABILITY_WORDS, pattern, _KEEP) for pattern in _CAPABILITIES),
    (("private key",), re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"), "-----BEGIN PRIVATE KEY-----" + MARK),
    # The same in base64, as Traefik's acme.json has it: plain, RSA, EC.
    (("ls0tls1crudjtib",), re.compile(r"LS0tLS1CRUdJTiB(?:QUklWQVRF|SU0EgUFJJVkFUR|FQyBQUklWQVRF)[\w+/=]*"), MARK),
    # getssl's locations: ftp:user:password:host:/path
    (
        ("ftp", "davs"),
        re.compile(r"(?P<keep>(?<!\w)(?:s?ftp|ftps|ftpes|davs):[^\s:/'\"]+:)[^\s:'\"]+(?=:[^\s:]+:)"),
        _KEEP,
    ),
)
# Cheap test before the rules: most lines hold none of these. Of lower-cased text; words that hold another of them, such
# as `private key`, are left out.
_HINTS: Final = (
    *("pass", "key", "token", "secret", "credential", "pwd", "authoriz", "bearer", "ls0tls1crudjtib"),
    *("curl", "ftp", "smbclient", "mysql", "mariadb", "redis-cli", "ldap", "ipmitool", "mosquitto_", "davs"),
    *_TOKEN_WORDS,
    *_CAPABILITY_WORDS,
)


def _alternation(words: Iterable[str]) -> re.Pattern[str]:
    """Any of the words, with the first letter of several taken out: a branch less to try at each place."""
    rests: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        rests.setdefault(word[0], []).append(re.escape(word[1:]))
    return re.compile("|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in rests.items()))


_HINT: Final = _alternation(_HINTS)


@lru_cache(maxsize=1024)
def redact(text: str) -> str:
    """The text with passwords, tokens and keys replaced by MARK."""
    lower = text.lower()
    if "$" not in lower and not ("@" in lower and "://" in lower) and _HINT.search(lower) is None:
        return text
    for words, pattern, replacement in _RULES:
        if any(word in lower for word in words):
            text = pattern.sub(replacement, text)
    return text


def redact_url(url: str) -> str:
    """A URL without what in its path is a password: the webhooks of chat and paging services."""
    if not _CAPABILITY_HINT.search(url):
        return url
    for pattern in _CAPABILITIES:
        url = pattern.sub(_KEEP, url)
    return url
