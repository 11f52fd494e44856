"""paramiko's Transport, asked for certificates of hosts where they are of use. Imported only by who connects."""

from __future__ import annotations

import sys
from typing import Final

# Half of the time that paramiko takes to load is that of a library which it wants for `Match exec` alone: never used.
_without = "invoke" not in sys.modules
if _without:
    sys.modules["invoke"] = None  # type: ignore[assignment]
try:
    import paramiko
    from paramiko.common import cMSG_CHANNEL_REQUEST
finally:
    if _without:
        del sys.modules["invoke"]


_CIPHERS: Final = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
)  # fmt: skip


class Transport(paramiko.Transport):
    """A connection that offers these algorithms of host keys, in this order, and ciphers that cost little first.

    paramiko itself puts those with certificates behind all others, and a host with both never shows its certificate.
    """

    host_key_algorithms: tuple[str, ...] = ()
    _preferred_ciphers = tuple(name for name in _CIPHERS if name in paramiko.Transport._preferred_ciphers)  # type: ignore[attr-defined]

    def __init__(self, stream: paramiko.Channel) -> None:
        super().__init__(stream)
        # A thread of its own for each handshake, which closes it if it takes too long: who connects sees to that.
        self.packetizer.start_handshake = lambda timeout: None  # type: ignore[method-assign]

    def _log(self, level: int, msg: object, *args: object) -> None:
        """Nothing: what goes wrong is raised, and forty lines a connection that nobody reads take their time."""

    def _filter_algorithm(self, kind: str) -> tuple[str, ...]:
        """All of them: none is disabled here, and paramiko would look for each again at every connection."""
        algorithms: tuple[str, ...] = getattr(self, f"_preferred_{kind}")
        return algorithms

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self.host_key_algorithms

    @property
    def host_key_blob(self) -> bytes:
        """The key or certificate that the host has shown and, by its signature, has. In the form of the wire."""
        key = self.get_remote_server_key()
        return key.asbytes() if key.public_blob is None else key.public_blob.key_blob


def execute(channel: paramiko.Channel, command: str, text: bytes) -> None:
    """Asks for a command, and sends all that it reads. A refusal closes the channel.

    paramiko's own `exec_command` waits for the answer before anything can be sent: once more the way to the host and
    back. OpenSSH's client does not wait either.
    """
    request = paramiko.Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("exec")
    request.add_boolean(True)
    request.add_string(command)
    channel.get_transport()._send_user_message(request)  # type: ignore[attr-defined]
    try:
        channel.sendall(text)
        channel.shutdown_write()
    except OSError:
        # Who reads from a channel that is closed sees its end.
        if not channel.closed:
            raise
