// Image folders: classes from subfolders, channels as asked for, and the files named that do not fit.
#include "engine/data/image_folder.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/io/file.h"
#include "engine/io/image.h"

using namespace plumb;
using data::ImageFolder;
namespace fs = std::filesystem;

namespace {

struct Folder {
  explicit Folder(const std::string& name) : path((fs::temp_directory_path() / ("plumb_folder_" + name)).string()) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& file) const {
    fs::create_directories(fs::path(path + "/" + file).parent_path());
    return path + "/" + file;
  }
  std::string path;
};

/// H×W pixels of one colour.
Tensor pixels(int64_t height, int64_t width, const std::vector<uint8_t>& colour) {
  auto channels = static_cast<int64_t>(colour.size());
  Tensor x = empty({height, width, channels}, u8);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<uint8_t>()[i] = colour[static_cast<size_t>(i % channels)];
  return x;
}

void fill(const Folder& f) {
  save_png(f / "dog/b.png", pixels(4, 5, {10, 20, 30}));
  save_png(f / "dog/a.PNG", pixels(4, 5, {200}));
  save_png(f / "cat/1.png", pixels(4, 5, {1, 2, 3, 128}));
  save_jpeg(f / "cat/2.jpeg", pixels(4, 5, {90}), 100);
  write_file_atomic(f / "cat/notes.txt", "no image");
  write_file_atomic(f / "cat/.hidden.png", "no image");
  write_file_atomic(f / "readme.png", "not in a class");
}

}  // namespace

TEST_CASE("image_folder: classes and files in order, grey, colour and alpha as three channels") {
  Folder f("colour");
  fill(f);
  for (bool in_memory : {true, false}) {
    ImageFolder folder = data::image_folder(f.path, {.in_memory = in_memory});
    CHECK(folder.class_names == std::vector<std::string>{"cat", "dog"});
    CHECK(folder.files ==
          std::vector<std::string>{f.path + "/cat/1.png", f.path + "/cat/2.jpeg", f.path + "/dog/a.PNG", f.path + "/dog/b.png"});
    CHECK(folder.data.labels() == std::vector<int64_t>{0, 0, 1, 1});
    data::Sample s = folder.data[3];
    CHECK(s.index == 3);
    CHECK(s.image.shape() == Shape{3, 4, 5});
    CHECK(s.image.data<float>()[0] == 10.0f / 255.0f);
    CHECK(s.image.data<float>()[20] == 20.0f / 255.0f);
    CHECK(s.image.data<float>()[59] == 30.0f / 255.0f);
    CHECK(folder.data[2].image.data<float>()[40] == 200.0f / 255.0f);
    CHECK(folder.data[0].image.data<float>()[40] == 3.0f / 255.0f);
    CHECK(folder.data.batch(4, {.workers = 1}).next().image.shape() == Shape{4, 3, 4, 5});
    REQUIRE(folder.data.source_hashes().size() == 1);
    CHECK(folder.data.source_hashes()[0].path == f.path);
  }
}

TEST_CASE("image_folder: one channel is the weighted grey") {
  Folder f("grey");
  fill(f);
  data::Dataset d = data::image_folder(f.path, {.channels = 1}).data;
  CHECK(d[3].image.shape() == Shape{1, 4, 5});
  CHECK(d[3].image.data<float>()[0] == 18.0f / 255.0f);  // (2990 + 11740 + 3420)/1000 = 18.15
  CHECK(d[2].image.data<float>()[0] == 200.0f / 255.0f);
}

TEST_CASE("image_folder: the hash follows content and names") {
  Folder f("hash");
  fill(f);
  auto hash = [&] { return data::image_folder(f.path).data.source_hashes()[0].sha256; };
  std::string before = hash();
  CHECK(hash() == before);
  save_png(f / "dog/b.png", pixels(4, 5, {10, 20, 31}));
  std::string changed = hash();
  CHECK(changed != before);
  fs::rename(f / "dog/b.png", f / "dog/c.png");
  CHECK(hash() != changed);
}

TEST_CASE("image_folder: images of different sizes are named, or allowed") {
  Folder f("sizes");
  fill(f);
  save_png(f / "dog/c.png", pixels(4, 6, {1}));
  std::string message = "images: " + f.path + "/dog/c.png: is 4×6, " + f.path + "/cat/1.png is 4×5; make them alike or allow any size";
  CHECK_THROWS_WITH_AS(data::image_folder(f.path), message.c_str(), IoError);
  data::Dataset lazy = data::image_folder(f.path, {.in_memory = false}).data;
  CHECK_NOTHROW(lazy[0]);
  CHECK_THROWS_WITH_AS(lazy[4], message.c_str(), IoError);
  data::Dataset any = data::image_folder(f.path, {.any_size = true}).data;
  CHECK(any[4].image.shape() == Shape{3, 4, 6});
  data::Batch padded = any.batch(5, {.pad = {{"image", 0.5}}}).next();
  CHECK(padded.image.shape() == Shape{5, 3, 4, 6});
  CHECK(padded.image.data<float>()[5] == 0.5f);
}

TEST_CASE("image_folder: empty, missing and damaged") {
  Folder f("bad");
  CHECK_THROWS_WITH_AS(data::image_folder("no/such/folder"), doctest::Contains("images: no/such/folder: "), IoError);
  CHECK_THROWS_WITH_AS(data::image_folder(f.path), ("images: " + f.path + ": has no subfolders; each class has its own").c_str(), IoError);
  write_file_atomic(f / "cat/a.txt", "x");
  CHECK_THROWS_WITH_AS(data::image_folder(f.path), ("images: " + f.path + ": has no .png, .jpg or .jpeg files in its subfolders").c_str(),
                       IoError);
  write_file_atomic(f / "cat/a.png", "not an image at all");
  CHECK_THROWS_WITH_AS(data::image_folder(f.path), doctest::Contains((f.path + "/cat/a.png").c_str()), IoError);
  CHECK_THROWS_WITH_AS(data::image_folder(f.path, {.channels = 2}), "images: 2 channels; 1 or 3", ValueError);
}

TEST_CASE("unlabelled_image_folder: the images of the folder itself, all with label 0") {
  Folder f("flat");
  CHECK_THROWS_WITH_AS(data::unlabelled_image_folder(f.path), ("images: " + f.path + ": has no .png, .jpg or .jpeg files").c_str(),
                       IoError);
  save_png(f / "b.png", pixels(4, 5, {10, 20, 30}));
  save_png(f / "a.png", pixels(4, 5, {200}));
  save_png(f / "deeper/c.png", pixels(4, 5, {1}));
  ImageFolder folder = data::unlabelled_image_folder(f.path);
  CHECK(folder.data.size() == 2);
  CHECK(folder.class_names.empty());
  CHECK(folder.data.labels() == std::vector<int64_t>{0, 0});
  CHECK(folder.data[0].image.data<float>()[0] == 200 / 255.0f);
  save_png(f / "d.png", pixels(5, 5, {200}));
  std::string message = "images: " + f.path + "/d.png: is 5×5, " + f.path + "/a.png is 4×5; make them alike or allow any size";
  CHECK_THROWS_WITH_AS(data::unlabelled_image_folder(f.path), message.c_str(), IoError);
}
