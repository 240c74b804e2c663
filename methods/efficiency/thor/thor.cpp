// The losses of stochastic experts, and the passes that they are taken over.
#include "methods/efficiency/thor/thor.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/common/token_losses.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::thor {

moe::MoeGptConfig configuration(const transformer::GptConfig& gpt, int64_t experts) {
  moe::MoeGptConfig c{
      .gpt = gpt, .moe = {.experts = experts, .top_k = 1, .router = "random_batch"}, .every = gpt.layers > 1 ? 2 : 1, .first = 0};
  c.check();
  return c;
}

Tensor Loss::mean() const { return total / static_cast<double>(tokens); }

Loss consistency_loss(const Tensor& logits1, const Tensor& logits2, const Tensor& target, const Tensor& mask, const LossOptions& o) {
  if (!(o.alpha >= 0)) throw ValueError("thor: alpha must not be negative, it is " + decimal(o.alpha));
  Loss loss;
  loss.consistency = symmetric_kl(logits1, logits2, mask);
  loss.first = label_smoothed_cross_entropy(logits1, target, mask, o.smoothing);
  loss.second = label_smoothed_cross_entropy(logits2, target, mask, o.smoothing);
  loss.total = loss.first + loss.second;
  if (o.alpha > 0) loss.total = loss.total + loss.consistency * o.alpha;
  loss.tokens = mask.defined() ? count_nonzero(mask).item<int64_t>() : target.numel();
  return loss;
}

Loss training_loss(const moe::MoeGpt& model, const Tensor& tokens, const Tensor& target, const Tensor& mask, const LossOptions& options) {
  moe::MoeGpt::Output first = model.forward(tokens), second = model.forward(tokens);
  Loss loss = consistency_loss(first.logits, second.logits, target, mask, options);
  loss.routings = std::move(first.routings);
  loss.routings.insert(loss.routings.end(), second.routings.begin(), second.routings.end());
  return loss;
}

Tensor expert_output(const moe::MoeFeedForward& layer, const Tensor& x, int64_t expert) {
  int64_t experts = layer.experts.up.weight.size(0), tokens = x.numel() / std::max<int64_t>(1, x.size(-1));
  if (expert < 0 || expert >= experts)
    throw IndexError("thor: expert " + std::to_string(expert) + " is outside [0, " + std::to_string(experts) + ")");
  Tensor all = full({tokens, 1}, expert, i64, x.device());
  return layer.forward(x, moe::route_tokens(all, ones({tokens, 1}, x.dtype(), x.device()), experts));
}

// -- inference --------------------------------------------------------------------------------------

namespace {

bool draws_experts(moe::RouterKind kind) { return kind >= moe::RouterKind::random_batch; }

moe::RouterKind kind_of(Draw draw) {
  return draw == Draw::batch      ? moe::RouterKind::random_batch
         : draw == Draw::sequence ? moe::RouterKind::random_sequence
                                  : moe::RouterKind::random_token;
}

}  // namespace

DrawnExperts::DrawnExperts(moe::MoeGpt& model, Draw draw) {
  for (moe::MoeBlock& block : model.blocks()) {
    if (!block.moe || !draws_experts(block.moe->router.kind)) continue;
    moe::Router& router = block.moe->router;
    before_.push_back({&router, router.kind, router.top_k});
    router.kind = kind_of(draw);
    router.top_k = draw == Draw::average ? block.moe->experts.up.weight.size(0) : 1;
  }
}

DrawnExperts::~DrawnExperts() {
  for (const Before& b : before_) {
    b.router->kind = b.kind;
    b.router->top_k = b.top_k;
  }
}

namespace {

// Loss and disagreement of several draws, added up window by window so that no draw's logits of the whole text are kept.
class DrawSums {
 public:
  explicit DrawSums(int64_t draws) : losses_(static_cast<size_t>(draws)) {}

  void add(const moe::MoeGpt& model, const data::Batch& batch) {
    Tensor before;
    for (double& loss : losses_) {
      Tensor logits = model(batch.tokens);
      loss += label_smoothed_cross_entropy(logits, batch.target, {}, 0).item();
      if (before.defined()) apart_ += symmetric_kl(before, logits).item();
      before = logits;
    }
  }

  DrawnLoss over(double targets) const {
    double draws = static_cast<double>(losses_.size()), sum = 0, squares = 0;
    for (double loss : losses_) sum += loss / targets;
    for (double loss : losses_) squares += (loss / targets - sum / draws) * (loss / targets - sum / draws);
    return {sum / draws, draws > 1 ? std::sqrt(squares / (draws - 1)) : 0, draws > 1 ? apart_ / (targets * (draws - 1)) : 0};
  }

 private:
  std::vector<double> losses_;
  double apart_ = 0;
};

}  // namespace

DrawnLoss evaluate(moe::MoeGpt& model, const data::ConsecutiveWindows& text, const EvaluationOptions& o) {
  if (o.draws < 1) throw ValueError("thor: draws must be at least 1, it is " + std::to_string(o.draws));
  NoGrad off;
  DrawnExperts drawn(model, o.draw);
  Generator before = default_generator();
  bool training = model.training();
  manual_seed(o.seed);
  model.eval();
  DrawSums sums(o.draws);
  for (const data::Batch& batch : text) sums.add(model, batch);
  model.train(training);
  default_generator() = before;
  return sums.over(static_cast<double>(text.targets()));
}

}  // namespace plumb::methods::thor
