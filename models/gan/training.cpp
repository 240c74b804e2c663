// Steps of adversarial training.
#include "models/gan/training.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/clip.h"
#include "models/require.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

namespace plumb::gan {
namespace {

constexpr double kPathRate = 0.01;  // of the running mean of path lengths

// While alive, a part of the pair gets no gradients. What was frozen before stays so.
class Frozen {
 public:
  explicit Frozen(nn::Module& module) {
    for (const Tensor& p : module.parameters())
      if (p.requires_grad()) learning_.push_back(p);
    module.requires_grad_(false);
  }
  ~Frozen() {
    for (const Tensor& p : learning_) p.requires_grad_(true);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  std::vector<Tensor> learning_;
};

}  // namespace

void GanTrainingOptions::check() const {
  for (auto [name, value] :
       {std::pair{"--r1", r1}, {"--gradient-penalty", gradient_penalty}, {"--path-length", path_length}, {"--clip", clip}})
    require(value >= 0, std::string(name) + " must not be negative, it is " + decimal(value));
  for (auto [name, value] : {std::pair{"--r1-every", r1_every}, {"--path-every", path_every}, {"--critic-steps", critic_steps}})
    require(value >= 1, std::string(name) + " must be at least 1, it is " + decimal(value));
}

GanTraining::GanTraining(Gan& gan, optim::Optimizer& generator, optim::Optimizer& discriminator, const GanTrainingOptions& options,
                         std::function<Tensor(int64_t, int64_t)> real, Generator& random)
    : gan_(gan), generator_(generator), discriminator_(discriminator), options_((options.check(), options)), real_(std::move(real)),
      random_(random) {}

Tensor GanTraining::latents(int64_t count) const {
  Tensor like = gan_.parameters()[0];
  return randn({count, gan_.latent()}, {.dtype = like.dtype(), .device = like.device(), .generator = &random_});
}

double GanTraining::update(optim::Optimizer& optimizer, const Tensor& loss) {
  optimizer.zero_grad();
  loss.backward();
  if (options_.clip > 0) optim::clip_grad_norm(optimizer.parameters(), options_.clip);
  optimizer.step();
  return loss.item();
}

double GanTraining::discriminate(const Tensor& real, Measures& measures) {
  Tensor generated;
  {
    NoGrad off;
    generated = gan_.generate(latents(real.size(0)), random_);
  }
  Tensor real_logits = gan_.judge(real), generated_logits = gan_.judge(generated);
  Tensor loss = discriminator_loss(options_.loss, real_logits, generated_logits);
  if (options_.gradient_penalty > 0)
    loss = loss + options_.gradient_penalty * gradient_penalty([&](const Tensor& x) { return gan_.judge(x); }, real, generated, random_);
  double value = update(discriminator_, loss);
  measures = {{"train_real_logit", mean(real_logits).item()}, {"train_generated_logit", mean(generated_logits).item()}};
  return value;
}

double GanTraining::penalise_slopes(const Tensor& real) {
  Tensor images = real.detach().requires_grad_(), penalty = r1_penalty(gan_.judge(images), images);
  update(discriminator_, penalty * (options_.r1 / 2 * static_cast<double>(options_.r1_every)));
  return penalty.item();
}

double GanTraining::generate(int64_t batch) {
  Frozen frozen(gan_.discriminator());
  Tensor loss = generator_loss(options_.loss, gan_.judge(gan_.generate(latents(batch), random_)));
  for (const auto& more : generator_losses_) loss = loss + more();
  return update(generator_, loss);
}

// On half a batch, as it costs twice as much.
double GanTraining::penalise_paths(int64_t batch) {
  Tensor styles = gan_.styles(latents(std::max<int64_t>(1, batch / 2)), random_);
  if (!styles.requires_grad()) styles.requires_grad_();
  Tensor lengths = path_lengths(gan_.synthesize(styles, random_), styles, random_), average = gan_.path_length_mean;
  {
    NoGrad off;  // a mean that starts from 0 would draw all lengths there for its first hundreds of steps
    copy_data(lerp(average, mean(lengths), average.item() == 0 ? 1 : kPathRate), average);
  }
  Tensor penalty = mean(square(lengths - average));
  update(generator_, penalty * (options_.path_length * static_cast<double>(options_.path_every)));
  return mean(lengths).item();
}

std::vector<std::pair<std::string, double>> GanTraining::step(int64_t step) {
  Measures measures{{"train_loss", 0}}, logits;
  Tensor real;
  double discriminator = 0;
  for (int64_t i = 0; i < options_.critic_steps; ++i) {
    real = real_(step, i);
    discriminator = discriminate(real, logits);
  }
  measures.push_back({"train_discriminator_loss", discriminator});
  measures.insert(measures.end(), logits.begin(), logits.end());
  if (options_.r1 > 0 && step % options_.r1_every == 0) measures.push_back({"train_r1", penalise_slopes(real)});
  measures[0].second = generate(real.size(0));
  if (options_.path_length > 0 && step % options_.path_every == 0) measures.push_back({"train_path_length", penalise_paths(real.size(0))});
  return measures;
}

LazyRates lazy_rates(const LazyRates& r, int64_t every) {
  double c = static_cast<double>(every) / static_cast<double>(every + 1);
  return {r.lr * c, std::pow(r.beta1, c), std::pow(r.beta2, c)};
}

}  // namespace plumb::gan
