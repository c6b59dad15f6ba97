"""The tricks: by which switch each is left out, and what work shows what it buys."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "trainlab"  # the side with all tricks
CPU, CLOCK, TRAINING, MEMORY = "CPU seconds", "seconds", "seconds of training", "peak memory in MB"  # of a command


@dataclass(frozen=True)
class StepTrick:
    """A trick of the training step. name: of its switch in `within_step`. works: the names of the workloads whose steps
    are timed. beside: the side that it is compared with.
    """

    name: str
    what: str
    works: tuple[str, ...]
    beside: str = OURS


# Steps of a block, and blocks, in the quick benchmark and in the whole one. Many short ones, since what disturbs a
# shared machine lasts for seconds.
BLOCKS = {
    "perceptron": ((160, 3), (160, 60)),
    "perceptron_cifar10": ((80, 3), (80, 60)),
    "mlp": ((48, 3), (48, 40)),
    "convnet": ((8, 3), (8, 25)),
    "alexnet": ((1, 2), (2, 8)),
    "alexnet_32": ((2, 2), (2, 12)),
}


@dataclass(frozen=True)
class CommandTrick:
    """A trick of a whole command. name: of its switch in `whole_command`.

    words: the command line; {folder} is a new folder, {packed} a packed set. quantities: what is measured. busy:
    another program computes beside it, as many of them as there are cores.
    """

    name: str
    what: str
    words: str
    quantities: tuple[str, ...] = (CPU, CLOCK)
    busy: bool = False
    rounds: tuple[int, int] = (2, 6)


START = "model=perceptron data=digits trainer.max_epochs=1 hydra.run.dir={folder}/run "
SWEEP = "-m model=perceptron data=digits trainer.max_epochs=1 logger=none seed=1,2,3,4 hydra.sweep.dir={folder}/sweep"
PACKED = (
    "model=perceptron data=imagenet data.root={packed} aug=alexnet trainer.max_epochs=1 logger=none "
    "hydra.run.dir={folder}/run"
)

SMALL = ("perceptron", "mlp")
STEP_TRICKS = (
    StepTrick("default_allocator", "freed memory is kept", ("alexnet",)),
    StepTrick("torchs_response_norm", "own local response normalisation", ("alexnet_32",)),
    StepTrick("plain_float", "bytes become float in the cache", ("perceptron", "perceptron_cifar10", "alexnet_32")),
    StepTrick("stream_of_draws", "counter-based random draws", ("convnet",)),
    StepTrick("one_batch_at_a_time", "several steps per iteration of the loop", SMALL),
    StepTrick("each_batch_counted", "errors of several steps are counted together", SMALL),
    StepTrick("automatic_optimization", "the training step is written out", SMALL, beside="one_batch_at_a_time"),
    StepTrick("lightnings_profiler", "a profiler that does nothing", SMALL[:1]),
)
COMMAND_TRICKS = (
    CommandTrick("collected_imports", "no garbage collection during imports", START + "logger=none"),
    CommandTrick("slow_exit", "exit without freeing every object", START + "logger=none"),
    CommandTrick("whole_lightning", "Lightning without what a run never uses", START + "logger=none"),
    CommandTrick("whole_wandb", "W&B without its launcher of jobs", START + "logger=wandb logger.mode=offline"),
    CommandTrick("torchs_wrapper", "GradientDescent.step without torch's wrapper", START + "optim=sgd logger=none"),
    CommandTrick(
        "long_spin",
        "OpenMP threads spin briefly",
        "model=mlp data=digits trainer.max_epochs=2 trainer.threads=2 logger=none hydra.run.dir={folder}/run",
        (TRAINING, CPU),
        busy=True,
    ),
    CommandTrick("cold_points", "points of a sweep fork from a warm parent", SWEEP, (CLOCK,), rounds=(1, 3)),
    CommandTrick("mapped_pages_kept", "mapped pages are released", PACKED, (MEMORY,), rounds=(1, 2)),
)
TEST_PARENT = "cold_tests"  # measured by what the tests themselves call
NAMES = (*(trick.name for trick in (*STEP_TRICKS, *COMMAND_TRICKS)), TEST_PARENT)
