"""What a run's directory holds, by name, and what can be told from it without loading torch."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from trainlab.errors import InputError

CONFIG, OVERRIDES = Path(".hydra/config.yaml"), Path(".hydra/overrides.yaml")
CHECKPOINTS = Path("checkpoints")
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
METRICS = "metrics.csv"
PROFILE = Path("profile")
RESULTS = "results.json"  # written last: it says that the run is finished
LARGEST = 1e300  # of the numbers that these files hold
Threads = Annotated[int, Field(ge=1, le=1024)]  # in these files


def own_checkpoint(run_dir: Path) -> bool:
    """Whether the directory holds a checkpoint to go on from."""
    return any((run_dir / CHECKPOINTS / name).is_file() for name in (LAST, PREVIOUS))


def load_overrides(run_dir: Path) -> list[str] | None:
    """What was typed for a run, as it was typed: an interpolation stays one. None where nothing says so.

    Raises InputError where the file is damaged.
    """
    file = run_dir / OVERRIDES
    try:
        words = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}).") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{file} is damaged (it is no list of words).")
    return words


def read_overrides(run_dir: Path) -> list[str] | None:
    """What `load_overrides` says, with None also where the file is damaged."""
    with suppress(InputError):
        return load_overrides(run_dir)
    return None


def experiment_of(run_dir: Path) -> str | None:
    """The experiment that the run's command names."""
    words = read_overrides(run_dir) or []
    named = [word.partition("=")[2] for word in words if word.lstrip("+").startswith("experiment=")]
    return named[-1] if named and named[-1] not in ("", "null") else None


class Results(BaseModel):
    """results.json: what programs look at, of the right kind. The rest: numbers and text, and numbers for what was
    measured on a part of the data ("test/loss")."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    monitor: Annotated[str, Field(pattern=r"^(train|val)/[a-z0-9_]+$")]
    seed: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0
    images_per_second: NonNegativeFloat = 0
    peak_memory_mb: NonNegativeFloat = 0
    views: PositiveInt = 10
    threads: Threads = 1
    target: float = 0
    target_reached: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_older_runs(cls, values: Any) -> Any:
        """Until 2026-12 the last epoch's numbers had no "last/" before their names, and the best was called that."""
        if not isinstance(values, dict) or "best" not in values:
            return values
        named = {f"last/{k}" if is_of_a_row(k) else k: v for k, v in values.items() if k != "best"}
        return named | {f"best/{values.get('monitor')}": values["best"]}

    @model_validator(mode="after")
    def _rest(self) -> Results:
        best = (self.model_extra or {}).get(f"best/{self.monitor}")
        if isinstance(best, bool) or not isinstance(best, int | float):
            raise ValueError(f"best/{self.monitor} should be a number")
        for name, value in (self.model_extra or {}).items():
            if isinstance(value, dict | list):
                raise ValueError(f"{name} should be a number or text")
            if isinstance(value, str | bool | None) and not ("/" in name and value is not None):
                continue
            if value is not None and (isinstance(value, str | bool) or not abs(value) < LARGEST):
                raise ValueError(f"{name} should be a finite number")
        return self


RECORD = TypeAdapter(Results)


def is_of_a_row(name: str) -> bool:
    """Whether an older results.json has this of the last epoch."""
    return name in ("epoch", "step", "images_seen", "training_seconds", "weight_norm", "lr") or name.startswith(
        ("train/", "val/")
    )


def best_of(results: Mapping[str, Any]) -> float:
    """The least value of what chose the checkpoint."""
    return results[f"best/{results['monitor']}"]


def load_results(run_dir: Path) -> dict[str, Any] | None:
    """What results.json says; None where the run is not finished. Raises InputError where it is damaged."""
    found = read_json(run_dir / RESULTS, RECORD)
    return None if found is None else found.model_dump(exclude_unset=True)


def read_results(run_dir: Path) -> dict[str, Any] | None:
    """What `load_results` says, with None also where the file is damaged: such a run can be finished again."""
    with suppress(InputError):
        return load_results(run_dir)
    return None


Kind = TypeVar("Kind")


def read_json(file: Path, kind: TypeAdapter[Kind]) -> Kind | None:
    """What a file of ours holds, of the type that it should be; None where there is no such file.

    Raises InputError for one that is damaged: files come from other machines, and from people.
    """
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    try:
        return kind.validate_json(text)
    except ValidationError as problems:
        problem = problems.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        what = problem["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{file} is damaged ({where + ': ' if where else ''}{what[:1].lower() + what[1:]})."
        ) from problems


def load_rows(run_dir: Path) -> list[dict[str, float]]:
    """metrics.csv, a row for each epoch; the last line may still be in the writing and is left out then.

    Raises InputError where it is damaged.
    """
    return list(_rows(run_dir))


def read_rows(run_dir: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv, as `load_rows`, up to where it is damaged."""
    rows: list[dict[str, float]] = []
    with suppress(InputError):
        rows.extend(_rows(run_dir))
    return rows


def _rows(run_dir: Path) -> Iterator[dict[str, float]]:
    file = run_dir / METRICS
    try:
        text = file.read_text()
        whole = text[: text.rfind("\n") + 1]
        for line in csv.DictReader(whole.splitlines()):
            if None in line:
                raise ValueError("a row has more values than there are columns")
            row = {name: float(value) for name, value in line.items() if value}
            if not 1 <= row.get("epoch", 0) < LARGEST:
                raise ValueError("a row has no epoch")
            yield row
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{file} is damaged ({error}).") from error
