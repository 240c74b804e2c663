// Who labels what, and the losses of what was labelled.
#include "methods/semi_supervised/fedlabel/fedlabel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "methods/common/pseudo_labels.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::fedlabel {
namespace {

using Row = const double*;

double variance_of(Row p, size_t classes) {
  double even = 1 / static_cast<double>(classes), total = 0;
  for (size_t c = 0; c < classes; ++c) total += (p[c] - even) * (p[c] - even);
  return total / static_cast<double>(classes - 1);
}

double entropy_of(Row p, size_t classes) {
  double total = 0;
  for (size_t c = 0; c < classes; ++c)
    if (p[c] > 0) total -= p[c] * std::log(p[c]);
  return total;
}

double certainty_of(Row p, size_t classes, Certainty kind) {
  return kind == Certainty::variance ? variance_of(p, classes) : 1 / (entropy_of(p, classes) + 1e-5);
}

void check(const Tensor& probabilities) {
  check_probabilities("fedlabel", probabilities);
  if (probabilities.size(1) < 2) throw ValueError("fedlabel: probabilities of one class; at least two are needed");
}

// Whose label a row takes.
bool takes_global(double global, double local, Choice choice, Generator& generator) {
  if (choice == Choice::random) return generator.next_below(2) == 0;
  return choice == Choice::certain ? global >= local : choice == Choice::global;
}

}  // namespace

Tensor certainty(const Tensor& probabilities, Certainty kind) {
  check(probabilities);
  auto p = to_vector(probabilities.detach());
  auto classes = static_cast<size_t>(probabilities.size(1));
  std::vector<double> out;
  for (size_t at = 0; at < p.size(); at += classes) out.push_back(certainty_of(&p[at], classes, kind));
  return from_vector(out);
}

PseudoLabelChoice select_pseudo_labels(const Tensor& global, const Tensor& local, double tau, Certainty kind, Choice choice,
                                       Generator* generator) {
  if (!(tau > 0 && tau <= 1)) throw ValueError(fmt::format("fedlabel: tau must lie in (0, 1], it is {}", tau));
  if (global.shape() != local.shape())
    throw ShapeError(fmt::format("fedlabel: global probabilities {}, local {}", to_string(global.shape()), to_string(local.shape())));
  NoGrad no_grad;
  auto sure_global = to_vector(certainty(global, kind)), sure_local = to_vector(certainty(local, kind));
  auto g = to_vector(global.detach()), l = to_vector(local.detach());
  auto classes = static_cast<std::ptrdiff_t>(global.size(1));
  std::vector<int64_t> index, label;
  std::vector<double> ratio;
  std::vector<int64_t> from_global, agree;
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(sure_global.size()); ++i) {
    double a = sure_global[static_cast<size_t>(i)], b = sure_local[static_cast<size_t>(i)];
    auto top_g = std::max_element(g.begin() + i * classes, g.begin() + (i + 1) * classes);
    auto top_l = std::max_element(l.begin() + i * classes, l.begin() + (i + 1) * classes);
    bool takes = takes_global(a, b, choice, generator ? *generator : default_generator());
    if (!((takes ? *top_g : *top_l) > tau)) continue;
    int64_t class_g = top_g - g.begin() - i * classes, class_l = top_l - l.begin() - i * classes;
    index.push_back(i);
    label.push_back(takes ? class_g : class_l);
    ratio.push_back(std::max(a, b) > 0 ? std::min(a, b) / std::max(a, b) : 1);
    from_global.push_back(takes);
    agree.push_back(class_g == class_l);
  }
  return {from_vector(index), from_vector(label), to(from_vector(ratio), global.dtype()), from_vector(from_global) > 0,
          from_vector(agree) > 0};
}

// KL(l ‖ q) = Σ l log l − Σ l log q
Tensor agreement_consistency(const Tensor& student_logits, const Tensor& local_probs, const Tensor& ratio, const Tensor& agree) {
  Shape rows{student_logits.rank() > 0 ? student_logits.size(0) : 0};
  if (student_logits.rank() != 2 || local_probs.shape() != student_logits.shape() || ratio.shape() != rows || agree.shape() != rows)
    throw ShapeError(fmt::format("agreement_consistency: logits {}, probabilities {}, ratios {}, agreement {}",
                                 to_string(student_logits.shape()), to_string(local_probs.shape()), to_string(ratio.shape()),
                                 to_string(agree.shape())));
  Tensor l = local_probs.detach(), weight = to(agree.detach(), student_logits.dtype());
  double count = sum(weight).item();
  if (count == 0) return zeros(Shape{}, student_logits.dtype(), student_logits.device());
  Tensor divergence = sum(xlogy(l, l) - l * log_softmax(student_logits, 1), {1});
  return sum(divergence * (weight * ratio.detach())) * (1 / count);
}

Tensor mean_proximal_penalty(const std::vector<Tensor>& parameters, const std::vector<Tensor>& reference) {
  if (parameters.size() != reference.size())
    throw ShapeError(
        fmt::format("mean_proximal_penalty: {} parameters, but {} to compare with", parameters.size(), reference.size()));
  Tensor penalty = zeros(Shape{}, parameters.empty() ? f32 : parameters[0].dtype());
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].shape() != reference[i].shape())
      throw ShapeError(fmt::format("mean_proximal_penalty: parameter {} is {}, its reference {}", i, to_string(parameters[i].shape()),
                                   to_string(reference[i].shape())));
    penalty = penalty + mean(square(parameters[i] - reference[i].detach()));
  }
  return penalty;
}

ClientSplit split_client(std::vector<int64_t> examples, double share, int64_t least, Generator& generator) {
  if (!(share > 0 && share <= 1)) throw ValueError(fmt::format("fedlabel: the labelled share must lie in (0, 1], it is {}", share));
  if (examples.empty()) throw ValueError("fedlabel: a client has no examples");
  auto n = static_cast<int64_t>(examples.size());
  if (n < least) throw ValueError(fmt::format("fedlabel: a client has {} examples, fewer than the {} that are to be labelled", n, least));
  std::vector<int64_t> shuffled;
  for (int64_t place : data::random_order(n, generator)) shuffled.push_back(examples[static_cast<size_t>(place)]);
  int64_t labelled = std::max({int64_t{1}, least, static_cast<int64_t>(share * static_cast<double>(n))});
  ClientSplit split{{shuffled.end() - labelled, shuffled.end()}, {shuffled.begin(), shuffled.end() - labelled}};
  std::ranges::sort(split.labelled);
  std::ranges::sort(split.unlabelled);
  return split;
}

}  // namespace plumb::methods::fedlabel
