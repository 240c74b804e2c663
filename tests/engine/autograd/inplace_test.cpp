// Writing in place: what sees it, which gradients follow, what is refused.
#include "engine/autograd/inplace.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

using namespace plumb;

namespace {

using Values = std::vector<double>;
Tensor leaf(std::initializer_list<double> values) { return from_vector(Values(values)).requires_grad_(); }

// Gradients to second order of a function of one or two vectors.
void check(const TensorFunction& f, const std::vector<Tensor>& x) {
  auto first = gradcheck(f, x), second = gradgradcheck(f, x);
  CHECK_MESSAGE(first.passed, first.message);
  CHECK_MESSAGE(second.passed, second.message);
}
const Tensor kFour = tensor({0.5, -1.0, 2.0, 1.5}, f64), kTwo = tensor({0.7, -0.3}, f64);

}  // namespace

TEST_CASE("in place: a whole tensor takes the new value and its gradient") {
  Tensor x = leaf({1, 2}), y = x * 3.0;
  mul_(y, y);
  CHECK(to_vector(y) == Values{9, 36});
  sum(y).backward();
  CHECK(to_vector(x.grad()) == Values{18, 36});
  check([](const Tensor& a, const Tensor& b) {
    Tensor y = a * a;
    add_(y, 1.0);
    mul_(y, sum(b));
    sub_(y, a);
    div_(y, a);
    return y * y;
  }, {kFour, clone(kTwo)});
}

TEST_CASE("in place: a write to a view is seen by its base and by other views, values and gradients") {
  check([](const Tensor& a, const Tensor& b) {
    Tensor base = a * a, left = slice(base, 0, 0, 2), middle = slice(base, 0, 1, 3);
    mul_(left, b);
    return std::vector<Tensor>{base * 1.0, middle * middle, exp(left)};
  }, {kFour, clone(kTwo)});
}

TEST_CASE("in place: views of views, reshaped and transposed views, and views taken before and after a write") {
  check([](const Tensor& a, const Tensor& b) {
    Tensor base = a * 1.0, square = reshape(base, {2, 2}), column = select(mT(square), 0, 1), before = select(square, 0, 1);
    mul_(column, b);
    Tensor after = select(square, 0, 1);
    add_(before, after * 2.0);
    return base * base;
  }, {kFour, clone(kTwo)});
}

TEST_CASE("in place: a write to the base is seen by views that were taken before") {
  check([](const Tensor& a, const Tensor& b) {
    Tensor base = a * 1.0, tail = slice(base, 0, 2);
    mul_(base, a);
    return tail * b;
  }, {kFour, clone(kTwo)});
}

TEST_CASE("in place: overwriting with constants cuts the gradient, for the tensor and for its views") {
  Tensor x = leaf({1, 2, 3}), y = x * 2.0, part = slice(y, 0, 0, 2);
  fill_(y, 7);
  CHECK_FALSE(y.requires_grad());
  CHECK_FALSE(part.requires_grad());
  CHECK(to_vector(part) == Values{7, 7});
  Tensor z = x * 2.0, head = slice(z, 0, 0, 2);
  fill_(head, 7);
  sum(z).backward();
  CHECK(to_vector(x.grad()) == Values{0, 0, 2});
}

TEST_CASE("in place: slices of a plain tensor take values with gradients") {
  check([](const Tensor& a, const Tensor& b) {
    Tensor out = zeros({2, 4}, f64), first = select(out, 0, 0), corner = narrow(select(out, 0, 1), 0, 1, 2);
    copy_(first, a * a);
    copy_(corner, b);
    return out * out + out;
  }, {kFour, clone(kTwo)});
}

TEST_CASE("in place: copy_ broadcasts and converts, with the gradient") {
  Tensor x = leaf({2}), y = zeros({2, 3});
  copy_(y, x);
  CHECK(y.dtype() == f32);
  sum(y * 3.0).backward();
  CHECK(x.grad().item() == 18);
  CHECK(x.grad().dtype() == f64);
}

TEST_CASE("in place: a saved tensor that was changed is an error in backward, naming operation, shape and versions") {
  Tensor x = leaf({1, 2}), y = x * 2.0, z = y * y;
  add_(y, 1.0);
  CHECK_THROWS_WITH_AS(sum(z).backward(),
                       "backward: a tensor that mul saved, of shape [2], was changed in place afterwards (version 1, saved at 0)",
                       AutogradError);
  Tensor e = exp(x);
  {
    NoGrad off;
    Tensor first = slice(e, 0, 0, 1);
    zero_(first);
  }
  CHECK_THROWS_AS(sum(e * 1.0).backward(), AutogradError);
  Tensor w = leaf({1, 2}), s = sum(w * w);
  {
    NoGrad off;
    add_(w, 1.0);
  }
  CHECK_THROWS_AS(s.backward(), AutogradError);
  Tensor u = x * 2.0, v = u + u;  // add saves nothing: no error
  add_(u, 1.0);
  CHECK_NOTHROW(sum(v).backward());
}

TEST_CASE("in place: a leaf that requires a gradient is refused, and so are its views, but not under NoGrad; nothing is written") {
  Tensor x = leaf({1, 2}), view = slice(x, 0, 0, 1);
  const char* message = "add_: a leaf that requires a gradient cannot be changed in place; do it under NoGrad";
  CHECK_THROWS_WITH_AS(add_(x, 1.0), message, AutogradError);
  CHECK_THROWS_WITH_AS(add_(view, x.detach()), message, AutogradError);
  CHECK_THROWS_AS(fill_(x, 1.0), AutogradError);
  CHECK_THROWS_AS(copy_(x, x * 2.0), AutogradError);
  CHECK(to_vector(x) == Values{1, 2});
  CHECK(x.version() == 0);
  NoGrad off;
  add_(view, 1.0);
  CHECK(to_vector(x) == Values{2, 2});
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
}

TEST_CASE("in place: expanded tensors and values that do not fit are refused before anything is written") {
  Tensor base = tensor({1.0, 2.0}), wide = expand(base, {3, 2});
  CHECK_THROWS_WITH_AS(add_(wide, 1.0),
                       "add_: cannot write to a tensor whose elements overlap (an expanded one, overlapping windows); clone it first",
                       AutogradError);
  CHECK_THROWS_WITH_AS(add_(base, ones({3, 2})), "add_: [3, 2] does not fit into [2]", ShapeError);
  CHECK_THROWS_AS(copy_(base, ones({3})), ShapeError);
  CHECK(to_vector(base) == Values{1, 2});
}

TEST_CASE("in place: views whose elements overlap are refused, views whose strides only interlock are written") {
  Tensor base = zeros({13}, f64);
  for (const Tensor& view : {as_strided(base, {3, 3}, {2, 1}, 0), as_strided(base, {4, 3}, {2, 3}, 0) /* 3 · 2 = 2 · 3 */,
                             as_strided(base, {2, 3}, {1, 1}, 4), sliding_window(base, 0, 3, 2)}) {
    Tensor overlapping = view;
    CHECK_THROWS_AS(add_(overlapping, 1.0), AutogradError);
    CHECK_THROWS_AS(fill_(overlapping, 1.0), AutogradError);
    CHECK_THROWS_AS(copy_(overlapping, ones(overlapping.shape(), f64)), AutogradError);
  }
  CHECK(to_vector(base) == Values(13, 0));
  Tensor interlocked = as_strided(base, {3, 2}, {2, 3}, 0), windows = sliding_window(base, 0, 3, 3);  // places 0 3 2 5 4 7
  add_(interlocked, 1.0);
  CHECK(to_vector(base) == Values{1, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0});
  add_(windows, 1.0);
  CHECK(to_vector(base) == Values{2, 1, 2, 2, 2, 2, 1, 2, 1, 1, 1, 1, 0});
}

TEST_CASE("in place: a part of the written tensor that broadcasts over it is read before it is written") {
  for (bool recorded : {false, true}) {
    Tensor x = leaf({1, 2, 3, 4}), y = reshape(recorded ? x * 1.0 : x.detach() * 1.0, {2, 2});
    add_(y, slice(y, 0, 0, 1));
    CHECK(to_vector(y) == Values{2, 4, 4, 6});
    mul_(y, slice(y, 1, 0, 1));
    CHECK(to_vector(y) == Values{4, 8, 16, 24});
  }
}

TEST_CASE("in place: a result that is a view of memory of its operation's own keeps its gradient where it was not written") {
  Tensor x = leaf({3, 1, 2, 5}), best = topk(x, 2).values, part = slice(best, 0, 0, 1), nothing = slice(best, 0, 2, 2);
  fill_(nothing, 7.0);
  fill_(part, 4.0);
  mul_(best, 2.0);
  CHECK(to_vector(best) == Values{8, 6});
  sum(best * best).backward();
  CHECK(to_vector(x.grad()) == Values{24, 0, 0, 0});  // d (2 · 3)² = 4 · 2 · 3
  x.zero_grad();
  Tensor middle = kthvalue(x, 2, 0, true).values;
  mul_(middle, 3.0);
  sum(middle).backward();
  CHECK(to_vector(x.grad()) == Values{0, 0, 3, 0});
}

TEST_CASE("in place: detach shares the elements; a write there is noticed by what was saved") {
  Tensor x = leaf({1, 2}), y = x * 1.0, z = y * y, d = y.detach();
  mul_(d, 2.0);
  CHECK(to_vector(y) == Values{2, 4});
  CHECK_THROWS_AS(sum(z).backward(), AutogradError);
}

TEST_CASE("in place: requires_grad of a plain tensor begins with a recorded write, as its views'") {
  Tensor x = leaf({5}), plain = zeros({2}, f64), view = slice(plain, 0, 1, 2);
  CHECK_FALSE(plain.requires_grad());
  Tensor first = slice(plain, 0, 0, 1);
  copy_(first, x);
  CHECK(plain.requires_grad());
  CHECK(view.requires_grad());
  sum(plain * view).backward();
  CHECK(x.grad().item() == 0);
}

TEST_CASE("in place: a view that was made without recording is of its base all the same") {
  Tensor w = leaf({1, 2}), h = exp(w) + 0, v;
  {
    NoGrad off;
    v = slice(h, 0, 0, 1);
  }
  mul_(v, 10);
  sum(h).backward();
  CHECK(to_vector(w.grad())[0] == doctest::Approx(10 * std::exp(1.0)));
  CHECK(to_vector(w.grad())[1] == doctest::Approx(std::exp(2.0)));
  {
    NoGrad off;
    v = slice(w, 0, 0, 1);
  }
  CHECK_THROWS_AS(fill_(v, 7), AutogradError);
  CHECK_THROWS_AS(masked_fill_(v, v > 0, 7), AutogradError);
  CHECK(to_vector(w) == Values{1, 2});
}

TEST_CASE("in place: what cannot be recorded is refused before anything is written") {
  Tensor p = leaf({1, 2}), base = transpose(ones({2, 3}, f64), 0, 1).detach(), row = select(base, 0, 0);
  CHECK_THROWS_AS(copy_(row, p * 5), AutogradError);
  CHECK(to_vector(base) == Values(6, 1));
}
