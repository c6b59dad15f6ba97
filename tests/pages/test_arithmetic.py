"""What the page's script computes, run by node, against numpy, scipy and pandas."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy import stats

import trainlab.pages

SCRIPT = Path(trainlab.pages.__file__).parent / "static/runs.js"
NODE = shutil.which("node")
SHOWN = '(k, v) => typeof v === "number" && !Number.isFinite(v) ? null : ArrayBuffer.isView(v) ? Array.from(v) : v'

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(NODE is None, reason="node, which runs the page's script outside of a browser, is not there"),
]


def js(expression: str, **given: Any) -> Any:
    """The value of an expression that uses the script's functions; what is not a number comes back as None."""
    names = "".join(f"const {name} = {json.dumps(value)};" for name, value in given.items())
    code = f"const m = require({json.dumps(str(SCRIPT))}); {names} console.log(JSON.stringify({expression}, {SHOWN}))"
    done = subprocess.run([str(NODE), "-e", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_mean_and_deviation_are_numpys():
    values = np.random.default_rng(0).normal(3, 2, 9).tolist()
    average, spread, one, none = js("[m.mean(v), m.deviation(v), m.deviation([1]), m.mean([])]", v=values)
    assert average == pytest.approx(np.mean(values), rel=1e-12)
    assert spread == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert one is None
    assert none is None


def test_the_paired_difference_is_scipys():
    draw = np.random.default_rng(1)
    ours, theirs = draw.normal(0.1, 0.02, 7), draw.normal(0.12, 0.02, 7)
    pairs = [[[i, v] for i, v in enumerate(values)] for values in (ours, theirs)]
    found = js("m.paired(a, b)", a=[*pairs[0], [99, 1.0]], b=pairs[1][::-1])  # seed 99 is not in the other
    assert found["n"] == 7
    assert found["mean"] == pytest.approx(np.mean(ours - theirs), rel=1e-12)
    assert found["deviation"] == pytest.approx(np.std(ours - theirs, ddof=1), rel=1e-12)
    assert found["lower"] == int((ours < theirs).sum())
    assert found["p"] == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, rel=1e-9)


def test_the_p_of_students_t_is_scipys():
    cases = [(t, df) for t in (0.01, 0.5, 1, 2.776, 6, 40) for df in (1, 2, 4, 9, 99)]
    found = js("c.map(([t, df]) => m.studentP(t, df))", c=cases)
    np.testing.assert_allclose(found, [2 * stats.t.sf(t, df) for t, df in cases], rtol=1e-9)


def test_no_seed_in_common_and_equal_values_have_no_difference():
    apart, one, same = js(
        "[m.paired([[0, 1]], [[1, 1]]), m.paired([[0, 1]], [[0, 3]]), m.paired(v, v)]", v=[[0, 1], [1, 2]]
    )
    assert (apart["n"], apart["mean"], apart["p"]) == (0, None, None)
    assert (one["n"], one["mean"], one["p"]) == (1, -2, None)
    assert (same["mean"], same["p"]) == (0, 1)


def test_smoothing_is_pandas_weighted_mean():
    values = np.random.default_rng(2).normal(0, 1, 50)
    found = js("m.smooth(v, 0.8)", v=values.tolist())
    np.testing.assert_allclose(found, pandas.Series(values).ewm(alpha=0.2, adjust=True).mean(), rtol=1e-10)
    assert js("m.smooth([1, NaN, 1], 0.9)") == [1, None, 1]


def test_a_curve_has_a_last_a_best_and_a_mean_value():
    found = js('["last", "best", "mean"].map((by) => m.summarise([3, NaN, 1, 2, NaN], by, "val/loss"))')
    assert found == [2, 1, 2]
    assert js('m.summarise([1, 3, 2], "best", "images_per_second")') == 3
    assert js('m.summarise([NaN], "best", "val/loss")') is None


RUN = {"reg.l2": 0.01, "model": "mlp", "seed": 0, "model.hidden": [8, 8], "a": None, "b": True, "word": "this and that"}


FILTERS = {
    "": True,
    "reg.l2 > 0.001": True,
    "reg.l2>1e-2": False,
    "reg.l2 >= 1e-2 and reg.l2 <= 0.0100": True,
    "model = mlp and seed = 0": True,
    "model != mlp": False,
    "model ~ ML": True,
    "model == mlp AND reg.l2 < 1": True,
    "model.hidden = [8,8]": True,
    "a = null": True,
    "b = true": True,
    "model > 3": False,
    "missing != 1": True,
    "missing = 1": False,
    'word = "this and that"': True,
}


def test_the_filter():
    known = "new Set([...Object.keys(r), 'missing'])"
    parsed = js(f"t.map((text) => m.parseFilter(text, {known}))", t=list(FILTERS), r=RUN)
    assert not any("complaint" in one for one in parsed)
    found = js("p.map(({ clauses }) => m.fulfils(clauses, (name) => r[name]))", p=parsed, r=RUN)
    assert dict(zip(FILTERS, found, strict=True)) == FILTERS


WRONG = {
    "reg.l3 > 1": "No run has anything called reg.l3; did you mean reg.l2, reg.dropout?",
    "nonsense": "is no condition",
    "reg.l2 >": "is no condition",
    "reg.l2 > 0 and": "is no condition",
    "reg.l2 > many": "is no number",
    "zzz = 1": "No run has anything called zzz.",
}


def test_a_wrong_filter_is_a_sentence():
    parsed = js("t.map((text) => m.parseFilter(text, new Set(['reg.l2', 'reg.dropout', 'model'])))", t=list(WRONG))
    for one, said in zip(parsed, WRONG.values(), strict=True):
        assert said in one["complaint"]
        assert one["complaint"][-1] in ".?"


def test_values_of_every_kind_have_an_order():
    mixed = [None, True, False, "b", [2], "a", 10, [1, 5], 9, "a10", "a9"]
    assert js("[...v].sort(m.compare)", v=mixed) == [9, 10, [1, 5], [2], "a", "a9", "a10", "b", False, True, None]


def test_what_is_missing_comes_last_in_both_directions():
    for descending, numbers in ((False, [1, 2, 3]), (True, [3, 2, 1])):
        found = js("m.ordered([2, undefined, 3, 1], (x) => x, d)", d=descending)
        assert found == [*numbers, None]


def test_a_list_of_strengths_is_logarithmic_with_a_place_for_zero():
    found = js(
        "(() => { const p = m.placesOf(v); return [p.kind, p.values, p.values.map(p.at)] })()", v=[0.1, 0, 0.001, 0.01]
    )
    kind, values, places = found
    assert (kind, values) == ("log", [0, 0.001, 0.01, 0.1])
    assert places[0] == 0
    assert np.diff(places[1:]) == pytest.approx([(1 - places[1]) / 2] * 2)
    assert js("m.placesOf([0, 0.2, 0.4]).kind") == "linear"
    assert js('m.placesOf(["b", [8, 8], "a"]).kind') == "even"


def test_numbers_come_out_of_base64_as_they_went_in():
    values = np.array([1.5, np.nan, -2e-30, 3e38, np.inf], np.float32)
    found = js("m.decode(t)", t=base64.b64encode(values.astype("<f4").tobytes()).decode())
    assert found[1] is None
    assert found[4] is None
    np.testing.assert_array_equal(np.array([found[0], found[2], found[3]], np.float32), values[[0, 2, 3]])


def test_means_are_taken_between_the_points_of_a_curve():
    xs, ys, grid = [1, 2, 4], [10, 20, 0], [0, 1, 1.5, 3, 4, 5]
    inside = np.interp(grid[1:5], xs, ys).tolist()
    assert js("m.interpolate(x, y, g)", x=xs, y=ys, g=grid) == [None, *inside, None]
    assert js("m.gridOf([[1, 2], [2, 3]], false)") == [1, 2, 3]
    many = js("m.gridOf([v], false, 100)", v=list(range(1000)))
    assert (len(many), many[0], many[-1]) == (100, 0, 999)


def test_ticks_are_round_and_inside():
    ranges = [(0, 1), (0.031, 0.92), (-3, 4), (0, 123456), (1e-7, 3e-7)]
    found = js("r.map(([low, high]) => m.ticksOf(low, high, 6))", r=ranges)
    for (low, high), ticks in zip(ranges, found, strict=True):
        assert 2 <= len(ticks) <= 8
        assert low <= min(ticks)
        assert max(ticks) <= high * (1 + 1e-9)
        assert np.diff(ticks) == pytest.approx([ticks[1] - ticks[0]] * (len(ticks) - 1))
    assert js("m.logTicks(0.0001, 1)") == [0.0001, 0.001, 0.01, 0.1, 1]


def test_the_view_goes_through_the_address_and_comes_back():
    view = {"filter": "reg.l2 > 0.1 and model ~ ä&=#", "hidden": ["ab12", "cd"], "brush": {"reg.l2": [0, 0.5]}}
    view |= {"smooth": 0.6, "xlog": True, "runs": False, "theme": "dark"}
    assert js("m.readHash('#' + m.writeHash({...m.DEFAULTS, ...v}))", v=view) == js("m.DEFAULTS") | view
    assert js("m.writeHash(m.DEFAULTS)") == ""


def test_a_damaged_address_is_the_first_view():
    damaged = ["#", "#%E0%A4%A", "#brush={", "#brush=[1]&__proto__=1&nobody=x&toString=1", "#smooth=-3", "#brush=null"]
    found, first = js("[t.map(m.readHash), m.DEFAULTS]", t=damaged)
    assert found == [first] * len(damaged)


def test_a_cell_has_the_same_decimals_for_mean_and_deviation():
    assert js('m.cellOf(0.1038, 0.0014, "test/top1_error")') == ["10.38", " ± 0.14"]
    assert js('m.cellOf(12.4567, 1, "seconds")') == ["12.46", " ± 1.00"]
    assert js('m.cellOf(-0.00321, NaN, "difference_error")') == ["−0.32", ""]
    assert js('m.cellOf(NaN, NaN, "x")') == ["–", ""]


def test_the_csv_can_be_read_again():
    text = js("m.csvOf(r)", r=[["a,b", 'c"d', "e\nf"], [1.5, None, [1, 2]]])
    assert list(csv.reader(io.StringIO(text))) == [["a,b", 'c"d', "e\nf"], ["1.5", "", "[1, 2]"]]
