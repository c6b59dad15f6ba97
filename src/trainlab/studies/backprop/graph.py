"""A graph of scalar gates in plain Python floats: the values forwards, the gradients backwards.

    graph = Graph()
    x, y = graph.leaf("x", 3.0), graph.leaf("y", 4.0)
    product = graph.apply("*", x, y)              # forwards, gate by gate
    graph.apply("+", product, x)
    graph.backward()                              # backwards, in the opposite order
    x.gradient                                    # 5.0: both ways from x to the output, added up

Lecture: "¿Y qué relación tiene esto con Deep Learning y backprop?"; the chain rule, one gate after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trainlab.errors import InputError
from trainlab.studies.backprop.operations import OPERATIONS


@dataclass(eq=False)
class Node:
    """A variable, or the result of a gate.

    gradient: ∂output/∂this, right after `Graph.backward`. shown: its name as people read it, w₁ for w1.
    """

    name: str
    value: float
    gradient: float = 0.0
    shown: str = ""

    def __post_init__(self) -> None:
        self.shown = self.shown or self.name


@dataclass(eq=False)
class Gate(Node):
    """One operation and its result.

    operation: a key of OPERATIONS. arguments: a float is a constant, which no gradient flows to. local: the derivative
    of this gate by each argument, at the present values; None for a constant.
    """

    operation: str = ""
    arguments: tuple[Node | float, ...] = ()
    local: tuple[float | None, ...] = ()

    @property
    def inputs(self) -> list[Node]:
        """The arguments that are nodes of the graph, and not constants."""
        return [argument for argument in self.arguments if isinstance(argument, Node)]


@dataclass(frozen=True)
class Edge:
    """What flowed back from a gate to one of its arguments: gradient = local × upstream, which is added to
    `node.gradient`. argument: which of the gate's, from 0.
    """

    gate: Gate
    argument: int  # which of the gate's
    node: Node
    local: float
    upstream: float
    gradient: float


class Graph:
    """Scalar gates, in the order in which their values are computed.

    letter: the gates are called u1, u2, … by it. nudge: is applied to the value of each gate, to see what rounding does
    to the gradients.
    """

    def __init__(self, letter: str = "u", nudge: Callable[[float], float] = float) -> None:
        self.leaves: dict[str, Node] = {}
        self.gates: list[Gate] = []
        self.letter, self.nudge = letter, nudge

    @property
    def output(self) -> Gate:
        """The last gate, whose value is the result."""
        return self.gates[-1]

    def leaf(self, name: str, value: float, shown: str = "") -> Node:
        """The variable of this name: one node, however often it is used. value: counts the first time."""
        if name not in self.leaves:
            self.leaves[name] = Node(name, value, shown=shown)
        return self.leaves[name]

    def apply(self, operation: str, *arguments: Node | float) -> Node | float:
        """One gate forwards: its value, and the local derivatives for later. Of constants only it is a constant, and no
        gate.

        operation: a key of OPERATIONS. Raises InputError where the value or a derivative is not defined, or too large
        for a float.
        """
        numbers = [a.value if isinstance(a, Node) else a for a in arguments]
        rule = OPERATIONS[operation]
        what = as_typed(operation, numbers)
        value = self.nudge(checked(rule.forward, numbers, what, rule.needs))
        if not any(isinstance(a, Node) for a in arguments):
            return value
        local = tuple(
            checked(rule.derivative(i), [*numbers, value], "the derivative of " + what, rule.needs)
            if isinstance(a, Node)
            else None
            for i, a in enumerate(arguments)
        )
        name = f"{self.letter}{len(self.gates) + 1}"
        gate = Gate(name, value, operation=operation, arguments=arguments, local=local)
        self.gates.append(gate)
        return gate

    def backward(self) -> list[Edge]:
        """The gradients of the last gate by all nodes; returns what each edge did, in order. Raises InputError where
        one is too large for a float.
        """
        for node in (*self.leaves.values(), *self.gates):
            node.gradient = 0.0
        self.output.gradient = 1.0
        edges = []
        for gate in reversed(self.gates):
            # All gates that use this one come after it in the list: its own gradient is complete by now.
            for place, (argument, local) in enumerate(zip(gate.arguments, gate.local, strict=True)):
                if not isinstance(argument, Node) or local is None:
                    continue
                gradient = local * gate.gradient
                argument.gradient += gradient
                edges.append(Edge(gate, place, argument, local, gate.gradient, gradient))
                if not math.isfinite(argument.gradient):
                    raise InputError(f"the gradient of {argument.name} is too large for a number in double precision.")
        return edges


def checked(function: Callable[..., float], numbers: list[float], what: str, needs: str = "") -> float:
    """function(*numbers), if it is a finite real number. Raises InputError with a sentence about `what`."""
    try:
        value = function(*numbers)
    except ZeroDivisionError as error:
        raise InputError(f"{what} divides by 0.") from error
    except OverflowError as error:
        raise InputError(f"{what} is too large for a number in double precision.") from error
    except ValueError as error:
        raise InputError(f"{what} is not defined{'; ' if needs else ''}{needs}.") from error
    if isinstance(value, complex):
        raise InputError(f"{what} is not a real number; {needs}.")
    if not math.isfinite(value):
        raise InputError(f"{what} is too large for a number in double precision.")
    return float(value)


def as_typed(operation: str, numbers: list[float]) -> str:
    """An operation on numbers as a person would type it, such as "log(-3)" or "1/0"."""
    texts = [f"{number:.6g}" for number in numbers]
    if operation in ("+", "-", "*", "/", "^"):
        return operation.join(f"({text})" if text.startswith("-") else text for text in texts)
    return f"{operation}({', '.join(texts)})"
