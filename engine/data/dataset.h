// Dataset: a value that stands for a sequence of examples, and the ways to make new ones from it.
#pragma once
#include <functional>
#include <initializer_list>
#include <type_traits>

#include "engine/data/loader.h"
#include "engine/data/source.h"

namespace plumb::data {

struct ShuffleOptions {
  uint64_t seed = 0;
};
struct SamplingOptions {
  uint64_t seed = 0;
  int64_t count = -1;       ///< examples an epoch; −1: as many as the data set has
  bool replacement = true;  ///< of weighted(): an example may be drawn more than once an epoch
};
struct SplitOptions {
  uint64_t seed = 0;
  bool stratified = false;  ///< every part has the classes in the same proportions
};

using SampleTransform = std::function<Sample(Sample, Generator&)>;
using FieldTransform = std::function<Tensor(Tensor, Generator&)>;

/// A handle to a data set that never changes. Everything is lazy and costs nothing until examples are asked for, unless it says otherwise.
///   auto batches = mnist("data").train().map("image", crop).shuffle({.seed = 0}).batch(128, {.workers = 2});
/// May be read from several threads at once.
class Dataset {
 public:
  Dataset() = default;
  explicit Dataset(SourcePtr source) : source_(std::move(source)) {}

  int64_t size() const { return source()->size(); }
  /// Example i as it is in `draw`'s epoch. Throws IndexError outside [0, size()).
  Sample get(int64_t i, const Draw& draw = {}) const;
  Sample operator[](int64_t i) const { return get(i); }
  /// Every example's label, in order. Throws ValueError where there is none.
  std::vector<int64_t> labels() const;
  /// Every example's Sample::index lies below this: the size of a table with one row an example.
  int64_t index_limit() const { return source()->index_limit(); }
  /// The files that the data came from.
  std::vector<SourceHash> source_hashes() const { return source()->source_hashes(); }
  /// What stands behind. Throws ValueError for a Dataset that was given no value.
  const SourcePtr& source() const;

  /// Every example changed by f(sample, generator) or f(sample). The generator depends on the loader's seed, the epoch, the example's
  /// index and `seed` alone, so augmentation is the same however many workers there are; random operations that are given no generator
  /// draw from it too. Two maps in a row draw different numbers; maps of the two sides of a zip draw the same unless `seed` differs.
  template <typename F>
  Dataset map(F f, uint64_t seed = 0) const {
    if constexpr (std::is_invocable_r_v<Sample, F&, Sample, Generator&>)
      return mapped(std::move(f), seed);
    else
      return mapped([f = std::move(f)](Sample s, Generator&) mutable { return f(std::move(s)); }, seed);
  }
  /// One field changed by f(tensor, generator) or f(tensor). Throws ValueError, when examples are read, if there is no such field.
  template <typename F>
  Dataset map(std::string field, F f, uint64_t seed = 0) const {
    if constexpr (std::is_invocable_r_v<Tensor, F&, Tensor, Generator&>)
      return mapped_field(std::move(field), std::move(f), seed);
    else
      return mapped_field(
          std::move(field), [f = std::move(f)](Tensor x, Generator&) mutable { return f(std::move(x)); }, seed);
  }

  /// The examples for which keep(sample) holds. Reads all of them once, as in epoch 0.
  Dataset filter(const std::function<bool(const Sample&)>& keep) const;
  /// The examples that have one of these labels.
  Dataset with_labels(const std::vector<int64_t>& labels) const;
  /// The examples at these places, which may repeat. Throws IndexError for one outside [0, size()).
  Dataset subset(std::vector<int64_t> places) const;
  /// The first n, or all but the first n; all or none if there are fewer. Throws ValueError for n < 0.
  Dataset take(int64_t n) const;
  Dataset skip(int64_t n) const;
  /// Every `ranks`-th example from `rank` on, ⌊size/ranks⌋ in all: one process's part. Throws ValueError unless 0 ≤ rank < ranks.
  Dataset shard(int64_t rank, int64_t ranks) const;
  /// All examples `times` times over; each time counts as a fresh draw for random transforms and orders. Throws ValueError for times < 0.
  Dataset repeat(int64_t times) const;
  /// The same examples with Sample::index set to their place here.
  Dataset renumber() const;
  /// Keeps each example in memory once it was read, as it is in epoch 0: put random transforms after it.
  Dataset cache() const;

  /// A new random order every epoch, from (seed, epoch).
  Dataset shuffle(ShuffleOptions options = {}) const;
  /// Example i is drawn with probability weights[i] / Σ weights, afresh every epoch. Throws ShapeError unless there is a weight an
  /// example, ValueError for one that is negative or not finite, for a sum of 0, or for more examples than can be had without replacement.
  Dataset weighted(std::vector<double> weights, SamplingOptions options = {}) const;
  /// Every class that occurs is drawn equally often (±1) every epoch: its examples in random order, over again when they run out.
  Dataset class_balanced(SamplingOptions options = {}) const;

  /// Random disjoint parts holding these fractions of the examples, each in the original order. Sizes are rounded such that the parts of
  /// fractions that sum to 1 cover everything. Throws ValueError for a fraction below 0 or a sum above 1.
  std::vector<Dataset> split(const std::vector<double>& fractions, SplitOptions options = {}) const;

  /// Batches of `size` examples: for (const auto& batch : batches) goes through one epoch. Throws ValueError for size < 1.
  DataLoader batch(int64_t size, BatchOptions options = {}) const;

 private:
  Dataset mapped(SampleTransform f, uint64_t seed) const;
  Dataset mapped_field(std::string field, FieldTransform f, uint64_t seed) const;
  SourcePtr source_;
};

/// The rows of tensors: from_tensors({{"image", x}, {"label", y}}). The tensors are shared, not copied, and must not change afterwards.
/// Throws ValueError for none, DeviceError off the CPU, ShapeError for rank 0 or numbers of rows that differ.
Dataset from_tensors(std::vector<std::pair<std::string, Tensor>> fields);
/// Example i is f(i), for i in [0, size); f may be called from several threads at once. Its index is i.
Dataset from_function(int64_t size, std::function<Sample(int64_t)> f);
/// One after the other. Indices of later parts are moved up by the index_limit() of those before.
Dataset concat(const std::vector<Dataset>& parts);
/// Example i has the fields of all parts' examples i; its index is that of the first. Throws ValueError for sizes that differ, and, when
/// examples are read, for a field that two parts have.
Dataset zip(const std::vector<Dataset>& parts);

/// A random order of 0 … n − 1 (Fisher–Yates), from `generator`.
std::vector<int64_t> random_order(int64_t n, Generator& generator);

}  // namespace plumb::data
