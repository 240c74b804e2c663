// The page of `plumb board` and report.html in a real browser, headless Chromium: what it draws, live and frozen, and that it asks nobody
// else. With PLUMB_SCREENSHOTS=DIR pictures of it are written there, light and dark, wide and narrow.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

#include "engine/io/image.h"
#include "models/train/page.h"
#include "tests/tools/browser.h"
#include "tools/board/server.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

size_t times(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

// Two runs, of 60 and 30 steps, with everything a run can have.
struct Runs {
  Scratch s;
  std::vector<train::RunDirectory> all;

  Runs() {
    for (int i = 0; i < 2; ++i) {
      auto run = train::RunDirectory::create(s.path(i == 0 ? "small" : "large"),
                                             i == 0 ? R"({"kind": "gpt", "width": 64})" : R"({"kind": "gpt", "width": 128})");
      for (int step = 1; step <= 60 / (i + 1); ++step) add(run, step);
      run.save_samples(20, full({4, 1, 8, 8}, 0.5), "Digits <&>");
      run.save_text(20, "<b>Once</b> upon");
      std::ofstream(run.file("histograms.jsonl")) << R"({"step":10,"tensors":[{"name":"weights/up","low":-1,"high":1,"counts":[1,5,2]}]})"
                                                  << "\n"
                                                  << R"({"step":20,"tensors":[{"name":"weights/up","low":-2,"high":1,"counts":[2,5,1]}]})"
                                                  << "\n";
      all.push_back(run);
    }
  }
  static void add(const train::RunDirectory& run, int step) {
    std::ofstream file(run.file("metrics.jsonl"), std::ios::app);
    file << "{\"step\":" << step << ",\"train_loss\":" << 1 + 3 * std::exp(-step / 20.0) << ",\"lr\":0.001,\"grad_norm\":" << 1.0 / step
         << ",\"tokens_per_s\":1000,\"memory_mib\":64.5";
    if (step % 10 == 0) file << ",\"val_loss\":" << 1.2 + 3 * std::exp(-step / 20.0) << ",\"val_accuracy\":" << 0.01 * step;
    file << "}\n";
  }
};

// What both pages show of these runs.
void check_drawn(const std::string& page) {
  for (const char* title : {"Loss", "Accuracy", "Learning rate", "Gradient norm", "Tokens per second", "Memory of tensors, MiB"})
    CHECK_MESSAGE(page.find("<h3>" + std::string(title) + "</h3>") != std::string::npos, title);
  CHECK(times(page, "<figure class=\"card") >= 6 + 4 + 2);  // charts, samples, histograms
  CHECK(times(page, "class=\"raw run-1\"") == 4);           // loss, gradient norm, rate, memory
  CHECK(times(page, "class=\"dashed run-0\"") == 2);        // validation loss and accuracy
  CHECK(times(page, "class=\"dot run-0\"") == 12);
  CHECK(times(page, "class=\"ridge run-1\"") == 2);
  CHECK(page.find("<img src=\"") != std::string::npos);
  CHECK(page.find("<pre>&lt;b&gt;Once&lt;/b&gt; upon</pre>") != std::string::npos);
  CHECK(page.find("<tr class=\"differs\"><td>width</td><td>64</td><td>128</td></tr>") != std::string::npos);
  for (const char* undefined : {"MNaN", "LNaN", ">NaN<", "\"NaN"}) CHECK_MESSAGE(page.find(undefined) == std::string::npos, undefined);
}

}  // namespace

TEST_CASE("board page: one frozen file shows everything of two runs") {
  std::string browser = chromium();
  if (browser.empty()) return;
  Runs runs;
  std::vector<train::RunView> views(runs.all.begin(), runs.all.end());
  runs.s.put("page.html", train::frozen_page("2 runs", views));
  Outcome shown = browse(browser, runs.s, "file://" + runs.s.path("page.html"), "--dump-dom");
  REQUIRE(shown.code == 0);
  check_drawn(shown.out);
  CHECK(shown.out.find("60 steps; training loss 1.1494, validation loss 1.3494, validation accuracy 0.6000.") != std::string::npos);
}

TEST_CASE("board page: live, it shows the same and what is added while it is open") {
  std::string browser = chromium();
  if (browser.empty()) return;
  Runs runs;
  tools::BoardServer server(runs.all, 0);
  std::thread serving([&] { server.serve(); });
  std::atomic<bool> over = false;
  std::thread training([&] {  // steps without measures come in while the page is open
    for (int step = 61; !over && step < 2000; ++step) {
      if (step % 10 != 0) Runs::add(runs.all[0], step);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  Outcome shown = browse(browser, runs.s, "http://127.0.0.1:" + std::to_string(server.port()) + "/", "--dump-dom");
  over = true;
  training.join();
  server.stop();
  serving.join();
  REQUIRE(shown.code == 0);
  check_drawn(shown.out);
  size_t polls = shown.out.find("data-polls=\"");
  REQUIRE(polls != std::string::npos);
  CHECK(std::stoi(shown.out.substr(polls + 12)) >= 2);
  size_t summary = shown.out.find(" steps; training loss");
  REQUIRE(summary != std::string::npos);
  CHECK(std::stoi(shown.out.substr(shown.out.rfind(' ', summary - 1) + 1)) > 60);
  CHECK(shown.out.find("Live; seen at") != std::string::npos);
}

TEST_CASE("board page: pictures of it, light and dark, wide and narrow") {
  const char* directory = std::getenv("PLUMB_SCREENSHOTS");
  std::string browser = chromium();
  if (browser.empty()) return;
  Runs runs;
  std::vector<train::RunView> views(runs.all.begin(), runs.all.end());
  runs.s.put("page.html", train::frozen_page("2 runs", views));
  for (const char* form : {"wide-light", "narrow-dark"}) {
    bool wide = std::string(form).starts_with("wide"), dark = std::string(form).ends_with("dark");
    std::string path = (directory ? std::string(directory) : runs.s.path()) + "/board-test-" + form + ".png";
    Outcome shown = browse(browser, runs.s, "file://" + runs.s.path("page.html"),
                           std::string(wide ? "--window-size=1280,1400" : "--window-size=500,1400") +
                               (dark ? " --blink-settings=preferredColorScheme=0" : "") + " --screenshot=" + path);
    REQUIRE(shown.code == 0);
    Tensor picture = load_image(path);
    CHECK(picture.size(1) == (wide ? 1280 : 500));
    const uint8_t* corner = picture.data<uint8_t>();
    CHECK((corner[0] < 64) == dark);  // the page's own colour
    int64_t drawn = 0;                // of the first run's colour
    const uint8_t blue[2][3] = {{0x24, 0x67, 0xb2}, {0x77, 0xb0, 0xf2}};
    for (int64_t i = 0, channels = picture.size(2); i < picture.size(0) * picture.size(1); ++i)
      drawn += std::equal(blue[dark], blue[dark] + 3, corner + i * channels);
    CHECK(drawn > 300);
  }
}
