"""``python train.py --help`` and docs/options.md, made from the comments of the configuration files."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from trainlab.command.arguments import Arguments
from trainlab.configuration.folder import CONF
from trainlab.survival.atomic import atomic_write

GROUPS = {
    "model": "the network; it brings its recipe, and the command line overrides it",
    "data": "what it learns from",
    "loss": "the data term of the objective",
    "reg": "the regulariser",
    "optim": "how the objective is descended",
    "aug": "how images are varied, and what is averaged at test time",
    "trainer": "where it runs",
    "logger": "where the numbers go",
    "ablation": "one of AlexNet's tricks taken away; with experiment=alexnet_ablation",
    "experiment": "a claim of the lecture or the paper, as a configuration",
    "debug": "a run that looks for a mistake",
}

EXAMPLES = {
    "python train.py": "a perceptron on handwritten digits, in seconds",
    "python train.py model=alexnet": "AlexNet on the same digits, with its own recipe",
    "python train.py model=mlp data=fashion_mnist model.hidden=[512,512] optim.lr=0.05": "an MLP of your own",
    "python train.py model=alexnet optim=sgd reg=dropout aug=none": "the same network without some of its tricks",
    "python train.py data=linear optim=gd loss=half_mse": "full-batch gradient descent to the least-squares solution",
    "python train.py model=convnet data=cifar10 trainer=ddp trainer.devices=2": "two processes, one global batch",
}

COMMON = {  # options that --help shows, by the file of conf/ that has the comment
    "train": ("seed", "ckpt", "profile", "figures"),
    "model/mlp": ("model.hidden", "model.activation", "model.init"),
    "optim/momentum": ("optim.lr", "optim.schedule"),
    "reg/l2_dropout": ("reg.l2", "reg.form", "reg.dropout"),
    "data/fashion_mnist": ("data.batch_size", "data.root", "data.train_examples"),
    "trainer/auto": ("trainer.max_epochs", "trainer.patience", "trainer.precision", "trainer.compile"),
}

SWEEP_OPTIONS = {
    "hydra/launcher=processes|slurm": "on this machine, or as jobs of a cluster",
    "hydra.launcher.n_jobs=4": "points at a time",
    "hydra.launcher.gpus_per_job=0.5": "two points share a GPU",
    "hydra.launcher.rerun=true": "run finished points again, too",
    "python scripts/report.py runs/sweeps/NAME --table": "the results in one table",
}


def help_text(conf: Path) -> str:
    """The answer to --help. conf: the folder of configuration groups."""
    lines = [
        "TrainLab: from the perceptron to AlexNet. Every idea that makes neural networks train is one switch.",
        "",
        "  python train.py [group=choice …] [option=value …]",
        "",
        "Groups and their choices",
    ]
    for group, what in GROUPS.items():
        files = sorted((conf / group).glob("*.yaml"))
        if not files:
            continue
        lines += ["", f"  {group}: {what}"]
        lines += [f"    {file.stem:<14} {first_comment(file)}" for file in files]
    lines += ["", "Options most often set (docs/options.md has all, with their defaults)", ""]
    for file, names in COMMON.items():
        options = read_options(conf / f"{file}.yaml", file.partition("/")[0] if "/" in file else "")
        lines += [f"  {o.name:<21} {o.comment}".rstrip() for o in options if o.name in names]
    lines += [f"  {'hydra.run.dir':<21} where the run is written (runs/MODEL_DATA/TIME)"]
    lines += ["", "Examples", ""]
    for command, what in EXAMPLES.items():
        lines += [f"  {command}", f"      {what}"]
    lines += ["", "The lecture's demonstrations: python scripts/study.py --help"]
    lines += ["", "Sweeps: python train.py -m reg.l2=0,1e-4,1e-3 seed=0,1,2", ""]
    lines += [f"  {option:<56}{what}" for option, what in SWEEP_OPTIONS.items()]
    lines += [
        "",
        "Also: --cfg job (print the configuration), --info (how it is put together, from which files and plug-ins).",
    ]
    lines += ['Completion of groups, choices and options by the Tab key: eval "$(python train.py -sc install=bash)".']
    return "\n".join(lines)


def first_comment(file: Path) -> str:
    """The first comment line that is not a directive to Hydra."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


class Option(NamedTuple):
    """One option as a file of conf/ sets it: its name on the command line, the value as written, the comment behind."""

    name: str
    value: str
    comment: str


HIDDEN = {"name", "_target_", "defaults"}  # keys that are no options for the command line
SWEPT = "hydra.sweeper.params."

PAGE_HEAD = """# Options

Every choice and every option, with its default. This page is written by `python scripts/options.py` from the comments
in `conf/`, as `python train.py --help` is; a test fails when it is out of date. `python train.py --cfg job` prints the
configuration of a command without running it.

One folder of `conf/` is a group, one file a choice. `group=choice` picks a file, `group.option=value` sets one value.
A model brings its recipe (its optimizer, regulariser and augmentation), and the command line overrides it:
`python train.py model=alexnet optim=sgd reg=dropout aug=none`. The lecture's sigmoid perceptron is
`python train.py loss=half_mse model.activation=sigmoid`.

A value written `${…}` is taken from another option. `???` means that it must be given. Quote values that contain a
comma, an equals sign, a space or a bracket: `python train.py data=image_folder "data.root='photos, 2024'"`.
"""


def options_page(conf: Path) -> str:
    """docs/options.md: every group, every choice and every option of `conf`, in Markdown."""
    lines = [PAGE_HEAD]
    lines += ["## Every run", "", *table_of_options(read_options(conf / "train.yaml", "")), ""]
    for group, what in GROUPS.items():
        files = sorted((conf / group).glob("*.yaml"))
        if files:
            lines += [f"## `{group}`: {what}", ""]
            for file in files:
                lines += choice_section(file, group)
    lines += ["## `hydra/launcher`: where the points of a sweep run", ""]
    for file in sorted((conf / "hydra" / "launcher").glob("*.yaml")):
        lines += choice_section(file, "hydra/launcher")
    lines += ["## Studies: the options of scripts/study.py", ""]
    for file in sorted((conf / "study").glob("*.yaml")):
        lines += [
            f"### `{file.stem}`",
            "",
            escaped(first_comment(file)),
            "",
            *table_of_options(study_options(file)),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def choice_section(file: Path, group: str) -> list[str]:
    """The lines for one choice: its comment, what it is based on, what it sweeps, and a table of its options."""
    options = list(read_options(file, group))
    own = [option for option in options if not option.name.startswith(SWEPT)]
    swept = [f"{option.name.removeprefix(SWEPT)}={option.value}" for option in options if option not in own]
    comment = header_comment(file)
    ends = next((i for i, line in enumerate(comment, 1) if line.endswith(".")), 1)  # of the first sentence
    first, rest = " ".join(comment[:ends]), "\n".join(comment[ends:]).strip("\n")
    lines = [f"### `{group}={file.stem}`", "", escaped(first), ""]
    if rest:
        lines += ["```text", rest, "```", ""]
    chosen = based_on(file)
    if chosen:
        lines += ["Based on " + ", ".join(f"`{choice}`" for choice in chosen) + ".", ""]
    if swept:
        lines += ["With `-m` it sweeps " + ", ".join(f"`{values}`" for values in swept) + ".", ""]
    return [*lines, *table_of_options(own), ""] if own else lines


def table_of_options(options: Sequence[Option] | Iterator[Option]) -> list[str]:
    """The lines of a Markdown table of options, with their values and meanings."""
    rows = [f"| `{o.name}` | `{in_cell(o.value)}` | {in_cell(escaped(o.comment))} |" for o in options]
    return ["| option | value | meaning |", "|---|---|---|", *rows]


def escaped(text: str) -> str:
    """Plain text in which Markdown sees no HTML."""
    return text.replace("<", "&lt;")


def in_cell(text: str) -> str:
    """The text for a cell of a Markdown table."""
    return text.replace("|", r"\|")


def read_options(file: Path, group: str) -> Iterator[Option]:
    """The options that a file sets, in its order, with the comment on each one's line."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    package = "" if "@package _global_" in text else group.replace("/", ".")

    def walk(node: yaml.Node, prefix: str) -> Iterator[Option]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{prefix}.{key.value}" if prefix else key.value
                if key.value not in HIDDEN and not (group == "ablation" and name == "ablation"):
                    yield from walk(value, name)
        elif prefix.startswith("hydra.job_logging"):
            return
        else:
            comment = re.match(r"\s*#\s*(.*)", lines[node.end_mark.line][node.end_mark.column :])
            written = text[node.start_mark.index : node.end_mark.index]
            yield Option(prefix, written, comment[1].strip() if comment else "")

    root = yaml.compose(text)
    return walk(root, package) if root is not None else iter(())


def study_options(file: Path) -> list[Option]:
    """The options of a file of conf/study, without its evidence."""
    return [option for option in read_options(file, "") if not option.name.startswith("evidence.")]


def based_on(file: Path) -> list[str]:
    """The choices in a file's defaults list, as they are written on a command line."""
    root = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    chosen = []
    for entry in root.get("defaults", []):
        if isinstance(entry, dict):
            chosen += [f"{key.removeprefix('override ').lstrip('/')}={value}" for key, value in entry.items()]
        elif entry != "_self_":
            chosen.append(f"{file.parent.name}={entry}")
    return chosen


def header_comment(file: Path) -> list[str]:
    """The lines of the comment at the top of a file, without the directive to Hydra."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            found.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return found


def write_options_page(arguments: Sequence[str]) -> None:
    """scripts/options.py: write docs/options.md, or another file."""
    options = parse(arguments)
    atomic_write(Path(options.out), options_page(CONF))
    print(f"written: {options.out}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/options.py. Raises InputError."""
    parser = Arguments(prog="python scripts/options.py", description="Write docs/options.md from the files of conf/.")
    page = CONF.parent / "docs" / "options.md"
    parser.add_argument("--out", default=str(page), metavar="FILE", help="the file to write (docs/options.md)")
    return parser.parse_args(list(arguments))
