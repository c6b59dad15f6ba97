"""The gates: what each computes forwards, and its local derivatives, which is all that backpropagation needs of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """What a gate computes, and how that is written.

    forward: of the arguments x, y, … derivatives: one for each argument, of the arguments and the result; the last one
    serves all that follow. sign: in the gate's circle. written, derivatives_written: with {0}, {1} for the arguments
    and {z} for the result. needs: what the arguments have to be, for a sentence.
    """

    forward: Callable[..., float]
    derivatives: tuple[Callable[..., float], ...]
    sign: str
    written: str
    derivatives_written: tuple[str, ...]
    needs: str = ""

    def derivative(self, argument: int) -> Callable[..., float]:
        """The derivative by the argument with this number, counted from 0."""
        return self.derivatives[min(argument, len(self.derivatives) - 1)]


def sigmoid(x: float) -> float:
    """1/(1 + e⁻ˣ), written so that e to the power does not overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def power_by_base(x: float, y: float, z: float) -> float:
    """∂(xʸ)/∂x = y xʸ⁻¹; z is xʸ."""
    return y * x ** (y - 1) if y != 0 else 0.0


def power_by_exponent(x: float, y: float, z: float) -> float:
    """∂(xʸ)/∂y = z log x, where z is xʸ; at x = 0 it is 0, the limit for y > 0. Raises ValueError where xʸ is no smooth
    function of y.
    """
    return 0.0 if x == 0 and y > 0 else z * math.log(x)


def greater(x: float, y: float) -> float:
    """∂max(x, y)/∂x: the greater one gets the whole gradient, and at a tie each gets half, as in torch."""
    return 1.0 if x > y else 0.5 if x == y else 0.0


OPERATIONS = {
    "+": Operation(lambda x, y: x + y, (lambda x, y, z: 1.0,), "+", "{0} + {1}", ("1",)),
    "-": Operation(lambda x, y: x - y, (lambda x, y, z: 1.0, lambda x, y, z: -1.0), "−", "{0} − {1}", ("1", "−1")),
    "*": Operation(lambda x, y: x * y, (lambda x, y, z: y, lambda x, y, z: x), "×", "{0} · {1}", ("{1}", "{0}")),
    "/": Operation(
        lambda x, y: x / y, (lambda x, y, z: 1 / y, lambda x, y, z: -z / y), "÷", "{0}/{1}", ("1/{1}", "−{0}/{1}²")
    ),
    "^": Operation(
        lambda x, y: x**y,
        (power_by_base, power_by_exponent),
        "xʸ",
        "{0}^{1}",
        ("{1}·{0}^({1} − 1)", "{z}·log({0})"),
        "only a number above 0 has powers with any exponent",
    ),
    "sum": Operation(lambda *x: sum(x), (lambda *x: 1.0,), "Σ", "", ("1",)),
    "exp": Operation(math.exp, (lambda x, z: z,), "exp", "exp({0})", ("exp({0})",)),
    "log": Operation(math.log, (lambda x, z: 1 / x,), "log", "log({0})", ("1/{0}",), "log needs more than 0"),
    "sqrt": Operation(math.sqrt, (lambda x, z: 1 / (2 * z),), "√", "√{0}", ("1/(2·{z})",), "sqrt needs at least 0"),
    "sin": Operation(math.sin, (lambda x, z: math.cos(x),), "sin", "sin({0})", ("cos({0})",)),
    "cos": Operation(math.cos, (lambda x, z: -math.sin(x),), "cos", "cos({0})", ("−sin({0})",)),
    "tan": Operation(math.tan, (lambda x, z: 1 + z * z,), "tan", "tan({0})", ("1 + {z}²",)),
    "tanh": Operation(math.tanh, (lambda x, z: 1 - z * z,), "tanh", "tanh({0})", ("1 − {z}²",)),
    "sigmoid": Operation(sigmoid, (lambda x, z: z * (1 - z),), "σ", "σ({0})", ("{z}·(1 − {z})",)),
    "relu": Operation(
        lambda x: max(x, 0.0), (lambda x, z: 1.0 if x > 0 else 0.0,), "relu", "relu({0})", ("[{0} > 0]",)
    ),
    "abs": Operation(abs, (lambda x, z: greater(x, 0) - greater(0, x),), "|x|", "|{0}|", ("sign({0})",)),
    "max": Operation(
        max,
        (lambda x, y, z: greater(x, y), lambda x, y, z: greater(y, x)),
        "max",
        "max({0}, {1})",
        ("[{0} > {1}]", "[{1} > {0}]"),
    ),
    "min": Operation(
        min,
        (lambda x, y, z: greater(y, x), lambda x, y, z: greater(x, y)),
        "min",
        "min({0}, {1})",
        ("[{0} < {1}]", "[{1} < {0}]"),
    ),
}
FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "relu", "abs", "max", "min")
