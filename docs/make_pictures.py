"""Makes ``tutorial_*.png`` and ``explanations_*.png`` in docs/images by running the pages, whose blocks save them.

Run ``python docs/make_pictures.py`` after a change to a page; with names (``xor two_neurons``) only those pages run.
"""

import shutil
import sys
from pathlib import Path

from conftest import PAGES, TUTORIALS, begin, end

IMAGES = Path(__file__).parent / "images"
DRAWING = [*sorted(TUTORIALS.glob("*.md")), Path(__file__).parent / "explanations.md"]


def make(page: Path) -> list[str]:
    """Run the page; the names of the pictures it saved, which now lie in IMAGES."""
    document = PAGES.parse(page)
    begin(document.namespace)
    try:
        for example in document.examples():
            example.evaluate()
        return [shutil.copy(picture, IMAGES) for picture in sorted(Path.cwd().glob("*.png"))]
    finally:
        end(document.namespace)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for page in DRAWING:
        if page.stem in sys.argv[1:] or len(sys.argv) == 1:
            print(page.stem, *make(page))
