"""Tiny training samples and settings: a run of seconds on one core."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from training.config import Config, read_config
from training.prepare import Sample
from training.self_training import SelfTraining

CONFIG = Path(__file__).parent.parent / "training" / "configs" / "cdd_cesm.toml"


def tiny_config() -> Config:
    """The shipped settings, cut down to seconds."""
    full = read_config(CONFIG)
    train = dataclasses.replace(full.train, epochs=3, steps_per_epoch=2, batch_size=2, warmup_steps=1, validate_every=3)
    augment = dataclasses.replace(full.augment, crop=(64, 32))
    network = dataclasses.replace(full.network, decoder_width=8)
    # Stage S3 from the second epoch on, with lesions looked for inside the outlines.
    s3 = SelfTraining(
        self_training_from=0.3,
        self_training_inside=0.0,
        self_training_strict=0.25,
        self_training_class=0.5,
        evidence_network=0.5,
        evidence_contrast=1.0,
        evidence_depth=1.5,
    )
    loss = dataclasses.replace(full.loss, self_training=s3)
    return dataclasses.replace(full, train=train, augment=augment, network=network, loss=loss)


def make_sample(name: str, pathology: str, split: str) -> Sample:
    """A noisy breast of 60 x 30 pixels with one square lesion, none if normal."""
    random = np.random.default_rng(sum(map(ord, name)))
    breast = np.zeros((70, 40), bool)
    breast[5:65, :30] = True
    labels = np.zeros((70, 40), np.int16)
    if pathology != "normal":
        labels[20:40, 8:24] = 1
    return Sample(
        name=name,
        patient=name,
        pathology=pathology,
        split=split,
        folder="native",
        annotated=True,
        calcification_only=False,
        resampled=True,
        image=np.where(breast, random.random((70, 40)), 0).astype(np.float32),
        breast=breast,
        labels=labels,
    )


def make_samples() -> list[Sample]:
    """One of each pathology in both splits."""
    kinds = ("malignant", "benign", "normal")
    return [make_sample(f"{split}-{kind}", kind, split) for split in ("train", "val") for kind in kinds]
