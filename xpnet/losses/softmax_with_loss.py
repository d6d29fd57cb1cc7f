"""The book's SoftmaxWithLoss layer (chapter 5.6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnet._numbers import not_negative
from xpnet.functional import softmax, softmax_cross_entropy, softmax_cross_entropy_backward
from xpnet.functional._array import Array, array_namespace, check_concrete
from xpnet.functional._weighted_rows import check_label_smoothing, weighted_rows
from xpnet.losses.loss import Loss

__all__ = ["SoftmaxWithLoss"]


class SoftmaxWithLoss(Loss):
    """The mean cross-entropy of `softmax(x)`, for rows of one class each.

    Its `y` are the probabilities. With the options, PyTorch's `CrossEntropyLoss`.

    Parameters
    ----------
    label_smoothing : float
        The share of each label, 0 … 1, that all classes divide among them.
    class_weights : array or sequence of float, optional
        By how much rows of each class count in the mean, `(C,)`, not negative: an array of the
        scores' library and device, or a sequence, copied there at each call.
    """

    metric: ClassVar[str] = "accuracy"

    def __init__(
        self, label_smoothing: float = 0.0, class_weights: Array | Sequence[float] | None = None
    ) -> None:
        super().__init__()
        check_concrete(self.name, class_weights, remedy=None)
        if isinstance(class_weights, list | tuple):
            class_weights = [not_negative(self.name, "class_weights", w) for w in class_weights]
        elif class_weights is not None and getattr(class_weights, "ndim", None) != 1:
            found = getattr(class_weights, "shape", class_weights)
            raise ValueError(f"{self.name} wants class_weights of shape (C,); got {found!r}")
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.class_weights = class_weights

    @property
    def arguments(self) -> dict[str, Any]:
        """What the loss was made with, by name."""
        return {"label_smoothing": self.label_smoothing, "class_weights": self.class_weights}

    def forward(self, x: Array, t: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss.

        Parameters
        ----------
        x : array
            Scores, `(N, C)`, or a stack `(…, N, C)`.
        t : array
            Class numbers `(…, N)` of any integer dtype, or one-hot rows `(…, N, C)`.
        sample_weight : array, optional
            By how much each row counts in the mean, `(…, N)`, not negative.

        Returns
        -------
        array
            The loss, 0-dimensional, or `(…)`, one a network. NaN where a label lies outside the
            classes.
        """
        self.check_inputs(x, t, sample_weight)
        self.loss, self.y = self.fast(softmax_cross_entropy)(
            x, t, label_smoothing=self.label_smoothing, class_weights=self.class_weights,
            sample_weight=sample_weight, return_y=True,
        )
        self.x, self.t, self.sample_weight = x, t, sample_weight
        return self.loss

    def backward(self, dout: Array | float = 1) -> Array:
        """Give the gradient with respect to the scores, `(y - t) / N` times `dout`."""
        self.check_forward()
        return self.fast(softmax_cross_entropy_backward)(
            dout, self.x, self.t, label_smoothing=self.label_smoothing,
            class_weights=self.class_weights, sample_weight=self.sample_weight, y=self.y,
        )

    def total_weight(self) -> Array | int:
        """Tell by how much the rows of the last forward count in its mean: by class, too."""
        if self.class_weights is None:
            return super().total_weight()
        self.check_forward()
        _, total = weighted_rows(self.x, self.t, 0.0, self.class_weights, self.sample_weight)
        return array_namespace(total).where(total == float("inf"), 0.0, total)

    def predictions(self, x: Array) -> Array:
        """Give `softmax(x)`."""
        return self.fast(softmax)(x)
