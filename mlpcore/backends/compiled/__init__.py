"""How NumPy's backend runs steps and predictions: traced once by `mlpcore.compiler`, then as compiled C or NumPy calls.

Code that cannot be traced runs eagerly. `mlpcore.backends.compilation` decides which of these it is.
"""
