// The page of one run.
#include "models/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "engine/io/file.h"
#include "engine/io/json_object.h"
#include "models/train/html.h"
#include "models/train/line_chart.h"
#include "models/train/metrics.h"

namespace plumb::train {
namespace {

using Measured = std::vector<std::pair<std::string, double>>;

Series series_of(const std::vector<Metrics>& metrics, const std::string& key, const std::string& name, const std::string& colour, bool dots = false) {
  Series s{name, {}, {}, colour, dots};
  for (const Metrics& m : metrics)
    if (std::isfinite(m[key])) {
      s.x.push_back(static_cast<double>(m.step));
      s.y.push_back(m[key]);
    }
  return s;
}

std::string rows(const JsonObject& object) {
  std::string out;
  for (auto& [name, value] : object.listing()) out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(name), escape_html(value));
  return out;
}

// The newest number of each measure whose name begins with `prefix`, in order of first appearance.
Measured newest(const std::vector<Metrics>& metrics, const std::string& prefix) {
  Measured found;
  for (const Metrics& m : metrics)
    for (auto& [name, value] : m.values) {
      if (!name.starts_with(prefix)) continue;
      auto known = std::ranges::find(found, name, &std::pair<std::string, double>::first);
      if (known == found.end()) found.push_back({name, value});
      else known->second = value;
    }
  return found;
}

// val_accuracy: "validation accuracy"; train_discriminator_loss: "training discriminator loss".
std::string spoken(const std::string& name) {
  std::string words = name.starts_with("val_") ? "validation " + name.substr(4) : name.starts_with("train_") ? "training " + name.substr(6) : name;
  std::ranges::replace(words, '_', ' ');
  return words;
}

std::string summary(const std::vector<Metrics>& metrics) {
  if (metrics.empty()) return "<p>No step is finished yet.</p>";
  const Metrics& last = metrics.back();
  std::string text = fmt::format("<p>{} steps; training loss {:.4f}", last.step, last["train_loss"]);
  for (const char* prefix : {"val_", "test_"})
    for (auto& [name, value] : newest(metrics, prefix)) text += fmt::format(", {} {:.4f}", escape_html(spoken(name)), value);
  return text + ".</p>";
}

// Measures of training and validation but for the loss, a chart each.
std::string measure_charts(const std::vector<Metrics>& metrics) {
  std::string charts;
  for (const char* prefix : {"train_", "val_"})
    for (auto& [name, value] : newest(metrics, prefix)) {
      if (name == "train_loss" || name == "val_loss") continue;
      std::string title = spoken(name);
      title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
      charts += line_chart(title, "step", {series_of(metrics, name, "", "#c0392b")});
    }
  return charts;
}

// At most four of the pictures, evenly spaced, the newest among them; inside the page, so that it can be sent alone.
std::string pictures(const RunDirectory& run, const std::string& title) {
  std::vector<int64_t> steps = run.sample_steps();
  if (steps.empty()) return "";
  constexpr size_t kMost = 4;
  size_t shown = std::min(kMost, steps.size());
  std::string html = "<h2>" + escape_html(title) + "</h2>\n";
  for (size_t i = 1; i <= shown; ++i) {
    int64_t step = steps[i * steps.size() / shown - 1];
    html += html_picture(fmt::format("step {}", step), read_file(run.samples_path(step)));
  }
  return html;
}

}  // namespace

void write_report(const RunDirectory& run, const ReportParts& parts) {
  std::vector<Metrics> metrics;
  if (path_exists(run.file("metrics.jsonl"))) metrics = read_metrics(run.file("metrics.jsonl"));
  std::string page = summary(metrics);
  page += line_chart("Loss", "step", {series_of(metrics, "train_loss", "training", "#9db7d5"), series_of(metrics, "val_loss", "validation", "#c0392b", true)});
  page += measure_charts(metrics);
  page += line_chart("Learning rate", "step", {series_of(metrics, "lr", "", "#2c7a4b")});
  if (Series norms = series_of(metrics, "grad_norm", "", "#8e6bb0"); !norms.x.empty() || metrics.empty()) page += line_chart("Gradient norm", "step", {norms});
  for (const char* rate : {"tokens_per_s", "images_per_s"})
    if (!series_of(metrics, rate, "", "").x.empty()) page += line_chart(std::string(rate) == "tokens_per_s" ? "Tokens per second" : "Images per second", "step", {series_of(metrics, rate, "", "#555")});
  page += pictures(run, parts.images_title);
  if (!parts.text.empty()) page += "<h2>What it writes</h2>\n<pre>" + escape_html(parts.text) + "</pre>\n";
  page += "<h2>Configuration</h2>\n<table>" + rows(JsonObject::parse(run.config(), "config.json")) + "</table>\n";
  write_file_atomic(run.file("report.html"), html_page(run.path(), page));
}

}  // namespace plumb::train
