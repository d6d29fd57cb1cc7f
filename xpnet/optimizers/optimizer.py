"""What all optimisers share: the learning rate, weight decay, clipping, the state."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

from xpnet._numbers import not_negative, positive
from xpnet._recordable import Recordable
from xpnet.functional._array import Array, array_namespace, check_floating, device, sum_dtype
from xpnet.optimizers._arrays import along_stack, cast, check_fit
from xpnet.optimizers.clipping import clip_by_global_norm
from xpnet.optimizers.learning_rate import LearningRate, checked_rate, is_scheduled, rate_of_step

__all__ = ["Optimizer"]


@dataclass(frozen=True, eq=False)
class Optimizer(Recordable, ABC):
    """What turns gradients into new parameters: `p - lr * direction`.

    A subclass gives the direction of a parameter's step, and the names of what it remembers for it.

    Unlike the book's, it remembers nothing itself: `update` takes and gives the parameters and a
    state:

        state = optimizer.init(network.params)  # once
        params, state = optimizer.update(network.params, network.gradient(x, t), state)
        network.params.update(params)

    Its numbers cannot be changed, which a compiled step would not notice: for a learning rate that
    changes, give a schedule.

    Parameters
    ----------
    lr : float, schedule, or sequence of K of them
        Learning rate, above 0; or a function of the number of steps taken before, as
        `xpnet.optimizers.CosineDecay`; or one of these for each member of a stack of K networks, whose
        parameters are `(K, …)`: a sweep that trains as one.
    weight_decay : float
        How strongly weights are drawn to 0: `weight_decay * p` is added to the gradient, as in
        `torch.optim` (L2 regularisation, the book's chapter 6.4.2).
    decoupled : bool
        Add it to the direction instead, behind the optimiser's rule, so that `p` loses
        `lr * weight_decay * p` whatever its gradients (Loshchilov & Hutter 2019).
    clip_norm : float, optional
        The greatest norm of all gradients as one vector, before anything else; in a stack, of each
        network's. See `xpnet.optimizers.clip_by_global_norm`.

    Notes
    -----
    Parameters of 16 bits are updated in float32, and what is remembered for them is float32: the
    square of a float16 gradient below 1e-4 would be 0. Only the new parameters are rounded.
    """

    lr: LearningRate = 0.01
    _: KW_ONLY
    weight_decay: float = 0.0
    decoupled: bool = False
    clip_norm: float | None = None

    memory: ClassVar[tuple[str, ...]] = ()
    """Names of what the rule remembers for each parameter: arrays of its shape, 0 at first."""
    counts: ClassVar[bool] = False
    """Whether the rule wants `state["step"]`, the number of steps taken before."""
    rule: ClassVar[str | None] = None
    """The name of what a backend may have that stands in for the rule."""
    _kernel: ClassVar[Callable[..., Any] | None] = None

    def __post_init__(self) -> None:
        vars(self).update(
            lr=checked_rate(self._name, self.lr),
            weight_decay=not_negative(self._name, "weight_decay", self.weight_decay),
            clip_norm=(None if self.clip_norm is None
                       else positive(self._name, "clip_norm", self.clip_norm)),
        )
        if not isinstance(self.decoupled, bool):
            raise TypeError(f"{self._name} wants decoupled to be a bool; got {self.decoupled!r}")

    def __init_subclass__(cls) -> None:
        """Let a class that has its own way to move not inherit what stands in for another one."""
        super().__init_subclass__()
        if vars(cls).keys() & {"direction", "move", "moves"} and "rule" not in vars(cls):
            cls.rule = None

    @abstractmethod
    def direction(self, g: Array, *memory: Array, **numbers: Array) -> tuple[Array, ...]:
        """Give the direction of a step of one parameter, and what is remembered after it.

        Parameters
        ----------
        g : array
            The gradient.
        *memory : array
            What was remembered, in the order of `memory`.
        **numbers : array
            What `numbers` gave.
        """

    def numbers(self, step: Array, dtype: Any) -> dict[str, Array]:
        """Give what depends on the number of steps taken before and is the same for all parameters."""
        return {}

    def with_kernels(self, kernels: Mapping[str, Callable[..., Any]]) -> Self:
        """Give a copy whose `moves` are done by the function of the rule's name, if there is one.

        Parameters
        ----------
        kernels : mapping
            As a backend has them: `Backend.kernels`. The function takes the optimizer, and then what
            `moves` takes.
        """
        fast = copy.copy(self)
        vars(fast)["_kernel"] = None if self.rule is None else kernels.get(self.rule)
        return fast

    def init(self, params: Mapping[str, Array]) -> dict[str, Any]:
        """Give the state before the first step: arrays, and dictionaries of them, by name.

        Parameters
        ----------
        params : mapping
            Parameters by name, at least one, of one floating dtype and on one device.
        """
        for name, p in params.items():
            check_floating(f'{self._name} "{name}"', p)
        if len({sum_dtype(p) for p in params.values()}) != 1:
            found = ", ".join(f'"{name}" {p.dtype}' for name, p in params.items())
            raise TypeError(f"{self._name} wants parameters of one dtype; got {found or 'none'}")
        first = next(iter(params.values()))
        xp = array_namespace(first)
        state: dict[str, Any] = {
            key: {name: xp.zeros_like(p, dtype=sum_dtype(p), device=device(p))
                  for name, p in params.items()}
            for key in self.memory
        }
        if self._has_step:
            state["step"] = xp.zeros((), dtype=xp.int32, device=device(first))
        return state

    def update(
        self,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        state: Mapping[str, Any],
        *,
        stack_axes: int = 0,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Take one step.

        Parameters
        ----------
        params, grads : mapping
            Parameters and their gradients, by name, in equal shapes and dtypes.
        state : dict
            What `init` or the last `update` returned.
        stack_axes : int
            How many axes in front are a stack's, of networks that share nothing.

        Returns
        -------
        params, state
            New ones; the arguments are not changed. `network.params.update(params)` makes a
            network hold them.
        """
        stack = check_fit(self._name, params, grads, stack_axes)
        wanted = {*self.memory, "step"} if self._has_step else {*self.memory}
        if state.keys() != wanted:
            raise ValueError(f"{self._name} wants the state that its init gave, with "
                             f"{sorted(wanted)}; got {sorted(state)}")
        dtype = sum_dtype(next(iter(params.values())))
        wide = {name: cast(p, dtype) for name, p in params.items()}
        grads = {name: cast(g, dtype) for name, g in grads.items()}

        if self.clip_norm is not None:
            grads = clip_by_global_norm(grads, self.clip_norm, stack_axes=stack_axes)
        step = state.get("step")
        lr = rate_of_step(self._name, self.lr, step, next(iter(wide.values())), stack)
        numbers = self.numbers(step, dtype) if self.counts else {}
        moves = self.moves if self._kernel is None else functools.partial(self._kernel, self)
        found = moves(
            [*wide.values()], [grads[name] for name in wide],
            [[state[key][name] for key in self.memory] for name in wide],
            [along_stack(lr, p) if isinstance(self.lr, tuple) else lr for p in wide.values()], numbers)
        new: dict[str, Array] = {}
        new_state: dict[str, Any] = {key: {} for key in self.memory}
        for name, (after, *memory) in zip(wide, found, strict=True):
            new[name] = cast(after, params[name].dtype)
            for key, a in zip(self.memory, memory, strict=True):
                new_state[key][name] = a
        if step is not None:  # asarray: sums of NumPy's 0-dimensional arrays are no arrays
            xp = array_namespace(step)
            new_state["step"] = xp.asarray(step + 1, dtype=step.dtype, device=device(step))
        return new, new_state

    def moves(
        self, params: Sequence[Array], grads: Sequence[Array], memories: Sequence[Sequence[Array]],
        rates: Sequence[float | Array], numbers: Mapping[str, Array],
    ) -> list[tuple[Array, ...]]:
        """Give all parameters after a step, each with what is remembered: what `move` gives of each.

        Parameters
        ----------
        params, grads : sequence of array
            The parameters and their gradients.
        memories : sequence of sequences of array
            What was remembered for each.
        rates : sequence of float or array
            The learning rate of each.
        numbers : mapping
            What `numbers` gave.
        """
        return [self.move(*each, numbers)
                for each in zip(params, grads, memories, rates, strict=True)]

    def move(
        self, p: Array, g: Array, memory: Sequence[Array], lr: float | Array,
        numbers: Mapping[str, Array],
    ) -> tuple[Array, ...]:
        """Give a parameter after a step, and what is remembered: `p - lr * direction`.

        Parameters
        ----------
        p, g : array
            The parameter and its gradient.
        memory : sequence of array
            What was remembered.
        lr : float or array
            The learning rate.
        numbers : mapping
            What `numbers` gave.
        """
        if self.weight_decay and not self.decoupled:
            g = g + self.weight_decay * p
        direction, *memory = self.direction(g, *memory, **numbers)
        if self.weight_decay and self.decoupled:
            direction = direction + self.weight_decay * p
        return p - lr * direction, *memory

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _has_step(self) -> bool:
        return self.counts or is_scheduled(self.lr)
