// Strides of images with channels last. What a GPU makes of them is tested in tests/cuda/channels_last_test.cpp.
#include "engine/core/channels_last.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace plumb;

namespace {

Tensor numbers(const Shape& shape) {
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  std::iota(values.begin(), values.end(), 1.0);
  return from_vector(values, shape);
}

}  // namespace

TEST_CASE("channels last: channels are the innermost dimension, then the others in order") {
  CHECK(channels_last_strides({2, 3, 4, 5}) == Strides{60, 1, 15, 3});
  CHECK(channels_last_strides({2, 3, 5}) == Strides{15, 1, 3});
  CHECK(channels_last_strides({2, 3, 4, 5, 6}) == Strides{360, 1, 90, 18, 3});
}

TEST_CASE("channels last: data in the wanted order is taken as it is, other data copied") {
  Tensor x = numbers({2, 3, 4, 5}), last = dense_data(x, true);
  CHECK(last.strides() == Strides{60, 1, 15, 3});
  CHECK(to_vector(last) == to_vector(x));
  CHECK(dense_data(last, true).same_as(last));
  CHECK(dense_data(x, false).same_as(x));
  Tensor back = dense_data(last, false);
  CHECK(back.is_contiguous());
  CHECK(to_vector(back) == to_vector(x));
}

TEST_CASE("channels last: images of one channel, one place or none are dense in both orders") {
  for (const Shape& shape : {Shape{2, 1, 4, 5}, Shape{2, 7, 1, 1}}) {
    Tensor x = numbers(shape);
    CHECK(is_dense(x, true));
    CHECK(is_dense(x, false));
  }
  CHECK(empty_in_order({0, 3, 4, 4}, f32, {}, "empty", true).is_contiguous());
}

TEST_CASE("channels last: tensors on the CPU never count, so that its results stay row-major") {
  Tensor last = dense_data(numbers({2, 3, 4, 5}), true);
  CHECK_FALSE(channels_last(last));
  CHECK(empty_for(last.shape(), f64, {}, "empty", last).is_contiguous());
}

TEST_CASE("channels last: strides tell whole images and parts of them from transposed ones") {
  auto are = detail::strides_are_channels_last;
  CHECK(are({2, 3, 4, 5}, {60, 1, 15, 3}));
  CHECK(are({2, 3, 4, 5}, {120, 1, 30, 6}));   // three of six channels
  CHECK(are({2, 3, 2, 5}, {60, 1, 15, 3}));    // two of four rows
  CHECK(are({2, 3, 5}, {15, 1, 3}));
  CHECK_FALSE(are({2, 3, 4, 5}, {60, 1, 3, 12}));  // columns first
  CHECK_FALSE(are({2, 3, 4, 5}, {3, 1, 30, 6}));   // images innermost
  CHECK_FALSE(are({2, 3, 4, 5}, {3, 1, 0, 0}));    // one number a channel, spread over the places
  CHECK_FALSE(are({2, 3}, {3, 1}));
}
