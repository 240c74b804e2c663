// `plumb audit` as a user runs it: a page for a run on its own table and on another, and bad input.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "tests/tools/people_table.h"
#include "tests/tools/run_command.h"

using namespace plumb;

namespace {

// A logistic regression, trained once on people.
struct Trained {
  plumb_test::Scratch scratch;
  std::string data = scratch.put("people.csv", people_table(400)), run = scratch.path("run");
  Trained() {
    Outcome o = run_plumb("train tabular --model logistic --data " + data +
                          " --target earns --batch 64 --steps 150 --lr 0.02 --test 0.4 --out " + run);
    REQUIRE_MESSAGE(o.code == 0, o.err);
  }
  Outcome audit(const std::string& file, const std::string& options) const {
    return run_plumb("audit " + run + " --data " + file + " --resamples 40 --permutations 19 " + options);
  }
};

const nlohmann::json& named(const nlohmann::json& list, const std::string& name) {
  for (const auto& one : list)
    if (one["name"] == name) return one;
  FAIL("there is no " << name);
  return list[0];
}

}  // namespace

TEST_CASE("audit: the test part of the run's own table, with intervals, a front and contradictions") {
  Trained t;
  Outcome o = t.audit(t.data, "--protected sex");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(o.out.find("its test part is audited") != std::string::npos);
  CHECK(o.out.find("demographic parity and") != std::string::npos);
  CHECK(o.out.find(t.run + "/audit-sex.html: the page") != std::string::npos);
  auto json = nlohmann::json::parse(read_file(t.run + "/audit-sex.json"));
  CHECK(json["rows"] == 160);
  CHECK(json["positive"] == "earns = yes");
  REQUIRE(json["groups"].size() == 2);
  const auto &women = named(json["groups"], "F"), &men = named(json["groups"], "M");
  CHECK(women["rows"].get<int>() + men["rows"].get<int>() == 160);
  CHECK(men["base_rate"].get<double>() > women["base_rate"].get<double>());
  const auto& parity = named(json["measures"], "demographic parity");
  CHECK(parity["value"].get<double>() == doctest::Approx(men["selection_rate"].get<double>() - women["selection_rate"].get<double>()));
  CHECK(parity["low"].get<double>() <= parity["value"].get<double>());
  CHECK(parity["high"].get<double>() >= parity["value"].get<double>());
  CHECK(parity["p"].get<double>() >= 0.05);  // 1 / 20 is the least
  CHECK(parity["chance"].get<double>() > 0);
  double wrong =
      (women["error"].get<double>() * women["rows"].get<double>() + men["error"].get<double>() * men["rows"].get<double>()) / 160;
  CHECK(named(json["measures"], "error")["value"].get<double>() == doctest::Approx(wrong));
  CHECK(named(json["measures"], "membership AUC")["value"].get<double>() > 0.3);  // its training rows are known
  CHECK(named(json["measures"], "error under FGSM")["value"].get<double>() >= wrong);
  CHECK(json["measures"].size() == 23);
  CHECK(json["identity_residual"].get<double>() < 1e-9);
  CHECK(json["zhao_gordon_slack"].get<double>() >= 0);
  CHECK(json["contradictions"].size() == 3);
  CHECK(json["contradictions"][0]["excess"]["value"].get<double>() >= json["contradictions"][2]["excess"]["value"].get<double>());
  CHECK(json["joint_level"]["value"].get<double>() >= json["contradictions"][0]["together"]["value"].get<double>());
  std::string page = read_file(t.run + "/audit-sex.html");
  for (const char* part : {"Every measure", "What contradicts what, and by how much", "The trade-off front", "<svg",
                           "Where the measures come from", "groups deserve equal shares"})
    CHECK_MESSAGE(page.find(part) != std::string::npos, part);
}

TEST_CASE("audit: another table, groups cut from numbers, chosen groups, the other class, and the same numbers again") {
  Trained t;
  std::string other = t.scratch.put("other.csv", people_table(300, 9));
  Outcome o = t.audit(other, "--protected age --split 40 --positive no --out " + t.scratch.path("page.html"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto json = nlohmann::json::parse(t.scratch.get("page.json"));
  CHECK(json["rows"] == 300);
  CHECK(json["positive"] == "earns = no");
  CHECK(named(json["groups"], "age < 40")["base_rate"].get<double>() > named(json["groups"], "age ≥ 40")["base_rate"].get<double>());
  std::string page = t.scratch.get("page.html");
  o = t.audit(other, "--protected age --split 40 --positive no --out " + t.scratch.path("again.html"));
  CHECK(t.scratch.get("again.html") == page);
  o = t.audit(other, "--protected job --groups baker clerk");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(o.out.find("rows without \"job\" are left out") != std::string::npos);
  CHECK(o.out.find("rows of other groups are left out") != std::string::npos);
}

TEST_CASE("audit: bad input is one line that names it, and no page is written") {
  Trained t;
  auto error = [&](const std::string& file, const std::string& options) {
    Outcome o = t.audit(file, options + " --out " + t.scratch.path("bad.html"));
    CHECK(o.code == 2);
    CHECK_MESSAGE(std::count(o.err.begin(), o.err.end(), '\n') == 1, o.err);
    CHECK_FALSE(t.scratch.has("bad.html"));
    return o.err;
  };
  CHECK(error(t.data, "--protected race") ==
        "plumb: audit: csv: there is no column \"race\"; there are \"age\", \"hours\", \"job\", \"sex\", \"earns\"\n");
  CHECK(error(t.data, "--protected sex --positive maybe") == "plumb: audit: --positive maybe is no class of the run; there are no, yes\n");
  CHECK(error(t.data, "--protected age").find("different numbers; cut it in two groups: --split ") != std::string::npos);
  CHECK(error(t.data, "--protected sex --split 2") == "plumb: audit: --split: the protected column \"sex\" holds texts\n");
  CHECK(error(t.data, "--protected sex --groups F X") == "plumb: audit: --groups: no row has \"X\" in the column \"sex\"\n");
  CHECK(error(t.data, "--protected sex --groups F").find("has one value only: \"F\" in ") != std::string::npos);
  CHECK(error(t.data, "--protected sex --threshold 2") == "plumb: audit: --threshold must lie in (0, 1], it is 2\n");
  const char* head = "age,hours,job,sex,town,earns\n";
  std::string few = std::string(head) + "30,20,clerk,F,a,no\n31,25,clerk,M,a,yes\n40,,baker,M,b,no\n44,30,baker,F,a,yes\n";
  std::string lonely = t.scratch.put("lonely.csv", few);
  CHECK(error(lonely, "--protected town") ==
        "plumb: audit: group \"b\" of the protected column \"town\" has one row; rates within a group need at least two (--groups leaves "
        "groups out)\n");
  std::string one =
      t.scratch.put("one.csv", std::string(head) + "30,20,clerk,F,a,no\n31,25,clerk,M,a,no\n40,,baker,M,b,no\n44,30,baker,F,b,no\n");
  CHECK(error(one, "--protected sex") == "plumb: audit: all 4 rows have no \"yes\"; an audit needs both classes\n");
  std::string empty = t.scratch.put("empty.csv", std::string(head) + "30,20,clerk,F,,no\n31,25,clerk,M,?,yes\n");
  CHECK(error(empty, "--protected town") == "plumb: audit: the protected column \"town\" has no values: all 2 rows are missing\n");
  Outcome o = run_plumb("audit " + t.scratch.path("none") + " --data " + t.data + " --protected sex");
  CHECK(o.err == "plumb: audit: run: " + t.scratch.path("none") + " is not a run directory (it has no config.json)\n");
}

TEST_CASE("audit: a link where the page goes by itself is not followed") {
  Trained t;
  std::string victim = t.scratch.put("victim", "mine");
  std::filesystem::create_symlink(victim, t.run + "/audit-sex.html");
  Outcome o = t.audit(t.data, "--protected sex");
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find("audit-sex.html is a link, which may lead out of the run; take it away, or give --out") != std::string::npos,
                o.err);
  CHECK(read_file(victim) == "mine");
}
