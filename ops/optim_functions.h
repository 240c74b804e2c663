// The element-wise updates of optimisers, written once for every device. Each is a struct whose static apply changes one parameter p
// given its gradient g, its state (s0, s1, s2) and constants k, computing in T (double or float).
#pragma once
#include <cmath>

#include "ops/pointwise_functions.h"

namespace plumb::rule {

/// Stochastic gradient descent.   g ← g + k0 p,   s0 ← k1 s0 + k2 g,   p ← p − k5 (k3 g + k4 s0)
/// k0 weight decay, k1 momentum, k2 1 − dampening (1 at the first step), (k3, k4) = (1, 0) plain, (0, 1) momentum, (1, momentum) Nesterov.
struct Sgd {
  template <typename T> PLUMB_DEVICE static void apply(T& p, T g, T& s0, T&, T&, const T* k) {
    g += k[0] * p;
    s0 = k[1] * s0 + k[2] * g;
    p -= k[5] * (k[3] * g + k[4] * s0);
  }
};

/// Adam and its relatives.   g ← g + k0 p,   p ← k1 p,   m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   p ← p − k4 m / (k5 √v + k6)
/// k0 coupled weight decay, k1 = 1 − lr·decoupled weight decay, k2 = β₁, k3 = β₂, k4 the step with m's bias correction, k5 that of √v, k6
/// ε.
struct Adam {
  template <typename T> PLUMB_DEVICE static void apply(T& p, T g, T& m, T& v, T&, const T* k) {
    g += k[0] * p;
    m = k[2] * m + (T(1) - k[2]) * g;
    v = k[3] * v + (T(1) - k[3]) * g * g;
    p = k[1] * p - k[4] * m / (k[5] * std::sqrt(v) + k[6]);
  }
};

/// Adagrad.   g ← g + k0 p,   s ← s + g²,   p ← p − k1 g / (√s + k2)
struct Adagrad {
  template <typename T> PLUMB_DEVICE static void apply(T& p, T g, T& s, T&, T&, const T* k) {
    g += k[0] * p;
    s += g * g;
    p -= k[1] * g / (std::sqrt(s) + k[2]);
  }
};

/// RMSprop.   g ← g + k0 p,   v ← α v + (1 − α) g²,   c ← α c + (1 − α) g,   b ← k4 b + g / (√(v − k5 c²) + k3),   p ← p − k2 b
/// k1 = α, k2 lr, k3 ε, k4 momentum, k5 = 1 if centred, else 0.
struct RmsProp {
  template <typename T> PLUMB_DEVICE static void apply(T& p, T g, T& v, T& b, T& c, const T* k) {
    g += k[0] * p;
    v = k[1] * v + (T(1) - k[1]) * g * g;
    c = k[1] * c + (T(1) - k[1]) * g;
    T variance = v - k[5] * c * c;
    b = k[4] * b + g / (std::sqrt(variance > 0 ? variance : T(0)) + k[3]);
    p -= k[2] * b;
  }
};

/// Lion.   p ← k0 p − k1 sign(k2 m + (1 − k2) g),   m ← k3 m + (1 − k3) g;   k0 = 1 − lr·weight decay, k1 lr, k2 = β₁, k3 = β₂.
struct Lion {
  template <typename T> PLUMB_DEVICE static void apply(T& p, T g, T& m, T&, T&, const T* k) {
    T direction = k[2] * m + (T(1) - k[2]) * g;
    p = k[0] * p - k[1] * static_cast<T>((direction > 0) - (direction < 0));
    m = k[3] * m + (T(1) - k[3]) * g;
  }
};

}  // namespace plumb::rule
