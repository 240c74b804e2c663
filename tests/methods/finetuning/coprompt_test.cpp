// CoPrompt: losses on worked numbers, its special cases, what is frozen and counted, and the experiment.
#include "methods/finetuning/coprompt/coprompt.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "methods/runner.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

namespace plumb::methods::coprompt {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::coprompt;
using namespace plumb::contrastive;
using doctest::Approx;

namespace {

Tensor mixed_texts() {
  Tensor t = tensor({{1.0, 0.0, 1.0}, {0.5, 2.0, -1.0}}, f64), pre = tensor({{0.2, -0.4, 1.0}, {0.3, 0.1, -0.2}}, f64);
  return ResidualAdapter::mixed(pre, t, 0.2);
}
Tensor frozen_texts() { return tensor({{0.9, 0.1, 1.2}, {0.2, 1.5, -1.0}}, f64); }
Tensor images() { return tensor({{0.5, 1.0, 0.2}, {1.0, 0.3, 0.8}}, f64); }
Tensor frozen_images() { return tensor({{0.4, 1.1, 0.1}, {0.9, 0.5, 0.7}}, f64); }

PromptedClipConfig small() {
  return {.image_height = 4,
          .image_width = 8,
          .patch = 4,
          .vocab = 12,
          .context = 9,
          .layers = 3,
          .heads = 2,
          .vision_width = 12,
          .text_width = 8,
          .width = 16};
}
// Three classes: two words of a template (3, 4), which the context takes the place of, and a name.
std::vector<std::vector<int64_t>> three_names() { return {{3, 4, 5}, {3, 4, 6, 7}, {3, 4, 8}}; }

std::vector<double> all_values(const nn::Module& module) {
  std::vector<double> values;
  for (const Tensor& p : module.parameters())
    for (double v : to_vector(p)) values.push_back(v);
  return values;
}

}  // namespace

TEST_CASE("coprompt: texts pass their adapter and are compared as worked out") {
  check_close(mixed_texts(), {0.84, 0, 1.0, 0.46, 1.62, -0.8}, 1e-14);
  check_close(cosine_similarity(mixed_texts(), frozen_texts()), {0.996268, 0.982340}, 4e-7);
  CHECK(consistency(mixed_texts(), frozen_texts()).item() * 100 == Approx(1.06962).epsilon(3e-6));
}

TEST_CASE("coprompt: images, logits and the whole loss have their worked values") {
  CHECK(consistency(images(), frozen_images()).item() * 100 == Approx(1.37424).epsilon(3e-6));
  check_close(scores(images(), mixed_texts(), 4), {1.671931, 3.192361, 3.818934, 0.499136}, 5e-7);
  Tensor label = tensor({1, 0});
  auto loss = [&](ConsistencyOptions o) {
    return coprompt_loss(images(), mixed_texts(), 4, label, frozen_images(), frozen_texts(), o).item();
  };
  CHECK(loss({.lambda = 0}) == Approx(0.116619).epsilon(5e-7));
  CHECK(loss({.lambda = 1}) == Approx(0.141058).epsilon(5e-7));
  CHECK(loss({.lambda = 8}) == Approx(0.312128).epsilon(5e-7));
  CHECK(loss({.lambda = 8, .image = false}) == Approx(0.116619 + 8 * 0.0106962).epsilon(1e-6));
  CHECK(loss({.lambda = 8, .text = false}) == Approx(0.116619 + 8 * 0.0137424).epsilon(1e-6));
  // Squared distances of directions are 2 − 2 cos, here a mean over three numbers each.
  CHECK(loss({.lambda = 1, .distance = Distance::squared}) == Approx(0.116619 + 2.0 / 3 * (0.0106962 + 0.0137424)).epsilon(1e-6));
}

TEST_CASE("coprompt: the harmonic mean of base and novel classes has its worked values") {
  CHECK(harmonic_mean(84.00, 77.23) == Approx(80.4729).epsilon(1e-6));
  CHECK(harmonic_mean(82.28, 75.14) == Approx(78.5481).epsilon(1e-6));
  CHECK(harmonic_mean(0, 0) == 0);
}

TEST_CASE("coprompt: consistency feels directions alone, lies in [0, 2], and passes no gradient to the frozen side") {
  Tensor a = images(), b = frozen_images();
  CHECK(consistency(a * 5, b * 0.1).item() == Approx(consistency(a, b).item()).epsilon(1e-12));
  CHECK(std::abs(consistency(a, a * 3).item()) < 1e-15);
  CHECK(consistency(a, -a).item() == Approx(2));
  Tensor x = images().requires_grad_(), y = frozen_images().requires_grad_();
  consistency(x, y).backward();
  CHECK(x.grad().defined());
  CHECK(!y.grad().defined());
}

TEST_CASE("coprompt: adapters that count nothing leave MaPLe, and prompts of one depth of the texts alone CoOp") {
  manual_seed(3);
  PromptedClip clip(small());
  Texts texts = pack_texts(three_names(), 9);
  Tensor x = rand({2, 1, 4, 8}), context = clip.text_model.embed({3, 4});
  manual_seed(4);
  PromptLearner silent(small(), {.image_mix = 0, .text_mix = 0}, context);
  manual_seed(4);
  PromptLearner maple(small(), PromptOptions::maple(2, 3), context);
  CHECK(to_vector(silent.encode_text(clip, texts)) == to_vector(maple.encode_text(clip, texts)));
  CHECK(to_vector(silent.encode_image(clip, x)) == to_vector(maple.encode_image(clip, x)));
  manual_seed(4);
  PromptLearner shallow(small(), {.depth = 1, .vision = false, .image_mix = 0, .text_mix = 0}, context),
      coop(small(), PromptOptions::coop(2), context);
  CHECK(to_vector(shallow.encode_text(clip, texts)) == to_vector(coop.encode_text(clip, texts)));
  CHECK(to_vector(coop.encode_image(clip, x)) == to_vector(clip.encode_image(x)));
  // CoOp before its first step is the template: the consistency with it is 0, and so is that with the same view.
  CHECK(to_vector(coop.encode_text(clip, texts)) == to_vector(clip.encode_text(texts)));
  CHECK(std::abs(consistency(coop.encode_text(clip, texts), clip.encode_text(texts)).item()) < 1e-6);
  CHECK(std::abs(consistency(coop.encode_image(clip, x), clip.encode_image(x)).item()) < 1e-6);
  // With deeper prompts it is not.
  CHECK(consistency(maple.encode_text(clip, texts), clip.encode_text(texts)).item() > 1e-4);
  CHECK(consistency(maple.encode_image(clip, x), clip.encode_image(x)).item() > 1e-6);
}

TEST_CASE("prompted_clip: what a block makes of prompts counts only where no new ones take their place") {
  manual_seed(5);
  PromptedClip clip(small());
  PromptLearner learner(small(), {.depth = 3, .adapters = false});
  Texts texts = pack_texts(three_names(), 9);
  std::vector<Tensor> text_outputs, image_outputs;
  Tensor text_weight = randn({8}), image_weight = randn({12});
  Tensor t = clip.text_model(texts, learner.text_prompts(), &text_outputs);
  Tensor u = clip.vision_model(rand({2, 1, 4, 8}), learner.vision_prompts(), &image_outputs);
  REQUIRE(text_outputs.size() == 3);
  for (size_t j = 0; j < 3; ++j) {
    CAPTURE(j);
    Tensor text = grad({sum(t * text_weight)}, {text_outputs[j]}, {.retain_graph = true})[0];
    Tensor image = grad({sum(u * image_weight)}, {image_outputs[j]}, {.retain_graph = true})[0];
    CHECK(amax(abs(narrow(text, 1, 1, 2))).item() == 0);  // the last block's prompts are read by none
    CHECK(amax(abs(narrow(image, 1, 3, 2))).item() == 0);
    CHECK(amax(abs(narrow(text, 1, 3, 3))).item() > 1e-4);
    CHECK(amax(abs(select(image, 1, 0))).item() > 1e-4);
  }
  // From the last depth on they flow: with prompts of two depths the second block's count in the third.
  PromptLearner two(small(), {.depth = 2, .adapters = false});
  std::vector<Tensor> outputs;
  Tensor v = clip.vision_model(rand({2, 1, 4, 8}), two.vision_prompts(), &outputs);
  CHECK(amax(abs(narrow(grad({sum(v * image_weight)}, {outputs[0]}, {.retain_graph = true})[0], 1, 3, 2))).item() == 0);
  CHECK(amax(abs(narrow(grad({sum(v * image_weight)}, {outputs[1]}, {.retain_graph = true})[0], 1, 3, 2))).item() > 0);
}

TEST_CASE("prompted_clip: a text is read up to its end: neither padding nor its neighbours count") {
  manual_seed(6);
  PromptedClip clip(small());
  Tensor together = clip.encode_text(pack_texts(three_names(), 9)), alone = clip.encode_text(pack_texts({three_names()[0]}, 9));
  CHECK(amax(abs(select(together, 0, 0) - select(alone, 0, 0))).item() < 1e-6);
  CHECK(amax(abs(select(together, 0, 0) - select(together, 0, 2))).item() > 1e-4);
  PromptedClip copy = clip;
  CHECK(all_values(copy) == all_values(clip));
  CHECK(to_vector(copy.encode_text(pack_texts(three_names(), 9))) == to_vector(together));
}

TEST_CASE("coprompt: training moves the learner's numbers, as many as there should be, and no bit of the frozen model") {
  manual_seed(7);
  PromptedClip clip(small());
  clip.requires_grad_(false);
  PromptLearner learner(small(), {.tokens = 2, .depth = 3}, clip.text_model.embed({3, 4}));
  CHECK(learner.num_parameters() == 2 * 8 * 3 + 3 * (8 * 12 + 12) + 2 * (2 * 16 * 16 / 4));
  std::vector<double> frozen = all_values(clip), start = all_values(learner);
  Texts texts = pack_texts(three_names(), 9);
  Tensor x = rand({4, 1, 4, 8}), label = tensor({0, 1, 2, 1});
  Tensor bank = description_bank(clip, {{{5, 9}, {9, 5}}, {{6, 9}}, {{8, 10}, {10, 8}}});
  CHECK(bank.shape() == Shape{2, 3, 16});
  CHECK(to_vector(select(select(bank, 0, 0), 0, 1)) == to_vector(select(select(bank, 0, 1), 0, 1)));  // a single description serves twice
  optim::SGD sgd(learner.parameters(), {.lr = 0.1});
  for (int step = 0; step < 3; ++step) {
    sgd.zero_grad();
    coprompt_loss(learner.encode_image(clip, x), learner.encode_text(clip, texts), 10, label, clip.encode_image(x),
                  select(bank, 0, step % 2))
        .backward();
    sgd.step();
  }
  CHECK(all_values(clip) == frozen);
  for (const Tensor& p : clip.parameters()) CHECK(!p.grad().defined());
  for (const auto& [name, p] : learner.named_parameters()) {
    CAPTURE(name);
    CHECK(p.grad().defined());
    CHECK(amax(abs(p.grad())).item() > 0);
  }
  CHECK(all_values(learner) != start);
}

TEST_CASE("coprompt: bad input is told by its values") {
  PromptedClip clip(small());
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {.depth = 0}), "coprompt: the depth must be in [1, 3], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {.depth = 4}), "coprompt: the depth must be in [1, 3], it is 4", ValueError);
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {.tokens = -1}), "coprompt: tokens must not be negative, they are -1", ValueError);
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {}, ones({3, 8})), "coprompt: the context is [3, 8] instead of [2, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {.reduction = 5}), "coprompt: a reduction of 5 does not divide the width 16", ValueError);
  CHECK_THROWS_WITH_AS(PromptLearner(small(), {.image_mix = 2}), "coprompt: an adapter's share must be in [0, 1], it is 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(pack_texts({{3, 4, 5, 6, 7, 8, 9, 10}}, 9), "pack_texts: a text of 10 tokens is longer than the context of 9",
                       ValueError);
  CHECK_THROWS_WITH_AS(pack_texts({}, 9), "pack_texts: there are no texts", ValueError);
  PromptLearner long_prompts(small(), {.tokens = 5});
  CHECK_THROWS_WITH_AS(long_prompts.encode_text(clip, pack_texts(three_names(), 9)),
                       "prompted_clip: 5 prompts have no place in a text that ends at 4", ShapeError);
  CHECK_THROWS_WITH_AS(clip.vision_model(ones({1, 1, 4, 8}), Prompts(4, ones({2, 12}))),
                       "prompted_clip: prompts for 4 depths do not fit 3 blocks", ValueError);
  CHECK_THROWS_WITH_AS(clip.encode_image(ones({1, 1, 8, 4})), "prompted_clip: takes images [B, 1, 4, 8], got [1, 1, 8, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(description_bank(clip, {{{3}}, {}}), "coprompt: class 1 has no description", ValueError);
  CHECK_THROWS_WITH_AS(check_split({0, 1, 2}, {3, 2}, 4), "coprompt: class 2 is both a base and a novel class", ValueError);
  CHECK_THROWS_WITH_AS(check_split({0, 4}, {3}, 4), "coprompt: class 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(consistency(images(), ones({2, 4})), "coprompt: takes two matrices [n, e] of one shape, got [2, 3] and [2, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(coprompt_loss(images(), mixed_texts(), 4, tensor({0, 1}), images(), mixed_texts(), {.lambda = -1}),
                       "coprompt: lambda must not be negative, it is -1", ValueError);
  PromptedClipConfig odd = small();
  odd.text_width = 9;
  CHECK_THROWS_AS(odd.check(), ConfigError);
  CHECK(PromptedClipConfig::from_json(small().to_json()).text_width == 8);
}

TEST_CASE("coprompt: the experiment runs and everything is measured") {
  Results results = run_experiment({"finetuning", "coprompt", &coprompt::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == coprompt::experiment().variants.size());
  for (const char* variant : {"zero-shot", "CoOp", "MaPLe", "CoPrompt"}) {
    double base = measured(results, variant, "base accuracy (%)"), novel = measured(results, variant, "novel accuracy (%)");
    CHECK(measured(results, variant, "harmonic mean (%)") == Approx(harmonic_mean(base, novel)));
  }
  // Of four steps no variant is better than another; but what is not tuned stays where it is, and the consistency takes tuning elsewhere.
  const char* distance = "distance from the frozen embeddings";
  CHECK(measured(results, "zero-shot", distance) < 1e-6);
  CHECK(measured(results, "λ = 0", distance) > 1e-5);
  CHECK(measured(results, "CoPrompt", distance) != measured(results, "λ = 0", distance));
  CHECK(measured(results, "CoPrompt", distance) != measured(results, "same views", distance));
}
