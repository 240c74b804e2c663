# plumb_lazy_libraries(target name files…): lets `target`, a static library, call functions of the given shared libraries without linking
# them: each is loaded by the first call to one of its functions. Linking NVIDIA's libraries makes every start of a program half a second
# and 270 MB dearer, whether it uses a GPU or not. A script reads from the target's objects which functions it calls and writes a stub
# for each (cuda/lazy/); only x86-64 has stubs, elsewhere the libraries are linked. The language ASM must be enabled.
function(plumb_lazy_libraries target)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_link_libraries(${target} PRIVATE ${ARGN})
    return()
  endif()
  set(dir ${PROJECT_BINARY_DIR}/lazy)
  string(REPLACE ";" "," libraries "${ARGN}")
  add_custom_command(OUTPUT ${dir}/stubs.S ${dir}/functions.inc
    COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DARCHIVE=$<TARGET_FILE:${target}> -DLIBRARIES=${libraries} -DOUT=${dir}
      -P ${PROJECT_SOURCE_DIR}/cuda/lazy/write_stubs.cmake
    DEPENDS ${target} ${PROJECT_SOURCE_DIR}/cuda/lazy/write_stubs.cmake VERBATIM)
  add_library(${target}_stubs STATIC ${PROJECT_SOURCE_DIR}/cuda/lazy/load.cpp ${dir}/stubs.S ${dir}/functions.inc)
  target_include_directories(${target}_stubs PRIVATE ${dir} ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target}_stubs PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(${target}_stubs PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME cuda_stubs)
  target_link_libraries(${target} INTERFACE ${target}_stubs)
endfunction()
