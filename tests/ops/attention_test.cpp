// Attention against its definition in plain double loops.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "ops/attention.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

Tensor random_tensor(const Shape& shape, uint64_t seed, DType type = f64) {
  Tensor t = empty(shape, f64);
  Generator g(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = 2 * g.next_double() - 1;
  return to(t, type);
}

using Allowed = std::function<double(int64_t b, int64_t h, int64_t i, int64_t j)>;  // added to the score; −inf forbids

// Σ_j softmax_j(scale ⟨q_i, k_j⟩ + allowed) v_j, head h reading group h / (H/G).
std::vector<double> reference(const Tensor& q, const Tensor& k, const Tensor& v, double scale, const Allowed& allowed) {
  int64_t B = q.size(0), H = q.size(1), T = q.size(2), D = q.size(3), G = k.size(1), S = k.size(2), E = v.size(3);
  auto qv = to_vector(q), kv = to_vector(k), vv = to_vector(v);
  std::vector<double> out;
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t i = 0; i < T; ++i) {
        int64_t g = h / (H / G);
        std::vector<double> p(static_cast<size_t>(S));
        double most = -INFINITY, total = 0;
        for (int64_t j = 0; j < S; ++j) {
          double s = 0;
          for (int64_t d = 0; d < D; ++d)
            s += qv[static_cast<size_t>(((b * H + h) * T + i) * D + d)] * kv[static_cast<size_t>(((b * G + g) * S + j) * D + d)];
          p[static_cast<size_t>(j)] = s * scale + allowed(b, h, i, j);
          most = std::max(most, p[static_cast<size_t>(j)]);
        }
        for (double& x : p) total += x = most == -INFINITY ? 0 : std::exp(x - most);
        for (int64_t c = 0; c < E; ++c) {
          double y = 0;
          for (int64_t j = 0; j < S; ++j) y += p[static_cast<size_t>(j)] * vv[static_cast<size_t>(((b * G + g) * S + j) * E + c)];
          out.push_back(total > 0 ? y / total : 0);
        }
      }
  return out;
}

Allowed everything() {
  return [](int64_t, int64_t, int64_t, int64_t) { return 0.0; };
}
Allowed causal(int64_t T, int64_t S, int64_t window = 0) {
  return
      [=](int64_t, int64_t, int64_t i, int64_t j) { return j <= i + S - T && (window == 0 || j > i + S - T - window) ? 0.0 : -INFINITY; };
}

void check_close(const Tensor& y, const std::vector<double>& expected, double tolerance) {
  auto got = to_vector(y);
  REQUIRE(got.size() == expected.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("attention: equals its definition over sizes, groups, causality and types") {
  for (DType type : {f64, f32, bf16})
    for (int64_t T : {1, 5, 64, 130})
      for (int64_t more : {0, 37, 300})
        for (bool is_causal : {false, true}) {
          int64_t S = T + more;
          Tensor q = random_tensor({2, 4, T, 8}, 1, type), k = random_tensor({2, 2, S, 8}, 2, type),
                 v = random_tensor({2, 2, S, 6}, 3, type);
          Tensor y = scaled_dot_product_attention(q, k, v, {.causal = is_causal});
          double tolerance = type == f64 ? 1e-14 : type == f32 ? 1e-6 : 0.01;  // outputs lie in [−1, 1]
          check_close(y, reference(q, k, v, 1 / std::sqrt(8.0), is_causal ? causal(T, S) : everything()), tolerance);
        }
}

TEST_CASE("attention: strided heads, masks that broadcast, windows and scale") {
  Tensor base = random_tensor({2, 9, 3, 4}, 5);  // [B, T, H, D]
  Tensor q = transpose(base, 1, 2), k = random_tensor({2, 3, 9, 4}, 6), v = random_tensor({2, 3, 9, 4}, 7);
  check_close(scaled_dot_product_attention(q, k, v, {.scale = 0.3}), reference(q, k, v, 0.3, everything()), 1e-14);
  check_close(scaled_dot_product_attention(q, k, v, {.causal = true, .window = 3}), reference(q, k, v, 0.5, causal(9, 9, 3)), 1e-14);
  Tensor seen = random_tensor({2, 1, 9, 9}, 8) > -0.5;
  auto bits = to_vector<bool>(seen);
  Allowed by_mask = [&](int64_t b, int64_t, int64_t i, int64_t j) {
    return bits[static_cast<size_t>((b * 9 + i) * 9 + j)] ? 0.0 : -INFINITY;
  };
  check_close(scaled_dot_product_attention(q, k, v, {.mask = seen}), reference(q, k, v, 0.5, by_mask), 1e-14);
  Tensor bias = random_tensor({9}, 9);
  auto added = to_vector(bias);
  Allowed by_bias = [&](int64_t, int64_t, int64_t, int64_t j) { return added[static_cast<size_t>(j)]; };
  check_close(scaled_dot_product_attention(q, k, v, {.mask = bias}), reference(q, k, v, 0.5, by_bias), 1e-14);
}

TEST_CASE("attention: a query that may see nothing gives zero and no gradient") {
  Tensor q = random_tensor({1, 1, 2, 4}, 1).requires_grad_(), k = random_tensor({1, 1, 3, 4}, 2).requires_grad_(),
         v = random_tensor({1, 1, 3, 4}, 3).requires_grad_();
  Tensor mask = tensor({{false, false, false}, {true, true, false}});
  Tensor y = scaled_dot_product_attention(q, k, v, {.mask = mask});
  for (double x : to_vector(select(y, 2, 0))) CHECK(x == 0);
  sum(y).backward();
  for (double x : to_vector(select(q.grad(), 2, 0))) CHECK(x == 0);
  for (double x : to_vector(select(v.grad(), 2, 2))) CHECK(x == 0);
  for (double x : to_vector(v.grad())) CHECK(std::isfinite(x));
}

TEST_CASE("attention: the packed form is the plain one") {
  int64_t H = 4, G = 2, D = 6;
  Tensor qkv = random_tensor({2, 7, (H + 2 * G) * D}, 4).requires_grad_();
  Tensor heads = transpose(unflatten(qkv, 2, {H + 2 * G, D}), 1, 2);
  Tensor plain = flatten(
      transpose(scaled_dot_product_attention(slice(heads, 1, 0, H), slice(heads, 1, H, H + G), slice(heads, 1, H + G), {.causal = true}), 1,
                2),
      2);
  Tensor packed = packed_attention(qkv, H, G, {.causal = true});
  check_close(packed, to_vector(plain), 1e-15);
  Tensor weights = random_tensor(plain.shape(), 11);
  Tensor expected = grad({sum(plain * weights)}, {qkv})[0];
  check_close(grad({sum(packed * weights)}, {qkv})[0], to_vector(expected), 1e-14);
}

TEST_CASE("attention: dropout scales what it keeps, and backward drops the same weights") {
  Tensor q = random_tensor({1, 2, 40, 4}, 1), k = random_tensor({1, 2, 40, 4}, 2), v = ones({1, 2, 40, 3}, f64);
  manual_seed(4);
  Tensor y = scaled_dot_product_attention(q, k, v, {.dropout = 0.25});
  double mean_y = mean(y).item();
  CHECK(std::abs(mean_y - 1) < 0.05);  // each of 80 rows averages 40 weights
  CHECK(to_vector(y)[0] != 1);
  manual_seed(4);
  check_close(scaled_dot_product_attention(q, k, v, {.dropout = 0.25}), to_vector(y), 0);
  // y is linear in v, so its gradient must reproduce it: Σ v ⊙ dL/dv = L
  Tensor value = random_tensor({1, 2, 40, 3}, 3).requires_grad_();
  Tensor loss = sum(scaled_dot_product_attention(q, k, value, {.dropout = 0.25}) + 5.0);
  CHECK(loss.item() > 0);
  manual_seed(9);
  Tensor linear_loss = sum(scaled_dot_product_attention(q, k, value, {.dropout = 0.25}));
  Tensor g = grad({linear_loss}, {value})[0];
  CHECK(sum(g * value.detach()).item() == doctest::Approx(linear_loss.item()).epsilon(1e-12));
}

TEST_CASE("attention: 1, 2, 3 and 8 threads give the same bits") {
  Tensor q = random_tensor({2, 3, 150, 16}, 1, f32), k = random_tensor({2, 3, 190, 16}, 2, f32), v = random_tensor({2, 3, 190, 16}, 3, f32);
  int before = num_threads();
  std::vector<float> first;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    Tensor a = clone(q).requires_grad_(), b = clone(k).requires_grad_(), c = clone(v).requires_grad_();
    Tensor y = scaled_dot_product_attention(a, b, c, {.causal = true});
    sum(y * y).backward();
    std::vector<float> all = to_vector<float>(y);
    for (const Tensor& g : {a.grad(), b.grad(), c.grad()})
      for (float x : to_vector<float>(g)) all.push_back(x);
    if (first.empty()) first = all;
    CHECK(first == all);
  }
  set_num_threads(before);
}

TEST_CASE("attention: sizes that do not fit and options out of range are named") {
  Tensor q = zeros({1, 4, 3, 8}), k = zeros({1, 3, 5, 8}), v = zeros({1, 3, 5, 8});
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(q, k, v),
                       "scaled_dot_product_attention: q [1, 4, 3, 8], k [1, 3, 5, 8], v [1, 3, 5, 8] do not fit [B, H, T, D], [B, G, S, "
                       "D], [B, G, S, E] with H a multiple of G",
                       ShapeError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, q, q, {.dropout = 1}), ValueError);
  CHECK_THROWS_AS(scaled_dot_product_attention(q, q, q, {.window = 2}), ValueError);
  CHECK_THROWS_AS(packed_attention(zeros({1, 3, 10}), 2, 2), ShapeError);
}

TEST_CASE("attention: no tokens give no output") {
  CHECK(scaled_dot_product_attention(zeros({2, 2, 0, 4}), zeros({2, 2, 3, 4}), zeros({2, 2, 3, 4})).shape() == Shape{2, 2, 0, 4});
  for (double x : to_vector(scaled_dot_product_attention(ones({1, 1, 2, 4}), zeros({1, 1, 0, 4}), zeros({1, 1, 0, 4})))) CHECK(x == 0);
}

TEST_CASE("rotary: pairs turn by position · base^(−2i/D), and scores depend on distance alone") {
  Tensor x = random_tensor({2, 3, 4}, 1), positions = tensor({0, 5, 9});
  for (bool interleaved : {false, true}) {
    auto y = to_vector(rotary_embedding(x, positions, {.base = 100, .interleaved = interleaved})), from = to_vector(x);
    double p[] = {0, 5, 9};
    for (size_t r = 0; r < 6; ++r)
      for (size_t i = 0; i < 2; ++i) {
        size_t a = r * 4 + (interleaved ? 2 * i : i), b = interleaved ? a + 1 : a + 2;
        double angle = p[r % 3] * std::pow(100, -static_cast<double>(i) / 2);
        CHECK(y[a] == doctest::Approx(from[a] * std::cos(angle) - from[b] * std::sin(angle)));
        CHECK(y[b] == doctest::Approx(from[a] * std::sin(angle) + from[b] * std::cos(angle)));
      }
  }
  Tensor q = random_tensor({1, 8}, 2), k = random_tensor({1, 8}, 3);
  auto score = [&](int64_t i, int64_t j) { return sum(rotary_embedding(q, tensor({i})) * rotary_embedding(k, tensor({j}))).item(); };
  CHECK(score(3, 1) == doctest::Approx(score(13, 11)).epsilon(1e-12));
  CHECK_THROWS_AS(rotary_embedding(zeros({2, 3}), tensor({0, 1})), ShapeError);
  CHECK_THROWS_AS(rotary_embedding(zeros({2, 4}), tensor({0, 1, 2})), ShapeError);
}

TEST_CASE("rotary: scaled frequencies are kept where pairs turn often, slowed where they turn seldom, and blended between") {
  // Head width 8, base 500000: the pairs turn 1303.8, 49.03, 1.844 and 0.0693 times within 8,192 positions.
  RotaryOptions llama3{.base = 500000, .scaling = {.factor = 8, .low = 1, .high = 4, .original_context = 8192}};
  std::vector<double> plain = rotary_frequencies(8, {.base = 500000}), scaled = rotary_frequencies(8, llama3);
  CHECK(scaled[0] == plain[0]);
  CHECK(scaled[1] == plain[1]);
  double turns = 8192 * plain[2] / (2 * std::numbers::pi), kept = (turns - 1) / 3;
  CHECK(turns == doctest::Approx(1.84382).epsilon(1e-4));
  CHECK(scaled[2] == doctest::Approx(plain[2] * (kept + (1 - kept) / 8)).epsilon(1e-14));
  CHECK(scaled[3] == doctest::Approx(plain[3] / 8).epsilon(1e-14));
  for (size_t i = 0; i < 4; ++i)
    CHECK(rotary_frequencies(8, {.scaling = {.factor = 4}})[i] == doctest::Approx(rotary_frequencies(8, {})[i] / 4).epsilon(1e-14));
  CHECK_THROWS_WITH_AS(rotary_embedding(zeros({1, 4}), tensor({0}), {.scaling = {.factor = 0}}),
                       "rotary_embedding: the scaling factor must be positive, it is 0", ValueError);
}

TEST_CASE("sinusoidal embedding: sines, then cosines, of falling frequencies") {
  auto y = to_vector(sinusoidal_embedding(tensor({0.0, 3.0}), 4, 100));
  double expected[] = {0, 0, 1, 1, std::sin(3.0), std::sin(0.3), std::cos(3.0), std::cos(0.3)};
  for (size_t i = 0; i < 8; ++i) CHECK(y[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  CHECK_THROWS_AS(sinusoidal_embedding(tensor({1.0}), 3), ValueError);
}

TEST_CASE("attention: a query or keys of NaN give NaN, not what a query gives that sees nothing") {
  Tensor q = ones({1, 1, 2, 4}), k = ones({1, 1, 3, 4}), v = ones({1, 1, 3, 4});
  q.data<float>()[0] = NAN;
  Tensor y = scaled_dot_product_attention(q.requires_grad_(), k, v);
  CHECK(to_vector(isnan(y)) == std::vector<double>{1, 1, 1, 1, 0, 0, 0, 0});
  sum(y).backward();
  CHECK(to_vector(isnan(q.grad()))[0] == 1);
  CHECK(all(isnan(scaled_dot_product_attention(ones({1, 1, 2, 4}), full({1, 1, 3, 4}, NAN), v))).item<bool>());
  Tensor nothing = scaled_dot_product_attention(ones({1, 1, 2, 4}), k, v, {.mask = zeros({2, 3}, boolean)});
  CHECK(to_vector(nothing) == std::vector<double>(8, 0));
}

TEST_CASE("attention: weights are dropped at the given rate, whatever the number of keys") {
  for (int64_t keys : {4, 5, 7}) {
    manual_seed(6);
    const int64_t queries = 2000 / keys;
    Tensor q = zeros({1, 1, queries, keys}), k = zeros({1, 1, keys, keys}), v = zeros({1, 1, keys, keys});
    for (int64_t i = 0; i < keys; ++i) v.data<float>()[i * keys + i] = 1;  // so that the result is the weights
    int64_t dropped = 0;
    for (double weight : to_vector(scaled_dot_product_attention(q, k, v, {.dropout = 0.25}))) dropped += weight == 0;
    CHECK(std::abs(static_cast<double>(dropped) - 500) < 80);  // four standard deviations
  }
}
