"""The checks of `check_layer`: each runs a layer in some way, and says what it wants of that."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

from xpnet.functional._array import Array, array_namespace, device
from xpnet.testing import _host as libraries
from xpnet.testing._host import float64_switched, has_float64
from xpnet.testing.check import check_gradients
from xpnet.testing.inputs import is_floating
from xpnet.testing.layer_comparisons import same_run, want_rows, want_run
from xpnet.testing.layer_runs import LayerAtWork, dout_for
from xpnet.testing.layer_wants import (
    CheckError,
    CheckSkipped,
    kind,
    want_equal,
    want_kind,
)
from xpnet.testing.oracle import want_gradients_of
from xpnet.testing.sites import copied

__all__ = ["CHECKS", "Check"]

Function = Callable[[LayerAtWork], None]


class Check(NamedTuple):
    """A check, and the library it needs, if that is one that may be missing."""

    run: Function
    needs: str | None

    @property
    def description(self) -> str:
        """What a layer does that passes."""
        return (self.run.__doc__ or "").rstrip(".")


CHECKS: dict[str, Check] = {}


def _check(name: str, needs: str | None = None) -> Callable[[Function], Function]:
    def register(run: Function) -> Function:
        CHECKS[name] = Check(run, needs)
        return run

    return register


@_check("output")
def _output(subject: LayerAtWork) -> None:
    """Give an output of the inputs' library, dtype and device."""
    point = subject.point()
    with subject.holding(point) as held:
        y = held.layer.forward(*point.inputs)
    want_kind("the output", kind(point.like())._replace(shape=tuple(getattr(y, "shape", ()))), y)


@_check("backward")
def _backward(subject: LayerAtWork) -> None:
    """Give gradients of the library, dtype, device and shape of what they belong to."""
    point = subject.point()
    gradients = subject.run(point).gradients
    for name, x in point.named().items():
        needed = name in point.params or x is point.inputs[0]  # of other inputs, as it likes
        if is_floating(x) and (needed or gradients.get(name) is not None):
            want_kind(f"the gradient of {name}", kind(x), gradients[name])


@_check("float32")
def _float32(subject: LayerAtWork) -> None:
    """Give float32, and nothing else, for float32."""
    _keep_dtype(subject, "float32")


@_check("float64")
def _float64(subject: LayerAtWork) -> None:
    """Give float64, and nothing else, for float64."""
    if not has_float64(like := subject.point().like()):
        raise CheckSkipped(f"there is no float64 on {device(like)}")
    _keep_dtype(subject, "float64")


def _keep_dtype(subject: LayerAtWork, dtype: str) -> None:
    xp = array_namespace(*subject.inputs)
    # With JAX's float64 on, for float32 too: only so can a default dtype creep in there.
    with float64_switched(xp, on=True):
        run = subject.run(subject.point(
            lambda x: xp.astype(x, getattr(xp, dtype)) if is_floating(x) else copied(x)))
        for what, x in run.named().items():
            if (found := kind(x).dtype) != dtype:
                raise CheckError(f"wants {dtype} from {dtype} inputs; got {found}: {what}")


@_check("untouched")
def _untouched(subject: LayerAtWork) -> None:
    """Write into no input, parameter or dout, not even at the next forward and backward."""
    point = subject.point()
    with subject.holding(point) as held:
        y = held.forward()
        dout = dout_for(y)
        held.backward(dout)
        held.run(point.moved())
    kept = {**subject.point().named(), "dout": dout_for(y)}
    given = {**point.named(), "dout": dout}
    changed = [name for name, x in given.items() if not libraries.equal(x, kept[name])]
    if changed:
        raise CheckError(f"wants what it was given untouched; got {', '.join(changed)} changed")


@_check("read-only")
def _read_only(subject: LayerAtWork) -> None:
    """Take NumPy arrays that cannot be written to: inputs, parameters and dout."""
    same_run(subject, libraries.read_only, libraries.read_only, libraries.on_numpy)


@_check("non-contiguous")
def _non_contiguous(subject: LayerAtWork) -> None:
    """Take every other element of larger arrays: inputs, parameters and dout."""
    def every_other(x: Array) -> Array:
        xp = array_namespace(x)
        return xp.stack([x, xp.zeros_like(x)], axis=-1)[..., 0]

    same_run(subject, every_other, every_other, copied)


@_check("deterministic")
def _deterministic(subject: LayerAtWork) -> None:
    """Give the same twice, to the last bit."""
    with subject.holding(subject.point()) as held:
        first = copied(held.forward())
        again = held.forward(subject.point().inputs)
        want_equal("a second output like the first", first, again)


@_check("results kept")
def _results_kept(subject: LayerAtWork) -> None:
    """Leave the last output and gradient alone when the next ones are found."""
    point = subject.point()
    with subject.holding(point) as held:
        y, gradients = held.run()
        found = {"output": y} if gradients["x"] is None else {"output": y, "dx": gradients["x"]}
        kept = {what: copied(x) for what, x in found.items()}
        held.run(point.moved(), of_dout=array_namespace(y).negative)
        for what, x in found.items():
            want_equal(f"the last {what} left alone by the next run", kept[what], x)


@_check("another batch size")
def _another_batch_size(subject: LayerAtWork) -> None:
    """Forget the last batch, which may have been of another size."""
    batches = [slice(None), slice(1, None), slice(None)]
    fresh = [subject.run(subject.point(rows=rows)) for rows in batches]
    with subject.holding(subject.point()) as held:
        for rows, run in zip(batches, fresh, strict=True):
            point = subject.point(rows=rows)
            want_run(run, held.run(point.inputs), point)


@_check("one row")
def _one_row(subject: LayerAtWork) -> None:
    """Take a batch of one row."""
    want_rows(subject, 1, subject.run(subject.point(rows=slice(1))))


@_check("no rows")
def _no_rows(subject: LayerAtWork) -> None:
    """Take a batch of no rows, without a warning, and give gradients of 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = subject.run(subject.point(rows=slice(0)))
    want_rows(subject, 0, run)
    for name, g in run.gradients.items():
        if g is not None:
            want_equal(f"the gradient of {name} to be 0", array_namespace(g).zeros_like(g), g)


@_check("gradients")
def _gradients(subject: LayerAtWork) -> None:
    """Give gradients that agree with differences, also for a smaller batch."""
    for inputs in (subject.inputs, [x[1:, ...] for x in subject.inputs]):
        report = check_gradients(subject.layer, *inputs)
        if report.verdict == "kink":
            raise CheckError("wants a derivative; got a kink: give inputs that lie on none")
        if not report:
            causes = [f"{v.name}: {v.cause}" for v in report.variables if v.cause]
            raise CheckError(f"wants correct; got {'; '.join([report.verdict, *causes, *report.notes])}")


@_check("jax jit", needs="jax")
def _jax_jit(subject: LayerAtWork) -> None:
    """Give the same when JAX compiles it."""
    with libraries.float64_switched(libraries.jax_namespace(), on=True):
        same_run(subject, libraries.on_jax, transform=libraries.jit)


@_check("jax vjp", needs="jax")
def _jax_vjp(subject: LayerAtWork) -> None:
    """Give the gradients that JAX finds of its forward, to rounding."""
    with libraries.float64_switched(libraries.jax_namespace(), on=True):
        want_gradients_of("JAX", subject, libraries.on_jax, libraries.jax_layer, libraries.jit)


@_check("torch autograd", needs="torch")
def _torch_autograd(subject: LayerAtWork) -> None:
    """Give the gradients that PyTorch finds of its forward, to rounding."""
    want_gradients_of("PyTorch", subject, libraries.on_torch, libraries.torch_layer)


@_check("array-api-strict", needs="array_api_strict")
def _array_api_strict(subject: LayerAtWork) -> None:
    """Give the same with the standard and no more, on a second device."""
    with libraries.strict_flags():
        same_run(subject, libraries.on_strict)


@_check("torch meta", needs="torch")
def _torch_meta(subject: LayerAtWork) -> None:
    """Give the same shapes and dtypes on PyTorch's meta device, which has no values."""
    same_run(subject, libraries.on_meta, values=False)
