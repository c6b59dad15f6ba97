"""What the dashboards show, in names that runs log: columns of metrics.csv, results.json's fields, the configuration.

Of wandb-workspaces; its objects are made with no account and no network.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import wandb_workspaces.expr as choose
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import BlockTypes, PanelTypes

WORKSPACE = "TrainLab"
WIDTH, HEIGHT, COLUMNS = 8, 6, 3  # of a panel in a report, in W&B's units; panels beside each other
FIGURES = ("learning_curves", "confusion_matrix", "first_layer", "worst_mistakes", "decision_regions")
OVER_SEEDS = "mean ± standard deviation"


@contextmanager
def same_names(title: str) -> Iterator[None]:
    """Inside, wandb-workspaces draws the same identifiers for the same title, so that what is unchanged stays so."""
    state = random.getstate()
    random.seed(title)
    try:
        yield
    finally:
        random.setstate(state)


def curve(
    y: str, title: str, *, x: str = "epoch", by: str | None = None, band: bool = False, log_x: bool | None = None
) -> wr.LinePlot:
    """A panel with curves: a line for each run, or with `by` or `band` for each group.

    by: the option whose values are the groups, each a mean with a band of one deviation. band: the same of groups as
    the runs are grouped already.
    """
    return wr.LinePlot(
        title=title,
        x=x,
        y=[y],
        log_x=log_x,
        groupby=wr.Config(by) if by else None,
        groupby_aggfunc="mean" if by or band else None,
        groupby_rangefunc="stddev" if by or band else None,
    )


def bars(name: str, title: str, by: str) -> wr.BarPlot:
    """A bar for each value of the option `by`, of a field of results.json."""
    return wr.BarPlot(
        title=f"{title}, {OVER_SEEDS}",
        metrics=[wr.SummaryMetric(name)],
        groupby=wr.Config(by),
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
    )


def command(line: str) -> wr.CodeBlock:
    """A line of the shell as a block of a report."""
    return wr.CodeBlock(code=line, language=None)


def workspace(entity: str, project: str) -> ws.Workspace:
    """The workspace of a project: what every run of it came to."""
    with same_names(WORKSPACE):
        return ws.Workspace(
            entity=entity,
            project=project,
            name=WORKSPACE,
            sections=[
                ws.Section(name="Errors", is_open=True, panels=error_panels()),
                ws.Section(name="Choices", is_open=True, panels=[choices()]),
                ws.Section(name="Objective", panels=objective_panels()),
                ws.Section(name="Figures", panels=[pictures(name) for name in FIGURES]),
                ws.Section(name="Layers", panels=[wr.WeavePanelSummaryTable(table_name="layers")]),
                ws.Section(name="Cost", panels=cost_panels()),
            ],
            settings=ws.WorkspaceSettings(x_axis="epoch", group_by_prefix="first"),
            runset_settings=ws.RunsetSettings(
                pinned_columns=["summary:test/top1_error", "summary:best/val/top1_error", "summary:total_seconds"]
            ),
        )


def error_panels() -> list[PanelTypes]:
    """The errors of training, validation and test."""
    return [
        curve("val/top1_error", "validation error"),
        curve("train/top1_error", "training error"),
        wr.BarPlot(title="test error", metrics=[wr.SummaryMetric("test/top1_error")]),
        curve("val/top1_error", "validation error against images seen", x="images_seen"),
        curve("val/top1_error", "validation error against seconds of training", x="seconds"),
    ]


def objective_panels() -> list[PanelTypes]:
    """The objective, the losses, the norm of the weights and the learning rate."""
    return [
        curve("train/objective", "objective: loss and regulariser"),
        curve("train/loss", "training loss"),
        curve("val/loss", "validation loss"),
        curve("weight_norm", "norm of the weights"),
        curve("lr", "learning rate"),
    ]


def cost_panels() -> list[PanelTypes]:
    """Images per second, seconds and peak memory."""
    return [
        curve("images_per_second", "images per second"),
        wr.BarPlot(title="seconds, all of the run", metrics=[wr.SummaryMetric("total_seconds")]),
        wr.BarPlot(title="peak memory in MB", metrics=[wr.SummaryMetric("peak_memory_mb")]),
    ]


def choices() -> wr.ParallelCoordinatesPlot:
    """One line for each run, from its options to its errors."""
    options = ("optim.lr", "reg.l2", "reg.dropout", "data.batch_size", "trainer.max_epochs")
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(option)) for option in options]
    results = ("best/val/top1_error", "test/top1_error")
    columns += [wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(name)) for name in results]
    return wr.ParallelCoordinatesPlot(title="choices and errors", columns=columns)


def pictures(name: str) -> wr.MediaBrowser:
    """The figures of this name of all runs. name: such as "decision_regions"."""
    return wr.MediaBrowser(title=name.replace("_", " "), media_keys=[f"figures/{name}"])


def reports(entity: str, project: str) -> list[wr.Report]:
    """One for each of the lecture's comparisons."""
    return [make(entity, project) for make in (regulariser, activations, tricks)]


def regulariser(entity: str, project: str) -> wr.Report:
    """The report about the strength of L2, from l2_sweep and l2_sweep_fashion."""
    title = "How strong a regulariser"
    with same_names(title):
        blocks: list[BlockTypes] = [
            wr.P(
                "L2 from weak to strong: λ times half the squared norm of the weights is added to the loss. Too little "
                "lets a network follow every point, too much leaves it nothing but its biases."
            ),
            command("python train.py -m experiment=l2_sweep"),
        ]
        for data in ("moons", "circles", "linear"):
            panels: list[PanelTypes] = [
                *strength_panels("train/top1_error", "training error"),
                pictures("decision_regions"),
            ]
            blocks += [wr.H2(f"60 points: {data}"), grid(data, ["l2_sweep"], panels, also=data)]
        blocks += [
            wr.H2("Fashion-MNIST"),
            command("python train.py -m experiment=l2_sweep_fashion"),
            grid("Fashion-MNIST", ["l2_sweep_fashion"], strength_panels("val/top1_error", "validation error")),
        ]
        return wr.Report(entity=entity, project=project, title=title, blocks=blocks, width="fluid")


def strength_panels(followed: str, named: str) -> list[PanelTypes]:
    """Against λ, of which each point of a sweep has one; and the epochs for each λ."""
    return [
        curve(
            "test/top1_error",
            f"test error against λ, {OVER_SEEDS} over seeds",
            x="swept/reg_l2",
            by="data.name",
            log_x=True,
        ),
        bars("last/weight_norm", "norm of the weights for each λ", by="reg.l2"),
        curve(followed, f"{named} for each λ, {OVER_SEEDS}", by="reg.l2"),
    ]


def activations(entity: str, project: str) -> wr.Report:
    """The report about ReLU and tanh, from relu_vs_tanh and relu_vs_tanh_fashion."""
    title = "ReLU against tanh"
    with same_names(title):
        blocks: list[BlockTypes] = [
            wr.P(
                "How soon a network reaches a training error, with ReLU and with tanh, each with three learning rates. "
                "Krizhevsky et al. (2012, Fig. 1) saw six times fewer epochs with ReLU; compare the best rate of each."
            )
        ]
        for experiment, named in (("relu_vs_tanh", "CIFAR-10"), ("relu_vs_tanh_fashion", "Fashion-MNIST")):
            panels: list[PanelTypes] = [
                curve("train/top1_error", f"training error, {OVER_SEEDS}", band=True),
                curve("train/top1_error", "training error against seconds of training", x="seconds", band=True),
                bars("last/epoch", "epochs until the mark, all rates", by="model.activation"),
            ]
            blocks += [
                wr.H2(named),
                command(f"python train.py -m experiment={experiment}"),
                grid(named, [experiment], panels, by=["config.model.activation", "config.optim.lr"]),
            ]
        return wr.Report(entity=entity, project=project, title=title, blocks=blocks, width="fluid")


def tricks(entity: str, project: str) -> wr.Report:
    """The report about AlexNet's tricks, from alexnet_ablation."""
    title = "What each trick is worth"
    with same_names(title):
        panels: list[PanelTypes] = [
            bars("test/top1_error", "test error, one view", by="ablation.name"),
            bars("test/top1_error_tencrop", "test error, all views averaged", by="ablation.name"),
            bars("total_seconds", "seconds, all of the run", by="ablation.name"),
            curve("val/top1_error", f"validation error, {OVER_SEEDS}", by="ablation.name"),
            curve("train/top1_error", f"training error, {OVER_SEEDS}", by="ablation.name"),
        ]
        blocks: list[BlockTypes] = [
            wr.P(
                "AlexNet with one of its tricks taken away at a time; none is the whole recipe, and a trick is worth "
                "the error that the others have more than that."
            ),
            command("python train.py -m experiment=alexnet_ablation"),
            grid("AlexNet", ["alexnet_ablation"], panels),
        ]
        return wr.Report(entity=entity, project=project, title=title, blocks=blocks, width="fluid")


def grid(
    name: str,
    experiments: Sequence[str],
    panels: Sequence[PanelTypes],
    *,
    also: str | None = None,
    by: Sequence[str] = (),
) -> wr.PanelGrid:
    """The panels, of the finished runs with the tag of one of the experiments, and the tag `also`.

    by: the options by which the runs are grouped.
    """
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        panel.layout = wr.Layout(x=column * WIDTH, y=row * HEIGHT, w=WIDTH, h=HEIGHT)  # type: ignore[union-attr]
    filters = [choose.Metric("State") == "finished", choose.Tags().isin(list(experiments))]
    filters += [choose.Tags().isin([also])] if also else []
    return wr.PanelGrid(
        runsets=[wr.Runset(name=name, filters=choose.And(*filters), groupby=list(by))], panels=list(panels)
    )
