"""What `rank_networks.py` runs in namespaces of its own: make the network, run the program, end.

Each rank has a network namespace with one interface, `net0`. Without a delay that is one end of a veth pair, the
other end of which is on a bridge, and Linux's token bucket (`tc tbf`) limits the rate on both ends. With a delay it is
a TUN device, whose packets a program (`forwarder.cpp`) holds for a while: this kernel may have no `netem`. Nothing is
removed here: all ends with this process, the first one of its namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LATENCY = "50ms"
"""For how long packets wait at a limited rate before one is dropped."""

LAUNCHER = """#!/bin/sh
# mpiexec calls this in the place of ssh, with options, a host and a command
while [ "${1#-}" != "$1" ]; do shift; done
host=$1; shift
exec ip netns exec "$host" unshare --uts sh -c "hostname $host; exec $*"
"""


def address(rank: int) -> str:
    """Give a rank's address; that of rank -1 is mpiexec's."""
    return f"10.77.0.{rank + 1 if rank >= 0 else 254}"


def packet(rate: float | None) -> int:
    """Give the bytes of a packet. Linux hands on up to 64 KB at once, and cuts them up where the rate is limited."""
    return 1500 if rate is not None and rate < 5e8 else 9000


def burst(rate: float) -> int:
    """Give the bytes that may leave at once: 250 µs of the rate, from two packets to 128 KB.

    The rate is kept by timers: if one is late by more than that, what could have left meanwhile is lost.
    """
    return int(min(max(rate / 8 * 250e-6, 2 * packet(rate) + 200), 131072))


def call(*words: object) -> None:
    """Run a command; what it says goes with the error."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise OSError(f"{' '.join(map(str, words))}: {next((line for line in said if 'rror' in line), said[-1])}")


def limit(rate: float | None, device: str, *where: str) -> None:
    """Limit what leaves through a device."""
    if rate is not None:
        call("tc", *where, "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{rate:.0f}bit",
             "burst", burst(rate), "latency", LATENCY)


def bridged(ranks: int, rate: float | None) -> None:
    """Join the ranks' namespaces by a bridge, which mpiexec is on, too."""
    size = packet(rate)
    call("ip", "link", "add", "bridge0", "mtu", size, "type", "bridge")
    call("ip", "address", "add", f"{address(-1)}/24", "dev", "bridge0")
    call("ip", "link", "set", "bridge0", "up")
    for rank in range(ranks):
        call("ip", "link", "add", f"port{rank}", "mtu", size, "type", "veth", "peer", "name", "net0", "mtu", size,
             "netns", f"rank{rank}")
        call("ip", "link", "set", f"port{rank}", "master", "bridge0", "up")
        limit(rate, f"port{rank}")
        limit(rate, "net0", "-n", f"rank{rank}")


def forwarded(ranks: int, rate: float | None, delay: float) -> None:
    """Join them by the program that holds packets."""
    program = "/run/forwarder"
    size = packet(rate)
    call("g++", "-O2", "-o", program, Path(__file__).with_name("forwarder.cpp"))
    process = subprocess.Popen([program, str(ranks), str(delay), str(rate or 0)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise OSError("the program that delays packets did not start")
    call("ip", "link", "set", "tun254", "mtu", size, "up")
    call("ip", "address", "add", f"{address(-1)}/24", "dev", "tun254")
    for rank in range(ranks):
        call("ip", "link", "set", f"tun{rank + 1}", "name", "net0", "mtu", size, "netns", f"rank{rank}")
        limit(rate, "net0", "-n", f"rank{rank}")


def end_with(alive: int) -> None:
    """End all this when the other end of the pipe is closed."""
    os.read(alive, 1)
    os._exit(1)


def main() -> int:
    """Make the network that the argument describes, and run the program in it."""
    what: dict[str, Any] = json.loads(sys.argv[1])
    threading.Thread(target=end_with, args=(what["alive"],), daemon=True).start()
    ranks, rate, delay = what["ranks"], what["network"]["rate"], what["network"]["delay"]
    call("mount", "-t", "tmpfs", "none", "/run")  # of this mount namespace only
    Path("/run/netns").mkdir()
    call("ip", "link", "set", "lo", "up")
    for rank in range(ranks):
        call("ip", "netns", "add", f"rank{rank}")
        call("ip", "-n", f"rank{rank}", "link", "set", "lo", "up")
    if delay or what["network"]["forwarded"]:
        forwarded(ranks, rate, delay)
    else:
        bridged(ranks, rate)
    for rank in range(ranks):
        call("ip", "-n", f"rank{rank}", "address", "add", f"{address(rank)}/24", "dev", "net0")
        call("ip", "-n", f"rank{rank}", "link", "set", "net0", "up")
    launcher = Path("/run/launch")
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    # By TCP through that one interface, in MPICH's two ways to the network.
    names = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "net0", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": "net0"}
    return subprocess.run(
        [what["mpiexec"], "-launcher", "ssh", "-launcher-exec", launcher, "-localhost", address(-1),
         "-hosts", ",".join(f"rank{rank}" for rank in range(ranks)), "-n", str(ranks), *what["command"]],
        env=names | dict(os.environ), check=False).returncode


if __name__ == "__main__":
    try:
        status = main()
    except (OSError, KeyboardInterrupt) as error:
        print(f"rank_networks.py: {str(error) or 'interrupted'}", file=sys.stderr)
        status = 130 if isinstance(error, KeyboardInterrupt) else 2
    sys.stdout.flush()
    os._exit(status)
