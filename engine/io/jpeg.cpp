// JPEG through libjpeg-turbo. It reports errors by a function that must not return, so every function that calls setjmp holds nothing
// with a destructor: buffers and tensors belong to its caller.
#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>
#include <cstdlib>
#include <new>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"
#include "engine/io/image.h"
#include "engine/io/image_geometry.h"

namespace plumb {
namespace {

struct ErrorState {
  jpeg_error_mgr manager;  // first: the library passes a pointer to it
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

void leave(j_common_ptr codec) {
  auto* state = reinterpret_cast<ErrorState*>(codec->err);
  codec->err->format_message(codec, state->text);
  longjmp(state->jump, 1);
}

// The library repairs truncated and corrupt data with grey and a warning; here that is an error. Harmless oddities pass.
void warn(j_common_ptr codec, int level) {
  int code = codec->err->msg_code;
  if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR) return;
  leave(codec);
}

jpeg_error_mgr* set_up(ErrorState& state) {
  jpeg_std_error(&state.manager);
  state.manager.error_exit = leave;
  state.manager.emit_message = warn;
  state.text[0] = 0;
  return &state.manager;
}

// Each scan of a progressive file goes over the whole image however small it is: real files have about ten, a hundred at the most.
constexpr int kMostScans = 200;
void count_scans(j_common_ptr codec) {
  if (reinterpret_cast<jpeg_decompress_struct*>(codec)->input_scan_number <= kMostScans) return;
  auto* state = reinterpret_cast<ErrorState*>(codec->err);
  std::snprintf(state->text, sizeof state->text, "it has more than %d scans", kMostScans);
  longjmp(state->jump, 1);
}

struct Decoder {
  ErrorState error;
  jpeg_decompress_struct codec = {};
  jpeg_progress_mgr progress = {};
  Decoder() {
    codec.err = set_up(error);
    progress.progress_monitor = count_scans;
  }
  ~Decoder() { jpeg_destroy_decompress(&codec); }
};

bool read_layout(Decoder& d, std::string_view bytes) {
  if (setjmp(d.error.jump)) return false;
  jpeg_create_decompress(&d.codec);
  jpeg_mem_src(&d.codec, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&d.codec, TRUE);
  return true;
}

bool read_rows(Decoder& d, uint8_t* out, size_t row_bytes) {
  if (setjmp(d.error.jump)) return false;
  d.codec.progress = &d.progress;
  jpeg_start_decompress(&d.codec);
  while (d.codec.output_scanline < d.codec.output_height) {
    JSAMPROW row = out + d.codec.output_scanline * row_bytes;
    jpeg_read_scanlines(&d.codec, &row, 1);
  }
  jpeg_finish_decompress(&d.codec);
  return true;
}

struct Encoder {
  ErrorState error;
  jpeg_compress_struct codec = {};
  unsigned char* bytes = nullptr;  // malloc'd by the library
  unsigned long size = 0;
  Encoder() { codec.err = set_up(error); }
  ~Encoder() {
    jpeg_destroy_compress(&codec);
    std::free(bytes);
  }
};

bool write_rows(Encoder& e, const ImageGeometry& g, uint8_t* pixels, int quality) {
  if (setjmp(e.error.jump)) return false;
  jpeg_create_compress(&e.codec);
  jpeg_mem_dest(&e.codec, &e.bytes, &e.size);
  e.codec.image_width = static_cast<JDIMENSION>(g.width);
  e.codec.image_height = static_cast<JDIMENSION>(g.height);
  e.codec.input_components = static_cast<int>(g.channels);
  e.codec.in_color_space = g.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&e.codec);
  jpeg_set_quality(&e.codec, quality, TRUE);
  jpeg_start_compress(&e.codec, TRUE);
  while (e.codec.next_scanline < e.codec.image_height) {
    JSAMPROW row = pixels + static_cast<size_t>(e.codec.next_scanline) * static_cast<size_t>(g.width * g.channels);
    jpeg_write_scanlines(&e.codec, &row, 1);
  }
  jpeg_finish_compress(&e.codec);
  return true;
}

}  // namespace

Tensor decode_jpeg(std::string_view bytes, const std::string& path) {
  Decoder decoder;
  auto fail = [&] { throw_io_error("jpeg", path, std::string("cannot be decoded: ") + decoder.error.text); };
  if (!read_layout(decoder, bytes)) fail();
  jpeg_decompress_struct& codec = decoder.codec;
  if (codec.jpeg_color_space == JCS_CMYK || codec.jpeg_color_space == JCS_YCCK) throw_io_error("jpeg", path, "is CMYK; convert it to RGB");
  // A block of 64 pixels takes at least a bit. Better said before the memory for a damaged header is asked for.
  int64_t height = codec.image_height, width = codec.image_width, channels = codec.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
  if (height * width > static_cast<int64_t>(bytes.size()) * 1024 + 65536)
    throw_io_error("jpeg", path,
                   "is truncated or corrupt: " + std::to_string(bytes.size()) + " bytes cannot hold " + std::to_string(width) + " × " +
                       std::to_string(height) + " pixels");
  codec.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  Tensor image = empty({height, width, channels}, u8, cpu, "decode_jpeg");
  if (!read_rows(decoder, image.data<uint8_t>(), static_cast<size_t>(width * channels))) fail();
  return image;
}

std::string encode_jpeg(const Tensor& image, int quality) {
  ImageGeometry g = image_geometry("jpeg", image, JPEG_MAX_DIMENSION);
  if (g.channels != 1 && g.channels != 3)
    throw ShapeError("jpeg: an image has 1 or 3 channels, this tensor is " + to_string(image.shape()));
  if (quality < 1 || quality > 100) throw ValueError("jpeg: quality " + std::to_string(quality) + " is outside [1, 100]");
  Tensor host = host_rows(image);
  Encoder encoder;
  if (!write_rows(encoder, g, host.data<uint8_t>(), quality)) throw IoError(std::string("jpeg: cannot be encoded: ") + encoder.error.text);
  return {reinterpret_cast<char*>(encoder.bytes), encoder.size};
}

}  // namespace plumb
