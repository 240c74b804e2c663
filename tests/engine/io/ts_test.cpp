// .ts files: channels, lengths, missing values, classes and targets, broken files.
#include "engine/io/ts.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "ops/create.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;
using plumb_test::values_of;

namespace {

const std::string kTwoChannels =
    "# made up\n@problemName Waves\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2\n@equalLength false\n"
    "@classLabel true up down\n@data\n1,2,3:4,?,6:down\r\n-1.5e1,0:2,2:up\n";

std::string error_of(const Scratch& scratch, const std::string& text) {
  std::string path = scratch.put("a.ts", text), message = io_error([&] { load_ts(path); });
  return message.starts_with("ts: " + path + ": ") ? message.substr(path.size() + 6) : message;
}

}  // namespace

TEST_CASE("ts: channels, lengths that differ, missing values, classes") {
  Scratch scratch;
  std::string path = scratch.put("a.ts", kTwoChannels);
  SeriesSet set = load_ts(path);
  CHECK(set.name == "Waves");
  CHECK(set.size() == 2);
  CHECK(set.channels() == 2);
  CHECK(set.lengths() == std::vector<int64_t>{3, 2});
  CHECK(set.labels == std::vector<int64_t>{1, 0});
  CHECK(set.class_names == std::vector<std::string>{"up", "down"});
  CHECK(set.targets.empty());
  CHECK(set.series[0].shape() == Shape{2, 3});
  CHECK(set.series[0].dtype() == f32);
  std::vector<double> v = values_of(set.series[0]);
  CHECK(std::vector<double>(v.begin(), v.begin() + 4) == std::vector<double>{1, 2, 3, 4});
  CHECK(std::isnan(v[4]));
  CHECK(values_of(set.series[1]) == std::vector<double>{-15, 0, 2, 2});
  scratch.put("zipped.ts.gz", gzip(read_file(path)));
  CHECK(load_ts(scratch.path("zipped.ts.gz")).labels == set.labels);
}

TEST_CASE("ts: a channel that ends before the others of its series has missing values") {
  Scratch scratch;
  SeriesSet set = load_ts(scratch.put("a.ts", "@data\n1,2,3:4,5\n"));
  std::vector<double> v = values_of(set.series[0]);
  CHECK(std::vector<double>(v.begin(), v.begin() + 5) == std::vector<double>{1, 2, 3, 4, 5});
  CHECK(std::isnan(v[5]));
}

TEST_CASE("ts: series stacked have the padding after their end, and are refused where they would be little else") {
  Scratch scratch;
  SeriesSet set = load_ts(scratch.put("a.ts", kTwoChannels));
  Tensor all = set.stacked(-9);
  CHECK(all.shape() == Shape{2, 2, 3});
  std::vector<double> v = values_of(all);
  CHECK(std::vector<double>(v.begin() + 6, v.end()) == std::vector<double>{-15, 0, -9, 2, 2, -9});
  set.series.assign(200'000, zeros({1, 1}));
  set.series.push_back(zeros({1, 200'000}));
  CHECK_THROWS_WITH_AS(set.stacked(), doctest::Contains("series of up to 200000 steps, but most are so short"), ValueError);
}

TEST_CASE("ts: targets, and series without an answer") {
  Scratch scratch;
  SeriesSet set = load_ts(scratch.put("a.ts", "@problemname P\n@univariate true\n@targetLabel true\n@data\n1,2:0.5\n3,4:-2\n"));
  CHECK(set.targets == std::vector<double>{0.5, -2});
  CHECK(set.labels.empty());
  set = load_ts(scratch.put("b.ts", "@classLabel false\n@data\n1,2\n3,4\n"));
  CHECK(set.stacked().shape() == Shape{2, 1, 2});
  CHECK(set.labels.empty());
}

TEST_CASE("ts: broken files are refused with the line") {
  Scratch scratch;
  CHECK(error_of(scratch, "@problemName P\n") == "has no line @data");
  CHECK(error_of(scratch, "@data\n# none\n") == "has no series");
  CHECK(error_of(scratch, "1,2\n@data\n1\n") == "line 1 stands before @data and is neither a comment nor a setting");
  CHECK(error_of(scratch, "@timeStamps true\n@data\n") == "line 1 says that values have time stamps, which are not read");
  CHECK(error_of(scratch, "@univariate maybe\n@data\n1\n") == "line 1 has @univariate neither true nor false");
  CHECK(error_of(scratch, "@classLabel true a b\n@data\n1,2:c\n") == "line 3 has the class \"c\", which @classLabel does not name");
  CHECK(error_of(scratch, "@classLabel true\n@data\n1,2:c\n") == "line 1 names no classes");
  CHECK(error_of(scratch, "@data\n1,two\n") == "line 2 has \"two\" where a number should be");
  CHECK(error_of(scratch, "@dimensions 2\n@data\n1,2\n") == "line 3 has 1 channels, there should be 2");
  CHECK(error_of(scratch, "@data\n1:2\n1\n") == "line 3 has 1 channels, there should be 2");
  CHECK(error_of(scratch, "@equalLength true\n@seriesLength 3\n@data\n1,2\n") == "line 4 has a channel of 2 steps, all should have 3");
  CHECK(error_of(scratch, "@dimensions 0\n@data\n1\n") == "line 1 has @dimensions that is no positive whole number");
  CHECK(error_of(scratch, "@classLabel true a\n@data\na\n") == "line 3 has no channel before its label");
  CHECK(plumb_test::refused_when_damaged(scratch, kTwoChannels, [](const std::string& p) { load_ts(p); }) > 30);
}

TEST_CASE("ts: published files are read") {
  const char* data = std::getenv("PLUMB_DATA");
  if (!data) {
    MESSAGE("skipped: PLUMB_DATA names no directory of data sets");
    return;
  }
  std::string root = std::string(data) + "/timeseries/";
  SeriesSet vowels = load_ts(root + "JapaneseVowels_TRAIN.ts.gz");
  CHECK(vowels.stacked().shape() == Shape{270, 12, 26});
  CHECK(vowels.class_names.size() == 9);
  std::vector<int> counts(9);
  for (int64_t label : vowels.labels) ++counts[static_cast<size_t>(label)];
  CHECK(counts == std::vector<int>(9, 30));
  CHECK(vowels.series[0].data<float>()[0] == 1.860936f);
  CHECK(vowels.series[0].size(1) == 20);
  CHECK(load_ts(root + "ItalyPowerDemand_TEST.ts.gz").stacked().shape() == Shape{1029, 1, 24});
  CHECK(load_ts(root + "BasicMotions_TEST.ts.gz").stacked().shape() == Shape{40, 6, 100});
}
