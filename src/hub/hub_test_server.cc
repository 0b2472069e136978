// A hub on 127.0.0.1 for tests by other programs: `hub_test_server ID FOLDER` serves FOLDER's files as the
// model ID and prints its address; ends when its standard input does. Commands there: `slow NAME` (files of
// that name stand still after their beginning), `go` (no longer), `seen` (the requests since last asked);
// each is answered by `done`.

#include <iostream>

#include "hub/test_hub.h"

int main(int argc, char** argv) {
  using defectoscope::testing_hub::Fault;
  if (argc != 3) {
    std::cerr << "usage: hub_test_server ID FOLDER\n";
    return 2;
  }
  defectoscope::testing_hub::TestHub hub;
  hub.add_folder(argv[1], argv[2]);
  std::cout << hub.endpoint() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.starts_with("slow ")) hub.fail({.kind = Fault::kSlow, .path = line.substr(5)});
    if (line == "go") hub.no_more_faults();
    if (line == "seen") {
      for (const auto& seen : hub.seen())
        std::cout << seen.server << ' ' << seen.method << ' ' << seen.path << ' ' << seen.range << '\n';
      hub.forget();
    }
    std::cout << "done" << std::endl;
  }
  return 0;
}
