"""PyTorch as a contender with the whole step, from the rows' gather to Adam, captured as one CUDA graph."""

import copy
from collections.abc import Callable
from typing import Any

from mlpcore.bench.contenders import Contender, library
from mlpcore.bench.peers.torch import Trainee, switched
from mlpcore.bench.workloads import Task
from mlpcore.errors import BackendUnavailable

WARM_UP = 3  # steps before a capture, as torch's documentation asks for


def graph(task: Task, device: str) -> Contender:
    """The contender that launches an eager step as one graph."""
    return _contender(task, device, "torch graph", lambda torch: lambda model: model)


def compiled_graph(task: Task, device: str) -> Contender:
    """The contender that launches a step of the compiled model as one graph.

    To be made after that of `torch.compile`, which resets torch's compiler and with it all compiled models.
    """
    return _contender(task, device, "torch graph, compiled", lambda torch: torch.compile)


def captured(torch: Any, step: Callable[[], None]) -> Callable[[], None]:
    """A function that launches what ``step()`` launches, after a warm-up on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        step()
    return recorded.replay


def _contender(task: Task, device: str, name: str, wrap: Callable[[Any], Any]) -> Contender:
    torch = library("torch")
    if device != "cuda":
        raise BackendUnavailable("CUDA graphs need device 'cuda'")
    trainee = Trainee(torch, task, device, wrap(torch), capturable=True)
    return trainee.contender(name, Replayed(trainee).run)


class Replayed:
    """The step of a trainee as a graph. Its inputs, the order, the step's number and the sum of losses, stay in place.

    A graph is captured for every shape of an order.
    """

    def __init__(self, trainee: Trainee) -> None:
        self.trainee, self.graphs = trainee, dict[Any, tuple]()

    def run(self, order: Any) -> None:
        """The steps of an order (steps, batch), and the sum of their losses."""
        if order.shape not in self.graphs:
            self.graphs[order.shape] = self._capture(order)
        replay, fixed, number, total = self.graphs[order.shape]
        if fixed is not order:
            fixed.copy_(order)
        number.zero_()
        total.zero_()
        for _ in range(len(order)):
            replay()
        total.item()

    def _capture(self, order: Any) -> tuple:
        """The graph's launch and its inputs; parameters and Adam's state are as before the warm-up."""
        trainee, torch = self.trainee, self.trainee.torch
        fixed = order.clone()
        number = torch.zeros(1, dtype=torch.int64, device=order.device)
        total = torch.zeros((), device=order.device)

        def step() -> None:
            total.add_(trainee.step(fixed.index_select(0, number)[0]))
            number.add_(1).remainder_(len(fixed))

        # What a capture does must be undone in place, as its addresses are the graph's.
        before = copy.deepcopy((trainee.plain.state_dict(), trainee.optimizer.state_dict()["state"]))
        with switched(torch, trainee.task.precision):
            replay = captured(torch, step)
        with torch.no_grad():
            for name, tensor in trainee.plain.state_dict().items():
                tensor.copy_(before[0][name])
            for i, state in trainee.optimizer.state_dict()["state"].items():
                for name, tensor in state.items():
                    tensor.copy_(before[1][i][name]) if before[1] else tensor.zero_()
        return replay, fixed, number, total
