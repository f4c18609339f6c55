#pragma once

#include "core/own_stream.cuh"

namespace lcx {

/// A stream beside another one, for work that does not depend on what comes there next: within a captured graph, a
/// branch of it. Made before the capture; it may go once the graph is there.
class Branch {
 public:
  explicit Branch(Device device) : stream_(device), begun_(device), done_(device) {}

  /// The branch's stream: what comes on it now waits for all that is on `from`.
  Stream begin(Stream from) const {
    begun_.order(from, stream_.get());
    return stream_.get();
  }
  /// What comes on `to` now waits for all that was put on the branch.
  void end(Stream to) const { done_.order(stream_.get(), to); }

 private:
  OwnStream stream_;
  OwnEvent begun_;
  OwnEvent done_;
};

}  // namespace lcx
