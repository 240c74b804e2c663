// CSV tables.
#include "engine/io/csv.h"

#include <cmath>

#include "engine/io/file.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;

namespace {

using Texts = std::vector<std::string>;
using Numbers = std::vector<double>;

CsvTable table(const Scratch& scratch, const std::string& text, const CsvOptions& options = {}) {
  return load_csv(scratch.put("a.csv", text), options);
}

// What is thrown for the file a.csv, without its path.
template <typename F>
std::string thrown_for_file(const Scratch& scratch, F&& f) {
  std::string message = io_error(f), start = "csv: " + scratch.path("a.csv") + ": ";
  return message.starts_with(start) ? message.substr(start.size()) : message;
}
std::string error_of(const Scratch& scratch, const std::string& text, const CsvOptions& options = {}) {
  return thrown_for_file(scratch, [&] { table(scratch, text, options); });
}

}  // namespace

TEST_CASE("csv: columns of numbers and of categories, with and without a header") {
  Scratch scratch;
  CsvTable t = table(scratch, "age,city,score\n31,Rome,1.5\n45,Oslo,-2e3\n27,Rome,+.5\n");
  CHECK(t.rows == 3);
  REQUIRE(t.columns.size() == 3);
  CHECK(t["age"].values == Numbers{31, 45, 27});
  CHECK_FALSE(t["age"].categorical);
  CHECK(t["city"].categorical);
  CHECK(t["city"].categories == Texts{"Oslo", "Rome"});
  CHECK(t["city"].values == Numbers{1, 0, 1});
  CHECK(t["score"].values == Numbers{1.5, -2000, 0.5});
  CsvTable plain = table(scratch, "31,Rome\n45,Oslo\n");
  CHECK(plain.rows == 2);
  CHECK(plain.columns[0].name == "0");
  CHECK(plain["1"].categories == Texts{"Oslo", "Rome"});
  CHECK_THROWS_WITH_AS(t["name"], "csv: there is no column \"name\"; there are \"age\", \"city\", \"score\"", IndexError);
}

TEST_CASE("csv: the first line is a header only if that is plain, or said") {
  Scratch scratch;
  CHECK(table(scratch, "a,b\nc,d\n").rows == 2);  // words over words: a row
  CHECK(table(scratch, "a,b\nc,d\n", {.header = CsvOptions::Header::present}).rows == 1);
  CHECK(table(scratch, "a,b\n1,d\n", {.header = CsvOptions::Header::absent}).rows == 2);
  CHECK(table(scratch, "a,?\n1,2\n").rows == 2);
  CsvTable twice = table(scratch, "x,x,y,x\n1,2,3,4\n");
  CHECK(twice["x.1"].values == Numbers{2});
  CHECK(twice["x.2"].values == Numbers{4});
}

TEST_CASE("csv: missing fields are NaN in both kinds of columns") {
  Scratch scratch;
  CsvTable t = table(scratch, "1, ?,a,NA\n,2,?,\n3 ,NaN , b,?\n");
  CHECK(t.columns[0].values[0] == 1);
  CHECK(std::isnan(t.columns[0].values[1]));
  CHECK(t.columns[0].values[2] == 3);
  CHECK(std::isnan(t.columns[1].values[0]));
  CHECK(std::isnan(t.columns[1].values[2]));
  CHECK(t.columns[2].categories == Texts{"a", "b"});
  CHECK(std::isnan(t.columns[2].values[1]));
  CHECK_FALSE(t.columns[3].categorical);
  CHECK(std::isnan(t.columns[3].values[1]));
  CHECK(table(scratch, "1\n-9\n", {.missing = {"-9"}}).columns[0].values[0] == 1);
  CHECK(std::isnan(table(scratch, "1\n-9\n", {.missing = {"-9"}}).columns[0].values[1]));
}

TEST_CASE("csv: quotes, line ends, blanks, empty lines and other delimiters") {
  Scratch scratch;
  CsvTable t = table(scratch,
                     "\xef\xbb\xbf"
                     "1,\"a, \"\"b\"\"\"\r\n\r\n2, \"two\nlines\" \r\n\n3,it\"s\r\n");
  CHECK(t.rows == 3);
  CHECK(t.columns[1].categories == Texts{"a, \"b\"", "it\"s", "two\nlines"});
  CHECK(t.columns[0].values == Numbers{1, 2, 3});
  CsvTable tabs = table(scratch, "1\t\t3\n4\t5\t6", {.delimiter = '\t'});
  CHECK(tabs.columns.size() == 3);
  CHECK(std::isnan(tabs.columns[1].values[0]));
  CHECK(table(scratch, "1;2\n", {.delimiter = ';'}).columns.size() == 2);
  CsvTable quoted = table(scratch, "a\n\"\"\n\nb\n", {.header = CsvOptions::Header::absent});
  CHECK(quoted.rows == 3);  // an empty field in quotes is a row, an empty line none
  CHECK(table(scratch, "1\n+-5\n").columns[0].categories == Texts{"+-5", "1"});  // two signs are no number
  CHECK(load_csv(scratch.put("a.csv.gz", gzip("1,2\n"))).columns[1].values == Numbers{2});
}

TEST_CASE("csv: kinds can be demanded, fields renamed") {
  Scratch scratch;
  CHECK(table(scratch, "10,a\n9,b\n", {.categorical = {"0"}})["0"].categories == Texts{"10", "9"});
  CHECK(error_of(scratch, "x,y\n1,2\n3,four\n", {.numeric = {"y"}}) == "line 3 column \"y\": \"four\" is no number");
  CHECK(table(scratch, "1,<=50K.\n2,>50K\n", {.rename = {{"<=50K.", "<=50K"}}})["1"].categories == Texts{"<=50K", ">50K"});
  CHECK_THROWS_WITH_AS(table(scratch, "1,2\n", {.numeric = {"z"}}), "csv: there is no column \"z\"; there are \"0\", \"1\"", IndexError);
}

TEST_CASE("csv: a second table follows the first one's kinds and categories") {
  Scratch scratch;
  CsvTable train = table(scratch, "n,c\n1,b\n2,a\n3,c\n");
  CHECK(load_csv(scratch.put("a.csv", "n,c\n5,c\n,?\n"), train)["c"].values[0] == 2);
  auto like_error = [&](const std::string& text) { return thrown_for_file(scratch, [&] { load_csv(scratch.put("a.csv", text), train); }); };
  CHECK(like_error("n,c\n5,d\n") == "line 2 column \"c\": the category \"d\" is not in the first table, which has \"a\", \"b\", \"c\"");
  CHECK(like_error("n,c\nfive,a\n5,b\n") == "line 1 column \"0\": \"n\" is no number");
  CHECK(like_error("n,d\n5,a\n") == "column 1 is called \"d\", in the first table \"c\"");
  CHECK(like_error("1,a,2\n") == "has 3 columns, the first table 2");
}

TEST_CASE("csv: tensors of all or chosen columns") {
  Scratch scratch;
  CsvTable t = table(scratch, "1,b,3\n4,a,6\n");
  CHECK(plumb_test::values_of(t.tensor()) == Numbers{1, 1, 3, 4, 0, 6});
  Tensor chosen = t.tensor({"2", "0"}, f64);
  CHECK(chosen.shape() == Shape{2, 2});
  CHECK(chosen.dtype() == f64);
  CHECK(plumb_test::values_of(chosen) == Numbers{3, 1, 6, 4});
  CHECK_THROWS_AS(t.tensor(i64), DTypeError);
}

TEST_CASE("csv: broken tables are refused with the line") {
  Scratch scratch;
  std::string missing = scratch.path("missing"), none = scratch.put("none", "");
  CHECK(io_error([&] { load_csv(missing); }) == "read: " + missing + ": no such file; check the path");
  CHECK(io_error([&] { load_csv(none); }) == "read: " + none + ": is empty; was its download or copy cut off?");
  CHECK(error_of(scratch, "\n\n") == "has no rows");
  CHECK(error_of(scratch, "a,b\n", {.header = CsvOptions::Header::present}) == "has a header but no rows");
  CHECK(error_of(scratch, "1,2\n\n3,4\n5\n") == "line 4 has 1 fields, line 1 has 2");
  CHECK(error_of(scratch, "1,\"a\nb\"\n2,3,4\n") == "line 3 has 3 fields, line 1 has 2");
  CHECK(error_of(scratch, "1,2\n3,\"four\n5,6\n") == "line 2 opens a quote that is never closed");
  CHECK(error_of(scratch, "1,\"a\"b\n") == "line 1 has text after a closing quote");
  auto read = [](const std::string& p) { load_csv(p); };
  CHECK(plumb_test::refused_when_damaged(scratch, "a,\"b\",c\n1,x,\"3\"\n4,\"y\"\"z\",6\n7,?,9\n", read) > 30);
}

TEST_CASE("csv: published tables are read") {
  const char* data = std::getenv("PLUMB_DATA");
  if (!data) {
    MESSAGE("skipped: PLUMB_DATA names no directory of data sets");
    return;
  }
  std::string root = data;
  CsvTable train = load_csv(root + "/uci/adult-train.csv.gz");
  CHECK(train.rows == 32561);
  CHECK(train.columns.size() == 15);
  CHECK(train["9"].categories == Texts{"Female", "Male"});
  CHECK(std::count_if(train["1"].values.begin(), train["1"].values.end(), [](double v) { return std::isnan(v); }) == 1836);
  CsvTable test = load_csv(root + "/uci/adult-test.csv.gz", train, {.rename = {{"<=50K.", "<=50K"}, {">50K.", ">50K"}}});
  CHECK(test.rows == 16281);
  CsvTable compas = load_csv(root + "/uci/compas-scores-two-years.csv.gz");
  CHECK(compas.rows == 7214);
  CHECK(compas["race"].categories.size() == 6);
  CHECK(compas["two_year_recid"].values.size() == 7214);
  CHECK(load_csv(root + "/timeseries/pollution.csv.gz")["pm2.5"].categorical == false);
  CHECK(load_csv(root + "/timeseries/monthly-sunspots.csv")["Sunspots"].values[0] == 58.0);
  CHECK(load_csv(root + "/uci/digits.csv.gz").tensor().shape() == Shape{1797, 65});
}

TEST_CASE("csv: a header whose first name is empty, as pandas writes row numbers") {
  Scratch s;
  CsvTable table = load_csv(s.put("p.csv", ",a,b\n0,1.5,x\n1,2.5,y\n"));
  CHECK(table.rows == 2);
  CHECK(table.columns[1].name == "a");
}
