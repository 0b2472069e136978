#include <sys/utsname.h>

#include "report/json_values.h"
#include "report/run_info.h"

namespace defectoscope {

std::string run_json(const RunInfo& run) {
  utsname machine{};
  uname(&machine);
  Json phases = Json::array();
  for (const auto& [name, seconds] : run.phases)
    phases.push_back({{"name", name}, {"seconds", number(seconds)}});
  const Json json = {
      {"schema", "defectoscope.run/1"},
      {"program", program_json()},
      {"command", run.command},
      {"started", run.started},
      {"seconds", number(run.seconds)},
      {"threads", run.threads},
      {"machine",
       {{"system", machine.sysname}, {"release", machine.release}, {"processor", machine.machine}}},
      {"phases", std::move(phases)}};
  return dump(json) + "\n";
}

}  // namespace defectoscope
