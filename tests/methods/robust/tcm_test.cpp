// TCM by worked losses and gradients, its limits and mistakes, and the experiment in small.
#include "methods/robust/tcm/tcm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/common/metric_losses.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using tcm::tcm_loss;
using tcm::TcmLoss;
using tcm::TcmOptions;

namespace {

Tensor worked() {
  return tensor({{1.0, 0.0, 0.0}, {0.9, 0.1, 0.2}, {0.2, 1.0, 0.0}, {0.8, 0.6, 0.0}, {0.0, 0.3, 1.0}, {0.5, 0.0, 0.5}}, f64);
}
Tensor labels() { return tensor({0, 0, 1, 1, 2, 2}); }
Tensor similarity(const Tensor& e) {
  Tensor z = unit_rows(e);
  return matmul(z, transpose(z, 0, 1));
}

}  // namespace

TEST_CASE("tcm_loss: the first worked example") {
  Tensor z = tensor({{0.0, 1.0}, {0.43, 0.9}, {1.0, 0.0}, {0.5, 0.5}}, f64), y = tensor({0, 0, 1, 1});
  TcmLoss both = tcm_loss(similarity(z), y);
  CHECK(both.loss.item() == doctest::Approx(.517876).epsilon(2e-6));
  CHECK(both.hard_positives == 1);
  CHECK(both.hard_negatives == 2);
  CHECK(tcm_loss(similarity(z), y, {.negative_weight = 0}).loss.item() == doctest::Approx(.192893).epsilon(5e-6));
  CHECK(tcm_loss(similarity(z), y, {.positive_weight = 0}).loss.item() == doctest::Approx(.324983).epsilon(2e-6));
  CHECK(tcm_loss(similarity(z), y, {.positive_weight = 2, .negative_weight = 3}).loss.item() ==
        doctest::Approx(2 * .192893 + 3 * .324983).epsilon(5e-6));
}

TEST_CASE("tcm_loss: the second worked example and its gradient through the normalisation") {
  TcmLoss both = tcm_loss(similarity(worked()), labels());
  CHECK(both.hard_positives == 2);
  CHECK(both.hard_negatives == 5);
  CHECK(tcm_loss(similarity(worked()), labels(), {.negative_weight = 0}).loss.item() == doctest::Approx(.188737).epsilon(3e-6));
  CHECK(tcm_loss(similarity(worked()), labels(), {.positive_weight = 0}).loss.item() == doctest::Approx(.250526).epsilon(3e-6));
  CHECK(both.loss.item() == doctest::Approx(.439263).epsilon(3e-6));
  Tensor e = worked().requires_grad_();
  Tensor g = grad({tcm_loss(similarity(e), labels()).loss}, {e})[0];
  check_close(select(g, 0, 0) + 1, {1, 1.12, 1.141421}, 2e-6);
  check_close(select(g, 0, 2) + 1, {1 - .320574, 1.0641149, 1}, 2e-6);
  check_close(select(g, 0, 5) + 1, {1.699950, 1 - .00298030, 1 - .699950}, 3e-6);
  gradcheck([](const Tensor& x) { return tcm_loss(similarity(x), labels()).loss; }, {worked()}).throw_if_failed();
}

TEST_CASE("tcm_loss: every hard pair pulls as hard as any other") {
  Tensor s = tensor({{1.0, 0.2, 0.6}, {0.2, 1.0, 0.8}, {0.6, 0.8, 1.0}}, f64).requires_grad_(), y = tensor({0, 0, 1});
  check_close(grad({tcm_loss(s, y).loss}, {s})[0] + 1, {1, 0, 1.5, 1, 1, 1.5, 1, 1, 1}, 1e-12);
}

TEST_CASE("tcm_loss: 0 where no pair is hard, and halves without pairs") {
  Tensor e = tensor({{1.0, 0.1}, {1.0, 0.0}, {0.0, 1.0}, {-0.1, 1.0}}, f64).requires_grad_();
  auto loss_of = [&](const Tensor& y) { return tcm_loss(similarity(e), y); };
  TcmLoss easy = loss_of(tensor({0, 0, 1, 1}));
  CHECK(easy.loss.item() == 0);
  CHECK(easy.hard_positives + easy.hard_negatives == 0);
  CHECK_FALSE(easy.loss.requires_grad());
  CHECK(loss_of(tensor({5, 5, 5, 5})).hard_negatives == 0);
  CHECK(loss_of(tensor({5, 5, 5, 5})).hard_positives == 4);
  CHECK(loss_of(tensor({1, 2, 3, 4})).hard_positives == 0);
  CHECK(loss_of(tensor({1, 2, 3, 4})).hard_negatives == 2);
}

TEST_CASE("tcm_loss: a similarity at the margin is hard and adds nothing") {
  Tensor s = tensor({{1.0, 0.9, 0.5}, {0.9, 1.0, 0.5}, {0.5, 0.5, 1.0}}, f64);
  TcmLoss at = tcm_loss(s, tensor({0, 0, 1}));
  CHECK(at.hard_positives == 1);
  CHECK(at.hard_negatives == 2);
  CHECK(at.loss.item() == 0);
}

TEST_CASE("tcm_loss: scaling, turning and reordering embeddings changes nothing; weights of 0 leave another loss bit for bit") {
  double plain = tcm_loss(similarity(worked()), labels()).loss.item();
  Generator g(3);
  CHECK(tcm_loss(similarity(worked() * 7.0), labels()).loss.item() == doctest::Approx(plain).epsilon(1e-12));
  Tensor turn = qr(randn({3, 3}, {.dtype = f64, .generator = &g})).q;
  CHECK(tcm_loss(similarity(matmul(worked(), turn)), labels()).loss.item() == doctest::Approx(plain).epsilon(1e-12));
  Tensor order = tensor({4, 0, 3, 5, 2, 1});
  CHECK(tcm_loss(similarity(index_select(worked(), 0, order)), index_select(labels(), 0, order)).loss.item() ==
        doctest::Approx(plain).epsilon(1e-12));
  Tensor base = contrastive_loss(similarity(worked()), labels());
  CHECK((base + tcm_loss(similarity(worked()), labels(), {.positive_weight = 0, .negative_weight = 0}).loss).item() == base.item());
}

TEST_CASE("tcm_loss: mistakes") {
  Tensor s = similarity(worked());
  CHECK_THROWS_WITH_AS(tcm_loss(s, labels(), {.positive_margin = 0.3}),
                       "tcm_loss: the positive margin 0.3 is below the negative one, 0.5; say so with crossed", ValueError);
  CHECK(tcm_loss(s, labels(), {.positive_margin = 0.3, .crossed = true}).hard_positives == 0);
  CHECK_THROWS_WITH_AS(tcm_loss(s, labels(), {.positive_margin = 1.5}), "tcm_loss: a margin of 1.5 is no cosine", ValueError);
  CHECK_THROWS_AS(tcm_loss(s, labels(), {.negative_margin = NAN}), ValueError);
  CHECK_THROWS_WITH_AS(tcm_loss(s, labels(), {.negative_weight = -1}), "tcm_loss: weights 1 and -1 must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(tcm_loss(s, tensor({0, 1})), "tcm_loss: takes similarities [n, n] and labels [n], got [6, 6] and [2]", ShapeError);
  CHECK_THROWS_WITH_AS(similarity(tensor({{0.0, 0.0}, {1.0, 0.0}})), "unit_rows: row 0 is 0 or not finite", ValueError);
}

TEST_CASE("tcm: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"robust", "tcm", &tcm::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 19);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [metric, value] : cell.measured.metrics) {
      CAPTURE(metric);
      CHECK((value >= 0 && value <= (metric.find("OPIS") != std::string::npos ? 1e4 : 100)));
    }
  }
  // Eight steps: better than one class in ten or more.
  CHECK(measured(results, "normalised softmax", "trained classes: recall@1 (%)") > 15);
}
