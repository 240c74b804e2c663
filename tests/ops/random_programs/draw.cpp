// Programs drawn one instruction at a time: what the interpreter finds unsuitable is drawn anew.
#include <algorithm>

#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

// Parts of one shape, so that inputs broadcast against each other; now and then something else, or nothing.
Index draw_shape(Dice& dice, const Index& whole) {
  Index shape(whole.begin() + dice.below(static_cast<int64_t>(whole.size()) + 1), whole.end());
  if (dice.chance(0.5)) shape = whole;
  for (int64_t& size : shape) {
    if (dice.chance(0.15)) size = 1;
    else if (dice.chance(0.05)) size = dice.between(1, 5);
    else if (dice.chance(0.01)) size = 0;
  }
  return shape;
}

DType draw_dtype(Dice& dice) {
  const DType types[] = {f64, f64, f64, f64, f64, f32, f32, f32, bf16, f16, i64, i32, boolean};
  return types[dice.below(13)];
}

// Values that are exact in the type; floating ones are not 0, where functions may have a kink that their first two derivatives do not see.
double draw_value(Dice& dice, DType t) {
  double v = dice.uniform(0.02, 2) * (dice.chance(0.5) ? 1 : -1);
  switch (t) {
    case DType::bf16: return std::round(v * 64) / 64;
    case DType::f16: return std::round(v * 512) / 512;
    case DType::boolean: return v > 0;
    case DType::i64:
    case DType::i32: return std::round(2 * v);
    default: return static_cast<float>(v);
  }
}

Input draw_input(Dice& dice, const Index& whole, bool floating) {
  Input input{draw_shape(dice, whole), floating ? f64 : draw_dtype(dice), static_cast<Layout>(dice.below(3)), {}, {}, {}};
  for (int64_t k = count(input.shape); k > 0; --k) {
    input.values.push_back(draw_value(dice, input.dtype));
    input.a.push_back(dice.uniform(-1, 1));
    input.b.push_back(dice.uniform(-1, 1));
  }
  return input;
}

bool comparable(const Number& loss) {
  try {
    stored(loss, f64);
    return true;
  } catch (const Unsuitable&) {
    return false;
  }
}

// Any value, the latest more often.
int draw_argument(Dice& dice, int values) {
  int recent = std::min(values, 4);
  return static_cast<int>(dice.chance(0.6) ? values - 1 - dice.below(recent) : dice.below(values));
}

bool add_instruction(Dice& dice, const Operation& operation, Interpreter& machine, Program& program) {
  Instruction i;
  i.operation = &operation;
  Plains x;
  for (int k = 0; k < i.operation->takes; ++k) {
    i.arguments.push_back(draw_argument(dice, static_cast<int>(machine.values().size())));
    x.push_back(machine.values()[static_cast<size_t>(i.arguments.back())]);
  }
  Precision before = precision;
  try {
    i.operation->draw(dice, x, i);
    machine.run(i);
    program.instructions.push_back(std::move(i));
    return true;
  } catch (const Unsuitable&) {
    precision = before;
    return false;
  }
}

}  // namespace

Program draw_program(uint64_t seed, const std::vector<Operation>& operations) {
  for (uint64_t attempt = 0;; ++attempt) {
    Dice dice(seed + attempt * 0x9E3779B97F4A7C15u);
    Program program;
    Index whole;
    for (int64_t rank = dice.between(1, 3); rank > 0; --rank) whole.push_back(dice.between(1, 4));
    int64_t inputs = dice.between(1, 4), wanted = dice.between(1, 30);
    for (int64_t k = 0; k < inputs; ++k) program.inputs.push_back(draw_input(dice, whole, k == 0));
    Interpreter machine(program.inputs);
    for (int64_t choices = 10 * wanted; choices > 0 && static_cast<int64_t>(program.instructions.size()) < wanted; --choices) {
      const Operation& operation = operations[static_cast<size_t>(dice.below(static_cast<int64_t>(operations.size())))];
      for (int tries = 8 * operation.takes; tries > 0 && !add_instruction(dice, operation, machine, program); --tries) {}
    }
    program.outputs = unused_values(program, machine.values());
    if (!program.outputs.empty() && comparable(machine.loss(program.outputs))) return program;
  }
}

}  // namespace plumb::programs
