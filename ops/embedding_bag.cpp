// Embedding bags. Sums and means are fused; under create_graph, and for the maximum, they are made of embedding and index operations.
#include <numeric>

#include "engine/autograd/record.h"
#include "ops/embedding.h"
#include "ops/formula.h"
#include "ops/index.h"
#include "ops/index_call.h"
#include "ops/kernels/embedding.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// Which index belongs to which bag, on the host: starts[b] … starts[b + 1] of `indices`; `kept` are their places among those given.
struct Bags {
  std::vector<int64_t> indices, starts, bag_of, kept;
  int64_t count() const { return static_cast<int64_t>(starts.size()) - 1; }
};

std::vector<int64_t> bag_starts(const Tensor& indices, const Tensor& offsets) {
  int64_t n = indices.numel();
  std::vector<int64_t> starts;
  if (!offsets.defined()) {
    if (indices.rank() != 2)
      throw ShapeError("embedding_bag: without offsets the indices must be [bags, size], they are " + to_string(indices.shape()));
    for (int64_t b = 0; b < indices.size(0); ++b) starts.push_back(b * indices.size(1));
  } else {
    if (indices.rank() != 1 || offsets.rank() != 1)
      throw ShapeError("embedding_bag: with offsets both must be vectors, indices are " + to_string(indices.shape()) + ", offsets " +
                       to_string(offsets.shape()));
    starts = to_vector<int64_t>(offsets);
    for (size_t b = 0; b < starts.size(); ++b)
      if (starts[b] < (b ? starts[b - 1] : 0) || starts[b] > n || (b == 0 && starts[b] != 0))
        throw ValueError("embedding_bag: offset " + std::to_string(starts[b]) + " of bag " + std::to_string(b) +
                         " is not in order from 0 to " + std::to_string(n));
  }
  starts.push_back(starts.empty() ? 0 : n);
  return starts;
}

Bags assign_bags(const Tensor& index, std::vector<int64_t> starts, int64_t padding) {
  std::vector<int64_t> all = to_vector<int64_t>(index);
  Bags bags;
  bags.starts.push_back(0);
  for (size_t b = 0; b + 1 < starts.size(); ++b) {
    for (int64_t i = starts[b]; i < starts[b + 1]; ++i) {
      if (all[static_cast<size_t>(i)] == padding) continue;
      bags.indices.push_back(all[static_cast<size_t>(i)]);
      bags.bag_of.push_back(static_cast<int64_t>(b));
      bags.kept.push_back(i);
    }
    bags.starts.push_back(static_cast<int64_t>(bags.indices.size()));
  }
  return bags;
}

// 1 / size of each index's bag.
Tensor mean_scale(const Bags& bags, DType type, Device device) {
  std::vector<double> scale(bags.indices.size());
  for (size_t i = 0; i < scale.size(); ++i) {
    auto b = static_cast<size_t>(bags.bag_of[i]);
    scale[i] = 1.0 / static_cast<double>(bags.starts[b + 1] - bags.starts[b]);
  }
  return to(to(from_vector(scale), type), device);
}

// y_b = Σ_{i in bag b} s_i W[t_i], in plain operations
Tensor plain_sum(const Tensor& weight, const Tensor& scale, const Tensor& indices, const Tensor& bag_of, int64_t bags) {
  DType type = scale.dtype();
  Tensor rows = to(embedding(weight, indices), type) * unsqueeze(scale, -1);
  return to(index_add(zeros({bags, weight.size(1)}, type, weight.device()), 0, bag_of, rows), weight.dtype());
}

//   dW[r] = Σ_{i: t_i = r} s_i dy_b(i),   ds_i = ⟨dy_b(i), W[t_i]⟩
Tensor weighted_sum(const Tensor& weight, const Tensor& scale, const Bags& bags) {
  Device device = weight.device();
  int64_t count = bags.count();
  Tensor indices = to(from_vector(bags.indices), device), starts = to(from_vector(bags.starts), device),
         bag_of = to(from_vector(bags.bag_of), device);
  Tensor y = empty({count, weight.size(1)}, weight.dtype(), device, "embedding_bag");
  kernel::embedding_bag(device, contiguous_data(weight), indices, starts, contiguous_data(scale), y);
  return record("embedding_bag", y, {weight, scale}, saving(weight, scale, indices, starts, bag_of),
                [count](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor w = s[0], scale = s[1], indices = s[2], bag_of = s[4], dw, ds;
                  if (grad_enabled())
                    return differentiate(
                        [=](const Tensor& weight, const Tensor& factor) { return plain_sum(weight, factor, indices, bag_of, count); },
                        {w, scale}, dy, needs);
                  if (needs[0]) dw = empty(w.shape(), scale.dtype(), w.device(), "embedding_bag_backward");
                  if (needs[1]) ds = empty(scale.shape(), scale.dtype(), w.device(), "embedding_bag_backward");
                  kernel::embedding_bag_backward(w.device(), contiguous_data(dy[0]), contiguous_data(w), indices, s[3],
                                                 contiguous_data(scale), dw, ds);
                  return {dw.defined() ? to(dw, w.dtype()) : dw, ds};
                });
}

// The largest row element by element; zeros for an empty bag.
Tensor maxima(const Tensor& weight, const Bags& bags) {
  Shape shape{bags.count(), weight.size(1)};
  Tensor none = zeros(shape, weight.dtype(), weight.device());
  if (bags.indices.empty()) return none;
  Tensor rows = embedding(weight, to(from_vector(bags.indices), weight.device()));
  Tensor into = expand(unsqueeze(to(from_vector(bags.bag_of), weight.device()), -1), rows.shape());
  return scatter_reduce(none, 0, into, rows, ScatterReduce::amax, false);
}

void check_table(const Tensor& weight, const EmbeddingBagOptions& o) {
  if (weight.rank() != 2) throw ShapeError("embedding_bag: the weight must be [rows, columns], it is " + to_string(weight.shape()));
  if (!is_floating(weight.dtype()))
    throw DTypeError("embedding_bag: the weight must be floating, it is " + std::string(name(weight.dtype())));
  if (o.per_sample_weights.defined() && o.mode != BagMode::sum) throw ValueError("embedding_bag: per_sample_weights go with mode sum only");
}

}  // namespace

Tensor embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets, const EmbeddingBagOptions& o) {
  check_table(weight, o);
  detail::check_same_device("embedding_bag", weight, indices);
  Tensor index = detail::checked_index("embedding_bag", indices, 0, weight.size(0));
  Bags bags = assign_bags(index, bag_starts(indices, offsets), o.padding_idx);
  if (o.mode == BagMode::max) return maxima(weight, bags);
  DType type = compute_dtype(weight.dtype());
  if (o.mode == BagMode::mean) return weighted_sum(weight, mean_scale(bags, type, weight.device()), bags);
  if (!o.per_sample_weights.defined())
    return weighted_sum(weight, ones({static_cast<int64_t>(bags.indices.size())}, type, weight.device()), bags);
  if (o.per_sample_weights.shape() != indices.shape())
    throw ShapeError("embedding_bag: per_sample_weights must have the indices' shape " + to_string(indices.shape()) + ", they are " +
                     to_string(o.per_sample_weights.shape()));
  Tensor scale = flatten(to(o.per_sample_weights, type));
  return weighted_sum(weight, o.padding_idx < 0 ? scale : index_select(scale, 0, to(from_vector(bags.kept), weight.device())), bags);
}

}  // namespace plumb
