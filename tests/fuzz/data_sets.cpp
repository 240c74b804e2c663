// Data sets: tables, folders of images, images with captions, comments of source files.
#include <filesystem>

#include "engine/data/captioned_images.h"
#include "engine/data/image_folder.h"
#include "engine/data/table.h"
#include "engine/data/table_encoder.h"
#include "engine/data/text_pairs.h"
#include "engine/io/image.h"
#include "tests/fuzz/target.h"
#include "tests/scratch.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

Tensor picture(int64_t channels) {
  Tensor image = empty({4, 5, channels}, u8);
  for (int64_t i = 0; i < image.numel(); ++i) image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 11);
  return image;
}

void read_table(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    data::Table table = data::csv_table(path, {.one_hot = true});
    data::csv_table(path, table, {.one_hot = true});
    data::csv_table(path, {.kind = data::TargetKind::classes});
    data::scale_features(table.data, data::feature_scaling(table.data));
  });
}

// Rules for columns that are called as those of a fixed table, applied to it.
void read_column(std::string_view bytes) {
  static const CsvTable table = [] {
    CsvTable t{.rows = 3};
    t.columns.push_back({.name = "age", .values = {3, 4, 5}});
    t.columns.push_back({.name = "job", .values = {0, 1, 0}, .categories = {"clerk", "smith"}, .categorical = true});
    return t;
  }();
  data::EncodedColumn column = data::EncodedColumn::from_json(std::string(bytes));
  data::EncodedColumn::from_json(column.to_json());
  data::TableEncoder encoder({column});
  encoder.input_names();
  encoder(table);
}

// A directory with the input under one name, and a small image under two others.
struct Folder {
  plumb_test::Scratch directory;
  Folder(const std::string& path, const std::string& name) {
    directory.put("images/a/first.png", encode_png(picture(3)));
    directory.put("images/b/second.jpg", encode_jpeg(picture(1)));
    std::filesystem::create_symlink(path, directory.path(name));
  }
};

void read_captions(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    static Folder folder(path, "captions.csv");
    data::captioned_images(folder.directory.path("captions.csv"));
  });
}

// The input is the last of three images: read at once, which needs the size of the others, and one by one.
void read_image_folder(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    static Folder folder(path, "images/b/third.png");
    data::Dataset any = data::image_folder(folder.directory.path("images"), {.channels = 1, .any_size = true}).data;
    any[2];
    data::image_folder(folder.directory.path("images"));
  });
}

// A header and the source file beside it in one input, apart by a zero.
void read_comments(std::string_view bytes) {
  size_t cut = std::min(bytes.find('\0'), bytes.size());
  data::selected_pairs(data::comment_pairs(std::string(bytes.substr(0, cut)), std::string(bytes.substr(std::min(cut + 1, bytes.size())))));
}

}  // namespace

std::vector<Target> data_set_targets() {
  return {
      {"table", read_table,
       [] {
         return std::vector<std::string>{"name,x,y\na,1.5,no\nc,-2e3,yes\nd,?,no\n", "1,2,3\n4,5,6\n"};
       },
       "csv"},
      {"column", read_column,
       [] {
         return std::vector{data::EncodedColumn{.name = "age", .mean = 2, .missing = true}.to_json(),
                            data::EncodedColumn{.name = "job", .categorical = true, .categories = {"smith", "x"}}.to_json()};
       },
       "json"},
      {"captions", read_captions,
       [] { return std::vector<std::string>{"image,caption,more\nimages/a/first.png,\"a, b\",1\nimages/b/second.jpg,17,2\n"}; }, "csv"},
      {"image_folder", read_image_folder,
       [] {
         return std::vector{encode_png(picture(3)), encode_png(picture(2)), encode_jpeg(picture(3))};
       },
       "png"},
      {"comments", read_comments,
       [] {
         std::string header =
             "/// The sum of two numbers, whatever they are here.\nint add(int a, int b);\n\n/// One of two.\nstruct A {\n  int x;  ///< "
             "y\n};\n";
         return std::vector<std::string>{header + '\0' + "int add(int a, int b) {\n  return a + b;\n}\n"};
       }},
  };
}

}  // namespace plumb_fuzz
