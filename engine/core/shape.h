// Shapes and strides: up to eight dimensions, stored inline.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace plumb {

inline constexpr int kMaxRank = 8;

/// A short list of sizes or strides. Copying never allocates.
class Dims {
 public:
  constexpr Dims() = default;
  constexpr Dims(std::initializer_list<int64_t> values) : Dims(std::span(values.begin(), values.size())) {}
  constexpr explicit Dims(std::span<const int64_t> values) {
    for (int64_t v : values) push_back(v);
  }
  explicit Dims(const std::vector<int64_t>& values) : Dims(std::span(values)) {}
  static constexpr Dims filled(int rank, int64_t value) {
    Dims d;
    for (int i = 0; i < rank; ++i) d.push_back(value);
    return d;
  }

  constexpr int rank() const { return rank_; }
  constexpr bool empty() const { return rank_ == 0; }
  constexpr int64_t& operator[](int i) { return d_[i]; }
  constexpr int64_t operator[](int i) const { return d_[i]; }
  constexpr int64_t back() const { return d_[rank_ - 1]; }
  constexpr const int64_t* begin() const { return d_.data(); }
  constexpr const int64_t* end() const { return d_.data() + rank_; }
  constexpr int64_t* begin() { return d_.data(); }
  constexpr int64_t* end() { return d_.data() + rank_; }

  /// Throws ShapeError beyond eight dimensions.
  constexpr void push_back(int64_t v) {
    if (rank_ == kMaxRank) rank_too_large();
    d_[rank_++] = v;
  }
  void insert(int at, int64_t v);
  void erase(int at);
  /// The dimensions [from, to).
  Dims slice(int from, int to) const { return Dims(std::span(begin() + from, static_cast<size_t>(to - from))); }

  friend constexpr bool operator==(const Dims& a, const Dims& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.d_[i] != b.d_[i]) return false;
    return true;
  }

 private:
  [[noreturn]] static void rank_too_large();
  std::array<int64_t, kMaxRank> d_{};
  int rank_ = 0;
};

using Shape = Dims;
using Strides = Dims;

/// Product of the sizes; 1 for rank 0.
constexpr int64_t numel(const Shape& s) {
  int64_t n = 1;
  for (int64_t v : s) n *= v;
  return n;
}
/// Row-major strides, in elements.
Strides contiguous_strides(const Shape& s);
/// "[2, 3]".
std::string to_string(const Dims& d);
/// The shape that a and b broadcast to (NumPy's rule). Throws ShapeError naming `op` if they do not.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);
/// `dim` counted from the end if negative. Throws IndexError naming `op` unless −rank ≤ dim < rank (rank 0 counts as 1).
int checked_dim(const char* op, int dim, int rank);

}  // namespace plumb
