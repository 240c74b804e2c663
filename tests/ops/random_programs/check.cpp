// A program run by the engine, compared with the interpreter and with differences of the engine's own results.
#include <fmt/format.h>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

enum class Types { as_f64, as_given };  // floating types all f64, where derivatives are compared; or as the program has them

Tensor leaf_of(const Input& input, Types types, const std::vector<double>* direction, double distance) {
  std::vector<double> values = input.values;
  bool floating = is_floating(input.dtype);
  for (size_t k = 0; floating && direction && k < values.size(); ++k) values[k] += distance * (*direction)[k];
  Tensor x = to(from_vector(values, Shape(input.shape)), floating && types == Types::as_f64 ? f64 : input.dtype);
  if (input.layout == Layout::transposed && x.rank() >= 2) x = transpose(clone(transpose(x, -1, -2)), -1, -2);
  if (input.layout == Layout::strided) x = select(stack({x, x}, -1), -1, 0);
  x = x.detach();
  return floating ? x.requires_grad_() : x;
}

struct Run {
  Tensors values, leaves;  // leaves: the floating inputs
  Tensor loss;
};

Run run(const Program& program, Types types, std::vector<double> Input::*direction = nullptr, double distance = 0) {
  Run r;
  for (const Input& input : program.inputs) {
    r.values.push_back(leaf_of(input, types, direction ? &(input.*direction) : nullptr, distance));
    if (is_floating(input.dtype)) r.leaves.push_back(r.values.back());
  }
  for (const Instruction& drawn : program.instructions) {
    Instruction i = drawn;
    if (types == Types::as_f64) i.dtype = f64;
    Tensors x;
    for (int k : i.arguments) x.push_back(r.values[static_cast<size_t>(k)]);
    r.values.push_back(i.operation->engine(x, i));
  }
  r.loss = scalar_tensor(0.0, f64);
  for (int k : program.outputs) {
    const Tensor& y = r.values[static_cast<size_t>(k)];
    r.loss = r.loss + sum(to(y, f64) * reshape(linspace(0.5, 1.5, y.numel(), f64), y.shape()));
  }
  return r;
}

// Gradients in the leaves, zeros where the loss does not depend on one.
Tensors gradients(const Run& r, const Tensor& of, bool create_graph) {
  Tensors g(r.leaves.size());
  if (of.requires_grad()) g = grad({of}, r.leaves, {.create_graph = create_graph, .retain_graph = true, .allow_unused = true});
  for (size_t k = 0; k < g.size(); ++k)
    if (!g[k].defined()) g[k] = zeros_like(r.leaves[k]);
  return g;
}

// Σ g · direction over the floating inputs; `size`: the same of absolute values.
struct Product {
  double value = 0, size = 0, rounding = 0;
};
Product along(const Program& program, const Tensors& g, std::vector<double> Input::*direction) {
  Product p;
  size_t next = 0;
  for (const Input& input : program.inputs) {
    if (!is_floating(input.dtype)) continue;
    std::vector<double> slopes = to_vector(g[next++]);
    for (size_t k = 0; k < slopes.size(); ++k) {
      double term = slopes[k] * (input.*direction)[k];
      p.value += term;
      p.size += std::abs(term);
      p.rounding += std::abs(term) * unit_of(input.dtype);
    }
  }
  return p;
}

std::string shape_text(const Index& shape) { return to_string(Shape(shape)); }

std::string differing_value(const Program& program, const Plains& expected, const Tensors& got, Types types, Checks& checks) {
  for (size_t k = program.inputs.size(); k < expected.size(); ++k) {
    const Plain& e = expected[k];
    std::string which = fmt::format("the result of instruction {} ({})", k - program.inputs.size(),
                                    program.instructions[k - program.inputs.size()].operation->name);
    if (got[k].shape() != Shape(e.shape))
      return fmt::format("{} has shape {}, not {}", which, to_string(got[k].shape()), shape_text(e.shape));
    DType type = types == Types::as_f64 && e.floating() ? f64 : e.dtype;
    if (got[k].dtype() != type) return fmt::format("{} is {}, not {}", which, name(got[k].dtype()), name(type));
    std::vector<double> values = to_vector(got[k]);
    for (size_t p = 0; p < values.size(); ++p) {
      const Number& n = e.memory->numbers[e.places[p]];
      double allowed = types == Types::as_f64 ? 1e-9 * (1 + std::abs(n.v)) : 8 * n.ev;
      ++checks.values;
      if (!(std::abs(values[p] - n.v) <= allowed))
        return fmt::format("element {} of {} is {}, not {} (allowed: {:.2g})", p, which, values[p], n.v, allowed);
    }
  }
  return {};
}

std::string differing(const char* what, double got, double expected, double allowed) {
  if (std::abs(got - expected) <= allowed) return {};
  return fmt::format("{} is {}, not {} (allowed: {:.2g})", what, got, expected, allowed);
}

// (f(h) − f(−h)) / 2h by two widths: the extrapolated slope, and how far it may be off.
template <typename F>
auto slope(F&& f) {
  const double h = 1e-5;
  auto d1 = (f(h) - f(-h)) * (0.5 / h), d2 = (f(2 * h) - f(-2 * h)) * (0.25 / h);
  return std::pair((d1 * 4.0 - d2) * (1 / 3.0), d1 - d2);
}

// The gradient against the interpreter's derivatives along two directions and against differences of the loss.
std::string differing_gradient(const Program& program, const Run& r, const Tensors& g, const Number& loss, const char* how) {
  std::string what = fmt::format("the derivative along a direction ({})", how);
  Product a = along(program, g, &Input::a), b = along(program, g, &Input::b);
  std::string wrong = differing(what.c_str(), a.value, loss.a, 1e-8 * (1 + std::abs(loss.a) + a.size));
  if (wrong.empty()) wrong = differing(what.c_str(), b.value, loss.b, 1e-8 * (1 + std::abs(loss.b) + b.size));
  for (size_t k = 0; wrong.empty() && k < g.size(); ++k)
    if (g[k].shape() != r.leaves[k].shape())
      wrong = fmt::format("the gradient of an input of shape {} has shape {}", to_string(r.leaves[k].shape()), to_string(g[k].shape()));
  if (!wrong.empty()) return wrong;
  auto [s, doubt] = slope([&](double h) {
    NoGrad off;
    return run(program, Types::as_f64, &Input::a, h).loss.item();
  });
  return differing("the difference quotient of the loss", s, a.value, 1e-6 * (1 + a.size) + 2 * std::abs(doubt));
}

// H b against the interpreter's second derivative and, element by element, against differences of the gradient.
std::string differing_second(const Program& program, const Run& r, const Tensors& g, const Number& loss) {
  Tensor product = scalar_tensor(0.0, f64);
  size_t next = 0;
  for (const Input& input : program.inputs)
    if (is_floating(input.dtype)) product = product + sum(g[next++] * from_vector(input.b, Shape(input.shape)));
  Tensors h = gradients(r, product, false);
  Product a = along(program, h, &Input::a);
  std::string wrong = differing("the second derivative along both directions", a.value, loss.ab, 1e-7 * (1 + std::abs(loss.ab) + a.size));
  if (!wrong.empty()) return wrong;
  auto [slopes, doubts] = slope([&](double distance) {
    Run moved = run(program, Types::as_f64, &Input::b, distance);
    Tensors all;
    for (const Tensor& t : gradients(moved, moved.loss, false)) all.push_back(reshape(t, {-1}));
    return cat(all);
  });
  Tensors flat;
  for (const Tensor& t : h) flat.push_back(reshape(t, {-1}));
  std::vector<double> got = to_vector(cat(flat)), expected = to_vector(slopes), doubt = to_vector(doubts);
  double size = 0;
  for (double v : got) size = std::max(size, std::abs(v));
  for (size_t k = 0; wrong.empty() && k < got.size(); ++k)
    wrong = differing("an element of the Hessian-vector product", got[k], expected[k], 1e-5 * (1 + size) + 2 * std::abs(doubt[k]));
  return wrong;
}

std::string differing_in_given_types(const Program& program, const Plains& expected, const Number& loss, const Precision& rounding,
                                     Checks& checks) {
  Run r = run(program, Types::as_given);
  std::string wrong = differing_value(program, expected, r.values, Types::as_given, checks);
  if (!wrong.empty()) return "in its own types: " + wrong;
  Tensors g = gradients(r, r.loss, false);
  for (size_t k = 0; k < g.size(); ++k)
    if (g[k].dtype() != r.leaves[k].dtype())
      return fmt::format("the gradient of an input of {} is {}", name(r.leaves[k].dtype()), name(g[k].dtype()));
  Product a = along(program, g, &Input::a);
  return differing("in its own types: the derivative along a direction", a.value, loss.a,
                   8 * (loss.ea + a.rounding) + 64 * rounding.gradient_floor + 1e-9);
}

// Whether first-order bounds mean something: errors are small beside what is near a kink or bends.
bool bounded(const Plains& values) {
  for (const Plain& x : values)
    for (size_t place : x.places)
      if (x.memory->numbers[place].ev > 0.02 * (1 + std::abs(x.memory->numbers[place].v))) return false;
  return true;
}

}  // namespace

std::string failure_of(const Program& program, Checks* counted) {
  Checks none, &checks = counted ? *counted : none;
  try {
    Interpreter machine(program.inputs);
    for (const Instruction& i : program.instructions) machine.run(i);
    Precision rounding = precision;
    Number loss = stored(machine.loss(program.outputs), f64);
    Run r = run(program, Types::as_f64);
    ++checks.programs;
    std::string wrong = differing_value(program, machine.values(), r.values, Types::as_f64, checks);
    if (wrong.empty()) wrong = differing("the loss", r.loss.item(), loss.v, 1e-9 * (1 + std::abs(loss.v)));
    if (!wrong.empty()) return wrong;
    wrong = differing_gradient(program, r, gradients(r, r.loss, false), loss, "plain");
    Tensors g = gradients(r, r.loss, true);
    if (wrong.empty()) wrong = differing_gradient(program, r, g, loss, "create_graph");
    checks.gradients += r.loss.requires_grad();
    if (wrong.empty()) wrong = differing_second(program, r, g, loss);
    checks.second += loss.ab != 0;
    if (!wrong.empty()) return wrong;
    if (rounding.blurred || !bounded(machine.values())) return {};
    ++checks.typed;
    return differing_in_given_types(program, machine.values(), loss, rounding, checks);
  } catch (const Unsuitable&) {
    return {};
  } catch (const std::exception& e) {
    return std::string("the engine throws: ") + e.what();
  }
}

}  // namespace plumb::programs
