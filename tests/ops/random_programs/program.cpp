// Programs run by the plain interpreter, and printed.
#include "tests/ops/random_programs/program.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace plumb::programs {

std::vector<Operation> all_operations() {
  std::vector<Operation> all = pointwise_operations();
  for (auto more : {view_operations, reduce_operations, moving_operations, matrix_operations, network_operations, transform_operations,
                    writing_operations})
    for (Operation& operation : more()) all.push_back(std::move(operation));
  return all;
}

namespace {

// Where an input's elements lie in its memory.
std::vector<size_t> places_of(const Input& input) {
  std::vector<size_t> places;
  Index stored_shape = input.shape;
  bool swapped = input.layout == Layout::transposed && stored_shape.size() >= 2;
  if (swapped) std::swap(stored_shape[stored_shape.size() - 1], stored_shape[stored_shape.size() - 2]);
  for_each(input.shape, [&](Index i) {
    if (swapped) std::swap(i[i.size() - 1], i[i.size() - 2]);
    places.push_back(ordinal(stored_shape, i) * (input.layout == Layout::strided ? 2 : 1));
  });
  return places;
}

}  // namespace

Interpreter::Interpreter(const std::vector<Input>& inputs) {
  precision = {};
  for (const Input& input : inputs) {
    Plain x{std::make_shared<Memory>(), input.shape, places_of(input), input.dtype};
    x.memory->input = true;
    x.memory->numbers.resize(2 * input.values.size());
    for (size_t k = 0; k < input.values.size(); ++k) {
      Number& number = x.memory->numbers[x.places[k]];
      number.v = input.values[k];
      if (x.floating()) number.a = input.a[k], number.b = input.b[k];
    }
    values_.push_back(std::move(x));
  }
}

void Interpreter::run(const Instruction& instruction) {
  const Operation& operation = *instruction.operation;
  Plains x;
  DType widest = boolean;
  for (int k : instruction.arguments) {
    x.push_back(values_.at(static_cast<size_t>(k)));
    widest = joined(widest, x.back().dtype);
  }
  // 16-bit types are computed in f32, and stored() rounds to the type.
  precision.unit = is_floating(widest) ? std::min(unit_of(widest), 0x1p-24) : 0;
  Plain y = operation.plain(x, instruction);
  if (operation.keeps)
    for (const Plain& p : x) p.memory->kept = true;
  if (operation.keeps) y.memory->kept = true;
  values_.push_back(std::move(y));
}

Number Interpreter::loss(const std::vector<int>& outputs) const {
  precision.unit = 0x1p-53;
  std::vector<Number> terms;
  for (int k : outputs) {
    const Plain& y = values_.at(static_cast<size_t>(k));
    auto n = static_cast<double>(y.places.size());
    for (size_t p = 0; p < y.places.size(); ++p) {
      double weight = n == 1 ? 0.5 : 0.5 + static_cast<double>(p) / (n - 1);
      terms.push_back(weight * y.memory->numbers[y.places[p]]);
    }
  }
  return total(terms);
}

Plains interpret(const Program& program) {
  Interpreter machine(program.inputs);
  for (const Instruction& i : program.instructions) machine.run(i);
  return machine.values();
}

std::vector<int> unused_values(const Program& program, const Plains& values) {
  std::vector<bool> used(values.size(), false);
  size_t inputs = program.inputs.size();
  for (size_t k = 0; k < program.instructions.size(); ++k)
    for (int argument : program.instructions[k].arguments) used[static_cast<size_t>(argument)] = true;
  std::vector<int> unused;
  for (size_t k = inputs; k < values.size(); ++k)
    if (!used[k] && values[k].floating() && !values[k].places.empty()) unused.push_back(static_cast<int>(k));
  return unused;
}

namespace {

// The name of a value: x0 … for inputs, v0 … for results; what is written in place keeps its name.
std::string name_of(const Program& program, int value) {
  auto k = static_cast<size_t>(value), inputs = program.inputs.size();
  if (k < inputs) return fmt::format("x{}", k);
  const Instruction& made = program.instructions[k - inputs];
  return made.operation->writes ? name_of(program, made.arguments[0]) : fmt::format("v{}", k - inputs);
}

std::string call_of(const Program& program, const Instruction& i) {
  std::string out;
  const std::string& code = i.operation->code;
  for (size_t p = 0; p < code.size(); ++p) {
    char next = p + 1 < code.size() ? code[p + 1] : ' ';
    bool digit = next >= '0' && next <= '9';
    auto d = static_cast<size_t>(next - '0');
    if (code[p] == '$' && digit) out += name_of(program, i.arguments[d]), ++p;
    else if (code[p] == '%' && digit) out += fmt::format("{:#}", i.r[d]), ++p;
    else if (code[p] == '#' && next == '*') out += fmt::format("{}", fmt::join(i.n, ", ")), ++p;
    else if (code[p] == '#' && digit && p + 2 < code.size() && code[p + 2] == '*')
      out += fmt::format("{}", fmt::join(i.n.begin() + static_cast<int64_t>(d), i.n.end(), ", ")), p += 2;
    else if (code[p] == '#' && digit) out += fmt::format("{}", i.n[d]), ++p;
    else if (code[p] == '@') out += name(i.dtype);
    else out += code[p];
  }
  return out;
}

std::string code_of(const Input& input, size_t k) {
  std::string shape = fmt::format("{{{}}}", fmt::join(input.shape, ", "));
  std::string text = fmt::format("Tensor x{} = to(from_vector(std::vector<double>{{{}}}, {}), {})", k, fmt::join(input.values, ", "), shape,
                                 name(input.dtype) == "bool" ? "boolean" : name(input.dtype));
  if (input.layout == Layout::transposed && input.shape.size() >= 2)
    text = fmt::format("{};\nx{} = transpose(clone(transpose(x{}, -1, -2)), -1, -2).detach()", text, k, k);
  if (input.layout == Layout::strided) text = fmt::format("{};\nx{} = select(stack({{x{}, x{}}}, -1), -1, 0).detach()", text, k, k, k);
  if (is_floating(input.dtype)) text += fmt::format(";\nx{}.requires_grad_()", k);
  return text + ";\n";
}

}  // namespace

std::string code_of(const Program& program) {
  std::string text;
  for (size_t k = 0; k < program.inputs.size(); ++k) text += code_of(program.inputs[k], k);
  for (size_t k = 0; k < program.instructions.size(); ++k) {
    const Instruction& i = program.instructions[k];
    text += i.operation->writes ? call_of(program, i) + ";\n" : fmt::format("Tensor v{} = {};\n", k, call_of(program, i));
  }
  std::vector<std::string> terms;
  for (int k : program.outputs) {
    std::string y = name_of(program, k);
    terms.push_back(fmt::format("sum(to({0}, f64) * reshape(linspace(0.5, 1.5, {0}.numel(), f64), {0}.shape()))", y));
  }
  return text + fmt::format("Tensor loss = {};\n", fmt::join(terms, " + "));
}

}  // namespace plumb::programs
