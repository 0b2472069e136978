#pragma once

// Made by `null_study table zoo/unrelated`; not to be edited.

#include <array>

#include "lineage/empirical_null.h"

namespace defectoscope::null_table {

inline constexpr std::array<EmpiricalNull, 8> kKinds{{
    {.kind = static_cast<EvidenceKind>(0),  // layers
     .pairs = 427,
     .knots = {-1.21484, -0.71438, -0.55984, -0.36979, -0.288363, -0.175674, -0.0695075,
               0.054215, 0.121932, 0.256331, 0.401628, 0.560283,  0.740702,  0.859944,
               1.03907,  1.2541,   1.49124,  1.82978,  2.02,      2.69449},
     .tail = {.threshold = 2.02532, .share = 0.100467, .shape = 0, .scale = 1.04313},
     .goodness = {.exceedances = 42, .anderson_darling = 0.5178, .p = 0.366}},
    {.kind = static_cast<EvidenceKind>(1),  // ffns
     .pairs = 427,
     .knots = {-1.20913,   -0.714123, -0.590552, -0.415136, -0.301234, -0.187648, -0.0933758,
               -0.0111913, 0.106434,  0.243371,  0.366979,  0.497793,  0.647701,  0.838163,
               1.03721,    1.21924,   1.38385,   1.64624,   2.16138,   2.57118},
     .tail = {.threshold = 2.17346, .share = 0.100467, .shape = 0.0736027, .scale = 0.667359},
     .goodness = {.exceedances = 42, .anderson_darling = 0.5547, .p = 0.26}},
    {.kind = static_cast<EvidenceKind>(2),  // explosion-layers
     .pairs = 149,
     .knots = {-0.891538, -0.44305, -0.20681, -0.0966322, 0.000726295, 0.0443409, 0.104736,
               0.225917,  0.30278,  0.363516, 0.491608,   0.580344,    0.71903,   0.881283,
               1.09626,   1.31379,  1.42915,  1.80519,    2.12362,     2.52979},
     .tail = {.threshold = 2.19989, .share = 0.1, .shape = 0, .scale = 0.661848},
     .goodness = {.exceedances = 14, .anderson_darling = 0.2874, .p = 0.766}},
    {.kind = static_cast<EvidenceKind>(3),  // any-layers
     .pairs = 427,
     .knots = {-1.84787,  -1.59752,  -1.35477,  -1.13329,  -0.986016, -0.809095, -0.687954,
               -0.513434, -0.367419, -0.266909, -0.104382, 0.0155933, 0.161762,  0.327621,
               0.461804,  0.663744,  0.926395,  1.25547,   1.64562,   2.14191},
     .tail = {.threshold = 1.6475, .share = 0.100467, .shape = 0.110577, .scale = 0.867582},
     .goodness = {.exceedances = 42, .anderson_darling = 0.2039, .p = 0.932}},
    {.kind = static_cast<EvidenceKind>(4),  // tokens
     .pairs = 1128,
     .knots = {-1.676,    -1.39563,  -1.26504,  -1.16884,  -1.08563,  -1.03134,  -0.982138,
               -0.941354, -0.898711, -0.872383, -0.834191, -0.799039, -0.766711, -0.727981,
               -0.696203, -0.654586, -0.60121,  -0.542122, -0.464343, -0.290406},
     .tail = {.threshold = -0.463028, .share = 0.100089, .shape = 0, .scale = 0.252505},
     .goodness = {.exceedances = 112, .anderson_darling = 0.2406, .p = 0.836}},
    {.kind = static_cast<EvidenceKind>(5),  // ffn-tokens
     .pairs = 1128,
     .knots = {-1.64616,  -1.38895,  -1.2921,   -1.1932,   -1.1152,   -1.05151,  -1.00066,
               -0.967568, -0.925084, -0.8897,   -0.858175, -0.822982, -0.791823, -0.761941,
               -0.725342, -0.684332, -0.632311, -0.568819, -0.484296, -0.33019},
     .tail = {.threshold = -0.483294, .share = 0.100089, .shape = 0, .scale = 0.196453},
     .goodness = {.exceedances = 112, .anderson_darling = 0.5278, .p = 0.35}},
    {.kind = static_cast<EvidenceKind>(6),  // gram
     .pairs = 113,
     .knots = {-0.32769, -0.182716, -0.126509, -0.0793353, 0.0260202, 0.0556432, 0.0894822,
               0.118264, 0.145704,  0.182482,  0.257273,   0.283915,  0.367486,  0.412445,
               0.462208, 0.573284,  0.646494,  0.711743,   0.936711,  1.11424},
     .tail = {.threshold = 0.97456, .share = 0.105263, .shape = 0, .scale = 0.30694},
     .goodness = {.exceedances = 11, .anderson_darling = 0.4133, .p = 0.526}},
    {.kind = static_cast<EvidenceKind>(7),  // spectrum
     .pairs = 113,
     .knots = {-0.652559, -0.249128, -0.112774, -0.0729642, 0.0473976, 0.0880302, 0.13885,
               0.20311,   0.251617,  0.286239,  0.336026,   0.371756,  0.420774,  0.440429,
               0.489265,  0.626588,  0.698716,  0.781404,   1.17132,   1.3617},
     .tail = {.threshold = 1.20427, .share = 0.105263, .shape = 0, .scale = 0.231172},
     .goodness = {.exceedances = 11, .anderson_darling = 0.507, .p = 0.368}},
}};

}  // namespace defectoscope::null_table
