"""Every loss of the baselines and ablations against a slow formula, and its gradient against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import baseline_losses as losses  # noqa: E402
from training.pooling import generalised_mean_logit, generalised_mean_pool  # noqa: E402


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(11).normal(0.0, 2.0, 60)).requires_grad_()


@pytest.fixture
def target() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(12).random(60) < 0.3)


def probabilities(logits: torch.Tensor) -> list[float]:
    return [1.0 / (1.0 + math.exp(-z)) for z in logits.detach().flatten().tolist()]


def test_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> None:
    pairs = zip(probabilities(logits), target.tolist(), strict=True)
    expected = np.mean([-math.log(p if y else 1.0 - p) for p, y in pairs])
    assert losses.cross_entropy_loss(logits, target).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.cross_entropy_loss(z, target), logits)


def test_dice(logits: torch.Tensor, target: torch.Tensor) -> None:
    p, y = probabilities(logits), [float(v) for v in target.tolist()]
    both = sum(a * b for a, b in zip(p, y, strict=True))
    expected = 1.0 - (2.0 * both + 1.0) / (sum(p) + sum(y) + 1.0)
    assert losses.dice_loss(logits, target).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.dice_loss(z, target), logits)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalised_cross_entropy(logits: torch.Tensor, target: torch.Tensor, q: float) -> None:
    pairs = zip(probabilities(logits), target.tolist(), strict=True)
    expected = np.mean([(1.0 - (p if y else 1.0 - p) ** q) / q for p, y in pairs])
    assert losses.generalised_cross_entropy_loss(logits, target, q=q).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.generalised_cross_entropy_loss(z, target, q=q), logits)


def test_generalised_cross_entropy_tends_to_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> None:
    nearly = losses.generalised_cross_entropy_loss(logits, target, q=1e-6)
    assert nearly.item() == pytest.approx(losses.cross_entropy_loss(logits, target).item(), rel=1e-4)


def test_projection() -> None:
    rng = np.random.default_rng(13)
    logits = torch.from_numpy(rng.normal(0.0, 2.0, (7, 9))).requires_grad_()
    boxes = torch.zeros(7, 9, dtype=torch.bool)
    boxes[2:5, 3:7] = True
    p, b = np.array(probabilities(logits)).reshape(7, 9), boxes.numpy()
    expected = 0.0
    for lines in ([(p[y], b[y]) for y in range(7)], [(p[:, x], b[:, x]) for x in range(9)]):
        u, v = [max(line) for line, _ in lines], [float(any(line)) for _, line in lines]
        expected += 1.0 - 2.0 * sum(i * j for i, j in zip(u, v, strict=True)) / (
            sum(i * i for i in u) + sum(j * j for j in v)
        )
    assert losses.projection_loss(logits, boxes).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.projection_loss(z, boxes), logits)


def test_projection_is_zero_on_the_box_itself() -> None:
    boxes = torch.zeros(8, 8, dtype=torch.bool)
    boxes[1:4, 2:7] = True
    logits = torch.where(boxes, 60.0, -60.0)
    assert losses.projection_loss(logits, boxes).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("value", [-2.0, -0.3, -0.04, -0.0399, 0.0, 0.6])
def test_log_barrier(value: float) -> None:
    t = 5.0
    expected = -math.log(-value) / t if value <= -1 / t**2 else t * value - math.log(1 / t**2) / t + 1 / t
    v = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    assert losses.log_barrier(v, sharpness=t).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: losses.log_barrier(x, sharpness=t), v)


def test_log_barrier_joins_smoothly() -> None:
    t = 7.0
    below, above = (torch.tensor(-1 / t**2 + d, dtype=torch.float64, requires_grad=True) for d in (-1e-9, 1e-9))
    first, second = losses.log_barrier(below, sharpness=t), losses.log_barrier(above, sharpness=t)
    assert first.item() == pytest.approx(second.item(), abs=1e-7)
    slopes = [torch.autograd.grad(value, v)[0].item() for value, v in ((first, below), (second, above))]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6) and slopes[1] == pytest.approx(t)


def test_outside_barrier() -> None:
    logits = torch.from_numpy(np.random.default_rng(14).normal(-2.0, 1.0, (5, 6))).requires_grad_()
    outside = torch.from_numpy(np.random.default_rng(15).random((5, 6)) < 0.6)
    mean = np.array(probabilities(logits)).reshape(5, 6)[outside.numpy()].mean()
    expected = losses.log_barrier(torch.tensor(mean - 0.3), sharpness=4.0).item()
    found = losses.outside_barrier_loss(logits, outside, sharpness=4.0, allowance=0.3)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert torch.autograd.gradcheck(lambda z: losses.outside_barrier_loss(z, outside, sharpness=4.0), logits)


def test_box_mask() -> None:
    mask = torch.zeros(6, 7, dtype=torch.bool)
    mask[1, 4] = mask[3, 2] = True
    expected = torch.zeros(6, 7, dtype=torch.bool)
    expected[1:4, 2:5] = True
    assert torch.equal(losses.box_mask(mask), expected)
    assert not losses.box_mask(torch.zeros(6, 7, dtype=torch.bool)).any()


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_generalised_mean(logits: torch.Tensor, power: float) -> None:
    mean = np.mean([p**power for p in probabilities(logits)]) ** (1.0 / power)
    assert generalised_mean_pool(logits, power=power).item() == pytest.approx(math.log(mean / (1.0 - mean)))
    assert torch.autograd.gradcheck(lambda z: generalised_mean_pool(z, power=power), logits)


def test_generalised_mean_logit(logits: torch.Tensor) -> None:
    weights = torch.tensor([0.3, -0.4, 0.2], dtype=torch.float64)
    gem = generalised_mean_pool(logits, power=4.0).item()
    top = sorted(logits.tolist())[-2:]
    expected = math.log1p(math.exp(0.3)) * gem + math.log1p(math.exp(-0.4)) * np.mean(top) + 0.2
    found = generalised_mean_logit(logits, weights, top_fraction=2 / 60)
    assert found.item() == pytest.approx(expected)


def test_extreme_logits_stay_finite() -> None:
    z = torch.tensor([-800.0, 800.0, 0.0], requires_grad=True)
    y = torch.tensor([True, False, True])
    total = (
        losses.cross_entropy_loss(z, y)
        + losses.dice_loss(z, y)
        + losses.generalised_cross_entropy_loss(z, y)
        + generalised_mean_pool(z, power=4.0)
        + losses.outside_barrier_loss(z, ~y, sharpness=50.0)
    )
    total.backward()
    assert torch.isfinite(total) and z.grad is not None and bool(torch.isfinite(z.grad).all())


def test_empty_zones_cost_nothing_and_have_a_gradient() -> None:
    z = torch.zeros(4, 5, requires_grad=True)
    nothing = torch.zeros(4, 5, dtype=torch.bool)
    total = (
        losses.cross_entropy_loss(z[nothing], nothing[nothing])
        + losses.generalised_cross_entropy_loss(z[nothing], nothing[nothing])
        + losses.projection_loss(z, nothing)
        + losses.outside_barrier_loss(z, nothing, sharpness=5.0)
    )
    total.backward()
    assert total.item() == 0.0 and z.grad is not None and not z.grad.any()
