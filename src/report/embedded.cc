#include "report/embedded.h"

// The paths come from CMake; the assembler reads the files, so that megabytes need not pass the compiler.
#define EMBED(symbol, path)                                                      \
  asm(".pushsection .rodata\n" #symbol "_begin:\n.incbin \"" path "\"\n" #symbol \
      "_end:\n.byte 0\n.popsection\n");                                          \
  extern "C" const char symbol##_begin[], symbol##_end[]

EMBED(defectoscope_chart_library, DEFECTOSCOPE_CHART_LIBRARY);
EMBED(defectoscope_report_page, DEFECTOSCOPE_REPORT_PAGE);

namespace defectoscope {

std::string_view embedded_chart_library() {
  return {defectoscope_chart_library_begin, defectoscope_chart_library_end};
}
std::string_view embedded_page() { return {defectoscope_report_page_begin, defectoscope_report_page_end}; }

}  // namespace defectoscope
