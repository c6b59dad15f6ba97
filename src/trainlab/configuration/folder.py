"""Where conf/, the folder of choices, lies: at the top of a checkout, and in a wheel inside the package."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def find_conf() -> Path:
    """conf/ of the checkout whose train.py or script was started; else of the package's checkout; else its own copy.

    The first, so that a choice added to a checkout is there also when the package was installed from it as a copy.
    """
    started = Path(sys.argv[0]).resolve() if sys.argv and sys.argv[0] else PACKAGE
    for checkout in (started.parent, started.parent.parent, PACKAGE.parents[1]):
        if (checkout / "train.py").is_file() and (checkout / "conf" / "train.yaml").is_file():
            return checkout / "conf"
    return PACKAGE / "conf"


CONF = find_conf()
