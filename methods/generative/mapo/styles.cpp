// Styles of digits, and their judge.
#include "methods/generative/mapo/styles.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mapo {
namespace {

constexpr Style kStyles[] = {Style::plain, Style::thick, Style::negative};
constexpr double kNoise = 0.2;  // on numbers in [−1, 1]: makes the classes' borders smooth

Tensor share(const Tensor& holds) { return mean(to(holds, f64)); }

}  // namespace

Tensor in_style(const Tensor& rows, Style style) {
  if (rows.rank() != 2 || rows.size(1) != 64) throw ShapeError("in_style: takes digits [n, 64], got " + to_string(rows.shape()));
  if (style == Style::plain) return rows;
  if (style == Style::negative) return -rows;
  Tensor framed = pad(reshape(rows, {rows.size(0), 1, 8, 8}), {0, 1, 0, 1}, PadMode::constant, -1.0);
  return flatten(max_pool2d(framed, 2, {.stride = 1}), 1);
}

Tensor images(const Tensor& rows) { return reshape(clamp(rows * 0.5 + 0.5, 0, 1), {rows.size(0), 1, 8, 8}); }

PlainDigits::PlainDigits() {
  data::Dataset all = data::digits().all();
  for (const auto& batch : all.batch(all.size())) {
    rows = flatten(batch.image, 1) * 2 - 1;
    labels = batch.label;
  }
}

StyleJudge::StyleJudge(const PlainDigits& digits, int64_t steps)
    : digit_(mlp::MlpConfig{.inputs = 64, .hidden = {128}, .outputs = 10}),
      style_(mlp::MlpConfig{.inputs = 64, .hidden = {64}, .outputs = 3}) {
  std::vector<Tensor> parameters = digit_.parameters();
  for (const Tensor& p : style_.parameters()) parameters.push_back(p);
  optim::AdamW adam(parameters, {.lr = 2e-3});
  optim::Schedule rate = optim::cosine(steps);
  Tensor order = randperm(digits.rows.size(0));
  int64_t known = digits.rows.size(0) * 4 / 5;
  for (int64_t k = 0; k < steps; ++k) {
    adam.set_lr_scale(rate(k));
    Tensor chosen = index_select(order, 0, randint(0, known, {64})), plain = index_select(digits.rows, 0, chosen);
    Tensor label = index_select(digits.labels, 0, chosen);
    std::vector<Tensor> rows, style_labels;
    for (Style style : kStyles) {
      rows.push_back(mapo::in_style(plain, style));
      style_labels.push_back(full({plain.size(0)}, static_cast<int64_t>(style), i64));
    }
    Tensor all = cat(rows);
    all = all + randn_like(all) * kNoise;
    Tensor loss = cross_entropy(digit_(all), cat({label, label, label})) + cross_entropy(style_(all), cat(style_labels));
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  digit_.requires_grad_(false);
  style_.requires_grad_(false);
  Tensor held_out = narrow(order, 0, known, digits.rows.size(0) - known), rows = index_select(digits.rows, 0, held_out);
  for (Style style : kStyles) accuracy_ += both(mapo::in_style(rows, style), index_select(digits.labels, 0, held_out), style) / 3;
}

Tensor StyleJudge::digits_of(const Tensor& rows) const {
  NoGrad off;
  return argmax(digit_(rows), 1);
}

Tensor StyleJudge::styles_of(const Tensor& rows) const {
  NoGrad off;
  return argmax(style_(rows), 1);
}

double StyleJudge::in_style(const Tensor& rows, Style style) const { return share(styles_of(rows) == static_cast<int64_t>(style)).item(); }

double StyleJudge::right_digit(const Tensor& rows, const Tensor& labels) const { return share(digits_of(rows) == labels).item(); }

double StyleJudge::both(const Tensor& rows, const Tensor& labels, Style style) const {
  return share(logical_and(digits_of(rows) == labels, styles_of(rows) == static_cast<int64_t>(style))).item();
}

}  // namespace plumb::methods::mapo
