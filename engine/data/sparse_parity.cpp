// Distinct bit vectors and the parity of their first bits.
#include "engine/data/sparse_parity.h"

#include <fmt/format.h>

#include <bit>
#include <unordered_set>

namespace plumb::data {

namespace {

Dataset bit_vectors(const SparseParityOptions& o) {
  int64_t bits = o.relevant + o.irrelevant;
  uint64_t relevant = (uint64_t{1} << o.relevant) - 1;
  Tensor features = empty({o.samples, bits}, f32, cpu, "sparse_parity"), label = empty({o.samples}, i64, cpu, "sparse_parity");
  Generator generator(o.seed);
  std::unordered_set<uint64_t> seen;
  for (int64_t i = 0; i < o.samples; ++i) {
    uint64_t vector;
    do vector = generator.next_below(uint64_t{1} << bits);
    while (!seen.insert(vector).second);
    for (int64_t b = 0; b < bits; ++b) features.data<float>()[i * bits + b] = static_cast<float>(vector >> b & 1);
    label.data<int64_t>()[i] = std::popcount(vector & relevant) % 2;
  }
  return from_tensors({{"features", features}, {"label", label}});
}

}  // namespace

DatasetParts sparse_parity(SparseParityOptions o) {
  if (o.relevant < 1 || o.irrelevant < 0 || o.relevant + o.irrelevant > 63)
    throw ValueError(fmt::format("sparse_parity: {} relevant and {} other bits; needs at least 1 and 0, and at most 63 together",
                                 o.relevant, o.irrelevant));
  if (o.samples < 2 || static_cast<uint64_t>(o.samples) > uint64_t{1} << (o.relevant + o.irrelevant))
    throw ValueError(fmt::format("sparse_parity: {} distinct samples of {} bits", o.samples, o.relevant + o.irrelevant));
  if (!(o.train >= 0 && o.train <= 1)) throw ValueError(fmt::format("sparse_parity: the training share {} is outside [0, 1]", o.train));
  auto part = [o](size_t i) { return [o, i] { return bit_vectors(o).split({o.train, 1 - o.train}, {.seed = o.seed})[i]; }; };
  return DatasetParts(part(0), part(1), {"even", "odd"}, [o] { return bit_vectors(o); });
}

}  // namespace plumb::data
