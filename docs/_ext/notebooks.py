"""Makes an executed notebook of every page with code, and puts a link to it under the page's title.

A ``python`` block becomes a cell of code, and what stands between the blocks a cell of text. A ``text`` block is what
the block before it prints: the cell's own output takes its place, and must be equal. Notebooks lie in
``_build/notebooks`` with a hash of their page and of the package, and are made again when one of these has changed.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from sphinx.application import Sphinx
from sphinx.util import logging
from traitlets.config import Config

DOCS = Path(__file__).parent.parent
FOLDER = DOCS / "_build" / "notebooks"
PAGES = [*sorted(DOCS.glob("tutorials/*.md")), *sorted(DOCS.glob("*.md"))]
PAGES = [page for page in PAGES if page.stem != "distributed"]  # whose program is started by mpirun
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\([^)]*\)")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n?")  # pictures of a page are those that its code draws
logger = logging.getLogger(__name__)


def cells(page: str) -> list[nbformat.NotebookNode]:
    """The page as cells; a cell of code has what it must print under ``metadata.prints``."""
    found, end = [], 0
    for block in BLOCK.finditer(page):
        found += prose(page[end : block.start()])
        end = block.end()
        if block[1] == "python":
            found.append(nbformat.v4.new_code_cell(block[2].rstrip()))
        elif found and found[-1].cell_type == "code":
            found[-1].metadata["prints"] = block[2]
        else:
            found += prose(block[0])
    return found + prose(page[end:])


def prose(text: str) -> list[nbformat.NotebookNode]:
    """A cell of text, without the links and pictures that lie beside the page; none where nothing is said."""
    text = IMAGE.sub("", LINK.sub(r"\1", text)).strip()
    return [nbformat.v4.new_markdown_cell(text)] if text else []


def printed(cell: nbformat.NotebookNode) -> str:
    """What the cell has written to the standard output."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def key(page: Path) -> str:
    """A hash of the page and of the package."""
    sources = [page, *sorted((DOCS.parent / "mlpcore").rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def sockets(folder: str) -> Config:
    """Sockets in files of a folder of one's own; kernels warn of those of TCP, which others on the machine may read."""
    return Config({} if os.name == "nt" else {"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})


def execute(page: Path) -> list[str]:
    """Write the page's notebook; the faults that were found."""
    name, target = page.relative_to(DOCS).with_suffix(""), FOLDER / page.relative_to(DOCS).with_suffix(".ipynb")
    if target.exists() and json.loads(target.read_text(encoding="utf-8"))["metadata"]["made_of"] == key(page):
        return []
    notebook = nbformat.v4.new_notebook(cells=cells(page.read_text(encoding="utf-8")))
    if not any(cell.cell_type == "code" for cell in notebook.cells):
        return []
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    with tempfile.TemporaryDirectory() as folder:
        for data in page.parent.glob("*.csv"):
            shutil.copy(data, folder)
        client = NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            config=sockets(folder),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return [f"{name}: {error}"]
    faults = [
        f"{name} shows\n{cell.metadata['prints']}but its notebook prints\n{printed(cell)}"
        for cell in notebook.cells
        if "prints" in cell.metadata and cell.metadata["prints"].strip() != printed(cell).strip()
    ]
    if not faults:
        notebook.metadata["made_of"] = key(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
    return faults


def make(app: Sphinx) -> None:
    """Called before pages are read: all notebooks, two at a time; none in a quick build."""
    if not app.config.plot_gallery:
        return
    with ThreadPoolExecutor(2) as pool:
        for faults in pool.map(execute, PAGES):
            for fault in faults:
                logger.warning(fault)


def link(app: Sphinx, name: str, source: list[str]) -> None:
    """Called with every page: adds the link under its title."""
    notebook = FOLDER / f"{name}.ipynb"
    if DOCS / f"{name}.md" in PAGES and notebook.exists():
        role = f"{{download}}`Download this page as an executed notebook </_build/notebooks/{name}.ipynb>`"
        source[0] = re.sub(r"\A(# .*\n)", lambda title: f"{title[1]}\n{role}\n", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.connect("builder-inited", make)
    app.connect("source-read", link)
    return {"parallel_read_safe": True}
