// Tensors: creation, access, views, copies, foreign memory, kernel slots, and their errors.
#include "engine/core/tensor.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/kernel.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;

TEST_CASE("tensor: nested braces give shape and type") {
  CHECK(tensor({1, 2, 3}).dtype() == i64);
  CHECK(tensor({1, 2.5}).dtype() == f32);
  CHECK(tensor({true, false}).dtype() == boolean);
  CHECK(tensor({true, 2}).dtype() == i64);
  CHECK(tensor({1, 2}, bf16).dtype() == bf16);
  Tensor t = tensor({{{1.0}, {2.0}}, {{3.0}, {4.0}}, {{5.0}, {6.0}}});
  CHECK(t.shape() == Shape{3, 2, 1});
  CHECK(to_vector(t) == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(tensor({}).shape() == Shape{0});
  CHECK(to_vector<int64_t>(tensor({(int64_t{1} << 53) + 1}))[0] == (int64_t{1} << 53) + 1);
  CHECK_THROWS_WITH_AS(tensor({{1, 2}, {3}}), "tensor: a row has 1 elements, the first has 2", ShapeError);
  CHECK_THROWS_AS(tensor({{1, 2}, 3}), ShapeError);
}

TEST_CASE("creation: zeros, ones, full, like, scalars, vectors") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
    CHECK(to_vector(zeros({2, 2}, t)) == std::vector<double>(4, 0.0));
    CHECK(to_vector(ones({3}, t)) == std::vector<double>(3, 1.0));
    CHECK(zeros_like(empty({2, 3}, t)).dtype() == t);
  }
  CHECK(to_vector(zeros({3000})) == std::vector<double>(3000, 0.0));
  CHECK(to_vector(full({2}, 7, i32)) == std::vector<double>{7, 7});
  CHECK(scalar_tensor(2.5, f64).rank() == 0);
  CHECK(from_vector(std::vector<bool>{true, false}).dtype() == boolean);
  CHECK_THROWS_WITH_AS(from_vector(std::vector<float>{1, 2}, {3}), "from_vector: 2 values do not fill [3]", ShapeError);
}

TEST_CASE("access: sizes, strides, typed data, single elements") {
  Tensor t = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(t.size(-1) == 3);
  CHECK(t.numel() == 6);
  CHECK(t.strides() == Strides{3, 1});
  CHECK(t.data<int64_t>()[4] == 5);
  CHECK_THROWS_WITH_AS(t.data<float>(), "data: the tensor is i64, asked for as f32", DTypeError);
  CHECK_THROWS_WITH_AS(t.size(2), "size: dim 2 is outside [-2, 2)", IndexError);
  CHECK_THROWS_WITH_AS(scalar_tensor(1, i64).size(0), "size: a tensor of rank 0 has no dimensions", IndexError);
  CHECK_THROWS_WITH_AS(t.item(), "item: needs one element, the shape is [2, 3]", ShapeError);
  CHECK(tensor({{2.75}}, f16).item() == 2.75);
  CHECK(tensor({(int64_t{1} << 60) + 1}).item<int64_t>() == (int64_t{1} << 60) + 1);
  CHECK(tensor({true}).item<bool>());
  CHECK(tensor({0.5}).item<bool>());
  CHECK_FALSE(tensor({0.0}).item<bool>());
  CHECK_THROWS_WITH_AS(Tensor().shape(), "tensor: used before it was given a value", ValueError);
  CHECK_FALSE(Tensor().defined());
}

TEST_CASE("views: share elements and know whether they are row-major") {
  Tensor t = tensor({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}});
  Tensor column = view_of(t, {2}, {3}, 1);
  CHECK(column.storage_offset() == 1);
  CHECK_FALSE(column.is_contiguous());
  CHECK(view_of(t, {2, 1, 3}, {3, 77, 1}, 0).is_contiguous());
  CHECK(view_of(t, {0, 5}, {1, 9}, 0).is_contiguous());
  column.data<float>()[3] = 50;
  CHECK(to_vector(t) == std::vector<double>{1, 2, 3, 4, 50, 6});
  CHECK(view_of(column, {1}, {1}, 3).impl()->base.get() == t.impl());
  CHECK(to_vector(contiguous_data(column)) == std::vector<double>{2, 50});
  CHECK(contiguous_data(t).same_as(t));
  CHECK_FALSE(alias(t).same_as(t));
  CHECK(alias(t).raw_data() == t.raw_data());
}

TEST_CASE("broadcast_view: strides of zero, and an error that names the operation") {
  Tensor t = tensor({{1.0}, {2.0}});
  Tensor wide = broadcast_view("add", t, {3, 2, 4});
  CHECK(wide.strides() == Strides{0, 1, 0});
  CHECK(to_vector(wide)[4] == 2);
  CHECK_THROWS_WITH_AS(broadcast_view("add", t, {3, 4}), "add: [2, 1] does not broadcast to [3, 4]", ShapeError);
  CHECK_THROWS_AS(broadcast_view("add", t, {2}), ShapeError);
}

TEST_CASE("copy_data: converts between all types, broadcasts, counts as a write") {
  Tensor source = tensor({0.0, 1.0, 2.9, 200.0}, f64);
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
    Tensor target = empty({2, 4}, t);
    uint32_t version = target.version();
    copy_data(source, target);
    CHECK(target.version() == version + 1);
    double third = t == boolean ? 1 : is_floating(t) ? 2.9 : 2;
    auto v = to_vector(target);
    CHECK(v[2] == doctest::Approx(third).epsilon(0.01));
    CHECK(v[7] == (t == boolean ? 1 : 200));
    CHECK(v[4] == 0);
  }
}

TEST_CASE("copy_data: source and target may overlap") {
  for (int64_t n : {10, 100000}) {
    std::vector<double> v(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = static_cast<double>(i);
    Tensor t = from_vector(v), to_right = slice(t, 0, 1), from = slice(t, 0, 0, -1);
    copy_data(from, to_right);
    v.insert(v.begin(), 0.0);
    v.pop_back();
    CHECK(to_vector(t) == v);
  }
  Tensor square = tensor({{1.0, 2.0}, {3.0, 4.0}}), itself = square;
  copy_data(mT(square), itself);
  CHECK(to_vector(square) == std::vector<double>{1, 3, 2, 4});
  Tensor line = tensor({1.0, 2.0, 3.0, 4.0}), tail = slice(line, 0, 1);
  add_(tail, slice(line, 0, 0, 3));
  CHECK(to_vector(line) == std::vector<double>{1, 3, 5, 7});
}

TEST_CASE("from_blob: uses memory of others and releases it with the last view") {
  double memory[4] = {1, 2, 3, 4};
  int released = 0;
  {
    Tensor view;
    {
      Tensor t = from_blob(memory, {2, 2}, f64, [](void* context) { ++*static_cast<int*>(context); }, &released);
      t.data<double>()[0] = 10;
      view = view_of(t, {2}, {1}, 2);
    }
    CHECK(released == 0);
    CHECK(to_vector(view) == std::vector<double>{3, 4});
  }
  CHECK(released == 1);
  CHECK(memory[0] == 10);
}

TEST_CASE("Device: names go both ways") {
  CHECK(to_string(cpu) == "cpu");
  CHECK(to_string(Device{DeviceType::cuda, 2}) == "cuda:2");
  CHECK(device_from_name("cuda:2") == Device{DeviceType::cuda, 2});
  CHECK(device_from_name("cuda") == Device{DeviceType::cuda, 0});
  CHECK_THROWS_WITH_AS(device_from_name("gpu"), "device: \"gpu\" is unknown; choose cpu, cuda or cuda:N", ValueError);
}

TEST_CASE("Kernel: calls the device's function; a missing one names kernel and device") {
  static constinit Kernel<void(int in, int& out)> twice{"twice"};
  int out = 0;
  CHECK_THROWS_WITH_AS(twice(cpu, 3, out), "twice: there is no kernel for cpu", DeviceError);
  twice.set(DeviceType::cpu, [](int in, int& result) { result = 2 * in; });
  twice(cpu, 3, out);
  CHECK(out == 6);
  CHECK_THROWS_WITH_AS(twice(Device{DeviceType::cuda, 1}, 3, out), "twice: there is no kernel for cuda:1", DeviceError);
}
