// Normal equations over the 45 elements of W, row by row.
#include "methods/regularization/soft_equivariance/linear_problem.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::soft_equivariance {
namespace {

constexpr int64_t kVectors = 5, kInputs = 3 * kVectors, kExamples = 16;

const Representation& input_representation() {
  static const Representation r{{{1, kVectors}}};
  return r;
}
const Representation& output_representation() {
  static const Representation r{{{1, 1}}};
  return r;
}

// The matrix of W → P W: its columns are what becomes of the 45 matrices with a single 1.
Tensor projection_matrix(const Projector& group) {
  int64_t n = 3 * kInputs;
  Tensor basis = eye(n, -1, f64);
  std::vector<Tensor> columns;
  for (int64_t i = 0; i < n; ++i)
    columns.push_back(
        reshape(group.weight(reshape(select(basis, 0, i), {3, kInputs}), output_representation(), input_representation()), {n}));
  return stack(columns, 1);
}

}  // namespace

double LinearProblem::error(const Tensor& weight) const { return sum(square(weight - truth)).item() / 3; }

LinearProblem linear_problem(Generator& generator) {
  Tensor a = randn({kVectors, 2}, {.dtype = f64, .generator = &generator});
  std::vector<double> draws = to_vector(a);
  std::vector<Tensor> blocks;
  for (size_t i = 0; i < kVectors; ++i)
    blocks.push_back(diag(tensor({draws[2 * i], draws[2 * i], draws[2 * i] + 0.8 * draws[2 * i + 1]}, f64)));
  LinearProblem p{.truth = cat(blocks, 1)};
  p.inputs = randn({kExamples, kInputs}, {.dtype = f64, .generator = &generator});
  p.targets = matmul(p.inputs, transpose(p.truth, 0, 1)) + randn({kExamples, 3}, {.dtype = f64, .generator = &generator}) * 0.5;
  return p;
}

// ∇ = 2/(3n) (W Xᵀ X − Yᵀ X) + decay W + Σ λ_i (W − P_i W) = 0.
Tensor linear_minimiser(const LinearProblem& p, const std::vector<Projector>& groups, const std::vector<double>& strengths, double decay) {
  if (groups.size() != strengths.size())
    throw ValueError(fmt::format("linear_minimiser: {} strengths for {} groups", strengths.size(), groups.size()));
  NoGrad off;
  double scale = 2.0 / (3.0 * static_cast<double>(p.inputs.size(0)));
  Tensor identity = eye(3 * kInputs, -1, f64);
  Tensor left = kron(eye(3, -1, f64), matmul(transpose(p.inputs, 0, 1), p.inputs)) * scale + identity * decay;
  for (size_t i = 0; i < groups.size(); ++i)
    if (strengths[i] != 0) left = left + (identity - projection_matrix(groups[i])) * strengths[i];
  Tensor right = reshape(matmul(transpose(p.targets, 0, 1), p.inputs) * scale, {3 * kInputs});
  return reshape(solve(left, right), {3, kInputs});
}

Tensor tuned_minimiser(const LinearProblem& p, const std::vector<Projector>& groups, std::vector<double>& strengths, double kappa,
                       double decay) {
  Tensor weight = linear_minimiser(p, groups, strengths, decay);
  std::vector<double> penalties;
  for (const Projector& g : groups)
    penalties.push_back(per_penalty({{weight, {}, output_representation(), input_representation()}}, g).item());
  EquivarianceTuner tuner(groups.size(), {.kappa = kappa});
  tuner.track(penalties);
  strengths = tuner.adjust(strengths, sum(square(weight)).item());
  return linear_minimiser(p, groups, strengths, decay);
}

std::vector<Projector> axis_groups() {
  MatrixGroup plane = equivariant::orthogonal(2);
  std::vector<Projector> out;
  for (const std::vector<int64_t>& axes : {std::vector<int64_t>{0, 1}, {1, 2}, {0, 2}}) out.emplace_back(embedded(plane, axes, 3));
  return out;
}

}  // namespace plumb::methods::soft_equivariance
