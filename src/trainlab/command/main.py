"""The front door: what is typed is checked, and every mistake ends in one sentence, before torch is imported."""

from __future__ import annotations

import argparse
import functools
import operator
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobRuntime, configure_log, run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from trainlab.configuration import renamed
from trainlab.configuration.folder import CONF
from trainlab.configuration.points import Composer
from trainlab.configuration.schema import check
from trainlab.errors import InputError, RunError, StoppedError, TakenError
from trainlab.recording.run_directory import RESULTS, best_of, own_checkpoint, read_results
from trainlab.runtime.process import keep_freed_memory, no_garbage_collection, quick_exit
from trainlab.runtime.room import refuse_more_than_there_is_room_for
from trainlab.survival.lock import directory_lock
from trainlab.survival.signals import handling_signals, outlast_terminal, stop_at_once
from trainlab.survival.undo import MADE, Footprint, is_first, restore_all, undo_all
from trainlab.sweeps.names import sweep_name

GROUPS = {
    folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
    for folder in sorted(CONF.iterdir())
    if folder.is_dir()
    and folder.name not in ("hydra", "study", "evidence")  # scripts/study.py and claims.py read those
}


def new_stamp() -> str:
    """The name of a run's directory: the time, and a few signs that keep two runs of one second apart."""
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{secrets.token_hex(2)}"


RUN_STAMP = new_stamp()  # of this command
if os.environ.get("TORCHELASTIC_RUN_ID", "none") != "none":
    RUN_STAMP = f"torchrun_{os.environ['TORCHELASTIC_RUN_ID'][:8]}"  # the same in all its processes
OmegaConf.register_new_resolver("run_stamp", lambda: RUN_STAMP, replace=True)
OmegaConf.register_new_resolver("temporary_run", lambda: temporary_run(RUN_STAMP), replace=True)
OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
OPTIONAL = ("experiment", "ablation", "debug")  # groups that a run can do without
MULTIRUN = {"-m", "--multirun"}
SHELL_COMPLETION, SHELLS = {"-sc", "--shell-completion"}, ("bash", "fish", "zsh")
TAKE_A_WORD = {"-c", "--cfg", "-i", "--info", "-p", "--package"}
SHOWS = {*TAKE_A_WORD, "--resolve"}  # Hydra's options that show the configuration
STOPPED = "error: stopped by Ctrl-C."
LOCK_SECONDS = 5.0  # for a run directory: a process that was killed may take a moment to vanish

Result = TypeVar("Result")


def temporary_run(stamp: str) -> str:
    """The directory of a run that is removed when it has ended well."""
    return str(Path(tempfile.gettempdir()) / f"trainlab_{stamp}")


def report_user_errors(command: Callable[..., Result]) -> Callable[..., Result]:
    """A user's mistake ends `command` with one sentence and status 2, a failed run with one and status 1.

    After status 2 nothing is left of what the command made on the disk. HYDRA_FULL_ERROR=1 shows the traceback instead.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Result:
        try:
            return command(*args, **kwargs)
        except (InputError, RunError, StoppedError) as error:
            if isinstance(error, TakenError):
                restore_all()
            elif error.status == InputError.status:
                undo_all()
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            if os.environ.get("RANK", "0") == "0":
                print(f"error: {error}", file=sys.stderr)
            else:  # of torchrun, which ends rank 0 as soon as another ends: all fail together, and rank 0 says so
                time.sleep(2)
            sys.exit(error.status)
        except SystemExit as end:  # a process of the run has told the mistake
            if end.code == InputError.status:
                undo_all()
            raise
        except KeyboardInterrupt:
            print(STOPPED, file=sys.stderr)
            sys.exit(128 + signal.SIGINT)

    return wrapped


def main() -> None:
    """``python train.py …`` from the words of the command line to the end of the process."""
    typed = renamed.in_words(sys.argv[1:])
    # argparse, and so Hydra, takes words before and after an option for two lists and refuses the second, and the first
    # word after --info for a part of the configuration.
    sys.argv[1:] = sorted(typed, key=lambda word: 0 if word in MULTIRUN else 1 if is_override(word) else 2)
    show_help(sys.argv[1:])
    if starts_here(sys.argv[1:]):
        from trainlab.sweeps.pool import warm_up

        warm_up()
    composed = check_command_line(sys.argv[1:])
    with quick_exit():
        if composed is not None:
            run_composed(composed)
        else:
            run_hydra()
        sys.exit(exit_status())


def run_hydra() -> None:
    """A sweep, or what Hydra has to show. Ctrl-C while it composes ends in a sentence, too."""
    try:
        with argparse_of_hydra():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(run)()
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def starts_here(words: Sequence[str]) -> bool:
    """Whether these words of the command line look like a sweep on this machine, of which torchrun knows nothing: then
    the imports of its points can begin beside the checks.
    """
    options = [word for word in words if word.startswith("-")]
    launchers = {word for word in words if word.startswith("hydra/launcher=")}
    elsewhere = not launchers.issubset({"hydra/launcher=processes", "hydra/launcher=stacked"})
    return bool(options) and MULTIRUN.issuperset(options) and not elsewhere and "TORCHELASTIC_RUN_ID" not in os.environ


def run_composed(cfg: DictConfig) -> None:
    """One run of a configuration with Hydra's own part, as hydra.main would do it after composing it twice more."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"), open_dict(cfg):
        found = GlobalHydra.instance().hydra
        assert found is not None
        cfg.hydra.mode = RunMode.RUN
        configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
        callbacks = Callbacks(cfg)
        callbacks.on_run_start(config=cfg, config_name="train")
        done = run_as_job(cfg, HydraContext(found.config_loader, callbacks), "hydra.run.dir")
        callbacks.on_run_end(config=cfg, config_name="train", job_return=done)
    done.return_value  # noqa: B018 - raises what the run raised


def run_as_job(cfg: DictConfig, context: HydraContext, directory: str, subdirectory: str | None = None) -> JobReturn:
    """Have Hydra run a composed configuration as a job. directory, subdirectory: the options that say where."""
    setup_globals()
    JobRuntime.instance().set("name", cfg.hydra.job.name)
    return run_job(run, cfg, directory, subdirectory, hydra_context=context)


@contextmanager
def argparse_of_hydra() -> Iterator[None]:
    """Inside, argparse does not read an argument's help as it is added, which it does since Python 3.14.

    Hydra up to 1.3.8 has one that only exists once the configuration does (--shell-completion), and would end with
    "badly formed help string" (Hydra #3121).
    """
    check = getattr(argparse.ArgumentParser, "_check_help", None)
    if check is None:
        yield
        return
    argparse.ArgumentParser._check_help = lambda parser, action: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        argparse.ArgumentParser._check_help = check  # type: ignore[attr-defined]


@report_user_errors
def run(cfg: DictConfig) -> float:
    """One run as Hydra starts it; returns what sweepers compare: the least `trainer.monitor`."""
    return run_in(Path(HydraConfig.get().runtime.output_dir), cfg)


def run_in(run_dir: Path, cfg: DictConfig) -> float:
    """One run, in this process or in several that it starts. Raises InputError, RunError and StoppedError."""
    outlast_terminal()
    refuse_more_than_there_is_room_for(cfg.trainer)
    with removed_if_temporary(run_dir), taking(run_dir), handling_signals(stop_at_once):
        with no_garbage_collection():  # imports torch: only once the choices are known to be right
            from trainlab.runtime.lean_imports import import_lightning

            import_lightning()
            from trainlab.training import train

        keep_freed_memory()
        if cfg.trainer.devices * cfg.trainer.nodes == 1 or "LOCAL_RANK" in os.environ:
            return best_of(train(cfg, run_dir))
        from trainlab.runtime.ranks import run_ranks

        run_ranks(
            functools.partial(train, cfg, run_dir),
            devices=cfg.trainer.devices,
            nodes=cfg.trainer.nodes,
            run_dir=run_dir,
        )
        results = read_results(run_dir)  # another machine's first process may write them
        return best_of(results) if results else float("nan")


def taking(run_dir: Path) -> AbstractContextManager[None]:
    """Inside, no other command runs in this directory. Raises TakenError where one does."""
    taken = f"another command is running in {run_dir}; wait for it, or choose another directory."
    return directory_lock(run_dir, or_else=taken, seconds=LOCK_SECONDS) if is_first() else nullcontext()


@contextmanager
def removed_if_temporary(run_dir: Path, name: str = temporary_run(RUN_STAMP)) -> Iterator[None]:
    """Removes the run's directory when the run has ended well, if it is the temporary one called `name`, and says
    so.
    """
    yield
    if str(run_dir) == name and is_first():
        shutil.rmtree(run_dir, ignore_errors=True)
        print("the run came to its end, and its temporary directory is removed; hydra.run.dir=… keeps one")


def exit_status() -> int:
    """The exit status of a sweep that has ended: 1 when a point did not finish."""
    launch = sys.modules.get("trainlab.sweeps.launch")
    return 1 if launch is not None and launch.UNFINISHED else 0


def show_help(arguments: list[str]) -> None:
    """Answer --help from the first lines of the configuration files, and end the process."""
    if "--help" in arguments or "-h" in arguments:
        from trainlab.command.help import help_text

        try:
            print(help_text(CONF), flush=True)
        except BrokenPipeError:  # whoever reads it, such as `head`, has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit()


@report_user_errors
def check_command_line(arguments: list[str]) -> DictConfig | None:
    """Compose and check what train.py is about to run, and make its run directory; returns the configuration of a run,
    and None for a sweep.

    Hydra's own commands are left to Hydra; of those that show the configuration what is typed is checked.
    """
    sweep = not MULTIRUN.isdisjoint(arguments)
    options = [argument for argument in arguments if argument.startswith("-") and argument not in MULTIRUN]
    overrides = [argument for argument in arguments if is_override(argument)]
    if not SHELL_COMPLETION.isdisjoint(options):
        check_completion(overrides)
    if not SHOWS.issuperset(options):
        return None
    if options and sweep:
        raise InputError(
            f"{options[0]} shows the configuration of one run", hint="leave -m out, and give one value of each"
        )
    stray = [a for a in arguments if a not in overrides and not a.startswith("-")]
    if options:
        stray = stray[len(TAKE_A_WORD.intersection(options)) :]
    if stray:
        raise InputError(
            f"'{stray[0]}' is not of the form option=value, such as model=alexnet", hint="--help lists the options"
        )
    for override in parse(overrides):
        if override.key_or_group == "hydra.launcher":
            raise InputError(
                f"{override.input_line} sets one option", hint="a launcher is chosen with hydra/launcher=…"
            )
        if override.is_sweep_override() and not override.is_hydra_override() and not sweep:
            raise InputError(f"{override.input_line} are several values", hint="add -m to run a sweep over them")
    if sweep and not options:
        detach_from_torchrun()
        check_sweep(overrides)
    elif not sweep:
        cfg = compose_run(overrides)
        check_torchrun(cfg, overrides)
        if not options:
            refuse_more_than_there_is_room_for(cfg.trainer)
            run_dir = folder_of("hydra.run.dir", cfg.hydra.run.dir)
            check_run_dir_free(run_dir, cfg.ckpt)
            make_run_directory(run_dir)
            return cfg
    return None


def check_sweep(overrides: list[str]) -> None:
    """Check the points of a sweep, make its directory, and start what its points are forked from."""
    composer = Composer(functools.partial(compose_run, checked=False))
    composer.compose(points(overrides)[0])  # what is misspelt is told with the right word
    whole = compose_sweep(overrides)
    params = whole.sweeper.get("params") or {}
    here = whole.runtime.choices["hydra/launcher"] in ("processes", "stacked")
    for point in points([*(f"{key}={value}" for key, value in params.items()), *overrides]):
        composed = composer.compose(point)
        check(composed.plain)
        if here:
            refuse_more_than_there_is_room_for(composed.trainer)
    make_run_directory(folder_of("hydra.sweep.dir", whole.sweep.dir), "hydra.sweep.dir")
    if here:
        from trainlab.sweeps.pool import warm_up

        warm_up()


def is_override(word: str) -> bool:
    """Whether a word of the command line sets or removes an option."""
    return not word.startswith("-") and ("=" in word or word.startswith("~"))


def check_completion(words: list[str]) -> None:
    """Check the words of ``--shell-completion install=bash``. Raises InputError."""
    for word in words:
        what, _, shell = word.partition("=")
        if what in ("install", "uninstall") and shell not in SHELLS:
            raise InputError(
                f"there is no completion for {shell or 'no shell'}", hint=f"{nearest(shell, list(SHELLS))}"
            )
    if not any(word.startswith(("install=", "uninstall=", "query=")) for word in words):
        raise InputError('for which shell? eval "$(python train.py --shell-completion install=bash)".')


def points(overrides: list[str]) -> list[list[str]]:
    """A sweep's first point, then each other value of each swept option once: enough to find a wrong value."""
    values: dict[str, list[str]] = {}  # a later override of the same option wins, as in Hydra
    for override in parse(overrides):
        key = override.get_key_element()
        swept = override.is_sweep_override() and not override.is_hydra_override()
        if swept and not override.is_interval_sweep():
            try:
                values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            except HydraException:  # glob(…), which only Hydra can look up
                continue
            except ValueError as error:
                raise InputError(f"cannot read '{override.input_line}' ({error}).") from error
            if not values[key]:
                raise InputError(f"{override.input_line} has no values to sweep over.")
        elif not override.is_sweep_override():
            values[key] = [override.input_line or ""]
    first = {key: choices[0] for key, choices in values.items()}
    others = [first | {key: choice} for key, choices in values.items() for choice in choices[1:]]
    return [list(point.values()) for point in [first, *others]]


def check_run_dir_free(run_dir: Path, ckpt: str | None, option: str = "hydra.run.dir") -> None:
    """Raises InputError where the directory holds a run already and ckpt=auto does not ask to go on with it."""
    if ckpt != "auto" and (own_checkpoint(run_dir) or (run_dir / RESULTS).exists()):
        raise InputError(
            f"{run_dir} holds a run already", hint=f"add ckpt=auto to go on with it, or choose another {option}=…"
        )


def check_torchrun(cfg: DictConfig, overrides: list[str]) -> None:
    """Raises InputError unless torchrun's processes are those of the configuration and write into one directory."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    named = any(override.key_or_group == "hydra.run.dir" for override in parse(overrides))
    if os.environ["TORCHELASTIC_RUN_ID"] == "none" and not named:
        raise InputError(
            "torchrun's processes need one run directory: add hydra.run.dir=…, or --standalone to torchrun."
        )
    if os.environ["RANK"] != "0":
        with open_dict(cfg):
            cfg.hydra.output_subdir = None  # the first process writes the configuration down
    devices, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    for key, there, asked in (
        ("devices", devices, cfg.trainer.devices),
        ("nodes", everywhere // devices, cfg.trainer.nodes),
    ):
        if there != asked:
            raise InputError(
                f"torchrun started {there} {key} and trainer.{key}={asked} is asked for",
                hint=f"add trainer.{key}={there}",
            )


def detach_from_torchrun() -> None:
    """A sweep starts the processes of its points itself: under torchrun its first process does, the others end.

    Raises InputError on several machines.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    if os.environ["WORLD_SIZE"] != os.environ["LOCAL_WORLD_SIZE"]:
        raise InputError(
            "a sweep (-m) cannot be run by torchrun on several machines",
            hint="use hydra/launcher=slurm, or one command for each point",
        )
    if os.environ["RANK"] != "0":
        sys.exit(0)
    for name in list(os.environ):
        if name.startswith(("TORCHELASTIC_", "ROLE_", "GROUP_")) or name in TORCHRUN:
            del os.environ[name]


TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")


def parse(overrides: list[str]) -> list[Override]:
    """The overrides as Hydra reads them. Raises InputError for one that cannot be read."""
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except HydraException:
        for override in overrides:
            try:
                OverridesParser.create().parse_overrides([override])
            except HydraException as error:
                raise InputError(
                    f"cannot read '{override}'; write option=value, and put quotes around a value with "
                    "other signs than letters, digits and /.-_+: \"option='some, value'\"."
                ) from error
        raise


def compose_run(overrides: list[str], *, checked: bool = True) -> DictConfig:
    """The configuration of a run from conf/train.yaml and `overrides`, also by the names of options until 2026-12.

    Raises InputError for what is wrong.
    """
    overrides = renamed.in_words(overrides)
    for override in parse(overrides):
        if override.is_sweep_override():
            raise InputError(_several(override))
    with initialize_config_dir(config_dir=str(CONF), job_name="train", version_base="1.3"):
        check_choices(overrides)
        try:
            with composing():
                cfg = compose("train", overrides=overrides, return_hydra_config=True)
        except InputError:
            find_misspelt(overrides)
            raise
    look_up(cfg, but=["hydra.sweep"])
    try:
        plain = OmegaConf.to_container(without_hydra(cfg), resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key or "an option"
        raise InputError(f"{key} has to be given: add {key}=… to the command.") from error
    if checked:
        assert isinstance(plain, dict)
        check(plain)  # type: ignore[arg-type]
    return cfg


def compose_sweep(overrides: list[str]) -> DictConfig:
    """Hydra's part of a sweep's configuration: its directory, launcher and sweeper. Raises InputError."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"), composing():
        found = GlobalHydra.instance().hydra
        assert found is not None
        cfg = found.compose_config("train", overrides, run_mode=RunMode.MULTIRUN, from_shell=False)
    look_up(cfg, but=["hydra.run", *(str(key) for key in cfg if key != "hydra")])
    return cfg.hydra


@contextmanager
def composing() -> Iterator[None]:
    """Inside, what Hydra and OmegaConf cannot put together is an InputError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, AssertionError) as error:  # assertions of OmegaConf's
        merging = re.match("Error merging override (.*)", str(error))
        if merging and error.__cause__ is not None:
            raise InputError(f"{merging[1]} cannot be used ({reason_of(error.__cause__)}).") from error
        raise InputError(_unknown_choice(str(error)) or f"{reason_of(error)}.") from error


# Of hydra.*: texts in which ${…} need not mean anything
HYDRAS_NOTES = ("hydra.runtime", "hydra.overrides", "hydra.job.override_dirname", "hydra.help", "hydra.hydra_help")
AT_ONCE = ("hydra.run.dir", "hydra.sweep.dir")  # the rest of hydra.* may refer to what Hydra learns as it runs


def look_up(cfg: DictConfig, but: Sequence[str] = ()) -> None:
    """Raises InputError for the first interpolation that leads nowhere. but: parts of the configuration that are not
    used.
    """

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        option = ".".join(map(str, path))
        if option in (*HYDRAS_NOTES, *but):
            return
        if isinstance(node, dict | list):
            for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
                walk(inner, (*path, key))
        if not isinstance(node, str) or "${" not in node:
            return
        try:
            functools.reduce(operator.getitem, path, cfg)
        except InterpolationToMissingValueError as error:
            missing = str(error).splitlines()[0].rpartition(": ")[2].rstrip(".")
            if not missing.startswith("hydra."):
                raise InputError(f"{missing} has to be given: add {missing}=… to the command.") from error
            if path[0] != "hydra" or option in AT_ONCE:
                raise InputError(f"{option}={node} cannot be looked up ({missing} is only known later).") from error
        except (OmegaConfBaseException, RecursionError) as error:
            raise InputError(
                f"{option}={node} cannot be looked up ({reason_of(error)})", hint="give a value in its place"
            ) from error

    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for group in sorted(plain, key="hydra".__eq__):  # Hydra's own at the end, which may refer to the others
        walk(plain[group], (group,))


def reason_of(error: BaseException) -> str:
    """What OmegaConf or Hydra complains of, on one line."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"^\w+ raised while resolving interpolation: ", "", first).strip('"').rstrip(".")


def values_of(overrides: Sequence[str]) -> dict[str, Any]:
    """The words option=value of a script as Hydra reads them: plain values by option.

    Raises InputError for a word that cannot be read, for several values (a,b), and for ~option.
    """
    given: dict[str, Any] = {}
    for override in parse(list(overrides)):
        if override.is_sweep_override():
            raise InputError(_several(override))
        if override.is_delete():
            raise InputError(f"{override.input_line} takes an option away", hint="write option=value")
        given[override.key_or_group] = override.value()
    look_up(OmegaConf.create(given))
    return OmegaConf.to_container(OmegaConf.create(given), resolve=True)  # type: ignore[return-value]


def _several(override: Override) -> str:
    return f"{override.input_line} are several values; give one, in quotes if a comma is part of it."


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def check_choices(overrides: list[str]) -> None:
    """Raises InputError, with the nearest right word, for a group left out or a choice that is not there."""
    for override in parse(overrides):
        key = override.key_or_group
        if key not in GROUPS:
            continue
        if override.package is not None:
            raise InputError(
                f"{override.input_line} would put a choice elsewhere", hint=f"a group has one: write {key}=…"
            )
        if override.is_delete():
            raise InputError(f"~{key} would leave the run without {key}", hint=f"use one of {', '.join(GROUPS[key])}")
        choice = override.value()
        if choice is None and key in OPTIONAL:  # which Hydra cannot read from a command line
            raise InputError(
                f"{override.input_line}: a run is without {key} where nothing is said", hint="leave it out"
            )
        if not isinstance(choice, str) or choice not in GROUPS[key]:
            raise InputError(
                f"there is no {key}={choice}",
                option=key,
                value=choice,
                hint=nearest(str(choice), GROUPS[key], f"{key}="),
            )


def find_misspelt(overrides: list[str]) -> None:
    """Raises InputError, with the nearest right word, for a key that is not there. The choices are right."""
    parsed = parse(overrides)
    chosen = [override.input_line or "" for override in parsed if override.key_or_group in GROUPS]
    known = _keys(OmegaConf.to_container(compose("train", overrides=chosen)))
    rest = [o for o in parsed if not (o.key_or_group in GROUPS or re.match(r"hydra($|[./])", o.key_or_group))]
    for override in rest:
        key = override.key_or_group
        if override.is_add() or override.is_force_add() or key in known:
            continue
        group, _, last = key.rpartition(".")
        root = key.partition(".")[0]
        if group and root not in GROUPS:
            raise InputError(f"there is no option {key}", option=key, hint=nearest(root, list(GROUPS)))
        siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == group]
        siblings = [name for name in siblings if not name.startswith("_") and name != "name"]
        elsewhere = [name for name in known if name.endswith(f".{last}") and name.split(".")[0] in GROUPS]
        if elsewhere:
            raise InputError(f"there is no option {key}", option=key, hint=f"did you mean {' or '.join(elsewhere)}?")
        if group and siblings:
            raise InputError(f"there is no option {key}", option=key, hint=nearest(last, siblings, f"{group}."))
        raise InputError(f"there is no option {key}", option=key, hint=nearest(key, [*GROUPS, *known]))


def nearest(word: str, words: list[str], prefix: str = "") -> str:
    """The nearest of some words, and which there are, as the end of a sentence about a wrong one."""
    close = get_close_matches(word, words, n=1)
    if close and len(words) < 20:
        return f"did you mean {prefix}{close[0]}? There are {', '.join(words)}"
    if close:
        return f"did you mean {prefix}{close[0]}? All are listed by --help"
    return f"there are {', '.join(words)}" if len(words) < 20 else "all are listed by --help"


def _unknown_choice(message: str) -> str:
    """Of one of Hydra's own groups (hydra/launcher), in our words; nothing for any other error."""
    found = re.search(r"Could not find '(hydra/\w+)/([^']+)'", message)
    if found is None:
        return ""
    group, choice = found.groups()
    there = re.findall(r"^\t(\w+)$", message, re.MULTILINE)  # below them is where Hydra has looked
    return f"there is no {group}={choice}; {nearest(choice, there, f'{group}=')}."


def _keys(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    names = [f"{prefix}{key}" for key in node]
    return names + [name for key in node for name in _keys(node[key], f"{prefix}{key}.")]


def folder_of(option: str, name: Any) -> Path:
    """The folder that an option names. Raises InputError where it names none."""
    if name in (None, ""):
        raise InputError(f"{option}= needs a folder.")
    return Path(str(name))


def make_run_directory(path: Path, option: str = "hydra.run.dir") -> None:
    """Make the directory and write to it once: better to know now than after the training. Raises InputError.

    It is removed again if this command turns out to be a mistake.
    """
    MADE[:] = [footprint_of(path, option)]
    make_writable(path, option)


def footprint_of(path: Path, option: str) -> Footprint:
    """The footprint of a folder: what is in it now. Raises InputError that names the option which names the folder."""
    try:
        return Footprint(path)
    except OSError as error:
        raise InputError(
            f"the directory {path} cannot be read ({error.strerror})", hint=f"choose another with {option}=…"
        ) from error


def make_writable(path: Path, option: str) -> None:
    """Make the folder and write to it once. Raises InputError."""
    probe = path / ".writable"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)  # another process of this run may have been quicker
    except OSError as error:
        raise InputError(
            f"the directory {path} cannot be written ({error.strerror or error})",
            hint=f"choose another with {option}=…",
        ) from error
