"""An engine whose plan is being built by another process, while this one serves with the engine it has."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import LcxError
from .engine import Engine

_PACKAGE_PARENT = str(Path(__file__).parents[2])


class PendingEngine:
    """Runs ``lcx-fast`` in a process of its own, then opens the engine from what that left in the cache.

    Another process, and not a thread: a build takes minutes of a CPU, holds the GIL at times, cannot be stopped at
    once, and a crash of the compiler must not be ours. It ends with this process at the latest.

    Args:
        arguments: of ``lcx-fast``.
        open_engine: called once that has ended well.
    """

    def __init__(self, arguments: Sequence[str], open_engine: Callable[[], Engine]) -> None:
        self._command = [sys.executable, "-m", "lcx_fast", *arguments]
        self._open_engine = open_engine
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._engine: Engine | None = None
        self._failure: str | None = None

    def start(self) -> None:
        """Begin, unless begun already. Returns at once."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="lcx-build-engine", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system gives none
            self._failure = str(error)

    @property
    def engine(self) -> Engine | None:
        """The engine, once there is one."""
        return self._engine

    @property
    def failure(self) -> str | None:
        """Why there will be none."""
        return self._failure

    def wait(self, timeout: float | None = None) -> None:
        """Wait until there is an engine or a failure, or for ``timeout`` seconds."""
        if self._thread is not None and self._failure is None:
            self._thread.join(timeout)

    def _work(self) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (_PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
        }
        try:
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=environment,
            )
            atexit.register(process.terminate)
            _, errors = process.communicate()
            atexit.unregister(process.terminate)
            if process.returncode == 0:
                self._engine = self._open_engine()
            else:
                lines = errors.strip().splitlines()
                self._failure = lines[-1] if lines else f"the build ended with exit code {process.returncode}"
        except (OSError, LcxError) as error:
            self._failure = " ".join(str(error).split())
