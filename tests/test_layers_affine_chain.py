"""Which layers become a chain, and that it is what they are; the kernels of the test are the definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpnet import SoftmaxWithLoss
from xpnet.functional import affine, affine_backward, relu, relu_backward
from xpnet.layers import Affine, BatchNormalization, Layer, Relu, Sigmoid
from xpnet.layers.affine_chain import AffineChain
from xpnet.networks import Network

calls: list[str] = []


def affine_chain(x: Any, Ws: list[Any], bs: list[Any]) -> tuple[Any, Any]:
    calls.append("forward")
    hidden = [(x, x)]
    for W, b in zip(Ws, bs, strict=True):
        y = affine(hidden[-1][1], W, b)
        hidden.append((y, relu(y)))
    return hidden[-1][0], (hidden, bs)


def affine_chain_backward(
    dout: Any, handed: Any, Ws: list[Any], found: Callable[[int, Any, Any], None], *, with_dx: bool
) -> Any:
    calls.append("backward" if with_dx else "backward without dx")
    hidden, bs = handed
    for k in reversed(range(len(Ws))):
        if k < len(Ws) - 1:
            dout = relu_backward(dout, hidden[k + 1][0])
        dout, dW, db = affine_backward(dout, hidden[k][1], Ws[k], bs[k])
        found(k, dW, db)
    return dout if with_dx else None


KERNELS = {f.__name__: f for f in (affine_chain, affine_chain_backward)}


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def dense(D: int, M: int, dtype: str = "float64") -> Affine:
    rng = np.random.default_rng(D * M)
    return Affine(rng.standard_normal((D, M)).astype(dtype), rng.standard_normal(M).astype(dtype))


def kinds(network: Network) -> str:
    """Name the layers by their first letters, those of a chain in brackets."""
    return "".join(f"[{''.join(type(leaf).__name__[0] for leaf in layer.layers.values())}]"
                   if isinstance(layer, AffineChain) else type(layer).__name__[0]
                   for layer in network.layers.values())


class OwnRelu(Relu):
    pass


@pytest.mark.parametrize(("layers", "found"), [
    ([dense(3, 4), Relu(), dense(4, 2)], "[ARA]"),
    ([dense(3, 4), Relu(), dense(4, 4), Relu(), dense(4, 2), Relu()], "[ARARA]R"),
    ([Relu(), dense(3, 4), Relu(), dense(4, 2)], "R[ARA]"),
    ([Sigmoid(), dense(3, 4), dense(4, 4), Relu(), dense(4, 2), dense(2, 2)], "SA[ARA]A"),
    ([dense(3, 4), Sigmoid(), dense(4, 4), Relu(), dense(4, 2), Sigmoid(), dense(2, 2), Relu(), dense(2, 2)],
     "AS[ARA]S[ARA]"),
    ([dense(3, 4), BatchNormalization(np.ones(4), np.zeros(4)), Relu(), dense(4, 2)], "ABRA"),
    ([dense(3, 4), OwnRelu(), dense(4, 2)], "AOA"),
    ([dense(3, 4), Relu(), Relu(), dense(4, 2)], "ARRA"),
    ([dense(3, 4)], "A"),
    ([Relu()], "R"),
])
def test_which_layers_become_chains(layers: list[Layer], found: str) -> None:
    network = Network(layers)
    fast = network.with_kernels(KERNELS)
    assert kinds(fast) == found
    assert kinds(network) == found.replace("[", "").replace("]", "")
    assert [leaf.name for leaf in fast.leaves()] == [leaf.name for leaf in network.leaves()]
    assert [*fast.params] == [*network.params]
    x, t = np.random.default_rng(0).standard_normal((5, 3)), np.array([0, 1, 1, 0, 1])
    expected, gradient = network.loss_and_gradient(x, t)
    loss, grads = fast.loss_and_gradient(x, t)
    np.testing.assert_array_equal(loss, expected)
    assert grads.keys() == gradient.keys()
    for name, g in gradient.items():
        np.testing.assert_array_equal(grads[name], g)
    assert ("forward" in calls) == ("[" in found)
    assert kinds(fast.with_kernels({})) == kinds(network.with_kernels({})) == kinds(network)
    assert kinds(fast.with_kernels(KERNELS)) == found


def chain() -> tuple[Network, Network]:
    network = Network([dense(4, 6), Relu(), dense(6, 3)], SoftmaxWithLoss(label_smoothing=0.1))
    return network, network.with_kernels(KERNELS)


def test_other_parameters_are_bound() -> None:
    network, fast = chain()
    params = {name: p + 1 for name, p in network.params.items()}
    x = np.ones((2, 4))
    for train_flg in (True, False):
        np.testing.assert_array_equal(fast.bind(params).predict(x, train_flg),
                                      network.bind(params).predict(x, train_flg))
    assert calls == ["forward"]  # in training alone


def test_backward_gives_dx_and_asks_for_none_in_training() -> None:
    network, fast = chain()
    x, dout = np.random.default_rng(1).standard_normal((2, 5, 4))[:, :, :4], np.ones((5, 3))
    network.forward(x[0])
    fast.forward(x[0])
    np.testing.assert_array_equal(fast.backward(dout), network.backward(dout))
    fast.loss_and_gradient(x[1], np.zeros(5, int))
    assert calls == ["forward", "backward", "forward", "backward without dx"]
    with pytest.raises(ValueError, match=r"wants dout of shape \(5, 3\); got \(5, 2\)"):
        fast.backward(dout[:, :2])


def test_gradients_are_told_of_one_by_one() -> None:
    _, fast = chain()
    told: list[Layer] = []

    def tell(layer: Affine) -> None:
        told.append(layer)
        assert [leaf.dW is not None for leaf in affines] == [len(told) == 2, True]

    affines = [leaf for leaf in fast.leaves() if isinstance(leaf, Affine)]
    part, = fast.layers.values()
    vars(part)["has_gone_backward"] = tell
    fast.forward(np.ones((5, 4)))
    fast.backward(np.ones((5, 3)))
    assert told == affines[::-1]


def test_what_is_no_plain_batch_of_rows_goes_through_the_layers() -> None:
    network, fast = chain()
    images, stack = np.ones((5, 2, 2)), {name: np.stack([p, 2 * p]) for name, p in network.params.items()}
    np.testing.assert_array_equal(fast.predict(images), network.predict(images))
    np.testing.assert_array_equal(fast.bind(stack).predict(images[None]),
                                  network.bind(stack).predict(images[None]))
    with pytest.raises(ValueError, match=r"Affine1 wants x of shape \(N, 4\)"):
        fast.predict(np.ones((5, 3)))
    half = Network([dense(4, 6, "float16"), Relu(), dense(6, 3, "float16")])
    half.with_kernels(KERNELS).predict(images)  # whose sums are float32's
    half.with_kernels(KERNELS).predict(np.ones((5, 4)))
    for b in (np.ones(1), np.ones(7), np.ones((2, 6))):
        network, fast = chain()
        fast.leaves()[0].b = network.leaves()[0].b = b  # type: ignore[attr-defined]
        refusals = []
        for each in (network, fast):
            with pytest.raises(ValueError, match="wants") as refusal:
                each.forward(np.ones((5, 4)))
            refusals.append(str(refusal.value))
        assert refusals[0] == refusals[1]
    network, fast = chain()
    narrow = {**network.params, "b1": np.ones(6, "float32")}
    with pytest.raises(TypeError, match="affine wants x, W, b and dout of one dtype"):
        fast.bind(narrow).forward(np.ones((5, 4)))
    wrong = Network([dense(4, 6), Relu(), dense(5, 3)]).with_kernels(KERNELS)
    with pytest.raises(ValueError, match="Affine2 wants x of shape"):
        wrong.predict(np.ones((5, 4)))
    assert calls == []


def test_a_gradient_of_what_went_layer_by_layer_does() -> None:
    network, fast = chain()
    fast.forward(np.ones((5, 4)))
    images, dout = np.ones((5, 2, 2)), np.ones((5, 3))
    for each in (network, fast):
        each.forward(images)
    np.testing.assert_array_equal(fast.backward(dout), network.backward(dout))
    fast.backward_params(dout)
    assert calls == ["forward"]


def test_arrays_on_an_autograd_tape_are_refused() -> None:
    torch = pytest.importorskip("torch")
    W, b = torch.ones((4, 4)), torch.ones(4)
    fast = Network([Affine(W, b), Relu(), Affine(W, b)]).with_kernels(KERNELS)
    with pytest.raises(TypeError, match="wants arrays off the autograd tape"):
        fast.forward(torch.ones((2, 4), requires_grad=True))
