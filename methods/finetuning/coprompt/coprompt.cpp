// Prompts, adapters and losses of CoPrompt.
#include "methods/finetuning/coprompt/coprompt.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::coprompt {
namespace {

int64_t inner_width(int64_t width, double mix, int64_t ratio) {
  if (ratio < 1 || width % ratio != 0)
    throw ValueError("coprompt: a reduction of " + std::to_string(ratio) + " does not divide the width " + std::to_string(width));
  if (!(mix >= 0 && mix <= 1)) throw ValueError("coprompt: an adapter's share must be in [0, 1], it is " + decimal(mix));
  return width / ratio;
}

void check(const contrastive::PromptedClipConfig& clip, const PromptOptions& o, const Tensor& context) {
  if (o.tokens < 0) throw ValueError("coprompt: tokens must not be negative, they are " + std::to_string(o.tokens));
  if (o.depth < 1 || o.depth > clip.layers)
    throw ValueError("coprompt: the depth must be in [1, " + std::to_string(clip.layers) + "], it is " + std::to_string(o.depth));
  if (context.defined() && context.shape() != Shape{o.tokens, clip.text_width})
    throw ShapeError("coprompt: the context is " + to_string(context.shape()) + " instead of [" + std::to_string(o.tokens) + ", " +
                     std::to_string(clip.text_width) + "]");
}

}  // namespace

ResidualAdapter::ResidualAdapter(int64_t width, double mix, int64_t ratio)
    : down(this, "down", width, inner_width(width, mix, ratio), {.bias = false}),
      up(this, "up", width / ratio, width, {.bias = false}),
      mix_(mix) {}

Tensor ResidualAdapter::mixed(const Tensor& pre, const Tensor& x, double mix) { return relu(pre) * mix + x * (1 - mix); }

Tensor ResidualAdapter::operator()(const Tensor& x) const { return mixed(up(relu(down(x))), x, mix_); }

PromptLearner::PromptLearner(const contrastive::PromptedClipConfig& clip, const PromptOptions& o, const Tensor& context)
    : options_(o), couplings_(this, "couplings") {
  check(clip, o, context);
  if (o.tokens > 0) {
    Tensor start = empty({o.depth, o.tokens, clip.text_width});
    nn::init::normal(start, 0, 0.02);
    if (context.defined()) {
      NoGrad off;
      Tensor first = select(start, 0, 0);
      copy_data(context, first);
    }
    register_parameter("prompts", prompts_, start);
    for (int64_t j = 0; o.vision && j < o.depth; ++j) couplings_.emplace_back(clip.text_width, clip.vision_width);
  }
  if (!o.adapters) return;
  register_module("image_adapter", image_adapter_.emplace(clip.width, o.image_mix, o.reduction));
  register_module("text_adapter", text_adapter_.emplace(clip.width, o.text_mix, o.reduction));
}

contrastive::Prompts PromptLearner::text_prompts() const { return prompts_.defined() ? unbind(prompts_, 0) : contrastive::Prompts{}; }

contrastive::Prompts PromptLearner::vision_prompts() const {
  contrastive::Prompts made;
  for (size_t j = 0; j < couplings_.size(); ++j) made.push_back(couplings_[j](select(prompts_, 0, static_cast<int64_t>(j))));
  return made;
}

Tensor PromptLearner::encode_text(const contrastive::PromptedClip& clip, const contrastive::Texts& texts) const {
  Tensor t = clip.encode_text(texts, text_prompts());
  return text_adapter_ ? (*text_adapter_)(t) : t;
}

Tensor PromptLearner::encode_image(const contrastive::PromptedClip& clip, const Tensor& images) const {
  Tensor u = clip.encode_image(images, vision_prompts());
  return image_adapter_ ? (*image_adapter_)(u) : u;
}

Tensor consistency(const Tensor& a, const Tensor& b, Distance distance) {
  if (a.rank() != 2 || a.shape() != b.shape())
    throw ShapeError("coprompt: takes two matrices [n, e] of one shape, got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  Tensor target = b.detach();
  if (distance == Distance::cosine) return 1 - mean(cosine_similarity(a, target, -1, 1e-7));
  Tensor x = normalize(a), y = normalize(target);
  return distance == Distance::squared ? mse_loss(x, y) : l1_loss(x, y);
}

Tensor scores(const Tensor& u, const Tensor& t, double scale) { return matmul(normalize(u), mT(normalize(t))) * scale; }

Tensor coprompt_loss(const Tensor& u, const Tensor& t, double scale, const Tensor& label, const Tensor& frozen_u, const Tensor& frozen_t,
                     const ConsistencyOptions& o) {
  if (o.lambda < 0) throw ValueError("coprompt: lambda must not be negative, it is " + decimal(o.lambda));
  Tensor loss = cross_entropy(scores(u, t, scale), label);
  if (o.lambda == 0) return loss;
  if (o.text) loss = loss + consistency(t, frozen_t, o.distance) * o.lambda;
  if (o.image) loss = loss + consistency(u, frozen_u, o.distance) * o.lambda;
  return loss;
}

Tensor description_bank(const contrastive::PromptedClip& clip, const std::vector<std::vector<std::vector<int64_t>>>& descriptions) {
  NoGrad off;
  size_t most = 0;
  for (size_t c = 0; c < descriptions.size(); ++c) {
    if (descriptions[c].empty()) throw ValueError("coprompt: class " + std::to_string(c) + " has no description");
    most = std::max(most, descriptions[c].size());
  }
  if (descriptions.empty()) throw ValueError("coprompt: there are no classes to describe");
  std::vector<Tensor> rows;
  for (size_t i = 0; i < most; ++i) {
    std::vector<std::vector<int64_t>> words;
    for (const auto& of_class : descriptions) words.push_back(of_class[i % of_class.size()]);
    rows.push_back(clip.encode_text(contrastive::pack_texts(words, clip.clip_config().context)));
  }
  return stack(rows);
}

double harmonic_mean(double a, double b) { return a + b == 0 ? 0 : 2 * a * b / (a + b); }

void check_split(const std::vector<int64_t>& base, const std::vector<int64_t>& novel, int64_t classes) {
  std::vector<bool> seen(static_cast<size_t>(classes), false);
  auto check_range = [&](int64_t c) {
    if (c < 0 || c >= classes)
      throw IndexError("coprompt: class " + std::to_string(c) + " is outside [0, " + std::to_string(classes) + ")");
  };
  for (int64_t c : base) check_range(c), seen[static_cast<size_t>(c)] = true;
  for (int64_t c : novel) {
    check_range(c);
    if (seen[static_cast<size_t>(c)]) throw ValueError("coprompt: class " + std::to_string(c) + " is both a base and a novel class");
  }
}

}  // namespace plumb::methods::coprompt
