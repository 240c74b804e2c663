// Inputs from columns: numbers, texts, missing and unknown values, storage, and what cannot be read.
#include "engine/data/table_encoder.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/scratch.h"

using namespace plumb;
using data::EncodedColumn;
using data::TableEncoder;

namespace {

const char* kPeople =
    "age,job,sex,income\n"
    "30,clerk,F,low\n"
    "40,baker,M,high\n"
    "50,?,F,high\n"
    ",clerk,M,low\n";

using Numbers = std::vector<float>;
Numbers row(const Tensor& x, int64_t i) {
  const float* from = x.data<float>() + i * x.size(1);
  return {from, from + x.size(1)};
}

}  // namespace

TEST_CASE("table_encoder: numbers are scaled, texts are one of many, and missing values have an input of their own") {
  plumb_test::Scratch scratch;
  CsvTable table = load_csv(scratch.put("people.csv", kPeople));
  TableEncoder encoder = TableEncoder::fit(table, {"age", "job", "sex"}, {0, 1, 2, 3});
  CHECK(encoder.input_names() == std::vector<std::string>{"age", "age missing", "job=baker", "job=clerk", "job missing", "sex=F", "sex=M"});
  CHECK(encoder.width() == 7);
  CHECK(encoder.inputs_of("job") == std::vector<int64_t>{2, 3, 4});
  CHECK(encoder.inputs_of("income").empty());
  Tensor x = encoder(table);
  float d = static_cast<float>(10 / std::sqrt(200.0 / 3));  // of 30, 40 and 50
  CHECK(row(x, 0) == Numbers{-d, 0, 0, 1, 0, 1, 0});
  CHECK(row(x, 1) == Numbers{0, 0, 1, 0, 0, 0, 1});
  CHECK(row(x, 2) == Numbers{d, 0, 0, 0, 1, 1, 0});
  CHECK(row(x, 3) == Numbers{0, 1, 0, 1, 0, 0, 1});
}

TEST_CASE("table_encoder: what is learned comes from the given rows alone, and a stored encoder reads another table alike") {
  plumb_test::Scratch scratch;
  CsvTable table = load_csv(scratch.put("people.csv", kPeople));
  TableEncoder encoder = TableEncoder::fit(table, {"age", "job"}, {0, 1});
  CHECK(encoder.input_names() == std::vector<std::string>{"age", "job=baker", "job=clerk"});
  CHECK(row(encoder(table), 2) == Numbers{3, 0, 0});  // mean 35, deviation 5; the job is missing
  std::vector<EncodedColumn> stored;
  for (const EncodedColumn& c : encoder.columns()) stored.push_back(EncodedColumn::from_json(c.to_json()));
  TableEncoder again(stored);
  CsvTable other = load_csv(scratch.put("other.csv", "job,age,extra\npilot,35,x\n7,30,x\n"), again.options());
  Tensor x = again(other);
  CHECK(row(x, 0) == Numbers{0, 0, 0});  // a job that was not seen is none
  CHECK(row(x, 1) == Numbers{-1, 0, 0});
}

TEST_CASE("table_encoder: some rows of a table, in any order") {
  plumb_test::Scratch scratch;
  CsvTable table = load_csv(scratch.put("people.csv", kPeople));
  CsvTable part = data::select_rows(table, {2, 0, 2});
  CHECK(part.rows == 3);
  CHECK(part["age"].values == std::vector<double>{50, 30, 50});
  CHECK(part["job"].categories == table["job"].categories);
  CHECK(std::isnan(part["job"].values[2]));
  CHECK_THROWS_WITH_AS(data::select_rows(table, {4}), "select_rows: row 4 is outside [0, 4)", IndexError);
}

TEST_CASE("table_encoder: what cannot be is refused") {
  plumb_test::Scratch scratch;
  CsvTable table = load_csv(scratch.put("people.csv", kPeople));
  CHECK_THROWS_WITH_AS(TableEncoder::fit(table, {"wage"}, {0}),
                       "csv: there is no column \"wage\"; there are \"age\", \"job\", \"sex\", \"income\"", IndexError);
  CHECK_THROWS_WITH_AS(TableEncoder::fit(table, {"age"}, {3}), "table: column \"age\" has no values: all 1 rows are missing", ValueError);
  CHECK_THROWS_WITH_AS(TableEncoder::fit(table, {}, {3}), "table: needs columns and rows to learn from", ValueError);
  TableEncoder encoder = TableEncoder::fit(table, {"age"}, {0, 1});
  CsvTable words = load_csv(scratch.put("words.csv", "age,x\nold,1\nyoung,2\n"));
  CHECK_THROWS_WITH_AS(encoder(words), "table: column \"age\" holds texts, it was numbers", ValueError);
  CHECK_THROWS_AS(load_csv(scratch.path("words.csv"), encoder.options()), IoError);
}
