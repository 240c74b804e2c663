// Element-wise operations: their rule for plain numbers beside the engine's call.
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

using N = const Number&;
using Unary = Number (*)(N);

Operation unary(const std::string& name, Tensor (*engine)(const Tensor&), Unary rule, bool keeps = true) {
  return {name,
          1,
          [](Dice&, const Plains& x, Instruction&) { require(x[0].floating(), "takes floating numbers"); },
          [rule](const Plains& x, const Instruction&) {
            return fresh(x[0].dtype, x[0].shape, [&](const Index& i) { return rule(at(x[0], i)); });
          },
          [engine](const Tensors& x, const Instruction&) { return engine(x[0]); },
          name + "($0)",
          keeps};
}

// With one number drawn from [low, high].
Operation with_number(const std::string& name, double low, double high, Tensor (*engine)(const Tensor&, double), Number (*rule)(N, double),
                      const std::string& code, bool keeps = true) {
  return {name,
          1,
          [=](Dice& dice, const Plains& x, Instruction& i) {
            require(x[0].floating(), "takes floating numbers");
            i.r = {std::round(dice.uniform(low, high) * 8) / 8};  // exact in every type
          },
          [rule](const Plains& x, const Instruction& i) {
            return fresh(x[0].dtype, x[0].shape, [&](const Index& k) { return rule(at(x[0], k), i.r[0]); });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], i.r[0]); },
          code,
          keeps};
}

enum class Takes { floating, numbers };  // one floating argument at least; or integers too

Operation binary(const std::string& name, Tensor (*engine)(const Tensor&, const Tensor&), Number (*rule)(N, N),
                 Takes takes = Takes::floating, bool keeps = true) {
  return {name,
          2,
          [takes](Dice&, const Plains& x, Instruction&) {
            bool floating = x[0].floating() || x[1].floating(), both_bool = x[0].dtype == boolean && x[1].dtype == boolean;
            require(takes == Takes::floating ? floating : !both_bool, "types that it does not take");
          },
          [rule](const Plains& x, const Instruction&) {
            return fresh(joined(x[0].dtype, x[1].dtype), broadcast(x[0].shape, x[1].shape),
                         [&](const Index& i) { return rule(at_broadcast(x[0], i), at_broadcast(x[1], i)); });
          },
          [engine](const Tensors& x, const Instruction&) { return engine(x[0], x[1]); },
          name + "($0, $1)",
          keeps};
}

Operation comparison(const std::string& sign, Tensor (*engine)(const Tensor&, const Tensor&), bool (*rule)(N, N)) {
  return {"compare " + sign, 2, [](Dice&, const Plains&, Instruction&) {},
          [rule](const Plains& x, const Instruction&) {
            return fresh(boolean, broadcast(x[0].shape, x[1].shape), [&](const Index& i) {
              N a = at_broadcast(x[0], i), b = at_broadcast(x[1], i);
              jump_at(a - b);
              return constant(rule(a, b));
            });
          },
          [engine](const Tensors& x, const Instruction&) { return engine(x[0], x[1]); }, "($0 " + sign + " $1)", false};
}

Number rounded_by(N x, double (*rule)(double), double offset) {
  jump_at(x - (std::round(x.v - offset) + offset));
  return step(rule(x.v));
}
Number hard(N x, double low, double high) {  // min(max(x, low), high)
  kink_at(x - low);
  kink_at(x - high);
  return x.v < low ? constant(low) : x.v > high ? constant(high) : x;
}
Number smooth_softplus(N x) { return x.v > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
Number softplus_of(N x) { return less(constant(20), x) ? x : smooth_softplus(x); }  // as documented: x itself beyond 20
Number normal_cdf(N x) { return 0.5 * (erf(std::sqrt(0.5) * x) + 1); }

std::vector<Operation> functions() {
  return {
      unary("neg", plumb::neg, [](N x) { return -x; }, false),
      unary("exp", plumb::exp, [](N x) { return exp(x); }),
      unary("exp2", plumb::exp2, [](N x) { return exp(std::log(2.0) * x); }),
      unary("expm1", plumb::expm1, [](N x) { return expm1(x); }),
      unary("log", plumb::log, [](N x) { return log(x); }),
      unary("log2", plumb::log2, [](N x) { return (1 / std::log(2.0)) * log(x); }),
      unary("log10", plumb::log10, [](N x) { return (1 / std::log(10.0)) * log(x); }),
      unary("log1p", plumb::log1p, [](N x) { return log1p(x); }),
      unary("sqrt", plumb::sqrt, [](N x) { return sqrt(x); }),
      unary("rsqrt", plumb::rsqrt, [](N x) { return power(x, -0.5); }),
      unary("reciprocal", plumb::reciprocal, [](N x) { return reciprocal(x); }),
      unary("square", plumb::square, [](N x) { return x * x; }),
      unary("sin", plumb::sin, [](N x) { return sin(x); }),
      unary("cos", plumb::cos, [](N x) { return cos(x); }),
      unary("tan", plumb::tan, [](N x) { return sin(x) / cos(x); }),
      unary("asin", plumb::asin, [](N x) { return asin(x); }),
      unary("acos", plumb::acos, [](N x) { return M_PI / 2 - asin(x); }),
      unary("atan", plumb::atan, [](N x) { return atan(x); }),
      unary("sinh", plumb::sinh, [](N x) { return 0.5 * (exp(x) - exp(-x)); }),
      unary("cosh", plumb::cosh, [](N x) { return 0.5 * (exp(x) + exp(-x)); }),
      unary("tanh", plumb::tanh, [](N x) { return tanh(x); }),
      unary("asinh", plumb::asinh, [](N x) { return x.v < 0 ? -log(sqrt(x * x + 1) - x) : log(x + sqrt(x * x + 1)); }),
      unary("acosh", plumb::acosh, [](N x) {
        require(x.v > 1.2, "acosh near 1");
        return log(x + sqrt(x * x - 1));
      }),
      unary("atanh", plumb::atanh, [](N x) {
        require(std::abs(x.v) < 0.9, "atanh near 1");
        return 0.5 * (log1p(x) - log1p(-x));
      }),
      unary("erf", plumb::erf, [](N x) { return erf(x); }),
      unary("erfc", plumb::erfc, [](N x) {
        require(x.v < 2, "erfc of a large number");
        return 1 - erf(x);
      }),
      unary("sigmoid", plumb::sigmoid, [](N x) { return sigmoid(x); }),
      unary("abs", plumb::abs, [](N x) { return absolute(x); }),
      unary("sign", plumb::sign, [](N x) {
        jump_at(x);
        return step(x.v > 0 ? 1 : x.v < 0 ? -1 : 0);
      }),
      unary("floor", plumb::floor, [](N x) { return rounded_by(x, std::floor, 0); }),
      unary("ceil", plumb::ceil, [](N x) { return rounded_by(x, std::ceil, 0); }),
      unary("trunc", plumb::trunc, [](N x) { return rounded_by(x, std::trunc, 0); }),
      unary("round", plumb::round, [](N x) { return rounded_by(x, std::nearbyint, 0.5); }),
      unary("relu", plumb::relu, [](N x) { return positive_part(x); }),
      unary("relu6", plumb::relu6, [](N x) { return hard(x, 0, 6); }),
      unary("gelu", [](const Tensor& x) { return gelu(x); }, [](N x) { return x * normal_cdf(x); }),
      unary("silu", plumb::silu, [](N x) { return x * sigmoid(x); }),
      unary("mish", plumb::mish, [](N x) { return x * tanh(smooth_softplus(x)); }),
      unary("softplus", [](const Tensor& x) { return softplus(x); }, [](N x) { return softplus_of(x); }),
      unary("logsigmoid", plumb::logsigmoid, [](N x) { return -smooth_softplus(-x); }),
      unary("softsign", plumb::softsign, [](N x) { return x / (absolute(x) + 1); }),
      unary("hardsigmoid", plumb::hardsigmoid, [](N x) { return (1.0 / 6) * hard(x + 3, 0, 6); }),
      unary("hardswish", plumb::hardswish, [](N x) { return x * ((1.0 / 6) * hard(x + 3, 0, 6)); }),
      unary("tanhshrink", plumb::tanhshrink, [](N x) { return x - tanh(x); }),
  };
}

std::vector<Operation> numbers() {
  return {
      with_number(
          "add number", -2, 2, [](const Tensor& x, double c) { return add(x, c); }, [](N x, double c) { return x + c; }, "add($0, %0)",
          false),
      with_number(
          "mul number", -2, 2, [](const Tensor& x, double c) { return mul(x, c); }, [](N x, double c) { return c * x; }, "mul($0, %0)",
          false),
      with_number(
          "number sub", -2, 2, [](const Tensor& x, double c) { return c - x; }, [](N x, double c) { return c - x; }, "(%0 - $0)", false),
      with_number(
          "div number", 0.5, 3, [](const Tensor& x, double c) { return div(x, c); }, [](N x, double c) { return (1 / c) * x; },
          "div($0, %0)", false),
      with_number(
          "number div", -2, 2, [](const Tensor& x, double c) { return c / x; }, [](N x, double c) { return c * reciprocal(x); },
          "(%0 / $0)"),
      with_number(
          "pow number", -2, 3, [](const Tensor& x, double c) { return pow(x, c); }, [](N x, double c) { return power(x, c); },
          "pow($0, %0)"),
      with_number(
          "number pow", 0.5, 3, [](const Tensor& x, double c) { return pow(Scalar(c), x); },
          [](N x, double c) { return exp(std::log(c) * x); }, "pow(%0, $0)"),
      with_number(
          "square by pow", 2, 2, [](const Tensor& x, double c) { return pow(x, c); }, [](N x, double) { return x * x; }, "pow($0, %0)"),
      with_number(
          "cube by pow", 3, 3, [](const Tensor& x, double c) { return pow(x, c); }, [](N x, double) { return x * x * x; }, "pow($0, %0)"),
      with_number(
          "clamp", -1, 1, [](const Tensor& x, double c) { return clamp(x, c, c + 0.5); }, [](N x, double c) { return hard(x, c, c + 0.5); },
          "clamp($0, %0, %0 + 0.5)"),
      with_number(
          "clamp_min", -1, 1, [](const Tensor& x, double c) { return clamp_min(x, c); }, [](N x, double c) { return hard(x, c, INFINITY); },
          "clamp_min($0, %0)"),
      with_number(
          "clamp_max", -1, 1, [](const Tensor& x, double c) { return clamp_max(x, c); },
          [](N x, double c) { return hard(x, -INFINITY, c); }, "clamp_max($0, %0)"),
      with_number(
          "leaky_relu", 0.125, 0.5, [](const Tensor& x, double c) { return leaky_relu(x, c); },
          [](N x, double c) { return less(x, constant(0)) ? c * x : x; }, "leaky_relu($0, %0)"),
      with_number(
          "elu", 0.5, 2, [](const Tensor& x, double c) { return elu(x, c); },
          [](N x, double c) { return less(x, constant(0)) ? c * expm1(x) : x; }, "elu($0, %0)"),
      with_number(
          "celu", 0.5, 2, [](const Tensor& x, double c) { return celu(x, c); },
          [](N x, double c) { return less(x, constant(0)) ? c * expm1((1 / c) * x) : x; }, "celu($0, %0)"),
      with_number(
          "softshrink", 0.25, 1, [](const Tensor& x, double c) { return softshrink(x, c); },
          [](N x, double c) { return positive_part(x - c) - positive_part(-x - c); }, "softshrink($0, %0)"),
      with_number(
          "hardshrink", 0.25, 1, [](const Tensor& x, double c) { return hardshrink(x, c); },
          [](N x, double c) { return less(constant(c), absolute(x)) ? x : constant(0); }, "hardshrink($0, %0)"),
      with_number(
          "softplus beta", 0.5, 3, [](const Tensor& x, double c) { return softplus(x, c); },
          [](N x, double c) { return (1 / c) * softplus_of(c * x); }, "softplus($0, %0)"),
  };
}

std::vector<Operation> pairs() {
  return {
      binary("add", [](const Tensor& a, const Tensor& b) { return add(a, b); }, [](N x, N y) { return x + y; }, Takes::numbers, false),
      binary("sub", plumb::sub, [](N x, N y) { return x - y; }, Takes::numbers, false),
      binary("mul", [](const Tensor& a, const Tensor& b) { return mul(a, b); }, [](N x, N y) { return x * y; }, Takes::numbers),
      binary("div", [](const Tensor& a, const Tensor& b) { return div(a, b); }, [](N x, N y) { return x / y; }),
      binary("maximum", plumb::maximum, [](N x, N y) { return less(x, y) ? y : x; }),
      binary("minimum", plumb::minimum, [](N x, N y) { return less(x, y) ? x : y; }),
      binary("pow", [](const Tensor& a, const Tensor& b) { return pow(a, b); }, [](N x, N y) { return exp(y * log(x)); }),
      binary("hypot", plumb::hypot, [](N x, N y) { return sqrt(x * x + y * y); }),
      binary("logaddexp", plumb::logaddexp, [](N x, N y) { return x + smooth_softplus(y - x); }),
      binary("xlogy", plumb::xlogy, [](N x, N y) { return x * log(y); }),
      binary("atan2", plumb::atan2, [](N x, N y) {
        require(y.v > 0.15, "atan2 on the left");
        return atan(x / y);
      }),
      binary("remainder", plumb::remainder, [](N x, N y) {
        Number q = x / y;
        jump_at(q - std::round(q.v));
        return x - std::floor(q.v) * y;
      }),
      comparison("<", [](const Tensor& a, const Tensor& b) { return a < b; }, [](N x, N y) { return less(x, y); }),
      comparison(">=", [](const Tensor& a, const Tensor& b) { return a >= b; }, [](N x, N y) { return !less(x, y); }),
  };
}

std::vector<Operation> choices() {
  return {
      {"where", 3,
       [](Dice&, const Plains& x, Instruction&) {
         require(x[0].dtype == boolean && x[1].floating() && x[2].floating(), "takes a condition and two floating tensors");
       },
       [](const Plains& x, const Instruction&) {
         return fresh(joined(x[1].dtype, x[2].dtype), broadcast(x[0].shape, broadcast(x[1].shape, x[2].shape)),
                      [&](const Index& i) { return at_broadcast(x[0], i).v != 0 ? at_broadcast(x[1], i) : at_broadcast(x[2], i); });
       },
       [](const Tensors& x, const Instruction&) { return where(x[0], x[1], x[2]); }, "where($0, $1, $2)", false},
      {"lerp", 3,
       [](Dice&, const Plains& x, Instruction&) {
         require(x[0].floating() && x[1].dtype == x[0].dtype && x[2].dtype == x[0].dtype, "takes one floating type");
       },
       [](const Plains& x, const Instruction&) {
         return fresh(x[0].dtype, broadcast(x[0].shape, broadcast(x[1].shape, x[2].shape)), [&](const Index& i) {
           return at_broadcast(x[0], i) + at_broadcast(x[2], i) * (at_broadcast(x[1], i) - at_broadcast(x[0], i));
         });
       },
       [](const Tensors& x, const Instruction&) { return lerp(x[0], x[1], x[2]); }, "lerp($0, $1, $2)"},
      // Under f64 for all (Instruction::dtype is f64 then) a conversion copies, so that both ways share memory alike.
      {"to", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         const DType types[] = {f64, f32, f32, bf16, f16};
         i.dtype = types[dice.below(5)];
         require(i.dtype != x[0].dtype, "of that type already");
       },
       [](const Plains& x, const Instruction& i) { return fresh(i.dtype, x[0].shape, [&](const Index& k) { return at(x[0], k); }); },
       [](const Tensors& x, const Instruction& i) { return x[0].dtype() == i.dtype ? clone(x[0]) : to(x[0], i.dtype); }, "to($0, @)",
       false},
  };
}

}  // namespace

std::vector<Operation> pointwise_operations() {
  std::vector<Operation> all = functions();
  for (auto more : {numbers, pairs, choices})
    for (Operation& operation : more()) all.push_back(std::move(operation));
  return all;
}

}  // namespace plumb::programs
