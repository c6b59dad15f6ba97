"""What is said and drawn of the views: table, sentences, numbers and figures, in two languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainlab.recording.section import Say
from trainlab.studies.landscape.curvature import Edge
from trainlab.studies.landscape.directions import flat, length, of_a_random_walk, weights_of
from trainlab.studies.landscape.view import BETWEEN, HALF, KINK_SCALE, TOP, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainlab.figures.studies.landscape import Around, Plane

LONGEST_NAME = 28  # letters in a figure
ROWS = 12  # checkpoints of a path in the table
NAMES = {"relu": "ReLU", "tanh": "tanh", "l2": "ReLU + L2"}


def name_of(view: View) -> str:
    """What a network is called in a figure."""
    name = NAMES.get(view.subject.name, "") or str(Path(view.subject.name))
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def table(views: Sequence[View], say: Say) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the section's table: a row for each checkpoint of the path, or for each network where there is
    no path or there are two networks.
    """
    path = views[0].path
    if len(views) == 1 and path is not None:
        head = [
            say("epochs", "épocas"),
            "J",
            say("J of its shadow", "J de su sombra"),
            say("1st direction", "1.ª dirección"),
            say("2nd direction", "2.ª dirección"),
            say("distance to the plane", "distancia al plano"),
            say("distance to the end", "distancia al final"),
        ]
        principal = path.principal
        some = np.unique(np.round(np.geomspace(1, len(path.epochs), ROWS)).astype(int)) - 1
        rows = [
            [
                f"{path.epochs[k]:g}",
                *(f"{value:.4g}" for value in (path.loss[k], path.shown[k])),
                *(
                    f"{value:.3f}".replace("-", "−")
                    for value in (*principal.places[k], principal.away[k], principal.from_end[k])
                ),
            ]
            for k in some
        ]
        return head, rows
    head = [
        say("network", "red"),
        "J",
        say("test error", "error de prueba"),
        "‖W‖",
        "λ₁",
        say("least λ", "menor λ"),
        say(f"rise of J at {HALF:g}‖W‖", f"subida de J a {HALF:g}‖W‖"),
        say("bends downwards", "se curva hacia abajo"),
    ]
    return head, [row_of(view) for view in views]


def row_of(view: View) -> list[str]:
    """A row of the table of networks."""
    mean, deviation = view.rays.rise(view.middle)
    ends = ["–", "–"] if view.spectrum is None else [f"{view.spectrum.values[-1]:.3g}", signed(view.spectrum.values[0])]
    error = view.subject.test_error
    return [
        name_of(view),
        f"{view.middle:.4g}",
        "–" if error is None else f"{100 * error:.1f} %",
        f"{length(weights_of(view.subject.net)):.2f}",
        *ends,
        f"{mean:.3g} ± {deviation:.2g}",
        f"{100 * view.surface.downward_share:.1f} %",
    ]


def numbers(views: Sequence[View], edges: Sequence[Edge]) -> dict[str, float]:
    """What was measured, flat, for results.json; of two networks each has its number before the name: "1/loss"."""
    found: dict[str, float | None] = {}
    for place, view in enumerate(views, 1):
        before = f"{place}/" if len(views) > 1 else ""
        mean, deviation = view.rays.rise(view.middle)
        own: dict[str, float | None] = {
            "loss": view.middle,
            "test_error": view.subject.test_error,
            "examples": len(view.subject.labels),
            "weights": len(flat(weights_of(view.subject.net))),
            "weight_norm": length(weights_of(view.subject.net)),
            "edge": view.subject.edge,
            "rise_at_half": mean,
            "rise_at_half_deviation": deviation,
            "downward_share": view.surface.downward_share,
            "not_finite_share": float(np.mean(~np.isfinite(view.surface.loss))),
            "lambda_min_at_start": view.smallest_at_start,
            "eigenvector_in_plane": view.in_plane[0],
            "path_in_plane": view.in_plane[1],
            "bend_seen": view.bend[0] if view.bend else None,
            "bend_of_hessian": view.bend[1] if view.bend else None,
        }
        if view.spectrum is not None:
            own["hessian_examples"] = view.subject.curved
            own["lambda_min"] = float(view.spectrum.values[0])
            own["lambda_1_residual"] = float(view.spectrum.residuals[-1])
            own |= {f"lambda_{k}": float(value) for k, value in enumerate(view.spectrum.top(TOP), 1)}
        if view.path is not None:
            own |= numbers_of_path(view)
        found |= {before + name: value for name, value in own.items()}
    for edge in edges:
        found[f"edge/eta={edge.eta:g}/late_of_bound"] = late(edge) / edge.bound
        found[f"edge/eta={edge.eta:g}/highest_of_bound"] = float(edge.sharpness.max() / edge.bound)
        found[f"edge/eta={edge.eta:g}/loss"] = float(edge.loss[-1])
    return {name: float(value) for name, value in found.items() if value is not None}


def numbers_of_path(view: View) -> dict[str, float | None]:
    """Loss and distances of each kept setting of the weights, by epoch, and what the plane explains."""
    assert view.path is not None
    path = view.path
    own: dict[str, float | None] = {
        "explained_1": float(path.principal.explained[0]),
        "explained_2": float(path.principal.explained[1]) if len(path.principal.explained) > 1 else 0.0,
        "explained_of_a_random_walk": of_a_random_walk(len(path.epochs) - 1),
    }
    for epoch, loss, away, far in zip(
        path.epochs, path.loss, path.principal.away, path.principal.from_end, strict=True
    ):
        own[f"path/epoch={epoch:g}/loss"] = float(loss)
        own[f"path/epoch={epoch:g}/distance_to_plane"] = float(away)
        own[f"path/epoch={epoch:g}/distance_to_end"] = float(far)
    return own


def sentences(views: Sequence[View], edges: Sequence[Edge], directions: str, say: Say) -> list[str]:
    """What was seen, beside what the lecture claims."""
    said = [of_plane(view, directions, say) for view in views]
    started = [view for view in views if view.smallest_at_start is not None]
    if started:
        said.append(of_convexity(started, say))
    bent = [view for view in views if view.bend is not None]
    if bent:
        said.append(of_smoothness(bent, say))
    if len(views) == 2:
        said.append(of_two(views, say))
    for view in views:
        said += [of_curvature(view, say), *([of_path(view, say)] if view.path is not None and len(views) == 1 else [])]
    if edges:
        said.append(of_edges(edges, say))
    if len(views) == 1 and views[0].path is None:
        count = len(views[0].subject.kept)
        said.append(
            say(
                f"A path takes checkpoints along the way; different ones in this folder: {count}. The networks that "
                "are trained here (run=relu) keep theirs.",
                "Un camino necesita checkpoints a lo largo del entrenamiento; distintos en esta carpeta: "
                f"{count}. Las redes que se entrenan aquí (run=relu) guardan los suyos.",
            )
        )
    return said


def of_plane(view: View, directions: str, say: Say) -> str:
    """What the surface shows, in sentences."""
    subject, share = view.subject, 100 * view.surface.downward_share
    low, high = np.nanmin(view.surface.loss), np.nanmax(view.surface.loss)
    seen, there, name = f"{len(subject.labels):,}", f"{subject.there:,}", name_of(view)
    bends = say(
        f"On the plane (directions={directions}) J goes from {low:.3g} to {high:.3g} and bends downwards at "
        f"{share:.1f} % of the points.",
        f"En el plano (directions={directions}) J va de {low:.3g} a {high:.3g} y se curva hacia abajo en el "
        f"{share:.1f} % de los puntos.",
    )
    if view.other is not None:
        bends += of_barrier(view, say)
    return (
        say(
            f"{name}: J = {view.middle:.4g} over {seen} of {there} training examples, in evaluation mode, without L2 "
            "and random views. ",
            f"{name}: J = {view.middle:.4g} en {seen} de {there} ejemplos de entrenamiento, en modo de evaluación, sin "
            "L2 ni vistas al azar. ",
        )
        + bends
    )


def of_convexity(views: Sequence[View], say: Say) -> str:
    """What the lecture claims of convexity, beside what was seen. views: those of which the start is known."""
    starts = say(" and ", " y ").join(signed(view.smallest_at_start or 0.0) for view in views)
    ends = say(" and ", " y ").join(signed(view.spectrum.values[0]) for view in views if view.spectrum is not None)
    losses = say(" and ", " y ").join(f"{view.middle:.3g}" for view in views)
    return say(
        "The lecture says that the objective is not convex, and it is right: the least eigenvalue found of the Hessian "
        f"is {starts} where training begins and {ends} where it ends. Yet “the reality is much worse” is not what "
        f"these digits meet: SGD with momentum goes down without getting stuck, to J = {losses}.",
        "La clase dice que la función objetivo no es convexa, y tiene razón: el menor valor propio hallado de la "
        f"hessiana vale {starts} donde comienza el entrenamiento y {ends} donde termina. Pero «la realidad es mucho "
        f"peor» no es lo que pasa con estos dígitos: SGD con momentum baja sin quedar pegado, hasta J = {losses}.",
    )


def of_smoothness(views: Sequence[View], say: Say) -> str:
    """The bend that the Hessian sees beside the bend of the loss itself, of which it misses the kinks."""
    each = "; ".join(
        say(
            f"{view.bend[0]:.3g} and {view.bend[1]:.3g} ({name_of(view)})",
            f"{view.bend[0]:.3g} y {view.bend[1]:.3g} ({name_of(view)})",
        )
        for view in views
        if view.bend is not None
    )
    return say(
        f"“Not even smooth”: the bend of J along random directions, measured over {KINK_SCALE:g} lengths of the "
        f"weights and by the Hessian, dᵀHd, is {each}. Where the first is larger, it is made by the kinks of "
        "ReLUs, which no second derivative sees.",
        f"«Ni siquiera suave»: la curvatura de J según direcciones al azar, medida a lo largo de {KINK_SCALE:g} "
        f"longitudes de los pesos y con la hessiana, dᵀHd, es {each}. Donde la primera es mayor, la hacen los quiebres "
        "de las ReLU, que ninguna segunda derivada ve.",
    )


def of_barrier(view: View, say: Say) -> str:
    """The highest loss on the line between two networks, as far as the plane has points on it, in a sentence."""
    row = view.surface.loss[np.argmin(np.abs(view.surface.y))]
    between = row[(view.surface.x >= 0) & (view.surface.x <= 1)]
    height = float(np.nanmax(between)) if len(between) else float("nan")
    return say(
        f" On the straight line between the two networks J rises to {height:.3g}.",
        f" En la recta entre las dos redes J sube hasta {height:.3g}.",
    )


def of_curvature(view: View, say: Say) -> str:
    """What the Hessian's eigenvalues show, in sentences."""
    name, spectrum = name_of(view), view.spectrum
    if spectrum is None:
        return say(
            f"{name}: its Hessian is left out, for there is no memory for the vectors of Lanczos.",
            f"{name}: su hessiana se omite, pues no hay memoria para los vectores de Lanczos.",
        )
    top = ", ".join(f"{value:.3g}" for value in spectrum.top(TOP))
    if (spectrum.residuals[-TOP:] > 0.01 * spectrum.values[-1]).any():
        top += say(" or more (memory or time ended the search)", " o más (la memoria o el tiempo acabó la búsqueda)")
    count, edge = len(flat(weights_of(view.subject.net))), view.subject.edge
    text = say(
        f"{name}: the largest eigenvalues of its Hessian are {top}; with its η = {view.subject.eta:g} and "
        f"γ = {view.subject.gamma:g}, full-batch descent would diverge above 2(1 + γ)/η = {edge:.3g}. ",
        f"{name}: los mayores valores propios de su hessiana son {top}; con su η = {view.subject.eta:g} y "
        f"γ = {view.subject.gamma:g}, el descenso con todos los datos divergiría sobre 2(1 + γ)/η = {edge:.3g}. ",
    )
    vector, way = view.in_plane
    if vector is not None:
        text += say(
            f"A plane shows 2 of {count:,} dimensions: this one holds {share(vector)} of the sharpest direction",
            f"Un plano muestra 2 de {count:,} dimensiones: este contiene {share(vector)} de la dirección más empinada",
        )
        if way is not None:
            text += say(f" and {share(way)} of the way from the start", f" y {share(way)} del camino desde el inicio")
        text += say(" (of their squared lengths).", " (de sus longitudes al cuadrado).")
    return text


def signed(value: float) -> str:
    """A number with a typographical minus."""
    return f"{value:.2g}".replace("-", "−")


def share(value: float) -> str:
    """A share in percent as text, with two digits below 1 %."""
    return f"{100 * value:.1f} %" if value > 0.01 else f"{100 * value:.2g} %"


def of_path(view: View, say: Say) -> str:
    """What the training path shows, in sentences."""
    assert view.path is not None
    path, principal = view.path, view.path.principal
    both, first = (100 * float(principal.explained[:count].sum()) for count in (2, 1))
    count, walk = len(path.epochs), 100 * of_a_random_walk(len(path.epochs) - 1)
    text = say(
        f"The path of {count} checkpoints: its two principal directions explain {both:.1f} % of the squared distances "
        f"from the network, {first:.1f} % the first alone",
        f"El camino de {count} puntos: sus dos direcciones principales explican el {both:.1f} % de las distancias al "
        f"cuadrado desde la red, la primera sola el {first:.1f} %",
    )
    if count == 3:
        return text + say("; three points always lie in a plane.", "; tres puntos siempre están en un plano.")
    furthest = int(np.argmax(principal.away))
    apart = int(np.argmax(np.abs(np.log(np.maximum(path.shown, 1e-300) / np.maximum(path.loss, 1e-300)))))
    away, far = principal.away[furthest], principal.from_end[furthest]
    return text + say(
        f". That is less than it seems: a random walk of as many steps would have {walk:.0f} %. After "
        f"{path.epochs[furthest]:g} epochs the weights are {away:.3f} away from the plane, furthest of all ({far:.3f} "
        "from the network), so that the contours under the path are not quite its own: after "
        f"{path.epochs[apart]:g} epochs the plane shows J = {path.shown[apart]:.3g}, and it is {path.loss[apart]:.3g}.",
        f". Es menos de lo que parece: una caminata al azar de otros tantos pasos tendría el {walk:.0f} %. Tras "
        f"{path.epochs[furthest]:g} épocas los pesos están a {away:.3f} del plano, más lejos que nunca (a {far:.3f} de "
        "la red), así que las curvas bajo el camino no son del todo suyas: tras "
        f"{path.epochs[apart]:g} épocas el plano muestra J = {path.shown[apart]:.3g} y vale {path.loss[apart]:.3g}.",
    )


def of_edges(edges: Sequence[Edge], say: Say) -> str:
    """What full-batch descent at the edge of stability shows, in sentences."""
    each = "; ".join(
        say(
            f"η = {edge.eta:g}: up to {edge.sharpness.max():.3g}, {late(edge):.3g} in the second half, and 2/η = "
            f"{edge.bound:.3g}",
            f"η = {edge.eta:g}: hasta {edge.sharpness.max():.3g}, {late(edge):.3g} en la segunda mitad, y 2/η = "
            f"{edge.bound:.3g}",
        )
        for edge in edges
    )
    met = [f"{edge.eta:g}" for edge in edges if edge.sharpness.max() > edge.bound and np.isfinite(edge.loss[-1])]
    text = say(
        f"Full-batch descent on ½ MSE from a small initialisation, the largest eigenvalue λ₁: {each}. ",
        f"Descenso con todos los datos en ½ ECM desde una inicialización pequeña, el mayor valor propio λ₁: {each}. ",
    )
    if met:
        text += say(
            f"On a parabola a λ₁ above 2/η means divergence; with η = {', '.join(met)} it was above, the loss jumped, "
            "λ₁ came down to 2/η, and the descent went on (Cohen et al. 2021).",
            f"En una parábola un λ₁ sobre 2/η significa divergir; con η = {', '.join(met)} lo superó, la pérdida "
            "saltó, λ₁ bajó hasta 2/η y el descenso siguió (Cohen et al. 2021).",
        )
    return text


def late(edge: Edge) -> float:
    """The median of the largest eigenvalue over the second half of the run."""
    return float(np.median(edge.sharpness[len(edge.sharpness) // 2 :]))


def of_two(views: Sequence[View], say: Say) -> str:
    """How two networks compare, in sentences."""
    (first, first_by), (second, second_by) = (view.rays.rise(view.middle) for view in views)
    a, b = (name_of(view) for view in views)
    text = say(
        f"Half the weights' length away in ten random filter-normalised directions, J is higher by {first:.3g} ± "
        f"{first_by:.2g} ({a}) and by {second:.3g} ± {second_by:.2g} ({b}).",
        "A media longitud de los pesos, en diez direcciones al azar normalizadas por filtro, J es mayor en "
        f"{first:.3g} ± {first_by:.2g} ({a}) y en {second:.3g} ± {second_by:.2g} ({b}).",
    )
    sharpness = [float(view.spectrum.values[-1]) for view in views if view.spectrum is not None]
    if len(sharpness) == 2 and (first > second) != (sharpness[0] > sharpness[1]):
        text += say(
            f" By λ₁ it is the other way round, {sharpness[0]:.3g} and {sharpness[1]:.3g}: λ₁ is per unit of length, "
            "and a unit is more for shorter weights, which is why the directions are normalised.",
            f" Según λ₁ es al revés, {sharpness[0]:.3g} y {sharpness[1]:.3g}: λ₁ es por unidad de longitud, y una "
            "unidad es más para pesos más cortos; por eso se normalizan las direcciones.",
        )
    return text + say(
        " One seed is one network of each: try seed=1.", " Una semilla es una sola red de cada una: pruebe seed=1."
    )


def figures(
    views: Sequence[View], edges: Sequence[Edge], directions: str, say: Say
) -> dict[str, Callable[[], Figure | None]]:
    """The study's figures by name."""
    drawn: dict[str, Callable[[], Figure | None]] = {"landscape": partial(draw_planes, views, directions, say, False)}
    if len(views) == 2:
        drawn["relief"] = partial(draw_planes, views, directions, say, True)
    if len(views) == 1 and views[0].path is not None:
        drawn["path"] = partial(draw_path, views[0], say)
    drawn["curvature"] = partial(draw_curvature, views, say)
    if edges:
        drawn["edge_of_stability"] = partial(draw_edges, edges, say)
    return drawn


def axes_of(directions: str, say: Say) -> tuple[str, str]:
    """What the two axes of the plane are, in the study's language."""
    if directions == "pca":
        return say("1st principal direction", "1.ª dirección principal"), say(
            "2nd principal direction", "2.ª dirección principal"
        )
    unit = say("lengths of the weights", "longitudes de los pesos")
    if directions == "hessian":
        return say(f"sharpest direction ({unit})", f"dirección más empinada ({unit})"), say(
            f"second sharpest ({unit})", f"segunda más empinada ({unit})"
        )
    if directions.startswith(BETWEEN):
        return say("from the network (0) to the other (1)", "de la red (0) a la otra (1)"), say(
            f"random direction ({unit})", f"dirección al azar ({unit})"
        )
    return say(f"1st random direction ({unit})", f"1.ª dirección al azar ({unit})"), say(
        f"2nd random direction ({unit})", f"2.ª dirección al azar ({unit})"
    )


def plane_of(view: View, directions: str, title: str, say: Say) -> Plane:
    """The plane of a view as the figures take it. title: of the panel."""
    from trainlab.figures.studies.landscape import Plane

    across, up = axes_of(directions, say)
    marks = [(say("the network", "la red"), 0.0, 0.0)]
    if view.other is not None:
        marks.append((say("the other", "la otra"), *view.other))
    path = view.path.principal.places if directions == "pca" and view.path is not None else None
    return Plane(title, view.surface.x, view.surface.y, view.surface.loss, across, up, marks, path)


def draw_planes(views: Sequence[View], directions: str, say: Say, as_relief: bool) -> Figure:
    """Draw the surfaces around one network or two."""
    from trainlab.figures.studies.landscape import beside, contours_and_relief

    if len(views) == 1:
        title = say("The loss around a trained network", "La pérdida en torno a una red entrenada")
        title += f": {name_of(views[0])}"
        return contours_and_relief(plane_of(views[0], directions, title, say), say)
    planes = [plane_of(view, directions, f"{name_of(view)}, J = {view.middle:.3g}", say) for view in views]
    title = say("The loss around two trained networks", "La pérdida en torno a dos redes entrenadas")
    return beside(title, planes, say, as_relief)


def draw_path(view: View, say: Say) -> Figure:
    """Draw the training path on the surface of its principal plane."""
    from trainlab.figures.studies.landscape import Plane, path_on_its_plane

    assert view.path is not None
    path, principal = view.path, view.path.principal
    both = 100 * principal.explained[:2].sum()
    across, up = axes_of("pca", say)
    named = zip((across, up), principal.explained, strict=False)
    first, second = (f"{axis} ({100 * explained:.1f} %)" for axis, explained in named)
    title = say(
        f"The training path: this plane explains {both:.1f} % of it",
        f"El camino del entrenamiento: este plano explica un {both:.1f} %",
    )
    end = 0 if principal.from_end[0] > 0 else -1  # of a run it may be that the best is the first one kept
    text = say(f"epoch {path.epochs[end]:g}", f"época {path.epochs[end]:g}")
    x, y = map(float, principal.places[end])
    marks = [(say("the network", "la red"), 0.0, 0.0), (text, x, y)]
    plane = Plane(title, path.surface.x, path.surface.y, path.surface.loss, first, second, marks, principal.places)
    return path_on_its_plane(plane, path.epochs, path.loss, path.shown, principal.away / principal.from_end.max(), say)


def draw_curvature(views: Sequence[View], say: Say) -> Figure:
    """Draw the eigenvalues of the Hessian and the loss along single directions."""
    from trainlab.figures.studies.landscape import Around, rays_and_eigenvalues

    every: list[Around] = [
        Around(
            name_of(view),
            view.rays.places,
            view.rays.random,
            view.rays.sharpest,
            None if view.spectrum is None else view.spectrum.top(TOP),
            view.subject.edge if len(views) == 1 else None,
        )
        for view in views
    ]
    return rays_and_eigenvalues(every, say)


def draw_edges(edges: Sequence[Edge], say: Say) -> Figure:
    """Draw loss and largest eigenvalue over the steps of full-batch descent."""
    from trainlab.figures.studies.landscape import edge_of_stability

    return edge_of_stability([(edge.eta, edge.loss, edge.at, edge.sharpness) for edge in edges], say)
