// The scalar functions of element-wise operations, written once for every device. Each is a struct whose static apply computes in T
// (double, float, or int64_t where integers make sense); a and b are the operation's parameters.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ops/special_functions.h"

namespace plumb::function {

// -- of any number -------------------------------------------------------------------------------------
struct Neg { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return -x; } };
struct Abs { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x < 0 ? -x : x; } };
struct Sign { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return static_cast<T>((x > 0) - (x < 0)); } };
struct Square { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x * x; } };
struct Relu { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x < 0 ? 0 : x; } };  // NaN stays NaN
struct AddScalar { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return x + a; } };
struct MulScalar { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return x * a; } };
struct RsubScalar { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return a - x; } };
struct Clamp { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T b) { return x < a ? a : x > b ? b : x; } };

// -- elementary ----------------------------------------------------------------------------------------
struct Sqrt { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::sqrt(x); } };
struct Rsqrt { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return T(1) / std::sqrt(x); } };
struct Reciprocal { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return T(1) / x; } };
struct Exp { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::exp(x); } };
struct Exp2 { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::exp2(x); } };
struct Expm1 { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::expm1(x); } };
struct Log { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::log(x); } };
struct Log2 { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::log2(x); } };
struct Log10 { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::log10(x); } };
struct Log1p { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::log1p(x); } };
struct Sin { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::sin(x); } };
struct Cos { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::cos(x); } };
struct Tan { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::tan(x); } };
struct Asin { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::asin(x); } };
struct Acos { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::acos(x); } };
struct Atan { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::atan(x); } };
struct Sinh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::sinh(x); } };
struct Cosh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::cosh(x); } };
struct Tanh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::tanh(x); } };
struct Asinh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::asinh(x); } };
struct Acosh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::acosh(x); } };
struct Atanh { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::atanh(x); } };
struct Floor { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::floor(x); } };
struct Ceil { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::ceil(x); } };
struct Round { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::nearbyint(x); } };  // halves to even
struct Trunc { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::trunc(x); } };
struct PowScalar { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return std::pow(x, a); } };
struct RpowScalar { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return std::pow(a, x); } };
struct NanToZero { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x == x ? x : T(0); } };

// -- special -------------------------------------------------------------------------------------------
struct Erf { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::erf(x); } };
struct Erfc { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return std::erfc(x); } };
struct Erfinv {
  template <typename T>
  PLUMB_DEVICE static T apply(T x, T, T) {
    return static_cast<T>(special::erfinv(static_cast<double>(x)));
  }
};
struct Lgamma { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::lgamma(x); } };
struct Digamma {
  template <typename T>
  PLUMB_DEVICE static T apply(T x, T, T) {
    return static_cast<T>(special::digamma(static_cast<double>(x)));
  }
};
struct Polygamma {
  template <typename T>
  PLUMB_DEVICE static T apply(T x, T a, T) {
    return static_cast<T>(special::polygamma(static_cast<int>(a), static_cast<double>(x)));
  }
};

// -- activations ---------------------------------------------------------------------------------------
struct Sigmoid { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return special::sigmoid(x); } };
struct LogSigmoid {  // −log(1 + e^−x), without overflow
  template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return (x < 0 ? x : T(0)) - special::log1p(special::exp(x < 0 ? x : -x)); }
};
struct Softplus {  // log(1 + e^(a x)) / a; x itself where a x > b
  template <typename T> PLUMB_DEVICE static T apply(T x, T a, T b) { return a * x > b ? x : special::log1p(special::exp(a * x)) / a; }
};
struct Silu { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x * special::sigmoid(x); } };
struct Gelu {
  template <typename T> PLUMB_DEVICE static T apply(T x, T, T) {
    T bell;
    return x * special::normal_cdf(x, bell);
  }
};
struct GeluTanh {  // ½(1 + tanh u) = σ(2u)
  template <typename T> PLUMB_DEVICE static T inner(T x) { return T(0.79788456080286535588) * (x + T(0.044715) * x * x * x); }
  template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x * special::sigmoid(T(2) * inner(x)); }
};
struct LeakyRelu { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return x < 0 ? a * x : x; } };
struct Elu { template <typename T> PLUMB_DEVICE static T apply(T x, T a, T) { return x < 0 ? a * std::expm1(x) : x; } };
struct Mish {
  template <typename T>
  PLUMB_DEVICE static T apply(T x, T, T) {
    return x * special::tanh(x > 20 ? x : special::log1p(special::exp(x)));
  }
};
struct Hardswish { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return x * Clamp::apply(x + 3, T(0), T(6)) / 6; } };
struct Hardsigmoid { template <typename T> PLUMB_DEVICE static T apply(T x, T, T) { return Clamp::apply(x + 3, T(0), T(6)) / 6; } };

// -- of two numbers ------------------------------------------------------------------------------------
struct Add { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a + b; } };
struct Sub { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a - b; } };
struct Mul { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a * b; } };
struct Maximum { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a > b || a != a ? a : b; } };  // NaN wins
struct Minimum { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a < b || a != a ? a : b; } };
struct FloorDivide {
  template <typename T> PLUMB_DEVICE static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));
      return a / b - (a % b != 0 && (a < 0) != (b < 0));
    } else {  // by the remainder, as Python: the quotient of 1 and 0.1 rounds to 10, while nine times 0.1 is the most that fits
      if (b == 0) return a / b;
      T r = std::fmod(a, b), q = (a - r) / b;
      if (r != 0 && (r < 0) != (b < 0)) q -= 1;
      T whole = std::floor(q);
      return q - whole > T(0.5) ? whole + 1 : whole;
    }
  }
};
struct Remainder {  // of the sign of b, as Python's %
  template <typename T> PLUMB_DEVICE static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0 || b == -1) return 0;
      T r = a % b;
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    } else {
      T r = std::fmod(a, b);
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
  }
};
struct Div { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a / b; } };
struct Pow { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return std::pow(a, b); } };
struct Atan2 { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return std::atan2(a, b); } };
struct Hypot { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return std::hypot(a, b); } };
struct Xlogy { template <typename T> PLUMB_DEVICE static T apply(T a, T b) { return a == 0 && b == b ? T(0) : a * special::log(b); } };
struct LogAddExp {
  template <typename T> PLUMB_DEVICE static T apply(T a, T b) {
    T high = a > b ? a : b, low = a > b ? b : a;
    return high == low ? high + T(0.69314718055994530942) : high + special::log1p(special::exp(low - high));  // also for two infinities
  }
};

// -- derivatives times dy, fused because they are hot ----------------------------------------------------
struct GeluBackward {  // Φ(x) + x φ(x)
  template <typename T> PLUMB_DEVICE static T apply(T x, T dy) {
    T bell, cdf = special::normal_cdf(x, bell);
    return dy * (cdf + x * T(0.39894228040143267794) * bell);
  }
};
struct GeluTanhBackward {
  template <typename T> PLUMB_DEVICE static T apply(T x, T dy) {
    T s = special::sigmoid(T(2) * GeluTanh::inner(x));
    T slope = T(2 * 0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
    return dy * (s + x * s * (T(1) - s) * slope);
  }
};
struct SiluBackward {
  template <typename T> PLUMB_DEVICE static T apply(T x, T dy) {
    T s = special::sigmoid(x);
    return dy * s * (T(1) + x * (T(1) - s));
  }
};
struct ReluBackward { template <typename T> PLUMB_DEVICE static T apply(T x, T dy) { return x > 0 ? dy : T(0); } };
struct TanhBackward { template <typename T> PLUMB_DEVICE static T apply(T y, T dy) { return dy * (T(1) - y * y); } };
struct SigmoidBackward { template <typename T> PLUMB_DEVICE static T apply(T y, T dy) { return dy * y * (T(1) - y); } };

// -- comparisons and tests -----------------------------------------------------------------------------
struct Equal { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a == b; } };
struct NotEqual { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a != b; } };
struct Less { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a < b; } };
struct LessEqual { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a <= b; } };
struct Greater { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a > b; } };
struct GreaterEqual { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a >= b; } };
struct LogicalAnd { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a != 0 && b != 0; } };
struct LogicalOr { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return a != 0 || b != 0; } };
struct LogicalXor { template <typename T> PLUMB_DEVICE static bool apply(T a, T b) { return (a != 0) != (b != 0); } };
struct IsNan { template <typename T> PLUMB_DEVICE static bool apply(T x) { return x != x; } };
struct IsInf { template <typename T> PLUMB_DEVICE static bool apply(T x) { return x == x && x - x != x - x; } };
struct IsFinite { template <typename T> PLUMB_DEVICE static bool apply(T x) { return x - x == x - x; } };
struct LogicalNot { template <typename T> PLUMB_DEVICE static bool apply(T x) { return x == 0; } };

}  // namespace plumb::function
