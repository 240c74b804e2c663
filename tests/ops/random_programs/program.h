// A program: inputs, and operations on earlier values. It can be drawn, run by the engine and by the plain interpreter, and printed as
// code.
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "tests/ops/random_programs/plain.h"

namespace plumb::programs {

/// Random choices.
class Dice {
 public:
  explicit Dice(uint64_t seed) : generator_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(generator_.next_below(static_cast<uint64_t>(n))); }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }  ///< both included
  double uniform(double low, double high) { return low + (high - low) * generator_.next_double(); }
  bool chance(double p) { return generator_.next_double() < p; }

 private:
  Generator generator_;
};

struct Operation;

/// One operation on values of the program: the inputs come first, then the result of each instruction.
struct Instruction {
  const Operation* operation = nullptr;
  std::vector<int> arguments;
  Index n;                 ///< whole numbers: dimensions, sizes, places
  std::vector<double> r;   ///< other numbers
  DType dtype = f64;       ///< of a conversion
};

using Plains = std::vector<Plain>;
using Tensors = std::vector<Tensor>;

struct Operation {
  std::string name;
  int takes = 1;
  /// Draws the numbers. Throws Unsuitable if the operation does not take these arguments.
  std::function<void(Dice&, const Plains& x, Instruction&)> draw;
  std::function<Plain(const Plains& x, const Instruction&)> plain;
  std::function<Tensor(const Tensors& x, const Instruction&)> engine;
  /// The call: $0, $1 … are the arguments, #0, #1 … the whole numbers, #* all of them, #2* all from the third on, %0 … the others, @ the
  /// type.
  std::string code;
  bool keeps = true;    ///< its derivative needs numbers that it read or made, which must not be overwritten afterwards
  bool writes = false;  ///< overwrites its first argument, which is also its result
};

enum class Layout {
  contiguous,
  transposed,
  strided
};  ///< of an input: the last two dimensions stored swapped; every second place of a longer memory

struct Input {
  Index shape;
  DType dtype = f64;
  Layout layout = Layout::contiguous;
  std::vector<double> values;   ///< exact in the type
  std::vector<double> a, b;     ///< the directions of the derivatives, for floating types
};

struct Program {
  std::vector<Input> inputs;
  std::vector<Instruction> instructions;
  std::vector<int> outputs;  ///< floating values; the loss is Σ over them of ⟨output, weights⟩ with weights from 0.5 to 1.5
};

/// All operations that programs are drawn from.
std::vector<Operation> all_operations();
std::vector<Operation> pointwise_operations();
std::vector<Operation> view_operations();
std::vector<Operation> reduce_operations();
std::vector<Operation> moving_operations();
std::vector<Operation> matrix_operations();
std::vector<Operation> network_operations();
std::vector<Operation> transform_operations();
std::vector<Operation> writing_operations();

/// The program in C++, as it could stand in a test.
std::string code_of(const Program& program);

/// The plain interpreter: values in order. Throws Unsuitable for a program that cannot be checked.
class Interpreter {
 public:
  explicit Interpreter(const std::vector<Input>& inputs);
  /// Runs one more instruction.
  void run(const Instruction& instruction);
  const Plains& values() const { return values_; }
  /// The loss of these outputs.
  Number loss(const std::vector<int>& outputs) const;

 private:
  Plains values_;
};
Plains interpret(const Program& program);

/// The values that no instruction uses, which are floating: natural outputs.
std::vector<int> unused_values(const Program& program, const Plains& values);

/// A program of 1 to 30 operations.
Program draw_program(uint64_t seed, const std::vector<Operation>& operations);

/// What is wrong with the engine's values, gradient or Hessian-vector product; empty if nothing is. `checked` counts what was compared.
struct Checks {
  int64_t programs = 0, values = 0, gradients = 0, second = 0, typed = 0;
};
std::string failure_of(const Program& program, Checks* checked = nullptr);

/// The smallest program found that still fails.
Program shrunk(const Program& program);

}  // namespace plumb::programs
