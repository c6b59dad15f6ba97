"""The network in the middle of the picture: trained here in seconds, or from a checkpoint of this project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainlab.data.batches import GlobalBatchSampler
from trainlab.data.image_set import ImageSet, spread
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.models.summary import summarize
from trainlab.objective import L2, CrossEntropy, Loss
from trainlab.optim import Momentum, make_optimizer, train_step
from trainlab.recording.run_directory import CHECKPOINTS, read_results
from trainlab.runtime.assembly import read_data
from trainlab.runtime.hardware import choose_threads, torch_threads
from trainlab.studies.digits import digits_as_seen
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.landscape.directions import flat, weights_of
from trainlab.studies.landscape.surface import dense_layers, losses
from trainlab.survival import checkpoint
from trainlab.survival.trained import Trained, read_trained

HIDDEN = (64, 64)
EPOCHS, BATCH, ETA, GAMMA = 40, 64, 0.02, 0.9
SIDE = 8  # pixels of a digit

MOST_EXAMPLES, LEAST_EXAMPLES = 10_000, 32
# Multiplications: what a plane may cost where the number of examples is left open; of networks that take their settings
# one by one, which goes slower
PLANE, PLANE_ONE_BY_ONE = 2e12, 2e11
CURVATURE = 5e8  # multiplications of one pass: the examples of the Hessian
MOST_CURVED, LEAST_CURVED = 2000, 8
CHECK = 5e11  # multiplications: sets whose recorded loss is measured again


@dataclass(frozen=True)
class Kind:
    """A network that is trained here. l2: C of C/2 ‖W‖²."""

    activation: str
    init: str
    l2: float = 0.0


TRAINED_HERE = {
    "relu": Kind("relu", "kaiming"),
    "tanh": Kind("tanh", "xavier"),
    "l2": Kind("relu", "kaiming", 5e-3),
}


@dataclass(frozen=True)
class Kept:
    """The weights after so many epochs, float32 (P,)."""

    epoch: float
    weights: Tensor


@dataclass(frozen=True)
class Recorded:
    """A loss that a run wrote down, such as "test/loss", and what `losses` gives of the same examples. within: how
    far apart they may be, as a share of it; the run may have computed in another precision."""

    name: str
    loss: float
    again: float
    within: float


@dataclass(frozen=True)
class Subject:
    """The network around which the loss is looked at, and what is known of its training.

    net: in evaluation mode, float32. inputs (N, …), labels int64 (N,): of the training set, as many as are looked at,
    without random views; `there` is how many the set has. curved: how many of them, from the first on, the Hessian is
    of. kept: the weights while it was trained, in their order. eta, gamma: of its training, η at its start.
    test_error, recorded: None where they are not known. trained_here: whether the study has trained it, and not a run.
    """

    name: str
    net: nn.Module
    loss: Loss
    inputs: Tensor
    labels: Tensor
    there: int
    curved: int
    kept: tuple[Kept, ...]
    eta: float
    gamma: float
    test_error: float | None
    recorded: Recorded | None
    trained_here: bool

    @property
    def examples(self) -> tuple[Tensor, Tensor]:
        """What the loss is a mean over: inputs (N, …) and labels, int64 (N,)."""
        return self.inputs, self.labels

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.inputs.shape[1:])

    @property
    def edge(self) -> float:
        """The curvature from which on full batches would make this η, γ diverge: 2(1 + γ)/η."""
        return 2 * (1 + self.gamma) / self.eta


def subject_of(name: str, examples: int | None, points: int, seed: int, on_progress: Progress = no_progress) -> Subject:
    """The network of this name, with its data. Raises InputError.

    name: of `TRAINED_HERE`, or a run directory or checkpoint. examples: None for as many as the time allows. points:
    along each side of the surface.
    """
    if name in TRAINED_HERE:
        return train_here(name, examples, points, seed, on_progress)
    return read_run(name, examples, points)


def train_here(name: str, examples: int | None, points: int, seed: int, on_progress: Progress = no_progress) -> Subject:
    """An MLP on the digits with the repository's own parts, its weights kept after every epoch."""
    kind = TRAINED_HERE[name]
    digits = digits_as_seen()
    net = small_net(kind.activation, kind.init, seed)
    loss, labels = CrossEntropy(), digits.labels
    l2 = L2(kind.l2, examples=len(labels))
    optimizer = make_optimizer(net, Momentum, lr=ETA, weight_decay=l2.weight_decay, momentum=GAMMA)
    kept = [Kept(0, flat(weights_of(net)).clone())]
    batches = GlobalBatchSampler(len(labels), BATCH, seed=seed, shuffle=True)
    with threads_for(net, (1, SIDE, SIDE)):
        for epoch in range(EPOCHS):
            batches.set_epoch(epoch)
            for part in batches:
                train_step(net, loss, optimizer, digits.inputs[part.samples], labels[part.samples])
            kept.append(Kept(epoch + 1, flat(weights_of(net)).clone()))
            on_progress(epoch + 1, EPOCHS)
    net.eval()
    with torch.inference_mode():
        wrong = float((net(digits.test_inputs).argmax(1) != digits.test_labels).double().mean())
    count = how_many(net, (1, SIDE, SIDE), len(labels), examples, points)
    some = spread(len(labels), count)
    return Subject(
        name, net, loss, digits.inputs[some], labels[some], len(labels), min(count, MOST_CURVED), tuple(kept),
        ETA, GAMMA, wrong, None, True,
    )  # fmt: skip


def small_net(activation: str, init: str, seed: int) -> MLP:
    """A new MLP 64-64-64-10 with weights by `seed`; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MLP((1, SIDE, SIDE), 10, hidden=HIDDEN, activation=activation, init=init)


def read_run(name: str, examples: int | None, points: int) -> Subject:
    """The network of a run (its best checkpoint) or of a checkpoint, with the run's own data. Raises InputError."""
    trained = trained_of(name)
    facts, cfg, net = trained.saved.facts, trained.cfg, trained.net.float()
    if not all(torch.isfinite(weight).all() for weight in net.parameters()):
        raise InputError(f"run={name} has weights that are not finite numbers; there is no loss around them.")
    shape = tuple(facts.input_shape)
    mean = None if facts.mean is None else torch.tensor(facts.mean)
    data = read_data(cfg, input_size=shape[-1] if len(shape) == 3 else None, may_fetch=False, mean=mean)
    if data.input_shape != shape or list(data.classes) != facts.classes:
        raise InputError(
            f"run={name} was trained on inputs of {list(shape)} in {len(facts.classes)} classes, and its data are now "
            f"of {list(data.input_shape)} in {len(data.classes)}."
        )
    train = data.sets.train
    count = how_many(net, shape, len(train), examples, points)
    some = spread(len(train), count)
    results = results_of(trained)
    optim = cfg.optim
    return Subject(
        name,
        net,
        trained.loss,
        seen(data, train, some),
        train.labels[some],
        len(train),
        min(count, clamp(CURVATURE / multiplications(net, shape), LEAST_CURVED, MOST_CURVED)),
        tuple(kept_by(name, trained)),
        float(optim.lr),
        float(optim.get("momentum") or 0.0),
        results.get("test/top1_error") if results.get("test/epoch") == trained.saved.progress.epochs else None,
        recorded(trained, data, results, shape),
        False,
    )


def trained_of(name: str) -> Trained:
    """The network of a run or checkpoint. Raises InputError that names the option `run`."""
    try:
        return read_trained(name)
    except InputError as error:
        here = f"; {', '.join(TRAINED_HERE)} are trained here" if not Path(name).expanduser().exists() else ""
        text = str(error).replace(f"ckpt={name}", f"run={name}").removesuffix(".")
        raise InputError(f"{text}{here}.") from error


def results_of(trained: Trained) -> dict:
    """What the run wrote into results.json, where the checkpoint still lies in its directory; else nothing."""
    path = trained.saved.path
    return (read_results(path.parent.parent) or {}) if path.parent.name == CHECKPOINTS.name else {}


def recorded(trained: Trained, data: ImageData, results: dict, shape: tuple[int, ...]) -> Recorded | None:
    """The loss in results.json that is of these very weights, in evaluation mode: of the last epoch's validation, or of
    the test. None where there is none, or where it would take long to measure."""
    progress = trained.saved.progress
    choices = {"last/val/loss": ("last/epoch", data.sets.val), "test/loss": ("test/epoch", data.sets.test)}
    for name, (epoch, images) in choices.items():
        loss = results.get(name)
        if loss is None or not len(images) or results.get(epoch) != progress.epochs or progress.batches:
            continue
        if len(images) * multiplications(trained.net, shape) > CHECK:
            continue
        exact = results.get("precision") == "float32" and results.get("device") == "CPU"
        again = 0.0
        for part in torch.arange(len(images)).split(1024):
            pair = seen(data, images, part), images.labels[part]
            again += float(losses(trained.net, trained.loss, pair, [], torch.zeros(1, 0).numpy())[0]) * len(part)
        return Recorded(name, loss, again / len(images), 1e-5 if exact else 0.02)
    return None


def seen(data: ImageData, images: ImageSet, some: Tensor) -> Tensor:
    """What the network sees of the examples at `some`: the one view of validation."""
    chosen = images.some(some)
    return data.augmentation.test(chosen) if data.augmentation is not None else chosen


def kept_by(name: str, trained: Trained) -> Iterator[Kept]:
    """The checkpoints that lie beside this one, in the order of their epochs: best and last, and whatever else the run
    was told to keep. Those of other networks, and what cannot be read, are passed over."""
    own = flat(weights_of(trained.net))
    found = {epoch_of(trained.saved.progress): own}
    for file in sorted(trained.saved.path.parent.glob("*.ckpt")):
        try:
            saved = checkpoint.read(str(file))
        except InputError:
            continue
        shapes = {name: weight.shape for name, weight in trained.net.named_parameters()}
        if {name: weight.shape for name, weight in saved.weights.items() if name in shapes} != shapes:
            continue
        found.setdefault(epoch_of(saved.progress), flat({name: saved.weights[name].float() for name in shapes}))
    for epoch in sorted(found):
        yield Kept(epoch, found[epoch])


def epoch_of(progress: checkpoint.Progress) -> float:
    """The epoch of a checkpoint; within an epoch it counts as half done, since a checkpoint does not say of how many
    batches.
    """
    return progress.epochs + 0.5 * (progress.batches > 0)


def how_many(net: nn.Module, shape: tuple[int, ...], there: int, asked: int | None, points: int) -> int:
    """How many examples the surface is a mean over. asked: None for as many as the time allows. Raises InputError for
    more than there are.
    """
    if asked is None:
        dense = dense_layers(net) is not None
        most = (PLANE if dense else PLANE_ONE_BY_ONE) / multiplications(net, shape, stacked=dense)
        return min(there, clamp(most / points**2, LEAST_EXAMPLES, MOST_EXAMPLES))
    if not 2 <= asked <= there:
        raise InputError(f"examples={asked} has to be from 2 to the {there:,} training examples there are.")
    return asked


def multiplications(net: nn.Module, shape: tuple[int, ...], stacked: bool = False) -> int:
    """How many multiplications the network takes for one example. stacked: without the first layer, which is computed
    once for all settings of the weights.
    """
    first, *rest = [layer.connections for layer in summarize(net, shape)]
    return sum(rest) + (0 if stacked else first) + 1


def clamp(value: float, least: int, most: int) -> int:
    """The whole number next to `value`, rounded down, between `least` and `most`."""
    return int(min(max(value, least), most))


def threads_for(net: nn.Module, shape: tuple[int, ...]) -> AbstractContextManager[None]:
    """A context manager in which torch has as many threads as a training run would take: one where dealing out the work
    costs more than the work.
    """
    return torch_threads(choose_threads("auto", BATCH * multiplications(net, shape), 1))
