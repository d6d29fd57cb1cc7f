"""N ranks give what one process gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trained_on_ranks
from on_ranks import mpiexec, needs_ranks
from trained_on_ranks import cases_of
from variants import VARIANTS, make, params


@needs_ranks
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("library", params("numpy", "torch", "jax", "strict"))
def test_weights_are_those_of_one_process(library: str, ranks: int, tmp_path: Path) -> None:
    name = VARIANTS[library][0]
    done = mpiexec(ranks, trained_on_ranks.__file__, name, tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    backend = make(library).backend
    for case in cases_of(name):
        net, history = trained_on_ranks.train(case, backend)
        with np.load(tmp_path / f"{case}.npz") as file:
            found = dict(file)
        losses, expected = found.pop("losses"), trained_on_ranks.values(net, backend)
        assert found.keys() == expected.keys()
        assert len(losses) * 5 >= 200 or case == "early stopping"  # steps
        np.testing.assert_allclose(losses, [e.loss for e in history.epochs], rtol=1e-12, err_msg=case)
        largest = max(np.max(np.abs(a)) for a in expected.values())
        for key, a in expected.items():
            np.testing.assert_allclose(found[key], a, rtol=0, atol=1e-12 * largest,
                                       err_msg=f"{case}: {key}")
