"""Reductions over threads: within a warp by shuffles, within a block by shared memory, in a fixed order."""

from mlpcore.compiler.cuda.schedule import BLOCK, WARP
from mlpcore.compiler.formulas import HELD, combine, identity
from mlpcore.compiler.schedule import Member


def better(value: str, best: str, index: str, best_index: str) -> str:
    """The condition that a value replaces the best one of an argmax: larger, or NaN, or equal with a lower index."""
    nan = f"({value} != {value})", f"({best} != {best})"
    equal = f"({value} == {best} || ({nan[0]} && {nan[1]}))"
    larger = f"(!{nan[1]} && ({value} > {best} || {nan[0]}))"
    return f"{best_index} < 0 || {larger} || ({equal} && {index} < {best_index})"


def initial(member: Member) -> list[str]:
    """Declare the variables of a reduction with their initial values."""
    node, kind = member.node, HELD[str(member.node.dtype)]
    if node.name != "argmax":
        return [f"{kind} v{node.number} = {identity(node)};"]
    return [f"{HELD[str(node.inputs[0].dtype)]} v{node.number}_best = 0; I v{node.number} = -1;"]


def reduce_row(member: Member, threads: int) -> list[str]:
    """Combine the results of the threads of a row, so that each has the sum; in a whole block, those of each warp."""
    node, name = member.node, f"v{member.node.number}"
    lanes = min(threads, WARP)
    if lanes == 1:
        return []
    head = f"for (int k = {lanes // 2}; k; k /= 2) {{"
    other = f"__shfl_xor_sync(0xffffffffu, {name}, k, 32)"
    if node.name != "argmax":
        lines = [f"const {HELD[str(node.dtype)]} other = {other};", f"{name} = {combine(node).format(name, 'other')};"]
    else:
        best = f"{name}_best"
        lines = [
            f"const {HELD[str(node.inputs[0].dtype)]} best = __shfl_xor_sync(0xffffffffu, {best}, k, 32);",
            f"const I at = {other};",
            f"if (at >= 0 && ({better('best', best, 'at', name)})) {{ {best} = best; {name} = at; }}",
        ]
    lines = [head, *(f"  {line}" for line in lines), "}"]
    if threads <= WARP:
        return lines
    names = [
        (name, HELD[str(node.dtype)]),
        *([(f"{name}_best", HELD[str(node.inputs[0].dtype)])] * (node.name == "argmax")),
    ]
    for variable, kind in names:
        lines += [
            f"__shared__ {kind} {variable}_all[{BLOCK // WARP}];",
            f"if (t % {WARP} == 0) {variable}_all[t / {WARP}] = {variable};",
        ]
    return lines


def reduce_warps(member: Member) -> list[str]:
    """Combine the results of the warps of a block, in their order."""
    node, name = member.node, f"v{member.node.number}"
    if node.name != "argmax":
        step = f"{name} = {combine(node).format(name, f'{name}_all[k]')};"
        return [f"{name} = {name}_all[0];", f"for (int k = 1; k < {BLOCK // WARP}; k++) {step}"]
    best, at, other = f"{name}_best", f"{name}_all[k]", f"{name}_best_all[k]"
    step = f"if ({at} >= 0 && ({better(other, best, at, name)})) {{ {best} = {other}; {name} = {at}; }}"
    return [f"{name} = -1;", f"for (int k = 0; k < {BLOCK // WARP}; k++) {step}"]


def reduce_block(member: Member, across: int, terms: int = BLOCK) -> list[str]:
    """Combine the results of the threads that share one sum, in shared memory, which the next sum uses again.

    The sum has at most so many ``terms``: threads beyond them have none.
    """
    parts = min(BLOCK // across, 1 << max(0, terms - 1).bit_length())
    name, node = f"v{member.node.number}", member.node
    array = f"{name}_all"
    first, second = f"{array}[threadIdx.x]", f"{array}[threadIdx.x + k * {across}]"
    return [
        f"{HELD[str(node.dtype)]} *const {array} = ({HELD[str(node.dtype)]} *)shared;",
        f"{first} = {name};",
        "__syncthreads();",
        f"for (int k = {parts // 2}; k; k /= 2) {{",
        f"  if (t < k) {first} = {combine(node).format(first, second)};",
        "  __syncthreads();",
        "}",
        f"{name} = {first};",
        "__syncthreads();",
    ]
