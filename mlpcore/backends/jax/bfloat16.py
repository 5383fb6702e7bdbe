"""A function of JAX whose products of float32 take factors rounded to bfloat16, whoever wrote them."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

PRODUCT = "dot_general"  # JAX's only product of arrays
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def with_bfloat16_products(jax: Any, function: Callable) -> Callable:
    """The function of trees of arrays, traced at each call and computed with products of bfloat16 into float32.

    JAX's own precision of that name is float32 on CPUs. Loops, branches and functions within it are gone through too.
    """
    core = import_module("jax.extend.core")

    def computed(*arguments: Any) -> Any:
        arrays, tree = jax.tree.flatten(arguments)
        traced, shapes = jax.make_jaxpr(lambda *given: function(*tree.unflatten(given)), return_shape=True)(*arrays)
        return jax.tree.structure(shapes).unflatten(evaluate(traced, *arrays))

    def evaluate(traced: Any, *arguments: Any) -> list[Any]:
        values = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
        values |= zip(traced.jaxpr.invars, arguments, strict=True)

        def read(variables: Sequence[Any]) -> list[Any]:
            return [one.val if isinstance(one, core.Literal) else values[one] for one in variables]

        for equation in traced.jaxpr.eqns:
            results = operation(equation.primitive, read(equation.invars), dict(equation.params))
            values |= zip(equation.outvars, results, strict=True)
        return read(traced.jaxpr.outvars)

    def operation(primitive: Any, inputs: list[Any], words: dict[str, Any]) -> list[Any]:
        if primitive.name in CALLS:
            return evaluate(words[CALLS[primitive.name]], *inputs)
        if primitive.name == PRODUCT and all(one.dtype == "float32" for one in inputs):
            inputs = [one.astype("bfloat16") for one in inputs]
            words["preferred_element_type"] = jax.numpy.dtype("float32")
        made = primitive.bind(*inputs, **{name: rewritten(value) for name, value in words.items()})
        return made if primitive.multiple_results else [made]

    def rewritten(parameter: Any) -> Any:
        """The parameter of an operation: the body of a loop, or several branches, with such products."""
        if isinstance(parameter, tuple):
            parts = map(rewritten, parameter)
            return type(parameter)(*parts) if hasattr(parameter, "_fields") else tuple(parts)
        if not isinstance(parameter, core.ClosedJaxpr):
            return parameter
        return jax.make_jaxpr(partial(evaluate, parameter))(*parameter.in_avals)

    return computed
