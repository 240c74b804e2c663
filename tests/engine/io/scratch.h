// What the tests of readers share: a directory that vanishes, and damage done to valid files.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace plumb_test {

/// A fresh directory, removed with all that is in it at the end of the test.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "plumb-io-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
    directory_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string path(const std::string& name = "") const { return name.empty() ? directory_ : directory_ + "/" + name; }
  /// Writes a new file (some file systems wait for the disk when an old one is overwritten) and returns its path.
  std::string put(const std::string& name, const std::string& bytes) const {
    std::filesystem::remove(path(name));
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  std::string get(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator()));
  }

 private:
  std::string directory_;
};

/// The message of the IoError that `f` throws; "" if it throws none.
template <typename F>
std::string io_error(F&& f) {
  try {
    f();
  } catch (const plumb::IoError& e) { return e.what(); }
  return "";
}

/// Every prefix (about `cuts` of them) and `flips` copies with one to four changed bytes: read() must return or throw an IoError.
/// Returns how many were refused; any other exception, or a crash, fails the test.
template <typename Read>
int refused_when_damaged(const Scratch& scratch, const std::string& valid, Read&& read, int cuts = 60, int flips = 200) {
  std::mt19937 random(7);
  int refused = 0;
  auto attempt = [&](const std::string& bytes) {
    std::string path = scratch.put("damaged", bytes);
    try {
      read(path);
    } catch (const plumb::IoError& e) {
      CHECK(std::string(e.what()).find(path) != std::string::npos);
      ++refused;
    }
  };
  size_t step = std::max<size_t>(1, valid.size() / static_cast<size_t>(cuts));
  for (size_t n = 0; n < valid.size(); n += step) attempt(valid.substr(0, n));
  for (int i = 0; i < flips; ++i) {
    std::string bytes = valid;
    size_t first_part = i % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 64);  // half of them hit the header
    for (uint32_t k = 0; k <= random() % 4; ++k) bytes[random() % first_part] = static_cast<char>(random());
    attempt(bytes);
  }
  return refused;
}

}  // namespace plumb_test
