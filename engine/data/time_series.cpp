// Files of published series, and columns of tables as series.
#include "engine/data/time_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "engine/io/file.h"

namespace plumb::data {
namespace {

SeriesSetParts load_parts(const std::string& train, const std::string& test) {
  SeriesSetParts parts{load_ts(train), load_ts(test)};
  if (parts.train.channels() != parts.test.channels() || parts.train.class_names != parts.test.class_names)
    throw_io_error("ts", test, "has other channels or classes than " + train);
  return parts;
}

constexpr const char* kFolder = "timeseries";

struct Published {
  const char* name;
  const char* column;
};
constexpr std::array kPublished{Published{"daily-min-temperatures", "Temp"}, Published{"daily-max-temperatures", "Temperature"},
                                Published{"monthly-sunspots", "Sunspots"}, Published{"airline-passengers", "Passengers"},
                                Published{"pollution", "pm2.5"}};

const Published& published(const std::string& name) {
  std::string known;
  for (const Published& p : kPublished) {
    if (name == p.name) return p;
    known += (known.empty() ? "" : ", ") + std::string(p.name);
  }
  throw ValueError(fmt::format("published_series: \"{}\" is unknown; there are {}", name, known));
}

const CsvColumn* find_column(const CsvTable& table, const std::string& name) {
  auto at = std::find_if(table.columns.begin(), table.columns.end(), [&](const CsvColumn& c) { return c.name == name; });
  return at == table.columns.end() ? nullptr : &*at;
}

std::string column_names(const CsvTable& table) {
  std::string names;
  for (const CsvColumn& c : table.columns) names += (names.empty() ? "\"" : ", \"") + c.name + "\"";
  return names;
}

}  // namespace

SeriesSetParts ts_set(const std::string& name, const std::string& directory) {
  auto file = [&](const char* part) { return find_data_file("series_sets", directory, kFolder, name + part); };
  std::string train = file("_TRAIN.ts");
  return load_parts(train, file("_TEST.ts"));
}

std::optional<SeriesSetParts> find_ts_set(const std::string& name, const std::string& directory) {
  std::string train = find_optional_data_file(directory, kFolder, name + "_TRAIN.ts"),
              test = find_optional_data_file(directory, kFolder, name + "_TEST.ts");
  if (train.empty() || test.empty()) return {};
  return load_parts(train, test);
}

int64_t LongSeries::missing() const {
  return std::count_if(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}

LongSeries csv_series(const std::string& path, const std::string& column, const CsvOptions& options) {
  CsvTable table = load_csv(path, options);
  const CsvColumn* found = nullptr;
  if (column.empty()) {
    for (const CsvColumn& c : table.columns)
      if (!c.categorical) found = &c;
    if (!found) throw_io_error("series", path, "has no column of numbers; there are " + column_names(table));
  } else {
    found = find_column(table, column);
    // Where the second line has no number either, only its names tell a header.
    CsvOptions with_header = options;
    with_header.header = CsvOptions::Header::present;
    bool asked = found || options.header != CsvOptions::Header::automatic;
    CsvTable named = asked ? CsvTable{} : load_csv(path, with_header);
    if (!found && find_column(named, column)) table = std::move(named), found = find_column(table, column);
    if (!found) throw_io_error("series", path, fmt::format("there is no column \"{}\"; there are {}", column, column_names(table)));
    if (found->categorical)
      throw_io_error("series", path, fmt::format("column \"{}\" is not of numbers: it has \"{}\"", column, found->categories[0]));
  }
  LongSeries series{found->name, found->values};
  if (series.missing() == series.size())
    throw_io_error("series", path, fmt::format("all values of column \"{}\" are missing", series.name));
  return series;
}

LongSeries published_series(const std::string& name, const std::string& directory) {
  const Published& p = published(name);
  return csv_series(find_data_file("long_series", directory, kFolder, name + ".csv"), p.column);
}

std::optional<LongSeries> find_published_series(const std::string& name, const std::string& directory) {
  const Published& p = published(name);
  std::string path = find_optional_data_file(directory, kFolder, name + ".csv");
  if (path.empty()) return {};
  return csv_series(path, p.column);
}

}  // namespace plumb::data
