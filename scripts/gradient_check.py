#!/usr/bin/env python3
"""Hold backpropagation against numerical gradients, on the book's network and three images.

The numerical gradients are computed in float64, whatever the dtype of the backpropagation.
Exit status: 0 if they agree, 1 if they do not.
"""

from __future__ import annotations

import numpy as np
from _command import Parser, add_backend_options, find_backend, run

from xpnet import TwoLayerNet, load_mnist

# Of a parameter's largest gradient. In float64 the noise of the differences decides: the loss, 2.3,
# is rounded to 4e-16, and divided by steps of 6e-8 for weights of 0.01.
TOLERANCE = {"float64": 1e-5, "float32": 1e-4}
IMAGES = 3


def main() -> int:
    """Compare the gradients, and give the verdict."""
    parser = Parser(description=__doc__)
    add_backend_options(parser, dtype="float64")
    options = parser.parse_args()
    backend = find_backend(options)
    backend.enable_float64()
    (x, t), _ = load_mnist(backend=backend)
    x, t = x[:IMAGES, ...], t[:IMAGES, ...]
    reference, network = (
        TwoLayerNet(784, 50, 10, seed=options.seed, backend=backend, dtype=dtype)
        for dtype in ("float64", options.dtype)
    )
    expected = reference.numerical_gradient(x, t)
    found = network.gradient(x, t)

    print(f"784-50-10, {IMAGES} images, {options.dtype}, {backend.name} on {backend.device}")
    print(f"{'':4}{'mean |difference|':>19}{'worst':>11} at {'element':12}{'relative error':>14}")
    correct = True
    for name in expected:
        e, g = (backend.to_numpy(a[name]).astype(np.float64) for a in (expected, found))
        difference = np.abs(g - e)
        worst = np.unravel_index(np.argmax(difference), difference.shape)
        relative = difference[worst] / np.max(np.abs(e))
        correct &= bool(relative <= TOLERANCE[options.dtype])  # False for NaN
        element = ", ".join(map(str, worst))
        print(f"{name:4}{difference.mean():19.1e}{difference[worst]:11.1e} at {element:12}"
              f"{relative:14.1e}")
    print("backpropagation is correct" if correct else "backpropagation is WRONG")
    return 0 if correct else 1


if __name__ == "__main__":
    run(main)
