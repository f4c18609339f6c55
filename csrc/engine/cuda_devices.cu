#include "core/cuda_support.cuh"
#include "engine/cuda_devices.hpp"

namespace lcx {

std::string why_no_cuda_device() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // so that it is not reported again by a later call
    return std::string("no usable GPU: ") + cudaGetErrorString(error);
  }
  return count > 0 ? "" : "no usable GPU: CUDA finds none";
}

void forget_cuda_error() { cudaGetLastError(); }

CurrentDevice::CurrentDevice(Device device) {
  int count = 0;
  LCX_CUDA_CHECK(cudaGetDeviceCount(&count));
  require(device.type == DeviceType::kCuda && device.index >= 0 && device.index < count, ErrorCode::kDevice,
          to_string(device), "; there are ", count, " GPUs, counted from 0");
  LCX_CUDA_CHECK(cudaGetDevice(&previous_));
  LCX_CUDA_CHECK(cudaSetDevice(device.index));
}

CurrentDevice::~CurrentDevice() { cudaSetDevice(previous_); }

}  // namespace lcx
