// A steady-state evolutionary search: one child at a time.
#include "models/optim/evolution.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"
#include "engine/core/tensor.h"
#include "ops/random.h"

namespace plumb::optim {
namespace {

struct Individual {
  Genes genes;
  double fitness;
};

class Population {
 public:
  explicit Population(int64_t most) : most_(static_cast<size_t>(most)) {}
  // Behind all that are as good: of equals the older stays.
  void insert(Individual one) {
    auto place = std::ranges::upper_bound(members_, one.fitness, {}, &Individual::fitness);
    members_.insert(place, std::move(one));
    if (members_.size() > most_) members_.pop_back();
  }
  const Individual& best() const { return members_.front(); }
  bool empty() const { return members_.empty(); }
  size_t draw(int64_t among, Generator& generator) const {
    return generator.next_below(std::min<uint64_t>(static_cast<uint64_t>(among), members_.size()));
  }
  const Genes& genes(size_t place) const { return members_[place].genes; }

 private:
  size_t most_;
  std::vector<Individual> members_;
};

void mutate(Genes& genes, const EvolutionOptions& o, Generator& generator) {
  double deviation = o.deviations[generator.next_below(o.deviations.size())];
  std::vector<double> normal = to_vector(randn({static_cast<int64_t>(genes.size())}, {.dtype = f64, .generator = &generator}));
  for (size_t i = 0; i < genes.size(); ++i)
    if (generator.next_double() < o.mutated) genes[i] += deviation * normal[i];
}

Genes child(const Population& population, const EvolutionOptions& o, Generator& generator) {
  size_t a = population.draw(o.parents, generator), b = population.draw(o.parents, generator);
  Genes genes = generator.next_double() < o.linear ? linear_crossover(population.genes(a), population.genes(b), generator.next_double())
                                                   : swap_crossover(population.genes(a), population.genes(b), generator);
  bool mutates = generator.next_double() < o.mutation || a == b;
  if (mutates && !o.deviations.empty()) mutate(genes, o, generator);
  return genes;
}

void check_lengths(const Genes& a, const Genes& b) {
  if (a.size() != b.size())
    throw ValueError("evolution: vectors of " + std::to_string(a.size()) + " and " + std::to_string(b.size()) + " genes cannot be crossed");
}

}  // namespace

void EvolutionOptions::check() const {
  auto probability = [](double p) { return p >= 0 && p <= 1; };
  if (evaluations < 0 || population < 1 || parents < 1)
    throw ValueError("evolution: needs evaluations >= 0, population >= 1 and parents >= 1, got " + std::to_string(evaluations) + ", " +
                     std::to_string(population) + " and " + std::to_string(parents));
  if (!probability(linear) || !probability(mutation) || !probability(mutated))
    throw ValueError("evolution: linear, mutation and mutated must lie in [0, 1], got " + decimal(linear) + ", " +
                     decimal(mutation) + " and " + decimal(mutated));
  for (double d : deviations)
    if (!(d > 0)) throw ValueError("evolution: deviations must be positive, one is " + decimal(d));
}

EvolutionResult evolve(const std::function<double(const Genes&)>& fitness, const std::vector<Genes>& seeds, const EvolutionOptions& o,
                       const std::function<void(Genes&)>& repair, Generator& generator) {
  o.check();
  if (seeds.empty()) throw ValueError("evolution: there are no seeds");
  Population population(o.population), parents(std::max<int64_t>(o.population, static_cast<int64_t>(seeds.size())));
  EvolutionResult result;
  for (const Genes& seed : seeds) {
    check_lengths(seed, seeds.front());
    double f = fitness(seed);
    if (!std::isfinite(f)) {
      ++result.rejected;
      continue;
    }
    population.insert({seed, f});
    if (!o.heredity) parents.insert({seed, f});
  }
  if (population.empty()) throw ValueError("evolution: no seed has a finite fitness");
  result.history.push_back(population.best().fitness);
  for (int64_t t = 0; t < o.evaluations; ++t) {
    Genes genes = child(o.heredity ? population : parents, o, generator);
    if (repair) repair(genes);
    double f = fitness(genes);
    if (std::isfinite(f))
      population.insert({std::move(genes), f});
    else
      ++result.rejected;
    result.history.push_back(population.best().fitness);
  }
  result.best = population.best().genes;
  result.fitness = population.best().fitness;
  return result;
}

Genes linear_crossover(const Genes& a, const Genes& b, double l) {
  check_lengths(a, b);
  Genes genes(a.size());
  for (size_t i = 0; i < a.size(); ++i) genes[i] = l * a[i] + (1 - l) * b[i];
  return genes;
}

Genes swap_crossover(const Genes& a, const Genes& b, Generator& generator) {
  check_lengths(a, b);
  Genes genes(a.size());
  for (size_t i = 0; i < a.size(); ++i) genes[i] = generator.next_u32() >> 31 ? a[i] : b[i];
  return genes;
}

void sum_to_one(Genes& genes) {
  if (genes.empty()) return;
  double others = 0;
  for (size_t i = 0; i + 1 < genes.size(); ++i) others += genes[i];
  genes.back() = 1 - others;
}

}  // namespace plumb::optim
