"""A function of x, or of x and y, from a text such as '0.2+0.4*x^2+sin(15*x)': its values and its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.errors import InputError
from trainlab.studies.expression import Apply, Grammar, Term, Variable, operations
from trainlab.studies.expression import variables as variables_of

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "sigmoid": torch.sigmoid,
    "abs": torch.abs,
}
MOST_CHARACTERS = 300
EXAMPLE = "0.2+0.4*x^2+0.3*x*sin(15*x)"


@dataclass(frozen=True)
class Expression:
    """A function that was typed, to be called with float64 arrays of one shape.

    option: its name on the command line. text: as typed. term: what was read. variables: those that it may have, such
    as ("x", "y"); it has one of them at least.
    """

    option: str
    text: str
    term: Term
    variables: tuple[str, ...]

    @property
    def has_kinks(self) -> bool:
        """Whether `abs` is in it; at its kink f″ is infinite, of which autograd sees nothing."""
        return "abs" in operations(self.term)

    def tensor(self, **values: Tensor) -> Tensor:
        """The values of the expression for float64 tensors of one shape, given by the names of the variables; with
        gradients.

        Raises InputError where it divides by zero, leaves the domain of log or sqrt, or is not finite. In one dimension
        the values are taken to be ascending: a denominator that changes its sign has been 0 on the way.
        """
        outcome = _Values(self, values).of(self.term)
        some = next(iter(values.values()))
        outcome = outcome.expand(some.shape) if outcome.shape != some.shape else outcome
        self._refuse(~torch.isfinite(outcome.detach()), values, "is no finite number")
        return outcome

    def __call__(self, *points: np.ndarray) -> np.ndarray:
        """Its values for float64 arrays of one shape, in the order of the variables."""
        tensors = (torch.from_numpy(np.ascontiguousarray(one)) for one in points)
        values = dict(zip(self.variables, tensors, strict=True))
        return self.tensor(**values).detach().numpy().copy()

    def _refuse(self, wrong: Tensor, values: dict[str, Tensor], why: str) -> None:
        """Raises InputError with the first place where `wrong` (bool, of the shape of the values, or one) is true."""
        if not wrong.any():
            return
        place = ""
        if wrong.ndim:
            first = int(wrong.flatten().nonzero()[0])
            at = (f"{name} = {value.detach().flatten()[first].item():.4g}" for name, value in values.items())
            place = " at " + ", ".join(at)
        raise InputError(f"{self.option}={self.text} {why}{place}; it has to be finite from 0 to 1.")


class _Values:
    """The values of each part of a term."""

    def __init__(self, expression: Expression, values: dict[str, Tensor]) -> None:
        self.expression, self.values = expression, values

    def of(self, term: Term) -> Tensor:
        if isinstance(term, float):
            return torch.tensor(term, dtype=torch.float64)
        if isinstance(term, Variable):
            return self.values[term.name]
        assert isinstance(term, Apply)
        arguments = [self.of(argument) for argument in term.arguments]
        if len(arguments) == 1:
            return self.called(term.operation, arguments[0])
        return self.operated(term.operation, *arguments)

    def operated(self, operation: str, left: Tensor, right: Tensor) -> Tensor:
        if operation == "+":
            return left + right
        if operation == "-":
            return left - right
        if operation == "*":
            return left * right
        if operation == "/":
            self.refuse_zero(right)
            return left / right
        assert operation == "^"
        if right.ndim == 0 and not right.requires_grad:  # as a number, so that x^2 has derivatives at 0
            exponent = float(right)
            if exponent < 0:
                self.refuse_zero(left)
            if not exponent.is_integer():
                self.refuse(left < 0, "takes a broken power of a negative number")
            return left**exponent
        self.refuse(left <= 0, "takes a variable power of a number that is not positive")
        return left**right

    def called(self, name: str, inner: Tensor) -> Tensor:
        if name == "log":
            self.refuse(inner <= 0, "takes the logarithm of a number that is not positive")
        if name == "sqrt":
            self.refuse(inner < 0, "takes the square root of a negative number")
        if name == "tan":
            self.refuse_zero(inner.cos())
        return FUNCTIONS[name](inner)

    def refuse_zero(self, denominator: Tensor) -> None:
        wrong = denominator == 0
        if denominator.ndim == 1:
            wrong = wrong.clone()
            wrong[1:] |= denominator[1:].sign() * denominator[:-1].sign() < 0
        self.refuse(wrong, "divides by zero")

    def refuse(self, wrong: Tensor, why: str) -> None:
        self.expression._refuse(wrong, self.values, why)


def read(option: str, text: str, variables: Sequence[str]) -> Expression:
    """The typed text as a function of these variables.

    option: its name in the sentence of the InputError that is raised for what is no expression, and for a constant.
    """
    grammar = Grammar(option, FUNCTIONS, tuple(variables), EXAMPLE, MOST_CHARACTERS)
    term = grammar.read(text)
    if not variables_of(term):
        raise InputError(f"{option}={text} has no {' or '.join(variables)} in it: there is nothing to approximate.")
    return Expression(option, text, term, grammar.variables)


def derivatives(expression: Expression, points: Tensor, order: int) -> list[np.ndarray]:
    """f, f′, … up to the derivative of this order at `points` (N,), float64 and ascending: an array (N,) each, by
    autograd. They may be infinite.
    """
    x = points.clone().requires_grad_()
    values = [expression.tensor(**{expression.variables[0]: x})]
    for _ in range(order):
        if not values[-1].requires_grad:  # a constant by now
            values.append(torch.zeros_like(points))
            continue
        (slope,) = torch.autograd.grad(values[-1].sum(), x, create_graph=True, allow_unused=True)
        values.append(torch.zeros_like(points) if slope is None else slope)
    return [value.detach().numpy(force=True).copy() for value in values]


def slopes(expression: Expression, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖∇f‖ of an expression in two variables at points x, y, float64 of any one shape; the same shape."""
    points = [torch.from_numpy(p.copy()).requires_grad_() for p in (x, y)]
    total = expression.tensor(**dict(zip(expression.variables, points, strict=True))).sum()
    parts = torch.autograd.grad(total, points, allow_unused=True)
    return np.sqrt(sum(part.numpy() ** 2 for part in parts if part is not None))
