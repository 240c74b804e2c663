// libFuzzer on one target:  plumb_fuzz --target=NAME [--seeds=DIRECTORY] [options of libFuzzer] [corpus…]
// --list prints the names and ends; --seeds writes the target's seeds into a directory first, for it to serve as a corpus.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/core/allocator.h"
#include "engine/core/parallel.h"
#include "tests/fuzz/target.h"

namespace {

using namespace plumb_fuzz;

Target chosen{};

std::string_view value_of(std::string_view argument, std::string_view option) { return argument.starts_with(option) ? argument.substr(option.size()) : std::string_view(); }

void list() {
  for (const Target& target : all_targets()) std::printf("%s %s\n", target.name, target.dictionary ? target.dictionary : "");
  std::exit(0);
}

void choose(std::string_view name) {
  std::vector<Target> all = all_targets();
  auto found = std::find_if(all.begin(), all.end(), [&](const Target& target) { return target.name == name; });
  if (found == all.end()) {
    std::fprintf(stderr, "plumb_fuzz: give --target=NAME; --list prints the names\n");
    std::exit(2);
  }
  chosen = *found;
}

void write_seeds(const std::string& directory) {
  std::filesystem::create_directories(directory);
  int number = 0;
  for (const std::string& seed : chosen.seeds()) std::ofstream(directory + "/seed-" + std::to_string(number++), std::ios::binary) << seed;
}

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

[[noreturn]] void harm(const char* what) {
  std::fprintf(stderr, "plumb_fuzz: %s: %s\n", chosen.name, what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  std::string_view target;
  std::string seeds;
  for (int i = 1; i < *argc; ++i) {
    std::string_view argument = (*argv)[i];
    if (argument == "--list") list();
    if (auto v = value_of(argument, "--target="); !v.empty()) target = v;
    if (auto v = value_of(argument, "--seeds="); !v.empty()) seeds = v;
  }
  choose(target);
  if (!seeds.empty()) write_seeds(seeds);
  plumb::set_num_threads(1);
  plumb::set_memory_limit(plumb::cpu, kMemory);
  return 0;
}

// What a file must not cause, and libFuzzer does not see by itself: exceptions that are none of Plumb's, and slowness beside other work.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  double begin = processor_seconds();
  try {
    refused(chosen, std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const std::exception& error) {
    harm(error.what());
  }
  if (processor_seconds() - begin > kSeconds) harm("took more than a second of processor time");
  return 0;
}
