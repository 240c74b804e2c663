// Random draws: the mapping from counters to numbers, distributions, determinism, derivatives, errors. Seeds are fixed, so that a test
// either always passes or never; bounds are those that a right generator misses once in a thousand seeds.
#include "ops/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random_functions.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;

namespace {

// Kolmogorov and Smirnov: the largest distance between the sample's distribution function and F, times √n.
double ks(const Tensor& sample, const std::function<double(double)>& F) {
  std::vector<double> x = to_vector(sample);
  std::sort(x.begin(), x.end());
  double n = static_cast<double>(x.size()), d = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double f = F(x[i]), k = static_cast<double>(i);
    d = std::max({d, (k + 1) / n - f, f - k / n});
  }
  return d * std::sqrt(n);
}
constexpr double kKsBound = 1.95;  // P(√n D > 1.95) = 0.001

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Σ (observed − expected)² / expected, less its mean (the degrees of freedom), in standard deviations.
double chi_square_deviation(const std::vector<double>& observed, const std::vector<double>& expected) {
  double chi = 0, freedom = static_cast<double>(observed.size()) - 1;
  for (size_t i = 0; i < observed.size(); ++i) chi += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
  return (chi - freedom) / std::sqrt(2 * freedom);
}

std::vector<double> histogram(const Tensor& values, int64_t bins) {
  std::vector<double> h(static_cast<size_t>(bins), 0.0);
  for (int64_t v : to_vector<int64_t>(values)) ++h.at(static_cast<size_t>(v));
  return h;
}

struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};

struct NamedDraw {
  const char* name;
  std::function<Tensor(Generator&)> draw;
};
const int64_t kOdd = 100003;
std::vector<NamedDraw> all_draws() {
  auto in = [](DType t, Generator& g) { return RandomOptions{t, {}, &g}; };
  Tensor logits = from_vector(std::vector<float>{0.5f, -1, 2, 0}, {4}), table = expand(logits, {kOdd, 4});
  return {
      {"rand f64", [=](Generator& g) { return rand({kOdd}, in(f64, g)); }},
      {"rand f32", [=](Generator& g) { return rand({kOdd}, in(f32, g)); }},
      {"rand bf16", [=](Generator& g) { return rand({kOdd}, in(bf16, g)); }},
      {"randn f64", [=](Generator& g) { return randn({kOdd}, in(f64, g)); }},
      {"randn f32", [=](Generator& g) { return randn({kOdd}, in(f32, g)); }},
      {"exponential", [=](Generator& g) { return exponential({kOdd}, 2, in(f32, g)); }},
      {"gumbel", [=](Generator& g) { return gumbel({kOdd}, in(f32, g)); }},
      {"truncated_normal", [=](Generator& g) { return truncated_normal({kOdd}, 0, 1, -2, 2, in(f32, g)); }},
      {"bernoulli", [=](Generator& g) { return bernoulli({kOdd}, 0.3, in(boolean, g)); }},
      {"bernoulli rates", [=](Generator& g) { return bernoulli(full({kOdd}, 0.3), &g); }},
      {"randint", [=](Generator& g) { return randint(-5, 1000, {kOdd}, in(i64, g)); }},
      {"randperm", [=](Generator& g) { return randperm(kOdd, in(i64, g)); }},
      {"categorical", [=](Generator& g) { return categorical(table, &g); }},
      {"multinomial", [=](Generator& g) { return multinomial(softmax(table, -1), 2, false, &g); }},
  };
}

}  // namespace

TEST_CASE("rand: element i is word i mod 4 of counter offset + i / 4, of any length and offset") {
  for (int64_t n : {1, 5, 127, 128, 1000})
    for (uint64_t offset : {uint64_t{0}, uint64_t{3}, uint64_t{0xfffffff0}}) {
      Generator g(0x123456789abcdef0u);
      g.set_state(g.seed(), offset);
      auto x = to_vector<float>(rand({n}, {.generator = &g}));
      CHECK(g.offset() == offset + static_cast<uint64_t>(n + 3) / 4);
      int wrong = 0;
      for (int64_t i = 0; i < n; ++i) {
        uint32_t word = philox(g.seed(), offset + static_cast<uint64_t>(i) / 4)[static_cast<size_t>(i % 4)];
        wrong += x[static_cast<size_t>(i)] != static_cast<float>(word >> 8) * 0x1p-24f;
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("rand f64, randn, randint: take the words that the header says") {
  Generator g(7), h(7), k(7), m(7);
  auto u = to_vector(rand({3}, {.dtype = f64, .generator = &g}));
  auto z = to_vector<float>(randn({6}, {.generator = &h}));
  auto zz = to_vector(randn({3}, {.dtype = f64, .generator = &k}));
  auto r = to_vector<int64_t>(randint(10, 20, {3}, {.dtype = i64, .generator = &m}));
  auto w = philox(7, 1);
  CHECK(u[2] == static_cast<double>((uint64_t{w[0]} << 32 | w[1]) >> 11) * 0x1p-53);
  double radius = std::sqrt(-2 * std::log((w[0] + 0.5) * 0x1p-32)), angle = 2 * M_PI * w[1] * 0x1p-32;
  CHECK(z[4] == doctest::Approx(radius * std::cos(angle)).epsilon(1e-5));
  CHECK(z[5] == doctest::Approx(radius * std::sin(angle)).epsilon(1e-5));
  double r64 = std::sqrt(-2 * std::log(u[2] + 0x1p-54)),
         angle64 = 2 * M_PI * static_cast<double>((uint64_t{w[2]} << 32 | w[3]) >> 11) * 0x1p-53;
  CHECK(zz[2] == doctest::Approx(r64 * std::cos(angle64)).epsilon(1e-14));
  CHECK(r[2] == 10 + static_cast<int64_t>((static_cast<unsigned __int128>(uint64_t{w[0]} << 32 | w[1]) * 10) >> 64));
  CHECK(g.offset() == 2);
  CHECK(h.offset() == 2);
  CHECK(k.offset() == 2);
  CHECK(m.offset() == 2);
}

TEST_CASE("rand_like, randn_like: the draw of that shape and type, from the generator given or the default one") {
  for (DType t : {f64, f32, bf16}) {
    Tensor like = transpose(zeros({3, 5}, t), 0, 1);
    Generator a(4), b(4);
    CHECK(to_vector(rand_like(like, &a)) == to_vector(rand({5, 3}, {.dtype = t, .generator = &b})));
    CHECK(to_vector(randn_like(like, &a)) == to_vector(randn({5, 3}, {.dtype = t, .generator = &b})));
    CHECK(a.offset() == b.offset());
    CHECK(rand_like(like, &a).dtype() == t);
    manual_seed(9);
    Tensor drawn = rand_like(like);
    manual_seed(9);
    CHECK(to_vector(drawn) == to_vector(rand({5, 3}, {.dtype = t})));
  }
}

TEST_CASE("draws: the same bits with 1, 2, 3 and 8 threads, and other numbers from another seed or place") {
  for (const NamedDraw& d : all_draws()) {
    std::vector<double> first;
    for (int threads : {1, 2, 3, 8}) {
      Threads scope(threads);
      Generator g(11);
      auto x = to_vector(d.draw(g));
      if (first.empty()) first = x;
      CHECK_MESSAGE(x == first, d.name << " with " << threads << " threads");
      CHECK_MESSAGE(to_vector(d.draw(g)) != first, d.name);
    }
    Generator other(12);
    CHECK_MESSAGE(to_vector(d.draw(other)) != first, d.name);
  }
}

TEST_CASE("draws: the default generator belongs to the thread, restarts with manual_seed, and stays when another is given") {
  manual_seed(5);
  auto a = to_vector(rand({7}));
  manual_seed(5);
  Generator g(5);
  auto b = to_vector(rand({7}, {.generator = &g}));
  CHECK(default_generator().offset() == 0);
  CHECK(b == a);
  CHECK(to_vector(rand({7})) == a);
  CHECK(default_generator().offset() == 2);
}

TEST_CASE("uniform: fits its distribution function and never reaches its upper end") {
  Generator g(1);
  for (DType t : {f64, f32}) CHECK(ks(uniform({200000}, -1, 3, {t, {}, &g}), [](double x) { return (x + 1) / 4; }) < kKsBound);
  for (DType t : {f64, f32, bf16, f16})
    for (auto [low, high] : {std::pair{0.0, 1.0}, {-3.0, -1.0}, {5.0, 5.1}, {-1e-3, 0.0}, {1000.0, 1001.0}}) {
      CAPTURE(name(t));
      CAPTURE(low);
      auto x = to_vector(uniform({20000}, low, high, {t, {}, &g}));
      double least = *std::min_element(x.begin(), x.end()), most = *std::max_element(x.begin(), x.end());
      double start = to(scalar_tensor(low, f64), t).item();
      CHECK(least >= std::min(low, start));
      CHECK(most < std::max(high, std::nextafter(start, 1e9)));
    }
  auto same = to_vector(uniform({100}, 2.5, 2.5));
  CHECK(std::all_of(same.begin(), same.end(), [](double v) { return v == 2.5; }));
}

TEST_CASE("normal: fits its distribution function, with independent neighbours and tails as they should be") {
  Generator g(2);
  for (DType t : {f64, f32}) {
    Tensor x = normal({200000}, 1.5, 2, {t, {}, &g});
    CHECK(ks(x, [](double v) { return normal_cdf((v - 1.5) / 2); }) < kKsBound);
  }
  int64_t n = 1 << 20;
  auto z = to_vector(randn({n}, {.generator = &g}));
  double m2 = 0, m3 = 0, m4 = 0, lag1 = 0, lag2 = 0, most = 0, sqrt_n = std::sqrt(static_cast<double>(n));
  for (size_t i = 0; i < z.size(); ++i) {
    double v = z[i];
    m2 += v * v;
    m3 += v * v * v;
    m4 += v * v * v * v;
    if (i > 0) lag1 += v * z[i - 1];
    if (i > 1) lag2 += v * z[i - 2];
    most = std::max(most, std::abs(v));
  }
  CHECK(std::abs(m2 / n - 1) < 3.3 * std::sqrt(2.0) / sqrt_n);
  CHECK(std::abs(m3 / n) < 3.3 * std::sqrt(15.0) / sqrt_n);
  CHECK(std::abs(m4 / n - 3) < 3.3 * std::sqrt(96.0) / sqrt_n);
  CHECK(std::abs(lag1 / n) < 3.3 / sqrt_n);
  CHECK(std::abs(lag2 / n) < 3.3 / sqrt_n);
  CHECK(most > 4.4);
  CHECK(most < 6.8);
}

TEST_CASE("normal: 16-bit numbers are the f32 ones, rounded") {
  Generator a(3), b(3);
  CHECK(to_vector(randn({999}, {bf16, {}, &a})) == to_vector(to(randn({999}, {f32, {}, &b}), bf16)));
}

TEST_CASE("cos_sin_turns: agrees with the C library to float precision") {
  double worst = 0;
  for (uint64_t w = 0; w < (uint64_t{1} << 32); w += 99991) {
    float c, s;
    random::cos_sin_turns(static_cast<uint32_t>(w), c, s);
    double angle = 2 * M_PI * static_cast<double>(w) * 0x1p-32;
    worst = std::max({worst, std::abs(c - std::cos(angle)), std::abs(s - std::sin(angle))});
  }
  CHECK(worst < 1.2e-7);
  float c, s;
  random::cos_sin_turns(0x40000000u, c, s);
  CHECK(c == 0);
  CHECK(s == 1);
}

TEST_CASE("truncated_normal: fits its distribution function, in the middle and far in either tail") {
  Generator g(4);
  for (auto [low, high] : {std::pair{-2.0, 2.0}, {-0.1, 5.0}, {8.0, 9.0}, {-40.0, -30.0}, {-INFINITY, 0.5}}) {
    CAPTURE(low);
    Tensor z = truncated_normal({50000}, 1, 2, 1 + 2 * low, 1 + 2 * high, {f64, {}, &g});
    double a = low, b = high, sign = 1;
    if (a > 0) sign = -1, std::swap(a, b), a = -a, b = -b;
    double from = normal_cdf(a), width = normal_cdf(b) - from;
    auto mirrored = [&](double v) { return (normal_cdf(sign * (v - 1) / 2) - from) / width; };
    CHECK(ks(z * sign, [&](double v) { return mirrored(v * sign); }) < kKsBound);
    auto x = to_vector(z);
    CHECK(*std::min_element(x.begin(), x.end()) >= 1 + 2 * low);
    CHECK(*std::max_element(x.begin(), x.end()) <= 1 + 2 * high);
  }
}

TEST_CASE("normal_quantile: inverts the distribution function to rounding") {
  for (double x : {-37.0, -20.0, -8.0, -3.0, -2.3, -1.0, -0.01, 0.0, 0.7, 2.0})
    CHECK(random::normal_quantile(normal_cdf(x)) == doctest::Approx(x).epsilon(1e-12));
}

TEST_CASE("exponential and gumbel: fit their distribution functions; exponential is never 0") {
  Generator g(6);
  for (DType t : {f64, f32}) {
    Tensor e = exponential({200000}, 2.5, {t, {}, &g});
    CHECK(ks(e, [](double x) { return -std::expm1(-2.5 * x); }) < kKsBound);
    CHECK(sum(to(e <= 0, i64)).item<int64_t>() == 0);
    CHECK(ks(gumbel({200000}, {t, {}, &g}), [](double x) { return std::exp(-std::exp(-x)); }) < kKsBound);
  }
}

TEST_CASE("exponential: keeps its relative precision at both ends") {
  for (uint32_t word : {0u, 1u, 12345u, 0x7fffffffu, 0x80000000u, 0xfffffff0u, 0xffffffffu}) {
    double u = (word + 0.5) * 0x1p-32;
    CAPTURE(word);
    CHECK(random::exponential(word) == doctest::Approx(-std::log1p(-u)).epsilon(5e-7));
  }
}

TEST_CASE("bernoulli: has the rate asked for, also 0 and 1, in every type") {
  Generator g(8);
  int64_t n = 1 << 20;
  for (double rate : {0.0, 1e-3, 0.1, 0.5, 0.97, 1.0}) {
    double count = sum(to(bernoulli({n}, rate, {boolean, {}, &g}), f64)).item(),
           bound = 3.3 * std::sqrt(static_cast<double>(n) * rate * (1 - rate));
    CAPTURE(rate);
    CHECK(std::abs(count - static_cast<double>(n) * rate) <= bound);
    double by_tensor = sum(bernoulli(full({n}, rate, f64), &g)).item();
    CHECK(std::abs(by_tensor - static_cast<double>(n) * rate) <= bound);
  }
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
    Generator a(9), b(9);
    CHECK(to_vector(bernoulli({100}, 0.4, {t, {}, &a})) == to_vector(to(bernoulli({100}, 0.4, {boolean, {}, &b}), f64)));
  }
}

TEST_CASE("randint: every value equally often, over the whole range of the type") {
  Generator g(10);
  auto h = histogram(randint(0, 17, {170000}, {i64, {}, &g}), 17);
  CHECK(std::abs(chi_square_deviation(h, std::vector<double>(17, 10000.0))) < 4.5);
  auto x = to_vector<int64_t>(randint(INT64_MIN, INT64_MAX, {1000}, {i64, {}, &g}));
  CHECK(*std::min_element(x.begin(), x.end()) < INT64_MIN / 2);
  CHECK(*std::max_element(x.begin(), x.end()) > INT64_MAX / 2);
  CHECK(randint(0, 256, {100}, {u8, {}, &g}).dtype() == u8);
  CHECK(to_vector(randint(-3, -2, {4})) == std::vector<double>(4, -3.0));
}

TEST_CASE("randperm: a permutation of any length, and each of the 24 of four equally often") {
  Generator g(13);
  for (int64_t n : {0, 1, 2, 3, 10, 1000, 65537}) {
    auto p = to_vector<int64_t>(randperm(n, {i64, {}, &g}));
    std::sort(p.begin(), p.end());
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; ++i) wrong += p[static_cast<size_t>(i)] != i;
    CHECK(wrong == 0);
  }
  std::map<std::vector<int64_t>, double> count;
  for (int i = 0; i < 24000; ++i) ++count[to_vector<int64_t>(randperm(4, {i64, {}, &g}))];
  std::vector<double> h;
  for (auto& [p, c] : count) h.push_back(c);
  REQUIRE(h.size() == 24);
  CHECK(std::abs(chi_square_deviation(h, std::vector<double>(24, 1000.0))) < 4.5);
}

TEST_CASE("categorical: draws classes as softmax says, and never one of minus infinity") {
  Generator g(14);
  Tensor logits = tensor({1.0, -INFINITY, 0.0, 3.0, -1.0}, f64);
  auto p = to_vector(softmax(logits, -1));
  auto h = histogram(categorical(expand(logits, {100000, 5}), &g), 5);
  CHECK(h[1] == 0);
  std::vector<double> seen{h[0], h[2], h[3], h[4]}, expected{p[0] * 1e5, p[2] * 1e5, p[3] * 1e5, p[4] * 1e5};
  CHECK(std::abs(chi_square_deviation(seen, expected)) < 4.5);
  CHECK(categorical(zeros({2, 3, 4})).shape() == Shape{2, 3});
  CHECK(categorical(zeros({0, 4})).shape() == Shape{0});
  CHECK(categorical(tensor({0.0f, 1000.0f}), &g).item<int64_t>() == 1);
}

TEST_CASE("multinomial: with replacement follows the weights; without, draws are distinct and follow what is left") {
  Generator g(15);
  Tensor weights = tensor({1.0, 0.0, 2.0, 5.0});
  auto h = histogram(multinomial(weights, 80000, true, &g), 4);
  CHECK(h[1] == 0);
  CHECK(std::abs(chi_square_deviation({h[0], h[2], h[3]}, {10000, 20000, 50000})) < 4.5);
  auto pairs = to_vector<int64_t>(multinomial(expand(weights, {80000, 4}), 2, false, &g));
  std::map<std::pair<int64_t, int64_t>, double> count;
  for (size_t i = 0; i < pairs.size(); i += 2) ++count[{pairs[i], pairs[i + 1]}];
  CHECK(count.size() == 6);
  std::vector<double> seen, expected;
  double w[] = {1, 0, 2, 5};
  for (auto& [pair, c] : count) {
    seen.push_back(c);
    expected.push_back(80000 * w[pair.first] / 8 * w[pair.second] / (8 - w[pair.first]));
  }
  CHECK(std::abs(chi_square_deviation(seen, expected)) < 4.5);
  CHECK_THROWS_WITH_AS(multinomial(weights, 4),
                       "multinomial: row 0 has a negative or non-finite weight, or fewer positive weights than are to be drawn",
                       ValueError);
}

TEST_CASE("normal of tensors: differentiable in mean and std, broadcast") {
  Tensor mean = tensor({{0.5}, {-1.0}}, f64), std = tensor({0.3, 1.0, 2.0}, f64);
  TensorFunction f = [](const Tensor& m, const Tensor& s) {
    Generator g(16);
    return square(normal(m, s, &g));
  };
  CHECK(f({mean, std})[0].shape() == Shape{2, 3});
  CHECK(gradcheck(f, {mean, std}).passed);
  CHECK(gradgradcheck(f, {mean, std}).passed);
}

TEST_CASE("gumbel_softmax: soft is differentiable; hard is exactly one-hot with the soft one's gradient") {
  Tensor logits = tensor({{0.5, -1.0, 2.0}, {0.0, 0.1, 0.2}}, f64);
  TensorFunction soft = [](const Tensor& x) {
    Generator g(17);
    return gumbel_softmax(x, 0.7, false, 0, &g);
  };
  CHECK(gradcheck(soft, {logits}).passed);
  CHECK(gradgradcheck(soft, {logits}).passed);
  for (int dim : {0, 1}) {
    Tensor x = logits.detach().requires_grad_(), w = tensor({{1.0, 2.0, -1.0}, {0.5, 3.0, 0.0}}, f64);
    Generator a(18), b(18);
    Tensor hard = gumbel_softmax(x, 0.7, true, dim, &a), smooth = gumbel_softmax(x, 0.7, false, dim, &b);
    CHECK(hard.shape() == x.shape());
    CHECK(to_vector(sum(hard, {dim})) == std::vector<double>(static_cast<size_t>(x.size(1 - dim)), 1.0));
    CHECK(sum(square(hard)).item() == static_cast<double>(x.size(1 - dim)));
    CHECK(to_vector(grad({sum(hard * w)}, {x})[0]) == to_vector(grad({sum(smooth * w)}, {x})[0]));
  }
}

TEST_CASE("draws: have no derivative and say so") {
  Tensor rate = full({3}, 0.5).requires_grad_();
  Tensor y = bernoulli(rate);
  CHECK_THROWS_WITH_AS(sum(y).backward(), "bernoulli has no derivative", AutogradError);
  Tensor logits = zeros({3}).requires_grad_();
  CHECK_THROWS_AS(categorical(logits).backward(), AutogradError);
  CHECK_FALSE(rand({3}).requires_grad());
}

TEST_CASE("fills: write through any strides, leave the rest, and obey the rules of writing in place") {
  Tensor x = zeros({4, 6}), column = select(x, 1, 2);
  Generator a(19), b(19);
  uniform_(column, 1, 2, &a);
  CHECK(to_vector(column) == to_vector(uniform({4}, 1, 2, {.generator = &b})));
  CHECK(sum(to(x == 0, i64)).item<int64_t>() == 20);
  Tensor leaf = zeros({3}).requires_grad_();
  CHECK_THROWS_AS(normal_(leaf), AutogradError);
  {
    NoGrad off;
    normal_(leaf, 10, 0.1);
    truncated_normal_(leaf, 0, 1, 2, 3);
    exponential_(leaf, 3);
    bernoulli_(leaf, 1);
  }
  CHECK(to_vector(leaf) == std::vector<double>(3, 1.0));
  Tensor y = leaf * 2.0;
  normal_(y);
  CHECK_FALSE(sum(y).requires_grad());
}

TEST_CASE("draws: shapes without elements take nothing from the generator") {
  Generator g(20);
  CHECK(rand({0, 3}, {.generator = &g}).shape() == Shape{0, 3});
  CHECK(randn({3, 0}, {f64, {}, &g}).numel() == 0);
  CHECK(randint(0, 2, {0}, {i64, {}, &g}).numel() == 0);
  CHECK(bernoulli(empty({0}), &g).numel() == 0);
  CHECK(g.offset() == 0);
  CHECK(rand({}, {.generator = &g}).rank() == 0);
}

TEST_CASE("draws: bad parameters are errors that name them") {
  CHECK_THROWS_WITH_AS(truncated_normal({3}, 0, 1, 50, 60), doctest::Contains("more than 37 standard deviations"), ValueError);
  CHECK_THROWS_WITH_AS(truncated_normal({3}, 0, 1, -60, -50), doctest::Contains("more than 37 standard deviations"), ValueError);
  CHECK_THROWS_WITH_AS(uniform({3}, -3e38, 3e38), doctest::Contains("wider than the largest number of f32"), ValueError);
  CHECK_NOTHROW(uniform({3}, -3e38, 3e38, {.dtype = f64}));
  Generator g(21);
  RandomOptions o{.generator = &g};
  CHECK_THROWS_WITH_AS(uniform({2}, 1, 0, o), "uniform: [1, 0) is not a finite interval", ValueError);
  CHECK_THROWS_WITH_AS(normal({2}, 0, -1, o), "normal: mean 0 and std -1: both must be finite, std not negative", ValueError);
  CHECK_THROWS_WITH_AS(normal({2}, NAN, 1, o), "normal: mean nan and std 1: both must be finite, std not negative", ValueError);
  CHECK_THROWS_WITH_AS(truncated_normal({2}, 0, 1, 2, 2, o), "truncated_normal: std 1 within [2, 2]: std must be positive and low < high",
                       ValueError);
  CHECK_THROWS_WITH_AS(exponential({2}, 0, o), "exponential: the rate must be positive and finite, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(bernoulli({2}, 1.5, o), "bernoulli: the rate must be in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(bernoulli(tensor({0.5, -0.1}), &g), "bernoulli: a rate is outside [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(randint(3, 3, {2}), "randint: [3, 3) is empty or does not fit into i64", ValueError);
  CHECK_THROWS_WITH_AS(randint(0, 257, {2}, {u8, {}, &g}), "randint: [0, 257) is empty or does not fit into u8", ValueError);
  CHECK_THROWS_WITH_AS(randperm(-1), "randperm: n must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(rand({2}, {i64, {}, &g}), "rand: gives floating tensors, not i64", DTypeError);
  CHECK_THROWS_WITH_AS(categorical(tensor({{0.0, 1.0}, {NAN, 1.0}}), &g), "categorical: row 1 has a NaN or +inf, or only -inf", ValueError);
  CHECK_THROWS_WITH_AS(categorical(zeros({3, 0}), &g), "categorical: there are no classes in [3, 0]", ValueError);
  CHECK_THROWS_WITH_AS(multinomial(ones({3}), 0), "multinomial: the number of samples must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(rand({-1}), ShapeError);
}
