"""Every operation in plain NumPy: the specification.

Slow and obviously right. The compiled operations, on any device, must equal these.
"""

from __future__ import annotations

import math

import numpy as np


def area_weights(extent: int, scale: float, count: int) -> np.ndarray:
    """[count, extent]: how much of each image pixel a grid pixel averages; rows sum to 1."""
    weights = np.zeros((count, extent))
    for index in range(count):
        begin, end = index * scale, min((index + 1) * scale, extent)
        for pixel in range(extent):
            weights[index, pixel] = max(0.0, min(pixel + 1, end) - max(pixel, begin))
    return weights / weights.sum(axis=1, keepdims=True)


def grid_shape(image_shape, scale):
    return tuple(max(1, math.ceil(n / s - 1e-6)) for n, s in zip(image_shape, scale, strict=True))


def resample(image, scale):
    rows, columns = grid_shape(image.shape, scale)
    vertical = area_weights(image.shape[0], scale[0], rows)
    horizontal = area_weights(image.shape[1], scale[1], columns)
    return vertical @ image.astype(np.float64) @ horizontal.T


def mask_at(mask, y, x, scale, image_shape):
    """The mask pixel under the centre of grid pixel (y, x)."""
    index = [
        min(int((i + 0.5) * s / n * m), m - 1)
        for i, s, n, m in zip((y, x), scale, image_shape, mask.shape, strict=True)
    ]
    return bool(mask[tuple(index)])


def spread(mask, shape, scale, image_shape):
    """A mask on the grid."""
    return np.array(
        [[mask_at(mask, y, x, scale, image_shape) for x in range(shape[1])] for y in range(shape[0])]
    ).reshape(shape)


def percentiles(values, ranks, mask):
    """Of the finite values inside the mask."""
    inside = np.sort(values[mask & np.isfinite(values)].astype(np.float64))
    return [np.interp(rank / 100 * (len(inside) - 1), range(len(inside)), inside) for rank in ranks]


def image_score(probability, mask, r, top_fraction, a1, a2, b):
    """sigmoid(a1 LSE + a2 Top + b) over the logits inside the mask."""
    inside = np.clip(np.nan_to_num(probability[mask].astype(np.float64)), 1e-6, 1 - 1e-6)
    if len(inside) == 0:
        return 0.0
    z = np.sort(np.log(inside / (1 - inside)))
    log_sum_exp = math.log(sum(math.exp(r * value) for value in z) / len(z)) / r
    count = max(1, math.ceil(top_fraction * len(z) - 1e-9))
    return 1 / (1 + math.exp(-(a1 * log_sum_exp + a2 * z[-count:].mean() + b)))


def tile_starts(extent, tile, overlap):
    if extent <= tile:
        return [0]
    stride = max(1, math.floor(tile * (1 - overlap) + 0.5))
    steps = math.ceil((extent - tile) / stride)
    return [k * (extent - tile) // steps for k in range(steps + 1)]


def plan_tiles(image_shape, scale, tile_shape, overlap, mask=None):
    """[(y, x)] of the tiles that meet the mask."""
    shape = grid_shape(image_shape, scale)
    on_grid = None if mask is None else spread(mask, shape, scale, image_shape)
    origins = []
    for y in tile_starts(shape[0], tile_shape[0], overlap):
        for x in tile_starts(shape[1], tile_shape[1], overlap):
            # A tile counts whatever mask pixels lie between the first and the last that it looks up.
            if on_grid is None or _meets(mask, y, x, tile_shape, shape, scale, image_shape):
                origins.append((y, x))
    return origins


def _meets(mask, y, x, tile_shape, shape, scale, image_shape):
    ranges = []
    for start, tile, extent, s, n, m in zip((y, x), tile_shape, shape, scale, image_shape, mask.shape, strict=True):
        last = min(start + tile, extent) - 1
        first_index, last_index = (min(int((i + 0.5) * s / n * m), m - 1) for i in (start, last))
        ranges.append(slice(first_index, last_index + 1))
    return bool(mask[tuple(ranges)].any())


def extract_tiles(image, scale, tile_shape, origins, normalisation=None, mask=None):
    """float64 [N, 1, h, w]; ``normalisation`` is (low, high, mean, deviation)."""
    averages = resample(image, scale)
    dark = 0.0
    if normalisation is not None:
        low, high, mean, deviation = normalisation
        averages = (np.clip((averages - low) / (high - low), 0, 1) - mean) / deviation
        dark = -mean / deviation
    if mask is not None:
        averages = np.where(spread(mask, averages.shape, scale, image.shape), averages, dark)
    tiles = np.full((len(origins), 1, *tile_shape), dark)
    for tile, (y, x) in zip(tiles, origins, strict=True):
        part = averages[y : y + tile_shape[0], x : x + tile_shape[1]]
        tile[0, : part.shape[0], : part.shape[1]] = part
    return tiles


def tile_weights(tile_shape, kind):
    if kind == "constant":
        return np.ones(tile_shape)
    sides = []
    for n in tile_shape:
        distance = np.arange(n) + 0.5 - n / 2
        sides.append(np.exp(-0.5 * (distance / (n / 8)) ** 2))
    return np.outer(*sides)


def blend_tiles(tiles, origins, shape, kind):
    """float64 [C, H, W]."""
    weights = tile_weights(tiles.shape[2:], kind)
    total = np.zeros(shape)
    result = np.zeros((tiles.shape[1], *shape))
    for tile, (y, x) in zip(tiles, origins, strict=True):
        height, width = min(tile.shape[1], shape[0] - y), min(tile.shape[2], shape[1] - x)
        total[y : y + height, x : x + width] += weights[:height, :width]
        result[:, y : y + height, x : x + width] += (weights * tile.astype(np.float64))[:, :height, :width]
    return result / np.where(total > 0, total, 1)


def label_components(mask, connectivity=8):
    """Breadth-first flood fill from each unlabelled pixel in raster order."""
    steps = [(-1, 0), (0, -1), (0, 1), (1, 0)]
    if connectivity == 8:
        steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        count += 1
        labels[start] = count
        queue = [start]
        while queue:
            y, x = queue.pop()
            for dy, dx in steps:
                at = (y + dy, x + dx)
                inside = 0 <= at[0] < mask.shape[0] and 0 <= at[1] < mask.shape[1]
                if inside and mask[at] and not labels[at]:
                    labels[at] = count
                    queue.append(at)
    return labels, count


def fill_holes(mask):
    """Background that no 4-connected path joins to the border becomes foreground."""
    padded = np.pad(mask.astype(bool), 1)
    labels, _ = label_components(~padded, 4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def remove_small(mask, min_area, connectivity=8):
    """The components of at least min_area pixels."""
    labels, count = label_components(mask, connectivity)
    return np.isin(labels, [k for k in range(1, count + 1) if np.count_nonzero(labels == k) >= min_area])


def hysteresis(values, low, high, connectivity=8):
    """Pixels >= low of the components that hold a pixel >= high; NaN is below both."""
    labels, _ = label_components(values >= low, connectivity)
    return np.isin(labels, labels[values >= high])


def region_props(labels, values=None, count=None):
    """A list of dicts, one per label 1 .. count; empty labels have area 0."""
    regions = []
    for label in range(1, (int(labels.max(initial=0)) if count is None else count) + 1):
        y, x = np.nonzero(labels == label)
        if len(y) == 0:
            regions.append({"area": 0})
            continue
        region = {
            "area": len(y),
            "bounding_box": (y.min(), x.min(), y.max() + 1, x.max() + 1),
            "centroid": (y.mean() + 0.5, x.mean() + 0.5),
        }
        if values is not None:
            region |= dict(zip(("mean", "max", "top_mean"), summary(values[y, x]), strict=True))
        regions.append(region)
    return regions


def summary(values):
    """(mean, max, mean of the highest tenth) of a region's values; NaN counts as 0."""
    ordered = np.sort(np.where(np.isnan(values), 0, values).astype(np.float64))[::-1]
    with np.errstate(invalid="ignore"):  # of infinities of both signs there is no mean
        return ordered.mean(), ordered[0], ordered[: math.ceil(len(ordered) / 10)].mean()


def measure_runs(values, runs):
    """(mean, max, mean of the highest tenth) of the values under runs (y, x_begin, x_end)."""
    inside = np.concatenate([[], *(values[y, begin:end] for y, begin, end in runs)])
    return summary(inside) if len(inside) else (0.0, 0.0, 0.0)


# Boundaries are directed cracks between a foreground pixel (on the right) and a background pixel (on the left),
# from one pixel corner to the next.

_CRACKS = {  # heading: background neighbour, start corner, end corner, all relative to the foreground pixel
    (0, 1): ((-1, 0), (0, 0), (0, 1)),
    (1, 0): ((0, 1), (0, 1), (1, 1)),
    (0, -1): ((1, 0), (1, 1), (1, 0)),
    (-1, 0): ((0, -1), (1, 0), (0, 0)),
}


def _left(heading):
    return (-heading[1], heading[0])


def boundaries(mask):
    """Closed chains of (pixel, heading); at a corner the leftmost turn is taken."""
    padded = np.pad(mask.astype(bool), 1)
    by_start = {}
    for y, x in zip(*np.nonzero(mask), strict=True):
        for heading, (neighbour, start, end) in _CRACKS.items():
            if not padded[y + 1 + neighbour[0], x + 1 + neighbour[1]]:
                crack = ((int(y), int(x)), heading, (y + end[0], x + end[1]))
                by_start.setdefault((y + start[0], x + start[1]), {})[heading] = crack
    chains = []
    while by_start:
        corner = next(iter(by_start))
        crack = next(iter(by_start[corner].values()))
        chain = []
        while True:
            pixel, heading, end = crack
            chain.append((pixel, heading))
            start = (pixel[0] + _CRACKS[heading][1][0], pixel[1] + _CRACKS[heading][1][1])
            del by_start[start][heading]
            if not by_start[start]:
                del by_start[start]
            turns = (_left(heading), heading, (-_left(heading)[0], -_left(heading)[1]))
            following = [by_start.get(end, {}).get(turn) for turn in turns]
            crack = next((c for c in following if c is not None), None)
            if crack is None:
                break
        chains.append(chain)
    return chains


def signed_area(points):
    """Positive for polygons of (y, x) points that run clockwise on screen."""
    y, x = np.asarray(points, np.float64).T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def trace_contours(mask):
    """[(polygon of corners, is_hole)], each polygon starting anywhere."""
    contours = []
    for chain in boundaries(mask):
        points = []
        for (pixel, heading), (_, before) in zip(chain, chain[-1:] + chain[:-1], strict=True):
            if heading != before:
                start = _CRACKS[heading][1]
                points.append((pixel[0] + start[0], pixel[1] + start[1]))
        contours.append((points, signed_area(points) < 0))
    return contours


def fill_polygons(polygons, shape):
    """bool [H, W]: pixel centres inside by the even-odd rule, testing every centre against every edge."""
    inside = np.zeros(shape, bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            y, x = row + 0.5, column + 0.5
            for points in polygons:
                for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
                    if min(y0, y1) <= y < max(y0, y1):
                        top, bottom = ((y0, x0), (y1, x1)) if y0 < y1 else ((y1, x1), (y0, x0))
                        slope = (bottom[1] - top[1]) / (bottom[0] - top[0])
                        if top[1] + (y - top[0]) * slope <= x:
                            inside[row, column] ^= True
    return inside


def probabilities(stored):
    """float32 of a map as it may be stored: uint8 counts 255ths."""
    values = stored.astype(np.float32)
    return values / np.float32(255) if stored.dtype == np.uint8 else values


def find_lesions(probability, low=0.5, high=0.5, min_area=1, fill=True):
    """A list of dicts as ``region_props`` gives, each with its "outline" as a list of (y, x)."""
    values = np.where(np.isnan(probability), 0, probability).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mask = probability >= np.float32(low)
        seeds = probability >= np.float32(high)
    labels, count = label_components(mask)
    mask = np.isin(labels, [k for k in range(1, count + 1) if (seeds & (labels == k)).any()]) & mask
    if fill:
        mask = fill_holes(mask)
    labels, count = label_components(mask)
    lesions = []
    for label, region in enumerate(region_props(labels, values), start=1):
        if region["area"] < min_area:
            continue
        outer = [c for c in boundaries(labels == label) if signed_area([p for p, _ in corner_points(c)]) > 0]
        region["outline"] = [crossing(probability, pixel, heading, low) for pixel, heading in outer[0]]
        lesions.append(region)
    return lesions


def corner_points(chain):
    for pixel, heading in chain:
        start = _CRACKS[heading][1]
        yield (pixel[0] + start[0], pixel[1] + start[1]), heading


def crossing(probability, pixel, heading, level):
    neighbour = _CRACKS[heading][0]
    other = (pixel[0] + neighbour[0], pixel[1] + neighbour[1])
    part = 0.5
    if 0 <= other[0] < probability.shape[0] and 0 <= other[1] < probability.shape[1]:
        inner, outer = float(probability[pixel]), float(probability[other])
        with np.errstate(all="ignore"):
            ratio = np.float64(inner - float(np.float32(level))) / np.float64(inner - outer)
        if np.isfinite(ratio):
            part = min(max(float(ratio), 0.0), 1.0)
    return (pixel[0] + 0.5 + part * neighbour[0], pixel[1] + 0.5 + part * neighbour[1])
