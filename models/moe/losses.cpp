// Balancing losses by their formulas.
#include "models/moe/losses.h"

#include <cmath>
#include <string>

#include "models/moe/expert_parallel.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::moe {
namespace {

const Tensor& of_gate(const char* loss, const Tensor& x, const char* what) {
  if (!x.defined()) throw ValueError(std::string(loss) + ": the router has no " + what);
  return x;
}

// CV² = σ² / μ²
Tensor squared_variation(const Tensor& x) { return var(x, {}, 0) / square(mean(x)); }

// What the experts add up over the tokens of all processes.
Tensor of_all(const Tensor& own, const Routing& r) { return r.processes ? sum_across(own, *r.processes) : own; }

Tensor normal_cdf(const Tensor& z) { return (erf(z * M_SQRT1_2) + 1.0) * 0.5; }

}  // namespace

Tensor load_balance_loss(const Routing& r) {
  Tensor p = mean(of_gate("load_balance_loss", r.probability, "gate"), {0});
  const Tensor& chosen = r.chosen_by_all.defined() ? r.chosen_by_all : r.chosen;
  Tensor f = to(chosen, p.dtype()) / to(sum(chosen), p.dtype());
  return sum(f * p) * static_cast<double>(r.experts);
}

// Not bincount, which asks for the largest number that there is, and so waits for a GPU.
Tensor importance_loss(const Routing& r) {
  Tensor importance = scatter_add(zeros({r.experts}, r.weight.dtype(), r.weight.device()), 0, to(r.expert, i64), r.weight);
  return squared_variation(of_all(importance, r));
}

Tensor load_loss(const Routing& r) {
  const Tensor& noisy = of_gate("load_loss", r.noisy_logits, "noise now; it has with --router noisy in training");
  // How many experts a token asked for, from a shape where there is one: reading a number would wait for the GPU.
  int64_t k = r.place.defined() ? r.place.size(1) : sum(r.chosen).item<int64_t>() / r.tokens;
  if (k == r.experts) return sum(r.logits) * 0.0;  // every expert takes every token
  ValuesAndIndices top = topk(noisy, k + 1);
  Tensor last_in = slice(top.values, 1, k - 1, k), first_out = slice(top.values, 1, k, k + 1);
  Tensor threshold = where(noisy >= last_in, first_out, last_in);  // the k-th largest of the others
  return squared_variation(of_all(sum(normal_cdf((r.logits - threshold) / r.noise_deviation), {0}), r));
}

Tensor router_z_loss(const Routing& r) { return mean(square(logsumexp(of_gate("router_z_loss", r.logits, "gate"), {-1}))); }

Tensor router_loss(const std::vector<Routing>& layers, const LossWeights& w) {
  Tensor total;
  auto add = [&](double weight, Tensor (*loss)(const Routing&), const Routing& r) {
    if (weight == 0) return;
    Tensor term = loss(r) * weight;
    total = total.defined() ? total + term : term;
  };
  for (const Routing& r : layers) {
    add(w.balance, load_balance_loss, r);
    add(w.importance, importance_loss, r);
    add(w.load, load_loss, r);
    add(w.z, router_z_loss, r);
  }
  return total.defined() ? total : zeros({});
}

}  // namespace plumb::moe
