// Losses of metric learning against independently computed numbers, their gradients, limits and mistakes; batches by class.
#include "methods/common/metric_losses.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/autograd/backward.h"
#include "methods/common/class_batches.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

Tensor embeddings() {
  return tensor({{1.0, 0.0, 0.0}, {0.9, 0.1, 0.2}, {0.2, 1.0, 0.0}, {0.8, 0.6, 0.0}, {0.0, 0.3, 1.0}, {0.5, 0.0, 0.5}}, f64);
}
Tensor labels() { return tensor({0, 0, 1, 1, 2, 2}); }
Tensor proxies() { return tensor({{1.0, 0.2, 0.0}, {0.0, 1.0, 0.1}, {0.0, 0.5, 1.0}, {-1.0, 0.0, 0.0}}, f64); }
Tensor similarity(const Tensor& e) {
  Tensor z = unit_rows(e);
  return matmul(z, transpose(z, 0, 1));
}

}  // namespace

TEST_CASE("metric losses: numbers of another program") {
  Tensor s = similarity(embeddings());
  CHECK(contrastive_loss(s, labels()).item() == doctest::Approx(0.23021023949476238).epsilon(1e-9));
  CHECK(multi_similarity_loss(s, labels()).item() == doctest::Approx(0.1978107522195284).epsilon(1e-9));
  CHECK(multi_similarity_loss(s, labels(), {.margin = 10}).item() ==
        doctest::Approx(0.44582319899003275).epsilon(1e-9));  // all pairs are mined
  CHECK(smooth_ap_loss(s, labels()).item() == doctest::Approx(0.22123669966288217).epsilon(1e-9));
  CHECK(smooth_ap_loss(s, labels(), 0.1).item() == doctest::Approx(0.29479742616642535).epsilon(1e-9));
  CHECK(proxy_anchor_loss(embeddings(), labels(), proxies()).item() == doctest::Approx(16.987507851368562).epsilon(1e-9));
  CHECK(cosine_softmax_loss(embeddings(), labels(), proxies()).item() == doctest::Approx(1.0307659687472002).epsilon(1e-9));
  CHECK(cosine_softmax_loss(embeddings(), labels(), proxies(), 16, 0.35).item() == doctest::Approx(2.857767108215714).epsilon(1e-9));
}

TEST_CASE("metric losses: gradients") {
  auto of_similarity = [](auto loss) { return [loss](const Tensor& e) { return loss(similarity(e), labels()); }; };
  gradcheck(of_similarity([](const Tensor& s, const Tensor& y) { return contrastive_loss(s, y); }), {embeddings()}).throw_if_failed();
  gradcheck(of_similarity([](const Tensor& s, const Tensor& y) { return multi_similarity_loss(s, y); }), {embeddings()}).throw_if_failed();
  gradcheck(of_similarity([](const Tensor& s, const Tensor& y) { return smooth_ap_loss(s, y, 0.1); }), {embeddings()}).throw_if_failed();
  gradcheck([](const Tensor& e, const Tensor& p) { return proxy_anchor_loss(e, labels(), p, 4); }, {embeddings(), proxies()})
      .throw_if_failed();
  gradcheck([](const Tensor& e, const Tensor& p) { return cosine_softmax_loss(e, labels(), p, 8, 0.2); }, {embeddings(), proxies()})
      .throw_if_failed();
}

TEST_CASE("metric losses: batches without pairs of a kind have no loss from them") {
  Tensor s = similarity(embeddings()), alone = tensor({0, 1, 2, 3, 4, 5}), one = tensor({1, 1, 1, 1, 1, 1});
  for (const Tensor& y : {alone, one}) {
    Tensor e = embeddings().requires_grad_();
    Tensor total = contrastive_loss(similarity(e), y) + multi_similarity_loss(similarity(e), y) + smooth_ap_loss(similarity(e), y);
    CHECK(std::isfinite(total.item()));
    for (double g : to_vector(grad({total}, {e})[0])) CHECK(std::isfinite(g));
  }
  CHECK(smooth_ap_loss(s, alone).item() == 0);
  CHECK(smooth_ap_loss(s, one).item() == doctest::Approx(0));  // nothing can stand before a positive
  CHECK(contrastive_loss(s, one, 0.9, -1).item() == doctest::Approx(contrastive_loss(s, one, 0.9, 0.5).item()));
}

TEST_CASE("pair_masks and unit_rows: each pair once; mistakes") {
  PairMasks pairs = pair_masks(tensor({3, 3, 5}));
  CHECK(to_vector(to(pairs.same, f64)) == std::vector<double>{0, 1, 0, 0, 0, 0, 0, 0, 0});
  CHECK(to_vector(to(pairs.different, f64)) == std::vector<double>{0, 0, 1, 0, 0, 1, 0, 0, 0});
  CHECK(to_vector(unit_rows(tensor({{3.0, 4.0}}, f64))) == std::vector<double>{0.6, 0.8});
  CHECK_THROWS_WITH_AS(unit_rows(tensor({{1.0, 0.0}, {0.0, 0.0}})), "unit_rows: row 1 is 0 or not finite", ValueError);
  CHECK_THROWS_AS(unit_rows(tensor({{1.0, NAN}})), ValueError);
  CHECK_THROWS_WITH_AS(contrastive_loss(zeros({2, 2}), labels()),
                       "contrastive_loss: takes similarities [n, n] and labels [n], got [2, 2] and [6]", ShapeError);
  CHECK_THROWS_WITH_AS(smooth_ap_loss(zeros({6, 6}), labels(), 0), "smooth_ap_loss: the temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_AS(proxy_anchor_loss(embeddings(), labels(), zeros({4, 2}, f64)), ShapeError);
  CHECK_THROWS_AS(cosine_softmax_loss(embeddings(), tensor({0, 0, 1, 1, 2, 4}), proxies()), IndexError);
}

TEST_CASE("class_batches: P classes with K different examples each; classes of one are never drawn") {
  Tensor given = tensor({4, 9, 4, 7, 9, 4, 9, 4, 8, 8, 2});
  ClassBatches batches(given, 2, 3);
  std::vector<int64_t> all = to_vector<int64_t>(given);
  Generator g(1);
  std::set<int64_t> drawn;
  for (int i = 0; i < 40; ++i) {
    std::vector<int64_t> places = to_vector<int64_t>(batches.next(g));
    REQUIRE(places.size() == 6);
    std::set<int64_t> classes;
    for (size_t c = 0; c < 2; ++c) {
      int64_t label = all[static_cast<size_t>(places[3 * c])];
      classes.insert(label);
      std::set<int64_t> different(places.begin() + static_cast<std::ptrdiff_t>(3 * c),
                                  places.begin() + static_cast<std::ptrdiff_t>(3 * c + 3));
      CHECK(different.size() == (label == 8 ? 2 : 3));  // class 8 has two, one of them is drawn twice
      for (int64_t p : different) CHECK(all[static_cast<size_t>(p)] == label);
    }
    CHECK(classes.size() == 2);
    drawn.insert(classes.begin(), classes.end());
  }
  CHECK(drawn == std::set<int64_t>{4, 8, 9});
  CHECK_THROWS_WITH_AS(ClassBatches(given, 4, 2), "class_batches: 3 classes have two examples, a batch needs 4", ValueError);
  CHECK_THROWS_WITH_AS(ClassBatches(given, 2, 1), "class_batches: 2 classes of 1 examples; pairs need at least 1 of 2", ValueError);
  CHECK_THROWS_AS(ClassBatches(to(given, f64), 2, 2), DTypeError);
}
