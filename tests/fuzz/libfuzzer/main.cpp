// libFuzzer on one target:  plumb_fuzz --target=NAME [--seeds=DIRECTORY] [options of libFuzzer] [corpus…]
// --list prints the names, usual sizes and dictionaries and ends; --seeds writes the target's seeds into a directory first, for it to serve
// as a corpus.
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

std::string_view value_of(std::string_view argument, std::string_view option) {
  return argument.starts_with(option) ? argument.substr(option.size()) : std::string_view();
}

void list() {
  for (const Target& target : all_targets())
    std::printf("%s %zu %s\n", target.name, target.usual, target.dictionary ? target.dictionary : "");
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

[[noreturn]] void harm(const char* what) {
  std::fprintf(stderr, "plumb_fuzz: %s: %s\n", chosen.name, what);
  std::abort();
}

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Seconds on `clock` that the target took. An exception that is none of Plumb's ends the program.
double read_once(std::string_view bytes, clockid_t clock) {
  double begin = seconds(clock);
  try {
    refused(chosen, bytes);
  } catch (const std::exception& error) { harm(error.what()); }
  return seconds(clock) - begin;
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

// What a file must not cause, and libFuzzer does not see by itself: exceptions that are none of Plumb's, and slowness. Beside other work
// only processor time tells slowness, but to ask for it takes as long as many a reader: it is asked for when the clock on the wall, which
// is never behind, has seen too much.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (read_once(bytes, CLOCK_MONOTONIC) > kSeconds && read_once(bytes, CLOCK_THREAD_CPUTIME_ID) > kSeconds)
    harm("took more than a second of processor time");
  return 0;
}
