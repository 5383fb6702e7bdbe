"""The lesson of ``mlpcore explain``: one HTML page that shows a training run step by step, forward beside backward."""

from mlpcore.cli.lesson.network import Lesson, train
from mlpcore.cli.lesson.page import page
from mlpcore.cli.lesson.rows import Rows

__all__ = ["Lesson", "Rows", "page", "train"]
