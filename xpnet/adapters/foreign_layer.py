"""What layers have whose forward another library computes and differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xpnet.functional._array import Array
from xpnet.layers import Layer

__all__ = ["ForeignLayer"]


class ForeignLayer(Layer):
    """A layer whose parameters are found when it is made, and whose backward comes with each forward.

    A subclass calls `_own` in its constructor, and sets `_pull` and `_y_shape` in `forward`. It is not
    `recordable`, and has to say so itself: what others' Python code does at each step is not known.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pull: Callable[[Array], tuple[Array, Mapping[str, Array]]] | None = None
        """Turns `dout` into `dx` and the gradients of the parameters."""
        self._y_shape: tuple[int, ...] = ()

    def backward(self, dout: Array) -> Array:
        """Set the gradients of the parameters, and give `dx`, None if the input has no gradient.

        Parameters
        ----------
        dout : array
            Gradient with respect to the last output, of its shape.
        """
        if self._pull is None:
            raise RuntimeError(f"{self.name}.backward wants a forward before it")
        self.check_dout(dout, self._y_shape)
        dx, grads = self._pull(dout)
        for name, gradient in grads.items():
            setattr(self, f"d{name}", gradient)
        return dx

    def _own(self, params: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Keep arrays as attributes of their names."""
        attributes = [*params, *state, *(f"d{name}" for name in params)]
        taken = {a for a in attributes if hasattr(self, a) or attributes.count(a) > 1 or a in ("", "d")}
        if taken:
            raise ValueError(f"{self.name} wants parameters of other names: {', '.join(map(repr, taken))} "
                             "would be two attributes of the layer")
        # What other layers have by their class, these have each by itself.
        self.param_ndims = {name: p.ndim for name, p in params.items()}  # type: ignore[misc]
        self.state_ndims = {name: s.ndim for name, s in state.items()}  # type: ignore[misc]
        vars(self).update({**params, **state, **{f"d{name}": None for name in params}})

    def _check_alone(self) -> None:
        """Refuse a stack, of which only layers written for it know where its axes are (ValueError)."""
        if self.stack_axes:
            raise ValueError(f"{self.name} computes for one network, and not for a stack")
