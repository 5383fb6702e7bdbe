"""The results of threads as one: within a warp by shuffles, within a block by shared memory, in a fixed order."""

from mlpcore.compiler.cuda.schedule import BLOCK, WARP
from mlpcore.compiler.formulas import HELD, begin, join
from mlpcore.compiler.schedule import Member


def better(value: str, best: str, place: str, at: str) -> str:
    """Whether a value at a place comes before the best one: larger, or NaN, or the same and earlier."""
    nan = f"({value} != {value})", f"({best} != {best})"
    same = f"({value} == {best} || ({nan[0]} && {nan[1]}))"
    return f"{at} < 0 || (!{nan[1]} && ({value} > {best} || {nan[0]})) || ({same} && {place} < {at})"


def begun(member: Member) -> list[str]:
    """The variables of a reduction before its first entry."""
    node, kind = member.node, HELD[str(member.node.dtype)]
    if node.name != "argmax":
        return [f"{kind} v{node.number} = {begin(node)};"]
    return [f"{HELD[str(node.inputs[0].dtype)]} v{node.number}_best = 0; I v{node.number} = -1;"]


def of_row(member: Member, threads: int) -> list[str]:
    """The results of the threads of a row as one that all of them have; of a block, of each of its warps."""
    node, name = member.node, f"v{member.node.number}"
    most = min(threads, WARP)
    if most == 1:
        return []
    head = f"for (int k = {most // 2}; k; k /= 2) {{"
    other = f"__shfl_xor_sync(0xffffffffu, {name}, k, 32)"
    if node.name != "argmax":
        lines = [f"const {HELD[str(node.dtype)]} other = {other};", f"{name} = {join(node).format(name, 'other')};"]
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
    for one, kind in names:
        lines += [
            f"__shared__ {kind} {one}_all[{BLOCK // WARP}];",
            f"if (t % {WARP} == 0) {one}_all[t / {WARP}] = {one};",
        ]
    return lines


def of_block(member: Member) -> list[str]:
    """The results of the warps of a block as one, in their order."""
    node, name = member.node, f"v{member.node.number}"
    if node.name != "argmax":
        step = f"{name} = {join(node).format(name, f'{name}_all[k]')};"
        return [f"{name} = {name}_all[0];", f"for (int k = 1; k < {BLOCK // WARP}; k++) {step}"]
    best, at, other = f"{name}_best", f"{name}_all[k]", f"{name}_best_all[k]"
    step = f"if ({at} >= 0 && ({better(other, best, at, name)})) {{ {best} = {other}; {name} = {at}; }}"
    return [f"{name} = -1;", f"for (int k = 0; k < {BLOCK // WARP}; k++) {step}"]


def of_sum(member: Member, across: int) -> list[str]:
    """The results of threads that share the inner indices of one sum, as one, by memory that the next sum takes too."""
    name, node = f"v{member.node.number}", member.node
    all_, at = f"{name}_all", "threadIdx.x"
    return [
        f"{HELD[str(node.dtype)]} *const {all_} = ({HELD[str(node.dtype)]} *)shared;",
        f"{all_}[{at}] = {name};",
        "__syncthreads();",
        f"for (int k = {BLOCK // across // 2}; k; k /= 2) {{",
        f"  if (t < k) {all_}[{at}] = {join(node).format(f'{all_}[{at}]', f'{all_}[{at} + k * {across}]')};",
        "  __syncthreads();",
        "}",
        f"{name} = {all_}[{at}];",
        "__syncthreads();",
    ]
