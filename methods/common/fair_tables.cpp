// Reading and splitting tables of people.
#include "methods/common/fair_tables.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "engine/data/files.h"
#include "engine/data/table_encoder.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

using Numbers = std::vector<double>;

std::string path_of(const char* set, const char* file) { return data::find_data_file(set, "", "uci", file); }

CsvOptions without_header() {
  CsvOptions options;
  options.header = CsvOptions::Header::absent;
  return options;
}

std::string text_at(const CsvColumn& column, size_t row) {
  double v = column.values[row];
  return std::isnan(v) ? "" : column.categories[static_cast<size_t>(v)];
}

// 1 where the column has one of these texts.
std::vector<int64_t> is_one_of(const CsvColumn& column, const std::vector<std::string>& texts) {
  std::vector<int64_t> is;
  for (size_t r = 0; r < column.values.size(); ++r) is.push_back(std::ranges::find(texts, text_at(column, r)) != texts.end());
  return is;
}

// Days since 1970 of "2013-08-13 06:03:42"; NaN for anything else.
double days_of(const std::string& text) {
  int year, month, day, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute, &second) < 3) return NAN;
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  return static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count()) + (hour * 3600 + minute * 60 + second) / 86400.0;
}

// ProPublica's filters, and two groups.
std::vector<int64_t> compas_rows(const CsvTable& csv) {
  std::vector<int64_t> rows;
  const auto &days = csv["days_b_screening_arrest"], &recid = csv["is_recid"], &degree = csv["c_charge_degree"], &score = csv["score_text"],
             &race = csv["race"];
  for (size_t r = 0; r < static_cast<size_t>(csv.rows); ++r) {
    std::string who = text_at(race, r);
    if (std::abs(days.values[r]) <= 30 && recid.values[r] != -1 && text_at(degree, r) != "O" && text_at(score, r) != "N/A" &&
        (who == "African-American" || who == "Caucasian"))
      rows.push_back(static_cast<int64_t>(r));
  }
  return rows;
}

// A matrix of columns that are given one by one.
class Columns {
 public:
  explicit Columns(int64_t rows) : rows_(rows) {}
  void add(const std::string& name, const Numbers& values) { names_.push_back(name), columns_.push_back(values); }
  void add(const std::string& name, const std::vector<int64_t>& values) { add(name, Numbers(values.begin(), values.end())); }
  void give(FairTable& table) const {
    Tensor x = empty({rows_, static_cast<int64_t>(columns_.size())}, f32);
    float* out = x.data<float>();
    for (size_t r = 0; r < static_cast<size_t>(rows_); ++r)
      for (const Numbers& c : columns_) *out++ = static_cast<float>(c[r]);
    table.x = x, table.feature_names = names_;
  }

 private:
  int64_t rows_;
  std::vector<std::string> names_;
  std::vector<Numbers> columns_;
};

Numbers mapped(const Numbers& values, double (*f)(double)) {
  Numbers out(values.size());
  std::ranges::transform(values, out.begin(), f);
  return out;
}

// What an encoder makes of these columns, from all rows; scaled anew when the table is split.
void encode(FairTable& table, const CsvTable& csv, const std::vector<std::string>& columns) {
  std::vector<int64_t> all;
  for (int64_t r = 0; r < csv.rows; ++r) all.push_back(r);
  auto encoder = data::TableEncoder::fit(csv, columns, all);
  table.x = encoder(csv), table.feature_names = encoder.input_names();
}

FairPart part_of(const FairTable& table, const Tensor& places, const Tensor& mean, const Tensor& deviation) {
  FairPart part;
  part.x = (index_select(table.x, 0, places) - mean) / deviation;
  part.y = to(index_select(table.y, 0, places), f32);
  part.a = index_select(table.a, 0, places);
  if (table.amount.defined()) part.amount = index_select(table.amount, 0, places);
  return part;
}

}  // namespace

FairTable compas_table(bool sex) {
  NoGrad off;
  CsvTable all = load_csv(path_of("compas", "compas-scores-two-years.csv")), csv = data::select_rows(all, compas_rows(all));
  FairTable table{.name = sex ? "COMPAS by sex" : "COMPAS"};
  std::vector<int64_t> black = is_one_of(csv["race"], {"African-American"}), male = is_one_of(csv["sex"], {"Male"});
  Columns columns(csv.rows);
  columns.add("age", csv["age"].values);
  columns.add("age²", mapped(csv["age"].values, [](double v) { return v * v; }));
  columns.add("log(1 + priors)", mapped(csv["priors_count"].values, [](double v) { return std::log1p(v); }));
  columns.add("felony", is_one_of(csv["c_charge_degree"], {"F"}));
  columns.add(sex ? "African-American" : "male", sex ? black : male);
  for (const char* juvenile : {"juv_fel_count", "juv_misd_count", "juv_other_count"})
    columns.add(juvenile, mapped(csv[juvenile].values, [](double v) { return v > 0 ? 1.0 : 0.0; }));
  columns.give(table);
  table.y = to(from_vector(csv["two_year_recid"].values), i64);
  table.a = from_vector(sex ? male : black);
  table.group_names = sex ? std::vector<std::string>{"women", "men"} : std::vector<std::string>{"Caucasian", "African-American"};
  Numbers days;
  for (size_t r = 0; r < static_cast<size_t>(csv.rows); ++r)
    days.push_back(std::max(0.0, days_of(text_at(csv["c_jail_out"], r)) - days_of(text_at(csv["c_jail_in"], r))));
  table.amount = from_vector(days);
  return table;
}

FairTable adult_table(bool race) {
  NoGrad off;
  CsvTable csv = load_csv(path_of("adult", "adult-train.csv"), without_header());
  FairTable table{.name = race ? "Adult by race" : "Adult"};
  // age, workclass, education in years, occupation, capital gain and loss, hours; and the sex where it is not the group
  std::vector<std::string> columns{"0", "1", "4", "6", "10", "11", "12"};
  if (race) columns.push_back("9");
  encode(table, csv, columns);
  table.y = from_vector(is_one_of(csv["14"], {">50K"}));
  table.a = from_vector(race ? is_one_of(csv["8"], {"White"}) : is_one_of(csv["9"], {"Male"}));
  table.group_names = race ? std::vector<std::string>{"others", "White"} : std::vector<std::string>{"women", "men"};
  return table;
}

FairTable german_table() {
  NoGrad off;
  CsvTable csv = load_csv(path_of("german", "german.csv"), without_header());
  FairTable table{.name = "German credit"};
  std::vector<std::string> columns;
  for (size_t c = 0; c + 1 < csv.columns.size(); ++c)
    if (c != 8) columns.push_back(csv.columns[c].name);  // A9: personal status and sex
  encode(table, csv, columns);
  table.y = to(from_vector(csv.columns.back().values) == 1, i64);
  table.a = from_vector(is_one_of(csv["8"], {"A91", "A93", "A94"}));
  table.group_names = {"women", "men"};
  return table;
}

bool has_fair_tables() {
  for (const char* file : {"compas-scores-two-years.csv", "adult-train.csv", "german.csv"})
    if (data::find_optional_data_file(data::data_directory(), "uci", file).empty()) return false;
  return true;
}

FairTable generated_fair_table(int64_t rows, Generator& g) {
  NoGrad off;
  FairTable table{.name = "generated", .real = false};
  constexpr int64_t kFeatures = 8;
  const double weight[kFeatures] = {0.9, -0.7, 0.5, 0.4, 0.3, -0.3, 0.2, 0.1};
  auto normal = [&] {  // Irwin and Hall's sum of twelve, which needs no logarithm
    double total = -6;
    for (int k = 0; k < 12; ++k) total += g.next_double();
    return total;
  };
  Numbers x, amount;
  std::vector<int64_t> y, a;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t group = g.next_below(2) == 1;
    double score = group == 1 ? 0.1 : -0.1, row[kFeatures];
    for (int64_t k = 0; k < kFeatures; ++k) {
      double shift = k < 2 ? (k == 0 ? 0.4 : -0.3) * (group == 1 ? 0.5 : -0.5) : 0;  // two proxies
      row[k] = k == 7 ? static_cast<double>(g.next_below(2)) : normal() + shift;
      score += weight[k] * row[k];
    }
    score += 0.5 * row[0] * row[2] - 0.3 * (row[1] * row[1] - 1) - 0.2;
    x.insert(x.end(), row, row + kFeatures);
    y.push_back(g.next_double() < 1 / (1 + std::exp(-score)));
    a.push_back(group);
    amount.push_back(std::exp(1 + 0.6 * score + 0.6 * normal()));
  }
  table.x = to(from_vector(x, {rows, kFeatures}), f32);
  table.y = from_vector(y), table.a = from_vector(a), table.amount = from_vector(amount);
  for (int64_t k = 0; k < kFeatures; ++k) table.feature_names.push_back("x" + std::to_string(k));
  table.group_names = {"group 0", "group 1"};
  return table;
}

FairTable fair_table(const std::string& name, Generator& generator) {
  bool there = has_fair_tables();
  int64_t rows = 0;
  if (name == "COMPAS")
    rows = 5278;
  else if (name == "Adult")
    rows = 8000;
  else if (name == "German credit")
    rows = 1000;
  else
    throw ValueError("fair_table: there is no table \"" + name + "\"; there are COMPAS, Adult and German credit");
  if (!there) {
    FairTable made = generated_fair_table(rows, generator);
    made.name = name;
    return made;
  }
  return name == "COMPAS" ? compas_table() : name == "Adult" ? adult_table() : german_table();
}

FairSplit split_fair_table(const FairTable& table, int64_t train, int64_t validation, Generator& g, int64_t most_test) {
  NoGrad off;
  if (train < 2 || validation < 0 || train + validation >= table.rows())
    throw ValueError("fair_table: " + table.name + " has " + std::to_string(table.rows()) + " rows; " + std::to_string(train) +
                     " to train on and " + std::to_string(validation) + " to validate leave none to test");
  Tensor order = from_vector(data::random_order(table.rows(), g));
  int64_t last = most_test > 0 ? std::min(table.rows(), train + validation + most_test) : table.rows();
  Tensor learned = slice(order, 0, 0, train), seen = index_select(table.x, 0, learned);
  Tensor centre = mean(seen, {0}), deviation = std_dev(seen, {0}, 0);
  deviation = where(deviation > 1e-6, deviation, 1.0);
  return {part_of(table, learned, centre, deviation), part_of(table, slice(order, 0, train, train + validation), centre, deviation),
          part_of(table, slice(order, 0, train + validation, last), centre, deviation)};
}

}  // namespace plumb::methods
