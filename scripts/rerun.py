"""A run once more, from its directory alone: ``python scripts/rerun.py RUN_DIR [hydra.run.dir=…]``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.rerun", "rerun", usage=__doc__)
