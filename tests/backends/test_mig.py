"""A part of a GPU (MIG) is one device like any other: CUDA names it by a UUID and shows a process only one."""

import os
import subprocess
import sys

import pytest
from devices import emulated_device, open_place

from mlpcore.bench import about

UUID = "MIG-6f2d0c9e-2f7a-5b7e-9a50-0d2b9f3c1a11"
LISTED = f"""GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-a)
  MIG 2g.20gb     Device  0: (UUID: MIG-b)
  MIG 1g.10gb     Device  1: (UUID: {UUID})"""


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, "NVIDIA H100 80GB HBM3, 580.159"),
        ("0", "NVIDIA H100 80GB HBM3, 580.159"),
        (UUID, "NVIDIA H100 80GB HBM3, 580.159, MIG 1g.10gb"),
        ("MIG-b,0", "NVIDIA H100 80GB HBM3, 580.159, MIG 2g.20gb"),
        ("MIG-other", "NVIDIA H100 80GB HBM3, 580.159, MIG"),
    ],
)
def test_a_measurement_names_the_part(visible: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def output(*command: str) -> str:
        return LISTED if "-L" in command else "NVIDIA H100 80GB HBM3, 580.159"

    monkeypatch.setattr(about, "_output", output)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert about.gpu() == expected


@pytest.mark.gpu
def test_a_part_trains_as_cuda_0_and_is_the_only_device() -> None:
    """In a process of its own, as CUDA reads the variable once."""
    open_place("cupy")
    emulated_device("has parts that any test may use")
    code = """
import numpy as np, cupy, mlpcore as mc
assert cupy.cuda.runtime.getDeviceProperties(0)["name"].endswith(b"MIG 1g.10gb")
print(mc.available_backends()["cupy"])
model = mc.Model(mc.Linear(2, 1), mc.SquaredError(), backend="cupy", device="cuda:0")
model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=1)
try:
    mc.get_backend("cupy", "cuda:1")
except mc.BackendUnavailable as error:
    print(error)
"""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": UUID, "CUDA_ON_CPU_DEVICES": "2"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    ready, refused = run.stdout.splitlines()
    assert run.returncode == 0 and ready.endswith(": cuda:0)") and refused.endswith("expected one of 'cuda:0'"), run
