// ConR on a table: the age of shellfish in rings, of which very young and old ones are rare; judged evenly over all ages.
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "engine/data/files.h"
#include "engine/data/table.h"
#include "methods/robust/conr/trial.h"
#include "models/nn/linear.h"
#include "ops/activation.h"
#include "ops/distributions.h"
#include "ops/elementary.h"
#include "ops/random.h"
#include "ops/reduce.h"

namespace plumb::methods::conr_abalone {
namespace {

constexpr double kNoise = 0.1;   // of views, in standard deviations
constexpr int64_t kJudged = 20;  // examples of each age
constexpr int64_t kAtLeast = 2;  // different held-out ones, for an age to be judged

constexpr const char* kNumber = "training examples";  // 2,784 abalones, or 2,000 made-up shells

// d – 64 – 32 – 1.
struct Net : nn::Module {
  nn::Linear up, middle, head;
  explicit Net(int64_t inputs) : up(this, "up", inputs, 64), middle(this, "middle", 64, 32), head(this, "head", 32, 1) {}
  Tensor features(const Tensor& x) const { return relu(middle(relu(up(x)))); }
};

struct Rows {
  Tensor features, rings;  // [n, d], f32 [n]
};

// 4,177 abalones where the file is there.
Rows published(const std::string& path) {
  data::Table table = data::csv_table(path, {.kind = data::TargetKind::number, .one_hot = true});
  data::Batch all = table.data.batch(table.data.size()).next();
  return {all.features, all.target};
}

// Shells that grow fast at first: age + 1.5 from a gamma distribution, sizes 1 − e^(−age / 5) times a size of one's own, with noise, and
// their third powers, which weights are.
Rows made_up(int64_t n, Generator& g) {
  Tensor age = clamp(round(gamma(full({n}, 5.0), full({n}, 0.55), &g) + 1.5), 1, 29);
  Tensor grown = 1.0 - exp(age / -5.0), own = 1.0 + 0.1 * randn({n}, {.generator = &g});
  std::vector<Tensor> columns;
  for (int k = 0; k < 3; ++k) columns.push_back(grown * own + 0.03 * randn({n}, {.generator = &g}));
  for (int k = 0; k < 4; ++k)
    columns.push_back(grown * grown * grown * own * own * own + 0.01 * age + 0.08 * randn({n}, {.generator = &g}));
  return {stack(columns, 1), age};
}

Rows rows_of(const Cell& cell, Generator& g) {
  std::string path = cell.budget() == Budget::smoke ? "" : data::find_optional_data_file("", "uci", "abalone.csv");
  return path.empty() ? made_up(cell.pick<int64_t>(400, 3000, 3000), g) : published(path);
}

// Equally many held-out examples of every age that has at least kAtLeast, drawn with replacement.
std::vector<int64_t> balanced(const std::vector<int64_t>& held_out, const std::vector<double>& rings, Generator& g) {
  std::map<double, std::vector<int64_t>> by_age;
  for (int64_t i : held_out) by_age[rings[static_cast<size_t>(i)]].push_back(i);
  std::vector<int64_t> judged;
  for (const auto& [age, of] : by_age)
    for (int64_t k = 0; static_cast<int64_t>(of.size()) >= kAtLeast && k < kJudged; ++k) judged.push_back(of[g.next_below(of.size())]);
  return judged;
}

conr::Problem<Net> make_problem(const Cell& cell) {
  Generator& g = default_generator();
  Rows all = rows_of(cell, g);
  int64_t n = all.rings.numel(), learned = n * 2 / 3;
  auto order = data::random_order(n, g);
  std::vector<int64_t> train(order.begin(), order.begin() + learned), rest(order.begin() + learned, order.end());
  Tensor at = from_vector(train), test = from_vector(balanced(rest, to_vector(all.rings), g));
  Tensor x = index_select(all.features, 0, at), mean = plumb::mean(x, {0}), deviation = clamp_min(std_dev(x, {0}), 1e-6);
  auto scaled = [&](const Tensor& places) { return (index_select(all.features, 0, places) - mean) / deviation; };
  Net initial(all.features.size(1));
  return {scaled(at),  to(index_select(all.rings, 0, at), f32), scaled(test), to(index_select(all.rings, 0, test), f32), initial,
          g.next_u64()};
}

conr::Setting setting_of(const Cell& cell) {
  return {.unit = "rings",
          .centre = 10,
          .scale = 3,
          .view = augment::gaussian_view(kNoise),
          .epochs = cell.pick<int64_t>(3, 40, 200),
          .conr = {.omega = 1, .tau = 0.2, .e = 0.04},
          .profile_width = 1};
}

void run(Cell& cell) {
  auto problem = cell.shared("shellfish", [&] { return make_problem(cell); });
  conr::Trial<Net>(cell, *problem, setting_of(cell)).run();
  cell.metric(kNumber, static_cast<double>(problem->inputs.size(0)));
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics = conr::error_metrics("rings");
  metrics.push_back({kNumber, Better::neither});
  return {
      .title = "ConR, shellfish",
      .paper = "Keramati, Meng, Evans: ConR: Contrastive Regularizer for Deep Imbalanced Regression, ICLR 2024",
      .claim =
          "the mean error in the age of shellfish falls with ConR for ages with fewer than 20 training examples, on a real table with a "
          "skew of its own (abalones; made-up shells where the file is missing)",
      .metrics = metrics,
      .variants = {{"L1", "the absolute error"},
                   {"LDS", "weights by the smoothed density's inverse root"},
                   {"balanced MSE, σ = 0.5", "by the batch, σ in rings"},
                   {"balanced MSE, σ = 1", ""},
                   {"balanced MSE, σ = 2", ""},
                   {"SupCon, δ = 1", "supervised contrastive loss over rings"},
                   {"SupCon, δ = 0.2", ""},
                   {"ConR, β = 0.2", "ω = 1 ring, τ = 0.2, e = 0.04"},
                   {"ConR, β = 1", ""},
                   {"ConR, β = 4", ""},
                   {"LDS + ConR, β = 1", ""}},
      .baseline = "L1",
      .method = "ConR, β = 1",
      .run = run};
}

}  // namespace plumb::methods::conr_abalone
