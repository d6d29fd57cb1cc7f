"""Losses, the last layers of networks: each thin over its pure functions."""

from xpnet.losses.loss import Loss
from xpnet.losses.mean_squared_error import MeanSquaredError
from xpnet.losses.sigmoid_with_loss import SigmoidWithLoss
from xpnet.losses.softmax_with_loss import SoftmaxWithLoss

__all__ = ["Loss", "MeanSquaredError", "SigmoidWithLoss", "SoftmaxWithLoss"]
