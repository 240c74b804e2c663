// The derivatives of a whole module against central differences.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "models/nn/module.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

namespace plumb_test {

/// Checks d⟨w, f()⟩ of every parameter of `module`, and of the leaves in `inputs`, all f64: each of at most `most` evenly spread elements
/// of each against (L(p + h) − L(p − h)) / 2h. f runs the module on the inputs.
inline void check_module_gradients(plumb::nn::Module& module, const std::vector<plumb::Tensor>& inputs,
                                   const std::function<plumb::Tensor()>& f, int64_t most = 6) {
  using namespace plumb;
  std::vector<nn::NamedTensor> leaves = module.named_parameters();
  for (size_t i = 0; i < inputs.size(); ++i) leaves.push_back({"input " + std::to_string(i), inputs[i].requires_grad_()});
  Tensor weight;
  auto loss = [&] {
    Tensor y = f();
    if (!weight.defined()) weight = test::sample(y.shape(), 7);
    return sum(y * weight);
  };
  module.zero_grad();
  for (const Tensor& x : inputs) x.zero_grad();
  loss().backward();
  constexpr double kStep = 1e-5;
  for (const auto& [name, leaf] : leaves) {
    INFO(name);
    REQUIRE(leaf.dtype() == f64);
    REQUIRE(leaf.is_contiguous());
    std::vector<double> slope = leaf.grad().defined() ? to_vector(leaf.grad()) : std::vector<double>(static_cast<size_t>(leaf.numel()));
    double* elements = static_cast<double*>(leaf.raw_data());
    for (int64_t i = 0; i < leaf.numel(); i += std::max<int64_t>(1, leaf.numel() / most)) {
      double before = elements[i];
      elements[i] = before + kStep;
      double above = loss().item();
      elements[i] = before - kStep;
      double below = loss().item();
      elements[i] = before;
      double numeric = (above - below) / (2 * kStep), analytic = slope[static_cast<size_t>(i)];
      CHECK(std::abs(analytic - numeric) <= 1e-7 + 1e-6 * std::abs(numeric));
    }
  }
}

/// state() of one module loaded into another, differently started one of the same kind makes it compute the same.
template <typename M>
void check_state_round_trip(const M& model, M& other, const std::function<plumb::Tensor(const M&)>& f) {
  CHECK_FALSE(plumb::test::same_bits(f(model), f(other)));
  other.load_state(model.state());
  CHECK(plumb::test::same_bits(f(model), f(other)));
}

}  // namespace plumb_test
