// Settings, rows and model of a tabular run.
#include "tools/tabular_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "engine/data/dataset.h"
#include "engine/data/files.h"
#include "ops/index.h"
#include "tools/cli/header_option.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("target", r.target), f("model", r.model), f("network", r.network),
      f("delimiter", r.delimiter);
  f("categorical", r.categorical), f("drop", r.drop), f("max_categories", r.max_categories), f("validation", r.validation),
      f("test", r.test);
  f("named_target", r.named_target), f("class_names", r.class_names);
};

namespace {

constexpr int64_t kMostClasses = 100;

CsvOptions csv_options(const TabularRun& run) {
  CsvOptions options = run.encoder.options();
  options.delimiter = run.delimiter[0];
  options.header = checked_header(run.header);
  return options;
}

std::string text_of(const CsvColumn& column, double v) {
  return column.categorical ? column.categories[static_cast<size_t>(v)] : fmt::format("{}", v);
}

// The rows that have a target.
TabularRows with_target(const TabularRun& run, CsvTable csv) {
  const CsvColumn& target = csv[run.target];
  std::vector<int64_t> kept;
  for (int64_t r = 0; r < csv.rows; ++r)
    if (!std::isnan(target.values[static_cast<size_t>(r)])) kept.push_back(r);
  require(!kept.empty(), fmt::format("the target \"{}\" has no values: all {} rows are missing", run.target, csv.rows));
  TabularRows rows;
  rows.left_out = csv.rows - static_cast<int64_t>(kept.size());
  rows.csv = data::select_rows(csv, kept);
  return rows;
}

std::vector<std::string> classes_of(const TabularRun& run, const TabularRows& rows) {
  const CsvColumn& target = rows.csv[run.target];
  std::set<double> values(target.values.begin(), target.values.end());
  require(values.size() >= 2, fmt::format("the target \"{}\" has one class only: \"{}\" in all {} rows", run.target,
                                          text_of(target, *values.begin()), rows.size()));
  require(static_cast<int64_t>(values.size()) <= kMostClasses,
          fmt::format("the target \"{}\" has {} different values; this kind of training predicts classes, at most {}", run.target,
                      values.size(), kMostClasses));
  std::vector<std::string> names;
  for (double v : values) names.push_back(text_of(target, v));
  return names;
}

void add_labels(const TabularRun& run, const std::string& path, TabularRows& rows) {
  const CsvColumn& target = rows.csv[run.target];
  for (double v : target.values) {
    std::string name = text_of(target, v);
    auto at = std::ranges::find(run.class_names, name);
    require(at != run.class_names.end(), fmt::format("{}: \"{}\" is no class of the run's target \"{}\"", path, name, run.target));
    rows.labels.push_back(at - run.class_names.begin());
  }
}

// Columns that cannot be read, as a list for a person and as one for the command line.
struct Unfit {
  std::string listed, names;
  void add(const std::string& name, const std::string& why) {
    listed += (listed.empty() ? "column \"" : ", \"") + name + "\"" + why;
    names += (names.empty() ? "\"" : " \"") + name + "\"";
  }
};

std::vector<int64_t> places_in(const data::Dataset& part) {
  return part.size() == 0 ? std::vector<int64_t>{} : to_vector<int64_t>(part.batch(part.size()).next().index);
}

}  // namespace

TabularRun::TabularRun() {
  training.batch = 128;
  training.steps = 1000;
  training.warmup = 50;
  training.lr = 3e-3;
  training.min_lr = 1e-5;
  training.weight_decay = 0.01;
  training.beta2 = 0.999;
  training.eval_every = 100;
}

std::string TabularRun::to_json() const {
  JsonObject json = run_json("tabular", *this, fields);
  std::vector<JsonObject> columns;
  for (const data::EncodedColumn& c : encoder.columns()) columns.push_back(JsonObject::parse(c.to_json(), "column"));
  json.set("columns", columns);
  json.set("header", header);
  return json.text();
}

TabularRun TabularRun::from_json(const std::string& text) {
  TabularRun run;
  JsonObject json = read_run("tabular", text, run, fields);
  std::vector<JsonObject> stored;
  json.read("columns", stored);
  json.read("header", run.header);  // which older runs do not have
  require(!stored.empty(), "config.json: columns is missing");
  std::vector<data::EncodedColumn> columns;
  for (const JsonObject& c : stored) columns.push_back(data::EncodedColumn::from_json(c.text()));
  run.encoder = data::TableEncoder(std::move(columns));
  return run;
}

void TabularRun::check() const {
  training.check();
  network.check();
  require(model == "mlp" || model == "logistic", "--model " + model + " is unknown; choose mlp or logistic");
  require(model == "mlp" || network.hidden.empty(), "--hidden: logistic regression has no hidden layers");
  checked_header(header);
  require(delimiter.size() == 1, "--delimiter must be one character, it is \"" + delimiter + "\"");
  require(max_categories >= 1, fmt::format("--max-categories must be at least 1, it is {}", max_categories));
  require(validation >= 0 && test >= 0 && validation + test < 1,
          fmt::format("--validation {} and --test {} must not be negative and leave rows to train on", validation, test));
  require(validation > 0 || training.early_stop == 0, "--early-stop needs a validation part: --validation must not be 0");
  require(!training.recompute, "--recompute: an mlp has no blocks to compute again");
}

// Where the second line has no number either, only the target's name tells a header.
static CsvTable load_table(const TabularRun& run, const std::string& path, CsvOptions options) {
  CsvTable table = load_csv(path, options);
  auto has_target = [&](const CsvTable& t) {
    return std::ranges::any_of(t.columns, [&](const CsvColumn& c) { return c.name == run.target; });
  };
  if (!has_target(table) && options.header == CsvOptions::Header::automatic) {
    options.header = CsvOptions::Header::present;
    if (CsvTable named = load_csv(path, options); has_target(named)) table = std::move(named);
  }
  for (const CsvColumn& c : table.columns)
    for (size_t r = 0; r < c.values.size(); ++r)
      require(!std::isinf(c.values[r]),
              fmt::format("{}: column \"{}\" is infinite in row {}; leave the field empty where there is no value", path, c.name, r + 1));
  return table;
}

TabularRows read_new_table(TabularRun& run) {
  CsvOptions options;
  options.delimiter = run.delimiter[0];
  options.header = checked_header(run.header);
  options.categorical = run.categorical;
  TabularRows rows = with_target(run, load_table(run, run.data, options));
  for (const std::string& name : run.drop) rows.csv[name];  // throws for one that is not there
  require(std::ranges::find(run.drop, run.target) == run.drop.end(), "--drop: \"" + run.target + "\" is the target");
  run.named_target = rows.csv[run.target].categorical;
  run.class_names = classes_of(run, rows);
  add_labels(run, run.data, rows);
  return rows;
}

TabularRows read_table(const TabularRun& run, const std::string& path) {
  CsvOptions options = csv_options(run);
  if (run.named_target) options.categorical.push_back(run.target);
  TabularRows rows = with_target(run, load_table(run, path, options));
  add_labels(run, path, rows);
  return rows;
}

bool is_own_table(const TabularRun& run, const std::string& path) { return data::hash_files({path})[0].sha256 == run.data_sha256; }

TabularRows read_same_table(const TabularRun& run) {
  require(is_own_table(run, run.data), run.data + " is not what this run was trained on: it has changed");
  return read_table(run, run.data);
}

TabularParts split_rows(const TabularRun& run, const TabularRows& rows) {
  auto all = data::from_tensors({{"label", from_vector(rows.labels)}});
  auto parts = all.split({1 - run.validation - run.test, run.validation, run.test}, {.seed = 0, .stratified = true});
  return {places_in(parts[0]), places_in(parts[1]), places_in(parts[2])};
}

data::TableEncoder fit_encoder(const TabularRun& run, const TabularRows& rows, const TabularParts& parts) {
  std::vector<std::string> names;
  Unfit without_values, too_many_texts;
  for (const CsvColumn& c : rows.csv.columns) {
    if (c.name == run.target || std::ranges::find(run.drop, c.name) != run.drop.end()) continue;
    bool has_values = std::ranges::any_of(parts.train, [&](int64_t r) { return !std::isnan(c.values[static_cast<size_t>(r)]); });
    if (!has_values)
      without_values.add(c.name, "");
    else if (c.categorical && static_cast<int64_t>(c.categories.size()) > run.max_categories)
      too_many_texts.add(c.name, fmt::format(" ({})", c.categories.size()));
    names.push_back(c.name);
  }
  require(without_values.names.empty(), fmt::format("no values in {}: all {} training rows are missing; leave it out: --drop {}",
                                                    without_values.listed, parts.train.size(), without_values.names));
  require(too_many_texts.names.empty(), fmt::format("more than --max-categories {} different texts in {}; leave it out: --drop {}",
                                                    run.max_categories, too_many_texts.listed, too_many_texts.names));
  require(!names.empty(), "there is no column to predict \"" + run.target + "\" from");
  return data::TableEncoder::fit(rows.csv, names, parts.train);
}

mlp::Mlp load_network(const TabularRun& run, const train::RunDirectory& directory) {
  StateDict weights = directory.load_model();
  mlp::Mlp network(run.network);
  run.training.prepare(network);
  network.load_state(weights);
  network.eval();
  return network;
}

Tensor features_of(const TabularRun& run, const TabularRows& rows, const std::vector<int64_t>& places) {
  return run.encoder(data::select_rows(rows.csv, places));
}

std::vector<int64_t> all_places(const TabularRows& rows) {
  std::vector<int64_t> places;
  for (int64_t r = 0; r < rows.size(); ++r) places.push_back(r);
  return places;
}

}  // namespace plumb::tools
