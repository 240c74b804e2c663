// The search for coefficients.
#include "methods/generative/lcsc/lcsc.h"

#include <algorithm>

#include "engine/core/error.h"

namespace plumb::methods::lcsc {

using optim::Genes;

std::vector<Genes> seeds(int64_t count, const std::vector<double>& decays) {
  std::vector<Genes> all;
  for (double decay : decays) all.push_back(optim::ema_coefficients(count, decay));
  if (count < 2) throw ValueError("lcsc: takes at least 2 checkpoints, got " + std::to_string(count));
  Genes last(static_cast<size_t>(count), 0.0);
  last.back() = 1;
  all.push_back(last);
  return all;
}

double Found::negative() const {
  return static_cast<double>(std::ranges::count_if(coefficients, [](double a) { return a < 0; })) /
         static_cast<double>(coefficients.size());
}

Found search(int64_t count, const std::function<double(const Genes&)>& fitness, const Options& options, Generator& generator) {
  auto found = optim::evolve(fitness, seeds(count, options.decays), options.search, optim::sum_to_one, generator);
  return {found.best, found.fitness, found.history, found.rejected};
}

Found search(const optim::CheckpointBank& bank, const std::vector<Tensor>& parameters, const std::function<double()>& evaluate,
             const Options& options, Generator& generator) {
  auto fitness = [&](const Genes& a) { return bank.combine(a, parameters), evaluate(); };
  Found found = search(bank.size(), fitness, options, generator);
  bank.combine(found.coefficients, parameters);
  return found;
}

Found best_average(int64_t count, const std::function<double(const Genes&)>& fitness, const std::vector<double>& decays) {
  if (decays.empty()) throw ValueError("lcsc: there are no decays to choose from");
  Found best{{}, 0, {}, 0};
  for (double decay : decays) {
    Genes a = optim::ema_coefficients(count, decay);
    double f = fitness(a);
    if (best.coefficients.empty() || f < best.fitness) best.coefficients = a, best.fitness = f;
    best.history.push_back(best.fitness);
  }
  return best;
}

}  // namespace plumb::methods::lcsc
