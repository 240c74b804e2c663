// Losses and the adaptation step.
#include "methods/generative/phasic_diffusion/phasic_diffusion.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/precondition.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::phasic_diffusion {

using namespace diffusion;

namespace {

// The mean of each example's numbers, [B].
Tensor example_means(const Tensor& x) { return mean(flatten(x, 1), {1}); }

// log p_i over j ≠ i of the cosines between rows, [B, B]; the diagonal holds log 0 as a large negative number.
Tensor log_similarities(const Tensor& x) {
  Tensor rows = flatten(x, 1), length = sqrt(sum(square(rows), {1}, true) + 1e-12);
  Tensor cosines = matmul(rows / length, mT(rows / length));
  return log_softmax(cosines + eye(x.size(0), -1, x.dtype(), x.device()) * -1e4, 1);
}

Tensor alpha_bars(const VpSchedule& schedule, const Tensor& t, const Tensor& like) {
  return to(to(schedule.alpha_bar(t), like.dtype()), like.device());
}

}  // namespace

Tensor domain_direction(const Tensor& target, const Tensor& source) {
  if (target.rank() != 2 || source.rank() != 2 || target.size(0) < 1 || source.size(0) < 1)
    throw ValueError("domain_direction: needs features [n, D] of both domains, got " + to_string(target.shape()) + " and " +
                     to_string(source.shape()));
  NoGrad off;
  return mean(target, {0}) - mean(source, {0});
}

Tensor ddc_loss(const Tensor& translated, const Tensor& source, const Tensor& direction) {
  if (translated.rank() != 2 || translated.shape() != source.shape() || direction.shape() != Shape{translated.size(1)})
    throw ShapeError("ddc_loss: features " + to_string(translated.shape()) + " and " + to_string(source.shape()) + " and a direction " +
                     to_string(direction.shape()) + " do not fit together");
  return mean(square(translated - (source.detach() + direction.detach())), {1});
}

Tensor gram_matrix(const Tensor& map) {
  if (map.rank() != 4) throw ShapeError("gram_matrix: takes maps [B, C, H, W], got " + to_string(map.shape()));
  Tensor rows = flatten(map, 2);
  return matmul(rows, mT(rows)) / static_cast<double>(rows.size(1) * rows.size(2));
}

Tensor gram_style_loss(const std::vector<Tensor>& translated, const std::vector<Tensor>& shots) {
  if (translated.empty() || translated.size() != shots.size())
    throw ValueError("gram_style_loss: " + std::to_string(translated.size()) + " layers of the translations and " +
                     std::to_string(shots.size()) + " of the shots");
  Tensor total;
  for (size_t layer = 0; layer < shots.size(); ++layer) {
    Tensor apart = unsqueeze(gram_matrix(translated[layer]), 1) - unsqueeze(gram_matrix(shots[layer]), 0);  // [B, k, C, C]
    Tensor loss = mean(sum(square(apart), {2, 3}), {1});
    total = total.defined() ? total + loss : loss;
  }
  return total;
}

Tensor pairwise_similarity_loss(const Tensor& adapted, const Tensor& source) {
  if (adapted.rank() < 1 || adapted.size(0) < 3)
    throw ValueError("pairwise_similarity_loss: needs at least 3 samples, got " + to_string(adapted.shape()));
  Tensor wanted = log_similarities(source.detach()), got = log_similarities(adapted);
  return mean(sum(exp(wanted) * (wanted - got), {1}));
}

double phase_weight(double t, double steps, double base) { return std::pow(base, t / steps); }

Tensor noise_losses(const PhasicUnet& model, const Tensor& images, const Tensor& t, const Tensor& content, Generator& generator) {
  Tensor eps = randn_like(images, &generator), x = add_noise(images, eps, alpha_bars(model.schedule(), t, images));
  return example_means(abs(model(x, t, content, generator) - eps));
}

Tensor fusion_loss(const PhasicUnet& model, const Tensor& images, Generator& generator) {
  Tensor t = randint(0, model.schedule().steps(), {images.size(0)}, {.dtype = i64, .generator = &generator});
  return mean(noise_losses(model, images, t, images, generator));
}

void AdaptOptions::check(int64_t steps) const {
  if (!(0 < detail_end && detail_end < content_end && content_end <= steps))
    throw ValueError("phasic: times must run 0 < detail_end < content_end <= " + std::to_string(steps) + ", they are " +
                     std::to_string(detail_end) + " and " + std::to_string(content_end));
  if (!(base > 1)) throw ValueError("phasic: the base of the weights must be above 1, it is " + decimal(base));
  for (double weight : {detail_share, ddc, style})
    if (!(weight >= 0)) throw ValueError("phasic: weights must not be negative, one is " + decimal(weight));
  if (!(blend > 0)) throw ValueError("phasic: the exponent of the blend must be positive, it is " + decimal(blend));
}

PhasicAdaptation::PhasicAdaptation(PhasicUnet& model, ImageEncoder encoder, Tensor shots, Tensor direction, const AdaptOptions& options)
    : model_(model), encoder_(std::move(encoder)), shots_(std::move(shots)), direction_(std::move(direction)), options_(options) {
  options.check(model.schedule().steps());
  if (!shots_.defined() || shots_.rank() != 4 || shots_.size(0) < 1) throw ValueError("phasic: there is no target image to adapt to");
  if (options.style == 0) return;
  NoGrad off;
  shot_maps_ = encoder_.style_maps(shots_);
}

Tensor PhasicAdaptation::targets(int64_t n, Generator& generator) const {
  Tensor chosen = randint(0, shots_.size(0), {n}, {.dtype = i64, .generator = &generator});
  return index_select(shots_, 0, to(chosen, shots_.device())) * 2.0 - 1.0;
}

double PhasicAdaptation::content_weight(double t) const {
  return phase_weight(t, static_cast<double>(model_.schedule().steps()), options_.base);
}
double PhasicAdaptation::detail_weight(double t) const { return std::pow(options_.base, options_.power) - content_weight(t); }
double PhasicAdaptation::blended_detail(double t) const {
  return 1 - std::pow(t / static_cast<double>(model_.schedule().steps()), options_.blend);
}
double PhasicAdaptation::blended_content(double t) const { return model_.gate()(t) * (1 - blended_detail(t)); }

Tensor PhasicAdaptation::weights(const Tensor& t, double (PhasicAdaptation::*weight)(double) const) const {
  std::vector<float> values;
  for (double time : to_vector(t)) values.push_back(static_cast<float>((this->*weight)(time)));
  return to(from_vector(values), shots_.device());
}

Tensor PhasicAdaptation::content_losses(const Tensor& source, const Tensor& t, Generator& generator) const {
  Tensor content = source * 2.0 - 1.0, alpha_bar = alpha_bars(model_.schedule(), t, source);
  Tensor x = add_noise(content, randn_like(content, &generator), alpha_bar);
  Tensor clean = clamp(predicted_clean(Prediction::eps, x, model_(x, t, content, generator), alpha_bar), -1, 1);
  Tensor y = (clean + 1.0) * 0.5, losses = zeros({source.size(0)}, source.dtype(), source.device());
  if (options_.ddc > 0) {
    Tensor of_source;
    {
      NoGrad off;
      of_source = encoder_.features(source);
    }
    losses = losses + ddc_loss(encoder_.features(y), of_source, direction_) * options_.ddc;
  }
  if (options_.style > 0) losses = losses + gram_style_loss(encoder_.style_maps(y), shot_maps_) * options_.style;
  return losses;
}

double PhasicAdaptation::step(int64_t iteration, const Tensor& source, optim::Optimizer& optimizer, Generator& generator) {
  bool blended = options_.phases == Phases::blended, content = blended || iteration % 2 == 0;
  int64_t n = source.size(0), low = blended || !content ? 0 : options_.detail_end;
  int64_t high = blended ? model_.schedule().steps() : content ? options_.content_end : options_.detail_end;
  Tensor t = randint(low, high, {n}, {.dtype = i64, .generator = &generator});
  double share = content ? 1 : options_.detail_share;
  auto detail = blended ? &PhasicAdaptation::blended_detail : &PhasicAdaptation::detail_weight;
  Tensor loss = mean(weights(t, detail) * noise_losses(model_, targets(n, generator), t, {}, generator)) * share;
  if (content && (options_.ddc > 0 || options_.style > 0)) {
    auto weight = blended ? &PhasicAdaptation::blended_content : &PhasicAdaptation::content_weight;
    loss = loss + mean(weights(t, weight) * content_losses(source, t, generator));
  }
  loss.backward();
  if (content) {
    optimizer.step();
    optimizer.zero_grad();
  }
  return loss.item();
}

}  // namespace plumb::methods::phasic_diffusion
