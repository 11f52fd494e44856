"""Command-line options of known programs: which take a value. From each program's manual page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from auditor.shell.sink import Word


class Spec(NamedTuple):
    """Options that take a value. `single` is for programs whose long options have one dash (`openssl -connect`).

    `ordered` is for programs that stop looking for options at the first operand (sudo, timeout, xargs).
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    single: bool = False
    ordered: bool = False


class Option(NamedTuple):
    """An option as given, without dashes; `value` is None if it takes none."""

    name: str
    value: Word | None
    row: int


class Arguments(NamedTuple):
    options: list[Option]
    operands: list[Word]

    def values(self, *names: str) -> list[Word]:
        """The values of all options of these names, in order."""
        return [o.value for o in self.options if o.name in names and o.value is not None]

    def last(self, *names: str) -> str:
        """The last value of these options, or an empty text."""
        found = self.values(*names)
        return found[-1].text if found else ""

    def has(self, *names: str) -> bool:
        """Whether any of these options is given."""
        return any(o.name in names for o in self.options)


def parse_options(words: Sequence[Word], spec: Spec) -> Arguments:
    """Options and operands of a command's arguments, in the manner of getopt_long(3)."""
    options: list[Option] = []
    operands: list[Word] = []
    at = 0
    while at < len(words):
        text, row = words[at]
        at += 1
        if text == "--":
            operands.extend(words[at:])
            break
        if len(text) < 2 or not text.startswith("-"):
            operands.append(words[at - 1])
            if spec.ordered:
                operands.extend(words[at:])
                break
            continue
        if text.startswith("--") or spec.single:
            name, mark, value = text.lstrip("-").partition("=")
            if mark:
                options.append(Option(name, Word(value, row), row))
            elif (name in spec.long or (len(name) == 1 and name in spec.short)) and at < len(words):
                options.append(Option(name, words[at], row))
                at += 1
            else:
                options.append(Option(name, None, row))
            continue
        for index in range(1, len(text)):
            letter = text[index]
            if letter not in spec.short:
                options.append(Option(letter, None, row))
                continue
            rest = text[index + 1 :]
            if rest:
                options.append(Option(letter, Word(rest, row), row))
            elif at < len(words):
                options.append(Option(letter, words[at], row))
                at += 1
            break
    return Arguments(options, operands)


def _long(text: str) -> frozenset[str]:
    return frozenset(text.split())


SSH: Final = Spec("BbcDEeFIiJLlmOopQRSWwP", ordered=True)
SCP: Final = Spec("cDFiJloPSX")
SFTP: Final = Spec("BbcDFiJloPRsSX")
RSYNC: Final = Spec(
    "eBMTf@",
    _long(
        "rsh rsync-path exclude include exclude-from include-from files-from filter log-file log-file-format "
        "password-file port bwlimit max-size min-size timeout contimeout temp-dir backup-dir suffix compare-dest "
        "copy-dest link-dest block-size chmod chown usermap groupmap out-format partial-dir compress-level "
        "compress-choice checksum-choice info debug address sockopts modify-window max-delete max-alloc iconv "
        "remote-option skip-compress outbuf protocol write-batch only-write-batch read-batch stop-after stop-at "
        "early-input checksum-seed zc zl cc"
    ),
)
SYNCOID: Final = Spec(
    "",
    _long(
        "identifier compress source-bwlimit target-bwlimit pv-options mbuffer-size insecure-direct-connection sshport "
        "sshcipher sshoption sshconfig sshkey exclude exclude-datasets exclude-snaps include-snaps sendoptions "
        "recvoptions cache-dir"
    ),
)
CURL: Final = Spec(
    "AbcCdDeEFHKmoPQrtTuUwxXyYz",
    _long(
        "abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config connect-timeout connect-to "
        "continue-at cookie cookie-jar create-file-mode crlfile curves data data-ascii data-binary data-raw "
        "data-urlencode delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header ech "
        "egd-file engine etag-compare etag-save expect100-timeout form form-string ftp-account ftp-alternative-to-user "
        "ftp-method ftp-port happy-eyeballs-timeout-ms haproxy-clientip header hostpubmd5 hostpubsha256 hsts interface "
        "ip-tos ipfs-gateway json keepalive-time keepalive-cnt key key-type krb libcurl limit-rate local-port "
        "login-options mail-auth mail-from mail-rcpt max-filesize max-redirs max-time netrc-file noproxy oauth2-bearer "
        "output output-dir parallel-max parallel-max-host pass pinnedpubkey postquote prequote preproxy proto "
        "proto-default proto-redir proxy proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers "
        "proxy-header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name proxy-tls13-ciphers "
        "proxy-user proxy1.0 pubkey quote random-file range rate referer request request-target resolve retry "
        "retry-delay retry-max-time sasl-authzid service-name sigalgs socks4 socks4a socks5 socks5-hostname "
        "socks5-gssapi-service speed-limit speed-time stderr telnet-option tftp-blksize time-cond tls-max "
        "tls13-ciphers tlsauthtype tlspassword tlsuser trace trace-ascii trace-config unix-socket upload-file "
        "upload-flags url url-query user user-agent variable vlan-priority write-out"
    ),
)
WGET: Final = Spec(
    "oaieBtOTwQPUlADIRX",
    _long(
        "output-file append-output input-file execute base tries output-document timeout dns-timeout connect-timeout "
        "read-timeout wait waitretry quota directory-prefix user-agent level accept reject domains exclude-domains "
        "include-directories exclude-directories accept-regex reject-regex limit-rate bind-address user password "
        "header post-data post-file method body-data body-file referer save-cookies load-cookies certificate "
        "certificate-type private-key private-key-type ca-certificate ca-directory crl-file secure-protocol ciphers "
        "http-user http-password proxy-user proxy-password ftp-user ftp-password start-pos max-redirect warc-file "
        "cut-dirs default-page restrict-file-names report-speed prefer-family hsts-file egd-file random-file"
    ),
)
PSQL: Final = Spec(
    "cdfvLoFPRThpU",
    _long(
        "command dbname file set variable log-file output field-separator pset record-separator table-attr host port "
        "username jobs table schema exclude-table exclude-schema format compress encoding superuser role "
        "exclude-table-data lock-wait-timeout rows-per-insert section snapshot use-list index function trigger "
        "maintenance-db pgdata wal-method checkpoint label target waldir slot max-rate"
    ),
)
PSQL_CLIENT: Final = PSQL._replace(short="cdfvLoFPRThpU")
PG_DUMP: Final = PSQL._replace(short="fFZjnNtTEShpUdel")
PG_RESTORE: Final = PSQL._replace(short="dfFIjLnNPStThpU")
PG_BASEBACKUP: Final = PSQL._replace(short="DFrTXZclShpUdsi")
MYSQL: Final = Spec(
    "hPuDeS",
    _long(
        "host port user database execute socket protocol default-character-set defaults-file defaults-extra-file "
        "defaults-group-suffix ssl-ca ssl-cert ssl-key ssl-mode login-path result-file where tab ignore-table "
        "max-allowed-packet max_allowed_packet net-buffer-length set-gtid-purged fields-terminated-by "
        "lines-terminated-by columns"
    ),
)
MYSQLDUMP: Final = MYSQL._replace(short="hPuSrTw")
