// `plumb audit`: a page on how a tabular run treats groups of people.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "methods/fairness/rai_inconsistency/audit.h"
#include "models/nn/placement.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/commands.h"
#include "tools/output_file.h"
#include "tools/progress_bar.h"
#include "tools/tabular_model.h"

namespace plumb::tools {
namespace {

namespace rai = methods::rai_inconsistency;

constexpr size_t kMostGroups = 12;  // different numbers of a protected column that are groups without --split

struct Options {
  std::string run, data, protected_column, positive, out;
  std::optional<double> split;
  std::vector<std::string> groups;
  double threshold = 0.5, budget = 0.05;
  int64_t resamples = 300, permutations = 99;
  uint64_t seed = 0;
};

// People that are audited: their places in the table, and their groups.
struct People {
  std::vector<int64_t> places, group;
  std::vector<std::string> names;
  std::vector<std::string> notes;
};

// What the group of a row is called; empty where it is missing.
std::vector<std::string> group_texts(const Options& o, const CsvColumn& column, const std::vector<int64_t>& places) {
  std::vector<double> values;
  for (int64_t r : places)
    if (double v = column.values[static_cast<size_t>(r)]; !std::isnan(v)) values.push_back(v);
  require(!values.empty(), fmt::format("the protected column \"{}\" has no values: all {} rows are missing", column.name, places.size()));
  require(!o.split || !column.categorical, fmt::format("--split: the protected column \"{}\" holds texts", column.name));
  std::ranges::sort(values);
  size_t different = std::set<double>(values.begin(), values.end()).size();
  require(column.categorical || o.split || different <= kMostGroups,
          fmt::format("the protected column \"{}\" has {} different numbers; cut it in two groups: --split {} is the median", column.name,
                      different, values[values.size() / 2]));
  std::vector<std::string> texts;
  for (int64_t r : places) {
    double v = column.values[static_cast<size_t>(r)];
    if (std::isnan(v))
      texts.emplace_back();
    else if (o.split)
      texts.push_back(fmt::format("{} {} {}", column.name, v < *o.split ? "<" : "≥", *o.split));
    else
      texts.push_back(column.categorical ? column.categories[static_cast<size_t>(v)] : fmt::format("{}", v));
  }
  return texts;
}

People people_of(const Options& o, const TabularRows& rows, const std::vector<int64_t>& places) {
  const CsvColumn& column = rows.csv[o.protected_column];
  std::vector<std::string> texts = group_texts(o, column, places);
  std::map<std::string, int64_t> count;
  for (const std::string& t : texts)
    if (!t.empty()) ++count[t];
  for (const std::string& wanted : o.groups)
    require(count.contains(wanted), fmt::format("--groups: no row has \"{}\" in the column \"{}\"", wanted, column.name));
  People people;
  for (const auto& [name, rows_of] : count)
    if (o.groups.empty() || std::ranges::find(o.groups, name) != o.groups.end()) people.names.push_back(name);
  require(people.names.size() >= 2,
          fmt::format("the protected column \"{}\" has one value only: \"{}\" in {} rows; gaps between groups need two", column.name,
                      people.names[0], count[people.names[0]]));
  for (const std::string& name : people.names)
    require(
        count[name] >= 2,
        fmt::format(
            "group \"{}\" of the protected column \"{}\" has one row; rates within a group need at least two (--groups leaves groups out)",
            name, column.name));
  int64_t missing = 0, others = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    auto at = std::ranges::find(people.names, texts[i]);
    if (texts[i].empty())
      ++missing;
    else if (at == people.names.end())
      ++others;
    else
      people.places.push_back(places[i]), people.group.push_back(at - people.names.begin());
  }
  if (missing > 0) people.notes.push_back(fmt::format("{} rows without \"{}\" are left out.", missing, column.name));
  if (others > 0) people.notes.push_back(fmt::format("{} rows of other groups are left out.", others));
  return people;
}

int64_t positive_class(const Options& o, const TabularRun& run) {
  std::string classes;
  for (const std::string& name : run.class_names) classes += (classes.empty() ? "" : ", ") + name;
  if (o.positive.empty()) {
    require(run.class_names.size() == 2,
            fmt::format("the run has {} classes; say which one is good news: --positive (of {})", run.class_names.size(), classes));
    return 1;
  }
  auto at = std::ranges::find(run.class_names, o.positive);
  require(at != run.class_names.end(), fmt::format("--positive {} is no class of the run; there are {}", o.positive, classes));
  return at - run.class_names.begin();
}

// The run's network as a model of one class against the others: features [n, F] → log p / (1 − p).
TensorFunction against_others(const mlp::Mlp& network, int64_t positive) {
  return [&network, positive](const Tensor& x) {
    Tensor z = to(network(nn::input_for(network, x)), cpu);
    std::vector<int64_t> others;
    for (int64_t c = 0; c < z.size(1); ++c)
      if (c != positive) others.push_back(c);
    return select(z, 1, positive) - logsumexp(index_select(z, 1, from_vector(others)), {1});
  };
}

Tensor labels_at(const TabularRows& rows, const std::vector<int64_t>& places, int64_t positive) {
  std::vector<int64_t> y;
  for (int64_t r : places) y.push_back(rows.labels[static_cast<size_t>(r)] == positive);
  return from_vector(y);
}

Tensor probabilities(const TensorFunction& model, const Tensor& features) {
  NoGrad off;
  return sigmoid(to(model({features})[0], f64));
}

// Losses on the rows that the run was trained on; none if its table is gone.
std::vector<double> losses_of_training(const TabularRun& run, const TensorFunction& model, int64_t positive) {
  if (!path_exists(run.data) || !is_own_table(run, run.data)) return {};
  TabularRows rows = read_table(run, run.data);
  std::vector<int64_t> places = split_rows(run, rows).train;
  return rai::row_losses(probabilities(model, features_of(run, rows, places)), labels_at(rows, places, positive));
}

// The columns of x but those from `column`.
Tensor without(const TabularRun& run, const Tensor& x, const std::string& column) {
  std::vector<int64_t> gone = run.encoder.inputs_of(column), kept;
  for (int64_t c = 0; c < x.size(1); ++c)
    if (std::ranges::find(gone, c) == gone.end()) kept.push_back(c);
  return kept.empty() ? Tensor() : index_select(x, 1, from_vector(kept));
}

// Which rows of the table are audited: of the run's own table those that it was not trained on.
std::vector<int64_t> audited_places(const TabularRun& run, const TabularRows& rows, bool own, std::vector<std::string>& notes) {
  if (!own) return all_places(rows);
  TabularParts parts = split_rows(run, rows);
  std::vector<int64_t> places = parts.test.empty() ? parts.validation : parts.test;
  if (places.empty()) {
    notes.push_back("The run was trained on these very rows: expect better numbers here than for people it has not seen.");
    return parts.train;
  }
  notes.push_back(
      fmt::format("This is the table that the run was trained on; its {} part is audited.", parts.test.empty() ? "validation" : "test"));
  return places;
}

// A column's name as a part of a file's.
std::string file_name(std::string column) {
  std::ranges::replace(column, '/', '-');
  return column;
}

// Where the page goes, and its numbers beside it; these are not written beside a device or a pipe.
struct Files {
  std::string page, numbers;
};
Files files_of(const Options& o, const train::RunDirectory& directory) {
  Files files{.page = o.out.empty() ? directory.file("audit-" + file_name(o.protected_column) + ".html") : o.out};
  const std::string& page = files.page;
  if (!std::filesystem::exists(page) || std::filesystem::is_regular_file(page) || std::filesystem::is_directory(page))
    files.numbers = (page.ends_with(".html") ? page.substr(0, page.size() - 5) : page) + ".json";
  for (const std::string& path : {files.page, files.numbers}) {
    if (path.empty()) continue;
    if (o.out.empty() && std::filesystem::is_symlink(path))
      throw IoError(path + " is a link, which may lead out of the run; take it away, or give --out");
    check_can_write(path);
  }
  return files;
}

void check(const Options& o) {
  require(o.threshold > 0 && o.threshold <= 1, fmt::format("--threshold must lie in (0, 1], it is {}", o.threshold));
  require(o.budget >= 0, fmt::format("--budget must not be negative, it is {}", o.budget));
  require(o.resamples >= 0 && o.permutations >= 0, "--resamples and --permutations must not be negative");
}

int audit_run(const Options& o) {
  check(o);
  auto directory = train::RunDirectory::open(o.run);
  if (std::string kind = kind_of(directory); kind != "tabular")
    throw ConfigError(o.run + " is a run of train " + kind + "; runs of train tabular are audited");
  TabularRun run = TabularRun::from_json(directory.config());
  Files files = files_of(o, directory);
  int64_t positive = positive_class(o, run);
  TabularRows rows = read_table(run, o.data);
  std::vector<std::string> notes;
  bool own = is_own_table(run, o.data);
  People people = people_of(o, rows, audited_places(run, rows, own, notes));
  mlp::Mlp network = load_network(run, directory);
  TensorFunction model = against_others(network, positive);
  manual_seed(o.seed);

  rai::AuditInput in{.model = fmt::format("{} ({})", o.run, run.model), .data = o.data, .protected_column = o.protected_column};
  in.positive = run.target + " = " + run.class_names[static_cast<size_t>(positive)];
  in.group_names = people.names;
  in.a = from_vector(people.group);
  in.y = labels_at(rows, people.places, positive);
  int64_t good = count_nonzero(in.y).item<int64_t>(), all = in.y.numel();
  require(good > 0 && good < all, fmt::format("all {} rows have {} \"{}\"; an audit needs both classes", all, good > 0 ? "only" : "no",
                                              run.class_names[static_cast<size_t>(positive)]));
  in.context.features = features_of(run, rows, people.places);
  in.context.model = model;
  in.context.others = without(run, in.context.features, o.protected_column);
  in.context.threshold = o.threshold;
  in.p = probabilities(model, in.context.features);
  in.context.member_losses = losses_of_training(run, model, positive);
  in.context.other_losses = rai::row_losses(in.p, in.y);
  in.resamples = o.resamples, in.permutations = o.permutations, in.budget = o.budget;
  in.progress = progress_bar("audit", "resamples");
  in.notes = notes;
  in.notes.insert(in.notes.end(), people.notes.begin(), people.notes.end());
  if (run.encoder.inputs_of(o.protected_column).empty()) in.notes.push_back("The model does not read \"" + o.protected_column + "\".");

  rai::Audit result = rai::audit(in, default_generator());
  write_file_atomic(files.page, rai::audit_page(in, result));
  if (!files.numbers.empty()) write_file_atomic(files.numbers, rai::audit_json(in, result));
  fmt::print("{}\n{}: the page{}\n", rai::audit_text(in, result), files.page,
             files.numbers.empty() ? "" : "; " + files.numbers + ": its numbers");
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("run", o->run, "run directory of train tabular");
  line.required("--data", o->data, "the CSV file with the people to audit it on; of the run's own table its test part is taken");
  line.required("--protected", o->protected_column, "the column that says who belongs to which group; the model need not read it");
  line.option("--split", o->split, "where a column of numbers is cut into groups: below it, and from it on");
  line.option("--groups", o->groups, "only these values of the protected column");
  line.option("--positive", o->positive, "the class that is good news; of two the second");
  line.option("--threshold", o->threshold, "probability from which the decision is positive");
  line.option("--budget", o->budget, "error above the best that a way out of a contradiction may cost");
  line.option("--resamples", o->resamples, "bootstrap resamples of people, for intervals");
  line.option("--permutations", o->permutations, "permutations of groups, for what chance would show");
  line.option("--seed", o->seed, "random seed of resamples, permutations and noise");
  line.option("--out", o->out, "the page; by default audit-COLUMN.html in the run directory");
  return [o] { return audit_run(*o); };
}

}  // namespace

extern const Command audit_command;
const Command audit_command{"audit", "a page on how a model treats groups of people", define};

}  // namespace plumb::tools
