"""Backpropagation on the graph of any expression, gate by gate, and on that of a small network.

Lecture: "¿Y qué relación tiene esto con Deep Learning y backprop?" and "Another example", f = 1/(1 + e^−(w0x0+w1x1+w2)).
Every gate knows the derivatives of its own result only. Backwards, each edge gets local gradient × upstream gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from torch import nn

from trainlab.errors import InputError
from trainlab.recording.section import Say, Section, speaker
from trainlab.studies.backprop.display import derivative, digits, formula, nearest_to_output, typeset, vertices_of
from trainlab.studies.backprop.expression import (
    Term,
    build,
    check_values,
    parse,
    with_sigmoid_gates,
    without_sigmoid_gates,
    written,
)
from trainlab.studies.backprop.graph import Edge, Gate, Graph
from trainlab.studies.backprop.network import Network, small_network, softmax_minus_label
from trainlab.studies.backprop.oracles import (
    BOUND,
    by_autograd,
    by_complex_steps,
    disagreement,
    rounding,
    worked_example,
)
from trainlab.studies.finding import Finding, Oracle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LECTURE = "1/(1+exp(-(w0*x0+w1*x1+w2)))"
LECTURE_VALUES = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
OPTIONS = ("expr", "model", "hidden", "data", "example", "steps", "seed", "lang", "run_dir", "logger")
DRAWN = 60  # gates at most in a picture and in the table
LETTERS = "uvghkq"  # the gates are called by the first that no variable begins with


@dataclass(frozen=True)
class Pass:
    """Forwards and backwards through one graph. edges: in the order of the way back. output: the name of the result."""

    graph: Graph
    edges: list[Edge]
    output: str = "f"

    @property
    def gradients(self) -> dict[str, float]:
        """Of the output by each variable."""
        return {name: leaf.gradient for name, leaf in self.graph.leaves.items()}

    @property
    def drawn(self) -> list[Gate]:
        return nearest_to_output(self.graph, DRAWN)

    @property
    def edges_by_gate(self) -> list[tuple[Gate, list[Edge]]]:
        """Of the gates that are drawn, in the order of the way back."""
        drawn = set(self.drawn)
        return [(gate, list(edges)) for gate, edges in groupby(self.edges, lambda e: e.gate) if gate in drawn]


def study(
    *,
    expr: str = LECTURE,
    model: str | None = None,
    hidden: Sequence[int] | None = None,
    data: str | None = None,
    example: int | None = None,
    steps: bool = False,
    seed: int = 0,
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
        widths, index = hidden if hidden is not None else (3,), example or 0
        return of_network(small_network(model, widths, data or "moons", index, seed), model, say, steps)
    for name, value in (("hidden", hidden), ("data", data), ("example", example)):
        if value is not None:
            raise InputError(f"{name}={value} is about a network; add model=mlp.")
    return of_expression(parse(expr), values, say, steps)


def of_expression(term: Term, values: Mapping[str, float], say: Say, steps: bool = False) -> Finding:
    """Raises InputError."""
    of_the_lecture = term == parse(LECTURE)
    known = check_values(term, {**LECTURE_VALUES, **values} if of_the_lecture else values, taken=OPTIONS)
    found, regrouped = measure(term, known), with_sigmoid_regrouped(term, known)
    spread = rounding(term, known, found.gradients)
    held = held_to_other_means(term, known, found.gradients, spread, say)
    sentences = [seen(found, say), *repeated(found, say), *remarks(found, spread, len(held) > 1, say)]
    figures = {}
    if of_the_lecture:
        held.append(held_to_the_lecture(found, known, say))
    if regrouped is not None:
        other, form, text = regrouped
        heading = say(f"The sigmoid {form[0]}", f"La sigmoide {form[1]}")
        figures["sigmoid"] = partial(draw, other, f"{heading}: f = {text}", say)
        against = say("largest difference of the variables' gradients", "mayor diferencia de los gradientes")
        difference = disagreement(found.gradients, other.gradients, spread)
        held.append(Oracle("sigmoid_gate", difference, BOUND, f"{heading.lower()}: {against}"))
        sentences.append(same_leaves(found, other, heading, say))
    title = f"Backpropagation: f = {typeset(written(term), 90)}"
    return report(found, title, sentences, tuple(held), figures, say, steps)


def of_network(found: Network, name: str, say: Say, steps: bool = False) -> Finding:
    """The loss of one example, J, by every weight, bias and input."""
    way = Pass(found.graph, found.edges, "J")
    widths = [len(found.example), *(m.out_features for m in found.net.layers if isinstance(m, nn.Linear))]
    title = f"Backpropagation: {name} {'-'.join(map(str, widths))}, " + say("one example", "un ejemplo")
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
            say("gradient of the scores = softmax − y: largest difference", "gradiente de los puntajes = softmax − y"),
        ),
    )
    return report(
        way, title, [seen(way, say), *of_scores(found, say), *remarks(way, {}, True, say)], held, {}, say, steps
    )


def measure(term: Term, values: Mapping[str, float]) -> Pass:
    """Forwards and backwards. values: of the variables, all of them. Raises InputError."""
    names = tuple(values)
    letter = next((one for one in LETTERS if not any(name.startswith(one) for name in names)), "gate")
    graph = build(term, values, Graph(letter))
    return Pass(graph, graph.backward())


def with_sigmoid_regrouped(term: Term, values: Mapping[str, float]) -> tuple[Pass, tuple[str, str], str] | None:
    """The same function with every sigmoid as one gate, or, where it is one already, in its parts; how that is said,
    and its text. None where there is no sigmoid, and where its parts overflow.
    """
    other, form = with_sigmoid_gates(term), ("as one gate", "como una sola compuerta")
    if other == term:
        other, form = without_sigmoid_gates(term), ("in its parts", "por partes")
    if other == term:
        return None
    try:
        return measure(other, values), form, typeset(written(other), 60)
    except InputError:
        return None


def held_to_other_means(
    term: Term, values: Mapping[str, float], gradients: Mapping[str, float], spread: Mapping[str, float], say: Say
) -> list[Oracle]:
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
        held.append(Oracle("complex_step", difference, BOUND, f"Im f(x + ih)/h, h = 10⁻¹⁰⁰: {largest}"))
    return held


def held_to_the_lecture(found: Pass, values: Mapping[str, float], say: Say) -> Oracle:
    """Every node of "Another example", value and gradient, by hand."""
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
        1e-15,
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
    """Table, numbers and pictures of one graph."""
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
    figures = {"backprop": partial(draw, found, title, say), **more}
    animations = {}
    if steps:
        frames = [partial(draw, found, title, say, step) for step in range(len(found.drawn) + 1)]
        figures |= {f"step_{step:02d}": frame for step, frame in enumerate(frames)}
        animations["backwards"] = lambda: (frame() for frame in frames)
    return Finding(Section(title, head, rows, sentences, figures), numbers, held, animations)


def seen(found: Pass, say: Say) -> str:
    f, count, edges = found.output, len(found.graph.gates), len(found.edges)
    leaves = [node for node in found.graph.leaves.values()]
    listed = ", ".join(f"∂{f}/∂{leaf.shown} = {digits(leaf.gradient)}" for leaf in leaves[:12]) + ", …" * (
        len(leaves) > 12
    )
    return say(
        "The lecture calls backpropagation nothing but the chain rule, applied recursively. Here it is: "
        f"{count} gates forwards to {f} = {digits(found.graph.output.value)}, and on each of {edges} edges backwards one "
        f"product, local gradient × upstream gradient. It leaves {listed}.",
        "La clase llama a backpropagation nada más que la aplicación recursiva de la regla de la cadena. Aquí está: "
        f"{count} compuertas hacia adelante hasta {f} = {digits(found.graph.output.value)} y, en cada una de las {edges} "
        f"aristas hacia atrás, un producto: gradiente local × gradiente que llega. Resulta {listed}.",
    )


def repeated(found: Pass, say: Say) -> list[str]:
    """Of the variables that are used more than once: their gradients are sums."""
    texts = []
    for name, leaf in found.graph.leaves.items():
        parts = [edge.gradient for edge in found.edges if edge.node is leaf]
        if 1 < len(parts) <= 6:
            total = " + ".join(f"({digits(p)})" if p < 0 else digits(p) for p in parts) + f" = {digits(leaf.gradient)}"
            texts.append(
                say(
                    f"{name} is used {len(parts)} times, and its gradient is the sum over these edges: {total}.",
                    f"{name} se usa {len(parts)} veces y su gradiente es la suma sobre esas aristas: {total}.",
                )
            )
    return texts


def same_leaves(found: Pass, other: Pass, heading: str, say: Say) -> str:
    here, there = len(found.graph.gates), len(other.graph.gates)
    return say(
        f"{heading}: {there} gates instead of {here}, and the same gradients of the variables; what counts as a gate is a "
        "matter of taste, as long as its derivative is known.",
        f"{heading}: {there} compuertas en vez de {here} y los mismos gradientes de las variables; qué es una compuerta es "
        "cuestión de gusto, mientras se conozca su derivada.",
    )


def of_scores(found: Network, say: Say) -> list[str]:
    scores = ", ".join(digits(node.gradient) for node in found.outputs)
    probabilities = ", ".join(digits(p) for p in found.probabilities)
    return [
        say(
            f"Softmax gives the classes {probabilities}, and the example is of class {found.label}: the gradient of the "
            f"scores is softmax − y = {scores}.",
            f"La softmax da a las clases {probabilities} y el ejemplo es de la clase {found.label}: el gradiente de los "
            f"puntajes es softmax − y = {scores}.",
        )
    ]


def remarks(found: Pass, spread: Mapping[str, float], by_steps: bool, say: Say) -> list[str]:
    """What a reader would otherwise stumble over."""
    texts = []
    count, drawn = len(found.graph.gates), len(found.drawn)
    if drawn < count:
        texts.append(
            say(
                f"Of the {count} gates, the {drawn} nearest to the output are drawn and listed; where the picture ends, the "
                "value and the gradient are those of the whole graph.",
                f"De las {count} compuertas se dibujan y listan las {drawn} más cercanas a la salida; donde termina la "
                "figura, el valor y el gradiente son los del grafo completo.",
            )
        )
    closed = [leaf.shown for leaf in found.graph.leaves.values() if leaf.gradient == 0]
    if closed:
        names = ", ".join(closed[:10]) + ", …" * (len(closed) > 10)
        texts.append(
            say(
                f"The gradient of {names} is exactly 0: a factor of 0 stands on every way back to it.",
                f"El gradiente de {names} es exactamente 0: en todo camino de vuelta hay un factor 0.",
            )
        )
    if not by_steps:
        texts.append(
            say(
                "A gate stands on its kink (or the numbers leave the range of complex arithmetic), where there is no one "
                "derivative: half or none of the gradient passes, as in torch, and complex steps have nothing to say.",
                "Una compuerta está justo en su quiebre (o los números exceden la aritmética compleja), donde no hay una "
                "única derivada: pasa la mitad del gradiente o nada, como en torch, y los pasos complejos no opinan.",
            )
        )
    doubtful = {n: s for n, s in spread.items() if s > 1e-9 * max(1.0, abs(found.gradients[n]))}
    if doubtful:
        listed = ", ".join(f"{name} ± {digits(s, 1)}" for name, s in doubtful.items())
        texts.append(
            say(
                f"Rounding in the gates' last binary digit alone changes the gradients by as much as: {listed}.",
                f"El solo redondeo del último dígito binario de las compuertas cambia los gradientes hasta en: {listed}.",
            )
        )
    return texts


def draw(found: Pass, title: str, say: Say, step: int | None = None) -> Figure:
    """The graph, whole or up to a step of the way back: 0 is the output alone, then one gate at a time."""
    from trainlab.figures.studies.backprop.picture import Words, graph_of_gates

    vertices = vertices_of(found.graph, found.edges, DRAWN, found.output)
    return graph_of_gates(vertices, Words(title, caption(found, say, step)), say, step)


def caption(found: Pass, say: Say, step: int | None) -> str:
    if step is None:
        return say(
            "Backwards, on each edge: local gradient × upstream gradient = gradient",
            "Hacia atrás, en cada arista: gradiente local × gradiente que llega = gradiente",
        )
    if step == 0:
        return say(
            f"Forwards all values are known; backwards it begins with ∂{found.output}/∂{found.output} = 1",
            f"Hacia adelante ya están todos los valores; hacia atrás se parte de ∂{found.output}/∂{found.output} = 1",
        )
    gate, edges = found.edges_by_gate[step - 1]
    if len(edges) > 2:
        passed = digits(gate.gradient)
        return f"{formula(gate)}\n" + say(
            f"each local gradient is 1: {passed} for all {len(edges)} of them",
            f"cada gradiente local es 1: {passed} para cada uno de los {len(edges)}",
        )
    times = [f"{derivative(edge)}  × {signed(edge.upstream)} = {digits(edge.gradient)}" for edge in edges]
    if len(times) == 1:
        return f"{formula(gate)}     {times[0]}" if len(times[0]) < 60 else f"{formula(gate)}\n{times[0]}"
    return "\n".join(times)


def signed(value: float) -> str:
    return f"({digits(value)})" if value < 0 else digits(value)
