// `plumb train gpt` on a small text, with dropout and many checkpoints: what the tests kill, starve and disturb.
#pragma once
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "engine/io/file.h"
#include "tests/tools/run_command.h"

namespace plumb_test {

struct SmallRuns {
  Scratch scratch;
  std::string data = scratch.put("text.txt", text(4000));

  static std::string text(int length, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::string out;
    for (int i = 0; i < length; ++i) out += static_cast<char>("etaoin shrdlu\n"[random() % 14]);
    return out;
  }
  std::string run(const std::string& name) const { return scratch.path(name); }
  /// Arguments that begin a run, or go on with it if it has begun.
  std::string train(const std::string& name, int steps = 60, int checkpoint_every = 3) const {
    if (plumb::path_exists(run(name) + "/config.json")) return "train gpt --resume " + run(name);
    return "train gpt --data " + data + " --out " + run(name) + " --steps " + std::to_string(steps) +
           " --layers 1 --heads 2 --width 16 --context 16 --batch 4 --eval-every 20 --dropout 0.1 --checkpoint-every " +
           std::to_string(checkpoint_every);
  }
  std::string weights(const std::string& name) const { return plumb::read_file(run(name) + "/model.safetensors"); }
};

}  // namespace plumb_test
