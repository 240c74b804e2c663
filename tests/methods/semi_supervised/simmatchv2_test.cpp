// SimMatchV2: worked examples A to C, the memories' order, where gradients go, the momentum teacher, SimMatch's targets, and the
// experiment.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "methods/common/small_cnn.h"
#include "methods/runner.h"
#include "methods/semi_supervised/simmatchv2/simmatch.h"
#include "methods/semi_supervised/simmatchv2/simmatchv2.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::simmatchv2;

namespace plumb::methods::simmatchv2 {
Experiment experiment();
}

namespace {

Tensor random_unit(int64_t rows, int64_t width, Generator& g, DType dtype = f64) {
  return normalize(randn({rows, width}, {.dtype = dtype, .generator = &g}));
}

// Example A: a query with two labelled neighbours.
const Tensor& query() {
  static const Tensor x = tensor({{1.0, 0.0}}, f64);
  return x;
}
const Tensor& query_p() {
  static const Tensor x = tensor({{.5, .3, .2}}, f64);
  return x;
}
const Tensor& neighbours() {
  static const Tensor x = tensor({{{.8, .6}, {0.0, 1.0}}}, f64);
  return x;
}
const Tensor& neighbour_labels() {
  static const Tensor x = tensor({{{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}}}, f64);
  return x;
}
Tensor all_features() { return cat({unsqueeze(query(), 1), neighbours()}, 1); }

// Example B: a queue of four nodes.
Tensor bank() { return tensor({{1.0, 0.0}, {.6, .8}, {-1.0, 0.0}, {0.0, 1.0}}, f64); }
Tensor bank_labels() { return tensor({{.8, .1, .1}, {.2, .7, .1}, {.1, .1, .8}, {.3, .4, .3}}, f64); }
Tensor teacher_z() { return normalize(tensor({{1.0, .2}}, f64)); }
Tensor student_z() { return normalize(tensor({{.7, .7}}, f64)); }
Tensor example_p() { return tensor({{.6, .3, .1}}, f64); }

SemiData tiny_problem(Generator& g) {
  auto images = [&](int64_t n) { return rand({n, 1, 8, 8}, {.generator = &g}); };
  return {images(6), tensor({0, 1, 2, 0, 1, 2}), images(16), zeros({16}, i64), images(4), zeros({4}, i64), 3};
}
using Net = NormalisedTwoHead<SmallCnn>;
Net tiny_net() { return Net(SmallCnn({.classes = 3, .width = 4, .features = 16}), 16, 3, 8); }

}  // namespace

TEST_CASE("simmatchv2: worked example A, propagation over two neighbours") {
  check_close(slice(propagation_matrix(all_features(), .1, .1), 1, 0, 1), {.908005, .0908812, .00111378});
  check_close(propagation_weights(all_features(), .1, .1), {.908005, .0908812, .00111378});
  check_close(propagate_labels(query(), query_p(), neighbours(), neighbour_labels(), .1, .1), {.544884, .273515, .181601});
  check_close(propagation_weights(all_features(), .5, .5), {.599811, .291350, .108840});
  check_close(propagate_labels(query(), query_p(), neighbours(), neighbour_labels(), .5, .5), {.591255, .288783, .119962});
  // A itself, from M: A = (I − (1 − α) M⁻¹) / α, here by its own definition.
  Tensor k = select(all_features(), 0, 0);
  Tensor walk = softmax(matmul(k, mT(k)) / .1 - 1e9 * eye(3, -1, f64), 1);
  check_close(walk, {0, .999665, 3.35350e-4, .880797, 0, .119203, .00247262, .997527, 0});
  Tensor m = select(propagation_matrix(all_features(), .1, .1), 0, 0);
  check_close(matmul(m, eye(3, -1, f64) - .1 * walk), {.9, 0, 0, 0, .9, 0, 0, 0, .9}, 1e-9);
}

TEST_CASE("simmatchv2: without propagation labels stay as they are; rows of M sum to 1 for every alpha") {
  Tensor same = propagate_labels(query(), query_p(), neighbours(), neighbour_labels(), .1, 0);
  CHECK(to_vector(same) == to_vector(query_p()));
  CHECK(to_vector(propagation_matrix(all_features(), .1, 0)) == to_vector(unsqueeze(eye(3, -1, f64), 0)));
  Generator g(1);
  Tensor features = reshape(random_unit(4 * 6, 5, g), {4, 6, 5});
  for (double alpha : {0.0, .1, .5, .9, .999}) {
    CAPTURE(alpha);
    Tensor m = propagation_matrix(features, .1, alpha);
    for (double s : to_vector(sum(m, {2}))) CHECK(s == doctest::Approx(1).epsilon(1e-9));
    auto first = to_vector(contiguous(select(m, 1, 0))), solved = to_vector(propagation_weights(features, .1, alpha));
    for (size_t i = 0; i < first.size(); ++i) CHECK(solved[i] == doctest::Approx(first[i]).epsilon(1e-9));
  }
}

TEST_CASE("simmatchv2: worked example B, edges to a queue and labels read off them") {
  Tensor target = edge_distribution(teacher_z(), bank(), .5);
  check_close(target, {.539770, .337129, .0106848, .112417});
  Tensor edges = edge_distribution(student_z(), bank(), .5);
  check_close(edges, {.261797, .460933, .0154737, .261797});
  CHECK(edge_edge_loss(student_z(), bank(), target, .5).item() == doctest::Approx(1.17970).epsilon(5e-6));
  check_close(matmul(edges, bank_labels()), {.381710, .455099, .163191});
  CHECK(node_edge_loss(student_z(), bank(), bank_labels(), example_p(), .5).item() == doctest::Approx(.995312).epsilon(2e-6));
  Tensor sharp = edge_distribution(teacher_z(), bank(), .1);
  CHECK(edge_edge_loss(student_z(), bank(), sharp, .1).item() == doctest::Approx(2.69475).epsilon(3e-6));
  check_close(matmul(edge_distribution(student_z(), bank(), .1), bank_labels()), {.237000, .652428, .110572}, 5e-6);
  CHECK(node_edge_loss(student_z(), bank(), bank_labels(), example_p(), .1).item() == doctest::Approx(1.21214).epsilon(5e-6));
}

TEST_CASE("simmatchv2: labels read off very unlike edges stay finite, where their product would underflow") {
  Tensor one_hot_labels = tensor({{1.0, 0.0, 0.0}, {1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {1.0, 0.0, 0.0}});
  Tensor z = to(tensor({{1.0, 0.0}}), f32), u = to(bank(), f32), p = tensor({{.5, .5, 0.0}});
  z.requires_grad_();
  Tensor loss = node_edge_loss(z, u, one_hot_labels, p, .01);
  CHECK(loss.item() == doctest::Approx(.5 * 200).epsilon(1e-4));  // −½ log e^(−(1 − (−1)) / .01); no node has the last class
  loss.backward();
  check_close(z.grad(), {.5 * 200, 0}, 1e-4);  // away from the first node, towards the third
}

TEST_CASE("simmatchv2: worked example C, alignment before its mean moves") {
  DistributionAligner aligner = DistributionAligner::average_after(3, .9);
  Tensor raw = tensor({{.7, .2, .1}, {.6, .3, .1}}, f64);
  check_close(aligner.align(raw), {.7, .2, .1, .6, .3, .1}, 1e-12);
  check_close(aligner.mean(), {.365, .325, .310}, 1e-12);
  check_close(aligner.align(raw), {.671555, .215488, .112957, .568901, .319460, .111639}, 5e-6);
  check_close(aligner.mean(), {.393500, .317500, .289000}, 1e-12);
}

TEST_CASE("simmatchv2: the layer norm in front of the heads") {
  TwoHeads heads(4, 3, 2);
  check_close(heads.normalised(tensor({{1.0, 2.0, 3.0, 6.0}})), {-1.06904, -.534522, 0, 1.60357}, 1e-5);
  CHECK(to_vector(TwoHeads(4, 3, 2, false).normalised(tensor({{1.0, 2.0, 3.0, 6.0}}))) == std::vector<double>{1, 2, 3, 6});
  Generator g(2);
  for (double length : to_vector(norm(heads.embedding(randn({5, 4}, {.generator = &g})), 2, {1})))
    CHECK(length == doctest::Approx(1).epsilon(1e-6));
}

TEST_CASE("simmatchv2: edges cost at least their teacher's entropy, and their gradient is the difference") {
  Generator g(3);
  Tensor u = random_unit(7, 4, g), z = random_unit(5, 4, g).requires_grad_(), target = edge_distribution(random_unit(5, 4, g), u, .3);
  double entropy = -mean(sum(xlogy(target, target), {1})).item();
  Tensor loss = edge_edge_loss(z, u, target, .3);
  CHECK(loss.item() > entropy + 1e-6);
  Tensor own = edge_distribution(z.detach(), u, .3);
  CHECK(edge_edge_loss(z.detach(), u, own, .3).item() == doctest::Approx(-mean(sum(xlogy(own, own), {1})).item()).epsilon(1e-12));
  loss.backward();
  check_close(z.grad(), to_vector(matmul((own - target) / 5, u) / .3), 1e-9);  // through the edges' logits z uᵀ / t
}

TEST_CASE("simmatchv2: the queue is first in, first out and wraps; the labelled bank goes by index") {
  Generator g(4);
  NodeQueue queue(4, 2, 3, g);
  check_close(queue.probabilities(), std::vector<double>(12, 1.0 / 3), 1e-6);
  check_close(norm(queue.embeddings(), 2, {1}), {1, 1, 1, 1}, 1e-6);
  auto node = [](double a) { return tensor({{std::cos(a), std::sin(a)}, {std::cos(a + .1), std::sin(a + .1)}}); };
  Tensor p = tensor({{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}});
  for (double a : {0.0, 1.0, 2.0}) queue.push(node(a), p);
  check_close(queue.embeddings(), to_vector(cat({node(1), node(2)})), 1e-6);
  check_close(queue.probabilities(), to_vector(cat({p, p})), 1e-6);
  CHECK_THROWS_WITH_AS(queue.push(tensor({{1.0, 0.0}, {1.0, 0.0}, {1.0, 0.0}}), ones({3, 3})),
                       "node_queue: a batch of 3 does not divide the capacity 4", ValueError);
  CHECK_THROWS_WITH_AS(queue.push(ones({2, 3}), p),
                       "node_queue: embeddings [2, 3] with probabilities [2, 3] where [n, 2] and [n, 3] are kept", ShapeError);
  IndexedBank labelled(3, 2, g);
  check_close(norm(labelled.table(), 2, {1}), {1, 1, 1}, 1e-6);
  labelled.put(tensor({2, 0}), tensor({{0.0, 1.0}, {1.0, 0.0}}));
  check_close(narrow(labelled.table(), 0, 2, 1), {0, 1});
  check_close(narrow(labelled.table(), 0, 0, 1), {1, 0});
  CHECK_THROWS_WITH_AS(labelled.put(tensor({3}), tensor({{0.0, 1.0}})), "per_sample_store: index 3 is outside [0, 3)", IndexError);
}

namespace {

// A step's outputs without a network.
TwoViewOutputs random_outputs(Generator& g, int64_t labelled, int64_t unlabelled, int64_t classes, size_t views) {
  auto logits = [&](int64_t n) { return 2.0 * randn({n, classes}, {.generator = &g}); };
  TwoViewOutputs out;
  out.teacher_labelled_z = random_unit(labelled, 4, g, f32);
  out.teacher_z = random_unit(unlabelled, 4, g, f32);
  out.teacher_logits = logits(unlabelled);
  out.labelled = logits(labelled).requires_grad_();
  for (size_t s = 0; s < views; ++s) {
    out.strong.push_back(logits(unlabelled).requires_grad_());
    out.strong_z.push_back(random_unit(unlabelled, 4, g, f32).requires_grad_());
  }
  return out;
}

}  // namespace

TEST_CASE("simmatchv2: losses are taken against the memories as they were; then the teacher's nodes go in") {
  Generator g(5);
  Tensor labels = tensor({0, 1, 2, 0}), first_z = random_unit(4, 4, g, f32);
  SimMatchV2Options o{.threshold = .5, .neighbours = 2, .queue = 6};
  SimMatchV2Objective objective(o, labels, 3, first_z);
  Tensor u = objective.queue().embeddings(), pu = objective.queue().probabilities();
  TwoViewOutputs out = random_outputs(g, 2, 3, 3, 2);
  SimMatchV2Terms t = objective(out, tensor({1, 0}), tensor({1, 3}));

  Tensor p = softmax(out.teacher_logits, 1), edges = edge_distribution(out.teacher_z, u, .1);
  check_close(t.probabilities, to_vector(p), 1e-6);  // aligned with 1/C
  double ee = 0, ne = 0, nn = 0;
  for (size_t s = 0; s < 2; ++s) {
    ee += edge_edge_loss(out.strong_z[s], u, edges, .1).item() / 2;
    ne += node_edge_loss(out.strong_z[s], u, pu, p, .1).item() / 2;
    Tensor each = cross_entropy(out.strong[s], t.propagated, {.reduction = Reduction::none});
    nn += sum(each * to(amax(p, {1}) >= .5, f32)).item() / 6;
  }
  CHECK(t.edge_edge.item() == doctest::Approx(ee).epsilon(1e-6));
  CHECK(t.node_edge.item() == doctest::Approx(ne).epsilon(1e-6));
  CHECK(t.node_edge.item() == doctest::Approx(std::log(3)).epsilon(1e-5));  // a queue of 1/C says 1/C
  CHECK(t.node_node.item() == doctest::Approx(nn).epsilon(1e-6));
  double ce = cross_entropy(out.labelled, tensor({1, 0})).item();
  CHECK(t.total.item() == doctest::Approx(ce + nn + .5 * ee + .5 * ne).epsilon(1e-6));

  // ŷ of the nearest two of the bank as it was.
  Tensor places = nearest_rows(out.teacher_z, first_z, 2);
  Tensor near = reshape(index_select(first_z, 0, flatten(places)), {3, 2, 4});
  Tensor near_labels = reshape(index_select(to(one_hot(labels, 3), f32), 0, flatten(places)), {3, 2, 3});
  check_close(t.propagated, to_vector(propagate_labels(out.teacher_z, p, near, near_labels, .1, .1)), 1e-5);

  check_close(narrow(objective.queue().embeddings(), 0, 3, 3), to_vector(out.teacher_z), 1e-6);
  check_close(narrow(objective.queue().probabilities(), 0, 3, 3), to_vector(p), 1e-6);
  check_close(narrow(objective.queue().embeddings(), 0, 0, 3), to_vector(narrow(u, 0, 3, 3)), 1e-6);
  check_close(select(objective.labelled_bank().table(), 0, 1), to_vector(select(out.teacher_labelled_z, 0, 0)), 1e-6);
  check_close(select(objective.labelled_bank().table(), 0, 3), to_vector(select(out.teacher_labelled_z, 0, 1)), 1e-6);
  check_close(select(objective.labelled_bank().table(), 0, 0), to_vector(select(first_z, 0, 0)), 1e-6);
}

TEST_CASE("simmatchv2: without its weights it is plain cross-entropy; gradients reach the student alone") {
  Generator g(6);
  Tensor z = random_unit(4, 4, g, f32);
  SimMatchV2Objective plain({.neighbours = 2, .queue = 6, .node_node = 0, .edge_edge = 0, .node_edge = 0}, tensor({0, 1, 2, 0}), 3, z);
  TwoViewOutputs out = random_outputs(g, 2, 3, 3, 1);
  SimMatchV2Terms t = plain(out, tensor({2, 1}), tensor({2, 1}));
  CHECK(t.total.item() == doctest::Approx(cross_entropy(out.labelled, tensor({2, 1})).item()).epsilon(1e-7));
  t.total.backward();
  CHECK_FALSE(out.strong[0].grad().defined());
  CHECK_FALSE(out.strong_z[0].grad().defined());

  SimMatchV2Objective whole({.threshold = 0, .neighbours = 2, .queue = 6}, tensor({0, 1, 2, 0}), 3, z);
  out = random_outputs(g, 2, 3, 3, 1);
  out.teacher_logits.requires_grad_();
  out.teacher_z.requires_grad_();
  t = whole(out, tensor({2, 1}), tensor({2, 1}));
  t.total.backward();
  CHECK(out.strong[0].grad().defined());
  CHECK(out.strong_z[0].grad().defined());
  CHECK_FALSE(out.teacher_logits.grad().defined());
  CHECK_FALSE(out.teacher_z.grad().defined());
}

TEST_CASE("simmatchv2: the mask reads p, the target is propagated") {
  Tensor z = tensor({{1.0, 0.0}, {0.0, 1.0}});
  SimMatchV2Objective objective(
      {.threshold = .6, .temperature = .5, .alpha = .9, .neighbours = 2, .queue = 2, .edge_edge = 0, .node_edge = 0}, tensor({1, 1}), 2, z);
  TwoViewOutputs out;
  out.teacher_labelled_z = tensor({{1.0, 0.0}});
  out.teacher_z = tensor({{1.0, 0.0}});
  out.teacher_logits = tensor({{std::log(.7), std::log(.3)}});
  out.labelled = tensor({{0.0, 0.0}});
  out.strong = {tensor({{0.0, 0.0}})};
  out.strong_z = {tensor({{1.0, 0.0}})};
  SimMatchV2Terms t = objective(out, tensor({1}), tensor({0}));
  CHECK(to_vector(t.mask) == std::vector<double>{1});
  CHECK(to_vector<int64_t>(semi_step(t).label) == std::vector<int64_t>{1});  // both neighbours say 1, p says 0
}

TEST_CASE("simmatchv2: the teacher's momentum is constant, or rises by a cosine where it is low") {
  CHECK(teacher_momentum({.momentum = .99}, 700) == .99);
  CHECK(teacher_momentum({.momentum = .999, .schedule_steps = 100}, 50) == .999);
  TeacherOptions low{.momentum = .9, .schedule_steps = 100};
  CHECK(teacher_momentum(low, 0) == doctest::Approx(.9).epsilon(1e-12));
  CHECK(teacher_momentum(low, 50) == doctest::Approx(.95).epsilon(1e-12));
  CHECK(teacher_momentum(low, 100) == doctest::Approx(1).epsilon(1e-12));
  CHECK(teacher_momentum(low, 200) == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("simmatchv2: the teacher follows after the optimiser's step and keeps its own or averaged batch statistics") {
  manual_seed(7);
  Net student = tiny_net();
  MomentumTeacher<Net> own({.momentum = .9}), averaged({.momentum = .9, .average_buffers = true});
  own.follow(student);
  averaged.follow(student);
  CHECK(own.model().training());
  CHECK_FALSE(averaged.model().training());
  double before = to_vector(student.heads.classifier.weight)[0];
  {
    NoGrad no_grad;
    add_(student.heads.classifier.weight, 1.0);
    add_(student.backbone.bn1.running_mean, 2.0);
  }
  own.follow(student);
  averaged.follow(student);
  for (const auto* teacher : {&own, &averaged})
    CHECK(to_vector(teacher->model().heads.classifier.weight)[0] == doctest::Approx(before + .1).epsilon(1e-6));
  CHECK(to_vector(own.model().backbone.bn1.running_mean)[0] == 0);
  CHECK(to_vector(averaged.model().backbone.bn1.running_mean)[0] == doctest::Approx(.2).epsilon(1e-6));
}

TEST_CASE("simmatchv2: a few steps of the shared trainer, one and two strong views, and SimMatch") {
  manual_seed(8);
  Generator g(8);
  SemiData data = tiny_problem(g);
  auto steps = [&](auto&& method, int views) {
    Net net = tiny_net();
    int calls = 0;
    auto average = train_semi_supervised(net, data, SemiBatcher(data, {.batch = 3, .ratio = 2, .strong_views = views, .seed = 9}),
                                         {.steps = 4, .evaluate_every = 2}, method, [&](const SemiProgress& p) {
                                           ++calls;
                                           CHECK(std::isfinite(p.accuracy));
                                         });
    CHECK(calls == 2);
    for (const Tensor& p : average.model.parameters())
      for (double v : to_vector(p)) REQUIRE(std::isfinite(v));
    return to_vector(average.model.heads.fc2.weight);
  };
  SimMatchV2Options o{.threshold = .4, .neighbours = 4, .queue = 12, .seed = 1};
  SimMatchV2<Net> one(o, data), two(o, data), again(o, data);
  manual_seed(8);
  auto first = steps(one, 1);
  CHECK(one.terms().propagated.shape() == Shape{6, 3});
  manual_seed(8);
  auto second = steps(two, 2);
  manual_seed(8);
  CHECK(steps(again, 1) == first);
  CHECK(second != first);
  manual_seed(8);
  CHECK(steps(SimMatch<Net>({.threshold = .4, .seed = 1}, data), 1) != first);
}

TEST_CASE("simmatchv2: SimMatch's targets, by hand") {
  // Two examples of class 0, one of class 1.
  Tensor q = tensor({{.5, .3, .2}}, f64), p = tensor({{.25, .75}}, f64), labels = tensor({{1.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}}, f64);
  MatchedTargets t = match_targets(q, p, labels, .9);
  check_close(t.probabilities, {.9 * .25 + .1 * .8, .9 * .75 + .1 * .2}, 1e-12);
  double total = .5 * .25 + .3 * .25 + .2 * .75;
  check_close(t.instances, {.5 * .25 / total, .3 * .25 / total, .2 * .75 / total}, 1e-12);
  check_close(match_targets(q, p, labels, 1).probabilities, {.25, .75}, 1e-12);
  CHECK_THROWS_WITH_AS(match_targets(q, p, ones({2, 2}, f64), 1), "simmatch: similarities [1, 3], probabilities [1, 2], labels [2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(SimMatchOptions{.temperature = 0}.check(), "simmatch: the temperature must be positive, it is 0", ValueError);
}

TEST_CASE("simmatchv2: mistakes are named") {
  Tensor z = query(), labels = neighbour_labels();
  auto propagate = [&](double t, double alpha) { return propagate_labels(query(), query_p(), neighbours(), labels, t, alpha); };
  CHECK_THROWS_WITH_AS(propagate(.1, 1), "propagation: alpha must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(propagate(.1, -.1), "propagation: alpha must lie in [0, 1), it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(propagate(0, .1), "propagation: the temperature must be positive, it is 0", ValueError);
  labels = tensor({{{1.0, 0.0, 0.0}, {0.0, .5, .5}}}, f64);
  CHECK_THROWS_WITH_AS(propagate(.1, .1), "propagate_labels: label row 1 is not one-hot", ValueError);
  CHECK_THROWS_WITH_AS(nearest_rows(z, bank(), 5), "nearest_rows: 5 neighbours among 4 labelled examples", ValueError);
  CHECK_THROWS_WITH_AS(edge_distribution(tensor({{1.0, .2}}, f64), bank(), .1), "edge_distribution: embedding 0 has length 1.0198, not 1",
                       ValueError);
  CHECK_NOTHROW(edge_distribution(tensor({{1.0005, 0.0}}, f64), bank(), .1));
  CHECK_THROWS_WITH_AS(edge_distribution(z, bank(), -1), "edge_distribution: the temperature must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(edge_distribution(z, ones({2, 3}, f64), .1), "edge_distribution: embeddings [1, 2] with the bank [2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(node_edge_loss(z, bank(), zeros({4, 3}, f64), example_p(), .1),
                       "node_edge_loss: the bank: row 0 of the probabilities sums to 0, not 1", ValueError);
  Generator g(10);
  SemiData data = tiny_problem(g);
  CHECK_THROWS_WITH_AS(SimMatchV2<Net>({.neighbours = 7}, data), "simmatchv2: 7 neighbours among 6 labelled examples", ValueError);
  CHECK_THROWS_WITH_AS(SimMatchV2<Net>({.edge_edge = -1}, data), "simmatchv2: edge_edge must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(SimMatchV2<Net>({.threshold = 2}, data), "simmatchv2: the threshold must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(teacher_momentum({.momentum = 1}, 0), "simmatchv2: the teacher's momentum must lie in [0, 1), it is 1", ValueError);
  data.truth = zeros({0}, i64);
  CHECK_THROWS_WITH_AS(SimMatchV2<Net>({.neighbours = 4}, data), "simmatchv2: no unlabelled example", ValueError);
}

TEST_CASE("simmatchv2: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "simmatchv2", &simmatchv2::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 12);
  std::map<std::string, std::map<std::string, double>> m;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) m[cell.variant][name] = value;
  for (auto& [variant, values] : m) {
    CAPTURE(variant);
    if (variant != "without LayerNorm") CHECK(values["test accuracy, 20 labels (%)"] > 12);  // chance is 10; that one starts more slowly
    CHECK(values["feature norm gap, 20 labels"] >= 0);
    // Between 0 and 100, and equal where nothing is propagated.
    CHECK(values["confident labels right by ŷ, 20 labels (%)"] <= 100);
  }
  for (const char* variant : {"α = 0", "FixMatch, aligned"})
    CHECK(m[variant]["confident labels right by p, 20 labels (%)"] == m[variant]["confident labels right by ŷ, 20 labels (%)"]);
  CHECK(m["without LayerNorm"]["feature norm gap, 20 labels"] > m["SimMatchV2"]["feature norm gap, 20 labels"]);
}
