"""Layers, networks and losses as modules of PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from adapted import CASES, LOSSES, in_torch, loss_in_torch
from small_training import deep_network, network
from variants import make

from xpnet import (
    SGD,
    Adam,
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    MeanSquaredError,
    Momentum,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    TwoLayerNet,
    get_backend,
)
from xpnet.adapters import from_torch, to_torch
from xpnet.adapters.things import parts
from xpnet.layers import Layer

RTOL, ATOL = 1e-12, 1e-13
RNG = np.random.default_rng(3)
each_case = pytest.mark.parametrize("name", CASES)
each_mode = pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])


def near(found: Any, expected: Any) -> None:
    """Compare to rounding, of the largest element."""
    __tracebackhide__ = True
    a, b = (np.asarray(x.detach()) for x in (found, expected))
    np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL * max(1.0, np.abs(b).max(initial=0)))


def tensor(x: Any, requires_grad: bool = False) -> Any:
    return torch.tensor(x, requires_grad=requires_grad)


def affine(d: int = 6, m: int = 5) -> Affine:
    return Affine(RNG.standard_normal((d, m)), RNG.standard_normal(m))


X = RNG.standard_normal((4, 6))


@each_mode
@each_case
def test_gradients_are_autograds_of_the_same_in_pytorch(name: str, train: bool) -> None:
    layer = CASES[name].make()
    module = to_torch(layer).train(train)
    x, twin_x = (tensor(CASES[name].inputs[0], requires_grad=True) for _ in range(2))
    twins = {key: p.detach().clone().requires_grad_() for key, p in module.named_parameters()}
    expected = in_torch(layer, twins, twin_x, train)
    y = module(x)
    near(y, expected)
    dout = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
    y.backward(dout)
    expected.backward(dout)
    near(x.grad, twin_x.grad)
    assert [key for key, _ in module.named_parameters()] == list(layer.params)
    for key, p in module.named_parameters():
        near(p.grad, twins[key].grad)


@each_case
def test_the_module_goes_on_as_the_layer_does(name: str) -> None:
    layer, x = CASES[name].make(), CASES[name].inputs[0]
    module = to_torch(layer)
    forward = getattr(layer, "predict", layer.forward)
    options = {"train_flg": True} if layer.has_train_flg else {}
    for _ in range(3):  # with other masks, and other running averages, each time
        near(module(tensor(x)), torch.tensor(forward(x, **options)))
    for key, s in layer.state.items():
        near(module.get_buffer(key), torch.tensor(s))
    module.eval()
    near(module(tensor(x)), torch.tensor(forward(x, **({"train_flg": False} if options else {}))))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_pytorchs(name: str) -> None:
    for case in LOSSES[name]:
        x, twin = (tensor(case.inputs[0], requires_grad=True) for _ in range(2))
        others = [tensor(a) for a in case.inputs[1:]]
        loss, expected = to_torch(case.make())(x, *others), loss_in_torch(case.make(), twin, *others)
        assert loss.ndim == 0
        near(loss, expected)
        (3 * loss).backward()
        (3 * expected).backward()
        near(x.grad, twin.grad)


@pytest.mark.parametrize("name", ["BatchNormalization", "Convolution", "Residual", "TwoLayerNet"])
def test_gradcheck(name: str) -> None:
    module = to_torch(CASES[name].make())
    x = tensor(CASES[name].inputs[0], requires_grad=True)
    names, params = zip(*module.named_parameters(), strict=True)

    def f(x: Any, *params: Any) -> Any:
        return torch.func.functional_call(module, dict(zip(names, params, strict=True)), (x,))

    assert torch.autograd.gradcheck(f, (x, *params))


@pytest.mark.parametrize(("ours", "theirs"), [
    (SGD(0.3), lambda params: torch.optim.SGD(params, 0.3)),
    (Momentum(0.1, momentum=0.8), lambda params: torch.optim.SGD(params, 0.1, momentum=0.8)),
    (Adam(0.01), lambda params: torch.optim.Adam(params, 0.01)),
], ids=["SGD", "Momentum", "Adam"])
def test_training_in_pytorch_is_training_in_xpnet(ours: Any, theirs: Any) -> None:
    net = deep_network(make("numpy"))
    scores, loss_of = to_torch(net), to_torch(net.last_layer)
    x, t = RNG.standard_normal((20, 2)), RNG.integers(0, 3, 20)
    optimizer, state = theirs(scores.parameters()), ours.init(net.params)
    for _ in range(5):
        optimizer.zero_grad()
        loss = loss_of(scores(tensor(x)), tensor(t))
        loss.backward()
        optimizer.step()
        expected, grads = net.loss_and_gradient(x, t)
        params, state = ours.update(net.params, grads, state)
        net.params.update(params)
        assert loss.item() == pytest.approx(float(expected), rel=1e-9)
    for key, p in {**net.params, **net.state}.items():
        np.testing.assert_allclose(scores.state_dict()[key], p, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("library", ["numpy", "jax", "torch"])
def test_what_was_learnt_comes_back_into_the_network(library: str) -> None:
    pytest.importorskip(library)
    xp = make(library)
    net = deep_network(xp)
    before = {name: np.array(xp.backend.to_numpy(p)) for name, p in net.params.items()}
    module = to_torch(net)
    x, t = RNG.standard_normal((9, 2)), RNG.integers(0, 3, 9)
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    to_torch(net.last_layer)(module(tensor(x)), tensor(t)).backward()
    optimizer.step()
    for name, p in net.params.items():  # copies were trained
        xp.check(p, before[name], rtol=0)
    for own in (net.params, net.state):
        own.update({name: xp.asarray(module.state_dict()[name].numpy()) for name in own})
    expected = module.eval()(tensor(x)).detach().numpy()
    xp.check(net.predict(xp.asarray(x)), expected, rtol=1e-12)
    assert not np.allclose(xp.backend.to_numpy(net.params["W1"]), before["W1"])


def test_a_layer_within_a_model_of_pytorchs() -> None:
    torch.manual_seed(0)
    first, last, ours = torch.nn.Linear(6, 8).double(), torch.nn.Linear(5, 3).double(), affine(8, 5)
    twin = torch.nn.Linear(8, 5).double()
    twin.weight.data, twin.bias.data = tensor(ours.W.T.copy()), tensor(ours.b)
    adapted = torch.nn.Sequential(first, to_torch(Relu()), to_torch(ours), torch.nn.Tanh(), last)
    plain = torch.nn.Sequential(copy.deepcopy(first), torch.nn.ReLU(), twin, torch.nn.Tanh(),
                                copy.deepcopy(last))
    t = tensor([0, 2, 1, 1])
    for model, loss_of in ((adapted, to_torch(SoftmaxWithLoss())), (plain, torch.nn.CrossEntropyLoss())):
        optimizer = torch.optim.AdamW(model.parameters(), 0.05)
        for _ in range(4):
            optimizer.zero_grad()
            loss_of(model(tensor(X)), t).backward()
            optimizer.step()
    near(adapted(tensor(X)), plain(tensor(X)))


# What PyTorch's users expect ----------------------------------------------------------------------


def test_state_dict_deepcopy_and_resumption() -> None:
    net = deep_network(make("numpy"))
    module = to_torch(net)
    x = tensor(RNG.standard_normal((5, 2)))
    assert list(module.state_dict()) == [*net.params, *net.state, "counter1", "counter2"]
    module(x)
    twin, loaded = copy.deepcopy(module), to_torch(deep_network(make("numpy"), seed=7))
    assert loaded.load_state_dict(module.state_dict())
    expected = [module(x) for _ in range(2)]  # other masks each time, and running averages
    for other in (twin, loaded):
        for y in expected:
            assert torch.equal(other(x), y)
    assert not torch.equal(*expected)


def test_dtype_and_device() -> None:
    net = deep_network(make("numpy"))
    module = to_torch(net)
    x = tensor(RNG.standard_normal((5, 2)), requires_grad=True)
    module.float()(x).sum().backward()  # a network casts its input
    assert {p.grad.dtype for p in module.parameters()} == {torch.float32}
    assert x.grad.dtype == torch.float64
    assert module.counter1.tolist() == [0, 1]
    module.to("meta")
    assert module(torch.empty((5, 2), device="meta")).device.type == "meta"
    weighted = to_torch(SoftmaxWithLoss(0.1, np.ones(3))).float()
    assert weighted.class_weights.dtype == torch.float32
    assert weighted(torch.zeros(2, 3), tensor([0, 1])).dtype == torch.float32
    bytes_ = torch.arange(10, dtype=torch.uint8).reshape(5, 2)
    near(to_torch(net).eval()(bytes_), torch.tensor(net.predict(bytes_.numpy())))


def test_gradients_accumulate_and_a_graph_may_be_kept() -> None:
    module, x = to_torch(affine()), tensor(X)
    module(x).sum().backward()
    once = module.W.grad.clone()
    module(x).sum().backward()
    near(module.W.grad, 2 * once)
    y = module(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    near(module.W.grad, 4 * once)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_each_call_remembers_its_own() -> None:
    square = Affine(*(RNG.standard_normal(s) for s in ((6, 6), 6)))
    module = to_torch(Network([square, Sigmoid()]))
    twin = {key: p.detach().clone().requires_grad_() for key, p in module.named_parameters()}
    x, z = tensor(X), tensor(X[::-1].copy())

    def f(run: Any) -> Any:
        return (run(run(x)) * run(z)).sum()  # the module three times in a graph

    f(module).backward()
    f(lambda x: torch.sigmoid(x @ twin["W1"] + twin["b1"])).backward()
    for key, p in module.named_parameters():
        near(p.grad, twin[key].grad)


def test_what_needs_no_gradient_gets_none() -> None:
    module, x = to_torch(affine()), tensor(X, requires_grad=True)
    with torch.no_grad():
        assert not module(x).requires_grad
    module.W.requires_grad_(False)
    module(x.detach()).sum().backward()
    assert module.W.grad is None
    near(module.b.grad, torch.full((5,), 4.0, dtype=torch.float64))
    module.b.requires_grad_(False)
    assert not module(x.detach()).requires_grad
    module(x).sum().backward()
    near(x.grad, module.W.sum(1).expand(4, 6))
    assert not to_torch(Relu())(x.detach()).requires_grad


def test_it_is_differentiated_once() -> None:
    x = tensor(X, requires_grad=True)
    for y in (to_torch(Sigmoid())(x), to_torch(Sigmoid())(x) * x):
        grad, = torch.autograd.grad(y.sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiate twice what xpnet differentiates once"):
            (grad.sum() + x.sum()).backward()


def test_what_was_written_into_before_the_backward_is_refused() -> None:
    module, x = to_torch(affine()), tensor(X, requires_grad=True)
    y = module(x)
    with torch.no_grad():
        module.W += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = to_torch(Sigmoid())(x)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    module.zero_grad()
    torch.relu_(module(x)).sum().backward()  # the output of Affine is not needed
    near(module.b.grad, (module(x) > 0).double().sum(0))


def test_an_output_may_be_written_into_where_it_would_be_a_view() -> None:
    images = X.reshape(4, 2, 3, 1)
    x = tensor(images, requires_grad=True)
    z = 2 * x
    y = to_torch(Flatten())(z)
    y.mul_(3)
    (y.sum() + z.sum()).backward()
    near(x.grad, torch.full(x.shape, 8.0, dtype=torch.float64))
    near(z, tensor(2 * images))


def test_parameters_may_be_parametrized() -> None:
    class Doubled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, W: Any) -> Any:
            return 2 * W

    layer = affine()
    module = to_torch(layer)
    torch.nn.utils.parametrize.register_parametrization(module, "W", Doubled())
    module(tensor(X)).sum().backward()
    near(module(tensor(X)), tensor(X @ (2 * layer.W) + layer.b))
    near(module.parametrizations.W.original.grad, tensor(2 * np.repeat(X.sum(0)[:, None], 5, 1)))


def test_what_a_layer_remembers_is_pytorchs_to_free() -> None:
    y = to_torch(Network([affine(), Sigmoid()]))(tensor(X))
    layer = y.grad_fn.bound

    def held() -> list[str]:
        return [name for part in parts(layer) for name, a in vars(part).items() if isinstance(a, torch.Tensor)]

    assert len(y.grad_fn.saved_tensors) == 5  # x, W1 and b1; Sigmoid's x and y
    assert held() == []
    y.sum().backward()
    assert held() == []
    with pytest.raises(RuntimeError, match="second time"):
        _ = y.grad_fn.saved_tensors


def test_activations_can_be_saved_elsewhere() -> None:
    packed = []

    def pack(a: Any) -> Any:
        packed.append(a.shape)
        return a.clone()

    x = tensor(X, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda a: a):
        y = to_torch(Sigmoid())(x)
    y.sum().backward()
    near(x.grad, (y * (1 - y)))
    assert len(packed) == 2


@pytest.mark.parametrize("reentrant", [True, False])
def test_activations_can_be_computed_again_but_not_drawn_again(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    def grad(module: Any, run: Any) -> Any:
        x = tensor(X, requires_grad=True)
        run(module, x).sum().backward()
        return x.grad

    def again(module: Any, x: Any) -> Any:
        return checkpoint(module, x, use_reentrant=reentrant)

    module = to_torch(Network([affine(), Sigmoid()]))
    near(grad(module, again), grad(module, lambda module, x: module(x)))
    module = to_torch(Network([affine(), Dropout(0.5)]))
    near(grad(module.eval(), again), grad(module, lambda module, x: module(x)))
    with pytest.raises(RuntimeError, match=r"Network goes forward within a backward.*other random numbers"):
        grad(module.train(), again)


def test_a_stack_is_a_stack() -> None:
    stack = TwoLayerNet(6, 5, 3, "he", seed=[1, 2], dtype="float64")
    module, loss_of = to_torch(stack), to_torch(stack.last_layer)
    t = tensor([0, 2, 1, 1])
    losses = loss_of(module(tensor(X)), t)
    assert losses.shape == (2,)
    losses.sum().backward()
    for k in range(2):
        one = stack.member(k)
        loss, grads = one.loss_and_gradient(X, t.numpy())
        near(losses[k], torch.tensor(loss))
        for key, g in grads.items():
            near(module.get_parameter(key).grad[k], torch.tensor(g))


def test_kernels_of_the_backend_compute() -> None:
    net = Network([Convolution(RNG.standard_normal((3, 2, 3, 3)), RNG.standard_normal(3))])
    plain, fast = to_torch(net), to_torch(net.with_kernels(get_backend("torch").kernels))
    x = tensor(RNG.standard_normal((2, 2, 5, 5)))
    for module in (plain, fast):
        module(x).sum().backward()
    near(fast.W1.grad, plain.W1.grad)
    assert "Convolution" in {type(layer).__name__ for layer in fast._layer.layers.values()}


def test_the_layer_is_left_as_it_is() -> None:
    norm, dropout = BatchNormalization(np.ones(6), np.zeros(6)), Dropout(0.5)
    for layer in (norm, dropout):
        before = dict(vars(layer))
        to_torch(layer)(tensor(X))
        assert vars(layer).keys() == before.keys()
        assert all(vars(layer)[name] is value for name, value in before.items())


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "strict"])
def test_arrays_of_any_library_are_copied(library: str) -> None:
    xp = pytest.importorskip({"strict": "array_api_strict"}.get(library, library)) and make(library)
    net = network(xp)
    module = to_torch(net)
    before = module.W1.detach().clone()
    near(before, torch.tensor(np.array(xp.backend.to_numpy(net.params["W1"]))))
    if library in ("numpy", "torch"):
        net.params["W1"] -= 1
        assert torch.equal(module.W1, before)


class Scaled(Layer):
    """A layer of one's own, with state."""

    param_ndims = {"g": 1}  # noqa: RUF012
    state_ndims = {"steps": 0}  # noqa: RUF012
    has_train_flg = True

    def __init__(self, g: Any, steps: Any) -> None:
        super().__init__()
        self.g, self.dg, self.steps, self.x = g, None, steps, None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.check_input(x)
        self.x = x
        self.steps = self.steps + 1 if train_flg else self.steps
        return x * self.g

    def backward(self, dout: Any) -> Any:
        self.dg = (dout * self.x).sum(0)
        return dout * self.g


def test_a_layer_of_ones_own() -> None:
    module = to_torch(Scaled(np.ones(6), np.asarray(0.0)))
    module(tensor(X)).sum().backward()
    near(module.g.grad, tensor(X.sum(0)))
    assert float(module.steps) == 1


def test_it_says_what_it_is() -> None:
    assert str(to_torch(affine())) == "LayerModule(Affine)"
    assert str(to_torch(MeanSquaredError())) == "LossModule(MeanSquaredError)"


def test_bad_input() -> None:
    x = tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match="Affine wants a tensor of PyTorch's; got ndarray"):
        to_torch(affine())(X)
    with pytest.raises(TypeError, match="MeanSquaredError wants a tensor of PyTorch's; got float"):
        to_torch(MeanSquaredError())(1.0, x)
    with pytest.raises(TypeError, match=r"MeanSquaredError .* requires_grad=True: pass x.detach"):
        to_torch(MeanSquaredError())(tensor(X), x)
    with pytest.raises(ValueError, match=r"Affine wants x of shape \(N, 6\) .* got \(4, 5\)"):
        to_torch(affine())(x[:, :5])
    with pytest.raises(TypeError, match=r"affine wants x, W, b and dout of one dtype; got torch\.complex128"):
        to_torch(affine())(x.to(torch.complex128))


@each_case
def test_there_and_back_again(name: str) -> None:
    layer, x = CASES[name].make(), CASES[name].inputs[0]
    other = from_torch(to_torch(layer))
    y = layer.predict(x, train_flg=True) if isinstance(layer, Network) else layer.forward(x)
    near(other.forward(tensor(x)), torch.tensor(y))
    dout = RNG.standard_normal(y.shape)
    near(other.backward(tensor(dout)), torch.tensor(layer.backward(dout)))
    assert list(other.grads) == list(layer.grads)
    for key, g in layer.grads.items():
        near(other.grads[key], torch.tensor(g))
    for key, s in layer.state.items():
        near(other.state[key], torch.tensor(s))
