// `plumb train tabular` and `eval` as a user meets them: a table with texts, missing fields and a target by name.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "tests/tools/people_table.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

struct Runs {
  plumb_test::Scratch scratch;
  std::string data = scratch.put("people.csv", people_table(400));
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, const std::string& options = "") const {
    return "train tabular --data " + data + " --target earns --out " + run(name) +
           " --batch 32 --steps 200 --eval-every 50 --checkpoint-every 50 " + options;
  }
  std::vector<train::Metrics> metrics(const std::string& name) const { return train::read_metrics(run(name) + "/metrics.jsonl"); }
};

}  // namespace

TEST_CASE("train tabular: both kinds of model learn a table of numbers, texts and missing fields, and can be evaluated") {
  Runs r;
  for (const char* model : {"logistic", "mlp"}) {
    CAPTURE(model);
    Outcome o = run_plumb(r.train(model, std::string("--model ") + model));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(o.err.find("280 rows to train on, 40 to validate, 80 to test") != std::string::npos);
    auto lines = r.metrics(model);
    CHECK(lines.back()["test_accuracy"] > 0.75);
    CHECK(lines.back()["val_accuracy"] > 0.7);
    Outcome evaluated = run_plumb("eval " + r.run(model));
    REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
    auto json = nlohmann::json::parse(evaluated.out);
    CHECK(json["accuracy"].get<double>() == lines.back()["test_accuracy"]);
    CHECK(json["rows"] == 80);
    CHECK(read_file(r.run(model) + "/report.html").find("test accuracy 0.") != std::string::npos);
    auto config = nlohmann::json::parse(read_file(r.run(model) + "/config.json"));
    CHECK(config["kind"] == "tabular");
    CHECK(config["network"]["hidden"].size() == (std::string(model) == "mlp" ? 2 : 0));
    CHECK(config["network"]["inputs"] == 9);  // age, hours and where they are missing, three jobs and where missing, two sexes
    CHECK(config["columns"][2]["categories"][2] == "doctor, senior");
    CHECK(config["class_names"] == nlohmann::json({"no", "yes"}));
  }
  std::string other =
      r.scratch.put("other.csv", "sex,earns,age,hours,job,extra\nF,no,22,12,baker,1\nM,yes,58,45,\"doctor, senior\",2\nM,,40,30,pilot,3\n");
  Outcome evaluated = run_plumb("eval " + r.run("mlp") + " --data " + other);
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  CHECK(nlohmann::json::parse(evaluated.out)["rows"] == 2);  // the third has no target
  CHECK(nlohmann::json::parse(evaluated.out)["accuracy"] == 1);
}

TEST_CASE("train tabular: killed and resumed, the bits are those of one run") {
  Runs r;
  const char* options = "--dropout 0.2 --ema 0.9 --accumulate 2 --drop sex";
  REQUIRE(run_plumb(r.train("whole", options)).code == 0);
  CHECK(stop_midway(r.train("cut", options), r.run("cut") + "/metrics.jsonl", 70, SIGKILL) == 128 + SIGKILL);
  Outcome o = run_plumb("train tabular --resume " + r.run("cut"));
  CHECK_MESSAGE(o.code == 0, o.err);
  CHECK(read_file(r.run("cut") + "/model.safetensors") == read_file(r.run("whole") + "/model.safetensors"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
}

TEST_CASE("train tabular: numbers as classes and as names, another delimiter, no header") {
  plumb_test::Scratch scratch;
  std::string text;
  for (int i = 0; i < 90; ++i)
    text += std::to_string(i % 3 * 10 + i % 2) + ";" + std::to_string(100 + i % 3) + ";" + std::to_string(i % 3) + "\n";
  std::string data = scratch.put("codes.csv", text);
  Outcome o = run_plumb("train tabular --data " + data +
                        " --target 2 --delimiter \";\" --categorical 1 --model logistic --batch 16 --epochs 40 --lr 0.05 --out " +
                        scratch.path("run"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto config = nlohmann::json::parse(scratch.get("run/config.json"));
  CHECK(config["class_names"] == nlohmann::json({"0", "1", "2"}));
  CHECK(config["columns"][1]["categories"] == nlohmann::json({"100", "101", "102"}));
  CHECK(config["steps"] == 158);  // ⌈40 · 63 / 16⌉
  CHECK(train::read_metrics(scratch.path("run/metrics.jsonl")).back()["test_accuracy"] == 1);
  CHECK(run_plumb("eval " + scratch.path("run") + " --data " + data).code == 0);
}

TEST_CASE("train tabular: bad input is one line that names it, exit code 2, and nothing is made") {
  Runs r;
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK_MESSAGE(o.code == 2, arguments);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK_MESSAGE(std::count(o.err.begin(), o.err.end(), '\n') == 1, o.err);
    CHECK_FALSE(path_exists(r.run("x")));
  };
  auto with = [&](const std::string& file, const std::string& options) {
    return "train tabular --out " + r.run("x") + " --data " + file + " " + options;
  };
  refused(with(r.data, "--target wage"), "there is no column \"wage\"; there are \"age\", \"hours\", \"job\", \"sex\", \"earns\"");
  refused(with(r.data, "--target earns --drop wage"), "there is no column \"wage\"");
  refused(with(r.data, "--target earns --drop earns"), "--drop: \"earns\" is the target");
  refused(with(r.data, ""), "--target is missing");
  refused("train tabular --target a --out " + r.run("x"), "--data is missing");
  refused(with(r.run("none.csv"), "--target a"), "none.csv");
  std::string one = r.scratch.put("one.csv", "a,b\n1,yes\n2,yes\n3,yes\n");
  refused(with(one, "--target b"), "the target \"b\" has one class only: \"yes\" in all 3 rows");
  std::string empty = r.scratch.put("empty.csv", "a,b,c\n1,?,yes\n2,,no\n3,NA,no\n4,?,yes\n5,,no\n6,,yes\n7,,no\n8,,yes\n9,,no\n10,,yes\n");
  refused(with(empty, "--target b"), "the target \"b\" has no values: all 10 rows are missing");
  refused(with(empty, "--target c --validation 0"),
          "no values in column \"b\": all 8 training rows are missing; leave it out: --drop \"b\"");
  std::string many = "a,b\n";
  for (int i = 0; i < 300; ++i) many += std::to_string(i) + ".5,text" + std::to_string(i) + "\n";
  std::string wide = r.scratch.put("many.csv", many);
  refused(with(wide, "--target a"), "the target \"a\" has 300 different values; this kind of training predicts classes, at most 100");
  refused(with(r.data, "--target earns --max-categories 1"),
          "more than --max-categories 1 different texts in column \"job\" (3), \"sex\" (2); leave it out: --drop \"job\" \"sex\"");
  refused(with(r.data, "--target earns --model tree"), "--model tree is unknown; choose mlp or logistic");
  refused(with(r.data, "--target earns --model logistic --hidden 4"), "--hidden: logistic regression has no hidden layers");
  refused(with(r.data, "--target earns --test 0.6 --validation 0.5"), "--validation 0.5 and --test 0.6");
  refused(with(r.data, "--target earns --drop age hours job sex"), "there is no column to predict \"earns\" from");
}

TEST_CASE("train tabular: a run does not go on with another table, nor is it measured on one with other classes") {
  Runs r;
  REQUIRE(run_plumb(r.train("a", "--min-lr 0")).code == 0);
  std::string strange = r.scratch.put("strange.csv", "age,hours,job,sex,earns\n30,20,clerk,F,perhaps\n");
  Outcome o = run_plumb("eval " + r.run("a") + " --data " + strange);
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: eval: " + strange + ": \"perhaps\" is no class of the run's target \"earns\"\n");
  std::string lacking = r.scratch.put("lacking.csv", "age,hours,sex,earns\n30,20,F,no\n");
  o = run_plumb("eval " + r.run("a") + " --data " + lacking);
  CHECK(o.code == 2);
  CHECK(o.err.find("there is no column \"job\"; there are \"age\", \"hours\", \"sex\", \"earns\"") != std::string::npos);
  r.scratch.put("people.csv", people_table(400, 2));
  o = run_plumb("eval " + r.run("a"));
  CHECK(o.code == 2);
  CHECK(o.err.find("people.csv is not what this run was trained on: it has changed") != std::string::npos);
}

TEST_CASE("train tabular: a table of texts alone has a header where the target is named, and infinite numbers are named") {
  Runs r;
  std::string texts = "b,t\n";
  for (int i = 0; i < 60; ++i) texts += i % 2 ? "x,yes\n" : "y,no\n";
  r.data = r.scratch.put("texts.csv", texts);
  Outcome o = run_plumb("train tabular --data " + r.data + " --target t --out " + r.run("texts") + " --batch 8 --steps 5");
  CHECK_MESSAGE(o.code == 0, o.err);
  r.data = r.scratch.put("inf.csv", "a,t\n1,yes\ninf,no\n2,yes\n");
  Outcome refused = run_plumb("train tabular --data " + r.data + " --target t --out " + r.run("inf") + " --batch 2 --steps 5");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("column \"a\" is infinite in row 2") != std::string::npos);
  CHECK_FALSE(path_exists(r.run("inf")));
}

TEST_CASE("eval: the run's own table, given by name, is measured on its test part") {
  Runs r;
  REQUIRE(run_plumb(r.train("own")).code == 0);
  CHECK(nlohmann::json::parse(run_plumb("eval " + r.run("own") + " --data " + r.data).out)["rows"] == 80);
}

TEST_CASE("train tabular: a header of numbers is one where --header says so, when the run is measured too") {
  plumb_test::Scratch scratch;
  std::string table = "0,1\n";
  for (int i = 0; i < 80; ++i) table += std::to_string(i % 9) + "," + (i % 2 ? "7\n" : "8\n");
  std::string path = scratch.put("t.csv", table), start = "train tabular --data " + path + " --target 1 --batch 8 --steps 5 --out ";
  Outcome rows = run_plumb(start + scratch.path("rows")), names = run_plumb(start + scratch.path("names") + " --header yes");
  REQUIRE_MESSAGE(rows.code == 0, rows.err);
  REQUIRE_MESSAGE(names.code == 0, names.err);
  CHECK(rows.err.find("3 classes") != std::string::npos);  // the first line's 1 beside 7 and 8
  CHECK(names.err.find("2 classes") != std::string::npos);
  CHECK(nlohmann::json::parse(run_plumb("eval " + scratch.path("names")).out)["rows"] == 16);
}
