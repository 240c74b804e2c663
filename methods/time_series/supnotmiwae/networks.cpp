// Networks over series.
#include "methods/time_series/supnotmiwae/networks.h"

#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::supnotmiwae {

SeriesNetwork::SeriesNetwork(nn::Module* parent, std::string name, int64_t inputs, const NetworkOptions& o)
    : Module(parent, std::move(name)),
      causal_(o.causal),
      width_(o.width),
      entrance_(this, "entrance", inputs, o.width, o.kernel, {.same = true}) {
  for (int64_t i = 0; i < o.layers; ++i)
    blocks_.emplace_back(transformer::PreNormOptions{.width = o.width, .heads = o.heads, .inner = 2 * o.width, .dropout = o.dropout});
}

Tensor SeriesNetwork::operator()(const Tensor& x, const Tensor& times, const Tensor& valid) const {
  int64_t steps = x.size(1);
  Tensor h = tanh(transpose(entrance_(transpose(x, 1, 2)), 1, 2)) + time_code(times, width_);
  Tensor keys = unsqueeze(unsqueeze(valid > 0, 1), 1);  // [N, 1, 1, T]
  Tensor mask = causal_ ? logical_and(keys, tril_mask(steps, steps)) : keys;
  for (const auto& block : blocks_) h = block(h, mask);
  return h;
}

Tensor bounded_deviation(const Tensor& x, double least) { return softplus(x) * (1 - least) + least; }

GaussianNetwork::GaussianNetwork(nn::Module* parent, std::string name, int64_t inputs, int64_t outputs, double least,
                                 const NetworkOptions& o)
    : Module(parent, std::move(name)),
      least_(least),
      network_(this, "network", inputs, o),
      mean_(this, "mean", o.width, outputs),
      deviation_(this, "deviation", o.width, outputs) {}

Gaussian GaussianNetwork::operator()(const Tensor& x, const Tensor& times, const Tensor& valid) const {
  Tensor h = network_(x, times, valid);
  return {mean_(h), bounded_deviation(deviation_(h), least_)};
}

MissingnessModel::MissingnessModel(nn::Module* parent, std::string name, int64_t channels, int64_t width, bool bounded_logits)
    : Module(parent, std::move(name)),
      bounded_(bounded_logits),
      hidden_(this, "hidden", channels, width),
      logits_(this, "logits", width, channels) {}

Tensor MissingnessModel::log_probability(const Tensor& imputed, const Tensor& kept, const Tensor& valid) const {
  Tensor logits = logits_(tanh(hidden_(imputed)));
  if (bounded_) logits = tanh(logits);
  Tensor each = binary_cross_entropy_with_logits(logits, kept, {.reduction = Reduction::none});
  return -sum(each * unsqueeze(valid, -1), {-2, -1});
}

SeriesClassifier::StaticToken::StaticToken(nn::Module* parent, std::string name, int64_t statics, int64_t width, int64_t channels)
    : Module(parent, std::move(name)), in(this, "in", statics, width), out(this, "out", width, channels) {}

Tensor SeriesClassifier::StaticToken::operator()(const Tensor& statics) const { return out(relu(in(statics))); }

SeriesClassifier::SeriesClassifier(nn::Module* parent, std::string name, int64_t inputs, int64_t classes, int64_t statics,
                                   Aggregation aggregation, NetworkOptions o)
    : Module(parent, std::move(name)),
      aggregation_(aggregation),
      network_(this, "network", inputs, (o.causal = false, o)),
      head_(this, "head", o.width, classes) {
  if (statics > 0) token_.emplace(this, "static_token", statics, o.width, inputs);
}

Tensor SeriesClassifier::operator()(const Tensor& series, const Tensor& series_times, const Tensor& series_valid,
                                    const Tensor& statics) const {
  if (statics.defined() != token_.has_value())
    throw ValueError(token_ ? "series_classifier: static features are missing"
                            : "series_classifier: static features are given, but the model has none");
  Tensor x = series * unsqueeze(series_valid, -1), times = series_times, valid = series_valid;
  if (token_) {
    Tensor first = narrow(valid, 1, 0, 1);
    x = cat({unsqueeze((*token_)(statics), 1), x}, 1);
    times = cat({zeros_like(first), times}, 1);
    valid = cat({ones_like(first), valid}, 1);
  }
  Tensor h = network_(x, times, valid), entries = unsqueeze(valid, -1);
  Tensor whole =
      aggregation_ == Aggregation::mean ? sum(h * entries, {1}) / sum(entries, {1}) : amax(masked_fill(h, entries == 0, -1e30), {1});
  return head_(whole);
}

}  // namespace plumb::methods::supnotmiwae
