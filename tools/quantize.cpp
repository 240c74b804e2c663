// `plumb quantize`: a run whose weights are stored in 8 or 4 bits, and that everything can go on with: eval, sample, embed.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "engine/io/file.h"
#include "models/quantize/store.h"
#include "models/train/run_directory.h"
#include "tools/commands.h"
#include "tools/train/kinds.h"
#include "tools/whole_directory.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string run, out, granularity = "channel", format = "integer";
  int64_t bits = 8;
  bool measure = false;
  std::vector<std::string> data;
};

quantize::StoreOptions store_options(const Options& o) {
  if (o.bits != 8 && o.bits != 4) throw ConfigError("--bits must be 8 or 4, it is " + std::to_string(o.bits));
  if (o.granularity != "channel" && o.granularity != "tensor")
    throw ConfigError("--granularity must be channel or tensor, it is " + o.granularity);
  if (o.format != "integer" && o.format != "rf8") throw ConfigError("--format must be integer or rf8, it is " + o.format);
  if (o.format == "rf8" && o.bits != 8) throw ConfigError("--format rf8 has 8 bits; leave --bits out");
  return {.format = o.format == "rf8" ? quantize::StorageFormat::rf8 : quantize::StorageFormat::integer,
          .bits = static_cast<int>(o.bits),
          .per_channel = o.granularity == "channel"};
}

std::string short_name(const quantize::StoreOptions& o) {
  return o.format == quantize::StorageFormat::rf8 ? "rf8" : fmt::format("int{}", o.bits);
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

void check_unquantised(const train::RunDirectory& run) {
  if (run.finished() && quantize::is_stored(load_safetensors_metadata(run.file("model.safetensors"))))
    throw ConfigError(run.path() + " is stored in few bits already; give the run that it was made of");
}

// What a run needs beside its weights: its files as they are, without directories of checkpoints and samples. Neither links, which may lead
// to what is not of the run, nor hidden files (the lock, what a killed process left).
void copy_files(const train::RunDirectory& from, const train::RunDirectory& to) {
  for (const auto& entry : fs::directory_iterator(from.path())) {
    std::string name = entry.path().filename().string();
    if (entry.is_symlink() || !entry.is_regular_file() || name.starts_with('.') || name == "config.json" || name == "model.safetensors")
      continue;
    copy_file(entry.path().string(), to.file(name));
  }
}

int64_t bytes_of(const StateDict& state) {
  int64_t bytes = 0;
  for (const auto& [name, t] : state) bytes += t.numel() * static_cast<int64_t>(item_size(t.dtype()));
  return bytes;
}

void evaluate(const train::RunDirectory& run, const TrainingKind& kind, const std::vector<std::string>& data) {
  fmt::print("{}: ", run.path());
  std::fflush(stdout);
  if (kind.evaluate(run, data) != 0) throw ConfigError(run.path() + " could not be measured");
}

int quantize_run(const Options& o) {
  quantize::StoreOptions options = store_options(o);
  auto run = train::RunDirectory::open(o.run);
  const TrainingKind& kind = kind_of_run(run);
  if (o.measure && !kind.evaluate)
    throw ConfigError(o.run + ": runs of train " + kind.command.name + " are not evaluated; leave --eval out");
  if (!o.measure && !o.data.empty()) throw ConfigError("--data says what --eval measures on; give --eval, or leave --data out");
  check_unquantised(run);
  std::string out = o.out.empty() ? without_slash(o.run) + "-" + short_name(options) : o.out;
  if (path_exists(out)) throw ConfigError(out + " exists already; choose another --out");
  StateDict weights = run.load_model();
  quantize::StoredState stored = quantize::encode_state(weights, options);
  if (stored.coded.empty()) throw ConfigError(o.run + " has no weights of two dimensions or more");

  if (o.measure) evaluate(run, kind, o.data);  // before anything is written: it may lack its data
  make_whole_directory(out, [&](const std::string& directory) {
    auto made = train::RunDirectory::create(directory, run.config());
    copy_files(run, made);
    quantize::save_stored(made.file("model.safetensors"), stored);
  });
  quantize::StorageError error = quantize::storage_error(weights, stored);
  fmt::print("{}: {} of {} tensors as {}, a scale for each {}; {:.2f} MB were {:.2f}\n", out, stored.coded.size(), weights.size(),
             short_name(options), o.granularity, static_cast<double>(stored.bytes()) / 1e6, static_cast<double>(bytes_of(weights)) / 1e6);
  fmt::print("relative error of the weights: {:.3g}; the largest, {:.3g}, in {}\n", error.relative, error.worst, error.worst_name);
  if (!o.measure) return 0;
  evaluate(train::RunDirectory::open(out), kind, o.data);
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("run", o->run, "run directory");
  line.option("--bits", o->bits, "8 or 4");
  line.option("--granularity", o->granularity, "a scale for each channel or tensor: channel or tensor");
  line.option("--format", o->format, "integer, or rf8: sums of two powers of two");
  line.option("--out", o->out, "the new run's directory; by default that of the run with -int8, -int4 or -rf8 behind it");
  line.flag("--eval", o->measure, "measure both runs, as plumb eval does");
  line.option("--data", o->data, "what to measure on, as for plumb eval");
  return [o] { return quantize_run(*o); };
}

}  // namespace

extern const Command quantize_command;
const Command quantize_command{"quantize", "store a trained run's weights in 8 or 4 bits", define};

}  // namespace plumb::tools
