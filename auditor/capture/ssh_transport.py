"""paramiko's Transport, asked for certificates of hosts where they are of use. Imported only by who connects."""

from __future__ import annotations

import sys

# Half of the time that paramiko takes to load is that of a library which it wants for `Match exec` alone: never used.
_without = "invoke" not in sys.modules
if _without:
    sys.modules["invoke"] = None  # type: ignore[assignment]
try:
    import paramiko
finally:
    if _without:
        del sys.modules["invoke"]


class Transport(paramiko.Transport):
    """A connection that offers these algorithms of host keys, in this order.

    paramiko itself puts those with certificates behind all others, and a host with both never shows its certificate.
    """

    host_key_algorithms: tuple[str, ...] = ()

    def __init__(self, stream: paramiko.Channel) -> None:
        super().__init__(stream)
        # A thread of its own for each handshake, which closes it if it takes too long: who connects sees to that.
        self.packetizer.start_handshake = lambda timeout: None  # type: ignore[method-assign]

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self.host_key_algorithms

    @property
    def host_key_blob(self) -> bytes:
        """The key or certificate that the host has shown and, by its signature, has. In the form of the wire."""
        key = self.get_remote_server_key()
        return key.asbytes() if key.public_blob is None else key.public_blob.key_blob
