"""xpnet's layers in PyTorch and JAX, and theirs in xpnet.

Neither library is imported before one of the functions is called that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnet._extras import import_extra
from xpnet.functional._array import Array
from xpnet.layers import Layer
from xpnet.losses import Loss

__all__ = ["from_jax", "from_torch", "to_jax", "to_torch"]


def to_torch(thing: Layer | Loss) -> Any:
    """Make a `torch.nn.Module` of a layer, a network or a loss (extra `torch`).

    Its backward is that of xpnet, which PyTorch's autograd calls. It can be differentiated once:
    `create_graph=True` raises PyTorch's own error.

    Parameters
    ----------
    thing : Layer or Loss
        A layer, also `Sequential` and `Residual`; a network, whose scores the module gives, cast to its
        parameters' dtype as `predict` does; or a loss. With arrays of any library: they are copied, and
        it is left as it is.

    Returns
    -------
    torch.nn.Module
        Called as `module(x)`, or a loss as `module(x, t, sample_weight=None)`. Parameters are
        `torch.nn.Parameter`s and state is buffers, both under the names that they have in `params` and
        `state`. `train()` and `eval()` are the layers' `train_flg`. Layers that draw random numbers draw
        those that they would draw themselves; their counters are buffers, `counter1` and so on.

    Raises
    ------
    TypeError
        If it is none of these; and, when called, if the input is no tensor, or if the labels or weights
        of a loss require a gradient, which it does not give.
    ImportError
        If PyTorch is not installed.
    """
    import_extra("torch", "xpnet.adapters.to_torch", extra="torch")
    from xpnet.adapters.torch_module import module_of

    return module_of(thing)


def from_torch(module: Any) -> Layer:
    """Make a layer of a `torch.nn.Module`, whose backward is PyTorch's autograd (extra `torch`).

    Parameters
    ----------
    module : torch.nn.Module
        Called with one tensor, it gives one. It is copied, and left as it is.

    Returns
    -------
    Layer
        Its arrays are tensors. Its `params` are the module's parameters, its `state` the buffers and
        what does not require a gradient, under the names of `state_dict()`. `train_flg` is `train()` or
        `eval()`; what was set to `eval()` within a module that trains stays so.

    Raises
    ------
    TypeError
        If it is no module; and, when called, if the input or the output is no tensor.
    ValueError
        If a parameter has a name that layers have for something else; and, when called, in a stack.
    ImportError
        If PyTorch is not installed.
    """
    import_extra("torch", "xpnet.adapters.from_torch", extra="torch")
    from xpnet.adapters.torch_layer import TorchLayer

    return TorchLayer(module)


def to_jax(thing: Layer | Loss) -> Callable[..., Any]:
    """Make a pure function of a layer, a network or a loss, with xpnet's backward (extra `jax`).

    It can be given to `jax.jit`, `jax.grad`, `jax.vmap`. It is a `jax.custom_vjp`, which is why JAX refuses
    forward-mode differentiation, as in `jax.jvp`.

    Parameters
    ----------
    thing : Layer or Loss
        A layer, also `Sequential` and `Residual`; a network, whose scores the function gives, cast to its
        parameters' dtype as `predict` does; or a loss. It is not changed; of its parameters, which may be of
        any library, shapes alone matter.

    Returns
    -------
    callable
        Of a layer or network `f(params, x, *, state=None, counter=None, train_flg=False)`, with all
        parameters by name; it gives the output. With `train_flg=True`, a tuple of the output and the new
        state, if there is state. `state` is by default the layer's own. `counter` is seed and step, int32,
        `(2,)`: wanted in training by what draws random numbers. Of a loss, `f(x, t, sample_weight=None)`.

    Raises
    ------
    TypeError
        If it is none of these; and, when called, if an array is not JAX's, or if a gradient is asked for
        of labels or weights.
    ValueError
        When called, if parameters are missing, or a counter is.
    ImportError
        If JAX is not installed.
    """
    import_extra("jax", "xpnet.adapters.to_jax", extra="jax")
    from xpnet.adapters.jax_function import function_of

    return function_of(thing)


def from_jax(function: Callable[[Any, Array], Array], params: Any) -> Layer:
    """Make a layer of a function, whose backward is `jax.vjp` (extra `jax`).

    Parameters
    ----------
    function : callable
        A pure function `function(params, x)` that gives one array.
    params : dict
        Arrays of JAX's or NumPy's, by name, in dictionaries and lists within if need be. What is not
        floating is state.

    Returns
    -------
    Layer
        Its arrays are JAX's. Its parameters are named by their places: `{"dense": {"W": W}}` has one named
        "dense.W". As with other layers, what is traced by `jax.jit` is `layer.bind(params)`.

    Raises
    ------
    TypeError
        If it is no function, or its parameters are no arrays; and, when called, if the input or the output
        is no array of JAX's.
    ValueError
        If a parameter has a name that layers have for something else; and, when called, in a stack.
    ImportError
        If JAX is not installed.
    """
    import_extra("jax", "xpnet.adapters.from_jax", extra="jax")
    from xpnet.adapters.jax_layer import JaxLayer

    return JaxLayer(function, params)
