"""Which points of a sweep go into one stack, and what is said of those that go into none."""

from __future__ import annotations

import math
import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from trainlab.command.main import compose_sweep
from trainlab.sweeps.stacked.grouping import fingerprint, group, said

pytestmark = pytest.mark.process


@pytest.fixture
def grouped(composed, tmp_path):
    """grouped("seed=0,1", …): the points of each stack by their numbers, and why others are alone."""

    def make(*words: str):
        sweep, batch = composed(tmp_path, *words)
        return group([sweep.composer.compose(overrides).plain for overrides in batch])

    return make


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "optim.lr=0.1,0.2", "reg.l2=0,1"],
        ["model.activation=relu,tanh,sigmoid", "model.init=kaiming,xavier"],
        ["reg.dropout=0,0.5", "reg.form=mean,sum"],
        ["optim=sgd,momentum", "optim.schedule=constant,cosine,plateau"],
        ["data=moons,circles,linear", "data.split_seed=0,1"],
        ["optim.momentum=0,0.9", "optim=momentum"],
        ["logger=csv,none"],
        ["figures=true,false"],
        ["recipe.lr=0.1,0.2"],
    ],
)
def test_points_that_differ_in_this_are_one_stack(grouped, words):
    found = grouped("model=mlp", *words)
    assert len(found.stacks) == 1
    assert found.alone == {}
    assert said(found, 2) == "in 1 stack"


@pytest.mark.parametrize(
    ("words", "stacks"),
    [
        (["model.hidden=[8],[8,8]", "seed=0,1"], 2),
        (["data.batch_size=8,16", "seed=0,1"], 2),
        (["trainer.max_epochs=1,2", "seed=0,1"], 2),
        (["trainer.target=null,0.1", "seed=0,1"], 2),
        (["loss=cross_entropy,half_mse", "seed=0,1"], 2),
        (["aug=none,crop_flip", "data=digits", "seed=0,1"], 2),
        (["data=digits,moons", "seed=0,1"], 2),
        (["data=moons,circles", "data.n_samples=50,100", "seed=0,1"], 2),
        (["model=perceptron,mlp", "seed=0,1"], 2),
    ],
)
def test_points_that_differ_in_that_are_several(grouped, words, stacks):
    found = grouped("model=mlp", *words) if "model=" not in words[0] else grouped(*words)
    assert len(found.stacks) == stacks
    assert found.alone == {}
    assert said(found, 2) == f"in {stacks} stacks"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model=convnet"], "model=convnet is not written for stacks"),
        (["optim=gd"], "optim.tolerance=.* is for a run by itself"),
        (["optim.freeze_first_after=3"], "optim.freeze_first_after=3 is for a run by itself"),
        (["debug=quick"], "debug=quick is for a run by itself"),
        (["profile=true"], "profile=true is for a run by itself"),
        (["trainer.compile=true"], "trainer.compile=true is for a run by itself"),
        (["trainer.devices=2"], "trainer.devices=2 is for a run by itself"),
        (["trainer.precision=bfloat16"], "trainer.precision=bfloat16 is for a run by itself"),
        (["ckpt=there"], "ckpt=there is for a run by itself"),
    ],
)
def test_what_cannot_be_stacked_is_run_by_itself_and_told_why(grouped, words, reason):

    found = grouped(*words, "seed=0,1")
    assert found.stacks == []
    assert all(re.fullmatch(reason, why) for why in found.alone.values())
    assert re.fullmatch(rf"by themselves, 2 at a time \({reason}\)", said(found, 2))


def test_a_stack_and_others(grouped):
    found = grouped("model=mlp,convnet", "data=digits", "seed=0,1,2", "trainer.precision=float32")
    assert found.stacks == [[0, 1, 2]]
    assert said(found, 2) == "in 1 stack and 3 by themselves, 2 at a time (model=convnet is not written for stacks)"
    found = grouped("model=mlp", "model.hidden=[8],[9]", "profile=true,false")
    assert sorted(found.alone.values())[0].startswith("no other point has a network")
    assert said(found, 1).startswith("by themselves, 1 at a time (2 because ")


def test_a_fingerprint_is_of_what_changes_the_numbers(composed, tmp_path):
    sweep, batch = composed(tmp_path, "logger=csv,none", "figures=true,auto", "seed=0,1")
    found = [fingerprint(sweep.composer.compose(overrides).plain) for overrides in batch]
    assert len(set(found)) == 2
    assert len(set(found[::2])) == 1


@pytest.mark.parametrize(
    ("experiment", "points", "stacks"),
    [
        ("l2_sweep", 1500, 1),
        ("lr_momentum_map", 770, 1),
        ("l2_examples_map", 660, 6),
        ("dropout_width_map", 630, 7),
        ("l2_noise_fashion", 280, 1),
        ("l2_width_fashion", 280, 4),
        ("dropout_examples_fashion", 350, 5),
    ],
)
def test_the_dense_experiments_are_as_many_stacks_as_they_say(grouped, experiment, points, stacks):
    sweep = compose_sweep([f"experiment={experiment}"])
    assert sweep.runtime.choices["hydra/launcher"] == "stacked"
    listed = {key: str(values) for key, values in sweep.sweeper.params.items()}
    parsed = OverridesParser.create().parse_overrides([f"{key}={values}" for key, values in listed.items()])
    assert math.prod(len(list(override.sweep_string_iterator())) for override in parsed) == points
    found = grouped(f"experiment={experiment}", *(f"{k}={v}" for k, v in (listed | {"seed": "0,1"}).items()))
    assert (len(found.stacks), found.alone) == (stacks, {})


def test_an_experiment_that_is_stacked_can_be_run_in_processes():
    for words, launcher in (
        (["experiment=l2_sweep", "hydra/launcher=processes"], "processes"),
        (["seed=0,1"], "processes"),
    ):
        assert compose_sweep(words).runtime.choices["hydra/launcher"] == launcher
