// The oracle of digits.
#include "methods/common/digit_oracle.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

constexpr int64_t kFeatures = 64;
constexpr double kNoise = 0.1;  // on the numbers, of deviation 0.5: makes the classes' borders smooth

}  // namespace

DigitOracle::DigitOracle(const DigitVectors& digits, int64_t steps)
    : body_(mlp::MlpConfig{.inputs = digits.rows.size(1), .hidden = {256}, .outputs = kFeatures}), head_(kFeatures, 10) {
  body_.to(digits.rows.device());
  head_.to(digits.rows.device());
  std::vector<Tensor> parameters = body_.parameters();
  for (const Tensor& p : head_.parameters()) parameters.push_back(p);
  optim::AdamW adam(parameters, {.lr = 2e-3, .weight_decay = 0.01});
  Tensor order = to(randperm(digits.rows.size(0)), digits.rows.device());
  int64_t known = digits.rows.size(0) * 4 / 5;
  Tensor held_out = narrow(order, 0, known, digits.rows.size(0) - known);
  for (int64_t k = 0; k < steps; ++k) {
    adam.set_lr_scale(0.5 * (1 + std::cos(3.14159265358979 * static_cast<double>(k) / static_cast<double>(steps))));
    Tensor chosen = index_select(order, 0, to(randint(0, known, {128}), order.device()));
    Tensor rows = index_select(digits.rows, 0, chosen);
    Tensor logits = head_(hidden(rows + randn_like(rows) * kNoise));
    Tensor loss = cross_entropy(logits, index_select(digits.labels, 0, chosen));
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  body_.requires_grad_(false);
  head_.requires_grad_(false);
  Tensor right = classes(index_select(digits.rows, 0, held_out)) == index_select(digits.labels, 0, held_out);
  accuracy_ = mean(to(right, f64)).item();
}

Tensor DigitOracle::hidden(const Tensor& rows) const { return relu(body_(rows)); }

Tensor DigitOracle::features(const Tensor& rows) const {
  NoGrad off;
  return hidden(rows);
}

Tensor DigitOracle::probabilities(const Tensor& rows) const {
  NoGrad off;
  return softmax(head_(hidden(rows)), 1);
}

Tensor DigitOracle::classes(const Tensor& rows) const { return argmax(probabilities(rows), 1); }

DigitDivision division(const Tensor& p) {
  if (p.rank() != 2 || p.size(0) < 1) throw ShapeError("division: takes probabilities [n, C], got " + to_string(p.shape()));
  std::vector<double> most = to_vector(amax(p, {1})), counts(static_cast<size_t>(p.size(1)));
  for (int64_t c : to_vector<int64_t>(argmax(p, 1))) ++counts[static_cast<size_t>(c)];
  auto n = static_cast<double>(p.size(0));
  DigitDivision result{0, 0};
  for (double probability : most) result.certain += (probability > 0.9) / n;
  for (double count : counts) result.imbalance += 0.5 * std::abs(count / n - 1 / static_cast<double>(p.size(1)));
  return result;
}

DigitDivision division(const DigitOracle& oracle, const Tensor& rows) {
  if (rows.rank() != 2 || rows.size(0) < 1) throw ShapeError("division: takes samples [n, 64], got " + to_string(rows.shape()));
  return division(oracle.probabilities(rows));
}

}  // namespace plumb::methods
