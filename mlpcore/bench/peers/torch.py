"""PyTorch as a contender, with the data on the device: an eager loop, or the compiled model."""

from typing import Any

import numpy as np

from mlpcore.bench.contenders import Contender, library
from mlpcore.bench.workloads import LEARNING_RATE, Task


def eager(task: Task, device: str) -> Contender:
    """The eager contender: Module, CrossEntropyLoss, and fused Adam."""
    return _contender(library("torch"), task, device, "torch eager", lambda model: model)


def compiled(task: Task, device: str) -> Contender:
    """The contender with ``torch.compile`` on the model; on CUDA in the mode that uses CUDA graphs."""
    torch = library("torch")
    torch.compiler.reset()  # otherwise torch silently runs eagerly after eight networks
    mode = "reduce-overhead" if device == "cuda" else "default"
    return _contender(torch, task, device, "torch.compile", lambda model: torch.compile(model, mode=mode))


def _contender(torch: Any, task: Task, device: str, name: str, wrap: Any) -> Contender:
    layers: list[Any] = []
    for weight, bias in task.params:
        layer = torch.nn.Linear(*weight.shape, dtype=getattr(torch, task.dtype))
        layer.weight.data, layer.bias.data = torch.tensor(weight.T), torch.tensor(bias)
        layers += [layer, torch.nn.ReLU()]
    plain = torch.nn.Sequential(*layers[:-1]).to(device)
    model, criterion = wrap(plain), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(plain.parameters(), lr=LEARNING_RATE, fused=True)
    x, y = torch.tensor(task.x, device=device), torch.tensor(task.y, device=device)
    batch = task.workload.batch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def train(epochs: int) -> None:
        for _ in range(epochs):
            order = torch.randperm(len(x), device=device)
            total = torch.zeros((), device=device)
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                optimizer.zero_grad(set_to_none=True)
                loss = criterion(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                total += loss.detach()
            total.item()  # the epoch's mean loss, which all contenders report
        wait()

    def predictor(rows: np.ndarray) -> Any:
        placed = torch.tensor(rows, device=device)

        @torch.inference_mode()
        def predict() -> Any:
            prediction = torch.softmax(model(placed), dim=-1)
            wait()
            return prediction

        return predict

    def params() -> list[tuple[np.ndarray, np.ndarray]]:
        linear = [layer for layer in plain if hasattr(layer, "weight")]
        return [(layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()) for layer in linear]

    return Contender(name, train, predictor, params)
