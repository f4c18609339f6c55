"""Decoding on a GPU, as far as it goes without one: nvImageCodec's Python package is a stand-in of our own here."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import dicom_files as files
import imagecodecs
import numpy as np
import pytest

from lcx_fast.dicom import decode, gpu_decode
from lcx_fast.dicom.read import read_dicom
from lcx_fast.engines import cuda_driver
from lcx_fast.engines.cuda_driver import Gpu
from lcx_fast.errors import DeviceError, DicomError

CARDS = (Gpu(0, "Card", (9, 0), "13.0"),)
SYNTAXES = (files.JPEG_LOSSLESS, files.JPEG_2000_LOSSLESS)


def fake_package(change=lambda samples: samples):
    """What gpu_decode uses of nvidia.nvimgcodec; ``change`` plants a fault."""
    package = ModuleType("nvidia.nvimgcodec")
    package.__version__ = "9.9.9"
    package.streams = []
    package.BackendKind = SimpleNamespace(HW_GPU_ONLY="hw", GPU_ONLY="gpu", HYBRID_CPU_GPU="hybrid")
    package.ColorSpec = SimpleNamespace(UNCHANGED="unchanged")
    package.Backend = lambda kind: kind

    class DecodeParams:
        def __init__(self, *, allow_any_depth, color_spec):
            assert allow_any_depth is True and color_spec == "unchanged"

    class Image:
        def __init__(self, samples):
            self.samples = samples

        def cpu(self):
            return self.samples

    class Decoder:
        def __init__(self, *, backends):
            assert backends == ["hw", "gpu", "hybrid"]

        def decode(self, stream, *, params):
            assert isinstance(params, DecodeParams)
            package.streams.append(stream)
            one = imagecodecs.jpeg2k_decode if stream[:2] == b"\xff\x4f" else imagecodecs.jpeg8_decode
            changed = change(one(stream))
            return None if changed is None else Image(changed[:, :, None])

    package.DecodeParams, package.Decoder = DecodeParams, Decoder
    return package


@pytest.fixture
def install(monkeypatch):
    """Puts a package, or none, and GPUs in place, and a decoder that has seen nothing."""

    def install(package, gpus=CARDS):
        parent = ModuleType("nvidia")
        if package is not None:
            parent.nvimgcodec = package
        monkeypatch.setitem(sys.modules, "nvidia", parent)
        monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", package)

        def list_gpus():
            if isinstance(gpus, Exception):
                raise gpus
            return gpus

        monkeypatch.setattr(cuda_driver, "list_gpus", list_gpus)
        monkeypatch.setattr(decode, "GPU_DECODER", gpu_decode.GpuDecoder())
        return package

    monkeypatch.delenv("LCX_GPU_DECODE", raising=False)
    return install


def read(syntax, image=None):
    image = files.breast() if image is None else image
    mammogram = read_dicom(files.make_file(image, syntax))
    assert np.array_equal(mammogram.pixels, image)
    return mammogram.attributes.get("gpu_decoder", mammogram.attributes["decoder"])


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_gpu_decodes_where_package_and_card_are_there(install, syntax):
    package = install(fake_package())
    assert [read(syntax) for _ in range(3)] == ["nvimgcodec 9.9.9"] * 3
    assert len(package.streams) == 3


@pytest.mark.parametrize("syntax", (files.JPEG_LS, files.RLE, files.HTJ2K_LOSSLESS, files.EXPLICIT))
def test_other_syntaxes_are_not_its_business(install, syntax):
    package = install(fake_package())
    assert "nvimgcodec" not in read(syntax)
    assert package.streams == []


def test_the_cpu_decodes_without_the_package_and_says_nothing(install):
    install(None)
    assert read(SYNTAXES[0]).endswith("jpeg-lossless")


@pytest.mark.parametrize(
    ("gpus", "says"),
    [((), "no GPU"), (DeviceError("the driver is gone"), "the driver is gone")],
)
def test_the_cpu_decodes_without_a_card_and_says_why(install, gpus, says):
    package = install(fake_package(), gpus)
    for syntax in SYNTAXES:
        assert read(syntax) == says
    assert package.streams == []


def test_it_can_be_turned_off(install, monkeypatch):
    package = install(fake_package())
    monkeypatch.setenv("LCX_GPU_DECODE", "0")
    assert read(SYNTAXES[0]) == "LCX_GPU_DECODE=0"
    assert package.streams == []


def off_by_one(samples):
    samples = samples.copy()
    samples[-1, -1] ^= 1
    return samples


@pytest.mark.parametrize("change", [off_by_one, lambda samples: samples.astype(np.int32), lambda samples: samples.T])
def test_one_wrong_sample_and_it_is_not_asked_again(install, change):
    package = install(fake_package(change))
    for _ in range(3):
        assert read(SYNTAXES[1]) == "other samples than the CPU's decoder"
    assert len(package.streams) == 1
    read(SYNTAXES[0])  # the other syntax has its own chance
    assert len(package.streams) == 2


def test_what_it_refuses_goes_to_the_cpu(install):
    def refuse(samples):
        raise RuntimeError("unsupported\nprecision")

    install(fake_package(refuse))
    assert read(SYNTAXES[0]) == "refused: unsupported precision"
    install(fake_package(lambda samples: None))
    assert read(SYNTAXES[0]) == "refused: it decoded nothing"


def test_a_package_that_cannot_start(install):
    package = fake_package()

    def broken(**_):
        raise OSError("libnvjpeg.so.13: cannot open")

    package.Decoder = broken
    install(package)
    assert read(SYNTAXES[0]) == "cannot start: libnvjpeg.so.13: cannot open"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_truncated_streams_are_refused_as_ever(install, syntax):
    package = install(fake_package())
    read(syntax)
    image = files.breast()
    stream = files.compress(image, syntax)
    for cut in (2, len(stream) // 2):
        data = files.encode_file(files.header(image), files.encapsulate([stream[:-cut]]), syntax)
        with pytest.raises(DicomError):
            read_dicom(data)
    assert len(package.streams) == 1


def test_many_threads(install):
    install(fake_package())
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, [SYNTAXES[0], SYNTAXES[1]] * 8)) == {"nvimgcodec 9.9.9"}
