from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ndonnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from in_onnxruntime import ROWS, close, exported, run
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from test_onnx_estimators import Classifier, data

from xpnet import SoftmaxWithLoss
from xpnet.onnx import export
from xpnet.onnx.scalers import SCALERS

PIPELINES: dict[str, list[Any]] = {
    "standard": [StandardScaler()],
    "not centred": [StandardScaler(with_mean=False)],
    "centred": [StandardScaler(with_std=False)],
    "neither": [StandardScaler(with_mean=False, with_std=False)],
    "to 0 … 1": [MinMaxScaler()],
    "to -2 … 3": [MinMaxScaler((-2, 3))],
    "clipped": [MinMaxScaler((-2, 3), clip=True)],
    "largest": [MaxAbsScaler()],
    "robust": [RobustScaler()],
    "robust, not centred": [RobustScaler(with_centering=False)],
    "robust, centred": [RobustScaler(with_scaling=False)],
    "two, and one that does nothing": [StandardScaler(), "passthrough", MinMaxScaler()],
    "none": ["passthrough"],
    "a pipeline within": [make_pipeline(StandardScaler(), MaxAbsScaler())],
}


def classifier(dtype: str = "float32") -> Classifier:
    return Classifier(SoftmaxWithLoss(), 3, dtype).named(np.arange(3))


def unscaled(n: int, dtype: str) -> Any:
    """Draw features, each of another size and place."""
    return data(n, dtype) * np.asarray([1, 10, 0.1, 3, 1, 5], dtype) + np.asarray([0, 20, 1, -1, 5, 0], dtype)


def test_there_is_a_case_for_each_scaler() -> None:
    assert {type(step).__name__ for steps in PIPELINES.values() for step in steps} >= {*SCALERS}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", PIPELINES.values(), ids=[*PIPELINES])
def test_pipelines(tmp_path: Path, steps: list[Any], dtype: str) -> None:
    pipeline = make_pipeline(*steps, classifier(dtype)).fit(unscaled(50, dtype))
    path = exported(tmp_path, pipeline)
    for n in ROWS[1:]:
        x = unscaled(n, dtype) * 2  # beyond what was seen, so that something is clipped
        found = run(path, x)
        close(found["probabilities"], pipeline.predict_proba(x))
        assert found["label"].tolist() == pipeline.predict(x).tolist()


def test_newer_scalers_clip(tmp_path: Path) -> None:
    scaler = MaxAbsScaler()
    if not hasattr(scaler, "clip"):
        pytest.skip("this scikit-learn's MaxAbsScaler has no clip")
    pipeline = make_pipeline(MaxAbsScaler(clip=True), classifier()).fit(unscaled(50, "float32"))
    x = 2 * unscaled(20, "float32")
    close(run(exported(tmp_path, pipeline), x)["probabilities"], pipeline.predict_proba(x))


def test_what_a_scaler_has_learnt_of_tensors(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    x = unscaled(50, "float32")
    scaler = StandardScaler().fit(x)
    expected = make_pipeline(scaler, classifier().fit(x)).predict_proba(x)
    scaler.mean_, scaler.scale_ = torch.asarray(scaler.mean_), torch.asarray(scaler.scale_)  # as by array API dispatch
    close(run(exported(tmp_path, make_pipeline(scaler, classifier().fit(x))), x)["probabilities"], expected)


class Doubling(StandardScaler):  # type: ignore[misc]
    def transform(self, x: Any, copy: Any = None) -> Any:
        return 2 * super().transform(x, copy)


@pytest.mark.parametrize("step", [Normalizer(), PolynomialFeatures(1, include_bias=False), Doubling()])
def test_other_steps_are_refused_by_name(tmp_path: Path, step: Any) -> None:
    pipeline = Pipeline([("first", StandardScaler()), ("second", step), ("last", classifier())]).fit(data(9))
    with pytest.raises(TypeError, match=rf'the step "second", a {type(step).__name__}; .*StandardScaler, MinMax'):
        export(pipeline, tmp_path / "model.onnx")


def test_a_scaler_that_is_not_fitted(tmp_path: Path) -> None:
    pipeline = Pipeline([("scaler", StandardScaler()), ("last", classifier().fit(data(9)))])
    with pytest.raises(ValueError, match='the step "scaler" is not fitted'):
        export(pipeline, tmp_path / "model.onnx")
