// IDX and CIFAR binary files.
#include "engine/io/idx.h"

#include "engine/io/cifar.h"
#include "ops/shape.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;
using plumb_test::values_of;
using namespace std::string_literals;

namespace {

std::string idx_error(const Scratch& scratch, const std::string& bytes) {
  std::string path = scratch.put("a.idx", bytes), message = io_error([&] { load_idx(path); });
  return message.starts_with("idx: " + path + ": ") ? message.substr(path.size() + 7) : message;
}

CifarImages small_cifar(int64_t count, bool hundred) {
  CifarImages images{empty({count, 3, 32, 32}, u8), empty({count}, i64), hundred ? empty({count}, i64) : Tensor()};
  for (int64_t i = 0; i < images.image.numel(); ++i) images.image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 7);
  for (int64_t i = 0; i < count; ++i) {
    images.label.data<int64_t>()[i] = i;
    if (hundred) images.coarse_label.data<int64_t>()[i] = 19 - i;
  }
  return images;
}

}  // namespace

TEST_CASE("idx: reads big-endian elements of every type") {
  Scratch scratch;
  auto load = [&](const std::string& bytes) { return load_idx(scratch.put("a.idx", bytes)); };
  Tensor bytes = load("\0\0\x08\x02\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\xff"s);
  CHECK(bytes.dtype() == u8);
  CHECK(bytes.shape() == Shape{2, 3});
  CHECK(values_of(bytes) == std::vector<double>{1, 2, 3, 4, 5, 255});
  CHECK(values_of(load("\0\0\x09\x01\0\0\0\x02\xff\x7f"s)) == std::vector<double>{-1, 127});
  CHECK(values_of(load("\0\0\x0b\x01\0\0\0\x02\xff\xfe\x01\0"s)) == std::vector<double>{-2, 256});
  CHECK(values_of(load("\0\0\x0c\x01\0\0\0\x01\xff\xff\xff\0"s)) == std::vector<double>{-256});
  CHECK(values_of(load("\0\0\x0d\x01\0\0\0\x01\x3f\xc0\0\0"s)) == std::vector<double>{1.5});
  CHECK(values_of(load("\0\0\x0e\x01\0\0\0\x01\xc0\x04\0\0\0\0\0\0"s)) == std::vector<double>{-2.5});
  CHECK(load("\0\0\x08\x02\0\0\0\0\0\0\0\x03"s).shape() == Shape{0, 3});
}

TEST_CASE("idx: round trips, gzipped by name, views row by row") {
  Scratch scratch;
  for (DType t : {u8, i32, f32, f64}) {
    Tensor x = empty({2, 3}, t);
    visit_dtype(t, [&]<typename T>() {
      for (int i = 0; i < 6; ++i) x.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(i * 40 + 3));
    });
    save_idx(scratch.path("x.gz"), transpose(x, 0, 1));
    Tensor y = load_idx(scratch.path("x.gz"));
    CHECK(y.dtype() == t);
    CHECK(y.shape() == Shape{3, 2});
    CHECK(values_of(y) == std::vector<double>{3, 123, 43, 163, 83, 203});
    CHECK(scratch.get("x.gz").starts_with("\x1f\x8b"));
  }
  CHECK_THROWS_WITH_AS(save_idx(scratch.path("y"), zeros({2}, f16)),
                       "idx: the format has no f16; convert the tensor to u8, i32, f32 or f64", DTypeError);
  CHECK_THROWS_WITH_AS(save_idx(scratch.path("y"), zeros({}, u8)), "idx: the format has no rank 0", ShapeError);
  CHECK(scratch.files() == 1);
}

TEST_CASE("idx: broken files are refused with the reason") {
  Scratch scratch;
  std::string missing = scratch.path("missing"), none = scratch.put("none", "");
  CHECK(io_error([&] { load_idx(missing); }) == "read: " + missing + ": no such file; check the path");
  CHECK(io_error([&] { load_idx(none); }) == "read: " + none + ": is empty; was its download or copy cut off?");
  CHECK(idx_error(scratch, "\0\0\x08"s) == "is truncated within its header");
  CHECK(idx_error(scratch, "\0\0\x08\x02\0\0\0\x02"s) == "is truncated within its header");
  CHECK(idx_error(scratch, "GIF89a"s) == "is no IDX file: its first bytes are no IDX type");
  CHECK(idx_error(scratch, "\0\0\x08\x09"s) == "is no IDX file: it claims 9 dimensions");
  CHECK(idx_error(scratch, "\0\0\x08\x01\0\0\0\x03\x01\x02"s) == "is truncated: [3] needs 3 bytes of elements, the file has 2");
  CHECK(idx_error(scratch, "\0\0\x08\x01\0\0\0\x01\x01\x02"s) == "has extra bytes: [1] needs 1 bytes of elements, the file has 2");
  CHECK(idx_error(scratch, "\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s) ==
        "is corrupt: its sizes are beyond any memory");
  save_idx(scratch.path("valid"), zeros({4, 5}, u8));
  CHECK(plumb_test::refused_when_damaged(scratch, scratch.get("valid"), [](const std::string& p) { load_idx(p); }) > 60);
}

TEST_CASE("cifar: round trips for 10 and 100 classes") {
  Scratch scratch;
  for (bool hundred : {false, true}) {
    CifarImages images = small_cifar(3, hundred);
    save_cifar(scratch.path("a.bin.gz"), images);
    CifarImages loaded = load_cifar(scratch.path("a.bin.gz"), hundred ? CifarKind::hundred : CifarKind::ten);
    CHECK(loaded.image.shape() == Shape{3, 3, 32, 32});
    CHECK(values_of(loaded.image) == values_of(images.image));
    CHECK(values_of(loaded.label) == values_of(images.label));
    CHECK(loaded.coarse_label.defined() == hundred);
    if (hundred) CHECK(values_of(loaded.coarse_label) == values_of(images.coarse_label));
  }
}

TEST_CASE("cifar: broken files and images that do not fit are refused") {
  Scratch scratch;
  std::string cut = scratch.put("cut", std::string(3073 + 100, '\1'));
  CHECK(io_error([&] { load_cifar(cut); }) ==
        "cifar: " + cut + ": is truncated or no CIFAR-10 file: 3173 bytes are no whole number of records of 3073");
  std::string label = scratch.put("label", std::string(3073, '\1') + std::string(3073, '\x0a'));
  CHECK(io_error([&] { load_cifar(label); }) ==
        "cifar: " + label + ": record 1 has label 10, outside [0, 10): the file is corrupt, or not CIFAR-10");
  std::string none = scratch.put("none", "");
  CHECK(io_error([&] { load_cifar(none); }) == "read: " + none + ": is empty; was its download or copy cut off?");
  CifarImages images = small_cifar(2, false);
  images.label.data<int64_t>()[1] = 10;
  CHECK_THROWS_WITH_AS(save_cifar(scratch.path("x"), images), "cifar: label 10 of image 1 is outside [0, 10)", ValueError);
  images.image = zeros({2, 32, 32, 3}, u8);
  CHECK_THROWS_WITH_AS(save_cifar(scratch.path("x"), images), "cifar: images must be [N, 3, 32, 32], these are [2, 32, 32, 3]", ShapeError);
  CHECK(scratch.files() == 3);
}

TEST_CASE("idx and cifar: the published files are read") {
  const char* data = std::getenv("PLUMB_DATA");
  if (!data) {
    MESSAGE("skipped: PLUMB_DATA names no directory of data sets");
    return;
  }
  std::string root = data;
  Tensor images = load_idx(root + "/mnist/t10k-images-idx3-ubyte.gz"), labels = load_idx(root + "/mnist/t10k-labels-idx1-ubyte.gz");
  CHECK(images.shape() == Shape{10000, 28, 28});
  CHECK(labels.shape() == Shape{10000});
  CHECK(labels.data<uint8_t>()[0] == 7);
  CifarImages cifar = load_cifar(root + "/cifar10/test_batch.bin.gz");
  CHECK(cifar.image.shape() == Shape{2000, 3, 32, 32});
  std::vector<int> counts(10);
  for (int64_t i = 0; i < 2000; ++i) ++counts[static_cast<size_t>(cifar.label.data<int64_t>()[i])];
  CHECK(counts == std::vector<int>(10, 200));
}
