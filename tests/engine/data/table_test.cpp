// CSV tables as data sets: features, targets, second parts, scaling, and their errors.
#include "engine/data/table.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "engine/data/files.h"
#include "engine/io/file.h"

using namespace plumb;
using data::Table;
using data::TargetKind;

namespace {

struct File {
  File(const std::string& name, const std::string& content)
      : path((std::filesystem::temp_directory_path() / ("plumb_table_" + name)).string()) {
    write_file_atomic(path, content);
  }
  ~File() { std::filesystem::remove(path); }
  std::string path;
};

const char* kPeople =
    "age,job,sex,income\n"
    "30,clerk,F,low\n"
    "40,baker,M,high\n"
    "50,?,F,high\n";

}  // namespace

TEST_CASE("csv_table: a categorical target gives labels, categories are places") {
  File f("people.csv", kPeople);
  Table t = data::csv_table(f.path);
  CHECK(t.feature_names == std::vector<std::string>{"age", "job", "sex"});
  CHECK(t.class_names == std::vector<std::string>{"high", "low"});
  CHECK(t.data.labels() == std::vector<int64_t>{1, 0, 0});
  CHECK(to_vector(t.data[0].features) == std::vector<double>{30, 1, 0});
  CHECK(std::isnan(to_vector(t.data[2].features)[1]));
  CHECK(t.data.source_hashes()[0].path == f.path);
  CHECK(t.csv["sex"].categories == std::vector<std::string>{"F", "M"});
}

TEST_CASE("csv_table: one-hot features, chosen columns and another target") {
  File f("people.csv", kPeople);
  Table t = data::csv_table(f.path, {.target = "age", .features = {"job", "income"}, .one_hot = true});
  CHECK(t.feature_names == std::vector<std::string>{"job=baker", "job=clerk", "income=high", "income=low"});
  CHECK(to_vector(t.data[0].features) == std::vector<double>{0, 1, 0, 1});
  CHECK(to_vector(t.data[2].features) == std::vector<double>{0, 0, 1, 0});  // a missing category is none of them
  CHECK(t.class_names.empty());
  CHECK(t.data[1].target.item() == 40);
  CHECK(t.data[1].target.dtype() == f32);
}

TEST_CASE("csv_table: numbers as classes are ordered as numbers") {
  File f("rings.csv", "1.5,10\n2.5,9\n3.5,10\n4.5,2\n");
  Table t = data::csv_table(f.path, {.kind = TargetKind::classes});
  CHECK(t.class_names == std::vector<std::string>{"2", "9", "10"});
  CHECK(t.data.labels() == std::vector<int64_t>{2, 1, 2, 0});
  CHECK(data::csv_table(f.path).data[0].target.item() == 10);
}

TEST_CASE("csv_table: a second part has the categories and classes of the first") {
  File train("train.csv", kPeople), test("test.csv", "age,job,sex,income\n20,clerk,M,low\n");
  Table first = data::csv_table(train.path), second = data::csv_table(test.path, first);
  CHECK(to_vector(second.data[0].features) == std::vector<double>{20, 1, 1});
  CHECK(second.data.labels() == std::vector<int64_t>{1});
  File rings("rings.csv", "1,3\n2,4\n"), more("more.csv", "1,5\n2,3\n");
  Table base = data::csv_table(rings.path, {.kind = TargetKind::classes});
  CHECK_THROWS_WITH_AS(data::csv_table(more.path, base, {.kind = TargetKind::classes}),
                       ("table: " + more.path + ": example 0 is of class \"5\", which the first part lacks").c_str(), IoError);
}

TEST_CASE("csv_table: what cannot be is refused") {
  File f("people.csv", kPeople), gap("gap.csv", "a,b\n1,2\n3,?\n"), words("words.csv", "a,b\n1,x\n2,y\n"), one("one.csv", "a\n1\n2\n");
  CHECK_THROWS_WITH_AS(data::csv_table(gap.path), ("table: " + gap.path + ": example 1 has no target \"b\"").c_str(), IoError);
  CHECK_THROWS_WITH_AS(data::csv_table(words.path, {.kind = TargetKind::number}),
                       ("table: " + words.path + ": the target \"b\" is not a number: \"x\"").c_str(), IoError);
  CHECK_THROWS_WITH_AS(data::csv_table(f.path, {.features = {"age", "income"}}), "table: the target \"income\" is among the features",
                       IndexError);
  CHECK_THROWS_WITH_AS(data::csv_table(one.path), "table: there is no column but the target \"a\"", IndexError);
  CHECK_THROWS_AS(data::csv_table(f.path, {.target = "wealth"}), IndexError);
  CHECK_THROWS_AS(data::csv_table("no/such.csv"), IoError);
}

TEST_CASE("feature scaling: mean 0, deviation 1, missing values at the mean, and the same for another part") {
  float nan = std::nanf("");
  data::Dataset d = data::from_tensors(
      {{"features", from_vector(std::vector<float>{1, 5, 7, 3, 5, nan, 5, 5, 9}, {3, 3})}, {"label", tensor({0, 1, 0})}});
  data::FeatureScaling s = data::feature_scaling(d);
  CHECK(s.mean == std::vector<double>{3, 5, 8});
  CHECK(s.deviation[0] == doctest::Approx(std::sqrt(8.0 / 3)));
  CHECK(s.deviation[1] == 1);
  CHECK(s.deviation[2] == 1);
  data::Dataset scaled = data::scale_features(d, s);
  CHECK(to_vector(scaled[1].features) == std::vector<double>{0, 0, 0});
  CHECK(to_vector(scaled[2].features)[0] == doctest::Approx(2 / std::sqrt(8.0 / 3)));
  CHECK(scaled.labels() == std::vector<int64_t>{0, 1, 0});
  CHECK(to_vector(data::scale_features(d.take(1), s)[0].features)[2] == -1);
  CHECK(data::scale_features(d.take(0), s).size() == 0);
  CHECK_THROWS_WITH_AS(data::feature_scaling(d.take(0)), "feature_scaling: the data set is empty", ValueError);
  s.mean.pop_back();
  CHECK_THROWS_WITH_AS(data::scale_features(d, s), "scale_features: features [3, 3] for a scaling of 2", ShapeError);
}

TEST_CASE("real tables: wine and adult") {
  const char* directory = std::getenv("PLUMB_DATA");
  if (!directory || data::find_optional_data_file(directory, "uci", "wine.csv").empty() ||
      data::find_optional_data_file(directory, "uci", "adult-train.csv").empty()) {
    MESSAGE("skipped: PLUMB_DATA names no directory with uci/wine.csv and uci/adult-train.csv");
    return;
  }
  Table wine = data::csv_table(data::find_data_file("wine", directory, "uci", "wine.csv"), {.kind = TargetKind::classes});
  CHECK(wine.data.size() == 178);
  CHECK(wine.feature_names.size() == 13);
  CHECK(wine.class_names == std::vector<std::string>{"1", "2", "3"});

  CsvOptions names_of_test{.rename = {{"<=50K.", "<=50K"}, {">50K.", ">50K"}}};
  Table adult = data::csv_table(data::find_data_file("adult", directory, "uci", "adult-train.csv"));
  Table test = data::csv_table(data::find_data_file("adult", directory, "uci", "adult-test.csv"), adult, {.csv = names_of_test});
  CHECK(adult.data.size() == 32561);
  CHECK(test.data.size() == 16281);
  CHECK(test.class_names == std::vector<std::string>{"<=50K", ">50K"});
}
