"""Every term of the loss against a slow NumPy formula, and its gradient against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import losses  # noqa: E402
from training.annotation import zones  # noqa: E402
from training.pooling import image_logit, log_sum_exp_pool, top_mean_pool  # noqa: E402


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(0.0, 2.0, (9, 11))).requires_grad_()


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((9, 11)) < 0.5)


@pytest.fixture
def lesions() -> tuple[torch.Tensor, ...]:
    first, second = torch.zeros(9, 11, dtype=torch.bool), torch.zeros(9, 11, dtype=torch.bool)
    first[1:5, 2:6] = True
    second[6:9, 7:] = True
    return first, second


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def test_outside_loss(logits: torch.Tensor, mask: torch.Tensor) -> None:
    expected = np.mean([-math.log(1.0 - p) for p in sigmoid(array(logits)[array(mask)])])
    assert losses.outside_loss(logits, mask).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.outside_loss(z, mask), logits)


def test_hard_outside_loss(logits: torch.Tensor, mask: torch.Tensor) -> None:
    costs = sorted((-math.log(1.0 - p) for p in sigmoid(array(logits)[array(mask)])), reverse=True)
    count = math.ceil(0.1 * len(costs))
    expected = sum(costs[:count]) / count
    assert losses.hard_outside_loss(logits, mask, fraction=0.1).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.hard_outside_loss(z, mask, fraction=0.1), logits)


def test_inside_bag_loss(logits: torch.Tensor, lesions: tuple[torch.Tensor, ...]) -> None:
    expected = []
    for lesion in lesions:
        p = np.sort(sigmoid(array(logits)[array(lesion)]))[::-1]
        expected.append(np.mean(-np.log(p[: math.ceil(0.4 * p.size)])))
    assert losses.inside_bag_loss(logits, lesions, top_fraction=0.4).item() == pytest.approx(np.mean(expected))
    assert torch.autograd.gradcheck(lambda z: losses.inside_bag_loss(z, lesions, top_fraction=0.4), logits)


@pytest.mark.parametrize(("floor", "ceiling"), [(0.4, 0.85), (0.9, 0.95), (0.05, 0.1)])
def test_size_loss(logits: torch.Tensor, lesions: tuple[torch.Tensor, ...], floor: float, ceiling: float) -> None:
    means = [sigmoid(array(logits)[array(lesion)]).mean() for lesion in lesions]
    expected = np.mean([max(0.0, floor - m) ** 2 + max(0.0, m - ceiling) ** 2 for m in means])
    assert losses.size_loss(logits, lesions, floor=floor, ceiling=ceiling).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: losses.size_loss(z, lesions, floor=floor, ceiling=ceiling), logits)


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_pairwise_loss(logits: torch.Tensor, mask: torch.Tensor, distance: int) -> None:
    image = torch.from_numpy(np.random.default_rng(3).random((9, 11)) * 0.3)
    p, grey, inside = sigmoid(array(logits)), array(image), array(mask)
    costs = []
    for y, x in np.ndindex(inside.shape):
        for dy in (-distance, 0, distance):
            for dx in (-distance, 0, distance):
                v, u = y + dy, x + dx
                if (dy, dx) == (0, 0) or not (0 <= v < inside.shape[0] and 0 <= u < inside.shape[1]):
                    continue
                alike = math.exp(-abs(grey[y, x] - grey[v, u]) / 0.1) > 0.45
                if inside[y, x] and inside[v, u] and alike:
                    costs.append(-math.log(p[y, x] * p[v, u] + (1 - p[y, x]) * (1 - p[v, u])))
    found = losses.pairwise_loss(logits, image, mask, distance=distance)
    assert found.item() == pytest.approx(np.mean(costs))
    assert torch.autograd.gradcheck(lambda z: losses.pairwise_loss(z, image, mask, distance=distance), logits)


def test_sharpness_loss(logits: torch.Tensor, mask: torch.Tensor) -> None:
    p = sigmoid(array(logits)[array(mask)])
    assert losses.sharpness_loss(logits, mask).item() == pytest.approx(np.mean(4 * p * (1 - p)))
    assert torch.autograd.gradcheck(lambda z: losses.sharpness_loss(z, mask), logits)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_classification_loss(target: float) -> None:
    score = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    p = 1 / (1 + math.exp(-0.7))
    expected = -(target * math.log(p) + (1 - target) * math.log(1 - p))
    assert losses.classification_loss(score, target).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda s: losses.classification_loss(s, target), score)


def test_empty_zones_cost_nothing_and_have_a_gradient(logits: torch.Tensor) -> None:
    nothing = torch.zeros(9, 11, dtype=torch.bool)
    image = torch.zeros(9, 11, dtype=torch.float64)
    total = (
        losses.outside_loss(logits, nothing)
        + losses.hard_outside_loss(logits, nothing)
        + losses.inside_bag_loss(logits, (), top_fraction=0.4)
        + losses.size_loss(logits, (), floor=0.4, ceiling=0.85)
        + losses.pairwise_loss(logits, image, nothing)
        + losses.sharpness_loss(logits, nothing)
    )
    total.backward()
    assert total.item() == 0.0
    assert logits.grad is not None and not logits.grad.any()


def test_pairwise_loss_of_a_single_pixel_is_zero(logits: torch.Tensor) -> None:
    one = torch.zeros(9, 11, dtype=torch.bool)
    one[4, 4] = True
    assert losses.pairwise_loss(logits, torch.zeros(9, 11), one).item() == 0.0


def test_pooling_against_numpy() -> None:
    z = torch.from_numpy(np.random.default_rng(4).normal(0, 3, 500)).requires_grad_()
    weights = torch.tensor([0.3, -0.4, 0.2], dtype=torch.float64)
    lse = math.log(np.mean(np.exp(4.0 * array(z)))) / 4.0
    top = np.sort(array(z))[::-1][:2].mean()
    assert log_sum_exp_pool(z, r=4.0).item() == pytest.approx(lse)
    assert top_mean_pool(z, fraction=0.003).item() == pytest.approx(top)
    expected = math.log1p(math.exp(0.3)) * lse + math.log1p(math.exp(-0.4)) * top + 0.2
    assert image_logit(z, weights).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: image_logit(x, weights), z)


def test_log_sum_exp_survives_large_logits() -> None:
    assert log_sum_exp_pool(torch.tensor([500.0, 500.0]), r=4.0).item() == pytest.approx(500.0)


def test_zones_partition_the_breast() -> None:
    labels = torch.zeros(30, 40, dtype=torch.int64)
    labels[10:15, 10:15] = 1
    labels[20:24, 30:34] = 3
    labels[2:4, 2:20] = -1
    breast = torch.ones(30, 40, dtype=torch.bool)
    breast[:, :12] = False
    found = zones(labels, breast, ring_px=2.0)
    assert len(found.lesions) == 2
    assert torch.equal(found.inside, (labels > 0) & breast)
    distance = np.full((30, 40), np.inf)
    for y, x in np.argwhere(labels.numpy() != 0):
        ys, xs = np.indices((30, 40))
        distance = np.minimum(distance, np.hypot(ys - y, xs - x))
    near = torch.from_numpy(distance <= 2.0)
    assert torch.equal(found.ring, near & (labels == 0) & breast)
    assert torch.equal(found.outside, ~near & breast)
