# Takes the first C++ program out of README.md: cmake -DREADME=… -DOUT=… -P readme.cmake
file(READ ${README} text)
string(REPLACE ";" "<semicolon>" text "${text}")  # CMake's own list separator
if(NOT text MATCHES "```cpp\n(([^`]|`[^`])*)```")
  message(FATAL_ERROR "README.md has no C++ program")
endif()
string(REPLACE "<semicolon>" ";" program "${CMAKE_MATCH_1}")
file(WRITE ${OUT} "${program}")
