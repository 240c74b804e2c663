// einsum as permutations, reshapes, sums and matrix products, which bring their derivatives along.
#include "ops/einsum.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// A dimension's name: a letter's character code, or −8 … −1 for those of "...", −1 the last.
using Label = int;
using Labels = std::vector<Label>;

// A tensor with a label for each dimension.
struct Labelled {
  Tensor x;
  Labels labels;
};

bool has(const Labels& labels, Label l) { return std::find(labels.begin(), labels.end(), l) != labels.end(); }
std::string text(Label l) { return l < 0 ? "..." : std::string("'") + static_cast<char>(l) + "'"; }
int64_t size_of(const Labelled& t, Label l) {
  return t.x.shape()[static_cast<int>(std::find(t.labels.begin(), t.labels.end(), l) - t.labels.begin())];
}

// One side's term: letters before and after an optional "...".
struct Term {
  Labels before, after;
  bool dots = false;
};

std::string quoted(std::string_view equation) { return "\"" + std::string(equation) + "\""; }

Term parse_term(std::string_view part, std::string_view equation) {
  Term term;
  for (size_t i = 0; i < part.size(); ++i) {
    char c = part[i];
    if (c == ' ') continue;
    if (part.substr(i, 3) == "...") {
      if (term.dots) throw ValueError("einsum: \"...\" occurs twice in one term of " + quoted(equation));
      term.dots = true;
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      (term.dots ? term.after : term.before).push_back(c);
    } else {
      throw ValueError("einsum: '" + std::string(1, c) + "' has no meaning in " + quoted(equation));
    }
  }
  return term;
}

struct Equation {
  std::vector<Term> inputs;
  Term output;
  bool explicit_output = false;
};

Equation parse(std::string_view equation) {
  Equation e;
  size_t arrow = equation.find("->");
  std::string_view left = equation.substr(0, arrow);
  for (size_t start = 0;;) {
    size_t comma = left.find(',', start);
    e.inputs.push_back(parse_term(left.substr(start, comma == std::string_view::npos ? comma : comma - start), equation));
    if (comma == std::string_view::npos) break;
    start = comma + 1;
  }
  e.explicit_output = arrow != std::string_view::npos;
  if (e.explicit_output) e.output = parse_term(equation.substr(arrow + 2), equation);
  return e;
}

Labels dot_labels(int count) {
  Labels l;
  for (int i = count; i > 0; --i) l.push_back(-i);
  return l;
}

Labels joined(const Labels& a, const Labels& b, const Labels& c = {}) {
  Labels all = a;
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), c.begin(), c.end());
  return all;
}

// x with its labels; a label that occurs twice is brought down to its diagonal.
Labelled labelled(const Term& term, const Tensor& x, size_t operand, std::string_view equation) {
  auto named = static_cast<int>(term.before.size() + term.after.size());
  if (term.dots ? x.rank() < named : x.rank() != named)
    throw ShapeError("einsum: operand " + std::to_string(operand) + " of " + quoted(equation) + " names " + std::to_string(named) +
                     " dimensions, its shape is " + to_string(x.shape()));
  Labelled t{x, joined(term.before, dot_labels(x.rank() - named), term.after)};
  for (size_t i = 0; i < t.labels.size(); ++i)
    for (size_t j = i + 1; j < t.labels.size(); ++j) {
      if (t.labels[i] != t.labels[j]) continue;
      int64_t a = t.x.shape()[static_cast<int>(i)], b = t.x.shape()[static_cast<int>(j)];
      if (a != b)
        throw ShapeError("einsum: label " + text(t.labels[i]) + " has sizes " + std::to_string(a) + " and " + std::to_string(b) +
                         " in operand " + std::to_string(operand));
      Label shared = t.labels[i];
      t.x = diagonal(t.x, 0, static_cast<int>(i), static_cast<int>(j));  // as the last dimension
      t.labels.erase(t.labels.begin() + static_cast<int64_t>(j));
      t.labels.erase(t.labels.begin() + static_cast<int64_t>(i));
      t.labels.push_back(shared);
      return labelled({t.labels, {}, false}, t.x, operand, equation);
    }
  return t;
}

// Dimensions of t in the order of `labels`, which are among its own.
Tensor ordered(const Labelled& t, const Labels& labels) {
  std::vector<int> dims;
  for (Label l : labels) dims.push_back(static_cast<int>(std::find(t.labels.begin(), t.labels.end(), l) - t.labels.begin()));
  return permute(t.x, dims);
}

Labelled summed_out(const Labelled& t, const Labels& keep) {
  std::vector<int> dims;
  Labels left;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (has(keep, t.labels[i])) left.push_back(t.labels[i]);
    else dims.push_back(static_cast<int>(i));
  }
  return dims.empty() ? t : Labelled{sum(t.x, dims), left};
}

// Labels of `a` that are (not) in `b`.
Labels filtered(const Labels& a, const Labels& b, bool in) {
  Labels l;
  std::copy_if(a.begin(), a.end(), std::back_inserter(l), [&](Label x) { return has(b, x) == in; });
  return l;
}

Shape sizes(const Labelled& t, const Labels& labels) {
  Shape s;
  for (Label l : labels) s.push_back(size_of(t, l));
  return s;
}

// Dimensions of "..." that are 1 here and larger there, expanded.
void broadcast_shared(Labelled& a, const Labelled& b) {
  Shape shape = a.x.shape();
  for (size_t i = 0; i < a.labels.size(); ++i)
    if (has(b.labels, a.labels[i]) && shape[static_cast<int>(i)] == 1) shape[static_cast<int>(i)] = size_of(b, a.labels[i]);
  a.x = expand(a.x, shape);
}

// a · b, summed over the labels that are not in `keep`: as [batch, rows, inner] · [batch, inner, columns] if there are any.
Labelled contracted(Labelled a, Labelled b, const Labels& keep) {
  a = summed_out(a, joined(keep, b.labels));
  b = summed_out(b, joined(keep, a.labels));
  broadcast_shared(a, b);
  broadcast_shared(b, a);
  Labels shared = filtered(a.labels, b.labels, true), batch = filtered(shared, keep, true), inner = filtered(shared, keep, false);
  Labels rows = filtered(a.labels, b.labels, false), columns = filtered(b.labels, a.labels, false), result = joined(batch, rows, columns);
  int64_t outer = numel(sizes(a, batch)), m = numel(sizes(a, rows)), n = numel(sizes(b, columns)), k = numel(sizes(a, inner));
  Shape shape = sizes(a, joined(batch, rows));
  for (int64_t size : sizes(b, columns)) shape.push_back(size);
  Tensor left = reshape(ordered(a, joined(batch, rows, inner)), {outer, m, k}),
         right = reshape(ordered(b, joined(batch, inner, columns)), {outer, k, n});
  if (inner.empty()) return {reshape(left * right, shape), result};
  if (!is_floating(left.dtype())) return {reshape(sum(unsqueeze(left, 3) * unsqueeze(right, 1), {2}), shape), result};
  if (batch.empty()) return {reshape(matmul(reshape(left, {m, k}), reshape(right, {k, n})), shape), result};
  return {reshape(matmul(left, right), shape), result};
}

// Equal labels must have equal sizes; those of "..." may be 1.
void check_sizes(const std::vector<Labelled>& operands) {
  for (size_t i = 0; i < operands.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      for (Label l : operands[i].labels) {
        if (!has(operands[j].labels, l)) continue;
        int64_t a = size_of(operands[j], l), b = size_of(operands[i], l);
        if (a != b && !(l < 0 && (a == 1 || b == 1)))
          throw ShapeError("einsum: label " + text(l) + " has size " + std::to_string(a) + " in operand " + std::to_string(j) + " and " +
                           std::to_string(b) + " in operand " + std::to_string(i));
      }
}

Labels output_labels(const Equation& e, const std::vector<Labelled>& operands, std::string_view equation) {
  Labels all, letters;
  int dots = 0;
  for (const Labelled& t : operands)
    for (Label l : t.labels) {
      if (l < 0) dots = std::max(dots, -l);
      else if (!has(all, l)) all.push_back(l);
    }
  if (!e.explicit_output) {
    std::string terms(equation);
    for (Label l : all)
      if (std::count(terms.begin(), terms.end(), static_cast<char>(l)) == 1) letters.push_back(l);
    std::sort(letters.begin(), letters.end());
    return joined(dot_labels(dots), letters);
  }
  letters = joined(e.output.before, e.output.after);
  for (size_t i = 0; i < letters.size(); ++i) {
    if (!has(all, letters[i]))
      throw ValueError("einsum: the output label " + text(letters[i]) + " of " + quoted(equation) + " is in no operand");
    if (std::count(letters.begin(), letters.end(), letters[i]) > 1)
      throw ValueError("einsum: the output label " + text(letters[i]) + " of " + quoted(equation) + " occurs twice");
  }
  return joined(e.output.before, e.output.dots ? dot_labels(dots) : Labels(), e.output.after);
}

}  // namespace

Tensor einsum(std::string_view equation, const std::vector<Tensor>& tensors) {
  Equation e = parse(equation);
  if (e.inputs.size() != tensors.size())
    throw ValueError("einsum: " + quoted(equation) + " has " + std::to_string(e.inputs.size()) + " operands, " +
                     std::to_string(tensors.size()) + " are given");
  DType t = tensors[0].dtype();
  for (const Tensor& x : tensors) t = promote(t, x.dtype());
  if (t == boolean) t = i64;
  std::vector<Labelled> operands;
  for (size_t i = 0; i < tensors.size(); ++i) operands.push_back(labelled(e.inputs[i], to(tensors[i], t), i, equation));
  check_sizes(operands);
  Labels output = output_labels(e, operands, equation);
  Labelled result = operands[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    Labels keep = output;
    for (size_t j = i + 1; j < operands.size(); ++j) keep = joined(keep, operands[j].labels);
    result = contracted(result, operands[i], keep);
  }
  result = summed_out(result, output);
  return to(ordered(result, output), t);
}

}  // namespace plumb
