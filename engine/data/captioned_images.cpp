// Captions in a CSV file beside their images.
#include "engine/data/captioned_images.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "engine/data/image_folder.h"
#include "engine/io/csv.h"
#include "engine/io/file.h"
#include "engine/io/internal/relative_path.h"

namespace plumb::data {
namespace {

const CsvColumn& column(const CsvTable& table, const std::string& name, const std::string& path) {
  std::string names;
  for (const CsvColumn& c : table.columns) {
    if (c.name == name) return c;
    names += (names.empty() ? "" : ", ") + c.name;
  }
  throw_io_error("captions", path, fmt::format("has no column \"{}\"; it has {}", name, names));
}

const std::string& text(const CsvColumn& column, int64_t row, const std::string& path) {
  double place = column.values[static_cast<size_t>(row)];
  if (std::isnan(place)) throw_io_error("captions", path, fmt::format("row {} has no {}", row + 1, column.name));
  return column.categories[static_cast<size_t>(place)];
}

// Texts that look like numbers are texts here.
CsvTable texts_of(const std::string& path) {
  CsvOptions options{.header = CsvOptions::Header::present};
  CsvTable table = load_csv(path, options);
  for (const char* name : {"image", "caption"}) {
    column(table, name, path);
    options.categorical.push_back(name);
  }
  return load_csv(path, options);
}

}  // namespace

CaptionedImages captioned_images(const std::string& path, int64_t channels) {
  CsvTable table = texts_of(path);
  const CsvColumn &image = column(table, "image", path), &caption = column(table, "caption", path);
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  CaptionedImages out;
  std::vector<std::string> files;
  for (int64_t row = 0; row < table.rows; ++row) {
    const std::string& file = text(image, row, path);
    if (!stays_below(file))
      throw_io_error("captions", path,
                     fmt::format("row {} names the image \"{}\", which is not below the file's directory", row + 1, file));
    files.push_back(directory + "/" + file);
    out.captions.push_back(text(caption, row, path));
  }
  out.images = image_list(files, directory, {.channels = channels}).data;
  return out;
}

}  // namespace plumb::data
