#include "evaluation/lesion_matches.hpp"

#include <algorithm>

#include "core/greedy_matching.hpp"

namespace lcx {
namespace {

template <typename Overlap>
void match_image(TensorView<const Overlap, 2> overlap, GreedyMatcher& matcher, std::int64_t first_lesion,
                 std::vector<Candidate>& candidates, LesionMatches& matches) {
  matcher.begin(static_cast<std::size_t>(overlap.shape[1]), nullptr, nullptr);
  for (std::int64_t d = 0; d < overlap.shape[0]; ++d) {
    candidates.clear();
    for (std::int64_t g = 0; g < overlap.shape[1]; ++g) {
      const auto value = static_cast<double>(overlap(d, g));
      if (value >= matcher.lowest_threshold()) candidates.push_back({value, static_cast<std::int32_t>(g)});
    }
    matches.reached.push_back(candidates.empty() ? 0 : 1);
    matches.lesion.push_back(-1);
    matcher.match(candidates, [&](std::int32_t g, std::uint64_t) { matches.lesion.back() = first_lesion + g; });
  }
}

}  // namespace

LesionMatches match_lesions(std::span<const OverlapTable> images, double minimum) {
  LesionMatches matches;
  GreedyMatcher matcher(std::span<const double>(&minimum, 1));
  std::vector<Candidate> candidates;
  std::int64_t lesions = 0;
  for (const OverlapTable& image : images) {
    std::visit(
        [&](const auto& overlap) {
          match_image(overlap, matcher, lesions, candidates, matches);
          lesions += overlap.shape[1];
        },
        image);
  }
  return matches;
}

}  // namespace lcx
