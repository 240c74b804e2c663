// Sets of series in .ts files and long series in CSV files: what is read, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/data/time_series.h"
#include "engine/io/file.h"
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

TEST_CASE("time series: a .ts file with channels, lengths that differ, gaps and classes") {
  Scratch scratch;
  std::string path = scratch.put("s.ts", std::string(kHead) + "1, 2,3.5:-1,?,0:down\n\n4,5:6,NaN:up\r\n");
  data::SeriesSet set = data::load_ts(path);
  CHECK(set.name == "Steps");
  CHECK(set.class_names == std::vector<std::string>{"up", "down"});
  CHECK(set.labels == std::vector<int64_t>{1, 0});
  CHECK(set.size() == 2);
  CHECK(set.channels() == 2);
  CHECK(set.lengths() == std::vector<int64_t>{3, 2});
  CHECK(set.series[0].shape() == Shape{2, 3});
  std::vector<double> first = to_vector(set.series[0]);
  CHECK(first[2] == 3.5);
  CHECK(first[3] == -1);
  CHECK(std::isnan(first[4]));
  Tensor all = set.stacked(-9);
  CHECK(all.shape() == Shape{2, 2, 3});
  std::vector<double> numbers = to_vector(all);  // the second series from place 6 on
  CHECK(numbers[6] == 4);
  CHECK(numbers[8] == -9);
  CHECK(numbers[9] == 6);
  CHECK(std::isnan(numbers[10]));
  scratch.put("s_gz.ts.gz", gzip(read_file(path)));
  CHECK(data::load_ts(scratch.path("s_gz.ts.gz")).labels == set.labels);
}

TEST_CASE("time series: a .ts file that does not fit is named with its line") {
  Scratch scratch;
  auto problem = [&](const std::string& text) {
    std::string path = scratch.put("bad.ts", text), message = problem_of([&] { data::load_ts(path); });
    size_t at = message.find("bad.ts: ");
    return at == std::string::npos ? message : message.substr(at + 8);
  };
  CHECK(problem(std::string(kHead) + "1,x:up\n") == "line 6 has \"x\" where a number is due");
  CHECK(problem(std::string(kHead) + "1,2:3:up\n") == "line 6 has channels of 2 and of 1 values");
  CHECK(problem(std::string(kHead) + "1,2:up\n1:2:up\n") == "line 7 has 2 channels, the first series 1");
  CHECK(problem(std::string(kHead) + "1,2:left\n") == "line 6 is of class \"left\", which @classLabel does not name");
  CHECK(problem(std::string(kHead) + "up\n") == "line 6 has a class but no values");
  CHECK(problem(kHead) == "has no series after @data");
  CHECK(problem("@timeStamps true\n@data\n") == "line 1 says that values have time stamps, which are not read");
  CHECK(problem("@classLabel true\n@data\n") == "line 1 names no class");
  CHECK(problem("1,2\n") == "line 1 is neither a comment nor begins with @, before @data");
  CHECK(problem("@problemName x\n") == "has no @data");
}

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
                       ("series: " + path + ": there is no column \"rain\"; there are day, temp, wind, note").c_str(), IoError);
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
