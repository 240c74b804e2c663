// The pages of the real TensorBoard, in headless Chromium, over the event files that training writes: losses, pictures, histograms and text
// are shown. With PLUMB_SCREENSHOTS=DIR pictures of them are written there. PLUMB_PYTHON names a Python that has tensorboard.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/browser.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

std::string python_with_tensorboard() {
  const char* given = std::getenv("PLUMB_PYTHON");
  std::string python = given ? given : "python3";
  bool works = run_shell(python + " -c 'import tensorboard.main'").code == 0;
  if (!works) MESSAGE("skipped: " << python << " has no tensorboard (pip install tensorboard; PLUMB_PYTHON names another Python)");
  return works ? python : "";
}

// TensorBoard on a directory, on any free port of this machine, until its end.
class TensorBoard {
 public:
  TensorBoard(const std::string& python, const Scratch& s, const std::string& runs) {
    std::string log = s.path("tensorboard.log");
    pid_ = fork();
    if (pid_ == 0) {
      std::string command =
          "exec " + python + " -m tensorboard.main --logdir " + runs + " --host 127.0.0.1 --port 0 >" + log + " 2>&1 </dev/null";
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    for (int tries = 0; tries < 1200 && address.empty(); ++tries, usleep(100'000)) {
      std::string said = path_exists(log) ? read_file(log) : "";
      size_t at = said.find("http://127.0.0.1:");
      if (size_t end = said.find('/', at + 7); at != std::string::npos && end != std::string::npos) address = said.substr(at, end - at);
    }
    REQUIRE_MESSAGE(!address.empty(), read_file(log));
  }
  ~TensorBoard() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  TensorBoard(const TensorBoard&) = delete;
  TensorBoard& operator=(const TensorBoard&) = delete;

  std::string address;

 private:
  pid_t pid_;
};

std::string text_file(const Scratch& s) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the " + std::to_string(i % 13) + " cats\n";
  return s.put("text.txt", text);
}

// The words of a page, without its tags, a bar between them.
std::string words(const std::string& page) {
  std::string said = "|";
  bool tag = false;
  for (char c : page) {
    if (c == '<') tag = true;
    bool between = tag || c == ' ' || c == '\n';
    if (!between) said += c;
    else if (!said.ends_with('|')) said += '|';
    if (c == '>') tag = false;
  }
  return said;
}

}  // namespace

TEST_CASE("TensorBoard's pages show what training writes") {
  std::string browser = chromium(), python = browser.empty() ? "" : python_with_tensorboard();
  if (python.empty()) return;
  Scratch s;
  std::string runs = s.path("runs"), text = runs + "/text", images = runs + "/images";
  REQUIRE(run_plumb("train gpt --data " + text_file(s) +
                    " --layers 1 --heads 1 --width 8 --context 8 --batch 4 --steps 4 --eval-every 2 --warmup 1 --out " + text)
              .code == 0);
  REQUIRE(run_plumb(
              "train unet --data digits --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 8 --steps 2 --sample-steps 1 --out " +
              images)
              .code == 0);
  TensorBoard board(python, s, runs);
  // Once `wanted` is there: TensorBoard reads the files, and the page draws, when they get round to it.
  auto page = [&](const std::string& address, const std::string& wanted) {
    std::string shown;
    for (int tries = 0; tries < 20 && shown.find(wanted) == std::string::npos; ++tries)
      shown = browse(browser, s, board.address + address, "--virtual-time-budget=20000 --dump-dom").out;
    return shown;
  };
  for (const char* run : {"images", "text"}) REQUIRE(page("/data/runs", run).find(run) != std::string::npos);

  double loss = train::read_metrics(text + "/metrics.jsonl").back()["val_loss"];
  std::string losses;
  size_t row = std::string::npos;  // of the table under the chart: run, smoothed, value, step
  for (int tries = 0; tries < 20 && row == std::string::npos; ++tries) {
    losses = words(page("/?tagFilter=val_loss#timeseries", ">Relative<"));
    row = losses.find("|text|", losses.find("|Value|"));
  }
  REQUIRE(row != std::string::npos);
  size_t value = losses.find('|', row + 6) + 1;
  CHECK(std::stod(losses.substr(value)) == doctest::Approx(loss).epsilon(1e-3));
  CHECK(losses.substr(losses.find('|', value), 3) == "|4|");

  for (auto [tag, shown] : {std::pair{"Samples", "alt=\"Image at step 2\""}, {"weights/token_embedding.weight", "class=\"histogram "}}) {
    CAPTURE(tag);
    CHECK(page("/?tagFilter=" + std::string(tag) + "#timeseries", shown).find(shown) != std::string::npos);
  }

  std::string config = page("/data/plugin/text/text?run=images&tag=config", "data_sha256");
  CHECK(page("/data/plugin/text/text?run=text&tag=text", "\"step\": 4").find("\"step\": 4") != std::string::npos);
  CHECK(config.find("\"step\": 0") != std::string::npos);
  CHECK(config.find("data_sha256") != std::string::npos);

  // The older pages hide what they hold from --dump-dom; that something is drawn on them shows in pictures.
  const char* directory = std::getenv("PLUMB_SCREENSHOTS");
  for (const char* tab : {"scalars", "images", "histograms", "text"}) {
    CAPTURE(tab);
    std::string path = (directory ? std::string(directory) : s.path()) + "/tensorboard-" + tab + ".png";
    REQUIRE(browse(browser, s, board.address + "/?darkMode=false#" + tab,
                   "--virtual-time-budget=20000 --window-size=1200,1000 --screenshot=" + path)
                .code == 0);
    Tensor seen = load_image(path);
    const uint8_t* pixels = seen.data<uint8_t>();
    int64_t width = seen.size(1), channels = seen.size(2), drawn = 0;
    for (int64_t y = 120; y < seen.size(0); ++y)  // below the head and the filter, right of the list of runs
      for (int64_t x = 340; x < width; ++x) drawn += pixels[(y * width + x) * channels] < 128;
    CHECK(drawn > 1000);
  }
}
