// Row numbers by a power law, and the clock around fetch and update.
#include "methods/representation/item_ssl/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/core/error.h"
#include "models/optim/adam.h"
#include "ops/random.h"

namespace plumb::methods::item_ssl {
namespace {

double least(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

/// Seconds of work(), the slowest process's, which all begin together.
template <typename F>
double seconds(F&& work, dist::Communicator* processes) {
  if (processes) processes->barrier();
  auto start = std::chrono::steady_clock::now();
  work();
  double own = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), slowest = own;
  if (!processes) return own;
  for (const std::string& text : processes->all_gather(fmt::format("{}", own))) slowest = std::max(slowest, std::stod(text));
  return slowest;
}

/// The clock around fetch(numbers), which gives their rows, and update(gradient of those).
template <typename Fetch, typename Update>
LookupCost measure(int64_t rows, const LookupLoad& load, Generator& generator, dist::Communicator* processes, Fetch&& fetch,
                   Update&& update) {
  if (load.batch < 1 || load.repeats < 1)
    throw ValueError(fmt::format("lookup_cost: {} batches of {} numbers; both must be at least 1", load.repeats, load.batch));
  std::vector<double> fetched, stepped;
  double different = 0;
  for (int64_t i = 0; i <= load.repeats; ++i) {
    std::vector<int64_t> numbers = power_law_rows(rows, load.batch, load.exponent, generator);
    Tensor at = from_vector(numbers), values;
    double first = seconds([&] { values = fetch(at); }, processes);
    Tensor gradient = randn_like(values, &generator);
    double then = seconds([&] { update(gradient); }, processes);
    if (i == 0) continue;
    fetched.push_back(first);
    stepped.push_back(first + then);
    std::sort(numbers.begin(), numbers.end());
    different += static_cast<double>(std::unique(numbers.begin(), numbers.end()) - numbers.begin());
  }
  const double to_ns = 1e9 / static_cast<double>(load.batch);
  return {least(fetched) * to_ns, least(stepped) * to_ns, different / static_cast<double>(load.batch * load.repeats)};
}

}  // namespace

// By the inverse of ∫₁ˣ t^−s dt, x in [1, rows + 1).
std::vector<int64_t> power_law_rows(int64_t rows, int64_t count, double exponent, Generator& generator) {
  if (rows < 1 || count < 0) throw ValueError(fmt::format("power_law_rows: {} of {} rows", count, rows));
  if (!(exponent >= 0)) throw ValueError(fmt::format("power_law_rows: the exponent must not be negative, it is {}", exponent));
  const double end = static_cast<double>(rows) + 1, s = 1 - exponent;
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  for (int64_t& number : numbers) {
    double u = generator.next_double();
    double x = std::abs(s) < 1e-9 ? std::pow(end, u) : std::pow(1 + u * (std::pow(end, s) - 1), 1 / s);
    number = std::clamp<int64_t>(static_cast<int64_t>(x) - 1, 0, rows - 1);
  }
  return numbers;
}

LookupCost lookup_cost(parallel::ShardedEmbedding& table, const LookupLoad& load, Generator& generator, dist::Communicator* processes) {
  parallel::FetchedRows rows;
  return measure(
      table.rows(), load, generator, processes,
      [&](const Tensor& at) {
        rows = table.fetch(at);
        return rows.values;
      },
      [&](const Tensor& gradient) {
        rows.values.set_grad(gradient);
        table.update(rows, {});
      });
}

LookupCost dense_lookup_cost(const nn::Embedding& table, const LookupLoad& load, Generator& generator) {
  optim::Adam adam(table.parameters());
  Tensor rows;
  return measure(
      table.weight.size(0), load, generator, nullptr, [&](const Tensor& at) { return rows = table(at); },
      [&](const Tensor& gradient) {
        adam.zero_grad();
        rows.backward(gradient);
        adam.step();
      });
}

}  // namespace plumb::methods::item_ssl
