"""Backpropagation on the graph of any expression, gate by gate, and on that of a small network.

Lecture: "¿Y qué relación tiene esto con Deep Learning y backprop?", and "Another example", 1/(1 + e^−(w0x0+w1x1+w2)).
Every gate knows the derivatives of its own result only. Backwards, each edge gets local gradient × upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.backprop.display import Pass, derivative, digits, formula, typeset, vertices_of
from trainlab.studies.backprop.gates import GRAMMAR, build, check_values, with_sigmoid_gates, without_sigmoid_gates
from trainlab.studies.backprop.graph import Graph
from trainlab.studies.backprop.network import Network, small_network, softmax_minus_label
from trainlab.studies.backprop.oracles import (
    BOUND,
    by_autograd,
    by_complex_steps,
    disagreement,
    rounding,
    worked_example,
)
from trainlab.studies.backprop.sentences import caption, of_logits, remarks, repeated, same_leaves, seen
from trainlab.studies.expression import Term, written
from trainlab.studies.finding import Finding, Oracle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LECTURE = "1/(1+exp(-(w0*x0+w1*x1+w2)))"
LECTURE_VALUES = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
OPTIONS = ("expr", "model", "hidden", "data", "example", "steps", "seed", "lang", "run_dir", "logger")
LETTERS = "uvghkq"  # the gates are called by the first that no variable begins with


def study(
    *,
    expr: str = LECTURE,
    model: str | None = None,
    hidden: Sequence[int] | None = None,
    data: str | None = None,
    example: int | None = None,
    steps: bool = False,
    seed: int = 1,
    lang: str = "en",
    **values: float,
) -> Finding:
    """The graph of `expr` at these values of its variables, or of a network with one of its training examples.

        study(expr="x*y + sin(x)", x=2, y=-1).section.figures["backprop"]()

    model: mlp, mlp-tanh or mlp-sigmoid, with layers of `hidden` neurons ([3] if None), new weights by `seed` and the
    training example number `example` (0) of moons, circles or linear (moons); then no `expr` and no `values`. steps:
    one more picture for each gate on the way back, and an animation. Values that the lecture's expression is not given
    are the lecture's. Raises InputError.
    """
    say = speaker(lang)
    if model is not None:
        if values or expr != LECTURE:
            raise InputError(f"model={model} and an expression are two graphs; give one of them.")
        source, index = data or "moons", example or 0
        found = small_network(model, hidden if hidden is not None else (3,), source, index, seed)
        label = say(
            f"example {index} of {source}, class {found.label}", f"ejemplo {index} de {source}, clase {found.label}"
        )
        return of_network(found, f"{model} {found.widths}, {label}", say, steps)
    for name, value in (("hidden", hidden), ("data", data), ("example", example)):
        if value is not None:
            raise InputError(f"{name}={value} is about a network; add model=mlp.")
    return of_expression(GRAMMAR.read(expr), values, say, steps)


def of_expression(term: Term, values: Mapping[str, float], say: Say, steps: bool = False) -> Finding:
    """The finding of an expression at these values of its variables. Raises InputError where they are not right, or the
    expression is not defined there.
    """
    of_the_lecture = term == GRAMMAR.read(LECTURE)
    known = check_values(term, {**LECTURE_VALUES, **values} if of_the_lecture else values, taken=OPTIONS)
    found = measure(term, known)
    spread = rounding(term, known, found.gradients)
    held = against_other_means(term, known, found.gradients, spread, say)
    sentences = [seen(found, say), *repeated(found, say), *remarks(found, spread, len(held) > 1, say)]
    figures = {}
    if of_the_lecture:
        held.append(against_the_lecture(found, known, say))
    for other in regrouped(term, known):
        heading = say(f"The sigmoid {other.form[0]}", f"La sigmoide {other.form[1]}")
        title = f"{heading}: f = {typeset(written(other.term), 60)}"
        figures["sigmoid"] = partial(draw, other.found, title, say)
        sentences.append(same_leaves(found, other.found, heading, say))
        held.append(
            against_each_other(found, other, heading, spread, rounding(other.term, known, other.found.gradients), say)
        )
    title = f"Backpropagation: f = {typeset(written(term), 90)}"
    return replace(report(found, title, sentences, tuple(held), figures, say, steps), seeded=False)


def of_network(found: Network, name: str, say: Say, steps: bool = False) -> Finding:
    """The finding of a network: the loss of one example, J, by every weight, bias and input. name: of the network and
    the example.
    """
    way = Pass(found.graph, found.edges, "J")
    title = f"Backpropagation: {name}"
    gradients = "mayor diferencia de los gradientes de pesos, sesgos y entradas"
    held = (
        Oracle(
            "autograd",
            disagreement(way.gradients, found.gradients),
            BOUND,
            say(
                "torch's autograd through the network itself, float64: largest difference of the gradients of weights, "
                "biases and inputs",
                f"autograd de torch sobre la propia red, en float64: {gradients}",
            ),
        ),
        Oracle(
            "softmax",
            softmax_minus_label(found),
            BOUND,
            say("gradient of the logits = softmax − y: largest difference", "gradiente de los logits = softmax − y"),
        ),
    )
    return report(
        way, title, [seen(way, say), *of_logits(found, say), *remarks(way, {}, True, say)], held, {}, say, steps
    )


def measure(term: Term, values: Mapping[str, float]) -> Pass:
    """A graph with its values and gradients. values: of all variables. Raises InputError where something is not
    defined.
    """
    names = tuple(values)
    letter = next((one for one in LETTERS if not any(name.startswith(one) for name in names)), "gate")
    graph = build(term, values, Graph(letter))
    return Pass(graph, graph.backward())


@dataclass(frozen=True)
class Regrouped:
    """The same function with other gates. found: its values and gradients. form: how that is said, in English and in
    Spanish.
    """

    term: Term
    found: Pass
    form: tuple[str, str]


def regrouped(term: Term, values: Mapping[str, float]) -> list[Regrouped]:
    """The same function with every sigmoid as one gate, or, where it is one already, in its parts.

    Empty where there is no sigmoid, and where its parts overflow.
    """
    other, form = with_sigmoid_gates(term), ("as one gate", "como una sola compuerta")
    if other == term:
        other, form = without_sigmoid_gates(term), ("in its parts", "por partes")
    if other == term:
        return []
    try:
        return [Regrouped(other, measure(other, values), form)]
    except InputError:
        return []


def against_each_other(
    found: Pass, other: Regrouped, heading: str, spread: Mapping[str, float], others: Mapping[str, float], say: Say
) -> Oracle:
    """The two groupings checked against each other. spread, others: what rounding does to the gradients of either."""
    either = {name: max(spread[name], others[name]) for name in spread}
    difference = disagreement(found.gradients, other.found.gradients, either)
    against = say("largest difference of the variables' gradients", "mayor diferencia de los gradientes")
    return Oracle("sigmoid_gate", difference, BOUND, f"{heading}: {against}")


def against_other_means(
    term: Term, values: Mapping[str, float], gradients: Mapping[str, float], spread: Mapping[str, float], say: Say
) -> list[Oracle]:
    """The gradients checked against torch's autograd and, where they apply, complex steps."""
    largest = say("largest difference of the gradients", "mayor diferencia de los gradientes")
    by_torch = disagreement(gradients, by_autograd(term, values), spread)
    held = [
        Oracle(
            "autograd",
            by_torch,
            BOUND,
            say(f"torch's autograd, float64: {largest}", f"autograd de torch, float64: {largest}"),
        )
    ]
    by_steps = by_complex_steps(term, values)
    if by_steps is not None:
        difference = disagreement(gradients, by_steps, spread)
        held.append(Oracle("complex_step", difference, BOUND, f"Im f(x + ih)/h, h = 10⁻³⁰ |x|: {largest}"))
    return held


def against_the_lecture(found: Pass, values: Mapping[str, float], say: Say) -> Oracle:
    """Every node of "Another example" checked, value and gradient, against its closed form."""
    gates, leaves = worked_example(values)
    ours = [*((gate.value, gate.gradient) for gate in found.graph.gates), *((0.0, g) for g in found.gradients.values())]
    theirs = [*gates, *((0.0, leaves[name]) for name in found.gradients)]
    difference = max(
        abs(a - b) / max(1.0, abs(b))
        for mine, right in zip(ours, theirs, strict=True)
        for a, b in zip(mine, right, strict=True)
    )
    return Oracle(
        "worked_example",
        difference,
        4e-15,
        say(
            "the lecture's example in closed form, every value and gradient: largest difference",
            "el ejemplo de la clase en forma cerrada, cada valor y gradiente: mayor diferencia",
        ),
    )


def report(
    found: Pass,
    title: str,
    sentences: Sequence[str],
    held: tuple[Oracle, ...],
    more: Mapping[str, Callable[[], Figure]],
    say: Say,
    steps: bool,
) -> Finding:
    """The finding of one graph: table, numbers and pictures. held: its oracles. more: figures beside the graph. steps:
    whether each step back gets a picture.
    """
    rows = [
        [formula(gate), derivative(edge), digits(edge.upstream), digits(edge.gradient)]
        for gate, edges in found.edges_by_gate
        for edge in edges
    ]
    head = [
        say("gate", "compuerta"),
        say("local gradient", "gradiente local"),
        say("× upstream gradient", "× gradiente que llega"),
        say("= gradient", "= gradiente"),
    ]
    numbers = {"gates": float(len(found.graph.gates)), "edges": float(len(found.edges))}
    for node in (*found.graph.leaves.values(), *found.drawn):
        numbers |= {f"{node.name}/value": node.value, f"{node.name}/gradient": node.gradient}
    figures: dict[str, Callable[[], Figure | None]] = {"backprop": partial(draw, found, title, say), **more}
    animations: dict[str, Callable[[], Iterator[Figure]]] = {}
    if steps:
        frames = [partial(draw, found, title, say, step) for step in range(len(found.drawn) + 1)]
        figures |= {f"step_{step:02d}": frame for step, frame in enumerate(frames)}
        animations["backwards"] = lambda: (frame() for frame in frames)
    return Finding(Section(title, head, rows, sentences, figures), numbers, held, animations)


def draw(found: Pass, title: str, say: Say, step: int | None = None) -> Figure:
    """The graph, whole or up to a step of the way back: 0 is the output alone, then one gate at a time."""
    from trainlab.figures.studies.backprop.picture import Words, graph_of_gates

    return graph_of_gates(vertices_of(found), Words(title, caption(found, say, step)), say, step)
