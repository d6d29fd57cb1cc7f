"""Checks of gradients and of layers, for any layer, function or network on any array-API library.

They need no layer, network or backend of xpnet: what is checked is seen through its `forward`,
`backward` and parameters alone.
"""

from xpnet.testing.check import assert_gradients, check_gradients
from xpnet.testing.layer_checks import CheckResult, LayerReport, check_layer, layer_checks
from xpnet.testing.report import Element, GradientReport, VariableReport

__all__ = [
    "CheckResult",
    "Element",
    "GradientReport",
    "LayerReport",
    "VariableReport",
    "assert_gradients",
    "check_gradients",
    "check_layer",
    "layer_checks",
]
