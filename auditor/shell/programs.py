"""What a program does with its arguments: whom it calls, where it connects, which files it touches.

Each handler follows its program's manual page. Programs without one give CONNECTS for each argument that is a URL
(confidence medium), a full host name or an address (confidence low).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import basename
from typing import TYPE_CHECKING, Final

from auditor.model import Confidence, Kind, Need, Ref, Relation
from auditor.shell import options as spec
from auditor.shell.options import Arguments, Spec, parse_options
from auditor.shell.sink import HOLE, Word, is_url
from auditor.text import is_address, is_hostname, split_words

if TYPE_CHECKING:
    from auditor.shell.commands import Shell

_DIGEST: Final = re.compile(r"sha\d+|md5")
_FULL_NAME: Final = re.compile(
    r"\.(?!(?:service|timer|socket|target|mount|path|slice|conf|cfg|ini|json|ya?ml|toml|xml|sql|db|log|txt|csv|pid|lock|list|"
    r"repo|sh|py|pl|rb|js|jar|war|so|bak|old|orig|tmp|gz|bz2|xz|zst|zip|tar|tgz|deb|rpm|iso|img|pem|crt|cer|key|csr|p12|"
    r"jks|html?|pdf|png|md)$)[a-z][a-z0-9-]*$",
    re.IGNORECASE,
)
Handler = Callable[["Shell", list[Word], str | None], None]
_UNWRAP_LIMIT: Final = 16


def interpret(words: list[Word], shell: Shell, stdin: str | None) -> None:
    """The facts of one simple command. `stdin` is its standard input where known, HOLE if it comes from a pipe."""
    for _ in range(_UNWRAP_LIMIT):
        if not words or not words[0].text or HOLE in words[0].text:
            _urls(shell, words[1:])
            return
        program = words[0].text
        name = basename(program.rstrip("/"))
        wrapper = _WRAPPERS.get(name)
        if wrapper is None:
            break
        words = wrapper(shell, words)
        if not words:
            return
    else:
        return
    name = _ALIASES.get(name, name)
    client = _CLIENTS.get(name)
    if client is not None:
        client(shell, words, stdin)
        return
    handler = _PROGRAMS.get(name)
    if "/" in program and not (name in _KNOWN and program.startswith(_SYSTEM)):
        shell.sink.calls(shell.absolute(program), words[0].row)
    if handler is not None:
        handler(shell, words, stdin)
    elif name.startswith("check_"):
        _check_plugin(shell, words, stdin)
    elif name.startswith("snmp"):
        _snmp(shell, words, stdin)
    elif name not in _SILENT:
        _urls(shell, words[1:])
        if name not in _TOOLS:
            _full_names(shell, words[1:])


# Wrappers: each returns the command that it runs.


def _wrapped(wanted: Spec) -> Callable[[Shell, list[Word]], list[Word]]:
    def unwrap(shell: Shell, words: list[Word]) -> list[Word]:
        return _skip_assignments(shell, parse_options(words[1:], wanted).operands)

    return unwrap


def _skip_assignments(shell: Shell, words: list[Word]) -> list[Word]:
    """`env A=b command`, also accepted by sudo and doas."""
    at = 0
    while at < len(words) and re.match(r"[A-Za-z_]\w*=", words[at].text):
        at += 1
    return words[at:]


def _wrapped_after(operands: int, wanted: Spec) -> Callable[[Shell, list[Word]], list[Word]]:
    """A wrapper whose first operands are its own: a duration, a lock file, a priority."""

    def unwrap(shell: Shell, words: list[Word]) -> list[Word]:
        return parse_options(words[1:], wanted).operands[operands:]

    return unwrap


def _flock(shell: Shell, words: list[Word]) -> list[Word]:
    """flock(1): `flock [options] file command` or `flock [options] file -c 'command'`; a number is a descriptor."""
    arguments = parse_options(
        words[1:], Spec("wEc", frozenset({"timeout", "wait", "conflict-exit-code"}), ordered=True)
    )
    if not arguments.operands:
        return []
    lock, rest = arguments.operands[0], arguments.operands[1:]
    shell.sink.writes(shell.absolute(lock.text), lock.row)
    if rest and rest[0].text in ("-c", "--command"):
        if len(rest) > 1:
            shell.run_inner(rest[1].text, rest[1].row)
        return []
    return rest


def _su(shell: Shell, words: list[Word]) -> list[Word]:
    """su(1), runuser(1): `su - user -c 'command'`, and runuser's `-u user command`."""
    wanted = Spec("cugGsTw", frozenset({"command", "session-command", "user", "group", "supp-group", "shell"}))
    if any(w.text in ("-u", "--user") for w in words[1:]):
        return parse_options(words[1:], wanted._replace(ordered=True)).operands
    for command in parse_options(words[1:], wanted).values("c", "command", "session-command"):
        shell.run_inner(command.text, command.row)
    return []


def _env(shell: Shell, words: list[Word]) -> list[Word]:
    arguments = parse_options(words[1:], Spec("uCS", frozenset({"unset", "chdir", "split-string"}), ordered=True))
    for text in arguments.values("S", "split-string"):
        return [*(Word(part, text.row) for part in _split(text.text)), *arguments.operands]
    return _skip_assignments(shell, arguments.operands)


def _command_builtin(shell: Shell, words: list[Word]) -> list[Word]:
    """`command -v x` and `type` only ask where x is."""
    arguments = parse_options(words[1:], Spec(ordered=True))
    return [] if arguments.has("v", "V") else arguments.operands


def _script_wrapper(shell: Shell, words: list[Word]) -> list[Word]:
    for command in parse_options(words[1:], Spec("cEIOoTmB")).values("c", "command"):
        shell.run_inner(command.text, command.row)
    return []


def _watch(shell: Shell, words: list[Word]) -> list[Word]:
    operands = parse_options(words[1:], Spec("nq", frozenset({"interval", "equexit"}), ordered=True)).operands
    if operands:
        shell.run_inner(" ".join(w.text for w in operands), operands[0].row)
    return []


def _eval(shell: Shell, words: list[Word]) -> list[Word]:
    if len(words) > 1:
        shell.run_inner(" ".join(w.text for w in words[1:]), words[1].row)
    return []


def _trap(shell: Shell, words: list[Word]) -> list[Word]:
    operands = parse_options(words[1:], Spec(ordered=True)).operands
    if len(operands) > 1:
        shell.run_inner(operands[0].text, operands[0].row)
    return []


def _sshpass(shell: Shell, words: list[Word]) -> list[Word]:
    arguments = parse_options(words[1:], Spec("pfdP", ordered=True))
    for file in arguments.values("f"):
        shell.sink.reads(file.text, file.row)
    return arguments.operands


def _find(shell: Shell, words: list[Word]) -> list[Word]:
    """find(1): the command after -exec and its kin."""
    for at, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            command: list[Word] = []
            for argument in words[at + 1 :]:
                if argument.text in (";", "+"):
                    break
                command.append(Word(argument.text.replace("{}", HOLE), argument.row))
            return command
    return []


# Shells and interpreters


def _shell(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """sh(1): `-c` text, a script file, or a script on standard input."""
    rest = words[1:]
    is_text = reads_input = False
    at = 0
    while at < len(rest) and rest[at].text[:1] in ("-", "+") and len(rest[at].text) > 1:
        text = rest[at].text
        if text == "--":
            at += 1
            break
        if text in ("--rcfile", "--init-file", "-o", "+o", "-O"):
            at += 1
        elif not text.startswith("--"):
            is_text = is_text or "c" in text
            reads_input = reads_input or "s" in text
        at += 1
    operands = rest[at:]
    if is_text:
        if operands:
            shell.run_inner(operands[0].text, operands[0].row)
    elif operands and not reads_input:
        shell.sink.calls(shell.absolute(operands[0].text), operands[0].row)
        _urls(shell, operands[1:])
    elif stdin and stdin != HOLE:
        shell.run_inner(stdin, words[0].row)


def _interpreter(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """python, perl, ruby, php, node: the first operand is a script, unless the program text is given."""
    arguments = parse_options(words[1:], Spec("cmWXeEIr", ordered=True))
    operands = arguments.operands
    if not arguments.has("c", "m", "e", "E", "r") and operands:
        shell.sink.calls(shell.absolute(operands[0].text), operands[0].row)
        operands = operands[1:]
    _urls(shell, operands)


def _source(shell: Shell, words: list[Word], stdin: str | None) -> None:
    if len(words) > 1:
        shell.sink.calls(shell.absolute(words[1].text), words[1].row)


def _run_parts(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("au", frozenset({"arg", "umask", "regex"})))
    for directory in arguments.operands[-1:]:
        shell.sink.calls(shell.absolute(directory.text), directory.row)


# Hosts


def _host_and_path(text: str) -> tuple[str, str] | None:
    """`user@host:path` as scp(1) and git(1) tell it from a file: a colon before any slash."""
    if text.startswith("["):
        host, mark, path = text.partition("]:")
        return (host[1:], path) if mark else None
    if "@[" in text:
        host, mark, path = text.partition("]:")
        return (host.replace("[", ""), path) if mark else None
    host, mark, path = text.partition(":")
    if not mark or "/" in host or not host or host.startswith((".", "-")):
        return None
    return host, path


def _ssh_options(shell: Shell, arguments: Arguments, *, upper_port: bool = False) -> str:
    """Emits what options of the SSH family name; returns the port."""
    port = arguments.last("P" if upper_port else "p")
    for key in arguments.values("i", "F"):
        shell.sink.reads(shell.absolute(key.text), key.row)
    for log in arguments.values("E"):
        shell.sink.writes(log.text, log.row)
    for jumps in arguments.values("J"):
        _jumps(shell, jumps)
    for setting in arguments.values("o"):
        name, value = [*re.split(r"[=\s]+", setting.text.strip(), maxsplit=1), ""][:2]
        name = name.lower()
        value = value.strip("\"'")
        if name == "proxyjump":
            _jumps(shell, Word(value, setting.row))
        elif name == "proxycommand" and value.lower() != "none":
            shell.run_inner(re.sub(r"%[hprn]", HOLE, value), setting.row)
        elif name == "port":
            port = port or value
        elif name in ("identityfile", "certificatefile"):
            shell.sink.reads(value, setting.row)
        elif name == "hostname":
            shell.sink.connect(value, setting.row, Need.READ)
    return port


def _jumps(shell: Shell, jumps: Word) -> None:
    for jump in jumps.text.split(","):
        if jump.lower() == "none":
            continue
        _ssh_host(shell, jump.removeprefix("ssh://"), jumps.row, "", Need.READ)


def _ssh_host(shell: Shell, text: str, row: int, port: str, need: Need) -> None:
    """A host of the SSH family: `user@host`, `user@host:port` or `user@[v6]:port`."""
    host = text.rsplit("@", 1)[-1]
    split = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+):(\d+)", host)
    if split is not None:
        host, port = split[1] or split[3], split[2] or split[4] or port
    shell.sink.connect(host, row, need, port=port if port != "22" else "", scheme="ssh")


def _ssh(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """ssh(1), autossh(1): options may also stand after the host; the rest is a command on that host."""
    first = parse_options(words[1:], spec.SSH)
    if not first.operands:
        return
    host, rest = first.operands[0], first.operands[1:]
    second = parse_options(rest, spec.SSH)
    arguments = Arguments([*first.options, *second.options], second.operands)
    port = _ssh_options(shell, arguments)
    target = host.text.removeprefix("ssh://")
    target = target.split("/", 1)[0] if target != host.text else target
    _ssh_host(shell, target, host.row, port, Need.RUN)
    for tunnel in arguments.values("W"):
        _host_port(shell, tunnel.text, tunnel.row)
    for tunnel in arguments.values("L"):
        parts = re.findall(r"\[[^\]]*\]|[^:]+", tunnel.text)
        if len(parts) >= 3:
            shell.sink.connect(parts[-2], tunnel.row, port=parts[-1], confidence=Confidence.MEDIUM)
    before, shell.sink.written_there = shell.sink.written_there, 0
    if arguments.operands:
        shell.run_inner(" ".join(w.text for w in arguments.operands), arguments.operands[0].row, remote=True)
    elif stdin and stdin != HOLE:
        shell.run_inner(stdin, host.row, remote=True)
    if shell.sink.written_there:
        _ssh_host(shell, target, host.row, port, Need.WRITE)
    shell.sink.written_there = before


def _copy(shell: Shell, files: Sequence[Word], port: str) -> None:
    """Sources and a destination, each local or `host:path`."""
    for index, file in enumerate(files):
        last = index == len(files) - 1 and len(files) > 1
        need = Need.WRITE if last else Need.READ
        if "://" in file.text:
            scheme, _, rest = file.text.partition("://")
            if scheme in ("scp", "sftp", "ssh"):
                _ssh_host(shell, rest.split("/", 1)[0], file.row, port, need)
            else:
                shell.sink.url(file.text, file.row, need)
            continue
        remote = _host_and_path(file.text)
        if remote is None:
            (shell.sink.writes if last else shell.sink.reads)(shell.absolute(file.text), file.row)
        elif remote[1].startswith(":"):
            module = remote[1][1:].lstrip("/")
            host = remote[0].rsplit("@", 1)[-1]
            shell.sink.url(f"rsync://{f'[{host}]' if ':' in host else host}/{module}", file.row, need)
        else:
            shell.sink.connect(remote[0], file.row, need, port=port if port != "22" else "", scheme="ssh")


def _scp(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], spec.SCP)
    _copy(shell, arguments.operands, _ssh_options(shell, arguments, upper_port=True))


def _sftp(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], spec.SFTP)
    port = _ssh_options(shell, arguments, upper_port=True)
    for batch in arguments.values("b"):
        shell.sink.reads(batch.text, batch.row)
    need = Need.WRITE if stdin and re.search(r"(?m)^\s*-?(?:put|reput|mkdir|rm|rename|mput)\b", stdin) else Need.READ
    for target in arguments.operands[:1]:
        text = target.text.removeprefix("sftp://")
        remote = None if text != target.text else _host_and_path(text)
        _ssh_host(shell, remote[0] if remote else text.split("/", 1)[0], target.row, port, need)


def _rsync(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], spec.RSYNC)
    port = ""
    for transport in arguments.values("e", "rsh"):
        inner = [Word(part, transport.row) for part in _split(transport.text)]
        if inner and basename(inner[0].text) in ("ssh", "autossh"):
            port = _ssh_options(shell, parse_options(inner[1:], spec.SSH))
    for file in arguments.values("exclude-from", "include-from", "files-from", "password-file"):
        shell.sink.reads(shell.absolute(file.text), file.row)
    for file in arguments.values("log-file"):
        shell.sink.writes(shell.absolute(file.text), file.row)
    for directory in arguments.values("link-dest", "copy-dest", "compare-dest"):
        shell.sink.reads(directory.text, directory.row)
    _copy(shell, arguments.operands, port)


def _curl(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """curl(1). An upload or a changing method needs WRITE of the server, a POST needs RUN, all else READ."""
    arguments = parse_options(words[1:], spec.CURL)
    method = arguments.last("X", "request").upper()
    need = Need.READ
    if arguments.has("T", "upload-file") or method in ("PUT", "PATCH", "DELETE"):
        need = Need.WRITE
    elif method == "POST" or (
        not arguments.has("G", "get", "I", "head")
        and method != "GET"
        and any(o.name in ("d", "F", "json") or o.name.startswith(("data", "form")) for o in arguments.options)
    ):
        need = Need.RUN
    for url in [*arguments.operands, *arguments.values("url")]:
        _bare_url(shell, url, need)
    for proxy in arguments.values("x", "proxy", "preproxy", "socks5", "socks5-hostname", "socks4", "socks4a"):
        _host_port(shell, proxy.text, proxy.row)
    for mapping in arguments.values("resolve", "connect-to"):
        parts = re.findall(r"\[[^\]]*\]|[^:]+", mapping.text)
        if len(parts) >= 3:
            shell.sink.connect(parts[2].split(",")[0], mapping.row, need)
    for file in arguments.values("T", "upload-file", "K", "config", "E", "cert", "key", "cacert", "netrc-file"):
        shell.sink.reads(shell.absolute(file.text), file.row)
    for data in arguments.values("d", "data", "data-binary", "data-raw", "data-ascii", "json"):
        if data.text.startswith("@"):
            shell.sink.reads(shell.absolute(data.text[1:]), data.row)
    for file in arguments.values("o", "output", "D", "dump-header", "c", "cookie-jar", "output-dir"):
        shell.sink.writes(shell.absolute(file.text), file.row)


def _wget(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], spec.WGET)
    method = arguments.last("method").upper()
    need = Need.READ
    if method in ("PUT", "PATCH", "DELETE"):
        need = Need.WRITE
    elif method == "POST" or arguments.has("post-data", "post-file"):
        need = Need.RUN
    for url in arguments.operands:
        _bare_url(shell, url, need)
    for file in arguments.values("i", "input-file", "post-file", "body-file", "ca-certificate", "certificate"):
        shell.sink.reads(shell.absolute(file.text), file.row)
    for file in arguments.values(
        "O", "output-document", "o", "output-file", "a", "append-output", "P", "directory-prefix"
    ):
        shell.sink.writes(shell.absolute(file.text), file.row)


def _bare_url(shell: Shell, word: Word, need: Need) -> None:
    """A URL whose scheme may be left out, as curl and wget allow."""
    text = word.text
    if "://" in text:
        shell.sink.url(text, word.row, need)
    elif re.match(
        r"[\w.-]+\.[a-z]{2,}(?:[:/?#]|$)|\d+(?:\.\d+){3}(?:[:/?#]|$)|\[[0-9a-f:]+\]|[\w-]+:\d+(?:/|$)|[\w-]+/|[\w-]+$",
        text,
        re.I,
    ):
        shell.sink.url(f"http://{text}", word.row, need)


def _httpie(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """HTTPie: `http [METHOD] URL [items]`; the method is POST if there are data items or input."""
    long = frozenset(
        {"auth", "auth-type", "output", "session", "timeout", "verify", "cert", "cert-key", "proxy", "print"}
    )
    arguments = parse_options(words[1:], Spec("aoApPs", long))
    operands = list(arguments.operands)
    method = operands.pop(0).text if operands and re.fullmatch("[A-Z]+", operands[0].text) else ""
    if not operands:
        return
    items = [w.text for w in operands[1:] if re.search(r"[^=:]=|:=|@", w.text) and "==" not in w.text]
    need = Need.READ
    if method in ("PUT", "PATCH", "DELETE"):
        need = Need.WRITE
    elif method == "POST" or (not method and items):
        need = Need.RUN
    if not operands[0].text.startswith(":"):
        _bare_url(shell, operands[0], need)
    for file in arguments.values("o", "output"):
        shell.sink.writes(shell.absolute(file.text), file.row)


def _host_port(shell: Shell, text: str, row: int, need: Need = Need.READ, scheme: str = "") -> None:
    """`host`, `host:port`, `[v6]:port` or a URL."""
    if "://" in text:
        shell.sink.url(text, row, need)
        return
    split = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+):(\d+)(?:/.*)?", text)
    if split is not None:
        shell.sink.connect(split[1] or split[3], row, need, port=split[2] or split[4] or "", scheme=scheme)
    else:
        shell.sink.connect(text, row, need)


def _netcat(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("wpsqXxiTVPOIegGmMoct"))
    if arguments.has("l", "listen"):
        return
    for proxy in arguments.values("x"):
        _host_port(shell, proxy.text, proxy.row)
    _operand_host(shell, arguments)


def _socket_proxy(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """systemd-socket-proxyd(8): all that comes in goes to a host, or to a socket of this one."""
    for target in parse_options(words[1:], Spec("c", frozenset({"connections-max", "exit-idle-time"}))).operands[:1]:
        if not target.text.startswith(("/", "@")):
            _host_port(shell, target.text, target.row)


def _operand_host(shell: Shell, arguments: Arguments) -> None:
    operands = arguments.operands
    if operands:
        port = operands[1].text if len(operands) > 1 else ""
        shell.sink.connect(operands[0].text, operands[0].row, port=port)


def _telnet(shell: Shell, words: list[Word], stdin: str | None) -> None:
    _operand_host(shell, parse_options(words[1:], Spec("belnSX")))


def _auditor(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """The auditor itself, also by its bare name: that nothing runs it any more is a finding."""
    if len(words) > 1 and "/" not in words[0].text:
        shell.sink.emit(Relation.CALLS, Ref(Kind.PATH, words[0].text), words[0].row)


def _one_host(wanted: Spec) -> Handler:
    """A program whose last operand is a host: ping, traceroute, fping, ssh-keyscan."""

    def handle(shell: Shell, words: list[Word], stdin: str | None) -> None:
        arguments = parse_options(words[1:], wanted)
        port = arguments.last("p") if "p" in wanted.short else ""
        for host in arguments.operands:
            if not host.text.isdecimal():
                shell.sink.connect(host.text, host.row, port=port)

    return handle


def _dig(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """dig(1): `@server` is asked; the names it looks up must resolve."""
    types = r"(?:A|AAAA|CNAME|MX|NS|SOA|TXT|SRV|PTR|CAA|ANY|AXFR|IXFR=.*|TLSA|DS|DNSKEY|IN|HS|CH)"
    arguments = parse_options(words[1:], Spec("bcfkpqtxy"))
    for word in [*arguments.operands, *arguments.values("q", "x")]:
        if word.text.startswith("@"):
            shell.sink.connect(word.text[1:], word.row)
        elif not word.text.startswith("+") and not re.fullmatch(types, word.text, re.I) and "." in word.text:
            shell.sink.connect(word.text, word.row, confidence=Confidence.MEDIUM)


def _nslookup(shell: Shell, words: list[Word], stdin: str | None) -> None:
    operands = parse_options(words[1:], Spec("cNRtW")).operands
    for index, word in enumerate(operands[:2]):
        if index or "." in word.text:
            shell.sink.connect(word.text, word.row, confidence=Confidence.HIGH if index else Confidence.MEDIUM)


_SQL_CHANGE: Final = re.compile(
    r"\b(?:insert|update|delete|create|alter|drop|truncate|grant|revoke|vacuum|reindex|refresh|call|load\s+data|"
    r"replace\s+into|copy\s+\S+(?:\s*\([^)]*\))?\s+from|analyze|cluster)\b",
    re.I,
)


def _postgres(wanted: Spec, need: Need | None) -> Handler:
    """psql and its kin: -h, a URI, or a conninfo string. `need` is None where it depends on the SQL."""

    def handle(shell: Shell, words: list[Word], stdin: str | None) -> None:
        arguments = parse_options(words[1:], wanted)
        wants = need
        if wants is None:
            sql = " ".join([*(w.text for w in arguments.values("c", "command")), stdin or ""])
            file = arguments.has("f", "file") or stdin == HOLE
            wants = Need.WRITE if file or _SQL_CHANGE.search(sql) else Need.READ
        port = arguments.last("p", "port")
        for host in arguments.values("h", "host"):
            for one in host.text.split(","):
                shell.sink.connect(one, host.row, wants, port=port)
        for text in [*arguments.operands, *arguments.values("d", "dbname")]:
            if text.text.startswith(("postgres://", "postgresql://")):
                shell.sink.url(text.text, text.row, wants)
            elif "=" in text.text:
                found = dict(re.findall(r"(\w+)\s*=\s*'?([^\s']+)", text.text))
                target = found.get("host") or found.get("hostaddr")
                if target and not target.startswith("/"):
                    shell.sink.connect(target, text.row, wants, port=found.get("port", port))
        dumps = wanted is not spec.PSQL_CLIENT
        reads = () if dumps else ("f", "file")
        writes = ("f", "file", "D", "pgdata") if dumps else ("o", "output", "L", "log-file")
        for file_word in arguments.values(*reads):
            shell.sink.reads(shell.absolute(file_word.text), file_word.row)
        for file_word in arguments.values(*writes):
            shell.sink.writes(shell.absolute(file_word.text), file_word.row)

    return handle


def _mysql(wanted: Spec, need: Need | None) -> Handler:
    """mysql and its kin: -h or --host; with SQL from a file or a pipe the server must take writes."""

    def handle(shell: Shell, words: list[Word], stdin: str | None) -> None:
        arguments = parse_options(words[1:], wanted)
        wants = need
        if wants is None:
            sql = " ".join([*(w.text for w in arguments.values("e", "execute")), stdin or ""])
            wants = Need.WRITE if stdin == HOLE or _SQL_CHANGE.search(sql) else Need.READ
        for host in arguments.values("h", "host"):
            shell.sink.connect(host.text, host.row, wants, port=arguments.last("P", "port"))
        for word in arguments.operands:
            if is_url(word.text):
                shell.sink.url(word.text, word.row, wants)
        for file in arguments.values("r", "result-file"):
            shell.sink.writes(shell.absolute(file.text), file.row)
        for file in arguments.values("defaults-file", "defaults-extra-file"):
            shell.sink.reads(shell.absolute(file.text), file.row)

    return handle


def _host_option(wanted: Spec, hosts: Sequence[str], ports: Sequence[str] = (), need: Need = Need.READ) -> Handler:
    """A program that takes its host as an option, and perhaps URLs as operands."""

    def handle(shell: Shell, words: list[Word], stdin: str | None) -> None:
        arguments = parse_options(words[1:], wanted)
        for host in arguments.values(*hosts):
            for one in host.text.split(","):
                if "://" in one:
                    shell.sink.url(one, host.row, need)
                elif ":" in one and not is_address(one):
                    _host_port(shell, one.rsplit("/", 1)[-1], host.row, need)
                else:
                    shell.sink.connect(one.rsplit("/", 1)[-1], host.row, need, port=arguments.last(*ports))
        for word in arguments.operands:
            if is_url(word.text):
                shell.sink.url(word.text, word.row, need)

    return handle


_AWS: Final = _host_option(
    Spec("", frozenset({"endpoint-url", "region", "profile", "output", "query"})), ("endpoint-url",)
)


def _aws(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """aws-cli 2: --endpoint-url, and the certificate that `acm import-certificate` replaces, by its ARN."""
    _AWS(shell, words, stdin)
    if any(word.text == "import-certificate" for word in words):
        for arn in parse_options(words[1:], Spec("", frozenset({"certificate-arn"}))).values("certificate-arn"):
            if arn.known and arn.text.startswith("arn:"):
                shell.sink.emit(Relation.WRITES, Ref(Kind.CERTIFICATE, arn.text), arn.row)


_UPLOADS: Final = re.compile(
    r"(?:^|[;&\n][ \t]*)(?:m?put|reput|mkdir|mk|rm|del|rename|mirror\b[^;\n]{0,500}?\s(?:-[a-zA-Z]*R|--reverse))\b"
)


def _smbclient(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """smbclient(1): commands of -c that put files there need them to be kept."""
    arguments = parse_options(words[1:], Spec("AbcDdIilLmnOpRstTUW"))
    commands = "\n".join(one.text for one in arguments.values("c", "command"))
    need = Need.WRITE if _UPLOADS.search(commands) else Need.READ
    for word in [*arguments.operands[:1], *arguments.values("L", "I")]:
        host = word.text.replace("\\", "/").strip("/").split("/", 1)[0]
        shell.sink.connect(host, word.row, need)


def _lftp(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """lftp(1): a site by its name or URL, also in an `open`; `put` and `mirror -R` among its commands write there."""
    arguments = parse_options(words[1:], Spec("ecufp"))
    commands = "\n".join([*(one.text for one in arguments.values("e", "c")), stdin or ""])
    need = Need.WRITE if _UPLOADS.search(commands) else Need.READ
    for script in arguments.values("f"):
        shell.sink.reads(shell.absolute(script.text), script.row)
    sites = [*arguments.operands[:1], *(Word(one, words[0].row) for one in _OPENED.findall(commands))]
    for site in sites:
        if is_url(site.text):
            shell.sink.url(site.text, site.row, need)
        else:
            shell.sink.connect(site.text, site.row, need, port=arguments.last("p"))


_OPENED: Final = re.compile(r"(?:^|[;&\n][ \t]*)open\s+(?:-\S++\s+(?:[^\s,-][^\s,]*+,\S*+\s+)?){0,5}([\w.:/@-]+)")


def _unison(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """unison(1): two roots, each a directory or `ssh://user@host//path`; both are brought up to date."""
    for word in words[1:]:
        if word.text.startswith(("ssh://", "socket://")):
            shell.sink.url(word.text, word.row, Need.WRITE)
        elif word.text.startswith("/"):
            shell.sink.writes(word.text, word.row)


_RCLONE_WRITES: Final = frozenset({"bisync", "copy", "copyto", "copyurl", "move", "moveto", "rcat", "sync"})
_RCLONE_HOST: Final = re.compile(r"(?:^|,)(?:host|url|endpoint)=([^,:]+(?::(?://)?[^,:]*)*)")


def _rclone(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """rclone: remotes that are written out (`:sftp,host=nas1:/path`), and hosts and URLs among the options.

    What a remote of rclone.conf is called is no host.
    """
    hosts = [at for at, word in enumerate(words) if at and re.match(r"--[a-z]+-(?:host|url|endpoint)\b", word.text)]
    operands = [word for word in words[1:] if not word.text.startswith("-")]
    verb = operands[0].text if operands else ""
    for at, word in enumerate(operands):
        if word.text.startswith(":") and (found := _RCLONE_HOST.search(word.text.rpartition(":")[0])) is not None:
            need = Need.WRITE if verb in _RCLONE_WRITES and at == len(operands) - 1 else Need.READ
            _host_port(shell, found[1].strip("\"'"), word.row, need)
    for at in hosts:
        word = words[at]
        value = word.text.partition("=")[2] or next((one.text for one in words[at + 1 : at + 2]), "")
        _host_port(shell, value, word.row, Need.WRITE if verb in _RCLONE_WRITES else Need.READ)


def _mount(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """mount(8): `host:/export`, `//host/share`, `user@host:path` of sshfs."""
    arguments = parse_options(words[1:], Spec("tOoLUNT", frozenset({"types", "options", "source", "target"})))
    for index, word in enumerate([*arguments.operands, *arguments.values("source")]):
        text = word.text
        if text.startswith("//"):
            shell.sink.connect(text[2:].split("/", 1)[0], word.row)
        elif is_url(text):
            shell.sink.url(text, word.row)
        elif (remote := _host_and_path(text)) is not None and (remote[1].startswith("/") or "@" in remote[0]):
            for host in remote[0].split(","):
                shell.sink.connect(host, word.row)
        elif index and text.startswith("/"):
            shell.sink.reads(text, word.row)


def _sshfs(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("poF"))
    for word in arguments.operands[:1]:
        remote = _host_and_path(word.text)
        if remote is not None:
            port = arguments.last("p")
            shell.sink.connect(remote[0], word.row, port=port if port != "22" else "", scheme="ssh")


_GIT: Final = Spec("Cc", frozenset({"git-dir", "work-tree", "namespace", "exec-path", "config-env"}), ordered=True)
_GIT_COMMAND: Final = Spec(
    "bocujXSm",
    frozenset({"branch", "origin", "config", "depth", "jobs", "reference", "upload-pack", "remote", "filter"}),
)


def _git(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """git(1): the repository of clone, fetch, pull, ls-remote, submodule, remote; push needs WRITE."""
    outer = parse_options(words[1:], _GIT)
    if not outer.operands:
        return
    verb = outer.operands[0].text
    if verb not in ("clone", "fetch", "pull", "push", "ls-remote", "remote", "submodule", "archive", "subtree"):
        return
    need = Need.WRITE if verb == "push" else Need.READ
    arguments = parse_options(outer.operands[1:], _GIT_COMMAND)
    for word in [*arguments.operands, *arguments.values("remote")]:
        _repository(shell, word, need)
    if verb == "clone" and len(arguments.operands) > 1:
        target = arguments.operands[1]
        shell.sink.writes(shell.absolute(target.text), target.row)


def _repository(shell: Shell, word: Word, need: Need) -> None:
    """A repository by URL or in scp form (`user@host:path`, `host:path`)."""
    if "://" in word.text:
        shell.sink.url(word.text.removeprefix("git+"), word.row, need)
        return
    remote = _host_and_path(word.text)
    if remote is not None and remote[1] and ("@" in remote[0] or "." in remote[0]):
        shell.sink.connect(remote[0], word.row, need)


_BACKUP_READS: Final = frozenset(
    {"list", "info", "check", "extract", "mount", "snapshots", "restore", "diff", "ls", "stats", "dump", "export-tar"}
)


def _backup(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """borg(1), restic(1), rdiff-backup(1), duplicity(1): what is saved is read, and the repository is written.

    A repository is a URL, `user@host:path`, `sftp:user@host:path`, `rest:URL` or a directory, by option, operand
    (`repository::archive` of borg) or the variables BORG_REPO and RESTIC_REPOSITORY.
    """
    name = basename(words[0].text)
    wanted = Spec("r", frozenset({"repo", "repository-file", "password-file", "remote-path", "rsh", "remote-schema"}))
    arguments = parse_options(words[1:], wanted)
    operands = list(arguments.operands)
    need = Need.READ if _BACKUP_READS & {w.text for w in operands[:2]} else Need.WRITE
    repositories = arguments.values("r", "repo")
    if name in ("borg", "attic", "restic") and operands:
        operands.pop(0)
        if name != "restic" and operands and not repositories:
            repositories.append(operands.pop(0))
    elif operands and re.fullmatch("[a-z]+", operands[0].text):
        operands.pop(0)
    if not any(r.text and not r.text.startswith("::") for r in repositories):
        variable = "RESTIC_REPOSITORY" if name == "restic" else "BORG_REPO"
        repositories = [Word(value, words[0].row) for value in shell.variables.get(variable, ())]
    for repository in repositories:
        _backup_target(shell, repository, need)
    for index, operand in enumerate(operands):
        if operand.text.startswith("/"):
            last = index == len(operands) - 1 and name in ("rdiff-backup", "duplicity") and index > 0
            shell.sink.path(Relation.WRITES if last else Relation.READS, operand.text, operand.row)
        elif name in ("rdiff-backup", "duplicity"):
            _backup_target(shell, operand, need if index == len(operands) - 1 else Need.READ)


def _backup_target(shell: Shell, word: Word, need: Need) -> None:
    text = re.sub(r"^(?:sftp|rest|rclone):(?!//)", "", word.text)
    if "://" in text:
        shell.sink.url(text.split("::", 1)[0], word.row, need)
        return
    text, archive, _ = text.partition("::")
    remote = _host_and_path(text)
    if remote is not None:
        shell.sink.connect(remote[0], word.row, need)
    elif text.startswith("/"):
        shell.sink.path(Relation.WRITES if need is Need.WRITE else Relation.READS, text, word.row)
    elif archive and "@" in text:
        shell.sink.connect(text, word.row, need)


def _openssl(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """openssl(1): `s_client -connect`, `ocsp -url`; `-in` is read, `-out` is written."""
    values = "connect servername host proxy in out CAfile CApath cert key url CA CAkey inkey signkey keyout days config"
    arguments = parse_options(words[2:], Spec("", frozenset(values.split()), single=True))
    for target in arguments.values("connect", "host", "proxy", "url"):
        _host_port(shell, target.text, target.row)
    for name in arguments.values("servername"):
        shell.sink.connect(name.text, name.row)
    for file in arguments.values("in", "CAfile", "cert", "key", "inkey"):
        shell.sink.reads(shell.absolute(file.text), file.row)
    for file in arguments.values("out", "keyout"):
        shell.sink.writes(shell.absolute(file.text), file.row)
    if len(words) > 2 and words[1].text == "s_client":
        for operand in arguments.operands:
            _host_port(shell, operand.text, operand.row)


def _nsupdate(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """nsupdate(1): its key and file of commands; `server HOST [port]` of its input, which it asks to change a zone."""
    arguments = parse_options(words[1:], Spec("kytuCLpRr"))
    for file in (*arguments.values("k"), *arguments.operands):
        shell.sink.reads(shell.absolute(file.text), file.row)
    for offset, line in enumerate((stdin or "").splitlines()):
        parts = line.split()
        if len(parts) > 1 and parts[0] == "server":
            port = parts[2] if len(parts) > 2 else ""
            shell.sink.connect(parts[1], words[0].row + offset + 1, Need.WRITE, port=port)


_ANSIBLE: Final = Spec(
    "iltmaufeBPMc",
    frozenset(
        "inventory limit tags skip-tags module-name args become-user user forks background extra-vars private-key "
        "vault-password-file module-path connection ssh-common-args ssh-extra-args start-at-task timeout "
        "key-file".split()
    ),
)


def _ansible(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """ansible(1), ansible-playbook(1): hosts of an inventory list and of `--limit`; playbooks and inventories read."""
    arguments = parse_options(words[1:], _ANSIBLE)
    playbook = basename(words[0].text) == "ansible-playbook"
    for inventory in arguments.values("i", "inventory", "inventory-file"):
        if "," in inventory.text:
            _pattern(shell, inventory)
        else:
            shell.sink.reads(shell.absolute(inventory.text), inventory.row)
    for limit in arguments.values("l", "limit"):
        if limit.text.startswith("@"):
            shell.sink.reads(limit.text[1:], limit.row)
        else:
            _pattern(shell, limit)
    for operand in arguments.operands if playbook else arguments.operands[:1]:
        if playbook:
            shell.sink.calls(shell.absolute(operand.text), operand.row)
        else:
            _pattern(shell, operand)


def _pattern(shell: Shell, word: Word) -> None:
    """Hosts that an Ansible pattern names. A single word may be a group, which only the inventory can tell."""
    for part in re.split(r"[,:](?![^\[]*\])", word.text):
        host = part.lstrip("!&~").strip()
        if host and host not in ("all", "ungrouped", "*") and not part.startswith(("!", "~")):
            sure = Confidence.HIGH if "." in host else Confidence.MEDIUM
            shell.sink.connect(host, word.row, Need.RUN, confidence=sure)


def _logger(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("nPptfuS", frozenset({"server", "port", "tag", "file", "priority"})))
    for server in arguments.values("n", "server"):
        shell.sink.connect(server.text, server.row, port=arguments.last("P", "port"))


def _check_plugin(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """Monitoring plugins (monitoring-plugins guidelines): `-H host`, `-p port`, `-I address`, `-u url`."""
    long = frozenset(
        {"hostname", "host", "port", "IP-address", "url", "server", "sni", "warning", "critical", "timeout"}
    )
    arguments = parse_options(words[1:], Spec("HpIuwctCsleRrPNafAjkTSm", long))
    for host in arguments.values("H", "hostname", "host", "I", "IP-address", "server"):
        _host_port(shell, host.text, host.row)
    for url in arguments.values("u", "url"):
        if is_url(url.text):
            shell.sink.url(url.text, url.row)


def _snmp(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """snmpcmd(1): the agent is the first operand, `[transport:]host[:port]`."""
    for agent in parse_options(words[1:], Spec("vcularxXAneEntTZmMCLOPIY")).operands[:1]:
        _host_port(shell, re.sub(r"^(?:udp6?|tcp6?):", "", agent.text), agent.row)


def _docker(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """docker(1), podman(1): `-H` is a host; what runs in a container gives no local paths."""
    outer = parse_options(
        words[1:],
        Spec(
            "HclfP",
            frozenset({"host", "context", "config", "log-level", "file", "project-name", "url", "p"}),
            ordered=True,
        ),
    )
    for host in outer.values("H", "host", "url"):
        if not host.text.startswith("unix:"):
            _host_port(shell, host.text, host.row, Need.RUN)
    rest = outer.operands
    while rest and rest[0].text in ("compose", "container"):
        rest = parse_options(
            rest[1:],
            Spec("fp", frozenset({"file", "project-name", "profile", "env-file", "project-directory"}), ordered=True),
        ).operands
    if not rest:
        return
    verb = rest[0].text
    if verb in ("run", "exec", "create"):
        wanted = Spec("eunvwphlamc", _CONTAINER_OPTIONS, ordered=True)
        inner = parse_options(rest[1:], wanted)
        for volume in inner.values("v", "volume"):
            shell.sink.reads(volume.text.split(":", 1)[0], volume.row)
        if not inner.operands:
            return
        target, command = inner.operands[0], inner.operands[1:]
        image = target.text.split("@")[0].rsplit(":", 1)[0] if "/" in target.text else target.text.split(":")[0]
        own = _IMAGES.get(basename(image)) or ("certbot" if "certbot/" in image else "")
        if own and (not command or basename(command[0].text) != own):
            command = [Word(own, target.row), *command]
        if command:
            shell.sink.remote += 1
            try:
                interpret(command, shell, stdin)
            finally:
                shell.sink.remote -= 1
    elif verb in ("pull", "push", "login"):
        for image_word in rest[1:]:
            registry = image_word.text.split("/", 1)[0]
            if "/" in image_word.text and ("." in registry or ":" in registry):
                _host_port(shell, registry, image_word.row, Need.WRITE if verb == "push" else Need.READ)
            elif verb == "login" and "." in image_word.text:
                _host_port(shell, image_word.text, image_word.row)


_IMAGES: Final[Mapping[str, str]] = {
    "certbot": "certbot",
    "acme.sh": "acme.sh",
    "lego": "lego",
    "dehydrated": "dehydrated",
}
_CONTAINER_OPTIONS: Final = frozenset(
    "env env-file user name volume workdir publish hostname link attach memory cpus network net entrypoint mount label "
    "restart log-driver log-opt dns dns-search add-host cap-add cap-drop device ip platform pull tmpfs ulimit "
    "volumes-from security-opt shm-size cidfile expose group-add health-cmd index pid ipc uts userns".split()
)


# Services and files


def _systemctl(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(
        words[1:],
        Spec("HMtpons", frozenset({"host", "machine", "type", "property", "state", "signal", "root", "output"})),
    )
    for host in arguments.values("H", "host"):
        shell.sink.connect(host.text.split(":", 1)[0], host.row, Need.RUN)
    if arguments.has("H", "host") or not arguments.operands:
        return
    if arguments.operands[0].text in _STARTS:
        for unit in arguments.operands[1:]:
            shell.sink.unit(unit.text, unit.row)


_STARTS: Final = frozenset(
    {
        "start",
        "restart",
        "reload",
        "try-restart",
        "reload-or-restart",
        "reload-or-try-restart",
        "try-reload-or-restart",
        "condrestart",
        "force-reload",
    }
)


def _service(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """service(8), invoke-rc.d(8), rc-service(8): NAME VERB."""
    operands = parse_options(words[1:], Spec()).operands
    if len(operands) > 1 and operands[1].text in _STARTS:
        shell.sink.unit(operands[0].text, operands[0].row)


def _kubectl(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(
        words[1:], Spec("sfnlco", frozenset({"server", "filename", "namespace", "kubeconfig", "context"}))
    )
    for server in arguments.values("s", "server"):
        _host_port(shell, server.text, server.row)
    for file in arguments.values("f", "filename"):
        if is_url(file.text):
            shell.sink.url(file.text, file.row)
        else:
            shell.sink.reads(file.text, file.row)
    for file in arguments.values("kubeconfig"):
        shell.sink.reads(file.text, file.row)


def _tee(shell: Shell, words: list[Word], stdin: str | None) -> None:
    for file in parse_options(words[1:], Spec()).operands:
        shell.sink.writes(shell.absolute(file.text), file.row)


def _dd(shell: Shell, words: list[Word], stdin: str | None) -> None:
    for word in words[1:]:
        key, _, file = word.text.partition("=")
        if key == "of":
            shell.sink.writes(shell.absolute(file), word.row)
        elif key == "if":
            shell.sink.reads(shell.absolute(file), word.row)


def _doveadm(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """doveadm-sync(1): a destination `tcp:host:port` or `remote:user@host`, which -R makes the source."""
    texts = [word.text for word in words]
    if not {"sync", "backup", "dsync"} & set(texts):
        return
    need = Need.READ if "-R" in texts else Need.WRITE
    for word in words[1:]:
        scheme, colon, rest = word.text.partition(":")
        if colon and scheme in ("tcp", "tcps", "remote", "remoteprefix"):
            host, _, port = rest.rsplit("@", 1)[-1].partition(":")
            shell.sink.connect(host, word.row, need, port=port)


def _syncoid(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """syncoid, of sanoid: replicates a dataset to another, each `pool/dataset` or `[user@]host:pool/dataset`."""
    arguments = parse_options(words[1:], spec.SYNCOID)
    port = arguments.last("sshport")
    for at, dataset in enumerate(arguments.operands[:2]):
        remote = _host_and_path(dataset.text)
        if remote is not None:
            _ssh_host(shell, remote[0], dataset.row, port, Need.WRITE if at else Need.READ)


def _receive(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """zfs(8), btrfs(8): on another machine, what changes its datasets needs it to be written."""
    changes = {"clone", "create", "destroy", "receive", "recv", "rename", "rollback", "snapshot"}
    if shell.sink.remote and len(words) > 1 and words[1].text in changes:
        shell.sink.written_there += 1


def _imapsync(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("", frozenset({"host1", "host2", "port1", "port2"})))
    for end, need in (("1", Need.READ), ("2", Need.WRITE)):
        ports = arguments.values(f"port{end}")
        for host in arguments.values(f"host{end}"):
            shell.sink.connect(host.text, host.row, need, port=ports[0].text if ports else "")


def _cp(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """cp(1), mv(1), install(1), ln(1): the last operand, or -t, is written."""
    short = "tSmogZ" if basename(words[0].text) == "install" else "tS"
    arguments = parse_options(
        words[1:], Spec(short, frozenset({"target-directory", "suffix", "mode", "owner", "group"}))
    )
    sources = list(arguments.operands)
    targets = arguments.values("t", "target-directory")
    if not targets and len(sources) > 1:
        targets = [sources.pop()]
    moves = basename(words[0].text) == "mv"
    for file in sources:
        shell.sink.path(Relation.WRITES if moves else Relation.READS, shell.absolute(file.text), file.row)
    for file in targets:
        shell.sink.writes(shell.absolute(file.text), file.row)


def _reads_operands(shell: Shell, words: list[Word], stdin: str | None) -> None:
    for file in parse_options(words[1:], Spec("nc")).operands:
        shell.sink.reads(shell.absolute(file.text), file.row)


def _writes_operands(shell: Shell, words: list[Word], stdin: str | None) -> None:
    for file in parse_options(words[1:], Spec("mdrtsZ")).operands:
        shell.sink.writes(shell.absolute(file.text), file.row)


def _tar(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """tar(1): the archive is written by c, r and u, and read by x and t; `host:file` is on another host."""
    rest = words[1:]
    if rest and not rest[0].text.startswith("-"):
        rest = [Word("-" + rest[0].text, rest[0].row), *rest[1:]]
    arguments = parse_options(rest, Spec("fCTXbgIHVNK", frozenset({"file", "directory", "exclude", "files-from"})))
    writes = arguments.has("c", "r", "u", "create", "append", "update")
    for archive in arguments.values("f", "file"):
        remote = _host_and_path(archive.text)
        if remote is not None:
            shell.sink.connect(remote[0], archive.row, Need.WRITE if writes else Need.READ)
        else:
            (shell.sink.writes if writes else shell.sink.reads)(shell.absolute(archive.text), archive.row)
    for directory in arguments.values("C", "directory"):
        (shell.sink.reads if writes else shell.sink.writes)(shell.absolute(directory.text), directory.row)
    if writes:
        for file in arguments.operands:
            shell.sink.reads(shell.absolute(file.text), file.row)


def _urls(shell: Shell, words: Sequence[Word]) -> None:
    """URLs among the arguments of a program that we know nothing about, also as `--url=…` and `KEY=…`."""
    for word in words:
        text = word.text
        if "://" not in text or len(text) > 4096:
            continue
        if not is_url(text):
            text = text.partition("=")[2]
        if is_url(text):
            shell.sink.url(text, word.row, confidence=Confidence.MEDIUM)


def _full_names(shell: Shell, words: Sequence[Word]) -> None:
    """Full host names and addresses among the arguments of such a program: `pull-shares fs-01.example.net invoices`.

    Also `user@host:path`. What it does with them is not known. A name has two dots at least, and does not end as
    files and units do.
    """
    for word in words:
        text = word.text.partition("=")[2] if word.text.startswith("-") else word.text
        place = _host_and_path(text) if "://" not in text else None
        user, at, host = (place[0] if place is not None else text).rpartition("@")
        if len(host) > 253 or HOLE in host:
            continue
        # A short name only where a user and a path are beside it, and it is not what an image is known by.
        short = at and user and place is not None and is_hostname(host) and not _DIGEST.fullmatch(host)
        if host.count(".") < 2 and not short:
            continue
        if not short and not is_address(host) and not (is_hostname(host) and _FULL_NAME.search(host)):
            continue
        shell.sink.connect(host, word.row, confidence=Confidence.LOW)


# ACME clients


_CERTBOT: Final = Spec(
    "dwcmai",
    frozenset(
        "domain domains cert-name webroot-path config server email pre-hook post-hook deploy-hook renew-hook "
        "manual-auth-hook manual-cleanup-hook config-dir work-dir logs-dir authenticator installer "
        "preferred-challenges preferred-chain key-type rsa-key-size elliptic-curve http-01-port http-01-address "
        "max-log-backups user-agent user-agent-comment eab-kid eab-hmac-key eab-hmac-alg csr reason cert-path "
        "key-path fullchain-path chain-path account issuance-timeout nginx-server-root nginx-ctl apache-ctl "
        "dns-rfc2136-credentials dns-cloudflare-credentials dns-google-credentials dns-digitalocean-credentials "
        "dns-route53-propagation-seconds dns-rfc2136-propagation-seconds dns-cloudflare-propagation-seconds "
        "dns-ovh-credentials dns-linode-credentials dns-gehirn-credentials dns-dnsimple-credentials "
        "dns-nsone-credentials dns-luadns-credentials dns-sakuracloud-credentials dns-dnsmadeeasy-credentials".split()
    ),
)
_CERTBOT_VERBS: Final = frozenset({"renew", "certonly", "run", "auth", "reconfigure"})
_CERTBOT_OTHER: Final = frozenset(
    {
        "certificates",
        "delete",
        "revoke",
        "register",
        "unregister",
        "update_account",
        "show_account",
        "plugins",
        "rollback",
        "enhance",
        "install",
        "help",
        "config_changes",
    }
)


def _certbot(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """certbot: `renew`, `certonly`, `run` (also the default) obtain certificates; `--dry-run` keeps none."""
    arguments = parse_options(words[1:], _CERTBOT)
    verbs = {w.text for w in arguments.operands}
    for hook in arguments.values(
        "pre-hook", "post-hook", "deploy-hook", "renew-hook", "manual-auth-hook", "manual-cleanup-hook"
    ):
        shell.run_inner(hook.text, hook.row)
    for server in arguments.values("server"):
        if is_url(server.text):
            shell.sink.url(server.text, server.row)
    for root in arguments.values("w", "webroot-path"):
        shell.sink.writes(root.text, root.row)
    for option in arguments.options:
        if option.name.endswith("-credentials") and option.value is not None:
            shell.sink.reads(option.value.text, option.row)
    if verbs & _CERTBOT_OTHER or arguments.has("dry-run", "help", "h", "version"):
        return
    if verbs & _CERTBOT_VERBS or arguments.options:
        shell.sink.client("certbot", words[0].row)


def _snap(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """`snap run certbot.renew`: what the timer of certbot's snap starts is `certbot renew`."""
    operands = parse_options(words[1:], Spec("", frozenset({"timer", "shell", "hook", "revision"}))).operands
    if len(operands) > 1 and operands[0].text == "run":
        program, _, verb = operands[1].text.partition(".")
        if program == "certbot" and verb == "renew":
            _certbot(shell, [Word(program, operands[1].row), Word(verb, operands[1].row)], stdin)


def _acme_sh(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """acme.sh: --cron, --renew, --renew-all, --issue."""
    long = frozenset(
        "domain d home config-home cert-home webroot w server reloadcmd pre-hook post-hook renew-hook deploy-hook "
        "key-file cert-file ca-file fullchain-file log accountemail days keylength dnssleep challenge-alias "
        "domain-alias signcsr csr notify-hook".split()
    )
    arguments = parse_options(words[1:], Spec("dwk", long))
    for hook in arguments.values("reloadcmd", "pre-hook", "post-hook", "renew-hook"):
        shell.run_inner(hook.text, hook.row)
    for server in arguments.values("server"):
        if is_url(server.text):
            shell.sink.url(server.text, server.row)
    for file in arguments.values("key-file", "cert-file", "ca-file", "fullchain-file", "w", "webroot"):
        shell.sink.writes(file.text, file.row)
    if arguments.has("cron", "renew", "renew-all", "renewAll", "issue", "r", "signcsr"):
        shell.sink.client("acme.sh", words[0].row)


def _lego(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """lego: `run` or `renew`; version 5 has one command for both, and with a configuration file none at all."""
    values = (
        "server domains d email m path csr c dns dns.resolvers http.port http.webroot tls.port run-hook renew-hook s "
        "config log.level log.format key-type k days filename user-agent account-id env-file"
    )
    arguments = parse_options(
        words[1:], Spec("", frozenset([*values.split(), "deploy-hook", "pre-hook", "post-hook"]), True)
    )
    for hook in arguments.values("run-hook", "renew-hook", "deploy-hook", "pre-hook", "post-hook"):
        shell.run_inner(hook.text, hook.row)
    for server in arguments.values("server", "s"):
        if is_url(server.text):
            shell.sink.url(server.text, server.row)
    for root in arguments.values("http.webroot"):
        shell.sink.writes(root.text, root.row)
    for config in arguments.values("config"):
        shell.sink.reads(config.text, config.row)
    if arguments.has("help", "h", "version", "v"):
        return
    verbs = {w.text for w in arguments.operands}
    # Without a verb, version 4 prints its help; nobody schedules that.
    if verbs & {"run", "renew"} or not verbs:
        shell.sink.client("lego", words[0].row)


def _dehydrated(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """dehydrated: -c or --cron; `--hook` is a program."""
    long = frozenset(
        {"hook", "config", "out", "domain", "alias", "challenge", "algo", "domains-txt", "ca", "preferred-chain"}
    )
    arguments = parse_options(words[1:], Spec("kfodtap", long))
    for hook in arguments.values("k", "hook"):
        shell.sink.calls(hook.text, hook.row)
    for config in arguments.values("f", "config", "domains-txt"):
        shell.sink.reads(config.text, config.row)
    for server in arguments.values("ca"):
        if is_url(server.text):
            shell.sink.url(server.text, server.row)
    if arguments.has("c", "cron", "s", "signcsr"):
        shell.sink.client("dehydrated", words[0].row)


def _getssl(shell: Shell, words: list[Word], stdin: str | None) -> None:
    if not parse_options(words[1:], Spec("w")).has("h", "help", "v", "version", "c", "create"):
        shell.sink.client("getssl", words[0].row)


def _getcert(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """getcert(1), ipa-getcert(1) and its kin: certmonger does the work."""
    if any(w.text in ("request", "resubmit", "rekey", "start-tracking", "refresh") for w in words[1:3]):
        shell.sink.client("certmonger", words[0].row)
    arguments = parse_options(words[1:], Spec("CBfkdncKDNUEiIpPtTgGuALaFoOmMwv"))
    for hook in arguments.values("C", "B"):
        shell.run_inner(hook.text, hook.row)


def _wacs(shell: Shell, words: list[Word], stdin: str | None) -> None:
    """win-acme: `wacs.exe --renew`, as its scheduled task has it."""
    if any(word.text.lower() in ("--renew", "--target", "--source") for word in words[1:]):
        shell.sink.client("win-acme", words[0].row)


def _uacme(shell: Shell, words: list[Word], stdin: str | None) -> None:
    arguments = parse_options(words[1:], Spec("abcdehilrt", frozenset({"hook", "confdir", "acme-url"})))
    for hook in arguments.values("h", "hook"):
        shell.sink.calls(hook.text, hook.row)
    if any(w.text == "issue" for w in arguments.operands):
        shell.sink.client("uacme", words[0].row)


_CLIENTS: Final[Mapping[str, Handler]] = {
    "certbot": _certbot,
    "acme.sh": _acme_sh,
    "lego": _lego,
    "dehydrated": _dehydrated,
    "getssl": _getssl,
    "getcert": _getcert,
    "uacme": _uacme,
    "wacs": _wacs,
    "wacs.exe": _wacs,
}


def _split(text: str) -> list[str]:
    try:
        return split_words(text)
    except ValueError:
        return text.split()


_WRAPPERS: Final[Mapping[str, Callable[[Shell, list[Word]], list[Word]]]] = {
    "sudo": _wrapped(
        Spec(
            "ugpCDhRrtTU",
            frozenset({"user", "group", "prompt", "chdir", "host", "role", "type", "command-timeout"}),
            ordered=True,
        )
    ),
    "doas": _wrapped(Spec("uC", ordered=True)),
    "nice": _wrapped(Spec("n", frozenset({"adjustment"}), ordered=True)),
    "ionice": _wrapped(Spec("cnpPu", frozenset({"class", "classdata", "pid"}), ordered=True)),
    "chrt": _wrapped_after(1, Spec("TPDp", ordered=True)),
    "taskset": _wrapped_after(1, Spec(ordered=True)),
    "cpulimit": _wrapped(Spec("lpePc", frozenset({"limit", "pid", "exe"}), ordered=True)),
    "timeout": _wrapped_after(1, Spec("ks", frozenset({"kill-after", "signal"}), ordered=True)),
    "flock": _flock,
    "lockf": _wrapped_after(1, Spec("t", ordered=True)),
    "setlock": _wrapped_after(1, Spec(ordered=True)),
    "chronic": _wrapped(Spec(ordered=True)),
    "cronic": _wrapped(Spec(ordered=True)),
    "nohup": _wrapped(Spec(ordered=True)),
    "setsid": _wrapped(Spec(ordered=True)),
    "stdbuf": _wrapped(Spec("ioe", frozenset({"input", "output", "error"}), ordered=True)),
    "unbuffer": _wrapped(Spec(ordered=True)),
    "time": _wrapped(Spec("fo", frozenset({"format", "output"}), ordered=True)),
    "exec": _wrapped(Spec("a", ordered=True)),
    "builtin": _wrapped(Spec(ordered=True)),
    "command": _command_builtin,
    "env": _env,
    "xargs": _wrapped(
        Spec(
            "adEIiLlnPs",
            frozenset({"arg-file", "delimiter", "max-args", "max-procs", "max-lines", "replace"}),
            ordered=True,
        )
    ),
    "parallel": _wrapped(Spec("jaSN", frozenset({"jobs", "arg-file", "joblog", "colsep"}), ordered=True)),
    "systemd-cat": _wrapped(Spec("tp", frozenset({"identifier", "priority", "stderr-priority"}), ordered=True)),
    "systemd-run": _wrapped(
        Spec(
            "puEHM",
            frozenset(
                "unit property description slice uid gid nice working-directory setenv on-active on-boot on-startup "
                "on-unit-active on-unit-inactive on-calendar timer-property path-property socket-property machine host "
                "service-type background".split()
            ),
            ordered=True,
        )
    ),
    "systemd-inhibit": _wrapped(Spec("", frozenset({"what", "who", "why", "mode"}), ordered=True)),
    "run-one": _wrapped(Spec(ordered=True)),
    "run-one-constantly": _wrapped(Spec(ordered=True)),
    "keep-one-running": _wrapped(Spec(ordered=True)),
    "run-this-one": _wrapped(Spec(ordered=True)),
    "unshare": _wrapped(Spec("SGRw", ordered=True)),
    "nsenter": _wrapped(Spec("tSGw", frozenset({"target"}), ordered=True)),
    "setpriv": _wrapped(Spec("", frozenset({"reuid", "regid", "groups", "bounding-set"}), ordered=True)),
    "chpst": _wrapped(Spec("uUbe/nlLmdopfct", ordered=True)),
    "setuidgid": _wrapped_after(1, Spec(ordered=True)),
    "su-exec": _wrapped_after(1, Spec(ordered=True)),
    "gosu": _wrapped_after(1, Spec(ordered=True)),
    "strace": _wrapped(Spec("eopPsuaEI", ordered=True)),
    "eatmydata": _wrapped(Spec(ordered=True)),
    "caffeinate": _wrapped(Spec("tw", ordered=True)),
    "fakeroot": _wrapped(Spec("lis", ordered=True)),
    "torsocks": _wrapped(Spec(ordered=True)),
    "proxychains": _wrapped(Spec("f", ordered=True)),
    "proxychains4": _wrapped(Spec("f", ordered=True)),
    "sem": _wrapped(Spec("j", frozenset({"jobs", "id"}), ordered=True)),
    "cronlock": _wrapped(Spec(ordered=True)),
    "lock-run": _wrapped(Spec("N", ordered=True)),
    "su": _su,
    "runuser": _su,
    "script": _script_wrapper,
    "watch": _watch,
    "eval": _eval,
    "trap": _trap,
    "sshpass": _sshpass,
    "find": _find,
}

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh", "busybox", "yash", "rbash"})
_INTERPRETERS: Final = frozenset({"python", "python2", "python3", "perl", "ruby", "php", "node", "lua", "Rscript"})
_ALIASES: Final[Mapping[str, str]] = {
    "certbot-auto": "certbot",
    "letsencrypt": "certbot",
    "letsencrypt-auto": "certbot",
    "ipa-getcert": "getcert",
    "selfsign-getcert": "getcert",
    "local-getcert": "getcert",
    "ipa-cert": "getcert",
    "docker-compose": "docker",
    "podman-compose": "docker",
    "podman": "docker",
    "nerdctl": "docker",
    "nc.openbsd": "nc",
    "nc.traditional": "nc",
}
# Their arguments are text, names or patterns: a URL there is no connection.
_SILENT: Final = frozenset(
    "echo printf test [ [[ grep egrep fgrep sed awk gawk mail mailx mutt sendmail true false : export return exit "
    "sleep local declare readonly typeset alias unalias type which hash basename dirname wait kill read date expr "
    "let cut tr die log info warn error debug fail usage notify-send wall write logger jq".split()
)

_PROGRAMS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(_SHELLS, _shell),
    **dict.fromkeys(_INTERPRETERS, _interpreter),
    "source": _source,
    ".": _source,
    "run-parts": _run_parts,
    "ssh": _ssh,
    "autossh": _ssh,
    "mosh": _ssh,
    "slogin": _ssh,
    "scp": _scp,
    "sftp": _sftp,
    "rsync": _rsync,
    "curl": _curl,
    "wget": _wget,
    "wget2": _wget,
    "http": _httpie,
    "https": _httpie,
    "xh": _httpie,
    "nc": _netcat,
    "systemd-socket-proxyd": _socket_proxy,
    "ncat": _netcat,
    "netcat": _netcat,
    "telnet": _telnet,
    "ftp": _telnet,
    "lftp": _lftp,
    "rclone": _rclone,
    "unison": _unison,
    "ping": _one_host(Spec("cWwiIsStTQmMlG")),
    "ping6": _one_host(Spec("cWwiIsStTQmMlG")),
    "fping": _one_host(Spec("cCitTBbprH")),
    "traceroute": _one_host(Spec("mqwfisg")),
    "tracepath": _one_host(Spec("mlp")),
    "ssh-keyscan": _one_host(Spec("ptTf")),
    "ssh-copy-id": _scp,
    "dig": _dig,
    "host": _nslookup,
    "nslookup": _nslookup,
    "psql": _postgres(spec.PSQL_CLIENT, None),
    "pg_dump": _postgres(spec.PG_DUMP, Need.READ),
    "pg_dumpall": _postgres(spec.PG_DUMP, Need.READ),
    "pg_isready": _postgres(spec.PG_DUMP, Need.READ),
    "pg_basebackup": _postgres(spec.PG_BASEBACKUP, Need.READ),
    "pg_restore": _postgres(spec.PG_RESTORE, Need.WRITE),
    "vacuumdb": _postgres(spec.PG_DUMP, Need.WRITE),
    "createdb": _postgres(spec.PG_DUMP, Need.WRITE),
    "dropdb": _postgres(spec.PG_DUMP, Need.WRITE),
    "mysql": _mysql(spec.MYSQL, None),
    "mariadb": _mysql(spec.MYSQL, None),
    "mysqldump": _mysql(spec.MYSQLDUMP, Need.READ),
    "mariadb-dump": _mysql(spec.MYSQLDUMP, Need.READ),
    "mysqladmin": _mysql(spec.MYSQLDUMP, Need.READ),
    "mysqlcheck": _mysql(spec.MYSQLDUMP, Need.READ),
    "mysqlimport": _mysql(spec.MYSQLDUMP, Need.WRITE),
    "redis-cli": _host_option(Spec("hpsanuridD"), ("h", "u"), ("p",)),
    "mongo": _host_option(Spec("upd", frozenset({"host", "port", "username", "password"})), ("host",), ("port",)),
    "mongosh": _host_option(Spec("upd", frozenset({"host", "port", "username", "password"})), ("host",), ("port",)),
    "mongodump": _host_option(
        Spec("hupdco", frozenset({"host", "port", "uri", "out", "db"})), ("h", "host", "uri"), ("port",)
    ),
    "mongorestore": _host_option(
        Spec("hupdc", frozenset({"host", "port", "uri", "db"})), ("h", "host", "uri"), ("port",), Need.WRITE
    ),
    "ldapsearch": _host_option(Spec("HhpDwbsyYlzofFO"), ("H", "h"), ("p",)),
    "ldapmodify": _host_option(Spec("HhpDwfyY"), ("H", "h"), ("p",), Need.WRITE),
    "ldapadd": _host_option(Spec("HhpDwfyY"), ("H", "h"), ("p",), Need.WRITE),
    "smbclient": _smbclient,
    "mount": _mount,
    "mount.nfs": _mount,
    "mount.cifs": _mount,
    "sshfs": _sshfs,
    "git": _git,
    "aws": _aws,
    "s3cmd": _host_option(Spec("c", frozenset({"host", "host-bucket", "config", "access_key"})), ("host",)),
    "mc": _host_option(Spec(), ()),
    "borg": _backup,
    "restic": _backup,
    "rdiff-backup": _backup,
    "duplicity": _backup,
    "attic": _backup,
    "openssl": _openssl,
    "nsupdate": _nsupdate,
    "auditor": _auditor,
    "ansible": _ansible,
    "ansible-playbook": _ansible,
    "kubectl": _kubectl,
    "oc": _kubectl,
    "helm": _host_option(
        Spec("fn", frozenset({"kube-apiserver", "repo", "values", "namespace"})), ("kube-apiserver", "repo")
    ),
    "logger": _logger,
    "docker": _docker,
    "snap": _snap,
    "systemctl": _systemctl,
    "service": _service,
    "invoke-rc.d": _service,
    "rc-service": _service,
    "ntpdate": _one_host(Spec("aekoptU")),
    "rndc": _host_option(Spec("sbckpy"), ("s",), ("p",)),
    "ipmitool": _host_option(Spec("HIULPpfe"), ("H",), ("p",)),
    "lpr": _host_option(Spec("HPU#o"), ("H",)),
    "zabbix_sender": _host_option(
        Spec("zpskoicIT", frozenset({"zabbix-server", "port", "host", "key"})),
        ("z", "zabbix-server"),
        ("p",),
        Need.WRITE,
    ),
    "tee": _tee,
    "dd": _dd,
    "doveadm": _doveadm,
    "dsync": _doveadm,
    "imapsync": _imapsync,
    "syncoid": _syncoid,
    "zfs": _receive,
    "btrfs": _receive,
    "rcp": _scp,
    "rsh": _ssh,
    "cp": _cp,
    "mv": _cp,
    "ln": _cp,
    "install": _cp,
    "cat": _reads_operands,
    "head": _reads_operands,
    "tail": _reads_operands,
    "zcat": _reads_operands,
    "md5sum": _reads_operands,
    "sha256sum": _reads_operands,
    "touch": _writes_operands,
    "mkdir": _writes_operands,
    "rm": _writes_operands,
    "truncate": _writes_operands,
    "chown": lambda shell, words, stdin: None,
    "chmod": lambda shell, words, stdin: None,
    "tar": _tar,
}

# Where the system's own programs are. A call of one of those is no dependency that could go.
_SYSTEM: Final = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")
_TOOLS: Final = frozenset(
    "ls ps pgrep pkill killall stat du df sort uniq wc diff cmp comm join paste split od xxd base64 gzip gunzip bzip2 "
    "xz zstd zip unzip cpio dd sync mktemp mkfifo readlink realpath rmdir unlink chown chmod chgrp id whoami hostname "
    "uname uptime free vmstat iostat lsof fuser ip ifconfig netstat ss getent passwd seq nproc tput stty less "
    "more file md5sum sha1sum sha256sum sha512sum column fold fmt nl tac rev shuf yes env logrotate".split()
)
_KNOWN: Final = frozenset(_PROGRAMS) | _SILENT | _TOOLS
