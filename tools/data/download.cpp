// HTTP through libcurl.
#include "tools/data/download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "engine/core/error.h"

namespace plumb::tools {
namespace {

constexpr int kMostAttempts = 8;

/// One attempt: what curl needs between its callbacks.
struct Transfer {
  std::FILE* file = nullptr;
  int64_t start = 0;  ///< bytes that were there before
  const Progress* progress = nullptr;
  int write_error = 0;
};

size_t write_piece(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  size_t written = std::fwrite(data, 1, size * count, transfer->file);
  if (written != size * count) transfer->write_error = errno;
  return written;
}

int show_progress(void* context, curl_off_t total, curl_off_t received, curl_off_t, curl_off_t) {
  auto* transfer = static_cast<Transfer*>(context);
  if (*transfer->progress) (*transfer->progress)(transfer->start + received, total > 0 ? transfer->start + total : 0);
  return 0;
}

struct Outcome {
  CURLcode code;
  long status;
  std::string detail;
};

Outcome attempt(const std::string& url, Transfer& transfer) {
  std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) throw std::bad_alloc();
  char detail[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);  // nothing for a minute: the connection is dead
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "plumb");
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, write_piece);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, show_progress);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  if (transfer.start > 0) curl_easy_setopt(curl.get(), CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.start));
  Outcome outcome{curl_easy_perform(curl.get()), 0, ""};
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &outcome.status);
  outcome.detail = *detail ? detail : curl_easy_strerror(outcome.code);
  return outcome;
}

[[noreturn]] void cannot_write(const std::string& part, int error) {
  throw IoError(fmt::format("{}: {}", part, std::strerror(error)));
}

int64_t size_of(const std::string& path) {
  std::error_code none;
  auto size = std::filesystem::file_size(path, none);
  return none ? 0 : static_cast<int64_t>(size);
}

/// Opens `part` at byte `start`, runs one attempt, closes.
Outcome attempt_into(const std::string& url, const std::string& part, int64_t start, const Progress& progress) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(part.c_str(), start > 0 ? "ab" : "wb"), std::fclose);
  if (!file) cannot_write(part, errno);
  Transfer transfer{file.get(), start, &progress, 0};
  Outcome outcome = attempt(url, transfer);
  if (transfer.write_error) cannot_write(part, transfer.write_error);
  if (std::fclose(file.release()) != 0) cannot_write(part, errno);
  return outcome;
}

bool connection_broke(CURLcode code) {
  return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_HTTP2_STREAM;
}

}  // namespace

void download(const std::string& url, const std::string& part, const Progress& progress) {
  int64_t there = size_of(part);
  for (int tries = 1;; ++tries) {
    Outcome outcome = attempt_into(url, part, there, progress);
    if (outcome.code == CURLE_OK) return;
    int64_t now = size_of(part);
    // 416: the beginning that is there does not fit what the server has; CURLE_RANGE_ERROR: the server sends whole files only.
    bool start_over = there > 0 && (outcome.code == CURLE_RANGE_ERROR || outcome.status == 416);
    if (start_over && tries < kMostAttempts) {
      there = 0;
      continue;
    }
    if (connection_broke(outcome.code) && now > there && tries < kMostAttempts) {
      there = now;
      continue;
    }
    if (outcome.code == CURLE_HTTP_RETURNED_ERROR) throw IoError(fmt::format("{}: the server answers {}", url, outcome.status));
    if (now > 0) throw IoError(fmt::format("{}: {}; {} bytes are in {}, run the command again to go on", url, outcome.detail, now, part));
    throw IoError(fmt::format("{}: {}", url, outcome.detail));
  }
}

}  // namespace plumb::tools
