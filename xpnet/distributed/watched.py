"""A rank's connection with the process that watches over all of them."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from xpnet.distributed import watcher

__all__ = ["Watched"]


class Watched:
    """Being watched over: rank 0 starts the watcher, and every rank calls it.

    A rank that cannot reach it is not watched; `mpiexec` alone then reports that it was killed.

    Parameters
    ----------
    rank, size : int
        The number of this rank, and how many there are.
    one_machine : bool
        Whether all are on one machine. The watcher then listens to no other.
    broadcast : callable
        Gives what rank 0 has given to it.
    """

    def __init__(self, rank: int, size: int, one_machine: bool, broadcast: Callable[[Any], Any]) -> None:
        self._watcher: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        where = None
        if rank == 0:
            with socket.create_server(("127.0.0.1" if one_machine else "", 0), backlog=size) as server:
                where = _addresses(one_machine), server.getsockname()[1], secrets.token_hex()
                self._watcher = subprocess.Popen(
                    [sys.executable, "-I", "-S", watcher.__file__, Path(sys.argv[0]).name or "xpnet",
                     str(server.fileno()), str(size)],
                    pass_fds=[server.fileno()], start_new_session=True, stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL)
                assert self._watcher.stdin is not None
                with self._watcher.stdin as pipe:  # not in the arguments, which everybody may read
                    pipe.write(f"{where[2]}\n".encode())
        addresses, port, token = broadcast(where)
        for address in addresses:
            with suppress(OSError):
                self._connection = socket.create_connection((address, port), timeout=5)
                self._connection.sendall(f"{token} rank {rank}\n".encode())
                break

    def close(self, last_words: bytes) -> None:
        """End it, with `watcher.GOODBYE` or `watcher.THE_END`."""
        if self._connection is not None:
            with suppress(OSError), self._connection:
                self._connection.sendall(last_words)
            self._connection = None
        if self._watcher is not None:
            with suppress(subprocess.TimeoutExpired):
                self._watcher.wait(1)


def _addresses(one_machine: bool) -> list[str]:
    """Give where the other ranks may find this machine."""
    if one_machine:
        return ["127.0.0.1"]
    found: list[str] = []
    with suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]
