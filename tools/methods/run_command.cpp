// `plumb run SLUG`: a method's experiment, or with --table a common one, from nothing to its table.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "methods/runner.h"
#include "methods/tables.h"
#include "models/train/interrupt.h"
#include "models/train/progress.h"
#include "tools/cli/cpu.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

using namespace methods;

struct Options {
  std::string slug, table, budget = "default", device = "cpu", out;
  int64_t seeds = 5, first_seed = 0;
  std::vector<std::string> variants;
};

Budget budget_of(const std::string& word) {
  const std::vector<std::string>& words = words_of(Budget{});
  auto found = std::ranges::find(words, word);
  if (found == words.end()) throw ConfigError("--budget must be smoke, default or full, it is \"" + word + "\"");
  return static_cast<Budget>(found - words.begin());
}

const Method& asked_for(const Options& o) {
  if (o.slug.empty() && o.table.empty()) throw ConfigError("give a method's slug (`plumb methods` lists them), or --table NAME");
  return o.table.empty() ? find_method(o.slug) : find_table(o.table);
}

std::string command_of(const Options& o) {
  std::string text = fmt::format("plumb run {} --seeds {}", o.table.empty() ? o.slug : "--table " + o.table, o.seeds);
  if (o.first_seed != 0) text += fmt::format(" --first-seed {}", o.first_seed);
  if (o.budget != "default") text += " --budget " + o.budget;
  if (o.device != "cpu") text += " --device " + o.device;
  if (!o.variants.empty()) text += " --variants";
  for (const std::string& variant : o.variants) text += fmt::format(" \"{}\"", variant);
  return text;
}

int run_method(const Options& o) {
  const Method& method = asked_for(o);
  std::string slug(method.slug);
  RunOptions run{.budget = budget_of(o.budget),
                 .seeds = o.seeds,
                 .first_seed = o.first_seed,
                 .device = device_from_name(o.device),
                 .variants = o.variants,
                 .out = o.out.empty() ? "runs/" + slug : o.out,
                 .command = command_of(o)};
  if (path_exists(run.out) && !std::filesystem::is_directory(run.out))
    throw ConfigError(run.out + " is no directory; choose another --out");
  run.machine = fmt::format("{} cores, {}", sysconf(_SC_NPROCESSORS_ONLN), cpu_model());
  constexpr int64_t kTicks = 1000;
  train::Progress bar(slug, kTicks);
  int64_t last = -1;
  run.progress = [&](double done, size_t cells, const std::string& now) {
    auto tick = static_cast<int64_t>(done / static_cast<double>(cells) * kTicks);
    if (tick != last) bar.update(tick, now);
    last = tick;
  };
  train::InterruptScope interrupt;
  try {
    Results results = run_experiment(method, run);
    bar.finish();
    write_results(method, results, run.out);
    Experiment experiment = method.experiment();
    std::string measured = effect(experiment, results);  // none of a common table
    fmt::print("{}\n{}\n{}{}/results.json, {}/report.html\n", experiment.claim, table_text(experiment, results),
               measured.empty() ? "" : "\nmeasured: " + measured + "\n", run.out, run.out);
    return 0;
  } catch (const Interrupted&) {
    bar.finish();
    fmt::print(stderr, "stopped; the same command goes on from the finished cells in {}\n", run.out);
    return 128 + train::InterruptScope::signal();
  }
}

}  // namespace

extern const Command run_command;
const Command run_command{"run", "run a method's experiment, or a common table of several", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("method", o->slug, "its slug; `plumb methods` lists them");
  line.option("--table", o->table, "in the place of a method, a common table: methods on the same data, split and network");
  line.exclude("--table", "method");
  line.option("--seeds", o->seeds, "every variant runs with so many seeds");
  line.option("--first-seed", o->first_seed, "0; choose settings on other seeds than those that are reported");
  line.option("--budget", o->budget, "smoke: seconds; default: minutes; full: as the paper asks");
  line.option("--device", o->device, "cpu or cuda");
  line.option("--variants", o->variants, "only these; by default all");
  line.option("--out", o->out, "directory of the results, runs/SLUG by default; a run that was stopped goes on there");
  return [o] { return run_method(*o); };
}};

}  // namespace plumb::tools
