// Random programs of 1 to 30 operations: values, gradients and Hessian-vector products of the engine against a plain interpreter that
// differentiates forwards, and against differences. PLUMB_PROGRAMS says how many (nightly: 20,000), and
// PLUMB_PROGRAM_SEED the seed of the first; the next have the seeds after it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

using namespace plumb;
using namespace plumb::programs;

namespace {

// A number of the environment, which must be one.
int64_t from_environment(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  if (!text) return otherwise;
  char* end = nullptr;
  int64_t value = std::strtoll(text, &end, 10);
  REQUIRE_MESSAGE((end != text && *end == 0 && value >= 0), variable << " is no number: " << text);
  return value;
}

// The first program that fails, shrunk; without instructions if none of them does.
Program first_failure(const std::vector<Operation>& operations, int programs) {
  for (int seed = 0; seed < programs; ++seed) {
    Program p = draw_program(static_cast<uint64_t>(seed), operations);
    if (!failure_of(p).empty()) return shrunk(p);
  }
  return {};
}

Operation planted(const std::string& name, Tensor (*engine)(const Tensors&, const Instruction&),
                  Plain (*plain)(const Plains&, const Instruction&), bool keeps = true) {
  return {
      name,  1,      [](Dice&, const Plains& x, Instruction&) { require(x[0].floating() && x[0].rank() > 0, "takes floating numbers"); },
      plain, engine, name + "($0)",
      keeps};
}

}  // namespace

TEST_CASE("random programs: the engine agrees with the interpreter and with differences") {
  const int64_t programs = from_environment("PLUMB_PROGRAMS", 2000), first = from_environment("PLUMB_PROGRAM_SEED", 0);
  REQUIRE(programs > 0);
  const std::vector<Operation> operations = all_operations();
  Checks checks;
  std::map<std::string, int64_t> drawn;
  int64_t longest = 0, instructions = 0, failures = 0;
  for (int64_t seed = first; seed < first + programs && failures < 3; ++seed) {
    Program p = draw_program(static_cast<uint64_t>(seed), operations);
    longest = std::max(longest, static_cast<int64_t>(p.instructions.size()));
    instructions += static_cast<int64_t>(p.instructions.size());
    for (const Instruction& i : p.instructions) ++drawn[i.operation->name];
    if (std::string wrong = failure_of(p, &checks); !wrong.empty()) {
      ++failures;
      Program small = shrunk(p);
      FAIL_CHECK("program " << seed << ": " << wrong << "\nshrunk, " << failure_of(small) << ":\n" << code_of(small));
    }
  }
  if (failures > 0) return;
  MESSAGE(checks.programs << " programs of " << instructions << " operations: " << checks.values << " values, " << checks.gradients
                          << " gradients, " << checks.second << " with second derivatives, " << checks.typed
                          << " in their own types as well");
  if (programs < 2000) return;
  CHECK(checks.programs == programs);
  CHECK(checks.gradients > programs * 9 / 10);
  CHECK(checks.second > programs / 2);
  CHECK(checks.typed > programs / 2);
  CHECK(longest == 30);
  for (const Operation& operation : operations) CHECK_MESSAGE(drawn[operation.name] > 0, operation.name << " was never drawn");
}

TEST_CASE("random programs: a planted wrong derivative is found and shrunk to the operation that has it") {
  std::vector<Operation> operations = all_operations();
  // Right for positive numbers, of the wrong sign for negative ones.
  operations.push_back(planted(
      "planted_sine",
      [](const Tensors& x, const Instruction&) {
        return record("planted_sine", sin(x[0].detach()), {x[0]}, saving(x[0]),
                      [](const Grads& dy, const Saved& s, Needs) -> Grads { return {dy[0] * cos(s[0]) * sign(s[0])}; });
      },
      [](const Plains& x, const Instruction&) { return fresh(x[0].dtype, x[0].shape, [&](const Index& i) { return sin(at(x[0], i)); }); }));
  Program p = first_failure(operations, 3000);
  CHECK(p.inputs.size() == 1);
  CHECK(p.instructions.size() == 1);
  std::string code = code_of(p);
  INFO(code);
  CHECK(code.find("planted_sine(x0)") != std::string::npos);
  CHECK(std::count(code.begin(), code.end(), '\n') <= 4);
  CHECK(failure_of(p).find("derivative along a direction") != std::string::npos);
}

TEST_CASE("random programs: a planted wrong second derivative, a wrong value and a result that shares memory are found") {
  using Engine = Tensor (*)(const Tensors&, const Instruction&);
  auto copy = [](const Plains& x, const Instruction&) {
    return fresh(x[0].dtype, x[0].shape, [&](const Index& i) { return at(x[0], i); });
  };
  auto square = [](const Plains& x, const Instruction&) {
    return fresh(x[0].dtype, x[0].shape, [&](const Index& i) { return at(x[0], i) * at(x[0], i); });
  };
  Engine cut = [](const Tensors& x, const Instruction&) {  // d(x²) = 2x dx, with the x of the derivative taken as a constant
    return record("planted", x[0].detach() * x[0].detach(), {x[0]}, saving(x[0]),
                  [](const Grads& dy, const Saved& s, Needs) -> Grads { return {dy[0] * s[0].detach() * 2.0}; });
  };
  Engine last_row = [](const Tensors& x, const Instruction&) {
    return x[0].size(0) > 1 && x[0].rank() == 2 ? flip(x[0], {0}) : clone(x[0]);
  };
  Engine itself = [](const Tensors& x, const Instruction&) { return x[0]; };
  struct Case {
    Engine engine;
    Plain (*plain)(const Plains&, const Instruction&);
    bool keeps;
    const char* message;
    size_t most;  // instructions of the shrunk program
  };
  for (const Case& c :
       {Case{cut, square, true, "second derivative", 1}, Case{last_row, copy, false, "", 1}, Case{itself, copy, false, "", 3}}) {
    std::vector<Operation> operations = all_operations();
    operations.push_back(planted("planted", c.engine, c.plain, c.keeps));
    Program p = first_failure(operations, 6000);
    INFO(code_of(p));
    CHECK(p.instructions.size() >= 1);
    CHECK(p.instructions.size() <= c.most);
    CHECK(std::any_of(p.instructions.begin(), p.instructions.end(), [](const Instruction& i) { return i.operation->name == "planted"; }));
    CHECK(failure_of(p).find(c.message) != std::string::npos);
  }
}

TEST_CASE("random programs: a program prints as code") {
  std::vector<Operation> operations = all_operations();
  auto named = [&](const std::string& name) {
    return &*std::find_if(operations.begin(), operations.end(), [&](const Operation& o) { return o.name == name; });
  };
  Program p;
  p.inputs = {{{2, 1}, f64, Layout::contiguous, {0.5, -1}, {1, 0}, {0, 1}}, {{2}, bf16, Layout::strided, {2, 0.25}, {1, 0}, {0, 1}}};
  p.instructions = {{named("mul"), {0, 1}, {}, {}, f64},
                    {named("sum"), {2}, {1, -1}, {}, f64},
                    {named("add_ number"), {3}, {}, {2}, f64},
                    {named("to"), {4}, {}, {}, f32}};
  p.outputs = {5};
  CHECK(code_of(p) ==
        "Tensor x0 = to(from_vector(std::vector<double>{0.5, -1}, {2, 1}), f64);\nx0.requires_grad_();\n"
        "Tensor x1 = to(from_vector(std::vector<double>{2, 0.25}, {2}), bf16);\nx1 = select(stack({x1, x1}, -1), -1, "
        "0).detach();\nx1.requires_grad_();\n"
        "Tensor v0 = mul(x0, x1);\nTensor v1 = sum(v0, {-1}, 1);\nadd_(v1, 2.0);\nTensor v3 = to(v1, f32);\n"
        "Tensor loss = sum(to(v3, f64) * reshape(linspace(0.5, 1.5, v3.numel(), f64), v3.shape()));\n");
  CHECK(failure_of(p).empty());
  Plains values = interpret(p);  // (0.5 · 2 + 0.5 · 0.25 + 2, −2 − 0.25 + 2)
  CHECK(at(values[5], {0, 0}).v == 3.125);
  CHECK(at(values[5], {1, 0}).v == -0.25);
  CHECK(at(values[5], {0, 0}).a == 2.25 + 0.5);  // x0 moves by (1, 0), x1 by (1, 0)
}
