// Phasic diffusion on digits: ten checkered ones of three classes, and what becomes of digits of all classes translated into that style.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/generative/phasic_diffusion/problem.h"
#include "methods/generative/phasic_diffusion/translate.h"
#include "models/diffusion/precondition.h"
#include "models/metrics/diversity.h"
#include "models/metrics/neighbours.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::phasic_diffusion {
namespace {

using namespace diffusion;

constexpr int64_t kTimes = 200, kBatch = 16;
constexpr double kRate = 5e-4;

struct Setting {
  int64_t source_steps, fusion_steps, adapt_steps;
};
Setting setting(const Cell& cell) {
  return {cell.pick<int64_t>(4, 1600, 20'000), cell.pick<int64_t>(4, 1000, 5000), cell.pick<int64_t>(4, 200, 400)};
}

unet::UnetConfig network_config() {
  return {.in_channels = 1, .out_channels = 1, .width = 16, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {}, .groups = 8};
}

Tensor batch_of(const Tensor& images, int64_t n) { return index_select(images, 0, randint(0, images.size(0), {n})); }

// Stages 1 and 2: the source domain's denoiser, then its fusion with everything else frozen.
PhasicUnet pretrained(Cell& cell, const Problem& problem) {
  Setting s = setting(cell);
  unet::Unet start(network_config());
  PhasicUnet model(start, {.switch_time = 0.3 * kTimes}, VpSchedule::cosine(kTimes));
  optim::Adam adam(model.base.parameters(), {.lr = 2e-3, .beta2 = 0.99});
  optim::Ema<PhasicUnet> average(model, {.decay = 0.995, .warmup = true});
  for (int64_t k = 0; k < s.source_steps; ++k) {
    if (k % 20 == 0) cell.progress(0);
    Tensor images = batch_of(problem.source, 2 * kBatch) * 2.0 - 1.0, t = randint(0, kTimes, {images.size(0)});
    adam.set_lr_scale(0.5 * (1 + std::cos(3.14159265358979 * static_cast<double>(k) / static_cast<double>(s.source_steps))));
    adam.zero_grad();
    mean(noise_losses(model, images, t)).backward();
    adam.step();
    average.update(model);
  }
  model.load_state(average.model.state());
  model.base.requires_grad_(false);
  optim::Adam fuse(model.fusion.parameters(), {.lr = 1e-3, .beta2 = 0.99});
  for (int64_t k = 0; k < s.fusion_steps; ++k) {
    if (k % 20 == 0) cell.progress(0);
    fuse.zero_grad();
    fusion_loss(model, batch_of(problem.source, kBatch) * 2.0 - 1.0).backward();
    fuse.step();
  }
  model.requires_grad_();
  return model;
}

// Fine-tuning on the shots: the plain loss at all times, with or without keeping the similarities of the source model's samples.
PhasicUnet fine_tuned(Cell& cell, const Problem& problem, const PhasicUnet& source, double similarity) {
  PhasicUnet model = source;
  optim::Adam adam(model.base.parameters(), {.lr = kRate, .beta2 = 0.99});
  int64_t steps = setting(cell).adapt_steps;
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 10 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    Tensor loss = mean(noise_losses(model, batch_of(problem.shots, kBatch) * 2.0 - 1.0, randint(0, kTimes, {kBatch})));
    if (similarity > 0) {
      Tensor clean = batch_of(problem.source, kBatch) * 2.0 - 1.0, t = randint(0, kTimes, {kBatch}),
             alpha_bar = model.schedule().alpha_bar(t);
      Tensor x = add_noise(clean, randn_like(clean), alpha_bar), before;
      {
        NoGrad off;
        before = clamp(predicted_clean(Prediction::eps, x, source(x, t), alpha_bar), -1, 1);
      }
      Tensor after = clamp(predicted_clean(Prediction::eps, x, model(x, t), alpha_bar), -1, 1);
      loss = loss + pairwise_similarity_loss(after + 1.0, before + 1.0) * similarity;
    }
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  return model;
}

struct Change {
  AdaptOptions options = {.detail_end = 60, .content_end = 160, .ddc = 1, .style = 1};
  bool phases = true;
};

// Stage 3. Without phases: content at all times, through an open gate.
PhasicUnet adapted(Cell& cell, const Problem& problem, const PhasicUnet& source, const Change& change) {
  PhasicUnet model = source;
  AdaptOptions options = change.options;
  if (!change.phases) {
    model = PhasicUnet(source.base, {.switch_time = source.gate().switch_time, .always_open = true}, source.schedule());
    model.load_state(source.state());
    options.detail_end = 1;
    options.content_end = kTimes * 9 / 10;  // beyond, the weight of the plain loss would be negative
  }
  ImageEncoder encoder = problem.image_encoder();
  Tensor direction = domain_direction(encoder.features(problem.shots), encoder.features(problem.source));
  PhasicAdaptation adaptation(model, encoder, problem.shots, direction, options);
  optim::Adam adam(model.parameters(), {.lr = kRate, .beta2 = 0.99});
  int64_t steps = setting(cell).adapt_steps;
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 10 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    adaptation.step(change.phases ? k : 2 * k, batch_of(problem.source, kBatch), adam);
  }
  return model;
}

double error_of(const Tensor& translated, const Tensor& truth) { return std::sqrt(mean(square(translated - truth)).item()); }

void measure(Cell& cell, const Problem& problem, const Tensor& translated) {
  NoGrad off;
  auto share = [](const Tensor& right) { return 100 * mean(to(right, f64)).item(); };
  Tensor rows = flatten(translated, 1), shots = flatten(problem.shots, 1);
  cell.metric("content kept (%)", share(argmax(problem.digit_judge(translated), 1) == problem.labels));
  cell.metric("style reached (%)", share(argmax(problem.style_judge(translated), 1) == 1));
  cell.metric("error (RMSE)", error_of(translated, problem.truth));
  cell.metric("diversity", metrics::intra_cluster_distance(problem.features(translated), problem.features(problem.shots)));
  cell.metric("distance to shots", mean(metrics::nearest(rows, shots).distance).item());
  std::vector<Tensor> columns;
  for (int64_t i = 0; i < 20; ++i) columns.push_back(select(problem.held_out, 0, i));
  for (int64_t i = 0; i < 20; ++i) columns.push_back(select(translated, 0, i));
  cell.picture("sources and translations", train::image_grid(stack(columns), {.columns = 20, .zoom = 4}));
  cell.picture("shots", train::image_grid(problem.shots, {.columns = 10, .zoom = 4}));
}

// Translates all held-out digits and measures; the first of them with fewer steps too.
void translate_and_measure(Cell& cell, const Problem& problem, const PhasicUnet& model, bool content, bool guidance) {
  auto translated = [&](const Tensor& source, int64_t steps) {
    Generator noise(cell.seed() ^ 0xddc);
    TranslateOptions o{
        .start = 80, .steps = steps, .content = content, .guidance = guidance, .guidance_end = 30, .factor = 2, .filter = LowPass::box};
    return (translate(model, source * 2.0 - 1.0, o, noise) + 1.0) * 0.5;
  };
  int64_t most = cell.pick<int64_t>(4, 15, 15), few = std::min<int64_t>(50, problem.held_out.size(0));
  Tensor all = translated(problem.held_out, most), first = narrow(problem.held_out, 0, 0, few), truth = narrow(problem.truth, 0, 0, few);
  for (int64_t steps : {most / 4, most / 2})
    cell.point("error (RMSE) of 50 translations", "sampling steps", static_cast<double>(steps), error_of(translated(first, steps), truth));
  cell.point("error (RMSE) of 50 translations", "sampling steps", static_cast<double>(most), error_of(narrow(all, 0, 0, few), truth));
  measure(cell, problem, all);
}

void run(Cell& cell) {
  auto problem = cell.shared("problem", [&] {
    return make_problem(cell.pick<int64_t>(6, 500, 2000), cell.pick<int64_t>(24, 200, 200), [&] { cell.progress(0); });
  });
  if (cell.is("true images")) return measure(cell, *problem, problem->truth);
  auto source = cell.shared("source model", [&] { return pretrained(cell, *problem); });
  if (cell.is("source model")) return translate_and_measure(cell, *problem, *source, false, false);
  bool guidance = !cell.is("fine-tuning") && !cell.is("fine-tuning + CDC") && !cell.is("no guidance");
  if (cell.variant().starts_with("fine-tuning")) {
    bool similarity = cell.variant().find("CDC") != std::string::npos;
    auto model = cell.shared(similarity ? "CDC" : "fine-tuned", [&] { return fine_tuned(cell, *problem, *source, similarity ? 1 : 0); });
    return translate_and_measure(cell, *problem, *model, false, guidance);
  }
  Change change;
  if (cell.is("no DDC")) change.options.ddc = 0;
  if (cell.is("no phases")) change.phases = false;
  if (cell.is("blended")) change.options.phases = Phases::blended;
  std::string name = cell.is("no guidance") ? "phasic" : cell.variant();
  auto model = cell.shared(name, [&] { return adapted(cell, *problem, *source, change); });
  translate_and_measure(cell, *problem, *model, true, guidance);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "Phasic diffusion",
      .paper =
          "Hu et al., Phasic Content Fusing Diffusion Model with Directional Distribution Consistency for Few-Shot Model Adaption, ICCV "
          "2023",
      .claim = "Ten images of a new style move a diffusion model to it without losing what the translated images show",
      .metrics = {{"content kept (%)", Better::higher},
                  {"style reached (%)", Better::higher},
                  {"error (RMSE)", Better::lower},
                  {"diversity", Better::higher},
                  {"distance to shots", Better::neither}},
      .variants = {{"true images", "the held-out digits drawn in the new style: what a perfect translation is"},
                   {"source model", "no adaptation"},
                   {"fine-tuning", "all weights on the ten shots; translation from the same noised source, without content or guidance"},
                   {"fine-tuning, guided", "the same weights, low frequencies guided as the method's"},
                   {"fine-tuning + CDC", "and samples are to resemble each other as the source model's do"},
                   {"fine-tuning + CDC, guided", "the same weights, guided"},
                   {"no DDC", "the method without the directional loss"},
                   {"no phases", "content and style at all times, no detail phase, gate always open"},
                   {"no guidance", "the method's weights, sampled without guidance"},
                   {"blended", "one weighted sum at all times instead of two alternating phases"},
                   {"phasic", "the method"}},
      .baseline = "fine-tuning",
      .method = "phasic",
      .run = run};
}

}  // namespace plumb::methods::phasic_diffusion
