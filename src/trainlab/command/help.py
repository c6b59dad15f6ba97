"""``python train.py --help``, from the first comment line of each configuration file, so that it is always true."""

from __future__ import annotations

from pathlib import Path

GROUPS = {
    "model": "the network; it brings its recipe, and what you type wins",
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

OPTIONS = {
    "seed=0": "every run is a function of its configuration",
    "ckpt=runs/…/checkpoints/last.ckpt": "go on from a checkpoint; ckpt=auto: from this run's own",
    "profile=true": "where a step's time goes: a table and a trace",
    "model.activation=relu|tanh|sigmoid|identity": "",
    "model.init=paper|kaiming|xavier|torch|zero": "how the weights start",
    "optim.lr=0.1  optim.schedule=constant|cosine|plateau": "the learning rate, and how it changes",
    "reg.l2=0.0005  reg.form=mean|sum  reg.dropout=0.5": "the strength of the regulariser",
    "data.batch_size=128  data.root=…": "the global batch; where the files are",
    "trainer.max_epochs=10  trainer.patience=5": "how long; stop early when trainer.monitor stalls",
    "trainer.precision=auto|float32|bfloat16": "",
    "trainer.compile=true": "compile the training steps; on a GPU into CUDA graphs",
    "hydra.run.dir=…": "where the run is written (runs/MODEL_DATA/…)",
}

SWEEP_OPTIONS = {
    "hydra/launcher=processes|slurm": "on this machine, or as jobs of a cluster",
    "hydra.launcher.n_jobs=4": "points at a time",
    "hydra.launcher.gpus_per_job=0.5": "two points share a GPU",
    "hydra.launcher.rerun=true": "run finished points again, too",
    "python scripts/report.py runs/sweeps/NAME --table": "the results in one table",
}


def help_text(conf: Path) -> str:
    """All of it. conf: the folder of configuration groups."""
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
    lines += ["", "Options most often set (python train.py --cfg job prints all)", ""]
    lines += [f"  {option:<56}{what}".rstrip() for option, what in OPTIONS.items()]
    lines += ["", "Examples", ""]
    for command, what in EXAMPLES.items():
        lines += [f"  {command}", f"      {what}"]
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
