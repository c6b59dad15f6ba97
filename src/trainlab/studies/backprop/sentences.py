"""What is said of a way forwards and backwards, in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from trainlab.recording.section import Say
from trainlab.studies.backprop.display import Pass, derivative, digits, formula
from trainlab.studies.backprop.network import Network


def seen(found: Pass, say: Say) -> str:
    """The paragraph: how many gates and edges there are, and the gradients that result."""
    f, count, edges = found.output, len(found.graph.gates), len(found.edges)
    value = digits(found.graph.output.value)
    leaves = list(found.graph.leaves.values())
    listed = ", ".join(f"∂{f}/∂{leaf.shown} = {digits(leaf.gradient)}" for leaf in leaves[:12]) + ", …" * (
        len(leaves) > 12
    )
    return say(
        "The lecture calls backpropagation nothing but the chain rule, applied recursively. Here it is: "
        f"{count} gates forwards to {f} = {value}, and on each of {edges} edges backwards one product, "
        f"local gradient × upstream gradient. It leaves {listed}.",
        "La clase llama a backpropagation nada más que la aplicación recursiva de la regla de la cadena. Aquí está: "
        f"{count} compuertas hacia adelante hasta {f} = {value} y, en cada una de las {edges} aristas hacia atrás, un "
        f"producto: gradiente local × gradiente que llega. Resulta {listed}.",
    )


def repeated(found: Pass, say: Say) -> list[str]:
    """A sentence for each variable that is used more than once: its gradient is a sum."""
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
    """The sentence that another grouping of the same function into gates has the same gradients."""
    here, there = len(found.graph.gates), len(other.graph.gates)
    return say(
        f"{heading}: {there} gates instead of {here}, and the same gradients of the variables; what counts as a gate "
        "is a matter of taste, as long as its derivative is known.",
        f"{heading}: {there} compuertas en vez de {here} y los mismos gradientes de las variables; qué es una "
        "compuerta es cuestión de gusto, mientras se conozca su derivada.",
    )


def of_logits(found: Network, say: Say) -> list[str]:
    """The sentence with the probabilities, and with the gradient by the logits, softmax − y."""
    gradients = ", ".join(digits(node.gradient) for node in found.outputs)
    probabilities = ", ".join(digits(p) for p in found.probabilities)
    return [
        say(
            f"Softmax gives the classes {probabilities}, and the example is of class {found.label}: the gradient of "
            f"the logits is softmax − y = {gradients}.",
            f"La softmax da a las clases {probabilities} y el ejemplo es de la clase {found.label}: el gradiente de "
            f"los logits es softmax − y = {gradients}.",
        )
    ]


def remarks(found: Pass, spread: Mapping[str, float], by_steps: bool, say: Say) -> list[str]:
    """Sentences for what a reader would otherwise stumble over: gates that are not drawn, zeros, kinks, rounding.

    spread: see `oracles.rounding`. by_steps: whether complex steps could be used as an oracle.
    """
    texts = []
    count, drawn = len(found.graph.gates), len(found.drawn)
    if drawn < count:
        texts.append(
            say(
                f"Of the {count} gates, the {drawn} nearest to the output are drawn and listed; where the picture "
                "ends, the value and the gradient are those of the whole graph.",
                f"De las {count} compuertas se dibujan y listan las {drawn} más cercanas a la salida; donde termina la "
                "figura, el valor y el gradiente son los del grafo completo.",
            )
        )
    reached = {edge.node for edge in found.edges if edge.gradient != 0}
    closed = [leaf.shown for leaf in found.graph.leaves.values() if leaf not in reached]
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
                "A gate stands on its kink (or the numbers leave the range of complex arithmetic), where there is no "
                "single derivative: half or none of the gradient passes, as in torch; complex steps say nothing.",
                "Una compuerta está en su quiebre (o los números exceden la aritmética compleja), donde no hay "
                "una única derivada: pasa la mitad del gradiente o nada, como en torch; los pasos complejos callan.",
            )
        )
    doubtful = {n: s for n, s in spread.items() if s > 1e-9 * max(1.0, abs(found.gradients[n]))}
    if doubtful:
        listed = ", ".join(f"{name} ± {digits(s, 2) if isfinite(s) else '∞'}" for name, s in doubtful.items())
        texts.append(
            say(
                f"Rounding in the gates' last binary digit alone changes the gradients by as much as: {listed}.",
                f"El solo redondeo del último dígito binario de cada compuerta cambia los gradientes hasta: {listed}.",
            )
        )
    return texts


def caption(found: Pass, say: Say, step: int | None) -> str:
    """The line below a picture. step: which step backwards it shows; None for the whole graph."""
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
    products = [
        f"{derivative(edge)};   {digits(edge.local)} × {signed(edge.upstream)} = {digits(edge.gradient)}"
        for edge in edges
    ]
    if len(products) == 1 and len(products[0]) < 70:
        return f"{formula(gate)}   →   {products[0]}"
    return f"{formula(gate)}\n{'        '.join(products)}"


def signed(value: float) -> str:
    """A number as a factor: a negative one in parentheses."""
    return f"({digits(value)})" if value < 0 else digits(value)
