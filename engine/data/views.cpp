// Fixed views: subsets, ranges and repetitions.
#include "engine/data/internal/views.h"

namespace plumb::data {

Batch View::gather(std::span<const Pick> picks, const Padding& padding) const {
  std::vector<Pick> located;
  located.reserve(picks.size());
  for (const Pick& pick : picks) located.push_back(locate(pick));
  return child_->gather(located, padding);
}

int64_t View::label(int64_t at) const { return child_->label(locate({at, {}}).at); }

namespace {

class Subset final : public View {
 public:
  Subset(SourcePtr child, std::vector<int64_t> places) : View(std::move(child)), places_(std::move(places)) {
    fingerprint_ = mix(View::child().fingerprint(), 1);
    for (int64_t p : places_) fingerprint_ = mix(fingerprint_, static_cast<uint64_t>(p));
  }
  int64_t size() const override { return static_cast<int64_t>(places_.size()); }
  Pick locate(const Pick& pick) const override { return {places_[static_cast<size_t>(pick.at)], pick.draw}; }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  std::vector<int64_t> places_;
  uint64_t fingerprint_;
};

class Range final : public View {
 public:
  Range(SourcePtr child, int64_t begin, int64_t step, int64_t count) : View(std::move(child)), begin_(begin), step_(step), count_(count) {}
  int64_t size() const override { return count_; }
  Pick locate(const Pick& pick) const override { return {begin_ + pick.at * step_, pick.draw}; }
  uint64_t fingerprint() const override {
    uint64_t f = mix(child().fingerprint(), 2);
    for (int64_t v : {begin_, step_, count_}) f = mix(f, static_cast<uint64_t>(v));
    return f;
  }

 private:
  int64_t begin_, step_, count_;
};

class Repeat final : public View {
 public:
  Repeat(SourcePtr child, int64_t times) : View(std::move(child)), times_(times) {}
  int64_t size() const override { return child().size() * times_; }
  Pick locate(const Pick& pick) const override {
    int64_t n = child().size();
    Draw draw = pick.draw;
    draw.repeat = draw.repeat * times_ + pick.at / n;
    return {pick.at % n, draw};
  }
  uint64_t fingerprint() const override { return mix(mix(child().fingerprint(), 3), static_cast<uint64_t>(times_)); }

 private:
  int64_t times_;
};

}  // namespace

SourcePtr subset_view(SourcePtr child, std::vector<int64_t> places) {
  return std::make_shared<Subset>(std::move(child), std::move(places));
}
SourcePtr range_view(SourcePtr child, int64_t begin, int64_t step, int64_t count) {
  return std::make_shared<Range>(std::move(child), begin, step, count);
}
SourcePtr repeat_view(SourcePtr child, int64_t times) { return std::make_shared<Repeat>(std::move(child), times); }

}  // namespace plumb::data
