// `plumb train forecast`, `eval` and `predict` as a user meets them: a column of a CSV, with gaps, and everything that will not do.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "engine/io/csv.h"
#include "engine/io/file.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

// A day of 24 steps and small noise around 20, some fields missing; another column beside it.
std::string table(int rows, int gap_every = 0) {
  std::string text = "time,temperature,label\n";
  unsigned state = 3;
  for (int t = 0; t < rows; ++t) {
    state = state * 1664525u + 1013904223u;
    double noise = static_cast<double>(state >> 16) / 65536 - 0.5, y = 20 + 5 * std::sin(2 * 3.14159265358979 * t / 24) + noise;
    bool missing = gap_every > 0 && t % gap_every == gap_every - 1;
    text += "2026-01-" + std::to_string(t) + "," + (missing ? "NA" : std::to_string(y)) + ",a\n";
  }
  return text;
}

struct Runs {
  plumb_test::Scratch scratch;
  std::string data = scratch.put("t.csv", table(600));
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, const std::string& options = "", int steps = 400) const {
    return "train forecast --data " + data + " --column temperature --out " + run(name) + " --order 12 --steps " + std::to_string(steps) +
           " --eval-every 100 --checkpoint-every 100 --lr 0.02 " + options;
  }
  std::vector<train::Metrics> metrics(const std::string& name) const { return train::read_metrics(run(name) + "/metrics.jsonl"); }
};

}  // namespace

TEST_CASE("train forecast: the linear model comes near least squares, and eval and predict go on from it") {
  Runs r;
  Outcome o = run_plumb(r.train("a"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK_MESSAGE(
      o.err.find("600 values of which 0 are missing; 12 lags, 13 parameters; 408 windows to train on, 60 to validate, 120 to test") !=
          std::string::npos,
      o.err);
  auto last = r.metrics("a").back();
  CHECK(last["test_rmse"] < 0.45);  // the noise's deviation is 0.29; a step of the day's curve moves up to 1.3
  CHECK(last["test_rmse"] < last["test_rmse_last_value"]);
  CHECK(last["test_rmse"] == doctest::Approx(last["test_rmse_least_squares"]).epsilon(0.1));
  CHECK(last["val_rmse"] < last["val_rmse_last_value"]);
  CHECK(last["test_mae"] < last["test_rmse"]);
  std::string report = read_file(r.run("a") + "/report.html");
  CHECK(report.find("lags have a weight above 0.01") != std::string::npos);
  CHECK(report.find("After the last row") != std::string::npos);
  Outcome evaluated = run_plumb("eval " + r.run("a"));
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  auto json = nlohmann::json::parse(evaluated.out);
  CHECK(json["rmse"].get<double>() == last["test_rmse"]);
  CHECK(json["windows"] == 120);
  std::string longer = r.scratch.put("longer.csv", table(900));
  json = nlohmann::json::parse(run_plumb("eval " + r.run("a") + " --data " + longer).out);
  CHECK(json["windows"] == 900 - 12);
  CHECK(json["rmse"].get<double>() < 0.45);
  // One step, and a day of them: the curve goes on.
  Outcome one = run_plumb("predict " + r.run("a"));
  REQUIRE_MESSAGE(one.code == 0, one.err);
  CHECK(one.out.starts_with("step,temperature\n1,"));
  CHECK(run_plumb("predict " + r.run("a") + " --steps 24 --out " + r.run("next.csv")).code == 0);
  CsvTable next = load_csv(r.run("next.csv"));
  REQUIRE(next.rows == 24);
  for (int k = 0; k < 24; ++k)
    CHECK(std::abs(next["temperature"].values[static_cast<size_t>(k)] - (20 + 5 * std::sin(2 * 3.14159265 * (600 + k) / 24))) < 2);
  CHECK(one.out.find(std::to_string(next["temperature"].values[0]).substr(0, 5)) != std::string::npos);
  CHECK(run_plumb("predict " + r.run("a") + " --data " + longer).code == 0);
}

TEST_CASE("train forecast: killed and resumed, the bits are those of one run") {
  Runs r;
  const char* options = "--horizon 3 --hidden 8 --lags 3 --loss huber --accumulate 2 --ema 0.9";
  REQUIRE(run_plumb(r.train("whole", options)).code == 0);
  CHECK(stop_midway(r.train("cut", options), r.run("cut") + "/metrics.jsonl", 130, SIGKILL) == 128 + SIGKILL);
  Outcome o = run_plumb("train forecast --resume " + r.run("cut"));
  CHECK_MESSAGE(o.code == 0, o.err);
  CHECK(read_file(r.run("cut") + "/model.safetensors") == read_file(r.run("whole") + "/model.safetensors"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
  CsvTable next = load_csv(r.scratch.put("next.csv", run_plumb("predict " + r.run("whole")).out));
  CHECK(next.rows == 3);
  CHECK(r.metrics("whole").back().values.size() > 4);
  r.scratch.put("t.csv", table(601));
  Outcome changed = run_plumb("eval " + r.run("whole"));
  CHECK(changed.code == 2);
  CHECK_MESSAGE(changed.err.find("has changed since the run began") != std::string::npos, changed.err);
  CHECK(run_plumb("predict " + r.run("whole")).code == 0);  // goes on from the file as it is
}

TEST_CASE("train forecast: the regulariser leaves few lags, and less is said of what does not count") {
  Runs r;
  REQUIRE(run_plumb(r.train("plain", "", 800)).code == 0);
  Outcome o = run_plumb(r.train("sparse", "--lags 2 --strength 0.05", 800));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(r.metrics("sparse").back()["val_lags"] < r.metrics("plain").back()["val_lags"]);
  CHECK(r.metrics("sparse").back()["test_rmse"] < r.metrics("sparse").back()["test_rmse_last_value"]);
}

TEST_CASE("train forecast: missing values are left out or filled, and the last column of numbers is the default") {
  Runs r;
  std::string gaps = r.scratch.put("gaps.csv", table(600, 20));
  std::string options = " --out " + r.run("g") + " --order 12 --steps 50 --data " + gaps;
  Outcome o = run_plumb("train forecast" + options);
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK_MESSAGE(o.err.find("\"temperature\", 600 values of which 30 are missing") != std::string::npos, o.err);
  CHECK_MESSAGE(o.err.find("; 147 windows to train on") != std::string::npos,
                o.err);  // 7 of every 20 steps have 12 values before: 21 times
  Outcome filled = run_plumb("train forecast --fill-gaps 1 --out " + r.run("f") + " --order 12 --steps 50 --data " + gaps);
  REQUIRE_MESSAGE(filled.code == 0, filled.err);
  CHECK_MESSAGE(filled.err.find("; 408 windows to train on") != std::string::npos, filled.err);
  // The last row has no value: there is nothing to go on from, filled or not.
  Outcome next = run_plumb("predict " + r.run("f"));
  CHECK(next.code == 2);
  CHECK_MESSAGE(next.err.find("has no value in row 600, one of the last 12 that the next is predicted from") != std::string::npos,
                next.err);
  CHECK(run_plumb("predict " + r.run("f") + " --data " + r.data).code == 0);
}

TEST_CASE("train forecast: bad input is one line that names it, exit code 2, and nothing is made") {
  Runs r;
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK_MESSAGE(o.code == 2, arguments);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK_MESSAGE(std::count(o.err.begin(), o.err.end(), '\n') == 1, o.err);
    CHECK_FALSE(path_exists(r.run("x")));
  };
  auto with = [&](const std::string& file, const std::string& options) {
    return "train forecast --out " + r.run("x") + " --data " + file + " " + options;
  };
  refused(with(r.data, "--column wind"), "there is no column \"wind\"; there are \"time\", \"temperature\", \"label\"");
  refused(with(r.data, "--column label"), "column \"label\" is not of numbers: it has \"a\"");
  std::string few = r.scratch.put("few.csv", "y\n1\n2\n3\n4\n5\n");
  refused(with(few, "--order 10 --horizon 2"), "column \"y\" has 5 values; --order 10 and --horizon 2 need 12 or more");
  refused(with(few, "--order 4"),
          "column \"y\" has no window of --order 4 and --horizon 1 without a missing value in the first 4 of 5 values");
  std::string none = r.scratch.put("none.csv", "day,y\n2026-01-01,NA\n2026-01-02,\n2026-01-03,?\n");
  refused(with(none, "--column y --order 1"), "all values of column \"y\" are missing");
  std::string late = r.scratch.put("late.csv", "x,y\n1,NA\n2,NA\n3,NA\n4,NA\n5,NA\n6,NA\n7,NA\n8,NA\n9,5\n10,6\n");
  refused(with(late, "--column y --order 1"), "all of the first 7 values of column \"y\", which are trained on, are missing");
  std::string holes = r.scratch.put("holes.csv", table(100, 3));
  refused(with(holes, "--order 5"),
          "has no window of --order 5 and --horizon 1 without a missing value in the first 70 of 100 values, which are trained on");
  std::string far = r.scratch.put("far.csv", "y\n1\n2\ninf\n4\n5\n");
  refused(with(far, "--order 1"), "column \"y\" is infinite in row 3");
  refused(with(r.data, "--order 0"), "--order must be at least 1, it is 0");
  refused(with(r.data, "--horizon 0"), "--horizon must be at least 1, it is 0");
  refused(with(r.data, "--lags 30"), "--lags must lie between 0 and --order 24, it is 30");
  refused(with(r.data, "--loss l1"), "--loss l1 is unknown; choose mse or huber");
  refused(with(r.data, "--validation 0.5 --test 0.5"),
          "--validation 0.5 and --test 0.5 must not be negative and leave something to train on");
  refused(with(r.data, "--fill-gaps -1"), "--fill-gaps must not be negative, it is -1");
  refused(with(r.run("nowhere.csv"), ""), "nowhere.csv");
  refused("train forecast --out " + r.run("x"), "--data is missing");
}

TEST_CASE("train forecast: what a run is asked beyond what it can is refused") {
  Runs r;
  REQUIRE(run_plumb(r.train("a", "--test 0", 20)).code == 0);
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK_MESSAGE(o.code == 2, arguments);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
  };
  refused("eval " + r.run("a"), "the run has no test part; give --data");
  refused("predict " + r.run("a") + " --steps -1", "--steps must not be negative, it is -1");
  std::string other = r.scratch.put("other.csv", "a,b\n1,2\n3,4\n");
  refused("predict " + r.run("a") + " --data " + other, "there is no column \"temperature\"; there are \"a\", \"b\"");
  std::string brief = r.scratch.put("brief.csv", table(5));
  refused("eval " + r.run("a") + " --data " + brief, "has 5 values; --order 12 and --horizon 1 need 13 or more");
  REQUIRE(run_plumb("train segment --out " + r.run("s") +
                    " --size 16 --images 4 --validation 1 --test 1 --width 4 --depth 2 --batch 2 --steps 1")
              .code == 0);
  refused("predict " + r.run("s"), "runs of train segment do not predict; this is for train forecast");
}

TEST_CASE("train forecast: --early-stop without a validation part and --recompute are refused") {
  plumb_test::Scratch scratch;
  std::string start = "train forecast --data " + scratch.put("t.csv", table(200)) + " --column temperature --order 5 --steps 5 --out " +
                      scratch.path("run");
  for (const auto& [option, word] : {std::pair{" --validation 0 --early-stop 1 --eval-every 2", "--early-stop needs a validation part"},
                                     {" --recompute", "--recompute: "}}) {
    Outcome o = run_plumb(start + option);
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(word) != std::string::npos, o.err);
  }
}

TEST_CASE("train forecast: a header of numbers is one where --header or --column says so, for eval and predict too") {
  plumb_test::Scratch scratch;
  std::string years = "2020,2021\n";
  for (int t = 0; t < 120; ++t) years += std::to_string(t % 5) + "," + std::to_string(t % 7) + "\n";
  std::string start = "train forecast --data " + scratch.put("years.csv", years) + " --order 7 --steps 5 --out ";
  for (const auto& [name, options, values] : {std::tuple{"plain", "", "\"1\", 121 values"},
                                              {"given", " --header yes", "\"2021\", 120 values"},
                                              {"named", " --column 2020", "\"2020\", 120 values"}}) {
    Outcome o = run_plumb(start + scratch.path(name) + options);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK_MESSAGE(o.err.find(std::string("forecast: ") + values) != std::string::npos, o.err);
    CHECK(run_plumb("eval " + scratch.path(name)).code == 0);
  }
  CHECK(run_plumb("predict " + scratch.path("given")).out.starts_with("step,2021\n1,"));
  Outcome none = run_plumb(start + scratch.path("x") + " --header no --column 2020");
  CHECK(none.code == 2);
  CHECK_MESSAGE(none.err.find("there is no column \"2020\"; there are \"0\", \"1\"") != std::string::npos, none.err);
  CHECK(run_plumb(start + scratch.path("x") + " --header maybe").err ==
        "plumb: train forecast: --header maybe is unknown; choose yes, no or auto\n");
}
