"""The engine in use: a better one is swapped in when it has been built, a GPU that fails makes room for the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import LcxError
from .choose import SkippedEngine
from .engine import Engine

Skipped = tuple[SkippedEngine, ...]


class ServingEngine:
    """Safe for many threads: each inference asks for ``current`` and keeps what it gets to its end.

    Args:
        engine: to begin with.
        skipped: those passed over, some of them perhaps being built.
        fallback: makes the CPU's engine, for when one on a GPU fails; None where the GPU was insisted on.
        check: raises LcxError if an engine does not fit the model.
    """

    def __init__(
        self,
        engine: Engine,
        skipped: Skipped = (),
        *,
        fallback: Callable[[], Engine] | None = None,
        check: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        check(engine)
        self._engine, self._skipped = engine, skipped
        self._fallback, self._check = fallback, check
        self._lock = threading.Lock()

    def current(self) -> tuple[Engine, Skipped]:
        """The engine to use now, and those passed over for it."""
        if any(s.pending is not None for s in self._skipped):
            with self._lock:
                for entry in self._skipped:
                    self._look_at(entry)
        with self._lock:
            return self._engine, self._skipped

    def fall_back(self, failed: Engine, error: LcxError) -> None:
        """Replace an engine that failed by the CPU's, so that the caller can try again.

        Raises:
            The error itself on the CPU; on a GPU that was insisted on, with what else could be done.
        """
        with self._lock:
            if failed is not self._engine:
                return  # another thread has replaced it
            if failed.device == "cpu":
                raise error
            if self._fallback is None:
                raise type(error)(f"{error}; with device auto and engine auto the CPU takes over") from error
            replacement = self._fallback()
            self._check(replacement)
            reason = f"failed while running: {error}"
            self._engine = replacement
            self._skipped = (SkippedEngine(failed.name, failed.device, reason), *self._skipped)

    def _look_at(self, entry: SkippedEngine) -> None:
        """Swap in an engine that is ready, or note why it will never be."""
        pending = entry.pending
        if pending is None:
            return
        failure = pending.failure
        if (engine := pending.engine) is not None:
            try:
                self._check(engine)
            except LcxError as error:
                failure = str(error)
            else:
                # Those after it in the order were never passed over for a reason of their own.
                self._skipped = self._skipped[: self._skipped.index(entry)]
                self._engine = engine
                return
        if failure is not None:
            told = SkippedEngine(entry.name, entry.device, f"its plan could not be built: {failure}")
            self._skipped = tuple(told if other is entry else other for other in self._skipped)
