// Shared training options.
#include "tools/train/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <unordered_set>

#include "engine/autograd/autocast.h"
#include "engine/core/device_runtime.h"
#include "engine/core/precision.h"
#include "engine/dist/world.h"
#include "engine/io/file.h"
#include "engine/io/json_fields.h"
#include "models/optim/adam.h"
#include "models/optim/sgd.h"
#include "models/parallel/sharded_optimizer.h"
#include "models/train/beginning.h"
#include "models/train/metrics.h"
#include "models/train/share.h"
#include "models/train/step_probe.h"
#include "tools/cli/device_option.h"
#include "tools/cli/heeded_options.h"
#include "tools/cli/winograd_option.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& s, auto&& f) {
  f("batch", s.batch), f("steps", s.steps), f("accumulate", s.accumulate), f("recompute", s.recompute), f("capture", s.capture),
      f("shard_optimizer", s.shard_optimizer);
  f("optimizer", s.optimizer), f("lr", s.lr), f("min_lr", s.min_lr), f("warmup", s.warmup), f("weight_decay", s.weight_decay);
  f("beta1", s.beta1), f("beta2", s.beta2), f("momentum", s.momentum), f("clip", s.clip), f("ema", s.ema);
  f("eval_every", s.eval_every), f("checkpoint_every", s.checkpoint_every), f("early_stop", s.early_stop);
  f("seed", s.seed), f("device", s.device), f("dtype", s.dtype), f("winograd", s.winograd), f("no_events", s.no_events),
      f("no_histograms", s.no_histograms);
};

void TrainingSettings::set(JsonObject& json) const { set_fields(json, *this, fields); }
void TrainingSettings::read(const JsonObject& json) { read_fields(json, *this, fields); }

void TrainingSettings::define(CommandLine& line, const std::string& items) {
  line.option("--batch", batch, items + " a step");
  line.option("--steps", steps, "training steps");
  line.option("--optimizer", optimizer, "adamw or sgd (Nesterov momentum)");
  line.option("--lr", lr, "highest learning rate");
  line.option("--min-lr", min_lr, "learning rate at the last step");
  line.option("--warmup", warmup, "steps in which the learning rate rises");
  line.option("--weight-decay", weight_decay, "decay of the weights (matrices and kernels only)");
  line.option("--beta1", beta1, "AdamW's");
  line.option("--beta2", beta2, "AdamW's");
  line.option("--momentum", momentum, "SGD's");
  line.option("--clip", clip, "largest gradient norm; 0: any");
  line.option("--accumulate", accumulate, "equal parts of a batch, one backward pass each: less memory, the same gradient");
  line.flag("--recompute", recompute, "compute each block again for its gradient instead of keeping what it needs: less memory");
  line.flag("--capture", capture, "on a GPU, start the forward and backward passes of a step by one call");
  line.flag("--shard-optimizer", shard_optimizer,
            "under mpirun, share the optimiser's state out over the processes (ZeRO 1): less memory, the same weights");
  line.option("--ema", ema, "decay of averaged weights, which are evaluated and saved in place of the last; 0: none");
  line.option("--early-stop", early_stop, "end with the best weights after so many evaluations without improvement; 0: never");
  line.option("--eval-every", eval_every, "steps between validations; the last step always; 0: only then");
  line.option("--checkpoint-every", checkpoint_every, "steps between checkpoints; 0: none before the end");
  line.flag("--no-events", no_events, "write no event files for TensorBoard");
  line.flag("--no-histograms", no_histograms, "write no histograms of weights and gradients at evaluations");
  line.option("--seed", seed, "random seed of weights, data order and dropout");
  line.option("--device", device, "cpu, cuda or cuda:N");
  line.option("--dtype", dtype, "f32, tf32 (f32 whose products a GPU may round), bf16 or f16 (autocast; f16 scales the loss) or f64");
  line.option("--winograd", winograd, kWinogradHelp);
}

static constexpr int64_t kMostBatch = int64_t{1} << 30;  // its products with a context or an image stay within 64 bits

void TrainingSettings::check() const {
  require(dtype == "f32" || dtype == "tf32" || dtype == "bf16" || dtype == "f16" || dtype == "f64",
          "--dtype " + dtype + " is unknown; choose f32, tf32, bf16, f16 or f64");
  check_winograd(winograd);
  require(optimizer == "adamw" || optimizer == "sgd", "--optimizer " + optimizer + " is unknown; choose adamw or sgd");
  require(batch >= 1 && batch <= kMostBatch, fmt::format("--batch must lie between 1 and {}, it is {}", kMostBatch, batch));
  require(steps >= 1, "--steps must be at least 1, it is " + std::to_string(steps));
  require(accumulate >= 1, "--accumulate must be at least 1, it is " + std::to_string(accumulate));
  require(batch % accumulate == 0, fmt::format("--accumulate {} does not divide --batch {}", accumulate, batch));
  const int processes = dist::world().size();
  require(batch % (accumulate * processes) == 0, fmt::format("--batch {} is not divisible by {} processes{}", batch, processes,
                                                             accumulate > 1 ? fmt::format(" × --accumulate {}", accumulate) : ""));
  require(eval_every >= 0, "--eval-every must not be negative");
  require(checkpoint_every >= 0, "--checkpoint-every must not be negative");
  require(early_stop >= 0, "--early-stop must not be negative");
  require(early_stop == 0 || eval_every > 0, "--early-stop needs evaluations on the way: --eval-every must not be 0");
  require(warmup >= 0, "--warmup must not be negative");
  require(lr > 0 && std::isfinite(lr), fmt::format("--lr must be positive and finite, it is {}", lr));
  require(min_lr >= 0 && min_lr <= lr, "--min-lr must lie between 0 and --lr");
  require(weight_decay >= 0 && std::isfinite(weight_decay),
          fmt::format("--weight-decay must be finite and not negative, it is {}", weight_decay));
  require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "--beta1 and --beta2 must lie in [0, 1)");
  require(momentum >= 0 && momentum < 1, "--momentum must lie in [0, 1)");
  require(clip >= 0, "--clip must not be negative");
  require(ema >= 0 && ema < 1, "--ema must lie in [0, 1)");
  checked_device(device);
  require(device != "cuda" || dist::world().local_rank() < device_count(DeviceType::cuda),
          fmt::format("--device cuda: every process needs a GPU of its own, and this machine has {}; start fewer processes",
                      device_count(DeviceType::cuda)));
}

namespace {

// Matrices and kernels, which decay, and the rest.
template <typename Options>
std::vector<optim::Group<Options>> groups_of(const nn::Module& model, const Options& options) {
  optim::Group<Options> decayed{{}, options}, plain{{}, options};
  plain.options.weight_decay = 0;
  std::unordered_set<const TensorImpl*> biases;  // those of experts are matrices
  for (const auto& [name, p] : model.named_parameters())
    if (name.ends_with("bias")) biases.insert(p.impl());
  for (const Tensor& p : model.parameters()) (p.rank() >= 2 && !biases.contains(p.impl()) ? decayed : plain).parameters.push_back(p);
  return {decayed, plain};
}

optim::SgdOptions sgd_options(const TrainingSettings& s) {
  return {.lr = s.lr, .momentum = s.momentum, .weight_decay = s.weight_decay, .nesterov = s.momentum > 0};
}
optim::AdamWOptions adamw_options(const TrainingSettings& s) {
  return {.lr = s.lr, .beta1 = s.beta1, .beta2 = s.beta2, .weight_decay = s.weight_decay};
}

}  // namespace

std::unique_ptr<optim::Optimizer> TrainingSettings::make_optimizer(const nn::Module& model) const {
  if (optimizer == "sgd") return std::make_unique<optim::SGD>(groups_of(model, sgd_options(*this)));
  return std::make_unique<optim::AdamW>(groups_of(model, adamw_options(*this)));
}

std::unique_ptr<optim::Optimizer> TrainingSettings::make_sharded_optimizer(const nn::Module& model,
                                                                           parallel::GradientBuckets& buckets) const {
  if (optimizer == "sgd") return std::make_unique<parallel::ShardedSGD>(groups_of(model, sgd_options(*this)), buckets);
  return std::make_unique<parallel::ShardedAdamW>(groups_of(model, adamw_options(*this)), buckets);
}

optim::Schedule TrainingSettings::schedule() const { return optim::cosine_with_warmup(std::min(warmup, steps - 1), steps, min_lr / lr); }

train::TrainOptions TrainingSettings::train_options(double items_per_step, const std::string& items) const {
  return {.steps = steps,
          .eval_every = eval_every,
          .checkpoint_every = checkpoint_every,
          .clip_norm = clip,
          .accumulate = accumulate,
          .ema = ema,
          .patience = early_stop,
          .capture = capture,
          .scale_loss = dtype == "f16",
          .items_per_step = items_per_step,
          .items = items,
          .record = {.events = !no_events, .histograms = !no_histograms}};
}

int TrainingSettings::train_model(const train::RunDirectory& run, nn::Module& model, train::Training training, double items_per_step,
                                  const std::string& items, const std::function<void(optim::Optimizer&)>& adapt) const {
  std::shared_ptr<dist::Collectives> collectives;
  std::unique_ptr<parallel::GradientBuckets> buckets;
  if (shard_optimizer && dist::world().size() > 1) {
    collectives = dist::world().collectives_on(place());
    buckets = std::make_unique<parallel::GradientBuckets>(model.parameters(), *collectives, parallel::BucketOptions{.scatter = true});
    training.buckets = buckets.get();
  }
  auto optimizer = buckets ? make_sharded_optimizer(model, *buckets) : make_optimizer(model);
  if (adapt) adapt(*optimizer);
  training.model = &model;
  training.optimizer = optimizer.get();
  training.schedule = schedule();
  require(!capture || training.batch,
          "--capture: this training waits for the GPU within a step, which cannot be captured; leave --capture out (or --capacity, with "
          "experts)");
  if (training.loss)
    training.loss = [this, loss = std::move(training.loss)](const train::Part& part) {
      Autocast cast(autocast_type());
      return loss(part);
    };
  if (training.loss_of)
    training.loss_of = [this, loss_of = std::move(training.loss_of)](const std::vector<Tensor>& inputs) {
      Autocast cast(autocast_type());
      return loss_of(inputs);
    };
  return train::train(run, training, train_options(items_per_step, items));
}

Device TrainingSettings::place() const {
  Device where = device_from_name(device);
  if (device == "cuda" && dist::world().size() > 1) where.index = dist::world().local_rank();
  return where.index < device_count(where.type) ? where : cpu;
}

void TrainingSettings::prepare(nn::Module& model) const {
  allow_tf32(dtype == "tf32");
  set_winograd(winograd);
  if (dtype == "f64") model.to(f64);
  model.to(place());
}

std::string kind_of(const train::RunDirectory& run) {
  std::string kind;
  JsonObject::parse(run.config(), "config.json").read("kind", kind);
  return kind;
}

namespace {

int go_on(const std::string& path, const std::string& kind, const std::function<int(const train::RunDirectory&)>& resume) {
  auto run = train::RunDirectory::open(path);
  std::string found = kind_of(run);
  if (found != kind) throw ConfigError(fmt::format("{} is a run of train {}, not of train {}", path, found, kind));
  if (!run.finished() || train::step_probe()) return resume(run);
  if (!path_exists(run.file("metrics.jsonl"))) {  // merged
    fmt::print("{} is a finished model; nothing was trained in it\n", path);
    return 0;
  }
  std::vector<train::Metrics> metrics = train::read_metrics(run.file("metrics.jsonl"));
  if (metrics.empty()) throw IoError(run.file("metrics.jsonl") + ": holds no step, though the run is finished; was it copied whole?");
  fmt::print("{} is finished: {} steps. Its report: {}\n", path, metrics.back().step, run.file("report.html"));
  return 0;
}

// What the kind's own options cannot know of those that all have.
void refuse_unheeded_settings(const CommandLine& line) {
  std::string optimizer = word_of(line, "--optimizer");
  refuse_unheeded(
      line, {{{"--beta1", "--beta2"}, optimizer != "sgd", "--optimizer sgd has --momentum instead"},
             {{"--momentum"}, optimizer != "adamw", "--optimizer adamw has --beta1 and --beta2 instead"},
             {{"--capture"}, word_of(line, "--device") != "cpu", "the CPU is given its work call by call, only --device cuda is not"}});
}

}  // namespace

Action start_or_resume(CommandLine line, const std::string& kind, std::function<int(const std::string&)> start,
                       std::function<int(const train::RunDirectory&)> resume) {
  struct Paths {
    std::string out, resume;
  };
  auto paths = std::make_shared<Paths>();
  line.option("--out", paths->out, "run directory to make");
  line.option("--resume", paths->resume, "go on with this run directory; everything else comes from it");
  line.exclude_others("--resume");
  return [=] {
    if (line.given("--resume")) return go_on(paths->resume, kind, resume);
    if (!line.given("--out")) throw ConfigError("--out is missing: give the run directory to make");
    if (!train::may_begin_at(paths->out))
      throw ConfigError(paths->out + " exists already; choose another --out, or go on with it: --resume " + paths->out);
    refuse_unheeded_settings(line);
    dist::world().barrier();  // all have looked before one makes it
    return start(paths->out);
  };
}

}  // namespace plumb::tools
