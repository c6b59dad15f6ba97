"""train.py, but its runs draw no figures, which take longer than the few steps of a test."""

from trainlab.command.main import main
from trainlab.recording import run_figures
from trainlab.sweeps import pool


def draw_none(*shown: object, **how: object) -> dict[str, object]:
    return {}


run_figures.draw_figures = draw_none
pool.PRELOADED = [*pool.PRELOADED, "undrawn"]  # the parent of a sweep's points is another process

if __name__ == "__main__":
    main()
