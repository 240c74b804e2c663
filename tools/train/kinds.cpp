// `plumb train` and `plumb eval`: the list of kinds, and what chooses among them.
#include "tools/train/kinds.h"

#include <array>
#include <memory>

#include "tools/train/settings.h"

namespace plumb::tools {

extern const TrainingKind classifier_kind, clip_kind, consistency_kind, detector_kind, encoder_kind, forecast_kind, gan_kind, gpt_kind,
    moe_kind, segment_kind, ssl_kind, tabular_kind, translate_kind, unet_kind, vae_kind, vit_kind;

std::span<const TrainingKind* const> training_kinds() {
#ifdef PLUMB_QUICK
  static constexpr std::array kinds{&gpt_kind};
#else
  static constexpr std::array kinds{&gpt_kind,     &moe_kind,      &encoder_kind,  &translate_kind, &vit_kind,  &classifier_kind,
                                    &clip_kind,    &tabular_kind,  &forecast_kind, &ssl_kind,       &unet_kind, &consistency_kind,
                                    &segment_kind, &detector_kind, &vae_kind,      &gan_kind};
#endif
  return kinds;
}

const TrainingKind& kind_of_run(const train::RunDirectory& run) {
  std::string name = kind_of(run);
  for (const TrainingKind* kind : training_kinds())
    if (name == kind->command.name) return *kind;
  if (name == "finetune")
    throw ConfigError(run.path() + " holds adapters alone; make a model of it first: plumb merge " + run.path() + " --out DIRECTORY");
  throw ConfigError(run.path() + " is a run of kind \"" + name + "\", which this program does not know");
}

namespace {

Action define_train(CommandLine& line) {
  std::vector<const Command*> commands;
  for (const TrainingKind* kind : training_kinds()) commands.push_back(&kind->command);
  return choose(line, commands);
}

struct Request {
  std::string run;
  std::vector<std::string> data;
};

int evaluate(const Request& request) {
  auto run = train::RunDirectory::open(request.run);
  const TrainingKind& kind = kind_of_run(run);
  if (!kind.evaluate) throw ConfigError(request.run + ": runs of train " + kind.command.name + " are not evaluated by this command");
  return kind.evaluate(run, request.data);
}

Action define_eval(CommandLine& line) {
  auto request = std::make_shared<Request>();
  line.required("run", request->run, "run directory");
  line.option(
      "--data", request->data,
      "what to measure on: text files for gpt and moe (every token but the first is predicted once); images for classifier, vit, ssl, "
      "unet, consistency, vae and gan, a CSV file for clip, tabular and forecast (by default the test part of their own data)");
  return [request] { return evaluate(*request); };
}

}  // namespace

extern const Command train_command, eval_command;
const Command train_command{"train", "train a model", define_train};
const Command eval_command{"eval", "measure a trained model on data", define_eval};

}  // namespace plumb::tools
