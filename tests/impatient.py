"""undrawn.py, but a stack saves itself after every look, so that it can be killed after a moment."""

import undrawn  # noqa: F401

from trainlab.command.main import main
from trainlab.sweeps import pool

pool.PRELOADED = [*pool.PRELOADED, "impatient"]  # the parent of a sweep's points is another process

if __name__ == "__main__":
    main()
else:
    from trainlab.sweeps.stacked import child

    child.SAVE_SECONDS, child.SAVE_SHARE = 0.0, 1.0
