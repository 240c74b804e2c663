// Published image sets from their native files: values, names, hashes, and what is said of missing or wrong files.
#include "engine/data/images.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "engine/data/files.h"
#include "engine/io/cifar.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"
#include "engine/io/sha256.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

/// A data directory of its own, gone at the end.
struct Directory {
  explicit Directory(const std::string& name) : path((fs::temp_directory_path() / ("plumb_images_" + name)).string()) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Directory() { fs::remove_all(path); }
  std::string operator/(const std::string& file) const {
    fs::create_directories(fs::path(path + "/" + file).parent_path());
    return path + "/" + file;
  }
  std::string path;
};

Tensor bytes(const Shape& shape, int64_t modulus) {
  Tensor x = empty(shape, u8);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<uint8_t>()[i] = static_cast<uint8_t>(i % modulus);
  return x;
}

void write_idx_set(const Directory& d, const std::string& folder, const char* ending) {
  save_idx(d / (folder + "train-images-idx3-ubyte" + ending), bytes({5, 4, 3}, 256));
  save_idx(d / (folder + "train-labels-idx1-ubyte" + ending), bytes({5}, 10));
  save_idx(d / (folder + "t10k-images-idx3-ubyte" + ending), bytes({2, 4, 3}, 7));
  save_idx(d / (folder + "t10k-labels-idx1-ubyte" + ending), bytes({2}, 10));
}

CifarImages cifar_images(int64_t n, int64_t label) { return {bytes({n, 3, 32, 32}, 251), full({n}, label, i64), {}}; }

/// The data directory of real sets, or an empty string after saying why the test is skipped.
std::string real_data(const char* file) {
  const char* directory = std::getenv("PLUMB_DATA");
  if (directory && path_exists(std::string(directory) + "/" + file)) return directory;
  MESSAGE("skipped: PLUMB_DATA names no directory with " << std::string(file));
  return "";
}

}  // namespace

TEST_CASE("mnist: images are bytes over 255, labels i64, from plain or gzipped files, in the set's folder or the directory itself") {
  for (const char* ending : {"", ".gz"})
    for (const char* folder : {"mnist/", ""}) {
      CAPTURE(folder);
      Directory d("mnist");
      write_idx_set(d, folder, ending);
      data::Dataset train = data::mnist(d.path).train(), test = data::mnist(d.path).test();
      CHECK(train.size() == 5);
      CHECK(test.size() == 2);
      data::Sample s = train[3];
      CHECK(s.image.shape() == Shape{1, 4, 3});
      CHECK(s.image.dtype() == f32);
      CHECK(s.image.data<float>()[2] == 38.0f / 255.0f);
      CHECK(s.label.item<int64_t>() == 3);
      CHECK(s.label.dtype() == i64);
      data::Batch b = train.batch(5).next();
      CHECK(b.image.shape() == Shape{5, 1, 4, 3});
      CHECK(to_vector(b.image)[38] == 38.0f / 255.0f);
      CHECK(to_vector<int64_t>(b.label) == std::vector<int64_t>{0, 1, 2, 3, 4});
      auto hashes = train.shuffle().source_hashes();
      REQUIRE(hashes.size() == 2);
      CHECK(hashes[0].path == d.path + "/" + folder + "train-images-idx3-ubyte" + ending);
      CHECK(hashes[0].sha256 == sha256_of_file(hashes[0].path));
    }
}

TEST_CASE("image sets: missing and contradictory files are named, with the way out") {
  Directory d("missing");
  CHECK_THROWS_WITH_AS(
      data::mnist(d.path).train(),
      ("mnist: " + d.path + "/mnist/train-images-idx3-ubyte is missing (with and without .gz); fetch it: plumb data fetch mnist").c_str(),
      IoError);
  CHECK_THROWS_WITH_AS(data::fashion_mnist(d.path).test(), doctest::Contains("plumb data fetch fashion_mnist"), IoError);
  CHECK_THROWS_WITH_AS(data::cifar10(d.path).train(), doctest::Contains("cifar10/data_batch_1.bin is missing"), IoError);
  CHECK_THROWS_WITH_AS(data::cifar10(d.path).test(), doctest::Contains("cifar10/test_batch.bin is missing"), IoError);

  write_idx_set(d, "mnist/", "");
  std::string labels = d / "mnist/train-labels-idx1-ubyte", images = d / "mnist/train-images-idx3-ubyte";
  save_idx(labels, bytes({4}, 10));
  CHECK_THROWS_WITH_AS(data::mnist(d.path).train(), ("idx: " + labels + ": has 4 labels for 5 images").c_str(), IoError);
  save_idx(labels, full({5}, 12, u8));
  CHECK_THROWS_WITH_AS(data::mnist(d.path).train(), ("idx: " + labels + ": label 12 of image 0 is outside [0, 10)").c_str(), IoError);
  save_idx(labels, bytes({5, 1}, 10));
  CHECK_THROWS_WITH_AS(data::mnist(d.path).train(), ("idx: " + labels + ": holds u8 [5, 1]; labels are u8 [N]").c_str(), IoError);
  save_idx(images, bytes({5}, 10));
  CHECK_THROWS_WITH_AS(data::mnist(d.path).train(), ("idx: " + images + ": holds u8 [5]; images are u8 [N, height, width]").c_str(),
                       IoError);
  write_file_atomic(images, "");
  CHECK_THROWS_WITH_AS(data::mnist(d.path).train(), doctest::Contains(images.c_str()), IoError);
}

TEST_CASE("cifar10: the training part is all batches there are, without a gap") {
  Directory d("cifar");
  save_cifar(d / "cifar10/data_batch_1.bin", cifar_images(3, 4));
  save_cifar(d / "cifar10/data_batch_2.bin.gz", cifar_images(2, 9));
  save_cifar(d / "cifar10/test_batch.bin", cifar_images(1, 0));
  data::Dataset train = data::cifar10(d.path).train();
  CHECK(train.labels() == std::vector<int64_t>{4, 4, 4, 9, 9});
  CHECK(train[4].image.shape() == Shape{3, 32, 32});
  CHECK(train[3].image.data<float>()[7] == 7.0f / 255.0f);
  CHECK(train.source_hashes().size() == 2);
  CHECK(data::cifar10(d.path).test().size() == 1);
  CHECK(data::cifar10().class_names()[4] == "deer");
  save_cifar(d / "cifar10/data_batch_4.bin", cifar_images(1, 1));
  CHECK_THROWS_WITH_AS(data::cifar10(d.path).train(), doctest::Contains("cifar10/data_batch_3.bin is missing"), IoError);
}

TEST_CASE("the data directory is the argument, or PLUMB_DATA, or data") {
  CHECK(data::data_directory("x/y") == "x/y");
  const char* set = std::getenv("PLUMB_DATA");
  CHECK(data::data_directory() == (set && *set ? set : "data"));
}

TEST_CASE("real mnist and fashion_mnist: sizes and class counts as published") {
  for (const char* name : {"mnist", "fashion_mnist"}) {
    std::string directory = real_data((std::string(name) + "/t10k-labels-idx1-ubyte.gz").c_str());
    if (directory.empty()) continue;
    data::Dataset test = (name == std::string("mnist") ? data::mnist(directory) : data::fashion_mnist(directory)).test();
    CHECK(test.size() == 10000);
    CHECK(test[0].image.shape() == Shape{1, 28, 28});
    std::map<int64_t, int> count;
    for (int64_t l : test.labels()) ++count[l];
    CHECK(count.size() == 10);
    if (name == std::string("mnist")) CHECK(count[1] == 1135);  // the published test part has 1,135 ones
  }
}

TEST_CASE("real cifar10: ten classes as often") {
  std::string directory = real_data("cifar10/test_batch.bin.gz");
  if (directory.empty()) return;
  data::Dataset test = data::cifar10(directory).test();
  std::map<int64_t, int64_t> count;
  for (int64_t l : test.labels()) ++count[l];
  CHECK(count.size() == 10);
  for (const auto& c : count) CHECK(c.second == test.size() / 10);
}
