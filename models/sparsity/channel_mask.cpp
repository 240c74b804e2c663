// Channel masks, row by row in f64, and the arithmetic that they save.
#include "models/sparsity/channel_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::sparsity {
namespace {

constexpr double kTolerance = 1e-5;

// Channels of one sample, strongest first; of equals the lower one first.
std::vector<size_t> strongest_first(const double* strength, size_t channels) {
  std::vector<size_t> order(channels);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return strength[a] > strength[b]; });
  return order;
}

// f(strength of the sample, its row of the mask), for all samples; rows start at 0.
template <typename F>
Tensor each_sample(const Tensor& out, F&& f) {
  Tensor strength = channel_strength(out), mask = zeros(strength.shape());
  std::vector<double> all = to_vector(strength);
  auto channels = static_cast<size_t>(strength.size(1));
  for (int64_t n = 0; n < strength.size(0); ++n)
    f(all.data() + static_cast<size_t>(n) * channels, mask.data<float>() + n * strength.size(1));
  return to(mask, out.device());
}

void keep_by_mass(const double* c, size_t channels, double r, size_t keep_at_least, float* mask) {
  double total = std::accumulate(c, c + channels, 0.0);
  if (r < 0 || total == 0) {
    std::fill(mask, mask + channels, 1.0f);
    return;
  }
  std::vector<size_t> order = strongest_first(c, channels);
  double sum = 0;
  for (size_t k = 0; k < channels; ++k) {
    size_t f = order[k];
    sum += c[f] / total;
    bool kept = r == 1 ? c[f] / total > kTolerance : sum <= r + kTolerance;
    if (kept || k < keep_at_least) mask[f] = 1;
  }
}

void check_masks(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) throw ShapeError("mask_agreement: masks " + to_string(a.shape()) + " and " + to_string(b.shape()));
}

}  // namespace

Tensor channel_strength(const Tensor& out) {
  if (out.rank() < 2) throw ShapeError("channel_strength: takes [N, C, ..], got " + to_string(out.shape()));
  NoGrad off;
  Tensor size = abs(out.detach());
  return size.rank() == 2 ? size : amax(flatten(size, 2), {2});
}

Tensor activation_mass_mask(const Tensor& out, double r, int64_t keep_at_least) {
  if (!(r <= 1)) throw ValueError("activation_mass_mask: r must not exceed 1, it is " + decimal(r));
  if (out.rank() >= 2 && (keep_at_least < 0 || keep_at_least > out.size(1)))
    throw ValueError("activation_mass_mask: " + std::to_string(keep_at_least) + " of " + std::to_string(out.size(1)) +
                     " channels cannot be kept");
  auto channels = static_cast<size_t>(out.rank() >= 2 ? out.size(1) : 0);
  return each_sample(out, [&](const double* c, float* mask) { keep_by_mass(c, channels, r, static_cast<size_t>(keep_at_least), mask); });
}

Tensor topk_mask(const Tensor& out, double pruned) {
  if (!(pruned >= 0 && pruned <= 1)) throw ValueError("topk_mask: the pruned share must lie in [0, 1], it is " + decimal(pruned));
  auto channels = static_cast<size_t>(out.rank() >= 2 ? out.size(1) : 0);
  auto kept = channels - static_cast<size_t>(std::floor(pruned * static_cast<double>(channels)));
  return each_sample(out, [&](const double* c, float* mask) {
    std::vector<size_t> order = strongest_first(c, channels);
    for (size_t k = 0; k < kept; ++k)
      if (c[order[k]] > kTolerance) mask[order[k]] = 1;
  });
}

Tensor shuffled_mask(const Tensor& mask, Generator& g) {
  Tensor host = to(to(mask.detach(), f32), cpu);
  std::vector<float> all = to_vector<float>(host);
  auto channels = static_cast<size_t>(mask.size(1));
  for (size_t row = 0; row + channels <= all.size() && channels > 0; row += channels)
    for (size_t i = channels; i > 1; --i) std::swap(all[row + i - 1], all[row + g.next_below(i)]);
  return to(from_vector(all, mask.shape()), mask.device());
}

Tensor mask_channels(const Tensor& out, const Tensor& mask) {
  bool fits = mask.rank() == 2 && out.rank() >= 2 && mask.size(1) == out.size(1) && (mask.size(0) == out.size(0) || mask.size(0) == 1);
  if (!fits) throw ShapeError("mask_channels: a mask " + to_string(mask.shape()) + " does not fit channels of " + to_string(out.shape()));
  Shape shape = Shape::filled(out.rank(), 1);
  shape[0] = mask.size(0), shape[1] = mask.size(1);
  return out * reshape(mask, shape);
}

// -- arithmetic ----------------------------------------------------------------------------------------

double ConvCost::active(double active_out, double active_in) const {
  if (active_out > static_cast<double>(out) || active_in > static_cast<double>(in) || active_out < 0 || active_in < 0)
    throw ValueError("flops: " + std::to_string(active_out) + " of " + std::to_string(out) + " outputs and " + std::to_string(active_in) +
                     " of " + std::to_string(in) + " inputs cannot be active");
  double inputs = groups == in && groups > 1 ? 1 : active_in / static_cast<double>(groups);
  double work = active_out * static_cast<double>(height * width) * inputs * static_cast<double>(kernel * kernel);
  return predicted ? work + static_cast<double>(in * out) : work;
}

double ConvCost::dense() const {
  return ConvCost{in, out, height, width, kernel, groups}.active(static_cast<double>(out), static_cast<double>(in));
}

DynamicFlops::DynamicFlops(std::vector<ConvCost> layers, double rest) : layers_(std::move(layers)), rest_(rest) {
  for (size_t l = 1; l < layers_.size(); ++l)
    if (layers_[l].in != layers_[l - 1].out)
      throw ShapeError("flops: layer " + std::to_string(l) + " has " + std::to_string(layers_[l].in) + " inputs, the one before " +
                       std::to_string(layers_[l - 1].out) + " outputs");
}

double DynamicFlops::dense() const {
  double total = rest_;
  for (const ConvCost& layer : layers_) total += layer.dense();
  return total;
}

std::vector<double> DynamicFlops::per_sample(const std::vector<Tensor>& masks) const {
  if (masks.size() != layers_.size())
    throw ShapeError("flops: " + std::to_string(masks.size()) + " masks for " + std::to_string(layers_.size()) + " layers");
  std::vector<std::vector<double>> active(masks.size());
  size_t samples = 1;
  for (size_t l = 0; l < masks.size(); ++l) {
    if (!masks[l].defined()) continue;
    if (masks[l].rank() != 2 || masks[l].size(1) != layers_[l].out)
      throw ShapeError("flops: a mask " + to_string(masks[l].shape()) + " for " + std::to_string(layers_[l].out) + " channels");
    active[l] = to_vector(sum(masks[l].detach(), {1}));
    samples = std::max(samples, active[l].size());
  }
  std::vector<double> totals(samples, rest_);
  for (size_t n = 0; n < samples; ++n)
    for (size_t l = 0; l < layers_.size(); ++l) {
      auto kept = [&](size_t layer) {
        const auto& a = active[layer];
        if (a.empty()) return static_cast<double>(layers_[layer].out);
        if (a.size() != 1 && a.size() != samples)
          throw ShapeError("flops: masks of " + std::to_string(a.size()) + " and " + std::to_string(samples) + " samples");
        return a.size() == 1 ? a[0] : a[n];
      };
      totals[n] += layers_[l].active(kept(l), l == 0 ? static_cast<double>(layers_[0].in) : kept(l - 1));
    }
  return totals;
}

double DynamicFlops::reduction(const std::vector<Tensor>& masks) const {
  std::vector<double> all = per_sample(masks);
  return 1 - std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size()) / dense();
}

double mask_agreement(const Tensor& a, const Tensor& b) {
  check_masks(a, b);
  return mean(to(a.detach() == b.detach(), f32)).item();
}

double varying_share(const Tensor& mask, double rare) {
  std::vector<double> kept = to_vector(mean(mask.detach(), {0}));
  auto varying = std::ranges::count_if(kept, [&](double share) { return share > rare && share < 1 - rare; });
  return static_cast<double>(varying) / static_cast<double>(std::max<size_t>(1, kept.size()));
}

}  // namespace plumb::sparsity
