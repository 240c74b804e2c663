// Vector quantisation: the nearest codes, and how the codebook follows them.
#include "models/autoencoder/quantizer.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::autoencoder {
namespace {

constexpr double kUsageDecay = 0.99;  // of the running counts of a codebook that is learned by the loss
constexpr double kSmoothing = 1e-5;

// [B, width, places..] → [B · places, width].
Tensor as_rows(const Tensor& z) { return flatten(movedim(z, 1, -1), 0, -2); }

}  // namespace

VectorQuantizer::VectorQuantizer(const QuantizerConfig& c, int64_t width) : config_((c.check(), c)), width_(width) {
  Tensor start = empty({c.codes, width});
  nn::init::uniform(start, -1 / static_cast<double>(c.codes), 1 / static_cast<double>(c.codes));
  register_module("embedding", embedding_);
  if (c.decay > 0) embedding_.register_buffer("weight", embedding_.average, start);
  else embedding_.register_parameter("weight", embedding_.weight, start);
  register_buffer("ema_count", ema_count_, zeros({c.codes}));
  if (c.decay > 0) register_buffer("ema_sum", ema_sum_, zeros({c.codes, width}));
}

const Tensor& VectorQuantizer::codebook() const {
  return config_.decay > 0 ? static_cast<const Tensor&>(embedding_.average) : embedding_.weight;
}

// ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖², of which the first term is the same for all codes.
Tensor VectorQuantizer::nearest(const Tensor& z) const {
  if (z.rank() < 2 || z.size(1) != width_)
    throw ShapeError("vector quantizer: takes vectors [B, " + std::to_string(width_) + ", ..], got " + to_string(z.shape()));
  NoGrad off;
  Autocast full_precision(f32);
  Tensor codes = codebook(), distances = sum(square(codes), {1}) - 2 * linear(plumb::to(as_rows(z), codes.dtype()), codes);
  Shape places = z.shape();
  places.erase(1);
  return reshape(argmin(distances, 1), places);
}

Tensor VectorQuantizer::lookup(const Tensor& indices) const { return movedim(embedding(codebook(), indices), -1, 1); }

void VectorQuantizer::restart_dead(const Tensor& rows, Generator& random) const {
  Tensor chosen =
      index_select(rows, 0, randint(0, rows.size(0), {config_.codes}, {.dtype = i64, .device = rows.device(), .generator = &random}));
  Tensor dead = ema_count_ < config_.restart, codes = codebook(), counts = ema_count_;
  double fresh = 2 * config_.restart;
  copy_data(where(unsqueeze(dead, 1), chosen, codes), codes);
  copy_data(where(dead, fresh, counts), counts);
  if (!ema_sum_.defined()) return;
  Tensor sums = ema_sum_;
  copy_data(where(unsqueeze(dead, 1), chosen * fresh, sums), sums);
}

void VectorQuantizer::count(const Tensor& indices) const {
  Tensor counts = ema_count_;
  copy_data(lerp(plumb::to(bincount(flatten(indices), {}, config_.codes), counts.dtype()), counts,
                 config_.decay > 0 ? config_.decay : kUsageDecay),
            counts);
}

void VectorQuantizer::follow(const Tensor& rows, const Tensor& indices) const {
  Tensor sums = ema_sum_, codes = codebook();
  copy_data(lerp(index_add(zeros_like(sums), 0, flatten(indices), rows), sums, config_.decay), sums);
  Tensor total = sum(ema_count_), smoothed = (ema_count_ + kSmoothing) / (total + kSmoothing * static_cast<double>(config_.codes)) * total;
  Tensor used = unsqueeze(ema_count_ > kSmoothing, 1);  // a code that nothing uses stays where it is
  copy_data(where(used, sums / unsqueeze(smoothed, 1), codes), codes);
}

Quantized VectorQuantizer::operator()(const Tensor& z, Generator& random) const {
  Tensor rows = as_rows(z).detach();
  if (training() && config_.restart > 0) {
    NoGrad off;
    restart_dead(plumb::to(rows, codebook().dtype()), random);
  }
  Tensor indices = nearest(z), codes = plumb::to(lookup(indices), z.dtype());
  double batch = static_cast<double>(std::max<int64_t>(1, z.size(0)));
  Tensor loss = config_.commitment * sum(square(z - codes.detach())) / batch;
  if (config_.decay == 0) loss = loss + sum(square(z.detach() - codes)) / batch;
  if (training()) {
    NoGrad off;
    count(indices);
    if (config_.decay > 0) follow(plumb::to(rows, codebook().dtype()), indices);
  }
  return {z + (codes - z).detach(), indices, loss};
}

double perplexity(const Tensor& indices, int64_t codes) {
  Tensor share = to(bincount(flatten(indices), {}, codes), f64) / static_cast<double>(indices.numel());
  return std::exp(-sum(xlogy(share, share)).item());
}

}  // namespace plumb::autoencoder
