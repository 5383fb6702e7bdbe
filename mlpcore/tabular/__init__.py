"""Tables with texts, categories, dates and gaps: reading files and data frames, and encoding their columns."""

from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.reading import read_table

__all__ = ["TableEncoder", "read_table"]
