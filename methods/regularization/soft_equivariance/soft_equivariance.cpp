// The penalty, the tuner and the measure of soft equivariance.
#include "methods/regularization/soft_equivariance/soft_equivariance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::soft_equivariance {
namespace {

Tensor half_squared(const Tensor& difference) { return sum(square(difference)) * 0.5; }

// Σ_i λ_i R_i = ½ Σ ⟨B, B M⟩ over blocks B of maps, with M = Σ_i λ_i (1 − P_i) of the block's ranks, since (1 − P)² = 1 − P: one product
// whatever the number of groups.
class QuadraticForm {
 public:
  QuadraticForm(const std::vector<Projector>& groups, const std::vector<double>& strengths) : groups_(groups), strengths_(strengths) {}

  void add(const Tensor& weight, const Representation& out, const Representation& in) {
    for (const equivariant::MapBlock& b : map_blocks(weight, out, in, groups_[0].group().dimension)) {
      Tensor part = sum(b.maps * matmul(b.maps, matrix(b.rank_out, b.rank_in, weight.dtype()))) * 0.5;
      total_ = total_.defined() ? total_ + part : part;
    }
  }
  const Tensor& total() const { return total_; }

 private:
  const Tensor& matrix(int rank_out, int rank_in, DType dtype) {
    Tensor& m = matrices_[{rank_out, rank_in}];
    if (m.defined()) return m;
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (strengths_[i] == 0) continue;
      const Tensor& p = groups_[i].block(rank_out, rank_in);
      Tensor part = (eye(p.size(0), -1, f64) - p) * strengths_[i];
      m = m.defined() ? m + part : part;
    }
    m = to(m, dtype);
    return m;
  }

  const std::vector<Projector>& groups_;
  const std::vector<double>& strengths_;
  std::map<std::pair<int, int>, Tensor> matrices_;
  Tensor total_;
};

Tensor quadratic_form(const std::vector<LayerWeights>& layers, const std::vector<Projector>& groups, const std::vector<double>& strengths,
                      bool biases) {
  QuadraticForm form(groups, strengths);
  for (const LayerWeights& layer : layers) {
    form.add(layer.weight, layer.out, layer.in);
    if (biases && layer.bias.defined()) form.add(unsqueeze(layer.bias, 1), layer.out, {{{0, 1}}});
  }
  return form.total();
}

void check_penalties(const std::vector<double>& penalties, size_t groups) {
  if (penalties.size() != groups) throw ValueError(fmt::format("equivariance_tuner: {} penalties for {} groups", penalties.size(), groups));
  for (double r : penalties)
    if (!(r >= 0)) throw ValueError(fmt::format("equivariance_tuner: a penalty of {}", r));
}

}  // namespace

Tensor per_penalty(const std::vector<LayerWeights>& layers, const Projector& group, bool biases) {
  if (layers.empty()) throw ValueError("per_penalty: there are no layers");
  Tensor total;
  auto add = [&total](const Tensor& part) { total = total.defined() ? total + part : part; };
  for (const LayerWeights& layer : layers) {
    add(half_squared(layer.weight - group.weight(layer.weight, layer.out, layer.in)));
    if (biases && layer.bias.defined()) add(half_squared(layer.bias - group.bias(layer.bias, layer.out)));
  }
  return total;
}

Tensor per_regularizer(const std::vector<LayerWeights>& layers, const std::vector<Projector>& groups, const std::vector<double>& strengths,
                       std::vector<double>* values, bool biases) {
  if (groups.empty()) throw ValueError("per_regularizer: there are no groups");
  if (groups.size() != strengths.size())
    throw ValueError(fmt::format("per_regularizer: {} strengths for {} groups", strengths.size(), groups.size()));
  for (double s : strengths)
    if (!(s >= 0)) throw ValueError(fmt::format("per_regularizer: a strength of {}", s));
  if (values) {
    NoGrad off;
    values->assign(groups.size(), 0);
    for (size_t i = 0; i < groups.size(); ++i)
      if (strengths[i] != 0) (*values)[i] = per_penalty(layers, groups[i], biases).item();
  }
  if (std::ranges::all_of(strengths, [](double s) { return s == 0; })) return {};
  if (layers.empty()) throw ValueError("per_regularizer: there are no layers");
  return quadratic_form(layers, groups, strengths, biases);
}

void TunerOptions::check() const {
  if (adjust_at < 1 || window < 1 || warmup < 0)
    throw ValueError(
        fmt::format("equivariance_tuner: adjust_at {} and window {} must be positive, warmup {} not negative", adjust_at, window, warmup));
  if (!(kappa >= 0)) throw ValueError(fmt::format("equivariance_tuner: kappa must not be negative, it is {}", kappa));
}

EquivarianceTuner::EquivarianceTuner(size_t groups, TunerOptions options) : options_(options), groups_(groups) {
  options.check();
  if (groups == 0) throw ValueError("equivariance_tuner: there are no groups");
}

bool EquivarianceTuner::watches(int64_t epoch, int64_t update) const {
  return epoch > options_.adjust_at - options_.window && epoch <= options_.adjust_at && update >= options_.warmup;
}

void EquivarianceTuner::track(const std::vector<double>& penalties) {
  check_penalties(penalties, groups_);
  if (smallest_.empty()) {
    smallest_ = penalties;
    return;
  }
  bool any = false;
  for (size_t i = 0; i < groups_; ++i) any = any || penalties[i] < smallest_[i];
  if (options_.whole_vector && any) smallest_ = penalties;
  if (!options_.whole_vector)
    for (size_t i = 0; i < groups_; ++i) smallest_[i] = std::min(smallest_[i], penalties[i]);
}

std::vector<double> EquivarianceTuner::adjust(const std::vector<double>& strengths, double squared_norm) const {
  if (strengths.size() != groups_)
    throw ValueError(fmt::format("equivariance_tuner: {} strengths for {} groups", strengths.size(), groups_));
  if (std::ranges::all_of(strengths, [](double s) { return s == 0; })) return strengths;
  if (smallest_.empty()) throw ValueError("equivariance_tuner: nothing was tracked before the adjustment");
  double floor = 1e-12 * (1 + squared_norm), least = std::numeric_limits<double>::infinity();
  auto penalty = [&](size_t i) { return std::max(smallest_[i], floor); };
  for (size_t i = 0; i < groups_; ++i)
    if (strengths[i] != 0) least = std::min(least, penalty(i));
  std::vector<double> out = strengths;
  for (size_t i = 0; i < groups_; ++i)
    if (out[i] != 0) out[i] /= std::pow(penalty(i) / least, options_.kappa);
  return out;
}

double equivariance_error(const Function& f, const Representation& in, const Representation& out, const std::vector<Tensor>& elements,
                          const Tensor& x) {
  if (elements.empty() || x.rank() != 2 || x.size(0) == 0)
    throw ValueError("equivariance_error: needs elements of the group and rows of inputs");
  NoGrad off;
  auto act = [](const Representation& representation, const Tensor& g, const Tensor& rows) {
    Tensor action = representation_matrix(representation, g);
    if (rows.rank() != 2 || rows.size(1) != action.size(0))
      throw ShapeError(
          fmt::format("equivariance_error: the representation has {} numbers, the rows are {}", action.size(0), to_string(rows.shape())));
    return matmul(rows, to(transpose(action, 0, 1), rows.dtype()));
  };
  auto lengths = [](const Tensor& rows) { return to_vector(norm(to(rows, f64), 2, {1})); };
  Tensor y = f(x);
  double total = 0;
  for (const Tensor& g : elements) {
    Tensor before = f(act(in, g, x)), after = act(out, g, y);
    std::vector<double> a = lengths(before), b = lengths(after), difference = lengths(to(before, f64) - to(after, f64));
    for (size_t i = 0; i < a.size(); ++i) total += a[i] + b[i] > 0 ? difference[i] / (a[i] + b[i]) : 0;
  }
  return total / static_cast<double>(static_cast<int64_t>(elements.size()) * x.size(0));
}

double equivariance_error(const Function& f, const Representation& in, const Representation& out, const MatrixGroup& group, const Tensor& x,
                          int64_t elements, Generator& generator) {
  std::vector<Tensor> drawn;
  for (int64_t i = 0; i < elements; ++i) drawn.push_back(random_element(group, generator));
  return equivariance_error(f, in, out, drawn, x);
}

}  // namespace plumb::methods::soft_equivariance
