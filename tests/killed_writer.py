"""Write checkpoints in processes that are killed, as `python killed_writer.py FOLDER TIMES`.

After each kill it prints what the next run finds: the step, whether the arrays are that step's, how
many checkpoints there are, how many files were left half written, and how many after the next run
began.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np

from xpnet.training import Checkpoints

SIZE = 100_000


def arrays(step: int) -> dict[str, object]:
    return {"params": {"W": np.full(SIZE, float(step))}, "step": np.asarray(step, np.int32)}


def write_until_killed(folder: Path) -> None:
    with Checkpoints(folder, seconds=0) as checkpoints:
        _, about, _ = checkpoints.load(arrays(0))
        for step in count(about["step"] + 1):
            checkpoints.save(arrays(step), {"step": step}, step)


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    wait = random.Random(0)
    checkpoints = Checkpoints(folder)
    with checkpoints:
        checkpoints.save(arrays(0), {"step": 0}, 0)
    for _ in range(times):
        before = checkpoints.newest()
        child = os.fork()
        if child == 0:
            write_until_killed(folder)
        while checkpoints.newest() == before:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                sys.exit("the writer ended by itself")
        time.sleep(wait.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        half_written = len(list(folder.glob(".*")))
        with checkpoints:
            found, about, path = checkpoints.load(arrays(0))
            whole = (not checkpoints.broken and path == checkpoints.newest()
                     and found["step"] == about["step"]
                     and (found["params"]["W"] == about["step"]).all())
            print(about["step"], whole, len(list(folder.glob("step-*"))), half_written,
                  len(list(folder.glob(".*"))))


if __name__ == "__main__":
    main()
