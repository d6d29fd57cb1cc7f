"""Train a network with the project's layer on a wave, and let it go on where it saw no data.

`python examples/another_project/train_snake.py`, on NumPy; `--backend torch`, or jax, or cupy.
"""

from __future__ import annotations

import argparse

import numpy as np
from snake import Snake

from xpnet import Adam, Affine, MeanSquaredError, Network, evaluate, fit, get_backend
from xpnet.initializers import Initializer

parser = argparse.ArgumentParser(description="Train a network with a layer of one's own.")
parser.add_argument("--backend", default="numpy")
backend = get_backend(parser.parse_args().backend)

t = np.linspace(-6, 6, 1200, dtype=np.float32)[:, None]
y = np.sin(2 * t) + t / 4
seen = np.abs(t[:, 0]) < 4

draw = Initializer("xavier", seed=0, backend=backend, dtype="float32")
network = Network([
    Affine(*draw.affine(1, 32)), Snake(backend.asarray(np.full(32, 2.0, np.float32))),
    Affine(*draw.affine(32, 1)),
], MeanSquaredError())

fit(network, backend.asarray(t[seen]), backend.asarray(y[seen]), optimizer=Adam(0.005), epochs=400,
    batch_size=100, seed=0, progress=False)
for name, rows in (("seen", seen), ("beyond", ~seen)):
    measured = evaluate(network, backend.asarray(t[rows]), backend.asarray(y[rows]))
    print(f"{name}: R² {measured['r2_score']:.3f}")
