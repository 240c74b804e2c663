// Transforms, caching, concatenation and zipping.
#include "engine/data/internal/compose.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "engine/autograd/grad_mode.h"

namespace plumb::data {

namespace {

/// While alive, the thread's default generator is in a state that depends on `seed` alone: a transform that draws from it without knowing
/// gives the same numbers on every worker.
class SeededDefaultGenerator {
 public:
  explicit SeededDefaultGenerator(uint64_t seed) : before_(default_generator()) { default_generator().set_state(seed, 0); }
  ~SeededDefaultGenerator() { default_generator() = before_; }
  SeededDefaultGenerator(const SeededDefaultGenerator&) = delete;
  SeededDefaultGenerator& operator=(const SeededDefaultGenerator&) = delete;

 private:
  Generator before_;
};

class Map final : public Source {
 public:
  Map(SourcePtr child, std::function<Sample(Sample, Generator&)> f, uint64_t seed)
      : child_(std::move(child)), f_(std::move(f)), seed_(seed) {}
  int64_t size() const override { return child_->size(); }
  Sample get(const Pick& pick) const override {
    Sample sample = child_->get(pick);
    uint64_t seed = mix(mix(pick.draw.seed, seed_), child_->transforms());
    for (int64_t part : {pick.draw.epoch, pick.draw.repeat, sample.index}) seed = mix(seed, static_cast<uint64_t>(part));
    NoGrad no_grad;
    SeededDefaultGenerator unknowing(mix(seed, 1));
    Generator generator(seed);
    return f_(std::move(sample), generator);
  }
  int64_t index_limit() const override { return child_->index_limit(); }
  uint64_t transforms() const override { return child_->transforms() + 1; }
  uint64_t fingerprint() const override { return mix(mix(child_->fingerprint(), 8), seed_); }
  std::vector<SourceHash> source_hashes() const override { return child_->source_hashes(); }

 private:
  SourcePtr child_;
  std::function<Sample(Sample, Generator&)> f_;
  uint64_t seed_;
};

class Renumber final : public Source {
 public:
  explicit Renumber(SourcePtr child) : child_(std::move(child)) {}
  int64_t size() const override { return child_->size(); }
  Sample get(const Pick& pick) const override {
    Sample sample = child_->get(pick);
    sample.index = pick.at;
    return sample;
  }
  Batch gather(std::span<const Pick> picks, const Padding& padding) const override {
    Batch batch = child_->gather(picks, padding);
    std::vector<int64_t> places;
    for (const Pick& pick : picks) places.push_back(pick.at);
    batch.index = from_vector(places);
    return batch;
  }
  int64_t label(int64_t at) const override { return child_->label(at); }
  uint64_t transforms() const override { return child_->transforms(); }
  uint64_t fingerprint() const override { return mix(child_->fingerprint(), 9); }
  std::vector<SourceHash> source_hashes() const override { return child_->source_hashes(); }

 private:
  SourcePtr child_;
};

class Cache final : public Source {
 public:
  explicit Cache(SourcePtr child)
      : child_(std::move(child)),
        once_(new std::once_flag[static_cast<size_t>(child_->size())]),
        kept_(static_cast<size_t>(child_->size())) {}
  int64_t size() const override { return child_->size(); }
  Sample get(const Pick& pick) const override {
    auto at = static_cast<size_t>(pick.at);
    std::call_once(once_[at], [&] { kept_[at] = child_->get({pick.at, {}}); });
    Sample copy = kept_[at];
    for (const std::string& name : copy.names()) copy.set(name, copy_of(copy[name]));
    return copy;
  }
  int64_t label(int64_t at) const override { return child_->label(at); }
  int64_t index_limit() const override { return child_->index_limit(); }
  uint64_t transforms() const override { return child_->transforms(); }
  uint64_t fingerprint() const override { return mix(child_->fingerprint(), 10); }
  std::vector<SourceHash> source_hashes() const override { return child_->source_hashes(); }

 private:
  SourcePtr child_;
  std::unique_ptr<std::once_flag[]> once_;
  mutable std::vector<Sample> kept_;
};

/// Base of what is made of several data sets.
class Several : public Source {
 public:
  explicit Several(std::vector<SourcePtr> parts) : parts_(std::move(parts)) {}
  uint64_t fingerprint() const override {
    uint64_t f = mix(kind(), parts_.size());
    for (const SourcePtr& p : parts_) f = mix(f, p->fingerprint());
    return f;
  }
  uint64_t transforms() const override {
    uint64_t most = 0;
    for (const SourcePtr& p : parts_) most = std::max(most, p->transforms());
    return most;
  }
  std::vector<SourceHash> source_hashes() const override {
    std::vector<SourceHash> all;
    for (const SourcePtr& p : parts_)
      for (SourceHash& h : p->source_hashes()) {
        bool known = std::any_of(all.begin(), all.end(), [&](const SourceHash& k) { return k.path == h.path && k.sha256 == h.sha256; });
        if (!known) all.push_back(std::move(h));
      }
    return all;
  }

 protected:
  virtual uint64_t kind() const = 0;
  std::vector<SourcePtr> parts_;
};

class Concat final : public Several {
 public:
  explicit Concat(std::vector<SourcePtr> parts) : Several(std::move(parts)) {
    for (const SourcePtr& p : parts_) {
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + p->size());
      first_index_.push_back(index_limit_);
      index_limit_ += p->index_limit();
    }
  }
  int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  int64_t index_limit() const override { return index_limit_; }
  uint64_t kind() const override { return 11; }
  Sample get(const Pick& pick) const override {
    size_t part = part_of(pick.at);
    Sample sample = parts_[part]->get({pick.at - begin_of(part), pick.draw});
    sample.index += first_index_[part];
    return sample;
  }
  int64_t label(int64_t at) const override {
    size_t part = part_of(at);
    return parts_[part]->label(at - begin_of(part));
  }

 private:
  size_t part_of(int64_t at) const { return static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), at) - ends_.begin()); }
  int64_t begin_of(size_t part) const { return part == 0 ? 0 : ends_[part - 1]; }
  std::vector<int64_t> ends_, first_index_;
  int64_t index_limit_ = 0;
};

class Zip final : public Several {
 public:
  using Several::Several;
  int64_t size() const override { return parts_[0]->size(); }
  int64_t index_limit() const override { return parts_[0]->index_limit(); }
  uint64_t kind() const override { return 12; }
  Sample get(const Pick& pick) const override {
    Sample all = parts_[0]->get(pick);
    for (size_t p = 1; p < parts_.size(); ++p) {
      Sample one = parts_[p]->get(pick);
      for (const std::string& name : one.names()) {
        if (all.has(name)) throw ValueError(fmt::format("zip: two parts have a field \"{}\"", name));
        all.set(name, one[name]);
      }
    }
    return all;
  }
};

class Function final : public Source {
 public:
  Function(int64_t size, std::function<Sample(int64_t)> f) : size_(size), f_(std::move(f)) {}
  int64_t size() const override { return size_; }
  Sample get(const Pick& pick) const override {
    Sample sample = f_(pick.at);
    sample.index = pick.at;
    return sample;
  }
  uint64_t fingerprint() const override { return mix(static_cast<uint64_t>(size_), 13); }

 private:
  int64_t size_;
  std::function<Sample(int64_t)> f_;
};

}  // namespace

SourcePtr map_source(SourcePtr child, std::function<Sample(Sample, Generator&)> f, uint64_t seed) {
  return std::make_shared<Map>(std::move(child), std::move(f), seed);
}
SourcePtr renumber_source(SourcePtr child) { return std::make_shared<Renumber>(std::move(child)); }
SourcePtr cache_source(SourcePtr child) { return std::make_shared<Cache>(std::move(child)); }
SourcePtr concat_source(std::vector<SourcePtr> parts) { return std::make_shared<Concat>(std::move(parts)); }
SourcePtr zip_source(std::vector<SourcePtr> parts) { return std::make_shared<Zip>(std::move(parts)); }
SourcePtr function_source(int64_t size, std::function<Sample(int64_t)> f) { return std::make_shared<Function>(size, std::move(f)); }

}  // namespace plumb::data
