// `plumb finetune`: low-rank adapters trained on top of a run or a pretrained directory.
#include <filesystem>
#include <memory>
#include <utility>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "tools/cli/heeded_options.h"
#include "tools/commands.h"
#include "tools/finetune/finetune_run.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("base", r.base), f("base_kind", r.base_kind), f("base_sha256", r.base_sha256), f("data", r.data), f("data_sha256", r.data_sha256);
  f("keep", r.keep), f("keep_sha256", r.keep_sha256), f("context", r.context);
  adapter_fields(r.adapter, f);
};

FinetuneRun::FinetuneRun() {
  training.steps = 500;
  training.warmup = 20;
  training.min_lr = 0;
  training.weight_decay = 0;
  training.beta2 = 0.999;
  training.eval_every = 100;
}

std::string FinetuneRun::to_json() const { return run_json("finetune", *this, fields).text(); }

FinetuneRun FinetuneRun::from_json(const std::string& text) {
  FinetuneRun run;
  read_run("finetune", text, run, fields);
  return run;
}

void FinetuneRun::check() const {
  adapter.check();
  training.check();
  require(context >= 0, "--context must not be negative");
  require(!training.recompute && !training.capture, "--recompute and --capture are not for fine-tuning");
  if (adapter.is("alignguard"))
    require(!keep.empty(), "--keep is missing: alignguard needs examples of what the model is to go on doing");
  else
    require(keep.empty(), "--keep: only alignguard keeps anything; --adapter is " + adapter.adapter);
}

int train_adapters(const train::RunDirectory& directory, const FinetuneRun& run, Tuning& tuning, train::Training training,
                   double items_per_step, const std::string& items) {
  const TrainingSettings& settings = run.training;
  double decay = settings.optimizer == "adamw" ? settings.weight_decay : 0;
  return settings.train_model(directory, tuning.part(), std::move(training), items_per_step, items,
                              [&](optim::Optimizer& o) { tuning.adapt(o, decay); });
}

void check_base(const FinetuneRun& run, const nn::Module& module) {
  if (weights_sha256(module) != run.base_sha256)
    throw ConfigError("the weights of " + run.base + " are not those that the adapter was made for");
}

namespace {

struct Options {
  FinetuneRun run;
  std::string base;
};

int tune(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base) {
  return base.is_text()   ? tune_text(directory, run, base)
         : base.is_dual() ? tune_pairs(directory, run, base)
                          : tune_images(directory, run, base);
}

// Whatever can be refused is refused before the directory is made.
int start(Options& o, const CommandLine& line, const std::string& out) {
  FinetuneRun& run = o.run;
  require(!o.base.empty(), "give the run or the pretrained directory to start from");
  require(!run.data.empty(), "--data is missing: give what to learn from, text files or images");
  run.check();
  run.adapter.refuse_others(line);
  Base base = Base::open(o.base);
  refuse_unheeded(line, {{{"--context"}, base.is_text(), o.base + " does not learn from text"}});
  run.base = base.path(), run.base_kind = base.kind();
  if (base.is_text())
    describe_text(run);
  else if (base.is_dual())
    describe_pairs(run, base);
  else
    describe_images(run, base);
  LoadedBase loaded = load(base);
  if (loaded.text) check_text(run, base, *loaded.text);
  run.base_sha256 = weights_sha256(loaded.module());
  nn::LowRankOptions options = run.adapter.options();
  options.start = nn::LowRankStart::zero;  // what is asked here is only whether it fits
  add_adapters(loaded.module(), run.adapter, options);
  loaded = {};
  auto directory = train::RunDirectory::create(out, run.to_json());
  return tune(directory, run, base);
}

int resume(const train::RunDirectory& directory) {
  FinetuneRun run = FinetuneRun::from_json(directory.config());
  run.check();
  return tune(directory, run, Base::open(run.base));
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.option("run", o->base, "run of train gpt, moe, classifier, vit or clip, or a directory with a pretrained GPT-2, Llama or ViT");
  line.option("--data", o->run.data,
              "what to learn from: text files, of which the last tenth is for validation; images, as for train classifier; "
              "or, for a dual encoder, a CSV file as for train clip");
  line.option("--keep", o->run.keep, "alignguard: examples of what the model is to go on doing, of the same form");
  line.option("--context", o->run.context, "text: tokens a sequence; 0: as many as the model takes");
  o->run.adapter.define(line);
  o->run.training.define(line, "sequences, images or pairs");
  return start_or_resume(
      line, "finetune", [o, line](const std::string& out) { return start(*o, line, out); }, resume);
}

}  // namespace

extern const Command finetune_command;
const Command finetune_command{"finetune", "train low-rank adapters of a trained model", define};

}  // namespace plumb::tools
