// Numbers that reference libraries computed, written by tests/reference/make.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "engine/io/safetensors.h"

namespace plumb_test {

/// The directory of a section of make.py.
inline std::string reference_directory(const std::string& section) {
  const char* source = std::getenv("PLUMB_SOURCE");
  return std::string(source ? source : ".") + "/tests/reference/" + section;
}

/// The tensors that `section` saved as `name`.
inline plumb::StateDict reference(const std::string& section, const std::string& name = "expected") {
  return plumb::load_safetensors(reference_directory(section) + "/" + name + ".safetensors");
}

inline double largest(const plumb::Tensor& x) {
  double most = 0;
  for (double v : plumb::to_vector<double>(x)) most = std::max(most, std::abs(v));
  return most;
}

/// max |a − b|; infinite if the shapes differ or an element is not a number.
inline double largest_difference(const plumb::Tensor& a, const plumb::Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  auto x = plumb::to_vector<double>(a), y = plumb::to_vector<double>(b);
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::isfinite(x[i] - y[i]) ? std::max(most, std::abs(x[i] - y[i])) : INFINITY;
  return most;
}

/// What two correct f32 computations of `x` may differ by: a few dozen roundings of its largest element.
inline double rounding(const plumb::Tensor& x, double roundings = 64) { return roundings * 0x1p-24 * largest(x); }

}  // namespace plumb_test
