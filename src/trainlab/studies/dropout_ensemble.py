"""Dropout as an ensemble: the average of K masks, their geometric mean, and the one network with scaled weights.

Lecture: "Dropout is training a large ensemble of models (that share parameters)". torch divides what is kept by 1 − p
in training, so that the weights as they are, without a mask, are the scaled ones. For softmax regression they are
exactly the normalised geometric mean over all masks (Goodfellow et al. 2016, §7.12); deeper networks have no formula.
Srivastava et al. 2014, §7.5, needed some 50 masks on MNIST until their average was as good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.data.batches import GlobalBatchSampler
from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.objective import CrossEntropy
from trainlab.optim import Momentum, Schedule, make_optimizer, train_step
from trainlab.recording.section import Say, Section, Series, speaker
from trainlab.runtime.hardware import torch_threads
from trainlab.studies.digits import Examples, digits_as_seen
from trainlab.studies.finding import Finding, Oracle, Progress, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # K, up to `masks`
POOLS = 2  # times `masks` are drawn for each network, so that there are two averages of the largest K
LR, MOMENTUM, BATCH = 0.05, 0.9, 64  # the MLP's recipe
AT_ONCE = 2**24  # values of a layer, all masks together
MOST_MASKS = 5000
ENUMERATED = (3, 4)  # the 12 inputs of softmax regression: means of the image's parts
SHOWN = 200  # test examples of the enumeration
SWEPT = (1, 2, 5, 10, 20, 50, 100, 500)  # K, a figure of each
EXHAUSTED = 3  # inputs of which every K-tuple of masks is looked at, K up to 3


@dataclass(frozen=True)
class Averages:
    """The masks of one network, averaged.

    arithmetic, geometric: by the number K of masks, test error and log-loss of their mean, (2, draws). variance: by K,
    of an averaged probability. scaled, plain: error and log-loss with scaled weights, and of a network trained without
    dropout. members: the error of each mask alone. excess: the most by which an example's log-loss of the mean exceeds
    the mean of its log-losses. alike: share of pairs of masks that say the same of every example. eval_gap: the largest
    difference between two passes in evaluation mode.
    """

    arithmetic: dict[int, np.ndarray]
    geometric: dict[int, np.ndarray]
    variance: dict[int, float]
    scaled: tuple[float, float]
    plain: tuple[float, float]
    members: np.ndarray
    excess: float
    alike: float
    eval_gap: float


@dataclass(frozen=True)
class Exact:
    """What enumerating every mask says, of small networks.

    geometric_gap, arithmetic_gap: the largest difference of a probability between the mean over all masks and the
    scaled weights. variance_gap: largest relative difference from Var₁/K. flat_gap: how far averages with p = 0 move
    with K.
    """

    geometric_gap: float
    arithmetic_gap: float
    variance_gap: float
    flat_gap: float


def study(
    *,
    hidden: Sequence[int] = (128, 128),
    dropout: float = 0.5,
    epochs: int = 60,
    masks: int = 1000,
    networks: int = 3,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Train `networks` MLPs with dropout on half of the digits; average 1 to `masks` masks on the other half.

    hidden: widths. dropout: p, the share of neurons switched off. Raises InputError for what cannot be trained.
    """
    say = speaker(lang)
    check(hidden, dropout, epochs, masks, networks, seed)
    examples = digits_as_seen(test_fraction=0.5, val_fraction=0)  # with fewer, errors could not be told apart
    found = []
    with torch_threads(1):
        exact = enumerate_masks(examples, dropout, seed)
        for k in range(networks):
            on_progress(k, networks)
            found.append(measure(examples, hidden, dropout, epochs, masks, seed + k))
    on_progress(networks, networks)
    section = Section(
        say("Dropout as an ensemble", "Dropout como ensamble"),
        head=["", say("test error (%)", "error de prueba (%)"), say("log-loss (nats)", "log-loss (nats)")],
        rows=rows_of(found, say),
        sentences=seen(say, found, exact, dropout),
        figures={
            "dropout_ensemble": partial(draw_curves, found, say),
            "dropout_members": partial(draw_members, found, say),
        },
        series={"masks": sweep(found[0], say)},
    )
    return Finding(section, numbers_of(found, exact), oracles(found, exact, hidden, dropout, say))


def check(hidden: Sequence[int], dropout: float, epochs: int, masks: int, networks: int, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    if not hidden or min(hidden) < 1 or max(hidden) > 4096:
        raise InputError(
            f"hidden={list(hidden)} has to be one or more widths from 1 to 4096; dropout comes after each."
        )
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout:g} has to be at least 0 and less than 1.")
    if not 1 <= masks <= MOST_MASKS:
        raise InputError(f"masks={masks} has to be from 1 to {MOST_MASKS}.")
    if epochs < 1 or networks < 1 or seed < 0:
        raise InputError(f"epochs={epochs} and networks={networks} have to be at least 1, and seed={seed} at least 0.")


def train(net: nn.Module, inputs: Tensor, labels: Tensor, epochs: int, seed: int) -> None:
    """Train by SGD with momentum and half a cosine of η, as conf/model/mlp.yaml does; `net` is in evaluation mode
    afterwards.
    """
    batches = GlobalBatchSampler(len(labels), BATCH, seed=seed, shuffle=True)
    optimizer = make_optimizer(net, Momentum, lr=LR, momentum=MOMENTUM)
    schedule = Schedule("cosine").of(optimizer, epochs * len(list(batches)))
    net.train()
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for part in batches:
            train_step(net, CrossEntropy(), optimizer, inputs[part.samples], labels[part.samples])
            schedule.step()  # type: ignore[union-attr, call-arg]
    net.eval()


def draw_masks(layers: Iterable[nn.Module], p: float, count: int, generator: torch.Generator) -> list[Tensor]:
    """Random masks, bool (count, width) for each dropout layer, which follows a dense one: True is kept. Each row is
    one network's.
    """
    masks, width = [], 0
    for layer in layers:
        if isinstance(layer, nn.Linear):
            width = layer.out_features
        elif isinstance(layer, nn.Dropout):
            masks.append(torch.rand(count, width, generator=generator) >= p)
    return masks


@torch.no_grad()
def masked(layers: Iterable[nn.Module], inputs: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """The log-probabilities (K, B, classes) of K networks, each with its mask on all examples.

    inputs: (B, …). masks: bool (K, width) for each nn.Dropout among the layers. The modules may be in any mode:
    testing, in which Lightning switches dropout off, makes no difference.
    """
    x, waiting = inputs, list(masks)
    for layer in layers:
        x = x * (waiting.pop(0)[:, None, :] / (1 - layer.p)) if isinstance(layer, nn.Dropout) else layer(x)
    assert not waiting, "a mask for each dropout layer"
    return x.log_softmax(-1)


def ensemble(net: MLP, inputs: Tensor, p: float, count: int, generator: torch.Generator) -> Tensor:
    """The log-probabilities (count, B, classes) of `count` random masks, as many at once as fit into memory."""
    layers = list(net.layers)
    if not any(isinstance(layer, nn.Dropout) for layer in layers):  # p = 0: MLP leaves them out
        return masked(layers, inputs, [])[None].expand(count, -1, -1)
    together = max(1, AT_ONCE // (len(inputs) * max(m.out_features for m in layers if isinstance(m, nn.Linear))))
    parts = [min(together, count - begin) for begin in range(0, count, together)]
    return torch.cat([masked(layers, inputs, draw_masks(layers, p, part, generator)) for part in parts])


def arithmetic_mean(logs: Tensor, dim: int) -> Tensor:
    """The log of the mean probability, of log-probabilities."""
    return logs.logsumexp(dim) - np.log(logs.shape[dim])


def geometric_mean(logs: Tensor, dim: int, weights: Tensor | None = None) -> Tensor:
    """The log of the normalised geometric mean, of log-probabilities. weights: of the members; they sum to 1."""
    mean = logs.mean(dim) if weights is None else torch.tensordot(weights, logs, dims=([0], [dim]))
    return mean.log_softmax(-1)


def error_and_loss(logs: Tensor, labels: Tensor) -> np.ndarray:
    """Test error and log-loss (nats) of log-probabilities (draws, N, classes): float64 (2, draws)."""
    truth = labels.expand(len(logs), -1)
    error = (logs.argmax(-1) != truth).double().mean(1)
    loss = -logs.gather(-1, truth[..., None]).double().mean((1, 2))
    return torch.stack([error, loss]).numpy()


def network(examples: Examples, hidden: Sequence[int], dropout: float, epochs: int, seed: int) -> MLP:
    """An MLP trained on the digits, in evaluation mode. torch's random streams are afterwards as they were."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        net = MLP(tuple(examples.inputs.shape[1:]), 10, hidden=hidden, dropout=dropout)
        train(net, examples.inputs, examples.labels, epochs, seed)
    return net


@torch.no_grad()
def measure(examples: Examples, hidden: Sequence[int], dropout: float, epochs: int, masks: int, seed: int) -> Averages:
    """Train one network with dropout and one without, and average the masks of the first."""
    net, plain = (network(examples, hidden, p, epochs, seed) for p in (dropout, 0.0))
    labels, generator = examples.test_labels, torch.Generator().manual_seed(seed)
    logs = ensemble(net, examples.test_inputs, dropout, POOLS * masks, generator)
    probabilities = logs.exp()
    evaluated = [net(examples.test_inputs).log_softmax(-1) for _ in range(2)]
    arithmetic, geometric, variance = {}, {}, {}
    for count in counts_up_to(masks):
        used = len(logs) // count * count
        means = probabilities[:used].unflatten(0, (-1, count)).mean(1)
        arithmetic[count] = error_and_loss(means.log(), labels)
        geometric[count] = error_and_loss(geometric_mean(logs[:used].unflatten(0, (-1, count)), 1), labels)
        if len(means) > 2:
            variance[count] = float(means.double().var(0).mean())
    return Averages(
        arithmetic,
        geometric,
        variance,
        scaled=tuple(error_and_loss(evaluated[0][None], labels)[:, 0]),  # type: ignore[arg-type]
        plain=tuple(error_and_loss(plain(examples.test_inputs).log_softmax(-1)[None], labels)[:, 0]),  # type: ignore[arg-type]
        members=error_and_loss(logs, labels)[0],
        excess=max(excess_of_mean(logs, labels, count) for count in counts_up_to(masks)),
        alike=float((logs[0::2] == logs[1::2]).flatten(1).all(1).double().mean()),
        eval_gap=float((evaluated[0] - evaluated[1]).abs().max()),
    )


def counts_up_to(masks: int) -> list[int]:
    """The numbers of masks that are averaged, ascending; the last one is `masks`."""
    return [count for count in COUNTS if count < masks] + [masks]


def excess_of_mean(logs: Tensor, labels: Tensor, count: int) -> float:
    """The most, over examples and draws of `count` masks, by which −log of the mean exceeds the mean of −log."""
    true = logs.gather(-1, labels.expand(len(logs), -1)[..., None])[..., 0].double()
    groups = true[: len(true) // count * count].unflatten(0, (-1, count))
    return float((groups.mean(1) - arithmetic_mean(groups, 1)).max())


def enumerate_masks(examples: Examples, dropout: float, seed: int) -> Exact:
    """Softmax regression on 12 inputs, with dropout on these: all 4,096 masks, in float64."""
    pooled, tested = (
        F.adaptive_avg_pool2d(images, ENUMERATED).flatten(1) for images in (examples.inputs, examples.test_inputs)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        perceptron = Perceptron((pooled.shape[1],), 10)
        layers = [nn.Dropout(dropout), perceptron.linear]
        train(nn.Sequential(*layers), pooled, examples.labels, epochs=10, seed=seed)
    perceptron.double()
    masks, weights = every_mask(pooled.shape[1], dropout)
    seen_inputs = tested[:SHOWN].double()
    logs = masked(layers, seen_inputs, [masks])
    with torch.no_grad():
        scaled = perceptron(seen_inputs).softmax(-1)
    geometric = geometric_mean(logs, 0, weights).exp()
    arithmetic = torch.tensordot(weights, logs.exp(), dims=([0], [0]))
    # With p = 0 every mask keeps everything; averages of any number are the one network.
    kept = masked([nn.Dropout(0.0), perceptron.linear], seen_inputs, [torch.ones(20, len(masks[0]), dtype=torch.bool)])
    flat = [mean(kept[:count], 0) - kept[0] for mean in (arithmetic_mean, geometric_mean) for count in (1, 2, 7, 20)]
    return Exact(
        float((geometric - scaled).abs().max()),
        float((arithmetic - scaled).abs().max()),
        variance_gap(layers, seen_inputs, dropout),
        max(float(gap.abs().max()) for gap in flat),
    )


def every_mask(width: int, p: float) -> tuple[Tensor, Tensor]:
    """All masks of so many inputs, bool (2^width, width), and their probabilities, float64 (2^width,)."""
    masks = torch.tensor(list(product([False, True], repeat=width)))
    kept = masks.sum(1).double()
    return masks, (1 - p) ** kept * p ** (width - kept)


def variance_gap(layers: Sequence[nn.Module], inputs: Tensor, p: float) -> float:
    """The variance of the mean of K masks over every K-tuple, against Var₁/K: largest relative difference.

    Only the first EXHAUSTED inputs can be switched off, so that there are eight masks and at most 512 tuples.
    """
    few, chances = every_mask(EXHAUSTED, p)
    masks = torch.cat([few, torch.ones(len(few), inputs.shape[1] - EXHAUSTED, dtype=torch.bool)], dim=1)
    probabilities = masked(layers, inputs, [masks]).exp()
    mean = torch.tensordot(chances, probabilities, dims=([0], [0]))

    def variance(count: int) -> Tensor:
        tuples = torch.tensor(list(product(range(len(few)), repeat=count)))
        averages = probabilities[tuples].mean(1)
        return torch.tensordot(chances[tuples].prod(1), (averages - mean).square(), dims=([0], [0]))

    one = variance(1)
    if p == 0:
        return float(max(variance(count).abs().max() for count in (1, 2, 3)))
    return max(float((count * variance(count) / one - 1).abs().max()) for count in (2, 3))


def over_networks(found: Sequence[Averages], kind: str, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Error and log-loss of an average: mean and standard deviation over the networks, (2,) each. count: of masks, None
    for a kind that has none.
    """
    values = np.array([getattr(f, kind) if count is None else getattr(f, kind)[count].mean(1) for f in found])
    return values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(2)


def level(found: Sequence[Averages], measure: int) -> int | None:
    """The fewest masks whose average is as good as the scaled weights, in error (measure 0) or in log-loss (1); None
    where none is.
    """
    goal = over_networks(found, "scaled")[0][measure]
    counts = found[0].arithmetic
    return next((count for count in counts if over_networks(found, "arithmetic", count)[0][measure] <= goal), None)


def rows_of(found: Sequence[Averages], say: Say) -> list[list[str]]:
    """The rows of the section's table: averages of several numbers of masks, scaled weights, and a network without
    dropout.
    """
    counts = list(found[0].arithmetic)
    shown = [count for count in counts if count in (1, 10, 50, 100)]
    most = counts[-1]
    lines = [(say(f"mean of {c}", f"media de {c}") if c > 1 else say("one mask", "una máscara"), "arithmetic", c)
             for c in dict.fromkeys([*shown, most])]  # fmt: skip
    named = [
        *lines,
        (say(f"geometric mean of {most}", f"media geométrica de {most}"), "geometric", most),
        (say("scaled weights", "pesos escalados"), "scaled", None),
        (say("trained without dropout", "entrenada sin dropout"), "plain", None),
    ]
    rows = []
    for name, kind, count in named:
        mean, sd = over_networks(found, kind, count)
        rows.append([name, f"{100 * mean[0]:.2f} ± {100 * sd[0]:.2f}", f"{mean[1]:.4f} ± {sd[1]:.4f}"])
    return rows


def numbers_of(found: Sequence[Averages], exact: Exact) -> dict[str, float]:
    """The measured values by name, for results.json."""
    numbers = {"networks": float(len(found)), "softmax_regression/arithmetic_gap": exact.arithmetic_gap}
    kinds: list[tuple[str, int | None]] = [("scaled", None), ("plain", None)]
    kinds += [(kind, count) for kind in ("arithmetic", "geometric") for count in found[0].arithmetic]
    for kind, count in kinds:
        mean, sd = over_networks(found, kind, count)
        name = kind if count is None else f"{kind}/K={count}"
        for position, what in enumerate(("top1_error", "loss")):
            numbers |= {f"{name}/{what}": float(mean[position]), f"{name}/{what}_sd": float(sd[position])}
    numbers |= {
        f"variance/K={count}": float(np.mean([f.variance[count] for f in found])) for count in found[0].variance
    }
    for position, what in enumerate(("top1_error", "loss")):
        as_good = level(found, position)
        numbers[f"draws_level_at/{what}"] = float("nan") if as_good is None else float(as_good)
    return numbers


def oracles(
    found: Sequence[Averages], exact: Exact, hidden: Sequence[int], dropout: float, say: Say
) -> tuple[Oracle, ...]:
    """What the averages are checked against: enumerations, Jensen's inequality, and limiting cases."""
    largest = say("largest difference", "mayor diferencia")
    held = [
        Oracle(
            "scaled_weights",
            exact.geometric_gap,
            1e-12,
            say(
                "softmax regression: the geometric mean over all 4,096 masks, against the scaled weights: ",
                "regresión softmax: la media geométrica de las 4,096 máscaras, frente a los pesos escalados: ",
            )
            + largest,
        ),
        Oracle(
            "variance",
            exact.variance_gap,
            1e-12,
            say(
                "Var₁/K, against every pair and triple of masks: relative difference",
                "Var₁/K, frente a todo par y trío de máscaras: diferencia relativa",
            ),
        ),
        Oracle(
            "loss_of_mean",
            max(0.0, *(f.excess for f in found)),
            1e-12,
            say(
                "log-loss of the mean ≤ mean of the log-losses (Jensen), every example: excess",
                "log-loss de la media ≤ media de las log-loss (Jensen), en cada ejemplo: exceso",
            ),
        ),
        Oracle(
            "flat_without_dropout",
            exact.flat_gap,
            1e-12,
            say(
                "p = 0: averages of 1 to 20 masks are one network: ",
                "p = 0: los promedios de 1 a 20 máscaras son una sola red: ",
            )
            + largest,
        ),
    ]
    if dropout > 0:
        chance_of_equal_masks = (dropout**2 + (1 - dropout) ** 2) ** sum(hidden)
        held.append(
            Oracle(
                "masks_differ",
                max(f.alike for f in found),
                (1 + chance_of_equal_masks) / 2,
                say(
                    "dropout is at work: share of pairs of masks that say the same of all test digits",
                    "dropout actúa: fracción de pares de máscaras que dicen lo mismo de todos los dígitos de prueba",
                ),
            )
        )
    return tuple(held)


def seen(say: Say, found: Sequence[Averages], exact: Exact, dropout: float) -> list[str]:
    """What was seen, beside what the lecture and Srivastava et al. say."""
    most = list(found[0].arithmetic)[-1]
    one, many, geometric, scaled = (
        over_networks(found, kind, count)[0]
        for kind, count in (("arithmetic", 1), ("arithmetic", most), ("geometric", most), ("scaled", None))
    )
    if dropout == 0:
        return [say("With p = 0 all masks are the same network, and nothing depends on K.",
                    "Con p = 0 todas las máscaras son la misma red, y nada depende de K.")]  # fmt: skip
    levels = [level(found, position) for position in (0, 1)]
    en, es = (
        [f"at {count} masks" if count else f"not even with {most}" for count in levels],
        [f"con {count} máscaras" if count else f"ni siquiera con {most}" for count in levels],
    )
    return [
        say(
            "The lecture reads dropout as a large ensemble, each mask a model. One mask misclassifies "
            f"{100 * one[0]:.1f} % of the test digits, the mean of {most} {100 * many[0]:.2f} %, and the network "
            f"with scaled weights, without any averaging, {100 * scaled[0]:.2f} % (average of {len(found)} "
            f"networks). The mean draws level with it in error {en[0]}, and in log-loss {en[1]}; Srivastava et al. "
            "(2014, §7.5) needed some 50 on MNIST.",
            "La clase lee dropout como un gran ensamble: cada máscara es un modelo. Una máscara se equivoca en el "
            f"{100 * one[0]:.1f} % de los dígitos de prueba; la media de {most}, en el {100 * many[0]:.2f} %; y la red "
            f"con pesos escalados, sin promediar nada, en el {100 * scaled[0]:.2f} % (promedio de {len(found)} redes). "
            f"La media la alcanza en error {es[0]}, y en log-loss {es[1]}; Srivastava et al. (2014, §7.5) necesitaron "
            "unas 50 en MNIST.",
        ),
        say(
            f"In log-loss the mean of {most} has {many[1]:.4f}, the geometric mean {geometric[1]:.4f} and the scaled "
            f"weights {scaled[1]:.4f}: what scaling approximates is the geometric mean. In softmax regression it is "
            f"exact, while the mean of the probabilities there differs by up to {exact.arithmetic_gap:.2f}.",
            f"En log-loss la media de {most} tiene {many[1]:.4f}, la media geométrica {geometric[1]:.4f} y los pesos "
            f"escalados {scaled[1]:.4f}: lo que escalar aproxima es la media geométrica. En la regresión softmax es "
            f"exacto, mientras que allí la media de las probabilidades difiere hasta en {exact.arithmetic_gap:.2f}.",
        ),
        say(
            "net.eval(), which Lightning's Trainer.test calls, switches dropout off, so that K passes are K times the "
            f"same (two differed by {max(f.eval_gap for f in found):g}). Here masks are drawn outside of the modules.",
            "net.eval(), que Trainer.test de Lightning invoca, apaga dropout, de modo que K pasadas son K veces la "
            f"misma (dos difirieron en {max(f.eval_gap for f in found):g}). Aquí las máscaras se sortean fuera de los "
            "módulos.",
        ),
    ]


def draw_curves(found: Sequence[Averages], say: Say) -> Figure:
    """Error and log-loss against the number of masks averaged."""
    from trainlab.figures.studies.dropout_ensemble import averages_of_masks

    curves = {}
    for kind in ("arithmetic", "geometric"):
        every = {count: np.concatenate([getattr(f, kind)[count] - getattr(f, kind)[count].mean(1, keepdims=True)
                                        for f in found], axis=1) for count in found[0].arithmetic}  # fmt: skip
        mean = np.array([over_networks(found, kind, count)[0] for count in every])
        curves[kind] = (np.array(list(every)), mean, np.array([draws.std(1) for draws in every.values()]))
    return averages_of_masks(curves["arithmetic"], curves["geometric"], over_networks(found, "scaled")[0], say)


def draw_members(found: Sequence[Averages], say: Say) -> Figure | None:
    """The errors of single masks, and the variance of their mean; None where there is a single mask."""
    from trainlab.figures.studies.dropout_ensemble import members_and_variance

    first, most = found[0], list(found[0].arithmetic)[-1]
    if not first.variance:  # of a single mask
        return None
    errors = {"arithmetic": float(first.arithmetic[most][0].mean()), "scaled": first.scaled[0]}
    return members_and_variance(first.members, errors, most, first.variance, say)


def sweep(first: Averages, say: Say) -> Series:
    """The averages of K masks of one network, each a point, for several K: the pictures of a slider."""
    counts = [count for count in SWEPT if count in first.arithmetic]

    def draw_each() -> Iterator[Figure]:
        from trainlab.figures.studies.dropout_ensemble import one_count_each

        return one_count_each({count: first.arithmetic[count] for count in counts}, first.scaled, say)

    return Series("K", [str(count) for count in counts], draw_each)
