"""What is measured on a GPU, how long it may take, and what it is held to.

Nothing is imported here: the process that starts the others reads this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["DRY_LIMIT", "SECTIONS", "TOTAL", "Bar", "Section", "in_order_of_running"]

TOTAL = 470
"""Seconds for all sections, the sum of their limits: with what starts and ends them, eight minutes."""
DRY_LIMIT = 200
"""Seconds for one section of a dry run, which is quick or hangs."""


class Bar(NamedTuple):
    """What has to hold."""

    what: str
    correct: bool = False
    """Whether it is about what is computed, and not how fast: a dry run is held to that, too."""


class Section(NamedTuple):
    """A kind of measurement, in a file of this folder and a process of its own."""

    title: str
    limit: int
    """Seconds that it may take, with kernels still to be compiled; the suite takes what the others leave, too."""
    bars: Mapping[str, Bar]


_LARGE = {
    "same": Bar("all have the same losses", correct=True),
    "products": Bar("the bare products take at least 0.95 of the time of xpnet's step"),
    "compile": Bar("no slower than torch.compile"),
}
SECTIONS: Mapping[str, Section] = {
    "suite": Section("The tests that need a GPU", 45, {
        "passes": Bar("every test of `pytest -m cuda` passes", correct=True),
    }),
    "gradients": Section("Gradients, against float64 on NumPy", 50, {
        "float64": Bar("in float64 within 1e-10 of the largest of each array", correct=True),
        "float32": Bar("in float32 within 1e-4", correct=True),
        "checks": Bar("`check_gradients` calls all of them correct", correct=True),
    }),
    "curves": Section("Losses of 500 steps, against NumPy's", 30, {
        "float32": Bar("in float32 within 1e-3, by the plain layers and as `fit` trains", correct=True),
        "float64": Bar("in float64 within 1e-12, by both", correct=True),
    }),
    "host_copies": Section("Copies to the host in a step", 40, {
        "played": Bar("the steps of `fit` are played from CUDA graphs", correct=True),
        "nodes": Bar("these graphs hold no copy from or to the host, and no call of it", correct=True),
    }),
    "small": Section("784-50-10, batch 100, SGD: bound by launches", 45, {
        "same": Bar("all have the same losses", correct=True),
        "eager": Bar("at least 4 times as fast as PyTorch"),
        "graph": Bar("no slower than PyTorch under torch.cuda.CUDAGraph"),
        "jit": Bar("no slower than JAX, value_and_grad in jit"),
    }),
    "large": Section("784-4096-4096-10, batch 8192, SGD, float32: bound by arithmetic", 70, _LARGE),
    "large_tf32": Section("The same with TF32", 50, _LARGE),
    "gradient_check": Section("The book's gradient check: 39,760 parameters, three images, float64", 25, {
        "correct": Bar("it agrees with backpropagation", correct=True),
        "seconds": Bar("under 0.5 s"),
    }),
    "convolution": Section("SimpleConvNet, batch 256", 40, {
        "same": Bar("both have the same losses", correct=True),
        "ratio": Bar("within 1.3 times PyTorch with cuDNN"),
    }),
    "epoch": Section("An epoch of 60,000 images that lie on the device", 30, {
        "host": Bar("nothing is copied to the host but losses, and whether all is finite", correct=True),
    }),
    "memory": Section("Memory", 30, {
        "steady": Bar("as much after the fifth epoch as after the first", correct=True),
        "words": Bar("an allocation that fails says what was wanted and what is free", correct=True),
        "checkpoint": Bar("and leaves the last checkpoint, from which training goes on", correct=True),
    }),
    "devices": Section("Several GPUs", 15, {
        "second": Bar("a second GPU trains to the same losses", correct=True),
        "mixed": Bar("arrays of two GPUs are refused in words", correct=True),
        "number": Bar("a GPU that is not there is refused in words", correct=True),
    }),
}
"""By the names that `--only` takes, in the order of the tables."""


def in_order_of_running(names: list[str]) -> list[str]:
    """Put the suite last: it takes what time the others leave, and finds their kernels compiled."""
    return sorted(names, key=lambda name: name == "suite")
