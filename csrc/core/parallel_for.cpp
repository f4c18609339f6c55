#include "core/parallel_for.hpp"

#include <algorithm>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace lcx {
namespace {

int affinity_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// cgroup v2: "max 100000" or "200000 100000". A container's quota is invisible in the affinity mask, and
// running more threads than it allows makes every one of them slower.
int cgroup_cpus(int most) {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return most;
  try {
    return std::clamp(static_cast<int>(std::stod(quota) / period + 0.5), 1, most);
  } catch (const std::exception&) {
    return most;
  }
}

}  // namespace

int available_cpus() {
  static const int count = cgroup_cpus(affinity_cpus());
  return count;
}

void parallel_for(std::int64_t count, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  const std::int64_t most = threads > 0 ? threads : available_cpus();
  const std::int64_t workers = std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, most);
  if (workers == 1) {
    body(0, count);
    return;
  }
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&](std::int64_t worker) {
    try {
      body(count * worker / workers, count * (worker + 1) / workers);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> pool;
    pool.reserve(static_cast<std::size_t>(workers - 1));
    std::int64_t started = 1;
    try {
      for (; started < workers; ++started) pool.emplace_back(run, started);
    } catch (const std::exception&) {
      // The system gives no further thread; this one does what is left.
    }
    run(0);
    for (; started < workers; ++started) run(started);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lcx
