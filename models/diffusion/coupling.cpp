// Minibatch optimal transport.
#include "models/diffusion/coupling.h"

#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/cluster/assignment.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {

std::vector<int64_t> optimal_coupling(const Tensor& x, const Tensor& z) {
  if (x.shape() != z.shape() || x.rank() < 2)
    throw ShapeError("optimal_coupling: takes two [B, ..] of one shape, got " + to_string(x.shape()) + " and " + to_string(z.shape()));
  NoGrad off;
  Tensor a = to(to(flatten(x, 1), Device(cpu)), f64), b = to(to(flatten(z, 1), Device(cpu)), f64);
  // ‖x − z‖² = ‖x‖² + ‖z‖² − 2⟨x, z⟩, of which the first two are the same for all permutations
  std::vector<int64_t> permutation;
  for (auto [row, column] : cluster::linear_assignment(matmul(a, transpose(b, 0, 1)) * -2.0)) permutation.push_back(column);
  return permutation;
}

Tensor coupled(const Tensor& x, const Tensor& z, int64_t group) {
  if (group < 1) throw ValueError("coupled: groups have at least 1 example, not " + std::to_string(group));
  std::vector<int64_t> order;
  for (int64_t first = 0; first < x.size(0); first += group) {
    int64_t n = std::min(group, x.size(0) - first);
    for (int64_t place : optimal_coupling(narrow(x, 0, first, n), narrow(z, 0, first, n))) order.push_back(first + place);
  }
  return index_select(z, 0, to(from_vector(order), z.device()));
}

}  // namespace plumb::diffusion
