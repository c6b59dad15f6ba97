"""Sweeps of small networks as one (hydra/launcher=stacked): whole commands, from start to all results, and one step.

Whole commands take turns with what they are compared with, each in a process of its own, imports included.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Measure, in_turn, quotients
from trainlab.command.from_python import composed
from trainlab.configuration.points import Composer
from trainlab.errors import RunError
from trainlab.models.stacked import Buffers
from trainlab.recording.commit import REPOSITORY
from trainlab.runtime.hardware import torch_threads
from trainlab.sweeps.stacked.cohort import Cohort
from trainlab.sweeps.stacked.member import make_members
from trainlab.sweeps.stacked.training import Stack

STACKED, PROCESSES = "hydra/launcher=stacked", "hydra/launcher=processes"
# 75 of the 1,500 points of experiment=l2_sweep: the lecture's five strengths
L2_SWEEP = ["data=moons,circles,linear", "reg.l2=0.1,0.32,1,3.16,10", "seed=0,1,2,3,4"]
PERCEPTRONS = [
    "model=perceptron",
    "reg=l2",
    "optim.lr=0.01,0.02,0.05,0.1,0.15,0.2,0.25,0.3,0.35,0.4",
    "reg.l2=0,1e-4,1e-3,1e-2,1e-1",
    "seed=range(20)",
]
# The 75 fits, with the points, layers, batches, epochs, λ, rate and momentum of the sweep. A fit has no schedule here.
FITS = """
import warnings
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from trainlab.data.sources import points
warnings.simplefilter("ignore", ConvergenceWarning)
for load in (points.moons, points.circles, points.linear):
    train = load(val_fraction=0).train
    for strength in (0.1, 0.32, 1, 3.16, 10):
        for seed in range(5):
            model = MLPClassifier(
                (10, 10), solver="sgd", alpha=strength, batch_size=20, learning_rate_init=0.05, momentum=0.9,
                nesterovs_momentum=False, max_iter=400, tol=0, n_iter_no_change=1000, random_state=seed,
            )
            model.fit(train.images.numpy(), train.labels.numpy())
            assert model.n_iter_ == 400
"""
BLOCK = 200  # steps of a round


def stacked(rounds: int, quick: bool, on_progress: Callable[[str], None]) -> list[Measure]:
    """All of it; `quick` leaves out what takes minutes. Raises RunError for a command that fails."""
    found = steps(rounds, on_progress)
    sweep = partial(train, "-m", STACKED, "experiment=l2_sweep", *L2_SWEEP)
    alone = partial(train, "experiment=l2_sweep", "reg.l2=1", "figures=false")  # as the points of a sweep, none drawn
    taken, one, fits = in_turn([sweep, alone, partial(run, "-c", FITS)], max(1, rounds // 2))
    on_progress("l2_sweep")
    found += [
        Measure("l2_sweep, 75 points as one", taken, "s", remark="from start to all results"),
        Measure("  against one of its points by itself", quotients(taken, one), "×", ("≤", 2.5)),
        Measure("  75 fits of MLPClassifier against it", quotients(fits, taken), "×", ("≥", 3.0)),
    ]
    if quick:
        return found
    found += against_processes("l2_sweep", ("≥", 10.0), *L2_SWEEP)
    on_progress("l2_sweep with processes")
    for name in ("dropout_sweep_fashion", "l2_sweep_fashion"):
        found += against_processes(name, ("≥", 1.0))
        on_progress(name)
    (perceptrons,) = timed_once(partial(train, "-m", STACKED, *PERCEPTRONS))
    on_progress("1,000 perceptrons")
    return [*found, Measure("1,000 perceptrons on digits, 100 epochs", [perceptrons], "s", ("≤", 120.0))]


def against_processes(experiment: str, bound: tuple[str, float], *words: str) -> list[Measure]:
    """A sweep as one, and how many times as long it takes with processes. words: what of it, if not all."""
    ours, theirs = (
        timed_once(partial(train, "-m", launcher, f"experiment={experiment}", *words))
        for launcher in (STACKED, PROCESSES)
    )
    return [
        Measure(f"{experiment} as one", ours, "s"),
        Measure("  with processes against it", quotients(theirs, ours), "×", bound, f"{theirs[0]:,.0f} s, once"),
    ]


def timed_once(call: Callable[[], None]) -> list[float]:
    """Seconds of one call, which takes minutes, so that there is none before it."""
    began = time.perf_counter()
    call()
    return [time.perf_counter() - began]


def train(*words: str) -> None:
    """`python train.py WORDS` into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        where = f"hydra.{'sweep' if '-m' in words else 'run'}.dir={folder}/it"
        run(str(REPOSITORY / "train.py"), *words, where, "logger=csv")


def run(*words: str) -> None:
    """A new interpreter with these words. Raises RunError where it ends with another status than 0."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RunError(f"{' '.join(words)[:80]} failed: {(done.stderr.strip() or 'it says nothing').splitlines()[-1]}")


# One step

SHAPES = {  # the networks of three sweeps: overrides, and values by their options
    "l2_sweep": (["experiment=l2_sweep"], L2_SWEEP),
    "1,000 perceptrons": (["model=perceptron", "reg=l2"], PERCEPTRONS[2:]),
    "l2_sweep_fashion": (["experiment=l2_sweep_fashion"], ["reg.l2=0.01,0.1,1,10,100", "seed=0,1,2,3,4"]),
}


def steps(rounds: int, on_progress: Callable[[str], None]) -> list[Measure]:
    """A step of each stack beside the same arithmetic as a bare loop over stacked weights with autograd, one thread."""
    found = []
    for name, (common, swept) in SHAPES.items():
        with torch_threads(1):
            cohort = cohort_of(common, swept)
            count = max(5, BLOCK // max(1, cohort.size * cohort.net.weights[0][0].numel() // 50_000))
            bare = Bare(cohort)
            ours, theirs = in_turn([partial(our_steps, cohort, count), partial(bare.steps, count)], rounds)
        found.append(Measure(f"a step of {name}, {cohort.size} networks", [1000 * s / count for s in ours], "ms"))
        found.append(Measure("  a bare stacked loop against it", quotients(theirs, ours), "×", ("≥", 0.9)))
        on_progress(f"a step of {name}")
    return found


def cohort_of(common: Sequence[str], swept: Sequence[str]) -> Cohort:
    """The points of a sweep, put together."""
    composer = Composer(composed)
    values = [[f"{option}={value}" for value in listed(text)] for option, _, text in (w.partition("=") for w in swept)]
    points = [composer.compose([*common, "logger=none", *words]) for words in itertools.product(*values)]
    (cohort,) = Stack(make_members([(str(number), point) for number, point in enumerate(points)])).cohorts
    return cohort


def listed(text: str) -> list[str]:
    """The values of a sweep: "1,2" or "range(3)"."""
    if text.startswith("range("):
        return [str(number) for number in range(int(text[6:-1]))]
    return text.split(",")


def our_steps(cohort: Cohort, count: int) -> None:
    """So many steps on the first batch of an epoch."""
    block = next(cohort.loader.epoch(0, 1))
    buffers = cohort.buffers_for("benchmark", partial(Buffers, cohort.net, block.inputs.shape[2]))
    saved = torch.empty_like(buffers.outputs[-1])
    eta, decay = cohort.descent.factors(cohort.rates.over(0, 1))
    targets = block.targets if cohort.net.equal_groups else cohort.net.per_member(block.targets, 1)
    for _ in range(count):
        cohort.descent.step(
            block.inputs[0], targets[0], eta[0], decay[0] if decay is not None else None, buffers, saved
        )


class Bare:
    """Weights (K, in, out), `torch.baddbmm`, autograd, and momentum with L2: what one writes without this project."""

    def __init__(self, cohort: Cohort) -> None:
        block = next(cohort.loader.epoch(0, 1))
        self.inputs = cohort.net.per_member(block.inputs, 1)[0].contiguous()
        self.labels = cohort.net.per_member(block.labels, 1)[0].contiguous()
        self.weights = [weight.mT.contiguous().requires_grad_() for weight in cohort.net.weights]
        self.biases = [bias.mT.contiguous().requires_grad_() for bias in cohort.net.biases]
        self.velocities = [torch.zeros_like(p) for p in self.weights + self.biases]
        decay = [[rule.weight_decay] for rule in cohort.rules]
        self.decay = torch.tensor(decay)[:, :, None]
        rate = torch.tensor([[rule.lr] for rule in cohort.rules])[:, :, None]
        self.rate = [rate for _ in self.velocities]
        self.momentum = cohort.rules[0].momentum

    def steps(self, count: int) -> None:
        """So many updates of all networks."""
        parameters = self.weights + self.biases
        for _ in range(count):
            loss = self.loss()
            gradients = list(torch.autograd.grad(loss, parameters))
            with torch.no_grad():
                for number, weight in enumerate(self.weights):
                    gradients[number] = torch.addcmul(gradients[number], weight, self.decay)
                torch._foreach_mul_(self.velocities, self.momentum)
                torch._foreach_add_(self.velocities, torch._foreach_mul(gradients, self.rate))
                torch._foreach_sub_(parameters, self.velocities)

    def loss(self) -> Tensor:
        """The sum of the networks' mean losses."""
        hidden = self.inputs
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            outputs = torch.baddbmm(bias, hidden, weight)
            hidden = outputs.relu() if number < len(self.weights) - 1 else outputs
        each = F.cross_entropy(hidden.flatten(0, 1), self.labels.flatten(), reduction="sum")
        return each / self.labels.shape[1]
