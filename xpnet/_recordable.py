"""Whether the Python code of a class has to run at each step."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["Recordable"]


class Recordable:
    """What a step of training is made of: layers, losses, optimisers.

    Attributes
    ----------
    recordable : bool
        Whether its methods do nothing but compute arrays from arrays, the same way at each step. Then
        libraries that compute at once may record a step and play it from then on, which takes half of
        the time where arrays are small, and its Python code is no longer run. So it is with xpnet's
        own classes; a subclass elsewhere has to say so itself.
    """

    recordable: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Let only a class say so of itself."""
        super().__init_subclass__()
        if "recordable" not in vars(cls):
            cls.recordable = cls.__module__.startswith("xpnet.")
