// What fuzzing and reading the readers found, each with an input that did harm before it was mended: inputs that are too large to be kept
// as files, made here, and those that need several files.
#include <cstdio>
#include <numeric>

#include <doctest/doctest.h>
#include <jpeglib.h>

#include "engine/core/error.h"
#include "engine/data/captioned_images.h"
#include "engine/data/table.h"
#include "engine/data/table_encoder.h"
#include "engine/data/text_pairs.h"
#include "engine/io/csv.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/internal/json_limits.h"
#include "engine/io/internal/relative_path.h"
#include "engine/io/internal/unpack_limit.h"
#include "engine/io/json_object.h"
#include "engine/io/tokenizer.h"
#include "engine/io/ts.h"
#include "engine/io/zip.h"
#include "methods/results.h"
#include "models/transformer/internal/hugging_face.h"
#include "models/transformer/sentence_encoder.h"
#include "tests/fuzz/target.h"
#include "tests/scratch.h"

using namespace plumb;
using plumb_fuzz::with_file;

namespace {

std::string repeated(const std::string& text, size_t times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

template <typename E, typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) { return error.what(); }
  return "";
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<int64_t> row_numbers(int64_t n) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// An archive whose directory has its first entry `times` times: all share the same data.
std::string overlapping_zip(uint16_t times) {
  std::string archive = zip_bytes({{"a", std::string(100'000, 'x')}}, true, "x.zip");
  size_t end = archive.size() - 22,
         start = static_cast<size_t>(static_cast<uint8_t>(archive[end + 16]) | static_cast<uint8_t>(archive[end + 17]) << 8);
  std::string entry = archive.substr(start, end - start), tail = archive.substr(end);
  tail[8] = tail[10] = static_cast<char>(times), tail[9] = tail[11] = static_cast<char>(times >> 8);
  return archive.substr(0, start) + repeated(entry, times) + tail;
}

/// A grey image of 8 × 8 pixels as a progressive JPEG of 256 scans: every coefficient alone, in four steps of precision.
std::string many_scans() {
  std::vector<jpeg_scan_info> script;
  for (int step = 0; step < 4; ++step)
    for (int k = 0; k < 64; ++k)
      script.push_back({.comps_in_scan = 1, .component_index = {0}, .Ss = k, .Se = k, .Ah = step ? 4 - step : 0, .Al = 3 - step});
  jpeg_error_mgr errors;
  jpeg_compress_struct codec{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &bytes, &size);
  codec.image_width = codec.image_height = 8;
  codec.input_components = 1;
  codec.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&codec);
  codec.scan_info = script.data();
  codec.num_scans = static_cast<int>(script.size());
  jpeg_start_compress(&codec, TRUE);
  JSAMPLE pixels[8] = {0, 40, 80, 120, 160, 200, 240, 255};
  for (JSAMPROW row = pixels; codec.next_scanline < 8;) jpeg_write_scanlines(&codec, &row, 1);
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  std::string out(reinterpret_cast<char*>(bytes), size);
  std::free(bytes);
  return out;
}

}  // namespace

TEST_CASE("json: lists nested by the hundred thousand used up the stack when an error printed them") {
  std::string deep = R"({"a":)" + repeated("[", 200'000) + repeated("]", 200'000) + "}";
  CHECK_THROWS_WITH_AS(JsonObject::parse(deep, "x"), "x: nested more than 64 deep", ConfigError);
  CHECK(mentions(message_of<IoError>([&] { Tokenizer::from_json(deep, "t.json"); }), "t.json: is nested more than 64 deep"));
  transformer::EncoderConfig config;
  CHECK(mentions(message_of<ConfigError>([&] { transformer::detail::read_config(deep, "c.json", config); }),
                 "c.json: is nested more than 64 deep"));
  std::string allowed = R"({"a":)" + repeated("[", 63) + repeated("]", 63) + "}";
  CHECK(JsonObject::parse(allowed, "x").text() == allowed);
}

TEST_CASE("json: depth and names are told without being fooled by strings") {
  CHECK(json_extent(R"({"[[[[": "{\"{:", "b": [1, [2]], "c": {"d": 1}})").depth == 3);
  CHECK(json_extent(R"({"[[[[": "{\"{:", "b": [1, [2]], "c": {"d": 1}})").names == 3);
  CHECK(json_extent("]]}}").depth == 0);
}

TEST_CASE("json: an object of very many names took a time of their square") {
  std::string wide = "{";
  for (int i = 0; i < 2'001; ++i) wide += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  CHECK_THROWS_WITH_AS(JsonObject::parse(wide + "}", "x"), "x: an object has more than 2000 names", ConfigError);
}

TEST_CASE("json: a long name around many values stood before each of them in a list, which took memory of their square") {
  std::string object = R"({")" + std::string(32'000, 'a') + R"(":{"x":1)";
  for (int i = 0; i < 100; ++i) object += ",\"" + std::to_string(i) + "\":1";
  JsonObject json = JsonObject::parse(object + "}}", "x");
  CHECK_THROWS_WITH_AS(json.listing(), "x: its values' names, with those of the objects around them, are more than 1 MiB long",
                       ConfigError);
}

TEST_CASE("results: numbers at the ends of their range were written as null, which is no number") {
  using methods::Results;
  Results results = Results::from_json(
      R"({"method":"m","cells":[{"variant":"a","seconds":1e308,"curves":[{"x":[1,2,3],"y":[1e-320,1.79769e308,1e308]}]},)"
      R"({"variant":"a","curves":[{"x":[3],"y":[1e308]}]}]})",
      "results.json");
  Results again = Results::from_json(results.to_json(), "results.json");
  CHECK(again.cells[0].seconds == 1e308);
  REQUIRE(again.cells[0].measured.curves.size() == 1);
  CHECK(again.cells[0].measured.curves[0].y == std::vector<double>{1e-320, 1.79769e308});  // the mean of 1e308 and 1e308 is a gap
}

TEST_CASE("zip: entries that share their data unpack it again and again") {
  CHECK(read_zip(overlapping_zip(1), "x.zip").size() == 1);
  CHECK(mentions(message_of<IoError>([] { read_zip(overlapping_zip(60'000), "x.zip"); }),
                 "npz: x.zip: entry \"a\" shares its data with another entry"));
}

TEST_CASE("zip, gzip: what unpacks beyond the limit is refused, with the way out") {
  std::string zeros(1 << 20, '\0'), packed = gzip(zeros), archive = zip_bytes({{"a", zeros}, {"b", zeros}}, true, "x.zip");
  CHECK(gunzip(packed, "x.gz", zeros.size()) == zeros);
  CHECK(
      mentions(message_of<IoError>([&] { gunzip(packed, "x.gz", zeros.size() - 1); }), "gunzip: x.gz: unpacks to more than 1048575 bytes"));
  CHECK(read_zip(archive, "x.zip", 2 << 20).size() == 2);
  CHECK(
      mentions(message_of<IoError>([&] { read_zip(archive, "x.zip", (2 << 20) - 1); }), "npz: x.zip: unpacks to more than 2097151 bytes"));
  CHECK(unpack_limit(1000) == size_t{4} << 30);
  CHECK(unpack_limit(size_t{1} << 30) == size_t{100} << 30);
}

TEST_CASE("png: a chunk that claims more bytes than the file has, which were asked for before one was read") {
  std::string bytes = encode_png(zeros({4, 4, 3}, u8)), text = std::string("\x69\x54\x58\x70", 4) + "iTXt" + std::string(20, '\0');
  bytes.insert(33, text);  // behind the signature and the header
  CHECK(mentions(message_of<IoError>([&] { decode_png(bytes, "x.png"); }),
                 "png: x.png: cannot be decoded: the file is truncated: a chunk of 1767135344 bytes has "));
}

TEST_CASE("jpeg: hundreds of scans, each over the whole image") {
  CHECK_THROWS_WITH_AS(decode_jpeg(many_scans(), "x.jpg"), "jpeg: x.jpg: cannot be decoded: it has more than 200 scans", IoError);
}

TEST_CASE("csv: a column's name many times took a time of their square") {
  with_file(repeated("a,", 30'000) + "a.1\n" + repeated("1,", 30'000) + "1\n", [](const std::string& path) {
    CsvTable table = load_csv(path, {.header = CsvOptions::Header::present});
    REQUIRE(table.columns.size() == 30'001);
    CHECK(table.columns[2].name == "a.2");
    CHECK(table.columns[29'999].name == "a.29999");
    CHECK(table.columns[30'000].name == "a.1.1");
  });
}

TEST_CASE("ts: one long channel among many short ones, in one series or in each, would be padded to a size of their square") {
  std::string text = "@data\n" + repeated("1:", 200'000) + repeated("1,", 200'000) + "1\n";
  with_file(text, [](const std::string& path) {
    CHECK(mentions(message_of<IoError>([&] { load_ts(path); }), "line 2 has a channel of 200001 steps, but most are so short"));
  });
  with_file("@data\n" + repeated(repeated("1:", 3999) + repeated("1,", 3999) + "1\n", 16), [](const std::string& path) {
    CHECK(mentions(message_of<IoError>([&] { load_ts(path); }), "has a channel of 4000 steps, but most are so short"));
  });
}

TEST_CASE("tables: a different text in every row, of which each would become an input, or each be looked up among all") {
  std::string names = "name,y\n", labels = "x,y\n";
  for (int i = 0; i < 100'000; ++i) names += "n" + std::to_string(i) + ",1\n", labels += "1,n" + std::to_string(i) + "\n";
  std::string expected = "table: column \"name\" has 100000 different texts, and a 0/1 input for each is for at most 2048";
  with_file(names, [&](const std::string& path) {
    CHECK(mentions(message_of<ValueError>([&] { data::csv_table(path, {.one_hot = true}); }), expected));
    CHECK(mentions(message_of<ValueError>([&] { data::TableEncoder::fit(load_csv(path), {"name"}, row_numbers(100'000)); }), expected));
    CHECK(data::csv_table(path).data.size() == 100'000);  // as places among the texts they are no more than the file
  });
  with_file(labels, [](const std::string& path) {
    data::Table table = data::csv_table(path);
    CHECK(table.class_names.size() == 100'000);
    CHECK(table.data.labels().back() == 99'999);
  });
}

TEST_CASE("comments: each name of a header was looked for in all lines of the source file") {
  std::string header, source;
  for (int i = 0; i < 50'000; ++i) {
    header += "/// One of many.\nint f" + std::to_string(i) + "();\n";
    source += "int g" + std::to_string(i) + "() {}\n";
  }
  source += "int f49999() { return 3; }\nint f49999() { return 4; }\n";
  auto pairs = data::comment_pairs(header, source);
  REQUIRE(pairs.size() == 50'000);
  CHECK(pairs[0].document == "int f0();");
  CHECK(pairs[49'999].document == "int f49999() { return 3; }");
}

TEST_CASE("paths in files that climb out of the file's directory") {
  for (const char* inside : {"a.png", "images/a.png", "./a", "a..b/..c"}) CHECK(stays_below(inside));
  for (const char* outside : {"", "/etc/passwd", "..", "../a", "images/../../a", "a/.."}) CHECK_FALSE(stays_below(outside));
  CHECK_FALSE(stays_below(std::string("a\0b", 3)));

  plumb_test::Scratch scratch;
  std::string captions = scratch.put("below/captions.csv", "image,caption\n../secret.png,x\n");
  save_png(scratch.path("secret.png"), zeros({2, 2, 3}, u8));
  CHECK(mentions(message_of<IoError>([&] { data::captioned_images(captions, 3); }),
                 "row 1 names the image \"../secret.png\", which is not below the file's directory"));

  scratch.put("below/modules.json", R"([{"type":"sentence_transformers.models.Pooling","path":"../other"}])");
  CHECK(mentions(message_of<ConfigError>([&] { transformer::SentenceEncoder::load(scratch.path("below")); }),
                 "the module's path \"../other\" is not below the directory"));
}

TEST_CASE("values of the wrong kind in foreign configurations were errors of the parser's, not Plumb's") {
  auto llama = [](const std::string& rope) {
    transformer::LlamaConfig config;
    return message_of<ConfigError>([&] {
      transformer::detail::read_config(
          R"({"model_type":"llama","vocab_size":9,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,)"
          R"("max_position_embeddings":8,"rope_scaling":)" +
              rope + "}",
          "config.json", config);
    });
  };
  CHECK(mentions(llama("7"), "\"rope_scaling\" is no object"));
  CHECK(mentions(llama(R"({"rope_type":3})"), "\"rope_type\" has a value of the wrong kind: 3"));
  transformer::EncoderConfig config;
  CHECK(mentions(
      message_of<ConfigError>([&] { transformer::detail::read_config(R"({"model_type":"bert","vocab_size":1e300})", "c", config); }),
      "\"vocab_size\" has a value of the wrong kind: 1e+300"));

  plumb_test::Scratch scratch;
  scratch.put("modules.json", R"([{"type":7}])");
  std::string sentence = "sentence_encoder: " + scratch.path();
  auto load = [&] { return message_of<ConfigError>([&] { transformer::SentenceEncoder::load(scratch.path()); }); };
  CHECK(mentions(load(), "type must be a string, it is 7"));
  scratch.put("modules.json", "7");
  CHECK(load() == sentence + "/modules.json: is no JSON list of objects, or nested more than 64 deep");
  scratch.put("modules.json", R"([{"type":"x.Transformer"}])");
  scratch.put("sentence_bert_config.json", R"({"max_seq_length":1e300})");  // was cast to a whole number, whatever came of it
  CHECK(load() == sentence + "/sentence_bert_config.json: max_seq_length must be a whole number, it is 1e+300");
  scratch.put("sentence_bert_config.json", R"({"max_seq_length":-5})");
  CHECK(load() == sentence + "/sentence_bert_config.json: max_seq_length is -5, which leaves no room for the two markers");
}
