// What the tests of readers share: damage done to valid files.
#pragma once
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "engine/core/error.h"
#include "tests/scratch.h"

namespace plumb_test {

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
