// Arithmetic, comparisons and selection of two tensors against plain loops: every type, broadcasting, strides, integers, errors, in place.
#include "ops/pointwise.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "tests/ops/reference.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

double epsilon(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == bf16 ? 0x1p-7 : t == f16 ? 0x1p-10 : 0; }

// f(a, b) over the broadcast shape, index by index.
Reference broadcast(const Tensor& x, const Tensor& y, const Shape& shape, const std::function<double(double, double)>& f) {
  Reference a(x), b(y), out(shape);
  auto place = [](const Reference& r, const Index& i) {
    Index own;
    for (int d = 0; d < r.shape.rank(); ++d) {
      int64_t at = i[i.size() - static_cast<size_t>(r.shape.rank() - d)];
      own.push_back(r.shape[d] == 1 ? 0 : at);
    }
    return own;
  };
  for_each_index(shape, [&](const Index& i) { out.at(i) = f(a.at(place(a, i)), b.at(place(b, i))); });
  return out;
}

struct Binary {
  std::string name;
  Tensor (*function)(const Tensor& a, const Tensor& b);
  double (*reference)(double a, double b);
  double low = -3, high = 3;    // of b; a lies in [−3, 3], or in [0.1, 3] if `positive`
  bool positive = false, integers = false;
};
using T = const Tensor&;

const Binary kBinaries[] = {
    {"add", [](T a, T b) { return add(a, b); }, [](double a, double b) { return a + b; }, -3, 3, false, true},
    {"sub", sub, [](double a, double b) { return a - b; }, -3, 3, false, true},
    {"mul", [](T a, T b) { return mul(a, b); }, [](double a, double b) { return a * b; }, -3, 3, false, true},
    {"div", [](T a, T b) { return div(a, b); }, [](double a, double b) { return a / b; }, 0.3, 3},
    {"floor_divide", floor_divide, [](double a, double b) { return std::floor(a / b); }, 0.3, 3, false, true},
    {"remainder", remainder, [](double a, double b) { return a - b * std::floor(a / b); }, 1, 3, false, true},
    {"pow", [](T a, T b) { return pow(a, b); }, [](double a, double b) { return std::exp(b * std::log(a)); }, -2, 2, true},
    {"maximum", maximum, [](double a, double b) { return a > b ? a : b; }, -3, 3, false, true},
    {"minimum", minimum, [](double a, double b) { return a < b ? a : b; }, -3, 3, false, true},
    {"atan2", atan2,
     [](double a, double b) { return b > 0    ? std::atan(a / b)
                                     : a >= 0 ? std::atan(a / b) + M_PI
                                              : std::atan(a / b) - M_PI; }},
    {"hypot", hypot, [](double a, double b) { return std::sqrt(a * a + b * b); }},
    {"xlogy", xlogy, [](double a, double b) { return a == 0 ? 0 : a * std::log(b); }, 0.2, 3},
    {"logaddexp", logaddexp, [](double a, double b) { return std::log(std::exp(a) + std::exp(b)); }},
};

struct ShapePair {
  Shape a, b, out;
};
const ShapePair kShapes[] = {{{3, 4}, {3, 4}, {3, 4}},       {{3, 4}, {4}, {3, 4}},
                             {{3, 1}, {1, 4}, {3, 4}},       {{}, {2, 3}, {2, 3}},
                             {{2, 1, 3}, {4, 1}, {2, 4, 3}}, {{1}, {700}, {700}},
                             {{0, 3}, {3}, {0, 3}},          {{2, 0, 3}, {1, 3}, {2, 0, 3}},
                             {{30, 40}, {30, 1}, {30, 40}},  {{2, 2, 2, 2}, {2, 1, 2}, {2, 2, 2, 2}}};

}  // namespace

TEST_CASE("binary operations: values for broadcast shapes, any strides and every type") {
  for (const Binary& f : kBinaries)
    for (DType t : {f64, f32, bf16, f16})
      for (const ShapePair& s : kShapes) {
        Tensor a = uniform(s.a, 1, f.positive ? 0.1 : -3, 3, t), b = uniform(s.b, 2, f.low, f.high, t);
        Reference expected = broadcast(a, b, s.out, f.reference);
        // A quotient next to an integer may fall on either side of it in a type of fewer bits.
        if (t != f64 && (f.name == "floor_divide" || f.name == "remainder")) continue;
        for (const Tensor& x : layouts(a))
          for (const Tensor& y : layouts(b)) {
            Tensor z = f.function(x, y);
            CHECK(z.dtype() == t);
            double off = error(z, expected);
            CHECK_MESSAGE(off <= 16 * epsilon(t),
                          f.name << " in " << name(t) << " of " << to_string(s.a) << " and " << to_string(s.b) << " is off by " << off);
          }
      }
}

TEST_CASE("binary operations: integers, floor_divide and remainder of either sign, and by zero") {
  for (DType t : {i64, i32, u8})
    for (const Binary& f : kBinaries) {
      if (!f.integers) continue;
      int64_t shift = t == u8 ? 0 : 10;
      Tensor a = to(integers({5, 7}, 20, 1) - shift, t), b = to(integers({7}, 9, 2) + (t == u8 ? 1 : -4), t);
      if (t == u8 && f.name == "sub") a = to(a + 10, u8);
      b = to(where(b == 0, 3, b), t);
      Tensor z = f.function(a, b);
      CHECK(z.dtype() == t);
      CHECK_MESSAGE(error(z, broadcast(a, b, {5, 7}, f.reference)) == 0, f.name << " in " << name(t));
    }
  Tensor a = tensor({7, -7, 7, -7, 5}), b = tensor({3, 3, -3, -3, 0});
  CHECK(to_vector<int64_t>(floor_divide(a, b)) == std::vector<int64_t>{2, -3, -3, 2, 0});
  CHECK(to_vector<int64_t>(remainder(a, b)) == std::vector<int64_t>{1, 2, -2, -1, 0});
  Tensor x = tensor({7.5, -7.5, 7.5, -7.5}, f64), y = tensor({2.0, 2.0, -2.0, -2.0}, f64);
  CHECK(to_vector(floor_divide(x, y)) == std::vector<double>{3, -4, -4, 3});
  CHECK(to_vector(remainder(x, y)) == std::vector<double>{1.5, 0.5, -0.5, -1.5});
  CHECK(to_vector<int64_t>(floor_divide(full({1}, INT64_MIN, i64), full({1}, -1, i64)))[0] == INT64_MIN);
  CHECK((tensor({1, 2}) / tensor({2, 4})).dtype() == f32);
  CHECK((tensor({true, true}) + tensor({true, false})).dtype() == i64);
}

TEST_CASE("floor_divide: how often b fits into a, also where the quotient rounds up to the next whole number") {
  Tensor a = from_vector(std::vector<double>{1, -1, 0.3, 6, 1, -1, INFINITY, 1}),
         b = from_vector(std::vector<double>{0.1, 0.1, 0.1, -2.5, 0, INFINITY, 2, INFINITY});
  std::vector<double> y = to_vector(floor_divide(a, b));
  CHECK(std::isnan(y[6]));
  y.erase(y.begin() + 6);
  CHECK(y == std::vector<double>{9, -10, 2, -3, INFINITY, -1, 0});  // Python's //, but for the infinity
  CHECK(to_vector(floor_divide(full({3}, 1.0), full({3}, 0.1))) == std::vector<double>(3, 9));
}

TEST_CASE("numbers: integers beyond 2^53 are added and multiplied exactly") {
  int64_t large = (int64_t{1} << 60) + 1;
  Tensor one = full({2}, 1, i64);
  CHECK(to_vector<int64_t>(one + large) == std::vector<int64_t>(2, large + 1));
  CHECK(to_vector<int64_t>(one * large) == std::vector<int64_t>(2, large));
  CHECK(to_vector<int64_t>(large - one) == std::vector<int64_t>(2, large - 1));
  CHECK(to_vector<int64_t>(one - large) == std::vector<int64_t>(2, 1 - large));
}

TEST_CASE("binary operations: types are promoted, a plain number keeps the tensor's type") {
  CHECK((zeros({2}, f16) + zeros({2}, f32)).dtype() == f32);
  CHECK((zeros({2}, f16) + zeros({2}, bf16)).dtype() == f32);
  CHECK((zeros({2}, i32) * zeros({2}, f16)).dtype() == f16);
  CHECK((zeros({2}, bf16) * 2.5).dtype() == bf16);
  CHECK((zeros({2}, i32) + 3).dtype() == i32);
  CHECK((zeros({2}, i32) + 3.5).dtype() == f32);
  Tensor x = tensor({1.0, -2.0}, f64);
  CHECK(to_vector(x + 3) == std::vector<double>{4, 1});
  CHECK(to_vector(3 - x) == std::vector<double>{2, 5});
  CHECK(to_vector(x - 0.5) == std::vector<double>{0.5, -2.5});
  CHECK(to_vector(-x * 4) == std::vector<double>{-4, 8});
  CHECK(to_vector(x / 4) == std::vector<double>{0.25, -0.5});
  CHECK(to_vector(4 / x) == std::vector<double>{4, -2});
  CHECK(to_vector(pow(x, 3)) == std::vector<double>{1, -8});
  CHECK(to_vector(pow(x, 2)) == std::vector<double>{1, 4});
  CHECK(to_vector(pow(2, x)) == std::vector<double>{2, 0.25});
  CHECK(to_vector(lerp(x, tensor({3.0, 2.0}, f64), 0.25)) == std::vector<double>{1.5, -1});
  CHECK(to_vector(lerp(x, tensor({3.0, 2.0}, f64), tensor({0.5, 1.0}, f64))) == std::vector<double>{2, 2});
}

TEST_CASE("binary operations: infinities and NaN") {
  for (DType t : {f64, f32}) {
    auto two = [t](Tensor (*f)(T, T), double a, double b) { return f(full({}, a, t), full({}, b, t)).item(); };
    for (auto f : {maximum, minimum}) {
      CHECK(std::isnan(two(f, NAN, 1)));
      CHECK(std::isnan(two(f, 1, NAN)));
    }
    CHECK(two(hypot, 1e30, 1e30) == doctest::Approx(std::sqrt(2) * 1e30).epsilon(1e-6));  // squares overflow f32
    CHECK(two(xlogy, 0, 0) == 0);
    CHECK(std::isnan(two(xlogy, 0, NAN)));
    CHECK(two(logaddexp, 1e4, 1e4) == doctest::Approx(1e4 + std::log(2)).epsilon(1e-6));
    CHECK(two(logaddexp, -INFINITY, -INFINITY) == -INFINITY);
    CHECK(two(logaddexp, INFINITY, 1) == INFINITY);
    CHECK(two(atan2, 0, -1) == doctest::Approx(M_PI).epsilon(1e-6));
    CHECK(two([](T a, T b) { return pow(a, b); }, 0, 0) == 1);
  }
  Tensor a = tensor({0.0, 2.0, 2.0}, f64).requires_grad_(), b = tensor({0.0, 3.0, 0.0}, f64).requires_grad_();
  sum_to(pow(a, b), {1}).backward();
  CHECK(to_vector(a.grad()) == std::vector<double>{0, 12, 0});
  CHECK(to_vector(b.grad())[0] == 0);
  CHECK(to_vector(b.grad())[1] == doctest::Approx(8 * std::log(2)).epsilon(1e-14));
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_(), y = tensor({1.0, 3.0}, f64).requires_grad_();
  sum_to(maximum(x, y), {1}).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0.5, 0});
  CHECK(to_vector(y.grad()) == std::vector<double>{0.5, 1});
  x.zero_grad();
  sum_to(floor_divide(x, y), {1}).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 0});
}

TEST_CASE("comparisons and logic: every type, broadcast, NaN") {
  struct Compare {
    std::string name;
    Tensor (*function)(T, T);
    bool (*reference)(double, double);
  };
  const Compare all[] = {{"==", [](T a, T b) { return a == b; }, [](double a, double b) { return a == b; }},
                         {"!=", [](T a, T b) { return a != b; }, [](double a, double b) { return a != b; }},
                         {"<", [](T a, T b) { return a < b; }, [](double a, double b) { return a < b; }},
                         {"<=", [](T a, T b) { return a <= b; }, [](double a, double b) { return a <= b; }},
                         {">", [](T a, T b) { return a > b; }, [](double a, double b) { return a > b; }},
                         {">=", [](T a, T b) { return a >= b; }, [](double a, double b) { return a >= b; }},
                         {"logical_and", logical_and, [](double a, double b) { return a != 0 && b != 0; }},
                         {"logical_or", logical_or, [](double a, double b) { return a != 0 || b != 0; }},
                         {"logical_xor", logical_xor, [](double a, double b) { return (a != 0) != (b != 0); }}};
  for (const Compare& f : all)
    for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean})
      for (const ShapePair& s : kShapes) {
        Tensor a = to(integers(s.a, 3, 1), t), b = to(integers(s.b, 3, 2), t);
        Reference expected = broadcast(a, b, s.out, [&](double x, double y) { return f.reference(x, y); });
        for (const Tensor& x : layouts(a)) {
          Tensor z = f.function(x, b);
          CHECK(z.dtype() == boolean);
          CHECK_MESSAGE(error(z, expected) == 0, f.name << " in " << name(t));
        }
      }
  Tensor x = tensor({NAN, 1.0});
  CHECK(to_vector<bool>(x == x) == std::vector<bool>{false, true});
  CHECK(to_vector<bool>(x != x) == std::vector<bool>{true, false});
  CHECK(to_vector<bool>(x <= 1) == std::vector<bool>{false, true});
  CHECK(to_vector<bool>(tensor({1, 2}) < 1.5) == std::vector<bool>{true, false});
  CHECK(to_vector<bool>(logical_not(tensor({0.0, 2.0, NAN}))) == std::vector<bool>{true, false, false});
  Tensor odd = tensor({0.0, NAN, INFINITY, -INFINITY});
  for (DType t : {f64, f32, bf16, f16}) {
    CHECK(to_vector<bool>(isnan(to(odd, t))) == std::vector<bool>{false, true, false, false});
    CHECK(to_vector<bool>(isinf(to(odd, t))) == std::vector<bool>{false, false, true, true});
    CHECK(to_vector<bool>(isfinite(to(odd, t))) == std::vector<bool>{true, false, false, false});
  }
  CHECK(to_vector<bool>(isfinite(tensor({1, 2}))) == std::vector<bool>{true, true});
  Tensor tracked = ones({1}).requires_grad_();
  CHECK_FALSE((tracked > 0).requires_grad());
  CHECK_THROWS_AS((tracked > 0).backward(), AutogradError);
}

TEST_CASE(
    "add, sub, mul: f32 with a 16-bit type has the bits of the conversion done first, in values and gradients, broadcast and strided") {
  using Function = Tensor (*)(const Tensor&, const Tensor&);
  for (Function f : {static_cast<Function>(add), static_cast<Function>(sub), static_cast<Function>(mul)})
    for (DType t : {bf16, f16})
      for (auto [wide, narrow] :
           {std::pair{Shape{4, 70}, Shape{4, 70}}, {Shape{4, 70}, Shape{70}}, {Shape{1, 70}, Shape{4, 1}}, {Shape{0, 3}, Shape{3}}})
        for (bool turned : {false, true}) {
          Tensor x = test::sample(wide, 1, f32).requires_grad_(),
                 y = (turned && narrow.rank() == 2 ? test::strided(test::sample(narrow, 2, t)) : test::sample(narrow, 2, t))
                         .detach()
                         .requires_grad_();
          Tensor mixed = turned ? f(y, x) : f(x, y), plain = turned ? f(to(y, f32), x) : f(x, to(y, f32));
          CHECK(mixed.dtype() == f32);
          CHECK(test::same_bits(mixed, plain));
          std::vector<Tensor> one = test::gradients(mixed, {x, y}, false), other = test::gradients(plain, {x, y}, false),
                              recorded = test::gradients(mixed, {x, y}, true);
          for (size_t i = 0; i < 2; ++i) {
            CHECK(test::same_bits(one[i], other[i]));
            CHECK(test::same_bits(recorded[i], other[i]));
          }
        }
}

TEST_CASE("where and clamp: choices, promotion, limits, NaN") {
  Tensor mask = tensor({{true}, {false}}), a = uniform({2, 3}, 1), b = uniform({3}, 2);
  Reference x(a), y(b), expected({2, 3});
  for_each_index({2, 3}, [&](const Index& i) { expected.at(i) = i[0] == 0 ? x.at(i) : y.at({i[1]}); });
  for (const Tensor& m : layouts(mask))
    for (const Tensor& left : layouts(a)) CHECK(error(where(m, left, b), expected) == 0);
  Tensor many = uniform({3, 1000}, 3), others = uniform({3, 1000}, 4),
         choice = many < 0.4;  // rows that are done many at a time, by item size
  for (DType t : {f64, f32, f16, i64, i32, u8}) {
    Tensor u = to(many * 100, t), v = to(others * 100, t), once = full({}, 7, t);
    std::vector<bool> c = to_vector<bool>(choice);
    std::vector<double> left = to_vector(u), right = to_vector(v), both = to_vector(where(choice, u, v)),
                        first = to_vector(where(choice, u, once)), second = to_vector(where(choice, once, v)),
                        neither = to_vector(where(choice, once, full({}, 3, t)));
    for (size_t i = 0; i < c.size(); ++i)
      REQUIRE((both[i] == (c[i] ? left[i] : right[i]) && first[i] == (c[i] ? left[i] : 7) && second[i] == (c[i] ? 7 : right[i]) &&
               neither[i] == (c[i] ? 7 : 3)));
  }
  CHECK(where(mask, a, 0.5).dtype() == f64);
  CHECK(to_vector(where(tensor({true, false}), 1.5, tensor({2.0, 3.0}))) == std::vector<double>{1.5, 3});
  CHECK(where(tensor({true}), ones({1}, f16), ones({1}, f32)).dtype() == f32);
  CHECK_THROWS_WITH_AS(where(ones({1}), a, a), "where: the condition must be bool, it is f32", DTypeError);
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor v = tensor({-2.0, -1.0, 0.5, 1.0, 3.0, NAN}, t), clipped = clamp(v, -1, 1);
    std::vector<double> got = to_vector(clipped);
    CHECK(std::isnan(got.back()));
    got.pop_back();
    CHECK(got == std::vector<double>{-1, -1, 0.5, 1, 1});
    CHECK(to_vector(clamp_min(v, 0))[1] == 0);
    CHECK(to_vector(clamp_max(v, 0))[4] == 0);
  }
  CHECK(to_vector<int64_t>(clamp(tensor({-5, 2, 9}), 0, 4)) == std::vector<int64_t>{0, 2, 4});
  CHECK(to_vector<int64_t>(clamp_min(tensor({-5, 9}), 0)) == std::vector<int64_t>{0, 9});
  CHECK(to_vector(clamp(tensor({-5.0, 2.0, 9.0}), zeros({3}), tensor({1.0, 1.0, 10.0}))) == std::vector<double>{0, 1, 9});
  Tensor edge = tensor({-1.0, 1.0, 2.0}, f64).requires_grad_();
  sum_to(clamp(edge, -1, 1), {1}).backward();
  CHECK(to_vector(edge.grad()) == std::vector<double>{1, 1, 0});
}

TEST_CASE("in place: results stand in the tensor itself, through any view, in its own type") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor whole = zeros({4, 4}, t), x = transpose(slice(whole, 1, 0, 4, 2), 0, 1);  // [2, 4], neither dense nor in order
    fill_(x, 3);
    CHECK(to_vector(whole) == std::vector<double>{3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0});
    add_(x, tensor({1.0, 2.0, 3.0, 4.0}));
    sub_(x, ones({2, 1}, t));
    mul_(x, full({}, 2, t));
    div_(x, full({4}, 4, t));
    mul_(x, 2);
    add_(x, -1);
    CHECK(to_vector(x) == std::vector<double>{2, 3, 4, 5, 2, 3, 4, 5});
    CHECK(x.dtype() == t);
    masked_fill_(x, tensor({true, false, false, true}), 9);
    CHECK(to_vector(x) == std::vector<double>{9, 3, 4, 9, 9, 3, 4, 9});
    copy_(x, tensor({{1}, {2}}));
    CHECK(to_vector(x) == std::vector<double>{1, 1, 1, 1, 2, 2, 2, 2});
    zero_(x);
    CHECK(to_vector(whole) == std::vector<double>(16, 0));
  }
  Tensor one = tensor({1.0, 2.0});
  add_(one, one);
  CHECK(to_vector(one) == std::vector<double>{2, 4});
  CHECK_THROWS_AS(add_(one, zeros({3, 2})), ShapeError);
}

TEST_CASE("pointwise: integers one beyond 2^53 are added and multiplied exactly") {
  constexpr int64_t kBeyond = (int64_t{1} << 53) + 1;
  CHECK((tensor({1}) + Scalar(kBeyond)).item<int64_t>() == kBeyond + 1);
  CHECK((tensor({1}) * Scalar(-kBeyond)).item<int64_t>() == -kBeyond);
}

TEST_CASE("pointwise: derivatives at the edges of what functions are defined for") {
  auto slopes = [](Tensor (*f)(const Tensor&, const Tensor&), double a, double b, DType type) {
    Tensor x = scalar_tensor(a, type).requires_grad_(), y = scalar_tensor(b, type).requires_grad_();
    auto g = grad({f(x, y)}, {x, y});
    return std::vector<double>{g[0].item(), g[1].item()};
  };
  CHECK(slopes(logaddexp, 0, -20, f32)[1] == doctest::Approx(std::exp(-20) / (1 + std::exp(-20))).epsilon(1e-6));
  CHECK(slopes(atan2, 0, 0, f64) == std::vector<double>{0, 0});
  CHECK(slopes(xlogy, 0, 0, f64) == std::vector<double>{0, 0});
  CHECK(slopes(xlogy, 0, -1, f64) == std::vector<double>{0, 0});
  CHECK(slopes(xlogy, 0, 0.5, f64)[0] == doctest::Approx(std::log(0.5)));
}

TEST_CASE("pointwise: bools are refused under the operation's own name") {
  Tensor flag = tensor({true, false});
  CHECK_THROWS_WITH_AS(neg(flag), "neg: does not take bool tensors; convert them first", DTypeError);
  CHECK_THROWS_WITH_AS(abs(flag), "abs: does not take bool tensors; convert them first", DTypeError);
  CHECK_THROWS_WITH_AS(add_(flag, flag), "add_: does not take bool tensors; convert them first", DTypeError);
  Tensor n = tensor({4, 6});
  CHECK_THROWS_WITH_AS(div_(n, n), doctest::Contains("div_: a fraction does not fit into a tensor of i64"), DTypeError);
}

TEST_CASE("in place: integers refuse what has a fraction, and stay as they were") {
  Tensor n = full({3}, 5, i64);
  CHECK_THROWS_WITH_AS(add_(n, 0.5), doctest::Contains("a fraction does not fit into a tensor of i64"), DTypeError);
  CHECK_THROWS_WITH_AS(mul_(n, 1.5), doctest::Contains("convert the tensor to f32 first"), DTypeError);
  CHECK_THROWS_AS(add_(n, full({3}, 0.5)), DTypeError);
  CHECK(to_vector<int64_t>(n) == std::vector<int64_t>(3, 5));
  mul_(n, 2.0);
  CHECK(to_vector<int64_t>(n) == std::vector<int64_t>(3, 10));
}

TEST_CASE("maximum and minimum: the gradient goes to the NaN that the result is") {
  for (auto f :
       {static_cast<Tensor (*)(const Tensor&, const Tensor&)>(maximum), static_cast<Tensor (*)(const Tensor&, const Tensor&)>(minimum)}) {
    Tensor a = from_vector(std::vector<double>{NAN, 1, NAN}).requires_grad_(),
           b = from_vector(std::vector<double>{1, NAN, NAN}).requires_grad_();
    sum(f(a, b)).backward();
    CHECK(to_vector(a.grad()) == std::vector<double>{1, 0, 0.5});
    CHECK(to_vector(b.grad()) == std::vector<double>{0, 1, 0.5});
  }
}

TEST_CASE("sum_to: the adjoint of broadcasting") {
  Tensor g = uniform({2, 3, 4}, 1);
  for (const Shape& s : {Shape{2, 3, 4}, Shape{1, 3, 1}, Shape{3, 4}, Shape{3, 1}, Shape{4}, Shape{1}, Shape{}}) {
    Reference from(g), to(s);
    for_each_index(g.shape(), [&](const Index& i) {
      Index j;
      for (int d = 0; d < s.rank(); ++d) j.push_back(s[d] == 1 ? 0 : i[static_cast<size_t>(3 - s.rank() + d)]);
      to.at(j) += from.at(i);
    });
    CHECK(error(sum_to(g, s), to) < 1e-14);
  }
}

TEST_CASE("binary operations: shapes that do not broadcast are named") {
  CHECK_THROWS_WITH_AS(zeros({2, 3}) + zeros({2}), "add: shapes [2, 3] and [2] do not broadcast", ShapeError);
  CHECK_THROWS_WITH_AS(static_cast<void>(zeros({2, 3}) < zeros({4})), "<: shapes [2, 3] and [4] do not broadcast", ShapeError);
  CHECK_THROWS_AS(where(ones({3}, boolean), zeros({2}), zeros({2})), ShapeError);
}

TEST_CASE("comparisons: a number that the tensor's type does not have is not squeezed into it") {
  Tensor bytes = tensor({5}, u8);
  CHECK((bytes > -1).item<bool>());
  CHECK_FALSE((bytes == 261).item<bool>());
  CHECK((tensor({7}, i32) < 3'000'000'000).item<bool>());
  CHECK((tensor({16'777'217}) > 16'777'216.0).item<bool>());
  CHECK((tensor({2}, u8) < 2.5).item<bool>());
}

TEST_CASE("clamp: bounds beyond the type, of one side, and crossed") {
  CHECK(clamp(tensor({5}), 0, INFINITY).item<int64_t>() == 5);
  CHECK(clamp_min(full({1}, INT64_MAX, i64), 0).item<int64_t>() == INT64_MAX);
  CHECK(clamp_max(full({1}, INT64_MIN, i64), 0).item<int64_t>() == INT64_MIN);
  CHECK(clamp(tensor({5}, u8), -3, 4).item<int64_t>() == 4);
  CHECK(clamp(tensor({0.}), 5, 3).item() == 3);
  CHECK(clamp(tensor({4}), 5, 3).item<int64_t>() == 3);
  CHECK(std::isnan(clamp(tensor({NAN}), 5, 3).item()));
  CHECK_THROWS_AS(clamp(tensor({0.}), NAN, 3), ValueError);
  Tensor x = tensor({1}), y = clamp(x, -10, 10);
  CHECK(y.raw_data() != x.raw_data());
}
