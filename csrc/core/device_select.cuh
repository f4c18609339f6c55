#pragma once

// Components of a mask on the device, chosen: by what they touch, by size, by number.

#include "core/device_components.cuh"

namespace lcx {

/// One flag per node; of each component its root's counts.
std::uint8_t* take_flags(Workspace& workspace, DeviceBits bits);

/// Flags the components that hold a pixel of `seeds`. Clears the flags first.
void enqueue_flag_seeded(const DeviceComponents& components, DeviceBits seeds, std::uint8_t* flags, Stream stream);

/// Flags the components that touch the image's border. Clears the flags first.
void enqueue_flag_border(const DeviceComponents& components, std::uint8_t* flags, Stream stream);

/// The pixels of flagged components. `to` may be the components' own bits, which these then no longer fit.
void enqueue_select_flagged(const DeviceComponents& components, const std::uint8_t* flags, DeviceBits to,
                            Stream stream);

/// The pixels of components with a number other than 0.
void enqueue_select_numbered(const DeviceComponents& components, const std::int32_t* numbers, DeviceBits to,
                             Stream stream);

/// areas [nodes], of each root its pixels.
void enqueue_areas(const DeviceComponents& components, std::int32_t* areas, Stream stream);

/// Scratch of enqueue_fill.
struct DeviceFill {
  DeviceBits background;
  DeviceComponents components;
  std::uint8_t* flags = nullptr;
};
DeviceFill take_fill(Workspace& workspace, DeviceBits bits);

/// Makes background that is not 4-connected to the border foreground.
void enqueue_fill(DeviceBits bits, const DeviceFill& scratch, Stream stream);

/// A byte per pixel, 0 or 1. Reads H * W / 8 bytes, writes H * W.
void enqueue_unpack(DeviceBits bits, TensorView<std::uint8_t, 2> mask, Stream stream);

}  // namespace lcx
