# defectoscope_rust_tokenizers: the static library of rust/, built by cargo with the versions of Cargo.lock.
# Cargo's own folder is shared by all build folders, so that the crates are compiled once.
set(DEFECTOSCOPE_CARGO_TARGET_DIR ${PROJECT_SOURCE_DIR}/build/cargo CACHE PATH "Where cargo builds the Rust crates")

set(minimum_rust 1.85.0)
if(DEFINED ENV{CARGO})
  find_program(CARGO NAMES $ENV{CARGO})
else()
  find_program(CARGO NAMES cargo HINTS $ENV{HOME}/.cargo/bin)
endif()
if(CARGO)
  execute_process(COMMAND ${CARGO} --version OUTPUT_VARIABLE cargo_version ERROR_QUIET)
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" cargo_version "${cargo_version}")
endif()
if(NOT CARGO OR NOT cargo_version OR cargo_version VERSION_LESS minimum_rust)
  message(FATAL_ERROR "The tokenizers need Rust ${minimum_rust} or later, found: "
          "${CARGO} ${cargo_version}. Install it with\n"
          "  apt-get install rustc-web cargo-web   (Debian 12; its packages rustc and cargo are too old)\n"
          "or with rustup (https://rustup.rs), or set the environment variable CARGO to a newer cargo.")
endif()

set(rust_dir ${CMAKE_CURRENT_SOURCE_DIR}/rust)
set(rust_library ${CMAKE_CURRENT_BINARY_DIR}/libdefectoscope_tokenizers.a)
file(GLOB rust_sources CONFIGURE_DEPENDS ${rust_dir}/src/*.rs)
# The copy, not cargo's file, is the output: cargo leaves its file's time alone where nothing has changed.
add_custom_command(
  OUTPUT ${rust_library}
  COMMAND ${CMAKE_COMMAND} -E env --unset=RUSTFLAGS CARGO_TARGET_DIR=${DEFECTOSCOPE_CARGO_TARGET_DIR}
          RUSTONIG_SYSTEM_LIBONIG=0 ${CARGO} build --quiet --release --locked --manifest-path ${rust_dir}/Cargo.toml
  COMMAND ${CMAKE_COMMAND} -E copy ${DEFECTOSCOPE_CARGO_TARGET_DIR}/release/libdefectoscope_tokenizers.a
          ${rust_library}
  DEPENDS ${rust_sources} ${rust_dir}/Cargo.toml ${rust_dir}/Cargo.lock
  COMMENT "Building the Rust tokenizers with cargo"
  VERBATIM)
add_custom_target(defectoscope_cargo DEPENDS ${rust_library})

add_library(defectoscope_rust_tokenizers STATIC IMPORTED GLOBAL)
set_target_properties(defectoscope_rust_tokenizers PROPERTIES IMPORTED_LOCATION ${rust_library})
target_link_libraries(defectoscope_rust_tokenizers INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
add_dependencies(defectoscope_rust_tokenizers defectoscope_cargo)
