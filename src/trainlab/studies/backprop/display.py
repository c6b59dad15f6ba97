"""A graph in words and as a picture's vertices: "u8 = 1/u7", "−1/u7² = −0.5344"."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from trainlab.figures.studies.backprop.picture import Vertex, digits
from trainlab.studies.backprop.graph import Edge, Gate, Graph, Node
from trainlab.studies.backprop.operations import OPERATIONS
from trainlab.studies.typesetting import SUPERSCRIPTS, raised

DRAWN, FARTHEST = 60, 23  # gates in a picture and in the table, and gates from one of them to the output, at most


@dataclass(frozen=True)
class Pass:
    """A graph with its values and gradients. edges: in the order of the way back. output: what the result is called."""

    graph: Graph
    edges: list[Edge]
    output: str = "f"

    @property
    def gradients(self) -> dict[str, float]:
        """∂output/∂variable, by the names of the variables."""
        return {name: leaf.gradient for name, leaf in self.graph.leaves.items()}

    @property
    def drawn(self) -> list[Gate]:
        """The gates that are drawn and listed: those nearest to the output."""
        return nearest_to_output(self.graph, DRAWN, FARTHEST)

    @property
    def edges_by_gate(self) -> list[tuple[Gate, list[Edge]]]:
        """The gates that are drawn with their edges, in the order of the way back."""
        drawn = set(self.drawn)
        return [(gate, list(edges)) for gate, edges in groupby(self.edges, lambda e: e.gate) if gate in drawn]


def typeset(written: str, length: int) -> str:
    """An expression as it is printed, · and − for * and -, ² for ^2; of `length` characters at most, then with …"""
    text = raised(written.replace("sigmoid", "σ")).replace("*", "·").replace("-", "−")
    return text if len(text) <= length else text[: length - 1] + "…"


def names_of(gate: Gate) -> list[str]:
    """The arguments of a gate as they stand in a formula, negative constants in parentheses."""
    names = []
    for place, argument in enumerate(gate.arguments):
        text = argument.shown if isinstance(argument, Node) else digits(argument)
        names.append(f"({text})" if place and text.startswith("−") else text)
    return names


def whole_power(gate: Gate) -> int | None:
    """n, where the gate is xⁿ with a whole n; None for another gate."""
    exponent = gate.arguments[1] if gate.operation == "^" else None
    return int(exponent) if isinstance(exponent, float) and exponent.is_integer() and abs(exponent) < 1000 else None


def formula(gate: Gate) -> str:
    """The gate and what it computes, such as "u8 = 1/u7"."""
    names, power = names_of(gate), whole_power(gate)
    if gate.operation == "sum":
        text = " + ".join(names) if len(names) <= 4 else f"{names[0]} + … + {names[-1]}"
    elif power is not None:
        text = names[0] + str(power).translate(SUPERSCRIPTS)
    else:
        text = OPERATIONS[gate.operation].written.format(*names, z=gate.shown)
    return f"{gate.shown} = {text}"


def derivative(edge: Edge) -> str:
    """The local derivative along an edge, such as "∂u8/∂u7 = −1/u7² = −0.5344"."""
    gate, power, value = edge.gate, whole_power(edge.gate), digits(edge.local)
    if power is not None:
        rest = "" if power == 2 else str(power - 1).translate(SUPERSCRIPTS)
        text = f"{digits(power)}·{names_of(gate)[0]}{rest}"
    else:
        rules = OPERATIONS[gate.operation].derivatives_written
        text = rules[min(edge.argument, len(rules) - 1)].format(*names_of(gate), z=gate.shown)
    text = text.removeprefix("(").removesuffix(")") if text.startswith("(−") else text  # a constant alone
    name = f"∂{gate.shown}/∂{edge.node.shown}"
    return f"{name} = {value}" if text == value else f"{name} = {text} = {value}"


def sign(gate: Gate) -> str:
    """What stands in the circle of a gate; constants belong to it: "+1", "1/x", "×−1"."""
    names = ["x" if isinstance(a, Node) else digits(a) for a in gate.arguments]
    constants = [a for a in gate.arguments if not isinstance(a, Node)]
    plain, power = OPERATIONS[gate.operation].sign, whole_power(gate)
    if power is not None:
        return "x" + str(power).translate(SUPERSCRIPTS)
    if not constants or gate.operation == "sum":
        return plain
    if gate.operation in "+*":
        c = digits(constants[0])
        return c if gate.operation == "+" and c.startswith("−") else plain + c
    if gate.operation == "^":
        return f"x^{names[1]}" if names[0] == "x" else f"{names[0]}ˣ"
    if gate.operation in "-/":
        return f"{plain}{names[1]}" if names[0] == "x" else f"{names[0]}{'/' if plain == '÷' else plain}x"
    return f"{plain} {digits(constants[0])}"  # max 0


def nearest_to_output(graph: Graph, most: int, farthest: int) -> list[Gate]:
    """The gates nearest to the output, in the graph's order: `most` of them at most, and none more than `farthest`
    edges away.

    All gates that use one of them are among them.
    """
    distance = dict.fromkeys(graph.gates, 0)
    for gate in reversed(graph.gates):
        for node in gate.inputs:
            if isinstance(node, Gate):
                distance[node] = max(distance[node], distance[gate] + 1)
    near = [gate for gate in graph.gates if distance[gate] <= farthest]
    nearest = set(sorted(near, key=lambda gate: distance[gate])[:most])
    return [gate for gate in graph.gates if gate in nearest]


def vertices_of(found: Pass) -> list[Vertex]:
    """The vertices of the picture of the drawn gates: leaves and gates in the graph's order, the output last."""
    drawn = found.drawn
    steps = {gate: step for step, gate in enumerate(reversed(drawn), start=1)}
    gradients = {(edge.gate, edge.argument): edge.gradient for edge in found.edges}
    place: dict[Node, int] = {}
    vertices: list[Vertex] = []
    for gate in drawn:
        for node in gate.inputs:
            if node not in place:
                kind = "cut" if isinstance(node, Gate) else "leaf"
                place[node] = len(vertices)
                vertices.append(Vertex(kind, node.shown + " …" * (kind == "cut"), "", node.value, node.gradient))
        inputs = tuple(place[node] for node in gate.inputs)
        of_inputs = tuple(gradients[gate, i] for i, a in enumerate(gate.arguments) if isinstance(a, Node))
        place[gate] = len(vertices)
        vertices.append(
            Vertex("gate", sign(gate), gate.shown, gate.value, gate.gradient, inputs, of_inputs, steps[gate])
        )
    last = found.graph.output
    return [*vertices, Vertex("output", found.output, "", last.value, 1.0, (place[last],), (1.0,), 0)]
