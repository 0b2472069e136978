#include "report/compare_report.h"

#include <stdexcept>

#include "base/error.h"
#include "base/files.h"
#include "report/section_json.h"

namespace defectoscope {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& got) {
  throw_bad_input({.what = "this is no result to compare",
                   .file = file.string(),
                   .expected = "what `defectoscope scan` writes into --out",
                   .got = got,
                   .hint = "run `defectoscope scan MODEL --out DIR` and give DIR"});
}

}  // namespace

ModelPage read_result_page(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "sections.json";
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) refuse(file, "no such file");
  try {
    const Json json = Json::parse(read_file(file));
    if (json.at("schema") != kSectionsSchema) refuse(file, "schema " + json.at("schema").dump());
    ModelPage page = page_from_json(json);
    check_sections(page.sections);
    return page;
  } catch (const Json::exception& problem) {
    refuse(file, problem.what());
  } catch (const std::logic_error& problem) {  // sections that break their rules
    refuse(file, problem.what());
  }
}

}  // namespace defectoscope
