"""The breast mask in plain NumPy: the specification that the compiled operation equals bit for bit.

The image is quantised once; everything after that is integer arithmetic. The essay on why it works is in
csrc/ops/breast_mask/breast_mask_cpu.cpp; the constants are explained there and carry the same names.
"""

from __future__ import annotations

from collections import deque

import numpy as np

LEVELS = 1023
WHITE_PERCENTILE = 99
BLACK_LEVEL = 10
FRAME_FALL = 256
FLAT_RANGE = 16
MODE_HALF_WINDOW = 8
SKIN_STEP = 15
SPREADS_ABOVE = 6
LEAK_LEVEL = 256


def breast_mask(image):
    """uint8 [h, w], 1 = breast, of float [h, w], brighter = denser. Empty where the image is constant."""
    image = np.asarray(image, np.float32)
    mask = np.zeros(image.shape, np.uint8)
    levels = quantise(image)
    y0, y1, x0, x1 = content_rectangle(levels)
    if y0 < y1 and x0 < x1:
        mask[y0:y1, x0:x1] = mask_content(levels[y0:y1, x0:x1], radius=(max(image.shape) + 32) // 64)
    return mask


def quantise(image):
    """Grey levels, int64 0..LEVELS: 0 the darkest pixel and NaN, LEVELS the 99th percentile and above."""
    finite = image[np.isfinite(image)].astype(np.float64)
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros(image.shape, np.int64)
    low, high = finite.min(), finite.max()
    value = np.clip(np.where(np.isnan(image), low, image.astype(np.float64)), low, high)
    fine = np.floor((value - low) * (65535.0 / (high - low))).astype(np.int64)
    white = int(np.sort(fine, axis=None)[(fine.size - 1) * WHITE_PERCENTILE // 100])
    gain = (LEVELS << 16) // (white if white > 0 else 65535)
    return np.minimum(LEVELS, (fine * gain) >> 16)


# --- Frames around the film ---


def content_rectangle(levels):
    """Half-open (y0, y1, x0, x1) without black and white frames; empty if there is nothing but black."""
    rectangle = peel_black(levels, (0, levels.shape[0], 0, levels.shape[1]))
    return peel_black(levels, peel_white(levels, rectangle))


def peel_black(levels, rectangle):
    """Removes outer rows, then outer columns, that are black but for 2 % of their pixels."""
    y0, y1, x0, x1 = rectangle

    def is_black(line):
        return 50 * np.count_nonzero(line > BLACK_LEVEL) <= line.size

    while y0 < y1 and is_black(levels[y0, x0:x1]):
        y0 += 1
    while y0 < y1 and is_black(levels[y1 - 1, x0:x1]):
        y1 -= 1
    while x0 < x1 and is_black(levels[y0:y1, x0]):
        x0 += 1
    while x0 < x1 and is_black(levels[y0:y1, x1 - 1]):
        x1 -= 1
    return y0, y1, x0, x1


def peel_white(levels, rectangle):
    """Removes a bright band along each edge that ends in a sharp fall along a quarter of that edge."""
    y0, y1, x0, x1 = rectangle
    inside = levels[y0:y1, x0:x1]
    top, bottom = white_depth(inside), white_depth(inside[::-1])
    left, right = white_depth(inside.T), white_depth(inside.T[::-1])
    return y0 + top, y1 - bottom, x0 + left, x1 - right


def white_depth(lines):
    """How many of the first lines belong to a white frame."""
    count, length = lines.shape
    depth = 0
    for i in range(count // 12):  # 3 lines further in exist wherever this loop runs
        inner = lines[i + 3]
        falls = np.count_nonzero((lines[i] - inner >= FRAME_FALL) & (inner < FRAME_FALL))
        if 4 * falls >= length:
            depth = i + 2
    return depth


# --- Thresholds ---


def mask_content(levels, *, radius):
    """The mask of an image without frames. `radius` is that of letters' strokes, in pixels."""
    threshold = background_threshold(levels)
    if threshold is None:
        return np.ones(levels.shape, np.uint8)
    bright = levels > column_thresholds(levels, threshold)
    bright = fill_enclosed(close(bright, (radius + 1) // 2), radius)
    grown = keep_best(open_(bright, radius, outside=False))
    for step in range(2 * radius):
        grown = dilate_once(grown, step) & bright
    grown = open_(grown, radius // 4, outside=True)
    return fill_enclosed(close(grown, radius), radius).astype(np.uint8)


def background_threshold(levels):
    """The level above which a pixel is not background, or None if the image shows no background."""
    sums = box_sums(levels)
    flat = window_reduce(sums, np.max) - window_reduce(sums, np.min) <= 25 * FLAT_RANGE
    means = sums // 25
    best, centre = 0, 0
    for level in range(LEVELS // 2):
        count = np.count_nonzero(flat & (abs(means - level) <= MODE_HALF_WINDOW))
        if count > best:
            best, centre = count, level
    if best == 0:
        return None
    background = median(levels[flat & (abs(means - centre) <= MODE_HALF_WINDOW)])
    spread = background - median(levels[levels <= background])
    threshold = background + max(SKIN_STEP, SPREADS_ABOVE * spread)
    return threshold if 4 * best >= np.count_nonzero(levels <= threshold) else None


def box_sums(levels):
    """Sums over 5 x 5 pixels, the edge pixels repeated outwards."""
    height, width = levels.shape
    padded = np.pad(levels, 2, mode="edge")
    return sum(padded[y : y + height, x : x + width] for y in range(5) for x in range(5))


def window_reduce(values, reduce):
    """max or min over 3 x 3 pixels."""
    height, width = values.shape
    padded = np.pad(values, 1, mode="edge")
    return reduce([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def median(values):
    return int(np.sort(values, axis=None)[(values.size - 1) // 2])


def column_thresholds(levels, threshold):
    """[W] thresholds, raised in outer columns whose background is lit by a light leak."""
    height, width = levels.shape
    thresholds = np.full(width, threshold)
    for columns in (range(width // 8), range(width - 1, width - 1 - width // 8, -1)):
        for x in columns:
            dark = int(np.sort(levels[:, x])[(height - 1) * 4 // 100])
            if dark <= threshold:
                break
            raised = dark + dark // 4 + SKIN_STEP
            if dark <= LEAK_LEVEL and 12 * np.count_nonzero(levels[:, x] <= raised) >= height:
                thresholds[x] = raised
    return thresholds


# --- Binary morphology: the structuring element grows by a cross and a square in turn, to an octagon ---


def shifted(mask, dy, dx, outside):
    """The mask moved by one pixel; `outside` is what comes in over the edge."""
    height, width = mask.shape
    padded = np.pad(mask, 1, constant_values=outside)
    return padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]


def dilate_once(mask, step, *, outside=False):
    vertical = mask | shifted(mask, -1, 0, outside) | shifted(mask, 1, 0, outside)
    source = mask if step % 2 == 0 else vertical
    return vertical | shifted(source, 0, -1, outside) | shifted(source, 0, 1, outside)


def dilate(mask, radius, *, outside=False):
    for step in range(radius):
        mask = dilate_once(mask, step, outside=outside)
    return mask


def erode(mask, radius, *, outside):
    return ~dilate(~mask, radius, outside=not outside)


def open_(mask, radius, *, outside):
    """Opening. With nothing outside the image, thin bands along its edge go too."""
    return dilate(erode(mask, radius, outside=outside), radius)


def close(mask, radius):
    """Closing, as if the mask lay in an endless plane: the image's edge closes nothing by itself."""
    padded = np.pad(mask, radius)
    closed = erode(dilate(padded, radius), radius, outside=False)
    return closed[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


# --- Connected regions, through the 4 sides of a pixel ---


def reachable(mask, seeds):
    """The pixels of `mask` that a walk from `seeds` reaches."""
    height, width = mask.shape
    seen = mask & seeds
    queue = deque(zip(*np.nonzero(seen), strict=True))
    while queue:
        y, x = queue.popleft()
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and mask[v, u] and not seen[v, u]:
                seen[v, u] = True
                queue.append((v, u))
    return seen


def fill_enclosed(mask, reach):
    """Fills what cannot be reached from outside; nothing comes in through the chest wall.

    The chest wall is the left or the right edge, whichever has more breast within `reach` pixels (both if
    equal), from the first to the last row that has any there.
    """
    seeds = np.zeros(mask.shape, bool)
    seeds[[0, -1], :] = True
    seeds[:, [0, -1]] = True
    reach = max(1, reach)
    left, right = mask[:, :reach], mask[:, ::-1][:, :reach]
    for side, other, x in ((left, right, 0), (right, left, -1)):
        rows = np.flatnonzero(side.any(axis=1))
        if rows.size and np.count_nonzero(side) >= np.count_nonzero(other):
            inner = slice(max(rows[0], 1), min(rows[-1] + 1, len(mask) - 1))
            seeds[inner, x] = False
    if mask.shape[1] == 1:  # one column is both edges: it stays open
        seeds[:] = True
    return ~reachable(~mask, seeds)


def keep_best(mask):
    """The largest region, one that touches the left or right edge counting double; equals all stay."""
    rest, regions = mask.copy(), []
    while rest.any():
        seed = np.zeros(mask.shape, bool)
        seed.flat[np.argmax(rest)] = True
        region = reachable(rest, seed)
        rest &= ~region
        regions.append((np.count_nonzero(region) * (1 + bool(region[:, [0, -1]].any())), region))
    best = max((score for score, _ in regions), default=0)
    return np.logical_or.reduce([mask & False] + [region for score, region in regions if score == best])
