// Exchange by DLPack: the same elements on both sides, and each let go exactly once.
#include <doctest/doctest.h>

#include <array>

#include "engine/io/dlpack.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

/// What another library might give: 2 × 3 floats inside a larger block, and a count of how often they were let go.
struct Foreign {
  alignas(8) std::array<float, 12> elements{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  std::array<int64_t, 2> shape{2, 3}, strides{4, 1};
  int released = 0;
  dlpack::ManagedTensor managed;

  Foreign() {
    managed.context = this;
    managed.deleter = [](dlpack::ManagedTensor* m) { ++static_cast<Foreign*>(m->context)->released; };
    managed.array.data = elements.data();
    managed.array.rank = 2;
    managed.array.shape = shape.data();
    managed.array.strides = strides.data();
  }
};

}  // namespace

TEST_CASE("dlpack: a foreign array is seen through its strides and offset, written to in place, and let go with the last view") {
  Foreign f;
  f.managed.array.byte_offset = sizeof(float);
  {
    Tensor view;
    {
      Tensor x = from_dlpack(&f.managed);
      CHECK(x.shape() == Shape{2, 3});
      CHECK(x.strides() == Strides{4, 1});
      CHECK_FALSE(x.is_contiguous());
      CHECK(x.raw_data() == f.elements.data() + 1);
      CHECK(to_vector(x) == std::vector<double>{1, 2, 3, 5, 6, 7});
      f.elements[1] = 100;
      CHECK(to_vector(x)[0] == 100);
      view = transpose(x, 0, 1);
    }
    CHECK(f.released == 0);
    view.data<float>()[0] = 50;
    CHECK(f.elements[1] == 50);
    CHECK(to_vector(matmul(view, ones({2, 1}))) == std::vector<double>{55, 8, 10});
  }
  CHECK(f.released == 1);
}

TEST_CASE("dlpack: without strides an array is row-major; one without elements or dimensions is an array too") {
  Foreign f;
  f.managed.array.strides = nullptr;
  CHECK(to_vector(from_dlpack(&f.managed)) == std::vector<double>{0, 1, 2, 3, 4, 5});
  f.shape = {0, 3};
  f.managed.array.data = nullptr;
  CHECK(from_dlpack(&f.managed).shape() == Shape{0, 3});
  f.managed.array.data = &f.elements[7];
  f.managed.array.rank = 0;
  CHECK(from_dlpack(&f.managed).item() == 7);
  CHECK(f.released == 3);
}

TEST_CASE("dlpack: a foreign array takes part in the graph as a leaf") {
  Foreign f;
  Tensor x = from_dlpack(&f.managed).requires_grad_();
  sum(square(x)).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 2, 4, 8, 10, 12});
}

TEST_CASE("dlpack: elements that are read-only are copied, unless the caller vouches for it") {
  Foreign f;
  f.managed.flags = dlpack::kReadOnly;
  Tensor own = from_dlpack(&f.managed);
  CHECK(f.released == 1);
  own.data<float>()[0] = 9;
  CHECK(f.elements[0] == 0);
  CHECK(to_vector(own) == std::vector<double>{9, 1, 2, 4, 5, 6});
  CHECK(from_dlpack(&f.managed, ReadOnlyElements::share).raw_data() == f.elements.data());
  CHECK(f.released == 2);
}

TEST_CASE("dlpack: every element type goes out and comes back as itself, over the same memory, in both forms") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
    INFO(name(t));
    Tensor x = transpose(ones({2, 3}, t), 0, 1);
    auto* given = to_dlpack(x);
    CHECK(given->version.major == 1);
    CHECK(given->flags == 0);
    CHECK(given->array.type.bits == 8 * item_size(t));
    CHECK(given->array.strides[0] == 1);
    CHECK(given->array.strides[1] == 3);
    for (const Tensor& back : {from_dlpack(given), from_dlpack(to_dlpack_unversioned(x))}) {
      CHECK(back.dtype() == t);
      CHECK(back.shape() == x.shape());
      CHECK(back.strides() == x.strides());
      CHECK(back.raw_data() == x.raw_data());
    }
  }
}

TEST_CASE("dlpack: what was given outlives the tensor; a slice's first element is where it should be; read-only is said") {
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}});
  auto* given = to_dlpack(narrow(x, 0, 1, 1), /*read_only=*/true);
  CHECK(given->flags == dlpack::kReadOnly);
  const auto* elements = reinterpret_cast<const float*>(static_cast<const char*>(given->array.data) + given->array.byte_offset);
  x.data<float>()[3] = 8;
  x = {};
  CHECK(elements[0] == 3);
  CHECK(elements[1] == 8);
  given->deleter(given);
}

TEST_CASE("dlpack: a tensor that requires a gradient is not given away") {
  Tensor x = ones({2}).requires_grad_();
  CHECK_THROWS_WITH_AS(to_dlpack(x), "to_dlpack: the tensor requires a gradient, which another library cannot see; export x.detach()",
                       AutogradError);
  Tensor back = from_dlpack(to_dlpack(x.detach()));
  CHECK(back.raw_data() == x.raw_data());
}

TEST_CASE("dlpack: what cannot be taken is refused by name, and still belongs to the caller") {
  auto refused = [](auto&& change, const char* message) {
    Foreign wrong;
    change(wrong);
    CHECK_THROWS_WITH(from_dlpack(&wrong.managed), message);
    CHECK(wrong.released == 0);
  };
  refused([](Foreign& w) { w.managed.version.major = 2; }, "from_dlpack: version 2.0 of DLPack; this reads 1.x");
  refused([](Foreign& w) { w.managed.array.type = {dlpack::kInt, 16, 1}; },
          "from_dlpack: int16 is not among f64, f32, f16, bf16, i64, i32, u8 and bool; convert the array first");
  refused([](Foreign& w) { w.managed.array.type.lanes = 4; },
          "from_dlpack: float32 in lanes is not among f64, f32, f16, bf16, i64, i32, u8 and bool; convert the array first");
  refused([](Foreign& w) { w.managed.array.device.type = 8; },
          "from_dlpack: the elements are on a device of type 8; move the array to the CPU or a GPU first");
  refused([](Foreign& w) { w.managed.array.rank = 9; }, "from_dlpack: 9 dimensions; tensors have at most 8");
  refused([](Foreign& w) { w.shape = {-1, 3}; }, "from_dlpack: a size of -1 in shape [-1, 3]");
  refused([](Foreign& w) { w.strides = {-4, 1}; },
          "from_dlpack: dimension 0 runs backwards (stride -4); make a row-major copy of the array first");
  refused([](Foreign& w) { w.managed.array.data = nullptr; }, "from_dlpack: the array has elements but no data");
  refused([](Foreign& w) { w.managed.array.byte_offset = 2; },
          "from_dlpack: the f32 elements are not aligned to 4 bytes; make a copy of the array first");
  refused([](Foreign& w) { w.managed.array.type = {dlpack::kBool, 8, 1}; }, "from_dlpack: an element of a bool array is neither 0 nor 1");
  CHECK_THROWS_WITH_AS(from_dlpack(static_cast<dlpack::ManagedTensor*>(nullptr)), "from_dlpack: null", ValueError);
}
