"""Makes ``tutorial_*.png`` and ``explanations_*.png`` in docs/images by running the pages, whose blocks save them.

``explain.png`` is the page of `mlpcore explain moons` in Chromium, and is left out where there is none. Run
``python docs/make_pictures.py`` after a change to a page; with names (``xor two_neurons explain``) only those are made.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from conftest import PAGES, TUTORIALS, begin, end

from mlpcore.cli import main

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
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


def photograph() -> None:
    """Save explain.png: a backward step of the page that `mlpcore explain moons` writes."""
    sys.path.append(str(ROOT / "tests" / "helpers"))
    from browser import chromium
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path, picture = Path(folder) / "moons.html", IMAGES / "explain.png"
        main(["explain", "moons", "--hidden", "5,3", "--out", str(path)])
        with chromium() as browser:
            browser.open(path, 1400, 1180)
            browser.run("show({epoch: 4, row: 11, step: 10})")
            browser.run("scrollTo(0, document.querySelector('.controls').offsetTop - 8)")
            browser.picture(picture, whole=False)
    Image.open(picture).convert("RGB").quantize(160).save(picture, optimize=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for page in DRAWING:
        if page.stem in sys.argv[1:] or len(sys.argv) == 1:
            print(page.stem, *make(page))
    if "explain" in sys.argv[1:] or (len(sys.argv) == 1 and shutil.which("chromium")):
        photograph()
