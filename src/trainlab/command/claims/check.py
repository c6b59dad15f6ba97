"""A claim's command run anew, and its figures beside those that are stated."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from trainlab.command.claims.welch import Sample, interval
from trainlab.command.main import new_stamp
from trainlab.command.studies.front import stopping
from trainlab.command.studies.writing import read_results_of
from trainlab.configuration.evidence import Evidence, Figure
from trainlab.configuration.folder import CONF
from trainlab.errors import RunError
from trainlab.experiments.time_to_target import times_to_target
from trainlab.recording.commit import commit
from trainlab.recording.run_directory import LARGEST, RESULTS, read_json
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.section import named
from trainlab.sweeps.table import Group, Run, distinct, gather, group

ROOT = CONF.parent
FOLDER = Path("runs/claims")
CHECKED = "check.json"  # written last into a check's folder, so that one without is gone on with
DEVIATION = "_sd"  # behind a number's name in the results of a study

Word = Literal["holds", "differs", "not compared", "not run here"]
HOLDS: Word = "holds"
DIFFERS: Word = "differs"
NOT_COMPARED: Word = "not compared"
NOT_RUN: Word = "not run here"
Runner = Callable[[Sequence[str]], int]  # of a command: returns its exit status


class Compared(BaseModel):
    """One figure, as it is stated and as it is now. low, high: the interval of the difference of the two means."""

    model_config = ConfigDict(frozen=True)
    metric: str
    stated: float
    stated_deviation: float | None
    stated_n: int
    now: float | None
    deviation: float | None
    n: int
    low: float | None
    high: float | None
    word: Word


class Verdict(BaseModel):
    """What a check came to. reason: of what was not run, or did not end well. seconds: of wall clock."""

    model_config = ConfigDict(frozen=True)
    name: str
    word: Word
    reason: str = ""
    folder: str = ""
    commit: str | None = None
    precision: str | None = None
    seconds: float = 0.0
    figures: list[Compared] = []


@dataclass(frozen=True)
class Found:
    """What a claim's command has left: the samples of every number by its name, and the runs, none for a study."""

    samples: Mapping[str, Sample]
    groups: Sequence[Group] = ()
    precision: str | None = None
    wrong: str = ""


def check(
    evidence: Evidence, *, words: Sequence[str] = (), most: float = math.inf, run: Runner | None = None
) -> Verdict:
    """Run a claim's command in a folder of its own and compare. words: more of the command, such as data.root=FOLDER.
    most: seconds that it may cost. Raises RunError where the command fails.
    """
    reason = why_not(evidence, words, most)
    if reason:
        return Verdict(name=evidence.name, word=NOT_RUN, reason=reason)
    folder = folder_of(evidence.name)
    code, started = commit(ROOT), time.perf_counter()
    status = (run or run_command)(command_in(evidence, folder, words))
    if status != 0 and not evidence.is_study:  # a study whose oracle does not hold has its results all the same
        raise RunError(f"{evidence.name}: the command ended with status {status}; what it left is in {folder}.")
    found = found_in(evidence, folder)
    compared = [compare(metric, figure, found.samples.get(metric)) for metric, figure in evidence.measured.items()]
    differs = bool(found.wrong) or any(one.word == DIFFERS for one in compared)
    verdict = Verdict(
        name=evidence.name,
        word=DIFFERS if differs else HOLDS,
        reason=found.wrong,
        folder=str(folder),
        commit=code,
        precision=found.precision,
        seconds=time.perf_counter() - started,
        figures=compared,
    )
    atomic_write(folder / CHECKED, verdict.model_dump_json(indent=2) + "\n")
    return verdict


def why_not(evidence: Evidence, words: Sequence[str], most: float) -> str:
    """Why a claim is not checked on this machine, in words; nothing where it can be."""
    if not evidence.measured:
        return "nothing was measured yet"
    for need in evidence.needs:
        if need == "gpu" and not Path("/dev/nvidia0").exists():
            return "needs a GPU"
        if need == "elpv" and importlib.util.find_spec("elpv_dataset") is None:
            return "needs elpv-dataset: pip install -e '.[elpv]'"
        if need == "imagenet" and not names_root(words):
            return "needs ImageNet: add data.root=FOLDER"
        if need == "cifar10" and not names_root([*words, *cifar10()]):
            return "needs CIFAR-10: add data.root=FOLDER, or set TRAINLAB_CIFAR10"
    if evidence.cost.seconds > most:
        return f"costs {evidence.cost_text['en']}, more than --most {most:g} seconds"
    return ""


def names_root(words: Sequence[str]) -> bool:
    """Whether a word says where the data are."""
    return any(word.startswith("data.root=") for word in words)


def cifar10() -> list[str]:
    """The word that says where CIFAR-10 is, where that is known."""
    root = os.environ.get("TRAINLAB_CIFAR10") or str(ROOT / "data" / "cifar10")
    return [f"data.root={root}"] if Path(root).is_dir() else []


def folder_of(name: str) -> Path:
    """The folder of the last check that did not come to its end, to be gone on with; else a new one."""
    begun = sorted(path for path in (FOLDER / name).glob("*") if path.is_dir())
    return begun[-1] if begun and not (begun[-1] / CHECKED).exists() else FOLDER / name / new_stamp()


def command_in(evidence: Evidence, folder: Path, words: Sequence[str]) -> list[str]:
    """The words of the command, with this Python, writing into `folder`; a run that was stopped is gone on with."""
    _, script, *typed = shlex.split(f"{evidence.command} {evidence.further}")
    given = [*typed, *([] if names_root(words) or "cifar10" not in evidence.needs else cifar10()), *words]
    given = [word for word in given if word != "data.root=FOLDER"]
    where = folder.absolute()
    if evidence.is_study:
        given += [f"run_dir={where}", "logger=none"]
    else:
        given += ["figures=false", *([] if any(word.startswith("logger=") for word in given) else ["logger=csv"])]
        given += [f"hydra.sweep.dir={where}"] if "-m" in given else [f"hydra.run.dir={where}", "ckpt=auto"]
    return [sys.executable, str(ROOT / script), *given]


def run_command(words: Sequence[str]) -> int:
    """Run a command to its end, what it prints on standard error; a finished one is not begun again. Raises
    StoppedError, once the command has ended too.
    """
    folder = Path(next(word for word in words if "dir=" in word).partition("=")[2])
    if (folder / RESULTS).exists():
        return 0
    with (
        stopping(" before the check was finished; the same command goes on with it"),
        subprocess.Popen(words, stdout=sys.stderr.fileno()) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def found_in(evidence: Evidence, folder: Path) -> Found:
    """The numbers in the folder of a study, a run or a sweep. Raises InputError, and RunError for unfinished ones."""
    if evidence.is_study:
        return study_in(evidence, folder)
    runs, _ = distinct(gather([folder]))
    unfinished = [run for run in runs if run.state != "finished"]
    if unfinished:
        raise RunError(f"{evidence.name}: {len(unfinished)} of {len(runs)} runs in {folder} are not finished.")
    if any(metric.startswith("sklearn/") for metric in evidence.measured):
        from trainlab.experiments.scikit_learn import with_references  # loads torch

        runs = with_references(runs, folder)
    groups = group(runs)
    precisions = sorted({str(run.results.get("precision")) for run in runs})
    return Found(samples_of(groups), groups, precisions[0] if len(precisions) == 1 else "both")


def study_in(evidence: Evidence, folder: Path) -> Found:
    """What results.json of a study says, with what it says of its own oracles."""
    results = read_results_of(folder)
    if results is None:
        raise RunError(f"{evidence.name}: the study in {folder} has not come to its end.")
    numbers = {k: float(v) for k, v in results.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    stated = evidence.measured
    samples = {
        key: Sample(value, numbers.get(key + DEVIATION), stated[key].n if key in stated else 1)
        for key, value in numbers.items()
    }
    off = [key.removesuffix("/bound") for key in numbers if key.endswith("/bound")]
    off = [key for key in off if not numbers.get(key, math.nan) <= numbers[f"{key}/bound"]]
    return Found(samples, wrong=f"{', '.join(off)} beyond its bound" if off else "", precision="float32")


def samples_of(groups: Sequence[Group]) -> dict[str, Sample]:
    """Every number of these runs by its name in section.json, and the least times to a target, "soonest/…"."""
    samples = {named(metric, g.choices): sample(g, metric) for g in groups for metric in metrics_of(g.finished)}
    key, compared = times_to_target(groups) or ("", [])
    for one in compared:
        for metric in metrics_of(one.best.finished) if one.reached else ():
            samples[f"soonest/{metric}/{key}={one.name}"] = sample(one.best, metric)
    return samples


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The names of all results that are numbers."""
    kinds = {name: value for run in runs for name, value in run.results.items()}
    return [name for name, v in kinds.items() if isinstance(v, int | float) and not isinstance(v, bool)]


def sample(g: Group, metric: str) -> Sample:
    """Mean, deviation and number of a group's values."""
    return sample_of(g.values(metric))


def sample_of(values: Sequence[float]) -> Sample:
    """Mean, sample standard deviation and number of some values; NaN for none."""
    if not values:
        return Sample(math.nan, None, 0)
    return Sample(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def compare(metric: str, stated: Figure, now: Sample | None) -> Compared:
    """A stated figure beside that of now. Times are shown and never judged: they are the machine's."""
    then = Sample(stated.mean, stated.deviation, stated.n)
    missing = now is None or not abs(now.mean) < LARGEST
    low, high = (math.nan, math.nan) if missing or now is None else interval(then, now)
    slack = stated.within or 0.0
    if missing or now is None:
        word: Word = DIFFERS
    elif "seconds" in metric:
        word = NOT_COMPARED
    elif stated.at_most is not None:
        word = HOLDS if now.mean <= stated.at_most else DIFFERS
    else:
        rounding = 1e-5 * abs(stated.mean)  # figures are written with six digits
        word = HOLDS if low - slack - rounding <= 0 <= high + slack + rounding else DIFFERS
    return Compared(
        metric=metric,
        stated=stated.mean,
        stated_deviation=stated.deviation,
        stated_n=stated.n,
        now=None if missing or now is None else now.mean,
        deviation=now.deviation if now else None,
        n=now.n if now else 0,
        low=None if math.isnan(low) else low,
        high=None if math.isnan(high) else high,
        word=word,
    )


def last_check(name: str) -> Verdict | None:
    """The last check of this claim that came to its end; None where there is none. Raises InputError."""
    ended = sorted((FOLDER / name).glob(f"*/{CHECKED}"))
    return read_json(ended[-1], TypeAdapter(Verdict)) if ended else None
