"""Who talks to whom on a running host: its listening ports, and connections at the time of the capture.

Sources: ss(8) of iproute2 6.1, netstat(8) of net-tools and busybox, netstat(1) of FreeBSD and macOS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Confidence,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
)

MAX_LINES: Final = 50_000
MAX_LINE: Final = 1_000
MAX_PEERS: Final = 200
"""Peers of one port that are told one by one; of more, private addresses come first."""
MAX_SERVERS: Final = 1_000
"""Servers that one host is connected to."""

_PATHS: Final = ("/.auditor/sockets.txt", "/.auditor/ss-listening.txt", "/.auditor/ss-established.txt")
"""The last two are those of older snapshots."""
_SESSION: Final = "/.auditor/session.txt"
_LISTENING: Final = frozenset({"LISTEN", "UNCONN"})
_TRIES: Final = frozenset({"SYN-SENT", "SYN_SENT"})
# What is a connection, has been one, or is tried to be made.
_CONNECTED: Final = frozenset(
    {*_TRIES, "ESTAB", "ESTABLISHED", "TIME-WAIT", "TIME_WAIT", "CLOSE-WAIT", "CLOSE_WAIT", "FIN-WAIT-1", "FIN_WAIT1",
     "FIN_WAIT_1", "FIN-WAIT-2", "FIN_WAIT2", "FIN_WAIT_2", "LAST-ACK", "LAST_ACK", "CLOSING"}
)  # fmt: skip
_PROGRAM: Final = re.compile(r'users:\(\("([^"]{1,64})"|\s\d+/([^\s/]{1,64})')
_DOTTED: Final = re.compile(r"(.+)\.(\d{1,5}|\*)")
_ON_DEMAND: Final = frozenset({22, 161, 4949, 5666, 5693, 6556, 9182, 10050, *range(9090, 9120)})
"""SSH, and agents that monitoring asks: whoever comes there need not depend on the host."""


@dataclass(frozen=True, slots=True)
class _Socket:
    """One line: protocol, what is at this end, what is at the other."""

    protocol: str
    state: str
    address: str
    port: int
    peer: str
    peer_port: int
    program: str
    text: str


class ConnectionsCollector(Collector):
    """Reads what `auditor collect` asks a host about its sockets.

    A connection is seen at the end where the port is one that somebody listens on; the other end is its client. Both
    ends of a connection tell the same. The connection over which all this was asked is left out, by both addresses and
    both ports: others of the same machine are not.

    Reads
    -----
    `sockets.txt` (in older snapshots `ss-listening.txt` and `ss-established.txt`) in the directory `.auditor` of a
    captured host: the output of ss, or of netstat; `session.txt`, SSH_CONNECTION of ssh(1).

    Yields
    ------
    A service "client of <address>:<port>" on each host that is connected, which connects to this one, and on this one
    for each server that it is connected to. Confidence is medium; low for SSH and for ports of monitoring agents. The
    ports that this host listens on, with their programs, as its attribute `listening`.

    Can't see
    ---------
    Clients that were not connected when it was captured, and who is behind a proxy, a balancer or NAT.
    """

    name: ClassVar[str] = "connections"
    title: ClassVar[str] = "Listening ports and connections of running hosts"
    area: ClassVar[Area] = Area.CONFIGURATION
    # That somebody is connected now says nothing of what is configured.
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return path in _PATHS or path == _SESSION

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Fragments: which end of a connection is the server is known only together with the listening ports."""
        if document.path == _SESSION:
            return
        for number, line in enumerate(decode(document.content).split("\n")[:MAX_LINES], 1):
            found = _socket(line)
            if found is not None:
                kind = "listening" if found.state in _LISTENING else "connection"
                yield Fragment(kind, found, Where(number))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        listening: dict[tuple[str, int], Fragment] = {}
        connections: list[Fragment] = []
        for one in fragments:
            if isinstance(one.value, _Socket):
                if one.kind == "listening":
                    listening.setdefault((one.value.protocol, one.value.port), one)
                elif one.value.protocol == "tcp":
                    connections.append(one)
        yield from _ports(listening)
        if connections and (session := _session(read(_SESSION))) is not None:
            connections = [one for one in connections if _ends(one.value) != session]
        ports = {port: one.value.program for (_, port), one in listening.items() if isinstance(one.value, _Socket)}
        yield from _clients(connections, ports)


def _session(content: bytes | None) -> tuple[str, int, str, int] | None:
    """The connection of `auditor collect` itself, as `_ends` has it: client, its port, server, its port."""
    words = decode((content or b"")[:MAX_LINE]).split()
    if len(words) != 4:
        return None
    peer, address = (_end(f"[{words[at]}]:{words[at + 1]}") for at in (0, 2))
    return (*address, *peer) if address is not None and peer is not None else None


def _ends(socket: object) -> tuple[str, int, str, int] | None:
    return (socket.address, socket.port, socket.peer, socket.peer_port) if isinstance(socket, _Socket) else None


def _socket(line: str) -> _Socket | None:
    words = line.split()
    if len(words) < 4:
        return None
    protocol = next((word for word in words[:1] if word.lower().startswith(("tcp", "udp"))), "")
    state = next((word for word in words[:7] if word in _LISTENING or word in _CONNECTED), "")
    if not state and protocol.lower().startswith("udp"):
        # netstat says nothing of a socket that is bound and connected to nobody.
        state = "UNCONN"
    ends = [end for word in words[:10] if (end := _end(word)) is not None][:2]
    if not state or len(ends) != 2:
        return None
    found = _PROGRAM.search(line)
    program = (found[1] or found[2]) if found else ""
    (address, port), (peer, peer_port) = ends
    kind = "udp" if protocol.lower().startswith("udp") else "tcp"
    return _Socket(kind, state, address, port, peer, peer_port, program, line[:MAX_LINE])


def _end(word: str) -> tuple[str, int] | None:
    """`10.0.0.1:22`, `[fd00::1]:22`, `[fe80::1]%eth0:22`, `*:22`, `10.0.0.1.22` (BSD), `:::22` (net-tools)."""
    address, colon, port = word.rpartition(":")
    if not colon or not (port.isdecimal() or port == "*"):
        dotted = _DOTTED.fullmatch(word)
        if dotted is None:
            return None
        address, port = dotted[1], dotted[2]
    if len(port) > 5:
        return None
    bare = address.replace("[", "").replace("]", "").partition("%")[0]
    if bare in ("*", ""):
        return "", 0 if port == "*" else int(port)
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed), 0 if port == "*" else int(port)


def _ports(listening: Mapping[tuple[str, int], Fragment]) -> Iterator[Entity]:
    """What the host listens on for others."""
    said: list[str] = []
    first: Fragment | None = None
    for (protocol, port), one in sorted(listening.items(), key=lambda item: (item[0][1], item[0][0])):
        socket = one.value
        if isinstance(socket, _Socket) and port and not _is_loopback(socket.address):
            first = first or one
            said.append(f"{port}/{protocol} {socket.program}".strip())
    if first is not None:
        yield Entity(THIS_HOST, _where(first), {"listening": tuple(excerpt(one) for one in said)})


def _clients(connections: Sequence[Fragment], ports: Mapping[int, str]) -> Iterator[Parsed]:
    own = {one.value.address for one in connections if isinstance(one.value, _Socket)}
    coming: dict[tuple[str, int], dict[str, Fragment]] = {}
    going: dict[tuple[str, int], Fragment] = {}
    for one in connections:
        socket = one.value
        if not isinstance(socket, _Socket) or not socket.port or not socket.peer_port:
            continue
        if not socket.peer or socket.peer in own or _is_loopback(socket.peer) or _is_link_local(socket.peer):
            continue
        # Without the listening ports, the lower port is the server's: clients have theirs from the ephemeral range.
        if socket.port in ports or (not ports and socket.port < socket.peer_port):
            coming.setdefault((socket.address, socket.port), {}).setdefault(socket.peer, one)
        else:
            going.setdefault((socket.peer, socket.peer_port), one)
    for (address, port), peers in coming.items():
        chosen = sorted(peers, key=lambda peer: not ip_address(peer).is_private)[:MAX_PEERS]
        known: dict[str, Attribute] = {"observed": True, "port": port}
        if program := ports.get(port):
            known["program"] = excerpt(program)
        if len(peers) > len(chosen):
            known["clients"] = len(peers)
        for peer in chosen:
            client = Ref(Kind.SERVICE, _called(address, port), peer)
            yield Entity(client, _where(peers[peer]), known)
            yield Dependency(client, THIS_HOST, Relation.CONNECTS, _where(peers[peer]), confidence=_confidence(port))
    for (peer, port), one in list(going.items())[:MAX_SERVERS]:
        client = Ref(Kind.SERVICE, _called(peer, port))
        made: dict[str, Attribute] = {"observed": True, "port": port}
        tried = isinstance(one.value, _Socket) and one.value.state in _TRIES
        if isinstance(one.value, _Socket) and one.value.program:
            made["client_program"] = excerpt(one.value.program)
        yield Entity(client, _where(one), made)
        server = Ref(Kind.ENDPOINT, _written(peer, port))
        sure = Confidence.LOW if tried else _confidence(port)
        yield Dependency(client, server, Relation.CONNECTS, _where(one), confidence=sure)


def _called(address: str, port: int) -> str:
    return f"client of {_written(address, port)}"


def _written(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _confidence(port: int) -> Confidence:
    return Confidence.LOW if port in _ON_DEMAND else Confidence.MEDIUM


def _is_loopback(address: str) -> bool:
    return bool(address) and ip_address(address).is_loopback


def _is_link_local(address: str) -> bool:
    return ip_address(address).is_link_local


def _where(one: Fragment) -> Where:
    return Where(one.where.line, excerpt(one.value.text) if isinstance(one.value, _Socket) else "", one.path)
