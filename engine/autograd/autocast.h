// Autocast: products, convolutions and attention in a 16-bit type while parameters stay f32.
#pragma once
#include <string>

#include "engine/core/dtype.h"
#include "engine/core/error.h"

namespace plumb {

namespace detail {
inline thread_local DType autocast_type = DType::f32;
}

/// While alive, matmul, linear, convolutions and attention on this thread take f32 inputs as `type` (bf16 or f16); f32 turns it off.
/// Throws DTypeError for another type.
class Autocast {
 public:
  explicit Autocast(DType type) : before_(detail::autocast_type) {
    if (type != f32 && type != bf16 && type != f16) throw DTypeError("autocast: takes bf16, f16 or f32, not " + std::string(name(type)));
    detail::autocast_type = type;
  }
  ~Autocast() { detail::autocast_type = before_; }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
  /// f32 when off.
  static DType type() { return detail::autocast_type; }

 private:
  DType before_;
};

}  // namespace plumb
