#include "cli/blas_kernels.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace defectoscope {
namespace {

const char* fitting_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw")) return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return nullptr;
}

}  // namespace

void choose_blas_kernels(char** arguments) {
  constexpr const char* kVariable = "OPENBLAS_CORETYPE";
  if (std::getenv(kVariable) != nullptr) return;
  using CoreName = const char* (*)();
  const auto core_name = reinterpret_cast<CoreName>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  if (core_name == nullptr || std::string_view(core_name()) != "Prescott") return;
  const char* kernels = fitting_kernels();
  if (kernels == nullptr) return;
  std::error_code error;  // the file itself: /proc/self/exe would name the process "exe"
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  setenv(kVariable, kernels, 1);
  execv(program.c_str(), arguments);
  // Where that fails, the program goes on with what there is.
}

}  // namespace defectoscope
