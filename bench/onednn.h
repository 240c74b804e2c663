// oneDNN's kernels as calls, where its package (libdnnl-dev) is there.
#pragma once
#include <cstdint>
#include <functional>

#include "bench/convolution.h"

namespace plumb::bench::onednn {

/// Whether this program was built with oneDNN. Without, every function here gives an empty call.
extern const bool available;

struct Product {
  int64_t batch, m, n, k;
  bool a_transposed, b_transposed;
};
/// c = a b for each of the batch, all row-major (a transposed operand: its transpose is). The memory must live as long as the call.
std::function<void()> product(const Product& p, const float* a, const float* b, float* c);

/// One pass of a convolution, images and filters in the layout that oneDNN likes best; bringing them there is not timed.
std::function<void()> convolution(const Convolution& c, Pass pass);

/// Row by row over x [rows, columns].
std::function<void()> softmax(int64_t rows, int64_t columns, const float* x, float* y);
std::function<void()> layer_norm(int64_t rows, int64_t columns, const float* x, float* y);
std::function<void()> gelu(int64_t count, const float* x, float* y);

}  // namespace plumb::bench::onednn
