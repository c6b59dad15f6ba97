"""The gradients of an expression by other means: torch's autograd, complex steps, and the lecture's example by hand."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from trainlab.errors import InputError
from trainlab.studies.backprop.gates import build
from trainlab.studies.backprop.graph import Graph
from trainlab.studies.expression import Apply, Term, Variable

BOUND = 1e-12
STEP = 1e-30  # of the variable itself; so small that its square is nothing beside any number here
DRAWS = 8


def by_autograd(term: Term, values: Mapping[str, float]) -> dict[str, float]:
    """∂f/∂name of each variable, by torch in float64."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}
    evaluate(term, leaves, TORCH, lambda c: torch.tensor(c, dtype=torch.float64)).backward()
    return {name: float(leaf.grad) if leaf.grad is not None else 0.0 for name, leaf in leaves.items()}


def by_complex_steps(term: Term, values: Mapping[str, float]) -> dict[str, float] | None:
    """Im f(x + ih)/h of each variable, without the cancellation of a difference (Squire and Trapp, SIAM Review 1998).

    abs, relu, max and min are taken on the branch of the real part; None where one stands on its kink, and where the
    complex numbers leave the range of floats.
    """
    found = {}
    for name, value in values.items():
        step = max(STEP * abs(value), 1e-300) if value else STEP
        try:
            found[name] = evaluate(term, {**values, name: complex(value, step)}, COMPLEX, complex).imag / step
        except ArithmeticError:
            return None
    return found


def rounding(term: Term, values: Mapping[str, float], gradients: Mapping[str, float]) -> dict[str, float]:
    """By how much each gradient changes when the last binary digit of every gate's value is chosen by chance.

    That is as much as two right computations may differ: sin(exp(30)) keeps three digits and no more. The largest of
    some draws; infinite where such a digit decides whether there is a value at all.
    """
    random = np.random.default_rng(0)
    most = dict.fromkeys(gradients, 0.0)
    for _ in range(DRAWS):
        graph = Graph(nudge=lambda value: float(value) * (1 + float(random.integers(-1, 2)) * 2.0**-52))
        try:
            build(term, values, graph).backward()
        except InputError:
            return dict.fromkeys(gradients, math.inf)
        for name, leaf in graph.leaves.items():
            most[name] = max(most[name], abs(leaf.gradient - gradients[name]))
    return most


def disagreement(
    ours: Mapping[str, float], theirs: Mapping[str, float], spread: Mapping[str, float] | None = None
) -> float:
    """The largest difference, in units of the larger of 1, the gradient, and 8·spread/BOUND: what rounding explains.

    So it is more than BOUND if and only if a gradient differs by more than BOUND, absolute and relative, and by more
    than eight times its `spread`.
    """
    return max(
        abs(ours[name] - theirs[name]) / max(1.0, abs(theirs[name]), 8 * (spread[name] if spread else 0.0) / BOUND)
        for name in theirs
    )


def worked_example(values: Mapping[str, float]) -> tuple[list[tuple[float, float]], dict[str, float]]:
    """The lecture's example in closed form, with s = 1/(1 + e⁻ᶻ): value and gradient of its gates, and the leaves'.

    "Another example: f(w, x) = 1/(1 + exp(−(w0 x0 + w1 x1 + w2)))"; the gradient of z is s(1 − s), that of 1/x is −s².
    """
    w0, x0, w1, x1, w2 = (values[name] for name in ("w0", "x0", "w1", "x1", "w2"))
    z = w0 * x0 + w1 * x1 + w2
    s = 1 / (1 + math.exp(-z))
    slope = math.exp(-abs(z)) / (1 + math.exp(-abs(z))) ** 2  # s(1 − s), also where s is nearly 1
    gates = [
        *((w0 * x0, slope), (w1 * x1, slope), (w0 * x0 + w1 * x1, slope), (z, slope)),
        *((-z, -slope), (math.exp(-z), -s * s), (1 / s, -s * s), (s, 1.0)),
    ]
    return gates, {"w0": slope * x0, "x0": slope * w0, "w1": slope * x1, "x1": slope * w1, "w2": slope}


def evaluate(term: Term, values: Mapping[str, Any], rules: Mapping[str, Callable], constant: Callable) -> Any:
    """The value of `term` by other rules than those of our gates. rules: by operation. constant: makes a number into
    what they take.
    """
    if isinstance(term, float):
        return constant(term)
    if isinstance(term, Variable):
        return values[term.name]
    assert isinstance(term, Apply)
    return rules[term.operation](*[evaluate(argument, values, rules, constant) for argument in term.arguments])


TORCH: dict[str, Callable] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "^": torch.pow,
    "max": torch.maximum,
    "min": torch.minimum,
    **{n: getattr(torch, n) for n in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "relu", "abs")},
}


def positive(z: complex) -> bool:
    """Whether the real part is above 0. Raises ArithmeticError where it is 0 and the branches meet."""
    if complex(z).real == 0:
        raise ArithmeticError("on a kink")
    return complex(z).real > 0


def complex_power(x: complex, y: complex) -> complex:
    """xʸ of complex numbers; Python's own loses a tiny imaginary part beside a negative real one."""
    x, y = complex(x), complex(y)
    if x == 0:
        return 1 + 0j if y == 0 else 0j
    return (-x) ** y * (-1) ** int(y.real) if x.real < 0 else x**y


def complex_sigmoid(z: complex) -> complex:
    """1/(1 + e^−z) of a complex number."""
    return 1 / (1 + cmath.exp(-z)) if complex(z).real >= 0 else cmath.exp(z) / (1 + cmath.exp(z))


COMPLEX: dict[str, Callable] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "^": complex_power,
    "sigmoid": complex_sigmoid,
    "relu": lambda z: z if positive(z) else 0j,
    "abs": lambda z: z if positive(z) else -z,
    "max": lambda x, y: x if positive(x - y) else y,
    "min": lambda x, y: y if positive(x - y) else x,
    **{name: getattr(cmath, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh")},
}
