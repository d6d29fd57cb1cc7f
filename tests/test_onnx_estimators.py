from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from in_onnxruntime import ROWS, Host, close, exported, rows, run, session
from packaging.version import Version
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpnet import MeanSquaredError, MultiLayerNet, SigmoidWithLoss, SoftmaxWithLoss, get_backend
from xpnet.losses import Loss
from xpnet.onnx import export

FEATURES = 6
# Until then, the largest of no rows' scores have the scores' shape.
LABELLED = ROWS if Version(onnxruntime.__version__) >= Version("1.32") else ROWS[1:]


class StandIn(BaseEstimator):  # type: ignore[misc]
    """An estimator as those of `xpnet.sklearn` are once they have been fitted, with weights that were drawn."""

    def __init__(self, loss: Loss, columns: int, dtype: str = "float32", backend: str = "numpy") -> None:
        self.loss = loss
        self.columns = columns
        self.dtype = dtype
        self.backend = backend

    def fit(self, x: Host, y: object = None) -> StandIn:
        self.n_features_in_ = x.shape[1]
        self.network_ = MultiLayerNet(
            x.shape[1], [7], self.columns, use_batchnorm=True, seed=0, dtype=self.dtype, backend=self.backend)
        self.network_.last_layer = self.loss
        return self

    def _predictions(self, x: Host) -> Host:
        backend = get_backend(self.backend)
        scores = self.network_.predict(backend.asarray(x, self.dtype))
        return backend.to_numpy(self.network_.last_layer.predictions(scores))


class Classifier(StandIn):
    def named(self, classes: object, multilabel: bool = False) -> Classifier:
        self.classes_, self.multilabel = classes, multilabel
        return self

    def predict_proba(self, x: Host) -> Host:
        y = self._predictions(x)
        return np.concat([1 - y, y], axis=1) if self.columns == 1 else y

    def predict(self, x: Host) -> Host:
        y = self.predict_proba(x)
        if self.multilabel:
            return (y > 0.5).astype(np.int64)
        return np.asarray(self.classes_)[np.argmax(y, axis=1)]


class Regressor(StandIn):
    def predict(self, x: Host) -> Host:
        y = self._predictions(x)
        return y[:, 0] if y.shape[1] == 1 else y


def data(n: int, dtype: str = "float32") -> Host:
    return rows(n, (FEATURES,), dtype)


def same_labels(actual: Host, expected: Host) -> None:
    assert actual.shape == expected.shape
    assert actual.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_every_library(tmp_path: Path, backend: str, dtype: str) -> None:
    pytest.importorskip({"strict": "array_api_strict"}.get(backend, backend), reason=f"{backend} is not installed")
    get_backend(backend).enable_float64()
    model = Classifier(SoftmaxWithLoss(), 3, dtype, backend).fit(data(9)).named(np.asarray([0, 1, 2]))
    x = data(100, dtype)
    found = run(exported(tmp_path, model), x)
    assert [*found] == ["label", "probabilities"]
    same_labels(found["label"], model.predict(x))
    close(found["probabilities"], model.predict_proba(x))


@pytest.mark.parametrize(("classes", "kind"), [
    (np.asarray([0, 1, 2]), "tensor(int64)"), (np.asarray([3, 5, -8], np.int8), "tensor(int64)"),
    (np.asarray(["ant", "bee", "Käfer"]), "tensor(string)"),
    (np.asarray(["ant", "bee", "cat"], object), "tensor(string)"),
    (np.asarray([0.5, 1.5, 2.5]), "tensor(double)"),
])
def test_classes(tmp_path: Path, classes: Any, kind: str) -> None:
    model = Classifier(SoftmaxWithLoss(), 3).fit(data(9)).named(classes)
    path = exported(tmp_path, model)
    for n in LABELLED:
        x = data(n)
        found = run(path, x)
        same_labels(found["label"], model.predict(x))
        close(found["probabilities"], model.predict_proba(x))
    of_label, of_probabilities = session(path).get_outputs()
    assert (of_label.type, of_label.shape) == (kind, ["N"])
    assert (of_probabilities.type, of_probabilities.shape) == ("tensor(float)", ["N", 3])


@pytest.mark.parametrize("classes", [np.asarray([0, 1]), np.asarray([-1, 1]), np.asarray(["no", "yes"]),
                                     np.asarray([False, True])])
def test_two_classes(tmp_path: Path, classes: Any) -> None:
    model = Classifier(SigmoidWithLoss(), 1).fit(data(9)).named(classes)
    path = exported(tmp_path, model)
    for n in ROWS:
        x = data(n)
        found = run(path, x)
        same_labels(found["label"], model.predict(x))
        close(found["probabilities"], model.predict_proba(x))
        assert found["probabilities"].shape == (n, 2)


def test_a_single_class(tmp_path: Path) -> None:
    model = Classifier(SigmoidWithLoss(), 1).fit(data(9)).named(np.asarray(["only"]))
    path = exported(tmp_path, model)
    for n in ROWS:
        found = run(path, data(n))
        same_labels(found["label"], np.asarray(["only"] * n))
        close(found["probabilities"], np.ones((n, 1), "float32"))


def test_several_labels_a_row(tmp_path: Path) -> None:
    model = Classifier(SigmoidWithLoss(), 4).fit(data(9)).named(np.arange(4), multilabel=True)
    path = exported(tmp_path, model)
    for n in ROWS:
        x = data(n)
        found = run(path, x)
        same_labels(found["label"], model.predict(x))
        close(found["probabilities"], model.predict_proba(x))
    assert found["label"].dtype == np.int64


@pytest.mark.parametrize("columns", [1, 3])
def test_regression(tmp_path: Path, columns: int) -> None:
    model = Regressor(MeanSquaredError(), columns).fit(data(9))
    path = exported(tmp_path, model, (FEATURES,))
    for n in ROWS:
        x = data(n)
        found = run(path, x)
        assert [*found] == ["prediction"]
        close(found["prediction"], model.predict(x))
    assert session(path).get_outputs()[0].shape == ["N", 3][:1 + (columns > 1)]


def test_classes_of_another_library(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    model = Classifier(SoftmaxWithLoss(), 3).fit(data(9)).named(torch.asarray([4, 5, 6]))
    x = data(100)
    same_labels(run(exported(tmp_path, model), x)["label"], model.predict(x))


def test_metadata(tmp_path: Path) -> None:
    model = Classifier(SoftmaxWithLoss(), 3).fit(data(9)).named(np.asarray(["ant", "bee", "cat"]))
    model.feature_names_in_ = np.asarray([*"abcdef"], object)
    about = json.loads(
        session(exported(tmp_path, make_pipeline(StandardScaler().fit(data(9)), model)))
        .get_modelmeta().custom_metadata_map["xpnet"])
    assert {name: about[name] for name in ("estimator", "scalers", "labels", "features", "inputs", "outputs")} == {
        "estimator": "Classifier", "scalers": {"standardscaler": "StandardScaler"},
        "labels": ["ant", "bee", "cat"], "features": ["a", "b", "c", "d", "e", "f"],
        "inputs": {"x": {"shape": ["N", 6], "dtype": "float32"}},
        "outputs": {"label": {"shape": ["N"], "dtype": "utf8"},
                    "probabilities": {"shape": ["N", 3], "dtype": "float32"}},
    }


def fitted() -> Classifier:
    return Classifier(SoftmaxWithLoss(), 3).fit(data(9)).named(np.arange(3))


@pytest.mark.parametrize(("model", "kwargs", "error", "words"), [
    (Classifier(SoftmaxWithLoss(), 3), {}, ValueError, "a fitted estimator; this Classifier has no n_features_in_"),
    (make_pipeline(StandardScaler(), Classifier(SoftmaxWithLoss(), 3)), {}, ValueError, "a fitted estimator"),
    (LogisticRegression().fit(data(9), np.arange(9) % 2), {}, TypeError, "an estimator of xpnet.*LogisticRegression"),
    (make_pipeline(StandardScaler()).fit(data(9)), {}, TypeError, "an estimator of xpnet.*StandardScaler"),
    (fitted(), {"input_shape": (7,)}, ValueError, r"no input_shape but \(6,\) for this estimator.*\(7,\)"),
    (fitted(), {"labels": [1, 2, 3]}, ValueError, "for networks alone: an estimator's classes"),
    (fitted(), {"predictions": True}, ValueError, "for networks alone"),
    (fitted().named(np.asarray([1 + 1j, 2, 3])), {}, TypeError, "classes that are numbers or strings; got"),
])
def test_refused(tmp_path: Path, model: Any, kwargs: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        export(model, tmp_path / "model.onnx", **kwargs)
    assert list(tmp_path.iterdir()) == []
