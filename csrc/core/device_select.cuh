#pragma once

// Components of a mask on the device, chosen: by what they touch, by size, by number.

#include "core/device_components.cuh"

namespace lcx {

/// Flags the components that hold a pixel of `seeds`.
void enqueue_flag_seeded(const DeviceComponents& components, DeviceBits seeds, Stream stream);

/// Flags the components that touch the image's border.
void enqueue_flag_border(const DeviceComponents& components, Stream stream);

/// The pixels of flagged components. `to` may be the components' own bits, which these then no longer fit.
void enqueue_select_flagged(const DeviceComponents& components, DeviceBits to, Stream stream);

/// The pixels of components with a number other than 0.
void enqueue_select_numbered(const DeviceComponents& components, const std::int32_t* numbers, DeviceBits to,
                             Stream stream);

/// Fills in the areas.
void enqueue_areas(const DeviceComponents& components, Stream stream);

/// Scratch of enqueue_fill.
struct DeviceFill {
  DeviceBits background;
  DeviceComponents components;
};
DeviceFill take_fill(Workspace& workspace, DeviceBits bits);

/// Makes background that is not 4-connected to the border foreground.
void enqueue_fill(DeviceBits bits, const DeviceFill& scratch, Stream stream);

/// A byte per pixel, 0 or 1. Reads H * W / 8 bytes, writes H * W.
void enqueue_unpack(DeviceBits bits, TensorView<std::uint8_t, 2> mask, Stream stream);

}  // namespace lcx
