"""The optimizers: published update rules on one flat vector."""

from mlpcore.optimizers.adam import Adam

OPTIMIZERS = (Adam,)
