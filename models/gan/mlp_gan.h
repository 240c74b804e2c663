// An adversarial pair of perceptrons, for vectors and very small images.
#pragma once
#include <vector>

#include "models/gan/gan.h"
#include "models/mlp/mlp.h"

namespace plumb::gan {

struct MlpGanConfig {
  int64_t features = 2;  ///< numbers an example
  int64_t latent = 8;    ///< random numbers an example is made of
  std::vector<int64_t> hidden{128, 128};
  double low = 0, high = 0;  ///< range of the generated numbers, reached by tanh; equal: unbounded
  /// Throws ConfigError for what makes no pair.
  void check() const;
};

/// z [B, latent] → [B, features], and [B, features] → logits [B]; SiLU layers, so that penalties on slopes are smooth.
class MlpGan : public Gan {
 public:
  explicit MlpGan(const MlpGanConfig& config);
  int64_t latent() const override { return config_.latent; }
  Tensor styles(const Tensor& z, Generator&) const override;
  Tensor synthesize(const Tensor& styles, Generator&) const override;
  Tensor judge(const Tensor& examples) const override;
  nn::Module& generator() override { return generator_; }
  nn::Module& discriminator() override { return discriminator_; }
  const MlpGanConfig& config() const { return config_; }

 private:
  MlpGanConfig config_;
  mlp::Mlp generator_, discriminator_;
};

}  // namespace plumb::gan
