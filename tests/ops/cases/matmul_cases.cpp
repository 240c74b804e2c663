// Rows of matrix products.
#include "ops/matmul.h"

#include "ops/feed_forward.h"

#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> matmul_cases() {
  using T = const Tensor&;
  auto product = [](T a, T b) { return matmul(a, b); };
  return {
      {"matmul", {real({2, 3}), real({3, 4})}, product},
      {"matmul vector vector", {real({3}), real({3})}, product},
      {"matmul matrix vector", {real({2, 3}), real({3})}, product},
      {"matmul vector matrix", {real({3}), real({3, 2})}, product},
      {"matmul batch matrix", {real({2, 2, 3}), real({3, 2})}, product},
      {"matmul matrix batch", {real({2, 3}), real({2, 3, 2})}, product},
      {"matmul broadcast batches", {real({2, 1, 1, 3}), real({2, 3, 2})}, product},
      {"matmul vector batch", {real({3}), real({2, 3, 2})}, product},
      {"bmm", {real({2, 2, 3}), real({2, 3, 2})}, [](T a, T b) { return bmm(a, b); }},
      {"linear", {real({2, 3}), real({4, 3}), real({4})}, [](T x, T w, T b) { return linear(x, w, b); }},
      {"linear without bias", {real({2, 2, 3}), real({2, 3})}, [](T x, T w) { return linear(x, w); }},
      {"linear of a vector", {real({3}), real({2, 3}), real({2})}, [](T x, T w, T b) { return linear(x, w, b); }},
      {"gelu_feed_forward",
       {real({2, 2, 3}), real({4, 3}), real({4}), real({2, 4}), real({2})},
       [](const std::vector<Tensor>& v) { return gelu_feed_forward(v[0], v[1], v[2], v[3], v[4]); }},
      {"gelu_feed_forward without biases",
       {real({3, 2}), real({5, 2}), real({2, 5})},
       [](T x, T u, T d) { return gelu_feed_forward(x, u, {}, d, {}); }},
      {"outer", {real({3}), real({2})}, [](T a, T b) { return outer(a, b); }},
      {"dot", {real({3}), real({3})}, [](T a, T b) { return dot(a, b); }},
  };
}

}  // namespace plumb::testing
