// Data sets compose: each way to make a new one from another obeys its law, keeps the index of every example, and checks its arguments.
#include "engine/data/dataset.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

using namespace plumb;
using data::Batch;
using data::Dataset;
using data::Sample;

/// n examples with features [i, 10 i], label i mod `classes`.
static Dataset numbered(int64_t n, int64_t classes = 3) {
  std::vector<float> x;
  std::vector<int64_t> y;
  for (int64_t i = 0; i < n; ++i) {
    x.push_back(static_cast<float>(i));
    x.push_back(static_cast<float>(10 * i));
    y.push_back(i % classes);
  }
  return data::from_tensors({{"features", from_vector(x, {n, 2})}, {"label", from_vector(y)}});
}

static std::vector<int64_t> indices(const Dataset& d, const data::Draw& draw = {}) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < d.size(); ++i) all.push_back(d.get(i, draw).index);
  return all;
}

static std::vector<int64_t> range(int64_t n, int64_t first = 0) {
  std::vector<int64_t> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), first);
  return v;
}

TEST_CASE("from_tensors: example i holds row i of each tensor, as a copy") {
  Dataset d = numbered(4);
  Sample s = d[2];
  CHECK(s.index == 2);
  CHECK(to_vector(s.features) == std::vector<double>{2, 20});
  CHECK(s.label.item<int64_t>() == 2);
  CHECK(s.label.rank() == 0);
  CHECK(s.names() == std::vector<std::string>{"features", "label"});
  s.features.data<float>()[0] = -1;
  CHECK(to_vector(d[2].features) == std::vector<double>{2, 20});
  CHECK(d.index_limit() == 4);
  CHECK_THROWS_WITH_AS(s["mask"], "data: there is no field \"mask\"; the fields are: features, label", ValueError);
  CHECK_THROWS_WITH_AS(d[4], "data: example 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(d[-1], "data: example -1 is outside [0, 4)", IndexError);
}

TEST_CASE("from_tensors: what does not fit together is refused") {
  CHECK_THROWS_WITH_AS(data::from_tensors({}), "from_tensors: no tensors were given", ValueError);
  CHECK_THROWS_WITH_AS(data::from_tensors({{"image", zeros({5, 2})}, {"label", zeros({4})}}), "from_tensors: image has 5 rows, label has 4",
                       ShapeError);
  CHECK_THROWS_WITH_AS(data::from_tensors({{"x", scalar_tensor(1, f32)}}), "from_tensors: x has rank 0, and so no rows", ShapeError);
  CHECK_THROWS_WITH_AS(Dataset().size(), "data: the data set was used before it was given a value", ValueError);
}

TEST_CASE("from_tensors: a transposed tensor gives its rows as seen") {
  Tensor x = view_of(from_vector(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3}), {3, 2}, {1, 3}, 0);
  Dataset d = data::from_tensors({{"features", x}});
  CHECK(to_vector(d[1].features) == std::vector<double>{1, 4});
}

TEST_CASE("fields: others are added, replaced and removed by name") {
  data::Fields f;
  f.set("boxes", tensor({1.0}));
  f.set("label", tensor({2}));
  f.set("mask", tensor({3}));
  CHECK(f.names() == std::vector<std::string>{"label", "boxes", "mask"});
  f.set("boxes", tensor({4.0}));
  CHECK(f["boxes"].item() == 4);
  f.set("boxes", {});
  f.set("label", {});
  CHECK(f.names() == std::vector<std::string>{"mask"});
  CHECK_FALSE(f.has("boxes"));
  CHECK_FALSE(f.has("label"));
  CHECK_THROWS_WITH_AS(data::Fields()["x"], "data: there is no field \"x\"; the fields are: none", ValueError);
}

TEST_CASE("map: the generator depends on seed, epoch, repeat and index, not on the order of calls") {
  Dataset noisy = numbered(10).map([](Sample s, Generator& g) {
    s.set("noise", scalar_tensor(g.next_double(), f64));
    s.set("hidden", scalar_tensor(default_generator().next_double(), f64));
    return s;
  });
  auto noise = [](const Dataset& d, int64_t i, data::Draw draw = {}, const char* name = "noise") { return d.get(i, draw)[name].item(); };
  double first = noise(noisy, 3);
  CHECK(noise(noisy, 4) != first);
  CHECK(noise(noisy, 3) == first);
  CHECK(noise(noisy, 3, {.seed = 1}) != first);
  CHECK(noise(noisy, 3, {.epoch = 1}) != first);
  CHECK(noise(noisy, 3, {.repeat = 1}) != first);
  CHECK(noise(noisy.subset({3}), 0) == first);  // it goes with the example, not with its place
  Generator before = default_generator();
  CHECK(noise(noisy, 3, {}, "hidden") == noise(noisy, 3, {}, "hidden"));
  CHECK(noise(noisy, 3, {}, "hidden") != first);
  CHECK(default_generator().offset() == before.offset());

  Dataset twice = noisy.shuffle().map([](Sample s, Generator& g) {
    s.set("second", scalar_tensor(g.next_double(), f64));
    return s;
  });
  Sample s = twice[0];
  CHECK(s["second"].item() != s["noise"].item());
  auto draw = [](Sample x, Generator& g) {
    x.set("noise", scalar_tensor(g.next_double(), f64));
    return x;
  };
  CHECK(noise(numbered(10).map(draw, 5), 3) != noise(numbered(10).map(draw, 6), 3));
}

TEST_CASE("map: composing two maps is mapping their composition, with and without a generator") {
  auto twice = [](Tensor x) { return full(x.shape(), 2 * x.item(), f64); };
  auto plus_one = [](Tensor x, Generator&) { return full(x.shape(), x.item() + 1, f64); };
  Dataset d = data::from_tensors({{"target", tensor({1.0, 5.0}, f64)}});
  CHECK(d.map("target", twice).map("target", plus_one)[1].target.item() == 11);
  CHECK(d.map([](Sample s) {
           s.target = full({}, 2 * s.target.item() + 1, f64);
           return s;
         })[1]
            .target.item() == 11);
  CHECK_THROWS_WITH_AS(d.map("image", twice)[0], "data: there is no field \"image\"; the fields are: target", ValueError);
}

TEST_CASE("subset, filter, take, skip and shard keep each example's index") {
  Dataset d = numbered(10);
  CHECK(indices(d.subset({7, 0, 7})) == std::vector<int64_t>{7, 0, 7});
  CHECK(indices(d.filter([](const Sample& s) { return s.label.item<int64_t>() == 1; })) == std::vector<int64_t>{1, 4, 7});
  CHECK(indices(d.with_labels({0, 2})) == std::vector<int64_t>{0, 2, 3, 5, 6, 8, 9});
  CHECK(indices(d.take(3)) == range(3));
  CHECK(indices(d.skip(7)) == range(3, 7));
  CHECK(d.take(99).size() == 10);
  CHECK(d.skip(99).size() == 0);
  CHECK(indices(d.shard(1, 3)) == std::vector<int64_t>{1, 4, 7});
  CHECK(indices(d.skip(2).take(5).subset({4, 0})) == std::vector<int64_t>{6, 2});
  CHECK(indices(d.skip(7).renumber()) == range(3));
  CHECK(d.skip(7).index_limit() == 10);
  CHECK(d.skip(7).renumber().index_limit() == 3);
  CHECK(d.skip(8).labels() == std::vector<int64_t>{2, 0});
  CHECK_THROWS_WITH_AS(d.subset({1, 10}), "subset: place 10 is outside [0, 10)", IndexError);
  CHECK_THROWS_WITH_AS(d.take(-1), "take: the number of examples must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(d.skip(-2), "skip: the number of examples must not be negative, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(d.shard(3, 3), "shard: rank 3 is outside [0, 3)", ValueError);
}

TEST_CASE("concat: examples follow each other and indices stay apart") {
  Dataset d = data::concat({numbered(3).skip(1), numbered(0), numbered(4)});
  CHECK(d.size() == 6);
  CHECK(indices(d) == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(d.index_limit() == 7);
  CHECK(to_vector(d[3].features) == std::vector<double>{1, 10});
  CHECK(d.labels() == std::vector<int64_t>{1, 2, 0, 1, 2, 0});
  CHECK(data::concat({}).size() == 0);
}

TEST_CASE("repeat: every time is a fresh draw") {
  Dataset d = numbered(3).repeat(2);
  CHECK(indices(d) == std::vector<int64_t>{0, 1, 2, 0, 1, 2});
  Dataset noisy = numbered(3).map([](Sample s, Generator& g) {
    s.set("noise", scalar_tensor(g.next_double(), f64));
    return s;
  });
  std::set<double> values;
  Dataset many = noisy.repeat(2).repeat(2);
  for (int64_t i = 0; i < 12; ++i) values.insert(many[i]["noise"].item());
  CHECK(values.size() == 12);
  Dataset shuffled = numbered(50).shuffle().repeat(2);
  std::vector<int64_t> all = indices(shuffled), first(all.begin(), all.begin() + 50), second(all.begin() + 50, all.end());
  CHECK(first != second);
  CHECK(numbered(3).repeat(0).size() == 0);
  CHECK_THROWS_WITH_AS(numbered(3).repeat(-1), "repeat: the number of times must not be negative, it is -1", ValueError);
}

TEST_CASE("zip: the fields of all parts together") {
  Dataset masks = data::from_tensors({{"mask", tensor({5, 6, 7})}});
  Dataset d = data::zip({numbered(3).subset({2, 1, 0}), masks});
  CHECK(d[0].index == 2);
  CHECK(d[0]["mask"].item() == 5);
  CHECK(d[0].names() == std::vector<std::string>{"features", "label", "mask"});
  CHECK_THROWS_WITH_AS(data::zip({numbered(3), numbered(4)}), "zip: part 0 has 3 examples, part 1 has 4", ValueError);
  CHECK_THROWS_WITH_AS(data::zip({numbered(3), numbered(3)})[0], "zip: two parts have a field \"features\"", ValueError);
  CHECK_THROWS_WITH_AS(data::zip({}), "zip: no data sets were given", ValueError);
}

TEST_CASE("cache: each example is read once, and callers cannot change what is kept") {
  std::vector<int> reads(4);
  Dataset d = data::from_function(4, [&](int64_t i) {
                ++reads[static_cast<size_t>(i)];
                Sample s;
                s.features = tensor({static_cast<double>(i)});
                return s;
              }).cache();
  for (int pass = 0; pass < 3; ++pass)
    for (int64_t i = 0; i < 4; ++i) {
      Sample s = d.get(i, {.epoch = pass});
      CHECK(s.features.item() == i);
      CHECK(s.index == i);
      s.features.data<float>()[0] = -1;
    }
  CHECK(reads == std::vector<int>{1, 1, 1, 1});
  CHECK_THROWS_WITH_AS(data::from_function(-1, {}), "from_function: the number of examples must not be negative, it is -1", ValueError);
}

TEST_CASE("shuffle: a permutation that depends on seed and epoch alone") {
  Dataset d = numbered(100).shuffle({.seed = 4});
  std::vector<int64_t> first = indices(d), sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == range(100));
  CHECK(first != sorted);
  CHECK(indices(d, {.epoch = 1}) != first);
  CHECK(indices(d, {.epoch = 2}) != first);
  CHECK(indices(d) == first);
  CHECK(indices(numbered(100).shuffle({.seed = 4})) == first);
  CHECK(indices(numbered(100).shuffle({.seed = 5})) != first);
  CHECK(indices(d, {.seed = 9}) == first);
}

TEST_CASE("shuffle: every order is equally likely") {
  Dataset d = numbered(3).shuffle({.seed = 1});
  std::map<std::vector<int64_t>, int> count;
  for (int64_t epoch = 0; epoch < 6000; ++epoch) ++count[indices(d, {.epoch = epoch})];
  CHECK(count.size() == 6);
  double chi2 = 0;  // 5 degrees of freedom: above 20.5 with probability 0.001
  for (const auto& c : count) chi2 += (c.second - 1000.0) * (c.second - 1000.0) / 1000.0;
  CHECK(chi2 < 20.5);
}

TEST_CASE("weighted: frequencies follow the weights") {
  Dataset d = numbered(4).weighted({1, 0, 3, 4}, {.seed = 2, .count = 8000});
  CHECK(d.size() == 8000);
  std::vector<int64_t> count(4);
  for (int64_t i : indices(d)) ++count[static_cast<size_t>(i)];
  CHECK(count[1] == 0);
  double chi2 = 0;  // 2 degrees of freedom: above 13.8 with probability 0.001
  for (auto [i, expected] : {std::pair{0, 1000.0}, {2, 3000.0}, {3, 4000.0}})
    chi2 += (count[static_cast<size_t>(i)] - expected) * (count[static_cast<size_t>(i)] - expected) / expected;
  CHECK(chi2 < 13.8);
  CHECK(indices(d, {.epoch = 1}) != indices(d));
}

TEST_CASE("weighted: an example that is drawn twice gets two draws of its transform") {
  Dataset noisy = numbered(2).map([](Sample s, Generator& g) {
    s.set("noise", scalar_tensor(g.next_double(), f64));
    return s;
  });
  Dataset d = noisy.weighted({1, 1}, {.count = 20});
  std::set<double> values;
  for (int64_t i = 0; i < 20; ++i) values.insert(d[i]["noise"].item());
  CHECK(values.size() == 20);
}

TEST_CASE("weighted without replacement: no example twice, the first drawn by weight") {
  Dataset d = numbered(4).weighted({1, 0, 3, 4}, {.seed = 3, .count = 2, .replacement = false});
  std::vector<int> first(4);
  for (int64_t epoch = 0; epoch < 4000; ++epoch) {
    std::vector<int64_t> drawn = indices(d, {.epoch = epoch});
    CHECK(drawn[0] != drawn[1]);
    ++first[static_cast<size_t>(drawn[0])];
  }
  CHECK(first[1] == 0);
  double chi2 = 0;  // 2 degrees of freedom
  for (auto [i, expected] : {std::pair{0, 500.0}, {2, 1500.0}, {3, 2000.0}})
    chi2 += (first[static_cast<size_t>(i)] - expected) * (first[static_cast<size_t>(i)] - expected) / expected;
  CHECK(chi2 < 13.8);
}

TEST_CASE("weighted: impossible weights are refused") {
  Dataset d = numbered(3);
  CHECK_THROWS_WITH_AS(d.weighted({1, 2}), "weighted: 2 weights for 3 examples", ShapeError);
  CHECK_THROWS_WITH_AS(d.weighted({1, -2, 1}), "weighted: weight -2 of example 1", ValueError);
  CHECK_THROWS_WITH_AS(d.weighted({0, 0, 0}), "weighted: all weights are 0", ValueError);
  CHECK_THROWS_WITH_AS(d.weighted({1, 0, 1}, {.count = 3, .replacement = false}),
                       "weighted: 3 examples without replacement of 2 that have a weight above 0", ValueError);
  CHECK_THROWS_WITH_AS(d.weighted({1, 1, 1}, {.count = -2}),
                       "weighted: the count must not be negative (-1: as many as there are), it is -2", ValueError);
}

TEST_CASE("class_balanced: every class as often, and every example of a class before any comes again") {
  std::vector<int64_t> labels{0, 0, 0, 0, 0, 0, 0, 7, 7, 3};
  Dataset d = data::from_tensors({{"label", from_vector(labels)}}).class_balanced({.seed = 1, .count = 31});
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    std::map<int64_t, int> by_class, by_example;
    for (int64_t i : indices(d, {.epoch = epoch})) {
      ++by_class[labels[static_cast<size_t>(i)]];
      ++by_example[i];
    }
    for (int64_t c : {0, 7, 3}) CHECK((by_class[c] == 10 || by_class[c] == 11));
    for (int64_t i = 0; i < 7; ++i) CHECK((by_example[i] == 1 || by_example[i] == 2));
    CHECK(std::abs(by_example[7] - by_example[8]) <= 1);
  }
  CHECK_THROWS_WITH_AS(numbered(0).class_balanced({.count = 3}), "class_balanced: the data set is empty", ValueError);
}

TEST_CASE("split: disjoint random parts that cover everything") {
  Dataset d = numbered(101);
  auto parts = d.split({0.7, 0.2, 0.1}, {.seed = 3});
  CHECK(parts.size() == 3);
  std::vector<int64_t> all;
  for (const Dataset& p : parts) {
    std::vector<int64_t> part = indices(p);
    CHECK(std::is_sorted(part.begin(), part.end()));
    all.insert(all.end(), part.begin(), part.end());
  }
  CHECK(parts[0].size() == 71);
  CHECK(parts[1].size() == 20);
  CHECK(parts[2].size() == 10);
  CHECK(indices(parts[0]) != range(71));
  std::sort(all.begin(), all.end());
  CHECK(all == range(101));
  CHECK(indices(d.split({0.7, 0.3}, {.seed = 3})[0]) == indices(parts[0]));
  CHECK(indices(d.split({0.7, 0.3}, {.seed = 4})[0]) != indices(parts[0]));
  CHECK_THROWS_WITH_AS(d.split({0.7, 0.4}), "split: the fractions sum to 1.1, more than 1", ValueError);
  CHECK_THROWS_WITH_AS(d.split({-0.5}), "split: fractions must not be negative, one is -0.5", ValueError);
}

TEST_CASE("split: stratified parts have every class in proportion") {
  std::vector<int64_t> labels(100, 0);
  std::fill(labels.begin(), labels.begin() + 10, 1);
  Dataset d = data::from_tensors({{"label", from_vector(labels)}});
  auto parts = d.split({0.8, 0.2}, {.seed = 5, .stratified = true});
  auto ones = [](const Dataset& p) {
    std::vector<int64_t> l = p.labels();
    return std::count(l.begin(), l.end(), 1);
  };
  CHECK(parts[0].size() == 80);
  CHECK(ones(parts[0]) == 8);
  CHECK(ones(parts[1]) == 2);
}

TEST_CASE("stack: fields are stacked, and what differs is named") {
  auto sample = [](int64_t index, Tensor x) {
    Sample s;
    s.index = index;
    s.features = std::move(x);
    return s;
  };
  std::vector<Sample> samples{sample(4, tensor({1.0, 2.0})), sample(9, tensor({3.0, 4.0}))};
  Batch b = data::stack(samples);
  CHECK(b.features.shape() == Shape{2, 2});
  CHECK(to_vector(b.features) == std::vector<double>{1, 2, 3, 4});
  CHECK(to_vector<int64_t>(b.index) == std::vector<int64_t>{4, 9});

  samples[1].features = tensor({1.0});
  CHECK_THROWS_WITH_AS(data::stack(samples),
                       "batch: \"features\" is [2] in example 4 and [1] in example 9; name it in .pad or make them alike", ShapeError);
  samples[1].features = tensor({1, 2});
  CHECK_THROWS_WITH_AS(data::stack(samples), "batch: \"features\" is f32 in example 4 and i64 in example 9", DTypeError);
  samples[1].features = {};
  CHECK_THROWS_WITH_AS(data::stack(samples), "batch: example 9 has no field \"features\", example 4 has", ValueError);
  samples[1].features = tensor({1.0, 1.0});
  samples[1].label = tensor({1});
  CHECK_THROWS_WITH_AS(data::stack(samples), "batch: example 4 has no field \"label\", example 9 has", ValueError);
  CHECK_THROWS_WITH_AS(data::stack({}), "batch: there are no examples to stack", ValueError);
}

TEST_CASE("stack: padding fills up to the largest and tells the lengths") {
  std::vector<Sample> samples(3);
  samples[0].set("boxes", tensor({{1, 2}, {3, 4}}));
  samples[1].set("boxes", empty({0, 2}, i64));
  samples[2].set("boxes", tensor({{5, 6, 7}}));
  Batch b = data::stack(samples, {{"boxes", -1}});
  CHECK(b["boxes"].shape() == Shape{3, 2, 3});
  CHECK(to_vector<int64_t>(b["boxes"]) == std::vector<int64_t>{1, 2, -1, 3, 4, -1, -1, -1, -1, -1, -1, -1, 5, 6, 7, -1, -1, -1});
  CHECK(to_vector<int64_t>(b["boxes_length"]) == std::vector<int64_t>{2, 0, 1});
  samples[1].set("boxes", tensor({1}));
  CHECK_THROWS_WITH_AS(data::stack(samples, {{"boxes", 0}}),
                       "batch: \"boxes\" is [2, 2] in example 0 and [1] in example 0: padding does not change the rank", ShapeError);
  CHECK_THROWS_WITH_AS(data::stack(samples, {{"box", 0}, {"boxes", 0}}), doctest::Contains("padding does not change the rank"), ShapeError);
  samples[1].set("boxes", tensor({{1, 1}}));
  CHECK_THROWS_WITH_AS(data::stack(samples, {{"box", 0}, {"boxes", 0}}), "data: there is no field \"box\"; the fields are: boxes",
                       ValueError);
}

TEST_CASE("rows gathered at once equal rows stacked one by one") {
  Dataset d = data::concat({numbered(20), numbered(5)}).shuffle({.seed = 1});  // concat stacks, from_tensors gathers
  Dataset g = numbered(20).subset({3, 3, 19, 0});
  std::vector<data::Pick> picks;
  std::vector<Sample> samples;
  for (int64_t i : {2, 0, 1, 3}) {
    picks.push_back({i, {}});
    samples.push_back(g[i]);
  }
  Batch gathered = g.source()->gather(picks, {}), stacked = data::stack(samples);
  CHECK(to_vector(gathered.features) == to_vector(stacked.features));
  CHECK(to_vector(gathered.label) == to_vector(stacked.label));
  CHECK(gathered.label.dtype() == i64);
  CHECK(to_vector(gathered.index) == to_vector(stacked.index));
  CHECK(d.size() == 25);
}

TEST_CASE("weighted: an example drawn several times by one order over another gets numbers of its own each time") {
  Dataset noisy = numbered(1).map([](Sample s, Generator& g) {
    s.features = from_vector(std::vector<double>{g.next_double()});
    return s;
  });
  Dataset d = noisy.weighted({1}, {.count = 2}).weighted({1, 1}, {.seed = 1, .count = 12});
  std::set<double> drawn;
  for (int64_t i = 0; i < d.size(); ++i) drawn.insert(d[i].features.item());
  CHECK(drawn.size() == 12);
}

TEST_CASE("class_balanced: what does not divide evenly falls on any class") {
  Dataset d = numbered(6).class_balanced({.count = 4});  // three classes: one of them twice
  std::set<int64_t> twice;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    std::map<int64_t, int> times;
    for (int64_t i : indices(d, {.epoch = epoch})) ++times[i % 3];
    for (auto [label, count] : times)
      if (count == 2) twice.insert(label);
  }
  CHECK(twice.size() == 3);
}
