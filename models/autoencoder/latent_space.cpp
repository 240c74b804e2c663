// Measuring a latent space, going there and back.
#include "models/autoencoder/latent_space.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/nn/modes.h"
#include "models/nn/placement.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::autoencoder {
namespace {

constexpr int64_t kBatch = 250;
constexpr int64_t kMostRows = 1024;  // of a covariance
constexpr double kRidge =
    1e-4;  // variance added to each scaled latent, so that the covariance of latents that depend on each other has a factor

DType type_of(const Autoencoder& model) { return model.parameters()[0].dtype(); }

// As the model was found, evaluating meanwhile.
class Evaluating {
 public:
  explicit Evaluating(Autoencoder& model) : modes_(model) { model.eval(); }

 private:
  nn::Modes modes_;
  NoGrad off_;
};

}  // namespace

Tensor LatentSpace::across(const Tensor& channels) const {
  Tensor x = nn::input_for(*model_, channels);
  return shape().rank() == 1 ? x : unsqueeze(unsqueeze(x, 1), 1);
}

Tensor LatentSpace::encode(const Tensor& images) const {
  Evaluating on(*model_);
  return (model_->encode(nn::input_for(*model_, images)) - across(mean_)) / across(std_);
}

Tensor LatentSpace::decode(const Tensor& latents) const {
  Evaluating on(*model_);
  return model_->decode(nn::input_for(*model_, latents) * across(std_) + across(mean_));
}

LatentSpace LatentSpace::measured(Autoencoder& model, const data::Dataset& images, int64_t most) {
  LatentSpace space(model);
  std::vector<Tensor> parts;
  {
    Evaluating on(model);
    for (const auto& batch : images.take(std::min(most, images.size())).batch(kBatch))
      parts.push_back(to(to(model.encode(nn::input_for(model, batch.image)), cpu), f64));
  }
  NoGrad off;
  Tensor latents = cat(parts);
  std::vector<int> others{0};
  for (int d = 2; d < latents.rank(); ++d) others.push_back(d);
  Tensor center = mean(latents, others, true), spread = clamp_min(std_dev(latents, others, 0, true), 1e-6);
  space.mean_ = to(flatten(center), f32);
  space.std_ = to(flatten(spread), f32);
  Tensor rows = flatten((latents - center) / spread, 1);
  if (rows.size(1) > kMostRows) return space;
  Tensor place_mean = mean(rows, {0}), apart = rows - place_mean;
  Tensor covariance = matmul(transpose(apart, 0, 1), apart) / static_cast<double>(rows.size(0)) + kRidge * eye(rows.size(1), -1, f64);
  space.place_mean_ = to(place_mean, f32);
  space.factor_ = to(cholesky(covariance), f32);
  return space;
}

LatentSpace::LatentSpace(Autoencoder& model, const StateDict& state) : model_(&model) {
  int64_t channels = model.config().latent, n = numel(shape());
  auto take = [&](const std::string& name, const Shape& wanted) {
    auto found = state.find(name);
    if (found == state.end()) throw ValueError("latent space: \"" + name + "\" is missing");
    if (found->second.shape() != wanted)
      throw ShapeError("latent space: \"" + name + "\" is " + to_string(found->second.shape()) + ", this model's is " + to_string(wanted));
    return found->second;
  };
  mean_ = take("mean", {channels});
  std_ = take("std", {channels});
  if (!state.contains("factor")) return;
  place_mean_ = take("place_mean", {n});
  factor_ = take("factor", {n, n});
}

StateDict LatentSpace::state() const {
  StateDict state{{"mean", mean_}, {"std", std_}};
  if (factor_.defined()) state["place_mean"] = place_mean_, state["factor"] = factor_;
  return state;
}

Tensor LatentSpace::sample(int64_t count, Generator& random) const {
  if (!factor_.defined())
    throw ValueError("latent space: a latent " + to_string(shape()) + " is too large for a Gaussian with its covariance");
  NoGrad off;
  Tensor rows = linear(randn({count, numel(shape())}, {.generator = &random}), factor_, place_mean_);
  Shape all{count};
  for (int64_t size : shape()) all.push_back(size);
  return to(reshape(rows, all), type_of(*model_));
}

}  // namespace plumb::autoencoder
