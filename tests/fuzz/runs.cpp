// What runs leave: metrics, checkpoints, weights stored in few bits, and all that a page shows of them.
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "models/quantize/stored.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"
#include "models/train/run_view.h"
#include "models/train/step_lines.h"
#include "tests/engine/io/without_checksums.h"
#include "tests/fuzz/target.h"
#include "tests/scratch.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

std::string metrics_seed() {
  return written("", [](const std::string& path) {
    train::MetricsFile file(path, 0);
    file.append({1, {{"loss", 2.5}, {"lr", 1e-3}}});
    file.append({2, {{"loss", NAN}}});
  });
}

// A run whose newest checkpoint, and whose finished model, are the file at `path`.
struct Run {
  plumb_test::Scratch directory;
  explicit Run(const std::string& path) {
    directory.put("config.json", R"({"format":1,"kind":"gpt"})");
    std::filesystem::create_directory(directory.path("checkpoints"));
    std::filesystem::create_symlink(path, directory.path("checkpoints/step-00000003.safetensors"));
  }
};

void read_checkpoint(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    static Run run(path);
    auto open = train::RunDirectory::open(run.directory.path());
    open.latest();
    open.load_model();
  });
}
std::string checkpoint_seed() {
  return plumb_test::without_checksums(written("", [](const std::string& path) {
    save_safetensors(path, {{"model.weight", zeros({2, 2})}, {"optimizer.m", zeros({2, 2})}},
                     {{"step", "3"}, {"generator_seed", "7"}, {"generator_offset", "12"}});
  }));
}

void read_stored(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) { quantize::load_weights(path); });
}
std::vector<std::string> stored_seeds() {
  std::vector<std::string> seeds;
  auto add = [&](quantize::StorageFormat format, int bits) {
    quantize::StoredState state;
    state.plain["bias"] = zeros({2});
    state.coded["weight"] = {zeros({bits == 4 ? 3 : 6}, u8), full({2}, 0.5), {2, 3}, format, bits};
    seeds.push_back(plumb_test::without_checksums(written("", [&](const std::string& path) { quantize::save_stored(path, state); })));
  };
  add(quantize::StorageFormat::integer, 8);
  add(quantize::StorageFormat::integer, 4);
  add(quantize::StorageFormat::rf8, 8);
  return seeds;
}

// What resuming a run does with its lines: those of later steps are dropped from the file.
void read_step_lines(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) { train::StepLines("metrics", path, 1); });
}

// What the board reads, in one input, apart by zeros. Its files must lie in the run's directory: it follows no links out of it.
constexpr std::array kShown{"metrics.jsonl",     "histograms.jsonl",          "config.json",
                            "samples/title.txt", "samples/step-00000001.txt", "samples/step-00000002.png"};

// Most inputs differ from the one before in one file.
void put_if_other(const std::string& path, std::string& held, std::string_view bytes) {
  if (held == bytes && std::filesystem::exists(path)) return;
  std::ofstream(path, std::ios::binary) << bytes;
  held = bytes;
}

// A page is made whatever they hold; what is wrong with them stands on it.
void view_run(std::string_view bytes) {
  static const plumb_test::Scratch directory;
  static const train::RunDirectory run = [] {
    directory.put("config.json", R"({"format":1,"kind":"gpt"})");
    std::filesystem::create_directory(directory.path("samples"));
    return train::RunDirectory::open(directory.path());
  }();
  static std::array<std::string, kShown.size()> held;
  for (size_t i = 0; i < kShown.size(); ++i) {
    size_t end = std::min(bytes.find('\0'), bytes.size());
    put_if_other(run.file(kShown[i]), held[i], bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  try {
    train::RunView view(run);
    view.update();
    view.json("").text();
    view.json("/samples/0/").text();
    view.histograms().text();
  } catch (const OutOfMemoryError&) {
    throw;
  } catch (const Error& error) { throw std::logic_error(std::string("the board ended: ") + error.what()); }
}
std::vector<std::string> view_seeds() {
  std::string zero(1, '\0'), histograms = R"({"step":1,"tensors":[{"name":"weights/w","low":0,"high":1,"counts":[1,2]}]})";
  return {metrics_seed() + zero + histograms + "\n" + zero + R"({"format":1,"kind":"gpt","model":{"width":8}})" + zero + "Digits" + zero +
              "once upon" + zero + "PNG",
          R"({"step":2,"train_loss":2})"
          "\n"
          R"({"step":1,"train_loss":null,"val_loss":2})"
          "\n"};
}

}  // namespace

std::vector<Target> run_targets() {
  return {
      {"step_lines", read_step_lines, [] { return std::vector{metrics_seed()}; }, "json"},
      {"metrics", [](std::string_view bytes) { with_file(bytes, [](const std::string& path) { train::read_metrics(path); }); },
       [] { return std::vector{metrics_seed()}; }, "json"},
      {"checkpoint", read_checkpoint, [] { return std::vector{checkpoint_seed()}; }, "safetensors"},
      {"stored", read_stored, stored_seeds, "safetensors"},
      {"board", view_run, view_seeds, "json"},
  };
}

}  // namespace plumb_fuzz
