// EvalProtoPNet: prototypes and their maps, score aggregation, the losses' worked numbers, part hits and scores, mistakes, the experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/scene_backgrounds.h"
#include "methods/representation/proto_eval/part_hits.h"
#include "methods/representation/proto_eval/part_images.h"
#include "methods/representation/proto_eval/prototype_layer.h"
#include "methods/representation/proto_eval/prototype_losses.h"
#include "methods/representation/proto_eval/prototype_net.h"
#include "methods/runner.h"
#include "models/optim/adam.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::proto_eval;
namespace plumb::methods::proto_eval {
Experiment experiment();
}
using doctest::Approx;

namespace {

// Channel-first maps [1, 2, 2, 2] of four places with two numbers each.
Tensor four_places(const std::vector<double>& first, const std::vector<double>& second) {
  std::vector<double> all = first;
  all.insert(all.end(), second.begin(), second.end());
  return from_vector(all, {1, 2, 2, 2});
}
Tensor shallow_example() { return four_places({1, 1, 0, 1}, {0, 1, 1, -1}); }
Tensor deep_example() { return four_places({1, .5, .1, 1}, {.2, 1, 1, 0}); }
// Two prototypes of one class with their peaks at places 0 and 2.
Tensor maps_example() { return tensor({{{{.9, .1}, {.2, .3}}, {{.1, .2}, {.8, .3}}}}, f64); }

PartHits hits_example(bool noisy) {
  Tensor clean = tensor({{{1, 0, 0}}, {{1, 1, 0}}, {{1, 0, 0}}, {{0, 0, 0}}}),
         other = tensor({{{1, 0, 0}}, {{1, 0, 0}}, {{1, 0, 0}}, {{0, 0, 1}}});
  return {(noisy ? other : clean) != 0, tensor({{1, 1, 1}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}}) != 0, zeros({4}, i64), 1};
}

PrototypeNetConfig small_net(bool aggregate) {
  return {.block = 2, .backbone_width = 4, .width = 8, .classes = 3, .per_class = 2, .aggregate = aggregate};
}

}  // namespace

// -- prototypes ---------------------------------------------------------------------------------------------

TEST_CASE("proto_eval: activations keep the features' length, cosines do not, distances are distances") {
  manual_seed(1);
  PrototypeLayer layer(2, 2, 3);
  layer.to(f64);
  Tensor z = randn({2, 3, 2, 5}, {.dtype = f64}), a = layer.activation_maps(z), c = layer.cosine_maps(z),
         d = layer.squared_distance_maps(z);
  CHECK(a.shape() == Shape{2, 4, 2, 5});
  auto p = to_vector(layer.prototypes), x = to_vector(z), av = to_vector(a), cv = to_vector(c), dv = to_vector(d);
  for (size_t b = 0; b < 2; ++b)
    for (size_t m = 0; m < 4; ++m)
      for (size_t n = 0; n < 10; ++n) {
        double product = 0, pp = 0, zz = 0, apart = 0;
        for (size_t k = 0; k < 3; ++k) {
          double pk = p[3 * m + k], zk = x[(b * 3 + k) * 10 + n];
          product += pk * zk, pp += pk * pk, zz += zk * zk, apart += (pk - zk) * (pk - zk);
        }
        size_t at = (b * 4 + m) * 10 + n;
        CHECK(av[at] == Approx(product / std::sqrt(pp)).epsilon(1e-10));
        CHECK(cv[at] == Approx(product / std::sqrt(pp * zz)).epsilon(1e-10));
        CHECK(std::abs(cv[at]) <= 1 + 1e-12);
        CHECK(dv[at] == Approx(apart).epsilon(1e-10));
      }
  CHECK(to_vector<int64_t>(layer.class_of()) == std::vector<int64_t>{0, 0, 1, 1});
}

TEST_CASE("proto_eval: prototypes start in [0, 1) and have length 1 after every step") {
  manual_seed(2);
  PrototypeLayer layer(3, 2, 4);
  for (double v : to_vector(layer.prototypes)) CHECK((v >= 0 && v < 1));
  optim::Adam adam(layer.parameters(), {.lr = 0.1});
  Tensor z = rand({5, 4, 2, 2});
  for (int step = 0; step < 4; ++step) {
    adam.zero_grad();
    sum(square(layer.activation_maps(z) - 2)).backward();
    adam.step();
    layer.to_unit_length();
    for (double length : to_vector(norm(layer.prototypes, 2, {1}))) CHECK(length == Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("proto_eval: score aggregation, worked out") {
  ScoreAggregation sa(2, 3);
  sa.to(f64);
  Tensor g = tensor({{.8, .5, .1, .3, .9, .2}}, f64);
  check_close(sa(g), {1.4, 1.4}, 1e-12);  // the plain sums
  sa.load_state({{"weight", tensor({{1.0, 2.0, 0.0}, {1.0, 1.0, 1.0}}, f64)}});
  check_close(sa.weights(), {.734185, 1.99572, .270092, 1, 1, 1});
  check_close(sa(g), {1.61222, 1.40000}, 4e-6);
  CHECK(cross_entropy(sa(g), tensor({0})).item() == Approx(.592657).epsilon(3e-6));
  auto before = to_vector(sa(g));
  sa.load_state({{"weight", tensor({{6.0, 7.0, 5.0}, {-2.0, -2.0, -2.0}}, f64)}});
  check_close(sa(g), before, 1e-10);  // a constant changes nothing
  Tensor foreign = tensor({{.8, .5, .1, 5.0, -3.0, 7.0}}, f64);
  CHECK(to_vector(sa(foreign))[0] == before[0]);
}

// -- losses ---------------------------------------------------------------------------------------------------

TEST_CASE("proto_eval: cluster, separation and orthogonality, worked out") {
  Tensor cosine = tensor({{.7, .4, .2, .6, .1, -.3}}, f64), label = tensor({0});
  double cluster = cluster_loss(cosine, label, 3).item(), separation = separation_loss(cosine, label, 3).item();
  CHECK(cluster == Approx(-.7));
  CHECK(separation == Approx(-.6));
  CHECK(.8 * cluster - .08 * separation == Approx(-.512));
  CHECK(orthogonality_loss(tensor({{1.0, 0.0}, {.6, .8}, {0.0, 1.0}}, f64), 3).item() == Approx(2.8));
  CHECK(orthogonality_loss(tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {0.0, 1.0}}, f64), 2).item() == 0);  // classes by themselves
  // With a negative coefficient the separation punishes nearness to another class's prototype.
  Tensor leaf = cosine.requires_grad_();
  (separation_loss(leaf, label, 3) * -.08).backward();
  check_close(leaf.grad() + 1, {1, 1, 1, 1.08, 1, 1}, 1e-9);
}

TEST_CASE("proto_eval: shallow-deep alignment, worked out") {
  CHECK(sdfa_loss(shallow_example(), deep_example(), maps_example(), tensor({0}), 2).item() == Approx(.174112).epsilon(4e-6));
  CHECK(sdfa_loss(shallow_example(), deep_example(), maps_example(), tensor({0}), 2, 2).item() == 0);  // cosines differ by 2 at most
  CHECK(sdfa_loss(deep_example() * 3, deep_example(), maps_example(), tensor({0}), 2, 0).item() == Approx(0).epsilon(1e-12));
}

TEST_CASE("proto_eval: the alignment's gradient goes to deep features alone, and peaks are those of the own class") {
  Tensor shallow = shallow_example().requires_grad_(), deep = deep_example().requires_grad_(), maps = maps_example().requires_grad_();
  sdfa_loss(shallow, deep, maps, tensor({0}), 2).backward();
  CHECK_FALSE(shallow.grad().defined());
  CHECK_FALSE(maps.grad().defined());
  CHECK(deep.grad().defined());
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {sdfa_loss(shallow, x[0], maps, tensor({0}), 2)}; };
  CHECK(gradcheck(loss, {deep_example()}).passed);
  // Two classes with one prototype each: of row 0 alone, then of row 2 alone.
  double first = sdfa_loss(shallow, deep, maps, tensor({0}), 1).item(), second = sdfa_loss(shallow, deep, maps, tensor({1}), 1).item();
  CHECK(first == Approx((.192714 + .173474) / 4).epsilon(4e-6));
  CHECK(second == Approx((.192714 + .127381 + .706610) / 4).epsilon(4e-6));
  // A map without a largest place has its peak at the first.
  CHECK(sdfa_loss(shallow, deep, zeros({1, 1, 2, 2}, f64), tensor({0}), 1).item() == Approx(first).epsilon(1e-9));
}

TEST_CASE("proto_eval: a block of the shallow map is one place, and places of zeros are alike to nothing") {
  manual_seed(3);
  Tensor shallow = randn({2, 3, 4, 6}, {.dtype = f64}), deep = randn({2, 5, 2, 3}, {.dtype = f64}),
         maps = rand({2, 2, 2, 3}, {.dtype = f64});
  Tensor mixed = sdfa_loss(shallow, deep, maps, tensor({0, 1}), 1);
  // Other orders within the channels and blocks do not matter: the same for all places.
  CHECK(sdfa_loss(index_select(shallow, 1, tensor({2, 0, 1})), deep, maps, tensor({0, 1}), 1).item() ==
        Approx(mixed.item()).epsilon(1e-12));
  CHECK(std::isfinite(sdfa_loss(zeros({2, 3, 4, 6}, f64), deep, maps, tensor({0, 1}), 1).item()));
  CHECK_THROWS_WITH_AS(sdfa_loss(randn({2, 3, 5, 6}, {.dtype = f64}), deep, maps, tensor({0, 1}), 1),
                       "proto_eval: shallow maps of 5×6 are no multiple of deep ones of 2×3", ShapeError);
  CHECK_THROWS_WITH_AS(sdfa_loss(shallow, deep, slice(maps, 2, 0, 1), tensor({0, 1}), 1),
                       "proto_eval: shallow features [2, 3, 4, 6], deep ones [2, 5, 2, 3] and maps [2, 2, 1, 3] do not fit", ShapeError);
  CHECK_THROWS_WITH_AS(sdfa_loss(shallow, deep, maps, tensor({0, 1}), 1, -1), "proto_eval: the margin must not be negative, it is -1",
                       ValueError);
}

// -- hits and scores ------------------------------------------------------------------------------------------

TEST_CASE("proto_eval: the worked hits") {
  PartHits clean = hits_example(false), noisy = hits_example(true);
  check_close(part_rates(clean) + 1, {2, 4.0 / 3, 1}, 1e-9);
  CHECK(consistency_score(clean) == 100);
  CHECK(best_part_rate(clean) == Approx(100));
  CHECK(stability_score(clean, noisy) == Approx(50));
  CHECK(stability_score(clean, clean) == 100);
}

TEST_CASE("proto_eval: a prototype is consistent from the threshold on, each class by its own images") {
  // Two classes with two prototypes, two parts; five images of each. f of class 0: (.8, 0), (.6, .4); of class 1: (0, 0), (1, 0).
  std::vector<int> hit;
  for (int image = 0; image < 5; ++image)
    for (bool v : {image < 4, false, image < 3, image >= 3}) hit.push_back(v);
  for (int image = 0; image < 5; ++image)
    for (int v : {0, 0, 1, 0}) hit.push_back(v);
  PartHits hits{from_vector(hit, {10, 2, 2}) != 0, ones({10, 2}) != 0, tensor({0, 0, 0, 0, 0, 1, 1, 1, 1, 1}), 2};
  CHECK(consistency_score(hits, .8) == Approx(50));
  CHECK(consistency_score(hits, .81) == Approx(25));
  CHECK(consistency_score(hits, 0) == 100);
  CHECK(best_part_rate(hits) == Approx(100 * (.8 + .6 + 0 + 1) / 4));
}

TEST_CASE("proto_eval: the peak's box, on the enlarged map") {
  Tensor maps = zeros({1, 2, 4, 4});
  maps.data<float>()[5] = 1;        // row 1, column 1: pixels 4 to 7 of 16
  maps.data<float>()[16 + 11] = 2;  // row 2, column 3
  auto peaks = to_vector<int64_t>(map_peaks(maps, 16));
  CHECK((peaks[0] >= 4 && peaks[0] < 8 && peaks[1] >= 4 && peaks[1] < 8));
  CHECK((peaks[2] >= 8 && peaks[2] < 12 && peaks[3] >= 12 && peaks[3] < 16));
  Tensor same = zeros({1, 1, 3, 3});
  CHECK(to_vector<int64_t>(map_peaks(same, 3)) == std::vector<int64_t>{0, 0});  // the first of equal pixels
  same.data<float>()[5] = 1;
  CHECK(to_vector<int64_t>(map_peaks(same, 3)) == std::vector<int64_t>{1, 2});
  Parts parts{tensor({{{2.0, 2.0}, {0.0, 1.0}, {2.0, 0.0}, {1.0, 1.0}}}), tensor({{1, 1, 1, 0}}) != 0};
  // About (1, 2) with half a box of 1: its border belongs to it; a part that is not visible is never hit.
  CHECK(to_vector<int>(prototype_part_hits(same, parts, 1, 3)) == std::vector<int>{1, 1, 0, 0});
  CHECK(to_vector<int>(prototype_part_hits(same, parts, 2, 3)) == std::vector<int>{1, 1, 1, 0});
}

TEST_CASE("proto_eval: noise is clipped, and none keeps every prototype stable") {
  Generator g(4);
  Tensor x = zeros({2, 1, 40, 40}), noisy = imperceptible_noise(x, g);
  CHECK(max(noisy).item() == Approx(.25));
  CHECK(min(noisy).item() == Approx(-.25));
  CHECK(std_dev(noisy).item() == Approx(.165).epsilon(.05));  // of N(0, .2²) with both tails at ±1.25 deviations
  CHECK(to_vector(imperceptible_noise(x, g, 0)) == to_vector(x));
}

TEST_CASE("proto_eval: mistakes are named") {
  PartHits no_images = hits_example(false);
  no_images.classes = 2;
  CHECK_THROWS_WITH_AS(consistency_score(no_images), "proto_eval: class 1 has no images", ValueError);
  PartHits unseen = hits_example(false);
  unseen.visible = zeros({4, 3}) != 0;
  CHECK_THROWS_WITH_AS(consistency_score(unseen), "proto_eval: a part is hit where it is not visible", ValueError);
  CHECK_THROWS_WITH_AS(stability_score(hits_example(false), unseen), "proto_eval: a part is hit where it is not visible", ValueError);
  PartHits label = hits_example(false);
  label.labels = tensor({0, 0, 3, 0});
  CHECK_THROWS_WITH_AS(part_rates(label), "proto_eval: class 3 is outside [0, 1)", IndexError);
  label.labels = tensor({0, 0});
  CHECK_THROWS_WITH_AS(part_rates(label), "proto_eval: hits [4, 1, 3], visibilities [4, 3] and labels [2] do not fit", ShapeError);
  CHECK_THROWS_WITH_AS(PrototypeLayer(0, 4, 8), "proto_eval: 0 classes with 4 prototypes of 8 numbers", ValueError);
  CHECK_THROWS_WITH_AS(PrototypeLayer(2, 2, 3).cosine_maps(zeros({1, 4, 2, 2})),
                       "proto_eval: features are to be [B, 3, H, W], got [1, 4, 2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(ScoreAggregation(2, 3)(zeros({1, 5})), "proto_eval: activations are to be [B, 6], got [1, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(cluster_loss(zeros({2, 6}), tensor({0, 2}), 3), "proto_eval: class 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(cluster_loss(zeros({2, 6}), tensor({0}), 3), "proto_eval: values [2, 6] of 3 prototypes a class for labels [1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(separation_loss(zeros({2, 3}), tensor({0, 0}), 3),
                       "proto_eval: a separation from other classes, but there is one class only", ValueError);
  CHECK_THROWS_WITH_AS(prototype_part_hits(zeros({1, 1, 3, 3}), {zeros({1, 2, 2}), zeros({1, 3}) != 0}, 1, 3),
                       "proto_eval: locations [1, 2, 2] and visibilities [1, 3] for maps [1, 1, 3, 3]", ShapeError);
  PrototypeNet net(small_net(true));
  CHECK_THROWS_WITH_AS(net.forward(zeros({1, 1, 20, 24})),
                       "proto_eval: images are to be [B, 1, H, W] with sides that are multiples of 8, got [1, 1, 20, 24]", ShapeError);
  CHECK_THROWS_WITH_AS(fit_last_layer(net, zeros({1, 1, 8, 8}), tensor({0})), "proto_eval: this network has no dense layer to fit",
                       ValueError);
  CHECK_THROWS_WITH_AS(project_prototypes(net, zeros({2, 1, 8, 8}), tensor({0, 2})), "proto_eval: class 1 has no images", ValueError);
}

// -- the network ------------------------------------------------------------------------------------------------

TEST_CASE("proto_eval: the network's outputs and its loss add up") {
  manual_seed(5);
  PrototypeNet net(small_net(true));
  Tensor x = randn({4, 1, 24, 24}), y = tensor({0, 1, 2, 1});
  PrototypeNet::Output o = net.forward(x);
  CHECK(o.shallow.shape() == Shape{4, 4, 12, 12});
  CHECK(o.deep.shape() == Shape{4, 16, 3, 3});
  CHECK(o.maps.shape() == Shape{4, 6, 3, 3});
  CHECK(o.nearness.shape() == Shape{4, 6});
  CHECK(o.logits.shape() == Shape{4, 3});
  PrototypeLossOptions p{.cluster = .7, .separation = .2, .orthogonality = .01, .sdfa = .3, .margin = .05};
  double wanted = cross_entropy(o.logits, y).item() + .7 * cluster_loss(o.nearness, y, 2).item() -
                  .2 * separation_loss(o.nearness, y, 2).item() + .01 * orthogonality_loss(net.prototypes.prototypes, 2).item() +
                  .3 * sdfa_loss(o.shallow, o.deep, o.maps, y, 2, .05).item();
  Tensor loss = prototype_net_loss(net, o, y, p);
  CHECK(loss.item() == Approx(wanted).epsilon(1e-5));
  loss.backward();
  for (const auto& [name, parameter] : net.named_parameters()) {
    CAPTURE(name);
    CHECK(parameter.grad().defined());
  }
}

TEST_CASE("proto_eval: a dense layer starts with own and other prototypes apart; projection puts prototypes on patches of their class") {
  manual_seed(6);
  PrototypeNetConfig config = small_net(false);
  config.similarity = Similarity::distance;
  PrototypeNet net(config);
  check_close(net.dense->weight + 2, {3, 3, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 3, 3, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 3, 3}, 1e-6);
  Tensor x = randn({9, 1, 24, 24}), y = tensor({0, 1, 2, 0, 1, 2, 0, 1, 2});
  project_prototypes(net, x, y);
  CHECK(net.training());
  NoGrad no_grad;
  net.eval();
  PrototypeNet::Output o = net.forward(x);
  auto near = to_vector(o.nearness);  // −d²: 0 for some image of the class
  for (int64_t m = 0; m < 6; ++m) {
    double own = -1e9;
    for (int64_t i = 0; i < 9; ++i)
      if (i % 3 == m / 2) own = std::max(own, near[static_cast<size_t>(i * 6 + m)]);
    CHECK(own == Approx(0).epsilon(1e-5));
  }
}

TEST_CASE("proto_eval: the last layer alone is fitted, and weights between classes shrink") {
  manual_seed(7);
  PrototypeNetConfig config = small_net(false);
  config.similarity = Similarity::distance;
  PrototypeNet net(config);
  Tensor x = randn({9, 1, 24, 24}), y = tensor({0, 1, 2, 0, 1, 2, 0, 1, 2}), prototypes = clone(net.prototypes.prototypes.detach());
  double foreign = abs(select(select(net.dense->weight, 0, 0), 0, 3)).item();
  fit_last_layer(net, x, y, {.l1 = 10, .lr = 1e-2, .steps = 20});
  CHECK(to_vector(net.prototypes.prototypes) == to_vector(prototypes));
  CHECK(abs(select(select(net.dense->weight, 0, 0), 0, 3)).item() < foreign - .1);
}

// -- the images and the experiment --------------------------------------------------------------------------------

TEST_CASE("proto_eval: images hold the digits of their class where they say") {
  Generator g(8);
  Tensor dark = zeros({1, 1, 8, 8});
  data::Dataset digits = data::digits().test();
  PartImages set = part_images(60, digits, dark, {.size = 40, .hidden = .5, .noise = 0}, g);
  CHECK(set.images.shape() == Shape{60, 1, 40, 40});
  auto location = to_vector(set.parts.location);
  auto visible = to_vector<int>(set.parts.visible);
  int left_out = 0;
  for (int64_t i = 0; i < 60; ++i) {
    double inside = 0;
    int seen = 0;
    for (int64_t q = 0; q < 3; ++q) {
      auto at = static_cast<size_t>(3 * i + q);
      auto row = static_cast<int64_t>(location[2 * at] - 3.5), column = static_cast<int64_t>(location[2 * at + 1] - 3.5);
      double ink = sum(narrow(narrow(select(select(set.images, 0, i), 0, 0), 0, row, 8), 1, column, 8)).item();
      CHECK((ink > 1) == (visible[at] == 1));
      inside += ink, seen += visible[at];
      for (int64_t other = 0; other < q; ++other) {
        auto beside = static_cast<size_t>(3 * i + other);
        CHECK(std::max(std::abs(location[2 * at] - location[2 * beside]), std::abs(location[2 * at + 1] - location[2 * beside + 1])) >= 8);
      }
    }
    CHECK(inside == Approx(sum(select(set.images, 0, i)).item()).epsilon(1e-4));  // there is nothing else
    CHECK(seen >= 2);
    left_out += seen == 2;
  }
  CHECK((left_out > 15 && left_out < 45));
  CHECK(set.least_complete() <= 10);
  // Two classes never share more than one digit: two visible parts tell the class.
  for (size_t a = 0; a < kClassParts.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      std::set<int64_t> first(kClassParts[a].begin(), kClassParts[a].end());
      int64_t shared = 0;
      for (int64_t digit : kClassParts[b]) shared += static_cast<int64_t>(first.count(digit));
      CHECK(shared <= 1);
    }
  CHECK_THROWS_WITH_AS(part_images(5, digits, dark, {}, g), "part_images: 5 images of 6 classes", ValueError);
  CHECK_THROWS_WITH_AS(part_images(6, digits, zeros({1, 8, 8}), {}, g), "part_images: backgrounds are to be [m, 1, H, W], got [1, 8, 8]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(part_images(6, digits.with_labels({0, 1, 2}), dark, {}, g), "part_images: no image shows the digit 3", ValueError);
}

TEST_CASE("proto_eval: images of single digits hold one digit of each kind in turn") {
  Generator g(9);
  DigitImages set = digit_images(20, data::digits().test(), zeros({1, 1, 8, 8}), {.size = 20, .noise = 0}, g);
  CHECK(set.images.shape() == Shape{20, 1, 20, 20});
  for (int64_t i = 0; i < 20; ++i) {
    CHECK(select(set.labels, 0, i).item<int64_t>() == i % 10);
    Tensor ink = select(select(set.images, 0, i), 0, 0) > 0, rows = any(ink, {1}), columns = any(ink, {0});
    CHECK(count_nonzero(ink).item() > 5);
    CHECK(count_nonzero(rows).item() <= 8);
    CHECK(count_nonzero(columns).item() <= 8);
  }
  CHECK_THROWS_WITH_AS(digit_images(20, data::digits().test(), zeros({1, 1, 8, 8}), {.size = 7}, g),
                       "part_images: size 7 (8 at least), hidden 0.2, background 0.4, noise 0.05", ValueError);
}

TEST_CASE("proto_eval: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"representation", "proto_eval", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 7);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double consistent = measured(results, cell.variant, "consistency (%)") * 24 / 100;
    CHECK(consistent == Approx(std::round(consistent)).epsilon(1e-9));  // of 24 prototypes
    double best = measured(results, cell.variant, "best part hit (%)");
    CHECK(best >= .8 * measured(results, cell.variant, "consistency (%)") - 1e-9);
    CHECK(best > 0);
    CHECK(measured(results, cell.variant, "stability (%)") <= 100);
  }
  // A network answers nearly the same to nearly the same image, a guess does not.
  CHECK(measured(results, "untrained network", "stability (%)") > measured(results, "uniform guesses", "stability (%)"));
}
