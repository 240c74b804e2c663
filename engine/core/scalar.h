// A number as an argument: an integer stays an integer, so that it does not widen an integer tensor to floating point.
#pragma once
#include <concepts>
#include <cstdint>

#include "engine/core/dtype.h"

namespace plumb {

class Scalar {
 public:
  Scalar(std::floating_point auto v) : value_(static_cast<double>(v)), kind_(Kind::floating) {}
  Scalar(std::integral auto v) : value_(static_cast<double>(v)), integer_(static_cast<int64_t>(v)), kind_(Kind::integer) {}
  Scalar(bool v) : value_(v), integer_(v), kind_(Kind::boolean) {}

  double value() const { return value_; }
  int64_t integer() const { return kind_ == Kind::floating ? static_cast<int64_t>(value_) : integer_; }
  bool floating() const { return kind_ == Kind::floating; }
  /// The type of an operation between a tensor of type `t` and this: `t`, unless the number is of a higher kind.
  DType promote_with(DType t) const {
    if (is_floating(t)) return t;
    if (kind_ == Kind::floating) return DType::f32;
    return t == DType::boolean && kind_ == Kind::integer ? DType::i64 : t;
  }

 private:
  enum class Kind { boolean, integer, floating };
  double value_;
  int64_t integer_ = 0;
  Kind kind_;
};

}  // namespace plumb
