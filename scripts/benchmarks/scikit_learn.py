"""scikit-learn's MLPClassifier: the same layers, batches, momentum and learning rate, in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.job import job
from benchmarks.pace import Pace


def run(overrides: list[str], pace: Pace, folder: Path) -> None:
    """Train scikit-learn's MLPClassifier on the data of these overrides, as many batches at a time as are due. folder:
    not used.
    """
    this = job(overrides)
    inputs = this.data.training_inputs().flatten(1).numpy().astype(np.float32)
    labels = this.data.sets.train.labels.numpy()
    model = MLPClassifier(
        tuple(this.cfg.model.hidden),
        solver="sgd",
        alpha=0.0,
        batch_size=this.batch_size,
        learning_rate_init=this.cfg.optim.lr,
        momentum=this.cfg.optim.momentum,
        nesterovs_momentum=False,
    )
    classes = np.arange(len(this.data.classes))
    first = 0
    pace.wait()
    while True:
        some = slice(first, first + pace.due * this.batch_size)
        model.partial_fit(inputs[some], labels[some], classes=classes)
        done = len(labels[some])
        first = 0 if first + done + this.batch_size > len(labels) else first + done
        pace.step(done, steps=-(-done // this.batch_size))
