"""The phantom: reproducible, of the promised statistics, its lesions where its masks say; and its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from lcx_fast.images import read_mammogram
from training.datasets.detect import detect, open_dataset
from training.datasets.phantom import PhantomSettings, power_law_noise, render
from training.datasets.phantom_set import INDEX, PhantomPlan, PhantomSet, write_phantom
from training.datasets.record import DatasetError
from training.datasets.splits import check_disjoint, split_by_hash

SMALL = PhantomSettings(height=480, width=360, spacing_mm=0.5)
KINDS = ("smooth_mass", "spiculated_mass", "benign_calcifications", "malignant_calcifications")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_lesion_is_bright_inside_its_mask(kind: str, laterality: str) -> None:
    args = {"seed": (3, 1), "view": "MLO", "laterality": laterality, "settings": SMALL}
    plain, drawn = render([], **args), render([kind], **args)
    assert len(drawn.lesions) == 1
    assert (drawn.labels == 1).sum() == drawn.lesions[0].mask.sum()
    assert drawn.breast[drawn.labels == 1].all()
    inside = drawn.pixels[drawn.labels == 1].astype(float).mean() - plain.pixels[drawn.labels == 1].mean()
    assert inside > 40
    # The noise differs from image to image; beyond 4 mm the tissue does not.
    from scipy import ndimage

    far = plain.breast & (ndimage.distance_transform_edt(drawn.labels == 0) > 8)
    assert abs(drawn.pixels[far].astype(float).mean() - plain.pixels[far].mean()) < 2


def test_breast_lies_on_its_side_and_background_is_zero() -> None:
    left = render([], seed=(1,), view="CC", laterality="L", settings=SMALL)
    right = render([], seed=(1,), view="CC", laterality="R", settings=SMALL)
    assert left.breast[:, 0].any()
    assert not left.breast[:, -1].any()
    np.testing.assert_array_equal(left.pixels, right.pixels[:, ::-1])
    assert not left.pixels[~left.breast].any()
    assert left.pixels[left.breast].min() >= 1


def test_same_seed_same_image_and_another_seed_another() -> None:
    first, again, other = (
        render(["spiculated_mass"], seed=(s,), view="MLO", laterality="L", settings=SMALL) for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_texture_has_a_cubic_power_spectrum() -> None:
    power = 0.0
    for seed in range(6):
        noise = power_law_noise((256, 256), 0.5, np.random.default_rng(seed))
        power = power + np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256, 0.5)[:, None], np.fft.rfftfreq(256, 0.5)[None])
    band = (frequency > 0.03) & (frequency < 0.8)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert slope == pytest.approx(-3.0, abs=0.1)


def test_spiculated_mass_is_one_region_and_less_round_than_a_smooth_one() -> None:
    from scipy import ndimage

    roundness = {}
    for kind in ("smooth_mass", "spiculated_mass"):
        drawn = render([kind], seed=(2,), view="CC", laterality="L", settings=PhantomSettings())
        mask = drawn.labels == 1
        assert ndimage.label(mask, structure=np.ones((3, 3)))[1] == 1
        widest = 2 * float(ndimage.distance_transform_edt(mask).max())
        roundness[kind] = widest / (2 * np.sqrt(mask.sum() / np.pi))
    assert roundness["spiculated_mass"] < roundness["smooth_mass"]


@pytest.mark.parametrize("file_format", ["dicom", "npy"])
def test_written_set_reads_back(tmp_path: Path, file_format: str) -> None:
    plan = PhantomPlan(patients=4, seed=1, normal=0.25, file_format=file_format, settings=SMALL)
    seen: list[tuple[int, int]] = []
    assert write_phantom(tmp_path, plan, progress=lambda done, total: seen.append((done, total))) == 8
    assert seen[-1] == (8, 8)
    exact, loose = PhantomSet(tmp_path), PhantomSet(tmp_path, outlines="loose")
    check_disjoint(exact)
    found = 0
    for (record, mammogram, masks), (_, _, wide) in zip(exact.read_all(), loose.read_all(), strict=True):
        assert mammogram.pixels.dtype == np.uint16
        assert mammogram.spacing.row_mm == pytest.approx(0.5)
        assert (mammogram.laterality, mammogram.view_position) == (record.laterality, record.view)
        assert not mammogram.warnings
        assert len(masks) == len(wide) == len(record.outlines)
        for (lesion, mask), (_, outline) in zip(masks, wide, strict=True):
            found += 1
            assert mammogram.pixels[mask].min() > 0
            assert (mask & outline).sum() > 0.7 * mask.sum()
            assert outline.sum() < 4.4 * mask.sum()
            assert lesion in ("mass", "calcification")
    assert found >= 2
    assert not exact.skipped
    assert not loose.skipped


def test_same_plan_writes_the_same_bytes(tmp_path: Path) -> None:
    plan = PhantomPlan(patients=1, seed=9, normal=0.0, settings=SMALL)
    for folder in ("a", "b"):
        write_phantom(tmp_path / folder, plan)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_missing_files_are_skipped_with_a_reason(tmp_path: Path) -> None:
    write_phantom(tmp_path, PhantomPlan(patients=3, seed=2, normal=0.0, settings=SMALL))
    images, masks = sorted((tmp_path / "images").iterdir()), sorted((tmp_path / "masks").iterdir())
    images[0].unlink()
    masks[-1].unlink()
    found = PhantomSet(tmp_path)
    assert len(found) == 5
    assert len(list(found.read_all())) == 4
    reasons = " ".join(reason for _, reason in found.skipped)
    assert "missing image" in reasons
    assert "missing mask" in reasons


def test_a_small_set_has_a_lesion_to_validate_and_to_test_on(tmp_path: Path) -> None:
    tiny = PhantomSettings(height=120, width=90, spacing_mm=2.0)
    for patients in (1, 2, 3, 12):
        plan = PhantomPlan(patients=patients, seed=1, normal=0.0, file_format="npy", settings=tiny)
        write_phantom(tmp_path / str(patients), plan)
        found = PhantomSet(tmp_path / str(patients))
        check_disjoint(found)
        wanted = ("train", "val", "test")[:patients]
        assert {record.split for record in found if record.outlines} == set(wanted)
        moved = [r.patient for r in found if r.split != split_by_hash(r.patient)]
        assert len(set(moved)) <= 2
    # A set that was written without them goes by the hash; a split that is none is skipped.
    index = json.loads((tmp_path / "3" / INDEX).read_text())
    assert {entry.pop("split") for entry in index["images"]} == {"train", "val", "test"}
    index["images"][0]["split"] = "validation"
    (tmp_path / "3" / INDEX).write_text(json.dumps(index))
    found = PhantomSet(tmp_path / "3")
    assert all(record.split == split_by_hash(record.patient) for record in found)
    assert [reason for _, reason in found.skipped] == ["split 'validation'; known: train, val, test"]


def test_the_loose_outlines_are_a_set_of_their_own(tmp_path: Path) -> None:
    write_phantom(tmp_path, PhantomPlan(patients=2, seed=2, normal=0.0, file_format="npy", settings=SMALL))
    assert detect(tmp_path) == "phantom"
    exact, loose = open_dataset(tmp_path), open_dataset(tmp_path, format_name="phantom-loose")
    assert (exact.name, loose.name) == ("phantom", "phantom-loose")
    areas = [[int(mask.sum()) for _, _, masks in found.read_all() for _, mask in masks] for found in (exact, loose)]
    assert len(areas[0]) == len(areas[1]) >= 2
    assert all(wide > area for area, wide in zip(*areas, strict=True))


def test_unknown_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"version": 99}))
    with pytest.raises(DatasetError, match="version 99"):
        PhantomSet(tmp_path)


def test_dicom_says_what_it_is(tmp_path: Path) -> None:
    write_phantom(tmp_path, PhantomPlan(patients=1, seed=4, settings=SMALL))
    mammogram = read_mammogram(next((tmp_path / "images").glob("*.dcm")))
    assert mammogram.attributes["manufacturer"] == "lcx_fast phantom"
    assert mammogram.attributes["bits_stored"] == "12"
