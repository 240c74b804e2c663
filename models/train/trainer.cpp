// The training loop: steps, evaluation, checkpoints, interruption.
#include "models/train/trainer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/allocator.h"
#include "engine/core/capture.h"
#include "engine/core/generator.h"
#include "engine/dist/world.h"
#include "engine/io/temporary_files.h"
#include "models/nn/placement.h"
#include "models/optim/clip.h"
#include "models/train/interrupt.h"
#include "models/train/metrics.h"
#include "models/train/progress.h"
#include "models/train/report.h"
#include "models/train/run_lock.h"
#include "models/train/run_state.h"
#include "models/train/share.h"
#include "models/train/step_probe.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::train {
namespace {

using Clock = std::chrono::steady_clock;

class Loop {
 public:
  Loop(const RunDirectory& run, const Training& training, const TrainOptions& options)
      : run_(run), training_(training), options_(options), state_(changing_parts()), lock_(lock()), step_(restore()),
        progress_("train", options.steps, step_) {
    if (writes_files() && !step_probe()) recorder_.emplace(run, step_, options.record);
    if (processes_ > 1) share_out();
  }

  int run() {
    if (StepProbe* probe = step_probe()) return probed(*probe);
    InterruptScope interrupts;
    LossWatch watch;
    try {
      return steps();
    } catch (const dist::ProcessLost&) { lost(); }
  }

 private:
  int steps() {
    if (shared_state() && !run_.latest()) save();  // what a run that loses a process goes on from
    if (step_ > 0) progress_.say(fmt::format("going on from step {}", step_));
    if (recorder_ && recorder_->last_step() < step_)
      progress_.say(
          fmt::format("{} has no lines of steps {} to {}; they are lost", run_.file("metrics.jsonl"), recorder_->last_step() + 1, step_));
    while (step_ < options_.steps && !state_.stopping.stops()) {
      one_step();
      if (int signal = buckets_ ? signal_ : InterruptScope::signal()) return interrupted(signal);
      if (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0 && step_ < options_.steps) save();
    }
    return finish();
  }

  std::unique_ptr<RunLock> lock() const { return writes_files() && !step_probe() ? std::make_unique<RunLock>(run_.path()) : nullptr; }
  struct ProbeDone {};
  int probed(StepProbe& probe);
  RunState changing_parts() const;
  int64_t restore();
  void share_out();
  bool shared_state() const { return state_.sharded.any() || (training_.buckets && training_.buckets->scattered()); }
  void save();
  [[noreturn]] void lost();
  void one_step();
  void set_rates();
  Measures descend(const Generator& before);
  Measures own_step();
  Part own_part(int64_t i) const;
  Tensor part_loss(const Part& part) const;
  Tensor probed_loss(const Part& part) const;
  bool captures() const { return options_.capture && !step_probe(); }
  void zero_grad();
  double clip(const std::vector<Tensor>& parameters, double limit);
  Tensor scaled(const Tensor& loss) const;
  double add_gradients(const Generator& before);
  double add_captured_gradients(const Generator& before);
  bool renew_inputs();
  Measures evaluate();
  Measures test();
  StateDict final_weights() const;
  [[noreturn]] void not_finite(const char* what, double value, const Generator& before);
  int interrupted(int signal);
  int finish();

  const RunDirectory& run_;
  const Training& training_;
  const TrainOptions& options_;
  RunState state_;
  std::unique_ptr<RunLock> lock_;  // before anything of the run is read or tidied up
  int64_t step_;  // steps done
  const int processes_ = dist::world().size();
  std::shared_ptr<dist::Collectives> collectives_;
  std::unique_ptr<parallel::GradientBuckets> own_buckets_;
  parallel::GradientBuckets* buckets_ = nullptr;  // null: this process trains alone
  int signal_ = 0;  // what a process was told, once all know
  std::optional<Recorder> recorder_;  // of the process that writes
  Progress progress_;
  std::vector<std::vector<Tensor>> inputs_;  // of each part of a captured step, on the device
  std::optional<CapturedStep> captured_;
  double captured_scale_ = 1;
};

// Evaluation mode with nothing recorded; what is drawn meanwhile does not change what training draws.
class EvaluationScope {
 public:
  explicit EvaluationScope(nn::Module& model) : model_(model), kept_(default_generator()) { model_.eval(); }
  ~EvaluationScope() {
    default_generator() = kept_;
    model_.train();
  }

 private:
  nn::Module& model_;
  NoGrad off_;
  Generator kept_;
};

RunState Loop::changing_parts() const {
  RunState state{.model = *training_.model, .optimizers = {training_.optimizer}, .sharded = parallel::sharded_parameters(*training_.model),
                 .stopping = {options_.patience, training_.watched_highest}};
  state.optimizers.insert(state.optimizers.end(), training_.more_optimizers.begin(), training_.more_optimizers.end());
  if (options_.ema > 0) state.average.emplace(*training_.model, options_.ema);
  if (options_.scale_loss) state.scaler.emplace();
  return state;
}

// The step that the run goes on from.
int64_t Loop::restore() {
  for (const char* part : {"", "checkpoints", "samples"})
    if (writes_files() && !step_probe()) remove_abandoned_files(run_.file(part));
  auto checkpoint = run_.latest();
  if (!checkpoint) return 0;
  state_.restore(*checkpoint);
  return checkpoint->step;
}

void Loop::share_out() {
  if (training_.step)
    throw ConfigError("this kind of training alternates between networks and works with one process: start it without mpirun");
  if (options_.capture) throw ConfigError("--capture works with one process");
  broadcast_state(*training_.model, false, &state_.sharded);
  buckets_ = training_.buckets;
  if (buckets_) return;
  collectives_ = dist::world().collectives_on(nn::device_of(*training_.model));
  own_buckets_ = std::make_unique<parallel::GradientBuckets>(state_.sharded.same(training_.model->parameters()), *collectives_);
  buckets_ = own_buckets_.get();
}

void Loop::save() {
  broadcast_state(*training_.model, true);
  Checkpoint all = state_.checkpoint(step_);
  if (recorder_) recorder_->sync();  // no checkpoint outlives a loss of power without the lines of its steps
  run_.save(all);
}

// The weights are those of the last whole step: what fails waits for gradients. A step's loss of state that was shared out cannot be
// mended.
void Loop::lost() {
  std::optional<Checkpoint> whole;
  if (!shared_state()) {
    whole = state_.checkpoint(step_);
    for (auto& [name, tensor] : whole->tensors) tensor = contiguous_data(to(tensor.detach(), cpu));
  }
  progress_.finish();
  run_out_of_reach([&] {
    int config = open(run_.file("config.json").c_str(), O_RDONLY | O_CLOEXEC);
    if (flock(config, LOCK_EX | LOCK_NB) != 0) return 0;  // another process is already saving
    if (whole) save_in_place_of_first(run_, *whole);
    dist::say_anyway(
        fmt::format("plumb: a process was lost or told to stop; step {} is saved. Go on, by any number of processes, with --resume {}",
                    whole ? whole->step : run_.latest()->step, run_.path()));
    sleep(1);  // until the others have seen that it is done
    return 0;
  });
  std::_Exit(2);
}

// The step once more, checking every operation, to name the one at fault; a step of its own has changed weights already.
void Loop::not_finite(const char* what, double value, const Generator& before) {
  std::string message = fmt::format("step {}: {} is {}", step_ + 1, what, value), cause;
  default_generator() = before;
  try {
    AnomalyMode checking;
    for (int64_t i = 0; i < options_.accumulate && !training_.step; ++i) part_loss(own_part(i)).backward();
  } catch (const AutogradError& error) {
    cause = fmt::format(" ({})", error.what());
  }
  throw ValueError(message + cause + "; a lower --lr may help. The run is as it was at its last checkpoint");
}

Measures Loop::evaluate() {
  broadcast_state(*training_.model, true);
  EvaluationScope evaluation(*training_.model);
  std::optional<WeightAverage::Lent> averaged;
  if (state_.average) averaged.emplace(*state_.average);
  Measures measures = training_.validate ? training_.validate() : Measures{};
  if (training_.images) {
    Tensor images = training_.images();
    if (recorder_) recorder_->images(images, training_.images_title, step_);
  }
  if (options_.patience == 0) return measures;
  for (auto& [name, value] : measures)
    if (name == training_.watched && state_.stopping.improved(step_, value)) run_.save_best(state_.whole(training_.model->state()));
  return measures;
}

// The best weights where the run looked for them, else the averaged ones, else those of the last step.
StateDict Loop::final_weights() const {
  if (options_.patience > 0 && state_.stopping.best_step > 0) {
    dist::world().barrier();  // the first has written them
    return run_.load_best();
  }
  return state_.whole(state_.average ? state_.average->state() : training_.model->state());
}

Measures Loop::test() {
  EvaluationScope evaluation(*training_.model);
  StateDict kept = clone(training_.model->state());
  training_.model->load_state(state_.own(final_weights()));
  Measures measures = training_.test();
  training_.model->load_state(kept);
  return measures;
}

// Part `i` of those that this process computes. The processes' parts at a time stand beside each other: together they are part i of one
// process.
Part Loop::own_part(int64_t i) const { return {step_, i * processes_ + dist::world().rank(), processes_ * options_.accumulate}; }

Tensor Loop::part_loss(const Part& part) const {
  PartDraws draws(part.step, part.index);
  if (!training_.batch) return training_.loss(part);
  std::vector<Tensor> inputs = training_.batch(part);
  for (Tensor& x : inputs) x = to(x, nn::device_of(*training_.model));
  return training_.loss_of(inputs);
}

Tensor Loop::probed_loss(const Part& part) const {
  Tensor loss;
  {
    ProbedPhase phase("forward");
    loss = part_loss(part);
  }
  if (StepProbe* probe = step_probe(); probe && !probe->loss_made(loss, *training_.model)) throw ProbeDone();
  return loss;
}

// The part's share of what backward starts from.
Tensor Loop::scaled(const Tensor& loss) const {
  double factor = (state_.scaler ? state_.scaler->scale() : 1) / static_cast<double>(options_.accumulate * processes_);
  return factor == 1 ? loss : loss * factor;
}

// Puts the next inputs where a captured step reads them. Returns whether they are other tensors than before.
bool Loop::renew_inputs() {
  std::vector<std::vector<Tensor>> fresh;
  for (int64_t i = 0; i < options_.accumulate; ++i) fresh.push_back(training_.batch({step_, i, options_.accumulate}));
  auto fits = [](const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && a.dtype() == b.dtype(); };
  auto all_fit = [&](const std::vector<Tensor>& a, const std::vector<Tensor>& b) { return std::ranges::equal(a, b, fits); };
  bool other = !std::ranges::equal(fresh, inputs_, all_fit);
  if (other) inputs_.clear();
  for (size_t i = 0; i < fresh.size(); ++i) {
    if (other) inputs_.emplace_back();
    for (size_t k = 0; k < fresh[i].size(); ++k) {
      if (other) inputs_[i].push_back(empty(fresh[i][k].shape(), fresh[i][k].dtype(), nn::device_of(*training_.model), "train"));
      copy_data(fresh[i][k], inputs_[i][k]);
    }
  }
  return other;
}

double Loop::add_captured_gradients(const Generator& before) {
  double scale = state_.scaler ? state_.scaler->scale() : 1;
  bool other = renew_inputs();
  if (!captured_) {
    captured_.emplace(
        [this] {
          training_.optimizer->zero_grad();
          Tensor total;
          for (const auto& inputs : inputs_) {
            Tensor loss = training_.loss_of(inputs), share = loss.detach() / static_cast<double>(inputs_.size());
            scaled(loss).backward();
            total = total.defined() ? total + share : share;
          }
          return total;
        },
        nn::device_of(*training_.model));
  }
  if (other || scale != captured_scale_) captured_->reset();
  captured_scale_ = scale;
  double value = (*captured_)().item();
  if (!std::isfinite(value)) not_finite("the loss", value, before);
  return value;
}

// Backward through every part of the batch, whose gradients add up to that of the mean. Returns the mean loss.
double Loop::add_gradients(const Generator& before) {
  double total = 0, share = 1 / static_cast<double>(options_.accumulate);
  std::vector<Tensor> losses;
  for (int64_t i = 0; i < options_.accumulate; ++i) {
    Tensor loss = probed_loss(own_part(i));
    losses.push_back(loss.detach());
    ProbedPhase phase("backward");
    if (buckets_ && i + 1 == options_.accumulate) buckets_->backward(scaled(loss));
    else scaled(loss).backward();
  }
  for (const Tensor& loss : losses) {  // not before: a GPU works on backward while the host waits for these numbers
    double value = loss.item();
    if (!std::isfinite(value) && !buckets_) not_finite("the loss", value, before);
    total += value * share;
  }
  if (!buckets_) return total;
  Agreement all = agree(total, InterruptScope::signal());  // so that all stop alike, after the same step
  signal_ = all.signal;
  if (!std::isfinite(all.loss)) not_finite("the loss", all.loss, before);
  return all.loss;
}

void Loop::zero_grad() {
  ProbedPhase phase("zero_grad");
  training_.optimizer->zero_grad();
}

double Loop::clip(const std::vector<Tensor>& parameters, double limit) {
  ProbedPhase phase("clip");
  if (state_.sharded.any() && buckets_) return state_.sharded.clip_grad_norm(*buckets_, parameters, limit);
  return buckets_ ? buckets_->clip_norm(limit) : optim::clip_grad_norm(parameters, limit);
}

Measures Loop::descend(const Generator& before) {
  std::vector<Tensor> parameters = training_.model->parameters();
  if (!captures()) zero_grad();  // a captured step does it itself, once
  double value = captures() ? add_captured_gradients(before) : add_gradients(before);
  if (state_.scaler) state_.scaler->unscale(parameters);
  double limit = options_.clip_norm > 0 ? options_.clip_norm : INFINITY;
  double norm = clip(parameters, limit);
  Measures measures{{"train_loss", value}, {"lr", training_.optimizer->lr()}};
  bool finite = std::isfinite(norm),
       overflow = !finite && state_.scaler && state_.scaler->scale() > 1;  // without a scale it is no matter of range
  if (!finite && !overflow) not_finite("the gradient norm", norm, before);
  if (finite) {
    ProbedPhase phase("optimizer");
    training_.optimizer->step();
    measures.push_back({"grad_norm", norm});
  }
  if (state_.scaler) {
    measures.push_back({"loss_scale", state_.scaler->scale()});
    state_.scaler->update(finite);
  }
  return measures;
}

Measures Loop::own_step() {
  Measures measures = training_.step(step_);
  for (auto& [name, value] : measures)
    if (!std::isfinite(value)) not_finite(name.c_str(), value, default_generator());
  measures.push_back({"lr", training_.optimizer->lr()});
  return measures;
}

void Loop::set_rates() {
  for (optim::Optimizer* optimizer : state_.optimizers) optimizer->set_lr_scale(training_.schedule(step_));
}

// Steps from where the run is, for somebody to look at. Nothing is written.
int Loop::probed(StepProbe& probe) {
  if (training_.step && probe.wants_loss())
    throw ConfigError("this kind of training alternates between networks: a step of it has no one loss");
  try {
    for (; probe.more(); ++step_) {
      probe.step_begins(step_ + 1, *training_.model, *training_.optimizer);
      set_rates();
      Generator before = default_generator();
      training_.step ? own_step() : descend(before);
      if (state_.average) state_.average->update();
      probe.step_ends();
    }
  } catch (const ProbeDone&) {}
  return 0;
}

void Loop::one_step() {
  auto start = Clock::now();
  Generator before = default_generator();
  Device device = nn::device_of(*training_.model);
  reset_peak_memory(device);
  set_rates();
  Metrics line{step_ + 1, training_.step ? own_step() : descend(before)};
  double value = line.values[0].second;
  if (state_.average) state_.average->update();
  double rate = options_.items_per_step / std::chrono::duration<double>(Clock::now() - start).count();
  ++step_;
  line.values.push_back({options_.items + "_per_s", rate});
  line.values.push_back({"memory_mib", static_cast<double>(memory_stats(device).peak) / (1 << 20)});
  bool evaluated = step_ == options_.steps || (options_.eval_every > 0 && step_ % options_.eval_every == 0);
  Measures measures = evaluated ? evaluate() : Measures{};
  if (training_.test && (step_ == options_.steps || state_.stopping.stops())) std::ranges::copy(test(), std::back_inserter(measures));
  std::ranges::copy(measures, std::back_inserter(line.values));
  if (recorder_) recorder_->numbers(line);
  if (recorder_ && evaluated) recorder_->histograms(*training_.model, step_);
  progress_.update(step_, fmt::format("loss {:.4f}  {:.0f} {}/s", value, rate, options_.items));
  if (measures.empty()) return;
  if (recorder_) recorder_->flush();
  std::string said = fmt::format("step {}: train loss {:.4f}", step_, value);
  for (auto [name, number] : measures) said += fmt::format(", {} {:.4f}", (std::ranges::replace(name, '_', ' '), name), number);
  progress_.say(said);
  if (state_.stopping.stops())
    progress_.say(fmt::format("no better {} in {} evaluations; the weights of step {} are kept", training_.watched, state_.stopping.waited,
                              state_.stopping.best_step));
}

int Loop::interrupted(int signal) {
  progress_.finish();
  save();
  progress_.say(fmt::format("interrupted after step {}; saved. Go on with --resume {}", step_, run_.path()));
  if (recorder_) recorder_->flush();
  if (writes_files()) write_report(run_);
  return 128 + signal;
}

int Loop::finish() {
  progress_.finish();
  save();
  StateDict weights = final_weights();
  if (training_.sample) {
    EvaluationScope evaluation(*training_.model);
    training_.model->load_state(state_.own(weights));
    std::string text = training_.sample();
    if (recorder_) recorder_->text(text, step_);
  }
  if (recorder_) recorder_->flush();
  if (writes_files()) write_report(run_, true);
  run_.save_model(weights);
  return 0;
}

}  // namespace

int train(const RunDirectory& run, const Training& training, const TrainOptions& options) { return Loop(run, training, options).run(); }

}  // namespace plumb::train
