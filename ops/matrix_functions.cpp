// Functions of matrices that are made of products: exponential and Kronecker product. Their derivatives are those of the products.
#include <algorithm>
#include <cmath>
#include <span>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/linalg_call.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {

using namespace detail::linalg;

namespace {

// Padé approximants [m/m] of eˣ, and up to which 1-norm each is exact to the last bit (Higham 2005, table 2.3; for f32 table 2.4 of
// Al-Mohy & Higham 2009).
struct Approximant {
  int degree;
  double limit;
};
constexpr Approximant kDouble[] = {
    {3, 1.495585217958292e-2}, {5, 2.539398330063230e-1}, {7, 9.504178996162932e-1}, {9, 2.097847961257068}, {13, 5.371920351148152}};
constexpr Approximant kSingle[] = {{3, 4.258730016922831e-1}, {5, 1.880152677804762}, {7, 3.925724783138660}};

// b_j of p(x) = Σ_j b_j xʲ, with eˣ ≈ p(x) / p(−x):   b_0 = 1,   b_j = b_{j−1} (m − j + 1) / (j (2m − j + 1))
std::vector<double> pade(int m) {
  std::vector<double> b{1};
  for (int j = 1; j <= m; ++j) b.push_back(b.back() * (m - j + 1) / (j * (2.0 * m - j + 1)));
  return b;
}

// e^a for a small a: with p(a) = even + odd parts V + U,   (V − U) x = V + U.
Tensor small_exponential(const Tensor& a, int degree) {
  std::vector<double> b = pade(degree);
  Tensor one = eye(a.size(-1), -1, a.dtype(), a.device());
  std::vector<Tensor> even{one, product(a, a)};  // a⁰, a², a⁴, …
  int highest = degree == 13 ? 3 : degree / 2;
  while (static_cast<int>(even.size()) <= highest) even.push_back(product(even.back(), even[1]));
  // Σ_k b[from + 2k] a^(2k)
  auto sum_of = [&](int from) {
    Tensor s = even[0] * b[static_cast<size_t>(from)];
    for (int k = 1; k <= highest && from + 2 * k <= degree; ++k)
      s = s + even[static_cast<size_t>(k)] * b[static_cast<size_t>(from) + 2 * static_cast<size_t>(k)];
    return s;
  };
  Tensor v = sum_of(0), u = sum_of(1);
  if (degree == 13) {  // the powers from 8 on as a⁶ times lower ones
    const Tensor &a2 = even[1], &a4 = even[2], &a6 = even[3];
    v = v + product(a6, a6 * b[12] + a4 * b[10] + a2 * b[8]);
    u = u + product(a6, a6 * b[13] + a4 * b[11] + a2 * b[9]);
  }
  u = product(a, u);
  return solve(v - u, v + u);
}

}  // namespace

// e^a = (e^(a / 2ˢ))^(2ˢ)
Tensor matrix_exp(const Tensor& a) {
  check_square("matrix_exp", a);
  check_finite("matrix_exp", a);
  if (a.numel() == 0) return a * 1.0;
  double size = amax(sum(abs(a.detach()), {-2})).item();
  std::span<const Approximant> choices = a.dtype() == f64 ? std::span<const Approximant>(kDouble) : std::span<const Approximant>(kSingle);
  auto fits = std::find_if(choices.begin(), choices.end(), [&](const Approximant& c) { return size <= c.limit; });
  if (fits != choices.end()) return small_exponential(a, fits->degree);
  int squarings = static_cast<int>(std::ceil(std::log2(size / choices.back().limit)));
  Tensor x = small_exponential(a * std::ldexp(1.0, -squarings), choices.back().degree);
  for (int i = 0; i < squarings; ++i) x = product(x, x);
  return x;
}

Tensor kron(const Tensor& a, const Tensor& b) {
  int rank = std::max(a.rank(), b.rank());
  if (rank > kMaxRank / 2) throw ShapeError("kron: takes ranks up to 4, not " + to_string(a.shape()) + " and " + to_string(b.shape()));
  Shape outer, inner, merged;
  for (int d = 0; d < rank; ++d) {
    int in_a = d - (rank - a.rank()), in_b = d - (rank - b.rank());
    int64_t m = in_a < 0 ? 1 : a.shape()[in_a], n = in_b < 0 ? 1 : b.shape()[in_b];
    for (int64_t size : {m, int64_t{1}}) outer.push_back(size);
    for (int64_t size : {int64_t{1}, n}) inner.push_back(size);
    merged.push_back(m * n);
  }
  return reshape(reshape(a, outer) * reshape(b, inner), merged);
}

}  // namespace plumb
