// The page of one run.
#include "models/train/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/train/line_chart.h"
#include "models/train/metrics.h"

namespace plumb::train {
namespace {

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:800px;padding:0 1rem;color:#222;background:#fff}"
    "svg{width:100%;height:auto;margin:1rem 0}svg text{font:11px system-ui,sans-serif}"
    ".title{font-weight:600;font-size:13px}.grid{stroke:#e6e6e6}table{border-collapse:collapse}td{padding:.1rem 1.2rem .1rem 0;vertical-align:top}"
    "td:first-child{color:#666}pre{background:#f6f6f4;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}";

Series series_of(const std::vector<Metrics>& metrics, const std::string& key, const std::string& name, const std::string& colour, bool dots = false) {
  Series s{name, {}, {}, colour, dots};
  for (const Metrics& m : metrics)
    if (std::isfinite(m[key])) {
      s.x.push_back(static_cast<double>(m.step));
      s.y.push_back(m[key]);
    }
  return s;
}

std::string rows(const nlohmann::ordered_json& object, const std::string& prefix = "") {
  std::string out;
  for (auto& [key, value] : object.items()) {
    if (value.is_object()) out += rows(value, prefix + key + ".");
    else out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(prefix + key), escape_html(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return out;
}

std::string summary(const std::vector<Metrics>& metrics) {
  if (metrics.empty()) return "<p>No step is finished yet.</p>";
  const Metrics& last = metrics.back();
  double validation = std::nan("");
  for (const Metrics& m : metrics)
    if (std::isfinite(m["val_loss"])) validation = m["val_loss"];
  std::string text = fmt::format("<p>{} steps; training loss {:.4f}", last.step, last["train_loss"]);
  if (std::isfinite(validation)) text += fmt::format(", validation loss {:.4f}", validation);
  return text + ".</p>";
}

}  // namespace

void write_report(const RunDirectory& run, const std::string& samples) {
  std::vector<Metrics> metrics;
  if (path_exists(run.file("metrics.jsonl"))) metrics = read_metrics(run.file("metrics.jsonl"));
  std::string title = escape_html(run.path());
  std::string page = fmt::format("<!doctype html><html lang='en'><meta charset='utf-8'><title>{0}</title><style>{1}</style>\n<h1>{0}</h1>\n{2}", title, kStyle, summary(metrics));
  page += line_chart("Loss", "step", {series_of(metrics, "train_loss", "training", "#9db7d5"), series_of(metrics, "val_loss", "validation", "#c0392b", true)});
  page += line_chart("Learning rate", "step", {series_of(metrics, "lr", "", "#2c7a4b")});
  page += line_chart("Gradient norm", "step", {series_of(metrics, "grad_norm", "", "#8e6bb0")});
  for (const char* rate : {"tokens_per_s", "images_per_s"})
    if (!series_of(metrics, rate, "", "").x.empty()) page += line_chart(std::string(rate) == "tokens_per_s" ? "Tokens per second" : "Images per second", "step", {series_of(metrics, rate, "", "#555")});
  if (!samples.empty()) page += "<h2>What it writes</h2>\n<pre>" + escape_html(samples) + "</pre>\n";
  page += "<h2>Configuration</h2>\n<table>" + rows(nlohmann::ordered_json::parse(run.config())) + "</table>\n</html>\n";
  write_file_atomic(run.file("report.html"), page);
}

}  // namespace plumb::train
