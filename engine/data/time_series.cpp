// The text format of labelled series, and columns of tables as series.
#include "engine/data/time_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "engine/data/files.h"
#include "engine/io/file.h"

namespace plumb::data {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

std::string_view trimmed(std::string_view text) {
  auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t end = std::min(text.find(separator), text.size());
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

class TsReader {
 public:
  explicit TsReader(const std::string& path) : path_(path) {}

  SeriesSet read() {
    std::string text = read_text(path_);
    bool data = false;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.find('\n', begin), text.size());
      std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
      ++line_;
      if (line.empty() || line[0] == '#') continue;
      if (data)
        read_series(line);
      else if (line[0] != '@')
        fail("is neither a comment nor begins with @, before @data");
      else
        data = read_tag(line);
    }
    if (set_.series.empty()) throw_io_error("ts", path_, data ? "has no series after @data" : "has no @data");
    return std::move(set_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("ts", path_, fmt::format("line {} {}", line_, problem)); }

  // Whether it is the last one.
  bool read_tag(std::string_view line) {
    std::vector<std::string_view> words;
    for (std::string_view word : parts_of(line, ' '))
      if (!word.empty()) words.push_back(word);
    std::string tag = lower(words[0]);
    bool yes = words.size() > 1 && lower(words[1]) == "true";
    if (tag == "@problemname" && words.size() > 1) set_.name = words[1];
    if (tag == "@timestamps" && yes) fail("says that values have time stamps, which are not read");
    if (tag == "@classlabel" && yes) {
      classes_ = true;
      for (size_t i = 2; i < words.size(); ++i) set_.class_names.emplace_back(words[i]);
      if (set_.class_names.empty()) fail("names no class");
    }
    return tag == "@data";
  }

  void read_series(std::string_view line) {
    std::vector<std::string_view> channels = parts_of(line, ':');
    if (classes_) {
      set_.labels.push_back(label(channels.back()));
      channels.pop_back();
    }
    if (channels.empty()) fail("has a class but no values");
    auto c = static_cast<int64_t>(channels.size());
    if (!set_.series.empty() && c != set_.channels()) fail(fmt::format("has {} channels, the first series {}", c, set_.channels()));
    std::vector<float> values;
    size_t steps = parts_of(channels[0], ',').size();
    for (std::string_view channel : channels) {
      std::vector<std::string_view> numbers = parts_of(channel, ',');
      if (numbers.size() != steps) fail(fmt::format("has channels of {} and of {} values", steps, numbers.size()));
      for (std::string_view number : numbers) values.push_back(value(number));
    }
    set_.series.push_back(from_vector(values, {c, static_cast<int64_t>(steps)}));
  }

  int64_t label(std::string_view text) const {
    auto at = std::find(set_.class_names.begin(), set_.class_names.end(), text);
    if (at == set_.class_names.end()) fail(fmt::format("is of class \"{}\", which @classLabel does not name", text));
    return at - set_.class_names.begin();
  }

  float value(std::string_view text) const {
    if (text == "?" || lower(text) == "nan") return kMissing;
    float v = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (error != std::errc() || end != text.data() + text.size()) fail(fmt::format("has \"{}\" where a number is due", text));
    return v;
  }

  const std::string& path_;
  SeriesSet set_;
  int64_t line_ = 0;
  bool classes_ = false;
};

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
  for (const CsvColumn& c : table.columns) names += (names.empty() ? "" : ", ") + c.name;
  return names;
}

}  // namespace

std::vector<int64_t> SeriesSet::lengths() const {
  std::vector<int64_t> all;
  for (const Tensor& s : series) all.push_back(s.size(1));
  return all;
}

int64_t SeriesSet::longest() const {
  int64_t most = 0;
  for (const Tensor& s : series) most = std::max(most, s.size(1));
  return most;
}

Tensor SeriesSet::stacked(double padding) const {
  int64_t steps = longest();
  Tensor all = full({size(), channels(), steps}, padding);
  float* out = all.data<float>();
  for (const Tensor& s : series) {
    const float* in = s.data<float>();
    for (int64_t c = 0; c < s.size(0); ++c, out += steps, in += s.size(1)) std::copy(in, in + s.size(1), out);
  }
  return all;
}

SeriesSet load_ts(const std::string& path) { return TsReader(path).read(); }

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
    CsvTable named = found ? CsvTable{} : load_csv(path, with_header);
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
