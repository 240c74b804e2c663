// Columns to inputs.
#include "engine/data/table_encoder.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/data/internal/one_hot_limit.h"
#include "engine/io/json_fields.h"

namespace plumb::data {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("name", c.name), f("categorical", c.categorical), f("mean", c.mean), f("deviation", c.deviation), f("categories", c.categories),
      f("missing", c.missing);
};

std::string EncodedColumn::to_json() const { return fields_to_json(*this, fields); }
EncodedColumn EncodedColumn::from_json(const std::string& text) { return fields_from_json<EncodedColumn>("column", text, fields); }

int64_t EncodedColumn::width() const { return (categorical ? static_cast<int64_t>(categories.size()) : 1) + missing; }

namespace {

EncodedColumn learned(const CsvColumn& column, const std::vector<int64_t>& rows) {
  EncodedColumn c{.name = column.name, .categorical = column.categorical};
  std::vector<double> values;
  for (int64_t r : rows) {
    double v = column.values.at(static_cast<size_t>(r));
    if (std::isnan(v))
      c.missing = true;
    else
      values.push_back(v);
  }
  if (values.empty())
    throw ValueError("table: column \"" + c.name + "\" has no values: all " + std::to_string(rows.size()) + " rows are missing");
  if (c.categorical) {
    std::set<std::string> seen;
    for (double v : values) seen.insert(column.categories[static_cast<size_t>(v)]);
    check_one_hot(c.name, seen.size());
    c.categories.assign(seen.begin(), seen.end());
    return c;
  }
  double n = static_cast<double>(values.size()), squares = 0;
  for (double v : values) c.mean += v;
  c.mean /= n;
  for (double v : values) squares += (v - c.mean) * (v - c.mean);
  if (squares > 0) c.deviation = std::sqrt(squares / n);
  return c;
}

// Where each category of the table's column stands among the encoder's; −1 for one that it does not know.
std::vector<int64_t> places(const EncodedColumn& c, const CsvColumn& column) {
  std::vector<int64_t> found;
  for (const std::string& name : column.categories) {
    auto at = std::lower_bound(c.categories.begin(), c.categories.end(), name);
    found.push_back(at != c.categories.end() && *at == name ? at - c.categories.begin() : -1);
  }
  return found;
}

// Writes the column's inputs into rows of `stride` numbers.
void write(const EncodedColumn& c, const CsvColumn& column, float* out, int64_t stride) {
  std::vector<int64_t> place = places(c, column);
  int64_t missing_at = c.width() - 1;
  for (double v : column.values) {
    if (std::isnan(v)) {
      if (c.missing) out[missing_at] = 1;
    } else if (c.categorical) {
      if (int64_t at = place[static_cast<size_t>(v)]; at >= 0) out[at] = 1;
    } else {
      out[0] = static_cast<float>((v - c.mean) / c.deviation);
    }
    out += stride;
  }
}

}  // namespace

TableEncoder TableEncoder::fit(const CsvTable& table, const std::vector<std::string>& names, const std::vector<int64_t>& rows) {
  if (names.empty() || rows.empty()) throw ValueError("table: needs columns and rows to learn from");
  std::vector<EncodedColumn> columns;
  for (const std::string& name : names) columns.push_back(learned(table[name], rows));
  return TableEncoder(std::move(columns));
}

Tensor TableEncoder::operator()(const CsvTable& table) const {
  for (const EncodedColumn& c : columns_)
    if (table[c.name].categorical != c.categorical)
      throw ValueError("table: column \"" + c.name + "\" holds " + (c.categorical ? "numbers, it was texts" : "texts, it was numbers"));
  Tensor x = zeros({table.rows, width()});
  float* out = x.data<float>();
  for (const EncodedColumn& c : columns_) {
    write(c, table[c.name], out, width());
    out += c.width();
  }
  return x;
}

CsvOptions TableEncoder::options() const {
  CsvOptions options;
  for (const EncodedColumn& c : columns_) (c.categorical ? options.categorical : options.numeric).push_back(c.name);
  return options;
}

int64_t TableEncoder::width() const {
  int64_t total = 0;
  for (const EncodedColumn& c : columns_) total += c.width();
  return total;
}

std::vector<std::string> TableEncoder::input_names() const {
  std::vector<std::string> names;
  for (const EncodedColumn& c : columns_) {
    if (!c.categorical) names.push_back(c.name);
    for (const std::string& category : c.categories) names.push_back(c.name + "=" + category);
    if (c.missing) names.push_back(c.name + " missing");
  }
  return names;
}

std::vector<int64_t> TableEncoder::inputs_of(const std::string& name) const {
  std::vector<int64_t> found;
  int64_t at = 0;
  for (const EncodedColumn& c : columns_)
    for (int64_t k = 0; k < c.width(); ++k, ++at)
      if (c.name == name) found.push_back(at);
  return found;
}

CsvTable select_rows(const CsvTable& table, const std::vector<int64_t>& rows) {
  for (int64_t r : rows)
    if (r < 0 || r >= table.rows)
      throw IndexError("select_rows: row " + std::to_string(r) + " is outside [0, " + std::to_string(table.rows) + ")");
  CsvTable part{.rows = static_cast<int64_t>(rows.size())};
  for (const CsvColumn& column : table.columns) {
    CsvColumn kept{.name = column.name, .categories = column.categories, .categorical = column.categorical};
    for (int64_t r : rows) kept.values.push_back(column.values[static_cast<size_t>(r)]);
    part.columns.push_back(std::move(kept));
  }
  return part;
}

}  // namespace plumb::data
