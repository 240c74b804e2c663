// Rows of normalisation and softmax.
#include "ops/norm.h"

#include <cmath>

#include "ops/activated_norm.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> norm_cases() {
  using T = const Tensor&;
  Tensor mask = tensor({{true, false, true}, {true, true, true}}, boolean), mean = tensor({0.1, -0.3}, f64),
         variance = tensor({0.5, 2.0}, f64);
  Tensor offsets = tensor({0, 2, 2});
  return {
      {"layer_norm", {real({3, 5}), real({5}), real({5})}, [](T x, T w, T b) { return layer_norm(x, {5}, w, b); }},
      {"layer_norm plain",
       {real({2, 2, 4})},
       [](T x) {
         return layer_norm(x, {2, 4});
       }},
      {"layer_norm bias only", {real({3, 4}), real({4})}, [](T x, T b) { return layer_norm(x, {4}, {}, b); }},
      {"add_layer_norm",
       {real({3, 5}), real({3, 5}), real({5}), real({5})},
       [](T x, T branch, T w, T b) {
         AddNorm r = add_layer_norm(x, branch, {5}, w, b);
         return std::vector<Tensor>{r.sum, r.norm};
       }},
      {"add_layer_norm plain",
       {real({2, 2, 4}), real({2, 2, 4})},
       [](T x, T branch) {
         return add_layer_norm(x, branch, {2, 4}).norm;
       }},
      {"rms_norm", {real({3, 5}), real({5})}, [](T x, T w) { return rms_norm(x, {5}, w); }},
      {"group_norm", {real({2, 4, 3}), real({4}), real({4})}, [](T x, T w, T b) { return group_norm(x, 2, w, b); }},
      {"group_norm_silu", {real({2, 4, 3}), real({4}), real({4})}, [](T x, T w, T b) { return group_norm_silu(x, 2, w, b); }},
      {"group_norm plain", {real({2, 4, 2, 2})}, [](T x) { return group_norm(x, 1); }},
      {"instance_norm", {real({2, 2, 5}), real({2}), real({2})}, [](T x, T w, T b) { return instance_norm(x, w, b); }},
      {"batch_norm training", {real({3, 2, 2}), real({2}), real({2})}, [](T x, T w, T b) { return batch_norm_training(x, w, b).y; }},
      {"batch_norm training wide", {real({2, 2, 17}), real({2})}, [](T x, T w) { return batch_norm_training(x, w).y; }},
      {"batch_norm training plain", {real({4, 3})}, [](T x) { return batch_norm_training(x).y; }},
      {"batch_norm evaluation",
       {real({3, 2, 2}), real({2}), real({2})},
       [=](T x, T w, T b) { return batch_norm(x, to(mean, x.device()), to(variance, x.device()), w, b); }},
      {"batch_norm evaluation plain",
       {real({2, 2, 17})},
       [=](T x) { return batch_norm(x, to(mean, x.device()), to(variance, x.device())); }},
      {"softmax", {real({2, 3, 4})}, [](T x) { return softmax(x, -1); }},
      {"softmax first dimension", {real({3, 4})}, [](T x) { return softmax(x, 0, 0.7); }},
      {"log_softmax", {real({2, 3, 4})}, [](T x) { return log_softmax(x, 1, 1.5); }},
      {"masked_softmax", {real({2, 3}), fixed(mask)}, [](T x, T m) { return masked_softmax(x, m, 1); }},
      {"masked_log_softmax", {real({2, 3}), fixed(mask)}, [](T x, T m) { return where(m, masked_log_softmax(x, m, 1), 0); }},
      {"normalize", {real({3, 4})}, [](T x) { return normalize(x); }},
      {"normalize p 1", {real({3, 4}).away_from({0})}, [](T x) { return normalize(x, 1, 0); }},
      {"normalize p 3", {real({3, 4}).away_from({0})}, [](T x) { return normalize(x, 3); }},
      {"local_response_norm", {real({2, 4, 2})}, [](T x) { return local_response_norm(x, 3, 0.5, 0.6, 1); }},
      {"weight_norm", {real({3, 4}), real({3})}, [](T v, T g) { return weight_norm(v, g); }},
      {"spectral_norm",
       {real({3, 4})},
       [](T w) {
         Tensor u = to(to(tensor({0.6, -0.3, 0.7}, f64), w.dtype()), w.device());
         SpectralNorm s = spectral_norm(w, u, 200);  // where power iteration has arrived, its vectors do not add to the slope
         return std::vector<Tensor>{s.weight, s.sigma};
       },
       false,
       32,
       false},
      {"embedding_bag",
       {real({5, 3}), fixed(tensor({1, 3, 1, 0, 4}))},
       [offsets](T w, T i) {
         std::vector<Tensor> y;
         for (BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max})
           y.push_back(square(embedding_bag(w, i, to(offsets, w.device()), {.mode = mode, .padding_idx = 4})));
         return y;
       }},
      {"embedding_bag with weights",
       {real({5, 3}), real({2, 2}), fixed(tensor({{1, 3}, {1, 0}}))},
       [](T w, T s, T i) { return embedding_bag(w, i, {}, {.mode = BagMode::sum, .per_sample_weights = s}); }},
      {"embedding", {real({4, 3}), fixed(tensor({{1, 3}, {1, 0}}))}, [](T w, T i) { return embedding(w, i); }},
  };
}

}  // namespace plumb::testing
