"""Ports from the operating system. The World hands one ``Ports`` to each fixture's start.

Our own programs inherit a socket that already listens, so no other process can take the port in between; programs of other people
get a number that was free a moment ago.
"""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class Ports:
    """Hands out ports on loopback; closes the sockets it still holds when the World ends."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def listen(self) -> socket.socket:
        """A socket that listens on a free port, to be inherited by a child process."""
        listener = socket.create_server((LOOPBACK, 0), backlog=64)
        self._sockets.append(listener)
        return listener

    def free(self) -> int:
        """The number of a port that is free now, for programs that insist on binding themselves."""
        with socket.create_server((LOOPBACK, 0)) as probe:
            return int(probe.getsockname()[1])

    def close(self) -> None:
        """Give up every socket."""
        while self._sockets:
            self._sockets.pop().close()
