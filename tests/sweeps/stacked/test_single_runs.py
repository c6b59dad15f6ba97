"""Points of a stack against the same points by themselves, trained by Lightning; who ends, who fails, what goes on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trainlab.classifier import Predictions
from trainlab.command.from_python import composed
from trainlab.command.main import without_hydra
from trainlab.configuration.points import Composer
from trainlab.errors import RunError
from trainlab.recording.recorder import Recorder
from trainlab.sweeps.stacked import training
from trainlab.sweeps.stacked.cohort import Cohort
from trainlab.sweeps.stacked.member import MemberState, make_members
from trainlab.sweeps.stacked.training import Stack
from trainlab.training import train

if TYPE_CHECKING:
    from trainlab.sweeps.stacked.member import Tested

pytestmark = pytest.mark.run

CLOCK = ("training_seconds", "images_per_second")
QUIET = ("logger=none", "trainer=cpu", "trainer.threads=1")
composer = Composer(composed)


def members(common: Sequence[str], *points: str):
    return make_members([(point, composer.compose([*common, *QUIET, *point.split()])) for point in points])


def stacked(common: Sequence[str], *points: str) -> list[tuple[MemberState, Tested | None]]:
    stack = Stack(members(common, *points))
    stack.train()
    states = stack.member_states()
    return list(zip(states, stack.test(states), strict=True))


class Single:
    """A point's own run: its rows, its results and its predictions."""

    rows: list[dict[str, float]]
    results: dict[str, Any]
    predictions: Predictions


@pytest.fixture
def single(monkeypatch, tmp_path_factory):
    """single(common, point) runs it by itself."""

    def run(common: Sequence[str], point: str) -> Single:
        found = Single()

        def finish(self, results, predictions):
            found.rows, found.results, found.predictions = self.history.rows, results, predictions

        monkeypatch.setattr(Recorder, "finish", finish)
        config = composer.compose([*common, *QUIET, *point.split()]).config()
        train(without_hydra(config), tmp_path_factory.mktemp("single"))
        return found

    return run


def assert_same(state: MemberState, tested: Tested, run: Single, tolerance: float = 1e-5) -> None:
    rows = state.rows.as_dicts()
    assert [list(row) for row in rows] == [list(row) for row in run.rows]
    for ours, theirs in zip(rows, run.rows, strict=True):
        for name in set(theirs) - set(CLOCK):
            assert ours[name] == pytest.approx(theirs[name], rel=tolerance, abs=1e-9), (name, ours["epoch"])
            assert type(ours[name]) is type(theirs[name])
    assert torch.equal(tested.predictions.labels, run.predictions.labels)
    assert torch.equal(tested.predictions.predicted, run.predictions.predicted)
    torch.testing.assert_close(tested.predictions.confidence, run.predictions.confidence, rtol=1e-4, atol=1e-5)
    assert tested.epoch == run.results["test/epoch"]
    for name, value in tested.values.items():
        assert value == pytest.approx(run.results[name], rel=tolerance), name
    monitor = run.results["monitor"]
    if state.best_score is not None:
        assert state.best_score == pytest.approx(run.results[f"best/{monitor}"], rel=tolerance)


MLP = ("model=mlp", "model.hidden=[32,16]", "data=digits", "data.train_examples=400", "trainer.max_epochs=4")
PERCEPTRON = ("model=perceptron", "data=digits", "trainer.max_epochs=3")
POINTS = ("model=mlp", "model.hidden=[6]", "data.val_fraction=0", "trainer.monitor=train/loss", "trainer.max_epochs=34")
CROPPED = ("model=mlp", "model.hidden=[12]", "data=digits", "data.reflections=true", "data.train_examples=200")

# Options in which the members of a stack may differ
DIFFERING = [
    ("seed=0", "seed=1", "seed=2"),
    ("optim.lr=0.01", "optim.lr=0.1"),
    ("optim=sgd", "optim=momentum", "optim=momentum optim.momentum=0.5"),
    ("optim.schedule=constant", "optim.schedule=cosine", "optim.schedule=plateau optim.plateau_patience=0"),
    ("optim.bias_lr=0.02", "optim.bias_lr=null"),
    ("reg=none", "reg=l2", "reg=l2 reg.l2=0.1", "reg=l2 reg.l2=3 reg.form=sum"),
    ("model.init=xavier", "model.init=kaiming", "model.init=torch"),
    ("model.activation=relu", "model.activation=tanh", "model.activation=sigmoid"),
]


@pytest.mark.parametrize("differing", DIFFERING, ids=lambda options: options[0].split("=")[0])
def test_each_option_that_may_differ_gives_what_the_single_run_does(single, differing):
    for point, (state, tested) in zip(differing, stacked(MLP, *differing), strict=True):
        assert_same(state, tested, single(MLP, point))


@given(st.data())
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
def test_pairs_of_options_give_what_the_single_runs_do(data):
    first, second = data.draw(st.lists(st.sampled_from(DIFFERING), min_size=2, max_size=2, unique=True))
    points = [f"{data.draw(st.sampled_from(first))} {data.draw(st.sampled_from(second))}" for _ in range(3)]
    chosen = data.draw(st.sampled_from(points))
    (state, tested) = stacked(MLP, *points)[points.index(chosen)]
    with pytest.MonkeyPatch.context() as patch:
        assert_same(state, tested, run_single(patch, chosen))


def run_single(patch: pytest.MonkeyPatch, point: str) -> Single:
    """As the fixture, which hypothesis would use for all of its examples."""
    import tempfile
    from pathlib import Path

    found = Single()

    def finish(self, results, predictions):
        found.rows, found.results, found.predictions = self.history.rows, results, predictions

    patch.setattr(Recorder, "finish", finish)
    with tempfile.TemporaryDirectory() as folder:
        train(without_hydra(composer.compose([*MLP, *QUIET, *point.split()]).config()), Path(folder))
    return found


@pytest.mark.parametrize(
    ("common", "points"),
    [
        (PERCEPTRON, ["seed=0", "optim.lr=0.1", "reg=l2 reg.l2=0.01"]),
        ((*PERCEPTRON, "loss=half_mse"), ["model.activation=sigmoid", "model.activation=identity"]),
        ((*MLP, "loss=half_mse", "model.output_activation=sigmoid"), ["seed=0", "seed=1"]),
        ((*MLP, "model.hidden=[]"), ["seed=0", "seed=1"]),
        ((*MLP, "trainer.validate_every=3"), ["seed=0", "seed=1"]),
        ((*MLP, "data.batch_size=400"), ["seed=0", "seed=1"]),
        ((*MLP, "data.batch_size=null"), ["seed=0", "seed=1"]),
        ((*MLP, "data.batch_size=399"), ["seed=0", "seed=1 optim.lr=0.02"]),
        (POINTS, ["data=moons", "data=circles seed=1", "data=linear", "data=moons reg=l2 reg.l2=1 reg.form=sum"]),
        ((*CROPPED, "aug=crop_flip", "trainer.max_epochs=2"), ["seed=0", "seed=1", "seed=1 reg=l2"]),
        ((*CROPPED, "aug=tencrop", "trainer.max_epochs=1"), ["seed=0", "seed=1"]),
    ],
)
def test_each_kind_of_stack_gives_what_its_single_runs_do(single, common, points):
    for point, (state, tested) in zip(points, stacked(common, *points), strict=True):
        assert_same(state, tested, single(common, point))


def test_one_hundred_steps_differ_by_less_than_a_hundred_thousandth(single):
    """34 epochs of 3 steps each: the losses of all of them."""
    (state, tested), _ = stacked(POINTS, "data=moons", "data=circles")
    run = single(POINTS, "data=moons")
    assert run.rows[-1]["step"] >= 100
    assert_same(state, tested, run)


# Each for itself


def test_targets_and_patience_end_each_by_itself(single):
    for common in ((*PERCEPTRON, "trainer.max_epochs=12", "trainer.target=0.1"), (*MLP, "trainer.patience=1")):
        points = ["seed=0", "seed=1", "optim.lr=0.02", "optim.lr=0.3 seed=3"]
        lengths = set()
        for point, (state, tested) in zip(points, stacked(common, *points), strict=True):
            assert_same(state, tested, single(common, point))
            assert state.ended
            lengths.add(len(state.rows.values))
        assert len(lengths) > 1, "all ended at once, which shows nothing"


def test_the_plateaus_drops_end_each_by_itself(single):
    common = (*MLP, "trainer.max_epochs=9", "optim.schedule=plateau", "optim.plateau_patience=0")
    points = ["optim.plateau_drops=0", "optim.plateau_drops=1 seed=1", "seed=2"]
    found = stacked(common, *points)
    for point, (state, tested) in zip(points, found, strict=True):
        assert_same(state, tested, single(common, point))
    assert len({len(state.rows.values) for state, _ in found}) > 1


def test_a_member_whose_loss_is_no_number_fails_with_its_sentence_and_disturbs_nobody(single):
    common = (*PERCEPTRON, "loss=half_mse", "trainer.max_epochs=12")
    points = ["optim.lr=0.1", "optim.lr=3", "optim.lr=1e20", "optim.lr=0.1 seed=1"]
    found, without = stacked(common, *points), stacked(common, points[0], points[3])
    assert found[1][1] is None
    assert found[2][1] is None
    for place in (1, 2):
        with pytest.raises(RunError) as failed:
            single(common, points[place])
        assert found[place][0].error == str(failed.value)
        assert found[place][0].ended
        assert len(found[place][0].rows.values) < 12
    for ours, theirs in ((found[0], without[0]), (found[3], without[1])):
        assert_same_bits(ours[0], theirs[0])
        assert ours[1].values == theirs[1].values


def test_a_failed_member_has_its_last_good_weights():
    """As a single run's last.ckpt; in the first epoch there are none."""
    common = ("model=mlp", "data=digits", "loss=half_mse", "optim.schedule=constant", "seed=1")
    points = ("optim.lr=0.14", "optim.lr=0.01", "optim.lr=5")
    failed, _, at_once = (state for state, _ in stacked((*common, "trainer.max_epochs=3"), *points))
    good, _, _ = (state for state, _ in stacked((*common, "trainer.max_epochs=1"), *points))
    assert "in epoch 2" in failed.error
    assert failed.last.epochs == len(failed.rows.values) == 1
    for ours, theirs in ((failed.last.weights, good.last.weights), (failed.last.velocity, good.last.velocity)):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert at_once.error
    assert at_once.last is None


def test_a_member_has_the_same_bits_in_any_cohort_and_with_any_number_of_threads():
    points = ["seed=0", "seed=1", "seed=2 optim.lr=0.01", "seed=0 reg=l2", "model.activation=tanh", "reg.dropout=0.5"]
    whole = dict(zip(points, stacked(MLP, *points), strict=True))
    for threads, some in ((1, points[:1]), (2, points[:1]), (2, points[::-1]), (1, points[1::2]), (2, points[2:])):
        found = stacked(MLP, *(f"{point} trainer.threads={threads}" for point in some))
        for point, (state, tested) in zip(some, found, strict=True):
            other, others_test = whole[point]
            assert_same_bits(state, other)
            assert torch.equal(tested.predictions.confidence, others_test.predictions.confidence)


def assert_same_bits(one: MemberState, other: MemberState) -> None:
    numbers = [column for column, name in enumerate(one.rows.columns) if name not in CLOCK]
    assert torch.equal(one.rows.values[:, numbers].nan_to_num(), other.rows.values[:, numbers].nan_to_num())
    assert (one.error, one.ended, one.best_score) == (other.error, other.ended, other.best_score)
    for mine, its in ((one.last, other.last), (one.best, other.best)):
        assert (mine is None) == (its is None)
        if mine is None or its is None:
            continue
        for name in ("epochs", "steps", "lr", "plateau", "waited", "lowest"):
            assert getattr(mine, name) == getattr(its, name)
        for ours, theirs in ((mine.weights, its.weights), (mine.velocity, its.velocity)):
            assert (ours is None) == (theirs is None)
            assert all(torch.equal(value, theirs[name]) for name, value in (ours or {}).items())


# Dropout


def test_dropout_draws_masks_of_each_ones_seed_and_epoch():
    common = (*MLP, "reg=dropout")
    (cohort,) = Stack(members(common, "seed=0", "seed=1", "seed=0 reg.dropout=0.2")).cohorts
    first = cohort.draw(cohort.streams(), 5, 40)
    again = torch.cat([cohort.draw(streams, 1, 40) for streams in [cohort.streams()] for _ in range(5)])
    assert torch.equal(first, again), "however many steps are drawn for at a time"
    assert not torch.equal(first[:, 0], first[:, 1])
    cohort.epochs = 1
    assert not torch.equal(first, cohort.draw(cohort.streams(), 5, 40))
    buffers = training.Buffers(cohort.net, 40)
    cohort.make_masks(buffers, first[0])
    keep = [1 - member.cfg.reg.dropout for member in cohort.members]
    for mask in buffers.masks:
        for k, share in enumerate(keep):
            assert set(mask[k].unique().tolist()) <= {0.0, float(np.float32(1) / np.float32(share))}
            assert (mask[k] > 0).double().mean() == pytest.approx(share, abs=0.1)  # of 640 or more


def test_dropout_errs_as_much_as_in_single_runs(single):
    """The mean test errors over 20 seeds, less apart than 3.57 standard errors (Student's t with 38 degrees of freedom,
    99.9 %).
    """
    common = (*MLP, "reg=dropout", "trainer.max_epochs=6", "optim.lr=0.02")
    points = [f"seed={seed}" for seed in range(20)]
    ours = np.array([tested.values["test/top1_error"] for _, tested in stacked(common, *points)])
    theirs = np.array([single(common, point).results["test/top1_error"] for point in points])
    error = ((ours.var(ddof=1) + theirs.var(ddof=1)) / 20) ** 0.5
    assert abs(ours.mean() - theirs.mean()) < 3.57 * error


# Going on


class StopError(Exception):
    pass


LONG = (*MLP, "trainer.max_epochs=12", "trainer.patience=1", "reg=l2_dropout", "optim.schedule=plateau")
ENDS = ("seed=0", "seed=1", "reg.dropout=0", "optim.lr=1e10", "optim.lr=1", "seed=3 optim.lr=0.3")


@pytest.mark.parametrize("cut", [1, 2, 6, 7, 8, 10])
def test_a_stack_that_was_saved_goes_on_and_ends_with_the_same_bits(monkeypatch, cut):
    monkeypatch.setattr(training, "BETWEEN", -1)
    whole = Stack(members(LONG, *ENDS))
    whole.train()

    def stop(stack: Stack) -> None:
        if stack.epochs == cut:
            raise StopError

    stack = Stack(members(LONG, *ENDS))
    with pytest.raises(StopError):
        stack.train(stop)
    file = io.BytesIO()
    torch.save([state.plain() for state in stack.member_states()], file)
    file.seek(0)
    saved = [MemberState.from_plain(plain) for plain in torch.load(file, weights_only=True)]
    again = Stack(members(LONG, *ENDS), saved)
    again.train()
    for ours, theirs in zip(again.member_states(), whole.member_states(), strict=True):
        assert_same_bits(ours, theirs)
    for ours, theirs in zip(*(stack.test(stack.member_states()) for stack in (again, whole)), strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or ours.values == theirs.values


def test_those_who_have_ended_are_left_out_once_they_are_half(monkeypatch):
    sizes = []
    epoch = Cohort.epoch
    monkeypatch.setattr(Cohort, "epoch", lambda self: (sizes.append(self.size), epoch(self)))
    found = stacked(LONG, *ENDS)
    lengths = [len(state.rows.values) + (state.error is not None) for state, _ in found]
    assert sizes[0] == len(ENDS)
    assert sizes[-1] < len(ENDS)
    for number, size in enumerate(sizes):
        still = sum(length > number for length in lengths)
        assert still <= size < 2 * still + 2


def test_shares_of_the_time_add_up(monkeypatch):
    found = stacked(MLP, "seed=0", "seed=1")
    columns = found[0][0].rows.columns
    seconds = [state.rows.values[-1, columns.index("training_seconds")] for state, _ in found]
    assert seconds[0] == seconds[1] == found[0][0].seconds
    rate = found[0][0].rows.values[:, columns.index("images_per_second")]
    assert float((2 * 400 / rate).sum()) == pytest.approx(float(sum(seconds)), rel=1e-6)


def test_sets_and_networks_are_made_once():
    made = members(MLP, "seed=0", "seed=0 reg=l2", "seed=1", "optim.lr=1")
    assert len({id(member.parts.data.sets) for member in made}) == 1
    assert len({id(member.parts.net) for member in made}) == 2
    assert [member.parts.data.seed for member in made] == [0, 0, 1, 0]
