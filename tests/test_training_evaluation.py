from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import deep_network, network, on_numpy, problem, train
from variants import Variant, make, params

from xpnet import (
    Affine,
    MeanSquaredError,
    Network,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    TwoLayerNet,
    evaluate,
    metrics,
)
from xpnet.functional import softmax_cross_entropy
from xpnet.initializers import Initializer


def test_it_measures_what_the_formulas_say(eager: Variant) -> None:
    x, t = problem(eager)
    net = deep_network(eager)
    found = evaluate(net, x, t, metrics=["accuracy", "confusion_matrix"], batch_size=25)
    y, labels = eager.backend.to_numpy(net.predict(x)), eager.backend.to_numpy(t)
    p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(60), labels]).mean(), rel=1e-10)
    said = y.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.mean(said == labels))
    assert found["confusion_matrix"] == [
        [int(((labels == i) & (said == j)).sum()) for j in range(3)] for i in range(3)]
    assert {type(n) for row in found["confusion_matrix"] for n in row} == {int}
    assert type(found["accuracy"]) is type(found["loss"]) is float


def test_metrics_by_function() -> None:
    x, t = on_numpy()
    net = network(make("numpy"))
    y = net.predict(x)
    found = evaluate(net, x, t, metrics={
        "top 2": lambda y, t: metrics.top_k_accuracy(y, t, 2), "largest": lambda y, t: float(y.max()),
        "rows": lambda y, t: len(t)})
    assert found["top 2"] == metrics.top_k_accuracy(y, t, 2)
    assert found["largest"] == y.max()
    assert found["rows"] == 60
    history = train(net, x, t, validation=(x, t), metrics={"rows": lambda y, t: len(t)}, epochs=1)
    assert history.epochs[0].validation["rows"] == 60


@pytest.mark.parametrize("variant", params("torch", "jax"))
def test_a_function_may_answer_in_numpy(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    found = evaluate(network(xp), x, t, metrics={
        "numpy's": lambda y, t: np.mean(xp.backend.to_numpy(t))})
    assert found["numpy's"] == float(np.mean(xp.backend.to_numpy(t)))


def test_by_default_what_suits_the_loss() -> None:
    x, t = on_numpy()
    for loss, labels, names in (
        (SoftmaxWithLoss(), t, ["loss", "accuracy"]),
        (SigmoidWithLoss(), np.eye(3)[t], ["loss", "binary_accuracy"]),
        (MeanSquaredError(), np.eye(3)[t], ["loss", "r2_score"]),
    ):
        net = Network([Affine(*Initializer(seed=0).affine(2, 3))], loss)
        assert list(evaluate(net, x, labels)) == names
        assert list(evaluate(net, x, labels, metrics=[])) == ["loss"]


@pytest.mark.parametrize("one_hot", ["numbers", "rows", "rows of integers"])
@pytest.mark.parametrize("variant", params("numpy", "strict", "torch"))
def test_a_stack_is_its_members(variant: str, one_hot: str) -> None:
    xp = make(variant)
    x, t = problem(xp, rows=3)  # as many as classes
    if one_hot != "numbers":
        t = xp.asarray(np.eye(3, dtype="int64" if "integers" in one_hot else "float64"))
    stack = evaluate(deep_network(xp, [4, 5]), x, t, metrics=["accuracy", "confusion_matrix",
                                                              "r2_score"][:2 + (one_hot == "rows")])
    for k, seed in enumerate((4, 5)):
        alone = evaluate(deep_network(xp, seed), x, t, metrics=[n for n in stack if n != "loss"])
        for name, value in alone.items():
            np.testing.assert_allclose(stack[name][k], value, rtol=1e-12)


def test_the_networks_own_penalty_is_no_part_of_the_loss() -> None:
    x, t = on_numpy()
    net = deep_network(make("numpy"))
    net.weight_decay_lambda = 10.0
    assert evaluate(net, x, t)["loss"] == pytest.approx(
        float(softmax_cross_entropy(net.predict(x), t)), rel=1e-12)


@pytest.mark.parametrize("variant", params("torch"))
def test_16_bits(variant: str) -> None:
    xp = make(variant)
    x, t = problem(xp)
    net = TwoLayerNet(2, 8, 3, seed=0, backend=xp.backend, dtype="bfloat16")
    found = evaluate(net, x, t)
    assert found["loss"] == pytest.approx(np.log(3), rel=0.02)
    assert 0 <= found["accuracy"] <= 1


BAD: dict[str, tuple[Any, str]] = {
    "None": (lambda y, t: None, "a number, or an array, wanted of the metric mine; got None"),
    "words": (lambda y, t: "good", "wanted of the metric mine; got 'good'"),
    "a dictionary": (lambda y, t: {}, "wanted of the metric mine; got {}"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_metric_that_gives_no_number(name: str) -> None:
    metric, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        evaluate(network(make("numpy")), *on_numpy(), metrics={"mine": metric})


def test_a_metric_that_gives_no_number_for_each_network() -> None:
    net = network(make("numpy"), seed=[0, 1])
    for answer in (1.0, [1.0, 2.0, 3.0]):
        metric: Any = lambda y, t, answer=answer: answer
        with pytest.raises(ValueError, match=r"2 values, one for each network, wanted of .* mine"):
            evaluate(net, *on_numpy(), metrics={"mine": metric})
    assert evaluate(net, *on_numpy(), metrics={"mine": lambda y, t: [1, 2]})["mine"] == [1, 2]


def test_bad_input() -> None:
    x, t = on_numpy()
    net = network(make("numpy"))
    with pytest.raises(ValueError, match=r"evaluate wants batch_size to be a whole .* got 0"):
        evaluate(net, x, t, batch_size=0)
    with pytest.raises(ValueError, match=r"evaluation data \(x \(60, 1\) .*Affine1 wants x"):
        evaluate(net, x[:, :1], t)
    with pytest.raises(ValueError, match="evaluation data: labels from 0 to 2 wanted"):
        evaluate(net, x, t + 1)


def test_the_network_is_left_alone() -> None:
    x, t = on_numpy()
    net = deep_network(make("numpy"))
    held = {name: (a, a.copy()) for name, a in {**net.params, **net.state}.items()}
    evaluate(net, x, t)
    for name, a in {**net.params, **net.state}.items():
        assert a is held[name][0]
        np.testing.assert_array_equal(a, held[name][1])
