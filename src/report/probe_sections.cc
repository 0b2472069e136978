#include <cassert>

#include "report/probe_reports.h"
#include "report/scan_sections.h"

namespace defectoscope {

Section probe_section(const std::string& name) {
  if (name == "census")
    return {.id = name, .heading = "Census: which tokens explode", .stage = Stage::kDevelopment};
  if (name == "trigger")
    return {.id = name, .heading = "Trigger: what the explosion answers to", .stage = Stage::kTrigger};
  if (name == "predictions")
    return {.id = name, .heading = "Predictions without data", .stage = Stage::kExplosion};
  assert(name == "ablate");
  return {.id = name, .heading = "Ablation: without the explosion subspace", .stage = Stage::kPlateau};
}

AnalysisOutput nothing_output(const ScanResult& scan, Section section, const std::string& why) {
  section.sentences = {why};
  return {.name = section.id,
          .json = analysis_json(section.id, model_facts(scan), {{"seed", scan.seed}},
                                {{"layers", Json::array()}, {"notes", {why}}}),
          .summary = why + "\n",
          .sections = {section}};
}

}  // namespace defectoscope
