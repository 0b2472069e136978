#pragma once

// Made by `null_study table zoo/unrelated MODELS FOLDER`; not to be edited.

#include <array>

#include "lineage/empirical_null.h"

namespace defectoscope::null_table {

inline constexpr std::array<EmpiricalNull, 20> kKinds{{
    // Trained models.
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
    {.kind = static_cast<EvidenceKind>(8),  // aligned
     .pairs = 1128,
     .knots = {-1.33438, -0.694262, -0.464012, -0.330084, -0.178,   -0.0525126, 0.0706587,
               0.229268, 0.362618,  0.534478,  0.713522,  0.857705, 0.981692,   1.15375,
               1.42198,  1.69049,   1.99488,   2.32779,   2.88839,  3.72958},
     .tail = {.threshold = 2.89456, .share = 0.100089, .shape = 0, .scale = 1.18243},
     .goodness = {.exceedances = 112, .anderson_darling = 0.21, .p = 0.904}},
    {.kind = static_cast<EvidenceKind>(9),  // aligned-ffns
     .pairs = 1128,
     .knots = {-1.52728, -0.691664, -0.530053, -0.390019, -0.253429, -0.104925, 0.00181828,
               0.123541, 0.265656,  0.390963,  0.517086,  0.654888,  0.811526,  0.96387,
               1.19778,  1.40378,   1.65063,   2.06398,   2.53067,   3.40316},
     .tail = {.threshold = 2.53858, .share = 0.100089, .shape = 0, .scale = 1.20683},
     .goodness = {.exceedances = 112, .anderson_darling = 0.4458, .p = 0.436}},
    // Phantoms.
    {.kind = static_cast<EvidenceKind>(0),  // layers
     .pairs = 2016,
     .knots = {-1.80313,  -1.21201,  -0.999325, -0.84256, -0.720982, -0.579288, -0.424534,
               -0.300803, -0.179935, -0.021533, 0.136256, 0.31228,   0.472925,  0.670293,
               0.858315,  1.09312,   1.37967,   1.68087,  2.24474,   2.94289},
     .tail = {.threshold = 2.25081, .share = 0.100149, .shape = 0, .scale = 0.953771},
     .goodness = {.exceedances = 201, .anderson_darling = 3.525, .p = 0.002}},
    {.kind = static_cast<EvidenceKind>(1),  // ffns
     .pairs = 2016,
     .knots = {-1.71858,  -1.10572,  -0.889977, -0.721761, -0.56525, -0.440799, -0.311242,
               -0.185647, -0.052871, 0.0876106, 0.247009,  0.428468, 0.593556,  0.76453,
               0.938641,  1.12643,   1.39331,   1.66387,   2.05433,  2.74168},
     .tail = {.threshold = 2.05593, .share = 0.100149, .shape = 0.0253877, .scale = 0.983103},
     .goodness = {.exceedances = 201, .anderson_darling = 1.208, .p = 0.02}},
    {.kind = static_cast<EvidenceKind>(2),  // explosion-layers
     .pairs = 2016,
     .knots = {-0.693147, -0.693147, -0.693147, -0.693147, -0.693147, -0.693147, -0.693058,
               -0.69291,  -0.690407, -0.685939, -0.681272, -0.676069, -0.670504, -0.658699,
               -0.638163, -0.585012, -0.209684, 0.247816,  0.876085,  2.29243},
     .tail = {.threshold = 0.878276, .share = 0.100149, .shape = 0, .scale = 1.59639},
     .goodness = {.exceedances = 201, .anderson_darling = 8.177, .p = 0.002}},
    {.kind = static_cast<EvidenceKind>(3),  // any-layers
     .pairs = 2016,
     .knots = {-2.20719,  -1.37443,  -1.03753, -0.789132, -0.605223, -0.420655, -0.270536,
               -0.133129, 0.0468385, 0.189764, 0.325573,  0.47901,   0.641627,  0.789311,
               1.00224,   1.26294,   1.44956,  1.78631,   2.16261,   3.0228},
     .tail = {.threshold = 2.1644, .share = 0.100149, .shape = 0, .scale = 1.17517},
     .goodness = {.exceedances = 201, .anderson_darling = 0.6, .p = 0.292}},
    {.kind = static_cast<EvidenceKind>(4),  // tokens
     .pairs = 2016,
     .knots = {1.4055,  3.71092, 4.09569, 4.40322, 4.60107, 4.7651,  4.91559, 5.06485, 5.193,   5.29429,
               5.39164, 5.48491, 5.57862, 5.67677, 5.7659,  5.86702, 5.99479, 6.15573, 6.37209, 6.99432},
     .tail = {.threshold = 6.37594, .share = 0.100149, .shape = 0.138558, .scale = 1.91966},
     .goodness = {.exceedances = 201, .anderson_darling = 32.05, .p = 0.002}},
    {.kind = static_cast<EvidenceKind>(5),  // ffn-tokens
     .pairs = 2016,
     .knots = {-1.8817,  -1.62912,  -1.55988,  -1.49546, -1.44871,  -1.40515, -1.3603,
               -1.32067, -1.2848,   -1.24747,  -1.20538, -1.17132,  -1.12981, -1.09267,
               -1.03973, -0.977738, -0.916651, -0.83096, -0.721385, -0.533209},
     .tail = {.threshold = -0.720227, .share = 0.100149, .shape = 0, .scale = 0.279356},
     .goodness = {.exceedances = 201, .anderson_darling = 0.6062, .p = 0.252}},
    {.kind = static_cast<EvidenceKind>(6),  // gram
     .pairs = 2016,
     .knots = {1.44372, 1.66537, 1.71199, 1.74593, 1.78079, 1.81187, 1.83839, 1.86167, 1.88225, 1.89781,
               1.91534, 1.93551, 1.95555, 1.97377, 1.99585, 2.01455, 2.03698, 2.06032, 2.09424, 2.14211},
     .tail = {.threshold = 2.09482, .share = 0.100149, .shape = 0, .scale = 0.0629017},
     .goodness = {.exceedances = 201, .anderson_darling = 1.587, .p = 0.016}},
    {.kind = static_cast<EvidenceKind>(7),  // spectrum
     .pairs = 2016,
     .knots = {1.9697,  2.44556, 2.55223, 2.6116,  2.66306, 2.70358, 2.74417, 2.78144, 2.81021, 2.83981,
               2.87132, 2.90545, 2.93697, 2.97124, 3.00423, 3.04196, 3.08982, 3.14151, 3.20969, 3.29458},
     .tail = {.threshold = 3.2097, .share = 0.100149, .shape = 0, .scale = 0.122403},
     .goodness = {.exceedances = 201, .anderson_darling = 0.7474, .p = 0.166}},
    {.kind = static_cast<EvidenceKind>(8),  // aligned
     .pairs = 2016,
     .knots = {1.58484, 4.05501, 5.58225, 6.88099, 7.52974, 8.01396, 8.1514,  8.86225, 9.56474, 10.3414,
               11.1521, 11.8202, 12.3563, 12.9943, 13.4875, 14.3346, 15.4083, 16.7833, 18.0696, 20.4682},
     .tail = {.threshold = 18.0812, .share = 0.100149, .shape = 0.087416, .scale = 3.16937},
     .goodness = {.exceedances = 201, .anderson_darling = 0.5208, .p = 0.276}},
    {.kind = static_cast<EvidenceKind>(9),  // aligned-ffns
     .pairs = 2016,
     .knots = {-1.11941, 2.97041, 2.97045, 2.9705,  2.97121, 2.97651, 2.97685, 2.97689, 2.98336, 3.00499,
               4.38109,  6.925,   7.51078, 8.01384, 8.02026, 8.03345, 9.02324, 12.1148, 13.0558, 16.5825},
     .tail = {.threshold = 13.056, .share = 0.100149, .shape = 0.0419079, .scale = 3.83729},
     .goodness = {.exceedances = 201, .anderson_darling = 9.092, .p = 0.002}},
}};

}  // namespace defectoscope::null_table
