"""A function of x, or of x and y, from a text such as '0.2+0.4*x^2+sin(15*x)': read by a whitelist, never evaluated."""

from __future__ import annotations

import ast
import difflib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainlab.errors import InputError

CONSTANTS = {"pi": math.pi, "e": math.e}
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
MOST_LETTERS = 300


@dataclass(frozen=True)
class Expression:
    """option: its name on the command line. text: as typed. tree: whitelisted. variables: such as ("x", "y")."""

    option: str
    text: str
    tree: ast.expr
    variables: tuple[str, ...]

    @property
    def has_kinks(self) -> bool:
        """Whether `abs` is in it, at the kinks of which autograd sees no curvature."""
        return any(isinstance(node, ast.Name) and node.id == "abs" for node in ast.walk(self.tree))

    def tensor(self, **values: Tensor) -> Tensor:
        """Its values for float64 tensors of one shape, by the names of the variables; with gradients.

        Raises InputError where it divides by zero, leaves the domain of log or sqrt, or is not finite. In one dimension
        the values are taken to be ascending: a denominator that changes its sign has been 0 on the way.
        """
        outcome = _Values(self, values).of(self.tree)
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
    """The values of each node of a tree."""

    def __init__(self, expression: Expression, values: dict[str, Tensor]) -> None:
        self.expression, self.values = expression, values

    def of(self, node: ast.expr) -> Tensor:
        if isinstance(node, ast.Constant):
            return torch.tensor(float(node.value), dtype=torch.float64)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if node.id in self.values:
                return self.values[node.id]
            return torch.tensor(CONSTANTS[node.id], dtype=torch.float64)
        if isinstance(node, ast.UnaryOp):
            inner = self.of(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return self.called(node.func.id, self.of(node.args[0]))
        assert isinstance(node, ast.BinOp)
        return self.operated(node.op, self.of(node.left), self.of(node.right))

    def operated(self, operation: ast.operator, left: Tensor, right: Tensor) -> Tensor:
        if isinstance(operation, ast.Add):
            return left + right
        if isinstance(operation, ast.Sub):
            return left - right
        if isinstance(operation, ast.Mult):
            return left * right
        if isinstance(operation, ast.Div):
            self.refuse_zero(right)
            return left / right
        assert isinstance(operation, ast.Pow)
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
    """`text` as an expression in these variables; ^ and ** are both powers. Raises InputError, a sentence."""
    if not text.strip():
        raise InputError(f"{option}= is empty; write a function of {' and '.join(variables)}, such as {option}='x^2'.")
    if len(text) > MOST_LETTERS:
        raise InputError(f"{option} has {len(text)} characters, and {MOST_LETTERS} are the most.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of 2(x), which is refused below
            tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f"{option}={text} cannot be read as an expression; write it like {option}='0.2+0.4*x^2+0.3*x*sin(15*x)', "
            "every product with *."
        ) from error
    found = Expression(option, text, tree, tuple(variables))
    _check(found, tree)
    if not any(isinstance(node, ast.Name) and node.id in variables for node in ast.walk(tree)):
        raise InputError(f"{option}={text} has no {' or '.join(variables)} in it: there is nothing to approximate.")
    return found


def _check(expression: Expression, node: ast.AST) -> None:
    """Raises InputError for whatever is not on the list."""
    option, variables = expression.option, expression.variables
    names = [*variables, *CONSTANTS]
    if isinstance(node, ast.Constant):
        if type(node.value) not in (int, float):
            raise InputError(f"{option} has {node.value!r} in it, which is no number.")
        try:
            finite = math.isfinite(float(node.value))  # type: ignore[arg-type]
        except OverflowError:
            finite = False
        if not finite:
            raise InputError(f"{option} has a number in it that is too large.")
    elif isinstance(node, ast.Name):
        if node.id in FUNCTIONS:
            raise InputError(f"{option} has {node.id} without its argument; write {node.id}({variables[0]}).")
        if node.id not in names:
            near = difflib.get_close_matches(node.id, [*names, *FUNCTIONS], 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}."
            raise InputError(f"{option} has {node.id} in it, which it does not know; {hint}")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(expression, node.operand)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        _check(expression, node.left)
        _check(expression, node.right)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if name in names:
            raise InputError(f"{option} has {name}(…) in it; a product is written {name}*(…).")
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}."
            raise InputError(f"{option} has the function {name} in it, which it does not know; {hint}")
        if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
            raise InputError(f"{option} has {name} with {len(node.args)} arguments, and it takes one.")
        _check(expression, node.args[0])
    elif isinstance(node, ast.Call):
        raise InputError(f"{option} has {ast.unparse(node)} in it; a product is written with *.")
    else:
        raise InputError(
            f"{option} has {ast.unparse(node)!r} in it, which is not on the list: + - * / ^, parentheses, numbers, "
            f"{', '.join(names)}, and {', '.join(FUNCTIONS)}."
        )


def derivatives(expression: Expression, points: Tensor, order: int) -> list[np.ndarray]:
    """f, f′, … f⁽ᵒʳᵈᵉʳ⁾ at float64 `points` (N,), ascending; exact, by autograd. They may be infinite."""
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
    """|∇f| at float64 points of two variables, of any shape."""
    points = [torch.from_numpy(p.copy()).requires_grad_() for p in (x, y)]
    total = expression.tensor(**dict(zip(expression.variables, points, strict=True))).sum()
    parts = torch.autograd.grad(total, points, allow_unused=True)
    return np.sqrt(sum(part.numpy() ** 2 for part in parts if part is not None))
