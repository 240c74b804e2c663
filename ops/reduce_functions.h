// What reductions do with elements and partial results, for every device. A rule is a struct with
//   T start()                  what nothing amounts to
//   T element(T x, T shift)    what one element contributes (shift belongs to its output; most rules ignore it)
//   T join(T a, T b)           two partial results as one
//   kShifted                   whether element looks at the shift
//   Joined                     the rule whose elements are such partial results
#pragma once
#include <limits>

#include "ops/special_functions.h"

namespace plumb::reducing {

template <typename T>
struct Sum {
  static constexpr bool kShifted = false;
  using Joined = Sum;
  PLUMB_DEVICE static T start() { return 0; }
  PLUMB_DEVICE static T element(T x, T) { return x; }
  PLUMB_DEVICE static T join(T a, T b) { return a + b; }
};
template <typename T>
struct SumOfSquares : Sum<T> {
  using Joined = Sum<T>;
  PLUMB_DEVICE static T element(T x, T) { return x * x; }
};
template <typename T>
struct SumOfSquaredDeviations : Sum<T> {
  static constexpr bool kShifted = true;
  using Joined = Sum<T>;
  PLUMB_DEVICE static T element(T x, T shift) { return (x - shift) * (x - shift); }
};
template <typename T>
struct SumOfExponentials : Sum<T> {
  static constexpr bool kShifted = true;
  using Joined = Sum<T>;
  PLUMB_DEVICE static T element(T x, T shift) { return special::exp(x - shift); }
};
template <typename T>
struct Product {
  static constexpr bool kShifted = false;
  using Joined = Product;
  PLUMB_DEVICE static T start() { return 1; }
  PLUMB_DEVICE static T element(T x, T) { return x; }
  PLUMB_DEVICE static T join(T a, T b) { return a * b; }
};
template <typename T>
struct Maximum {
  static constexpr bool kShifted = false;
  using Joined = Maximum;
  PLUMB_DEVICE static T start() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  }
  PLUMB_DEVICE static T element(T x, T) { return x; }
  PLUMB_DEVICE static T join(T a, T b) {
    T larger = b > a ? b : a;  // a if that is NaN
    return b != b ? b : larger;
  }
};
template <typename T>
struct Minimum {
  static constexpr bool kShifted = false;
  using Joined = Minimum;
  PLUMB_DEVICE static T start() {
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  PLUMB_DEVICE static T element(T x, T) { return x; }
  PLUMB_DEVICE static T join(T a, T b) {
    T smaller = b < a ? b : a;
    return b != b ? b : smaller;
  }
};

}  // namespace plumb::reducing
