"""JPEG 2000 and lossless JPEG decoded on a GPU by nvidia-nvimgcodec, where that is installed and there is a GPU.

Nothing here is needed: without the package, without a GPU, or where it refuses a stream, the CPU's decoder does the
work and the report says why. A film decides about a patient, so the GPU's decoder has to earn its place: in each
process the first frame of a transfer syntax is decoded by both, and if one sample differs the GPU's decoder is not
asked again. A stream without its end marker is the CPU's decoder's to judge. ``LCX_GPU_DECODE=0`` turns it off.

Never run on a GPU so far: tested against a stand-in for the package.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: EOI of JPEG, EOC of JPEG 2000.
_END_OF_STREAM = b"\xff\xd9"

#: What makes samples of a stream.
Decode = Callable[[bytes], NDArray[Any]]


@dataclass(frozen=True)
class Decoded:
    """Samples of a stream and what made them.

    Attributes:
        samples: integers [H, W] as the stream holds them.
        by: ``"nvimgcodec VERSION"``; None where the CPU's decoder did it.
        reason: why it did; empty where the package is not installed.
    """

    samples: NDArray[Any]
    by: str | None = None
    reason: str = ""


class GpuDecoder:
    """nvImageCodec's decoder, opened when first needed. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._module: Any = None
        self._decoder: Any = None
        self._reason: str | None = None
        self._opened = False
        self._trusted: set[str] = set()
        self._refused: dict[str, str] = {}

    def decode(self, syntax: str, stream: bytes, on_cpu: Decode) -> Decoded:
        """Decode a stream, on the GPU if that can be.

        Args:
            syntax: its transfer syntax UID.
            stream: a whole JPEG 2000 or lossless JPEG code stream.
            on_cpu: what decodes it otherwise; its errors are passed on.
        """
        with self._lock:  # one stream at a time on the card
            reason = self._why_not(syntax, stream)
            if reason is None:
                try:
                    samples = self._run(stream)
                except Exception as error:  # the package's own classes; or the stream is damaged, as the CPU will tell
                    reason = f"refused: {_short(error)}"
                else:
                    return self._compared(syntax, stream, samples, on_cpu)
        return Decoded(on_cpu(stream), reason=reason)

    def _compared(self, syntax: str, stream: bytes, samples: NDArray[Any], on_cpu: Decode) -> Decoded:
        if syntax not in self._trusted:
            expected = on_cpu(stream)
            if samples.dtype != expected.dtype or not np.array_equal(samples, expected):
                self._refused[syntax] = "other samples than the CPU's decoder"
                return Decoded(expected, reason=self._refused[syntax])
            self._trusted.add(syntax)
        return Decoded(samples, by=f"nvimgcodec {self._module.__version__}")

    def _why_not(self, syntax: str, stream: bytes) -> str | None:
        if os.environ.get("LCX_GPU_DECODE") == "0":
            return "LCX_GPU_DECODE=0"
        if not self._opened:
            self._opened = True
            self._reason = self._open()
        if self._reason is not None:
            return self._reason
        if not stream.rstrip(b"\0").endswith(_END_OF_STREAM):
            return "the stream has no end marker"
        return self._refused.get(syntax)

    def _open(self) -> str | None:
        """Nothing if it is ready, else why not; an empty reason where nobody has asked for it."""
        try:
            nvimgcodec = importlib.import_module("nvidia.nvimgcodec")
        except ImportError:
            return ""
        from ..engines.cuda_driver import list_gpus
        from ..errors import LcxError

        try:
            if not list_gpus():
                return "no GPU"
            kinds = nvimgcodec.BackendKind
            backends = [nvimgcodec.Backend(k) for k in (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)]
            self._decoder = nvimgcodec.Decoder(backends=backends)
        except LcxError as error:
            return str(error)
        except Exception as error:  # a library that is missing, a driver too old
            return f"cannot start: {_short(error)}"
        self._module = nvimgcodec
        return None

    def _run(self, stream: bytes) -> NDArray[Any]:
        module = self._module
        # Samples as they are: 16 bits stay 16 bits, and grey stays grey.
        parameters = module.DecodeParams(allow_any_depth=True, color_spec=module.ColorSpec.UNCHANGED)
        image = self._decoder.decode(stream, params=parameters)
        if image is None:
            raise ValueError("it decoded nothing")
        samples = np.array(np.asarray(image.cpu()))  # a copy: the image's memory is the decoder's
        if samples.ndim == 3 and samples.shape[2] == 1:
            samples = samples[:, :, 0]
        if samples.ndim != 2 or samples.dtype.kind not in "iu":
            raise ValueError(f"it decoded {samples.dtype} {samples.shape}")
        return samples


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


#: The process's own.
GPU_DECODER = GpuDecoder()
