"""All that is taken from scikit-learn and is not public there: where it changes, this file does.

What is public, its users import themselves. For these there is no public replacement (scikit-learn 1.9):
the checks of parameters, the namespace that dispatching chooses, and the message on a change of library.
"""

from __future__ import annotations

from sklearn.base import _fit_context as fit_context
from sklearn.utils._array_api import check_same_namespace, get_namespace
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = ["Interval", "Options", "StrOptions", "check_same_namespace", "check_sample_weight",
           "fit_context", "get_namespace"]
