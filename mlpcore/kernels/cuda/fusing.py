"""`ops.sweep`, `cellwise`, `affine`, `choose` and `shrink` as kernels made of what a formula does, one for each.

A formula is traced once for its code, its constants and the shapes and dtypes of its operands, never again. What
cannot be traced goes to the reference body.
"""

from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import Any

from mlpcore import ops
from mlpcore.kernels.cuda.closures import read, rebuilt
from mlpcore.kernels.cuda.device import Device
from mlpcore.kernels.cuda.elementwise import (
    ACCESS,
    Box,
    box,
    covers,
    elements,
    grid,
    launch_numbers,
    threads,
    vector,
    whole_shape,
    write,
)
from mlpcore.kernels.cuda.tracing import NAMESPACE, Trace, Untraceable
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

PLANS = 512  # formulas that are kept: far more than a program has, unless it makes new constants in every step


class Plan:
    """A traced formula for operands of one set of shapes and dtypes; its kernels by the alignment of the arrays."""

    def __init__(self, trace: Trace, shapes: Sequence[tuple[int, ...]], guard: tuple[int, ...] | None) -> None:
        self.trace = trace
        self.whole = whole_shape(shapes)
        self.guarded = guard is not None
        for output in trace.outputs:
            if not covers(output.reads, shapes, self.whole):
                raise Untraceable("a result that is smaller than its operands together")
        self.box: Box = box([*shapes, guard] if guard is not None else shapes, self.whole)
        along = [x.dtype for x, uses in zip(trace.operands, self.box.uses, strict=False) if uses[2]]
        self.along = [i for i in range(len(shapes)) if self.box.uses[i][2]]
        self.itemsize = max(dtype.itemsize for dtype in [*along, *(y.dtype for y in trace.outputs)])
        self.numbers = launch_numbers(self.box)
        self.empty = not elements(self.whole) or not trace.outputs
        self.kernels: dict[int, tuple] = {}

    def kernel(self, address: int) -> tuple:
        """``(source, blocks, threads)`` for arrays whose addresses, or-ed, are this."""
        address %= ACCESS
        if address not in self.kernels:
            length = vector(self.box.columns, self.box.rows, self.itemsize, address)
            source = write(self.trace, self.guarded, self.box, length)
            self.kernels[address] = (source, *grid(threads(self.box.columns, self.box.rows, length)))
        return self.kernels[address]


class Fusing:
    """The bodies for one kind of device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.plans: dict[Hashable, Plan | None] = {}  # None for what cannot be traced
        # What `choose` is asked for while it runs `new`: a sweep in there writes only where this holds.
        self.guard: ContextVar[Array | None] = ContextVar("guard", default=None)

    def sweep(self, first: Array, owned: tuple[Array, ...], formula: Callable[..., tuple]) -> tuple[Array, ...]:
        """All vectors in one pass, each overwritten where it lies; under `choose`, only where its condition holds."""
        operands, ok = (first, *owned), self.guard.get()
        plan, operands = self._plan(formula, operands, len(owned), ok)
        if plan is None:
            return ops.sweep.body(first, owned, formula)
        self._run(plan, operands, [owned[i] for i in self._stored(plan)], ok)
        return owned

    def cellwise(self, first: Array, others: tuple[Tree, ...], formula: Callable[..., Tree]) -> Tree:
        """One pass over all operands into new arrays."""
        plan, operands = self._plan(formula, (first, *others), 0, None)
        if plan is None:
            return ops.cellwise.body(first, others, formula)
        made = [self.device.empty(plan.whole, y.dtype) for y in plan.trace.outputs]
        self._run(plan, operands, made, None)
        return plan.trace.assemble(operands, made)

    def affine(self, x: Array, weight: Array, bias: Array) -> Array:
        """The product, with the bias added into it in one pass."""
        y, row = x @ weight, bias[..., None, :]
        return self.sweep(y, (y,), lambda _, y: (y + row,))[0]

    def choose(self, ok: Array, new: Callable[[], Tree], old: Tree) -> Tree:
        """No look at ``ok`` on the host, and no pass over what sweeps have left alone: they are told the condition."""
        outer = self.guard.get()
        ok = ok if outer is None else ok & outer
        token = self.guard.set(ok)
        try:
            fresh = new()
        finally:
            self.guard.reset(token)
        pairs: dict[tuple[int, ...], list[tuple[Array, Array]]] = {}
        for made, kept in zip(leaves(fresh), leaves(old), strict=True):
            if made is not kept:
                pairs.setdefault(made.shape, []).append((made, kept))
        picked: dict[tuple[int, int], Array] = {}
        for group in pairs.values():
            for pair, one in zip(group, self._picked(ok, group), strict=True):
                picked[id(pair[0]), id(pair[1])] = one
        return tree_map(lambda made, kept: kept if made is kept else picked[id(made), id(kept)], fresh, old)

    def shrink(self, vector: Array, length: int, factor: Array) -> Array:
        """The prefix where it lies, if it is one piece of memory."""
        prefix = vector[..., :length]
        if self.device.packed(prefix) and self.device.packed(factor):
            column = factor[..., None]
            (made,) = self.sweep(prefix, (prefix,), lambda _, p: (column * p,))
            if made is prefix:
                return vector
        return ops.shrink.body(vector, length, factor)

    def _picked(self, ok: Array, pairs: list[tuple[Array, Array]]) -> list[Array]:
        """The first of each pair where ok, else the second; all pairs have one shape and become one kernel."""
        rank = pairs[0][0].ndim
        condition = ok.reshape((*ok.shape, *[1] * (rank - ok.ndim)))
        flat = tuple(array for pair in pairs for array in pair)

        def formula(condition: Any, *flat: Any) -> tuple:
            return tuple(NAMESPACE.where(condition, *flat[i : i + 2]) for i in range(0, len(flat), 2))

        plan = self._planned(
            ("pick", _signature((condition, *flat))), lambda s: formula(*s), (condition, *flat), 0, None
        )
        if plan is None or any(plan.trace.outputs[i].dtype != kept.dtype for i, (_, kept) in enumerate(pairs)):
            return [ops.choose.body(ok, lambda made=made: made, kept) for made, kept in pairs]
        made = [self.device.empty(plan.whole, y.dtype) for y in plan.trace.outputs]
        self._run(plan, (condition, *flat), made, None)
        return made

    def _plan(
        self, formula: Callable, given: tuple[Tree, ...], owned: int, ok: Array | None
    ) -> tuple[Plan | None, tuple[Array, ...]]:
        """The plan of the formula, or None, and its operands: the leaves of those given, then arrays it closes over."""
        try:
            key, arrays = read(formula, self.device.kind)
        except Untraceable:
            return None, given
        flat = leaves(given)
        operands, n = (*flat, *arrays), len(flat)
        if not all(isinstance(x, self.device.kind) for x in flat):
            return None, operands

        def traced(symbols: list[Any]) -> Tree:
            left = iter(symbols[:n])
            arguments = tree_map(lambda _: next(left), given)
            return rebuilt(formula, self.device.kind, self.device.library)(arguments, symbols[n:])

        key = (key, owned, _form(given), _signature(operands), None if ok is None else ok.shape)
        return self._planned(key, traced, operands, owned, ok), operands

    def _planned(
        self, key: Hashable, traced: Callable, operands: tuple[Array, ...], owned: int, ok: Array | None
    ) -> Plan | None:
        if not all(map(self.device.packed, operands)):
            return None
        try:
            return self.plans[key]
        except KeyError:
            pass
        except TypeError:  # a constant that has no hash
            return None
        if len(self.plans) >= PLANS:
            return None
        try:
            self.plans[key] = self._made(traced, operands, owned, ok)
        except Untraceable:
            self.plans[key] = None
        return self.plans[key]

    @staticmethod
    def _made(traced: Callable, operands: tuple[Array, ...], owned: int, ok: Array | None) -> Plan:
        shapes = [tuple(x.shape) for x in operands]
        trace = Trace(lambda *symbols: traced(list(symbols)), [x.dtype.name for x in operands])
        guard = None if ok is None else (*ok.shape, *[1] * (len(shapes[0]) - len(ok.shape)))
        plan = Plan(trace, shapes, guard)
        if owned:
            results, places = list(trace.result), trace.operands[1 : owned + 1]
            stored = [id(made) for made, place in zip(results, places, strict=False) if made is not place]
            same = all(made.dtype == place.dtype for made, place in zip(results, places, strict=False))
            # What is stored twice, or in another's place, or as another dtype is no sweep in place.
            if len(results) != owned or stored != list(map(id, trace.outputs)) or not same:
                raise Untraceable("a sweep that cannot be done in place")
            if {plan.whole} != set(shapes[1 : owned + 1]):
                raise Untraceable("vectors of several shapes")
        return plan

    @staticmethod
    def _stored(plan: Plan) -> list[int]:
        """The owned vectors that the formula changes."""
        return [i for i, made in enumerate(plan.trace.result) if made is not plan.trace.operands[i + 1]]

    def _run(self, plan: Plan, operands: Sequence[Array], made: Sequence[Array], ok: Array | None) -> None:
        if plan.empty:
            return
        address = 0
        for i in plan.along:
            address |= self.device.address(operands[i])
        for x in made:
            address |= self.device.address(x)
        source, blocks, size = plan.kernel(address)
        guard = () if ok is None else (ok,)
        self.device.launch(source, blocks, size, (*operands, *made, *guard, *plan.numbers))


def _form(tree: Tree) -> Any:
    """What kind of tree it is, without its leaves."""
    if isinstance(tree, dict):
        return tuple((key, _form(node)) for key, node in tree.items())
    return (type(tree), *map(_form, tree)) if isinstance(tree, tuple) else None


def _signature(operands: Sequence[Array]) -> tuple:
    return tuple([(x.shape, x.dtype.char) for x in operands])
