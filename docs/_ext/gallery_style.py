"""The style of the gallery's pictures: colours that colour-blind people tell apart."""

from typing import Any

from matplotlib import pyplot as plt


def reset(configuration: dict[str, Any], name: str) -> None:
    """Called before every program of the gallery."""
    plt.style.use("tableau-colorblind10")
    plt.rcParams["figure.dpi"] = 110
