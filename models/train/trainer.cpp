// One step after the other.
#include "models/train/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/optim/clip.h"
#include "models/train/event_file.h"
#include "models/train/interrupt.h"
#include "models/train/metrics.h"
#include "models/train/progress.h"
#include "models/train/report.h"

namespace plumb::train {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kScalar = "optimizer.";  // of an optimiser's numbers among a checkpoint's values

class Loop {
 public:
  Loop(const RunDirectory& run, const Training& training, const TrainOptions& options)
      : run_(run), training_(training), options_(options), step_(restore()), metrics_(run.file("metrics.jsonl"), step_), events_(run.path(), step_),
        progress_("train", options.steps, step_) {}

  int run() {
    InterruptScope interrupts;
    if (step_ > 0) progress_.say(fmt::format("going on from step {}", step_));
    while (step_ < options_.steps) {
      one_step();
      if (int signal = InterruptScope::signal()) return interrupted(signal);
      if (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0 && step_ < options_.steps) save();
    }
    return finish();
  }

 private:
  int64_t restore();
  void save();
  void one_step();
  double evaluate();
  [[noreturn]] void not_finite(const char* what, double value, const Generator& before);
  int interrupted(int signal);
  int finish();

  const RunDirectory& run_;
  const Training& training_;
  const TrainOptions& options_;
  int64_t step_;  // steps done
  MetricsFile metrics_;
  EventFile events_;
  Progress progress_;
};

int64_t Loop::restore() {
  auto checkpoint = run_.latest();
  if (!checkpoint) return 0;
  training_.model->load_state(without_prefix(checkpoint->tensors, "model."));
  optim::OptimizerState state{without_prefix(checkpoint->tensors, "optimizer."), {}};
  for (auto& [name, text] : checkpoint->values)
    if (name.starts_with(kScalar)) state.scalars[name.substr(kScalar.size())] = std::stod(text);
  training_.optimizer->load_state(state);
  default_generator().set_state(std::stoull(checkpoint->values.at("generator_seed")), std::stoull(checkpoint->values.at("generator_offset")));
  return checkpoint->step;
}

void Loop::save() {
  StateDict tensors = with_prefix(training_.model->state(), "model.");
  optim::OptimizerState state = training_.optimizer->state();
  tensors.merge(with_prefix(state.tensors, "optimizer."));
  const Generator& generator = default_generator();
  FileMetadata values{{"generator_seed", std::to_string(generator.seed())}, {"generator_offset", std::to_string(generator.offset())}};
  for (auto& [name, number] : state.scalars) values[std::string(kScalar) + name] = fmt::format("{}", number);  // shortest form that reads back exactly
  run_.save({step_, tensors, values});
}

// The step once more, checking every operation, to name the one at fault.
void Loop::not_finite(const char* what, double value, const Generator& before) {
  std::string message = fmt::format("step {}: {} is {}", step_ + 1, what, value), cause;
  default_generator() = before;
  try {
    AnomalyMode checking;
    training_.loss(step_).backward();
  } catch (const AutogradError& error) {
    cause = fmt::format(" ({})", error.what());
  }
  throw ValueError(message + cause + "; a lower --lr may help. The run is as it was at its last checkpoint");
}

double Loop::evaluate() {
  training_.model->eval();
  NoGrad off;
  Generator kept = default_generator();  // evaluation must not change what training draws
  double loss = training_.validate();
  default_generator() = kept;
  training_.model->train();
  return loss;
}

void Loop::one_step() {
  auto start = Clock::now();
  Generator before = default_generator();
  training_.optimizer->set_lr_scale(training_.schedule(step_));
  training_.optimizer->zero_grad();
  Tensor loss = training_.loss(step_);
  double value = loss.item();
  if (!std::isfinite(value)) not_finite("the loss", value, before);
  loss.backward();
  double norm = optim::clip_grad_norm(training_.model->parameters(), options_.clip_norm > 0 ? options_.clip_norm : INFINITY);
  if (!std::isfinite(norm)) not_finite("the gradient norm", norm, before);
  training_.optimizer->step();
  double rate = options_.items_per_step / std::chrono::duration<double>(Clock::now() - start).count();
  ++step_;
  Metrics line{step_, {{"train_loss", value}, {"lr", training_.optimizer->lr()}, {"grad_norm", norm}, {options_.items + "_per_s", rate}}};
  bool evaluated = training_.validate && (step_ == options_.steps || (options_.eval_every > 0 && step_ % options_.eval_every == 0));
  if (evaluated) line.values.push_back({"val_loss", evaluate()});
  metrics_.append(line);
  for (auto& [name, number] : line.values) events_.scalar(name, number, step_);
  std::string note = fmt::format("loss {:.4f}  {:.0f} {}/s", value, rate, options_.items);
  progress_.update(step_, note);
  if (!evaluated) return;
  events_.flush();
  progress_.say(fmt::format("step {}: train loss {:.4f}, val loss {:.4f}", step_, value, line["val_loss"]));
}

int Loop::interrupted(int signal) {
  progress_.finish();
  save();
  write_report(run_, "");
  fmt::print(stderr, "interrupted after step {}; saved. Go on with --resume {}\n", step_, run_.path());
  return 128 + signal;
}

int Loop::finish() {
  progress_.finish();
  events_.flush();
  save();
  std::string sample;
  if (training_.sample) {
    training_.model->eval();
    sample = training_.sample();
  }
  write_report(run_, sample);
  run_.save_model(training_.model->state());
  return 0;
}

}  // namespace

int train(const RunDirectory& run, const Training& training, const TrainOptions& options) { return Loop(run, training, options).run(); }

}  // namespace plumb::train
