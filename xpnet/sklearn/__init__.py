"""scikit-learn's multi-layer perceptrons on any array-API library (extra `sklearn`).

Named and parametrised as `sklearn.neural_network`'s, with `dropout`, `batch_norm`, `class_weight`, `device`,
and early stopping within `partial_fit`. With `sklearn.set_config(array_api_dispatch=True)`, data stays in
the library, dtype and device it came in.
"""

from xpnet._extras import import_extra

import_extra("sklearn", "xpnet.sklearn", extra="sklearn")

from xpnet.sklearn.mlp_classifier import MLPClassifier
from xpnet.sklearn.mlp_regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
