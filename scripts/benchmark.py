"""Speed beside a bare loop and the usual ways: ``python scripts/benchmark.py [--quick]``."""

from _start import start

if __name__ == "__main__":
    start("benchmarks.report", "benchmark")
