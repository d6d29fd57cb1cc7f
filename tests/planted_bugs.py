"""Backwards with a bug in each, as authors write them, for `xpnet.testing` to find.

A `Right` builds the arguments of `check_gradients` around a correct backward; a `Bug` is the same
with something spoiled. What spoils is written in the book's names: a `Wrong` sees all that the
layer keeps (`v.x`, `v.W`, …), `v.dout`, what a correct backward found (`v.dx`, `v.dW`, …), the
number of rows `v.n` and the namespace `v.xp`, and gives the wrong gradient. A `Spoil` makes the whole
class wrong, for bugs that take more than one call.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from variants import Host, Variant

from xpnet import Affine, Relu, SoftmaxWithLoss, TwoLayerNet
from xpnet import functional as fn

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
Subject: TypeAlias = Callable[[Variant, str], Arguments]
Wrong: TypeAlias = Callable[[Any], Any]
Spoil: TypeAlias = Callable[[Any], Any]
Dtypes: TypeAlias = tuple[Literal["float32", "float64"], ...]

KINDS = (
    "sign", "factor", "transpose", "mask", "axis", "stale cache", "accumulation", "missing term",
    "doubled term", "single element", "bias only", "last row", "first row", "odd columns",
    "one dtype", "ignores dout", "x instead of y", "integer division", "label",
    "mean instead of sum", "broadcasting", "shape", "clipping", "wrong formula", "swapped",
    "off by one",
)


@dataclass(frozen=True)
class Right:
    """A correct backward: what `build` gives with a spoil that changes nothing."""

    name: str
    build: Callable[[Variant, str, Spoil], Arguments]
    planted: Callable[[Mapping[str, Wrong]], Spoil]

    def subject(self, xp: Variant, dtype: str) -> Arguments:
        return self.build(xp, dtype, lambda right: right)


@dataclass(frozen=True)
class Bug:
    """A wrong backward; in a dtype that is not among `dtypes` it is right.

    Those of the kind "shape" give a gradient of another shape than their input's.
    """

    name: str
    kind: str
    subject: Subject
    right: Right
    dtypes: Dtypes = ("float32", "float64")


def plant(
    name: str, kind: str, right: Right, spoil: Spoil | None = None, /,
    only: Literal["float32", "float64"] | None = None, **wrong: Wrong,
) -> Bug:
    assert kind in KINDS, kind
    change = spoil or right.planted(wrong)
    dtypes: Dtypes = ("float32", "float64") if only is None else (only,)

    def subject(xp: Variant, dtype: str) -> Arguments:
        return right.build(xp, dtype, change if dtype in dtypes else lambda right: right)

    return Bug(f"{right.name}-{name}", kind, subject, right, dtypes)


# The inputs ------------------------------------------------------------------------------------


def _away_from_0(z: Host) -> Host:
    """Give the bias that brings every column farthest from 0."""
    grid = np.linspace(-1.5, 1.5, 61)
    return grid[np.argmin(-np.min(np.abs(z + grid[:, None, None]), axis=1), axis=0)]


def _inputs() -> dict[str, Host]:
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> Host:
        z = rng.standard_normal(shape)
        return z + 0.1 * np.sign(z)

    def he(*shape: int) -> Host:
        return rng.standard_normal(shape) * np.sqrt(2 / shape[-2])

    of = {
        "x": normal(4, 6), "W": he(6, 5), "b": normal(5), "b row": normal(1, 5),
        "t": np.array([1, 0, 4, 2]), "float t": normal(4, 6), "image": normal(4, 2, 3),
        "soft t": rng.uniform(0, 0.5, (4, 6)), "gamma": normal(6), "beta": normal(6),
        "keep": np.array([[1, 0, 1, 1, 0, 1], [1, 1, 0, 1, 0, 1],
                          [0, 1, 1, 1, 1, 0], [1, 0, 1, 0, 1, 1]], "float64"),
        "square x": normal(5, 5), "square W": he(5, 5), "Wh": he(5, 5), "h": normal(5, 5),
        "stack x": normal(3, 4, 6), "stack W": he(3, 6, 5),
        "kernels": normal(3, 2, 3) / 2, "kernels b": normal(3), "signal": normal(4, 2, 6),
        "words": np.array([3, 1, 3, 0]),
        "pooled": np.reshape(np.transpose(rng.permuted(
            np.broadcast_to([-1.5, -0.5, 0.5, 1.5], (4, 2, 3, 4)), axis=-1,
        ).reshape(4, 2, 3, 2, 2), (0, 1, 3, 2, 4)), (4, 4, 6)) + rng.uniform(0, 0.3, (4, 4, 6)),
    }
    e = np.exp(of["x"] / 2)
    of["y"] = e / e.sum(axis=-1, keepdims=True)
    for name, rows, (d, h, c) in (("", 4, (6, 8, 5)), ("mnist ", 3, (784, 50, 10))):
        x, W = normal(rows, d), he(d, h)
        of |= {f"{name}net x": x, f"{name}net t": rng.integers(0, c, rows),
               f"{name}W1": W, f"{name}b1": _away_from_0(x @ W),
               f"{name}W2": he(h, c), f"{name}b2": normal(c)}
    return of


INPUTS = _inputs()


def _array(xp: Variant, dtype: str, name: str) -> Any:
    values = INPUTS[name]
    return xp.asarray(values, dtype if values.dtype.kind == "f" else None)


# Where in an array -----------------------------------------------------------------------------


def along(a: Any, axis: int) -> Any:
    """Give the index along an axis, in a shape that broadcasts against `a`."""
    shape = [1] * a.ndim
    shape[axis] = -1
    xp = array_namespace(a)
    return xp.reshape(xp.arange(a.shape[axis], device=device(a)), tuple(shape))


def element(a: Any, k: int) -> Any:
    """Tell where the element number `k` is."""
    xp = array_namespace(a)
    return xp.reshape(xp.arange(math.prod(a.shape), device=device(a)) == k, a.shape)


def first_row(a: Any) -> Any:
    return along(a, 0) == 0


def last_row(a: Any) -> Any:
    return along(a, 0) == a.shape[0] - 1


def odd_columns(a: Any) -> Any:
    return along(a, -1) % 2 == 1


def zero(a: Any, where: Any) -> Any:
    return array_namespace(a).where(where, 0, a)


def flip(a: Any, where: Any) -> Any:
    return array_namespace(a).where(where, -a, a)


def nudge(a: Any, where: Any) -> Any:
    """Add a thousandth of the largest element."""
    xp = array_namespace(a)
    return xp.where(where, a + 1e-3 * xp.max(xp.abs(a)), a)


def total(a: Any, axis: int, keepdims: bool = True) -> Any:
    return array_namespace(a).sum(a, axis=axis, keepdims=keepdims)


def mean(a: Any, axis: int) -> Any:
    return array_namespace(a).mean(a, axis=axis, keepdims=True)


def rows_of_t(v: Any, shift: int = 0) -> Any:
    """Give the one-hot rows of labels that are off by `shift`."""
    scores = v.x if hasattr(v, "x") else v.y
    classes = scores.shape[-1]
    return fn.one_hot((v.t + shift) % classes, classes, scores.dtype)


# Right functions -------------------------------------------------------------------------------


def function(name: str, f: Callable[..., Any], backward: Callable[..., Any], /,
             closed: str | None = None, **of: str) -> Right:
    """A function of the inputs `of`, argument by argument, and its backward.

    The argument `closed` is put into a closure, and so is not differentiated.
    """
    floating = [argument for argument, source in of.items()
                if INPUTS[source].dtype.kind == "f" and argument != closed]

    def build(xp: Variant, dtype: str, spoil: Spoil) -> Arguments:
        inputs = {argument: _array(xp, dtype, source) for argument, source in of.items()}
        if closed is None:
            return (f, *inputs.values()), {"backward": spoil(backward)}
        kept = {closed: inputs.pop(closed)}
        return ((functools.partial(f, **kept), *inputs.values()),
                {"backward": functools.partial(spoil(backward), **kept)})

    def planted(wrong: Mapping[str, Wrong]) -> Spoil:
        def spoil(right: Callable[..., Any]) -> Callable[..., Any]:
            def wrong_backward(dout: Any, *inputs: Any, **kept: Any) -> Any:
                found = right(dout, *inputs, **kept)
                found = found if isinstance(found, tuple) else (found,)
                grads = dict(zip([f"d{name}" for name in floating], found, strict=True))
                values = dict(zip([a for a in of if a != closed], inputs, strict=True)) | kept
                v = SimpleNamespace(dout=dout, n=inputs[0].shape[0], out=f(*inputs, **kept),
                                    xp=array_namespace(inputs[0]), **values, **grads)
                out = [wrong[name](v) if name in wrong else g for name, g in grads.items()]
                return out[0] if len(out) == 1 else tuple(out)
            return wrong_backward
        return spoil

    return Right(name, build, planted)


def with_gradient(
    name: str, f: Callable[..., Any], gradient: Callable[..., Any], of: str, call: bool
) -> Right:
    """A function from an array to a number, with a function for its gradient, or that itself."""

    def build(xp: Variant, dtype: str, spoil: Spoil) -> Arguments:
        x = _array(xp, dtype, of)
        return (f, x), {"gradient": spoil(gradient)(x) if call else spoil(gradient)}

    def planted(wrong: Mapping[str, Wrong]) -> Spoil:
        return lambda right: lambda x: wrong["dx"](SimpleNamespace(x=x, dx=right(x)))

    return Right(name, build, planted)


def affine_row(x: Any, W: Any, b: Any) -> Any:
    return array_namespace(x).matmul(x, W) + b


def affine_row_backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
    xp = array_namespace(x)
    return xp.matmul(dout, W.mT), xp.matmul(x.mT, dout), xp.sum(dout, axis=0, keepdims=True)


def sum_of_squares(x: Any) -> Any:
    return array_namespace(x).sum(x * x)


def product_of_rows(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.sum(xp.prod(x, axis=-1))


def product_of_rows_gradient(x: Any) -> Any:
    return array_namespace(x).prod(x, axis=-1, keepdims=True) / x


AFFINE = function("affine", fn.affine, fn.affine_backward, x="x", W="W", b="b")
SQUARE = function("affine-square", fn.affine, fn.affine_backward, x="square x", W="square W", b="b")
STACK = function("affine-stack", fn.affine, fn.affine_backward, x="stack x", W="stack W", b="b row")
ROW = function("affine-row", affine_row, affine_row_backward, x="x", W="W", b="b row")
RELU = function("relu", fn.relu, fn.relu_backward, x="x")
SOFTMAX = function("softmax", fn.softmax, fn.softmax_backward, x="x")
SOFTMAX_SQUARE = function("softmax-square", fn.softmax, fn.softmax_backward, x="square x")
ERROR = function("cross_entropy_error", fn.cross_entropy_error, fn.cross_entropy_error_backward,
                 y="y", t="t")
SOFTMAX_ERROR = function("softmax_cross_entropy", fn.softmax_cross_entropy,
                         fn.softmax_cross_entropy_backward, x="x", t="t")
SOFT_LABELS = function("soft_labels", fn.softmax_cross_entropy, fn.softmax_cross_entropy_backward,
                       closed="t", x="x", t="soft t")
SQUARES = with_gradient("sum_of_squares", sum_of_squares, lambda x: 2 * x, "x", False)
PRODUCTS = with_gradient("product_of_rows", product_of_rows, product_of_rows_gradient, "x", True)


# Right layers, in the book's style -------------------------------------------------------------


class Sigmoid:
    def forward(self, x: Any) -> Any:
        self.x = x
        self.y = 1 / (1 + array_namespace(x).exp(-x))
        return self.y

    def backward(self, dout: Any) -> Any:
        return dout * self.y * (1 - self.y)


class Tanh:
    def forward(self, x: Any) -> Any:
        self.x = x
        self.y = array_namespace(x).tanh(x)
        return self.y

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.y * self.y)


class Dropout:
    """Inverted dropout with a mask that was drawn before."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask / 0.7

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNormalization:
    axis: ClassVar[int] = 0

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.gamma, self.beta = gamma, beta
        self.dgamma: Any = None
        self.dbeta: Any = None
        self.std: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        xc = x - mean(x, self.axis)
        self.std = array_namespace(x).sqrt(mean(xc * xc, self.axis) + 1e-5)
        self.xn = xc / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout: Any) -> Any:
        self.dbeta = total(dout, 0, keepdims=False)
        self.dgamma = total(dout * self.xn, 0, keepdims=False)
        g = self.gamma * dout
        return (g - mean(g, self.axis) - self.xn * mean(g * self.xn, self.axis)) / self.std


class LayerNormalization(BatchNormalization):
    axis = -1


class Convolution:
    """`(N, C, L)` with kernels `(M, C, K)` and a bias `(M,)` to `(N, M, L - K + 1)`."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        size = self.W.shape[-1]
        out = x.shape[-1] - size + 1
        self.windows = [x[:, :, k:k + out] for k in range(size)]
        matmul = array_namespace(x).matmul
        return self.b[:, None] + sum(matmul(self.W[:, :, k], w) for k, w in enumerate(self.windows))

    def backward(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        self.db = xp.sum(dout, axis=(0, 2))
        self.dW = self.to_kernels(dout)
        return self.to_input(dout)

    def to_kernels(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        return xp.stack([xp.sum(xp.matmul(dout, w.mT), axis=0) for w in self.windows], axis=-1)

    def to_input(self, dout: Any, flipped: bool = False) -> Any:
        xp = array_namespace(dout)
        size = self.W.shape[-1]

        def zeros(k: int) -> Any:
            return xp.zeros((*self.x.shape[:2], k), dtype=dout.dtype, device=device(dout))

        return sum(xp.concat(
            [zeros(k), xp.matmul(self.W[:, :, size - 1 - k if flipped else k].mT, dout),
             zeros(size - 1 - k)], axis=-1,
        ) for k in range(size))


class MaxPooling:
    """Windows of 2 × 2, side by side."""

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        self.x = x
        n, h, w = x.shape
        self.windows = xp.reshape(x, (n, h // 2, 2, w // 2, 2))
        largest = xp.max(self.windows, axis=(2, 4), keepdims=True)
        self.mask = self.windows == largest
        return largest[:, :, 0, :, 0]

    def backward(self, dout: Any) -> Any:
        return self.spread(dout, self.mask)

    def spread(self, dout: Any, mask: Any) -> Any:
        xp = array_namespace(dout)
        return xp.reshape(xp.where(mask, dout[:, :, None, :, None], 0), self.x.shape)


class MeanSquaredError:
    """Half the squared distance, the mean over the batch."""

    def forward(self, x: Any, t: Any) -> Any:
        self.x, self.t = x, t
        return array_namespace(x).sum((x - t) ** 2) / (2 * x.shape[0])

    def backward(self, dout: Any = 1) -> Any:
        return dout * (self.x - self.t) / self.x.shape[0]


class RNN:
    """A step of book 2's recurrent network, after the state `h_prev`; parameters in lists."""

    def __init__(self, Wx: Any, Wh: Any, b: Any, h_prev: Any) -> None:
        self.params = [Wx, Wh, b]
        self.grads = [p * 0 for p in self.params]
        self.h_prev = h_prev

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        Wx, Wh, b = self.params
        self.x = x
        self.y = xp.tanh(xp.matmul(x, Wx) + xp.matmul(self.h_prev, Wh) + b)
        return self.y

    def backward(self, dout: Any) -> Any:
        xp = array_namespace(dout)
        d = dout * (1 - self.y * self.y)
        self.grads = [xp.matmul(self.x.mT, d), xp.matmul(self.h_prev.mT, d), xp.sum(d, axis=0)]
        return xp.matmul(d, self.params[0].mT)


class Embedding:
    """Book 2's rows of `W` by number; there is no gradient with respect to numbers."""

    def __init__(self, W: Any) -> None:
        self.params = [W]
        self.grads = [W * 0]

    def forward(self, x: Any) -> Any:
        self.x = x
        return array_namespace(x).take(self.params[0], x, axis=0)

    def backward(self, dout: Any) -> None:
        self.grads = [self.to_rows(dout)]

    def to_rows(self, dout: Any) -> Any:
        rows = fn.one_hot(self.x, self.params[0].shape[0], dout.dtype)
        return array_namespace(dout).matmul(rows.mT, dout)


class SimpleNet:
    """The book's chapter 4.4.2, with a weight decay of 0.1: parameters in a dictionary."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params = {"W": W, "b": b}

    def loss(self, x: Any, t: Any) -> Any:
        scores = fn.affine(x, self.params["W"], self.params["b"])
        return fn.softmax_cross_entropy(scores, t) + 0.05 * sum_of_squares(self.params["W"])

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        scores = fn.affine(x, self.params["W"], self.params["b"])
        dout = fn.softmax_cross_entropy_backward(1, scores, t)
        _, dW, db = fn.affine_backward(dout, x, self.params["W"], self.params["b"])
        return {"W": dW + 0.1 * self.params["W"], "b": db}


def planted_in_class(wrong: Mapping[str, Wrong]) -> Spoil:
    """Make a subclass whose `backward` ends with these attributes, and returns this `dx`."""

    def spoil(cls: Any) -> Any:
        def backward(self: Any, dout: Any = 1) -> Any:
            dx = cls.backward(self, dout)
            v = SimpleNamespace(**vars(self), layer=self, dout=dout, dx=dx, n=self.x.shape[0],
                                xp=array_namespace(self.x))
            for name, value in {name: f(v) for name, f in wrong.items()}.items():
                if name == "dx":
                    dx = value
                else:
                    setattr(self, name, value)
            return dx
        return type(cls.__name__, (cls,), {"backward": backward})

    return spoil


def planted_in_net(wrong: Mapping[str, Wrong]) -> Spoil:
    """Make a subclass with these gradients."""

    def spoil(cls: Any) -> Any:
        def gradient(self: Any, x: Any, t: Any) -> dict[str, Any]:
            grads = cls.gradient(self, x, t)
            v = SimpleNamespace(x=x, t=t, params=self.params, grads=grads)
            return {name: wrong[name](v) if name in wrong else g for name, g in grads.items()}
        return type(cls.__name__, (cls,), {"gradient": gradient})

    return spoil


def other(x: Any) -> Any:
    """Give another batch like this one."""
    xp = array_namespace(x)
    return 0.2 - 0.7 * xp.flip(x, axis=0) if xp.isdtype(x.dtype, "real floating") else x


def layer(name: str, cls: Any, *of: str, used: bool = False, **params: str) -> Right:
    """A layer or loss; a used one has had another batch, and, if it has any, other parameters."""

    def build(xp: Variant, dtype: str, spoil: Spoil) -> Arguments:
        inputs = [_array(xp, dtype, source) for source in of]
        held = {p: _array(xp, dtype, source) for p, source in params.items()}
        made = spoil(cls)(**({p: 1.5 * a for p, a in held.items()} if used else held))
        if used:
            y = made.forward(other(inputs[0]), *inputs[1:])
            made.backward(y * 0 + 1)
            for p, a in held.items():
                setattr(made, p, a)
        return (made, *inputs), {}

    return Right(name, build, planted_in_class)


def network(name: str, where: str, of: str = "", used: bool = False) -> Right:
    """A TwoLayerNet in one of whose layers, or in whose loss, a bug can be planted."""

    def build(xp: Variant, dtype: str, spoil: Spoil) -> Arguments:
        params = {p: _array(xp, dtype, of + p) for p in ("W1", "b1", "W2", "b2")}
        x, t = _array(xp, dtype, f"{of}net x"), _array(xp, dtype, f"{of}net t")
        sizes = (*params["W1"].shape, params["b2"].shape[0])
        net = TwoLayerNet(*sizes, seed=0, backend=xp.backend, dtype=dtype)
        if where == "last":
            net.last_layer = spoil(SoftmaxWithLoss)()
        else:
            right = net.layers[where]
            net.layers[where] = spoil(type(right))(*right.params.values())
        if used:
            net.gradient(other(x), t)
        for p, values in params.items():
            net.params[p] = values
        return (net, x, t), {}

    return Right(name, build, planted_in_class)


def simple_net(xp: Variant, dtype: str, spoil: Spoil) -> Arguments:
    net = spoil(SimpleNet)(_array(xp, dtype, "W"), _array(xp, dtype, "b"))
    return (net, _array(xp, dtype, "x"), _array(xp, dtype, "t")), {}


LAYER = layer("Affine", Affine, "x", W="W", b="b")
LAYER_SQUARE = layer("Affine-square", Affine, "square x", W="square W", b="b")
LAYER_IMAGE = layer("Affine-image", Affine, "image", W="W", b="b")
LAYER_USED = layer("Affine-used", Affine, "x", W="W", b="b", used=True)
RELU_LAYER = layer("Relu", Relu, "x")
RELU_USED = layer("Relu-used", Relu, "x", used=True)
LOSS = layer("SoftmaxWithLoss", SoftmaxWithLoss, "x", "t")
LOSS_USED = layer("SoftmaxWithLoss-used", SoftmaxWithLoss, "x", "t", used=True)
SIGMOID = layer("sigmoid", Sigmoid, "x")
SIGMOID_USED = layer("sigmoid-used", Sigmoid, "x", used=True)
TANH = layer("tanh", Tanh, "x")
DROPOUT = layer("dropout", Dropout, "x", mask="keep")
BATCH_NORM = layer("batch_norm", BatchNormalization, "x", gamma="gamma", beta="beta")
BATCH_NORM_USED = layer("batch_norm-used", BatchNormalization, "x", gamma="gamma", beta="beta",
                        used=True)
LAYER_NORM = layer("layer_norm", LayerNormalization, "x", gamma="gamma", beta="beta")
CONVOLUTION = layer("convolution", Convolution, "signal", W="kernels", b="kernels b")
MAX_POOLING = layer("max_pooling", MaxPooling, "pooled")
SQUARED_ERROR = layer("mean_squared_error", MeanSquaredError, "x", "float t")
RECURRENT = layer("rnn", RNN, "square x", Wx="square W", Wh="Wh", b="b", h_prev="h")
EMBEDDING = layer("embedding", Embedding, "words", W="W")
NET_AFFINE1 = network("net-Affine1", "Affine1")
NET_RELU1 = network("net-Relu1", "Relu1")
NET_AFFINE2 = network("net-Affine2", "Affine2")
NET_LAST = network("net-last", "last")
NET_AFFINE2_USED = network("net-Affine2-used", "Affine2", used=True)
MNIST_AFFINE1 = network("mnist-Affine1", "Affine1", "mnist ")
MNIST_RELU1 = network("mnist-Relu1", "Relu1", "mnist ")
SIMPLE_NET = Right("simple_net", simple_net, planted_in_net)


# Bugs that take more than one call -------------------------------------------------------------


def keeps_first(attribute: str) -> Spoil:
    """`if self.x is None: self.x = x`."""

    def spoil(cls: Any) -> Any:
        def forward(self: Any, *inputs: Any) -> Any:
            kept = getattr(self, attribute, None)
            y = cls.forward(self, *inputs)
            if kept is not None:
                setattr(self, attribute, kept)
            return y
        return type(cls.__name__, (cls,), {"forward": forward})

    return spoil


def keeps_previous(attribute: str) -> Spoil:
    """`self.x, self.next_x = self.next_x, x`."""

    def spoil(cls: Any) -> Any:
        def forward(self: Any, *inputs: Any) -> Any:
            y = cls.forward(self, *inputs)
            new = getattr(self, attribute)
            setattr(self, attribute, getattr(self, "_next", new))
            self._next = new
            return y
        return type(cls.__name__, (cls,), {"forward": forward})

    return spoil


def caches_parameter(attribute: str) -> Spoil:
    """`self.W_T = np.ascontiguousarray(self.W.T)`, once, for `backward`."""

    def spoil(cls: Any) -> Any:
        def backward(self: Any, dout: Any) -> Any:
            now = getattr(self, attribute)
            if not hasattr(self, "_cached"):
                self._cached = now + 0
            setattr(self, attribute, self._cached)
            dx = cls.backward(self, dout)
            setattr(self, attribute, now)
            return dx
        return type(cls.__name__, (cls,), {"backward": backward})

    return spoil


def accumulates(attribute: str) -> Spoil:
    """`self.dW += …`, which nobody sets to zero."""

    def spoil(cls: Any) -> Any:
        def backward(self: Any, dout: Any) -> Any:
            before = getattr(self, attribute)
            dx = cls.backward(self, dout)
            if before is not None:
                setattr(self, attribute, before + getattr(self, attribute))
            return dx
        return type(cls.__name__, (cls,), {"backward": backward})

    return spoil


# The bugs --------------------------------------------------------------------------------------

BUGS: tuple[Bug, ...] = (
    plant("dx-sign", "sign", AFFINE, dx=lambda v: -v.dx),
    plant("db-sign", "sign", AFFINE, db=lambda v: -v.db),
    plant("dW-doubled", "factor", AFFINE, dW=lambda v: 2 * v.dW),
    plant("dx-halved", "factor", AFFINE, dx=lambda v: v.dx / 2),
    plant("dW-over-N", "factor", AFFINE, dW=lambda v: v.dW / v.n),
    plant("db-times-N", "factor", AFFINE, db=lambda v: v.db * v.n),
    plant("dW-1.01", "factor", AFFINE, dW=lambda v: 1.01 * v.dW),
    plant("db-mean", "mean instead of sum", AFFINE, db=lambda v: mean(v.dout, 0)[0, :]),
    plant("db-forgotten", "missing term", AFFINE, db=lambda v: 0 * v.db),
    plant("db-doubled", "doubled term", AFFINE, db=lambda v: 2 * v.db),
    plant("dW-ignores-dout", "ignores dout", AFFINE,
          dW=lambda v: v.xp.matmul(v.x.mT, v.dout * 0 + 1)),
    plant("db-is-N", "ignores dout", AFFINE, db=lambda v: v.db * 0 + v.n),
    plant("dx-of-y", "wrong formula", AFFINE, dx=lambda v: v.xp.matmul(v.out, v.W.mT)),
    plant("dW-one-sign", "single element", AFFINE, dW=lambda v: flip(v.dW, element(v.dW, 7))),
    plant("dW-one-nudged", "single element", AFFINE, dW=lambda v: nudge(v.dW, element(v.dW, 29))),
    plant("dx-one-zero", "single element", AFFINE, dx=lambda v: zero(v.dx, element(v.dx, 0))),
    plant("db-one-nudged", "bias only", AFFINE, db=lambda v: nudge(v.db, element(v.db, 3))),
    plant("db-last-zero", "bias only", AFFINE, db=lambda v: zero(v.db, element(v.db, 4))),
    plant("dx-last-row-zero", "last row", AFFINE, dx=lambda v: zero(v.dx, last_row(v.dx))),
    plant("dW-lacks-last-row", "last row", AFFINE,
          dW=lambda v: v.xp.matmul(zero(v.x, last_row(v.x)).mT, v.dout)),
    plant("db-lacks-last-row", "last row", AFFINE, db=lambda v: v.db - v.dout[-1, :]),
    plant("dW-lacks-first-row", "first row", AFFINE,
          dW=lambda v: v.xp.matmul(v.x[1:, :].mT, v.dout[1:, :])),
    plant("dW-odd-columns-zero", "odd columns", AFFINE, dW=lambda v: zero(v.dW, odd_columns(v.dW))),
    plant("dx-odd-columns-sign", "odd columns", AFFINE, dx=lambda v: flip(v.dx, odd_columns(v.dx))),
    plant("db-float32", "one dtype", AFFINE, only="float32", db=lambda v: v.db / v.n),
    plant("dW-float32-1.01", "one dtype", AFFINE, only="float32", dW=lambda v: 1.01 * v.dW),
    plant("dx-float64", "one dtype", AFFINE, only="float64", dx=lambda v: -v.dx),
    plant("dW-clipped", "clipping", AFFINE, dW=lambda v: v.xp.clip(v.dW, -0.1, 0.1)),
    plant("dW-transposed-shape", "shape", AFFINE, dW=lambda v: v.dW.mT),
    plant("db-row-shape", "shape", AFFINE, db=lambda v: total(v.dout, 0)),
    plant("dx-without-transpose", "transpose", SQUARE, dx=lambda v: v.xp.matmul(v.dout, v.W)),
    plant("dW-transposed", "transpose", SQUARE, dW=lambda v: v.dW.mT),
    plant("dW-without-transpose", "transpose", SQUARE, dW=lambda v: v.xp.matmul(v.x, v.dout)),
    plant("db-wrong-axis", "axis", SQUARE, db=lambda v: total(v.dout, 1, keepdims=False)),
    plant("dx-dW-swapped", "swapped", SQUARE, dx=lambda v: v.dW, dW=lambda v: v.dx),
    plant("db-first-stack", "broadcasting", STACK, db=lambda v: total(v.dout[0, :, :], 0)),
    plant("db-not-summed", "shape", STACK, db=lambda v: total(v.dout, 1)[:, 0, :]),
    plant("db-mean-of-stack", "broadcasting", STACK, db=lambda v: v.db / v.n),
    plant("dW-of-next-in-stack", "off by one", STACK, dW=lambda v: v.xp.roll(v.dW, 1, axis=0)),
    plant("db-first-row", "broadcasting", ROW, db=lambda v: v.dout[:1, :]),
    plant("db-not-summed", "shape", ROW, db=lambda v: v.dout),

    plant("no-mask", "mask", RELU, dx=lambda v: v.dout),
    plant("mask-inverted", "mask", RELU, dx=lambda v: zero(v.dout, v.x > 0)),
    plant("mask-shifted", "mask", RELU,
          dx=lambda v: zero(v.dout, v.xp.roll(v.x, 1, axis=-1) <= 0)),
    plant("mask-of-next-row", "mask", RELU,
          dx=lambda v: zero(v.dout, v.xp.roll(v.x, -1, axis=0) <= 0)),
    plant("mask-of-dout", "mask", RELU, dx=lambda v: zero(v.dout, v.dout <= 0)),
    plant("mask-at-1", "mask", RELU, dx=lambda v: zero(v.dout, v.x <= 1)),
    plant("mask-of-abs", "mask", RELU, dx=lambda v: zero(v.dout, v.xp.abs(v.x) <= 0)),
    plant("leaks", "wrong formula", RELU, dx=lambda v: v.xp.where(v.x > 0, v.dout, 0.01 * v.dout)),
    plant("mask-alone", "ignores dout", RELU, dx=lambda v: zero(v.dout * 0 + 1, v.x <= 0)),
    plant("x-for-dout", "x instead of y", RELU, dx=lambda v: zero(v.x, v.x <= 0)),
    plant("last-row-not-masked", "last row", RELU,
          dx=lambda v: v.xp.where(last_row(v.x), v.dout, v.dx)),
    plant("first-row-zero", "first row", RELU, dx=lambda v: zero(v.dx, first_row(v.dx))),
    plant("no-mask-float32", "one dtype", RELU, only="float32", dx=lambda v: v.dout),
    plant("no-mask-float64", "one dtype", RELU, only="float64", dx=lambda v: v.dout),

    plant("without-sum", "missing term", SOFTMAX, dx=lambda v: v.out * v.dout),
    plant("diagonal-only", "missing term", SOFTMAX, dx=lambda v: v.out * (1 - v.out) * v.dout),
    plant("sum-without-y", "missing term", SOFTMAX,
          dx=lambda v: v.out * (v.dout - total(v.dout, -1))),
    plant("without-y", "missing term", SOFTMAX,
          dx=lambda v: v.dout - total(v.dout * v.out, -1)),
    plant("sum-added", "sign", SOFTMAX, dx=lambda v: v.out * (v.dout + total(v.dout * v.out, -1))),
    plant("mean-for-sum", "mean instead of sum", SOFTMAX,
          dx=lambda v: v.out * (v.dout - mean(v.dout * v.out, -1))),
    plant("x-for-y", "x instead of y", SOFTMAX,
          dx=lambda v: v.x * (v.dout - total(v.dout * v.x, -1))),
    plant("1.01", "factor", SOFTMAX, dx=lambda v: 1.01 * v.dx),
    plant("sum-twice", "doubled term", SOFTMAX,
          dx=lambda v: v.out * (v.dout - 2 * total(v.dout * v.out, -1))),
    plant("sum-over-rows", "axis", SOFTMAX_SQUARE,
          dx=lambda v: v.out * (v.dout - total(v.dout * v.out, 0))),
    plant("y-over-rows", "axis", SOFTMAX_SQUARE,
          dx=lambda v: fn.softmax_backward(v.dout.mT, v.x.mT).mT),

    plant("sign", "sign", ERROR, dy=lambda v: -v.dy),
    plant("without-1/N", "factor", ERROR, dy=lambda v: v.dy * v.n),
    plant("1/C-for-1/N", "factor", ERROR, dy=lambda v: v.dy * v.n / v.y.shape[-1]),
    plant("without-1/y", "missing term", ERROR, dy=lambda v: v.dy * v.y),
    plant("label-off-by-one", "label", ERROR,
          dy=lambda v: -rows_of_t(v, -1) / v.y * v.dout / v.n),
    plant("ignores-dout", "ignores dout", ERROR, dy=lambda v: -rows_of_t(v) / v.y / v.n),
    plant("binary", "doubled term", ERROR,
          dy=lambda v: v.dy + (1 - rows_of_t(v)) / (1 - v.y) * v.dout / v.n),

    plant("t-minus-y", "sign", SOFTMAX_ERROR, dx=lambda v: -v.dx),
    plant("without-1/N", "factor", SOFTMAX_ERROR, dx=lambda v: v.dx * v.n),
    plant("1/N-twice", "factor", SOFTMAX_ERROR, dx=lambda v: v.dx / v.n),
    plant("1/NC", "factor", SOFTMAX_ERROR, dx=lambda v: v.dx / v.x.shape[-1]),
    plant("floor-division", "integer division", SOFTMAX_ERROR,
          dx=lambda v: (fn.softmax(v.x) - rows_of_t(v)) // v.n * v.dout),
    plant("1//N", "integer division", SOFTMAX_ERROR,
          dx=lambda v: (fn.softmax(v.x) - rows_of_t(v)) * (1 // v.n) * v.dout),
    plant("without-t", "missing term", SOFTMAX_ERROR, dx=lambda v: fn.softmax(v.x) * v.dout / v.n),
    plant("scores-minus-t", "x instead of y", SOFTMAX_ERROR,
          dx=lambda v: (v.x - rows_of_t(v)) * v.dout / v.n),
    plant("label-off-by-one", "label", SOFTMAX_ERROR,
          dx=lambda v: (fn.softmax(v.x) - rows_of_t(v, 1)) * v.dout / v.n),
    plant("softmax-over-rows", "axis", SOFTMAX_ERROR,
          dx=lambda v: (fn.softmax(v.x.mT).mT - rows_of_t(v)) * v.dout / v.n),
    plant("softmax-again", "doubled term", SOFTMAX_ERROR,
          dx=lambda v: (fn.softmax(fn.softmax(v.x)) - rows_of_t(v)) * v.dout / v.n),
    plant("rows-sum-to-1", "missing term", SOFT_LABELS,
          dx=lambda v: (fn.softmax(v.x) - v.t) * v.dout / v.n),

    plant("not-doubled", "factor", SQUARES, dx=lambda v: v.x),
    plant("absolute", "sign", SQUARES, dx=lambda v: array_namespace(v.x).abs(v.dx)),
    plant("of-itself", "wrong formula", PRODUCTS, dx=lambda v: v.dx * v.x),
    plant("one-nudged", "single element", PRODUCTS, dx=lambda v: nudge(v.dx, element(v.dx, 11))),

    plant("dx-sign", "sign", LAYER, dx=lambda v: -v.dx),
    plant("dW-over-N", "factor", LAYER, dW=lambda v: v.dW / v.n),
    plant("db-forgotten", "missing term", LAYER, db=lambda v: 0 * v.db),
    plant("dW-over-M", "factor", LAYER, dW=lambda v: v.dW / v.W.shape[-1]),
    plant("dx-clipped", "clipping", LAYER, dx=lambda v: v.xp.clip(v.dx, -0.1, 0.1)),
    plant("dx-lacks-b", "wrong formula", LAYER, dx=lambda v: v.xp.matmul(v.dout - v.b, v.W.mT)),
    plant("db-float32", "one dtype", LAYER, only="float32", db=lambda v: 2 * v.db),
    plant("db-float64", "one dtype", LAYER, only="float64", db=lambda v: 2 * v.db),
    plant("dx-without-transpose", "transpose", LAYER_SQUARE,
          dx=lambda v: v.xp.matmul(v.dout, v.W)),
    plant("dW-transposed", "transpose", LAYER_SQUARE, dW=lambda v: v.dW.mT),
    plant("dx-pixels-permuted", "axis", LAYER_IMAGE, dx=lambda v: v.xp.reshape(
        v.xp.permute_dims(v.dx, (0, 2, 1)), v.dx.shape)),
    plant("dx-flat", "shape", LAYER_IMAGE, dx=lambda v: v.xp.reshape(v.dx, (v.n, -1))),
    plant("keeps-first-x", "stale cache", LAYER, keeps_first("x")),
    plant("keeps-previous-x", "stale cache", LAYER, keeps_previous("x")),
    plant("caches-W", "stale cache", LAYER, caches_parameter("W")),
    plant("accumulates-dW", "accumulation", LAYER, accumulates("dW")),
    plant("keeps-first-x", "stale cache", LAYER_USED, keeps_first("x")),
    plant("keeps-previous-x", "stale cache", LAYER_USED, keeps_previous("x")),
    plant("caches-W", "stale cache", LAYER_USED, caches_parameter("W")),
    plant("accumulates-db", "accumulation", LAYER_USED, accumulates("db")),

    plant("no-mask", "mask", RELU_LAYER, dx=lambda v: v.dout),
    plant("last-row-not-masked", "last row", RELU_LAYER,
          dx=lambda v: v.xp.where(last_row(v.x), v.dout, v.dx)),
    plant("one-not-masked", "single element", RELU_LAYER,
          dx=lambda v: v.xp.where(element(v.x, 7), v.dout, v.dx)),
    plant("keeps-first-x", "stale cache", RELU_LAYER, keeps_first("x")),
    plant("keeps-first-x", "stale cache", RELU_USED, keeps_first("x")),

    plant("ignores-dout", "ignores dout", LOSS, dx=lambda v: (v.y - rows_of_t(v)) / v.n),
    plant("without-1/N", "factor", LOSS, dx=lambda v: v.dx * v.n),
    plant("label-off-by-one", "label", LOSS,
          dx=lambda v: (v.y - rows_of_t(v, -1)) * v.dout / v.n),
    plant("last-row-zero", "last row", LOSS, dx=lambda v: zero(v.dx, last_row(v.dx))),
    plant("keeps-first-y", "stale cache", LOSS, keeps_first("y")),
    plant("keeps-first-y", "stale cache", LOSS_USED, keeps_first("y")),
    plant("keeps-previous-y", "stale cache", LOSS_USED, keeps_previous("y")),

    plant("x-for-y", "x instead of y", SIGMOID, dx=lambda v: v.dout * v.x * (1 - v.x)),
    plant("without-y", "missing term", SIGMOID, dx=lambda v: v.dout * (1 - v.y)),
    plant("plus", "sign", SIGMOID, dx=lambda v: v.dout * v.y * (1 + v.y)),
    plant("ignores-dout", "ignores dout", SIGMOID, dx=lambda v: v.y * (1 - v.y)),
    plant("keeps-previous-y", "stale cache", SIGMOID_USED, keeps_previous("y")),
    plant("y-not-squared", "missing term", TANH, dx=lambda v: v.dout * (1 - v.y)),
    plant("x-for-y", "x instead of y", TANH, dx=lambda v: v.dout * (1 - v.x * v.x)),
    plant("square-of-1-y", "wrong formula", TANH, dx=lambda v: v.dout * (1 - v.y) ** 2),
    plant("of-sigmoid", "wrong formula", TANH, dx=lambda v: v.dout * v.y * (1 - v.y)),
    plant("mask-squared", "mask", DROPOUT, dx=lambda v: v.dx * v.mask),
    plant("not-scaled", "mask", DROPOUT, dx=lambda v: zero(v.dout, v.mask == 0)),

    plant("without-mean", "missing term", BATCH_NORM,
          dx=lambda v: (v.gamma * v.dout - v.xn * mean(v.gamma * v.dout * v.xn, 0)) / v.std),
    plant("without-variance", "missing term", BATCH_NORM,
          dx=lambda v: (v.gamma * v.dout - mean(v.gamma * v.dout, 0)) / v.std),
    plant("constant-statistics", "missing term", BATCH_NORM,
          dx=lambda v: v.gamma * v.dout / v.std),
    plant("without-gamma", "missing term", BATCH_NORM, dx=lambda v: v.dx / v.gamma),
    plant("over-variance", "factor", BATCH_NORM, dx=lambda v: v.dx / v.std),
    plant("N-1", "off by one", BATCH_NORM,
          dx=lambda v: v.gamma / v.std * (v.dout - mean(v.dout, 0)
                                          - v.xn * total(v.dout * v.xn, 0) / (v.n - 1))),
    plant("wrong-axis", "axis", BATCH_NORM,
          dx=lambda v: v.gamma / v.std * (v.dout - mean(v.dout, 1)
                                          - v.xn * mean(v.dout * v.xn, 1))),
    plant("dgamma-of-x", "x instead of y", BATCH_NORM,
          dgamma=lambda v: total(v.dout * v.x, 0, keepdims=False)),
    plant("dbeta-mean", "mean instead of sum", BATCH_NORM, dbeta=lambda v: v.dbeta / v.n),
    plant("dgamma-dbeta-swapped", "swapped", BATCH_NORM,
          dgamma=lambda v: v.dbeta, dbeta=lambda v: v.dgamma),
    plant("keeps-first-std", "stale cache", BATCH_NORM_USED, keeps_first("std")),
    plant("without-mean", "missing term", LAYER_NORM,
          dx=lambda v: (v.gamma * v.dout - v.xn * mean(v.gamma * v.dout * v.xn, -1)) / v.std),
    plant("mean-without-gamma", "missing term", LAYER_NORM,
          dx=lambda v: v.gamma / v.std * (v.dout - mean(v.dout, -1)
                                          - v.xn * mean(v.dout * v.xn, -1))),
    plant("over-rows", "axis", LAYER_NORM,
          dx=lambda v: (v.gamma * v.dout - mean(v.gamma * v.dout, 0)
                        - v.xn * mean(v.gamma * v.dout * v.xn, 0)) / v.std),

    plant("dx-kernels-flipped", "transpose", CONVOLUTION,
          dx=lambda v: v.layer.to_input(v.dout, flipped=True)),
    plant("dx-last-column-zero", "off by one", CONVOLUTION,
          dx=lambda v: zero(v.dx, along(v.dx, -1) == v.dx.shape[-1] - 1)),
    plant("dx-shifted", "off by one", CONVOLUTION, dx=lambda v: v.xp.roll(v.dx, 1, axis=-1)),
    plant("dW-kernels-flipped", "transpose", CONVOLUTION, dW=lambda v: v.xp.flip(v.dW, axis=-1)),
    plant("dW-lacks-last-position", "off by one", CONVOLUTION, dW=lambda v: v.layer.to_kernels(
        zero(v.dout, along(v.dout, -1) == v.dout.shape[-1] - 1))),
    plant("dW-channels-rolled", "swapped", CONVOLUTION, dW=lambda v: v.xp.roll(v.dW, 1, axis=1)),
    plant("db-mean-of-positions", "mean instead of sum", CONVOLUTION,
          db=lambda v: v.db / v.dout.shape[-1]),
    plant("to-all", "mask", MAX_POOLING, dx=lambda v: v.layer.spread(v.dout, v.mask | ~v.mask)),
    plant("to-the-smallest", "mask", MAX_POOLING, dx=lambda v: v.layer.spread(
        v.dout, v.windows == v.xp.min(v.windows, axis=(2, 4), keepdims=True))),
    plant("to-the-first", "mask", MAX_POOLING, dx=lambda v: v.layer.spread(
        v.dout, (along(v.windows, 2) == 0) & (along(v.windows, 4) == 0))),
    plant("mask-mirrored", "mask", MAX_POOLING,
          dx=lambda v: v.layer.spread(v.dout, v.xp.flip(v.mask, axis=4))),
    plant("shared-among-all", "mean instead of sum", MAX_POOLING,
          dx=lambda v: v.layer.spread(v.dout / 4, v.mask | ~v.mask)),
    plant("doubled", "factor", SQUARED_ERROR, dx=lambda v: 2 * v.dx),
    plant("t-minus-y", "sign", SQUARED_ERROR, dx=lambda v: -v.dx),
    plant("mean-of-elements", "factor", SQUARED_ERROR, dx=lambda v: v.dx / v.x.shape[-1]),
    plant("ignores-dout", "ignores dout", SQUARED_ERROR, dx=lambda v: (v.x - v.t) / v.n),
    plant("dWx-dWh-swapped", "swapped", RECURRENT, grads=lambda v: [
        v.grads[1], v.grads[0], v.grads[2]]),
    plant("dx-through-Wh", "swapped", RECURRENT, dx=lambda v: v.xp.matmul(
        v.dout * (1 - v.y * v.y), v.params[1].mT)),
    plant("db-before-tanh", "missing term", RECURRENT, grads=lambda v: [
        v.grads[0], v.grads[1], total(v.dout, 0, keepdims=False)]),
    plant("repeated-word-once", "missing term", EMBEDDING, grads=lambda v: [
        v.layer.to_rows(zero(v.dout, first_row(v.dout)))]),

    plant("dW-sign", "sign", NET_AFFINE1, dW=lambda v: -v.dW),
    plant("db-mean", "mean instead of sum", NET_AFFINE1, db=lambda v: v.db / v.n),
    plant("dW-lacks-last-row", "last row", NET_AFFINE1,
          dW=lambda v: v.xp.matmul(v.x[:-1, :].mT, v.dout[:-1, :])),
    plant("db-float32", "one dtype", NET_AFFINE1, only="float32", db=lambda v: 0 * v.db),
    plant("no-mask", "mask", NET_RELU1, dx=lambda v: v.dout),
    plant("mask-shifted", "mask", NET_RELU1,
          dx=lambda v: zero(v.dout, v.xp.roll(v.x, 1, axis=-1) <= 0)),
    plant("keeps-first-x", "stale cache", NET_RELU1, keeps_first("x")),
    plant("dx-sign", "sign", NET_AFFINE2, dx=lambda v: -v.dx),
    plant("dx-1.01", "factor", NET_AFFINE2, dx=lambda v: 1.01 * v.dx),
    plant("dW-one-sign", "single element", NET_AFFINE2, dW=lambda v: flip(v.dW, element(v.dW, 6))),
    plant("db-last-zero", "bias only", NET_AFFINE2, db=lambda v: zero(v.db, element(v.db, 4))),
    plant("keeps-first-x", "stale cache", NET_AFFINE2, keeps_first("x")),
    plant("caches-W", "stale cache", NET_AFFINE2, caches_parameter("W")),
    plant("accumulates-dW", "accumulation", NET_AFFINE2, accumulates("dW")),
    plant("keeps-first-x", "stale cache", NET_AFFINE2_USED, keeps_first("x")),
    plant("caches-W", "stale cache", NET_AFFINE2_USED, caches_parameter("W")),
    plant("accumulates-dW", "accumulation", NET_AFFINE2_USED, accumulates("dW")),
    plant("without-1/N", "factor", NET_LAST, dx=lambda v: v.dx * v.n),
    plant("label-off-by-one", "label", NET_LAST, dx=lambda v: (v.y - rows_of_t(v, 1)) / v.n),
    plant("keeps-first-y", "stale cache", NET_LAST, keeps_first("y")),
    plant("decay-forgotten", "missing term", SIMPLE_NET,
          W=lambda v: v.grads["W"] - 0.1 * v.params["W"]),
    plant("decay-doubled", "doubled term", SIMPLE_NET,
          W=lambda v: v.grads["W"] + 0.1 * v.params["W"]),
    plant("decay-of-b", "doubled term", SIMPLE_NET,
          b=lambda v: v.grads["b"] + 0.1 * v.params["b"]),

    plant("dW-one-sign", "single element", MNIST_AFFINE1,
          dW=lambda v: flip(v.dW, element(v.dW, 20_010))),
    plant("dW-one-zero", "single element", MNIST_AFFINE1,
          dW=lambda v: zero(v.dW, element(v.dW, 39_164))),
    plant("dW-one-nudged", "single element", MNIST_AFFINE1,
          dW=lambda v: nudge(v.dW, element(v.dW, 12_345))),
    plant("db-one-sign", "bias only", MNIST_AFFINE1, db=lambda v: flip(v.db, element(v.db, 17))),
    plant("dW-1.01", "factor", MNIST_AFFINE1, dW=lambda v: 1.01 * v.dW),
    plant("one-not-masked", "single element", MNIST_RELU1,
          dx=lambda v: v.xp.where(element(v.x, 11), v.dout, v.dx)),
)
