#include "core/tile_grid.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.hpp"

namespace lcx {
namespace {

std::vector<std::int64_t> spread_starts(std::int64_t extent, std::int64_t tile, double overlap) {
  if (extent <= tile) return {0};
  const auto stride = std::max<std::int64_t>(1, std::llround(static_cast<double>(tile) * (1.0 - overlap)));
  const std::int64_t span = extent - tile;
  const std::int64_t steps = (span + stride - 1) / stride;
  std::vector<std::int64_t> starts;
  starts.reserve(static_cast<std::size_t>(steps + 1));
  // Evenly spread rather than a fixed stride with the last one shifted: the same number of tiles, but every
  // overlap is as large as it can be.
  for (std::int64_t k = 0; k <= steps; ++k) starts.push_back(k * span / steps);
  return starts;
}

bool any_nonzero(TensorView<const std::uint8_t, 2> mask, std::array<std::int64_t, 2> rows,
                 std::array<std::int64_t, 2> columns) {
  for (std::int64_t y = rows[0]; y < rows[1]; ++y) {
    for (std::int64_t x = columns[0]; x < columns[1]; ++x) {
      if (mask(y, x)) return true;
    }
  }
  return false;
}

void check_extents(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale,
                   std::array<std::int64_t, 2> tile_shape) {
  for (std::size_t axis = 0; axis < 2; ++axis) {
    require_argument(image_shape[axis] >= 1 && image_shape[axis] <= (1 << 20), "image shape ", shape_text(image_shape),
                     "; each side must be 1 to 1048576");
    require_argument(scale[axis] >= 1.0 / 64 && scale[axis] <= 4096.0, "scale ", scale[axis],
                     "; must be within 1/64 and 4096 image pixels per grid pixel");
    require_argument(tile_shape[axis] >= 1 && tile_shape[axis] <= (1 << 15), "tile shape ", shape_text(tile_shape),
                     "; each side must be 1 to 32768");
  }
}

}  // namespace

std::int64_t TileGrid::tile_count() const {
  return std::count_if(present.begin(), present.end(), [](std::uint8_t p) { return p != 0; });
}

std::vector<std::array<std::int64_t, 2>> TileGrid::origins() const {
  std::vector<std::array<std::int64_t, 2>> result;
  for (std::size_t r = 0; r < row_starts.size(); ++r) {
    for (std::size_t c = 0; c < column_starts.size(); ++c) {
      if (has_tile(r, c)) result.push_back({row_starts[r], column_starts[c]});
    }
  }
  return result;
}

TileGrid TileGrid::tile(std::int64_t n) const {
  std::int64_t before = n;
  for (std::size_t k = 0; k < present.size() && n >= 0; ++k) {
    if (present[k] == 0 || before-- > 0) continue;
    const std::size_t columns = column_starts.size();
    return {image_shape, scale, shape, tile_shape, {row_starts[k / columns]}, {column_starts[k % columns]}, {1}};
  }
  throw Error(ErrorCode::kInvalidArgument,
              "tile " + std::to_string(n) + "; the grid has " + std::to_string(tile_count()));
}

std::array<std::int64_t, 2> grid_shape(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale) {
  std::array<std::int64_t, 2> shape{};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const double exact = static_cast<double>(image_shape[axis]) / scale[axis];
    shape[axis] = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(exact - 1e-6)));
  }
  return shape;
}

TileGrid restore_tile_grid(TileGrid given) {
  check_extents(given.image_shape, given.scale, given.tile_shape);
  given.shape = grid_shape(given.image_shape, given.scale);
  bool whole = given.present.size() == given.row_starts.size() * given.column_starts.size();
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const auto& starts = axis == 0 ? given.row_starts : given.column_starts;
    whole = whole && !starts.empty() && std::is_sorted(starts.begin(), starts.end()) && starts.front() >= 0 &&
            starts.back() <= std::max<std::int64_t>(0, given.shape[axis] - given.tile_shape[axis]);
  }
  require_argument(whole, "these tiles do not lie on a grid of ", shape_text(given.shape), "; plan_tiles makes some");
  return given;
}

std::vector<std::array<std::int64_t, 2>> mask_ranges(const TileGrid& grid, std::size_t axis, std::int64_t mask_extent) {
  const auto look_up = [&](std::int64_t at) {
    return mask_index(at, grid.scale[axis], grid.image_shape[axis], mask_extent);
  };
  std::vector<std::array<std::int64_t, 2>> ranges;
  for (const auto start : axis == 0 ? grid.row_starts : grid.column_starts) {
    const std::int64_t last = std::min(start + grid.tile_shape[axis], grid.shape[axis]) - 1;
    ranges.push_back({look_up(start), look_up(last) + 1});
  }
  return ranges;
}

TileGrid plan_tiles(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale,
                    std::array<std::int64_t, 2> tile_shape, double overlap, TensorView<const std::uint8_t, 2> mask) {
  check_extents(image_shape, scale, tile_shape);
  require_argument(overlap >= 0.0 && overlap <= 0.9, "overlap ", overlap, "; must be within 0 and 0.9");

  TileGrid grid;
  grid.image_shape = image_shape;
  grid.scale = scale;
  grid.tile_shape = tile_shape;
  grid.shape = grid_shape(image_shape, scale);
  grid.row_starts = spread_starts(grid.shape[0], tile_shape[0], overlap);
  grid.column_starts = spread_starts(grid.shape[1], tile_shape[1], overlap);
  grid.present.assign(grid.row_starts.size() * grid.column_starts.size(), 1);
  if (mask.empty()) return grid;

  const auto rows = mask_ranges(grid, 0, mask.shape[0]);
  const auto columns = mask_ranges(grid, 1, mask.shape[1]);
  std::size_t n = 0;
  for (const auto& row : rows) {
    for (const auto& column : columns) grid.present[n++] = any_nonzero(mask, row, column) ? 1 : 0;
  }
  return grid;
}

}  // namespace lcx
