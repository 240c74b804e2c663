// The ways to make one data set from another: arguments are checked here, the work is done by the sources behind.
#include "engine/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/data/internal/compose.h"
#include "engine/data/internal/tensor_source.h"
#include "engine/data/internal/views.h"

namespace plumb::data {

const SourcePtr& Dataset::source() const {
  if (!source_) throw ValueError("data: the data set was used before it was given a value");
  return source_;
}

Sample Dataset::get(int64_t i, const Draw& draw) const {
  if (i < 0 || i >= size()) throw IndexError(fmt::format("data: example {} is outside [0, {})", i, size()));
  return source_->get({i, draw});
}

std::vector<int64_t> Dataset::labels() const {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < size(); ++i) labels.push_back(source_->label(i));
  return labels;
}

Dataset Dataset::mapped(SampleTransform f, uint64_t seed) const { return Dataset(map_source(source(), std::move(f), seed)); }

Dataset Dataset::mapped_field(std::string field, FieldTransform f, uint64_t seed) const {
  return mapped(
      [field = std::move(field), f = std::move(f)](Sample s, Generator& g) {
        s.set(field, f(s[field], g));
        return s;
      },
      seed);
}

Dataset Dataset::filter(const std::function<bool(const Sample&)>& keep) const {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < size(); ++i)
    if (keep(source_->get({i, {}}))) places.push_back(i);
  return Dataset(subset_view(source_, std::move(places)));
}

Dataset Dataset::with_labels(const std::vector<int64_t>& labels) const {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < size(); ++i)
    if (std::find(labels.begin(), labels.end(), source_->label(i)) != labels.end()) places.push_back(i);
  return Dataset(subset_view(source_, std::move(places)));
}

Dataset Dataset::subset(std::vector<int64_t> places) const {
  for (int64_t p : places)
    if (p < 0 || p >= size()) throw IndexError(fmt::format("subset: place {} is outside [0, {})", p, size()));
  return Dataset(subset_view(source_, std::move(places)));
}

Dataset Dataset::take(int64_t n) const {
  if (n < 0) throw ValueError(fmt::format("take: the number of examples must not be negative, it is {}", n));
  return Dataset(range_view(source_, 0, 1, std::min(n, size())));
}

Dataset Dataset::skip(int64_t n) const {
  if (n < 0) throw ValueError(fmt::format("skip: the number of examples must not be negative, it is {}", n));
  n = std::min(n, size());
  return Dataset(range_view(source_, n, 1, size() - n));
}

Dataset Dataset::shard(int64_t rank, int64_t ranks) const {
  if (rank < 0 || rank >= ranks) throw ValueError(fmt::format("shard: rank {} is outside [0, {})", rank, ranks));
  return Dataset(range_view(source_, rank, ranks, size() / ranks));
}

Dataset Dataset::repeat(int64_t times) const {
  if (times < 0) throw ValueError(fmt::format("repeat: the number of times must not be negative, it is {}", times));
  return Dataset(repeat_view(source(), times));
}

Dataset Dataset::renumber() const { return Dataset(renumber_source(source())); }

Dataset Dataset::cache() const { return Dataset(cache_source(source())); }

Dataset Dataset::shuffle(ShuffleOptions options) const { return Dataset(shuffle_view(source(), options.seed)); }

static int64_t checked_count(const char* op, const SamplingOptions& options, int64_t size) {
  if (options.count < -1)
    throw ValueError(fmt::format("{}: the count must not be negative (-1: as many as there are), it is {}", op, options.count));
  return options.count == -1 ? size : options.count;
}

Dataset Dataset::weighted(std::vector<double> weights, SamplingOptions options) const {
  int64_t count = checked_count("weighted", options, size());
  return Dataset(weighted_view(source_, std::move(weights), count, options.replacement, options.seed));
}

Dataset Dataset::class_balanced(SamplingOptions options) const {
  return Dataset(class_balanced_view(source_, checked_count("class_balanced", options, size()), options.seed));
}

namespace {

/// Where each part of n ordered examples ends: the running sums of the fractions, rounded.
std::vector<int64_t> part_ends(const std::vector<double>& fractions, int64_t n) {
  std::vector<int64_t> ends;
  double sum = 0;
  for (double f : fractions) {
    sum += f;
    ends.push_back(std::min(n, static_cast<int64_t>(std::floor(sum * static_cast<double>(n) + 0.5 + 1e-9))));
  }
  return ends;
}

void deal(const std::vector<int64_t>& members, const std::vector<double>& fractions, Generator& g,
          std::vector<std::vector<int64_t>>& parts) {
  std::vector<int64_t> order = random_order(static_cast<int64_t>(members.size()), g);
  std::vector<int64_t> ends = part_ends(fractions, static_cast<int64_t>(members.size()));
  for (size_t p = 0, i = 0; p < parts.size(); ++p)
    for (; static_cast<int64_t>(i) < ends[p]; ++i) parts[p].push_back(members[static_cast<size_t>(order[i])]);
}

}  // namespace

std::vector<Dataset> Dataset::split(const std::vector<double>& fractions, SplitOptions options) const {
  double sum = 0;
  for (double f : fractions) {
    if (!(f >= 0)) throw ValueError(fmt::format("split: fractions must not be negative, one is {}", f));
    sum += f;
  }
  if (sum > 1 + 1e-9) throw ValueError(fmt::format("split: the fractions sum to {}, more than 1", sum));
  std::map<int64_t, std::vector<int64_t>> groups;
  for (int64_t i = 0; i < size(); ++i) groups[options.stratified ? source_->label(i) : 0].push_back(i);
  std::vector<std::vector<int64_t>> parts(fractions.size());
  Generator generator(options.seed);
  for (const auto& group : groups) deal(group.second, fractions, generator, parts);
  std::vector<Dataset> made;
  for (auto& places : parts) {
    std::sort(places.begin(), places.end());
    made.push_back(Dataset(subset_view(source_, std::move(places))));
  }
  return made;
}

DataLoader Dataset::batch(int64_t size, BatchOptions options) const { return DataLoader(*this, size, std::move(options)); }

Dataset from_tensors(std::vector<std::pair<std::string, Tensor>> fields) {
  std::vector<Column> columns;
  for (auto& [name, values] : fields) columns.push_back({std::move(name), std::move(values)});
  return Dataset(tensor_source(std::move(columns)));
}

Dataset from_function(int64_t size, std::function<Sample(int64_t)> f) {
  if (size < 0) throw ValueError(fmt::format("from_function: the number of examples must not be negative, it is {}", size));
  return Dataset(function_source(size, std::move(f)));
}

static std::vector<SourcePtr> sources_of(const std::vector<Dataset>& parts) {
  std::vector<SourcePtr> sources;
  for (const Dataset& p : parts) sources.push_back(p.source());
  return sources;
}

Dataset concat(const std::vector<Dataset>& parts) { return Dataset(concat_source(sources_of(parts))); }

Dataset zip(const std::vector<Dataset>& parts) {
  if (parts.empty()) throw ValueError("zip: no data sets were given");
  for (size_t p = 1; p < parts.size(); ++p)
    if (parts[p].size() != parts[0].size())
      throw ValueError(fmt::format("zip: part 0 has {} examples, part {} has {}", parts[0].size(), p, parts[p].size()));
  return Dataset(zip_source(sources_of(parts)));
}

}  // namespace plumb::data
