"""``python -m mlpcore`` is the command ``mlpcore``."""

import sys

from mlpcore.cli import main

sys.exit(main())
