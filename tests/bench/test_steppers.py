"""Steps in a given order are the same for all contenders, for networks at once, and for torch's captured steps.

There is no CUDA here: in place of a graph's launch torch's step runs as it stands, with the inputs that stay in place.
"""

import numpy as np
import pytest
from optional import optional

from mlpcore.bench import contenders, workloads
from mlpcore.bench.peers import torch as peer
from mlpcore.bench.peers import torch_graph

pytestmark = pytest.mark.oracle
WORKLOAD = workloads.Workload("small", 10, (5, 7, 6, 3), steps=3)
ORDER = np.random.default_rng(2).permutation(30).reshape(3, 10)


@pytest.mark.parametrize("name", ["mlpcore numpy", "mlpcore torch", "mlpcore jax", "jax step", "jax scan"])
def test_all_take_the_steps_of_the_order(name: str) -> None:
    optional("torch")
    if "jax" in name:
        optional("jax")
    task = workloads.make_task(WORKLOAD, "float64")
    one, other = (contenders.ready(who, task, order=ORDER) for who in ("torch eager", name))
    for (weight, bias), (weight_, bias_) in zip(one.params(), other.params(), strict=True):
        np.testing.assert_allclose(weight, weight_, rtol=0, atol=1e-14)
        np.testing.assert_allclose(bias, bias_, rtol=0, atol=1e-14)


def test_networks_at_once_take_their_own_orders() -> None:
    optional("jax")
    from mlpcore.bench.peers import jax

    task, orders = workloads.make_task(WORKLOAD), np.stack([ORDER, ORDER[::-1], ORDER])
    losses = jax.stack(task, 3, "cpu")(orders)()
    alone = [jax.stack(task, 1, "cpu")(order[None])() for order in orders]
    np.testing.assert_allclose(losses, np.concatenate(alone), rtol=1e-6)
    assert losses[0] == losses[2] != losses[1]


def test_replayed_steps_are_the_eager_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = optional("torch")
    task = workloads.make_task(WORKLOAD, "float64")
    warmed = []

    def captured(torch, step):
        for _ in range(4):  # a warm-up, and the capture
            step()
        warmed.append(step)
        return step

    monkeypatch.setattr(torch_graph, "captured", captured)
    trainee = peer.Trainee(torch, task, "cpu")
    ours = trainee.contender("torch graph", torch_graph.Replayed(trainee).run)
    eager = contenders.ready("torch eager", task, order=ORDER)
    for order in (ORDER, ORDER[::-1].copy(), ORDER[:2]):  # a new order, and one of another shape
        ours.stepper(order)()
        if order is not ORDER:
            eager.stepper(order)()
        for (weight, bias), (weight_, bias_) in zip(ours.params(), eager.params(), strict=True):
            np.testing.assert_allclose(weight, weight_, rtol=0, atol=1e-14)
            np.testing.assert_allclose(bias, bias_, rtol=0, atol=1e-14)
    assert len(warmed) == 2


def test_graphs_need_cuda() -> None:
    optional("torch")
    with pytest.raises(contenders.Skipped, match="CUDA graphs need device 'cuda'"):
        contenders.ready("torch graph", workloads.make_task(WORKLOAD))


@pytest.mark.parametrize("name", ["torch eager", "jax scan"])
def test_products_are_rounded_where_it_is_asked_for(name: str) -> None:
    """After some steps bfloat16 products are seen in the parameters, but not much."""
    optional(name.split()[0])
    params = {}
    for precision in ("highest", "bfloat16"):
        contender = contenders.ready(name, workloads.make_task(WORKLOAD, precision=precision), order=ORDER)
        params[precision] = np.concatenate([np.ravel(weight) for weight, _ in contender.params()])
    distance = np.abs(params["highest"] - params["bfloat16"]).max()
    assert 1e-6 < distance < 5e-3, distance
