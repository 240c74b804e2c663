// `plumb predict`: what a trained run predicts for a user's data, as CSV.
#include <fmt/format.h>

#include <memory>

#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string run;
  PredictRequest request;
};

int predict(const Options& o) {
  auto run = train::RunDirectory::open(o.run);
  const TrainingKind& kind = kind_of_run(run);
  if (!kind.predict)
    throw ConfigError(fmt::format("{}: runs of train {} do not predict; this is for train forecast", o.run, kind.command.name));
  return kind.predict(run, o.request);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("run", o->run, "run directory of train forecast");
  line.option("--data", o->request.data, "a CSV file to go on from, in place of the run's own");
  line.option("--steps", o->request.steps, "values after the last row; beyond the run's horizon from its own predictions; 0: the horizon");
  line.option("--out", o->request.out, "file to write in place of standard output");
  return [o] { return predict(*o); };
}

}  // namespace

extern const Command predict_command;
const Command predict_command{"predict", "the next values of a series, by a trained run", define};

}  // namespace plumb::tools
