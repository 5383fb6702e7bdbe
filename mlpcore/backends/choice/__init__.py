"""``backend="auto"``: NumPy or the GPU, by what `mlpcore crossover` has measured on this machine.

`rule` fits the number of operations from which on the GPU pays, `measurement` checks what a file contains, `kept` finds
that file, and `choose` decides.
"""

from mlpcore.backends.choice.choose import AUTO, Choice, Work, choose, may_leave_host, setup
from mlpcore.backends.choice.kept import kept

__all__ = ["AUTO", "Choice", "Work", "choose", "kept", "may_leave_host", "setup"]
