"""Engines and ``fork()``: the child has the locks and counters of a library's threads, but not the threads.

OpenVINO then waits for them for ever, whenever another thread was inferring a moment before; a new engine does so too,
since the threads belong to the library. So a child is told at once, and never left hanging.
"""

from __future__ import annotations

import os

from ..errors import EngineError


class Home:
    """The process that something works in, which is the one that makes this."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def check(self, what: str) -> None:
        """Refuse to go on in another process.

        Raises:
            EngineError: if this is one.
        """
        if os.getpid() != self._process:
            raise EngineError(
                f"{what} was loaded before this process was forked and cannot run here; fork before load_model, or "
                "start processes by 'spawn'"
            )
