"""``lcx-fast`` and ``python -m lcx_fast``: the process around ``cli.main``."""

from __future__ import annotations

import os
import sys


def run() -> int:
    """The command's entry point; Ctrl-C is clean from the first import to the last."""
    # numpy's OpenBLAS starts a thread for each CPU when it is loaded, none of which the commands have a use for.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from .console import EXIT_INTERRUPTED, let_interrupts_exit

        let_interrupts_exit()
        from .cli import main

        try:
            return main()
        except KeyboardInterrupt:  # a second one, while the first was answered
            return EXIT_INTERRUPTED
        finally:
            let_interrupts_exit()
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    sys.exit(run())
