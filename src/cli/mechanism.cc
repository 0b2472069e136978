#include "analysis/mechanism.h"

#include "cli/app.h"
#include "cli/full_scan.h"
#include "report/mechanism_report.h"

namespace defectoscope {

AnalysisCommand mechanism_analysis() {
  return {.name = "mechanism",
          .description =
              "Explain a model on one page: development, trigger, explosion and decay of "
              "its high norms, each with its evidence",
          .needs = ScanParts::kAll,
          .run = [](const AnalysisContext& context) {
            MechanismOptions options;
            options.seed = context.options.seed;
            options.compute = context.options.compute;
            options.linearize = context.options.linearize;
            return mechanism_output(context.scan, explain_mechanism(context.model, context.tokenizer,
                                                                    context.scan, options, context.journal));
          }};
}

void add_mechanism(CLI::App& app) { add_analysis(app, mechanism_analysis()); }

}  // namespace defectoscope
