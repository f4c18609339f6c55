"""What the commands of training share: an error is one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from lcx_fast.errors import LcxError

Arguments = ParamSpec("Arguments")


def one_line_errors(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """The command, with what is wrong with its input said in one line on standard error and exit code 2."""

    @wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, LcxError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2

    return run
