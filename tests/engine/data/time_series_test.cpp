// Published sets of series and long series by name, and columns of CSV files: what is read, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/data/time_series.h"
#include "tests/scratch.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

const char* kHead = "# a comment\n@problemName Steps\n@timeStamps false\n@classLabel true up down\n@data\n";

std::string problem_of(auto&& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("time series: the two parts of a set, missing ones, and parts that differ") {
  Scratch scratch;
  std::string directory = scratch.path();
  CHECK_FALSE(data::find_ts_set("Steps", directory).has_value());
  std::string missing = problem_of([&] { data::ts_set("Steps", directory); });
  CHECK_MESSAGE(missing.find("timeseries/Steps_TRAIN.ts is missing") != std::string::npos, missing);
  CHECK_MESSAGE(missing.find("plumb data fetch series_sets") != std::string::npos, missing);
  scratch.put("timeseries/Steps_TRAIN.ts", std::string(kHead) + "1,2:up\n");
  scratch.put("timeseries/Steps_TEST.ts", std::string(kHead) + "1,2,3:down\n3,2,1:up\n");
  data::SeriesSetParts parts = data::ts_set("Steps", directory);
  CHECK(parts.train.size() == 1);
  CHECK(parts.test.size() == 2);
  scratch.put("timeseries/Steps_TEST.ts", std::string(kHead) + "1,2:3,4:down\n");
  CHECK(problem_of([&] { data::ts_set("Steps", directory); }).find("has other channels or classes than") != std::string::npos);
}

TEST_CASE("time series: a column of a CSV file, by name or the last of numbers") {
  Scratch scratch;
  std::string path = scratch.put("t.csv", "day,temp,wind,note\n2020-01-01,1.5,3,a\n2020-01-02,NA,4,b\n2020-01-03,2.5,5,c\n");
  data::LongSeries temp = data::csv_series(path, "temp");
  CHECK(temp.name == "temp");
  CHECK(temp.size() == 3);
  CHECK(temp.missing() == 1);
  CHECK(temp.values[2] == 2.5);
  CHECK(data::csv_series(path).name == "wind");
  CHECK_THROWS_WITH_AS(data::csv_series(path, "rain"),
                       ("series: " + path + ": there is no column \"rain\"; there are \"day\", \"temp\", \"wind\", \"note\"").c_str(),
                       IoError);
  CHECK_THROWS_WITH_AS(data::csv_series(path, "note"), ("series: " + path + ": column \"note\" is not of numbers: it has \"a\"").c_str(),
                       IoError);
}

TEST_CASE("time series: a column without a value, and a file without a column of numbers, are refused") {
  Scratch scratch;
  // No line but the header tells that the first line is one.
  std::string empty = scratch.put("e.csv", "day,temp\n2020-01-01,NA\n2020-01-02,\n");
  CHECK_THROWS_WITH_AS(data::csv_series(empty, "temp"), ("series: " + empty + ": all values of column \"temp\" are missing").c_str(),
                       IoError);
  std::string texts = scratch.put("x.csv", "day,kind\n2020-01-01,a\n2020-01-02,b\n");
  CHECK(problem_of([&] { data::csv_series(texts); }).find("has no column of numbers; there are") != std::string::npos);
}

TEST_CASE("time series: published series by name") {
  Scratch scratch;
  std::string directory = scratch.path();
  CHECK_FALSE(data::find_published_series("monthly-sunspots", directory).has_value());
  scratch.put("timeseries/monthly-sunspots.csv", "\"Month\",\"Sunspots\"\n\"1749-01\",58.0\n\"1749-02\",62.6");
  CHECK(data::published_series("monthly-sunspots", directory).values == std::vector<double>{58, 62.6});
  CHECK_THROWS_WITH_AS(data::published_series("rain", directory),
                       "published_series: \"rain\" is unknown; there are daily-min-temperatures, daily-max-temperatures, monthly-sunspots, "
                       "airline-passengers, pollution",
                       ValueError);
  CHECK_THROWS_AS(data::published_series("pollution", directory), IoError);
}

TEST_CASE("time series: the published files, where they are") {
  if (!std::getenv("PLUMB_DATA") || !data::find_published_series("pollution")) {
    MESSAGE("skipped: no series in PLUMB_DATA");
    return;
  }
  CHECK(data::published_series("daily-min-temperatures").size() == 3650);
  CHECK(data::published_series("monthly-sunspots").size() == 2820);
  data::LongSeries pollution = data::published_series("pollution");
  CHECK(pollution.size() == 43824);
  CHECK(pollution.missing() == 2067);
  CHECK(pollution.values[24] == 129);
  data::SeriesSetParts motions = data::ts_set("BasicMotions"), vowels = data::ts_set("JapaneseVowels");
  CHECK(motions.train.stacked().shape() == Shape{40, 6, 100});
  CHECK(motions.train.class_names == std::vector<std::string>{"Standing", "Running", "Walking", "Badminton"});
  CHECK(motions.train.labels[39] == 3);
  CHECK(vowels.train.size() == 270);
  CHECK(vowels.test.size() == 370);
  CHECK(vowels.train.channels() == 12);
  CHECK(vowels.train.series[0].size(1) == 20);
  CHECK(data::ts_set("GunPoint").test.stacked().shape() == Shape{150, 1, 150});
}
