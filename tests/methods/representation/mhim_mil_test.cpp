// MHIM-MIL: sizes and ties of the masks, the worked numbers, what the student may see, how the teacher follows, mistakes, the experiment.
#include "methods/representation/mhim_mil/mhim_mil.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "methods/representation/mhim_mil/digit_bags.h"
#include "methods/runner.h"
#include "models/mil/attention_pool.h"
#include "models/mil/trans_mil.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::mhim_mil;
namespace plumb::methods::mhim_mil {
Experiment experiment();
}
using doctest::Approx;
using Places = std::vector<int64_t>;

namespace {

Tensor ten_scores() { return tensor({.05, .30, .02, .20, .10, .01, .15, .07, .06, .04}); }

mil::Abmil small_model(uint64_t seed, double dropout = 0) {
  manual_seed(seed);
  mil::Abmil model({.inputs = 5,
                    .width = 8,
                    .attention = 4,
                    .gated = false,
                    .activation = "relu",
                    .attention_bias = false,
                    .dropout = dropout,
                    .classes = 2});
  return model;
}

MaskOptions no_masks() { return {.beta_h = 0, .beta_l = 0, .beta_r = 0}; }

Tensor some_bag(int64_t n, uint64_t seed) {
  Generator g(seed);
  return randn({n, 5}, {.generator = &g});
}

std::vector<double> gradients(const nn::Module& model) {
  std::vector<double> all;
  for (const Tensor& p : model.parameters())
    for (double v : to_vector(p.grad())) all.push_back(v);
  return all;
}

}  // namespace

// -- masks ------------------------------------------------------------------------------------------------

TEST_CASE("mhim_mil: the sizes of what is picked") {
  Generator g(0);
  Tensor two_hundred = rand({200}, {.generator = &g}), thousand = rand({1000}, {.generator = &g});
  auto within_top = [](const Places& chosen, const Tensor& scores, int64_t k) {
    Generator unused(0);
    Places top = pick(scores, {.largest = true, .ratio = static_cast<double>(k) / static_cast<double>(scores.numel())}, unused);
    std::set<int64_t> set(top.begin(), top.end());
    REQUIRE(set.size() == static_cast<size_t>(k));
    return std::all_of(chosen.begin(), chosen.end(), [&](int64_t i) { return set.count(i) == 1; });
  };
  Places four = pick(two_hundred, {.ratio = .02, .random_ratio = .5}, g);
  CHECK(four.size() == 4);
  CHECK(within_top(four, two_hundred, 8));
  Places thirty = pick(thousand, {.ratio = .03, .random_ratio = .5}, g);
  CHECK(thirty.size() == 30);
  CHECK(within_top(thirty, thousand, 60));
  CHECK(std::set<int64_t>(thirty.begin(), thirty.end()).size() == 30);
  CHECK(InstanceMasker({.beta_h = 0, .beta_r = .5}).select(ten_scores(), 0, g).hidden.size() == 5);
  CHECK(pick(ten_scores(), {.ratio = .7, .random_ratio = .5}, g).size() == 7);  // ratio / rr exceeds 1: seven of all ten
  CHECK(count_of(100 * 0.07) == 7);
  CHECK(pick(ten_scores(), {.ratio = 0}, g).empty());
}

TEST_CASE("mhim_mil: the highest and the lowest, and of equal scores the earlier instance") {
  Generator g(0);
  CHECK(pick(ten_scores(), {.largest = true, .ratio = .2}, g) == Places{1, 3});
  CHECK(pick(ten_scores(), {.largest = false, .ratio = .3}, g) == Places{5, 2, 9});
  Tensor equal = full({6}, 1.0 / 6);
  CHECK(pick(equal, {.largest = true, .ratio = .5}, g) == Places{0, 1, 2});
  CHECK(pick(equal, {.largest = false, .ratio = .5}, g) == Places{0, 1, 2});
  CHECK(g.offset() == 0);  // nothing is drawn without a random subset
}

TEST_CASE("mhim_mil: heads vote, or their mean decides") {
  // First two of each head: {0, 1}, {1, 2}, {1, 3}: one has three votes, and of the others with one the first is taken.
  Tensor heads = tensor({{.5, .4, .1, .0}, {.0, .3, .7, .0}, {.0, .31, .29, .4}});
  Generator g(0);
  CHECK(pick(heads, {.largest = true, .ratio = .5, .fusion = Fusion::vote}, g) == Places{1, 0});
  CHECK(pick(heads, {.largest = true, .ratio = .5, .fusion = Fusion::mean}, g) == Places{2, 1});  // sums .5, 1.01, 1.09, .4
  // Last two of each: {3, 2}, {0, 3}, {0, 2}: two votes each for 0, 2 and 3.
  CHECK(pick(heads, {.largest = false, .ratio = .5, .fusion = Fusion::vote}, g) == Places{0, 2});
  CHECK(pick(heads, {.largest = false, .ratio = .5, .fusion = Fusion::mean}, g) == Places{3, 0});
}

TEST_CASE("mhim_mil: masks are of the full bag and their union counts an instance once") {
  Generator g(1);
  InstanceMasker masker({.beta_h = .2, .rr = 1, .decay = false, .beta_l = .3, .beta_r = .4});
  for (int draw = 0; draw < 20; ++draw) {
    InstanceSplit s = masker.select(ten_scores(), 0, g);
    std::set<int64_t> hidden(s.hidden.begin(), s.hidden.end());
    for (int64_t i : {1, 3, 5, 2, 9}) CHECK(hidden.count(i) == 1);
    CHECK(hidden.size() >= 5);
    CHECK(hidden.size() <= 9);
    CHECK(std::is_sorted(s.hidden.begin(), s.hidden.end()));
    CHECK(std::is_sorted(s.kept.begin(), s.kept.end()));
    hidden.insert(s.kept.begin(), s.kept.end());
    CHECK(hidden.size() == 10);
    CHECK(s.hidden.size() + s.kept.size() == 10);
  }
}

TEST_CASE("mhim_mil: beta_h and the teacher's momentum by cosine over eight steps") {
  const double beta[] = {.02, .0192388, .0170711, .0138268, .01, .00617317, .00292893, .000761205};
  const double m[] = {.9999, .999903806, .999914645, .999930866, .99995, .999969134, .999985355, .999996194};
  InstanceMasker masker({.beta_h = .02});
  mil::Abmil model = small_model(1);
  MhimTrainer<mil::Abmil> trainer(model, model, {.momentum = .9999, .momentum_rises = true, .steps = 8});
  for (int i = 0; i < 8; ++i) {
    CHECK(masker.high_ratio(i / 8.0) == Approx(beta[i]).epsilon(3e-6));
    CHECK(trainer.momentum(i) == Approx(m[i]).epsilon(1e-9));
  }
  CHECK(InstanceMasker({.beta_h = .02, .decay = false}).high_ratio(.7) == .02);
}

// -- the loss ---------------------------------------------------------------------------------------------

TEST_CASE("mhim_mil: the consistency of bag embeddings, worked out") {
  Tensor student = tensor({{.2, -.4, 1.0}}, f64), teacher = tensor({{.5, .1, .3}}, f64);
  check_close(softmax(teacher, 1, .1), {.866813, .0158762, .117310});
  CHECK(soft_target_ce(student, teacher).item() == Approx(1.24391).epsilon(5e-6));
  CHECK(soft_target_ce(student, teacher, 1, 1).item() == Approx(1.22667).epsilon(5e-6));
}

TEST_CASE("mhim_mil: the consistency's gradient is the difference of the distributions, 0 where they agree, and none for the teacher") {
  Tensor student = tensor({{.2, -.4, 1.0}, {.3, .0, -.5}}, f64).requires_grad_(),
         teacher = tensor({{.5, .1, .3}, {.2, .7, .1}}, f64).requires_grad_();
  soft_target_ce(student, teacher, .5, .1).backward();
  CHECK_FALSE(teacher.grad().defined());
  auto p = to_vector(softmax(student.detach(), 1, .5)), q = to_vector(softmax(teacher.detach(), 1, .1)), g = to_vector(student.grad());
  for (size_t i = 0; i < 6; ++i) CHECK(g[i] == Approx((p[i] - q[i]) / .5 / 2).epsilon(1e-10));
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {soft_target_ce(x[0], teacher, .5, .1)}; };
  CHECK(gradcheck(loss, {student.detach()}).passed);
  Tensor same = (teacher.detach() * 5).requires_grad_();  // softmax(5 z / .5) = softmax(z / .1)
  soft_target_ce(same, teacher, .5, .1).backward();
  for (double v : to_vector(same.grad())) CHECK(std::abs(v) < 1e-12);
}

TEST_CASE("mhim_mil: the worked bag, and permuted instances permute the attention and leave the embedding") {
  mil::Abmil model({.inputs = 2, .width = 0, .attention = 3, .gated = false, .activation = "relu", .attention_bias = false, .classes = 2});
  model.to(f64);
  model.load_state({{"pool.attention_V.weight", tensor({{.5, -.3}, {.2, .8}, {-.6, .1}}, f64)},
                    {"pool.attention_w.weight", tensor({{1.0, -.5, .7}}, f64)}},
                   false);
  Tensor h = tensor({{1.0, 0.0}, {0.0, 2.0}, {1.0, 1.0}, {2.0, -1.0}}, f64);
  auto answer = model.answer(one_bag(h));
  check_close(answer.attention, {.232415, .0805216, .115414, .571649});
  check_close(answer.bag, {1.49113, -.295192}, 5e-6);
  auto other = model.answer(one_bag(index_select(h, 0, tensor({2, 0, 3, 1}))));
  check_close(other.attention, {.115414, .232415, .571649, .0805216});
  check_close(other.bag, to_vector(answer.bag), 1e-12);
}

TEST_CASE("mhim_mil: without masks and consistency it is plain AB-MIL, dropout's draws too") {
  mil::Abmil plain = small_model(2, 0.25), student = plain, teacher = small_model(3, 0.25);
  Tensor bag = some_bag(12, 4), label = tensor({1});
  manual_seed(5);
  Tensor wanted = cross_entropy(plain(one_bag(bag)), label);
  wanted.backward();
  manual_seed(5);
  Generator g(6);
  Terms t = mhim_loss(student, teacher, bag, label, InstanceMasker(no_masks()), 0, {.alpha = 0}, g);
  t.loss.backward();
  CHECK(t.loss.item() == wanted.item());
  CHECK(t.split.hidden.empty());
  CHECK_FALSE(t.consistency.defined());
  CHECK(gradients(student) == gradients(plain));
}

TEST_CASE("mhim_mil: the student does not see what is hidden") {
  mil::Abmil student = small_model(7), teacher = small_model(8);
  Tensor bag = some_bag(20, 9), label = tensor({0});
  InstanceMasker masker({.beta_h = 0, .beta_r = .4});
  auto loss_of = [&](const Tensor& x) {
    Generator g(10);
    return mhim_loss(student, teacher, x, label, masker, 0, {.alpha = 0}, g);
  };
  Terms first = loss_of(bag);
  REQUIRE(first.split.hidden.size() == 8);
  Tensor hidden = from_vector(first.split.hidden), kept = from_vector(first.split.kept);
  Tensor changed = index_copy(bag, 0, hidden, randn({8, 5}));
  CHECK(loss_of(changed).loss.item() == first.loss.item());
  CHECK(loss_of(index_copy(bag, 0, slice(kept, 0, 0, 1), full({1, 5}, 3.0))).loss.item() != first.loss.item());
  // And the loss is that of the bag of what is left.
  CHECK(first.loss.item() == Approx(cross_entropy(student(one_bag(index_select(bag, 0, kept))), label).item()).epsilon(1e-6));
}

TEST_CASE("mhim_mil: the teacher's highest attention is what is hidden, and both terms add up") {
  mil::Abmil student = small_model(11), teacher = small_model(12);
  Tensor bag = some_bag(10, 13), label = tensor({1});
  Generator g(14);
  Terms t =
      mhim_loss(student, teacher, bag, label, InstanceMasker({.beta_h = .2, .rr = 1, .decay = false, .beta_r = 0}), 0, {.alpha = .5}, g);
  Tensor attention = select(teacher.answer(one_bag(bag)).attention, 0, 0);
  Places top = pick(attention, {.largest = true, .ratio = .2}, g);
  std::sort(top.begin(), top.end());
  CHECK(t.split.hidden == top);
  CHECK(t.loss.item() == Approx(t.classification.item() + .5 * t.consistency.item()).epsilon(1e-6));
  t.loss.backward();
  for (const Tensor& p : teacher.parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE("mhim_mil: a transformer's heads vote") {
  manual_seed(15);
  mil::TransMil student({.inputs = 5, .width = 8, .heads = 2, .residual = 3, .classes = 2}), teacher = student;
  Generator g(16);
  Terms t = mhim_loss(student, teacher, some_bag(11, 17), tensor({1}), InstanceMasker({.beta_h = .1, .beta_l = .3, .beta_r = 0}), 0, {}, g);
  CHECK(t.split.hidden.size() >= 4);
  t.loss.backward();
  CHECK(std::isfinite(t.loss.item()));
}

// -- the teacher ------------------------------------------------------------------------------------------

TEST_CASE("mhim_mil: after a step the teacher has moved towards the student by exactly 1 - m") {
  mil::Abmil trained = small_model(18, 0.1), student = small_model(19, 0.1);
  MhimTrainer<mil::Abmil> trainer(student, trained, {.momentum = .9, .steps = 2, .adam = {.lr = 1e-2}});
  CHECK(trainer.teacher().training());
  Generator g(20);
  trainer.step(some_bag(10, 21), tensor({1}), g);
  auto before = trained.parameters(), now = trainer.teacher().parameters(), followed = trainer.student().parameters(),
       start = student.parameters();
  double moved = 0;
  for (size_t k = 0; k < before.size(); ++k) {
    CHECK_FALSE(now[k].requires_grad());
    CHECK_FALSE(now[k].grad().defined());
    auto b = to_vector(before[k]), n = to_vector(now[k]), s = to_vector(followed[k]), s0 = to_vector(start[k]);
    for (size_t i = 0; i < b.size(); ++i) {
      CHECK(n[i] == Approx(.9 * b[i] + .1 * s[i]).epsilon(1e-5));
      moved += std::abs(s[i] - s0[i]);
    }
  }
  CHECK(moved > 0);
  trainer.step(some_bag(10, 22), tensor({0}), g);
  CHECK_THROWS_WITH_AS(trainer.step(some_bag(10, 22), tensor({0}), g), "mhim_mil: all 2 steps of the training are done", ValueError);
}

TEST_CASE("mhim_mil: m = 0.9999 takes 1 to 1.0001 beside a student of 2") {
  mil::Abmil one = small_model(23), two = one;
  for (Tensor p : one.parameters()) {
    NoGrad no_grad;
    fill_(p, 1);
  }
  for (Tensor p : two.parameters()) {
    NoGrad no_grad;
    fill_(p, 2);
  }
  optim::Ema<mil::Abmil> teacher(one, {.decay = .9999});
  teacher.update(two);
  for (const Tensor& p : teacher.model.parameters())
    for (double v : to_vector(p)) CHECK(v == Approx(1.0001).epsilon(1e-7));
}

TEST_CASE("mhim_mil: a student takes the projection alone and starts with small weights and no biases") {
  mil::Abmil trained = small_model(24), student = small_model(25), fresh = small_model(26);
  xavier_start(fresh);
  for (auto& [name, p] : fresh.named_parameters())
    if (name.ends_with("bias")) CHECK(max(abs(p)).item() == 0);
  take_parameters(student, trained, "projection.");
  auto a = student.state(), b = trained.state();
  CHECK(to_vector(a.at("projection.weight")) == to_vector(b.at("projection.weight")));
  CHECK(to_vector(a.at("classifier.weight")) != to_vector(b.at("classifier.weight")));
  CHECK_THROWS_WITH_AS(take_parameters(student, trained, "_fc1."), "mhim_mil: no parameter's name begins with \"_fc1.\"", ValueError);
}

TEST_CASE("mhim_mil: a student learns to tell bags while instances are hidden from it") {
  mil::Abmil trained = small_model(27), student = trained;
  MhimTrainer<mil::Abmil> trainer(student, trained, {.mask = {.beta_h = .1, .beta_r = .3}, .steps = 200, .adam = {.lr = 5e-3}});
  Generator g(28);
  auto bag = [&](int64_t label) {
    Tensor x = randn({12, 5}, {.generator = &g}) * 0.3;
    return label ? index_copy(x, 0, tensor({0, 1, 2, 3}), full({4, 5}, 1.5)) : x;
  };
  double first = 0, last = 0;
  for (int64_t k = 0; k < 200; ++k) {
    double loss = trainer.step(bag(k % 2), tensor({k % 2}), g).classification.item();
    if (k < 20) first += loss;
    if (k >= 180) last += loss;
  }
  CHECK(last < 0.3 * first);
}

// -- the second version -------------------------------------------------------------------------------------

TEST_CASE("mhim_mil: class-aware scores are the classifier's largest probability for each weighted instance") {
  mil::Abmil model = small_model(29);
  Tensor h = model.instances(one_bag(some_bag(4, 30))), a = model.pooled(h).attention;
  Tensor scores = class_aware_scores(select(a, 0, 0), select(h, 0, 0), [&](const Tensor& z) { return model.classify(z); });
  auto attention = to_vector(a);
  for (int64_t n = 0; n < 4; ++n) {
    Tensor logits = model.classify(select(select(h, 0, 0), 0, n) * attention[static_cast<size_t>(n)]);
    CHECK(to_vector(scores)[static_cast<size_t>(n)] == Approx(max(softmax(logits, 0)).item()).epsilon(1e-5));
  }
}

TEST_CASE("mhim_mil: instances left out become tokens, and the queries follow them") {
  manual_seed(31);
  InstanceMerger merger(8, {.tokens = 3, .keep = .6, .heads = 2, .momentum = .75, .dropout = 0});
  Tensor h = randn({1, 10, 8}), before = clone(merger.state().at("queries"));
  merger.eval();
  Tensor tokens = merger.merged(h);
  CHECK(tokens.shape() == Shape{1, 3, 8});
  check_close(merger.state().at("queries"), to_vector(before), 1e-12);  // still in evaluation
  merger.train();
  merger.merged(h);
  check_close(merger.state().at("queries"), to_vector(before * .75 + tokens.detach() * .25), 1e-5);
  Generator g(32);
  Tensor y = merger(h, g);
  CHECK(y.shape() == Shape{1, 9, 8});  // six and three
  sum(y).backward();                   // the queries have moved since, and the gradient passes all the same
  for (const Tensor& p : merger.parameters()) CHECK(p.grad().defined());
  CHECK(merger(slice(h, 1, 0, 1), g).size(1) == 1);
  Places first_kept;
  for (int64_t row = 0; row < 6; ++row)
    for (int64_t i = 0; i < 10; ++i)
      if (to_vector(select(select(y, 0, 0), 0, row)) == to_vector(select(select(h, 0, 0), 0, i))) first_kept.push_back(i);
  CHECK(first_kept.size() == 6);
  CHECK(std::is_sorted(first_kept.begin(), first_kept.end()));
  mil::Abmil model = small_model(33);
  MhimTrainer<mil::Abmil> trainer(model, model,
                                  {.mask = {.beta_h = .1, .beta_r = 0},
                                   .loss = {.scores = Scores::class_aware},
                                   .steps = 1,
                                   .merge = MergeOptions{.tokens = 2, .keep = .8, .heads = 2}});
  CHECK(std::isfinite(trainer.step(some_bag(20, 34), tensor({1}), g).loss.item()));
}

// -- mistakes -----------------------------------------------------------------------------------------------

TEST_CASE("mhim_mil: mistakes are named, a bag without instances first of all") {
  mil::Abmil model = small_model(35), before = model;
  MhimTrainer<mil::Abmil> trainer(model, model, {.steps = 5});
  Generator g(36);
  Tensor label = tensor({1});
  CHECK_THROWS_WITH_AS(trainer.step(zeros({0, 5}), label, g), "mhim_mil: a bag has no instances", ValueError);
  CHECK_THROWS_WITH_AS(pick(zeros({0}), {}, g), "mhim_mil: a bag has no instances", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker(MaskOptions{}).select(zeros({2, 0}), 0, g), "mhim_mil: a bag has no instances", ValueError);
  CHECK_THROWS_WITH_AS(trainer.step(zeros({1, 4, 5}), label, g), "mhim_mil: a bag is to be [N, inputs], got [1, 4, 5]", ShapeError);
  CHECK(trainer.steps_done() == 0);
  CHECK(to_vector(trainer.student().parameters()[0]) == to_vector(before.parameters()[0]));
  CHECK_THROWS_WITH_AS(InstanceMasker({.beta_h = .5, .rr = 1, .decay = false, .beta_l = .5, .beta_r = 0}).select(ten_scores(), 0, g),
                       "mhim_mil: the masks hide all 10 instances of a bag", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker({.beta_h = 1}), "mhim_mil: beta_h must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker({.beta_l = -.1}), "mhim_mil: beta_l must lie in [0, 1), it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker({.beta_r = 1.5}), "mhim_mil: beta_r must lie in [0, 1), it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker({.rr = 0}), "mhim_mil: rr must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMasker({.rr = 1.1}), "mhim_mil: rr must lie in (0, 1], it is 1.1", ValueError);
  CHECK_THROWS_WITH_AS(pick(ten_scores(), {.ratio = 1}, g), "mhim_mil: a ratio must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(pick(tensor({.5, NAN}), {}, g), "mhim_mil: the score of instance 1 is nan", ValueError);
  CHECK_THROWS_WITH_AS(soft_target_ce(zeros({1, 3}), zeros({1, 4})), "mhim_mil: the student's embedding is [1, 3], the teacher's [1, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(soft_target_ce(zeros({1, 3}), zeros({1, 3}), 1, 0),
                       "mhim_mil: temperatures must be positive, they are 1 (student) and 0 (teacher)", ValueError);
  CHECK_THROWS_WITH_AS(MhimTrainer<mil::Abmil>(model, model, {.momentum = 1}), "mhim_mil: momentum must lie in [0, 1), it is 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(MhimTrainer<mil::Abmil>(model, model, {.steps = 0}), "mhim_mil: a training of 0 steps", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMerger(8, {.tokens = 0}), "mhim_mil: 0 merged tokens", ValueError);
  CHECK_THROWS_WITH_AS(InstanceMerger(8, {.keep = 0}), "mhim_mil: the share kept must lie in (0, 1], it is 0", ValueError);
}

// -- the bags and the experiment ------------------------------------------------------------------------------

TEST_CASE("mhim_mil: bags hold nines as they say") {
  Tensor labels = tensor({9, 0, 9, 1, 2}), rows = unsqueeze(to(labels, f32), 1);
  Generator g(37);
  BagOptions o{.min_size = 6, .max_size = 9, .min_nines = 2, .max_nines = 3, .hard = .5, .noisy = .5, .noise = .01};
  auto bags = digit_bags(40, rows, labels, o, g);
  int of_kind[3] = {0, 0, 0};
  for (const Bag& bag : bags) {
    ++of_kind[static_cast<int>(bag.kind)];
    auto x = to_vector(bag.x);
    CHECK((x.size() >= 6 && x.size() <= 9));
    Places nines;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] > 5) nines.push_back(static_cast<int64_t>(i));
      if (x[i] > 5) CHECK((x[i] == 9) == (bag.kind == BagKind::easy));  // noise moves it
    }
    CHECK(nines == bag.positives);
    CHECK(nines.empty() == (bag.label().item<int64_t>() == 0));
    if (!nines.empty()) CHECK((nines.size() >= 2 && nines.size() <= 3));
  }
  CHECK(of_kind[0] == 20);
  CHECK(of_kind[1] == 10);
  CHECK(of_kind[2] == 10);
  CHECK_THROWS_WITH_AS(digit_bags(4, rows, tensor({1, 0, 3, 1, 2}), o, g), "digit_bags: 0 nines and 5 others to draw from", ValueError);
  CHECK_THROWS_WITH_AS(digit_bags(4, rows, labels, {.min_size = 2, .max_size = 9}, g),
                       "digit_bags: 3 to 6 nines in bags of 2 to 9 instances", ValueError);
  CHECK_THROWS_WITH_AS(digit_bags(4, rows, tensor({9, 0}), o, g), "digit_bags: rows [5, 1] and labels [2] do not fit", ShapeError);
}

TEST_CASE("mhim_mil: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"representation", "mhim_mil", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 10);
  std::set<double> different;
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    // Half of the eight positive test bags are hard: the area of all is the mean of the two.
    CHECK(m["AUC (%)"] == Approx((m["AUC, hard positives (%)"] + m["AUC, easy positives (%)"]) / 2).epsilon(1e-9));
    CHECK((m["AUC (%)"] > 0 && m["AUC (%)"] <= 100));
    different.insert(m["AUC, hard positives (%)"] + 1000 * m["AUC, easy positives (%)"]);
  }
  CHECK(different.size() >= 3);
}
