"""N ranks give what one process gives."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_on_ranks
from numpy.typing import NDArray
from on_ranks import mpiexec, needs_ranks
from trained_on_ranks import CASES
from variants import VARIANTS, make, params

pytestmark = needs_ranks

Results = dict[str, NDArray[Any]]


@functools.cache
def alone(library: str, case: str) -> Results:
    """Train in one process."""
    backend = make(library).backend
    net, history = trained_on_ranks.train(case, backend)
    return {"losses": np.asarray([e.loss for e in history.epochs]), **trained_on_ranks.values(net, backend)}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train all cases on so many ranks, at one go."""
    @functools.cache
    def run(library: str, ranks: int) -> Path:
        folder = tmp_path_factory.mktemp(f"{library}-{ranks}")
        done = mpiexec(ranks, trained_on_ranks.__file__, VARIANTS[library][0], folder, folder=folder)
        assert done.returncode == 0, done.stderr
        return folder

    return run


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("library", params("numpy", "torch", "jax", "strict"))
def test_weights_are_those_of_one_process(library: str, ranks: int, case: str, together: Any) -> None:
    with np.load(together(library, ranks) / f"{case}.npz") as file:
        found = dict(file)
    expected = alone(library, case)
    assert found.keys() == expected.keys()
    assert found["losses"].shape == expected["losses"].shape
    assert expected["losses"].shape[0] * 5 >= 200 or case == "early stopping"
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-12)
    largest = max(np.max(np.abs(a)) for a in expected.values())
    for name, a in expected.items():
        np.testing.assert_allclose(found[name], a, rtol=0, atol=1e-12 * largest, err_msg=name)
