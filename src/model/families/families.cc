#include "model/families/families.h"

namespace defectoscope {

std::vector<ArchitectureSpec> all_families() {
  std::vector<ArchitectureSpec> rows;
  for (const std::vector<ArchitectureSpec>& group :
       {llama_like_families(), post_norm_families(), gpt_like_families(), falcon_families(),
        mixture_families(), encoder_families()})
    rows.insert(rows.end(), group.begin(), group.end());
  return rows;
}

}  // namespace defectoscope
