// What pages are told of a run: curves that are read on as they grow, thinned; files that lie elsewhere or are damaged; pages of one file.
#include "models/train/run_view.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/train/page.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::train;
using Json = nlohmann::json;

namespace {

struct Fixture {
  plumb_test::Scratch s;
  RunDirectory run = RunDirectory::create(s.path("run"), R"({"kind": "gpt", "model": {"width": 8}})");

  void write(const std::string& text) const { std::ofstream(run.file("metrics.jsonl"), std::ios::app) << text; }
  static std::string line(int step, double loss) {
    return "{\"step\":" + std::to_string(step) + ",\"train_loss\":" + std::to_string(loss) + "}\n";
  }
};

const Curve& curve(const RunView& view, const std::string& name) {
  for (const Curve& c : view.curves())
    if (c.name == name) return c;
  FAIL("no curve ", name);
  return view.curves()[0];
}

using Steps = std::vector<int64_t>;

}  // namespace

TEST_CASE("run view: lines are read as they are added, a line cut short when it is whole") {
  Fixture f;
  RunView view(f.run);
  CHECK(view.summary() == "No step is finished yet.");
  f.write(f.line(1, 4) + f.line(2, 3) + "{\"step\":3,\"tr");
  std::string before = view.version();
  view.update();
  CHECK(curve(view, "train_loss").step == Steps{1, 2});
  f.write("ain_loss\":2.5,\"val_loss\":2.75}\n");
  CHECK(view.version() != before);
  view.update();
  CHECK(curve(view, "train_loss").value == std::vector<double>{4, 3, 2.5});
  CHECK(curve(view, "val_loss").step == Steps{3});
  CHECK(view.summary() == "3 steps; training loss 2.5000, validation loss 2.7500.");
}

TEST_CASE("run view: a resumed run writes steps again; a shorter file is read anew") {
  Fixture f;
  f.write(f.line(1, 4) + f.line(2, 3) + f.line(3, 2));
  RunView view(f.run);
  f.write(f.line(2, 3.5));
  view.update();
  CHECK(curve(view, "train_loss").step == Steps{1, 2});
  CHECK(curve(view, "train_loss").value == std::vector<double>{4, 3.5});
  std::filesystem::remove(f.run.file("metrics.jsonl"));
  f.write(f.line(1, 9));
  view.update();
  CHECK(curve(view, "train_loss").value == std::vector<double>{9});
}

TEST_CASE("run view: a line that is no object is the run's problem, not the page's end") {
  Fixture f;
  f.write(f.line(1, 4) + "nonsense\n");
  RunView view(f.run);
  CHECK(view.problem() == "metrics: " + f.run.file("metrics.jsonl") + ": line 2: not a JSON object");
  CHECK(Json::parse(view.json("").text())["problem"] == view.problem());
}

TEST_CASE("run view: a configuration that was damaged, or is too long to be shown, is the run's problem as well") {
  Fixture f;
  f.write(f.line(1, 4));
  RunView view(f.run);
  auto problem = [&](const std::string& config) {
    f.s.put("run/config.json", config);
    auto json = Json::parse(view.json("").text());
    CHECK(json["config"].empty());
    CHECK(json["curves"].size() == 1);
    return json["problem"].get<std::string>();
  };
  CHECK(problem("{") == "config.json: not a JSON object");
  CHECK(problem("\x1f\x8bp no gzip").find("config.json: the gzip data is corrupt") != std::string::npos);
  std::string wide = "{\"a\":1";
  for (int i = 0; i < 1000; ++i) wide += ",\"" + std::to_string(i) + "\":1";
  CHECK(problem(wide + "}") == "config.json: has 1001 values, more than the 1000 that a page shows");
}

TEST_CASE("run view: numbers of more names than a page can show are the run's problem") {
  Fixture f;
  std::string line = "{\"step\":1";
  for (int i = 0; i < 1001; ++i) line += ",\"" + std::to_string(i) + "\":1";
  f.write(line + "}\n");
  RunView view(f.run);
  CHECK(view.problem() == "metrics: " + f.run.file("metrics.jsonl") + ": has more than 1000 different names");
  CHECK(view.curves().size() == 1000);
}

TEST_CASE("run view: thinning keeps the ends, the order and what sticks out") {
  Curve long_one{"train_loss", {}, {}};
  for (int64_t i = 1; i <= 10000; ++i) {
    long_one.step.push_back(i);
    long_one.value.push_back(i == 4321 ? 99 : i == 7000 ? NAN : 10 - static_cast<double>(i) / 1000);
  }
  Curve thin = thinned(long_one, 100);
  CHECK(thin.step.size() <= 200);
  CHECK(thin.step.size() == thin.value.size());
  CHECK(std::is_sorted(thin.step.begin(), thin.step.end()));
  CHECK(thin.step.front() == 1);
  CHECK(thin.step.back() == 10000);
  CHECK(std::count(thin.value.begin(), thin.value.end(), 99.0) == 1);
  CHECK(thinned(long_one, 5000).step.size() == 10000);
}

TEST_CASE("run view: what it tells is JSON with everything a page shows") {
  Fixture f;
  f.write("{\"step\":1,\"train_loss\":null,\"val_loss\":2}\n");
  f.run.save_samples(1, full({1, 1, 2, 2}, 0.5), "Digits");
  f.run.save_text(1, "caf\xc3\xa9 \xff");
  std::ofstream(f.run.file("histograms.jsonl")) << R"({"step":1,"tensors":[{"name":"weights/w","low":0,"high":1,"counts":[1,2]}]})" << "\n";
  RunView view(f.run);
  auto live = Json::parse(view.json("/samples/0/").text()), frozen = Json::parse(view.json("").text());
  CHECK(live["curves"]["train_loss"] == Json::parse(R"({"step":[1],"value":[null]})"));
  CHECK(live["config"]["model.width"] == "8");
  CHECK(live["finished"] == false);
  CHECK(live["pictures"] == Json::parse(R"([{"step":1,"image":"/samples/0/1.png"}])"));
  CHECK(live["pictures_title"] == "Digits");
  CHECK(live["texts"][0]["text"] == "caf\xc3\xa9 \xef\xbf\xbd");  // what is not UTF-8 is replaced
  CHECK(frozen["pictures"][0]["image"].get<std::string>().starts_with("data:image/png;base64,iVBORw0KGgo"));
  CHECK(Json::parse(view.histograms().text())["lines"][0]["tensors"][0]["counts"] == Json::parse("[1,2]"));
}

TEST_CASE("run view: links out of the directory are not followed, and what is no file is not waited for") {
  Fixture f;
  f.s.put("elsewhere/secret.jsonl", f.line(1, 4));
  f.s.put("elsewhere/secret.png", "secret");
  std::filesystem::create_symlink(f.s.path("elsewhere/secret.jsonl"), f.run.file("metrics.jsonl"));
  std::filesystem::create_symlink(f.s.path("elsewhere/secret.jsonl"), f.run.file("histograms.jsonl"));
  std::filesystem::create_directory(f.run.file("samples"));
  std::filesystem::create_symlink(f.s.path("elsewhere/secret.png"), f.run.samples_path(1));
  std::filesystem::create_symlink(f.s.path("elsewhere/secret.png"), f.run.text_path(1));
  REQUIRE(mkfifo(f.run.samples_path(2).c_str(), 0600) == 0);
  RunView view(f.run);
  CHECK(view.curves().empty());
  CHECK(view.picture(1).empty());
  CHECK(view.picture(2).empty());
  CHECK(view.json("").text().find("secret") == std::string::npos);
  CHECK(Json::parse(view.histograms().text())["lines"].empty());
  std::filesystem::create_symlink(f.s.path("run"), f.s.path("link"));  // the directory itself may be reached by one
  f.s.put("run/samples/step-00000003.png", "inside");
  CHECK(RunView(RunDirectory::open(f.s.path("link"))).picture(3) == "inside");
}

TEST_CASE("run view: samples that begin like gzip files and are none are left out") {
  Fixture f;
  std::string damaged = "\x1f\x8bp no gzip";
  for (const char* name : {"title.txt", "step-00000001.txt", "step-00000002.png"}) f.s.put(std::string("run/samples/") + name, damaged);
  RunView view(f.run);
  auto json = Json::parse(view.json("").text());
  CHECK(json["pictures_title"] == "Samples");
  CHECK(json["texts"][0]["text"] == "");
  CHECK(view.picture(2).empty());
}

TEST_CASE("run view: samples that are no directory are none") {
  Fixture f;
  f.s.put("run/samples", "a file");
  RunView view(f.run);
  view.update();
  CHECK(Json::parse(view.json("").text())["pictures"].empty());
}

TEST_CASE("page: one file that asks nobody for anything, whatever a run holds") {
  Fixture f;
  f.write(f.line(1, 4));
  f.run.save_text(1, "</script><img src=x>");
  std::string page = frozen_page("<b>", {RunView(f.run)});
  CHECK(page.find("<title>&lt;b&gt;</title>") != std::string::npos);
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.find("<img src=x>") == std::string::npos);
  for (const char* outside : {"src=\"http", "href=\"http", "url(http", "@import"})
    CHECK_MESSAGE(page.find(outside) == std::string::npos, outside);
  size_t data = page.find("type=\"application/json\">") + 24;
  auto json = Json::parse(page.substr(data, page.find("</script>", data) - data));
  CHECK(json["runs"][0]["texts"][0]["text"] == "</script><img src=x>");
  CHECK(json["histograms"].size() == 1);
}

TEST_CASE("page: the live page loads its parts from its server alone") {
  std::string page = live_page();
  for (const char* part : {"board.css", "chart.js", "board.js"}) {
    CHECK(page.find("=\"/" + std::string(part) + "\"") != std::string::npos);
    CHECK(page_part(part).size() > 500);
  }
  CHECK(page_part("../board.css").empty());
}
