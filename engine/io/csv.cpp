// CSV: text is cut into fields first, then each column is typed as a whole.
#include "engine/io/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "engine/io/file.h"

namespace plumb {
namespace {

struct Row {
  size_t line;  // where it begins, from 1
  std::vector<std::string> fields;
};

bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool parse_number(std::string_view text, double& value) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

class CsvReader {
 public:
  CsvReader(const std::string& path, const CsvOptions& options) : path_(path), options_(options), text_(read_text(path)) {}

  CsvTable read(const CsvTable* like) {
    while (at_ < text_.size()) read_row();
    if (rows_.empty()) fail("has no rows");
    check_lengths();
    CsvTable table;
    bool header = has_header();
    name_columns(table, header);
    if (header) rows_.erase(rows_.begin());
    if (rows_.empty()) fail("has a header but no rows");
    table.rows = static_cast<int64_t>(rows_.size());
    if (like) check_like(table, *like, header);
    for (const auto* names : {&options_.categorical, &options_.numeric})
      for (const std::string& name : *names) table[name];  // throws for a column that is not there
    for (size_t c = 0; c < table.columns.size(); ++c) fill_column(table.columns[c], c, like ? &like->columns[c] : nullptr);
    return table;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("csv", path_, problem); }
  [[noreturn]] void fail(size_t line, const std::string& problem) const { fail("line " + std::to_string(line) + " " + problem); }

  bool at_end_of_line() const {
    return at_ == text_.size() || text_[at_] == '\n' || (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  }

  void read_row() {
    Row row{line_, {}};
    bool quoted = false;
    for (;;) {
      row.fields.push_back(read_field(quoted));
      if (at_end_of_line()) break;
      ++at_;  // the delimiter
    }
    at_ += at_ < text_.size() && text_[at_] == '\r';
    at_ += at_ < text_.size() && text_[at_] == '\n';
    ++line_;
    bool empty_line = row.fields.size() == 1 && row.fields[0].empty() && !quoted;
    if (!empty_line) rows_.push_back(std::move(row));
  }

  std::string read_field(bool& quoted) {
    while (at_ < text_.size() && is_blank(text_[at_]) && text_[at_] != options_.delimiter) ++at_;
    if (at_ < text_.size() && text_[at_] == '"') {
      quoted = true;
      return read_quoted();
    }
    size_t begin = at_;
    while (!at_end_of_line() && text_[at_] != options_.delimiter) ++at_;
    size_t end = at_;
    while (end > begin && is_blank(text_[end - 1])) --end;
    return text_.substr(begin, end - begin);
  }

  std::string read_quoted() {
    size_t first_line = line_;
    std::string field;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) fail(first_line, "opens a quote that is never closed");
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;  // a doubled quote stands for one
      }
      field += text_[at_];
    }
    ++at_;
    while (at_ < text_.size() && is_blank(text_[at_]) && text_[at_] != options_.delimiter) ++at_;
    if (!at_end_of_line() && text_[at_] != options_.delimiter) fail(line_, "has text after a closing quote");
    return field;
  }

  void check_lengths() const {
    size_t width = rows_[0].fields.size();
    for (const Row& row : rows_)
      if (row.fields.size() != width)
        fail(row.line, "has " + std::to_string(row.fields.size()) + " fields, line " + std::to_string(rows_[0].line) + " has " +
                           std::to_string(width));
  }

  bool is_missing(const std::string& field) const {
    return std::find(options_.missing.begin(), options_.missing.end(), field) != options_.missing.end();
  }

  bool has_header() const {
    if (options_.header != CsvOptions::Header::automatic) return options_.header == CsvOptions::Header::present;
    double ignored;
    auto is_number = [&](const std::string& field) { return parse_number(field, ignored); };
    // An empty name is that of row numbers, as pandas writes them.
    for (const std::string& field : rows_[0].fields)
      if (is_number(field) || (is_missing(field) && !field.empty())) return false;
    if (std::ranges::all_of(rows_[0].fields, [](const std::string& field) { return field.empty(); })) return false;
    return rows_.size() > 1 && std::any_of(rows_[1].fields.begin(), rows_[1].fields.end(), is_number);
  }

  void name_columns(CsvTable& table, bool header) const {
    std::set<std::string> taken;
    std::map<std::string, int> next;  // number of a repeated name: not sought from 1 each time, which takes forever in a wide table
    for (size_t c = 0; c < rows_[0].fields.size(); ++c) {
      std::string name = header ? rows_[0].fields[c] : std::to_string(c), unique = name;
      while (!taken.insert(unique).second) unique = name + "." + std::to_string(++next[name]);
      table.columns.push_back({.name = unique});
    }
  }

  void check_like(const CsvTable& table, const CsvTable& like, bool header) const {
    if (table.columns.size() != like.columns.size())
      fail("has " + std::to_string(table.columns.size()) + " columns, the first table " + std::to_string(like.columns.size()));
    for (size_t c = 0; header && c < like.columns.size(); ++c)
      if (table.columns[c].name != like.columns[c].name)
        fail("column " + std::to_string(c) + " is called \"" + table.columns[c].name + "\", in the first table \"" + like.columns[c].name +
             "\"");
  }

  static bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  const std::string& field(const Row& row, size_t c) const {
    auto renamed = options_.rename.find(row.fields[c]);
    return renamed == options_.rename.end() ? row.fields[c] : renamed->second;
  }

  void fill_column(CsvColumn& column, size_t c, const CsvColumn* like) const {
    column.values.assign(rows_.size(), std::numeric_limits<double>::quiet_NaN());
    bool must_be_numeric = like ? !like->categorical : contains(options_.numeric, column.name);
    bool categorical = like ? like->categorical : contains(options_.categorical, column.name);
    for (size_t r = 0; r < rows_.size() && !categorical; ++r) {
      const std::string& text = field(rows_[r], c);
      if (is_missing(text) || parse_number(text, column.values[r])) continue;
      if (must_be_numeric) fail(rows_[r].line, "column \"" + column.name + "\": \"" + text + "\" is no number");
      categorical = true;
    }
    if (categorical) fill_categories(column, c, like);
  }

  void fill_categories(CsvColumn& column, size_t c, const CsvColumn* like) const {
    column.categorical = true;
    std::set<std::string> seen;
    for (const Row& row : rows_)
      if (!is_missing(field(row, c))) seen.insert(field(row, c));
    column.categories = like ? like->categories : std::vector<std::string>(seen.begin(), seen.end());
    for (size_t r = 0; r < rows_.size(); ++r) {
      const std::string& text = field(rows_[r], c);
      column.values[r] = std::numeric_limits<double>::quiet_NaN();
      if (is_missing(text)) continue;
      auto place = std::lower_bound(column.categories.begin(), column.categories.end(), text);
      if (place == column.categories.end() || *place != text)
        fail(rows_[r].line, "column \"" + column.name + "\": the category \"" + text + "\" is not in the first table, which has " +
                                listed(column.categories));
      column.values[r] = static_cast<double>(place - column.categories.begin());
    }
  }

  static std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (size_t i = 0; i < names.size() && i < 8; ++i) text += (i ? ", \"" : "\"") + names[i] + "\"";
    return names.empty() ? "none" : names.size() > 8 ? text + ", …" : text;
  }

  const std::string& path_;
  const CsvOptions& options_;
  std::string text_;
  size_t at_ = 0, line_ = 1;
  std::vector<Row> rows_;
};

}  // namespace

const CsvColumn& CsvTable::operator[](const std::string& name) const {
  std::string names;
  for (const CsvColumn& column : columns) {
    if (column.name == name) return column;
    names += (names.empty() ? "\"" : ", \"") + column.name + "\"";
  }
  throw IndexError("csv: there is no column \"" + name + "\"; there are " + names);
}

Tensor CsvTable::tensor(const std::vector<std::string>& names, DType dtype) const {
  std::vector<const CsvColumn*> chosen;
  for (const std::string& name : names) chosen.push_back(&(*this)[name]);
  return visit_f32_f64("csv", dtype, [&]<typename T>() {
    Tensor x = empty({rows, static_cast<int64_t>(chosen.size())}, dtype, cpu, "csv");
    T* out = x.data<T>();
    for (int64_t r = 0; r < rows; ++r)
      for (const CsvColumn* column : chosen) *out++ = static_cast<T>(column->values[static_cast<size_t>(r)]);
    return x;
  });
}

Tensor CsvTable::tensor(DType dtype) const {
  std::vector<std::string> names;
  for (const CsvColumn& column : columns) names.push_back(column.name);
  return tensor(names, dtype);
}

CsvTable load_csv(const std::string& path, const CsvOptions& options) { return CsvReader(path, options).read(nullptr); }
CsvTable load_csv(const std::string& path, const CsvTable& like, const CsvOptions& options) { return CsvReader(path, options).read(&like); }

}  // namespace plumb
