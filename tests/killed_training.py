"""Train in processes that are killed, again and again, until a run is whole; a program.

    python killed_training.py FOLDER KILLS BACKEND SEED

A run goes on from its checkpoints after each kill, and ends with a file of weights. Prints a line for
each that ended: kills so far, and whether the weights are those of the run that nobody killed. Ends
after so many kills.
"""

from __future__ import annotations

import filecmp
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from small_training import problem
from variants import make

import xpnet


def train(folder: Path, backend: str) -> None:
    """Train from the newest checkpoint on, and write the weights."""
    xp = make(backend)
    x, t = problem(xp)
    net = xpnet.MultiLayerNet(2, [16, 16], 3, use_dropout=True, dropout_ration=0.3,
                              use_batchnorm=True, seed=0, backend=xp.backend, dtype="float32")
    checkpoints = xpnet.Checkpoints(folder / "checkpoints", seconds=0)
    xpnet.fit(net, x, t, optimizer=xpnet.Adam(0.01), epochs=20, batch_size=10, seed=3,
              validation=0.2, early_stopping=xpnet.EarlyStopping(15), progress=False,
              checkpoints=checkpoints, resume=checkpoints.newest() is not None)
    xpnet.save_weights(folder / "weights.safetensors", net)


def killed(folder: Path, backend: str, after: float) -> bool:
    """Train in a process that is killed after so many seconds; tell whether it was."""
    child = os.fork()
    if child == 0:
        train(folder, backend)
        os._exit(0)
    end = time.monotonic() + after
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, status
            return False
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main() -> None:
    """Kill."""
    folder, wanted, backend = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(int(sys.argv[4]))
    for name in ("first", "whole"):  # the first imports the library, before there are processes
        (folder / name).mkdir(parents=True)
        start = time.monotonic()
        train(folder / name, backend)
        duration = time.monotonic() - start
    kills = run = 0
    while kills < wanted:
        run += 1
        here = folder / str(run)
        here.mkdir()
        while killed(here, backend, rng.uniform(0, 0.4 * duration)):
            kills += 1
            half = list((here / "checkpoints").glob(".step-*"))
            print("killed", kills, len(half), flush=True)
        same = filecmp.cmp(here / "weights.safetensors", folder / "whole" / "weights.safetensors",
                           shallow=False)
        print("ended", run, same, flush=True)


if __name__ == "__main__":
    main()
