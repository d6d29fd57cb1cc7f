"""The model of what ranks take, and that networks for them are made, or refused in words. No time is looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import ROOT, Shell, environment

from benchmarks.rank_cost import (
    Cost,
    allreduce_time,
    efficiency,
    fastest_ranks,
    fitted,
    least_rows,
    ranks_that_pay,
    recursive_doubling,
    reduce_scatter_allgather,
    ring,
    step_time,
)
from benchmarks.rank_networks import Network, rate_of, why_not

SCRIPT = ROOT / "benchmarks" / "rank_networks.py"
COST = Cost(latency=1e-5, per_byte=1e-9, adding=2e-10)


def test_sums_of_eight_ranks_by_hand() -> None:
    assert recursive_doubling(1000, 8, COST) == pytest.approx(3 * (1e-5 + 1e-6 + 2e-7))
    assert reduce_scatter_allgather(1e6, 8, COST) == pytest.approx(6e-5 + 7 / 8 * (2e-3 + 2e-4))
    assert ring(1e6, 8, COST) == pytest.approx(14e-5 + 7 / 8 * (2e-3 + 2e-4))


def test_ranks_that_are_no_power_of_two_take_two_messages_more() -> None:
    more = 2 * (1e-5 + 1e-3) + 2e-4
    assert recursive_doubling(1e6, 5, COST) == pytest.approx(recursive_doubling(1e6, 4, COST) + more)
    assert reduce_scatter_allgather(1e6, 7, COST) == pytest.approx(reduce_scatter_allgather(1e6, 4, COST) + more)


def test_short_sums_double_and_long_ones_scatter() -> None:
    assert allreduce_time(2048, 8, COST) == recursive_doubling(2048, 8, COST)
    assert allreduce_time(2049, 8, COST) == reduce_scatter_allgather(2049, 8, COST)
    assert allreduce_time(1e6, 1, COST) == 0


def test_what_is_hidden_of_a_sum() -> None:
    size = 1e6
    whole = allreduce_time(size, 2, Cost(0, 1e-8))  # 10 ms
    assert whole == pytest.approx(0.01)
    for overlap, hidden in ((0, 0.0), (0.5, 0.002), (1, 0.004)):
        cost = Cost(0, 1e-8, overlap=overlap)
        assert step_time(0.02, 0.001, [(size, 0.004)], 2, cost) == pytest.approx(0.021 + whole - hidden)
    # More time than it takes hides all of it; and a second piece waits for the first.
    assert step_time(0.02, 0.001, [(size, 0.015)], 2, Cost(0, 1e-8, overlap=1)) == pytest.approx(0.021)
    both = [(size, 0.006), (size, 0.0)]
    assert step_time(0.02, 0.0, both, 2, Cost(0, 1e-8, overlap=1)) == pytest.approx(0.02 + 0.004 + 0.01)
    # Nor does the time in which nothing was to be sent help the second.
    early = [(size / 10, 0.018), (size, 0.0)]
    assert step_time(0.02, 0.0, early, 2, Cost(0, 1e-8, overlap=1)) == pytest.approx(0.02 + 0.01)


def test_pieces_that_begin_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="one behind the other"):
        step_time(0.02, 0.0, [(1e6, 0.0), (1e6, 0.01)], 2, COST)


def test_costs_are_costs() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Cost(-1e-6, 1e-9)
    with pytest.raises(ValueError, match="share"):
        Cost(1e-6, 1e-9, overlap=1.1)


def test_the_fit_finds_what_made_the_times() -> None:
    sizes = (4, 4000, 40_000, 400_000, 4_000_000, 7_600_000)
    for ranks in (2, 3, 8):
        found = fitted({size: allreduce_time(size, ranks, COST) for size in sizes}, ranks, COST.adding, 0.5)
        assert found.latency == pytest.approx(COST.latency)
        assert found.per_byte == pytest.approx(COST.per_byte)
        assert (found.adding, found.overlap) == (COST.adding, 0.5)


def test_the_least_rows_are_the_least() -> None:
    shares = [(4e6, 0.4), (3e6, 0.0)]
    rows = least_rows(0.8, 1e-4, 1e-3, shares, 64, COST)

    def reached(count: int) -> float:
        return efficiency(1e-4 * count, 1e-3, [(size, share * 1e-4 * count) for size, share in shares], 64, COST)

    assert reached(rows) >= 0.8 > reached(rows - 1)


def test_more_ranks_pay_until_the_sum_takes_longer() -> None:
    slow, seconds = fastest_ranks(1024, 1e-4, 0.0, [(7.5e6, 0.0)], Cost(5e-5, 8e-8))
    assert slow == 1  # 100 Mbit/s: the sum alone takes 0.6 s
    assert seconds == pytest.approx(0.1024)
    ranks, seconds = fastest_ranks(1024, 1e-4, 0.0, [(7.5e6, 0.0)], Cost(1e-4, 1e-10))
    times = [0.1024 / p + allreduce_time(7.5e6, p, Cost(1e-4, 1e-10)) for p in (ranks // 2, ranks, ranks * 2)]
    assert seconds == pytest.approx(times[1])
    assert times[0] > times[1] < times[2]


def test_ranks_that_pay_are_worth_their_share() -> None:
    cost = Cost(1e-4, 1e-10)
    found = ranks_that_pay(0.5, 1024, 1e-4, 0.0, [(7.5e6, 0.0)], cost)
    worth = {p: 0.1024 / (p * (0.1024 / p + allreduce_time(7.5e6, p, cost))) for p in (found, 2 * found)}
    assert worth[found] >= 0.5 > worth[2 * found]


def test_networks_say_what_they_are() -> None:
    assert Network(1e9, 1e-4).name == "1 Gbit/s, 0.1 ms more"
    assert Network(forwarded=True).name == "no limit, forwarded"
    assert (rate_of("100mbit"), rate_of("2.5 Gbit/s")) == (1e8, 2.5e9)
    with pytest.raises(ValueError, match="rate is positive"):
        Network(0)
    with pytest.raises(ValueError, match="delay"):
        Network(1e9, -1)


def refused(folder: Path, *options: str) -> str:
    """Run the script where only that folder has tools, and give the one line that it says."""
    tools = environment() | {"PATH": str(folder)}
    done = subprocess.run([sys.executable, str(SCRIPT), *options, "true"], env=tools, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def tool(folder: Path, name: str, text: str = "exit 0") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_without_the_right_to_it_says_so_in_a_line(tmp_path: Path) -> None:
    for name in ("mount", "ip", "tc", "mpiexec", "g++"):
        tool(tmp_path, name)
    tool(tmp_path, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    line = refused(tmp_path)
    assert line == ("rank_networks.py: wants to make network namespaces, as root may: "
                    "unshare: unshare failed: Operation not permitted")


def test_without_tools_it_says_so_in_a_line(tmp_path: Path) -> None:
    for name in ("mount", "ip", "tc", "mpiexec", "unshare"):
        tool(tmp_path, name)
    assert "wants g++, not installed here" in refused(tmp_path, "--delay", "1")


def test_options_that_make_no_network_are_refused_in_a_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "--delay", "-1") == "rank_networks.py: a network's delay is from 0 to 10 seconds; got -0.001"


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


@pytest.mark.parametrize("network", [Network(), Network(1e9, 1e-3)], ids=lambda network: network.name)
def test_ranks_are_in_networks_of_their_own_and_nothing_remains(shell: Shell, network: Network) -> None:
    reason = why_not(network)
    if reason:
        pytest.skip(reason)
    before = interfaces()
    options = ["--rate", f"{network.rate / 1e6:.0f}mbit"] if network.rate else []
    script = "hostname; ip -o address show net0; exit 3"
    done = shell.python(SCRIPT, *options, "--delay", network.delay * 1e3, "sh", "-c", script)
    assert done.returncode == 3, done.stderr
    for rank in (0, 1):
        assert f"rank{rank}\n" in done.stdout
        assert f"10.77.0.{rank + 1}/24" in done.stdout
    assert interfaces() == before


def running(word: str) -> bool:
    """Say whether any process has this among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text().split("\0"):
                return True
        except OSError:  # it has just ended
            continue
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_however_it_ends_all_ends(number: signal.Signals) -> None:
    reason = why_not(Network())
    if reason:
        pytest.skip(reason)
    seconds = f"100.{os.getpid()}{number.value}"
    process = subprocess.Popen([sys.executable, str(SCRIPT), "sleep", seconds], env=environment(),
                               stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: running(seconds))
    process.send_signal(number)
    process.wait(timeout=20)
    until(lambda: not running(seconds))


def until(true: Callable[[], bool]) -> None:
    """Wait for it, twenty seconds at most."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
