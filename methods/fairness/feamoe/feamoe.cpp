// Learning from the stream: drift test, growth, Adam on the window, pruning; and the same without a stream.
#include "methods/fairness/feamoe/feamoe.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/require.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::feamoe {
namespace {

constexpr double kOldRate = 0.1;

// Adam on one objective: `steps` of it.
void descend(optim::Adam& adam, const MixtureOfLinearExperts& model, const Batch& batch, const ObjectiveOptions& options, int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) {
    adam.zero_grad();
    objective(model, batch.x, batch.y, batch.a, options).total().backward();
    adam.step();
  }
}

// Likelihood + fairness terms, unrecorded.
double watched_loss(const MixtureOfLinearExperts& model, const Batch& batch, const ObjectiveOptions& options) {
  NoGrad off;
  Objective o = objective(model, batch.x, batch.y, batch.a, options);
  return o.likelihood.item() + o.fairness.item();
}

}  // namespace

Batch joined(const std::vector<Batch>& batches) {
  if (batches.empty()) throw ValueError("feamoe: there are no batches to join");
  std::vector<Tensor> x, y, a;
  for (const Batch& b : batches) {
    x.push_back(b.x);
    y.push_back(b.y);
    a.push_back(b.a);
  }
  return {cat(x), cat(y), cat(a)};
}

void FeamoeOptions::check() const {
  require_positive(
      "feamoe", {{"inputs", inputs}, {"experts", experts}, {"max_experts", max_experts}, {"window", window}, {"iterations", iterations}});
  require(experts <= max_experts,
          "feamoe: " + std::to_string(experts) + " experts at the start are more than max_experts " + std::to_string(max_experts));
  require(lr > 0 && std::isfinite(lr), "feamoe: lr must be positive and finite, it is " + decimal(lr));
  require(deviation >= 0 && std::isfinite(deviation),
          "feamoe: deviation must be finite and not negative, it is " + decimal(deviation));
  require_rate("feamoe", "min_share", min_share);
  objective.check();
}

Feamoe::Feamoe(const FeamoeOptions& options) : options_((options.check(), options)), model_(options.inputs, options.experts) {
  const Watched& w = options.watched;
  struct {
    bool on;
    const char* name;
  } all[] = {{w.loss, "loss"},
             {w.error, "error"},
             {w.demographic_parity, "demographic parity"},
             {w.equalised_odds, "equalised odds"},
             {w.recourse, "recourse"}};
  for (auto [on, name] : all)
    if (on) watches_.push_back({name, DriftMonitor(options.drift)});
  make_optimizer();
}

// Older experts' steps are shortened after Adam has made them.
void Feamoe::make_optimizer() {
  adam_.emplace(model_.parameters(), optim::AdamOptions{.lr = options_.lr});
  if (!options_.freeze_old || slow_ == 0) return;
  adam_->add_hook({[weight = Tensor(model_.first.weight), bias = Tensor(model_.first.bias), slow = slow_](optim::Update& u) {
                     if (!u.parameter.same_as(weight) && !u.parameter.same_as(bias)) return;
                     NoGrad off;
                     Tensor now = narrow(u.value, 0, 0, slow), then = narrow(u.before, 0, 0, slow);
                     copy_data(then + (now - then) * kOldRate, now);
                   },
                   true});
}

// The values that the monitors get, in their order.
std::vector<double> Feamoe::statistics(const Batch& batch, double loss) const {
  NoGrad off;
  Tensor q = model_.predict(batch.x), y = batch.y;
  auto gap = [&](const Tensor& values, const Tensor& among) { return std::abs(group_gap(values, batch.a, among).item()); };
  std::vector<double> values;
  for (const Watch& w : watches_) {
    if (w.name == "loss") values.push_back(loss);
    else if (w.name == "error") values.push_back(mean(to(logical_xor(q >= 0.5, y == 1), f64)).item());
    else if (w.name == "demographic parity") values.push_back(gap(q, {}));
    else if (w.name == "equalised odds") values.push_back(std::max(gap(q, y == 0), gap(q, y == 1)));
    else values.push_back(gap(model_.recourse_distance(batch.x), q < 0.5));
  }
  return values;
}

// The first statistic that fires, if there is room for an expert; all start anew then. Otherwise all values are kept.
std::string Feamoe::drift(const std::vector<double>& values) {
  std::string fired;
  if (model_.experts() < options_.max_experts)
    for (size_t i = 0; i < watches_.size() && fired.empty(); ++i)
      if (watches_[i].monitor.exceeds(values[i])) fired = watches_[i].name;
  for (size_t i = 0; i < watches_.size(); ++i) {
    if (fired.empty()) watches_[i].monitor.keep(values[i]);
    else watches_[i].monitor.reset();
  }
  return fired;
}

void Feamoe::train() {
  Batch rows = joined(window_);
  descend(*adam_, model_, rows, options_.objective, options_.iterations);
  if (options_.min_share == 0 || model_.experts() == 1) return;
  int64_t before = model_.experts();
  std::vector<int64_t> kept = model_.prune(rows.x, options_.min_share);
  if (model_.experts() == before) return;
  slow_ = std::count_if(kept.begin(), kept.end(), [this](int64_t k) { return k < slow_; });
  make_optimizer();
}

LearnReport Feamoe::learn(const Batch& batch) {
  LearnReport report;
  report.loss = watched_loss(model_, batch, options_.objective);
  report.fired = drift(statistics(batch, report.loss));
  if (!report.fired.empty()) {
    slow_ = model_.experts();
    model_.add_expert(options_.deviation);
    make_optimizer();
    window_.clear();
  }
  window_.push_back(batch);
  if (static_cast<int64_t>(window_.size()) > options_.window) window_.erase(window_.begin());
  int64_t before = model_.experts();
  train();
  report.experts = model_.experts();
  report.pruned = before - report.experts;
  return report;
}

// Adam until the training loss no longer falls.
static void converge(MixtureOfLinearExperts& model, const Batch& batch, const OfflineOptions& o) {
  optim::Adam adam(model.parameters(), {.lr = o.lr});
  double last = INFINITY;
  for (int64_t step = 0; step < o.most_steps; step += o.check_every) {
    descend(adam, model, batch, o.objective, std::min(o.check_every, o.most_steps - step));
    double now = watched_loss(model, batch, o.objective);
    if (last - now < o.converged * std::abs(last)) return;
    last = now;
  }
}

OfflineFit fit_offline(const Batch& train, const Batch& validation, const OfflineOptions& options) {
  require_positive("feamoe",
                   {{"max_experts", options.max_experts}, {"most_steps", options.most_steps}, {"check_every", options.check_every}});
  if (train.x.rank() != 2) throw ShapeError("feamoe: takes rows [B, inputs], not " + to_string(train.x.shape()));
  MixtureOfLinearExperts model(train.x.size(1));
  if (train.x.dtype() != f32) model.to(train.x.dtype());
  converge(model, train, options);
  OfflineFit fit{model, {watched_loss(model, validation, options.objective)}};
  while (model.experts() < options.max_experts) {
    model.add_expert(options.deviation);
    converge(model, train, options);
    double loss = watched_loss(model, validation, options.objective), best = fit.validation_loss.back();
    fit.validation_loss.push_back(loss);
    if (!(best - loss > options.improvement * std::abs(best))) break;
    fit.model = model;
  }
  return fit;
}

}  // namespace plumb::methods::feamoe
