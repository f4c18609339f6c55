"""The exported file: a plain graph, the same function in every engine, its metadata, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")

from training_samples import tiny_config  # noqa: E402

from lcx_fast.model import model_path, read_model_spec  # noqa: E402
from training import export, parity  # noqa: E402
from training.config import Config  # noqa: E402
from training.network import LesionNetwork  # noqa: E402
from training.onnx_graph import build_model, fold_batch_norms, read_network, round_weights  # noqa: E402

THRESHOLDS = {"low": 0.4, "high": 0.6, "min_area_mm2": 25.0}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config() -> Config:
    return tiny_config()


def lived_in(seed: int = 0) -> LesionNetwork:
    """A network whose batch norms have statistics and weights of their own, and whose maps are not flat."""
    torch.manual_seed(seed)
    network = LesionNetwork(decoder_width=8)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, 0.2)
            torch.nn.init.normal_(module.bias, 0.0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    torch.nn.init.normal_(network.decoder.head.weight, std=1.0)
    return network.eval()


def test_folding_keeps_the_function() -> None:
    network = lived_in()
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    image = torch.rand(2, 1, 64, 96) * 4
    with torch.no_grad():
        expected, found = network(image), folded(image)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_export_keeps_the_function_and_the_metadata(tmp_path: Path, config: Config) -> None:
    network = lived_in()
    path = tmp_path / "tiny.onnx"
    metadata = export.make_metadata(network, config, name="tiny", thresholds=THRESHOLDS, epoch=3)
    metadata["tile_shape"] = [64, 96]
    assert export.export_onnx(network, path, metadata=metadata, tile_shape=(64, 96)) < 1e-4
    assert export.read_metadata(path) == json.loads(json.dumps(metadata))
    assert metadata["image_score"]["a1"] == pytest.approx(0.5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.onnx"]
    spec = read_model_spec(path)
    assert (spec.name, spec.tile_shape, spec.thresholds.low) == ("tiny", (64, 96), 0.4)

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,), (output,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape) == ("image", [1, 1, 64, 96])
    assert (output.name, output.shape) == ("probabilities", [1, 2, 64, 96])


def test_the_graph_is_plain() -> None:
    document = build_model(lived_in(), tile_shape=(64, 64))
    assert {node.op_type for node in document.graph.node} == {"Conv", "Clip", "Add", "Resize", "Sigmoid"}
    assert not document.functions and [o.version for o in document.opset_import] == [17]
    assert all(not tensor.external_data for tensor in document.graph.initializer)
    used = {name for node in document.graph.node for name in node.input}
    assert {tensor.name for tensor in document.graph.initializer} <= used
    # Nothing of the machine it was made on.
    assert not any(node.doc_string or node.metadata_props for node in document.graph.node)


def significant_bits(values: np.ndarray) -> int:
    """The most that any of the values has."""
    whole = np.abs(np.ldexp(np.frexp(values.astype(np.float64))[0], 53)).astype(np.int64)
    whole = whole[whole > 0]
    return 53 - int(np.log2(whole & -whole).min())


@pytest.mark.parametrize("bits", [11, 9, 5])
def test_weights_are_rounded_to_their_bits_and_biases_are_not(bits: int) -> None:
    network = lived_in()
    folded, rounded = fold_batch_norms(network), round_weights(network, bits=bits)
    pairs = zip(folded.named_parameters(), rounded.named_parameters(), strict=True)
    for (name, exact), (_, found) in pairs:
        if name.endswith("weight"):
            assert significant_bits(found.detach().numpy()) <= bits
            assert (
                found.detach().numpy().astype(np.float16).astype(np.float32).tobytes()
                == found.detach().numpy().tobytes()
            )
            # Half a step of the last bit; below 2^-14 float16 has fewer of them.
            assert ((exact - found).abs() <= exact.abs() * 2.0**-bits + 2.0**-25).all()
        else:
            assert torch.equal(exact, found)
    again = round_weights(rounded, bits=bits)
    assert all(torch.equal(a, b) for a, b in zip(rounded.parameters(), again.parameters(), strict=True))


def test_weights_that_cannot_be_stored_are_refused() -> None:
    network = lived_in()
    with pytest.raises(ValueError, match="12 significant bits; accepted: 1 to 11"):
        round_weights(network, bits=12)
    with torch.no_grad():
        network.decoder.head.weight.fill_(1e5)
    with pytest.raises(ValueError, match=r"decoder\.head: weights up to 1e\+05, beyond float16"):
        round_weights(network)


def test_a_file_holds_rounded_weights_in_half_precision(tmp_path: Path, config: Config) -> None:
    network, path = lived_in(), tmp_path / "tiny.onnx"
    metadata = export.make_metadata(network, config, name="tiny", thresholds=THRESHOLDS)
    assert export.export_onnx(network, path, metadata=metadata, tile_shape=(64, 64)) < 1e-5
    tensors = onnx.load(str(path)).graph.initializer
    halves = [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) == sum(len(tensor.dims) == 4 for tensor in tensors) > 30
    assert all(tensor.data_type == onnx.TensorProto.FLOAT for tensor in tensors if len(tensor.dims) < 4)
    # What is compared with torch is the rounded network, and it is another one than the unrounded.
    assert parity.largest_difference(network, path, (64, 64)) > 1e-4


def test_a_model_file_is_written_anew_without_what_was_measured(tmp_path: Path, config: Config) -> None:
    network, old, new = lived_in(), tmp_path / "old.onnx", tmp_path / "new.onnx"
    with torch.no_grad():
        network.pooling.normal_()
    metadata = export.make_metadata(network, config, name="old", thresholds=THRESHOLDS, epoch=3) | {
        "tile_shape": [64, 96]
    }
    measured = {"calibration": {}, "operating_points": {}, "int8": {"convolutions": [], "ranges": {}}}
    export.save_with_metadata(
        build_model(network, tile_shape=(64, 96)),
        metadata | measured | {"metrics": {"epoch": 3, "validation": {}}},
        old,
    )
    assert export.main(["--model", str(old), "--output", str(new)]) == 0
    assert export.read_metadata(new) == json.loads(json.dumps(metadata | {"name": "new"}))
    assert new.stat().st_size < 0.7 * old.stat().st_size
    assert export.main(["--model", str(old), "--run", "runs/x", "--output", str(new)]) == 2
    assert export.main(["--model", str(old)]) == 2
    assert export.main(["--model", str(old), "--output", str(new.with_suffix(".txt"))]) == 2


def test_a_file_gives_its_network_back(tmp_path: Path, config: Config) -> None:
    network = lived_in()
    with torch.no_grad():
        network.pooling.normal_()
    metadata = export.make_metadata(network, config, name="tiny", thresholds=THRESHOLDS)
    export.export_onnx(network, tmp_path / "a.onnx", metadata=metadata, tile_shape=(64, 64))
    again = read_network(tmp_path / "a.onnx", pooling=metadata["image_score"])
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(image), round_weights(network)(image))
    torch.testing.assert_close(again.pooling[1], network.pooling[1])
    # And it is written as the same graph once more.
    first = build_model(round_weights(network), tile_shape=(64, 64))
    second = build_model(again, tile_shape=(64, 64))
    assert first.SerializeToString() == second.SerializeToString()


def test_another_graph_is_no_network_of_ours(tmp_path: Path) -> None:
    from models import write_brightness_model

    with pytest.raises(ValueError, match="not a graph of training"):
        read_network(write_brightness_model(tmp_path / "m.onnx"))


def test_a_file_over_the_limit_is_refused_and_removed(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="limit 1000"):
        export.export_onnx(LesionNetwork(decoder_width=8), tmp_path / "a.onnx", metadata={}, tile_shape=(32, 32))
    assert not list(tmp_path.iterdir())


def test_the_tile_covers_the_same_breast_at_any_spacing() -> None:
    assert export.tile_shape_at(0.5) == (512, 512)
    assert export.tile_shape_at(0.25) == (1024, 1024)
    assert export.tile_shape_at(0.3)[0] % 32 == 0


def test_every_engine_here_agrees_with_torch_on_the_bundled_model() -> None:
    path = model_path(None)
    samples = parity.phantom_samples(count=4, spacing_mm=0.5)
    rows, missing = parity.compare_engines(path, samples)
    exact = {row.engine: row for row in rows if row.precision == "fp32"}
    assert set(exact) == {"onnxruntime", "openvino"}, missing
    for row in exact.values():
        assert row.score < 1e-3 and row.mask_iou > 0.99, row
    # The comparison can fail: half precision is not torch to the last bit.
    assert all(row.probability > 0 for row in rows)


def test_mask_iou_counts_all_pixels_together() -> None:
    def prediction(mask: list[int]) -> object:
        maps = np.array([[mask], [mask]], np.float32)
        return parity.Prediction(None, maps, 0.0)  # type: ignore[arg-type]

    first, second = (
        [prediction([1, 1, 0, 0]), prediction([0, 0, 0, 0])],
        [prediction([1, 0, 0, 0]), prediction([0] * 4)],
    )
    assert parity.mask_iou(first, second) == 0.5  # type: ignore[arg-type]
    assert np.isnan(parity.mask_iou(first[1:], second[1:]))  # type: ignore[arg-type]


def test_where_no_mask_holds_a_pixel_every_pixel_must_agree() -> None:
    nothing = parity.Difference("a", "fp32", probability=1e-6, score=1e-6, mask_iou=float("nan"))
    assert nothing.passes
    assert not parity.Difference("a", "fp32", probability=0.1, score=1e-6, mask_iou=float("nan")).passes
    assert not parity.Difference("a", "fp32", probability=1e-6, score=1e-6, mask_iou=0.98).passes


def test_a_check_on_images_where_nothing_is_marked_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(row: parity.Difference) -> tuple[int, str]:
        monkeypatch.setattr(export, "compare_engines", lambda path, samples: ([row], []))
        return export.main(["--check", str(model_path(None)), "--images", "1"]), capsys.readouterr().out

    row = parity.Difference("openvino", "fp32", probability=1e-6, score=1e-6, mask_iou=float("nan"))
    status, told = compared(row)
    assert status == 0 and "masks not compared: no pixel is above 0.5" in told and "nan" not in told
    status, told = compared(replace(row, probability=0.1))
    assert status == 1 and "TOO FAR" in told
    status, told = compared(replace(row, mask_iou=0.999))
    assert status == 0 and "masks not compared" not in told


def test_the_check_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert export.main(["--check", str(model_path(None)), "--images", "2"]) == 0
    told = capsys.readouterr().out
    assert "onnxruntime  fp32" in told and "openvino     fp32" in told and "as close as it must be" in told
    monkeypatch.setattr(parity, "MAX_SCORE_DIFFERENCE", 0.0)
    assert export.main(["--check", str(model_path(None)), "--images", "2"]) == 1
    assert "TOO FAR" in capsys.readouterr().out
    assert export.main(["--check", "nowhere.onnx"]) == 2
    assert export.main([]) == 2
