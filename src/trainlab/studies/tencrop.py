"""Ten crops: one, five and ten views averaged in testing, and what they are worth as training data.

Lecture: "Otro aporte de AlexNet fue popularizar técnicas de aumento de datos"; Krizhevsky et al. 2012, §4.1. Views 1 to
5 are four corners and the centre, 6 to 10 their reflections. All networks see crops of one size; one that is trained
without ten crops sees the centre only.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

import trainlab
from trainlab.augment import CENTRE_VIEW, TenCrop
from trainlab.classifier import Classifier
from trainlab.configuration.folder import CONF
from trainlab.data.batches import GlobalBatchSampler, IndexedBatches
from trainlab.data.image_set import ImageSet
from trainlab.errors import InputError
from trainlab.objective import Loss
from trainlab.optim import Schedule, train_step
from trainlab.recording.section import Say, Section, speaker
from trainlab.runtime.assembly import Assembly, assemble, build_net, in_memory_order
from trainlab.runtime.hardware import torch_threads
from trainlab.runtime.trainer import make_test_trainer
from trainlab.studies.finding import Finding, Oracle, Progress, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {1: [CENTRE_VIEW], 5: [0, 1, 2, 3, 4], 10: list(range(10))}
# Views in training, and how many times the steps of one epoch of the images; the last one is of both comparisons.
EQUAL_EPOCHS = ((1, 1), (5, 5), (10, 10))
EQUAL_STEPS = ((1, 10), (5, 10), (10, 10))
TRAININGS = tuple(dict.fromkeys(EQUAL_EPOCHS + EQUAL_STEPS))
FEW = 256  # images whose views are looked at together
TEST_SHARE = 0.5  # of the digits: with fewer, errors could not be told apart


@dataclass(frozen=True)
class Tested:
    """What a network says of the views of the test images.

    predictions: float32 (10, N, classes), probabilities of each view. labels: int64 (N,). errors, losses: by the number
    of views averaged. excess: see `excess_of_mean`.
    """

    predictions: Tensor
    labels: Tensor
    errors: dict[int, float]
    losses: dict[int, float]
    excess: float  # the most by which an example's loss of the mean exceeds the mean of its views' losses


@dataclass(frozen=True)
class Found:
    """What the study measured.

    tested: by (views in training, multiple of the steps), one for each run. steps: of one view and so many epochs.
    keeps_class: whether a reflection leaves the class as it is. test_gap, run_gap: the largest difference from the
    repository's own test of these networks, and from a whole run. example: the views of one image as pictures (10, S,
    S, C) in [0, 1], the whole (S′, S′, C), and its place in the test.
    """

    tested: dict[tuple[int, int], list[Tested]]
    steps: int
    keeps_class: bool
    classes: tuple[str, ...]
    test_gap: float
    run_gap: float
    example: tuple[np.ndarray, np.ndarray, int]

    def errors(self, training: tuple[int, int], views: int) -> np.ndarray:
        """The test error of each run, a fraction."""
        return np.array([one.errors[views] for one in self.tested[training]])

    def losses(self, training: tuple[int, int], views: int) -> np.ndarray:
        """The test loss of each run."""
        return np.array([one.losses[views] for one in self.tested[training]])


def study(
    *,
    data: str = "digits",
    model: str = "mlp",
    epochs: int = 6,
    runs: int = 3,
    train_examples: int | None = None,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """Train `model` on one, five and ten views of each image of `data`; test each with one, five and ten.

    epochs: passes over the images and their views; the comparison at equal steps gives all what ten views take.
    runs: seeds. Raises InputError for what cannot be trained so.
    """
    say = speaker(lang)
    check(data, model, epochs, runs, seed)
    with torch_threads(1):
        found = measure(data, model, epochs, runs, train_examples, seed, on_progress)
    section = Section(
        say("Ten crops, in training and in testing", "Diez recortes, al entrenar y al probar"),
        head=heads(say),
        rows=[row(found, training, say) for training in TRAININGS],
        sentences=seen(say, found),
        figures={"tencrop_error": partial(draw_errors, found, say), "tencrop_views": partial(draw_views, found, say)},
    )
    return Finding(section, numbers_of(found), oracles(found, say))


def check(data: str, model: str, epochs: int, runs: int, seed: int) -> None:
    """Raises InputError for an option that is out of its range."""
    files = {option: sorted((CONF / option).glob("*.yaml")) for option in ("data", "model")}
    for option, name in (("data", data), ("model", model)):
        there = [file.stem for file in files[option] if usable(file.read_text(encoding="utf-8"))]
        if name not in there:
            raise InputError(f"{option}={name} cannot be used here; use one of {', '.join(there)}.")
    if epochs < 1 or runs < 1 or seed < 0:
        raise InputError(f"epochs={epochs} and runs={runs} have to be at least 1, and seed={seed} at least 0.")


def usable(choice: str) -> bool:
    """Whether the choice of a file in conf/ needs no further options, and its data are images."""
    return "???" not in choice and "sources.points." not in choice


def words_of(data: str, model: str, train_examples: int | None, seed: int, *, reflections: bool = True) -> list[str]:
    """What one would type behind python train.py for such a run."""
    words = [f"model={model}", f"data={data}", "aug=tencrop", f"data.reflections={str(reflections).lower()}"]
    words += [f"data.test_fraction={TEST_SHARE}"] if data == "digits" else []
    words += [f"data.train_examples={train_examples}"] if train_examples is not None else []
    return [*words, f"seed={seed}", "logger=none", "trainer.accelerator=cpu", "trainer.precision=float32"]


def measure(
    data: str, model: str, epochs: int, runs: int, train_examples: int | None, seed: int, on_progress: Progress
) -> Found:
    """Train the networks, with one view and with several, and test each with one, five and ten views."""
    words = partial(words_of, data, model, train_examples)
    parts = assemble(trainlab.compose(words(seed)))
    test, augmentation = parts.data.sets.test, parts.data.augmentation
    assert isinstance(augmentation, TenCrop)  # points were refused
    steps = epochs * -(-len(parts.data.sets.train) // parts.cfg.data.batch_size)
    share = {training: training[1] for training in TRAININGS}
    done, total = 0, runs * sum(share.values()) + 5
    nets: dict[tuple[int, int], nn.Module] = {}
    tested: dict[tuple[int, int], list[Tested]] = {training: [] for training in TRAININGS}
    for run in range(runs):
        for views, multiple in TRAININGS:
            on_progress(done, total)
            net = train(parts, views, steps * multiple, seed + run)
            tested[views, multiple].append(evaluate_views(net, augmentation, parts.loss, test))
            if run == 0:
                nets[views, multiple] = net
            done += share[views, multiple]
    on_progress(done, total)
    without = assemble(trainlab.compose(words(seed, reflections=False)))
    first = {training: results[0] for training, results in tested.items()}
    test_gap = max(
        gap_to_repositorys_test(net, one, first[training], views)
        for training, net in nets.items()
        for one, views in ((parts, 10), (without, 5))
    )
    on_progress(total - 3, total)
    keeps_class = bool(trainlab.compose([f"data={data}"]).data.reflections)
    example = telling_example(first[10, 10], test, augmentation)
    run_gap = gap_to_a_run(words(seed), test)
    on_progress(total, total)
    return Found(tested, steps, keeps_class, tuple(test.classes), test_gap, run_gap, example)


def train(parts: Assembly, views: int, steps: int, seed: int) -> nn.Module:
    """A new network trained on so many views of each image, as the model's recipe says; in evaluation mode."""
    images, augmentation = parts.data.sets.train, parts.data.augmentation
    assert augmentation is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_net(parts.cfg.model, parts.data.input_shape, len(images.classes))
        net = in_memory_order(fresh, parts.hardware).train()
        optimizer, used = parts.make_optimizer(net), torch.tensor(VIEWS[views])
        schedule = Schedule(parts.cfg.optim.schedule).of(optimizer, steps)
        batches = GlobalBatchSampler(len(images), parts.cfg.data.batch_size, views=views, seed=seed, shuffle=True)
        slices, epoch = IndexedBatches(images, views), 0
        while steps > 0:
            batches.set_epoch(epoch)
            for part in list(batches)[:steps]:
                batch = slices[part]
                inputs = augmentation.train(batch.inputs, batch.ids, used[batch.views], seed=seed, epoch=epoch)
                train_step(net, parts.loss, optimizer, inputs, batch.labels)
                if schedule is not None:
                    schedule.step()  # type: ignore[call-arg]
                steps -= 1
            epoch += 1
    return net.eval()


@torch.no_grad()
def evaluate_views(net: Callable[[Tensor], Tensor], augmentation: TenCrop, loss: Loss, test: ImageSet) -> Tested:
    """The ten views of every test image, and the errors of the average of the first few."""
    outputs = torch.cat(
        [
            torch.stack([net(view) for view in augmentation.test_views(test.some(some))])
            for some in torch.arange(len(test)).split(FEW)
        ],
        dim=1,
    )
    predictions, labels = loss.predict(outputs), test.labels
    means = {count: predictions[chosen].mean(0) for count, chosen in VIEWS.items()}
    of_each = -outputs.double().log_softmax(-1).gather(-1, labels.expand(10, -1)[..., None])[..., 0]
    return Tested(
        predictions,
        labels,
        {count: float((mean.argmax(1) != labels).double().mean()) for count, mean in means.items()},
        {count: float(loss.from_predictions(mean, labels)) for count, mean in means.items()},
        max(excess_of_mean(of_each[chosen]) for chosen in VIEWS.values()),
    )


def excess_of_mean(losses: Tensor) -> float:
    """The most, over examples, by which −log of the mean p exceeds the mean of −log p; never above 0 (Jensen).

    losses: float64 (V, N), −log p of the right class in each view.
    """
    of_mean = np.log(len(losses)) - (-losses).logsumexp(0)
    return float((of_mean - losses.mean(0)).max())


def gap_to_repositorys_test(net: nn.Module, parts: Assembly, tested: Tested, views: int) -> float:
    """The largest difference of error and loss, one view and averaged, from what a run's own test says of `net`."""
    classifier = Classifier(net, parts.loss, classes=len(parts.data.classes), views=parts.data.test_views)
    trainer = make_test_trainer(parts.hardware)
    with redirect_stdout(io.StringIO()):
        trainer.test(classifier, parts.data, verbose=False)
    return gap({name: float(value) for name, value in trainer.callback_metrics.items()}, tested, views)


def gap(results: dict[str, float], tested: Tested, views: int) -> float:
    """The largest difference between a test's results and ours: error and loss, of the centre and averaged. results: as
    in results.json.
    """
    pairs = [
        (results[f"test/{name}{suffix}"], values[count])
        for name, values in (("top1_error", tested.errors), ("loss", tested.losses))
        for suffix, count in (("", 1), ("_tencrop", views))
    ]
    return max(abs(theirs - ours) for theirs, ours in pairs)


def gap_to_a_run(words: Sequence[str], test: ImageSet) -> float:
    """The largest difference of the results of a run of one epoch from its checkpoint's views, averaged here."""
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(io.StringIO()):
            results = trainlab.run([*words, "trainer.max_epochs=1"], run_dir=Path(folder) / "run")
        network = trainlab.load(Path(folder) / "run")
    assert isinstance(network.augmentation, TenCrop)
    return gap(results, evaluate_views(network.net, network.augmentation, network.loss, test), 10)


def telling_example(tested: Tested, test: ImageSet, augmentation: TenCrop) -> tuple[np.ndarray, np.ndarray, int]:
    """The image to which averaging gives most: of those that the centre gets wrong and the five get right, if any."""
    truth = tested.labels
    centre, five = tested.predictions[CENTRE_VIEW], tested.predictions[VIEWS[5]].mean(0)
    gained = (five - centre).gather(1, truth[:, None])[:, 0]
    corrected = (centre.argmax(1) != truth) & (five.argmax(1) == truth)
    place = int(torch.where(corrected, gained + 2, gained).argmax())
    image = test.some(torch.tensor([place]))
    assert augmentation.mean is not None
    mean = augmentation.mean[:, None, None]
    views = (augmentation.test_views(image)[:, 0] + mean).clamp(0, 1).permute(0, 2, 3, 1)
    return views.numpy(), (augmentation.resize(image)[0].float() / 255).permute(1, 2, 0).numpy(), place


def plus_minus(values: np.ndarray, unit: float, digits: int) -> str:
    """Mean ± standard deviation of `values`, multiplied by `unit`."""
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{unit * values.mean():.{digits}f} ± {unit * deviation:.{digits}f}"


def heads(say: Say) -> list[str]:
    """The heads of the section's table."""
    columns = [say(f"error with {k} (%)", f"error con {k} (%)") for k in VIEWS]
    columns += [say(f"log-loss with {k}", f"log-loss con {k}") for k in VIEWS]
    return [say("trained on", "entrenada con"), say("steps", "pasos"), *columns]


def row(found: Found, training: tuple[int, int], say: Say) -> list[str]:
    """A row of the section's table: one kind of training, mean ± deviation over the runs."""
    views, multiple = training
    trained = say("the centre", "el centro") if views == 1 else say(f"{views} views", f"{views} vistas")
    return [
        trained,
        f"{found.steps * multiple:,}",
        *(plus_minus(found.errors(training, k), 100, 2) for k in VIEWS),
        *(plus_minus(found.losses(training, k), 1, 3) for k in VIEWS),
    ]


def numbers_of(found: Found) -> dict[str, float]:
    """The measured values by name, for results.json."""
    numbers = {"steps": float(found.steps), "runs": float(len(found.tested[TRAININGS[0]]))}
    for views, multiple in TRAININGS:
        name = f"trained_on_{views}/steps×{multiple}"
        for tested in VIEWS:
            errors, losses = found.errors((views, multiple), tested), found.losses((views, multiple), tested)
            numbers[f"{name}/top1_error/views={tested}"] = float(errors.mean())
            numbers[f"{name}/top1_error_sd/views={tested}"] = float(errors.std(ddof=1)) if len(errors) > 1 else 0.0
            numbers[f"{name}/loss/views={tested}"] = float(losses.mean())
    return numbers


def oracles(found: Found, say: Say) -> tuple[Oracle, ...]:
    """What the averages over views are checked against: the test of a run, this repository's own test, and Jensen's
    inequality.
    """
    largest = say("largest difference", "mayor diferencia")
    excess = max(one.excess for results in found.tested.values() for one in results)
    return (
        Oracle(
            "tencrop_of_a_run",
            found.run_gap,
            1e-6,
            say(
                "test/… and test/…_tencrop of a run with aug=tencrop, whose checkpoint's views are averaged here: ",
                "test/… y test/…_tencrop de una ejecución con aug=tencrop, cuyo checkpoint se promedia aquí: ",
            )
            + largest,
        ),
        Oracle(
            "tencrop_of_these_networks",
            found.test_gap,
            1e-6,
            say(
                "the repository's own test of these networks, with five views and with ten: ",
                "la prueba propia del repositorio de estas redes, con cinco y con diez vistas: ",
            )
            + largest,
        ),
        Oracle(
            "loss_of_mean",
            max(0.0, excess),
            1e-12,
            say(
                "log-loss of the mean ≤ mean of the views' log-losses (Jensen), every example: excess",
                "log-loss de la media ≤ media de las log-loss de las vistas (Jensen), en cada ejemplo: exceso",
            ),
        ),
    )


def seen(say: Say, found: Found) -> list[str]:
    """What was seen, beside what the lecture says."""

    def error(training: tuple[int, int], views: int) -> str:
        return f"{100 * found.errors(training, views).mean():.1f} %"

    runs, steps = len(found.tested[TRAININGS[0]]), f"{10 * found.steps:,}"
    centre, five, ten = (1, 10), (5, 10), (10, 10)
    sentences = [
        say(
            f"The lecture counts ten crops as ten times the data. At equal steps ({steps}; means of {runs} runs) a "
            f"network trained on the centre misclassifies {error(centre, 1)} of the test images with one view, one "
            f"trained on five views {error(five, 5)} with five, and one trained on ten {error(ten, 10)} with ten. At "
            f"equal epochs the centre has a tenth of these steps and misclassifies {error((1, 1), 1)}: to compare at "
            "equal epochs is to compare steps as well.",
            f"La clase cuenta diez recortes como diez veces los datos. A iguales pasos ({steps}; medias de {runs} "
            f"ejecuciones), una red entrenada con el centro se equivoca en el {error(centre, 1)} de las imágenes de "
            f"prueba con una vista; otra entrenada con cinco vistas, en el {error(five, 5)} con cinco; y otra con "
            f"diez, en el {error(ten, 10)} con diez. A iguales épocas el centro tiene la décima parte de esos pasos y "
            f"se equivoca en el {error((1, 1), 1)}: comparar a iguales épocas es comparar también pasos.",
        ),
        say(
            "Averaging alone, on the same networks: with five views, those trained on five go from "
            f"{error(five, 1)} to {error(five, 5)}, and those trained on the centre from {error(centre, 1)} to "
            f"{error(centre, 5)}; with ten, those trained on ten from {error(ten, 1)} to {error(ten, 10)}.",
            "Solo promediar, con las mismas redes: con cinco vistas, las entrenadas con cinco pasan del "
            f"{error(five, 1)} al {error(five, 5)}, y las entrenadas con el centro, del {error(centre, 1)} al "
            f"{error(centre, 5)}; con diez, las entrenadas con diez, del {error(ten, 1)} al {error(ten, 10)}.",
        ),
    ]
    if not found.keeps_class:
        sentences.append(
            say(
                "In this data a mirrored image may be of no class, and an ordinary run leaves the five reflections "
                f"out (data.reflections=false): with them, those trained on five go from {error(five, 5)} to "
                f"{error(five, 10)}.",
                "En estos datos una imagen reflejada puede no ser de ninguna clase, y una ejecución normal omite las "
                f"cinco reflexiones (data.reflections=false): con ellas, las entrenadas con cinco pasan del "
                f"{error(five, 5)} al {error(five, 10)}.",
            )
        )
    return sentences


def draw_errors(found: Found, say: Say) -> Figure:
    """The errors by the number of views in training and in testing."""
    from trainlab.figures.studies.tencrop import errors_by_views

    panels = [
        {views: {k: found.errors((views, multiple), k) for k in VIEWS} for views, multiple in comparison}
        for comparison in (EQUAL_EPOCHS, EQUAL_STEPS)
    ]
    return errors_by_views(panels[0], panels[1], (found.steps, 10 * found.steps), say)


def draw_views(found: Found, say: Say) -> Figure:
    """The views of one image, and what the network says of each and of their averages."""
    from trainlab.figures.studies.tencrop import views_of_an_example

    views, whole, place = found.example
    tested = found.tested[10, 10][0]
    means = {count: tested.predictions[chosen, place].mean(0).numpy() for count, chosen in VIEWS.items()}
    each, truth = tested.predictions[:, place].numpy(), int(tested.labels[place])
    return views_of_an_example(views, whole, each, means, (found.classes, truth), say)
