"""Tables of arrays: named columns of equal length, .npz archives, and splits of rows that keep the shares of classes.

Files with types and texts of their own are read by `mlpcore.tabular`. File content is only data: names appear in
messages as reprs, and nothing is executed or unpickled.
"""

from mlpcore.tables.archive import RATIO, SMALL, read_archive
from mlpcore.tables.splitting import split
from mlpcore.tables.table import Table, check_columns, listed

__all__ = ["RATIO", "SMALL", "Table", "check_columns", "listed", "read_archive", "split"]
