"""The same work in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable


def errors_at_once(work: Callable[[int], object], count: int = 4) -> list[Exception]:
    """Call ``work(k)`` for k below ``count``, each in a thread of its own; what was raised, once all have ended."""
    errors = []

    def told(k: int) -> None:
        try:
            work(k)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=told, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
