"""The errors lcx_fast raises.

Every message names what was given and what is accepted. Messages carry UIDs at most, never patient data.
The compiled core raises these same classes.
"""


class LcxError(Exception):
    """Base of every error raised by lcx_fast."""


class InvalidArgument(LcxError, ValueError):  # noqa: N818
    """An argument has the wrong shape, dtype, device or value."""


class Unsupported(LcxError, NotImplementedError):  # noqa: N818
    """The request is valid, but this build or this version cannot serve it."""


class DeviceError(LcxError, RuntimeError):
    """A device is missing, out of memory or failed."""


class EngineError(LcxError, RuntimeError):
    """An inference engine could not be loaded or failed to run."""


class DicomError(LcxError, ValueError):
    """A file is not a mammogram that can be read."""
