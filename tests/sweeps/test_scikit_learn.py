"""scikit-learn's errors beside ours are computed once, and kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainlab.experiments import scikit_learn
from trainlab.experiments.scikit_learn import FILE, with_references
from trainlab.sweeps.table import SKLEARN, Run


def run(l2: float, name: str = "moons") -> Run:
    config = {"data.name": name, "reg.l2": l2, "seed": 0, "optim.lr": 0.1, "model.hidden": [3]}
    return Run(Path(), "finished", "", config, {}, {"test/top1_error": 0.1})


@pytest.fixture
def fitted(monkeypatch):
    found = []
    monkeypatch.setattr(
        scikit_learn, "reference_error", lambda run, known: found.append(run) or run.config["reg.l2"] / 10
    )
    return found


def test_every_network_is_fitted_once(tmp_path, fitted):
    runs = [run(0.1), run(0.2), run(0.3, "digits")]
    for _ in range(2):
        beside = [one.results.get(SKLEARN) for one in with_references(runs, tmp_path / "out")]
        assert beside == pytest.approx([0.01, 0.02, None])
        assert fitted == runs[:2]
    with_references([run(0.4)], tmp_path / "out")
    assert len(fitted) == 3


@pytest.mark.parametrize("text", ["{", '{"errors": {"a": 7}}', '{"errors": {"a": "0.5"}}', "[]", '{"other": {}}'])
def test_a_damaged_file_is_written_anew(tmp_path, fitted, text):
    (tmp_path / FILE).write_text(text)
    (beside,) = with_references([run(0.5)], tmp_path)
    assert beside.results[SKLEARN] == 0.05
    assert list(json.loads((tmp_path / FILE).read_text())["errors"].values()) == [0.05]
