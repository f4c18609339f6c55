#pragma once

#include "core/bit_rows.hpp"

namespace lcx {

// Note [Flood by words]
// The background outside is found from the border by sweeps over the rows, down and up in turn. A row takes what its
// neighbour has reached and spreads it along its own background runs, a word at a time: towards higher columns by the
// carry of an addition, towards lower ones by shifts of 1, 2, 4, ... bits. Most images are done after one sweep each
// way. A maze takes a sweep for every turn of a passage, so after a number of rows that is not worth more time the
// components of the background are labelled instead (Note [Bands]).

/// Makes the background that is not 4-connected to the image's border foreground.
void fill_bit_holes(BitRows& mask);

}  // namespace lcx
