"""NumPy's own machinery for a run of steps: record the step once for each shape, plan its memory, replay it.

The step is pure and its shapes are static, so a second run does the same NumPy calls on other numbers. `recording`
writes them down, `planning` gives every result a place in memory that is used again and again, `blocks` walks
neighbouring elementwise calls together in pieces that stay in the cache, on threads where that pays, and `running`
plays the list. Numbers are those of the eager step to the bit, but for the order of sums along a row.
"""
