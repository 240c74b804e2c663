// Pairs of digits and their captions: a small CLIP that knows all hundred is tuned on turned, grey and noisy images of fifty. What becomes
// of the others?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <sstream>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/digit_pairs.h"
#include "engine/data/digits/digits.h"
#include "methods/finetuning/coprompt/coprompt.h"
#include "models/augment/augment.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/elementary.h"
#include "ops/grid_sample.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::coprompt {
namespace {

using contrastive::PromptedClip;
using contrastive::PromptedClipConfig;
using contrastive::Texts;
using data::DigitPairs;

constexpr int64_t kPairs = data::kDigitPairs, kTokens = 2, kContext = 12;
constexpr double kWrongCaptions = 0.1;

// -- captions -------------------------------------------------------------------------------------------

// 0, 1 and 2 are padding, begin and end; then the digits, then all other words.
const std::map<std::string, int64_t>& vocabulary() {
  static const std::map<std::string, int64_t> numbers = [] {
    std::map<std::string, int64_t> m;
    for (const std::string& word : data::digit_pair_words()) m.try_emplace(word, static_cast<int64_t>(m.size()) + 3);
    return m;
  }();
  return numbers;
}

std::vector<int64_t> caption_words(int64_t pair, size_t form) {
  std::vector<int64_t> words;
  std::istringstream caption(data::digit_pair_caption(pair, static_cast<int64_t>(form)));
  for (std::string word; caption >> word;) words.push_back(vocabulary().at(word));
  return words;
}

Texts class_texts(const std::vector<int64_t>& pairs) {
  std::vector<std::vector<int64_t>> words;
  for (int64_t pair : pairs) words.push_back(caption_words(pair, 0));
  return contrastive::pack_texts(words, kContext);
}

// Base: the digits' sum is even. Every digit stands on both sides in both halves.
std::vector<int64_t> half(bool base) {
  std::vector<int64_t> pairs;
  for (int64_t p = 0; p < kPairs; ++p)
    if (((p / 10 + p % 10) % 2 == 0) == base) pairs.push_back(p);
  return pairs;
}

// -- images ---------------------------------------------------------------------------------------------

// The new domain at a strength: digits turned by 20° · strength, contrast reduced to 1 − strength / 2 on a grey offset, noise of 0.1 ·
// strength.
Tensor shifted(const Tensor& images, double strength, Generator& random) {
  double angle = 20 * strength * M_PI / 180, contrast = 1 - 0.5 * std::min(1.0, strength);
  int64_t rows = images.size(0);
  Tensor turn = expand(tensor({{{std::cos(angle), -std::sin(angle), 0.0}, {std::sin(angle), std::cos(angle), 0.0}}}), {2 * rows, 2, 3});
  Tensor sides = cat({narrow(images, 3, 0, 8), narrow(images, 3, 8, 8)});
  Tensor turned = grid_sample(sides, affine_grid(contiguous(turn), {8, 8}));
  Tensor x = cat({narrow(turned, 0, 0, rows), narrow(turned, 0, rows, rows)}, 3);
  return x * contrast + (1 - contrast) / 2 + randn(x.shape(), {.generator = &random}) * (0.1 * strength);
}

// A view to learn from: moved, enlarged and noisy.
Tensor view(const Tensor& images, Generator& random) {
  Tensor x = augment::random_affine(augment::random_crop(images, 1, random, PadMode::replicate), {.scale = 0.1}, random);
  return x + randn(x.shape(), {.generator = &random}) * 0.05;
}

// -- the pretrained model -----------------------------------------------------------------------------------

struct Work {
  int64_t width, layers, depth, steps, batch;  // of the model and its pretraining
  int64_t shots, validation, test, epochs, tuning_batch;
  std::vector<double> rates, lambdas;
};

Work work_of(Budget budget) {
  if (budget == Budget::smoke) return {16, 2, 2, 4, 32, 1, 1, 1, 2, 25, {3e-2}, {50}};
  if (budget == Budget::usual) return {48, 3, 3, 1200, 64, 8, 4, 6, 6, 20, {2e-3, 1e-2}, {0.1, 0.5, 1, 2, 4, 8}};
  return {64, 4, 3, 10'000, 128, 16, 4, 6, 20, 16, {1e-3, 3e-3, 1e-2}, {0.1, 0.5, 1, 2, 4, 8}};
}

struct Pretrained {
  PromptedClip clip;
  double strength;                                     // of the shift
  std::vector<std::pair<double, double>> by_strength;  // zero-shot accuracy
};

double accuracy_among(const Tensor& u, const Tensor& t, const Tensor& label) {
  return 100 * metrics::accuracy(argmax(scores(u, t, 1), 1), label);
}

std::vector<int64_t> repeated(const std::vector<int64_t>& pairs, int64_t times) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < times; ++i) all.insert(all.end(), pairs.begin(), pairs.end());
  return all;
}

// Places within `pairs`, as often as repeated() repeats them.
Tensor labels_of(size_t pairs, int64_t times) {
  std::vector<int64_t> label;
  for (int64_t i = 0; i < times; ++i)
    for (size_t c = 0; c < pairs; ++c) label.push_back(static_cast<int64_t>(c));
  return from_vector(label);
}

void train_clip(PromptedClip& clip, const DigitPairs& digits, const Work& work, Generator& random) {
  optim::AdamW adamw(clip.parameters(), {.lr = 2e-3, .weight_decay = 0.01});
  optim::Schedule schedule = optim::cosine_with_warmup(std::max<int64_t>(1, work.steps / 20), work.steps);
  for (int64_t step = 0; step < work.steps; ++step) {
    std::vector<int64_t> pairs;
    std::vector<std::vector<int64_t>> captions;
    for (int64_t i = 0; i < work.batch; ++i) {
      pairs.push_back(static_cast<int64_t>(random.next_below(kPairs)));
      int64_t said = random.next_double() < kWrongCaptions ? static_cast<int64_t>(random.next_below(kPairs)) : pairs.back();
      captions.push_back(caption_words(said, random.next_below(data::kDigitPairForms)));
    }
    adamw.zero_grad();
    clip.loss(view(digits.draw(pairs, random), random), contrastive::pack_texts(captions, kContext)).backward();
    adamw.set_lr_scale(schedule(step));
    adamw.step();
    clip.limit_scale();
  }
}

// The strength of the shift is the one of the list whose zero-shot accuracy on the base half is nearest to 55 %: set before anything is
// tuned.
void choose_strength(Pretrained& p, const DigitPairs& digits, Generator& random) {
  NoGrad off;
  std::vector<int64_t> base = half(true);
  Tensor images = digits.draw(repeated(base, 4), random), label = labels_of(base.size(), 4),
         t = p.clip.encode_text(class_texts(base));
  double nearest = INFINITY;
  for (double strength : {0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5}) {
    double a = accuracy_among(p.clip.encode_image(shifted(images, strength, random)), t, label);
    p.by_strength.push_back({strength, a});
    if (strength > 0 && std::abs(a - 55) < nearest) nearest = std::abs(a - 55), p.strength = strength;
  }
}

Pretrained pretrain(Budget budget) {
  manual_seed(2026);
  Work work = work_of(budget);
  PromptedClipConfig config{.image_height = 8,
                            .image_width = 16,
                            .patch = 4,
                            .vocab = 3 + static_cast<int64_t>(vocabulary().size()),
                            .context = kContext,
                            .layers = work.layers,
                            .heads = 4,
                            .vision_width = work.width,
                            .text_width = work.width,
                            .width = work.width};
  Pretrained p{PromptedClip(config), 1, {}};
  Generator random(2026);
  DigitPairs digits(data::digits().train());
  train_clip(p.clip, digits, work, random);
  p.clip.requires_grad_(false);
  choose_strength(p, digits, random);
  return p;
}

// One model for all seeds of a run: its own seed is fixed.
std::shared_ptr<const Pretrained> pretrained(Cell& cell) {
  static std::map<Budget, std::shared_ptr<const Pretrained>> made;
  return *cell.shared("the pretrained model", [&] {
    auto& kept = made[cell.budget()];
    if (!kept) kept = std::make_shared<const Pretrained>(pretrain(cell.budget()));
    return kept;
  });
}

// -- tuning ---------------------------------------------------------------------------------------------------

struct Examples {
  Tensor images, label;
};

// Few-shot draws and test images, of the new domain.
struct Problem {
  Examples train, validation, base, novel;
};

Problem make_problem(const Pretrained& p, const Work& work) {
  Generator& random = default_generator();
  DigitPairs learn(data::digits().train()), judge(data::digits().test());
  std::vector<int64_t> base = half(true), novel = half(false);
  check_split(base, novel, kPairs);
  auto draw = [&](const DigitPairs& digits, const std::vector<int64_t>& pairs, int64_t times) {
    return Examples{shifted(digits.draw(repeated(pairs, times), random), p.strength, random), labels_of(pairs.size(), times)};
  };
  return {draw(learn, base, work.shots), draw(learn, base, work.validation), draw(judge, base, work.test), draw(judge, novel, work.test)};
}

struct Recipe {
  PromptOptions prompts;
  ConsistencyOptions consistency{.lambda = 0};
  bool perturbed = true;  // frozen embeddings of other views; else of the same image, and of the template
  double rate = 0;        // 0: nothing is tuned
};

Recipe recipe_of(const std::string& variant, int64_t depth) {
  Recipe r{.prompts = {.tokens = kTokens, .depth = depth}};
  if (variant == "zero-shot" || variant == "adapters") r.prompts.tokens = 0;
  if (variant == "zero-shot") r.prompts.adapters = false;
  if (variant == "CoOp") r.prompts = PromptOptions::coop(kTokens);
  if (variant == "MaPLe") r.prompts = PromptOptions::maple(kTokens, depth);
  if (variant == "text consistency") r.consistency.image = false;
  if (variant == "image consistency") r.consistency.text = false;
  if (variant == "absolute distance") r.consistency.distance = Distance::absolute;
  if (variant == "same views") r.perturbed = false;
  return r;
}

bool holds_consistency(const std::string& variant) {
  return variant == "CoPrompt" || variant.ends_with("consistency") || variant == "absolute distance" || variant == "same views";
}

class Tuning {
 public:
  Tuning(const Pretrained& p, const Problem& problem, const Work& work, uint64_t seed)
      : clip_(p.clip), problem_(problem), work_(work), seed_(seed), texts_(class_texts(half(true))), scale_(clip_.scale().item()) {
    std::vector<std::vector<std::vector<int64_t>>> descriptions;
    for (int64_t pair : half(true)) {
      descriptions.emplace_back();
      for (size_t c = 1; c < data::kDigitPairForms; ++c) descriptions.back().push_back(caption_words(pair, c));
    }
    bank_ = description_bank(clip_, descriptions);
    NoGrad off;
    template_ = clip_.encode_text(texts_);
  }

  PromptLearner operator()(const Recipe& r) const {
    manual_seed(seed_);
    Tensor context;
    if (r.prompts.tokens > 0) context = clip_.text_model.embed({vocabulary().at("a"), vocabulary().at("photo")});
    PromptLearner learner(clip_.clip_config(), r.prompts, context);
    if (r.rate == 0) return learner;
    Generator random(seed_ + 1);
    optim::AdamW adamw(learner.parameters(), {.lr = r.rate, .weight_decay = 0});
    optim::Schedule schedule = optim::cosine(work_.epochs);
    for (int64_t e = 0; e < work_.epochs; ++e) {
      adamw.set_lr_scale(schedule(e));
      std::vector<int64_t> order = data::random_order(problem_.train.label.size(0), random);
      for (size_t from = 0; from < order.size(); from += static_cast<size_t>(work_.tuning_batch)) {
        size_t to = std::min(order.size(), from + static_cast<size_t>(work_.tuning_batch));
        adamw.zero_grad();
        loss(learner, r, std::vector<int64_t>(order.begin() + static_cast<int64_t>(from), order.begin() + static_cast<int64_t>(to)), random)
            .backward();
        adamw.step();
      }
    }
    return learner;
  }

  double accuracy(const PromptLearner& learner, const Examples& examples, bool base) const {
    NoGrad off;
    return accuracy_among(learner.encode_image(clip_, examples.images),
                          learner.encode_text(clip_, base ? texts_ : class_texts(half(false))), examples.label);
  }

  // Of novel images and texts: how far tuning took them.
  double distance(const PromptLearner& learner) const {
    NoGrad off;
    Texts novel = class_texts(half(false));
    return 0.5 * (consistency(learner.encode_text(clip_, novel), clip_.encode_text(novel)).item() +
                  consistency(learner.encode_image(clip_, problem_.novel.images), clip_.encode_image(problem_.novel.images)).item());
  }

 private:
  Tensor loss(const PromptLearner& learner, const Recipe& r, const std::vector<int64_t>& places, Generator& random) const {
    Tensor rows = from_vector(places), x = index_select(problem_.train.images, 0, rows),
           label = index_select(problem_.train.label, 0, rows);
    Tensor seen = view(x, random), other = r.perturbed ? view(x, random) : seen, frozen_image, frozen_text;
    auto description = static_cast<int64_t>(random.next_below(static_cast<uint64_t>(bank_.size(0))));
    if (r.consistency.lambda > 0) {
      NoGrad off;
      frozen_image = clip_.encode_image(other);
      frozen_text = r.perturbed ? select(bank_, 0, description) : template_;
    }
    return coprompt_loss(learner.encode_image(clip_, seen), learner.encode_text(clip_, texts_), scale_, label, frozen_image, frozen_text,
                         r.consistency);
  }

  const PromptedClip& clip_;
  const Problem& problem_;
  Work work_;
  uint64_t seed_;
  Texts texts_;
  double scale_;
  Tensor bank_, template_;
};

// What a recipe was worth.
struct Trial {
  Recipe recipe;
  double validation = 0, base = 0, novel = 0, distance = 0;
};

Trial tried(const Tuning& tuning, const Problem& problem, const Recipe& recipe) {
  PromptLearner learner = tuning(recipe);
  return {recipe, tuning.accuracy(learner, problem.validation, true), tuning.accuracy(learner, problem.base, true),
          tuning.accuracy(learner, problem.novel, false), tuning.distance(learner)};
}

// The highest accuracy on held-out images of base classes, the first of equals: novel ones may not be looked at.
const Trial& best(const std::vector<Trial>& trials) { return *std::ranges::max_element(trials, {}, &Trial::validation); }

// A learner without consistency, with every rate.
std::shared_ptr<const std::vector<Trial>> rate_trials(Cell& cell, const Tuning& tuning, const Problem& problem, const Work& work,
                                                      const std::string& learner) {
  return cell.shared("rates of " + learner, [&] {
    std::vector<Trial> trials;
    for (double rate : work.rates) {
      cell.progress(0.2);
      Recipe recipe = recipe_of(learner, work.depth);
      recipe.rate = rate;
      trials.push_back(tried(tuning, problem, recipe));
    }
    return trials;
  });
}

// CoPrompt with every λ, which its ablations share.
std::shared_ptr<const std::vector<Trial>> lambda_trials(Cell& cell, const Tuning& tuning, const Problem& problem, const Work& work,
                                                        double rate) {
  return cell.shared("all of λ", [&] {
    std::vector<Trial> trials;
    for (double lambda : work.lambdas) {
      cell.progress(0.5);
      Recipe recipe = recipe_of("CoPrompt", work.depth);
      recipe.rate = rate;
      recipe.consistency.lambda = lambda;
      trials.push_back(tried(tuning, problem, recipe));
    }
    return trials;
  });
}

void draw_lambdas(Cell& cell, const std::vector<Trial>& trials) {
  for (const Trial& t : trials) {
    auto point = [&](const char* line, double y) {
      cell.point("Accuracy by λ (%)", "log2 λ", std::log2(t.recipe.consistency.lambda), y, line);
    };
    point("base", t.base);
    point("novel", t.novel);
    point("harmonic mean", harmonic_mean(t.base, t.novel));
    point("validation (base)", t.validation);
  }
}

// Rates with λ = 0; what holds the consistency takes those of the same learner without it.
Trial chosen(Cell& cell, const Tuning& tuning, const Problem& problem, const Work& work) {
  Recipe recipe = recipe_of(cell.variant(), work.depth);
  if (cell.is("zero-shot")) return tried(tuning, problem, recipe);
  bool held = holds_consistency(cell.variant());
  Trial plain = best(*rate_trials(cell, tuning, problem, work, held ? "λ = 0" : cell.variant()));
  if (!held) return plain;
  auto trials = lambda_trials(cell, tuning, problem, work, plain.recipe.rate);
  if (cell.is("CoPrompt")) {
    draw_lambdas(cell, *trials);
    return best(*trials);
  }
  recipe.rate = plain.recipe.rate;
  recipe.consistency.lambda = best(*trials).recipe.consistency.lambda;
  return tried(tuning, problem, recipe);
}

void run(Cell& cell) {
  Work work = work_of(cell.budget());
  auto p = pretrained(cell);
  auto problem = cell.shared("few-shot draws", [&] { return make_problem(*p, work); });
  Tuning tuning(*p, *problem, work, cell.seed());
  Trial t = chosen(cell, tuning, *problem, work);
  cell.metric("harmonic mean (%)", harmonic_mean(t.base, t.novel));
  cell.metric("base accuracy (%)", t.base);
  cell.metric("novel accuracy (%)", t.novel);
  cell.metric("distance from the frozen embeddings", t.distance);
  cell.point("Rate that was chosen", "", 0, t.recipe.rate);
  if (t.recipe.consistency.lambda > 0) cell.point("λ that was chosen", "", 0, t.recipe.consistency.lambda);
  if (cell.is("zero-shot"))
    for (auto [strength, accuracy] : p->by_strength)
      cell.point("Zero-shot accuracy on base classes by the shift's strength (%)", "strength", strength, accuracy);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "CoPrompt";
  e.paper = "Roy, Etemad: Consistency-guided Prompt Learning for Vision-Language Models, ICLR 2024";
  e.claim = "prompts and adapters that stay consistent with the frozen model learn base classes without losing novel ones";
  e.metrics = {{"harmonic mean (%)", Better::higher},
               {"base accuracy (%)", Better::higher},
               {"novel accuracy (%)", Better::higher},
               {"distance from the frozen embeddings", Better::neither}};
  e.variants = {{"zero-shot", "the pretrained model as it is"},
                {"CoOp", "a text context of two tokens"},
                {"adapters", "on both outputs, no prompts"},
                {"MaPLe", "deep prompts of both towers"},
                {"λ = 0", "MaPLe and adapters: CoPrompt without consistency"},
                {"text consistency", "of the texts alone, at CoPrompt's λ"},
                {"image consistency", "of the images alone, at CoPrompt's λ"},
                {"same views", "frozen embeddings of the same image and of the template"},
                {"absolute distance", "of directions, in place of the cosine, at CoPrompt's λ"},
                {"CoPrompt", "both consistencies with other views; λ chosen on base classes"}};
  e.baseline = "MaPLe";
  e.method = "CoPrompt";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::coprompt
