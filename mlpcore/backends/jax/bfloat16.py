"""Rewrites functions of JAX so that all float32 products, also those of other code, round their factors to bfloat16."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

PRODUCT = "dot_general"  # JAX's only product of arrays
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def with_bfloat16_products(jax: Any, function: Callable) -> Callable:
    """``function``, with float32 products computed from factors rounded to bfloat16, and sums in float32.

    It is traced at each call. Products in loops, branches and inner functions are replaced too. JAX's own precision
    "bfloat16" computes in float32 on CPUs.
    """
    core = import_module("jax.extend.core")

    def computed(*arguments: Any) -> Any:
        arrays, tree = jax.tree.flatten(arguments)
        traced, shapes = jax.make_jaxpr(lambda *leaves: function(*tree.unflatten(leaves)), return_shape=True)(*arrays)
        return jax.tree.structure(shapes).unflatten(evaluate(traced, *arrays))

    def evaluate(traced: Any, *arguments: Any) -> list[Any]:
        values = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
        values |= zip(traced.jaxpr.invars, arguments, strict=True)

        def read(variables: Sequence[Any]) -> list[Any]:
            return [atom.val if isinstance(atom, core.Literal) else values[atom] for atom in variables]

        for equation in traced.jaxpr.eqns:
            results = operation(equation.primitive, read(equation.invars), dict(equation.params))
            values |= zip(equation.outvars, results, strict=True)
        return read(traced.jaxpr.outvars)

    def operation(primitive: Any, inputs: list[Any], parameters: dict[str, Any]) -> list[Any]:
        if primitive.name in CALLS:
            return evaluate(parameters[CALLS[primitive.name]], *inputs)
        if primitive.name == PRODUCT and all(factor.dtype == "float32" for factor in inputs):
            inputs = [factor.astype("bfloat16") for factor in inputs]
            parameters["preferred_element_type"] = jax.numpy.dtype("float32")
        result = primitive.bind(*inputs, **{name: rewritten(value) for name, value in parameters.items()})
        return result if primitive.multiple_results else [result]

    def rewritten(parameter: Any) -> Any:
        """A parameter of an operation; the body of a loop and branches are rewritten, anything else is unchanged."""
        if isinstance(parameter, tuple):
            parts = map(rewritten, parameter)
            return type(parameter)(*parts) if hasattr(parameter, "_fields") else tuple(parts)
        if not isinstance(parameter, core.ClosedJaxpr):
            return parameter
        return jax.make_jaxpr(partial(evaluate, parameter))(*parameter.in_avals)

    return computed
