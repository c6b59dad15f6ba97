"""Names of sweeps and points: pure functions of what was typed, safe in paths and on Hydra's command line."""

from __future__ import annotations

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from trainlab.sweeps.names import NAME_LENGTH, point_name, sweep_name

VALUES = st.one_of(st.floats(allow_nan=False), st.integers(), st.text(max_size=200), st.booleans(), st.none())
SWEPT = st.dictionaries(st.sampled_from(["reg.l2", "seed", "model", "model.hidden", "data"]), VALUES, min_size=1)


@given(SWEPT, st.lists(st.text(max_size=20), max_size=5))
def test_a_point_name_is_short_and_safe(swept, overrides):
    name = point_name(swept, overrides)
    assert len(name) <= NAME_LENGTH + 7
    assert re.fullmatch(r"[\w.+-]+", name)


@given(st.from_regex(r"[a-z0-9.]{1,9}", fullmatch=True), st.integers(0, 9))
def test_a_point_name_can_be_typed_as_a_checkpoint(value, seed):
    name = point_name({"reg.l2": value, "seed": seed}, [f"reg.l2={value}", f"seed={seed}"])
    (override,) = OverridesParser.create().parse_overrides([f"ckpt=runs/sweeps/{name}"])
    assert override.value() == f"runs/sweeps/{name}"
    assert not override.is_sweep_override()


def test_order_does_not_matter_and_every_override_does():
    assert point_name({"seed": 1}, ["seed=1", "model=mlp"]) == point_name({"seed": 1}, ["model=mlp", "seed=1"])
    assert point_name({"seed": 1}, ["seed=1", "model=mlp"]) != point_name({"seed": 1}, ["seed=1", "model=alexnet"])


def test_a_sweep_keeps_its_name_when_values_are_added_and_not_when_it_is_another():
    name = sweep_name(["model=mlp", "reg.l2=0,1", "seed=0,1"])
    assert name.startswith("mlp_reg.l2_seed_")
    assert name == sweep_name(["model=mlp", "reg.l2=0,1,10", "seed=range(5)"])
    assert name != sweep_name(["model=mlp", "reg.l2=0,1", "seed=0,1", "optim.lr=0.1"])
    assert name != sweep_name(["model=convnet", "reg.l2=0,1", "seed=0,1"])
