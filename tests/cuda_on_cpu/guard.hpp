#pragma once

#include <cstddef>

namespace cuda_on_cpu {

/// From now on nobody may touch these bytes of device memory; seen in builds with AddressSanitizer. Host memory is let
/// alone.
void forbid_access(void* data, std::size_t bytes);
/// ... and from now on they may again.
void allow_access(void* data, std::size_t bytes);

}  // namespace cuda_on_cpu
