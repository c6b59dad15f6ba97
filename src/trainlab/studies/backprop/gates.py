"""From an expression to its gates: the values of its variables, and sigmoids as one gate or as four."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping

from trainlab.errors import InputError
from trainlab.studies.backprop.graph import Graph, Node
from trainlab.studies.backprop.operations import FUNCTIONS
from trainlab.studies.expression import (
    ALSO_CALLED,
    CONSTANTS,
    Apply,
    Grammar,
    Term,
    Variable,
    cut,
    variables,
    written,
)

GRAMMAR = Grammar("expr", FUNCTIONS, example="x*y+exp(z)")


def check_values(term: Term, values: Mapping[str, float], taken: tuple[str, ...] = ()) -> dict[str, float]:
    """The values of a term's variables, in the order of the variables' first appearance.

    taken: names that are options of the command. Raises InputError where a variable has no finite value or is an
    option, and for a value of anything else.
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
    """The graph with the gates of `term` in it, arguments before what uses them; all values are computed.

    Raises InputError that says at which part of the expression something is not defined.
    """

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
    """u, where the term is written as −u, be it as (−1)·u, −2·v or −v/w; None where it is not."""
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
