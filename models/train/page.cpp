// Putting the page together from its parts.
#include "models/train/page.h"

#include "models/train/html.h"

namespace plumb::train {
namespace detail {

extern const unsigned char board_html[], board_css[], board_js[], chart_js[];
extern const unsigned long board_html_size, board_css_size, board_js_size, chart_js_size;

}  // namespace detail

namespace {

std::string_view text_of(const unsigned char* bytes, unsigned long size) { return {reinterpret_cast<const char*>(bytes), size}; }

// The skeleton with its marks replaced; each is there once.
std::string filled(const std::string& title, const std::string& head, const std::string& scripts) {
  std::string page(text_of(detail::board_html, detail::board_html_size));
  auto replace = [&](std::string_view mark, const std::string& text) { page.replace(page.find(mark), mark.size(), text); };
  replace("<!--scripts-->", scripts);  // from the end, so that no mark is looked for in what was put in
  replace("<!--title-->", escape_html(title));
  replace("<!--head-->", "<title>" + escape_html(title) + "</title>\n" + head);
  return page;
}

// JSON within a script element: nothing in it can end the element.
std::string within_script(const std::string& json) {
  std::string out;
  for (char c : json) {
    if (c == '<') out += "\\u003c";
    else out.push_back(c);
  }
  return out;
}

std::string data_of(const std::vector<RunView>& runs) {
  JsonObject json;
  std::vector<JsonObject> views, histograms;
  for (const RunView& run : runs) {
    views.push_back(run.json(""));
    histograms.push_back(run.histograms());
  }
  json.set("runs", views);
  json.set("histograms", histograms);
  return json.text();
}

}  // namespace

std::string_view page_part(std::string_view name) {
  if (name == "board.css") return text_of(detail::board_css, detail::board_css_size);
  if (name == "board.js") return text_of(detail::board_js, detail::board_js_size);
  if (name == "chart.js") return text_of(detail::chart_js, detail::chart_js_size);
  return {};
}

std::string live_page() {
  return filled("plumb board", "<link rel=\"stylesheet\" href=\"/board.css\">\n<link rel=\"icon\" href=\"data:,\">",
                "<script src=\"/chart.js\"></script>\n<script src=\"/board.js\"></script>");
}

std::string frozen_page(const std::string& title, const std::vector<RunView>& runs) {
  std::string head =
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
      "'unsafe-inline'\">\n<style>\n";
  head += page_part("board.css");
  head += "</style>";
  std::string scripts = "<script id=\"data\" type=\"application/json\">" + within_script(data_of(runs)) + "</script>\n";
  for (const char* part : {"chart.js", "board.js"}) scripts += "<script>\n" + std::string(page_part(part)) + "</script>\n";
  return filled(title, head, scripts);
}

}  // namespace plumb::train
