// Runs of the command in this process, which has the device, and how those of two devices compare.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/io/file.h"
#include "models/train/metrics.h"
#include "tests/scratch.h"

namespace plumb::tools {
int run(int argc, const char* const* argv);
}

namespace plumb::testing {

/// `plumb <line>` in this process; returns its exit code.
inline int run_here(const std::string& line) {
  std::istringstream words("plumb " + line);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  std::vector<const char*> argv;
  for (const std::string& word : all) argv.push_back(word.c_str());
  return tools::run(static_cast<int>(argv.size()), argv.data());
}

struct Runs {
  plumb_test::Scratch scratch;
  Runs() {
    const char* who[] = {"the cat", "a dog", "the old fox", "one bird"};
    const char* does[] = {"sees", "follows", "hears"};
    std::ofstream out(text());
    unsigned state = 7;
    auto next = [&](unsigned n) { return (state = state * 1664525u + 1013904223u) / 65536u % n; };
    for (int i = 0; i < 60; ++i) out << who[next(4)] << " " << does[next(3)] << " " << who[next(4)] << ".\n";
  }
  std::string text() const { return scratch.path("text.txt"); }
  std::string run(const std::string& name) const { return scratch.path(name); }
  void train(const std::string& name, const std::string& kind_and_options) const {
    REQUIRE(run_here("train " + kind_and_options + " --out " + run(name)) == 0);
  }
  std::vector<train::Metrics> metrics(const std::string& name) const { return train::read_metrics(run(name) + "/metrics.jsonl"); }
  std::vector<double> losses(const std::string& name) const {
    std::vector<double> all;
    for (const train::Metrics& m : metrics(name)) all.push_back(m["train_loss"]);
    return all;
  }
  std::string weights(const std::string& name) const { return read_file(run(name) + "/model.safetensors"); }
};

/// Trains on both devices. Sums in another order differ by rounding, which steps carry on: by a `share` of the loss, far less than a wrong
/// kernel would make.
inline void check_alike(const Runs& r, const std::string& options, double share) {
  CAPTURE(options);
  r.train("cpu", options);
  r.train("gpu", options + " --device cuda");
  std::vector<double> a = r.losses("cpu"), b = r.losses("gpu");
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= share * std::max(1.0, std::abs(a[i])));
}

}  // namespace plumb::testing
