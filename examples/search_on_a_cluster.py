"""A search over networks on a cluster: two processes of this machine, or the workers of a dask scheduler.

    pip install -e ".[sklearn]" distributed
    python examples/search_on_a_cluster.py                                   # listens on 127.0.0.1 only
    python examples/search_on_a_cluster.py --scheduler tcp://192.0.2.1:8786

The workers of a cluster elsewhere want the same releases of xpnet and scikit-learn.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from distributed import Client
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpnet.sklearn import MLPClassifier

HERE = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "silence_logs": logging.ERROR,
        # No dashboard; and what is asked for the workers' health has a port that is free.
        "dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
GRID = {"mlpclassifier__hidden_layer_sizes": [(30,), (60,)], "mlpclassifier__dropout": [0.0, 0.2]}


def searched() -> GridSearchCV:
    """Search where joblib is told to: 4 networks, on 3 parts of the digits each; then the best on all."""
    X, y = load_digits(return_X_y=True)  # NumPy's; MLPClassifier(device="cuda") would move them to the worker's GPU
    mlp = MLPClassifier(learning_rate_init=0.01, tol=0.01, random_state=0)
    return GridSearchCV(make_pipeline(StandardScaler(), mlp), GRID, cv=3).fit(X, y)


def said(search: GridSearchCV) -> str:
    """Say what was found."""
    return f"{search.best_params_}: {search.best_score_:.4f} of the digits held out are right"


def leave_interrupts() -> None:
    """Leave Ctrl-C, which all processes of a terminal get, to the one that ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Search on a cluster."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster that runs; else one is begun here")
    address = parser.parse_args().scheduler
    try:
        client = Client(**HERE) if address is None else Client(address)
    except (OSError, ValueError) as error:
        parser.error(f"--scheduler {address}: {error}")
    try:
        with client, parallel_config(backend="dask"):
            if address is None:
                client.run(leave_interrupts)
            print(f"{len(client.ncores())} workers of {client.scheduler.address}", flush=True)
            search = searched()
    except KeyboardInterrupt:
        sys.exit(130)
    print(said(search))


if __name__ == "__main__":  # the workers import this file
    main()
