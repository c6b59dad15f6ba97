"""train.py, but its runs draw no figures and time one matrix product only: both take longer than a test's few steps."""

from trainlab.command.main import main
from trainlab.recording import results, run_figures
from trainlab.sweeps import pool


def draw_none(*shown: object, **how: object) -> dict[str, object]:
    return {}


run_figures.draw_figures = draw_none
results.MATRIX_SECONDS = 0.0
pool.PRELOADED = [*pool.PRELOADED, "undrawn"]  # the parent of a sweep's points is another process

if __name__ == "__main__":
    main()
