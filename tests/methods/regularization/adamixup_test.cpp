// AdaMixUp: the worked examples, what bounds the region, whose gradients reach whom, what it reduces to, bad input and the experiment.
#include "methods/regularization/adamixup/adamixup.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/error.h"
#include "methods/common/mixing.h"
#include "methods/common/pooled_cnn.h"
#include "methods/common/staged_mlp.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::adamixup;

namespace plumb::methods::adamixup {
Experiment experiment();
}

namespace {

Tensor example_logits() { return tensor({{0.5, 1.0, -0.5}}, f64); }

// Everything that a step trains, in double, with heads whose weights are not small.
struct Parts {
  StagedMlp classifier{{.inputs = 3, .hidden = {5}, .classes = 3}}, trunk{{.inputs = 3, .hidden = {5}, .classes = 3}};
  RegionHead region{5, 4, 0.7};
  IntrusionDiscriminator discriminator{5, 3, 0.7};

  Parts() {
    for (nn::Module* m : {static_cast<nn::Module*>(&classifier), static_cast<nn::Module*>(&trunk), static_cast<nn::Module*>(&region),
                          static_cast<nn::Module*>(&discriminator)})
      m->to(f64);
  }
  Networks networks() const {
    return {staged(classifier), [this](const Tensor& x) { return trunk.features(x); }, &region, &discriminator};
  }
};

struct Batch {
  Tensor x, labels;
  Draws draws;
};
Batch make_batch(uint64_t seed, int64_t size = 6) {
  Generator g(seed);
  Tensor x = randn({size, 3}, {.dtype = f64, .generator = &g}), labels = randint(0, 3, {size}, {.dtype = i64, .generator = &g});
  return {x, labels, draw(x, g)};
}

bool any_nonzero(const std::vector<Tensor>& gradients) {
  for (const Tensor& g : gradients)
    if (g.defined())
      for (double v : to_vector(g))
        if (v != 0) return true;
  return false;
}

}  // namespace

TEST_CASE("adamixup: the worked region, shares and their derivative") {
  Tensor logits = example_logits().requires_grad_();
  PolicyRegion r = policy_region(logits);
  CHECK(r.a.item() == doctest::Approx(0.33149896).epsilon(1e-8));
  CHECK(r.b.item() == doctest::Approx(0.54654939).epsilon(1e-8));
  CHECK(r.c.item() == doctest::Approx(0.12195165).epsilon(3e-8));
  for (auto [u, wanted] : {std::pair{0.0, 0.331499}, {0.25, 0.468136}, {1.0, 0.878048}})
    CHECK(sample_lambda(r, full({1}, u, f64)).item() == doctest::Approx(wanted).epsilon(2e-6));
  sample_lambda(r, full({1}, 0.25, f64)).backward(ones({1}, f64));
  check_close(logits.grad(), {0.176312, -0.119222, -0.0570900}, 3e-6);
  CHECK(std::abs(sum(logits.grad()).item()) < 1e-14);
}

TEST_CASE("adamixup: the worked mixed point; the pair swapped with its share is the same point") {
  Tensor a = tensor({{1.0, 2.0}}, f64), b = tensor({{-1.0, 4.0}}, f64), lambda = tensor({0.46813631}, f64);
  check_close(mix_pairs(a, b, lambda), {-0.0637274, 3.06372739}, 4e-7);
  CHECK(to_vector(mix_pairs(a, b, lambda))[1] == doctest::Approx(to_vector(mix_pairs(b, a, 1 - lambda))[1]).epsilon(1e-15));
  CHECK(to_vector(mix_pairs(a, b, lambda))[0] == doctest::Approx(to_vector(mix_pairs(b, a, 1 - lambda))[0]).epsilon(1e-14));
  Tensor first = tensor({2}), second = tensor({0});
  CHECK(to_vector(mix_pairs(a, b, ones({1}, f64))) == to_vector(a));
  check_close(mixed_targets(first, second, ones({1}, f64), 3), {0, 0, 1});
}

TEST_CASE("adamixup: the worked intrusion losses, and what guessing by their numbers costs") {
  Tensor real = tensor({{0.2, 1.3}, {-0.5, 0.4}}, f64), mixed = tensor({{0.1, -0.3}}, f64);
  Tensor labels = tensor({1, 1, 0});
  check_close(cross_entropy(cat({real, mixed}), labels, {.reduction = Reduction::none}), {0.287335, 0.341154, 0.513015});
  CHECK(intrusion_loss(real, mixed).item() == doctest::Approx(0.380501).epsilon(2e-6));
  double odds = std::log(2.0);  // P(real) = 2/3 for everything
  Tensor guess = tensor({{0.0, odds}}, f64);
  CHECK(intrusion_loss(cat({guess, guess}), guess).item() == doctest::Approx(0.6365).epsilon(1e-4));
}

TEST_CASE("adamixup: shares lie in the region, regions in [0, 1], mixed labels sum to 1") {
  Generator g(1);
  for (DType dtype : {f32, f64}) {
    Tensor logits = 8 * randn({500, 3}, {.dtype = dtype, .generator = &g});
    PolicyRegion r = policy_region(logits);
    Tensor lambda = sample_lambda(r, rand({500}, {.dtype = dtype, .generator = &g}));
    auto a = to_vector(r.a), b = to_vector(r.b), c = to_vector(r.c), l = to_vector(lambda);
    double rounding = dtype == f32 ? 3e-7 : 1e-15;
    for (size_t i = 0; i < 500; ++i) {
      CHECK((a[i] >= 0 && b[i] >= 0 && c[i] >= 0));
      CHECK(a[i] + b[i] + c[i] == doctest::Approx(1).epsilon(rounding));
      CHECK((l[i] >= a[i] && l[i] <= a[i] + b[i] + rounding && l[i] <= 1));
    }
    Tensor first = randint(0, 4, {500}, {.dtype = i64, .generator = &g}), second = randint(0, 4, {500}, {.dtype = i64, .generator = &g});
    for (double total : to_vector(sum(mixed_targets(first, second, lambda, 4), {1}))) CHECK(total == doctest::Approx(1).epsilon(rounding));
  }
}

TEST_CASE("adamixup: without the intrusion loss and with the region [0, 1] it is mixup with uniform shares beside the originals") {
  manual_seed(2);
  Parts parts;
  Batch b = make_batch(3, 8);
  Networks nets{staged(parts.classifier)};
  StepLoss step = step_loss(nets, b.x, b.labels, b.draws);
  Tensor x1 = slice(b.x, 0, 0, 4), y1 = slice(b.labels, 0, 0, 4), partners = slice(b.draws.order, 0, 0, 4);
  Tensor x2 = index_select(b.x, 0, partners), y2 = index_select(b.labels, 0, partners);
  double wanted = 0;
  auto u = to_vector(b.draws.u);
  for (int64_t i = 0; i < 4; ++i) {
    Tensor row = u[static_cast<size_t>(i)] * slice(x1, 0, i, i + 1) + (1 - u[static_cast<size_t>(i)]) * slice(x2, 0, i, i + 1);
    Tensor z = parts.classifier(row), original = parts.classifier(slice(x1, 0, i, i + 1));
    wanted += (u[static_cast<size_t>(i)] * cross_entropy(z, slice(y1, 0, i, i + 1)).item() +
               (1 - u[static_cast<size_t>(i)]) * cross_entropy(z, slice(y2, 0, i, i + 1)).item() +
               cross_entropy(original, slice(y1, 0, i, i + 1)).item()) /
              8;
  }
  CHECK(step.total.item() == doctest::Approx(wanted).epsilon(1e-12));
  CHECK(step.b_mean == 1);
  CHECK(step.intrusion == 0);
  StepLoss halves = step_loss(nets, b.x, b.labels, b.draws, {.a = 0.5, .b = 0});
  CHECK(halves.lambda_mean == 0.5);
  CHECK(halves.lambda_std == 0);
  CHECK(halves.total.item() != step.total.item());
  // A discriminator whose loss has the weight 0 changes nothing, and gets no gradient.
  nets.discriminator = &parts.discriminator;
  StepLoss weightless = step_loss(nets, b.x, b.labels, b.draws, {.intrusion_weight = 0});
  CHECK(weightless.total.item() == step.total.item());
  weightless.total.backward();
  for (const Tensor& p : parts.discriminator.parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE(
    "adamixup: both losses have a gradient in the region's head and its trunk, and the intrusion loss one in the classifier's trunk") {
  manual_seed(4);
  Parts parts;
  Batch b = make_batch(5);
  std::vector<Tensor> generator = parts.region.parameters(), trunk{parts.trunk.layers[0].weight},
                      features{parts.classifier.layers[0].weight};
  Networks with = parts.networks(), without = parts.networks();
  without.discriminator = nullptr;
  auto gradients = [&](const Networks& nets, const std::vector<Tensor>& of) {
    return grad({step_loss(nets, b.x, b.labels, b.draws).total}, of, {.allow_unused = true});
  };
  auto difference = [&](const std::vector<Tensor>& of) {
    std::vector<Tensor> all = gradients(with, of), part = gradients(without, of), out;
    for (size_t k = 0; k < of.size(); ++k) out.push_back(all[k] - part[k]);
    return out;
  };
  CHECK(any_nonzero(gradients(without, generator)));
  CHECK(any_nonzero(gradients(without, trunk)));
  CHECK(any_nonzero(difference(generator)));
  CHECK(any_nonzero(difference(trunk)));
  CHECK(any_nonzero(difference(features)));
}

TEST_CASE("adamixup: a step along the gradient makes mixed examples easier to tell, not harder") {
  manual_seed(6);
  Parts parts;
  Batch b = make_batch(7, 12);
  Networks nets = parts.networks(), without = parts.networks();
  without.discriminator = nullptr;
  std::vector<Tensor> of = parts.region.parameters();
  std::vector<Tensor> all = grad({step_loss(nets, b.x, b.labels, b.draws).total}, of),
                      part = grad({step_loss(without, b.x, b.labels, b.draws).total}, of);
  double before = step_loss(nets, b.x, b.labels, b.draws).intrusion;
  for (size_t k = 0; k < of.size(); ++k) {
    Tensor value = of[k].detach();  // the same elements
    copy_data(value - 0.01 * (all[k] - part[k]), value);
  }
  CHECK(step_loss(nets, b.x, b.labels, b.draws).intrusion < before);
}

TEST_CASE("adamixup: the whole step's derivative against differences, noise and u held") {
  manual_seed(8);
  Parts parts;
  Batch b = make_batch(9);
  std::vector<Tensor> start{parts.classifier.layers[0].weight.detach(), parts.classifier.head.weight.detach(),
                            parts.trunk.layers[0].weight.detach(),      parts.region.hidden.weight.detach(),
                            parts.region.out.weight.detach(),           parts.region.out.bias.detach(),
                            parts.discriminator.first.weight.detach(),  parts.discriminator.second.weight.detach()};
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    parts.classifier.layers[0].weight = x[0], parts.classifier.head.weight = x[1], parts.trunk.layers[0].weight = x[2];
    parts.region.hidden.weight = x[3], parts.region.out.weight = x[4], parts.region.out.bias = x[5];
    parts.discriminator.first.weight = x[6], parts.discriminator.second.weight = x[7];
    return {step_loss(parts.networks(), b.x, b.labels, b.draws, {.intrusion_weight = 0.8, .pair_scale = 2, .pair_shift = -1}).total};
  };
  GradcheckResult result = gradcheck(loss, start, {.eps = 1e-6, .atol = 1e-8, .rtol = 1e-5});
  CHECK_MESSAGE(result.passed, result.message);
}

TEST_CASE("adamixup: heads start where shares are uniform in [1/3, 2/3], and the noise is cut at two deviations") {
  manual_seed(10);
  Generator g(11);
  RegionHead head(64);
  PolicyRegion r = head(randn({20, 64}, {.generator = &g}));
  for (const Tensor& part : {r.a, r.b, r.c})
    for (double v : to_vector(part)) CHECK(v == doctest::Approx(1.0 / 3).epsilon(1e-3));
  Draws d = draw(zeros({64, 1, 8, 8}), g);
  CHECK(d.first_noise.shape() == Shape{32, 1, 8, 8});
  double squares = 0;
  for (double v : to_vector(d.first_noise)) {
    CHECK(std::abs(v) <= 2);
    squares += v * v / 2048;
  }
  CHECK(squares == doctest::Approx(0.7737).epsilon(0.08));  // the variance of a normal within two deviations
  CHECK(to_vector(d.first_noise) != to_vector(d.second_noise));
}

TEST_CASE("adamixup: the discriminator's pass leaves running statistics alone; evaluation draws nothing and asks nobody else") {
  manual_seed(12);
  PooledCnnConfig config{.channels = 1, .height = 8, .width = 8, .classes = 3, .first = 4, .features = 6};
  PooledCnn net(config), twin = net;
  auto other = std::make_shared<PooledCnn>(config);
  int asked = 0;
  AdaMixUp method({.features = 6, .classes = 3},
                  {other, [other = other.get(), &asked](const Tensor& x) { return ++asked, other->features(x); }});
  AdaMixUp alone({.features = 6, .classes = 3, .discriminator = false},
                 {other, [other = other.get()](const Tensor& x) { return other->features(x); }});
  Generator g(13), same(13);
  Tensor x = rand({8, 1, 8, 8}), y = tensor({0, 1, 2, 0, 1, 2, 0, 1});
  method.loss(staged(net), x, y, g);
  alone.loss(staged(twin), x, y, same);
  CHECK(g.offset() == same.offset());
  for (auto [a, b] : {std::pair{&net.bn1, &twin.bn1}, {&net.bn3, &twin.bn3}}) {
    CHECK(a->num_batches_tracked.item<int64_t>() == 1);
    check_close(a->running_mean, to_vector(b->running_mean), 1e-3);
  }
  CHECK(asked == 1);
  net.eval();
  uint64_t offset = default_generator().offset();
  net(x);
  CHECK(asked == 1);
  CHECK(default_generator().offset() == offset);
  CHECK(method.report().lambda_mean == doctest::Approx(0.5).epsilon(0.3));
  CHECK(method.report().b_mean == doctest::Approx(1.0 / 3).epsilon(1e-2));
}

TEST_CASE("adamixup: mistakes are named") {
  Generator g(14);
  CHECK_THROWS_WITH_AS(draw(zeros({7, 2}), g), "adamixup: needs an even batch of at least 4 examples, got 7", ShapeError);
  CHECK_THROWS_WITH_AS(draw(zeros({2, 2}), g), "adamixup: needs an even batch of at least 4 examples, got 2", ShapeError);
  manual_seed(15);
  Parts parts;
  Batch b = make_batch(16);
  Networks nets = parts.networks();
  CHECK_THROWS_WITH_AS(step_loss(nets, slice(b.x, 0, 0, 5), slice(b.labels, 0, 0, 5), b.draws),
                       "adamixup: needs an even batch of at least 4 examples, got 5", ShapeError);
  CHECK_THROWS_WITH_AS(step_loss(nets, b.x, slice(b.labels, 0, 0, 5), b.draws), "adamixup: labels must be i64 [6], got [5]", ShapeError);
  CHECK_THROWS_WITH_AS(step_loss(nets, b.x, b.labels, b.draws, {.intrusion_weight = -1}),
                       "adamixup: the intrusion's weight must not be negative, it is -1", ValueError);
  CHECK_THROWS_AS(step_loss(nets, b.x, b.labels + 1, b.draws), IndexError);
  CHECK_THROWS_WITH_AS(step_loss(nets, b.x, b.labels, b.draws, {.a = 0.5, .b = 0.75}),
                       "adamixup: shares from 0.5 to 1.25 do not lie in [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(AdaMixUp({.region = false, .options = {.a = -0.25}}), "adamixup: shares from -0.25 to 0.75 do not lie in [0, 1]",
                       ValueError);
  CHECK_THROWS_WITH_AS(policy_region(zeros({2, 4})), "policy_region: takes logits [h, 3], got [2, 4]", ShapeError);
  PolicyRegion r = policy_region(example_logits());
  CHECK_THROWS_WITH_AS(sample_lambda(r, tensor({1.5}, f64)), "sample_lambda: u must lie in [0, 1], one is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(AdaMixUp({.features = 4}),
                       "adamixup: the region needs a trunk, a network of the classifier's form with weights of its own", ValueError);
  CHECK_THROWS_WITH_AS(AdaMixUp({.classes = 0}), "adamixup: classes must be at least 1, they are 0", ValueError);
}

TEST_CASE("adamixup: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"regularization", "adamixup", &adamixup::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == adamixup::experiment().variants.size());
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double between = measured(results, cell.variant, "P(class between), blobs");
    CHECK((between > 0.4 && between <= 1));  // chance is a third
    CHECK(measured(results, cell.variant, "test error, digits (%)") < 60);
    CHECK(measured(results, cell.variant, "NLL, digits (nats)") > 0);
  }
}
