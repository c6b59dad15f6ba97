"""The three sets of points of scikit-learn's "Varying regularization in Multi-layer Perceptron".

The lecture's figure for L2: https://scikit-learn.org/stable/auto_examples/neural_networks/plot_mlp_alpha.html.
With the default arguments the points and the test set are exactly that example's.
"""

from __future__ import annotations

import numpy as np
import torch

from trainlab.data.image_set import UNCUT, VAL, DataSplits, ImageSet, cut, left_whole
from trainlab.errors import InputError
from trainlab.runtime.room import free_memory, gigabytes

CLASSES = ("0", "1")
BYTES_OF_A_POINT = 200  # two coordinates in float64 and what scikit-learn makes of them on the way
TEST_SEED = 42  # the example's, whatever `split_seed` is, so that the test set is the figure's


def moons(
    *,
    n_samples: int = 100,
    noise: float = 0.3,
    test_fraction: float = 0.4,
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> DataSplits:
    """Two interleaved half circles, float32 (N, 2), in two classes, standardised. noise: the standard deviation added
    to each point. Source: sklearn.datasets.make_moons. Raises InputError.
    """
    from sklearn.datasets import make_moons

    _check(n_samples, noise)
    points, labels = make_moons(n_samples, noise=noise, random_state=0)
    return _split(points, labels, test_fraction, val_fraction, split_seed)


def circles(
    *,
    n_samples: int = 100,
    noise: float = 0.2,
    test_fraction: float = 0.4,
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> DataSplits:
    """A circle inside another, float32 (N, 2), in two classes, standardised. noise: the standard deviation added to
    each point. Source: sklearn.datasets.make_circles. Raises InputError.
    """
    from sklearn.datasets import make_circles

    _check(n_samples, noise)
    points, labels = make_circles(n_samples, noise=noise, factor=0.5, random_state=1)
    return _split(points, labels, test_fraction, val_fraction, split_seed)


def linear(
    *,
    n_samples: int = 100,
    noise: float = 2.0,
    test_fraction: float = 0.4,
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> DataSplits:
    """Two classes that a line nearly separates, float32 (N, 2), standardised. noise · U(0, 1) is added to each point.
    Source: sklearn.datasets.make_classification. Raises InputError.
    """
    from sklearn.datasets import make_classification

    _check(n_samples, noise)
    points, labels = make_classification(
        n_samples, n_features=2, n_redundant=0, n_informative=2, random_state=0, n_clusters_per_class=1
    )
    points += noise * np.random.RandomState(2).uniform(size=points.shape)
    return _split(points, labels, test_fraction, val_fraction, split_seed)


def _check(n_samples: int, noise: float) -> None:
    if n_samples < 10:
        raise InputError(
            f"data.n_samples={n_samples} is too few points to cut into three sets",
            option="data.n_samples",
            value=n_samples,
            hint="10 is the least",
        )
    if n_samples * BYTES_OF_A_POINT > free_memory():
        raise InputError(
            f"data.n_samples={n_samples} points need {gigabytes(n_samples * BYTES_OF_A_POINT)} of "
            f"memory, and {gigabytes(free_memory())} are free",
            option="data.n_samples",
            value=n_samples,
            hint="use fewer",
        )
    if noise < 0:
        raise InputError(f"data.noise={noise:g} must not be negative.", option="data.noise", value=noise)


def _split(
    points: np.ndarray, labels: np.ndarray, test_fraction: float, val_fraction: float, split_seed: int
) -> DataSplits:
    """The example's test set, a validation set from the rest, all standardised as the training part is."""
    everything = np.arange(len(points))
    rest, test = everything, everything[:0]
    if test_fraction:
        from sklearn.model_selection import train_test_split

        # Not `cut`, which takes the same share of every class: the example does not stratify.
        try:
            rest, test = train_test_split(everything, test_size=float(test_fraction), random_state=TEST_SEED)
        except ValueError as error:
            raise InputError(
                f"cannot cut a fraction of {test_fraction:g} from {len(points)} points: none would be "
                "left for training",
                hint=f"set data.test_fraction to at most {(len(points) - 1) * 100 // len(points) / 100}",
            ) from error
    targets = torch.from_numpy(labels.astype(np.int64))
    kept, away = cut(targets[rest], val_fraction, split_seed, VAL)
    uncut = left_whole(targets[rest], away, len(CLASSES))
    train, val = rest[kept.numpy()], rest[away.numpy()]
    if len(train) < 2:
        raise InputError(
            f"only {len(train)} of {len(points)} points is left for training",
            hint="lower data.test_fraction or data.val_fraction",
        )

    standard = (points - points[train].mean(axis=0)) / points[train].std(axis=0)
    whole = ImageSet(torch.from_numpy(standard.astype(np.float32)), targets, CLASSES)
    sets = [whole.take(torch.from_numpy(part)) for part in (train, val, test)]
    return DataSplits(sets[0], sets[1], sets[2], {UNCUT: int(uncut.sum())} if uncut.any() else {})
