// The fuzzer's targets without the fuzzer: their seeds, inputs that did harm once (tests/fuzz/kept), and damage that is the same in every
// run. PLUMB_FUZZ_SECONDS goes on with fresh damage for so long, PLUMB_FUZZ_SEED says where that begins; tools/fuzz.sh runs libFuzzer
// instead.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/core/allocator.h"
#include "engine/core/generator.h"
#include "tests/fuzz/target.h"

using namespace plumb;
using namespace plumb_fuzz;

namespace {

namespace fs = std::filesystem;

/// While it lives, the process may take kMemory bytes more than it has; a reader that wants more throws OutOfMemoryError or bad_alloc.
class BoundedMemory {
 public:
  BoundedMemory() {
    getrlimit(RLIMIT_AS, &before_);
#ifndef __SANITIZE_ADDRESS__  // which reserves terabytes of addresses
    rlimit bounded = before_;
    bounded.rlim_cur = size_now() + static_cast<rlim_t>(kMemory);
    setrlimit(RLIMIT_AS, &bounded);
#endif
    set_memory_limit(cpu, kMemory);
  }
  ~BoundedMemory() {
    setrlimit(RLIMIT_AS, &before_);
    set_memory_limit(cpu, 0);
  }

 private:
  static rlim_t size_now() {
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * 4096;
  }
  rlimit before_{};
};

/// One kind of damage to `bytes`, which stay non-empty: bits, bytes, numbers at their limits, lost, doubled and foreign parts.
void damage(std::string& bytes, Generator& g) {
  size_t at = g.next_below(bytes.size()), length = std::min<size_t>(1 + g.next_below(16), bytes.size() - at);
  if (g.next_below(2)) at = std::min(at, static_cast<size_t>(g.next_below(64))), length = std::min(length, bytes.size() - at);  // headers
  switch (g.next_below(8)) {
    case 0: bytes[at] ^= static_cast<char>(1 << g.next_below(8)); break;
    case 1: bytes[at] = static_cast<char>(g.next_below(256)); break;
    case 2: bytes.replace(at, length, length, g.next_below(2) ? '\xff' : '\0'); break;
    case 3: bytes.replace(at, 1, g.next_below(2) ? "99999999999999999999" : "-1"); break;
    case 4: bytes.insert(at, bytes.substr(at, length)); break;
    case 5: bytes.insert(at, std::string(length, static_cast<char>(g.next_below(256)))); break;
    case 6:
      if (length < bytes.size()) bytes.erase(at, length);
      break;
    default: bytes.resize(std::max<size_t>(at, 1)); break;
  }
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What lies in tests/fuzz/kept, or in one of its folders.
std::vector<fs::path> kept(const std::string& folder = "") {
  const char* source = std::getenv("PLUMB_SOURCE");
  fs::path directory = fs::path(source ? source : ".") / "tests/fuzz/kept" / folder;
  if (!fs::exists(directory)) return {};
  return {fs::directory_iterator(directory), fs::directory_iterator()};
}

}  // namespace

TEST_CASE("fuzz: targets read their seeds, in bounded memory") {
  BoundedMemory bounded;
  for (const Target& target : all_targets()) {
    INFO(target.name);
    CHECK_FALSE(target.seeds().empty());
    for (const std::string& seed : target.seeds()) {
      CHECK(seed.size() <= kLargestInput);
      CHECK_NOTHROW(target.read(seed));
    }
  }
}

TEST_CASE("fuzz: inputs that did harm once are read or refused, in bounded memory") {
  BoundedMemory bounded;
  for (const Target& target : all_targets())
    for (const fs::path& path : kept(target.name)) {
      INFO(path.string());
      CHECK_NOTHROW(refused(target, content(path)));
    }
}

TEST_CASE("fuzz: kept inputs belong to a target") {
  for (const fs::path& folder : kept()) {
    bool known = false;
    for (const Target& target : all_targets()) known = known || folder.filename() == target.name;
    CHECK_MESSAGE(known, folder.string());
  }
}

TEST_CASE("fuzz: damaged seeds are read or refused, never worse") {
  const char* asked = std::getenv("PLUMB_FUZZ_SECONDS");
  const char* seed = std::getenv("PLUMB_FUZZ_SEED");
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(asked ? std::atoi(asked) : 0);
  Generator generator(seed ? std::strtoull(seed, nullptr, 10) : 1);
  std::vector<Target> targets = all_targets();
  std::vector<std::vector<std::string>> seeds;
  for (const Target& target : targets) seeds.push_back(target.seeds());
  std::vector<int64_t> count(targets.size());
  BoundedMemory bounded;
  do {
    for (size_t t = 0; t < targets.size(); ++t) {
      INFO(targets[t].name);
      for (size_t round = 0; round < 150; ++round) {
        std::string bytes = seeds[t][round % seeds[t].size()];
        for (uint64_t n = 1 + generator.next_below(3); n > 0; --n) damage(bytes, generator);
        bool was_refused = false;
        CHECK_NOTHROW(was_refused = refused(targets[t], bytes));
        count[t] += was_refused;
      }
    }
  } while (std::chrono::steady_clock::now() < end);
  for (size_t t = 0; t < targets.size(); ++t) {
    std::string_view name = targets[t].name;
    if (name != "encode" && name != "comments" && name != "board")
      CHECK_MESSAGE(count[t] > 5, targets[t].name);  // the damage is felt; to these any text is right
  }
}
