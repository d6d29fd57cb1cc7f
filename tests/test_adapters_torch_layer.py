"""Modules of PyTorch as layers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from xpnet import (
    SGD,
    Adam,
    Checkpoints,
    MeanSquaredError,
    Network,
    Predictor,
    Relu,
    Sequential,
    evaluate,
    fit,
    load_weights,
    save_weights,
)
from xpnet.adapters import from_torch
from xpnet.testing import check_gradients, check_layer
from xpnet.training.batches import epoch_batches

X = torch.randn((8, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn((4, 2, 5, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(1))

MODULES: dict[str, tuple[Any, Any]] = {
    "Linear": (lambda: nn.Linear(6, 4), X),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), IMAGES),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), IMAGES),
    "LayerNorm": (lambda: nn.LayerNorm(6), X),
    "GELU": (nn.GELU, X),
    "Identity": (nn.Identity, X),
    "MLP": (lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.Linear(5, 3)), X),
}


def made(name: str) -> Any:
    torch.manual_seed(0)
    return MODULES[name][0]().double()


def on_tape(module: Any, x: Any, dout: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Give output and gradients as autograd has them."""
    x = x.clone().requires_grad_()
    y = module(x)
    params = dict(module.named_parameters())
    dx, *grads = torch.autograd.grad(y, [x, *params.values()], dout)
    return y.detach(), dx, dict(zip(params, grads, strict=True))


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MODULES)
def test_it_computes_what_the_module_does(name: str, train: bool) -> None:
    module, x = made(name), MODULES[name][1]
    layer, before = from_torch(module), copy.deepcopy(module.state_dict())
    dout = torch.ones_like(module(x)) + 1
    module.load_state_dict(before)
    y = layer.forward(x, train)  # type: ignore[call-arg]
    dx = layer.backward(dout)
    assert all(torch.equal(module.state_dict()[key], a) for key, a in before.items())  # left as it was
    assert module.training
    expected = on_tape(module.train(train), x, dout)
    assert torch.equal(y, expected[0])
    assert torch.equal(dx, expected[1])
    assert layer.grads.keys() == expected[2].keys()
    for key, g in layer.grads.items():
        assert torch.equal(g, expected[2][key])
    for key, s in layer.state.items():
        assert torch.equal(s, module.state_dict()[key])
    assert not y.requires_grad
    assert torch.equal(layer.backward(dout), dx)  # once more


def test_what_was_learnt_comes_back_into_the_module() -> None:
    module = made("MLP")
    net = Network([from_torch(module)], MeanSquaredError())
    assert list(net.params) == [f"{name}1" for name, _ in module.named_parameters()]
    fit(net, X, X[:, :3], optimizer=Adam(0.01), epochs=3, batch_size=4, progress=False)
    layer = net.layers["TorchLayer1"]
    assert not torch.equal(layer.params["0.weight"], module[0].weight)
    assert {*layer.params, *layer.state} == {*module.state_dict()}
    module.load_state_dict({**layer.params, **layer.state})
    assert int(module[1].num_batches_tracked) == 6
    assert torch.equal(module.eval()(X).detach(), net.predict(X))


def test_fit_is_training_in_pytorch() -> None:
    body, head = made("MLP"), nn.Linear(3, 2).double()
    plain = nn.Sequential(copy.deepcopy(body), nn.ReLU(), copy.deepcopy(head))
    net = Network([from_torch(body), Relu(), from_torch(head)])
    t = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    history = fit(net, X, t, optimizer=SGD(0.3), epochs=3, batch_size=4, seed=2, progress=False)
    optimizer, losses = torch.optim.SGD(plain.parameters(), 0.3), []
    for epoch in (1, 2, 3):
        for rows in epoch_batches(8, 4, 2, epoch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(plain(X[rows]), t[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose([e.loss for e in history.epochs], np.reshape(losses, (3, 2)).mean(1), rtol=1e-12)
    np.testing.assert_allclose(net.predict(X), plain.eval()(X).detach(), rtol=1e-10, atol=1e-12)
    found = evaluate(net, X, t)["loss"]
    assert found == pytest.approx(nn.functional.cross_entropy(plain(X), t).item(), rel=1e-9)
    np.testing.assert_allclose(Predictor(net)(X), net.predict(X), rtol=1e-12)


def test_each_step_is_called_not_played() -> None:
    calls = []

    class Counting(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            calls.append(self.training)
            return self.linear(x)

    net = Network([from_torch(Counting().double())])
    assert not net.is_recordable()
    fit(net, X, torch.zeros(8, dtype=torch.int64), optimizer=SGD(0.1), epochs=5, batch_size=4, progress=False)
    assert calls.count(True) == 10  # one look at the data is no training


def test_weights_and_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    t = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])

    def net() -> Network:
        return Network([from_torch(made("MLP"))])

    trained, halves = net(), net()
    options: dict[str, Any] = {"optimizer": Adam(0.05), "batch_size": 4, "progress": False}
    fit(trained, X, t, epochs=4, **options)
    fit(halves, X, t, epochs=2, checkpoints=Checkpoints(tmp_path / "c"), **options)
    halves = net()
    fit(halves, X, t, epochs=4, checkpoints=Checkpoints(tmp_path / "c"), resume=True, **options)
    save_weights(tmp_path / "w.safetensors", trained)
    loaded = net()
    load_weights(tmp_path / "w.safetensors", loaded)
    for other in (loaded, halves):
        assert torch.equal(other.predict(X), trained.predict(X))
        assert int(other.state["1.num_batches_tracked1"]) == 8


def test_what_is_frozen_stays() -> None:
    module = made("MLP")
    module[0].requires_grad_(False)
    module[1].eval()
    layer = from_torch(module)
    assert list(layer.params) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert {"0.weight", "0.bias", "1.running_mean"} < {*layer.state}
    net = Network([layer], MeanSquaredError())
    fit(net, X, X[:, :3], optimizer=SGD(0.1), epochs=1, batch_size=4, progress=False)
    for name in ("0.weight", "0.bias", "1.running_mean"):
        assert torch.equal(net.state[f"{name}1"], module.state_dict()[name])
    assert not torch.equal(net.params["3.weight1"], module[3].weight)
    assert from_torch(made("MLP").eval()).forward(X[:1] + X[1:2], False) is not None  # type: ignore[call-arg]


def test_buffers_may_be_replaced() -> None:
    class Counting(nn.Module):  # type: ignore[misc]
        calls: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Any) -> Any:
            self.calls = self.calls + 1
            return x * self.calls

    layer = from_torch(Counting())
    for k in (1, 2, 3):
        assert torch.equal(layer.forward(X), k * X)
    assert layer.state["calls"] == 3
    layer.forward(X, False)  # type: ignore[call-arg]
    assert layer.state["calls"] == 3


def test_shared_parameters_are_one() -> None:
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)).double()
    module[2].weight = module[0].weight
    layer, dout = from_torch(module), torch.ones((8, 6), dtype=torch.float64)
    assert list(layer.params) == ["0.weight", "0.bias", "2.bias"]
    layer.forward(X)
    layer.backward(dout)
    for key, g in on_tape(module, X, dout)[2].items():
        assert torch.equal(layer.grads[key], g)


def test_arrays_are_copies_and_bound_ones_are_used() -> None:
    module = made("Linear")
    layer = from_torch(module)
    module.weight.data += 1
    assert not torch.equal(layer.params["weight"], module.weight)
    bound = layer.bind({"weight": 0 * X[:4]})
    assert torch.equal(bound.forward(X), layer.params["bias"].expand(8, 4))
    assert bound.forward(X).shape == (8, 4)


def test_no_gradient_where_there_is_none() -> None:
    class Constant(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = (nn.Parameter(torch.ones(3)) for _ in range(2))
            self.fixed = torch.ones(3)  # no buffer, and so not to be seen

        def forward(self, x: Any) -> Any:
            return self.used[x] + self.fixed[x] if x.dtype == torch.int64 else 0 * self.fixed

    layer, rows = from_torch(Constant()), torch.tensor([0, 2, 2])
    assert layer.forward(rows).tolist() == [2, 2, 2]
    assert layer.backward(torch.ones(3)) is None
    assert layer.grads["used"].tolist() == [1, 0, 2]
    assert layer.grads["unused"].tolist() == [0, 0, 0]
    layer.forward(torch.ones(2))
    assert layer.backward(torch.ones(3)).tolist() == [0, 0]
    assert layer.grads["used"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["Linear", "BatchNorm2d", "MLP"])
def test_layer_and_gradient_checks(name: str) -> None:
    layer, x = from_torch(made(name)), MODULES[name][1]
    assert check_gradients(layer, x)
    report = check_layer(layer, x, skip=["read-only", "jax jit", "jax vjp", "torch autograd",
                                         "array-api-strict", "no rows", "one row"])
    assert report, str(report)


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"TorchLayer wants a torch.nn.Module; got <built-in"):
        from_torch(torch.relu)
    layer = from_torch(made("Linear"))
    with pytest.raises(RuntimeError, match=r"TorchLayer.backward wants a forward before it"):
        layer.backward(X)
    with pytest.raises(TypeError, match="TorchLayer wants a tensor of PyTorch's; got ndarray"):
        layer.forward(X.numpy())
    with pytest.raises(TypeError, match=r"TorchLayer .* requires_grad=True: pass x.detach"):
        layer.forward(X.clone().requires_grad_())
    layer.forward(X)
    with pytest.raises(ValueError, match=r"TorchLayer wants dout of shape \(8, 4\); got \(8, 6\)"):
        layer.backward(X)
    with pytest.raises(TypeError, match="TorchLayer wants a module that gives a tensor; got tuple"):
        from_torch(nn.GRU(6, 3).double()).forward(X)
    stack = {name: p[None] for name, p in layer.params.items()}
    with pytest.raises(ValueError, match="TorchLayer computes for one network, and not for a stack"):
        layer.bind(stack).forward(X[None])
    with pytest.raises(ValueError, match="TorchLayer1 computes for one network"):
        Network([layer], MeanSquaredError()).numerical_gradient(X, X[:, :4])

    class Named(nn.Module):  # type: ignore[misc]
        def __init__(self, *names: str) -> None:
            super().__init__()
            for name in names:
                self.register_parameter(name, nn.Parameter(torch.ones(2)))

    for names in (["counter"], ["b", "db"], ["name"], ["raws"]):
        with pytest.raises(ValueError, match=r"TorchLayer wants parameters of other names: .*two attributes"):
            from_torch(Named(*names))
    assert Sequential([from_torch(Named("b", "c"))]).params.keys() == {"b1", "c1"}
