// Writing in place. Every number is read before any is written, as if by the plain operation and an assignment.
#include "ops/pointwise.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

using N = const Number&;

// What may be written: numbers of the program's own, each in a place of its own, that no derivative has kept.
void check_target(const Plain& x) { require(x.floating() && !x.memory->input && !x.memory->kept && apart(x), "cannot be written"); }

void write(const Plain& x, const std::function<Number(const Index&)>& f) {
  check_target(x);
  std::vector<Number> values;
  for_each(x.shape, [&](const Index& i) { values.push_back(stored(f(i), x.dtype)); });
  for (size_t k = 0; k < values.size(); ++k) x.memory->numbers[x.places[k]] = values[k];
}

Operation writing(const std::string& name, void (*engine)(Tensor&, const Tensor&), Number (*rule)(N, N)) {
  return {name, 2, [](Dice&, const Plains& x, Instruction&) { check_target(x[0]); },
          [rule](const Plains& x, const Instruction&) {
            require(broadcast(x[0].shape, x[1].shape) == x[0].shape, "a larger value");
            if (x[1].memory != x[0].memory) x[1].memory->kept = true;  // by the derivative of what it is multiplied with
            write(x[0], [&](const Index& i) { return rule(at(x[0], i), stored(at_broadcast(x[1], i), x[0].dtype)); });
            return x[0];
          },
          [engine](const Tensors& x, const Instruction&) {
            Tensor target = x[0];
            engine(target, x[1]);
            return target;
          },
          name + "($0, $1)", false, true};
}
Operation writing_number(const std::string& name, void (*engine)(Tensor&, double), Number (*rule)(N, double), const std::string& code) {
  return {name, 1, [](Dice& dice, const Plains& x, Instruction& i) {
            check_target(x[0]);
            i.r = {std::round(dice.uniform(-2, 2) * 8) / 8};
          },
          [rule](const Plains& x, const Instruction& i) {
            write(x[0], [&](const Index& k) { return rule(at(x[0], k), i.r[0]); });
            return x[0];
          },
          [engine](const Tensors& x, const Instruction& i) {
            Tensor target = x[0];
            engine(target, i.r[0]);
            return target;
          },
          code, false, true};
}

}  // namespace

std::vector<Operation> writing_operations() {
  return {
      writing("add_", [](Tensor& a, const Tensor& b) { add_(a, b); }, [](N a, N b) { return a + b; }),
      writing("sub_", sub_, [](N a, N b) { return a - b; }),
      writing("mul_", [](Tensor& a, const Tensor& b) { mul_(a, b); }, [](N a, N b) { return a * b; }),
      writing("div_", div_, [](N a, N b) { return a / b; }),
      writing("copy_", copy_, [](N, N b) { return b; }),
      writing_number("add_ number", [](Tensor& a, double c) { add_(a, c); }, [](N a, double c) { return a + c; }, "add_($0, %0)"),
      writing_number("mul_ number", [](Tensor& a, double c) { mul_(a, c); }, [](N a, double c) { return c * a; }, "mul_($0, %0)"),
      writing_number("fill_", [](Tensor& a, double c) { fill_(a, c); }, [](N, double c) { return constant(c); }, "fill_($0, %0)"),
      {"masked_fill_", 2,
       [](Dice&, const Plains& x, Instruction& i) {
         check_target(x[0]);
         require(x[1].dtype == boolean, "takes a mask");
         i.r = {0.25};
       },
       [](const Plains& x, const Instruction& i) {
         require(broadcast(x[0].shape, x[1].shape) == x[0].shape, "a larger mask");
         write(x[0], [&](const Index& k) { return at_broadcast(x[1], k).v != 0 ? constant(i.r[0]) : at(x[0], k); });
         return x[0];
       },
       [](const Tensors& x, const Instruction& i) {
         Tensor target = x[0];
         masked_fill_(target, x[1], i.r[0]);
         return target;
       },
       "masked_fill_($0, $1, %0)", false, true},
  };
}

}  // namespace plumb::programs
