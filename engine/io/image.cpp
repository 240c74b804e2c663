// Telling image files apart.
#include "engine/io/image.h"

#include "engine/io/file.h"

namespace plumb {

Tensor decode_image(std::string_view bytes, const std::string& path) {
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, path);
  if (bytes.starts_with("\xff\xd8")) return decode_jpeg(bytes, path);
  throw_io_error("image", path,
                 bytes.empty() ? "is empty; was its download or copy cut off?" : "is neither PNG nor JPEG; convert it to one of them");
}

Tensor load_image(const std::string& path) { return decode_image(read_nonempty_file(path), path); }
void save_png(const std::string& path, const Tensor& image) { write_file_atomic(path, encode_png(image)); }
void save_jpeg(const std::string& path, const Tensor& image, int quality) { write_file_atomic(path, encode_jpeg(image, quality)); }

}  // namespace plumb
