"""The report of a training as one HTML page that loads nothing: what was learnt, how well, and from which columns."""

from mlpcore.cli.report.importance import importance_by_permutation
from mlpcore.cli.report.page import write_report
from mlpcore.cli.report.results import Importance, Results
from mlpcore.cli.report.training import results_of

__all__ = ["Importance", "Results", "importance_by_permutation", "results_of", "write_report"]
