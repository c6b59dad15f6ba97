"""An expression typed by a person, as a tree. It is read by a list of what is allowed, and nothing of it is executed.

    Grammar("expr", functions=("exp",)).read("1/(1+exp(-(w0*x0+w1*x1+w2)))")

Python's own grammar with one change: ^ is a power, as everybody types it (in Python it is an exclusive or). What the
tree is good for is the studies' own: `approximation` takes its values and derivatives, `backprop` makes gates of it.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from trainlab.errors import InputError

MOST_OPERATIONS = 200
CONSTANTS = {"pi": math.pi, "π": math.pi, "e": math.e}
ALSO_CALLED = {"ln": "log", "σ": "sigmoid"}
OF_MANY = ("max", "min")  # take two arguments or more; every other function takes one
BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^"}
# What a slide or a document has where a keyboard has something else
COPIED = str.maketrans({"^": "**", "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "²": "**2", "³": "**3"})


@dataclass(frozen=True)
class Variable:
    """A named number of an expression."""

    name: str


@dataclass(frozen=True)
class Apply:
    """An operation on its arguments. operation: "+", "-", "*", "/", "^" (two arguments), or a function's name."""

    operation: str
    arguments: tuple[Term, ...]


Term: TypeAlias = "float | Variable | Apply"


@dataclass(frozen=True)
class Grammar:
    """What may be typed as the value of an option.

    option: its name on the command line. functions: their names. variables: their names; where there are none, any
    name is one. example: an expression, for the sentence that says what is wrong. most_characters: of the text.
    """

    option: str
    functions: Collection[str]
    variables: tuple[str, ...] = ()
    example: str = "x^2"
    most_characters: int = 2000

    @property
    def language(self) -> str:
        """All that it allows, as the end of a sentence."""
        names = ", ".join((*self.variables, "pi", "e")) if self.variables else "names"
        return f"numbers, {names}, + - * / ^, parentheses, and {', '.join(self.functions)}"

    def read(self, text: str) -> Term:
        """The typed text as a term. −u is (−1)·u and e^u is exp(u).

        Raises InputError, one sentence, for all that is no arithmetic of numbers and names, and for what is too large.
        """
        option = self.option
        if len(text) > self.most_characters:
            raise InputError(f"{option} has {len(text):,} characters, and {self.most_characters:,} are the most.")
        typed = " ".join(text.translate(COPIED).split())
        if not typed:
            raise InputError(f"{option}= is empty; it is a formula such as {option}='{self.example}'.")
        if "#" in typed:
            raise InputError(f"{option} has a #, and may only have {self.language}.")
        body = self._parsed(typed, cut(text))
        operations = sum(isinstance(n, ast.expr) and not isinstance(n, ast.Name | ast.Constant) for n in ast.walk(body))
        if operations > MOST_OPERATIONS:
            raise InputError(f"{option} has {operations} operations, and {MOST_OPERATIONS} are the most.")
        return _Reader(self, typed).read(body)

    def _parsed(self, typed: str, shown: str) -> ast.expr:
        """Python's syntax tree of the typed text. shown: the text in the sentence of the InputError."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's remarks on 2(x), 1if and the like
                return ast.parse(typed, mode="eval").body
        except SyntaxError as error:
            for word in re.findall(r"\w+", typed):
                if keyword.iskeyword(word):
                    raise InputError(
                        f"{self.option} has the word {word}, which cannot be a variable; use another."
                    ) from error
            rest = as_written(typed[max(0, (error.offset or 1) - 1) :])
            where = f"at '{cut(rest)}'" if rest else "to its end"
            raise InputError(
                f"{self.option}='{shown}' cannot be read {where}; a product is written 2*x, a power x^2, a function "
                "exp(x)."
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise InputError(
                f"{self.option} cannot be read: it is nested too deeply, or has characters that no formula has."
            ) from error


class _Reader:
    """From Python's syntax tree to ours: every kind of node that is not named here is refused."""

    def __init__(self, grammar: Grammar, typed: str) -> None:
        self.grammar, self.option, self.typed = grammar, grammar.option, typed

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
        raise InputError(f"{self.option} has '{self.excerpt(node)}', and may only have {self.grammar.language}.")

    def number(self, node: ast.Constant) -> float:
        """A finite float64."""
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise InputError(
                f"{self.option} has {self.excerpt(node)}, which is too large for a number in double precision."
            )
        return value

    def name(self, name: str) -> Term:
        """A constant's value, or a variable."""
        if ALSO_CALLED.get(name, name) in self.grammar.functions:
            raise InputError(f"{self.option} has {name} without parentheses; a function is written {name}(x).")
        if name in CONSTANTS:
            return CONSTANTS[name]
        known = self.grammar.variables
        if known and name not in known:
            hint = _nearest(name, (*known, "pi", "e", *self.grammar.functions), f"there are {', '.join(known)}")
            raise InputError(f"{self.option} has {name} in it, which it does not know; {hint}")
        return Variable(name)

    def call(self, node: ast.Call) -> Term:
        """A function of its arguments: max and min of many are nested in twos, max(max(a, b), c)."""
        functions = self.grammar.functions
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        name = ALSO_CALLED.get(name, name)
        if name not in functions:
            hint = _nearest(name, functions, f"there are {', '.join(functions)}")
            raise InputError(
                f"{self.option} has '{self.excerpt(node)}', and {self.excerpt(node.func)} is no function; {hint} A "
                "product is written with *."
            )
        many = name in OF_MANY
        if node.keywords or not (len(node.args) >= 2 if many else len(node.args) == 1):
            raise InputError(
                f"{self.option} has '{self.excerpt(node)}', and {name} takes {'two or more' if many else 'one'}."
            )
        first, *rest = [self.read(argument) for argument in node.args]
        for argument in rest:
            first = Apply(name, (first, argument))
        return first if many else Apply(name, (first,))

    def excerpt(self, node: ast.expr) -> str:
        """The part of the text that a node stands for, as it was typed, of 40 characters at most."""
        return cut(as_written(ast.get_source_segment(self.typed, node) or ""))


def _nearest(word: str, words: Collection[str], otherwise: str) -> str:
    """What to write instead, with its full stop or question mark."""
    near = difflib.get_close_matches(word, list(words), 1)
    return f"did you mean {near[0]}?" if near else f"{otherwise}."


def as_written(typed: str) -> str:
    """Python's spelling of a formula as people type it: ^ for **."""
    return typed.replace("**", "^")


def cut(text: str, length: int = 40) -> str:
    """The text, with … for what is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def operations(term: Term) -> set[str]:
    """Which operations and functions a term has, at any depth."""
    if not isinstance(term, Apply):
        return set()
    return {term.operation}.union(*map(operations, term.arguments))


def variables(term: Term) -> list[str]:
    """The names of a term's variables, in the order of their first appearance."""
    if isinstance(term, Variable):
        return [term.name]
    if isinstance(term, Apply):
        return list(dict.fromkeys(name for argument in term.arguments for name in variables(argument)))
    return []


STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}  # of an operation's hold on what stands beside it


def written(term: Term) -> str:
    """As a person would type it, with the parentheses that it needs: what is read from it is the term again."""
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
