#include "report/compare_report.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/files.h"
#include "cli/app.h"
#include "cli/common.h"

namespace defectoscope {

void add_compare_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "compare-report", "Put the reports of several models side by side on one page, section by section");
  struct Options {
    std::vector<std::string> folders;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  command->add_option("RESULTS", options->folders, "Result folders of `scan` or of one analysis, two or more")
      ->required()
      ->expected(2, 16)
      ->type_name("DIR");
  command->add_option("--out", options->out, "The page (default: defectoscope-out/compare-report.html)")
      ->type_name("FILE");
  command->callback([options] {
    const std::filesystem::path out = options->out.empty()
                                          ? std::filesystem::path("defectoscope-out/compare-report.html")
                                          : std::filesystem::path(options->out);
    std::vector<ModelPage> pages;
    for (const std::string& folder : options->folders) pages.push_back(read_result_page(folder));
    if (out.has_parent_path()) make_folder(out.parent_path());
    write_file(out, page_html(pages));
    print_result(fmt::format("Report: {}\n", out.string()), {});
  });
}

}  // namespace defectoscope
