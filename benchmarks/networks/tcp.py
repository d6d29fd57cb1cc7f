"""See whether a network keeps its rate and its delay, by TCP and without MPI's messages.

`python benchmarks/rank_networks.py --rate 1gbit --delay 1 benchmarks/networks/tcp.py` prints what a byte takes from
rank 0 to rank 1 and back, and the rate of 50 MB that follow.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from benchmarks.report import quartiles, unit_of

ADDRESS = ("10.77.0.2", 5555)
TRIPS = 300
PIECE = 1 << 20


def answer(pieces: int) -> None:
    """Send bytes back, then take all that comes, and say so."""
    with socket.create_server(ADDRESS) as server:
        connection, _ = server.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(TRIPS):
            connection.send(connection.recv(1))
        left = pieces * PIECE
        while left:
            left -= len(connection.recv(min(left, PIECE)))
        connection.send(b".")


def ask(pieces: int) -> str:
    """Measure, and say what."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(ADDRESS, timeout=60)
            break
        except OSError:  # not there yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(TRIPS):
            start = time.perf_counter()
            connection.send(b".")
            connection.recv(1)
            trips.append(time.perf_counter() - start)
        piece = bytes(PIECE)
        start = time.perf_counter()
        for _ in range(pieces):
            connection.sendall(piece)
        connection.recv(1)
        seconds = time.perf_counter() - start
    low, median, _ = quartiles(trips)
    return (f"round trip {unit_of(median)}, first quartile {unit_of(low)}, least {unit_of(min(trips))}; "
            f"{pieces * PIECE * 8 / seconds / 1e9:.3g} Gbit/s")


def main() -> None:
    """Be the one or the other."""
    pieces = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    if int(os.environ["PMI_RANK"]) == 1:
        answer(pieces)
    else:
        print(ask(pieces))


if __name__ == "__main__":
    main()
