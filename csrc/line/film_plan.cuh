#pragma once

#include <cstdint>

#include "core/device_grid.cuh"
#include "ops/extract_tiles/extract_tiles_impl.hpp"

namespace lcx {

/// What is found out about a film on the device before the network can run.
struct FilmFindings {
  AffineClip clip;     ///< how tiles are normalised
  float low, high;     ///< the values that became 0 and 1
  std::int32_t tiles;  ///< how many meet the breast
};

/// The mask's rows that each row of tiles looks up, and likewise columns: [rows, 2] and [columns, 2], half-open.
struct MaskRanges {
  const std::int32_t* rows = nullptr;
  const std::int32_t* columns = nullptr;
};

/// What of a grid does not depend on the film.
struct GridLayout {
  DeviceGrid grid;
  MaskRanges ranges;
  std::int32_t* tiles = nullptr;    ///< [rows, columns] that `grid` reads too
  std::int32_t* origins = nullptr;  ///< [rows * columns, 2] likewise
};

/// Decides on the device what plan_tiles and preprocess.window_of decide on the CPU.
///
/// window       double [2] on the device: percentiles of the breast's values, or NaN
/// mask         [h, w], dense
/// mean, deviation  of the normalisation
/// findings     [1] on the device
void enqueue_film_plan(const double* window, TensorView<const std::uint8_t, 2> mask, float mean, float deviation,
                       const GridLayout& layout, FilmFindings* findings, Stream stream);

/// lcx::cut_tiles for one tile: that of number *index. Past the last one the tile is padding.
///
/// averages  [gh, gw] of the grid, dense
/// tile      [1, 1, th, tw], dense
void enqueue_cut_tile(TensorView<const float, 2> averages, const DeviceGrid& grid, const FilmFindings* findings,
                      TensorView<const std::uint8_t, 2> mask, const std::int32_t* index, TensorView<float, 4> tile,
                      Stream stream);

/// Copies a tile's maps, `values` floats, to where those of tile *index belong; nothing past the last one.
void enqueue_keep_output(const float* output, std::int64_t values, const FilmFindings* findings,
                         const std::int32_t* index, float* outputs, Stream stream);

}  // namespace lcx
