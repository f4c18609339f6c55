"""What ``gpu_run.py`` measures beside ours, on the same card: whatever of it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gpu_jobs import Row, attempt
from scenes import SCENES

ROOT = Path(__file__).resolve().parent.parent


def rows(device: Any, model: Path, tile: tuple[int, int], shape: tuple[int, int], rounds: int) -> Iterator[Row]:
    """Every peer, each with its figure or the reason why it has none."""
    jobs: dict[tuple[str, str], Callable[[], Row]] = {
        ("network, one tile", "torch eager fp16"): lambda: _torch(device, tile, rounds, compiled=False),
        ("network, one tile", "ONNX Runtime CUDA"): lambda: _onnxruntime(device, model, rounds),
        ("sliding window over the film", "MONAI, torch fp16"): lambda: _monai(device, tile, shape, rounds),
    }
    for scene in ("typical", "specks", "noise50"):
        jobs[f"find_lesions {scene}", "cupyx label + sums"] = lambda scene=scene: _cupyx(device, scene, shape, rounds)
    # Last, since compiling may take minutes.
    jobs["network, one tile", "torch compiled fp16"] = lambda: _torch(device, tile, rounds, compiled=True)
    for (job, who), measure in jobs.items():
        yield attempt(job, who, measure)


def torch_network() -> Any:
    """The bundled model's architecture on the GPU in fp16; its weights do not matter to its time."""
    import torch

    if str(ROOT) not in sys.path:  # `training` is not installed
        sys.path.append(str(ROOT))
    from training.network import LesionNetwork

    torch.manual_seed(0)
    network = LesionNetwork().cuda().half().eval()
    return network.to(memory_format=torch.channels_last)


def captured_network(tile: tuple[int, int]) -> tuple[Callable[[int, int, int], None], tuple[int, ...], tuple[int, ...]]:
    """Torch's network for ``DeviceLine``: the stand-in where TensorRT is missing or refuses the card.

    Returns:
        What puts it on a stream, and its input's and output's shape.
    """
    import torch

    network = torch_network()
    pool = torch.cuda.MemPool()
    shapes = (1, 1, *tile), (1, 2, *tile)

    class At:
        def __init__(self, address: int, shape: tuple[int, ...]) -> None:
            self.__cuda_array_interface__ = {"data": (address, False), "shape": shape, "typestr": "<f4", "version": 3}

    def enqueue(source: int, target: int, stream: int) -> None:
        # An external stream of 0 would be a new one, and not the default stream.
        on = torch.cuda.ExternalStream(stream) if stream else torch.cuda.default_stream()
        # Memory from a pool of its own, which nobody else is given while the graph that names it lives.
        with (
            torch.no_grad(),
            torch.cuda.stream(on),
            torch.cuda.use_mem_pool(pool),
        ):
            image = torch.as_tensor(At(source, shapes[0]), device="cuda")
            output = torch.as_tensor(At(target, shapes[1]), device="cuda")
            output.copy_(torch.sigmoid(network(image.half()).float()))

    return enqueue, *shapes


def _torch(device: Any, tile: tuple[int, int], rounds: int, *, compiled: bool) -> Row:
    import torch

    network = torch_network()
    if compiled:
        network = torch.compile(network, mode="reduce-overhead")
    batches = [torch.rand(1, 1, *tile, device="cuda").half() for _ in range(4)]
    # Torch's default stream is the one that the events are on.
    with torch.no_grad():
        spread = device.time_on_device(lambda i: network(batches[i % 4]), rounds)
    return Row("network, one tile", f"torch {'compiled' if compiled else 'eager'} fp16", spread)


def _onnxruntime(device: Any, model: Path, rounds: int) -> Row:
    from lcx_fast.engines.onnxruntime import OnnxRuntimeCudaEngine

    engine = OnnxRuntimeCudaEngine(model)
    batch = np.random.default_rng(0).random(engine.input_shape, np.float32)
    output = np.empty(engine.output_shape, np.float32)
    spread = device.time_with_host(lambda i: engine.infer(batch, output), rounds)
    return Row("network, one tile", "ONNX Runtime CUDA", spread, note="fp32, from and to the host's memory")


def _monai(device: Any, tile: tuple[int, int], shape: tuple[int, int], rounds: int) -> Row:
    import torch
    from monai.inferers import sliding_window_inference

    network = torch_network()
    grid = tuple(max(1, n // 5) for n in shape)  # 0.1 mm pixels on a grid of 0.5 mm
    image = torch.rand(1, 1, *grid, device="cuda").half()
    window = partial(sliding_window_inference, roi_size=tile, sw_batch_size=4, predictor=network, overlap=0.25)
    with torch.no_grad():
        spread = device.time_with_host(lambda i: window(image, mode="gaussian").float().cpu(), rounds)
    return Row("sliding window over the film", "MONAI, torch fp16", spread, note="image on the GPU already")


def _cupyx(device: Any, scene: str, shape: tuple[int, int], rounds: int) -> Row:
    import cupy
    from cupyx.scipy import ndimage

    maps = device.copies(SCENES[scene](shape))
    eight = cupy.ones((3, 3), bool)

    def measure(i: int) -> Any:
        values = maps[i % len(maps)]
        labels, count = ndimage.label(values >= 0.5, eight)
        index = cupy.arange(1, count + 1)
        sums = ndimage.sum_labels(values, labels, index)
        areas = ndimage.sum_labels(cupy.ones_like(values), labels, index)
        return sums.get(), areas.get()

    return Row(f"find_lesions {scene}", "cupyx label + sums", device.time_with_host(measure, rounds))
