"""The layer table of a network: ``python scripts/describe.py model=alexnet [data=…] [describe.classes=10]``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.description", "describe", usage=__doc__, lightning=True)
