// MaPO beside supervised fine-tuning and Diffusion-DPO: digits in styles ever farther from what the base model makes, a style to be
// avoided, and two tasks in the plane whose answers are known.
#include "methods/experiment.h"

#include <chrono>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "methods/common/teacher.h"
#include "methods/generative/mapo/mapo.h"
#include "methods/generative/mapo/styles.h"
#include "models/diffusion/vector_ddpm.h"
#include "models/metrics/frechet.h"
#include "models/nn/low_rank.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/ema.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mapo {
namespace {

using namespace diffusion;

constexpr int64_t kPairs = 600, kBatch = 64, kSamplerSteps = 20;
constexpr double kRate = 3e-4, kAdapterRate = 3e-3, kDpoRate = 3e-5;

// -- how each variant tunes ----------------------------------------------------------------------------------------------

// β of Diffusion-DPO by the variant's name; none for the others.
std::optional<double> dpo_beta(const Cell& cell) {
  if (cell.is("Diffusion-DPO, β = 20")) return 20;
  if (cell.is("Diffusion-DPO, β = 500")) return 500;
  if (cell.is("Diffusion-DPO, β = 5000")) return 5000;
  return {};
}

MapoOptions mapo_options(const Cell& cell) {
  if (cell.is("SFT")) return {.beta = 0};
  if (cell.is("MaPO, β = 0.01")) return {.beta = 0.01};
  if (cell.is("MaPO, power b = 8")) return {.link = Link::power, .power = 8};
  if (cell.is("MaPO, power b = 64")) return {.link = Link::power, .power = 64};
  return {};
}

std::vector<Tensor> trainable(const nn::Module& module) {
  std::vector<Tensor> parameters;
  for (const Tensor& p : module.parameters())
    if (p.requires_grad()) parameters.push_back(p);
  return parameters;
}

struct Tuned {
  VectorDdpm model;
  double seconds = 0;         // of the steps alone
  double rejected_ratio = 1;  // the rejected samples' error after, over what it was before
  double copies = 1;          // numbers held for networks, over those of the base
};

TimedNetwork network_of(const VectorDdpm& model) {
  return [&model](const Tensor& x, const Tensor& t, const Tensor& c) { return model(x, t, c); };
}

// The mean error on all rejected samples, with noise that is the same at every call.
double rejected_error(const VectorDdpm& model, const PreferencePairs& pairs) {
  NoGrad off;
  Generator noise(77);
  return mean(pair_errors(network_of(model), model.schedule(), Prediction::eps, pairs, shared_noise(pairs, model.schedule(), noise))
                  .rejected)
      .item();
}

// `steps` steps on batches of pairs; at_step(k, model) hears of every finished one.
template <typename AtStep>
Tuned tune(const Cell& cell, const VectorDdpm& base, const PreferencePairs& pairs, int64_t steps, AtStep&& at_step) {
  Tuned tuned{base};
  VectorDdpm& model = tuned.model;
  double before = rejected_error(base, pairs), numbers = static_cast<double>(base.num_parameters());
  if (cell.is("MaPO, LoRA")) {
    nn::add_adapter(model, "preference", {.rank = 4, .alpha = 4}, {"input", "condition", "0", "1"});
    nn::train_adapters_only(model);
  } else {
    model.requires_grad_();
  }
  std::optional<FrozenSnapshot<VectorDdpm>> reference;
  if (dpo_beta(cell)) reference.emplace(base);
  tuned.copies = static_cast<double>(model.num_parameters() + (reference ? base.num_parameters() : 0)) / numbers;
  std::vector<Tensor> parameters = trainable(model);
  optim::AdamW adam(parameters, {.lr = reference ? kDpoRate : cell.is("MaPO, LoRA") ? kAdapterRate : kRate});
  MapoOptions options = mapo_options(cell);
  for (int64_t k = 0; k < steps; ++k) {
    auto start = std::chrono::steady_clock::now();
    PreferencePairs batch = pairs.at(randint(0, pairs.size(), {kBatch}));
    PairNoise noise = shared_noise(batch, model.schedule());
    PairErrors errors = pair_errors(network_of(model), model.schedule(), Prediction::eps, batch, noise);
    Tensor loss;
    if (reference) {
      TimedNetwork frozen = [&](const Tensor& x, const Tensor& t, const Tensor& c) { return (*reference)(x, t, c); };
      loss = diffusion_dpo_loss(errors, pair_errors(frozen, model.schedule(), Prediction::eps, batch, noise), *dpo_beta(cell));
    } else {
      loss = mapo_loss(errors, options).loss;
    }
    adam.zero_grad();
    loss.backward();
    optim::clip_grad_norm(parameters, 1);
    adam.step();
    tuned.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    at_step(k + 1, model);
  }
  tuned.rejected_ratio = rejected_error(model, pairs) / before;
  return tuned;
}

VectorDdpm trained(const VectorDdpmConfig& config, const VpSchedule& schedule, int64_t steps,
                   const std::function<void(Tensor&, Tensor&)>& batch, const std::function<void()>& alive) {
  VectorDdpm model(config, schedule);
  optim::Adam adam(model.parameters(), {.lr = 1e-3});
  optim::Ema<VectorDdpm> average(model, {.decay = 0.999, .warmup = true});
  for (int64_t k = 0; k < steps; ++k) {
    Tensor rows, labels;
    batch(rows, labels);
    adam.zero_grad();
    mean(model.losses(rows, labels)).backward();
    adam.step();
    average.update(model);
    if (k % 50 == 0) alive();
  }
  return average.model;
}

// -- digits --------------------------------------------------------------------------------------------------------------

struct Task {
  std::string name;
  Style wanted;
  PreferencePairs pairs;
};

// What the variants of a seed share: the digits, who judges, a base of plain digits, one of plain and negative ones, and the pairs.
struct DigitTasks {
  DigitTasks(const PlainDigits& plain_digits, VectorDdpm plain_base, VectorDdpm mixed_base)
      : digits(plain_digits), plain(std::move(plain_base)), mixed(std::move(mixed_base)) {
    for (Style style : {Style::plain, Style::thick, Style::negative}) styles.push_back(preferring(style));
    PreferencePairs good = preferring(Style::plain);
    avoidance = {good.preferred, -index_select(digits.rows, 0, same_class(good.condition)), good.condition};
  }

  // Real digits in the style, against samples of the base of the same class.
  PreferencePairs preferring(Style style) const {
    Tensor place = randint(0, digits.rows.size(0), {kPairs}), label = index_select(digits.labels, 0, place);
    return {in_style(index_select(digits.rows, 0, place), style), clamp(plain.sample(label, kSamplerSteps), -1, 1), label};
  }

  const PlainDigits& digits;
  VectorDdpm plain, mixed;
  std::vector<PreferencePairs> styles;
  PreferencePairs avoidance;

 private:
  // Places of other digits of these classes.
  Tensor same_class(const Tensor& label) const {
    std::vector<int64_t> of_digit = to_vector<int64_t>(digits.labels), places;
    for (int64_t wanted : to_vector<int64_t>(label)) {
      auto at = static_cast<size_t>(default_generator().next_below(of_digit.size()));
      while (of_digit[at] != wanted) at = (at + 1) % of_digit.size();
      places.push_back(static_cast<int64_t>(at));
    }
    return from_vector(places);
  }
};

DigitTasks make_digit_tasks(Cell& cell, const PlainDigits& digits) {
  VpSchedule schedule = VpSchedule::linear(200, 5e-4, 0.1);
  auto base = [&](bool both_styles) {
    return trained(
        {.features = 64, .classes = 10}, schedule, cell.pick<int64_t>(20, 4000, 40'000),
        [&](Tensor& rows, Tensor& labels) {
          Tensor place = randint(0, digits.rows.size(0), {128});
          rows = index_select(digits.rows, 0, place), labels = index_select(digits.labels, 0, place);
          if (both_styles) rows = rows * (to(randint(0, 2, {128, 1}), f32) * 2 - 1);
        },
        [&] { cell.progress(0); });
  };
  VectorDdpm plain = base(false), mixed = base(true);
  return DigitTasks(digits, std::move(plain), std::move(mixed));
}

struct Samples {
  Tensor rows, labels;
};

// So many of each class, from noise that is the same for all variants of a seed.
Samples samples_of(const Cell& cell, const VectorDdpm& model, int64_t each) {
  Generator noise(cell.seed() ^ 0x3a90);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 10 * each; ++i) labels.push_back(i / each);
  Samples s{{}, from_vector(labels)};
  s.rows = clamp(model.sample(s.labels, kSamplerSteps, noise), -1, 1);
  return s;
}

void measure_digits(Cell& cell, const DigitTasks& tasks, const StyleJudge& judge) {
  static const char* const kNames[] = {"plain", "thick", "negative"};
  // The negative is farther away than the others, and is given longer.
  int64_t few = cell.is("base") ? 0 : cell.pick<int64_t>(3, 400, 1500), many = cell.is("base") ? 0 : cell.pick<int64_t>(3, 1500, 5000);
  int64_t each = cell.pick<int64_t>(5, 100, 500), done = 0, all = 3 * few + many;
  double seconds = 0, copies = 1;
  auto tuned_on = [&](const VectorDdpm& base, const PreferencePairs& pairs, int64_t steps, const std::string& chart, auto&& judged) {
    if (!chart.empty() && steps) cell.point(chart, "step", 0, judged(base));
    Tuned tuned = tune(cell, base, pairs, steps, [&](int64_t k, const VectorDdpm& model) {
      if (k % 10 == 0) cell.progress(0.9 * static_cast<double>(done + k) / static_cast<double>(all));
      if (!chart.empty() && k % (steps / 3) == 0) cell.point(chart, "step", static_cast<double>(k), judged(model));
    });
    done += steps;
    seconds += tuned.seconds, copies = tuned.copies;
    return tuned;
  };
  for (Style style : {Style::plain, Style::thick, Style::negative}) {
    auto name = std::string(kNames[static_cast<size_t>(style)]);
    auto hits = [&](const VectorDdpm& model) {
      Samples s = samples_of(cell, model, each / 5);
      return 100 * judge.both(s.rows, s.labels, style);
    };
    bool negative = style == Style::negative;
    Tuned tuned = tuned_on(tasks.plain, tasks.styles[static_cast<size_t>(style)], negative ? many : few,
                           negative ? "negative digits as asked for (%)" : "", hits);
    Samples s = samples_of(cell, tuned.model, each);
    if (style == Style::plain) {
      cell.metric("plain: Fréchet distance", metrics::frechet_distance(s.rows, tasks.digits.rows));
    } else {
      cell.metric(name + " digits as asked for (%)", 100 * judge.both(s.rows, s.labels, style));
    }
    if (negative) cell.metric("negative: rejected error, times the base's", tuned.rejected_ratio);
    if (negative) cell.metric("negative: right digit (%)", 100 * judge.right_digit(s.rows, s.labels));
    cell.picture(name + " preferred", train::image_grid(images(samples_of(cell, tuned.model, 5).rows), {.columns = 10}));
  }
  auto rejected = [&](const VectorDdpm& model) { return 100 * judge.in_style(samples_of(cell, model, each / 5).rows, Style::negative); };
  Tuned tuned = tuned_on(tasks.mixed, tasks.avoidance, few, "avoidance: rejected style (%)", rejected);
  Samples s = samples_of(cell, tuned.model, each);
  cell.metric("avoidance: rejected style (%)", 100 * judge.in_style(s.rows, Style::negative));
  cell.metric("avoidance: right digit (%)", 100 * judge.right_digit(s.rows, s.labels));
  cell.metric("ms a step", all ? 1000 * seconds / static_cast<double>(all) : 0);
  cell.metric("networks in memory", copies);
  cell.picture("negative rejected", train::image_grid(images(samples_of(cell, tuned.model, 5).rows), {.columns = 10}));
}

// -- the plane -----------------------------------------------------------------------------------------------------------

// Four classes about (±1, ±1).
Tensor centres(const Tensor& labels) { return index_select(tensor({{1.0, 1.0}, {1.0, -1.0}, {-1.0, 1.0}, {-1.0, -1.0}}), 0, labels); }

struct PlaneTask {
  VectorDdpm base;
  PreferencePairs pairs;
};

VectorDdpm plane_base(Cell& cell, const std::function<Tensor(const Tensor&)>& draw) {
  return trained(
      {.features = 2, .classes = 4, .hidden = {96, 96}}, VpSchedule::linear(100, 1e-4, 0.06), cell.pick<int64_t>(20, 4000, 4000),
      [&](Tensor& rows, Tensor& labels) {
        labels = randint(0, 4, {128});
        rows = draw(labels);
      },
      [&] { cell.progress(0); });
}

// Preferred: the class's cloud moved by 1.5 (1, ½); rejected: the base's samples.
PlaneTask shifted_task(Cell& cell) {
  VectorDdpm base = plane_base(cell, [](const Tensor& labels) { return centres(labels) + randn({labels.size(0), 2}) * 0.15; });
  Tensor labels = randint(0, 4, {kPairs});
  Tensor wanted = centres(labels) + tensor({{1.5, 0.75}}) + randn({kPairs, 2}) * 0.15;
  Tensor made = base.sample(labels, kSamplerSteps);
  return {std::move(base), {wanted, made, labels}};
}

// The base has two modes a class, at μ and 2 μ; the second is rejected.
PlaneTask two_mode_task(Cell& cell) {
  VectorDdpm base = plane_base(cell, [](const Tensor& labels) {
    Tensor times = to(randint(1, 3, {labels.size(0), 1}), f32);
    return centres(labels) * times + randn({labels.size(0), 2}) * 0.12;
  });
  Tensor labels = randint(0, 4, {kPairs});
  PreferencePairs pairs{centres(labels) + randn({kPairs, 2}) * 0.12, centres(labels) * 2.0 + randn({kPairs, 2}) * 0.12, labels};
  return {std::move(base), pairs};
}

double near(const Cell& cell, const VectorDdpm& model, double times, const Tensor& shift) {
  Generator noise(cell.seed() ^ 0x91a);
  Tensor labels = randint(0, 4, {cell.pick<int64_t>(100, 2000, 2000)}, {.dtype = i64, .generator = &noise});
  Tensor distance = norm(model.sample(labels, kSamplerSteps, noise) - (centres(labels) * times + shift), 2, {1});
  return 100 * mean(to(distance < 0.6, f64)).item();
}

void measure_plane(Cell& cell) {
  int64_t steps = cell.is("base") ? 0 : cell.pick<int64_t>(4, 400, 400);
  auto shifted = cell.shared("shifted plane", [&] { return shifted_task(cell); });
  auto modes = cell.shared("two modes", [&] { return two_mode_task(cell); });
  auto nothing = [](int64_t, const VectorDdpm&) {};
  cell.metric("plane: at the shifted centre (%)",
              near(cell, tune(cell, shifted->base, shifted->pairs, steps, nothing).model, 1, tensor({{1.5, 0.75}})));
  Tensor origin = zeros({1, 2});
  double early = steps ? 0 : near(cell, modes->base, 2, origin);
  Tuned tuned = tune(cell, modes->base, modes->pairs, steps, [&](int64_t k, const VectorDdpm& model) {
    if (k == steps / 4) early = near(cell, model, 2, origin);
  });
  cell.metric("plane: at the rejected mode after 100 steps (%)", early);
  cell.metric("plane: at the rejected mode (%)", near(cell, tuned.model, 2, origin));
  cell.metric("plane: at the preferred mode (%)", near(cell, tuned.model, 1, origin));
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [] { return PlainDigits(); });
  auto judge = cell.shared("judge", [&] { return StyleJudge(*digits, cell.pick<int64_t>(30, 800, 3000)); });
  auto tasks = cell.shared("tasks", [&] { return make_digit_tasks(cell, *digits); });
  measure_digits(cell, *tasks, *judge);
  measure_plane(cell);
}

}  // namespace

Experiment experiment() {
  return {.title = "MaPO",
          .paper = "Hong et al., Margin-aware Preference Optimization for Aligning Diffusion Models without Reference, AAAI 2026",
          .claim =
              "Preferred samples far from what the base makes are learned without a reference that holds the model back, and rejected ones "
              "avoided",
          .metrics = {{"negative digits as asked for (%)", Better::higher},
                      {"thick digits as asked for (%)", Better::higher},
                      {"plain: Fréchet distance", Better::lower},
                      {"avoidance: rejected style (%)", Better::lower},
                      {"avoidance: right digit (%)", Better::higher},
                      {"negative: right digit (%)", Better::higher},
                      {"negative: rejected error, times the base's", Better::neither},
                      {"plane: at the shifted centre (%)", Better::higher},
                      {"plane: at the rejected mode after 100 steps (%)", Better::lower},
                      {"plane: at the rejected mode (%)", Better::lower},
                      {"plane: at the preferred mode (%)", Better::higher},
                      {"ms a step", Better::lower},
                      {"networks in memory", Better::lower}},
          .variants = {{"base", "the model before tuning"},
                       {"SFT", "supervised fine-tuning on the preferred samples: MaPO with β = 0"},
                       {"Diffusion-DPO, β = 20", "measured against the frozen base, held weakly"},
                       {"Diffusion-DPO, β = 500", "held as strongly as helps on a mild mismatch"},
                       {"Diffusion-DPO, β = 5000", "held as in the paper on SDXL"},
                       {"MaPO, β = 0.01", "a tenth of the margin's weight"},
                       {"MaPO, power b = 8", "the link of the revised paper, for mild mismatch"},
                       {"MaPO, power b = 64", "the same for strong mismatch"},
                       {"MaPO, LoRA", "MaPO of adapters of rank 4, the base frozen"},
                       {"MaPO", "the released code's link, β = 0.1"}},
          .baseline = "Diffusion-DPO, β = 20",
          .method = "MaPO",
          .run = run};
}

}  // namespace plumb::methods::mapo
