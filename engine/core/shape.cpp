// Arithmetic on shapes.
#include "engine/core/shape.h"

#include <algorithm>

#include "engine/core/error.h"

namespace plumb {

void Dims::rank_too_large() { throw ShapeError("shape: a tensor has at most 8 dimensions"); }

void Dims::insert(int at, int64_t v) {
  push_back(v);
  std::rotate(begin() + at, end() - 1, end());
}

void Dims::erase(int at) {
  std::copy(begin() + at + 1, end(), begin() + at);
  --rank_;
}

Strides contiguous_strides(const Shape& s) {
  Strides strides = s;
  if (s.empty()) return strides;
  strides[s.rank() - 1] = 1;
  for (int i = s.rank() - 2; i >= 0; --i) strides[i] = strides[i + 1] * std::max<int64_t>(s[i + 1], 1);
  return strides;
}

std::string to_string(const Dims& d) {
  std::string text = "[";
  for (int i = 0; i < d.rank(); ++i) text += (i ? ", " : "") + std::to_string(d[i]);
  return text + "]";
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape out = longer;
  int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    int64_t x = longer[i + shift], y = shorter[i];
    if (x != y && x != 1 && y != 1)
      throw ShapeError(std::string(op) + ": shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast");
    out[i + shift] = x == 1 ? y : x;
  }
  return out;
}

int checked_dim(const char* op, int dim, int rank) {
  int limit = std::max(rank, 1);
  if (dim < -limit || dim >= limit)
    throw IndexError(std::string(op) + ": dim " + std::to_string(dim) + " is outside [" + std::to_string(-limit) + ", " +
                     std::to_string(limit) + ")");
  return dim < 0 ? dim + limit : dim;
}

}  // namespace plumb
