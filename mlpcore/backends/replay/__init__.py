"""NumPy's own machinery for a run of steps: record the step once for each shape, plan its memory, replay it.

The step is pure and its shapes are static, so a second run does the same NumPy calls on other numbers. `recording`
writes them down, `planning` gives every result a place in memory that is used again and again, `blocks` walks
neighbouring elementwise calls together in pieces that stay in the cache, `pairs` and `workers` put the calls of large
steps on two threads, and `running` plays the list. The bits are those of the eager step, but where a product is halved
for two threads: there BLAS may add up in another order.
"""
