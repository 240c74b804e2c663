# Compiles a file's bytes into a target: plumb_embed(target file namespace name) defines, in C++,
#   extern const unsigned char <name>[];  extern const unsigned long <name>_size;
# Run as a script (cmake -P) it writes that source; the build does so when the file changes.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${FILE}" bytes HEX)
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
  set(source ${PROJECT_BINARY_DIR}/embedded/${name}.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/PlumbEmbed.cmake)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DFILE=${PROJECT_SOURCE_DIR}/${file} -DSOURCE=${source} -DNAMESPACE=${namespace} -DNAME=${name} -P ${script}
    DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${script} VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
