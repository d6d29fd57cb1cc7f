"""Functions and steps of training on PyTorch: recorded, and then played, without their Python code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

from xpnet_backends.nested import leaves, mapped
from xpnet_backends.torch_program import Program, are_same, signature
from xpnet_backends.torch_recording import Recording

__all__ = ["PlayedFunction"]

SHAPES = 8
"""For how many sets of shapes of its arguments a function's calls are kept."""


class PlayedFunction:
    """A pure function that is called again and again.

    The second call and the third with arguments of the same shapes are recorded. If both are made of the
    same calls, these are played from then on, and the function is called no more. If not, as a layer has
    numbers of its own that change or looks at values, the function goes on being called.

    Parameters
    ----------
    function : callable
        The function, of tensors in nested dictionaries, tuples and lists, which it may also give.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._seen: dict[Any, Any] = {}
        self._program: Program | None = None
        self._carry: Any = None
        self._lock = threading.Lock()
        self.refused = ""
        """Why the function goes on being called, if so."""

    def __call__(self, *args: Any) -> Any:
        """Compute the function, without autograd's bookkeeping."""
        if torch.is_grad_enabled():
            with torch.no_grad():
                return self._called(args)
        return self._called(args)

    def _called(self, args: tuple[Any, ...]) -> Any:
        program = self._program
        if program is None or not _fits(program, args[0] is self._carry, args):
            return self._looked_up(args)
        found = program.play(*args)
        self._carry = found[0] if program.carries else None
        return found

    def _looked_up(self, args: tuple[Any, ...]) -> Any:
        """Find what was recorded for such arguments, or record it."""
        try:
            key = signature(args)
            state = self._seen.get(key)
        except TypeError:  # what cannot be compared
            return self._function(*args)
        if isinstance(state, Program):
            self._program, self._carry = state, None
            return state.play(*args)
        if self.refused:
            return self._function(*args)
        if state is None:
            if len(self._seen) == SHAPES:
                del self._seen[next(iter(self._seen))]  # the oldest
            self._seen[key] = True
            return self._function(*args)
        if not self._lock.acquire(blocking=False):  # another thread records
            return self._function(*args)
        try:
            return self._recorded(args, key, state)
        finally:
            self._lock.release()

    def _recorded(self, args: tuple[Any, ...], key: Any, before: Any) -> Any:
        recording = Recording([a for _, a in leaves(args) if isinstance(a, torch.Tensor)])
        with recording:
            found = self._function(*args)
        result = mapped(lambda a: recording.variable(a) if isinstance(a, torch.Tensor) else a, found)
        if recording.refused:
            self.refused = recording.refused
        elif before is True:
            self._seen[key] = recording, result
        elif before[1] != result or not are_same(before[0], recording):
            self.refused = "two calls differ"
        else:
            program = Program(recording, args, result)
            program.carries = isinstance(found, tuple) and bool(found) and (
                signature(found[:1]) == signature(args[:1]))
            self._seen[key] = self._program = program
        if self.refused:
            self._seen.clear()
            self._program = None
        return found


def _fits(program: Program, known: bool, args: tuple[Any, ...]) -> bool:
    try:
        return bool(program.fits(known, *args))
    except (AttributeError, IndexError, KeyError, TypeError):
        return False
