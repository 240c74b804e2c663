// Batches of several domains, Fish's step by hand, and mistakes: an empty domain among them.
#include "methods/common/domain_training.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/backward.h"
#include "methods/common/domain_penalties.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

DomainExamples domain(const std::string& name, int64_t n, int64_t first) {
  std::vector<int64_t> labels;
  std::vector<double> inputs;
  for (int64_t i = 0; i < n; ++i) {
    labels.push_back(first + i);
    inputs.push_back(static_cast<double>(2 * (first + i)));
  }
  return {name, from_vector(inputs, {n, 1}), from_vector(labels)};
}

}  // namespace

TEST_CASE("domain_batches: as many of each domain, every example once a round, inputs with their labels") {
  DomainBatches batches({domain("a", 6, 0), domain("b", 5, 100)}, 2, 3);
  std::set<int64_t> seen;
  for (int i = 0; i < 3; ++i) {
    std::vector<DomainExamples> next = batches.next();
    REQUIRE(next.size() == 2);
    CHECK(next[1].name == "b");
    for (const DomainExamples& d : next) {
      REQUIRE(d.size() == 2);
      std::vector<int64_t> labels = to_vector<int64_t>(d.labels);
      for (size_t k = 0; k < 2; ++k) CHECK(to_vector(d.inputs)[k] == 2 * static_cast<double>(labels[k]));
    }
    for (int64_t label : to_vector<int64_t>(next[0].labels)) CHECK(seen.insert(label).second);
    for (int64_t label : to_vector<int64_t>(next[1].labels)) CHECK((label >= 100 && label < 105));
  }
  CHECK(seen.size() == 6);
  std::vector<DomainExamples> whole = DomainBatches({domain("a", 3, 0), domain("b", 5, 0)}, 4, 0).next();
  CHECK(to_vector<int64_t>(whole[0].labels) == std::vector<int64_t>{0, 1, 2});
  CHECK(whole[1].size() == 4);
  CHECK(DomainBatches({domain("b", 5, 0)}, 0, 0).next()[0].size() == 5);
  auto first = [](uint64_t seed) { return to_vector<int64_t>(DomainBatches({domain("a", 50, 0)}, 20, seed).next()[0].labels); };
  CHECK(first(1) == first(1));
  CHECK(first(1) != first(2));
}

TEST_CASE("domain_batches: an empty domain is named, and other mistakes") {
  DomainExamples none{"turned by 30°", zeros({0, 1}), zeros({0}, i64)};
  CHECK_THROWS_WITH_AS(DomainBatches({domain("a", 3, 0), none}, 2, 0), "domain_batches: the domain \"turned by 30°\" has no examples",
                       ValueError);
  CHECK_THROWS_WITH_AS(DomainBatches({{"b", {}, {}}}, 2, 0), "domain_batches: the domain \"b\" has no examples", ValueError);
  CHECK_THROWS_WITH_AS(DomainBatches({}, 2, 0), "domain_batches: there are no domains", ValueError);
  CHECK_THROWS_WITH_AS(DomainBatches({domain("a", 3, 0)}, -1, 0), "domain_batches: a batch of -1", ValueError);
  CHECK_THROWS_WITH_AS(DomainBatches({{"a", zeros({2, 1}), zeros({3}, i64)}}, 1, 0),
                       "domain_batches: the domain \"a\" has 3 labels, and inputs [2, 1]", ShapeError);
}

TEST_CASE("fish_step: two quadratics by hand, in whichever order, and a share of the way") {
  // ½ (w − 1)² and (w + 2)², SGD with rate 0.1 from w = 3. First then second: 3 → 2.8 → 2.8 − 0.2 · 4.8 = 1.84; second then first:
  // 3 → 3 − 0.2 · 5 = 2 → 1.9.
  std::set<double> ends;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Tensor w = tensor({3.0}, f64).requires_grad_();
    optim::SGD sgd({w}, {.lr = 0.1});
    Generator g(seed);
    fish_step({w}, sgd, {[&] { return sum(square(w - 1.0)) * 0.5; }, [&] { return sum(square(w + 2.0)); }}, 0.5, g);
    double end = w.item();
    CHECK((std::abs(end - (3 + 0.5 * (1.84 - 3))) < 1e-12 || std::abs(end - (3 + 0.5 * (1.9 - 3))) < 1e-12));
    ends.insert(std::round(end * 1e6));
  }
  CHECK(ends.size() == 2);
  Tensor w = tensor({3.0}, f64).requires_grad_();
  optim::SGD sgd({w}, {.lr = 0.1});
  Generator g(0);
  fish_step({w}, sgd, {[&] { return sum(square(w - 1.0)) * 0.5; }}, 1, g);  // one domain, the whole way: a plain step
  CHECK(w.item() == doctest::Approx(2.8));
  CHECK_THROWS_WITH_AS(fish_step({w}, sgd, {}, 0.5, g), "fish_step: there are no environments", ValueError);
  CHECK_THROWS_WITH_AS(fish_step({w}, sgd, {[&] { return sum(w); }}, 0, g), "fish_step: epsilon 0 is outside (0, 1]", ValueError);
}

TEST_CASE("iga_penalty: the variance of gradients over environments, through second derivatives") {
  std::vector<std::vector<Tensor>> gradients{{tensor({1.0, 2.0}, f64), tensor({5.0}, f64)}, {tensor({3.0, 2.0}, f64), tensor({1.0}, f64)}};
  CHECK(iga_penalty(gradients).item() == doctest::Approx(1 + 4));  // deviations ±(1, 0) and ±2
  CHECK(iga_penalty({gradients[0]}).item() == 0);
  // L_e = a_e w²: gradients 2 a_e w, penalty 4 w² var(a) = 4 w² for a = 1, 3; its derivative 8 w.
  Tensor w = tensor({0.7}, f64).requires_grad_();
  auto gradient = [&](double a) { return grad({sum(square(w)) * a}, {w}, {.create_graph = true}); };
  Tensor penalty = iga_penalty({gradient(1), gradient(3)});
  CHECK(penalty.item() == doctest::Approx(4 * 0.49));
  CHECK(grad({penalty}, {w})[0].item() == doctest::Approx(5.6));
  CHECK_THROWS_WITH_AS(iga_penalty({}), "iga_penalty: there are no environments or no parameters", ValueError);
  CHECK_THROWS_WITH_AS(iga_penalty({gradients[0], {tensor({1.0}, f64)}}),
                       "iga_penalty: environments have gradients of different parameters", ShapeError);
}
