"""One table and figures of many runs: ``python scripts/report.py runs/sweeps/NAME --table``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.sweeps.report", "report")
