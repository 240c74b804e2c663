// Recurrent encoders, forward, and their configuration.
#include "models/recurrent/encoder.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/require.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::recurrent {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("cell", c.cell), f("vocab", c.vocab), f("padding", c.padding), f("inputs", c.inputs), f("hidden", c.hidden), f("layers", c.layers);
  f("bidirectional", c.bidirectional), f("dropout", c.dropout), f("pooling", c.pooling), f("attention", c.attention),
      f("classes", c.classes);
};

std::string RecurrentConfig::to_json() const { return fields_to_json(*this, fields); }
RecurrentConfig RecurrentConfig::from_json(const std::string& text) { return fields_from_json<RecurrentConfig>("recurrent", text, fields); }

void RecurrentConfig::check() const {
  require(cell == "lstm" || cell == "gru", "recurrent: cell \"" + cell + "\" is unknown; choose lstm or gru");
  require_positive("recurrent",
                   {{"inputs", inputs}, {"hidden", hidden}, {"layers", layers}, {"attention", attention}, {"classes", classes}});
  require(vocab >= 0, "recurrent: vocab must not be negative, it is " + std::to_string(vocab));
  require(padding >= -1 && (vocab == 0 || padding < vocab),
          "recurrent: padding " + std::to_string(padding) + " is not one of " + std::to_string(vocab) + " tokens");
  require_rate("recurrent", "dropout", dropout);
  bool known = pooling == "last" || pooling == "mean" || pooling == "max" || pooling == "attention";
  require(known, "recurrent: pooling \"" + pooling + "\" is unknown; choose last, mean, max or attention");
}

StepAttention::StepAttention(int64_t width, int64_t inner)
    : hidden_(this, "hidden", width, inner), context_(this, "context", inner, 1, {.bias = false}) {}

Tensor StepAttention::operator()(const Tensor& states, const Tensor& mask) const {
  return masked_softmax(squeeze(context_(tanh(hidden_(states))), 2), mask, 1);
}

RecurrentEncoder::RecurrentEncoder(const RecurrentConfig& c) : config_((c.check(), c)), dropout_(this, "dropout", c.dropout) {
  if (c.vocab > 0) register_module("embedding", embedding_.emplace(c.vocab, c.inputs, nn::EmbeddingOptions{.padding_idx = c.padding}));
  nn::RecurrentOptions options{.num_layers = c.layers, .batch_first = true, .dropout = c.dropout, .bidirectional = c.bidirectional};
  if (c.cell == "lstm")
    register_module("rnn", lstm_.emplace(c.inputs, c.hidden, options));
  else
    register_module("rnn", gru_.emplace(c.inputs, c.hidden, options));
  if (c.pooling == "attention") register_module("attention", attention_.emplace(width(), c.attention));
}

Tensor lengths_of(const Tensor& mask) {
  NoGrad off;
  if (mask.rank() != 2) throw ShapeError("lengths_of: takes a mask [B, T], got " + to_string(mask.shape()));
  Tensor lengths = sum(to(mask != 0, i64), {1});
  Tensor expected = arange(mask.size(1), i64, mask.device()) < unsqueeze(lengths, 1);
  std::vector<int64_t> gaps = to_vector<int64_t>(any(logical_xor(mask != 0, expected), {1}));
  for (size_t row = 0; row < gaps.size(); ++row)
    if (gaps[row]) throw ValueError("lengths_of: in row " + std::to_string(row) + " of the mask a real step follows a padded one");
  return lengths;
}

namespace {

void check_input(const RecurrentConfig& c, const Tensor& x, const Tensor& mask) {
  bool fits = c.vocab > 0 ? x.rank() == 2 : x.rank() == 3 && x.size(2) == c.inputs;
  if (!fits || x.size(1) < 1)
    throw ShapeError("recurrent: takes " +
                     (c.vocab > 0 ? std::string("tokens [B, T]") : "vectors [B, T, " + std::to_string(c.inputs) + "]") +
                     " of at least one step, got " + to_string(x.shape()));
  if (mask.defined() && mask.shape() != Shape{x.size(0), x.size(1)})
    throw ShapeError("recurrent: mask is " + to_string(mask.shape()) + ", the input " + to_string(x.shape()));
}

Tensor mean_state(const Tensor& states, const Tensor& mask) {
  Tensor weight = unsqueeze(to(mask, states.dtype()), 2);
  return sum(states * weight, {1}) / clamp_min(sum(weight, {1}), 1);
}

Tensor max_state(const Tensor& states, const Tensor& mask) {
  Tensor largest = amax(masked_fill(states, unsqueeze(logical_not(mask), 2), -INFINITY), {1});
  return masked_fill(largest, logical_not(any(mask, {1}, true)), 0.0);
}

}  // namespace

// The states of the last layer, one block a direction, are the last ones of h [layers · D, B, H].
RecurrentEncoder::Run RecurrentEncoder::run(const Tensor& x, const Tensor& lengths) const {
  Tensor y, h;
  if (lstm_) {
    LstmResult r = (*lstm_)(x, {}, lengths);
    y = r.y, h = r.h;
  } else {
    RecurrentResult r = (*gru_)(x, {}, lengths);
    y = r.y, h = r.h;
  }
  int64_t blocks = h.size(0);
  Tensor last = select(h, 0, blocks - 1);
  return {y, config_.bidirectional ? cat({select(h, 0, blocks - 2), last}, 1) : last};
}

RecurrentEncoder::Encoded RecurrentEncoder::encode(const Tensor& x, const Tensor& mask) const {
  check_input(config_, x, mask);
  Tensor seen = mask.defined() ? mask != 0 : full({x.size(0), x.size(1)}, true, boolean, x.device());
  Run r = run(embedding_ ? dropout_((*embedding_)(x)) : x, mask.defined() ? lengths_of(mask) : Tensor{});
  if (config_.pooling == "mean") return {mean_state(r.states, seen), r.states, {}};
  if (config_.pooling == "max") return {max_state(r.states, seen), r.states, {}};
  if (config_.pooling == "last") return {r.last, r.states, {}};
  Tensor attention = (*attention_)(r.states, seen);
  return {sum(r.states * unsqueeze(attention, 2), {1}), r.states, attention};
}

}  // namespace plumb::recurrent
