"""Names of sweeps and points: pure functions of what was typed, safe in paths and on Hydra's command line."""

from __future__ import annotations

import json
import os
import re
import unicodedata

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from trainlab.sweeps.names import NAME_LENGTH, point_name, shown, sweep_name, typed

SCALARS = st.one_of(st.floats(), st.integers(), st.text(max_size=200), st.booleans(), st.none())
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3))
KEYS = st.sampled_from(["reg.l2", "seed", "model", "model.hidden", "aux.x", ".x", "..", "-x", "CON"])
SWEPT = st.dictionaries(KEYS, VALUES, min_size=1)


@given(SWEPT, st.lists(st.text(max_size=20), max_size=5))
def test_a_point_name_is_short_and_safe(swept, overrides):
    name = point_name(swept, overrides)
    assert len(name) <= NAME_LENGTH + 14
    assert len(os.fsencode(name)) <= 255
    assert re.fullmatch(r"\w[\w.+-]*", name)
    assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE)


@given(st.from_regex(r"[a-z0-9.]{1,9}", fullmatch=True), st.integers(0, 9))
def test_a_point_name_can_be_typed_as_a_checkpoint(value, seed):
    name = point_name({"reg.l2": value, "seed": seed}, [f"reg.l2={value}", f"seed={seed}"])
    (override,) = OverridesParser.create().parse_overrides([f"ckpt=runs/sweeps/{name}"])
    assert override.value() == f"runs/sweeps/{name}"
    assert not override.is_sweep_override()


@pytest.mark.parametrize(
    ("swept", "overrides", "name"),
    [
        ({"seed": 0}, ["seed=0"], "seed-0_427928"),
        ({"reg.l2": 0.001, "seed": 1}, ["reg.l2=0.001", "seed=1"], "reg.l2-0.001_seed-1_99f043"),
        ({"model": "mlp", "data": "moons"}, ["model=mlp", "data=moons"], "model-mlp_data-moons_61edf9"),
        ({"seed": -1, "x": 1e-05}, ["seed=-1"], "seed--1_x-1e-05_44e9ec"),
        ({"x": None}, ["x=null"], "x-None_027c0d"),
        ({"x": True}, ["x=True"], "x-True_ade74a"),
        ({"trainer.monitor": "val/loss"}, ["trainer.monitor=val/loss"], "trainer.monitor-val-loss_4fb625"),
        ({"x": "año"}, ["x='año'"], "x-año_05cbde"),
        ({}, ["seed=5"], "21df5d"),
        ({"x": "a" * 100}, ["x=a"], f"x-{'a' * 78}_7434be"),
    ],
)
def test_plain_values_keep_the_names_that_they_have_had(swept, overrides, name):
    """Else the same command would not find what it has run before."""
    assert point_name(swept, overrides) == name


def test_sweeps_keep_the_names_that_they_have_had():
    assert sweep_name(["model=mlp", "reg.l2=0,1", "seed=0,1"]) == "mlp_reg.l2_seed_cdda02"
    assert sweep_name(["experiment=l2_sweep"]) == "l2_sweep_a1d84f"


@given(st.lists(VALUES, min_size=2, max_size=20, unique_by=repr))
def test_names_differ_also_where_a_file_system_knows_no_cases(values):
    names = [point_name({"x": value}, [f"x={value!r}"]) for value in values]
    assert len({unicodedata.normalize("NFC", name).lower() for name in names}) == len(values)


def test_a_line_break_in_a_value_is_not_the_end_of_it():
    assert point_name({"x": "?"}, ["x='1\ny=2'"]) != point_name({"x": "?"}, ["x='1", "y=2'"])


@given(VALUES)
def test_a_value_is_shown_on_one_line(value):
    assert shown(value).isprintable()


@given(st.lists(VALUES, min_size=2, max_size=2))
def test_what_differs_is_shown_differently(pair):
    assert (shown(pair[0]) == shown(pair[1])) == (_told(pair[0]) == _told(pair[1]))


def _told(value):
    """As JSON has it: keys are text."""
    return json.dumps(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("null", '"null"'),
        ("True", '"True"'),
        ("1e-3", '"1e-3"'),
        ("", '""'),
        ([8, [8, None]], "[8, [8, null]]"),
        ({"a": "b c"}, "{a: b c}"),
        ("año", "año"),
        ("a\x1b[31m\n", '"a\\u001b[31m\\n"'),
        (":smile:", '":smile:"'),
    ],
)
def test_values_are_shown_as_they_are_typed(value, text):
    assert shown(value) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_can_be_typed(text):
    (override,) = OverridesParser.create().parse_overrides([f"hydra.run.dir={typed(text)}"])
    assert OmegaConf.create({"x": override.value()}).x == text


def test_order_does_not_matter_and_every_override_does():
    assert point_name({"seed": 1}, ["seed=1", "model=mlp"]) == point_name({"seed": 1}, ["model=mlp", "seed=1"])
    assert point_name({"seed": 1}, ["seed=1", "model=mlp"]) != point_name({"seed": 1}, ["seed=1", "model=alexnet"])


def test_a_sweep_keeps_its_name_when_values_are_added_and_not_when_it_is_another():
    name = sweep_name(["model=mlp", "reg.l2=0,1", "seed=0,1"])
    assert name.startswith("mlp_reg.l2_seed_")
    assert name == sweep_name(["model=mlp", "reg.l2=0,1,10", "seed=range(5)"])
    assert name != sweep_name(["model=mlp", "reg.l2=0,1", "seed=0,1", "optim.lr=0.1"])
    assert name != sweep_name(["model=convnet", "reg.l2=0,1", "seed=0,1"])
