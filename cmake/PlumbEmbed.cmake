# Compiles a file's bytes into a target: plumb_embed(target file namespace name [GZIP]) defines, in C++,
#   extern const unsigned char <name>[];  extern const unsigned long <name>_size;
# which hold the file, with GZIP compressed.
# Run as a script (cmake -P) it writes that source; the build does so when the file changes.
if(CMAKE_SCRIPT_MODE_FILE)
  if(COMPRESS)
    file(ARCHIVE_CREATE OUTPUT ${SOURCE}.gz PATHS ${FILE} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
    file(READ ${SOURCE}.gz bytes HEX)
    file(REMOVE ${SOURCE}.gz)
    string(SUBSTRING "${bytes}" 0 8 magic)
    string(SUBSTRING "${bytes}" 16 -1 rest)
    set(bytes "${magic}00000000${rest}")  # no time stamp: equal files give equal code
  else()
    file(READ ${FILE} bytes HEX)
  endif()
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  file(WRITE "${SOURCE}" "namespace ${NAMESPACE} {
extern const unsigned char ${NAME}[];
extern const unsigned long ${NAME}_size;
const unsigned char ${NAME}[] = {${bytes}};
const unsigned long ${NAME}_size = ${size};
}  // namespace ${NAMESPACE}
")
  return()
endif()

function(plumb_embed target file namespace name)
  cmake_parse_arguments(PARSE_ARGV 4 arg "GZIP" "" "")
  set(source ${PROJECT_BINARY_DIR}/embedded/${name}.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/PlumbEmbed.cmake)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DFILE=${PROJECT_SOURCE_DIR}/${file} -DSOURCE=${source} -DNAMESPACE=${namespace} -DNAME=${name} -DCOMPRESS=${arg_GZIP} -P ${script}
    DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${script} VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
