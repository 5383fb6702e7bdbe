"""The picture and the figures of the README's first screen: ``python -m benchmarks.first_screen`` writes both.

They come from committed results: `SPEED` (``mlpcore bench``) and `benchmarks.footprint`. The other cells of the table
are facts about the libraries, with links to where they are said.
"""

import json
import re
from typing import Any

from benchmarks.footprint import CONTENDERS, RESULTS, ROOT
from benchmarks.pictures import COLORS
from benchmarks.results import FOLDER, read
from mlpcore.bench.suite import Record
from mlpcore.bench.tables import cases, rate
from mlpcore.files.writing import replace_file

SPEED = FOLDER / "cpu-zen4.json"
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "images" / "speed.png"
SHOWN = ("digits", "tabular", "mnist", "deep", "wide")
PEERS = ("mlpcore numpy", "jax scan", "torch eager", "torch.compile", "scikit-learn")
# The contender of `mlpcore bench` that stands for a library, where one does.
MEASURED = {
    "mlpcore": "mlpcore numpy",
    "scikit-learn": "scikit-learn",
    "PyTorch + skorch": "torch eager",
    "JAX": "jax scan",
}
BEGIN, END = "<!-- peers: python -m benchmarks.first_screen -->\n", "<!-- end of peers -->"
FACTS: dict[str, dict[str, str]] = {
    "tables with texts, dates and gaps": {
        "mlpcore": "[one call](docs/tabular.md)",
        "scikit-learn": "[a pipeline of encoders](https://scikit-learn.org/stable/modules/compose.html)",
        "PyTorch + skorch": "no",
        "Keras on JAX": "[FeatureSpace](https://keras.io/api/utils/feature_space/)",
        "pytabkit": "[one call](https://github.com/dholzmueller/pytabkit)",
        "JAX": "no",
    },
    "on a GPU": {
        "mlpcore": "[CuPy](docs/backends.md), PyTorch, JAX",
        "scikit-learn": "[not its networks](https://scikit-learn.org/stable/modules/array_api.html)",
        "PyTorch + skorch": "yes",
        "Keras on JAX": "yes",
        "pytabkit": "yes",
        "JAX": "yes",
    },
    "gradients": {
        "mlpcore": "[written beside forward](docs/mathematics.md)",
        "scikit-learn": "written, for one class of network",
        "PyTorch + skorch": "autodiff",
        "Keras on JAX": "autodiff",
        "pytabkit": "autodiff",
        "JAX": "autodiff",
    },
    "a model's file": {
        "mlpcore": "safetensors, [never code](docs/checkpoints.md)",
        "scikit-learn": "[pickle or skops](https://scikit-learn.org/stable/model_persistence.html)",
        "PyTorch + skorch": "[pickle](https://docs.pytorch.org/docs/stable/notes/serialization.html)",
        "Keras on JAX": "[.keras](https://keras.io/guides/serialization_and_saving/)",
        "pytabkit": "pickle",
        "JAX": "your own",
    },
}


def records(workload: str) -> dict[str, Record]:
    """The epochs of a workload in float32 on the CPU, by contender."""
    found = cases(read(SPEED).records).items()
    return next(by for key, by in found if key[:2] == ("epoch", workload) and key[3:] == ("float32", "cpu"))


def table() -> str:
    """The table in Markdown."""
    footprint: dict[str, Any] = json.loads(RESULTS.read_text())["contenders"]
    rows = [["", *CONTENDERS], ["---"] * (1 + len(CONTENDERS))]
    rows += [[fact, *(cells[name] for name in CONTENDERS)] for fact, cells in FACTS.items()]
    rows.append(["installed, MB", *(f"{footprint[name]['megabytes']:.0f}" for name in CONTENDERS)])
    rows.append(["import, processor s", *(f"{footprint[name]['import_seconds']:.2f}" for name in CONTENDERS)])
    for workload in ("digits", "mnist"):
        by_contender = records(workload)
        widths = "-".join(map(str, by_contender["mlpcore numpy"]["widths"]))
        speeds = (rate(by_contender[MEASURED[name]]) if name in MEASURED else None for name in CONTENDERS)
        rows.append(
            [f"{widths}: rows/s", *("-" if speed is None else f"{float(f'{speed:.3g}'):,.0f}" for speed in speeds)]
        )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def with_table(text: str) -> str:
    """The README with the present table between its marks."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: BEGIN + table() + END, text, count=1, flags=re.DOTALL
    )


def draw() -> Any:
    """Bars of the speed of training on a CPU, as a multiple of PyTorch's, for five networks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), dpi=150, layout="constrained")
    axis, width = figure.subplots(), 0.8 / len(PEERS)
    for i, name in enumerate(PEERS):
        ours = i == 0
        for j, workload in enumerate(SHOWN):
            by_contender = records(workload)
            speed, reference = rate(by_contender[name]), rate(by_contender["torch eager"])
            value = (speed or 0.0) / (reference or 1.0)
            place = j + (i - (len(PEERS) - 1) / 2) * width
            label = (
                name.replace("mlpcore numpy", "mlpcore")
                .replace("torch eager", "PyTorch")
                .replace("jax scan", "JAX (scan)")
            )
            axis.bar(
                place,
                value,
                width * 0.92,
                color=COLORS[name],
                alpha=1 if ours else 0.5,
                label=label if j == 0 else None,
            )
            axis.text(
                place, value + 0.06, f"{value:.1f}", ha="center", fontsize=6.5, weight="bold" if ours else "normal"
            )
    shapes = ["-".join(map(str, records(name)["mlpcore numpy"]["widths"])) for name in SHOWN]
    axis.set_xticks(
        range(len(SHOWN)), [shape.replace("256-256-256-256-256-256", "(6 x 256)") for shape in shapes], fontsize=8
    )
    axis.set_ylabel("training, times PyTorch", fontsize=9)
    axis.axhline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, ncols=len(PEERS), loc="upper right")
    return figure


def main() -> None:
    """Write the picture and the table."""
    draw().savefig(PICTURE)
    replace_file(README, [with_table(README.read_text()).encode()])


if __name__ == "__main__":
    main()
