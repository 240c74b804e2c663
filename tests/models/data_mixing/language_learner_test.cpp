// A language model as the learner of data mixing.
#include "models/data_mixing/language_learner.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/data_mixing/policies.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::data_mixing;
using doctest::Approx;
using transformer::Gpt;

namespace {

// Group g repeats the tokens 2 g, 2 g + 1; the third is random.
std::shared_ptr<const GroupTexts> texts() {
  GroupTexts out;
  Generator random(3);
  for (int32_t g = 0; g < 3; ++g) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 200; ++i) tokens.push_back(g < 2 ? 2 * g + i % 2 : 4 + static_cast<int32_t>(random.next_below(2)));
    data::TokenStream all(tokens, "group");
    out.push_back({"group", all.part(0, 160), all.part(160, 180), all.part(180, 200)});
  }
  return std::make_shared<const GroupTexts>(out);
}

std::shared_ptr<const Gpt> start() {
  manual_seed(1);
  return std::make_shared<const Gpt>(transformer::GptConfig{.vocab = 6, .layers = 1, .heads = 1, .width = 8, .context = 4});
}

LanguageLearner learner(int64_t steps = 40) {
  return LanguageLearner(texts(), start(),
                         {.batch = 6, .steps = steps, .warmup = 4, .validation_windows = 3, .adam = {.lr = 0.02}, .seed = 5});
}

std::vector<double> weights(const LanguageLearner& l) {
  std::vector<double> out;
  for (const Tensor& p : l.model().parameters())
    for (double x : to_vector(p)) out.push_back(x);
  return out;
}

}  // namespace

TEST_CASE("text_loss: the mean over evenly spaced windows, the same every time") {
  auto model = start();
  data::TokenStream text = (*texts())[0].test;  // 20 tokens: 4 windows of 4 and their next tokens
  NoGrad off;
  double by_hand = 0;
  for (int64_t begin : {0, 8}) {
    std::vector<int64_t> tokens(5);
    text.read(begin, 5, tokens.data());
    Tensor all = from_vector(tokens, {1, 5});
    by_hand += cross_entropy((*model)(narrow(all, 1, 0, 4)), narrow(all, 1, 1, 4)).item() / 2;
  }
  CHECK(text_loss(*model, text, 2) == Approx(by_hand).epsilon(1e-6));
  CHECK(text_loss(*model, text, 2) == text_loss(*model, text, 2));
  CHECK(text_loss(*model, text, 100) == text_loss(*model, text, 4));
}

TEST_CASE("LanguageLearner: a group that is trained on is learned, and the order of data follows the seed") {
  LanguageLearner a = learner(), b = learner();
  Shares before = a.validation_losses();
  for (int i = 0; i < 40; ++i) a.step({1, 0, 0}), b.step({1, 0, 0});
  Shares after = a.validation_losses();
  CHECK(after[0] < 0.3 * before[0]);
  CHECK(after[1] > 2 * after[0]);
  CHECK(weights(a) == weights(b));
  CHECK(a.steps() == 40);
  CHECK_THROWS_WITH_AS(a.step({1, 0, 0}), "language learner: all of the 40 planned steps are made", ValueError);
}

TEST_CASE("LanguageLearner: every step has its own learning rate once, whatever kind of step it is") {
  LanguageLearner l = learner(40);
  CHECK(l.learning_rate(0) == Approx(0.02 / 4));
  CHECK(l.learning_rate(3) == Approx(0.02));
  CHECK(l.learning_rate(39) < 0.001);
  l.step({0.2, 0.3, 0.5});
  l.step_exact({1, 2, 3});
  l.step_weighted(nullptr, [](const Shares& losses, const Shares& reference) {
    CHECK(reference == Shares{0, 0, 0});
    CHECK(losses.size() == 3);
    return Shares{0.2, 0.3, 0.5};
  });
  double rate = 0;
  l.step_aligned([&](const Alignment& a) {
    rate = a.learning_rate;
    return Shares{0.2, 0.3, 0.5};
  });
  CHECK(l.steps() == 4);
  CHECK(rate == Approx(l.learning_rate(3)));
  CHECK(learner(4).learning_rate(0) == Approx(0.02));  // warm-up is at most a quarter: one step
}

TEST_CASE("LanguageLearner: a fresh learner starts where the first one did and goes its own way") {
  LanguageLearner l = learner();
  std::vector<double> first = weights(l);
  for (int i = 0; i < 3; ++i) l.step({0.2, 0.3, 0.5});
  auto other = l.fresh(10, 1);
  auto& same = dynamic_cast<LanguageLearner&>(*other);
  CHECK(weights(same) == first);
  CHECK(weights(l) != first);
  CHECK(other->steps() == 0);
  CHECK(other->planned_steps() == 10);
}

TEST_CASE("LanguageLearner: weighted steps train the groups that have weight, and hear of the reference on the same batch") {
  LanguageLearner l = learner(), reference = learner();
  for (int i = 0; i < 40; ++i) reference.step({0, 1, 0});
  Shares before = l.validation_losses();
  for (int i = 0; i < 40; ++i)
    l.step_weighted(&reference, [&](const Shares& losses, const Shares& of_reference) {
      if (i == 0) {
        CHECK(of_reference[1] < 0.5 * losses[1]);  // the reference knows the second group alone
        CHECK(of_reference[0] > 0.7 * losses[0]);
      }
      return Shares{0, 1, 0};
    });
  CHECK(l.validation_losses()[1] < 0.3 * before[1]);
  CHECK(l.validation_losses()[0] > before[0] - 0.2);
}

TEST_CASE("LanguageLearner: aligned steps know how gradients lie, and train on their weighted sum") {
  LanguageLearner l = learner();
  Shares before = l.validation_losses();
  for (int i = 0; i < 40; ++i)
    l.step_aligned([&](const Alignment& a) {
      REQUIRE(a.inner.size() == 3);
      for (size_t j = 0; j < 3; ++j) {
        CHECK(a.norm[j] <= 1 + 1e-6);
        CHECK(std::abs(a.inner[j]) <= a.norm[j] + 1e-6);  // the mixed batch's is at most 1 long
      }
      return Shares{1, 0, 0};
    });
  CHECK(l.validation_losses()[0] < 0.3 * before[0]);
}

TEST_CASE("LanguageLearner: DoReMi and DoGE run on it") {
  for (int which : {0, 1}) {
    LanguageLearner l = learner(12);
    std::unique_ptr<MixingPolicy> policy;
    if (which == 0) policy = std::make_unique<DoReMi>(DoReMiOptions{.proxy_steps = 8});
    if (which == 1) policy = std::make_unique<Doge>(DogeOptions{.proxy_steps = 8});
    MixingRun run = train_mixed(l, *policy, {.steps = 12, .round = 6});
    CHECK(l.steps() == 12);
    double sum = 0;
    for (double p : run.rounds[1].proportions) sum += p;
    CHECK(sum == Approx(1).epsilon(1e-9));
    CHECK(run.rounds[1].proportions[0] != Approx(1.0 / 3).epsilon(1e-9));
  }
}

TEST_CASE("LanguageLearner: bad input is told by its values") {
  CHECK_THROWS_WITH_AS(LanguageLearner(std::make_shared<const GroupTexts>(), start(), {}), "language learner: there are no texts",
                       ValueError);
  CHECK_THROWS_WITH_AS(LanguageLearner(texts(), start(), {.clip = 0}), "language learner: the norm to clip at must be positive, it is 0",
                       ValueError);
  CHECK_THROWS_AS(LanguageLearner(texts(), start(), {.batch = 0}), ValueError);
  auto narrow_model = std::make_shared<const Gpt>(transformer::GptConfig{.vocab = 5, .layers = 1, .heads = 1, .width = 8, .context = 4});
  CHECK_THROWS_WITH_AS(LanguageLearner(texts(), narrow_model, {}), "language learner: group has token 5, the model's vocabulary is 5",
                       ValueError);
  auto long_model = std::make_shared<const Gpt>(transformer::GptConfig{.vocab = 6, .layers = 1, .heads = 1, .width = 8, .context = 64});
  CHECK_THROWS_AS(LanguageLearner(texts(), long_model, {}), ConfigError);
}
