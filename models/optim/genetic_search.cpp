// A genetic search whose rejection loops always end.
#include "models/optim/genetic_search.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"

namespace plumb::optim {
namespace {

void check_share(const char* what, double share) {
  if (!(share >= 0 && share <= 1))
    throw ValueError(std::string("genetic_search: ") + what + " must lie in [0, 1], it is " + decimal(share));
}

void check_genes(const std::vector<int>& choices) {
  if (choices.empty()) throw ValueError("genetic_search: there are no genes");
  for (size_t i = 0; i < choices.size(); ++i)
    if (choices[i] < 1) throw ValueError("genetic_search: gene " + std::to_string(i) + " has no choices");
}

int drawn_gene(int choices, Generator& g) { return static_cast<int>(g.next_below(static_cast<uint64_t>(choices))); }

Choices drawn(const std::vector<int>& choices, Generator& g) {
  Choices c;
  for (int n : choices) c.push_back(drawn_gene(n, g));
  return c;
}

Choices mutated(Choices c, const std::vector<int>& choices, double rate, Generator& g) {
  for (size_t i = 0; i < c.size(); ++i)
    if (g.next_double() < rate) c[i] = drawn_gene(choices[i], g);
  return c;
}

Choices crossed(const Choices& a, const Choices& b, Generator& g) {
  Choices c;
  for (size_t i = 0; i < a.size(); ++i) c.push_back(g.next_below(2) == 0 ? a[i] : b[i]);
  return c;
}

struct Judged {
  Choices choices;
  double fitness;
};

}  // namespace

void GeneticOptions::check() const {
  if (population < 1) throw ValueError("genetic_search: the population must be positive, it is " + std::to_string(population));
  if (generations < 0) throw ValueError("genetic_search: generations must not be negative, they are " + std::to_string(generations));
  if (attempts < 1) throw ValueError("genetic_search: attempts must be positive, they are " + std::to_string(attempts));
  check_share("the share of parents", parents);
  check_share("the share of mutations", mutated);
  check_share("the mutation rate", mutation);
}

std::vector<Choices> draw_allowed(const std::vector<int>& choices, const std::function<bool(const Choices&)>& allowed, int64_t count,
                                  int64_t attempts, Generator& g) {
  check_genes(choices);
  std::vector<Choices> found;
  for (int64_t k = 0; k < attempts && static_cast<int64_t>(found.size()) < count; ++k)
    if (Choices c = drawn(choices, g); allowed(c)) found.push_back(std::move(c));
  if (static_cast<int64_t>(found.size()) < count)
    throw ValueError("genetic_search: " + (found.empty() ? std::string("none") : "only " + std::to_string(found.size())) + " of " +
                     std::to_string(attempts) + " candidates " + (found.size() == 1 || found.empty() ? "meets" : "meet") +
                     " the constraint");
  return found;
}

GeneticResult genetic_search(const std::vector<int>& choices,
                             const std::function<std::vector<double>(const std::vector<Choices>&)>& fitness,
                             const std::function<bool(const Choices&)>& allowed, const GeneticOptions& o, Generator& g) {
  o.check();
  check_genes(choices);
  GeneticResult result;
  std::vector<Judged> pool;
  auto judge = [&](const std::vector<Choices>& candidates) {
    if (candidates.empty()) return;
    std::vector<double> scores = fitness(candidates);
    if (scores.size() != candidates.size())
      throw ValueError("genetic_search: " + std::to_string(scores.size()) + " scores for " + std::to_string(candidates.size()) +
                       " candidates");
    for (size_t i = 0; i < candidates.size(); ++i) pool.push_back({candidates[i], std::isnan(scores[i]) ? -INFINITY : scores[i]});
    result.judged += static_cast<int64_t>(candidates.size());
  };
  auto keep_best = [&](size_t count) {
    std::ranges::stable_sort(pool, [](const Judged& a, const Judged& b) { return a.fitness > b.fitness; });
    if (pool.size() > count) pool.resize(count);
    result.history.push_back(pool.front().fitness);
  };
  // The first generation: as many as can be found, one at least.
  std::vector<Choices> first;
  for (int64_t k = 0; k < o.attempts && static_cast<int64_t>(first.size()) < o.population; ++k)
    if (Choices c = drawn(choices, g); allowed(c)) first.push_back(std::move(c));
  if (first.empty()) throw ValueError("genetic_search: none of " + std::to_string(o.attempts) + " candidates meets the constraint");
  judge(first);

  auto parents = static_cast<size_t>(std::max<int64_t>(1, std::llround(o.parents * static_cast<double>(o.population))));
  auto mutations = std::llround(o.mutated * static_cast<double>(o.population));
  keep_best(parents);
  for (int64_t generation = 0; generation < o.generations; ++generation) {
    std::vector<Choices> children;
    auto parent = [&]() -> const Choices& { return pool[g.next_below(pool.size())].choices; };
    for (int64_t k = 0; k < o.attempts && static_cast<int64_t>(children.size()) < o.population; ++k) {
      bool mutate = static_cast<int64_t>(children.size()) < mutations;
      const Choices& a = parent();
      Choices child = mutate ? mutated(a, choices, o.mutation, g) : crossed(a, parent(), g);
      if (allowed(child)) children.push_back(std::move(child));
    }
    judge(children);
    keep_best(parents);
  }
  result.best = pool.front().choices;
  result.fitness = pool.front().fitness;
  return result;
}

}  // namespace plumb::optim
