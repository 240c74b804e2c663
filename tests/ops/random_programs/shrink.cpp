// Failing programs made smaller as long as they fail: fewer outputs and instructions, plainer inputs.
#include <algorithm>
#include <set>

#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

int inputs_of(const Program& p) { return static_cast<int>(p.inputs.size()); }

// Every mention of a value, renamed; values from `first` on.
template <typename F>
void rename(Program& p, F&& renamed) {
  for (Instruction& i : p.instructions)
    for (int& k : i.arguments) k = renamed(k);
  for (int& k : p.outputs) k = renamed(k);
}

// Without instruction k, whose result is now value `instead` (an earlier one).
Program without_instruction(Program p, int k, int instead) {
  int gone = inputs_of(p) + k;
  p.instructions.erase(p.instructions.begin() + k);
  rename(p, [&](int v) { return v == gone ? instead : v > gone ? v - 1 : v; });
  return p;
}

// Without input k, which nothing uses.
Program without_input(Program p, int k) {
  p.inputs.erase(p.inputs.begin() + k);
  rename(p, [&](int v) { return v > k ? v - 1 : v; });
  return p;
}
bool uses(const Program& p, int value) {
  if (std::find(p.outputs.begin(), p.outputs.end(), value) != p.outputs.end()) return true;
  return std::any_of(p.instructions.begin(), p.instructions.end(),
                     [&](const Instruction& i) { return std::find(i.arguments.begin(), i.arguments.end(), value) != i.arguments.end(); });
}

// With the result of instruction k given as an input, of the values that it had.
Program with_result_given(Program p, int k) {
  Interpreter machine(p.inputs);
  for (int i = 0; i <= k; ++i) machine.run(p.instructions[static_cast<size_t>(i)]);
  const Plain& x = machine.values().back();
  Input input{x.shape, x.dtype, Layout::contiguous, {}, {}, {}};
  for (size_t place : x.places) {
    input.values.push_back(x.memory->numbers[place].v);
    auto n = static_cast<double>(input.values.size());
    input.a.push_back(std::sin(2 * n + 1));
    input.b.push_back(std::cos(3 * n));
  }
  input.values = to_vector(to(from_vector(input.values), x.dtype));
  int place = inputs_of(p);
  rename(p, [&](int v) { return v >= place ? v + 1 : v; });
  p.inputs.push_back(std::move(input));
  return without_instruction(std::move(p), k, place);
}

// With every dimension of size `from` of the inputs cut to `to`.
Program with_smaller_size(Program p, int64_t from, int64_t to) {
  for (Input& input : p.inputs) {
    Input cut{input.shape, input.dtype, input.layout, {}, {}, {}};
    for (int64_t& size : cut.shape)
      if (size == from) size = to;
    for_each(cut.shape, [&](const Index& i) {
      size_t k = ordinal(input.shape, i);
      cut.values.push_back(input.values[k]);
      cut.a.push_back(input.a[k]);
      cut.b.push_back(input.b[k]);
    });
    input = std::move(cut);
  }
  return p;
}

class Shrinker {
 public:
  explicit Shrinker(const Program& p) : best_(p) {}

  Program run() {
    bool smaller = true;
    while (smaller && left_ > 0) {
      smaller = false;
      for (auto step : {&Shrinker::outputs, &Shrinker::instructions, &Shrinker::inputs, &Shrinker::sizes, &Shrinker::values})
        if ((this->*step)()) smaller = true;
    }
    return best_;
  }

 private:
  bool try_instead(const Program& candidate) {
    if (left_-- <= 0) return false;
    if (candidate.outputs.empty() || failure_of(candidate).empty()) return false;
    best_ = candidate;
    return true;
  }
  template <typename Make>
  bool try_made(Make&& make) {
    try {
      return try_instead(make());
    } catch (const std::exception&) {  // cannot be made
      return false;
    }
  }

  // One output, which may be any earlier result; what comes after it is left out.
  bool outputs() {
    int inputs = inputs_of(best_), results = static_cast<int>(best_.instructions.size());
    for (int k = 0; k < results; ++k) {
      if (best_.outputs == std::vector<int>{inputs + k} && k == results - 1) return false;
      Program p = best_;
      p.outputs = {inputs + k};
      p.instructions.resize(static_cast<size_t>(k) + 1);
      if (try_instead(p)) return true;
      p = best_;  // writes that come after it may matter
      p.outputs = {inputs + k};
      if (best_.outputs.size() > 1 && try_instead(p)) return true;
    }
    return false;
  }

  bool instructions() {
    bool changed = false;
    for (int k = static_cast<int>(best_.instructions.size()) - 1; k >= 0; --k) {
      std::vector<int> arguments = best_.instructions[static_cast<size_t>(k)].arguments;
      bool gone = !uses(best_, inputs_of(best_) + k) && try_instead(without_instruction(best_, k, -1));
      for (size_t a = 0; !gone && a < arguments.size(); ++a) gone = try_made([&] { return without_instruction(best_, k, arguments[a]); });
      gone = gone || try_made([&] { return with_result_given(best_, k); });
      changed = changed || gone;
    }
    return changed;
  }

  bool inputs() {
    bool changed = false;
    for (int k = inputs_of(best_) - 1; k >= 0; --k)
      if (!uses(best_, k) && best_.inputs.size() > 1) changed = try_instead(without_input(best_, k)) || changed;
    for (size_t k = 0; k < best_.inputs.size(); ++k) {
      Program p = best_;
      Input& x = p.inputs[k];
      if (x.layout != Layout::contiguous) {
        x.layout = Layout::contiguous;
        changed = try_instead(p) || changed;
      }
      p = best_;
      if (is_floating(p.inputs[k].dtype) && p.inputs[k].dtype != f64) {
        p.inputs[k].dtype = f64;
        changed = try_instead(p) || changed;
      }
    }
    return changed;
  }

  bool sizes() {
    std::set<int64_t> sizes;
    for (const Input& input : best_.inputs) sizes.insert(input.shape.begin(), input.shape.end());
    for (int64_t from : sizes)
      for (int64_t to = 1; to < from; ++to)
        if (try_made([&] { return with_smaller_size(best_, from, to); })) return true;
    return false;
  }

  // Numbers that are easy to read.
  bool values() {
    bool changed = false;
    for (size_t k = 0; k < best_.inputs.size(); ++k) {
      Program p = best_;
      for (double& v : p.inputs[k].values) v = std::round(v * 4) / 4;
      if (p.inputs[k].values != best_.inputs[k].values) changed = try_instead(p) || changed;
    }
    return changed;
  }

  Program best_;
  int left_ = 3000;  // evaluations
};

}  // namespace

Program shrunk(const Program& program) { return Shrinker(program).run(); }

}  // namespace plumb::programs
