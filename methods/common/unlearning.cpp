// Fine-tuning for unlearning: one loop over batches, and what each way puts into it.
#include "methods/common/unlearning.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

using Places = std::vector<int64_t>;

/// Marks the places of `set` in `taken` with `mark`.
void mark_places(const char* what, const Places& set, std::vector<char>& taken, char mark) {
  auto n = static_cast<int64_t>(taken.size());
  for (int64_t i : set) {
    if (i < 0 || i >= n) throw IndexError(fmt::format("unlearning: the {} set has example {}, outside [0, {})", what, i, n));
    char& at = taken[static_cast<size_t>(i)];
    if (at == mark) throw ValueError(fmt::format("unlearning: example {} is twice in the {} set", i, what));
    if (at != 0) throw ValueError(fmt::format("unlearning: example {} is in the forget and in the retain set", i));
    at = mark;
  }
}

Tensor points_mean(const Tensor& each) { return sum(each) / static_cast<double>(each.size(-1)); }

Tensor example_cross_entropy(const Tensor& logits, const Tensor& labels) {
  Shape shape = logits.shape().slice(0, logits.rank() - 1);
  return cross_entropy(logits, expand(labels, shape), {.reduction = Reduction::none});
}

/// One unlearning run: the optimiser, and how an epoch goes over examples.
class Run {
 public:
  using Loss = std::function<Tensor(const Tensor& logits, const Tensor& places)>;

  Run(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options)
      : model_(model),
        task_(task),
        options_((options.check(), options)),
        generator_(options.generator ? *options.generator : default_generator()),
        sgd_(model.parameters, {.lr = options.lr, .momentum = options.momentum, .weight_decay = options.weight_decay}) {}

  /// f(epoch) for 0, 1, …, then the caller's after_epoch.
  template <typename F>
  int64_t epochs(F&& f) {
    for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
      f(epoch);
      if (options_.after_epoch) options_.after_epoch(epoch + 1, gradients_);
    }
    return gradients_;
  }

  /// A step for each batch of the examples at `places`.
  void steps(const Places& places, const Loss& loss) {
    auto count = static_cast<int64_t>(places.size());
    int64_t batch = options_.batch == 0 ? count : std::min(options_.batch, count);
    Places order = places;
    if (batch < count) {
      auto shuffled = data::random_order(count, generator_);
      for (size_t k = 0; k < order.size(); ++k) order[k] = places[static_cast<size_t>(shuffled[k])];
    }
    for (int64_t from = 0; from < count; from += batch) {
      Tensor at = from_vector(Places(order.begin() + from, order.begin() + std::min(count, from + batch)));
      sgd_.zero_grad();
      loss(model_.logits(index_select(task_.x, 0, at)), at).backward();
      sgd_.step();
      gradients_ += at.numel();
    }
  }

  /// R, or a fresh sample of it.
  Places retained() {
    auto n = static_cast<int64_t>(task_.retain.size());
    if (options_.retain_sample == 0 || options_.retain_sample >= n) return task_.retain;
    auto order = data::random_order(n, generator_);
    Places sample;
    for (int64_t k = 0; k < options_.retain_sample; ++k) sample.push_back(task_.retain[static_cast<size_t>(order[static_cast<size_t>(k)])]);
    return sample;
  }

  Tensor loss_of(const Tensor& logits, const Tensor& places) const {
    Tensor y = index_select(task_.labels, 0, places);
    return points_mean(options_.loss ? options_.loss(logits, y) : example_cross_entropy(logits, y));
  }
  void set_rate(double scale) { sgd_.set_lr_scale(scale); }

 private:
  const UnlearningModel& model_;
  const UnlearningTask& task_;
  const UnlearningOptions& options_;
  Generator& generator_;
  optim::SGD sgd_;
  int64_t gradients_ = 0;
};

}  // namespace

UnlearningTask::UnlearningTask(Tensor inputs, Tensor classes, std::vector<int64_t> forgotten, std::vector<int64_t> retained)
    : x(std::move(inputs)), labels(std::move(classes)), forget(std::move(forgotten)), retain(std::move(retained)) {
  if (labels.rank() != 1 || x.rank() < 1 || x.size(0) != labels.size(0))
    throw ShapeError(fmt::format("unlearning: examples {} with labels {}", to_string(x.shape()), to_string(labels.shape())));
  if (forget.empty()) throw ValueError("unlearning: the forget set is empty");
  std::vector<char> taken(static_cast<size_t>(size()));
  mark_places("forget", forget, taken, 1);
  if (static_cast<int64_t>(forget.size()) == size())
    throw ValueError(fmt::format("unlearning: the forget set is the whole training set of {} examples, nothing is left to retain", size()));
  mark_places("retain", retain, taken, 2);
  if (retain.empty())
    for (int64_t i = 0; i < size(); ++i)
      if (taken[static_cast<size_t>(i)] == 0) retain.push_back(i);
}

void UnlearningOptions::check() const {
  if (!(lr >= 0)) throw ValueError(fmt::format("unlearning: the rate must not be negative, it is {}", lr));
  if (epochs < 0 || ascent_epochs < 0) throw ValueError(fmt::format("unlearning: {} epochs, {} of ascent", epochs, ascent_epochs));
  if (batch < 0 || retain_sample < 0)
    throw ValueError(fmt::format("unlearning: batches of {}, {} examples of the retain set", batch, retain_sample));
  if (!(temperature > 0)) throw ValueError(fmt::format("unlearning: the temperature must be positive, it is {}", temperature));
}

int64_t retain_finetune(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options) {
  Run run(model, task, options);
  return run.epochs([&](int64_t) { run.steps(run.retained(), [&](const Tensor& z, const Tensor& at) { return run.loss_of(z, at); }); });
}

int64_t gradient_ascent(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options) {
  Run run(model, task, options);
  return run.epochs([&](int64_t) { run.steps(task.forget, [&](const Tensor& z, const Tensor& at) { return -run.loss_of(z, at); }); });
}

int64_t ascent_descent(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options) {
  Run run(model, task, options);
  return run.epochs([&](int64_t epoch) {
    if (epoch < options.ascent_epochs) run.steps(task.forget, [&](const Tensor& z, const Tensor& at) { return -run.loss_of(z, at); });
    run.steps(run.retained(), [&](const Tensor& z, const Tensor& at) { return run.loss_of(z, at); });
  });
}

int64_t scrub(const UnlearningModel& model, const UnlearningTask& task, const UnlearningOptions& options) {
  Run run(model, task, options);
  Tensor teacher;
  {
    NoGrad no_grad;
    teacher = model.logits(task.x);
  }
  auto kl = [&](const Tensor& z, const Tensor& at) {
    return points_mean(distillation_kl(z, index_select(teacher, -2, at), options.temperature));
  };
  optim::Schedule rate = optim::milestones(options.decay_after, 0.1);
  return run.epochs([&](int64_t epoch) {
    run.set_rate(rate(epoch));
    if (epoch < options.ascent_epochs) run.steps(task.forget, [&](const Tensor& z, const Tensor& at) { return -kl(z, at); });
    run.steps(run.retained(), [&](const Tensor& z, const Tensor& at) {
      return options.cross_entropy_weight * run.loss_of(z, at) + options.kl_weight * kl(z, at);
    });
  });
}

int64_t oracle_matching(const UnlearningModel& model, const UnlearningTask& task, const Tensor& targets, const UnlearningOptions& options) {
  if (targets.rank() < 2 || targets.size(-2) != task.size())
    throw ShapeError(fmt::format("unlearning: targets {} for {} examples", to_string(targets.shape()), task.size()));
  Run run(model, task, options);
  return run.epochs([&](int64_t) {
    Places places = task.forget, retained = run.retained();
    places.insert(places.end(), retained.begin(), retained.end());
    run.steps(places, [&](const Tensor& z, const Tensor& at) { return matching_loss(z, index_select(targets, -2, at)); });
  });
}

Tensor matching_loss(const Tensor& logits, const Tensor& targets) {
  if (logits.rank() < 2 || logits.shape() != targets.shape())
    throw ShapeError(fmt::format("matching_loss: logits {} and targets {}", to_string(logits.shape()), to_string(targets.shape())));
  return points_mean(sum(square(logits - to(targets.detach(), logits.dtype())), {-1}));
}

Tensor distillation_kl(const Tensor& student, const Tensor& teacher, double temperature) {
  Tensor wanted = softmax(teacher.detach(), -1, temperature);
  return temperature * temperature * kl_div(student / temperature, wanted, {.logits = true, .reduction = Reduction::none});
}

}  // namespace plumb::methods
