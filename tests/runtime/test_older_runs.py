"""Runs whose files are older than the names of today: they are read, go on, and count as the same."""

from __future__ import annotations

import json

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from trainlab.command.main import compose_run, without_hydra
from trainlab.configuration.renamed import in_config, in_words
from trainlab.configuration.stored import read_config
from trainlab.optim import GradientDescent, Momentum
from trainlab.recording.point import Point, load_point
from trainlab.recording.run_directory import best_of, load_results
from trainlab.runtime.assembly import assemble, source
from trainlab.sweeps.point import differences


def as_before(cfg: DictConfig) -> dict:
    """With the options of the data one level down, each a reference, and sources and optimizers as they were named."""
    old = OmegaConf.to_container(cfg, resolve=False)
    target = old["data"].pop("_target_").replace("trainlab.data.sources.", "trainlab.data.")
    taken = ("test_fraction", "val_fraction", "split_seed", "root", "n_samples", "noise")
    old["data"]["load"] = {"_target_": target} | {key: f"${{data.{key}}}" for key in taken if key in old["data"]}
    old["optim"].pop("_target_")
    del old["data"]["label_noise"]
    old["describe"] = {"image_shape": [1, 8, 8], "classes": 10}
    old["trainer"]["capture"] = False
    return old


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [(["model=mlp"], Momentum), (["optim=sgd"], GradientDescent), (["data=moons", "data.noise=0.1"], GradientDescent)],
)
def test_an_older_configuration_is_the_same_run(words, optimizer):
    cfg = without_hydra(compose_run(words))
    before = read_config(as_before(cfg), "a file")
    torch.manual_seed(0)
    new = assemble(cfg)
    torch.manual_seed(0)
    old = assemble(before)
    assert torch.equal(old.data.sets.train.images, new.data.sets.train.images)
    assert torch.equal(old.data.sets.test.labels, new.data.sets.test.labels)
    assert type(old.make_optimizer(old.net)) is type(new.make_optimizer(new.net)) is optimizer
    for ours, theirs in zip(old.net.parameters(), new.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_reference_in_the_options_of_the_data_is_followed():
    cfg = without_hydra(compose_run(["data.split_seed=${seed}", "seed=3"]))
    seeded = without_hydra(compose_run(["data.split_seed=3", "seed=3"]))
    assert torch.equal(source(cfg, may_fetch=True)().test.images, source(seeded, may_fetch=True)().test.images)


def test_a_sweeps_point_of_before_is_not_run_again():
    cfg = without_hydra(compose_run(["model=mlp"]))
    old = OmegaConf.to_container(OmegaConf.create(as_before(cfg)), resolve=True)
    now = OmegaConf.to_container(cfg, resolve=True)
    points = [Point("sweep", {}, [], config, None) for config in (in_config(old), now)]
    assert differences(*points) == differences(*reversed(points)) == []
    other = OmegaConf.to_container(without_hydra(compose_run(["model=mlp", "data.split_seed=1"])), resolve=True)
    assert differences(points[0], Point("sweep", {}, [], other, None)) == ["data.split_seed: 1 → 0"]


OLD_SWITCHES = ["model.kernels=half", "model.groups=1", "model.pool=plain", "model.without=conv4"]
SWITCHES = ["model.width=half", "model.groups=1", "model.pool=non_overlapping", "model.drop_layer=conv4"]
OLD_NAMES = {"kernels": "half", "cross_gpu": True, "pool": "plain", "without": "conv4"}


def with_old_names(cfg: DictConfig) -> dict:
    """The configuration of a run with SWITCHES as it was written until 2026-12."""
    old = OmegaConf.to_container(cfg, resolve=True)
    for key in ("width", "conv3_cross_tower", "drop_layer"):
        del old["model"][key]
    old["model"] |= OLD_NAMES
    return old


def test_older_names_of_options_are_taken_with_a_remark(capsys):
    cfg = compose_run(["model=alexnet", *SWITCHES])
    assert capsys.readouterr().err == ""
    assert without_hydra(compose_run(["model=alexnet", *OLD_SWITCHES])) == without_hydra(cfg)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "model.kernels=half is written model.width=half now; the old name is still taken"
    assert len(told) == 3, "model.groups is called what it was"
    assert in_words(["model.kernels=all,half", "~model.without", "aug.colour=0"]) == [
        "model.width=full,half",
        "~model.drop_layer",
        "aug.colour=0",
    ]


def test_older_names_of_options_are_read_from_files(tmp_path):
    cfg = without_hydra(compose_run(["model=alexnet", *SWITCHES]))
    plain = OmegaConf.to_container(cfg, resolve=True)
    before = with_old_names(cfg)
    assert OmegaConf.to_container(read_config(before, "a file")) == plain
    assert before["model"]["kernels"] == "half", "what was read stays as it was"
    point = Point("sweep", {"model.kernels": "all", "seed": 1}, [], before, None)
    point.write(tmp_path)
    found = load_point(tmp_path)
    assert found.swept == {"model.width": "full", "seed": 1}
    assert differences(found, Point("sweep", {}, [], plain, None)) == []


def test_older_results_are_read_by_the_names_of_today(tmp_path):
    old = {"monitor": "val/top1_error", "best": 0.1, "epoch": 3, "train/loss": 0.5, "val/loss": 0.6, "seconds": 2.0}
    (tmp_path / "results.json").write_text(json.dumps(old | {"test/epoch": 2, "test/loss": 0.7}))
    found = load_results(tmp_path)
    assert found == {
        "monitor": "val/top1_error",
        "best/val/top1_error": 0.1,
        "last/epoch": 3,
        "last/train/loss": 0.5,
        "last/val/loss": 0.6,
        "seconds": 2.0,
        "test/epoch": 2,
        "test/loss": 0.7,
    }
    assert best_of(found) == 0.1
