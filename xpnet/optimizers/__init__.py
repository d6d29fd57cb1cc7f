"""Optimisers: pure updates of mappings from names to arrays, and learning rates that change.

An optimiser holds numbers only. What it remembers from step to step is a state that is passed and
returned, so that one object serves eager and compiled training, and any number of networks.
"""

from xpnet.optimizers.adagrad import AdaGrad
from xpnet.optimizers.adam import Adam, AdamW
from xpnet.optimizers.clipping import clip_by_global_norm
from xpnet.optimizers.learning_rate import LearningRate
from xpnet.optimizers.momentum import Momentum
from xpnet.optimizers.nesterov import Nesterov
from xpnet.optimizers.optimizer import Optimizer
from xpnet.optimizers.rmsprop import RMSprop
from xpnet.optimizers.schedules import CosineDecay, Schedule, StepDecay, Warmup
from xpnet.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "CosineDecay",
    "LearningRate",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepDecay",
    "Warmup",
    "clip_by_global_norm",
]
