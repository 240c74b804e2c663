// Samplers. Coefficients are numbers computed in f64; tensors are only scaled and added.
#include "models/diffusion/sampler.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::diffusion {
namespace {

struct NamedSampler {
  std::string_view name;
  Sampler sampler;
};
constexpr NamedSampler kSamplers[] = {{"euler", Sampler::euler}, {"ddim", Sampler::ddim},         {"ancestral", Sampler::ancestral},
                                      {"heun", Sampler::heun},   {"dpmpp_2m", Sampler::dpmpp_2m}, {"consistency", Sampler::consistency}};

class Run {
 public:
  Run(const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas, const SamplerOptions& options)
      : denoiser_(denoiser), x_(x), sigmas_(sigmas), options_(options), steps_(static_cast<int64_t>(sigmas.size()) - 1) {}

  Tensor operator()() {
    if (options_.sampler == Sampler::consistency) return consistency();
    for (int64_t i = 0; i < steps_; ++i) {
      step(sigmas_[static_cast<size_t>(i)], sigmas_[static_cast<size_t>(i) + 1]);
      report(i);
    }
    return x_;
  }

 private:
  void step(double sigma, double next) {
    switch (options_.sampler) {
      case Sampler::heun: return heun_step(churned(sigma), next);
      case Sampler::euler: return euler_step(churned(sigma), next);
      case Sampler::dpmpp_2m: return dpmpp_step(sigma, next);
      default: return noisy_step(sigma, next, options_.sampler == Sampler::ancestral ? 1 : options_.eta);
    }
  }

  Tensor denoised(const Tensor& x, double sigma) { return estimate_ = denoiser_(x, full({x.size(0)}, sigma, x.dtype(), x.device())); }
  Tensor noise() { return randn_like(x_, options_.generator); }
  void report(int64_t i) const {
    if (options_.on_step) options_.on_step(i, estimate_);
  }

  // Raises the noise from σ to σ (1 + γ), γ = min(churn / steps, √2 − 1).
  double churned(double sigma) {
    if (options_.churn <= 0 || sigma < options_.churn_min || sigma > options_.churn_max) return sigma;
    double raised = sigma * (1 + std::min(options_.churn / static_cast<double>(steps_), std::sqrt(2.0) - 1));
    x_ = x_ + noise() * (options_.churn_noise * std::sqrt(raised * raised - sigma * sigma));
    return raised;
  }

  void euler_step(double sigma, double next) {
    Tensor d = denoised(x_, sigma);
    x_ = d + (x_ - d) * (next / sigma);
  }

  void noisy_step(double sigma, double next, double eta) {
    Tensor d = denoised(x_, sigma);
    auto [up, down] = eta_step(sigma, next, eta);
    x_ = d + (x_ - d) * (down / sigma);
    if (up > 0) x_ = x_ + noise() * up;
  }

  // Slope at both ends, averaged; towards 0 there is no second slope.
  void heun_step(double sigma, double next) {
    Tensor slope = (x_ - denoised(x_, sigma)) * (1 / sigma), there = x_ + slope * (next - sigma);
    if (next > 0) {
      Tensor second = (there - denoised(there, next)) * (1 / next);
      there = x_ + (slope + second) * (0.5 * (next - sigma));
    }
    x_ = there;
  }

  // In λ = −ln σ:  x' = (s/σ) x + (1 − s/σ) D̃, D̃ = D + (D − D_last) h/(2 h_last): D extrapolated to the middle of the step. Towards 0
  // h is infinite; there x' = D.
  void dpmpp_step(double sigma, double next) {
    std::optional<Tensor> last = last_estimate_;
    Tensor d = denoised(x_, sigma);
    last_estimate_ = d;
    double h = std::log(sigma / next);
    if (last && next > 0) d = d + (d - *last) * (h / (2 * last_h_));
    last_h_ = h;
    x_ = d + (x_ - d) * (next / sigma);
  }

  // The first call sees the given noise; every further one the last result with fresh noise.
  Tensor consistency() {
    Tensor clean;
    int64_t i = 0;
    for (double sigma : sigmas_) {
      if (sigma == 0) break;
      if (i > 0) x_ = clean + noise() * std::sqrt(std::max(sigma * sigma - options_.sigma_min * options_.sigma_min, 0.0));
      clean = denoised(x_, sigma);
      report(i++);
    }
    return clean;
  }

  const Denoiser& denoiser_;
  Tensor x_;
  const std::vector<double>& sigmas_;
  const SamplerOptions& options_;
  int64_t steps_;
  Tensor estimate_;
  std::optional<Tensor> last_estimate_;
  double last_h_ = 0;
};

void check(const std::vector<double>& sigmas, const SamplerOptions& o) {
  size_t least = o.sampler == Sampler::consistency ? 1 : 2;
  if (sigmas.size() < least)
    throw ValueError("sample: " + std::string(name(o.sampler)) + " needs at least " + std::to_string(least) + " noise levels, got " +
                     std::to_string(sigmas.size()));
  if (!(sigmas.front() > 0)) throw ValueError("sample: the first noise level must be positive, it is " + decimal(sigmas.front()));
  for (size_t i = 0; i + 1 < sigmas.size(); ++i)
    if (!(sigmas[i + 1] < sigmas[i]) || sigmas[i + 1] < 0)
      throw ValueError("sample: noise levels must descend to 0 at least, " + decimal(sigmas[i]) + " is followed by " +
                       decimal(sigmas[i + 1]));
  if (!(o.eta >= 0 && o.eta <= 1)) throw ValueError("sample: eta must lie in [0, 1], it is " + decimal(o.eta));
  if (!(o.churn >= 0)) throw ValueError("sample: churn must not be negative, it is " + decimal(o.churn));
}

}  // namespace

Sampler sampler_from_name(std::string_view wanted) {
  std::string known;
  for (const NamedSampler& s : kSamplers) {
    if (s.name == wanted) return s.sampler;
    known += (known.empty() ? "" : ", ") + std::string(s.name);
  }
  throw ValueError("sampler \"" + std::string(wanted) + "\" is unknown; choose from " + known);
}

std::string_view name(Sampler sampler) { return kSamplers[static_cast<size_t>(sampler)].name; }

EtaStep eta_step(double sigma, double next, double eta) {
  if (!(next >= 0 && next < sigma))
    throw ValueError("eta_step: the next level " + decimal(next) + " must lie in [0, " + decimal(sigma) + ")");
  if (!(eta >= 0 && eta <= 1)) throw ValueError("eta_step: eta must lie in [0, 1], it is " + decimal(eta));
  double up = eta * next * std::sqrt((sigma * sigma - next * next) / (sigma * sigma));
  return {up, std::sqrt(std::max(next * next - up * up, 0.0))};
}

Tensor sample(const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas, const SamplerOptions& options) {
  check(sigmas, options);
  NoGrad off;
  return Run(denoiser, x, sigmas, options)();
}

}  // namespace plumb::diffusion
