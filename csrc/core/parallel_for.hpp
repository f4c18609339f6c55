#pragma once

#include <cstdint>
#include <functional>

namespace lcx {

/// CPUs this process may use: the affinity mask, cut down to the cgroup's quota where there is one.
int available_cpus();

/// Runs `body(begin, end)` over disjoint ranges that cover [0, count).
///
/// count    number of items
/// grain    least items worth a thread of their own; at least 1
/// threads  most threads to use; 0 = available_cpus()
/// The first exception thrown by a body is rethrown here once all threads have ended. Where the system gives fewer
/// threads than that, the calling one does the rest.
///
/// Threads are started for each call and joined before it returns. That costs some 20 us a thread, against
/// operations of milliseconds, and buys: no global pool, nothing that breaks after fork(), no state.
void parallel_for(std::int64_t count, std::int64_t grain, int threads,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& body);

}  // namespace lcx
