"""ONNX's own operators in the place of some of `xpnet.functional`, as backends have kernels.

What is traced as it is written is right, but a convolution is a hundred nodes, and each product of matrices
thirty kilobytes, in which ndonnx sees to empty ones. onnxruntime has some operators for 32 bits only, and
ONNX keeps their numbers, as ε, in 32 bits: in float64 the functions themselves are traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnet import functional
from xpnet.functional._array import Array, array_namespace
from xpnet.functional.affine import check_affine
from xpnet.functional.convolution import check_convolution
from xpnet.functional.pooling import check_pooling
from xpnet.functional.windows import Pair, Windows
from xpnet.onnx.libraries import ndonnx, onnx, operators, spox

__all__ = ["KERNELS"]


def affine(x: Array, W: Array, b: Array) -> Array:
    """Stand in for `xpnet.functional.affine`."""
    if x.ndim != 2:
        return functional.affine(x, W, b)
    check_affine(x, W, b)
    return _array(operators().gemm(*_vars(x, W, b)))


def convolution(x: Array, W: Array, b: Array, *, stride: Pair = 1, pad: Pair = 0) -> Array:
    """Stand in for `xpnet.functional.convolution`."""
    if _is_float64(x):
        return functional.convolution(x, W, b, stride=stride, pad=pad)
    windows = check_convolution("convolution", x, W, b, stride, pad)
    return _array(operators().conv(*_vars(x, W, b), dilations=(1, 1), **_lying(windows)))


def max_pooling(x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0) -> Array:
    """Stand in for `xpnet.functional.max_pooling`."""
    windows = check_pooling("max_pooling", x, pool_h, pool_w, stride, pad)
    return _array(operators().max_pool(*_vars(x), **_lying(windows))[0])


def average_pooling(x: Array, pool_h: int, pool_w: int, *, stride: Pair = 2, pad: Pair = 0) -> Array:
    """Stand in for `xpnet.functional.average_pooling`."""
    windows = check_pooling("average_pooling", x, pool_h, pool_w, stride, pad)
    if _is_float64(x) or any(windows.pad):  # onnxruntime 1.22 and 1.24 count padding wrongly
        return functional.average_pooling(x, pool_h, pool_w, stride=stride, pad=pad)
    return _array(operators().average_pool(*_vars(x), **_lying(windows)))


def batch_normalization_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, axis: int = -1, eps: float = 1e-5
) -> Array:
    """Stand in for `xpnet.functional.batch_normalization_inference`."""
    if _is_float64(x) or x.ndim != 1 - axis:
        return functional.batch_normalization_inference(x, gamma, beta, mean, var, axis=axis, eps=eps)
    helper = onnx().helper  # spox's operator has the outputs of training, too, which ONNX refuses here
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(str(x.dtype)))
    given = {"x": x, "gamma": gamma, "beta": beta, "mean": mean, "var": var}
    *inputs, output = (helper.make_tensor_value_info(name, dtype, a.shape) for name, a in {**given, "y": x}.items())
    node = helper.make_node("BatchNormalization", [*given], ["y"], epsilon=eps)
    graph = helper.make_graph([node], node.op_type, inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return _array(spox().inline(model)(*_vars(*given.values()))["y"])


def layer_normalization(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5, return_moments: bool = False
) -> Any:
    """Stand in for `xpnet.functional.layer_normalization`; at inference nobody wants the moments."""
    if _is_float64(x):
        y, mean, var = functional.layer_normalization(x, gamma, beta, eps=eps, return_moments=True)
        return (y, mean, var) if return_moments else y
    y, *_ = operators().layer_normalization(*_vars(x, gamma, beta), epsilon=eps)
    return (_array(y), None, None) if return_moments else _array(y)


def gelu(x: Array) -> Array:
    """Stand in for `xpnet.functional.gelu`."""
    if _is_float64(x):
        return functional.gelu(x)
    return _array(operators().gelu(*_vars(x), approximate="tanh"))


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Stand in for `xpnet.functional.leaky_relu`."""
    if _is_float64(x):
        return functional.leaky_relu(x, negative_slope)
    return _array(operators().leaky_relu(*_vars(x), alpha=negative_slope))


def relu(x: Array) -> Array:
    """Stand in for `xpnet.functional.relu`."""
    return _array(operators().relu(*_vars(x)))


def sigmoid(x: Array) -> Array:
    """Stand in for `xpnet.functional.sigmoid`."""
    return _array(operators().sigmoid(*_vars(x)))


def silu(x: Array) -> Array:
    """Stand in for `xpnet.functional.silu`."""
    if _is_float64(x):  # some versions of onnxruntime make of this an operator that they lack
        return functional.silu(x)
    return x * sigmoid(x)


def softmax(x: Array) -> Array:
    """Stand in for `xpnet.functional.softmax`."""
    return _array(operators().softmax(*_vars(x), axis=-1))


def _lying(windows: Windows) -> dict[str, tuple[int, ...]]:
    return {"kernel_shape": windows.size, "strides": windows.stride, "pads": windows.pad * 2}


def _is_float64(x: Array) -> bool:
    return bool(x.dtype == array_namespace(x).float64)


def _vars(*arrays: Array) -> list[Any]:
    return [a.unwrap_spox() for a in arrays]


def _array(var: Any) -> Array:
    return ndonnx().asarray(var)


KERNELS: Mapping[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (
        affine, average_pooling, batch_normalization_inference, convolution, gelu, layer_normalization,
        leaky_relu, max_pooling, relu, sigmoid, silu, softmax,
    )
}
