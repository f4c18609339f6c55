"""Several calls at a time, their results in order; and what the system may refuse to that end."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from .errors import DeviceError

Item = TypeVar("Item")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def memory_limit() -> int | None:
    """Bytes of address space that this process may have at most; None if that is unlimited."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def submit(
    pool: ThreadPoolExecutor,
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Future[Result]:
    """``pool.submit``.

    Raises:
        DeviceError: if the system gives no thread.
    """
    try:
        return pool.submit(function, *arguments, **named)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise DeviceError(
            "the system gives no further thread; allow more memory (ulimit -v) or processes (ulimit -u), or smaller "
            "stacks (ulimit -s)"
        ) from error


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """``map`` by threads, ``workers`` calls at a time.

    Items are drawn as calls end, at most one more than ``workers`` ahead of what has been yielded. What a call raises
    is raised when its turn comes, and what has not begun by then is not done.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="lcx-work") as pool:
        try:
            for item in items:
                waiting.append(submit(pool, function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
