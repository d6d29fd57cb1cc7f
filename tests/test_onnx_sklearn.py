"""Fitted estimators of `xpnet.sklearn`, with their scalers, in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from in_onnxruntime import close, exported, rows, run
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from xpnet.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = 5 + 3 * rows(120, (6,), "float64")
CODES = np.digitize(X[:, 0], [4.0, 6.0])
TARGETS: dict[str, tuple[type, Any, dict[str, Any]]] = {
    "classes": (MLPClassifier, CODES, {"dropout": 0.2, "batch_norm": True}),
    "names": (MLPClassifier, np.array(["ant", "bee", "cat"])[CODES], {"activation": "gelu"}),
    "yes or no": (MLPClassifier, X[:, 0] > 5, {"solver": "lbfgs"}),
    "a single class": (MLPClassifier, np.full(120, "only"), {}),
    "labels": (MLPClassifier, (X[:, :3] > 5).astype(int), {"activation": "tanh"}),
    "a number": (MLPRegressor, X[:, 0], {"activation": "logistic"}),
    "numbers": (MLPRegressor, X[:, :2], {"hidden_layer_sizes": (9, 8)}),
    "counts": (MLPRegressor, CODES, {"loss": "poisson"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", TARGETS)
def test_what_the_pipeline_predicts(tmp_path: Path, target: str, dtype: str) -> None:
    make, y, options = TARGETS[target]
    x = X.astype(dtype)
    model = make_pipeline(StandardScaler(), make(max_iter=15, random_state=0, **options)).fit(x, y)
    for n in (1, 100):
        new = 5 + 3 * rows(n, (6,), dtype)
        found = run(exported(tmp_path, model), new)
        if make is MLPRegressor:
            close(found["prediction"], model.predict(new))
            continue
        close(found["probabilities"], model.predict_proba(new))
        assert found["label"].shape == model.predict(new).shape
        assert found["label"].tolist() == model.predict(new).tolist()


def test_tensors(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    with sklearn.config_context(array_api_dispatch=True):
        x = torch.asarray(X.astype("float32"))
        model = make_pipeline(MinMaxScaler(), MLPClassifier(max_iter=15, random_state=0)).fit(
            x, torch.asarray(CODES))
        found = run(exported(tmp_path, model), x.numpy())
        close(found["probabilities"], model.predict_proba(x).numpy())
        assert found["label"].tolist() == model.predict(x).tolist()
