"""How secrets are written, format by format: words of which a line holds one, and a pattern of where the secret is.

Text is hostile: no pattern may take more than linear time. So what begins at many places of a line looks on from each
of them for a bounded length, or up to the next such place.
"""

from __future__ import annotations

import re
from typing import Final

from auditor.patterns import lazy_pattern

# URLs that are passwords themselves: whoever knows the path may post.
CAPABILITIES: Final = (
    lazy_pattern(r"(?P<keep>hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/)[\w/+-]+", re.I),
    lazy_pattern(r"(?P<keep>discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/)[\w-]+", re.I),
    lazy_pattern(r"(?P<keep>api\.telegram\.org/(?:file/)?bot)[\w:-]+", re.I),
    lazy_pattern(r"(?P<keep>webhook\.office\.com/webhookb2/)[\w@/-]+", re.I),
    lazy_pattern(r"(?P<keep>outlook\.office(?:365)?\.com/webhook/)[\w@/-]+", re.I),
    lazy_pattern(r"(?P<keep>hooks\.zapier\.com/hooks/catch/\d+/)[\w/-]+", re.I),
    lazy_pattern(r"(?P<keep>maker\.ifttt\.com/trigger/[^/\s]+/(?:json/)?with/key/)[\w-]+", re.I),
    lazy_pattern(r"(?P<keep>freedns\.afraid\.org/dynamic/update\.php\?)[\w=]+", re.I),
    # Mattermost, Rocket.Chat
    lazy_pattern(r"(?P<keep>/hooks/(?:[\w-]+/){0,4})(?=[a-z]*\d)[a-z0-9]{14,}(?![\w.-])", re.I),
    lazy_pattern(r"(?P<keep>events\.pagerduty\.com/integration/)\w+", re.I),
    lazy_pattern(r"(?P<keep>alert\.victorops\.com/integrations/generic/\d+/alert/)[\w/-]+", re.I),
    # The key of a dead man's switch: who knows it can keep it quiet.
    lazy_pattern(
        r"(?P<keep>(?:hc-ping\.com|hchk\.io|cronitor\.link(?:/p|/ping)?|cronitor\.io/p(?:ing)?|nosnch\.in|"
        r"ping\.ohdear\.app|push\.statuscake\.com|heartbeat\.uptimerobot\.com|api/v1/heartbeat|/api/push|"
        r"/ping(?=/[0-9a-f]{8}-))/)(?!\$)[\w-]{6,}(?:/(?!(?:start|fail|log|\d+)\b)[\w-]+)?",
        re.I,
    ),
)
_CAPABILITY_WORDS: Final = (
    *("slack", "discord", "telegram", "office", "pagerduty", "victorops", "zapier", "ifttt", "afraid", "/hooks/"),
    *("hc-ping", "hchk.io", "cronitor", "nosnch.in", "ohdear", "statuscake", "heartbeat", "/ping/", "/api/push/"),
)

_TOKEN_WORDS: Final = (
    *("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-"),
    *("xox", "hvs.", "aiza", "k_live_", "sg.", "eyj", "age-secret-key-"),
)

_NAMES: Final = (
    r"password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|"
    r"(?:_|\b)pass\b|_pwd\b|_key\b"
)
"""What the names of variables and headers hold whose values are secrets."""
_OPTION: Final = (
    r"--(?![\w-]{0,64}--)[\w-]{0,64}"
    r"(?:password|passwd|passphrase|pass|token|secret|api-?key|access-?key|hmac-?key|pwd?|psk)"
)
_KEY_END: Final = (
    r"(?:[\w.-]*(?:password|passwd|passphrase|passwort|passcode|mot_?de_?passe|secret|token|api[_-]?key|access[_-]?key|"
    r"(?:private|secret|signing|encryption|auth|session|routing|service|user|client|integration|license|shared|master|"
    r"nsupdate|hmac|tsig|account|storage|unseal)[_-]?key|credential|authtok|authpass|bindpw|rootpw(?:modpw)?)s?"
    r"(?:[_-]?(?:id|value|base|string|text|data|\d{1,2}))?|"
    r"(?:[\w.-]*[_.-])?(?:pass|pwd?|psk|community))"
)
"""What the name of a setting is, or ends with."""
_KEY_NAME: Final = rf"(?:(?<![\w.-]){_KEY_END}|rediscli_auth|(?-i:[A-Z]\w{{1,15}}_Key))"
_SETS: Final = r"\s*(?:=>|:=|\|\|=|[:=])\s*"
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
            "shared master nsupdate hmac tsig account storage unseal"
        ).split()
    ),
)
_NAME_WORDS: Final = ("pass", "secret", "token", "credential", "pwd", *_KEYS)
"""Without one of them nothing is a name as `_NAMES` has it."""
_KEY_WORDS: Final = (*_NAME_WORDS, "pw", "psk", "community", "redis", "authtok", "bindpw", "rootpw", "mot")

_NAMED: Final = rf"(?=[\w.-]*(?:{_NAMES}))[\w.-]+"
"""The name of a variable or header whose value is a secret."""
_LINE: Final = r"^[^\S\n]*"
"""The beginning of a line: not of the empty ones before it."""

_TO_THE_END: Final = r"[^\s'\"]+"
_ASSIGNING: Final = (
    r"SetEnv|setenvx?|presetenv|setx|ENV|ARG|(?:fastcgi|uwsgi|scgi)_param|proxy_set_header|configure\s+set|"
    r"set\s+-\w+|env\s+set"
)
"""Commands and directives of the form `word NAME value`."""


def _after(command: str, end: str = "|;&") -> str:
    """What is between the name of a command and one of its options; from the last such name before the option."""
    return rf"\b(?:{command})\b(?:(?!\b(?:{command})\b)[^{end}\n])*?"


_CURL: Final = _after("curl")
_LFTP: Final = _after("lftp|smbclient|rpcclient|net (?:ads|rpc)")
_MYSQL: Final = _after(r"(?:mysql|mariadb)\w*")
_CHECK_SQL: Final = _after(r"check_(?=\w*sql)\w+")
_SNMP: Final = _after(r"(?:check_)?snmp\w*")
_DOCKER: Final = _after("docker|podman|buildah|skopeo|helm|oras|az|oc")
_LOGIN: Final = _after("login")
_MONGO: Final = _after(r"mongo\w*")
_RDP: Final = _after(r"\w?freerdp\d?|rdesktop")
_REDIS: Final = _after("redis-cli")
_LDAP: Final = _after(r"ldap\w+")
_IPMITOOL: Final = _after(r"ipmitool|mosquitto_\w+|sqlcmd|isql|osql|bcp|zip")
_CHECK_HTTP: Final = _after(r"check_http\w*")
_USERADD: Final = _after("user(?:add|mod)")
_NCFTP: Final = _after(r"ncftp\w*")
_PLINK: Final = _after("plink|pscp|psftp|putty")
_PSEXEC: Final = _after("psexec(?:64)?(?:\\.exe)?")
_SCHTASKS: Final = _after("schtasks", "|&")
_SQLPLUS: Final = _after("sqlplus|sqlldr|expdp|impdp|rman")
_NSUPDATE: Final = _after("k?nsupdate|k?dig|delv")

RULES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    # Words of which a line must hold one, and what to look for: all after the group `keep` is the secret.
    # scheme://user:password@host
    (("@",), lazy_pattern(r"(?P<keep>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)[^\s/@]+(?=@)", re.I)),
    # curl -u user:password, lftp -u user,password, smbclient -U user%password
    (
        ("curl",),
        lazy_pattern(rf"(?P<keep>{_CURL}\s(?:-[a-zA-Z]{{0,20}}u|--user|--proxy-user)[ =]?['\"]?[^\s:'\"]*:)[^\s'\"]+"),
    ),
    (("curl",), lazy_pattern(rf"(?P<keep>{_CURL}\s(?:-b|--cookie)[ =]?['\"]?[^\s=;'\"]+=)[^\s;'\"]+")),
    (
        ("lftp", "smbclient", "rpcclient", "net ads", "net rpc"),
        lazy_pattern(
            rf"(?P<keep>{_LFTP}\s-[uU]\s*['\"]?[^\s,%'\"]*[,%])"
            r"[^\s'\"]+"
        ),
    ),
    # sshpass -p x, mysqldump -px, redis-cli -a x, ldapsearch -w x, ipmitool -P x
    (("sshpass",), lazy_pattern(r"(?P<keep>\bsshpass\s+-p\s*)\S+")),
    (("mysql", "mariadb"), lazy_pattern(rf"(?P<keep>{_MYSQL}\s-p['\"]?)[^\s'\"]+")),
    (("check_",), lazy_pattern(rf"(?P<keep>{_CHECK_SQL}[\s!]-p\s*['\"]?)(?!-)[^\s!'\"]+")),
    (("snmp",), lazy_pattern(rf"(?P<keep>{_SNMP}[\s!]-[cC]\s*['\"]?)[^\s!'\"]+")),
    (("snmp",), lazy_pattern(rf"(?P<keep>{_SNMP}\s-A\s*['\"]?)[^\s!'\"]+")),
    (("snmp",), lazy_pattern(rf"(?P<keep>{_SNMP}\s-X\s*['\"]?)[^\s!'\"]+")),
    # docker login -p x, mongodump -p x, 7z a -px, htpasswd -b file user x, echo x | sudo -S, read password <<< x
    (
        ("login",),
        lazy_pattern(
            rf"(?P<keep>{_DOCKER}\s{_LOGIN}\s-p\s*['\"]?)"
            r"[^\s'\"]+"
        ),
    ),
    (("mongo",), lazy_pattern(rf"(?P<keep>{_MONGO}\s-p\s*['\"]?)[^\s'\"]+")),
    (("7z",), lazy_pattern(r"(?P<keep>\b7z[ar]?\s(?:(?!\b7z[ar]?\s)[^|;&\n])*?\s-p['\"]?)[^\s'\"]+")),
    (("htpasswd",), lazy_pattern(r"(?P<keep>\bhtpasswd\s+-(?=\w*b)\w+\s+\S+\s+\S+\s+['\"]?)[^\s'\"]+")),
    (
        ("sudo",),
        lazy_pattern(r"(?P<keep>\b(?:echo|printf)\s+['\"]?)[^\s'\"|]+(?=['\"]?\s*\|\s*sudo\s(?:[^|;&\n]*\s)?-\w*S)"),
    ),
    (("<<<",), lazy_pattern(r"(?P<keep>\bread\s(?:(?!\bread\s)[^|;&\n])*<<<\s*['\"]?)[^\s'\"]+")),
    (
        ("freerdp", "rdesktop"),
        lazy_pattern(rf"(?P<keep>{_RDP}\s(?:/p:|-p\s*)['\"]?)[^\s'\"]+"),
    ),
    (("redis-cli",), lazy_pattern(rf"(?P<keep>{_REDIS}\s-a\s*['\"]?)[^\s'\"]+")),
    (("ldap",), lazy_pattern(rf"(?P<keep>{_LDAP}\s-w\s*['\"]?)[^\s'\"]+")),
    (
        ("ipmitool", "mosquitto_", "sqlcmd", "isql", "osql", "bcp", "zip "),
        lazy_pattern(rf"(?P<keep>{_IPMITOOL}\s-P\s*['\"]?)[^\s'\"]+"),
    ),
    (
        ("pass", "token", "secret", "--pw", "--psk", "hmac", *_KEYS),
        lazy_pattern(
            rf"(?P<keep>{_OPTION}[ =]['\"]?)[^\s'\"]+",
            re.I,
        ),
    ),
    # The same as a list of arguments: ["--token", "x"], [curl, -u, "user:x"]
    (
        ("pass", "token", "secret", "--pw", "--psk", "hmac", *_KEYS),
        lazy_pattern(
            rf"(?P<keep>[\[,\s]['\"]?{_OPTION}['\"]?\s*,\s*['\"]?)"
            r"(?!-)[^\s'\",\]]+",
            re.I,
        ),
    ),
    (
        ("curl",),
        lazy_pattern(
            rf"(?P<keep>{_CURL}[\s,]['\"]?(?:-[a-zA-Z]{{0,20}}u|--user|--proxy-user)['\"]?\s*,\s*['\"]?"
            r"[^\s:'\",]*:)[^\s'\",\]]+"
        ),
    ),
    # powershell -Password x
    (
        ("pass", "token", "secret", "apikey", "api-key"),
        lazy_pattern(
            r"(?P<keep>(?:^|\s)-\w*(?:password|passwd|passphrase|secret|token|api-?key)\s+['\"]?)(?!-)[^\s'\"<]+", re.I
        ),
    ),
    # check_http -a user:x, and what Icinga calls it
    (
        ("check_http", "auth_pair"),
        lazy_pattern(
            rf"(?P<keep>(?:{_CHECK_HTTP}[\s!,]['\"]?-[ab]['\"]?[\s!,]+['\"]?|"
            r"auth_pair['\"]?\s*[:=]\s*['\"]?)[^\s:'\",!]+:)[^\s'\",\]!]+",
            re.I,
        ),
    ),
    # {"name": "DB_PASSWORD", "value": "x"}, in either order
    (
        _NAME_WORDS,
        lazy_pattern(
            rf"(?P<keep>\b(?:name|key)['\"]?\s*:\s*['\"]?{_NAMED}['\"]?\s*,\s*['\"]?value['\"]?\s*:\s*['\"]?)"
            r"[^\s'\",}]{3,}",
            re.I,
        ),
    ),
    (
        _NAME_WORDS,
        lazy_pattern(
            r"(?P<keep>\bvalue['\"]?\s*:\s*['\"])[^'\"]{3,}"
            rf"(?=['\"]\s*,\s*['\"]?(?:name|key)['\"]?\s*:\s*['\"]?[\w.-]*(?:{_NAMES}))",
            re.I,
        ),
    ),
    # openssl -passin pass:x
    (("-pass",), lazy_pattern(r"(?P<keep>-pass(?:in|out)?\s+pass:)\S+")),
    # keytool -storepass x, Tomcat's keystorePass="x"
    (("storepass", "keypass"), lazy_pattern(r"(?P<keep>\s-(?:src|dest)?(?:store|key)pass\s+['\"]?)[^\s'\"]+", re.I)),
    (("storepass", "keypass"), lazy_pattern(r"(?P<keep>\b(?:key|trust)(?:store)?pass=['\"])[^'\"]+", re.I)),
    # .netrc: machine h login u password x; BIND's: secret "x"
    (("passw",), lazy_pattern(r"(?P<keep>\b(?:login|user|account|machine)\s+\S+\s+passw(?:or)?d\s+)\S+", re.I)),
    (("passw",), lazy_pattern(rf"(?P<keep>{_LINE}(?:default\s+)?passw(?:or)?d\s+)\S+(?=\s*$)", re.I | re.M)),
    (("secret",), lazy_pattern(r"(?P<keep>\bsecret\s+)[\w+/=]{8,}(?=\s*;)", re.I)),
    # .pgpass: host:port:database:user:x
    ((":*:", ":5432:"), lazy_pattern(r"(?P<keep>^[^\s:#]+:(?:\d+|\*):[^\s:]+:[^\s:]+:)\S+", re.M)),
    # What snmpd.conf(5) says of communities and of users
    (
        ("community", "com2sec", "sink", "createuser"),
        lazy_pattern(
            rf"(?P<keep>{_LINE}(?:(?:ro|rw|trap)community6?\s+|(?:trap2?|inform)sink\s+\S+\s+|"
            r"com2sec6?\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+|createUser\s+(?:-e\s+\S+\s+)?\S+\s+\S+\s+))\S+",
            re.I | re.M,
        ),
    ),
    (("createuser",), lazy_pattern(rf"(?P<keep>{_LINE}createUser\s[^\n]*\s(?:AES|DES)\S*\s+)\S+", re.I | re.M)),
    # ipsec.secrets, keepalived, HAProxy, Postfix's static map, Nagios' resource.cfg
    (
        ("psk", "xauth", "eap", ": rsa", ": ecdsa", ": pkcs8", ": p12"),
        lazy_pattern(r"(?P<keep>:\s*(?:PSK|XAUTH|EAP|(?:RSA|ECDSA|PKCS8|P12)\s+\S+)\s+\")[^\"]+", re.I),
    ),
    (("auth_pass", "insecure-password"), lazy_pattern(r"(?P<keep>\b(?:auth_pass|insecure-password)\s+)\S+", re.I)),
    # Redis, LDAP, Monit, chrony, PgBouncer, Squid, Apache httpd: the directive, and behind a blank the secret
    (
        ("requirepass", "masterauth", "bindpw", "rootpw", "bindpassword"),
        lazy_pattern(
            rf"(?P<keep>{_LINE}(?:requirepass|masterauth|(?:root)?bindpw|rootpw(?:modpw)?|\w*BindPassword)\s+['\"]?)[^\s'\"]+",
            re.I | re.M,
        ),
    ),
    (("allow ",), lazy_pattern(rf"(?P<keep>{_LINE}(?:and\s+)?allow\s+[\w.-]+:)(?!\d+(?:\s|$))\S+", re.I | re.M)),
    ((" md5 ", " sha", " aes"), lazy_pattern(rf"(?P<keep>{_LINE}\d+\s+(?:MD5|SHA\d*|AES\d+)\s+)\S+", re.I | re.M)),
    (('"md5', '"scram-'), lazy_pattern(r"(?P<keep>\"[^\"\n]+\" \")(?:md5[0-9a-f]{32}|SCRAM-[^\"\n]+)(?=\")", re.I)),
    (("login=",), lazy_pattern(r"(?P<keep>\blogin=[^\s:]{1,256}:)\S+")),
    (("basic ",), lazy_pattern(r"(?P<keep>\bauthorization['\"]?\s+['\"]?basic\s+)[\w+/=]{8,}", re.I)),
    (("stats",), lazy_pattern(r"(?P<keep>\bstats\s+auth\s+[^\s:]+:)\S+", re.I)),
    (("static:",), lazy_pattern(r"(?P<keep>\bstatic:[^\s:]+:)\S+", re.I)),
    (
        ("$",),
        lazy_pattern(rf"(?P<keep>{_LINE}\$USER\d+\$\s*=\s*)(?![\d.]+\s*$|[\w-]+(?:\.[\w-]+)+\s*$)[^\s/]\S*", re.M),
    ),
    # <password>x</password>, name="password" value="x"
    (
        ("pass", "secret", "token", *_KEYS),
        lazy_pattern(
            r"(?P<keep><(?:[\w.-]+:)?[\w.-]*(?:password|passwd|passphrase|secret|token|api-?key|private-?key)(?:hash|value)?(?:\s[^<>]*)?>\s*)[^<>\s][^<>]{2,}",
            re.I,
        ),
    ),
    (
        ("value=",),
        lazy_pattern(
            r"(?P<keep>\b(?:name|key)=['\"](?=[^'\"]*(?:password|passwd|secret|token|api-?key))[^'\"]+['\"]\s+value=['\"])"
            r"[^'\"]{3,}",
            re.I,
        ),
    ),
    (("secret", "password"), lazy_pattern(r"(?P<keep>\b(?:secret|password)\s+\")[^\"]+", re.I)),
    (("password",), lazy_pattern(r"(?P<keep>\bpassword(?:\s*\(\s*|\s+)')[^'\n]+(?=')", re.I)),
    # Authorization: Bearer x
    (
        ("authorization", "x-"),
        lazy_pattern(
            r"(?P<keep>\b(?:authorization|x-[\w-]{0,64}(?:token|key))['\"]?[ \t]*[:=][ \t]*['\"]?"
            r"(?:bearer\s+|basic\s+|token\s+)?)"
            r"[^\s'\"{\[|>][^\s'\"]*",
            re.I,
        ),
    ),
    (("bearer",), lazy_pattern(r"(?P<keep>\bbearer\s+)[\w.~+/=-]{12,}", re.I)),
    # PASSWORD=x, api_key: x, "secret": "x"; a line of its own to its end, whatever signs are in it
    (
        _KEY_WORDS,
        lazy_pattern(
            rf"(?P<keep>{_LINE}(?:export\s+|set\s+)?{_KEY_NAME}{_SETS}){_PLAIN_VALUE}[^\s'\"]{{3,}}(?=\s*$|\s+[#;])",
            re.I | re.M,
        ),
    ),
    (
        _KEY_WORDS,
        lazy_pattern(
            rf"(?P<keep>(?<![\w-])(?:(?<!\d:){_KEY_NAME}|(?<=\d:)[\w-]*\.{_KEY_END})['\"]?\]?{_SETS}(?:Sensitive\()?['\"]{{0,3}})"
            rf"{_PLAIN_VALUE}"
            r"(?:(?<=\")(?:\\.|[^\"\\\n]){3,4096}|(?<=')(?:\\.|[^'\\\n]){3,4096}|[^\s'\",;]{3,})",
            re.I,
        ),
    ),
    # well-known token forms
    (
        _TOKEN_WORDS,
        lazy_pattern(
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|"
            r"\bxox[abeprs]-[\w-]{10,}|\bhvs\.[\w-]{20,}|\bAIza[\w-]{30,}|\b[sr]k_live_\w{16,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|"
            r"(?:(?<![\w-])eyJ[\w-]{10,}|\beyJ[\w-]{10,1000})\.[\w-]{10,}\.[\w-]*|\bAGE-SECRET-KEY-1[0-9A-Z]{50,}"
        ),
    ),
    # crypt(5): $6$salt$hash
    (("{sha}", "{ssha"), lazy_pattern(r"(?P<keep>\{S?SHA\d*\})[\w+/=]{16,}", re.I)),
    (("$",), lazy_pattern(r"(?P<keep>\$(?:1|2[abxy]|5|6|7|y|gy|apr1)\$)[./\w$=,]{16,}")),
    *((_CAPABILITY_WORDS, pattern) for pattern in CAPABILITIES),
    (("private key",), lazy_pattern(r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]*")),
    # The same in base64, as Traefik's acme.json has it: plain, RSA, EC.
    (("ls0tls1crudjtib",), lazy_pattern(r"LS0tLS1CRUdJTiB(?:QUklWQVRF|SU0EgUFJJVkFUR|FQyBQUklWQVRF)[\w+/=]*")),
    # getssl's locations: ftp:user:password:host:/path
    (
        ("ftp", "davs"),
        lazy_pattern(r"(?P<keep>(?<!\w)(?:s?ftp|ftps|ftpes|davs):[^\s:/'\"]+:)[^\s:'\"]+(?=:[^\s:]+:)"),
    ),
    # https://token@host: a user's name is shorter
    (("@",), lazy_pattern(r"(?P<keep>\bhttps?://)[\w-]{16,}(?=@)", re.I)),
    # What signs a URL: of AWS, Azure, Google
    (
        ("signature=", "sig=", "key="),
        lazy_pattern(r"(?P<keep>[?&;](?:X-(?:Amz|Goog)-)?(?:signature|sig|key)=)[\w%+/=.-]{12,}", re.I),
    ),
    # echo user:x | chpasswd, echo x | passwd --stdin, useradd -p x
    (
        ("chpasswd", "--stdin"),
        lazy_pattern(
            r"(?P<keep>\b(?:echo|printf)\s+(?:-\w+\s+){0,8}['\"]?(?:[\w.-]+:)?)[^\s'\"|]+"
            r"(?=['\"]?\s*\|\s*(?:sudo\s+)?(?:chpasswd|passwd\s[^|;&\n]*--stdin))"
        ),
    ),
    (("useradd", "usermod"), lazy_pattern(rf"(?P<keep>{_USERADD}\s-p\s*['\"]?){_TO_THE_END}")),
    # vault login x, ncftpput -p x, sendEmail -xp x, plink -pw x, net use \\host\share x, schtasks /rp x
    (
        ("vault login",),
        lazy_pattern(r"(?P<keep>\bvault\s+login\s+(?:-[\w-]+(?:=\S+)?\s+){0,8})(?!-|method=)[\w.-]{8,}"),
    ),
    (("ncftp",), lazy_pattern(rf"(?P<keep>{_NCFTP}\s-p\s*['\"]?){_TO_THE_END}")),
    (("-xp",), lazy_pattern(rf"(?P<keep>\s-xp\s+['\"]?){_TO_THE_END}")),
    (("-pw",), lazy_pattern(rf"(?P<keep>{_PLINK}\s-pw\s+['\"]?){_TO_THE_END}", re.I)),
    (
        ("net use",),
        lazy_pattern(
            rf"(?P<keep>\bnet\s+use\s+(?:\S+\s+)?\\\\\S+\s+(?:/\S+\s+){{0,8}}['\"]?)(?![/*&|>]){_TO_THE_END}", re.I
        ),
    ),
    (("psexec",), lazy_pattern(rf"(?P<keep>{_PSEXEC}\s[-/]p\s+['\"]?){_TO_THE_END}", re.I)),
    # New-Object Net.NetworkCredential('user', 'x'); MapNetworkDrive "Z:", "\\host\share", False, "user", "x"
    (
        ("networkcredential",),
        lazy_pattern(r"(?P<keep>\bNetworkCredential\(\s*['\"][^'\"]{0,300}['\"]\s*,\s*['\"])[^'\"]+", re.I),
    ),
    (
        ("mapnetworkdrive",),
        lazy_pattern(r"(?P<keep>\bMapNetworkDrive\b(?:[^,\n]{0,300},){4}\s*['\"])[^'\"]+", re.I),
    ),
    (("/rp", "-rp"), lazy_pattern(rf"(?P<keep>{_SCHTASKS}\s[/-]rp\s+['\"]?){_TO_THE_END}", re.I)),
    (
        ("securestring",),
        lazy_pattern(r"(?P<keep>\bConvertTo-SecureString\s+(?:-String\s+)?['\"])[^'\"]+", re.I),
    ),
    # sqlplus user/x@service
    (
        ("sqlplus", "sqlldr", "expdp", "impdp", "rman"),
        lazy_pattern(rf"(?P<keep>{_SQLPLUS}\s['\"]?\w+/)(?!\$)[^\s@'\"/.]+(?=[\s@'\"]|$)"),
    ),
    # Go's data source names: user:x@tcp(host:3306)/database
    (("@tcp(", "@unix(", "@("), lazy_pattern(r"(?P<keep>(?<![\w.-])[\w.-]+:)[^\s@/:'\"]+(?=@(?:tcp|unix)?\()")),
    # dig -y hmac-sha256:name:x, and the same in nsupdate's own language
    (
        ("nsupdate", "dig ", "delv "),
        lazy_pattern(rf"(?P<keep>{_NSUPDATE}\s-y\s*['\"]?(?:[\w-]+:)?[^\s:'\"]+:){_TO_THE_END}"),
    ),
    (
        ("key ",),
        lazy_pattern(
            rf"(?P<keep>{_LINE}key\s+(?:[\w-]+:)?[\w.-]+\s+)(?=\S*\d)(?=\S*[A-Z])[\w+/]{{8,}}={{0,2}}(?=\s*$)",
            re.M,
        ),
    ),
    # http -a user:x, requests.get(url, auth=('user', 'x'))
    (
        (" -a",),
        lazy_pattern(
            rf"(?P<keep>(?:^|[\s;|&])https?\s(?:(?!\shttps?\s)[^|;&\n])*?-a\s*['\"]?[^\s:'\"]{{1,256}}:){_TO_THE_END}"
        ),
    ),
    (
        ("auth", "login("),
        lazy_pattern(
            r"(?P<keep>(?:\bauth\s*=\s*\(|\bHTTP(?:Basic|Digest)Auth\(|\.login\()"
            r"\s*['\"][^'\"]*['\"]\s*,\s*['\"])[^'\"]+"
        ),
    ),
    (
        ("connect(",),
        lazy_pattern(
            r"(?P<keep>\b(?=\w*(?:sql|ldap))\w+(?:\.connector)?\.connect\(\s*['\"][^'\"]*['\"]\s*,"
            r"\s*['\"][^'\"]*['\"]\s*,\s*['\"])[^'\"]+",
            re.I,
        ),
    ),
    # curl's own file: user = "user:x"
    (("user",), lazy_pattern(rf"(?P<keep>{_LINE}(?:proxy-)?user\s*=\s*\"[^\s:\"]+:)(?!\d+\")[^\"]+", re.M)),
    (("cookie",), lazy_pattern(r"(?P<keep>\bcookie:\s*[^\s=;'\"]{1,256}=)[^\s;'\"]+", re.I)),
    # PHP's define with the name DB_PASSWORD, setenv of C and Lua
    (
        ("pass", "secret", "token", "salt", *_KEYS),
        lazy_pattern(
            rf"(?P<keep>\w\(\s*['\"](?=[\w.-]*(?:{_NAMES}|_SALT\b))[\w.-]+['\"]\s*,\s*['\"])[^'\"]{{3,}}",
            re.I,
        ),
    ),
    # ENV TOKEN x, SetEnv DB_PASS x, proxy_set_header X-Api-Key x, aws configure set aws_secret_access_key x
    (
        ("pass", "secret", "token", *_KEYS),
        lazy_pattern(
            rf"(?P<keep>\b(?:{_ASSIGNING})\s+['\"]?{_NAMED}['\"]?\s+['\"]?)"
            rf"{_PLAIN_VALUE}[^\s'\";]{{3,}}",
            re.I,
        ),
    ),
    # A directive and its value, with nothing else in the line: remote_password x, api_token x
    (
        ("pass", "secret", "token", "apikey", "api_key", "access_key"),
        lazy_pattern(
            rf"(?P<keep>{_LINE}[\w.-]*(?:password|passwd|passphrase|secret|token|api_?key|access_key)\s+['\"]?)"
            rf"{_PLAIN_VALUE}(?![\w-]+(?:\.[\w-]+){{2,}}\s*(?:;\s*)?$)[^\s'\";]{{4,}}(?=['\"]?\s*(?:;\s*)?$)",
            re.I | re.M,
        ),
    ),
    (
        ("secret", "token", "apikey", "api_key", "access_key"),
        lazy_pattern(r"(?P<keep>(?<![\w.-])[\w.-]*(?:secret|token|api_?key|access_key)\s+\")(?!\$|\{)[^\"]{4,}", re.I),
    ),
    # Caddy
    (
        ("dns ",),
        lazy_pattern(
            rf"(?P<keep>{_LINE}dns\s+(?:cloudflare|digitalocean|hetzner|gandi|linode|vultr|dnsimple|porkbun|netlify|"
            r"godaddy|duckdns|namecheap|njalla|desec)\s+)(?!\{)[\w-]{8,}",
            re.M,
        ),
    ),
    # Switches and routers
    (
        ("snmp-server", "enable ", "-server", "neighbor ", "key-string", "-key ", "tcp md5"),
        lazy_pattern(
            r"(?P<keep>\b(?:snmp-server\s+community|enable\s+(?:secret|password)(?:\s+\d)?|"
            r"(?:radius|tacacs)-server\s(?:(?!\b(?:radius|tacacs)-server\s)[^\n])*?\bkey(?:\s+\d)?|neighbor\s+\S+\s+password(?:\s+\d)?|"
            r"key-string(?:\s+\d)?|(?:message-digest|authentication)-key(?:\s+\d+\s+md5)?|tcp\s+md5)\s+['\"]?)"
            r"[^\s'\";]{3,}",
            re.I,
        ),
    ),
    (
        ("username ",),
        lazy_pattern(
            rf"(?P<keep>{_LINE}username\s+\S+\s[^\n]*?\b(?:password|secret)(?:\s+\d)?\s+['\"]?)[^\s'\";]{{3,}}",
            re.I | re.M,
        ),
    ),
    # SQL
    (
        ("identified",),
        lazy_pattern(r"(?P<keep>\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?['\"])[^'\"\n]+", re.I),
    ),
    # <entry key="password">x</entry>, <setting name="ApiKey"><value>x</value>
    (
        ("pass", "secret", "token", *_KEYS),
        lazy_pattern(
            rf"(?P<keep><[\w.:-]+\s[^<>]*(?:key|name)=['\"](?=[^'\"<>]*(?:{_NAMES}))[^'\"<>]+['\"][^<>/]{{0,500}}>"
            r"\s*(?:<value>\s*)?)[^<>\s][^<>]{2,}",
            re.I,
        ),
    ),
    # .npmrc, and Docker's config.json
    (
        ("auth",),
        lazy_pattern(
            r"(?P<keep>\b_auth\s*=\s*|\"auth\"\s*:\s*\")"
            r"(?=[\w+/]*[A-Z])(?=[\w+/]*[a-z])(?=[\w+/]*[\d=])[\w+/]{8,}={0,2}"
        ),
    ),
    # Postfix's sasl_passwd: [relay]:587 user:x, or user@domain:x
    (
        ("]", "@"),
        lazy_pattern(
            rf"(?P<keep>{_LINE}(?:\[[\w.:-]+\](?::\w+)?\s+[^\s:]+:|[\w@][\w.@-]*\s+[\w.+-]+@[\w.-]+:))"
            r"(?!\d+\s*$|//)[^\s\[/]\S*(?=\s*$)",
            re.M,
        ),
    ),
    (("unseal key",), lazy_pattern(r"(?P<keep>\bunseal key \d+:\s*)\S+", re.I)),
)
