// gzip through zlib's inflate and deflate.
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/internal/unpack_limit.h"

namespace plumb {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;
constexpr size_t kPiece = size_t{1} << 30;  // zlib counts in 32 bits

struct Inflater {
  z_stream stream = {};
  Inflater() {
    if (inflateInit2(&stream, kGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream); }
};

// Only zero padding may follow the last member (tapes and some archives add it).
bool only_padding(std::string_view rest) {
  return std::all_of(rest.begin(), rest.end(), [](char c) { return c == 0; });
}

}  // namespace

std::string gunzip(std::string_view compressed, const std::string& path) {
  return gunzip(compressed, path, unpack_limit(compressed.size()));
}

std::string gunzip(std::string_view compressed, const std::string& path, size_t limit) {
  Inflater inflater;
  z_stream& z = inflater.stream;
  std::string out;
  size_t filled = 0, consumed = 0;
  for (;;) {
    size_t input = std::min(compressed.size() - consumed, kPiece);
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data() + consumed));
    z.avail_in = static_cast<uInt>(input);
    if (filled == out.size()) out.resize(std::min(std::max(2 * out.size(), 4 * compressed.size() + 1024), std::max(limit, out.size()) + 1));
    size_t room = std::min(out.size() - filled, kPiece);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    z.avail_out = static_cast<uInt>(room);
    int status = inflate(&z, Z_NO_FLUSH);
    consumed += input - z.avail_in;
    filled += room - z.avail_out;
    if (filled > limit)
      throw_io_error("gunzip", path,
                     "unpacks to more than " + std::to_string(limit) +
                         " bytes, as decompression bombs do; if it is none, unpack it yourself (gunzip) and give the result");
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status == Z_STREAM_END) {
      if (only_padding(compressed.substr(consumed))) break;
      inflateReset(&z);  // another member follows
    } else if (status == Z_BUF_ERROR || (status == Z_OK && consumed == compressed.size() && z.avail_out > 0)) {
      throw_io_error("gunzip", path, "the gzip data ends too early; was the download or copy cut off? Fetch it again");
    } else if (status != Z_OK) {
      throw_io_error("gunzip", path, std::string("the gzip data is corrupt (") + (z.msg ? z.msg : "bad stream") + "); fetch it again");
    }
  }
  out.resize(filled);
  return out;
}

std::string gzip(std::string_view data) {
  z_stream z = {};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out;
  size_t filled = 0, consumed = 0;
  int status = Z_OK;
  try {
    while (status != Z_STREAM_END) {
      size_t input = std::min(data.size() - consumed, kPiece);
      if (filled == out.size()) out.resize(std::max(2 * out.size(), data.size() / 2 + 1024));
      size_t room = std::min(out.size() - filled, kPiece);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data() + consumed));
      z.avail_in = static_cast<uInt>(input);
      z.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
      z.avail_out = static_cast<uInt>(room);
      status = deflate(&z, consumed + input == data.size() ? Z_FINISH : Z_NO_FLUSH);
      consumed += input - z.avail_in;
      filled += room - z.avail_out;
    }
  } catch (...) {
    deflateEnd(&z);
    throw;
  }
  deflateEnd(&z);
  out.resize(filled);
  return out;
}

}  // namespace plumb
