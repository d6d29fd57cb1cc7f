"""`check_gradients` and `assert_gradients`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnet.functional._array import Array
from xpnet.testing._host import Draws, is_numpy, quiet
from xpnet.testing.inquiry import MODES, Inquiry, Mode
from xpnet.testing.parameters import all_kept
from xpnet.testing.report import GradientReport
from xpnet.testing.sites import elsewhere
from xpnet.testing.subjects import make_subject

__all__ = ["assert_gradients", "check_gradients"]


def check_gradients(
    subject: Any,
    *inputs: Array,
    backward: Callable[..., Any] | None = None,
    gradient: Any = None,
    mode: Mode = "random",
    directions: int = 4,
    threads: int = 1,
    seed: int = 0,
) -> GradientReport:
    """Hold a backward, written by hand or not, against differences of its forward.

    Nothing that is passed in is changed. The steps and tolerances follow from the dtype and from the
    scale of values and gradients; in float32, differences are taken of the same code in float64,
    wherever the library has that.

    Parameters
    ----------
    subject : object
        A layer or loss: `forward(*inputs)` and `backward(dout)`, which gives the gradient of the
        first input (or a tuple, of the first few), and leaves those of parameters: in `grads`
        beside `params`, or in `dW` beside `W`. Or a network: `loss(*inputs)`, `gradient(*inputs)`,
        which gives a mapping, and `params`. Or any function, with `backward` or `gradient`.
    *inputs : array
        The point at which to check. Of any array-API library, on one device, of float32 or float64;
        integer inputs, as labels, are constants.
    backward : callable, optional
        For a function of arrays: `backward(dout, *inputs)` gives one gradient for each floating
        input, in their order, None for one that has none.
    gradient : callable or array or tuple or mapping, optional
        A gradient from elsewhere, as `jax.grad(f)`, of a function that returns a scalar; or the
        gradients themselves. For a network, a mapping from parameters' names.
    mode : {"random", "full", "structured"}
        Along random directions, which takes milliseconds; element by element; or element by element
        through the structure of a network, of those layers that have `tangents`.
    directions : int
        How many random directions for each variable. A gradient that is off by δ in some element
        passes along one of them, whatever the other elements are, with a probability of at most
        τ/δ, where τ is the tolerance along it (a millionth, in float64, of the size of slopes); and
        along all with (τ/δ)**directions.
    threads : int
        Among how many threads to divide mode "full": of a function, which is called from all of
        them, or of what has `bind`.
    seed : int
        Of all that is random.

    Returns
    -------
    GradientReport
        True if all gradients are correct; prints as a table.

    Raises
    ------
    TypeError, ValueError
        If something is not as described here.
    """
    if mode not in MODES:
        raise ValueError(f'mode is "random", "full" or "structured"; got {mode!r}')
    for name, count, least in (("directions", directions, 1), ("threads", threads, 1),
                               ("seed", seed, 0)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise ValueError(f"{name} is a whole number from {least}; got {count!r}")
    if threads > 1 and mode != "full":
        raise ValueError(f'threads are for mode="full"; got mode={mode!r}')
    draws = Draws(seed)
    with quiet(), all_kept(subject):
        made = make_subject(subject, inputs, backward, gradient, lambda x: elsewhere(x, draws))
        if threads > 1 and not (made.threadsafe and all(map(is_numpy, made.point.values()))):
            raise ValueError("threads want NumPy arrays, and a function, or a layer or network that has "
                             f"bind; not {made.name}, which remembers its last input, or other arrays")
        return Inquiry(made, mode, directions, threads, draws).report()


def assert_gradients(subject: Any, *inputs: Array, **options: Any) -> None:
    """Raise an AssertionError that shows the report, unless `check_gradients` finds all correct.

    Parameters
    ----------
    subject, *inputs, **options
        As for `check_gradients`.
    """
    __tracebackhide__ = True
    report = check_gradients(subject, *inputs, **options)
    if not report:
        raise AssertionError(str(report))
