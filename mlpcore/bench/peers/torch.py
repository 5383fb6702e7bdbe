"""PyTorch as a contender, with the data on the device: an eager loop, or the compiled model."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from mlpcore.bench.contenders import Contender, library
from mlpcore.bench.workloads import LEARNING_RATE, Task


def eager(task: Task, device: str) -> Contender:
    """The eager contender: Module, CrossEntropyLoss, and fused Adam."""
    trainee = Trainee(library("torch"), task, device)
    return trainee.contender("torch eager", trainee.run)


def compiled(task: Task, device: str) -> Contender:
    """The contender with ``torch.compile`` on the model; on CUDA in the mode that uses CUDA graphs."""
    torch = library("torch")
    torch.compiler.reset()  # otherwise torch silently runs eagerly after eight networks
    mode = "reduce-overhead" if device == "cuda" else "default"
    trainee = Trainee(torch, task, device, lambda model: torch.compile(model, mode=mode))
    return trainee.contender("torch.compile", trainee.run)


class Trainee:
    """A network in torch with its data and optimizer.

    The precision "tf32" is torch's switch for CUDA products; "bfloat16" is autocast, torch's own way: products of
    bfloat16 numbers summed in float32, and activations between them stored as bfloat16.
    """

    def __init__(self, torch: Any, task: Task, device: str, wrap: Any = lambda model: model, **adam: Any) -> None:
        self.torch, self.task, self.device = torch, task, device
        layers: list[Any] = []
        for weight, bias in task.params:
            layer = torch.nn.Linear(*weight.shape, dtype=getattr(torch, task.dtype))
            layer.weight.data, layer.bias.data = torch.tensor(weight.T), torch.tensor(bias)
            layers += [layer, torch.nn.ReLU()]
        self.plain = torch.nn.Sequential(*layers[:-1]).to(device)
        self.model, self.criterion = wrap(self.plain), torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.plain.parameters(), lr=LEARNING_RATE, fused=True, **adam)
        self.x, self.y = torch.tensor(task.x, device=device), torch.tensor(task.y, device=device)

    def rounding(self) -> AbstractContextManager:
        """The context of a forward pass."""
        if self.task.precision == "bfloat16":
            return self.torch.autocast(self.device, dtype=self.torch.bfloat16)
        return nullcontext()

    def step(self, rows: Any) -> Any:
        """Train on these rows; their mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.rounding():
            loss = self.criterion(self.model(self.x[rows]), self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, order: Any) -> None:
        """The steps of an order (steps, batch), and the sum of their losses, which all contenders report."""
        total = self.torch.zeros((), device=self.device)
        for rows in order:
            total += self.step(rows)
        total.item()

    def wait(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def params(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The parameters on the host."""
        linear = [layer for layer in self.plain if hasattr(layer, "weight")]
        return [(layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()) for layer in linear]

    def contender(self, name: str, run: Callable[[Any], None]) -> Contender:
        """The contender whose steps are done by ``run(order)``."""
        torch, workload = self.torch, self.task.workload

        def train(epochs: int) -> None:
            with switched(torch, self.task.precision):
                for _ in range(epochs):
                    run(torch.randperm(len(self.x), device=self.device).reshape(workload.steps, workload.batch))
                self.wait()

        def stepper(order: np.ndarray) -> Callable[[], None]:
            placed = torch.tensor(np.ascontiguousarray(order), device=self.device)

            def steps() -> None:
                with switched(torch, self.task.precision):
                    run(placed)
                    self.wait()

            return steps

        def predictor(rows: np.ndarray) -> Any:
            placed = torch.tensor(rows, device=self.device)

            @torch.inference_mode()
            def predict() -> Any:
                with switched(torch, self.task.precision), self.rounding():
                    prediction = torch.softmax(self.model(placed), dim=-1)
                self.wait()
                return prediction

            return predict

        return Contender(name, train, predictor, self.params, stepper)


@contextmanager
def switched(torch: Any, precision: str) -> Any:
    """Torch's switch for float32 products, which holds for the whole process, as this precision needs it."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        yield
    finally:
        torch.set_float32_matmul_precision(before)
