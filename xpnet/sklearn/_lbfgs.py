"""The solver L-BFGS: SciPy's, with loss and gradient of the whole data from the network's device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from xpnet.backend import Backend
from xpnet.functional._array import Array, array_namespace
from xpnet.sklearn._network import PenalisedNetwork
from xpnet.sklearn._rows import Rows
from xpnet.sklearn._warnings import warn
from xpnet.training.step import operations

__all__ = ["fit_lbfgs"]


def fit_lbfgs(estimator: Any, network: PenalisedNetwork, backend: Backend, data: Rows) -> dict[str, Any]:
    """Give "params" and "state" after at most `max_iter` iterations, and set what they say of it.

    After an interrupt, the best that was seen. SciPy computes on the host, in float64: each evaluation brings
    the parameters to the device, and loss and gradient back.
    """
    e, params = estimator, dict(network.params)
    if e.dropout or e.batch_norm:
        raise ValueError("solver='lbfgs' looks at one function of the weights: dropout and batch_norm want "
                         "'adam' or 'sgd'")
    arrays = {name: data.part(name, 0, data.rows) for name in data.arrays}
    fast = network.with_kernels(backend.kernels)
    like = next(iter(params.values()))
    sizes = [math.prod(p.shape) for p in params.values()]

    def parts(vector: Array) -> dict[str, Array]:
        xp, found, start = array_namespace(vector), {}, 0
        for (name, p), size in zip(params.items(), sizes, strict=True):
            found[name] = xp.reshape(vector[start:start + size], tuple(p.shape))
            start += size
        return found

    def loss_and_gradient(vector: Array) -> Array:
        loss, grads = fast.bind(parts(vector)).loss_and_gradient(
            arrays["x"], arrays["t"], arrays.get("weight"))
        xp = array_namespace(loss)
        return xp.concat([xp.reshape(a, (-1,)) for a in (loss, *(grads[name] for name in params))])

    compiled = backend.compile(loss_and_gradient, record=True)
    first = np.concatenate([backend.to_numpy(p).ravel() for p in params.values()]).astype(np.float64)
    best = math.inf, first

    def on_host(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best
        found = backend.to_numpy(compiled(backend.asarray(vector, like.dtype))).astype(np.float64)
        loss = float(found[0])
        if loss < best[0]:
            best = loss, vector.copy()
        return loss, found[1:]

    def counted(_: NDArray[np.float64]) -> None:
        e.n_iter_ += 1

    e.loss_curve_, e.stopped_, e.n_iter_ = [], False, 0
    try:
        with backend.memory_errors(), backend.threads_for(operations(network, data.rows)):
            found = minimize(on_host, first, method="L-BFGS-B", jac=True, callback=counted,
                             options={"maxfun": e.max_fun, "maxiter": e.max_iter, "gtol": e.tol})
        best = float(found.fun), found.x
        e.stopped_ = found.status == 0
        # SciPy counts one more than it is allowed.
        e.n_iter_ = min(found.nit, e.max_iter)
        if not e.stopped_:
            warn(f"lbfgs failed to converge after {found.nit} iteration(s) (status={found.status}):\n"
                 f"{found.message}", ConvergenceWarning)
    except KeyboardInterrupt:
        warn("Training interrupted by user.")
    e.loss_ = best[0]
    if e.verbose:
        print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
    return {"params": parts(backend.asarray(best[1], like.dtype)), "state": {}}
