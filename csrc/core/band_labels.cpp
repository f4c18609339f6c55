#include "core/band_labels.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"

namespace lcx {
namespace {

// Runs of one band, and what they are made from.
struct Band {
  explicit Band(const BitRows& mask)
      : merged(static_cast<std::size_t>(mask.row_words)),
        begins(static_cast<std::size_t>((mask.width + 1) / 2 + kRunSlack)),
        ends(begins.size()) {}

  // Takes rows a and b together.
  void merge(BandRows rows) {
    for (std::size_t k = 0; k < merged.size(); ++k) merged[k] = rows.first[k] | rows.last[k];
  }
  void list(std::int64_t width) {
    runs = list_runs(merged.data(), static_cast<std::int64_t>(merged.size()), width, begins.data(), ends.data());
  }

  std::vector<std::uint64_t> merged;
  std::vector<std::int32_t> begins;
  std::vector<std::int32_t> ends;
  std::int64_t runs = 0;
};

// Union-find over provisional labels. A root is the least label of its set, so one pass in order resolves all.
class Labels {
 public:
  std::int32_t make() {
    const auto label = static_cast<std::int32_t>(parent_.size());
    parent_.push_back(label);
    return label;
  }

  void join(std::int32_t a, std::int32_t b) {
    a = find(a);
    b = find(b);
    parent(std::max(a, b)) = std::min(a, b);
  }

  /// What each provisional label becomes, and how many components there are. Labels begin at 1.
  std::int32_t number(std::vector<std::int32_t>& final_labels) {
    std::int32_t count = 0;
    final_labels.resize(parent_.size());
    for (std::size_t i = 0; i < parent_.size(); ++i) {
      const auto up = static_cast<std::size_t>(parent_[i]);
      final_labels[i] = up == i ? ++count : final_labels[up];
    }
    return count;
  }

 private:
  std::int32_t& parent(std::int32_t label) { return parent_[static_cast<std::size_t>(label)]; }

  std::int32_t find(std::int32_t label) {
    while (parent(label) != label) {
      parent(label) = parent(parent(label));
      label = parent(label);
    }
    return label;
  }

  std::vector<std::int32_t> parent_;
};

class BandLabeller {
 public:
  BandLabeller(const BitRows& mask, Connectivity connectivity)
      : mask_(mask),
        reach_(connectivity == Connectivity::kEight ? 1 : 0),
        above_(mask),
        band_(mask),
        touching_(above_.merged.size()) {
    result_.rows_per_band = 1 + reach_;
    result_.labels.assign(BandLabels::kPad, 0);
  }

  BandLabels label() && {
    const std::int64_t bands = (mask_.height + reach_) / (1 + reach_);
    result_.first_run.reserve(static_cast<std::size_t>(bands));
    for (std::int64_t b = 0; b < bands; ++b) add(b);
    std::vector<std::int32_t> final_labels;
    result_.count = sets_.number(final_labels);
    for (std::size_t i = BandLabels::kPad; i < result_.labels.size(); ++i) {
      result_.labels[i] = final_labels[static_cast<std::size_t>(result_.labels[i])];
    }
    result_.labels.resize(result_.labels.size() + BandLabels::kPad, 0);
    return std::move(result_);
  }

 private:
  void add(std::int64_t b) {
    const BandRows rows = rows_of_band(mask_, result_.rows_per_band, b);
    first_row_ = rows.first;
    band_.merge(rows);
    if (b > 0) find_touching();
    if (b > 0 && band_.merged == above_.merged && touching_ == band_.merged) {
      result_.first_run.push_back(result_.first_run.back());
      last_row_ = rows.last;
      return;
    }
    band_.list(mask_.width);
    const auto first = static_cast<std::int64_t>(result_.labels.size());
    require_argument(first + band_.runs < (1LL << 31) - 1, "mask has more than 2^31 - 10 runs");
    result_.labels.resize(static_cast<std::size_t>(first + band_.runs));
    link(b > 0 ? result_.labels.data() + result_.first_run.back() : nullptr, result_.labels.data() + first);
    result_.first_run.push_back(first);
    std::swap(band_, above_);
    last_row_ = rows.last;
  }

  // The pixels of the band's first row that have a neighbour in the band above.
  void find_touching() {
    const std::size_t count = touching_.size();
    if (reach_ == 0) {
      for (std::size_t k = 0; k < count; ++k) touching_[k] = last_row_[k] & first_row_[k];
      return;
    }
    std::uint64_t before = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const std::uint64_t last = last_row_[k];
      const std::uint64_t after = k + 1 < count ? last_row_[k + 1] << 63 : 0;
      touching_[k] = (last | (last << 1) | before | (last >> 1) | after) & first_row_[k];
      before = last >> 63;
    }
  }

  // Whether a run of the band touches one of the band above. Within the columns of the run above whatever touches the
  // band above touches this run of it; just beside them it may be another run that is touched.
  bool connects(Run run, Run above) const {
    const std::int32_t from = std::max(run.begin, above.begin);
    const std::int32_t to = std::min(run.end, above.end);
    if (from < to && any_bit(touching_.data(), from, to)) return true;
    if (reach_ == 0) return false;
    const auto has = [](const std::uint64_t* row, std::int32_t x) { return (row[x >> 6] >> (x & 63) & 1U) != 0; };
    if (above.begin > run.begin && above.begin <= run.end && has(first_row_, above.begin - 1) &&
        has(last_row_, above.begin)) {
      return true;
    }
    return above.end >= run.begin && above.end < run.end && has(first_row_, above.end) && has(last_row_, above.end - 1);
  }

  // Gives each run of the band a provisional label: that of a run above which it touches, or else a new one.
  void link(const std::int32_t* labels_above, std::int32_t* labels) {
    const auto reach = static_cast<std::int32_t>(reach_);
    const std::int64_t runs_above = labels_above == nullptr ? 0 : above_.runs;
    const std::int32_t* begins_above = above_.begins.data();
    const std::int32_t* ends_above = above_.ends.data();
    late_.clear();
    std::int64_t above = 0;
    for (std::int64_t i = 0; i < band_.runs; ++i) {
      const std::int32_t begin = band_.begins[static_cast<std::size_t>(i)];
      const std::int32_t end = band_.ends[static_cast<std::size_t>(i)];
      while (above < runs_above && ends_above[above] + reach <= begin) ++above;
      std::int32_t label = -1;
      std::int64_t at = above;
      for (; at < runs_above && begins_above[at] < end + reach; ++at) {
        if (!connects({begin, end}, {begins_above[at], ends_above[at]})) continue;
        if (label < 0) {
          label = labels_above[at];
        } else if (label != labels_above[at]) {
          sets_.join(label, labels_above[at]);
        }
      }
      if (at != above) above = at - 1;  // the last one may reach the next run too
      if (label < 0) {
        // Provisional labels are to be in raster order of the runs' first pixels: a run that has none in the band's
        // first row comes after all those that have.
        if (reach == 0 || any_bit(first_row_, begin, end)) {
          label = sets_.make();
        } else {
          late_.push_back(i);
        }
      }
      labels[i] = label;
    }
    for (const std::int64_t i : late_) labels[i] = sets_.make();
  }

  const BitRows& mask_;
  std::int64_t reach_;
  Band above_;
  Band band_;
  const std::uint64_t* last_row_ = nullptr;   // of the band above
  const std::uint64_t* first_row_ = nullptr;  // of the band
  std::vector<std::uint64_t> touching_;
  std::vector<std::int64_t> late_;
  Labels sets_;
  BandLabels result_;
};

// Calls visit(band, label, begin, end) for each run.
template <typename Visit>
void for_each_run(const BitRows& mask, const BandLabels& labels, const Visit& visit) {
  Band band(mask);
  for (std::int64_t b = 0; b < labels.bands(); ++b) {
    band.merge(rows_of_band(mask, labels.rows_per_band, b));
    band.list(mask.width);
    const std::int32_t* label = labels.of_band(b);
    for (std::int64_t i = 0; i < band.runs; ++i) {
      visit(b, static_cast<std::size_t>(label[i]), band.begins[static_cast<std::size_t>(i)],
            band.ends[static_cast<std::size_t>(i)]);
    }
  }
}

// Clears the components whose entry in `keep` ([count + 1], by label) is 0.
void keep_components(BitRows& mask, const BandLabels& labels, const std::vector<std::uint8_t>& keep) {
  if (std::find(keep.begin() + 1, keep.end(), std::uint8_t{0}) == keep.end()) return;
  for_each_run(mask, labels, [&](std::int64_t b, std::size_t label, std::int32_t begin, std::int32_t end) {
    if (keep[label]) return;
    const std::int64_t y = b * labels.rows_per_band;
    for (std::int64_t k = y; k < std::min(y + labels.rows_per_band, mask.height); ++k) {
      clear_bits(mask.row(k), begin, end);
    }
  });
}

}  // namespace

BandLabels label_bands(const BitRows& mask, Connectivity connectivity) {
  return BandLabeller(mask, connectivity).label();
}

void keep_seeded(BitRows& mask, const BitRows& seeds, Connectivity connectivity) {
  const BandLabels labels = label_bands(mask, connectivity);
  std::vector<std::uint8_t> seeded(static_cast<std::size_t>(labels.count) + 1, 0);
  for_each_run(mask, labels, [&](std::int64_t b, std::size_t label, std::int32_t begin, std::int32_t end) {
    if (seeded[label]) return;
    const BandRows rows = rows_of_band(seeds, labels.rows_per_band, b);
    if (any_bit(rows.first, begin, end) || any_bit(rows.last, begin, end)) seeded[label] = 1;
  });
  keep_components(mask, labels, seeded);
}

void keep_large(BitRows& mask, std::int64_t min_area, Connectivity connectivity) {
  if (min_area <= 1) return;
  const BandLabels labels = label_bands(mask, connectivity);
  std::vector<std::int64_t> areas(static_cast<std::size_t>(labels.count) + 1, 0);
  for_each_run(mask, labels, [&](std::int64_t b, std::size_t label, std::int32_t begin, std::int32_t end) {
    const BandRows rows = rows_of_band(mask, labels.rows_per_band, b);
    areas[label] += count_bits(rows.first, begin, end);
    if (rows.last != rows.first) areas[label] += count_bits(rows.last, begin, end);
  });
  std::vector<std::uint8_t> keep;
  keep.reserve(areas.size());
  for (const std::int64_t area : areas) keep.push_back(area >= min_area ? 1 : 0);
  keep_components(mask, labels, keep);
}

}  // namespace lcx
