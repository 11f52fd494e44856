"""Secrets out of text before it is kept or shown. The words around them stay, so that evidence stays readable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

MARK: Final = "‹redacted›"
"""What stands for a secret. With a key it is `‹redacted~<8 hexadecimal digits>›`, the same for the same secret."""

_MARKED: Final = re.compile(r"‹redacted(?:~[0-9a-f]{8})?›")

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

# acme.sh keeps its hooks so: https://github.com/acmesh-official/acme.sh, _savedomainconf.
_ACME_WORD: Final = "__acme_base64__"
_ACME: Final = re.compile(r"(__ACME_BASE64__START_)([^_\s'\"]*)(__ACME_BASE64__END_)")

_TOKEN_WORDS: Final = (
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-"),
    *("xox", "hvs.", "aiza", "k_live_", "sg.", "eyj"),
)

_NAMES: Final = (
    r"password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|"
    r"(?:_|\b)pass\b|_pwd\b|_key\b"
)
"""What the names of variables and headers hold whose values are secrets."""
_OPTION: Final = r"--[\w-]*(?:password|passwd|passphrase|pass|token|secret|api-?key|access-?key)"
_KEY_NAME: Final = (
    r"(?:[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|"
    r"(?:private|secret|signing|encryption|auth|session|routing|service|user|client|integration|license|shared|master|"
    r"nsupdate|hmac|tsig)[_-]?key|credential|authtok|bindpw|rootpw)s?(?:_?(?:id|value|base|string|text|data))?|"
    r"rediscli_auth|(?-i:[A-Z]\w{1,15}_Key)|(?:[\w.-]*[_.-])?(?:pass|pwd|psk|community))"
)
_PLAIN_VALUE: Final = (
    r"(?!\s|['\"]|\{\{|\{\$|\{\}|\[\]|\$|<|%|/|[a-z][a-z0-9+.-]*://|"
    r"(?:true|false|yes|no|null|none|optional|required|read|write)\b)"
)
# `key` alone stands in most lines of JSON.
_KEYS: Final = (
    *("_key", "-key"),
    *(
        f"{word}key"
        for word in (
            "api access private secret signing encryption auth session routing service user client integration license "
            "shared master nsupdate hmac tsig"
        ).split()
    ),
)
_NAME_WORDS: Final = ("pass", "secret", "token", "credential", "pwd", *_KEYS)
"""Without one of them nothing is a name as `_NAMES` has it."""
_KEY_WORDS: Final = (*_NAME_WORDS, "psk", "community", "redis", "authtok", "bindpw", "rootpw")

_RULES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    # Words of which a line must hold one, and what to look for: all after the group `keep` is the secret.
    # scheme://user:password@host
    (("@",), re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.I)),
    # curl -u user:password, lftp -u user,password, smbclient -U user%password
    (
        ("curl",),
        re.compile(r"(?P<keep>\bcurl\b[^|;&\n]*?\s(?:-[a-zA-Z]*u|--user|--proxy-user)[ =]?['\"]?[^\s:'\"]*:)[^\s'\"]+"),
    ),
    (("curl",), re.compile(r"(?P<keep>\bcurl\b[^|;&\n]*?\s(?:-b|--cookie)[ =]?['\"]?[^\s=;'\"]+=)[^\s;'\"]+")),
    (
        ("lftp", "smbclient", "rpcclient", "net ads", "net rpc"),
        re.compile(
            r"(?P<keep>\b(?:lftp|smbclient|rpcclient|net (?:ads|rpc))\b[^|;&\n]*?\s-[uU]\s*['\"]?[^\s,%'\"]*[,%])"
            r"[^\s'\"]+"
        ),
    ),
    # sshpass -p x, mysqldump -px, redis-cli -a x, ldapsearch -w x, ipmitool -P x
    (("sshpass",), re.compile(r"(?P<keep>\bsshpass\s+-p\s*)\S+")),
    (("mysql", "mariadb"), re.compile(r"(?P<keep>\b(?:mysql|mariadb)\w*\b[^|;&\n]*?\s-p['\"]?)[^\s'\"]+")),
    (("check_",), re.compile(r"(?P<keep>\bcheck_\w*sql\w*\b[^|;&\n]*?[\s!]-p\s*['\"]?)(?!-)[^\s!'\"]+")),
    (("snmp",), re.compile(r"(?P<keep>\b(?:check_)?snmp\w*\b[^|;&\n]*?[\s!]-[cC]\s*['\"]?)[^\s!'\"]+")),
    (("snmp",), re.compile(r"(?P<keep>\b(?:check_)?snmp\w*\b[^|;&\n]*?\s-A\s*['\"]?)[^\s!'\"]+")),
    (("snmp",), re.compile(r"(?P<keep>\b(?:check_)?snmp\w*\b[^|;&\n]*?\s-X\s*['\"]?)[^\s!'\"]+")),
    # docker login -p x, mongodump -p x, 7z a -px, htpasswd -b file user x, echo x | sudo -S, read password <<< x
    (
        ("login",),
        re.compile(
            r"(?P<keep>\b(?:docker|podman|buildah|skopeo|helm|oras|az)\b[^|;&\n]*?\slogin\b[^|;&\n]*?\s-p\s*['\"]?)[^\s'\"]+"
        ),
    ),
    (("mongo",), re.compile(r"(?P<keep>\bmongo\w*\b[^|;&\n]*?\s-p\s*['\"]?)[^\s'\"]+")),
    (("7z",), re.compile(r"(?P<keep>\b7z[ar]?\s[^|;&\n]*?\s-p['\"]?)[^\s'\"]+")),
    (("htpasswd",), re.compile(r"(?P<keep>\bhtpasswd\s+-\w*b\w*\s+\S+\s+\S+\s+['\"]?)[^\s'\"]+")),
    (
        ("sudo",),
        re.compile(r"(?P<keep>\b(?:echo|printf)\s+['\"]?)[^\s'\"|]+(?=['\"]?\s*\|\s*sudo\s(?:[^|;&\n]*\s)?-\w*S)"),
    ),
    (("<<<",), re.compile(r"(?P<keep>\bread\s[^|;&\n]*<<<\s*['\"]?)[^\s'\"]+")),
    (
        ("freerdp", "rdesktop"),
        re.compile(r"(?P<keep>\b(?:\w?freerdp\d?|rdesktop)\b[^|;&\n]*?\s(?:/p:|-p\s*)['\"]?)[^\s'\"]+"),
    ),
    (("redis-cli",), re.compile(r"(?P<keep>\bredis-cli\b[^|;&\n]*?\s-a\s*['\"]?)[^\s'\"]+")),
    (("ldap",), re.compile(r"(?P<keep>\bldap\w+\b[^|;&\n]*?\s-w\s*['\"]?)[^\s'\"]+")),
    (
        ("ipmitool", "mosquitto_", "sqlcmd", "zip "),
        re.compile(r"(?P<keep>\b(?:ipmitool|mosquitto_\w+|sqlcmd|zip)\b[^|;&\n]*?\s-P\s*['\"]?)[^\s'\"]+"),
    ),
    (
        ("pass", "token", "secret", *_KEYS),
        re.compile(
            rf"(?P<keep>{_OPTION}[ =]['\"]?)[^\s'\"]+",
            re.I,
        ),
    ),
    # The same as a list of arguments: ["--token", "x"], [curl, -u, "user:x"]
    (
        ("pass", "token", "secret", *_KEYS),
        re.compile(
            rf"(?P<keep>[\[,\s]['\"]?{_OPTION}['\"]?\s*,\s*['\"]?)"
            r"(?!-)[^\s'\",\]]+",
            re.I,
        ),
    ),
    (
        ("curl",),
        re.compile(
            r"(?P<keep>\bcurl\b[^|;&\n]*?[\s,]['\"]?(?:-[a-zA-Z]*u|--user|--proxy-user)['\"]?\s*,\s*['\"]?[^\s:'\",]*:)[^\s'\",\]]+"
        ),
    ),
    # powershell -Password x
    (
        ("pass", "token", "secret", "apikey", "api-key"),
        re.compile(
            r"(?P<keep>(?:^|\s)-\w*(?:password|passwd|passphrase|secret|token|api-?key)\s+['\"]?)(?!-)[^\s'\"<]+", re.I
        ),
    ),
    # check_http -a user:x, and what Icinga calls it
    (
        ("check_http", "auth_pair"),
        re.compile(
            r"(?P<keep>(?:\bcheck_http\w*\b[^|;&\n]*?[\s!,]['\"]?-[ab]['\"]?[\s!,]+['\"]?|"
            r"auth_pair['\"]?\s*[:=]\s*['\"]?)[^\s:'\",]+:)[^\s'\",\]!]+",
            re.I,
        ),
    ),
    # {"name": "DB_PASSWORD", "value": "x"}, in either order
    (
        _NAME_WORDS,
        re.compile(
            rf"(?P<keep>\b(?:name|key)['\"]?\s*:\s*['\"]?[\w.-]*(?:{_NAMES})[\w.-]*['\"]?\s*,\s*['\"]?value['\"]?\s*:\s*['\"]?)"
            r"[^\s'\",}]{3,}",
            re.I,
        ),
    ),
    (
        _NAME_WORDS,
        re.compile(
            r"(?P<keep>\bvalue['\"]?\s*:\s*['\"])[^'\"]{3,}"
            rf"(?=['\"]\s*,\s*['\"]?(?:name|key)['\"]?\s*:\s*['\"]?[\w.-]*(?:{_NAMES}))",
            re.I,
        ),
    ),
    # openssl -passin pass:x
    (("-pass",), re.compile(r"(?P<keep>-pass(?:in|out)?\s+pass:)\S+")),
    # keytool -storepass x, Tomcat's keystorePass="x"
    (("storepass", "keypass"), re.compile(r"(?P<keep>\s-(?:src|dest)?(?:store|key)pass\s+['\"]?)[^\s'\"]+", re.I)),
    (("storepass", "keypass"), re.compile(r"(?P<keep>\b(?:key|trust)(?:store)?pass=['\"])[^'\"]+", re.I)),
    # .netrc: machine h login u password x; BIND's: secret "x"
    (("passw",), re.compile(r"(?P<keep>\b(?:login|user|account|machine)\s+\S+\s+passw(?:or)?d\s+)\S+", re.I)),
    (("passw",), re.compile(r"(?P<keep>^\s*(?:default\s+)?passw(?:or)?d\s+)\S+(?=\s*$)", re.I | re.M)),
    (("secret",), re.compile(r"(?P<keep>\bsecret\s+)[\w+/=]{8,}(?=\s*;)", re.I)),
    # .pgpass: host:port:database:user:x
    ((":*:", ":5432:"), re.compile(r"(?P<keep>^[^\s:#]+:(?:\d+|\*):[^\s:]+:[^\s:]+:)\S+", re.M)),
    # What snmpd.conf(5) says of communities and of users
    (
        ("community", "com2sec", "sink", "createuser"),
        re.compile(
            r"(?P<keep>^\s*(?:(?:ro|rw|trap)community6?\s+|(?:trap2?|inform)sink\s+\S+\s+|"
            r"com2sec6?\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+|createUser\s+(?:-e\s+\S+\s+)?\S+\s+\S+\s+))\S+",
            re.I | re.M,
        ),
    ),
    (("createuser",), re.compile(r"(?P<keep>^\s*createUser\s[^\n]*\s(?:AES|DES)\S*\s+)\S+", re.I | re.M)),
    # ipsec.secrets, keepalived, HAProxy, Postfix's static map, Nagios' resource.cfg
    (("psk", "xauth", "eap"), re.compile(r"(?P<keep>:\s*(?:PSK|XAUTH|EAP)\s+\")[^\"]+", re.I)),
    (("auth_pass", "insecure-password"), re.compile(r"(?P<keep>\b(?:auth_pass|insecure-password)\s+)\S+", re.I)),
    # Redis, LDAP, Monit, chrony, PgBouncer, Squid, Apache httpd: the directive, and behind a blank the secret
    (
        ("requirepass", "masterauth", "bindpw", "rootpw", "bindpassword"),
        re.compile(
            r"(?P<keep>^\s*(?:requirepass|masterauth|(?:root)?bindpw|rootpw|\w*BindPassword)\s+['\"]?)[^\s'\"]+",
            re.I | re.M,
        ),
    ),
    (("allow ",), re.compile(r"(?P<keep>^\s*(?:and\s+)?allow\s+[\w.-]+:)(?!\d+(?:\s|$))\S+", re.I | re.M)),
    ((" md5 ", " sha", " aes"), re.compile(r"(?P<keep>^\s*\d+\s+(?:MD5|SHA\d*|AES\d+)\s+)\S+", re.I | re.M)),
    (('"md5', '"scram-'), re.compile(r"(?P<keep>\"[^\"\n]+\" \")(?:md5[0-9a-f]{32}|SCRAM-[^\"\n]+)(?=\")", re.I)),
    (("login=",), re.compile(r"(?P<keep>\blogin=[^\s:]+:)\S+")),
    (("basic ",), re.compile(r"(?P<keep>\bauthorization['\"]?\s+['\"]?basic\s+)[\w+/=]{8,}", re.I)),
    (("stats",), re.compile(r"(?P<keep>\bstats\s+auth\s+[^\s:]+:)\S+", re.I)),
    (("static:",), re.compile(r"(?P<keep>\bstatic:[^\s:]+:)\S+", re.I)),
    (("$",), re.compile(r"(?P<keep>^\s*\$USER\d+\$\s*=\s*)(?![\d.]+\s*$|[\w-]+(?:\.[\w-]+)+\s*$)[^\s/]\S*", re.M)),
    # <password>x</password>, name="password" value="x"
    (
        ("pass", "secret", "token", *_KEYS),
        re.compile(
            r"(?P<keep><(?:[\w.-]+:)?[\w.-]*(?:password|passwd|passphrase|secret|token|api-?key|private-?key)(?:\s[^<>]*)?>\s*)[^<>\s][^<>]{2,}",
            re.I,
        ),
    ),
    (
        ("value=",),
        re.compile(
            r"(?P<keep>\b(?:name|key)=['\"][^'\"]*(?:password|passwd|secret|token|api-?key)[^'\"]*['\"]\s+value=['\"])"
            r"[^'\"]{3,}",
            re.I,
        ),
    ),
    (("secret", "password"), re.compile(r"(?P<keep>\b(?:secret|password)\s+\")[^\"]+", re.I)),
    # Authorization: Bearer x
    (
        ("authorization", "x-"),
        re.compile(
            r"(?P<keep>\b(?:authorization|x-[\w-]*(?:token|key))['\"]?[ \t]*[:=][ \t]*['\"]?"
            r"(?:bearer\s+|basic\s+|token\s+)?)"
            r"[^\s'\"{\[|>][^\s'\"]*",
            re.I,
        ),
    ),
    (("bearer",), re.compile(r"(?P<keep>\bbearer\s+)[\w.~+/=-]{12,}", re.I)),
    # PASSWORD=x, api_key: x, "secret": "x"; a line of its own to its end, whatever signs are in it
    (
        _KEY_WORDS,
        re.compile(
            rf"(?P<keep>^\s*(?:export\s+|set\s+)?{_KEY_NAME}\s*[:=]\s*){_PLAIN_VALUE}[^\s'\"]{{3,}}(?=\s*$|\s+[#;])",
            re.I | re.M,
        ),
    ),
    (
        _KEY_WORDS,
        re.compile(
            rf"(?P<keep>(?<![\w-])(?<!\d:){_KEY_NAME}['\"]?\s*[:=]\s*['\"]{{0,3}}){_PLAIN_VALUE}"
            r"(?:(?<=\")(?:\\.|[^\"\\\n]){3,4096}|(?<=')(?:\\.|[^'\\\n]){3,4096}|[^\s'\",;]{3,})",
            re.I,
        ),
    ),
    # well-known token forms
    (
        _TOKEN_WORDS,
        re.compile(
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|"
            r"\bxox[abeprs]-[\w-]{10,}|\bhvs\.[\w-]{20,}|\bAIza[\w-]{30,}|\b[sr]k_live_\w{16,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|"
            r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
        ),
    ),
    # crypt(5): $6$salt$hash
    (("{sha}", "{ssha"), re.compile(r"(?P<keep>\{S?SHA\d*\})[\w+/=]{16,}", re.I)),
    (("$",), re.compile(r"(?P<keep>\$(?:1|2[abxy]|5|6|7|y|gy|apr1)\$)[./\w$=,]{16,}")),
    *((_CAPABILITY_WORDS, pattern) for pattern in _CAPABILITIES),
    (("private key",), re.compile(r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]*")),
    # The same in base64, as Traefik's acme.json has it: plain, RSA, EC.
    (("ls0tls1crudjtib",), re.compile(r"LS0tLS1CRUdJTiB(?:QUklWQVRF|SU0EgUFJJVkFUR|FQyBQUklWQVRF)[\w+/=]*")),
    # getssl's locations: ftp:user:password:host:/path
    (
        ("ftp", "davs"),
        re.compile(r"(?P<keep>(?<!\w)(?:s?ftp|ftps|ftpes|davs):[^\s:/'\"]+:)[^\s:'\"]+(?=:[^\s:]+:)"),
    ),
)
_CAPABILITY_RULES: Final = frozenset(n for n, (_, pattern) in enumerate(_RULES) if pattern in _CAPABILITIES)
_WORDS: Final = tuple(sorted({word for words, _ in _RULES for word in words}))
_RULES_OF: Final = tuple(frozenset(n for n, (words, _) in enumerate(_RULES) if word in words) for word in _WORDS)
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
        text = _replaced(_RULES[number][1], text, key)
    if rules and "\\n" in text:
        # Lines within a string of JSON: in `\ncurl -u` no word begins with `curl`.
        parts = text.split("\\n")
        for number in rules:
            parts = [_replaced(_RULES[number][1], part, key) for part in parts]
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
        pattern = _RULES[number][1]
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
