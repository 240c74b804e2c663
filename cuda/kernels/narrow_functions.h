// Functions of 16-bit elements. Computed to 1e-5 of their value, a hundredth of what storing them rounds away, by the special function
// unit: the shared functions of ops/special_functions.h take three times as many instructions for 24 bits, which is more than memory asks
// for.
#pragma once
#include <type_traits>

#include "cuda/runtime/instructions.h"
#include "engine/core/dtype.h"
#include "ops/pointwise_functions.h"

namespace plumb::cuda_backend {
namespace narrow {

/// 1 / x within 2 ulp for x in [1, 2¹²⁶]; 0 beyond.
__device__ inline float reciprocal(float x) {
#if defined(__CUDACC__)
  return __fdividef(1.0f, x);
#else
  return 1.0f / x;
#endif
}
/// e^x; the rounding of x log₂ e makes 1e-7 · |x| of error.
__device__ inline float exp(float x) { return fast_exp2(x * 1.44269504088896341f); }
__device__ inline float sigmoid(float x) { return reciprocal(1.0f + exp(-x)); }
/// As special::normal_cdf: Φ(−a) = e^(−a²/2) s q(s), s = 1 / (1 + 0.3a). q is a minimax fit of our own, within 8.3e-6 for a ≤ 14.
__device__ inline float normal_cdf(float x, float& bell) {
  float s = reciprocal(std::fma(0.3f, std::fabs(x), 1.0f));
  bell = fast_exp2(x * x * (-0.5f * 1.44269504088896341f));
  float q = -0x1.3bca74p-4f;
  q = std::fma(q, s, 0x1.ba7192p-3f);
  q = std::fma(q, s, -0x1.15acd8p-6f);
  q = std::fma(q, s, 0x1.275068p-3f);
  q = std::fma(q, s, 0x1.d1e31p-4f);
  q = std::fma(q, s, 0x1.ebd2f4p-4f);
  float tail = bell * (s * q);
  return x < 0.0f ? tail : 1.0f - tail;
}

struct Exp { __device__ static float apply(float x, float, float) { return exp(x); } };
struct Sigmoid { __device__ static float apply(float x, float, float) { return sigmoid(x); } };
struct Silu { __device__ static float apply(float x, float, float) { return x * sigmoid(x); } };
struct Gelu {
  __device__ static float apply(float x, float, float) {
    float bell;
    return x * normal_cdf(x, bell);
  }
};
struct GeluTanh { __device__ static float apply(float x, float, float) { return x * sigmoid(2.0f * function::GeluTanh::inner(x)); } };
struct GeluBackward {
  __device__ static float apply(float x, float dy) {
    float bell, cdf = normal_cdf(x, bell);
    return dy * std::fma(x * 0.39894228040143267794f, bell, cdf);
  }
};
struct GeluTanhBackward {
  __device__ static float apply(float x, float dy) {
    float s = sigmoid(2.0f * function::GeluTanh::inner(x)),
          slope = std::fma(2.0f * 0.79788456080286535588f * 3.0f * 0.044715f * x, x, 2.0f * 0.79788456080286535588f);
    return dy * (s + x * s * (1.0f - s) * slope);
  }
};
struct SiluBackward {
  __device__ static float apply(float x, float dy) {
    float s = sigmoid(x);
    return dy * s * std::fma(x, 1.0f - s, 1.0f);
  }
};

template <typename F> struct Of { using type = F; };
template <> struct Of<function::Exp> { using type = Exp; };
template <> struct Of<function::Sigmoid> { using type = Sigmoid; };
template <> struct Of<function::Silu> { using type = Silu; };
template <> struct Of<function::Gelu> { using type = Gelu; };
template <> struct Of<function::GeluTanh> { using type = GeluTanh; };
template <> struct Of<function::GeluBackward> { using type = GeluBackward; };
template <> struct Of<function::GeluTanhBackward> { using type = GeluTanhBackward; };
template <> struct Of<function::SiluBackward> { using type = SiluBackward; };

}  // namespace narrow

template <typename S> inline constexpr bool kNarrow = std::is_same_v<S, bfloat16> || std::is_same_v<S, half>;

/// F, or what stands in for it where elements are stored in 16 bits.
template <typename F, typename S> using FunctionFor = typename std::conditional_t<kNarrow<S>, narrow::Of<F>, std::type_identity<F>>::type;

/// e^x of what elements stored as S are made of.
template <typename S>
__device__ compute_t<S> exp_for(compute_t<S> x) {
  if constexpr (kNarrow<S>) return narrow::exp(x);
  else return special::exp(x);
}

}  // namespace plumb::cuda_backend
