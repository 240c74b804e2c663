// `plumb data`: fetching published data sets, drawing subsets, training small models to start from.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "tools/cli/heeded_options.h"
#include "tools/commands.h"
#include "tools/data/fetch.h"
#include "tools/data/pretrained.h"
#include "tools/data/subset.h"

namespace plumb::tools {
namespace {

struct FetchOptions {
  std::vector<std::string> names;
  std::string directory = data::data_directory();
  bool list = false;
};

int fetch_sets(const FetchOptions& o) {
  if (o.list || o.names.empty()) {
    for (const DataSet& set : catalogue()) fmt::print("{:<16} {}\n", set.name, set.about);
    return 0;
  }
  for (const std::string& name : o.names) find_data_set(name);  // before anything is fetched
  for (const std::string& name : o.names) fetch(find_data_set(name), o.directory, stdout);
  return 0;
}

Action define_fetch(CommandLine& line) {
  auto o = std::make_shared<FetchOptions>();
  line.option("names", o->names, "data sets; none lists them all");
  line.option("--to", o->directory, "data directory; by default $PLUMB_DATA, or data");
  line.flag("--list", o->list, "list the data sets and their terms");
  line.exclude("--list", "names");
  return [o, line] {
    refuse_unheeded(line, {{{"--to"}, !o->names.empty(), "no data set is named that could be fetched there"}});
    return fetch_sets(*o);
  };
}

Action define_subset(CommandLine& line) {
  auto o = std::make_shared<SubsetOptions>();
  line.required("file", o->input, "IDX, CIFAR binary (.bin), CSV or text (.txt, by lines); gzipped or not");
  line.required("--out", o->output, "the file to write; gzipped if it ends in .gz");
  line.option("--count", o->count, "records to draw");
  line.option("--seed", o->seed, "seed of the draw");
  line.option("--indices", o->indices, "take these records instead: a list as an earlier draw wrote it");
  line.exclude("--indices", "--count");
  line.exclude("--indices", "--seed");
  line.flag("--header", o->csv_header, "keep the first row of a CSV file");
  return [o, line] {
    refuse_unheeded(
        line, {{{"--header"}, o->input.ends_with(".csv") || o->input.ends_with(".csv.gz"), o->input + " is no CSV file by its name"}});
    if (o->count == 0 && o->indices.empty()) throw ConfigError("give --count or --indices");
    write_subset(*o);
    fmt::print("{} and {}.indices\n", o->output, o->output);
    return 0;
  };
}

Action define_pretrained(CommandLine& line) {
  auto o = std::make_shared<PretrainedOptions>();
  o->data = data::data_directory();
  line.option("names", o->names, "gpt-shakespeare, gpt-sources, image-encoder or dual-encoder; none makes them all");
  line.option("--to", o->directory, "directory of their runs; what is finished there is left as it is, what was stopped goes on");
  line.option("--from", o->data, "data directory; by default $PLUMB_DATA, or data");
  line.option("--sources", o->sources, "gpt-sources: directory with C++ sources");
  line.option("--steps", o->steps, "training steps of each; 0: as plumb train has them");
  line.flag("--list", o->list, "list the models");
  line.exclude_others("--list");
  return [o, line] {
    refuse_unheeded(
        line, {{{"--sources"}, o->names.empty() || std::ranges::count(o->names, "gpt-sources") > 0, "only gpt-sources learns from them"}});
    return make_pretrained(*o);
  };
}

constexpr Command kFetch{"fetch", "download published data sets from their own addresses, checked", define_fetch};
constexpr Command kSubset{"subset", "draw a fixed, listed part of a data file", define_subset};
constexpr Command kPretrained{"pretrained", "train the small models that fine-tuning starts from, or reuse them", define_pretrained};

Action define(CommandLine& line) {
  static constexpr std::array commands{&kFetch, &kSubset, &kPretrained};
  return choose(line, commands);
}

}  // namespace

extern const Command data_command;
const Command data_command{"data", "fetch data sets, draw subsets, make pretrained models", define};

}  // namespace plumb::tools
