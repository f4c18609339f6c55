#include "core/branch.cuh"

namespace lcx {

Branch::Branch(Device device) {
  const DeviceGuard guard(device);
  LCX_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  LCX_CUDA_CHECK(cudaEventCreateWithFlags(&begun_, cudaEventDisableTiming));
  LCX_CUDA_CHECK(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming));
}

Branch::~Branch() {
  if (done_ != nullptr) cudaEventDestroy(done_);
  if (begun_ != nullptr) cudaEventDestroy(begun_);
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

Stream Branch::begin(Stream from) const {
  LCX_CUDA_CHECK(cudaEventRecord(begun_, to_cuda(from)));
  LCX_CUDA_CHECK(cudaStreamWaitEvent(stream_, begun_, 0));
  return {stream_};
}

void Branch::end(Stream to) const {
  LCX_CUDA_CHECK(cudaEventRecord(done_, stream_));
  LCX_CUDA_CHECK(cudaStreamWaitEvent(to_cuda(to), done_, 0));
}

}  // namespace lcx
