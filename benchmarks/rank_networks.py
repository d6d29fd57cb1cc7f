#!/usr/bin/env python3
"""Run a program under MPI with each rank in a network of its own, of limited bandwidth and added latency.

`python benchmarks/rank_networks.py --ranks 2 --rate 1gbit --delay 0.1 PROGRAM.py …` on one machine is what two
machines with such a network between them would be, but for the processor, which the ranks share. Linux
only. Nothing of the machine's own network is touched: all is in namespaces that end with their processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

__all__ = ["Network", "NetworksUnavailableError", "run", "why_not"]

INSIDE = Path(__file__).parent / "networks" / "inside.py"
TOOLS = ("unshare", "mount", "ip", "tc", "mpiexec")
UNITS = {"k": 1e3, "m": 1e6, "g": 1e9}
NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork",
              "--kill-child", "--mount-proc")
"""With the first process in them ends everything that runs there, and with that the network itself."""


class NetworksUnavailableError(RuntimeError):
    """A machine makes no networks for ranks; the message says in one line what is missing."""


@dataclass(frozen=True)
class Network:
    """A network between ranks.

    Parameters
    ----------
    rate : float, optional
        Bits per second of each rank's link, in each direction; None does not limit it.
    delay : float
        Seconds added to each packet on its way: a round trip has two of them.
    forwarded : bool
        Whether a program passes the packets on even where there is no delay: to see what that takes.
    """

    rate: float | None = None
    delay: float = 0.0
    forwarded: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"a network's rate is positive; got {self.rate}")
        if not 0 <= self.delay < 10:
            raise ValueError(f"a network's delay is from 0 to 10 seconds; got {self.delay}")

    @property
    def name(self) -> str:
        """What it is, in words."""
        text = "no limit" if self.rate is None else rate_in_words(self.rate)
        text += f", {self.delay * 1e3:g} ms more" * (self.delay > 0)
        return text + ", forwarded" * (self.forwarded and not self.delay)

    @property
    def needs_forwarder(self) -> bool:
        """Whether packets go through the program that delays them, which wants g++."""
        return self.forwarded or self.delay > 0


def rate_in_words(rate: float) -> str:
    """Give "1 Gbit/s" for 1e9."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6)):
        if rate >= size:
            return f"{rate / size:g} {unit}"
    return f"{rate / 1e3:g} kbit/s"


def rate_of(text: str) -> float:
    """Give the bits per second of "100mbit" or "10gbit"; the argument parser's type."""
    found = re.fullmatch(r"([\d.]+)([kmg])bit(?:/s)?", text.replace(" ", "").lower())
    if not found:
        raise argparse.ArgumentTypeError(f"a rate is written 100mbit or 10gbit; got {text!r}")
    return float(found[1]) * UNITS[found[2]]


def _tool(name: str) -> str | None:
    beside = Path(sys.executable).parent / name  # mpiexec of a virtual environment that is not activated
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return found or (str(beside) if beside.exists() else None)


def why_not(network: Network | None) -> str:
    """Say in one line why ranks cannot run in this network here; nothing ("") if they can."""
    needed = ["mpiexec"] if network is None else [*TOOLS, *["g++"] * network.needs_forwarder]
    missing = [name for name in needed if _tool(name) is None]
    if missing:
        return f"wants {', '.join(missing)}, not installed here (util-linux, iproute2, an MPI, a C++ compiler)"
    if network is None:
        return ""
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        said = tried.stderr.strip().splitlines()
        return f"wants to make network namespaces, as root may: {said[-1] if said else 'unshare failed'}"
    if network.needs_forwarder and not os.access("/dev/net/tun", os.W_OK):
        return "wants to open /dev/net/tun for a network with a delay, as root may"
    return ""


def run(
    command: Sequence[str], ranks: int, network: Network | None, *, timeout: float | None = None,
    capture: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program on so many ranks, in a network or in shared memory.

    Whatever happens, also an error, Ctrl-C, SIGTERM or the end of this process by SIGKILL, no process, no interface
    and no namespace remains.

    Parameters
    ----------
    command : sequence of str
        What `mpiexec` is to run.
    ranks : int
        How many.
    network : Network or None
        None is without namespaces: the ranks exchange in shared memory.
    timeout : float, optional
        Seconds, behind which all of it is ended, and `subprocess.TimeoutExpired` raised.
    capture : bool
        Whether to give back what is written instead of passing it on.

    Raises
    ------
    NetworksUnavailableError
        In one line, if this machine cannot.
    """
    reason = why_not(network)
    if reason:
        raise NetworksUnavailableError(reason)
    mpiexec = str(_tool("mpiexec"))
    pipe = subprocess.PIPE if capture else None
    with contextlib.ExitStack() as stack:
        alive: list[int] = []
        if network is None:
            arguments = [mpiexec, "-n", str(ranks), *command]
        else:
            # Inside, the end of this pipe is the end of this process, however it ends.
            there, here = os.pipe()
            stack.callback(os.close, here)
            what = {"network": asdict(network), "ranks": ranks, "mpiexec": mpiexec, "command": list(command),
                    "alive": there}
            arguments = [*NAMESPACES, sys.executable, str(INSIDE), json.dumps(what)]
            alive.append(there)
        try:
            stack.enter_context(_terminated_as_interrupted())
            process = subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, pass_fds=alive)
        finally:
            for each in alive:
                os.close(each)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                (process.terminate if network is None else process.kill)()  # mpiexec ends its ranks itself
                process.wait()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM go the way of an exception, so that what is `finally` is done."""
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run a program as the options say, and end with its status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--rate", type=rate_of, metavar="RATE",
                        help="of each rank's link, as 100mbit or 10gbit (default: no limit)")
    parser.add_argument("--delay", type=float, default=0.0, metavar="MS",
                        help="milliseconds added to each packet, one way (default: 0)")
    parser.add_argument("--forwarded", action="store_true",
                        help="pass packets on by a program without a delay, too, to see what that takes")
    parser.add_argument("--shared-memory", action="store_true", help="no network; all else is the same")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="PROGRAM …",
                        help="a program with its options; a name that ends in .py is run by this Python")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which program?")
    if command[0].endswith(".py"):
        command = [sys.executable, *command]
    try:
        network = None if options.shared_memory else Network(options.rate, options.delay / 1e3, options.forwarded)
        raise SystemExit(run(command, options.ranks, network).returncode)
    except (NetworksUnavailableError, ValueError) as error:
        print(f"rank_networks.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
