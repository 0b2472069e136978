// A hub on 127.0.0.1 for tests by other programs: `hub_test_server ID FOLDER` serves FOLDER's files as the
// model ID and prints its address; ends when its standard input does.

#include <cstdio>

#include "hub/test_hub.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hub_test_server ID FOLDER\n");
    return 2;
  }
  defectoscope::testing_hub::TestHub hub;
  hub.add_folder(argv[1], argv[2]);
  std::printf("%s\n", hub.endpoint().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  for (const auto& seen : hub.seen())
    std::printf("%s %s %s %s\n", seen.server.c_str(), seen.method.c_str(), seen.path.c_str(),
                seen.range.c_str());
  return 0;
}
