"""Weights that others have trained and published."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from trainlab.errors import InputError


def published_weights() -> dict[str, Tensor]:
    """torchvision's weights of AlexNet (IMAGENET1K_V1: 56.522 % top-1 and 79.066 % top-5 accuracy, centre crop), by
    their names. They are downloaded once (233 MB) into torch's own cache. Raises InputError where that cannot be
    done.
    """
    from torchvision.models import AlexNet_Weights

    weights = AlexNet_Weights.IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network; a download that is not what it should be
        place = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        reason = str(getattr(error, "reason", error)).strip(".")
        raise InputError(
            f"model.weights=torchvision needs {weights.url}, which cannot be had ({reason})",
            hint=f"connect to a network, or put the file into {place.parent}",
        ) from error
