// Tables, charts and pictures as HTML.
#include "methods/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "engine/io/file.h"
#include "methods/tables.h"
#include "models/train/html.h"
#include "models/train/line_chart.h"

namespace plumb::methods {
namespace {

using train::escape_html;

constexpr std::array kColours{"#7f7f7f", "#c0392b", "#2471a3", "#2c7a4b", "#b7770d", "#8e6bb0",
                              "#16a085", "#d35480", "#5d4037", "#333333", "#9db7d5", "#99a31b"};

// Letters and digits, all else as one dash: two dashes only ever stand between variant and title.
std::string file_letters(const std::string& text) {
  std::string name;
  for (char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!name.empty() && name.back() != '-') name += '-';
  }
  if (name.ends_with('-')) name.pop_back();
  return name;
}

// The cells of a Markdown table line, which table_markdown wrote.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t at = 1, end; (end = line.find('|', at)) != std::string::npos; at = end + 1)
    cells.push_back(line.substr(at + 1, end - at - 2));
  return cells;
}

std::string table_html(const Experiment& experiment, const Results& results) {
  std::string markdown = table_markdown(experiment, results), html = "<div class='wide'><table>\n";
  size_t number = 0;
  for (size_t at = 0, end; (end = markdown.find('\n', at)) != std::string::npos; at = end + 1, ++number) {
    if (number == 1) continue;
    const char* tag = number == 0 ? "th" : "td";
    html += "<tr>";
    for (const std::string& cell : cells_of(markdown.substr(at, end - at))) html += fmt::format("<{0}>{1}</{0}>", tag, escape_html(cell));
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string legend(const std::vector<train::Series>& series, const std::vector<std::string>& names) {
  std::string html = "<p>";
  for (size_t i = 0; i < series.size(); ++i)
    html += fmt::format("<span style='color:{};white-space:nowrap'>&#9473; {}</span> &ensp;", series[i].colour, escape_html(names[i]));
  return html + "</p>\n";
}

// A chart for every name of one, with a line for each variant (and each of its lines).
std::string charts(const Results& results) {
  std::vector<MeanCurve> means = mean_curves(results);
  std::vector<std::string> titles;
  for (const MeanCurve& m : means)
    if (std::ranges::find(titles, m.curve.chart) == titles.end()) titles.push_back(m.curve.chart);
  std::string html;
  for (const std::string& title : titles) {
    std::vector<train::Series> series;
    std::vector<std::string> names;
    std::string x_label;
    for (const MeanCurve& m : means) {
      if (m.curve.chart != title) continue;
      bool few = m.curve.x.size() <= 12;
      series.push_back({"", m.curve.x, m.curve.y, kColours[series.size() % kColours.size()], few});
      names.push_back(m.curve.line.empty() ? m.variant : m.variant + ": " + m.curve.line);
      x_label = m.curve.x_label;
    }
    html += train::line_chart(title, x_label, series) + legend(series, names);
  }
  return html;
}

// Those of the first seed, which are what is kept.
std::string pictures(const std::string& directory, const Experiment& experiment, const Results& results) {
  std::string html;
  if (directory.empty() || !path_exists(directory + "/pictures")) return html;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/pictures")) files.push_back(entry.path().filename().string());
  std::ranges::sort(files);
  for (const Variant& v : experiment.variants)
    for (const std::string& file : files)
      if (std::string start = file_letters(v.name) + "--"; file.starts_with(start) && file.ends_with(".png")) {
        std::string title = file.substr(start.size(), file.size() - start.size() - 4);
        std::ranges::replace(title, '-', ' ');
        html += train::html_picture(v.name + ": " + title, read_file(directory + "/pictures/" + file));
      }
  if (html.empty() || results.cells.empty()) return html;
  uint64_t seed = std::ranges::min(results.cells, {}, &CellResult::seed).seed;
  return fmt::format("<h2>Pictures, seed {}</h2>\n", seed) + html;
}

std::string facts(const Results& results) {
  std::string budget = words_of(results.budget)[static_cast<size_t>(results.budget)];
  return fmt::format("<p class='about'>{} seeds, budget {}, {}; {}, {}<br><code>{}</code></p>\n", results.seeds().size(), budget,
                     escape_html(results.device), escape_html(results.machine), escape_html(results.date), escape_html(results.command));
}

std::string variants_html(const Experiment& experiment) {
  std::string html = "<table>\n";
  for (const Variant& v : experiment.variants)
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(v.name), escape_html(v.about));
  return html + "</table>\n";
}

std::string body(const Method& method, const Experiment& experiment, const Results& results, const std::string& directory) {
  std::string html = fmt::format("<p>{}</p>\n<p class='about'>{}</p>\n", escape_html(experiment.claim), escape_html(experiment.paper));
  if (std::string measured = effect(experiment, results); !measured.empty()) html += "<p>Measured: " + escape_html(measured) + ".</p>\n";
  html += table_html(experiment, results) + facts(results) + charts(results) + pictures(directory, experiment, results);
  return html + "<h2>Variants</h2>\n" + variants_html(experiment) + fmt::format("<p class='about'>methods/{}</p>\n", folder_of(method));
}

}  // namespace

std::string picture_file(const std::string& variant, const std::string& title) {
  return "pictures/" + file_letters(variant) + "--" + file_letters(title) + ".png";
}

std::string experiment_page(const Method& method, const Results& results, const std::string& directory) {
  Experiment experiment = method.experiment();
  return train::html_page(experiment.title, body(method, experiment, results, directory));
}

std::string index_page(const std::vector<std::pair<const Method*, Results>>& stored) {
  std::string html = "<div class='wide'><table>\n<tr><th>method</th><th>family</th><th>effect</th></tr>\n";
  for (const auto& [method, results] : stored) {
    Experiment e = method->experiment();
    html += fmt::format("<tr><td><a href='#{0}'>{1}</a></td><td>{2}</td><td>{3}</td></tr>\n", method->slug, escape_html(e.title),
                        method->family, escape_html(effect(e, results)));
  }
  html += "</table></div>\n";
  for (const auto& [method, results] : stored) {
    Experiment e = method->experiment();
    html += fmt::format("<h2 id='{}'>{}</h2>\n", method->slug, escape_html(e.title)) + body(*method, e, results, "");
  }
  return train::html_page("Methods, measured", html);
}

}  // namespace plumb::methods
