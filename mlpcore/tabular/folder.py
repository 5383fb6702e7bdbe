"""A temporary folder that is removed with the object that needs it, or when the process ends."""

import shutil
import tempfile
import weakref


class Folder:
    """A new temporary folder at ``path``."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="mlpcore-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
