// `plumb train tabular`: logistic regression or a multi-layer perceptron, on a user's own CSV table.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/files.h"
#include "engine/data/step_batches.h"
#include "models/nn/placement.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/cli/header_option.h"
#include "tools/cli/heeded_options.h"
#include "tools/tabular_model.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

constexpr int64_t kEvalBatch = 2000;
constexpr int64_t kMostEpochs = 1'000'000;  // steps are counted in 64 bits

struct Options {
  TabularRun run;
  int64_t epochs = 0;
};

data::Dataset part_of(const TabularRun& run, const TabularRows& rows, const std::vector<int64_t>& places) {
  std::vector<int64_t> labels;
  for (int64_t r : places) labels.push_back(rows.labels[static_cast<size_t>(r)]);
  return data::from_tensors({{"features", features_of(run, rows, places)}, {"label", from_vector(labels)}});
}

struct Scores {
  double loss = 0, accuracy = 0;
};

Scores measure(const mlp::Mlp& network, const data::Dataset& rows) {
  NoGrad off;
  Scores s;
  for (const auto& batch : rows.batch(kEvalBatch)) {
    Tensor logits = network(nn::input_for(network, batch.features)), label = to(batch.label, logits.device());
    s.loss += cross_entropy(logits, label, {.reduction = Reduction::sum}).item();
    s.accuracy += static_cast<double>(count_nonzero(argmax(logits, -1) == label).item<int64_t>());
  }
  s.loss /= static_cast<double>(rows.size()), s.accuracy /= static_cast<double>(rows.size());
  return s;
}

int train_run(const train::RunDirectory& directory, const TabularRun& run, const TabularRows& rows) {
  const TrainingSettings& settings = run.training;
  TabularParts parts = split_rows(run, rows);
  manual_seed(settings.seed);
  mlp::Mlp network(run.network);
  settings.prepare(network);
  fmt::print(stderr,
             "tabular: {}, {} parameters, {} inputs from {} columns, {} classes; {} rows to train on, {} to validate, {} to test{}\n",
             run.model, network.num_parameters(), run.encoder.width(), run.encoder.columns().size(), run.class_names.size(),
             parts.train.size(), parts.validation.size(), parts.test.size(),
             rows.left_out > 0 ? fmt::format("; {} without \"{}\" are left out", rows.left_out, run.target) : "");
  data::StepBatches batches(part_of(run, rows, parts.train), {.batch = settings.batch, .seed = settings.seed});
  train::Training training;
  training.loss = [&](const train::Part& part) {
    data::Batch batch = batches(part.step, part.index, part.count);
    Tensor logits = network(nn::input_for(network, batch.features));
    return cross_entropy(logits, to(batch.label, logits.device()));
  };
  data::Dataset validation, test;
  if (!parts.validation.empty()) {
    validation = part_of(run, rows, parts.validation);
    training.validate = [&] {
      Scores s = measure(network, validation);
      return train::Measures{{"val_loss", s.loss}, {"val_accuracy", s.accuracy}};
    };
  }
  if (!parts.test.empty()) {
    test = part_of(run, rows, parts.test);
    training.test = [&] {
      Scores s = measure(network, test);
      return train::Measures{{"test_loss", s.loss}, {"test_accuracy", s.accuracy}};
    };
  }
  return settings.train_model(directory, network, training, static_cast<double>(settings.batch), "rows");
}

int start(Options& o, const CommandLine& line, const std::string& out) {
  TabularRun& run = o.run;
  require(!run.data.empty(), "--data is missing: give a CSV file");
  require(!run.target.empty(), "--target is missing: give the column to predict");
  require(o.epochs >= 0 && o.epochs <= kMostEpochs, fmt::format("--epochs must lie between 0 and {}, it is {}", kMostEpochs, o.epochs));
  if (run.model == "logistic" && !line.given("--hidden")) run.network.hidden.clear();
  run.check();
  refuse_unheeded(line,
                  {{{"--activation", "--dropout"}, run.model == "mlp", "logistic regression has no hidden layers, only --model mlp has"}});
  TabularRows rows = read_new_table(run);
  run.data = std::filesystem::absolute(run.data).lexically_normal().string();
  run.data_sha256 = data::hash_files({run.data})[0].sha256;
  TabularParts parts = split_rows(run, rows);
  require(!parts.train.empty(),
          fmt::format("--validation {} and --test {} of {} rows leave none to train on", run.validation, run.test, rows.size()));
  require(run.validation == 0 || !parts.validation.empty(), fmt::format("--validation {} of {} rows is none", run.validation, rows.size()));
  run.encoder = fit_encoder(run, rows, parts);
  run.network.inputs = run.encoder.width();
  run.network.outputs = static_cast<int64_t>(run.class_names.size());
  if (o.epochs > 0)
    run.training.steps = (o.epochs * static_cast<int64_t>(parts.train.size()) + run.training.batch - 1) / run.training.batch;
  run.check();
  auto directory = train::RunDirectory::create(out, run.to_json());
  return train_run(directory, run, rows);
}

int resume(const train::RunDirectory& directory) {
  TabularRun run = TabularRun::from_json(directory.config());
  run.check();
  return train_run(directory, run, read_same_table(run));
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  TabularRun& r = o->run;
  line.option("--data", r.data, "a CSV file, with a header or without (columns are then called 0, 1, …), gzipped or not");
  line.option("--target", r.target, "the column to predict, a class for each different value");
  line.option("--model", r.model, "mlp or logistic");
  line.option("--hidden", r.network.hidden, "widths of an mlp's hidden layers");
  line.option("--activation", r.network.activation, "activation of an mlp: relu, gelu, silu or tanh");
  line.option("--dropout", r.network.dropout, "probability, of an mlp");
  line.option("--categorical", r.categorical, "columns whose numbers are names (codes)");
  line.option("--drop", r.drop, "columns to leave out");
  line.option("--max-categories", r.max_categories, "different texts that a column may have");
  line.option("--delimiter", r.delimiter, "between fields");
  line.option("--header", r.header, kHeaderHelp);
  line.option("--validation", r.validation, "share of the rows to choose settings by; 0: none");
  line.option("--test", r.test, "share of the rows that the result is measured on, and audited; 0: none");
  line.option("--epochs", o->epochs, "passes over the training rows, instead of --steps");
  r.training.define(line, "rows");
  line.exclude("--epochs", "--steps");
  return start_or_resume(
      line, "tabular", [o, line](const std::string& out) { return start(*o, line, out); }, resume);
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& names) {
  TabularRun run = TabularRun::from_json(directory.config());
  mlp::Mlp network = load_network(run, directory);
  require(names.size() <= 1, "--data: give one CSV file");
  bool own = names.empty() || is_own_table(run, names[0]);  // of which the model has seen all but the test part
  TabularRows rows = names.empty() ? read_same_table(run) : read_table(run, names[0]);
  std::vector<int64_t> places = own ? split_rows(run, rows).test : all_places(rows);
  require(!places.empty(), "the run has no test part; give --data");
  data::Dataset part = part_of(run, rows, places);
  Scores s = measure(network, part);
  fmt::print("{{\"accuracy\": {}, \"loss\": {}, \"rows\": {}}}\n", s.accuracy, s.loss, part.size());
  return 0;
}

}  // namespace

extern const TrainingKind tabular_kind;
const TrainingKind tabular_kind{{"tabular", "logistic regression or an MLP, on a CSV table", define}, evaluate};

}  // namespace plumb::tools
