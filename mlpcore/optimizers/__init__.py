"""The optimizers: published update rules on one flat vector.

In every formula p is the parameters, g the gradient, t the number of the update (from 1), products and roots go entry
by entry, and all averages start at zero unless said otherwise. Every optimizer takes ``weight_decay``, which is
decoupled (Loshchilov & Hutter 2019): before the update the training step multiplies the leaves named ``weight`` by
``1 - rate * weight_decay``, so the update rules do not contain it. It is a number, or a schedule as the learning rate
may be. ``eps`` must be positive: it avoids 0/0 for
parameters that have had no gradient yet. It should be well above the root of the smallest number of the dtype (1e-19
in float32), below which squares are 0.

``squares`` says that an optimizer takes squares of the gradient. An infinite square would stay in the average and
make all later updates of its entry 0, unnoticed. So the training step treats a gradient whose square is too large
for the dtype (an entry of 1.8e19 in float32, after clipping) as not finite.
"""

from mlpcore.optimizers.adagrad import Adagrad
from mlpcore.optimizers.adam import Adam, AdamW
from mlpcore.optimizers.lion import Lion
from mlpcore.optimizers.nadam import NAdam
from mlpcore.optimizers.radam import RAdam
from mlpcore.optimizers.rmsprop import RMSprop
from mlpcore.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Adagrad",
    "Lion",
]
OPTIMIZERS = tuple(globals()[name] for name in __all__)
