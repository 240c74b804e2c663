// PNG through libpng. It reports errors by longjmp, so every function that calls setjmp holds nothing with a destructor: buffers and
// tensors belong to its caller.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <new>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"
#include "engine/io/image.h"
#include "engine/io/image_geometry.h"

namespace plumb {
namespace {

constexpr int64_t kLargestSide = 1'000'000;  // libpng's own limit

struct Message {
  char text[128] = "";
};
void keep_message(png_structp png, png_const_charp text) {
  auto* message = static_cast<Message*>(png_get_error_ptr(png));
  std::strncpy(message->text, text, sizeof message->text - 1);
  png_longjmp(png, 1);
}
void ignore_warning(png_structp, png_const_charp) {}

struct Source {
  const char* next;
  size_t left;
};
void read_source(png_structp png, png_bytep out, size_t size) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (source->left < size) png_error(png, "the file is truncated");
  std::memcpy(out, source->next, size);
  source->next += size;
  source->left -= size;
}

struct Reader {
  Message message;
  Source source;
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit Reader(std::string_view bytes) : source{bytes.data(), bytes.size()} {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, keep_message, ignore_warning);
    info = png ? png_create_info_struct(png) : nullptr;
    if (!info) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc();
    }
    png_set_read_fn(png, &source, read_source);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Layout {
  png_uint_32 width, height;
  size_t stored_row_bytes;  // before expansion
  int channels;
};

bool read_layout(Reader& r, Layout& layout) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_read_info(r.png, r.info);
  layout.width = png_get_image_width(r.png, r.info);
  layout.height = png_get_image_height(r.png, r.info);
  layout.stored_row_bytes = png_get_rowbytes(r.png, r.info);
  png_set_expand(r.png);    // palettes, grey below 8 bits, transparency
  png_set_scale_16(r.png);  // 16 bits to 8, rounded
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  layout.channels = png_get_channels(r.png, r.info);
  return true;
}

bool read_rows(Reader& r, png_bytepp rows) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_read_image(r.png, rows);
  png_read_end(r.png, nullptr);
  return true;
}

// An exception must not cross libpng's frames, nor a longjmp leave a handler.
bool append(std::string& bytes, const png_byte* data, size_t size) {
  try {
    bytes.append(reinterpret_cast<const char*>(data), size);
    return true;
  } catch (const std::bad_alloc&) { return false; }
}
void append_output(png_structp png, png_bytep data, size_t size) {
  if (!append(*static_cast<std::string*>(png_get_io_ptr(png)), data, size)) png_error(png, "out of memory");
}
void flush_output(png_structp) {}

bool write_rows(png_structp png, png_infop info, const ImageGeometry& g, png_bytepp rows) {
  constexpr int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_IHDR(png, info, static_cast<png_uint_32>(g.width), static_cast<png_uint_32>(g.height), 8, types[g.channels - 1],
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

std::vector<png_bytep> row_pointers(const Tensor& image, const ImageGeometry& g) {
  std::vector<png_bytep> rows(static_cast<size_t>(g.height));
  auto* first = static_cast<png_bytep>(image.raw_data());
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = first + y * static_cast<size_t>(g.width * g.channels);
  return rows;
}

}  // namespace

// libpng asks for the memory of some chunks, as long as they say they are, before it reads a byte of them: none may be longer than the
// file.
static void check_chunks(std::string_view bytes, const std::string& path) {
  for (size_t at = 8; at + 8 <= bytes.size();) {
    size_t length = 0, left = bytes.size() - at - 8;
    for (size_t k = 0; k < 4; ++k) length = length << 8 | static_cast<uint8_t>(bytes[at + k]);
    if (length > left)
      throw_io_error(
          "png", path,
          "cannot be decoded: the file is truncated: a chunk of " + std::to_string(length) + " bytes has " + std::to_string(left));
    if (bytes.substr(at + 4, 4) == "IEND") return;
    at += length + 12;
  }
}

Tensor decode_png(std::string_view bytes, const std::string& path) {
  check_chunks(bytes, path);
  Reader reader(bytes);
  Layout layout{};
  if (!read_layout(reader, layout)) throw_io_error("png", path, std::string("cannot be decoded: ") + reader.message.text);
  // Deflate packs at most 1,032 to 1, so a small file with a huge image is damaged; better said before its memory is asked for.
  if (layout.stored_row_bytes * layout.height > bytes.size() * 1032 + 1024)
    throw_io_error("png", path,
                   "is truncated or corrupt: " + std::to_string(bytes.size()) + " bytes cannot hold " + std::to_string(layout.width) +
                       " × " + std::to_string(layout.height) + " pixels");
  ImageGeometry g{layout.height, layout.width, layout.channels};
  Tensor image = empty({g.height, g.width, g.channels}, u8, cpu, "decode_png");
  std::vector<png_bytep> rows = row_pointers(image, g);
  if (!read_rows(reader, rows.data())) throw_io_error("png", path, std::string("cannot be decoded: ") + reader.message.text);
  return image;
}

std::string encode_png(const Tensor& image) {
  ImageGeometry g = image_geometry("png", image, kLargestSide);
  if (g.channels < 1 || g.channels > 4) throw ShapeError("png: an image has 1 to 4 channels, this tensor is " + to_string(image.shape()));
  Tensor host = host_rows(image);
  std::vector<png_bytep> rows = row_pointers(host, g);
  std::string bytes;
  Message message;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &message, keep_message, ignore_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (info) png_set_write_fn(png, &bytes, append_output, flush_output);
  bool done = info && write_rows(png, info, g, rows.data());
  png_destroy_write_struct(&png, &info);
  if (!done) throw IoError(std::string("png: cannot be encoded: ") + message.text);
  return bytes;
}

}  // namespace plumb
