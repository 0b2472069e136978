include(GNUInstallDirs)
include(GoogleTest)

add_library(defectoscope_flags INTERFACE)
target_compile_options(defectoscope_flags INTERFACE -Wall -Wextra -Wconversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # gcc 12 takes std::string's operator+ for overlapping copies (its bug 105329); later ones do not.
  target_compile_options(defectoscope_flags INTERFACE -Wno-restrict)
endif()
if(DEFECTOSCOPE_WERROR)
  target_compile_options(defectoscope_flags INTERFACE -Werror)
endif()
if(DEFECTOSCOPE_SANITIZE)
  target_compile_options(defectoscope_flags INTERFACE -fsanitize=${DEFECTOSCOPE_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # Instrumented, gcc 12 takes the states of std::regex for uninitialized.
  target_compile_options(defectoscope_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(defectoscope_flags INTERFACE -fsanitize=${DEFECTOSCOPE_SANITIZE})
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # What gcc 12's own std::stable_sort calls.
  target_compile_options(defectoscope_flags INTERFACE -Wno-deprecated-declarations)
endif()
if(DEFECTOSCOPE_FUZZ)
  target_compile_options(defectoscope_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
  target_link_options(defectoscope_flags INTERFACE -fsanitize=address,undefined)
endif()

if(DEFECTOSCOPE_SANITIZE STREQUAL "thread")
  # libgomp's barriers are invisible to the thread sanitizer; our own threads are not.
  target_compile_definitions(defectoscope_flags INTERFACE DEFECTOSCOPE_STD_THREADS)
endif()

add_custom_target(fuzzers)
add_custom_target(bench)
# The tests beside the code: those that the sanitizers run.
add_custom_target(unit_tests)

# Where CMAKE_UNITY_BUILD is on (the presets that only tests and linting use; tests in all), the files of a target are
# compiled a dozen at once, which reads the headers they share once. Not those of these targets: Highway compiles a
# file once for each instruction set, and some tests each have a reference implementation of the same name.
function(defectoscope_compile_alone)
  foreach(target ${ARGN})
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
    endif()
  endforeach()
endfunction()

# One object library per folder of src/; the folders named after DEPS are the only ones it may include.
#   defectoscope_module(NAME spectral DEPS kernels SOURCES a.cc b.cc LIBS extern)
function(defectoscope_module)
  cmake_parse_arguments(M "" "NAME" "DEPS;SOURCES;LIBS" ${ARGN})
  add_library(defectoscope_${M_NAME} OBJECT ${M_SOURCES})
  target_include_directories(defectoscope_${M_NAME} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/defectoscope>)
  target_link_libraries(defectoscope_${M_NAME} PRIVATE defectoscope_flags OpenMP::OpenMP_CXX ${M_LIBS})
  set_property(GLOBAL APPEND PROPERTY DEFECTOSCOPE_MODULES defectoscope_${M_NAME})
  set_property(GLOBAL PROPERTY DEFECTOSCOPE_DEPS_${M_NAME} "${M_DEPS}")
  set_property(GLOBAL PROPERTY DEFECTOSCOPE_LIBS_${M_NAME} "${M_LIBS}")
endfunction()

# All modules MODULE depends on, itself included, as target names; and the outside libraries they need.
function(defectoscope_closure module out_targets out_libs)
  set(todo ${module})
  set(targets)
  set(libs)
  while(todo)
    list(POP_FRONT todo name)
    if(NOT defectoscope_${name} IN_LIST targets)
      list(APPEND targets defectoscope_${name})
      get_property(deps GLOBAL PROPERTY DEFECTOSCOPE_DEPS_${name})
      get_property(more GLOBAL PROPERTY DEFECTOSCOPE_LIBS_${name})
      list(APPEND todo ${deps})
      list(APPEND libs ${more})
    endif()
  endwhile()
  list(REMOVE_DUPLICATES libs)
  set(${out_targets} ${targets} PARENT_SCOPE)
  set(${out_libs} ${libs} PARENT_SCOPE)
endfunction()

# A program from SOURCES and the objects of MODULE and all it depends on.
function(defectoscope_program target module)
  add_executable(${target} ${ARGN})
  defectoscope_closure(${module} targets libs)
  foreach(t ${targets})
    target_link_libraries(${target} PRIVATE ${t})
  endforeach()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(${target} PRIVATE defectoscope_flags OpenMP::OpenMP_CXX ${libs})
endfunction()

# <module>_test from the *_test.cc named. Tests with TOGETHER in the names of their suites run in one process, as one
# test: what they share is set up once.
function(defectoscope_test module)
  cmake_parse_arguments(T "" "TOGETHER" "" ${ARGN})
  if(NOT DEFECTOSCOPE_TESTS OR DEFECTOSCOPE_FUZZ)
    return()
  endif()
  defectoscope_program(${module}_test ${module} ${T_UNPARSED_ARGUMENTS})
  if(CMAKE_CURRENT_SOURCE_DIR MATCHES "^${PROJECT_SOURCE_DIR}/src/")
    add_dependencies(unit_tests ${module}_test)
  endif()
  target_link_libraries(${module}_test PRIVATE GTest::gtest GTest::gmock GTest::gtest_main)
  # What is tested is compiled as it ships; the claims themselves need not be fast, but to compile fast.
  if(DEFECTOSCOPE_SANITIZE)
    target_compile_options(${module}_test PRIVATE -O0)
  else()
    target_compile_options(${module}_test PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  set_target_properties(${module}_test PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  target_compile_definitions(${module}_test PRIVATE
    DEFECTOSCOPE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" DEFECTOSCOPE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  # POST_BUILD discovery runs the program, which sanitizers make slow but not wrong.
  set(apart)
  if(T_TOGETHER)
    set(apart TEST_FILTER "-*${T_TOGETHER}*")
    add_test(NAME ${module}.${T_TOGETHER} COMMAND ${module}_test "--gtest_filter=*${T_TOGETHER}*")
    set_tests_properties(${module}.${T_TOGETHER} PROPERTIES TIMEOUT 900 LABELS "${module}"
                         SKIP_REGULAR_EXPRESSION "no server programs")
  endif()
  gtest_discover_tests(${module}_test ${apart} DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 900 LABELS "${module}")
endfunction()

# fuzz_<name> from SOURCES over MODULE (clang's libFuzzer).
function(defectoscope_fuzzer name module)
  if(NOT DEFECTOSCOPE_FUZZ)
    return()
  endif()
  defectoscope_program(fuzz_${name} ${module} ${ARGN})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers fuzz_${name})
endfunction()

# bench/<name> from SOURCES over MODULE.
function(defectoscope_benchmark name module)
  defectoscope_program(${name} ${module} ${ARGN})
  add_dependencies(bench ${name})
endfunction()
