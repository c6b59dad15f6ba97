"""An expression typed by a person, as a tree. It is read by a list of what is allowed, and nothing of it is executed.

    parse("1/(1+exp(-(w0*x0+w1*x1+w2)))")

Python's own grammar with one change: ^ is a power, as everybody types it (in Python it is an exclusive or).
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from trainlab.errors import InputError
from trainlab.studies.backprop.graph import Graph, Node
from trainlab.studies.backprop.operations import FUNCTIONS

MOST_OPERATIONS, MOST_CHARACTERS = 200, 2000
CONSTANTS = {"pi": math.pi, "π": math.pi, "e": math.e}
ALSO_CALLED = {"ln": "log", "σ": "sigmoid"}
BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^"}
# What a slide or a document has where a keyboard has something else
COPIED = str.maketrans({"^": "**", "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "²": "**2", "³": "**3"})
LANGUAGE = f"numbers, names, + - * / ^, parentheses, and {', '.join(FUNCTIONS)}"


@dataclass(frozen=True)
class Variable:
    """A named number of the formula."""

    name: str


@dataclass(frozen=True)
class Apply:
    """An operation on its arguments. operation: a key of OPERATIONS."""

    operation: str
    arguments: tuple[Term, ...]


Term: TypeAlias = "float | Variable | Apply"


def parse(text: str) -> Term:
    """Read a typed formula as a term. Raises InputError, one sentence, for all that is no arithmetic of named
    numbers, and for what is too large.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"expr has {len(text):,} characters, and {MOST_CHARACTERS:,} are the most.")
    typed = " ".join(text.translate(COPIED).split())
    if not typed:
        raise InputError("expr= is empty; it is a formula such as expr='x*y+exp(z)'.")
    if "#" in typed:
        raise InputError(f"expr has a #, and may only have {LANGUAGE}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks on 1if and the like
            body = ast.parse(typed, mode="eval").body
    except SyntaxError as error:
        for word in re.findall(r"\w+", typed):
            if keyword.iskeyword(word):
                raise InputError(f"expr has the word {word}, which cannot be a variable; use another.") from error
        rest = as_written(typed[max(0, (error.offset or 1) - 1) :])
        where = f"at '{cut(rest)}'" if rest else "to its end"
        raise InputError(
            f"expr='{cut(text)}' cannot be read {where}; a product is written 2*x, a power x^2, a function exp(x)."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError("expr cannot be read: it is nested too deeply, or has signs that are none.") from error
    operations = sum(isinstance(n, ast.expr) and not isinstance(n, ast.Name | ast.Constant) for n in ast.walk(body))
    if operations > MOST_OPERATIONS:
        raise InputError(f"expr has {operations} operations, and {MOST_OPERATIONS} are the most.")
    return Reader(typed).read(body)


class Reader:
    """From Python's syntax tree to ours: every kind of node that is not named here is refused."""

    def __init__(self, typed: str) -> None:
        self.typed = typed

    def read(self, node: ast.expr) -> Term:
        """One node of Python's syntax tree as a term. Raises InputError for one that is not on the list."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return self.number(node)
        if isinstance(node, ast.Name):
            return self.name(node.id)
        if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
            left, right = self.read(node.left), self.read(node.right)
            if isinstance(node.op, ast.Pow) and left == math.e:
                return Apply("exp", (right,))
            return Apply(BINARY[type(node.op)], (left, right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            operand = self.read(node.operand)
            if isinstance(node.op, ast.UAdd):
                return operand
            return -operand if isinstance(operand, float) else Apply("*", (-1.0, operand))
        if isinstance(node, ast.Call):
            return self.call(node)
        raise InputError(f"expr has '{self.excerpt(node)}', and may only have {LANGUAGE}.")

    def number(self, node: ast.Constant) -> float:
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise InputError(f"expr has {self.excerpt(node)}, which is too large for a number in double precision.")
        return value

    def name(self, name: str) -> Term:
        if name in FUNCTIONS or name in ALSO_CALLED:
            raise InputError(f"expr has {name} without parentheses; a function is written {name}(x).")
        return CONSTANTS[name] if name in CONSTANTS else Variable(name)

    def call(self, node: ast.Call) -> Term:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        name = ALSO_CALLED.get(name, name)
        if name not in FUNCTIONS:
            raise InputError(
                f"expr has '{self.excerpt(node)}', and {self.excerpt(node.func)} is no function; there are "
                f"{', '.join(FUNCTIONS)}, and a product is written with *."
            )
        many = name in ("max", "min")
        if node.keywords or not (len(node.args) >= 2 if many else len(node.args) == 1):
            raise InputError(f"expr has '{self.excerpt(node)}', and {name} takes {'two or more' if many else 'one'}.")
        first, *rest = [self.read(argument) for argument in node.args]
        for argument in rest:
            first = Apply(name, (first, argument))
        return first if many else Apply(name, (first,))

    def excerpt(self, node: ast.expr) -> str:
        return cut(as_written(ast.get_source_segment(self.typed, node) or ""))


def as_written(typed: str) -> str:
    """Python's spelling of a formula as people type it: ^ for **."""
    return typed.replace("**", "^")


def cut(text: str, length: int = 40) -> str:
    """The text, with … for what is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def variables(term: Term) -> list[str]:
    """Their names, in the order of their first appearance."""
    if isinstance(term, Variable):
        return [term.name]
    if isinstance(term, Apply):
        return list(dict.fromkeys(name for argument in term.arguments for name in variables(argument)))
    return []


def check_values(term: Term, values: Mapping[str, float], taken: tuple[str, ...] = ()) -> dict[str, float]:
    """One finite value for each variable, and none for anything else. taken: names that are options of a command.

    Returns them in the order of their first appearance. Raises InputError.
    """
    given = {unicodedata.normalize("NFKC", name): float(value) for name, value in values.items()}  # as Python reads
    names = variables(term)
    for name, value in given.items():
        if name in CONSTANTS:
            raise InputError(f"{name} is the constant {CONSTANTS[name]:.6g}; call the variable something else.")
        if name in FUNCTIONS or name in ALSO_CALLED:
            raise InputError(f"{name} is a function; call the variable something else.")
        if name not in names:
            has = f"it has {', '.join(names)}" if names else "it has no variable"
            raise InputError(f"{name}={value:g} is given, and expr has no {name}; {has}.")
        if not math.isfinite(value):
            raise InputError(f"{name}={value} has to be a finite number.")
    if not names:
        raise InputError("expr has no variable, so that there is nothing to differentiate by.")
    for name in names:
        if name in taken:
            raise InputError(f"expr has a variable {name}, which is an option of this study; call it something else.")
    missing = [name for name in names if name not in given]
    if missing:
        raise InputError(
            f"expr has no value for {', '.join(missing)}; add {' '.join(f'{name}=…' for name in missing)}."
        )
    if isinstance(term, Variable):
        raise InputError(f"expr={term.name} is a variable alone, without an operation to go back through.")
    return {name: given[name] for name in names}


def build(term: Term, values: Mapping[str, float], graph: Graph) -> Graph:
    """The gates of `term`, arguments before what uses them. Raises InputError that says at which part of it."""

    def grow(part: Term) -> Node | float:
        if isinstance(part, float):
            return part
        if isinstance(part, Variable):
            return graph.leaf(part.name, values[part.name])
        arguments = [grow(argument) for argument in part.arguments]
        try:
            return graph.apply(part.operation, *arguments)
        except InputError as error:
            raise InputError(f"expr cannot be used at '{cut(written(part))}': {error}") from error

    grow(term)
    if not graph.gates:
        raise InputError("expr does not depend on any variable, so that there is nothing to differentiate by.")
    return graph


STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}  # of an operation's hold on what stands beside it


def written(term: Term) -> str:
    """As a person would type it, with the parentheses that it needs: parse(written(t)) is t again."""
    return _written(term)[0]


def _written(term: Term) -> tuple[str, float]:
    """The text, and how firmly it holds together."""
    if isinstance(term, float):
        names = {value: name for name, value in CONSTANTS.items() if name != "π"}
        text = names.get(term) or repr(term).removesuffix(".0")
        return text, 5 if term >= 0 else 3
    if isinstance(term, Variable):
        return term.name, 5
    operation, parts = term.operation, [_written(argument) for argument in term.arguments]
    if operation not in STRENGTH:
        return f"{operation}({', '.join(text for text, _ in parts)})", 5
    own, (left, right) = STRENGTH[operation], parts
    if operation == "*" and term.arguments[0] == -1.0 and not isinstance(term.arguments[1], float):
        return "-" + (right[0] if right[1] >= 3 else f"({right[0]})"), 3
    # a − (b − c), a/(b/c) and (a^b)^c need their parentheses, (a − b) − c and a^(b^c) do not
    before = left[0] if (left[1] > own if operation == "^" else left[1] >= own) else f"({left[0]})"
    after = right[0] if (right[1] >= 3 if operation == "^" else right[1] > own) else f"({right[0]})"
    return f"{before}{operation}{after}", own


def with_sigmoid_gates(term: Term) -> Term:
    """Every 1/(1 + exp(−u)) as the one gate σ(u)."""
    if not isinstance(term, Apply):
        return term
    match term:
        case Apply("/", (1.0, Apply("+", (1.0, Apply("exp", (v,))) | (Apply("exp", (v,)), 1.0)))):
            u = negated(v)
            if u is not None:
                return Apply("sigmoid", (with_sigmoid_gates(u),))
    return Apply(term.operation, tuple(with_sigmoid_gates(argument) for argument in term.arguments))


def negated(term: Term) -> Term | None:
    """u, where the term is written as −u; None where it is not."""
    match term:
        case Apply("*", (-1.0, u)):
            return u
        case Apply("*" | "/" as operation, (float(c), u)) if c < 0:
            return Apply(operation, (-c, u))
        case Apply("*" | "/" as operation, (left, right)):
            rest = negated(left)
            return None if rest is None else Apply(operation, (rest, right))
    return None


def without_sigmoid_gates(term: Term) -> Term:
    """Every σ(u) as 1/(1 + exp(−u))."""
    if not isinstance(term, Apply):
        return term
    arguments = tuple(without_sigmoid_gates(argument) for argument in term.arguments)
    if term.operation != "sigmoid":
        return Apply(term.operation, arguments)
    return Apply("/", (1.0, Apply("+", (1.0, Apply("exp", (Apply("*", (-1.0, *arguments)),))))))
