"""A small process beside the ranks, which says of the first that dies which one it was.

A rank that is killed says nothing, and `mpiexec` at once kills all others, which then cannot say anything
either. This process, in a session of its own, holds a connection to each rank. The first to close without a
word belongs to the rank that died: the system gives such events in their order.

It is run as a program, and imports nothing but Python's own library.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import ExitStack, suppress

__all__ = ["GOODBYE", "THE_END", "oom_kills", "watch"]

GOODBYE = b"goodbye"
"""What a rank sends before it closes its connection."""
THE_END = b"the end"
"""What one sends that has said why all end, before it ends the others by force."""
PATIENCE = 60.0
"""Seconds in which the ranks have to call."""


def watch(listening: socket.socket, ranks: int, token: str) -> str:
    """Wait until a rank dies, and give what to say of it; nothing if all have taken their leave."""
    kills = oom_kills()
    who: dict[int, tuple[str, socket.socket]] = {}
    listening.settimeout(PATIENCE)
    with ExitStack() as stack:
        while len(who) < ranks:
            connection = stack.enter_context(listening.accept()[0])
            connection.settimeout(1)
            with suppress(OSError), connection.makefile("rb", buffering=0) as file:
                line = file.readline(256)  # and no byte of what comes behind it
                given, _, name = line.decode(errors="replace").strip().partition(" ")
                if given == token:  # else it is somebody else's
                    who[connection.fileno()] = name, connection
        events = stack.enter_context(select.epoll())
        for handle in who:
            events.register(handle, select.EPOLLIN)
        while who:
            for handle, _ in events.poll():  # in the order in which they happened
                name, connection = who.pop(handle)
                events.unregister(handle)
                last = _last_words(connection)
                if last == THE_END:
                    return ""
                if last != GOODBYE:
                    cause = ("the system ran out of memory and killed it" if oom_kills() > kills
                             else "it was killed, or crashed")
                    return f"{name} has died: {cause}; the other ranks end with it"
    return ""


def _last_words(connection: socket.socket) -> bytes:
    try:
        return connection.recv(len(GOODBYE))
    except OSError:
        return b""


def oom_kills() -> int:
    """Tell how many processes the system has killed for want of memory."""
    try:
        with open("/proc/vmstat") as file:  # noqa: PTH123  pathlib takes longer to import than all else
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    program, number, count = sys.argv[1:]
    try:
        said = watch(socket.socket(fileno=int(number)), int(count), sys.stdin.readline().strip())
    except OSError:  # some never called: the run has come to nothing before it began
        said = ""
    if said:
        os.write(2, f"{program}: {said}\n".encode())
