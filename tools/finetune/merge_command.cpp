// `plumb merge`: trained adapters written into the weights of their base.
#include <fmt/format.h>

#include <memory>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "ops/shape.h"
#include "tools/commands.h"
#include "tools/finetune/finetune_run.h"

namespace plumb::tools {
namespace {

struct Options {
  std::vector<std::string> adapters;
  std::string base, out;
};

struct Trained {
  FinetuneRun run;
  StateDict adapter;
};

Trained read_trained(const std::string& path) {
  auto directory = train::RunDirectory::open(path);
  if (kind_of(directory) != "finetune")
    throw ConfigError(fmt::format("{} is a run of {}, not of finetune: it has no adapter", path, kind_of(directory)));
  return {FinetuneRun::from_json(directory.config()), directory.load_model()};
}

int merge(const Options& o) {
  if (path_exists(o.out)) throw ConfigError(o.out + " exists already; choose another --out");
  std::vector<Trained> all;
  for (const std::string& path : o.adapters) all.push_back(read_trained(path));
  Base base = Base::open(o.base.empty() ? all[0].run.base : o.base);
  LoadedBase loaded = load(base);
  std::string sha = weights_sha256(loaded.module());
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].run.base_sha256 != sha)
      throw ConfigError(fmt::format("{} is an adapter for another base: it was trained on {}, and {} has other weights", o.adapters[i],
                                    all[i].run.base, base.path()));
  StateDict merged;
  for (const Trained& t : all) {  // one after the other, each on the weights that the one before left
    LoadedBase fresh = load(base);
    if (!merged.empty()) fresh.module().load_state(merged);
    take_in(fresh.module(), t.run.adapter, t.adapter);
    merged = clone(without_adapters(fresh.module().state()));
  }
  base.save(merged, o.out);
  fmt::print("{}: {} with {}\n", o.out, base.path(), fmt::join(o.adapters, ", "));
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("adapters", o->adapters, "run directories of plumb finetune; several are taken in one after the other");
  line.option("--base", o->base, "the model that they were trained on, if it was moved");
  line.required("--out", o->out, "directory to make: a model as the base is one, to sample, evaluate or fine-tune again");
  return [o] { return merge(*o); };
}

}  // namespace

extern const Command merge_command;
const Command merge_command{"merge", "write trained adapters into the weights of their model", define};

}  // namespace plumb::tools
