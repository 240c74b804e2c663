// DataLoader: the same batches for any number of workers, exact resume, errors in order, and clean ends.
#include "engine/data/loader.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "engine/data/dataset.h"

using namespace plumb;
using data::Batch;
using data::DataLoader;
using data::Dataset;
using data::Sample;

/// n examples with their number as `features`, plus noise from the transform's generator.
static Dataset noisy(int64_t n) {
  std::vector<double> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(static_cast<double>(i));
  return data::from_tensors({{"features", from_vector(x, {n, 1})}}).map("features", [](Tensor v, Generator& g) {
    v.data<double>()[0] += g.next_double();
    return v;
  });
}

using Values = std::vector<double>;

static std::vector<Values> epochs(DataLoader& loader, int count) {
  std::vector<Values> batches;
  for (int e = 0; e < count; ++e)
    for (const Batch& b : loader) batches.push_back(to_vector(b.features));
  return batches;
}

TEST_CASE("loader: a range-for goes through one epoch, with or without the last partial batch") {
  Dataset d = noisy(10);
  DataLoader loader = d.batch(4);
  CHECK(loader.size() == 3);
  std::vector<int64_t> sizes, seen;
  for (const auto& batch : loader) {
    sizes.push_back(batch.size());
    for (int64_t i : to_vector<int64_t>(batch.index)) seen.push_back(i);
  }
  CHECK(sizes == std::vector<int64_t>{4, 4, 2});
  CHECK(seen == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  DataLoader full = d.batch(4, {.drop_last = true});
  CHECK(full.size() == 2);
  int64_t count = 0;
  for (const auto& batch : full) count += batch.size();
  CHECK(count == 8);
}

TEST_CASE("loader: any number of workers gives the same batches, epoch after epoch") {
  Dataset d = noisy(23).shuffle({.seed = 6});
  DataLoader alone = d.batch(4, {.seed = 2});
  std::vector<Values> expected = epochs(alone, 3);
  CHECK(expected.size() == 18);
  CHECK(expected[0] != expected[6]);
  for (int workers : {1, 2, 5})
    for (int prefetch : {1, 3}) {
      CAPTURE(workers);
      DataLoader loader = d.batch(4, {.workers = workers, .prefetch = prefetch, .seed = 2});
      CHECK(epochs(loader, 3) == expected);
    }
  DataLoader other = d.batch(4, {.seed = 3});
  CHECK(epochs(other, 1)[0] != expected[0]);
}

TEST_CASE("loader: resumed anywhere, what follows is what followed there") {
  Dataset d = noisy(23).shuffle({.seed = 6});
  for (int workers : {0, 2}) {
    data::BatchOptions options{.workers = workers, .seed = 2};
    DataLoader straight = d.batch(4, options);
    std::vector<Values> all;
    for (int i = 0; i < 24; ++i) all.push_back(to_vector(straight.next().features));
    for (int stop = 0; stop < 13; ++stop) {
      CAPTURE(stop);
      DataLoader first = d.batch(4, options);
      for (int i = 0; i < stop; ++i) first.next();
      data::LoaderState state = first.state();
      CHECK(state.epoch == stop / 6);
      CHECK(state.position == stop % 6);
      DataLoader second = d.batch(4, {.workers = workers, .seed = 77});  // the seed comes with the state
      second.next();
      second.set_state(state);
      std::vector<Values> rest;
      for (const Batch& b : second) rest.push_back(to_vector(b.features));  // the rest of the epoch
      CHECK(rest.size() == static_cast<size_t>(6 - stop % 6));
      for (const Batch& b : second) rest.push_back(to_vector(b.features));  // the next one
      CHECK(rest == std::vector<Values>(all.begin() + stop, all.begin() + stop + static_cast<int64_t>(rest.size())));
    }
  }
}

TEST_CASE("loader: the state inside a loop counts the batch in hand") {
  DataLoader loader = noisy(10).batch(4);
  std::vector<int64_t> positions, epoch;
  for ([[maybe_unused]] const auto& batch : loader) {
    positions.push_back(loader.state().position);
    epoch.push_back(loader.state().epoch);
  }
  CHECK(positions == std::vector<int64_t>{1, 2, 0});
  CHECK(epoch == std::vector<int64_t>{0, 0, 1});
}

TEST_CASE("loader: an epoch that was left is over") {
  for (int workers : {0, 2}) {
    DataLoader loader = noisy(20).shuffle().batch(4, {.workers = workers}), reference = noisy(20).shuffle().batch(4);
    for ([[maybe_unused]] const auto& batch : loader) break;
    std::vector<Values> both = epochs(reference, 2), second = epochs(loader, 1);
    CHECK(second == std::vector<Values>(both.begin() + 5, both.end()));
  }
}

TEST_CASE("loader: a saved place of another order is refused") {
  Dataset d = noisy(10);
  data::LoaderState state = d.shuffle({.seed = 1}).batch(4).state();
  CHECK_NOTHROW(d.shuffle({.seed = 1}).batch(4, {.workers = 1}).set_state(state));
  for (auto& other : {d.shuffle({.seed = 2}), d, d.take(9).shuffle({.seed = 1})})
    CHECK_THROWS_WITH_AS(other.batch(4).set_state(state), doctest::Contains("loader: the saved place belongs to other data"), ConfigError);
  CHECK_THROWS_AS(d.shuffle({.seed = 1}).batch(5).set_state(state), ConfigError);
  CHECK_THROWS_AS(d.shuffle({.seed = 1}).batch(4, {.drop_last = true}).set_state(state), ConfigError);
  state.position = 3;
  CHECK_THROWS_WITH_AS(d.shuffle({.seed = 1}).batch(4).set_state(state), "loader: there is no batch 3 in epoch 0; an epoch has 3",
                       ValueError);
}

TEST_CASE("loader: an exception comes where its batch would have come, and the place stays") {
  for (int workers : {0, 1, 3}) {
    CAPTURE(workers);
    std::atomic<bool> broken{true};
    Dataset d = noisy(20).map([&](Sample s) {
      if (s.index == 9 && broken) throw IoError("image 9: truncated");
      return s;
    });
    DataLoader loader = d.batch(2, {.workers = workers});
    for (int i = 0; i < 4; ++i) CHECK(loader.next().size() == 2);
    CHECK_THROWS_WITH_AS(loader.next(), "image 9: truncated", IoError);
    CHECK(loader.state().position == 4);
    broken = false;
    CHECK(to_vector<int64_t>(loader.next().index) == std::vector<int64_t>{8, 9});
    CHECK(to_vector<int64_t>(loader.next().index) == std::vector<int64_t>{10, 11});
  }
}

TEST_CASE("loader: workers stay within their bound and stop with the loader") {
  std::atomic<int> made{0};
  Dataset d = data::from_function(1000, [&](int64_t i) {
    ++made;
    Sample s;
    s.features = full({1}, i, f64);
    return s;
  });
  {
    DataLoader loader = d.batch(1, {.workers = 2, .prefetch = 3});
    loader.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(made <= 1 + 2 * 3);
  }
  int after = made;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(made == after);
  for (int i = 0; i < 50; ++i) d.batch(1, {.workers = 3}).next();  // destroyed while workers are busy
  DataLoader moved = d.batch(1, {.workers = 2});
  moved.next();
  DataLoader target = std::move(moved);
  CHECK(target.next().features.item() == 1);
  target = d.batch(2, {.workers = 1});
  CHECK(target.next().size() == 2);
}

TEST_CASE("loader: examples are made by several threads at once") {
  std::atomic<int> inside{0}, most{0};
  Dataset d = data::from_function(8, [&](int64_t) {
    int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    --inside;
    Sample s;
    s.features = full({1}, 0, f64);
    return s;
  });
  DataLoader loader = d.batch(1, {.workers = 4});
  for ([[maybe_unused]] const auto& b : loader) {}
  CHECK(most > 1);
}

TEST_CASE("loader: a custom collate and a transform of the whole batch") {
  data::BatchOptions options;
  options.collate = [](std::vector<Sample> samples) {
    double sum = 0;
    for (const Sample& s : samples) sum += s.features.item();
    Batch b;
    b.index = full({static_cast<int64_t>(samples.size())}, 0, i64);
    b.set("sum", full({1}, sum, f64));
    return b;
  };
  options.transform = [](Batch b, Generator& g) {
    b.set("noise", full({1}, g.next_double(), f64));
    return b;
  };
  std::vector<double> x{1, 2, 3, 4, 5};
  Dataset d = data::from_tensors({{"features", from_vector(x, {5, 1})}});
  DataLoader loader = d.batch(2, options);
  std::vector<double> sums, noise;
  for (const auto& b : loader) {
    sums.push_back(b["sum"].item());
    noise.push_back(b["noise"].item());
  }
  CHECK(sums == std::vector<double>{3, 7, 5});
  CHECK(noise[0] != noise[1]);
  options.workers = 2;
  DataLoader threaded = d.batch(2, options);
  for (double n : noise) CHECK(threaded.next()["noise"].item() == n);
  CHECK(threaded.next()["noise"].item() != noise[0]);  // the second epoch
}

TEST_CASE("loader: ragged fields are padded where asked for") {
  Dataset d = data::from_function(3, [](int64_t i) {
    Sample s;
    s.tokens = full({i + 1}, i, i64);
    return s;
  });
  Batch b = d.batch(3, {.pad = {{"tokens", -100}}}).next();
  CHECK(to_vector<int64_t>(b.tokens) == std::vector<int64_t>{0, -100, -100, 1, 1, -100, 2, 2, 2});
  CHECK(to_vector<int64_t>(b["tokens_length"]) == std::vector<int64_t>{1, 2, 3});
  CHECK_THROWS_AS(d.batch(3).next(), ShapeError);
}

TEST_CASE("loader: empty epochs and impossible options") {
  Dataset d = noisy(3);
  int batches = 0;
  DataLoader empty = d.batch(8, {.drop_last = true});
  for ([[maybe_unused]] const auto& b : empty) ++batches;
  CHECK(batches == 0);
  CHECK(empty.state().epoch == 0);
  CHECK_THROWS_WITH_AS(empty.next(), "batch: an epoch has no batches: 3 examples, 8 a batch, the last left out if it is not full",
                       ValueError);
  CHECK_THROWS_WITH_AS(d.take(0).batch(2).next(), "batch: an epoch has no batches: 0 examples, 2 a batch", ValueError);
  CHECK_THROWS_WITH_AS(d.batch(0), "batch: the batch size must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(d.batch(1, {.workers = -1}), "batch: the number of workers must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(d.batch(1, {.prefetch = 0}), "batch: prefetch must be at least 1, it is 0", ValueError);
}
