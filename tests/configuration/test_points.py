"""Configurations that are filled in, against those that Hydra composes one by one."""

from __future__ import annotations

import pickle

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from trainlab.command.main import CONF, without_hydra
from trainlab.configuration.points import Composer

NUMBERS = st.floats(1e-6, 1e6).map(str) | st.integers(0, 2**32 - 1).map(str)
WORDS = st.sampled_from(["null", "true", "'null'", "'1'", "'a, b=c'", "'ñ'", "'${reg.l2}'", "${seed}", "'\"'"])
LISTS = st.lists(st.integers(1, 99), max_size=3).map(lambda sizes: f"[{','.join(map(str, sizes))}]")
VALUES = {
    "seed": NUMBERS,
    "optim.lr": NUMBERS | st.just("${recipe.lr}"),
    "recipe.lr": NUMBERS,
    "recipe.epochs": NUMBERS,
    "reg.dropout": NUMBERS | WORDS,
    "reg.l2": NUMBERS,
    "model.hidden": LISTS | st.just("null"),
    "ckpt": WORDS | NUMBERS,
    "trainer.max_epochs": NUMBERS,
    "data": st.sampled_from(["moons", "digits", "circles"]),
    "optim": st.sampled_from(["sgd", "momentum"]),
    "+note": WORDS | NUMBERS,
    "model": st.just("{dropout:0.25}") | st.just("mlp"),
}


@pytest.fixture(scope="module")
def load():
    """Hydra's way from a sweep's overrides to a point's configuration."""
    setup_globals()
    loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))
    typed = ["model=mlp", "hydra.sweep.dir=/tmp/x", "seed=0,1"]
    master = loader.load_configuration("train", typed, run_mode=RunMode.MULTIRUN)
    return lambda words: loader.load_sweep_config(master, words)


def same(ours: DictConfig, theirs: DictConfig) -> bool:
    resolved = [OmegaConf.to_yaml(without_hydra(cfg), resolve=True) for cfg in (ours, theirs)]
    told = [
        [OmegaConf.to_yaml(cfg), OmegaConf.is_struct(cfg), OmegaConf.is_readonly(cfg.hydra)]
        + [OmegaConf.get_type(cfg, key) for key in cfg]
        for cfg in (ours, theirs)
    ]
    return resolved[0] == resolved[1] and told[0] == told[1]


@pytest.mark.process
@settings(deadline=None, max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # Hydra's take seconds
@given(keys=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5, unique=True), data=st.data())
def test_every_point_has_hydras_configuration(load, keys, data):
    composer = Composer(load)
    for _ in range(3):
        words = ["model=mlp", *(f"{key}={data.draw(VALUES[key])}" for key in keys)]
        made, whole = composer.compose(words), load(words)
        assert same(made.config(), whole)
        assert made.plain == OmegaConf.to_container(without_hydra(whole), resolve=True)
        assert made.unresolved == OmegaConf.to_container(without_hydra(whole), resolve=False)
        assert list(made.plain) == [key for key in whole if key != "hydra"]
        assert made.hydra == OmegaConf.to_container(whole.hydra, resolve=False, enum_to_str=True)
        assert made.choices == whole.hydra.runtime.choices
        assert pickle.loads(pickle.dumps(made.parted())).plain == made.plain


@pytest.mark.process
def test_hydra_composes_once_for_each_set_of_choices(load):
    asked = []
    composer = Composer(lambda words: asked.append(words) or load(words))
    for data in ("moons", "circles"):
        for seed in range(20):
            made = composer.compose(["model=mlp", f"data={data}", f"seed={seed}", f"reg.dropout={seed / 20}"])
            assert (made.plain["seed"], made.plain["model"]["dropout"]) == (seed, seed / 20)
            assert made.config().hydra.overrides.task[2] == f"seed={seed}"
    assert len(asked) == 2


@pytest.mark.process
def test_what_hydra_refuses_is_hydras_to_say(load):
    composer = Composer(load)
    composer.compose(["seed=0"])
    for word in ("sede=1", "seed.x=1", "model=nothing", "seed=]"):
        with pytest.raises(Exception, match=r".") as ours:
            composer.compose([word])
        with pytest.raises(Exception, match=r".") as theirs:
            load([word])
        assert str(ours.value) == str(theirs.value)
